/* SPDX-License-Identifier: MIT
 *
 * Window rows: where a sequence can go on while they are there, which of them go first, and how they are held, marked and put back. */
#include "cache_rig.h"

#include <pthread.h>

#define AMPLE  (64u << 20)
#define WINDOW 64u

static void open_rig(rig *r) {
    rig_open_kind(r, AMPLE, 0, WINDOW, false);
}

static void put(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    rig_put(r, s, u, n, 16, 1);
    free(u);
}

static size_t resume(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    size_t q = rig_resume(r, s, u, n, 1);
    rig_check(r);
    free(u);
    return q;
}

/* Evicts just one thing. */
static void evict(rig *r) {
    assert_int_equal(warm_cache_set_budget(r->cache, r->budget.used_bytes - 1), 0);
    rig_check(r);
}

/* Takes the window rows of the piece at pos away, by the test's own hand. */
static void lose_rows(rig *r, warm_scope *s, uint32_t tag, size_t pos) {
    warm_unit *u = rig_units(tag, pos + 1);
    warm_path p;
    warm_piece_view v;
    assert_int_equal(warm_cache_lookup(r->cache, s, u, pos + 1, &p), pos + 1);
    warm_path_piece(r->cache, &p, pos, &v);
    warm_cache_quarantine_window(r->cache, v.piece);
    rig_check(r);
    warm_piece_unref(r->cache, v.piece);
    warm_path_release(r->cache, &p);
    free(u);
    rig_check(r);
}

static void every_position_is_one_while_all_rows_are_there(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 700);
    for (size_t n = 0; n <= 700; n += 7) assert_int_equal(resume(&r, s, 1, n), n);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_windows, 44); /* 700 units in pieces of 16 */
    assert_true(st.window_bytes >= 700 * RIG_ROWS && st.window_bytes < st.piece_bytes);
    assert_int_equal(st.saved_bytes, 700 * (RIG_STATE + RIG_ROWS));
    rig_close(&r);
}

static void a_resume_point_holds_the_rows_of_a_window_and_no_more(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 700);
    static const struct {
        size_t n, first, n_pieces;
    } cases[] = {{0, 0, 0}, {1, 0, 1}, {63, 0, 4}, {64, 0, 4}, {79, 16, 4}, {80, 16, 4}, {81, 16, 5}, {256, 192, 4}, {700, 624, 5}};
    warm_unit *u = rig_units(1, 700);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_path p;
        warm_resume m;
        warm_cache_lookup(r.cache, s, u, cases[i].n, &p);
        assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
        assert_int_equal(m.n_window, cases[i].n_pieces);
        if (m.n_window) assert_int_equal(m.window[0].start, cases[i].first);
        assert_null(m.snapshot.piece);
        rig_verify_resume(&r, &m, u, 1);
        warm_resume_release(r.cache, &m);
        warm_resume_release(r.cache, &m); /* of a zero one */
    }
    free(u);
    rig_close(&r);
}

static void missing_rows_move_the_point_before_them_and_those_behind_it(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 700);
    lose_rows(&r, s, 1, 400); /* [400, 416) */
    assert_int_equal(resume(&r, s, 1, 700), 700);
    assert_int_equal(resume(&r, s, 1, 479), 479); /* needs 416..478 */
    assert_int_equal(resume(&r, s, 1, 478), 400);
    assert_int_equal(resume(&r, s, 1, 401), 400);
    assert_int_equal(resume(&r, s, 1, 400), 400);
    lose_rows(&r, s, 1, 390);
    assert_int_equal(resume(&r, s, 1, 478), 384);
    for (size_t pos = 0; pos < 700; pos += 64) lose_rows(&r, s, 1, pos);
    assert_int_equal(resume(&r, s, 1, 700), 0);
    assert_int_equal(rig_check(&r).n_damaged, 12); /* 384 was lost already */
    rig_close(&r);
}

