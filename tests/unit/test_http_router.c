/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_http_router.c - the pure parts of src/http: routes, percent-encoding, queries, keys, framing headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/alloc.h"
#include "http/internal.h"

static void nothing(warm_http_request *r, void *ud) {
    (void)r;
    (void)ud;
}

static void add(warm__router *r, const char *method, const char *prefix, const char *path, unsigned flags) {
    /* the pattern is its own user data: tests see by it which route was taken */
    warm__router_add(r, method, prefix, path, (warm__route){.flags = flags, .fn = nothing, .ud = (void *)(uintptr_t)path});
}

static int make_router(void **state) {
    warm__router *r = calloc(1, sizeof *r);
    add(r, "GET", "", "/", WARM_HTTP_PUBLIC);
    add(r, "GET", "", "/health", WARM_HTTP_PUBLIC);
    add(r, "POST", "", "/slots/:id", 0);
    add(r, "GET", "", "/slots/:id", 0);
    add(r, "GET", "", "/slots/all", 0);
    add(r, "GET", "", "/:kind/:id/:part", 0);
    add(r, "GET", "", "/slots/:slot/state", 0);
    add(r, "DELETE", "", "/cache/:id", WARM_HTTP_PUBLIC);
    add(r, "GET", "", "/cache/:id", 0);
    *state = r;
    return 0;
}

static int free_router(void **state) {
    warm__router_deinit(*state);
    free(*state);
    return 0;
}

static void check_route(void **state, const char *method, const char *path, const char *pattern) {
    warm__match m;
    assert_int_equal(warm__router_match(*state, method, path, &m), WARM__ROUTED);
    assert_string_equal(m.route->ud, pattern);
    warm__match_deinit(&m);
}

static void exact_segments_win(void **state) {
    check_route(state, "GET", "/", "/");
    check_route(state, "GET", "/slots/1", "/slots/:id");
    check_route(state, "GET", "/slots/all", "/slots/all");
    check_route(state, "GET", "/slots/1/state", "/slots/:slot/state");
    check_route(state, "GET", "/other/1/state", "/:kind/:id/:part");
}

static void another_method_falls_back_to_the_pattern_that_has_it(void **state) {
    check_route(state, "POST", "/slots/all", "/slots/:id");
}

static void head_is_routed_like_get(void **state) {
    check_route(state, "HEAD", "/health", "/health");
}

static void unknown_paths_are_not_found(void **state) {
    static const char *const paths[] = {"",        "health",    "/healthy", "/health/", "//health",
                                        "/slots/", "/slots/1/", "/slots",   "/a/b/c/d", "/HEALTH"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        warm__match m;
        assert_int_equal(warm__router_match(*state, "GET", paths[i], &m), WARM__ROUTED_NO_PATH);
        assert_null(warm__match_param(&m, "id"));
        warm__match_deinit(&m);
    }
}

static void more_segments_than_any_pattern_are_not_found(void **state) {
    char path[256];
    for (size_t n = 15; n < 20; n++) {
        for (size_t i = 0; i < n; i++) memcpy(path + 2 * i, "/a", 3);
        warm__match m;
        assert_int_equal(warm__router_match(*state, "GET", path, &m), WARM__ROUTED_NO_PATH);
        warm__match_deinit(&m);
    }
}

static void a_known_path_with_another_method_says_which_it_has(void **state) {
    warm__match m;
    assert_int_equal(warm__router_match(*state, "PUT", "/slots/7", &m), WARM__ROUTED_NO_METHOD);
    assert_string_equal(m.allow, "POST, GET, HEAD, OPTIONS");
    assert_null(m.route);
    warm__match_deinit(&m);
    assert_int_equal(warm__router_match(*state, "PUT", "/slots/all", &m), WARM__ROUTED_NO_METHOD);
    assert_string_equal(m.allow, "POST, GET, HEAD, OPTIONS");
    warm__match_deinit(&m);
}

static void only_the_route_taken_decides_whether_a_key_is_needed(void **state) {
    warm__match m;
    assert_int_equal(warm__router_match(*state, "GET", "/cache/1", &m), WARM__ROUTED);
    assert_false(m.is_public);
    warm__match_deinit(&m);
    assert_int_equal(warm__router_match(*state, "DELETE", "/cache/1", &m), WARM__ROUTED);
    assert_true(m.is_public);
    warm__match_deinit(&m);
    assert_int_equal(warm__router_match(*state, "PUT", "/health", &m), WARM__ROUTED_NO_METHOD);
    assert_true(m.is_public);
    warm__match_deinit(&m);
}

