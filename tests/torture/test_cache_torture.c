/* SPDX-License-Identifier: MIT
 *
 * A script of cache calls, run again and again while the N-th allocation or the N-th reserve fails, for every N it makes: on a plain cache, on
 * one with window rows and on one with snapshots.
 *
 * Each call succeeds or returns an error; the invariants hold after each; what was saved is found and right, or not found; and at
 * the end nothing is left in the budget. */
#include "cache_rig.h"

#include "base/alloc.h"

#define N_UNITS 900u
#define WINDOW  100u

enum kind { PLAIN, ROWS, SNAPSHOTS };

struct torture {
    rig r;
    enum kind kind;
    size_t n_errors;
};

static bool ok(struct torture *t, int rc) {
    assert_true(rc == 0 || rc == WARM_ENOMEM || rc == WARM_EFULL);
    t->n_errors += rc != 0;
    rig_check(&t->r);
    return rc == 0;
}

/* Saves u[0..n) piece by piece and goes on after a failure, as a scheduler that saves again in its next slice. */
static void save(struct torture *t, warm_scope *s, const warm_unit *u, size_t n, size_t grid) {
    warm_path p;
    warm_cache_lookup(t->r.cache, s, u, n, &p);
    for (int i = 0; i < 200 && p.n_units < n; i++) {
        size_t before = p.n_units;
        int rc = rig_save_one(&t->r, &p, u, n, grid, 1);
        if (ok(t, rc > 0 ? 0 : rc)) {
            assert_true(p.n_units > before);
        } else {
            assert_int_equal(p.n_units, before);
            if (rc == WARM_EFULL) break;
        }
        rig_verify(&t->r, &p, u, 1);
    }
    warm_path_release(t->r.cache, &p);
}

/* Goes on from u[0..n) as a scheduler would: resumes, puts rows back, takes snapshots, marks. */
static void go_on(struct torture *t, warm_scope *s, const warm_unit *u, size_t n) {
    warm_path p, copy;
    warm_resume m;
    size_t start, count, pos = 0;
    warm_cache_lookup(t->r.cache, s, u, n, &p);
    for (size_t at = p.n_units; t->kind == SNAPSHOTS && at > 0; at -= at < 67 ? at : 67) {
        if (!ok(t, rig_snapshot(&t->r, &p, u, at, 1))) continue;
        assert_int_equal(warm_cache_snapshot_before(t->r.cache, &p, at), at);
    }
    while (warm_cache_next_window(t->r.cache, &p, pos, &start, &count)) {
        warm_save save;
        pos = start + count;
        if (!ok(t, warm_cache_save_begin_window(t->r.cache, start, count, count * RIG_ROWS, &save))) continue;
        rig_rows(1, u, start, count, save.window);
        assert_true(ok(t, warm_cache_save_commit(t->r.cache, &p, &save, u, NULL)));
    }
    warm_cache_mark(t->r.cache, &p, p.n_units / 2);
    warm_path_clone(t->r.cache, &p, &copy);
    if (ok(t, warm_cache_resume(t->r.cache, &copy, &m))) {
        rig_verify_resume(&t->r, &m, u, 1);
    } else {
        assert_true(!m.path.block_ && !m.window);
    }
    assert_null(copy.block_);
    warm_resume_release(t->r.cache, &m);
    warm_path_release(t->r.cache, &p);
    rig_check(&t->r);
}

/* Takes window rows away here and there. */
static void lose_rows(struct torture *t, warm_scope *s, const warm_unit *u, size_t n) {
    warm_path p;
    warm_piece_view v;
    n = warm_cache_lookup(t->r.cache, s, u, n, &p);
    for (size_t pos = 0; pos < n; pos += 150) {
        warm_path_piece(t->r.cache, &p, pos, &v);
        warm_cache_quarantine_window(t->r.cache, v.piece);
        warm_piece_unref(t->r.cache, v.piece);
    }
    warm_path_release(t->r.cache, &p);
    rig_check(&t->r);
}