static void a_save_may_come_without_its_rows(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 48);
    put(&r, s, 1, 32);
    warm_path p;
    warm_save save;
    warm_cache_lookup(r.cache, s, u, 48, &p);
    assert_int_equal(rig_save_begin(&r, &p, 48, 16, &save), 0);
    size_t with = rig_check(&r).window_bytes;
    warm_cache_save_without_window(r.cache, &save);
    assert_null(save.window);
    assert_true(rig_check(&r).window_bytes < with);
    rig_state(1, u, save.start, save.count, save.data);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &save, u, NULL), 0);
    warm_path_release(r.cache, &p);
    assert_int_equal(warm_cache_match(r.cache, s, u, 48), 48);
    assert_int_equal(resume(&r, s, 1, 48), 32);
    free(u);
    rig_close(&r);
}

static void rows_without_a_mark_go_first_oldest_first(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 256); /* older than all others, and never a resume point */
    put(&r, s, 2, 256);
    assert_int_equal(resume(&r, s, 2, 256), 256); /* the last 4 pieces are marked */
    for (size_t i = 0; i < 28; i++) {
        assert_int_equal(rig_check(&r).n_windows, 32 - i);
        evict(&r);
        assert_int_equal(rig_check(&r).n_blocks, 2);
        /* prompt 1 loses its rows from the front; then prompt 2 those that it does not need */
        if (i < 16) assert_int_equal(resume(&r, s, 1, (i + 1) * 16), 0);
        assert_int_equal(resume(&r, s, 2, 256), 256);
    }
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_windows_evicted, 28);
    assert_int_equal(st.n_evicted, 0);
    evict(&r);
    assert_int_equal(rig_check(&r).n_evicted, 1); /* all that is left is in use again: the older block is next */
    rig_close(&r);
}

static void marked_rows_and_blocks_go_by_their_last_use(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t tag = 1; tag <= 3; tag++) put(&r, s, tag, 64);
    static const uint32_t order[] = {2, 1, 3};
    for (size_t i = 0; i < 3; i++) assert_int_equal(resume(&r, s, order[i], 64), 64);
    for (size_t i = 0; i < 3; i++) {
        /* of one resume point the rows go before the block, which can do without them */
        for (size_t k = 1; k <= 4; k++) {
            evict(&r);
            warm_cache_stats st = rig_check(&r);
            assert_int_equal(st.n_windows, 12 - 4 * i - k);
            assert_int_equal(st.n_blocks, 3 - i);
        }
        evict(&r);
        warm_unit *u = rig_units(order[i], 64);
        assert_int_equal(warm_cache_match(r.cache, s, u, 64), 0);
        free(u);
    }
    rig_close(&r);
}

static void a_mark_keeps_the_rows_before_a_position(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 700);
    rig_put(&r, s, u, 700, 16, 1);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 700, &p);
    warm_cache_mark(r.cache, &p, 300);
    warm_path_release(r.cache, &p);
    put(&r, s, 2, 300);
    while (rig_check(&r).n_windows > 5) evict(&r);
    assert_int_equal(rig_check(&r).n_evicted, 0);
    assert_int_equal(resume(&r, s, 1, 700), 304); /* 304 is the end of the piece with 299 */
    assert_int_equal(resume(&r, s, 1, 300), 300);
    assert_int_equal(resume(&r, s, 1, 299), 299);
    assert_int_equal(resume(&r, s, 2, 300), 0);
    free(u);
    rig_close(&r);
}

static void held_rows_stay(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 256);
    rig_put(&r, s, u, 256, 16, 1);
    put(&r, s, 2, 256);
    warm_path p;
    warm_resume m;
    warm_cache_lookup(r.cache, s, u, 256, &p);
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    warm_cache_clear(r.cache);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_blocks, 1);
    assert_int_equal(st.n_windows, 4);
    rig_verify_resume(&r, &m, u, 1);
    warm_cache_quarantine(r.cache, &m.path, 0); /* also when the block is unlinked */
    warm_cache_clear(r.cache);
    rig_check(&r);
    rig_verify_resume(&r, &m, u, 1);
    warm_resume_release(r.cache, &m);
    st = rig_check(&r);
    assert_int_equal(st.n_pieces, 0);
    assert_int_equal(st.window_bytes, 0);
    free(u);
    rig_close(&r);
}

