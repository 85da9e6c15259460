/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_shift.c - units are taken out of the middle of a sequence: the sequence goes on, nobody else notices, and nothing of
 * what was moved can be saved or forked. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "llama/mkmodel.h"
#include "model_fixture.h"

enum { N = 256, PIECE = 64, P0 = 70, P1 = 150, LEFT = N - (P1 - P0), MORE = 8 };

static int32_t tokens[N + MORE];

static warm_engine *open_kind(const char *model, const char *const *flags) {
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, model, flags)) fail_msg("open: %s", err.text);
    some_tokens(e, tokens, N + MORE, 1);
    return e;
}

static void shift(warm_engine *e, int32_t seq, int32_t p0, int32_t p1) {
    warm_err err = {0};
    if (e->ops->shift(e, seq, p0, p1, &err)) fail_msg("shift: %s", err.text);
}

static void *saved(warm_engine *e, int32_t seq, int32_t p0, size_t n) {
    warm_err err = {0};
    size_t bytes = e->ops->state_bytes(e, n);
    void *to = malloc(bytes);
    assert_non_null(to);
    if (e->ops->state_save(e, seq, p0, n, to, bytes, &err) < 0) fail_msg("save: %s", err.text);
    return to;
}

/* The logits of one of two forks, after the other got cells of its own and lost units of its middle; how its rest is treated makes no
 * difference to the cells that are used. */
static float *of_the_other_fork(warm_engine *e, bool shifted) {
    e->ops->clear(e, true);
    free(decode(e, 0, tokens, 0, N, PIECE));
    assert_int_equal(e->ops->fork(e, 0, 1, N, true, NULL), 0);
    e->ops->seq_rm(e, 1, 0, -1);
    for (int32_t at = 0; at < N; at += PIECE) {
        void *piece = saved(e, 0, at, PIECE);
        assert_int_equal(e->ops->state_load(e, 1, piece, e->ops->state_bytes(e, PIECE), at, PIECE, at, at + PIECE, NULL), 0);
        free(piece);
    }
    if (shifted) {
        shift(e, 1, P0, P1);
        assert_range(e, 1, 0, LEFT - 1);
        free(decode(e, 1, tokens + (P1 - P0), LEFT, LEFT + 1, 1));
    } else {
        e->ops->seq_rm(e, 1, P0, P1);
        free(decode(e, 1, tokens, N, N + 1, 1));
    }
    assert_range(e, 0, 0, N - 1);
    return decode(e, 0, tokens, N, N + MORE, 1);
}

