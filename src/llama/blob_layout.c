/* SPDX-License-Identifier: MIT
 *
 * llama/blob_layout.c - see blob_layout.h.
 *
 * One cursor reads both when learning and when checking; it never moves past the end, and a read that would fails it for good. */
#include "llama/blob_layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define BLOB_MAGIC 0xaf143cd8u
#define LAYERS_MAX 8192u /* above any model; bounds what a sample that is not understood can make us allocate */

typedef struct cursor {
    const uint8_t *p;
    size_t left;
    bool bad;
} cursor;

static void take(cursor *c, void *dst, size_t n) {
    if (c->bad || n > c->left) {
        c->bad = true;
        memset(dst, 0, n);
        return;
    }
    memcpy(dst, c->p, n);
    c->p += n;
    c->left -= n;
}

static uint32_t take_u32(cursor *c) {
    uint32_t v;
    take(c, &v, sizeof v);
    return v;
}

static uint64_t take_u64(cursor *c) {
    uint64_t v;
    take(c, &v, sizeof v);
    return v;
}

static void skip(cursor *c, uint64_t each, size_t n) {
    if (c->bad || (each && n > c->left / each)) {
        c->bad = true;
        return;
    }
    c->p += (size_t)each * n;
    c->left -= (size_t)each * n;
}

static bool is_head(cursor *c, size_t n) {
    bool magic = take_u32(c) == BLOB_MAGIC;
    take_u32(c); /* the sequence it came from */
    return magic && take_u32(c) == 1 && take_u32(c) == n && !c->bad;
}

/* The cells' heads: each position of [first, first+n) once, in any order. */
static bool are_cells(cursor *c, uint32_t cell_bytes, uint64_t *seen, int32_t first, size_t n) {
    memset(seen, 0, (n + 63) / 64 * sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)((int64_t)(int32_t)take_u32(c) - first);
        if (take_u32(c) != 1 || at >= n || seen[at / 64] >> (at % 64) & 1) return false;
        seen[at / 64] |= 1ull << (at % 64);
        skip(c, cell_bytes - 8, 1);
    }
    return !c->bad;
}

/* One layer's head; its rows are still ahead. */
static warm__blob_rows take_rows(cursor *c, bool transposed) {
    warm__blob_rows r;
    r.type = (int32_t)take_u32(c);
    r.row = take_u64(c);
    r.cell_bytes = transposed ? (r.row & UINT32_MAX) * (r.row >> 32) : r.row;
    return r;
}

static bool learn_rows(cursor *c, bool transposed, size_t n, warm__blob_rows *rows, uint32_t *count, uint32_t max) {
    for (*count = 0; *count < max && c->left && !c->bad; (*count)++) {
        rows[*count] = take_rows(c, transposed);
        if (!rows[*count].cell_bytes) return false;
        skip(c, rows[*count].cell_bytes, n);
    }
    return !c->bad;
}

static bool learn_body(warm__blob_layout *l, cursor *c, size_t n) {
    uint32_t v_trans = take_u32(c), n_layer = take_u32(c);
    if (c->bad || v_trans > 1 || !n_layer || n_layer > LAYERS_MAX) return false;
    l->v_trans = v_trans;
    l->k = warm_malloc(2 * n_layer * sizeof *l->k);
    if (!l->k) return false;
    l->v = l->k + n_layer;
    if (!learn_rows(c, false, n, l->k, &l->n_k, n_layer) || l->n_k != n_layer) return false;
    return learn_rows(c, v_trans, n, l->v, &l->n_v, n_layer) && !c->left;
}

static void sum_up(warm__blob_layout *l) {
    l->fixed = 16 + 8 + 12ull * (l->n_k + l->n_v);
    l->per_cell = l->cell_bytes;
    for (uint32_t i = 0; i < l->n_k; i++) l->per_cell += l->k[i].cell_bytes;
    for (uint32_t i = 0; i < l->n_v; i++) l->per_cell += l->v[i].cell_bytes;
}

int warm__blob_learn(warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n, size_t max_cells) {
    memset(l, 0, sizeof *l);
    if (n < 2 || n > max_cells) return WARM_ENOTSUP;
    l->seen = warm_calloc((max_cells + 63) / 64, sizeof *l->seen);
    if (!l->seen) return WARM_ENOMEM;
    l->max_cells = max_cells;
    static const uint32_t heads[] = {12, 24};
    for (size_t i = 0; i < 2; i++) {
        cursor c = {blob, bytes, false};
        l->cell_bytes = heads[i];
        if (is_head(&c, n) && are_cells(&c, heads[i], l->seen, first, n) && learn_body(l, &c, n)) {
            sum_up(l);
            return 0;
        }
        free(l->k);
        l->k = l->v = NULL;
    }
    warm__blob_free(l);
    return WARM_ENOTSUP;
}

void warm__blob_free(warm__blob_layout *l) {
    free(l->k);
    free(l->seen);
    memset(l, 0, sizeof *l);
}

size_t warm__blob_bytes(const warm__blob_layout *l, size_t n) {
    return n ? (size_t)(l->fixed + n * l->per_cell) : 0;
}

static bool are_rows(cursor *c, bool transposed, size_t n, const warm__blob_rows *rows, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        warm__blob_rows r = take_rows(c, transposed);
        if (c->bad || r.type != rows[i].type || r.row != rows[i].row) return false;
        skip(c, r.cell_bytes, n);
    }
    return !c->bad;
}

int warm__blob_check(const warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n, warm_err *err) {
    if (!n || n > l->max_cells || bytes != warm__blob_bytes(l, n)) {
        return warm_err_set(err, WARM_ECORRUPT, "a state of %zu units can't have %zu bytes", n, bytes);
    }
    cursor c = {blob, bytes, false};
    if (!is_head(&c, n)) return warm_err_set(err, WARM_ECORRUPT, "the head is not that of a state of %zu units", n);
    if (!are_cells(&c, l->cell_bytes, l->seen, first, n)) {
        return warm_err_set(err, WARM_ECORRUPT, "the positions are not %d..%lld once each", first,
                            (long long)first + (long long)n - 1);
    }
    bool body = take_u32(&c) == (uint32_t)l->v_trans && take_u32(&c) == l->n_k;
    if (!body || !are_rows(&c, false, n, l->k, l->n_k) || !are_rows(&c, l->v_trans, n, l->v, l->n_v) || c.left) {
        return warm_err_set(err, WARM_ECORRUPT, "types or row sizes of the state are not this context's");
    }
    return 0;
}
