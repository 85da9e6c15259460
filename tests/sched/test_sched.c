/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched.c - requests through the scheduler: what they answer, and how much of them is computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched_world.h"

enum { MANY = 2048 };

/* prompt = first, then what was generated for it, then `more` tokens from a seed: the next turn of a conversation. */
static size_t next_turn(int32_t *prompt, const request *r, size_t more, uint64_t seed) {
    memcpy(prompt, r->prompt, r->n_prompt * sizeof *prompt);
    memcpy(prompt + r->n_prompt, r->got, r->n_got * sizeof *prompt);
    tokens_fill(prompt + r->n_prompt + r->n_got, more, seed);
    return r->n_prompt + r->n_got + more;
}

static void a_conversation_computes_only_what_is_new(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    tokens_fill(prompt, 300, 1);
    request r;
    request_run(&w, &r, prompt, 300, 20);
    assert_int_equal(r.t.n_computed, 300);
    for (uint64_t turn = 0; turn < 5; turn++) {
        size_t n = next_turn(prompt, &r, 30, 100 + turn);
        size_t known = r.n_prompt + r.n_got;
        request_free(&r);
        request_run(&w, &r, prompt, n, 20);
        /* the last token that was generated was never decoded */
        assert_int_equal(r.t.n_device, known - 1);
        assert_int_equal(r.t.n_computed, 31);
    }
    request_free(&r);
    world_close(&w);
}

static void two_conversations_on_one_slot_swap_through_memory(void **state) {
    (void)state;
    world w;
    /* context for one of them */
    world_open(&w, &(world_options){.sim = {.n_ctx = 800}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b;
    tokens_fill(prompt, 500, 1);
    request_run(&w, &a, prompt, 500, 10);
    tokens_fill(prompt, 500, 2);
    request_run(&w, &b, prompt, 500, 10);
    for (uint64_t turn = 0; turn < 4; turn++) {
        request *r = turn % 2 ? &b : &a;
        size_t n = next_turn(prompt, r, 20, turn + 10), known = r->n_prompt + r->n_got - 1;
        request_free(r);
        request_run(&w, r, prompt, n, 10);
        assert_int_equal(r->t.n_device + r->t.n_ram, known);
        assert_true(r->t.n_ram > 0);
    }
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

static void a_fork_keeps_both_branches(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 600, 1);
    request_run(&w, &r, prompt, 600, 5);
    request_free(&r);
    tokens_fill(prompt + 333, 200, 2);
    request_run(&w, &r, prompt, 533, 5);
    assert_int_equal(r.t.n_device + r.t.n_ram, 333);
    request_free(&r);
    tokens_fill(prompt, 600, 1);
    request_run(&w, &r, prompt, 600, 5);
    assert_int_equal(r.t.n_computed, 1);
    request_free(&r);
    tokens_fill(prompt + 333, 200, 2);
    request_run(&w, &r, prompt, 533, 5);
    assert_int_equal(r.t.n_computed, 1);
    request_free(&r);
    world_close(&w);
}

static void residents_match_without_any_cache(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 300, 1);
    request_run(&w, &r, prompt, 300, 5);
    request_free(&r);
    tokens_fill(prompt + 200, 300, 2);
    request_run(&w, &r, prompt, 500, 5);
    assert_int_equal(r.t.n_device, 200);
    assert_int_equal(r.t.n_ram, 0);
    request_free(&r);
    world_close(&w);
}

static void a_running_request_is_shared_by_the_next(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b;
    tokens_fill(prompt, 600, 1);
    request_options o = {.n_predict = 200, .id_slot = -1, .ignore_eos = true};
    request_submit(&w, &a, prompt, 600, &o);
    while (a.n_got < 3) warm_sched_step(w.sched);
    tokens_fill(prompt + 500, 80, 2);
    request_submit(&w, &b, prompt, 580, &o);
    request_wait(&w, &a);
    request_wait(&w, &b);
    request_check(&w, &a);
    request_check(&w, &b);
    assert_int_equal(b.t.n_device, 500);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

static void a_busy_slot_is_waited_for_and_not_touched(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b, c;
    request_options o = {.n_predict = 200, .id_slot = 1, .ignore_eos = true};
    tokens_fill(prompt, 600, 1);
    request_submit(&w, &a, prompt, 600, &o);
    while (a.n_got < 3) warm_sched_step(w.sched);
    tokens_fill(prompt, 600, 2);
    request_submit(&w, &b, prompt, 600, &o);
    tokens_fill(prompt, 600, 3);
    request_submit(&w, &c, prompt, 600, &(request_options){.n_predict = 20, .id_slot = -1, .ignore_eos = true});
    request_wait(&w, &c);
    assert_false(a.ended);
    assert_int_equal(b.n_events, 0);
    request_wait(&w, &a);
    assert_int_equal(b.n_got, 0);
    request_wait(&w, &b);
    request_check(&w, &a);
    request_check(&w, &b);
    request_check(&w, &c);
    request_free(&a);
    request_free(&b);
    request_free(&c);
    world_close(&w);
}

static void a_client_that_leaves_loses_nothing_computed(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096, .n_ubatch = 128}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY], other[MANY];
    request r;
    tokens_fill(prompt, 1500, 1);
    request_submit(&w, &r, prompt, 1500, &(request_options){.n_predict = 5, .id_slot = -1, .progress = true});
    while (r.n_progress < 5) warm_sched_step(w.sched);
    size_t computed = r.t.n_computed;
    assert_true(computed >= 512 && computed < 1500);
    warm_sched_cancel(w.sched, r.id);
    request_wait(&w, &r);
    assert_true(r.failed);
    assert_int_equal(r.err.code, WARM_ECANCELED);
    request_free(&r);
    /* something that pushes it out of the context */
    tokens_fill(other, 2000, 2);
    request_run(&w, &r, other, 2000, 300);
    request_free(&r);
    tokens_fill(other, 2000, 3);
    request_run(&w, &r, other, 2000, 300);
    request_free(&r);
    request_run(&w, &r, prompt, 1500, 5);
    assert_true(r.t.n_device + r.t.n_ram >= computed);
    request_free(&r);
    world_close(&w);
}

