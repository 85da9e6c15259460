/* SPDX-License-Identifier: MIT
 *
 * api/api.h - the routes: llama-server's HTTP API on top of the scheduler.
 *
 * A handler runs on the loop thread and only takes the body. Parsing, templates and tokenising run on a pool of
 * config->threads_http threads; what the engine thread answers is carried back to the loop thread, which writes the JSON.
 * Until warm_api_ready every route, /health included, answers 503 "Loading model", as the peer's do.
 *
 * Order of a process's life: warm_http_new, warm_api_new, warm_http_run on a thread of its own; load the model; warm_api_ready;
 * warm_sched_run. To end: warm_http_stop and wait for warm_http_run; warm_api_free (waits for the pool: nothing is submitted
 * afterwards); warm_sched_stop and wait for warm_sched_run; warm_sched_free (fails what is left; its events are dropped); close the
 * engine; warm_http_free.
 * Threads: marked. */
#ifndef WARM_API_API_H
#define WARM_API_API_H

#include <stddef.h>

#include "config/config.h"
#include "http/http.h"
#include "sched/sched.h"
#include "warmslot/engine.h"

typedef struct warm_api warm_api;

typedef struct warm_api_options {
    const warm_config *config; /* borrowed */
    warm_http *http;           /* borrowed; not yet running */
} warm_api_options;

/* Registers every route. Before warm_http_run. */
WARM_MUST_USE int warm_api_new(const warm_api_options *o, warm_api **out, warm_err *err);
/* [any], once: from now on the routes serve. Both are borrowed and must outlive the api's requests (see the order above). */
void warm_api_ready(warm_api *api, warm_engine *engine, warm_sched *sched);
/* After warm_http_run returned and before the scheduler and the engine go (see the order above). Requests whose tasks still run keep
 * what they need until their last event. */
void warm_api_free(warm_api *api);

/* [any] For warm_http_options.error_body: {"error":{"code":..,"message":..,"type":..}}, malloc'ed. NULL without memory. */
char *warm_api_error_body(int status, const char *message, size_t *len);

#endif
