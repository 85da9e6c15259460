/* SPDX-License-Identifier: MIT
 *
 * api/answer.h - what one task has answered so far, gathered from its events.
 *
 * A request has prompts x n_cmpl answers; answer i belongs to prompt i / n_cmpl, and its index in the response is i. A streamed answer
 * keeps only its end, a whole one also text, tokens and probabilities.
 * Threads: [loop]. */
#ifndef WARM_API_ANSWER_H
#define WARM_API_ANSWER_H

#include "api/message.h"
#include "api/params.h"
#include "base/buf.h"
#include "sched/task.h"

typedef struct warm_answer {
    const char *prompt; /* text of the prompt, borrowed; only where the response has it */
    size_t prompt_len;
    warm_buf text;
    int32_t *tokens;
    size_t n_tokens, cap_tokens;
    warm_token_prob *probs, *top; /* n_tokens, and n_tokens x n_probs of the request; token -1 fills up */
    bool begun;                   /* chat: the stream has had its first event */
    warm_message message;         /* chat: what the text says */
    size_t n_open;                /* chat in blocks: how many have begun, of which only the last may not have ended */
    bool open;
    size_t n_events; /* responses: sequence_number */
    warm_event *end; /* the WARM_EV_DONE, once it came */
} warm_answer;

void warm_answer_init(warm_answer *a);
void warm_answer_deinit(warm_answer *a);

/* Chat: takes an event's text and reads all of it. 0 or WARM_ENOMEM. */
WARM_MUST_USE int warm_answer_read(warm_answer *a, const warm_params *p, const warm_event *ev);
/* Takes what a TOKEN or DONE event adds to a whole answer. WARM_ENOMEM, or WARM_EFULL when probabilities pile up beyond reason. */
WARM_MUST_USE int warm_answer_add(warm_answer *a, const warm_params *p, const warm_event *ev, warm_err *err);

#endif
