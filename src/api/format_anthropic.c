/* SPDX-License-Identifier: MIT
 *
 * api/format_anthropic.c - the answers of /v1/messages. See format.h.
 *
 * A stream is: message_start; for each block content_block_start, its deltas, content_block_stop; message_delta with the reason of the
 * end and the usage; message_stop. A block ends where the next begins. The signature of thinking is empty: nobody here checks one.
 * Usage: input_tokens, cache_read_input_tokens and cache_creation_input_tokens add up to the prompt, as Anthropic's do. What was computed
 * counts as created where the request marks something to be kept (cache_control) and the cache takes it. */
#include <string.h>

#include "api/format_private.h"

static void write_usage(warm_json *j, const warm_reply *r, const warm_task_timings *t, size_t n_out) {
    size_t cached = warm__cached(t), computed = t->n_prompt > cached ? t->n_prompt - cached : 0;
    bool created = r->params->cache_control && r->params->cache_prompt;
    warm_json_key(j, "usage");
    warm_json_obj(j);
    warm_json_kuint(j, "cache_creation_input_tokens", created ? computed : 0);
    warm_json_kuint(j, "cache_read_input_tokens", cached);
    warm_json_kuint(j, "input_tokens", created ? 0 : computed);
    warm_json_kuint(j, "output_tokens", n_out);
    warm_json_obj_end(j);
}

/* Stop strings of the chat template end a turn; those of the request are named. */
static bool is_own_stop(const warm_reply *r, const char *word) {
    warm_jv *own = warm_jget(r->params->root, "stop");
    if (warm_jis(own, json_type_string)) return !strcmp(json_object_get_string(own), word);
    for (size_t i = 0; warm_jis(own, json_type_array) && i < json_object_array_length(own); i++)
        if (!strcmp(json_object_get_string(json_object_array_get_idx(own, i)), word)) return true;
    return false;
}

static void write_stop(warm_json *j, const warm_reply *r, const warm_answer *a) {
    const char *word = a->end->stop == WARM_STOP_WORD && is_own_stop(r, a->end->stop_word) ? a->end->stop_word : NULL;
    bool ended = a->end->stop == WARM_STOP_EOS || a->end->stop == WARM_STOP_WORD;
    warm_json_kstr(j, "stop_reason",
                   !ended                   ? "max_tokens"
                   : a->message.now.n_calls ? "tool_use"
                   : word                   ? "stop_sequence"
                                            : "end_turn");
    warm_json_kstr(j, "stop_sequence", word);
}

static void write_head(warm_json *j, const warm_reply *r) {
    warm_json_kstr(j, "id", r->id);
    warm_json_kstr(j, "type", "message");
    warm_json_kstr(j, "role", "assistant");
    warm_json_kstr(j, "model", r->model);
}

/* ---- stream ---- */

static void start(const warm_reply *r, const warm_event *ev, warm_buf *out) {
    warm_json j;
    warm__open_event(&j, out, "message_start");
    warm_json_key(&j, "message");
    warm_json_obj(&j);
    write_head(&j, r);
    warm_json_key(&j, "content");
    warm_json_arr(&j);
    warm_json_arr_end(&j);
    warm_json_kstr(&j, "stop_reason", NULL);
    warm_json_kstr(&j, "stop_sequence", NULL);
    write_usage(&j, r, &ev->timings, 0);
    warm_json_obj_end(&j);
    warm__close_event(&j, out);
}

static void delta_event(warm_buf *out, size_t block, const char *type, const char *key, const char *text, size_t len) {
    warm_json j;
    warm__open_event(&j, out, "content_block_delta");
    warm_json_kuint(&j, "index", block);
    warm_json_key(&j, "delta");
    warm_json_obj(&j);
    warm_json_kstr(&j, "type", type);
    warm_json_key(&j, key);
    warm_json_strn(&j, text, len);
    warm_json_obj_end(&j);
    warm__close_event(&j, out);
}

static void end_block(warm_answer *a, warm_buf *out) {
    warm_json j;
    if (!a->open) return;
    size_t block = a->n_open - 1;
    if (a->message.blocks[block].kind == WARM_BLOCK_REASONING) delta_event(out, block, "signature_delta", "signature", "", 0);
    warm__open_event(&j, out, "content_block_stop");
    warm_json_kuint(&j, "index", block);
    warm__close_event(&j, out);
    a->open = false;
}

