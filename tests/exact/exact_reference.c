/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_reference.c - see exact_reference.h. */
#include "exact_reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

#undef NDEBUG
#include <assert.h>

enum {
    BATCH_MAX = 512,
    CHUNK = 160,
    LEAST = 64,
    NOISE_LEAST = 100,
    NOISE_MOST = 300,
    N_WRONG = 4,
    NOISE_ROWS = 48,
    OWN = 0,
    OTHER = 1,
    BESIDE = 2
};

double exact_distance(const float *a, const float *b, size_t n) {
    double most = 0;
    if (!memcmp(a, b, n * sizeof *a)) return 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d;
    }
    return most;
}

void exact_text(const warm_engine *e, int32_t *out, size_t n, uint64_t seed) {
    warm_rng rng = {seed * 7919 + 1};
    for (size_t i = 0; i < n; i++) out[i] = 100 + (int32_t)warm_rng_below(&rng, e->info->n_vocab / 2);
}

/* n rows of the prompt's sequence, and, with pos_beside >= 0, one of another that runs beside, behind them. The last row of each is wanted. */
static void decode(warm_engine *e, int32_t seq, const int32_t *tokens, size_t p0, size_t n, bool want, int32_t pos_beside) {
    int32_t token[BATCH_MAX], pos[BATCH_MAX], seqs[BATCH_MAX];
    uint8_t wants[BATCH_MAX] = {0};
    assert(n && n < BATCH_MAX && n < e->info->n_ubatch);
    for (size_t i = 0; i < n; i++) {
        token[i] = tokens[i];
        pos[i] = (int32_t)(p0 + i);
        seqs[i] = seq;
    }
    wants[n - 1] = want;
    if (pos_beside >= 0) {
        token[n] = tokens[0];
        pos[n] = pos_beside;
        seqs[n] = BESIDE;
        wants[n] = 1;
    }
    warm_err err = {0};
    warm_batch b = {n + (pos_beside >= 0), token, pos, seqs, wants};
    if (!e->ops->decode(e, &b, &err)) return;
    fprintf(stderr, "decode of %zu at %zu: %s\n", n, p0, err.text);
    abort();
}

static void fill(warm_engine *e, int32_t seq, size_t n) {
    int32_t tokens[BATCH_MAX];
    assert(n <= BATCH_MAX);
    exact_text(e, tokens, n, 1000 + n);
    if (n) decode(e, seq, tokens, 0, n, false, -1);
}

static size_t chunk_of(const exact_layout *l, size_t at, size_t left) {
    for (size_t i = 0; i < l->n_ends; i++) {
        if (l->ends[i] > at && l->ends[i] < at + left) return l->ends[i] - at;
    }
    if (left <= l->singles) return 1;
    left -= l->singles;
    if (l->chunk) return left < l->chunk ? left : l->chunk;
    return left < CHUNK + LEAST ? left : CHUNK;
}

void exact_compute(warm_engine *e, const exact_layout *layout, const int32_t *prompt, size_t n, size_t n_rows, exact_script *out) {
    e->ops->clear(e, true);
    fill(e, OTHER, layout->wrapped ? n - n / 3 : layout->before);
    size_t row = 0;
    for (size_t at = 0; at < n;) {
        size_t chunk = chunk_of(layout, at, n - at);
        bool last = at + chunk == n;
        decode(e, OWN, prompt + at, at, chunk, last, last && layout->beside ? 0 : -1);
        at += chunk;
        row = chunk - 1;
        if (layout->wrapped && at - chunk < n / 3 && at >= n / 3) {
            e->ops->seq_rm(e, OTHER, 0, -1);
        }
    }
    for (size_t i = 0;; i++) {
        int32_t token = exact_script_add(out, e->ops->logits(e, row), e->info->n_vocab);
        if (i + 1 == n_rows) return;
        decode(e, OWN, &token, n + i, 1, true, layout->beside ? (int32_t)i + 1 : -1);
        row = 0;
    }
}

static double against(warm_engine *e, const exact_script *base, const exact_layout *layout, const int32_t *prompt, size_t n,
                      exact_script *s) {
    s->forced = base->tokens;
    s->n_forced = base->n;
    s->n = 0;
    exact_compute(e, layout, prompt, n, base->n, s);
    return exact_distance(base->rows, s->rows, s->n * s->n_vocab);
}

exact_noise exact_measure_noise(warm_engine *e, size_t n_seeds) {
    static const exact_layout ordered[] = {
        {.chunk = 17, .before = 300}, {.singles = 40, .before = 37}, {.before = 37}, {.beside = true}};
    static const exact_layout wrapped = {.wrapped = true};
    exact_noise noise = {.wrong = INFINITY};
    exact_script base = {0}, other = {0};
    int32_t prompt[NOISE_MOST];
    for (size_t seed = 0; seed < n_seeds; seed++) {
        size_t n = NOISE_LEAST + seed * 70 % (NOISE_MOST - NOISE_LEAST);
        exact_text(e, prompt, n, 500 + seed);
        base.n = 0;
        exact_compute(e, &(exact_layout){0}, prompt, n, NOISE_ROWS, &base);
        for (size_t i = 0; i < sizeof ordered / sizeof *ordered; i++) {
            noise.ordered = fmax(noise.ordered, against(e, &base, &ordered[i], prompt, n, &other));
        }
        noise.any = fmax(noise.any, against(e, &base, &wrapped, prompt, n, &other));
        if (seed < N_WRONG) {
            exact_text(e, prompt + n / 2, WARM_PIECE_MIN, 900 + seed);
            noise.wrong = fmin(noise.wrong, against(e, &base, &(exact_layout){0}, prompt, n, &other));
        }
    }
    exact_script_free(&base);
    exact_script_free(&other);
    noise.any = fmax(noise.any, noise.ordered);
    return noise;
}
