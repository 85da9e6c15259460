/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_format.c - answers as llama-server writes them. */
#include "api_fixture.h"

#include <float.h>
#include <math.h>

#include "api/api.h"
#include "api/error.h"
#include "api/format.h"

typedef struct world {
    defaults_fixture f;
    warm_params params;
    warm_reply reply;
    warm_answer answers[2];
    warm_buf out;
} world;

static void open_world(world *w, enum warm_api_kind kind, const char *body, size_t n_answers) {
    warm_err err = {0};
    defaults_open(&w->f, kind, NULL);
    if (warm_params_parse(&w->f.scope, json_of(body), &w->params, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < n_answers; i++) warm_answer_init(&w->answers[i]);
    w->reply = (warm_reply){.params = &w->params,
                            .engine = &text_engine,
                            .model = "m.gguf",
                            .build = "b1",
                            .id = "chatcmpl-1",
                            .created = 1234,
                            .answers = w->answers,
                            .n_answers = n_answers};
    warm_buf_init(&w->out, 1 << 20);
}

static void close_world(world *w) {
    for (size_t i = 0; i < w->reply.n_answers; i++) warm_answer_deinit(&w->answers[i]);
    warm_buf_free(&w->out);
    warm_params_deinit(&w->params);
    defaults_close(&w->f);
}

static const warm_task_timings some_timings = {.n_prompt = 10,
                                               .n_device = 3,
                                               .n_ram = 4,
                                               .n_computed = 3,
                                               .n_predicted = 5,
                                               .wait_ms = 1.5,
                                               .load_ms = 2.5,
                                               .prompt_ms = 30,
                                               .predicted_ms = 8};

static warm_event *event(enum warm_event_type type, const char *text) {
    warm_event *ev = calloc(1, sizeof *ev);
    assert_non_null(ev);
    ev->type = type;
    ev->timings = some_timings;
    ev->id_slot = 1;
    ev->seed = 99;
    if (!text) return ev;
    ev->text = strdup(text);
    ev->text_len = ev->n_tokens = strlen(text);
    ev->tokens = calloc(ev->n_tokens + 1, sizeof *ev->tokens);
    ev->probs = calloc(ev->n_tokens + 1, sizeof *ev->probs);
    ev->top = calloc(2 * ev->n_tokens + 1, sizeof *ev->top);
    ev->n_top = 2;
    for (size_t i = 0; i < ev->n_tokens; i++) {
        ev->tokens[i] = (unsigned char)text[i] + 1;
        ev->probs[i] = (warm_token_prob){.token = ev->tokens[i], .p = -0.5f};
        ev->top[2 * i] = ev->probs[i];
        ev->top[2 * i + 1] = (warm_token_prob){.token = 'z' + 1, .p = -INFINITY};
    }
    return ev;
}

static warm_event *done(const char *text, enum warm_stop stop, const char *word) {
    warm_event *ev = event(WARM_EV_DONE, text);
    ev->stop = stop;
    ev->stop_word = word ? strdup(word) : NULL;
    return ev;
}

/* Adds an event as completion.c does for a whole answer. */
static void add(world *w, size_t i, warm_event *ev) {
    warm_err err = {0};
    assert_int_equal(warm_answer_add(&w->answers[i], &w->params, ev, &err), 0);
    if (ev->type == WARM_EV_DONE)
        w->answers[i].end = ev;
    else
        warm_event_free(ev);
}

static void stream(world *w, size_t i, warm_event *ev) {
    if (ev->type == WARM_EV_DONE) w->answers[i].end = ev;
    warm_format_stream(&w->reply, i, ev, &w->out);
    if (ev->type != WARM_EV_DONE) warm_event_free(ev);
}

static warm_jv *whole(world *w) {
    warm_buf_clear(&w->out);
    warm_format_whole(&w->reply, &w->out);
    assert_int_equal(warm_buf_err(&w->out), 0);
    return json_of_n(w->out.data, w->out.len);
}

/* The data of the k-th event of a stream, NULL if there is none; each must be JSON between "data: " and an empty line. */
static warm_jv *sse(world *w, size_t k) {
    const char *p = w->out.data ? w->out.data : "";
    for (size_t i = 0; *p; i++) {
        assert_memory_equal(p, "data: ", 6);
        const char *end = strstr(p, "\n\n");
        assert_non_null(end);
        if (i == k) return strncmp(p + 6, "[DONE]", 6) == 0 ? NULL : json_of_n(p + 6, (size_t)(end - p - 6));
        p = end + 2;
    }
    return NULL;
}

static bool ends_with_done(const world *w) {
    static const char last[] = "data: [DONE]\n\n";
    return w->out.len >= sizeof last - 1 && strcmp(w->out.data + w->out.len - (sizeof last - 1), last) == 0;
}

static void timings_are_those_of_llama_server_and_ours(void **state) {
    (void)state;
    warm_buf b;
    warm_json j;
    warm_buf_init(&b, 4096);
    warm_json_init(&j, &b);
    warm_format_timings(&j, &some_timings);
    warm_jv *v = json_of(b.data);
    assert_int_equal(int_at(v, "cache_n"), 7);
    assert_int_equal(int_at(v, "prompt_n"), 3);
    assert_float_equal(num_at(v, "prompt_ms"), 30, 0);
    assert_float_equal(num_at(v, "prompt_per_token_ms"), 10, 1e-9);
    assert_float_equal(num_at(v, "prompt_per_second"), 100, 1e-9);
    assert_int_equal(int_at(v, "predicted_n"), 5);
    assert_float_equal(num_at(v, "predicted_per_token_ms"), 2, 1e-9);
    assert_float_equal(num_at(v, "predicted_per_second"), 500, 1e-9);
    assert_int_equal(int_at(v, "cache/device"), 3);
    assert_int_equal(int_at(v, "cache/ram"), 4);
    assert_int_equal(int_at(v, "cache/computed"), 3);
    assert_float_equal(num_at(v, "cache/load_ms"), 2.5, 0);
    assert_float_equal(num_at(v, "cache/wait_ms"), 1.5, 0);
    json_object_put(v);
    warm_buf_clear(&b);
    warm_json_init(&j, &b);
    warm_format_timings(&j, &(warm_task_timings){0});
    v = json_of(b.data);
    assert_float_equal(num_at(v, "prompt_per_second"), 0, 0);
    assert_float_equal(num_at(v, "predicted_per_token_ms"), 0, 0);
    json_object_put(v);
    warm_buf_free(&b);
}

static void a_whole_native_answer(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"return_tokens\":true,\"stop\":\"END\",\"top_k\":3}", 1);
    w.answers[0].prompt = "<s>hi";
    w.answers[0].prompt_len = 5;
    add(&w, 0, event(WARM_EV_TOKEN, "ab"));
    warm_event *end = done("c", WARM_STOP_WORD, "END");
    end->has_new_line = end->truncated = true;
    add(&w, 0, end);
    warm_jv *v = whole(&w);
    assert_string_equal(str_at(v, "content"), "abc");
    assert_int_equal(json_object_array_length(at(v, "tokens")), 3);
    assert_int_equal(int_at(v, "tokens/2"), 'c' + 1);
    assert_true(bool_at(v, "stop"));
    assert_string_equal(str_at(v, "stop_type"), "word");
    assert_string_equal(str_at(v, "stopping_word"), "END");
    assert_string_equal(str_at(v, "model"), "m.gguf");
    assert_string_equal(str_at(v, "prompt"), "<s>hi");
    assert_int_equal(int_at(v, "id_slot"), 1);
    assert_int_equal(int_at(v, "index"), 0);
    assert_true(bool_at(v, "has_new_line"));
    assert_true(bool_at(v, "truncated"));
    assert_int_equal(int_at(v, "tokens_predicted"), 5);
    assert_int_equal(int_at(v, "tokens_evaluated"), 10);
    assert_int_equal(int_at(v, "tokens_cached"), 14);
    assert_int_equal(int_at(v, "generation_settings/seed"), 99);
    assert_int_equal(int_at(v, "generation_settings/top_k"), 3);
    assert_string_equal(str_at(v, "generation_settings/stop/0"), "END");
    assert_string_equal(str_at(v, "generation_settings/samplers/0"), "penalties");
    assert_string_equal(str_at(v, "generation_settings/dry_sequence_breakers/0"), "\n");
    assert_int_equal(int_at(v, "timings/cache_n"), 7);
    assert_null(at(v, "completion_probabilities"));
    json_object_put(v);
    close_world(&w);
}

