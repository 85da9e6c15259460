/* SPDX-License-Identifier: MIT
 *
 * cache/resume.c - where a sequence can go on: the last resume point of a path, and which window rows are worth keeping.
 *
 * The path is walked backwards once, whatever is missing: a piece without its window rows moves the point to the piece's start, because no
 * position in it or in the window behind it can do without them, and the search goes on from there.
 *
 * The array of views is the caller's for the time of a load, a few per request, and is not drawn from the budget. */
#include "cache/cache_internal.h"

#include <stdlib.h>

#include "base/alloc.h"

/* The first unit whose window rows a sequence of pos units needs to go on. */
static size_t window_start(const warm_cache *c, size_t pos) {
    return pos < c->window ? 0 : pos - c->window + 1;
}

/* The last position at which all window rows are there; *n: the number of pieces that hold them. */
static size_t find_window(const warm_cache *c, const warm_path *p, size_t *n) {
    size_t q = p->n_units, from = window_start(c, q), pos = q;
    const warm_block *b = p->block_;
    *n = 0;
    while (pos > from) {
        while (b->start >= pos) b = b->parent;
        warm_piece *x = warm__block_piece(b, pos - 1);
        pos = x->start;
        ++*n;
        if (warm__piece_window(x)) continue;
        q = pos;
        from = window_start(c, q);
        *n = 0;
    }
    return q;
}

size_t warm_cache_match_resume(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n) {
    const warm_block *b = &s->root;
    size_t n_pieces;
    warm_path p = {0};
    warm__tree_descend(&b, &p.n_units, units, n);
    p.block_ = (warm_block *)b;
    if (c->window) return find_window(c, &p, &n_pieces);
    return c->has_snapshots ? warm_cache_snapshot_before(c, &p, p.n_units) : p.n_units;
}

static int resume_window(warm_cache *c, warm_path *p, warm_resume *out) {
    size_t n, q = find_window(c, p, &n);
    if (n) {
        out->window = warm_malloc(n * sizeof *out->window);
        if (!out->window) return WARM_ENOMEM;
    }
    warm__tree_repin(c, p, q);
    out->n_window = n;
    for (size_t pos = q; n--; pos = out->window[n].start) warm_path_piece(c, p, pos - 1, &out->window[n]);
    return 0;
}

int warm_cache_resume(warm_cache *c, warm_path *p, warm_resume *out) {
    *out = (warm_resume){0};
    c->tick++;
    int rc = c->window ? resume_window(c, p, out) : 0;
    if (rc) {
        warm_path_release(c, p);
        return rc;
    }
    if (c->has_snapshots) warm__snapshot_resume(c, p, out);
    for (size_t i = 0; i < out->n_window; i++) {
        warm__piece_use_window(c, out->window[i].piece, true);
        warm__spill_marked(c, warm__path_block(p, out->window[i].start));
    }
    if (!p->block_->dead) warm__policy_touch(c, p->block_);
    out->path = *p;
    *p = (warm_path){0};
    return 0;
}

void warm_resume_release(warm_cache *c, warm_resume *r) {
    for (size_t i = 0; i < r->n_window; i++) warm_piece_unref(c, r->window[i].piece);
    free(r->window);
    if (r->snapshot.piece) warm_piece_unref(c, r->snapshot.piece);
    warm_path_release(c, &r->path);
    *r = (warm_resume){0};
}

void warm_cache_mark(warm_cache *c, const warm_path *p, size_t pos) {
    assert(pos <= p->n_units);
    if (!c->window) return;
    size_t from = window_start(c, pos);
    const warm_block *b = p->block_;
    c->tick++;
    while (pos > from) {
        while (b->start >= pos) b = b->parent;
        warm_piece *x = warm__block_piece(b, pos - 1);
        warm__piece_use_window(c, x, true);
        warm__spill_marked(c, (warm_block *)b);
        pos = x->start;
    }
    if (!p->block_->dead) warm__policy_touch(c, p->block_);
}
