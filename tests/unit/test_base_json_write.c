/* SPDX-License-Identifier: MIT
 *
 * The JSON writer, judged by exact text and by reading back what it wrote. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json_write.h"
#include "base/rng.h"
#include "base/utf8.h"

static warm_buf buf;
static warm_json json;

static int begin(void **state) {
    (void)state;
    warm_buf_init(&buf, 1 << 24);
    warm_json_init(&json, &buf);
    return 0;
}

static int end(void **state) {
    (void)state;
    warm_buf_free(&buf);
    return 0;
}

static void again(void) {
    warm_buf_clear(&buf);
    warm_json_init(&json, &buf);
}

static void nesting_and_commas(void **state) {
    (void)state;
    warm_json_obj(&json);
    warm_json_key(&json, "empty");
    warm_json_arr(&json);
    warm_json_arr_end(&json);
    warm_json_key(&json, "list");
    warm_json_arr(&json);
    warm_json_int(&json, 1);
    warm_json_obj(&json);
    warm_json_obj_end(&json);
    warm_json_arr(&json);
    warm_json_null(&json);
    warm_json_arr_end(&json);
    warm_json_raw(&json, "{\"a\":[]}", 8);
    warm_json_arr_end(&json);
    warm_json_kbool(&json, "t", true);
    warm_json_kbool(&json, "f", false);
    warm_json_kstr(&json, "s", "x");
    warm_json_kstr(&json, "n", NULL);
    warm_json_kint(&json, "i", INT64_MIN);
    warm_json_kuint(&json, "u", UINT64_MAX);
    warm_json_kdouble(&json, "d", 0.1);
    warm_json_kfloat(&json, "g", 0.1f);
    warm_json_obj_end(&json);
    assert_string_equal(buf.data, "{\"empty\":[],\"list\":[1,{},[null],{\"a\":[]}],\"t\":true,\"f\":false,\"s\":\"x\",\"n\":null,"
                                  "\"i\":-9223372036854775808,\"u\":18446744073709551615,\"d\":0.1,\"g\":0.1}");
}

static void deepest_nesting_is_allowed(void **state) {
    (void)state;
    for (int i = 1; i < WARM_JSON_DEPTH_MAX; i++) warm_json_arr(&json);
    for (int i = 1; i < WARM_JSON_DEPTH_MAX; i++) warm_json_arr_end(&json);
    assert_int_equal(buf.len, 2 * (WARM_JSON_DEPTH_MAX - 1));
}

static void strings_are_escaped(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
        size_t n;
    } cases[] = {
        {"plain text/", "\"plain text/\"", 11},
        {"a\"b\\c", "\"a\\\"b\\\\c\"", 5},
        {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"", 5},
        {"\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\\u007f\"", 4},
        {"\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\"", 6},
        {"x\xffy", "\"x\xef\xbf\xbdy\"", 3},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2},
        {"\xe2\x82\xac", "\"\xef\xbf\xbd\xef\xbf\xbd\"", 2}, /* the third byte is not part of the string */
        {"", "\"\"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        again();
        warm_json_strn(&json, cases[i].in, cases[i].n);
        assert_string_equal(buf.data, cases[i].out);
    }
    again();
    warm_json_obj(&json);
    warm_json_kint(&json, "k\"\n", 1);
    warm_json_obj_end(&json);
    assert_string_equal(buf.data, "{\"k\\\"\\n\":1}");
}

/* Decodes the JSON string text[0..n) into out and returns its length; anything that RFC 8259 does not allow fails. */
static size_t read_string(const char *text, size_t n, char *out) {
    size_t len = 0;
    assert_true(n >= 2 && text[0] == '"' && text[n - 1] == '"' && warm_utf8_valid(text, n));
    for (size_t i = 1; i < n - 1; i++) {
        uint8_t c = (uint8_t)text[i];
        assert_true(c >= 0x20 && c != '"');
        if (c == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            assert_true(++i < n - 1);
            const char *p = strchr(from, text[i]);
            unsigned v = 0;
            if (text[i] == 'u') {
                assert_true(i + 4 < n - 1 && sscanf(text + i + 1, "%4x", &v) == 1 && v < 0x80);
                i += 4;
            } else {
                assert_true(text[i] && p);
                v = (unsigned)to[p - from];
            }
            c = (uint8_t)v;
        }
        out[len++] = (char)c;
    }
    return len;
}

