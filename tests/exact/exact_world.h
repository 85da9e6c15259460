/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_world.h - prompts through the scheduler and the cache on real models, and the judgement of what they answer.
 *
 * A bench is one configuration: a model, flash attention, KV types; two engines of it, one behind the scheduler and one for the
 * runs without cache; and the noise that the latter show. A trial is one path through the cache, with a scheduler and a cache of its own.
 * A judged request is forced on the tokens of its reference. Each one of its rows, and what its sequence consists of at the end,
 * is looked at (DESIGN.md section 8):
 *   (b) the first row equals the reference's bit for bit, where the trial says that it must;
 *   (c) no logit is further from the reference's than 4 times the noise, and the likeliest token is another one only where the reference
 *       itself had its two likeliest within twice the noise.
 * Threads: one. */
#ifndef WARM_TESTS_EXACT_WORLD_H
#define WARM_TESTS_EXACT_WORLD_H

#include "base/rng.h"
#include "exact_reference.h"
#include "sched/sched.h"

enum {
    EXACT_CTX = 768,
    EXACT_UBATCH = 128,
    EXACT_TOKENS = 24,
    EXACT_TEXT_MAX = 2048,
    EXACT_WINDOW = 64,
    EXACT_WINDOW_ROWS = 512 /* in the context */
};
/* For many answers to one prompt. A window's rows in the context are EXACT_WINDOW for each sequence and EXACT_UBATCH, or some more. */
enum { EXACT_WIDE = 16, EXACT_WIDE_PROMPT = 1310, EXACT_WIDE_CTX = 2048 };

typedef struct exact_setup {
    const char *kind; /* of the model */
    bool flash, q8;   /* q8: K in Q8_0, and with flash attention V too (libllama can't have V so without) */
    unsigned threads;
} exact_setup;

typedef struct exact_bench {
    exact_setup setup;
    exact_engine *engine;
    size_t n_slots;
    warm_engine *plain; /* NULL without seeds for noise: no requests are judged */
    exact_noise noise;
} exact_bench;

/* Makes the models once per process, and ends it if anything can't be opened. */
void exact_bench_open(exact_bench *b, const exact_setup *setup, size_t n_noise_seeds);
size_t exact_largest_piece(const exact_bench *b); /* a power of two: no piece has more units */
void exact_bench_close(exact_bench *b);
size_t exact_window(const exact_setup *s); /* units in the model's sliding window, 0 = it has none */
warm_engine *exact_open(const exact_setup *s, size_t n_slots, size_t n_ctx, size_t n_ubatch);
/* The same with EXACT_WIDE slots, and more cells; what was measured is b's. */
void exact_bench_widen(const exact_bench *b, exact_bench *wide);
void exact_bench_narrow(exact_bench *wide);

/* What a path came to, over all its trials. */
typedef struct exact_result {
    size_t n_judged, n_bits_asked, n_bits_equal; /* requests; of their first rows */
    size_t n_rows, n_rows_equal;
    double most;         /* largest difference of a logit, in noises */
    size_t n_exceptions; /* other tokens, where they may be other */
    size_t n_violations;
} exact_result;

typedef struct exact_known exact_known;

typedef struct exact_trial {
    exact_bench *bench;
    exact_result *result;
    const char *path;
    uint64_t seed;
    warm_rng rng;
    size_t align; /* sizes are multiples of it */
    size_t piece_units;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_worker *worker;
    warm_sched *sched;
    char folder[32]; /* of slots' files */
    exact_known *known;
    size_t n_known, cap_known;
} exact_trial;

/* align 64: all cells lie where bits can't tell them from the reference's; 1: anywhere. */
void exact_trial_open(exact_trial *t, exact_bench *b, exact_result *result, const char *path, uint64_t seed, size_t align,
                      size_t piece_units);
void exact_trial_close(exact_trial *t);
/* A violation: counted and printed. */
void exact_violate(exact_trial *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define exact_expect(t, what, ...)                                                                                                 \
    do {                                                                                                                           \
        if (!(what)) exact_violate(t, __VA_ARGS__);                                                                                \
    } while (0)

size_t exact_size(exact_trial *t, size_t least, size_t most); /* at random, a multiple of align */
void exact_words(exact_trial *t, int32_t *out, size_t n);

typedef struct exact_request {
    int32_t *prompt;
    size_t n_prompt, n_predict;
    bool judged;
    exact_script ref, seen;
    warm_engine *engine;
    size_t window;
    enum exact_cells cells; /* of its sequence, when it ended */
    uint64_t id;
    size_t known; /* of the trial's */
    bool ended, cancel;
    warm_err err;
    size_t n_progress;
    warm_task_timings t;
} exact_request;

/* judged: the reference is computed first, in this layout; NULL: not judged. */
void exact_submit(exact_trial *t, exact_request *r, const int32_t *prompt, size_t n, size_t n_predict, const exact_layout *judged);
extern const exact_layout exact_alone, exact_beside;
/* The same prompt once more: the reference is not computed again. */
void exact_submit_again(exact_trial *t, exact_request *r, const exact_request *first);
void exact_wait(exact_trial *t, exact_request *r);
void exact_cancel(exact_trial *t, exact_request *r);
void exact_settle(exact_trial *t); /* until nothing is left to save */

enum exact_bits {
    EXACT_BITS_NONE,    /* units were generated, or the cells are in another order */
    EXACT_BITS_SHORT,   /* units come from short chunks: equal if the reference's chunks are the same */
    EXACT_BITS_ALIGNED, /* other sequences' cells lie between: equal where that can't be seen */
    EXACT_BITS_SAME     /* the cells are the reference's */
};
/* Judges an ended request, as far as it got if it was canceled, and frees it. n_device and n_ram: where its units must have come from, if any
 * position can be taken up; n_device SIZE_MAX: wherever, n_ram SIZE_MAX, too: as many as may be. Where a snapshot is needed, the last
 * one that was taken on the way must have been used. */
void exact_judge(exact_trial *t, exact_request *r, enum exact_bits bits, size_t n_device, size_t n_ram);

/* Both, for a request of which nothing is asked but that it fills the context or the cache. Its cells are exactly its prompt's. */
void exact_run(exact_trial *t, const int32_t *prompt, size_t n);
/* Computes a prompt that needs nearly the whole context, so that nothing else stays in it. */
void exact_push_out(exact_trial *t);
/* Saves the conversation of the slot that ran last to a file, forgets everything that the cache has, and restores it into the other slot. */
void exact_restart_from_file(exact_trial *t);

/* What a trial's requests have computed, and where (exact_known.c). */
size_t exact_know(exact_trial *t, const int32_t *prompt, size_t n, size_t n_predict); /* one that is about to be submitted */
void exact_know_end(exact_trial *t, const exact_request *r);
void exact_forget(exact_trial *t);
/* *least: the last position before the request's last unit where a snapshot was taken on its way; *other: the last one where a sequence ended. */
void exact_known_points(const exact_trial *t, const exact_request *r, size_t *least, size_t *other);
/* Where the batches ended that its units were computed in, by whichever request, ascending; malloc'ed. */
size_t *exact_known_ends(const exact_trial *t, const exact_request *r, size_t *n);

#endif
