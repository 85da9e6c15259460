/* SPDX-License-Identifier: MIT
 *
 * sched/rates.h - what the machine was seen to do: prefill speed, and what an idle cell costs the running sequences.
 *
 * Every cell in use is walked by every decode step, whether its sequence runs or not. The time of a pure decode step is fitted as
 * a + b * cells by least squares whose weights halve every 256 steps; b is what a resident's cells cost. Threads: [engine]. */
#ifndef WARM_SCHED_RATES_H
#define WARM_SCHED_RATES_H

#include <stddef.h>
#include <stdint.h>

typedef struct warm_rates {
    double prefill_ns_per_unit; /* 0 = not measured yet */
    double w_, wx_, wy_, wxx_, wxy_;
} warm_rates;

void warm_rates_prefill(warm_rates *r, size_t n_units, uint64_t ns);
void warm_rates_decode(warm_rates *r, size_t n_cells_used, uint64_t ns);
/* Nanoseconds that one cell in use adds to a decode step; 0 while the steps seen do not show one. */
double warm_rates_cell_ns(const warm_rates *r);

#endif
