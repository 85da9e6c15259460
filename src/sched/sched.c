/* SPDX-License-Identifier: MIT
 *
 * sched/sched.c - messages, the turn, the loop, and the status that others see. See sched.h. */
#include "sched/sched.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sched/sched_internal.h"

static const uint64_t default_slice_ns = 2 * 1000000ull;
static const uint64_t default_prefill_slice_ns = 100 * 1000000ull;

static void wake(void *ud) {
    warm_sched *s = ud;
    pthread_mutex_lock(&s->lock);
    s->woken = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

int warm_sched_new(const warm_sched_options *o, warm_sched **out, warm_err *err) {
    const warm_engine_info *info = o->engine->info;
    if (o->n_slots < 1 || info->n_seq_max <= o->n_slots) {
        return warm_err_set(err, WARM_EINVAL, "%u slots need more than %u sequences: one more at least", o->n_slots,
                            info->n_seq_max);
    }
    warm_sched *s = warm_xcalloc(1, sizeof *s);
    s->o = *o;
    if (!s->o.slice_ns) s->o.slice_ns = default_slice_ns;
    if (!s->o.prefill_slice_ns) s->o.prefill_slice_ns = default_prefill_slice_ns;
    s->e = o->engine;
    s->info = info;
    s->n_slots = o->n_slots;
    s->n_seqs = info->n_seq_max;
    s->slots = warm_xcalloc(s->n_slots, sizeof *s->slots);
    for (uint32_t i = 0; i < s->n_slots; i++) s->slots[i] = (warm_slot){.id = (int32_t)i, .row = -1};
    s->seqs = warm_xcalloc(s->n_seqs, sizeof *s->seqs);
    warm_pool_init(&s->pool, info->n_ctx);
    s->b_token = warm_xcalloc(info->n_batch, sizeof *s->b_token);
    s->b_pos = warm_xcalloc(info->n_batch, sizeof *s->b_pos);
    s->b_seq = warm_xcalloc(info->n_batch, sizeof *s->b_seq);
    s->b_want = warm_xcalloc(info->n_batch, sizeof *s->b_want);
    s->queue_tail = &s->queue;
    s->inbox_tail = &s->inbox;
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->status_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->cond, &attr);
    pthread_condattr_destroy(&attr);
    s->published.slots = warm_xcalloc(s->n_slots, sizeof *s->published.slots);
    if (!s->o.slot_worker) s->o.slot_worker = o->worker;
    warm__slot_states_init(s);
    warm__embeddings_init(s);
    if (o->cache) {
        warm_kv_options ko = {.engine = s->e,
                              .cache = o->cache,
                              .worker = o->worker,
                              .clock = o->clock,
                              .slice_ns = s->o.slice_ns,
                              .wake = wake,
                              .ud = s};
        s->kv = warm_kv_new(&ko);
    }
    int rc = o->cache && o->disk ? warm__tier_open(s, wake, err) : 0;
    if (rc) {
        warm_sched_free(s);
        return rc;
    }
    warm__publish(s); /* who asks before the first turn gets slots, all idle, not none */
    *out = s;
    return 0;
}

