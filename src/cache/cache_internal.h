/* SPDX-License-Identifier: MIT
 *
 * cache/cache_internal.h - the structs of the cache and what its files offer each other.
 *
 * Who does what: tree.c nodes, ordered children, pins, descent; piece.c bytes, their checksums and who holds them; snapshot.c
 * snapshots; save.c what is saved next and where it goes; spill.c what the tier below is to keep; adopt.c whole blocks that come from elsewhere, and conversations that are forgotten; resume.c where a sequence can go on; evict.c room (nothing is allocated for the
 * index but through warm__evict_alloc); policy.c who is used and who goes first; value.c what is known of them beyond that; key.c the scope's fingerprint; check.c the
 * invariants; cache.c creation, scopes, figures.
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

#include "cache/shadow.h"
#include "store/disk_format.h"
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

/* Window rows, behind the header of their piece in one allocation with it. */
struct warm__window {
    warm_extent extent;
    _Atomic uint64_t sum;    /* as the piece's */
    struct warm__link order; /* in warm_cache.windows[tick != 0] while there and not lost */
    uint64_t tick;           /* of the latest use as part of a likely resume point; 0 = none: not marked */
    atomic_bool there;       /* published after the extent, because a piece may get rows back while another thread seals it */
    bool lost;               /* quarantined: nobody finds them, the holders keep the bytes */
};

/* A snapshot's piece has 0 units. */
struct warm_piece {
    uint32_t owners;  /* blocks, or the snapshot's node */
    uint32_t holders; /* views and saves; while there is one, window rows stay where they are */
    uint32_t n_units : 31;
    uint32_t has_window : 1; /* whether there is a window[0] */
    uint32_t seen;           /* scratch of check.c */
    size_t start;
    warm_extent extent;   /* data NULL: units without state of their own */
    _Atomic uint64_t sum; /* 0 = not sealed, 1 = damaged */
    struct warm__link all;
    struct warm__window window[];
};

/* The first unit stands beside the pointer, so that a binary search among siblings that begin differently touches no node. */
struct warm__child {
    warm_unit first;
    warm_block *block;
};

/* A child of the last full block (or root) that ends at or before its position; owns its piece. */
struct warm__snapshot {
    warm_block *parent;
    warm_piece *piece;
    struct warm__link order; /* in warm_cache.snapshots */
    uint64_t tick;
    uint64_t born, last_use; /* in lookups */
    uint32_t hits;           /* times it was taken up again */
    bool superseded;         /* there is a later one behind it that a later request has left */
    double prior;
    double inflation;        /* of gdsf, at its latest use */
    struct warm__link spill; /* in warm_cache.spill_snapshots; alone: it is not to be written */
    uint64_t changed_ns;
    uint32_t n_units; /* from the parent's end to its position */
    warm_unit units[];
};

/* The snapshots of one parent, ordered by their units; one that is a prefix of another comes before it. */
struct warm__snapshots {
    uint32_t n, cap;
    struct warm__snapshot *at[];
};

/* What a descent reads comes first, so that it costs one cache line of each node. */
struct warm_block {
    warm_unit *units; /* the pieces' pointers stand behind them in the same allocation */
    union {
        warm_block *one; /* children_cap == 0: at most one child, the common case, needs no array */
        struct warm__child *many;
    } children;
    warm_block *parent; /* NULL: the root of a scope */
    warm_block *jump;   /* an ancestor further up, so that one at a given position is O(log depth) away; NULL: the root's */
    size_t start;       /* position of the first unit */
    uint32_t depth;     /* blocks above */
    uint32_t n_units, n_children, children_cap;
    uint32_t pins; /* paths, and dead blocks whose parent this is */
    warm_piece **pieces;
    uint32_t n_pieces;
    uint16_t piece_units;
    bool dead;                         /* unlinked: nothing finds it, its pins keep it and its ancestors */
    struct warm__snapshots *snapshots; /* NULL: none */
    struct warm__link order;           /* in warm_cache.leaves, .inner or .dead */
    uint64_t tick;                     /* number of the latest use that ended in this block, or in a child that is gone */
    uint64_t last_use_ns;
    uint32_t entry, entry_born; /* in the shadow; 0 = none */
    double credit;              /* of gdsf; like the tick, what a child that is gone had more of is taken over */
    uint8_t n_uses;             /* by prompts that ended in it, and of what it was built upon */
};

enum { WARM__SPILL_PIECES = WARM_BLOCK_UNITS / WARM_PIECE_MIN };

