/* SPDX-License-Identifier: MIT
 *
 * api/routes_text.c - /tokenize, /detokenize, /apply-template and what counts tokens: text in and out, nothing computed. */
#include <json-c/json_object.h>
#include <stdlib.h>

#include "api/call.h"
#include "api/parse.h"
#include "base/utf8.h"

static int flag(warm_jv *root, const char *name, bool fallback, bool *out, warm_err *err) {
    warm_jv *v = warm_jget(root, name);
    *out = v ? json_object_get_boolean(v) : fallback;
    if (!v || warm_jis(v, json_type_boolean)) return 0;
    return warm_err_set(err, WARM_EINVAL, "Field '%s': expected a boolean, got %s", name, warm_jtype(v));
}

/* A piece that is no whole UTF-8 has no JSON string: its bytes are shown as numbers. */
static void write_piece(warm_json *j, warm_engine *e, int32_t token, warm_buf *scratch) {
    warm_buf_clear(scratch);
    warm_token_text(e, token, true, scratch);
    if (warm_buf_err(scratch)) warm_buf_fail(j->buf, warm_buf_err(scratch));
    const char *text = scratch->data ? scratch->data : "";
    warm_json_obj(j);
    warm_json_kint(j, "id", token);
    warm_json_key(j, "piece");
    if (warm_utf8_valid(text, scratch->len)) {
        warm_json_strn(j, text, scratch->len);
    } else {
        warm_json_arr(j);
        for (size_t i = 0; i < scratch->len; i++) warm_json_uint(j, (unsigned char)text[i]);
        warm_json_arr_end(j);
    }
    warm_json_obj_end(j);
}

static void write_tokens(warm_call *c, const warm_tokens *t, bool with_pieces) {
    warm_json j;
    warm_buf scratch;
    warm_buf_init(&scratch, 1 << 20);
    warm_json_init(&j, &c->answer);
    warm_json_obj(&j);
    warm_json_key(&j, "tokens");
    warm_json_arr(&j);
    for (size_t i = 0; i < t->n; i++) {
        if (with_pieces)
            write_piece(&j, c->api->engine, t->v[i], &scratch);
        else
            warm_json_int(&j, t->v[i]);
    }
    warm_json_arr_end(&j);
    warm_json_obj_end(&j);
    warm_buf_free(&scratch);
}

static int tokenize(warm_call *c, warm_err *err) {
    warm_jv *root = NULL;
    warm_tokens t = {0};
    bool add_special, parse_special, with_pieces;
    int rc = warm_jread(c->body, c->body_len, &root, err);
    if (rc) return rc;
    rc = flag(root, "add_special", false, &add_special, err);
    if (!rc) rc = flag(root, "parse_special", true, &parse_special, err);
    if (!rc) rc = flag(root, "with_pieces", false, &with_pieces, err);
    warm_jv *content = warm_jget(root, "content");
    unsigned flags = 0;
    if (!rc) flags = (add_special ? WARM_ADD_SPECIAL : 0) | (parse_special ? WARM_PARSE_SPECIAL : 0);
    if (!rc && content) rc = warm_tokens_read(c->api->engine, "content", content, flags, &t, err);
    if (!rc) write_tokens(c, &t, with_pieces);
    free(t.v);
    json_object_put(root);
    return rc;
}

