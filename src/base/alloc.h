/* SPDX-License-Identifier: MIT
 *
 * base/alloc.h - two ways to allocate.
 *
 * warm_malloc & co. may fail and are for sizes that a client, a file or a peer decides; the torture tests make the N-th of them
 * fail. warm_xmalloc & co. end the process instead and are for small structs of fixed size. Freed with free(). [any] */
#ifndef WARM_BASE_ALLOC_H
#define WARM_BASE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

void *warm_malloc(size_t n);
void *warm_calloc(size_t n, size_t size);
void *warm_realloc(void *p, size_t n);
char *warm_strndup(const char *s, size_t n);

void *warm_xmalloc(size_t n);
void *warm_xcalloc(size_t n, size_t size);
char *warm_xstrdup(const char *s);

/* Tests: the n-th fallible allocation from now (1 = the next one) fails once; 0 switches off. Returns how many were made since the last call. */
uint64_t warm_alloc_fail_at(uint64_t n);

#endif
