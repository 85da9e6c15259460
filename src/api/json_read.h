/* SPDX-License-Identifier: MIT
 *
 * api/json_read.h - JSON from outside: exactly RFC 8259, then json-c.
 *
 * json-c keeps key order and 64-bit integers, but even its strict mode lets NaN, Infinity, raw control characters and lone
 * surrogates through, and saturates numbers that do not fit. So the bytes are checked by a scanner of our own first and json-c
 * only ever sees valid text.
 *
 * Invariants
 *  (1) What is accepted is one JSON object (or one array, where that is asked for), valid UTF-8, at most WARM_JREAD_DEPTH_MAX deep, without trailing bytes.
 *  (2) Integers (no fraction, no exponent) fit into int64 or uint64 and are exact; other numbers are finite doubles.
 *  (3) No key contains a NUL. Values may; their length is json_object_get_string_len.
 * Of keys that occur twice the last one counts. JSON null is a NULL json_object: absent and null look the same.
 * Threads: [any], one owner per tree. */
#ifndef WARM_API_JSON_READ_H
#define WARM_API_JSON_READ_H

#include <json-c/json_object.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

enum { WARM_JREAD_DEPTH_MAX = 64 };

typedef struct json_object warm_jv;

/* *out is freed with json_object_put. WARM_EINVAL says what is wrong at which byte. */
WARM_MUST_USE int warm_jread(const char *text, size_t len, warm_jv **out, warm_err *err);

/* The same for a body that is an array. */
WARM_MUST_USE int warm_jread_array(const char *text, size_t len, warm_jv **out, warm_err *err);

/* The member, or NULL if it is absent or null, or if obj is not an object. */
warm_jv *warm_jget(const warm_jv *obj, const char *key);
bool warm_jis(const warm_jv *v, enum json_type type); /* false for NULL */
/* An integer, or a double without a fraction (clients write 128.0), that fits. */
bool warm_jint(const warm_jv *v, int64_t *out);
bool warm_jnum(const warm_jv *v, double *out);
/* A string without NUL inside, or NULL. */
const char *warm_jcstr(warm_jv *v);
/* "an integer", "a string", ... for messages; "null" for NULL. */
const char *warm_jtype(const warm_jv *v);

#endif
