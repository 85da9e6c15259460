/* SPDX-License-Identifier: MIT
 *
 * base/clock.c - the machine's clock (base/clock.h). [any] */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t monotonic_ns(void *ud) {
    (void)ud;
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const warm_clock warm_clock_monotonic = {monotonic_ns, NULL};
