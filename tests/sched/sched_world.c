/* SPDX-License-Identifier: MIT
 *
 * tests/sched/sched_world.c - see sched_world.h. */
#include "sched_world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "slot_order.h"

#undef NDEBUG
#include <assert.h>

/* Time passes in the engine, and a little with every look at the clock: alike in every run. */
static uint64_t world_now(void *ud) {
    return ((world *)ud)->now_ns += 100;
}

world_options world_of_kind(enum warm_state_kind kind, world_options o) {
    o.sim.state = kind;
    /* A small window, so that short prompts leave it; a snapshot as heavy as 64 units, so that a few fit into small budgets. */
    if (!o.sim.n_window) o.sim.n_window = 32;
    if (!o.sim.unit_bytes) o.sim.unit_bytes = 64;
    if (!o.sim.window_unit_bytes) o.sim.window_unit_bytes = o.sim.unit_bytes / 2;
    if (!o.sim.snapshot_bytes) o.sim.snapshot_bytes = kind == WARM_STATE_WHOLE ? 64 : 64 * o.sim.unit_bytes;
    if (!o.sim.snapshot_ns) o.sim.snapshot_ns = 64 * 1000;
    return o;
}

void world_open(world *w, const world_options *o) {
    memset(w, 0, sizeof *w);
    w->clock = o->n_threads ? warm_clock_monotonic : (warm_clock){world_now, w};
    warm_sim_options sim = o->sim;
    sim.clock_ns = &w->now_ns;
    sim.row_ns = 300 * 1000;
    if (!sim.copy_ns) sim.copy_ns = 1000;
    assert(!warm_sim_open(&sim, &w->engine));
    assert(!warm_worker_new("test", o->n_threads, &w->worker, NULL));
    if (o->budget_bytes) {
        warm_budget_init(&w->budget, o->budget_bytes);
        assert(!warm_store_ram_open(&w->budget, 0, &w->store, NULL));
        warm_cache_options co = {.store = w->store,
                                 .budget = &w->budget,
                                 .now_ns = w->clock.now_ns,
                                 .clock_ud = w->clock.ud,
                                 .window = w->engine->info->n_window,
                                 .snapshots = warm_state_has_snapshots(w->engine->info->state),
                                 .spill = o->disk_dir != NULL,
                                 .spill_snapshots_only = !warm_state_has_ranges(w->engine->info->state)};
        assert(!warm_cache_new(&co, &w->cache, NULL));
    }
    assert(!warm_worker_new("write", o->n_threads ? 1 : 0, &w->disk_writer, NULL));
    assert(!warm_worker_new("read", o->reader_thread ? 1 : o->n_threads, &w->disk_readers, NULL));
    warm_sched_disk disk = {.dir = o->disk_dir,
                            .read_only = o->disk_read_only,
                            .backend = o->backend,
                            .strict = o->backend != NULL,
                            .limit_bytes = o->disk_bytes ? o->disk_bytes : 1ull << 30,
                            .budget = &w->budget,
                            .writer = w->disk_writer,
                            .readers = w->disk_readers};
    warm_sched_options so = {.engine = w->engine,
                             .cache = w->cache,
                             .store = w->store,
                             .worker = w->worker,
                             .clock = &w->clock,
                             .n_slots = o->n_slots ? o->n_slots : 1,
                             .slice_ns = o->slice_ns,
                             .prefill_slice_ns = o->prefill_slice_ns,
                             .context_shift = o->context_shift,
                             .slot_dir = o->slot_dir,
                             .disk = o->disk_dir ? &disk : NULL};
    assert(!warm_sched_new(&so, &w->sched, NULL));
}

void world_close(world *w) {
    warm_sched_free(w->sched);
    if (w->cache) {
        warm_cache_check(w->cache);
        warm_cache_free(w->cache);
        w->store->ops->close(w->store);
        assert(w->budget.used_bytes == 0);
    }
    warm_worker_free(w->worker);
    warm_worker_free(w->disk_writer);
    warm_worker_free(w->disk_readers);
    assert(!warm_sim_poisoned(w->engine));
    w->engine->ops->close(w->engine);
}

static void on_event(void *ud, warm_event *ev) {
    request *r = ud;
    assert(!r->ended);
    r->n_events++;
    r->n_progress += ev->type == WARM_EV_PROGRESS;
    r->got = realloc(r->got, (r->n_got + ev->n_tokens + 1) * sizeof *r->got);
    assert(r->got);
    if (ev->n_tokens) memcpy(r->got + r->n_got, ev->tokens, ev->n_tokens * sizeof *r->got);
    r->n_got += ev->n_tokens;
    if (ev->text) {
        size_t len = r->text ? strlen(r->text) : 0;
        r->text = realloc(r->text, len + ev->text_len + 1);
        assert(r->text);
        memcpy(r->text + len, ev->text, ev->text_len + 1);
    }
    r->t = ev->timings;
    if (ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED) {
        r->ended = true;
        r->failed = ev->type == WARM_EV_FAILED;
        r->err = ev->err;
        r->stop = ev->stop;
        r->truncated = ev->truncated;
    }
    warm_event_free(ev);
}

