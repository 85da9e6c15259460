/* SPDX-License-Identifier: MIT
 *
 * cache/tree.c - blocks by prefix: descent, ordered children, pins, unlinking.
 *
 * There is no hash index: the tree is descended by comparing units, which have to be compared anyway (keys could only find,
 * units decide). The children of a block are ordered by their units, and none is a prefix of another, so the longest common
 * prefix with a prompt is held by one of the two neighbours of the prompt's place. The binary search carries the common
 * prefixes of its two borders: what lies between them shares the shorter of both, so no unit is compared from the start
 * again, and at its end both neighbours' matches are known. A level costs one search and one comparison; 100k tokens are 391 levels.
 *
 * Invariants
 *  (1) A child's units are no prefix of a sibling's, and its order does not change when a tail grows in place (they differ before).
 *  (2) Only a full block (or a root) has children; a child starts where its parent ends.
 *  (3) A dead block holds one pin on its parent. So a pinned path stays whole, whatever is unlinked above it, and memory is
 *      given back from the leaf upwards as pins go.
 *  (4) n_evictable counts the live blocks without children and without pins, at every moment. */
#include "cache/cache_internal.h"

#include <string.h>

#include "base/min.h"

/* Eight at a time without a branch: the compiler makes vector code of that, and a prompt is a few hundred thousand comparisons. */
size_t warm__tree_common(const warm_unit *a, const warm_unit *b, size_t from, size_t n) {
    size_t i = from;
    for (; i + 8 <= n; i += 8) {
        warm_unit diff = 0;
        for (size_t j = 0; j < 8; j++) diff |= a[i + j] ^ b[i + j];
        if (diff) break;
    }
    while (i < n && a[i] == b[i]) i++;
    return i;
}

const warm_block *warm__tree_child(const warm_block *b, size_t i) {
    return b->children_cap ? b->children.many[i].block : b->children.one;
}

static warm_unit child_first(const warm_block *b, size_t i) {
    return b->children_cap ? b->children.many[i].first : b->children.one->units[0];
}

struct found {
    const warm_block *block; /* the child that agrees longest; NULL: none has even the first unit */
    size_t match;
    size_t place; /* index of the first child that is not less than the units, if no whole child matched */
};

static struct found search(const warm_block *b, const warm_unit *u, size_t n) {
    struct {
        size_t at, match;
        const warm_block *block;
    } lo = {0, 0, NULL}, hi = {b->n_children, 0, NULL};
    while (lo.at < hi.at) {
        size_t mid = lo.at + (hi.at - lo.at) / 2;
        size_t k = warm_min_size(lo.match, hi.match);
        warm_unit first = child_first(b, mid);
        if (k == 0 && first != u[0]) {
            if (first < u[0]) {
                lo.at = mid + 1, lo.match = 0, lo.block = NULL;
            } else {
                hi.at = mid, hi.match = 0, hi.block = NULL;
            }
            continue;
        }
        const warm_block *x = warm__tree_child(b, mid);
        __builtin_prefetch(x->children.one); /* the next level's node comes while this one's units are compared */
        size_t both = warm_min_size(x->n_units, n);
        k = warm__tree_common(x->units, u, k, both);
        if (k == both) return (struct found){x, k, mid};
        if (x->units[k] < u[k]) {
            lo.at = mid + 1, lo.match = k, lo.block = x;
        } else {
            hi.at = mid, hi.match = k, hi.block = x;
        }
    }
    if (lo.match > hi.match) return (struct found){lo.block, lo.match, lo.at};
    return (struct found){hi.block, hi.match, lo.at};
}

void warm__tree_descend(const warm_block **b, size_t *pos, const warm_unit *units, size_t n) {
    while (*pos < n && *pos == warm__block_end(*b) && (*b)->n_children) {
        struct found f = search(*b, units + *pos, n - *pos);
        if (f.match == 0) return;
        *b = f.block;
        *pos += f.match;
    }
}

size_t warm_cache_match(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n) {
    (void)c;
    const warm_block *b = &s->root;
    size_t pos = 0;
    warm__tree_descend(&b, &pos, units, n);
    return pos;
}

static const warm_block *latest_child(const warm_block *b) {
    const warm_block *best = NULL;
    for (size_t i = 0; i < b->n_children; i++) {
        const warm_block *x = warm__tree_child(b, i);
        if (!best || x->tick > best->tick) best = x;
    }
    return best;
}

size_t warm_cache_follow(const warm_cache *c, const warm_scope *s, const warm_unit *units, size_t at, warm_unit *out, size_t max) {
    (void)c;
    const warm_block *b = &s->root;
    size_t pos = 0, n = 0;
    warm__tree_descend(&b, &pos, units, at);
    if (pos < at) return 0;
    while (b && n < max) {
        size_t from = pos - b->start, k = warm_min_size(b->n_units - from, max - n);
        if (k) memcpy(out + n, b->units + from, k * sizeof *out);
        n += k;
        pos += k;
        if (pos == warm__block_end(b)) b = latest_child(b);
    }
    return n;
}

