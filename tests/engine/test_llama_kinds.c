/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_kinds.c - every kind of state: found out, saved and loaded exactly, forked, and safe from damage. */
#include <stdlib.h>
#include <string.h>

#include "kind_record.h"

static const struct kind {
    const char *model;
    enum warm_state_kind kind;
} kinds[] = {{"dense", WARM_STATE_RANGES},
             {"swa", WARM_STATE_WINDOW},
             {"recurrent", WARM_STATE_SNAPSHOTS},
             {"hybrid", WARM_STATE_RANGES_SNAPSHOTS},
             {"hybrid-ssm", WARM_STATE_RANGES_SNAPSHOTS},
             {"hybrid-swa", WARM_STATE_RANGES_SNAPSHOTS},
             {"swa-narrow", WARM_STATE_WHOLE}}; /* a window smaller than a piece */
enum { N_KINDS = sizeof kinds / sizeof kinds[0], N = 416 };

/* At ends of pieces and inside, below the window and beyond, and where only one unit is missing or there. */
static const int32_t positions[] = {1, 2, 31, 63, 64, 65, 100, 127, 129, 300, 415};
enum { N_POSITIONS = sizeof positions / sizeof positions[0] };

static warm_engine *open_kind(const struct kind *k, const char *const *flags) {
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, tiny_kind(k->model), flags)) fail_msg("open %s: %s", k->model, err.text);
    assert_int_equal(e->info->state, k->kind);
    assert_int_equal(e->info->n_window, k->kind == WARM_STATE_WINDOW ? TINY_WINDOW : 0);
    assert_non_null(strstr(e->info->scope, warm_state_kind_name(k->kind)));
    return e;
}

static const char *const usual[] = {"-c", "1024", NULL};

static void loaded_state_goes_on_as_the_live_one_bit_for_bit(void **state) {
    (void)state;
    static const char *const settings[][9] = {
        {"-c", "1024", "-fa", "on"},
        {"-c", "1024", "-fa", "off"},
        {"-c", "1024", "-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"},
    };
    for (size_t k = 0; k < N_KINDS; k++) {
        for (size_t f = 0; f < sizeof settings / sizeof settings[0]; f++) {
            if (f == 2 && k != 1 && k != 0) continue; /* the heads of the others are not wide enough, or they have no such cache */
            warm_engine *e = open_kind(&kinds[k], settings[f]);
            record r;
            record_make(e, &r, N, positions, N_POSITIONS);
            for (size_t i = 0; i < N_POSITIONS; i++) {
                e->ops->clear(e, true);
                record_load(e, (int32_t)i % 4, &r, positions[i]);
                assert_goes_on(e, (int32_t)i % 4, &r, positions[i]);
            }
            record_free(&r);
            e->ops->close(e);
        }
    }
}

/* Where the K row of unit i is in window rows of RECORD_PIECE units, in the first layer. */
static uint8_t *k_row(const saved *rows, int32_t i) {
    return rows->bytes + 16 + 12 * RECORD_PIECE + 8 + 12 + i * 256;
}

/* One more is not needed, one less is wrong: seen bit for bit, because a tolerance would hide it. */
static void exactly_the_rows_of_the_window_matter(void **state) {
    (void)state;
    warm_engine *e = open_kind(&kinds[1], usual);
    record r;
    record_make(e, &r, N, positions, N_POSITIONS);
    for (int32_t inside = 0; inside < 2; inside++) {
        const int32_t unit = 300 - TINY_WINDOW + inside;
        uint8_t *row = k_row(&r.rows[unit / RECORD_PIECE], unit % RECORD_PIECE);
        uint8_t was[256];
        memcpy(was, row, sizeof was);
        for (size_t i = 1; i < sizeof was; i += 2) row[i] ^= 0x80; /* the signs */
        e->ops->clear(e, true);
        record_load(e, 0, &r, 300);
        float *got = decode(e, 0, r.tokens, 300, 320, 20);
        const bool same = !memcmp(got, r.logits[record_chunk(&r, 300)], e->info->n_vocab * sizeof *got);
        assert_int_equal(same, !inside);
        free(got);
        memcpy(row, was, sizeof was);
    }
    /* and none before them has to be there */
    e->ops->clear(e, true);
    record_load_cells(e, 0, &r, 0, 300);
    record_load_rows(e, 0, &r, 300 - TINY_WINDOW + 1, 300);
    assert_goes_on_nearly(e, 0, &r, 300);
    record_free(&r);
    e->ops->close(e);
}