/* Stands behind a block, if the cache spills. */
struct warm__spill {
    struct warm__link order; /* in warm_cache.spill_full or .spill_young */
    uint64_t changed_ns;     /* when it came there */
    uint8_t key[WARM_DISK_KEY_BYTES];
    uint32_t n_written, rows_written_of; /* units that it had when its cells and its rows were handed out last; 0 = never */
    uint16_t rows_written;               /* pieces with rows then, a bit each */
    bool listed, has_key, rows_due;
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
    const warm_policy *policy;
    warm__shadow *shadow; /* NULL: there is none, or not yet */
    uint32_t n_shadow, shadow_serial;
    double inflation;        /* credit of what gdsf evicted last */
    warm_block *next_victim; /* goes next if it can, and its score is at most next_score; NULL: none */
    double next_score;
    uint64_t next_lookup;       /* holds for as long as this is the number of lookups: scores change with time */
    const warm_block *newcomer; /* what room is made for goes on from it, and is worth as much; NULL: room has to be made */
    struct warm__link *hand;    /* in leaves: where those that are compared begin */
    uint32_t window;
    bool has_snapshots;
    warm_scope **scopes; /* ordered by fingerprint */
    size_t n_scopes, scopes_cap;
    /* every block but the roots is in one of three: leaves, which have neither children nor snapshots (coldest first), other live
     * ones, unlinked ones */
    struct warm__link leaves, inner, dead;
    struct warm__link pieces;     /* every piece, also those no block holds */
    struct warm__link windows[2]; /* window rows without a mark, oldest first; with one, least recently used first */
    struct warm__link snapshots;  /* least recently used first */
    bool spills, spills_snapshots_only;
    struct warm__link spill_full, spill_young, spill_snapshots; /* spill.h */
    size_t n_spills;
    uint64_t n_spills_missed;
    uint64_t tick;
    /* What could go, so that refusing is O(1): leaves without pins; listed window rows and snapshots without holders */
    size_t n_evictable, n_spare_windows[2], n_spare_snapshots;
    warm_cache_stats stats;
};

static inline size_t warm__block_end(const warm_block *b) {
    return b->start + b->n_units;
}
/* Only behind such a block another one begins. */
static inline bool warm__block_full(const warm_block *b) {
    return b->parent == NULL || b->n_units >= WARM_BLOCK_UNITS;
}

static inline bool warm__block_leaf(const warm_block *b) {
    return b->n_children == 0 && !b->snapshots;
}
/* A block behind `up`, without units. Its jump is as long as those of `up` and of where that leads together, if these two are alike: so
 * jumps double, as the digits of a skew binary number carry. */
static inline warm_block warm__block_below(warm_block *up) {
    warm_block *jump = up->jump, *twice = jump ? jump->jump : NULL;
    bool alike = twice && up->depth - jump->depth == jump->depth - twice->depth;
    return (warm_block){.parent = up, .jump = alike ? twice : up, .start = warm__block_end(up), .depth = up->depth + 1};
}
/* The block of a path that holds unit pos < p->n_units. */
static inline warm_block *warm__path_block(const warm_path *p, size_t pos) {
    assert(pos < p->n_units);
    warm_block *b = p->block_;
    while (b->start > pos) b = pos < warm__block_end(b->jump) ? b->jump : b->parent;
    return b;
}
static inline warm_piece *warm__block_piece(const warm_block *b, size_t pos) {
    return b->pieces[(pos - b->start) / b->piece_units];
}
/* What a block is allocated with. */
static inline size_t warm__block_bytes(const warm_cache *c) {
    return sizeof(warm_block) + (c->spills ? sizeof(struct warm__spill) : 0);
}
/* The window rows of a piece as they can be found; NULL: none. */
static inline struct warm__window *warm__piece_window(warm_piece *x) {
    return x->has_window && atomic_load_explicit(&x->window->there, memory_order_relaxed) && !x->window->lost ? x->window : NULL;
}

/* tree.c */
/* Common prefix of a[0..n) and b[0..n), known to agree on the first `from` units. */
size_t warm__tree_common(const warm_unit *a, const warm_unit *b, size_t from, size_t n);
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
/* Moves a path back to position pos <= p->n_units. */
void warm__tree_repin(warm_cache *c, warm_path *p, size_t pos);
/* Before a block gets a child or a snapshot; after it has lost one. */
void warm__tree_unleaf(warm_cache *c, warm_block *b);
void warm__tree_leaf(warm_cache *c, warm_block *b);
/* Whether a child of b begins with these units. */
bool warm__tree_covers(const warm_block *b, const warm_unit *units, size_t n);
/* That child, n > 0; NULL: there is none. */
const warm_block *warm__tree_with(const warm_block *b, const warm_unit *units, size_t n);
/* How many of b's units another child of its parent has as well. */
size_t warm__tree_shared_units(const warm_block *b);
size_t warm__tree_body_bytes(size_t n_units, size_t n_pieces);

