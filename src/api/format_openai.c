/* SPDX-License-Identifier: MIT
 *
 * api/format_openai.c - the answers of /v1/completions, and what those of /v1/chat/completions (format_chat.c) share with them. See format.h.
 *
 * A stream has its usage in the last chunk of each answer. `timings` stand in the last chunk. Of several answers usage counts each prompt once, as OpenAI does. */
#include <string.h>

#include "api/format_private.h"

typedef struct usage {
    size_t prompt, cached, completion;
} usage;

static usage usage_of(const warm_answer *a) {
    const warm_task_timings *t = &a->end->timings;
    return (usage){.prompt = t->n_prompt, .cached = warm__cached(t), .completion = t->n_predicted};
}

static usage usage_of_all(const warm_reply *r) {
    usage sum = {0};
    for (size_t i = 0; i < r->n_answers; i++) {
        usage u = usage_of(&r->answers[i]);
        sum.completion += u.completion;
        if (i % (size_t)r->params->n_cmpl) continue;
        sum.prompt += u.prompt;
        sum.cached += u.cached;
    }
    return sum;
}

static void write_usage(warm_json *j, usage u) {
    warm_json_key(j, "usage");
    warm_json_obj(j);
    warm_json_kuint(j, "completion_tokens", u.completion);
    warm_json_kuint(j, "prompt_tokens", u.prompt);
    warm_json_kuint(j, "total_tokens", u.completion + u.prompt);
    warm_json_key(j, "prompt_tokens_details");
    warm_json_obj(j);
    warm_json_kuint(j, "cached_tokens", u.cached);
    warm_json_obj_end(j);
    warm_json_obj_end(j);
}

void warm__write_timings(warm_json *j, const warm_task_timings *t) {
    warm_json_key(j, "timings");
    warm_format_timings(j, t);
}

/* The members behind "choices" that every object has. */
void warm__write_common(warm_json *j, const warm_reply *r, const char *object) {
    warm_json_kint(j, "created", r->created);
    warm_json_kstr(j, "model", r->model);
    warm_json_kstr(j, "system_fingerprint", r->build);
    warm_json_kstr(j, "object", object);
    warm_json_kstr(j, "id", r->id);
}

const char *warm__finish_reason(const warm_event *end) {
    return end->stop == WARM_STOP_EOS || end->stop == WARM_STOP_WORD ? "stop" : "length";
}

void warm__open_choice(warm_json *j, size_t i, const char *reason) {
    warm_json_obj(j);
    warm_json_key(j, "choices");
    warm_json_arr(j);
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_kstr(j, "finish_reason", reason);
}

void warm__close_choice(warm_json *j) {
    warm_json_obj_end(j);
    warm_json_arr_end(j);
}

/* "logprobs" of an event; text has the key always, chat only when there are some. */
void warm__write_event_probs(warm_json *j, const warm_reply *r, const warm_event *ev) {
    bool any = ev && warm__has_probs(r, ev);
    if (!any && warm_api_is_chat(r->params->kind)) return;
    warm_json_key(j, "logprobs");
    if (!any) {
        warm_json_null(j);
        return;
    }
    warm_json_obj(j);
    warm_json_key(j, "content");
    warm__write_probs(j, r, ev->probs, ev->top, ev->n_tokens, ev->n_top);
    warm_json_obj_end(j);
}

/* ---- text ---- */

static void text_chunk(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    warm_json j;
    warm__sse_begin(out, &j);
    warm__open_choice(&j, i, NULL);
    warm_json_key(&j, "text");
    warm_json_strn(&j, ev->text ? ev->text : "", ev->text_len);
    warm__write_event_probs(&j, r, ev);
    warm__close_choice(&j);
    warm__write_common(&j, r, "text_completion");
    if (r->params->timings_per_token) warm__write_timings(&j, &ev->timings);
    if (ev->type == WARM_EV_PROGRESS) {
        warm_json_key(&j, "prompt_progress");
        warm__write_progress(&j, &ev->timings);
    }
    warm_json_obj_end(&j);
    warm__sse_end(out);
}

void warm__write_verbose(warm_json *j, const warm_reply *r, size_t i) {
    if (!r->params->verbose) return;
    warm_json_key(j, "__verbose");
    warm__native_final(j, r, i);
}

static void text_end(const warm_reply *r, size_t i, warm_buf *out) {
    const warm_answer *a = &r->answers[i];
    warm_json j;
    warm__sse_begin(out, &j);
    warm__open_choice(&j, i, warm__finish_reason(a->end));
    warm_json_kstr(&j, "text", "");
    warm__write_event_probs(&j, r, NULL);
    warm__close_choice(&j);
    warm__write_common(&j, r, "text_completion");
    write_usage(&j, usage_of(a));
    warm__write_verbose(&j, r, i);
    warm__write_timings(&j, &a->end->timings);
    warm_json_obj_end(&j);
    warm__sse_end(out);
}

void warm__text_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    if (ev->type != WARM_EV_DONE || ev->text_len || ev->n_tokens) text_chunk(r, i, ev, out);
    if (ev->type == WARM_EV_DONE) text_end(r, i, out);
}

static void whole_choice(warm_json *j, const warm_reply *r, size_t i) {
    const warm_answer *a = &r->answers[i];
    size_t n = warm__n_shown_probs(r, a);
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_kstr(j, "finish_reason", warm__finish_reason(a->end));
    warm_json_key(j, "text");
    warm_json_strn(j, a->text.data ? a->text.data : "", a->text.len);
    warm_json_key(j, "logprobs");
    if (n)
        warm__write_whole_probs(j, r, a, n);
    else
        warm_json_null(j);
    warm_json_obj_end(j);
}

void warm__text_whole(const warm_reply *r, warm_buf *out) {
    warm__openai_whole(r, "text_completion", whole_choice, out);
}

void warm__openai_whole(const warm_reply *r, const char *object, void (*choice)(warm_json *j, const warm_reply *r, size_t i),
                        warm_buf *out) {
    warm_json j;
    warm_json_init(&j, out);
    warm_json_obj(&j);
    warm_json_key(&j, "choices");
    warm_json_arr(&j);
    for (size_t i = 0; i < r->n_answers; i++) choice(&j, r, i);
    warm_json_arr_end(&j);
    warm__write_common(&j, r, object);
    write_usage(&j, usage_of_all(r));
    warm__write_verbose(&j, r, 0);
    warm__write_timings(&j, &r->answers[0].end->timings);
    warm_json_obj_end(&j);
}

void warm__write_usage_of_all(warm_json *j, const warm_reply *r) {
    write_usage(j, usage_of_all(r));
}

void warm__write_whole_probs(warm_json *j, const warm_reply *r, const warm_answer *a, size_t n) {
    warm_json_obj(j);
    warm_json_key(j, "content");
    warm__write_probs(j, r, a->probs, a->top, n, (size_t)r->params->sampling.n_probs);
    warm_json_obj_end(j);
}
