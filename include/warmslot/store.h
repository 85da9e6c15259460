/* SPDX-License-Identifier: MIT
 *
 * warmslot/store.h - where the bytes of pieces live: one tier behind one vtable.
 *
 * The cache asks a store for extents and writes engine state straight into them. A store counts every
 * byte it holds, slack included, against a warm_budget before it takes it; it never decides what to evict:
 * when there is no room it says WARM_EFULL and the cache makes room.
 * Threads: reserve, release and trim [engine]; an extent's bytes may be read from any thread while the
 * extent is held. */
#ifndef WARMSLOT_STORE_H
#define WARMSLOT_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A hard limit that several owners draw on. Never above limit_bytes: every change is asserted. [engine] */
typedef struct warm_budget {
    size_t limit_bytes;
    size_t used_bytes;
    size_t peak_bytes;
} warm_budget;

void warm_budget_init(warm_budget *b, size_t limit_bytes);
/* WARM_EFULL if used + bytes would exceed the limit, and nothing changes. */
WARM_MUST_USE int warm_budget_take(warm_budget *b, size_t bytes);
void warm_budget_give(warm_budget *b, size_t bytes);

typedef struct warm_extent {
    uint8_t *data;     /* contiguous, at least 64-byte aligned */
    size_t bytes;      /* asked for */
    size_t held_bytes; /* counted against the budget, slack included */
} warm_extent;

typedef struct warm_store_stats {
    size_t used_bytes; /* sum of held_bytes of the extents handed out */
    size_t free_bytes; /* held (and counted) by the store but not handed out: touched pages kept for reuse */
    uint64_t n_reserve, n_refused;
} warm_store_stats;

typedef struct warm_store warm_store;
typedef struct warm_store_ops {
    const char *name; /* "ram", "fake" */
    /* Hands out an extent of `bytes` > 0, or WARM_EFULL / WARM_ENOMEM with nothing changed. May give its own free
     * memory back to the budget first, so WARM_EFULL means that used extents have to be released. */
    int (*reserve)(warm_store *s, size_t bytes, warm_extent *out);
    void (*release)(warm_store *s, warm_extent *x); /* zeroes *x */
    /* Gives free memory back to the budget until at most keep_bytes of it are left. */
    void (*trim)(warm_store *s, size_t keep_bytes);
    void (*stats)(const warm_store *s, warm_store_stats *out);
    void (*close)(warm_store *s); /* every extent must have been released */
} warm_store_ops;

struct warm_store {
    const warm_store_ops *ops;
};

/* The ram tier: an mmap'ed range of address space; pages are counted when they are committed, reused without a new fault, and
 * faulted in ahead of use by a thread of its own (prefault_bytes of free pages are kept ready while the budget
 * allows; 0 = no thread). The budget is borrowed and must outlive the store. */
WARM_MUST_USE int warm_store_ram_open(warm_budget *budget, size_t prefault_bytes, warm_store **out, warm_err *err);

/* A store on malloc for tests: fails the fail_at-th reserve (1-based, 0 = never) with WARM_ENOMEM. */
WARM_MUST_USE int warm_store_fake_open(warm_budget *budget, uint64_t fail_at, warm_store **out, warm_err *err);

#ifdef __cplusplus
}
#endif
#endif
