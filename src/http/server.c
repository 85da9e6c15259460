/* SPDX-License-Identifier: MIT
 *
 * http/server.c - the loop: what comes in goes to a handler or is refused, other threads' messages are run, and the end.
 *
 * Other threads reach the loop by one eventfd: a post appends to a list and wakes it, a stop sets a flag and wakes it. The loop
 * takes the list as a whole, so posting costs one system call per batch.
 *
 * What is checked, in this order: the framing (400), CORS preflight (answered, browsers send no key with it), the key (401), path
 * and method (404, 405), the query and the path's encoding (400). The key comes before the path, so that a stranger does not learn
 * which paths exist.
 *
 * Invariants
 *  (1) A posted function is run exactly once, or its poster was told WARM_ECLOSED. Those accepted before the end are run
 *      before warm_http_run returns (before warm_http_free does, if it never ran).
 *  (2) A request is answered or closed, once.
 *  (3) warm_http_stop does nothing that a signal handler may not do.
 * Process-wide: SIGPIPE is ignored (unless the program handles it), and libevent's messages go to our log.
 * Not here: the loop thread's scheduling priority. A better one than the decode threads' needs a privilege; whoever has it sets it
 * in the thread that calls warm_http_run. evhttp reads the whole body before a handler, and so the key, is seen: max_body_bytes is
 * what a stranger can make one connection hold. A client that closes its sending side counts as one that has left. */
#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/listener.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "http/internal.h"

struct warm__post {
    struct warm__post *next;
    void (*fn)(void *arg);
    void *arg;
};

/* Other threads */

static void wake(warm_http *h) {
    uint64_t one = 1;
    /* can only fail when the counter is full, and then the loop is awake */
    ssize_t n = write(h->wake_fd, &one, sizeof one);
    (void)n;
}

int warm_http_post(warm_http *h, void (*fn)(void *arg), void *arg) {
    struct warm__post *p = warm_xmalloc(sizeof *p);
    *p = (struct warm__post){NULL, fn, arg};
    pthread_mutex_lock(&h->lock);
    bool closed = h->closed;
    if (!closed) {
        if (h->last) {
            h->last->next = p;
        } else {
            h->first = p;
            wake(h);
        }
        h->last = p;
    }
    pthread_mutex_unlock(&h->lock);
    if (!closed) return 0;
    free(p);
    return WARM_ECLOSED;
}

void warm_http_stop(warm_http *h) {
    atomic_store(&h->stop, true);
    wake(h);
}

/* Runs what is posted by now. What is posted meanwhile wakes the loop again, so that sockets get their turn in between. */
static void run_posts(warm_http *h, bool close) {
    pthread_mutex_lock(&h->lock);
    struct warm__post *p = h->first;
    h->first = h->last = NULL;
    if (close) h->closed = true;
    pthread_mutex_unlock(&h->lock);
    while (p) {
        struct warm__post *next = p->next;
        p->fn(p->arg);
        free(p);
        p = next;
    }
}

static void close_listeners(warm_http *h) {
    for (size_t i = 0; i < h->listeners.n; i++)
        if (h->listeners.v[i].bound) evhttp_del_accept_socket(h->evhttp, h->listeners.v[i].bound);
    warm__listeners_close(&h->listeners);
}

static void shut(warm_http *h) {
    close_listeners(h);
    warm__conn_close_all(h);
    run_posts(h, true);
}

static void on_wake(evutil_socket_t fd, short what, void *arg) {
    (void)what;
    warm_http *h = arg;
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof count);
    (void)n;
    run_posts(h, false);
    if (!atomic_load(&h->stop)) return;
    shut(h);
    event_base_loopbreak(h->base);
}

static void on_attach(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    warm__conn_attach_fresh(arg);
}

/* Requests */

static void allow_origin(warm_http_request *r) {
    const char *origin = warm_http_header(r, "Origin");
    if (!origin) return;
    const char *allowed = warm__cors_allowed(&r->conn->http->cors, origin);
    if (allowed) warm_http_set_header(r, "Access-Control-Allow-Origin", allowed);
    warm_http_set_header(r, "Vary", "Origin");
}

static void answer_preflight(warm_http_request *r) {
    const warm__cors *c = &r->conn->http->cors;
    warm_http_set_header(r, "Access-Control-Allow-Credentials", c->credentials ? "true" : "false");
    warm_http_set_header(r, "Access-Control-Allow-Methods", c->methods);
    warm_http_set_header(r, "Access-Control-Allow-Headers", c->headers);
    warm_http_reply(r, 200, "text/html", "", 0);
}

static const char *find_key(const warm_http_request *r) {
    const warm__keys *keys = &r->conn->http->keys;
    const char *key = warm__keys_find(keys, warm_http_header(r, "Authorization"));
    return key ? key : warm__keys_find(keys, warm_http_header(r, "X-Api-Key"));
}

