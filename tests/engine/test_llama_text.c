/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_text.c - tokens and chat templates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

static warm_engine *e;

static int open_once(void **state) {
    (void)state;
    e = open_tiny("512", NULL);
    return 0;
}

static int close_once(void **state) {
    (void)state;
    e->ops->close(e);
    return 0;
}

static size_t tokenize(const char *text, size_t len, bool parse_special, int32_t **tokens) {
    size_t n = 0;
    warm_err err = {0};
    if (e->text->tokenize(e, text, len, false, parse_special, tokens, &n, &err)) fail_msg("tokenize: %s", err.text);
    return n;
}

static void text_survives_tokens_byte_for_byte(void **state) {
    (void)state;
    static const char *const texts[] = {"", "Hello, world!", "  two  spaces\n\n\ttabs \r\n",
                                        "na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x8e\x89",
                                        "for (int i = 0; i < 10; i++) { x[i] = \"\\0\"; }"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char back[512];
        size_t len = 0;
        int32_t *tokens;
        size_t n = tokenize(texts[i], strlen(texts[i]), false, &tokens);
        for (size_t k = 0; k < n; k++) len += e->text->token_piece(e, tokens[k], false, back + len, sizeof back - len);
        assert_int_equal(len, strlen(texts[i]));
        assert_memory_equal(back, texts[i], len);
        free(tokens);
    }
}

static void special_tokens_are_parsed_when_asked(void **state) {
    (void)state;
    int32_t *tokens;
    assert_int_equal(tokenize("<|im_end|>", 10, true, &tokens), 1);
    assert_int_equal(tokens[0], e->info->eos);
    assert_true(e->text->token_is_eog(e, tokens[0]));
    free(tokens);
    assert_true(tokenize("<|im_end|>", 10, false, &tokens) > 1);
    assert_false(e->text->token_is_eog(e, tokens[0]));
    free(tokens);
    assert_string_equal(e->info->eos_text, "<|im_end|>");
}

static void a_piece_that_does_not_fit_is_not_written(void **state) {
    (void)state;
    char buf[16] = "untouched";
    assert_int_equal(e->text->token_piece(e, e->info->eos, true, buf, 4), 10);
    assert_string_equal(buf, "untouched");
    assert_int_equal(e->text->token_piece(e, e->info->eos, true, NULL, 0), 10);
    assert_int_equal(e->text->token_piece(e, e->info->eos, false, buf, sizeof buf), 0);
    assert_int_equal(e->text->token_piece(e, -1, true, buf, sizeof buf), 0);
    assert_int_equal(e->text->token_piece(e, (int32_t)e->info->n_vocab, true, buf, sizeof buf), 0);
    assert_false(e->text->token_is_eog(e, -1));
    assert_false(e->text->token_is_eog(e, INT32_MAX));
}

static void bytes_that_are_no_text_do_no_harm(void **state) {
    (void)state;
    static const char *const bytes[] = {"\xff\xfe\xfd", "abc\xc3", "\xe6\xbc", "\xf5\x80\x80\x80", "\xed\xa0\x80", "a\0b"};
    static const size_t lens[] = {3, 4, 2, 4, 3, 3};
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        int32_t *tokens = NULL;
        size_t n = 0;
        warm_err err = {0};
        int rc = e->text->tokenize(e, bytes[i], lens[i], true, true, &tokens, &n, &err);
        assert_true(rc == 0 || rc == WARM_EINVAL);
        free(tokens);
    }
}

static void a_long_text_without_a_space_is_tokenized(void **state) {
    (void)state;
    size_t len = 300000;
    char *text = malloc(len);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++) text[i] = (char)('a' + i * i % 23);
    int32_t *tokens;
    assert_true(tokenize(text, len, true, &tokens) > 1000);
    free(tokens);
    free(text);
}

static char *try_render(warm_engine *of, const char *request, int *rc, warm_err *err) {
    warm_chat_prompt prompt = {0};
    *err = (warm_err){0};
    *rc = of->text->chat_render(of, request, strlen(request), NULL, &prompt, err);
    if (!*rc) assert_int_equal(strlen(prompt.text), prompt.len);
    free(prompt.stops);
    if (prompt.chat) of->text->chat_free(of, prompt.chat);
    return prompt.text;
}

