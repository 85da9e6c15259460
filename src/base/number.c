/* SPDX-License-Identifier: MIT
 *
 * base/number.c - see number.h. */
#include "base/number.h"

#include <errno.h>
#include <stdlib.h>

bool warm_parse_whole(const char *text, uint64_t *out) {
    char *end;
    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !*end && !errno;
}
