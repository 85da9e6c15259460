/* SPDX-License-Identifier: MIT
 *
 * A script of cache calls, run again and again while the N-th allocation or the N-th reserve fails, for every N it makes.
 *
 * Each call succeeds or returns an error; the invariants hold after each; what was saved is found and right, or not found; and at
 * the end nothing is left in the budget. */
#include "cache_rig.h"

#include "base/alloc.h"

#define N_UNITS 900u

struct torture {
    rig r;
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
    warm_path trunk;
    warm_cache_lookup(t->r.cache, s, u, 600, &trunk);
    for (warm_unit branch = 1; branch <= 12; branch++) { /* forks in a block, at its end, and many children */
        size_t at = branch % 3 ? 256 : 300;
        for (size_t i = at; i < N_UNITS; i++) u[i] += 10000;
        save(t, s, u, at + 40, 16);
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
static uint64_t run_once(size_t limit, uint64_t alloc_at, uint64_t reserve_at, size_t *n_errors) {
    struct torture t = {.n_errors = 0};
    rig_open(&t.r, limit, reserve_at);
    warm_alloc_fail_at(alloc_at);
    script(&t);
    uint64_t made = warm_alloc_fail_at(0);
    rig_close(&t.r);
    *n_errors = t.n_errors;
    return made;
}

static void every_allocation_may_fail(size_t limit, bool tight) {
    size_t expected, n_errors, n_seen = 0;
    uint64_t made = run_once(limit, 0, 0, &expected);
    assert_true(made > 100);
    assert_true(tight ? expected > 0 : expected == 0);
    for (uint64_t at = 1; at <= made; at++) {
        run_once(limit, at, 0, &n_errors);
        n_seen += n_errors != expected;
    }
    assert_true(n_seen > made / 2); /* the failures did arrive */
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    every_allocation_may_fail(16u << 20, false);
}

static void any_allocation_may_fail_without_room(void **state) {
    (void)state;
    every_allocation_may_fail(90000, true);
}

static void any_reserve_may_fail(void **state) {
    (void)state;
    size_t n_errors = 1;
    uint64_t at = 1;
    for (; n_errors; at++) run_once(16u << 20, 0, at, &n_errors);
    assert_true(at > 30); /* ended because the run made fewer reserves than that */
}

/* From a budget for nothing to one for everything. */
static void any_budget_is_kept(void **state) {
    (void)state;
    size_t n_errors = 1, limit = 0;
    for (; n_errors; limit += 1777) run_once(limit, 0, 0, &n_errors);
    assert_true(limit > 100000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(any_allocation_may_fail_without_room),
        cmocka_unit_test(any_reserve_may_fail),
        cmocka_unit_test(any_budget_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
