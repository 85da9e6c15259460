/* SPDX-License-Identifier: MIT
 *
 * cache/adopt.c - whole blocks that come from elsewhere than an engine, and conversations that are forgotten.
 *
 * Pieces that come from elsewhere have the size they were saved with, which need not be that of the pieces that the tree already has of
 * these units; and state can't be cut. So they come in as a block at once:
 *   - nothing of it is there: a new block;
 *   - a block there has a part of it and goes on otherwise: a new sibling of it, which shares no piece with it;
 *   - a tail there is a prefix of it: the new pieces take the place of all of the tail's. Whoever holds those keeps them.
 * In each case the new units are no prefix of a sibling's, nor a sibling's of theirs.
 *
 * Invariants
 *  (1) Everything that can fail is done before the tree is touched.
 *  (2) Forgetting takes nothing that is pinned or has a child. */
#include "cache/cache_internal.h"

#include <string.h>

void warm_path_units(const warm_path *p, size_t from, size_t n, warm_unit *out) {
    const warm_block *b = p->block_;
    assert(from + n <= warm__block_end(b) || n == 0);
    for (size_t end = from + n; end > from; end = b->start) {
        while (b->start >= end) b = b->parent;
        size_t first = b->start > from ? b->start : from;
        memcpy(out + (first - from), b->units + (first - b->start), (end - first) * sizeof *out);
    }
}

/* ---- coming ---- */

void warm_cache_block_abort(warm_cache *c, warm_block_save *b) {
    for (size_t i = 0; i < b->n_pieces; i++) warm_piece_unref(c, b->pieces[i].piece_);
    *b = (warm_block_save){0};
}

int warm_cache_block_begin(warm_cache *c, size_t start, size_t n_units, size_t piece_units, const size_t *bytes,
                           const size_t *window_bytes, warm_block_save *out) {
    assert(n_units > 0 && n_units <= WARM_BLOCK_UNITS && piece_units >= WARM_PIECE_MIN);
    *out = (warm_block_save){.start = start, .n_units = n_units, .piece_units = piece_units};
    for (size_t at = 0; at < n_units; at += piece_units) {
        size_t i = out->n_pieces, left = n_units - at, count = left < piece_units ? left : piece_units;
        warm_save *s = &out->pieces[i];
        assert(window_bytes[i] == 0 || c->window);
        int rc = warm__piece_new(c, start + at, count, bytes[i], window_bytes[i], &s->piece_);
        if (rc) {
            c->stats.n_refused += rc == WARM_EFULL;
            warm_cache_block_abort(c, out);
            return rc;
        }
        warm_piece *x = s->piece_;
        s->start = start + at;
        s->count = count;
        s->piece_units = piece_units;
        s->data = x->extent.data;
        s->bytes = bytes[i];
        s->window = window_bytes[i] ? x->window->extent.data : NULL;
        s->window_bytes = window_bytes[i];
        out->n_pieces++;
    }
    return 0;
}

static int body_new(warm_cache *c, const warm_block_save *s, const warm_unit *units, warm_block *body) {
    void *p;
    int rc = warm__evict_alloc(c, warm__tree_body_bytes(s->n_units, s->n_pieces), &p);
    if (rc) return rc;
    body->units = p;
    body->pieces = (warm_piece **)(void *)(body->units + s->n_units);
    body->n_units = (uint32_t)s->n_units;
    body->n_pieces = (uint32_t)s->n_pieces;
    body->piece_units = (uint16_t)s->piece_units;
    memcpy(body->units, units + s->start, s->n_units * sizeof *units);
    return 0;
}

static void own_all(warm_cache *c, warm_block *b, const warm_block_save *s) {
    for (size_t i = 0; i < s->n_pieces; i++) {
        b->pieces[i] = s->pieces[i].piece_;
        warm__piece_own(c, b->pieces[i]);
    }
}

