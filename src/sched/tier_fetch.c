/* SPDX-License-Identifier: MIT
 *
 * sched/tier_fetch.c - out of files into the tree (tier.h).
 *
 * Up to WARM_FETCH_WINDOW files are opened and read at once, right into memory of the cache, and come into the tree in order. The path behind what has come is
 * pinned, so that making room for the rest does not evict it. Where something can't be had the plan ends there: what has come is cache like any other, and
 * the rest is computed. Reads that are under way then are waited for, by nobody but this file. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/min.h"
#include "sched/tier.h"

enum { PIECES_MAX = WARM_BLOCK_UNITS / WARM_PIECE_MIN };

static warm_flight *flight_of(warm_fetch *f, size_t i) {
    return &f->flights[i % WARM_FETCH_WINDOW];
}

/* Nothing from item i on will come. */
static void stop_at(warm_fetch *f, size_t i) {
    if (i < f->n_items) f->n_items = i;
}

/* ---- opening ---- */

static bool is_covered(const warm_fetch *f, const warm_fetch_item *x) {
    return x->kind == WARM_DISK_CELLS && !x->rows && x->start + x->n_units <= f->path.n_units;
}

/* Others that fetch the same come first. */
static bool is_underway(const warm_fetch *f, const warm_fetch_item *x) {
    for (const warm_fetch *g = f->s->tier->fetches; g && g != f; g = g->next) {
        for (size_t i = g->n_done; i < g->n_items; i++) {
            if (g->items[i].kind == x->kind && memcmp(g->items[i].key, x->key, sizeof x->key) == 0) return true;
        }
    }
    return false;
}

/* After another one has fetched the same: whether that was all. */
static bool is_there(warm_fetch *f) {
    warm_cache *c = f->s->o.cache;
    warm_scope *scope;
    f->waited = false;
    warm_cache_advance(c, &f->path, f->units, f->n);
    return !warm_cache_scope(c, f->fingerprint, &scope) && warm_cache_match_resume(c, scope, f->units, f->n) >= f->goal;
}

static warm_disk_read *open_one(const warm_fetch *f, enum warm_disk_kind kind, const uint8_t *key) {
    const warm_disk_entry *e = warm_disk_find(f->s->tier->disk, kind, key);
    return e ? warm_disk_read_begin(f->s->tier->disk, e) : NULL;
}

static bool begin_next(warm_fetch *f) {
    if (f->n_begun >= f->n_items || f->n_begun - f->n_done >= WARM_FETCH_WINDOW) return false;
    const warm_fetch_item *x = &f->items[f->n_begun];
    if (is_underway(f, x)) {
        f->waited = true;
        return false;
    }
    if (f->waited && is_there(f)) {
        stop_at(f, f->n_begun);
        return false;
    }
    warm_flight *fl = flight_of(f, f->n_begun);
    *fl = (warm_flight){.ready = is_covered(f, x)};
    if (!fl->ready) {
        fl->cells = open_one(f, x->kind, x->key);
        if (!fl->cells) {
            stop_at(f, f->n_begun);
            return false;
        }
        if (x->rows) fl->rows = open_one(f, WARM_DISK_ROWS, x->key);
    }
    f->n_begun++;
    return true;
}

/* ---- judging ---- */

/* The header's key is that of its units behind those of its parent, and the parent's is one that was asked for: so all of this holds already, unless two
 * prompts have one key. */
static bool has_our_units(const warm_fetch *f, const warm_fetch_item *x, const warm_disk_file *file) {
    const warm_disk_head *h = &file->head;
    uint64_t end = x->start + x->n_units;
    if (memcmp(h->fingerprint, f->fingerprint, sizeof h->fingerprint) != 0 || h->start + h->n_units != end ||
        h->parent_at != x->start)
        return false;
    size_t both = (size_t)((end < f->n ? end : f->n) - h->start);
    return memcmp(file->units, f->units + h->start, both * sizeof *f->units) == 0 || x->kind == WARM_DISK_CELLS;
}

