/* SPDX-License-Identifier: MIT
 *
 * api/prompt.c - prompts of the native and the text routes, and the check of chat messages. See prompt.h. */
#include "api/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { TEXT_MAX = 1 << 30 };

static int no_memory(warm_err *err) {
    return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the prompt");
}

int warm_tokens_push(warm_token_list *b, const int32_t *tokens, size_t n, warm_err *err) {
    if (b->n + n > b->cap) {
        size_t cap = b->n + n > b->cap * 2 ? b->n + n : b->cap * 2;
        int32_t *v = warm_realloc(b->v, cap * sizeof *v);
        if (!v) return no_memory(err);
        b->v = v;
        b->cap = cap;
    }
    if (n) memcpy(b->v + b->n, tokens, n * sizeof *tokens);
    b->n += n;
    return 0;
}

int warm_tokens_push_text(warm_engine *e, warm_token_list *b, const char *s, size_t len, unsigned flags, warm_err *err) {
    int32_t *tokens = NULL;
    size_t n = 0;
    int rc = e->text->tokenize(e, s, len, flags & WARM_ADD_SPECIAL, flags & WARM_PARSE_SPECIAL, &tokens, &n, err);
    if (!rc) rc = warm_tokens_push(b, tokens, n, err);
    free(tokens);
    return rc;
}

static int push_string(warm_engine *e, warm_token_list *b, warm_jv *s, unsigned flags, warm_err *err) {
    return warm_tokens_push_text(e, b, json_object_get_string(s), (size_t)json_object_get_string_len(s), flags, err);
}

static int push_token(warm_engine *e, const char *name, warm_token_list *b, warm_jv *v, warm_err *err) {
    int64_t id;
    if (!warm_jint(v, &id))
        return warm_err_set(err, WARM_EINVAL, "Field '%s': expected strings and tokens, got %s", name, warm_jtype(v));
    if (id < 0 || id >= (int64_t)e->info->n_vocab)
        return warm_err_set(err, WARM_EINVAL, "Field '%s': there is no token %lld (the vocabulary has %u)", name, (long long)id,
                            e->info->n_vocab);
    int32_t token = (int32_t)id;
    return warm_tokens_push(b, &token, 1, err);
}

int warm_tokens_read(warm_engine *e, const char *name, warm_jv *v, unsigned flags, warm_tokens *out, warm_err *err) {
    warm_token_list b = {0};
    int rc = 0;
    if (warm_jis(v, json_type_string)) {
        rc = push_string(e, &b, v, flags, err);
    } else if (warm_jis(v, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(v) && !rc; i++) {
            warm_jv *x = json_object_array_get_idx(v, i);
            rc = warm_jis(x, json_type_string) ? push_string(e, &b, x, i ? flags & ~(unsigned)WARM_ADD_SPECIAL : flags, err)
                                               : push_token(e, name, &b, x, err);
        }
    } else {
        rc = warm_err_set(err, WARM_EINVAL, "Field '%s': expected a string or an array of strings and tokens, got %s", name,
                          warm_jtype(v));
    }
    if (rc) {
        free(b.v);
        return rc;
    }
    *out = (warm_tokens){.v = b.v, .n = b.n};
    return 0;
}

static int read_one(warm_engine *e, const char *name, warm_jv *v, warm_tokens *out, warm_err *err) {
    if (warm_jis(v, json_type_object)) {
        if (warm_jget(v, "multimodal_data"))
            return warm_err_set(err, WARM_ENOTSUP, "Field '%s': multimodal_data is not supported", name);
        v = warm_jget(v, "prompt_string");
        if (!v) return warm_err_set(err, WARM_EINVAL, "Field '%s': an object needs a prompt_string", name);
    }
    int rc = warm_tokens_read(e, name, v, WARM_ADD_SPECIAL | WARM_PARSE_SPECIAL, out, err);
    if (!rc && out->n == 0) {
        free(out->v);
        rc = warm_err_set(err, WARM_EINVAL, "Field '%s': must not be empty", name);
    }
    return rc;
}

/* An array that holds a token is one prompt; any other array is a list of prompts. */
static bool is_list(const warm_jv *v) {
    if (!warm_jis(v, json_type_array)) return false;
    for (size_t i = 0; i < json_object_array_length(v); i++)
        if (warm_jis(json_object_array_get_idx(v, i), json_type_int)) return false;
    return true;
}

int warm_prompts_read(warm_engine *e, const char *name, warm_jv *v, warm_prompts *out, warm_err *err) {
    if (!v) return warm_err_set(err, WARM_EINVAL, "Field '%s': is required", name);
    bool list = is_list(v);
    size_t n = list ? json_object_array_length(v) : 1;
    if (n == 0) return warm_err_set(err, WARM_EINVAL, "Field '%s': must not be empty", name);
    if (n > WARM_PROMPTS_MAX) return warm_err_set(err, WARM_EINVAL, "Field '%s': more than %d prompts", name, WARM_PROMPTS_MAX);
    warm_prompts p = {.v = warm_calloc(n, sizeof *p.v), .n = 0};
    if (!p.v) return no_memory(err);
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = read_one(e, name, list ? json_object_array_get_idx(v, i) : v, &p.v[i], err);
        if (!rc) p.n++;
    }
    if (rc)
        warm_prompts_free(&p);
    else
        *out = p;
    return rc;
}

