/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_slot_state.c - slots saved to files, restored and erased, for every kind of state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "sched_faults.h"
#include "sched_world.h"
#include "store/slot_io.h"

enum { MANY = 4096, BUDGET = 8 << 20 };

static char folder[64];

static const enum warm_state_kind kinds[] = {WARM_STATE_RANGES, WARM_STATE_WINDOW, WARM_STATE_RANGES_SNAPSHOTS,
                                             WARM_STATE_SNAPSHOTS, WARM_STATE_WHOLE};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static world_options options(enum warm_state_kind kind) {
    return world_of_kind(kind, (world_options){.n_slots = 2, .budget_bytes = BUDGET, .slot_dir = folder});
}

/* The prompt of r, what was answered, and `more` other tokens. */
static size_t next_turn(int32_t *prompt, const request *r, size_t more, uint64_t seed) {
    memcpy(prompt, r->prompt, r->n_prompt * sizeof *prompt);
    memcpy(prompt + r->n_prompt, r->got, r->n_got * sizeof *prompt);
    tokens_fill(prompt + r->n_prompt + r->n_got, more, seed);
    return r->n_prompt + r->n_got + more;
}

static void run_in(world *w, request *r, const int32_t *prompt, size_t n, int32_t n_predict, int32_t id_slot) {
    request_submit(w, r, prompt, n, &(request_options){.n_predict = n_predict, .id_slot = id_slot, .ignore_eos = true});
    request_wait(w, r);
    request_check(w, r);
}

static size_t computed(world *w, const int32_t *prompt, size_t n) {
    request r;
    run_in(w, &r, prompt, n, 5, -1);
    size_t count = r.t.n_computed;
    request_free(&r);
    return count;
}

static void assert_done(const warm_slot_result *r) {
    if (r->err.code) fail_msg("%s", r->err.text);
}

static void assert_refused(const warm_slot_result *r, int code, const char *says) {
    if (r->err.code != code || !strstr(r->err.text, says))
        fail_msg("%d '%s', expected %d '%s'", r->err.code, r->err.text, code, says);
}

static void a_restored_slot_resumes_like_a_live_one(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY], again[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 1000, 1);
        run_in(&w, &r, prompt, 1000, 40, 0);
        memcpy(again, prompt, sizeof again);
        size_t n = next_turn(prompt, &r, 30, 2), kept = r.n_prompt + r.n_got - 1;
        request_free(&r);
        warm_slot_result saved = order_run(&w, WARM_SLOT_SAVE, 0, "slot");
        assert_done(&saved);
        assert_int_equal(saved.n_units, kept);
        size_t live = computed(&w, prompt, n);
        assert_int_equal(live, n - kept);
        world_close(&w);

        world_open(&w, &o);
        warm_slot_result restored = order_run(&w, WARM_SLOT_RESTORE, 1, "slot");
        assert_done(&restored);
        assert_int_equal(restored.n_units, kept);
        assert_int_equal(restored.n_bytes, saved.n_bytes);
        warm_cache_check(w.cache);
        assert_int_equal(computed(&w, prompt, n), live);
        /* The same prompt again, whose answer is another one this time. */
        assert_int_equal(computed(&w, again, 1000), 1);
        world_close(&w);
    }
}

static void a_slot_can_be_saved_when_its_state_has_left_the_context(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        o.sim.n_ctx = 800;
        int32_t prompt[MANY], other[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 600, 3);
        run_in(&w, &r, prompt, 600, 10, 0);
        size_t n = next_turn(prompt, &r, 20, 4);
        request_free(&r);
        tokens_fill(other, 600, 5);
        run_in(&w, &r, other, 600, 5, 1);
        request_free(&r);
        warm_slot_result saved = order_run(&w, WARM_SLOT_SAVE, 0, "left");
        assert_done(&saved);
        /* Whose end was not worth a snapshot when it ended goes on from the end of its prompt. */
        assert_true(saved.n_units >= 599);
        world_close(&w);
        world_open(&w, &o);
        warm_slot_result restored = order_run(&w, WARM_SLOT_RESTORE, 0, "left");
        assert_done(&restored);
        assert_int_equal(computed(&w, prompt, n), n - saved.n_units);
        world_close(&w);
    }
}

