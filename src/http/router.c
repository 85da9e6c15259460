/* SPDX-License-Identifier: MIT
 *
 * http/router.c - which handler a method and a path belong to.
 *
 * Patterns and paths are cut at their slashes and compared segment by segment; a path is decoded after it was cut, so an encoded
 * slash never makes a segment. A linear scan: there are some dozens of routes.
 *
 * Invariants
 *  (1) Of several patterns that match, the one with an exact segment where they first differ wins.
 *  (2) A path that some pattern matches is never "not found", only "no such method", and then `allow` names those it has.
 * Pure functions. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "http/internal.h"

/* Cuts text, which begins with '/', in place. -1: it doesn't, or has more segments than any pattern can have. */
static int cut_path(char *text, const char *segments[WARM__SEGMENTS_MAX]) {
    if (*text != '/') return -1;
    int n = 0;
    while (text) {
        *text++ = '\0';
        if (n == WARM__SEGMENTS_MAX) return -1;
        segments[n++] = text;
        text = strchr(text, '/');
    }
    return n;
}

void warm__router_add(warm__router *r, const char *method, const char *prefix, const char *path, warm__route route) {
    assert(path[0] == '/');
    size_t prefix_len = strlen(prefix);
    size_t path_len = strlen(path);
    route.text_ = warm_xmalloc(prefix_len + path_len + 1);
    memcpy(route.text_, prefix, prefix_len);
    memcpy(route.text_ + prefix_len, path, path_len + 1);
    int n = cut_path(route.text_, route.segments);
    assert(n > 0);
    route.n_segments = (size_t)n;
    route.method = warm_xstrdup(method);
    if (r->n == r->cap_) {
        size_t cap = r->cap_ ? r->cap_ * 2 : 32;
        warm__route *routes = warm_xcalloc(cap, sizeof *routes);
        if (r->n) memcpy(routes, r->routes, r->n * sizeof *routes);
        free(r->routes);
        r->routes = routes;
        r->cap_ = cap;
    }
    r->routes[r->n++] = route;
}

/* -1: no match. Else one bit per exact segment, the first segment's the highest, so that a larger number is the better match. */
static int match_score(const warm__route *route, const warm__match *m) {
    if (route->n_segments != m->n_segments) return -1;
    int score = 0;
    for (size_t i = 0; i < m->n_segments; i++) {
        const char *want = route->segments[i];
        bool exact = want[0] != ':' || want[1] == '\0';
        if (exact ? strcmp(want, m->segments[i]) != 0 : m->segments[i][0] == '\0') return -1;
        score = score * 2 + exact;
    }
    return score;
}

static void allow_method(warm__match *m, const char *method) {
    size_t len = strlen(m->allow);
    size_t n = strlen(method);
    for (const char *p = m->allow; (p = strstr(p, method)); p += n)
        if ((p == m->allow || p[-1] == ' ') && (p[n] == ',' || p[n] == '\0')) return;
    size_t comma = len ? 2 : 0;
    if (len + comma + n >= sizeof m->allow) return;
    memcpy(m->allow + len, ", ", comma);
    memcpy(m->allow + len + comma, method, n + 1);
}

static const warm__route *best_route(const warm__router *r, const char *method, const warm__match *m) {
    const warm__route *best = NULL;
    int best_score = -1;
    for (size_t i = 0; i < r->n; i++) {
        const warm__route *route = &r->routes[i];
        if (strcmp(route->method, method) != 0) continue;
        int score = match_score(route, m);
        if (score > best_score) {
            best = route;
            best_score = score;
        }
    }
    return best;
}

enum warm__routed warm__router_match(const warm__router *r, const char *method, const char *path, warm__match *m) {
    *m = (warm__match){0};
    m->text_ = warm_strndup(path, strlen(path));
    if (!m->text_) return WARM__ROUTED_NO_MEMORY;
    int n = cut_path(m->text_, m->segments);
    if (n < 0) return WARM__ROUTED_NO_PATH;
    m->n_segments = (size_t)n;
    for (size_t i = 0; i < m->n_segments; i++)
        if (!warm__uri_decode((char *)(uintptr_t)m->segments[i], false)) return WARM__ROUTED_BAD_PATH;
    for (size_t i = 0; i < r->n; i++) {
        const warm__route *route = &r->routes[i];
        if (match_score(route, m) < 0) continue;
        if (route->flags & WARM_HTTP_PUBLIC) m->is_public = true;
        allow_method(m, route->method);
        if (strcmp(route->method, "GET") == 0) allow_method(m, "HEAD");
    }
    if (!m->allow[0]) return WARM__ROUTED_NO_PATH;
    allow_method(m, "OPTIONS");
    m->route = best_route(r, method, m);
    if (!m->route && strcmp(method, "HEAD") == 0) m->route = best_route(r, "GET", m);
    if (!m->route) return WARM__ROUTED_NO_METHOD;
    m->is_public = m->route->flags & WARM_HTTP_PUBLIC;
    return WARM__ROUTED;
}

const char *warm__match_param(const warm__match *m, const char *name) {
    if (!m->route) return NULL;
    for (size_t i = 0; i < m->n_segments; i++) {
        const char *want = m->route->segments[i];
        if (want[0] == ':' && want[1] && strcmp(want + 1, name) == 0) return m->segments[i];
    }
    return NULL;
}

void warm__match_deinit(warm__match *m) {
    free(m->text_);
    *m = (warm__match){0};
}

void warm__router_deinit(warm__router *r) {
    for (size_t i = 0; i < r->n; i++) {
        free(r->routes[i].text_);
        free(r->routes[i].method);
    }
    free(r->routes);
    *r = (warm__router){0};
}
