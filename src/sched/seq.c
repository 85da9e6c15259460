/* SPDX-License-Identifier: MIT
 *
 * sched/seq.c - sequences: their units, their cells, and the engine's side of both. See sched_internal.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/min.h"
#include "sched/sched_internal.h"

static void reserve(warm_seq *q, size_t n) {
    if (n <= q->cap) return;
    size_t cap = q->cap ? q->cap : 256;
    while (cap < n) cap *= 2;
    q->units = warm_realloc(q->units, cap * sizeof *q->units);
    q->cells = warm_realloc(q->cells, cap * sizeof *q->cells);
    /* Bounded by the context: a machine that can't hold twelve bytes per cell can't hold the cell. */
    if (!q->units || !q->cells) abort();
    q->cap = cap;
}

warm_seq *warm__seq_new(warm_sched *s, const warm_task *t) {
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (q->in_use) continue;
        *q = (warm_seq){.id = (int32_t)i,
                        .in_use = true,
                        .cached = t->cache_prompt,
                        .last_slot = -1,
                        .n_exact = SIZE_MAX,
                        .pool_version = UINT64_MAX};
        memcpy(q->fingerprint, t->fingerprint, sizeof q->fingerprint);
        return q;
    }
    return NULL;
}

void warm__seq_want(warm_seq *q, const warm_unit *units, size_t n) {
    assert(n >= q->n);
    reserve(q, n);
    memcpy(q->units + q->n, units + q->n, (n - q->n) * sizeof *units);
    q->n_want = n;
}

void warm__seq_push(warm_seq *q, warm_unit unit) {
    reserve(q, q->n_want + 1);
    q->units[q->n_want++] = unit;
}

int warm__seq_fork(warm_sched *s, warm_seq *src, const warm_plan *p, const warm_task *t, warm_seq **out) {
    size_t n = p->n_device;
    assert(n > 0 && n <= src->n_exact && !src->incomplete);
    warm_seq *q = warm__seq_new(s, t);
    if (!q) return WARM_EAGAIN;
    warm_err err = {0};
    uint64_t t0 = warm__sched_now(s);
    int rc = s->e->ops->fork(s->e, src->id, q->id, (int32_t)n, p->complete, &err);
    if (!rc && p->complete) warm_rates_fork(&s->rates, warm__sched_now(s) - t0);
    if (rc) {
        if (rc != WARM_EFULL) warm_log_error("sched", "sharing %zu units failed: %s", n, err.text);
        warm__seq_drop(s, q);
        return rc;
    }
    reserve(q, n);
    memcpy(q->units, src->units, n * sizeof *q->units);
    memcpy(q->cells, src->cells, n * sizeof *q->cells);
    q->n = q->n_want = n;
    warm_pool_share(&s->pool, q->cells, n);
    *out = q;
    return 0;
}

void warm__seq_grow(warm_sched *s, warm_seq *q, size_t n) {
    assert(q->n + n <= q->n_want);
    warm_pool_take(&s->pool, q->cells + q->n, n);
    q->n += n;
    q->n_exclusive += n;
}

void warm__seq_drop(warm_sched *s, warm_seq *q) {
    if (q->has_path) warm_path_release(s->o.cache, &q->path);
    warm__points_drop(s, q);
    s->e->ops->seq_rm(s->e, q->id, 0, -1);
    warm_pool_give(&s->pool, q->cells, q->n);
    free(q->units);
    free(q->cells);
    if (s->urgent == q) s->urgent = NULL;
    *q = (warm_seq){0};
    s->queue_changed = true;
}

void warm__seq_leave(warm_sched *s, warm_slot *sl) {
    warm_seq *q = sl->seq;
    sl->seq = NULL;
    q->slot = NULL;
    q->last_slot = sl->id;
    q->n_want = q->n;
    q->last_used_ns = warm__sched_now(s);
    q->idle_from = s->steps_walked;
    q->saved = !s->kv || !q->cached;
    /* of a shifted one with a state that can't be cut, nothing is left to go on from */
    bool useless = q->n > q->n_exact && warm_state_has_snapshots(s->info->state);
    if (!q->n || !q->cached || q->incomplete || useless) warm__seq_drop(s, q);
}

size_t warm__units_match(const warm_unit *a, size_t n_a, const warm_unit *b, size_t n_b) {
    size_t most = n_a < n_b ? n_a : n_b, i = 0;
    /* Whole pages of equal units first: most prompts differ late or at once. */
    while (i + 512 <= most && !memcmp(a + i, b + i, 512 * sizeof *a)) i += 512;
    while (i < most && a[i] == b[i]) i++;
    return i;
}

size_t warm__seq_match(const warm_seq *q, const warm_unit *units, size_t n) {
    return warm__units_match(q->units, warm__seq_exact(q), units, n);
}

size_t warm__seq_match_wanted(const warm_seq *q, const warm_unit *units, size_t n) {
    return warm__units_match(q->units, warm_min_size(q->n_want, q->n_exact), units, n);
}

size_t warm__seq_exclusive(warm_sched *s, warm_seq *q) {
    if (q->pool_version != s->pool.version) {
        q->n_exclusive = warm_pool_exclusive(&s->pool, q->cells, q->n);
        q->pool_version = s->pool.version;
    }
    return q->n_exclusive;
}

warm_seq *warm__seq_oldest_resident(warm_sched *s, const warm_seq *except) {
    warm_seq *oldest = NULL;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (!q->in_use || q->slot || q == except) continue;
        if (!oldest || q->last_used_ns < oldest->last_used_ns) oldest = q;
    }
    return oldest;
}

size_t warm__seq_count_residents(const warm_sched *s) {
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_seqs; i++) n += s->seqs[i].in_use && !s->seqs[i].slot;
    return n;
}
