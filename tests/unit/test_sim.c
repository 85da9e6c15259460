/* SPDX-License-Identifier: MIT
 *
 * The simulated engine, which the scheduler's tests believe: in every kind of state what is saved, loaded and forked rightly goes on with the
 * hash that the tokens imply, and whatever lacks a unit, a row or a snapshot, or has one of other tokens, never does again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sim/sim.h"

enum { WINDOW = 16, MANY = 300 };

typedef struct rig {
    warm_engine *e;
    const warm_engine_ops *ops;
    uint64_t ns;
    int32_t mine[MANY], other[MANY]; /* two prompts without a common token at the start */
} rig;

static void rig_open_with(rig *r, warm_sim_options o) {
    if (!o.n_window) o.n_window = WINDOW;
    o.clock_ns = &r->ns;
    r->ns = 0;
    assert_int_equal(warm_sim_open(&o, &r->e), 0);
    r->ops = r->e->ops;
    for (int32_t i = 0; i < MANY; i++) {
        r->mine[i] = 1 + i * 7 % 250;
        r->other[i] = 2 + i * 11 % 250;
    }
}

static void rig_open(rig *r, enum warm_state_kind kind) {
    rig_open_with(r, (warm_sim_options){.n_ctx = 2048, .n_seq_max = 8, .n_ubatch = 64, .state = kind, .snapshot_bytes = 96});
}

static void rig_close(rig *r) {
    r->ops->close(r->e);
}

static int decode(rig *r, int32_t seq, const int32_t *tokens, int32_t p0, int32_t p1) {
    for (int32_t p = p0; p < p1;) {
        int32_t pos[64], seqs[64];
        uint8_t want[64] = {0};
        size_t n = 0;
        for (; n < 64 && p + (int32_t)n < p1; n++) {
            pos[n] = p + (int32_t)n;
            seqs[n] = seq;
        }
        int rc = r->ops->decode(r->e, &(warm_batch){.n = n, .token = tokens + p, .pos = pos, .seq = seqs, .want = want}, NULL);
        if (rc) return rc;
        p += (int32_t)n;
    }
    return 0;
}

static bool is_right(rig *r, int32_t seq, const int32_t *tokens, int32_t n) {
    return warm_sim_seq_hash(r->e, seq) == warm_sim_hash(tokens, (size_t)n);
}

/* Goes on from n one by one and says whether all of it was right or all of it wrong; anything else fails. */
static bool goes_on(rig *r, int32_t seq, const int32_t *tokens, int32_t n) {
    uint64_t before = warm_sim_poisoned(r->e);
    assert_int_equal(decode(r, seq, tokens, n, n + 1), 0);
    bool right = is_right(r, seq, tokens, n + 1);
    for (int32_t p = n + 1; p < n + 2 * WINDOW; p++) {
        assert_int_equal(decode(r, seq, tokens, p, p + 1), 0);
        assert_int_equal(is_right(r, seq, tokens, p + 1), right);
    }
    if (right) assert_int_equal(warm_sim_poisoned(r->e), before);
    return right;
}

/* What was saved of one sequence at n. */
typedef struct saved {
    int32_t n;
    void *cells, *rows, *snapshot;
    size_t n_cells, n_rows, n_snapshot;
} saved;

static int32_t rows_first(int32_t n) {
    return n >= WINDOW ? n - WINDOW + 1 : 0;
}

static saved save(rig *r, int32_t seq, int32_t n) {
    saved v = {.n = n};
    enum warm_state_kind kind = r->e->info->state;
    if (warm_state_has_ranges(kind)) {
        v.n_cells = r->ops->state_bytes(r->e, (size_t)n);
        v.cells = malloc(v.n_cells);
        assert_int_equal(r->ops->state_save(r->e, seq, 0, (size_t)n, v.cells, v.n_cells, NULL), (int64_t)v.n_cells);
    }
    if (kind == WARM_STATE_WINDOW) {
        size_t rows = (size_t)(n - rows_first(n));
        v.n_rows = r->ops->window_bytes(r->e, rows);
        v.rows = malloc(v.n_rows);
        assert_int_equal(r->ops->window_save(r->e, seq, rows_first(n), rows, v.rows, v.n_rows, NULL), (int64_t)v.n_rows);
    }
    if (warm_state_has_snapshots(kind)) {
        v.n_snapshot = r->ops->snapshot_bytes(r->e, seq);
        v.snapshot = malloc(v.n_snapshot);
        assert_int_equal(r->ops->snapshot_save(r->e, seq, v.snapshot, v.n_snapshot, NULL), (int64_t)v.n_snapshot);
    }
    return v;
}

