/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_kinds.c - the kinds of model that mkmodel knows, and the parts that they share.
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
    bool is_matrix = fill == WARM__MK_EMBED || fill == WARM__MK_OUTPUT || fill == WARM__MK_RANDOM;
    t->type = is_matrix ? m->type : GGML_TYPE_F32;
    snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

warm__mk_tensor *warm__mk_layer(warm__mk_model *m, uint32_t layer, enum warm__mk_fill fill, const char *part, int64_t n_in,
                                int64_t n_out, int64_t n_mats) {
    char name[WARM__MK_NAME_MAX];
    snprintf(name, sizeof name, "blk.%u.%s", layer, part);
    return warm__mk_add(m, fill, name, n_in, n_out, n_mats);
}

warm__mk_tensor *warm__mk_norm(warm__mk_model *m, uint32_t layer, const char *part) {
    warm__mk_tensor *t = warm__mk_layer(m, layer, WARM__MK_CONSTANT, part, m->shape.embd, 1, 1);
    t->hide_bias = true;
    return t;
}

warm__mk_tensor *warm__mk_back(warm__mk_model *m, uint32_t layer, const char *part, float gain, int64_t n_in, int64_t n_mats) {
    warm__mk_tensor *t = warm__mk_layer(m, layer, WARM__MK_RANDOM, part, n_in, m->shape.embd, n_mats);
    t->gain = gain / sqrtf((float)m->shape.layers);
    t->hide_bias = true;
    return t;
}

void warm__mk_attention(warm__mk_model *m, uint32_t layer, bool head_norms) {
    const warm__mk_shape *s = &m->shape;
    int64_t n_q = (int64_t)s->heads * s->head_size, n_kv = (int64_t)s->kv_heads * s->head_size;
    warm__mk_norm(m, layer, "attn_norm.weight");
    warm__mk_tensor *q = warm__mk_layer(m, layer, WARM__MK_RANDOM, "attn_q.weight", s->embd, n_q, 1);
    if (!head_norms) q->gain = HEAD_NORM_GAIN * HEAD_NORM_GAIN;
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "attn_k.weight", s->embd, n_kv, 1);
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "attn_v.weight", s->embd, n_kv, 1);
    if (head_norms) {
        warm__mk_layer(m, layer, WARM__MK_CONSTANT, "attn_q_norm.weight", s->head_size, 1, 1)->gain = HEAD_NORM_GAIN;
        warm__mk_layer(m, layer, WARM__MK_CONSTANT, "attn_k_norm.weight", s->head_size, 1, 1)->gain = HEAD_NORM_GAIN;
    }
    warm__mk_back(m, layer, "attn_output.weight", ATTN_OUT_GAIN, n_q, 1);
}

void warm__mk_feed_forward(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_norm(m, layer, "ffn_norm.weight");
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ffn_gate.weight", s->embd, s->ff, 1);
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ffn_up.weight", s->embd, s->ff, 1);
    warm__mk_back(m, layer, "ffn_down.weight", FFN_DOWN_GAIN, s->ff, 1);
}

static void experts(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_norm(m, layer, "ffn_norm.weight");
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ffn_gate_inp.weight", s->embd, s->experts, 1)->type = GGML_TYPE_F32;
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ffn_gate_exps.weight", s->embd, s->ff, s->experts);
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ffn_up_exps.weight", s->embd, s->ff, s->experts);
    /* The chosen experts are averaged with weights that sum to 1, which shrinks the sum of independent parts. */
    warm__mk_back(m, layer, "ffn_down_exps.weight", FFN_DOWN_GAIN * sqrtf((float)s->experts_used), s->ff, s->experts);
}

void warm__mk_embeddings(warm__mk_model *m, float deviation) {
    warm__mk_tensor *t = warm__mk_add(m, WARM__MK_EMBED, "token_embd.weight", m->shape.embd, m->vocab.n_tokens, 1);
    t->type = GGML_TYPE_Q8_0;
    t->gain = deviation;
}

void warm__mk_outputs(warm__mk_model *m, const char *norm) {
    warm__mk_add(m, WARM__MK_CONSTANT, norm, m->shape.embd, 1, 1);
    warm__mk_add(m, WARM__MK_OUTPUT, "output.weight", m->shape.embd, m->vocab.n_tokens, 1);
}

bool warm__mk_is_full(const warm__mk_shape *s, uint32_t layer) {
    return layer % s->period == s->period - 1;
}

static const char *full_key(char (*full)[128], const char *arch, const char *key) {
    snprintf(*full, sizeof *full, "%s.%s", arch, key);
    return *full;
}

void warm__mk_key_u32(warm__mk_model *m, const char *arch, const char *key, uint32_t value) {
    char full[128];
    gguf_set_val_u32(m->gguf, full_key(&full, arch, key), value);
}

void warm__mk_key_f32(warm__mk_model *m, const char *arch, const char *key, float value) {
    char full[128];
    gguf_set_val_f32(m->gguf, full_key(&full, arch, key), value);
}

