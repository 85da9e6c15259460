/* SPDX-License-Identifier: MIT
 *
 * sched/sched.h - the scheduler: queue, slots, sequences, batches, and the cache's work in slices between decode steps.
 *
 * One thread owns the engine and the tree and runs warm_sched_step in a loop: take messages, plan and admit queued tasks, do
 * cache work within the slice budget, build a batch of one token per generating slot and chunks of prefill, decode, sample,
 * emit. Everything else talks to it by messages.
 * Threads: marked. */
#ifndef WARM_SCHED_SCHED_H
#define WARM_SCHED_SCHED_H

#include "base/clock.h"
#include "base/worker.h"
#include "sched/task.h"
#include "store/disk.h"

typedef struct warm_sched warm_sched;

/* The tier below host memory (sched/tier.h). */
typedef struct warm_sched_disk {
    const char *dir;               /* borrowed */
    bool read_only, strict;        /* strict: only what the same backend has computed */
    const char *backend;           /* borrowed; what computes here, for people and for strict */
    uint64_t limit_bytes;          /* of all files */
    uint64_t write_bytes_a_day;    /* 0 = as many as come */
    uint64_t stop_ns;              /* how long warm_sched_free writes what is not on disk yet; 0 = 5 s */
    warm_budget *budget;           /* borrowed: the cache's */
    warm_worker *writer, *readers; /* borrowed; the writer has at most one thread */
} warm_sched_disk;

typedef struct warm_sched_options {
    warm_engine *engine;     /* borrowed */
    warm_cache *cache;       /* borrowed; NULL = tiers off, residents still match */
    warm_store *store;       /* borrowed; only its figures are published. NULL with cache NULL */
    warm_worker *worker;     /* borrowed: seals and verifies pieces; a worker without threads runs jobs at once (simulation) */
    const warm_clock *clock; /* borrowed */
    uint32_t n_slots;
    uint64_t slice_ns;         /* cache work between two decode steps while any slot generates; 0 = 2 ms */
    uint64_t prefill_slice_ns; /* a step with prefill takes at most that then, but 64 units at least are computed; 0 = 100 ms */
    bool context_shift; /* an answer that fills the context goes on without the oldest units behind n_keep, where the engine can */
    const char *slot_dir;        /* borrowed; where slots are saved, NULL = nowhere */
    warm_worker *slot_worker;    /* borrowed: reads and writes their files, which takes long; NULL = worker does */
    const warm_sched_disk *disk; /* borrowed by warm_sched_new; NULL = none. The cache has to spill */
    bool log_prompts;            /* text of both sides of a mismatch in the log */
} warm_sched_options;

WARM_MUST_USE int warm_sched_new(const warm_sched_options *o, warm_sched **out, warm_err *err);
/* Fails what is queued or running with WARM_ECLOSED and frees. Not while warm_sched_run runs. */
void warm_sched_free(warm_sched *s);

/* [any] Takes the tasks, all in the same turn: none begins before the others are known. Their events may arrive before this returns. */
void warm_sched_submit(warm_sched *s, warm_task *const *tasks, size_t n);
/* [any] Ends a task early; it answers with WARM_EV_FAILED/WARM_ECANCELED (or had ended already: no effect). */
void warm_sched_cancel(warm_sched *s, uint64_t task_id);

/* [any] Changes the cache's budget; takes effect in the next turn, or as soon as pinned blocks allow. */
void warm_sched_set_budget(warm_sched *s, size_t limit_bytes);

typedef struct warm_embed_order {
    const warm_embed_input *inputs; /* borrowed until done, as all here; each as the engine takes it */
    size_t n;
    const float *scales; /* one for each of the engine's adapters */
    /* Called once on the engine thread, with code 0 when all are embedded; as a task's emit */
    void (*done)(void *ud, const warm_err *err);
    bool (*gone)(void *ud); /* [any] true: nobody waits any more, and done may come at once; NULL = never */
    void *ud;
} warm_embed_order;

/* [any] Has the inputs embedded: between two steps of what runs in the slots as many as go into one call, orders in turn. They take no slot, and the
 * cache has no part in it. */
void warm_sched_embed(warm_sched *s, const warm_embed_order *o);

enum warm_slot_verb { WARM_SLOT_SAVE, WARM_SLOT_RESTORE, WARM_SLOT_ERASE };

typedef struct warm_slot_result {
    warm_err err;     /* code 0: done. Otherwise the slot keeps the conversation that it had */
    size_t n_units;   /* saved, restored or erased */
    uint64_t n_bytes; /* of the file */
    double ms;        /* without the time the slot was busy */
} warm_slot_result;

typedef struct warm_slot_order {
    enum warm_slot_verb verb;
    int32_t id_slot;
    const char *name; /* copied; of a file in slot_dir, without a directory. Not for WARM_SLOT_ERASE */
    void (*done)(void *ud, const warm_slot_result *r); /* called once on the engine thread; as a task's emit */
    void *ud;
} warm_slot_order;

/* [any] Saves, restores or erases the conversation of a slot: prompt and answer of the last task that ran in it. Waits until the slot is idle.
 * SAVE writes as much of it as can be resumed. RESTORE puts it into the cache, where any request finds it, and makes it the slot's.
 * ERASE makes the slot's conversation one that nobody has had, but for the beginning that others have in common with it. Save and
 * restore need slot_dir, or have not to be ordered. */
void warm_sched_slot_order(warm_sched *s, const warm_slot_order *o);

/* [engine] One turn. Returns true if there was something to do; false = idle until a message comes or a job of the worker ends. */
bool warm_sched_step(warm_sched *s);
/* [engine] Steps until warm_sched_stop; sleeps when idle. */
void warm_sched_run(warm_sched *s);
/* [any] */
void warm_sched_stop(warm_sched *s);

enum warm_slot_state {
    WARM_SLOT_IDLE,
    WARM_SLOT_LOADING,
    WARM_SLOT_PREFILL,
    WARM_SLOT_GENERATING,
    WARM_SLOT_PARKED,
    WARM_SLOT_WAITING
};

typedef struct warm_slot_status {
    int32_t id;
    enum warm_slot_state state;
    uint64_t id_task;
    size_t n_prompt, n_prompt_processed, n_prompt_cached, n_decoded;
    int32_t n_remain;
} warm_slot_status;

typedef struct warm_sched_status {
    uint32_t n_slots;
    warm_slot_status *slots; /* n_slots, owned by the caller's copy */
    uint32_t n_queued, n_running, n_parked, n_residents;
    size_t n_cells, n_cells_used;
    /* counters since start; n_prompt_device, _ram, _disk and _computed are the sums of the answers' timings, from a prompt's end or its task's on */
    uint64_t n_tasks, n_prompt_tokens, n_prompt_device, n_prompt_ram, n_prompt_disk, n_prompt_computed, n_predicted, n_decode_steps,
        n_busy_slot_steps;
    double prompt_seconds, predicted_seconds;
    size_t n_tokens_max;
    bool has_cache;
    warm_cache_stats cache;
    warm_store_stats store;
    bool has_disk;
    warm_disk_stats disk;
    uint64_t n_disk_missed; /* blocks and snapshots that were gone before they were written */
} warm_sched_status;

/* [any] A copy of the status published after the latest step or end of a task, whose last event comes after that; free with
 * warm_sched_status_free. */
WARM_MUST_USE int warm_sched_status_get(warm_sched *s, warm_sched_status *out);
void warm_sched_status_free(warm_sched_status *st);

#endif
