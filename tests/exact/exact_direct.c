/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_direct.c - see exact_direct.h. */
#include "exact_direct.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_io.h"

#undef NDEBUG
#include <assert.h>

enum { N_MAX = 512, N_CUTS = 7, CACHE_BYTES = 16 << 20 };

/* What follows a cut: a long chunk, a short one, single tokens. The last row of each is compared. */
static const size_t steps[] = {70, 3, 1, 1};
enum { N_STEPS = sizeof steps / sizeof *steps, STEPS_SUM = 75 };

typedef struct direct {
    exact_trial t; /* its cache; no scheduler */
    warm_engine *e;
    warm_kv *kv;
    warm_scope *scope;
    int32_t tokens[N_MAX], rest[STEPS_SUM];
    warm_unit units[N_MAX];
    size_t n, chunk, cuts[N_CUTS];
    exact_script live[N_CUTS];
} direct;

static void no_wake(void *ud) {
    (void)ud;
}

static void decode(direct *d, int32_t seq, const int32_t *tokens, size_t p0, size_t n) {
    int32_t pos[N_MAX], seqs[N_MAX];
    uint8_t want[N_MAX] = {0};
    for (size_t i = 0; i < n; i++) {
        pos[i] = (int32_t)(p0 + i);
        seqs[i] = seq;
    }
    want[n - 1] = 1;
    warm_err err = {0};
    warm_batch b = {n, tokens, pos, seqs, want};
    if (!d->e->ops->decode(d->e, &b, &err)) return;
    fprintf(stderr, "decode of %zu at %zu: %s\n", n, p0, err.text);
    abort();
}

static void go_on(direct *d, int32_t seq, size_t at, exact_script *out) {
    for (size_t i = 0, done = 0; i < N_STEPS; done += steps[i++]) {
        decode(d, seq, d->rest + done, at + done, steps[i]);
        exact_script_add(out, d->e->ops->logits(d->e, steps[i] - 1), d->e->info->n_vocab);
    }
}

static void save(direct *d, warm_path *path, size_t n, bool whole_only) {
    int rc;
    while ((rc = warm_kv_save(d->kv, 0, path, d->units, n, whole_only)) > 0) warm_kv_poll(d->kv);
    exact_expect(&d->t, rc == 0, "a save failed (%d)", rc);
}

/* Computes, saves, and continues from the latest cut to the first: each removes what the one before has added. */
static void live(direct *d) {
    warm_path path;
    d->e->ops->clear(d->e, true);
    warm_cache_lookup(d->t.cache, d->scope, d->units, 0, &path);
    for (size_t at = 0; at < d->n; at += d->chunk) {
        size_t n = d->n - at < d->chunk ? d->n - at : d->chunk;
        decode(d, 0, d->tokens + at, at, n);
        save(d, &path, at + n, true);
    }
    save(d, &path, d->n, false);
    exact_expect(&d->t, path.n_units == d->n, "%zu of %zu units were saved", path.n_units, d->n);
    warm_path_release(d->t.cache, &path);
    for (size_t i = 0; i < N_CUTS; i++) {
        d->e->ops->seq_rm(d->e, 0, (int32_t)d->cuts[i], -1);
        go_on(d, 0, d->cuts[i], &d->live[i]);
    }
}

static void load(direct *d, int32_t seq, warm_path *path, size_t from) {
    warm_resume goal;
    size_t n, at = from, to = path->n_units;
    exact_expect(&d->t, !warm_cache_resume(d->t.cache, path, &goal) && goal.path.n_units == to, "%zu is no resume point", to);
    warm_kv_load *l = warm_kv_load_begin(d->kv, seq, &goal, from, true);
    for (int rc; (rc = warm_kv_load_next(d->kv, l, &n)) != WARM_ENOTFOUND; at += n) {
        if (rc < 0) {
            exact_violate(&d->t, "a load from %zu to %zu failed (%d)", from, to, rc);
            break;
        }
        if (rc == 0) sched_yield();
        warm_kv_poll(d->kv);
    }
    warm_kv_load_end(d->kv, l);
    exact_expect(&d->t, at == to, "loaded to %zu, not to %zu", at, to);
}

/* In two steps, the first one up to the border of a piece: a load that begins inside one leaves the cells of its beginning free
 * behind the first ones, and what comes next is put there. The cells are in no order then, and not the live ones. */
