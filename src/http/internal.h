/* SPDX-License-Identifier: MIT
 *
 * http/internal.h - what the files of src/http share. Everything here is [loop] or before the loop runs.
 *
 * Owners: the server owns connections (conn.c), a connection owns at most one request in progress (request.c). evhttp owns its own
 * evhttp_connection and evhttp_request below them; only conn.c knows when those die. */
#ifndef WARM_HTTP_INTERNAL_H
#define WARM_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/types.h>

#include "http/http.h"

struct event;
struct event_base;
struct evbuffer;
struct evbuffer_cb_entry;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evhttp_request;
struct evkeyvalq;
struct bufferevent;
struct ssl_ctx_st;

/* uri.c */

typedef struct warm__query {
    char *text_; /* holds the names and values */
    size_t n, cap_;
    struct warm__query_pair {
        const char *name, *value;
    } * v;
} warm__query;

/* Decodes %XX (and '+' as a space if plus) in place and terminates. False where a '%' has no two hex digits behind it or stands for NUL. */
bool warm__uri_decode(char *s, bool plus);
/* text is what follows '?', or NULL. 0, WARM_EINVAL (bad percent-encoding), WARM_ENOMEM. */
WARM_MUST_USE int warm__query_parse(const char *text, warm__query *q);
const char *warm__query_find(const warm__query *q, const char *name); /* the first of that name */
void warm__query_deinit(warm__query *q);

/* router.c */

enum { WARM__SEGMENTS_MAX = 16 };

typedef struct warm__route {
    char *text_; /* the pattern, cut at its slashes */
    size_t n_segments;
    const char *segments[WARM__SEGMENTS_MAX]; /* ":name" takes any non-empty segment */
    char *method;
    unsigned flags;
    warm_http_handler fn;
    void *ud;
} warm__route;

typedef struct warm__router {
    warm__route *routes;
    size_t n, cap_;
} warm__router;

enum warm__routed { WARM__ROUTED, WARM__ROUTED_NO_PATH, WARM__ROUTED_NO_METHOD, WARM__ROUTED_BAD_PATH, WARM__ROUTED_NO_MEMORY };

typedef struct warm__match {
    const warm__route *route; /* set when WARM__ROUTED */
    bool is_public;           /* some route of this path, whatever its method, needs no key */
    char allow[96];           /* the methods that this path has, as the Allow header wants them */
    size_t n_segments;
    char *text_;
    const char *segments[WARM__SEGMENTS_MAX]; /* of the path, decoded */
} warm__match;

void warm__router_add(warm__router *r, const char *method, const char *prefix, const char *path, warm__route route);
/* Always to be followed by warm__match_deinit. */
enum warm__routed warm__router_match(const warm__router *r, const char *method, const char *path, warm__match *m);
const char *warm__match_param(const warm__match *m, const char *name);
void warm__match_deinit(warm__match *m);
void warm__router_deinit(warm__router *r);

/* keys.c */

typedef struct warm__keys {
    size_t n;
    struct warm__key {
        uint8_t digest[32];
        char *text;
    } * v;
} warm__keys;

void warm__keys_init(warm__keys *k, const char *const *texts, size_t n);
/* The configured key that the value of a header presents ("Bearer KEY" or KEY), or NULL. Takes the same time for every wrong key. */
const char *warm__keys_find(const warm__keys *k, const char *value);
void warm__keys_deinit(warm__keys *k);

/* headers.c */

/* Why this request can't be trusted to end where evhttp thinks it ends, or NULL. version is 10 * major + minor. */
const char *warm__headers_check(const struct evkeyvalq *headers, int version);
/* True if the headers announce a body, whether or not one was read. */
bool warm__headers_announce_body(const struct evkeyvalq *headers);

/* cors.c */

typedef struct warm__cors {
    char *origins, *methods, *headers;
    bool credentials;
} warm__cors;

void warm__cors_init(warm__cors *c, const char *origins, const char *methods, const char *headers, bool credentials);
void warm__cors_deinit(warm__cors *c);
/* What Access-Control-Allow-Origin says to a page of this origin, NULL = nothing: the browser keeps the answer from it. */
const char *warm__cors_allowed(const warm__cors *c, const char *origin);

/* tls.c */

