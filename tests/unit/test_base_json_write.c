/* SPDX-License-Identifier: MIT
 *
 * The JSON writer, judged by exact text and by another parser (json-c). */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

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

static void any_bytes_become_a_string_that_another_parser_reads(void **state) {
    (void)state;
    warm_rng r = {99};
    for (int round = 0; round < 20000; round++) {
        char in[24];
        size_t n = warm_rng_below(&r, sizeof in);
        for (size_t i = 0; i < n; i++) in[i] = (char)warm_rng_next(&r);
        again();
        warm_json_strn(&json, in, n);
        struct json_tokener *t = json_tokener_new();
        json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        struct json_object *o = json_tokener_parse_ex(t, buf.data, (int)buf.len + 1);
        assert_non_null(o);
        if (warm_utf8_valid(in, n)) {
            assert_int_equal(json_object_get_string_len(o), n);
            assert_memory_equal(json_object_get_string(o), in, n);
        }
        json_object_put(o);
        json_tokener_free(t);
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
        cmocka_unit_test_setup_teardown(any_bytes_become_a_string_that_another_parser_reads, begin, end),
        cmocka_unit_test_setup_teardown(doubles_read_back_the_same_and_short, begin, end),
        cmocka_unit_test_setup_teardown(floats_read_back_the_same_and_short, begin, end),
        cmocka_unit_test_setup_teardown(full_buffer_is_the_buffers_error, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
