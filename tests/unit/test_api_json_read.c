/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_json_read.c - what is JSON and what is not. */
#include "api_fixture.h"

#include "base/alloc.h"

static int read_n(const char *text, size_t len, warm_err *err) {
    warm_jv *root = NULL;
    int rc = warm_jread(text, len, &root, err);
    if (rc == 0)
        json_object_put(root);
    else
        assert_null(root);
    return rc;
}

static void assert_refused(const char *text) {
    warm_err err = {0};
    if (read_n(text, strlen(text), &err) != WARM_EINVAL) fail_msg("accepted: %s", text);
    assert_true(err.text[0] != '\0');
}

static void assert_accepted(const char *text) {
    warm_err err = {0};
    if (read_n(text, strlen(text), &err)) fail_msg("%s: %s", text, err.text);
}

static void accepts_all_of_rfc_8259(void **state) {
    (void)state;
    assert_accepted("{}");
    assert_accepted(" \t\r\n{ } \n ");
    assert_accepted("{\"a\":[1,-0,0.5,1e5,1E+5,1e-5,-1.25e2,true,false,null,\"\",{},[]]}");
    assert_accepted("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\u0000\"}");
    assert_accepted("{\"\":{\"\":{\"\":0}}}");
    assert_accepted("{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}");
}

static void refuses_what_json_c_would_let_through(void **state) {
    (void)state;
    static const char *const bad[] = {
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{\"a\":nan}",
        "{\"a\":TRUE}",
        "{\"a\":'x'}",
        "{'a':1}",
        "{a:1}",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
        "{\"a\":1.}",
        "{\"a\":1e}",
        "{\"a\":0x10}",
        "{\"a\":1}/* c */",
        "/* c */{\"a\":1}",
        "{\"a\":\"\t\"}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x41\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":\"\\ud800x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a\":\"\\u123",
        "{\"a\\u0000b\":1}",
        "{\"a\":1}x",
        "{\"a\":1}{}",
        "[1]",
        "\"a\"",
        "1",
        "null",
        "",
        "   ",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":[1",
        "{\"a\":tru}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{,}",
        "{\"a\":]}",
        "{\"a\":[}",
        "{\"a\":\"x}",
        "\xef\xbb\xbf{}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\xc3\"}",
        "{\"a\":\"\xed\xa0\x80\"}",
        "{\"a\":\"\xc0\x80\"}",
        "{\"\xff\":1}",
        "{\"a\":-}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_refused(bad[i]);
}

static void a_nul_byte_is_no_end(void **state) {
    (void)state;
    warm_err err = {0};
    assert_int_equal(read_n("{\"a\":1}\0", 8, &err), WARM_EINVAL);
    assert_int_equal(read_n("{\"a\":\"x\0y\"}", 11, &err), WARM_EINVAL);
}

static void nesting_ends_at_the_limit(void **state) {
    (void)state;
    char text[4 * WARM_JREAD_DEPTH_MAX + 16];
    for (size_t depth = WARM_JREAD_DEPTH_MAX - 1; depth <= WARM_JREAD_DEPTH_MAX + 1; depth++) {
        size_t n = 0;
        n += (size_t)sprintf(text, "{\"a\":");
        for (size_t i = 1; i < depth; i++) text[n++] = '[';
        for (size_t i = 1; i < depth; i++) text[n++] = ']';
        text[n++] = '}';
        warm_err err = {0};
        assert_int_equal(read_n(text, n, &err), depth <= WARM_JREAD_DEPTH_MAX ? 0 : WARM_EINVAL);
    }
}

static void integers_of_64_bits_are_exact(void **state) {
    (void)state;
    warm_jv *v =
        json_of("{\"a\":9223372036854775807,\"b\":-9223372036854775808,\"c\":18446744073709551615,\"d\":9007199254740993}");
    assert_true(int_at(v, "a") == INT64_MAX);
    assert_true(int_at(v, "b") == INT64_MIN);
    assert_true(int_at(v, "d") == 9007199254740993);
    int64_t i;
    assert_false(warm_jint(at(v, "c"), &i));
    assert_true(json_object_get_uint64(at(v, "c")) == UINT64_MAX);
    json_object_put(v);
    assert_refused("{\"a\":18446744073709551616}");
    assert_refused("{\"a\":-9223372036854775809}");
    assert_refused("{\"a\":100000000000000000000000}");
    assert_refused("{\"a\":1e999}");
    assert_refused("{\"a\":-1e999}");
}

static void keys_keep_their_order(void **state) {
    (void)state;
    warm_jv *v = json_of("{\"z\":{\"b\":1,\"a\":2},\"y\":0.1,\"x\":\"a/b\"}");
    assert_string_equal(json_object_to_json_string_ext(v, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
                        "{\"z\":{\"b\":1,\"a\":2},\"y\":0.1,\"x\":\"a/b\"}");
    json_object_put(v);
}

static void readers_tell_kinds_apart(void **state) {
    (void)state;
    warm_jv *v = json_of("{\"i\":3,\"w\":128.0,\"f\":1.5,\"s\":\"x\",\"n\":\"a\\u0000b\",\"z\":null,\"b\":true,\"big\":1e300}");
    int64_t i;
    double d;
    assert_int_equal(int_at(v, "w"), 128);
    assert_false(warm_jint(at(v, "f"), &i));
    assert_false(warm_jint(at(v, "big"), &i));
    assert_false(warm_jint(at(v, "s"), &i));
    assert_false(warm_jint(at(v, "b"), &i));
    assert_true(warm_jnum(at(v, "i"), &d) && d == 3);
    assert_false(warm_jnum(at(v, "s"), &d));
    assert_null(warm_jget(v, "z"));
    assert_null(warm_jget(v, "absent"));
    assert_null(warm_jcstr(at(v, "n")));
    assert_null(warm_jcstr(at(v, "i")));
    assert_null(warm_jget(at(v, "s"), "x"));
    assert_string_equal(warm_jtype(NULL), "null");
    assert_string_equal(warm_jtype(at(v, "f")), "a number");
    json_object_put(v);
}

static void a_message_says_where(void **state) {
    (void)state;
    warm_err err = {0};
    assert_int_equal(read_n("{\"a\":1,}", 8, &err), WARM_EINVAL);
    assert_non_null(strstr(err.text, "byte 7"));
}

static void a_number_of_any_length_is_read_or_memory_is_short(void **state) {
    (void)state;
    char text[160];
    memset(text, '1', sizeof text);
    memcpy(text, "{\"a\":0.", 7);
    strcpy(text + sizeof text - 2, "}");
    assert_accepted(text);
    warm_err err = {0};
    warm_alloc_fail_at(1);
    int rc = read_n(text, strlen(text), &err);
    warm_alloc_fail_at(0);
    assert_int_equal(rc, WARM_ENOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_all_of_rfc_8259),
        cmocka_unit_test(refuses_what_json_c_would_let_through),
        cmocka_unit_test(a_nul_byte_is_no_end),
        cmocka_unit_test(nesting_ends_at_the_limit),
        cmocka_unit_test(integers_of_64_bits_are_exact),
        cmocka_unit_test(keys_keep_their_order),
        cmocka_unit_test(readers_tell_kinds_apart),
        cmocka_unit_test(a_message_says_where),
        cmocka_unit_test(a_number_of_any_length_is_read_or_memory_is_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
