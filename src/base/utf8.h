/* SPDX-License-Identifier: MIT
 *
 * base/utf8.h - a stream of bytes cut at token borders, as whole UTF-8. [any] */
#ifndef WARM_BASE_UTF8_H
#define WARM_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Length of the longest prefix of s[0..n) that does not end inside a character. Bytes that can't begin or continue a character
 * count as characters of their own, so the rest is at most 3 bytes: the beginning of a character that may still be completed. */
size_t warm_utf8_whole(const char *s, size_t n);
bool warm_utf8_valid(const char *s, size_t n);
/* Length of the valid character at s (1..4), or 0 if there is none; n > 0. */
size_t warm_utf8_char(const char *s, size_t n);

#endif