static void a_slot_is_restored_beside_pieces_of_another_size(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (int coarse = 0; coarse < 2; coarse++) {
            world w;
            world_options o = options(kinds[k]);
            int32_t prompt[MANY], other[MANY];
            request r;
            o.slice_ns = coarse ? 100000000 : 1; /* pieces of a whole block, or as small as they come */
            world_open(&w, &o);
            tokens_fill(prompt, 900, 6);
            run_in(&w, &r, prompt, 900, 20, 0);
            size_t n = next_turn(prompt, &r, 20, 7);
            request_free(&r);
            warm_slot_result saved = order_run(&w, WARM_SLOT_SAVE, 0, "pieces");
            assert_done(&saved);
            world_close(&w);
            /* The tree has a tail that the file goes on from, or a branch that left it within a block. */
            for (int branch = 0; branch < 2; branch++) {
                o.slice_ns = coarse ? 1 : 100000000;
                world_open(&w, &o);
                memcpy(other, prompt, sizeof other);
                if (branch) tokens_fill(other + 600, 200, 8);
                run_in(&w, &r, other, branch ? 800 : 630, 3, 1);
                request_free(&r);
                world_settle(&w);
                warm_slot_result restored = order_run(&w, WARM_SLOT_RESTORE, 0, "pieces");
                assert_done(&restored);
                warm_cache_check(w.cache);
                assert_int_equal(computed(&w, prompt, n), n - saved.n_units);
                warm_cache_check(w.cache);
                world_close(&w);
            }
        }
    }
}

static void a_conversation_that_another_slot_goes_on_with_is_saved(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 700, 9);
        run_in(&w, &r, prompt, 700, 10, 0);
        size_t n = next_turn(prompt, &r, 50, 10);
        request_free(&r);
        run_in(&w, &r, prompt, n, 10, 1);
        request_free(&r);
        world_settle(&w);
        warm_slot_result saved = order_run(&w, WARM_SLOT_SAVE, 0, "shared");
        assert_done(&saved);
        assert_true(saved.n_units >= 699 && saved.n_units <= 709);
        world_close(&w);
        world_open(&w, &o);
        warm_slot_result restored = order_run(&w, WARM_SLOT_RESTORE, 0, "shared");
        assert_done(&restored);
        assert_int_equal(restored.n_units, saved.n_units);
        assert_true(computed(&w, prompt, n) <= n - saved.n_units);
        world_close(&w);
    }
}

static void an_order_waits_for_its_slot(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY];
    request r;
    world_open(&w, &o);
    tokens_fill(prompt, 300, 11);
    request_submit(&w, &r, prompt, 300, &(request_options){.n_predict = 50, .id_slot = 0, .ignore_eos = true});
    (void)warm_sched_step(w.sched);
    warm_slot_result saved = order_run(&w, WARM_SLOT_SAVE, 0, "waits");
    assert_done(&saved);
    assert_true(r.ended);
    assert_int_equal(saved.n_units, 349);
    request_free(&r);
    world_close(&w);
}

static void an_empty_slot_can_be_saved_and_restored(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        world_open(&w, &o);
        warm_slot_result r = order_run(&w, WARM_SLOT_SAVE, 1, "empty");
        assert_done(&r);
        assert_int_equal(r.n_units, 0);
        r = order_run(&w, WARM_SLOT_RESTORE, 0, "empty");
        assert_done(&r);
        assert_int_equal(r.n_units, 0);
        r = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
        assert_done(&r);
        world_close(&w);
    }
}

