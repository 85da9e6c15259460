/* SPDX-License-Identifier: MIT
 *
 * tests/exact/test_exact.c - what comes out of the cache is what would have been computed: the three tests of DESIGN.md section 8 on real models.
 *
 * One test per configuration: kind of model, flash attention, KV types. Each takes every path of exact_paths.c, by turns with all cells
 * on multiples of 64 and anywhere, with pieces of 16, 64 and 256 units, and restores state without a scheduler (exact_direct.c).
 * At the end a table tells, for each configuration and path,
 *   bits  first rows that equal the reference's bit for bit / of how many that is asked: tests (a) and (b)
 *   rows  of all rows compared, how many do so anyway
 *   most  the largest difference of a logit, in noises of runs without cache; up to 4 is allowed: test (c)
 *   other tokens that are not the reference's, where that had two within twice the noise
 * WARM_SEED is the first seed, WARM_ITERS the number of trials of each path (2). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "exact_direct.h"
#include "exact_paths.h"

enum { N_PIECES = 3, PATHS_MAX = 32, N_NOISE_SEEDS = 8 };
static const size_t pieces[N_PIECES] = {16, 64, 256};

typedef struct configuration {
    const char *name;
    exact_setup setup;
    bool restored_only;
    exact_noise noise;
    exact_result restored[EXACT_WAYS], paths[PATHS_MAX];
} configuration;

/* One thread, since libllama's threads wait for each other by spinning, which takes for ever where others want the cores, too. Two of
 * them share out the cells of a single row, so what comes behind restored state is looked at with two as well. */
static configuration all[] = {
    {.name = "dense, flash attention, KV f16", .setup = {"dense", true, false, 1}},
    {.name = "dense, flash attention, KV q8_0", .setup = {"dense", true, true, 1}},
    {.name = "dense, no flash attention, KV f16", .setup = {"dense", false, false, 1}},
    {.name = "dense, no flash attention, K q8_0", .setup = {"dense", false, true, 1}},
    {.name = "moe, flash attention, KV f16", .setup = {"moe", true, false, 1}},
    {.name = "moe, flash attention, KV q8_0", .setup = {"moe", true, true, 1}},
    {.name = "moe, no flash attention, KV f16", .setup = {"moe", false, false, 1}},
    {.name = "moe, no flash attention, K q8_0", .setup = {"moe", false, true, 1}},
    {.name = "swa, flash attention, KV f16", .setup = {"swa", true, false, 1}, .restored_only = true},
    {.name = "swa, flash attention, KV q8_0", .setup = {"swa", true, true, 1}, .restored_only = true},
    {.name = "swa, no flash attention, KV f16", .setup = {"swa", false, false, 1}, .restored_only = true},
    {.name = "swa, no flash attention, K q8_0", .setup = {"swa", false, true, 1}, .restored_only = true},
    {.name = "recurrent, flash attention, KV f16", .setup = {"recurrent", true, false, 1}, .restored_only = true},
    {.name = "hybrid, flash attention, KV f16", .setup = {"hybrid", true, false, 1}, .restored_only = true},
    {.name = "hybrid, flash attention, KV q8_0", .setup = {"hybrid", true, true, 1}, .restored_only = true},
    {.name = "hybrid, no flash attention, KV f16", .setup = {"hybrid", false, false, 1}, .restored_only = true},
    {.name = "hybrid, no flash attention, K q8_0", .setup = {"hybrid", false, true, 1}, .restored_only = true},
    {.name = "hybrid-ssm, flash attention, KV f16", .setup = {"hybrid-ssm", true, false, 1}, .restored_only = true},
    {.name = "hybrid-ssm, flash attention, KV q8_0", .setup = {"hybrid-ssm", true, true, 1}, .restored_only = true},
    {.name = "hybrid-ssm, no flash attention, KV f16", .setup = {"hybrid-ssm", false, false, 1}, .restored_only = true},
    {.name = "hybrid-ssm, no flash attention, K q8_0", .setup = {"hybrid-ssm", false, true, 1}, .restored_only = true},
    {.name = "hybrid-swa, flash attention, KV f16", .setup = {"hybrid-swa", true, false, 1}, .restored_only = true},
    {.name = "hybrid-swa, flash attention, KV q8_0", .setup = {"hybrid-swa", true, true, 1}, .restored_only = true},
    {.name = "hybrid-swa, no flash attention, KV f16", .setup = {"hybrid-swa", false, false, 1}, .restored_only = true},
    {.name = "hybrid-swa, no flash attention, K q8_0", .setup = {"hybrid-swa", false, true, 1}, .restored_only = true},
    {.name = "dense, flash attention, two threads", .setup = {"dense", true, false, 2}, .restored_only = true},
};
enum { N_CONFIGURATIONS = sizeof all / sizeof *all };

