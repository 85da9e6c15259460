/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_state.c - state saved in pieces and loaded again computes what the live sequence computes, bit for bit.
 *
 * "Bit for bit" holds on an idle engine when the same cells are used and what follows is computed in the same chunks, so each test
 * clears the context between the live run and the restored one. */
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

enum { N = 400, PIECE = 64, N_PIECES = (N + PIECE - 1) / PIECE };

typedef struct saved {
    void *bytes[N_PIECES];
    size_t n[N_PIECES], size[N_PIECES];
} saved;

static int32_t tokens[N + 1];

static size_t units_of(size_t piece) {
    return piece + 1 < N_PIECES ? PIECE : N - piece * PIECE;
}

static void save_piece(warm_engine *e, int32_t seq, size_t i, saved *s) {
    warm_err err = {0};
    s->n[i] = units_of(i);
    s->size[i] = e->ops->state_bytes(e, s->n[i]);
    s->bytes[i] = malloc(s->size[i]);
    assert_non_null(s->bytes[i]);
    int64_t got = e->ops->state_save(e, seq, (int32_t)i * PIECE, s->n[i], s->bytes[i], s->size[i], &err);
    if (got < 0) fail_msg("save: %s", err.text);
    assert_int_equal(got, s->size[i]);
}

static void save_all(warm_engine *e, int32_t seq, saved *s) {
    for (size_t i = 0; i < N_PIECES; i++) save_piece(e, seq, i, s);
}

static void free_all(saved *s) {
    for (size_t i = 0; i < N_PIECES; i++) free(s->bytes[i]);
}

static int try_load(warm_engine *e, int32_t seq, const saved *s, size_t i, int32_t p1, warm_err *err) {
    int32_t first = (int32_t)i * PIECE;
    return e->ops->state_load(e, seq, s->bytes[i], s->size[i], first, s->n[i], first, p1, err);
}

/* Loads the pieces up to position end, the last one in part. */
static void load_upto(warm_engine *e, int32_t seq, const saved *s, int32_t end) {
    for (int32_t first = 0; first < end; first += PIECE) {
        warm_err err = {0};
        size_t i = (size_t)first / PIECE;
        int32_t whole = first + (int32_t)s->n[i];
        if (try_load(e, seq, s, i, whole < end ? whole : end, &err)) fail_msg("load: %s", err.text);
    }
    assert_range(e, seq, 0, end - 1);
}

static void assert_same(const warm_engine *e, float *a, float *b) {
    assert_memory_equal(a, b, e->info->n_vocab * sizeof *a);
    free(a);
    free(b);
}

/* The logits that follow tokens[0..end) live, when [0,N) was computed and the rest taken off again. */
static float *live(warm_engine *e, int32_t end, saved *s) {
    e->ops->clear(e, true);
    free(decode(e, 0, tokens, 0, N, PIECE));
    if (s) save_all(e, 0, s);
    assert_range(e, 0, 0, N - 1);
    e->ops->seq_rm(e, 0, end, -1);
    return decode(e, 0, tokens, end, end + 1, 1);
}

static void check_exact(const char *model, const char *const *flags) {
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, model, flags)) fail_msg("open: %s", err.text);
    assert_true(e->info->state == WARM_STATE_RANGES);
    some_tokens(e, tokens, N + 1, 1);
    saved s;
    float *whole = live(e, N, &s);

    e->ops->clear(e, true);
    load_upto(e, 1, &s, N);
    assert_same(e, whole, decode(e, 1, tokens, N, N + 1, 1));

    float *part = live(e, 300, NULL);
    e->ops->clear(e, true);
    load_upto(e, 3, &s, 300);
    assert_same(e, part, decode(e, 3, tokens, 300, 301, 1));
    free_all(&s);
    e->ops->close(e);
}

