/* SPDX-License-Identifier: MIT
 *
 * cache/shadow.c - fingerprints of more blocks than are kept, and two caches that hold nothing (shadow.h).
 *
 * All entries are in one list by their last use, of one prompt the deeper ones first. So the coldest entry never has children, and what an
 * LRU cache of n blocks would hold are the n warmest entries: a mark in the list is that whole cache. The other one, which goes
 * by score, has a bit in each entry and a list of its leaves, of which SAMPLE are compared where there are more. A block
 * that scores lower than all of them is not taken in.
 * Both are charged what they would have had to compute; older charges fade. The scores are trusted when they have cost less by a margin, and no
 * more when they have cost more.
 *
 * Memory is fixed; the coldest entry makes place for a new one. Threads: none. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "cache/odds.h"
#include "cache/shadow.h"

enum { SAMPLE = 64, SWEEP = 256, LATEST = 4, NO_LEAF = -1 };
static const double charge_half_life = 512; /* prompts */
static const double margin = 0.02;
static const float gap_weight = 0.3f; /* of the latest gap in the mean of an entry's */

/* What an entry is to the prompt that used it last. The sizes are in blocks. */
enum kind { KEPT, LAST, FIRST_SHORT, FIRST_LONG, MORE_SHORT, MORE, MORE_LONG, LEFT };
enum { FIRST_SHORT_BLOCKS = 16, MORE_SHORT_BLOCKS = 8, MORE_BLOCKS = 32 };

struct entry {
    uint32_t key, parent;
    uint32_t born;         /* 0: free */
    uint32_t next;         /* in its bucket; of free entries */
    uint32_t older, newer; /* by last use */
    uint32_t kid;          /* used last, 0 = none */
    uint32_t last;         /* number of the prompt */
    int32_t leaf;          /* place among the leaves of the scored cache */
    uint32_t n_kids, n_kept_kids;
    float gap; /* mean log2 of the prompts between uses; negative: unknown */
    uint16_t class_;
    uint8_t bin; /* age that was reported to the odds */
    uint8_t uses;
    bool kept, recent; /* by score; by LRU */
};

struct warm__shadow {
    uint32_t n_entries, n_used, free, mask;
    uint32_t now, serial, swept;
    uint32_t mark, n_recent; /* the coldest entry that LRU keeps */
    uint32_t n_kept, n_leaves;
    double lru_cost, score_cost;
    bool trusts;
    warm_rng rng;
    struct entry *at;
    uint32_t *buckets, *leaves, *path, *keys;
    size_t n_path;
    uint64_t latest[LATEST]; /* hashes of prompts */
    warm__odds odds;
};

static size_t round_up(size_t n) {
    return (n + 15) & ~(size_t)15;
}

size_t warm__shadow_bytes(uint32_t n) {
    return round_up(sizeof(warm__shadow)) + round_up(n * sizeof(struct entry)) + 4 * round_up(n * sizeof(uint32_t));
}

static void place_arrays(warm__shadow *s, uint32_t n) {
    uint8_t *p = (uint8_t *)s;
    size_t words = round_up(n * sizeof(uint32_t));
    s->at = (struct entry *)(void *)(p += round_up(sizeof(*s)));
    s->buckets = (uint32_t *)(void *)(p += round_up(n * sizeof(struct entry)));
    s->leaves = (uint32_t *)(void *)(p += words);
    s->path = (uint32_t *)(void *)(p += words);
    s->keys = (uint32_t *)(void *)(p + words);
    s->n_entries = n;
    s->mask = n - 1;
}

warm__shadow *warm__shadow_init(void *memory, uint32_t n, uint32_t serial) {
    assert(n >= 64 && (n & (n - 1)) == 0);
    warm__shadow *s = memory;
    memset(s, 0, warm__shadow_bytes(n));
    place_arrays(s, n);
    s->serial = serial;
    warm__odds_init(&s->odds);
    return s;
}

uint32_t warm__shadow_serial(const warm__shadow *s) {
    return s->serial;
}

bool warm__shadow_full(const warm__shadow *s) {
    return !s->free && s->n_used + 1 == s->n_entries;
}

uint32_t *warm__shadow_keys(warm__shadow *s) {
    return s->keys;
}

