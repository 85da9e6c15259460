/* SPDX-License-Identifier: MIT
 *
 * cache/spill.h - what the tier below is to keep of the tree: which blocks, window rows and snapshots it does not have yet, and their keys.
 *
 * In a cache with `spill` every block carries a note behind it: its key, and what of it has been handed out to be written. Blocks that have something to
 * write are in one of two lists: full ones in the order in which they became full, so that a parent comes before its children; the others, which may
 * still grow, or whose window rows were marked, in the order in which they changed. Snapshots are in a third. So the next to be written is
 * found in O(1), and what is about to be evicted, which was used longest ago, was written long before.
 *
 * Invariants
 *  (1) What is handed out is pinned, and its bytes are held, until it is given back.
 *  (2) Without `spill` a block is not a byte larger.
 * Threads: [engine].
 * Not here: files (store/disk.h), when there is time to write (sched/tier_write.c). */
#ifndef WARM_CACHE_SPILL_H
#define WARM_CACHE_SPILL_H

#include "store/disk_format.h"
#include "warmslot/cache.h"

/* One file's worth of the tree. */
typedef struct warm_spill {
    enum warm_disk_kind kind;
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    uint8_t parent[WARM_DISK_KEY_BYTES];
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t start, n_units, parent_at; /* as in warm_disk_head; start 0 in a snapshot of state that is all there is */
    size_t piece_units, n_pieces;
    warm_piece_view *views; /* n_pieces */
    double prior;
    bool grown;                           /* a tail that was written when it was shorter: */
    uint8_t old_key[WARM_DISK_KEY_BYTES]; /* its key then */
    bool renewed;                         /* rows of a block of which fewer were written before */
    warm_path path_;
} warm_spill;

/* The next to be written, of what has not changed since settled_ns (on the cache's clock; full blocks never change). Returns 1, 0 = there is none now,
 * or WARM_ENOMEM. It is not handed out again unless it is given back as not written. */
WARM_MUST_USE int warm_spill_next(warm_cache *c, uint64_t settled_ns, warm_spill *out);
/* The units [start, start + n_units), n_units of them into out. */
void warm_spill_units(const warm_spill *x, warm_unit *out);
/* Gives back what it holds. again: it was not written, and is the first to be handed out next, if it is still there. */
void warm_spill_end(warm_cache *c, warm_spill *x, bool again);
/* When the one that waits longest changed; UINT64_MAX: there is nothing to write. 0: there is a full block. */
uint64_t warm_spill_waits(const warm_cache *c);

/* Key of the whole blocks before position `at` of a path, which is a block's start or end. */
void warm_spill_key(const warm_path *p, size_t at, uint8_t out[WARM_DISK_KEY_BYTES]);
/* The path's block that ends at pos, if one does, is in the tier below as it is here; rows: with its window rows. */
void warm_spill_known(warm_cache *c, const warm_path *p, size_t pos, bool rows);
/* The same for the snapshot at pos <= p->n_units. */
void warm_spill_known_snapshot(warm_cache *c, const warm_path *p, size_t pos);

typedef struct warm_spill_stats {
    size_t n_waiting;  /* blocks and snapshots that are to be written */
    uint64_t n_missed; /* those that were gone before they were */
} warm_spill_stats;
void warm_spill_stats_get(const warm_cache *c, warm_spill_stats *out);

#endif
