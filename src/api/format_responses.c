/* SPDX-License-Identifier: MIT
 *
 * api/format_responses.c - the answers of /v1/responses. See format.h.
 *
 * A stream is: response.created, response.in_progress; for each item output_item.added, its parts and deltas and what they came to,
 * output_item.done; response.completed with all of it. An item ends where the next begins. Each block of the message is an item.
 * Every event has its sequence_number and, where it is of an item, output_index and content_index: OpenAI's clients find items by them. */
#include <string.h>
#include <time.h>

#include "api/format_private.h"

/* "rs_..." and "msg_..." are the response's id and the item's number, "fc_..." is the call's id. */
static void write_item_id(warm_json *j, const char *key, const warm_reply *r, warm_message *m, size_t block) {
    const warm_block *b = &m->blocks[block];
    warm_buf id;
    warm_buf_init(&id, 1 << 16);
    if (b->kind == WARM_BLOCK_CALL)
        warm_buf_printf(&id, "fc_%s", warm_message_call_id(m, b->from));
    else
        warm_buf_printf(&id, "%s%s%zu", b->kind == WARM_BLOCK_TEXT ? "msg_" : "rs_", r->id + strlen("resp_"), block);
    if (warm_buf_err(&id)) warm_buf_fail(j->buf, warm_buf_err(&id));
    warm_json_kstr(j, key, id.data ? id.data : "");
    warm_buf_free(&id);
}

static void write_block_text(warm_json *j, const char *key, const warm_message *m, const warm_block *b) {
    const char *text = b->kind == WARM_BLOCK_TEXT ? m->now.content : m->now.reasoning;
    warm_json_key(j, key);
    warm_json_strn(j, text + b->from, b->to - b->from);
}

static void empty_array(warm_json *j, const char *key) {
    warm_json_key(j, key);
    warm_json_arr(j);
    warm_json_arr_end(j);
}

/* A part of a message or of reasoning; an empty one of a block that has just begun. */
static void write_part(warm_json *j, const warm_message *m, const warm_block *b, bool done) {
    bool text = b->kind == WARM_BLOCK_TEXT;
    warm_json_obj(j);
    warm_json_kstr(j, "type", text ? "output_text" : "reasoning_text");
    if (text) {
        empty_array(j, "annotations");
        empty_array(j, "logprobs");
    }
    if (done)
        write_block_text(j, "text", m, b);
    else
        warm_json_kstr(j, "text", "");
    warm_json_obj_end(j);
}

static void write_call_id(warm_json *j, warm_message *m, size_t call) {
    warm_buf id;
    warm_buf_init(&id, 1 << 16);
    warm_buf_printf(&id, "call_%s", warm_message_call_id(m, call));
    warm_json_kstr(j, "call_id", id.data ? id.data : "");
    warm_buf_free(&id);
}

static void write_arguments(warm_json *j, const warm_message *m, const warm_block *b) {
    const warm_chat_call *call = &m->now.calls[b->from];
    warm_json_key(j, "arguments");
    warm_json_strn(j, call->arguments, call->arguments_len);
}

static void write_item(warm_json *j, const warm_reply *r, warm_message *m, size_t block, bool done) {
    const warm_block *b = &m->blocks[block];
    warm_json_obj(j);
    write_item_id(j, "id", r, m, block);
    warm_json_kstr(j, "type", b->kind == WARM_BLOCK_TEXT ? "message" : b->kind == WARM_BLOCK_CALL ? "function_call" : "reasoning");
    warm_json_kstr(j, "status", done ? "completed" : "in_progress");
    if (b->kind == WARM_BLOCK_CALL) {
        write_call_id(j, m, b->from);
        warm_json_kstr(j, "name", m->now.calls[b->from].name);
        if (done)
            write_arguments(j, m, b);
        else
            warm_json_kstr(j, "arguments", "");
    } else {
        if (b->kind == WARM_BLOCK_TEXT) warm_json_kstr(j, "role", "assistant");
        if (b->kind == WARM_BLOCK_REASONING) empty_array(j, "summary");
        if (b->kind == WARM_BLOCK_REASONING) warm_json_kstr(j, "encrypted_content", "");
        warm_json_key(j, "content");
        warm_json_arr(j);
        if (done) write_part(j, m, b, true);
        warm_json_arr_end(j);
    }
    warm_json_obj_end(j);
}