/* Takes what can only be trusted if the framing is sound. NULL, or what is wrong with it. */
static const char *check_framing(warm_http_request *r) {
    struct evhttp_request *ev = r->ev;
    int major = (unsigned char)ev->major; /* evhttp lets a negative one through */
    int minor = (unsigned char)ev->minor;
    if (major != 1 || minor > 9) {
        ev->major = ev->minor = 1; /* what evhttp will answer with */
        return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    }
    return warm__headers_check(evhttp_request_get_input_headers(ev), major * 10 + minor);
}

/* The body as one string. */
static bool join_body(struct evhttp_request *ev) {
    struct evbuffer *in = evhttp_request_get_input_buffer(ev);
    if (evbuffer_get_length(in) == 0) return true;
    return evbuffer_add(in, "", 1) == 0 && evbuffer_pullup(in, -1) != NULL;
}

static void refuse_routed(warm_http_request *r, enum warm__routed routed) {
    char text[160];
    switch (routed) {
    case WARM__ROUTED_NO_METHOD:
        warm_http_set_header(r, "Allow", r->match.allow);
        snprintf(text, sizeof text, "this path has no method %s, but %s", r->method, r->match.allow);
        warm__request_refuse(r, 405, text);
        return;
    case WARM__ROUTED_BAD_PATH:
        warm__request_refuse(r, 400, "the path has bad percent-encoding");
        return;
    case WARM__ROUTED_NO_MEMORY:
        warm__request_refuse(r, 503, "out of memory");
        return;
    default:
        warm__request_refuse(r, 404, "File Not Found");
        return;
    }
}

static void handle(warm_http *h, warm_http_request *r) {
    const char *problem = check_framing(r);
    bool is_options = strcmp(r->method, "OPTIONS") == 0;
    bool body_unread = r->head && warm__headers_announce_body(evhttp_request_get_input_headers(r->ev));
    if (problem || body_unread) warm_http_set_header(r, "Connection", "close");
    if (problem) {
        warm__request_refuse(r, 400, problem);
        return;
    }
    allow_origin(r);
    if (is_options) {
        answer_preflight(r);
        return;
    }
    enum warm__routed routed = warm__router_match(&h->router, r->method, r->path, &r->match);
    if (h->keys.n) r->key = find_key(r);
    if (h->keys.n && !r->key && !r->match.is_public) {
        warm_http_set_header(r, "WWW-Authenticate", "Bearer");
        warm__request_refuse(r, 401, "Invalid API Key");
        return;
    }
    if (routed != WARM__ROUTED) {
        refuse_routed(r, routed);
        return;
    }
    int rc = warm__query_parse(evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r->ev)), &r->query);
    if (rc == WARM_EINVAL) {
        warm__request_refuse(r, 400, "the query has bad percent-encoding");
    } else if (rc || !join_body(r->ev)) {
        warm__request_refuse(r, 503, "out of memory");
    } else {
        r->match.route->fn(r, r->match.route->ud);
    }
}

static void on_request(struct evhttp_request *ev, void *arg) {
    warm_http *h = arg;
    warm__conn *c = warm__conn_take_request(h, ev);
    if (!c) { /* there was no memory for its connection */
        evhttp_send_error(ev, 503, NULL);
        return;
    }
    handle(h, warm__request_new(c, ev));
}

/* Life */

static void forward_log(int severity, const char *message) {
    switch (severity) {
    case EVENT_LOG_DEBUG:
        break;
    case EVENT_LOG_MSG:
    case EVENT_LOG_WARN:
        warm_log_warn("libevent", "%s", message);
        break;
    default:
        warm_log_error("libevent", "%s", message);
    }
}

static void fail(int code) {
    warm_log_error("libevent", "gave up, code %d", code);
    abort();
}

static void set_process_up(void) {
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(forward_log);
    event_set_fatal_callback(fail);
}

static void listen_again(evutil_socket_t fd, short what, void *listener) {
    (void)fd;
    (void)what;
    evconnlistener_enable(listener);
}

/* Out of descriptors: the connection stays in the backlog, and asking again at once would only burn the processor. */
static void on_accept_error(struct evconnlistener *listener, void *arg) {
    (void)arg;
    warm_log_warn("http", "cannot accept a connection: %s", strerror(errno));
    struct timeval pause = {.tv_usec = 100 * 1000};
    if (event_base_once(evconnlistener_get_base(listener), -1, EV_TIMEOUT, listen_again, listener, &pause) == 0)
        evconnlistener_disable(listener);
}

static int begin_listening(warm_http *h) {
    for (size_t i = 0; i < h->listeners.n; i++) {
        warm__listener *it = &h->listeners.v[i];
        it->bound = evhttp_accept_socket_with_handle(h->evhttp, it->fd);
        if (!it->bound) return WARM_ENOMEM;
        it->fd = -1;
        evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(it->bound), on_accept_error);
    }
    return 0;
}

