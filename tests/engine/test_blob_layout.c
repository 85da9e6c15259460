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

enum { LAYERS = 3, K_ROW = 16, V_EL = 2, V_EMBD = 6, CELLS_MAX = 1024 };

typedef struct blob {
    uint8_t b[65536];
    size_t n;
} blob;

static void put(blob *o, const void *p, size_t n) {
    memcpy(o->b + o->n, p, n);
    o->n += n;
}

static void put_u32(blob *o, uint32_t v) {
    put(o, &v, sizeof v);
}

static void put_rows(blob *o, size_t bytes) {
    memset(o->b + o->n, 0x5a, bytes);
    o->n += bytes;
}

/* A state of n cells at first.., written backwards when asked, as libllama may. */
static void make(blob *o, int32_t first, uint32_t n, bool trans, bool wide, bool with_v, bool backwards) {
    o->n = 0;
    put_u32(o, 0xaf143cd8);
    put_u32(o, 7);
    put_u32(o, 1);
    put_u32(o, n);
    for (uint32_t i = 0; i < n; i++) {
        put_u32(o, (uint32_t)first + (backwards ? n - 1 - i : i));
        put_u32(o, 1);
        if (wide) put_rows(o, 12);
        put_u32(o, 7);
    }
    put_u32(o, trans);
    put_u32(o, LAYERS);
    for (int i = 0; i < LAYERS; i++) {
        uint64_t row = K_ROW;
        put_u32(o, 1);
        put(o, &row, sizeof row);
        put_rows(o, K_ROW * n);
    }
    for (int i = 0; with_v && i < LAYERS; i++) {
        uint64_t row = V_EL * V_EMBD;
        put_u32(o, 1);
        if (trans) {
            put_u32(o, V_EL);
            put_u32(o, V_EMBD);
        } else {
            put(o, &row, sizeof row);
        }
        put_rows(o, V_EL * V_EMBD * n);
    }
}

static void each_shape_is_learned_and_its_sizes_foretold(void **state) {
    (void)state;
    static blob o;
    for (int shape = 0; shape < 8; shape++) {
        bool trans = shape & 1, wide = shape & 2, with_v = !(shape & 4);
        if (trans && !with_v) continue;
        warm__blob_layout l;
        make(&o, 5, 4, trans, wide, with_v, false);
        assert_int_equal(warm__blob_learn(&l, o.b, o.n, 5, 4, CELLS_MAX), 0);
        assert_int_equal(l.v_trans, trans);
        assert_int_equal(l.cell_bytes, wide ? 24 : 12);
        assert_int_equal(warm__blob_bytes(&l, 0), 0);
        for (uint32_t n = 1; n <= 100; n += 33) {
            make(&o, 900, n, trans, wide, with_v, n % 2);
            assert_int_equal(warm__blob_bytes(&l, n), o.n);
            assert_int_equal(warm__blob_check(&l, o.b, o.n, 900, n, NULL), 0);
        }
        warm__blob_free(&l);
    }
}

static void a_state_of_two_caches_is_not_learned(void **state) {
    (void)state;
    static blob o, two;
    warm__blob_layout l;
    make(&o, 0, 4, false, false, true, false);
    two = o;
    put(&two, o.b + 8, o.n - 8);
    assert_int_equal(warm__blob_learn(&l, two.b, two.n, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n - 1, 0, 4, CELLS_MAX), WARM_ENOTSUP);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 0, 3, CELLS_MAX), WARM_ENOTSUP);
}

static void every_damaged_word_of_the_headers_is_seen(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    enum { N = 8 };
    for (int trans = 0; trans < 2; trans++) {
        make(&o, 64, N, trans, false, true, false);
        assert_int_equal(warm__blob_learn(&l, o.b, o.n, 64, N, CELLS_MAX), 0);
        size_t k0 = 16 + 12 * N + 8;
        size_t v0 = k0 + LAYERS * (12 + K_ROW * N);
        size_t words[64], n_words = 0;
        words[n_words++] = 0;
        words[n_words++] = 8;
        words[n_words++] = 12;
        for (size_t i = 0; i < N; i++) {
            words[n_words++] = 16 + 12 * i;
            words[n_words++] = 20 + 12 * i;
        }
        words[n_words++] = k0 - 8;
        words[n_words++] = k0 - 4;
        for (size_t i = 0; i < LAYERS; i++) {
            for (size_t w = 0; w < 3; w++) {
                words[n_words++] = k0 + i * (12 + K_ROW * N) + 4 * w;
                words[n_words++] = v0 + i * (12 + V_EL * V_EMBD * N) + 4 * w;
            }
        }
        for (size_t i = 0; i < n_words; i++) {
            static const uint32_t values[] = {0, UINT32_MAX, 0x80000000u, 65, 1000000};
            uint32_t was;
            memcpy(&was, o.b + words[i], 4);
            for (size_t v = 0; v < 5; v++) {
                if (values[v] == was) continue;
                memcpy(o.b + words[i], &values[v], 4);
                warm_err err = {0};
                assert_int_equal(warm__blob_check(&l, o.b, o.n, 64, N, &err), WARM_ECORRUPT);
                assert_string_not_equal(err.text, "");
            }
            memcpy(o.b + words[i], &was, 4);
        }
        assert_int_equal(warm__blob_check(&l, o.b, o.n, 64, N, NULL), 0);
        warm__blob_free(&l);
    }
}

static void other_units_and_sizes_than_named_are_refused(void **state) {
    (void)state;
    static blob o;
    warm__blob_layout l;
    make(&o, 10, 4, false, false, true, false);
    assert_int_equal(warm__blob_learn(&l, o.b, o.n, 10, 4, 4), 0);
    assert_int_equal(warm__blob_check(&l, o.b, o.n, 11, 4, NULL), WARM_ECORRUPT);
    assert_int_equal(warm__blob_check(&l, o.b, o.n, 10, 3, NULL), WARM_ECORRUPT);
    assert_int_equal(warm__blob_check(&l, o.b, o.n - 1, 10, 4, NULL), WARM_ECORRUPT);
    assert_int_equal(warm__blob_check(&l, o.b, 0, 10, 0, NULL), WARM_ECORRUPT);
    make(&o, 10, 5, false, false, true, false); /* more than the context holds */
    assert_int_equal(warm__blob_check(&l, o.b, o.n, 10, 5, NULL), WARM_ECORRUPT);
    warm__blob_free(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_shape_is_learned_and_its_sizes_foretold),
        cmocka_unit_test(a_state_of_two_caches_is_not_learned),
        cmocka_unit_test(every_damaged_word_of_the_headers_is_seen),
        cmocka_unit_test(other_units_and_sizes_than_named_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
