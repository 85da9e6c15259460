/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_room.c - what the scheduler does when room or the budget runs out, how it cuts its batches, and what it
 * keeps of what went wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { MANY = 4096 };

/* The simulated engine's functions, some of them replaced. One world at a time. */
static warm_engine_ops replaced;
static const warm_engine_ops *real;

static warm_engine_ops *replace_ops(world *w) {
    real = w->engine->ops;
    replaced = *real;
    w->engine->ops = &replaced;
    return &replaced;
}

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
    /* needs the cells of what has just ended and is not saved yet: it waits for that */
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
    /* 600 that all begin with, and a hundred of its own: it is shared, not taken over */
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

static void what_is_about_to_be_loaded_is_not_evicted_to_make_room(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 800}, .budget_bytes = 8 << 20}); /* cells for one conversation */
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 600, 1);
    request_run(&w, &r, prompt, 600, 1);
    request_free(&r);
    world_settle(&w);
    tokens_fill(prompt, 600, 2);
    request_run(&w, &r, prompt, 600, 1);
    request_free(&r);
    /* memory for both but for the end of the second, which is still to be saved when its cells are needed */
    warm_sched_set_budget(w.sched, w.budget.used_bytes);
    tokens_fill(prompt, 600, 1);
    request_run(&w, &r, prompt, 600, 1);
    assert_int_equal(r.t.n_ram, 599);
    request_free(&r);
    world_close(&w);
}

static size_t n_short; /* chunks of prefill below 64 units */

static int watch_chunks(warm_engine *e, const warm_batch *b, warm_err *err) {
    for (size_t i = 0; i < b->n;) {
        size_t n = 1;
        while (i + n < b->n && b->seq[i + n] == b->seq[i]) n++;
        if (n > 1 && n < 64) n_short++;
        i += n;
    }
    return real->decode(e, b, err);
}

static void no_prompt_is_cut_into_chunks_that_are_too_short(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b;
    n_short = 0;
    replace_ops(&w)->decode = watch_chunks;
    request_options o = {.n_predict = 1, .id_slot = -1, .ignore_eos = true};
    /* 440 of 512 rows are the first one's: what is left holds neither the second nor two halves of it that are long enough */
    tokens_fill(prompt, 440, 1);
    request_submit(&w, &a, prompt, 440, &o);
    tokens_fill(prompt, 100, 2);
    request_submit(&w, &b, prompt, 100, &o);
    request_wait(&w, &a);
    request_wait(&w, &b);
    assert_int_equal(n_short, 0);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

static int sample_fails(warm_engine *e, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err) {
    (void)e, (void)s, (void)row, (void)out;
    return warm_err_set(err, WARM_ECORRUPT, "the computed logits are not numbers");
}

static void state_whose_logits_are_not_numbers_is_not_kept(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096, .n_ubatch = 128}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    replace_ops(&w)->sample = sample_fails;
    tokens_fill(prompt, 600, 1);
    request_submit(&w, &r, prompt, 600, &(request_options){.n_predict = 5, .id_slot = -1});
    request_wait(&w, &r);
    assert_int_equal(r.err.code, WARM_ECORRUPT);
    request_free(&r);
    world_settle(&w);
    w.engine->ops = real;
    request_run(&w, &r, prompt, 600, 5);
    assert_int_equal(r.t.n_computed, 600);
    request_free(&r);
    world_close(&w);
}

static void a_budget_of_nothing_empties_the_cache(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 600, 1);
    request_run(&w, &r, prompt, 600, 5);
    request_free(&r);
    world_settle(&w);
    warm_sched_set_budget(w.sched, 0);
    world_settle(&w);
    warm_cache_stats st;
    warm_cache_stats_get(w.cache, &st);
    assert_int_equal(st.n_blocks, 0);
    world_close(&w);
}

static size_t n_forks;

static int count_forks(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    n_forks++;
    return real->fork(e, src, dst, n, complete, err);
}

