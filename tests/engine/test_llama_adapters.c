/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_adapters.c - LoRA adapters and control vectors change what is computed, and say so in the text that keys are made of. */
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
    gguf_set_val_str(w.g, "adapter.lora.task_name", "sums");
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
    char *scope, *adapters;
} seen;

/* What is computed with these scales; NULL = with what holds at the start. */
static seen look_at(warm_engine *e, const float *scale) {
    int32_t tokens[N];
    float start[4];
    const warm_engine_info *info = e->info;
    assert_true(info->n_adapters <= 4);
    for (size_t i = 0; i < info->n_adapters; i++) start[i] = info->adapters[i].scale;
    if (scale) assert_int_equal(e->ops->adapters(e, scale, info->n_adapters, NULL), 0);
    some_tokens(e, tokens, N, 1);
    e->ops->seq_rm(e, 0, 0, -1);
    return (seen){decode(e, 0, tokens, 0, N, N), strdup(info->scope), warm_adapters_text(info, scale ? scale : start)};
}

static void forget(seen *s) {
    free(s->row);
    free(s->scope);
    free(s->adapters);
}

/* Computed alike, and keyed alike: or neither. */
static bool same(const warm_engine_info *info, const seen *a, const seen *b) {
    bool keys = !strcmp(a->scope, b->scope) && !strcmp(a->adapters, b->adapters);
    assert_int_equal(!memcmp(a->row, b->row, info->n_vocab * sizeof *a->row), keys);
    return keys;
}

static void flags_change_the_result_and_the_key(void **state) {
    (void)state;
    warm_engine *e = open_tiny("256", NULL);
    char lora[256], half[300], off[300], vector[256], scaled[300];
    strcpy(lora, write_lora(e, "lora.gguf", 1));
    strcpy(vector, write_vector(e));
    snprintf(half, sizeof half, "%s:0.5", lora);
    snprintf(off, sizeof off, "%s:0", lora);
    snprintf(scaled, sizeof scaled, "%s:0.5", vector);
    enum { CASES = 8 };
    const char *const flags[CASES][7] = {
        {NULL},
        {"--lora", lora},
        {"--lora-scaled", half},
        {"--control-vector", vector},
        {"--control-vector-scaled", scaled},
        /* nothing of these is left */
        {"--lora-scaled", off},
        {"--lora", lora, "--lora-init-without-apply"},
        {"--control-vector", vector, "--control-vector-layer-range", "2", "2"},
    };
    seen s[CASES];
    for (size_t i = 0; i < CASES; i++) {
        warm_engine *with = open_tiny("256", flags[i][0], flags[i][1], flags[i][2], flags[i][3], flags[i][4], NULL);
        s[i] = look_at(with, NULL);
        with->ops->close(with);
    }
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < i; k++) assert_false(same(e->info, &s[i], &s[k]));
    }
    assert_string_equal(s[1].scope, s[0].scope);
    assert_non_null(strstr(s[1].adapters, "scale 1\n"));
    assert_string_equal(s[3].adapters, "");
    assert_true(same(e->info, &s[5], &s[0]));
    assert_true(same(e->info, &s[6], &s[0]));
    /* The vector has a direction for layer 1 only. That this range leaves nothing of it is not known beforehand, but that it differs is. */
    assert_string_not_equal(s[7].scope, s[3].scope);
    assert_memory_equal(s[7].row, s[0].row, e->info->n_vocab * sizeof *s[7].row);
    for (size_t i = 0; i < CASES; i++) forget(&s[i]);
    e->ops->close(e);
}

