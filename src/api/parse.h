/* SPDX-License-Identifier: MIT
 *
 * api/parse.h - the body of a request as parameters and prompts: everything that is read before a task exists.
 *
 * Threads: [any]. */
#ifndef WARM_API_PARSE_H
#define WARM_API_PARSE_H

#include "api/params.h"
#include "api/prompt.h"

/* On success *params and *prompts are the caller's to free. len bytes at body, NUL-terminated behind them. */
WARM_MUST_USE int warm_parse_completion(const warm_params_scope *s, const char *body, size_t len, warm_params *params,
                                        warm_prompts *prompts, warm_err *err);

/* The prompt that the model's template makes of a chat request; root is the body's parsed form. */
WARM_MUST_USE int warm_parse_chat(warm_engine *e, warm_jv *root, const char *body, size_t len, warm_chat_prompt *prompt,
                                  warm_err *err);

#endif
