/* SPDX-License-Identifier: MIT
 *
 * cache/policy.c - who is used, and who goes first: least recently used, leaves first.
 *
 * One list holds every live block, coldest first. A use touches the whole path, leaf before root, so a block is always colder
 * than its ancestors and the cold end is a leaf without looking for one. A pin is a use that lasts: a pinned leaf found at the
 * cold end goes to the warm end with its path, so that it is stepped over once, not at each eviction.
 * Not here: how a victim is taken out (tree.c), when there has to be one (evict.c). */
#include "cache/cache_internal.h"

static void warm_up(warm_cache *c, warm_block *b) {
    assert(!b->dead);
    for (; b->parent; b = b->parent) {
        warm__link_remove(&b->order);
        warm__link_append(&c->lru, &b->order);
        b->tick = ++c->tick;
    }
}

void warm__policy_touch(warm_cache *c, warm_block *b) {
    warm_up(c, b);
    uint64_t now = c->now_ns ? c->now_ns(c->clock_ud) : c->tick;
    for (; b->parent; b = b->parent) b->last_use_ns = now;
}

warm_block *warm__policy_victim(warm_cache *c) {
    if (c->n_evictable == 0) return NULL;
    for (;;) {
        warm_block *coldest = WARM__OF(warm_block, order, c->lru.next);
        assert(coldest->n_children == 0);
        if (coldest->pins == 0) return coldest;
        warm_up(c, coldest);
    }
}
