/* SPDX-License-Identifier: MIT
 *
 * api/prompt.h - what a request wants to have continued, as tokens.
 *
 * A prompt is a string, an array of tokens, a mixed array of strings and tokens, or {"prompt_string": one of these}; a list of such is
 * several prompts. As llama-server does, special tokens are added (add_special) only by a string that stands first.
 * Threads: [any]. */
#ifndef WARM_API_PROMPT_H
#define WARM_API_PROMPT_H

#include "api/json_read.h"
#include "base/buf.h"
#include "warmslot/engine.h"

enum { WARM_PROMPTS_MAX = 1024 }; /* per request */

typedef struct warm_tokens {
    int32_t *v; /* malloc'ed */
    size_t n;
} warm_tokens;

typedef struct warm_prompts {
    warm_tokens *v;
    size_t n;
} warm_prompts;

/* name is the field's, for messages. A prompt without tokens is an error. */
WARM_MUST_USE int warm_prompts_read(warm_engine *e, const char *name, warm_jv *v, warm_prompts *out, warm_err *err);
void warm_prompts_free(warm_prompts *p);

enum { WARM_ADD_SPECIAL = 1, WARM_PARSE_SPECIAL = 2 };
/* One string, token array or mixed array. Each token id is checked against the vocabulary. flags are of the enum above. */
WARM_MUST_USE int warm_tokens_read(warm_engine *e, const char *name, warm_jv *v, unsigned flags, warm_tokens *out, warm_err *err);

/* A list that grows; v is malloc'ed. */
typedef struct warm_token_list {
    int32_t *v;
    size_t n, cap;
} warm_token_list;

WARM_MUST_USE int warm_tokens_push(warm_token_list *l, const int32_t *tokens, size_t n, warm_err *err);
/* flags are of the enum above. */
WARM_MUST_USE int warm_tokens_push_text(warm_engine *e, warm_token_list *l, const char *text, size_t len, unsigned flags,
                                        warm_err *err);

/* Appends the text of one token. */
void warm_token_text(warm_engine *e, int32_t token, bool special, warm_buf *out);
/* Tokens as text, specials included. NULL without memory. */
char *warm_tokens_text(warm_engine *e, const int32_t *tokens, size_t n, size_t *len);

/* Checks the messages of a chat request, their shape and that they hold nothing but text, and the types of what its template reads. */
WARM_MUST_USE int warm_chat_check(warm_jv *root, warm_err *err);

#endif