static void write_usage(warm_json *j, const warm_task_timings *t) {
    warm_json_key(j, "usage");
    warm_json_obj(j);
    warm_json_kuint(j, "input_tokens", t->n_prompt);
    warm_json_kuint(j, "output_tokens", t->n_predicted);
    warm_json_kuint(j, "total_tokens", t->n_prompt + t->n_predicted);
    warm_json_key(j, "input_tokens_details");
    warm_json_obj(j);
    warm_json_kuint(j, "cached_tokens", warm__cached(t));
    warm_json_obj_end(j);
    warm_json_obj_end(j);
}

/* The response object, open; a is NULL while it is made. An answer that was cut off says so, though its last event is response.completed. */
static void open_response(warm_json *j, const warm_reply *r, warm_answer *a) {
    bool cut = a && a->end->stop != WARM_STOP_EOS && a->end->stop != WARM_STOP_WORD;
    warm_json_obj(j);
    warm_json_kstr(j, "id", r->id);
    warm_json_kstr(j, "object", "response");
    warm_json_kint(j, "created_at", r->created);
    warm_json_kstr(j, "status", !a ? "in_progress" : cut ? "incomplete" : "completed");
    warm_json_key(j, "incomplete_details");
    if (cut) {
        warm_json_obj(j);
        warm_json_kstr(j, "reason", "max_output_tokens");
        warm_json_obj_end(j);
    } else {
        warm_json_null(j);
    }
    warm_json_kstr(j, "error", NULL);
    warm_json_kstr(j, "model", r->model);
    warm_json_key(j, "output");
    warm_json_arr(j);
    for (size_t i = 0; a && i < a->message.n_blocks; i++) write_item(j, r, &a->message, i, true);
    warm_json_arr_end(j);
    if (a) write_usage(j, &a->end->timings);
}

/* ---- stream ---- */

typedef struct stream {
    const warm_reply *r;
    warm_answer *a;
    warm_buf *out;
    warm_json j;
    const warm_task_timings *timings; /* of the last event, or NULL */
} stream;

static void open_event(stream *s, const char *type) {
    warm__open_event(&s->j, s->out, type);
    warm_json_kuint(&s->j, "sequence_number", s->a->n_events++);
}

static void close_event(stream *s) {
    warm__close_event(&s->j, s->out);
}

static void state_event(stream *s, const char *type, const warm_event *progress) {
    open_event(s, type);
    warm_json_key(&s->j, "response");
    open_response(&s->j, s->r, NULL);
    warm_json_obj_end(&s->j);
    if (progress) {
        warm_json_key(&s->j, "prompt_progress");
        warm__write_progress(&s->j, &progress->timings);
    }
    close_event(s);
}

static void open_item_event(stream *s, const char *type, size_t block, bool of_part) {
    open_event(s, type);
    warm_json_kuint(&s->j, "output_index", block);
    write_item_id(&s->j, "item_id", s->r, &s->a->message, block);
    if (of_part) warm_json_kuint(&s->j, "content_index", 0);
}

static void item_event(stream *s, const char *type, size_t block, bool done) {
    open_event(s, type);
    warm_json_kuint(&s->j, "output_index", block);
    warm_json_key(&s->j, "item");
    write_item(&s->j, s->r, &s->a->message, block, done);
    close_event(s);
}

