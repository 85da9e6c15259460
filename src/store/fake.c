/* SPDX-License-Identifier: MIT
 *
 * store/fake.c - a store on malloc for tests (warmslot/store.h).
 *
 * It counts whole pages, as the ram tier does, so that budgets behave the same; but it allocates exactly what was asked for, so
 * that ASan sees a write behind the end. It keeps nothing for reuse. Threads: [engine]. */
#undef NDEBUG
#include <assert.h>

#include <stdlib.h>

#include "base/alloc.h"
#include "store/pages.h"
#include "warmslot/store.h"

typedef struct fake_store {
    warm_store base;
    warm_budget *budget;
    uint64_t fail_at;
    warm_store_stats stats;
} fake_store;

static int refuse(fake_store *s, int code) {
    s->stats.n_refused++;
    return code;
}

static int fake_reserve(warm_store *base, size_t bytes, warm_extent *out) {
    fake_store *s = (fake_store *)base;
    size_t page = warm__page_bytes();
    assert(bytes > 0);
    if (++s->stats.n_reserve == s->fail_at) return refuse(s, WARM_ENOMEM);
    if (bytes > s->budget->limit_bytes) return refuse(s, WARM_EFULL);
    size_t held = (bytes / page + (bytes % page != 0)) * page;
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

static void fake_release(warm_store *base, warm_extent *x) {
    fake_store *s = (fake_store *)base;
    assert(x->data && x->held_bytes <= s->stats.used_bytes);
    free(x->data);
    s->stats.used_bytes -= x->held_bytes;
    warm_budget_give(s->budget, x->held_bytes);
    *x = (warm_extent){0};
}

static void fake_trim(warm_store *base, size_t keep_bytes) {
    (void)base; /* nothing is kept, so nothing is above keep_bytes */
    (void)keep_bytes;
}

static void fake_stats(const warm_store *base, warm_store_stats *out) {
    *out = ((const fake_store *)base)->stats;
}

static void fake_close(warm_store *base) {
    fake_store *s = (fake_store *)base;
    assert(s->stats.used_bytes == 0);
    free(s);
}

static const warm_store_ops fake_ops = {"fake", fake_reserve, fake_release, fake_trim, fake_stats, fake_close};

int warm_store_fake_open(warm_budget *budget, uint64_t fail_at, warm_store **out, warm_err *err) {
    fake_store *s = warm_malloc(sizeof *s);
    if (!s) return warm_err_set(err, WARM_ENOMEM, "no memory for a store");
    *s = (fake_store){.base.ops = &fake_ops, .budget = budget, .fail_at = fail_at};
    *out = &s->base;
    return 0;
}
