/* SPDX-License-Identifier: MIT
 *
 * bench/lookup.c - what a lookup costs: a prompt of 100k tokens among a million blocks, and a prompt among 10,000 siblings. And what it costs to
 * find out where it can go on: the last snapshot among 10,000 of the same block, and window rows of 100k tokens, of which none are left.
 *
 * The million blocks are long conversations on one trunk. They are saved a block at a time in a random order of conversations, so
 * that neighbours in a path are nowhere near each other in memory, as after days of use. Each lookup is of another conversation:
 * its nodes and units come from memory, not from the processor's caches. The siblings differ at the end of one block,
 * so that every comparison of the search has to read most of one.
 *
 *   lookup [BLOCKS]     default 1000000, about 2.6 GB */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "warmslot/cache.h"

#define PROMPT   100000u
#define TRUNK    4096u /* units that all conversations begin with */
#define SIBLINGS 10000u
#define REPEATS  501u

static void must(int rc, const char *what) {
    if (rc == 0) return;
    fprintf(stderr, "lookup: %s: %s\n", what, warm_strerror(rc));
    exit(1);
}

/* Unit `pos` of conversation `k`: fixed, without keeping a million prompts. */
static warm_unit unit_of(size_t k, size_t pos) {
    warm_rng r = {(pos < TRUNK ? 0 : k + 1) << 32 | pos};
    return warm_rng_below(&r, 150000);
}

static void fill(warm_unit *u, size_t k, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) u[i] = unit_of(k, i);
}

/* Saves one block of u[0..n); false when there is nothing left. */
static bool save_block(warm_cache *c, warm_path *p, const warm_unit *u, size_t n) {
    size_t start, count;
    warm_save s;
    warm_cache_advance(c, p, u, n);
    if (!warm_cache_next_piece(c, p, n, WARM_BLOCK_UNITS, &start, &count)) return false;
    must(warm_cache_save_begin(c, p, start, count, WARM_BLOCK_UNITS, count, 0, &s), "save_begin");
    memset(s.data, 1, s.bytes);
    must(warm_cache_save_commit(c, p, &s, u, NULL), "save_commit");
    return true;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, uint64_t *ns, size_t n) {
    qsort(ns, n, sizeof *ns, by_value);
    uint64_t median = ns[n / 2], p95 = ns[n * 95 / 100];
    printf("%-40s least %7.1f us   median %7.1f us   p95 %7.1f us\n", what, (double)ns[0] / 1e3, (double)median / 1e3,
           (double)p95 / 1e3);
}

/* Looks up u[0..n), which has to be there as a whole, and returns the nanoseconds. */
static uint64_t timed(warm_cache *c, warm_scope *s, const warm_unit *u, size_t n) {
    warm_path p;
    uint64_t t = warm_clock_now(&warm_clock_monotonic);
    size_t k = warm_cache_lookup(c, s, u, n, &p);
    t = warm_clock_now(&warm_clock_monotonic) - t;
    must(k == n ? 0 : WARM_ENOTFOUND, "a saved prompt");
    warm_path_release(c, &p);
    return t;
}

