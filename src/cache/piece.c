/* SPDX-License-Identifier: MIT
 *
 * cache/piece.c - pieces: bytes with a checksum, and who keeps them: owners (the tree) and holders (everybody else).
 *
 * A piece can have two extents: its state, and in a cache with a window its window rows, which can be taken away alone and be put
 * back. Each has its own checksum, which is the only state of sealing: 0 means "not yet", 1 "damaged" (a sum that is one of these is
 * stored as 2). Whoever computes one first publishes it by compare-and-swap; a second one compares with it. So two
 * threads may seal and verify the same piece, and no later sum can paper over bytes that changed after the first.
 *
 * Invariants
 *  (1) Window rows are released only while the piece has no holder: whoever has a view or writes a save reads bytes that stay.
 *  (2) Rows that can be found are in one of the cache's two lists, and n_spare_windows counts those without holders, as
 *      n_spare_snapshots does snapshots.
 * Threads: seal, verify and state [any]; everything else is the engine thread's alone. */
#include "cache/cache_internal.h"

#include "base/hash.h"

enum { UNSEALED = 0, DAMAGED = 1 };

size_t warm__piece_header_bytes(const warm_piece *x) {
    return sizeof *x + (x->has_window ? sizeof x->window[0] : 0);
}

/* ---- bytes ---- */

static int reserve(warm_cache *c, size_t bytes, warm_extent *x) {
    *x = (warm_extent){0};
    if (bytes == 0) return 0;
    int rc;
    while ((rc = c->store->ops->reserve(c->store, bytes, x)) == WARM_EFULL && warm__evict_one(c)) continue;
    return rc;
}

static void release(warm_cache *c, warm_extent *x) {
    if (x->data) c->store->ops->release(c->store, x);
}

/* Adds (sign 1) or takes off (-1) what the statistics say of a piece as a whole. */
static void account(warm_cache *c, const warm_piece *x, size_t window_bytes, size_t sign) {
    bool snapshot = x->n_units == 0;
    c->stats.n_pieces += snapshot ? 0 : sign;
    c->stats.piece_bytes += sign * (x->extent.held_bytes + window_bytes);
    c->stats.window_bytes += sign * window_bytes;
    c->stats.snapshot_bytes += snapshot ? sign * x->extent.held_bytes : 0;
}

/* Adds or takes off what could be evicted of a piece: around every change of its holders, its owners or its window rows. */
static void count_spare(warm_cache *c, warm_piece *x, size_t sign) {
    if (x->holders) return;
    const struct warm__window *w = warm__piece_window(x);
    if (w) c->n_spare_windows[w->tick != 0] += sign;
    if (x->n_units == 0 && x->owners) c->n_spare_snapshots += sign;
}

#define PLUS  ((size_t)1)
#define MINUS ((size_t)-1)

static void list_window(warm_cache *c, struct warm__window *w) {
    warm__link_insert(&c->windows[w->tick != 0], &w->order);
}

/* Makes the extent the window rows of x, which has none. */
static void put_window(warm_cache *c, warm_piece *x, warm_extent extent, uint64_t sum, uint64_t tick) {
    struct warm__window *w = x->window;
    count_spare(c, x, MINUS);
    w->extent = extent;
    w->tick = tick;
    w->lost = false;
    atomic_store(&w->sum, sum);
    atomic_store(&w->there, true);
    list_window(c, w);
    c->stats.n_windows++;
    count_spare(c, x, PLUS);
}

