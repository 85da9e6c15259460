/* SPDX-License-Identifier: MIT
 *
 * sched/tier.h - the disk below the tree: what is written there and when, and what is read from there for a request before it begins.
 *
 *   tier.c        the turn, opening, the end     tier_write.c   out of the tree into files
 *   tier_plan.c   what a request is to get       tier_fetch.c   out of files into the tree
 *
 * Writing goes behind the tree (cache/spill.h): a full block is written as soon as the disk takes it, a tail or a snapshot when it has not changed for a while,
 * and what is in memory when the server ends is written then, within a stated time. A fetch brings the blocks of one prompt from disk into the tree,
 * some at a time, in order; the request waits for it in its slot without cells, or in the queue, and begins then with what the
 * tree has, as if that had never left it.
 *
 * Invariants
 *  (1) The engine thread touches no file. What it does for the disk in one turn is bounded by a number of files.
 *  (2) What a fetch puts into the tree has the request's units, compared one by one, the sizes that this engine's state has, and checksums that
 *      were compared with the file's.
 *  (3) A request waits for its fetch at most as long as computing would have taken, as far as that is known.
 *  (4) What is being written holds at most an eighth of the budget, or one file.
 * Threads: [engine]. */
#ifndef WARM_SCHED_TIER_H
#define WARM_SCHED_TIER_H

#include "cache/spill.h"
#include "sched/sched_internal.h"
#include "store/disk.h"

enum { WARM_FETCH_WINDOW = 8 }; /* files of a fetch that are open at once */

/* One block, or the snapshot, which comes last. */
typedef struct warm_fetch_item {
    enum warm_disk_kind kind; /* CELLS or SNAPSHOT */
    bool rows;                /* with its window rows */
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t start, n_units; /* of a snapshot: of the path's last block */
} warm_fetch_item;

/* An item on its way. */
typedef struct warm_flight {
    warm_disk_read *cells, *rows; /* a snapshot's is in cells */
    bool reading, ready, failed;
    warm_block_save block;
    warm_snapshot snapshot;
} warm_flight;

struct warm_fetch {
    warm_fetch *next;
    warm_sched *s;
    warm_unit *units; /* n of them */
    size_t n;
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_path path;
    warm_fetch_item *items;
    size_t n_items, cap_items;
    size_t n_begun, n_done; /* items; those from n_items on are only waited for */
    warm_flight flights[WARM_FETCH_WINDOW];
    size_t from, goal; /* where a request could be taken up before, and can be if all of it comes */
    uint64_t bytes;    /* of its files */
    uint64_t until_ns; /* its request waits no longer: a disk that hangs costs no more than computing does */
    bool waited;       /* for another one that fetches the same */
    bool ended;        /* nobody waits for it any more */
};

struct warm_tier {
    warm_sched_disk o;
    warm_disk *disk;
    warm_fetch *fetches;
    uint64_t again_ns; /* writing is not tried before; 0 = at once */
    size_t n_written_last;
    struct {
        uint8_t fingerprint[WARM_SCOPE_BYTES];
        char *adapters;
    } scopes[16]; /* of tasks with adapters, for the files' texts: the latest */
    size_t n_scopes;
};

/* tier_write.c */
/* Hands some files to the writer. false: there is nothing to write, or not now. */
bool warm__tier_write(warm_sched *s, bool settled_only, size_t most);
/* When writing is to be tried again; UINT64_MAX: when something changes. */
uint64_t warm__tier_write_due(const warm_sched *s);
/* The index of the disk needs memory that the cache has. */
bool warm__tier_index_room(warm_sched *s);

/* tier_plan.c */
/* What of units[0..n) is to come from disk so that a request can be taken up behind `have`, where it can already. Fills items, from and goal; false: nothing
 * is worth it. The fetch's path is as far as the tree goes. */
bool warm__fetch_plan(warm_fetch *f, size_t have);

/* tier_fetch.c */
bool warm__fetch_turn(warm_fetch *f); /* one turn; true: something was done */
bool warm__fetch_is_done(const warm_fetch *f);
bool warm__fetch_is_home(const warm_fetch *f); /* none of its reads is out */
void warm__fetch_free(warm_fetch *f);

#endif
