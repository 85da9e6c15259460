/* SPDX-License-Identifier: MIT
 *
 * tests/cache_rig.h - a cache over the fake store, and state whose every byte depends on all units before it.
 *
 * The state of a unit is RIG_STATE bytes of a hash chained over the scope and every unit up to it, so a piece that is
 * handed out for other units than it was saved for can't pass rig_verify. Window rows and snapshots are made in the same way, from other
 * seeds. */
#ifndef WARM_TESTS_CACHE_RIG_H
#define WARM_TESTS_CACHE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "warmslot/cache.h"

#define RIG_STATE    4u
#define RIG_ROWS     2u /* window rows of a unit */
#define RIG_SNAPSHOT 64u

typedef struct rig {
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    uint32_t window;
} rig;

static inline void rig_cache(rig *r, uint32_t window, bool snapshots) {
    warm_cache_options o = {.store = r->store, .budget = &r->budget, .window = window, .snapshots = snapshots};
    r->window = window;
    assert_int_equal(warm_cache_new(&o, &r->cache, NULL), 0);
}

static inline void rig_open_kind(rig *r, size_t limit, uint64_t fail_at, uint32_t window, bool snapshots) {
    warm_budget_init(&r->budget, limit);
    assert_int_equal(warm_store_fake_open(&r->budget, fail_at, &r->store, NULL), 0);
    rig_cache(r, window, snapshots);
}

static inline void rig_open(rig *r, size_t limit, uint64_t fail_at) {
    rig_open_kind(r, limit, fail_at, 0, false);
}

/* On the ram tier, which keeps what was freed. */
static inline void rig_open_ram_kind(rig *r, size_t limit, uint32_t window, bool snapshots) {
    warm_budget_init(&r->budget, limit);
    assert_int_equal(warm_store_ram_open(&r->budget, 0, &r->store, NULL), 0);
    rig_cache(r, window, snapshots);
}

static inline void rig_open_ram(rig *r, size_t limit) {
    rig_open_ram_kind(r, limit, 0, false);
}

/* Nothing may be left behind in the budget: every byte taken was given back. */
static inline void rig_close(rig *r) {
    warm_cache_check(r->cache);
    warm_cache_free(r->cache);
    r->store->ops->trim(r->store, 0);
    assert_int_equal(r->budget.used_bytes, 0);
    r->store->ops->close(r->store);
}

/* The invariants, and that the budget is used by the store and the index alone. */
static inline warm_cache_stats rig_check(const rig *r) {
    warm_cache_check(r->cache);
    warm_cache_stats st;
    warm_store_stats held;
    warm_cache_stats_get(r->cache, &st);
    r->store->ops->stats(r->store, &held);
    assert_int_equal(st.budget_used_bytes, st.index_bytes + held.used_bytes + held.free_bytes);
    return st;
}

static inline warm_scope *rig_scope(rig *r, const char *name) {
    uint8_t key[WARM_SCOPE_BYTES];
    warm_scope *s = NULL;
    warm_scope_fingerprint(name, NULL, NULL, key);
    assert_int_equal(warm_cache_scope(r->cache, key, &s), 0);
    return s;
}

/* `each` <= 8 bytes for each of the units [start, start + count) of a sequence. */
static inline void rig_bytes(uint64_t seed, const warm_unit *units, size_t start, size_t count, size_t each, uint8_t *out) {
    uint64_t h = seed;
    for (size_t i = 0; i < start + count; i++) {
        h = (h ^ units[i]) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
        if (i >= start) memcpy(out + (i - start) * each, &h, each);
    }
}

static inline void rig_state(uint64_t seed, const warm_unit *units, size_t start, size_t count, uint8_t *out) {
    rig_bytes(seed, units, start, count, RIG_STATE, out);
}

static inline void rig_rows(uint64_t seed, const warm_unit *units, size_t start, size_t count, uint8_t *out) {
    rig_bytes(seed ^ 0x5011d000u, units, start, count, RIG_ROWS, out);
}

/* The snapshot at a position: any size, made of what the unit before it has. */
static inline void rig_snapshot_bytes(uint64_t seed, const warm_unit *units, size_t pos, uint8_t *out, size_t bytes) {
    uint8_t one[8];
    rig_bytes(seed ^ 0x54a90000u, units, pos - 1, 1, sizeof one, one);
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)(one[i % sizeof one] + i / sizeof one);
}

static inline int rig_save_begin(rig *r, const warm_path *p, size_t n, size_t grid, warm_save *s) {
    size_t start, count;
    assert_true(warm_cache_next_piece(r->cache, p, n, grid, &start, &count));
    assert_true(start <= p->n_units && p->n_units < start + count && start + count <= n);
    return warm_cache_save_begin(r->cache, p, start, count, grid, count * RIG_STATE, r->window ? count * RIG_ROWS : 0, s);
}

