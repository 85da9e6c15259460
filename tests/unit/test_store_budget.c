/* SPDX-License-Identifier: MIT
 *
 * The budget: exact to the byte, refusals change nothing, overdrawing ends the process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "warmslot/store.h"

static void limit_is_reached_but_not_passed(void **state) {
    (void)state;
    warm_budget b;
    warm_budget_init(&b, 100);
    assert_int_equal(warm_budget_take(&b, 60), 0);
    assert_int_equal(warm_budget_take(&b, 41), WARM_EFULL);
    assert_int_equal(b.used_bytes, 60);
    assert_int_equal(warm_budget_take(&b, 40), 0);
    assert_int_equal(warm_budget_take(&b, 1), WARM_EFULL);
    assert_int_equal(warm_budget_take(&b, 0), 0);
    assert_int_equal(b.used_bytes, 100);
    warm_budget_give(&b, 70);
    assert_int_equal(b.used_bytes, 30);
    assert_int_equal(b.peak_bytes, 100);
}

static void huge_requests_do_not_wrap(void **state) {
    (void)state;
    warm_budget b;
    warm_budget_init(&b, SIZE_MAX);
    assert_int_equal(warm_budget_take(&b, SIZE_MAX - 1), 0);
    assert_int_equal(warm_budget_take(&b, 2), WARM_EFULL);
    assert_int_equal(warm_budget_take(&b, SIZE_MAX), WARM_EFULL);
    assert_int_equal(warm_budget_take(&b, 1), 0);
    warm_budget_init(&b, 0);
    assert_int_equal(warm_budget_take(&b, 1), WARM_EFULL);
    assert_int_equal(b.peak_bytes, 0);
}

static void giving_more_than_taken_aborts(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        (void)!freopen("/dev/null", "w", stderr);
        warm_budget b;
        warm_budget_init(&b, 100);
        if (warm_budget_take(&b, 10)) _exit(1);
        warm_budget_give(&b, 11);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_is_reached_but_not_passed),
        cmocka_unit_test(huge_requests_do_not_wrap),
        cmocka_unit_test(giving_more_than_taken_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
