/* SPDX-License-Identifier: MIT
 *
 * sched/rates.h - what the machine was seen to do: how long a prompt takes by depth, and what an idle cell costs the running sequences.
 *
 * Prefill: a row of a batch that holds a chunk of prompt takes a + b * depth, depth being the units before it in its sequence, which its
 * attention reads. A generating slot's row beside a chunk is one row more: what makes it dear alone, reading all weights for one row, is
 * done for the chunk anyway. So every batch with a chunk tells something, whoever generates meanwhile. a and b are fitted by least squares over
 * batches, weighted by their rows; weights halve every 8192 rows, and at once where a batch took twice or half as long as expected: then
 * the machine is not what it was, or the first of all batches paid for what only the first one does. Batches of nearly one depth
 * say nothing of b: it stays what it was. b is never negative, and never more than leaves a quarter of the mean to a.
 *
 * Decode: every cell in use is walked by every decode step, whether its sequence runs or not. The time of a pure decode step is fitted as
 * a + b * cells by least squares whose weights halve every 256 steps; b is what a resident's cells cost. Beside that, what a row of the latest
 * steps took. Threads: [engine]. */
#ifndef WARM_SCHED_RATES_H
#define WARM_SCHED_RATES_H

#include <stddef.h>
#include <stdint.h>

/* Weighted sums of samples (x, y). */
typedef struct warm_fit {
    double w_, x_, y_, xx_, xy_;
} warm_fit;

typedef struct warm_rates {
    warm_fit prefill_, decode_;
    double depth_ns_; /* b, as it was seen last */
    double fork_ns_, decode_row_ns_;
} warm_rates;

/* Time of computing a unit: unit_ns + depth_ns * the units before it. All 0: not measured yet. */
typedef struct warm_prefill_cost {
    double unit_ns, depth_ns;
} warm_prefill_cost;

/* A batch of n_rows with a chunk of prompt: sum_depth is the sum of all its rows' depths. */
void warm_rates_prefill(warm_rates *r, size_t n_rows, double sum_depth, uint64_t ns);
warm_prefill_cost warm_rates_prefill_cost(const warm_rates *r);
/* Nanoseconds for units [from, to). */
static inline double warm_prefill_ns(const warm_prefill_cost *c, size_t from, size_t to) {
    double n = (double)to - (double)from;
    return n * (c->unit_ns + c->depth_ns * ((double)from + (double)to) / 2);
}
/* A sequence was begun as another one's, with a copy of what can't be shared. */
void warm_rates_fork(warm_rates *r, uint64_t ns);
static inline double warm_rates_fork_ns(const warm_rates *r) {
    return r->fork_ns_;
}
/* A batch of n_rows that all generate. */
void warm_rates_decode(warm_rates *r, size_t n_rows, size_t n_cells_used, uint64_t ns);
/* Nanoseconds of a step that so many generate in, nobody's prompt beside them; 0: not measured yet. */
static inline double warm_rates_decode_ns(const warm_rates *r, size_t n_rows) {
    return r->decode_row_ns_ * (double)n_rows;
}
/* Nanoseconds that one cell in use adds to a decode step; 0 while the steps seen do not show one. */
double warm_rates_cell_ns(const warm_rates *r);

#endif