void warm__mk_common_keys(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_key_u32(m, arch, "context_length", s->ctx);
    warm__mk_key_u32(m, arch, "embedding_length", s->embd);
    warm__mk_key_u32(m, arch, "block_count", s->layers);
    if (s->ff) warm__mk_key_u32(m, arch, "feed_forward_length", s->ff);
    warm__mk_key_f32(m, arch, "attention.layer_norm_rms_epsilon", RMS_EPSILON);
    warm__mk_key_u32(m, arch, "vocab_size", m->vocab.n_tokens);
}

static void head_keys(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_key_u32(m, arch, "attention.head_count", s->heads);
    warm__mk_key_u32(m, arch, "attention.key_length", s->head_size);
    warm__mk_key_u32(m, arch, "attention.value_length", s->head_size);
    warm__mk_key_f32(m, arch, "rope.freq_base", FREQ_BASE);
}

void warm__mk_attention_keys(warm__mk_model *m, const char *arch) {
    head_keys(m, arch);
    warm__mk_key_u32(m, arch, "attention.head_count_kv", m->shape.kv_heads);
}

void warm__mk_hybrid_keys(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    char full[128];
    int32_t *kv_heads = warm_xmalloc(s->layers * sizeof *kv_heads);
    for (uint32_t i = 0; i < s->layers; i++) kv_heads[i] = warm__mk_is_full(s, i) ? (int32_t)s->kv_heads : 0;
    head_keys(m, arch);
    gguf_set_arr_data(m->gguf, full_key(&full, arch, "attention.head_count_kv"), GGUF_TYPE_INT32, kv_heads, s->layers);
    free(kv_heads);
}

void warm__mk_plain(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_common_keys(m, arch);
    warm__mk_attention_keys(m, arch);
    if (s->experts) {
        warm__mk_key_u32(m, arch, "expert_count", s->experts);
        warm__mk_key_u32(m, arch, "expert_used_count", s->experts_used);
        warm__mk_key_u32(m, arch, "expert_feed_forward_length", s->ff);
    }
    warm__mk_embeddings(m, 1.0f);
    for (uint32_t i = 0; i < s->layers; i++) {
        warm__mk_attention(m, i, true);
        s->experts ? experts(m, i) : warm__mk_feed_forward(m, i);
    }
    warm__mk_outputs(m, "output_norm.weight");
}

/* Two labels whose scores are a softmax of two rows of a ranking head, the first one is "relevant". */
static void rank(warm__mk_model *m, const char *arch) {
    static const char *labels[] = {"yes", "no"};
    char full[128];
    warm__mk_plain(m, arch);
    gguf_set_arr_str(m->gguf, full_key(&full, arch, "classifier.output_labels"), labels, 2);
    warm__mk_add(m, WARM__MK_RANDOM, "cls.output.weight", m->shape.embd, 2, 1)->type = GGML_TYPE_F32;
}

/* clang-format off */
static const warm__mk_kind kinds[] = {
    {"dense", "plain attention (Qwen3)", "qwen3",
     {.layers = 4, .embd = 64, .ff = 192, .ctx = 65536, .heads = 4, .kv_heads = 2, .head_size = 64}, 2.65f, warm__mk_plain},
    {"moe", "plain attention and experts (Qwen3-MoE)", "qwen3moe",
     {.layers = 4, .embd = 64, .ff = 96, .ctx = 65536, .heads = 4, .kv_heads = 2, .head_size = 64, .experts = 8, .experts_used = 2},
     2.65f, warm__mk_plain},
    {"swa", "attention over a sliding window, over everything in every 3rd layer (Gemma 3)", "gemma3",
     {.layers = 6, .embd = 64, .ff = 192, .ctx = 65536, .heads = 4, .kv_heads = 2, .head_size = 64, .period = 3, .window = 128},
     2.65f, warm__mk_gemma3},
    {"recurrent", "recurrent state and no attention (Mamba-2)", "mamba2",
     {.layers = 4, .embd = 64, .ctx = 65536, .conv = 4, .state = 128}, 2.2f, warm__mk_mamba2},
    {"hybrid", "convolutions, plain attention in every 4th layer (LFM2)", "lfm2",
     {.layers = 4, .embd = 64, .ff = 192, .ctx = 65536, .heads = 2, .kv_heads = 1, .period = 4, .conv = 256}, 2.9f, warm__mk_lfm2},
    {"hybrid-ssm", "recurrent state, plain attention in every 6th layer (Granite 4 hybrid)", "granitehybrid",
     {.layers = 6, .embd = 64, .ff = 192, .ctx = 65536, .heads = 4, .kv_heads = 1, .head_size = 64, .period = 6, .conv = 4,
      .state = 128},
     3.1f, warm__mk_granite_hybrid},
    {"hybrid-swa", "convolutions, attention over a sliding window in every 4th layer (LFM2)", "lfm2",
     {.layers = 4, .embd = 64, .ff = 192, .ctx = 65536, .heads = 2, .kv_heads = 1, .period = 4, .window = 128, .conv = 256},
     2.9f, warm__mk_lfm2},
    {"rank", "plain attention with a head that scores (Qwen3 reranker)", "qwen3",
     {.layers = 4, .embd = 64, .ff = 192, .ctx = 65536, .heads = 4, .kv_heads = 2, .head_size = 64}, 2.65f, rank},
};
/* clang-format on */

const warm__mk_kind *warm__mk_kind_at(size_t i) {
    return i < sizeof kinds / sizeof *kinds ? &kinds[i] : NULL;
}
