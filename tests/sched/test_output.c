/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_output.c - what of a generated text may be given out, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched/output.h"

/* Feeds the pieces (NULL ends them), one by one; out receives what was certain after each, joined by '|'. */
static enum warm_output_end feed(warm_output *o, const char *const *pieces, char *out, size_t *word) {
    enum warm_output_end end = WARM_OUTPUT_GOES_ON;
    out[0] = 0;
    for (size_t i = 0; pieces[i] && end == WARM_OUTPUT_GOES_ON; i++) {
        end = warm_output_add(o, pieces[i], strlen(pieces[i]), word);
        if (end != WARM_OUTPUT_GOES_ON) warm_output_finish(o);
        size_t len;
        char *text = warm_output_take(o, &len);
        assert_int_equal(len, strlen(text));
        if (i) strcat(out, "|");
        strcat(out, text);
        free(text);
    }
    return end;
}

static void check(char **stop, size_t n_stop, int n_indent, const char *const *pieces, enum warm_output_end end, const char *want) {
    warm_output o;
    char out[256];
    size_t word = 99;
    warm_output_init(&o, stop, n_stop, n_indent, 1 << 20);
    assert_int_equal(feed(&o, pieces, out, &word), end);
    assert_string_equal(out, want);
    if (end == WARM_OUTPUT_STOP_WORD) assert_true(word < n_stop);
    warm_output_deinit(&o);
}

static void a_character_cut_between_tokens_waits(void **state) {
    (void)state;
    check(NULL, 0, 0, (const char *[]){"a\xe2", "\x82", "\xac!", NULL}, WARM_OUTPUT_GOES_ON, "a||\xe2\x82\xac!");
}

static void a_byte_that_begins_nothing_does_not_wait(void **state) {
    (void)state;
    check(NULL, 0, 0, (const char *[]){"a\xff", "b", NULL}, WARM_OUTPUT_GOES_ON, "a\xff|b");
}

static void a_stop_string_within_one_token(void **state) {
    (void)state;
    check((char *[]){"END"}, 1, 0, (const char *[]){"one", " END two", NULL}, WARM_OUTPUT_STOP_WORD, "one| ");
}

static void a_stop_string_across_tokens_is_held_back_from_its_first_byte(void **state) {
    (void)state;
    check((char *[]){"END"}, 1, 0, (const char *[]){"oneE", "N", "D", NULL}, WARM_OUTPUT_STOP_WORD, "one||");
}

static void what_only_looked_like_a_stop_string_is_given_out(void **state) {
    (void)state;
    check((char *[]){"END"}, 1, 0, (const char *[]){"E", "N", "J", "x", NULL}, WARM_OUTPUT_GOES_ON, "||ENJ|x");
    check((char *[]){"aab"}, 1, 0, (const char *[]){"a", "a", "a", "b", NULL}, WARM_OUTPUT_STOP_WORD, "||a|");
}

static void the_earliest_of_several_stop_strings_counts(void **state) {
    (void)state;
    warm_output o;
    char out[64];
    size_t word = 99;
    warm_output_init(&o, (char *[]){"two", "one"}, 2, 0, 1 << 20);
    assert_int_equal(feed(&o, (const char *[]){"0 one two", NULL}, out, &word), WARM_OUTPUT_STOP_WORD);
    assert_string_equal(out, "0 ");
    assert_int_equal(word, 1);
    warm_output_deinit(&o);
}

static void a_line_indented_less_ends_the_text_before_it(void **state) {
    (void)state;
    check(NULL, 0, 4, (const char *[]){"    a\n", "    ", "b\n", "  ", "c", NULL}, WARM_OUTPUT_INDENT, "    a\n||    b\n||");
    /* a line break within blanks begins another line */
    check(NULL, 0, 2, (const char *[]){"a\n", "\n", "  b", "\n", "c", NULL}, WARM_OUTPUT_INDENT, "a\n|\n|  b|\n|");
}

static void new_lines_are_noticed(void **state) {
    (void)state;
    warm_output o;
    size_t word;
    warm_output_init(&o, NULL, 0, 0, 1 << 20);
    warm_output_add(&o, "abc", 3, &word);
    assert_false(o.has_new_line);
    warm_output_add(&o, "d\ne", 3, &word);
    assert_true(o.has_new_line);
    warm_output_deinit(&o);
}

static void an_empty_token_changes_nothing(void **state) {
    (void)state;
    check((char *[]){"END"}, 1, 2, (const char *[]){"", "", NULL}, WARM_OUTPUT_GOES_ON, "|");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_character_cut_between_tokens_waits),
        cmocka_unit_test(a_byte_that_begins_nothing_does_not_wait),
        cmocka_unit_test(a_stop_string_within_one_token),
        cmocka_unit_test(a_stop_string_across_tokens_is_held_back_from_its_first_byte),
        cmocka_unit_test(what_only_looked_like_a_stop_string_is_given_out),
        cmocka_unit_test(the_earliest_of_several_stop_strings_counts),
        cmocka_unit_test(a_line_indented_less_ends_the_text_before_it),
        cmocka_unit_test(new_lines_are_noticed),
        cmocka_unit_test(an_empty_token_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