static void shifting_one_of_two_forks_leaves_the_other_as_it_is(void **state) {
    (void)state;
    static const char *const kinds[][9] = {
        {"-c", "1024", "-fa", "on"}, {"-c", "1024", "-fa", "off"}, {"-c", "1024", "-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        warm_engine *e = open_kind(tiny_model(), kinds[i]);
        float *a = of_the_other_fork(e, false), *b = of_the_other_fork(e, true);
        assert_memory_equal(a, b, e->info->n_vocab * sizeof *a);
        free(a);
        free(b);
        e->ops->close(e);
    }
}

/* What stands in a cell of the only layer depends on its own token and position: there a shift is exact but for rounding. */
static void in_one_layer_a_shifted_sequence_is_the_one_it_looks_like(void **state) {
    (void)state;
    static const char *const flags[] = {"-c", "1024", "-ctk", "f32", "-ctv", "f32", "-fa", "off", NULL};
    const char *path = temp_path("one-layer.gguf");
    warm_err err = {0};
    if (warm_mkmodel(&(warm_mkmodel_options){.kind = "dense", .out = path, .layers = 1, .ctx = 4096}, &err))
        fail_msg("mkmodel: %s", err.text);
    warm_engine *e = open_kind(path, flags);
    int32_t rest[LEFT + 1];
    memcpy(rest, tokens, P0 * sizeof *rest);
    memcpy(rest + P0, tokens + P1, (LEFT + 1 - P0) * sizeof *rest);
    float *fresh = decode(e, 0, rest, 0, LEFT + 1, PIECE);
    float *other = decode(e, 1, tokens, 0, N, PIECE);
    free(other);
    shift(e, 1, P0, P1);
    float *moved = decode(e, 1, rest, LEFT, LEFT + 1, 1);
    float *unmoved = decode(e, 2, tokens, 0, N + 1, PIECE);
    float most = 0, away = 0;
    for (uint32_t i = 0; i < e->info->n_vocab; i++) {
        most = fmaxf(most, fabsf(fresh[i] - moved[i]));
        away = fmaxf(away, fabsf(fresh[i] - unmoved[i]));
    }
    print_message("difference %g, of the unshifted sequence %g\n", (double)most, (double)away);
    assert_true(most < 1e-3f && away > 10 * most);
    free(fresh);
    free(moved);
    free(unmoved);
    e->ops->close(e);
}

static void what_was_moved_can_be_neither_saved_nor_forked(void **state) {
    (void)state;
    warm_engine *e = open_tiny("1024", NULL);
    some_tokens(e, tokens, N + MORE, 1);
    size_t bytes = e->ops->state_bytes(e, PIECE);
    void *to = malloc(bytes);
    free(decode(e, 0, tokens, 0, N, PIECE));
    void *before = saved(e, 0, 0, PIECE);
    shift(e, 0, P0, P1);
    for (int decoded = 0; decoded < 2; decoded++) {
        void *kept = saved(e, 0, 0, PIECE);
        assert_memory_equal(before, kept, bytes);
        free(kept);
        assert_int_equal(e->ops->state_save(e, 0, P0 - PIECE + 1, PIECE, to, bytes, NULL), WARM_EINVAL);
        assert_int_equal(e->ops->state_save(e, 0, P0, PIECE, to, bytes, NULL), WARM_EINVAL);
        assert_false(e->ops->can_continue(e, 0, P0 + 1));
        assert_int_not_equal(e->ops->fork(e, 0, 1, P0 + 1, true, NULL), 0);
        assert_int_not_equal(e->ops->fork(e, 0, 1, P0 + 1, false, NULL), 0);
        assert_int_equal(e->ops->fork(e, 0, 1, P0, true, NULL), 0);
        e->ops->seq_rm(e, 1, 0, -1);
        if (!decoded) free(decode(e, 0, tokens, LEFT, LEFT + 2, 2));
    }
    /* without it the sequence is as good as any */
    e->ops->seq_rm(e, 0, P0, -1);
    free(decode(e, 0, tokens, P0, N, PIECE));
    assert_true(e->ops->can_continue(e, 0, N));
    free(saved(e, 0, P0, PIECE));
    free(before);
    free(to);
    e->ops->close(e);
}

static void who_can_shift_goes_on(void **state) {
    (void)state;
    static const struct {
        const char *model;
        bool full, can;
    } kinds[] = {{"dense", false, true},
                 {"moe", false, true},
                 {"swa", false, false},
                 {"swa", true, true},
                 {"hybrid", false, true},
                 {"hybrid-ssm", false, true},
                 {"recurrent", false, true},
                 {"hybrid-swa", false, false},
                 /* libllama would: no layer is in its first cache */
                 {"hybrid-swa", true, false}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *const flags[] = {"-c", "2048", kinds[i].full ? "--swa-full" : NULL, NULL};
        warm_engine *e = open_kind(tiny_kind(kinds[i].model), flags);
        assert_int_equal(e->info->can_shift, kinds[i].can);
        free(decode(e, 0, tokens, 0, N, PIECE));
        warm_err err = {0};
        if (kinds[i].can) {
            shift(e, 0, P0, P1);
            shift(e, 0, 0, 30);
            assert_int_equal(e->ops->snapshot_bytes(e, 0), 0);
            float *row = decode(e, 0, &tokens[P1 - P0 + 30], LEFT - 30, LEFT - 30 + MORE, 1);
            for (uint32_t v = 0; v < e->info->n_vocab; v++) assert_true(row[v] == row[v]);
            free(row);
        } else {
            assert_int_equal(e->ops->shift(e, 0, P0, P1, &err), WARM_ENOTSUP);
            free(decode(e, 0, tokens, N, N + 1, 1));
        }
        e->ops->close(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shifting_one_of_two_forks_leaves_the_other_as_it_is),
        cmocka_unit_test(in_one_layer_a_shifted_sequence_is_the_one_it_looks_like),
        cmocka_unit_test(what_was_moved_can_be_neither_saved_nor_forked),
        cmocka_unit_test(who_can_shift_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
