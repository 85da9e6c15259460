/* SPDX-License-Identifier: MIT
 *
 * api/params_special.c - fields with a shape of their own: lists, biases, grammars, and what is not there yet. See params.h. */
#include <ctype.h>
#include <json-c/linkhash.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/params_private.h"
#include "base/alloc.h"

static int not_yet(warm_err *err, const char *name, const char *what) {
    return warm_err_set(err, WARM_ENOTSUP, "Field '%s': %s is not supported", name, what);
}

static int no_memory(warm_err *err) {
    return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
}

/* ---- samplers ---- */

typedef struct sampler_name {
    const char *name; /* canonical; an alias is the same without '_', or with '-' */
    const char *alias;
    char letter;
} sampler_name;

static const sampler_name sampler_names[] = {
    {"dry", NULL, 'd'},       {"top_k", NULL, 'k'},  {"typ_p", "typ", 'y'},        {"top_p", "nucleus", 'p'},
    {"min_p", NULL, 'm'},     {"xtc", NULL, 'x'},    {"temperature", "temp", 't'}, {"top_n_sigma", NULL, 's'},
    {"penalties", NULL, 'e'}, {"infill", NULL, 'i'}, {"adaptive_p", NULL, 'a'},
};
enum { N_SAMPLER_NAMES = sizeof sampler_names / sizeof *sampler_names };

const char *const warm_sampler_names_default[] = {"penalties", "dry",   "top_n_sigma", "top_k",      "typ_p",
                                                  "top_p",     "min_p", "xtc",         "temperature"};
const size_t warm_n_sampler_names_default = sizeof warm_sampler_names_default / sizeof *warm_sampler_names_default;
const char *const warm_dry_breakers_default[] = {"\n", ":", "\"", "*"};
const size_t warm_n_dry_breakers_default = sizeof warm_dry_breakers_default / sizeof *warm_dry_breakers_default;

/* "Top-K", "top_k" and "topk" are one name, but "t-opk" is none: a separator may only stand where the canonical name has one. */
static bool name_is(const char *canonical, const char *s, size_t len) {
    const char *end = s + len;
    for (; *canonical; canonical++) {
        if (*canonical == '_') {
            if (s < end && (*s == '_' || *s == '-')) s++;
        } else if (s == end || tolower((unsigned char)*s++) != *canonical) {
            return false;
        }
    }
    return s == end;
}

static bool push_sampler(warm_sampling *s, const char *name) {
    if (s->n_samplers >= WARM_SAMPLERS_MAX) return false;
    s->samplers[s->n_samplers++] = name;
    return true;
}

bool warm__samplers_add(warm_sampling *s, const char *name, size_t len) {
    for (size_t i = 0; i < N_SAMPLER_NAMES; i++) {
        const sampler_name *n = &sampler_names[i];
        if (name_is(n->name, name, len) || (n->alias && name_is(n->alias, name, len))) return push_sampler(s, n->name);
    }
    return true;
}

bool warm__samplers_from_letters(warm_sampling *s, const char *letters) {
    for (; *letters; letters++)
        for (size_t i = 0; i < N_SAMPLER_NAMES; i++)
            if (sampler_names[i].letter == *letters && !push_sampler(s, sampler_names[i].name)) return false;
    return true;
}

static int read_samplers(warm_params *p, warm_jv *v, warm_err *err) {
    bool fits = true;
    p->sampling.n_samplers = 0;
    if (warm_jis(v, json_type_string)) {
        const char *letters = warm_jcstr(v);
        fits = letters && warm__samplers_from_letters(&p->sampling, letters);
    } else if (warm_jis(v, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(v) && fits; i++) {
            warm_jv *e = json_object_array_get_idx(v, i);
            if (!warm_jis(e, json_type_string)) return warm__params_type(err, "samplers", "an array of strings", e);
            fits = warm__samplers_add(&p->sampling, json_object_get_string(e), (size_t)json_object_get_string_len(e));
        }
    } else {
        return warm__params_type(err, "samplers", "an array of names or a string of letters", v);
    }
    if (fits) return 0;
    return warm_err_set(err, WARM_EINVAL, "Field 'samplers': more than %d samplers", WARM_SAMPLERS_MAX);
}

/* ---- lists of strings ---- */

