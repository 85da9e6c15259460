/* SPDX-License-Identifier: MIT
 *
 * llama/llama_engine.h - the libllama engine: a model and its context behind warmslot/engine.h.
 *
 * The model, the context and everything that llama-server's engine flags say about them are read by libllama's own parser, so a
 * flag means here what it means there. The context is one pool (unified KV) and holds one sequence id more than it admits to: the
 * scratch one, through which ranges are saved and loaded. What can be done with the model's state is found out while opening.
 * Threads: warm_llama_open before other threads start; after it, as engine.h says. */
#ifndef WARM_LLAMA_LLAMA_ENGINE_H
#define WARM_LLAMA_LLAMA_ENGINE_H

#include "warmslot/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct warm_llama_options {
    int argc;
    const char *const *argv; /* llama-server's engine flags with their values, -m among them; argv[0] is skipped */
    uint32_t n_slots;        /* sequences that run at the same time; overrides -np. 0 = 1 */
    uint32_t n_seq_extra;    /* further sequence ids for residents; cut where libllama has no more (256). Each id costs a row of
                                  logits in host memory and one in the compute buffer: 1.2 MB with 150,000 tokens */
    uint32_t
        n_seq_extra_own; /* the same for models whose sequences have state of their own beside the shared cells: each id then takes the
                                  device memory of a whole window or recurrent state */
    const char *chat_template; /* source text or the name of a built-in one; NULL = --chat-template in argv, else the model's */
} warm_llama_options;

/* Loads the model and makes the context. The environment is not read: LLAMA_ARG_* belongs to the configuration layer.
 * WARM_ENOTFOUND: no such model file; WARM_EINVAL: a flag or the file is wrong; WARM_ENOTSUP: a model that can't generate text;
 * WARM_EENGINE: libllama refused, with its own words. */
WARM_MUST_USE int warm_llama_open(const warm_llama_options *o, warm_engine **out, warm_err *err);

#ifdef __cplusplus
}
#endif
#endif
