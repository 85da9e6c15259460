/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_replay_trace.c - whatever lines a trace has: they are refused with words, or what was read can be driven to its end, each request once,
 * and its bounds are in order. */
#include <stdlib.h>
#include <string.h>

#include "tools/replay_tree.h"

enum { NODES_MAX = 1 << 14 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const warm_trace *t, const warm_drive_options *o) {
    const warm_trace_shape shape = {.scale = 3, .vocab = 100};
    warm_tree *tree;
    warm_err err = {0};
    if (warm_tree_new(t, &shape, o, NODES_MAX, &tree, &err)) return;
    warm_drive *d = warm_drive_new(o);
    if (warm_drive_total(d) != tree->n_asks) abort();
    warm_drive_free(d);
    warm_optimum *best;
    uint64_t none, some, all;
    if (warm_optimum_new(tree, tree->asks, tree->n_asks, &best, &err)) abort();
    if (warm_optimum_run(best, 0, &none, &err) || warm_optimum_run(best, 100, &some, &err) ||
        warm_optimum_run(best, UINT64_MAX, &all, &err))
        abort();
    if (none != tree->n_tokens || some > none || all > some || all < tree->oracle_tokens) abort();
    warm_optimum_free(best);
    warm_tree_free(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    warm_trace t = {0};
    warm_err err = {0};
    int rc = 0;
    bool first = true;
    for (const char *line = (const char *)data, *all = line + size; !rc && line < all;) {
        const char *end = memchr(line, '\n', (size_t)(all - line));
        if (!end) end = all;
        if (end > line) {
            rc = warm_trace_line(&t, line, (size_t)(end - line), first, &err);
            first = false;
        }
        line = end + 1;
    }
    if (!rc) rc = warm_trace_end(&t, &err);
    if (rc && !err.text[0]) abort();
    if (!rc && t.kind == WARM_TRACE_STAMPS) look_at(&t, &(warm_drive_options){.trace = &t});
    if (!rc && t.kind != WARM_TRACE_STAMPS) {
        look_at(&t, &(warm_drive_options){.trace = &t, .users = 2});
        look_at(&t, &(warm_drive_options){.trace = &t, .rotate = 2});
    }
    warm_trace_free(&t);
    return 0;
}
