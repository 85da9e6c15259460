/* SPDX-License-Identifier: MIT
 *
 * cache/policy.c - who is used, and who goes first.
 *
 * The rule, in warm__policy_victim: window rows without a mark first, oldest first; then whatever was used least recently of the coldest
 * leaf and the coldest marked window rows. Nothing that somebody holds goes. Where a policy has a score for blocks, and without windows, the
 * leaf that scores lowest goes instead: of all where there are few, else of the coldest, the warmest and some between. Under `value` that holds
 * as long as the scores have shown to be better than last use (value.c), and what scores lower than all of them is refused.
 * Where snapshots are needed: leaves that no snapshot needs, coldest first, because nobody can be taken up behind them; then the snapshot that is
 * worth least for its bytes, and its blocks after it. Least recently used is no rule for these: a snapshot is much, so soon the
 * conversations that take turns do not all fit, and then each would be evicted just before its turn. Its worth is what it saves,
 * times how often that was asked for, and less the longer it was not; the form and the figures were found by simulation
 * (bench/snapshots.js). The SAMPLE least recently used ones are compared, so that an eviction's cost is bounded.
 *
 * Of blocks only leaves can go, so only they are listed, coldest first. A use marks the one block it ended in; what stands above is
 * kept by having children, and takes over the stamp of each child it loses. So using a path costs the same however long it is,
 * and a block is as recent as the latest use that went through it by the time that counts: when it has become a leaf.
 * It then joins the cold end, where its last child was, and moves to its place when it is about to be the victim. A pin is a
 * use that lasts: a pinned leaf found at the cold end goes to the warm end, so that it is stepped over once, not at each eviction;
 * so do held rows and snapshots. A leaf is also at least as recent as the snapshots that would go with it, which may have been used
 * through another block that is gone.
 * Not here: how a victim is taken out (tree.c, snapshot.c, piece.c), when there has to be one (evict.c). */
#include "cache/cache_internal.h"

#include <math.h>
#include <string.h>

/* How far a leaf is moved towards its place at once. It goes on from there when it is met again, so an eviction never
 * costs a walk over the whole list. */
#define SETTLE_STEPS 64
#define SAMPLE       64u
#define SUPERSEDED   4
#define MOST_USES    8 /* frequency without a limit is known to keep what was once hot for ever */

/* Units for a byte. */
static double saves(const struct warm__snapshot *s) {
    return (double)warm__snapshot_gain(s) / (double)s->piece->extent.held_bytes;
}

static warm_block *block_at(struct warm__link *l) {
    return WARM__OF(warm_block, order, l);
}

void warm__policy_leave(warm_cache *c, const warm_block *b) {
    if (c->hand == &b->order) c->hand = b->order.next;
}

static void warm_up(warm_cache *c, warm_block *b) {
    assert(!b->dead);
    b->tick = ++c->tick;
    if (warm__block_leaf(b) && b->parent) {
        warm__policy_leave(c, b);
        warm__link_remove(&b->order);
        warm__link_insert(&c->leaves, &b->order);
    }
}

void warm__policy_touch(warm_cache *c, warm_block *b) {
    warm_up(c, b);
    b->last_use_ns = c->now_ns ? c->now_ns(c->clock_ud) : c->tick;
}

void warm__policy_used(warm_cache *c, warm_block *b) {
    if (b->n_uses < MOST_USES) b->n_uses++;
    b->credit = c->inflation + b->n_uses;
}

void warm__policy_touch_snapshot(warm_cache *c, struct warm__snapshot *s) {
    s->tick = c->tick;
    s->inflation = c->inflation;
    warm__link_remove(&s->order);
    warm__link_insert(&c->snapshots, &s->order);
}

void warm__policy_lost_child(warm_block *b, const warm_block *child) {
    if (child->credit > b->credit) b->credit = child->credit;
    if (child->tick <= b->tick) return;
    b->tick = child->tick;
    b->last_use_ns = child->last_use_ns;
}

/* Moves a leaf past some that were used before it; false: there are none. */
static bool settle(warm_cache *c, warm_block *b) {
    struct warm__link *next = b->order.next;
    int steps = 0;
    for (; steps < SETTLE_STEPS && next != &c->leaves && block_at(next)->tick < b->tick; steps++) next = next->next;
    if (steps == 0) return false;
    warm__policy_leave(c, b);
    warm__link_remove(&b->order);
    warm__link_insert(next, &b->order);
    return true;
}

static warm_block *coldest_leaf(warm_cache *c) {
    if (c->n_evictable == 0) return NULL;
    for (;;) {
        warm_block *b = block_at(c->leaves.next);
        if (b->pins) {
            warm_up(c, b);
            continue;
        }
        uint64_t needed = warm__snapshot_needs(b);
        if (needed > b->tick) b->tick = needed;
        if (!settle(c, b)) return b;
    }
}

static bool can_go(const warm_block *b) {
    return warm__block_leaf(b) && !b->pins && !b->dead;
}

struct lowest {
    warm_block *block;
    double score;
};

static void compare(const warm_cache *c, warm_block *b, struct lowest *l) {
    if (b->pins) return;
    double x = c->policy->block(c, b);
    if (l->block && (x > l->score || (x == l->score && b->tick >= l->block->tick))) return;
    *l = (struct lowest){b, x};
}

/* Of the coldest, of the warmest, and of some between that are others each time; of all where there are few. */
static struct lowest search_leaves(warm_cache *c) {
    struct lowest l = {NULL, 0};
    struct warm__link *at = c->leaves.next;
    for (unsigned n = 0; n < SAMPLE && at != &c->leaves; n++, at = at->next) compare(c, block_at(at), &l);
    if (at == &c->leaves) return l;
    at = c->leaves.prev;
    for (unsigned n = 0; n < SAMPLE && at != &c->leaves; n++, at = at->prev) compare(c, block_at(at), &l);
    at = c->hand ? c->hand : at;
    for (unsigned n = 0; n < SAMPLE; n++, at = at->next) {
        if (at != &c->leaves) compare(c, block_at(at), &l);
    }
    c->hand = at;
    return l;
}