static void set_limits(warm_http *h, const warm_http_options *o) {
    h->max_header_bytes = o->max_header_bytes ? o->max_header_bytes : 64 << 10;
    h->max_body_bytes = o->max_body_bytes ? o->max_body_bytes : 256 << 20;
    h->max_queued_bytes = o->max_queued_bytes ? o->max_queued_bytes : 4 << 20;
    h->timeout.tv_sec = o->timeout_s > 0 ? o->timeout_s : 3600;
    evhttp_set_max_headers_size(h->evhttp, (ev_ssize_t)h->max_header_bytes);
    evhttp_set_max_body_size(h->evhttp, (ev_ssize_t)h->max_body_bytes);
    evhttp_set_timeout_tv(h->evhttp, &h->timeout);
    evhttp_set_flags(
        h->evhttp,
        EVHTTP_SERVER_LINGERING_CLOSE); /* reads a too large body to its end: else the client sees a reset, not the 413 */
    evhttp_set_default_content_type(h->evhttp, NULL);
    evhttp_set_allowed_methods(h->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                              EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(h->evhttp, on_request, h);
    evhttp_set_bevcb(h->evhttp, warm__conn_new, h);
}

static int make_loop(warm_http *h, const warm_http_options *o) {
    struct event_config *config = event_config_new();
    if (!config) return WARM_ENOMEM;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* only the loop thread touches it */
    h->base = event_base_new_with_config(config);
    event_config_free(config);
    if (!h->base) return WARM_ENOMEM;
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->evhttp = evhttp_new(h->base);
    h->scratch = evbuffer_new();
    if (h->wake_fd < 0 || !h->evhttp || !h->scratch) return WARM_ENOMEM;
    h->wake = event_new(h->base, h->wake_fd, EV_READ | EV_PERSIST, on_wake, h);
    h->attach = event_new(h->base, -1, 0, on_attach, h);
    if (!h->wake || !h->attach || event_add(h->wake, NULL) != 0) return WARM_ENOMEM;
    set_limits(h, o);
    return begin_listening(h);
}

/* "api/" means "/api" */
static char *clean_prefix(const char *text) {
    text += strspn(text, "/");
    size_t n = strlen(text);
    while (n && text[n - 1] == '/') n--;
    char *prefix = warm_xcalloc(1, n + 2);
    if (n) prefix[0] = '/';
    memcpy(prefix + (n > 0), text, n);
    return prefix;
}

int warm_http_new(const warm_http_options *o, warm_http **out, warm_err *err) {
    static const char *const local[] = {"127.0.0.1"};
    set_process_up();
    warm_http *h = warm_xcalloc(1, sizeof *h);
    h->wake_fd = -1;
    pthread_mutex_init(&h->lock, NULL);
    h->prefix = clean_prefix(o->prefix ? o->prefix : "");
    h->error_body = o->error_body;
    warm__keys_init(&h->keys, o->api_keys, o->n_api_keys);
    warm__cors_init(&h->cors, o->cors_origins, o->cors_methods, o->cors_headers, !o->cors_no_credentials);
    int rc = warm__tls_open(o->tls_cert_file, o->tls_key_file, &h->tls, err);
    if (!rc)
        rc = warm__listeners_open(&h->listeners, o->n_hosts ? o->hosts : local, o->n_hosts ? o->n_hosts : 1, o->port, o->reuse_port,
                                  err);
    if (rc == 0) {
        rc = make_loop(h, o);
        if (rc) warm_err_set(err, rc, "cannot set up the event loop: %s", strerror(errno));
    }
    if (rc) {
        warm_http_free(h);
        return rc;
    }
    h->port = h->listeners.port;
    *out = h;
    return 0;
}

uint16_t warm_http_port(const warm_http *h) {
    return h->port;
}

void warm_http_route(warm_http *h, const char *method, const char *path, unsigned flags, warm_http_handler fn, void *ud) {
    warm__router_add(&h->router, method, h->prefix, path, (warm__route){.flags = flags, .fn = fn, .ud = ud});
}

void warm_http_run(warm_http *h) {
    int rc = event_base_dispatch(h->base);
    if (h->closed) return; /* only this thread sets it */
    warm_log_error("http", "the event loop ended by itself, code %d", rc);
    shut(h);
}

void warm_http_free(warm_http *h) {
    if (!h) return;
    if (h->evhttp && !h->closed) shut(h);
    warm__listeners_close(&h->listeners);
    if (h->wake) event_free(h->wake);
    if (h->attach) event_free(h->attach);
    if (h->scratch) evbuffer_free(h->scratch);
    if (h->evhttp) evhttp_free(h->evhttp);
    if (h->base) event_base_free(h->base);
    if (h->wake_fd >= 0) close(h->wake_fd);
    warm__router_deinit(&h->router);
    warm__keys_deinit(&h->keys);
    warm__cors_deinit(&h->cors);
    warm__tls_close(h->tls);
    pthread_mutex_destroy(&h->lock);
    free(h->conns);
    free(h->prefix);
    free(h);
}
