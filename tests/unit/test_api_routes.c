/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_routes.c - the whole way of a request: socket, pool, scheduler on the simulated engine, and back. */
#include "api_fixture.h"
#include "http_fixture.h"

#include "api/api.h"
#include "base/buf.h"
#include "sim/sim.h"

typedef struct world {
    server server;
    warm_config config;
    warm_api *api;
    warm_engine *engine;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_worker *worker;
    warm_sched *sched;
    pthread_t sched_thread;
    bool ready;
} world;

static void *run_sched(void *arg) {
    warm_sched_run(((world *)arg)->sched);
    return NULL;
}

static void open_loading(world *w, char **args) {
    char *argv[16] = {"warmslot", "-m", "models/tiny.gguf"}, *env[] = {NULL};
    int argc = 3;
    memset(w, 0, sizeof *w);
    for (; args && *args; args++) argv[argc++] = *args;
    warm_err err = {0};
    if (warm_config_parse(argc, argv, env, &w->config, &err)) fail_msg("%s", err.text);
    server_new(&w->server, (warm_http_options){.error_body = warm_api_error_body});
    const warm_api_options o = {.config = &w->config, .http = w->server.http};
    assert_int_equal(warm_api_new(&o, &w->api, &err), 0);
    server_run(&w->server);
}

static void make_ready(world *w, const warm_sim_options *sim, uint32_t n_slots) {
    assert_int_equal(warm_sim_open(sim, &w->engine), 0);
    assert_int_equal(warm_worker_new("test", 1, &w->worker, NULL), 0);
    warm_budget_init(&w->budget, 8 << 20);
    assert_int_equal(warm_store_ram_open(&w->budget, 0, &w->store, NULL), 0);
    const warm_cache_options co = {.store = w->store, .budget = &w->budget};
    assert_int_equal(warm_cache_new(&co, &w->cache, NULL), 0);
    const warm_sched_options so = {.engine = w->engine,
                                   .cache = w->cache,
                                   .store = w->store,
                                   .worker = w->worker,
                                   .clock = &warm_clock_monotonic,
                                   .n_slots = n_slots};
    assert_int_equal(warm_sched_new(&so, &w->sched, NULL), 0);
    warm_api_ready(w->api, w->engine, w->sched);
    assert_int_equal(pthread_create(&w->sched_thread, NULL, run_sched, w), 0);
    w->ready = true;
}

static void open_world(world *w, char **args) {
    open_loading(w, args);
    make_ready(w, &(warm_sim_options){0}, 2);
}

/* In the order that api.h asks for, whatever is still under way. */
static void close_world(world *w) {
    warm_http_stop(w->server.http);
    assert_int_equal(pthread_join(w->server.thread, NULL), 0);
    warm_api_free(w->api);
    if (w->ready) {
        warm_sched_stop(w->sched);
        assert_int_equal(pthread_join(w->sched_thread, NULL), 0);
        warm_sched_free(w->sched);
        warm_cache_free(w->cache);
        w->store->ops->close(w->store);
        warm_worker_free(w->worker);
        w->engine->ops->close(w->engine);
    }
    warm_http_free(w->server.http);
    sem_destroy(&w->server.event);
    warm_config_free(&w->config);
}

static void post(const world *w, const char *path, const char *body, answer *a) {
    size_t room = strlen(body) + 256;
    char *request = malloc(room);
    snprintf(request, room, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", path, strlen(body),
             body);
    exchange(&w->server, request, a);
    free(request);
}

static void get(const world *w, const char *path, answer *a) {
    char request[256];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    exchange(&w->server, request, a);
}

static warm_jv *post_ok(const world *w, const char *path, const char *body) {
    static answer a;
    post(w, path, body, &a);
    if (a.status != 200) fail_msg("%s: %d %s", path, a.status, a.body);
    assert_string_equal(answer_header(&a, "Content-Type"), "application/json; charset=utf-8");
    return json_of(a.body);
}

