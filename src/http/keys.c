/* SPDX-License-Identifier: MIT
 *
 * http/keys.c - API keys, compared so that the time taken tells nothing about them.
 *
 * Keys are compared as SHA-256 digests, all of them, whichever matches: neither the length of a key, nor the first wrong byte,
 * nor its place in the list can be timed. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "http/internal.h"

static void digest_text(const char *text, uint8_t out[32]) {
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, text, strlen(text));
    warm_sha256_end(h, out);
}

void warm__keys_init(warm__keys *k, const char *const *texts, size_t n) {
    *k = (warm__keys){0};
    if (!n) return;
    k->v = warm_xcalloc(n, sizeof *k->v);
    for (size_t i = 0; i < n; i++) {
        k->v[i].text = warm_xstrdup(texts[i]);
        digest_text(texts[i], k->v[i].digest);
    }
    k->n = n;
}

const char *warm__keys_find(const warm__keys *k, const char *value) {
    if (!value) return NULL;
    if (strncasecmp(value, "Bearer ", 7) == 0) value += 7;
    value += strspn(value, " ");
    if (!*value) return NULL;
    uint8_t digest[32];
    digest_text(value, digest);
    const char *found = NULL;
    for (size_t i = 0; i < k->n; i++) {
        bool same = CRYPTO_memcmp(digest, k->v[i].digest, sizeof digest) == 0;
        found = same ? k->v[i].text : found;
    }
    return found;
}

void warm__keys_deinit(warm__keys *k) {
    for (size_t i = 0; i < k->n; i++) {
        OPENSSL_cleanse(k->v[i].text, strlen(k->v[i].text));
        free(k->v[i].text);
    }
    free(k->v);
    *k = (warm__keys){0};
}