/* *out is NULL where neither file is given. WARM_EINVAL: one is missing, can't be read, or does not fit the other. */
WARM_MUST_USE int warm__tls_open(const char *cert_file, const char *key_file, struct ssl_ctx_st **out, warm_err *err);
void warm__tls_close(struct ssl_ctx_st *ctx); /* NULL is allowed */
/* For a connection that is to be accepted; closes its descriptor itself. NULL without memory. */
struct bufferevent *warm__tls_bufferevent(struct event_base *base, struct ssl_ctx_st *ctx);
/* Says that nothing more comes, so that the client can tell the end from a line that broke. */
void warm__tls_end(struct bufferevent *bev);
/* Writes as much of the output as the socket takes; its front is not frozen. */
void warm__tls_write_now(struct bufferevent *bev);

/* listen.c */

typedef struct warm__listener {
    int fd;          /* -1 once evhttp owns it */
    char *unix_path; /* NULL: TCP */
    dev_t dev;       /* of the socket file that we made: another one is never removed */
    ino_t ino;
    struct evhttp_bound_socket *bound;
} warm__listener;

typedef struct warm__listeners {
    warm__listener *v;
    size_t n;
    uint16_t port; /* the TCP port, 0 if none */
    bool reuse_port;
} warm__listeners;

WARM_MUST_USE int warm__listeners_open(warm__listeners *l, const char *const *hosts, size_t n_hosts, uint16_t port, bool reuse_port,
                                       warm_err *err);
/* Closes what is still ours and removes socket files. */
void warm__listeners_close(warm__listeners *l);

/* conn.c */

typedef struct warm__conn {
    warm_http *http;
    struct bufferevent *bev; /* we hold a reference: it outlives evhttp's */
    struct evhttp_connection *evcon;
    struct evbuffer_cb_entry *in_cb, *out_cb;
    struct event *end; /* closes the connection: when reading takes too long, or at once for a slow reader */
    warm_http_request *request;
    bool reading; /* a request has begun to arrive */
    bool cut;     /* `end` is on its way: nothing more is written */
    int fd;
    struct warm__conn *next_fresh;
} warm__conn;

/* For evhttp_set_bevcb. */
struct bufferevent *warm__conn_new(struct event_base *base, void *http);
void warm__conn_attach_fresh(warm_http *h);
/* The connection of a request that evhttp hands over; it now waits for an answer. */
warm__conn *warm__conn_take_request(warm_http *h, struct evhttp_request *ev);
void warm__conn_cut(warm__conn *c); /* closes it from the loop, not now */
void warm__conn_close_all(warm_http *h);

/* request.c */

struct warm_http_request {
    warm__conn *conn;
    struct evhttp_request *ev;
    const char *method;
    bool head, streaming;
    int status;
    size_t sent_bytes; /* of the answer's body */
    uint64_t begun_ns;
    char *path;
    warm__query query;
    warm__match match;
    const char *key;
    void (*on_close)(void *ud);
    void *on_close_ud;
};

warm_http_request *warm__request_new(warm__conn *c, struct evhttp_request *ev);
void warm__request_free(warm_http_request *r);
/* Answers with the API's error body. */
void warm__request_refuse(warm_http_request *r, int status, const char *message);
/* malloc'ed, or NULL without memory */
char *warm__error_body(const warm_http *h, int status, const char *message, size_t *len);
const char *warm__reason(int status); /* NULL: evhttp's own is good enough */
#define WARM__JSON "application/json; charset=utf-8"

/* server.c */

struct warm_http {
    struct event_base *base;
    struct evhttp *evhttp;
    struct event *wake, *attach;
    struct evbuffer *scratch; /* for one chunk */
    int wake_fd;
    uint16_t port;
    char *prefix;
    size_t max_header_bytes, max_body_bytes, max_queued_bytes;
    struct timeval timeout;
    char *(*error_body)(int status, const char *message, size_t *len);
    warm__router router;
    warm__keys keys;
    warm__cors cors;
    struct ssl_ctx_st *tls; /* NULL: plain HTTP */
    warm__listeners listeners;
    warm__conn **conns; /* by file descriptor */
    size_t n_conns;
    warm__conn *fresh; /* accepted in this turn of the loop, evhttp has not finished with them */
    bool writing;      /* what goes into an output buffer now is ours, not evhttp's */
    atomic_bool stop;
    pthread_mutex_t lock; /* guards what follows */
    struct warm__post *first, *last;
    bool closed;
};

#endif
