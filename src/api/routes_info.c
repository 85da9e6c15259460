/* SPDX-License-Identifier: MIT
 *
 * api/routes_info.c - /health, /v1/models, /props and /slots: small answers, written on the loop thread. */
#include <string.h>
#include <time.h>

#include "api/call.h"
#include "api/format.h"

enum { INFO_MAX = 16 << 20 };

typedef struct answer {
    warm_buf buf;
    warm_json json;
} answer;

static warm_json *begin(answer *a) {
    warm_buf_init(&a->buf, INFO_MAX);
    warm_json_init(&a->json, &a->buf);
    return &a->json;
}

static void refuse(warm_http_request *r, int code, const char *message) {
    warm_failure f = {0};
    warm_err_set(&f.err, code, "%s", message);
    warm_reply_failure(r, &f);
}

static void send(warm_http_request *r, answer *a) {
    if (warm_buf_err(&a->buf))
        refuse(r, WARM_ENOMEM, "out of memory for the answer");
    else
        warm_http_reply(r, 200, WARM_API_JSON, a->buf.data, a->buf.len);
    warm_buf_free(&a->buf);
}

void warm__handle_health(warm_http_request *r, void *ud) {
    (void)ud;
    static const char ok[] = "{\"status\":\"ok\"}";
    warm_http_reply(r, 200, WARM_API_JSON, ok, sizeof ok - 1);
}

uint32_t warm__slot_n_ctx(const warm_api *api) {
    const warm_engine_info *info = api->engine->info;
    /* llama-server: by default all slots share one pool; a number of slots that was asked for divides it. */
    uint32_t n = api->config->n_parallel > 0 ? info->n_ctx / api->n_slots : info->n_ctx;
    return info->n_ctx_train && n > info->n_ctx_train ? info->n_ctx_train : n;
}

/* ---- /v1/models ---- */

static void empty_strings(warm_json *j, const char *const *keys, size_t n) {
    for (size_t i = 0; i < n; i++) warm_json_kstr(j, keys[i], "");
}

static void one_string(warm_json *j, const char *key, const char *s) {
    warm_json_key(j, key);
    warm_json_arr(j);
    warm_json_str(j, s);
    warm_json_arr_end(j);
}

/* The list that clients of ollama read. */
static void write_ollama(warm_json *j, const warm_api *api) {
    static const char *const unknown[] = {"modified_at", "size", "digest"};
    static const char *const details[] = {"family", "parameter_size", "quantization_level"};
    warm_json_key(j, "models");
    warm_json_arr(j);
    warm_json_obj(j);
    warm_json_kstr(j, "name", api->model_name);
    warm_json_kstr(j, "model", api->model_name);
    empty_strings(j, unknown, 3);
    warm_json_kstr(j, "type", "model");
    warm_json_kstr(j, "description", "");
    one_string(j, "tags", "");
    one_string(j, "capabilities", "completion");
    warm_json_kstr(j, "parameters", "");
    warm_json_key(j, "details");
    warm_json_obj(j);
    warm_json_kstr(j, "parent_model", "");
    warm_json_kstr(j, "format", "gguf");
    empty_strings(j, details, 3);
    one_string(j, "families", "");
    warm_json_obj_end(j);
    warm_json_obj_end(j);
    warm_json_arr_end(j);
}

static void write_model(warm_json *j, const warm_api *api) {
    const warm_engine_info *info = api->engine->info;
    warm_json_obj(j);
    warm_json_kstr(j, "id", api->model_name);
    warm_json_key(j, "aliases");
    warm_json_arr(j);
    for (size_t i = 0; i < api->config->n_aliases; i++) warm_json_str(j, api->config->aliases[i]);
    warm_json_arr_end(j);
    warm_json_key(j, "tags");
    warm_json_arr(j);
    for (size_t i = 0; i < api->config->n_tags; i++) warm_json_str(j, api->config->tags[i]);
    warm_json_arr_end(j);
    warm_json_kstr(j, "object", "model");
    warm_json_kint(j, "created", time(NULL));
    warm_json_kstr(j, "owned_by", "llamacpp");
    warm_json_key(j, "meta");
    warm_json_obj(j);
    warm_json_kint(j, "vocab_type", info->vocab_type);
    warm_json_kuint(j, "n_vocab", info->n_vocab);
    warm_json_kuint(j, "n_ctx", warm__slot_n_ctx(api));
    warm_json_kuint(j, "n_ctx_train", info->n_ctx_train);
    warm_json_kuint(j, "n_embd", info->n_embd);
    warm_json_kuint(j, "n_params", info->n_params);
    warm_json_kuint(j, "size", info->model_bytes);
    warm_json_kstr(j, "ftype", info->ftype);
    warm_json_obj_end(j);
    warm_json_obj_end(j);
}

void warm__handle_models(warm_http_request *r, void *ud) {
    const warm_api *api = ud;
    answer a;
    warm_json *j = begin(&a);
    warm_json_obj(j);
    write_ollama(j, api);
    warm_json_kstr(j, "object", "list");
    warm_json_key(j, "data");
    warm_json_arr(j);
    write_model(j, api);
    warm_json_arr_end(j);
    warm_json_obj_end(j);
    send(r, &a);
}

/* ---- /props ---- */

static void write_default_settings(warm_json *j, const warm_api *api) {
    /* As if a request had said nothing; no limit of its own, whatever --predict says, as llama-server shows it. */
    const warm_params p = {.n_predict = -1, .n_cmpl = 1, .id_slot = -1, .sampling = api->defaults.sampling};
    warm_json_key(j, "default_generation_settings");
    warm_json_obj(j);
    warm_json_key(j, "params");
    warm_format_settings(j, &p, p.sampling.seed, true);
    warm_json_kuint(j, "n_ctx", warm__slot_n_ctx(api));
    warm_json_obj_end(j);
}

