/* SPDX-License-Identifier: MIT
 *
 * The generator is splitmix64: a seed printed by a failing test gives the same run on every machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"

static void gives_the_published_sequence(void **state) {
    (void)state;
    warm_rng r = {1234567};
    assert_true(warm_rng_next(&r) == UINT64_C(6457827717110365317));
    assert_true(warm_rng_next(&r) == UINT64_C(3203168211198807973));
    assert_true(warm_rng_next(&r) == UINT64_C(9817491932198370423));
}

static void stays_in_its_bounds_and_reaches_all_of_them(void **state) {
    (void)state;
    warm_rng r = {1};
    unsigned seen = 0;
    double low = 1, high = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = warm_rng_below(&r, 7);
        assert_true(v < 7);
        seen |= 1u << v;
        double u = warm_rng_unit(&r);
        assert_true(u >= 0 && u < 1);
        low = u < low ? u : low;
        high = u > high ? u : high;
    }
    assert_int_equal(seen, 0x7f);
    assert_true(low < 0.02 && high > 0.98);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_published_sequence),
        cmocka_unit_test(stays_in_its_bounds_and_reaches_all_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