/* Without rows, with one missing, with a hole: all would be computed without a word of complaint, and wrongly. */
static void missing_window_rows_are_seen(void **state) {
    (void)state;
    warm_engine *e = open_kind(&kinds[1], usual);
    record r;
    warm_err err = {0};
    record_make(e, &r, N, positions, N_POSITIONS);
    const int32_t begin = 300 - TINY_WINDOW + 1;
    e->ops->clear(e, true);
    record_load_cells(e, 1, &r, 0, 300);
    assert_false(e->ops->can_continue(e, 1, 300));
    assert_int_equal(try_decode(e, 1, r.tokens, 300, 301, 1, &err), WARM_EINVAL);
    record_load_rows(e, 1, &r, begin + 1, 300);
    assert_false(e->ops->can_continue(e, 1, 300));
    assert_int_equal(try_decode(e, 1, r.tokens, 300, 301, 1, &err), WARM_EINVAL);
    assert_int_equal(e->ops->fork(e, 1, 2, 300, true, &err), WARM_ENOTFOUND);

    e->ops->clear(e, true);
    record_load_cells(e, 1, &r, 0, 300);
    record_load_rows(e, 1, &r, begin, 280);
    record_load_rows(e, 1, &r, 281, 300); /* the rows before the hole are gone */
    assert_false(e->ops->can_continue(e, 1, 300));
    /* nothing is added before or over what is there */
    assert_int_equal(e->ops->window_load(e, 1, r.rows[8].bytes, r.rows[8].n, 256, 32, 280, 281, &err), WARM_EINVAL);
    assert_int_equal(e->ops->window_load(e, 1, r.rows[9].bytes, r.rows[9].n, 288, 32, 299, 301, &err), WARM_EINVAL);
    e->ops->clear(e, true);
    record_load(e, 1, &r, 300);
    assert_goes_on(e, 1, &r, 300);
    record_free(&r);
    e->ops->close(e);
}

/* A sequence with cells but without its snapshot, or with one from elsewhere. */
static void a_snapshot_belongs_to_its_position(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        if (!warm_state_has_snapshots(kinds[k].kind)) continue;
        warm_engine *e = open_kind(&kinds[k], usual);
        const bool ranges = warm_state_has_ranges(kinds[k].kind);
        record r;
        warm_err err = {0};
        record_make(e, &r, N, positions, N_POSITIONS);
        const saved *s = &r.snapshot[record_chunk(&r, 300)];
        e->ops->clear(e, true);
        if (ranges) {
            record_load_cells(e, 1, &r, 0, 300);
            assert_false(e->ops->can_continue(e, 1, 300));
            assert_int_equal(e->ops->snapshot_bytes(e, 1), 0);
            assert_int_equal(try_decode(e, 1, r.tokens, 300, 301, 1, &err), WARM_EINVAL);
            assert_int_equal(e->ops->fork(e, 1, 2, 300, true, &err), WARM_ENOTFOUND);
        }
        assert_int_equal(e->ops->snapshot_load(e, 1, s->bytes, s->n, 299, &err), ranges ? WARM_EINVAL : WARM_ECORRUPT);
        assert_int_equal(e->ops->snapshot_bytes(e, 1), 0);
        assert_range(e, 1, -1, -1);
        if (ranges) record_load_cells(e, 1, &r, 0, 100);
        assert_int_equal(e->ops->snapshot_load(e, 1, s->bytes, s->n, 100, &err), WARM_ECORRUPT);
        record_load(e, 1, &r, 300);
        assert_goes_on(e, 1, &r, 300);
        /* it can't step back, and does not pretend to */
        assert_false(e->ops->can_continue(e, 1, 300));
        e->ops->seq_rm(e, 1, 300, -1);
        assert_range(e, 1, -1, -1);
        record_free(&r);
        e->ops->close(e);
    }
}