static void saved_free(saved *v) {
    free(v->cells);
    free(v->rows);
    free(v->snapshot);
}

static int load_cells(rig *r, int32_t seq, const saved *v, int32_t p0, int32_t p1) {
    return r->ops->state_load(r->e, seq, v->cells, v->n_cells, 0, (size_t)v->n, p0, p1, NULL);
}

static int load_rows(rig *r, int32_t seq, const saved *v, int32_t p0, int32_t p1) {
    int32_t first = rows_first(v->n);
    return r->ops->window_load(r->e, seq, v->rows, v->n_rows, first, (size_t)(v->n - first), p0, p1, NULL);
}

static int load_snapshot(rig *r, int32_t seq, const saved *v, int32_t n) {
    return r->ops->snapshot_load(r->e, seq, v->snapshot, v->n_snapshot, n, NULL);
}

/* All that the kind needs behind the cells, if it has any. */
static void complete(rig *r, int32_t seq, const saved *v) {
    if (v->rows) assert_int_equal(load_rows(r, seq, v, rows_first(v->n), v->n), 0);
    if (v->snapshot) assert_int_equal(load_snapshot(r, seq, v, v->n), 0);
}

static void what_is_decoded_has_the_hash_of_its_tokens(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(r.e->info->state, kind);
        assert_int_equal(r.e->info->n_window, kind == WARM_STATE_WINDOW ? WINDOW : 0);
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        assert_int_equal(decode(&r, 1, r.other, 0, 200), 0);
        assert_true(is_right(&r, 0, r.mine, 100) && is_right(&r, 1, r.other, 200));
        assert_true(goes_on(&r, 0, r.mine, 100) && goes_on(&r, 1, r.other, 200));
        rig_close(&r);
    }
}

static void a_restored_sequence_goes_on_as_the_saved_one(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        for (int32_t n = 1; n <= 100; n += 11) {
            rig r;
            rig_open(&r, kind);
            assert_int_equal(decode(&r, 0, r.mine, 0, n), 0);
            saved v = save(&r, 0, n);
            r.ops->clear(r.e, true);
            if (v.cells) {
                assert_int_equal(load_cells(&r, 3, &v, 0, n / 2), 0);
                assert_int_equal(load_cells(&r, 3, &v, n / 2, n), 0);
            }
            complete(&r, 3, &v);
            assert_true(is_right(&r, 3, r.mine, n));
            assert_true(r.ops->can_continue(r.e, 3, n));
            assert_true(goes_on(&r, 3, r.mine, n));
            saved_free(&v);
            rig_close(&r);
        }
    }
}

static void a_fork_and_its_source_both_go_on(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        for (int32_t dst = 1; dst < 5; dst++) {
            assert_int_equal(r.ops->fork(r.e, 0, dst, 100, true, NULL), 0);
            assert_true(r.ops->can_continue(r.e, dst, 100));
        }
        for (int32_t seq = 0; seq < 5; seq++) assert_true(goes_on(&r, seq, r.mine, 100));
        rig_close(&r);
    }
}

static void an_incomplete_fork_is_wrong_until_it_is_completed(void **state) {
    (void)state;
    for (enum warm_state_kind kind = WARM_STATE_WINDOW; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 60), 0);
        saved v = save(&r, 0, 60);
        assert_int_equal(decode(&r, 0, r.mine, 60, 100), 0);
        for (int32_t dst = 1; dst < 3; dst++) {
            assert_int_equal(r.ops->fork(r.e, 0, dst, 60, false, NULL), 0);
            assert_false(r.ops->can_continue(r.e, dst, 60));
        }
        if (warm_state_has_ranges(kind)) {
            assert_false(goes_on(&r, 1, r.mine, 60));
        } else {
            assert_int_equal(decode(&r, 1, r.mine, 60, 61), WARM_EENGINE);
            assert_false(goes_on(&r, 1, r.mine, 0));
        }
        complete(&r, 2, &v);
        assert_true(goes_on(&r, 2, r.mine, 60));
        assert_true(goes_on(&r, 0, r.mine, 100));
        saved_free(&v);
        rig_close(&r);
    }
}

