/* SPDX-License-Identifier: MIT
 *
 * What is saved, where it lands, and what it shares. */
#include "cache_rig.h"

#include <stdio.h>

#define AMPLE (64u << 20)

static warm_cache_stats stats(const rig *r) {
    return rig_check(r);
}

static size_t matched(rig *r, warm_scope *s, const warm_unit *u, size_t n, uint64_t seed) {
    warm_path p;
    size_t k = warm_cache_lookup(r->cache, s, u, n, &p);
    assert_int_equal(k, warm_cache_match(r->cache, s, u, n));
    assert_int_equal(k, p.n_units);
    rig_verify(r, &p, u, seed);
    warm_path_release(r->cache, &p);
    return k;
}

static void an_empty_tree_matches_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit u[3] = {1, 2, 3};
    assert_int_equal(matched(&r, s, u, 3, 1), 0);
    assert_int_equal(matched(&r, s, u, 0, 1), 0);
    rig_close(&r);
}

static void a_saved_prompt_is_found_to_the_unit(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 1000);
    assert_int_equal(rig_put(&r, s, u, 777, 64, 1), 0);
    for (size_t n = 0; n <= 1000; n += 37) assert_int_equal(matched(&r, s, u, n, 1), n < 777 ? n : 777);
    for (size_t at = 0; at < 777; at += 41) {
        u[at] += 50000;
        assert_int_equal(matched(&r, s, u, 1000, 1), at);
        u[at] -= 50000;
    }
    warm_cache_stats st = stats(&r);
    assert_int_equal(st.n_blocks, 4);
    assert_int_equal(st.n_units, 777);
    assert_int_equal(st.n_pieces, 13); /* 3 blocks of 4, and 9 units */
    assert_int_equal(st.n_saved, 13);
    assert_int_equal(st.saved_bytes, 777 * RIG_STATE);
    free(u);
    rig_close(&r);
}

static void saving_again_saves_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 600);
    rig_put(&r, s, u, 600, 16, 1);
    warm_cache_stats before = stats(&r);
    assert_int_equal(rig_put(&r, s, u, 600, 16, 1), 600);
    assert_int_equal(rig_put(&r, s, u, 300, 256, 1), 300);
    assert_int_equal(stats(&r).n_saved, before.n_saved);
    assert_int_equal(stats(&r).budget_used_bytes, before.budget_used_bytes);
    free(u);
    rig_close(&r);
}

static void a_tail_grows_in_place_and_replaces_its_short_piece(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 600);
    rig_put(&r, s, u, 100, 64, 1);
    assert_int_equal(stats(&r).n_pieces, 2);

    warm_path p;
    size_t start, count;
    warm_cache_lookup(r.cache, s, u, 120, &p);
    assert_true(warm_cache_next_piece(r.cache, &p, 120, 16, &start, &count));
    assert_int_equal(start, 64); /* on the block's own grid, not the caller's */
    assert_int_equal(count, 56);
    assert_int_equal(rig_save(&r, &p, u, 120, 16, 1), 0);
    assert_int_equal(stats(&r).n_pieces, 2);
    assert_int_equal(stats(&r).n_blocks, 1);
    assert_false(warm_cache_next_piece(r.cache, &p, 120, 16, &start, &count));

    assert_int_equal(rig_save(&r, &p, u, 128, 16, 1), 0);
    assert_true(warm_cache_next_piece(r.cache, &p, 130, 16, &start, &count));
    assert_int_equal(start, 128);
    assert_int_equal(count, 2);
    assert_int_equal(rig_save(&r, &p, u, 256, 64, 1), 0);
    assert_true(warm_cache_next_piece(r.cache, &p, 600, 16, &start, &count));
    assert_int_equal(start, 256); /* a new block takes the caller's grid */
    assert_int_equal(count, 16);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_replaced_piece_stays_with_whoever_holds_it(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    rig_put(&r, s, u, 10, 16, 1);
    warm_path old, p;
    warm_piece_view v;
    warm_cache_lookup(r.cache, s, u, 10, &old);
    warm_path_piece(r.cache, &old, 3, &v);
    warm_path_clone(r.cache, &old, &p);
    assert_int_equal(rig_save(&r, &p, u, 14, 16, 1), 0);
    assert_int_equal(v.n_units, 10);
    assert_int_equal(warm_piece_verify(v.piece), 0);
    uint8_t want[10 * RIG_STATE];
    rig_state(1, u, 0, 10, want);
    assert_memory_equal(v.data, want, sizeof want);
    assert_int_equal(stats(&r).n_pieces, 2);
    warm_piece_unref(r.cache, v.piece);
    assert_int_equal(stats(&r).n_pieces, 1);
    rig_verify(&r, &old, u, 1); /* the older path reads the new piece, for its own 10 units */
    warm_path_release(r.cache, &old);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_fork_shares_whole_pieces_and_keeps_both_branches(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 500), *b = rig_units(1, 500);
    for (size_t i = 256 + 100; i < 500; i++) b[i] += 7000;
    rig_put(&r, s, a, 500, 16, 1);
    warm_cache_stats before = stats(&r);

    warm_path p;
    size_t start, count;
    assert_int_equal(warm_cache_lookup(r.cache, s, b, 500, &p), 356);
    assert_true(warm_cache_next_piece(r.cache, &p, 500, 64, &start, &count));
    assert_int_equal(start, 256 + 96);
    assert_int_equal(count, 16);
    assert_int_equal(rig_save(&r, &p, b, 500, 64, 1), 0);
    warm_path_release(r.cache, &p);

    warm_cache_stats after = stats(&r);
    assert_int_equal(after.n_blocks, before.n_blocks + 1);
    assert_int_equal(after.n_pieces - before.n_pieces, 10); /* 500 - 352 units in pieces of 16; 96 units shared */
    assert_int_equal(after.n_units, before.n_units + 244);
    assert_int_equal(matched(&r, s, a, 500, 1), 500);
    assert_int_equal(matched(&r, s, b, 500, 1), 500);
    free(a);
    free(b);
    rig_close(&r);
}

