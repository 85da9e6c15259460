/* SPDX-License-Identifier: MIT
 *
 * The page map against a model of one byte per page: ranges cover everything, neighbours are joined, sizes are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "store/pages.h"

#define MODEL_PAGES 3000u

static warm_pages map;
static uint8_t model[MODEL_PAGES]; /* the kind of the first pages; what is behind is a hole */

static int begin(void **state) {
    (void)state;
    memset(model, WARM_PAGE_HOLE, sizeof model);
    warm__pages_init(&map);
    return warm__pages_grow(&map, 1);
}

static int end(void **state) {
    (void)state;
    warm__pages_deinit(&map);
    return 0;
}

static bool is_joined(uint8_t kind) {
    return kind == WARM_PAGE_HOLE || kind == WARM_PAGE_FREE;
}

/* Walks the ranges and compares each page; then the totals and what can be found. */
static void check_against_model(void) {
    size_t n_pages[WARM_PAGE_KINDS] = {0}, largest[WARM_PAGE_KINDS] = {0};
    uint8_t last = UINT8_MAX;
    uint32_t at = 0;
    while (at < WARM_REGION_PAGES) {
        uint32_t span = warm__pages_span(&map, at);
        uint8_t kind = (uint8_t)warm__pages_kind(&map, at);
        assert_true(span > 0 && span <= WARM_REGION_PAGES - at);
        assert_false(kind == last && is_joined(kind));
        for (uint32_t i = at; i < at + span && i < MODEL_PAGES; i++) assert_int_equal(model[i], kind);
        if (at + span > MODEL_PAGES) assert_int_equal(kind, WARM_PAGE_HOLE);
        n_pages[kind] += span;
        if (span > largest[kind]) largest[kind] = span;
        last = kind;
        at += span;
    }
    for (int k = 0; k < WARM_PAGE_KINDS; k++) assert_int_equal(map.n_pages[k], n_pages[k]);
    uint32_t range;
    assert_true(warm__pages_smallest(&map, WARM_PAGE_FREE, &range) == (n_pages[WARM_PAGE_FREE] > 0));
    assert_int_equal(warm__pages_count_from(&map, WARM_PAGE_FREE, 1), n_pages[WARM_PAGE_FREE]);
    uint32_t n = (uint32_t)largest[WARM_PAGE_FREE];
    assert_false(warm__pages_find(&map, WARM_PAGE_FREE, n + 1, &range));
    if (n) assert_true(warm__pages_find(&map, WARM_PAGE_FREE, n - n / 16, &range));
}

/* A random piece of a random range becomes another kind. */
static void random_marks_match_the_model(void **state) {
    (void)state;
    warm_rng r = {20240607};
    for (int op = 0; op < 30000; op++) {
        uint32_t at = 0, aim = (uint32_t)warm_rng_below(&r, MODEL_PAGES);
        while (at + warm__pages_span(&map, at) <= aim) at += warm__pages_span(&map, at);
        uint32_t span = warm__pages_span(&map, at);
        if (span > MODEL_PAGES - at) span = MODEL_PAGES - at;
        uint32_t skip = warm_rng_below(&r, 3) ? 0 : (uint32_t)warm_rng_below(&r, span);
        uint32_t n = warm_rng_below(&r, 3) ? span - skip : 1 + (uint32_t)warm_rng_below(&r, span - skip);
        if (n > 400) n = 1 + (uint32_t)warm_rng_below(&r, 400);
        uint8_t kind = (uint8_t)warm_rng_below(&r, WARM_PAGE_KINDS);
        if (kind == (uint8_t)warm__pages_kind(&map, at)) continue;
        warm__pages_mark(&map, at, skip, n, (enum warm_page_kind)kind);
        memset(model + at + skip, kind, n);
        if (op % 16 == 0) check_against_model();
    }
    check_against_model();
}

/* Cuts free ranges of these sizes out of the hole, one used page between them. */
static void lay_out(const uint32_t *sizes, size_t n_sizes, uint32_t *at) {
    uint32_t next = 0;
    for (size_t i = 0; i < n_sizes; i++) {
        uint32_t hole;
        assert_true(warm__pages_find(&map, WARM_PAGE_HOLE, 1 << 20, &hole));
        assert_int_equal(hole, next);
        warm__pages_mark(&map, hole, 0, sizes[i], WARM_PAGE_FREE);
        warm__pages_mark(&map, hole + sizes[i], 0, 1, WARM_PAGE_USED);
        at[i] = hole;
        next = hole + sizes[i] + 1;
    }
}