static void held_rows_are_stepped_over(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 64, 16, 1);
    put(&r, s, 2, 64);
    warm_path p;
    warm_resume m;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    assert_int_equal(warm_cache_resume(r.cache, &p, &m), 0);
    assert_int_equal(resume(&r, s, 2, 64), 64);
    for (size_t left = 7; left >= 4; left--) {
        evict(&r);
        assert_int_equal(rig_check(&r).n_windows, left);
        rig_verify_resume(&r, &m, u, 1);
        assert_int_equal(rig_resume(&r, s, u, 64, 1), 64);
    }
    assert_int_equal(resume(&r, s, 2, 64), 0);
    warm_resume_release(r.cache, &m);
    free(u);
    rig_close(&r);
}

static void a_view_alone_keeps_rows_where_they_are(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 64, 64, 1);
    warm_path p;
    warm_piece_view v, again;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    warm_path_piece(r.cache, &p, 0, &v);
    assert_int_equal(warm_cache_set_budget(r.cache, 1), WARM_EAGAIN);
    assert_int_equal(rig_check(&r).n_windows, 1);
    /* quarantined, nobody finds them any more; the holder's bytes stay */
    warm_cache_quarantine_window(r.cache, v.piece);
    warm_cache_quarantine_window(r.cache, v.piece);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_windows, 0);
    assert_int_equal(st.n_damaged, 1);
    assert_true(st.window_bytes > 0);
    warm_path_piece(r.cache, &p, 0, &again);
    assert_null(again.window);
    warm_piece_unref(r.cache, again.piece);
    uint8_t want[64 * RIG_ROWS];
    rig_rows(1, u, 0, 64, want);
    assert_memory_equal(v.window, want, sizeof want);
    warm_piece_unref(r.cache, v.piece);
    assert_int_equal(rig_check(&r).window_bytes, 0);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_longer_last_piece_takes_over_the_mark(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 70);
    assert_int_equal(resume(&r, s, 1, 70), 70);
    put(&r, s, 1, 80); /* replaces [64, 70) by [64, 80) */
    put(&r, s, 2, 70);
    for (size_t i = 0; i < 5; i++) evict(&r);
    assert_int_equal(rig_check(&r).n_windows, 5);
    assert_int_equal(resume(&r, s, 1, 80), 80);
    assert_int_equal(resume(&r, s, 2, 70), 0);
    rig_close(&r);
}

static void siblings_share_the_rows_of_a_shared_piece(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 200), *b = rig_units(1, 200);
    for (size_t i = 100; i < 200; i++) b[i] += 7000;
    rig_put(&r, s, a, 200, 16, 1);
    size_t before = rig_check(&r).n_windows;
    rig_put(&r, s, b, 200, 16, 1);
    assert_int_equal(rig_check(&r).n_windows, before + 7); /* [96, 200) */
    assert_int_equal(rig_resume(&r, s, a, 200, 1), 200);
    assert_int_equal(rig_resume(&r, s, b, 200, 1), 200);
    assert_int_equal(rig_resume(&r, s, b, 110, 1), 110);
    lose_rows(&r, s, 1, 90);
    assert_int_equal(rig_resume(&r, s, b, 110, 1), 80);
    free(a);
    free(b);
    rig_close(&r);
}

static void damaged_rows_leave_the_state_whole(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 64, 64, 1);
    warm_path p;
    warm_piece_view v;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    warm_path_piece(r.cache, &p, 0, &v);
    warm_piece_seal(v.piece);
    assert_int_equal(warm_piece_verify_window(v.piece), 0);
    ((uint8_t *)(uintptr_t)v.window)[17]++;
    assert_int_equal(warm_piece_verify_window(v.piece), WARM_ECORRUPT);
    assert_int_equal(warm_piece_verify(v.piece), 0);
    assert_int_equal(warm_piece_state_get(v.piece), WARM_PIECE_SEALED);
    ((uint8_t *)(uintptr_t)v.window)[17]--;
    assert_int_equal(warm_piece_verify_window(v.piece), WARM_ECORRUPT); /* once damaged, always damaged */
    warm_cache_quarantine_window(r.cache, v.piece);
    warm_piece_unref(r.cache, v.piece);
    warm_path_release(r.cache, &p);
    assert_int_equal(resume(&r, s, 1, 64), 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, 64), 64);
    free(u);
    rig_close(&r);
}

