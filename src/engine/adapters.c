/* SPDX-License-Identifier: MIT
 *
 * engine/adapters.c - the text that names what a set of adapters does. See warmslot/engine.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "warmslot/engine.h"

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *line_of(const warm_adapter *a, float scale) {
    int n = snprintf(NULL, 0, "adapter: %s, scale %.9g\n", a->content, (double)scale);
    char *line = warm_malloc((size_t)n + 1);
    if (line) snprintf(line, (size_t)n + 1, "adapter: %s, scale %.9g\n", a->content, (double)scale);
    return line;
}

char *warm_adapters_text(const warm_engine_info *info, const float *scale) {
    size_t n = 0, bytes = 1;
    char *text = NULL, **lines = warm_calloc(info->n_adapters + 1, sizeof *lines);
    if (!lines) return NULL;
    for (size_t i = 0; i < info->n_adapters; i++) {
        if (scale[i] == 0.0f) continue;
        lines[n] = line_of(&info->adapters[i], scale[i]);
        if (!lines[n]) goto out;
        bytes += strlen(lines[n++]);
    }
    /* The order in which they were loaded does not matter, and another run may have another one. */
    qsort(lines, n, sizeof *lines, by_text);
    text = warm_malloc(bytes);
    if (!text) goto out;
    char *at = text;
    *at = '\0';
    for (size_t i = 0; i < n; i++) at = stpcpy(at, lines[i]);
out:
    while (n) free(lines[--n]);
    free(lines);
    return text;
}
