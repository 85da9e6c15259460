/* SPDX-License-Identifier: MIT
 *
 * sched/plan.c - see plan.h. */
#include "sched/plan.h"

warm_plan warm_plan_make(const warm_plan_input *in) {
    warm_plan p = {.seq = -1};
    size_t most = in->n_prompt - 1;
    for (size_t i = 0; i < in->n_seqs; i++) {
        const warm_plan_seq *s = &in->seqs[i];
        size_t n = s->n_match < most ? s->n_match : most;
        bool whole = n == s->n && !s->running;
        if (!n || (!in->ranges && !whole)) continue;
        /* Of equal ones a sequence that can be taken over: it leaves nothing behind that would have to be kept or dropped. */
        if (n > p.n_device || (n == p.n_device && whole && !p.take_over)) {
            p = (warm_plan){.seq = (int)i, .take_over = whole, .n_device = n};
        }
    }
    p.n_load = p.n_device;
    size_t tree = in->n_tree < most ? in->n_tree : most;
    bool dearer = in->load_ns_per_unit > 0 && in->compute_ns_per_unit > 0 && in->load_ns_per_unit > in->compute_ns_per_unit;
    if (in->ranges && tree > p.n_load && !dearer) p.n_load = tree;
    p.n_known = tree > p.n_device ? tree : p.n_device;
    return p;
}
