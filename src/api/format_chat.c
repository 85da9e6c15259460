/* SPDX-License-Identifier: MIT
 *
 * api/format_chat.c - the answers of /v1/chat/completions. See format.h.
 *
 * A stream is: a chunk with the role; chunks with more reasoning, content, or arguments of a call; a chunk with the reason of the end; with
 * stream_options.include_usage one more, without choices, when every answer has ended; then [DONE]. */
#include "api/format_private.h"

/* "stop", "length", or "tool_calls" where the model ended its turn with some. */
static const char *reason_of(const warm_answer *a) {
    const char *reason = warm__finish_reason(a->end);
    return *reason == 's' && a->message.now.n_calls ? "tool_calls" : reason;
}

static void write_call(warm_json *j, warm_message *m, const warm_delta *d) {
    size_t call = m->blocks[d->block].from;
    warm_json_key(j, "tool_calls");
    warm_json_arr(j);
    warm_json_obj(j);
    warm_json_kuint(j, "index", call);
    if (d->begins) {
        warm_json_kstr(j, "id", warm_message_call_id(m, call));
        warm_json_kstr(j, "type", "function");
    }
    warm_json_key(j, "function");
    warm_json_obj(j);
    if (d->begins) warm_json_kstr(j, "name", m->now.calls[call].name);
    warm_json_key(j, "arguments");
    warm_json_strn(j, d->text, d->len);
    warm_json_obj_end(j);
    warm_json_obj_end(j);
    warm_json_arr_end(j);
}

static void write_delta(warm_json *j, warm_message *m, const warm_delta *d) {
    if (m->blocks[d->block].kind == WARM_BLOCK_CALL) {
        write_call(j, m, d);
        return;
    }
    warm_json_key(j, m->blocks[d->block].kind == WARM_BLOCK_TEXT ? "content" : "reasoning_content");
    warm_json_strn(j, d->text, d->len);
}

/* One answer's next chunk. ev is set where it is the last one of this event. */
typedef struct chunk {
    const warm_reply *r;
    size_t i;
    warm_buf *out;
    warm_json j;
} chunk;

static void open_chunk(chunk *c, const char *reason) {
    warm__sse_begin(c->out, &c->j);
    warm__open_choice(&c->j, c->i, reason);
    warm_json_key(&c->j, "delta");
    warm_json_obj(&c->j);
}

static void close_chunk(chunk *c, const warm_event *probs) {
    warm_json_obj_end(&c->j);
    if (probs) warm__write_event_probs(&c->j, c->r, probs);
    warm__close_choice(&c->j);
    warm__write_common(&c->j, c->r, "chat.completion.chunk");
}

static void finish_chunk(chunk *c) {
    warm_json_obj_end(&c->j);
    warm__sse_end(c->out);
}

static void role_chunk(chunk *c, const warm_event *ev) {
    open_chunk(c, NULL);
    warm_json_kstr(&c->j, "role", "assistant");
    warm_json_kstr(&c->j, "content", NULL);
    close_chunk(c, NULL);
    if (ev->type == WARM_EV_PROGRESS) {
        warm_json_key(&c->j, "prompt_progress");
        warm__write_progress(&c->j, &ev->timings);
    }
    finish_chunk(c);
}

/* Probabilities are of the event's tokens and stand in its last chunk. d may be NULL: tokens without text. */
static void delta_chunk(chunk *c, warm_message *m, const warm_delta *d, const warm_event *ev) {
    open_chunk(c, NULL);
    if (d)
        write_delta(&c->j, m, d);
    else
        warm_json_kstr(&c->j, "content", "");
    close_chunk(c, ev);
    if (c->r->params->timings_per_token && ev) warm__write_timings(&c->j, &ev->timings);
    finish_chunk(c);
}

static void end_chunk(chunk *c, const warm_answer *a) {
    bool usage_follows = c->r->params->include_usage && c->r->n_answers == 1;
    open_chunk(c, reason_of(a));
    close_chunk(c, NULL);
    warm__write_verbose(&c->j, c->r, c->i);
    if (!usage_follows) warm__write_timings(&c->j, &a->end->timings);
    finish_chunk(c);
}

void warm__chat_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    warm_answer *a = &r->answers[i];
    warm_message *m = &a->message;
    chunk c = {.r = r, .i = i, .out = out};
    warm_delta d, next;
    if (!a->begun || ev->type == WARM_EV_PROGRESS) role_chunk(&c, ev);
    a->begun = true;
    bool more = warm_message_next(m, &d);
    if (!more && warm__has_probs(r, ev)) delta_chunk(&c, m, NULL, ev);
    for (; more; d = next) {
        more = warm_message_next(m, &next);
        delta_chunk(&c, m, &d, more ? NULL : ev);
    }
    if (ev->type == WARM_EV_DONE) end_chunk(&c, a);
}

void warm__chat_stream_end(const warm_reply *r, warm_buf *out) {
    if (r->params->include_usage) {
        warm_json j;
        warm__sse_begin(out, &j);
        warm_json_obj(&j);
        warm_json_key(&j, "choices");
        warm_json_arr(&j);
        warm_json_arr_end(&j);
        warm__write_common(&j, r, "chat.completion.chunk");
        warm__write_usage_of_all(&j, r);
        if (r->n_answers == 1) warm__write_timings(&j, &r->answers[0].end->timings);
        warm_json_obj_end(&j);
        warm__sse_end(out);
    }
    warm_buf_puts(out, "data: [DONE]\n\n");
}

static void write_calls(warm_json *j, warm_message *m) {
    warm_json_key(j, "tool_calls");
    warm_json_arr(j);
    for (size_t i = 0; i < m->now.n_calls; i++) {
        const warm_chat_call *call = &m->now.calls[i];
        warm_json_obj(j);
        warm_json_kstr(j, "type", "function");
        warm_json_key(j, "function");
        warm_json_obj(j);
        warm_json_kstr(j, "name", call->name);
        warm_json_key(j, "arguments");
        warm_json_strn(j, call->arguments, call->arguments_len);
        warm_json_obj_end(j);
        warm_json_kstr(j, "id", warm_message_call_id(m, i));
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

static void whole_choice(warm_json *j, const warm_reply *r, size_t i) {
    warm_answer *a = &r->answers[i];
    const warm_chat_message *said = &a->message.now;
    size_t n = warm__n_shown_probs(r, a);
    warm_json_obj(j);
    warm_json_kuint(j, "index", i);
    warm_json_kstr(j, "finish_reason", reason_of(a));
    warm_json_key(j, "message");
    warm_json_obj(j);
    warm_json_kstr(j, "role", "assistant");
    warm_json_key(j, "content");
    warm_json_strn(j, said->content, said->content_len);
    if (said->reasoning_len) {
        warm_json_key(j, "reasoning_content");
        warm_json_strn(j, said->reasoning, said->reasoning_len);
    }
    if (said->n_calls) write_calls(j, &a->message);
    warm_json_obj_end(j);
    if (n) {
        warm_json_key(j, "logprobs");
        warm__write_whole_probs(j, r, a, n);
    }
    warm_json_obj_end(j);
}

void warm__chat_whole(const warm_reply *r, warm_buf *out) {
    warm__openai_whole(r, "chat.completion", whole_choice, out);
}