static void an_erased_conversation_is_not_found_again(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY], other[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 800, 12);
        run_in(&w, &r, prompt, 800, 10, 0);
        size_t n = next_turn(prompt, &r, 20, 13);
        request_free(&r);
        memcpy(other, prompt, sizeof other);
        tokens_fill(other + 400, 300, 14);
        run_in(&w, &r, other, 700, 10, 1);
        request_free(&r);
        world_settle(&w);
        warm_slot_result erased = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
        assert_done(&erased);
        assert_int_equal(erased.n_units, 809);
        warm_cache_check(w.cache);
        /* The other one has the first 400 units, too, and is still there. */
        assert_int_equal(computed(&w, other, 700), 1);
        assert_true(computed(&w, prompt, n) >= n - 400);
        erased = order_run(&w, WARM_SLOT_SAVE, 0, "erased");
        world_close(&w);
    }
}

static void what_nobody_shares_is_erased_from_the_first_unit_on(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 800, 15);
        for (int turn = 0; turn < 3; turn++) {
            run_in(&w, &r, prompt, 800 + (size_t)turn * 40, 10, 0);
            (void)next_turn(prompt, &r, 30, 16);
            request_free(&r);
        }
        warm_slot_result erased = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
        assert_done(&erased);
        warm_cache_stats st;
        warm_cache_stats_get(w.cache, &st);
        assert_int_equal(st.n_blocks, 0);
        assert_int_equal(st.n_snapshots, 0);
        assert_int_equal(computed(&w, prompt, 900), 900);
        world_close(&w);
    }
}

static void a_file_of_another_model_changes_nothing(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY];
    request r;
    world_open(&w, &o);
    tokens_fill(prompt, 300, 17);
    run_in(&w, &r, prompt, 300, 5, 0);
    request_free(&r);
    warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "model");
    assert_done(&x);
    world_close(&w);

    o = options(WARM_STATE_RANGES_SNAPSHOTS);
    world_open(&w, &o);
    run_in(&w, &r, prompt, 100, 5, 0);
    x = order_run(&w, WARM_SLOT_RESTORE, 0, "model");
    assert_refused(&x, WARM_EINVAL, "of another kind");
    x = order_run(&w, WARM_SLOT_RESTORE, 0, "nothing");
    assert_refused(&x, WARM_ENOTFOUND, "there is no file 'nothing'");
    x = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
    assert_int_equal(x.n_units, 104);
    request_free(&r);
    world_close(&w);

    o = options(WARM_STATE_RANGES);
    o.sim.unit_bytes = 96;
    world_open(&w, &o);
    x = order_run(&w, WARM_SLOT_RESTORE, 0, "model");
    assert_refused(&x, WARM_EINVAL, "size that this model's state has");
    world_close(&w);

    o = options(WARM_STATE_RANGES);
    o.sim.n_ctx = 256;
    world_open(&w, &o);
    x = order_run(&w, WARM_SLOT_RESTORE, 0, "model");
    assert_refused(&x, WARM_ETOOLARGE, "304 tokens do not fit into the context of 256");
    warm_cache_stats st;
    warm_cache_stats_get(w.cache, &st);
    assert_int_equal(st.n_blocks, 0);
    world_close(&w);
}

static void a_file_that_the_cache_has_no_room_for_is_an_error(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        if (!warm_state_has_ranges(kinds[k])) continue;
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 2000, 18);
        run_in(&w, &r, prompt, 2000, 5, 0);
        request_free(&r);
        warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "large");
        assert_done(&x);
        world_close(&w);
        o.budget_bytes = 128 << 10;
        world_open(&w, &o);
        run_in(&w, &r, prompt, 100, 5, 1);
        request_free(&r);
        world_settle(&w);
        x = order_run(&w, WARM_SLOT_RESTORE, 0, "large");
        assert_refused(&x, WARM_EFULL, "no room");
        warm_cache_check(w.cache);
        warm_cache_stats st;
        warm_cache_stats_get(w.cache, &st);
        assert_int_equal(st.n_evicted, 0);
        x = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
        assert_int_equal(x.n_units, 0);
        assert_int_equal(computed(&w, prompt, 100), 1);
        world_close(&w);
    }
}

