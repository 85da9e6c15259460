/* SPDX-License-Identifier: MIT
 *
 * api/format_private.h - parts that the format_*.c share. */
#ifndef WARM_API_FORMAT_PRIVATE_H
#define WARM_API_FORMAT_PRIVATE_H

#include "api/format.h"

/* An event stream's framing around one JSON value. */
void warm__sse_begin(warm_buf *out, warm_json *j);
void warm__sse_end(warm_buf *out);

size_t warm__cached(const warm_task_timings *t);
/* {"total","cache","processed","time_ms"} */
void warm__write_progress(warm_json *j, const warm_task_timings *t);
/* Probabilities were asked for and this event has some. */
bool warm__has_probs(const warm_reply *r, const warm_event *ev);
/* An array with one object per token: id, token, bytes, logprob or prob, and the likeliest. n_top is the stride of top. */
void warm__write_probs(warm_json *j, const warm_reply *r, const warm_token_prob *probs, const warm_token_prob *top, size_t n,
                       size_t n_top);
/* How many of a whole answer's tokens have their probabilities shown: not those of the stop string. */
size_t warm__n_shown_probs(const warm_reply *r, const warm_answer *a);

void warm__native_final(warm_json *j, const warm_reply *r, size_t i);
void warm__native_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__native_whole(const warm_reply *r, warm_buf *out);

void warm__text_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__text_whole(const warm_reply *r, warm_buf *out);
/* Chats: the answer's message has been read. */
void warm__chat_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__chat_stream_end(const warm_reply *r, warm_buf *out);
void warm__chat_whole(const warm_reply *r, warm_buf *out);
void warm__responses_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__responses_whole(const warm_reply *r, warm_buf *out);
void warm__anthropic_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__anthropic_whole(const warm_reply *r, warm_buf *out);

/* format_openai.c: what text and chat share. */
const char *warm__finish_reason(const warm_event *end);
void warm__open_choice(warm_json *j, size_t i, const char *reason);
void warm__close_choice(warm_json *j);
/* The members behind "choices" that every object has. */
void warm__write_common(warm_json *j, const warm_reply *r, const char *object);
void warm__write_timings(warm_json *j, const warm_task_timings *t);
void warm__write_verbose(warm_json *j, const warm_reply *r, size_t i);
void warm__write_usage_of_all(warm_json *j, const warm_reply *r);
/* "logprobs" of an event; text has the key always, chat only when there are some. */
void warm__write_event_probs(warm_json *j, const warm_reply *r, const warm_event *ev);
/* The value of "logprobs" of a whole answer, n tokens of it. */
void warm__write_whole_probs(warm_json *j, const warm_reply *r, const warm_answer *a, size_t n);
void warm__openai_whole(const warm_reply *r, const char *object, void (*choice)(warm_json *j, const warm_reply *r, size_t i),
                        warm_buf *out);

/* "event: type\ndata: {"type":type", up to close. */
void warm__open_event(warm_json *j, warm_buf *out, const char *type);
void warm__close_event(warm_json *j, warm_buf *out);

#endif