static void any_bytes_become_a_string_that_reads_back(void **state) {
    (void)state;
    warm_rng r = {99};
    for (int round = 0; round < 50000; round++) {
        char in[24], expect[72], out[144];
        size_t n = warm_rng_below(&r, sizeof in), n_expect = 0;
        for (size_t i = 0; i < n; i++) in[i] = (char)(warm_rng_next(&r) & (round % 3 ? 0xff : 0x7f));
        for (size_t i = 0; i < n;) {
            size_t len = warm_utf8_char(in + i, n - i);
            memcpy(expect + n_expect, len ? in + i : "\xef\xbf\xbd", len ? len : 3);
            n_expect += len ? len : 3;
            i += len ? len : 1;
        }
        again();
        warm_json_strn(&json, in, n);
        assert_int_equal(read_string(buf.data, buf.len, out), n_expect);
        assert_memory_equal(out, expect, n_expect);
    }
}

static void doubles_read_back_the_same_and_short(void **state) {
    (void)state;
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {0.1, "0.1"},
        {0.7, "0.7"},
        {1.0 / 3, "0.3333333333333333"},
        {1e300, "1e+300"},
        {123456.75, "123456.75"},
        {NAN, "null"},
        {INFINITY, "null"},
        {-INFINITY, "null"},
        {0.1 + 0.2, "0.30000000000000004"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        again();
        warm_json_double(&json, cases[i].v);
        assert_string_equal(buf.data, cases[i].text);
    }
    warm_rng r = {5};
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = warm_rng_next(&r);
        double v, back;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        again();
        warm_json_double(&json, v);
        back = strtod(buf.data, NULL);
        assert_memory_equal(&back, &v, sizeof v);
    }
}

static void floats_read_back_the_same_and_short(void **state) {
    (void)state;
    static const struct {
        float v;
        const char *text;
    } cases[] = {{0.1f, "0.1"},
                 {0.95f, "0.95"},
                 {-1.5f, "-1.5"},
                 {16777216.0f, "16777216"},
                 {1.0f / 3, "0.33333334"},
                 {FLT_MIN, "1.1754944e-38"},
                 {(float)INFINITY, "null"},
                 {(float)NAN, "null"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        again();
        warm_json_float(&json, cases[i].v);
        assert_string_equal(buf.data, cases[i].text);
    }
    warm_rng r = {6};
    for (int i = 0; i < 100000; i++) {
        uint32_t bits = (uint32_t)warm_rng_next(&r);
        float v, back;
        memcpy(&v, &bits, sizeof v);
        if (!isfinite(v)) continue;
        again();
        warm_json_float(&json, v);
        back = strtof(buf.data, NULL);
        assert_memory_equal(&back, &v, sizeof v);
    }
}

static void full_buffer_is_the_buffers_error(void **state) {
    (void)state;
    warm_buf small;
    warm_buf_init(&small, 8);
    warm_json j;
    warm_json_init(&j, &small);
    warm_json_obj(&j);
    warm_json_kstr(&j, "key", "a value");
    warm_json_obj_end(&j);
    assert_int_equal(warm_buf_err(&small), WARM_EFULL);
    warm_buf_free(&small);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nesting_and_commas, begin, end),
        cmocka_unit_test_setup_teardown(deepest_nesting_is_allowed, begin, end),
        cmocka_unit_test_setup_teardown(strings_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(any_bytes_become_a_string_that_reads_back, begin, end),
        cmocka_unit_test_setup_teardown(doubles_read_back_the_same_and_short, begin, end),
        cmocka_unit_test_setup_teardown(floats_read_back_the_same_and_short, begin, end),
        cmocka_unit_test_setup_teardown(full_buffer_is_the_buffers_error, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
