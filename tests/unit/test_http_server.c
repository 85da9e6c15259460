/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_http_server.c - one request, one answer: routing, limits, refusals, keys. Sockets are in test_http_listen.c, streams in test_http_stream.c. */
#include "unit/http_fixture.h"

static void reply_text(warm_http_request *r, const char *text) {
    warm_http_reply(r, 200, "text/plain", text, strlen(text));
}

static void health(warm_http_request *r, void *ud) {
    server *s = ud;
    atomic_fetch_add(&s->calls, 1);
    reply_text(r, "ok");
}

static void echo(warm_http_request *r, void *ud) {
    (void)ud;
    size_t len;
    const char *body = warm_http_body(r, &len);
    assert_int_equal(body[len], 0);
    warm_http_reply(r, 200, "application/octet-stream", body, len);
}

static void sum(warm_http_request *r, void *ud) {
    (void)ud;
    size_t len;
    const char *body = warm_http_body(r, &len);
    unsigned long total = 0;
    for (size_t i = 0; i < len; i++) total = total * 31 + (unsigned char)body[i];
    char text[64];
    snprintf(text, sizeof text, "%zu %lu", len, total);
    reply_text(r, text);
}

#define OR_NONE(text) ((text) ? (text) : "-")

static void show(warm_http_request *r, void *ud) {
    (void)ud;
    const char *a = warm_http_param(r, "a");
    const char *q = warm_http_query(r, "q");
    const char *x = warm_http_query(r, "x");
    const char *header = warm_http_header(r, "x-TEST");
    const char *key = warm_http_key(r);
    char text[1024];
    snprintf(text, sizeof text, "%s %s a=%s q=%s x=%s h=%s k=%s", warm_http_method(r), warm_http_path(r), OR_NONE(a), OR_NONE(q),
             OR_NONE(x), OR_NONE(header), OR_NONE(key));
    reply_text(r, text);
}

static void show_own_header(warm_http_request *r, void *ud) {
    (void)ud;
    warm_http_set_header(r, "X-One", "1");
    warm_http_set_header(r, "X-One", "2");
    warm_http_set_header(r, "X-Evil", "a\r\nX-Injected: b");
    warm_http_set_header(r, "X-Folded", "a\r\n b");
    warm_http_set_header(r, "X-Name: b\r\nX-Injected", "b");
    warm_http_reply(r, 204, "text/plain", "ignored", 7);
}

static void start(server *s, warm_http_options o) {
    server_new(s, o);
    warm_http_route(s->http, "GET", "/health", WARM_HTTP_PUBLIC, health, s);
    warm_http_route(s->http, "POST", "/echo", 0, echo, s);
    warm_http_route(s->http, "POST", "/sum", 0, sum, s);
    warm_http_route(s->http, "GET", "/show/:a", 0, show, s);
    warm_http_route(s->http, "GET", "/own", 0, show_own_header, s);
    warm_http_route(s->http, "POST", "/own", 0, echo, s);
    server_run(s);
}

static int setup(void **state) {
    server *s = malloc(sizeof *s);
    start(s, (warm_http_options){.max_header_bytes = 4096, .max_body_bytes = 2 << 20});
    *state = s;
    return 0;
}

static int teardown(void **state) {
    server_stop(*state);
    free(*state);
    return 0;
}

/* A refusal is an error in the API's shape, complete, with its length. */
static void check_refused(const answer *a, int status, const char *why) {
    char begin[64];
    snprintf(begin, sizeof begin, "{\"error\":{\"code\":%d,\"message\":\"", status);
    if (a->status != status || strncmp(a->body, begin, strlen(begin)) != 0 || !a->complete)
        fail_msg("%s: wanted %d, got\n%s%s", why, status, a->head, a->body);
    assert_string_equal(answer_header(a, "Content-Type"), "application/json; charset=utf-8");
    assert_non_null(answer_header(a, "Content-Length"));
}