/* One piece: 1 = saved, 0 = nothing left to save, negative = refused. */
static inline int rig_save_one(rig *r, warm_path *p, const warm_unit *units, size_t n, size_t grid, uint64_t seed) {
    if (warm_cache_advance(r->cache, p, units, n) == n) return 0;
    warm_save s;
    int rc = rig_save_begin(r, p, n, grid, &s);
    if (rc) return rc;
    rig_state(seed, units, s.start, s.count, s.data);
    if (s.window) rig_rows(seed, units, s.start, s.count, s.window);
    rc = warm_cache_save_commit(r->cache, p, &s, units, NULL);
    return rc ? rc : 1;
}

/* Everything up to n; 0, or what stopped it. */
static inline int rig_save(rig *r, warm_path *p, const warm_unit *units, size_t n, size_t grid, uint64_t seed) {
    int rc;
    do {
        rc = rig_save_one(r, p, units, n, grid, seed);
    } while (rc > 0);
    return rc;
}

/* Saves a prompt from the scope's root and lets it go; returns what the tree had of it before. */
static inline size_t rig_put(rig *r, warm_scope *s, const warm_unit *units, size_t n, size_t grid, uint64_t seed) {
    warm_path p;
    size_t had = warm_cache_lookup(r->cache, s, units, n, &p);
    assert_int_equal(rig_save(r, &p, units, n, grid, seed), 0);
    assert_int_equal(p.n_units, n);
    warm_path_release(r->cache, &p);
    return had;
}

/* Every byte that the path offers for its units is what was saved for exactly these units. */
static inline void rig_verify(rig *r, const warm_path *p, const warm_unit *units, uint64_t seed) {
    uint8_t want[WARM_BLOCK_UNITS * RIG_STATE];
    for (size_t pos = 0; pos < p->n_units;) {
        warm_piece_view v;
        warm_path_piece(r->cache, p, pos, &v);
        assert_true(v.start == pos && v.n_units > 0 && v.bytes == v.n_units * RIG_STATE);
        assert_int_equal(warm_piece_verify(v.piece), 0);
        size_t count = v.start + v.n_units < p->n_units ? v.n_units : p->n_units - v.start;
        rig_state(seed, units, v.start, count, want);
        assert_memory_equal(v.data, want, count * RIG_STATE);
        warm_piece_unref(r->cache, v.piece);
        pos += v.n_units;
    }
}

/* Saves a snapshot at pos of a path. */
static inline int rig_snapshot(rig *r, const warm_path *p, const warm_unit *units, size_t pos, uint64_t seed) {
    warm_snapshot s;
    int rc = warm_cache_snapshot_begin(r->cache, RIG_SNAPSHOT, &s);
    if (rc) return rc;
    rig_snapshot_bytes(seed, units, pos, s.data, s.bytes);
    return warm_cache_snapshot_commit(r->cache, p, pos, 1, &s, NULL);
}

/* Everything a resume point offers is whole and right: its blocks, its window rows, its snapshot. */
static inline void rig_verify_resume(rig *r, const warm_resume *m, const warm_unit *units, uint64_t seed) {
    uint8_t want[WARM_BLOCK_UNITS * RIG_STATE];
    size_t q = m->path.n_units, pos = 0;
    rig_verify(r, &m->path, units, seed);
    for (size_t i = 0; i < m->n_window; i++) {
        const warm_piece_view *v = &m->window[i];
        if (i == 0) assert_true(v->start <= (q < r->window ? 0 : q - r->window + 1));
        if (i) assert_int_equal(v->start, pos);
        assert_true(v->window && v->window_bytes == v->n_units * RIG_ROWS);
        assert_int_equal(warm_piece_verify_window(v->piece), 0);
        pos = v->start + v->n_units;
        size_t count = pos < q ? v->n_units : q - v->start;
        rig_rows(seed, units, v->start, count, want);
        assert_memory_equal(v->window, want, count * RIG_ROWS);
    }
    if (r->window && q) assert_true(pos >= q);
    if (!m->snapshot.piece) return;
    assert_true(m->snapshot.start == q && m->snapshot.n_units == 0 && m->snapshot.bytes <= sizeof want);
    assert_int_equal(warm_piece_verify(m->snapshot.piece), 0);
    rig_snapshot_bytes(seed, units, q, want, m->snapshot.bytes);
    assert_memory_equal(m->snapshot.data, want, m->snapshot.bytes);
}

/* Where units[0..n) could go on; what is offered there is verified. A use. */
static inline size_t rig_resume(rig *r, warm_scope *s, const warm_unit *units, size_t n, uint64_t seed) {
    warm_path p;
    warm_resume m;
    size_t asked = warm_cache_match_resume(r->cache, s, units, n);
    warm_cache_lookup(r->cache, s, units, n, &p);
    assert_int_equal(warm_cache_resume(r->cache, &p, &m), 0);
    assert_int_equal(m.path.n_units, asked);
    assert_null(p.block_);
    rig_verify_resume(r, &m, units, seed);
    size_t q = m.path.n_units;
    warm_resume_release(r->cache, &m);
    return q;
}

/* n units of its own kind: no two tags share a first unit. */
static inline warm_unit *rig_units(uint32_t tag, size_t n) {
    warm_unit *u = malloc(n * sizeof *u);
    assert_non_null(u);
    for (size_t i = 0; i < n; i++) u[i] = (warm_unit)tag * 100000u + i;
    return u;
}

#endif
