/* SPDX-License-Identifier: MIT
 *
 * cache/spill.c - see spill.h.
 *
 * A tail that is written again has another key, because it has other units; who writes it removes the shorter one. Window rows are worth a file where one of
 * the block's pieces has marked ones, and then the file has all rows that are there. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cache/cache_internal.h"
#include "cache/spill.h"

static struct warm__spill *note(const warm_block *b) {
    return (struct warm__spill *)(void *)((char *)(uintptr_t)b + sizeof *b);
}

static warm_block *noted(struct warm__link *l) {
    struct warm__spill *x = WARM__OF(struct warm__spill, order, l);
    return (warm_block *)(void *)((char *)x - sizeof(warm_block));
}

static bool is_empty(const struct warm__link *head) {
    return head->next == head;
}

/* ---- keys ---- */

static const uint8_t *key_of_parent(const warm_block *b, uint8_t root[WARM_DISK_KEY_BYTES]) {
    if (b->parent->parent) return note(b->parent)->key;
    warm_disk_key_root(WARM__OF(warm_scope, root, b->parent)->fingerprint, root);
    return root;
}

/* Of a full block. Those above it have theirs, as a rule: they were written before it. */
static void make_key(const warm_block *b) {
    while (!note(b)->has_key) {
        const warm_block *top = b;
        while (top->parent->parent && !note(top->parent)->has_key) top = top->parent;
        uint8_t root[WARM_DISK_KEY_BYTES];
        warm_disk_key_next(key_of_parent(top, root), top->units, top->n_units, note(top)->key);
        note(top)->has_key = true;
    }
}

static void parent_key(const warm_block *b, uint8_t out[WARM_DISK_KEY_BYTES]) {
    uint8_t root[WARM_DISK_KEY_BYTES];
    if (b->parent->parent) make_key(b->parent);
    memcpy(out, key_of_parent(b, root), WARM_DISK_KEY_BYTES);
}

void warm_spill_key(const warm_path *p, size_t at, uint8_t out[WARM_DISK_KEY_BYTES]) {
    const warm_block *b = p->block_;
    while (b->parent && b->start >= at) b = b->parent;
    if (!b->parent) {
        warm_disk_key_root(WARM__OF(warm_scope, root, b)->fingerprint, out);
    } else {
        assert(warm__block_end(b) == at && warm__block_full(b));
        make_key(b);
        memcpy(out, note(b)->key, WARM_DISK_KEY_BYTES);
    }
}

static const uint8_t *fingerprint_of(const warm_block *b) {
    while (b->parent) b = b->jump;
    return WARM__OF(warm_scope, root, b)->fingerprint;
}

/* ---- lists ---- */

static uint64_t now(const warm_cache *c) {
    return c->now_ns ? c->now_ns(c->clock_ud) : c->tick;
}

static bool cells_due(const warm_cache *c, const warm_block *b) {
    return note(b)->n_written != b->n_units && !c->spills_snapshots_only;
}

static void unlist(warm_cache *c, warm_block *b) {
    struct warm__spill *x = note(b);
    if (!x->listed) return;
    warm__link_remove(&x->order);
    x->listed = false;
    c->n_spills--;
}

/* Where it belongs, at the end. */
static void enlist(warm_cache *c, warm_block *b) {
    struct warm__spill *x = note(b);
    unlist(c, b);
    bool cells = cells_due(c, b);
    if (!cells && !x->rows_due) return;
    x->changed_ns = now(c);
    warm__link_insert(cells && warm__block_full(b) ? &c->spill_full : &c->spill_young, &x->order);
    x->listed = true;
    c->n_spills++;
}

static unsigned rows_there(const warm_block *b, bool marked_only) {
    unsigned mask = 0;
    for (size_t i = 0; i < b->n_pieces && i < WARM__SPILL_PIECES; i++) {
        const struct warm__window *w = warm__piece_window(b->pieces[i]);
        if (w && (w->tick || !marked_only)) mask |= 1u << i;
    }
    return mask;
}

void warm__spill_init(warm_cache *c, const warm_cache_options *o) {
    c->spills = o->spill;
    c->spills_snapshots_only = o->spill_snapshots_only;
    warm__link_init(&c->spill_full);
    warm__link_init(&c->spill_young);
    warm__link_init(&c->spill_snapshots);
}

void warm__spill_born(const warm_cache *c, warm_block *b) {
    if (c->spills) *note(b) = (struct warm__spill){.listed = false};
}