uint32_t warm__shadow_on_path(const warm__shadow *s, size_t i) {
    return i < s->n_path ? s->path[i] : 0;
}

/* ---- entries ---- */

static uint32_t *bucket(const warm__shadow *s, uint32_t parent, uint32_t key) {
    uint64_t h = ((uint64_t)parent << 32 | key) * 0x9e3779b97f4a7c15u;
    return &s->buckets[(h >> 32) & s->mask];
}

warm__shadow *warm__shadow_move(const warm__shadow *from, void *memory, uint32_t n) {
    warm__shadow *s = memory;
    assert(n > from->n_entries);
    memset(s, 0, warm__shadow_bytes(n));
    *s = *from;
    place_arrays(s, n);
    memcpy(s->at, from->at, from->n_entries * sizeof(*s->at));
    memcpy(s->leaves, from->leaves, from->n_leaves * sizeof(*s->leaves));
    memcpy(s->path, from->path, from->n_path * sizeof(*s->path));
    for (uint32_t i = 1; i <= s->n_used; i++) {
        if (!s->at[i].born) continue;
        uint32_t *head = bucket(s, s->at[i].parent, s->at[i].key);
        s->at[i].next = *head;
        *head = i;
    }
    return s;
}

uint32_t warm__shadow_child(const warm__shadow *s, uint32_t parent, uint32_t key) {
    uint32_t i = *bucket(s, parent, key);
    while (i && (s->at[i].parent != parent || s->at[i].key != key)) i = s->at[i].next;
    return i;
}

uint32_t warm__shadow_born(const warm__shadow *s, uint32_t entry) {
    return s->at[entry].born;
}

/* Entry 0 is the head of the list as well as the root: at[0].newer is the coldest, at[0].older the warmest. */
static void unlist(warm__shadow *s, uint32_t i) {
    struct entry *e = &s->at[i];
    s->at[e->older].newer = e->newer;
    s->at[e->newer].older = e->older;
}

static void list_before(warm__shadow *s, uint32_t newer, uint32_t i) {
    struct entry *e = &s->at[i];
    e->newer = newer;
    e->older = s->at[newer].older;
    s->at[e->older].newer = i;
    s->at[newer].older = i;
}

/* The odds get to know how old it has become. */
static void report_age(warm__shadow *s, struct entry *e) {
    uint32_t bin = warm__odds_bin(s->now - e->last);
    if (bin <= e->bin || !e->born) return;
    warm__odds_came(&s->odds, e->class_, e->bin, bin);
    e->bin = (uint8_t)bin;
}

double warm__shadow_score(const warm__shadow *s, uint32_t i) {
    return warm__odds_index(&s->odds, s->at[i].class_, s->now - s->at[i].last);
}

/* ---- the cache that goes by score ---- */

static void add_leaf(warm__shadow *s, uint32_t i) {
    s->at[i].leaf = (int32_t)s->n_leaves;
    s->leaves[s->n_leaves++] = i;
}

static void remove_leaf(warm__shadow *s, uint32_t i) {
    uint32_t last = s->leaves[--s->n_leaves], place = (uint32_t)s->at[i].leaf;
    s->leaves[place] = last;
    s->at[last].leaf = (int32_t)place;
    s->at[i].leaf = NO_LEAF;
}

static void keep(warm__shadow *s, uint32_t i) {
    struct entry *up = &s->at[s->at[i].parent];
    if (s->at[i].parent && up->n_kept_kids++ == 0) remove_leaf(s, s->at[i].parent);
    s->at[i].kept = true;
    s->n_kept++;
    add_leaf(s, i);
}

static void drop(warm__shadow *s, uint32_t i) {
    struct entry *up = &s->at[s->at[i].parent];
    s->at[i].kept = false;
    s->n_kept--;
    remove_leaf(s, i);
    if (s->at[i].parent && --up->n_kept_kids == 0) add_leaf(s, s->at[i].parent);
}

/* The lowest of those that the prompt does not use; 0: none. */
static uint32_t lowest(warm__shadow *s, double *score) {
    uint32_t n = s->n_leaves < SAMPLE ? s->n_leaves : SAMPLE, found = 0;
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = s->leaves[n < SAMPLE ? k : warm_rng_below(&s->rng, s->n_leaves)];
        if (s->at[i].last == s->now) continue;
        double x = warm__shadow_score(s, i);
        if (!found || x < *score || (x == *score && s->at[i].last < s->at[found].last)) found = i, *score = x;
    }
    return found;
}

