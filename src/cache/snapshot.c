/* SPDX-License-Identifier: MIT
 *
 * cache/snapshot.c - snapshots: state that can't be cut, taken at one position of a path.
 *
 * A snapshot is no part of a block: tails are replaced, split and shared, while it belongs to one prefix. So it hangs below the last full block
 * (or root) that ends at or before its position and keeps the units from there on itself. Unlike blocks, one snapshot's units may
 * be a prefix of another's: a conversation leaves several in one block.
 *
 * Finding: the longest one that is a prefix of the prompt is the last one not greater than the prompt in their order, or else one of its
 * prefixes. If the last one is no prefix, what is looked for is no longer than what the two have in common: the same search for a
 * shorter prompt. Each is a binary search; that more than a few are needed takes snapshots that differ from the prompt
 * and from each other at ever smaller positions.
 *
 * Invariants
 *  (1) The units behind the parent's end are those of a child of the parent: before the last child that begins with them goes, it goes.
 *  (2) A live snapshot's parent is live; a block with snapshots is no leaf. */
#include "cache/cache_internal.h"

#include <string.h>

size_t warm__snapshot_bytes(size_t n_units) {
    return sizeof(struct warm__snapshot) + n_units * sizeof(warm_unit);
}

size_t warm__snapshot_array_bytes(size_t cap) {
    return sizeof(struct warm__snapshots) + cap * sizeof(struct warm__snapshot *);
}

/* ---- finding ---- */

/* The number of those not greater than units[0..n). *match: what the last of them has in common with the units. */
static size_t place_of(const struct warm__snapshots *set, const warm_unit *units, size_t n, size_t *match) {
    size_t lo = 0, hi = set->n, lo_match = 0, hi_match = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct warm__snapshot *x = set->at[mid];
        size_t both = x->n_units < n ? x->n_units : n;
        size_t k = warm__tree_common(x->units, units, lo_match < hi_match ? lo_match : hi_match, both);
        if (k == x->n_units || (k < n && x->units[k] < units[k])) {
            lo = mid + 1, lo_match = k;
        } else {
            hi = mid, hi_match = k;
        }
    }
    *match = lo_match;
    return lo;
}

struct warm__snapshot *warm__snapshot_find(const warm_block *b, const warm_unit *units, size_t n) {
    for (;;) {
        if (!b->snapshots) return NULL;
        size_t k, place = place_of(b->snapshots, units, n, &k);
        if (place == 0) return NULL;
        struct warm__snapshot *x = b->snapshots->at[place - 1];
        if (x->n_units == k) return x;
        n = k;
    }
}

struct warm__snapshot *warm__snapshot_before(const warm_path *p, size_t pos) {
    assert(pos <= p->n_units);
    if (pos == 0) return NULL;
    const warm_block *b = warm__path_block(p, pos - 1);
    if (pos == warm__block_end(b) && warm__block_full(b)) {
        struct warm__snapshot *x = warm__snapshot_find(b, b->units, 0);
        if (x) return x;
    }
    for (; b->parent; b = b->parent) {
        size_t end = warm__block_end(b);
        struct warm__snapshot *x = warm__snapshot_find(b->parent, b->units, (end < pos ? end : pos) - b->start);
        if (x) return x;
    }
    return NULL;
}

size_t warm_cache_snapshot_before(const warm_cache *c, const warm_path *p, size_t pos) {
    (void)c;
    const struct warm__snapshot *x = warm__snapshot_before(p, pos);
    return x ? x->piece->start : 0;
}

bool warm_path_snapshot(warm_cache *c, const warm_path *p, size_t pos, warm_piece_view *out, double *prior) {
    struct warm__snapshot *x = warm__snapshot_before(p, pos);
    if (!x) return false;
    *prior = x->prior;
    warm__piece_view(c, x->piece, out);
    return true;
}

