/* SPDX-License-Identifier: MIT
 *
 * tests/torture/test_api_torture.c - reading a request and writing its answer while each allocation fails once: an error or the right
 * result, never half of one. */
#include "unit/api_fixture.h"

#include "api/format.h"
#include "api/parse.h"
#include "base/alloc.h"

static const char body[] =
    "{\"prompt\":[\"abc\",[1,\"d\",2],{\"prompt_string\":\"e\"}],\"stop\":[\"x\",\"y\"],\"n_probs\":2,\"return_tokens\":true,"
    "\"logit_bias\":[[5,1],[\"ab\",false]],\"response_fields\":[\"content\",\"timings/cache\",\"completion_probabilities\"],"
    "\"dry_sequence_breakers\":[\"q\"],\"samplers\":[\"top_k\"]}";

static const char wanted[] =
    "{\"content\":\"hi\",\"timings/cache\":{\"device\":0,\"ram\":0,\"computed\":0,\"load_ms\":0,\"wait_ms\":0},"
    "\"completion_probabilities\":[{\"id\":105,\"token\":\"h\",\"bytes\":[104],\"logprob\":-1,\"top_logprobs\":[]},"
    "{\"id\":106,\"token\":\"i\",\"bytes\":[105],\"logprob\":-2,\"top_logprobs\":[]}]}";

/* An answer of one event. The event is made while nothing fails. */
static int answer(const warm_params *p, warm_event *end, warm_buf *out) {
    warm_answer a;
    warm_err err = {0};
    warm_answer_init(&a);
    int rc = warm_answer_add(&a, p, end, &err);
    if (!rc) {
        a.end = end;
        const warm_reply r = {
            .params = p, .engine = &text_engine, .model = "m", .build = "b", .id = "i", .answers = &a, .n_answers = 1};
        warm_format_whole(&r, out);
        rc = warm_buf_err(out);
        a.end = NULL;
    }
    warm_answer_deinit(&a);
    return rc;
}

static int run(const warm_params_scope *scope, warm_event *end, warm_buf *out, size_t *n_prompts) {
    warm_params p;
    warm_prompts prompts;
    warm_err err = {0};
    int rc = warm_parse_completion(scope, body, sizeof body - 1, &p, &prompts, &err);
    if (rc) {
        assert_true(err.text[0] != '\0');
        return rc;
    }
    *n_prompts = prompts.n;
    rc = answer(&p, end, out);
    warm_prompts_free(&prompts);
    warm_params_deinit(&p);
    return rc;
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    int32_t tokens[] = {'h' + 1, 'i' + 1};
    warm_token_prob probs[] = {{'h' + 1, -1}, {'i' + 1, -2}};
    char text[] = "hi";
    warm_event end = {.type = WARM_EV_DONE, .text = text, .text_len = 2, .tokens = tokens, .n_tokens = 2, .probs = probs};
    defaults_fixture f;
    defaults_open(&f, WARM_API_NATIVE, NULL);
    uint64_t k = 1;
    for (int rc = WARM_ENOMEM; rc; k++) {
        warm_buf out;
        size_t n_prompts = 0;
        warm_buf_init(&out, 1 << 20);
        warm_alloc_fail_at(k);
        rc = run(&f.scope, &end, &out, &n_prompts);
        warm_alloc_fail_at(0);
        if (rc)
            assert_int_equal(rc, WARM_ENOMEM);
        else
            assert_int_equal(n_prompts, 3);
        if (!rc) assert_string_equal(out.data, wanted);
        warm_buf_free(&out);
        assert_true(k < 1000);
    }
    assert_true(k > 10);
    defaults_close(&f);
}

static void parses(enum warm_api_kind kind, const char *request, size_t n_stop, size_t n_tokens) {
    defaults_fixture f;
    defaults_open(&f, kind, NULL);
    f.scope.slot_n_ctx = 1024;
    uint64_t k = 1;
    for (int rc = WARM_ENOMEM; rc; k++) {
        warm_params p;
        warm_prompts prompts;
        warm_err err = {0};
        warm_alloc_fail_at(k);
        rc = warm_parse_completion(&f.scope, request, strlen(request), &p, &prompts, &err);
        warm_alloc_fail_at(0);
        assert_true(k < 1000);
        if (rc) {
            assert_int_equal(rc, WARM_ENOMEM);
            continue;
        }
        assert_int_equal(p.n_stop, n_stop);
        assert_int_equal(prompts.v[0].n, n_tokens);
        warm_prompts_free(&prompts);
        warm_params_deinit(&p);
    }
    assert_true(k > 3);
    defaults_close(&f);
}

static void other_prompts_are_made_or_refused_too(void **state) {
    (void)state;
    parses(WARM_API_CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"template_stops\":1,\"stop\":[\"y\"]}", 3, 7);
    parses(WARM_API_INFILL,
           "{\"input_prefix\":\"a\",\"input_suffix\":[\"b\",7],\"prompt\":\"c\",\"input_extra\":[{\"filename\":\"d\",\"text\":"
           "\"e\"}]}",
           0, 11 + 4 + 10 + 3 + 3 + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once),
                                       cmocka_unit_test(other_prompts_are_made_or_refused_too)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