int warm__piece_new(warm_cache *c, size_t start, size_t n_units, size_t bytes, size_t window_bytes, warm_piece **out) {
    /* A request beyond the limit must not empty the cache on its way to failing. */
    size_t limit = c->budget->limit_bytes;
    if (bytes > limit || window_bytes > limit - bytes) return WARM_EFULL;
    warm_extent state, rows;
    void *p;
    int rc = reserve(c, bytes, &state);
    if (rc) return rc;
    rc = reserve(c, window_bytes, &rows);
    if (rc) goto no_rows;
    warm_piece head = {.holders = 1, .n_units = (uint32_t)n_units & 0x7fffffffu, .has_window = c->window != 0 && n_units != 0};
    rc = warm__evict_alloc(c, warm__piece_header_bytes(&head), &p);
    if (rc) goto no_header;
    warm_piece *x = p;
    *x = head;
    x->start = start;
    x->extent = state;
    atomic_init(&x->sum, UNSEALED);
    warm__link_insert(&c->pieces, &x->all);
    account(c, x, rows.held_bytes, PLUS);
    if (x->has_window) {
        atomic_init(&x->window->there, false);
        x->window->lost = false;
        x->window->extent = (warm_extent){0};
    }
    if (rows.data) put_window(c, x, rows, UNSEALED, 0);
    *out = x;
    return 0;

no_header:
    release(c, &rows);
no_rows:
    release(c, &state);
    return rc;
}

/* ---- owners and holders ---- */

/* The rows are in no list any more and nobody holds them. */
static void release_window(warm_cache *c, warm_piece *x) {
    struct warm__window *w = x->window;
    c->stats.piece_bytes -= w->extent.held_bytes;
    c->stats.window_bytes -= w->extent.held_bytes;
    atomic_store(&w->there, false);
    w->lost = false;
    release(c, &w->extent);
}

static void unlist_window(warm_cache *c, struct warm__window *w) {
    warm__link_remove(&w->order);
    c->stats.n_windows--;
}

/* After an owner or the last holder went. */
static void settle(warm_cache *c, warm_piece *x) {
    count_spare(c, x, PLUS);
    if (x->holders) return;
    if (x->owners == 0) warm__piece_drop_window(c, x);
    if (x->has_window && x->window->lost) release_window(c, x);
    if (x->owners) return;
    account(c, x, 0, MINUS);
    warm__link_remove(&x->all);
    release(c, &x->extent);
    warm__evict_dealloc(c, x, warm__piece_header_bytes(x));
}

void warm__piece_own(warm_cache *c, warm_piece *x) {
    count_spare(c, x, MINUS);
    x->owners++;
    count_spare(c, x, PLUS);
}

void warm__piece_disown(warm_cache *c, warm_piece *x) {
    assert(x->owners > 0);
    count_spare(c, x, MINUS);
    x->owners--;
    settle(c, x);
}

void warm__piece_view(warm_cache *c, warm_piece *x, warm_piece_view *out) {
    count_spare(c, x, MINUS);
    x->holders++;
    *out =
        (warm_piece_view){.piece = x, .start = x->start, .n_units = x->n_units, .data = x->extent.data, .bytes = x->extent.bytes};
    const struct warm__window *w = warm__piece_window(x);
    if (!w) return;
    out->window = w->extent.data;
    out->window_bytes = w->extent.bytes;
    out->marked = w->tick != 0;
}

void warm_piece_unref(warm_cache *c, warm_piece *x) {
    assert(x->holders > 0);
    x->holders--;
    settle(c, x);
}

/* ---- window rows ---- */

void warm__piece_drop_window(warm_cache *c, warm_piece *x) {
    struct warm__window *w = warm__piece_window(x);
    if (!w) return;
    count_spare(c, x, MINUS);
    unlist_window(c, w);
    w->lost = true;
    count_spare(c, x, PLUS);
    if (!x->holders) release_window(c, x);
}

void warm__piece_give_window(warm_cache *c, warm_piece *x) {
    assert(x->owners == 0 && x->holders == 1);
    warm__piece_drop_window(c, x);
    if (x->has_window && x->window->lost) release_window(c, x);
}

