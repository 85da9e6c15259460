/* SPDX-License-Identifier: MIT
 *
 * cache/save.c - what a sequence has that the tree has not, and how it gets in: next_piece, begin, write, commit.
 *
 * The tree goes on changing between begin and commit (others save, evict, quarantine), so nothing decided at begin binds:
 * commit moves the path over the tree as it is then and decides anew where the piece belongs. If the tree has the range by
 * then, the piece is dropped and that is a success; if the piece does not fit any more, WARM_EAGAIN sends the saver back to advance.
 *
 * A path ends in one of three places, and that decides everything:
 *   CHILD  at the end of a full block or at the root: a new block begins there, on the caller's grid.
 *   GROW   at the end of a tail: the tail takes the piece, on its own grid. A short last piece is replaced by one that covers the
 *          same units and more; whoever holds the old one keeps it.
 *   FORK   inside a block: a sibling takes references to that block's whole pieces before the fork, and the piece begins at the
 *          grid line at or before it. Only on the same grid can they be shared, so the grid is inherited.
 * In all three the piece ends behind the path, and the tree's longest match ended at the path: so the new units are
 * no prefix of a sibling's, nor a sibling's of theirs.
 *
 * Invariants
 *  (1) Everything that can fail is done before the tree is touched.
 *  (2) The path pins its block, so making room never takes what is being built upon. */
#include "cache/cache_internal.h"

#include <string.h>

enum kind { CHILD, GROW, FORK };

struct place {
    enum kind kind;
    size_t start, piece_units;
};

static struct place place_of(const warm_path *p, size_t piece_units) {
    const warm_block *b = p->block_;
    size_t end = warm__block_end(b);
    if (p->n_units == end && warm__block_full(b)) return (struct place){CHILD, end, piece_units};
    size_t grid = b->piece_units;
    return (struct place){p->n_units == end ? GROW : FORK, b->start + (p->n_units - b->start) / grid * grid, grid};
}

static bool valid_grid(size_t n) {
    return n >= WARM_PIECE_MIN && n <= WARM_BLOCK_UNITS && (n & (n - 1)) == 0;
}

bool warm_cache_next_piece(const warm_cache *c, const warm_path *p, size_t n, size_t piece_units, size_t *start, size_t *count) {
    (void)c;
    assert(valid_grid(piece_units));
    if (n <= p->n_units) return false;
    struct place at = place_of(p, piece_units);
    size_t rest = n - at.start;
    *start = at.start;
    *count = rest < at.piece_units ? rest : at.piece_units;
    return true;
}

static int begin(warm_cache *c, const warm_save *want, const warm_block *behind, warm_save *out) {
    warm_piece *piece;
    c->newcomer = behind && behind->parent ? behind : NULL;
    int rc = warm__piece_new(c, want->start, want->count, want->bytes, want->window_bytes, &piece);
    c->newcomer = NULL;
    if (rc) {
        c->stats.n_refused += rc == WARM_EFULL;
        return rc;
    }
    *out = *want;
    out->data = piece->extent.data;
    out->window = want->window_bytes ? piece->window->extent.data : NULL;
    out->piece_ = piece;
    return 0;
}

int warm_cache_save_begin(warm_cache *c, const warm_path *p, size_t start, size_t count, size_t piece_units, size_t bytes,
                          size_t window_bytes, warm_save *out) {
    assert(valid_grid(piece_units) && (window_bytes == 0 || c->window));
    struct place at = place_of(p, piece_units);
    assert(start == at.start && count <= at.piece_units && start + count > p->n_units);
    warm_save want = {.start = start, .count = count, .piece_units = at.piece_units, .bytes = bytes, .window_bytes = window_bytes};
    return begin(c, &want, p->block_, out);
}

int warm_cache_save_begin_window(warm_cache *c, size_t start, size_t count, size_t window_bytes, warm_save *out) {
    assert(c->window && window_bytes > 0);
    warm_save want = {.start = start, .count = count, .window_bytes = window_bytes, .rows_only_ = true};
    return begin(c, &want, NULL, out);
}

void warm_cache_save_without_window(warm_cache *c, warm_save *s) {
    warm__piece_give_window(c, s->piece_);
    s->window = NULL;
    s->window_bytes = 0;
}

void warm_cache_save_abort(warm_cache *c, warm_save *s) {
    warm_piece_unref(c, s->piece_);
    *s = (warm_save){0};
}

/* A body for the units [b_start, s->start + s->count): pieces behind units. */
static int body_new(warm_cache *c, const warm_save *s, size_t b_start, const warm_unit *units, warm_block *body) {
    size_t n_units = s->start + s->count - b_start;
    size_t n_pieces = (s->start - b_start) / s->piece_units + 1;
    void *p;
    int rc = warm__evict_alloc(c, warm__tree_body_bytes(n_units, n_pieces), &p);
    if (rc) return rc;
    body->units = p;
    body->pieces = (warm_piece **)(void *)(body->units + n_units);
    body->n_units = (uint32_t)n_units;
    body->n_pieces = (uint32_t)n_pieces;
    memcpy(body->units, units + b_start, n_units * sizeof *units);
    return 0;
}