/* Saves the rows of the next piece that lacks them. */
static int put_back(rig *r, warm_path *p, const warm_unit *u, size_t pos) {
    size_t start, count;
    warm_save save;
    if (!warm_cache_next_window(r->cache, p, pos, &start, &count)) return WARM_ENOTFOUND;
    assert_int_equal(warm_cache_save_begin_window(r->cache, start, count, count * RIG_ROWS, &save), 0);
    assert_true(!save.data && save.start == start && save.count == count);
    rig_rows(1, u, start, count, save.window);
    return warm_cache_save_commit(r->cache, p, &save, u, NULL);
}

static void lost_rows_are_put_back_from_where_a_sequence_goes_on(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 702);
    put(&r, s, 1, 700);
    for (size_t pos = 0; pos < 700; pos += 16) lose_rows(&r, s, 1, pos);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 695, &p);
    size_t start, count;
    assert_true(warm_cache_next_window(r.cache, &p, 0, &start, &count));
    assert_true(start == 0 && count == 16);
    assert_true(warm_cache_next_window(r.cache, &p, 390, &start, &count));
    assert_true(start == 384 && count == 16);
    for (size_t pos = 384; pos < 688; pos += 16) assert_int_equal(put_back(&r, &p, u, 390), 0);
    /* [688, 700) reaches behind the path: its units may be others there */
    assert_int_equal(put_back(&r, &p, u, 390), WARM_ENOTFOUND);
    assert_int_equal(p.n_units, 695);
    warm_path_release(r.cache, &p);
    assert_int_equal(resume(&r, s, 1, 700), 688);
    assert_int_equal(resume(&r, s, 1, 448), 448);
    assert_int_equal(resume(&r, s, 1, 446), 0); /* needs 383, too */
    free(u);
    rig_close(&r);
}

static void *seal_and_verify(void *piece) {
    for (int i = 0; i < 1000; i++) {
        warm_piece_seal(piece);
        if (warm_piece_verify(piece)) return piece;
    }
    return NULL;
}

/* The holder of a view may be sealing the piece when its rows come back. */
static void rows_may_be_put_back_while_another_thread_seals(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 64, 64, 1);
    lose_rows(&r, s, 1, 0);
    warm_path p;
    warm_piece_view v;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    warm_path_piece(r.cache, &p, 0, &v);
    assert_null(v.window);
    pthread_t t;
    void *wrong;
    assert_int_equal(pthread_create(&t, NULL, seal_and_verify, v.piece), 0);
    assert_int_equal(put_back(&r, &p, u, 0), 0);
    pthread_join(t, &wrong);
    assert_null(wrong);
    warm_piece_unref(r.cache, v.piece);
    warm_path_release(r.cache, &p);
    assert_int_equal(resume(&r, s, 1, 64), 64);
    free(u);
    rig_close(&r);
}

static void asking_where_to_go_on_is_no_use(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 64, 64, 1);
    put(&r, s, 2, 64);
    assert_int_equal(warm_cache_match_resume(r.cache, s, u, 64), 64);
    evict(&r);
    assert_int_equal(warm_cache_match_resume(r.cache, s, u, 64), 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, 64), 64);
    free(u);
    rig_close(&r);
}

static void rows_of_pieces_that_are_gone_are_refused(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 80);
    put(&r, s, 1, 70);
    lose_rows(&r, s, 1, 66);
    warm_path p;
    warm_save save;
    size_t start, count;
    warm_cache_lookup(r.cache, s, u, 80, &p);
    assert_true(warm_cache_next_window(r.cache, &p, 0, &start, &count));
    assert_true(start == 64 && count == 6);
    assert_int_equal(warm_cache_save_begin_window(r.cache, start, count, count * RIG_ROWS, &save), 0);
    rig_rows(1, u, start, count, save.window);
    put(&r, s, 1, 80);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &save, u, NULL), WARM_EAGAIN);
    rig_check(&r);
    assert_int_equal(warm_cache_save_begin_window(r.cache, start, count, count * RIG_ROWS, &save), 0);
    warm_cache_save_abort(r.cache, &save);
    warm_path_release(r.cache, &p);
    assert_int_equal(resume(&r, s, 1, 80), 80);
    free(u);
    rig_close(&r);
}

