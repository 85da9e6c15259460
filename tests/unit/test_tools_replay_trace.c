/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_tools_replay_trace.c - traces: what is read of them, which blocks are the same, and who asks when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "replay_fixture.h"
#include "tools/replay_drive.h"

enum { KEYS_MAX = 16 };

static const warm_trace_shape whole = {.scale = 1, .vocab = 1000};

static warm_trace two_sessions(void) {
    warm_trace t = {0};
    warm_err err = {0};
    assert_int_equal(add_line(&t, first_session, &err), 0);
    assert_int_equal(add_line(&t, second_session, &err), 0);
    assert_int_equal(warm_trace_end(&t, &err), 0);
    return t;
}

static size_t keys_of(const warm_trace *t, size_t request, uint64_t repeat, uint64_t *out) {
    size_t n = 0;
    for (warm_trace_blocks b = warm_trace_blocks_of(t, request, repeat); warm_trace_blocks_next(&b, &out[n]);) n++;
    return n;
}

static size_t common(const uint64_t *a, const uint64_t *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] == b[i]) i++;
    return i;
}

static void a_session_has_its_sub_agents_beside_it(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    assert_int_equal(t.n_sessions, 2);
    assert_int_equal(t.n_agents, 3);
    assert_int_equal(t.n_requests, 6);
    assert_int_equal(t.agents[1].parent, 0);
    assert_int_equal(t.agents[1].after, 0);
    assert_int_equal(t.agents[1].n, 2);
    assert_true(t.agents[1].start_s == 10);
    assert_int_equal(t.requests[1].n_in, 5 * 64);
    warm_trace_free(&t);
}

static void blocks_are_the_sessions_own_but_for_the_prefix_that_equal_numbers_share(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    uint64_t a[KEYS_MAX], b[KEYS_MAX], sub[KEYS_MAX];
    size_t first_of_b = t.agents[2].first;
    assert_int_equal(keys_of(&t, 0, 0, a), 3);
    assert_int_equal(keys_of(&t, first_of_b, 0, b), 3);
    /* 150 tokens are two whole blocks */
    assert_int_equal(common(a, b, 3), 2);
    assert_int_equal(keys_of(&t, 1, 0, b), 5);
    assert_int_equal(common(a, b, 3), 2);
    assert_int_equal(keys_of(&t, t.agents[1].first, 0, sub), 2);
    assert_int_equal(common(a, sub, 2), 0);
    assert_int_equal(keys_of(&t, t.agents[1].first + 1, 0, b), 3);
    assert_int_equal(common(sub, b, 2), 2);
    warm_trace_free(&t);
}

static void a_repetition_has_other_blocks_of_the_same_shape(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    uint64_t a[KEYS_MAX], b[KEYS_MAX], c[KEYS_MAX];
    keys_of(&t, 0, 0, a);
    keys_of(&t, 0, 1, b);
    keys_of(&t, 1, 1, c);
    assert_int_equal(common(a, b, 3), 0);
    assert_int_equal(common(b, c, 3), 2);
    warm_trace_free(&t);
}

static void equal_blocks_are_equal_tokens_at_any_scale(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_trace_shape small = {.scale = 16, .vocab = 1000};
    int32_t a[320], b[320];
    assert_int_equal(warm_trace_tokens(&t, 0, &whole), 192);
    warm_trace_prompt(&t, 0, 0, &whole, a);
    warm_trace_prompt(&t, 1, 0, &whole, b);
    assert_memory_equal(a, b, 128 * sizeof *a);
    assert_memory_not_equal(a + 128, b + 128, 16 * sizeof *a);
    for (int i = 0; i < 192; i++) assert_in_range(a[i], 1, 999);
    assert_int_equal(warm_trace_tokens(&t, 0, &small), 12);
    warm_trace_prompt(&t, 0, 0, &small, a);
    warm_trace_prompt(&t, 1, 0, &small, b);
    assert_memory_equal(a, b, 8 * sizeof *a);
    warm_trace_shape seeded = {.scale = 16, .vocab = 1000, .seed = 7};
    warm_trace_prompt(&t, 0, 0, &seeded, b);
    assert_memory_not_equal(a, b, 12 * sizeof *a);
    warm_trace_free(&t);
}

