/* SPDX-License-Identifier: MIT
 *
 * Policies: what is learned about who comes back, what it is good for, and when it is not followed. */
#include <math.h>

#include "cache_rig.h"

#include "cache/odds.h"
#include "cache/shadow.h"

/* ---- names ---- */

static void policies_have_names(void **state) {
    (void)state;
    const char *const *names = warm_policy_names();
    assert_string_equal(names[0], "value");
    for (; *names; names++) assert_non_null(warm_policy_by_name(*names));
    assert_null(warm_policy_by_name("best"));
    assert_null(warm_policy_by_name(""));
}

/* ---- odds ---- */

static void ages_fall_into_bins_in_order(void **state) {
    (void)state;
    uint32_t last = 0;
    for (uint32_t age = 0; age < 2000000; age += 1 + age / 50) {
        uint32_t bin = warm__odds_bin(age);
        assert_true(bin < WARM__ODDS_BINS && (bin == last || bin == last + 1));
        last = bin;
    }
    assert_int_equal(warm__odds_bin(UINT32_MAX), WARM__ODDS_BINS - 1);
}

/* n blocks of a class that are asked for when they are that old, of which only `came` live so long. */
static void observe(warm__odds *o, uint32_t class_, uint32_t age, int n, int came) {
    for (int i = 0; i < came; i++) warm__odds_came(o, class_, 0, warm__odds_bin(age));
    for (int i = 0; i < n; i++) warm__odds_asked(o, class_, warm__odds_bin(age));
}

static void settle(warm__odds *o) {
    for (int i = 0; i < WARM__ODDS_CLASSES; i++) warm__odds_tick(o, 1);
}

static void in_rotation_the_latest_goes_first_and_what_missed_its_turn_before(void **state) {
    (void)state;
    warm__odds *o = malloc(sizeof *o);
    warm__odds_init(o);
    uint32_t k = warm__odds_class(3.5f, 2, 0);
    for (int i = 0; i < 20; i++) observe(o, k, 12, 100, 100), settle(o);
    assert_true(warm__odds_index(o, k, 1) < warm__odds_index(o, k, 6));
    assert_true(warm__odds_index(o, k, 6) < warm__odds_index(o, k, 11));
    assert_true(warm__odds_index(o, k, 20) < warm__odds_index(o, k, 1));
    free(o);
}

static void where_the_chance_falls_with_age_the_oldest_goes_first(void **state) {
    (void)state;
    warm__odds *o = malloc(sizeof *o);
    warm__odds_init(o);
    uint32_t k = warm__odds_class(1, 2, 0);
    static const uint32_t ages[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256};
    for (int i = 0; i < 20; i++) {
        for (size_t j = 0; j < sizeof ages / sizeof *ages; j++) observe(o, k, ages[j], 20, 20);
        observe(o, k, 1000, 0, 300);
        settle(o);
    }
    for (uint32_t age = 4; age < 100; age *= 2) assert_true(warm__odds_index(o, k, age) > warm__odds_index(o, k, age * 2));
    free(o);
}

static void a_class_that_was_hardly_seen_is_judged_like_the_others(void **state) {
    (void)state;
    warm__odds *o = malloc(sizeof *o);
    warm__odds_init(o);
    uint32_t often = warm__odds_class(3, 2, 1), seldom = warm__odds_class(3, 0, 2), rare = warm__odds_class(6, 2, 1);
    for (int i = 0; i < 10; i++) {
        observe(o, often, 4, 90, 100);
        observe(o, seldom, 4, 1, 100);
        settle(o);
    }
    assert_true(warm__odds_index(o, often, 2) > 5 * warm__odds_index(o, seldom, 2));
    assert_true(warm__odds_index(o, rare, 2) > 5 * warm__odds_index(o, seldom, 2)); /* same kind and use as the first */
    free(o);
}

/* ---- shadow ---- */

typedef struct shade {
    warm__shadow *s;
    uint32_t n;
} shade;

static shade shade_new(uint32_t n) {
    return (shade){warm__shadow_init(malloc(warm__shadow_bytes(n)), n, 0), n};
}

/* Prompt `tag` of n blocks. */
static bool ask(shade *x, uint32_t tag, size_t n, size_t capacity) {
    uint32_t *keys = warm__shadow_keys(x->s);
    for (size_t i = 0; i < n; i++) keys[i] = tag * 1000 + (uint32_t)i;
    return warm__shadow_ask(x->s, n, capacity);
}

static void scores_are_trusted_in_rotation(void **state) {
    (void)state;
    shade x = shade_new(1024);
    for (uint32_t i = 0; i < 600; i++) ask(&x, 1 + i % 20, 10, 120);
    assert_true(warm__shadow_trusts_scores(x.s));
    uint32_t latest = warm__shadow_child(x.s, 0, 20 * 1000), next = warm__shadow_child(x.s, 0, 1 * 1000);
    assert_true(latest && next);
    assert_true(warm__shadow_score(x.s, latest) < warm__shadow_score(x.s, next));
    free(x.s);
}

