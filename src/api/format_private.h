/* SPDX-License-Identifier: MIT
 *
 * api/format_private.h - parts that format_native.c and format_openai.c share (format_common.c). */
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
void warm__openai_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
void warm__openai_stream_end(const warm_reply *r, warm_buf *out);
void warm__openai_whole(const warm_reply *r, warm_buf *out);

#endif
