/* SPDX-License-Identifier: MIT
 *
 * base/utf8.c - UTF-8 as RFC 3629 has it (base/utf8.h): no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Everything rests on one table: the lead byte decides the length and the range of the second byte, every later byte is
 * 80..BF. A lead byte is never a continuation, so the beginning of a cut character is found from the end of the bytes
 * without looking at what is before it. */
#include "base/utf8.h"

#include <stdint.h>

/* Length of the character that lead byte c begins and the range of its second byte; 0 when c begins none. */
static size_t lead(uint8_t c, uint8_t *lo, uint8_t *hi) {
    *lo = 0x80;
    *hi = 0xbf;
    if (c < 0x80) return 1;
    if (c < 0xc2 || c > 0xf4) return 0;
    if (c == 0xe0) *lo = 0xa0; /* below: overlong */
    if (c == 0xed) *hi = 0x9f; /* above: surrogates */
    if (c == 0xf0) *lo = 0x90; /* below: overlong */
    if (c == 0xf4) *hi = 0x8f; /* above: behind U+10FFFF */
    return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* How many of s[0..n) are the character at s, whole or cut, and in *len how many it has; 0 when no character begins like this. */
static size_t match(const char *s, size_t n, size_t *len) {
    uint8_t lo, hi;
    *len = lead((uint8_t)s[0], &lo, &hi);
    if (!*len) return 0;
    size_t i = 1;
    for (; i < *len && i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c < lo || c > hi) return 0;
        lo = 0x80;
        hi = 0xbf;
    }
    return i;
}

size_t warm_utf8_char(const char *s, size_t n) {
    size_t len;
    return match(s, n, &len) == len ? len : 0;
}

size_t warm_utf8_whole(const char *s, size_t n) {
    for (size_t k = 1; k <= 3 && k <= n; k++) {
        size_t len;
        if (match(s + n - k, k, &len) == k && len > k) return n - k;
    }
    return n;
}

bool warm_utf8_valid(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t len = (uint8_t)s[i] < 0x80 ? 1 : warm_utf8_char(s + i, n - i);
        if (!len) return false;
        i += len;
    }
    return true;
}
