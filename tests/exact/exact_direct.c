/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_direct.c - see exact_direct.h.
 *
 * Plain attention can be taken up anywhere, so its prompt is computed in chunks that know nothing of the cuts. The others' is split at each of
 * them: a snapshot is taken there, and a window's live sequence can't be taken back there. Window rows come to lie in the first free cells
 * when they are restored, so their cuts are where the first restored row stood on a multiple of 64 when it was live. */
#include "exact_direct.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_io.h"

#undef NDEBUG
#include <assert.h>

enum { N_MAX = 640, N_CUTS = 7, TILE = 64, FORK_CUT = WARM_BLOCK_UNITS, ROWS = 512 /* of windows, in the context */ };

/* What follows a cut: a long chunk, a short one, single tokens. The last row of each is compared. */
static const size_t steps[] = {70, 3, 1, 1};
enum { N_STEPS = sizeof steps / sizeof *steps, STEPS_SUM = 75 };

enum way { LOAD, LOAD_TWICE, FORK, FORK_AND_LOAD };
const char *const exact_ways[EXACT_WAYS] = {"loaded", "loaded in two parts", "forked", "forked, the rest loaded"};

typedef struct direct {
    exact_trial t; /* its cache; no scheduler */
    warm_engine *e;
    warm_kv *kv;
    warm_scope *scope;
    int32_t tokens[N_MAX], rest[STEPS_SUM];
    warm_unit units[N_MAX];
    size_t n, chunk, window, cuts[N_CUTS];
    bool split; /* at the cuts */
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

static void save_snapshot(direct *d, warm_path *path, size_t n) {
    warm_snapshot snapshot;
    save(d, path, n, false);
    int rc = warm_kv_snapshot(d->kv, 0, &snapshot);
    if (!rc) rc = warm_kv_snapshot_commit(d->kv, path, n, 1, &snapshot);
    exact_expect(&d->t, rc == 0, "the snapshot at %zu failed (%d)", n, rc);
}

static bool is_cut(const direct *d, size_t n) {
    for (size_t i = 0; i < N_CUTS; i++) {
        if (d->cuts[i] == n) return true;
    }
    return false;
}

static size_t chunk_at(const direct *d, size_t at, size_t end) {
    size_t most = d->chunk < end - at ? d->chunk : end - at;
    for (size_t n = 1; d->split && n < most; n++) {
        if (is_cut(d, at + n)) return n;
    }
    return most;
}

/* Computes the first `end` units in sequence 0 of a cleared context. */
static void compute(direct *d, size_t end, bool saved) {
    warm_path path;
    d->e->ops->clear(d->e, true);
    warm_cache_lookup(d->t.cache, d->scope, d->units, 0, &path);
    for (size_t at = 0, n; at < end; at += n) {
        n = chunk_at(d, at, end);
        decode(d, 0, d->tokens + at, at, n);
        if (!saved) continue;
        save(d, &path, at + n, true);
        if (is_cut(d, at + n) && warm_state_has_snapshots(d->e->info->state)) save_snapshot(d, &path, at + n);
    }
    if (saved) save(d, &path, end, false);
    exact_expect(&d->t, !saved || path.n_units == end, "%zu of %zu units were saved", path.n_units, end);
    warm_path_release(d->t.cache, &path);
}

/* The latest cut is the end. */
static void live(direct *d) {
    compute(d, d->n, true);
    for (size_t i = 0; i < N_CUTS; i++) {
        if (!d->split) {
            d->e->ops->seq_rm(d->e, 0, (int32_t)d->cuts[i], -1);
        } else if (i) {
            compute(d, d->cuts[i], false);
        }
        go_on(d, 0, d->cuts[i], &d->live[i]);
    }
}

/* The sequence has the cells before from, and with `complete` can be continued there. */
static void load(direct *d, int32_t seq, size_t from, size_t to, bool complete) {
    warm_path path;
    warm_resume goal;
    size_t n, at = from;
    warm_cache_lookup(d->t.cache, d->scope, d->units, to, &path);
    exact_expect(&d->t, path.n_units == to, "only %zu of %zu units were found", path.n_units, to);
    exact_expect(&d->t, !warm_cache_resume(d->t.cache, &path, &goal) && goal.path.n_units == to, "%zu is no resume point", to);
    warm_kv_load *l = warm_kv_load_begin(d->kv, seq, &goal, from, complete);
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

/* Where a load up to this cut may stop half way: at the border of a piece, since a load that begins inside one leaves the cells of its
 * beginning free behind the first ones, and what comes next is put there; the cells are in no order then, and not the live ones. Of a
 * window, rows of both halves have to be needed, or the first ones would be given up, and later ones put in their place. */
static size_t half_way(direct *d, size_t cut) {
    if (warm_state_has_snapshots(d->e->info->state)) return cut > FORK_CUT ? FORK_CUT : 0;
    if (d->window) return (cut - 1) / TILE * TILE;
    size_t n_pieces = (cut - 1) / d->t.piece_units;
    return n_pieces ? d->t.piece_units * (1 + warm_rng_below(&d->t.rng, n_pieces)) : 0;
}

/* A fork's window rows are copied to where the live ones go on. They must be as many as a window, or they stand elsewhere in a tile; and
 * all of them, and what follows, before the last of the context's rows, behind which the first one comes. */
static bool rows_fit(const direct *d, size_t cut) {
    return !d->window || (cut >= d->window && cut % ROWS + d->window + STEPS_SUM <= ROWS);
}

static void fork_at(direct *d, int32_t seq, size_t cut, bool complete) {
    warm_err err = {0};
    int rc = d->e->ops->fork(d->e, 0, seq, (int32_t)cut, complete, &err);
    exact_expect(&d->t, !rc, "a fork at %zu failed: %s", cut, err.text);
}

/* Sequence 0 as it was when it was saved, with n units in the context. */
static void compute_to(direct *d, size_t n, size_t cut) {
    compute(d, d->split ? cut : d->n, false);
    if (d->split && n > cut) decode(d, 0, d->tokens + cut, cut, n - cut);
    if (!d->split) d->e->ops->seq_rm(d->e, 0, (int32_t)n, -1);
}

/* Brings the state at the cut back in this way. False: there is no such way to it. */
static bool bring_back(direct *d, int32_t seq, size_t cut, enum way way) {
    size_t half = way == LOAD_TWICE ? half_way(d, cut) : 0;
    bool ranges = warm_state_has_ranges(d->e->info->state);
    switch (way) {
    case LOAD_TWICE:
        if (!half) return false;
        d->e->ops->clear(d->e, true);
        load(d, seq, 0, half, true);
        load(d, seq, ranges ? half : 0, cut, true);
        return true;
    case LOAD:
        d->e->ops->clear(d->e, true);
        load(d, seq, 0, cut, true);
        return true;
    case FORK:
        if (!rows_fit(d, cut)) return false;
        compute_to(d, cut, cut);
        fork_at(d, seq, cut, true);
        return true;
    case FORK_AND_LOAD:
        /* what is computed behind it moves the next cells by a tile, and window rows by the cut and a tile */
        if (cut != FORK_CUT) return false;
        compute_to(d, cut + TILE, cut);
        fork_at(d, seq, cut, !d->split);
        if (d->split) load(d, seq, ranges ? cut : 0, cut, false);
        return true;
    }
    return false;
}

static void restore(direct *d, size_t which, enum way way) {
    size_t cut = d->cuts[which];
    int32_t seq = 1 + (int32_t)which % 3;
    exact_script got = {0};
    if (!bring_back(d, seq, cut, way)) return;
    exact_expect(&d->t, exact_cells_of(d->e, seq, cut, d->window) != EXACT_CELLS_BAD, "%s: %zu units are not what they have to be",
                 exact_ways[way], cut);
    go_on(d, seq, cut, &got);
    for (size_t i = 0; i < N_STEPS; i++) {
        size_t n_vocab = got.n_vocab;
        const float *a = d->live[which].rows + i * n_vocab, *b = got.rows + i * n_vocab;
        bool equal = !memcmp(a, b, n_vocab * sizeof *a);
        d->t.result->n_rows++;
        d->t.result->n_rows_equal += equal;
        exact_expect(&d->t, equal, "%s: step %zu from %zu on is off by %g", exact_ways[way], i, cut, exact_distance(a, b, n_vocab));
    }
    enum exact_cells cells = exact_cells_of(d->e, seq, cut + STEPS_SUM, d->window);
    exact_expect(&d->t, d->window ? cells != EXACT_CELLS_BAD : cells == EXACT_CELLS_ORDERED,
                 "%s: the sequence is not the positions 0..%zu once each and in order, and what a window needs", exact_ways[way],
                 cut + STEPS_SUM - 1);
    d->t.result->n_judged++;
    exact_script_free(&got);
}

/* The nearest position whose first restored row stood at a multiple of a tile when it was live. A window's rows come in whole pieces;
 * `late` units of its first piece are not needed. A snapshot has the row before the window, too. */
static size_t fit(const direct *d, size_t cut, size_t late) {
    if (!d->window || cut <= d->window) return cut;
    if (warm_state_has_snapshots(d->e->info->state)) return cut / TILE * TILE + d->window;
    return cut / TILE * TILE + d->window - 1 + late % d->t.piece_units;
}

/* Later cuts come first. Odd ones, one of a piece's and one of a block's borders, and one unit beside those; of windows' pieces, those from
 * which all rows are needed, all but one, and one. */
static void choose_cuts(direct *d, size_t piece_units) {
    size_t piece = piece_units < WARM_BLOCK_UNITS ? WARM_BLOCK_UNITS + piece_units : WARM_BLOCK_UNITS + 2;
    size_t late = piece_units - 1, all[N_CUTS] = {d->n,
                                                  fit(d, WARM_BLOCK_UNITS + 100 + warm_rng_below(&d->t.rng, 28), late / 2),
                                                  fit(d, piece + 1, 0),
                                                  fit(d, WARM_BLOCK_UNITS + 1, 1),
                                                  WARM_BLOCK_UNITS,
                                                  fit(d, WARM_BLOCK_UNITS - 1, late),
                                                  fit(d, 2 + warm_rng_below(&d->t.rng, 200), late)};
    memcpy(d->cuts, all, sizeof all);
}

/* Windows' prompts are longer than what the context has rows for, and end where none of those that are needed is behind the last one of them.
 * Those whose rows are in snapshots end before that. */
static size_t choose_length(direct *d) {
    if (!d->window) return exact_size(&d->t, 400, 470);
    return fit(d, warm_state_has_snapshots(d->e->info->state) ? ROWS - 3 * TILE : ROWS, d->t.piece_units - 1);
}

static void make_prompt(direct *d) {
    d->split = d->e->info->state != WARM_STATE_RANGES;
    d->window = exact_window(&d->t.bench->setup);
    d->n = choose_length(d);
    d->chunk = exact_size(&d->t, 60, EXACT_UBATCH);
    exact_words(&d->t, d->tokens, d->n);
    exact_words(&d->t, d->rest, STEPS_SUM);
    for (size_t i = 0; i < d->n; i++) d->units[i] = (warm_unit)d->tokens[i];
}

void exact_restore(exact_bench *b, exact_result *results, uint64_t seed, size_t piece_units) {
    direct *d = calloc(1, sizeof *d);
    assert(d);
    exact_trial_open(&d->t, b, results, "restored against live", seed, 1, piece_units);
    d->e = &b->engine->base;
    make_prompt(d);
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
    live(d);
    exact_expect(&d->t, warm_kv_piece_units(d->kv) == piece_units, "pieces of %zu units, not %zu", warm_kv_piece_units(d->kv),
                 piece_units);
    for (size_t i = 0; i < N_CUTS; i++) {
        for (enum way way = LOAD; way <= FORK_AND_LOAD; way++) {
            d->t.result = &results[way];
            restore(d, i, way);
        }
    }
    warm_kv_free(d->kv);
    warm_worker_free(worker);
    for (size_t i = 0; i < N_CUTS; i++) exact_script_free(&d->live[i]);
    exact_trial_close(&d->t);
    free(d);
}