static void stop_types_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"none", "eos", "word", "limit"};
    static const enum warm_stop stops[] = {WARM_STOP_NONE, WARM_STOP_EOS, WARM_STOP_WORD, WARM_STOP_LIMIT};
    for (size_t i = 0; i < 4; i++) {
        world w;
        open_world(&w, WARM_API_NATIVE, "{}", 1);
        add(&w, 0, done("x", stops[i], NULL));
        warm_jv *v = whole(&w);
        assert_string_equal(str_at(v, "stop_type"), names[i]);
        assert_string_equal(str_at(v, "stopping_word"), "");
        assert_int_equal(json_object_array_length(at(v, "tokens")), 0); /* not asked for */
        json_object_put(v);
        close_world(&w);
    }
}

static void several_native_answers_are_an_array(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"n_cmpl\":2}", 2);
    add(&w, 0, done("a", WARM_STOP_EOS, NULL));
    add(&w, 1, done("b", WARM_STOP_EOS, NULL));
    warm_format_whole(&w.reply, &w.out);
    warm_buf wrapped;
    warm_buf_init(&wrapped, 1 << 20);
    warm_buf_printf(&wrapped, "{\"list\":%s}", w.out.data);
    warm_jv *v = json_of(wrapped.data);
    assert_int_equal(json_object_array_length(at(v, "list")), 2);
    assert_string_equal(str_at(v, "list/1/content"), "b");
    assert_int_equal(int_at(v, "list/1/index"), 1);
    json_object_put(v);
    warm_buf_free(&wrapped);
    close_world(&w);
}