size_t warm__snapshot_gain(const struct warm__snapshot *s) {
    const struct warm__snapshot *x = s->n_units ? warm__snapshot_find(s->parent, s->units, s->n_units - 1) : NULL;
    for (const warm_block *b = s->parent; !x && b->parent; b = b->parent) x = warm__snapshot_find(b->parent, b->units, b->n_units);
    return s->piece->start - (x ? x->piece->start : 0);
}

void warm__snapshot_resume(warm_cache *c, warm_path *p, warm_resume *out) {
    struct warm__snapshot *x = warm__snapshot_before(p, p->n_units);
    warm__tree_repin(c, p, x ? x->piece->start : 0);
    if (!x) return;
    x->hits++;
    x->last_use = c->stats.n_lookups;
    warm__policy_touch_snapshot(c, x);
    warm__piece_view(c, x->piece, &out->snapshot);
}

/* ---- going ---- */

void warm__snapshot_unlink(warm_cache *c, struct warm__snapshot *s) {
    warm_block *up = s->parent;
    struct warm__snapshots *set = up->snapshots;
    size_t k, place = place_of(set, s->units, s->n_units, &k);
    assert(place && set->at[place - 1] == s);
    memmove(set->at + place - 1, set->at + place, (set->n - place) * sizeof *set->at);
    set->n--;
    size_t bytes = warm__snapshot_array_bytes(set->cap);
    if (set->n == 0) {
        up->snapshots = NULL;
        warm__evict_dealloc(c, set, bytes);
    } else if (set->n <= set->cap / 4) {
        void *p = set;
        if (warm__evict_shrink(c, &p, bytes, warm__snapshot_array_bytes(set->cap / 2))) {
            up->snapshots = p;
            up->snapshots->cap /= 2;
        }
    }
    warm__spill_lost_snapshot(c, s);
    warm__link_remove(&s->order);
    c->stats.n_snapshots--;
    warm__tree_leaf(c, up);
    warm__piece_disown(c, s->piece);
    warm__evict_dealloc(c, s, warm__snapshot_bytes(s->n_units));
}

/* The longest snapshot of at most n of b's units that is not among the `shared` ones another block covers. */
static struct warm__snapshot *next_needing(const warm_block *b, size_t n, size_t shared) {
    struct warm__snapshot *x = warm__snapshot_find(b->parent, b->units, n);
    return x && x->n_units > shared ? x : NULL;
}

void warm__snapshot_lose_block(warm_cache *c, warm_block *b) {
    while (b->snapshots) warm__snapshot_unlink(c, b->snapshots->at[b->snapshots->n - 1]);
    if (!b->parent->snapshots) return;
    size_t shared = warm__tree_shared_units(b);
    struct warm__snapshot *x;
    for (size_t n = b->n_units; (x = next_needing(b, n, shared)); n--) {
        n = x->n_units;
        warm__snapshot_unlink(c, x);
    }
}

uint64_t warm__snapshot_needs(const warm_block *b) {
    if (!b->parent->snapshots) return 0;
    size_t shared = warm__tree_shared_units(b);
    uint64_t latest = 0;
    const struct warm__snapshot *x;
    for (size_t n = b->n_units; (x = next_needing(b, n, shared)); n--) {
        n = x->n_units;
        if (x->tick > latest) latest = x->tick;
    }
    return latest;
}

void warm_cache_quarantine_snapshot(warm_cache *c, const warm_path *p) {
    struct warm__snapshot *x = warm__snapshot_before(p, p->n_units);
    if (!x || x->piece->start != p->n_units) return;
    c->stats.n_damaged++;
    warm__snapshot_unlink(c, x);
}

/* ---- coming ---- */

int warm_cache_snapshot_begin(warm_cache *c, size_t bytes, warm_snapshot *out) {
    assert(c->has_snapshots && bytes > 0);
    warm_piece *x;
    int rc = warm__piece_new(c, 0, 0, bytes, 0, &x);
    if (rc) {
        c->stats.n_refused += rc == WARM_EFULL;
        return rc;
    }
    *out = (warm_snapshot){x->extent.data, bytes, x};
    return 0;
}