size_t warm_cache_lookup(warm_cache *c, warm_scope *s, const warm_unit *units, size_t n, warm_path *out) {
    const warm_block *b = &s->root;
    size_t pos = 0;
    warm__tree_descend(&b, &pos, units, n);
    *out = (warm_path){(warm_block *)b, pos};
    warm__tree_pin(c, out->block_);
    warm__policy_touch(c, out->block_);
    warm__policy_used(c, out->block_);
    warm__value_asked(c, s, units, n, out->block_);
    c->stats.n_lookups++;
    c->stats.n_units_asked += n;
    c->stats.n_units_matched += pos;
    return pos;
}

size_t warm_cache_advance(warm_cache *c, warm_path *p, const warm_unit *units, size_t n) {
    assert(n >= p->n_units);
    const warm_block *b = p->block_;
    size_t pos = p->n_units;
    if (b->dead) {
        while (b->parent) b = b->parent;
        pos = 0;
    } else if (pos < warm__block_end(b)) {
        size_t within = warm_min_size(warm__block_end(b), n) - b->start;
        pos = b->start + warm__tree_common(b->units, units + b->start, pos - b->start, within);
        if (pos < b->start + within) { /* it left this block: a sibling may agree for longer */
            pos = b->start;
            b = b->parent;
        }
    }
    warm__tree_descend(&b, &pos, units, n);
    if (b != p->block_) {
        warm_block *old = p->block_;
        p->block_ = (warm_block *)b;
        warm__tree_pin(c, p->block_);
        warm__tree_unpin(c, old);
        warm__policy_touch(c, p->block_);
    }
    p->n_units = pos;
    return pos;
}

void warm_cache_root(warm_cache *c, warm_scope *s, warm_path *out) {
    *out = (warm_path){&s->root, 0};
    warm__tree_pin(c, &s->root);
}

void warm_path_clone(warm_cache *c, const warm_path *p, warm_path *out) {
    *out = *p;
    if (p->block_) warm__tree_pin(c, p->block_);
}

void warm_path_release(warm_cache *c, warm_path *p) {
    if (p->block_) warm__tree_unpin(c, p->block_);
    *p = (warm_path){NULL, 0};
}

void warm_path_piece(warm_cache *c, const warm_path *p, size_t pos, warm_piece_view *out) {
    warm__piece_view(c, warm__block_piece(warm__path_block(p, pos), pos), out);
}

void warm_cache_quarantine(warm_cache *c, const warm_path *p, size_t pos) {
    warm_block *b = warm__path_block(p, pos);
    if (b->dead) return;
    c->stats.n_damaged++;
    warm__tree_kill(c, b);
}

/* ---- changes ---- */

static bool evictable(const warm_block *b) {
    return b->parent && !b->dead && warm__block_leaf(b) && b->pins == 0;
}

size_t warm__tree_body_bytes(size_t n_units, size_t n_pieces) {
    return n_units * sizeof(warm_unit) + n_pieces * sizeof(warm_piece *);
}

static void free_block(warm_cache *c, warm_block *b) {
    assert(b->dead && b->pins == 0 && warm__block_leaf(b));
    warm__link_remove(&b->order);
    if (c->next_victim == b) c->next_victim = NULL;
    for (size_t i = 0; i < b->n_pieces; i++) warm__piece_disown(c, b->pieces[i]);
    warm__evict_dealloc(c, b->units, warm__tree_body_bytes(b->n_units, b->n_pieces));
    warm__evict_dealloc(c, b, warm__block_bytes(c));
}

void warm__tree_pin(warm_cache *c, warm_block *b) {
    c->n_evictable -= evictable(b);
    b->pins++;
}

void warm__tree_unpin(warm_cache *c, warm_block *b) {
    for (;;) {
        assert(b->pins > 0);
        b->pins--;
        c->n_evictable += evictable(b);
        if (!b->dead || b->pins) return;
        warm_block *parent = b->parent;
        free_block(c, b);
        b = parent;
    }
}

void warm__tree_repin(warm_cache *c, warm_path *p, size_t pos) {
    assert(pos <= p->n_units);
    warm_block *old = p->block_, *b = old;
    while (b->start >= pos && b->parent) b = b->parent;
    p->n_units = pos;
    p->block_ = b;
    warm__tree_pin(c, b);
    warm__tree_unpin(c, old);
}

int warm__tree_reserve_child(warm_cache *c, warm_block *parent) {
    size_t cap = parent->children_cap;
    if (parent->n_children < (cap ? cap : 1)) return 0;
    size_t more = cap ? cap * 2 : 4;
    void *p;
    int rc = warm__evict_alloc(c, more * sizeof(struct warm__child), &p);
    if (rc) return rc;
    /* making room may have evicted siblings and changed the array under us */
    struct warm__child *many = p;
    for (size_t i = 0; i < parent->n_children; i++) {
        many[i] = (struct warm__child){child_first(parent, i), (warm_block *)warm__tree_child(parent, i)};
    }
    if (parent->children_cap) {
        warm__evict_dealloc(c, parent->children.many, parent->children_cap * sizeof(struct warm__child));
    }
    parent->children.many = many;
    parent->children_cap = (uint32_t)more;
    return 0;
}

