/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_sim_store.c - the store that charges for larger state than it holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/sim.h"

enum { UNIT = 16, HEAD = 16, CHARGED = 131072 };

static void units_are_charged_at_their_full_size_and_nothing_else_is(void **state) {
    (void)state;
    warm_budget b;
    warm_store *s;
    warm_extent x, y;
    warm_budget_init(&b, 100 * (size_t)CHARGED);
    assert_int_equal(warm_sim_store_open(&b, UNIT, CHARGED, &s, NULL), 0);
    assert_int_equal(s->ops->reserve(s, HEAD + 60 * UNIT, &x), 0);
    assert_int_equal(x.held_bytes, 60 * (size_t)CHARGED);
    assert_int_equal(x.bytes, HEAD + 60 * UNIT);
    assert_int_equal((uintptr_t)x.data % 64, 0);
    memset(x.data, 1, x.bytes);
    assert_int_equal(b.used_bytes, 60 * (size_t)CHARGED);
    assert_int_equal(s->ops->reserve(s, HEAD + 41 * UNIT, &y), WARM_EFULL);
    assert_int_equal(s->ops->reserve(s, HEAD + 40 * UNIT, &y), 0);
    assert_int_equal(b.used_bytes, b.limit_bytes);
    warm_store_stats st;
    s->ops->stats(s, &st);
    assert_int_equal(st.used_bytes, b.used_bytes);
    assert_int_equal(st.n_refused, 1);
    s->ops->release(s, &x);
    s->ops->release(s, &y);
    assert_null(x.data);
    assert_int_equal(b.used_bytes, 0);
    s->ops->close(s);
}

static void what_was_given_back_is_used_again_for_its_size_alone(void **state) {
    (void)state;
    warm_budget b;
    warm_store *s;
    warm_extent x, y, z;
    warm_budget_init(&b, 1000 * (size_t)CHARGED);
    assert_int_equal(warm_sim_store_open(&b, UNIT, CHARGED, &s, NULL), 0);
    assert_int_equal(s->ops->reserve(s, HEAD + 16 * UNIT, &x), 0);
    const uint8_t *was = x.data;
    s->ops->release(s, &x);
    /* a few bytes more are still 16 units */
    assert_int_equal(s->ops->reserve(s, HEAD + 17 * UNIT, &y), 0);
    assert_int_equal(s->ops->reserve(s, HEAD + 16 * UNIT + UNIT - 1, &z), 0);
    assert_ptr_equal(z.data, was);
    memset(y.data, 1, y.bytes);
    memset(z.data, 2, z.bytes);
    s->ops->release(s, &y);
    s->ops->release(s, &z);
    /* larger than any piece */
    assert_int_equal(s->ops->reserve(s, HEAD + 900 * UNIT, &x), 0);
    memset(x.data, 3, x.bytes);
    s->ops->release(s, &x);
    s->ops->close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_charged_at_their_full_size_and_nothing_else_is),
        cmocka_unit_test(what_was_given_back_is_used_again_for_its_size_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
