/* SPDX-License-Identifier: MIT
 *
 * sched/plan.c - see plan.h. */
#include "sched/plan.h"

#include "base/min.h"

/* The sequence that is continued where it is; nothing is loaded. */
static warm_plan from_device(const warm_plan_input *in) {
    warm_plan p = {.seq = -1, .complete = true};
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = s->n_continue;
        bool whole = n == s->n && !s->running;
        if (!n) continue;
        /* Of equal ones a sequence that can be taken over: it leaves nothing behind that would have to be kept or dropped. */
        if (n > p.n_device || (n == p.n_device && whole && !p.take_over)) {
            p = (warm_plan){.seq = (int)i, .take_over = whole, .complete = true, .n_device = n};
        }
    }
    p.n_load = p.n_device;
    return p;
}

/* The resume point in the tree, with as many cells as are in the context already. */
static warm_plan from_tree(const warm_plan_input *in, size_t to) {
    warm_plan p = {.seq = -1, .complete = true, .n_load = to};
    if (!warm_state_has_ranges(in->state)) return p;
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = warm_min_size(s->n_match, to);
        /* Only where every position can be continued is a sequence whose load has stopped half way still good for something, so only there it is
         * taken over before one. */
        bool whole = in->state == WARM_STATE_RANGES && n == s->n && !s->running;
        if (n > p.n_device || (n && n == p.n_device && whole && !p.take_over)) {
            p = (warm_plan){.seq = (int)i, .take_over = whole, .complete = n == s->n_continue, .n_device = n, .n_load = to};
        }
    }
    return p;
}

/* Two that need the same units compute them once, if the other one is not behind: then it has been there before this one could be. */
static void set_wait(const warm_plan_input *in, warm_plan *p) {
    size_t best = p->n_load + WARM_WAIT_MIN;
    p->wait_for = -1;
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = warm_min_size(s->n_ahead, in->n_prompt - 1);
        if (n < best || s->n_begun < p->n_load) continue;
        best = n + 1;
        p->wait_for = (int)i;
        p->n_wait = n;
    }
}

warm_plan warm_plan_make(const warm_plan_input *in) {
    warm_plan device = from_device(in);
    size_t to = warm_min_size(in->n_tree, in->n_prompt - 1), known = in->n_tree_match;
    for (size_t i = 0; i < in->n_seqs; i++) {
        if (in->seqs[i].n_match > known) known = in->seqs[i].n_match;
    }
    warm_plan p = device;
    if (to > device.n_device) {
        warm_plan tree = from_tree(in, to);
        double load = in->load_ns_per_unit * (double)(to - tree.n_device) + in->load_ns_fixed;
        double compute = in->compute_ns_per_unit * (double)(to - device.n_device);
        if (load <= 0 || compute <= 0 || load <= compute) p = tree;
    }
    p.n_known = warm_min_size(known, in->n_prompt - 1);
    set_wait(in, &p);
    return p;
}
