/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_engine.c - see exact_engine.h. */
#include "exact_engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#undef NDEBUG
#include <assert.h>

enum { ROW_NS = 100 * 1000, LOOK_NS = 100, BYTES_PER_NS = 2 };

void exact_script_free(exact_script *s) {
    free(s->tokens);
    free(s->rows);
    *s = (exact_script){0};
}

int32_t exact_likeliest(const float *row, uint32_t n_vocab) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < n_vocab; i++) {
        if (row[i] > row[best]) best = i;
    }
    return (int32_t)best;
}

int32_t exact_script_add(exact_script *s, const float *row, uint32_t n_vocab) {
    assert(row);
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : s->n_forced ? s->n_forced : 4;
        s->rows = warm_realloc(s->rows, s->cap * n_vocab * sizeof *s->rows);
        s->tokens = warm_realloc(s->tokens, s->cap * sizeof *s->tokens);
        assert(s->rows && s->tokens);
    }
    s->n_vocab = n_vocab;
    memcpy(s->rows + s->n * n_vocab, row, n_vocab * sizeof *row);
    s->tokens[s->n] = s->n < s->n_forced ? s->forced[s->n] : exact_likeliest(row, n_vocab);
    return s->tokens[s->n++];
}

static exact_engine *of(warm_engine *e) {
    return (exact_engine *)e;
}

static void note(exact_log *l, size_t pos) {
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->at = warm_realloc(l->at, l->cap * sizeof *l->at);
        assert(l->at);
    }
    l->at[l->n++] = pos;
}

static void note_rows(exact_engine *x, const warm_batch *b) {
    bool prefill = false;
    if (b->seq[0] == b->seq[b->n - 1]) note(&x->ends, (size_t)b->pos[b->n - 1] + 1);
    for (size_t i = 0; i < b->n; i++) {
        x->row_seq[i] = b->seq[i];
        prefill |= i && b->seq[i] == b->seq[i - 1];
    }
    if (prefill && b->n < x->prefill_least) x->prefill_least = b->n;
}

static int adapters(warm_engine *e, const float *scale, size_t n, warm_err *err) {
    return of(e)->inner->ops->adapters(of(e)->inner, scale, n, err);
}

static int decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    exact_engine *x = of(e);
    assert(b->n <= e->info->n_batch);
    note_rows(x, b);
    x->now_ns += b->n * ROW_NS;
    return x->inner->ops->decode(x->inner, b, err);
}

static const float *logits(warm_engine *e, size_t row) {
    return of(e)->inner->ops->logits(of(e)->inner, row);
}

static void seq_rm(warm_engine *e, int32_t seq, int32_t p0, int32_t p1) {
    of(e)->inner->ops->seq_rm(of(e)->inner, seq, p0, p1);
}

static bool can_continue(warm_engine *e, int32_t seq, int32_t n) {
    return of(e)->inner->ops->can_continue(of(e)->inner, seq, n);
}

static int fork_seq(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    return of(e)->inner->ops->fork(of(e)->inner, src, dst, n, complete, err);
}

static void clear(warm_engine *e, bool data) {
    of(e)->inner->ops->clear(of(e)->inner, data);
}

static size_t state_bytes(const warm_engine *e, size_t n) {
    const warm_engine *inner = ((const exact_engine *)e)->inner;
    return inner->ops->state_bytes(inner, n);
}

static int64_t state_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    of(e)->now_ns += cap / BYTES_PER_NS;
    return of(e)->inner->ops->state_save(of(e)->inner, seq, p0, n, dst, cap, err);
}

static int state_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                      warm_err *err) {
    of(e)->now_ns += bytes / BYTES_PER_NS;
    return of(e)->inner->ops->state_load(of(e)->inner, seq, src, bytes, first, n, p0, p1, err);
}

static void seq_range(warm_engine *e, int32_t seq, int32_t *min, int32_t *max) {
    of(e)->inner->ops->seq_range(of(e)->inner, seq, min, max);
}

static size_t window_bytes(const warm_engine *e, size_t n) {
    const warm_engine *inner = ((const exact_engine *)e)->inner;
    return inner->ops->window_bytes(inner, n);
}

static int64_t window_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    of(e)->now_ns += cap / BYTES_PER_NS;
    return of(e)->inner->ops->window_save(of(e)->inner, seq, p0, n, dst, cap, err);
}

static int window_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                       warm_err *err) {
    of(e)->now_ns += bytes / BYTES_PER_NS;
    return of(e)->inner->ops->window_load(of(e)->inner, seq, src, bytes, first, n, p0, p1, err);
}