static int read_strings(const char *name, warm_jv *v, bool allow_empty, const char ***out, size_t *n_out, warm_err *err) {
    bool single = warm_jis(v, json_type_string);
    if (!single && !warm_jis(v, json_type_array)) return warm__params_type(err, name, "a string or an array of strings", v);
    size_t n = single ? 1 : json_object_array_length(v);
    const char **a = n ? warm_calloc(n, sizeof *a) : NULL;
    if (n && !a) return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        warm_jv *e = single ? v : json_object_array_get_idx(v, i);
        a[i] = warm_jcstr(e);
        int rc = 0;
        if (!warm_jis(e, json_type_string))
            rc = warm__params_type(err, name, "strings", e);
        else if (!a[i])
            rc = warm_err_set(err, WARM_EINVAL, "Field '%s': NUL characters are not allowed", name);
        else if (!allow_empty && !*a[i])
            rc = warm_err_set(err, WARM_EINVAL, "Field '%s': empty strings are not allowed", name);
        if (rc) {
            free(a);
            return rc;
        }
    }
    *out = a;
    *n_out = n;
    return 0;
}

/* An empty list is no stop string of the request's own: the server's remain. */
static int read_stop(warm_params *p, warm_jv *v, warm_err *err) {
    size_t n = 0;
    int rc = read_strings("stop", v, false, &p->own_stop, &n, err);
    if (rc || n == 0) return rc;
    p->stop = p->own_stop;
    p->n_stop = n;
    return 0;
}

static int read_breakers(warm_params *p, warm_jv *v, warm_err *err) {
    const char *name = "dry_sequence_breakers", **list = NULL;
    size_t n = 0;
    if (!warm_jis(v, json_type_array)) return warm__params_type(err, name, "an array of strings", v);
    int rc = read_strings(name, v, true, &list, &n, err);
    if (rc) return rc;
    if (n == 0 || n > WARM_DRY_BREAKERS_MAX)
        rc = warm_err_set(err, WARM_EINVAL, "Field '%s': 1 to %d strings are expected, got %zu", name, WARM_DRY_BREAKERS_MAX, n);
    for (size_t i = 0; i < n && !rc; i++) p->sampling.dry_breakers[i] = list[i];
    if (!rc) p->sampling.n_dry_breakers = (int32_t)n;
    free(list);
    return rc;
}

static int read_string(const char *name, warm_jv *v, const char **out, warm_err *err) {
    if (!warm_jis(v, json_type_string)) return warm__params_type(err, name, "a string", v);
    const char *s = warm_jcstr(v);
    if (!s) return warm_err_set(err, WARM_EINVAL, "Field '%s': NUL characters are not allowed", name);
    *out = s;
    return 0;
}

/* ---- logit_bias ---- */

typedef struct bias_list {
    warm_logit_bias *v;
    size_t n, cap;
    warm_engine *engine;
    warm_err *err;
} bias_list;

static int push_bias(bias_list *l, int64_t token, float bias) {
    if (token < 0 || token >= (int64_t)l->engine->info->n_vocab)
        return warm_err_set(l->err, WARM_EINVAL, "Field 'logit_bias': there is no token %lld", (long long)token);
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 16;
        warm_logit_bias *v = warm_realloc(l->v, cap * sizeof *v);
        if (!v) return no_memory(l->err);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (warm_logit_bias){.token = (int32_t)token, .bias = bias};
    return 0;
}

static int push_bias_text(bias_list *l, const char *text, size_t len, float bias) {
    int32_t *tokens = NULL;
    size_t n = 0;
    int rc = l->engine->text->tokenize(l->engine, text, len, false, false, &tokens, &n, l->err);
    for (size_t i = 0; i < n && !rc; i++) rc = push_bias(l, tokens[i], bias);
    free(tokens);
    return rc;
}

static int read_bias_value(bias_list *l, warm_jv *v, float *out) {
    double d;
    if (warm_jis(v, json_type_boolean) && !json_object_get_boolean(v))
        *out = -INFINITY;
    else if (warm_jnum(v, &d))
        *out = (float)d;
    else
        return warm__params_type(l->err, "logit_bias", "a number or false as bias", v);
    return 0;
}