static void restore(direct *d, size_t which, size_t step) {
    size_t cut = d->cuts[which];
    int32_t seq = 1 + (int32_t)which % 3;
    exact_script got = {0};
    d->e->ops->clear(d->e, true);
    for (size_t from = 0, to = step; from < cut; from = to, to = cut) {
        warm_path path;
        if (to > cut) to = cut;
        warm_cache_lookup(d->t.cache, d->scope, d->units, to, &path);
        exact_expect(&d->t, path.n_units == to, "only %zu of %zu units were found", path.n_units, to);
        load(d, seq, &path, from);
    }
    go_on(d, seq, cut, &got);
    for (size_t i = 0; i < N_STEPS; i++) {
        size_t n_vocab = got.n_vocab;
        const float *a = d->live[which].rows + i * n_vocab, *b = got.rows + i * n_vocab;
        bool equal = !memcmp(a, b, n_vocab * sizeof *a);
        d->t.result->n_rows++;
        d->t.result->n_rows_equal += equal;
        exact_expect(&d->t, equal, "step %zu from %zu on is off by %g", i, cut, exact_distance(a, b, n_vocab));
    }
    exact_expect(&d->t, exact_cells_of(d->e, seq, cut + STEPS_SUM) == EXACT_CELLS_ORDERED,
                 "the sequence is not the positions 0..%zu once each and in order", cut + STEPS_SUM - 1);
    d->t.result->n_judged++;
    exact_script_free(&got);
}

/* Later cuts come first (live). Odd ones, one of a piece's and one of a block's borders, and one unit beside those. */
static void choose_cuts(direct *d, size_t piece_units) {
    size_t piece = piece_units < WARM_BLOCK_UNITS ? WARM_BLOCK_UNITS + piece_units : WARM_BLOCK_UNITS + 2;
    size_t all[N_CUTS] = {d->n,
                          WARM_BLOCK_UNITS + 100 + warm_rng_below(&d->t.rng, 40),
                          piece + 1,
                          WARM_BLOCK_UNITS + 1,
                          WARM_BLOCK_UNITS,
                          WARM_BLOCK_UNITS - 1,
                          2 + warm_rng_below(&d->t.rng, 200)};
    memcpy(d->cuts, all, sizeof all);
}

void exact_restore(exact_bench *b, exact_result *result, uint64_t seed, size_t piece_units) {
    direct *d = calloc(1, sizeof *d);
    assert(d);
    exact_trial_open(&d->t, b, result, "restored against live", seed, 1, piece_units);
    d->e = &b->engine->base;
    d->n = exact_size(&d->t, 400, 470);
    d->chunk = exact_size(&d->t, 60, EXACT_UBATCH);
    exact_words(&d->t, d->tokens, d->n);
    exact_words(&d->t, d->rest, STEPS_SUM);
    for (size_t i = 0; i < d->n; i++) d->units[i] = (warm_unit)d->tokens[i];
    choose_cuts(d, piece_units);
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope_fingerprint(d->e->info->scope, NULL, NULL, fingerprint);
    assert(!warm_cache_scope(d->t.cache, fingerprint, &d->scope));
    warm_worker *worker;
    assert(!warm_worker_new("test", 1, &worker, NULL));
    warm_kv_options ko = {.engine = d->e,
                          .cache = d->t.cache,
                          .worker = worker,
                          .clock = &b->engine->clock,
                          .slice_ns = exact_slice_ns(d->e, piece_units),
                          .wake = no_wake};
    d->kv = warm_kv_new(&ko);
    exact_expect(&d->t, warm_kv_piece_units(d->kv) == piece_units, "pieces of %zu units, not %zu", warm_kv_piece_units(d->kv),
                 piece_units);
    live(d);
    exact_expect(&d->t, warm_kv_piece_units(d->kv) == piece_units, "pieces of %zu units, not %zu", warm_kv_piece_units(d->kv),
                 piece_units);
    for (size_t i = 0; i < N_CUTS; i++) {
        restore(d, i, d->cuts[i]);
        restore(d, i, piece_units * (1 + warm_rng_below(&d->t.rng, 1 + d->cuts[i] / piece_units)));
    }
    warm_kv_free(d->kv);
    warm_worker_free(worker);
    for (size_t i = 0; i < N_CUTS; i++) exact_script_free(&d->live[i]);
    exact_trial_close(&d->t);
    free(d);
}
