/* SPDX-License-Identifier: MIT
 *
 * sched/tier_write.c - out of the tree into files (tier.h).
 *
 * What is being written is pinned, and its bytes are held. A shorter tail's file is removed when that of the longer one is on the disk. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sched/tier.h"

enum {
    PENDING_SHARE = 8,      /* of the budget: what may be held by what is being written */
    INDEX_SHARE = 4,        /* of the budget: what the index of the disk may grow to at the cost of blocks */
    INDEX_STEP = 128 * 1024 /* and what is made room for beside its tables, which double */
};
static const uint64_t settle_ns = 2 * 1000000000ull; /* a tail or a snapshot that has not changed for so long is written */
static const uint64_t again_ns = 1000000000ull;      /* after a refusal that does not last */

struct write {
    warm_sched *s;
    warm_spill x;
};

static int verify_cells(void *ud) {
    return warm_piece_verify(ud);
}

static int verify_rows(void *ud) {
    return warm_piece_verify_window(ud);
}

static void fill_parts(const warm_spill *x, warm_disk_part *parts, warm_disk_piece *pieces) {
    bool rows = x->kind == WARM_DISK_ROWS;
    for (size_t i = 0; i < x->n_pieces; i++) {
        const warm_piece_view *v = &x->views[i];
        const uint8_t *data = rows ? v->window : v->data;
        pieces[i].bytes = rows ? v->window_bytes : v->bytes;
        parts[i] = (warm_disk_part){data, data ? rows ? verify_rows : verify_cells : NULL, v->piece};
    }
}

static const char *adapters_of(const warm_tier *t, const uint8_t *fingerprint) {
    for (size_t i = 0; i < t->n_scopes; i++) {
        if (memcmp(t->scopes[i].fingerprint, fingerprint, WARM_SCOPE_BYTES) == 0) return t->scopes[i].adapters;
    }
    return "";
}

static bool fill_file(const warm_sched *s, const warm_spill *x, warm_disk_file *f) {
    *f = (warm_disk_file){.head = {.kind = x->kind,
                                   .state = (uint32_t)s->info->state,
                                   .n_window = s->info->n_window,
                                   .start = x->start,
                                   .n_units = x->n_units,
                                   .parent_at = x->parent_at,
                                   .first_pos = x->start,
                                   .last_pos = x->start + x->n_units - 1,
                                   .n_pieces = (uint32_t)x->n_pieces,
                                   .piece_units = (uint32_t)x->piece_units,
                                   .prior = x->kind == WARM_DISK_SNAPSHOT ? x->prior < 1 ? x->prior : 1 : 0},
                          .units = warm_malloc(x->n_units * sizeof(warm_unit)),
                          .pieces = warm_calloc(x->n_pieces, sizeof(warm_disk_piece)),
                          .scope = warm_xstrdup(s->info->scope),
                          .adapters = warm_xstrdup(adapters_of(s->tier, x->fingerprint)),
                          .build = warm_xstrdup(s->info->build),
                          .backend = warm_xstrdup(s->tier->o.backend)};
    memcpy(f->head.fingerprint, x->fingerprint, WARM_SCOPE_BYTES);
    memcpy(f->head.parent, x->parent, WARM_DISK_KEY_BYTES);
    if (!f->units || !f->pieces) return false;
    warm_spill_units(x, f->units);
    return true;
}

static void remove_key(warm_disk *d, enum warm_disk_kind kind, const uint8_t *key) {
    const warm_disk_entry *e = warm_disk_find(d, kind, key);
    if (e) warm_disk_remove(d, e);
}

static void written(void *ud, int rc) {
    struct write *w = ud;
    warm_sched *s = w->s;
    if (!rc && w->x.grown) {
        remove_key(s->tier->disk, WARM_DISK_ROWS, w->x.old_key);
        remove_key(s->tier->disk, WARM_DISK_CELLS, w->x.old_key);
    }
    /* Damaged in memory: who loads it finds out, too, and puts it aside. */
    warm_spill_end(s->o.cache, &w->x, rc == WARM_EIO);
    free(w);
}

bool warm__tier_index_room(warm_sched *s) {
    warm_disk_stats st;
    warm_cache_stats cache;
    warm_disk_stats_get(s->tier->disk, &st);
    warm_cache_stats_get(s->o.cache, &cache);
    size_t need = st.index_bytes + INDEX_STEP;
    bool there = cache.budget_limit_bytes - cache.budget_used_bytes >= need;
    if (there || st.index_bytes + need > cache.budget_limit_bytes / INDEX_SHARE) return false;
    return warm_cache_make_room(s->o.cache, need) == 0;
}

/* True: the next one can be tried. */
static bool put(warm_sched *s, warm_spill *x) {
    warm_tier *t = s->tier;
    warm_cache *c = s->o.cache;
    warm_disk_file f;
    warm_disk_part *parts = warm_calloc(x->n_pieces, sizeof *parts);
    struct write *w = warm_xmalloc(sizeof *w);
    *w = (struct write){s, *x};
    bool filled = fill_file(s, x, &f);
    int rc = WARM_ENOMEM;
    if (filled && parts) {
        if (x->renewed) remove_key(t->disk, WARM_DISK_ROWS, x->key);
        fill_parts(x, parts, f.pieces);
        rc = warm_disk_put_take(t->disk, &f, parts, 0, written, w);
    } else {
        warm_disk_file_free(&f);
    }
    free(parts);
    if (rc == 0) return true;
    free(w);
    bool again = rc == WARM_EAGAIN || rc == WARM_ENOMEM;
    if (again) t->again_ns = warm__sched_now(s) + again_ns;
    /* Perhaps it was the index that had no room. */
    bool room = rc == WARM_EFULL && warm__tier_index_room(s);
    warm_spill_end(c, x, again || room);
    return !again;
}

static bool may_write(const warm_sched *s) {
    warm_disk_stats st;
    warm_cache_stats cache;
    warm_disk_stats_get(s->tier->disk, &st);
    warm_cache_stats_get(s->o.cache, &cache);
    if (st.mode != WARM_DISK_READ_WRITE || st.scanning) return false;
    return !st.n_pending || st.pending_bytes < cache.budget_limit_bytes / PENDING_SHARE;
}

bool warm__tier_write(warm_sched *s, bool settled_only, size_t most) {
    warm_tier *t = s->tier;
    uint64_t now = warm__sched_now(s), settled = !settled_only ? UINT64_MAX : now > settle_ns ? now - settle_ns : 0;
    size_t n = 0;
    if (settled_only && now < t->again_ns) return false;
    t->again_ns = 0;
    for (warm_spill x; n < most && !t->again_ns && may_write(s); n++) {
        int rc = warm_spill_next(s->o.cache, settled, &x);
        if (rc < 0) t->again_ns = now + again_ns;
        if (rc <= 0 || !put(s, &x)) break;
    }
    return n > 0;
}

uint64_t warm__tier_write_due(const warm_sched *s) {
    if (!may_write(s)) return UINT64_MAX;
    uint64_t waits = warm_spill_waits(s->o.cache);
    if (waits == UINT64_MAX) return waits;
    return waits + settle_ns > s->tier->again_ns ? waits + settle_ns : s->tier->again_ns;
}
