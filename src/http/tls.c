/* SPDX-License-Identifier: MIT
 *
 * http/tls.c - TLS under evhttp: OpenSSL behind libevent's bufferevents.
 *
 * Certificate and key are read once, at the start. TLS 1.2 and later; a client can't have the keys negotiated again, which costs it
 * nothing and the server a lot. A connection's SSL object and descriptor belong to its bufferevent, which frees both.
 * Threads: before the loop, then [loop]. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "http/internal.h"

/* The first error of OpenSSL's queue, which says what went wrong where; the queue is empty afterwards. */
static int refuse(const char *what, const char *path, warm_err *err) {
    char why[128];
    ERR_error_string_n(ERR_get_error(), why, sizeof why);
    ERR_clear_error();
    return warm_err_set(err, WARM_EINVAL, "%s %s: %s", what, path, why);
}

/* Nobody is there to be asked for a passphrase: a key that has one is refused. */
static int no_passphrase(char *buf, int size, int writing, void *ud) {
    (void)buf, (void)size, (void)writing, (void)ud;
    return 0;
}

int warm__tls_open(const char *cert_file, const char *key_file, SSL_CTX **out, warm_err *err) {
    *out = NULL;
    if (!cert_file && !key_file) return 0;
    if (!cert_file || !key_file) return warm_err_set(err, WARM_EINVAL, "TLS needs both a certificate and its key");
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx) return warm_err_set(err, WARM_ENOMEM, "out of memory for TLS");
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    int rc = 0;
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) || SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1)
        rc = refuse("the certificate", cert_file, err);
    else if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        rc = refuse("the certificate's key", key_file, err);
    if (rc)
        SSL_CTX_free(ctx);
    else
        *out = ctx;
    return rc;
}

void warm__tls_close(SSL_CTX *ctx) {
    SSL_CTX_free(ctx);
}

struct bufferevent *warm__tls_bufferevent(struct event_base *base, SSL_CTX *ctx) {
    SSL *ssl = SSL_new(ctx);
    if (!ssl) return NULL;
    struct bufferevent *bev = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) SSL_free(ssl);
    return bev;
}

void warm__tls_end(struct bufferevent *bev) {
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    if (SSL_is_init_finished(ssl)) SSL_shutdown(ssl);
    ERR_clear_error();
}

void warm__tls_write_now(struct bufferevent *bev) {
    struct evbuffer *out = bufferevent_get_output(bev);
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    size_t done = 1;
    while (done && evbuffer_get_length(out) && SSL_is_init_finished(ssl)) {
        size_t n = evbuffer_get_contiguous_space(out);
        if (SSL_write_ex(ssl, evbuffer_pullup(out, (ev_ssize_t)n), n, &done) != 1) done = 0;
        evbuffer_drain(out, done);
    }
    ERR_clear_error();
}
