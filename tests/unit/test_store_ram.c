/* SPDX-License-Identifier: MIT
 *
 * The ram tier: the budget is what it holds, what it holds is what is resident, and what is in an extent stays there; with and
 * without the prefault thread, which TSan watches. */
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#include "base/rng.h"
#include "store/pages.h"
#include "warmslot/store.h"

#define MIB ((size_t)1 << 20)

typedef struct rig {
    warm_budget budget;
    warm_store *store;
} rig;

static void open_rig(rig *g, size_t limit_bytes, size_t prefault_bytes) {
    warm_budget_init(&g->budget, limit_bytes);
    warm_err err = {0};
    assert_int_equal(warm_store_ram_open(&g->budget, prefault_bytes, &g->store, &err), 0);
}

static warm_store_stats stats_of(const rig *g) {
    warm_store_stats st;
    g->store->ops->stats(g->store, &st);
    return st;
}

static void close_rig(rig *g) {
    g->store->ops->close(g->store);
    assert_int_equal(g->budget.used_bytes, 0);
}

static int reserve(rig *g, size_t bytes, warm_extent *x) {
    return g->store->ops->reserve(g->store, bytes, x);
}

static void release(rig *g, warm_extent *x) {
    g->store->ops->release(g->store, x);
}

/* Resident bytes of the mapping that holds p. */
static size_t resident_around(const void *p) {
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    char line[512];
    int inside = 0;
    size_t kib = SIZE_MAX / 1024;
    while (fgets(line, sizeof line, f)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (inside && sscanf(line, "Rss: %zu kB", &kib) == 1) break;
    }
    fclose(f);
    return kib * 1024;
}

static size_t resident_of_process(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    size_t total, resident;
    assert_int_equal(fscanf(f, "%zu %zu", &total, &resident), 2);
    fclose(f);
    return resident * warm__page_bytes();
}

static void fill(const warm_extent *x, uint64_t seed) {
    warm_rng r = {seed};
    size_t i = 0;
    for (; i + 8 <= x->bytes; i += 8) {
        uint64_t v = warm_rng_next(&r);
        memcpy(x->data + i, &v, 8);
    }
    memset(x->data + i, (int)(seed & 0xff), x->bytes - i);
}

static void check_filled(const warm_extent *x, uint64_t seed) {
    warm_rng r = {seed};
    size_t i = 0, wrong = 0;
    for (; i + 8 <= x->bytes; i += 8) {
        uint64_t v = warm_rng_next(&r);
        wrong += memcmp(x->data + i, &v, 8) != 0;
    }
    for (; i < x->bytes; i++) wrong += x->data[i] != (seed & 0xff);
    assert_int_equal(wrong, 0);
}

/* ---- one behaviour each ---- */

static void extents_are_whole_pages(void **state) {
    (void)state;
    size_t page = warm__page_bytes();
    rig g;
    open_rig(&g, 16 * page, 0);
    warm_extent x, y;
    assert_int_equal(reserve(&g, 1, &x), 0);
    assert_int_equal(reserve(&g, 2 * page + 1, &y), 0);
    assert_int_equal(x.bytes, 1);
    assert_int_equal(x.held_bytes, page);
    assert_int_equal(y.held_bytes, 3 * page);
    assert_int_equal((uintptr_t)x.data % page, 0);
    assert_int_equal(g.budget.used_bytes, 4 * page);
    release(&g, &x);
    assert_null(x.data);
    assert_int_equal(x.held_bytes, 0);
    assert_int_equal(stats_of(&g).free_bytes, page);
    assert_int_equal(stats_of(&g).used_bytes, 3 * page);
    release(&g, &y);
    close_rig(&g);
}

static void released_pages_are_used_again_first(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 64 * MIB, 0);
    warm_extent a, b, c, again;
    assert_int_equal(reserve(&g, MIB, &a), 0);
    assert_int_equal(reserve(&g, MIB, &b), 0);
    assert_int_equal(reserve(&g, MIB, &c), 0);
    uint8_t *at = b.data;
    release(&g, &b);
    assert_int_equal(reserve(&g, MIB / 2, &again), 0);
    assert_ptr_equal(again.data, at);
    assert_int_equal(g.budget.used_bytes, 3 * MIB);
    release(&g, &again);
    release(&g, &a);
    release(&g, &c);
    assert_int_equal(reserve(&g, 3 * MIB, &again), 0); /* the three were neighbours and are one now */
    assert_int_equal(g.budget.used_bytes, 3 * MIB);
    release(&g, &again);
    close_rig(&g);
}