static void scores_are_not_trusted_where_everything_fits(void **state) {
    (void)state;
    shade x = shade_new(1024);
    for (uint32_t i = 0; i < 600; i++) ask(&x, 1 + i % 20, 10, 200);
    assert_false(warm__shadow_trusts_scores(x.s));
    free(x.s);
}

static void trust_is_lost_when_the_load_changes(void **state) {
    (void)state;
    shade x = shade_new(4096);
    for (uint32_t i = 0; i < 600; i++) ask(&x, 1 + i % 20, 10, 120);
    assert_true(warm__shadow_trusts_scores(x.s));
    /* new prompts, each asked for again soon and then never: the oldest is the one that is not needed */
    for (uint32_t i = 0; i < 4000; i++) ask(&x, 100 + i - (i % 2 ? 19 : 0), 10, 120 + (i & 1));
    bool trusts = warm__shadow_trusts_scores(x.s);
    double latest = warm__shadow_score(x.s, warm__shadow_on_path(x.s, 0));
    uint32_t dead = warm__shadow_child(x.s, 0, (100 + 3900) * 1000);
    assert_true(dead && (!trusts || warm__shadow_score(x.s, dead) < latest));
    free(x.s);
}

static void the_same_prompt_planned_again_is_no_use_of_it(void **state) {
    (void)state;
    shade x = shade_new(64);
    assert_true(ask(&x, 1, 4, 100));
    assert_true(ask(&x, 2, 4, 100));
    assert_false(ask(&x, 1, 4, 100));
    assert_true(ask(&x, 1, 5, 100));
    free(x.s);
}

static void the_coldest_entries_make_place_for_new_ones(void **state) {
    (void)state;
    shade x = shade_new(64);
    for (uint32_t tag = 1; tag <= 50; tag++) ask(&x, tag, 10, 30);
    assert_true(warm__shadow_full(x.s));
    assert_int_equal(warm__shadow_child(x.s, 0, 1 * 1000), 0);
    assert_true(warm__shadow_child(x.s, 0, 50 * 1000) != 0);
    ask(&x, 77, 60, 30); /* longer than all others together, and it fits in no cache */
    uint32_t at = 0;
    for (uint32_t i = 0; i < 60; i++) assert_true((at = warm__shadow_child(x.s, at, 77 * 1000 + i)) != 0);
    free(x.s);
}

static void a_shadow_grows_without_forgetting(void **state) {
    (void)state;
    shade x = shade_new(256);
    for (uint32_t i = 0; i < 400; i++) ask(&x, 1 + i % 12, 20, 100);
    bool trusts = warm__shadow_trusts_scores(x.s);
    uint32_t entry = warm__shadow_child(x.s, 0, 3 * 1000), born = warm__shadow_born(x.s, entry);
    double score = warm__shadow_score(x.s, entry);
    warm__shadow *bigger = warm__shadow_move(x.s, malloc(warm__shadow_bytes(512)), 512);
    free(x.s);
    assert_false(warm__shadow_full(bigger));
    assert_true(warm__shadow_trusts_scores(bigger) == trusts);
    assert_int_equal(warm__shadow_child(bigger, 0, 3 * 1000), entry);
    assert_int_equal(warm__shadow_born(bigger, entry), born);
    assert_true(fabs(warm__shadow_score(bigger, entry) - score) < 1e-12);
    shade y = {bigger, 512};
    for (uint32_t i = 0; i < 400; i++) ask(&y, 1 + i % 14, 20, 100);
    free(bigger);
}

/* ---- the cache ---- */

enum { STATE = 64 << 10 }; /* of a block; nobody writes it, so it costs nothing here */

static void open_with(rig *r, size_t limit, const char *policy) {
    warm_budget_init(&r->budget, limit);
    assert_int_equal(warm_store_fake_open(&r->budget, 0, &r->store, NULL), 0);
    warm_cache_options o = {.store = r->store, .budget = &r->budget, .policy = warm_policy_by_name(policy)};
    r->window = 0;
    assert_int_equal(warm_cache_new(&o, &r->cache, NULL), 0);
}

/* As a server does it: asks, then saves what is missing for as long as there is room. Returns the units that were missing. */
static size_t serve(rig *r, warm_scope *s, uint32_t tag, size_t n) {
    warm_unit *u = rig_units(tag, n);
    warm_path p;
    size_t missing = n - warm_cache_lookup(r->cache, s, u, n, &p), start, count;
    while (warm_cache_next_piece(r->cache, &p, n, 256, &start, &count)) {
        warm_save x;
        if (warm_cache_save_begin(r->cache, &p, start, count, 256, STATE, 0, &x)) break;
        assert_int_equal(warm_cache_save_commit(r->cache, &p, &x, u, NULL), 0);
    }
    warm_path_release(r->cache, &p);
    free(u);
    return missing;
}

static size_t serve_in_rotation(const char *policy, uint32_t n_prompts, uint32_t n_rounds, size_t *index_bytes) {
    rig r;
    size_t missing = 0;
    open_with(&r, 24u << 20, policy);
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t i = 0; i < n_prompts * n_rounds; i++) missing += serve(&r, s, 1 + i % n_prompts, 40 * 256);
    warm_cache_stats st = rig_check(&r);
    assert_true(st.budget_peak_bytes <= 24u << 20);
    *index_bytes = st.index_bytes;
    rig_close(&r);
    return missing;
}

