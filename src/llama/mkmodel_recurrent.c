/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_recurrent.c - recurrent layers: short convolutions (LFM2), state spaces (Mamba-2, Granite 4 hybrid).
 * Threads: none. */
#include <math.h>

#include "llama/mkmodel_recipe.h"

#define CONV_OUT_GAIN 2.0f

/* State spaces. */
#define SSM_OUT_GAIN  2.0f
#define SSM_CONV_GAIN 0.5f
#define SSM_CONV_BIAS (-0.13f) /* silu of a normal value of that gain is 0 on average with it */
#define SSM_STEP_BIAS (-3.0f)
#define SSM_DECAY     (-1.0f)
enum { SSM_HEADS = 8 };

static void convolution(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_norm(m, layer, "attn_norm.weight");
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "shortconv.in_proj.weight", s->embd, 3 * (int64_t)s->embd, 1);
    warm__mk_layer(m, layer, WARM__MK_KERNEL, "shortconv.conv.weight", s->conv, s->embd, 1);
    warm__mk_back(m, layer, "shortconv.out_proj.weight", CONV_OUT_GAIN, s->embd, 1);
}

void warm__mk_lfm2(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_common_keys(m, arch);
    warm__mk_hybrid_keys(m, arch);
    warm__mk_key_u32(m, arch, "shortconv.l_cache", s->conv);
    if (s->window) warm__mk_key_u32(m, arch, "attention.sliding_window", s->window);
    warm__mk_embeddings(m, 1.0f);
    for (uint32_t i = 0; i < s->layers; i++) {
        warm__mk_is_full(s, i) ? warm__mk_attention(m, i, true) : convolution(m, i);
        warm__mk_feed_forward(m, i);
    }
    warm__mk_outputs(m, "token_embd_norm.weight");
}

static void ssm_keys(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_key_u32(m, arch, "ssm.conv_kernel", s->conv);
    warm__mk_key_u32(m, arch, "ssm.inner_size", 2 * s->embd);
    warm__mk_key_u32(m, arch, "ssm.state_size", s->state);
    warm__mk_key_u32(m, arch, "ssm.time_step_rank", SSM_HEADS);
    warm__mk_key_u32(m, arch, "ssm.group_count", 1);
}

static void state_space(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    int64_t inner = 2 * (int64_t)s->embd, mixed = inner + 2 * (int64_t)s->state;
    warm__mk_norm(m, layer, "attn_norm.weight");
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "ssm_in.weight", s->embd, inner + mixed + SSM_HEADS, 1);
    warm__mk_layer(m, layer, WARM__MK_KERNEL, "ssm_conv1d.weight", s->conv, mixed, 1)->gain = SSM_CONV_GAIN;
    warm__mk_layer(m, layer, WARM__MK_CONSTANT, "ssm_conv1d.bias", mixed, 1, 1)->gain = SSM_CONV_BIAS;
    warm__mk_layer(m, layer, WARM__MK_CONSTANT, "ssm_dt.bias", SSM_HEADS, 1, 1)->gain = SSM_STEP_BIAS;
    warm__mk_layer(m, layer, WARM__MK_HALVING, "ssm_a", 1, SSM_HEADS, 1)->gain = SSM_DECAY;
    warm__mk_layer(m, layer, WARM__MK_CONSTANT, "ssm_d", 1, SSM_HEADS, 1);
    warm__mk_layer(m, layer, WARM__MK_CONSTANT, "ssm_norm.weight", inner, 1, 1);
    warm__mk_back(m, layer, "ssm_out.weight", SSM_OUT_GAIN, inner, 1);
}

void warm__mk_mamba2(warm__mk_model *m, const char *arch) {
    warm__mk_common_keys(m, arch);
    ssm_keys(m, arch);
    warm__mk_embeddings(m, 1.0f);
    for (uint32_t i = 0; i < m->shape.layers; i++) state_space(m, i);
    warm__mk_outputs(m, "output_norm.weight");
}

void warm__mk_granite_hybrid(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_common_keys(m, arch);
    warm__mk_hybrid_keys(m, arch);
    ssm_keys(m, arch);
    warm__mk_embeddings(m, 1.0f);
    for (uint32_t i = 0; i < s->layers; i++) {
        warm__mk_is_full(s, i) ? warm__mk_attention(m, i, false) : state_space(m, i);
        warm__mk_feed_forward(m, i);
    }
    warm__mk_outputs(m, "output_norm.weight");
}
