/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_prompt.c - prompts in all their shapes, and chat messages. */
#include "api_fixture.h"

#include "api/parse.h"
#include "api/prompt.h"

static warm_prompts prompts_of(const char *text) {
    warm_prompts p;
    warm_err err = {0};
    warm_jv *root = json_of(text);
    if (warm_prompts_read(&text_engine, "prompt", warm_jget(root, "prompt"), &p, &err)) fail_msg("%s: %s", text, err.text);
    json_object_put(root);
    return p;
}

static void assert_refused(const char *text, int code, const char *words) {
    warm_prompts p;
    warm_err err = {0};
    warm_jv *root = json_of(text);
    assert_int_equal(warm_prompts_read(&text_engine, "prompt", warm_jget(root, "prompt"), &p, &err), code);
    json_object_put(root);
    assert_non_null(strstr(err.text, "'prompt'"));
    if (!strstr(err.text, words)) fail_msg("%s does not say %s", err.text, words);
}

static void assert_tokens(const warm_tokens *t, const int32_t *tokens, size_t n) {
    assert_int_equal(t->n, n);
    assert_memory_equal(t->v, tokens, n * sizeof *tokens);
}

static void a_string_begins_with_the_special_tokens(void **state) {
    (void)state;
    warm_prompts p = prompts_of("{\"prompt\":\"ab\"}");
    assert_int_equal(p.n, 1);
    assert_tokens(&p.v[0], (int32_t[]){TEXT_BOS, 'a' + 1, 'b' + 1}, 3);
    warm_prompts_free(&p);
}

static void tokens_are_taken_as_they_are(void **state) {
    (void)state;
    warm_prompts p = prompts_of("{\"prompt\":[5,6,7]}");
    assert_int_equal(p.n, 1);
    assert_tokens(&p.v[0], (int32_t[]){5, 6, 7}, 3);
    warm_prompts_free(&p);
}

static void in_a_mixed_array_only_a_leading_string_is_special(void **state) {
    (void)state;
    warm_prompts p = prompts_of("{\"prompt\":[\"a\",5,\"b\"]}");
    assert_tokens(&p.v[0], (int32_t[]){TEXT_BOS, 'a' + 1, 5, 'b' + 1}, 4);
    warm_prompts_free(&p);
    p = prompts_of("{\"prompt\":[5,\"a\",\"b\"]}");
    assert_int_equal(p.n, 1);
    assert_tokens(&p.v[0], (int32_t[]){5, 'a' + 1, 'b' + 1}, 3);
    warm_prompts_free(&p);
}

static void a_list_is_several_prompts(void **state) {
    (void)state;
    warm_prompts p = prompts_of("{\"prompt\":[\"a\",[5,6],[7,\"b\"],{\"prompt_string\":\"c\"}]}");
    assert_int_equal(p.n, 4);
    assert_tokens(&p.v[0], (int32_t[]){TEXT_BOS, 'a' + 1}, 2);
    assert_tokens(&p.v[1], (int32_t[]){5, 6}, 2);
    assert_tokens(&p.v[2], (int32_t[]){7, 'b' + 1}, 2);
    assert_tokens(&p.v[3], (int32_t[]){TEXT_BOS, 'c' + 1}, 2);
    warm_prompts_free(&p);
}

static void malformed_prompts_are_refused(void **state) {
    (void)state;
    assert_refused("{}", WARM_EINVAL, "required");
    assert_refused("{\"prompt\":[]}", WARM_EINVAL, "empty");
    assert_refused("{\"prompt\":[[]]}", WARM_EINVAL, "empty");
    assert_refused("{\"prompt\":5}", WARM_EINVAL, "an integer");
    assert_refused("{\"prompt\":true}", WARM_EINVAL, "a boolean");
    assert_refused("{\"prompt\":{}}", WARM_EINVAL, "prompt_string");
    assert_refused("{\"prompt\":[1,-1]}", WARM_EINVAL, "-1");
    assert_refused("{\"prompt\":[1,300]}", WARM_EINVAL, "300");
    assert_refused("{\"prompt\":[1,4294967297]}", WARM_EINVAL, "4294967297");
    assert_refused("{\"prompt\":[1,1.5]}", WARM_EINVAL, "a number");
    assert_refused("{\"prompt\":[1,null]}", WARM_EINVAL, "null");
    assert_refused("{\"prompt\":[\"a\",[true]]}", WARM_EINVAL, "a boolean");
    assert_refused("{\"prompt\":{\"prompt_string\":\"a\",\"multimodal_data\":[\"x\"]}}", WARM_ENOTSUP, "multimodal_data");
}

static void too_many_prompts_are_refused(void **state) {
    (void)state;
    size_t n = 0, room = 8 * (WARM_PROMPTS_MAX + 8);
    char *text = malloc(room);
    n += (size_t)snprintf(text, room, "{\"prompt\":[");
    for (int i = 0; i <= WARM_PROMPTS_MAX; i++) n += (size_t)snprintf(text + n, room - n, "%s\"a\"", i ? "," : "");
    snprintf(text + n, room - n, "]}");
    assert_refused(text, WARM_EINVAL, "more than");
    free(text);
}

static void tokens_become_text_again(void **state) {
    (void)state;
    size_t len;
    char *text = warm_tokens_text(&text_engine, (int32_t[]){TEXT_BOS, 'h' + 1, 'i' + 1}, 3, &len);
    assert_int_equal(len, 5);
    assert_string_equal(text, "<s>hi");
    free(text);
    text = warm_tokens_text(&text_engine, NULL, 0, &len);
    assert_string_equal(text, "");
    free(text);
}

