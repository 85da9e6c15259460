/* SPDX-License-Identifier: MIT
 *
 * http/request.c - what a handler sees of a request, and how it answers.
 *
 * Invariants
 *  (1) A request leaves its connection before evhttp is told that the answer is complete, and is freed right after: evhttp may
 *      free everything below it inside that call.
 *  (2) A client that reads too slowly is cut off from the loop, never inside a write, so a handler's request is still there when
 *      its write returns.
 *  (3) Once the answer is complete reading stops until it is written: a client that has closed its sending side still gets it. */
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "http/internal.h"

static const char *method_name(enum evhttp_cmd_type type) {
    switch (type) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    }
    return "?";
}

warm_http_request *warm__request_new(warm__conn *c, struct evhttp_request *ev) {
    warm_http_request *r = warm_xcalloc(1, sizeof *r);
    r->conn = c;
    r->ev = ev;
    r->method = method_name(evhttp_request_get_command(ev));
    r->head = evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD;
    r->begun_ns = warm_clock_now(&warm_clock_monotonic);
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(ev);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    r->path = warm_xstrdup(path ? path : "");
    c->request = r;
    return r;
}

void warm__request_free(warm_http_request *r) {
    warm__match_deinit(&r->match);
    warm__query_deinit(&r->query);
    free(r->path);
    free(r);
}

const char *warm_http_method(const warm_http_request *r) {
    return r->method;
}

const char *warm_http_path(const warm_http_request *r) {
    return r->path;
}

const char *warm_http_param(const warm_http_request *r, const char *name) {
    return warm__match_param(&r->match, name);
}

const char *warm_http_query(const warm_http_request *r, const char *name) {
    return warm__query_find(&r->query, name);
}

const char *warm_http_header(const warm_http_request *r, const char *name) {
    return evhttp_find_header(evhttp_request_get_input_headers(r->ev), name);
}

const char *warm_http_body(const warm_http_request *r, size_t *len) {
    struct evbuffer *in = evhttp_request_get_input_buffer(r->ev);
    size_t n = evbuffer_get_length(in); /* the NUL included, once the request was taken */
    if (len) *len = n ? n - 1 : 0;
    return n ? (const char *)evbuffer_pullup(in, -1) : "";
}

const char *warm_http_key(const warm_http_request *r) {
    return r->key;
}

void warm_http_on_close(warm_http_request *r, void (*fn)(void *ud), void *ud) {
    r->on_close = fn;
    r->on_close_ud = ud;
}

void warm_http_set_header(warm_http_request *r, const char *name, const char *value) {
    assert(!r->streaming);
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r->ev);
    evhttp_remove_header(headers, name);
    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n") || evhttp_add_header(headers, name, value) != 0)
        warm_log_warn("http", "header of an answer dropped: its name or value is not valid");
}

const char *warm__reason(int status) {
    switch (status) {
    case 400:
        return "Bad Request";
    case 413:
        return "Content Too Large";
    case 417:
        return "Expectation Failed";
    case 422:
        return "Unprocessable Content";
    case 429:
        return "Too Many Requests";
    case 501:
        return "Not Implemented";
    default:
        return NULL;
    }
}

static bool has_body(int status) {
    return status >= 200 && status != 204 && status != 304;
}

static void log_answered(const warm_http_request *r) {
    double ms = (double)(warm_clock_now(&warm_clock_monotonic) - r->begun_ns) / 1e6;
    warm_log_debug("http", "answered method=%s path=%s status=%d bytes=%zu ms=%.1f", r->method, r->path, r->status, r->sent_bytes,
                   ms);
}

static void set_content_type(warm_http_request *r, const char *type) {
    if (type) warm_http_set_header(r, "Content-Type", type);
}

