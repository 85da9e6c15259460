/* SPDX-License-Identifier: MIT
 *
 * tests/exact/test_exact.c - what comes out of the cache is what would have been computed: the three tests of DESIGN.md section 8 on real models.
 *
 * One test per configuration: kind of model, flash attention, KV types. State is restored without a scheduler in every way that the kind has
 * (exact_direct.c), and requests take the paths of exact_paths.c, by turns with all cells on multiples of 64 and anywhere, with
 * pieces of several sizes. Each kind takes all of them with flash attention and KV in f16, and the brief ones with the rest.
 * At the end a table tells, for each configuration and path,
 *   a     rows of restored state that equal the live ones bit for bit / of all
 *   b     first rows that equal the reference's bit for bit / of how many that is asked; - where it can't be, as said below the table
 *   rows  of all rows compared with the reference's, how many equal those bit for bit anyway
 *   c     the largest difference of a logit, in noises of runs without cache; up to 4 is allowed
 *   other tokens that are not the reference's, where that had two within twice the noise: the exceptions
 * WARM_SEED is the first seed, WARM_ITERS the number of trials of each path (2; brief ones 1), all of them everywhere from 8 on;
 * WARM_ONLY is the one kind that is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "exact_direct.h"
#include "exact_paths.h"

enum { N_PIECES = 3, PATHS_MAX = 32, N_NOISE_SEEDS = 6, LONG_ITERS = 8 };
static const size_t pieces[N_PIECES] = {16, 64, 256};

enum extent { RESTORED_ONLY, BRIEF, ALL };

typedef struct configuration {
    const char *kind, *name;
    exact_setup setup;
    enum extent extent;
    exact_noise noise;
    exact_result restored[EXACT_WAYS], paths[PATHS_MAX];
} configuration;

/* One thread, since libllama's threads wait for each other by spinning, which takes for ever where others want the cores, too. Two of
 * them share out the cells of a single row, so what comes behind restored state is looked at with two as well. */
#define CONFIGURATION(of, title, flash, q8, threads, how_much)                                                                     \
    { .kind = (of), .name = of ", " title, .setup = {of, flash, q8, threads}, .extent = (how_much) }
#define CONFIGURATIONS(kind)                                                                                                       \
    CONFIGURATION(kind, "flash attention, KV f16", true, false, 1, ALL),                                                           \
        CONFIGURATION(kind, "flash attention, KV q8_0", true, true, 1, BRIEF),                                                     \
        CONFIGURATION(kind, "KV f16", false, false, 1, BRIEF), CONFIGURATION(kind, "K q8_0", false, true, 1, BRIEF)
static configuration all[] = {
    CONFIGURATIONS("dense"),      CONFIGURATIONS("moe"),
    CONFIGURATIONS("swa"),        CONFIGURATION("recurrent", "no KV", true, false, 1, ALL),
    CONFIGURATIONS("hybrid"),     CONFIGURATIONS("hybrid-ssm"),
    CONFIGURATIONS("hybrid-swa"), CONFIGURATION("dense", "flash attention, two threads", true, false, 2, RESTORED_ONLY),
};
enum { N_CONFIGURATIONS = sizeof all / sizeof *all };

static uint64_t env_number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static size_t piece_size(const exact_bench *b, size_t i) {
    size_t most = exact_largest_piece(b);
    return pieces[i] < most && warm_state_has_ranges(b->engine->base.info->state) ? pieces[i] : most;
}

static bool is_for(const exact_path *path, const configuration *c, const exact_bench *b, uint64_t iters) {
    bool more = b->engine->base.info->state != WARM_STATE_RANGES;
    if ((path->needs == EXACT_NEEDS_RANGES && more) || (path->needs == EXACT_NEEDS_MORE && !more)) return false;
    return c->extent == ALL || (c->extent == BRIEF && (path->brief || iters >= LONG_ITERS));
}

static void take_path(exact_bench *b, const exact_path *path, exact_result *res, uint64_t seed, uint64_t turn, size_t piece) {
    exact_trial t;
    exact_trial_open(&t, b, res, path->name, seed + turn, turn % 2 ? 1 : 64, piece);
    path->run(&t);
    exact_trial_close(&t);
}

static void take_paths(configuration *c, exact_bench *narrow, uint64_t seed, uint64_t iters) {
    exact_bench wide = {0};
    for (size_t i = 0; i < exact_n_paths; i++) {
        const exact_path *path = &exact_paths[i];
        if (!is_for(path, c, narrow, iters)) continue;
        if (path->wide && !wide.engine) exact_bench_widen(narrow, &wide);
        uint64_t first = c->extent == BRIEF && iters < LONG_ITERS ? iters - 1 : 0, step = path->rare || path->wide ? LONG_ITERS : 1;
        for (uint64_t turn = first; turn < iters; turn += step) {
            uint64_t own = seed + i + 100 * turn;
            take_path(path->wide ? &wide : narrow, path, &c->paths[i], own, turn, piece_size(narrow, own % N_PIECES));
        }
    }
    if (wide.engine) exact_bench_narrow(&wide);
}

