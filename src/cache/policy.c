/* SPDX-License-Identifier: MIT
 *
 * cache/policy.c - who is used, and who goes first: least recently used, leaves first.
 *
 * Only leaves can go, so only they are listed, coldest first. A use marks the one block it ended in; what stands above is kept by
 * having children, and takes over the stamp of each child it loses. So using a path costs the same however long it is,
 * and a block is as recent as the latest use that went through it by the time that counts: when it has become a leaf.
 * It then joins the cold end, where its last child was, and moves to its place when it is about to be the victim. A pin is a
 * use that lasts: a pinned leaf found at the cold end goes to the warm end, so that it is stepped over once, not at each eviction.
 * Not here: how a victim is taken out (tree.c), when there has to be one (evict.c). */
#include "cache/cache_internal.h"

/* How far a leaf is moved towards its place at once. It goes on from there when it is met again, so an eviction never
 * costs a walk over the whole list. */
#define SETTLE_STEPS 64

static warm_block *block_at(struct warm__link *l) {
    return WARM__OF(warm_block, order, l);
}

static void warm_up(warm_cache *c, warm_block *b) {
    assert(!b->dead);
    b->tick = ++c->tick;
    if (b->n_children == 0 && b->parent) {
        warm__link_remove(&b->order);
        warm__link_insert(&c->leaves, &b->order);
    }
}

void warm__policy_touch(warm_cache *c, warm_block *b) {
    warm_up(c, b);
    b->last_use_ns = c->now_ns ? c->now_ns(c->clock_ud) : c->tick;
}

void warm__policy_lost_child(warm_block *b, const warm_block *child) {
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
    warm__link_remove(&b->order);
    warm__link_insert(next, &b->order);
    return true;
}

warm_block *warm__policy_victim(warm_cache *c) {
    if (c->n_evictable == 0) return NULL;
    for (;;) {
        warm_block *coldest = block_at(c->leaves.next);
        if (coldest->pins) {
            warm_up(c, coldest);
        } else if (!settle(c, coldest)) {
            return coldest;
        }
    }
}
