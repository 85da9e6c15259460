/* SPDX-License-Identifier: MIT
 *
 * sim/store.c - a store for simulated state that stands for larger one (sim.h).
 *
 * The budget and all who decide by it see the sizes of the real thing, while a unit takes 16 bytes here: ten million tokens of 128 KiB are simulated in
 * 160 MB. Extents that were given back are kept for the next ones of their size, uncounted: asking malloc for each aligned piece would take a third of
 * a simulation's time. Threads: [engine]. */
#undef NDEBUG
#include <assert.h>

#include <stdlib.h>

#include "base/alloc.h"
#include "sim/sim_internal.h"
#include "warmslot/cache.h"

enum { SIZES = WARM_BLOCK_UNITS + 1 };

/* In the memory of an extent that nobody has. */
struct unused {
    struct unused *next;
};

typedef struct sim_store {
    warm_store base;
    warm_budget *budget;
    size_t unit_bytes, charged_bytes;
    warm_store_stats stats;
    struct unused *unused[SIZES]; /* by units */
} sim_store;

static int refuse(sim_store *s, int code) {
    s->stats.n_refused++;
    return code;
}

static size_t units_of(const sim_store *s, size_t bytes) {
    return bytes > sizeof(struct sim_header) ? (bytes - sizeof(struct sim_header)) / s->unit_bytes : 0;
}

/* A size is one of a number of units alone: the store rounds up to it. */
static void *take(sim_store *s, size_t n) {
    void *data;
    size_t bytes = sizeof(struct sim_header) + (n + 1) * s->unit_bytes;
    if (n < SIZES && s->unused[n]) {
        data = s->unused[n];
        s->unused[n] = s->unused[n]->next;
        return data;
    }
    return posix_memalign(&data, 64, bytes) ? NULL : data;
}

static int store_reserve(warm_store *base, size_t bytes, warm_extent *out) {
    sim_store *s = (sim_store *)base;
    size_t n = units_of(s, bytes);
    s->stats.n_reserve++;
    if (n > SIZE_MAX / s->charged_bytes) return refuse(s, WARM_EFULL);
    size_t held = n * s->charged_bytes;
    if (warm_budget_take(s->budget, held)) return refuse(s, WARM_EFULL);
    void *data = take(s, n);
    if (!data) {
        warm_budget_give(s->budget, held);
        return refuse(s, WARM_ENOMEM);
    }
    s->stats.used_bytes += held;
    *out = (warm_extent){data, bytes, held};
    return 0;
}

static void store_release(warm_store *base, warm_extent *x) {
    sim_store *s = (sim_store *)base;
    assert(x->data && x->held_bytes <= s->stats.used_bytes);
    size_t n = units_of(s, x->bytes);
    if (n < SIZES) {
        struct unused *u = (struct unused *)(void *)x->data;
        u->next = s->unused[n];
        s->unused[n] = u;
    } else {
        free(x->data);
    }
    s->stats.used_bytes -= x->held_bytes;
    warm_budget_give(s->budget, x->held_bytes);
    *x = (warm_extent){0};
}

static void store_trim(warm_store *base, size_t keep_bytes) {
    (void)base; /* nothing is kept, so nothing is above keep_bytes */
    (void)keep_bytes;
}

static void store_stats(const warm_store *base, warm_store_stats *out) {
    *out = ((const sim_store *)base)->stats;
}

static void store_close(warm_store *base) {
    sim_store *s = (sim_store *)base;
    assert(s->stats.used_bytes == 0);
    for (size_t i = 0; i < SIZES; i++) {
        for (struct unused *u = s->unused[i], *next; u; u = next) {
            next = u->next;
            free(u);
        }
    }
    free(s);
}

static const warm_store_ops store_ops = {"sim", store_reserve, store_release, store_trim, store_stats, store_close};

int warm_sim_store_open(warm_budget *budget, size_t unit_bytes, size_t charged_bytes, warm_store **out, warm_err *err) {
    sim_store *s = warm_malloc(sizeof *s);
    if (!s) return warm_err_set(err, WARM_ENOMEM, "no memory for a store");
    *s = (sim_store){.base.ops = &store_ops, .budget = budget, .unit_bytes = unit_bytes, .charged_bytes = charged_bytes};
    *out = &s->base;
    return 0;
}
