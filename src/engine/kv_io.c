/* SPDX-License-Identifier: MIT
 *
 * engine/kv_io.c - see kv_io.h.
 *
 * A job holds one reference to its piece. Finished jobs go to a list that the engine thread drains in warm_kv_poll; references are given
 * back there, since the tree is the engine thread's. A load keeps a window of pieces under verification ahead of the one it loads.
 * Not here: when to save or load (sched/). */
#include "engine/kv_io.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/min.h"

enum { LOAD_WINDOW = 16 };

/* Before anything was measured: what this kind of machine copies (ENGINE.md, "Numbers seen here"). */
static const double assumed_bytes_per_ns = 2.0;

/* What is verified and loaded at once: the cells of a piece, its window rows, or the snapshot. */
enum part { PART_CELLS, PART_WINDOW, PART_SNAPSHOT };

struct kv_job {
    warm_kv *kv;
    warm_piece *piece;
    warm_kv_load *load; /* NULL: a seal */
    enum part part;
    unsigned slot;
    int result;
    struct kv_job *next;
};

enum entry_state { ENTRY_PENDING, ENTRY_GOOD, ENTRY_BAD };

struct entry {
    warm_piece_view view;
    enum part part;
    enum entry_state state;
};

struct warm_kv_load {
    int32_t seq;
    warm_resume goal;
    bool stateless;   /* units have no state of their own: the snapshot brings them all */
    size_t pos;       /* next unit to append */
    size_t rows_from; /* window rows before this are in the context */
    /* what is put under verification next: cells of unit `ahead`, then rows of goal.window[ahead_window] once their cells are ahead of them, at last
     * the snapshot */
    size_t ahead, ahead_window;
    bool ahead_snapshot;
    struct entry window[LOAD_WINDOW];
    unsigned head, count;
    unsigned n_jobs; /* out with the worker */
    bool ended;
};

struct warm_kv {
    warm_kv_options o;
    double save_rate, load_rate, snapshot_ns;
    unsigned n_jobs;
    pthread_mutex_t lock; /* guards done and signals finished */
    pthread_cond_t finished;
    struct kv_job *done, **done_tail;
};

warm_kv *warm_kv_new(const warm_kv_options *o) {
    warm_kv *kv = warm_xcalloc(1, sizeof *kv);
    kv->o = *o;
    kv->done_tail = &kv->done;
    pthread_mutex_init(&kv->lock, NULL);
    pthread_cond_init(&kv->finished, NULL);
    return kv;
}

void warm_kv_free(warm_kv *kv) {
    if (!kv) return;
    while (kv->n_jobs) {
        pthread_mutex_lock(&kv->lock);
        while (!kv->done) pthread_cond_wait(&kv->finished, &kv->lock);
        pthread_mutex_unlock(&kv->lock);
        warm_kv_poll(kv);
    }
    pthread_cond_destroy(&kv->finished);
    pthread_mutex_destroy(&kv->lock);
    free(kv);
}

static void job_run(void *arg) {
    struct kv_job *j = arg;
    warm_kv *kv = j->kv;
    if (j->load) {
        j->result = j->part == PART_WINDOW ? warm_piece_verify_window(j->piece) : warm_piece_verify(j->piece);
    } else {
        warm_piece_seal(j->piece);
    }
    /* The wake is called inside the lock: once the job is on the list, warm_kv_free may run to its end. */
    pthread_mutex_lock(&kv->lock);
    *kv->done_tail = j;
    kv->done_tail = &j->next;
    pthread_cond_signal(&kv->finished);
    kv->o.wake(kv->o.ud);
    pthread_mutex_unlock(&kv->lock);
}

static void job_post(warm_kv *kv, warm_piece *piece, warm_kv_load *load, enum part part, unsigned slot) {
    struct kv_job *j = warm_xcalloc(1, sizeof *j);
    j->kv = kv;
    j->piece = piece;
    j->load = load;
    j->part = part;
    j->slot = slot;
    kv->n_jobs++;
    if (load) load->n_jobs++;
    warm_worker_post(kv->o.worker, job_run, j);
}

static void load_free(warm_kv *kv, warm_kv_load *l) {
    warm_resume_release(kv->o.cache, &l->goal);
    free(l);
}

void warm_kv_poll(warm_kv *kv) {
    pthread_mutex_lock(&kv->lock);
    struct kv_job *j = kv->done;
    kv->done = NULL;
    kv->done_tail = &kv->done;
    pthread_mutex_unlock(&kv->lock);
    while (j) {
        struct kv_job *next = j->next;
        warm_kv_load *l = j->load;
        if (!l) {
            warm_piece_unref(kv->o.cache, j->piece);
        } else if (l->ended) {
            if (j->part == PART_CELLS) warm_piece_unref(kv->o.cache, j->piece);
            if (--l->n_jobs == 0) load_free(kv, l);
        } else {
            l->n_jobs--;
            l->window[j->slot].state = j->result ? ENTRY_BAD : ENTRY_GOOD;
        }
        kv->n_jobs--;
        free(j);
        j = next;
    }
}

