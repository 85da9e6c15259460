/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_plan.c - the plan, the count of cells and the measured rates: the scheduler's pure parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched/plan.h"
#include "sched/pool.h"
#include "sched/rates.h"

/* Of a kind that can be continued at any position, or (n_continue given) of another one. */
static warm_plan plan_of(enum warm_state_kind state, size_t n_prompt, const warm_plan_seq *seqs, size_t n_seqs, size_t n_tree) {
    warm_plan_seq full[8] = {0};
    for (size_t i = 0; i < n_seqs; i++) {
        full[i] = seqs[i];
        if (state == WARM_STATE_RANGES) full[i].n_continue = seqs[i].n_match < n_prompt ? seqs[i].n_match : n_prompt - 1;
    }
    warm_plan_point point = {.n = n_tree};
    return warm_plan_make(&(warm_plan_input){.state = state,
                                             .n_prompt = n_prompt,
                                             .seqs = full,
                                             .n_seqs = n_seqs,
                                             .n_tree_match = n_tree,
                                             .points = &point,
                                             .n_points = 1});
}

static warm_plan plan(size_t n_prompt, const warm_plan_seq *seqs, size_t n_seqs, size_t n_tree) {
    return plan_of(WARM_STATE_RANGES, n_prompt, seqs, n_seqs, n_tree);
}

static void an_unknown_prompt_begins_empty(void **state) {
    (void)state;
    warm_plan p = plan(100, (warm_plan_seq[]){{.n = 50, .n_match = 0}}, 1, 0);
    assert_int_equal(p.seq, -1);
    assert_int_equal(p.n_device, 0);
    assert_int_equal(p.n_load, 0);
}

static void the_longest_sequence_is_shared_and_the_rest_loaded(void **state) {
    (void)state;
    warm_plan p = plan(100, (warm_plan_seq[]){{.n = 50, .n_match = 20}, {.n = 80, .n_match = 30}}, 2, 60);
    assert_int_equal(p.seq, 1);
    assert_false(p.take_over);
    assert_int_equal(p.n_device, 30);
    assert_int_equal(p.n_load, 60);
    assert_int_equal(p.n_known, 60);
}

static void a_whole_resident_is_taken_over_a_running_one_is_not(void **state) {
    (void)state;
    warm_plan p = plan(100, (warm_plan_seq[]){{.n = 50, .n_match = 50, .running = true}, {.n = 50, .n_match = 50}}, 2, 0);
    assert_int_equal(p.seq, 1);
    assert_true(p.take_over);
    p = plan(100, (warm_plan_seq[]){{.n = 50, .n_match = 50, .running = true}}, 1, 0);
    assert_int_equal(p.seq, 0);
    assert_false(p.take_over);
}

static void the_last_unit_is_always_computed(void **state) {
    (void)state;
    warm_plan p = plan(100, (warm_plan_seq[]){{.n = 100, .n_match = 100}}, 1, 100);
    assert_int_equal(p.n_device, 99);
    assert_false(p.take_over);
    assert_int_equal(p.n_load, 99);
}

static void what_can_only_be_continued_at_its_end_is_taken_over_whole(void **state) {
    (void)state;
    warm_plan_seq seqs[] = {{.n = 90, .n_match = 80}, {.n = 40, .n_match = 40, .n_continue = 40}};
    warm_plan p = plan_of(WARM_STATE_SNAPSHOTS, 100, seqs, 2, 30);
    assert_int_equal(p.seq, 1);
    assert_true(p.take_over);
    assert_true(p.complete);
    assert_int_equal(p.n_load, 40);
    assert_int_equal(p.n_known, 80);
}

static void a_later_resume_point_in_the_tree_is_loaded_over_the_cells_that_are_there(void **state) {
    (void)state;
    warm_plan_seq seqs[] = {{.n = 90, .n_match = 80}, {.n = 40, .n_match = 40, .n_continue = 40}};
    warm_plan p = plan_of(WARM_STATE_RANGES_SNAPSHOTS, 100, seqs, 2, 70);
    assert_int_equal(p.seq, 0);
    assert_false(p.complete);
    assert_false(p.take_over);
    assert_int_equal(p.n_device, 70);
    assert_int_equal(p.n_load, 70);
    /* the end of a whole one is complete, but a load that stops half way would spoil it */
    p = plan_of(WARM_STATE_WINDOW, 100, seqs + 1, 1, 70);
    assert_true(p.complete);
    assert_false(p.take_over);
    assert_int_equal(p.n_device, 40);
    assert_int_equal(p.n_load, 70);
}

