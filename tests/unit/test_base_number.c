/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_base_number.c - numbers that people write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/number.h"

static void digits_are_a_whole_number(void **state) {
    (void)state;
    uint64_t v;
    assert_true(warm_parse_whole("0", &v) && v == 0);
    assert_true(warm_parse_whole("007", &v) && v == 7);
    assert_true(warm_parse_whole("18446744073709551615", &v) && v == UINT64_MAX);
}

static void anything_else_is_none(void **state) {
    (void)state;
    static const char *const bad[] = {"", " 1", "+1", "-1", "1 ", "1.0", "0x10", "1k", "18446744073709551616"};
    uint64_t v;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(warm_parse_whole(bad[i], &v));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(digits_are_a_whole_number), cmocka_unit_test(anything_else_is_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
