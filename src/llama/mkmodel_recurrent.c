/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_recurrent.c - recurrent layers: short convolutions (LFM2), state spaces (Mamba-2, Granite 4 hybrid).
 *
 * Hybrids have one attention layer with one key/value head, and the other layers' state weighs more than 1000 tokens of it, as in
 * large models. LFM2's own convolutions span 3 tokens, which is next to nothing; here they span 256, and what a token weighs falls
 * with its age: were all alike, a short prompt would fill little of the span, the residual stream would be smaller at its beginning
 * than later on, and answers would end after 3 tokens.
 *
 * A state space's heads forget at rates from 1/12 to 1/1600 per token, each half of the one before; the norm behind it makes what it
 * adds independent of how much has gathered. The part that is remembered has to be 0 on average over tokens, or what tokens have in
 * common would gather instead of what tells them apart: that is what the bias of its convolution is for.
 *
 * Measured on 1024 tokens, one changed, the greatest change of a logit against the noise of chunking: Mamba-2 0.4 and more at
 * any distance, 500 times the noise; Granite 0.3, 90 times; LFM2 0.2 up to 300 back, 60 times, and 0.02 at 1000, 6 times. With
 * a window LFM2 sees at most 3 convolutions and a window far, 892 tokens.
 * Threads: none. */
#include <math.h>

#include "llama/mkmodel_recipe.h"

#define CONV_OUT_GAIN 2.0f

#define SSM_OUT_GAIN  2.0f
#define SSM_CONV_GAIN 0.5f
#define SSM_CONV_BIAS (-0.13f) /* makes the silu behind it 0 on average, given that gain */
#define SSM_STEP_BIAS (-3.0f)  /* a step of 0.08 on average: softplus of this and a normal value */
#define SSM_DECAY     (-1.0f)  /* per step, of the first head */
enum { SSM_HEADS = 8 };

/* The matrices are F32, because LFM2's graph multiplies them with a batch of several sequences in three dimensions, and on CPUs with
 * AMX libllama v0.5.0 gets that wrong for F16 and quantised weights: logits that are not numbers, or a crash. */
static void convolution(warm__mk_model *m, uint32_t layer) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_norm(m, layer, "attn_norm.weight");
    warm__mk_layer(m, layer, WARM__MK_RANDOM, "shortconv.in_proj.weight", s->embd, 3 * (int64_t)s->embd, 1)->type = GGML_TYPE_F32;
    warm__mk_layer(m, layer, WARM__MK_KERNEL, "shortconv.conv.weight", s->conv, s->embd, 1);
    warm__mk_back(m, layer, "shortconv.out_proj.weight", CONV_OUT_GAIN, s->embd, 1)->type = GGML_TYPE_F32;
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
