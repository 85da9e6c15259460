/* SPDX-License-Identifier: MIT
 *
 * api/infill.c - see infill.h.
 *
 * One rule looks like an oversight and is kept, since another prompt would find nothing of what llama-server's clients expect: the room
 * for chunks comes from the server's --predict, not the request's n_predict, and grows by two without a limit (-1). */
#include "api/infill.h"

#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define PROJECT   "myproject\n"
#define THIS_FILE "filename\n"
#define SEPARATOR "\n\n--- snippet ---\n\n"

int warm_infill_check(const warm_engine *e, warm_err *err) {
    const warm_engine_info *i = e->info;
    if (i->fim_pre >= 0 && i->fim_suf >= 0 && i->fim_mid >= 0) return 0;
    return warm_err_set(err, WARM_ENOTSUP, "Infill is not supported by this model:%s%s%s",
                        i->fim_pre < 0 ? " prefix token is missing." : "", i->fim_suf < 0 ? " suffix token is missing." : "",
                        i->fim_mid < 0 ? " middle token is missing." : "");
}

/* What the request gives, as tokens. */
typedef struct parts {
    warm_tokens prefix, suffix, prompt;
    warm_token_list extra;
} parts;

static int read_side(warm_engine *e, warm_jv *root, const char *name, warm_tokens *out, warm_err *err) {
    warm_jv *v = warm_jget(root, name);
    return v ? warm_tokens_read(e, name, v, 0, out, err) : warm_err_set(err, WARM_EINVAL, "Field '%s': is required", name);
}

static int read_prompt(warm_engine *e, warm_jv *root, warm_tokens *out, warm_err *err) {
    warm_jv *v = warm_jget(root, "prompt");
    if (!v) return 0;
    if (!warm_jis(v, json_type_string))
        return warm_err_set(err, WARM_EINVAL, "Field 'prompt': expected a string, got %s", warm_jtype(v));
    return warm_tokens_read(e, "prompt", v, WARM_PARSE_SPECIAL, out, err);
}

static int push_text(warm_engine *e, warm_token_list *l, const char *text, size_t len, warm_err *err) {
    return warm_tokens_push_text(e, l, text, len, 0, err);
}

static int push_name(warm_engine *e, warm_token_list *l, const char *name, size_t len, warm_err *err) {
    char *line = warm_malloc(len + 2); /* name and line end are tokenised together */
    if (!line) return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the prompt");
    memcpy(line, name, len);
    memcpy(line + len, "\n", 2);
    int rc = warm_tokens_push(l, &e->info->fim_sep, 1, err);
    if (!rc) rc = push_text(e, l, line, len + 1, err);
    free(line);
    return rc;
}

static int push_chunk(warm_engine *e, warm_token_list *l, warm_jv *chunk, size_t i, warm_err *err) {
    if (!warm_jis(chunk, json_type_object))
        return warm_err_set(err, WARM_EINVAL, "Field 'input_extra[%zu]': expected an object, got %s", i, warm_jtype(chunk));
    warm_jv *text = warm_jget(chunk, "text"), *name = warm_jget(chunk, "filename");
    if (!warm_jis(text, json_type_string))
        return warm_err_set(err, WARM_EINVAL, "Field 'input_extra[%zu].text': expected a string, got %s", i, warm_jtype(text));
    if (name && !warm_jis(name, json_type_string))
        return warm_err_set(err, WARM_EINVAL, "Field 'input_extra[%zu].filename': expected a string, got %s", i, warm_jtype(name));
    int rc;
    if (e->info->fim_sep < 0)
        rc = push_text(e, l, SEPARATOR, strlen(SEPARATOR), err);
    else if (name)
        rc = push_name(e, l, json_object_get_string(name), (size_t)json_object_get_string_len(name), err);
    else
        rc = push_name(e, l, "tmp", 3, err);
    return rc ? rc : push_text(e, l, json_object_get_string(text), (size_t)json_object_get_string_len(text), err);
}