static bool is_of_this_engine(const warm_fetch *f, const warm_disk_file *file) {
    const warm_sched *s = f->s;
    for (uint64_t i = 0; i < file->head.n_units; i++) {
        if (file->units[i] >= s->info->n_vocab) return false;
    }
    if (s->tier->o.strict && strcmp(file->backend, s->tier->o.backend) != 0) return false;
    return file->head.state == (uint32_t)s->info->state && file->head.n_window == s->info->n_window;
}

static size_t piece_units(const warm_disk_head *h, size_t i) {
    return warm_min_size(h->piece_units, (size_t)h->n_units - i * h->piece_units);
}

static bool has_our_sizes(const warm_sched *s, const warm_disk_file *file, bool rows) {
    const warm_engine_ops *ops = s->e->ops;
    if (file->head.n_pieces > PIECES_MAX) return false;
    for (size_t i = 0; i < file->head.n_pieces; i++) {
        size_t n = piece_units(&file->head, i), bytes = (size_t)file->pieces[i].bytes;
        if (rows ? bytes && bytes != ops->window_bytes(s->e, n) : bytes != ops->state_bytes(s->e, n)) return false;
    }
    return true;
}

/* How many units of the block the prompt has. */
static size_t common_units(const warm_fetch *f, const warm_fetch_item *x, const warm_disk_file *file) {
    size_t n = warm_min_size(x->n_units, f->n - x->start), i = 0;
    while (i < n && file->units[i] == f->units[x->start + i]) i++;
    return i;
}

static bool block_is_ours(const warm_fetch *f, const warm_fetch_item *x, const warm_disk_file *file) {
    return has_our_units(f, x, file) && is_of_this_engine(f, file) && has_our_sizes(f->s, file, false) &&
           common_units(f, x, file) > 0;
}

static bool rows_are_ours(const warm_fetch *f, const warm_fetch_item *x, const warm_disk_file *rows, const warm_disk_file *cells) {
    return has_our_units(f, x, rows) && is_of_this_engine(f, rows) && has_our_sizes(f->s, rows, true) &&
           rows->head.piece_units == cells->head.piece_units;
}

/* ---- reading ---- */

static int read_block(warm_fetch *f, const warm_fetch_item *x, warm_flight *fl) {
    const warm_disk_file *cells = warm_disk_read_file(fl->cells), *rows = fl->rows ? warm_disk_read_file(fl->rows) : NULL;
    size_t bytes[PIECES_MAX], window[PIECES_MAX] = {0}, n = cells->head.n_pieces;
    uint8_t *to[PIECES_MAX], *to_window[PIECES_MAX];
    if (!block_is_ours(f, x, cells)) return WARM_EINVAL;
    if (rows && !rows_are_ours(f, x, rows, cells)) {
        warm_disk_read_end(fl->rows);
        fl->rows = NULL;
        rows = NULL;
    }
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (size_t)cells->pieces[i].bytes;
        if (rows) window[i] = (size_t)rows->pieces[i].bytes;
    }
    int rc = warm_cache_block_begin(f->s->o.cache, x->start, x->n_units, cells->head.piece_units, bytes, window, &fl->block);
    if (rc) return rc;
    for (size_t i = 0; i < n; i++) {
        warm_save *s = &fl->block.pieces[i];
        to[i] = s->data;
        to_window[i] = s->window;
        warm_save_seal_as(s, cells->pieces[i].sum, rows ? rows->pieces[i].sum : 0);
    }
    warm_disk_read_into(fl->cells, 0, (uint32_t)n, to);
    if (rows) warm_disk_read_into(fl->rows, 0, (uint32_t)n, to_window);
    return 0;
}