static void rate_add(double *rate, size_t bytes, uint64_t ns) {
    double now = (double)bytes / (double)(ns ? ns : 1);
    *rate = *rate > 0 ? *rate + (now - *rate) / 8 : now;
}

warm_kv_rates warm_kv_rates_get(const warm_kv *kv) {
    return (warm_kv_rates){.save_bytes_per_ns = kv->save_rate, .load_bytes_per_ns = kv->load_rate};
}

double warm_kv_snapshot_ns(const warm_kv *kv) {
    return kv->snapshot_ns;
}

static size_t window_bytes(const warm_kv *kv, size_t n) {
    const warm_engine *e = kv->o.engine;
    return e->info->state == WARM_STATE_WINDOW ? e->ops->window_bytes(e, n) : 0;
}

/* That of saves stands for loads as long as nothing was loaded: it was measured, on this machine. */
static double slower_rate(const warm_kv *kv) {
    double save = kv->save_rate, load = kv->load_rate > 0 ? kv->load_rate : save;
    if (save <= 0) save = load;
    return save <= 0 ? assumed_bytes_per_ns : save < load ? save : load;
}

size_t warm_kv_piece_units(const warm_kv *kv) {
    const warm_engine *e = kv->o.engine;
    if (!warm_state_has_ranges(e->info->state)) return WARM_BLOCK_UNITS;
    double bytes = slower_rate(kv) * (double)kv->o.slice_ns / 2;
    double per_unit =
        (double)(e->ops->state_bytes(e, WARM_BLOCK_UNITS) / WARM_BLOCK_UNITS + window_bytes(kv, WARM_PIECE_MIN) / WARM_PIECE_MIN);
    size_t most = WARM_BLOCK_UNITS;
    if (e->info->state == WARM_STATE_WINDOW && e->info->n_window < most) most = e->info->n_window;
    size_t units = WARM_PIECE_MIN;
    while (units * 2 <= most && (double)(units * 2) * per_unit <= bytes) units *= 2;
    return units;
}

bool warm_kv_has_whole(const warm_kv *kv, const warm_path *p, size_t n) {
    size_t start, count, whole, piece_units = warm_kv_piece_units(kv);
    if (!warm_cache_next_piece(kv->o.cache, p, n, piece_units, &start, &count)) return false;
    /* As many as it would have if the sequence were long enough: a block goes on with the size it was begun with. */
    return warm_cache_next_piece(kv->o.cache, p, n + WARM_BLOCK_UNITS, piece_units, &start, &whole) && count == whole;
}

/* Fills what save_begin handed out. */
static int fill(warm_kv *kv, int32_t seq, warm_save *save) {
    warm_engine *e = kv->o.engine;
    warm_err err = {0};
    size_t bytes = save->bytes;
    uint64_t t0 = warm_clock_now(kv->o.clock);
    int64_t written = bytes ? e->ops->state_save(e, seq, (int32_t)save->start, save->count, save->data, bytes, &err) : 0;
    if (written == (int64_t)bytes && save->window) {
        int64_t rows = e->ops->window_save(e, seq, (int32_t)save->start, save->count, save->window, save->window_bytes, &err);
        if (rows == (int64_t)save->window_bytes) {
            bytes += save->window_bytes;
        } else { /* too late: the units can be loaded, but nothing can be resumed right behind them */
            if (rows != WARM_ENOTFOUND) warm_log_error("kv", "saving window rows: %s", err.text);
            warm_cache_save_without_window(kv->o.cache, save);
        }
    }
    uint64_t ns = warm_clock_now(kv->o.clock) - t0;
    if (written != (int64_t)save->bytes) {
        warm_log_error("kv", "saving units %zu..%zu failed: %s", save->start, save->start + save->count,
                       written < 0 ? err.text : "unexpected size");
        return written < 0 ? (int)written : WARM_EENGINE;
    }
    if (bytes) rate_add(&kv->save_rate, bytes, ns);
    return 0;
}

/* What was filled goes into the tree and is sealed. */
static int commit(warm_kv *kv, warm_path *p, warm_save *save, const warm_unit *units) {
    warm_piece_view v;
    int rc = warm_cache_save_commit(kv->o.cache, p, save, units, &v);
    if (rc) return rc;
    job_post(kv, v.piece, NULL, PART_CELLS, 0);
    return 1;
}