static int replace_tail(warm_cache *c, const warm_block_save *s, const warm_unit *units, warm_block *b) {
    warm_block body;
    int rc = body_new(c, s, units, &body);
    if (rc) return rc;
    own_all(c, &body, s);
    for (size_t i = 0; i < b->n_pieces; i++) warm__piece_disown(c, b->pieces[i]);
    warm__evict_dealloc(c, b->units, warm__tree_body_bytes(b->n_units, b->n_pieces));
    c->stats.n_units += body.n_units - b->n_units;
    b->units = body.units;
    b->pieces = body.pieces;
    b->n_units = body.n_units;
    b->n_pieces = body.n_pieces;
    b->piece_units = body.piece_units;
    warm__spill_changed(c, b);
    return 0;
}

static int add_below(warm_cache *c, const warm_block_save *s, const warm_unit *units, warm_block *up, warm_block **out) {
    void *p;
    int rc = warm__evict_alloc(c, warm__block_bytes(c), &p);
    if (rc) return rc;
    warm_block *b = p;
    *b = warm__block_below(up);
    rc = body_new(c, s, units, b);
    if (rc) goto no_body;
    rc = warm__tree_reserve_child(c, up);
    if (rc) goto no_room;
    own_all(c, b, s);
    warm__spill_born(c, b);
    warm__tree_link(c, b);
    *out = b;
    return 0;

no_room:
    warm__evict_dealloc(c, b->units, warm__tree_body_bytes(b->n_units, b->n_pieces));
no_body:
    warm__evict_dealloc(c, b, warm__block_bytes(c));
    return rc;
}

/* The path has just been advanced and ends before the new block does. */
static int insert(warm_cache *c, warm_path *p, const warm_block_save *s, const warm_unit *units) {
    warm_block *b = p->block_, *added = NULL;
    bool behind = p->n_units == warm__block_end(b);
    if (behind && warm__block_full(b)) {
        if (p->n_units != s->start) return WARM_EAGAIN;
    } else {
        if (b->start != s->start) return WARM_EAGAIN;
        if (behind) return replace_tail(c, s, units, b);
        b = b->parent;
    }
    int rc = add_below(c, s, units, b, &added);
    if (rc) return rc;
    warm__tree_pin(c, added);
    warm__tree_unpin(c, p->block_);
    p->block_ = added;
    return 0;
}

int warm_cache_block_commit(warm_cache *c, warm_path *p, warm_block_save *s, const warm_unit *units) {
    size_t end = s->start + s->n_units;
    int rc = 0;
    if (p->n_units >= end || warm_cache_advance(c, p, units, end) >= end) {
        for (size_t i = 0; i < s->n_pieces; i++) (void)warm__save_give_rows(c, p, s->pieces[i].piece_);
    } else {
        rc = insert(c, p, s, units);
        c->stats.n_refused += rc == WARM_EFULL;
        if (!rc) p->n_units = end;
        for (size_t i = 0; !rc && i < s->n_pieces; i++) c->stats.saved_bytes += s->pieces[i].bytes + s->pieces[i].window_bytes;
        if (!rc) c->stats.n_saved += s->n_pieces;
    }
    if (!rc && !p->block_->dead) warm__policy_touch(c, p->block_);
    warm_cache_block_abort(c, s);
    return rc;
}

/* ---- going ---- */

void warm_cache_forget(warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n, size_t keep) {
    const warm_block *at = &s->root;
    size_t pos = 0;
    warm__tree_descend(&at, &pos, units, n);
    warm_block *b = (warm_block *)at;
    /* Somebody's conversation goes on inside this block: it is his. */
    if (pos < warm__block_end(b) && b->parent) {
        pos = b->start;
        b = b->parent;
    }
    while (b->parent && b->n_children == 0 && b->pins == 0) {
        warm_block *up = b->parent;
        if (b->start + warm__tree_shared_units(b) < (keep < pos ? keep : pos) && b->start < keep) break;
        warm__tree_kill(c, b);
        b = up;
        pos = warm__block_end(b);
    }
}