static int read_snapshot(warm_fetch *f, const warm_fetch_item *x, warm_flight *fl) {
    const warm_disk_file *file = warm_disk_read_file(fl->cells);
    if (!has_our_units(f, x, file) || !is_of_this_engine(f, file)) return WARM_EINVAL;
    int rc = warm_cache_snapshot_begin(f->s->o.cache, (size_t)file->pieces[0].bytes, &fl->snapshot);
    if (rc) return rc;
    warm_snapshot_seal_as(&fl->snapshot, file->pieces[0].sum);
    warm_disk_read_into(fl->cells, 0, 1, &fl->snapshot.data);
    return 0;
}

static bool is_in(const warm_disk_read *r, enum warm_disk_read_state state) {
    return r && warm_disk_read_state_get(r) == state;
}

/* Says again what is known of a file that is not used. */
static void tell_unused(const warm_fetch_item *x, int rc) {
    char name[WARM_DISK_NAME_BYTES];
    warm_disk_name(x->kind, x->key, name);
    warm_log_debug("disk", "%s is not used: %s", name, warm_strerror(rc));
}

/* True: something has changed. */
static bool go_on(warm_fetch *f, size_t i) {
    warm_flight *fl = flight_of(f, i);
    const warm_fetch_item *x = &f->items[i];
    if (fl->ready || fl->failed) return false;
    if (is_in(fl->cells, WARM_DISK_OPENING) || is_in(fl->rows, WARM_DISK_OPENING)) return false;
    if (is_in(fl->cells, WARM_DISK_READING) || is_in(fl->rows, WARM_DISK_READING)) return false;
    if (is_in(fl->rows, WARM_DISK_FAILED) && !fl->reading) {
        warm_disk_read_end(fl->rows);
        fl->rows = NULL;
    }
    bool failed = is_in(fl->cells, WARM_DISK_FAILED) || is_in(fl->rows, WARM_DISK_FAILED);
    if (!failed && !fl->reading && i < f->n_items) {
        int rc = x->kind == WARM_DISK_SNAPSHOT ? read_snapshot(f, x, fl) : read_block(f, x, fl);
        if (rc) tell_unused(x, rc);
        fl->reading = !rc;
        failed = rc != 0;
    } else if (!failed && fl->reading) {
        fl->ready = true;
    } else if (!failed) {
        fl->failed = true; /* nobody wants it any more */
    }
    if (failed) {
        fl->failed = true;
        stop_at(f, i);
    }
    return true;
}

/* ---- into the tree ---- */

static void end_reads(warm_flight *fl) {
    if (fl->cells) warm_disk_read_end(fl->cells);
    if (fl->rows) warm_disk_read_end(fl->rows);
    fl->cells = fl->rows = NULL;
}

/* Where state has no cells, blocks say no more than that their units are known. */
static int add_empty_blocks(warm_fetch *f, size_t end) {
    warm_cache *c = f->s->o.cache;
    const size_t none = 0;
    while (f->path.n_units < end) {
        warm_block_save b;
        size_t start = f->path.n_units / WARM_BLOCK_UNITS * WARM_BLOCK_UNITS;
        size_t n = warm_min_size(end - start, WARM_BLOCK_UNITS);
        int rc = warm_cache_block_begin(c, start, n, WARM_BLOCK_UNITS, &none, &none, &b);
        if (!rc) rc = warm_cache_block_commit(c, &f->path, &b, f->units);
        if (rc) return rc;
    }
    return 0;
}

static int commit_snapshot(warm_fetch *f, const warm_fetch_item *x, warm_flight *fl) {
    warm_cache *c = f->s->o.cache;
    const warm_disk_file *file = warm_disk_read_file(fl->cells);
    size_t pos = x->start + x->n_units;
    int rc = warm_state_has_ranges(f->s->info->state) ? 0 : add_empty_blocks(f, pos);
    if (!rc && f->path.n_units < pos) rc = WARM_EAGAIN; /* the blocks before it did not come */
    if (rc) {
        warm_cache_snapshot_abort(c, &fl->snapshot);
        return rc;
    }
    rc = warm_cache_snapshot_commit(c, &f->path, pos, file->head.prior, &fl->snapshot, NULL);
    fl->snapshot = (warm_snapshot){0};
    if (!rc) warm_spill_known_snapshot(c, &f->path, pos);
    return rc;
}

