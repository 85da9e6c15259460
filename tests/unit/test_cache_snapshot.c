/* SPDX-License-Identifier: MIT
 *
 * Snapshots: which one is found, what they survive, and when they go. */
#include "cache_rig.h"

#define AMPLE (64u << 20)

static void open_rig(rig *r) {
    rig_open_kind(r, AMPLE, 0, 0, true);
}

/* Units of a tag that become another's behind `at`. */
static warm_unit *branch(uint32_t tag, size_t at, size_t n, warm_unit shift) {
    warm_unit *u = rig_units(tag, n);
    for (size_t i = at; i < n; i++) u[i] += shift;
    return u;
}

/* Saves a snapshot at pos of a prompt that is in the tree. */
static void snap(rig *r, warm_scope *s, const warm_unit *u, size_t n, size_t pos) {
    warm_path p;
    assert_int_equal(warm_cache_lookup(r->cache, s, u, n, &p), n);
    assert_int_equal(rig_snapshot(r, &p, u, pos, 1), 0);
    warm_path_release(r->cache, &p);
    rig_check(r);
}

static size_t before(rig *r, warm_scope *s, const warm_unit *u, size_t n) {
    warm_path p;
    size_t k = warm_cache_lookup(r->cache, s, u, n, &p);
    size_t q = warm_cache_snapshot_before(r->cache, &p, k);
    warm_path_release(r->cache, &p);
    return q;
}

static void evict(rig *r) {
    assert_int_equal(warm_cache_set_budget(r->cache, r->budget.used_bytes - 1), 0);
    rig_check(r);
}

static void put(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    rig_put(r, s, u, n, 64, 1);
    free(u);
}

static void a_prompt_resumes_at_its_last_snapshot(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 1500);
    rig_put(&r, s, u, 1500, 64, 1);
    assert_int_equal(rig_resume(&r, s, u, 1500, 1), 0);
    /* in a block, at the end of one, just before and behind it, in the tail and at its end */
    static const size_t at[] = {1, 100, 255, 256, 257, 768, 1400, 1499, 1500};
    size_t n = sizeof at / sizeof *at;
    for (size_t i = n; i-- > 0;) snap(&r, s, u, 1500, at[i]);
    for (size_t k = 0; k <= 1500; k++) {
        size_t want = 0;
        for (size_t i = 0; i < n && at[i] <= k; i++) want = at[i];
        assert_int_equal(before(&r, s, u, k), want);
        if (k % 37 == 0) assert_int_equal(rig_resume(&r, s, u, k, 1), want);
    }
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_snapshots, n);
    assert_true(st.snapshot_bytes >= n * RIG_SNAPSHOT && st.snapshot_bytes < st.piece_bytes);
    assert_int_equal(st.n_pieces, 24); /* snapshots are none */
    free(u);
    rig_close(&r);
}

static void a_path_of_a_longer_prompt_answers_for_each_of_its_positions(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 700);
    rig_put(&r, s, u, 700, 64, 1);
    snap(&r, s, u, 700, 300);
    snap(&r, s, u, 700, 512);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 700, &p);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 700), 512);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 512), 512);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 511), 300);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 299), 0);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 0), 0);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_snapshot_belongs_to_its_prefix_alone(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    /* branches that leave each other at 300, 301, ..., each with a snapshot at 20 units behind, and some before */
    for (size_t at = 300; at < 330; at++) {
        warm_unit *b = branch(1, at, 400, 7000);
        rig_put(&r, s, b, 400, 16, 1);
        snap(&r, s, b, 400, at + 20);
        if (at % 7 == 0) snap(&r, s, b, 400, at);
        free(b);
    }
    rig_check(&r);
    for (size_t at = 300; at < 330; at++) {
        warm_unit *b = branch(1, at, 400, 7000);
        assert_int_equal(rig_resume(&r, s, b, 400, 1), at + 20);
        size_t common = at / 7 * 7;
        assert_int_equal(rig_resume(&r, s, b, at + 19, 1), common < 300 ? 0 : common);
        free(b);
    }
    warm_unit *other = branch(1, 280, 400, 9000);
    assert_int_equal(rig_resume(&r, s, other, 400, 1), 0);
    free(other);
    rig_close(&r);
}

