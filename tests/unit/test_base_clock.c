/* SPDX-License-Identifier: MIT
 *
 * The clock: the machine's by default, anybody's in tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

static uint64_t machine_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t turned_by_hand(void *ud) {
    return *(uint64_t *)ud;
}

static void monotonic_is_the_machines_in_nanoseconds(void **state) {
    (void)state;
    uint64_t before = machine_ns(), now = warm_clock_now(&warm_clock_monotonic), after = machine_ns();
    assert_true(before <= now && now <= after);
}

static void another_clock_can_take_its_place(void **state) {
    (void)state;
    uint64_t t = 5;
    warm_clock c = {turned_by_hand, &t};
    assert_int_equal(warm_clock_now(&c), 5);
    t = 9;
    assert_int_equal(warm_clock_now(&c), 9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_is_the_machines_in_nanoseconds),
        cmocka_unit_test(another_clock_can_take_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