/* piece.c */
/* Comes with one holder and no owner. */
WARM_MUST_USE int warm__piece_new(warm_cache *c, size_t start, size_t n_units, size_t bytes, size_t window_bytes, warm_piece **out);
size_t warm__piece_header_bytes(const warm_piece *x);
void warm__piece_own(warm_cache *c, warm_piece *x);
void warm__piece_disown(warm_cache *c, warm_piece *x);
/* Takes a view, and so a holder. */
void warm__piece_view(warm_cache *c, warm_piece *x, warm_piece_view *out);
/* Takes the window rows away: at once, or for nobody finds them when they are held. */
void warm__piece_drop_window(warm_cache *c, warm_piece *x);
/* Of a piece that is being written. */
void warm__piece_give_window(warm_cache *c, warm_piece *x);
/* Gives x, which covers the same units and has none, the window rows of a piece that nobody else holds. */
void warm__piece_move_window(warm_cache *c, warm_piece *from, warm_piece *x);
/* To the warm end of the marked ones, used at c->tick; without a mark: to that of the others. */
void warm__piece_use_window(warm_cache *c, warm_piece *x, bool mark);
/* Marks the window rows of x like those of `like`. */
void warm__piece_mark_like(warm_cache *c, warm_piece *x, warm_piece *like);

/* snapshot.c */
/* The longest snapshot below b whose units are a prefix of units[0..n); NULL: none. */
struct warm__snapshot *warm__snapshot_find(const warm_block *b, const warm_unit *units, size_t n);
/* The one at exactly that position of the path, or the last one before it; NULL: none. */
struct warm__snapshot *warm__snapshot_before(const warm_path *p, size_t pos);
/* Units that are computed again without it: those behind the one before it. */
size_t warm__snapshot_gain(const struct warm__snapshot *s);
void warm__snapshot_unlink(warm_cache *c, struct warm__snapshot *s);
size_t warm__snapshot_bytes(size_t n_units);
size_t warm__snapshot_array_bytes(size_t cap);
/* Moves the path back to its last snapshot and takes a view of that. */
void warm__snapshot_resume(warm_cache *c, warm_path *p, warm_resume *out);
/* Before b is unlinked: all below it and all that only b covers. */
void warm__snapshot_lose_block(warm_cache *c, warm_block *b);
/* The latest use of those that only b covers; 0: there are none. */
uint64_t warm__snapshot_needs(const warm_block *b);

/* spill.c. Nothing happens unless the cache spills. */
void warm__spill_init(warm_cache *c, const warm_cache_options *o);
void warm__spill_born(const warm_cache *c, warm_block *b);          /* before it is linked */
void warm__spill_changed(warm_cache *c, warm_block *b);             /* it is new in the tree, or has grown */
void warm__spill_marked(warm_cache *c, warm_block *b);              /* rows of its pieces got a mark */
void warm__spill_lost(warm_cache *c, warm_block *b);                /* it is unlinked */
void warm__spill_snapshot(warm_cache *c, struct warm__snapshot *s); /* it is new */
void warm__spill_lost_snapshot(warm_cache *c, struct warm__snapshot *s);

/* save.c */
/* Gives x's window rows to the path's piece of just the same units, if that has lost its own. false: it has other pieces there. */
bool warm__save_give_rows(warm_cache *c, const warm_path *p, warm_piece *x);

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
/* Pure functions over what is known of a block or a snapshot; the lowest goes first. NULL: the least recently used. */
struct warm_policy {
    const char *name;
    bool learns; /* has a shadow, and goes by last use until that has shown that the scores are better */
    double (*block)(const warm_cache *c, const warm_block *b);
    double (*snapshot)(const warm_cache *c, const struct warm__snapshot *s);
};
void warm__policy_touch(warm_cache *c, warm_block *b);
/* A prompt ended in it. */
void warm__policy_used(warm_cache *c, warm_block *b);
/* Used at c->tick. */
void warm__policy_touch_snapshot(warm_cache *c, struct warm__snapshot *s);
void warm__policy_lost_child(warm_block *b, const warm_block *child);
/* Before a leaf leaves its place in the list. */
void warm__policy_leave(warm_cache *c, const warm_block *b);

/* value.c: what the policy `value` knows of blocks */
/* A prompt is asked for whose known part ends in `end`, which is pinned. */
void warm__value_asked(warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n, warm_block *end);
/* A block that is new in the tree, or a tail that has grown. */
void warm__value_label(warm_cache *c, warm_block *b);
bool warm__value_trusted(const warm_cache *c);
double warm__value_score(const warm_cache *c, const warm_block *b);
void warm__value_set_limit(warm_cache *c, size_t limit_bytes);
void warm__value_forget(warm_cache *c);

/* What is to go next; all NULL: nothing can. */
struct warm__victim {
    warm_piece *window;
    struct warm__snapshot *snapshot;
    warm_block *block;
};
struct warm__victim warm__policy_victim(warm_cache *c);

#endif
