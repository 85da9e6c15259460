/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_split.c - a model in several files is opened by the first, and all of them are its content. */
#include <ggml.h>
#include <gguf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model_fixture.h"

enum { PARTS = 3 };

static char paths[PARTS][256];

/* Deals the tiny model's tensors out to PARTS files, named as libllama names them. */
static void write_parts(void) {
    struct ggml_context *c = NULL;
    struct gguf_init_params params = {false, &c};
    struct gguf_context *whole = gguf_init_from_file(tiny_model(), params);
    assert_non_null(whole);
    const int64_t n = gguf_get_n_tensors(whole);
    for (int part = 0; part < PARTS; part++) {
        char name[64];
        snprintf(name, sizeof name, "tiny-%05d-of-%05d.gguf", part + 1, PARTS);
        strcpy(paths[part], temp_path(name));
        struct gguf_context *g = gguf_init_empty();
        if (part == 0) gguf_set_kv(g, whole);
        gguf_set_val_u16(g, "split.no", (uint16_t)part);
        gguf_set_val_u16(g, "split.count", PARTS);
        gguf_set_val_i32(g, "split.tensors.count", (int32_t)n);
        for (int64_t i = part; i < n; i += PARTS) gguf_add_tensor(g, ggml_get_tensor(c, gguf_get_tensor_name(whole, i)));
        assert_true(gguf_write_to_file(g, paths[part], false));
        gguf_free(g);
    }
    gguf_free(whole);
    ggml_free(c);
}

static warm_engine *open_parts(void) {
    static const char *const flags[] = {"-c", "256", NULL};
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, paths[0], flags)) fail_msg("open: %s", err.text);
    return e;
}

static void a_model_in_parts_is_the_same_model(void **state) {
    (void)state;
    enum { N = 16 };
    int32_t tokens[N];
    write_parts();
    warm_engine *e = open_parts();
    const size_t bytes = e->info->n_vocab * sizeof(float);
    some_tokens(e, tokens, N, 1);
    float *of_parts = decode(e, 0, tokens, 0, N, N);
    e->ops->close(e);
    e = open_tiny("256", NULL);
    float *of_whole = decode(e, 0, tokens, 0, N, N);
    e->ops->close(e);
    assert_memory_equal(of_parts, of_whole, bytes);
    free(of_parts);
    free(of_whole);
}

static void every_part_counts_for_the_scope(void **state) {
    (void)state;
    warm_engine *e = open_parts();
    char *before = strdup(e->info->scope);
    e->ops->close(e);
    FILE *f = fopen(paths[PARTS - 1], "r+b");
    assert_non_null(f);
    fseek(f, -1000, SEEK_END);
    int c = fgetc(f);
    fseek(f, -1000, SEEK_END);
    fputc(c ^ 1, f);
    fclose(f);
    e = open_parts();
    assert_string_not_equal(e->info->scope, before);
    e->ops->close(e);
    free(before);
}

static void a_missing_part_is_an_error(void **state) {
    (void)state;
    assert_int_equal(unlink(paths[1]), 0);
    warm_engine *e = NULL;
    warm_err err = {0};
    assert_int_equal(try_open(&e, &err, paths[0], NULL), WARM_EENGINE);
    assert_string_not_equal(err.text, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_in_parts_is_the_same_model),
        cmocka_unit_test(every_part_counts_for_the_scope),
        cmocka_unit_test(a_missing_part_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
