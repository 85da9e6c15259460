/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_metrics_prom.c - the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "metrics/prom.h"

static void a_family_has_help_type_and_samples(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 4096);
    warm_prom_family(&b, WARM_PROM_COUNTER, "x_total", "a\nb\\c \"d\"");
    warm_prom_uint(&b, "x_total", NULL, NULL, UINT64_MAX);
    warm_prom_uint(&b, "x_total", "tier", "a\"b\\\n", 0);
    warm_prom_family(&b, WARM_PROM_GAUGE, "y", "h");
    warm_prom_double(&b, "y", NULL, NULL, 0.1);
    assert_string_equal(b.data, "# HELP x_total a\\nb\\\\c \"d\"\n# TYPE x_total counter\nx_total 18446744073709551615\n"
                                "x_total{tier=\"a\\\"b\\\\\\n\"} 0\n# HELP y h\n# TYPE y gauge\ny 0.1\n");
    warm_buf_free(&b);
}

static void numbers_without_digits_have_names(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 4096);
    warm_prom_double(&b, "y", NULL, NULL, NAN);
    warm_prom_double(&b, "y", NULL, NULL, INFINITY);
    warm_prom_double(&b, "y", NULL, NULL, -INFINITY);
    assert_string_equal(b.data, "y NaN\ny +Inf\ny -Inf\n");
    warm_buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_family_has_help_type_and_samples),
                                       cmocka_unit_test(numbers_without_digits_have_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
