/* SPDX-License-Identifier: MIT
 *
 * Room: who goes, who stays, what is left when something is found damaged. */
#include "cache_rig.h"

#define AMPLE (64u << 20)

static bool has(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    size_t k = warm_cache_match(r->cache, s, u, n);
    free(u);
    return k == n;
}

static void put(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    rig_put(r, s, u, n, 256, 1);
    free(u);
}

static void use(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    warm_path p;
    warm_cache_lookup(r->cache, s, u, n, &p);
    warm_path_release(r->cache, &p);
    free(u);
}

/* A cache that holds `n` prompts of one full block, tags 1..n, and has no room for one more. */
static warm_scope *full_of(rig *r, uint32_t n) {
    rig_open(r, AMPLE, 0);
    warm_scope *s = rig_scope(r, "a");
    for (uint32_t tag = 1; tag <= n; tag++) put(r, s, tag, 256);
    assert_int_equal(warm_cache_set_budget(r->cache, r->budget.used_bytes), 0);
    return s;
}

static void the_least_recently_used_goes_first(void **state) {
    (void)state;
    rig r;
    warm_scope *s = full_of(&r, 8);
    use(&r, s, 1, 256);
    use(&r, s, 3, 256);
    put(&r, s, 11, 256);
    assert_false(has(&r, s, 2, 256));
    put(&r, s, 12, 256);
    assert_false(has(&r, s, 4, 256));
    for (uint32_t tag = 5; tag <= 8; tag++) put(&r, s, tag + 8, 256);
    for (uint32_t tag = 5; tag <= 8; tag++) assert_false(has(&r, s, tag, 256));
    assert_true(has(&r, s, 1, 256) && has(&r, s, 3, 256));
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_evicted, 6);
    assert_true(st.evicted_bytes >= 6 * 256 * (RIG_STATE + sizeof(warm_unit)));
    assert_true(st.budget_peak_bytes >= st.budget_used_bytes);
    rig_close(&r);
}

static void asking_does_not_use(void **state) {
    (void)state;
    rig r;
    warm_scope *s = full_of(&r, 8);
    assert_true(has(&r, s, 1, 256));
    put(&r, s, 11, 256);
    assert_false(has(&r, s, 1, 256));
    rig_close(&r);
}

static void leaves_go_before_what_they_stand_on(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 2000);
    warm_unit *u = rig_units(1, 2000);
    for (size_t left = 2000; left > 0;) {
        assert_int_equal(warm_cache_set_budget(r.cache, r.budget.used_bytes - 1), 0);
        rig_check(&r);
        size_t k = warm_cache_match(r.cache, s, u, 2000);
        assert_int_equal(k, (left - 1) / 256 * 256); /* exactly the last block went */
        left = k;
    }
    free(u);
    rig_close(&r);
}

static void a_shared_trunk_outlives_an_old_branch(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 512), *b = rig_units(1, 512);
    for (size_t i = 256; i < 512; i++) b[i] += 7000;
    rig_put(&r, s, a, 512, 256, 1);
    put(&r, s, 2, 256);
    rig_put(&r, s, b, 512, 256, 1); /* uses the trunk again, not a's branch */
    assert_int_equal(warm_cache_set_budget(r.cache, r.budget.used_bytes - 1), 0);
    assert_int_equal(warm_cache_match(r.cache, s, a, 512), 256);
    assert_int_equal(warm_cache_set_budget(r.cache, r.budget.used_bytes - 1), 0);
    assert_false(has(&r, s, 2, 256));
    assert_int_equal(warm_cache_match(r.cache, s, b, 512), 512);
    free(a);
    free(b);
    rig_close(&r);
}

/* A trunk and its branch (tag 1, two blocks) first, then tags 2 to 9. */
static warm_scope *trunk_and_others(rig *r) {
    rig_open(r, AMPLE, 0);
    warm_scope *s = rig_scope(r, "a");
    put(r, s, 1, 512);
    for (uint32_t tag = 2; tag <= 9; tag++) put(r, s, tag, 256);
    return s;
}

static void evict_once(rig *r) {
    size_t before = rig_check(r).n_blocks;
    assert_int_equal(warm_cache_set_budget(r->cache, r->budget.used_bytes - 1), 0);
    assert_int_equal(rig_check(r).n_blocks, before - 1);
}

static void an_old_trunk_follows_its_last_branch(void **state) {
    (void)state;
    rig r;
    warm_scope *s = trunk_and_others(&r);
    evict_once(&r);
    assert_false(has(&r, s, 1, 512));
    assert_true(has(&r, s, 1, 256));
    evict_once(&r);
    assert_false(has(&r, s, 1, 256));
    assert_true(has(&r, s, 2, 256));
    rig_close(&r);
}

