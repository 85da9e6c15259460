/* SPDX-License-Identifier: MIT
 *
 * api/format.h - events as JSON: llama-server's fields for the native, the text and the chat routes, streamed and whole.
 *
 * Functions of the request's parameters and what its tasks answered; chats are read here, event by event. Errors are the buffer's.
 * Threads: [loop] by custom; they share nothing. */
#ifndef WARM_API_FORMAT_H
#define WARM_API_FORMAT_H

#include "api/answer.h"
#include "api/error.h"
#include "api/params.h"
#include "base/json_write.h"

/* What is the same in every piece of a response. */
typedef struct warm_reply {
    const warm_params *params;
    warm_engine *engine; /* texts of tokens */
    const char *model, *build, *id;
    int64_t created;
    warm_answer *answers;
    size_t n_answers;
} warm_reply;

/* Appends the events ("data: ...\n\n") for one PROGRESS, TOKEN or DONE of answer i, whose end is set with the DONE. */
void warm_format_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
/* Appends what follows when every answer has ended. */
void warm_format_stream_end(const warm_reply *r, warm_buf *out);
/* Appends an error that ends a stream. */
void warm_format_stream_error(const warm_reply *r, const warm_failure *f, warm_buf *out);
/* The body of a response that is not streamed; every answer has ended. */
void warm_format_whole(const warm_reply *r, warm_buf *out);

/* "generation_settings"; brief is the form of /props and /slots. p may be of no request (root NULL). */
void warm_format_settings(warm_json *j, const warm_params *p, uint32_t seed, bool brief);
void warm_format_timings(warm_json *j, const warm_task_timings *t);

#endif