static int read_bias_pair(bias_list *l, warm_jv *pair) {
    if (!warm_jis(pair, json_type_array) || json_object_array_length(pair) != 2)
        return warm__params_type(l->err, "logit_bias", "pairs [token, bias]", pair);
    warm_jv *what = json_object_array_get_idx(pair, 0);
    float bias;
    int64_t token;
    int rc = read_bias_value(l, json_object_array_get_idx(pair, 1), &bias);
    if (rc) return rc;
    if (warm_jint(what, &token)) return push_bias(l, token, bias);
    if (warm_jis(what, json_type_string))
        return push_bias_text(l, json_object_get_string(what), (size_t)json_object_get_string_len(what), bias);
    return warm__params_type(l->err, "logit_bias", "a token or a string", what);
}

static int read_bias_member(bias_list *l, const char *key, warm_jv *v) {
    float bias;
    int rc = read_bias_value(l, v, &bias);
    if (rc) return rc;
    char *end;
    long long token = strtoll(key, &end, 10);
    return *key && !*end ? push_bias(l, token, bias) : push_bias_text(l, key, strlen(key), bias);
}

static int read_logit_bias(const warm_params_scope *s, warm_params *p, warm_jv *v, warm_err *err) {
    bias_list l = {.engine = s->engine, .err = err};
    int rc = 0;
    if (warm_jis(v, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(v) && !rc; i++) rc = read_bias_pair(&l, json_object_array_get_idx(v, i));
    } else if (warm_jis(v, json_type_object)) {
        json_object_object_foreach(v, key, val) if (!rc) rc = read_bias_member(&l, key, val);
    } else {
        rc = warm__params_type(err, "logit_bias", "an array of [token, bias] or an object", v);
    }
    if (rc) {
        free(l.v);
        return rc;
    }
    p->logit_bias = l.v;
    p->sampling.logit_bias = l.v;
    p->sampling.n_logit_bias = l.n;
    return 0;
}

/* ---- grammar, json_schema, response_format ---- */

/* The text lives as long as v. An empty schema means: any object. */
static const char *schema_text(warm_jv *v) {
    if (!v || (warm_jis(v, json_type_object) && json_object_object_length(v) == 0)) return "{\"type\":\"object\"}";
    return json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
}

static int read_response_format(warm_params *p, warm_err *err) {
    warm_jv *format = warm_jget(p->root, "response_format");
    if (!format) return 0;
    if (!warm_jis(format, json_type_object)) return warm__params_type(err, "response_format", "an object", format);
    const char *type = "text";
    warm_jv *v = warm_jget(format, "type"), *schema = NULL;
    if (v) {
        int rc = read_string("response_format.type", v, &type, err);
        if (rc) return rc;
    }
    if (!*type || !strcmp(type, "text")) return 0;
    if (!strcmp(type, "json_object")) {
        schema = warm_jget(format, "schema");
        if (!schema && p->sampling.json_schema) return 0;
    } else if (!strcmp(type, "json_schema")) {
        warm_jv *wrapper = warm_jget(format, "json_schema");
        if (wrapper && !warm_jis(wrapper, json_type_object))
            return warm__params_type(err, "response_format.json_schema", "an object", wrapper);
        schema = warm_jget(wrapper, "schema");
    } else {
        return warm_err_set(err, WARM_EINVAL,
                            "Field 'response_format': type must be \"text\", \"json_object\" or \"json_schema\", got \"%.40s\"",
                            type);
    }
    p->sampling.json_schema = schema_text(schema);
    return 0;
}