void request_submit(world *w, request *r, const int32_t *prompt, size_t n, const request_options *o) {
    memset(r, 0, sizeof *r);
    r->prompt = warm_xmalloc((n ? n : 1) * sizeof *prompt);
    if (n) memcpy(r->prompt, prompt, n * sizeof *prompt);
    r->n_prompt = n;
    r->n_predict = o->n_predict;
    r->n_cache_reuse = o->n_cache_reuse;
    r->ignore_eos = o->ignore_eos;
    for (size_t i = 0; i < w->engine->info->n_adapters; i++)
        r->scales[i] = o->scales ? o->scales[i] : w->engine->info->adapters[i].scale;
    warm_task_options to = {.n_tokens = n,
                            .n_predict = o->n_predict,
                            .id_slot = o->id_slot,
                            .n_keep = o->n_keep,
                            .n_discard = o->n_discard,
                            .n_cache_reuse = o->n_cache_reuse,
                            .cache_prompt = !o->no_cache,
                            .return_progress = o->progress,
                            .stop = o->stop,
                            .n_stop = o->n_stop,
                            .salt = o->salt,
                            .scales = o->scales,
                            .emit = on_event,
                            .ud = r};
    warm_sampling_default(&to.sampling);
    to.sampling.ignore_eos = o->ignore_eos;
    to.tokens = warm_xmalloc((n ? n : 1) * sizeof *prompt);
    if (n) memcpy(to.tokens, prompt, n * sizeof *prompt);
    warm_task *t;
    assert(!warm_task_new(w->engine, &to, &t, NULL));
    r->id = warm_task_id(t);
    warm_sched_submit(w->sched, &t, 1);
}

void request_wait(world *w, request *r) {
    /* Without threads nobody else has something to do: a scheduler that has nothing to do would sleep for ever. */
    uint64_t most = w->clock.now_ns == world_now ? 1 : 100000000u;
    for (uint64_t idle = 0; !r->ended;) {
        idle = warm_sched_step(w->sched) ? 0 : idle + 1;
        assert(r->ended || idle < most);
    }
}

warm_slot_result order_run(world *w, enum warm_slot_verb verb, int32_t id_slot, const char *name) {
    return slot_order_run(w->sched, verb, id_slot, name);
}

void world_settle(world *w) {
    while (warm_sched_step(w->sched)) continue;
}

void request_run(world *w, request *r, const int32_t *prompt, size_t n, int32_t n_predict) {
    request_submit(w, r, prompt, n, &(request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true});
    request_wait(w, r);
    request_check(w, r);
}

void request_check(world *w, const request *r) {
    assert(r->ended && !r->failed);
    assert(r->t.n_device + r->t.n_ram + r->t.n_disk + r->t.n_computed == r->n_prompt);
    uint64_t hash = warm_sim_hash_adapted(r->prompt, r->n_prompt, r->scales, WARM_SIM_ADAPTERS_MAX);
    int32_t *all = warm_xmalloc((r->n_prompt + r->n_got + 1) * sizeof *all);
    memcpy(all, r->prompt, r->n_prompt * sizeof *all);
    for (size_t i = 0; i < r->n_got; i++) {
        int32_t want = warm_sim_next(w->engine, hash, r->ignore_eos);
        assert(r->got[i] == want);
        all[r->n_prompt + i] = want;
        hash = warm_sim_hash_adapted(all, r->n_prompt + i + 1, r->scales, WARM_SIM_ADAPTERS_MAX);
    }
    if (!r->truncated && r->stop == WARM_STOP_LIMIT && r->n_predict >= 0) assert(r->n_got == (size_t)r->n_predict);
    if (r->stop == WARM_STOP_EOS) assert(r->n_got && r->got[r->n_got - 1] == 0);
    free(all);
}

void request_free(request *r) {
    free(r->prompt);
    free(r->got);
    free(r->text);
}

void tokens_fill(int32_t *out, size_t n, uint64_t seed) {
    warm_rng rng = {seed * 7919 + 1};
    for (size_t i = 0; i < n; i++) out[i] = (int32_t)(1 + warm_rng_below(&rng, 255));
}