static size_t snapshot_bytes(const warm_engine *e, int32_t seq) {
    const warm_engine *inner = ((const exact_engine *)e)->inner;
    return inner->ops->snapshot_bytes(inner, seq);
}

static int64_t snapshot_save(warm_engine *e, int32_t seq, void *dst, size_t cap, warm_err *err) {
    int32_t min, max;
    seq_range(e, seq, &min, &max);
    note(&of(e)->points, (size_t)max + 1);
    of(e)->now_ns += cap / BYTES_PER_NS;
    return of(e)->inner->ops->snapshot_save(of(e)->inner, seq, dst, cap, err);
}

static int snapshot_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err) {
    of(e)->now_ns += bytes / BYTES_PER_NS;
    return of(e)->inner->ops->snapshot_load(of(e)->inner, seq, src, bytes, n, err);
}

/* The task's sampler is its script: nothing has to be asked of a real one. */
static int sampler_new(warm_engine *e, const warm_sampling *s, warm_sampler **out, warm_err *err) {
    (void)s, (void)err;
    assert(of(e)->next);
    *out = (warm_sampler *)of(e)->next;
    of(e)->next = NULL;
    return 0;
}

static void sampler_free(warm_engine *e, warm_sampler *s) {
    (void)e, (void)s;
}

static int sampler_accept(warm_engine *e, warm_sampler *s, int32_t token, bool generated, warm_err *err) {
    (void)e, (void)s, (void)token, (void)generated, (void)err;
    return 0;
}

static int sample(warm_engine *e, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err) {
    (void)err;
    exact_script *script = (exact_script *)s;
    script->seq = of(e)->row_seq[row];
    *out = (warm_sampled){.token = exact_script_add(script, logits(e, row), e->info->n_vocab)};
    return 0;
}

static void close_inner(warm_engine *e) {
    of(e)->inner->ops->close(of(e)->inner);
}

static const warm_engine_ops ops = {
    .name = "exact",
    .adapters = adapters,
    .decode = decode,
    .logits = logits,
    .seq_rm = seq_rm,
    .can_continue = can_continue,
    .fork = fork_seq,
    .clear = clear,
    .state_bytes = state_bytes,
    .state_save = state_save,
    .state_load = state_load,
    .window_bytes = window_bytes,
    .window_save = window_save,
    .window_load = window_load,
    .snapshot_bytes = snapshot_bytes,
    .snapshot_save = snapshot_save,
    .snapshot_load = snapshot_load,
    .seq_range = seq_range,
    .sampler_new = sampler_new,
    .sampler_free = sampler_free,
    .sampler_accept = sampler_accept,
    .sample = sample,
    .close = close_inner,
};

static int tokenize(warm_engine *e, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens, size_t *n,
                    warm_err *err) {
    return of(e)->inner->text->tokenize(of(e)->inner, text, len, add_special, parse_special, tokens, n, err);
}

static size_t token_piece(warm_engine *e, int32_t token, bool special, char *buf, size_t cap) {
    return of(e)->inner->text->token_piece(of(e)->inner, token, special, buf, cap);
}

static bool token_is_eog(warm_engine *e, int32_t token) {
    return of(e)->inner->text->token_is_eog(of(e)->inner, token);
}

static int chat_render(warm_engine *e, const char *request_json, size_t len, const char *json_schema, warm_chat_prompt *out,
                       warm_err *err) {
    return of(e)->inner->text->chat_render(of(e)->inner, request_json, len, json_schema, out, err);
}

static int chat_parse(warm_engine *e, const warm_chat *chat, const char *text, size_t len, bool partial, warm_chat_message *out,
                      warm_err *err) {
    return of(e)->inner->text->chat_parse(of(e)->inner, chat, text, len, partial, out, err);
}

static void chat_free(warm_engine *e, warm_chat *chat) {
    of(e)->inner->text->chat_free(of(e)->inner, chat);
}

static const warm_text_ops text_ops = {tokenize, token_piece, token_is_eog, chat_render, chat_parse, chat_free};

static uint64_t look(void *ud) {
    return ((exact_engine *)ud)->now_ns += LOOK_NS;
}

exact_engine *exact_engine_new(warm_engine *inner) {
    exact_engine *x = warm_xcalloc(1, sizeof *x);
    x->base = (warm_engine){&ops, &text_ops, inner->info};
    x->inner = inner;
    x->clock = (warm_clock){look, x};
    x->prefill_least = SIZE_MAX;
    x->row_seq = warm_xcalloc(inner->info->n_batch, sizeof *x->row_seq);
    return x;
}

