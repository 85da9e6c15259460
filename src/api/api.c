/* SPDX-License-Identifier: MIT
 *
 * api/api.c - the table of routes, the gate before them, and the api's life. See api.h. */
#include "api/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "api/call.h"
#include "base/alloc.h"
#include "base/worker.h"

enum { SLOTS_DEFAULT = 4 };

typedef struct route {
    const char *method, *path;
    unsigned flags;
    warm_http_handler handler;
} route;

static const route routes[] = {
    {"GET", "/health", WARM_HTTP_PUBLIC, warm__handle_health},
    {"GET", "/v1/health", WARM_HTTP_PUBLIC, warm__handle_health},
    {"GET", "/models", 0, warm__handle_models},
    {"GET", "/v1/models", 0, warm__handle_models},
    {"GET", "/props", 0, warm__handle_props},
    {"POST", "/props", 0, warm__handle_props_post},
    {"GET", "/slots", 0, warm__handle_slots},
    {"POST", "/slots/:id_slot", 0, warm__handle_slot_action},
    {"GET", "/metrics", 0, warm__handle_metrics},
    {"POST", "/completion", 0, warm__handle_native},
    {"POST", "/completions", 0, warm__handle_native},
    {"POST", "/v1/completions", 0, warm__handle_text},
    {"POST", "/chat/completions", 0, warm__handle_chat},
    {"POST", "/v1/chat/completions", 0, warm__handle_chat},
    {"POST", "/chat/completions/input_tokens", 0, warm__handle_count_chat},
    {"POST", "/v1/chat/completions/input_tokens", 0, warm__handle_count_chat},
    {"POST", "/responses", 0, warm__handle_responses},
    {"POST", "/v1/responses", 0, warm__handle_responses},
    {"POST", "/responses/input_tokens", 0, warm__handle_count_responses},
    {"POST", "/v1/responses/input_tokens", 0, warm__handle_count_responses},
    {"POST", "/v1/messages", 0, warm__handle_anthropic},
    {"POST", "/v1/messages/count_tokens", 0, warm__handle_count_anthropic},
    {"POST", "/infill", 0, warm__handle_infill},
    {"GET", "/lora-adapters", 0, warm__handle_lora},
    {"POST", "/lora-adapters", 0, warm__handle_lora_post},
    {"POST", "/embedding", 0, warm__handle_embeddings},
    {"POST", "/embeddings", 0, warm__handle_embeddings},
    {"POST", "/v1/embeddings", 0, warm__handle_embeddings_openai},
    {"POST", "/rerank", 0, warm__handle_rerank},
    {"POST", "/reranking", 0, warm__handle_rerank},
    {"POST", "/v1/rerank", 0, warm__handle_rerank},
    {"POST", "/v1/reranking", 0, warm__handle_rerank},
    {"POST", "/tokenize", 0, warm__handle_tokenize},
    {"POST", "/detokenize", 0, warm__handle_detokenize},
    {"POST", "/apply-template", 0, warm__handle_apply_template},
};
enum { N_ROUTES = sizeof routes / sizeof *routes };

/* Stands before a handler and is shut while the model loads. */
struct warm_gate {
    warm_api *api;
    warm_http_handler handler;
};

static void pass(warm_http_request *r, void *ud) {
    const struct warm_gate *g = ud;
    if (atomic_load_explicit(&g->api->ready, memory_order_acquire)) {
        g->handler(r, g->api);
        return;
    }
    warm_failure f = {0};
    warm_err_set(&f.err, WARM_EAGAIN, "Loading model");
    warm_reply_failure(r, &f);
}

static unsigned n_threads(const warm_config *c) {
    if (c->threads_http > 0) return (unsigned)c->threads_http;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 3 ? (unsigned)cores - 1 : 2;
}

void warm__random_letters(char *out, size_t n) {
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    /* Short reads do not happen at such sizes; without random numbers a name is only less unique. */
    memset(out, 0, n);
    ssize_t got = getrandom(out, n, 0);
    (void)got;
    for (size_t i = 0; i < n; i++) out[i] = letters[(unsigned char)out[i] % (sizeof letters - 1)];
    out[n] = '\0';
}

int warm_api_new(const warm_api_options *o, warm_api **out, warm_err *err) {
    warm_api *api = warm_xcalloc(1, sizeof *api);
    api->config = o->config;
    api->http = o->http;
    api->started = time(NULL);
    char random[33];
    warm__random_letters(random, 32);
    snprintf(api->media_marker, sizeof api->media_marker, "<__media_%s__>", random);
    atomic_init(&api->refs, 1);
    atomic_init(&api->ready, false);
    pthread_mutex_init(&api->running_lock, NULL);
    pthread_mutex_init(&api->lora_lock, NULL);
    int rc = warm_defaults_init(o->config, &api->defaults, err);
    if (!rc) rc = warm_worker_new("api", n_threads(o->config), &api->pool, err);
    if (rc) {
        warm_api_free(api);
        return rc;
    }
    api->gates = warm_xcalloc(N_ROUTES, sizeof *api->gates);
    for (size_t i = 0; i < N_ROUTES; i++) {
        api->gates[i] = (struct warm_gate){.api = api, .handler = routes[i].handler};
        warm_http_route(o->http, routes[i].method, routes[i].path, routes[i].flags, pass, &api->gates[i]);
    }
    *out = api;
    return 0;
}

static char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return warm_xstrdup(slash ? slash + 1 : path);
}

void warm_api_ready(warm_api *api, warm_engine *engine, warm_sched *sched) {
    warm_sched_status st;
    api->engine = engine;
    api->sched = sched;
    api->n_slots = api->config->n_parallel > 0 ? (uint32_t)api->config->n_parallel : SLOTS_DEFAULT;
    if (warm_sched_status_get(sched, &st) == 0) {
        if (st.n_slots) api->n_slots = st.n_slots;
        warm_sched_status_free(&st);
    }
    api->model_name = api->config->alias ? warm_xstrdup(api->config->alias)
                                         : file_name(api->config->model ? api->config->model : engine->info->model_path);
    api->lora_scale = warm_xcalloc(engine->info->n_adapters + 1, sizeof *api->lora_scale);
    for (size_t i = 0; i < engine->info->n_adapters; i++) api->lora_scale[i] = engine->info->adapters[i].scale;
    atomic_store_explicit(&api->ready, true, memory_order_release);
}

void warm_api_free(warm_api *api) {
    if (!api) return;
    if (api->pool) warm_worker_free(api->pool);
    api->pool = NULL;
    warm__api_unref(api);
}

void warm__api_unref(warm_api *api) {
    if (atomic_fetch_sub_explicit(&api->refs, 1, memory_order_acq_rel) != 1) return;
    warm_defaults_deinit(&api->defaults);
    pthread_mutex_destroy(&api->running_lock);
    pthread_mutex_destroy(&api->lora_lock);
    free(api->lora_scale);
    free(api->gates);
    free(api->model_name);
    free(api);
}
