/* SPDX-License-Identifier: MIT
 *
 * sched/rates.c - see rates.h. */
#include "sched/rates.h"

static const double decode_decay = 0.9973; /* 0.5 ^ (1/256) */

void warm_rates_prefill(warm_rates *r, size_t n_units, uint64_t ns) {
    double now = (double)ns / (double)n_units;
    r->prefill_ns_per_unit = r->prefill_ns_per_unit > 0 ? r->prefill_ns_per_unit + (now - r->prefill_ns_per_unit) / 8 : now;
}

void warm_rates_decode(warm_rates *r, size_t n_cells_used, uint64_t ns) {
    double x = (double)n_cells_used, y = (double)ns;
    r->w_ = r->w_ * decode_decay + 1;
    r->wx_ = r->wx_ * decode_decay + x;
    r->wy_ = r->wy_ * decode_decay + y;
    r->wxx_ = r->wxx_ * decode_decay + x * x;
    r->wxy_ = r->wxy_ * decode_decay + x * y;
}

double warm_rates_cell_ns(const warm_rates *r) {
    if (r->w_ < 32) return 0;
    double mean = r->wx_ / r->w_, var = r->wxx_ / r->w_ - mean * mean;
    /* Steps at nearly one depth say nothing about the slope. */
    if (var < 256.0 * 256.0) return 0;
    double slope = (r->wxy_ / r->w_ - mean * (r->wy_ / r->w_)) / var;
    return slope > 0 ? slope : 0;
}