void warm_http_reply(warm_http_request *r, int status, const char *content_type, const char *body, size_t len) {
    assert(r->conn && !r->streaming);
    warm__conn *c = r->conn;
    warm_http *h = c->http;
    if (!has_body(status)) len = 0;
    if (has_body(status)) set_content_type(r, content_type);
    /* not left to evhttp: it sends a body to HEAD if it is given one, and no length if it is not */
    char length[24];
    snprintf(length, sizeof length, "%zu", len);
    if (has_body(status)) warm_http_set_header(r, "Content-Length", length);
    if (len && !r->head && evbuffer_add(h->scratch, body, len) != 0) {
        warm_log_error("http", "no memory for an answer of %zu bytes", len);
        status = 503;
        len = 0;
        warm_http_set_header(r, "Content-Length", "0");
    }
    r->status = status;
    r->sent_bytes = r->head ? 0 : len;
    log_answered(r);
    c->request = NULL;
    h->writing = true;
    evhttp_send_reply(r->ev, status, warm__reason(status), h->scratch);
    h->writing = false;
    evbuffer_drain(h->scratch, evbuffer_get_length(h->scratch));
    bufferevent_disable(c->bev, EV_READ);
    warm__request_free(r);
}

void warm_http_stream_begin(warm_http_request *r, int status, const char *content_type) {
    assert(r->conn && !r->streaming);
    warm_http *h = r->conn->http;
    set_content_type(r, content_type);
    if (r->ev->major == 1 && r->ev->minor == 0) {
        /* only the end of the connection can end this stream. evhttp would answer keep-alive with "Content-Length: 0" */
        evhttp_remove_header(evhttp_request_get_input_headers(r->ev), "Connection");
        warm_http_set_header(r, "Connection", "close");
    }
    r->status = status;
    r->streaming = true;
    h->writing = true;
    evhttp_send_reply_start(r->ev, status, warm__reason(status));
    h->writing = false;
}

void warm_http_stream_write(warm_http_request *r, const char *data, size_t len) {
    assert(r->conn && r->streaming);
    warm__conn *c = r->conn;
    warm_http *h = c->http;
    if (c->cut || len == 0) return;
    size_t queued = evbuffer_get_length(bufferevent_get_output(c->bev));
    if (queued > h->max_queued_bytes) {
        warm_log_warn("http", "cut off a client that left %zu bytes of a stream unread path=%s", queued, r->path);
        warm__conn_cut(c);
        return;
    }
    if (evbuffer_add(h->scratch, data, len) != 0) {
        warm_log_error("http", "cut off a client: no memory for %zu bytes of its stream", len);
        warm__conn_cut(c);
        return;
    }
    r->sent_bytes += len;
    h->writing = true;
    evhttp_send_reply_chunk(r->ev, h->scratch);
    h->writing = false;
    evbuffer_drain(h->scratch, evbuffer_get_length(h->scratch)); /* HEAD: evhttp leaves it */
}

void warm_http_stream_end(warm_http_request *r) {
    assert(r->conn && r->streaming);
    warm__conn *c = r->conn;
    warm_http *h = c->http;
    log_answered(r);
    c->request = NULL;
    if (!c->cut) {
        /* with nothing left to write evhttp completes the request at once, and then the connection may be gone */
        bool at_once = !r->ev->chunked && evbuffer_get_length(bufferevent_get_output(c->bev)) == 0;
        h->writing = true;
        evhttp_send_reply_end(r->ev);
        h->writing = false;
        if (!at_once) bufferevent_disable(c->bev, EV_READ);
    }
    warm__request_free(r);
}

static void default_body(warm_buf *b, int status, const char *message) {
    warm_json j;
    warm_json_init(&j, b);
    warm_json_obj(&j);
    warm_json_key(&j, "error");
    warm_json_obj(&j);
    warm_json_kint(&j, "code", status);
    warm_json_kstr(&j, "message", message);
    warm_json_obj_end(&j);
    warm_json_obj_end(&j);
}

char *warm__error_body(const warm_http *h, int status, const char *message, size_t *len) {
    *len = 0;
    char *body = h->error_body ? h->error_body(status, message, len) : NULL;
    if (body || h->error_body) return body;
    warm_buf b;
    warm_buf_init(&b, 4096);
    default_body(&b, status, message);
    body = warm_buf_take(&b, len);
    warm_buf_free(&b);
    return body;
}

void warm__request_refuse(warm_http_request *r, int status, const char *message) {
    size_t len;
    char *body = warm__error_body(r->conn->http, status, message, &len);
    warm_http_reply(r, status, WARM__JSON, body ? body : "", body ? len : 0);
    free(body);
}
