/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_cache_adopt.c - whole blocks from elsewhere, beside what the tree has in pieces of any size; conversations that are forgotten. */
#include "cache_rig.h"

#include "base/alloc.h"
#include "base/rng.h"

enum { LIMIT = 4 << 20, SEED = 77 };

static int adopt(rig *r, warm_path *p, const warm_unit *u, size_t start, size_t n, size_t grid) {
    size_t state[WARM_BLOCK_UNITS / WARM_PIECE_MIN], rows[WARM_BLOCK_UNITS / WARM_PIECE_MIN];
    for (size_t i = 0; i * grid < n; i++) {
        size_t count = n - i * grid < grid ? n - i * grid : grid;
        state[i] = count * RIG_STATE;
        rows[i] = r->window ? count * RIG_ROWS : 0;
    }
    warm_block_save b;
    int rc = warm_cache_block_begin(r->cache, start, n, grid, state, rows, &b);
    if (rc) return rc;
    for (size_t i = 0; i < b.n_pieces; i++) {
        rig_state(SEED, u, b.pieces[i].start, b.pieces[i].count, b.pieces[i].data);
        if (b.pieces[i].window) rig_rows(SEED, u, b.pieces[i].start, b.pieces[i].count, b.pieces[i].window);
    }
    return warm_cache_block_commit(r->cache, p, &b, u);
}

static int adopt_all(rig *r, warm_scope *s, const warm_unit *u, size_t n, size_t grid) {
    warm_path p;
    int rc = 0;
    warm_cache_lookup(r->cache, s, u, n, &p);
    for (size_t start = 0; !rc && start < n; start += WARM_BLOCK_UNITS) {
        size_t count = n - start < WARM_BLOCK_UNITS ? n - start : WARM_BLOCK_UNITS;
        if (start + count <= p.n_units && !r->window) continue;
        rc = adopt(r, &p, u, start, count, grid);
        rig_check(r);
    }
    if (!rc) rig_verify(r, &p, u, SEED);
    if (!rc) assert_true(p.n_units >= n);
    warm_path_release(r->cache, &p);
    return rc;
}

/* The same units as a, with others from `at` on. */
static warm_unit *branch(const warm_unit *a, size_t n, size_t at, uint32_t tag) {
    warm_unit *b = rig_units(tag, n);
    memcpy(b, a, at * sizeof *a);
    return b;
}

static void blocks_come_beside_pieces_of_any_size(void **state) {
    (void)state;
    enum { N = 700 };
    static const size_t grids[] = {16, 64, 256}, had[] = {0, 40, 256, 300, 520, 700}, left_at[] = {3, 256, 290, 600};
    warm_unit *u = rig_units(1, N);
    for (uint32_t window = 0; window <= 100; window += 100)
        for (size_t g = 0; g < 9; g++)
            for (size_t h = 0; h < sizeof had / sizeof *had; h++)
                for (size_t b = 0; b < sizeof left_at / sizeof *left_at; b++) {
                    rig r;
                    rig_open_kind(&r, LIMIT, 0, window, false);
                    warm_scope *s = rig_scope(&r, "s");
                    warm_unit *v = branch(u, N, left_at[b], 2);
                    if (had[h]) rig_put(&r, s, u, had[h], grids[g % 3], SEED);
                    rig_put(&r, s, v, N, grids[g % 3], SEED);
                    assert_int_equal(adopt_all(&r, s, u, N, grids[g / 3]), 0);
                    assert_int_equal(warm_cache_match(r.cache, s, u, N), N);
                    assert_int_equal(rig_resume(&r, s, u, N, SEED), N);
                    assert_int_equal(rig_resume(&r, s, v, N, SEED), N);
                    /* What came in is gone on from as from anything. */
                    warm_unit *w = branch(u, N + 200, N, 3);
                    rig_put(&r, s, w, N + 200, grids[g % 3], SEED);
                    assert_int_equal(rig_resume(&r, s, w, N + 200, SEED), N + 200);
                    rig_check(&r);
                    free(v);
                    free(w);
                    rig_close(&r);
                }
    free(u);
}

static void who_holds_a_tail_that_is_replaced_keeps_its_pieces(void **state) {
    (void)state;
    rig r;
    rig_open(&r, LIMIT, 0);
    warm_scope *s = rig_scope(&r, "s");
    warm_unit *u = rig_units(1, 256);
    rig_put(&r, s, u, 100, 16, SEED);
    warm_path p;
    warm_piece_view x;
    uint8_t want[16 * RIG_STATE];
    warm_cache_lookup(r.cache, s, u, 100, &p);
    warm_path_piece(r.cache, &p, 90, &x);
    assert_int_equal(adopt_all(&r, s, u, 256, 64), 0);
    rig_state(SEED, u, x.start, x.n_units, want);
    assert_memory_equal(x.data, want, x.bytes);
    rig_verify(&r, &p, u, SEED);
    assert_int_equal(warm_cache_advance(r.cache, &p, u, 256), 256);
    warm_piece_unref(r.cache, x.piece);
    warm_path_release(r.cache, &p);
    rig_check(&r);
    free(u);
    rig_close(&r);
}