void warm__piece_move_window(warm_cache *c, warm_piece *from, warm_piece *x) {
    struct warm__window *w = warm__piece_window(from);
    if (!w || !x->has_window || atomic_load(&x->window->there)) return;
    assert(from->owners == 0 && from->holders == 1 && from->start == x->start && from->n_units == x->n_units);
    unlist_window(c, w);
    atomic_store(&w->there, false);
    put_window(c, x, w->extent, atomic_load(&w->sum), w->tick);
    w->extent = (warm_extent){0};
}

void warm__piece_use_window(warm_cache *c, warm_piece *x, bool mark) {
    struct warm__window *w = warm__piece_window(x);
    if (!w) return;
    count_spare(c, x, MINUS);
    w->tick = mark ? c->tick : 0;
    warm__link_remove(&w->order);
    list_window(c, w);
    count_spare(c, x, PLUS);
}

void warm__piece_mark_like(warm_cache *c, warm_piece *x, warm_piece *like) {
    struct warm__window *w = warm__piece_window(x);
    const struct warm__window *old = warm__piece_window(like);
    if (!w || !old || !old->tick) return;
    count_spare(c, x, MINUS);
    w->tick = old->tick;
    warm__link_remove(&w->order);
    warm__link_insert(old->order.next, &w->order);
    count_spare(c, x, PLUS);
}

void warm_cache_quarantine_window(warm_cache *c, warm_piece *x) {
    if (!warm__piece_window(x)) return;
    c->stats.n_damaged++;
    warm__piece_drop_window(c, x);
}

/* ---- checksums ---- */

/* 0, or WARM_ECORRUPT if the bytes are not those of the first sum. */
static int compare_sum(const warm_extent *x, _Atomic uint64_t *kept) {
    uint64_t sum = warm_xxh3(x->data, x->bytes);
    if (sum <= DAMAGED) sum = DAMAGED + 1;
    uint64_t first = UNSEALED;
    if (atomic_compare_exchange_strong(kept, &first, sum) || first == sum) return 0;
    atomic_store(kept, DAMAGED);
    return WARM_ECORRUPT;
}

static bool window_there(warm_piece *x) {
    return x->has_window && atomic_load(&x->window->there);
}

void warm_piece_seal(warm_piece *x) {
    if (atomic_load(&x->sum) == UNSEALED) (void)compare_sum(&x->extent, &x->sum);
    if (window_there(x) && atomic_load(&x->window->sum) == UNSEALED) (void)compare_sum(&x->window->extent, &x->window->sum);
}

void warm_save_seal(warm_save *s) {
    warm_piece_seal(s->piece_);
}

void warm_snapshot_seal(warm_snapshot *s) {
    warm_piece_seal(s->piece_);
}

static void publish(_Atomic uint64_t *kept, uint64_t sum) {
    uint64_t first = UNSEALED;
    (void)atomic_compare_exchange_strong(kept, &first, sum <= DAMAGED ? DAMAGED + 1 : sum);
}

void warm_save_seal_as(warm_save *s, uint64_t sum, uint64_t window_sum) {
    publish(&s->piece_->sum, sum);
    if (window_there(s->piece_)) publish(&s->piece_->window->sum, window_sum);
}

void warm_snapshot_seal_as(warm_snapshot *s, uint64_t sum) {
    publish(&s->piece_->sum, sum);
}

int warm_piece_verify(warm_piece *x) {
    return atomic_load(&x->sum) == DAMAGED ? WARM_ECORRUPT : compare_sum(&x->extent, &x->sum);
}

int warm_piece_verify_window(warm_piece *x) {
    if (!window_there(x)) return WARM_ECORRUPT;
    return atomic_load(&x->window->sum) == DAMAGED ? WARM_ECORRUPT : compare_sum(&x->window->extent, &x->window->sum);
}

enum warm_piece_state warm_piece_state_get(const warm_piece *x) {
    uint64_t sum = atomic_load(&x->sum);
    return sum == DAMAGED ? WARM_PIECE_DAMAGED : sum ? WARM_PIECE_SEALED : WARM_PIECE_WRITTEN;
}
