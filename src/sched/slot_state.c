/* SPDX-License-Identifier: MIT
 *
 * sched/slot_state.c - see slot_state.h. */
#include "sched/slot_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

/* ---- conversations ---- */

void warm__slot_states_init(warm_sched *s) {
    s->conversations = warm_xcalloc(s->n_slots, sizeof *s->conversations);
    s->orders_tail = &s->orders;
}

bool warm__conversation_set(warm_sched *s, int32_t id_slot, const warm_conversation *from) {
    warm_conversation *c = &s->conversations[id_slot];
    warm_unit *units = NULL;
    char *adapters = NULL;
    if (from->n) units = warm_malloc(from->n * sizeof *units);
    if (from->adapters) adapters = warm_strndup(from->adapters, strlen(from->adapters));
    if ((from->n && !units) || (from->adapters && !adapters)) {
        free(units);
        free(adapters);
        return false;
    }
    if (units) memcpy(units, from->units, from->n * sizeof *units);
    free(c->units);
    free(c->adapters);
    c->units = units;
    c->n = from->n;
    c->adapters = adapters;
    memcpy(c->fingerprint, from->fingerprint, sizeof c->fingerprint);
    return true;
}

void warm__slot_remember(warm_sched *s, const warm_slot *sl) {
    const warm_seq *q = sl->seq;
    const warm_task *t = sl->task;
    warm_conversation c = {0};
    memcpy(c.fingerprint, t->fingerprint, sizeof c.fingerprint);
    if (sl->parked_units && t->cache_prompt) {
        c.units = sl->parked_units;
        c.n = sl->n_parked;
    } else if (q && q->cached) {
        c.units = q->units;
        /* Cut off while it was being loaded: the tree has what was wanted. */
        c.n = q->incomplete ? q->n_want : warm__seq_exact(q);
    }
    bool known = !t->scales || (c.adapters = warm_adapters_text(s->info, t->scales));
    /* Without memory for it there is none, rather than that of the task before. */
    if (!known || !warm__conversation_set(s, sl->id, &c)) (void)warm__conversation_set(s, sl->id, &(warm_conversation){0});
    free(c.adapters);
}

bool warm__slot_held(const warm_sched *s, const warm_slot *sl) {
    return s->conversations[sl->id].held;
}

/* ---- erasing ---- */

/* How many of the conversation's first units somebody else has. */
static size_t shared_units(const warm_sched *s, int32_t id_slot) {
    const warm_conversation *c = &s->conversations[id_slot];
    size_t most = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_conversation *x = &s->conversations[i];
        if ((int32_t)i == id_slot || memcmp(x->fingerprint, c->fingerprint, sizeof c->fingerprint)) continue;
        size_t k = warm__units_match(x->units, x->n, c->units, c->n);
        if (k > most) most = k;
    }
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        const warm_seq *q = &s->seqs[i];
        if (!warm__seq_serves(q, c->fingerprint)) continue;
        size_t k = warm__seq_match_wanted(q, c->units, c->n);
        if (k > most) most = k;
    }
    return most;
}

/* Residents that hold nothing but (the beginning of) this slot's conversation. One that some other slot's task has left is that slot's. */
static void drop_residents(warm_sched *s, int32_t id_slot) {
    const warm_conversation *c = &s->conversations[id_slot];
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (q->slot || q->last_slot != id_slot || !warm__seq_serves(q, c->fingerprint)) continue;
        if (warm__seq_match(q, c->units, c->n) == warm__seq_exact(q)) warm__seq_drop(s, q);
    }
}

static void erase(warm_order *a) {
    warm_sched *s = a->sched;
    warm_conversation *c = &s->conversations[a->o.id_slot];
    warm_scope *scope;
    a->result.n_units = c->n;
    if (!c->n) return;
    drop_residents(s, a->o.id_slot);
    if (s->kv && !warm_cache_scope(s->o.cache, c->fingerprint, &scope))
        warm_cache_forget(s->o.cache, scope, c->units, c->n, shared_units(s, a->o.id_slot));
    (void)warm__conversation_set(s, a->o.id_slot, &(warm_conversation){0});
}

/* ---- orders ---- */