void warm__spill_changed(warm_cache *c, warm_block *b) {
    if (!c->spills) return;
    /* The rows have to follow its cells to another key. */
    if (rows_there(b, true)) note(b)->rows_due = true;
    enlist(c, b);
}

void warm__spill_lost(warm_cache *c, warm_block *b) {
    if (!c->spills || !note(b)->listed) return;
    c->n_spills_missed++;
    unlist(c, b);
}

void warm__spill_marked(warm_cache *c, warm_block *b) {
    if (!c->spills || b->dead || note(b)->rows_due) return;
    bool grown = note(b)->rows_written_of != b->n_units;
    if (!grown && !(rows_there(b, true) & ~note(b)->rows_written)) return;
    note(b)->rows_due = true;
    if (!note(b)->listed) enlist(c, b);
}

void warm__spill_snapshot(warm_cache *c, struct warm__snapshot *s) {
    warm__link_init(&s->spill);
    if (!c->spills) return;
    s->changed_ns = now(c);
    warm__link_insert(&c->spill_snapshots, &s->spill);
    c->n_spills++;
}

static void unlist_snapshot(warm_cache *c, struct warm__snapshot *s) {
    if (is_empty(&s->spill)) return;
    warm__link_remove(&s->spill);
    warm__link_init(&s->spill);
    c->n_spills--;
}

void warm__spill_lost_snapshot(warm_cache *c, struct warm__snapshot *s) {
    if (is_empty(&s->spill)) return;
    c->n_spills_missed++;
    unlist_snapshot(c, s);
}

/* ---- handing out ---- */

static void pin(warm_cache *c, warm_block *b, size_t n_units, warm_spill *out) {
    out->path_ = (warm_path){b, n_units};
    warm__tree_pin(c, b);
}

static int view_block(warm_cache *c, warm_block *b, warm_spill *out) {
    out->views = warm_malloc(b->n_pieces * sizeof *out->views);
    if (!out->views) return WARM_ENOMEM;
    out->n_pieces = b->n_pieces;
    for (size_t i = 0; i < b->n_pieces; i++) warm__piece_view(c, b->pieces[i], &out->views[i]);
    out->start = out->parent_at = b->start;
    out->n_units = b->n_units;
    out->piece_units = b->piece_units;
    memcpy(out->fingerprint, fingerprint_of(b), sizeof out->fingerprint);
    parent_key(b, out->parent);
    if (warm__block_full(b)) make_key(b);
    if (warm__block_full(b))
        memcpy(out->key, note(b)->key, sizeof out->key);
    else
        warm_disk_key_next(out->parent, b->units, b->n_units, out->key);
    pin(c, b, warm__block_end(b), out);
    return 1;
}

static int take_cells(warm_cache *c, warm_block *b, warm_spill *out) {
    struct warm__spill *x = note(b);
    int rc = view_block(c, b, out);
    if (rc < 0) return rc;
    out->kind = WARM_DISK_CELLS;
    out->grown = x->n_written && x->n_written != b->n_units;
    if (out->grown) warm_disk_key_next(out->parent, b->units, x->n_written, out->old_key);
    x->n_written = b->n_units;
    return 1;
}

static int take_rows(warm_cache *c, warm_block *b, warm_spill *out) {
    struct warm__spill *x = note(b);
    int rc = view_block(c, b, out);
    if (rc < 0) return rc;
    out->kind = WARM_DISK_ROWS;
    out->renewed = x->rows_written_of == b->n_units;
    x->rows_due = false;
    x->rows_written = (uint16_t)rows_there(b, false);
    x->rows_written_of = b->n_units;
    return 1;
}

static int take_block(warm_cache *c, warm_block *b, warm_spill *out) {
    struct warm__spill *x = note(b);
    unlist(c, b);
    if (!cells_due(c, b)) {
        if (rows_there(b, true)) return take_rows(c, b, out);
        x->rows_due = false; /* they are gone */
        return 0;
    }
    int rc = take_cells(c, b, out);
    if (x->rows_due) {
        warm__link_insert(c->spill_young.next, &x->order);
        x->listed = true;
        c->n_spills++;
    }
    return rc;
}

/* A later request has gone on behind it, so it is not likely to be wanted, unless it was before. */
static bool is_worth_it(const struct warm__snapshot *s) {
    return !s->superseded || s->hits > 0;
}