static void who_waits_for_window_rows_is_not_forked_in_vain_at_every_step(void **state) {
    (void)state;
    enum { N = 5 };
    world w;
    /* cells for five that share their beginning, but window rows for four */
    world_options o = world_of_kind(
        WARM_STATE_WINDOW,
        (world_options){.sim = {.n_ctx = 280, .n_seq_max = 6, .n_window = 64}, .n_slots = N, .budget_bytes = 8 << 20});
    world_open(&w, &o);
    int32_t prompt[MANY];
    request r[N];
    n_forks = 0;
    replace_ops(&w)->fork = count_forks;
    tokens_fill(prompt, 150, 1);
    for (int i = 0; i < N; i++) {
        request_submit(&w, &r[i], prompt, 150, &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true});
        while (i < N - 1 && r[i].n_got < 1) warm_sched_step(w.sched);
    }
    for (int i = 0; i < N; i++) {
        request_wait(&w, &r[i]);
        request_check(&w, &r[i]);
        request_free(&r[i]);
    }
    assert_in_range(n_forks, N - 1, N + 1);
    world_close(&w);
}

static size_t n_snapshot_loads;

/* The first one finds no room; the sequence is gone with it. */
static int snapshot_load_full_once(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err) {
    if (n_snapshot_loads++) return real->snapshot_load(e, seq, src, bytes, n, err);
    real->seq_rm(e, seq, 0, -1);
    return warm_err_set(err, WARM_EFULL, "no free state");
}

static void a_snapshot_that_finds_no_room_is_loaded_again_with_its_cells(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES_SNAPSHOTS; k <= WARM_STATE_WHOLE; k++) {
        world w;
        world_options o = world_of_kind((enum warm_state_kind)k,
                                        (world_options){.sim = {.n_ctx = 2000, .n_seq_max = 2}, .budget_bytes = 8 << 20});
        world_open(&w, &o);
        int32_t prompt[MANY];
        request r;
        n_snapshot_loads = 0;
        replace_ops(&w)->snapshot_load = snapshot_load_full_once;
        for (uint64_t i = 0; i < 4; i++) { /* the last one is the first again, which has left the context for the third */
            tokens_fill(prompt, 600, 1 + i % 3);
            request_run(&w, &r, prompt, 600, 1);
            if (i == 3) assert_int_equal(r.t.n_ram, 599);
            request_free(&r);
            world_settle(&w);
        }
        assert_int_equal(n_snapshot_loads, 2);
        world_close(&w);
    }
}

static void a_task_that_was_parked_goes_on_with_its_own_sequence_if_room_comes_first(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1600}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b;
    size_t n_parked = 0;
    tokens_fill(prompt, 500, 1);
    request_submit(&w, &a, prompt, 500, &(request_options){.n_predict = 600, .id_slot = -1, .ignore_eos = true});
    tokens_fill(prompt, 500, 2);
    request_submit(&w, &b, prompt, 500, &(request_options){.n_predict = 600, .id_slot = -1, .ignore_eos = true});
    while (!n_parked) {
        warm_sched_status st;
        warm_sched_step(w.sched);
        assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
        n_parked = st.n_parked;
        if (n_parked) assert_true(st.n_cells_used >= 1000); /* its cells are still there */
        warm_sched_status_free(&st);
    }
    warm_sched_cancel(w.sched, a.id);
    request_wait(&w, &b);
    request_check(&w, &b);
    assert_true(b.t.load_ms == 0);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

/* Two conversations in turn in a context that holds both; what the first finds in the context when it comes back. */
static size_t left_in_context(size_t n_other, int32_t n_predict, size_t budget_bytes) {
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096, .row_ns = 1000, .step_ns = 1000, .copy_ns = 100},
                                    .budget_bytes = budget_bytes});
    int32_t prompt[MANY], other[MANY];
    request r, away, back;
    tokens_fill(prompt, 1000, 1);
    request_run(&w, &r, prompt, 1000, 1);
    world_settle(&w);
    tokens_fill(other, n_other, 2);
    request_submit(&w, &away, other, n_other, &(request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true});
    request_wait(&w, &away);
    world_settle(&w);
    request_run(&w, &back, prompt, 1000, 1);
    request_check(&w, &back);
    assert_int_equal(back.t.n_device + back.t.n_ram, 999);
    size_t n = back.t.n_device;
    request_free(&r);
    request_free(&away);
    request_free(&back);
    world_close(&w);
    return n;
}

