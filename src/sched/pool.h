/* SPDX-License-Identifier: MIT
 *
 * sched/pool.h - counts the cells of the context, exactly, without asking the engine.
 *
 * Every sequence lists the cells behind its positions; sequences that share cells (forks) list the same ones. The numbers are ours: they
 * stand for cells, they are not the engine's indices. Threads: [engine]. */
#ifndef WARM_SCHED_POOL_H
#define WARM_SCHED_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct warm_pool {
    uint32_t n_cells, n_used;
    uint16_t *refs_;  /* per cell: sequences that list it */
    uint32_t *free_;  /* stack of free cells */
    uint64_t version; /* changes with every share and give: what may change how many of a sequence's cells are its own */
} warm_pool;

void warm_pool_init(warm_pool *p, uint32_t n_cells);
void warm_pool_deinit(warm_pool *p);
static inline size_t warm_pool_free_cells(const warm_pool *p) {
    return p->n_cells - p->n_used;
}
/* Takes n <= free cells into cells[0..n). */
void warm_pool_take(warm_pool *p, uint32_t *cells, size_t n);
void warm_pool_share(warm_pool *p, const uint32_t *cells, size_t n);
void warm_pool_give(warm_pool *p, const uint32_t *cells, size_t n);
/* How many of these cells nobody else lists: what giving them would free. Cost: linear. */
size_t warm_pool_exclusive(const warm_pool *p, const uint32_t *cells, size_t n);

#endif