static void post_list(warm_sched *s, warm_message *first, warm_message **end) {
    pthread_mutex_lock(&s->lock);
    *s->inbox_tail = first;
    s->inbox_tail = end;
    s->woken = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static warm_message *message_new(const warm_message *fields) {
    warm_message *m = warm_xmalloc(sizeof *m);
    *m = *fields;
    return m;
}

static void post(warm_sched *s, const warm_message *fields) {
    warm_message *m = message_new(fields);
    post_list(s, m, &m->next);
}

void warm_sched_submit(warm_sched *s, warm_task *const *tasks, size_t n) {
    warm_message *first = NULL, **end = &first;
    for (size_t i = 0; i < n; i++) {
        tasks[i]->queued_ns = warm__sched_now(s);
        *end = message_new(&(warm_message){.kind = WARM_MSG_SUBMIT, .task = tasks[i]});
        end = &(*end)->next;
    }
    if (first) post_list(s, first, end);
}

void warm_sched_cancel(warm_sched *s, uint64_t task_id) {
    post(s, &(warm_message){.kind = WARM_MSG_CANCEL, .n = task_id});
}

void warm_sched_set_budget(warm_sched *s, size_t limit_bytes) {
    post(s, &(warm_message){.kind = WARM_MSG_BUDGET, .n = limit_bytes});
}

void warm__post_order(warm_sched *s, struct warm_order *a) {
    post(s, &(warm_message){.kind = WARM_MSG_ORDER, .order = a});
}

void warm__post_embedding(warm_sched *s, struct warm_embedding *x) {
    post(s, &(warm_message){.kind = WARM_MSG_EMBED, .embedding = x});
}

static void refuse(warm_sched *s, warm_task *t, const warm_err *err) {
    warm__tier_give_up(t);
    t->emit(t->ud, warm__event_failed(s, t, NULL, err));
    warm_task_free(t);
}

/* A task without a prompt has nothing to compute: it ends at once, as llama-server's does. */
static void answer_empty(warm_task *t) {
    warm_event *ev = warm_xcalloc(1, sizeof *ev);
    ev->type = WARM_EV_DONE;
    ev->id_slot = -1;
    ev->seed = t->seed;
    ev->text = warm_xcalloc(1, 1);
    t->emit(t->ud, ev);
    warm_task_free(t);
}

static void take_task(warm_sched *s, warm_task *t) {
    warm_err err = {0};
    if (t->n_prompt >= s->info->n_ctx) {
        warm_err_set(&err, WARM_ETOOLARGE, "request (%zu tokens) exceeds the available context size (%u tokens), try increasing it",
                     t->n_prompt, s->info->n_ctx);
        refuse(s, t, &err);
    } else if (t->id_slot >= (int32_t)s->n_slots) {
        warm_err_set(&err, WARM_EINVAL, "id_slot: there is no slot %d (0..%u)", t->id_slot, s->n_slots - 1);
        refuse(s, t, &err);
    } else if (!t->n_prompt) {
        answer_empty(t);
    } else {
        t->next = NULL;
        *s->queue_tail = t;
        s->queue_tail = &t->next;
        s->n_queued++;
        s->queue_changed = true;
    }
}

static void cancel(warm_sched *s, uint64_t id) {
    warm_err err = {0};
    warm_err_set(&err, WARM_ECANCELED, "canceled");
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (!s->slots[i].task || s->slots[i].task->id != id) continue;
        warm__slot_fail(s, &s->slots[i], &err);
        return;
    }
    for (warm_task **at = &s->queue; *at; at = &(*at)->next) {
        warm_task *t = *at;
        if (t->id != id) continue;
        *at = t->next;
        if (!*at) s->queue_tail = at;
        s->n_queued--;
        s->queue_changed = true;
        refuse(s, t, &err);
        return;
    }
}

bool warm__mail_waits(warm_sched *s) {
    pthread_mutex_lock(&s->lock);
    bool waits = s->inbox != NULL;
    pthread_mutex_unlock(&s->lock);
    return waits;
}

static bool take_messages(warm_sched *s) {
    pthread_mutex_lock(&s->lock);
    warm_message *m = s->inbox;
    s->inbox = NULL;
    s->inbox_tail = &s->inbox;
    s->woken = false;
    pthread_mutex_unlock(&s->lock);
    bool did = m != NULL;
    while (m) {
        warm_message *next = m->next;
        switch (m->kind) {
        case WARM_MSG_SUBMIT:
            take_task(s, m->task);
            break;
        case WARM_MSG_CANCEL:
            cancel(s, m->n);
            break;
        case WARM_MSG_BUDGET:
            s->budget_wanted = (size_t)m->n;
            s->budget_pending = true;
            break;
        case WARM_MSG_ORDER:
            warm__order_add(s, m->order);
            break;
        case WARM_MSG_EMBED:
            warm__embedding_add(s, m->embedding);
            break;
        }
        free(m);
        m = next;
    }
    if (s->budget_pending && s->o.cache && !warm_cache_set_budget(s->o.cache, s->budget_wanted)) s->budget_pending = false;
    return did;
}