static void a_fork_in_the_first_piece_keeps_the_grid(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 300), *b = rig_units(1, 300);
    for (size_t i = 100; i < 300; i++) b[i] += 7000;
    rig_put(&r, s, a, 300, 256, 1);
    /* on a grid of 16, the first new piece would be a prefix of what is there */
    assert_int_equal(rig_put(&r, s, b, 300, 16, 1), 100);
    stats(&r);
    assert_int_equal(matched(&r, s, a, 300, 1), 300);
    assert_int_equal(matched(&r, s, b, 300, 1), 300);
    free(a);
    free(b);
    rig_close(&r);
}

static void siblings_that_share_their_beginning_are_all_found(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 403);
    /* in an order that inserts at both ends and between; some differ in the first unit, some deep inside */
    static const uint32_t order[] = {5, 1, 9, 3, 7, 0, 8, 2, 6, 4};
    for (size_t at = 0; at < 400; at += 57) {
        for (size_t k = 0; k < 10; k++) {
            warm_unit keep = u[at];
            u[at] = 1000000 * (order[k] + 1) + at;
            assert_int_equal(rig_put(&r, s, u, at + 3, 16, 1), k ? at : at ? at - 57 : 0);
            u[at] = keep;
        }
        stats(&r);
    }
    for (size_t at = 0; at < 400; at += 57) {
        for (size_t k = 0; k < 10; k++) {
            warm_unit keep = u[at];
            u[at] = 1000000 * (k + 1) + at;
            assert_int_equal(matched(&r, s, u, at + 3, 1), at + 3);
            u[at] += 500000;
            assert_int_equal(matched(&r, s, u, at + 3, 1), at);
            u[at] = keep;
        }
    }
    free(u);
    rig_close(&r);
}

static void two_that_save_the_same_keep_one(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    warm_path p, q;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    warm_cache_lookup(r.cache, s, u, 64, &q);
    warm_save a, b;
    assert_int_equal(rig_save_begin(&r, &p, 40, 64, &a), 0);
    assert_int_equal(rig_save_begin(&r, &q, 40, 64, &b), 0);
    rig_state(1, u, 0, 40, a.data);
    rig_state(1, u, 0, 40, b.data);
    warm_piece_view va, vb;
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &a, u, &va), 0);
    assert_int_equal(warm_cache_save_commit(r.cache, &q, &b, u, &vb), 0);
    assert_ptr_equal(va.piece, vb.piece);
    assert_null(a.data);
    assert_int_equal(q.n_units, 40);
    warm_piece_unref(r.cache, va.piece);
    warm_piece_unref(r.cache, vb.piece);
    warm_cache_stats st = stats(&r);
    assert_int_equal(st.n_pieces, 1);
    assert_int_equal(st.n_saved, 1);
    warm_path_release(r.cache, &p);
    warm_path_release(r.cache, &q);
    free(u);
    rig_close(&r);
}

