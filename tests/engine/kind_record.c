/* SPDX-License-Identifier: MIT
 *
 * tests/engine/kind_record.c - see kind_record.h. */
#include "kind_record.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static saved room(size_t n) {
    saved s = {malloc(n), n};
    assert_non_null(s.bytes);
    return s;
}

static void save_piece(warm_engine *e, record *r, int32_t first) {
    warm_err err = {0};
    size_t i = (size_t)first / RECORD_PIECE;
    r->cells[i] = room(e->ops->state_bytes(e, RECORD_PIECE));
    int64_t got = e->ops->state_save(e, 0, first, RECORD_PIECE, r->cells[i].bytes, r->cells[i].n, &err);
    if (got != (int64_t)r->cells[i].n) fail_msg("save cells at %d: %s", first, err.text);
    if (e->info->state != WARM_STATE_WINDOW) return;
    r->rows[i] = room(e->ops->window_bytes(e, RECORD_PIECE));
    got = e->ops->window_save(e, 0, first, RECORD_PIECE, r->rows[i].bytes, r->rows[i].n, &err);
    if (got != (int64_t)r->rows[i].n) fail_msg("save rows at %d: %s", first, err.text);
}

static void save_snapshot(warm_engine *e, saved *s) {
    warm_err err = {0};
    *s = room(e->ops->snapshot_bytes(e, 0));
    int64_t got = e->ops->snapshot_save(e, 0, s->bytes, s->n, &err);
    if (got != (int64_t)s->n || !got) fail_msg("save snapshot: %s", err.text);
}

static void plan_chunks(record *r, const int32_t *positions, size_t n_positions) {
    bool begins[RECORD_MAX + 1] = {0};
    for (int32_t p = 0; p < r->n; p += RECORD_PIECE) begins[p] = true;
    for (size_t i = 0; i < n_positions; i++) begins[positions[i]] = true;
    begins[r->n] = true;
    for (int32_t p = 0; p <= r->n; p++) {
        if (begins[p]) r->at[r->n_chunks++] = p;
    }
    assert_true(r->n_chunks <= RECORD_CHUNKS);
}

void record_make(warm_engine *e, record *r, int32_t n, const int32_t *positions, size_t n_positions) {
    memset(r, 0, sizeof *r);
    r->n = n;
    some_tokens(e, r->tokens, (size_t)n, 11);
    plan_chunks(r, positions, n_positions);
    e->ops->clear(e, true);
    for (size_t c = 0; c < r->n_chunks; c++) {
        int32_t from = r->at[c];
        if (from && warm_state_has_snapshots(e->info->state)) save_snapshot(e, &r->snapshot[c]);
        if (c + 1 == r->n_chunks) break;
        int32_t to = r->at[c + 1];
        r->logits[c] = decode(e, 0, r->tokens, from, to, to - from);
        if (to % RECORD_PIECE == 0 && warm_state_has_ranges(e->info->state)) save_piece(e, r, to - RECORD_PIECE);
    }
}

void record_free(record *r) {
    for (size_t i = 0; i < RECORD_CHUNKS; i++) {
        free(r->logits[i]);
        free(r->snapshot[i].bytes);
    }
    for (size_t i = 0; i < RECORD_MAX / RECORD_PIECE; i++) {
        free(r->cells[i].bytes);
        free(r->rows[i].bytes);
    }
}

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

void record_load_cells(warm_engine *e, int32_t seq, const record *r, int32_t from, int32_t p) {
    while (from < p) {
        warm_err err = {0};
        int32_t first = from / RECORD_PIECE * RECORD_PIECE, upto = least(first + RECORD_PIECE, p);
        const saved *s = &r->cells[first / RECORD_PIECE];
        if (e->ops->state_load(e, seq, s->bytes, s->n, first, RECORD_PIECE, from, upto, &err)) fail_msg("load: %s", err.text);
        from = upto;
    }
}

void record_load_rows(warm_engine *e, int32_t seq, const record *r, int32_t from, int32_t p) {
    while (from < p) {
        warm_err err = {0};
        int32_t first = from / RECORD_PIECE * RECORD_PIECE, upto = least(first + RECORD_PIECE, p);
        const saved *s = &r->rows[first / RECORD_PIECE];
        if (e->ops->window_load(e, seq, s->bytes, s->n, first, RECORD_PIECE, from, upto, &err)) fail_msg("rows: %s", err.text);
        from = upto;
    }
}

void record_complete(warm_engine *e, int32_t seq, const record *r, int32_t p) {
    if (e->info->state == WARM_STATE_WINDOW) record_load_rows(e, seq, r, 0, p);
    if (!warm_state_has_snapshots(e->info->state)) return;
    warm_err err = {0};
    const saved *s = &r->snapshot[record_chunk(r, p)];
    if (e->ops->snapshot_load(e, seq, s->bytes, s->n, p, &err)) fail_msg("snapshot at %d: %s", p, err.text);
}

void record_load(warm_engine *e, int32_t seq, const record *r, int32_t p) {
    if (warm_state_has_ranges(e->info->state)) record_load_cells(e, seq, r, 0, p);
    record_complete(e, seq, r, p);
    assert_true(e->ops->can_continue(e, seq, p));
}

size_t record_chunk(const record *r, int32_t p) {
    size_t c = 0;
    while (c < r->n_chunks && r->at[c] != p) c++;
    assert_true(c < r->n_chunks);
    return c;
}

void assert_goes_on(warm_engine *e, int32_t seq, const record *r, int32_t p) {
    size_t c = record_chunk(r, p);
    float *got = decode(e, seq, r->tokens, p, r->at[c + 1], r->at[c + 1] - p);
    if (memcmp(got, r->logits[c], e->info->n_vocab * sizeof *got) != 0) fail_msg("other logits behind %d", p);
    free(got);
}

void assert_goes_on_nearly(warm_engine *e, int32_t seq, const record *r, int32_t p) {
    size_t c = record_chunk(r, p);
    float *got = decode(e, seq, r->tokens, p, r->at[c + 1], r->at[c + 1] - p);
    float size = 0, difference = 0;
    for (uint32_t i = 0; i < e->info->n_vocab; i++) {
        size = fmaxf(size, fabsf(got[i]));
        difference = fmaxf(difference, fabsf(got[i] - r->logits[c][i]));
    }
    if (difference > 0.01f * size) fail_msg("logits behind %d differ by %g of %g", p, (double)difference, (double)size);
    free(got);
}