static void a_second_save_of_a_range_gives_its_rows_to_the_first(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    warm_path p;
    warm_save a;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    assert_int_equal(rig_save_begin(&r, &p, 16, 16, &a), 0);
    rig_state(1, u, 0, 16, a.data);
    rig_rows(1, u, 0, 16, a.window);
    put(&r, s, 1, 16);
    lose_rows(&r, s, 1, 0);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &a, u, NULL), 0);
    assert_int_equal(rig_check(&r).n_windows, 1);
    warm_path_release(r.cache, &p);
    assert_int_equal(resume(&r, s, 1, 16), 16);
    free(u);
    rig_close(&r);
}

static void both_extents_come_or_none(void **state) {
    (void)state;
    rig r;
    rig_open_kind(&r, AMPLE, 4, WINDOW, false); /* the fourth reserve fails */
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 2, 16);
    size_t before = r.budget.used_bytes;
    warm_unit *u = rig_units(1, 16);
    warm_path p;
    warm_save save;
    warm_cache_lookup(r.cache, s, u, 16, &p);
    assert_int_equal(rig_save_begin(&r, &p, 16, 16, &save), WARM_ENOMEM);
    assert_int_equal(r.budget.used_bytes, before);
    assert_int_equal(warm_cache_save_begin(r.cache, &p, 0, 16, 16, AMPLE - 8192, 8193, &save), WARM_EFULL);
    assert_int_equal(warm_cache_save_begin(r.cache, &p, 0, 16, 16, 64, SIZE_MAX, &save), WARM_EFULL);
    assert_int_equal(rig_check(&r).budget_used_bytes, before); /* nothing was evicted for them, either */
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_cache_has_a_window_or_snapshots(void **state) {
    (void)state;
    rig r;
    open_rig(&r);
    warm_cache *c;
    warm_err err = {0};
    warm_cache_options o = {.store = r.store, .budget = &r.budget, .window = 16, .snapshots = true};
    assert_int_equal(warm_cache_new(&o, &c, &err), WARM_EINVAL);
    assert_true(strlen(err.text) > 0);
    rig_close(&r);
}

static void a_plain_cache_resumes_anywhere_and_holds_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 300);
    assert_int_equal(resume(&r, s, 1, 299), 299);
    assert_int_equal(rig_check(&r).window_bytes, 0);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_position_is_one_while_all_rows_are_there),
        cmocka_unit_test(a_resume_point_holds_the_rows_of_a_window_and_no_more),
        cmocka_unit_test(missing_rows_move_the_point_before_them_and_those_behind_it),
        cmocka_unit_test(a_save_may_come_without_its_rows),
        cmocka_unit_test(rows_without_a_mark_go_first_oldest_first),
        cmocka_unit_test(marked_rows_and_blocks_go_by_their_last_use),
        cmocka_unit_test(a_mark_keeps_the_rows_before_a_position),
        cmocka_unit_test(held_rows_stay),
        cmocka_unit_test(held_rows_are_stepped_over),
        cmocka_unit_test(a_view_alone_keeps_rows_where_they_are),
        cmocka_unit_test(a_longer_last_piece_takes_over_the_mark),
        cmocka_unit_test(siblings_share_the_rows_of_a_shared_piece),
        cmocka_unit_test(damaged_rows_leave_the_state_whole),
        cmocka_unit_test(lost_rows_are_put_back_from_where_a_sequence_goes_on),
        cmocka_unit_test(rows_may_be_put_back_while_another_thread_seals),
        cmocka_unit_test(asking_where_to_go_on_is_no_use),
        cmocka_unit_test(rows_of_pieces_that_are_gone_are_refused),
        cmocka_unit_test(a_second_save_of_a_range_gives_its_rows_to_the_first),
        cmocka_unit_test(both_extents_come_or_none),
        cmocka_unit_test(a_cache_has_a_window_or_snapshots),
        cmocka_unit_test(a_plain_cache_resumes_anywhere_and_holds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
