/* SPDX-License-Identifier: MIT
 *
 * http/client.c - see client.h. On libevent's evhttp, as the server is.
 *
 * evhttp must not lose a connection inside its own callbacks, so a call that is done is freed in the loop's next turn. */
#include "http/client.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { TIMEOUT_S = 3600, HEADER_MAX = 65536, DEFAULT_PORT = 80 };

struct call {
    struct call *prev, *next;
    warm_client *c;
    warm_client_call what;
    struct evhttp_connection *connection;
    struct event *end; /* frees it */
    enum evhttp_request_error why;
    bool failed;
};

struct warm_client {
    struct event_base *base;
    char *host, *prefix, *shown;
    uint16_t port;
    struct call calls; /* a ring */
    bool stopped;
};

int warm_client_new(const char *url, warm_client **out, warm_err *err) {
    struct evhttp_uri *u = evhttp_uri_parse(url);
    const char *scheme = u ? evhttp_uri_get_scheme(u) : NULL, *host = u ? evhttp_uri_get_host(u) : NULL;
    int rc = 0;
    if (!scheme || strcmp(scheme, "http"))
        rc = warm_err_set(err, WARM_EINVAL, "'%.100s' is no http://host:port", url);
    else if (!host || !*host)
        rc = warm_err_set(err, WARM_EINVAL, "'%.100s' names no host", url);
    else if (evhttp_uri_get_query(u) || evhttp_uri_get_fragment(u))
        rc = warm_err_set(err, WARM_EINVAL, "'%.100s': a server's address ends with its path", url);
    struct event_base *base = rc ? NULL : event_base_new();
    if (!rc && !base) rc = warm_err_set(err, WARM_ENOMEM, "no memory for an event loop");
    if (!rc) {
        warm_client *c = warm_xcalloc(1, sizeof *c);
        int port = evhttp_uri_get_port(u);
        const char *path = evhttp_uri_get_path(u);
        size_t len = path ? strlen(path) : 0;
        while (len && path[len - 1] == '/') len--;
        c->base = base;
        c->host = warm_xstrdup(host);
        c->port = (uint16_t)(port < 0 ? DEFAULT_PORT : port);
        c->prefix = warm_xcalloc(len + 1, 1);
        if (len) memcpy(c->prefix, path, len);
        c->shown = warm_xstrdup(url);
        c->calls.prev = c->calls.next = &c->calls;
        signal(SIGPIPE, SIG_IGN); /* a server that goes away is an error of that call */
        *out = c;
    }
    if (u) evhttp_uri_free(u);
    return rc;
}

static void call_free(struct call *x) {
    x->prev->next = x->next;
    x->next->prev = x->prev;
    if (x->connection) evhttp_connection_free(x->connection);
    if (x->end) event_free(x->end);
    free(x);
}

void warm_client_free(warm_client *c) {
    if (!c) return;
    /* Freed connections fail their requests, whose callbacks must tell nobody any more. */
    for (struct call *x = c->calls.next; x != &c->calls; x = x->next) x->what = (warm_client_call){0};
    while (c->calls.next != &c->calls) call_free(c->calls.next); // NOLINT(clang-analyzer-unix.Malloc): it leaves the ring
    event_base_free(c->base);
    free(c->host);
    free(c->prefix);
    free(c->shown);
    free(c);
}

static void on_end(evutil_socket_t fd, short what, void *arg) {
    struct call *x = arg;
    warm_client *c = x->c;
    (void)fd, (void)what;
    call_free(x);
    if (c->calls.next == &c->calls) event_base_loopbreak(c->base);
}

static void on_chunk(struct evhttp_request *r, void *arg) {
    struct call *x = arg;
    struct evbuffer *in = evhttp_request_get_input_buffer(r);
    size_t n = evbuffer_get_length(in);
    if (n && x->what.data) x->what.data(x->what.ud, (const char *)evbuffer_pullup(in, -1), n);
    evbuffer_drain(in, n);
}

static void on_error(enum evhttp_request_error why, void *arg) {
    struct call *x = arg;
    x->failed = true;
    x->why = why;
}

static void on_done(struct evhttp_request *r, void *arg) {
    struct call *x = arg;
    int status = r ? evhttp_request_get_response_code(r) : 0;
    warm_err err = {0};
    if (x->failed || !status) {
        status = 0;
        /* Why a connection could not be made is gone by now. */
        const char *text = x->failed ? "the connection failed" : "can't connect";
        if (x->failed && x->why == EVREQ_HTTP_EOF) text = "the server closed the connection";
        if (x->failed && x->why == EVREQ_HTTP_TIMEOUT) text = "no answer in time";
        if (x->failed && x->why == EVREQ_HTTP_INVALID_HEADER) text = "the answer is not HTTP";
        warm_err_set(&err, WARM_EIO, "%s: %s", x->c->shown, text);
    } else {
        on_chunk(r, x); /* what had no chunk of its own */
    }
    if (x->what.done) x->what.done(x->what.ud, status, &err);
    event_active(x->end, EV_TIMEOUT, 0);
}

int warm_client_start(warm_client *c, const warm_client_call *call, warm_err *err) {
    struct call *x = warm_xcalloc(1, sizeof *x);
    *x = (struct call){.c = c, .what = *call, .prev = &c->calls, .next = c->calls.next};
    x->next->prev = x->prev->next = x;
    x->what.body = NULL;
    x->end = event_new(c->base, -1, 0, on_end, x);
    x->connection = evhttp_connection_base_new(c->base, NULL, c->host, c->port);
    struct evhttp_request *r = x->connection ? evhttp_request_new(on_done, x) : NULL;
    char host[300], path[512];
    snprintf(host, sizeof host, "%.250s:%u", c->host, c->port);
    snprintf(path, sizeof path, "%.250s%.250s", c->prefix, call->path);
    if (!r || !x->end) goto no_memory;
    evhttp_request_set_chunked_cb(r, on_chunk);
    evhttp_request_set_error_cb(r, on_error);
    evhttp_connection_set_timeout(x->connection, TIMEOUT_S);
    evhttp_connection_set_max_headers_size(x->connection, HEADER_MAX);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r);
    evhttp_add_header(headers, "Host", host);
    evhttp_add_header(headers, "Connection", "close");
    if (call->body) evhttp_add_header(headers, "Content-Type", "application/json");
    if (call->body && evbuffer_add(evhttp_request_get_output_buffer(r), call->body, call->body_len)) goto no_memory;
    /* From here on the connection owns the request, and tells on_done of every failure but this. */
    if (evhttp_make_request(x->connection, r, call->body ? EVHTTP_REQ_POST : EVHTTP_REQ_GET, path)) {
        call_free(x);
        return warm_err_set(err, WARM_EIO, "%s: the request could not be sent", c->shown);
    }
    return 0;

no_memory:
    if (r) evhttp_request_free(r);
    call_free(x);
    return warm_err_set(err, WARM_ENOMEM, "no memory for a request");
}

void warm_client_run(warm_client *c) {
    c->stopped = false;
    while (!c->stopped && c->calls.next != &c->calls) event_base_dispatch(c->base);
}

void warm_client_stop(warm_client *c) {
    c->stopped = true;
    event_base_loopbreak(c->base);
}