static void without_cells_of_its_own_everything_is_loaded(void **state) {
    (void)state;
    warm_plan_seq seqs[] = {{.n = 90, .n_match = 80}, {.n = 40, .n_match = 40, .n_continue = 40}};
    warm_plan p = plan_of(WARM_STATE_SNAPSHOTS, 100, seqs, 2, 70);
    assert_int_equal(p.seq, -1);
    assert_int_equal(p.n_device, 0);
    assert_int_equal(p.n_load, 70);
}

static void a_load_dearer_than_computing_is_left(void **state) {
    (void)state;
    warm_plan_point point = {.n = 60, .unit_ns = 10};
    warm_plan_input in = {.n_prompt = 100, .n_tree_match = 60, .points = &point, .n_points = 1, .compute = {.unit_ns = 5}};
    warm_plan p = warm_plan_make(&in);
    assert_int_equal(p.n_load, 0);
    assert_int_equal(p.n_known, 60);
    point.unit_ns = 4;
    assert_int_equal(warm_plan_make(&in).n_load, 60);
    in.compute.unit_ns = 0; /* not measured yet */
    assert_int_equal(warm_plan_make(&in).n_load, 60);
}

static void cells_are_counted_once_however_often_shared(void **state) {
    (void)state;
    warm_pool p;
    uint32_t a[60], b[60];
    warm_pool_init(&p, 100);
    warm_pool_take(&p, a, 60);
    for (size_t i = 0; i < 40; i++) b[i] = a[i];
    warm_pool_share(&p, b, 40);
    warm_pool_take(&p, b + 40, 20);
    assert_int_equal(warm_pool_free_cells(&p), 20);
    assert_int_equal(warm_pool_exclusive(&p, a, 60), 20);
    assert_int_equal(warm_pool_exclusive(&p, b, 60), 20);
    warm_pool_give(&p, a, 60);
    assert_int_equal(warm_pool_free_cells(&p), 40);
    assert_int_equal(warm_pool_exclusive(&p, b, 60), 60);
    warm_pool_give(&p, b, 60);
    assert_int_equal(warm_pool_free_cells(&p), 100);
    /* all of them can be had again, each once */
    uint32_t all[100], seen[100] = {0};
    warm_pool_take(&p, all, 100);
    for (size_t i = 0; i < 100; i++) assert_int_equal(seen[all[i]]++, 0);
    warm_pool_deinit(&p);
}

static void what_a_cell_costs_is_seen_in_the_steps(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {5};
    assert_true(warm_rates_cell_ns(&r) == 0);
    for (int i = 0; i < 200; i++) {
        size_t cells = 1000 + warm_rng_below(&rng, 30000);
        warm_rates_decode(&r, cells, 2000000 + 30 * cells + warm_rng_below(&rng, 200000));
    }
    assert_true(warm_rates_cell_ns(&r) > 27 && warm_rates_cell_ns(&r) < 33);
}

static void steps_at_one_depth_say_nothing_of_a_cell(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {5};
    for (size_t i = 0; i < 200; i++) warm_rates_decode(&r, 5000 + i, 2000000 + warm_rng_below(&rng, 1000000));
    assert_true(warm_rates_cell_ns(&r) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_prompt_begins_empty),
        cmocka_unit_test(the_longest_sequence_is_shared_and_the_rest_loaded),
        cmocka_unit_test(a_whole_resident_is_taken_over_a_running_one_is_not),
        cmocka_unit_test(the_last_unit_is_always_computed),
        cmocka_unit_test(what_can_only_be_continued_at_its_end_is_taken_over_whole),
        cmocka_unit_test(a_later_resume_point_in_the_tree_is_loaded_over_the_cells_that_are_there),
        cmocka_unit_test(without_cells_of_its_own_everything_is_loaded),
        cmocka_unit_test(a_load_dearer_than_computing_is_left),
        cmocka_unit_test(cells_are_counted_once_however_often_shared),
        cmocka_unit_test(what_a_cell_costs_is_seen_in_the_steps),
        cmocka_unit_test(steps_at_one_depth_say_nothing_of_a_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