static void idle_cells_leave_for_who_would_walk_over_them_for_longer_than_they_take_to_load(void **state) {
    (void)state;
    assert_int_equal(left_in_context(1000, 1, 8 << 20), 0);
    assert_int_equal(left_in_context(64, 200, 8 << 20), 0);
    assert_int_equal(left_in_context(64, 1, 8 << 20), 999);
}

/* Nor would it be loaded again. */
static void idle_cells_stay_where_the_cache_will_not_have_them_by_then(void **state) {
    (void)state;
    size_t room_for_both = 1 << 20, room_for_one = 128 << 10;
    assert_int_equal(left_in_context(1000, 1, room_for_both), 0);
    assert_int_equal(left_in_context(1000, 1, room_for_one), 999);
}

static void idle_cells_leave_before_a_long_prompt_takes_its_own(void **state) {
    (void)state;
    world w;
    world_open(&w,
               &(world_options){.sim = {.n_ctx = 4096, .row_ns = 1000, .step_ns = 1000, .copy_ns = 100}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r, next;
    warm_sched_status st;
    tokens_fill(prompt, 1000, 1);
    request_run(&w, &r, prompt, 1000, 1);
    world_settle(&w);
    tokens_fill(prompt, 2000, 2);
    request_submit(&w, &next, prompt, 2000, &(request_options){.n_predict = 1, .id_slot = -1});
    warm_sched_step(w.sched);
    assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
    assert_int_equal(st.n_residents, 0);
    assert_in_range(st.n_cells_used, 1, 999); /* its first chunk, and nothing else */
    warm_sched_status_free(&st);
    request_wait(&w, &next);
    request_free(&r);
    request_free(&next);
    world_close(&w);
}

static struct {
    warm_sched *sched;
    size_t n_ended, n_computed, n_device, n_busy;
} at_end;

static void look_at_end(void *ud, warm_event *ev) {
    (void)ud;
    if (ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED) {
        warm_sched_status st;
        assert_int_equal(warm_sched_status_get(at_end.sched, &st), 0);
        at_end.n_ended++;
        at_end.n_computed = st.n_prompt_computed;
        at_end.n_device = st.n_prompt_device;
        at_end.n_busy = st.slots[0].state != WARM_SLOT_IDLE;
        warm_sched_status_free(&st);
    }
    warm_event_free(ev);
}

static void who_has_an_answer_finds_it_counted_and_its_slot_free(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}});
    at_end.sched = w.sched;
    at_end.n_ended = 0;
    for (size_t i = 1; i <= 2; i++) { /* the second time all but one unit is there, and it ends in the step in which it begins */
        warm_task_options to = {.n_tokens = 100, .n_predict = 1, .id_slot = -1, .cache_prompt = true, .emit = look_at_end};
        warm_sampling_default(&to.sampling);
        to.tokens = calloc(100, sizeof *to.tokens);
        warm_task *t;
        assert_int_equal(warm_task_new(w.engine, &to, &t, NULL), 0);
        warm_sched_submit(w.sched, &t, 1);
        while (at_end.n_ended < i) warm_sched_step(w.sched);
        assert_int_equal(at_end.n_busy, 0);
    }
    assert_int_equal(at_end.n_computed, 101);
    assert_int_equal(at_end.n_device, 99);
    world_close(&w);
}

static size_t resumable(world *w, const int32_t *prompt, size_t n) {
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope *scope;
    warm_unit units[MANY];
    warm_scope_fingerprint(w->engine->info->scope, NULL, NULL, fingerprint);
    if (warm_cache_scope(w->cache, fingerprint, &scope)) return 0;
    for (size_t i = 0; i < n; i++) units[i] = (warm_unit)prompt[i];
    return warm_cache_match_resume(w->cache, scope, units, n);
}

