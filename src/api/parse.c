/* SPDX-License-Identifier: MIT
 *
 * api/parse.c - see parse.h. */
#include "api/parse.h"

#include <stdlib.h>

#include "api/infill.h"
#include "base/alloc.h"

int warm_parse_chat(warm_engine *e, warm_jv *root, const char *body, size_t len, warm_chat_prompt *prompt, warm_err *err) {
    int rc = warm_chat_check(root, err);
    return rc ? rc : e->text->chat_render(e, body, len, prompt, err);
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

static int chat_prompt(warm_engine *e, const char *body, size_t len, warm_params *params, warm_prompts *out, warm_err *err) {
    warm_chat_prompt made = {0};
    warm_tokens t = {0};
    int rc = warm_parse_chat(e, params->root, body, len, &made, err);
    if (rc) return rc;
    /* The template has written its own special tokens; the engine keeps it from a second beginning of text. */
    rc = e->text->tokenize(e, made.text, made.len, true, true, &t.v, &t.n, err);
    free(made.text);
    if (!rc && t.n == 0) rc = warm_err_set(err, WARM_EINVAL, "Field 'messages': the template makes an empty prompt of them");
    if (rc) {
        free(made.stops);
        free(t.v);
        return rc;
    }
    rc = warm_params_add_stops(params, made.stops, made.n_stops, err);
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
    if (!rc) rc = warm_jread(body, len, &root, err);
    if (!rc) rc = warm_params_parse(s, root, params, err);
    if (rc) return rc;
    if (s->kind == WARM_API_CHAT)
        rc = chat_prompt(s->engine, body, len, params, prompts, err);
    else if (s->kind == WARM_API_INFILL)
        rc = infill_prompt(s, params->root, prompts, err);
    else
        rc = warm_prompts_read(s->engine, "prompt", warm_jget(root, "prompt"), prompts, err);
    if (rc) warm_params_deinit(params);
    return rc;
}
