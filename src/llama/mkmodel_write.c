/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_write.c - fills tensors and writes the file, a few rows at a time.
 *
 * The same bytes everywhere: a weight is the integer sum of four 16-bit uniforms (close enough to normal, never beyond 3.5
 * deviations) times one factor, in one multiplication, so that there is nothing for a compiler to fuse or a libm to round
 * differently. Each tensor draws from a stream of its own, seeded by the seed and its name.
 *
 * Output rows. A word's row is random: its logits over the contexts are normal with deviation LOGIT_DEVIATION. The rows of
 * the other classes add a level, a multiple of that deviation, in the reserved component (mkmodel_recipe.h). The end of a turn
 * has nothing else: it is where the word of rank END_RANK is on average, among the 40 that top-k leaves. Measured with the default
 * samplers over 100 chats each: 33 to 80 tokens for either kind, 1 to 8 layers, widths of 32 to 512, either type and all
 * vocabularies, none over 440. The deviation is that of a model which has something to say: at 2, min-p alone keeps few enough
 * words that chats also end with top-k off (at 0.5 they do not), and at 4 the chance of the end would change too much with the
 * length of the hidden state. Greedy decoding meets the end when no word reaches its level, about as often in narrow models and
 * seldom in wide ones.
 * Threads: none. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "llama/mkmodel_recipe.h"

#define LOGIT_DEVIATION 2.0f
#define END_RANK        18
#define QUOTE_RANK      32
#define CLOSER_LEVEL    (-2.0f)
#define OTHER_LEVEL     (-6.0f)
#define SPECIAL_LEVEL   (-60.0f)

#define SUM_MEAN      131070      /* of four uniforms in 0..65535 */
#define SUM_DEVIATION 37837.2270f /* sqrt(4 * (65536^2 - 1) / 12) */

static int32_t draw(warm_rng *r) {
    uint64_t z = warm_rng_next(r);
    return (int32_t)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48)) - SUM_MEAN;
}

static void random_row(warm_rng *r, float *row, int64_t n, float deviation) {
    float factor = deviation / SUM_DEVIATION;
    for (int64_t i = 0; i < n; i++) row[i] = (float)draw(r) * factor;
}

static warm_rng stream_of(uint64_t seed, const char *name) {
    warm_rng r = {seed};
    for (; *name; name++) r.state = warm_rng_next(&r) ^ (unsigned char)*name;
    return r;
}

/* Where the value of that rank is among n of a standard normal distribution. In whole numbers, for the same bytes everywhere. */
static float level_of_rank(uint32_t n, uint32_t rank) {
    /* Of 1/125, 1/250, 1/500 ... in thousandths. */
    static const uint32_t quantiles[] = {2409, 2652, 2878, 3090, 3291, 3481, 3662, 3836, 4004};
    uint32_t k = 0, base = 125, inverse = n / rank;
    if (inverse < base) inverse = base;
    for (; k < 7 && inverse >= 2 * base; k++) base *= 2;
    if (inverse > 2 * base) inverse = 2 * base;
    return (float)(quantiles[k] + (quantiles[k + 1] - quantiles[k]) * (inverse - base) / base) / 1000.0f;
}

static void output_row(const warm__mk_model *m, warm_rng *r, float *row, enum warm__mk_token class) {
    int64_t n = m->shape.embd;
    float level = 0.0f, random = 1.0f;
    switch (class) {
    case WARM__MK_WORD:
        break;
    case WARM__MK_QUOTE:
        level = level_of_rank(m->vocab.n_words, QUOTE_RANK);
        random = 0.0f;
        break;
    case WARM__MK_CLOSER:
        level = CLOSER_LEVEL;
        break;
    case WARM__MK_OTHER:
        level = OTHER_LEVEL;
        break;
    case WARM__MK_SPECIAL:
        level = SPECIAL_LEVEL;
        random = 0.0f;
        break;
    case WARM__MK_END:
        level = level_of_rank(m->vocab.n_words, END_RANK);
        random = 0.0f;
        break;
    }
    random_row(r, row, n, random * LOGIT_DEVIATION / sqrtf((float)(n - 1)));
    row[0] = level * LOGIT_DEVIATION * m->deviation;
}

