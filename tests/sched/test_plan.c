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

/* What is taken, for each alternative and what stands next to it. Computing takes 10 a unit unless said otherwise. */
enum way { COMPUTE, REUSE, FORK, LOAD, WAIT };

static enum way way_of(const warm_plan *p) {
    if (p->wait_for >= 0) return WAIT;
    if (p->n_load > p->n_device || !p->complete) return LOAD;
    if (p->seq < 0) return COMPUTE;
    return p->take_over ? REUSE : FORK;
}

struct choice {
    const char *what;
    enum way way;
    double cost;
    warm_plan_seq seqs[2];
    warm_plan_point points[2];
    double fork_ns, unit_ns, depth_ns;
    enum warm_state_kind state;
};

static const struct choice choices[] = {
    {"nothing is known", COMPUTE, 10000, .seqs = {{0}}},
    {"computing deep units takes longer", COMPUTE, 10000 + 500000, .depth_ns = 1},
    /* reuse and fork */
    {"a resident of its own", REUSE, 1000, .seqs = {{.n = 900, .n_match = 900, .n_continue = 900}}},
    {"that somebody runs", FORK, 1000, .seqs = {{.n = 900, .n_match = 900, .n_continue = 900, .running = true}}},
    {"whose copy takes less than its units", FORK, 1000 + 8999,
     .seqs = {{.n = 900, .n_match = 900, .n_continue = 900, .running = true}}, .fork_ns = 8999},
    {"whose copy takes longer", COMPUTE, 10000, .seqs = {{.n = 900, .n_match = 900, .n_continue = 900, .running = true}},
     .fork_ns = 9001},
    {"of two equal ones the resident", REUSE, 1000,
     .seqs = {{.n = 900, .n_match = 900, .n_continue = 900, .running = true}, {.n = 900, .n_match = 900, .n_continue = 900}}},
    {"a longer one whose copy is dearer than what it has more", REUSE, 1000,
     .seqs = {{.n = 950, .n_match = 950, .n_continue = 950, .running = true}, {.n = 900, .n_match = 900, .n_continue = 900}},
     .fork_ns = 501},
    {"and cheaper", FORK, 500 + 499,
     .seqs = {{.n = 950, .n_match = 950, .n_continue = 950, .running = true}, {.n = 900, .n_match = 900, .n_continue = 900}},
     .fork_ns = 499},
    /* load */
    {"a tier", LOAD, 900 + 1000, .points = {{.n = 900, .unit_ns = 1}}},
    {"as fast as computing", LOAD, 10000, .points = {{.n = 900, .unit_ns = 10}}},
    {"slower than computing", COMPUTE, 10000, .points = {{.n = 900, .unit_ns = 10.1}}},
    {"slower than computing at its start, not at depth", LOAD, 900 * 10.1 + 1000 + 95000, .points = {{.n = 900, .unit_ns = 10.1}},
     .depth_ns = 1},
    {"a snapshot that takes less than its units", LOAD, 8999 + 1000, .points = {{.n = 900, .fixed_ns = 8999}},
     .state = WARM_STATE_SNAPSHOTS},
    {"a snapshot that takes longer", COMPUTE, 10000, .points = {{.n = 900, .fixed_ns = 9001}}, .state = WARM_STATE_SNAPSHOTS},
    {"never measured: tried", LOAD, 1000, .points = {{.n = 900}}},
    {"of two tiers the faster one", LOAD, 800 + 2000, .points = {{.n = 900, .unit_ns = 9}, {.n = 800, .unit_ns = 1}}},
    {"or the one that has more", LOAD, 1350 + 1000, .points = {{.n = 900, .unit_ns = 1.5}, {.n = 800, .unit_ns = 1}}},
    {"more than a resident has",
     LOAD,
     1000 + 400,
     .seqs = {{.n = 500, .n_match = 500, .n_continue = 500}},
     {{.n = 900, .unit_ns = 1}}},
    {"not so much more that it pays",
     REUSE,
     5000,
     .seqs = {{.n = 500, .n_match = 500, .n_continue = 500}},
     {{.n = 900, .unit_ns = 1, .fixed_ns = 3601}}},
    {"cells are shared, what can't be is loaded",
     LOAD,
     1000 + 300,
     .seqs = {{.n = 950, .n_match = 900}},
     {{.n = 900, .unit_ns = 1, .fixed_ns = 300}},
     .state = WARM_STATE_WINDOW},
    /* wait */
    {"another one is on its way", WAIT, 8000 + 2000, .seqs = {{.n = 100, .n_begun = 100, .n_ahead = 900, .running = true}},
     .points = {{.n = 100}}, .fork_ns = 1000},
    {"and has all but a few units more", COMPUTE, 10000, .seqs = {{.n_ahead = 63, .running = true}}},
    {"and just enough more", WAIT, 10000, .seqs = {{.n_ahead = 64, .running = true}}},
    {"but must compute what can be loaded",
     LOAD,
     800 + 2000,
     .seqs = {{.n_ahead = 1000, .running = true}},
     {{.n = 800, .unit_ns = 1}}},
    {"but not so much that both would not take longer",
     WAIT,
     9990 + 10,
     .seqs = {{.n_ahead = 1000, .running = true}},
     {{.n = 300, .unit_ns = 1}}},
    {"but is still being loaded, for longer than it takes to compute", COMPUTE, 10000,
     .seqs = {{.n_begun = 100, .begin_ns = 10001, .n_ahead = 900, .running = true}}},
    {"and is still being loaded", WAIT, 9999 + 8000 + 1000,
     .seqs = {{.n_begun = 100, .begin_ns = 9999, .n_ahead = 900, .running = true}}},
    {"but has passed where it could be shared", COMPUTE, 10000,
     .seqs = {{.n = 901, .n_begun = 901, .n_match = 900, .n_ahead = 900, .running = true}}, .state = WARM_STATE_SNAPSHOTS},
    {"of two the one that goes further", WAIT, 10000,
     .seqs = {{.n = 100, .n_begun = 100, .n_match = 0, .n_ahead = 600, .running = true}, {.n_ahead = 900, .running = true}}},
};

