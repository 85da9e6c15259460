/* SPDX-License-Identifier: MIT
 *
 * base/json_write.h - a streaming JSON writer into a warm_buf: commas, escapes and nesting are its business.
 *
 * Strings are written as valid UTF-8: bytes that are not become U+FFFD. Doubles are the shortest text that reads back the
 * same; NaN and infinities become null. Misuse (a value where a key is due) asserts. Errors are the buffer's. [any] */
#ifndef WARM_BASE_JSON_WRITE_H
#define WARM_BASE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define WARM_JSON_DEPTH_MAX 32

typedef struct warm_json {
    warm_buf *buf;
    int depth_;
    uint8_t state_[WARM_JSON_DEPTH_MAX];
} warm_json;

void warm_json_init(warm_json *j, warm_buf *b);
void warm_json_obj(warm_json *j);
void warm_json_obj_end(warm_json *j);
void warm_json_arr(warm_json *j);
void warm_json_arr_end(warm_json *j);
void warm_json_key(warm_json *j, const char *key);
void warm_json_str(warm_json *j, const char *s); /* NULL writes null */
void warm_json_strn(warm_json *j, const char *s, size_t n);
void warm_json_int(warm_json *j, int64_t v);
void warm_json_uint(warm_json *j, uint64_t v);
void warm_json_double(warm_json *j, double v);
void warm_json_float(warm_json *j, float v); /* shortest text that reads back as the same float */
void warm_json_bool(warm_json *j, bool v);
void warm_json_null(warm_json *j);
void warm_json_raw(warm_json *j, const char *json, size_t n); /* an already valid value */
/* key and value in one call */
void warm_json_kstr(warm_json *j, const char *key, const char *s);
void warm_json_kint(warm_json *j, const char *key, int64_t v);
void warm_json_kuint(warm_json *j, const char *key, uint64_t v);
void warm_json_kdouble(warm_json *j, const char *key, double v);
void warm_json_kfloat(warm_json *j, const char *key, float v);
void warm_json_kbool(warm_json *j, const char *key, bool v);

#endif