/* Takes in the path behind its first `from` blocks, from the front, as far as it is worth more than what has to go. */
static void keep_path(warm__shadow *s, size_t from, size_t capacity) {
    uint32_t victim = 0;
    double least = 0;
    for (size_t k = from; k < s->n_path; k++) {
        while (s->n_kept >= capacity) {
            if (!victim) victim = lowest(s, &least);
            if (!victim || least >= warm__shadow_score(s, s->path[k])) return;
            /* What stands above it is often of the same age and class, and then the next. */
            uint32_t up = s->at[victim].parent;
            drop(s, victim);
            victim = up && s->at[up].leaf != NO_LEAF && s->at[up].last != s->now && warm__shadow_score(s, up) <= least ? up : 0;
        }
        keep(s, s->path[k]);
    }
}

/* ---- the cache that goes by last use ---- */

static void set_recent(warm__shadow *s, uint32_t i) {
    if (s->at[i].recent) return;
    s->at[i].recent = true;
    s->n_recent++;
}

/* Entry i leaves its place in the list: if LRU's cache begins with it, that begins with the next one. */
static void pass_mark(warm__shadow *s, uint32_t i) {
    if (s->mark == i) s->mark = s->at[i].newer;
}

/* All that the prompt used is at the warm end now, the end of its path first. */
static void shrink_recent(warm__shadow *s, size_t capacity) {
    if (!s->mark) s->mark = s->path[s->n_path - 1];
    while (s->at[s->at[s->mark].older].recent) s->mark = s->at[s->mark].older;
    for (; s->n_recent > capacity; s->n_recent--) {
        s->at[s->mark].recent = false;
        s->mark = s->at[s->mark].newer;
    }
}

/* ---- prompts ---- */

/* Frees the coldest entry, unless the prompt uses it. */
static bool forget_coldest(warm__shadow *s) {
    uint32_t i = s->at[0].newer;
    struct entry *e = &s->at[i];
    if (e->last == s->now) return false;
    assert(e->n_kids == 0);
    report_age(s, e);
    if (e->kept) drop(s, i);
    if (e->recent) s->n_recent--;
    pass_mark(s, i);
    unlist(s, i);
    uint32_t *link = bucket(s, e->parent, e->key);
    while (*link != i) link = &s->at[*link].next;
    *link = e->next;
    if (e->parent) s->at[e->parent].n_kids--;
    if (s->at[e->parent].kid == i) s->at[e->parent].kid = 0;
    e->born = 0;
    e->next = s->free;
    s->free = i;
    return true;
}

static uint32_t take_entry(warm__shadow *s) {
    if (!s->free && s->n_used + 1 < s->n_entries) return ++s->n_used;
    if (!s->free && !forget_coldest(s)) return 0;
    uint32_t i = s->free;
    s->free = s->at[i].next;
    return i;
}

/* Where a prompt goes on otherwise than the only one before it, that one was left: edited, compacted, or a side path. */
static void leave(warm__shadow *s, uint32_t parent) {
    if (!parent || s->at[parent].n_kids != 1) return;
    for (uint32_t i = s->at[parent].kid; i; i = s->at[i].kid) {
        struct entry *e = &s->at[i];
        report_age(s, e);
        e->class_ = (uint16_t)warm__odds_class(e->gap, e->uses, LEFT);
    }
}

static uint32_t create(warm__shadow *s, uint32_t parent, uint32_t key) {
    leave(s, parent);
    uint32_t i = take_entry(s);
    if (!i) return 0;
    uint32_t *head = bucket(s, parent, key);
    s->at[i] = (struct entry){.key = key, .parent = parent, .born = ++s->serial, .next = *head, .last = s->now, .leaf = NO_LEAF};
    *head = i;
    if (parent) s->at[parent].n_kids++;
    /* colder than its parent, which this prompt has just used */
    list_before(s, parent, i);
    return i;
}

