/* SPDX-License-Identifier: MIT
 *
 * http/client.h - a client for one HTTP server: calls side by side, answers as they come.
 *
 * A connection of its own for each call, closed behind it. Everything happens inside warm_client_run, on its caller's thread. Plain HTTP only.
 * Not here: redirects, cookies, TLS. */
#ifndef WARM_HTTP_CLIENT_H
#define WARM_HTTP_CLIENT_H

#include <stddef.h>

#include "warmslot/err.h"

typedef struct warm_client warm_client;

/* http://host[:port][/prefix]; WARM_EINVAL says what is wrong with it. */
WARM_MUST_USE int warm_client_new(const char *url, warm_client **out, warm_err *err);
void warm_client_free(warm_client *c); /* calls that are under way are dropped: nobody is told. NULL is allowed */

typedef struct warm_client_call {
    const char *path; /* behind the prefix, begins with / */
    const char *body; /* copied; NULL: a GET, otherwise a POST of JSON */
    size_t body_len;
    /* What has come of the body. */
    void (*data)(void *ud, const char *bytes, size_t n);
    /* Once: the answer is complete, whatever its status; or it is not going to be (err, status 0). May call warm_client_start. */
    void (*done)(void *ud, int status, const warm_err *err);
    void *ud;
} warm_client_call;

/* On an error done is not called. */
WARM_MUST_USE int warm_client_start(warm_client *c, const warm_client_call *call, warm_err *err);
/* Until no call is under way, or warm_client_stop was called in one of their callbacks. */
void warm_client_run(warm_client *c);
void warm_client_stop(warm_client *c);

#endif