void warm_cache_snapshot_abort(warm_cache *c, warm_snapshot *s) {
    warm_piece_unref(c, s->piece_);
    *s = (warm_snapshot){0};
}

/* Room for one more. Making it may evict snapshots of the same block, so the array is looked at again afterwards. */
static int reserve_place(warm_cache *c, warm_block *up) {
    const struct warm__snapshots *old = up->snapshots;
    if (old && old->n < old->cap) return 0;
    size_t cap = old ? old->cap * 2 : 4;
    void *p;
    int rc = warm__evict_alloc(c, warm__snapshot_array_bytes(cap), &p);
    if (rc) return rc;
    struct warm__snapshots *set = p;
    set->n = 0;
    set->cap = (uint32_t)cap;
    if (up->snapshots) {
        set->n = up->snapshots->n;
        memcpy(set->at, up->snapshots->at, set->n * sizeof *set->at);
        warm__evict_dealloc(c, up->snapshots, warm__snapshot_array_bytes(up->snapshots->cap));
    }
    warm__tree_unleaf(c, up);
    up->snapshots = set;
    return 0;
}

static int add(warm_cache *c, warm_block *up, const warm_unit *units, size_t n, warm_piece *piece, struct warm__snapshot **out) {
    void *p;
    int rc = warm__evict_alloc(c, warm__snapshot_bytes(n), &p);
    if (rc) return rc;
    struct warm__snapshot *s = p;
    rc = reserve_place(c, up);
    if (rc) {
        warm__evict_dealloc(c, s, warm__snapshot_bytes(n));
        return rc;
    }
    *s = (struct warm__snapshot){.parent = up, .piece = piece};
    s->n_units = (uint32_t)n;
    if (n) memcpy(s->units, units, n * sizeof *units);
    struct warm__snapshots *set = up->snapshots;
    size_t k, place = place_of(set, units, n, &k);
    memmove(set->at + place + 1, set->at + place, (set->n - place) * sizeof *set->at);
    set->at[place] = s;
    set->n++;
    warm__link_insert(&c->snapshots, &s->order);
    warm__spill_snapshot(c, s);
    c->stats.n_snapshots++;
    warm__piece_own(c, piece);
    *out = s;
    return 0;
}

/* Later requests go on behind the one before it from now on. */
static void supersede(const warm_cache *c, const warm_path *p, const struct warm__snapshot *s) {
    struct warm__snapshot *before = warm__snapshot_before(p, s->piece->start - 1);
    if (before && before->born < c->stats.n_lookups) before->superseded = true;
}

int warm_cache_snapshot_commit(warm_cache *c, const warm_path *p, size_t pos, double prior, warm_snapshot *s, warm_piece_view *v) {
    assert(pos > 0 && pos <= p->n_units);
    const warm_block *b = warm__path_block(p, pos - 1);
    bool at_end = pos == warm__block_end(b) && warm__block_full(b);
    warm_block *up = at_end ? (warm_block *)b : b->parent;
    size_t n = pos - warm__block_end(up);
    struct warm__snapshot *x = NULL;
    int rc = p->block_->dead ? WARM_EAGAIN : 0;
    if (rc) goto out;
    x = warm__snapshot_find(up, b->units, n);
    if (!x || x->n_units != n) {
        s->piece_->start = pos;
        rc = add(c, up, b->units, n, s->piece_, &x);
        if (rc) {
            c->stats.n_refused += rc == WARM_EFULL;
            goto out;
        }
        x->prior = prior;
        x->born = x->last_use = c->stats.n_lookups;
        supersede(c, p, x);
        c->stats.n_saved++;
        c->stats.saved_bytes += s->bytes;
    }
    warm__policy_touch(c, p->block_);
    warm__policy_touch_snapshot(c, x);
    if (v) warm__piece_view(c, x->piece, v);
out:
    warm_piece_unref(c, s->piece_);
    *s = (warm_snapshot){0};
    return rc;
}
