/* SPDX-License-Identifier: MIT
 *
 * Error codes and messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "warmslot/err.h"

static void set_fills_and_returns_the_code(void **state) {
    (void)state;
    warm_err e = {0};
    assert_int_equal(warm_err_set(&e, WARM_EIO, "can't read %s: %d", "x", 7), WARM_EIO);
    assert_int_equal(e.code, WARM_EIO);
    assert_string_equal(e.text, "can't read x: 7");
    assert_int_equal(warm_err_set(NULL, WARM_EFULL, "nobody reads this"), WARM_EFULL);
}

static void long_message_is_cut_between_characters(void **state) {
    (void)state;
    for (size_t before = 0; before < 4; before++) {
        char text[400] = "";
        memset(text, 'a', before);
        for (size_t i = 0; i < 90; i++) strcpy(text + before + 4 * i, "\xf0\x9f\x98\x80");
        warm_err e = {0};
        (void)warm_err_set(&e, WARM_EINVAL, "%s", text);
        size_t n = strlen(e.text);
        assert_true(n < WARM_ERR_TEXT_MAX && n >= WARM_ERR_TEXT_MAX - 4);
        assert_true(warm_utf8_valid(e.text, n));
        assert_memory_equal(e.text, text, n);
    }
}

static void every_code_has_a_name_and_a_text(void **state) {
    (void)state;
#define XX(name, value, text)                                                                                                      \
    assert_string_equal(warm_err_name(value), "WARM_" #name);                                                                      \
    assert_string_equal(warm_strerror(value), text);
    WARM_ERR_MAP(XX)
#undef XX
    assert_string_equal(warm_err_name(0), "WARM_OK");
    assert_string_equal(warm_strerror(0), "success");
    assert_string_equal(warm_err_name(-4711), "WARM_UNKNOWN");
    assert_string_equal(warm_strerror(12), "unknown error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_and_returns_the_code),
        cmocka_unit_test(long_message_is_cut_between_characters),
        cmocka_unit_test(every_code_has_a_name_and_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