static void segments_are_decoded_after_the_path_was_cut(void **state) {
    warm__match m;
    assert_int_equal(warm__router_match(*state, "GET", "/sl%6Fts/a%2Fb+c%20%c3%A4", &m), WARM__ROUTED);
    assert_string_equal(m.route->ud, "/slots/:id");
    assert_string_equal(warm__match_param(&m, "id"), "a/b+c \xc3\xa4");
    assert_null(warm__match_param(&m, "slot"));
    warm__match_deinit(&m);
}

static void bad_percent_encoding_in_a_path_is_told(void **state) {
    static const char *const paths[] = {"/slots/%", "/slots/%4", "/slots/%4g", "/slots/%g4", "/slots/%00", "/%/x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        warm__match m;
        assert_int_equal(warm__router_match(*state, "GET", paths[i], &m), WARM__ROUTED_BAD_PATH);
        warm__match_deinit(&m);
    }
}

static void a_prefix_is_part_of_every_pattern(void **state) {
    (void)state;
    warm__router r = {0};
    add(&r, "GET", "/api/v0", "/x/:id", 0);
    warm__match m;
    assert_int_equal(warm__router_match(&r, "GET", "/x/1", &m), WARM__ROUTED_NO_PATH);
    warm__match_deinit(&m);
    assert_int_equal(warm__router_match(&r, "GET", "/api/v0/x/1", &m), WARM__ROUTED);
    assert_string_equal(warm__match_param(&m, "id"), "1");
    warm__match_deinit(&m);
    warm__router_deinit(&r);
}

static void many_routes_are_kept(void **state) {
    (void)state;
    warm__router r = {0};
    char paths[100][16];
    for (size_t i = 0; i < 100; i++) {
        snprintf(paths[i], sizeof paths[i], "/route%zu", i);
        add(&r, "GET", "", paths[i], 0);
    }
    for (size_t i = 0; i < 100; i++) {
        warm__match m;
        assert_int_equal(warm__router_match(&r, "GET", paths[i], &m), WARM__ROUTED);
        assert_ptr_equal(m.route->ud, paths[i]);
        warm__match_deinit(&m);
    }
    warm__router_deinit(&r);
}

static void routing_survives_a_lack_of_memory(void **state) {
    warm__match m;
    warm_alloc_fail_at(1);
    assert_int_equal(warm__router_match(*state, "GET", "/health", &m), WARM__ROUTED_NO_MEMORY);
    warm__match_deinit(&m);
    warm_alloc_fail_at(0);
}

static void a_query_is_cut_and_decoded(void **state) {
    (void)state;
    warm__query q;
    assert_int_equal(warm__query_parse("a=1&b=x+y%2B%26&&c&=d&a=2&e%3d=%3D&f=g=h", &q), 0);
    assert_string_equal(warm__query_find(&q, "a"), "1");
    assert_string_equal(warm__query_find(&q, "b"), "x y+&");
    assert_string_equal(warm__query_find(&q, "c"), "");
    assert_string_equal(warm__query_find(&q, ""), "d");
    assert_string_equal(warm__query_find(&q, "e="), "=");
    assert_string_equal(warm__query_find(&q, "f"), "g=h");
    assert_null(warm__query_find(&q, "d"));
    warm__query_deinit(&q);
    assert_int_equal(warm__query_parse(NULL, &q), 0);
    assert_null(warm__query_find(&q, "a"));
    warm__query_deinit(&q);
    assert_int_equal(warm__query_parse("1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17=x", &q), 0);
    assert_string_equal(warm__query_find(&q, "17"), "x");
    assert_string_equal(warm__query_find(&q, "1"), "");
    warm__query_deinit(&q);
}

static void bad_percent_encoding_in_a_query_is_told(void **state) {
    (void)state;
    static const char *const texts[] = {"a=%", "%=a", "a=1&b=%f", "a=%zz", "a=%0g", "a=%00", "%00=1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        warm__query q;
        assert_int_equal(warm__query_parse(texts[i], &q), WARM_EINVAL);
        warm__query_deinit(&q);
    }
}

static void a_query_survives_a_lack_of_memory(void **state) {
    (void)state;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        warm__query q;
        warm_alloc_fail_at(nth);
        assert_int_equal(warm__query_parse("a=1", &q), WARM_ENOMEM);
        warm__query_deinit(&q);
    }
    warm_alloc_fail_at(0);
}

