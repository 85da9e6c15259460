/* SPDX-License-Identifier: MIT
 *
 * base/min.h - the smaller of two sizes. [any] */
#ifndef WARM_BASE_MIN_H
#define WARM_BASE_MIN_H

#include <stddef.h>

static inline size_t warm_min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

#endif
