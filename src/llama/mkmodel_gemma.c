/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_gemma.c - attention over a sliding window (Gemma 3).
 *
 * Norms behind each part make what it adds a constant, so the stream's size needs hardly any measuring, and what attention adds does
 * not shrink with the number of tokens attended to. Embeddings are divided by what the architecture multiplies them with. The window
 * is far shorter than the prompts of tests, and every 3rd layer attends to everything instead of Gemma's 6th: what is behind the
 * window then comes in early enough for the layers above to spread it (with the 6th alone, a token 500 to 1000 back stood out
 * from the noise by 1; with the 3rd, it moves some logit by 4 times the noise and more).
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
