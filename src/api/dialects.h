/* SPDX-License-Identifier: MIT
 *
 * api/dialects.h - requests of other APIs as the chat request that they mean (llama-server's rules).
 *
 * /v1/responses: input items and instructions become messages; tools other than functions are left out, since there is nobody here to run
 * them. /v1/messages: system, content blocks, tools and tool_choice. What a chat request has anyway is passed on as it is. Both share
 * the parts of the body that they keep, and are checked further as chat requests are.
 * Threads: [any]. */
#ifndef WARM_API_DIALECTS_H
#define WARM_API_DIALECTS_H

#include "api/json_read.h"

/* *out is freed with json_object_put. */
WARM_MUST_USE int warm_chat_of_responses(warm_jv *body, warm_jv **out, warm_err *err);
/* *cache_control: some part is marked with it. */
WARM_MUST_USE int warm_chat_of_anthropic(warm_jv *body, warm_jv **out, bool *cache_control, warm_err *err);

#endif
