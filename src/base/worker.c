/* SPDX-License-Identifier: MIT
 *
 * base/worker.c - a pool of threads with one queue (base/worker.h).
 *
 * One mutex guards the queue: a job is a checksum or a tokenised prompt, tens of microseconds or more, so the lock is never
 * the bottleneck. A job that posts another one is safe also while the pool ends: the thread that runs it looks at
 * the queue once more before it leaves.
 * The threads take no signals: these belong to the main thread, and a signal handler must not run on a stack of ours. */
#include "base/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

typedef struct job {
    struct job *next;
    void (*run)(void *arg);
    void *arg;
} job;

struct warm_worker {
    pthread_mutex_t lock; /* first, last_next, closing */
    pthread_cond_t wake;
    job *first, **last_next;
    bool closing;
    unsigned n_threads;
    pthread_t threads[];
};

/* With the lock held. */
static job *pop(warm_worker *w) {
    job *j = w->first;
    if (!j) return NULL;
    w->first = j->next;
    if (!w->first) w->last_next = &w->first;
    return j;
}

static void *run_jobs(void *arg) {
    warm_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        job *j = pop(w);
        if (j) {
            pthread_mutex_unlock(&w->lock);
            j->run(j->arg);
            free(j);
            pthread_mutex_lock(&w->lock);
        } else if (w->closing) {
            break;
        } else {
            pthread_cond_wait(&w->wake, &w->lock);
        }
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int start_threads(warm_worker *w, const char *name, unsigned n_threads) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the new threads */
    int rc = 0;
    while (!rc && w->n_threads < n_threads) {
        rc = pthread_create(&w->threads[w->n_threads], NULL, run_jobs, w);
        if (rc) break;
        char text[16]; /* the kernel's limit, NUL included */
        snprintf(text, sizeof text, "%.10s-%u", name, w->n_threads % 1000);
        pthread_setname_np(w->threads[w->n_threads], text);
        w->n_threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int warm_worker_new(const char *name, unsigned n_threads, warm_worker **out, warm_err *err) {
    warm_worker *w = warm_xcalloc(1, sizeof *w + n_threads * sizeof w->threads[0]);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->last_next = &w->first;
    int rc = start_threads(w, name, n_threads);
    if (rc) {
        warm_worker_free(w);
        return warm_err_set(err, WARM_ENOMEM, "can't start %u %s threads: %s", n_threads, name, strerror(rc));
    }
    *out = w;
    return 0;
}

void warm_worker_free(warm_worker *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->n_threads; i++) pthread_join(w->threads[i], NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void warm_worker_post(warm_worker *w, void (*run)(void *arg), void *arg) {
    if (!w->n_threads) {
        run(arg);
        return;
    }
    job *j = warm_xmalloc(sizeof *j);
    *j = (job){NULL, run, arg};
    pthread_mutex_lock(&w->lock);
    *w->last_next = j;
    w->last_next = &j->next;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}