static void generations_that_exceed_the_context_all_finish(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1500}, .n_slots = 4, .budget_bytes = 16 << 20});
    int32_t prompt[MANY];
    request r[4];
    for (size_t i = 0; i < 4; i++) {
        tokens_fill(prompt, 100, i);
        request_submit(&w, &r[i], prompt, 100, &(request_options){.n_predict = 900, .id_slot = -1, .ignore_eos = true});
    }
    for (size_t i = 0; i < 4; i++) {
        request_wait(&w, &r[i]);
        request_check(&w, &r[i]);
        assert_int_equal(r[i].n_got, 900);
        request_free(&r[i]);
    }
    world_close(&w);
}

static void the_same_without_a_cache(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1500}, .n_slots = 4});
    int32_t prompt[MANY];
    request r[4];
    for (size_t i = 0; i < 4; i++) {
        tokens_fill(prompt, 100, i);
        request_submit(&w, &r[i], prompt, 100, &(request_options){.n_predict = 700, .id_slot = -1, .ignore_eos = true});
    }
    for (size_t i = 0; i < 4; i++) {
        request_wait(&w, &r[i]);
        request_check(&w, &r[i]);
        request_free(&r[i]);
    }
    world_close(&w);
}

static void alone_too_large_ends_truncated(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 512}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 500, 1);
    request_submit(&w, &r, prompt, 500, &(request_options){.n_predict = -1, .id_slot = -1, .ignore_eos = true});
    request_wait(&w, &r);
    request_check(&w, &r);
    assert_true(r.truncated);
    assert_int_equal(r.n_got, 13);
    request_free(&r);
    world_close(&w);
}

static void bad_requests_are_refused_with_numbers(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 512}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 600, 1);
    request_submit(&w, &r, prompt, 600, &(request_options){.n_predict = 1, .id_slot = -1});
    request_wait(&w, &r);
    assert_int_equal(r.err.code, WARM_ETOOLARGE);
    assert_non_null(strstr(r.err.text, "600"));
    assert_non_null(strstr(r.err.text, "512"));
    request_free(&r);
    request_submit(&w, &r, prompt, 10, &(request_options){.n_predict = 1, .id_slot = 7});
    request_wait(&w, &r);
    assert_int_equal(r.err.code, WARM_EINVAL);
    request_free(&r);
    request_submit(&w, &r, prompt, 0, &(request_options){.n_predict = 1, .id_slot = -1});
    request_wait(&w, &r);
    assert_false(r.failed);
    assert_int_equal(r.n_got, 0);
    request_free(&r);
    world_close(&w);
}

