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

#endif
