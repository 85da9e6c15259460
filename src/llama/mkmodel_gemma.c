/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_gemma.c - attention over a sliding window (Gemma 3).
 *
 * Norms behind each part make what it adds a constant, so the stream's size needs no measuring, and a token's share in it does not
 * shrink with the number of tokens attended to. Embeddings are divided by what the architecture multiplies them with.
 * Threads: none. */
#include <math.h>

#include "llama/mkmodel_recipe.h"

#define ATTN_GAIN 1.5f
#define FFN_GAIN  2.0f

static void layer(warm__mk_model *m, uint32_t i) {
    float share = 1.0f / sqrtf((float)m->shape.layers);
    warm__mk_attention(m, i, true);
    warm__mk_norm(m, i, "post_attention_norm.weight")->gain = ATTN_GAIN * share;
    warm__mk_feed_forward(m, i);
    warm__mk_norm(m, i, "post_ffw_norm.weight")->gain = FFN_GAIN * share;
}

void warm__mk_gemma3(warm__mk_model *m, const char *arch) {
    const warm__mk_shape *s = &m->shape;
    warm__mk_common_keys(m, arch);
    warm__mk_attention_keys(m, arch);
    warm__mk_key_u32(m, arch, "attention.sliding_window", s->window);
    warm__mk_key_u32(m, arch, "attention.sliding_window_pattern", s->period);
    warm__mk_embeddings(m, 1.0f / sqrtf((float)s->embd));
    for (uint32_t i = 0; i < s->layers; i++) layer(m, i);
    warm__mk_outputs(m, "output_norm.weight");
}
