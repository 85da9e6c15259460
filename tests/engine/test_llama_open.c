/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_open.c - flags and files that are refused with a sentence, and what an open engine says about itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llama/mkmodel.h"
#include "model_fixture.h"

static void is_refused(const char *model, const char *const *flags, int code, const char *says) {
    warm_engine *e = NULL;
    warm_err err = {0};
    int rc = try_open(&e, &err, model, flags);
    assert_null(e);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_int_equal(rc, code);
    assert_int_equal(err.code, code);
}

static void write_file(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static char *read_model(size_t *n) {
    FILE *f = fopen(tiny_model(), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*n);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static void files_that_are_no_models_are_named(void **state) {
    (void)state;
    is_refused(NULL, NULL, WARM_EINVAL, "-m");
    is_refused("/no/such/model.gguf", NULL, WARM_ENOTFOUND, "/no/such/model.gguf");
    is_refused("/tmp", NULL, WARM_EINVAL, "not a file");
    const char *path = temp_path("bad.gguf");
    write_file(path, "GG", 2);
    is_refused(path, NULL, WARM_EINVAL, "not a GGUF");
    write_file(path, "GGUF\3\0\0\0garbage", 15);
    is_refused(path, NULL, WARM_EENGINE, path);
}

static void damaged_models_are_refused_with_libllamas_words(void **state) {
    (void)state;
    size_t n;
    char *bytes = read_model(&n);
    const char *path = temp_path("bad.gguf");
    write_file(path, bytes, n / 2);
    is_refused(path, NULL, WARM_EENGINE, "not within the file bounds");
    char *key = memmem(bytes, n, "general.architecture", 20);
    assert_non_null(key);
    key[32] = 'X'; /* the key is followed by a type and a length */
    write_file(path, bytes, n);
    is_refused(path, NULL, WARM_EENGINE, "architecture");
    free(bytes);
}

static void flags_that_are_wrong_are_named(void **state) {
    (void)state;
    static const char *const flags[][4] = {
        {"--no-such-flag", NULL}, {"-c", "many", NULL},
        {"-c", "12three", NULL},  {"-c", NULL},
        {"-c", "-5", NULL},       {"-b", "0", NULL},
        {"-ctk", "q9", NULL},     {"-fa", "maybe", NULL},
        {"-sm", "by hand", NULL}, {"--override-kv", "nonsense", NULL},
        {"-dev", "gpu99", NULL},  {"--pooling", "odd", NULL},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        is_refused(tiny_model(), flags[i], WARM_EINVAL, flags[i][0]);
    }
    static const char *const adapter[] = {"--lora", "/no/such/adapter.gguf", NULL};
    is_refused(tiny_model(), adapter, WARM_ENOTFOUND, "/no/such/adapter.gguf");
    static const char *const vector[] = {"--control-vector", "/no/such/vector.gguf", NULL};
    is_refused(tiny_model(), vector, WARM_ENOTFOUND, "/no/such/vector.gguf");
    static const char *const quantised[] = {"-fa", "off", "-ctv", "q8_0", NULL};
    is_refused(tiny_model(), quantised, WARM_EENGINE, "flash_attn");
}

static void flags_reach_the_context(void **state) {
    (void)state;
    warm_engine *e = open_tiny("1000", "-b", "128", "--ubatch_size", "64", "--no-warmup", "--load-mode", "none", NULL);
    assert_int_equal(e->info->n_ctx, 1024); /* libllama rounds up */
    assert_int_equal(e->info->n_batch, 128);
    assert_int_equal(e->info->n_ubatch, 64);
    assert_int_equal(e->info->n_seq_max, 4);
    assert_true(e->info->state == WARM_STATE_RANGES);
    assert_true(e->info->n_vocab > 1000 && e->info->n_params > 1000 && e->info->model_bytes > 1000);
    assert_int_equal(e->info->n_ctx_train, 4096);
    assert_string_equal(e->ops->name, "llama");
    assert_string_equal(e->info->model_path, tiny_model());
    assert_non_null(strstr(e->info->build, "libllama"));
    assert_non_null(strstr(e->info->model_desc, e->info->arch));
    assert_string_not_equal(e->info->ftype, "");
    assert_string_not_equal(e->info->chat_template, "");
    e->ops->close(e);
}

static void the_environment_is_not_read(void **state) {
    (void)state;
    setenv("LLAMA_ARG_CTX_SIZE", "2048", 1);
    setenv("LLAMA_ARG_BATCH", "nonsense", 1);
    warm_engine *e = open_tiny("512", NULL);
    assert_int_equal(e->info->n_ctx, 512);
    assert_int_equal(e->info->n_batch, 512);
    e->ops->close(e);
    unsetenv("LLAMA_ARG_CTX_SIZE");
    unsetenv("LLAMA_ARG_BATCH");
}

static void no_context_size_means_the_models_with_and_without_fitting(void **state) {
    (void)state;
    static const char *const fit[] = {"on", "off"};
    for (size_t i = 0; i < 2; i++) {
        warm_engine *e = open_tiny("0", "--fit", fit[i], NULL);
        assert_int_equal(e->info->n_ctx, 4096);
        e->ops->close(e);
    }
}

static int open_with(uint32_t n_slots, uint32_t n_seq_extra, warm_engine **e, warm_err *err) {
    const char *argv[] = {"warmslot", "-m", tiny_model(), "-c", "256", "-b", "8", "-t", "1", "--fit", "off"};
    warm_llama_options o = {
        .argc = 11, .argv = argv, .n_slots = n_slots, .n_seq_extra = n_seq_extra, .n_seq_extra_own = n_seq_extra};
    return warm_llama_open(&o, e, err);
}

static void sequences_are_cut_at_what_libllama_has(void **state) {
    (void)state;
    warm_engine *e = NULL;
    warm_err err = {0};
    assert_int_equal(open_with(16, 1000, &e, &err), 0); /* more sequences than rows of a batch */
    assert_true(e->info->n_seq_max > 16 && e->info->n_seq_max < 1016);
    int32_t tokens[8], last = (int32_t)e->info->n_seq_max - 1;
    some_tokens(e, tokens, 8, 1);
    free(decode(e, last, tokens, 0, 8, 8));
    assert_range(e, last, 0, 7);
    e->ops->close(e);
    assert_int_equal(open_with(100000, 0, &e, &err), WARM_EINVAL);
    assert_non_null(strstr(err.text, "slots"));
}

static char *scope_of(const char *model, const char *flag, const char *value) {
    const char *flags[] = {"-c", "512", flag, value, NULL};
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, model, flags)) fail_msg("open: %s", err.text);
    char *scope = strdup(e->info->scope);
    e->ops->close(e);
    return scope;
}