static int grow(warm_cache *c, const warm_save *s, const warm_unit *units, warm_block *b) {
    warm_block body;
    int rc = body_new(c, s, b->start, units, &body);
    if (rc) return rc;
    size_t kept = body.n_pieces - 1;
    memcpy(body.pieces, b->pieces, kept * sizeof *b->pieces);
    body.pieces[kept] = s->piece_;
    warm__piece_own(c, s->piece_);
    if (kept < b->n_pieces) {
        warm__piece_mark_like(c, s->piece_, b->pieces[kept]);
        warm__piece_disown(c, b->pieces[kept]);
    }
    warm__evict_dealloc(c, b->units, warm__tree_body_bytes(b->n_units, b->n_pieces));
    c->stats.n_units += body.n_units - b->n_units;
    b->units = body.units;
    b->pieces = body.pieces;
    b->n_units = body.n_units;
    b->n_pieces = body.n_pieces;
    warm__value_label(c, b);
    warm__spill_changed(c, b);
    return 0;
}

/* A new block below `up`; its pieces before the new one are those of `model` (NULL: there are none). */
static int add_block(warm_cache *c, const warm_save *s, const warm_unit *units, warm_block *up, const warm_block *model,
                     warm_block **out) {
    void *p;
    int rc = warm__evict_alloc(c, warm__block_bytes(c), &p);
    if (rc) return rc;
    warm_block *b = p;
    *b = warm__block_below(up);
    b->piece_units = (uint16_t)s->piece_units;
    rc = body_new(c, s, b->start, units, b);
    if (rc) goto no_body;
    rc = warm__tree_reserve_child(c, up);
    if (rc) goto no_room;
    size_t shared = b->n_pieces - 1;
    assert(shared == 0 || model);
    for (size_t i = 0; i < shared; i++) {
        b->pieces[i] = model->pieces[i];
        warm__piece_own(c, b->pieces[i]);
    }
    b->pieces[shared] = s->piece_;
    warm__piece_own(c, s->piece_);
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

/* Puts the piece where the path, which has just been advanced, says it belongs. */
static int insert(warm_cache *c, warm_path *p, const warm_save *s, const warm_unit *units) {
    struct place at = place_of(p, s->piece_units);
    if (at.start != s->start || at.piece_units != s->piece_units) return WARM_EAGAIN;
    warm_block *b = p->block_;
    if (at.kind == GROW) return grow(c, s, units, b);
    warm_block *added;
    int rc = at.kind == CHILD ? add_block(c, s, units, b, NULL, &added) : add_block(c, s, units, b->parent, b, &added);
    if (rc) return rc;
    warm__tree_pin(c, added);
    warm__tree_unpin(c, b);
    p->block_ = added;
    return 0;
}

bool warm__save_give_rows(warm_cache *c, const warm_path *p, warm_piece *from) {
    warm_piece *x = warm__block_piece(warm__path_block(p, from->start), from->start);
    if (x->start != from->start || x->n_units != from->n_units) return false;
    warm__piece_move_window(c, from, x);
    return true;
}

bool warm_cache_next_window(const warm_cache *c, const warm_path *p, size_t pos, size_t *start, size_t *count) {
    if (!c->window) return false;
    bool found = false;
    const warm_block *b = p->block_;
    for (size_t at = p->n_units; at > pos; at = b->start) {
        while (b->start >= at) b = b->parent;
        for (size_t i = b->n_pieces; i-- > 0;) {
            const warm_piece *x = b->pieces[i];
            if (x->start + x->n_units > p->n_units || atomic_load(&x->window->there)) continue;
            if (x->start + x->n_units <= pos) break;
            *start = x->start;
            *count = x->n_units;
            found = true;
        }
    }
    return found;
}

static int commit_rows(warm_cache *c, const warm_path *p, const warm_save *s) {
    if (p->n_units < s->start + s->count || !warm__save_give_rows(c, p, s->piece_)) return WARM_EAGAIN;
    c->stats.saved_bytes += s->window_bytes;
    return 0;
}

int warm_cache_save_commit(warm_cache *c, warm_path *p, warm_save *s, const warm_unit *units, warm_piece_view *v) {
    size_t end = s->start + s->count;
    int rc = 0;
    if (s->rows_only_) {
        rc = commit_rows(c, p, s);
        if (rc) goto out;
    } else if (p->n_units >= end || warm_cache_advance(c, p, units, end) >= end) {
        (void)warm__save_give_rows(c, p, s->piece_);
    } else {
        rc = insert(c, p, s, units);
        if (rc) {
            c->stats.n_refused += rc == WARM_EFULL;
            goto out;
        }
        p->n_units = end;
        c->stats.n_saved++;
        c->stats.saved_bytes += s->bytes + s->window_bytes;
    }
    /* dead: the path was already behind the range, and its block has been unlinked since; the next advance will tell */
    if (!p->block_->dead) warm__policy_touch(c, p->block_);
    if (v) warm_path_piece(c, p, s->start, v);
out:
    warm_piece_unref(c, s->piece_);
    *s = (warm_save){0};
    return rc;
}