static void exact_size_is_preferred_and_the_next_larger_follows(void **state) {
    (void)state;
    static const uint32_t sizes[] = {5, 9, 31, 32, 33, 1000, 1001, 1030, 4096, 70000};
    enum { N = sizeof sizes / sizeof sizes[0] };
    uint32_t at[N], range;
    lay_out(sizes, N, at);
    for (size_t i = 0; i < N; i++) {
        assert_true(warm__pages_find(&map, WARM_PAGE_FREE, sizes[i], &range));
        assert_int_equal(range, at[i]);
    }
    assert_true(warm__pages_find(&map, WARM_PAGE_FREE, 6, &range));
    assert_int_equal(range, at[1]);
    assert_true(warm__pages_find(&map, WARM_PAGE_FREE, 34, &range));
    assert_true(warm__pages_span(&map, range) >= 1000 && warm__pages_span(&map, range) <= 1030);
    assert_true(warm__pages_find(&map, WARM_PAGE_FREE, 5000, &range));
    assert_int_equal(range, at[9]);
    assert_false(warm__pages_find(&map, WARM_PAGE_FREE, 70001, &range));
    assert_true(warm__pages_smallest(&map, WARM_PAGE_FREE, &range));
    assert_int_equal(range, at[0]);
    assert_int_equal(warm__pages_count_from(&map, WARM_PAGE_FREE, 2000), 74096);
}

static void every_range_is_found_among_many_of_one_list(void **state) {
    (void)state;
    enum { N = 200 };
    uint32_t sizes[N], at[N], range;
    for (uint32_t i = 0; i < N; i++) sizes[i] = 32768 + i; /* one list: 32768..33791 */
    lay_out(sizes, N, at);
    /* The list's newest are its largest, so a request above the oldest is served from among those looked at. */
    assert_true(warm__pages_find(&map, WARM_PAGE_FREE, 32768 + N - 1, &range));
    assert_int_equal(range, at[N - 1]);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(warm__pages_smallest(&map, WARM_PAGE_FREE, &range));
        warm__pages_mark(&map, range, 0, warm__pages_span(&map, range), WARM_PAGE_USED);
    }
    assert_false(warm__pages_smallest(&map, WARM_PAGE_FREE, &range));
}

static void regions_are_not_joined_and_addresses_round_trip(void **state) {
    (void)state;
    uint32_t range;
    assert_true(warm__pages_find(&map, WARM_PAGE_HOLE, WARM_REGION_PAGES, &range));
    assert_int_equal(range, 0);
    assert_false(warm__pages_find(&map, WARM_PAGE_HOLE, WARM_REGION_PAGES + 1, &range));
    warm__pages_mark(&map, 0, 0, WARM_REGION_PAGES, WARM_PAGE_USED);
    assert_false(warm__pages_find(&map, WARM_PAGE_HOLE, 1, &range));
    assert_int_equal(warm__pages_grow(&map, WARM_REGION_PAGES + 1), WARM_EINVAL);
    assert_int_equal(warm__pages_grow(&map, 1), 0);
    assert_int_equal(map.n_regions, 2);
    assert_true(warm__pages_find(&map, WARM_PAGE_HOLE, 1, &range));
    assert_int_equal(range, WARM_REGION_PAGES);
    warm__pages_mark(&map, 0, 0, WARM_REGION_PAGES, WARM_PAGE_HOLE);
    assert_int_equal(warm__pages_span(&map, 0), WARM_REGION_PAGES);
    const uint32_t pages[] = {0, 1, WARM_REGION_PAGES - 1, WARM_REGION_PAGES, WARM_REGION_PAGES + 77};
    for (size_t i = 0; i < 5; i++) assert_int_equal(warm__pages_number(&map, warm__pages_addr(&map, pages[i])), pages[i]);
    assert_int_equal(warm__pages_addr(&map, 1) - warm__pages_addr(&map, 0), (ptrdiff_t)warm__page_bytes());
}

/* Where address space is limited, as under ulimit -v, a region is smaller, and when there is none left it is an error. */
static void limited_address_space_is_taken_in_small_steps(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their shadow memory is larger than any such limit */
#endif
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        rlim_t bytes = WARM_REGION_PAGES * warm__page_bytes() / 4 * 5; /* one region is there already */
        struct rlimit lim = {bytes, bytes};
        if (setrlimit(RLIMIT_AS, &lim)) _exit(1);
        if (warm__pages_grow(&map, 100)) _exit(2);
        uint32_t small = map.regions[1].n_pages, range;
        if (small < 100 || small >= WARM_REGION_PAGES) _exit(3);
        if (!warm__pages_find(&map, WARM_PAGE_HOLE, 100, &range) || warm__pages_span(&map, range) != small) _exit(4);
        if (warm__pages_grow(&map, WARM_REGION_PAGES - 1) != WARM_ENOMEM) _exit(5);
        warm__pages_addr(&map, range)[0] = 1;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(random_marks_match_the_model, begin, end),
        cmocka_unit_test_setup_teardown(exact_size_is_preferred_and_the_next_larger_follows, begin, end),
        cmocka_unit_test_setup_teardown(every_range_is_found_among_many_of_one_list, begin, end),
        cmocka_unit_test_setup_teardown(regions_are_not_joined_and_addresses_round_trip, begin, end),
        cmocka_unit_test_setup_teardown(limited_address_space_is_taken_in_small_steps, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
