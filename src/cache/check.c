/* SPDX-License-Identifier: MIT
 *
 * cache/check.c - walks everything and asserts the invariants of cache.h, tree.c, evict.c and policy.c.
 *
 * Every sum is computed again from the nodes themselves and compared with the counters. The walk follows the lists, not the
 * tree: every listed block is proved to be a child of its parent, which begins before it, and the children of all add up
 * to the blocks listed, so the lists and the tree hold the same. */
#include "cache/cache_internal.h"

struct sums {
    size_t n_blocks, n_units, n_children, n_evictable, index_bytes;
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

static void check_block(const warm_block *b, struct sums *sum) {
    assert(b->parent && b->n_units > 0 && b->n_pieces > 0);
    assert(b->start == warm__block_end(b->parent));
    check_pieces_of(b, true);
    check_children(b, sum);
    sum->index_bytes += warm__evict_cost(sizeof *b) + warm__evict_cost(warm__tree_body_bytes(b->n_units, b->n_pieces));
}

static void check_live(const warm_cache *c, const struct warm__link *list, struct sums *sum) {
    for (const struct warm__link *l = list->next; l != list; l = l->next) {
        const warm_block *b = WARM__OF(warm_block, order, l);
        check_block(b, sum);
        assert(!b->dead && !b->parent->dead && b->tick <= c->tick);
        assert((b->n_children == 0) == (list == &c->leaves));
        sum->n_blocks++;
        sum->n_units += b->n_units;
        sum->n_evictable += b->n_children == 0 && b->pins == 0;
    }
}

static void check_dead(const warm_cache *c, struct sums *sum) {
    for (const struct warm__link *l = c->dead.next; l != &c->dead; l = l->next) {
        const warm_block *b = WARM__OF(warm_block, order, l);
        check_block(b, sum);
        assert(b->dead && b->pins > 0 && b->n_children == 0 && b->parent->pins > 0);
    }
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
        sum.index_bytes += warm__evict_cost(sizeof(warm_scope));
    }
    if (c->scopes_cap) sum.index_bytes += warm__evict_cost(c->scopes_cap * sizeof *c->scopes);

    size_t n_pieces = 0, piece_bytes = 0;
    for (const struct warm__link *l = c->pieces.next; l != &c->pieces; l = l->next) {
        const warm_piece *x = WARM__OF(warm_piece, all, l);
        assert(x->refs > 0 && x->refs >= x->seen && x->n_units > 0);
        n_pieces++;
        piece_bytes += x->extent.held_bytes;
        sum.index_bytes += warm__evict_cost(sizeof *x);
    }
    const warm_cache_stats *st = &c->stats;
    assert(sum.n_blocks == st->n_blocks && sum.n_children == st->n_blocks && sum.n_units == st->n_units);
    assert(sum.n_evictable == c->n_evictable);
    assert(n_pieces == st->n_pieces && piece_bytes == st->piece_bytes && sum.index_bytes == st->index_bytes);

    warm_store_stats store;
    c->store->ops->stats(c->store, &store);
    assert(store.used_bytes == piece_bytes);
    assert(store.used_bytes + store.free_bytes + sum.index_bytes <= c->budget->used_bytes); /* others may draw on it too */
    assert(c->budget->used_bytes <= c->budget->limit_bytes);
}
