/* SPDX-License-Identifier: MIT
 *
 * http/uri.c - percent-decoding and query strings.
 *
 * Stricter than evhttp's own: what can't be decoded is refused instead of kept as it is, and NUL never gets into a C string.
 * Pure functions. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/internal.h"

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool warm__uri_decode(char *s, bool plus) {
    char *out = s;
    for (; *s; s++) {
        if (*s == '%') {
            int high = hex_digit(s[1]);
            int low = high < 0 ? -1 : hex_digit(s[2]);
            if (low < 0 || (high == 0 && low == 0)) return false;
            *out++ = (char)(high * 16 + low);
            s += 2;
        } else {
            *out++ = plus && *s == '+' ? ' ' : *s;
        }
    }
    *out = '\0';
    return true;
}

static int query_add(warm__query *q, char *name) {
    char *value = strchr(name, '=');
    if (value) *value++ = '\0';
    if (!warm__uri_decode(name, true) || (value && !warm__uri_decode(value, true))) return WARM_EINVAL;
    if (q->n == q->cap_) {
        size_t cap = q->cap_ ? q->cap_ * 2 : 8;
        struct warm__query_pair *v = warm_realloc(q->v, cap * sizeof *v);
        if (!v) return WARM_ENOMEM;
        q->v = v;
        q->cap_ = cap;
    }
    q->v[q->n++] = (struct warm__query_pair){name, value ? value : ""};
    return 0;
}

int warm__query_parse(const char *text, warm__query *q) {
    *q = (warm__query){0};
    if (!text || !*text) return 0;
    q->text_ = warm_strndup(text, strlen(text));
    if (!q->text_) return WARM_ENOMEM;
    char *rest = q->text_;
    int rc = 0;
    while (rest && rc == 0) {
        char *pair = strsep(&rest, "&");
        if (*pair) rc = query_add(q, pair);
    }
    if (rc) warm__query_deinit(q);
    return rc;
}

const char *warm__query_find(const warm__query *q, const char *name) {
    for (size_t i = 0; i < q->n; i++)
        if (strcmp(q->v[i].name, name) == 0) return q->v[i].value;
    return NULL;
}

void warm__query_deinit(warm__query *q) {
    free(q->text_);
    free(q->v);
    *q = (warm__query){0};
}