static int read_constraints(warm_params *p, warm_err *err) {
    const char *grammar = NULL;
    warm_jv *g = warm_jget(p->root, "grammar"), *schema = warm_jget(p->root, "json_schema");
    int rc = g ? read_string("grammar", g, &grammar, err) : 0;
    if (rc) return rc;
    if (grammar && !*grammar) grammar = NULL;
    bool chat = warm_api_is_chat(p->kind);
    if (grammar || schema) p->sampling.grammar = p->sampling.json_schema = NULL;
    if (schema) p->sampling.json_schema = schema_text(schema);
    if (chat) {
        rc = read_response_format(p, err);
        if (rc) return rc;
        if (grammar && p->sampling.json_schema)
            return warm_err_set(err, WARM_EINVAL, "Field 'grammar': can't be used together with json_schema or response_format");
        if (p->sampling.json_schema) p->sampling.grammar = NULL;
        warm_jv *tools = warm_jget(p->root, "tools");
        if (grammar && warm_jis(tools, json_type_array) && json_object_array_length(tools) > 0)
            return warm_err_set(err, WARM_EINVAL, "Field 'grammar': can't be used together with tools");
    }
    if (grammar) {
        /* On the native route the grammar wins over a schema, as in llama-server. */
        p->sampling.grammar = grammar;
        p->sampling.json_schema = NULL;
    }
    warm_jv *lazy = warm_jget(p->root, "grammar_lazy");
    if (lazy && !warm_jis(lazy, json_type_boolean)) return warm__params_type(err, "grammar_lazy", "a boolean", lazy);
    if (grammar && lazy && json_object_get_boolean(lazy)) return not_yet(err, "grammar_lazy", "a grammar that starts later");
    return 0;
}

/* ---- chat ---- */

static int read_chat_logprobs(warm_params *p, warm_err *err) {
    warm_jv *lp = warm_jget(p->root, "logprobs"), *top = warm_jget(p->root, "top_logprobs");
    if (lp && !warm_jis(lp, json_type_boolean)) return warm__params_type(err, "logprobs", "a boolean", lp);
    int64_t n = 20;
    if (top && (!warm_jint(top, &n) || n < 0 || n > INT32_MAX))
        return warm_err_set(err, WARM_EINVAL, "Field 'top_logprobs': expected an integer, at least 0");
    if (lp && json_object_get_boolean(lp))
        p->sampling.n_probs = (int32_t)n;
    else if (top)
        return warm_err_set(err, WARM_EINVAL, "Field 'top_logprobs': requires logprobs to be true");
    return 0;
}

static int read_tool_choice(warm_params *p, warm_err *err) {
    warm_jv *tools = warm_jget(p->root, "tools"), *choice = warm_jget(p->root, "tool_choice");
    if (tools && !warm_jis(tools, json_type_array)) return warm__params_type(err, "tools", "an array", tools);
    if (tools && json_object_array_length(tools) && p->stream && p->sampling.n_probs > 0 && p->kind == WARM_API_CHAT)
        return warm_err_set(err, WARM_EINVAL, "Field 'logprobs': can't be used together with tools in a stream");
    if (!choice) return 0;
    const char *s = NULL;
    if (warm_jis(choice, json_type_object)) {
        int rc = read_string("tool_choice.type", warm_jget(choice, "type"), &s, err);
        if (!rc && strcmp(s, "function") != 0) return not_yet(err, "tool_choice", "a choice other than of one function");
        return rc ? rc : read_string("tool_choice.function.name", warm_jget(warm_jget(choice, "function"), "name"), &s, err);
    }
    int rc = read_string("tool_choice", choice, &s, err);
    if (rc) return rc;
    if (strcmp(s, "auto") != 0 && strcmp(s, "none") != 0 && strcmp(s, "required") != 0)
        return warm_err_set(err, WARM_EINVAL, "Field 'tool_choice': must be \"auto\", \"none\" or \"required\", got \"%.40s\"", s);
    return 0;
}

/* As the template takes it: true, or the name of what is continued. */
static void read_continues(warm_params *p) {
    warm_jv *v = warm_jget(p->root, "continue_final_message"), *echo = warm_jget(p->root, "echo");
    const char *s = warm_jcstr(v);
    p->continues = (warm_jis(v, json_type_boolean) && json_object_get_boolean(v)) ||
                   (s && (!strcmp(s, "content") || !strcmp(s, "reasoning_content")));
    if (echo && json_object_get_boolean(echo)) p->continues = false;
}

/* ---- the rest ---- */