static void without_a_cache_slots_are_neither_saved_nor_restored(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    o.budget_bytes = 0;
    world_open(&w, &o);
    warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "off");
    assert_refused(&x, WARM_ENOTSUP, "--cache-ram");
    x = order_run(&w, WARM_SLOT_RESTORE, 0, "off");
    assert_refused(&x, WARM_ENOTSUP, "--cache-ram");
    x = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
    assert_done(&x);
    x = order_run(&w, WARM_SLOT_ERASE, 2, NULL);
    assert_refused(&x, WARM_EINVAL, "there is no slot 2");
    world_close(&w);
}

static void count_answer(void *ud, const warm_slot_result *r) {
    (void)r;
    ++*(unsigned *)ud;
}

/* Each allocation of an order fails in turn; then it is given again. */
static void an_order_without_memory_can_be_given_again(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        tokens_fill(prompt, 300, 24);
        for (int verb = WARM_SLOT_SAVE; verb <= WARM_SLOT_RESTORE; verb++) {
            warm_slot_result x = {.err.code = 1};
            for (uint64_t i = 1; x.err.code; i++) {
                world_open(&w, &o);
                if (verb == WARM_SLOT_SAVE) {
                    run_in(&w, &r, prompt, 300, 10, 0);
                    request_free(&r);
                    world_settle(&w);
                }
                (void)warm_alloc_fail_at(i);
                x = order_run(&w, (enum warm_slot_verb)verb, 0, "memory");
                (void)warm_alloc_fail_at(0);
                assert_true(!x.err.code || x.err.code == WARM_ENOMEM || x.err.code == WARM_EFULL);
                warm_slot_result again = order_run(&w, (enum warm_slot_verb)verb, 0, "memory");
                assert_done(&again);
                assert_true(again.n_units >= 299);
                if (!x.err.code && verb == WARM_SLOT_RESTORE) assert_int_equal(x.n_units, again.n_units);
                assert_int_equal(computed(&w, prompt, 300), 1);
                world_close(&w);
                assert_true(i < 1000);
            }
        }
    }
}

static void what_is_damaged_after_a_restore_is_never_computed_on(void **state) {
    (void)state;
    size_t again = 0;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        tokens_fill(prompt, 600, 1);
        world_open(&w, &o);
        run_in(&w, &r, prompt, 600, 1, 0);
        request_free(&r);
        warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "slot");
        assert_done(&x);
        world_close(&w);
        world_open(&w, &o);
        x = order_run(&w, WARM_SLOT_RESTORE, 0, "slot");
        assert_done(&x);
        warm_rng rng = {k};
        for (int i = 0; i < 20; i++) faults_damage(&w, &rng, prompt, 600);
        again += computed(&w, prompt, 600) - 1; /* and the answer was the right one */
        world_close(&w);
    }
    assert_true(again > 0);
}

struct pending {
    warm_slot_result result;
    bool out;
};

static void on_pending(void *ud, const warm_slot_result *r) {
    struct pending *x = ud;
    assert_true(x->out);
    *x = (struct pending){.result = *r};
}