static void a_block_that_does_not_follow_is_refused(void **state) {
    (void)state;
    rig r;
    rig_open(&r, LIMIT, 0);
    warm_scope *s = rig_scope(&r, "s");
    warm_unit *u = rig_units(1, 600);
    warm_path p;
    rig_put(&r, s, u, 100, 16, SEED);
    warm_cache_lookup(r.cache, s, u, 600, &p);
    assert_int_equal(adopt(&r, &p, u, 256, 256, 64), WARM_EAGAIN);
    assert_int_equal(p.n_units, 100);
    rig_check(&r);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void units_of_a_path_reach_as_far_as_its_last_piece(void **state) {
    (void)state;
    rig r;
    rig_open(&r, LIMIT, 0);
    warm_scope *s = rig_scope(&r, "s");
    warm_unit *u = rig_units(1, 600), got[600];
    rig_put(&r, s, u, 600, 256, SEED);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 530, &p);
    warm_path_units(&p, 0, 600, got);
    assert_memory_equal(got, u, sizeof got);
    warm_path_units(&p, 200, 130, got);
    assert_memory_equal(got, u + 200, 130 * sizeof *got);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void no_room_and_no_memory_leave_the_tree_whole(void **state) {
    (void)state;
    enum { N = 600 };
    warm_unit *u = rig_units(1, N), *v = branch(u, N, 290, 2);
    int rc = WARM_ENOMEM;
    for (uint64_t i = 1; rc; i++) {
        rig r;
        rig_open(&r, LIMIT, 0);
        warm_scope *s = rig_scope(&r, "s");
        rig_put(&r, s, v, N, 16, SEED);
        (void)warm_alloc_fail_at(i);
        rc = adopt_all(&r, s, u, N, 64);
        (void)warm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == WARM_ENOMEM);
        assert_int_equal(rig_resume(&r, s, v, N, SEED), N);
        rig_check(&r);
        rig_close(&r);
    }
    rig r;
    rig_open(&r, 6 << 10, 0);
    assert_int_equal(adopt_all(&r, rig_scope(&r, "s"), u, N, 64), WARM_EFULL);
    rig_check(&r);
    rig_close(&r);
    free(u);
    free(v);
}

static void what_nobody_shares_is_forgotten(void **state) {
    (void)state;
    enum { N = 900 };
    rig r;
    rig_open(&r, LIMIT, 0);
    warm_scope *s = rig_scope(&r, "s");
    warm_unit *u = rig_units(1, N);
    rig_put(&r, s, u, N, 64, SEED);
    warm_cache_forget(r.cache, s, u, N, 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, N), 0);
    assert_int_equal(rig_check(&r).n_blocks, 0);
    /* Half of the third block is somebody's: the last one alone goes. */
    rig_put(&r, s, u, N, 64, SEED);
    warm_cache_forget(r.cache, s, u, N, 600);
    assert_int_equal(warm_cache_match(r.cache, s, u, N), 768);
    /* What is behind what is to be forgotten is somebody's, too. */
    warm_cache_forget(r.cache, s, u, 700, 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, N), 768);
    /* And what is pinned. */
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 300, &p);
    warm_cache_forget(r.cache, s, u, N, 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, N), 512);
    warm_path_release(r.cache, &p);
    rig_check(&r);
    free(u);
    rig_close(&r);
}

static void a_branch_is_forgotten_and_the_other_stays(void **state) {
    (void)state;
    enum { N = 800 };
    static const size_t left_at[] = {3, 256, 290, 700};
    for (size_t b = 0; b < sizeof left_at / sizeof *left_at; b++) {
        rig r;
        rig_open_kind(&r, LIMIT, 0, 0, true);
        warm_scope *s = rig_scope(&r, "s");
        warm_unit *u = rig_units(1, N), *v = branch(u, N, left_at[b], 2);
        const warm_unit *const both[] = {u, v};
        for (int i = 0; i < 2; i++) {
            warm_path p;
            rig_put(&r, s, both[i], N, 64, SEED);
            warm_cache_lookup(r.cache, s, both[i], N, &p);
            assert_int_equal(rig_snapshot(&r, &p, both[i], left_at[b], SEED), 0);
            assert_int_equal(rig_snapshot(&r, &p, both[i], N, SEED), 0);
            warm_path_release(r.cache, &p);
        }
        warm_cache_forget(r.cache, s, u, N, left_at[b]);
        rig_check(&r);
        assert_int_equal(rig_resume(&r, s, v, N, SEED), N);
        assert_int_equal(rig_resume(&r, s, u, N, SEED), left_at[b]);
        assert_int_equal(rig_check(&r).n_snapshots, 2);
        free(u);
        free(v);
        rig_close(&r);
    }
}

static void a_snapshot_is_looked_at_without_being_used(void **state) {
    (void)state;
    rig r;
    rig_open_kind(&r, LIMIT, 0, 0, true);
    warm_scope *s = rig_scope(&r, "s");
    warm_unit *u = rig_units(1, 400);
    warm_path p;
    warm_piece_view x;
    double prior = 0;
    rig_put(&r, s, u, 400, 64, SEED);
    warm_cache_lookup(r.cache, s, u, 400, &p);
    assert_false(warm_path_snapshot(r.cache, &p, 400, &x, &prior));
    assert_int_equal(rig_snapshot(&r, &p, u, 310, SEED), 0);
    assert_true(warm_path_snapshot(r.cache, &p, 400, &x, &prior));
    assert_true(x.start == 310 && x.bytes == RIG_SNAPSHOT && prior > 0.99);
    warm_piece_unref(r.cache, x.piece);
    assert_false(warm_path_snapshot(r.cache, &p, 309, &x, &prior));
    warm_path_release(r.cache, &p);
    rig_check(&r);
    free(u);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_beside_pieces_of_any_size),
        cmocka_unit_test(who_holds_a_tail_that_is_replaced_keeps_its_pieces),
        cmocka_unit_test(a_block_that_does_not_follow_is_refused),
        cmocka_unit_test(units_of_a_path_reach_as_far_as_its_last_piece),
        cmocka_unit_test(no_room_and_no_memory_leave_the_tree_whole),
        cmocka_unit_test(what_nobody_shares_is_forgotten),
        cmocka_unit_test(a_branch_is_forgotten_and_the_other_stays),
        cmocka_unit_test(a_snapshot_is_looked_at_without_being_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