static void kernel_row(warm_rng *r, float *row, int64_t n, float gain) {
    float sum = 0.0f;
    for (int64_t age = 1; age <= n; age++) sum += 1.0f / (float)age;
    for (int64_t age = 1; age <= n; age++) random_row(r, &row[n - age], 1, gain / sqrtf(sum * (float)age));
}

/* Row i of matrix j; called in order. */
static void fill_row(const warm__mk_model *m, const warm__mk_tensor *t, warm_rng *r, int64_t i, float *row) {
    int64_t n = t->ne[0];
    switch (t->fill) {
    case WARM__MK_EMBED:
        random_row(r, row, n, t->gain);
        row[0] = t->gain;
        break;
    case WARM__MK_OUTPUT:
        output_row(m, r, row, m->vocab.class_of[i]);
        break;
    case WARM__MK_CONSTANT:
        for (int64_t k = 0; k < n; k++) row[k] = t->gain;
        if (t->hide_bias) row[0] = 0.0f;
        break;
    case WARM__MK_HALVING:
        for (int64_t k = 0; k < n; k++) row[k] = ldexpf(t->gain, -(int)i);
        break;
    case WARM__MK_RANDOM:
        random_row(r, row, n, t->hide_bias && i == 0 ? 0.0f : t->gain / sqrtf((float)n));
        break;
    case WARM__MK_KERNEL:
        kernel_row(r, row, n, t->gain);
        break;
    }
}

static int write_padding(FILE *f, size_t n) {
    for (; n > 0; n--) {
        if (putc(0, f) == EOF) return WARM_EIO;
    }
    return 0;
}

static int write_tensor(const warm__mk_model *m, const warm__mk_tensor *t, size_t alignment, FILE *f) {
    size_t row_bytes = ggml_row_size(t->type, t->ne[0]), n_rows = (size_t)(t->ne[1] * t->ne[2]);
    float *row = warm_malloc((size_t)t->ne[0] * sizeof *row);
    void *packed = warm_malloc(row_bytes);
    warm_rng r = stream_of(m->seed, t->name);
    int code = row && packed ? 0 : WARM_ENOMEM;
    for (size_t i = 0; !code && i < n_rows; i++) {
        fill_row(m, t, &r, (int64_t)i % t->ne[1], row);
        const void *bytes = row;
        if (t->type != GGML_TYPE_F32) {
            ggml_quantize_chunk(t->type, row, packed, 0, 1, t->ne[0], NULL);
            bytes = packed;
        }
        if (fwrite(bytes, 1, row_bytes, f) != row_bytes) code = WARM_EIO;
    }
    if (!code) code = write_padding(f, (alignment - row_bytes * n_rows % alignment) % alignment);
    free(row);
    free(packed);
    return code;
}

int warm__mk_write(warm__mk_model *m, FILE *f) {
    struct ggml_init_params params = {.mem_size = (m->n_tensors + 1) * ggml_tensor_overhead(), .no_alloc = true};
    struct ggml_context *ctx = ggml_init(params);
    if (!ctx) return WARM_ENOMEM;
    for (size_t i = 0; i < m->n_tensors; i++) {
        const warm__mk_tensor *t = &m->tensors[i];
        int n_dims = t->ne[2] > 1 ? 3 : t->fill == WARM__MK_CONSTANT && t->ne[1] == 1 ? 1 : 2;
        gguf_add_tensor(m->gguf, ggml_set_name(ggml_new_tensor(ctx, t->type, n_dims, t->ne), t->name));
    }
    ggml_free(ctx);
    size_t alignment = gguf_get_alignment(m->gguf);
    int code = gguf_write_to_file_ptr(m->gguf, f, true) ? 0 : WARM_EIO;
    for (size_t i = 0; !code && i < m->n_tensors; i++) code = write_tensor(m, &m->tensors[i], alignment, f);
    return code;
}