static void no_cache_neither_reads_nor_writes(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 2048}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 400, 1);
    request_options o = {.n_predict = 3, .id_slot = -1, .no_cache = true, .ignore_eos = true};
    for (int i = 0; i < 2; i++) {
        request_submit(&w, &r, prompt, 400, &o);
        request_wait(&w, &r);
        request_check(&w, &r);
        assert_int_equal(r.t.n_computed, 400);
        request_free(&r);
    }
    world_settle(&w);
    warm_cache_stats st;
    warm_cache_stats_get(w.cache, &st);
    assert_int_equal(st.n_blocks, 0);
    o.no_cache = false;
    request_submit(&w, &r, prompt, 400, &o);
    request_wait(&w, &r);
    assert_int_equal(r.t.n_computed, 400);
    request_free(&r);
    world_close(&w);
}

static void another_salt_shares_nothing(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 2048}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 400, 1);
    request_run(&w, &r, prompt, 400, 3);
    request_free(&r);
    request_submit(&w, &r, prompt, 400, &(request_options){.n_predict = 3, .id_slot = -1, .salt = "other", .ignore_eos = true});
    request_wait(&w, &r);
    request_check(&w, &r);
    assert_int_equal(r.t.n_computed, 400);
    request_free(&r);
    world_close(&w);
}

static void a_budget_far_too_small_is_only_slower(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 700}, .budget_bytes = 40 << 10});
    int32_t prompt[MANY];
    request r;
    for (uint64_t i = 0; i < 12; i++) {
        tokens_fill(prompt, 500, i % 3);
        request_run(&w, &r, prompt, 500, 10);
        request_free(&r);
        world_settle(&w);
        warm_cache_check(w.cache);
        assert_true(w.budget.peak_bytes <= w.budget.limit_bytes);
    }
    world_close(&w);
}

/* Flips a byte of every piece of this prompt's path. */
static void damage(world *w, const int32_t *prompt, size_t n) {
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope_fingerprint(w->engine->info->scope, NULL, NULL, fingerprint);
    warm_scope *scope;
    assert_int_equal(warm_cache_scope(w->cache, fingerprint, &scope), 0);
    warm_unit units[MANY];
    for (size_t i = 0; i < n; i++) units[i] = (warm_unit)prompt[i];
    warm_path p;
    warm_cache_lookup(w->cache, scope, units, n, &p);
    assert_true(p.n_units > 0);
    for (size_t pos = 0; pos < p.n_units;) {
        warm_piece_view v;
        warm_path_piece(w->cache, &p, pos, &v);
        ((uint8_t *)(uintptr_t)v.data)[v.bytes / 2] ^= 0x40;
        pos = v.start + v.n_units;
        warm_piece_unref(w->cache, v.piece);
    }
    warm_path_release(w->cache, &p);
}

static void damaged_bytes_are_never_restored(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 700}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 500, 1);
    request_run(&w, &r, prompt, 500, 10);
    request_free(&r);
    tokens_fill(prompt, 500, 2);
    request_run(&w, &r, prompt, 500, 10);
    request_free(&r);
    world_settle(&w);
    tokens_fill(prompt, 500, 1);
    damage(&w, prompt, 500);
    request_run(&w, &r, prompt, 500, 10);
    assert_int_equal(r.t.n_computed, 500);
    request_free(&r);
    warm_cache_stats st;
    warm_cache_stats_get(w.cache, &st);
    assert_true(st.n_damaged > 0);
    /* and it was saved again */
    tokens_fill(prompt, 500, 3);
    request_run(&w, &r, prompt, 500, 10);
    request_free(&r);
    tokens_fill(prompt, 500, 1);
    request_run(&w, &r, prompt, 500, 10);
    assert_int_equal(r.t.n_computed, 1);
    request_free(&r);
    world_close(&w);
}

static void a_load_that_fails_is_computed(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 700, .load_fails_at = 2}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    for (uint64_t i = 0; i < 3; i++) {
        tokens_fill(prompt, 600, i % 2);
        request_run(&w, &r, prompt, 600, 10);
        if (i < 2) request_free(&r);
    }
    assert_true(r.t.n_ram > 0);
    assert_true(r.t.n_computed > 1);
    request_free(&r);
    world_close(&w);
}

static void a_failed_decode_fails_its_tasks_and_no_others(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096, .decode_fails_at = 4}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 400, 1);
    request_submit(&w, &r, prompt, 400, &(request_options){.n_predict = 50, .id_slot = -1, .ignore_eos = true});
    request_wait(&w, &r);
    assert_true(r.failed);
    assert_int_equal(r.err.code, WARM_EENGINE);
    request_free(&r);
    request_run(&w, &r, prompt, 400, 50);
    request_free(&r);
    world_close(&w);
}

