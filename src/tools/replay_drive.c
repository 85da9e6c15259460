/* SPDX-License-Identifier: MIT
 *
 * tools/replay_drive.c - see replay_drive.h. */
#include "tools/replay_drive.h"

#include <stdlib.h>

#include "base/alloc.h"

struct place {
    bool in_use;
    uint32_t session;
    uint64_t repeat;
    uint32_t n_open; /* users: agents that have not ended */
    size_t *order;   /* rotation: its requests */
    size_t n_order, at;
};

/* Somebody who is thinking. */
struct pending {
    uint64_t due_ns, number;
    size_t request;
    uint32_t place;
};

struct warm_drive {
    warm_drive_options o;
    struct place *places;
    uint32_t n_places;
    uint64_t next_session; /* of all repetitions */
    /* users: a heap, earliest first */
    struct pending *heap;
    size_t n_heap, cap_heap;
    uint64_t number;
    /* rotation */
    uint32_t turn;
    bool asked;
    uint64_t answered_ns;
    /* stamps */
    uint64_t next_stamp, span_ns;
};

static uint64_t ns_of(double seconds) {
    const double most = 1e9; /* thirty years */
    if (seconds > most) seconds = most;
    return seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

/* ---- heap ---- */

static bool earlier(const struct pending *a, const struct pending *b) {
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void push(warm_drive *d, uint64_t due_ns, size_t request, uint32_t place) {
    if (d->n_heap == d->cap_heap) {
        d->cap_heap = d->cap_heap ? d->cap_heap * 2 : 64;
        d->heap = warm_realloc(d->heap, d->cap_heap * sizeof *d->heap);
        if (!d->heap) abort(); /* one entry for each agent that is running */
    }
    struct pending p = {due_ns, d->number++, request, place};
    size_t i = d->n_heap++;
    for (; i && earlier(&p, &d->heap[(i - 1) / 2]); i = (i - 1) / 2) d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = p;
}

static struct pending pop(warm_drive *d) {
    struct pending top = d->heap[0], last = d->heap[--d->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < d->n_heap; i = k) {
        if (k + 1 < d->n_heap && earlier(&d->heap[k + 1], &d->heap[k])) k++;
        if (!earlier(&d->heap[k], &last)) break;
        d->heap[i] = d->heap[k];
    }
    d->heap[i] = last;
    return top;
}

/* ---- sessions ---- */

static const warm_trace_agent *agents_of(const warm_drive *d, const struct place *p) {
    return &d->o.trace->agents[d->o.trace->sessions[p->session].first];
}

static uint32_t n_agents_of(const warm_drive *d, const struct place *p) {
    return d->o.trace->sessions[p->session].n;
}

static void start_agents_after(warm_drive *d, struct place *p, uint32_t parent, int32_t after, double then_s, uint64_t now_ns);

static void start_agent(warm_drive *d, struct place *p, uint32_t id, uint64_t now_ns) {
    const warm_trace_agent *a = &d->o.trace->agents[id];
    if (a->n)
        push(d, d->o.no_thinking ? now_ns : now_ns + ns_of(d->o.trace->requests[a->first].t_s), a->first,
             (uint32_t)(p - d->places));
    else
        p->n_open--;
    start_agents_after(d, p, id, -1, 0, now_ns);
}

/* then_s: what the parent's time was in the trace when it is now_ns. */
static void start_agents_after(warm_drive *d, struct place *p, uint32_t parent, int32_t after, double then_s, uint64_t now_ns) {
    uint32_t first = d->o.trace->sessions[p->session].first;
    for (uint32_t id = parent + 1; id < first + n_agents_of(d, p); id++) {
        const warm_trace_agent *a = &d->o.trace->agents[id];
        if (a->parent == (int32_t)parent && a->after == after)
            start_agent(d, p, id, d->o.no_thinking ? now_ns : now_ns + ns_of(a->start_s - then_s));
    }
}

struct timed {
    double t_s;
    size_t request;
};

static int by_time(const void *a, const void *b) {
    const struct timed *x = a, *y = b;
    if (x->t_s != y->t_s) return x->t_s < y->t_s ? -1 : 1;
    return x->request < y->request ? -1 : 1;
}

/* All requests of the place's session by the trace's time. */
static void make_order(warm_drive *d, struct place *p) {
    const warm_trace_agent *a = agents_of(d, p);
    uint32_t n_agents = n_agents_of(d, p), first = d->o.trace->sessions[p->session].first;
    size_t n = 0, k = 0;
    for (uint32_t i = 0; i < n_agents; i++) n += a[i].n;
    double *start_s = warm_xcalloc(n_agents, sizeof *start_s);
    struct timed *list = warm_xcalloc(n + 1, sizeof *list);
    for (uint32_t i = 0; i < n_agents; i++) {
        if (a[i].parent >= 0) start_s[i] = start_s[(uint32_t)a[i].parent - first] + a[i].start_s;
        double last = 0; /* nobody asks before its own last answer, whatever the trace says */
        for (size_t r = a[i].first; r < a[i].first + a[i].n; r++) {
            double t = start_s[i] + d->o.trace->requests[r].t_s;
            if (t > last) last = t;
            list[k++] = (struct timed){last, r};
        }
    }
    qsort(list, n, sizeof *list, by_time);
    free(p->order);
    p->order = warm_xcalloc(n + 1, sizeof *p->order);
    for (size_t i = 0; i < n; i++) p->order[i] = list[i].request;
    p->n_order = n;
    p->at = 0;
    free(list);
    free(start_s);
}

/* Gives the place the next session that asks for anything; without one it stays empty. */
static void take_session(warm_drive *d, struct place *p, uint64_t now_ns) {
    const warm_trace *t = d->o.trace;
    p->in_use = false;
    while (!p->in_use && d->next_session < t->n_sessions * d->o.n_repeats) {
        p->session = (uint32_t)(d->next_session % t->n_sessions);
        p->repeat = d->next_session / t->n_sessions;
        d->next_session++;
        p->n_open = n_agents_of(d, p);
        if (d->o.rotate) {
            make_order(d, p);
            p->in_use = p->n_order > 0;
        } else {
            start_agent(d, p, t->sessions[p->session].first, now_ns);
            p->in_use = p->n_open > 0;
        }
    }
}

warm_drive *warm_drive_new(const warm_drive_options *o) {
    warm_drive *d = warm_xcalloc(1, sizeof *d);
    d->o = *o;
    if (!d->o.n_repeats) d->o.n_repeats = 1;
    d->n_places = o->users ? o->users : o->rotate ? o->rotate : 1;
    d->places = warm_xcalloc(d->n_places, sizeof *d->places);
    const warm_trace *t = o->trace;
    if (!o->users && !o->rotate) d->span_ns = t->n_requests ? ns_of(t->requests[t->n_requests - 1].t_s + 1) : 0;
    for (uint32_t i = 0; (o->users || o->rotate) && i < d->n_places; i++) take_session(d, &d->places[i], 0);
    return d;
}

void warm_drive_free(warm_drive *d) {
    if (!d) return;
    for (uint32_t i = 0; i < d->n_places; i++) free(d->places[i].order);
    free(d->places);
    free(d->heap);
    free(d);
}

uint32_t warm_drive_places(const warm_drive *d) {
    return d->n_places;
}

uint64_t warm_drive_total(const warm_drive *d) {
    const warm_trace *t = d->o.trace;
    uint64_t n = 0;
    if (!d->o.users && !d->o.rotate) return t->n_requests * d->o.n_repeats;
    for (size_t i = 0; i < t->n_sessions; i++) {
        for (uint32_t k = 0; k < t->sessions[i].n; k++) n += t->agents[t->sessions[i].first + k].n;
    }
    return n * d->o.n_repeats;
}

/* ---- asking ---- */

static uint64_t stamp_ns(const warm_drive *d) {
    const warm_trace *t = d->o.trace;
    if (d->next_stamp >= t->n_requests * d->o.n_repeats) return UINT64_MAX;
    return ns_of(t->requests[d->next_stamp % t->n_requests].t_s) + d->next_stamp / t->n_requests * d->span_ns;
}

uint64_t warm_drive_when(const warm_drive *d) {
    if (d->o.users) return d->n_heap ? d->heap[0].due_ns : UINT64_MAX;
    if (!d->o.rotate) return stamp_ns(d);
    if (d->asked) return UINT64_MAX;
    for (uint32_t i = 0; i < d->n_places; i++) {
        if (d->places[i].in_use) return d->answered_ns;
    }
    return UINT64_MAX;
}

bool warm_drive_next(warm_drive *d, uint64_t now_ns, warm_drive_ask *out) {
    *out = (warm_drive_ask){.due_ns = warm_drive_when(d)};
    if (out->due_ns == UINT64_MAX || out->due_ns > now_ns) return false;
    if (d->o.users) {
        struct pending p = pop(d);
        out->request = p.request;
        out->place = p.place;
    } else if (d->o.rotate) {
        while (!d->places[d->turn].in_use) d->turn = (d->turn + 1) % d->n_places;
        struct place *p = &d->places[d->turn];
        out->request = p->order[p->at++];
        out->place = d->turn;
        d->turn = (d->turn + 1) % d->n_places;
        d->asked = true;
    } else {
        out->request = d->next_stamp % d->o.trace->n_requests;
        out->repeat = d->next_stamp++ / d->o.trace->n_requests;
        return true;
    }
    out->repeat = d->places[out->place].repeat;
    return true;
}

/* Ends nothing or one agent: that of the request. */
static void agent_answered(warm_drive *d, struct place *p, size_t request, uint64_t now_ns) {
    const warm_trace_request *r = &d->o.trace->requests[request];
    const warm_trace_agent *a = &d->o.trace->agents[r->agent];
    double then_s = r->t_s + r->busy_s;
    start_agents_after(d, p, r->agent, (int32_t)(request - a->first), then_s, now_ns);
    if (request + 1 == a->first + a->n) {
        p->n_open--;
        return;
    }
    push(d, d->o.no_thinking ? now_ns : now_ns + ns_of(r[1].t_s - then_s), request + 1, (uint32_t)(p - d->places));
}

bool warm_drive_answered(warm_drive *d, const warm_drive_ask *a, uint64_t now_ns) {
    struct place *p = &d->places[a->place];
    bool ended;
    if (d->o.users) {
        agent_answered(d, p, a->request, now_ns);
        ended = !p->n_open;
    } else if (d->o.rotate) {
        d->asked = false;
        d->answered_ns = now_ns;
        ended = p->at == p->n_order;
    } else {
        return true;
    }
    if (ended) take_session(d, p, now_ns);
    return ended;
}