static void refusal_changes_nothing(void **state) {
    (void)state;
    size_t page = warm__page_bytes();
    rig g;
    open_rig(&g, 10 * page, 0);
    warm_extent a, b, no = {0};
    assert_int_equal(reserve(&g, 6 * page, &a), 0);
    assert_int_equal(reserve(&g, 2 * page, &b), 0);
    fill(&a, 1);
    release(&g, &b);
    const size_t too_much[] = {4 * page + 1, 10 * page, 11 * page, SIZE_MAX, SIZE_MAX - page + 1};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(reserve(&g, too_much[i], &no), WARM_EFULL);
        assert_null(no.data);
        assert_int_equal(stats_of(&g).free_bytes, 2 * page);
        assert_int_equal(g.budget.used_bytes, 8 * page);
    }
    assert_int_equal(stats_of(&g).n_refused, 5);
    assert_int_equal(stats_of(&g).n_reserve, 7);
    check_filled(&a, 1);
    assert_int_equal(reserve(&g, 4 * page, &b), 0); /* the two free pages moved: nothing is lost to their place */
    assert_int_equal(g.budget.used_bytes, 10 * page);
    release(&g, &a);
    release(&g, &b);
    close_rig(&g);
}

static void more_than_can_be_mapped_is_no_memory(void **state) {
    (void)state;
    rig g;
    open_rig(&g, SIZE_MAX, 0);
    warm_extent x = {0};
    assert_int_equal(reserve(&g, SIZE_MAX / 2, &x), WARM_ENOMEM);
    assert_null(x.data);
    assert_int_equal(g.budget.used_bytes, 0);
    close_rig(&g);
}

/* Every second page free: half of the budget in the worst shape there is, and all of it can still be had in one piece. */
static void fragmentation_costs_no_room(void **state) {
    (void)state;
    size_t page = warm__page_bytes();
    enum { N = 512 };
    rig g;
    open_rig(&g, N * page, 0);
    warm_extent x[N], big;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(reserve(&g, page, &x[i]), 0);
        fill(&x[i], i);
    }
    assert_int_equal(reserve(&g, 1, &big), WARM_EFULL);
    for (size_t i = 0; i < N; i += 2) release(&g, &x[i]);
    assert_int_equal(reserve(&g, N / 2 * page, &big), 0);
    fill(&big, 4711);
    assert_int_equal(g.budget.used_bytes, N * page);
    assert_int_equal(resident_around(big.data), N * page);
    for (size_t i = 1; i < N; i += 2) {
        check_filled(&x[i], i);
        release(&g, &x[i]);
    }
    check_filled(&big, 4711);
    release(&g, &big);
    close_rig(&g);
}

static void trim_gives_memory_back_to_the_system(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 256 * MIB, 0);
    warm_extent x[8];
    size_t before = resident_of_process();
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(reserve(&g, 8 * MIB, &x[i]), 0);
        fill(&x[i], i);
    }
    size_t full = resident_of_process();
    assert_true(full >= before + 64 * MIB);
    assert_int_equal(resident_around(x[0].data), 64 * MIB);
    for (size_t i = 0; i < 7; i++) release(&g, &x[i]);
    assert_int_equal(resident_around(x[7].data), 64 * MIB);
    g.store->ops->trim(g.store, 16 * MIB + 1);
    assert_int_equal(stats_of(&g).free_bytes, 16 * MIB);
    assert_int_equal(g.budget.used_bytes, 24 * MIB);
    assert_int_equal(resident_around(x[7].data), 24 * MIB);
    g.store->ops->trim(g.store, 0);
    assert_int_equal(g.budget.used_bytes, 8 * MIB);
    assert_int_equal(resident_around(x[7].data), 8 * MIB);
    assert_true(resident_of_process() <= full - 52 * MIB);
    check_filled(&x[7], 7);
    release(&g, &x[7]);
    close_rig(&g);
}

/* ---- touching ahead ---- */

/* Until the thread has touched all that was lent to it. Not a sleep: the thread gets the core. */
static void await_resident(const void *p, size_t bytes) {
    while (resident_around(p) < bytes) sched_yield();
}