static void begin_block(warm_answer *a, size_t block, warm_buf *out) {
    warm_json j;
    warm_message *m = &a->message;
    size_t call = m->blocks[block].from;
    end_block(a, out);
    warm__open_event(&j, out, "content_block_start");
    warm_json_kuint(&j, "index", block);
    warm_json_key(&j, "content_block");
    warm_json_obj(&j);
    switch (m->blocks[block].kind) {
    case WARM_BLOCK_REASONING:
        warm_json_kstr(&j, "type", "thinking");
        warm_json_kstr(&j, "thinking", "");
        warm_json_kstr(&j, "signature", "");
        break;
    case WARM_BLOCK_TEXT:
        warm_json_kstr(&j, "type", "text");
        warm_json_kstr(&j, "text", "");
        break;
    case WARM_BLOCK_CALL:
        warm_json_kstr(&j, "type", "tool_use");
        warm_json_kstr(&j, "id", warm_message_call_id(m, call));
        warm_json_kstr(&j, "name", m->now.calls[call].name);
        warm_json_key(&j, "input");
        warm_json_obj(&j);
        warm_json_obj_end(&j);
        break;
    }
    warm_json_obj_end(&j);
    warm__close_event(&j, out);
    a->n_open = block + 1;
    a->open = true;
}

static void write_delta(const warm_answer *a, const warm_delta *d, warm_buf *out) {
    switch (a->message.blocks[d->block].kind) {
    case WARM_BLOCK_REASONING:
        delta_event(out, d->block, "thinking_delta", "thinking", d->text, d->len);
        break;
    case WARM_BLOCK_TEXT:
        delta_event(out, d->block, "text_delta", "text", d->text, d->len);
        break;
    case WARM_BLOCK_CALL:
        if (d->len) delta_event(out, d->block, "input_json_delta", "partial_json", d->text, d->len);
        break;
    }
}

static void end(const warm_reply *r, warm_answer *a, warm_buf *out) {
    warm_json j;
    end_block(a, out);
    warm__open_event(&j, out, "message_delta");
    warm_json_key(&j, "delta");
    warm_json_obj(&j);
    write_stop(&j, r, a);
    warm_json_obj_end(&j);
    write_usage(&j, r, &a->end->timings, a->end->timings.n_predicted);
    warm__close_event(&j, out);
    warm__open_event(&j, out, "message_stop");
    warm__close_event(&j, out);
}

void warm__anthropic_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    warm_answer *a = &r->answers[i];
    warm_delta d;
    /* The usage in message_start is known with the first token. */
    if (ev->type == WARM_EV_PROGRESS) return;
    if (!a->begun) start(r, ev, out);
    a->begun = true;
    while (warm_message_next(&a->message, &d)) {
        if (d.begins) begin_block(a, d.block, out);
        write_delta(a, &d, out);
    }
    if (ev->type == WARM_EV_DONE) end(r, a, out);
}

/* ---- whole ---- */

static void text_block(warm_json *j, const char *type, const char *key, const char *text, size_t len) {
    warm_json_kstr(j, "type", type);
    warm_json_key(j, key);
    warm_json_strn(j, text, len);
}

/* Arguments are an object there; what is none, since the answer was cut off, is an empty one. */
static void write_input(warm_json *j, const warm_chat_call *call) {
    warm_jv *v = NULL;
    warm_json_key(j, "input");
    if (!warm_jread(call->arguments, call->arguments_len, &v, NULL)) {
        warm_json_raw(j, call->arguments, call->arguments_len);
        json_object_put(v);
        return;
    }
    warm_json_obj(j);
    warm_json_obj_end(j);
}

static void write_content(warm_json *j, warm_message *m) {
    warm_delta d;
    warm_json_key(j, "content");
    warm_json_arr(j);
    while (warm_message_next(m, &d)) {
        const warm_block *b = &m->blocks[d.block];
        if (!d.begins) continue; /* arguments: written with their call */
        warm_json_obj(j);
        if (b->kind == WARM_BLOCK_REASONING) {
            text_block(j, "thinking", "thinking", d.text, d.len);
            warm_json_kstr(j, "signature", "");
        } else if (b->kind == WARM_BLOCK_TEXT) {
            text_block(j, "text", "text", d.text, d.len);
        } else {
            warm_json_kstr(j, "type", "tool_use");
            warm_json_kstr(j, "id", warm_message_call_id(m, b->from));
            warm_json_kstr(j, "name", m->now.calls[b->from].name);
            write_input(j, &m->now.calls[b->from]);
        }
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

void warm__anthropic_whole(const warm_reply *r, warm_buf *out) {
    warm_answer *a = &r->answers[0];
    warm_json j;
    warm_json_init(&j, out);
    warm_json_obj(&j);
    write_head(&j, r);
    write_content(&j, &a->message);
    write_stop(&j, r, a);
    write_usage(&j, r, &a->end->timings, a->end->timings.n_predicted);
    warm_json_obj_end(&j);
}
