/* SPDX-License-Identifier: MIT
 *
 * api/dialects_private.h - small JSON builders for dialect_*.c. Without memory json-c makes null, which is found missing later. */
#ifndef WARM_API_DIALECTS_PRIVATE_H
#define WARM_API_DIALECTS_PRIVATE_H

#include <string.h>

#include "api/json_read.h"
#include "base/buf.h"

/* Adds a reference to v. */
static inline void warm__share(warm_jv *obj, const char *key, warm_jv *v) {
    if (v) json_object_object_add(obj, key, json_object_get(v));
}

static inline void warm__set_str(warm_jv *obj, const char *key, const char *s) {
    json_object_object_add(obj, key, json_object_new_string(s));
}

static inline void warm__set_text(warm_jv *obj, const char *key, const warm_buf *b) {
    json_object_object_add(obj, key, json_object_new_string_len(b->data ? b->data : "", (int)b->len));
}

static inline warm_jv *warm__push_new(warm_jv *array) {
    warm_jv *v = json_object_new_object();
    json_object_array_add(array, v);
    return v;
}

/* {"type":"text","text":...} */
static inline void warm__push_text(warm_jv *parts, warm_jv *text) {
    warm_jv *part = warm__push_new(parts);
    warm__set_str(part, "type", "text");
    warm__share(part, "text", text);
}

/* {"type":"function","function":{...}} with "id" if there is one; gives the inner object. */
static inline warm_jv *warm__push_function(warm_jv *list, warm_jv *id) {
    warm_jv *call = warm__push_new(list), *function = json_object_new_object();
    warm__set_str(call, "type", "function");
    warm__share(call, "id", id);
    json_object_object_add(call, "function", function);
    return function;
}

/* The member if it is a string, "" otherwise. */
static inline const char *warm__str(warm_jv *obj, const char *key) {
    const char *s = warm_jcstr(warm_jget(obj, key));
    return s ? s : "";
}

static inline bool warm__is(warm_jv *obj, const char *key, const char *value) {
    return !strcmp(warm__str(obj, key), value);
}

#endif