static void an_answer_has_status_type_length_and_body(void **state) {
    answer a;
    exchange(*state, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "ok");
    assert_string_equal(answer_header(&a, "Content-Type"), "text/plain");
    assert_string_equal(answer_header(&a, "Content-Length"), "2");
    assert_null(answer_header(&a, "Access-Control-Allow-Origin"));
}

static void the_request_is_seen_decoded(void **state) {
    answer a;
    exchange(*state, "GET /show/a%2f%20b?q=1+2%26&x=&y HTTP/1.1\r\nX-Test: some thing \r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "GET /show/a%2f%20b a=a/ b q=1 2& x= h=some thing k=-");
    exchange(*state, "GET /show/1 HTTP/1.1\r\n\r\n", &a);
    assert_string_equal(a.body, "GET /show/1 a=1 q=- x=- h=- k=-");
    exchange(*state, "GET http://some.host:99/show/2?q=3 HTTP/1.1\r\nHost: x\r\n\r\n", &a);
    assert_string_equal(a.body, "GET /show/2 a=2 q=3 x=- h=- k=-");
}

static void bad_percent_encoding_is_refused(void **state) {
    static const char *const lines[] = {"/show/%",     "/show/%4",     "/show/%zz",  "/show/%00",
                                        "/show/1?q=%", "/show/1?q=%0", "/show/1?%f", "/show/1?q=%00"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char request[128];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n\r\n", lines[i]);
        answer a;
        exchange(*state, request, &a);
        check_refused(&a, 400, lines[i]);
        assert_non_null(strstr(a.body, "percent-encoding"));
    }
}

static void unknown_paths_and_methods_are_refused(void **state) {
    answer a;
    exchange(*state, "GET /nothing HTTP/1.1\r\n\r\n", &a);
    check_refused(&a, 404, "unknown path");
    assert_non_null(strstr(a.body, "File Not Found"));
    exchange(*state, "DELETE /own HTTP/1.1\r\n\r\n", &a);
    check_refused(&a, 405, "another method");
    assert_string_equal(answer_header(&a, "Allow"), "GET, HEAD, POST, OPTIONS");
    exchange(*state, "PATCH /own HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", &a);
    check_refused(&a, 405, "patch");
    static const char *const methods[] = {"BREW", "get", "PROPFIND", "TRACE"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[64];
        snprintf(request, sizeof request, "%s /health HTTP/1.1\r\n\r\n", methods[i]);
        exchange(*state, request, &a);
        check_refused(&a, 501, methods[i]);
    }
}

static void head_is_answered_like_get_without_a_body(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "HEAD /health HTTP/1.1\r\n\r\nHEAD /nothing HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
    answer a;
    answer_read(fd, &a, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Content-Length"), "2");
    answer_read(fd, &a, true);
    assert_int_equal(a.status, 404);
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "ok");
    close(fd);
}

static void a_body_that_head_announces_is_never_read_as_a_request(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "HEAD /health HTTP/1.1\r\nContent-Length: 29\r\n\r\nGET /health?smuggled HTTP/1.1\r\n\r\n");
    answer a;
    answer_read(fd, &a, true);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Connection"), "close");
    char rest[64];
    assert_int_equal(client_read(fd, rest, sizeof rest), 0);
    close(fd);
    assert_int_equal(atomic_load(&s->calls), 1);
}