static void script(struct torture *t) {
    uint8_t key[WARM_SCOPE_BYTES] = {0};
    warm_scope *s = NULL;
    for (uint8_t i = 0; i < 6; i++) { /* more scopes than the first array holds */
        key[0] = (uint8_t)(7 * i);
        warm_scope *other = NULL;
        if (ok(t, warm_cache_scope(t->r.cache, key, &other)) && !s) s = other;
    }
    if (!s) return;
    warm_unit *u = rig_units(1, N_UNITS);
    save(t, s, u, 100, 64);
    save(t, s, u, N_UNITS, 64);
    go_on(t, s, u, N_UNITS);
    lose_rows(t, s, u, N_UNITS);
    go_on(t, s, u, N_UNITS);
    warm_path trunk;
    warm_cache_lookup(t->r.cache, s, u, 600, &trunk);
    for (warm_unit branch = 1; branch <= 12; branch++) { /* forks in a block, at its end, and many children */
        size_t at = branch % 3 ? 256 : 300;
        for (size_t i = at; i < N_UNITS; i++) u[i] += 10000;
        save(t, s, u, at + 40, 16);
        go_on(t, s, u, at + 40);
    }
    if (trunk.n_units > 550) warm_cache_quarantine(t->r.cache, &trunk, 550);
    rig_check(&t->r);
    save(t, s, u, N_UNITS, 256);
    /* many go at once: arrays of children are made smaller, and may fail to */
    int rc = warm_cache_set_budget(t->r.cache, t->r.budget.used_bytes * 2 / 3);
    assert_true(rc == 0 || rc == WARM_EAGAIN);
    rig_check(&t->r);
    warm_path_release(t->r.cache, &trunk);
    warm_cache_clear(t->r.cache);
    rig_check(&t->r);
    save(t, s, u, 300, 64);
    free(u);
}

/* Fails allocation (or reserve) number `at`; returns how many allocations were made. */
static uint64_t run_once(enum kind kind, size_t limit, uint64_t alloc_at, uint64_t reserve_at, size_t *n_errors) {
    struct torture t = {.kind = kind};
    rig_open_kind(&t.r, limit, reserve_at, kind == ROWS ? WINDOW : 0, kind == SNAPSHOTS);
    warm_alloc_fail_at(alloc_at);
    script(&t);
    uint64_t made = warm_alloc_fail_at(0);
    rig_close(&t.r);
    *n_errors = t.n_errors;
    return made;
}

static void every_allocation_may_fail(enum kind kind, size_t limit, bool tight) {
    size_t expected, n_errors, n_seen = 0;
    uint64_t made = run_once(kind, limit, 0, 0, &expected);
    assert_true(made > 100);
    assert_true(tight ? expected > 0 : expected == 0);
    for (uint64_t at = 1; at <= made; at++) {
        run_once(kind, limit, at, 0, &n_errors);
        n_seen += n_errors != expected;
    }
    assert_true(n_seen > made / 2); /* the failures did arrive */
}

static enum kind kind_of(void **state) {
    return *(enum kind *)*state;
}

static void any_allocation_may_fail(void **state) {
    every_allocation_may_fail(kind_of(state), 16u << 20, false);
}

static void any_allocation_may_fail_without_room(void **state) {
    every_allocation_may_fail(kind_of(state), 90000, true);
}

static void any_reserve_may_fail(void **state) {
    size_t n_errors = 1;
    uint64_t at = 1;
    for (; n_errors; at++) run_once(kind_of(state), 16u << 20, 0, at, &n_errors);
    assert_true(at > 30); /* ended because the run made fewer reserves than that */
}

/* From a budget for nothing to one for everything. */
static void any_budget_is_kept(void **state) {
    size_t n_errors = 1, limit = 0;
    for (; n_errors; limit += 1777) run_once(kind_of(state), limit, 0, 0, &n_errors);
    assert_true(limit > 100000);
}

#define EACH_KIND(test)                                                                                                            \
    cmocka_unit_test_prestate(test, &plain), cmocka_unit_test_prestate(test, &rows), cmocka_unit_test_prestate(test, &snapshots)

int main(void) {
    static enum kind plain = PLAIN, rows = ROWS, snapshots = SNAPSHOTS;
    const struct CMUnitTest tests[] = {
        EACH_KIND(any_allocation_may_fail),
        EACH_KIND(any_allocation_may_fail_without_room),
        EACH_KIND(any_reserve_may_fail),
        EACH_KIND(any_budget_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