static uint64_t env_number(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void take_path(exact_bench *b, const exact_path *path, exact_result *res, uint64_t seed, uint64_t turn) {
    exact_trial t;
    exact_trial_open(&t, b, res, path->name, seed + turn, turn % 2 ? 1 : 64, pieces[seed % N_PIECES]);
    path->run(&t);
    exact_trial_close(&t);
}

/* Of all sizes that this kind's pieces can have. */
static void take_restored(exact_bench *b, exact_result *results, uint64_t seed) {
    size_t most = exact_largest_piece(b), done = 0;
    for (size_t i = 0; i < N_PIECES; i++) {
        size_t piece = pieces[i] < most ? pieces[i] : most;
        if (!warm_state_has_ranges(b->engine->base.info->state)) piece = most;
        if (piece == done) continue;
        exact_restore(b, results, seed + i, piece);
        done = piece;
    }
}

static void cached_prompts_compute_what_uncached_ones_do(void **state) {
    configuration *c = *state;
    uint64_t seed = env_number("WARM_SEED", 1), iters = env_number("WARM_ITERS", 2);
    exact_bench b;
    size_t n_violations = 0;
    exact_bench_open(&b, &c->setup, c->restored_only ? 0 : N_NOISE_SEEDS + (size_t)iters);
    c->noise = b.noise;
    /* or the test would be blind */
    if (b.plain) assert_true(c->noise.wrong > 4 * c->noise.ordered);
    take_restored(&b, c->restored, seed);
    for (size_t i = 0; i < EXACT_WAYS; i++) n_violations += c->restored[i].n_violations;
    for (size_t i = 0; i < exact_n_paths && !c->restored_only; i++) {
        for (uint64_t turn = 0; turn < iters; turn += exact_paths[i].rare ? 8 : 1) {
            take_path(&b, &exact_paths[i], &c->paths[i], seed + i + 100 * turn, turn);
        }
        n_violations += c->paths[i].n_violations;
    }
    exact_bench_close(&b);
    assert_int_equal(n_violations, 0);
}

static void print_line(const configuration *c, const char *path, const exact_result *r, bool exact) {
    char bits[32] = "-", most[32] = "-";
    if (exact) {
        snprintf(bits, sizeof bits, "%zu/%zu", r->n_rows_equal, r->n_rows);
    } else if (r->n_bits_asked) {
        snprintf(bits, sizeof bits, "%zu/%zu", r->n_bits_equal, r->n_bits_asked);
    }
    if (!exact) snprintf(most, sizeof most, "%.2f", r->most);
    printf("%-35s %-32s %9s %5zu/%-5zu %6s %5zu  %s\n", c->name, path, bits, r->n_rows_equal, r->n_rows, most, r->n_exceptions,
           r->n_violations ? "VIOLATED" : "ok");
}

static int print_table(void **state) {
    (void)state;
    printf("%-35s %-32s %9s %11s %6s %5s\n", "configuration", "path", "bits", "rows", "most", "other");
    for (const configuration *c = all; c < all + N_CONFIGURATIONS; c++) {
        for (size_t i = 0; i < EXACT_WAYS; i++) {
            char path[64];
            snprintf(path, sizeof path, "%s", exact_ways[i]);
            if (c->restored[i].n_judged) print_line(c, path, &c->restored[i], true);
        }
        for (size_t i = 0; i < exact_n_paths; i++) {
            if (c->paths[i].n_judged) print_line(c, exact_paths[i].name, &c->paths[i], false);
        }
        if (!c->restored_only)
            printf("%-35s noise %.2g, %.2g with cells out of order; a wrong piece: %.2g\n", c->name, c->noise.ordered, c->noise.any,
                   c->noise.wrong);
    }
    return 0;
}

int main(void) {
    struct CMUnitTest tests[N_CONFIGURATIONS];
    warm_err err = {0};
    if (warm_log_open(WARM_LOG_ERROR, false, NULL, &err)) return 1;
    for (size_t i = 0; i < N_CONFIGURATIONS; i++) {
        tests[i] = (struct CMUnitTest){all[i].name, cached_prompts_compute_what_uncached_ones_do, NULL, NULL, &all[i]};
    }
    return cmocka_run_group_tests_name("exact", tests, NULL, print_table);
}