static void assert_error(const answer *a, int status, const char *type, const char *words) {
    if (a->status != status) fail_msg("%d instead of %d: %s", a->status, status, a->body);
    warm_jv *v = json_of(a->body);
    assert_int_equal(int_at(v, "error/code"), status);
    assert_string_equal(str_at(v, "error/type"), type);
    if (words && !strstr(str_at(v, "error/message"), words)) fail_msg("%s does not say %s", a->body, words);
    json_object_put(v);
}

static void until_ready_every_route_says_loading(void **state) {
    (void)state;
    world w;
    answer a;
    open_loading(&w, NULL);
    get(&w, "/health", &a);
    assert_error(&a, 503, "unavailable_error", "Loading model");
    post(&w, "/completion", "{}", &a);
    assert_error(&a, 503, "unavailable_error", "Loading model");
    make_ready(&w, &(warm_sim_options){0}, 2);
    get(&w, "/health", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"status\":\"ok\"}");
    close_world(&w);
}

static void a_server_that_never_got_ready_ends(void **state) {
    (void)state;
    world w;
    open_loading(&w, NULL);
    close_world(&w);
}

static void information_about_the_server(void **state) {
    (void)state;
    world w;
    static answer a;
    char *args[] = {"--metrics", NULL};
    open_world(&w, args);
    get(&w, "/v1/models", &a);
    warm_jv *v = json_of(a.body);
    assert_string_equal(str_at(v, "data/0/id"), "tiny.gguf");
    assert_string_equal(str_at(v, "data/0/object"), "model");
    assert_string_equal(str_at(v, "models/0/name"), "tiny.gguf");
    assert_int_equal(int_at(v, "data/0/meta/n_ctx"), 4096);
    assert_int_equal(int_at(v, "data/0/meta/n_vocab"), 257);
    json_object_put(v);
    get(&w, "/props", &a);
    v = json_of(a.body);
    assert_int_equal(int_at(v, "total_slots"), 2);
    assert_int_equal(int_at(v, "default_generation_settings/n_ctx"), 4096);
    assert_int_equal(int_at(v, "default_generation_settings/params/top_k"), 40);
    assert_false(bool_at(v, "modalities/vision"));
    assert_true(bool_at(v, "endpoint_metrics"));
    json_object_put(v);
    post(&w, "/props", "{}", &a);
    assert_error(&a, 501, "not_supported_error", "--props");
    get(&w, "/metrics", &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.body, "\nllamacpp:prompt_tokens_total 0\n"));
    assert_non_null(strstr(a.body, "\nwarmslot_cells 4096\n"));
    assert_non_null(answer_header(&a, "Process-Start-Time-Unix"));
    get(&w, "/nowhere", &a);
    assert_error(&a, 404, "not_found_error", NULL);
    close_world(&w);
}

static void endpoints_can_be_off(void **state) {
    (void)state;
    world w;
    answer a;
    char *args[] = {"--no-slots", NULL};
    open_world(&w, args);
    get(&w, "/metrics", &a);
    assert_error(&a, 501, "not_supported_error", "--metrics");
    get(&w, "/slots", &a);
    assert_error(&a, 501, "not_supported_error", "--slots");
    close_world(&w);
}

static void a_completion_is_what_the_engine_generates(void **state) {
    (void)state;
    world w;
    open_world(&w, NULL);
    warm_jv *v = post_ok(&w, "/completion", "{\"prompt\":[5,6,7],\"n_predict\":8,\"ignore_eos\":true,\"return_tokens\":true}");
    int32_t tokens[16] = {5, 6, 7};
    for (size_t i = 0; i < 8; i++) {
        tokens[3 + i] = warm_sim_next(w.engine, warm_sim_hash(tokens, 3 + i), true);
        char path[16];
        snprintf(path, sizeof path, "tokens/%zu", i);
        assert_int_equal(int_at(v, path), tokens[3 + i]);
    }
    assert_string_equal(str_at(v, "stop_type"), "limit");
    assert_int_equal(int_at(v, "tokens_predicted"), 8);
    assert_int_equal(int_at(v, "tokens_evaluated"), 3);
    assert_int_equal(int_at(v, "timings/prompt_n") + int_at(v, "timings/cache_n"), 3);
    assert_int_equal(int_at(v, "generation_settings/n_predict"), 8);
    json_object_put(v);
    close_world(&w);
}