static void response_fields_choose(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE,
               "{\"response_fields\":[\"content\",\"generation_settings/top_p\",\"timings/cache\",\"absent\",\"content/x\"]}", 1);
    add(&w, 0, done("a\xc3\xa9/\"", WARM_STOP_EOS, NULL));
    warm_jv *v = whole(&w);
    assert_int_equal(json_object_object_length(v), 3);
    assert_string_equal(str_at(v, "content"), "a\xc3\xa9/\"");
    double top_p;
    assert_true(warm_jnum(warm_jget(v, "generation_settings/top_p"), &top_p));
    assert_float_equal(top_p, 0.95, 1e-6);
    assert_int_equal(int_at(warm_jget(v, "timings/cache"), "ram"), 4);
    json_object_put(v);
    close_world(&w);
}

static void a_native_stream_has_chunks_and_an_end_without_done(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"stream\":true,\"return_progress\":true,\"timings_per_token\":true}", 1);
    stream(&w, 0, event(WARM_EV_PROGRESS, NULL));
    stream(&w, 0, event(WARM_EV_TOKEN, "ab"));
    stream(&w, 0, done("c", WARM_STOP_LIMIT, NULL));
    warm_format_stream_end(&w.reply, &w.out);
    warm_jv *v = sse(&w, 0);
    assert_int_equal(int_at(v, "prompt_progress/total"), 10);
    assert_int_equal(int_at(v, "prompt_progress/cache"), 7);
    assert_int_equal(int_at(v, "prompt_progress/processed"), 10);
    assert_int_equal(int_at(v, "prompt_progress/time_ms"), 30);
    json_object_put(v);
    v = sse(&w, 1);
    assert_string_equal(str_at(v, "content"), "ab");
    assert_false(bool_at(v, "stop"));
    assert_int_equal(int_at(v, "tokens/1"), 'b' + 1);
    assert_int_equal(int_at(v, "timings/predicted_n"), 5);
    assert_null(at(v, "prompt_progress"));
    json_object_put(v);
    v = sse(&w, 2);
    assert_string_equal(str_at(v, "content"), "c");
    json_object_put(v);
    v = sse(&w, 3);
    assert_true(bool_at(v, "stop"));
    assert_string_equal(str_at(v, "content"), "");
    assert_string_equal(str_at(v, "stop_type"), "limit");
    json_object_put(v);
    assert_null(sse(&w, 4));
    assert_false(ends_with_done(&w));
    close_world(&w);
}

