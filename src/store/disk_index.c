/* SPDX-License-Identifier: MIT
 *
 * store/disk_index.c - see disk_index.h. */
#undef NDEBUG /* an index that is wrong must stop, not answer */
#include "store/disk_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { CHUNK = 256, TABLE_MIN = 64, NOWHERE = -1 };
#define NONE UINT32_MAX

/* ---- memory ---- */

/* malloc's header and step. */
static size_t cost(size_t n) {
    return n ? (n + sizeof(size_t) + 15) / 16 * 16 : 0;
}

static int take(warm_disk_index *x, size_t n, void **out) {
    int rc = warm_budget_take(x->budget, cost(n));
    if (rc) return rc;
    *out = warm_calloc(n, 1);
    if (!*out) {
        warm_budget_give(x->budget, cost(n));
        return WARM_ENOMEM;
    }
    x->held_bytes += cost(n);
    return 0;
}

static void give(warm_disk_index *x, void *p, size_t n) {
    if (!p) return;
    free(p);
    warm_budget_give(x->budget, cost(n));
    x->held_bytes -= cost(n);
}

/* A list of cap elements that gets twice as many. */
static int grow_list(warm_disk_index *x, void **list, uint32_t *cap, size_t size) {
    uint32_t more = *cap ? *cap * 2 : CHUNK;
    void *p;
    int rc = take(x, more * size, &p);
    if (rc) return rc;
    if (*list) memcpy(p, *list, *cap * size);
    give(x, *list, *cap * size);
    *list = p;
    *cap = more;
    return 0;
}

void warm__index_init(warm_disk_index *x, warm_budget *budget) {
    *x = (warm_disk_index){.budget = budget, .free_ = NONE};
}

void warm__index_deinit(warm_disk_index *x) {
    for (uint32_t i = 0; i < x->n_chunks; i++) give(x, x->chunks[i], CHUNK * sizeof(warm_disk_entry));
    give(x, (void *)x->chunks, x->chunks_cap * sizeof *x->chunks);
    give(x, x->heap, x->heap_cap * sizeof *x->heap);
    give(x, x->by_key.slots, x->by_key.cap * sizeof(struct warm__slot));
    give(x, x->by_parent.slots, x->by_parent.cap * sizeof(struct warm__slot));
    assert(x->held_bytes == 0);
    *x = (warm_disk_index){0};
}

static warm_disk_entry *entry(const warm_disk_index *x, uint32_t n) {
    return &x->chunks[n / CHUNK][n % CHUNK];
}

/* ---- tables ---- */

/* Keys are uniform already. */
static uint32_t hash_of(const uint8_t *key, unsigned salt) {
    uint32_t h;
    memcpy(&h, key, sizeof h);
    return h ^ salt * 0x9e3779b9u;
}

static uint32_t key_hash(unsigned kind, bool bad, const uint8_t *key) {
    return hash_of(key, kind + (bad ? WARM_DISK_KINDS : 0u));
}

static int table_reserve(warm_disk_index *x, struct warm__table *t) {
    if (t->n + 1 <= t->cap / 4 * 3) return 0;
    struct warm__table more = {.n = t->n, .cap = t->cap ? t->cap * 2 : TABLE_MIN};
    void *p;
    int rc = take(x, more.cap * sizeof *more.slots, &p);
    if (rc) return rc;
    more.slots = p;
    for (uint32_t i = 0; i < t->cap; i++) {
        if (!t->slots[i].entry) continue;
        uint32_t at = t->slots[i].hash & (more.cap - 1);
        while (more.slots[at].entry) at = (at + 1) & (more.cap - 1);
        more.slots[at] = t->slots[i];
    }
    give(x, t->slots, t->cap * sizeof *t->slots);
    *t = more;
    return 0;
}

static void table_put(struct warm__table *t, uint32_t hash, uint32_t n) {
    uint32_t at = hash & (t->cap - 1);
    while (t->slots[at].entry) at = (at + 1) & (t->cap - 1);
    t->slots[at] = (struct warm__slot){hash, n + 1};
    t->n++;
}