static void the_last_block_of_a_timed_request_may_be_short(void **state) {
    (void)state;
    warm_trace t = {0};
    warm_err err = {0};
    assert_int_equal(add_line(&t, "{\"timestamp\": 2000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0, 9]}", &err),
                     0);
    assert_int_equal(add_line(&t, "{\"timestamp\": 1000, \"input_length\": 512, \"output_length\": 5, \"hash_ids\": [0]}", &err),
                     0);
    assert_int_equal(warm_trace_end(&t, &err), 0);
    assert_true(t.requests[0].t_s == 0 && t.requests[1].t_s == 1);
    assert_int_equal(warm_trace_tokens(&t, 1, &whole), 600);
    warm_trace_shape small = {.scale = 32, .vocab = 1000};
    assert_int_equal(warm_trace_tokens(&t, 1, &small), 16 + 2);
    int32_t a[600], b[600];
    warm_trace_prompt(&t, 1, 0, &whole, a);
    warm_trace_prompt(&t, 0, 0, &whole, b);
    assert_memory_equal(a, b, 512 * sizeof *a);
    warm_trace_free(&t);
}

static void a_text_is_its_bytes_as_the_simulated_engine_has_them(void **state) {
    (void)state;
    warm_trace t = {0};
    warm_err err = {0};
    int32_t a[8];
    assert_int_equal(add_text(&t, "ab", &err), 0);
    assert_int_equal(add_text(&t, "", &err), 0);
    assert_int_equal(warm_trace_end(&t, &err), 0);
    assert_int_equal(t.n_sessions, 2);
    assert_int_equal(t.n_requests, 1);
    warm_trace_prompt(&t, 0, 0, &whole, a);
    assert_int_equal(a[0], 'a' + 1);
    assert_int_equal(a[1], 'b' + 1);
    warm_trace_free(&t);
}

static void a_bad_line_says_what_is_wrong_with_it(void **state) {
    (void)state;
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"{", "ends too early"},
        {"nonsense", "not JSON"},
        {"{} {}", "not JSON"},
        {"[]", "not a JSON object"},
        {"{\"x\":1}", "no kind of trace"},
        {"{\"requests\":1}", "requests"},
        {"{\"requests\":[],\"block_size\":0,\"tool_tokens\":0,\"system_tokens\":0}", "block_size"},
        {"{\"requests\":[],\"block_size\":64,\"tool_tokens\":-1,\"system_tokens\":0}", "tool_tokens"},
        {"{\"requests\":[1],\"block_size\":64,\"tool_tokens\":0,\"system_tokens\":0}", "request 0"},
        {"{\"requests\":[{\"t\":0,\"in\":1,\"out\":1,\"blocks\":[[1]]}],\"block_size\":64,\"tool_tokens\":0,\"system_tokens\":0}",
         "run 0"},
        {"{\"requests\":[{\"t\":0,\"in\":1,\"out\":1,\"blocks\":[[1,1000000000]]}],\"block_size\":64,\"tool_tokens\":0,"
         "\"system_tokens\":0}",
         "run 0"},
        {"{\"requests\":[{\"subagent\":[]}],\"block_size\":64,\"tool_tokens\":0,\"system_tokens\":0}", "tool_tokens"},
        {"{\"timestamp\": 0, \"input_length\": 513, \"output_length\": 5, \"hash_ids\": [0]}", "input_length"},
        {"{\"timestamp\": 0, \"input_length\": 0, \"output_length\": 5, \"hash_ids\": []}", "input_length"},
        {"{\"timestamp\": 0, \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [\"a\"]}", "hash_ids"},
        {"{\"timestamp\": \"now\", \"input_length\": 5, \"output_length\": 5, \"hash_ids\": [1]}", "timestamp"},
        {"{\"timestamp\": 0, \"input\": 5, \"output\": \"\"}", "input"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        warm_trace t = {0};
        warm_err err = {0};
        assert_int_equal(add_line(&t, bad[i].line, &err), WARM_EINVAL);
        if (!strstr(err.text, bad[i].says)) fail_msg("'%s' says '%s'", bad[i].line, err.text);
        warm_trace_free(&t);
    }
}

static void kinds_do_not_mix(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_err err = {0};
    assert_int_equal(add_text(&t, "x", &err), WARM_EINVAL);
    warm_trace_free(&t);
}

/* ---- who asks when ---- */

static const uint64_t second = 1000000000;

static void expect_ask(warm_drive *d, uint64_t now_s, size_t request, uint64_t due_s, warm_drive_ask *a) {
    assert_true(warm_drive_next(d, now_s * second, a));
    assert_int_equal(a->request, request);
    assert_int_equal(a->due_ns, due_s * second);
}

