/* SPDX-License-Identifier: MIT
 *
 * base/hash.h - SHA-256 (OpenSSL) for identities, XXH3-64 (xxhash) for checksums. [any] */
#ifndef WARM_BASE_HASH_H
#define WARM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct warm_sha256 warm_sha256;
warm_sha256 *warm_sha256_new(void);
void warm_sha256_add(warm_sha256 *h, const void *p, size_t n);
void warm_sha256_end(warm_sha256 *h, uint8_t out[32]); /* frees h */

uint64_t warm_xxh3(const void *p, size_t n);

/* The same of bytes that come in parts. NULL without memory. */
typedef struct warm_xxh3_sum warm_xxh3_sum;
warm_xxh3_sum *warm_xxh3_new(void);
void warm_xxh3_begin(warm_xxh3_sum *h); /* of the next bytes */
void warm_xxh3_add(warm_xxh3_sum *h, const void *p, size_t n);
uint64_t warm_xxh3_end(const warm_xxh3_sum *h);
void warm_xxh3_free(warm_xxh3_sum *h);

#endif