/* Moves what was pushed on by the slot that becomes free. */
static void table_erase(struct warm__table *t, uint32_t at) {
    uint32_t mask = t->cap - 1;
    for (uint32_t i = (at + 1) & mask; t->slots[i].entry; i = (i + 1) & mask) {
        uint32_t home = t->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - at) & mask)) continue;
        t->slots[at] = t->slots[i];
        at = i;
    }
    t->slots[at] = (struct warm__slot){0};
    t->n--;
}

static int64_t find_key(const warm_disk_index *x, unsigned kind, bool bad, const uint8_t *key) {
    const struct warm__table *t = &x->by_key;
    uint32_t hash = key_hash(kind, bad, key);
    for (uint32_t i = hash; t->cap && t->slots[i & (t->cap - 1)].entry; i++) {
        const struct warm__slot *s = &t->slots[i & (t->cap - 1)];
        if (s->hash != hash) continue;
        const warm_disk_entry *e = entry(x, s->entry - 1);
        if (e->kind == kind && (e->state == WARM_DISK_BAD) == bad && memcmp(e->key, key, sizeof e->key) == 0)
            return i & (t->cap - 1);
    }
    return NOWHERE;
}

static int64_t find_parent(const warm_disk_index *x, const uint8_t *parent) {
    const struct warm__table *t = &x->by_parent;
    uint32_t hash = hash_of(parent, 0);
    for (uint32_t i = hash; t->cap && t->slots[i & (t->cap - 1)].entry; i++) {
        const struct warm__slot *s = &t->slots[i & (t->cap - 1)];
        if (s->hash == hash && memcmp(entry(x, s->entry - 1)->parent, parent, WARM_DISK_KEY_BYTES) == 0) return i & (t->cap - 1);
    }
    return NOWHERE;
}

warm_disk_entry *warm__index_find(const warm_disk_index *x, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]) {
    int64_t at = find_key(x, kind, false, key);
    return at < 0 ? NULL : entry(x, x->by_key.slots[at].entry - 1);
}

warm_disk_entry *warm__index_find_bad(const warm_disk_index *x, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]) {
    int64_t at = find_key(x, kind, true, key);
    return at < 0 ? NULL : entry(x, x->by_key.slots[at].entry - 1);
}

warm_disk_entry *warm__index_children(const warm_disk_index *x, const uint8_t parent[WARM_DISK_KEY_BYTES]) {
    int64_t at = find_parent(x, parent);
    return at < 0 ? NULL : entry(x, x->by_parent.slots[at].entry - 1);
}

warm_disk_entry *warm__index_sibling(const warm_disk_index *x, const warm_disk_entry *e) {
    return e->next_ == NONE ? NULL : entry(x, e->next_);
}

warm_disk_entry *warm__index_at(const warm_disk_index *x, uint32_t n) {
    warm_disk_entry *e = entry(x, n);
    return e->kind ? e : NULL;
}

/* ---- the heap ---- */

static void heap_set(warm_disk_index *x, uint32_t at, uint32_t n) {
    x->heap[at] = n;
    entry(x, n)->heap_ = at;
}

