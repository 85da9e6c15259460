/* SPDX-License-Identifier: MIT
 *
 * api/format_openai.c - the answers of /v1/completions and /v1/chat/completions. See format.h.
 *
 * A chat stream is: a chunk with the role, chunks with content, a chunk with the reason of the end; with stream_options.include_usage
 * one more, without choices, when every answer has ended; then [DONE]. A text stream has its usage in the last chunk of
 * each answer. `timings` stand in the last chunk. Of several answers usage counts each prompt once, as OpenAI does. */
#include <string.h>

#include "api/format_private.h"

typedef struct usage {
    size_t prompt, cached, completion;
} usage;

static bool is_chat(const warm_reply *r) {
    return r->params->kind == WARM_API_CHAT;
}

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

static void write_timings(warm_json *j, const warm_task_timings *t) {
    warm_json_key(j, "timings");
    warm_format_timings(j, t);
}

/* The members behind "choices" that every object has. */
static void write_common(warm_json *j, const warm_reply *r, const char *object) {
    warm_json_kint(j, "created", r->created);
    warm_json_kstr(j, "model", r->model);
    warm_json_kstr(j, "system_fingerprint", r->build);
    warm_json_kstr(j, "object", object);
    warm_json_kstr(j, "id", r->id);
}

static const char *finish_reason(const warm_event *end) {
    return end->stop == WARM_STOP_EOS || end->stop == WARM_STOP_WORD ? "stop" : "length";
}

static void open_choice(warm_json *j, size_t i, const char *reason) {
    warm_json_obj(j);
    warm_json_key(j, "choices");
    warm_json_arr(j);
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_kstr(j, "finish_reason", reason);
}

static void close_choice(warm_json *j) {
    warm_json_obj_end(j);
    warm_json_arr_end(j);
}

/* "logprobs" of an event; text has the key always, chat only when there are some. */
static void write_event_probs(warm_json *j, const warm_reply *r, const warm_event *ev) {
    bool any = ev && warm__has_probs(r, ev);
    if (!any && is_chat(r)) return;
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
    open_choice(&j, i, NULL);
    warm_json_key(&j, "text");
    warm_json_strn(&j, ev->text ? ev->text : "", ev->text_len);
    write_event_probs(&j, r, ev);
    close_choice(&j);
    write_common(&j, r, "text_completion");
    if (r->params->timings_per_token) write_timings(&j, &ev->timings);
    if (ev->type == WARM_EV_PROGRESS) {
        warm_json_key(&j, "prompt_progress");
        warm__write_progress(&j, &ev->timings);
    }
    warm_json_obj_end(&j);
    warm__sse_end(out);
}

static void write_verbose(warm_json *j, const warm_reply *r, size_t i) {
    if (!r->params->verbose) return;
    warm_json_key(j, "__verbose");
    warm__native_final(j, r, i);
}

static void text_end(const warm_reply *r, size_t i, warm_buf *out) {
    const warm_answer *a = &r->answers[i];
    warm_json j;
    warm__sse_begin(out, &j);
    open_choice(&j, i, finish_reason(a->end));
    warm_json_kstr(&j, "text", "");
    write_event_probs(&j, r, NULL);
    close_choice(&j);
    write_common(&j, r, "text_completion");
    write_usage(&j, usage_of(a));
    write_verbose(&j, r, i);
    write_timings(&j, &a->end->timings);
    warm_json_obj_end(&j);
    warm__sse_end(out);
}

/* ---- chat ---- */

/* What a chunk's delta holds. */
enum delta { DELTA_ROLE, DELTA_CONTENT, DELTA_END };

static void write_delta(warm_json *j, enum delta what, const warm_event *ev) {
    warm_json_key(j, "delta");
    warm_json_obj(j);
    if (what == DELTA_ROLE) {
        warm_json_kstr(j, "role", "assistant");
        warm_json_kstr(j, "content", NULL);
    } else if (what == DELTA_CONTENT) {
        warm_json_key(j, "content");
        warm_json_strn(j, ev->text ? ev->text : "", ev->text_len);
    }
    warm_json_obj_end(j);
}