static void an_incomplete_fork_may_get_more_cells_before_it_is_completed(void **state) {
    (void)state;
    for (enum warm_state_kind kind = WARM_STATE_WINDOW; kind <= WARM_STATE_RANGES_SNAPSHOTS; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        saved v = save(&r, 0, 100);
        assert_int_equal(r.ops->fork(r.e, 0, 1, 60, false, NULL), 0);
        assert_int_equal(load_cells(&r, 1, &v, 60, 100), 0);
        complete(&r, 1, &v);
        assert_true(goes_on(&r, 1, r.mine, 100));
        saved_free(&v);
        rig_close(&r);
    }
}

static void a_removed_fork_can_be_begun_again(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 60), 0);
        assert_int_equal(r.ops->fork(r.e, 0, 1, 60, false, NULL), 0);
        r.ops->seq_rm(r.e, 1, 0, -1);
        assert_int_equal(decode(&r, 1, r.other, 0, 60), 0);
        assert_true(goes_on(&r, 1, r.other, 60));
        rig_close(&r);
    }
}

/* Cells */

static void cells_of_another_prompt_or_place_are_noticed(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_RANGES_SNAPSHOTS; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        assert_int_equal(decode(&r, 1, r.other, 0, 100), 0);
        saved mine = save(&r, 0, 100), other = save(&r, 1, 100);
        /* one unit in the middle is another's, all others are right */
        assert_int_equal(load_cells(&r, 2, &mine, 0, 40), 0);
        assert_int_equal(load_cells(&r, 2, &other, 40, 41), 0);
        assert_int_equal(load_cells(&r, 2, &mine, 41, 100), 0);
        complete(&r, 2, &mine);
        assert_false(goes_on(&r, 2, r.mine, 100));
        /* and the bytes know their place */
        assert_int_equal(r.ops->state_load(r.e, 3, mine.cells, mine.n_cells - 1, 0, 100, 0, 100, NULL), WARM_ECORRUPT);
        assert_int_equal(r.ops->state_load(r.e, 0, mine.cells, mine.n_cells, 100, 100, 100, 200, NULL), WARM_ECORRUPT);
        assert_true(goes_on(&r, 0, r.mine, 100));
        saved_free(&mine);
        saved_free(&other);
        rig_close(&r);
    }
}

/* Window rows */

static void one_row_short_is_noticed(void **state) {
    (void)state;
    for (int32_t missing = 0; missing < WINDOW - 1; missing++) {
        rig r;
        rig_open(&r, WARM_STATE_WINDOW);
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        saved v = save(&r, 0, 100);
        int32_t first = rows_first(100);
        assert_int_equal(load_cells(&r, 1, &v, 0, 100), 0);
        if (missing) assert_int_equal(load_rows(&r, 1, &v, first, first + missing), 0);
        if (missing < WINDOW - 2) assert_int_equal(load_rows(&r, 1, &v, first + missing + 1, 100), 0);
        assert_false(r.ops->can_continue(r.e, 1, 100));
        assert_false(goes_on(&r, 1, r.mine, 100));
        saved_free(&v);
        rig_close(&r);
    }
}

static void rows_of_another_prefix_are_noticed(void **state) {
    (void)state;
    rig r;
    rig_open(&r, WARM_STATE_WINDOW);
    /* the same tokens all over the window, behind one other token */
    r.other[0] = r.mine[0] + 1;
    memcpy(r.other + 1, r.mine + 1, sizeof r.mine - sizeof *r.mine);
    assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
    assert_int_equal(decode(&r, 1, r.other, 0, 100), 0);
    saved mine = save(&r, 0, 100), other = save(&r, 1, 100);
    assert_int_equal(load_cells(&r, 2, &mine, 0, 100), 0);
    assert_int_equal(load_rows(&r, 2, &mine, rows_first(100), 90), 0);
    assert_int_equal(load_rows(&r, 2, &other, 90, 91), 0);
    assert_int_equal(load_rows(&r, 2, &mine, 91, 100), 0);
    assert_true(r.ops->can_continue(r.e, 2, 100));
    /* a fork copies what is wrong, too */
    assert_int_equal(r.ops->fork(r.e, 2, 3, 100, true, NULL), 0);
    assert_false(goes_on(&r, 2, r.mine, 100));
    assert_false(goes_on(&r, 3, r.mine, 100));
    saved_free(&mine);
    saved_free(&other);
    rig_close(&r);
}

