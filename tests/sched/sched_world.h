/* SPDX-License-Identifier: MIT
 *
 * tests/sched/sched_world.h - a scheduler on the simulated engine with everything below it, and requests whose answers are known.
 *
 * What the simulated engine generates is a function of the tokens before it, so the right answer to any prompt can be computed here,
 * whatever the scheduler loaded, shared or parked on the way. */
#ifndef TEST_SCHED_WORLD_H
#define TEST_SCHED_WORLD_H

#include <stdbool.h>

#include "sched/sched.h"
#include "sim/sim.h"

typedef struct world {
    warm_engine *engine;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_worker *worker, *disk_writer, *disk_readers;
    warm_sched *sched;
    uint64_t now_ns;
    warm_clock clock;
} world;

typedef struct world_options {
    warm_sim_options sim;
    uint32_t n_slots;    /* 0 = 1 */
    size_t budget_bytes; /* 0 = no cache */
    unsigned n_threads;  /* of the worker */
    uint64_t slice_ns;   /* small ones make small pieces */
    uint64_t prefill_slice_ns;
    bool context_shift;
    const char *slot_dir; /* where slots are saved; NULL = nowhere */
    const char *disk_dir; /* NULL = no tier below memory */
    uint64_t disk_bytes;  /* 0 = 1 GiB */
    bool disk_read_only;
    bool reader_thread;  /* reads have a thread of their own also without n_threads */
    const char *backend; /* given: only what it has computed is used */
} world_options;

/* Fills in, where o leaves it open, what a simulated engine of this kind costs: sim.n_window, the sizes of rows and snapshots, and their time. */
world_options world_of_kind(enum warm_state_kind kind, world_options o);

void world_open(world *w, const world_options *o);
/* Asserts that everything was given back, and that nothing was ever computed on state that was missing or not its own. */
void world_close(world *w);

/* A request under way and its answer. */
typedef struct request {
    int32_t *prompt;
    size_t n_prompt;
    int32_t n_predict, n_cache_reuse;
    bool ignore_eos;
    float scales[WARM_SIM_ADAPTERS_MAX];
    uint64_t id;
    int32_t *got; /* tokens of all events */
    size_t n_got;
    size_t n_events, n_progress;
    bool ended, failed;
    warm_err err;
    warm_task_timings t;
    enum warm_stop stop;
    bool truncated;
    char *text;
} request;

typedef struct request_options {
    int32_t n_predict; /* 0 stays 0 */
    int32_t id_slot;   /* give -1 for any */
    int32_t n_keep, n_discard, n_cache_reuse;
    bool no_cache, ignore_eos, progress;
    const char *const *stop;
    size_t n_stop;
    const char *salt;
    const float *scales; /* one for each adapter; NULL: those that hold at the start */
} request_options;

void request_submit(world *w, request *r, const int32_t *prompt, size_t n, const request_options *o);
/* Steps until the request ended. */
void request_wait(world *w, request *r);
void request_run(world *w, request *r, const int32_t *prompt, size_t n, int32_t n_predict);
/* Asserts that what was generated is what the prompt implies, however often the scheduler moved it about. */
void request_check(world *w, const request *r);
void request_free(request *r);
/* Has the slot saved, restored or erased, and steps until that is done. */
warm_slot_result order_run(world *w, enum warm_slot_verb verb, int32_t id_slot, const char *name);

/* Steps until nothing is left to do, saves included. */
void world_settle(world *w);

/* n tokens drawn from a generator seeded by `seed`, in 1..255. */
void tokens_fill(int32_t *out, size_t n, uint64_t seed);

#endif