static int take_snapshot(warm_cache *c, struct warm__snapshot *s, warm_spill *out) {
    unlist_snapshot(c, s);
    if (!is_worth_it(s)) return 0;
    out->views = warm_malloc(sizeof *out->views);
    if (!out->views) return WARM_ENOMEM;
    warm_block *b = s->parent;
    out->kind = WARM_DISK_SNAPSHOT;
    out->n_pieces = 1;
    out->prior = s->prior;
    warm__piece_view(c, s->piece, out->views);
    memcpy(out->fingerprint, fingerprint_of(b), sizeof out->fingerprint);
    size_t end = s->piece->start;
    /* At a whole block's end that one is the path's last. Otherwise a block that begins with these units is there: invariant (1) of snapshot.c. */
    if (s->n_units) b = (warm_block *)warm__tree_with(b, s->units, s->n_units);
    parent_key(b, out->parent);
    warm_disk_key_next(out->parent, b->units, end - b->start, out->key);
    out->parent_at = b->start;
    out->start = c->spills_snapshots_only ? 0 : b->start;
    out->n_units = end - out->start;
    pin(c, b, end, out);
    return 1;
}

int warm_spill_next(warm_cache *c, uint64_t settled_ns, warm_spill *out) {
    int rc = 0;
    while (!rc) {
        *out = (warm_spill){0};
        struct warm__link *l = c->spill_full.next;
        if (l != &c->spill_full) {
            rc = take_block(c, noted(l), out);
            continue;
        }
        l = c->spill_young.next;
        if (l != &c->spill_young && note(noted(l))->changed_ns <= settled_ns) {
            rc = take_block(c, noted(l), out);
            continue;
        }
        l = c->spill_snapshots.next;
        struct warm__snapshot *s = WARM__OF(struct warm__snapshot, spill, l);
        if (l == &c->spill_snapshots || s->changed_ns > settled_ns) return 0;
        rc = take_snapshot(c, s, out);
    }
    return rc;
}

uint64_t warm_spill_waits(const warm_cache *c) {
    if (!is_empty(&c->spill_full)) return 0;
    uint64_t first = UINT64_MAX;
    if (!is_empty(&c->spill_young)) first = note(noted(c->spill_young.next))->changed_ns;
    if (!is_empty(&c->spill_snapshots)) {
        uint64_t changed = WARM__OF(struct warm__snapshot, spill, c->spill_snapshots.next)->changed_ns;
        if (changed < first) first = changed;
    }
    return first;
}

void warm_spill_units(const warm_spill *x, warm_unit *out) {
    warm_path_units(&x->path_, x->start, x->n_units, out);
}

static void snapshot_again(warm_cache *c, const warm_spill *x) {
    struct warm__snapshot *s = warm__snapshot_before(&x->path_, x->path_.n_units);
    if (!s || s->piece != x->views->piece || !is_empty(&s->spill)) return;
    warm__link_insert(c->spill_snapshots.next, &s->spill);
    c->n_spills++;
}

static void block_again(warm_cache *c, const warm_spill *x, warm_block *b) {
    struct warm__spill *n = note(b);
    if (x->kind == WARM_DISK_CELLS)
        n->n_written = 0;
    else
        n->rows_due = true, n->rows_written = 0;
    unlist(c, b);
    bool full = cells_due(c, b) && warm__block_full(b);
    warm__link_insert(full ? c->spill_full.next : c->spill_young.next, &n->order);
    n->listed = true;
    c->n_spills++;
}

void warm_spill_end(warm_cache *c, warm_spill *x, bool again) {
    if (again && !x->path_.block_->dead) {
        if (x->kind == WARM_DISK_SNAPSHOT)
            snapshot_again(c, x);
        else
            block_again(c, x, x->path_.block_);
    }
    for (size_t i = 0; i < x->n_pieces; i++) warm_piece_unref(c, x->views[i].piece);
    free(x->views);
    warm_path_release(c, &x->path_);
    *x = (warm_spill){0};
}

/* ---- coming back ---- */

void warm_spill_known(warm_cache *c, const warm_path *p, size_t pos, bool rows) {
    warm_block *b = warm__path_block(p, pos - 1);
    if (b->dead || warm__block_end(b) != pos) return;
    struct warm__spill *x = note(b);
    x->n_written = b->n_units;
    if (rows) {
        x->rows_due = false;
        x->rows_written = (uint16_t)rows_there(b, false);
        x->rows_written_of = b->n_units;
    }
    enlist(c, b);
}

void warm_spill_known_snapshot(warm_cache *c, const warm_path *p, size_t pos) {
    struct warm__snapshot *s = warm__snapshot_before(p, pos);
    if (s && s->piece->start == pos) unlist_snapshot(c, s);
}

void warm_spill_stats_get(const warm_cache *c, warm_spill_stats *out) {
    *out = (warm_spill_stats){c->n_spills, c->n_spills_missed};
}