static void rows_behind_the_window_stay_until_the_next_decode_and_vanish_some_day(void **state) {
    (void)state;
    rig r;
    rig_open(&r, WARM_STATE_WINDOW);
    uint8_t bytes[64 * (WINDOW + 1)];
    int32_t n = 0;
    unsigned n_gone = 0;
    for (int32_t step = 60; n + step < MANY; n += step) {
        assert_int_equal(decode(&r, 0, r.mine, n, n + step), 0);
        for (int32_t p = n; p + WINDOW <= n + step; p++)
            assert_int_equal(r.ops->window_save(r.e, 0, p, WINDOW, bytes, sizeof bytes, NULL), r.ops->window_bytes(r.e, WINDOW));
    }
    assert_true(r.ops->can_continue(r.e, 0, n));
    for (int32_t p = 0; p + WINDOW < n; p++) {
        int64_t rc = r.ops->window_save(r.e, 0, p, WINDOW - 1, bytes, sizeof bytes, NULL);
        assert_true(rc > 0 || rc == WARM_ENOTFOUND);
        assert_int_equal(r.ops->can_continue(r.e, 0, p + WINDOW - 1), rc > 0);
        n_gone += rc == WARM_ENOTFOUND;
    }
    assert_true(n_gone > 0);
    rig_close(&r);
}

static void a_trimmed_sequence_goes_on_only_where_its_rows_are(void **state) {
    (void)state;
    unsigned n_right = 0, n_wrong = 0;
    for (int32_t n = 4; n < 240; n++) {
        rig r;
        rig_open(&r, WARM_STATE_WINDOW);
        assert_int_equal(decode(&r, 0, r.mine, 0, 240), 0);
        bool can = r.ops->can_continue(r.e, 0, n);
        assert_int_equal(r.ops->fork(r.e, 0, 1, n, true, NULL), can ? 0 : WARM_ENOTFOUND);
        r.ops->seq_rm(r.e, 0, n, -1);
        assert_int_equal(goes_on(&r, 0, r.mine, n), can);
        if (can) {
            assert_true(goes_on(&r, 1, r.mine, n));
            n_right++;
        } else {
            int32_t min, max;
            r.ops->seq_range(r.e, 1, &min, &max);
            assert_int_equal(max, -1);
            n_wrong++;
        }
        rig_close(&r);
    }
    assert_true(n_right > 10 && n_wrong > 10);
}

static void forks_need_rows_of_their_own(void **state) {
    (void)state;
    rig r;
    rig_open_with(&r, (warm_sim_options){.n_ctx = 64, .n_ubatch = 16, .state = WARM_STATE_WINDOW});
    assert_int_equal(decode(&r, 0, r.mine, 0, 40), 0);
    int32_t dst = 1, min, max;
    while (dst < 7 && !r.ops->fork(r.e, 0, dst, 40, true, NULL)) dst++;
    assert_int_equal(dst, 64 / (WINDOW - 1));
    assert_int_equal(r.ops->fork(r.e, 0, dst, 40, true, NULL), WARM_EFULL);
    r.ops->seq_range(r.e, dst, &min, &max);
    assert_int_equal(max, -1);
    /* four rows are free; a batch for which they do not suffice changes nothing */
    assert_int_equal(decode(&r, 0, r.mine, 40, 45), WARM_EFULL);
    assert_true(is_right(&r, 0, r.mine, 40));
    for (int32_t i = 0; i < dst; i++) assert_int_equal(decode(&r, i, r.mine, 40, 44), 0);
    for (int32_t i = 0; i < dst; i++) assert_true(is_right(&r, i, r.mine, 44));
    r.ops->seq_rm(r.e, 1, 0, -1);
    assert_int_equal(decode(&r, 0, r.mine, 44, 48), 0);
    assert_true(is_right(&r, 0, r.mine, 48));
    rig_close(&r);
}

/* Snapshots */

