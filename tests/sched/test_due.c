/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_due.c - where a prefill stops for resume points, and where messages are seen to begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/due.h"
#include "sched/marks.h"
#include "sim/sim.h"

static void expect(const warm_due_input *in, const size_t *at, unsigned n) {
    warm_due d;
    warm_due_make(in, &d);
    for (unsigned i = 0; i < n && i < d.n; i++) assert_int_equal(d.at[i].pos, at[i]);
    assert_int_equal(d.n, n);
}

static void the_end_and_a_branch_are_always_due(void **state) {
    (void)state;
    size_t marks[] = {10}; /* too near to the start to be one, but messages are recognised here: no distances instead */
    expect(&(warm_due_input){.n_prompt = 1000, .from = 0, .branch = 300, .marks = (size_t[]){500}, .n_marks = 1},
           (size_t[]){300, 500, 999}, 3);
    expect(&(warm_due_input){.n_prompt = 1000, .from = 300, .branch = 300, .marks = (size_t[]){500}, .n_marks = 1},
           (size_t[]){500, 999}, 2);
    expect(&(warm_due_input){.n_prompt = 100, .from = 99}, NULL, 0);
    expect(&(warm_due_input){.n_prompt = 100, .from = 0, .marks = marks, .n_marks = 1}, (size_t[]){99}, 1);
    expect(&(warm_due_input){.n_prompt = 1, .from = 0}, NULL, 0);
}

static void of_close_beginnings_of_messages_the_earlier_stays_and_of_many_the_last_four(void **state) {
    (void)state;
    size_t marks[] = {70, 100, 133, 134, 250, 400, 500, 600, 700};
    expect(&(warm_due_input){.n_prompt = 650, .from = 0, .marks = marks, .n_marks = 9}, (size_t[]){250, 400, 500, 600, 649}, 5);
    expect(&(warm_due_input){.n_prompt = 240, .from = 0, .marks = marks, .n_marks = 9}, (size_t[]){70, 134, 239}, 3);
    expect(&(warm_due_input){.n_prompt = 240, .from = 40, .marks = marks, .n_marks = 9}, (size_t[]){133, 239}, 2);
}

static void without_messages_distances_from_the_end_grow(void **state) {
    (void)state;
    expect(&(warm_due_input){.n_prompt = 10001, .from = 0}, (size_t[]){5904, 8976, 9744, 10000}, 4);
    expect(&(warm_due_input){.n_prompt = 10001, .from = 9000}, (size_t[]){9744, 10000}, 2);
}

static void a_chunk_ends_at_the_next_due_position(void **state) {
    (void)state;
    warm_due d;
    warm_due_make(&(warm_due_input){.n_prompt = 1000, .branch = 300, .marks = (size_t[]){500}, .n_marks = 1}, &d);
    assert_int_equal(warm_due_next(&d, 0, 1000), 300);
    assert_int_equal(warm_due_next(&d, 300, 1000), 500);
    assert_int_equal(warm_due_next(&d, 300, 450), 450);
    assert_int_equal(warm_due_next(&d, 999, 1000), 1000);
    assert_true(warm_due_prior(&d, 500) > 0);
    assert_true(warm_due_prior(&d, 999) > warm_due_prior(&d, 500));
    assert_true(warm_due_prior(&d, 501) == 0);
}

static void what_costs_much_is_taken_seldom(void **state) {
    (void)state;
    assert_int_equal(warm_due_gap(0, 0), 64);
    assert_int_equal(warm_due_gap(1e6, 1e6), 64);
    assert_int_equal(warm_due_gap(100e6, 1e6), 400);
    size_t marks[] = {200, 500, 700, 950};
    expect(&(warm_due_input){.n_prompt = 1000, .branch = 600, .marks = marks, .n_marks = 4, .gap = 400}, (size_t[]){600, 999}, 2);
    expect(&(warm_due_input){.n_prompt = 1000, .marks = marks, .n_marks = 4, .gap = 400}, (size_t[]){500, 950, 999}, 3);
}

/* The simulated engine's tokens are bytes. */
static size_t marks_of(const char *text, size_t *out, size_t max) {
    warm_engine *e;
    int32_t *tokens;
    size_t n, *marks, n_marks;
    assert_int_equal(warm_sim_open(&(warm_sim_options){0}, &e), 0);
    assert_int_equal(e->text->tokenize(e, text, strlen(text), false, false, &tokens, &n, NULL), 0);
    assert_int_equal(warm_marks_find(e, tokens, n, &marks, &n_marks), 0);
    assert_true(n_marks <= max);
    if (n_marks) memcpy(out, marks, n_marks * sizeof *marks);
    free(marks);
    free(tokens);
    e->ops->close(e);
    return n_marks;
}

static void messages_begin_behind_blank_lines(void **state) {
    (void)state;
    size_t at[8];
    assert_int_equal(marks_of("You help.\n\nUser: hi\n\nhow are you\n\n<tool>x", at, 8), 2);
    assert_int_equal(at[0], 8);
    assert_int_equal(at[1], 31);
    assert_int_equal(marks_of("one line: no message\nUser: no blank line before it", at, 8), 0);
    assert_int_equal(marks_of("\n\nfar too many words to be the name of one: no", at, 8), 0);
    assert_int_equal(marks_of("", at, 8), 0);
    assert_int_equal(marks_of("\n\n", at, 8), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_and_a_branch_are_always_due),
        cmocka_unit_test(of_close_beginnings_of_messages_the_earlier_stays_and_of_many_the_last_four),
        cmocka_unit_test(without_messages_distances_from_the_end_grow),
        cmocka_unit_test(a_chunk_ends_at_the_next_due_position),
        cmocka_unit_test(what_costs_much_is_taken_seldom),
        cmocka_unit_test(messages_begin_behind_blank_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