static void part_event(stream *s, const char *type, size_t block, bool done) {
    open_item_event(s, type, block, true);
    warm_json_key(&s->j, "part");
    write_part(&s->j, &s->a->message, &s->a->message.blocks[block], done);
    close_event(s);
}

static void end_item(stream *s) {
    if (!s->a->open) return;
    size_t block = s->a->n_open - 1;
    warm_message *m = &s->a->message;
    const warm_block *b = &m->blocks[block];
    if (b->kind == WARM_BLOCK_CALL) {
        open_item_event(s, "response.function_call_arguments.done", block, false);
        warm_json_kstr(&s->j, "name", m->now.calls[b->from].name);
        write_arguments(&s->j, m, b);
        close_event(s);
    } else {
        bool text = b->kind == WARM_BLOCK_TEXT;
        open_item_event(s, text ? "response.output_text.done" : "response.reasoning_text.done", block, true);
        write_block_text(&s->j, "text", m, b);
        if (text) empty_array(&s->j, "logprobs");
        close_event(s);
        part_event(s, "response.content_part.done", block, true);
    }
    item_event(s, "response.output_item.done", block, true);
    s->a->open = false;
}

static void delta_event(stream *s, const warm_delta *d, bool last) {
    static const char *const types[] = {[WARM_BLOCK_REASONING] = "response.reasoning_text.delta",
                                        [WARM_BLOCK_TEXT] = "response.output_text.delta",
                                        [WARM_BLOCK_CALL] = "response.function_call_arguments.delta"};
    enum warm_block_kind kind = s->a->message.blocks[d->block].kind;
    open_item_event(s, types[kind], d->block, kind != WARM_BLOCK_CALL);
    warm_json_key(&s->j, "delta");
    warm_json_strn(&s->j, d->text, d->len);
    if (kind == WARM_BLOCK_TEXT) empty_array(&s->j, "logprobs");
    if (last && s->timings) warm__write_timings(&s->j, s->timings);
    close_event(s);
}

static void write_delta(stream *s, const warm_delta *d, bool last) {
    if (d->begins) {
        end_item(s);
        item_event(s, "response.output_item.added", d->block, false);
        if (s->a->message.blocks[d->block].kind != WARM_BLOCK_CALL) part_event(s, "response.content_part.added", d->block, false);
        s->a->n_open = d->block + 1;
        s->a->open = true;
    }
    if (d->len) delta_event(s, d, last);
}

static void end(stream *s) {
    end_item(s);
    open_event(s, "response.completed");
    warm_json_key(&s->j, "response");
    open_response(&s->j, s->r, s->a);
    warm_json_kint(&s->j, "completed_at", time(NULL));
    warm_json_obj_end(&s->j);
    warm__write_timings(&s->j, &s->a->end->timings);
    close_event(s);
}

void warm__responses_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    stream s = {.r = r, .a = &r->answers[i], .out = out};
    bool progress = ev->type == WARM_EV_PROGRESS;
    warm_delta d, next;
    if (r->params->timings_per_token) s.timings = &ev->timings;
    if (!s.a->begun) state_event(&s, "response.created", NULL);
    if (!s.a->begun || progress) state_event(&s, "response.in_progress", progress ? ev : NULL);
    s.a->begun = true;
    if (progress) return;
    for (bool more = warm_message_next(&s.a->message, &d); more; d = next) {
        more = warm_message_next(&s.a->message, &next);
        write_delta(&s, &d, !more);
    }
    if (ev->type == WARM_EV_DONE) end(&s);
}

/* ---- whole ---- */

void warm__responses_whole(const warm_reply *r, warm_buf *out) {
    warm_answer *a = &r->answers[0];
    warm_delta d;
    warm_json j;
    while (warm_message_next(&a->message, &d)) {
    }
    warm_json_init(&j, out);
    open_response(&j, r, a);
    warm_json_kint(&j, "completed_at", time(NULL));
    warm__write_timings(&j, &a->end->timings);
    warm_json_obj_end(&j);
}
