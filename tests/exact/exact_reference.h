/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_reference.h - what a prompt's logits are without cache and scheduler, and how much they vary there.
 *
 * libllama's results depend on how a prompt is cut into batches and where its cells lie in the context. What can be said of the bits on a CPU
 * with flash attention (measured here, and to be read in ggml's ops.cpp):
 *  - f16 KV, 64 rows or more in a batch: attention walks the cells in tiles of 64 and skips the masked ones in them. The bits depend on
 *    which units share a tile and where in it they are, not on the batches: moving all cells by 64 changes nothing, moving them by one does.
 *  - f16 KV, 2 to 63 rows: cell by cell, masked ones skipped. Other bits than in tiles; only the order of the cells counts.
 *  - f16 KV, 1 row and 512 cells or more: the cells are dealt out to the threads, so the bits depend also on how many are in use.
 *  - q8_0 KV: always cell by cell.
 *  - behind the last layer's attention only the rows are computed whose logits are wanted. One row takes other kernels than several, so the
 *    bits depend on whether another sequence's row is wanted in the same batch.
 *  - recurrent layers (state spaces, convolutions): unit by unit, so batches of 2 units and more give the same bits wherever they are cut. A batch
 *    of one takes other kernels for its matrices. Cells mean nothing to them, but their attention layers follow the rules above.
 *  - sliding windows: as above, in a pool of rows of its own. What is restored or forked lies elsewhere in it than what was computed: loaded rows in the
 *    first free ones from the border of a piece on, a snapshot's from the row before the window on, a fork's behind all others.
 * Without flash attention rows are sums over all cells in vector steps: moving the cells by a multiple of that changes nothing.
 * So noise is measured with both other cuts and other places of the cells. */
#ifndef WARM_TESTS_EXACT_REFERENCE_H
#define WARM_TESTS_EXACT_REFERENCE_H

#include "exact_engine.h"

/* How a run without cache computes. All zero: from the first cell on, in chunks of 64 units or more. */
typedef struct exact_layout {
    size_t chunk;       /* units per batch; 0 = as above */
    size_t singles;     /* at its end, units in batches of their own */
    const size_t *ends; /* n_ends positions, ascending: a batch ends at each of them, and no chunk is too short for that */
    size_t n_ends;
    size_t before; /* cells of another sequence that lie before the prompt's */
    bool beside;   /* from the prompt's last batch on, a row of another sequence is wanted in each batch */
    bool wrapped;  /* the prompt's later cells lie before its earlier ones */
} exact_layout;

/* Computes the prompt on a cleared context and n_rows - 1 tokens behind it, each in a batch of its own; rows and tokens go to out, whose forced
 * tokens are used. */
void exact_compute(warm_engine *e, const exact_layout *layout, const int32_t *prompt, size_t n, size_t n_rows, exact_script *out);

/* n tokens of ordinary text. */
void exact_text(const warm_engine *e, int32_t *out, size_t n, uint64_t seed);

typedef struct exact_noise {
    double ordered; /* largest difference of a logit between runs without cache whose cells lie in order */
    double any;     /* in any order */
    double
        wrong; /* smallest difference that a prompt with one piece of the smallest size from another one makes: it has to be seen */
} exact_noise;

/* Where runs differ by the last bits only, what counts is the rare number that is rounded the other way on its way into the cache, and the few
 * hundred times that it then makes: only thousands of rows show how large that gets. */
exact_noise exact_measure_noise(warm_engine *e, size_t n_seeds);

double exact_distance(const float *a, const float *b, size_t n);

#endif
