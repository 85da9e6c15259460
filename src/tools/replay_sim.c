/* SPDX-License-Identifier: MIT
 *
 * tools/replay_sim.c - a trace on the simulated engine: the real scheduler, planner and cache on a virtual clock.
 *
 * The clock advances by what the engine does, and to the next request when there is nothing to do. What a step costs follows from the prefill rate:
 *   a batch of 512 tokens at the beginning of a context takes 512 / rate, a tenth of it whatever is in the batch (the weights are read
 *   once), and a token costs as much again behind 65536 others. State is copied at 8 GB/s.
 * The context holds what runs and one sequence more: the cache is what is judged, so little is left in the context that is not in it.
 * Answers are generated as far as asked for (one token unless said otherwise); the rest of an answer takes its asker as long as if it were alone in the
 * engine, but no slot. What a trace's next prompt has of an answer stands in its blocks, so the tokens generated here are never asked for again.
 * No more requests are handed over than the scheduler looks at, so that waiting ones cost nothing: their time counts from when they were due. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sched/sched.h"
#include "sim/sim.h"
#include "tools/replay.h"

enum {
    UNIT_BYTES = 16,
    VOCAB = 1 << 20,
    UBATCH = 512,
    STEP_SHARE = 10,
    DOUBLE_DEPTH = 65536,
    QUEUE_AHEAD = 2,
    COPY_BYTES_PER_NS = 8,
};

typedef struct run {
    const warm_replay *w;
    warm_replay_result *out;
    warm_replay_progress *progress;
    void *progress_ud;
    warm_drive *drive;
    uint64_t now_ns, total;
    warm_clock clock;
    warm_sim_options sim;
    uint32_t n_slots, n_flying;
    warm_engine *engine;
    warm_worker *worker;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_sched *sched;
    bool no_memory;
} run;

typedef struct flight {
    run *r;
    warm_drive_ask ask;
    bool has_first;
} flight;

static uint64_t now_ns(void *ud) {
    return ((const run *)ud)->now_ns;
}

/* ---- one request ---- */

/* What is left of its answer, alone in the engine. */
static uint64_t rest_ns(const run *r, const flight *f, size_t n_predicted) {
    uint32_t n_out = warm_trace_out_tokens(r->w->trace, f->ask.request, &r->w->shape);
    if (n_out <= n_predicted) return 0;
    uint64_t depth = warm_trace_tokens(r->w->trace, f->ask.request, &r->w->shape);
    return (n_out - n_predicted) * (r->sim.step_ns + r->sim.row_ns + depth * r->sim.depth_ps / 1000);
}

static void end_flight(flight *f, const warm_task_timings *t) {
    run *r = f->r;
    r->n_flying--;
    warm_drive_answered(r->drive, &f->ask, r->now_ns + rest_ns(r, f, t->n_predicted));
    r->progress(r->progress_ud, r->out, r->total);
    free(f);
}

static void on_event(void *ud, warm_event *ev) {
    flight *f = ud;
    run *r = f->r;
    warm_replay_result *out = r->out;
    bool tokens = ev->type == WARM_EV_TOKEN || ev->type == WARM_EV_DONE;
    if (tokens && !f->has_first) {
        f->has_first = true;
        r->no_memory |= !warm_replay_note_first(out, (double)(r->now_ns - f->ask.due_ns) / 1e9);
    }
    if (ev->type == WARM_EV_DONE) {
        out->n_requests++;
        out->n_prompt += ev->timings.n_prompt;
        out->n_computed += ev->timings.n_computed;
        out->n_device += ev->timings.n_device;
        out->n_ram += ev->timings.n_ram;
    } else if (ev->type == WARM_EV_FAILED) {
        out->n_requests++;
        warm_replay_note_failure(out, ev->err.text);
    }
    if (ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED) end_flight(f, &ev->timings);
    warm_event_free(ev);
}

static int submit(run *r, const warm_drive_ask *a, warm_err *err) {
    size_t n = warm_trace_tokens(r->w->trace, a->request, &r->w->shape);
    int64_t predict = r->w->o->predict;
    if (predict < 0) predict = warm_trace_out_tokens(r->w->trace, a->request, &r->w->shape);
    int32_t *tokens = warm_malloc((n ? n : 1) * sizeof *tokens);
    if (!tokens || !warm_replay_note_ask(r->out, a)) {
        free(tokens);
        return warm_err_set(err, WARM_ENOMEM, "out of memory for a prompt of %zu tokens", n);
    }
    warm_trace_prompt(r->w->trace, a->request, a->repeat, &r->w->shape, tokens);
    flight *f = warm_xcalloc(1, sizeof *f);
    *f = (flight){.r = r, .ask = *a};
    warm_task_options to = {.tokens = tokens,
                            .n_tokens = n,
                            .n_predict = (int32_t)predict,
                            .id_slot = -1,
                            .n_keep = -1,
                            .cache_prompt = true,
                            .emit = on_event,
                            .ud = f};
    warm_sampling_default(&to.sampling);
    to.sampling.ignore_eos = true;
    to.sampling.seed = 1;
    warm_task *t;
    int rc = warm_task_new(r->engine, &to, &t, err);
    if (rc) {
        free(f);
        return rc;
    }
    r->n_flying++;
    warm_sched_submit(r->sched, &t, 1);
    return 0;
}