static void the_second_time_a_prompt_is_cached(void **state) {
    (void)state;
    world w;
    char body[900];
    open_world(&w, NULL);
    size_t n = (size_t)snprintf(body, sizeof body, "{\"n_predict\":4,\"ignore_eos\":true,\"prompt\":\"");
    memset(body + n, 'x', 600);
    snprintf(body + n + 600, sizeof body - n - 600, "\"}");
    warm_jv *v = post_ok(&w, "/completions", body);
    assert_int_equal(int_at(v, "timings/cache_n"), 0);
    json_object_put(v);
    v = post_ok(&w, "/v1/completions", body);
    assert_int_equal(int_at(v, "timings/cache_n"), 599);
    assert_int_equal(int_at(v, "usage/prompt_tokens_details/cached_tokens"), 599);
    assert_int_equal(int_at(v, "timings/cache/device") + int_at(v, "timings/cache/ram"), 599);
    assert_string_equal(str_at(v, "choices/0/finish_reason"), "length");
    json_object_put(v);
    close_world(&w);
}

static void several_answers_in_one(void **state) {
    (void)state;
    world w;
    answer a;
    open_world(&w, NULL);
    warm_jv *v =
        post_ok(&w, "/v1/completions", "{\"prompt\":[\"a\",\"b\"],\"n\":2,\"max_tokens\":2,\"ignore_eos\":true,\"seed\":1}");
    assert_int_equal(json_object_array_length(at(v, "choices")), 4);
    for (int i = 0; i < 4; i++) {
        char path[32];
        snprintf(path, sizeof path, "choices/%d/index", i);
        assert_int_equal(int_at(v, path), i);
    }
    assert_int_equal(int_at(v, "usage/prompt_tokens"), 2);
    assert_int_equal(int_at(v, "usage/completion_tokens"), 8);
    json_object_put(v);
    post(&w, "/completion", "{\"prompt\":[[1,2],[3]],\"n_predict\":1,\"response_fields\":[\"index\",\"tokens_evaluated\"]}", &a);
    assert_string_equal(a.body, "[{\"index\":0,\"tokens_evaluated\":2},{\"index\":1,\"tokens_evaluated\":1}]");
    close_world(&w);
}

static void a_chat_is_rendered_and_answered(void **state) {
    (void)state;
    world w;
    open_world(&w, NULL);
    warm_jv *v = post_ok(&w, "/v1/chat/completions",
                         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_completion_tokens\":3,\"ignore_eos\":true}");
    assert_string_equal(str_at(v, "object"), "chat.completion");
    assert_string_equal(str_at(v, "choices/0/message/role"), "assistant");
    assert_string_equal(str_at(v, "model"), "tiny.gguf");
    assert_memory_equal(str_at(v, "id"), "chatcmpl-", 9);
    assert_int_equal(strlen(str_at(v, "id")), 41);
    assert_int_equal(int_at(v, "usage/completion_tokens"), 3);
    json_object_put(v);
    close_world(&w);
}

