/* SPDX-License-Identifier: MIT
 *
 * cache/cache_internal.h - the structs of the cache and what its files offer each other.
 *
 * Who does what: tree.c nodes, ordered children, pins, descent; piece.c bytes and their checksums; save.c what is saved next and
 * where it goes; evict.c room (nothing is allocated for the index but through warm__evict_alloc); policy.c who is used
 * and who goes first; key.c the scope's fingerprint; check.c the invariants; cache.c creation, scopes, figures.
 *
 * A block's units and the pointers to its pieces are one allocation of the exact size, replaced when a tail grows: growing happens
 * once a piece, beside a copy of state that is thousands of times larger, and a single allocation can only fail as a whole.
 * Threads: [engine], except what piece.c marks. */
#ifndef WARM_CACHE_INTERNAL_H
#define WARM_CACHE_INTERNAL_H

/* The invariants stay asserted in release builds: a cache that is wrong must stop, not answer. */
#undef NDEBUG
#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "warmslot/cache.h"

struct warm__link {
    struct warm__link *prev, *next;
};

static inline void warm__link_init(struct warm__link *head) {
    head->prev = head->next = head;
}
/* Before `next`; before the head is at the end. */
static inline void warm__link_insert(struct warm__link *next, struct warm__link *l) {
    l->prev = next->prev;
    l->next = next;
    next->prev->next = l;
    next->prev = l;
}
static inline void warm__link_remove(struct warm__link *l) {
    l->prev->next = l->next;
    l->next->prev = l->prev;
}
#define WARM__OF(type, member, link) ((type *)(void *)((char *)(link)-offsetof(type, member)))

struct warm_piece {
    uint32_t refs; /* blocks, views and saves that hold it */
    uint32_t n_units;
    size_t start;
    warm_extent extent;
    _Atomic uint64_t sum; /* 0 = not sealed */
    atomic_bool damaged;
    uint32_t seen; /* scratch of check.c */
    struct warm__link all;
};

/* The first unit stands beside the pointer, so that a binary search among siblings that begin differently touches no node. */
struct warm__child {
    warm_unit first;
    warm_block *block;
};

/* What a descent reads comes first, so that it costs one cache line of each node. */
struct warm_block {
    warm_unit *units; /* the pieces' pointers stand behind them in the same allocation */
    union {
        warm_block *one; /* children_cap == 0: at most one child, the common case, needs no array */
        struct warm__child *many;
    } children;
    warm_block *parent; /* NULL: the root of a scope */
    size_t start;       /* position of the first unit */
    uint32_t n_units, n_children, children_cap;
    uint32_t pins; /* paths, and dead blocks whose parent this is */
    warm_piece **pieces;
    uint32_t n_pieces, piece_units;
    struct warm__link order; /* in warm_cache.leaves, .inner or .dead */
    uint64_t tick;           /* number of the latest use that ended in this block, or in a child that is gone */
    uint64_t last_use_ns;
    bool dead; /* unlinked: nothing finds it, its pins keep it and its ancestors */
};

struct warm_scope {
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_block root;
};

struct warm_cache {
    warm_store *store;
    warm_budget *budget;
    uint64_t (*now_ns)(void *ud);
    void *clock_ud;
    warm_scope **scopes; /* ordered by fingerprint */
    size_t n_scopes, scopes_cap;
    /* every block but the roots is in one of three: live without children (coldest first), live with children, unlinked */
    struct warm__link leaves, inner, dead;
    struct warm__link pieces; /* every piece, also those no block holds */
    uint64_t tick;
    size_t n_evictable; /* blocks without children and without pins: refusing is O(1) */
    warm_cache_stats stats;
};

static inline size_t warm__block_end(const warm_block *b) {
    return b->start + b->n_units;
}
/* Only behind such a block another one begins. */
static inline bool warm__block_full(const warm_block *b) {
    return b->parent == NULL || b->n_units >= WARM_BLOCK_UNITS;
}

/* tree.c */
/* From *b at *pos downwards as far as units[0..n) agree. */
void warm__tree_descend(const warm_block **b, size_t *pos, const warm_unit *units, size_t n);
const warm_block *warm__tree_child(const warm_block *b, size_t i);
/* Makes room for one more child, so that the following link can't fail. May evict. */
WARM_MUST_USE int warm__tree_reserve_child(warm_cache *c, warm_block *parent);
void warm__tree_link(warm_cache *c, warm_block *b);
/* Takes b and all below it out of the tree; what is pinned stays in memory until released. */
void warm__tree_kill(warm_cache *c, warm_block *b);
void warm__tree_pin(warm_cache *c, warm_block *b);
void warm__tree_unpin(warm_cache *c, warm_block *b);
size_t warm__tree_body_bytes(size_t n_units, size_t n_pieces);

/* piece.c */
WARM_MUST_USE int warm__piece_new(warm_cache *c, size_t start, size_t n_units, size_t bytes, warm_piece **out);

/* evict.c */
/* What malloc takes for n bytes: header and granularity. */
size_t warm__evict_cost(size_t n);
/* Takes the cost from the budget, evicting for it, then allocates. WARM_EFULL or WARM_ENOMEM: nothing is held. */
WARM_MUST_USE int warm__evict_alloc(warm_cache *c, size_t n, void **out);
void warm__evict_dealloc(warm_cache *c, void *p, size_t n);
/* Makes an allocation smaller where it stands; false: it stays as it is. */
bool warm__evict_shrink(warm_cache *c, void **p, size_t n, size_t smaller);
bool warm__evict_one(warm_cache *c);

/* policy.c */
void warm__policy_touch(warm_cache *c, warm_block *b);
void warm__policy_lost_child(warm_block *b, const warm_block *child);
warm_block *warm__policy_victim(warm_cache *c);

#endif
