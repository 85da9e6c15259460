/* SPDX-License-Identifier: MIT
 *
 * sched/plan.h - how a request's prefix will be obtained. A pure function: no state, no engine. [any] */
#ifndef WARM_SCHED_PLAN_H
#define WARM_SCHED_PLAN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct warm_plan_seq {
    size_t n;       /* units it has in the context */
    size_t n_match; /* longest common prefix with the request, at most its n */
    bool running;   /* a slot runs it: it can be shared, not taken over */
} warm_plan_seq;

typedef struct warm_plan_input {
    size_t n_prompt; /* units; the last one is always computed: its logits are needed */
    const warm_plan_seq *seqs;
    size_t n_seqs;
    bool ranges;                                  /* sequences can be shared in part and state loaded in ranges */
    size_t n_tree;                                /* longest common prefix with the tree */
    double load_ns_per_unit, compute_ns_per_unit; /* measured; 0 = unknown */
} warm_plan_input;

typedef struct warm_plan {
    int seq;         /* index into seqs of the sequence to begin with, -1 = an empty one */
    bool take_over;  /* true: it becomes the request's own; false: its first n_device units are shared */
    size_t n_device; /* [0, n_device) are in the context already */
    size_t n_load;   /* [n_device, n_load) are loaded; n_load >= n_device */
    size_t n_known;  /* the longest match anywhere, also one that is dearer to load than to compute */
} warm_plan;

warm_plan warm_plan_make(const warm_plan_input *in);

#endif
