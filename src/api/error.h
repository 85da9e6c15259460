/* SPDX-License-Identifier: MIT
 *
 * api/error.h - errors as llama-server writes them: {"error":{"code","message","type"}}, the code being the HTTP status.
 *
 * exceed_context_size_error also carries n_prompt_tokens and n_ctx. In a stream the same object is the data of an event.
 * Threads: [any]. */
#ifndef WARM_API_ERROR_H
#define WARM_API_ERROR_H

#include <stddef.h>

#include "base/json_write.h"
#include "warmslot/err.h"

typedef struct warm_failure {
    warm_err err;
    size_t n_prompt_tokens, n_ctx; /* with WARM_ETOOLARGE */
} warm_failure;

int warm_failure_status(int code); /* of a WARM_E* */
/* kind: "type" beside "error", as in Anthropic's streams; NULL: none. */
void warm_failure_write(warm_json *j, const warm_failure *f, const char *kind);

#endif
