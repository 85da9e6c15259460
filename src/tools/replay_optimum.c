/* SPDX-License-Identifier: MIT
 *
 * tools/replay_optimum.c - Belady on a prefix tree (replay_tree.h).
 *
 * Whoever asks for a block asks for all above it, so along a path the next use of blocks only gets later with depth. What is asked for next by
 * request j is therefore a range of j's own path: one bucket (from, to] for each request that is still to come. When i is served, all that is
 * kept of its path is in bucket i, from 0 on: that is its hit. Its path then goes into the buckets of who asks for its parts next, and what nobody
 * does is dropped. To evict is to shorten the latest bucket from its deep end. So the cost depends on the number of requests, not of blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "tools/replay_tree.h"

/* Of a request's path: its tokens from where the segment before it ends are asked for next by request `next`. */
struct segment {
    uint32_t to, next;
};

struct warm_optimum {
    size_t n;
    uint32_t *length; /* by request in order */
    size_t *first;    /* by request: its segments, n + 1 of them; shallow ones first */
    struct segment *segments;
    size_t n_segments, cap_segments;
};

static const uint32_t never = UINT32_MAX;

static int no_memory(warm_err *err) {
    return warm_err_set(err, WARM_ENOMEM, "out of memory for the optimum");
}

static bool push_segment(warm_optimum *o, uint32_t to, uint32_t next) {
    if (o->n_segments == o->cap_segments) {
        size_t cap = o->cap_segments ? o->cap_segments * 2 : 1024;
        struct segment *more = warm_realloc(o->segments, cap * sizeof *more);
        if (!more) return false;
        o->segments = more;
        o->cap_segments = cap;
    }
    o->segments[o->n_segments++] = (struct segment){to, next};
    return true;
}

/* From the last request to the first: from a path's end upwards, who comes next. Filled from the back, so all of it is turned round at last. */
static bool find_segments(const warm_tree *t, const warm_tree_ask *asks, warm_optimum *o, uint32_t *next) {
    for (size_t i = o->n; i-- > 0;) {
        uint32_t request = asks[i].request, *of = next + (size_t)asks[i].repeat * t->n_nodes, last = never;
        size_t block = warm_trace_block_tokens(t->trace, request, &t->shape), end = t->length[request];
        o->length[i] = (uint32_t)end;
        o->first[i + 1] = o->n_segments;
        for (uint32_t node = t->end[request]; node; node = t->parent[node]) {
            if (of[node] != last && !push_segment(o, (uint32_t)end, last = of[node])) return false;
            of[node] = (uint32_t)i;
            end = (end - 1) / block * block;
        }
    }
    o->first[0] = o->n_segments;
    return true;
}

static void turn_round(warm_optimum *o) {
    for (size_t a = 0, b = o->n_segments; a + 1 < b; a++) {
        struct segment x = o->segments[a];
        o->segments[a] = o->segments[--b];
        o->segments[b] = x;
    }
    for (size_t i = 0; i <= o->n; i++) o->first[i] = o->n_segments - o->first[i];
}

int warm_optimum_new(const warm_tree *t, const warm_tree_ask *asks, size_t n, warm_optimum **out, warm_err *err) {
    uint32_t repeats = 1;
    for (size_t i = 0; i < n; i++) {
        if (asks[i].repeat >= repeats) repeats = asks[i].repeat + 1;
    }
    size_t n_next = (size_t)t->n_nodes * repeats;
    warm_optimum *o = warm_xcalloc(1, sizeof *o);
    o->n = n;
    o->length = warm_calloc(n + 1, sizeof *o->length);
    o->first = warm_calloc(n + 1, sizeof *o->first);
    uint32_t *next = warm_calloc(n_next, sizeof *next);
    bool done = o->length && o->first && next;
    if (done) {
        memset(next, 0xff, n_next * sizeof *next);
        done = find_segments(t, asks, o, next);
    }
    free(next);
    if (!done) {
        warm_optimum_free(o);
        return no_memory(err);
    }
    turn_round(o);
    *out = o;
    return 0;
}

void warm_optimum_free(warm_optimum *o) {
    if (!o) return;
    free(o->length);
    free(o->first);
    free(o->segments);
    free(o);
}

struct bucket {
    uint32_t from, to;
};

struct belady {
    struct bucket *buckets;
    uint32_t *heap; /* of buckets that got something, the latest first; may hold empty ones */
    size_t n_heap;
    uint64_t kept;
};

static void push(struct belady *b, uint32_t j) {
    size_t i = b->n_heap++;
    for (; i && b->heap[(i - 1) / 2] < j; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = j;
}

static void pop(struct belady *b) {
    uint32_t last = b->heap[--b->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < b->n_heap; i = k) {
        if (k + 1 < b->n_heap && b->heap[k + 1] > b->heap[k]) k++;
        if (b->heap[k] <= last) break;
        b->heap[i] = b->heap[k];
    }
    b->heap[i] = last;
}

static void keep(struct belady *b, uint32_t from, uint32_t to, uint32_t j) {
    struct bucket *x = &b->buckets[j];
    if (from >= to) return;
    if (x->from == x->to) {
        *x = (struct bucket){from, to};
        push(b, j);
        b->kept += to - from;
    } else if (from < x->from) { /* what it has begins where this ends */
        b->kept += x->from - from;
        x->from = from;
    }
}

static void evict(struct belady *b, uint64_t capacity) {
    while (b->kept > capacity) {
        struct bucket *x = &b->buckets[b->heap[0]];
        uint64_t n = x->to - x->from, excess = b->kept - capacity;
        if (n > excess) n = excess;
        x->to -= (uint32_t)n;
        b->kept -= n;
        if (x->from == x->to) pop(b);
    }
}

int warm_optimum_run(const warm_optimum *o, uint64_t capacity_tokens, uint64_t *computed, warm_err *err) {
    /* A request's bucket is in the heap once at most for each segment. */
    struct belady b = {.buckets = warm_calloc(o->n + 1, sizeof *b.buckets), .heap = warm_calloc(o->n_segments + 1, sizeof *b.heap)};
    *computed = 0;
    for (size_t i = 0; b.buckets && b.heap && i < o->n; i++) {
        struct bucket hit = b.buckets[i];
        b.buckets[i] = (struct bucket){0, 0};
        b.kept -= hit.to - hit.from;
        uint32_t length = o->length[i], known = hit.from ? 0 : hit.to;
        *computed += length - (known < length ? known : length - 1);
        uint32_t from = 0;
        for (size_t k = o->first[i]; k < o->first[i + 1]; k++) {
            const struct segment *s = &o->segments[k];
            if (s->next != never) keep(&b, from, s->to < o->length[s->next] ? s->to : o->length[s->next], s->next);
            from = s->to;
        }
        evict(&b, capacity_tokens);
    }
    bool done = b.buckets && b.heap;
    free(b.buckets);
    free(b.heap);
    return done ? 0 : no_memory(err);
}