static void a_snapshot_of_another_position_or_prompt_is_noticed(void **state) {
    (void)state;
    for (enum warm_state_kind kind = WARM_STATE_RANGES_SNAPSHOTS; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        bool ranges = warm_state_has_ranges(kind);
        int32_t min, max;
        assert_int_equal(r.ops->snapshot_bytes(r.e, 0), 0);
        assert_int_equal(decode(&r, 0, r.mine, 0, 99), 0);
        saved before = save(&r, 0, 99);
        assert_int_equal(decode(&r, 0, r.mine, 99, 100), 0);
        assert_int_equal(decode(&r, 1, r.other, 0, 100), 0);
        saved mine = save(&r, 0, 100), other = save(&r, 1, 100);
        if (ranges) assert_int_equal(load_cells(&r, 2, &mine, 0, 100), 0);
        assert_int_equal(r.ops->snapshot_bytes(r.e, 2), 0);
        assert_int_equal(load_snapshot(&r, 2, &before, 100), WARM_ECORRUPT);
        r.ops->seq_range(r.e, 2, &min, &max);
        assert_int_equal(max, -1);
        if (ranges) assert_int_equal(load_cells(&r, 2, &mine, 0, 100), 0);
        assert_int_equal(load_snapshot(&r, 2, &other, 100), 0);
        assert_false(goes_on(&r, 2, r.mine, 100));
        assert_int_equal(warm_sim_poisoned(r.e) > 0, ranges);
        saved_free(&before);
        saved_free(&mine);
        saved_free(&other);
        rig_close(&r);
    }
}

static void cells_behind_a_recurrent_state_need_a_new_one(void **state) {
    (void)state;
    rig r;
    rig_open(&r, WARM_STATE_RANGES_SNAPSHOTS);
    assert_int_equal(decode(&r, 0, r.mine, 0, 60), 0);
    saved at60 = save(&r, 0, 60);
    assert_int_equal(decode(&r, 0, r.mine, 60, 100), 0);
    saved at100 = save(&r, 0, 100);
    for (int32_t seq = 1; seq < 4; seq++) {
        assert_int_equal(load_cells(&r, seq, &at100, 0, 60), 0);
        complete(&r, seq, &at60);
        assert_int_equal(load_cells(&r, seq, &at100, 60, 100), 0);
        assert_false(r.ops->can_continue(r.e, seq, 100));
    }
    assert_false(goes_on(&r, 1, r.mine, 100));
    complete(&r, 2, &at100);
    assert_true(goes_on(&r, 2, r.mine, 100));
    /* the older snapshot fits only its own position */
    assert_int_equal(load_snapshot(&r, 3, &at60, 60), WARM_EINVAL);
    saved_free(&at60);
    saved_free(&at100);
    rig_close(&r);
}

static void kinds_with_snapshots_cannot_be_cut(void **state) {
    (void)state;
    for (enum warm_state_kind kind = WARM_STATE_RANGES_SNAPSHOTS; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        int32_t min, max;
        assert_int_equal(decode(&r, 0, r.mine, 0, 100), 0);
        assert_false(r.ops->can_continue(r.e, 0, 99));
        assert_int_equal(r.ops->fork(r.e, 0, 1, 99, true, NULL), WARM_ENOTFOUND);
        r.ops->seq_rm(r.e, 0, 100, -1);
        assert_true(goes_on(&r, 0, r.mine, 100));
        r.ops->seq_rm(r.e, 0, 99, -1);
        r.ops->seq_range(r.e, 0, &min, &max);
        assert_int_equal(max, -1);
        assert_int_equal(decode(&r, 0, r.other, 0, 100), 0);
        assert_true(goes_on(&r, 0, r.other, 100));
        rig_close(&r);
    }
}

static void a_whole_state_grows_and_takes_cells(void **state) {
    (void)state;
    rig r;
    rig_open_with(&r, (warm_sim_options){.n_ctx = 100, .state = WARM_STATE_WHOLE, .unit_bytes = 32, .snapshot_bytes = 96});
    assert_int_equal(decode(&r, 0, r.mine, 0, 60), 0);
    saved v = save(&r, 0, 60);
    assert_int_equal(v.n_snapshot, 96 + 60 * 32);
    assert_int_equal(load_snapshot(&r, 1, &v, 60), WARM_EFULL);
    /* what is replaced makes room */
    assert_int_equal(load_snapshot(&r, 0, &v, 60), 0);
    assert_true(is_right(&r, 0, r.mine, 60));
    saved_free(&v);
    rig_close(&r);
}