static void pieces_restore_the_live_sequence_bit_for_bit(void **state) {
    (void)state;
    static const char *const kinds[][9] = {
        {"-c", "1024", "-fa", "on"},
        {"-c", "1024", "-fa", "off"},
        {"-c", "1024", "-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"},
        {"-c", "1024", "-fa", "off", "-ctk", "q8_0"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) check_exact(tiny_model(), kinds[i]);
    check_exact(tiny_moe(), kinds[0]);
}

static void saving_leaves_the_sequence_and_the_pool_as_they_were(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", NULL);
    some_tokens(e, tokens, N + 1, 2);
    float *unsaved = live(e, N, NULL);
    saved s;
    assert_same(e, unsaved, live(e, N, &s));
    /* every cell that is not seq 0's is free: 512 - 401 */
    int32_t other[111];
    some_tokens(e, other, 111, 3);
    free(decode(e, 1, other, 0, 111, 111));
    free_all(&s);
    e->ops->close(e);
}

/* A load leaves its last cells in a sequence of the engine's own, too, until something else is asked for. */
static void what_was_loaded_goes_with_its_sequence(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", NULL);
    int32_t other[512];
    some_tokens(e, tokens, N + 1, 2);
    some_tokens(e, other, 512, 3);
    saved s, again;
    free(live(e, N, &s));
    const int32_t ends[] = {N, 300, PIECE};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        e->ops->clear(e, false);
        load_upto(e, 1, &s, ends[i]);
        save_piece(e, 1, 0, &again);
        assert_memory_equal(again.bytes[0], s.bytes[0], s.size[0]);
        free(again.bytes[0]);
        e->ops->seq_rm(e, 1, 0, -1);
        load_upto(e, 1, &s, ends[i]);
        e->ops->seq_rm(e, 1, 0, -1);
        free(decode(e, 2, other, 0, 512, 512)); /* every cell of the pool */
        assert_range(e, 2, 0, 511);
    }
    free_all(&s);
    e->ops->close(e);
}