/* A block that goes on otherwise than the prompt is put into the tree as it is; the path then ends inside of it. */
static int commit_block(warm_fetch *f, const warm_fetch_item *x, warm_flight *fl) {
    warm_cache *c = f->s->o.cache;
    const warm_disk_file *file = warm_disk_read_file(fl->cells);
    size_t end = x->start + x->n_units, common = x->start + common_units(f, x, file);
    warm_unit *units = f->path.n_units > common && common < end ? NULL : warm_malloc(end * sizeof *units);
    if (!units) { /* no memory, or the tree has got further than this goes along with the prompt */
        warm_cache_block_abort(c, &fl->block);
        return common < end ? 0 : WARM_ENOMEM;
    }
    memcpy(units, f->units, x->start * sizeof *units);
    memcpy(units + x->start, file->units, x->n_units * sizeof *units);
    warm_path path;
    warm_path_clone(c, &f->path, &path);
    int rc = warm_cache_block_commit(c, &path, &fl->block, units);
    if (!rc && fl->rows) warm_cache_mark(c, &path, end);
    if (!rc) warm_spill_known(c, &path, end, fl->rows != NULL);
    free(units);
    warm_path_release(c, &path);
    if (!rc) warm_cache_advance(c, &f->path, f->units, f->n);
    return rc;
}

static bool commit_next(warm_fetch *f) {
    if (f->n_done >= f->n_items || f->n_done >= f->n_begun) return false;
    const warm_fetch_item *x = &f->items[f->n_done];
    warm_flight *fl = flight_of(f, f->n_done);
    if (!fl->ready) return false;
    int rc = !fl->cells ? 0 : x->kind == WARM_DISK_SNAPSHOT ? commit_snapshot(f, x, fl) : commit_block(f, x, fl);
    if (rc) tell_unused(x, rc);
    fl->block.n_pieces = 0;
    end_reads(fl);
    if (rc) {
        stop_at(f, f->n_done);
        fl->failed = true;
        return true;
    }
    f->n_done++;
    return true;
}

/* Gives back what was begun behind the end of the plan, if it is not being read into. */
static void drain(warm_fetch *f) {
    for (size_t i = f->n_items > f->n_done ? f->n_items : f->n_done; i < f->n_begun; i++) {
        warm_flight *fl = flight_of(f, i);
        if (is_in(fl->cells, WARM_DISK_READING) || is_in(fl->rows, WARM_DISK_READING)) continue;
        end_reads(fl);
        if (fl->block.n_pieces) warm_cache_block_abort(f->s->o.cache, &fl->block);
        if (fl->snapshot.bytes) warm_cache_snapshot_abort(f->s->o.cache, &fl->snapshot);
        *fl = (warm_flight){.failed = true};
    }
}

bool warm__fetch_turn(warm_fetch *f) {
    bool did = false;
    if (f->ended) stop_at(f, f->n_done);
    while (begin_next(f)) did = true;
    for (size_t i = f->n_done; i < f->n_begun; i++) did |= go_on(f, i);
    while (commit_next(f)) did = true;
    drain(f);
    return did;
}

bool warm__fetch_is_done(const warm_fetch *f) {
    return f->n_done >= f->n_items;
}

bool warm__fetch_is_home(const warm_fetch *f) {
    for (size_t i = f->n_done; i < f->n_begun; i++) {
        const warm_flight *fl = &f->flights[i % WARM_FETCH_WINDOW];
        if (fl->cells || fl->rows) return false;
    }
    return true;
}

void warm__fetch_free(warm_fetch *f) {
    warm_path_release(f->s->o.cache, &f->path);
    free(f->items);
    free(f->units);
    free(f);
}
