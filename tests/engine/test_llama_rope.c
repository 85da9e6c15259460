/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_rope.c - the choice between long and short rope factors, which depends on the size of the context: the scope says
 * what libllama chose.
 *
 * The model is the tiny one under another architecture's names, with two sets of factors and a context of 256 that it was made for. */
#include <ggml.h>
#include <gguf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

enum { N = 64, N_FACTORS = 32, MADE_FOR = 256 };

static void rename_keys(struct gguf_context *to, const struct gguf_context *from) {
    static const char old[] = "qwen3.";
    char name[128];
    gguf_set_kv(to, from);
    for (int64_t i = 0; i < gguf_get_n_kv(from); i++) {
        const char *key = gguf_get_key(from, i);
        if (strncmp(key, old, sizeof old - 1) != 0) continue;
        snprintf(name, sizeof name, "llama.%s", key + sizeof old - 1);
        if (gguf_get_kv_type(from, i) == GGUF_TYPE_UINT32) gguf_set_val_u32(to, name, gguf_get_val_u32(from, i));
        if (gguf_get_kv_type(from, i) == GGUF_TYPE_FLOAT32) gguf_set_val_f32(to, name, gguf_get_val_f32(from, i));
    }
    gguf_set_val_str(to, "general.architecture", "llama");
    gguf_set_val_str(to, "llama.rope.scaling.type", "longrope");
    gguf_set_val_u32(to, "llama.rope.scaling.original_context_length", MADE_FOR);
}

static void add_factors(struct gguf_context *to, struct ggml_context *c, const char *name, float factor) {
    struct ggml_tensor *t = ggml_new_tensor_1d(c, GGML_TYPE_F32, N_FACTORS);
    ggml_set_name(t, name);
    for (int i = 0; i < N_FACTORS; i++) ((float *)t->data)[i] = factor;
    gguf_add_tensor(to, t);
}

static const char *two_factors_model(void) {
    const char *path = temp_path("longrope.gguf");
    struct ggml_context *c = NULL;
    struct gguf_context *from = gguf_init_from_file(tiny_model(), (struct gguf_init_params){false, &c});
    assert_non_null(from);
    struct gguf_context *to = gguf_init_empty();
    struct ggml_context *own = ggml_init((struct ggml_init_params){.mem_size = 1 << 16});
    rename_keys(to, from);
    for (struct ggml_tensor *t = ggml_get_first_tensor(c); t; t = ggml_get_next_tensor(c, t)) {
        bool known_here = !strstr(t->name, "attn_q_norm") && !strstr(t->name, "attn_k_norm");
        if (known_here && gguf_find_tensor(from, t->name) >= 0) gguf_add_tensor(to, t);
    }
    add_factors(to, own, "rope_factors_long.weight", 4.0f);
    add_factors(to, own, "rope_factors_short.weight", 1.0f);
    assert_true(gguf_write_to_file(to, path, false));
    gguf_free(to);
    gguf_free(from);
    ggml_free(own);
    ggml_free(c);
    return path;
}

/* Asserts the choice that the scope tells; returns what is computed. */
static float *look(const char *model, const char *n_ctx, const char *flag, const char *value, const char *choice) {
    const char *flags[] = {"-c", n_ctx, flag, value, NULL};
    char line[64];
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, model, flags)) fail_msg("open: %s", err.text);
    snprintf(line, sizeof line, "\nrope factors: %s\n", choice);
    if (!strstr(e->info->scope, line)) fail_msg("not %s: %s", choice, e->info->scope);
    int32_t tokens[N];
    some_tokens(e, tokens, N, 1);
    float *row = decode(e, 0, tokens, 0, N, N);
    e->ops->close(e);
    return row;
}

static void the_scope_says_which_factors_compute(void **state) {
    (void)state;
    char model[256];
    snprintf(model, sizeof model, "%s", two_factors_model());
    float *is_short = look(model, "256", NULL, NULL, "short"), *is_long = look(model, "512", NULL, NULL, "long");
    float *still_long = look(model, "512", "--yarn-orig-ctx", "1024", "long");
    float *again_short = look(model, "512", "--override-kv", "llama.rope.scaling.original_context_length=int:512", "short");
    const size_t some = 1000 * sizeof *is_short;
    assert_memory_not_equal(is_short, is_long, some);
    assert_memory_equal(still_long, is_long, some);
    assert_memory_equal(again_short, is_short, some);
    free(is_short);
    free(is_long);
    free(still_long);
    free(again_short);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_scope_says_which_factors_compute)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