static void probabilities_have_the_likeliest_and_the_bytes(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"n_probs\":2}", 1);
    add(&w, 0, event(WARM_EV_TOKEN, "a\xc3"));
    add(&w, 0, done("b", WARM_STOP_EOS, NULL));
    warm_jv *v = whole(&w);
    assert_int_equal(json_object_array_length(at(v, "completion_probabilities")), 3);
    assert_string_equal(str_at(v, "completion_probabilities/0/token"), "a");
    assert_float_equal(num_at(v, "completion_probabilities/0/logprob"), -0.5, 0);
    assert_int_equal(int_at(v, "completion_probabilities/0/id"), 'a' + 1);
    assert_int_equal(int_at(v, "completion_probabilities/1/bytes/0"), 0xc3);
    assert_int_equal(json_object_array_length(at(v, "completion_probabilities/0/top_logprobs")), 2);
    assert_string_equal(str_at(v, "completion_probabilities/0/top_logprobs/1/token"), "z");
    assert_float_equal(num_at(v, "completion_probabilities/0/top_logprobs/1/logprob"), -FLT_MAX, 1e32);
    json_object_put(v);
    close_world(&w);
}

static void the_stop_strings_own_probabilities_are_not_shown(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"n_probs\":1,\"stop\":\"bc\"}", 1);
    add(&w, 0, done("abc", WARM_STOP_WORD, "bc"));
    warm_jv *v = whole(&w);
    assert_int_equal(json_object_array_length(at(v, "completion_probabilities")), 1);
    json_object_put(v);
    close_world(&w);
}

static void probabilities_after_sampling_leave_out_the_impossible(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"n_probs\":2,\"post_sampling_probs\":true}", 1);
    warm_event *ev = done("a", WARM_STOP_EOS, NULL);
    ev->probs[0].p = ev->top[0].p = 1;
    ev->top[1].p = 0;
    add(&w, 0, ev);
    warm_jv *v = whole(&w);
    assert_float_equal(num_at(v, "completion_probabilities/0/prob"), 1, 0);
    assert_int_equal(json_object_array_length(at(v, "completion_probabilities/0/top_probs")), 1);
    json_object_put(v);
    close_world(&w);
}

static void piles_of_probabilities_are_refused(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_NATIVE, "{\"n_probs\":300}", 1);
    warm_event *ev = event(WARM_EV_TOKEN, NULL);
    ev->n_tokens = 1 << 17;
    ev->tokens = calloc(ev->n_tokens, sizeof *ev->tokens);
    warm_err err = {0};
    assert_int_equal(warm_answer_add(&w.answers[0], &w.params, ev, &err), WARM_EFULL);
    warm_event_free(ev);
    close_world(&w);
}

static void whole_openai_answers(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_CHAT, "{\"n\":2}", 2);
    add(&w, 0, done("a", WARM_STOP_EOS, NULL));
    add(&w, 1, done("b", WARM_STOP_LIMIT, NULL));
    warm_jv *v = whole(&w);
    assert_string_equal(str_at(v, "object"), "chat.completion");
    assert_string_equal(str_at(v, "id"), "chatcmpl-1");
    assert_int_equal(int_at(v, "created"), 1234);
    assert_string_equal(str_at(v, "model"), "m.gguf");
    assert_string_equal(str_at(v, "system_fingerprint"), "b1");
    assert_string_equal(str_at(v, "choices/0/message/role"), "assistant");
    assert_string_equal(str_at(v, "choices/1/message/content"), "b");
    assert_string_equal(str_at(v, "choices/0/finish_reason"), "stop");
    assert_string_equal(str_at(v, "choices/1/finish_reason"), "length");
    assert_int_equal(int_at(v, "choices/1/index"), 1);
    /* one prompt, two completions */
    assert_int_equal(int_at(v, "usage/prompt_tokens"), 10);
    assert_int_equal(int_at(v, "usage/completion_tokens"), 10);
    assert_int_equal(int_at(v, "usage/total_tokens"), 20);
    assert_int_equal(int_at(v, "usage/prompt_tokens_details/cached_tokens"), 7);
    assert_int_equal(int_at(v, "timings/cache/ram"), 4);
    json_object_put(v);
    close_world(&w);

    open_world(&w, WARM_API_TEXT, "{\"logprobs\":1,\"verbose\":true}", 2); /* two prompts */
    add(&w, 0, done("a", WARM_STOP_WORD, NULL));
    add(&w, 1, done("b", WARM_STOP_EOS, NULL));
    v = whole(&w);
    assert_string_equal(str_at(v, "object"), "text_completion");
    assert_string_equal(str_at(v, "choices/1/text"), "b");
    assert_string_equal(str_at(v, "choices/0/logprobs/content/0/token"), "a");
    assert_int_equal(int_at(v, "usage/prompt_tokens"), 20);
    assert_string_equal(str_at(v, "__verbose/content"), "a");
    json_object_put(v);
    close_world(&w);
}

