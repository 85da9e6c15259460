/* SPDX-License-Identifier: MIT
 *
 * base/json_write.c - a streaming JSON writer (base/json_write.h).
 *
 * One state per depth says what may come next; every value and every key goes through `before`, which checks it, writes the
 * comma or colon that is due and moves the state on. Misuse is a programmer's error and asserts.
 * Numbers are written in the "C" locale, which the process never leaves. Threads: a writer has one user at a time. */
#include "base/json_write.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum state {
    TOP,       /* the one value of the document is due */
    DONE,      /* nothing may follow */
    OBJ_FIRST, /* a key or the end */
    OBJ_KEY,   /* a comma and a key, or the end */
    OBJ_VALUE, /* the value of the key just written */
    ARR_FIRST, /* a value or the end */
    ARR        /* a comma and a value, or the end */
};

void warm_json_init(warm_json *j, warm_buf *b) {
    *j = (warm_json){.buf = b};
}

static void before_value(warm_json *j) {
    uint8_t *s = &j->state_[j->depth_];
    switch ((enum state) * s) {
    case TOP:
        *s = DONE;
        break;
    case OBJ_VALUE:
        warm_buf_putc(j->buf, ':');
        *s = OBJ_KEY;
        break;
    case ARR_FIRST:
        *s = ARR;
        break;
    case ARR:
        warm_buf_putc(j->buf, ',');
        break;
    case DONE:
    case OBJ_FIRST:
    case OBJ_KEY:
        assert(false && "a JSON value where none may be");
        break;
    }
}

static void open_level(warm_json *j, char c, enum state first) {
    before_value(j);
    assert(j->depth_ + 1 < WARM_JSON_DEPTH_MAX);
    j->state_[++j->depth_] = (uint8_t)first;
    warm_buf_putc(j->buf, c);
}

static void close_level(warm_json *j, char c, enum state first, enum state later) {
    uint8_t s = j->state_[j->depth_];
    assert(j->depth_ > 0 && (s == first || s == later));
    (void)s;
    (void)first;
    (void)later;
    j->depth_--;
    warm_buf_putc(j->buf, c);
}

void warm_json_obj(warm_json *j) {
    open_level(j, '{', OBJ_FIRST);
}

void warm_json_obj_end(warm_json *j) {
    close_level(j, '}', OBJ_FIRST, OBJ_KEY);
}

void warm_json_arr(warm_json *j) {
    open_level(j, '[', ARR_FIRST);
}

void warm_json_arr_end(warm_json *j) {
    close_level(j, ']', ARR_FIRST, ARR);
}

/* Bytes that stand for themselves inside a string. DEL is legal JSON but is shown as nothing, so it is escaped too. */
static bool is_plain(uint8_t c) {
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Writes the character at s that is not plain, and returns its length. */
static size_t put_special(warm_buf *b, const char *s, size_t n) {
    static const char hex[] = "0123456789abcdef";
    uint8_t c = (uint8_t)s[0];
    if (c >= 0x80) {
        size_t len = warm_utf8_char(s, n);
        if (!len) {
            warm_buf_append(b, "\xef\xbf\xbd", 3);
            return 1;
        }
        warm_buf_append(b, s, len);
        return len;
    }
    const char *p = strchr("\"\"\\\\\bb\ff\nn\rr\tt", c);
    if (c && p) {
        warm_buf_append(b, (char[]){'\\', p[1]}, 2);
    } else {
        warm_buf_append(b, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    }
    return 1;
}

static void put_string(warm_buf *b, const char *s, size_t n) {
    warm_buf_putc(b, '"');
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && is_plain((uint8_t)s[k])) k++;
        if (k > i) warm_buf_append(b, s + i, k - i);
        if (k < n) k += put_special(b, s + k, n - k);
        i = k;
    }
    warm_buf_putc(b, '"');
}

void warm_json_key(warm_json *j, const char *key) {
    uint8_t *s = &j->state_[j->depth_];
    assert(*s == OBJ_FIRST || *s == OBJ_KEY);
    if (*s == OBJ_KEY) warm_buf_putc(j->buf, ',');
    *s = OBJ_VALUE;
    put_string(j->buf, key, strlen(key));
}

void warm_json_raw(warm_json *j, const char *json, size_t n) {
    before_value(j);
    warm_buf_append(j->buf, json, n);
}

void warm_json_null(warm_json *j) {
    warm_json_raw(j, "null", 4);
}

void warm_json_bool(warm_json *j, bool v) {
    warm_json_raw(j, v ? "true" : "false", v ? 4 : 5);
}

void warm_json_strn(warm_json *j, const char *s, size_t n) {
    before_value(j);
    put_string(j->buf, s, n);
}

void warm_json_str(warm_json *j, const char *s) {
    if (s) {
        warm_json_strn(j, s, strlen(s));
    } else {
        warm_json_null(j);
    }
}

void warm_json_int(warm_json *j, int64_t v) {
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, v);
    warm_json_raw(j, text, (size_t)n);
}

void warm_json_uint(warm_json *j, uint64_t v) {
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRIu64, v);
    warm_json_raw(j, text, (size_t)n);
}

/* 17 digits tell any two doubles apart, 15 survive any double; most values that people wrote need at most 15. */
void warm_json_double(warm_json *j, double v) {
    if (!isfinite(v)) {
        warm_json_null(j);
        return;
    }
    char text[40];
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    warm_json_raw(j, text, (size_t)n);
}

/* As above with a float's digits: 6 survive, 9 tell apart. */
void warm_json_float(warm_json *j, float v) {
    if (!isfinite(v)) {
        warm_json_null(j);
        return;
    }
    char text[40];
    int n = 0;
    for (int digits = 6; digits <= 9; digits++) {
        n = snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    warm_json_raw(j, text, (size_t)n);
}

void warm_json_kstr(warm_json *j, const char *key, const char *s) {
    warm_json_key(j, key);
    warm_json_str(j, s);
}

void warm_json_kint(warm_json *j, const char *key, int64_t v) {
    warm_json_key(j, key);
    warm_json_int(j, v);
}

void warm_json_kuint(warm_json *j, const char *key, uint64_t v) {
    warm_json_key(j, key);
    warm_json_uint(j, v);
}

void warm_json_kdouble(warm_json *j, const char *key, double v) {
    warm_json_key(j, key);
    warm_json_double(j, v);
}

void warm_json_kfloat(warm_json *j, const char *key, float v) {
    warm_json_key(j, key);
    warm_json_float(j, v);
}

void warm_json_kbool(warm_json *j, const char *key, bool v) {
    warm_json_key(j, key);
    warm_json_bool(j, v);
}