static void move_to(warm_cache *c, struct warm__link *next, warm_block *b) {
    warm__policy_leave(c, b);
    warm__link_remove(&b->order);
    warm__link_insert(next, &b->order);
}

void warm__tree_unleaf(warm_cache *c, warm_block *b) {
    c->n_evictable -= evictable(b);
    if (b->parent && warm__block_leaf(b)) move_to(c, &c->inner, b);
}

void warm__tree_leaf(warm_cache *c, warm_block *b) {
    if (warm__block_leaf(b) && b->parent && !b->dead) move_to(c, c->leaves.next, b);
    c->n_evictable += evictable(b);
}

const warm_block *warm__tree_with(const warm_block *b, const warm_unit *units, size_t n) {
    struct found f = b->n_children ? search(b, units, n) : (struct found){NULL, 0, 0};
    return f.match == n ? f.block : NULL;
}

bool warm__tree_covers(const warm_block *b, const warm_unit *units, size_t n) {
    return n == 0 || warm__tree_with(b, units, n);
}

size_t warm__tree_shared_units(const warm_block *b) {
    const warm_block *up = b->parent;
    size_t most = 0, place = up->children_cap ? search(up, b->units, b->n_units).place : 0;
    for (size_t i = place ? place - 1 : 1; i <= place + 1 && i < up->n_children; i += 2) {
        const warm_block *x = warm__tree_child(up, i);
        size_t k = warm__tree_common(x->units, b->units, 0, warm_min_size(x->n_units, b->n_units));
        if (k > most) most = k;
    }
    return most;
}

void warm__tree_link(warm_cache *c, warm_block *b) {
    warm_block *up = b->parent;
    assert(!up->dead && warm__block_full(up) && b->start == warm__block_end(up));
    warm__tree_unleaf(c, up);
    if (up->children_cap == 0) {
        assert(up->n_children == 0);
        up->children.one = b;
    } else {
        struct found f = search(up, b->units, b->n_units);
        assert(f.match < b->n_units && (!f.block || f.match < f.block->n_units));
        memmove(up->children.many + f.place + 1, up->children.many + f.place,
                (up->n_children - f.place) * sizeof(struct warm__child));
        up->children.many[f.place] = (struct warm__child){b->units[0], b};
    }
    up->n_children++;
    warm__link_insert(&c->leaves, &b->order);
    c->n_evictable += evictable(b);
    b->n_uses = 1;
    b->credit = c->inflation + 1;
    warm__value_label(c, b);
    c->stats.n_blocks++;
    c->stats.n_units += b->n_units;
    warm__spill_changed(c, b);
}

static void remove_child(warm_cache *c, warm_block *up, size_t i) {
    up->n_children--;
    if (up->children_cap) {
        struct warm__child *many = up->children.many;
        memmove(many + i, many + i + 1, (up->n_children - i) * sizeof *many);
        size_t bytes = up->children_cap * sizeof *many;
        if (up->n_children <= 1) {
            warm_block *one = up->n_children ? many[0].block : NULL;
            warm__evict_dealloc(c, many, bytes);
            up->children.one = one;
            up->children_cap = 0;
        } else if (up->n_children <= up->children_cap / 4) {
            void *p = many;
            if (warm__evict_shrink(c, &p, bytes, bytes / 2)) {
                up->children.many = p;
                up->children_cap /= 2;
            }
        }
    }
    warm__tree_leaf(c, up);
}

/* Takes child i of up out of the tree. Its own children are still its own. It comes back pinned. */
static warm_block *bury(warm_cache *c, warm_block *up, size_t i) {
    warm_block *b = (warm_block *)warm__tree_child(up, i);
    warm__tree_pin(c, b);
    warm__snapshot_lose_block(c, b);
    warm__spill_lost(c, b);
    b->dead = true;
    move_to(c, &c->dead, b);
    c->stats.n_blocks--;
    c->stats.n_units -= b->n_units;
    remove_child(c, up, i);
    warm__policy_lost_child(up, b);
    warm__tree_pin(c, up);
    return b;
}

void warm__tree_kill(warm_cache *c, warm_block *top) {
    warm_block *up = top->parent;
    size_t place = up->children_cap ? search(up, top->units, top->n_units).place : 0;
    warm_block *b = bury(c, up, place);
    assert(b == top);
    /* depth first without a stack: a subtree can be thousands of blocks deep; the pin of bury keeps what is still walked over */
    for (;;) {
        while (b->n_children) b = bury(c, b, b->n_children - 1);
        bool done = b == top;
        up = b->parent;
        warm__tree_unpin(c, b);
        if (done) return;
        b = up;
    }
}