static void a_user_thinks_as_long_as_in_the_trace_and_a_sub_agent_works_beside(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_drive_options o = {.trace = &t, .users = 1};
    warm_drive *d = warm_drive_new(&o);
    warm_drive_ask a, sub;
    assert_int_equal(warm_drive_total(d), 6);
    expect_ask(d, 0, 0, 0, &a);
    assert_int_equal(warm_drive_when(d), UINT64_MAX);
    /* 100 s instead of 2: what follows is 98 s later. The sub-agent: 8 s after the answer, its first request 1 s later. */
    assert_false(warm_drive_answered(d, &a, 100 * second));
    assert_false(warm_drive_next(d, 108 * second, &a));
    expect_ask(d, 200, 2, 109, &sub);
    expect_ask(d, 200, 1, 128, &a);
    assert_false(warm_drive_answered(d, &a, 200 * second));
    assert_false(warm_drive_answered(d, &sub, 200 * second));
    expect_ask(d, 999, 3, 202, &sub);
    /* the session ends with its last agent, and the next one begins */
    assert_true(warm_drive_answered(d, &sub, 300 * second));
    expect_ask(d, 300, 4, 300, &a);
    assert_false(warm_drive_answered(d, &a, 301 * second));
    expect_ask(d, 305, 5, 305, &a);
    assert_true(warm_drive_answered(d, &a, 306 * second));
    assert_int_equal(warm_drive_when(d), UINT64_MAX);
    warm_drive_free(d);
    warm_trace_free(&t);
}

static void a_rotation_polls_sessions_in_turn(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_drive_options o = {.trace = &t, .rotate = 2};
    warm_drive *d = warm_drive_new(&o);
    /* by the trace's time: request 1 at 30 comes behind the sub-agent's at 11 and 14 */
    static const size_t order[] = {0, 4, 2, 5, 3, 1};
    for (size_t i = 0; i < 6; i++) {
        warm_drive_ask a;
        expect_ask(d, i, order[i], i, &a);
        assert_int_equal(warm_drive_when(d), UINT64_MAX);
        assert_int_equal(warm_drive_answered(d, &a, (i + 1) * second), order[i] == 5 || order[i] == 1);
    }
    assert_int_equal(warm_drive_when(d), UINT64_MAX);
    warm_drive_free(d);
    warm_trace_free(&t);
}

static void repetitions_follow_each_other(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_drive_options o = {.trace = &t, .rotate = 1, .n_repeats = 2};
    warm_drive *d = warm_drive_new(&o);
    warm_drive_ask a;
    size_t n = 0;
    for (; warm_drive_next(d, 0, &a); n++) {
        assert_int_equal(a.repeat, n / 6);
        warm_drive_answered(d, &a, 0);
    }
    assert_int_equal(n, 12);
    assert_int_equal(warm_drive_total(d), 12);
    warm_drive_free(d);
    warm_trace_free(&t);
}

static void a_part_is_every_nth_session(void **state) {
    (void)state;
    warm_trace t = two_sessions();
    warm_trace_keep_part(&t, 2, 2);
    warm_drive_options o = {.trace = &t, .rotate = 3};
    warm_drive *d = warm_drive_new(&o);
    warm_drive_ask a;
    assert_int_equal(warm_drive_total(d), 2);
    expect_ask(d, 0, 4, 0, &a);
    warm_drive_free(d);
    warm_trace_free(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_has_its_sub_agents_beside_it),
        cmocka_unit_test(blocks_are_the_sessions_own_but_for_the_prefix_that_equal_numbers_share),
        cmocka_unit_test(a_repetition_has_other_blocks_of_the_same_shape),
        cmocka_unit_test(equal_blocks_are_equal_tokens_at_any_scale),
        cmocka_unit_test(the_last_block_of_a_timed_request_may_be_short),
        cmocka_unit_test(a_text_is_its_bytes_as_the_simulated_engine_has_them),
        cmocka_unit_test(a_bad_line_says_what_is_wrong_with_it),
        cmocka_unit_test(kinds_do_not_mix),
        cmocka_unit_test(a_user_thinks_as_long_as_in_the_trace_and_a_sub_agent_works_beside),
        cmocka_unit_test(a_rotation_polls_sessions_in_turn),
        cmocka_unit_test(repetitions_follow_each_other),
        cmocka_unit_test(a_part_is_every_nth_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