static void renders(warm_engine *of, const char *request, const char *expected) {
    int rc;
    warm_err err;
    char *prompt = try_render(of, request, &rc, &err);
    if (rc) fail_msg("%s", err.text);
    assert_string_equal(prompt, expected);
    free(prompt);
}

static void is_refused(warm_engine *of, const char *request, int code, const char *says) {
    int rc;
    warm_err err;
    assert_null(try_render(of, request, &rc, &err));
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_int_equal(rc, code);
}

#define USER "{\"role\":\"user\",\"content\":\"hi\"}"

/* Templates of our own, so that what is expected does not hang on the model's. */
static const char plain_template[] =
    "{%- for m in messages -%}[{{ m.role }}]{{ m.content }}{%- endfor -%}"
    "{%- if mood is defined -%}({{ mood }}){%- endif -%}{%- if add_generation_prompt -%}[assistant]{%- endif -%}";

static warm_engine *with_template(const char *text) {
    return open_tiny("256", "--chat-template", text, NULL);
}

static void chats_are_rendered(void **state) {
    (void)state;
    warm_engine *t = with_template(plain_template);
    assert_string_equal(t->info->chat_template, plain_template);
    renders(t, "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"}," USER "]}", "[system]be brief[user]hi[assistant]");
    renders(t, "{\"messages\":[" USER "],\"add_generation_prompt\":false}", "[user]hi");
    renders(t, "{\"messages\":[" USER "],\"chat_template_kwargs\":{\"mood\":\"glad\"}}", "[user]hi(glad)[assistant]");
    renders(t,
            "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one\"},{\"type\":\"text\",\"text\":"
            "\"two\"}]}]}",
            "[user]one\ntwo[assistant]");
    renders(t, "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"well\"}]}", "[user]hi[assistant]well");
    t->ops->close(t);
}

/* libllama knows this template by the name in it. */
static void a_templates_stops_are_given_with_the_prompt(void **state) {
    (void)state;
    char text[sizeof plain_template + 64];
    snprintf(text, sizeof text, "{#- laguna_glm_thinking -#}%s", plain_template);
    warm_engine *t = with_template(text);
    warm_chat_prompt prompt = {0};
    warm_err err = {0};
    static const char request[] = "{\"messages\":[" USER "]}";
    if (t->text->chat_render(t, request, strlen(request), NULL, &prompt, &err)) fail_msg("%s", err.text);
    assert_string_equal(prompt.text, "[user]hi[assistant]");
    assert_int_equal(prompt.n_stops, 1);
    assert_string_equal(prompt.stops, "</assistant>");
    free(prompt.text);
    free(prompt.stops);
    if (prompt.chat) t->text->chat_free(t, prompt.chat);
    t->ops->close(t);
}

static void what_a_template_can_do_is_told(void **state) {
    (void)state;
    warm_engine *t = with_template(plain_template);
    assert_non_null(strstr(t->info->chat_template_caps, "\"supports_tools\":false"));
    assert_non_null(strstr(e->info->chat_template_caps, "\"supports_tools\":true"));
    t->ops->close(t);
}

static void the_models_template_shows_tools(void **state) {
    (void)state;
    int rc;
    warm_err err;
    char *prompt = try_render(e,
                              "{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\","
                              "\"description\":\"asks a cloud\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]}",
                              &rc, &err);
    if (rc) fail_msg("%s", err.text);
    assert_non_null(strstr(prompt, "get_weather"));
    assert_non_null(strstr(prompt, "asks a cloud"));
    free(prompt);
}

/* The grammar of tools is made by recursion over their definitions. */
static void tools_with_endless_definitions_do_no_harm(void **state) {
    (void)state;
    enum { LINKS = 3300 };
    for (int links = LINKS; links <= 2 * LINKS; links += LINKS) {
        char *text = malloc((size_t)links * 80 + 1024);
        assert_non_null(text);
        size_t n =
            (size_t)sprintf(text, "{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
                                  "\"parameters\":{\"type\":\"object\",\"properties\":{\"p\":{\"$ref\":\"#/d/a0\"}},\"d\":{");
        for (int i = 0; i < links; i++) {
            n += (size_t)sprintf(text + n, "\"a%d\":{\"properties\":{\"x\":{\"$ref\":\"#/d/a%d\"}}},", i, i + 1);
        }
        sprintf(text + n, "\"a%d\":{\"type\":\"string\"}}}}}]}", links);
        if (links == LINKS) {
            int rc;
            warm_err err;
            char *prompt = try_render(e, text, &rc, &err);
            if (rc) fail_msg("%s", err.text);
            free(prompt);
        } else {
            is_refused(e, text, WARM_EINVAL, "tools");
        }
        free(text);
    }
}