int warm_kv_save(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t n, bool whole_only) {
    warm_cache *c = kv->o.cache;
    size_t start, count, piece_units = warm_kv_piece_units(kv);
    warm_cache_advance(c, p, units, n);
    if (!warm_cache_next_piece(c, p, n, piece_units, &start, &count)) return 0;
    if (whole_only && !warm_kv_has_whole(kv, p, n)) return 0;

    warm_save save;
    size_t bytes = kv->o.engine->ops->state_bytes(kv->o.engine, count);
    int rc = warm_cache_save_begin(c, p, start, count, piece_units, bytes, window_bytes(kv, count), &save);
    if (rc) return rc;
    rc = fill(kv, seq, &save);
    if (rc) {
        warm_cache_save_abort(c, &save);
        return rc;
    }
    return commit(kv, p, &save, units);
}

int warm_kv_save_rows(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t pos, size_t end) {
    warm_cache *c = kv->o.cache;
    warm_engine *e = kv->o.engine;
    size_t start, count;
    if (!warm_cache_next_window(c, p, pos, &start, &count) || start >= end) return 0;
    warm_save save;
    int rc = warm_cache_save_begin_window(c, start, count, window_bytes(kv, count), &save);
    if (rc) return rc;
    warm_err err = {0};
    int64_t rows = e->ops->window_save(e, seq, (int32_t)start, count, save.window, save.window_bytes, &err);
    if (rows != (int64_t)save.window_bytes) {
        warm_cache_save_abort(c, &save);
        return rows == WARM_ENOTFOUND ? 0 : rows < 0 ? (int)rows : WARM_EENGINE;
    }
    return commit(kv, p, &save, units);
}

int warm_kv_snapshot(warm_kv *kv, int32_t seq, warm_snapshot *out) {
    warm_engine *e = kv->o.engine;
    size_t bytes = e->ops->snapshot_bytes(e, seq);
    if (!bytes) return WARM_ENOTFOUND;
    int rc = warm_cache_snapshot_begin(kv->o.cache, bytes, out);
    if (rc) return rc;
    warm_err err = {0};
    uint64_t t0 = warm_clock_now(kv->o.clock);
    int64_t written = e->ops->snapshot_save(e, seq, out->data, bytes, &err);
    uint64_t ns = warm_clock_now(kv->o.clock) - t0;
    if (written != (int64_t)bytes) {
        warm_log_error("kv", "saving a snapshot failed: %s", written < 0 ? err.text : "unexpected size");
        warm_cache_snapshot_abort(kv->o.cache, out);
        return written < 0 ? (int)written : WARM_EENGINE;
    }
    rate_add(&kv->save_rate, bytes, ns);
    kv->snapshot_ns = (double)ns;
    return 0;
}

int warm_kv_snapshot_commit(warm_kv *kv, const warm_path *p, size_t pos, double prior, warm_snapshot *s) {
    warm_piece_view v;
    int rc = warm_cache_snapshot_commit(kv->o.cache, p, pos, prior, s, &v);
    if (rc) return rc;
    job_post(kv, v.piece, NULL, PART_CELLS, 0);
    return 0;
}

static void load_push(warm_kv *kv, warm_kv_load *l, const warm_piece_view *v, enum part part) {
    unsigned slot = (l->head + l->count) % LOAD_WINDOW;
    l->window[slot] = (struct entry){*v, part, ENTRY_PENDING};
    l->count++;
    job_post(kv, v->piece, l, part, slot);
}

/* Rows of the next piece that needs them, once its cells are ahead of them. */
static bool push_rows(warm_kv *kv, warm_kv_load *l) {
    for (; l->ahead_window < l->goal.n_window; l->ahead_window++) {
        const warm_piece_view *v = &l->goal.window[l->ahead_window];
        if (v->start + v->n_units <= l->rows_from) continue;
        if (v->start + v->n_units > l->ahead && l->ahead < l->goal.path.n_units) return false;
        load_push(kv, l, v, PART_WINDOW);
        l->ahead_window++;
        return true;
    }
    return false;
}

/* Fills the window when half of it was used: posts verifications in the order of loading. Several at a time, because a worker that is faster than the
 * engine has gone to sleep by then, and to wake it costs the engine thread as much as 50 KB. */
static void load_ahead(warm_kv *kv, warm_kv_load *l) {
    if (l->count > LOAD_WINDOW / 2) return;
    while (l->count < LOAD_WINDOW) {
        if (push_rows(kv, l)) continue;
        if (l->ahead < l->goal.path.n_units && !l->stateless) {
            warm_piece_view v;
            warm_path_piece(kv->o.cache, &l->goal.path, l->ahead, &v);
            load_push(kv, l, &v, PART_CELLS);
            l->ahead = v.start + v.n_units;
        } else if (l->ahead_snapshot) {
            load_push(kv, l, &l->goal.snapshot, PART_SNAPSHOT);
            l->ahead_snapshot = false;
        } else {
            return;
        }
    }
}

