/* SPDX-License-Identifier: MIT
 *
 * sched/points.c - resume points of a sequence: taken when it is there, put into the tree when its units are.
 *
 * A snapshot can only be taken while the sequence ends at its position, but saving the units before it may lag behind, in slices. So it waits
 * with the sequence, its memory already the cache's. Where rows of a window make a position resumable, the point is only a mark. */
#include <assert.h>

#include "base/log.h"
#include "base/min.h"
#include "sched/sched_internal.h"

static void forget(warm_sched *s, warm_seq *q, unsigned i) {
    if (q->points[i].snapshot.bytes) warm_cache_snapshot_abort(s->o.cache, &q->points[i].snapshot);
    q->n_points--;
    for (; i < q->n_points; i++) q->points[i] = q->points[i + 1];
}

void warm__points_drop(warm_sched *s, warm_seq *q) {
    while (q->n_points) forget(s, q, q->n_points - 1);
}

bool warm__points_yield(warm_sched *s, warm_seq *q) {
    if (q->n_points < 2 || !q->points[0].snapshot.bytes) return false;
    forget(s, q, 0);
    return true;
}

/* The first position behind n where one that waits for it leaves it; SIZE_MAX: there is none. */
static size_t next_branch(const warm_sched *s, const warm_seq *q, size_t n) {
    size_t next = SIZE_MAX;
    /* Where every position can be shared, nobody has to be met at his. */
    for (uint32_t i = 0; q->slot && s->info->state != WARM_STATE_RANGES && i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        if (sl->state != WARM_SLOT_WAITING || sl->leader != q->slot || sl->leader_order != q->slot->order) continue;
        if (sl->wait_pos > n && sl->wait_pos < next) next = sl->wait_pos;
    }
    return next;
}

size_t warm__points_next(const warm_sched *s, const warm_seq *q) {
    size_t branch = next_branch(s, q, q->n), due = warm_due_next(&q->due, q->n, q->n_want), gap = warm__points_gap(s);
    /* Less than a batch before a place where somebody is known to leave it, a guess is not worth a pass of its own. */
    if (gap < s->info->n_ubatch) gap = s->info->n_ubatch;
    while (due < branch && branch < q->n_want && branch - due < gap) due = warm_due_next(&q->due, due, q->n_want);
    return warm_min_size(branch, due);
}

void warm__points_reached(warm_sched *s, warm_seq *q) {
    double prior = warm_due_prior(&q->due, q->n);
    if (prior > 0) {
        warm__point_take(s, q, prior);
    } else if (next_branch(s, q, q->n - 1) == q->n && q->n >= q->last_point + warm__points_gap(s)) {
        /* Who leaves here shares what is in the context, in this very turn. This is for those who can't, and for others like them. */
        warm__point_take(s, q, WARM_POINT_PRIOR_BRANCH);
    }
}

void warm__point_take(warm_sched *s, warm_seq *q, double prior) {
    if (!s->kv || !q->cached || !q->n || s->info->state == WARM_STATE_RANGES) return;
    if (q->last_point == q->n || q->n > q->n_exact) return;
    warm_point p = {.pos = q->n, .prior = prior};
    if (warm_state_has_snapshots(s->info->state)) {
        uint64_t t0 = warm__sched_now(s);
        int rc = warm_kv_snapshot(s->kv, q->id, &p.snapshot);
        s->eager_ns += warm__sched_now(s) - t0;
        if (rc) return; /* no room, or said already; the position can be reached by computing */
    }
    /* The oldest has waited longest, and those behind it are worth more. */
    if (q->n_points == WARM_POINTS_MAX) forget(s, q, 0);
    q->points[q->n_points++] = p;
    q->last_point = q->n;
    warm__points_commit(s, q);
}

void warm__points_commit(warm_sched *s, warm_seq *q) {
    while (q->n_points && q->has_path && q->points[0].pos <= q->path.n_units) {
        warm_point *p = &q->points[0];
        if (!p->snapshot.bytes) {
            size_t from = p->pos < s->info->n_window ? 0 : p->pos - s->info->n_window + 1;
            while (warm_kv_save_rows(s->kv, q->id, &q->path, q->units, from, p->pos) > 0) continue;
            warm_cache_mark(s->o.cache, &q->path, p->pos);
        } else {
            int rc = warm_kv_snapshot_commit(s->kv, &q->path, p->pos, p->prior, &p->snapshot);
            if (rc) warm_log_debug("sched", "the snapshot at %zu is lost: %s", p->pos, warm_strerror(rc));
            p->snapshot = (warm_snapshot){0};
        }
        forget(s, q, 0);
    }
}

size_t warm__points_wanted(const warm_seq *q) {
    return q->n_points ? q->points[q->n_points - 1].pos : 0;
}

size_t warm__points_save_end(const warm_sched *s, const warm_seq *q) {
    size_t n = warm__seq_exact(q);
    if (!warm_state_has_snapshots(s->info->state)) return n;
    /* A point that is due brings the units before it into use, so they may be saved as they come. */
    return warm__points_next(s, q) < q->n_want || n < q->last_point ? n : q->last_point;
}

size_t warm__points_gap(const warm_sched *s) {
    if (!s->kv || !warm_state_has_snapshots(s->info->state)) return 1; /* a mark costs nothing */
    return warm_due_gap(warm_kv_snapshot_ns(s->kv), warm_rates_prefill_cost(&s->rates).unit_ns);
}

bool warm__points_in_tree(warm_sched *s, const warm_seq *q) {
    warm_scope *scope;
    size_t n = warm__seq_exact(q);
    if (warm_cache_scope(s->o.cache, q->fingerprint, &scope)) return false;
    return n - warm_cache_match_resume(s->o.cache, scope, q->units, n) < warm__points_gap(s);
}
