/* SPDX-License-Identifier: MIT
 *
 * engine/kv_io.h - moves state between an engine and the cache, one piece per call, so that the caller can stop between two.
 *
 * Saving: the engine writes straight into the cache's memory; the checksum is computed afterwards by the worker. Loading: pieces are
 * verified by the worker ahead of the load; only verified bytes reach the engine. A piece that fails is quarantined and the load ends there.
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
/* Units of a piece begun now: the power of two in WARM_PIECE_MIN..WARM_BLOCK_UNITS that half a slice moves. */
size_t warm_kv_piece_units(const warm_kv *kv);

/* Whether the next piece of a sequence of n units behind *p is full. The path is taken as it is, not moved over what the tree has. */
bool warm_kv_has_whole(const warm_kv *kv, const warm_path *p, size_t n);

/* Saves the next piece of units[0..n), which are the cells 0..n-1 of sequence seq, behind *p; first moves *p over what the tree has already.
 * whole_only: a piece that is not full yet is left for later. Returns 1 = saved one, 0 = nothing to save, or WARM_E* (WARM_EFULL: no
 * room; nothing was lost but the saving). */
WARM_MUST_USE int warm_kv_save(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t n, bool whole_only);

/* Begins to load [from, p->n_units) of the path behind sequence seq, which ends at from. Clones the path; verification starts at once. */
warm_kv_load *warm_kv_load_begin(warm_kv *kv, int32_t seq, const warm_path *p, size_t from);
/* Loads the next piece. Returns the number of units appended; 0 = its bytes are not verified yet, call again after a wake; WARM_ENOTFOUND: at the
 * end; WARM_ECORRUPT: the piece was damaged and is quarantined; WARM_EFULL / WARM_EENGINE: as state_load. After WARM_EFULL it may be
 * tried again when there is room; after another error the load can only be ended. */
WARM_MUST_USE int64_t warm_kv_load_next(warm_kv *kv, warm_kv_load *l);
/* Ends a load, finished or not; *pos receives the position reached (may be NULL). */
void warm_kv_load_end(warm_kv *kv, warm_kv_load *l, size_t *pos);

#endif