static void the_cheapest_way_is_taken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {
        const struct choice *c = &choices[i];
        warm_plan p = warm_plan_make(&(warm_plan_input){.state = c->state,
                                                        .n_prompt = 1000,
                                                        .seqs = c->seqs,
                                                        .n_seqs = 2,
                                                        .n_tree_match = c->points[0].n,
                                                        .points = c->points,
                                                        .n_points = 2,
                                                        .compute = {c->unit_ns > 0 ? c->unit_ns : 10, c->depth_ns},
                                                        .fork_ns = c->fork_ns});
        if (way_of(&p) != c->way || p.cost_ns < c->cost - 0.5 || p.cost_ns > c->cost + 0.5)
            print_error("%s: way %d, cost %f\n", c->what, way_of(&p), p.cost_ns);
        assert_int_equal(way_of(&p), c->way);
        assert_float_equal(p.cost_ns, c->cost, 0.5);
    }
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
        warm_rates_decode(&r, 1, cells, 2000000 + 30 * cells + warm_rng_below(&rng, 200000));
    }
    assert_true(warm_rates_cell_ns(&r) > 27 && warm_rates_cell_ns(&r) < 33);
}

static void steps_at_one_depth_say_nothing_of_a_cell(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {5};
    for (size_t i = 0; i < 200; i++) warm_rates_decode(&r, 1, 5000 + i, 2000000 + warm_rng_below(&rng, 1000000));
    assert_true(warm_rates_cell_ns(&r) == 0);
}

