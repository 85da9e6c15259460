/* SPDX-License-Identifier: MIT
 *
 * base/buf.h - a growable byte buffer with a ceiling.
 *
 * The first failed append (no memory, or past the ceiling) makes the buffer sticky-bad: later appends do nothing and
 * warm_buf_err tells. `data` is NUL-terminated behind len whenever it is not NULL. [any], one owner at a time. */
#ifndef WARM_BASE_BUF_H
#define WARM_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "warmslot/err.h"

typedef struct warm_buf {
    char *data;
    size_t len;
    size_t cap_, max_;
    int err_;
} warm_buf;

void warm_buf_init(warm_buf *b, size_t max_bytes);
void warm_buf_free(warm_buf *b);
void warm_buf_clear(warm_buf *b); /* len = 0, error forgotten, memory kept */
void warm_buf_append(warm_buf *b, const void *p, size_t n);
void warm_buf_puts(warm_buf *b, const char *s);
void warm_buf_putc(warm_buf *b, char c);
void warm_buf_printf(warm_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int warm_buf_err(const warm_buf *b); /* 0, WARM_ENOMEM or WARM_EFULL */
/* Makes the buffer sticky-bad for a reason of its writer's own (code < 0): what belongs into it could not be made. */
void warm_buf_fail(warm_buf *b, int code);
/* Gives the bytes away (free with free()); the buffer is empty again. "" (malloc'ed) when nothing was written, NULL when bad. */
char *warm_buf_take(warm_buf *b, size_t *len);

#endif
