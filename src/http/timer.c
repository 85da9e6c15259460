/* SPDX-License-Identifier: MIT
 *
 * http/timer.c - timers on the loop. */
#include <event2/event.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "http/internal.h"

struct warm_http_timer {
    struct event *event;
    void (*fn)(void *ud);
    void *ud;
};

static void on_time(evutil_socket_t fd, short what, void *arg) {
    (void)fd;
    (void)what;
    warm_http_timer *t = arg;
    t->fn(t->ud);
}

warm_http_timer *warm_http_timer_new(warm_http *h, void (*fn)(void *ud), void *ud) {
    warm_http_timer *t = warm_malloc(sizeof *t);
    if (!t) return NULL;
    *t = (warm_http_timer){.event = event_new(h->base, -1, 0, on_time, t), .fn = fn, .ud = ud};
    if (t->event) return t;
    free(t);
    return NULL;
}

void warm_http_timer_arm(warm_http_timer *t, uint64_t ms) {
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(t->event, &tv);
}

void warm_http_timer_free(warm_http_timer *t) {
    if (!t) return;
    event_free(t->event);
    free(t);
}
