/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_known.c - what a trial's requests have computed, and where: see exact_world.h.
 *
 * Only of requests that ran one after the other can it be told which of them a batch or a snapshot was of. Trials in which several run at the
 * same time do not ask. */
#include "exact_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

#undef NDEBUG
#include <assert.h>

enum { LEAST = 64 };

struct exact_known {
    int32_t *units; /* prompt and answer */
    size_t n;
    size_t n_resumed;              /* of them, what it did not compute */
    size_t first_end, first_point; /* in the engine's logs */
};

size_t exact_know(exact_trial *t, const int32_t *prompt, size_t n, size_t n_predict) {
    const exact_engine *e = t->bench->engine;
    if (t->n_known == t->cap_known) {
        t->cap_known = t->cap_known ? 2 * t->cap_known : 16;
        t->known = warm_realloc(t->known, t->cap_known * sizeof *t->known);
        assert(t->known);
    }
    exact_known *k = &t->known[t->n_known];
    *k = (exact_known){.n = n, .first_end = e->ends.n, .first_point = e->points.n};
    k->units = warm_xmalloc((n + n_predict) * sizeof *prompt);
    memcpy(k->units, prompt, n * sizeof *prompt);
    return t->n_known++;
}

void exact_know_end(exact_trial *t, const exact_request *r) {
    exact_known *k = &t->known[r->known];
    if (r->seen.n) memcpy(k->units + r->n_prompt, r->seen.tokens, r->seen.n * sizeof *k->units);
    k->n = r->n_prompt + r->seen.n;
    k->n_resumed = r->t.n_device + r->t.n_ram;
}

void exact_forget(exact_trial *t) {
    for (size_t i = 0; i < t->n_known; i++) free(t->known[i].units);
    free(t->known);
}

typedef struct range {
    const size_t *at;
    size_t n;
} range;

static range ends_of(const exact_trial *t, size_t i) {
    const exact_log *l = &t->bench->engine->ends;
    size_t from = t->known[i].first_end, to = i + 1 < t->n_known ? t->known[i + 1].first_end : l->n;
    return (range){l->at + from, to - from};
}

static range points_of(const exact_trial *t, size_t i) {
    const exact_log *l = &t->bench->engine->points;
    size_t from = t->known[i].first_point, to = i + 1 < t->n_known ? t->known[i + 1].first_point : l->n;
    return (range){l->at + from, to - from};
}

static size_t common_prefix(const exact_known *a, const int32_t *prompt, size_t n) {
    size_t i = 0;
    while (i < n && i < a->n && a->units[i] == prompt[i]) i++;
    return i;
}

void exact_known_points(const exact_trial *t, const exact_request *r, size_t *least, size_t *other) {
    *least = *other = 0;
    for (size_t i = 0; i < r->known; i++) {
        size_t common = common_prefix(&t->known[i], r->prompt, r->n_prompt - 1);
        range points = points_of(t, i), ends = ends_of(t, i);
        for (size_t k = 0; k < points.n; k++) {
            if (points.at[k] <= common && points.at[k] > *least) *least = points.at[k];
        }
        size_t end = ends.n ? ends.at[ends.n - 1] : 0;
        if (end <= common && end > *other) *other = end;
    }
}

static bool holds(range r, size_t pos) {
    for (size_t k = 0; k < r.n; k++) {
        if (r.at[k] == pos) return true;
    }
    return false;
}

/* Whose state request i went on from: the latest that stopped there, or else the latest that came by. */
static size_t parent_of(const exact_trial *t, size_t i) {
    size_t resumed = t->known[i].n_resumed, best = i;
    bool stopped = false;
    for (size_t k = i; k-- > 0;) {
        if (common_prefix(&t->known[k], t->known[i].units, resumed) < resumed) continue;
        bool here = holds(ends_of(t, k), resumed);
        if (best != i && (stopped || !here)) continue;
        best = k;
        stopped = here;
    }
    return best;
}

/* Whether a batch can end there without being another kind of batch than the one that was: either it did, or it had 64 units and more. */
static bool may_cut(range ends, size_t pos) {
    size_t before = 0;
    for (size_t k = 0; k < ends.n; k++) {
        if (ends.at[k] <= pos && ends.at[k] > before) before = ends.at[k];
    }
    return before == pos || pos - before >= LEAST;
}

static int compare(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

size_t *exact_known_ends(const exact_trial *t, const exact_request *r, size_t *n) {
    size_t *ends = warm_xcalloc(t->bench->engine->ends.n + 1, sizeof *ends), upto = r->n_prompt;
    *n = 0;
    for (size_t i = r->known;; i = parent_of(t, i)) {
        range own = ends_of(t, i);
        size_t from = t->known[i].n_resumed;
        for (size_t k = 0; k < own.n; k++) {
            if (own.at[k] > from && own.at[k] <= upto) ends[(*n)++] = own.at[k];
        }
        size_t parent = from ? parent_of(t, i) : i;
        if (parent == i) break;
        if (may_cut(ends_of(t, parent), from)) ends[(*n)++] = from;
        upto = from;
    }
    qsort(ends, *n, sizeof *ends, compare);
    return ends;
}