void exact_engine_free(exact_engine *e) {
    close_inner(&e->base);
    free(e->row_seq);
    free(e->ends.at);
    free(e->points.at);
    free(e);
}

uint64_t exact_slice_ns(const warm_engine *e, size_t piece_units) {
    /* A piece is what half a slice moves, rounded down to a power of two; half as much again is room for what looking at the clock takes. */
    size_t per_unit = e->ops->state_bytes(e, WARM_BLOCK_UNITS) / WARM_BLOCK_UNITS;
    if (e->info->state == WARM_STATE_WINDOW) per_unit += e->ops->window_bytes(e, WARM_PIECE_MIN) / WARM_PIECE_MIN;
    return 1 + piece_units * per_unit * 3 / BYTES_PER_NS;
}

/* Reads which positions a section of a saved state has: `first` to the end once each. */
static enum exact_cells positions_in(const uint8_t *blob, size_t bytes, size_t first, size_t n) {
    enum { HEAD = 16, CELL = 12 }; /* magic, sequence, streams, cells; of each cell: position, 1, sequence */
    uint32_t n_cells;
    if (bytes < HEAD) return EXACT_CELLS_BAD;
    memcpy(&n_cells, blob + HEAD - 4, sizeof n_cells);
    if (n_cells != n || bytes < HEAD + n * CELL) return EXACT_CELLS_BAD;
    uint8_t *seen = warm_xcalloc(n, 1);
    enum exact_cells is = EXACT_CELLS_ORDERED;
    int32_t at, before = -1;
    for (size_t i = 0; i < n; i++, before = at) {
        memcpy(&at, blob + HEAD + i * CELL, sizeof at);
        if (at < (int32_t)first || at >= (int32_t)(first + n) || seen[(size_t)at - first]++) {
            is = EXACT_CELLS_BAD;
            break;
        }
        if (at < before) is = EXACT_CELLS_MIXED;
    }
    free(seen);
    return is;
}

static enum exact_cells cells_in_range(warm_engine *e, int32_t seq, size_t n) {
    size_t bytes = e->ops->state_bytes(e, n);
    uint8_t *blob = warm_xmalloc(bytes);
    enum exact_cells is = EXACT_CELLS_BAD;
    if (e->ops->state_save(e, seq, 0, n, blob, bytes, NULL) == (int64_t)bytes) is = positions_in(blob, bytes, 0, n);
    free(blob);
    return is;
}

static enum exact_cells window_rows(warm_engine *e, int32_t seq, size_t n) {
    size_t first = n >= e->info->n_window ? n - e->info->n_window + 1 : 0, bytes = e->ops->window_bytes(e, n - first);
    uint8_t *blob = warm_xmalloc(bytes);
    enum exact_cells is = EXACT_CELLS_BAD;
    if (e->ops->window_save(e, seq, (int32_t)first, n - first, blob, bytes, NULL) == (int64_t)bytes) {
        is = positions_in(blob, bytes, first, n - first);
    }
    free(blob);
    return is;
}

/* The rows that ride along in a snapshot; one more than is needed may. */
static enum exact_cells snapshot_rows(warm_engine *e, int32_t seq, size_t n, size_t window) {
    size_t first = n >= window ? n - window + 1 : 0, bytes = e->ops->snapshot_bytes(e, seq);
    uint8_t *blob = warm_xmalloc(bytes ? bytes : 1);
    enum exact_cells is = EXACT_CELLS_BAD;
    if (bytes && e->ops->snapshot_save(e, seq, blob, bytes, NULL) == (int64_t)bytes) {
        is = positions_in(blob, bytes, first, n - first);
        if (is == EXACT_CELLS_BAD && first) is = positions_in(blob, bytes, first - 1, n - first + 1);
    }
    free(blob);
    return is;
}

enum exact_cells exact_cells_of(warm_engine *e, int32_t seq, size_t n, size_t window) {
    enum warm_state_kind state = e->info->state;
    int32_t min, max;
    e->ops->seq_range(e, seq, &min, &max);
    if (max != (int32_t)n - 1 || (state == WARM_STATE_RANGES && min != 0)) return EXACT_CELLS_BAD;
    if (!warm_state_has_ranges(state)) return EXACT_CELLS_ORDERED;
    enum exact_cells cells = cells_in_range(e, seq, n), rows = EXACT_CELLS_ORDERED;
    if (state == WARM_STATE_WINDOW) {
        rows = window_rows(e, seq, n);
    } else if (window) {
        rows = snapshot_rows(e, seq, n, window);
    }
    return cells < rows ? cells : rows;
}