static void a_chat_stream_is_role_content_end_usage_done(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_CHAT, "{\"stream\":true,\"stream_options\":{\"include_usage\":true}}", 1);
    stream(&w, 0, event(WARM_EV_TOKEN, ""));
    stream(&w, 0, event(WARM_EV_TOKEN, "hi"));
    stream(&w, 0, done("!", WARM_STOP_EOS, NULL));
    warm_format_stream_end(&w.reply, &w.out);
    warm_jv *v = sse(&w, 0);
    assert_string_equal(str_at(v, "object"), "chat.completion.chunk");
    assert_string_equal(str_at(v, "choices/0/delta/role"), "assistant");
    assert_null(at(v, "choices/0/finish_reason"));
    json_object_put(v);
    v = sse(&w, 1);
    assert_string_equal(str_at(v, "choices/0/delta/content"), "hi");
    assert_null(at(v, "choices/0/delta/role"));
    json_object_put(v);
    v = sse(&w, 2);
    assert_string_equal(str_at(v, "choices/0/delta/content"), "!");
    json_object_put(v);
    v = sse(&w, 3);
    assert_string_equal(str_at(v, "choices/0/finish_reason"), "stop");
    assert_int_equal(json_object_object_length(at(v, "choices/0/delta")), 0);
    assert_null(at(v, "timings"));
    json_object_put(v);
    v = sse(&w, 4);
    assert_int_equal(json_object_array_length(at(v, "choices")), 0);
    assert_int_equal(int_at(v, "usage/prompt_tokens_details/cached_tokens"), 7);
    assert_int_equal(int_at(v, "timings/prompt_n"), 3);
    json_object_put(v);
    assert_true(ends_with_done(&w));
    close_world(&w);
}

static void a_chat_stream_without_usage_ends_with_timings(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_CHAT, "{\"stream\":true,\"logprobs\":true,\"top_logprobs\":2}", 1);
    stream(&w, 0, done("x", WARM_STOP_LIMIT, NULL));
    warm_format_stream_end(&w.reply, &w.out);
    warm_jv *v = sse(&w, 1);
    assert_string_equal(str_at(v, "choices/0/logprobs/content/0/token"), "x");
    json_object_put(v);
    v = sse(&w, 2);
    assert_string_equal(str_at(v, "choices/0/finish_reason"), "length");
    assert_int_equal(int_at(v, "timings/cache_n"), 7);
    json_object_put(v);
    assert_null(sse(&w, 3));
    assert_true(ends_with_done(&w));
    close_world(&w);
}

static void of_two_streamed_chats_usage_is_one(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_CHAT, "{\"stream\":true,\"n\":2,\"stream_options\":{\"include_usage\":true}}", 2);
    stream(&w, 1, done("b", WARM_STOP_EOS, NULL));
    stream(&w, 0, done("a", WARM_STOP_EOS, NULL));
    warm_format_stream_end(&w.reply, &w.out);
    warm_jv *v = sse(&w, 1);
    assert_int_equal(int_at(v, "choices/0/index"), 1);
    json_object_put(v);
    v = sse(&w, 2);
    assert_int_equal(int_at(v, "timings/cache_n"), 7); /* each end has its own */
    json_object_put(v);
    v = sse(&w, 6);
    assert_int_equal(int_at(v, "usage/completion_tokens"), 10);
    assert_int_equal(int_at(v, "usage/prompt_tokens"), 10);
    json_object_put(v);
    assert_true(ends_with_done(&w));
    close_world(&w);
}

