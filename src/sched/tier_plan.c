/* SPDX-License-Identifier: MIT
 *
 * sched/tier_plan.c - what of a prompt is to come from disk (tier.h). Only the index is asked: no file is opened.
 *
 * The blocks behind the last whole one that the tree has are found one after the other by key. Where cells alone are enough they are the plan. Where window
 * rows are needed, it ends with the last block that has some, and the blocks that its window reaches back to come again with theirs, also if the tree
 * has their cells. Where a snapshot is needed, the last one that lies behind the one in the tree is looked for at every boundary, from the end. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/min.h"
#include "sched/tier.h"

static const double assumed_bytes_per_ns = 0.5;
static const uint64_t wait_unknown_ns = 30 * 1000000000ull, wait_least_ns = 100 * 1000000ull;

static const warm_disk *disk_of(const warm_fetch *f) {
    return f->s->tier->disk;
}

static size_t whole_blocks(size_t n) {
    return n / WARM_BLOCK_UNITS * WARM_BLOCK_UNITS;
}

static void add_item(warm_fetch *f, const warm_disk_entry *e, size_t start) {
    if (f->n_items == f->cap_items) {
        f->cap_items = f->cap_items ? f->cap_items * 2 : 16;
        f->items = warm_realloc(f->items, f->cap_items * sizeof *f->items);
        if (!f->items) abort(); /* bounded by the context: less than a byte for each of its units */
    }
    warm_fetch_item *x = &f->items[f->n_items++];
    *x = (warm_fetch_item){.kind = (enum warm_disk_kind)e->kind, .start = start, .n_units = e->n_last};
    memcpy(x->key, e->key, sizeof x->key);
}

/* The blocks from `base` on. Returns how far they seem to go. */
static size_t list_blocks(warm_fetch *f, size_t base) {
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t at = base, common;
    warm_spill_key(&f->path, base, key);
    while (at < f->n) {
        const warm_disk_entry *e = warm_disk_next(disk_of(f), key, f->units + at, f->n - at, &common);
        if (!e) break;
        add_item(f, e, at);
        at += common;
        if (common < e->n_last || e->n_last != WARM_BLOCK_UNITS) break;
        memcpy(key, e->key, sizeof key);
    }
    return at;
}

static void plan_ranges(warm_fetch *f) {
    f->goal = list_blocks(f, whole_blocks(f->path.n_units));
}

static void plan_window(warm_fetch *f) {
    size_t window = f->s->info->n_window, back = window + WARM_BLOCK_UNITS, m = f->path.n_units;
    size_t end = list_blocks(f, whole_blocks(m > back ? m - back : 0)), n = f->n_items;
    while (n && !warm_disk_find(disk_of(f), WARM_DISK_ROWS, f->items[n - 1].key)) n--;
    if (!n) return;
    f->goal = n == f->n_items ? end : f->items[n].start;
    size_t from = f->items[n - 1].start, keep = 0;
    from = from > window ? from - window : 0;
    for (size_t i = 0; i < n; i++) {
        warm_fetch_item *x = &f->items[i];
        x->rows = x->start + x->n_units > from && warm_disk_find(disk_of(f), WARM_DISK_ROWS, x->key);
        if (x->rows || x->start + x->n_units > m) f->items[keep++] = *x;
    }
    f->n_items = keep;
}

/* The key of the whole blocks before `at`, as far as the plan or the tree has one. */
static bool boundary_key(const warm_fetch *f, size_t base, size_t at, uint8_t key[WARM_DISK_KEY_BYTES]) {
    if (at <= base) {
        warm_spill_key(&f->path, at, key);
        return true;
    }
    size_t i = (at - base) / WARM_BLOCK_UNITS - 1;
    if (i >= f->n_items || f->items[i].n_units != WARM_BLOCK_UNITS) return false;
    memcpy(key, f->items[i].key, WARM_DISK_KEY_BYTES);
    return true;
}

static const warm_disk_entry *snapshot_behind(const warm_fetch *f, size_t at, const uint8_t *key) {
    size_t n = warm_min_size(f->n - at, WARM_BLOCK_UNITS);
    const warm_disk_entry *e = n ? warm_disk_snapshot(disk_of(f), key, f->units + at, n) : NULL;
    return e && at + e->n_last > f->from ? e : NULL;
}

static void plan_cells_and_snapshot(warm_fetch *f) {
    size_t base = whole_blocks(f->path.n_units), end = list_blocks(f, base);
    uint8_t key[WARM_DISK_KEY_BYTES];
    for (size_t at = whole_blocks(end);; at -= WARM_BLOCK_UNITS) {
        const warm_disk_entry *e = boundary_key(f, base, at, key) ? snapshot_behind(f, at, key) : NULL;
        if (e) {
            f->goal = at + e->n_last;
            while (f->n_items && f->items[f->n_items - 1].start >= f->goal) f->n_items--;
            add_item(f, e, at);
            return;
        }
        if (at == 0 || at <= whole_blocks(f->from)) break;
    }
    f->n_items = 0;
}

/* The snapshot is all: keys come from the units alone. */
static void plan_snapshot(warm_fetch *f) {
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t at = whole_blocks(f->from);
    warm_spill_key(&f->path, at, key);
    for (;; at += WARM_BLOCK_UNITS) {
        const warm_disk_entry *e = snapshot_behind(f, at, key);
        if (e) {
            f->goal = at + e->n_last;
            f->n_items = 0;
            add_item(f, e, at);
        }
        if (at + WARM_BLOCK_UNITS > f->n) return;
        warm_disk_key_next(key, f->units + at, WARM_BLOCK_UNITS, key);
    }
}

static uint64_t held(const warm_fetch *f, enum warm_disk_kind kind, const uint8_t *key) {
    const warm_disk_entry *e = warm_disk_find(disk_of(f), kind, key);
    return e ? e->held_bytes : 0;
}

/* Whether reading it and loading it is sooner done than computing it. As long as computing was not measured it is. */
static bool is_worth_it(warm_fetch *f, size_t have) {
    warm_sched *s = f->s;
    warm_prefill_cost cost = warm_rates_prefill_cost(&s->rates);
    warm_disk_stats st;
    warm_disk_stats_get(s->tier->disk, &st);
    double rate = st.read_bytes_per_ns > 0 ? st.read_bytes_per_ns : assumed_bytes_per_ns;
    double load = warm_kv_rates_get(s->kv).load_bytes_per_ns;
    f->bytes = 0;
    for (size_t i = 0; i < f->n_items; i++) {
        f->bytes += held(f, f->items[i].kind, f->items[i].key);
        if (f->items[i].rows) f->bytes += held(f, WARM_DISK_ROWS, f->items[i].key);
    }
    double ns = (double)f->bytes / rate + (load > 0 ? (double)f->bytes / load : 0), compute = warm_prefill_ns(&cost, have, f->goal);
    bool known = cost.unit_ns > 0;
    f->until_ns = warm__sched_now(s) + (known ? (uint64_t)compute : wait_unknown_ns) + wait_least_ns;
    return !known || ns < compute;
}

bool warm__fetch_plan(warm_fetch *f, size_t have) {
    f->n_items = f->goal = 0;
    switch (f->s->info->state) {
    case WARM_STATE_RANGES:
        plan_ranges(f);
        break;
    case WARM_STATE_WINDOW:
        plan_window(f);
        break;
    case WARM_STATE_RANGES_SNAPSHOTS:
        plan_cells_and_snapshot(f);
        break;
    default:
        plan_snapshot(f);
    }
    return f->n_items && f->goal >= have + WARM_CHUNK_MIN && is_worth_it(f, have);
}