static void assert_chat(const char *messages, int code, const char *words) {
    char body[512];
    warm_err err = {0};
    snprintf(body, sizeof body, "{\"messages\":%s}", messages);
    warm_jv *root = json_of(body);
    int rc = warm_chat_check(root, &err);
    if (rc != code) fail_msg("%s: %d %s", body, rc, err.text);
    if (words && !strstr(err.text, words)) fail_msg("%s does not say %s", err.text, words);
    json_object_put(root);
}

static void chat_messages_are_checked(void **state) {
    (void)state;
    assert_chat("[{\"role\":\"user\",\"content\":\"hi\"}]", 0, NULL);
    assert_chat("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}]}]", 0, NULL);
    assert_chat("[{\"role\":\"assistant\",\"tool_calls\":[]}]", 0, NULL);
    assert_chat("[{\"role\":\"assistant\",\"content\":null}]", 0, NULL);
    assert_chat("null", WARM_EINVAL, "'messages': is required");
    assert_chat("\"hi\"", WARM_EINVAL, "'messages'");
    assert_chat("[5]", WARM_EINVAL, "'messages[0]'");
    assert_chat("[{\"content\":\"x\"}]", WARM_EINVAL, "'messages[0].role'");
    assert_chat("[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\"}]", WARM_EINVAL, "'messages[1].content'");
    assert_chat("[{\"role\":\"assistant\"}]", WARM_EINVAL, "'messages[0]'");
    assert_chat("[{\"role\":\"user\",\"content\":5}]", WARM_EINVAL, "'messages[0].content'");
    assert_chat("[{\"role\":\"user\",\"content\":[5]}]", WARM_EINVAL, "'messages[0].content[0]'");
    assert_chat("[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]", WARM_EINVAL, "content[0].text");
    assert_chat("[{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}]", WARM_EINVAL, "smell");
    assert_chat("[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]", WARM_ENOTSUP, "image_url");
    assert_chat("[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\"}]}]", WARM_ENOTSUP, "input_audio");
}

static void a_chat_request_is_rendered_from_its_body(void **state) {
    (void)state;
    static const char body[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n_predict\":3}";
    defaults_fixture f;
    defaults_open(&f, WARM_API_CHAT, NULL);
    warm_params p;
    warm_prompts prompts;
    warm_err err = {0};
    assert_int_equal(warm_parse_completion(&f.scope, body, sizeof body - 1, &p, &prompts, &err), 0);
    assert_int_equal(prompts.n, 1);
    size_t len;
    char *text = warm_tokens_text(&text_engine, prompts.v[0].v, prompts.v[0].n, &len), wanted[32];
    snprintf(wanted, sizeof wanted, "<s>chat%zu", sizeof body - 1);
    assert_string_equal(text, wanted);
    assert_int_equal(p.n_predict, 3);
    free(text);
    warm_prompts_free(&prompts);
    warm_params_deinit(&p);
    defaults_close(&f);
}

/* What a request stops at: its own strings, or else the server's, and always the template's. */
static void the_templates_stops_are_added(void **state) {
    (void)state;
    static const struct {
        const char *stop, *wanted[4];
    } cases[] = {{"[\"x\",\"y\"]", {"x", "y", "<end>", "</s>"}}, {"null", {"-r", "<end>", "</s>", NULL}}};
    defaults_fixture f;
    defaults_open(&f, WARM_API_CHAT, (char *[]){"-r", "-r", NULL});
    for (size_t i = 0; i < 2; i++) {
        char body[256];
        warm_params p;
        warm_prompts prompts;
        warm_err err = {0};
        size_t n = 0;
        int len =
            snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"template_stops\":1,\"stop\":%s}",
                     cases[i].stop);
        assert_int_equal(warm_parse_completion(&f.scope, body, (size_t)len, &p, &prompts, &err), 0);
        while (n < 4 && cases[i].wanted[n]) n++;
        assert_int_equal(p.n_stop, n);
        for (size_t k = 0; k < n; k++) assert_string_equal(p.stop[k], cases[i].wanted[k]);
        warm_prompts_free(&prompts);
        warm_params_deinit(&p);
    }
    defaults_close(&f);
}

static void a_failed_parse_leaves_nothing(void **state) {
    (void)state;
    static const char *const bodies[] = {"{", "{\"n_predict\":\"x\",\"prompt\":\"a\"}", "{\"stop\":[\"x\"],\"prompt\":5}"};
    defaults_fixture f;
    defaults_open(&f, WARM_API_NATIVE, NULL);
    for (size_t i = 0; i < 3; i++) {
        warm_params p;
        warm_prompts prompts;
        warm_err err = {0};
        assert_int_equal(warm_parse_completion(&f.scope, bodies[i], strlen(bodies[i]), &p, &prompts, &err), WARM_EINVAL);
    }
    defaults_close(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_begins_with_the_special_tokens),
        cmocka_unit_test(tokens_are_taken_as_they_are),
        cmocka_unit_test(in_a_mixed_array_only_a_leading_string_is_special),
        cmocka_unit_test(a_list_is_several_prompts),
        cmocka_unit_test(malformed_prompts_are_refused),
        cmocka_unit_test(too_many_prompts_are_refused),
        cmocka_unit_test(tokens_become_text_again),
        cmocka_unit_test(chat_messages_are_checked),
        cmocka_unit_test(a_chat_request_is_rendered_from_its_body),
        cmocka_unit_test(the_templates_stops_are_added),
        cmocka_unit_test(a_failed_parse_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