static void keys_are_found_however_they_are_presented(void **state) {
    (void)state;
    static const char *const texts[] = {"sk-one", "sk-two", "sk"};
    warm__keys k;
    warm__keys_init(&k, texts, 3);
    assert_string_equal(warm__keys_find(&k, "Bearer sk-one"), "sk-one");
    assert_string_equal(warm__keys_find(&k, "bearer  sk-two"), "sk-two");
    assert_string_equal(warm__keys_find(&k, "sk"), "sk");
    static const char *const wrong[] = {
        "", "Bearer ", "Bearer", "sk-", "sk-onex", "SK-one", "Bearer sk-three", "Basic sk-one", "Bearer Bearer sk-one"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_null(warm__keys_find(&k, wrong[i]));
    assert_null(warm__keys_find(&k, NULL));
    warm__keys_deinit(&k);
}

static void an_empty_key_opens_nothing(void **state) {
    (void)state;
    static const char *const texts[] = {""};
    warm__keys k;
    warm__keys_init(&k, texts, 1);
    assert_null(warm__keys_find(&k, ""));
    assert_null(warm__keys_find(&k, "Bearer "));
    warm__keys_deinit(&k);
}

/* lines: "Name: value\n..." */
static const char *check_lines(const char *lines, int version, bool *body) {
    struct evkeyvalq list;
    TAILQ_INIT(&list);
    char text[512];
    snprintf(text, sizeof text, "%s", lines);
    char *rest = text;
    while (rest && *rest) {
        char *line = strsep(&rest, "\n");
        char *name = strsep(&line, ":");
        evhttp_add_header(&list, name, line ? line + strspn(line, " ") : "");
    }
    const char *problem = warm__headers_check(&list, version);
    *body = warm__headers_announce_body(&list);
    evhttp_clear_headers(&list);
    return problem;
}

static void sound_framing_passes(void **state) {
    (void)state;
    bool body;
    assert_null(check_lines("Host: x\nX-Any_thing.1: \xff\"{}", 11, &body));
    assert_false(body);
    assert_null(check_lines("Content-Length: 0", 10, &body));
    assert_false(body);
    assert_null(check_lines("content-length: 123456789012345678", 10, &body));
    assert_true(body);
    assert_null(check_lines("TRANSFER-ENCODING: Chunked", 11, &body));
    assert_true(body);
}

static void framing_with_two_readings_is_refused(void **state) {
    (void)state;
    static const char *const heads[] = {
        "Content-Length: 5\nContent-Length: 5",
        "Content-Length: 5\nX: y\ncontent-length: 6",
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding:",
        "Content-Length : 5",
        "Content-Length\t: 5",
        "Transfer-Encoding : chunked",
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: -0",
        "Content-Length: 0x5",
        "Content-Length: 5, 5",
        "Content-Length: 5 5",
        "Content-Length: 9999999999999999999",
        ": x",
        "X Y: z",
        "X\x80: z",
        "(X): z",
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        bool body;
        if (!check_lines(heads[i], 11, &body)) fail_msg("not refused: %s", heads[i]);
    }
    bool body;
    assert_non_null(check_lines("Transfer-Encoding: chunked", 10, &body));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exact_segments_win, make_router, free_router),
        cmocka_unit_test_setup_teardown(another_method_falls_back_to_the_pattern_that_has_it, make_router, free_router),
        cmocka_unit_test_setup_teardown(head_is_routed_like_get, make_router, free_router),
        cmocka_unit_test_setup_teardown(unknown_paths_are_not_found, make_router, free_router),
        cmocka_unit_test_setup_teardown(more_segments_than_any_pattern_are_not_found, make_router, free_router),
        cmocka_unit_test_setup_teardown(a_known_path_with_another_method_says_which_it_has, make_router, free_router),
        cmocka_unit_test_setup_teardown(only_the_route_taken_decides_whether_a_key_is_needed, make_router, free_router),
        cmocka_unit_test_setup_teardown(segments_are_decoded_after_the_path_was_cut, make_router, free_router),
        cmocka_unit_test_setup_teardown(bad_percent_encoding_in_a_path_is_told, make_router, free_router),
        cmocka_unit_test(a_prefix_is_part_of_every_pattern),
        cmocka_unit_test(many_routes_are_kept),
        cmocka_unit_test_setup_teardown(routing_survives_a_lack_of_memory, make_router, free_router),
        cmocka_unit_test(a_query_is_cut_and_decoded),
        cmocka_unit_test(bad_percent_encoding_in_a_query_is_told),
        cmocka_unit_test(a_query_survives_a_lack_of_memory),
        cmocka_unit_test(keys_are_found_however_they_are_presented),
        cmocka_unit_test(an_empty_key_opens_nothing),
        cmocka_unit_test(sound_framing_passes),
        cmocka_unit_test(framing_with_two_readings_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
