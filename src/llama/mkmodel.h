/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel.h - writes a small GGUF model with random weights, a real vocabulary and a real chat template.
 *
 * For tests, demos and benchmarks that must not download anything: the file loads in libllama like any other, tokenises like the
 * model its vocabulary is from, answers every chat in some tens of tokens, and its logits depend on the whole context, so a wrongly
 * restored one shows. The same options and seed give the same bytes on every machine. What it says makes no sense. [any] */
#ifndef WARM_LLAMA_MKMODEL_H
#define WARM_LLAMA_MKMODEL_H

#include <stdint.h>

#include "warmslot/err.h"

/* NULL and 0 mean the default of the kind. */
typedef struct warm_mkmodel_options {
    const char *kind;  /* "dense", "moe", "swa", "recurrent", "hybrid", "hybrid-ssm", "hybrid-swa", "rank" */
    const char *out;   /* path of the file; replaced when complete, untouched on failure */
    const char *vocab; /* "qwen2" for ggml-vocab-qwen2.gguf of the engine package */
    const char *type;  /* "f16", "q8_0" */
    uint64_t seed;     /* 0 is a seed like any other */
    /* One that the kind has no use for is an error. */
    uint32_t layers, embd, heads, kv_heads, ff, window, conv, state, ctx;
} warm_mkmodel_options;

/* WARM_EINVAL: an option is wrong; WARM_ENOTFOUND: no such kind or vocabulary; WARM_EIO, WARM_ENOMEM. */
WARM_MUST_USE int warm_mkmodel(const warm_mkmodel_options *o, warm_err *err);

/* The command line, argv[0] being "mkmodel". Returns the exit status: 0, 1 (could not), 2 (wrong usage). */
int warm_mkmodel_main(int argc, char **argv);

#endif