warm_kv_load *warm_kv_load_begin(warm_kv *kv, int32_t seq, warm_resume *r, size_t from, bool complete) {
    warm_kv_load *l = warm_xcalloc(1, sizeof *l);
    l->seq = seq;
    l->goal = *r;
    *r = (warm_resume){0};
    l->stateless = !warm_state_has_ranges(kv->o.engine->info->state);
    l->pos = l->ahead = from;
    l->rows_from = complete ? from : 0;
    l->ahead_snapshot = l->goal.snapshot.piece != NULL;
    load_ahead(kv, l);
    return l;
}

static int put_aside(warm_kv *kv, const warm_kv_load *l, const struct entry *en, const char *why) {
    static const char *const what[] = {"units", "window rows", "a snapshot at"};
    const warm_piece_view *v = &en->view;
    warm_log_warn("kv", "%s %zu..%zu damaged: quarantined, to be computed again: %s", what[en->part], v->start,
                  v->start + v->n_units, why);
    switch (en->part) {
    case PART_CELLS:
        warm_cache_quarantine(kv->o.cache, &l->goal.path, v->start > l->pos ? v->start : l->pos);
        break;
    case PART_WINDOW:
        warm_cache_quarantine_window(kv->o.cache, v->piece);
        break;
    case PART_SNAPSHOT:
        warm_cache_quarantine_snapshot(kv->o.cache, &l->goal.path);
        break;
    }
    return WARM_ECORRUPT;
}

static int load_entry(warm_kv *kv, const warm_kv_load *l, const struct entry *en, size_t *n, warm_err *err) {
    warm_engine *e = kv->o.engine;
    const warm_piece_view *v = &en->view;
    size_t goal = l->goal.path.n_units, to = warm_min_size(v->start + v->n_units, goal), from;
    *n = 0;
    switch (en->part) {
    case PART_CELLS:
        *n = to - l->pos;
        return e->ops->state_load(e, l->seq, v->data, v->bytes, (int32_t)v->start, v->n_units, (int32_t)l->pos, (int32_t)to, err);
    case PART_WINDOW:
        from = v->start > l->rows_from ? v->start : l->rows_from;
        return e->ops->window_load(e, l->seq, v->window, v->window_bytes, (int32_t)v->start, v->n_units, (int32_t)from, (int32_t)to,
                                   err);
    default:
        *n = goal - l->pos;
        return e->ops->snapshot_load(e, l->seq, v->data, v->bytes, (int32_t)goal, err);
    }
}

static void load_pop(warm_kv *kv, warm_kv_load *l) {
    struct entry *en = &l->window[l->head];
    /* Rows and the snapshot are held by the goal. What is still with the worker is given back when its job comes home. */
    if (en->part == PART_CELLS && en->state != ENTRY_PENDING) warm_piece_unref(kv->o.cache, en->view.piece);
    l->head = (l->head + 1) % LOAD_WINDOW;
    l->count--;
}

int warm_kv_load_next(warm_kv *kv, warm_kv_load *l, size_t *n) {
    *n = 0;
    if (!l->count) return WARM_ENOTFOUND;
    struct entry *en = &l->window[l->head];
    if (en->state == ENTRY_PENDING) return 0;
    if (en->state == ENTRY_BAD) return put_aside(kv, l, en, "the checksum is wrong");
    warm_err err = {0};
    uint64_t t0 = warm_clock_now(kv->o.clock);
    int rc = load_entry(kv, l, en, n, &err);
    uint64_t ns = warm_clock_now(kv->o.clock) - t0;
    /* Damage from before the checksum was computed: the next one would run into it, too. */
    if (rc == WARM_ECORRUPT) return put_aside(kv, l, en, err.text);
    if (rc) {
        if (rc != WARM_EFULL) warm_log_error("kv", "loading behind unit %zu failed: %s", l->pos, err.text);
        return rc;
    }
    rate_add(&kv->load_rate, en->part == PART_WINDOW ? en->view.window_bytes : en->view.bytes, ns);
    l->pos += *n;
    load_pop(kv, l);
    load_ahead(kv, l);
    return 1;
}

void warm_kv_load_end(warm_kv *kv, warm_kv_load *l) {
    l->ended = true;
    while (l->count) load_pop(kv, l);
    if (l->n_jobs == 0) load_free(kv, l);
}
