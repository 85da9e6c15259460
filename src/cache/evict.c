/* SPDX-License-Identifier: MIT
 *
 * cache/evict.c - room: every byte of the index is taken from the budget before it is allocated, and what is in the way is evicted.
 *
 * Bytes that pieces free stay with the store, still counted, because touched pages are worth keeping for the next piece. The
 * index can't use those, so it has the store give back just what it lacks before a block is evicted for it.
 *
 * Invariants
 *  (1) budget.used = store's used + store's free + stats.index_bytes, and never more than the limit.
 *  (2) Only what nobody holds is evicted; a request larger than the limit evicts nothing. */
#include "cache/cache_internal.h"

#include <stdlib.h>

#include "base/alloc.h"

/* glibc's malloc: 8 bytes of header, steps of 16, 32 at least; large ones are mapped in whole pages. */
size_t warm__evict_cost(size_t n) {
    const size_t mapped = 131072, page = 4096, step = 16;
    if (n >= mapped) return (n + 2 * sizeof(size_t) + page - 1) & ~(page - 1);
    size_t chunk = (n + sizeof(size_t) + step - 1) & ~(step - 1);
    return chunk < 2 * step ? 2 * step : chunk;
}

bool warm__evict_one(warm_cache *c) {
    struct warm__victim victim = warm__policy_victim(c);
    warm_cache_stats before = c->stats, *st = &c->stats;
    if (victim.window) {
        warm__piece_drop_window(c, victim.window);
    } else if (victim.snapshot) {
        warm__snapshot_unlink(c, victim.snapshot);
    } else if (victim.block) {
        warm__tree_kill(c, victim.block);
    } else {
        return false;
    }
    st->n_evicted += before.n_blocks - st->n_blocks;
    st->n_windows_evicted += before.n_windows - st->n_windows;
    st->n_snapshots_evicted += before.n_snapshots - st->n_snapshots;
    st->evicted_bytes += before.piece_bytes + before.index_bytes - st->piece_bytes - st->index_bytes;
    return true;
}

/* Has the store give back at least `lack` bytes of its free ones, or all. True if the budget's use went down. */
static bool trim(warm_cache *c, size_t lack) {
    warm_store_stats st;
    c->store->ops->stats(c->store, &st);
    size_t before = c->budget->used_bytes;
    if (st.free_bytes) c->store->ops->trim(c->store, st.free_bytes > lack ? st.free_bytes - lack : 0);
    return c->budget->used_bytes < before;
}

int warm__evict_alloc(warm_cache *c, size_t n, void **out) {
    size_t cost = warm__evict_cost(n);
    warm_budget *b = c->budget;
    if (cost > b->limit_bytes) return WARM_EFULL;
    while (warm_budget_take(b, cost) != 0) {
        if (!trim(c, b->used_bytes + cost - b->limit_bytes) && !warm__evict_one(c)) return WARM_EFULL;
    }
    void *p = warm_malloc(n);
    if (!p) {
        warm_budget_give(b, cost);
        return WARM_ENOMEM;
    }
    c->stats.index_bytes += cost;
    *out = p;
    return 0;
}

void warm__evict_dealloc(warm_cache *c, void *p, size_t n) {
    size_t cost = warm__evict_cost(n);
    free(p);
    c->stats.index_bytes -= cost;
    warm_budget_give(c->budget, cost);
}

bool warm__evict_shrink(warm_cache *c, void **p, size_t n, size_t smaller) {
    void *q = warm_realloc(*p, smaller);
    if (!q) return false;
    *p = q;
    size_t given = warm__evict_cost(n) - warm__evict_cost(smaller);
    c->stats.index_bytes -= given;
    warm_budget_give(c->budget, given);
    return true;
}

int warm_cache_set_budget(warm_cache *c, size_t limit_bytes) {
    warm_budget *b = c->budget;
    warm__value_set_limit(c, limit_bytes);
    while (b->used_bytes > limit_bytes) {
        if (trim(c, b->used_bytes - limit_bytes) || warm__evict_one(c)) continue;
        b->limit_bytes = b->used_bytes;
        return WARM_EAGAIN;
    }
    b->limit_bytes = limit_bytes;
    return 0;
}

int warm_cache_make_room(warm_cache *c, size_t bytes) {
    warm_budget *b = c->budget;
    if (bytes > b->limit_bytes) return WARM_EFULL;
    while (b->limit_bytes - b->used_bytes < bytes) {
        if (!trim(c, b->used_bytes + bytes - b->limit_bytes) && !warm__evict_one(c)) return WARM_EFULL;
    }
    return 0;
}

void warm_cache_clear(warm_cache *c) {
    warm__value_forget(c);
    while (warm__evict_one(c)) continue;
    c->store->ops->trim(c->store, 0);
}