static void ranges_that_are_not_there_are_refused(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", NULL);
    some_tokens(e, tokens, N + 1, 2);
    free(decode(e, 0, tokens, 0, 100, 100));
    size_t size = e->ops->state_bytes(e, 64);
    void *bytes = malloc(size);
    warm_err err = {0};
    assert_int_equal(e->ops->state_save(e, 0, 40, 64, bytes, size, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, 1, 0, 64, bytes, size, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, 0, 0, 64, bytes, size - 1, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, 0, 0, 0, bytes, size, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, -1, 0, 64, bytes, size, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, (int32_t)e->info->n_seq_max, 0, 64, bytes, size, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_save(e, 0, 0, 64, bytes, size, &err), (int64_t)size);
    /* it would not continue the sequence: a hole, an overlap, nothing */
    assert_int_equal(e->ops->state_load(e, 1, bytes, size, 0, 64, 1, 64, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_load(e, 0, bytes, size, 0, 64, 0, 64, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_load(e, 1, bytes, size, 0, 64, 0, 0, &err), WARM_EINVAL);
    assert_int_equal(e->ops->state_load(e, 1, bytes, size, 0, 64, 0, 65, &err), WARM_EINVAL);
    assert_range(e, 0, 0, 99);
    assert_range(e, 1, -1, -1);
    free(bytes);
    e->ops->close(e);
}

static void a_damaged_head_is_refused_and_harms_nothing(void **state) {
    (void)state;
    warm_engine *e = open_tiny("1024", NULL);
    some_tokens(e, tokens, N + 1, 4);
    saved s;
    float *whole = live(e, N, &s);
    e->ops->clear(e, true);
    load_upto(e, 2, &s, 2 * PIECE);
    uint8_t *bytes = s.bytes[2];
    /* magic, streams, cells, a position, its count of sequences, transposition, layers, type and row of the first layer */
    const size_t cells = 16 + 12 * PIECE;
    const size_t at[] = {0, 8, 12, 16, 20, cells, cells + 4, cells + 8, cells + 12};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        warm_err err = {0};
        bytes[at[i] + 1] ^= 0x40;
        assert_int_equal(try_load(e, 2, &s, 2, 3 * PIECE, &err), WARM_ECORRUPT);
        assert_string_not_equal(err.text, "");
        bytes[at[i] + 1] ^= 0x40;
        assert_range(e, 2, 0, 2 * PIECE - 1);
    }
    warm_err err = {0};
    assert_int_equal(e->ops->state_load(e, 2, bytes, s.size[2] - 1, 2 * PIECE, PIECE, 2 * PIECE, 3 * PIECE, &err), WARM_ECORRUPT);
    e->ops->seq_rm(e, 2, -1, -1);
    e->ops->clear(e, true);
    load_upto(e, 2, &s, N);
    assert_same(e, whole, decode(e, 2, tokens, N, N + 1, 1));
    free_all(&s);
    e->ops->close(e);
}

static void a_full_pool_refuses_and_changes_nothing(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", NULL);
    assert_int_equal(e->info->n_ctx, 512);
    some_tokens(e, tokens, N + 1, 5);
    saved s;
    float *whole = live(e, N, &s); /* seq 0 holds 401 */
    load_upto(e, 1, &s, PIECE);    /* 465 */
    warm_err err = {0};
    assert_int_equal(try_load(e, 1, &s, 1, 2 * PIECE, &err), WARM_EFULL);
    assert_int_equal(try_decode(e, 1, tokens, PIECE, PIECE + 48, 48, &err), WARM_EFULL);
    assert_range(e, 0, 0, N);
    assert_range(e, 1, 0, PIECE - 1);
    assert_null(e->ops->logits(e, 47));
    /* and nothing leaked: exactly the 47 free cells can be used, and then everything is as good as before */
    free(decode(e, 1, tokens, PIECE, PIECE + 47, 47));
    assert_int_equal(try_decode(e, 2, tokens, 0, 1, 1, &err), WARM_EFULL);
    e->ops->clear(e, false);
    load_upto(e, 3, &s, N);
    assert_same(e, whole, decode(e, 3, tokens, N, N + 1, 1));
    free_all(&s);
    e->ops->close(e);
}

static void sequences_share_cells(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", NULL);
    some_tokens(e, tokens, N + 1, 6);
    float *whole = live(e, 300, NULL); /* 301 cells */
    assert_int_equal(e->ops->fork(e, 0, 1, 300, true, NULL), 0);
    assert_int_equal(e->ops->fork(e, 0, 2, 300, true, NULL), 0);
    assert_range(e, 1, 0, 299);
    e->ops->seq_rm(e, 0, -1, -1);
    e->ops->seq_rm(e, 2, 100, -1);
    assert_range(e, 0, -1, -1);
    assert_range(e, 2, 0, 99);
    assert_same(e, whole, decode(e, 1, tokens, 300, 301, 1));
    e->ops->close(e);
}

/* What a checksum that was not looked at leads to: damaged rows spread through the masked cells of a context without flash attention. */
static void damaged_rows_are_seen_in_the_logits_and_cleared_with_the_data(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", "-fa", "off", NULL);
    some_tokens(e, tokens, N + 1, 7);
    saved s;
    float *whole = live(e, N, &s);
    e->ops->clear(e, true);
    uint8_t *bytes = s.bytes[0];
    size_t v_rows = s.size[0] - 1000;
    memset(bytes + v_rows, 0xff, 1000);
    warm_err err = {0};
    assert_int_equal(try_load(e, 1, &s, 0, PIECE, &err), 0);
    free(decode(e, 1, tokens, PIECE, PIECE + 1, 1));
    warm_sampling greedy;
    warm_sampling_default(&greedy);
    greedy.temp = 0;
    warm_sampler *sampler;
    assert_int_equal(e->ops->sampler_new(e, &greedy, &sampler, &err), 0);
    warm_sampled got;
    assert_int_equal(e->ops->sample(e, sampler, 0, &got, &err), WARM_ECORRUPT);
    e->ops->sampler_free(e, sampler);
    e->ops->clear(e, true);
    free(decode(e, 0, tokens, 0, N, PIECE));
    assert_same(e, whole, decode(e, 0, tokens, N, N + 1, 1));
    free_all(&s);
    e->ops->close(e);
}

static void bad_batches_are_errors(void **state) {
    (void)state;
    warm_engine *e = open_tiny("512", "-b", "64", "-ub", "32", NULL);
    assert_int_equal(e->info->n_batch, 64);
    some_tokens(e, tokens, N + 1, 8);
    warm_err err = {0};
    assert_int_equal(try_decode(e, 0, tokens, 0, 65, 65, &err), WARM_EINVAL);
    assert_int_equal(try_decode(e, 4, tokens, 0, 1, 1, &err), WARM_EINVAL);
    assert_int_equal(try_decode(e, -1, tokens, 0, 1, 1, &err), WARM_EINVAL);
    free(decode(e, 0, tokens, 0, 64, 64));
    assert_int_equal(try_decode(e, 0, tokens, 70, 71, 1, &err), WARM_EENGINE); /* a hole */
    int32_t none = -5;
    assert_int_equal(try_decode(e, 1, &none, 0, 1, 1, &err), WARM_EENGINE);
    assert_range(e, 0, 0, 63);
    free(decode(e, 0, tokens, 64, 65, 1));
    e->ops->close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_restore_the_live_sequence_bit_for_bit),
        cmocka_unit_test(saving_leaves_the_sequence_and_the_pool_as_they_were),
        cmocka_unit_test(what_was_loaded_goes_with_its_sequence),
        cmocka_unit_test(ranges_that_are_not_there_are_refused),
        cmocka_unit_test(a_damaged_head_is_refused_and_harms_nothing),
        cmocka_unit_test(a_full_pool_refuses_and_changes_nothing),
        cmocka_unit_test(sequences_share_cells),
        cmocka_unit_test(damaged_rows_are_seen_in_the_logits_and_cleared_with_the_data),
        cmocka_unit_test(bad_batches_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
