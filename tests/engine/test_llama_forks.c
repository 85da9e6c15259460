/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_forks.c - sequences that begin as another one does, for every kind of state, far beyond the window; and
 * window rows that are no longer there. */
#include <stdlib.h>
#include <string.h>

#include "kind_record.h"

static const char *const kinds[] = {"dense", "swa", "recurrent", "hybrid", "hybrid-ssm", "hybrid-swa", "swa-narrow"};
enum { N_KINDS = sizeof kinds / sizeof kinds[0], N = 320, SEQS = 4 };

static warm_engine *open_kind(const char *kind, const char *const *flags) {
    static const char *const usual[] = {"-c", "3072", "-ub", "64", NULL};
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, tiny_kind(kind), flags ? flags : usual)) fail_msg("open %s: %s", kind, err.text);
    return e;
}

static void fork_or_fail(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete) {
    warm_err err = {0};
    if (e->ops->fork(e, src, dst, n, complete, &err)) fail_msg("fork: %s", err.text);
}

/* One row for each sequence in every step. */
static void decode_together(warm_engine *e, int32_t from, int32_t n) {
    for (int32_t p = from; p < from + n; p++) {
        int32_t token[SEQS], pos[SEQS], seq[SEQS];
        uint8_t want[SEQS] = {1};
        for (int32_t s = 0; s < SEQS; s++) {
            token[s] = 200 + (p * SEQS + s) % 1000;
            pos[s] = p;
            seq[s] = s;
        }
        warm_batch b = {SEQS, token, pos, seq, want};
        warm_err err = {0};
        if (e->ops->decode(e, &b, &err)) fail_msg("at %d: %s", p, err.text);
    }
}

/* Forks that shared window rows could not be decoded for long: none would be recycled, and those of 300 units leave too few of the 512 that
 * there are for four windows. */
static void four_forks_go_on_for_hundreds_of_units(void **state) {
    (void)state;
    static const int32_t at[] = {300};
    for (size_t k = 0; k < N_KINDS; k++) {
        warm_engine *e = open_kind(kinds[k], NULL);
        record r;
        record_make(e, &r, N, at, 1);
        /* each fork computes what the original did: taken at the end of what is there */
        e->ops->seq_rm(e, 0, 0, -1);
        record_load(e, 0, &r, 300);
        for (int32_t s = 1; s < SEQS; s++) fork_or_fail(e, 0, s, 300, true);
        for (int32_t s = 0; s < SEQS; s++) {
            assert_true(e->ops->can_continue(e, s, 300));
            assert_goes_on_nearly(e, s, &r, 300);
        }
        decode_together(e, 320, 300);
        for (int32_t s = 0; s < SEQS; s++) {
            int32_t min, max;
            e->ops->seq_range(e, s, &min, &max);
            assert_int_equal(max, 619);
        }
        /* and they are each other's no more: one that goes leaves the others as they are */
        e->ops->seq_rm(e, 0, 0, -1);
        e->ops->seq_rm(e, 1, 0, -1);
        record_load(e, 1, &r, 300);
        assert_goes_on_nearly(e, 1, &r, 300);
        record_free(&r);
        e->ops->close(e);
    }
}

/* The child has the parent's cells and nothing else, until it gets what the prompt had at that position. */
static void a_fork_in_the_middle_is_completed_from_what_was_saved(void **state) {
    (void)state;
    static const int32_t at[] = {100, 250};
    for (size_t k = 0; k < N_KINDS; k++) {
        warm_engine *e = open_kind(kinds[k], NULL);
        record r;
        record_make(e, &r, N, at, 2);
        const bool whole = !warm_state_has_ranges(e->info->state);
        fork_or_fail(e, 0, 2, 100, false);
        if (e->info->state != WARM_STATE_RANGES) {
            warm_err err = {0};
            assert_false(e->ops->can_continue(e, 2, 100));
            if (!whole) assert_int_equal(try_decode(e, 2, r.tokens, 100, 101, 1, &err), WARM_EINVAL);
        }
        record_complete(e, 2, &r, 100);
        assert_goes_on_nearly(e, 2, &r, 100);
        /* longer than what is shared: the rest is loaded behind it */
        fork_or_fail(e, 0, 3, 64, false);
        if (!whole) record_load_cells(e, 3, &r, 64, 250);
        record_complete(e, 3, &r, 250);
        e->ops->seq_rm(e, 0, 0, -1);
        assert_goes_on_nearly(e, 3, &r, 250);
        assert_goes_on_nearly(e, 2, &r, 128);
        record_free(&r);
        e->ops->close(e);
    }
}