static void streams_arrive_as_events(void **state) {
    (void)state;
    world w;
    static answer a;
    open_world(&w, NULL);
    post(&w, "/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"max_tokens\":3,\"ignore_eos\":true,\"stream\":true,"
         "\"stream_options\":{\"include_usage\":true}}",
         &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Content-Type"), "text/event-stream");
    assert_true(a.complete);
    assert_memory_equal(a.body, "data: {", 7);
    assert_non_null(strstr(a.body, "\"role\":\"assistant\""));
    assert_non_null(strstr(a.body, "\"completion_tokens\":3"));
    assert_string_equal(a.body + a.body_len - 14, "data: [DONE]\n\n");
    post(&w, "/completion", "{\"prompt\":\"hi\",\"n_predict\":3,\"stream\":true,\"return_progress\":true}", &a);
    assert_non_null(strstr(a.body, "\"stop\":true"));
    assert_null(strstr(a.body, "[DONE]"));
    close_world(&w);
}

static void malformed_requests_name_what_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *path, *body, *words;
        int status;
    } cases[] = {
        {"/completion", "", "empty", 400},
        {"/completion", "{\"prompt\":", "invalid JSON", 400},
        {"/completion", "[]", "object", 400},
        {"/completion", "{}", "'prompt'", 400},
        {"/completion", "{\"prompt\":\"a\",\"n_predict\":\"x\"}", "'n_predict'", 400},
        {"/completion", "{\"prompt\":[1,999]}", "'prompt'", 400},
        {"/completion", "{\"prompt\":\"a\",\"lora\":[{}]}", "'lora[0].id'", 400},
        {"/completion", "{\"prompt\":\"a\",\"lora\":[{\"id\":0,\"scale\":1}]}", "no adapter 0", 400},
        {"/v1/completions", "{\"prompt\":[]}", "'prompt'", 400},
        {"/v1/chat/completions", "{}", "'messages'", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", "image_url", 501},
        {"/tokenize", "{\"content\":5}", "'content'", 400},
        {"/tokenize", "{\"content\":\"a\",\"add_special\":1}", "'add_special'", 400},
        {"/detokenize", "{\"tokens\":[1,999]}", "'tokens'", 400},
        {"/detokenize", "{\"tokens\":[\"a\"]}", "'tokens'", 400},
        {"/detokenize", "{\"tokens\":\"a\"}", "'tokens'", 400},
        {"/apply-template", "{\"messages\":5}", "'messages'", 400},
    };
    world w;
    answer a;
    open_world(&w, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        post(&w, cases[i].path, cases[i].body, &a);
        assert_error(&a, cases[i].status, cases[i].status == 400 ? "invalid_request_error" : "not_supported_error", cases[i].words);
    }
    close_world(&w);
}

static void open_with_adapters(world *w) {
    static const float scales[] = {0.5f, 0.0f};
    open_loading(w, NULL);
    make_ready(w, &(warm_sim_options){.adapter_scale = scales, .n_adapters = 2}, 2);
}