static void the_scope_tells_what_matters_and_nothing_else(void **state) {
    (void)state;
    char *plain = scope_of(tiny_model(), NULL, NULL);
    static const char *const same[][2] = {{"-b", "64"}, {"-np", "3"}};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char *scope = scope_of(tiny_model(), same[i][0], same[i][1]);
        assert_string_equal(scope, plain);
        free(scope);
    }
    static const char *const other[][2] = {{"-ctk", "q8_0"},
                                           {"-fa", "off"},
                                           {"--rope-freq-base", "5000"},
                                           {"-ctv", "q8_0"},
                                           {"--rope-scale", "2"},
                                           {"--rope-scaling", "linear"},
                                           {"--yarn-orig-ctx", "128"},
                                           {"--yarn-ext-factor", "0.5"},
                                           {"--yarn-attn-factor", "2"},
                                           {"--yarn-beta-slow", "2"},
                                           {"--yarn-beta-fast", "16"},
                                           {"--override-kv", "qwen3.context_length=int:2048"}};
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++) {
        char *scope = scope_of(tiny_model(), other[i][0], other[i][1]);
        assert_string_not_equal(scope, plain);
        free(scope);
    }
    free(plain);
}

static void the_scope_follows_the_content_of_the_file(void **state) {
    (void)state;
    size_t n;
    char *bytes = read_model(&n), *first = scope_of(tiny_model(), NULL, NULL);
    const char *path = temp_path("copy.gguf");
    write_file(path, bytes, n);
    char *copy = scope_of(path, NULL, NULL);
    assert_string_equal(copy, first);
    bytes[n - 100] ^= 1; /* in the last tensor */
    write_file(path, bytes, n);
    char *changed = scope_of(path, NULL, NULL);
    assert_string_not_equal(changed, first);
    free(bytes);
    free(first);
    free(copy);
    free(changed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_that_are_no_models_are_named),
        cmocka_unit_test(damaged_models_are_refused_with_libllamas_words),
        cmocka_unit_test(flags_that_are_wrong_are_named),
        cmocka_unit_test(flags_reach_the_context),
        cmocka_unit_test(the_environment_is_not_read),
        cmocka_unit_test(no_context_size_means_the_models_with_and_without_fitting),
        cmocka_unit_test(sequences_are_cut_at_what_libllama_has),
        cmocka_unit_test(the_scope_tells_what_matters_and_nothing_else),
        cmocka_unit_test(the_scope_follows_the_content_of_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
