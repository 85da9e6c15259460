/* SPDX-License-Identifier: MIT
 *
 * base/rng.h - a seeded generator (splitmix64) for tests, models and simulations. Not for secrets. */
#ifndef WARM_BASE_RNG_H
#define WARM_BASE_RNG_H

#include <stdint.h>

typedef struct warm_rng {
    uint64_t state;
} warm_rng;

static inline uint64_t warm_rng_next(warm_rng *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in [0, n), n > 0; the bias of the modulo is below 2^-32 for n < 2^32. */
static inline uint64_t warm_rng_below(warm_rng *r, uint64_t n) {
    return warm_rng_next(r) % n;
}

/* Uniform in [0, 1). */
static inline double warm_rng_unit(warm_rng *r) {
    return (double)(warm_rng_next(r) >> 11) * 0x1p-53;
}

#endif
