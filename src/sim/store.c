/* SPDX-License-Identifier: MIT
 *
 * sim/store.c - a store for simulated state that stands for larger one (sim.h).
 *
 * The budget and all who decide by it see the sizes of the real thing, while a unit takes 16 bytes here: ten million tokens of 128 KiB are simulated in
 * 160 MB. Nothing is kept for reuse. Threads: [engine]. */
#undef NDEBUG
#include <assert.h>

#include <stdlib.h>

#include "base/alloc.h"
#include "sim/sim_internal.h"

typedef struct sim_store {
    warm_store base;
    warm_budget *budget;
    size_t unit_bytes, charged_bytes;
    warm_store_stats stats;
} sim_store;

static int refuse(sim_store *s, int code) {
    s->stats.n_refused++;
    return code;
}

static int store_reserve(warm_store *base, size_t bytes, warm_extent *out) {
    sim_store *s = (sim_store *)base;
    size_t n = bytes > sizeof(struct sim_header) ? (bytes - sizeof(struct sim_header)) / s->unit_bytes : 0;
    s->stats.n_reserve++;
    if (n > SIZE_MAX / s->charged_bytes) return refuse(s, WARM_EFULL);
    size_t held = n * s->charged_bytes;
    if (warm_budget_take(s->budget, held)) return refuse(s, WARM_EFULL);
    void *data;
    if (posix_memalign(&data, 64, bytes)) {
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
    free(x->data);
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
