/* SPDX-License-Identifier: MIT
 *
 * api/format_native.c - the answers of /completion. See format.h.
 *
 * A stream is one object per event with "stop": false, then one with "stop": true that has the totals and no text; there is
 * no [DONE]. */
#include <json-c/json_object.h>
#include <string.h>

#include "api/format_private.h"

enum { FINAL_MAX = 1 << 30 };

static void write_tokens(warm_json *j, const int32_t *tokens, size_t n) {
    warm_json_key(j, "tokens");
    warm_json_arr(j);
    for (size_t i = 0; i < n; i++) warm_json_int(j, tokens[i]);
    warm_json_arr_end(j);
}

static const char *stop_type(enum warm_stop s) {
    switch (s) {
    case WARM_STOP_EOS:
        return "eos";
    case WARM_STOP_WORD:
        return "word";
    case WARM_STOP_LIMIT:
        return "limit";
    default:
        return "none";
    }
}

static void write_chunk(warm_json *j, const warm_reply *r, size_t i, const warm_event *ev) {
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_key(j, "content");
    warm_json_strn(j, ev->text ? ev->text : "", ev->text_len);
    write_tokens(j, ev->tokens, ev->n_tokens);
    warm_json_kbool(j, "stop", false);
    warm_json_kint(j, "id_slot", ev->id_slot);
    warm_json_kuint(j, "tokens_predicted", ev->timings.n_predicted);
    warm_json_kuint(j, "tokens_evaluated", ev->timings.n_prompt);
    if (r->params->timings_per_token) {
        warm_json_key(j, "timings");
        warm_format_timings(j, &ev->timings);
    }
    if (ev->type == WARM_EV_PROGRESS) {
        warm_json_key(j, "prompt_progress");
        warm__write_progress(j, &ev->timings);
    }
    if (warm__has_probs(r, ev)) {
        warm_json_key(j, "completion_probabilities");
        warm__write_probs(j, r, ev->probs, ev->top, ev->n_tokens, ev->n_top);
    }
    warm_json_obj_end(j);
}

void warm__native_final(warm_json *j, const warm_reply *r, size_t i) {
    const warm_answer *a = &r->answers[i];
    const warm_event *end = a->end;
    const warm_task_timings *t = &end->timings;
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_key(j, "content");
    warm_json_strn(j, a->text.data ? a->text.data : "", a->text.len);
    write_tokens(j, a->tokens, r->params->return_tokens ? a->n_tokens : 0);
    warm_json_kint(j, "id_slot", end->id_slot);
    warm_json_kbool(j, "stop", true);
    warm_json_kstr(j, "model", r->model);
    warm_json_kuint(j, "tokens_predicted", t->n_predicted);
    warm_json_kuint(j, "tokens_evaluated", t->n_prompt);
    warm_json_key(j, "generation_settings");
    warm_format_settings(j, r->params, end->seed, false);
    warm_json_key(j, "prompt");
    warm_json_strn(j, a->prompt ? a->prompt : "", a->prompt_len);
    warm_json_kbool(j, "has_new_line", end->has_new_line);
    warm_json_kbool(j, "truncated", end->truncated);
    warm_json_kstr(j, "stop_type", stop_type(end->stop));
    warm_json_kstr(j, "stopping_word", end->stop_word ? end->stop_word : "");
    /* The last token that was sampled has no cell. */
    warm_json_kuint(j, "tokens_cached", t->n_prompt + (t->n_predicted ? t->n_predicted - 1 : 0));
    warm_json_key(j, "timings");
    warm_format_timings(j, t);
    size_t n = warm__n_shown_probs(r, a);
    if (n) {
        warm_json_key(j, "completion_probabilities");
        warm__write_probs(j, r, a->probs, a->top, n, (size_t)r->params->sampling.n_probs);
    }
    warm_json_obj_end(j);
}

/* The value at "a/b/c" below root, or NULL. */
static warm_jv *follow(warm_jv *v, const char *path) {
    char key[64]; /* longer than any of ours */
    while (v && *path) {
        size_t k = strcspn(path, "/");
        if (k >= sizeof key) return NULL;
        memcpy(key, path, k);
        key[k] = '\0';
        v = warm_jget(v, key);
        path += k + (path[k] == '/');
    }
    return v;
}

/* response_fields: only these, a nested one under its path. What the answer does not have is left out. */
static void write_selected(const warm_reply *r, size_t i, warm_buf *out) {
    warm_buf whole;
    warm_json j;
    warm_jv *root = NULL;
    warm_buf_init(&whole, FINAL_MAX);
    warm_json_init(&j, &whole);
    warm__native_final(&j, r, i);
    int rc = warm_buf_err(&whole);
    if (!rc) rc = warm_jread(whole.data, whole.len, &root, NULL);
    if (rc) warm_buf_fail(out, rc);
    warm_json_init(&j, out);
    warm_json_obj(&j);
    for (size_t k = 0; root && k < r->params->n_response_fields; k++) {
        const char *path = r->params->response_fields[k];
        warm_jv *v = follow(root, path);
        if (!v) continue;
        const char *text = json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        warm_json_key(&j, path);
        warm_json_raw(&j, text, strlen(text));
    }
    warm_json_obj_end(&j);
    if (root) json_object_put(root);
    warm_buf_free(&whole);
}

static void write_final(const warm_reply *r, size_t i, warm_buf *out) {
    warm_json j;
    if (r->params->n_response_fields) {
        write_selected(r, i, out);
        return;
    }
    warm_json_init(&j, out);
    warm__native_final(&j, r, i);
}

void warm__native_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    bool done = ev->type == WARM_EV_DONE;
    warm_json j;
    if (!done || ev->text_len || ev->n_tokens) {
        warm__sse_begin(out, &j);
        write_chunk(&j, r, i, ev);
        warm__sse_end(out);
    }
    if (!done) return;
    warm__sse_begin(out, &j);
    write_final(r, i, out);
    warm__sse_end(out);
}

void warm__native_whole(const warm_reply *r, warm_buf *out) {
    if (r->n_answers > 1) warm_buf_putc(out, '[');
    for (size_t i = 0; i < r->n_answers; i++) {
        if (i) warm_buf_putc(out, ',');
        write_final(r, i, out);
    }
    if (r->n_answers > 1) warm_buf_putc(out, ']');
}
