/* SPDX-License-Identifier: MIT
 *
 * api/parse.c - see parse.h. */
#include "api/parse.h"

#include <stdlib.h>

#include "base/alloc.h"

int warm_parse_chat(warm_engine *e, warm_jv *root, const char *body, size_t len, warm_text *prompt, warm_err *err) {
    int rc = warm_chat_check(root, err);
    return rc ? rc : e->text->chat_render(e, body, len, &prompt->data, &prompt->len, err);
}

static int chat_prompt(warm_engine *e, warm_jv *root, const char *body, size_t len, warm_prompts *out, warm_err *err) {
    warm_text text = {0};
    warm_tokens t = {0};
    int rc = warm_parse_chat(e, root, body, len, &text, err);
    /* The template has written its own special tokens; the engine keeps it from a second beginning of text. */
    if (!rc) rc = e->text->tokenize(e, text.data, text.len, true, true, &t.v, &t.n, err);
    free(text.data);
    if (!rc && t.n == 0) rc = warm_err_set(err, WARM_EINVAL, "Field 'messages': the template makes an empty prompt of them");
    if (!rc) {
        *out = (warm_prompts){.v = warm_malloc(sizeof *out->v), .n = 1};
        if (out->v)
            out->v[0] = t;
        else
            rc = warm_err_set(err, WARM_ENOMEM, "out of memory while reading the prompt");
    }
    if (rc) {
        free(t.v);
        *out = (warm_prompts){0};
    }
    return rc;
}

int warm_parse_completion(const warm_params_scope *s, const char *body, size_t len, warm_params *params, warm_prompts *prompts,
                          warm_err *err) {
    warm_jv *root = NULL;
    int rc = warm_jread(body, len, &root, err);
    if (!rc) rc = warm_params_parse(s, root, params, err);
    if (rc) return rc;
    rc = s->kind == WARM_API_CHAT ? chat_prompt(s->engine, root, body, len, prompts, err)
                                  : warm_prompts_read(s->engine, "prompt", warm_jget(root, "prompt"), prompts, err);
    if (rc) warm_params_deinit(params);
    return rc;
}
