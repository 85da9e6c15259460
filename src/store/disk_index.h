/* SPDX-License-Identifier: MIT
 *
 * store/disk_index.h - what is in a directory of the disk tier, in memory: found by kind and key, or as what follows a path.
 *
 * Entries stand in chunks that never move. Two tables lead to them: one by kind and key, one by the key of the parent to the list of its children
 * (what has its last block begin there), whether the parent is here itself or not. Table slots keep 32 bits of the hash, so that growing
 * reads no entry. What can be evicted is in a heap by rank, which is the time of the last use unless the caller says otherwise:
 * files are found in no order when a directory is scanned, and an order by rank is needed at once.
 *
 * Invariants
 *  (1) Chunks, tables and the heap are taken from the budget before they are allocated.
 *  (2) No two entries have the same kind and key, damaged ones aside, which are a set of their own.
 *  (3) In the heap is what nobody has pinned and nothing in here needs: no block with children or rows, nothing that is being written or is
 *      left to a newer release.
 * Threads: [engine]. */
#ifndef WARM_STORE_DISK_INDEX_H
#define WARM_STORE_DISK_INDEX_H

#include <stdbool.h>

#include "store/disk_format.h"
#include "warmslot/store.h"

enum warm_disk_state {
    WARM_DISK_LIVE,    /* can be read */
    WARM_DISK_WRITING, /* is being written: not found, not evicted */
    WARM_DISK_BAD,     /* damaged, or of an older format: put aside, goes first */
    WARM_DISK_NEWER    /* of a newer release: left alone */
};

typedef struct warm_disk_entry {
    uint8_t key[WARM_DISK_KEY_BYTES], parent[WARM_DISK_KEY_BYTES];
    uint16_t sketch[WARM_DISK_SKETCH];
    double rank;         /* lowest goes first */
    uint64_t held_bytes; /* of its file, in whole blocks of 4096 */
    uint64_t parent_at;
    uint32_t n_last; /* units behind parent_at */
    uint8_t kind, state;
    bool doomed; /* to be removed when its last pin goes */
    uint32_t pins;
    uint32_t self_, heap_, next_, prev_; /* its number; its place in the heap; its neighbours among the children of its parent */
} warm_disk_entry;

struct warm__slot {
    uint32_t hash, entry; /* entry + 1; 0 = empty */
};

struct warm__table {
    struct warm__slot *slots;
    uint32_t n, cap; /* cap: a power of two, or 0 */
};

typedef struct warm_disk_index {
    warm_budget *budget;
    warm_disk_entry **chunks;
    uint32_t n_chunks, chunks_cap;
    uint32_t free_, n_made; /* list of free entries through next_; entries in use or in the list */
    struct warm__table by_key, by_parent;
    uint32_t *heap;
    uint32_t n_heap, heap_cap;
    uint32_t n_entries;
    size_t held_bytes; /* memory taken from the budget */
    double first_rank; /* of those put aside, which go in the order in which they came */
} warm_disk_index;

void warm__index_init(warm_disk_index *x, warm_budget *budget);
void warm__index_deinit(warm_disk_index *x); /* gives everything back */

/* Adds what is not there yet. WARM_EFULL: no room in the budget; WARM_ENOMEM. Nothing is changed then. *head is only read as far as it is known:
 * of state WARM_DISK_BAD and WARM_DISK_NEWER kind and key. */
WARM_MUST_USE int warm__index_add(warm_disk_index *x, const warm_disk_head *head, enum warm_disk_state state, uint64_t held_bytes,
                                  double rank, warm_disk_entry **out);
/* It must have no pins. */
void warm__index_remove(warm_disk_index *x, warm_disk_entry *e);
/* Live, being written, or left to a newer release; damaged: of that set. NULL: there is none. */
warm_disk_entry *warm__index_find(const warm_disk_index *x, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]);
warm_disk_entry *warm__index_find_bad(const warm_disk_index *x, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]);
/* Those whose last block begins behind the path of this key; any state but damaged and newer. NULL: none, or no more. */
warm_disk_entry *warm__index_children(const warm_disk_index *x, const uint8_t parent[WARM_DISK_KEY_BYTES]);
warm_disk_entry *warm__index_sibling(const warm_disk_index *x, const warm_disk_entry *e);
/* The n-th of all, in no order, or NULL where there is none; n < x->n_made. */
warm_disk_entry *warm__index_at(const warm_disk_index *x, uint32_t n);

void warm__index_rank(warm_disk_index *x, warm_disk_entry *e, double rank);
/* From being written to live, or put aside. */
void warm__index_set_state(warm_disk_index *x, warm_disk_entry *e, enum warm_disk_state state);
void warm__index_pin(warm_disk_index *x, warm_disk_entry *e);
void warm__index_unpin(warm_disk_index *x, warm_disk_entry *e);
/* The one to go next; NULL: none can. O(1). */
warm_disk_entry *warm__index_victim(const warm_disk_index *x);

/* Asserts the invariants (tests). Cost: linear. */
void warm__index_check(const warm_disk_index *x);

#endif