static void heap_move(warm_disk_index *x, uint32_t at) {
    uint32_t n = x->heap[at];
    double rank = entry(x, n)->rank;
    while (at && entry(x, x->heap[(at - 1) / 2])->rank > rank) {
        heap_set(x, at, x->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    for (;;) {
        uint32_t below = 2 * at + 1;
        if (below >= x->n_heap) break;
        if (below + 1 < x->n_heap && entry(x, x->heap[below + 1])->rank < entry(x, x->heap[below])->rank) below++;
        if (entry(x, x->heap[below])->rank >= rank) break;
        heap_set(x, at, x->heap[below]);
        at = below;
    }
    heap_set(x, at, n);
}

static bool linked(const warm_disk_entry *e) {
    return e->state == WARM_DISK_LIVE || e->state == WARM_DISK_WRITING;
}

static bool evictable(const warm_disk_index *x, const warm_disk_entry *e) {
    if (e->pins || e->state == WARM_DISK_WRITING || e->state == WARM_DISK_NEWER) return false;
    if (e->kind != WARM_DISK_CELLS || e->state == WARM_DISK_BAD) return true;
    const warm_disk_entry *rows = warm__index_find(x, WARM_DISK_ROWS, e->key);
    return find_parent(x, e->key) < 0 && !(rows && linked(rows));
}

/* The heap has room for every entry, so this can't fail. */
static void heap_update(warm_disk_index *x, warm_disk_entry *e) {
    bool in = e->heap_ != NONE;
    if (evictable(x, e) == in) return;
    if (!in) {
        heap_set(x, x->n_heap++, e->self_);
        heap_move(x, e->heap_);
        return;
    }
    uint32_t at = e->heap_, last = x->heap[--x->n_heap];
    e->heap_ = NONE;
    if (at == x->n_heap) return;
    heap_set(x, at, last);
    heap_move(x, at);
}

/* What is evictable or not because of e. */
static void update_needed(warm_disk_index *x, const warm_disk_entry *e) {
    warm_disk_entry *up = warm__index_find(x, WARM_DISK_CELLS, e->parent);
    if (up) heap_update(x, up);
    warm_disk_entry *cells = e->kind == WARM_DISK_ROWS ? warm__index_find(x, WARM_DISK_CELLS, e->key) : NULL;
    if (cells) heap_update(x, cells);
}

warm_disk_entry *warm__index_victim(const warm_disk_index *x) {
    return x->n_heap ? entry(x, x->heap[0]) : NULL;
}

/* ---- coming and going ---- */

static int reserve(warm_disk_index *x) {
    int rc = table_reserve(x, &x->by_key);
    if (!rc) rc = table_reserve(x, &x->by_parent);
    if (!rc && x->n_entries == x->heap_cap) rc = grow_list(x, (void **)&x->heap, &x->heap_cap, sizeof *x->heap);
    if (rc || x->free_ != NONE || x->n_made < x->n_chunks * CHUNK) return rc;
    if (x->n_chunks == x->chunks_cap) rc = grow_list(x, (void **)&x->chunks, &x->chunks_cap, sizeof *x->chunks);
    void *p = NULL;
    if (!rc) rc = take(x, CHUNK * sizeof(warm_disk_entry), &p);
    if (!rc) x->chunks[x->n_chunks++] = p;
    return rc;
}

static void link_child(warm_disk_index *x, warm_disk_entry *e) {
    int64_t at = find_parent(x, e->parent);
    e->prev_ = e->next_ = NONE;
    if (at < 0) {
        table_put(&x->by_parent, hash_of(e->parent, 0), e->self_);
        return;
    }
    struct warm__slot *s = &x->by_parent.slots[at];
    e->next_ = s->entry - 1;
    entry(x, e->next_)->prev_ = e->self_;
    s->entry = e->self_ + 1;
}

static void unlink_child(warm_disk_index *x, warm_disk_entry *e) {
    if (e->next_ != NONE) entry(x, e->next_)->prev_ = e->prev_;
    if (e->prev_ != NONE) {
        entry(x, e->prev_)->next_ = e->next_;
    } else {
        int64_t at = find_parent(x, e->parent);
        assert(at >= 0);
        if (e->next_ == NONE)
            table_erase(&x->by_parent, (uint32_t)at);
        else
            x->by_parent.slots[at].entry = e->next_ + 1;
    }
    e->next_ = e->prev_ = NONE;
}

int warm__index_add(warm_disk_index *x, const warm_disk_head *head, enum warm_disk_state state, uint64_t held_bytes, double rank,
                    warm_disk_entry **out) {
    bool bad = state == WARM_DISK_BAD;
    assert(find_key(x, head->kind, bad, head->key) < 0);
    int rc = reserve(x);
    if (rc) return rc;
    uint32_t n = x->free_;
    if (n == NONE)
        n = x->n_made++;
    else
        x->free_ = entry(x, n)->next_;
    warm_disk_entry *e = entry(x, n);
    *e = (warm_disk_entry){.rank = bad ? -1 / (x->first_rank += 1) : rank,
                           .held_bytes = held_bytes,
                           .kind = (uint8_t)head->kind,
                           .state = (uint8_t)state,
                           .self_ = n,
                           .heap_ = NONE,
                           .next_ = NONE,
                           .prev_ = NONE};
    memcpy(e->key, head->key, sizeof e->key);
    table_put(&x->by_key, key_hash(e->kind, bad, e->key), n);
    x->n_entries++;
    if (linked(e)) {
        memcpy(e->parent, head->parent, sizeof e->parent);
        memcpy(e->sketch, head->sketch, sizeof e->sketch);
        e->parent_at = head->parent_at;
        e->n_last = (uint32_t)warm_disk_last_units(head);
        link_child(x, e);
        update_needed(x, e);
    }
    heap_update(x, e);
    *out = e;
    return 0;
}

void warm__index_remove(warm_disk_index *x, warm_disk_entry *e) {
    assert(!e->pins);
    bool was_linked = linked(e);
    int64_t at = find_key(x, e->kind, e->state == WARM_DISK_BAD, e->key);
    assert(at >= 0);
    table_erase(&x->by_key, (uint32_t)at);
    if (was_linked) unlink_child(x, e);
    e->state = WARM_DISK_NEWER;
    heap_update(x, e);
    if (was_linked) update_needed(x, e);
    uint32_t n = e->self_;
    *e = (warm_disk_entry){.next_ = x->free_, .heap_ = NONE, .self_ = n};
    x->free_ = n;
    x->n_entries--;
}

void warm__index_rank(warm_disk_index *x, warm_disk_entry *e, double rank) {
    if (e->state == WARM_DISK_BAD) return;
    e->rank = rank;
    if (e->heap_ != NONE) heap_move(x, e->heap_);
}

void warm__index_set_state(warm_disk_index *x, warm_disk_entry *e, enum warm_disk_state state) {
    assert(linked(e) && (state == WARM_DISK_LIVE || state == WARM_DISK_BAD));
    if (state == WARM_DISK_BAD) {
        assert(!warm__index_find_bad(x, (enum warm_disk_kind)e->kind, e->key));
        table_erase(&x->by_key, (uint32_t)find_key(x, e->kind, false, e->key));
        unlink_child(x, e);
        table_put(&x->by_key, key_hash(e->kind, true, e->key), e->self_);
        e->state = (uint8_t)state;
        e->rank = -1 / (x->first_rank += 1);
        if (e->heap_ != NONE) heap_move(x, e->heap_);
        update_needed(x, e);
    }
    e->state = (uint8_t)state;
    heap_update(x, e);
}

void warm__index_pin(warm_disk_index *x, warm_disk_entry *e) {
    e->pins++;
    heap_update(x, e);
}

void warm__index_unpin(warm_disk_index *x, warm_disk_entry *e) {
    assert(e->pins);
    e->pins--;
    heap_update(x, e);
}

/* ---- the invariants ---- */

void warm__index_check(const warm_disk_index *x) {
    uint32_t n = 0, n_linked = 0, n_listed = 0, n_parents = 0, n_heap = 0;
    for (uint32_t i = 0; i < x->n_made; i++) {
        warm_disk_entry *e = warm__index_at(x, i);
        if (!e) continue;
        n++;
        assert(e->self_ == i);
        int64_t at = find_key(x, e->kind, e->state == WARM_DISK_BAD, e->key);
        assert(at >= 0 && x->by_key.slots[at].entry == i + 1);
        assert(evictable(x, e) == (e->heap_ != NONE));
        n_heap += e->heap_ != NONE;
        if (e->heap_ != NONE)
            assert(x->heap[e->heap_] == i && (!e->heap_ || entry(x, x->heap[(e->heap_ - 1) / 2])->rank <= e->rank));
        if (!linked(e)) continue;
        n_linked++;
        if (e->prev_ != NONE) continue;
        n_parents++;
        assert(warm__index_children(x, e->parent) == e);
        for (warm_disk_entry *c = e, *before = NULL; c; before = c, c = warm__index_sibling(x, c)) {
            assert(memcmp(c->parent, e->parent, sizeof c->parent) == 0 && linked(c));
            assert(c->prev_ == (before ? before->self_ : NONE));
            n_listed++;
        }
    }
    assert(n == x->n_entries && n == x->by_key.n && n_heap == x->n_heap && n_parents == x->by_parent.n && n_linked == n_listed);
    assert(n <= x->heap_cap || n == 0);
}
