/* SPDX-License-Identifier: MIT
 *
 * cache/check.c - walks everything and asserts the invariants of cache.h, tree.c, snapshot.c, piece.c, evict.c and policy.c.
 *
 * Every sum is computed again from the nodes themselves and compared with the counters. The walk follows the lists, not the
 * tree: every listed block is proved to be a child of its parent, which begins before it, and the children of all add up
 * to the blocks listed, so the lists and the tree hold the same. */
#include "cache/cache_internal.h"

struct sums {
    size_t n_blocks, n_units, n_children, n_snapshots, n_evictable, index_bytes;
};

static void check_pieces_of(const warm_block *b, bool mark) {
    size_t covered = 0;
    for (size_t i = 0; i < b->n_pieces; i++) {
        warm_piece *x = b->pieces[i];
        assert(x->start == b->start + i * b->piece_units);
        assert(i + 1 == b->n_pieces ? x->n_units <= b->piece_units : x->n_units == b->piece_units);
        covered += x->n_units;
        if (mark) x->seen++;
    }
    assert(covered == b->n_units);
}

static bool less(const warm_block *a, const warm_block *b) {
    size_t n = a->n_units < b->n_units ? a->n_units : b->n_units;
    for (size_t i = 0; i < n; i++) {
        if (a->units[i] != b->units[i]) return a->units[i] < b->units[i];
    }
    return false; /* a prefix is not allowed among siblings */
}

static void check_children(const warm_block *b, struct sums *sum) {
    assert(b->children_cap == 0 ? b->n_children <= 1 : b->n_children <= b->children_cap);
    assert(b->n_children == 0 || warm__block_full(b));
    for (size_t i = 0; i < b->n_children; i++) {
        const warm_block *x = warm__tree_child(b, i);
        assert(x->parent == b && !x->dead && x->start == warm__block_end(b));
        if (b->children_cap) assert(b->children.many[i].first == x->units[0]);
        if (i) assert(less(warm__tree_child(b, i - 1), x));
    }
    sum->n_children += b->n_children;
    if (b->children_cap) sum->index_bytes += warm__evict_cost(b->children_cap * sizeof(struct warm__child));
}

/* A prefix comes first. */
static bool snapshot_less(const struct warm__snapshot *a, const struct warm__snapshot *b) {
    size_t n = a->n_units < b->n_units ? a->n_units : b->n_units;
    size_t k = warm__tree_common(a->units, b->units, 0, n);
    return k == n ? a->n_units < b->n_units : a->units[k] < b->units[k];
}

static void check_snapshots_of(const warm_block *b, struct sums *sum) {
    const struct warm__snapshots *set = b->snapshots;
    if (!set) return;
    assert(!b->dead && warm__block_full(b) && set->n > 0 && set->n <= set->cap);
    for (size_t i = 0; i < set->n; i++) {
        const struct warm__snapshot *x = set->at[i];
        size_t end = warm__block_end(b) + x->n_units;
        assert(x->parent == b && x->piece->n_units == 0 && x->piece->start == end && end > 0 && x->piece->owners == 1);
        x->piece->seen++;
        if (i) assert(snapshot_less(set->at[i - 1], x));
        assert(warm__tree_covers(b, x->units, x->n_units));
        sum->index_bytes += warm__evict_cost(warm__snapshot_bytes(x->n_units));
    }
    sum->n_snapshots += set->n;
    sum->index_bytes += warm__evict_cost(warm__snapshot_array_bytes(set->cap));
}

static void check_block(const warm_cache *c, const warm_block *b, struct sums *sum) {
    assert(b->parent && b->n_units > 0 && b->n_pieces > 0);
    warm_block as = warm__block_below(b->parent);
    assert(b->start == as.start && b->jump == as.jump && b->depth == as.depth);
    check_pieces_of(b, true);
    check_children(b, sum);
    check_snapshots_of(b, sum);
    sum->index_bytes += warm__evict_cost(warm__block_bytes(c)) + warm__evict_cost(warm__tree_body_bytes(b->n_units, b->n_pieces));
}

static void check_live(const warm_cache *c, const struct warm__link *list, struct sums *sum) {
    for (const struct warm__link *l = list->next; l != list; l = l->next) {
        const warm_block *b = WARM__OF(warm_block, order, l);
        check_block(c, b, sum);
        assert(!b->dead && !b->parent->dead && b->tick <= c->tick);
        assert(warm__block_leaf(b) == (list == &c->leaves));
        sum->n_blocks++;
        sum->n_units += b->n_units;
        sum->n_evictable += warm__block_leaf(b) && b->pins == 0;
    }
}

