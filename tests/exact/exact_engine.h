/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_engine.h - an engine around the libllama engine that says what each task samples, and keeps what it saw.
 *
 * The logits behind every token of a task are recorded. A task that is given tokens samples those (teacher forcing), so that its
 * rows can be compared with the rows of another run, token by token; one without takes the likeliest, end of text or not.
 * Time is made up: a decoded row takes 100 us, and state moves at 2 bytes a nanosecond. So the scheduler decides alike in every
 * run, and pieces have the size that a test asks for (exact_slice_ns).
 * Threads: one, but for sampler_new, which is called on the test's own. */
#ifndef WARM_TESTS_EXACT_ENGINE_H
#define WARM_TESTS_EXACT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "warmslot/cache.h"
#include "warmslot/engine.h"

/* What one task is told to sample, and what it saw. All zero = nothing yet. */
typedef struct exact_script {
    const int32_t *forced; /* borrowed */
    size_t n_forced;
    int32_t *tokens; /* n of them: what was sampled, the forced one or the row's likeliest */
    float *rows;     /* n times n_vocab */
    size_t n, cap;
    uint32_t n_vocab;
    int32_t seq; /* engine sequence of the latest row */
} exact_script;

void exact_script_free(exact_script *s);
int32_t exact_likeliest(const float *row, uint32_t n_vocab);
/* Appends a row; returns the token sampled. */
int32_t exact_script_add(exact_script *s, const float *row, uint32_t n_vocab);

/* Positions, in the order in which they were reached. */
typedef struct exact_log {
    size_t *at, n, cap;
} exact_log;

typedef struct exact_engine {
    warm_engine base; /* first: what the scheduler gets */
    warm_engine *inner;
    warm_clock clock;
    uint64_t now_ns;
    exact_script *next;   /* of the next sampler_new */
    size_t prefill_least; /* rows of the smallest batch that held more than one row of a sequence since it was set to SIZE_MAX */
    int32_t *row_seq;     /* n_batch: whose row it is in the latest batch */
    exact_log ends;       /* of batches of one sequence */
    exact_log points;     /* snapshots that were taken */
} exact_engine;

exact_engine *exact_engine_new(warm_engine *inner); /* takes it */
void exact_engine_free(exact_engine *e);

/* The scheduler's slice (or kv_io's) for which pieces get this many units. */
uint64_t exact_slice_ns(const warm_engine *e, size_t piece_units);

enum exact_cells { EXACT_CELLS_BAD, EXACT_CELLS_MIXED, EXACT_CELLS_ORDERED };
/* Saves the whole sequence and reads what it consists of: positions 0..n-1 once each, and of a window's rows all that are needed, as BAD
 * says if not; and whether the cells lie in the context in the order of their positions. window: the model's, 0 = none; also where its
 * rows are saved in snapshots only. */
enum exact_cells exact_cells_of(warm_engine *e, int32_t seq, size_t n, size_t window);

#endif