static void use(warm__shadow *s, uint32_t i) {
    struct entry *e = &s->at[i];
    uint32_t age = s->now - e->last;
    report_age(s, e);
    warm__odds_asked(&s->odds, e->class_, warm__odds_bin(age));
    float gap = log2f((float)age);
    e->gap = e->gap < 0 ? gap : e->gap + (gap - e->gap) * gap_weight;
    e->last = s->now;
    if (e->uses < UINT8_MAX) e->uses++;
    pass_mark(s, i);
    unlist(s, i);
    list_before(s, 0, i);
}

static enum kind kind_of(size_t k, size_t n_seen, size_t n) {
    if (k + 1 == n) return LAST;
    if (k < n_seen) return KEPT;
    size_t more = n - n_seen;
    if (n_seen <= 1) return more < FIRST_SHORT_BLOCKS ? FIRST_SHORT : FIRST_LONG;
    return more < MORE_SHORT_BLOCKS ? MORE_SHORT : more < MORE_BLOCKS ? MORE : MORE_LONG;
}

/* Fills path with the prompt's entries, old and new; returns their number. */
static size_t follow(warm__shadow *s, size_t n, size_t *n_seen) {
    size_t k = 0;
    uint32_t up = 0;
    for (; k < n; k++, up = s->path[k - 1]) {
        s->path[k] = warm__shadow_child(s, up, s->keys[k]);
        if (!s->path[k]) break;
    }
    *n_seen = k;
    for (size_t i = k; i-- > 0;) use(s, s->path[i]);
    for (; k < n; k++, up = s->path[k - 1]) {
        s->path[k] = create(s, up, s->keys[k]);
        if (!s->path[k]) break;
    }
    return k;
}

static void classify(warm__shadow *s, size_t n_seen) {
    size_t n = s->n_path;
    float gap = n_seen ? s->at[s->path[n_seen - 1]].gap : -1;
    uint32_t up = 0;
    for (size_t k = 0; k < n; k++) {
        struct entry *e = &s->at[s->path[k]];
        if (k >= n_seen) e->gap = gap; /* the conversation's */
        e->class_ = (uint16_t)warm__odds_class(e->gap, e->uses, kind_of(k, n_seen, n));
        e->bin = 0;
        s->at[up].kid = s->path[k];
        up = s->path[k];
    }
    s->at[up].kid = 0;
}

/* Entries that nobody asks for get older, too: all of them are visited in turn. */
static void sweep(warm__shadow *s) {
    for (uint32_t n = 0; n < SWEEP && n < s->n_used; n++) {
        s->swept = s->swept < s->n_used ? s->swept + 1 : 1;
        report_age(s, &s->at[s->swept]);
    }
}

static void charge(warm__shadow *s, size_t lru, size_t score) {
    double f = exp2(-1 / charge_half_life);
    s->lru_cost = s->lru_cost * f + (double)lru;
    s->score_cost = s->score_cost * f + (double)score;
    s->trusts = s->score_cost < s->lru_cost * (s->trusts ? 1 : 1 - margin);
}

static bool is_latest(warm__shadow *s, size_t n) {
    uint64_t h = n;
    for (size_t k = 0; k < n; k++) h = (h ^ s->keys[k]) * 0x9e3779b97f4a7c15u, h ^= h >> 32;
    for (uint32_t i = 0; i < LATEST; i++) {
        if (s->latest[i] == h) return true;
    }
    s->latest[s->now % LATEST] = h;
    return false;
}

bool warm__shadow_ask(warm__shadow *s, size_t n, size_t capacity) {
    size_t n_seen, recent = 0, kept = 0;
    if (is_latest(s, n)) return false;
    s->now++;
    for (uint32_t i = 0; recent < n && (i = warm__shadow_child(s, i, s->keys[recent])) && s->at[i].recent;) recent++;
    for (uint32_t i = 0; kept < n && (i = warm__shadow_child(s, i, s->keys[kept])) && s->at[i].kept;) kept++;
    s->n_path = follow(s, n, &n_seen);
    classify(s, n_seen);
    for (size_t k = 0; k < s->n_path; k++) set_recent(s, s->path[k]);
    if (s->n_path) shrink_recent(s, capacity);
    keep_path(s, kept, capacity);
    charge(s, n - recent, n - kept);
    sweep(s);
    warm__odds_tick(&s->odds, s->n_path);
    return true;
}

bool warm__shadow_trusts_scores(const warm__shadow *s) {
    return s->trusts;
}
