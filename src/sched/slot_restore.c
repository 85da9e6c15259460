/* SPDX-License-Identifier: MIT
 *
 * sched/slot_restore.c - a slot's conversation out of a file into the tree.
 *
 * The file is judged and verified as a whole before anything is changed. Then it comes in in batches: the engine thread makes room for some
 * blocks, the job reads them right there and verifies them again, the engine thread puts them into the tree. The path behind what has come is
 * pinned, so that making room for the rest does not evict the beginning. What has come before an error stays: it is cache like any other.
 * See slot_state.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sched/slot_state.h"

enum { BATCH_ITEMS = 16, BATCH_BYTES = 64 << 20 };

enum item_kind { ITEM_BLOCK, ITEM_ROWS, ITEM_SNAPSHOT };

/* Something that room was made for. */
struct item {
    enum item_kind kind;
    uint32_t at; /* its first piece, or its snapshot, in the file */
    union {
        warm_block_save block;
        warm_save rows;
        warm_snapshot snapshot;
    } u;
};

struct warm_slot_restore {
    warm_slot_reader reader;
    bool open;
    uint64_t *offsets; /* in the payload, of the pieces and then of the snapshots */
    warm_scope *scope;
    warm_path path;
    uint32_t next_piece, next_rows, next_snapshot; /* what comes into the next batch */
    struct item items[BATCH_ITEMS];
    size_t n_items;
};

static const char no_room[] = "the cache has no room for all of it (--cache-ram)";

/* ---- judging ---- */

static size_t line_end(const char *s) {
    return strcspn(s, "\n");
}

/* Names the first line of the scopes' texts that differs, and shows both from shortly before the difference on. */
static void differing_line(const char *theirs, const char *ours, warm_err *err) {
    while (*theirs && line_end(theirs) == line_end(ours) && memcmp(theirs, ours, line_end(ours)) == 0) {
        theirs += line_end(theirs) + (theirs[line_end(theirs)] == '\n');
        ours += line_end(ours) + (ours[line_end(ours)] == '\n');
    }
    size_t n_theirs = line_end(theirs), n_ours = line_end(ours), same = 0;
    while (same < n_theirs && same < n_ours && theirs[same] == ours[same]) same++;
    const size_t most = 56, before = 32;
    size_t name = strcspn(theirs, ":\n"), from = same > before ? same - before : 0;
    n_theirs = n_theirs - from < most ? n_theirs - from : most;
    n_ours = n_ours - from < most ? n_ours - from : most;
    warm_err_set(err, WARM_EINVAL, "it is of another model or settings (%.*s): '%.*s' there, '%.*s' here",
                 (int)(name < 20 ? name : 20), theirs, (int)n_theirs, theirs + from, (int)n_ours, ours + from);
}

static bool is_loaded(const warm_engine_info *info, const char *line) {
    for (size_t i = 0; i < info->n_adapters; i++) {
        const char *content = info->adapters[i].content, *at = strstr(line, content);
        if (at && at < line + line_end(line)) return true;
    }
    return false;
}

/* Any scale can be asked for, but not an adapter that is not there: what it has made would never be found. */
static int check_adapters(const warm_engine_info *info, const char *adapters, warm_err *err) {
    for (const char *line = adapters; *line; line += line_end(line) + (line[line_end(line)] == '\n')) {
        if (!is_loaded(info, line))
            return warm_err_set(err, WARM_EINVAL, "it was made with an adapter that is not loaded: '%.*s'",
                                (int)(line_end(line) < 100 ? line_end(line) : 100), line);
    }
    return 0;
}

/* [slot worker] */
static int judge(const void *ud, const warm_slot_file *f, warm_err *err) {
    const warm_engine_info *info = ud;
    if (strcmp(f->scope, info->scope) != 0) {
        differing_line(f->scope, info->scope, err);
        return WARM_EINVAL;
    }
    if (f->state != (uint32_t)info->state || f->n_window != info->n_window)
        return warm_err_set(err, WARM_EINVAL, "its state is of another kind: '%s' with a window of %u there, '%s' with %u here",
                            f->state <= WARM_STATE_WHOLE ? warm_state_kind_name((enum warm_state_kind)f->state) : "unknown",
                            f->n_window, warm_state_kind_name(info->state), info->n_window);
    for (uint64_t i = 0; i < f->n_units; i++) {
        if (f->units[i] >= info->n_vocab)
            return warm_err_set(err, WARM_EINVAL, "its token %llu is not in the vocabulary", (unsigned long long)f->units[i]);
    }
    int rc = check_adapters(info, f->adapters, err);
    if (rc) return rc;
    bool snapshots = warm_state_has_snapshots(info->state);
    bool ends_well = !f->n_conversation || (f->n_snapshots && f->snapshots[f->n_snapshots - 1].pos == f->n_conversation);
    if (snapshots ? !ends_well : f->n_snapshots != 0)
        return warm_err_set(err, WARM_EINVAL, "its snapshots are not those of a model that has '%s'",
                            warm_state_kind_name(info->state));
    return 0;
}