static void a_trunk_used_alone_is_not_as_old_as_its_branch(void **state) {
    (void)state;
    rig r;
    warm_scope *s = trunk_and_others(&r);
    use(&r, s, 1, 256);
    use(&r, s, 2, 256);
    evict_once(&r);
    assert_false(has(&r, s, 1, 512));
    for (uint32_t tag = 3; tag <= 9; tag++) {
        evict_once(&r);
        assert_false(has(&r, s, tag, 256));
        assert_true(has(&r, s, 1, 256));
    }
    evict_once(&r);
    assert_false(has(&r, s, 1, 256));
    assert_true(has(&r, s, 2, 256));
    rig_close(&r);
}

static void a_trunk_is_as_recent_as_the_branch_it_lost(void **state) {
    (void)state;
    rig r;
    warm_scope *s = trunk_and_others(&r);
    warm_unit *u = rig_units(1, 512);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 512, &p);
    warm_cache_quarantine(r.cache, &p, 300);
    warm_path_release(r.cache, &p);
    for (uint32_t tag = 2; tag <= 9; tag++) {
        evict_once(&r);
        assert_false(has(&r, s, tag, 256));
        assert_true(has(&r, s, 1, 256));
    }
    free(u);
    rig_close(&r);
}

/* A leaf far from its place gets there in several goes; nothing that is younger is taken for it. */
static void a_long_way_to_its_place_ends_in_its_place(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    put(&r, s, 1, 512);
    for (uint32_t tag = 2; tag <= 300; tag++) put(&r, s, tag, 256);
    use(&r, s, 1, 256);
    put(&r, s, 301, 256);
    evict_once(&r);
    assert_true(has(&r, s, 1, 256) && !has(&r, s, 1, 512));
    for (uint32_t tag = 2; tag <= 300; tag++) {
        evict_once(&r);
        assert_false(has(&r, s, tag, 256));
    }
    assert_true(has(&r, s, 1, 256) && has(&r, s, 301, 256));
    evict_once(&r);
    assert_true(has(&r, s, 301, 256));
    rig_close(&r);
}

static void what_is_pinned_stays(void **state) {
    (void)state;
    rig r;
    warm_scope *s = full_of(&r, 8);
    warm_unit *u = rig_units(1, 256);
    warm_path p, q;
    warm_cache_lookup(r.cache, s, u, 256, &p);
    warm_path_clone(r.cache, &p, &q);
    warm_path_release(r.cache, &p);
    assert_null(p.block_);
    warm_path_release(r.cache, &p); /* of a zero path */
    for (uint32_t tag = 11; tag < 40; tag++) put(&r, s, tag, 256);
    assert_true(has(&r, s, 1, 256));
    rig_verify(&r, &q, u, 1);
    warm_path_release(r.cache, &q);
    for (uint32_t tag = 41; tag < 60; tag++) put(&r, s, tag, 256);
    assert_false(has(&r, s, 1, 256));
    free(u);
    rig_close(&r);
}

static void a_prompt_larger_than_the_budget_is_saved_as_far_as_it_goes(void **state) {
    (void)state;
    rig r;
    warm_scope *s = full_of(&r, 8);
    size_t n = 256 * 30;
    warm_unit *u = rig_units(99, n);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, n, &p);
    assert_int_equal(rig_save(&r, &p, u, n, 256, 1), WARM_EFULL);
    assert_true(p.n_units >= 256 * 6 && p.n_units < n);
    assert_true(rig_check(&r).n_refused > 0);
    for (uint32_t tag = 1; tag <= 8; tag++) assert_false(has(&r, s, tag, 256));
    rig_verify(&r, &p, u, 1);
    /* refused again and again without harm, and room is there once the path is released */
    size_t kept = p.n_units;
    for (int i = 0; i < 5; i++) assert_int_equal(rig_save_one(&r, &p, u, n, 256, 1), WARM_EFULL);
    assert_int_equal(p.n_units, kept);
    warm_path_release(r.cache, &p);
    put(&r, s, 1, 256);
    assert_true(has(&r, s, 1, 256));
    rig_check(&r);
    free(u);
    rig_close(&r);
}