/* What is less than the prompt in their order need not begin it: the search has to go back step by step. */
static void smaller_neighbours_do_not_hide_a_shorter_prefix(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit u[100];
    for (size_t i = 0; i < 100; i++) u[i] = 50;
    rig_put(&r, s, u, 100, 16, 1);
    snap(&r, s, u, 100, 3);
    for (size_t at = 4; at < 90; at++) {
        u[at] = 49;
        rig_put(&r, s, u, at + 1, 16, 1);
        snap(&r, s, u, at + 1, at + 1);
        u[at] = 50;
    }
    assert_int_equal(rig_resume(&r, s, u, 100, 1), 3);
    snap(&r, s, u, 100, 40);
    assert_int_equal(rig_resume(&r, s, u, 100, 1), 40);
    assert_int_equal(rig_resume(&r, s, u, 39, 1), 3);
    rig_close(&r);
}

static void a_longer_tail_keeps_the_snapshots_of_the_shorter(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 600);
    static const size_t ends[] = {100, 101, 200, 256, 300, 600};
    for (size_t i = 0; i < 6; i++) {
        rig_put(&r, s, u, ends[i], 64, 1);
        snap(&r, s, u, ends[i], ends[i]);
    }
    for (size_t i = 0; i < 6; i++) assert_int_equal(rig_resume(&r, s, u, ends[i], 1), ends[i]);
    assert_int_equal(rig_check(&r).n_snapshots, 6);
    free(u);
    rig_close(&r);
}

static void the_same_snapshot_is_kept_once(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 100);
    rig_put(&r, s, u, 100, 64, 1);
    warm_path p;
    warm_snapshot a, b;
    warm_piece_view va, vb;
    warm_cache_lookup(r.cache, s, u, 100, &p);
    assert_int_equal(warm_cache_snapshot_begin(r.cache, RIG_SNAPSHOT, &a), 0);
    assert_int_equal(warm_cache_snapshot_begin(r.cache, RIG_SNAPSHOT, &b), 0);
    assert_int_equal(a.bytes, RIG_SNAPSHOT);
    rig_snapshot_bytes(1, u, 90, a.data, a.bytes);
    memset(b.data, 0, b.bytes);
    assert_int_equal(warm_cache_snapshot_commit(r.cache, &p, 90, 1, &a, &va), 0);
    assert_int_equal(warm_cache_snapshot_commit(r.cache, &p, 90, 1, &b, &vb), 0);
    assert_null(b.data);
    assert_ptr_equal(va.piece, vb.piece);
    assert_true(va.start == 90 && va.n_units == 0 && va.bytes == RIG_SNAPSHOT);
    assert_int_equal(rig_check(&r).n_snapshots, 1);
    warm_piece_unref(r.cache, va.piece);
    warm_piece_unref(r.cache, vb.piece);
    assert_int_equal(warm_cache_snapshot_begin(r.cache, RIG_SNAPSHOT, &b), 0);
    warm_cache_snapshot_abort(r.cache, &b);
    warm_path_release(r.cache, &p);
    assert_int_equal(rig_resume(&r, s, u, 100, 1), 90);
    free(u);
    rig_close(&r);
}

/* Two branches of the trunk [0, 256) that part at 320; the one that comes first in their order, or the other, goes first. */
static void lose_one_then_the_other(bool first) {
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 400), *b = branch(1, 320, 400, 7000), *one = first ? a : b, *other = first ? b : a;
    rig_put(&r, s, one, 400, 16, 1);
    rig_put(&r, s, other, 400, 16, 1);
    static const size_t at[] = {300, 320, 321, 256}; /* covered by both, by both, by one; the trunk's own */
    for (size_t i = 0; i < 4; i++) snap(&r, s, one, 400, at[i]);
    static const struct { size_t quarantine, n_left, resume; } steps[] = {{330, 3, 320}, {330, 1, 256}, {0, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        warm_path p;
        warm_cache_lookup(r.cache, s, i ? other : one, 400, &p);
        warm_cache_quarantine(r.cache, &p, steps[i].quarantine);
        warm_path_release(r.cache, &p);
        assert_int_equal(rig_check(&r).n_snapshots, steps[i].n_left);
        assert_int_equal(rig_resume(&r, s, other, 400, 1), steps[i].resume);
    }
    assert_int_equal(rig_check(&r).snapshot_bytes, 0);
    free(a);
    free(b);
    rig_close(&r);
}

static void a_snapshot_goes_with_the_last_block_that_covers_it(void **state) {
    (void)state;
    lose_one_then_the_other(true);
    lose_one_then_the_other(false);
}

