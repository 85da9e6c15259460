/* SPDX-License-Identifier: MIT
 *
 * http/conn.c - the life of a connection, where evhttp's rules end and ours begin.
 *
 * evhttp offers no place for an owner's data, so a connection is found by its file descriptor. It is made when evhttp asks for a
 * bufferevent, and attached to evhttp's object later in the same turn of the loop, before anything can be read: from then on
 * evhttp's close callback ends it, whatever the reason.
 *
 * Three things that evhttp leaves to its user are done here:
 *  - While a request waits for its answer evhttp does not read, and so would not see the client leave. Reading is switched on,
 *    with room for some pipelined bytes and no more, without evhttp's read callback (it would end the process in this state) and
 *    without the read timeout (a long answer is no slow client).
 *  - The timeout for reading runs from the first byte of a request and is not renewed by more of them. (A client that sends
 *    nothing at all falls to evhttp's own timeout.)
 *  - evhttp's own error pages are HTML. They are seen by a callback on the output buffer, while nothing of ours is being
 *    written, and replaced by the API's error before the socket is written to.
 *
 * Invariants
 *  (1) A connection in the table has evhttp's object, whose close callback will free it, once.
 *  (2) The close callback is the last moment at which evhttp's request may be touched. A request that evhttp has already let go
 *      of (it has no connection any more) is freed by us, any other by evhttp.
 *  (3) evhttp's connection is never freed from inside a handler or an answering function, only from the loop.
 * Not here: what a request says (request.c), limits on the number of clients (the file descriptors are one). */
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
#include "base/log.h"
#include "http/internal.h"

/* What a client may send ahead while it waits for an answer. */
enum { PIPELINE_BYTES = 64 * 1024 };

static void free_conn(warm__conn *c) {
    evbuffer_remove_cb_entry(bufferevent_get_input(c->bev), c->in_cb);
    evbuffer_remove_cb_entry(bufferevent_get_output(c->bev), c->out_cb);
    event_free(c->end);
    bufferevent_decref(c->bev);
    free(c);
}

static void on_closed(struct evhttp_connection *evcon, void *arg) {
    (void)evcon;
    warm__conn *c = arg;
    warm_http_request *r = c->request;
    c->http->conns[c->fd] = NULL;
    if (c->http->tls) warm__tls_end(c->bev);
    free_conn(c);
    if (!r) return;
    struct evhttp_request *ev = r->ev;
    bool orphan = evhttp_request_get_connection(ev) == NULL;
    warm_log_debug("http", "closed method=%s path=%s streamed=%zu", r->method, r->path, r->sent_bytes);
    r->conn = NULL;
    if (r->on_close) r->on_close(r->on_close_ud);
    warm__request_free(r);
    if (orphan) evhttp_request_free(ev);
}

static void on_end(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    warm__conn *c = arg;
    if (!c->cut) warm_log_debug("http", "closed fd=%d: its request did not arrive in time", c->fd);
    evhttp_connection_free(c->evcon);
}

static void begin_reading(warm__conn *c) {
    if (c->reading) return;
    c->reading = true;
    evtimer_add(c->end, &c->http->timeout);
}

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg) {
    (void)in;
    warm__conn *c = arg;
    if (info->n_added && !c->request && !c->cut && c->evcon) begin_reading(c);
}

/* What evhttp meant: it has no code, or 0, for an unknown method. */
static int page_status(const char *page) {
    int status = 0;
    const char *title = strstr(page, "<TITLE>");
    if (!title || sscanf(title, "<TITLE>%d", &status) != 1 || status < 400 || status > 599) return 501;
    return status;
}

static void page_message(const warm_http *h, int status, char *out, size_t size) {
    if (status == 413)
        snprintf(out, size, "the body is larger than %zu bytes, or its chunks are malformed", h->max_body_bytes);
    else if (status == 400)
        snprintf(out, size, "malformed request, or a head of more than %zu bytes", h->max_header_bytes);
    else if (status == 417)
        snprintf(out, size, "the only Expect understood is 100-continue");
    else if (status == 501)
        snprintf(out, size, "the method is not known here");
    else
        snprintf(out, size, "the request can't be served");
}

static void add_page(warm_http *h, struct evbuffer *out, int status) {
    char message[128];
    page_message(h, status, message, sizeof message);
    size_t len = 0;
    char *body = warm__error_body(h, status, message, &len);
    const char *reason = warm__reason(status);
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: " WARM__JSON "\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                        status, reason ? reason : "Error", len);
    if (len) evbuffer_add(out, body, len);
    free(body);
    warm_log_debug("http", "refused status=%d: %s", status, message);
}

/* Called after each of the pieces that evhttp writes, and so also when the page is complete. A "100 Continue" that was still waiting
 * before it goes with it: it said to send what is now refused. */
static void replace_page(warm_http *h, struct evbuffer *out) {
    static const char tail[] = "</BODY></HTML>\n";
    char text[1024];
    ev_ssize_t n = evbuffer_copyout(out, text, sizeof text - 1);
    if (n < (ev_ssize_t)sizeof tail) return;
    text[n] = '\0';
    if (strcmp(text + n - (sizeof tail - 1), tail) != 0) return;
    evbuffer_drain(out, (size_t)n);
    add_page(h, out, page_status(text));
}