/* Of all sizes that this kind's pieces can have. */
static void take_restored(configuration *c, exact_bench *b, uint64_t seed, uint64_t iters) {
    size_t done = 0, first = c->extent == BRIEF && iters < LONG_ITERS ? N_PIECES - 2 : 0, end = first ? first + 1 : N_PIECES;
    for (size_t i = first; i < end; i++) {
        if (piece_size(b, i) == done) continue;
        done = piece_size(b, i);
        exact_restore(b, c->restored, seed + i, done);
    }
}

static void cached_prompts_compute_what_uncached_ones_do(void **state) {
    configuration *c = *state;
    uint64_t seed = env_number("WARM_SEED", 1), iters = env_number("WARM_ITERS", 2);
    exact_bench b;
    size_t n_violations = 0;
    exact_bench_open(&b, &c->setup, c->extent == RESTORED_ONLY ? 0 : N_NOISE_SEEDS + (size_t)iters);
    c->noise = b.noise;
    /* or the test would be blind */
    if (b.plain) assert_true(c->noise.wrong > 4 * c->noise.ordered);
    take_restored(c, &b, seed, iters);
    for (size_t i = 0; i < EXACT_WAYS; i++) n_violations += c->restored[i].n_violations;
    if (b.plain) take_paths(c, &b, seed, iters);
    for (size_t i = 0; i < exact_n_paths; i++) n_violations += c->paths[i].n_violations;
    exact_bench_close(&b);
    assert_int_equal(n_violations, 0);
}

static void print_restored(const configuration *c, size_t way) {
    const exact_result *r = &c->restored[way];
    char a[32];
    if (!r->n_judged) return;
    snprintf(a, sizeof a, "%zu/%zu", r->n_rows_equal, r->n_rows);
    printf("%-35s %-32s %9s %7s %11s %6s %5s  %s\n", c->name, exact_ways[way], a, "-", "-", "-", "-",
           r->n_violations ? "VIOLATED" : "ok");
}

static void print_path(const configuration *c, size_t path) {
    const exact_result *r = &c->paths[path];
    char bits[32] = "-";
    if (!r->n_judged) return;
    if (r->n_bits_asked) snprintf(bits, sizeof bits, "%zu/%zu", r->n_bits_equal, r->n_bits_asked);
    printf("%-35s %-32s %9s %7s %5zu/%-5zu %6.2f %5zu  %s\n", c->name, exact_paths[path].name, "-", bits, r->n_rows_equal,
           r->n_rows, r->most, r->n_exceptions, r->n_violations ? "VIOLATED" : "ok");
}

static int print_table(void **state) {
    (void)state;
    printf("== exactness\n%-35s %-32s %9s %7s %11s %6s %5s\n", "configuration", "path", "a", "b", "rows", "c", "other");
    for (const configuration *c = all; c < all + N_CONFIGURATIONS; c++) {
        for (size_t i = 0; i < EXACT_WAYS; i++) print_restored(c, i);
        for (size_t i = 0; i < exact_n_paths; i++) print_path(c, i);
        if (c->extent != RESTORED_ONLY) {
            printf("%-35s noise %.2g, %.2g with cells out of order; a wrong piece: %.2g\n", c->name, c->noise.ordered, c->noise.any,
                   c->noise.wrong);
        }
    }
    puts("a: restored against live, without a scheduler; the paths through it are judged by b and c.\n"
         "b is - without flash attention; where units of the prompt were generated, or computed beside another request; where "
         "cells lie in\n"
         "  another order than the reference's, or not on the same places in tiles of 64 (f16), as a window's rows do that were "
         "copied for\n"
         "  a fork or come from a snapshot or in pieces of less than 64. Kinds whose prefill stops for resume points are compared "
         "with\n"
         "  a reference cut at the same places, because these chunks are shorter than 64.\n"
         "c: the largest difference of a logit in noises, at most 4; other: tokens that differ where the reference was within "
         "twice the noise.\n"
         "== end of exactness");
    return 0;
}

int main(void) {
    struct CMUnitTest tests[N_CONFIGURATIONS];
    const char *only = getenv("WARM_ONLY");
    size_t n = 0;
    warm_err err = {0};
    if (warm_log_open(WARM_LOG_ERROR, false, NULL, &err)) return 1;
    for (size_t i = 0; i < N_CONFIGURATIONS; i++) {
        if (only && strcmp(only, all[i].kind) != 0) continue;
        tests[n++] = (struct CMUnitTest){all[i].name, cached_prompts_compute_what_uncached_ones_do, NULL, NULL, &all[i]};
    }
    return _cmocka_run_group_tests("exact", tests, n, NULL, print_table);
}