static void what_was_taken_up_again_outlives_what_was_not(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u[4];
    for (uint32_t tag = 1; tag <= 3; tag++) {
        u[tag] = rig_units(tag, 100);
        rig_put(&r, s, u[tag], 100, 128, 1);
        snap(&r, s, u[tag], 100, 50);
        snap(&r, s, u[tag], 100, 99);
    }
    assert_int_equal(rig_resume(&r, s, u[1], 98, 1), 50);
    /* the block and the snapshot at 50 were used again, that at 99 was not */
    evict(&r);
    assert_int_equal(before(&r, s, u[1], 98), 50);
    assert_int_equal(rig_check(&r).n_snapshots, 5);
    evict(&r); /* then those of 2, the older one first */
    assert_int_equal(before(&r, s, u[2], 98), 0);
    evict(&r);
    assert_int_equal(rig_check(&r).n_snapshots, 3);
    assert_int_equal(warm_cache_match(r.cache, s, u[2], 100), 100);
    free(u[1]);
    free(u[2]);
    free(u[3]);
    rig_close(&r);
}

static void what_saves_least_goes_first_and_its_block_after_it(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t tag = 1; tag <= 3; tag++) {
        warm_unit *u = rig_units(tag, 300);
        rig_put(&r, s, u, 300, 256, 1);
        snap(&r, s, u, 300, 299);
        snap(&r, s, u, 300, 256);
        free(u);
    }
    /* those at 299 save 43 units each, those at 256 save 256; a tail is of no use without a snapshot behind it */
    for (size_t i = 0; i < 12; i++) {
        evict(&r);
        warm_cache_stats st = rig_check(&r);
        assert_int_equal(st.n_snapshots, 5 - i / 2);
        assert_int_equal(st.n_blocks, 6 - (i + 1) / 2);
        if (i < 6) assert_true(st.n_units >= 3 * 256);
    }
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_snapshots_evicted, 6);
    assert_int_equal(st.n_evicted, 6);
    rig_close(&r);
}

static void what_is_less_likely_asked_for_or_left_behind_goes_first(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u[4];
    for (uint32_t tag = 1; tag <= 3; tag++) {
        u[tag] = rig_units(tag, 100);
        rig_put(&r, s, u[tag], 100, 128, 1);
    }
    const double priors[] = {0, 1, 0.25, 1};
    for (uint32_t tag = 1; tag <= 3; tag++) {
        warm_path p;
        warm_snapshot x;
        warm_cache_lookup(r.cache, s, u[tag], 100, &p);
        assert_int_equal(warm_cache_snapshot_begin(r.cache, RIG_SNAPSHOT, &x), 0);
        rig_snapshot_bytes(1, u[tag], 60, x.data, x.bytes);
        assert_int_equal(warm_cache_snapshot_commit(r.cache, &p, 60, priors[tag], &x, NULL), 0);
        warm_path_release(r.cache, &p);
    }
    snap(&r, s, u[3], 100, 99); /* by a later request: the one at 60 is left behind */
    evict(&r);
    assert_int_equal(before(&r, s, u[2], 98), 0);
    evict(&r);
    assert_int_equal(before(&r, s, u[2], 98) + warm_cache_match(r.cache, s, u[2], 100), 0);
    evict(&r);
    assert_int_equal(before(&r, s, u[3], 98), 0);
    assert_int_equal(before(&r, s, u[1], 98), 60);
    for (uint32_t tag = 1; tag <= 3; tag++) free(u[tag]);
    rig_close(&r);
}

/* b was used long ago; the branch through which its snapshot was used last is gone. */
static void a_leaf_is_as_recent_as_a_snapshot_that_only_it_covers(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 100), *b = branch(1, 80, 100, 7000);
    rig_put(&r, s, b, 100, 16, 1);
    rig_put(&r, s, a, 100, 16, 1);
    for (uint32_t tag = 2; tag <= 5; tag++) put(&r, s, tag, 100);
    snap(&r, s, a, 100, 60);
    warm_path p;
    warm_cache_lookup(r.cache, s, a, 100, &p);
    warm_cache_quarantine(r.cache, &p, 90);
    warm_path_release(r.cache, &p);
    assert_int_equal(rig_check(&r).n_snapshots, 1);
    for (size_t n = 4; n > 0; n--) {
        evict(&r);
        assert_int_equal(rig_check(&r).n_blocks, n);
        assert_int_equal(warm_cache_match(r.cache, s, b, 100), 100);
        assert_int_equal(rig_check(&r).n_snapshots, 1);
    }
    evict(&r);
    assert_int_equal(rig_check(&r).n_snapshots, 0);
    assert_int_equal(warm_cache_match(r.cache, s, b, 100), 100);
    free(a);
    free(b);
    rig_close(&r);
}