/* Chunks of n units from `from` on, as a machine computes them that takes unit_ns and depth_ns, give or take a tenth. */
static void prefill(warm_rates *r, warm_rng *rng, size_t from, size_t to, size_t n, double unit_ns, double depth_ns) {
    for (size_t at = from; at < to; at += n) {
        double depth = (double)at + (double)n / 2, ns = (double)n * (unit_ns + depth_ns * depth);
        ns *= 0.9 + (double)warm_rng_below(rng, 201) / 1000;
        warm_rates_prefill(r, n, (double)n * depth, (uint64_t)ns);
    }
}

static void expect_prefill(const warm_rates *r, size_t from, size_t to, double unit_ns, double depth_ns, double within) {
    warm_prefill_cost c = warm_rates_prefill_cost(r);
    double n = (double)to - (double)from, want = n * (unit_ns + depth_ns * ((double)from + (double)to) / 2);
    assert_float_equal((float)(warm_prefill_ns(&c, from, to) / want), 1, (float)within);
}

static void prefill_is_predicted_at_depths_that_were_never_seen(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {5};
    assert_true(warm_rates_prefill_cost(&r).unit_ns == 0);
    prefill(&r, &rng, 0, 64, 64, 1000000, 100);
    expect_prefill(&r, 0, 512, 1000000, 100, 0.2); /* one chunk is enough to begin with */
    prefill(&r, &rng, 64, 8000, 512, 1000000, 100);
    expect_prefill(&r, 0, 512, 1000000, 100, 0.15);
    expect_prefill(&r, 7000, 7512, 1000000, 100, 0.1);
    expect_prefill(&r, 16000, 16064, 1000000, 100, 0.15);
}

static void what_depth_costs_is_remembered_while_prompts_are_short(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {6};
    prefill(&r, &rng, 0, 20000, 512, 1000000, 100);
    for (int i = 0; i < 2000; i++) prefill(&r, &rng, 0, 100, 100, 1000000, 100);
    expect_prefill(&r, 0, 100, 1000000, 100, 0.1);
    expect_prefill(&r, 16000, 16064, 1000000, 100, 0.2);
}

static void no_prediction_is_negative_or_nothing(void **state) {
    (void)state;
    warm_rng rng = {7};
    for (int i = 0; i < 1000; i++) {
        warm_rates r = {0};
        for (int k = 0; k < 6; k++) {
            size_t n = 64 + warm_rng_below(&rng, 448);
            warm_rates_prefill(&r, n, (double)n * (double)warm_rng_below(&rng, 30000), 1000 + warm_rng_below(&rng, 300000000));
            warm_prefill_cost c = warm_rates_prefill_cost(&r);
            assert_true(c.unit_ns > 0 && c.depth_ns >= 0);
        }
    }
}

static void a_machine_that_is_not_what_it_was_is_soon_known(void **state) {
    (void)state;
    warm_rates r = {0};
    warm_rng rng = {8};
    prefill(&r, &rng, 0, 512, 512, 100000000, 0); /* the first batch of all reads the model from the disk */
    prefill(&r, &rng, 0, 512, 64, 1000000, 0);
    expect_prefill(&r, 0, 512, 1000000, 0, 0.6);
    prefill(&r, &rng, 0, 8192, 512, 1000000, 0);
    expect_prefill(&r, 0, 512, 1000000, 0, 0.15);
    prefill(&r, &rng, 0, 512, 64, 5000000, 0);
    expect_prefill(&r, 0, 64, 5000000, 0, 0.5);
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
        cmocka_unit_test(the_cheapest_way_is_taken),
        cmocka_unit_test(cells_are_counted_once_however_often_shared),
        cmocka_unit_test(prefill_is_predicted_at_depths_that_were_never_seen),
        cmocka_unit_test(what_depth_costs_is_remembered_while_prompts_are_short),
        cmocka_unit_test(no_prediction_is_negative_or_nothing),
        cmocka_unit_test(a_machine_that_is_not_what_it_was_is_soon_known),
        cmocka_unit_test(what_a_cell_costs_is_seen_in_the_steps),
        cmocka_unit_test(steps_at_one_depth_say_nothing_of_a_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