static void scales_change_from_batch_to_batch(void **state) {
    (void)state;
    warm_engine *plain = open_tiny("256", NULL);
    char first[256], second[256], list[600];
    strcpy(first, write_lora(plain, "first.gguf", 1));
    strcpy(second, write_lora(plain, "second.gguf", 2));
    snprintf(list, sizeof list, "%s:0.5,%s:0", first, second);
    warm_engine *e = open_tiny("256", "--lora-scaled", list, NULL);
    assert_int_equal(e->info->n_adapters, 2);
    assert_string_equal(e->info->adapters[0].path, first);
    assert_true(e->info->adapters[0].scale == 0.5f && e->info->adapters[1].scale == 0.0f);
    assert_string_equal(e->info->adapters[1].task_name, "sums");
    assert_string_equal(e->info->adapters[1].prompt_prefix, "");
    assert_string_equal(e->info->scope, plain->info->scope);

    static const float scales[][2] = {{0.5f, 0.0f}, {0.0f, 0.5f}, {0.5f, 0.5f}, {-1.0f, 0.0f}, {0.0f, 0.0f}};
    enum { CASES = sizeof scales / sizeof *scales };
    seen start = look_at(e, NULL), none = look_at(plain, NULL), s[CASES];
    for (size_t i = 0; i < CASES; i++) {
        s[i] = look_at(e, scales[i]);
        for (size_t k = 0; k < i; k++) assert_false(same(e->info, &s[i], &s[k]));
    }
    assert_true(same(e->info, &s[0], &start));
    assert_true(same(e->info, &s[CASES - 1], &none));
    for (size_t i = CASES; i-- > 0;) {
        seen again = look_at(e, scales[i]);
        assert_true(same(e->info, &again, &s[i]));
        forget(&again);
        forget(&s[i]);
    }
    warm_err err = {0};
    assert_int_equal(e->ops->adapters(e, scales[0], 1, &err), WARM_EINVAL);
    forget(&start);
    forget(&none);
    plain->ops->close(plain);
    e->ops->close(e);
}

/* A unit computed with other scales than those before it is that of neither list alone, and what was computed before does not change. */
static void state_keeps_the_scales_it_was_computed_with(void **state) {
    (void)state;
    warm_engine *plain = open_tiny("256", NULL);
    char lora[256];
    strcpy(lora, write_lora(plain, "lora.gguf", 1));
    plain->ops->close(plain);
    warm_engine *e = open_tiny("256", "--lora", lora, NULL);
    static const float on = 1.0f, off = 0.0f;
    int32_t tokens[N];
    const size_t bytes = e->info->n_vocab * sizeof(float);
    some_tokens(e, tokens, N, 1);
    free(decode(e, 0, tokens, 0, N - 1, N));
    assert_int_equal(e->ops->fork(e, 0, 1, N - 1, true, NULL), 0);
    assert_int_equal(e->ops->adapters(e, &off, 1, NULL), 0);
    float *crossed = decode(e, 0, tokens, N - 1, N, N);
    assert_int_equal(e->ops->adapters(e, &on, 1, NULL), 0);
    float *straight = decode(e, 1, tokens, N - 1, N, N);
    e->ops->clear(e, false);
    free(decode(e, 0, tokens, 0, N - 1, N));
    float *again = decode(e, 0, tokens, N - 1, N, N);
    assert_memory_equal(straight, again, bytes);
    assert_memory_not_equal(crossed, again, bytes);
    free(crossed);
    free(straight);
    free(again);
    e->ops->close(e);
}

static void an_adapter_of_another_model_is_refused(void **state) {
    (void)state;
    warm_engine *e = NULL;
    warm_err err = {0};
    const char *flags[] = {"-c", "256", "--lora", tiny_model(), NULL};
    assert_int_equal(try_open(&e, &err, tiny_model(), flags), WARM_EENGINE);
    assert_non_null(strstr(err.text, "adapter"));
    char endless[300];
    snprintf(endless, sizeof endless, "%s:inf", tiny_model());
    flags[2] = "--lora-scaled";
    flags[3] = endless;
    assert_int_equal(try_open(&e, &err, tiny_model(), flags), WARM_EINVAL);
    assert_non_null(strstr(err.text, "scale"));
    flags[3] = tiny_model();
    flags[2] = "--control-vector";
    assert_int_equal(try_open(&e, &err, tiny_model(), flags), WARM_EINVAL);
    assert_non_null(strstr(err.text, "control vector"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_change_the_result_and_the_key),
        cmocka_unit_test(scales_change_from_batch_to_batch),
        cmocka_unit_test(state_keeps_the_scales_it_was_computed_with),
        cmocka_unit_test(an_adapter_of_another_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
