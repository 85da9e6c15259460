/* SPDX-License-Identifier: MIT
 *
 * The index of the disk tier beside a plain list: what is found, what follows what, and who goes next. */
#include "disk_rig.h"

enum { N = 300, STEPS = 20000 };

struct known {
    warm_disk_head head;
    warm_disk_entry *e;
    double rank;
};

/* A node of a tree of paths: the parent of i is i / 3. */
static void key_of(uint64_t i, uint8_t out[WARM_DISK_KEY_BYTES]) {
    memset(out, 0, WARM_DISK_KEY_BYTES);
    warm_rng r = {i + 1};
    for (size_t k = 0; k < WARM_DISK_KEY_BYTES; k += 8) {
        uint64_t x = warm_rng_next(&r);
        memcpy(out + k, &x, 8);
    }
}

static void head_of(uint64_t i, warm_disk_head *h) {
    *h = (warm_disk_head){.kind = i % 7 == 6 ? WARM_DISK_ROWS : WARM_DISK_CELLS, .n_units = 1 + i};
    /* Rows are of the block before them. */
    key_of(h->kind == WARM_DISK_ROWS ? i - 1 : i, h->key);
    key_of((h->kind == WARM_DISK_ROWS ? i - 1 : i) / 3 + (i < 3 ? 100000 : 0), h->parent);
}

static bool is_needed(const struct known *all, uint64_t i) {
    if (all[i].head.kind != WARM_DISK_CELLS) return false;
    for (uint64_t k = 0; k < N; k++) {
        if (!all[k].e || all[k].e->state == WARM_DISK_BAD || all[k].e->state == WARM_DISK_NEWER) continue;
        if (memcmp(all[k].head.parent, all[i].head.key, WARM_DISK_KEY_BYTES) == 0) return true;
        if (all[k].head.kind == WARM_DISK_ROWS && memcmp(all[k].head.key, all[i].head.key, WARM_DISK_KEY_BYTES) == 0) return true;
    }
    return false;
}

/* Damaged ones go before all others. */
static void check_victim(const warm_disk_index *x, const struct known *all) {
    const warm_disk_entry *got = warm__index_victim(x);
    double least = 1e300;
    bool any = false;
    for (uint64_t i = 0; i < N; i++) {
        const warm_disk_entry *e = all[i].e;
        if (!e || e->pins || e->state == WARM_DISK_WRITING || e->state == WARM_DISK_NEWER) continue;
        if (e->state != WARM_DISK_BAD && is_needed(all, i)) continue;
        any = true;
        if (e->rank < least) least = e->rank;
    }
    assert_true(any == (got != NULL));
    if (got) assert_true(got->rank == least);
}

static void check_children(const warm_disk_index *x, const struct known *all, uint64_t i) {
    size_t want = 0, got = 0;
    for (uint64_t k = 0; k < N; k++) {
        bool linked = all[k].e && (all[k].e->state == WARM_DISK_LIVE || all[k].e->state == WARM_DISK_WRITING);
        want += linked && memcmp(all[k].head.parent, all[i].head.key, WARM_DISK_KEY_BYTES) == 0;
    }
    for (const warm_disk_entry *e = warm__index_children(x, all[i].head.key); e; e = warm__index_sibling(x, e)) got++;
    assert_int_equal(got, want);
}

static void step(warm_disk_index *x, struct known *all, warm_rng *r) {
    uint64_t i = warm_rng_below(r, N);
    struct known *k = &all[i];
    enum warm_disk_state state = warm_rng_below(r, 4) ? WARM_DISK_LIVE : warm_rng_below(r, 2) ? WARM_DISK_WRITING : WARM_DISK_NEWER;
    if (!k->e) {
        k->rank = (double)warm_rng_below(r, 1000);
        assert_int_equal(warm__index_add(x, &k->head, state, 4096, k->rank, &k->e), 0);
        return;
    }
    switch (warm_rng_below(r, 5)) {
    case 0:
        if (k->e->pins) return;
        warm__index_remove(x, k->e);
        k->e = NULL;
        return;
    case 1:
        warm__index_rank(x, k->e, (double)warm_rng_below(r, 1000));
        return;
    case 2:
        warm__index_pin(x, k->e);
        return;
    case 3:
        if (k->e->pins) warm__index_unpin(x, k->e);
        return;
    default:
        if (k->e->state == WARM_DISK_WRITING)
            warm__index_set_state(x, k->e, WARM_DISK_LIVE);
        else if (k->e->state == WARM_DISK_LIVE && warm_rng_below(r, 8) == 0)
            warm__index_set_state(x, k->e, WARM_DISK_BAD);
    }
}

static void it_holds_what_a_list_holds(void **state) {
    (void)state;
    warm_budget budget;
    warm_disk_index x;
    warm_rng r = {7};
    struct known *all = warm_xcalloc(N, sizeof *all);
    warm_budget_init(&budget, 1u << 20);
    warm__index_init(&x, &budget);
    for (uint64_t i = 0; i < N; i++) head_of(i, &all[i].head);
    for (int n = 0; n < STEPS; n++) {
        step(&x, all, &r);
        uint64_t i = warm_rng_below(&r, N);
        const warm_disk_entry *live = warm__index_find(&x, all[i].head.kind, all[i].head.key),
                              *bad = warm__index_find_bad(&x, all[i].head.kind, all[i].head.key);
        bool is_bad = all[i].e && all[i].e->state == WARM_DISK_BAD;
        assert_ptr_equal(live, is_bad ? NULL : all[i].e);
        assert_ptr_equal(bad, is_bad ? all[i].e : NULL);
        if (n % 50) continue;
        warm__index_check(&x);
        check_victim(&x, all);
        check_children(&x, all, i);
        assert_int_equal(budget.used_bytes, x.held_bytes);
    }
    warm__index_deinit(&x);
    assert_int_equal(budget.used_bytes, 0);
    free(all);
}

/* With any budget, and with any allocation failing: what does not fit changes nothing, and is added when there is room. */
static void what_does_not_fit_changes_nothing(void **state) {
    (void)state;
    warm_disk_head h;
    warm_disk_entry *e;
    for (size_t limit = 0; limit < 300000; limit += 7001) {
        warm_budget budget;
        warm_disk_index x;
        size_t n = 0, n_refused = 0;
        warm_budget_init(&budget, limit);
        warm__index_init(&x, &budget);
        for (uint64_t i = 0; i < 1000; i++) {
            head_of(i * 7, &h);
            if (i % 100 == 50) warm_alloc_fail_at(1);
            int rc = warm__index_add(&x, &h, WARM_DISK_LIVE, 4096, 1, &e);
            warm_alloc_fail_at(0);
            assert_true(rc == 0 || rc == WARM_EFULL || rc == WARM_ENOMEM);
            n += rc == 0;
            n_refused += rc != 0;
            assert_int_equal(x.n_entries, n);
            assert_int_equal(warm__index_find(&x, h.kind, h.key) != NULL, rc == 0);
        }
        warm__index_check(&x);
        assert_true(limit < 200000 || n > 500);
        assert_true(limit > 60000 || n_refused > 500);
        warm__index_deinit(&x);
        assert_int_equal(budget.used_bytes, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_what_a_list_holds),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