/* Scales as GET /lora-adapters tells them. */
static void assert_scales(const world *w, double first, double second) {
    answer a;
    warm_jv *v = NULL;
    warm_err err = {0};
    get(w, "/lora-adapters", &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(warm_jread_array(a.body, strlen(a.body), &v, &err), 0);
    assert_int_equal(json_object_array_length(v), 2);
    assert_int_equal(int_at(v, "1/id"), 1);
    assert_string_equal(str_at(v, "1/path"), "simulated 1");
    assert_string_equal(str_at(v, "1/task_name"), "");
    assert_string_equal(str_at(v, "1/prompt_prefix"), "");
    assert_true(num_at(v, "0/scale") == first && num_at(v, "1/scale") == second);
    json_object_put(v);
}

/* What is generated, and how much of the prompt had to be computed. */
static char *generate(const world *w, const char *lora, int64_t *n_computed) {
    char body[256];
    snprintf(body, sizeof body,
             "{\"prompt\":\"some words to begin with\",\"n_predict\":8,\"ignore_eos\":true,\"return_tokens\":true%s%s}",
             *lora ? ",\"lora\":" : "", lora);
    warm_jv *v = post_ok(w, "/completion", body);
    char *tokens = strdup(json_object_to_json_string(at(v, "tokens")));
    *n_computed = int_at(v, "timings/prompt_n");
    json_object_put(v);
    return tokens;
}

static void adapters_hold_for_requests_that_name_none(void **state) {
    (void)state;
    world w;
    enum { N = 7 };
    open_with_adapters(&w);
    assert_scales(&w, 0.5, 0);
    /* what is set before a request ("": nothing), what it says itself, and which earlier one was computed alike */
    static const struct {
        const char *set, *says;
        int as;
    } cases[N] = {{"", "", -1},
                  {"[{\"id\":1,\"scale\":1.5}]", "", -1},
                  {"[]", "", -1},
                  {"", "[{\"id\":0,\"scale\":1},{\"scale\":2,\"id\":1},{\"id\":0,\"scale\":0.5},{\"id\":1}]", 0},
                  {"", "[{\"id\":1,\"scale\":1.5}]", 1},
                  {"[{\"id\":0,\"scale\":0.5}]", "[]", 0},
                  {"", "[{\"id\":0,\"scale\":-0.0}]", 2}};
    char *got[N];
    for (size_t i = 0; i < N; i++) {
        int64_t n_computed;
        if (*cases[i].set) json_object_put(post_ok(&w, "/lora-adapters", cases[i].set));
        got[i] = generate(&w, cases[i].says, &n_computed);
        assert_int_equal(n_computed, cases[i].as < 0 ? 24 : 1);
        for (int k = 0; k < (int)i; k++) {
            if (k == cases[i].as) assert_string_equal(got[i], got[k]);
            if (cases[i].as < 0) assert_string_not_equal(got[i], got[k]);
        }
    }
    for (size_t i = 0; i < N; i++) free(got[i]);
    assert_scales(&w, 0.5, 0);
    warm_jv *v = post_ok(&w, "/completion", "{\"prompt\":\"a\",\"n_predict\":1,\"lora\":[{\"id\":1,\"scale\":1},{\"id\":0}]}");
    assert_string_equal(json_object_to_json_string_ext(at(v, "generation_settings/lora"), JSON_C_TO_STRING_PLAIN),
                        "[{\"id\":0,\"scale\":0},{\"id\":1,\"scale\":1}]");
    json_object_put(v);
    close_world(&w);
}

static void lists_of_adapters_that_are_wrong_change_nothing(void **state) {
    (void)state;
    static const struct {
        const char *list, *words;
    } cases[] = {
        {"{}", "array"},
        {"{\"id\":0,\"scale\":1}", "array"},
        {"5", "array"},
        {"[1]", "[0]': expected an object"},
        {"[null]", "[0]': expected an object"},
        {"[{\"id\":0,\"scale\":1},{}]", "[1].id'"},
        {"[{\"id\":null}]", "[0].id'"},
        {"[{\"id\":\"0\"}]", "[0].id'"},
        {"[{\"id\":0.5}]", "[0].id'"},
        {"[{\"id\":-1}]", "no adapter -1"},
        {"[{\"id\":2}]", "no adapter 2 (adapters loaded: 2)"},
        {"[{\"id\":0,\"scale\":\"1\"}]", "[0].scale'"},
        {"[{\"id\":0,\"scale\":true}]", "[0].scale'"},
        {"[{\"id\":0,\"scale\":1e39}]", "too large"},
    };
    world w;
    answer a;
    char body[128];
    open_with_adapters(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        post(&w, "/lora-adapters", cases[i].list, &a);
        assert_error(&a, 400, "invalid_request_error", cases[i].words);
        snprintf(body, sizeof body, "{\"prompt\":\"a\",\"lora\":%s}", cases[i].list);
        post(&w, "/completion", body, &a);
        assert_error(&a, 400, "invalid_request_error", cases[i].words);
        assert_error(&a, 400, "invalid_request_error", "Field 'lora");
    }
    static const char *const no_json[] = {"", "[", "[]x", "[{\"id\":0,}]"};
    for (size_t i = 0; i < sizeof no_json / sizeof *no_json; i++) {
        post(&w, "/lora-adapters", no_json[i], &a);
        assert_error(&a, 400, "invalid_request_error", NULL);
    }
    assert_scales(&w, 0.5, 0);
    close_world(&w);
}

static void a_prompt_too_large_says_both_numbers(void **state) {
    (void)state;
    world w;
    answer a;
    char body[512];
    open_loading(&w, NULL);
    make_ready(&w, &(warm_sim_options){.n_ctx = 128}, 1);
    for (int streamed = 0; streamed < 2; streamed++) {
        size_t n = (size_t)snprintf(body, sizeof body, "{\"stream\":%s,\"prompt\":\"", streamed ? "true" : "false");
        memset(body + n, 'x', 200);
        snprintf(body + n + 200, sizeof body - n - 200, "\"}");
        post(&w, "/completion", body, &a);
        assert_error(&a, 400, "exceed_context_size_error", NULL);
        warm_jv *v = json_of(a.body);
        assert_int_equal(int_at(v, "error/n_prompt_tokens"), 200);
        assert_int_equal(int_at(v, "error/n_ctx"), 128);
        json_object_put(v);
    }
    close_world(&w);
}

static void an_engine_that_fails_in_a_stream_is_an_event(void **state) {
    (void)state;
    world w;
    static answer a;
    open_loading(&w, NULL);
    make_ready(&w, &(warm_sim_options){.decode_fails_at = 4}, 1);
    post(&w, "/v1/completions", "{\"prompt\":\"hi\",\"max_tokens\":50,\"ignore_eos\":true,\"stream\":true}", &a);
    assert_int_equal(a.status, 200);
    assert_true(a.complete);
    assert_non_null(strstr(a.body, "data: {\"error\":{\"code\":500,"));
    assert_null(strstr(a.body, "[DONE]"));
    /* and the server goes on */
    post(&w, "/completion", "{\"prompt\":\"hi\",\"n_predict\":2}", &a);
    assert_int_equal(a.status, 200);
    close_world(&w);
}

static void text_becomes_tokens_and_text_again(void **state) {
    (void)state;
    world w;
    answer a;
    open_world(&w, NULL);
    warm_jv *v = post_ok(&w, "/tokenize", "{\"content\":\"h\xc3\xa9\",\"with_pieces\":true}");
    assert_int_equal(json_object_array_length(at(v, "tokens")), 3);
    assert_string_equal(str_at(v, "tokens/0/piece"), "h");
    assert_int_equal(int_at(v, "tokens/1/piece/0"), 0xc3);
    json_object_put(v);
    post(&w, "/tokenize", "{\"content\":[\"h\",7,\"i\"]}", &a);
    assert_string_equal(a.body, "{\"tokens\":[105,7,106]}");
    post(&w, "/tokenize", "{}", &a);
    assert_string_equal(a.body, "{\"tokens\":[]}");
    post(&w, "/detokenize", "{\"tokens\":[105,106]}", &a);
    assert_string_equal(a.body, "{\"content\":\"hi\"}");
    post(&w, "/detokenize", "{}", &a);
    assert_string_equal(a.body, "{\"content\":\"\"}");
    v = post_ok(&w, "/apply-template", "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}");
    assert_non_null(strstr(str_at(v, "prompt"), "user"));
    json_object_put(v);
    close_world(&w);
}

static bool all_idle(const world *w) {
    static answer a;
    get(w, "/slots", &a);
    warm_buf b;
    warm_buf_init(&b, 1 << 16);
    warm_buf_printf(&b, "{\"s\":%s}", a.body);
    warm_jv *v = json_of(b.data);
    bool idle = true;
    for (size_t i = 0; i < json_object_array_length(at(v, "s")); i++) {
        char path[32];
        snprintf(path, sizeof path, "s/%zu", i);
        warm_jv *slot = at(v, path);
        if (!bool_at(slot, "is_processing")) continue;
        idle = false;
        assert_true(int_at(slot, "n_prompt_tokens") >= 2);
        warm_jv *params = at(slot, "params");
        if (params) assert_int_equal(int_at(params, "n_predict"), 1000000);
    }
    json_object_put(v);
    warm_buf_free(&b);
    return idle;
}

#define ENDLESS "{\"prompt\":\"hi\",\"n_predict\":1000000,\"ignore_eos\":true,\"stream\":true,\"n_cmpl\":2}"

static int send_endless(const world *w) {
    char request[512];
    int fd = client_connect(&w->server);
    snprintf(request, sizeof request, "POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", strlen(ENDLESS),
             ENDLESS);
    client_send(fd, request);
    return fd;
}

static int begin_endless(const world *w) {
    char byte;
    int fd = send_endless(w);
    assert_int_equal(client_read(fd, &byte, 1), 1);
    return fd;
}

static void a_client_that_leaves_frees_its_slots(void **state) {
    (void)state;
    world w;
    open_loading(&w, NULL);
    make_ready(&w, &(warm_sim_options){.n_ctx = 1 << 16}, 2);
    int fd = begin_endless(&w);
    while (all_idle(&w)) { /* the state is published after the step that made the first byte */
    }
    close(fd);
    while (!all_idle(&w)) {
    }
    close_world(&w);
}

static void no_slot_can_be_an_error(void **state) {
    (void)state;
    world w;
    static answer a;
    open_loading(&w, NULL);
    make_ready(&w, &(warm_sim_options){.n_ctx = 1 << 16}, 2);
    get(&w, "/slots?fail_on_no_slot=1", &a);
    assert_int_equal(a.status, 200);
    int fd = begin_endless(&w);
    do get(&w, "/slots?fail_on_no_slot=1", &a);
    while (a.status == 200); /* until both have begun */
    assert_error(&a, 503, "unavailable_error", "no slot available");
    close(fd);
    close_world(&w);
}

static void the_server_may_end_while_streams_run(void **state) {
    (void)state;
    world w;
    open_loading(&w, NULL);
    make_ready(&w, &(warm_sim_options){.n_ctx = 1 << 16}, 2);
    int a = begin_endless(&w), b = send_endless(&w); /* one runs, one has to wait */
    close_world(&w);
    close(a);
    close(b);
}

static void clients_that_leave_at_once_harm_nobody(void **state) {
    (void)state;
    world w;
    open_world(&w, NULL);
    for (int i = 0; i < 100; i++) close(send_endless(&w));
    warm_jv *v = post_ok(&w, "/completion", "{\"prompt\":\"hi\",\"n_predict\":2,\"ignore_eos\":true}");
    assert_int_equal(int_at(v, "tokens_predicted"), 2);
    json_object_put(v);
    close_world(&w);
}

static void on_time(void *ud) {
    sem_post(ud);
}

struct timer_job {
    world *w;
    warm_http_timer *timer;
};

static void arm(void *ud) {
    struct timer_job *j = ud;
    j->timer = warm_http_timer_new(j->w->server.http, on_time, &j->w->server.event);
    warm_http_timer_arm(j->timer, 1000000);
    warm_http_timer_arm(j->timer, 1);
}

static void disarm(void *ud) {
    struct timer_job *j = ud;
    warm_http_timer_free(j->timer);
    warm_http_timer_free(NULL);
    sem_post(&j->w->server.event);
}

static void a_timer_fires_on_the_loop(void **state) {
    (void)state;
    world w;
    struct timer_job j = {.w = &w};
    open_loading(&w, NULL);
    assert_int_equal(warm_http_post(w.server.http, arm, &j), 0);
    server_wait(&w.server);
    assert_int_equal(warm_http_post(w.server.http, disarm, &j), 0);
    server_wait(&w.server);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(until_ready_every_route_says_loading),
        cmocka_unit_test(a_server_that_never_got_ready_ends),
        cmocka_unit_test(information_about_the_server),
        cmocka_unit_test(endpoints_can_be_off),
        cmocka_unit_test(a_completion_is_what_the_engine_generates),
        cmocka_unit_test(the_second_time_a_prompt_is_cached),
        cmocka_unit_test(several_answers_in_one),
        cmocka_unit_test(a_chat_is_rendered_and_answered),
        cmocka_unit_test(streams_arrive_as_events),
        cmocka_unit_test(malformed_requests_name_what_is_wrong),
        cmocka_unit_test(adapters_hold_for_requests_that_name_none),
        cmocka_unit_test(lists_of_adapters_that_are_wrong_change_nothing),
        cmocka_unit_test(a_prompt_too_large_says_both_numbers),
        cmocka_unit_test(an_engine_that_fails_in_a_stream_is_an_event),
        cmocka_unit_test(text_becomes_tokens_and_text_again),
        cmocka_unit_test(a_client_that_leaves_frees_its_slots),
        cmocka_unit_test(no_slot_can_be_an_error),
        cmocka_unit_test(the_server_may_end_while_streams_run),
        cmocka_unit_test(clients_that_leave_at_once_harm_nobody),
        cmocka_unit_test(a_timer_fires_on_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