static void million_blocks(warm_cache *c, warm_scope *s, size_t n_blocks) {
    size_t n_conv = n_blocks / ((PROMPT - TRUNK) / WARM_BLOCK_UNITS) + 1, n_open = n_conv;
    warm_rng rng = {1};
    warm_unit *u = malloc(PROMPT * sizeof *u);
    warm_path *paths = calloc(n_conv, sizeof *paths);
    size_t *open = malloc(n_conv * sizeof *open);
    if (!u || !paths || !open) must(WARM_ENOMEM, "prompts");
    fill(u, 0, 0, TRUNK);
    for (size_t k = 0; k < n_conv; k++) {
        open[k] = k;
        warm_cache_lookup(c, s, u, 0, &paths[k]);
        while (save_block(c, &paths[k], u, TRUNK)) continue;
    }
    uint64_t t = warm_clock_now(&warm_clock_monotonic);
    while (n_open) {
        size_t i = (size_t)warm_rng_below(&rng, n_open);
        warm_path *p = &paths[open[i]];
        size_t end = p->n_units + WARM_BLOCK_UNITS < PROMPT ? p->n_units + WARM_BLOCK_UNITS : PROMPT;
        fill(u, open[i], p->n_units, end); /* a save reads no more than that */
        if (!save_block(c, p, u, end)) {
            warm_path_release(c, p);
            open[i] = open[--n_open];
        }
    }
    warm_cache_stats st;
    warm_cache_stats_get(c, &st);
    t = warm_clock_now(&warm_clock_monotonic) - t;
    printf("%zu blocks, %zu units, index %zu MiB; a block was saved in %.1f us on average\n", st.n_blocks, st.n_units,
           st.index_bytes >> 20, (double)t / 1e3 / (double)st.n_saved);

    uint64_t ns[REPEATS];
    for (size_t i = 0; i < REPEATS; i++) {
        fill(u, i * 7919 % n_conv, 0, PROMPT);
        ns[i] = timed(c, s, u, PROMPT);
    }
    report("100000 tokens, all of them cached", ns, REPEATS);
    for (size_t i = 0; i < REPEATS; i++) {
        fill(u, i * 7919 % n_conv, 0, PROMPT);
        uint64_t at = warm_clock_now(&warm_clock_monotonic);
        size_t k = warm_cache_match(c, s, u, PROMPT);
        ns[i] = warm_clock_now(&warm_clock_monotonic) - at;
        must(k == PROMPT ? 0 : WARM_ENOTFOUND, "a saved prompt");
    }
    report("the same, asked only (no pin, no use)", ns, REPEATS);
    for (size_t i = 0; i < REPEATS; i++) {
        warm_path p;
        warm_piece_view v;
        fill(u, i * 7919 % n_conv, 0, PROMPT);
        warm_cache_lookup(c, s, u, PROMPT, &p);
        uint64_t at = warm_clock_now(&warm_clock_monotonic);
        for (size_t pos = 0; pos < PROMPT; pos += v.n_units) {
            warm_path_piece(c, &p, pos, &v);
            warm_piece_unref(c, v.piece);
        }
        ns[i] = warm_clock_now(&warm_clock_monotonic) - at;
        warm_path_release(c, &p);
    }
    report("all pieces of it, one after the other", ns, REPEATS);
    free(open);
    free(paths);
    free(u);
}

/* A cache that begins to fill learns from what is asked for. */
static void learned_from(warm_cache *c, warm_scope *s, size_t n_blocks) {
    size_t n_conv = n_blocks / ((PROMPT - TRUNK) / WARM_BLOCK_UNITS) + 1;
    warm_unit *u = malloc(PROMPT * sizeof *u);
    uint64_t ns[REPEATS];
    warm_cache_stats st;
    if (!u) must(WARM_ENOMEM, "a prompt");
    warm_cache_stats_get(c, &st);
    must(warm_cache_set_budget(c, st.budget_used_bytes / 7 * 8), "set_budget");
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < REPEATS; i++) {
            fill(u, i * 7919 % n_conv, 0, PROMPT);
            ns[i] = timed(c, s, u, PROMPT);
        }
    }
    report("100000 tokens, all cached, learned from", ns, REPEATS);
    must(warm_cache_set_budget(c, st.budget_limit_bytes), "set_budget");
    free(u);
}

static void many_siblings(warm_cache *c, warm_scope *s) {
    warm_unit u[2 * WARM_BLOCK_UNITS];
    size_t n = sizeof u / sizeof *u, at = n - 8;
    fill(u, 0, 0, n);
    for (size_t k = 0; k < SIBLINGS; k++) {
        warm_path p;
        u[at] = k * 7919 % SIBLINGS;
        warm_cache_lookup(c, s, u, n, &p);
        while (save_block(c, &p, u, n)) continue;
        warm_path_release(c, &p);
    }
    uint64_t ns[REPEATS];
    for (size_t i = 0; i < REPEATS; i++) {
        u[at] = i * 104729 % SIBLINGS;
        ns[i] = timed(c, s, u, n);
    }
    report("512 tokens, among 10000 siblings", ns, REPEATS);
}

/* Chats that share their first block, each with a snapshot of its own in the second. Some share more than others: what stands beside a chat's
 * snapshot agrees with it for a while. */
