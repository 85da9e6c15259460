/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_blob_layout.c - states written by hand: what is learned, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "llama/blob_layout.h"

enum { LAYERS = 3, K_ROW = 16, V_EL = 2, V_EMBD = 6, R_LAYERS = 2, R_ROW = 20, S_ROW = 32, CELLS_MAX = 1024 };

typedef struct blob {
    uint8_t b[65536];
    size_t n;
    size_t words[256]; /* where the numbers are that must be what they are */
    size_t n_words;
} blob;

static void put(blob *o, const void *p, size_t n) {
    memcpy(o->b + o->n, p, n);
    o->n += n;
}

static void put_u32(blob *o, uint32_t v) {
    put(o, &v, sizeof v);
}

static void put_word(blob *o, uint32_t v) {
    o->words[o->n_words++] = o->n;
    put_u32(o, v);
}

static void put_rows(blob *o, size_t bytes) {
    memset(o->b + o->n, 0x5a, bytes);
    o->n += bytes;
}

static void put_row_head(blob *o, uint64_t row) {
    put_word(o, 1);
    put_word(o, (uint32_t)row);
    put_word(o, (uint32_t)(row >> 32));
}

static void begin(blob *o) {
    o->n = o->n_words = 0;
    put_word(o, 0xaf143cd8);
    put_u32(o, 7);
}

typedef struct shape {
    bool trans, wide, with_v;
} shape;

static const shape plain = {.with_v = true};

/* A section of n cells at first.., written backwards when asked, as libllama may. */
static void put_kv(blob *o, shape as, int32_t first, uint32_t n, bool backwards) {
    put_word(o, 1);
    put_word(o, n);
    if (!n) return;
    for (uint32_t i = 0; i < n; i++) {
        put_word(o, (uint32_t)first + (backwards ? n - 1 - i : i));
        put_word(o, 1);
        if (as.wide) put_rows(o, 12);
        put_u32(o, 7);
    }
    put_word(o, as.trans);
    put_word(o, LAYERS);
    for (int i = 0; i < LAYERS; i++) {
        put_row_head(o, K_ROW);
        put_rows(o, K_ROW * n);
    }
    for (int i = 0; as.with_v && i < LAYERS; i++) {
        put_row_head(o, as.trans ? V_EL | (uint64_t)V_EMBD << 32 : V_EL * V_EMBD);
        put_rows(o, V_EL * V_EMBD * n);
    }
}

/* The state at pos of some of the layers, or none. */
static void put_recurrent(blob *o, int32_t pos, uint32_t n) {
    put_word(o, n);
    if (n) {
        put_word(o, (uint32_t)pos);
        put_word(o, 0);
    }
    put_word(o, 0);
    put_word(o, LAYERS);
    for (int part = 0; part < 2; part++) {
        for (int i = 0; i < R_LAYERS; i++) {
            put_row_head(o, part ? S_ROW : R_ROW);
            put_rows(o, (part ? S_ROW : R_ROW) * n);
        }
    }
}

static warm__blob_form cells(int32_t first, size_t n) {
    warm__blob_form f = {0};
    f.cells[0].first = first;
    f.cells[0].n = n;
    return f;
}

static int check(const warm__blob_layout *l, const blob *o, warm__blob_form f) {
    return warm__blob_check(l, &f, o->b, o->n, NULL);
}

static size_t bytes_of(const warm__blob_layout *l, warm__blob_form f) {
    return warm__blob_bytes(l, &f);
}

static void each_shape_is_learned_and_its_sizes_foretold(void **state) {
    (void)state;
    static blob o;
    for (int bits = 0; bits < 8; bits++) {
        shape as = {bits & 1, bits & 2, !(bits & 4)};
        if (as.trans && !as.with_v) continue;
        warm__blob_layout l;
        begin(&o);
        put_kv(&o, as, 5, 4, false);
        assert_int_equal(warm__blob_learn(&l, o.b, o.n, 5, 4, CELLS_MAX), 0);
        assert_int_equal(l.n_sections, 1);
        assert_int_equal(l.section[0].kind, WARM__BLOB_KV);
        assert_int_equal(l.section[0].v_trans, as.trans);
        assert_int_equal(l.section[0].cell_bytes, as.wide ? 24 : 12);
        for (uint32_t n = 1; n <= 100; n += 33) {
            begin(&o);
            put_kv(&o, as, 900, n, n % 2);
            assert_int_equal(bytes_of(&l, cells(0, n)), o.n);
            assert_int_equal(check(&l, &o, cells(900, n)), 0);
        }
        warm__blob_free(&l);
    }
}

