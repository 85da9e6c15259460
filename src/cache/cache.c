/* SPDX-License-Identifier: MIT
 *
 * cache/cache.c - creation, scopes and figures.
 *
 * Scopes are few (models, adapters, tenants) and never go away: an array ordered by fingerprint, which the budget pays for like
 * everything else. A scope holds its root block, so a pointer to it stays valid while the cache lives. */
#include "cache/cache_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

int warm_cache_new(const warm_cache_options *opt, warm_cache **out, warm_err *err) {
    if (!opt->store || !opt->budget) return warm_err_set(err, WARM_EINVAL, "a cache needs a store and a budget");
    if (opt->window && opt->snapshots) return warm_err_set(err, WARM_EINVAL, "a cache has window rows or snapshots, not both");
    warm_cache *c = warm_xcalloc(1, sizeof *c);
    c->store = opt->store;
    c->budget = opt->budget;
    c->now_ns = opt->now_ns;
    c->clock_ud = opt->clock_ud;
    c->policy = opt->policy ? opt->policy : warm_policy_by_name(*warm_policy_names());
    c->window = opt->window;
    c->has_snapshots = opt->snapshots;
    warm__spill_init(c, opt);
    warm__link_init(&c->leaves);
    warm__link_init(&c->inner);
    warm__link_init(&c->dead);
    warm__link_init(&c->pieces);
    warm__link_init(&c->windows[0]);
    warm__link_init(&c->windows[1]);
    warm__link_init(&c->snapshots);
    *out = c;
    return 0;
}

void warm_cache_free(warm_cache *c) {
    if (!c) return;
    warm__value_forget(c);
    for (size_t i = 0; i < c->n_scopes; i++) {
        warm_block *root = &c->scopes[i]->root;
        /* snapshots that are left are covered by a block, or stand at a block's end: they go with these */
        while (root->n_children) warm__tree_kill(c, (warm_block *)warm__tree_child(root, root->n_children - 1));
    }
    assert(c->dead.next == &c->dead && c->pieces.next == &c->pieces && "a path, view or save is still held");
    for (size_t i = 0; i < c->n_scopes; i++) {
        warm_scope *s = c->scopes[i];
        assert(s->root.pins == 0 && !s->root.snapshots);
        if (s->root.children_cap) warm__evict_dealloc(c, s->root.children.many, s->root.children_cap * sizeof(struct warm__child));
        warm__evict_dealloc(c, s, sizeof *s);
    }
    if (c->scopes_cap) warm__evict_dealloc(c, c->scopes, c->scopes_cap * sizeof *c->scopes);
    assert(c->stats.index_bytes == 0);
    free(c);
}

/* Index of the fingerprint, or of the first one behind it. */
static size_t scope_place(const warm_cache *c, const uint8_t *fingerprint) {
    size_t lo = 0, hi = c->n_scopes;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (memcmp(c->scopes[mid]->fingerprint, fingerprint, WARM_SCOPE_BYTES) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static int reserve_scope(warm_cache *c) {
    if (c->n_scopes < c->scopes_cap) return 0;
    size_t more = c->scopes_cap ? c->scopes_cap * 2 : 4;
    void *p;
    int rc = warm__evict_alloc(c, more * sizeof *c->scopes, &p);
    if (rc) return rc;
    if (c->scopes_cap) {
        memcpy(p, c->scopes, c->n_scopes * sizeof *c->scopes);
        warm__evict_dealloc(c, c->scopes, c->scopes_cap * sizeof *c->scopes);
    }
    c->scopes = p;
    c->scopes_cap = more;
    return 0;
}

int warm_cache_scope(warm_cache *c, const uint8_t fingerprint[WARM_SCOPE_BYTES], warm_scope **out) {
    size_t i = scope_place(c, fingerprint);
    if (i < c->n_scopes && memcmp(c->scopes[i]->fingerprint, fingerprint, WARM_SCOPE_BYTES) == 0) {
        *out = c->scopes[i];
        return 0;
    }
    int rc = reserve_scope(c);
    if (rc) return rc;
    void *p;
    rc = warm__evict_alloc(c, sizeof(warm_scope), &p);
    if (rc) return rc;
    warm_scope *s = p;
    memset(s, 0, sizeof *s);
    memcpy(s->fingerprint, fingerprint, WARM_SCOPE_BYTES);
    memmove(c->scopes + i + 1, c->scopes + i, (c->n_scopes - i) * sizeof *c->scopes);
    c->scopes[i] = s;
    c->n_scopes++;
    *out = s;
    return 0;
}

void warm_cache_stats_get(const warm_cache *c, warm_cache_stats *out) {
    *out = c->stats;
    out->budget_limit_bytes = c->budget->limit_bytes;
    out->budget_used_bytes = c->budget->used_bytes;
    out->budget_peak_bytes = c->budget->peak_bytes;
}