static void many_snapshots(warm_cache *c, warm_scope *s) {
    warm_unit u[2 * WARM_BLOCK_UNITS];
    size_t n = sizeof u / sizeof *u;
    uint64_t ns[REPEATS], least[REPEATS];
    warm_path p;
    for (size_t k = 0; k < SIBLINGS + REPEATS; k++) {
        bool timed = k >= SIBLINGS;
        size_t chat = timed ? (k - SIBLINGS) * 7919 % SIBLINGS : k, at = WARM_BLOCK_UNITS + chat % 200;
        fill(u, 0, 0, n);
        for (size_t i = at; i < n; i++) u[i] = chat * 104729 % SIBLINGS;
        warm_cache_lookup(c, s, u, n, &p);
        if (!timed) {
            warm_snapshot x;
            while (save_block(c, &p, u, n)) continue;
            must(warm_cache_snapshot_begin(c, 1, &x), "snapshot_begin");
            *x.data = 1;
            must(warm_cache_snapshot_commit(c, &p, at + 40, 1, &x, NULL), "snapshot_commit");
            warm_path_release(c, &p);
            continue;
        }
        warm_resume m;
        uint64_t t = warm_clock_now(&warm_clock_monotonic);
        size_t none = warm_cache_snapshot_before(c, &p, at + 39); /* all that is near is another's */
        least[k - SIBLINGS] = warm_clock_now(&warm_clock_monotonic) - t;
        t = warm_clock_now(&warm_clock_monotonic);
        must(warm_cache_resume(c, &p, &m), "resume");
        ns[k - SIBLINGS] = warm_clock_now(&warm_clock_monotonic) - t;
        must(m.path.n_units == at + 40 && none == 0 ? 0 : WARM_ENOTFOUND, "a snapshot");
        warm_resume_release(c, &m);
    }
    report("resume at one of 10000 snapshots", ns, REPEATS);
    report("the same, there is none", least, REPEATS);
}

static void no_window_rows(warm_cache *c, warm_scope *s) {
    warm_unit *u = malloc(PROMPT * sizeof *u);
    if (!u) must(WARM_ENOMEM, "a prompt");
    fill(u, 1, 0, PROMPT);
    uint64_t ns[REPEATS];
    warm_path p;
    warm_cache_lookup(c, s, u, PROMPT, &p);
    while (save_block(c, &p, u, PROMPT)) continue;
    for (size_t i = 0; i < REPEATS; i++) {
        warm_resume m;
        warm_path at;
        warm_path_clone(c, &p, &at);
        ns[i] = warm_clock_now(&warm_clock_monotonic);
        must(warm_cache_resume(c, &at, &m), "resume");
        ns[i] = warm_clock_now(&warm_clock_monotonic) - ns[i];
        must(m.path.n_units == 0 ? 0 : WARM_ENOTFOUND, "no rows");
        warm_resume_release(c, &m);
    }
    report("resume of 100000 tokens without rows", ns, REPEATS);
    warm_path_release(c, &p);
    free(u);
}

/* Runs one of the above on a cache of its kind. */
static void with_cache(warm_store *store, warm_budget *budget, uint32_t window, bool snapshots,
                       void (*run)(warm_cache *, warm_scope *)) {
    warm_cache *c;
    warm_scope *s;
    uint8_t key[WARM_SCOPE_BYTES];
    warm_cache_options o = {.store = store, .budget = budget, .window = window, .snapshots = snapshots};
    must(warm_cache_new(&o, &c, NULL), "cache");
    warm_scope_fingerprint("kind", NULL, NULL, key);
    must(warm_cache_scope(c, key, &s), "scope");
    run(c, s);
    warm_cache_free(c);
}

int main(int argc, char **argv) {
    size_t n_blocks = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    warm_budget budget;
    warm_store *store;
    warm_cache *c;
    warm_scope *million, *siblings;
    uint8_t key[WARM_SCOPE_BYTES];
    warm_budget_init(&budget, SIZE_MAX / 2); /* the store counts a page a piece, but holds a byte a unit */
    must(warm_store_fake_open(&budget, 0, &store, NULL), "store");
    must(warm_cache_new(&(warm_cache_options){.store = store, .budget = &budget}, &c, NULL), "cache");
    warm_scope_fingerprint("million", NULL, NULL, key);
    must(warm_cache_scope(c, key, &million), "scope");
    warm_scope_fingerprint("siblings", NULL, NULL, key);
    must(warm_cache_scope(c, key, &siblings), "scope");
    million_blocks(c, million, n_blocks);
    learned_from(c, million, n_blocks);
    many_siblings(c, siblings);
    warm_cache_free(c);
    with_cache(store, &budget, 0, true, many_snapshots);
    with_cache(store, &budget, 1024, false, no_window_rows);
    store->ops->close(store);
    return 0;
}