/* [slot worker] */
static void open_job(warm_order *a) {
    warm_sched *s = a->sched;
    warm_slot_restore *r = a->restore;
    warm_err why = {0};
    int rc = warm_slot_io_open(s->o.slot_dir, a->o.name, s->info->n_ctx, judge, s->info, &r->reader, &why);
    if (rc == WARM_ENOTFOUND || rc == WARM_EIO || rc == WARM_ENOMEM)
        warm_err_set(&a->result.err, rc, "%s", why.text);
    else if (rc)
        warm_err_set(&a->result.err, rc, "'%.40s' can't be restored: %s", a->o.name, why.text);
    r->open = !rc;
}

/* Sizes that only the engine can tell. */
static bool sizes_are_right(const warm_sched *s, const warm_slot_file *f) {
    const warm_engine_ops *ops = s->e->ops;
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        const warm_slot_piece *x = &f->pieces[i];
        size_t n = (size_t)x->n_units, rows = s->info->state == WARM_STATE_WINDOW ? ops->window_bytes(s->e, n) : 0;
        if (x->bytes != ops->state_bytes(s->e, n) || (x->window_bytes && x->window_bytes != rows)) return false;
    }
    return true;
}

static bool fail(warm_order *a, int code, const char *why) {
    warm_err_set(&a->result.err, code, "'%.40s' can't be restored: %s", a->o.name, why);
    return true;
}

/* True: it failed. */
static bool begin(warm_order *a) {
    warm_sched *s = a->sched;
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    uint64_t at = 0;
    if (!sizes_are_right(s, f)) return fail(a, WARM_EINVAL, "its pieces have not the size that this model's state has");
    r->offsets = warm_calloc((size_t)f->n_pieces + f->n_snapshots + 1, sizeof *r->offsets);
    if (!r->offsets) return fail(a, WARM_ENOMEM, "out of memory");
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        r->offsets[i] = at;
        at += f->pieces[i].bytes + f->pieces[i].window_bytes;
    }
    for (uint32_t i = 0; i < f->n_snapshots; i++) {
        r->offsets[f->n_pieces + i] = at;
        at += f->snapshots[i].bytes;
    }
    /* What can't be had must not empty the cache before it fails. */
    warm_cache_stats st;
    warm_cache_stats_get(s->o.cache, &st);
    if (at > st.budget_limit_bytes) return fail(a, WARM_EFULL, no_room);
    if (warm_cache_scope(s->o.cache, f->fingerprint, &r->scope)) return fail(a, WARM_EFULL, no_room);
    warm_cache_lookup(s->o.cache, r->scope, f->units, (size_t)f->n_units, &r->path);
    return false;
}

/* ---- batches ---- */

/* Room for the next block that the tree does not have as a whole. 1: made; 0: there is none left. */
static int next_block(warm_order *a, struct item *it, size_t *bytes) {
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    while (r->next_piece < f->n_pieces) {
        uint64_t piece_units;
        uint32_t first = r->next_piece, end = warm_slot_file_block(f, first, &piece_units);
        uint64_t start = f->pieces[first].start, n = f->pieces[end - 1].start + f->pieces[end - 1].n_units - start;
        r->next_piece = end;
        if (start + n <= r->path.n_units) continue;
        size_t state[WARM_BLOCK_UNITS / WARM_PIECE_MIN], rows[WARM_BLOCK_UNITS / WARM_PIECE_MIN];
        for (uint32_t i = first; i < end; i++) {
            state[i - first] = (size_t)f->pieces[i].bytes;
            rows[i - first] = (size_t)f->pieces[i].window_bytes;
            *bytes += state[i - first] + rows[i - first];
        }
        *it = (struct item){.kind = ITEM_BLOCK, .at = first};
        int rc =
            warm_cache_block_begin(a->sched->o.cache, (size_t)start, (size_t)n, (size_t)piece_units, state, rows, &it->u.block);
        return rc ? rc : 1;
    }
    return 0;
}

/* Whether the tree has this piece as it is, but without its window rows. */
static bool lacks_rows(warm_order *a, const warm_slot_piece *x) {
    warm_slot_restore *r = a->restore;
    warm_piece_view v;
    if (!x->window_bytes || x->start + x->n_units > r->path.n_units) return false;
    warm_path_piece(a->sched->o.cache, &r->path, (size_t)x->start, &v);
    bool lacks = v.start == x->start && v.n_units == x->n_units && !v.window;
    warm_piece_unref(a->sched->o.cache, v.piece);
    return lacks;
}

