/* SPDX-License-Identifier: MIT
 *
 * Which pages may use the server, by --cors-origins and --cors-credentials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/internal.h"

static void says(const char *origins, bool credentials, const char *origin, const char *want) {
    warm__cors c;
    warm__cors_init(&c, origins, NULL, NULL, credentials);
    const char *got = warm__cors_allowed(&c, origin);
    if (want)
        assert_string_equal(got, want);
    else
        assert_null(got);
    warm__cors_deinit(&c);
}

static void every_origin_is_named_back_unless_none_sends_credentials(void **state) {
    (void)state;
    says(NULL, true, "https://a.example", "https://a.example");
    says("*", true, "null", "null");
    says("*", false, "https://a.example", "*");
}

static void localhost_is_this_machine_on_any_port(void **state) {
    (void)state;
    static const char *const local[] = {"http://localhost", "https://LOCALHOST:8443", "http://127.0.0.1:1", "http://[::1]:3000"};
    static const char *const foreign[] = {"http://localhost.example",
                                          "http://localhost:80.example",
                                          "http://127.0.0.1.example",
                                          "http://a.example/://localhost",
                                          "null",
                                          "localhost",
                                          "http://127.0.0.10",
                                          "http://localhost:",
                                          ""};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) says("localhost", true, local[i], local[i]);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) says("localhost", true, foreign[i], NULL);
}

static void an_origin_of_the_list_is_named_back_and_no_other(void **state) {
    (void)state;
    const char *list = "https://a.example, http://b.example:81";
    says(list, true, "https://a.example", "https://a.example");
    says(list, false, "http://b.example:81", "http://b.example:81");
    says(list, true, "https://a.example.evil", NULL);
    says(list, true, "https://a.exampl", NULL);
    says(list, true, "http://b.example", NULL);
    says(list, true, "", NULL);
    says("", true, "https://a.example", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_origin_is_named_back_unless_none_sends_credentials),
        cmocka_unit_test(localhost_is_this_machine_on_any_port),
        cmocka_unit_test(an_origin_of_the_list_is_named_back_and_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