static int read_extra(warm_engine *e, warm_jv *root, warm_token_list *l, warm_err *err) {
    warm_jv *v = warm_jget(root, "input_extra");
    int rc = 0;
    if (v && !warm_jis(v, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'input_extra': expected an array of {\"filename\", \"text\"}, got %s",
                            warm_jtype(v));
    if (e->info->fim_rep >= 0) {
        rc = warm_tokens_push(l, &e->info->fim_rep, 1, err);
        if (!rc) rc = push_text(e, l, PROJECT, strlen(PROJECT), err);
    }
    for (size_t i = 0; v && i < json_object_array_length(v) && !rc; i++)
        rc = push_chunk(e, l, json_object_array_get_idx(v, i), i, err);
    if (!rc && e->info->fim_sep >= 0) rc = push_name(e, l, THIS_FILE, strlen(THIS_FILE) - 1, err);
    return rc;
}

static int read_parts(const warm_params_scope *s, warm_jv *root, parts *p, warm_err *err) {
    warm_engine *e = s->engine;
    int rc = read_prompt(e, root, &p->prompt, err);
    if (!rc) rc = read_side(e, root, "input_prefix", &p->prefix, err);
    if (!rc) rc = read_side(e, root, "input_suffix", &p->suffix, err);
    return rc ? rc : read_extra(e, root, &p->extra, err);
}

static size_t at_most(size_t n, int64_t most) {
    if (most < 0) most = 0;
    return n < (size_t)most ? n : (size_t)most;
}

static int push_prefix(const warm_engine_info *i, const parts *p, size_t n, warm_token_list *out, warm_err *err) {
    int rc = warm_tokens_push(out, &i->fim_pre, 1, err);
    if (!rc && n) rc = warm_tokens_push(out, p->prefix.v + (p->prefix.n - n), n, err);
    return rc ? rc : warm_tokens_push(out, p->prompt.v, p->prompt.n, err);
}

static int push_suffix(const warm_engine_info *i, const parts *p, size_t n, warm_token_list *out, warm_err *err) {
    int rc = warm_tokens_push(out, &i->fim_suf, 1, err);
    return rc ? rc : warm_tokens_push(out, p->suffix.v, n, err);
}

static int join(const warm_params_scope *s, const parts *p, warm_token_list *out, warm_err *err) {
    const warm_engine_info *i = s->engine->info;
    int64_t batch = i->n_batch_asked, n_predict = s->defaults->n_predict;
    size_t n_prefix = at_most(p->prefix.n, 3 * (batch / 4));
    size_t n_suffix = at_most(p->suffix.n, batch / 4 - 2 - (int64_t)p->prompt.n);
    size_t n_extra = at_most(p->extra.n, (int64_t)s->slot_n_ctx - batch - 2 * n_predict);
    int rc = n_extra ? warm_tokens_push(out, p->extra.v + (p->extra.n - n_extra), n_extra, err) : 0;
    if (!rc && i->add_bos && i->bos >= 0) rc = warm_tokens_push(out, &i->bos, 1, err);
    if (!rc && s->spm_infill) rc = push_suffix(i, p, n_suffix, out, err);
    if (!rc) rc = push_prefix(i, p, n_prefix, out, err);
    if (!rc && !s->spm_infill) rc = push_suffix(i, p, n_suffix, out, err);
    return rc ? rc : warm_tokens_push(out, &i->fim_mid, 1, err);
}

int warm_infill_read(const warm_params_scope *s, warm_jv *root, warm_tokens *out, warm_err *err) {
    parts p = {0};
    warm_token_list all = {0};
    int rc = read_parts(s, root, &p, err);
    if (!rc) rc = join(s, &p, &all, err);
    free(p.prefix.v);
    free(p.suffix.v);
    free(p.prompt.v);
    free(p.extra.v);
    if (rc)
        free(all.v);
    else
        *out = (warm_tokens){.v = all.v, .n = all.n};
    return rc;
}