/* The same for window rows of pieces that the tree had before; all blocks are in. */
static int next_rows(warm_order *a, struct item *it, size_t *bytes) {
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    while (r->next_rows < f->n_pieces) {
        const warm_slot_piece *x = &f->pieces[r->next_rows++];
        if (!lacks_rows(a, x)) continue;
        *bytes += (size_t)x->window_bytes;
        *it = (struct item){.kind = ITEM_ROWS, .at = r->next_rows - 1};
        int rc = warm_cache_save_begin_window(a->sched->o.cache, (size_t)x->start, (size_t)x->n_units, (size_t)x->window_bytes,
                                              &it->u.rows);
        return rc ? rc : 1;
    }
    return 0;
}

static int next_snapshot(warm_order *a, struct item *it, size_t *bytes) {
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    warm_cache *c = a->sched->o.cache;
    while (r->next_snapshot < f->n_snapshots) {
        const warm_slot_snapshot *x = &f->snapshots[r->next_snapshot++];
        if (warm_cache_snapshot_before(c, &r->path, (size_t)x->pos) == x->pos) continue;
        *bytes += (size_t)x->bytes;
        *it = (struct item){.kind = ITEM_SNAPSHOT, .at = r->next_snapshot - 1};
        int rc = warm_cache_snapshot_begin(c, (size_t)x->bytes, &it->u.snapshot);
        return rc ? rc : 1;
    }
    return 0;
}

/* Fills the batch: blocks, and what needs these to be in the tree only when they are. Returns WARM_E*. */
static int fill(warm_order *a) {
    warm_slot_restore *r = a->restore;
    size_t bytes = 0;
    int rc = 1;
    while (r->n_items < BATCH_ITEMS && bytes < BATCH_BYTES && (rc = next_block(a, &r->items[r->n_items], &bytes)) > 0) r->n_items++;
    if (rc < 0 || r->n_items) return rc < 0 ? rc : 0;
    if (r->path.n_units < r->reader.f.n_units) return WARM_EAGAIN;
    while (r->n_items < BATCH_ITEMS && bytes < BATCH_BYTES && (rc = next_rows(a, &r->items[r->n_items], &bytes)) > 0) r->n_items++;
    if (rc < 0) return rc;
    while (r->n_items < BATCH_ITEMS && bytes < BATCH_BYTES && (rc = next_snapshot(a, &r->items[r->n_items], &bytes)) > 0)
        r->n_items++;
    return rc < 0 ? rc : 0;
}

/* [slot worker] */
static int read_piece(const warm_slot_restore *r, uint32_t i, uint8_t *state, uint8_t *rows, warm_err *err) {
    const warm_slot_piece *x = &r->reader.f.pieces[i];
    uint64_t at = r->offsets[i];
    if (state && x->bytes) {
        int rc = warm_slot_io_read(&r->reader, at, state, (size_t)x->bytes, x->sum, err);
        if (rc) return rc;
    }
    return rows ? warm_slot_io_read(&r->reader, at + x->bytes, rows, (size_t)x->window_bytes, x->window_sum, err) : 0;
}

/* [slot worker] Nobody gets to see the bytes before their checksums are taken. */
static int read_item(const warm_slot_restore *r, struct item *it, warm_err *err) {
    const warm_slot_file *f = &r->reader.f;
    int rc = 0;
    switch (it->kind) {
    case ITEM_BLOCK:
        for (size_t i = 0; !rc && i < it->u.block.n_pieces; i++) {
            warm_save *x = &it->u.block.pieces[i];
            rc = read_piece(r, it->at + (uint32_t)i, x->data, x->window, err);
            if (!rc) warm_save_seal(x);
        }
        return rc;
    case ITEM_ROWS:
        rc = read_piece(r, it->at, NULL, it->u.rows.window, err);
        if (!rc) warm_save_seal(&it->u.rows);
        return rc;
    default:
        rc = warm_slot_io_read(&r->reader, r->offsets[f->n_pieces + it->at], it->u.snapshot.data,
                               (size_t)f->snapshots[it->at].bytes, f->snapshots[it->at].sum, err);
        if (!rc) warm_snapshot_seal(&it->u.snapshot);
        return rc;
    }
}

/* [slot worker] */
static void read_job(warm_order *a) {
    warm_slot_restore *r = a->restore;
    warm_err why = {0};
    for (size_t i = 0; i < r->n_items; i++) {
        int rc = read_item(r, &r->items[i], &why);
        if (!rc) continue;
        warm_err_set(&a->result.err, rc, "'%.40s' can't be restored: %s", a->o.name, why.text);
        return;
    }
}