static void what_a_resume_point_holds_stays(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 400);
    rig_put(&r, s, u, 400, 64, 1);
    snap(&r, s, u, 400, 300);
    snap(&r, s, u, 400, 350);
    put(&r, s, 2, 400);
    warm_path p;
    warm_resume m;
    warm_cache_lookup(r.cache, s, u, 349, &p);
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    assert_int_equal(m.path.n_units, 300);
    warm_cache_clear(r.cache);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_blocks, 2);
    assert_int_equal(st.n_snapshots, 1); /* nobody holds the one at 350 */
    rig_verify_resume(&r, &m, u, 1);
    warm_cache_quarantine(r.cache, &m.path, 10);
    st = rig_check(&r);
    assert_int_equal(st.n_blocks + st.n_snapshots, 0);
    assert_true(st.snapshot_bytes > 0);
    rig_verify_resume(&r, &m, u, 1);
    warm_cache_quarantine_snapshot(r.cache, &m.path); /* unlinked already */
    assert_int_equal(rig_check(&r).n_damaged, 1);
    warm_resume_release(r.cache, &m);
    st = rig_check(&r);
    assert_int_equal(st.piece_bytes, 0);
    free(u);
    rig_close(&r);
}

static void a_held_snapshot_is_stepped_over(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 100);
    rig_put(&r, s, u, 100, 128, 1);
    warm_path p;
    warm_snapshot x;
    warm_piece_view v;
    warm_cache_lookup(r.cache, s, u, 100, &p);
    assert_int_equal(warm_cache_snapshot_begin(r.cache, RIG_SNAPSHOT, &x), 0);
    rig_snapshot_bytes(1, u, 50, x.data, x.bytes);
    assert_int_equal(warm_cache_snapshot_commit(r.cache, &p, 50, 1, &x, &v), 0);
    assert_int_equal(rig_snapshot(&r, &p, u, 60, 1), 0);
    evict(&r);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 100), 50);
    assert_int_equal(warm_cache_set_budget(r.cache, r.budget.used_bytes - 1), WARM_EAGAIN);
    rig_check(&r);
    warm_piece_unref(r.cache, v.piece);
    evict(&r);
    assert_int_equal(warm_cache_snapshot_before(r.cache, &p, 100), 0);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_damaged_snapshot_goes_alone(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 400);
    rig_put(&r, s, u, 400, 64, 1);
    snap(&r, s, u, 400, 270);
    snap(&r, s, u, 400, 300);
    warm_path p;
    warm_resume m;
    warm_cache_lookup(r.cache, s, u, 400, &p);
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    warm_piece_seal(m.snapshot.piece);
    ((uint8_t *)(uintptr_t)m.snapshot.data)[5]++;
    assert_int_equal(warm_piece_verify(m.snapshot.piece), WARM_ECORRUPT);
    warm_cache_quarantine_snapshot(r.cache, &m.path);
    warm_cache_quarantine_snapshot(r.cache, &m.path); /* the one before it is not at this position */
    warm_resume_release(r.cache, &m);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_damaged, 1);
    assert_int_equal(st.n_snapshots, 1);
    assert_int_equal(warm_cache_match(r.cache, s, u, 400), 400);
    assert_int_equal(rig_resume(&r, s, u, 400, 1), 270);
    free(u);
    rig_close(&r);
}

static void an_unlinked_path_takes_no_snapshot(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 400);
    rig_put(&r, s, u, 400, 64, 1);
    snap(&r, s, u, 400, 200);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 400, &p);
    warm_cache_quarantine(r.cache, &p, 300);
    assert_int_equal(rig_snapshot(&r, &p, u, 399, 1), WARM_EAGAIN);
    assert_int_equal(rig_snapshot(&r, &p, u, 100, 1), WARM_EAGAIN);
    assert_int_equal(rig_check(&r).n_snapshots, 1);
    /* what stands above is still there, and a resume from such a path finds it */
    warm_resume m;
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    assert_int_equal(m.path.n_units, 200);
    rig_verify_resume(&r, &m, u, 1);
    warm_resume_release(r.cache, &m);
    free(u);
    rig_close(&r);
}