static void preflight_is_answered_as_the_origin_wants(void **state) {
    answer a;
    exchange(*state, "OPTIONS /whatever HTTP/1.1\r\nOrigin: http://a.b:1\r\nAccess-Control-Request-Method: POST\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "http://a.b:1");
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Credentials"), "true");
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Headers"), "*");
    assert_non_null(strstr(answer_header(&a, "Access-Control-Allow-Methods"), "GET, POST"));
    exchange(*state, "GET /health HTTP/1.1\r\nOrigin: null\r\n\r\n", &a);
    assert_string_equal(answer_header(&a, "Access-Control-Allow-Origin"), "null");
    assert_null(answer_header(&a, "Access-Control-Allow-Credentials"));
}

static void headers_of_an_answer_are_set_once_and_never_injected(void **state) {
    answer a;
    exchange(*state, "GET /own HTTP/1.1\r\n\r\n", &a);
    assert_int_equal(a.status, 204);
    assert_string_equal(answer_header(&a, "X-One"), "2");
    assert_null(answer_header(&a, "X-Evil"));
    assert_null(answer_header(&a, "X-Folded"));
    assert_null(answer_header(&a, "X-Name"));
    assert_null(answer_header(&a, "X-Injected"));
    assert_null(answer_header(&a, "Content-Length"));
    assert_null(answer_header(&a, "Content-Type"));
}

static void heads_that_can_be_read_in_two_ways_are_refused(void **state) {
    static const char *const heads[] = {
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        "Content-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "Content-Length : 2\r\n\r\nab",
        "Content-Length: -1\r\n\r\n",
        "Content-Length: +2\r\n\r\nab",
        "Content-Length: 2x\r\n\r\nab",
        "Content-Length: \r\n\r\n",
        "no colon\r\n\r\n",
        " folded: first\r\n\r\n",
        "bad name: x\r\n\r\n",
    };
    server *s = *state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int fd = client_connect(s);
        client_send(fd, "POST /echo HTTP/1.1\r\n");
        client_send(fd, heads[i]);
        answer a;
        answer_read(fd, &a, false);
        check_refused(&a, 400, heads[i]);
        char rest[64];
        if (client_read(fd, rest, sizeof rest) != 0) fail_msg("not closed after: %s", heads[i]);
        close(fd);
    }
}

static void malformed_request_lines_are_refused(void **state) {
    static const char *const lines[] = {"GET /health\r\n\r\n",           "GET\r\n\r\n",
                                        "GET /health HTTP/2.0\r\n\r\n",  "GET /health HTTP/0.9\r\n\r\n",
                                        "GET /health HTTP/1.1x\r\n\r\n", "GET /health HTTP/1.10\r\n\r\n",
                                        "\x16\x03\x01\x02\r\n\r\n",      "GET /health FTP/1.1\r\n\r\n",
                                        "GET  HTTP/1.1\r\n\r\n"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        answer a;
        exchange(*state, lines[i], &a);
        check_refused(&a, 400, lines[i]);
    }
}

static char *fill(char c, size_t n) {
    char *text = malloc(n + 1);
    memset(text, c, n);
    text[n] = '\0';
    return text;
}

static void heads_over_the_limit_are_refused(void **state) {
    server *s = *state;
    char *much = fill('a', 5000);
    static const char *const before[] = {"GET /health?", "GET /health HTTP/1.1\r\nX: ", "GET /health HTTP/1.1\r\n"};
    for (size_t i = 0; i < 3; i++) {
        int fd = client_connect(s);
        client_send(fd, before[i]);
        client_send(fd, much); /* the head does not even end */
        answer a;
        answer_read(fd, &a, false);
        check_refused(&a, 400, before[i]);
        assert_non_null(strstr(a.body, "4096 bytes"));
        close(fd);
    }
    free(much);
    char *enough = fill('a', 3900);
    int fd = client_connect(s);
    client_send(fd, "GET /health HTTP/1.1\r\nX: ");
    client_send(fd, enough);
    client_send(fd, "\r\n\r\n");
    answer a;
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    close(fd);
    free(enough);
}

static void send_zeros(int fd, size_t n) {
    char block[65536];
    memset(block, '0', sizeof block);
    for (size_t part; n; n -= part) {
        part = n < sizeof block ? n : sizeof block;
        client_send_n(fd, block, part);
    }
}

