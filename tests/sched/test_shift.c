/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_shift.c - context shift and reuse of moved text: who gets it, and that nobody else ever does.
 *
 * The simulated engine goes on from the hashes that a moved cell has, so an answer tells which tokens it was made from: request_check holds
 * for an answer that went on behind a shift, and for any later one that it must hold for nothing that was moved may have been used. The engine
 * asserts that nothing shared is moved, and nothing moved is saved or forked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { N_CTX = 512, LONG = 1500 };

static world_options shifting(enum warm_state_kind kind) {
    return world_of_kind(kind,
                         (world_options){.sim = {.n_ctx = N_CTX}, .n_slots = 2, .budget_bytes = 8 << 20, .context_shift = true});
}

static request_options long_answer(int32_t n_predict, int32_t n_keep, int32_t n_discard) {
    return (request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true, .n_keep = n_keep, .n_discard = n_discard};
}

/* What a sequence that was shifted once by a task with an answer of `got` has in the context when it ends: its last token is not in it. */
static size_t shifted_once(const request *r, size_t keep, size_t discard, int32_t *out) {
    size_t n = r->n_prompt + r->n_got - 1;
    int32_t *all = malloc((n + 1) * sizeof *all);
    assert_non_null(all);
    memcpy(all, r->prompt, r->n_prompt * sizeof *all);
    memcpy(all + r->n_prompt, r->got, (r->n_got - 1) * sizeof *all);
    memcpy(out, all, keep * sizeof *all);
    memcpy(out + keep, all + keep + discard, (n - keep - discard) * sizeof *all);
    free(all);
    return n - discard;
}

static void an_answer_goes_on_behind_a_full_context(void **state) {
    (void)state;
    static const enum warm_state_kind kinds[] = {WARM_STATE_RANGES, WARM_STATE_RANGES_SNAPSHOTS, WARM_STATE_SNAPSHOTS,
                                                 WARM_STATE_WHOLE};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        world w;
        world_options o = shifting(kinds[i]);
        world_open(&w, &o);
        int32_t prompt[100];
        request r, again;
        tokens_fill(prompt, 100, 1);
        request_options ro = long_answer(LONG, 40, 0);
        request_submit(&w, &r, prompt, 100, &ro);
        request_wait(&w, &r);
        request_check(&w, &r);
        assert_int_equal(r.n_got, LONG);
        assert_true(r.truncated && r.stop == WARM_STOP_LIMIT);
        world_settle(&w);
        /* what was saved before the first shift is exact and of use to the same prompt */
        request_run(&w, &again, prompt, 100, 30);
        assert_true(again.t.n_device + again.t.n_ram >= 40);
        request_free(&r);
        request_free(&again);
        world_close(&w);
    }
}

static void without_the_option_or_where_it_cannot_be_an_answer_ends_with_the_context(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        world w;
        world_options o = shifting(i == 2 ? WARM_STATE_WINDOW : WARM_STATE_RANGES);
        o.context_shift = i != 0;
        o.sim.no_shift = i == 1;
        world_open(&w, &o);
        int32_t prompt[100];
        request r;
        tokens_fill(prompt, 100, 1);
        request_options ro = long_answer(LONG, 0, 0);
        request_submit(&w, &r, prompt, 100, &ro);
        request_wait(&w, &r);
        request_check(&w, &r);
        assert_true(r.truncated && r.stop == WARM_STOP_LIMIT);
        assert_int_equal(r.n_got, N_CTX - 100 + 1);
        request_free(&r);
        world_close(&w);
    }
}

static void what_is_kept_and_discarded_is_what_llama_server_says(void **state) {
    (void)state;
    /* prompt of 100; the shift comes with 511 units: kept, discarded */
    static const struct {
        int32_t n_keep, n_discard;
        size_t kept, discarded;
    } cases[] = {{0, 0, 0, 255},   {40, 0, 40, 235}, {-1, 0, 100, 205},     {-1, 7, 100, 7},
                 {600, 0, 508, 1}, {40, 1, 40, 1},   {40, 1 << 30, 40, 470}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        world w;
        world_options o = shifting(WARM_STATE_RANGES);
        o.n_slots = 1;
        world_open(&w, &o);
        int32_t prompt[100], moved[N_CTX];
        request r, next;
        tokens_fill(prompt, 100, 1);
        /* one token more than fits without a shift */
        request_options ro = long_answer(N_CTX - 100 + 1, cases[i].n_keep, cases[i].n_discard);
        request_submit(&w, &r, prompt, 100, &ro);
        request_wait(&w, &r);
        assert_true(r.truncated);
        size_t n = shifted_once(&r, cases[i].kept, cases[i].discarded, moved);
        /* With the least chunk, all that follows what was kept is found where the shift put it: its first unit is the one that had
         * this number before. */
        ro = (request_options){.n_predict = 1, .id_slot = -1, .n_cache_reuse = 1};
        request_submit(&w, &next, moved, n, &ro);
        request_wait(&w, &next);
        assert_int_equal(next.t.n_device, n - 1);
        assert_int_equal(next.t.n_shifted, n - 1 - cases[i].kept);
        request_free(&r);
        request_free(&next);
        world_close(&w);
    }
}