static void pages_are_touched_ahead_and_counted_at_once(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 64 * MIB, 4 * MIB);
    assert_int_equal(g.budget.used_bytes, 0);
    warm_extent x, y;
    assert_int_equal(reserve(&g, MIB, &x), 0);
    assert_int_equal(g.budget.used_bytes, 5 * MIB);
    assert_int_equal(stats_of(&g).free_bytes, 4 * MIB);
    await_resident(x.data, 4 * MIB); /* nobody wrote to x */
    assert_int_equal(resident_around(x.data), 4 * MIB);
    assert_int_equal(reserve(&g, MIB, &y), 0); /* from what was touched, so nothing new is resident but what is lent next */
    fill(&y, 1);
    assert_true(resident_around(x.data) <= g.budget.used_bytes - MIB);
    release(&g, &x);
    release(&g, &y);
    close_rig(&g);
}

static void touching_ahead_leaves_room_for_others_and_never_refuses(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 16 * MIB, 12 * MIB);
    warm_extent x, y, no = {0};
    assert_int_equal(reserve(&g, 8 * MIB, &x), 0);
    assert_int_equal(g.budget.used_bytes, 15 * MIB); /* a sixteenth is left */
    assert_int_equal(warm_budget_take(&g.budget, MIB), 0);
    assert_int_equal(reserve(&g, 7 * MIB + 1, &no), WARM_EFULL);
    assert_int_equal(stats_of(&g).free_bytes, 7 * MIB);
    assert_int_equal(reserve(&g, 7 * MIB, &y), 0);
    assert_int_equal(stats_of(&g).free_bytes, 0);
    fill(&x, 1);
    fill(&y, 2);
    check_filled(&x, 1);
    check_filled(&y, 2);
    release(&g, &x);
    release(&g, &y);
    warm_budget_give(&g.budget, MIB);
    close_rig(&g);
}

/* What is lent is called back when the request needs it: all of the limit can be used in one piece, at any moment. */
static void lent_pages_are_called_back(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 32 * MIB, 24 * MIB);
    for (int round = 0; round < 50; round++) {
        warm_extent x, all;
        assert_int_equal(reserve(&g, MIB, &x), 0);
        assert_true(g.budget.used_bytes > 16 * MIB);
        assert_int_equal(reserve(&g, 31 * MIB, &all), 0);
        assert_int_equal(g.budget.used_bytes, 32 * MIB);
        all.data[0] = all.data[all.bytes - 1] = 1;
        release(&g, &all);
        if (round % 2) release(&g, &x);
        g.store->ops->trim(g.store, 0);
        assert_int_equal(stats_of(&g).free_bytes, 0);
        if (round % 2 == 0) {
            assert_int_equal(resident_around(x.data), 0);
            release(&g, &x);
            g.store->ops->trim(g.store, 0);
        }
    }
    close_rig(&g);
}

#if defined(__SANITIZE_ADDRESS__)
/* An extent is a part of one mapping, so ASan has to be told where it ends. */
static void asan_sees_where_an_extent_ends(void **state) {
    (void)state;
    rig g;
    open_rig(&g, 16 * MIB, MIB);
    warm_extent x;
    assert_int_equal(reserve(&g, 1001, &x), 0);
    uint8_t *p = x.data;
    assert_false(__asan_address_is_poisoned(p + 1000));
    assert_true(__asan_address_is_poisoned(p + 1001));
    assert_true(__asan_address_is_poisoned(p + x.held_bytes - 1));
    release(&g, &x);
    assert_true(__asan_address_is_poisoned(p));
    close_rig(&g);
    assert_false(__asan_address_is_poisoned(p));
}
#endif

/* ---- random operations against a model ---- */

#define N_SLOTS 200

typedef struct slot {
    warm_extent x;
    uint64_t seed;
} slot;

static size_t random_bytes(warm_rng *r) {
    switch (warm_rng_below(r, 4)) {
    case 0:
        return 1 + warm_rng_below(r, 300);
    case 1:
        return 65536;
    case 2:
        return 1 + warm_rng_below(r, 300000);
    default:
        return 40000 + 8 * warm_rng_below(r, 4);
    }
}

static void check_accounts(const rig *g, const slot *slots, size_t others) {
    size_t held = 0;
    const void *some = NULL;
    for (size_t i = 0; i < N_SLOTS; i++) {
        held += slots[i].x.held_bytes;
        if (slots[i].x.data) some = slots[i].x.data;
    }
    warm_store_stats st = stats_of(g);
    assert_int_equal(st.used_bytes, held);
    assert_int_equal(st.used_bytes + st.free_bytes + others, g->budget.used_bytes);
    if (some) assert_true(resident_around(some) <= st.used_bytes + st.free_bytes);
}

