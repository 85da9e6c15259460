/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_once.c - what several requests need is computed once, whichever way they come and go, in every kind of state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { PREFIX = 3000, SUFFIX = 40, MOST = 16 };

static world_options options(enum warm_state_kind kind, uint32_t n_slots) {
    return world_of_kind(
        kind, (world_options){.sim = {.n_ctx = 3 * PREFIX + MOST * (SUFFIX + 300), .n_seq_max = n_slots + 3, .n_ubatch = 256},
                              .n_slots = n_slots,
                              .budget_bytes = 64 << 20});
}

static size_t make_prompt(int32_t *out, size_t prefix, uint64_t suffix) {
    tokens_fill(out, prefix, 1);
    tokens_fill(out + prefix, SUFFIX, suffix);
    return prefix + SUFFIX;
}

/* Returns how many tokens of prompts they have computed. */
static size_t wait_for_all(world *w, request *r, unsigned n) {
    size_t computed = 0;
    for (unsigned i = 0; i < n; i++) {
        request_wait(w, &r[i]);
        request_check(w, &r[i]);
        computed += r[i].t.n_computed;
        request_free(&r[i]);
    }
    return computed;
}

/* n requests at the same moment: one prefill of what they share, and each its own rest. */
static void fan_out(enum warm_state_kind kind, unsigned n) {
    world w;
    world_options o = options(kind, n);
    world_open(&w, &o);
    static int32_t prompt[MOST][PREFIX + SUFFIX];
    static request r[MOST];
    for (unsigned i = 0; i < n; i++) {
        size_t len = make_prompt(prompt[i], PREFIX, 100 + i);
        request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true});
    }
    assert_int_equal(wait_for_all(&w, r, n), PREFIX + n * SUFFIX);
    world_close(&w);
}

static void a_cold_prefix_is_computed_once_for_all(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        fan_out((enum warm_state_kind)k, 4);
        fan_out((enum warm_state_kind)k, 16);
    }
}

/* They leave the first one at different places, and come while it is on its way. */
static void whoever_comes_later_waits_for_what_is_still_ahead(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        world w;
        world_options o = options((enum warm_state_kind)k, 4);
        world_open(&w, &o);
        static int32_t prompt[4][PREFIX + SUFFIX];
        static const size_t shared[] = {PREFIX, 2000, 2500, 2200};
        request r[4];
        for (unsigned i = 0; i < 4; i++) {
            size_t len = make_prompt(prompt[i], shared[i], 100 + i);
            request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
            for (int steps = 0; steps < 2; steps++) warm_sched_step(w.sched);
        }
        assert_int_equal(wait_for_all(&w, r, 4), PREFIX + 4 * SUFFIX);
        world_close(&w);
    }
}

/* As many places as there can be slots, far apart and next to each other; whoever is asked for with the longest prefix comes first. */
static void each_can_leave_the_first_one_elsewhere(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        world w;
        world_options o = options((enum warm_state_kind)k, MOST);
        world_open(&w, &o);
        static int32_t prompt[MOST][PREFIX + SUFFIX];
        request r[MOST];
        for (unsigned i = 0; i < MOST; i++) {
            size_t shared = i < 8 ? PREFIX - i * 20 : PREFIX - 200 * (i - 6);
            size_t len = make_prompt(prompt[i], shared, 100 + i);
            request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true});
        }
        assert_int_equal(wait_for_all(&w, r, MOST), PREFIX + MOST * SUFFIX);
        world_close(&w);
    }
}

/* What has been passed can't be shared any more where state can't be cut: no wait for it, and nobody else waits for that one. */
static void who_comes_too_late_computes(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        world w;
        world_options o = options((enum warm_state_kind)k, 3);
        world_open(&w, &o);
        static int32_t prompt[3][PREFIX + SUFFIX];
        static const size_t shared[] = {PREFIX, 300, PREFIX};
        request r[3];
        size_t len = make_prompt(prompt[0], shared[0], 100);
        request_submit(&w, &r[0], prompt[0], len, &(request_options){.n_predict = 100, .id_slot = -1, .ignore_eos = true});
        for (int steps = 0; steps < 3; steps++) warm_sched_step(w.sched);
        for (unsigned i = 1; i < 3; i++) {
            len = make_prompt(prompt[i], shared[i], 100 + i);
            request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
        }
        request_wait(&w, &r[1]);
        assert_false(r[0].ended);
        request_wait(&w, &r[0]);
        request_wait(&w, &r[2]);
        bool anywhere = k == WARM_STATE_RANGES || k == WARM_STATE_WINDOW;
        assert_int_equal(r[1].t.n_computed, anywhere ? SUFFIX : 300 + SUFFIX);
        assert_int_equal(r[2].t.n_computed, SUFFIX);
        for (unsigned i = 0; i < 3; i++) {
            request_check(&w, &r[i]);
            request_free(&r[i]);
        }
        world_close(&w);
    }
}

static void when_the_first_leaves_its_work_goes_on_with_the_next(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        world w;
        world_options o = options((enum warm_state_kind)k, 3);
        world_open(&w, &o);
        static int32_t prompt[3][PREFIX + SUFFIX];
        request r[3];
        for (unsigned i = 0; i < 3; i++) {
            size_t len = make_prompt(prompt[i], PREFIX, 100 + i);
            request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
        }
        for (int steps = 0; steps < 6; steps++) warm_sched_step(w.sched);
        warm_sched_cancel(w.sched, r[0].id);
        size_t computed = 0;
        for (unsigned i = 0; i < 3; i++) {
            request_wait(&w, &r[i]);
            assert_int_equal(r[i].failed, i == 0);
            if (i) request_check(&w, &r[i]);
            computed += r[i].t.n_computed;
            request_free(&r[i]);
        }
        assert_int_equal(computed, PREFIX + 2 * SUFFIX);
        world_close(&w);
    }
}

static void who_waits_can_leave(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES, 2);
    world_open(&w, &o);
    static int32_t prompt[2][PREFIX + SUFFIX];
    request r[2];
    for (unsigned i = 0; i < 2; i++) {
        size_t len = make_prompt(prompt[i], PREFIX, 100 + i);
        request_submit(&w, &r[i], prompt[i], len, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
    }
    for (int steps = 0; steps < 3; steps++) warm_sched_step(w.sched);
    warm_sched_cancel(w.sched, r[1].id);
    for (unsigned i = 0; i < 2; i++) request_wait(&w, &r[i]);
    assert_true(r[1].failed && r[1].err.code == WARM_ECANCELED);
    request_check(&w, &r[0]);
    for (unsigned i = 0; i < 2; i++) request_free(&r[i]);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cold_prefix_is_computed_once_for_all),
        cmocka_unit_test(whoever_comes_later_waits_for_what_is_still_ahead),
        cmocka_unit_test(each_can_leave_the_first_one_elsewhere),
        cmocka_unit_test(who_comes_too_late_computes),
        cmocka_unit_test(when_the_first_leaves_its_work_goes_on_with_the_next),
        cmocka_unit_test(who_waits_can_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
