/* SPDX-License-Identifier: MIT
 *
 * The growable buffer: contents, ceiling, and what a failed append leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"

static void appends_are_kept_in_order(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 1 << 20);
    char expect[20001];
    size_t n = 0;
    for (int i = 0; i < 2000; i++) {
        warm_buf_putc(&b, 'a');
        warm_buf_puts(&b, "bc");
        warm_buf_append(&b, "d\0", 2);
        warm_buf_printf(&b, "%05d", i);
        n += (size_t)snprintf(expect + n, sizeof expect - n, "abcd_%05d", i);
    }
    assert_int_equal(warm_buf_err(&b), 0);
    assert_int_equal(b.len, n);
    assert_int_equal(b.data[b.len], 0);
    for (size_t i = 4; i < n; i += 10) {
        assert_int_equal(b.data[i], 0);
        b.data[i] = '_';
    }
    assert_memory_equal(b.data, expect, n);
    warm_buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
}

static void printf_longer_than_the_room_is_whole(void **state) {
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    warm_buf b;
    warm_buf_init(&b, SIZE_MAX);
    warm_buf_printf(&b, "<%s>", text);
    assert_int_equal(b.len, sizeof text + 1);
    assert_int_equal(b.data[0], '<');
    assert_int_equal(b.data[b.len - 1], '>');
    assert_int_equal(strlen(b.data), b.len);
    warm_buf_free(&b);
}

static void ceiling_is_exact_and_sticky(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 5);
    warm_buf_puts(&b, "12345");
    assert_int_equal(warm_buf_err(&b), 0);
    warm_buf_putc(&b, '6');
    assert_int_equal(warm_buf_err(&b), WARM_EFULL);
    warm_buf_puts(&b, "");
    assert_string_equal(b.data, "12345");
    warm_buf_clear(&b);
    assert_int_equal(warm_buf_err(&b), 0);
    warm_buf_printf(&b, "%d", 123456);
    assert_int_equal(warm_buf_err(&b), WARM_EFULL);
    assert_string_equal(b.data, "");
    warm_buf_clear(&b);
    warm_buf_printf(&b, "%d", 12345);
    assert_int_equal(warm_buf_err(&b), 0);
    assert_string_equal(b.data, "12345");
    warm_buf_free(&b);
}

static void short_append_behind_a_failed_one_is_dropped_too(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 4);
    warm_buf_puts(&b, "ab");
    warm_buf_puts(&b, "cdef");
    warm_buf_puts(&b, "g");
    assert_string_equal(b.data, "ab");
    size_t len = 77;
    assert_null(warm_buf_take(&b, &len));
    assert_int_equal(len, 0);
    warm_buf_puts(&b, "good");
    assert_int_equal(warm_buf_err(&b), 0);
    warm_buf_free(&b);
}

static void no_memory_keeps_what_was_there(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 1 << 20);
    warm_buf_puts(&b, "kept");
    char big[4096] = {0};
    warm_alloc_fail_at(1);
    warm_buf_append(&b, big, sizeof big);
    warm_alloc_fail_at(0);
    assert_int_equal(warm_buf_err(&b), WARM_ENOMEM);
    assert_string_equal(b.data, "kept");
    warm_alloc_fail_at(1);
    warm_buf_clear(&b);
    memset(big, 'y', sizeof big - 1);
    warm_buf_printf(&b, "%s", big);
    warm_alloc_fail_at(0);
    assert_int_equal(warm_buf_err(&b), WARM_ENOMEM);
    assert_string_equal(b.data, "");
    warm_buf_free(&b);
}

static void take_gives_the_bytes_away(void **state) {
    (void)state;
    warm_buf b;
    warm_buf_init(&b, 100);
    warm_buf_puts(&b, "mine");
    size_t len;
    char *p = warm_buf_take(&b, &len);
    assert_string_equal(p, "mine");
    assert_int_equal(len, 4);
    free(p);
    assert_null(b.data);
    p = warm_buf_take(&b, NULL);
    assert_string_equal(p, "");
    free(p);
    warm_alloc_fail_at(1);
    assert_null(warm_buf_take(&b, NULL));
    warm_alloc_fail_at(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_are_kept_in_order),      cmocka_unit_test(printf_longer_than_the_room_is_whole),
        cmocka_unit_test(ceiling_is_exact_and_sticky),    cmocka_unit_test(short_append_behind_a_failed_one_is_dropped_too),
        cmocka_unit_test(no_memory_keeps_what_was_there), cmocka_unit_test(take_gives_the_bytes_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
