/* SPDX-License-Identifier: MIT
 *
 * store/disk_find.c - looking up in the disk tier (disk.h). Changes nothing. [engine] */
#include <string.h>

#include "store/disk_internal.h"

static const warm_disk_entry *readable(const warm_disk *d, const warm_disk_entry *e) {
    return e && d->stats.mode != WARM_DISK_OFF && warm__disk_can_read(e) ? e : NULL;
}

const warm_disk_entry *warm_disk_find(const warm_disk *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]) {
    return readable(d, warm__index_find(&d->index, kind, key));
}

/* Whether e is the path of these units behind its parent. Children of one length come one after another often enough that one hash is kept. */
static bool is_path(const warm_disk_entry *e, const uint8_t *parent, const uint64_t *units, uint8_t *key, size_t *n_key) {
    if (*n_key != e->n_last) warm_disk_key_next(parent, units, e->n_last, key);
    *n_key = e->n_last;
    return memcmp(e->key, key, WARM_DISK_KEY_BYTES) == 0;
}

const warm_disk_entry *warm_disk_next(const warm_disk *d, const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units,
                                      size_t n, size_t *common) {
    const warm_disk_entry *best = NULL;
    uint16_t sketch[WARM_DISK_SKETCH];
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t most = 0, n_key = 0;
    warm_disk_sketch(units, n, sketch);
    for (const warm_disk_entry *e = warm__index_children(&d->index, parent); e; e = warm__index_sibling(&d->index, e)) {
        if (e->kind != WARM_DISK_CELLS || !readable(d, e)) continue;
        size_t same = warm_disk_sketch_common(e->sketch, e->n_last, sketch, n);
        /* The hash is worth computing where the sketches agree as far as the block goes. */
        bool whole =
            e->n_last <= n && same + WARM_DISK_PIECE_MIN > (e->n_last < WARM_DISK_BLOCK_UNITS ? e->n_last : WARM_DISK_BLOCK_UNITS);
        if (whole && is_path(e, parent, units, key, &n_key)) same = e->n_last;
        if (same <= most) continue;
        most = same;
        best = e;
    }
    *common = most;
    return best;
}

const warm_disk_entry *warm_disk_snapshot(const warm_disk *d, const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units,
                                          size_t n) {
    const warm_disk_entry *best = NULL;
    uint8_t key[WARM_DISK_KEY_BYTES];
    size_t n_key = 0;
    for (const warm_disk_entry *e = warm__index_children(&d->index, parent); e; e = warm__index_sibling(&d->index, e)) {
        if (e->kind != WARM_DISK_SNAPSHOT || !readable(d, e) || e->n_last > n || (best && e->n_last <= best->n_last)) continue;
        if (is_path(e, parent, units, key, &n_key)) best = e;
    }
    return best;
}

const warm_disk_entry *warm_disk_at(const warm_disk *d, uint32_t i) {
    return readable(d, warm__index_at(&d->index, i));
}

uint32_t warm_disk_places(const warm_disk *d) {
    return d->index.n_made;
}
