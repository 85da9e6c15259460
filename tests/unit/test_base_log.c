/* SPDX-License-Identifier: MIT
 *
 * The log: a line stays a line, whatever is in it and however many threads write. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/utf8.h"

static char dir[64], path[96];
static char text[1 << 20];
static size_t text_len;

static int begin(void **state) {
    (void)state;
    strcpy(dir, "/tmp/warm-log-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/log", dir);
    return 0;
}

static int end(void **state) {
    (void)state;
    unlink(path);
    rmdir(dir);
    return warm_log_open(WARM_LOG_INFO, false, NULL, NULL);
}

static void open_log(enum warm_log_level level, bool json) {
    warm_err err = {0};
    assert_int_equal(warm_log_open(level, json, path, &err), 0);
}

static void read_log(void) {
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text_len = fread(text, 1, sizeof text - 1, f);
    text[text_len] = '\0';
    fclose(f);
}

/* "2026-11-24T08:00:00.123Z " at s: digits where digits are due. */
static void check_time(const char *s) {
    const char *shape = "dddd-dd-ddTdd:dd:dd.dddZ";
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == 'd') {
            assert_in_range(s[i], '0', '9');
        } else {
            assert_int_equal(s[i], shape[i]);
        }
    }
}

static void line_has_time_level_module_and_message(void **state) {
    (void)state;
    open_log(WARM_LOG_DEBUG, false);
    warm_log_info("sched", "prompt n=%d device=%d", 812, 0);
    warm_log_error("http", "x");
    warm_log_warn("http", "y");
    warm_log_debug("http", "z");
    read_log();
    static const char *const rest[] = {" info sched prompt n=812 device=0\n", " error http x\n", " warn http y\n",
                                       " debug http z\n"};
    const char *at = text;
    for (size_t i = 0; i < 4; i++) {
        check_time(at);
        assert_memory_equal(at + 24, rest[i], strlen(rest[i]));
        at += 24 + strlen(rest[i]);
    }
    assert_int_equal(*at, '\0');
}

static void levels_above_the_chosen_one_are_silent(void **state) {
    (void)state;
    open_log(WARM_LOG_WARN, false);
    assert_true(warm_log_on(WARM_LOG_ERROR));
    assert_false(warm_log_on(WARM_LOG_INFO));
    warm_log_info("m", "no");
    warm_log_debug("m", "no");
    warm_log_warn("m", "yes");
    read_log();
    assert_null(strstr(text, "no"));
    assert_non_null(strstr(text, "yes"));
}

static void control_characters_and_bad_bytes_are_escaped(void **state) {
    (void)state;
    open_log(WARM_LOG_INFO, false);
    warm_log_info("m", "a\nb\r\tc\x1b[31m\x7f\xc2\x9b"
                       "d\xff\xc3\xa9 \"q\" \\");
    read_log();
    assert_string_equal(text + 24, " info m a\\nb\\r\\tc\\u001b[31m\\u007f\\u009bd\xef\xbf\xbd\xc3\xa9 \"q\" \\\n");
}

static void json_line_is_one_object(void **state) {
    (void)state;
    open_log(WARM_LOG_INFO, true);
    warm_log_warn("cache", "a \"b\" \\ \n\x01\xff\xc3\xa9");
    read_log();
    assert_memory_equal(text, "{\"t\":\"", 6);
    check_time(text + 6);
    assert_string_equal(text + 30, "\",\"level\":\"warn\",\"module\":\"cache\",\"msg\":"
                                   "\"a \\\"b\\\" \\\\ \\n\\u0001\xef\xbf\xbd\xc3\xa9\"}\n");
}

static void long_message_is_cut_and_says_so(void **state) {
    (void)state;
    char *big = calloc(1, 20001);
    for (int json = 0; json < 2; json++) {
        static const char *const unit[] = {"x", "\xe2\x82\xac", "\n", "\""};
        for (size_t u = 0; u < 4; u++) {
            big[0] = '\0';
            for (size_t n = 0; n < 6000; n++) memcpy(big + n * strlen(unit[u]), unit[u], strlen(unit[u]) + 1);
            unlink(path);
            open_log(WARM_LOG_INFO, json);
            warm_log_info("m", "%s", big);
            read_log();
            const char *tail = json ? "...\"}\n" : "...\n";
            assert_true(text_len <= PIPE_BUF && text_len > PIPE_BUF - 40);
            assert_string_equal(text + text_len - strlen(tail), tail);
            assert_true(warm_utf8_valid(text, text_len));
            assert_ptr_equal(strchr(text, '\n'), text + text_len - 1);
        }
    }
    free(big);
}

static void errno_survives_a_line(void **state) {
    (void)state;
    open_log(WARM_LOG_INFO, false);
    errno = ENOTDIR;
    warm_log_info("m", "x");
    assert_int_equal(errno, ENOTDIR);
}

static void *write_lines(void *arg) {
    char c = *(char *)arg, fill[3000];
    memset(fill, c, sizeof fill);
    for (int i = 0; i < 60; i++) warm_log_info("t", "%.*s", 50 * i, fill);
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state) {
    (void)state;
    open_log(WARM_LOG_INFO, false);
    pthread_t t[4];
    char name[4] = {'a', 'b', 'c', 'd'};
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, write_lines, &name[i]), 0);
    for (size_t i = 0; i < 4; i++) pthread_join(t[i], NULL);
    read_log();
    size_t n_lines = 0, n_chars = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n_lines++) {
        check_time(line);
        assert_memory_equal(line + 24, " info t ", 8);
        const char *message = line + 32;
        n_chars += strlen(message);
        assert_int_equal(strspn(message, (char[]){message[0], '\0'}), strlen(message));
    }
    assert_int_equal(n_lines, 4 * 60);
    assert_int_equal(n_chars, 4 * 50 * (59 * 60 / 2));
}

static void file_that_cant_be_opened_is_named(void **state) {
    (void)state;
    char bad[128];
    snprintf(bad, sizeof bad, "%s/none/log", dir);
    open_log(WARM_LOG_INFO, false);
    warm_err err = {0};
    assert_int_equal(warm_log_open(WARM_LOG_INFO, false, bad, &err), WARM_EIO);
    assert_non_null(strstr(err.text, bad));
    warm_log_info("m", "the log before is still there");
    read_log();
    assert_non_null(strstr(text, "still there"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_has_time_level_module_and_message, begin, end),
        cmocka_unit_test_setup_teardown(levels_above_the_chosen_one_are_silent, begin, end),
        cmocka_unit_test_setup_teardown(control_characters_and_bad_bytes_are_escaped, begin, end),
        cmocka_unit_test_setup_teardown(json_line_is_one_object, begin, end),
        cmocka_unit_test_setup_teardown(long_message_is_cut_and_says_so, begin, end),
        cmocka_unit_test_setup_teardown(errno_survives_a_line, begin, end),
        cmocka_unit_test_setup_teardown(lines_of_threads_do_not_mix, begin, end),
        cmocka_unit_test_setup_teardown(file_that_cant_be_opened_is_named, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
