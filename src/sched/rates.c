/* SPDX-License-Identifier: MIT
 *
 * sched/rates.c - see rates.h. */
#include "sched/rates.h"

static const double decode_decay = 0.9973;    /* 0.5 ^ (1/256) */
static const double prefill_memory = 11819;   /* 8192 / ln 2 */
static const double surprise = 2;             /* times as long as expected, or so many times shorter */
static const double surprise_decay = 0.25;    /* what the past is worth then */
static const double spread_min = 256 * 256.0; /* samples at nearly one x say nothing about the slope */
static const double slope_share_max = 0.75;   /* of the mean, so that it stays credible far from the samples */

static void fit_add(warm_fit *f, double decay, double weight, double x, double y) {
    f->w_ = f->w_ * decay + weight;
    f->x_ = f->x_ * decay + weight * x;
    f->y_ = f->y_ * decay + weight * y;
    f->xx_ = f->xx_ * decay + weight * x * x;
    f->xy_ = f->xy_ * decay + weight * x * y;
}

/* Into *slope, which is left alone where the samples do not show one. */
static void fit_slope(const warm_fit *f, double *slope) {
    double mean = f->x_ / f->w_, var = f->xx_ / f->w_ - mean * mean;
    if (var < spread_min) return;
    double b = (f->xy_ / f->w_ - mean * (f->y_ / f->w_)) / var;
    *slope = b > 0 ? b : 0;
}

warm_prefill_cost warm_rates_prefill_cost(const warm_rates *r) {
    const warm_fit *f = &r->prefill_;
    if (f->w_ <= 0) return (warm_prefill_cost){0};
    double depth = f->x_ / f->w_, mean = f->y_ / f->w_, b = r->depth_ns_;
    if (b * depth > slope_share_max * mean) b = slope_share_max * mean / depth;
    return (warm_prefill_cost){.unit_ns = mean - b * depth, .depth_ns = b};
}

void warm_rates_prefill(warm_rates *r, size_t n_rows, double sum_depth, uint64_t ns) {
    double n = (double)n_rows, depth = sum_depth / n, now = (double)ns / n;
    warm_prefill_cost c = warm_rates_prefill_cost(r);
    double expected = c.unit_ns + c.depth_ns * depth, decay = prefill_memory / (prefill_memory + n);
    if (now > expected * surprise || now * surprise < expected) decay = surprise_decay;
    fit_add(&r->prefill_, decay, n, depth, now);
    fit_slope(&r->prefill_, &r->depth_ns_);
}

void warm_rates_fork(warm_rates *r, uint64_t ns) {
    r->fork_ns_ = r->fork_ns_ > 0 ? r->fork_ns_ + ((double)ns - r->fork_ns_) / 8 : (double)ns;
}

void warm_rates_decode(warm_rates *r, size_t n_rows, size_t n_cells_used, uint64_t ns) {
    double row_ns = (double)ns / (double)n_rows;
    r->decode_row_ns_ = r->decode_row_ns_ > 0 ? r->decode_row_ns_ + (row_ns - r->decode_row_ns_) / 8 : row_ns;
    fit_add(&r->decode_, decode_decay, 1, (double)n_cells_used, (double)ns);
}

double warm_rates_cell_ns(const warm_rates *r) {
    double slope = 0;
    if (r->decode_.w_ >= 32) fit_slope(&r->decode_, &slope);
    return slope;
}
