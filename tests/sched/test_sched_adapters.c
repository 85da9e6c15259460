/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_adapters.c - tasks with different adapters: never in one batch, each with its turn, each with its own state.
 *
 * What the simulated engine generates depends on the adapters that each single unit was computed with, so request_check would see it if
 * only one of them were computed, or restored, with those of another task. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { LISTS = 3, MANY = 1024 };

static const float start[2] = {0.25f, 0.0f};
static const float lists[LISTS][2] = {{1.0f, 0.0f}, {0.0f, 1.0f}, {0.5f, -0.5f}};

/* Which list each decode was made with, -1 = none of them. */
static warm_engine_ops recording;
static const warm_engine_ops *real;
static int turns[4096], list_now;
static size_t n_turns;

static int note_adapters(warm_engine *e, const float *scale, size_t n, warm_err *err) {
    list_now = -1;
    for (int i = 0; i < LISTS; i++) {
        if (!memcmp(scale, lists[i], sizeof lists[i])) list_now = i;
    }
    return real->adapters(e, scale, n, err);
}

static int note_decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    if (n_turns < sizeof turns / sizeof *turns) turns[n_turns++] = list_now;
    return real->decode(e, b, err);
}

static void open_world(world *w, uint32_t n_ctx, uint32_t n_slots) {
    world_open(w, &(world_options){.sim = {.n_ctx = n_ctx, .n_seq_max = 12, .adapter_scale = start, .n_adapters = 2},
                                   .n_slots = n_slots,
                                   .budget_bytes = 8 << 20});
    real = w->engine->ops;
    recording = *real;
    recording.adapters = note_adapters;
    recording.decode = note_decode;
    w->engine->ops = &recording;
    n_turns = 0;
    list_now = -1;
}

static void submit(world *w, request *r, const int32_t *prompt, size_t n, int32_t n_predict, const float *scales) {
    request_submit(w, r, prompt, n,
                   &(request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true, .scales = scales});
}

static void finish(world *w, request *r) {
    request_wait(w, r);
    request_check(w, r);
    request_free(r);
}

static void a_batch_is_computed_with_one_list_of_scales(void **state) {
    (void)state;
    world w;
    enum { N = 9 };
    request r[N];
    int32_t prompt[MANY];
    open_world(&w, 8192, 6);
    for (size_t i = 0; i < N; i++) {
        tokens_fill(prompt, 300 + 40 * i, i / 4); /* some of them begin alike */
        submit(&w, &r[i], prompt, 300 + 40 * i, 30, i % 4 == 3 ? NULL : lists[i % 4]);
    }
    for (size_t i = 0; i < N; i++) finish(&w, &r[i]);
    size_t n_changes = 0;
    for (size_t i = 1; i < n_turns; i++) n_changes += turns[i] != turns[i - 1];
    assert_true(n_changes > 60); /* they did run at the same time */
    world_close(&w);
}

static void lists_take_turns(void **state) {
    (void)state;
    world w;
    request r[LISTS + 1];
    int32_t prompt[MANY];
    open_world(&w, 8192, LISTS + 1);
    for (size_t i = 0; i <= LISTS; i++) {
        tokens_fill(prompt, 100, i);
        submit(&w, &r[i], prompt, 100, 50, lists[i % LISTS]); /* the first list has two tasks, and no more turns for it */
    }
    for (size_t i = 0; i <= LISTS; i++) finish(&w, &r[i]);
    assert_true(n_turns >= 150 && n_turns < 160);
    for (size_t i = 3; i + 3 < 150; i++)
        assert_true(turns[i] != turns[i + 1] && turns[i] != turns[i + 2] && turns[i] == turns[i + 3]);
    world_close(&w);
}

static void a_list_with_ever_new_tasks_starves_nobody(void **state) {
    (void)state;
    world w;
    enum { NEW = 60 };
    request patient, eager[NEW];
    int32_t prompt[MANY];
    open_world(&w, 8192, 4);
    tokens_fill(prompt, 100, 99);
    submit(&w, &patient, prompt, 100, 20, lists[0]);
    for (size_t i = 0; i < NEW; i++) {
        tokens_fill(prompt, 800, i);
        submit(&w, &eager[i], prompt, 800, 2, lists[1]);
    }
    request_wait(&w, &patient);
    size_t n = 0;
    for (size_t i = 0; i < n_turns; i++) n += turns[i] == 0;
    assert_int_equal(n, 20);
    assert_true(n_turns <= 42);
    request_check(&w, &patient);
    request_free(&patient);
    for (size_t i = 0; i < NEW; i++) finish(&w, &eager[i]);
    world_close(&w);
}

