/* SPDX-License-Identifier: MIT
 *
 * tools/replay_trace.c - what a trace is made of: blocks, their keys and tokens. See replay_trace.h. */
#include "tools/replay_trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

enum { STAMPS_BLOCK = 512 };

static uint64_t mix(uint64_t a, uint64_t b) {
    warm_rng r = {a ^ (b * 0xff51afd7ed558ccdu)};
    return warm_rng_next(&r);
}

void warm_trace_free(warm_trace *t) {
    free(t->sessions);
    free(t->agents);
    free(t->requests);
    free(t->runs);
    free(t->text);
    *t = (warm_trace){0};
}

/* Requests and agents stay where they are; only who is asked for is another list. */
static void keep_sessions(warm_trace *t, uint32_t part, uint32_t n_parts) {
    size_t n = 0;
    for (size_t i = part - 1; i < t->n_sessions; i += n_parts) t->sessions[n++] = t->sessions[i];
    t->n_sessions = n;
}

void warm_trace_keep_part(warm_trace *t, uint32_t part, uint32_t n_parts) {
    if (t->kind != WARM_TRACE_STAMPS) {
        keep_sessions(t, part, n_parts);
        return;
    }
    size_t from = t->n_requests * (part - 1) / n_parts, to = t->n_requests * part / n_parts;
    double t0 = from < to ? t->requests[from].t_s : 0;
    memmove(t->requests, t->requests + from, (to - from) * sizeof *t->requests);
    t->n_requests = to - from;
    for (size_t i = 0; i < t->n_requests; i++) t->requests[i].t_s -= t0;
}

warm_trace_blocks warm_trace_blocks_of(const warm_trace *t, size_t request, uint64_t repeat) {
    const warm_trace_request *r = &t->requests[request];
    return (warm_trace_blocks){.t = t, .r = r, .a = t->kind == WARM_TRACE_SESSIONS ? &t->agents[r->agent] : NULL, .repeat = repeat};
}

/* Position of a block among those that its agent shares with others; -1: it is not one of them. */
static int64_t prefix_position(const warm_trace_blocks *b, uint64_t id) {
    const warm_trace_request *first = &b->t->requests[b->a->first];
    uint64_t before = 0;
    for (size_t i = 0; i < first->n_runs && before < b->a->n_prefix; i++) {
        const warm_trace_run *run = &b->t->runs[first->at + i];
        uint64_t n = run->n < b->a->n_prefix - before ? run->n : b->a->n_prefix - before;
        if (id >= run->first && id - run->first < n) return (int64_t)(before + (id - run->first));
        before += n;
    }
    return -1;
}

static uint64_t key_of(const warm_trace_blocks *b, uint64_t id) {
    uint64_t key = id + 1;
    if (b->a) {
        int64_t at = b->a->n_prefix ? prefix_position(b, id) : -1;
        key = at < 0 ? mix((uint64_t)b->a->session << 1, id) : mix(b->a->prefix_key << 1 | 1, (uint64_t)at);
    }
    return b->repeat ? mix(key, b->repeat) : key;
}

bool warm_trace_blocks_next(warm_trace_blocks *b, uint64_t *key) {
    if (b->t->kind == WARM_TRACE_TEXTS) {
        if (b->run == b->r->n_in) return false;
        *key = key_of(b, (unsigned char)b->t->text[b->r->at + b->run++]);
        return true;
    }
    while (b->run < b->r->n_runs && b->in_run == b->t->runs[b->r->at + b->run].n) {
        b->run++;
        b->in_run = 0;
    }
    if (b->run == b->r->n_runs) return false;
    *key = key_of(b, b->t->runs[b->r->at + b->run].first + b->in_run++);
    return true;
}

static uint32_t block_units(const warm_trace *t, size_t request) {
    if (t->kind == WARM_TRACE_TEXTS) return 1;
    return t->kind == WARM_TRACE_STAMPS ? STAMPS_BLOCK : t->agents[t->requests[request].agent].block;
}

static size_t scaled(size_t n, uint32_t scale) {
    return n && n < scale ? 1 : n / scale;
}

size_t warm_trace_block_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape) {
    return t->kind == WARM_TRACE_TEXTS ? 1 : scaled(block_units(t, request), shape->scale);
}

size_t warm_trace_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape) {
    size_t n = t->requests[request].n_in, block = block_units(t, request);
    if (t->kind == WARM_TRACE_TEXTS) return n;
    return n / block * scaled(block, shape->scale) + scaled(n % block, shape->scale);
}

uint32_t warm_trace_out_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape) {
    uint32_t n = t->kind == WARM_TRACE_TEXTS ? t->requests[request].n_out : t->requests[request].n_out / shape->scale;
    return n ? n : 1;
}

void warm_trace_prompt(const warm_trace *t, size_t request, uint64_t repeat, const warm_trace_shape *shape, int32_t *out) {
    size_t left = warm_trace_tokens(t, request, shape), block = warm_trace_block_tokens(t, request, shape);
    uint64_t key, range = (uint64_t)shape->vocab - 1;
    for (warm_trace_blocks b = warm_trace_blocks_of(t, request, repeat); left && warm_trace_blocks_next(&b, &key);) {
        size_t n = block < left ? block : left;
        warm_rng r = {shape->seed ? mix(key, shape->seed) : key};
        /* A byte is the simulated engine's token for it, while its repetition is the first. */
        if (t->kind == WARM_TRACE_TEXTS && !repeat)
            *out = (int32_t)key;
        else
            for (size_t i = 0; i < n; i++) out[i] = (int32_t)(1 + ((warm_rng_next(&r) >> 32) * range >> 32));
        out += n;
        left -= n;
    }
}
