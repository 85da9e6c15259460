/* SPDX-License-Identifier: MIT
 *
 * api/parse.c - see parse.h. */
#include "api/parse.h"

#include <json-c/json_object.h>
#include <stdlib.h>

#include "api/dialects.h"
#include "api/infill.h"
#include "base/alloc.h"

int warm_parse_chat(warm_engine *e, warm_jv *root, const char *json_schema, warm_chat_prompt *prompt, warm_err *err) {
    int rc = warm_chat_check(root, err);
    if (rc) return rc;
    size_t len = 0;
    const char *body = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    if (!body) return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    return e->text->chat_render(e, body, len, json_schema, prompt, err);
}

void warm_chat_prompt_free(warm_engine *e, warm_chat_prompt *prompt) {
    free(prompt->text);
    free(prompt->stops);
    if (prompt->chat) e->text->chat_free(e, prompt->chat);
    *prompt = (warm_chat_prompt){0};
}

int warm_chat_tokenize(warm_engine *e, const warm_chat_prompt *prompt, warm_tokens *out, warm_err *err) {
    /* The template has written its own special tokens; the engine keeps it from a second beginning of text. */
    int rc = e->text->tokenize(e, prompt->text, prompt->len, true, true, &out->v, &out->n, err);
    if (rc || out->n) return rc;
    free(out->v);
    *out = (warm_tokens){0};
    return warm_err_set(err, WARM_EINVAL, "Field 'messages': the template makes an empty prompt of them");
}

int warm_parse_body(enum warm_api_kind kind, const char *body, size_t len, warm_jv **root, bool *cache_control, warm_err *err) {
    warm_jv *read = NULL, *chat = NULL;
    *cache_control = false;
    int rc = warm_jread(body, len, &read, err);
    if (rc || (kind != WARM_API_RESPONSES && kind != WARM_API_ANTHROPIC)) {
        *root = read;
        return rc;
    }
    if (kind == WARM_API_RESPONSES)
        rc = warm_chat_of_responses(read, &chat, err);
    else
        rc = warm_chat_of_anthropic(read, &chat, cache_control, err);
    json_object_put(read);
    *root = chat;
    return rc;
}

static int one_prompt(warm_tokens t, warm_prompts *out, warm_err *err) {
    *out = (warm_prompts){.v = warm_malloc(sizeof *out->v), .n = 1};
    if (!out->v) {
        free(t.v);
        *out = (warm_prompts){0};
        return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the prompt");
    }
    out->v[0] = t;
    return 0;
}

static int chat_prompt(warm_engine *e, warm_params *params, warm_prompts *out, warm_err *err) {
    warm_chat_prompt made = {0};
    warm_tokens t = {0};
    int rc = warm_parse_chat(e, params->root, params->sampling.json_schema, &made, err);
    if (rc) return rc;
    rc = warm_chat_tokenize(e, &made, &t, err);
    if (!rc) {
        params->engine = e;
        params->chat = made.chat;
        params->sampling.chat = made.chat;
        rc = warm_params_add_stops(params, made.stops, made.n_stops, err);
        made.stops = NULL;
        made.chat = NULL;
    }
    warm_chat_prompt_free(e, &made);
    if (!rc) return one_prompt(t, out, err);
    free(t.v);
    return rc;
}

static int infill_prompt(const warm_params_scope *s, warm_jv *root, warm_prompts *out, warm_err *err) {
    warm_tokens t = {0};
    int rc = warm_infill_read(s, root, &t, err);
    return rc ? rc : one_prompt(t, out, err);
}

int warm_parse_completion(const warm_params_scope *s, const char *body, size_t len, warm_params *params, warm_prompts *prompts,
                          warm_err *err) {
    warm_jv *root = NULL;
    int rc = s->kind == WARM_API_INFILL ? warm_infill_check(s->engine, err) : 0;
    bool cache_control = false;
    if (!rc) rc = warm_parse_body(s->kind, body, len, &root, &cache_control, err);
    if (!rc) rc = warm_params_parse(s, root, params, err);
    if (rc) return rc;
    params->cache_control = cache_control;
    if (warm_api_is_chat(s->kind))
        rc = chat_prompt(s->engine, params, prompts, err);
    else if (s->kind == WARM_API_INFILL)
        rc = infill_prompt(s, params->root, prompts, err);
    else
        rc = warm_prompts_read(s->engine, "prompt", warm_jget(root, "prompt"), prompts, err);
    if (rc) warm_params_deinit(params);
    return rc;
}
