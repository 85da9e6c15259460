/* SPDX-License-Identifier: MIT
 *
 * engine/kv_io.h - moves state between an engine and the cache, one piece or snapshot per call, so that the caller can stop between two.
 *
 * Saving: the engine writes straight into the cache's memory; the checksum is computed afterwards by the worker. Loading: bytes are
 * verified by the worker ahead of the load; only verified ones reach the engine. What fails is quarantined and the load ends there.
 * The time of every engine call is measured, and the rates decide the size of new pieces.
 * Threads: [engine], but for the worker's jobs, which touch only a piece and the list of finished jobs. */
#ifndef WARM_ENGINE_KV_IO_H
#define WARM_ENGINE_KV_IO_H

#include "base/clock.h"
#include "base/worker.h"
#include "warmslot/cache.h"
#include "warmslot/engine.h"

typedef struct warm_kv warm_kv;
typedef struct warm_kv_load warm_kv_load;

typedef struct warm_kv_options {
    warm_engine *engine;
    warm_cache *cache;
    warm_worker *worker;
    const warm_clock *clock;
    uint64_t slice_ns;      /* a new piece holds what half of it moves at the measured rate */
    void (*wake)(void *ud); /* [any] called when a job has finished */
    void *ud;
} warm_kv_options;

warm_kv *warm_kv_new(const warm_kv_options *o);
void warm_kv_free(warm_kv *kv); /* waits for its jobs; every load must have been ended */
/* Takes in finished jobs. Call once per turn. */
void warm_kv_poll(warm_kv *kv);

typedef struct warm_kv_rates {
    double save_bytes_per_ns, load_bytes_per_ns; /* 0 = not measured yet */
} warm_kv_rates;
warm_kv_rates warm_kv_rates_get(const warm_kv *kv);
/* Units of a piece begun now: the power of two in WARM_PIECE_MIN..WARM_BLOCK_UNITS that half a slice moves, at most a window; WARM_BLOCK_UNITS
 * where units have no state of their own. */
size_t warm_kv_piece_units(const warm_kv *kv);

/* Whether the next piece of a sequence of n units behind *p is full. The path is taken as it is, not moved over what the tree has. */
bool warm_kv_has_whole(const warm_kv *kv, const warm_path *p, size_t n);

/* Saves the next piece of units[0..n), which are the cells 0..n-1 of sequence seq, behind *p; first moves *p over what the tree has already.
 * whole_only: a piece that is not full yet is left for later. Returns 1 = saved one, 0 = nothing to save, or WARM_E* (WARM_EFULL: no
 * room; nothing was lost but the saving). */
WARM_MUST_USE int warm_kv_save(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t n, bool whole_only);

/* Puts window rows of the path's first piece without any, of those that end in (pos, end], back from sequence seq, which has the path's units. Returns 1 =
 * done, 0 = none lacks them or they are gone from the context, too, or WARM_E*. */
WARM_MUST_USE int warm_kv_save_rows(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t pos, size_t end);
/* Nanoseconds that the latest snapshot took; 0 = there was none yet. */
double warm_kv_snapshot_ns(const warm_kv *kv);
/* Saves the snapshot of seq at its end, without putting it into the tree yet: its path may not be there. WARM_ENOTFOUND: there is none. */
WARM_MUST_USE int warm_kv_snapshot(warm_kv *kv, int32_t seq, warm_snapshot *out);
/* Puts it there: position pos <= p->n_units, prior as there. Consumes *s. Errors as warm_cache_snapshot_commit. */
WARM_MUST_USE int warm_kv_snapshot_commit(warm_kv *kv, const warm_path *p, size_t pos, double prior, warm_snapshot *s);

/* Begins to bring sequence seq to a resume point. It has the cells [0, from), from <= r->path.n_units (0 where units have no state of
 * their own), and with `complete` can be continued there, so that only what lies behind from is loaded. Takes *r over; verification starts at once. */
warm_kv_load *warm_kv_load_begin(warm_kv *kv, int32_t seq, warm_resume *r, size_t from, bool complete);
/* The next call into the engine. Returns 1 = done, and *n units were appended (0 with rows or a snapshot of units that were there); 0 = the bytes are not
 * verified yet, call again after a wake; WARM_ENOTFOUND: the load is finished; WARM_ECORRUPT: the bytes were damaged and are
 * quarantined; WARM_EFULL / WARM_EENGINE: as the engine. After WARM_EFULL it may be tried again when there is room (in vain for a snapshot on
 * cells: these are gone then); after another error the load can only be ended, and where cells alone are not enough to continue, the
 * sequence with it. */
WARM_MUST_USE int warm_kv_load_next(warm_kv *kv, warm_kv_load *l, size_t *n);
/* Ends a load, finished or not. */
void warm_kv_load_end(warm_kv *kv, warm_kv_load *l);

#endif
