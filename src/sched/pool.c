/* SPDX-License-Identifier: MIT
 *
 * sched/pool.c - see pool.h. */
#include "sched/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"

void warm_pool_init(warm_pool *p, uint32_t n_cells) {
    *p = (warm_pool){.n_cells = n_cells};
    p->refs_ = warm_xcalloc(n_cells, sizeof *p->refs_);
    p->free_ = warm_xcalloc(n_cells, sizeof *p->free_);
    for (uint32_t i = 0; i < n_cells; i++) p->free_[i] = n_cells - 1 - i;
}

void warm_pool_deinit(warm_pool *p) {
    free(p->refs_);
    free(p->free_);
    *p = (warm_pool){0};
}

void warm_pool_take(warm_pool *p, uint32_t *cells, size_t n) {
    assert(n <= warm_pool_free_cells(p));
    for (size_t i = 0; i < n; i++) {
        cells[i] = p->free_[p->n_cells - p->n_used - 1];
        p->refs_[cells[i]] = 1;
        p->n_used++;
    }
}

void warm_pool_share(warm_pool *p, const uint32_t *cells, size_t n) {
    for (size_t i = 0; i < n; i++) p->refs_[cells[i]]++;
    p->version++;
}

void warm_pool_give(warm_pool *p, const uint32_t *cells, size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert(p->refs_[cells[i]] > 0);
        if (--p->refs_[cells[i]]) continue;
        p->n_used--;
        p->free_[p->n_cells - p->n_used - 1] = cells[i];
    }
    p->version++;
}

size_t warm_pool_exclusive(const warm_pool *p, const uint32_t *cells, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += p->refs_[cells[i]] == 1;
    return sum;
}