static void run_job(void *arg) {
    warm_order *a = arg;
    warm_sched *s = a->sched;
    a->run(a);
    /* Once the lock is free the order may be, too. */
    pthread_mutex_lock(&s->lock);
    a->job_done = true;
    s->woken = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

void warm__order_post(warm_order *a, void (*run)(warm_order *a)) {
    a->run = run;
    a->job_out = true;
    a->job_done = false;
    warm_worker_post(a->sched->o.slot_worker, run_job, a);
}

static bool job_is_out(warm_order *a) {
    if (!a->job_out) return false;
    pthread_mutex_lock(&a->sched->lock);
    a->job_out = !a->job_done;
    pthread_mutex_unlock(&a->sched->lock);
    return a->job_out;
}

void warm__order_add(warm_sched *s, warm_order *a) {
    *s->orders_tail = a;
    s->orders_tail = &a->next;
}

void warm_sched_slot_order(warm_sched *s, const warm_slot_order *o) {
    warm_order *a = warm_xcalloc(1, sizeof *a);
    a->o = *o;
    a->o.name = o->name ? warm_xstrdup(o->name) : NULL;
    a->sched = s;
    warm__post_order(s, a);
}

static const char *verb_name(enum warm_slot_verb v) {
    return v == WARM_SLOT_SAVE ? "save" : v == WARM_SLOT_RESTORE ? "restore" : "erase";
}

static void end(warm_order *a) {
    warm_sched *s = a->sched;
    warm_slot_result *r = &a->result;
    warm__slot_save_free(a);
    warm__slot_restore_free(a);
    if (a->start_ns) {
        s->conversations[a->o.id_slot].held = false;
        s->queue_changed = true;
        r->ms = (double)(warm__sched_now(s) - a->start_ns) / 1e6;
    }
    if (r->err.code)
        warm_log_warn("slot", "slot=%d %s failed: %s", a->o.id_slot, verb_name(a->o.verb), r->err.text);
    else
        warm_log_info("slot", "slot=%d %s units=%zu bytes=%llu ms=%.1f", a->o.id_slot, verb_name(a->o.verb), r->n_units,
                      (unsigned long long)r->n_bytes, r->ms);
    a->o.done(a->o.ud, r);
    free((char *)a->o.name);
    free(a);
}

/* Whether it can be carried out at all. */
static bool refused(warm_order *a) {
    const warm_sched *s = a->sched;
    bool erases = a->o.verb == WARM_SLOT_ERASE;
    if (a->o.id_slot < 0 || a->o.id_slot >= (int32_t)s->n_slots)
        warm_err_set(&a->result.err, WARM_EINVAL, "there is no slot %d (0..%u)", a->o.id_slot, s->n_slots - 1);
    else if (!erases && !s->kv)
        warm_err_set(&a->result.err, WARM_ENOTSUP, "a slot is saved from the cache and restored into it: this needs --cache-ram");
    return a->result.err.code != 0;
}

/* True when it has ended. */
static bool turn(warm_order *a) {
    warm_sched *s = a->sched;
    if (a->phase == WARM_ORDER_WAITING && !a->start_ns) {
        if (refused(a)) return true;
        if (s->slots[a->o.id_slot].state != WARM_SLOT_IDLE) return false;
        a->start_ns = warm__sched_now(s);
        s->conversations[a->o.id_slot].held = true;
    }
    if (a->o.verb == WARM_SLOT_SAVE) return warm__slot_save_turn(a);
    if (a->o.verb == WARM_SLOT_RESTORE) return warm__slot_restore_turn(a);
    erase(a);
    return true;
}

static bool behind_another(const warm_sched *s, const warm_order *a) {
    const warm_order *x = s->orders;
    while (x != a && x->o.id_slot != a->o.id_slot) x = x->next;
    return x != a;
}

bool warm__slot_orders(warm_sched *s) {
    bool did = false;
    for (warm_order **at = &s->orders; *at;) {
        warm_order *a = *at;
        enum warm_order_phase phase = a->phase;
        bool waits = behind_another(s, a) || job_is_out(a);
        if (waits || !turn(a)) {
            did |= !waits && (a->job_out || a->phase != phase);
            at = &a->next;
            continue;
        }
        *at = a->next;
        if (!*at) s->orders_tail = at;
        end(a);
        did = true;
    }
    return did;
}

void warm__slot_states_deinit(warm_sched *s) {
    while (s->orders) {
        warm_order *a = s->orders;
        s->orders = a->next;
        pthread_mutex_lock(&s->lock);
        while (a->job_out && !a->job_done) pthread_cond_wait(&s->cond, &s->lock);
        pthread_mutex_unlock(&s->lock);
        warm_err_set(&a->result.err, WARM_ECLOSED, "the server is shutting down");
        end(a);
    }
    for (uint32_t i = 0; i < s->n_slots; i++) {
        free(s->conversations[i].units);
        free(s->conversations[i].adapters);
    }
    free(s->conversations);
}