static void no_two_overlap(const slot *slots) {
    for (size_t i = 0; i < N_SLOTS; i++) {
        for (size_t k = 0; k < N_SLOTS; k++) {
            const warm_extent *a = &slots[i].x, *b = &slots[k].x;
            if (i == k || !a->data || !b->data) continue;
            assert_true(a->data + a->held_bytes <= b->data || b->data + b->held_bytes <= a->data);
        }
    }
}

static void random_reserve(rig *g, slot *s, uint64_t seed, size_t bytes, size_t others) {
    size_t page = warm__page_bytes(), held = (bytes + page - 1) / page * page;
    size_t used = stats_of(g).used_bytes;
    int rc = reserve(g, bytes, &s->x);
    /* Only the bytes of others and of used extents can be in the way. */
    assert_int_equal(rc, used + others + held <= g->budget.limit_bytes ? 0 : WARM_EFULL);
    if (rc) return;
    assert_int_equal(s->x.bytes, bytes);
    assert_int_equal(s->x.held_bytes, held);
    s->seed = seed;
    fill(&s->x, seed);
}

static void run_random(uint64_t seed, size_t limit_bytes, size_t prefault_bytes, int n_ops) {
    print_message("seed %" PRIu64 " limit %zu prefault %zu\n", seed, limit_bytes, prefault_bytes);
    warm_rng r = {seed};
    rig g;
    open_rig(&g, limit_bytes, prefault_bytes);
    slot slots[N_SLOTS] = {0};
    size_t others = 0; /* what another owner has of the same budget */
    for (int op = 0; op < n_ops; op++) {
        slot *s = &slots[warm_rng_below(&r, N_SLOTS)];
        if (s->x.data) {
            check_filled(&s->x, s->seed);
            release(&g, &s->x);
        } else {
            random_reserve(&g, s, warm_rng_next(&r), random_bytes(&r), others);
        }
        if (warm_rng_below(&r, 50) == 0) {
            size_t keep = warm_rng_below(&r, 3) ? warm_rng_below(&r, limit_bytes) : 0;
            g.store->ops->trim(g.store, keep);
            assert_true(stats_of(&g).free_bytes <= keep);
        }
        if (warm_rng_below(&r, 20) == 0) {
            warm_budget_give(&g.budget, others);
            others = warm_rng_below(&r, limit_bytes / 8);
            if (warm_budget_take(&g.budget, others)) others = 0;
        }
        if (op % 100 == 0) {
            check_accounts(&g, slots, others);
            no_two_overlap(slots);
        }
    }
    for (size_t i = 0; i < N_SLOTS; i++) {
        if (!slots[i].x.data) continue;
        check_filled(&slots[i].x, slots[i].seed);
        release(&g, &slots[i].x);
    }
    check_accounts(&g, slots, others);
    assert_true(g.budget.peak_bytes <= limit_bytes);
    warm_budget_give(&g.budget, others);
    close_rig(&g);
}

static void random_operations_with_room(void **state) {
    (void)state;
    run_random(1, 64 * MIB, 0, 2000);
    run_random(2, 64 * MIB, 2 * MIB, 2000);
}

static void random_operations_without_room(void **state) {
    (void)state;
    run_random(3, 3 * MIB + 777, 0, 3000);
    run_random(4, 3 * MIB + 777, MIB, 3000);
    run_random(5, 3 * MIB, 64 * MIB, 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_are_whole_pages),
        cmocka_unit_test(released_pages_are_used_again_first),
        cmocka_unit_test(refusal_changes_nothing),
        cmocka_unit_test(more_than_can_be_mapped_is_no_memory),
        cmocka_unit_test(fragmentation_costs_no_room),
        cmocka_unit_test(trim_gives_memory_back_to_the_system),
        cmocka_unit_test(pages_are_touched_ahead_and_counted_at_once),
        cmocka_unit_test(touching_ahead_leaves_room_for_others_and_never_refuses),
        cmocka_unit_test(lent_pages_are_called_back),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(asan_sees_where_an_extent_ends),
#endif
        cmocka_unit_test(random_operations_with_room),
        cmocka_unit_test(random_operations_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