static void a_text_stream_ends_with_usage(void **state) {
    (void)state;
    world w;
    open_world(&w, WARM_API_TEXT, "{\"stream\":true}", 1);
    stream(&w, 0, event(WARM_EV_TOKEN, "hi"));
    stream(&w, 0, done("", WARM_STOP_EOS, NULL));
    warm_format_stream_end(&w.reply, &w.out);
    warm_jv *v = sse(&w, 0);
    assert_string_equal(str_at(v, "choices/0/text"), "hi");
    assert_true(json_object_object_get_ex(at(v, "choices/0"), "logprobs", NULL));
    json_object_put(v);
    v = sse(&w, 1);
    assert_string_equal(str_at(v, "choices/0/text"), "");
    assert_string_equal(str_at(v, "choices/0/finish_reason"), "stop");
    assert_int_equal(int_at(v, "usage/completion_tokens"), 5);
    json_object_put(v);
    assert_true(ends_with_done(&w));
    close_world(&w);
}

static void errors_have_llama_servers_shape(void **state) {
    (void)state;
    static const struct {
        int code, status;
        const char *type;
    } cases[] = {{WARM_EINVAL, 400, "invalid_request_error"}, {WARM_ETOOLARGE, 400, "exceed_context_size_error"},
                 {WARM_ENOTSUP, 501, "not_supported_error"},  {WARM_EAGAIN, 503, "unavailable_error"},
                 {WARM_ECLOSED, 503, "unavailable_error"},    {WARM_EENGINE, 500, "server_error"},
                 {WARM_ENOTFOUND, 404, "not_found_error"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_failure f = {.n_prompt_tokens = 9, .n_ctx = 8};
        warm_err_set(&f.err, cases[i].code, "words");
        warm_buf b;
        warm_json j;
        warm_buf_init(&b, 4096);
        warm_json_init(&j, &b);
        warm_failure_write(&j, &f, NULL);
        warm_jv *v = json_of(b.data);
        assert_int_equal(int_at(v, "error/code"), cases[i].status);
        assert_string_equal(str_at(v, "error/type"), cases[i].type);
        assert_string_equal(str_at(v, "error/message"), "words");
        assert_int_equal(at(v, "error/n_ctx") != NULL, cases[i].code == WARM_ETOOLARGE);
        if (cases[i].code == WARM_ETOOLARGE) assert_int_equal(int_at(v, "error/n_prompt_tokens"), 9);
        json_object_put(v);
        warm_buf_free(&b);
    }
}

static void refusals_of_the_http_layer_look_the_same(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *type;
    } cases[] = {{400, "invalid_request_error"}, {401, "authentication_error"},  {403, "permission_error"},
                 {404, "not_found_error"},       {405, "invalid_request_error"}, {413, "invalid_request_error"},
                 {500, "server_error"},          {503, "unavailable_error"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len;
        char *body = warm_api_error_body(cases[i].status, "a \"word\"", &len);
        warm_jv *v = json_of_n(body, len);
        assert_int_equal(int_at(v, "error/code"), cases[i].status);
        assert_string_equal(str_at(v, "error/type"), cases[i].type);
        assert_string_equal(str_at(v, "error/message"), "a \"word\"");
        json_object_put(v);
        free(body);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timings_are_those_of_llama_server_and_ours),
        cmocka_unit_test(a_whole_native_answer),
        cmocka_unit_test(stop_types_have_names),
        cmocka_unit_test(several_native_answers_are_an_array),
        cmocka_unit_test(response_fields_choose),
        cmocka_unit_test(a_native_stream_has_chunks_and_an_end_without_done),
        cmocka_unit_test(probabilities_have_the_likeliest_and_the_bytes),
        cmocka_unit_test(the_stop_strings_own_probabilities_are_not_shown),
        cmocka_unit_test(probabilities_after_sampling_leave_out_the_impossible),
        cmocka_unit_test(piles_of_probabilities_are_refused),
        cmocka_unit_test(whole_openai_answers),
        cmocka_unit_test(a_chat_stream_is_role_content_end_usage_done),
        cmocka_unit_test(a_chat_stream_without_usage_ends_with_timings),
        cmocka_unit_test(of_two_streamed_chats_usage_is_one),
        cmocka_unit_test(a_text_stream_ends_with_usage),
        cmocka_unit_test(errors_have_llama_servers_shape),
        cmocka_unit_test(refusals_of_the_http_layer_look_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