static void bodies_over_the_limit_are_refused(void **state) {
    server *s = *state;
    size_t limit = 2 << 20;
    answer a;
    char head[128];
    int fd = client_connect(s);
    snprintf(head, sizeof head, "POST /sum HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", limit + 1);
    client_send(fd, head);
    send_zeros(fd, limit + 1);
    answer_read(fd, &a, false);
    check_refused(&a, 413, "length");
    assert_non_null(strstr(a.body, "2097152 bytes"));
    close(fd);

    fd = client_connect(s);
    client_send(fd, "POST /sum HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n200001\r\n");
    answer_read(fd, &a, false);
    check_refused(&a, 413, "chunked");
    close(fd);

    fd = client_connect(s);
    client_send(fd, "POST /sum HTTP/1.1\r\nContent-Length: 2097152\r\n\r\n");
    send_zeros(fd, limit);
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(strncmp(a.body, "2097152 ", 8), 0);
    close(fd);
}

static void malformed_chunks_are_refused(void **state) {
    static const char *const bodies[] = {"zz\r\nab\r\n0\r\n\r\n", "-1\r\n\r\n", "ffffffffffffffff\r\n", "2;x\r\nab\r\n0\r\n\r\n"};
    for (size_t i = 0; i < 3; i++) {
        char request[256];
        snprintf(request, sizeof request, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%s", bodies[i]);
        answer a;
        exchange(*state, request, &a);
        check_refused(&a, 413, bodies[i]);
    }
}

static void a_body_arrives_whole_whatever_is_in_it(void **state) {
    server *s = *state;
    size_t n = 1 << 20;
    char *body = malloc(n);
    unsigned long total = 0;
    for (size_t i = 0; i < n; i++) {
        body[i] = (char)(i * 7 + i / 251);
        total = total * 31 + (unsigned char)body[i];
    }
    char want[64];
    snprintf(want, sizeof want, "%zu %lu", n, total);
    answer a;
    int fd = client_connect(s);
    client_send(fd, "POST /sum HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n");
    client_send_n(fd, body, n);
    answer_read(fd, &a, false);
    assert_string_equal(a.body, want);
    client_send(fd, "POST /sum HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0, step = 1; at < n; at += step, step = step * 3 + 1) {
        if (step > n - at) step = n - at;
        char size[32];
        snprintf(size, sizeof size, "%zx\r\n", step);
        client_send(fd, size);
        client_send_n(fd, body + at, step);
        client_send(fd, "\r\n");
    }
    client_send(fd, "0\r\nX-Trailer: t\r\n\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(a.body, want);
    close(fd);
    free(body);
}

static void an_empty_body_is_an_empty_string(void **state) {
    answer a;
    exchange(*state, "POST /sum HTTP/1.1\r\n\r\n", &a);
    assert_string_equal(a.body, "0 0");
    exchange(*state, "POST /echo HTTP/1.1\r\nContent-Length: 0\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_len, 0);
}

static void expect_continue_is_answered_before_the_body(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    answer a;
    answer_read_head(fd, &a);
    assert_int_equal(a.status, 100);
    client_send(fd, "body");
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "body");
    client_send(fd, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    answer_read_head(fd, &a);
    assert_int_equal(a.status, 100);
    client_send(fd, "400000\r\n");
    answer_read(fd, &a, false);
    check_refused(&a, 413, "too large after the go-ahead");
    close(fd);
    exchange(s, "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: magic\r\n\r\n", &a);
    check_refused(&a, 417, "magic");
}

static void pipelined_requests_are_answered_in_order(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    char all[8192];
    size_t n = 0;
    for (int i = 0; i < 50; i++)
        n += (size_t)snprintf(all + n, sizeof all - n, "POST /echo HTTP/1.1\r\nContent-Length: 2\r\n\r\n%02d", i);
    client_send_n(fd, all, n);
    for (int i = 0; i < 50; i++) {
        answer a;
        answer_read(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(atoi(a.body), i);
    }
    close(fd);
}

static void requests_that_arrive_byte_by_byte_are_read(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    for (const char *p = "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"; *p; p++) client_send_n(fd, p, 1);
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "hello");
    close(fd);
}

static void http_1_0_closes_unless_told_to_stay(void **state) {
    server *s = *state;
    char rest[16];
    answer a;
    int fd = client_connect(s);
    client_send(fd, "GET /health HTTP/1.0\r\n\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    assert_int_equal(client_read(fd, rest, sizeof rest), 0);
    close(fd);
    fd = client_connect(s);
    client_send(fd, "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(answer_header(&a, "Connection"), "keep-alive");
    client_send(fd, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    assert_int_equal(client_read(fd, rest, sizeof rest), 0);
    close(fd);
}

static void a_client_that_has_closed_its_sending_side_gets_a_quick_answer(void **state) {
    server *s = *state;
    for (int i = 0; i < 20; i++) {
        int fd = client_connect(s);
        client_send(fd, "GET /health HTTP/1.1\r\n\r\n");
        shutdown(fd, SHUT_WR);
        answer a;
        answer_read(fd, &a, false);
        assert_string_equal(a.body, "ok");
        close(fd);
    }
}

static void without_an_error_body_of_the_api_refusals_are_json_all_the_same(void **state) {
    (void)state;
    server s;
    server_new(&s, (warm_http_options){0});
    warm_http_stop(s.http);
    warm_http_run(s.http);
    warm_http_free(s.http);
    warm_err err = {0};
    assert_int_equal(warm_http_new(&(warm_http_options){0}, &s.http, &err), 0);
    server_run(&s);
    answer a;
    exchange(&s, "GET /x HTTP/1.1\r\n\r\n", &a);
    assert_string_equal(a.body, "{\"error\":{\"code\":404,\"message\":\"File Not Found\"}}");
    server_stop(&s);
}

static char *no_body(int status, const char *message, size_t *len) {
    (void)status;
    (void)message;
    *len = 0;
    return NULL;
}

static void an_error_body_that_finds_no_memory_leaves_the_status(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){.error_body = no_body});
    answer a;
    exchange(&s, "GET /x HTTP/1.1\r\n\r\n", &a);
    assert_int_equal(a.status, 404);
    assert_int_equal(a.body_len, 0);
    exchange(&s, "GET /x\r\n\r\n", &a);
    assert_int_equal(a.status, 400);
    assert_int_equal(a.body_len, 0);
    server_stop(&s);
}

/* Keys */

static void a_key_is_wanted_everywhere_but_on_public_routes(void **state) {
    (void)state;
    static const char *const keys[] = {"sk-one", "sk-two"};
    server s;
    start(&s, (warm_http_options){.api_keys = keys, .n_api_keys = 2});
    answer a;
    exchange(&s, "GET /health HTTP/1.1\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    exchange(&s, "OPTIONS /show/1 HTTP/1.1\r\nOrigin: http://x\r\n\r\n", &a);
    assert_int_equal(a.status, 200);
    static const char *const without[] = {
        "GET /show/1 HTTP/1.1\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nAuthorization: Bearer sk-three\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nAuthorization: Bearer sk-one-more\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nAuthorization: Basic c2s=\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nAuthorization: \r\nX-Api-Key: \r\n\r\n",
        "GET /show/1?api_key=sk-one HTTP/1.1\r\n\r\n",
        "GET /nothing HTTP/1.1\r\n\r\n", /* which paths exist is nobody's business */
        "DELETE /show/1 HTTP/1.1\r\n\r\n",
        "GET /show/%zz HTTP/1.1\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        exchange(&s, without[i], &a);
        check_refused(&a, 401, without[i]);
        assert_string_equal(answer_header(&a, "WWW-Authenticate"), "Bearer");
        assert_non_null(strstr(a.body, "Invalid API Key"));
    }
    static const char *const with[] = {
        "GET /show/1 HTTP/1.1\r\nAuthorization: Bearer sk-two\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nauthorization: bearer sk-two\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nX-Api-Key: sk-two\r\n\r\n",
        "GET /show/1 HTTP/1.1\r\nAuthorization: Bearer other\r\nx-api-key: sk-two\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        exchange(&s, with[i], &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, "GET /show/1 a=1 q=- x=- h=- k=sk-two");
    }
    exchange(&s, "GET /nothing HTTP/1.1\r\nX-Api-Key: sk-one\r\n\r\n", &a);
    check_refused(&a, 404, "known to a key");
    server_stop(&s);
}

static void without_keys_none_is_looked_for(void **state) {
    answer a;
    exchange(*state, "GET /show/1 HTTP/1.1\r\nAuthorization: Bearer any\r\n\r\n", &a);
    assert_string_equal(a.body, "GET /show/1 a=1 q=- x=- h=- k=-");
}

static void a_prefix_is_put_before_every_route(void **state) {
    (void)state;
    static const char *const prefixes[] = {"/api", "api", "/api/"};
    for (size_t i = 0; i < 3; i++) {
        server s;
        start(&s, (warm_http_options){.prefix = prefixes[i]});
        answer a;
        exchange(&s, "GET /api/show/1 HTTP/1.1\r\n\r\n", &a);
        assert_string_equal(a.body, "GET /api/show/1 a=1 q=- x=- h=- k=-");
        exchange(&s, "GET /show/1 HTTP/1.1\r\n\r\n", &a);
        check_refused(&a, 404, "without the prefix");
        server_stop(&s);
    }
}

static void a_request_that_takes_too_long_to_arrive_is_dropped(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){.timeout_s = 1});
    int quiet = client_connect(&s);
    int slow = client_connect(&s);
    client_send(slow, "GET /health HTTP/1.1\r\n");
    /* every byte would renew a timeout for inactivity; the request never ends */
    char buf[16];
    struct pollfd p = {.fd = slow, .events = POLLIN};
    int dots = 0;
    while (dots < DEADLINE_MS / 100 && poll(&p, 1, 100) == 0) {
        client_send(slow, "X-");
        dots++;
    }
    assert_true(dots < DEADLINE_MS / 100);
    assert_int_equal(client_read(slow, buf, sizeof buf), 0);
    assert_int_equal(client_read(quiet, buf, sizeof buf), 0);
    close(slow);
    close(quiet);
    server_stop(&s);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(an_answer_has_status_type_length_and_body),
        WITH_SERVER(the_request_is_seen_decoded),
        WITH_SERVER(bad_percent_encoding_is_refused),
        WITH_SERVER(unknown_paths_and_methods_are_refused),
        WITH_SERVER(head_is_answered_like_get_without_a_body),
        WITH_SERVER(a_body_that_head_announces_is_never_read_as_a_request),
        WITH_SERVER(preflight_is_answered_as_the_origin_wants),
        WITH_SERVER(headers_of_an_answer_are_set_once_and_never_injected),
        WITH_SERVER(heads_that_can_be_read_in_two_ways_are_refused),
        WITH_SERVER(malformed_request_lines_are_refused),
        WITH_SERVER(heads_over_the_limit_are_refused),
        WITH_SERVER(bodies_over_the_limit_are_refused),
        WITH_SERVER(malformed_chunks_are_refused),
        WITH_SERVER(a_body_arrives_whole_whatever_is_in_it),
        WITH_SERVER(an_empty_body_is_an_empty_string),
        WITH_SERVER(expect_continue_is_answered_before_the_body),
        WITH_SERVER(pipelined_requests_are_answered_in_order),
        WITH_SERVER(requests_that_arrive_byte_by_byte_are_read),
        WITH_SERVER(http_1_0_closes_unless_told_to_stay),
        WITH_SERVER(a_client_that_has_closed_its_sending_side_gets_a_quick_answer),
        cmocka_unit_test(without_an_error_body_of_the_api_refusals_are_json_all_the_same),
        cmocka_unit_test(an_error_body_that_finds_no_memory_leaves_the_status),
        cmocka_unit_test(a_key_is_wanted_everywhere_but_on_public_routes),
        WITH_SERVER(without_keys_none_is_looked_for),
        cmocka_unit_test(a_prefix_is_put_before_every_route),
        cmocka_unit_test(a_request_that_takes_too_long_to_arrive_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