static void abort_item(warm_cache *c, struct item *it) {
    switch (it->kind) {
    case ITEM_BLOCK:
        warm_cache_block_abort(c, &it->u.block);
        break;
    case ITEM_ROWS:
        warm_cache_save_abort(c, &it->u.rows);
        break;
    case ITEM_SNAPSHOT:
        warm_cache_snapshot_abort(c, &it->u.snapshot);
        break;
    }
}

static int commit_item(warm_order *a, struct item *it) {
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    warm_cache *c = a->sched->o.cache;
    if (it->kind == ITEM_BLOCK) return warm_cache_block_commit(c, &r->path, &it->u.block, f->units);
    if (it->kind == ITEM_SNAPSHOT) {
        const warm_slot_snapshot *x = &f->snapshots[it->at];
        return warm_cache_snapshot_commit(c, &r->path, (size_t)x->pos, x->prior, &it->u.snapshot, NULL);
    }
    int rc = warm_cache_save_commit(c, &r->path, &it->u.rows, f->units, NULL);
    return rc == WARM_EAGAIN ? 0 : rc; /* the tree has other pieces there by now, with rows of their own */
}

/* Puts what was read into the tree; what follows an error is given back. */
static int commit(warm_order *a) {
    warm_slot_restore *r = a->restore;
    int rc = a->result.err.code;
    for (size_t i = 0; i < r->n_items; i++) {
        if (rc)
            abort_item(a->sched->o.cache, &r->items[i]);
        else
            rc = commit_item(a, &r->items[i]);
    }
    r->n_items = 0;
    return rc;
}

/* ---- turns ---- */

static bool finish(warm_order *a) {
    warm_sched *s = a->sched;
    warm_slot_restore *r = a->restore;
    const warm_slot_file *f = &r->reader.f;
    warm_cache *c = s->o.cache;
    size_t n = (size_t)f->n_conversation;
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        size_t end = (size_t)(f->pieces[i].start + f->pieces[i].n_units);
        if (f->pieces[i].window_bytes) warm_cache_mark(c, &r->path, end < n ? end : n);
    }
    size_t at = n ? warm_cache_match_resume(c, r->scope, f->units, n) : 0;
    if (at < n) return fail(a, WARM_EFULL, no_room);
    warm_conversation made = {.units = f->units, .n = n, .adapters = f->adapters};
    memcpy(made.fingerprint, f->fingerprint, sizeof made.fingerprint);
    if (!warm__conversation_set(s, a->o.id_slot, &made)) return fail(a, WARM_ENOMEM, "out of memory");
    a->result.n_units = n;
    a->result.n_bytes = warm_slot_file_bytes(f);
    return true;
}

/* The next batch, or the end. */
static bool go_on(warm_order *a) {
    int rc = fill(a);
    if (rc == WARM_EFULL) return fail(a, rc, no_room);
    if (rc == WARM_EAGAIN) return fail(a, rc, "the cache has changed meanwhile, try again");
    if (rc) return fail(a, rc, warm_strerror(rc));
    if (!a->restore->n_items) return finish(a);
    a->phase = WARM_ORDER_READING;
    warm__order_post(a, read_job);
    return false;
}

bool warm__slot_restore_turn(warm_order *a) {
    if (a->phase == WARM_ORDER_WAITING) {
        a->restore = warm_xcalloc(1, sizeof *a->restore);
        a->restore->reader.fd = -1;
        a->phase = WARM_ORDER_OPENING;
        warm__order_post(a, open_job);
        return false;
    }
    if (a->phase == WARM_ORDER_OPENING) return a->result.err.code || begin(a) || go_on(a);
    int rc = commit(a);
    if (a->result.err.code) return true;
    if (rc == WARM_EFULL) return fail(a, rc, no_room);
    if (rc == WARM_EAGAIN) return fail(a, rc, "the cache has changed meanwhile, try again");
    if (rc) return fail(a, rc, warm_strerror(rc));
    warm_cache_advance(a->sched->o.cache, &a->restore->path, a->restore->reader.f.units, (size_t)a->restore->reader.f.n_units);
    return go_on(a);
}

void warm__slot_restore_free(warm_order *a) {
    warm_slot_restore *r = a->restore;
    if (!r) return;
    for (size_t i = 0; i < r->n_items; i++) abort_item(a->sched->o.cache, &r->items[i]);
    warm_path_release(a->sched->o.cache, &r->path);
    if (r->open) warm_slot_io_close(&r->reader);
    free(r->offsets);
    free(r);
    a->restore = NULL;
}