static void check_dead(const warm_cache *c, struct sums *sum) {
    for (const struct warm__link *l = c->dead.next; l != &c->dead; l = l->next) {
        const warm_block *b = WARM__OF(warm_block, order, l);
        check_block(c, b, sum);
        assert(b->dead && b->pins > 0 && warm__block_leaf(b) && b->parent->pins > 0);
    }
}

/* Every piece once: its owners are those just walked over. */
static void check_pieces(const warm_cache *c, struct sums *sum) {
    const warm_cache_stats *st = &c->stats;
    size_t n_pieces = 0, piece_bytes = 0, window_bytes = 0, snapshot_bytes = 0, n_windows = 0;
    for (const struct warm__link *l = c->pieces.next; l != &c->pieces; l = l->next) {
        warm_piece *x = WARM__OF(warm_piece, all, l);
        assert(x->owners == x->seen && x->owners + x->holders > 0);
        if (x->n_units) {
            n_pieces++;
            assert(x->has_window == (c->window != 0));
        } else {
            snapshot_bytes += x->extent.held_bytes;
            assert(x->owners <= 1 && !x->has_window);
        }
        piece_bytes += x->extent.held_bytes;
        if (x->has_window) {
            const struct warm__window *w = x->window;
            assert(atomic_load(&w->there) == (w->extent.data != NULL));
            if (w->lost) assert(w->extent.data && x->holders > 0);
            window_bytes += w->extent.held_bytes;
            n_windows += warm__piece_window(x) != NULL;
        }
        sum->index_bytes += warm__evict_cost(warm__piece_header_bytes(x));
    }
    assert(n_pieces == st->n_pieces && window_bytes == st->window_bytes && snapshot_bytes == st->snapshot_bytes);
    assert(piece_bytes + window_bytes == st->piece_bytes && n_windows == st->n_windows);
}

static void check_windows(const warm_cache *c) {
    size_t n = 0;
    for (int marked = 0; marked < 2; marked++) {
        size_t n_spare = 0;
        uint64_t before = 0;
        for (const struct warm__link *l = c->windows[marked].next; l != &c->windows[marked]; l = l->next) {
            warm_piece *x = WARM__OF(warm_piece, window[0].order, l);
            const struct warm__window *w = warm__piece_window(x);
            assert(w == x->window && (w->tick != 0) == marked && w->tick >= before && w->tick <= c->tick);
            before = w->tick;
            n_spare += x->holders == 0;
            n++;
        }
        assert(n_spare == c->n_spare_windows[marked]);
    }
    assert(n == c->stats.n_windows);
}

static void check_snapshots(const warm_cache *c) {
    size_t n = 0, n_spare = 0;
    uint64_t before = 0;
    for (const struct warm__link *l = c->snapshots.next; l != &c->snapshots; l = l->next) {
        const struct warm__snapshot *x = WARM__OF(struct warm__snapshot, order, l);
        assert(!x->parent->dead && x->tick >= before && x->tick <= c->tick);
        before = x->tick;
        n_spare += x->piece->holders == 0;
        n++;
    }
    assert(n == c->stats.n_snapshots && n_spare == c->n_spare_snapshots);
}

void warm_cache_check(const warm_cache *c) {
    for (struct warm__link *l = c->pieces.next; l != &c->pieces; l = l->next) WARM__OF(warm_piece, all, l)->seen = 0;
    struct sums sum = {0};
    check_live(c, &c->leaves, &sum);
    check_live(c, &c->inner, &sum);
    check_dead(c, &sum);
    for (size_t i = 0; i < c->n_scopes; i++) {
        const warm_block *root = &c->scopes[i]->root;
        assert(root->start == 0 && root->n_units == 0 && root->n_pieces == 0 && !root->dead);
        check_children(root, &sum);
        check_snapshots_of(root, &sum);
        sum.index_bytes += warm__evict_cost(sizeof(warm_scope));
    }
    if (c->scopes_cap) sum.index_bytes += warm__evict_cost(c->scopes_cap * sizeof *c->scopes);
    if (c->shadow) sum.index_bytes += warm__evict_cost(warm__shadow_bytes(c->n_shadow));
    check_pieces(c, &sum);
    check_windows(c);
    check_snapshots(c);

    const warm_cache_stats *st = &c->stats;
    assert(sum.n_blocks == st->n_blocks && sum.n_children == st->n_blocks && sum.n_units == st->n_units);
    assert(sum.n_evictable == c->n_evictable && sum.n_snapshots == st->n_snapshots);
    assert(sum.index_bytes == st->index_bytes);

    warm_store_stats store;
    c->store->ops->stats(c->store, &store);
    assert(store.used_bytes == st->piece_bytes);
    assert(store.used_bytes + store.free_bytes + sum.index_bytes <= c->budget->used_bytes); /* others may draw on it too */
    assert(c->budget->used_bytes <= c->budget->limit_bytes);
}
