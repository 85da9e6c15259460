/* SPDX-License-Identifier: MIT
 *
 * base/clock.h - time as a parameter, so that tests and the simulation turn the clock themselves. [any] */
#ifndef WARM_BASE_CLOCK_H
#define WARM_BASE_CLOCK_H

#include <stdint.h>

typedef struct warm_clock {
    uint64_t (*now_ns)(void *ud); /* monotonic */
    void *ud;
} warm_clock;

extern const warm_clock warm_clock_monotonic;

static inline uint64_t warm_clock_now(const warm_clock *c) {
    return c->now_ns(c->ud);
}

#endif
