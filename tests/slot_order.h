/* SPDX-License-Identifier: MIT
 *
 * tests/slot_order.h - carries out an order for a slot, stepping the scheduler until it has ended. */
#ifndef TEST_SLOT_ORDER_H
#define TEST_SLOT_ORDER_H

#undef NDEBUG
#include <assert.h>
#include <stdbool.h>

#include "sched/sched.h"

struct slot_order_end {
    warm_slot_result result;
    bool done;
};

static inline void slot_order_done(void *ud, const warm_slot_result *r) {
    struct slot_order_end *x = ud;
    assert(!x->done);
    *x = (struct slot_order_end){*r, true};
}

static inline warm_slot_result slot_order_run(warm_sched *s, enum warm_slot_verb verb, int32_t id_slot, const char *name) {
    struct slot_order_end x = {0};
    warm_slot_order o = {.verb = verb, .id_slot = id_slot, .name = name, .done = slot_order_done, .ud = &x};
    warm_sched_slot_order(s, &o);
    for (uint64_t idle = 0; !x.done;) {
        idle = warm_sched_step(s) ? 0 : idle + 1;
        assert(idle < 100000000u); /* a thread may be at it */
    }
    return x.result;
}

#endif
