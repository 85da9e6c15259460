/* SPDX-License-Identifier: MIT
 *
 * http/http.h - an HTTP/1.1 server on libevent's evhttp: limits, router, keys, plain and streamed answers.
 *
 * One loop thread owns every connection. A request is valid for its handler and afterwards until it is answered
 * (warm_http_reply, warm_http_stream_end) or its on_close callback has returned; after either it must not be touched. A client that leaves is noticed
 * also while nothing is being sent; one that closes its sending side before the answer is complete counts as one that left. Refused before a handler sees them: headers or bodies over the limits (400/413), a repeated Content-Length (400),
 * unknown routes (404), known routes with another method (405 with Allow), a missing or wrong key (401), bad percent-encoding (400), unknown
 * methods (501). HEAD is answered as GET, OPTIONS as a CORS preflight wants it. While the process has one of these SIGPIPE is ignored.
 * Threads: [loop] unless marked. */
#ifndef WARM_HTTP_HTTP_H
#define WARM_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

typedef struct warm_http warm_http;
typedef struct warm_http_request warm_http_request;

typedef struct warm_http_options {
    const char *const *hosts; /* addresses, names, or paths of unix sockets ("/run/x.sock" or "unix:/run/x.sock") */
    size_t n_hosts;
    uint16_t port;               /* 0 = any free one (see warm_http_port) */
    const char *prefix;          /* put before every route, "" = none */
    size_t max_header_bytes;     /* 0 = 64 KiB */
    size_t max_body_bytes;       /* 0 = 256 MiB */
    size_t max_queued_bytes;     /* a client that leaves this much of a stream unread is cut off; 0 = 4 MiB */
    int timeout_s;               /* for all of a request to arrive, and for the client to take more of its answer; 0 = 3600 */
    const char *const *api_keys; /* Authorization: Bearer KEY or X-Api-Key: KEY; compared in constant time */
    size_t n_api_keys;           /* 0 = no key needed */
    const char *tls_cert_file, *tls_key_file; /* PEM; both: TLS on every address. NULL: plain */
    bool reuse_port;                          /* other servers may listen on the same port */
    /* Whose pages may use the server: "*" (all; NULL is the same), "localhost" (those of this machine, whatever their port), or a list of
     * origins with commas. An origin that may is named back, so that it may send credentials, unless all may and none. */
    const char *cors_origins;
    const char *cors_methods, *cors_headers; /* what they may use; NULL = "GET, POST, DELETE, OPTIONS" and "*" */
    bool cors_no_credentials;
    /* [loop] Writes the body of an error answer in the API's shape into a malloc'ed string; used for what this layer refuses by itself. */
    char *(*error_body)(int status, const char *message, size_t *len);
} warm_http_options;

WARM_MUST_USE int warm_http_new(const warm_http_options *o, warm_http **out, warm_err *err);
void warm_http_free(warm_http *h);           /* after warm_http_run returned, and when nobody posts any more; NULL is allowed */
uint16_t warm_http_port(const warm_http *h); /* [any] of TCP, 0 with unix sockets only */

enum { WARM_HTTP_PUBLIC = 1 }; /* route flag: no key needed */
typedef void (*warm_http_handler)(warm_http_request *r, void *ud);
/* path may hold ":name" segments ("/slots/:id"); where several match, the exact one wins. method "GET", "POST", ... Before warm_http_run. */
void warm_http_route(warm_http *h, const char *method, const char *path, unsigned flags, warm_http_handler fn, void *ud);

void warm_http_run(warm_http *h);  /* serves until warm_http_stop */
void warm_http_stop(warm_http *h); /* [any], also from a signal handler: stops listening, closes connections, returns from run */
/* [any] Runs fn(arg) on the loop thread, in the order of posting. WARM_ECLOSED after the loop ended: fn will not run. What was accepted is run
 * before warm_http_run returns, if need be after all requests were closed. */
WARM_MUST_USE int warm_http_post(warm_http *h, void (*fn)(void *arg), void *arg);

/* The request. Strings are owned by it; NULL if absent. */
const char *warm_http_method(const warm_http_request *r);
const char *warm_http_path(const warm_http_request *r);                    /* as sent, with the prefix, without the query */
const char *warm_http_param(const warm_http_request *r, const char *name); /* of the route */
const char *warm_http_query(const warm_http_request *r, const char *name); /* decoded */
const char *warm_http_header(const warm_http_request *r, const char *name);
const char *warm_http_body(const warm_http_request *r, size_t *len); /* NUL-terminated behind len */
const char *warm_http_key(const warm_http_request *r);               /* the API key that was used, or NULL */

/* Called from the loop, never from inside a function of this header, when the client left or was cut off before the answer was complete, or at the
 * end of the loop. At most once, and never after the answer was complete. The request dies when it returns. Set in the handler. */
void warm_http_on_close(warm_http_request *r, void (*fn)(void *ud), void *ud);

void warm_http_set_header(warm_http_request *r, const char *name,
                          const char *value); /* of the answer, before it begins; replaces one of that name */
void warm_http_reply(warm_http_request *r, int status, const char *content_type, const char *body, size_t len);
/* The stream is chunked; to HTTP/1.0 it ends with the connection. */
void warm_http_stream_begin(warm_http_request *r, int status, const char *content_type);
/* To a client that is being cut off nothing is written. It is told by on_close, or not at all if the stream ends before. */
void warm_http_stream_write(warm_http_request *r, const char *data, size_t len);
void warm_http_stream_end(warm_http_request *r);

/* A timer on the loop, not armed when new. It is freed before warm_http_free. */
typedef struct warm_http_timer warm_http_timer;
WARM_MUST_USE warm_http_timer *warm_http_timer_new(warm_http *h, void (*fn)(void *ud), void *ud); /* NULL without memory */
void warm_http_timer_arm(warm_http_timer *t, uint64_t ms); /* fires once, ms from now; replaces an earlier time */
void warm_http_timer_free(warm_http_timer *t);             /* also from its own fn; NULL is allowed */

#endif
