/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_http_tls.c - the server over TLS: the same answers, streams and departures as without; and files that are refused. */
#include "unit/http_fixture.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/time.h>

enum { LARGE = 1 << 20 };

static char folder[64], cert[96], key[96], other_key[96], locked_key[96];

static EVP_PKEY *write_key(const char *path, const char *passphrase) {
    EVP_PKEY *k = EVP_EC_gen("P-256");
    FILE *f = fopen(path, "wb");
    assert_non_null(k);
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, k, passphrase ? EVP_aes_128_cbc() : NULL, (const unsigned char *)passphrase,
                                          passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
                     1);
    fclose(f);
    return k;
}

static void write_cert(const char *path, EVP_PKEY *k) {
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(x, name);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, k);
    assert_true(X509_sign(x, k, EVP_sha256()) > 0);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    X509_free(x);
}

static int make_files(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/warm-tls-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(other_key, sizeof other_key, "%s/other.pem", folder);
    snprintf(locked_key, sizeof locked_key, "%s/locked.pem", folder);
    EVP_PKEY *k = write_key(key, NULL);
    write_cert(cert, k);
    EVP_PKEY_free(k);
    EVP_PKEY_free(write_key(other_key, NULL));
    EVP_PKEY_free(write_key(locked_key, "secret"));
    return 0;
}

static int remove_files(void **state) {
    (void)state;
    const char *const files[] = {cert, key, other_key, locked_key};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlink(files[i]);
    return rmdir(folder);
}

/* ---- the server ---- */

static void echo(warm_http_request *r, void *ud) {
    (void)ud;
    size_t n;
    const char *body = warm_http_body(r, &n);
    warm_http_reply(r, 200, "text/plain", body, n);
}

static void left(void *ud) {
    sem_post(&((server *)ud)->event);
}

static void stream(warm_http_request *r, void *ud) {
    warm_http_on_close(r, left, ud);
    warm_http_stream_begin(r, 200, "text/plain");
    warm_http_stream_write(r, "first", 5);
}

static void start(server *s) {
    server_new(s, (warm_http_options){.tls_cert_file = cert, .tls_key_file = key, .timeout_s = 30});
    warm_http_route(s->http, "POST", "/echo", 0, echo, s);
    warm_http_route(s->http, "GET", "/stream", 0, stream, s);
    server_run(s);
}

/* ---- a client ---- */

typedef struct tls_client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
} tls_client;

static bool tls_connect(const server *s, tls_client *c, int max_version) {
    c->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(c->ctx, max_version);
    SSL_CTX_set_security_level(c->ctx, 0); /* the old versions, too */
    c->fd = client_connect(s);
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    c->ssl = SSL_new(c->ctx);
    SSL_set_fd(c->ssl, c->fd);
    return SSL_connect(c->ssl) == 1;
}

static void tls_leave(tls_client *c) {
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
}

static void tls_send(tls_client *c, const char *data, size_t n) {
    size_t sent;
    assert_int_equal(SSL_write_ex(c->ssl, data, n, &sent), 1);
    assert_int_equal(sent, n);
}

/* Reads until what was read ends with `end`. */
static size_t tls_read_until(tls_client *c, char *buf, size_t size, const char *end) {
    size_t n = 0, got, m = strlen(end);
    while (n < m || memcmp(buf + n - m, end, m) != 0) {
        assert_true(n < size);
        assert_int_equal(SSL_read_ex(c->ssl, buf + n, size - n, &got), 1);
        n += got;
    }
    return n;
}