static void a_busy_slot_asked_for_by_name_is_waited_for(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b, c;
    tokens_fill(prompt, 100, 1);
    request_submit(&w, &a, prompt, 100, &(request_options){.n_predict = 100, .id_slot = 0, .ignore_eos = true});
    tokens_fill(prompt, 100, 2);
    request_submit(&w, &b, prompt, 100, &(request_options){.n_predict = 5, .id_slot = 0, .ignore_eos = true});
    tokens_fill(prompt, 100, 3);
    request_submit(&w, &c, prompt, 100, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
    request_wait(&w, &c);
    assert_false(a.ended);
    assert_false(b.ended);
    request_wait(&w, &b);
    assert_true(a.ended);
    request_check(&w, &a);
    request_check(&w, &b);
    request_check(&w, &c);
    request_free(&a);
    request_free(&b);
    request_free(&c);
    world_close(&w);
}

static void a_long_prefill_does_not_starve_a_stream(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 4096, .n_ubatch = 128}, .n_slots = 2, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request a, b;
    tokens_fill(prompt, 100, 1);
    request_submit(&w, &a, prompt, 100, &(request_options){.n_predict = 1000, .id_slot = -1, .ignore_eos = true});
    while (a.n_got < 3) warm_sched_step(w.sched);
    tokens_fill(prompt, 1280, 2);
    request_submit(&w, &b, prompt, 1280, &(request_options){.n_predict = 1, .id_slot = -1, .ignore_eos = true});
    size_t before = a.n_got;
    request_wait(&w, &b);
    /* at least one token of the stream for every 128 units of the prefill */
    assert_true(a.n_got - before >= 1280 / 128);
    warm_sched_cancel(w.sched, a.id);
    request_wait(&w, &a);
    request_free(&a);
    request_free(&b);
    world_close(&w);
}

static void a_stop_string_across_tokens_ends_the_text_before_it(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 50, 4);
    request_run(&w, &r, prompt, 50, 40);
    char stop[4] = {(char)(r.got[20] - 1), (char)(r.got[21] - 1), (char)(r.got[22] - 1), 0};
    bool usable = stop[0] && stop[1] && stop[2];
    request_free(&r);
    assert_true(usable);
    const char *stops[] = {stop};
    request_submit(&w, &r, prompt, 50,
                   &(request_options){.n_predict = 40, .id_slot = -1, .ignore_eos = true, .stop = stops, .n_stop = 1});
    request_wait(&w, &r);
    assert_int_equal(r.stop, WARM_STOP_WORD);
    assert_int_equal(r.n_got, 23);
    assert_int_equal(strlen(r.text), 20);
    request_free(&r);
    world_close(&w);
}

static void nothing_is_predicted_when_nothing_is_asked(void **state) {
    (void)state;
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1024}, .budget_bytes = 8 << 20});
    int32_t prompt[MANY];
    request r;
    tokens_fill(prompt, 300, 1);
    request_run(&w, &r, prompt, 300, 0);
    assert_int_equal(r.n_got, 0);
    request_free(&r);
    request_run(&w, &r, prompt, 300, 5);
    assert_int_equal(r.t.n_computed, 1);
    request_free(&r);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conversation_computes_only_what_is_new),
        cmocka_unit_test(two_conversations_on_one_slot_swap_through_memory),
        cmocka_unit_test(a_fork_keeps_both_branches),
        cmocka_unit_test(residents_match_without_any_cache),
        cmocka_unit_test(a_running_request_is_shared_by_the_next),
        cmocka_unit_test(a_busy_slot_is_waited_for_and_not_touched),
        cmocka_unit_test(a_client_that_leaves_loses_nothing_computed),
        cmocka_unit_test(generations_that_exceed_the_context_all_finish),
        cmocka_unit_test(the_same_without_a_cache),
        cmocka_unit_test(alone_too_large_ends_truncated),
        cmocka_unit_test(bad_requests_are_refused_with_numbers),
        cmocka_unit_test(no_cache_neither_reads_nor_writes),
        cmocka_unit_test(another_salt_shares_nothing),
        cmocka_unit_test(a_budget_far_too_small_is_only_slower),
        cmocka_unit_test(damaged_bytes_are_never_restored),
        cmocka_unit_test(a_load_that_fails_is_computed),
        cmocka_unit_test(a_failed_decode_fails_its_tasks_and_no_others),
        cmocka_unit_test(a_busy_slot_asked_for_by_name_is_waited_for),
        cmocka_unit_test(a_long_prefill_does_not_starve_a_stream),
        cmocka_unit_test(a_stop_string_across_tokens_ends_the_text_before_it),
        cmocka_unit_test(nothing_is_predicted_when_nothing_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