/* Requests and orders in any order, through a cache that has not room for all of it: each is answered, and each answer is the right one. */
static void orders_and_requests_do_not_spoil_each_other(void **state) {
    (void)state;
    enum { SLOTS = 3, ROUNDS = 60, DOCS = 5 };
    static const char *const names[] = {"mix-0", "mix-1"};
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        o.n_slots = SLOTS;
        o.n_threads = 2;
        o.budget_bytes = 400 << 10;
        o.sim.n_ctx = 2048;
        world_open(&w, &o);
        warm_rng rng = {k + 1};
        unsigned n_done = 0;
        for (int round = 0; round < ROUNDS; round++) {
            request r[SLOTS];
            struct pending orders[SLOTS];
            int32_t prompt[MANY];
            for (int i = 0; i < SLOTS; i++) {
                size_t n = 50 + warm_rng_below(&rng, 500), doc = warm_rng_below(&rng, DOCS), own = warm_rng_below(&rng, 60);
                tokens_fill(prompt, n, doc);
                tokens_fill(prompt + n, own, (uint64_t)round * SLOTS + (uint64_t)i);
                request_submit(
                    &w, &r[i], prompt, n + own,
                    &(request_options){.n_predict = 8, .id_slot = (int32_t)warm_rng_below(&rng, SLOTS), .ignore_eos = true});
                for (size_t steps = warm_rng_below(&rng, 4); steps--;) (void)warm_sched_step(w.sched);
                orders[i] = (struct pending){.out = true};
                warm_slot_order x = {.verb = (enum warm_slot_verb)warm_rng_below(&rng, 3),
                                     .id_slot = (int32_t)warm_rng_below(&rng, SLOTS),
                                     .name = names[warm_rng_below(&rng, 2)],
                                     .done = on_pending,
                                     .ud = &orders[i]};
                warm_sched_slot_order(w.sched, &x);
            }
            for (int i = 0; i < SLOTS; i++) {
                request_wait(&w, &r[i]);
                request_check(&w, &r[i]);
                request_free(&r[i]);
            }
            for (int i = 0; i < SLOTS; i++) {
                while (orders[i].out) (void)warm_sched_step(w.sched);
                int code = orders[i].result.err.code;
                assert_true(!code || code == WARM_ENOTFOUND || code == WARM_EFULL || code == WARM_EAGAIN);
                n_done += !code;
            }
            warm_cache_check(w.cache);
        }
        assert_true(n_done > ROUNDS);
        world_close(&w);
        for (int i = 0; i < 2; i++) { /* the next kind could not read them */
            char path[128];
            snprintf(path, sizeof path, "%s/%s", folder, names[i]);
            unlink(path);
        }
    }
}

static void what_is_under_way_when_the_scheduler_ends_is_answered(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_WINDOW);
    o.n_threads = 1;
    int32_t prompt[MANY];
    request r;
    world_open(&w, &o);
    tokens_fill(prompt, 500, 19);
    run_in(&w, &r, prompt, 500, 5, 0);
    request_free(&r);
    warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "ends");
    assert_done(&x);
    world_close(&w);
    for (int steps = 0; steps < 6; steps++) {
        world_open(&w, &o);
        unsigned n_answers = 0;
        warm_slot_order order = {.verb = WARM_SLOT_RESTORE, .id_slot = 0, .name = "ends", .done = count_answer, .ud = &n_answers};
        warm_sched_slot_order(w.sched, &order);
        for (int i = 0; i < steps; i++) (void)warm_sched_step(w.sched);
        world_close(&w);
        assert_int_equal(n_answers, 1);
    }
}

/* Files of version 1 of the format, as they were written when that was new. If they are refused, or do not go on where they ended, so do those that
 * users have: then the version, or the state layout, has to change. */
static void files_of_the_first_version_are_restored(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum warm_state_kind kind;
    } files[] = {{"slot-v1-window.bin", WARM_STATE_WINDOW}, {"slot-v1-snapshots.bin", WARM_STATE_RANGES_SNAPSHOTS}};
    const char *here = strstr(__FILE__, "test_slot_state.c");
    assert_non_null(here);
    char source[256];
    snprintf(source, sizeof source, "%.*s", (int)(here - __FILE__), __FILE__);
    for (size_t i = 0; i < 2; i++) {
        world w;
        int32_t prompt[MANY];
        request r;
        world_options o =
            world_of_kind(files[i].kind, (world_options){.sim = {.unit_bytes = 16, .window_unit_bytes = 16, .snapshot_bytes = 64},
                                                         .budget_bytes = BUDGET,
                                                         .slot_dir = source});
        world_open(&w, &o);
        tokens_fill(prompt, 40, 20);
        warm_slot_result restored = order_run(&w, WARM_SLOT_RESTORE, 0, files[i].name);
        assert_done(&restored);
        assert_int_equal(restored.n_units, 49);
        run_in(&w, &r, prompt, 40, 10, 0);
        assert_int_equal(r.t.n_computed, 1);
        size_t n = next_turn(prompt, &r, 5, 21);
        request_free(&r);
        assert_int_equal(computed(&w, prompt, n), 6);
        world_close(&w);
    }
}

