/* SPDX-License-Identifier: MIT
 *
 * base/err.c - error codes and messages (warmslot/err.h). Threads: all [any]. */
#include "warmslot/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

int warm_err_set(warm_err *err, int code, const char *fmt, ...) {
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    err->code = code;
    if (n < 0) {
        err->text[0] = '\0';
    } else if ((size_t)n >= sizeof err->text) {
        /* The message ends up in JSON: half a character at the cut would be shown as U+FFFD. */
        err->text[warm_utf8_whole(err->text, strlen(err->text))] = '\0';
    }
    return code;
}

const char *warm_err_name(int code) {
    switch (code) {
#define XX(name, value, text)                                                                                                      \
    case (value):                                                                                                                  \
        return "WARM_" #name;
        WARM_ERR_MAP(XX)
#undef XX
    default:
        return code == 0 ? "WARM_OK" : "WARM_UNKNOWN";
    }
}

const char *warm_strerror(int code) {
    switch (code) {
#define XX(name, value, text)                                                                                                      \
    case (value):                                                                                                                  \
        return text;
        WARM_ERR_MAP(XX)
#undef XX
    default:
        return code == 0 ? "success" : "unknown error";
    }
}
