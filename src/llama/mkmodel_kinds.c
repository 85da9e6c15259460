/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_kinds.c - the kinds of model that mkmodel knows: plain attention, dense (Qwen3) and with experts (Qwen3-MoE).
 *
 * Gains are chosen so that the residual stream keeps its size at any depth, width and context length: each part writes with
 * gain / sqrt(layers), so that all layers together add the same variance, and the feed-forward parts add most of it, because what
 * attention adds shrinks as it averages over more tokens. The kind's `deviation` is the size measured behind the last layer.
 *
 * Qwen3's norms over each head's queries and keys make the sharpness of attention a constant: the product of their weights is the
 * deviation of the scores. Too small, and each of many tokens counts next to nothing; too large, and a head sees one token and most
 * are seen by nobody. Around 1.4 the least change that a token far back makes stands out most from the noise of the arithmetic
 * (tried on 1024 tokens: one token changed 200 back moves some logit by 2 to 4 times that noise, 16 tokens by 10 times and more).
 * Threads: none. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "llama/mkmodel_recipe.h"

#define HEAD_NORM_GAIN 1.2f
#define ATTN_OUT_GAIN  2.0f
#define FFN_DOWN_GAIN  4.0f
#define DEVIATION      2.65f
#define FREQ_BASE      1e6f /* Qwen3's */
#define RMS_EPSILON    1e-6f

warm__mk_tensor *warm__mk_add(warm__mk_model *m, enum warm__mk_fill fill, const char *name, int64_t n_in, int64_t n_out,
                              int64_t n_mats) {
    if (m->n_tensors == m->cap_tensors) {
        size_t cap = m->cap_tensors ? 2 * m->cap_tensors : 64;
        warm__mk_tensor *grown = warm_xmalloc(cap * sizeof *grown);
        for (size_t i = 0; i < m->n_tensors; i++) grown[i] = m->tensors[i];
        free(m->tensors);
        m->tensors = grown;
        m->cap_tensors = cap;
    }
    warm__mk_tensor *t = &m->tensors[m->n_tensors++];
    *t = (warm__mk_tensor){.fill = fill, .ne = {n_in, n_out, n_mats}, .gain = 1.0f};
    t->type = fill == WARM__MK_CONSTANT ? GGML_TYPE_F32 : m->type;
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

void warm__mk_key_u32(warm__mk_model *m, const char *arch, const char *key, uint32_t value) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    gguf_set_val_u32(m->gguf, full, value);
}

void warm__mk_key_f32(warm__mk_model *m, const char *arch, const char *key, float value) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    gguf_set_val_f32(m->gguf, full, value);
}

static warm__mk_tensor *add_layer(warm__mk_model *m, uint32_t layer, enum warm__mk_fill fill, const char *part, int64_t n_in,
                                  int64_t n_out, int64_t n_mats) {
    char name[WARM__MK_NAME_MAX];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, part);
    return warm__mk_add(m, fill, name, n_in, n_out, n_mats);
}

static void add_norm(warm__mk_model *m, uint32_t layer, const char *part) {
    add_layer(m, layer, WARM__MK_CONSTANT, part, m->shape.embd, 1, 1)->hide_bias = true;
}

/* A matrix whose result is added to the residual stream. */
static void add_back(warm__mk_model *m, uint32_t layer, const char *part, float gain, int64_t n_in, int64_t n_mats) {
    warm__mk_tensor *t = add_layer(m, layer, WARM__MK_RANDOM, part, n_in, m->shape.embd, n_mats);
    t->gain = gain / sqrtf((float)m->shape.layers);
    t->hide_bias = true;
}