static void recurrent_state_alone_takes_no_cells(void **state) {
    (void)state;
    rig r;
    rig_open_with(&r, (warm_sim_options){.n_ctx = 100, .state = WARM_STATE_SNAPSHOTS, .snapshot_bytes = 96});
    for (int32_t seq = 0; seq < 8; seq++) assert_int_equal(decode(&r, seq, r.mine, 0, 90), 0);
    saved v = save(&r, 0, 90);
    assert_int_equal(v.n_snapshot, 96);
    saved_free(&v);
    rig_close(&r);
}

/* All kinds */

static void each_kind_does_only_what_is_its_own(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open(&r, kind);
        assert_int_equal(decode(&r, 0, r.mine, 0, 20), 0);
        assert_int_equal(r.ops->state_bytes(r.e, 20) > 0, warm_state_has_ranges(kind));
        assert_int_equal(r.ops->window_bytes(r.e, 10) > 0, kind == WARM_STATE_WINDOW);
        assert_int_equal(r.ops->snapshot_bytes(r.e, 0) > 0, warm_state_has_snapshots(kind));
        assert_int_equal(r.e->info->n_rows > 0, kind == WARM_STATE_WINDOW);
        rig_close(&r);
    }
}

static void damage_is_refused_and_changes_nothing_but_what_was_loaded(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        for (size_t at = 0; at < 16; at++) {
            rig r;
            rig_open(&r, kind);
            assert_int_equal(decode(&r, 0, r.mine, 0, 50), 0);
            saved v = save(&r, 0, 50), bad = save(&r, 0, 50);
            if (bad.cells) ((uint8_t *)bad.cells)[at] ^= 0x40;
            if (bad.rows) ((uint8_t *)bad.rows)[at] ^= 0x40;
            if (bad.snapshot) ((uint8_t *)bad.snapshot)[at] ^= 0x40;
            if (v.cells) {
                assert_int_equal(load_cells(&r, 1, &bad, 0, 50), WARM_ECORRUPT);
                assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
            }
            if (v.rows) assert_int_equal(load_rows(&r, 1, &bad, rows_first(50), 50), WARM_ECORRUPT);
            if (v.snapshot) {
                assert_int_equal(load_snapshot(&r, 1, &bad, 50), WARM_ECORRUPT);
                if (v.cells) assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
            }
            complete(&r, 1, &v);
            assert_true(goes_on(&r, 1, r.mine, 50));
            assert_true(goes_on(&r, 0, r.mine, 50));
            saved_free(&v);
            saved_free(&bad);
            rig_close(&r);
        }
    }
}

static void calls_fail_when_they_are_told_to(void **state) {
    (void)state;
    rig r;
    rig_open_with(&r, (warm_sim_options){.state = WARM_STATE_WINDOW, .window_fails_at = 2});
    assert_int_equal(decode(&r, 0, r.mine, 0, 50), 0);
    saved v = save(&r, 0, 50);
    assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
    assert_int_equal(load_rows(&r, 1, &v, rows_first(50), 50), WARM_EENGINE);
    complete(&r, 1, &v);
    assert_true(goes_on(&r, 1, r.mine, 50));
    saved_free(&v);
    rig_close(&r);
    for (enum warm_state_kind kind = WARM_STATE_RANGES_SNAPSHOTS; kind <= WARM_STATE_WHOLE; kind++) {
        rig_open_with(&r, (warm_sim_options){.state = kind, .snapshot_fails_at = 2});
        assert_int_equal(decode(&r, 0, r.mine, 0, 50), 0);
        v = save(&r, 0, 50);
        if (v.cells) assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
        assert_int_equal(load_snapshot(&r, 1, &v, 50), WARM_EENGINE);
        assert_false(r.ops->can_continue(r.e, 1, 50));
        if (v.cells) assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
        complete(&r, 1, &v);
        assert_true(goes_on(&r, 1, r.mine, 50));
        saved_free(&v);
        rig_close(&r);
    }
}

