/* SPDX-License-Identifier: MIT
 *
 * tests/unit/api_fixture.h - the server's own defaults, an engine that only knows text, and answers read back as JSON.
 *
 * Its tokens 1..256 are the bytes, 257 is the beginning of text that add_special puts first, 0 ends the text; 258..262 are prefix, suffix,
 * middle, repository and file of infill. */
#ifndef WARM_TESTS_API_FIXTURE_H
#define WARM_TESTS_API_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"
#include "api/params.h"
#include "config/config.h"
#include "warmslot/engine.h"

enum { TEXT_BOS = 257, TEXT_VOCAB = 300 };

static inline int text_tokenize(warm_engine *e, const char *text, size_t len, bool add_special, bool parse_special,
                                int32_t **tokens, size_t *n, warm_err *err) {
    (void)e, (void)parse_special, (void)err;
    int32_t *t = malloc((len + 1) * sizeof *t);
    assert_non_null(t);
    *n = 0;
    if (add_special) t[(*n)++] = TEXT_BOS;
    for (size_t i = 0; i < len; i++) t[(*n)++] = (unsigned char)text[i] + 1;
    *tokens = t;
    return 0;
}

static inline size_t text_piece(warm_engine *e, int32_t token, bool special, char *buf, size_t cap) {
    (void)e;
    if (token == TEXT_BOS) {
        if (special && cap >= 3) memcpy(buf, "<s>", 3);
        return special ? 3 : 0;
    }
    if (token >= 1 && token <= 256 && cap) buf[0] = (char)(token - 1);
    return token >= 1 && token <= 256;
}

static inline bool text_is_eog(warm_engine *e, int32_t token) {
    (void)e;
    return token == 0;
}

/* The "template" is the word chat and the body's length; it has stop strings of its own if the body has a member template_stops. */
static inline int text_chat(warm_engine *e, const char *body, size_t len, const char *json_schema, warm_chat_prompt *out,
                            warm_err *err) {
    (void)e, (void)json_schema, (void)err;
    *out = (warm_chat_prompt){.text = malloc(32)};
    assert_non_null(out->text);
    out->len = (size_t)snprintf(out->text, 32, "chat%zu", len);
    if (!strstr(body, "\"template_stops\"")) return 0;
    out->n_stops = 2;
    out->stops = malloc(sizeof "<end>\0</s>");
    assert_non_null(out->stops);
    memcpy(out->stops, "<end>\0</s>", sizeof "<end>\0</s>");
    return 0;
}

static const warm_text_ops text_ops = {text_tokenize, text_piece, text_is_eog, text_chat, NULL, NULL};
static const warm_engine_info text_info = {.n_ctx = 1024,
                                           .n_batch_asked = 64,
                                           .n_vocab = TEXT_VOCAB,
                                           .build = "test",
                                           .model_path = "",
                                           .bos = TEXT_BOS,
                                           .fim_pre = 258,
                                           .fim_suf = 259,
                                           .fim_mid = 260,
                                           .fim_rep = 261,
                                           .fim_sep = 262};
static warm_engine text_engine = {.text = &text_ops, .info = &text_info};

typedef struct defaults_fixture {
    warm_config config;
    warm_defaults defaults;
    warm_params_scope scope;
} defaults_fixture;

/* args: a NULL-terminated list behind the program's name, or NULL. */
static inline void defaults_open(defaults_fixture *f, enum warm_api_kind kind, char **args) {
    char *argv[16] = {"warmslot"}, *env[] = {NULL};
    int argc = 1;
    for (; args && *args; args++) argv[argc++] = *args;
    warm_err err = {0};
    if (warm_config_parse(argc, argv, env, &f->config, &err)) fail_msg("warm_config_parse: %s", err.text);
    if (warm_defaults_init(&f->config, &f->defaults, &err)) fail_msg("warm_defaults_init: %s", err.text);
    f->scope = (warm_params_scope){.defaults = &f->defaults, .engine = &text_engine, .n_slots = 4, .kind = kind};
}

static inline void defaults_close(defaults_fixture *f) {
    warm_defaults_deinit(&f->defaults);
    warm_config_free(&f->config);
}

static inline warm_jv *json_of_n(const char *text, size_t len) {
    warm_jv *root = NULL;
    warm_err err = {0};
    if (warm_jread(text, len, &root, &err)) fail_msg("%s: %s", err.text, text);
    return root;
}

static inline warm_jv *json_of(const char *text) {
    return json_of_n(text, strlen(text));
}

/* The value at a path like "a/b/0/c"; NULL if it is not there. */
static inline warm_jv *at(warm_jv *v, const char *path) {
    char key[64];
    while (v && *path) {
        size_t k = strcspn(path, "/");
        assert_true(k < sizeof key);
        memcpy(key, path, k);
        key[k] = '\0';
        v = warm_jis(v, json_type_array) ? json_object_array_get_idx(v, strtoul(key, NULL, 10)) : warm_jget(v, key);
        path += k + (path[k] == '/');
    }
    return v;
}

static inline const char *str_at(warm_jv *v, const char *path) {
    const char *s = warm_jcstr(at(v, path));
    if (!s) fail_msg("no string at %s in %s", path, json_object_to_json_string(v));
    return s;
}

static inline int64_t int_at(warm_jv *v, const char *path) {
    int64_t i = 0;
    if (!warm_jint(at(v, path), &i)) fail_msg("no integer at %s in %s", path, json_object_to_json_string(v));
    return i;
}

static inline double num_at(warm_jv *v, const char *path) {
    double d = 0;
    if (!warm_jnum(at(v, path), &d)) fail_msg("no number at %s in %s", path, json_object_to_json_string(v));
    return d;
}

static inline bool bool_at(warm_jv *v, const char *path) {
    if (!warm_jis(at(v, path), json_type_boolean)) fail_msg("no boolean at %s in %s", path, json_object_to_json_string(v));
    return json_object_get_boolean(at(v, path));
}

#endif