/* Rows that stay behind the window can be used until they are recycled; then this is seen, and costs nothing. */
static void a_window_can_be_taken_up_before_its_end_while_its_rows_are_there(void **state) {
    (void)state;
    static const int32_t at[] = {250};
    warm_engine *e = open_kind("swa", NULL);
    record r;
    warm_err err = {0};
    record_make(e, &r, N, at, 1);
    assert_true(e->ops->can_continue(e, 0, 250));
    fork_or_fail(e, 0, 1, 250, true);
    assert_goes_on_nearly(e, 1, &r, 250);
    e->ops->seq_rm(e, 0, 250, -1);
    assert_true(e->ops->can_continue(e, 0, 250));
    assert_goes_on(e, 0, &r, 250);

    int32_t more[600];
    some_tokens(e, more, 600, 5);
    int32_t tokens[900];
    memcpy(tokens + 256, more, 600 * sizeof *more);
    free(decode(e, 0, tokens, 256, 856, 64));
    uint8_t *bytes = malloc(e->ops->window_bytes(e, 32));
    assert_non_null(bytes);
    const size_t n = e->ops->window_bytes(e, 32);
    assert_int_equal(e->ops->window_save(e, 0, 224, 32, bytes, n, &err), WARM_ENOTFOUND);
    assert_int_equal(e->ops->window_save(e, 0, 824, 32, bytes, n, &err), (int64_t)n);
    assert_false(e->ops->can_continue(e, 0, 250));
    assert_int_equal(e->ops->fork(e, 0, 2, 250, true, &err), WARM_ENOTFOUND);
    assert_range(e, 2, -1, -1);
    free(bytes);
    /* its cells are there still */
    fork_or_fail(e, 0, 2, 250, false);
    record_complete(e, 2, &r, 250);
    assert_goes_on_nearly(e, 2, &r, 250);
    record_free(&r);
    e->ops->close(e);
}

static void with_rows_for_all_cells_every_position_is_a_resume_point(void **state) {
    (void)state;
    static const char *const flags[] = {"-c", "2048", "-ub", "64", "--swa-full", NULL};
    static const int32_t at[] = {70, 250};
    warm_engine *e = open_kind("swa", flags);
    record r;
    record_make(e, &r, N, at, 2);
    assert_int_equal(e->info->state, WARM_STATE_WINDOW);
    int32_t tokens[1500];
    some_tokens(e, tokens, 1500, 5);
    free(decode(e, 0, tokens, N, 1500, 64));
    assert_true(e->ops->can_continue(e, 0, 70));
    fork_or_fail(e, 0, 1, 70, true);
    assert_goes_on_nearly(e, 1, &r, 70);
    e->ops->seq_rm(e, 0, 250, -1);
    assert_goes_on(e, 0, &r, 250); /* rewound */
    e->ops->clear(e, true);
    record_load(e, 0, &r, 250);
    assert_goes_on(e, 0, &r, 250); /* restored */
    record_free(&r);
    e->ops->close(e);
}

/* Whole states are forked by a copy where the model has a window: it needs cells of its own. */
static void a_fork_without_room_leaves_nothing(void **state) {
    (void)state;
    static const char *const flags[] = {"-c", "512", NULL};
    static const int32_t at[] = {250};
    warm_engine *e = open_kind("swa-narrow", flags);
    record r;
    warm_err err = {0};
    record_make(e, &r, N, at, 1);
    assert_int_equal(e->ops->fork(e, 0, 1, N, true, &err), WARM_EFULL);
    assert_range(e, 1, -1, -1);
    const saved *s = &r.snapshot[record_chunk(&r, 250)];
    assert_int_equal(e->ops->snapshot_load(e, 1, s->bytes, s->n, 250, &err), WARM_EFULL);
    assert_range(e, 1, -1, -1);
    e->ops->seq_rm(e, 0, 0, -1);
    record_load(e, 1, &r, 250);
    assert_goes_on(e, 1, &r, 250);
    record_free(&r);
    e->ops->close(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(four_forks_go_on_for_hundreds_of_units),
        cmocka_unit_test(a_fork_in_the_middle_is_completed_from_what_was_saved),
        cmocka_unit_test(a_window_can_be_taken_up_before_its_end_while_its_rows_are_there),
        cmocka_unit_test(with_rows_for_all_cells_every_position_is_a_resume_point),
        cmocka_unit_test(a_fork_without_room_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