static void a_longer_piece_replaces_what_another_saved_meanwhile(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    warm_path p;
    warm_save a;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    assert_int_equal(rig_save_begin(&r, &p, 40, 64, &a), 0);
    rig_state(1, u, 0, 40, a.data);
    rig_put(&r, s, u, 20, 64, 1);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &a, u, NULL), 0);
    assert_int_equal(p.n_units, 40);
    rig_verify(&r, &p, u, 1);
    assert_int_equal(stats(&r).n_blocks, 1);
    assert_int_equal(stats(&r).n_pieces, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_piece_that_no_longer_fits_sends_the_saver_back(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 256);
    warm_path p;
    warm_save a;
    warm_cache_lookup(r.cache, s, u, 200, &p);
    assert_int_equal(rig_save_begin(&r, &p, 200, 128, &a), 0);
    rig_put(&r, s, u, 100, 64, 1); /* another grid */
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &a, u, NULL), WARM_EAGAIN);
    assert_int_equal(p.n_units, 100);
    assert_int_equal(stats(&r).n_pieces, 2);
    assert_int_equal(rig_save(&r, &p, u, 200, 128, 1), 0);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void an_aborted_save_leaves_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 64);
    size_t before = stats(&r).budget_used_bytes;
    warm_path p;
    warm_save a;
    warm_cache_lookup(r.cache, s, u, 64, &p);
    assert_int_equal(rig_save_begin(&r, &p, 64, 64, &a), 0);
    assert_true(stats(&r).budget_used_bytes > before);
    warm_cache_save_abort(r.cache, &a);
    r.store->ops->trim(r.store, 0);
    assert_int_equal(stats(&r).budget_used_bytes, before);
    assert_int_equal(warm_cache_match(r.cache, s, u, 64), 0);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void a_path_moves_to_a_sibling_that_agrees_for_longer(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 600), *b = rig_units(1, 600);
    for (size_t i = 80; i < 600; i++) b[i] += 7000;
    rig_put(&r, s, a, 600, 16, 1);
    warm_path p;
    assert_int_equal(warm_cache_lookup(r.cache, s, b, 600, &p), 80);
    rig_put(&r, s, b, 550, 16, 1);
    assert_int_equal(warm_cache_advance(r.cache, &p, b, 600), 550);
    rig_verify(&r, &p, b, 1);
    warm_path_release(r.cache, &p);
    free(a);
    free(b);
    rig_close(&r);
}

static void scopes_share_nothing(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s[20];
    char name[32];
    warm_unit *u = rig_units(1, 300);
    for (size_t i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "m%zu", i);
        s[i] = rig_scope(&r, name);
    }
    for (size_t i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "m%zu", i);
        assert_ptr_equal(s[i], rig_scope(&r, name));
        assert_int_equal(rig_put(&r, s[i], u, 10 + i, 16, i), 0);
    }
    for (size_t i = 0; i < 20; i++) assert_int_equal(matched(&r, s[i], u, 300, i), 10 + i);
    stats(&r);
    free(u);
    rig_close(&r);
}

static void lookups_are_counted(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 100);
    rig_put(&r, s, u, 60, 16, 1);
    assert_int_equal(matched(&r, s, u, 100, 1), 60);
    warm_cache_stats st = stats(&r);
    assert_int_equal(st.n_lookups, 2);
    assert_int_equal(st.n_units_asked, 160);
    assert_int_equal(st.n_units_matched, 60);
    free(u);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_tree_matches_nothing),
        cmocka_unit_test(a_saved_prompt_is_found_to_the_unit),
        cmocka_unit_test(saving_again_saves_nothing),
        cmocka_unit_test(a_tail_grows_in_place_and_replaces_its_short_piece),
        cmocka_unit_test(a_replaced_piece_stays_with_whoever_holds_it),
        cmocka_unit_test(a_fork_shares_whole_pieces_and_keeps_both_branches),
        cmocka_unit_test(a_fork_in_the_first_piece_keeps_the_grid),
        cmocka_unit_test(siblings_that_share_their_beginning_are_all_found),
        cmocka_unit_test(two_that_save_the_same_keep_one),
        cmocka_unit_test(a_longer_piece_replaces_what_another_saved_meanwhile),
        cmocka_unit_test(a_piece_that_no_longer_fits_sends_the_saver_back),
        cmocka_unit_test(an_aborted_save_leaves_nothing),
        cmocka_unit_test(a_path_moves_to_a_sibling_that_agrees_for_longer),
        cmocka_unit_test(scopes_share_nothing),
        cmocka_unit_test(lookups_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
