/* SPDX-License-Identifier: MIT
 *
 * tests/engine/kind_record.h - a prompt computed once, with everything that can be saved of it, and what every chunk of it led to.
 *
 * Expectations are exact: on an idle engine the same cells and the same chunks give the same bits, so what is computed behind a resume
 * point after loading must be what was computed there live. */
#ifndef WARM_TESTS_KIND_RECORD_H
#define WARM_TESTS_KIND_RECORD_H

#include "model_fixture.h"

enum { RECORD_PIECE = 32, RECORD_MAX = 512, RECORD_CHUNKS = 64 };

typedef struct saved {
    uint8_t *bytes;
    size_t n;
} saved;

typedef struct record {
    int32_t tokens[RECORD_MAX];
    int32_t n;
    int32_t at[RECORD_CHUNKS]; /* where the chunks begin; the last one is the end of the prompt */
    size_t n_chunks;
    float *logits[RECORD_CHUNKS]; /* behind each chunk */
    saved cells[RECORD_MAX / RECORD_PIECE], rows[RECORD_MAX / RECORD_PIECE];
    saved snapshot[RECORD_CHUNKS]; /* at the beginning of each chunk */
} record;

/* Computes n tokens as sequence 0 of a cleared context in chunks that begin at multiples of RECORD_PIECE and at the positions given up to
 * n, and saves what there is. */
void record_make(warm_engine *e, record *r, int32_t n, const int32_t *positions, size_t n_positions);
void record_free(record *r);

/* Appends the cells [the sequence's end, p) to seq, which ends at `from`. */
void record_load_cells(warm_engine *e, int32_t seq, const record *r, int32_t from, int32_t p);
/* Adds the window rows [from, p). */
void record_load_rows(warm_engine *e, int32_t seq, const record *r, int32_t from, int32_t p);
/* What seq, which has the cells [0, p), needs to be continued there: rows, a snapshot, nothing. All rows, also those that are behind the
 * window: with fewer, the others would be in other cells than they were live. */
void record_complete(warm_engine *e, int32_t seq, const record *r, int32_t p);
/* Everything up to p into the empty sequence. */
void record_load(warm_engine *e, int32_t seq, const record *r, int32_t p);

/* The chunk that begins at p. */
size_t record_chunk(const record *r, int32_t p);
/* Computes the chunk that begins at p and compares bit for bit. */
void assert_goes_on(warm_engine *e, int32_t seq, const record *r, int32_t p);
/* As above, up to the noise of cells in other places. */
void assert_goes_on_nearly(warm_engine *e, int32_t seq, const record *r, int32_t p);

#endif