static int refuse_unsupported(warm_params *p, warm_err *err) {
    warm_jv *v = warm_jget(p->root, "echo");
    if (v && !warm_jis(v, json_type_boolean)) return warm__params_type(err, "echo", "a boolean", v);
    bool chat = warm_api_is_chat(p->kind);
    if (v && json_object_get_boolean(v) && !chat) return not_yet(err, "echo", "returning the prompt");
    static const char *const budgets[] = {"reasoning_budget_tokens", "thinking_budget_tokens"};
    for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
        int64_t n;
        v = warm_jget(p->root, budgets[i]);
        if (v && (!warm_jint(v, &n) || n < -1 || n > INT32_MAX))
            return warm__params_type(err, budgets[i], "an integer, at least -1", v);
        if (v && n >= 0 && !chat) return not_yet(err, budgets[i], "a limit on reasoning");
    }
    if (p->kind != WARM_API_TEXT) return 0;
    int64_t best = 1;
    v = warm_jget(p->root, "best_of");
    if (v && !warm_jint(v, &best)) return warm__params_type(err, "best_of", "an integer", v);
    if (best != p->n_cmpl && best != 1) return not_yet(err, "best_of", "choosing among more completions than are returned");
    v = warm_jget(p->root, "suffix");
    if (v && !warm_jis(v, json_type_string)) return warm__params_type(err, "suffix", "a string", v);
    return v && json_object_get_string_len(v) > 0 ? not_yet(err, "suffix", "inserting text") : 0;
}

static int read_stream_options(warm_params *p, warm_err *err) {
    warm_jv *v = warm_jget(p->root, "stream_options");
    if (!v) return 0;
    if (!warm_jis(v, json_type_object)) return warm__params_type(err, "stream_options", "an object", v);
    v = warm_jget(v, "include_usage");
    if (v && !warm_jis(v, json_type_boolean)) return warm__params_type(err, "stream_options.include_usage", "a boolean", v);
    p->include_usage = v && json_object_get_boolean(v);
    return 0;
}

static int read_seed_and_slot(const warm_params_scope *s, warm_params *p, warm_err *err) {
    int64_t n;
    warm_jv *v = warm_jget(p->root, "seed");
    if (v && !warm_jis(v, json_type_int) && !warm_jint(v, &n)) return warm__params_type(err, "seed", "an integer", v);
    /* Seeds of other servers have 64 bits; the lower half is as good a seed. -1 becomes 0xFFFFFFFF: random. */
    if (v) p->sampling.seed = (uint32_t)(warm_jint(v, &n) ? (uint64_t)n : json_object_get_uint64(v));
    v = warm_jget(p->root, "id_slot");
    if (!v) return 0;
    if (!warm_jint(v, &n)) return warm__params_type(err, "id_slot", "an integer", v);
    if (n < -1 || n >= (int64_t)s->n_slots)
        return warm_err_set(err, WARM_EINVAL, "Field 'id_slot': must be between -1 and %u, got %lld", s->n_slots - 1, (long long)n);
    p->id_slot = (int32_t)n;
    return 0;
}

int warm__params_special(const warm_params_scope *s, warm_params *p, warm_err *err) {
    warm_jv *v;
    int rc = read_stream_options(p, err);
    if (!rc) rc = read_seed_and_slot(s, p, err);
    if (!rc && (v = warm_jget(p->root, "stop"))) rc = read_stop(p, v, err);
    if (!rc && (v = warm_jget(p->root, "response_fields"))) {
        rc = warm_jis(v, json_type_array)
                 ? read_strings("response_fields", v, true, &p->response_fields, &p->n_response_fields, err)
                 : warm__params_type(err, "response_fields", "an array of strings", v);
    }
    if (!rc && (v = warm_jget(p->root, "samplers"))) rc = read_samplers(p, v, err);
    if (!rc && (v = warm_jget(p->root, "dry_sequence_breakers"))) rc = read_breakers(p, v, err);
    if (!rc && (v = warm_jget(p->root, "logit_bias"))) rc = read_logit_bias(s, p, v, err);
    if (!rc && (v = warm_jget(p->root, "cache_salt"))) rc = read_string("cache_salt", v, &p->salt, err);
    if (!rc && (v = warm_jget(p->root, "lora"))) rc = warm_lora_read(s->engine->info, "lora", v, &p->lora, &p->n_lora, err);
    if (!rc) rc = read_constraints(p, err);
    if (!rc && p->kind == WARM_API_CHAT) rc = read_chat_logprobs(p, err);
    if (!rc && warm_api_is_chat(p->kind)) rc = read_tool_choice(p, err);
    if (!rc) rc = refuse_unsupported(p, err);
    if (!rc && warm_api_is_chat(p->kind)) read_continues(p);
    return rc;
}
