/* SPDX-License-Identifier: MIT
 *
 * store/bytes.h - what the formats of files have in common: numbers are little-endian, texts have a bound, state has a layout.
 * Threads: [any]. */
#ifndef WARM_STORE_BYTES_H
#define WARM_STORE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Of what state_save, window_save and snapshot_save of the engines write. Raised when bytes of the release before do not restore bit for bit. */
#define WARM_STATE_LAYOUT 1u

enum { WARM_TEXT_MAX = 1 << 20 };

static inline uint8_t *warm__put(uint8_t *p, uint64_t x, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(x >> (8 * i));
    return p + n;
}

static inline uint8_t *warm__put_bytes(uint8_t *p, const void *bytes, size_t n) {
    memcpy(p, bytes, n);
    return p + n;
}

static inline uint64_t warm__get(const uint8_t **p, size_t n) {
    uint64_t x = 0;
    for (size_t i = 0; i < n; i++) x |= (uint64_t)(*p)[i] << (8 * i);
    *p += n;
    return x;
}

static inline void warm__get_bytes(const uint8_t **p, void *out, size_t n) {
    memcpy(out, *p, n);
    *p += n;
}

static inline uint64_t warm__bits_of(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double warm__double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
