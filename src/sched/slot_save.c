/* SPDX-License-Identifier: MIT
 *
 * sched/slot_save.c - a slot's conversation out of the tree into a file.
 *
 * What a resident still has to save comes first, in slices like any other, with a resume point at its very end. Then all pieces of the last
 * resume point's path are held while the job writes them, with the snapshots along it. Of window rows those are written that the resume
 * point needs, and those that others are likely to need. See slot_state.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "sched/slot_state.h"

_Static_assert(WARM_SLOT_BLOCK_UNITS == WARM_BLOCK_UNITS && WARM_SLOT_PIECE_MIN == WARM_PIECE_MIN, "constants of the formats");
_Static_assert((int)WARM_SLOT_FINGERPRINT_BYTES == (int)WARM_SCOPE_BYTES, "constants of the formats");

struct warm_slot_save {
    warm_seq *seq; /* the resident that is waited for; it is held */
    warm_resume goal;
    warm_slot_file file;
    warm_piece_view *views; /* of the file's pieces, then of its snapshots */
    size_t n_views;
    warm_slot_part *parts;
    size_t n_parts;
    size_t damaged_at; /* by the job, with WARM_ECORRUPT: index of the view */
};

/* The resident that has the conversation, at best as its whole. */
static warm_seq *find_resident(warm_sched *s, const warm_conversation *c) {
    warm_seq *best = NULL;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (!q->in_use || q->slot || !q->cached || q->incomplete || warm__seq_exact(q) < c->n) continue;
        if (memcmp(q->fingerprint, c->fingerprint, sizeof c->fingerprint) || (best && best->n <= q->n)) continue;
        if (warm__units_match(q->units, q->n, c->units, c->n) == c->n) best = q;
    }
    return best;
}

static void begin(warm_order *a) {
    warm_sched *s = a->sched;
    const warm_conversation *c = &s->conversations[a->o.id_slot];
    warm_slot_save *v = a->save = warm_xcalloc(1, sizeof *v);
    warm_seq *q = c->n ? find_resident(s, c) : NULL;
    if (!q) return;
    if (q->n == c->n) warm__point_take(s, q, WARM_POINT_PRIOR_END);
    q->saved = false;
    q->held = true;
    v->seq = q;
}

/* A resident that is dropped is not held any more: it was saved before. */
static bool resident_is_saved(warm_order *a) {
    warm_sched *s = a->sched;
    warm_seq *q = a->save->seq;
    if (!q) return true;
    if (q->held && !q->slot && !q->saved) {
        if (!s->urgent) s->urgent = q;
        return false;
    }
    q->held = false;
    a->save->seq = NULL;
    return true;
}

/* ---- what goes into the file ---- */

static int push_view(warm_slot_save *v, const warm_piece_view *x) {
    if ((v->n_views & (v->n_views - 1)) == 0) {
        warm_piece_view *more = warm_realloc(v->views, (v->n_views ? v->n_views * 2 : 1) * sizeof *more);
        if (!more) return WARM_ENOMEM;
        v->views = more;
    }
    v->views[v->n_views++] = *x;
    return 0;
}

static int view_pieces(warm_sched *s, warm_slot_save *v) {
    const warm_path *p = &v->goal.path;
    for (size_t pos = 0; pos < p->n_units;) {
        warm_piece_view x;
        warm_path_piece(s->o.cache, p, pos, &x);
        assert(x.start == pos);
        if (push_view(v, &x)) {
            warm_piece_unref(s->o.cache, x.piece);
            return WARM_ENOMEM;
        }
        pos += x.n_units;
    }
    v->file.n_pieces = (uint32_t)v->n_views;
    return 0;
}

