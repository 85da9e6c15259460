/* SPDX-License-Identifier: MIT
 *
 * cache/key.c - the fingerprint of a scope: what must be equal for state to be shared at all.
 *
 * Each part is hashed behind its length, so that no two different lists of parts give the same bytes. An absent part is an
 * empty one: a request without a salt and one with "" are the same tenant. [any] */
#include <string.h>

#include "base/hash.h"
#include "warmslot/cache.h"

static void add_part(warm_sha256 *h, const char *part) {
    uint64_t n = part ? strlen(part) : 0;
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(n >> (8 * i));
    warm_sha256_add(h, length, sizeof length);
    if (n) warm_sha256_add(h, part, n);
}

void warm_scope_fingerprint(const char *engine, const char *adapters, const char *salt, uint8_t out[WARM_SCOPE_BYTES]) {
    static const char head[] = "warmslot scope 1\n";
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, head, sizeof head - 1);
    add_part(h, engine);
    add_part(h, adapters);
    add_part(h, salt);
    warm_sha256_end(h, out);
}
