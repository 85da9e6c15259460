/* SPDX-License-Identifier: MIT
 *
 * tests/sched/sched_faults.c - see sched_faults.h. */
#include "sched_faults.h"

#include <stdlib.h>

#include "base/alloc.h"

#undef NDEBUG
#include <assert.h>

static warm_engine_ops failing;
static const warm_engine_ops *real;
static warm_rng *chance;
static uint64_t rarity;
static bool decodes; /* fail, too */

static bool fails(uint64_t times) {
    return warm_rng_below(chance, rarity * times) == 0;
}

static int failure(warm_err *err) {
    return warm_err_set(err, WARM_EENGINE, "simulated failure");
}

static int decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    return fails(10) ? failure(err) : real->decode(e, b, err);
}

/* Whoever is alone in a batch may have nobody to make room for it. */
static int decode_without_room(warm_engine *e, const warm_batch *b, warm_err *err) {
    if (b->seq[0] != b->seq[b->n - 1] && fails(1)) return warm_err_set(err, WARM_EFULL, "simulated lack of room");
    return decodes ? decode(e, b, err) : real->decode(e, b, err);
}

static int fork_seq(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    if (fails(1)) return warm_rng_below(chance, 2) ? failure(err) : warm_err_set(err, WARM_EFULL, "simulated lack of rows");
    return real->fork(e, src, dst, n, complete, err);
}

static int shift(warm_engine *e, int32_t seq, int32_t p0, int32_t p1, warm_err *err) {
    if (!fails(1)) return real->shift(e, seq, p0, p1, err);
    if (warm_rng_below(chance, 2)) return warm_err_set(err, WARM_ENOTFOUND, "simulated: it could not go on");
    real->seq_rm(e, seq, 0, -1);
    return failure(err);
}

static int64_t state_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    return fails(1) ? failure(err) : real->state_save(e, seq, p0, n, dst, cap, err);
}

static int state_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                      warm_err *err) {
    if (fails(1)) return warm_rng_below(chance, 2) ? failure(err) : warm_err_set(err, WARM_EFULL, "simulated lack of cells");
    return real->state_load(e, seq, src, bytes, first, n, p0, p1, err);
}

static int64_t window_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    return fails(1) ? failure(err) : real->window_save(e, seq, p0, n, dst, cap, err);
}

static int window_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                       warm_err *err) {
    if (fails(1)) return warm_rng_below(chance, 2) ? failure(err) : warm_err_set(err, WARM_EFULL, "simulated lack of rows");
    return real->window_load(e, seq, src, bytes, first, n, p0, p1, err);
}

static int64_t snapshot_save(warm_engine *e, int32_t seq, void *dst, size_t cap, warm_err *err) {
    return fails(1) ? failure(err) : real->snapshot_save(e, seq, dst, cap, err);
}

static int snapshot_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err) {
    if (!fails(1)) return real->snapshot_load(e, seq, src, bytes, n, err);
    real->seq_rm(e, seq, 0, -1);
    return warm_rng_below(chance, 2) ? failure(err) : warm_err_set(err, WARM_EFULL, "simulated lack of room");
}

void faults_set(world *w, warm_rng *rng, uint64_t one_in, bool decodes_fail) {
    if (w->engine->ops != &failing) real = w->engine->ops;
    w->engine->ops = real;
    if (!one_in) return;
    chance = rng;
    rarity = one_in;
    failing = *real;
    decodes = decodes_fail;
    failing.decode = decode_without_room;
    failing.fork = fork_seq;
    failing.shift = shift;
    failing.state_save = state_save;
    failing.state_load = state_load;
    failing.window_save = window_save;
    failing.window_load = window_load;
    failing.snapshot_save = snapshot_save;
    failing.snapshot_load = snapshot_load;
    w->engine->ops = &failing;
}

static void flip(warm_rng *rng, const uint8_t *data, size_t bytes) {
    if (bytes) ((uint8_t *)(uintptr_t)data)[warm_rng_below(rng, bytes)] ^= (uint8_t)(1 + warm_rng_below(rng, 255));
}

void faults_damage(world *w, warm_rng *rng, const int32_t *tokens, size_t n) {
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope *scope;
    warm_path p;
    warm_piece_view v;
    double prior;
    warm_scope_fingerprint(w->engine->info->scope, NULL, NULL, fingerprint);
    if (warm_cache_scope(w->cache, fingerprint, &scope)) return;
    warm_unit *units = warm_xmalloc(n * sizeof *units);
    for (size_t i = 0; i < n; i++) units[i] = (warm_unit)tokens[i];
    warm_cache_lookup(w->cache, scope, units, n, &p);
    free(units);
    size_t pos = p.n_units ? warm_rng_below(rng, p.n_units) : 0;
    if (p.n_units && warm_state_has_snapshots(w->engine->info->state) && warm_rng_below(rng, 2)) {
        if (warm_path_snapshot(w->cache, &p, pos + 1, &v, &prior)) {
            flip(rng, v.data, v.bytes);
            warm_piece_unref(w->cache, v.piece);
        }
    } else if (p.n_units) {
        warm_path_piece(w->cache, &p, pos, &v);
        if (v.window && warm_rng_below(rng, 2))
            flip(rng, v.window, v.window_bytes);
        else
            flip(rng, v.data, v.bytes);
        warm_piece_unref(w->cache, v.piece);
    }
    warm_path_release(w->cache, &p);
}