static int view_snapshots(warm_sched *s, warm_slot_save *v) {
    size_t n = 0, pos = v->goal.path.n_units;
    warm_piece_view x;
    double prior;
    for (size_t at = pos; (at = warm_cache_snapshot_before(s->o.cache, &v->goal.path, at)); at--) n++;
    v->file.snapshots = warm_calloc(n + 1, sizeof *v->file.snapshots);
    if (!v->file.snapshots) return WARM_ENOMEM;
    v->file.n_snapshots = (uint32_t)n;
    if (!n) return 0;
    while (n && warm_path_snapshot(s->o.cache, &v->goal.path, pos, &x, &prior)) {
        v->file.snapshots[--n] = (warm_slot_snapshot){.pos = x.start, .bytes = x.bytes, .prior = prior};
        pos = x.start - 1;
        if (push_view(v, &x)) {
            warm_piece_unref(s->o.cache, x.piece);
            return WARM_ENOMEM;
        }
    }
    /* From the last to the first: the file has them the other way round. */
    warm_piece_view *first = v->views + v->file.n_pieces;
    for (size_t i = 0, k = v->file.n_snapshots; i + 1 < k; i++) {
        warm_piece_view swap = first[i];
        first[i] = first[--k];
        first[k] = swap;
    }
    return 0;
}

static char *copy_text(const char *text) {
    return warm_strndup(text, strlen(text));
}

static void add_part(warm_slot_save *v, const uint8_t *data, size_t bytes) {
    if (bytes) v->parts[v->n_parts++] = (warm_slot_part){data, bytes};
}

static int describe(warm_sched *s, warm_slot_save *v, const char *adapters) {
    warm_slot_file *f = &v->file;
    size_t n = v->goal.path.n_units;
    const warm_piece_view *last = f->n_pieces ? &v->views[f->n_pieces - 1] : NULL;
    f->state = (uint32_t)s->info->state;
    f->n_window = s->info->n_window;
    f->n_conversation = n;
    f->n_units = last ? last->start + last->n_units : 0;
    f->units = warm_malloc(((size_t)f->n_units + 1) * sizeof *f->units);
    f->pieces = warm_calloc(f->n_pieces + 1u, sizeof *f->pieces);
    f->scope = copy_text(s->info->scope);
    f->adapters = copy_text(adapters ? adapters : "");
    f->build = copy_text(s->info->build);
    v->parts = warm_calloc(2u * f->n_pieces + f->n_snapshots + 1u, sizeof *v->parts);
    if (!f->units || !f->pieces || !f->scope || !f->adapters || !f->build || !v->parts) return WARM_ENOMEM;
    if (n) warm_path_units(&v->goal.path, 0, (size_t)f->n_units, f->units);
    size_t rows_from = n < f->n_window ? 0 : n - f->n_window + 1;
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        assert(v->views);
        const warm_piece_view *x = &v->views[i];
        bool rows = x->window && (x->marked || x->start + x->n_units > rows_from);
        f->pieces[i] = (warm_slot_piece){
            .start = x->start, .n_units = x->n_units, .bytes = x->bytes, .window_bytes = rows ? x->window_bytes : 0};
        add_part(v, x->data, x->bytes);
        if (rows) add_part(v, x->window, x->window_bytes);
    }
    for (uint32_t i = 0; i < f->n_snapshots; i++) add_part(v, v->views[f->n_pieces + i].data, v->views[f->n_pieces + i].bytes);
    return 0;
}

/* [slot worker] */
static int sum_piece(const warm_piece_view *x, warm_slot_piece *p) {
    if (p->bytes && warm_piece_verify(x->piece)) return WARM_ECORRUPT;
    if (p->window_bytes && warm_piece_verify_window(x->piece)) return WARM_ECORRUPT;
    if (p->bytes) p->sum = warm_xxh3(x->data, x->bytes);
    if (p->window_bytes) p->window_sum = warm_xxh3(x->window, x->window_bytes);
    return 0;
}

/* [slot worker] */
static int sum_up(warm_slot_save *v) {
    warm_slot_file *f = &v->file;
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        v->damaged_at = i;
        if (sum_piece(&v->views[i], &f->pieces[i])) return WARM_ECORRUPT;
    }
    for (uint32_t i = 0; i < f->n_snapshots; i++) {
        const warm_piece_view *x = &v->views[f->n_pieces + i];
        v->damaged_at = f->n_pieces + i;
        if (warm_piece_verify(x->piece)) return WARM_ECORRUPT;
        f->snapshots[i].sum = warm_xxh3(x->data, x->bytes);
    }
    return 0;
}

