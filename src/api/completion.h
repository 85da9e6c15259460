/* SPDX-License-Identifier: MIT
 *
 * api/completion.h - a call that has tasks. Private to completion.c, but for the list of those that run (routes_info.c). */
#ifndef WARM_API_COMPLETION_H
#define WARM_API_COMPLETION_H

#include "api/call.h"
#include "api/format.h"

typedef struct warm_completion warm_completion;

/* What a task's events come back with. */
typedef struct warm_task_ref {
    warm_completion *completion;
    size_t index;
    uint64_t id;
} warm_task_ref;

struct warm_completion {
    warm_call call;
    enum warm_api_kind kind;
    /* written by the pool before the first task is submitted, constant afterwards */
    warm_params params;
    char id[64]; /* "chatcmpl-..." */
    warm_task_ref *tasks;
    size_t n_tasks;
    warm_task **held;     /* those that are not submitted yet, else NULL; n_tasks of them (completion.c (3)) */
    warm_task **starting; /* room for those that are submitted together */
    char **texts;         /* of the prompts, where the answer repeats them */
    size_t n_texts;
    /* in api->running */
    bool listed;
    warm_completion *next, **prev_next;

    pthread_mutex_t lock; /* guards what follows, up to the next line of its kind */
    bool cancelled;       /* nobody waits any more */
    bool submitted;       /* every task is with the scheduler */
    bool posted;          /* the loop will look at the queue */
    struct queued *first, **last_next;

    /* [loop] */
    warm_reply reply; /* its answers; the rest is constant */
    size_t n_ended;
    bool streaming;
    warm_http_timer *ping;
    uint64_t written_ns; /* when the stream last had something */
};

#endif