static void what_was_shifted_is_found_by_nobody(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        world w;
        world_options o = shifting(WARM_STATE_RANGES);
        world_open(&w, &o);
        int32_t prompt[100], other[400], moved[N_CTX];
        request r, next, away, later;
        tokens_fill(prompt, 100, 1);
        request_options ro = long_answer(N_CTX - 100 + 20, 40, 0);
        request_submit(&w, &r, prompt, 100, &ro);
        request_wait(&w, &r);
        size_t n = shifted_once(&r, 40, 235, moved);
        world_settle(&w);
        tokens_fill(other, 400, 2);
        if (how) request_run(&w, &away, other, 400, 100); /* its resident goes, and what it had is looked for in the tree */
        /* request_check knows the answer of a prompt that was computed from its beginning */
        request_run(&w, &next, moved, n, 50);
        assert_int_equal(next.t.n_device + next.t.n_ram, 40);
        assert_int_equal(next.t.n_shifted, 0);
        request_run(&w, &later, moved, n, 50);
        assert_int_equal(later.t.n_computed, 1);
        request_free(&r);
        request_free(&next);
        request_free(&later);
        if (how) request_free(&away);
        world_close(&w);
    }
}

static void everything_before_the_shift_is_kept_exactly(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    world_open(&w, &o);
    int32_t prompt[100], all[N_CTX];
    request r, next;
    tokens_fill(prompt, 100, 1);
    request_options ro = long_answer(N_CTX, 10, 0);
    request_submit(&w, &r, prompt, 100, &ro);
    request_wait(&w, &r);
    memcpy(all, prompt, sizeof prompt);
    memcpy(all + 100, r.got, (N_CTX - 100) * sizeof *all);
    request_run(&w, &next, all, N_CTX - 1, 1);
    assert_int_equal(next.t.n_computed, 1);
    request_free(&r);
    request_free(&next);
    world_close(&w);
}

static void cells_shared_with_others_are_its_own_before_they_move(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    o.n_slots = 3;
    o.sim.n_seq_max = 6;
    world_open(&w, &o);
    int32_t prompt[480];
    request r, a, b;
    tokens_fill(prompt, 480, 1);
    request_run(&w, &r, prompt, 480, 1);
    /* it shares all but the last with the resident, and others that branched off before what is moved keep their share */
    tokens_fill(prompt + 105, 20, 2);
    request_run(&w, &b, prompt, 125, 1);
    tokens_fill(prompt, 480, 1);
    request_options ro = long_answer(40, 100, 10);
    request_submit(&w, &a, prompt, 480, &ro);
    request_wait(&w, &a);
    assert_true(a.truncated);
    assert_int_equal(a.t.n_device, 479);
    assert_int_equal(a.n_got, 40);
    request_check(&w, &a);
    request_free(&b);
    tokens_fill(prompt + 105, 20, 2);
    request_run(&w, &b, prompt, 125, 10);
    assert_int_equal(b.t.n_computed, 1);
    request_free(&r);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

static void a_shift_that_fails_ends_the_request_and_nothing_else(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    o.sim.shift_fails_at = 1;
    world_open(&w, &o);
    int32_t prompt[100];
    request r, next;
    tokens_fill(prompt, 100, 1);
    request_options ro = long_answer(LONG, 0, 0);
    request_submit(&w, &r, prompt, 100, &ro);
    request_wait(&w, &r);
    assert_true(r.failed && r.err.code == WARM_EENGINE);
    request_run(&w, &next, prompt, 100, 20);
    assert_int_equal(next.t.n_computed, 1); /* it was saved before */
    request_free(&r);
    request_free(&next);
    world_close(&w);
}

static void a_move_that_fails_is_made_up_for_by_computing(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    o.sim.shift_fails_at = 1;
    o.n_slots = 1;
    world_open(&w, &o);
    int32_t prompt[200];
    request r, next;
    tokens_fill(prompt, 200, 1);
    request_options ro = long_answer(5, 0, 0);
    request_submit(&w, &r, prompt, 200, &ro);
    /* When it fails nothing else is under way that could wake the scheduler up again. */
    ro.n_cache_reuse = 50;
    request_submit(&w, &next, prompt + 50, 150, &ro);
    world_settle(&w);
    request_check(&w, &next);
    assert_int_equal(next.t.n_computed, 150);
    request_free(&r);
    request_free(&next);
    world_close(&w);
}

static void who_waits_for_a_slot_gets_it_when_a_shift_has_failed(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    o.sim.shift_fails_at = 1;
    o.n_slots = 1;
    world_open(&w, &o);
    int32_t prompt[100];
    request r, next;
    tokens_fill(prompt, 100, 1);
    request_options ro = long_answer(LONG, 0, 0);
    request_submit(&w, &r, prompt, 100, &ro);
    ro.n_predict = 5;
    request_submit(&w, &next, prompt, 100, &ro);
    world_settle(&w);
    assert_true(r.failed);
    request_check(&w, &next);
    request_free(&r);
    request_free(&next);
    world_close(&w);
}

static void moved_text_is_reused_when_asked_for_and_where_it_is_more_than_what_is_exact(void **state) {
    (void)state;
    for (int32_t least = 0; least <= 100; least += 50) {
        world w;
        world_options o = shifting(WARM_STATE_RANGES);
        world_open(&w, &o);
        int32_t first[300], second[250];
        request r, next, later;
        tokens_fill(first, 300, 1);
        request_run(&w, &r, first, 300, 1);
        world_settle(&w);
        /* [100,150) is taken out, then 90 are as before, [240,260) is taken out, 40 are as before, and some are new */
        memcpy(second, first, 100 * sizeof *second);
        memcpy(second + 100, first + 150, 90 * sizeof *second);
        memcpy(second + 190, first + 260, 40 * sizeof *second);
        tokens_fill(second + 230, 20, 2);
        request_submit(&w, &next, second, 250,
                       &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true, .n_cache_reuse = least});
        request_wait(&w, &next);
        size_t reused = least == 50 ? 190 : 100;
        assert_int_equal(next.t.n_device, reused);
        assert_int_equal(next.t.n_shifted, reused - 100);
        assert_int_equal(next.t.n_computed, 250 - reused);
        if (least != 50) request_check(&w, &next);
        /* who does not ask for it gets what is exact, and that is right; also of what the reuse took apart */
        world_settle(&w);
        request_run(&w, &later, second, 250, 20);
        assert_int_equal(later.t.n_device + later.t.n_ram, least == 50 ? 100 : 249);
        request_free(&later);
        request_run(&w, &later, first, 300, 20);
        assert_int_equal(later.t.n_computed, 1);
        request_free(&r);
        request_free(&next);
        request_free(&later);
        world_close(&w);
    }
}