static void paths_may_be_kept_without_state(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 600);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 600, &p);
    size_t start, count;
    while (warm_cache_next_piece(r.cache, &p, 600, 256, &start, &count)) {
        warm_save save;
        warm_piece_view v;
        assert_int_equal(warm_cache_save_begin(r.cache, &p, start, count, 256, 0, 0, &save), 0);
        assert_null(save.data);
        assert_int_equal(warm_cache_save_commit(r.cache, &p, &save, u, &v), 0);
        warm_piece_seal(v.piece);
        assert_int_equal(warm_piece_verify(v.piece), 0);
        assert_int_equal(warm_piece_state_get(v.piece), WARM_PIECE_SEALED);
        assert_true(!v.data && !v.window && v.bytes == 0);
        warm_piece_unref(r.cache, v.piece);
    }
    assert_int_equal(rig_snapshot(&r, &p, u, 590, 1), 0);
    assert_int_equal(rig_check(&r).piece_bytes, rig_check(&r).snapshot_bytes);
    warm_resume m;
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    assert_int_equal(m.path.n_units, 590);
    warm_resume_release(r.cache, &m);
    free(u);
    rig_close(&r);
}

static void many_snapshots_below_one_block_come_and_go(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    size_t empty = rig_check(&r).index_bytes;
    for (uint32_t k = 0; k < 600; k++) {
        warm_unit *u = branch(1, 256, 280, 1000 * (k * 7919u % 1009u));
        rig_put(&r, s, u, 280, 256, 1);
        warm_path p;
        warm_cache_lookup(r.cache, s, u, 280, &p);
        assert_int_equal(rig_snapshot(&r, &p, u, 270 + k % 3, 1), 0);
        warm_path_release(r.cache, &p);
        free(u);
    }
    assert_int_equal(rig_check(&r).n_snapshots, 600);
    for (uint32_t k = 0; k < 600; k++) {
        warm_unit *u = branch(1, 256, 280, 1000 * (k * 7919u % 1009u));
        assert_int_equal(before(&r, s, u, 280), 270 + k % 3);
        free(u);
    }
    for (size_t i = 0; i < 1200; i++) evict(&r);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_snapshots, 0);
    assert_int_equal(st.n_blocks, 1);
    evict(&r);
    assert_int_equal(rig_check(&r).index_bytes, empty);
    rig_close(&r);
}

static void a_snapshot_beyond_the_limit_evicts_nothing(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 300);
    warm_snapshot x;
    assert_int_equal(warm_cache_snapshot_begin(r.cache, AMPLE + 1, &x), WARM_EFULL);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_refused, 1);
    assert_int_equal(st.n_blocks, 2);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prompt_resumes_at_its_last_snapshot),
        cmocka_unit_test(a_path_of_a_longer_prompt_answers_for_each_of_its_positions),
        cmocka_unit_test(a_snapshot_belongs_to_its_prefix_alone),
        cmocka_unit_test(smaller_neighbours_do_not_hide_a_shorter_prefix),
        cmocka_unit_test(a_longer_tail_keeps_the_snapshots_of_the_shorter),
        cmocka_unit_test(the_same_snapshot_is_kept_once),
        cmocka_unit_test(a_snapshot_goes_with_the_last_block_that_covers_it),
        cmocka_unit_test(what_was_taken_up_again_outlives_what_was_not),
        cmocka_unit_test(what_is_less_likely_asked_for_or_left_behind_goes_first),
        cmocka_unit_test(what_saves_least_goes_first_and_its_block_after_it),
        cmocka_unit_test(a_leaf_is_as_recent_as_a_snapshot_that_only_it_covers),
        cmocka_unit_test(what_a_resume_point_holds_stays),
        cmocka_unit_test(a_held_snapshot_is_stepped_over),
        cmocka_unit_test(a_damaged_snapshot_goes_alone),
        cmocka_unit_test(an_unlinked_path_takes_no_snapshot),
        cmocka_unit_test(paths_may_be_kept_without_state),
        cmocka_unit_test(many_snapshots_below_one_block_come_and_go),
        cmocka_unit_test(a_snapshot_beyond_the_limit_evicts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