static void copies_take_their_time(void **state) {
    (void)state;
    const uint64_t want[] = {50 * 10, (50 + WINDOW - 1) * 10, 50 * 10 + 7000, 7000, 50 * 10 + 7000};
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open_with(&r, (warm_sim_options){.state = kind, .copy_ns = 10, .snapshot_ns = 7000});
        assert_int_equal(decode(&r, 0, r.mine, 0, 50), 0);
        saved v = save(&r, 0, 50);
        assert_int_equal(r.ns, want[kind]);
        if (v.cells) assert_int_equal(load_cells(&r, 1, &v, 0, 50), 0);
        complete(&r, 1, &v);
        assert_int_equal(r.ns, 2 * want[kind]);
        saved_free(&v);
        rig_close(&r);
    }
}

enum { N_SEQS = 5, N_KEPT = 12, N_OPS = 6000 };

struct kept {
    int32_t tokens[MANY];
    saved v;
};

/* One operation that a careful scheduler may do. Prompts branch off two roots, so many share a beginning. */
static void operate(rig *r, warm_rng *rng, int32_t (*tokens)[MANY], int32_t *n, struct kept *kept) {
    int32_t a = (int32_t)warm_rng_below(rng, N_SEQS), b = (int32_t)warm_rng_below(rng, N_SEQS);
    struct kept *k = &kept[warm_rng_below(rng, N_KEPT)];
    int32_t at = n[a] ? 1 + (int32_t)warm_rng_below(rng, (uint64_t)n[a]) : 0;
    switch (warm_rng_below(rng, 6)) {
    case 0:
    case 1: {
        int32_t more = 1 + (int32_t)warm_rng_below(rng, warm_rng_below(rng, 4) ? 6 : 60);
        if (n[a] + more > MANY) break;
        for (int32_t p = n[a]; p < n[a] + more; p++) tokens[a][p] = p + 1 + (int32_t)warm_rng_below(rng, 2);
        if (!decode(r, a, tokens[a], n[a], n[a] + more)) n[a] += more;
        break;
    }
    case 2:
        if (warm_rng_below(rng, 2)) at = n[a];
        if (a == b || !at || !r->ops->can_continue(r->e, a, at)) break;
        r->ops->seq_rm(r->e, b, 0, -1);
        n[b] = r->ops->fork(r->e, a, b, at, true, NULL) ? 0 : at;
        memcpy(tokens[b], tokens[a], (size_t)n[b] * sizeof *tokens[b]);
        break;
    case 3:
        if (!n[a]) break;
        saved_free(&k->v);
        k->v = save(r, a, n[a]);
        memcpy(k->tokens, tokens[a], sizeof k->tokens);
        break;
    case 4:
        r->ops->seq_rm(r->e, a, 0, -1);
        n[a] = 0;
        if (!k->v.n || (k->v.cells && load_cells(r, a, &k->v, 0, k->v.n))) break;
        if ((k->v.rows && load_rows(r, a, &k->v, rows_first(k->v.n), k->v.n)) ||
            (k->v.snapshot && load_snapshot(r, a, &k->v, k->v.n))) {
            r->ops->seq_rm(r->e, a, 0, -1);
            break;
        }
        n[a] = k->v.n;
        memcpy(tokens[a], k->tokens, sizeof k->tokens);
        break;
    default:
        if (!at || !r->ops->can_continue(r->e, a, at)) break;
        r->ops->seq_rm(r->e, a, at, -1);
        n[a] = at;
    }
}

static void whatever_a_careful_scheduler_does_stays_right(void **state) {
    (void)state;
    for (enum warm_state_kind kind = 0; kind <= WARM_STATE_WHOLE; kind++) {
        rig r;
        rig_open_with(&r, (warm_sim_options){.n_ctx = 700, .n_seq_max = N_SEQS, .n_ubatch = 32, .state = kind});
        warm_rng rng = {kind + 1};
        static int32_t tokens[N_SEQS][MANY];
        static struct kept kept[N_KEPT];
        memset(kept, 0, sizeof kept);
        int32_t n[N_SEQS] = {0};
        for (int i = 0; i < N_OPS; i++) {
            operate(&r, &rng, tokens, n, kept);
            for (int32_t seq = 0; seq < N_SEQS; seq++) {
                assert_true(is_right(&r, seq, tokens[seq], n[seq]));
                if (n[seq]) assert_true(r.ops->can_continue(r.e, seq, n[seq]));
            }
        }
        assert_int_equal(warm_sim_poisoned(r.e), 0);
        for (size_t i = 0; i < N_KEPT; i++) saved_free(&kept[i].v);
        rig_close(&r);
    }
}