/* ---- the world ---- */

static void set_costs(run *r) {
    double token_ns = 1e9 / r->w->o->prefill_rate;
    r->sim.step_ns = (uint64_t)(token_ns * UBATCH / STEP_SHARE);
    r->sim.row_ns = (uint64_t)(token_ns * (STEP_SHARE - 1) / STEP_SHARE);
    r->sim.depth_ps = (uint64_t)(token_ns * 1000 / DOUBLE_DEPTH);
    r->sim.copy_ns = r->w->o->kv_bytes / COPY_BYTES_PER_NS;
}

static uint32_t context(const run *r) {
    const warm_replay_options *o = r->w->o;
    if (o->ctx) return o->ctx;
    size_t longest = 0;
    for (size_t i = 0; i < r->w->trace->n_requests; i++) {
        size_t n = warm_trace_tokens(r->w->trace, i, &r->w->shape);
        n += o->predict < 0 ? warm_trace_out_tokens(r->w->trace, i, &r->w->shape) : (size_t)o->predict;
        if (n > longest) longest = n;
    }
    /* A load takes cells for a whole piece, for a moment. */
    return (uint32_t)(longest + WARM_BLOCK_UNITS);
}

static int open_cache(run *r, uint64_t bytes, const char *policy, warm_err *err) {
    if (!bytes) return 0;
    warm_budget_init(&r->budget, bytes);
    int rc = warm_sim_store_open(&r->budget, UNIT_BYTES, r->w->o->kv_bytes, &r->store, err);
    if (rc) return rc;
    const warm_cache_options o = {
        .store = r->store, .budget = &r->budget, .now_ns = now_ns, .clock_ud = r, .policy = warm_policy_by_name(policy)};
    return warm_cache_new(&o, &r->cache, err);
}

static int open_world(run *r, uint64_t bytes, const char *policy, warm_err *err) {
    const warm_replay_options *o = r->w->o;
    uint32_t most = o->rotate ? 1 : o->users ? o->users : 4;
    r->n_slots = o->slots ? o->slots : most < 4 ? most : 4;
    r->clock = (warm_clock){now_ns, r};
    r->sim = (warm_sim_options){.n_ctx = context(r),
                                .n_seq_max = r->n_slots + 1,
                                .n_batch = UBATCH,
                                .n_ubatch = UBATCH,
                                .n_vocab = VOCAB,
                                .unit_bytes = UNIT_BYTES,
                                .clock_ns = &r->now_ns};
    set_costs(r);
    int rc = warm_sim_open(&r->sim, &r->engine);
    if (rc) return warm_err_set(err, rc, "the simulated engine: %s", warm_strerror(rc));
    rc = warm_worker_new("replay", 0, &r->worker, err);
    if (!rc) rc = open_cache(r, bytes, policy, err);
    if (rc) return rc;
    const warm_sched_options so = {
        .engine = r->engine, .cache = r->cache, .store = r->store, .worker = r->worker, .clock = &r->clock, .n_slots = r->n_slots};
    return warm_sched_new(&so, &r->sched, err);
}

static void close_world(run *r) {
    if (r->sched) warm_sched_free(r->sched);
    warm_cache_free(r->cache);
    if (r->store) r->store->ops->close(r->store);
    if (r->worker) warm_worker_free(r->worker);
    if (r->engine) r->engine->ops->close(r->engine);
    warm_drive_free(r->drive);
}

static int drive(run *r, warm_err *err) {
    for (;;) {
        warm_drive_ask a;
        while (r->n_flying < r->n_slots + QUEUE_AHEAD && warm_drive_next(r->drive, r->now_ns, &a)) {
            int rc = submit(r, &a, err);
            if (rc) return rc;
        }
        if (r->no_memory) return warm_err_set(err, WARM_ENOMEM, "out of memory");
        if (warm_sched_step(r->sched)) continue;
        uint64_t due = warm_drive_when(r->drive);
        if (due == UINT64_MAX || due <= r->now_ns) break;
        r->now_ns = due;
    }
    return r->n_flying ? warm_err_set(err, WARM_EENGINE, "%u requests never ended", r->n_flying) : 0;
}

int warm_replay_sim(const warm_replay *w, uint64_t budget_bytes, const char *policy, warm_replay_progress *progress, void *ud,
                    warm_replay_result *out, warm_err *err) {
    run *r = warm_xcalloc(1, sizeof *r);
    *out = (warm_replay_result){.policy = policy, .budget_bytes = budget_bytes};
    *r = (run){.w = w, .out = out, .progress = progress, .progress_ud = ud, .drive = warm_drive_new(&w->drive)};
    r->total = warm_drive_total(r->drive);
    int rc = open_world(r, budget_bytes, policy, err);
    if (!rc) rc = drive(r, err);
    if (!rc && warm_sim_poisoned(r->engine)) rc = warm_err_set(err, WARM_EENGINE, "state was restored that was not its prompt's");
    if (r->engine) {
        warm_sim_moved moved = warm_sim_moved_get(r->engine);
        out->bytes_in = moved.n_loaded * w->o->kv_bytes;
        out->bytes_out = moved.n_saved * w->o->kv_bytes;
    }
    out->peak_bytes = r->budget.peak_bytes;
    out->seconds = (double)r->now_ns / 1e9;
    close_world(r);
    free(r);
    return rc;
}