static void a_request_beyond_the_limit_evicts_nothing(void **state) {
    (void)state;
    rig r;
    warm_scope *s = full_of(&r, 8);
    warm_unit *u = rig_units(99, 16);
    warm_path p;
    warm_save save;
    warm_cache_lookup(r.cache, s, u, 16, &p);
    assert_int_equal(warm_cache_save_begin(r.cache, &p, 0, 16, 16, r.budget.limit_bytes + 1, 0, &save), WARM_EFULL);
    for (uint32_t tag = 1; tag <= 8; tag++) assert_true(has(&r, s, tag, 256));
    assert_int_equal(rig_check(&r).n_refused, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void the_index_gets_room_from_the_stores_free_pages(void **state) {
    (void)state;
    rig r;
    rig_open_ram(&r, 1u << 20);
    warm_scope *s = rig_scope(&r, "a");
    /* big pieces first; what they leave free must not keep the nodes of many small ones out */
    warm_unit *u = rig_units(1, 16);
    warm_path p;
    warm_save save;
    warm_cache_lookup(r.cache, s, u, 16, &p);
    assert_int_equal(warm_cache_save_begin(r.cache, &p, 0, 16, 16, 1000 * 1000, 0, &save), 0);
    memset(save.data, 1, save.bytes);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &save, u, NULL), 0);
    warm_path_release(r.cache, &p);
    for (uint32_t tag = 2; tag < 120; tag++) {
        put(&r, s, tag, 200);
        rig_check(&r);
    }
    for (uint32_t tag = 2; tag < 120; tag++) assert_true(has(&r, s, tag, 200));
    assert_false(has(&r, s, 1, 16));
    assert_int_equal(rig_check(&r).n_evicted, 1);
    free(u);
    rig_close(&r);
}

static void a_lower_limit_is_kept_as_soon_as_pins_allow(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t tag = 1; tag <= 20; tag++) put(&r, s, tag, 512);
    warm_unit *u = rig_units(5, 512);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 512, &p);
    assert_int_equal(warm_cache_set_budget(r.cache, 2048), WARM_EAGAIN);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_blocks, 2);
    assert_int_equal(st.budget_limit_bytes, st.budget_used_bytes);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    assert_int_equal(warm_cache_set_budget(r.cache, 2048), 0);
    st = rig_check(&r);
    assert_int_equal(st.n_blocks, 0);
    assert_int_equal(st.budget_limit_bytes, 2048);
    assert_int_equal(warm_cache_set_budget(r.cache, AMPLE), 0);
    put(&r, s, 1, 512);
    assert_true(has(&r, s, 1, 512));
    free(u);
    rig_close(&r);
}

static void clearing_leaves_what_is_pinned(void **state) {
    (void)state;
    rig r;
    rig_open_ram(&r, AMPLE);
    warm_scope *s = rig_scope(&r, "a");
    size_t empty = r.budget.used_bytes;
    for (uint32_t tag = 1; tag <= 20; tag++) put(&r, s, tag, 600);
    warm_unit *u = rig_units(5, 300);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 300, &p);
    warm_cache_clear(r.cache);
    assert_int_equal(rig_check(&r).n_blocks, 2); /* [0, 256) and the pinned [256, 512) */
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    warm_cache_clear(r.cache);
    assert_int_equal(rig_check(&r).n_blocks, 0);
    assert_int_equal(r.budget.used_bytes, empty);
    free(u);
    rig_close(&r);
}

static void a_damaged_block_goes_with_all_that_follows_it(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 1500), *b = rig_units(1, 1500);
    for (size_t i = 900; i < 1500; i++) b[i] += 7000;
    rig_put(&r, s, a, 1500, 64, 1);
    rig_put(&r, s, b, 1500, 64, 1);
    warm_path p;
    warm_cache_lookup(r.cache, s, a, 1500, &p);
    warm_cache_quarantine(r.cache, &p, 300); /* in [256, 512): both branches stand on it */
    assert_int_equal(warm_cache_match(r.cache, s, a, 1500), 256);
    assert_int_equal(warm_cache_match(r.cache, s, b, 1500), 256);
    warm_cache_stats st = rig_check(&r);
    assert_int_equal(st.n_blocks, 1);
    assert_int_equal(st.n_damaged, 1);
    assert_int_equal(st.n_pieces, 24); /* a's 1500 units: the path stays whole until released; b's branch is gone */
    rig_verify(&r, &p, a, 1);
    warm_cache_quarantine(r.cache, &p, 300); /* a second find of the same changes nothing */
    assert_int_equal(rig_check(&r).n_damaged, 1);
    warm_cache_quarantine(r.cache, &p, 10); /* above what is unlinked already */
    assert_int_equal(rig_check(&r).n_blocks, 0);
    rig_verify(&r, &p, a, 1);
    warm_path_release(r.cache, &p);
    assert_int_equal(rig_check(&r).n_pieces, 0);
    free(a);
    free(b);
    rig_close(&r);
}