static void a_shifted_sequence_goes_on_from_the_hashes_it_has(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        warm_engine *e;
        assert_int_equal(warm_sim_open(&(warm_sim_options){.n_ctx = 64, .state = (enum warm_state_kind)k}, &e), 0);
        int32_t tokens[21], pos[20], seq[20] = {0};
        uint8_t want[20] = {0};
        for (int32_t i = 0; i < 21; i++) tokens[i] = 1 + i;
        for (int32_t i = 0; i < 20; i++) pos[i] = i;
        warm_batch b = {20, tokens, pos, seq, want};
        assert_int_equal(e->ops->decode(e, &b, NULL), 0);
        assert_int_equal(e->info->can_shift, k != WARM_STATE_WINDOW);
        int rc = e->ops->shift(e, 0, 5, 12, NULL);
        assert_int_equal(rc, k == WARM_STATE_WINDOW ? WARM_ENOTSUP : 0);
        int32_t n = rc ? 20 : 13, min, max;
        e->ops->seq_range(e, 0, &min, &max);
        assert_int_equal(max, n - 1);
        assert_int_equal(e->ops->can_continue(e, 0, n), rc != 0);
        b = (warm_batch){1, tokens + 20, &n, seq, want};
        assert_int_equal(e->ops->decode(e, &b, NULL), 0);
        assert_true(warm_sim_seq_hash(e, 0) == warm_sim_hash(tokens, 21));
        assert_int_equal(warm_sim_poisoned(e), 0);
        assert_int_equal(e->ops->snapshot_bytes(e, 0), 0);
        /* the cells of the gap are free: the others' are 14 */
        int32_t many[50], many_pos[50], many_seq[50];
        uint8_t many_want[50] = {0};
        for (int32_t i = 0; i < 50; i++) many[i] = 1, many_pos[i] = i, many_seq[i] = 1;
        b = (warm_batch){50, many, many_pos, many_seq, many_want};
        assert_int_equal(e->ops->decode(e, &b, NULL), k == WARM_STATE_WINDOW ? WARM_EFULL : 0);
        e->ops->close(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decoded_has_the_hash_of_its_tokens),
        cmocka_unit_test(a_restored_sequence_goes_on_as_the_saved_one),
        cmocka_unit_test(a_fork_and_its_source_both_go_on),
        cmocka_unit_test(an_incomplete_fork_is_wrong_until_it_is_completed),
        cmocka_unit_test(an_incomplete_fork_may_get_more_cells_before_it_is_completed),
        cmocka_unit_test(a_removed_fork_can_be_begun_again),
        cmocka_unit_test(cells_of_another_prompt_or_place_are_noticed),
        cmocka_unit_test(one_row_short_is_noticed),
        cmocka_unit_test(rows_of_another_prefix_are_noticed),
        cmocka_unit_test(rows_behind_the_window_stay_until_the_next_decode_and_vanish_some_day),
        cmocka_unit_test(a_trimmed_sequence_goes_on_only_where_its_rows_are),
        cmocka_unit_test(forks_need_rows_of_their_own),
        cmocka_unit_test(a_snapshot_of_another_position_or_prompt_is_noticed),
        cmocka_unit_test(cells_behind_a_recurrent_state_need_a_new_one),
        cmocka_unit_test(kinds_with_snapshots_cannot_be_cut),
        cmocka_unit_test(a_whole_state_grows_and_takes_cells),
        cmocka_unit_test(recurrent_state_alone_takes_no_cells),
        cmocka_unit_test(each_kind_does_only_what_is_its_own),
        cmocka_unit_test(damage_is_refused_and_changes_nothing_but_what_was_loaded),
        cmocka_unit_test(calls_fail_when_they_are_told_to),
        cmocka_unit_test(a_shifted_sequence_goes_on_from_the_hashes_it_has),
        cmocka_unit_test(copies_take_their_time),
        cmocka_unit_test(whatever_a_careful_scheduler_does_stays_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
