/* SPDX-License-Identifier: MIT
 *
 * sched/plan.h - how a request's prefix will be obtained. A pure function: no state, no engine. [any] */
#ifndef WARM_SCHED_PLAN_H
#define WARM_SCHED_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "warmslot/engine.h"

typedef struct warm_plan_seq {
    size_t n;       /* units it has in the context */
    size_t n_match; /* longest common prefix with the request, at most its n */
    size_t
        n_continue; /* the last position <= n_match, and before the request's last unit, at which it can be continued; 0 = none */
    bool running;   /* a slot runs it: it can be shared, not taken over */
    size_t n_ahead; /* running, in its prefill: common prefix with what it is going to have; 0 otherwise */
    size_t n_begun; /* then: where its own computing began, at least n */
} warm_plan_seq;

enum { WARM_WAIT_MIN = 64 }; /* units saved by waiting, at least */

typedef struct warm_plan_input {
    enum warm_state_kind state;
    size_t n_prompt; /* units; the last one is always computed: its logits are needed */
    const warm_plan_seq *seqs;
    size_t n_seqs;
    size_t n_tree_match; /* longest common prefix with the tree */
    size_t n_tree;       /* the last resume point in it, <= n_tree_match and before the last unit */
    /* measured; 0 = unknown */
    double load_ns_per_unit, compute_ns_per_unit;
    double load_ns_fixed; /* of the snapshot at n_tree */
} warm_plan_input;

typedef struct warm_plan {
    int seq;         /* index into seqs of the sequence to begin with, -1 = an empty one */
    bool take_over;  /* true: it becomes the request's own; false: its first n_device units are shared */
    bool complete;   /* it can be continued at n_device as it is; otherwise only its cells are good, and the load brings the rest */
    size_t n_device; /* [0, n_device) are in the context already */
    size_t n_load;   /* [n_device, n_load) are loaded; n_load >= n_device */
    int wait_for; /* index into seqs of one that computes more of the same prefix than the rest of this plan would give, -1 = none */
    size_t n_wait;  /* when that one has come so far, the plan is to be made anew */
    size_t n_known; /* the longest match anywhere, also one that can't be resumed or is dearer to load than to compute */
} warm_plan;

warm_plan warm_plan_make(const warm_plan_input *in);

#endif
