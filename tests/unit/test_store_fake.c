/* SPDX-License-Identifier: MIT
 *
 * The store for tests: counts like the ram tier, fails when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "store/pages.h"
#include "warmslot/store.h"

static void counts_whole_pages(void **state) {
    (void)state;
    size_t page = warm__page_bytes();
    warm_budget b;
    warm_budget_init(&b, 4 * page);
    warm_store *s;
    assert_int_equal(warm_store_fake_open(&b, 0, &s, NULL), 0);
    assert_string_equal(s->ops->name, "fake");
    warm_extent x, y, z = {0};
    assert_int_equal(s->ops->reserve(s, 1, &x), 0);
    assert_int_equal(s->ops->reserve(s, page + 1, &y), 0);
    assert_int_equal(x.held_bytes, page);
    assert_int_equal(y.held_bytes, 2 * page);
    assert_int_equal(y.bytes, page + 1);
    assert_int_equal((uintptr_t)y.data % 64, 0);
    assert_int_equal(b.used_bytes, 3 * page);
    assert_int_equal(s->ops->reserve(s, page + 1, &z), WARM_EFULL);
    assert_int_equal(s->ops->reserve(s, SIZE_MAX, &z), WARM_EFULL);
    assert_null(z.data);
    memset(y.data, 1, y.bytes);
    warm_store_stats st;
    s->ops->stats(s, &st);
    assert_int_equal(st.used_bytes, 3 * page);
    assert_int_equal(st.free_bytes, 0);
    assert_int_equal(st.n_reserve, 4);
    assert_int_equal(st.n_refused, 2);
    s->ops->release(s, &x);
    assert_null(x.data);
    assert_int_equal(x.held_bytes, 0);
    s->ops->trim(s, 0);
    assert_int_equal(b.used_bytes, 2 * page);
    s->ops->release(s, &y);
    assert_int_equal(b.used_bytes, 0);
    s->ops->close(s);
}

static void told_reserve_fails_and_only_that_one(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        warm_budget b;
        warm_budget_init(&b, 1 << 20);
        warm_store *s;
        assert_int_equal(warm_store_fake_open(&b, n, &s, NULL), 0);
        for (uint64_t i = 1; i <= 4; i++) {
            warm_extent x = {0};
            assert_int_equal(s->ops->reserve(s, 10, &x), i == n ? WARM_ENOMEM : 0);
            assert_int_equal(b.used_bytes, i == n ? 0 : warm__page_bytes());
            if (i != n) s->ops->release(s, &x);
        }
        s->ops->close(s);
    }
}

static void opening_without_memory_is_an_error(void **state) {
    (void)state;
    warm_budget b;
    warm_budget_init(&b, 1);
    warm_store *s = NULL;
    warm_err err = {0};
    warm_alloc_fail_at(1);
    assert_int_equal(warm_store_fake_open(&b, 0, &s, &err), WARM_ENOMEM);
    warm_alloc_fail_at(0);
    assert_null(s);
    assert_int_equal(err.code, WARM_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_whole_pages),
        cmocka_unit_test(told_reserve_fails_and_only_that_one),
        cmocka_unit_test(opening_without_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
