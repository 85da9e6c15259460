/* SPDX-License-Identifier: MIT
 *
 * tests/engine/model_fixture.c - see model_fixture.h. */
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "llama/mkmodel.h"

enum { FLAGS_MAX = 32 };

static char folder[64];

static void remove_folder(void) {
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    if (system(cmd)) fprintf(stderr, "%s is left\n", folder);
}

const char *temp_path(const char *name) {
    static char path[4][256];
    static unsigned turn;
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/warm-engine-XXXXXX");
        if (!mkdtemp(folder)) abort();
        atexit(remove_folder);
        setenv("XDG_CACHE_HOME", folder, 1); /* what the engine remembers goes with it */
    }
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static const char *make_model(const char *kind, char *path, size_t cap) {
    if (!path[0]) {
        char name[32];
        snprintf(name, sizeof name, "%s.gguf", kind);
        snprintf(path, cap, "%s", temp_path(name));
        warm_mkmodel_options o = {.kind = kind, .out = path, .layers = 2, .ctx = 4096};
        warm_err err = {0};
        if (warm_mkmodel(&o, &err)) fail_msg("mkmodel: %s", err.text);
    }
    return path;
}

const char *tiny_model(void) {
    static char path[256];
    const char *given = getenv("WARM_TEST_MODEL");
    return given ? given : make_model("dense", path, sizeof path);
}

const char *tiny_kind(const char *kind) {
    static struct { char kind[32], path[256]; } made[8];
    size_t i = 0;
    while (made[i].kind[0] && strcmp(made[i].kind, kind) != 0) i++;
    assert_true(i < sizeof made / sizeof made[0]);
    if (made[i].kind[0]) return made[i].path;
    char name[64];
    snprintf(name, sizeof name, "kind-%s.gguf", kind);
    snprintf(made[i].path, sizeof made[i].path, "%s", temp_path(name));
    warm_mkmodel_options o = {.kind = kind, .out = made[i].path, .ctx = 4096};
    if (strstr(kind, "swa")) o.window = TINY_WINDOW;
    if (!strcmp(kind, "swa-narrow")) {
        o.kind = "swa";
        o.window = TINY_WINDOW_NARROW;
    }
    warm_err err = {0};
    if (warm_mkmodel(&o, &err)) fail_msg("mkmodel %s: %s", kind, err.text);
    snprintf(made[i].kind, sizeof made[i].kind, "%s", kind);
    return made[i].path;
}

const char *tiny_moe(void) {
    static char path[256];
    return make_model("moe", path, sizeof path);
}

int try_open(warm_engine **out, warm_err *err, const char *model, const char *const *flags) {
    const char *argv[FLAGS_MAX] = {"warmslot", "-t", "1", "--fit", "off"};
    int argc = 5;
    if (model) {
        argv[argc++] = "-m";
        argv[argc++] = model;
    }
    for (; flags && *flags; flags++) argv[argc++] = *flags;
    warm_llama_options o = {.argc = argc, .argv = argv, .n_slots = 2, .n_seq_extra = 2, .n_seq_extra_own = 2};
    return warm_llama_open(&o, out, err);
}

warm_engine *open_tiny(const char *n_ctx, ...) {
    const char *flags[FLAGS_MAX] = {"-c", n_ctx};
    size_t n = 2;
    va_list ap;
    va_start(ap, n_ctx);
    for (const char *f; (f = va_arg(ap, const char *));) flags[n++] = f;
    va_end(ap);
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, tiny_model(), flags)) fail_msg("open: %s", err.text);
    return e;
}

void some_tokens(const warm_engine *e, int32_t *tokens, size_t n, uint64_t seed) {
    warm_rng rng = {seed};
    for (size_t i = 0; i < n; i++) tokens[i] = 100 + (int32_t)warm_rng_below(&rng, e->info->n_vocab / 2);
}

int try_decode(warm_engine *e, int32_t seq, const int32_t *tokens, int32_t p0, int32_t p1, int32_t chunk, warm_err *err) {
    int32_t pos[512], seqs[512];
    uint8_t want[512];
    assert_true(chunk <= 512);
    for (int32_t at = p0; at < p1; at += chunk) {
        int32_t n = p1 - at < chunk ? p1 - at : chunk;
        for (int32_t i = 0; i < n; i++) {
            pos[i] = at + i;
            seqs[i] = seq;
            want[i] = at + i == p1 - 1;
        }
        warm_batch b = {(size_t)n, tokens + at, pos, seqs, want};
        int rc = e->ops->decode(e, &b, err);
        if (rc) return rc;
    }
    return 0;
}

float *decode(warm_engine *e, int32_t seq, const int32_t *tokens, int32_t p0, int32_t p1, int32_t chunk) {
    warm_err err = {0};
    if (try_decode(e, seq, tokens, p0, p1, chunk, &err)) fail_msg("decode: %s", err.text);
    const float *row = e->ops->logits(e, (size_t)((p1 - p0 - 1) % chunk));
    assert_non_null(row);
    float *copy = malloc(e->info->n_vocab * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, row, e->info->n_vocab * sizeof *copy);
    return copy;
}

void assert_range(warm_engine *e, int32_t seq, int32_t min, int32_t max) {
    int32_t is_min, is_max;
    e->ops->seq_range(e, seq, &is_min, &is_max);
    assert_int_equal(is_min, min);
    assert_int_equal(is_max, max);
}