static int detokenize(warm_call *c, warm_err *err) {
    warm_jv *root = NULL;
    warm_tokens t = {0};
    char *text = NULL;
    size_t len = 0;
    int rc = warm_jread(c->body, c->body_len, &root, err);
    if (rc) return rc;
    warm_jv *tokens = warm_jget(root, "tokens");
    if (tokens && !warm_jis(tokens, json_type_array))
        rc = warm_err_set(err, WARM_EINVAL, "Field 'tokens': expected an array of tokens, got %s", warm_jtype(tokens));
    for (size_t i = 0; !rc && tokens && i < json_object_array_length(tokens); i++)
        if (warm_jis(json_object_array_get_idx(tokens, i), json_type_string))
            rc = warm_err_set(err, WARM_EINVAL, "Field 'tokens': expected tokens, got a string");
    if (!rc && tokens) rc = warm_tokens_read(c->api->engine, "tokens", tokens, 0, &t, err);
    if (!rc) text = warm_tokens_text(c->api->engine, t.v, t.n, &len);
    if (!rc && !text) rc = warm_err_set(err, WARM_ENOMEM, "out of memory for the text");
    if (!rc) {
        warm_json j;
        warm_json_init(&j, &c->answer);
        warm_json_obj(&j);
        warm_json_key(&j, "content");
        warm_json_strn(&j, text, len);
        warm_json_obj_end(&j);
    }
    free(text);
    free(t.v);
    json_object_put(root);
    return rc;
}

static int apply_template(warm_call *c, warm_err *err) {
    warm_jv *root = NULL;
    warm_chat_prompt prompt = {0};
    int rc = warm_jread(c->body, c->body_len, &root, err);
    if (rc) return rc;
    rc = warm_parse_chat(c->api->engine, root, NULL, &prompt, err);
    if (!rc) {
        warm_json j;
        warm_json_init(&j, &c->answer);
        warm_json_obj(&j);
        warm_json_key(&j, "prompt");
        warm_json_strn(&j, prompt.text, prompt.len);
        warm_json_obj_end(&j);
    }
    warm_chat_prompt_free(c->api->engine, &prompt);
    json_object_put(root);
    return rc;
}

static int count_tokens(warm_call *c, enum warm_api_kind kind, warm_err *err) {
    warm_engine *e = c->api->engine;
    warm_jv *root = NULL;
    warm_chat_prompt prompt = {0};
    warm_tokens t = {0};
    bool cache_control;
    int rc = warm_parse_body(kind, c->body, c->body_len, &root, &cache_control, err);
    if (!rc) rc = warm_parse_chat(e, root, NULL, &prompt, err);
    if (!rc) rc = warm_chat_tokenize(e, &prompt, &t, err);
    if (!rc) {
        warm_json j;
        warm_json_init(&j, &c->answer);
        warm_json_obj(&j);
        warm_json_kuint(&j, "input_tokens", t.n);
        if (kind != WARM_API_ANTHROPIC) warm_json_kstr(&j, "object", "response.input_tokens");
        warm_json_obj_end(&j);
    }
    free(t.v);
    warm_chat_prompt_free(e, &prompt);
    json_object_put(root);
    return rc;
}

static int count_chat(warm_call *c, warm_err *err) {
    return count_tokens(c, WARM_API_CHAT, err);
}

static int count_responses(warm_call *c, warm_err *err) {
    return count_tokens(c, WARM_API_RESPONSES, err);
}

static int count_anthropic(warm_call *c, warm_err *err) {
    return count_tokens(c, WARM_API_ANTHROPIC, err);
}

static void start(warm_http_request *r, warm_api *api, int (*work)(warm_call *c, warm_err *err)) {
    const warm_call fields = {.work = work};
    warm_call_start(api, r, &fields, sizeof(warm_call));
}

void warm__handle_tokenize(warm_http_request *r, void *ud) {
    start(r, ud, tokenize);
}

void warm__handle_detokenize(warm_http_request *r, void *ud) {
    start(r, ud, detokenize);
}

void warm__handle_apply_template(warm_http_request *r, void *ud) {
    start(r, ud, apply_template);
}

void warm__handle_count_chat(warm_http_request *r, void *ud) {
    start(r, ud, count_chat);
}

void warm__handle_count_responses(warm_http_request *r, void *ud) {
    start(r, ud, count_responses);
}

void warm__handle_count_anthropic(warm_http_request *r, void *ud) {
    start(r, ud, count_anthropic);
}
