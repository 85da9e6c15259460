/* SPDX-License-Identifier: MIT
 *
 * base/worker.h - a pool of threads that run jobs in the order they were posted.
 *
 * Jobs are fire-and-forget: a job tells its poster that it is done by its own means (an atomic, a message). [any] */
#ifndef WARM_BASE_WORKER_H
#define WARM_BASE_WORKER_H

#include "warmslot/err.h"

typedef struct warm_worker warm_worker;

/* n_threads 0: jobs run inside warm_worker_post, on the caller's thread. */
WARM_MUST_USE int warm_worker_new(const char *name, unsigned n_threads, warm_worker **out, warm_err *err);
/* Runs what was posted, then ends. */
void warm_worker_free(warm_worker *w);
/* Never fails and never blocks for long: the queue is unbounded, its posters are bounded. */
void warm_worker_post(warm_worker *w, void (*run)(void *arg), void *arg);

#endif
