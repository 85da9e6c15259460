/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_room.c - what the scheduler does when room or the budget runs out, how it cuts its batches, and what it keeps of what went
 * wrong, watched through the engine's calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { MANY = 2048 };

static void a_resident_that_is_continued_need_not_make_room(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 2000}, .n_slots = 3, .budget_bytes = 8 << 20, .slice_ns = 10 * 1000});
    int32_t prompt[MANY], other[MANY];
    request stream, r, large, next;
    tokens_fill(prompt, 100, 1);
    request_submit(&w, &stream, prompt, 100, &(request_options){.n_predict = 300, .id_slot = -1, .ignore_eos = true});
    while (stream.n_got < 3) warm_sched_step(w.sched);
    tokens_fill(prompt, 600, 2);
    request_run(&w, &r, prompt, 600, 3);
    /* needs the cells of what has just ended and is not saved yet: it waits for
   * that */
    tokens_fill(other, 1200, 3);
    request_submit(&w, &large, other, 1200, &(request_options){.n_predict = 1, .id_slot = -1});
    warm_sched_step(w.sched);
    assert_int_equal(large.n_events, 0);
    /* it leaves, the ended one goes on, and from now on every save is refused */
    warm_sched_cancel(w.sched, large.id);
    warm_sched_set_budget(w.sched, 1);
    memcpy(prompt + 600, r.got, r.n_got * sizeof *prompt);
    tokens_fill(prompt + 603, 100, 4);
    request_run(&w, &next, prompt, 703, 100);
    assert_int_equal(next.t.n_device, 602);
    request_wait(&w, &stream);
    request_check(&w, &stream);
    request_free(&stream);
    request_free(&r);
    request_free(&large);
    request_free(&next);
    world_close(&w);
}

static void cells_shared_with_a_running_task_are_needed_once(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r, a, b;
    /* 600 that all begin with, and a hundred of its own: it is shared, not taken
   * over */
    tokens_fill(prompt, 700, 1);
    request_run(&w, &r, prompt, 700, 1);
    request_options o = {.n_predict = 100, .id_slot = -1, .ignore_eos = true};
    tokens_fill(prompt + 600, 50, 2);
    request_submit(&w, &a, prompt, 650, &o);
    while (a.n_got < 3) warm_sched_step(w.sched);
    tokens_fill(prompt + 600, 60, 3);
    request_submit(&w, &b, prompt, 660, &o);
    while (b.n_got < 3) warm_sched_step(w.sched);
    assert_false(a.ended);
    assert_int_equal(b.t.n_device, 600);
    request_wait(&w, &a);
    request_wait(&w, &b);
    request_check(&w, &a);
    request_check(&w, &b);
    request_free(&r);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resident_that_is_continued_need_not_make_room),
        cmocka_unit_test(cells_shared_with_a_running_task_are_needed_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
