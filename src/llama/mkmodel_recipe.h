/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_recipe.h - private to mkmodel: what a model consists of, between the kinds that describe it and the writer.
 *
 * A kind is one entry of a table: its architecture, its default shape, and a function that sets the architecture's keys and lists
 * its tensors. It computes no weights: each tensor says how it is filled, and the writer does that row by row while it writes.
 *
 * The residual stream has one reserved component, number 0. Every token's embedding puts 1 there, no layer writes to it, and the
 * norms in front of the layers hide it from them. Behind the last norm it is the one direction in which every hidden state has the
 * same known component, whatever the context: a constant there in a token's output row is a bias of that token. That makes
 * the end-of-text token come up at a steady rate and the special ones never, in any architecture, also those without output biases.
 * Threads: none. */
#ifndef WARM_LLAMA_MKMODEL_RECIPE_H
#define WARM_LLAMA_MKMODEL_RECIPE_H

#include <ggml.h>
#include <gguf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "warmslot/err.h"

/* 0: the kind has no such thing, and an option that sets it is refused. */
typedef struct warm__mk_shape {
    uint32_t layers, embd, ff, ctx;
    uint32_t heads, kv_heads;
    uint32_t head_size; /* 0: embd / heads */
    uint32_t experts, experts_used;
    uint32_t period; /* of layers of several sorts, the last in each period is the one that attends to everything */
    uint32_t window; /* tokens that the other layers, or all, attend to */
    uint32_t conv;   /* tokens that a convolution spans */
    uint32_t state;  /* elements of recurrent state for each inner one */
} warm__mk_shape;

enum warm__mk_fill {
    WARM__MK_EMBED,    /* token embeddings, deviation `gain` */
    WARM__MK_OUTPUT,   /* output rows, one per token */
    WARM__MK_CONSTANT, /* every element `gain` */
    WARM__MK_HALVING,  /* `gain` in the first row, half of it in the next, ... */
    WARM__MK_RANDOM,   /* normal, deviation gain / sqrt(length of a row) */
    WARM__MK_KERNEL,   /* normal, the last element of a row the greatest, variances as 1, 1/2, 1/3 ... of its, gain^2 together */
};

enum { WARM__MK_NAME_MAX = 64 };

typedef struct warm__mk_tensor {
    char name[WARM__MK_NAME_MAX];
    enum warm__mk_fill fill;
    enum ggml_type type;
    int64_t ne[3]; /* 1 where unused */
    float gain;
    bool hide_bias; /* component 0 of the residual stream is not written (RANDOM, row 0) or not read (CONSTANT, element 0) */
} warm__mk_tensor;

/* How a token may come up in generated text. */
enum warm__mk_token {
    WARM__MK_WORD,    /* a space and letters: random text of these is tokenised back to the same tokens */
    WARM__MK_QUOTE,   /* ": now and then, so that strings in JSON come to their end */
    WARM__MK_CLOSER,  /* , ] }: seldom, but before other tokens that a grammar allows there, so that lists and objects end */
    WARM__MK_OTHER,   /* only where a grammar or bias leaves nothing else */
    WARM__MK_SPECIAL, /* never */
    WARM__MK_END,     /* the end of a turn */
};

typedef struct warm__mk_vocab {
    struct gguf_context *kv; /* tokenizer.* keys only */
    uint8_t *class_of;       /* enum warm__mk_token, n_tokens of them */
    uint32_t n_tokens, n_words;
} warm__mk_vocab;

typedef struct warm__mk_model {
    warm__mk_shape shape;
    warm__mk_vocab vocab;
    enum ggml_type type; /* of the matrices */
    float deviation;     /* the kind's */
    uint64_t seed;
    struct gguf_context *gguf;
    warm__mk_tensor *tensors;
    size_t n_tensors, cap_tensors;
} warm__mk_model;

typedef struct warm__mk_kind {
    const char *name, *about, *arch;
    warm__mk_shape defaults;
    float deviation; /* of the residual stream's components behind the last layer */
    void (*describe)(warm__mk_model *m, const char *arch);
} warm__mk_kind;

/* NULL behind the last one. */
const warm__mk_kind *warm__mk_kind_at(size_t i);

/* The descriptions, by family. */
void warm__mk_plain(warm__mk_model *m, const char *arch);
void warm__mk_gemma3(warm__mk_model *m, const char *arch);
void warm__mk_lfm2(warm__mk_model *m, const char *arch);
void warm__mk_mamba2(warm__mk_model *m, const char *arch);
void warm__mk_granite_hybrid(warm__mk_model *m, const char *arch);

/* Parts that families share. */

/* The next entry of m->tensors, filled with the arguments. Rows have n_in elements; there are n_out of them, in n_mats matrices. */
warm__mk_tensor *warm__mk_add(warm__mk_model *m, enum warm__mk_fill fill, const char *name, int64_t n_in, int64_t n_out,
                              int64_t n_mats);
/* The same for "blk.<layer>.<part>". */
warm__mk_tensor *warm__mk_layer(warm__mk_model *m, uint32_t layer, enum warm__mk_fill fill, const char *part, int64_t n_in,
                                int64_t n_out, int64_t n_mats);
/* A norm in front of a part, or behind it with a gain of its own. */
warm__mk_tensor *warm__mk_norm(warm__mk_model *m, uint32_t layer, const char *part);
/* A matrix whose result is added to the residual stream: gain / sqrt(layers). */
warm__mk_tensor *warm__mk_back(warm__mk_model *m, uint32_t layer, const char *part, float gain, int64_t n_in, int64_t n_mats);
/* Norm, queries, keys, values, and what comes back; head_norms as Qwen3 has them, or the same sharpness without. */
void warm__mk_attention(warm__mk_model *m, uint32_t layer, bool head_norms);
void warm__mk_feed_forward(warm__mk_model *m, uint32_t layer);
void warm__mk_embeddings(warm__mk_model *m, float deviation);
void warm__mk_outputs(warm__mk_model *m, const char *norm);
/* Is it the last of its period? */
bool warm__mk_is_full(const warm__mk_shape *s, uint32_t layer);

/* Sets "<arch>.<key>". */
void warm__mk_key_u32(warm__mk_model *m, const char *arch, const char *key, uint32_t value);
void warm__mk_key_f32(warm__mk_model *m, const char *arch, const char *key, float value);
/* Context, width, layers, vocabulary, epsilon: what every architecture has. */
void warm__mk_common_keys(warm__mk_model *m, const char *arch);
/* Heads and rope, the same in each layer. */
void warm__mk_attention_keys(warm__mk_model *m, const char *arch);
/* The same, with no key/value heads where layers are not full. */
void warm__mk_hybrid_keys(warm__mk_model *m, const char *arch);

/* NULL behind the last one. */
const char *warm__mk_vocab_name(size_t i);
/* Reads a vocabulary by its name, with its chat template, and sorts its tokens. */
WARM_MUST_USE int warm__mk_vocab_load(const char *name, warm__mk_vocab *out, warm_err *err);
void warm__mk_vocab_free(warm__mk_vocab *v);

/* Writes m->gguf with the listed tensors, whose names and types are added to it. WARM_EIO: errno tells why; WARM_ENOMEM. */
WARM_MUST_USE int warm__mk_write(warm__mk_model *m, FILE *f);

#endif
