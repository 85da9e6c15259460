/* SPDX-License-Identifier: MIT
 *
 * cache/piece.c - pieces: refcounted bytes with a checksum.
 *
 * The checksum is the only state of sealing: 0 means "not yet" (a sum that is 0 is stored as 1). Whoever computes one first
 * publishes it by compare-and-swap; a second one compares with it. So two threads may seal and verify the same piece, and no
 * later sum can paper over bytes that changed after the first.
 * Threads: seal, verify and state [any]; the reference count is the engine thread's alone. */
#include "cache/cache_internal.h"

#include "base/hash.h"

int warm__piece_new(warm_cache *c, size_t start, size_t n_units, size_t bytes, warm_piece **out) {
    /* A request beyond the limit must not empty the cache on its way to failing. */
    if (bytes > c->budget->limit_bytes) return WARM_EFULL;
    warm_extent x;
    int rc;
    while ((rc = c->store->ops->reserve(c->store, bytes, &x)) == WARM_EFULL && warm__evict_one(c)) continue;
    if (rc) return rc;
    void *p;
    rc = warm__evict_alloc(c, sizeof(warm_piece), &p);
    if (rc) {
        c->store->ops->release(c->store, &x);
        return rc;
    }
    warm_piece *piece = p;
    piece->refs = 1;
    piece->n_units = (uint32_t)n_units;
    piece->start = start;
    piece->extent = x;
    atomic_init(&piece->sum, 0);
    atomic_init(&piece->damaged, false);
    piece->seen = 0;
    warm__link_insert(&c->pieces, &piece->all);
    c->stats.n_pieces++;
    c->stats.piece_bytes += x.held_bytes;
    *out = piece;
    return 0;
}

void warm_piece_unref(warm_cache *c, warm_piece *piece) {
    assert(piece->refs > 0);
    if (--piece->refs) return;
    c->stats.n_pieces--;
    c->stats.piece_bytes -= piece->extent.held_bytes;
    warm__link_remove(&piece->all);
    c->store->ops->release(c->store, &piece->extent);
    warm__evict_dealloc(c, piece, sizeof *piece);
}

/* 0, or WARM_ECORRUPT if the bytes are not those of the first sum. */
static int compare_sum(warm_piece *piece) {
    uint64_t sum = warm_xxh3(piece->extent.data, piece->extent.bytes);
    if (sum == 0) sum = 1;
    uint64_t first = 0;
    if (atomic_compare_exchange_strong(&piece->sum, &first, sum) || first == sum) return 0;
    atomic_store(&piece->damaged, true);
    return WARM_ECORRUPT;
}

void warm_piece_seal(warm_piece *piece) {
    if (atomic_load(&piece->sum) == 0) (void)compare_sum(piece);
}

int warm_piece_verify(warm_piece *piece) {
    return atomic_load(&piece->damaged) ? WARM_ECORRUPT : compare_sum(piece);
}

enum warm_piece_state warm_piece_state_get(const warm_piece *piece) {
    if (atomic_load(&piece->damaged)) return WARM_PIECE_DAMAGED;
    return atomic_load(&piece->sum) ? WARM_PIECE_SEALED : WARM_PIECE_WRITTEN;
}
