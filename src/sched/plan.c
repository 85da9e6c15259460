/* SPDX-License-Identifier: MIT
 *
 * sched/plan.c - see plan.h. */
#include "sched/plan.h"

#include "base/min.h"

/* Everything but computing is free until that was measured; then a unit is as good a measure as any. */
static const warm_prefill_cost by_units = {.unit_ns = 1};

static bool measured(const warm_plan_input *in) {
    return in->compute.unit_ns > 0;
}

static double compute_ns(const warm_plan_input *in, size_t from, size_t to) {
    return warm_prefill_ns(measured(in) ? &in->compute : &by_units, from, to);
}

static double fork_ns(const warm_plan_input *in) {
    return measured(in) ? in->fork_ns : 0;
}

/* Of two that cost the same the one that leaves less to compute, then one that takes a sequence over: nothing is left behind that would have
 * to be kept or dropped. */
static void keep_better(warm_plan *best, const warm_plan *p) {
    bool better = p->cost_ns < best->cost_ns;
    if (p->cost_ns == best->cost_ns)
        better = p->n_load > best->n_load || (p->n_load == best->n_load && p->take_over && !best->take_over);
    if (better) *best = *p;
}

/* A sequence that is continued where it is; nothing is loaded. */
static void try_device(const warm_plan_input *in, warm_plan *best) {
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = s->n_continue;
        if (!n) continue;
        bool whole = n == s->n && !s->running;
        warm_plan p = {.seq = (int)i, .take_over = whole, .complete = true, .n_device = n, .n_load = n};
        p.cost_ns = (whole ? 0 : fork_ns(in)) + compute_ns(in, n, in->n_prompt);
        keep_better(best, &p);
    }
}

/* A resume point in a tier, with as many cells as are in the context already. */
static void try_load(const warm_plan_input *in, const warm_plan_point *point, warm_plan *best) {
    size_t to = warm_min_size(point->n, in->n_prompt - 1);
    if (!to) return;
    warm_plan p = {.seq = -1, .complete = true, .n_load = to};
    for (size_t i = 0; warm_state_has_ranges(in->state) && i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = warm_min_size(s->n_match, to);
        /* Only where every position can be continued is a sequence whose load has stopped half way still good for something, so only there it is
         * taken over before one. */
        bool whole = in->state == WARM_STATE_RANGES && n == s->n && !s->running;
        if (n > p.n_device || (n && n == p.n_device && whole && !p.take_over)) {
            p = (warm_plan){.seq = (int)i, .take_over = whole, .complete = n == s->n_continue, .n_device = n, .n_load = to};
        }
    }
    double load = measured(in) ? point->unit_ns * (double)(to - p.n_device) + point->fixed_ns : 0;
    bool copied = p.seq >= 0 && p.complete && !p.take_over;
    p.cost_ns = load + (copied ? fork_ns(in) : 0) + compute_ns(in, to, in->n_prompt);
    keep_better(best, &p);
}

/* Two that need the same units compute them once. Waiting costs nobody anything; what is computed instead is taken from the other one. */
static void try_wait(const warm_plan_input *in, warm_plan *p) {
    double best = 0;
    p->wait_for = -1;
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = warm_min_size(s->n_ahead, in->n_prompt - 1);
        /* What it has passed without being shareable there it never will be. */
        if (n < p->n_load + WARM_WAIT_MIN || n <= s->n_begun) continue;
        double rest = compute_ns(in, n, in->n_prompt);
        double wait = (measured(in) ? s->begin_ns : 0) + compute_ns(in, s->n_begun, n) + fork_ns(in);
        double saved = 2 * p->cost_ns - (wait + 2 * rest);
        if (saved <= best) continue;
        best = saved;
        p->wait_for = (int)i;
        p->n_wait = n;
    }
}

warm_plan warm_plan_make(const warm_plan_input *in) {
    warm_plan p = {.seq = -1, .complete = true, .cost_ns = compute_ns(in, 0, in->n_prompt)};
    try_device(in, &p);
    for (size_t i = 0; i < in->n_points; i++) try_load(in, &in->points[i], &p);
    size_t known = in->n_tree_match;
    for (size_t i = 0; i < in->n_seqs; i++) {
        if (in->seqs[i].n_match > known) known = in->seqs[i].n_match;
    }
    p.n_known = warm_min_size(known, in->n_prompt - 1);
    try_wait(in, &p);
    if (p.wait_for >= 0) {
        const warm_plan_seq *s = &in->seqs[p.wait_for];
        p.cost_ns = s->begin_ns + compute_ns(in, s->n_begun, p.n_wait) + in->fork_ns + compute_ns(in, p.n_wait, in->n_prompt);
    }
    if (!measured(in)) p.cost_ns = 0;
    return p;
}
