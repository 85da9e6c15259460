/* SPDX-License-Identifier: MIT
 *
 * Fallible allocation: the N-th one fails, once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"

static void nth_allocation_fails_once(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 4; n++) {
        warm_alloc_fail_at(n);
        void *p[4] = {warm_malloc(8), warm_calloc(2, 4), warm_realloc(NULL, 8), warm_strndup("abc", 8)};
        for (uint64_t i = 0; i < 4; i++) {
            assert_true((p[i] == NULL) == (i + 1 == n));
            free(p[i]);
        }
        void *after = warm_malloc(8);
        assert_non_null(after);
        free(after);
        assert_int_equal(warm_alloc_fail_at(0), 5);
    }
}

static void failed_realloc_keeps_the_block(void **state) {
    (void)state;
    char *p = warm_malloc(4);
    memcpy(p, "abc", 4);
    warm_alloc_fail_at(1);
    assert_null(warm_realloc(p, 100));
    warm_alloc_fail_at(0);
    assert_string_equal(p, "abc");
    free(p);
}

static void ending_allocators_are_not_counted(void **state) {
    (void)state;
    warm_alloc_fail_at(1);
    void *a = warm_xmalloc(8), *b = warm_xcalloc(1, 8);
    char *c = warm_xstrdup("x");
    assert_non_null(a);
    assert_int_equal(((char *)b)[7], 0);
    assert_string_equal(c, "x");
    assert_int_equal(warm_alloc_fail_at(0), 0);
    free(a);
    free(b);
    free(c);
}

static void null_means_failure_even_for_no_bytes(void **state) {
    (void)state;
    void *p[] = {warm_malloc(0), warm_calloc(0, 8), warm_calloc(8, 0), warm_realloc(NULL, 0), warm_xmalloc(0), warm_xcalloc(0, 0)};
    for (size_t i = 0; i < sizeof p / sizeof p[0]; i++) {
        assert_non_null(p[i]);
        free(p[i]);
    }
}

static void strndup_stops_at_the_length_or_the_nul(void **state) {
    (void)state;
    char *a = warm_strndup("abcdef", 3), *b = warm_strndup("ab", 10);
    assert_string_equal(a, "abc");
    assert_string_equal(b, "ab");
    free(a);
    free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nth_allocation_fails_once),
        cmocka_unit_test(failed_realloc_keeps_the_block),
        cmocka_unit_test(ending_allocators_are_not_counted),
        cmocka_unit_test(null_means_failure_even_for_no_bytes),
        cmocka_unit_test(strndup_stops_at_the_length_or_the_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