/* Window and recurrent state, each there or not: what is learned, and the full, the cells-only and the partial form of it. */
static void every_combination_of_sections_is_learned_in_all_its_forms(void **state) {
    (void)state;
    static blob o;
    for (int bits = 0; bits < 8; bits++) {
        const bool window = bits & 1, tail = bits & 2;
        const shape as = {.trans = bits & 4, .with_v = true};
        const unsigned last = window + tail;
        warm__blob_layout l;
        begin(&o);
        put_kv(&o, as, 5, 4, false);
        if (window) put_kv(&o, plain, 5, 4, false);
        if (tail) put_recurrent(&o, 8, 1);
        assert_int_equal(warm__blob_learn(&l, o.b, o.n, 5, 4, CELLS_MAX), 0);
        assert_int_equal(l.n_sections, 1 + last);
        assert_int_equal(l.section[last].kind, tail ? WARM__BLOB_RECURRENT : WARM__BLOB_KV);

        begin(&o);
        put_kv(&o, as, 70, 9, true);
        if (window) put_kv(&o, plain, 0, 0, false);
        if (tail) put_recurrent(&o, 0, 0);
        assert_int_equal(bytes_of(&l, cells(0, 9)), o.n);
        assert_int_equal(check(&l, &o, cells(70, 9)), 0);

        warm__blob_form part = {.from = 1};
        begin(&o);
        if (window) {
            put_kv(&o, plain, 70, 3, true);
            part.cells[1].first = 70;
            part.cells[1].n = 3;
        }
        if (tail) {
            put_recurrent(&o, 72, 1);
            part.cells[last].first = 72;
            part.cells[last].n = 1;
        }
        assert_int_equal(bytes_of(&l, part), o.n);
        assert_int_equal(check(&l, &o, part), 0);
        if (window) {
            assert_int_equal(warm__blob_cells(&l, &part, 1, o.n), 3);
            assert_int_equal(warm__blob_cells(&l, &part, 1, o.n + 1), 0);
            assert_int_equal(warm__blob_cells(&l, &part, 1, 10), 0);
        }
        warm__blob_free(&l);
    }
}

static void a_recurrent_state_alone_is_learned(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    begin(&o);
    put_recurrent(&o, 8, 1);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 5, 4, CELLS_MAX), 0);
    assert_int_equal(l.n_sections, 1);
    assert_int_equal(l.section[0].n_a, R_LAYERS);
    assert_int_equal(check(&l, &o, cells(8, 1)), 0);
    assert_int_equal(check(&l, &o, cells(9, 1)), WARM_ECORRUPT);
    warm__blob_free(&l);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 4, 4, CELLS_MAX), WARM_ENOTSUP);
}

static void what_has_other_parts_is_not_learned(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    begin(&o);
    for (int i = 0; i < 4; i++) put_kv(&o, plain, 0, 4, false);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    begin(&o);
    put_recurrent(&o, 3, 1);
    put_kv(&o, plain, 0, 4, false);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    begin(&o);
    put_kv(&o, plain, 0, 4, false);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n - 1, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 0, 3, CELLS_MAX), WARM_ENOTSUP);
    put_u32(&o, 0);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    assert_int_equal(warm__blob_learn(&l, o.b, 8, 0, 4, CELLS_MAX), WARM_ENOTSUP);
}

static void every_damaged_number_is_seen(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    for (int trans = 0; trans < 2; trans++) {
        const shape as = {.trans = trans, .with_v = true};
        begin(&o);
        put_kv(&o, as, 64, 8, false);
        put_kv(&o, as, 64, 8, false);
        put_recurrent(&o, 71, 1);
        assert_int_equal(warm__blob_learn(&l, o.b, o.n, 64, 8, CELLS_MAX), 0);
        warm__blob_form f = {.cells = {{64, 8}, {64, 8}, {71, 1}}};
        assert_int_equal(check(&l, &o, f), 0);
        for (size_t i = 0; i < o.n_words; i++) {
            static const uint32_t values[] = {0, UINT32_MAX, 0x80000000u, 65, 1000000};
            uint32_t was;
            memcpy(&was, o.b + o.words[i], 4);
            for (size_t v = 0; v < 5; v++) {
                if (values[v] == was) continue;
                memcpy(o.b + o.words[i], &values[v], 4);
                warm_err err = {0};
                assert_int_equal(warm__blob_check(&l, &f, o.b, o.n, &err), WARM_ECORRUPT);
                assert_string_not_equal(err.text, "");
            }
            memcpy(o.b + o.words[i], &was, 4);
        }
        assert_int_equal(check(&l, &o, f), 0);
        warm__blob_free(&l);
    }
}

static void other_units_and_sizes_than_named_are_refused(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    begin(&o);
    put_kv(&o, plain, 10, 4, false);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 10, 4, 4), 0);
    assert_int_equal(check(&l, &o, cells(11, 4)), WARM_ECORRUPT);
    assert_int_equal(check(&l, &o, cells(10, 3)), WARM_ECORRUPT);
    o.n--;
    assert_int_equal(check(&l, &o, cells(10, 4)), WARM_ECORRUPT);
    o.n++;
    assert_int_equal(check(&l, &o, cells(10, 0)), WARM_ECORRUPT);
    begin(&o);
    put_kv(&o, plain, 10, 5, false); /* more than the context holds */
    assert_int_equal(check(&l, &o, cells(10, 5)), WARM_ECORRUPT);
    warm__blob_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_shape_is_learned_and_its_sizes_foretold),
        cmocka_unit_test(every_combination_of_sections_is_learned_in_all_its_forms),
        cmocka_unit_test(a_recurrent_state_alone_is_learned),
        cmocka_unit_test(what_has_other_parts_is_not_learned),
        cmocka_unit_test(every_damaged_number_is_seen),
        cmocka_unit_test(other_units_and_sizes_than_named_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
