/* SPDX-License-Identifier: MIT
 *
 * base/alloc.c - malloc with a fault injector in front (base/alloc.h).
 *
 * The injector is compiled in always: one relaxed atomic addition is nothing beside a malloc, and so the tests run the same
 * code as the server. A request for 0 bytes yields a pointer, so that NULL means failure and nothing else. Threads: all [any]. */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic uint64_t n_made; /* fallible allocations since the injector was last set */
static _Atomic uint64_t fail_at;

static int must_fail(void) {
    uint64_t k = atomic_fetch_add_explicit(&n_made, 1, memory_order_relaxed) + 1;
    return k == atomic_load_explicit(&fail_at, memory_order_relaxed);
}

uint64_t warm_alloc_fail_at(uint64_t n) {
    atomic_store(&fail_at, 0);
    uint64_t made = atomic_exchange(&n_made, 0);
    atomic_store(&fail_at, n);
    return made;
}

void *warm_malloc(size_t n) {
    return must_fail() ? NULL : malloc(n ? n : 1);
}

void *warm_calloc(size_t n, size_t size) {
    if (must_fail()) return NULL;
    return n && size ? calloc(n, size) : calloc(1, 1);
}

void *warm_realloc(void *p, size_t n) {
    return must_fail() ? NULL : realloc(p, n ? n : 1);
}

char *warm_strndup(const char *s, size_t n) {
    size_t len = strnlen(s, n);
    char *copy = warm_malloc(len + 1);
    if (!copy) return NULL;
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

static void *or_die(void *p) {
    if (p) return p;
    fputs("warmslot: out of memory\n", stderr);
    abort();
}

void *warm_xmalloc(size_t n) {
    return or_die(malloc(n ? n : 1));
}

void *warm_xcalloc(size_t n, size_t size) {
    return or_die(n && size ? calloc(n, size) : calloc(1, 1));
}

char *warm_xstrdup(const char *s) {
    return or_die(strdup(s));
}
