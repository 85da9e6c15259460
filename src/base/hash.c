/* SPDX-License-Identifier: MIT
 *
 * base/hash.c - SHA-256 through OpenSSL, XXH3-64 through xxhash (base/hash.h).
 *
 * The digest is fetched once: EVP_sha256() makes OpenSSL 3 look its implementation up at every init, which costs
 * more than hashing a block's units. OpenSSL's small allocations that fail end the process, like warm_xmalloc. */
#include "base/hash.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>
#ifdef WARM_XXH_DISPATCH
/* Chooses by what the processor can do. The library without it is SSE2, which reads at two thirds of what memory gives. */
#include <xxh_x86dispatch.h>
#endif

/* The public types are the libraries' own under other names, so that no user of hash.h sees these. */
static EVP_MD_CTX *ctx_of(warm_sha256 *h) {
    return (EVP_MD_CTX *)h;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256;

static void fetch_sha256(void) {
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static void must(int ok) {
    if (ok) return;
    fputs("warmslot: SHA-256 is not available (out of memory, or OpenSSL without its default provider)\n", stderr);
    abort();
}

warm_sha256 *warm_sha256_new(void) {
    pthread_once(&once, fetch_sha256);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    must(sha256 && ctx && EVP_DigestInit_ex(ctx, sha256, NULL) == 1);
    return (warm_sha256 *)ctx;
}

void warm_sha256_add(warm_sha256 *h, const void *p, size_t n) {
    must(EVP_DigestUpdate(ctx_of(h), p, n) == 1);
}

void warm_sha256_end(warm_sha256 *h, uint8_t out[32]) {
    must(EVP_DigestFinal_ex(ctx_of(h), out, NULL) == 1);
    EVP_MD_CTX_free(ctx_of(h));
}

uint64_t warm_xxh3(const void *p, size_t n) {
    return XXH3_64bits(p, n);
}

static XXH3_state_t *state_of(warm_xxh3_sum *h) {
    return (XXH3_state_t *)h;
}

warm_xxh3_sum *warm_xxh3_new(void) {
    return (warm_xxh3_sum *)XXH3_createState();
}

void warm_xxh3_begin(warm_xxh3_sum *h) {
    (void)XXH3_64bits_reset(state_of(h));
}

void warm_xxh3_add(warm_xxh3_sum *h, const void *p, size_t n) {
    (void)XXH3_64bits_update(state_of(h), p, n);
}

uint64_t warm_xxh3_end(const warm_xxh3_sum *h) {
    return XXH3_64bits_digest((const XXH3_state_t *)h);
}

void warm_xxh3_free(warm_xxh3_sum *h) {
    XXH3_freeState(state_of(h));
}