static void the_trunk_below_an_unlinked_path_is_not_evicted(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 1000);
    rig_put(&r, s, u, 1000, 256, 1);
    warm_path p;
    warm_cache_lookup(r.cache, s, u, 1000, &p);
    warm_cache_quarantine(r.cache, &p, 600);
    warm_cache_clear(r.cache);
    rig_check(&r);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    warm_cache_clear(r.cache);
    assert_int_equal(rig_check(&r).n_blocks, 0);
    free(u);
    rig_close(&r);
}

static void a_sibling_that_shares_pieces_survives_a_quarantine(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *a = rig_units(1, 200), *b = rig_units(1, 200);
    for (size_t i = 100; i < 200; i++) b[i] += 7000;
    rig_put(&r, s, a, 200, 16, 1);
    rig_put(&r, s, b, 200, 16, 1);
    warm_path p;
    warm_cache_lookup(r.cache, s, a, 200, &p);
    warm_cache_quarantine(r.cache, &p, 150);
    warm_path_release(r.cache, &p);
    rig_check(&r);
    assert_int_equal(warm_cache_match(r.cache, s, a, 200), 100);
    assert_int_equal(warm_cache_lookup(r.cache, s, b, 200, &p), 200);
    rig_verify(&r, &p, b, 1);
    warm_path_release(r.cache, &p);
    free(a);
    free(b);
    rig_close(&r);
}

static void a_path_that_was_unlinked_falls_back_and_is_saved_again(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    warm_unit *u = rig_units(1, 1000);
    warm_path p;
    warm_save save;
    warm_cache_lookup(r.cache, s, u, 1000, &p);
    assert_int_equal(rig_save(&r, &p, u, 900, 64, 1), 0);
    assert_int_equal(rig_save_begin(&r, &p, 1000, 64, &save), 0);
    rig_state(1, u, save.start, save.count, save.data);
    warm_cache_quarantine(r.cache, &p, 700);
    assert_int_equal(warm_cache_save_commit(r.cache, &p, &save, u, NULL), WARM_EAGAIN); /* there would be a hole before it */
    assert_int_equal(p.n_units, 512);
    assert_int_equal(rig_save(&r, &p, u, 1000, 64, 1), 0);
    assert_int_equal(warm_cache_match(r.cache, s, u, 1000), 1000);
    rig_verify(&r, &p, u, 1);

    warm_cache_quarantine(r.cache, &p, 0);
    assert_int_equal(warm_cache_advance(r.cache, &p, u, 1000), 0);
    assert_int_equal(rig_check(&r).n_pieces, 0);
    assert_int_equal(rig_save(&r, &p, u, 1000, 64, 1), 0);
    rig_verify(&r, &p, u, 1);
    warm_path_release(r.cache, &p);
    free(u);
    rig_close(&r);
}

static void many_siblings_come_and_go(void **state) {
    (void)state;
    rig r;
    rig_open(&r, AMPLE, 0);
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t tag = 1; tag <= 600; tag++) put(&r, s, tag * 7919u % 1009u, 20);
    size_t full = rig_check(&r).index_bytes;
    for (uint32_t tag = 1; tag <= 600; tag++) assert_true(has(&r, s, tag * 7919u % 1009u, 20));
    warm_cache_clear(r.cache);
    assert_int_equal(rig_check(&r).n_blocks, 0);
    put(&r, s, 1, 20);
    assert_true(rig_check(&r).index_bytes < full / 100); /* the array of children went, too */
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(asking_does_not_use),
        cmocka_unit_test(leaves_go_before_what_they_stand_on),
        cmocka_unit_test(a_shared_trunk_outlives_an_old_branch),
        cmocka_unit_test(an_old_trunk_follows_its_last_branch),
        cmocka_unit_test(a_trunk_used_alone_is_not_as_old_as_its_branch),
        cmocka_unit_test(a_trunk_is_as_recent_as_the_branch_it_lost),
        cmocka_unit_test(a_long_way_to_its_place_ends_in_its_place),
        cmocka_unit_test(what_is_pinned_stays),
        cmocka_unit_test(a_prompt_larger_than_the_budget_is_saved_as_far_as_it_goes),
        cmocka_unit_test(a_request_beyond_the_limit_evicts_nothing),
        cmocka_unit_test(the_index_gets_room_from_the_stores_free_pages),
        cmocka_unit_test(a_lower_limit_is_kept_as_soon_as_pins_allow),
        cmocka_unit_test(clearing_leaves_what_is_pinned),
        cmocka_unit_test(a_damaged_block_goes_with_all_that_follows_it),
        cmocka_unit_test(the_trunk_below_an_unlinked_path_is_not_evicted),
        cmocka_unit_test(a_sibling_that_shares_pieces_survives_a_quarantine),
        cmocka_unit_test(a_path_that_was_unlinked_falls_back_and_is_saved_again),
        cmocka_unit_test(many_siblings_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
