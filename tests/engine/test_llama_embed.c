/* SPDX-License-Identifier: MIT
 *
 * Embeddings of the libllama engine: each sequence's own, however many are computed together, and nothing to do with what is decoded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

enum { LONG = 100, BATCH = 128 };

static int32_t tokens[3][LONG];

static int make_tokens(void **state) {
    (void)state;
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < LONG; i++) tokens[s][i] = 1000 + (s * 7919 + i * 104729) % 20000;
    return 0;
}

static warm_engine *open_with(const char *const *flags) {
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, tiny_model(), flags)) fail_msg("open: %s", err.text);
    return e;
}

static void embed(warm_engine *e, const warm_embed_input *in, size_t n) {
    warm_err err = {0};
    if (e->ops->embed(e, NULL, in, n, &err)) fail_msg("embed: %s", err.text);
}

static float distance(const float *a, const float *b, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; i++) most = fmaxf(most, fabsf(a[i] - b[i]));
    return most;
}

static void sequences_are_embedded_together_as_alone(void **state) {
    (void)state;
    static const char *const poolings[] = {"none", "mean", "cls", "last"};
    static const size_t lengths[] = {40, 7, 60};
    for (size_t p = 0; p < sizeof poolings / sizeof *poolings; p++) {
        const char *flags[] = {"-c", "256", "-ub", "128", "--embeddings", "--pooling", poolings[p], NULL};
        warm_engine *e = open_with(flags);
        assert_int_equal(e->info->pooling, p);
        assert_int_equal(e->info->n_embd_out, e->info->n_embd);
        assert_int_equal(e->info->n_embed_batch, BATCH);
        warm_embed_input together[3], alone;
        for (size_t s = 0; s < 3; s++) {
            float *out = calloc(warm_embed_floats(e->info, lengths[s]), sizeof *out);
            together[s] = (warm_embed_input){.token = tokens[s], .n = lengths[s], .out = out};
        }
        embed(e, together, 3);
        for (size_t s = 0; s < 3; s++) {
            size_t n = warm_embed_floats(e->info, lengths[s]);
            alone = together[s];
            alone.out = calloc(n, sizeof *alone.out);
            embed(e, &alone, 1);
            assert_true(distance(alone.out, together[s].out, n) < 0.02f);
            assert_true(distance(alone.out, together[(s + 1) % 3].out, e->info->n_embd_out) > 0.05f);
            free(alone.out);
        }
        for (size_t s = 0; s < 3; s++) free(together[s].out);
        e->ops->close(e);
    }
}

static void what_is_too_much_is_refused_and_parts_are_joined_where_they_can_be(void **state) {
    (void)state;
    static const char *const mean[] = {"-c", "256", "-ub", "64", "--embeddings", "--pooling", "mean", NULL};
    static const char *const last[] = {"-c", "256", "-ub", "64", "--embeddings", "--pooling", "last", NULL};
    static const char *const whole[] = {"-c", "256", "-ub", "128", "--embeddings", "--pooling", "last", NULL};
    float *a = calloc(4096, sizeof *a), *b = calloc(4096, sizeof *b);
    warm_embed_input in[2] = {{.token = tokens[0], .n = LONG, .out = a}, {.token = tokens[1], .n = 1, .out = b}};
    warm_err err = {0};
    warm_engine *e = open_with(mean);
    assert_int_equal(e->info->n_embed_max, 64);
    assert_int_equal(e->ops->embed(e, NULL, in, 1, &err), WARM_EINVAL);
    in[0].n = 64;
    assert_int_equal(e->ops->embed(e, NULL, in, 2, &err), WARM_EINVAL);
    assert_int_equal(e->ops->embed(e, NULL, in, 0, &err), WARM_EINVAL);
    e->ops->close(e);
    in[0].n = LONG;
    e = open_with(last);
    assert_int_equal(e->info->n_embed_max, 256);
    embed(e, in, 1);
    e->ops->close(e);
    e = open_with(whole);
    in[0].out = b;
    embed(e, in, 1);
    assert_true(distance(a, b, e->info->n_embd_out) < 0.02f);
    e->ops->close(e);
    free(a);
    free(b);
}

static void without_the_flag_there_are_none(void **state) {
    (void)state;
    static const char *const flags[] = {"-c", "256", NULL};
    warm_engine *e = open_with(flags);
    float out;
    warm_err err = {0};
    const warm_embed_input in = {.token = tokens[0], .n = 1, .out = &out};
    assert_int_equal(e->info->n_embed_max, 0);
    assert_int_equal(e->ops->embed(e, NULL, &in, 1, &err), WARM_ENOTSUP);
    e->ops->close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_embedded_together_as_alone),
        cmocka_unit_test(what_is_too_much_is_refused_and_parts_are_joined_where_they_can_be),
        cmocka_unit_test(without_the_flag_there_are_none),
    };
    return cmocka_run_group_tests(tests, make_tokens, NULL);
}