static void bad_chats_are_refused(void **state) {
    (void)state;
    is_refused(e, "{}", WARM_EINVAL, "messages");
    is_refused(e, "[]", WARM_EINVAL, "object");
    is_refused(e, "{\"messages\":", WARM_EINVAL, "");
    is_refused(e, "{\"messages\":{}}", WARM_EINVAL, "messages");
    is_refused(e, "{\"messages\":[1]}", WARM_EINVAL, "messages");
    is_refused(e, "{\"messages\":[{\"content\":\"hi\"}]}", WARM_EINVAL, "role");
    is_refused(e, "{\"messages\":[{\"role\":\"user\"}]}", WARM_EINVAL, "content");
    is_refused(e, "{\"messages\":[{\"role\":\"user\",\"content\":7}]}", WARM_EINVAL, "content");
    is_refused(e, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"smell\"}]}]}", WARM_EINVAL, "smell");
    is_refused(e, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"x\"}}]}]}",
               WARM_ENOTSUP, "image");
    is_refused(e, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}]}", WARM_ENOTSUP,
               "audio");
    is_refused(e, "{\"messages\":[" USER "],\"tool_choice\":\"perhaps\"}", WARM_EINVAL, "perhaps");
    is_refused(e, "{\"messages\":[" USER "],\"chat_template_kwargs\":{\"enable_thinking\":\"yes\"}}", WARM_EINVAL,
               "enable_thinking");
    is_refused(e, "{\"messages\":[" USER "],\"continue_final_message\":true}", WARM_EINVAL, "continue_final_message");
}

static void a_template_that_raises_speaks_for_itself(void **state) {
    (void)state;
    warm_engine *t = with_template("{%- if messages|length > 1 -%}{{ raise_exception('one message only, please') }}{%- endif -%}"
                                   "{{ messages[0].content }}");
    is_refused(t, "{\"messages\":[" USER "," USER "]}", WARM_EINVAL, "one message only, please");
    t->ops->close(t);
}

static void a_template_that_is_none_is_refused_at_the_start(void **state) {
    (void)state;
    warm_engine *t = NULL;
    warm_err err = {0};
    static const char *const flags[] = {"-c", "256", "--chat-template", "{% for m in messages %}no end", NULL};
    assert_int_equal(try_open(&t, &err, tiny_model(), flags), WARM_EINVAL);
    assert_non_null(strstr(err.text, "chat-template"));
}

static void built_in_templates_are_known_by_name(void **state) {
    (void)state;
    warm_engine *t = with_template("llama2");
    renders(t, "{\"messages\":[" USER "]}", "[INST] hi [/INST]");
    is_refused(t, "{\"messages\":[" USER "],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}]}",
               WARM_ENOTSUP, "tools");
    t->ops->close(t);
    t = with_template("chatml");
    renders(t, "{\"messages\":[" USER "]}", "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
    t->ops->close(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_survives_tokens_byte_for_byte),
        cmocka_unit_test(special_tokens_are_parsed_when_asked),
        cmocka_unit_test(a_piece_that_does_not_fit_is_not_written),
        cmocka_unit_test(bytes_that_are_no_text_do_no_harm),
        cmocka_unit_test(a_long_text_without_a_space_is_tokenized),
        cmocka_unit_test(chats_are_rendered),
        cmocka_unit_test(a_templates_stops_are_given_with_the_prompt),
        cmocka_unit_test(what_a_template_can_do_is_told),
        cmocka_unit_test(the_models_template_shows_tools),
        cmocka_unit_test(tools_with_endless_definitions_do_no_harm),
        cmocka_unit_test(bad_chats_are_refused),
        cmocka_unit_test(a_template_that_raises_speaks_for_itself),
        cmocka_unit_test(a_template_that_is_none_is_refused_at_the_start),
        cmocka_unit_test(built_in_templates_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, open_once, close_once);
}