void warm__handle_props(warm_http_request *r, void *ud) {
    const warm_api *api = ud;
    const warm_engine_info *info = api->engine->info;
    answer a;
    warm_json *j = begin(&a);
    warm_json_obj(j);
    write_default_settings(j, api);
    warm_json_kuint(j, "total_slots", api->n_slots);
    warm_json_kstr(j, "model_alias", api->model_name);
    warm_json_kstr(j, "model_ftype", info->ftype);
    warm_json_kstr(j, "model_path", info->model_path);
    warm_json_key(j, "modalities");
    warm_json_obj(j);
    warm_json_kbool(j, "vision", false);
    warm_json_kbool(j, "video", false);
    warm_json_kbool(j, "audio", false);
    warm_json_obj_end(j);
    warm_json_kstr(j, "media_marker", api->media_marker);
    warm_json_kbool(j, "endpoint_slots", api->config->slots);
    warm_json_kbool(j, "endpoint_props", api->config->props);
    warm_json_kbool(j, "endpoint_metrics", api->config->metrics);
    warm_json_kbool(j, "ui", false);
    warm_json_key(j, "ui_settings");
    warm_json_obj(j);
    warm_json_obj_end(j);
    warm_json_kstr(j, "chat_template", info->chat_template);
    warm_json_key(j, "chat_template_caps");
    warm_json_raw(j, info->chat_template_caps, strlen(info->chat_template_caps));
    warm_json_kstr(j, "bos_token", info->bos_text);
    warm_json_kstr(j, "eos_token", info->eos_text);
    warm_json_kstr(j, "build_info", info->build);
    warm_json_key(j, "state");
    warm_json_obj(j);
    warm_json_kstr(j, "kind", warm_state_kind_name(info->state));
    if (info->n_window) warm_json_kuint(j, "window", info->n_window);
    warm_json_obj_end(j);
    warm_json_kbool(j, "is_sleeping", false);
    warm_json_kbool(j, "cors_proxy_enabled", false);
    warm_json_obj_end(j);
    send(r, &a);
}

void warm__handle_props_post(warm_http_request *r, void *ud) {
    const warm_api *api = ud;
    static const char ok[] = "{\"success\":true}"; /* nothing can be changed yet, there as here */
    if (api->config->props)
        warm_http_reply(r, 200, WARM_API_JSON, ok, sizeof ok - 1);
    else
        refuse(r, WARM_ENOTSUP, "This server does not support changing global properties. Start it with `--props`");
}

/* ---- /slots ---- */

static const char *state_name(enum warm_slot_state s) {
    switch (s) {
    case WARM_SLOT_LOADING:
        return "loading";
    case WARM_SLOT_PREFILL:
        return "prefill";
    case WARM_SLOT_GENERATING:
        return "generating";
    case WARM_SLOT_PARKED:
        return "parked";
    case WARM_SLOT_WAITING:
        return "waiting";
    default:
        return "idle";
    }
}

static void write_slot(warm_json *j, warm_api *api, const warm_slot_status *s) {
    bool busy = s->state != WARM_SLOT_IDLE;
    warm_json_obj(j);
    warm_json_kint(j, "id", s->id);
    warm_json_kuint(j, "n_ctx", warm__slot_n_ctx(api));
    warm_json_kbool(j, "speculative", false);
    warm_json_kbool(j, "is_processing", busy);
    warm_json_kstr(j, "state", state_name(s->state));
    if (busy) {
        warm_json_kuint(j, "id_task", s->id_task);
        warm_json_kuint(j, "n_prompt_tokens", s->n_prompt);
        warm_json_kuint(j, "n_prompt_tokens_processed", s->n_prompt_processed);
        warm_json_kuint(j, "n_prompt_tokens_cache", s->n_prompt_cached);
        warm_json_key(j, "params");
        if (!warm__running_settings(api, s->id_task, j)) warm_json_null(j);
        warm_json_key(j, "next_token");
        warm_json_arr(j);
        warm_json_obj(j);
        warm_json_kbool(j, "has_next_token", true);
        warm_json_kint(j, "n_remain", s->n_remain);
        warm_json_kuint(j, "n_decoded", s->n_decoded);
        warm_json_obj_end(j);
        warm_json_arr_end(j);
    }
    warm_json_obj_end(j);
}

void warm__handle_slots(warm_http_request *r, void *ud) {
    warm_api *api = ud;
    warm_sched_status st;
    if (!api->config->slots) {
        refuse(r, WARM_ENOTSUP, "This server does not support slots endpoint. Start it with `--slots`");
        return;
    }
    int rc = warm_sched_status_get(api->sched, &st);
    if (rc) {
        refuse(r, rc, "the state of the slots is not available");
        return;
    }
    size_t n_idle = 0;
    answer a;
    warm_json *j = begin(&a);
    warm_json_arr(j);
    for (uint32_t i = 0; i < st.n_slots; i++) {
        n_idle += st.slots[i].state == WARM_SLOT_IDLE;
        write_slot(j, api, &st.slots[i]);
    }
    warm_json_arr_end(j);
    warm_sched_status_free(&st);
    const char *fail = warm_http_query(r, "fail_on_no_slot");
    if (fail && *fail && n_idle == 0) {
        warm_buf_free(&a.buf);
        refuse(r, WARM_EAGAIN, "no slot available");
        return;
    }
    send(r, &a);
}
