/* SPDX-License-Identifier: MIT
 *
 * cache/value.c - between the tree and the shadow: prompts go there as fingerprints, and blocks know their entries.
 *
 * A block's fingerprint is of its first KEY_UNITS units, so that a tail keeps its entry while it grows, and a prompt of 100k tokens costs a few
 * thousand multiplications. Blocks that differ later share an entry; their children do not.
 * A block whose units are too few has its parent's entry. So has one that came without having been asked for (from a slot's file).
 *
 * The shadow's memory is part of the index, at most 1/SHARE of the limit. It is made when the cache begins to fill and doubles until it has
 * DEPTH entries for each block the cache can hold: what is to be learned is when those come back that were evicted.
 * Where it does not fit there is none, and the least recently used goes first.
 * Not here: what is learned (odds.c), what would have been kept (shadow.c), who goes (policy.c). */
#include "cache/cache_internal.h"

#include <string.h>

#include "base/min.h"

enum { KEY_UNITS = 16, SHARE = 64, DEPTH = 8, FEWEST = 1024, MOST = 1 << 22 };

static uint32_t key_of(const warm_unit *units, uint64_t salt) {
    uint64_t h = salt;
    for (size_t i = 0; i < KEY_UNITS; i++) h = (h ^ units[i]) * 0x9e3779b97f4a7c15u, h ^= h >> 29;
    return (uint32_t)(h >> 32);
}

/* The first blocks of different scopes are different ones. */
static uint64_t salt_of(const warm_block *parent) {
    uint64_t salt = 0;
    if (!parent->parent) memcpy(&salt, WARM__OF(warm_scope, root, parent)->fingerprint, sizeof(salt));
    return salt;
}

/* ---- memory ---- */

static bool shadow_fits(const warm_cache *c, uint32_t n) {
    return n <= MOST && warm__shadow_bytes(n) <= c->budget->limit_bytes / SHARE;
}

static size_t capacity(const warm_cache *c) {
    if (!c->stats.n_evicted || !c->stats.n_units) return SIZE_MAX;
    double unit_bytes = (double)c->budget->used_bytes / (double)c->stats.n_units;
    return (size_t)((double)c->budget->limit_bytes / unit_bytes / WARM_BLOCK_UNITS) + 1;
}

static void make_shadow(warm_cache *c) {
    void *memory;
    if (c->budget->used_bytes < c->budget->limit_bytes / 2 || !shadow_fits(c, FEWEST)) return;
    if (warm__evict_alloc(c, warm__shadow_bytes(FEWEST), &memory)) return;
    c->shadow = warm__shadow_init(memory, FEWEST, c->shadow_serial);
    c->n_shadow = FEWEST;
}

static void grow_shadow(warm_cache *c) {
    uint32_t n = c->n_shadow;
    void *memory;
    if (!warm__shadow_full(c->shadow) || n / DEPTH >= capacity(c) || !shadow_fits(c, n * 2)) return;
    if (warm__evict_alloc(c, warm__shadow_bytes(n * 2), &memory)) return;
    warm__shadow *bigger = warm__shadow_move(c->shadow, memory, n * 2);
    warm__evict_dealloc(c, c->shadow, warm__shadow_bytes(n));
    c->shadow = bigger;
    c->n_shadow = n * 2;
}

void warm__value_forget(warm_cache *c) {
    if (!c->shadow) return;
    c->shadow_serial = warm__shadow_serial(c->shadow);
    warm__evict_dealloc(c, c->shadow, warm__shadow_bytes(c->n_shadow));
    c->shadow = NULL;
}

void warm__value_set_limit(warm_cache *c, size_t limit_bytes) {
    if (c->shadow && warm__shadow_bytes(c->n_shadow) > limit_bytes / SHARE) warm__value_forget(c);
}

/* ---- blocks and entries ---- */

static void set_entry(warm_cache *c, warm_block *b, uint32_t entry) {
    b->entry = entry;
    b->entry_born = warm__shadow_born(c->shadow, entry);
}

static bool has_entry(const warm_cache *c, const warm_block *b) {
    return b->entry && b->entry_born == warm__shadow_born(c->shadow, b->entry);
}

void warm__value_label(warm_cache *c, warm_block *b) {
    if (!c->shadow) return;
    const warm_block *up = b->parent;
    uint32_t above = has_entry(c, up) ? up->entry : 0, entry = 0;
    if (b->n_units >= KEY_UNITS && (above || !up->parent))
        entry = warm__shadow_child(c->shadow, above, key_of(b->units, salt_of(up)));
    set_entry(c, b, entry ? entry : above);
}

void warm__value_asked(warm_cache *c, const warm_scope *s, const warm_unit *units, size_t n, warm_block *end) {
    if (!c->policy->learns || c->window || c->has_snapshots || n < KEY_UNITS) return;
    if (c->shadow) {
        grow_shadow(c);
    } else {
        make_shadow(c);
    }
    if (!c->shadow) return;
    size_t n_keys = warm_min_size((n - KEY_UNITS) / WARM_BLOCK_UNITS + 1, c->n_shadow);
    uint32_t *keys = warm__shadow_keys(c->shadow);
    for (size_t i = 0; i < n_keys; i++) keys[i] = key_of(units + i * WARM_BLOCK_UNITS, i ? 0 : salt_of(&s->root));
    if (!warm__shadow_ask(c->shadow, n_keys, capacity(c))) return;
    for (warm_block *b = end; b->parent; b = b->parent)
        set_entry(c, b, warm__shadow_on_path(c->shadow, b->start / WARM_BLOCK_UNITS));
}

bool warm__value_trusted(const warm_cache *c) {
    return c->shadow && warm__shadow_trusts_scores(c->shadow);
}

double warm__value_score(const warm_cache *c, const warm_block *b) {
    return has_entry(c, b) ? warm__shadow_score(c->shadow, b->entry) : -1;
}