/* Whatever byte of a file is wrong: it is refused, and the slot and the cache are as before. */
static void a_damaged_file_changes_nothing(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        request r;
        world_open(&w, &o);
        tokens_fill(prompt, 100, 22);
        run_in(&w, &r, prompt, 100, 5, 0);
        request_free(&r);
        warm_slot_result x = order_run(&w, WARM_SLOT_SAVE, 0, "damaged");
        assert_done(&x);
        world_close(&w);
        char path[128];
        snprintf(path, sizeof path, "%s/damaged", folder);
        world_open(&w, &o);
        tokens_fill(prompt, 60, 23);
        run_in(&w, &r, prompt, 60, 5, 0);
        request_free(&r);
        world_settle(&w);
        warm_cache_stats before, after;
        warm_cache_stats_get(w.cache, &before);
        for (uint64_t at = 0; at < x.n_bytes; at += 41) {
            FILE *f = fopen(path, "r+b");
            assert_non_null(f);
            assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
            int byte = fgetc(f);
            assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
            fputc(byte ^ 0x40, f);
            fflush(f);
            warm_slot_result bad = order_run(&w, WARM_SLOT_RESTORE, 0, "damaged");
            assert_true(bad.err.code == WARM_ECORRUPT || bad.err.code == WARM_EINVAL);
            assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
            fputc(byte, f);
            fclose(f);
        }
        warm_cache_stats_get(w.cache, &after);
        assert_int_equal(after.n_blocks, before.n_blocks);
        assert_int_equal(after.budget_used_bytes, before.budget_used_bytes);
        warm_slot_result erased = order_run(&w, WARM_SLOT_ERASE, 0, NULL);
        assert_int_equal(erased.n_units, 64);
        world_close(&w);
    }
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/warmslot-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const names[] = {"slot",   "left",  "pieces", "shared", "waits",   "empty",
                                        "erased", "model", "large",  "ends",   "damaged", "memory"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder); /* nothing else is left in it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restored_slot_resumes_like_a_live_one),
        cmocka_unit_test(a_slot_can_be_saved_when_its_state_has_left_the_context),
        cmocka_unit_test(a_slot_is_restored_beside_pieces_of_another_size),
        cmocka_unit_test(a_conversation_that_another_slot_goes_on_with_is_saved),
        cmocka_unit_test(an_order_waits_for_its_slot),
        cmocka_unit_test(an_empty_slot_can_be_saved_and_restored),
        cmocka_unit_test(an_erased_conversation_is_not_found_again),
        cmocka_unit_test(what_nobody_shares_is_erased_from_the_first_unit_on),
        cmocka_unit_test(a_file_of_another_model_changes_nothing),
        cmocka_unit_test(a_file_that_the_cache_has_no_room_for_is_an_error),
        cmocka_unit_test(without_a_cache_slots_are_neither_saved_nor_restored),
        cmocka_unit_test(files_of_the_first_version_are_restored),
        cmocka_unit_test(a_damaged_file_changes_nothing),
        cmocka_unit_test(an_order_without_memory_can_be_given_again),
        cmocka_unit_test(what_is_damaged_after_a_restore_is_never_computed_on),
        cmocka_unit_test(orders_and_requests_do_not_spoil_each_other),
        cmocka_unit_test(what_is_under_way_when_the_scheduler_ends_is_answered),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
