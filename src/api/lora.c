/* SPDX-License-Identifier: MIT
 *
 * api/lora.c - see lora.h. */
#include "api/lora.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

static int type_error(warm_err *err, const char *name, size_t i, const char *member, const char *what, const warm_jv *v) {
    return warm_err_set(err, WARM_EINVAL, "Field '%s[%zu]%s': expected %s, got %s", name, i, member, what, warm_jtype(v));
}

static int read_entry(const warm_engine_info *info, const char *name, size_t i, warm_jv *entry, warm_lora *out, warm_err *err) {
    int64_t id;
    double scale = 0;
    if (!warm_jis(entry, json_type_object)) return type_error(err, name, i, "", "an object with id and scale", entry);
    warm_jv *v = warm_jget(entry, "id");
    if (!warm_jint(v, &id)) return type_error(err, name, i, ".id", "an integer", v);
    if (id < 0 || (uint64_t)id >= info->n_adapters)
        return warm_err_set(err, WARM_EINVAL, "Field '%s[%zu].id': there is no adapter %lld (adapters loaded: %zu)", name, i,
                            (long long)id, info->n_adapters);
    v = warm_jget(entry, "scale");
    if (v && !warm_jnum(v, &scale)) return type_error(err, name, i, ".scale", "a number", v);
    if (fabs(scale) > (double)FLT_MAX)
        return warm_err_set(err, WARM_EINVAL, "Field '%s[%zu].scale': %.60s is too large", name, i, json_object_get_string(v));
    *out = (warm_lora){.id = (uint32_t)id, .scale = (float)scale};
    return 0;
}

/* Keeps the list in order; an id that is there already is replaced. */
static void put(warm_lora *list, size_t *n, warm_lora entry) {
    size_t at = 0;
    while (at < *n && list[at].id < entry.id) at++;
    if (at == *n || list[at].id != entry.id) {
        for (size_t i = (*n)++; i > at; i--) list[i] = list[i - 1];
    }
    list[at] = entry;
}

int warm_lora_read(const warm_engine_info *info, const char *name, warm_jv *v, warm_lora **out, size_t *n, warm_err *err) {
    if (!warm_jis(v, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field '%s': expected an array of {id, scale}, got %s", name, warm_jtype(v));
    size_t n_entries = json_object_array_length(v), n_list = 0;
    warm_lora *list = NULL, entry = {0};
    /* Ids are checked before they are put, so there are never more than adapters. */
    if (n_entries && info->n_adapters && !(list = warm_calloc(info->n_adapters, sizeof *list)))
        return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    for (size_t i = 0; i < n_entries; i++) {
        int rc = read_entry(info, name, i, json_object_array_get_idx(v, i), &entry, err);
        if (rc) {
            free(list);
            return rc;
        }
        put(list, &n_list, entry);
    }
    *out = list;
    *n = n_list;
    return 0;
}

void warm_lora_spread(const warm_engine_info *info, const warm_lora *list, size_t n, float *scale) {
    for (size_t i = 0; i < info->n_adapters; i++) scale[i] = 0.0f;
    for (size_t i = 0; i < n; i++) scale[list[i].id] = list[i].scale;
}