void warm_prompts_free(warm_prompts *p) {
    for (size_t i = 0; i < p->n; i++) free(p->v[i].v);
    free(p->v);
    *p = (warm_prompts){0};
}

void warm_token_text(warm_engine *e, int32_t token, bool special, warm_buf *out) {
    char small[256];
    size_t n = e->text->token_piece(e, token, special, small, sizeof small);
    if (n <= sizeof small) {
        warm_buf_append(out, small, n);
        return;
    }
    char *large = warm_malloc(n);
    if (!large)
        warm_buf_fail(out, WARM_ENOMEM);
    else if (e->text->token_piece(e, token, special, large, n) <= n)
        warm_buf_append(out, large, n);
    free(large);
}

char *warm_tokens_text(warm_engine *e, const int32_t *tokens, size_t n, size_t *len) {
    warm_buf b;
    warm_buf_init(&b, TEXT_MAX);
    for (size_t i = 0; i < n; i++) warm_token_text(e, tokens[i], true, &b);
    char *text = warm_buf_take(&b, len);
    warm_buf_free(&b);
    return text;
}

/* ---- chat ---- */

static int check_part(warm_jv *part, size_t i, size_t k, warm_err *err) {
    const char *type = warm_jis(part, json_type_object) ? warm_jcstr(warm_jget(part, "type")) : NULL;
    if (!type) return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content[%zu]': an object with a type is expected", i, k);
    if (!strcmp(type, "text")) {
        if (warm_jis(warm_jget(part, "text"), json_type_string)) return 0;
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content[%zu].text': expected a string", i, k);
    }
    static const char *const media[] = {"image_url", "input_audio", "input_video", "video_url"};
    for (size_t m = 0; m < sizeof media / sizeof *media; m++)
        if (!strcmp(type, media[m]))
            return warm_err_set(err, WARM_ENOTSUP, "Field 'messages[%zu].content[%zu]': %s is not supported", i, k, type);
    return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content[%zu].type': unknown type \"%.40s\"", i, k, type);
}

static int check_message(warm_jv *m, size_t i, warm_err *err) {
    if (!warm_jis(m, json_type_object))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu]': expected an object, got %s", i, warm_jtype(m));
    const char *role = warm_jcstr(warm_jget(m, "role"));
    if (!role) return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].role': expected a string", i);
    bool has_content = json_object_object_get_ex(m, "content", NULL);
    if (strcmp(role, "assistant") != 0 && !has_content)
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content': is required in a message of role \"%.40s\"", i, role);
    if (!has_content && !warm_jget(m, "tool_calls"))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu]': an assistant message needs content or tool_calls", i);
    warm_jv *content = warm_jget(m, "content");
    if (!content || warm_jis(content, json_type_string)) return 0;
    if (!warm_jis(content, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content': expected a string or an array, got %s", i,
                            warm_jtype(content));
    int rc = 0;
    for (size_t k = 0; k < json_object_array_length(content) && !rc; k++)
        rc = check_part(json_object_array_get_idx(content, k), i, k, err);
    return rc;
}

/* What only the template reads: the engine would take a value of another type for none. */
static int check_template_fields(warm_jv *root, warm_err *err) {
    static const struct {
        const char *name;
        enum json_type type;
        const char *what;
    } fields[] = {
        {"chat_template_kwargs", json_type_object, "an object"}, {"add_generation_prompt", json_type_boolean, "a boolean"},
        {"parallel_tool_calls", json_type_boolean, "a boolean"}, {"reasoning_effort", json_type_string, "a string"},
        {"reasoning_format", json_type_string, "a string"},      {"reasoning_budget_message", json_type_string, "a string"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        warm_jv *v = warm_jget(root, fields[i].name);
        if (v && !warm_jis(v, fields[i].type))
            return warm_err_set(err, WARM_EINVAL, "Field '%s': expected %s, got %s", fields[i].name, fields[i].what, warm_jtype(v));
    }
    return 0;
}

int warm_chat_check(warm_jv *root, warm_err *err) {
    warm_jv *messages = warm_jget(root, "messages");
    if (!messages) return warm_err_set(err, WARM_EINVAL, "Field 'messages': is required");
    if (!warm_jis(messages, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages': expected an array, got %s", warm_jtype(messages));
    int rc = check_template_fields(root, err);
    for (size_t i = 0; i < json_object_array_length(messages) && !rc; i++)
        rc = check_message(json_object_array_get_idx(messages, i), i, err);
    return rc;
}