static void snapshots_that_wait_leave_room_for_the_units_of_the_last(void **state) {
    (void)state;
    world w;
    /* A snapshot takes so long that the units before it are saved only when nothing is computed; room for all of them and one snapshot. */
    world_options o =
        world_of_kind(WARM_STATE_RANGES_SNAPSHOTS,
                      (world_options){.sim = {.snapshot_bytes = 64 << 10, .snapshot_ns = 50 * 1000000}, .budget_bytes = 360 << 10});
    world_open(&w, &o);
    int32_t prompt[3000];
    request r;
    tokens_fill(prompt, 3000, 1);
    request_run(&w, &r, prompt, 3000, 1);
    world_settle(&w);
    assert_int_equal(resumable(&w, prompt, 3000), 2999);
    request_free(&r);
    world_close(&w);
}

static struct {
    size_t n_tokens, n_top;
    warm_token_prob top[8];
} seen;

static void keep_probs(void *ud, warm_event *ev) {
    bool *ended = ud;
    *ended |= ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED;
    if (ev->n_tokens > 1) {
        seen.n_tokens = ev->n_tokens;
        seen.n_top = ev->n_top;
        assert_true(ev->n_tokens * ev->n_top <= 8);
        memcpy(seen.top, ev->top, ev->n_tokens * ev->n_top * sizeof *ev->top);
    }
    warm_event_free(ev);
}

/* The first token has three candidates left, the second only one; both print as half a character. */
static int sample_fewer(warm_engine *e, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err) {
    static size_t calls;
    int rc = real->sample(e, s, row, out, err);
    out->token = calls++ % 2 ? 0xa9 + 1 : 0xc3 + 1;
    out->n_probs = out->token == 0xc3 + 1 ? 3 : 1;
    for (size_t i = 0; i < out->n_probs; i++) out->probs[i].token = out->token + (int32_t)i;
    return rc;
}

static void each_token_keeps_its_own_candidates(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}});
    replace_ops(&w)->sample = sample_fewer;
    bool ended = false;
    warm_task_options to = {.n_tokens = 1, .n_predict = 2, .id_slot = -1, .emit = keep_probs, .ud = &ended};
    warm_sampling_default(&to.sampling);
    to.sampling.n_probs = 3;
    to.tokens = calloc(1, sizeof *to.tokens);
    warm_task *t;
    assert_int_equal(warm_task_new(w.engine, &to, &t, NULL), 0);
    warm_sched_submit(w.sched, &t, 1);
    while (!ended) warm_sched_step(w.sched);
    assert_int_equal(seen.n_tokens, 2);
    assert_int_equal(seen.n_top, 3);
    for (int32_t i = 0; i < 3; i++) assert_int_equal(seen.top[i].token, 0xc3 + 1 + i);
    assert_int_equal(seen.top[3].token, 0xa9 + 1);
    assert_int_equal(seen.top[4].token, -1);
    assert_int_equal(seen.top[5].token, -1);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_for_window_rows_is_not_forked_in_vain_at_every_step),
        cmocka_unit_test(snapshots_that_wait_leave_room_for_the_units_of_the_last),
        cmocka_unit_test(a_snapshot_that_finds_no_room_is_loaded_again_with_its_cells),
        cmocka_unit_test(a_task_that_was_parked_goes_on_with_its_own_sequence_if_room_comes_first),
        cmocka_unit_test(who_has_an_answer_finds_it_counted_and_its_slot_free),
        cmocka_unit_test(idle_cells_leave_for_who_would_walk_over_them_for_longer_than_they_take_to_load),
        cmocka_unit_test(idle_cells_stay_where_the_cache_will_not_have_them_by_then),
        cmocka_unit_test(idle_cells_leave_before_a_long_prompt_takes_its_own),
        cmocka_unit_test(a_resident_that_is_continued_need_not_make_room),
        cmocka_unit_test(cells_shared_with_a_running_task_are_needed_once),
        cmocka_unit_test(what_is_about_to_be_loaded_is_not_evicted_to_make_room),
        cmocka_unit_test(no_prompt_is_cut_into_chunks_that_are_too_short),
        cmocka_unit_test(state_whose_logits_are_not_numbers_is_not_kept),
        cmocka_unit_test(a_budget_of_nothing_empties_the_cache),
        cmocka_unit_test(each_token_keeps_its_own_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
