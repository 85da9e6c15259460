/* SPDX-License-Identifier: MIT
 *
 * sched/plan.h - how a request's prefix will be obtained. A pure function: no state, no engine. [any]
 *
 * Every way to the first token is priced in nanoseconds from measured rates, and the cheapest is taken:
 *   compute   everything: its units, each by its depth
 *   reuse     a sequence that ends there and nobody runs: nothing, and the rest is computed
 *   fork      another one's beginning: a copy of what can't be shared (window rows, recurrent state), and the rest is computed
 *   load      a resume point in a tier: its bytes at the tier's rate, less what can be shared, and the rest is computed
 *   wait      until another request has computed more of the same prefix: the time that one still needs, a fork, and the rest is computed
 * As long as computing was not measured everything else is free. A wait is compared with computing while the other one computes,
 * too: the machine does both in the time of both, so it may take as long as twice what it saves. */
#ifndef WARM_SCHED_PLAN_H
#define WARM_SCHED_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "sched/rates.h"
#include "warmslot/engine.h"

typedef struct warm_plan_seq {
    size_t n;       /* units it has in the context */
    size_t n_match; /* longest common prefix with the request, at most its n */
    size_t
        n_continue;  /* the last position <= n_match, and before the request's last unit, at which it can be continued; 0 = none */
    bool running;    /* a slot runs it: it can be shared, not taken over */
    size_t n_ahead;  /* running, in its prefill: common prefix with what it is going to have; 0 otherwise */
    size_t n_begun;  /* then: where its own computing began, or will; at least n */
    double begin_ns; /* then: until it does */
} warm_plan_seq;

/* The last resume point of the request's prefix in one tier. */
typedef struct warm_plan_point {
    size_t n;        /* <= the tree's match and before the last unit; 0 = none */
    double unit_ns;  /* moving the state of one unit into the context; 0 = not measured */
    double fixed_ns; /* and what comes with it however many there are: window rows, a snapshot */
} warm_plan_point;

enum { WARM_WAIT_MIN = 64 }; /* units saved by waiting, at least */

typedef struct warm_plan_input {
    enum warm_state_kind state;
    size_t n_prompt; /* units; the last one is always computed: its logits are needed */
    const warm_plan_seq *seqs;
    size_t n_seqs;
    size_t n_tree_match; /* longest common prefix with the tree */
    const warm_plan_point *points;
    size_t n_points;
    warm_prefill_cost compute;
    double fork_ns;
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
    double cost_ns; /* until the last unit of the prompt is computed; 0 = not known */
} warm_plan;

warm_plan warm_plan_make(const warm_plan_input *in);

#endif
