/* SPDX-License-Identifier: MIT
 *
 * base/buf.c - a growable byte buffer with a ceiling (base/buf.h).
 *
 * Invariants
 *  (1) len <= max_, and len + 1 <= cap_ whenever data is not NULL: the NUL always has room.
 *  (2) An append that fails changes nothing but err_. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#define CAP_MIN ((size_t)128)

void warm_buf_init(warm_buf *b, size_t max_bytes) {
    /* The ceiling leaves room for doubling and the NUL without overflow; no buffer comes near it. */
    *b = (warm_buf){.max_ = max_bytes < SIZE_MAX / 4 ? max_bytes : SIZE_MAX / 4};
}

void warm_buf_free(warm_buf *b) {
    free(b->data);
    warm_buf_init(b, b->max_);
}

void warm_buf_clear(warm_buf *b) {
    b->len = 0;
    b->err_ = 0;
    if (b->data) b->data[0] = '\0';
}

/* Makes room for n more bytes and the NUL; false when the buffer is, or becomes, bad. */
static int grow(warm_buf *b, size_t n) {
    if (b->err_) return 0;
    if (n > b->max_ - b->len) {
        b->err_ = WARM_EFULL;
        return 0;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap_) return 1;
    size_t cap = b->cap_ ? b->cap_ * 2 : CAP_MIN;
    if (cap > b->max_ + 1) cap = b->max_ + 1;
    if (cap < need) cap = need;
    char *data = warm_realloc(b->data, cap);
    if (!data) {
        b->err_ = WARM_ENOMEM;
        return 0;
    }
    b->data = data;
    b->cap_ = cap;
    return 1;
}

void warm_buf_append(warm_buf *b, const void *p, size_t n) {
    if (!grow(b, n)) return;
    if (n) memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void warm_buf_puts(warm_buf *b, const char *s) {
    warm_buf_append(b, s, strlen(s));
}

void warm_buf_putc(warm_buf *b, char c) {
    warm_buf_append(b, &c, 1);
}

void warm_buf_printf(warm_buf *b, const char *fmt, ...) {
    if (!grow(b, 0)) return;
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    size_t room = b->cap_ - b->len;
    int n = vsnprintf(b->data + b->len, room, fmt, ap);
    if (n < 0) {
        b->err_ = WARM_ENOMEM; /* an encoding error can't happen without wide characters, so this is the allocation inside printf */
    } else if ((size_t)n < room) {
        b->len += (size_t)n;
    } else if (grow(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    b->data[b->len] = '\0';
    va_end(again);
    va_end(ap);
}

void warm_buf_fail(warm_buf *b, int code) {
    if (!b->err_) b->err_ = code;
}

int warm_buf_err(const warm_buf *b) {
    return b->err_;
}

char *warm_buf_take(warm_buf *b, size_t *len) {
    grow(b, 0); /* so that nothing written becomes "" and not NULL, which means failure */
    if (b->data) b->data[b->len] = '\0';
    char *data = b->err_ ? NULL : b->data;
    if (len) *len = data ? b->len : 0;
    if (data) b->data = NULL;
    warm_buf_free(b);
    return data;
}