static bool is_no_better(const warm_cache *c, const warm_block *b, double score) {
    double x = c->policy->block(c, b);
    return x >= 0 && x <= score;
}

static warm_block *lowest_leaf(warm_cache *c) {
    if (c->n_evictable == 0) return NULL;
    struct lowest l = {c->next_victim, 0};
    bool again = l.block && can_go(l.block) && c->next_lookup == c->stats.n_lookups;
    if (again) l.score = c->policy->block(c, l.block);
    if (!again || l.score > c->next_score) l = search_leaves(c);
    if (!l.block) return coldest_leaf(c);
    bool refuse = c->policy->learns && c->newcomer && is_no_better(c, c->newcomer, l.score);
    /* What stands above it is often as old and of the same kind: then it is next, without another search. */
    warm_block *up = l.block->parent->parent ? l.block->parent : NULL;
    c->next_victim = refuse ? l.block : up;
    c->next_score = l.score;
    c->next_lookup = c->stats.n_lookups;
    if (refuse) return NULL;
    if (l.score > c->inflation) c->inflation = l.score;
    return l.block;
}

static bool goes_by_score(const warm_cache *c) {
    return c->policy->block && (!c->policy->learns || warm__value_trusted(c));
}

static warm_piece *coldest_window(warm_cache *c, bool marked) {
    if (c->n_spare_windows[marked] == 0) return NULL;
    for (;;) {
        warm_piece *x = WARM__OF(warm_piece, window[0].order, c->windows[marked].next);
        if (!x->holders) return x;
        c->tick++;
        warm__piece_use_window(c, x, marked);
    }
}

static struct warm__snapshot *coldest_snapshot(warm_cache *c) {
    if (c->n_spare_snapshots == 0) return NULL;
    struct warm__link *l = c->snapshots.next;
    while (WARM__OF(struct warm__snapshot, order, l)->piece->holders) l = l->next;
    return WARM__OF(struct warm__snapshot, order, l);
}

static struct warm__snapshot *lowest_snapshot(warm_cache *c) {
    struct warm__snapshot *lowest = NULL;
    double least = 0;
    if (c->n_spare_snapshots == 0) return NULL;
    unsigned n = 0;
    for (struct warm__link *l = c->snapshots.next, *next; l != &c->snapshots && n < SAMPLE; l = next) {
        next = l->next;
        struct warm__snapshot *s = WARM__OF(struct warm__snapshot, order, l);
        if (s->piece->holders) continue;
        n++;
        double x = c->policy->snapshot(c, s);
        if (!lowest || x < least) lowest = s, least = x;
    }
    if (lowest && least > c->inflation) c->inflation = least;
    return lowest;
}

/* The coldest leaf that nobody can be taken up behind. One that is needed, or pinned, goes to the warm end, so that it is stepped over once. */
static warm_block *useless_leaf(warm_cache *c) {
    for (unsigned n = 0; n < SAMPLE && c->leaves.next != &c->leaves; n++) {
        warm_block *b = block_at(c->leaves.next);
        if (!b->pins && !warm__snapshot_needs(b)) return b;
        warm__link_remove(&b->order);
        warm__link_insert(&c->leaves, &b->order);
    }
    return NULL;
}

struct warm__victim warm__policy_victim(warm_cache *c) {
    if (c->has_snapshots) {
        warm_block *leaf = c->n_evictable ? useless_leaf(c) : NULL;
        if (leaf) return (struct warm__victim){.block = leaf};
        struct warm__snapshot *s = c->policy->snapshot ? lowest_snapshot(c) : coldest_snapshot(c);
        if (s) return (struct warm__victim){.snapshot = s};
        return (struct warm__victim){.block = coldest_leaf(c)};
    }
    warm_piece *window = coldest_window(c, false);
    if (window) return (struct warm__victim){.window = window};
    window = coldest_window(c, true);
    if (!c->window && goes_by_score(c)) return (struct warm__victim){.block = lowest_leaf(c)};
    warm_block *block = coldest_leaf(c);
    if (!window || (block && block->tick < window->window->tick)) return (struct warm__victim){.block = block};
    return (struct warm__victim){.window = window};
}

/* ---- the policies ---- */

static double block_credit(const warm_cache *c, const warm_block *b) {
    (void)c;
    return b->credit;
}

static double snapshot_credit(const warm_cache *c, const struct warm__snapshot *s) {
    (void)c;
    return s->inflation + fmin(s->prior + s->hits, MOST_USES) * saves(s);
}

static double snapshot_worth(const warm_cache *c, const struct warm__snapshot *s) {
    double age = (double)(c->stats.n_lookups - s->last_use + 1), w = saves(s) * (s->prior + s->hits) / age;
    return s->superseded && s->hits <= 1 ? w / SUPERSEDED : w;
}

static const warm_policy policies[] = {
    {"value", true, warm__value_score, snapshot_worth},
    {"lru", false, NULL, NULL},
    {"gdsf", false, block_credit, snapshot_credit},
};
enum { N_POLICIES = sizeof policies / sizeof *policies };

const warm_policy *warm_policy_by_name(const char *name) {
    for (size_t i = 0; i < N_POLICIES; i++) {
        if (strcmp(policies[i].name, name) == 0) return &policies[i];
    }
    return NULL;
}

const char *const *warm_policy_names(void) {
    static const char *const names[N_POLICIES + 1] = {"value", "lru", "gdsf"};
    return names;
}
