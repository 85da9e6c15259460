/* SPDX-License-Identifier: MIT
 *
 * llama/blob_layout.c - see blob_layout.h.
 *
 * One cursor reads both when learning and when checking; it never moves past the end, and a read that would fails it for good.
 * Learning tries the few shapes that a section can have, and what follows it, until one ends exactly with the sample. */
#include "llama/blob_layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

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

static bool is_head(cursor *c) {
    bool magic = take_u32(c) == WARM__BLOB_MAGIC;
    take_u32(c); /* the sequence it came from */
    return magic && !c->bad;
}

/* The number of cells, as the section's kind writes it. */
static bool is_count(cursor *c, enum warm__blob_kind kind, size_t n) {
    if (kind == WARM__BLOB_KV && take_u32(c) != 1) return false;
    return take_u32(c) == n && !c->bad;
}

/* The cells' heads: each position of [first, first+n) once, in any order. */
static bool are_cells(cursor *c, const warm__blob_section *s, uint64_t *seen, int32_t first, size_t n) {
    const uint32_t n_seqs = s->kind == WARM__BLOB_KV ? 1 : 0;
    memset(seen, 0, (n + 63) / 64 * sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)((int64_t)(int32_t)take_u32(c) - first);
        if (take_u32(c) != n_seqs || at >= n || seen[at / 64] >> (at % 64) & 1) return false;
        seen[at / 64] |= 1ull << (at % 64);
        skip(c, s->cell_bytes - 8, 1);
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

static bool learn_rows(cursor *c, bool transposed, size_t n, warm__blob_rows *rows, uint32_t count) {
    for (uint32_t i = 0; i < count && !c->bad; i++) {
        rows[i] = take_rows(c, transposed);
        skip(c, rows[i].cell_bytes, n);
    }
    return !c->bad;
}

static void sum_up(warm__blob_section *s) {
    const bool kv = s->kind == WARM__BLOB_KV;
    const uint64_t heads = 8 + 12ull * (s->n_a + s->n_b);
    s->empty = kv ? 8 : 4 + heads;
    s->fixed = kv ? 8 + heads : 4 + heads;
    s->per_cell = s->cell_bytes;
    for (uint32_t i = 0; i < s->n_a; i++) s->per_cell += s->a[i].cell_bytes;
    for (uint32_t i = 0; i < s->n_b; i++) s->per_cell += s->b[i].cell_bytes;
}

static bool reserve_rows(warm__blob_section *s, uint32_t n_a, uint32_t n_b) {
    s->a = warm_malloc((n_a + n_b + 1) * sizeof *s->a); /* a cache may have no layers: lfm2 with a window in all of them */
    if (!s->a) return false;
    s->b = s->a + n_a;
    s->n_a = n_a;
    s->n_b = n_b;
    return true;
}

/* What a section can look like, to be tried in this order. */
typedef struct shape {
    enum warm__blob_kind kind;
    uint32_t cell_bytes;
    bool has_v;
} shape;

static const shape shapes[] = {{WARM__BLOB_KV, 12, true},
                               {WARM__BLOB_KV, 12, false},
                               {WARM__BLOB_KV, 24, true},
                               {WARM__BLOB_KV, 24, false},
                               {WARM__BLOB_RECURRENT, 8, true}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static bool learn_kv(warm__blob_section *s, cursor *c, bool has_v, size_t n) {
    uint32_t v_trans = take_u32(c);
    s->n_layer = take_u32(c);
    if (c->bad || v_trans > 1 || s->n_layer > LAYERS_MAX) return false;
    s->v_trans = v_trans;
    if (!reserve_rows(s, s->n_layer, has_v ? s->n_layer : 0)) return false;
    if (!learn_rows(c, false, n, s->a, s->n_a) || !learn_rows(c, v_trans, n, s->b, s->n_b)) return false;
    for (uint32_t i = 0; i < s->n_a + s->n_b; i++) {
        if (!s->a[i].cell_bytes) return false;
    }
    return true;
}

/* Layers without rows are not written, so the rows go on to the end of the sample, half of them R and half S. */
static bool learn_recurrent(warm__blob_section *s, cursor *c) {
    uint32_t s_trans = take_u32(c);
    s->n_layer = take_u32(c);
    if (c->bad || s_trans || !s->n_layer || s->n_layer > LAYERS_MAX) return false;
    uint32_t n = 0;
    for (cursor look = *c; look.left && !look.bad && n <= 2 * s->n_layer; n++) {
        warm__blob_rows r = take_rows(&look, false);
        skip(&look, r.cell_bytes, 1);
    }
    if (!n || n % 2 || n > 2 * s->n_layer || !reserve_rows(s, n / 2, n / 2)) return false;
    return learn_rows(c, false, 1, s->a, n) && !c->left;
}

static bool learn_section(warm__blob_layout *l, const shape *as, cursor *c, int32_t first, size_t n) {
    warm__blob_section *s = &l->section[l->n_sections];
    *s = (warm__blob_section){.kind = as->kind, .cell_bytes = as->cell_bytes};
    const bool kv = as->kind == WARM__BLOB_KV;
    const size_t n_cells = kv ? n : 1;
    const int32_t from = kv ? first : first + (int32_t)n - 1;
    if (!is_count(c, as->kind, n_cells) || !are_cells(c, s, l->seen, from, n_cells)) return false;
    if (!(kv ? learn_kv(s, c, as->has_v, n) : learn_recurrent(s, c))) return false;
    sum_up(s);
    return true;
}

static bool learn_sections(warm__blob_layout *l, cursor c, int32_t first, size_t n) {
    if (!c.left) return l->n_sections > 0;
    if (l->n_sections == WARM__BLOB_SECTIONS_MAX) return false;
    for (size_t i = 0; i < N_SHAPES; i++) {
        warm__blob_section *s = &l->section[l->n_sections];
        cursor rest = c;
        if (learn_section(l, &shapes[i], &rest, first, n)) {
            l->n_sections++;
            if (learn_sections(l, rest, first, n)) return true;
            l->n_sections--;
        }
        free(s->a);
        s->a = s->b = NULL;
    }
    return false;
}

int warm__blob_learn(warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n, size_t max_cells) {
    memset(l, 0, sizeof *l);
    if (n < 2 || n > max_cells) return WARM_ENOTSUP;
    l->seen = warm_calloc((max_cells + 63) / 64, sizeof *l->seen);
    if (!l->seen) return WARM_ENOMEM;
    l->max_cells = max_cells;
    cursor c = {blob, bytes, false};
    if (is_head(&c) && learn_sections(l, c, first, n)) return 0;
    warm__blob_free(l);
    return WARM_ENOTSUP;
}

void warm__blob_free(warm__blob_layout *l) {
    for (unsigned i = 0; i < l->n_sections; i++) free(l->section[i].a);
    free(l->seen);
    memset(l, 0, sizeof *l);
}

static uint64_t section_bytes(const warm__blob_section *s, size_t n) {
    return n ? s->fixed + n * s->per_cell : s->empty;
}

size_t warm__blob_bytes(const warm__blob_layout *l, const warm__blob_form *f) {
    uint64_t bytes = WARM__BLOB_HEAD;
    for (unsigned i = f->from; i < l->n_sections; i++) bytes += section_bytes(&l->section[i], f->cells[i].n);
    return (size_t)bytes;
}

size_t warm__blob_cells(const warm__blob_layout *l, const warm__blob_form *f, unsigned s, size_t bytes) {
    warm__blob_form one = *f;
    one.cells[s].n = 1;
    const size_t least = warm__blob_bytes(l, &one), each = (size_t)l->section[s].per_cell;
    return bytes < least || (bytes - least) % each ? 0 : (bytes - least) / each + 1;
}

static bool are_rows(cursor *c, bool transposed, size_t n, const warm__blob_rows *rows, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        warm__blob_rows r = take_rows(c, transposed);
        if (c->bad || r.type != rows[i].type || r.row != rows[i].row) return false;
        skip(c, r.cell_bytes, n);
    }
    return !c->bad;
}

static int check_section(const warm__blob_layout *l, unsigned i, cursor *c, int32_t first, size_t n, warm_err *err) {
    const warm__blob_section *s = &l->section[i];
    if (!is_count(c, s->kind, n)) return warm_err_set(err, WARM_ECORRUPT, "section %u is not one of %zu units", i, n);
    if (s->kind == WARM__BLOB_KV && !n) return 0;
    if (!are_cells(c, s, l->seen, first, n)) {
        return warm_err_set(err, WARM_ECORRUPT, "the positions in section %u are not %d..%lld once each", i, first,
                            (long long)first + (long long)n - 1);
    }
    const bool counts = take_u32(c) == (uint32_t)s->v_trans && take_u32(c) == s->n_layer;
    if (!counts || !are_rows(c, false, n, s->a, s->n_a) || !are_rows(c, s->v_trans, n, s->b, s->n_b)) {
        return warm_err_set(err, WARM_ECORRUPT, "types or row sizes in section %u are not this context's", i);
    }
    return 0;
}

int warm__blob_check(const warm__blob_layout *l, const warm__blob_form *f, const void *blob, size_t bytes, warm_err *err) {
    for (unsigned i = f->from; i < l->n_sections; i++) {
        if (f->cells[i].n > l->max_cells) {
            return warm_err_set(err, WARM_ECORRUPT, "a state of %zu units is larger than the context", f->cells[i].n);
        }
    }
    if (bytes != warm__blob_bytes(l, f)) return warm_err_set(err, WARM_ECORRUPT, "such a state can't have %zu bytes", bytes);
    cursor c = {blob, bytes, false};
    if (!is_head(&c)) return warm_err_set(err, WARM_ECORRUPT, "it does not begin as a state does");
    for (unsigned i = f->from; i < l->n_sections; i++) {
        int rc = check_section(l, i, &c, f->cells[i].first, f->cells[i].n, err);
        if (rc) return rc;
    }
    return c.left ? warm_err_set(err, WARM_ECORRUPT, "%zu bytes are left behind the state", c.left) : 0;
}
