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

enum { LOAD_WINDOW = 16 };

/* Before anything was measured: what this kind of machine copies (ENGINE.md, "Numbers seen here"). */
static const double assumed_bytes_per_ns = 2.0;

struct kv_job {
    warm_kv *kv;
    warm_piece *piece;
    warm_kv_load *load; /* NULL: a seal */
    unsigned slot;
    int result;
    struct kv_job *next;
};

enum entry_state { ENTRY_PENDING, ENTRY_GOOD, ENTRY_BAD };

struct entry {
    warm_piece_view view;
    enum entry_state state;
};

struct warm_kv_load {
    int32_t seq;
    warm_path path;
    size_t pos;   /* next unit to append */
    size_t ahead; /* next unit to verify */
    struct entry window[LOAD_WINDOW];
    unsigned head, count;
    unsigned n_jobs; /* out with the worker */
    bool ended;
};

struct warm_kv {
    warm_kv_options o;
    double save_rate, load_rate;
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
        j->result = warm_piece_verify(j->piece);
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

static void job_post(warm_kv *kv, warm_piece *piece, warm_kv_load *load, unsigned slot) {
    struct kv_job *j = warm_xcalloc(1, sizeof *j);
    j->kv = kv;
    j->piece = piece;
    j->load = load;
    j->slot = slot;
    kv->n_jobs++;
    if (load) load->n_jobs++;
    warm_worker_post(kv->o.worker, job_run, j);
}

static void load_free(warm_kv *kv, warm_kv_load *l) {
    warm_path_release(kv->o.cache, &l->path);
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
            warm_piece_unref(kv->o.cache, j->piece);
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

size_t warm_kv_piece_units(const warm_kv *kv) {
    double rate = kv->load_rate > 0 ? kv->load_rate : assumed_bytes_per_ns;
    if (kv->save_rate > 0 && kv->save_rate < rate) rate = kv->save_rate;
    double bytes = rate * (double)kv->o.slice_ns / 2;
    double per_unit = (double)kv->o.engine->ops->state_bytes(kv->o.engine, WARM_BLOCK_UNITS) / WARM_BLOCK_UNITS;
    size_t units = WARM_PIECE_MIN;
    while (units < WARM_BLOCK_UNITS && (double)(units * 2) * per_unit <= bytes) units *= 2;
    return units;
}

bool warm_kv_has_whole(const warm_kv *kv, const warm_path *p, size_t n) {
    size_t start, count, whole, piece_units = warm_kv_piece_units(kv);
    if (!warm_cache_next_piece(kv->o.cache, p, n, piece_units, &start, &count)) return false;
    /* As many as it would have if the sequence were long enough: a block goes on with the size it was begun with. */
    return warm_cache_next_piece(kv->o.cache, p, n + WARM_BLOCK_UNITS, piece_units, &start, &whole) && count == whole;
}

int warm_kv_save(warm_kv *kv, int32_t seq, warm_path *p, const warm_unit *units, size_t n, bool whole_only) {
    warm_cache *c = kv->o.cache;
    warm_engine *e = kv->o.engine;
    size_t start, count, piece_units = warm_kv_piece_units(kv);
    warm_cache_advance(c, p, units, n);
    if (!warm_cache_next_piece(c, p, n, piece_units, &start, &count)) return 0;
    if (whole_only && !warm_kv_has_whole(kv, p, n)) return 0;

    warm_save save;
    int rc = warm_cache_save_begin(c, p, start, count, piece_units, e->ops->state_bytes(e, count), 0, &save);
    if (rc) return rc;
    warm_err err = {0};
    uint64_t t0 = warm_clock_now(kv->o.clock);
    int64_t written = e->ops->state_save(e, seq, (int32_t)start, count, save.data, save.bytes, &err);
    uint64_t ns = warm_clock_now(kv->o.clock) - t0;
    if (written != (int64_t)save.bytes) {
        warm_cache_save_abort(c, &save);
        warm_log_error("kv", "saving units %zu..%zu failed: %s", start, start + count, written < 0 ? err.text : "unexpected size");
        return written < 0 ? (int)written : WARM_EENGINE;
    }
    rate_add(&kv->save_rate, save.bytes, ns);
    warm_piece_view v;
    rc = warm_cache_save_commit(c, p, &save, units, &v);
    if (rc) return rc;
    job_post(kv, v.piece, NULL, 0);
    return 1;
}

/* Keeps the window full: takes references and posts their verification. */
static void load_ahead(warm_kv *kv, warm_kv_load *l) {
    while (l->count < LOAD_WINDOW && l->ahead < l->path.n_units) {
        unsigned slot = (l->head + l->count) % LOAD_WINDOW;
        struct entry *en = &l->window[slot];
        warm_path_piece(kv->o.cache, &l->path, l->ahead, &en->view);
        en->state = ENTRY_PENDING;
        l->count++;
        l->ahead = en->view.start + en->view.n_units;
        job_post(kv, en->view.piece, l, slot);
    }
}

warm_kv_load *warm_kv_load_begin(warm_kv *kv, int32_t seq, const warm_path *p, size_t from) {
    warm_kv_load *l = warm_xcalloc(1, sizeof *l);
    l->seq = seq;
    l->pos = l->ahead = from;
    warm_path_clone(kv->o.cache, p, &l->path);
    load_ahead(kv, l);
    return l;
}

static int put_aside(warm_kv *kv, const warm_kv_load *l, const char *why) {
    const warm_piece_view *v = &l->window[l->head].view;
    warm_log_warn("kv", "units %zu..%zu are damaged: quarantined, to be computed again: %s", v->start, v->start + v->n_units, why);
    warm_cache_quarantine(kv->o.cache, &l->path, l->pos);
    return WARM_ECORRUPT;
}

int64_t warm_kv_load_next(warm_kv *kv, warm_kv_load *l) {
    warm_engine *e = kv->o.engine;
    if (l->pos >= l->path.n_units) return WARM_ENOTFOUND;
    struct entry *en = &l->window[l->head];
    if (en->state == ENTRY_PENDING) return 0;
    if (en->state == ENTRY_BAD) return put_aside(kv, l, "the checksum is wrong");
    size_t first = en->view.start, end = first + en->view.n_units;
    size_t to = end < l->path.n_units ? end : l->path.n_units;
    warm_err err = {0};
    uint64_t t0 = warm_clock_now(kv->o.clock);
    int rc = e->ops->state_load(e, l->seq, en->view.data, en->view.bytes, (int32_t)first, en->view.n_units, (int32_t)l->pos,
                                (int32_t)to, &err);
    uint64_t ns = warm_clock_now(kv->o.clock) - t0;
    /* Damage from before the checksum was computed: the next one would run into it, too. */
    if (rc == WARM_ECORRUPT) return put_aside(kv, l, err.text);
    if (rc) {
        if (rc != WARM_EFULL) warm_log_error("kv", "loading units %zu..%zu failed: %s", l->pos, to, err.text);
        return rc;
    }
    rate_add(&kv->load_rate, en->view.bytes, ns);
    size_t moved = to - l->pos;
    l->pos = to;
    warm_piece_unref(kv->o.cache, en->view.piece);
    l->head = (l->head + 1) % LOAD_WINDOW;
    l->count--;
    load_ahead(kv, l);
    return (int64_t)moved;
}

void warm_kv_load_end(warm_kv *kv, warm_kv_load *l, size_t *pos) {
    if (pos) *pos = l->pos;
    l->ended = true;
    for (; l->count; l->count--, l->head = (l->head + 1) % LOAD_WINDOW) {
        struct entry *en = &l->window[l->head];
        /* What is still with the worker is given back when its job comes home. */
        if (en->state != ENTRY_PENDING) warm_piece_unref(kv->o.cache, en->view.piece);
    }
    if (l->n_jobs == 0) load_free(kv, l);
}