static void attention(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    int64_t n_q = (int64_t)s->heads * s->head_size, n_kv = (int64_t)s->kv_heads * s->head_size;
    add_norm(m, layer, "attn_norm");
    add_layer(m, layer, WARM__MK_RANDOM, "attn_q", s->embd, n_q, 1);
    add_layer(m, layer, WARM__MK_RANDOM, "attn_k", s->embd, n_kv, 1);
    add_layer(m, layer, WARM__MK_RANDOM, "attn_v", s->embd, n_kv, 1);
    add_layer(m, layer, WARM__MK_CONSTANT, "attn_q_norm", s->head_size, 1, 1)->gain = HEAD_NORM_GAIN;
    add_layer(m, layer, WARM__MK_CONSTANT, "attn_k_norm", s->head_size, 1, 1)->gain = HEAD_NORM_GAIN;
    add_back(m, layer, "attn_output", ATTN_OUT_GAIN, n_q, 1);
}

static void feed_forward(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    add_norm(m, layer, "ffn_norm");
    add_layer(m, layer, WARM__MK_RANDOM, "ffn_gate", s->embd, s->ff, 1);
    add_layer(m, layer, WARM__MK_RANDOM, "ffn_up", s->embd, s->ff, 1);
    add_back(m, layer, "ffn_down", FFN_DOWN_GAIN, s->ff, 1);
}

static void experts(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    add_norm(m, layer, "ffn_norm");
    add_layer(m, layer, WARM__MK_RANDOM, "ffn_gate_inp", s->embd, s->experts, 1)->type = GGML_TYPE_F32;
    add_layer(m, layer, WARM__MK_RANDOM, "ffn_gate_exps", s->embd, s->ff, s->experts);
    add_layer(m, layer, WARM__MK_RANDOM, "ffn_up_exps", s->embd, s->ff, s->experts);
    /* The chosen experts are averaged with weights that sum to 1, which shrinks the sum of independent parts. */
    add_back(m, layer, "ffn_down_exps", FFN_DOWN_GAIN * sqrtf((float)s->experts_used), s->ff, s->experts);
}

static void common_keys(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_key_u32(m, arch, "context_length", s->ctx);
    warm__mk_key_u32(m, arch, "embedding_length", s->embd);
    warm__mk_key_u32(m, arch, "block_count", s->layers);
    warm__mk_key_u32(m, arch, "feed_forward_length", s->ff);
    warm__mk_key_u32(m, arch, "attention.head_count", s->heads);
    warm__mk_key_u32(m, arch, "attention.head_count_kv", s->kv_heads);
    warm__mk_key_u32(m, arch, "attention.key_length", s->head_size);
    warm__mk_key_u32(m, arch, "attention.value_length", s->head_size);
    warm__mk_key_f32(m, arch, "attention.layer_norm_rms_epsilon", RMS_EPSILON);
    warm__mk_key_f32(m, arch, "rope.freq_base", FREQ_BASE);
    warm__mk_key_u32(m, arch, "vocab_size", m->vocab.n_tokens);
}

static void describe_plain(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    common_keys(m, arch);
    if (s->experts) {
        warm__mk_key_u32(m, arch, "expert_count", s->experts);
        warm__mk_key_u32(m, arch, "expert_used_count", s->experts_used);
        warm__mk_key_u32(m, arch, "expert_feed_forward_length", s->ff);
    }
    warm__mk_add(m, WARM__MK_EMBED, "token_embd.weight", s->embd, m->vocab.n_tokens, 1)->type = GGML_TYPE_Q8_0;
    for (uint32_t i = 0; i < s->layers; i++) {
        attention(m, i);
        s->experts ? experts(m, i) : feed_forward(m, i);
    }
    warm__mk_add(m, WARM__MK_CONSTANT, "output_norm.weight", s->embd, 1, 1);
    warm__mk_add(m, WARM__MK_OUTPUT, "output.weight", s->embd, m->vocab.n_tokens, 1);
}

static const warm__mk_kind kinds[] = {
    {"dense", "plain attention (Qwen3)", "qwen3", {4, 64, 4, 2, 64, 192, 65536, 0, 0}, DEVIATION, describe_plain},
    {"moe", "plain attention and experts (Qwen3-MoE)", "qwen3moe", {4, 64, 4, 2, 64, 96, 65536, 8, 2}, DEVIATION, describe_plain},
};

const warm__mk_kind *warm__mk_kind_at(size_t i) {
    return i < sizeof kinds / sizeof *kinds ? &kinds[i] : NULL;
}