void warm__publish(warm_sched *s) {
    pthread_mutex_lock(&s->status_lock);
    warm_slot_status *slots = s->published.slots;
    s->published = s->counters;
    warm_sched_status *st = &s->published;
    st->slots = slots;
    st->n_slots = s->n_slots;
    st->n_queued = (uint32_t)s->n_queued;
    st->n_cells = s->pool.n_cells;
    st->n_cells_used = s->pool.n_used;
    st->n_residents = (uint32_t)warm__seq_count_residents(s);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        const warm_task *t = sl->task;
        slots[i] = (warm_slot_status){.id = sl->id, .state = sl->state};
        if (!t) continue;
        st->n_running += sl->seq != NULL;
        st->n_parked += sl->state == WARM_SLOT_PARKED;
        slots[i].id_task = t->id;
        slots[i].n_prompt = t->n_prompt;
        slots[i].n_prompt_cached = sl->t.n_device + sl->t.n_ram + sl->t.n_disk;
        slots[i].n_prompt_processed = sl->t.n_computed;
        slots[i].n_decoded = sl->n_decoded;
        slots[i].n_remain = t->n_predict < 0 ? -1 : t->n_predict - (int32_t)sl->n_decoded;
    }
    st->has_cache = s->kv != NULL;
    if (s->kv) {
        warm_cache_stats_get(s->o.cache, &st->cache);
        s->o.store->ops->stats(s->o.store, &st->store);
    }
    st->has_disk = s->tier != NULL;
    if (s->tier) warm__tier_stats(s, st);
    pthread_mutex_unlock(&s->status_lock);
}

int warm_sched_status_get(warm_sched *s, warm_sched_status *out) {
    warm_slot_status *slots = warm_calloc(s->n_slots, sizeof *slots);
    if (!slots) return WARM_ENOMEM;
    pthread_mutex_lock(&s->status_lock);
    *out = s->published;
    memcpy(slots, s->published.slots, s->n_slots * sizeof *slots);
    pthread_mutex_unlock(&s->status_lock);
    out->slots = slots;
    return 0;
}

void warm_sched_status_free(warm_sched_status *st) {
    free(st->slots);
}

bool warm_sched_step(warm_sched *s) {
    bool did = take_messages(s);
    did |= warm__slot_orders(s);
    did |= warm__tier_turn(s);
    did |= warm__admit(s);
    warm__drop_dear_residents(s);
    did |= warm__cache_slice(s);
    did |= warm__compute(s);
    did |= warm__embed(s);
    warm__publish(s);
    return did || s->queue_changed; /* what has changed since may let somebody in */
}

/* Until something comes, or that time. The lock is held. */
static void sleep_until(warm_sched *s, uint64_t due) {
    struct timespec at = {(time_t)(due / 1000000000), (long)(due % 1000000000)};
    int rc = 0;
    while (!s->woken && !s->stop && !rc)
        rc = due == UINT64_MAX ? pthread_cond_wait(&s->cond, &s->lock) : pthread_cond_timedwait(&s->cond, &s->lock, &at);
}

void warm_sched_run(warm_sched *s) {
    for (;;) {
        bool did = warm_sched_step(s);
        uint64_t due = did ? 0 : warm__tier_due(s);
        pthread_mutex_lock(&s->lock);
        if (!did) sleep_until(s, due);
        bool stop = s->stop;
        pthread_mutex_unlock(&s->lock);
        if (stop) return;
    }
}

void warm_sched_stop(warm_sched *s) {
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

void warm_sched_free(warm_sched *s) {
    if (!s) return;
    take_messages(s);
    warm_err err = {0};
    warm_err_set(&err, WARM_ECLOSED, "the server is shutting down");
    while (s->queue) {
        warm_task *t = s->queue;
        s->queue = t->next;
        refuse(s, t, &err);
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].task) warm__slot_fail(s, &s->slots[i], &err);
    }
    warm__slot_states_deinit(s);
    warm__embeddings_deinit(s);
    warm__tier_save(s);
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        if (s->seqs[i].in_use) warm__seq_drop(s, &s->seqs[i]);
    }
    warm__tier_close(s);
    warm_kv_free(s->kv);
    warm_pool_deinit(&s->pool);
    free(s->b_token);
    free(s->b_pos);
    free(s->b_seq);
    free(s->b_want);
    free(s->seqs);
    free(s->slots);
    free(s->published.slots);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->status_lock);
    free(s);
}