static void run(world *w, request *r, const int32_t *prompt, size_t n, const float *scales) {
    submit(w, r, prompt, n, 4, scales);
    request_wait(w, r);
    request_check(w, r);
    request_free(r);
}

static void other_scales_share_nothing_and_flush_nothing(void **state) {
    (void)state;
    static const size_t contexts[] = {4096, 700}; /* room for all of them, and for one: then they come back from memory */
    int32_t prompt[MANY];
    tokens_fill(prompt, 500, 1);
    for (size_t k = 0; k < 2; k++) {
        world w;
        request r;
        open_world(&w, (uint32_t)contexts[k], 1);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i <= LISTS; i++) {
                run(&w, &r, prompt, 500, i < LISTS ? lists[i] : NULL);
                assert_int_equal(r.t.n_computed, round ? 1 : 500);
                if (round && k == 1) assert_true(r.t.n_ram > 400);
            }
        }
        static const float zeros[2] = {-0.0f, 0.0f}, more_zeros[2] = {0.0f, 0.0f};
        run(&w, &r, prompt, 500, zeros);
        assert_int_equal(r.t.n_computed, 500);
        run(&w, &r, prompt, 500, more_zeros);
        assert_int_equal(r.t.n_computed, 1);
        world_close(&w);
    }
}

static int refuse_adapters(warm_engine *e, const float *scale, size_t n, warm_err *err) {
    if (!memcmp(scale, lists[0], sizeof lists[0])) return warm_err_set(err, WARM_EENGINE, "no such thing");
    return real->adapters(e, scale, n, err);
}

static void adapters_that_are_refused_fail_their_tasks_and_no_others(void **state) {
    (void)state;
    world w;
    request bad, good;
    int32_t prompt[MANY];
    open_world(&w, 4096, 2);
    recording.adapters = refuse_adapters;
    tokens_fill(prompt, 200, 1);
    submit(&w, &bad, prompt, 200, 5, lists[0]);
    submit(&w, &good, prompt, 200, 5, lists[1]);
    request_wait(&w, &bad);
    assert_true(bad.failed);
    assert_int_equal(bad.err.code, WARM_EENGINE);
    assert_non_null(strstr(bad.err.text, "no such thing"));
    request_free(&bad);
    finish(&w, &good);
    world_close(&w);
}

static void the_text_of_a_list_does_not_depend_on_the_order_of_loading(void **state) {
    (void)state;
    static const warm_adapter ab[] = {{.content = "a"}, {.content = "b"}}, ba[] = {{.content = "b"}, {.content = "a"}};
    static const float one[] = {0.1f, 2.0f}, two[] = {2.0f, 0.1f}, none[] = {0.0f, 0.0f};
    const warm_engine_info first = {.adapters = ab, .n_adapters = 2}, second = {.adapters = ba, .n_adapters = 2};
    char *x = warm_adapters_text(&first, one), *y = warm_adapters_text(&second, two), *z = warm_adapters_text(&first, two),
         *nothing = warm_adapters_text(&first, none);
    assert_string_equal(x, "adapter: a, scale 0.100000001\nadapter: b, scale 2\n");
    assert_string_equal(x, y);
    assert_string_not_equal(x, z);
    assert_string_equal(nothing, "");
    free(x);
    free(y);
    free(z);
    free(nothing);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_computed_with_one_list_of_scales),
        cmocka_unit_test(lists_take_turns),
        cmocka_unit_test(a_list_with_ever_new_tasks_starves_nobody),
        cmocka_unit_test(other_scales_share_nothing_and_flush_nothing),
        cmocka_unit_test(adapters_that_are_refused_fail_their_tasks_and_no_others),
        cmocka_unit_test(the_text_of_a_list_does_not_depend_on_the_order_of_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
