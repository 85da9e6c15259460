/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_adapters.c - LoRA adapters and control vectors given at the start change what is computed, and the scope. */
#include <ggml.h>
#include <gguf.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "model_fixture.h"

enum { RANK = 4, N = 32 };

typedef struct writer {
    struct gguf_context *g;
    struct ggml_context *c;
    warm_rng rng;
} writer;

static writer begin(uint64_t seed) {
    struct ggml_init_params params = {.mem_size = 1 << 22, .mem_buffer = NULL, .no_alloc = false};
    return (writer){gguf_init_empty(), ggml_init(params), {seed}};
}

static void put(writer *w, const char *name, int64_t columns, int64_t rows) {
    struct ggml_tensor *t =
        rows ? ggml_new_tensor_2d(w->c, GGML_TYPE_F32, columns, rows) : ggml_new_tensor_1d(w->c, GGML_TYPE_F32, columns);
    ggml_set_name(t, name);
    for (int64_t i = 0; i < ggml_nelements(t); i++) ((float *)t->data)[i] = (float)(warm_rng_unit(&w->rng) - 0.5);
    gguf_add_tensor(w->g, t);
}

static void end(writer *w, const char *path) {
    assert_true(gguf_write_to_file(w->g, path, false));
    gguf_free(w->g);
    ggml_free(w->c);
}

/* The shape of the first layer's query matrix, which the adapter changes. */
static void shape_of_query(int64_t *in, int64_t *out) {
    struct ggml_context *c = NULL;
    struct gguf_init_params params = {true, &c};
    struct gguf_context *g = gguf_init_from_file(tiny_model(), params);
    assert_non_null(g);
    struct ggml_tensor *q = ggml_get_tensor(c, "blk.0.attn_q.weight");
    assert_non_null(q);
    *in = q->ne[0];
    *out = q->ne[1];
    gguf_free(g);
    ggml_free(c);
}

static const char *write_lora(const warm_engine *e, const char *name, uint64_t seed) {
    const char *path = temp_path(name);
    int64_t in, out;
    shape_of_query(&in, &out);
    writer w = begin(seed);
    gguf_set_val_str(w.g, "general.type", "adapter");
    gguf_set_val_str(w.g, "general.architecture", e->info->arch);
    gguf_set_val_str(w.g, "adapter.type", "lora");
    gguf_set_val_f32(w.g, "adapter.lora.alpha", (float)RANK);
    put(&w, "blk.0.attn_q.weight.lora_a", in, RANK);
    put(&w, "blk.0.attn_q.weight.lora_b", RANK, out);
    end(&w, path);
    return path;
}

static const char *write_vector(const warm_engine *e) {
    const char *path = temp_path("vector.gguf");
    writer w = begin(3);
    gguf_set_val_str(w.g, "general.architecture", "controlvector");
    put(&w, "direction.1", e->info->n_embd, 0);
    end(&w, path);
    return path;
}

typedef struct seen {
    float *row;
    char *scope;
} seen;

static seen look(warm_engine *e) {
    int32_t tokens[N];
    some_tokens(e, tokens, N, 1);
    seen s = {decode(e, 0, tokens, 0, N, N), strdup(e->info->scope)};
    return s;
}

static void forget(seen *s) {
    free(s->row);
    free(s->scope);
}

static void assert_differs(const seen *a, const seen *b, size_t n_vocab) {
    assert_true(memcmp(a->row, b->row, n_vocab * sizeof *a->row));
    assert_string_not_equal(a->scope, b->scope);
}

static seen look_with(const char *flag, const char *value) {
    warm_engine *e = open_tiny("256", flag, value, NULL);
    seen s = look(e);
    e->ops->close(e);
    return s;
}

static void adapters_and_vectors_change_the_result_and_the_scope(void **state) {
    (void)state;
    warm_engine *e = open_tiny("256", NULL);
    const size_t n_vocab = e->info->n_vocab;
    seen plain = look(e);
    char lora[256], half[300], vector[256];
    strcpy(lora, write_lora(e, "lora.gguf", 1));
    strcpy(vector, write_vector(e));
    e->ops->close(e);

    seen with_lora = look_with("--lora", lora), with_vector = look_with("--control-vector", vector);
    assert_differs(&plain, &with_lora, n_vocab);
    assert_differs(&plain, &with_vector, n_vocab);
    assert_non_null(strstr(with_lora.scope, "scale 1"));
    assert_non_null(strstr(with_vector.scope, "control vector"));

    strcat(strcpy(half, lora), ":0.5");
    seen scaled = look_with("--lora-scaled", half);
    assert_differs(&with_lora, &scaled, n_vocab);
    forget(&scaled);

    strcat(strcpy(half, lora), ":0"); /* nothing of it is left, so neither in the scope */
    seen off = look_with("--lora-scaled", half);
    assert_string_equal(off.scope, plain.scope);
    assert_memory_equal(off.row, plain.row, n_vocab * sizeof *off.row);
    forget(&off);
    forget(&plain);
    forget(&with_lora);
    forget(&with_vector);
}

static void an_adapter_of_another_model_is_refused(void **state) {
    (void)state;
    warm_engine *e = NULL;
    warm_err err = {0};
    const char *flags[] = {"-c", "256", "--lora", tiny_model(), NULL};
    assert_int_equal(try_open(&e, &err, tiny_model(), flags), WARM_EENGINE);
    assert_non_null(strstr(err.text, "adapter"));
    flags[2] = "--control-vector";
    assert_int_equal(try_open(&e, &err, tiny_model(), flags), WARM_EINVAL);
    assert_non_null(strstr(err.text, "control vector"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_and_vectors_change_the_result_and_the_scope),
        cmocka_unit_test(an_adapter_of_another_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