static void post_large(tls_client *c, char filler) {
    char head[128];
    char *body = malloc(LARGE), *reply = malloc(LARGE + 4096), end[32];
    memset(body, filler, LARGE);
    memcpy(body + LARGE - 16, "<the end of all>", 16);
    int n = snprintf(head, sizeof head, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", LARGE);
    tls_send(c, head, (size_t)n);
    tls_send(c, body, LARGE);
    snprintf(end, sizeof end, "%.16s", body + LARGE - 16);
    size_t got = tls_read_until(c, reply, LARGE + 4096, end);
    assert_memory_equal(reply, "HTTP/1.1 200", 12);
    assert_true(got > LARGE);
    assert_memory_equal(reply + got - LARGE, body, LARGE);
    free(body);
    free(reply);
}

static void bodies_go_both_ways_on_one_connection(void **state) {
    (void)state;
    server s;
    tls_client c;
    start(&s);
    assert_true(tls_connect(&s, &c, TLS1_3_VERSION));
    post_large(&c, 'a');
    post_large(&c, 'b');
    tls_leave(&c);
    assert_true(tls_connect(&s, &c, TLS1_2_VERSION));
    post_large(&c, 'c');
    tls_leave(&c);
    server_stop(&s);
}

static void a_client_that_leaves_a_stream_is_noticed(void **state) {
    (void)state;
    server s;
    tls_client c;
    char buf[4096];
    start(&s);
    for (int orderly = 0; orderly < 2; orderly++) {
        assert_true(tls_connect(&s, &c, TLS1_3_VERSION));
        tls_send(&c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", 34);
        tls_read_until(&c, buf, sizeof buf, "first\r\n");
        if (orderly) SSL_shutdown(c.ssl);
        tls_leave(&c);
        server_wait(&s);
    }
    server_stop(&s);
}

static void the_end_of_an_answer_is_told_from_a_broken_line(void **state) {
    (void)state;
    server s;
    tls_client c;
    char buf[4096];
    size_t got;
    static const char request[] = "POST /echo HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody";
    start(&s);
    assert_true(tls_connect(&s, &c, TLS1_3_VERSION));
    tls_send(&c, request, sizeof request - 1);
    tls_read_until(&c, buf, sizeof buf, "body");
    assert_int_equal(SSL_read_ex(c.ssl, buf, sizeof buf, &got), 0);
    assert_int_equal(SSL_get_error(c.ssl, 0), SSL_ERROR_ZERO_RETURN);
    tls_leave(&c);
    server_stop(&s);
}

static void what_is_no_sound_tls_gets_no_answer_and_harms_nobody(void **state) {
    (void)state;
    server s;
    tls_client c;
    char buf[256];
    start(&s);
    int fd = client_connect(&s);
    client_send(fd, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    size_t n = client_read(fd, buf, sizeof buf);
    assert_false(n >= 4 && memcmp(buf, "HTTP", 4) == 0);
    close(fd);
    assert_false(tls_connect(&s, &c, TLS1_1_VERSION));
    tls_leave(&c);
    int silent = client_connect(&s);
    assert_true(tls_connect(&s, &c, TLS1_3_VERSION));
    post_large(&c, 'd');
    tls_leave(&c);
    server_stop(&s); /* also while a handshake has not begun */
    close(silent);
}

static void files_that_do_not_fit_are_refused_with_a_sentence(void **state) {
    (void)state;
    char missing[96];
    snprintf(missing, sizeof missing, "%s/none.pem", folder);
    const struct {
        const char *cert, *key, *words;
    } cases[] = {{cert, NULL, "needs both"},
                 {NULL, key, "needs both"},
                 {missing, key, missing},
                 {cert, missing, missing},
                 {key, key, key},
                 {cert, other_key, "mismatch"},
                 {cert, cert, cert},
                 {cert, locked_key, locked_key}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_http *h = NULL;
        warm_err err = {0};
        const warm_http_options o = {.tls_cert_file = cases[i].cert, .tls_key_file = cases[i].key};
        assert_int_equal(warm_http_new(&o, &h, &err), WARM_EINVAL);
        if (!strstr(err.text, cases[i].words)) fail_msg("%s does not say %s", err.text, cases[i].words);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_go_both_ways_on_one_connection),
        cmocka_unit_test(a_client_that_leaves_a_stream_is_noticed),
        cmocka_unit_test(the_end_of_an_answer_is_told_from_a_broken_line),
        cmocka_unit_test(what_is_no_sound_tls_gets_no_answer_and_harms_nobody),
        cmocka_unit_test(files_that_do_not_fit_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