static void on_output(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg) {
    warm_http *h = ((warm__conn *)arg)->http;
    if (h->writing || !info->n_added) return;
    h->writing = true;
    evbuffer_unfreeze(out, 1); /* bufferevents let nobody look at the front of their output */
    replace_page(h, out);
    evbuffer_freeze(out, 1);
    h->writing = false;
}

struct bufferevent *warm__conn_new(struct event_base *base, void *http) {
    warm_http *h = http;
    /* evhttp closes the descriptor of a plain one itself */
    struct bufferevent *bev = h->tls ? warm__tls_bufferevent(base, h->tls) : bufferevent_socket_new(base, -1, 0);
    if (!bev) return NULL;
    warm__conn *c = warm_xcalloc(1, sizeof *c);
    c->http = h;
    c->bev = bev;
    c->fd = -1;
    c->end = evtimer_new(base, on_end, c);
    c->in_cb = evbuffer_add_cb(bufferevent_get_input(bev), on_input, c);
    c->out_cb = evbuffer_add_cb(bufferevent_get_output(bev), on_output, c);
    bufferevent_incref(bev);
    c->next_fresh = h->fresh;
    h->fresh = c;
    event_active(h->attach, 0, 0);
    return bev;
}

static void put_in_table(warm_http *h, warm__conn *c) {
    if ((size_t)c->fd >= h->n_conns) {
        size_t n = (size_t)c->fd * 2 + 64;
        warm__conn **conns = warm_xcalloc(n, sizeof(warm__conn *));
        if (h->n_conns) memcpy(conns, h->conns, h->n_conns * sizeof(warm__conn *));
        free(h->conns);
        h->conns = conns;
        h->n_conns = n;
    }
    assert(!h->conns[c->fd]);
    h->conns[c->fd] = c;
}

void warm__conn_attach_fresh(warm_http *h) {
    while (h->fresh) {
        warm__conn *c = h->fresh;
        h->fresh = c->next_fresh;
        void *evcon = NULL;
        bufferevent_getcb(c->bev, NULL, NULL, NULL, &evcon);
        c->fd = bufferevent_getfd(c->bev);
        if (!evcon || c->fd < 0) { /* evhttp ran out of memory and let it go again */
            free_conn(c);
            continue;
        }
        c->evcon = evcon;
        put_in_table(h, c);
        evhttp_connection_set_closecb(c->evcon, on_closed, c);
    }
}

/* The answer is out: evhttp is about to read the next request, or to close. */
static void on_sent(struct evhttp_request *ev, void *arg) {
    (void)ev;
    warm__conn *c = arg;
    bufferevent_setwatermark(c->bev, EV_READ, 0, 0);
    bufferevent_set_timeouts(c->bev, &c->http->timeout, &c->http->timeout);
    if (evbuffer_get_length(bufferevent_get_input(c->bev))) begin_reading(c);
}

warm__conn *warm__conn_take_request(warm_http *h, struct evhttp_request *ev) {
    struct evhttp_connection *evcon = evhttp_request_get_connection(ev);
    int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evcon));
    warm__conn *c = fd >= 0 && (size_t)fd < h->n_conns ? h->conns[fd] : NULL;
    if (!c) return NULL;
    assert(c->evcon == evcon && !c->request);
    c->reading = false;
    evtimer_del(c->end);
    evhttp_request_set_on_complete_cb(ev, on_sent, c);
    bufferevent_data_cb write_cb;
    bufferevent_event_cb event_cb;
    void *arg;
    bufferevent_getcb(c->bev, NULL, &write_cb, &event_cb, &arg);
    bufferevent_setcb(c->bev, NULL, write_cb, event_cb, arg);
    bufferevent_set_timeouts(c->bev, NULL, &h->timeout);
    bufferevent_setwatermark(c->bev, EV_READ, 0, PIPELINE_BYTES);
    bufferevent_enable(c->bev, EV_READ);
    return c;
}

void warm__conn_cut(warm__conn *c) {
    if (c->cut) return;
    c->cut = true;
    event_active(c->end, EV_TIMEOUT, 0);
}

/* What was answered in this turn of the loop has not been written yet: as much of it as the socket takes goes out. */
static void flush_once(warm__conn *c) {
    struct evbuffer *out = bufferevent_get_output(c->bev);
    if (c->request || !evbuffer_get_length(out)) return;
    evbuffer_unfreeze(out, 1);
    if (c->http->tls)
        warm__tls_write_now(c->bev);
    else
        evbuffer_write(out, c->fd);
    evbuffer_freeze(out, 1);
}

void warm__conn_close_all(warm_http *h) {
    warm__conn_attach_fresh(h);
    for (size_t i = 0; i < h->n_conns; i++) {
        warm__conn *c = h->conns[i];
        if (!c) continue;
        flush_once(c);
        evhttp_connection_free(c->evcon);
    }
}