/* [slot worker] */
static void write_job(warm_order *a) {
    warm_slot_save *v = a->save;
    if (sum_up(v)) {
        warm_err_set(&a->result.err, WARM_ECORRUPT, "the state of the tokens from %zu on is damaged in memory",
                     v->views[v->damaged_at].start);
        return;
    }
    a->result.err.code = warm_slot_io_write(a->sched->o.slot_dir, a->o.name, &v->file, v->parts, v->n_parts, &a->result.err);
}

static bool fail(warm_order *a, int code, const char *why) {
    warm_err_set(&a->result.err, code, "%s", why);
    return true;
}

/* True: it failed. */
static bool collect(warm_order *a) {
    warm_sched *s = a->sched;
    const warm_conversation *c = &s->conversations[a->o.id_slot];
    warm_slot_save *v = a->save;
    warm_scope *scope;
    warm_path path;
    memcpy(v->file.fingerprint, c->fingerprint, sizeof c->fingerprint);
    if (c->n) {
        if (warm_cache_scope(s->o.cache, c->fingerprint, &scope)) return fail(a, WARM_EFULL, "the cache has no room");
        warm_cache_lookup(s->o.cache, scope, c->units, c->n, &path);
        if (warm_cache_resume(s->o.cache, &path, &v->goal)) return fail(a, WARM_ENOMEM, "out of memory");
        if (!v->goal.path.n_units)
            return fail(a, WARM_EFULL,
                        "the cache does not hold the slot's conversation any more, or it never had room for it (--cache-ram)");
    }
    if (view_pieces(s, v) || view_snapshots(s, v) || describe(s, v, c->adapters)) return fail(a, WARM_ENOMEM, "out of memory");
    a->result.n_units = (size_t)v->file.n_conversation;
    a->result.n_bytes = warm_slot_file_bytes(&v->file);
    return false;
}

static void put_aside(warm_order *a) {
    const warm_slot_save *v = a->save;
    warm_cache *c = a->sched->o.cache;
    const warm_piece_view *x = &v->views[v->damaged_at];
    warm_scope *scope;
    warm_path path;
    if (v->damaged_at < v->file.n_pieces) {
        if (warm_piece_state_get(x->piece) == WARM_PIECE_DAMAGED)
            warm_cache_quarantine(c, &v->goal.path, x->start);
        else
            warm_cache_quarantine_window(c, x->piece);
    } else if (!warm_cache_scope(c, v->file.fingerprint, &scope)) {
        warm_cache_lookup(c, scope, v->file.units, x->start, &path);
        if (path.n_units == x->start) warm_cache_quarantine_snapshot(c, &path);
        warm_path_release(c, &path);
    }
}

bool warm__slot_save_turn(warm_order *a) {
    if (a->phase == WARM_ORDER_WRITING) {
        if (a->result.err.code == WARM_ECORRUPT) put_aside(a);
        return true;
    }
    if (a->phase == WARM_ORDER_WAITING) {
        begin(a);
        a->phase = WARM_ORDER_SAVING;
    }
    if (!resident_is_saved(a)) return false;
    if (collect(a)) return true;
    /* What is written is held, so others may have the slot meanwhile. */
    a->sched->conversations[a->o.id_slot].held = false;
    a->sched->queue_changed = true;
    a->phase = WARM_ORDER_WRITING;
    warm__order_post(a, write_job);
    return false;
}

void warm__slot_save_free(warm_order *a) {
    warm_slot_save *v = a->save;
    if (!v) return;
    warm_cache *c = a->sched->o.cache;
    if (v->seq) v->seq->held = false;
    for (size_t i = 0; i < v->n_views; i++) warm_piece_unref(c, v->views[i].piece);
    warm_resume_release(c, &v->goal);
    warm_slot_file_free(&v->file);
    free(v->views);
    free(v->parts);
    free(v);
    a->save = NULL;
}