static void chat_chunk(const warm_reply *r, size_t i, enum delta what, const warm_event *ev, warm_buf *out) {
    bool end = what == DELTA_END, usage_follows = r->params->include_usage && r->n_answers == 1;
    warm_json j;
    warm__sse_begin(out, &j);
    open_choice(&j, i, end ? finish_reason(ev) : NULL);
    write_delta(&j, what, ev);
    if (what == DELTA_CONTENT) write_event_probs(&j, r, ev);
    close_choice(&j);
    write_common(&j, r, "chat.completion.chunk");
    if (ev->type == WARM_EV_PROGRESS) {
        warm_json_key(&j, "prompt_progress");
        warm__write_progress(&j, &ev->timings);
    }
    if (end) write_verbose(&j, r, i);
    if (end ? !usage_follows : r->params->timings_per_token && what == DELTA_CONTENT) write_timings(&j, &ev->timings);
    warm_json_obj_end(&j);
    warm__sse_end(out);
}

static void chat_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    warm_answer *a = &r->answers[i];
    if (!a->role_sent || ev->type == WARM_EV_PROGRESS) chat_chunk(r, i, DELTA_ROLE, ev, out);
    a->role_sent = true;
    if (ev->text_len || warm__has_probs(r, ev)) chat_chunk(r, i, DELTA_CONTENT, ev, out);
    if (ev->type == WARM_EV_DONE) chat_chunk(r, i, DELTA_END, ev, out);
}

void warm__openai_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    if (is_chat(r)) {
        chat_stream(r, i, ev, out);
        return;
    }
    if (ev->type != WARM_EV_DONE || ev->text_len || ev->n_tokens) text_chunk(r, i, ev, out);
    if (ev->type == WARM_EV_DONE) text_end(r, i, out);
}

void warm__openai_stream_end(const warm_reply *r, warm_buf *out) {
    if (is_chat(r) && r->params->include_usage) {
        warm_json j;
        warm__sse_begin(out, &j);
        warm_json_obj(&j);
        warm_json_key(&j, "choices");
        warm_json_arr(&j);
        warm_json_arr_end(&j);
        write_common(&j, r, "chat.completion.chunk");
        write_usage(&j, usage_of_all(r));
        if (r->n_answers == 1) write_timings(&j, &r->answers[0].end->timings);
        warm_json_obj_end(&j);
        warm__sse_end(out);
    }
    warm_buf_puts(out, "data: [DONE]\n\n");
}

/* ---- whole ---- */

static void whole_choice(warm_json *j, const warm_reply *r, size_t i) {
    const warm_answer *a = &r->answers[i];
    size_t n = warm__n_shown_probs(r, a);
    const char *text = a->text.data ? a->text.data : "";
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_kstr(j, "finish_reason", finish_reason(a->end));
    if (is_chat(r)) {
        warm_json_key(j, "message");
        warm_json_obj(j);
        warm_json_kstr(j, "role", "assistant");
        warm_json_key(j, "content");
        warm_json_strn(j, text, a->text.len);
        warm_json_obj_end(j);
    } else {
        warm_json_key(j, "text");
        warm_json_strn(j, text, a->text.len);
    }
    if (n || !is_chat(r)) warm_json_key(j, "logprobs");
    if (n) {
        warm_json_obj(j);
        warm_json_key(j, "content");
        warm__write_probs(j, r, a->probs, a->top, n, (size_t)r->params->sampling.n_probs);
        warm_json_obj_end(j);
    } else if (!is_chat(r)) {
        warm_json_null(j);
    }
    warm_json_obj_end(j);
}

void warm__openai_whole(const warm_reply *r, warm_buf *out) {
    warm_json j;
    warm_json_init(&j, out);
    warm_json_obj(&j);
    warm_json_key(&j, "choices");
    warm_json_arr(&j);
    for (size_t i = 0; i < r->n_answers; i++) whole_choice(&j, r, i);
    warm_json_arr_end(&j);
    write_common(&j, r, is_chat(r) ? "chat.completion" : "text_completion");
    write_usage(&j, usage_of_all(r));
    write_verbose(&j, r, 0);
    write_timings(&j, &r->answers[0].end->timings);
    warm_json_obj_end(&j);
}
