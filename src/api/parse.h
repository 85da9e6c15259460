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

/* The prompt that the model's template makes of a chat request. json_schema: as the engine's chat_render. */
WARM_MUST_USE int warm_parse_chat(warm_engine *e, warm_jv *root, const char *json_schema, warm_chat_prompt *prompt, warm_err *err);
void warm_chat_prompt_free(warm_engine *e, warm_chat_prompt *prompt);
/* The tokens that it makes. Never none. */
WARM_MUST_USE int warm_chat_tokenize(warm_engine *e, const warm_chat_prompt *prompt, warm_tokens *out, warm_err *err);

/* Reads a body; one of another dialect becomes the chat request that it means. *cache_control as in warm_params. */
WARM_MUST_USE int warm_parse_body(enum warm_api_kind kind, const char *body, size_t len, warm_jv **root, bool *cache_control,
                                  warm_err *err);

#endif
