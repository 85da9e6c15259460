/* SPDX-License-Identifier: MIT
 *
 * What --cache-ram means on machines of several sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/budget.h"

static const uint64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

static void zero_is_off(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(0, 100 * GIB, 128 * GIB), 0);
    assert_int_equal(warm_budget_for(0, UINT64_MAX, UINT64_MAX), 0);
}

static void a_size_that_fits_is_taken_as_it_is(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(8192, 100 * GIB, 128 * GIB), 8 * GIB);
    assert_int_equal(warm_budget_for(1, 100 * GIB, 128 * GIB), MIB);
    /* A small one also on a small machine, whose reserve it does not touch. */
    assert_int_equal(warm_budget_for(64, 900 * MIB, GIB), 64 * MIB);
}

static void without_limit_leaves_a_reserve(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(-1, 100 * GIB, 128 * GIB), 100 * GIB - 128 * GIB / 10);
    assert_int_equal(warm_budget_for(-1, 6 * GIB, 8 * GIB), 5 * GIB); /* at least 1 GiB */
    assert_int_equal(warm_budget_for(-1, 6 * GIB, UINT64_MAX), 5 * GIB);
}

static void a_size_larger_than_the_machine_is_lowered(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(8192, 6 * GIB, 8 * GIB), 5 * GIB);
    assert_int_equal(warm_budget_for(INT64_MAX, 6 * GIB, 8 * GIB), 5 * GIB);
}

static void a_small_machine_still_has_a_cache(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(8192, 900 * MIB, GIB), 450 * MIB);
    assert_int_equal(warm_budget_for(-1, 1500 * MIB, 2 * GIB), 750 * MIB);
    assert_int_equal(warm_budget_for(-1, 0, GIB), 0);
}

static void an_unknown_machine_gets_what_was_asked(void **state) {
    (void)state;
    assert_int_equal(warm_budget_for(512, UINT64_MAX, UINT64_MAX), 512 * MIB);
    assert_int_equal(warm_budget_for(-1, UINT64_MAX, UINT64_MAX), 8 * GIB);
}

static void mapped_files_are_seen(void **state) {
    (void)state;
    char path[] = "/tmp/test_budget_XXXXXX";
    size_t bytes = 8 * (size_t)MIB;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    uint64_t before = warm_budget_mapped_bytes("");
    assert_true(before > 0);
    volatile char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
    assert_true(warm_budget_mapped_bytes("") >= before + bytes / 2);
    assert_int_equal(munmap((void *)p, bytes), 0);
    close(fd);
    assert_int_equal(warm_budget_mapped_bytes("/nonexistent"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_off),
        cmocka_unit_test(a_size_that_fits_is_taken_as_it_is),
        cmocka_unit_test(without_limit_leaves_a_reserve),
        cmocka_unit_test(a_size_larger_than_the_machine_is_lowered),
        cmocka_unit_test(a_small_machine_still_has_a_cache),
        cmocka_unit_test(an_unknown_machine_gets_what_was_asked),
        cmocka_unit_test(mapped_files_are_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