static void value_keeps_a_part_where_lru_keeps_nothing(void **state) {
    (void)state;
    size_t all = 12 * 40 * 40 * 256, plain, learning;
    assert_int_equal(serve_in_rotation("lru", 12, 40, &plain), all); /* 480 blocks in turn, room for about 370 */
    assert_true(serve_in_rotation("value", 12, 40, &learning) < all / 2);
    assert_true(learning > plain && learning - plain <= (24u << 20) / 64);
}

/* A newcomer is measured by what would go now. By what was compared some prompts ago it would be refused, and what has ended would stay. */
static void what_has_ended_makes_place_for_others_in_rotation(void **state) {
    (void)state;
    rig r;
    open_with(&r, 24u << 20, "value");
    warm_scope *s = rig_scope(&r, "a");
    size_t missing = 0;
    for (uint32_t round = 0; round < 120; round++) {
        /* four of the twelve begin anew every ten rounds */
        for (uint32_t i = 0; i < 12; i++) {
            size_t n = serve(&r, s, 1 + i + (round + i % 3 * 10) / 30 * 100, 40 * 256);
            if (round >= 60) missing += n;
        }
    }
    assert_true(missing < (size_t)60 * 12 * 40 * 256 / 2);
    rig_check(&r);
    rig_close(&r);
}

static void value_is_lru_where_there_is_no_memory_to_learn(void **state) {
    (void)state;
    rig r;
    open_with(&r, 4u << 20, "value");
    warm_scope *s = rig_scope(&r, "a");
    size_t missing = 0;
    for (uint32_t i = 0; i < 12 * 20; i++) missing += serve(&r, s, 1 + i % 12, 6 * 256);
    assert_int_equal(missing, 12 * 20 * 6 * 256);
    rig_close(&r);
}

static void a_smaller_budget_takes_the_memory_of_learning_back(void **state) {
    (void)state;
    rig r;
    open_with(&r, 24u << 20, "value");
    warm_scope *s = rig_scope(&r, "a");
    for (uint32_t i = 0; i < 200; i++) serve(&r, s, 1 + i % 12, 40 * 256);
    assert_int_equal(warm_cache_set_budget(r.cache, 4u << 20), 0);
    assert_true(rig_check(&r).index_bytes < 200 << 10);
    for (uint32_t i = 0; i < 50; i++) serve(&r, s, 1 + i % 12, 10 * 256);
    rig_check(&r);
    assert_int_equal(warm_cache_set_budget(r.cache, 24u << 20), 0);
    for (uint32_t i = 0; i < 600; i++) serve(&r, s, 1 + i % 12, 40 * 256);
    rig_check(&r);
    warm_cache_clear(r.cache);
    assert_int_equal(rig_check(&r).n_blocks, 0);
    rig_close(&r);
}

static void gdsf_keeps_what_is_used_often_before_what_is_used_late(void **state) {
    (void)state;
    rig r;
    open_with(&r, 8u << 20, "gdsf");
    warm_scope *s = rig_scope(&r, "a");
    for (int i = 0; i < 5; i++) serve(&r, s, 1, 256);
    for (uint32_t tag = 100; tag < 400; tag++) serve(&r, s, tag, 256); /* twice as many as there is room for */
    assert_int_equal(serve(&r, s, 1, 256), 0);
    /* but not for ever */
    for (uint32_t tag = 1000; tag < 4000; tag++) serve(&r, s, tag, 256);
    assert_int_equal(serve(&r, s, 1, 256), 256);
    rig_check(&r);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_have_names),
        cmocka_unit_test(ages_fall_into_bins_in_order),
        cmocka_unit_test(in_rotation_the_latest_goes_first_and_what_missed_its_turn_before),
        cmocka_unit_test(where_the_chance_falls_with_age_the_oldest_goes_first),
        cmocka_unit_test(a_class_that_was_hardly_seen_is_judged_like_the_others),
        cmocka_unit_test(scores_are_trusted_in_rotation),
        cmocka_unit_test(scores_are_not_trusted_where_everything_fits),
        cmocka_unit_test(trust_is_lost_when_the_load_changes),
        cmocka_unit_test(the_same_prompt_planned_again_is_no_use_of_it),
        cmocka_unit_test(the_coldest_entries_make_place_for_new_ones),
        cmocka_unit_test(a_shadow_grows_without_forgetting),
        cmocka_unit_test(value_keeps_a_part_where_lru_keeps_nothing),
        cmocka_unit_test(what_has_ended_makes_place_for_others_in_rotation),
        cmocka_unit_test(value_is_lru_where_there_is_no_memory_to_learn),
        cmocka_unit_test(a_smaller_budget_takes_the_memory_of_learning_back),
        cmocka_unit_test(gdsf_keeps_what_is_used_often_before_what_is_used_late),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