static void of_equal_ways_the_exact_one_is_taken(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    world_open(&w, &o);
    int32_t first[200], second[150];
    request r, s, next;
    tokens_fill(first, 200, 1);
    memcpy(second, first, 50 * sizeof *second);
    memcpy(second + 50, first + 100, 100 * sizeof *second);
    request_run(&w, &s, second, 150, 1);
    request_run(&w, &r, first, 200, 1);
    request_submit(&w, &next, second, 150,
                   &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true, .n_cache_reuse = 10});
    request_wait(&w, &next);
    request_check(&w, &next);
    assert_int_equal(next.t.n_shifted, 0);
    assert_int_equal(next.t.n_computed, 1);
    request_free(&r);
    request_free(&s);
    request_free(&next);
    world_close(&w);
}

static void shared_or_running_text_is_not_moved(void **state) {
    (void)state;
    world w;
    world_options o = shifting(WARM_STATE_RANGES);
    o.n_slots = 3;
    world_open(&w, &o);
    int32_t first[200], second[100];
    request r, stream, next;
    tokens_fill(first, 200, 1);
    request_run(&w, &r, first, 200, 1);
    request_submit(&w, &stream, first, 200, &(request_options){.n_predict = 100, .id_slot = -1, .ignore_eos = true});
    while (stream.n_got < 3) warm_sched_step(w.sched);
    memcpy(second, first, 10 * sizeof *second);
    memcpy(second + 10, first + 50, 90 * sizeof *second);
    request_submit(&w, &next, second, 100,
                   &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true, .n_cache_reuse = 10});
    request_wait(&w, &next);
    assert_false(stream.ended);
    assert_int_equal(next.t.n_shifted, 0);
    request_check(&w, &next);
    request_wait(&w, &stream);
    request_check(&w, &stream);
    request_free(&r);
    request_free(&stream);
    request_free(&next);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_goes_on_behind_a_full_context),
        cmocka_unit_test(without_the_option_or_where_it_cannot_be_an_answer_ends_with_the_context),
        cmocka_unit_test(what_is_kept_and_discarded_is_what_llama_server_says),
        cmocka_unit_test(what_was_shifted_is_found_by_nobody),
        cmocka_unit_test(everything_before_the_shift_is_kept_exactly),
        cmocka_unit_test(cells_shared_with_others_are_its_own_before_they_move),
        cmocka_unit_test(a_shift_that_fails_ends_the_request_and_nothing_else),
        cmocka_unit_test(who_waits_for_a_slot_gets_it_when_a_shift_has_failed),
        cmocka_unit_test(a_move_that_fails_is_made_up_for_by_computing),
        cmocka_unit_test(moved_text_is_reused_when_asked_for_and_where_it_is_more_than_what_is_exact),
        cmocka_unit_test(of_equal_ways_the_exact_one_is_taken),
        cmocka_unit_test(shared_or_running_text_is_not_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