typedef int (*load_fn)(warm_engine *, const record *, const saved *, warm_err *);

static int load_first_cells(warm_engine *e, const record *r, const saved *s, warm_err *err) {
    (void)r;
    e->ops->clear(e, false);
    return e->ops->state_load(e, 1, s->bytes, s->n, 0, RECORD_PIECE, 0, RECORD_PIECE, err);
}

static int load_first_rows(warm_engine *e, const record *r, const saved *s, warm_err *err) {
    assert_int_equal(load_first_cells(e, r, &r->cells[0], err), 0);
    return e->ops->window_load(e, 1, s->bytes, s->n, 0, RECORD_PIECE, 0, RECORD_PIECE, err);
}

static int load_snapshot_64(warm_engine *e, const record *r, const saved *s, warm_err *err) {
    e->ops->clear(e, false);
    if (warm_state_has_ranges(e->info->state)) record_load_cells(e, 1, r, 0, 64);
    int rc = e->ops->snapshot_load(e, 1, s->bytes, s->n, 64, err);
    if (rc) assert_range(e, 1, -1, -1);
    return rc;
}

static void assert_damage_is_refused(warm_engine *e, const record *r, const saved *s, load_fn load, const size_t *at, size_t n_at) {
    warm_err err = {0};
    assert_int_equal(load(e, r, s, &err), 0);
    for (size_t i = 0; i < n_at; i++) {
        s->bytes[at[i]] ^= 0x81;
        assert_int_equal(load(e, r, s, &err), WARM_ECORRUPT);
        assert_string_not_equal(err.text, "");
        s->bytes[at[i]] ^= 0x81;
    }
    saved shorter = {s->bytes, s->n - 1};
    assert_int_equal(load(e, r, &shorter, &err), WARM_ECORRUPT);
}

/* One damaged number in each part; every number of every section is test_blob_layout's. */
static void damaged_parts_are_refused_and_harm_nothing(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        warm_engine *e = open_kind(&kinds[k], usual);
        record r;
        record_make(e, &r, N, positions, N_POSITIONS);
        const size_t behind = 16 + 12 * RECORD_PIECE; /* the cells' heads */
        const size_t heads[] = {0, 8, 12, 16, 20, behind, behind + 4, behind + 8, behind + 12};
        if (warm_state_has_ranges(kinds[k].kind)) {
            assert_damage_is_refused(e, &r, &r.cells[0], load_first_cells, heads, 9);
            /* the last number belongs to the section that was left empty */
            const size_t last = r.cells[0].n - 4;
            if (kinds[k].kind != WARM_STATE_RANGES) assert_damage_is_refused(e, &r, &r.cells[0], load_first_cells, &last, 1);
        }
        if (kinds[k].kind == WARM_STATE_WINDOW) assert_damage_is_refused(e, &r, &r.rows[0], load_first_rows, heads, 9);
        if (warm_state_has_snapshots(kinds[k].kind)) {
            assert_damage_is_refused(e, &r, &r.snapshot[record_chunk(&r, 64)], load_snapshot_64, heads, 5);
        }
        e->ops->clear(e, true);
        record_load(e, 2, &r, 300);
        assert_goes_on(e, 2, &r, 300);
        record_free(&r);
        e->ops->close(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loaded_state_goes_on_as_the_live_one_bit_for_bit),
        cmocka_unit_test(exactly_the_rows_of_the_window_matter),
        cmocka_unit_test(missing_window_rows_are_seen),
        cmocka_unit_test(a_snapshot_belongs_to_its_position),
        cmocka_unit_test(damaged_parts_are_refused_and_harm_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
