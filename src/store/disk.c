/* SPDX-License-Identifier: MIT
 *
 * store/disk.c - the disk tier on its owner's thread: the index, room, and what comes home from the threads (disk.h). [engine]
 *
 * used_bytes follows the order of the writer's list: what is asked to be removed is off it at once, and what is asked to be written is on it, since
 * that comes later in the list. Where a file could not be removed, its bytes come back as lost. */
#include "store/disk.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/disk_internal.h"

enum { WRITE_ERRORS_MAX = 3 /* in a row: then it is the disk */ };
static const uint64_t default_pending = 256ull << 20;
static const uint64_t pause_first_ns = 30ull * 1000000000, pause_most_ns = 600ull * 1000000000;
static const double day_ns = 86400e9;

/* ---- what it is worth, and what may be done ---- */

static int64_t since_1970_ns(const warm_disk *d) {
    struct timespec t;
    if (d->o.now_ns) return d->o.now_ns(d->o.ud);
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double warm__disk_now(const warm_disk *d) {
    return (double)since_1970_ns(d);
}

void warm__disk_rate(double *rate, uint64_t bytes, uint64_t ns) {
    if (!bytes) return;
    double now = (double)bytes / (double)(ns ? ns : 1);
    *rate = *rate > 0 ? *rate + (now - *rate) / 8 : now;
}

void warm__disk_turn_off(warm_disk *d, const char *why) {
    if (d->stats.mode == WARM_DISK_OFF) return;
    d->stats.mode = WARM_DISK_OFF;
    warm_log_error("disk", "'%s' is not used any more: %s", d->o.dir, why);
}

void warm__disk_check_dir(warm_disk *d) {
    if (warm_disk_dir_gone(&d->dir)) warm__disk_turn_off(d, "the directory was removed");
}

static void write_no_more(warm_disk *d, const char *why) {
    if (d->stats.mode != WARM_DISK_READ_WRITE) return;
    d->stats.mode = WARM_DISK_READ_ONLY;
    warm_log_error("disk", "nothing is written to '%s' any more: %s", d->o.dir, why);
}

static void pause_writing(warm_disk *d, const char *why) {
    uint64_t now = warm_clock_now(d->o.clock);
    if (d->stats.paused && now < d->pause_until) return; /* others of the same batch */
    if (!d->stats.paused) warm_log_warn("disk", "nothing is written to '%s' for a while: %s", d->o.dir, why);
    d->stats.paused = true;
    d->pause_ns = !d->pause_ns ? pause_first_ns : d->pause_ns * 2 < pause_most_ns ? d->pause_ns * 2 : pause_most_ns;
    d->pause_until = now + d->pause_ns;
}

/* A file could not be written, named or removed. */
static void write_failed(warm_disk *d, int why) {
    d->stats.n_write_errors++;
    switch (why) {
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        pause_writing(d, strerror(why));
        return;
    case EROFS:
    case EACCES:
    case EPERM:
        write_no_more(d, strerror(why));
        return;
    default:
        warm__disk_check_dir(d);
        if (++d->n_write_errors >= WRITE_ERRORS_MAX) write_no_more(d, strerror(why));
    }
}

static void write_succeeded(warm_disk *d) {
    d->n_write_errors = 0;
    if (d->stats.paused) warm_log_info("disk", "'%s' is written to again", d->o.dir);
    d->stats.paused = false;
    d->pause_ns = 0;
}

/* One file may be larger than an hour's share: then the next ones wait for longer. */
static bool may_write_today(warm_disk *d) {
    uint64_t now = warm_clock_now(d->o.clock);
    double a_day = (double)d->o.write_bytes_a_day, hour = a_day / 24;
    if (!d->o.write_bytes_a_day) return true;
    d->allowance += (double)(now - d->allowance_at) * a_day / day_ns;
    if (d->allowance > hour) d->allowance = hour;
    d->allowance_at = now;
    return d->allowance > 0;
}

/* ---- going ---- */

static warm__disk_job *job_new(warm_disk *d, enum warm__disk_job_kind kind, const warm_disk_entry *e) {
    warm__disk_job *j = warm_xcalloc(1, sizeof *j);
    j->d = d;
    j->kind = kind;
    j->file_kind = (enum warm_disk_kind)e->kind;
    memcpy(j->key, e->key, sizeof j->key);
    j->held_bytes = e->held_bytes;
    return j;
}

/* Out of the index, and its file off the disk, if that is ours to do. */
static void drop(warm_disk *d, warm_disk_entry *e) {
    if (!d->o.read_only) {
        warm__disk_job *j = job_new(d, WARM__DISK_REMOVE, e);
        j->bad = e->state == WARM_DISK_BAD;
        warm__disk_post_write(j);
    }
    d->stats.used_bytes -= e->held_bytes;
    warm__index_remove(&d->index, e);
}

void warm__disk_forget(warm_disk *d, warm_disk_entry *e) {
    if (e->pins || e->state == WARM_DISK_WRITING)
        e->doomed = true;
    else
        drop(d, e);
}

void warm__disk_put_aside(warm_disk *d, warm_disk_entry *e) {
    warm_disk_entry *before = warm__index_find_bad(&d->index, (enum warm_disk_kind)e->kind, e->key);
    if (before && !before->pins) {
        drop(d, before);
        before = NULL;
    }
    if (d->o.read_only || before) {
        warm__disk_forget(d, e);
        return;
    }
    warm__disk_post_write(job_new(d, WARM__DISK_ASIDE, e));
    warm__index_set_state(&d->index, e, WARM_DISK_BAD);
}

void warm__disk_unpin(warm_disk *d, warm_disk_entry *e) {
    warm__index_unpin(&d->index, e);
    if (e->doomed && !e->pins && e->state != WARM_DISK_WRITING) drop(d, e);
}

static void evict(warm_disk *d, warm_disk_entry *e) {
    d->stats.n_evicted++;
    d->stats.evicted_bytes += e->held_bytes;
    drop(d, e);
}

/* Removes what is worth less than rank until all are within the limit. */
static bool make_room(warm_disk *d, double rank) {
    while (d->stats.used_bytes > d->o.limit_bytes) {
        warm_disk_entry *e = warm__index_victim(&d->index);
        if (!e || e->rank > rank) return false;
        evict(d, e);
    }
    return true;
}

void warm_disk_remove(warm_disk *d, const warm_disk_entry *e) {
    warm__disk_forget(d, warm__index_at(&d->index, e->self_));
}

void warm_disk_clear(warm_disk *d) {
    for (uint32_t i = 0; i < d->index.n_made; i++) {
        warm_disk_entry *e = warm__index_at(&d->index, i);
        if (e && e->state != WARM_DISK_NEWER) warm__disk_forget(d, e);
    }
}

void warm_disk_use(warm_disk *d, const warm_disk_entry *e, double rank) {
    warm__index_rank(&d->index, warm__index_at(&d->index, e->self_), d->o.ranked ? rank : warm__disk_now(d));
}

/* ---- coming ---- */

static void put_free(warm__disk_job *j) {
    warm_disk_file_free(&j->file);
    free(j->parts);
    free(j);
}

static int may_put(warm_disk *d, const warm_disk_file *f, double rank) {
    const warm_disk_head *h = &f->head;
    if (d->stats.mode != WARM_DISK_READ_WRITE) return WARM_ENOTSUP;
    warm_disk_entry *there = warm__index_find(&d->index, h->kind, h->key);
    if (there) {
        if (there->state == WARM_DISK_NEWER) return WARM_ENOTSUP;
        if (there->doomed) return WARM_EAGAIN;
        warm__index_rank(&d->index, there, rank);
        return 1;
    }
    uint64_t pending = d->o.pending_bytes ? d->o.pending_bytes : default_pending;
    bool paused = d->stats.paused && warm_clock_now(d->o.clock) < d->pause_until;
    bool too_much = d->stats.n_pending && d->stats.pending_bytes + h->file_bytes > pending;
    if (d->stats.scanning || paused || too_much || !may_write_today(d)) {
        d->stats.n_deferred++;
        return WARM_EAGAIN;
    }
    return 0;
}

/* Into the index before room is made, so that what it goes on from stays. */
static int put_entry(warm_disk *d, const warm_disk_head *h, double rank, warm_disk_entry **out) {
    uint64_t held = warm_disk_held(h->file_bytes);
    if (held > d->o.limit_bytes) return WARM_EFULL;
    int rc = warm__index_add(&d->index, h, WARM_DISK_WRITING, held, rank, out);
    if (rc) return rc;
    d->stats.used_bytes += held;
    if (!make_room(d, rank)) {
        /* What is on its way to the disk can go for it later. */
        rc = !warm__index_victim(&d->index) && d->stats.n_pending ? WARM_EAGAIN : WARM_EFULL;
        d->stats.n_deferred += rc == WARM_EAGAIN;
    }
    if (rc) {
        d->stats.used_bytes -= held;
        warm__index_remove(&d->index, *out);
    }
    return rc;
}

int warm_disk_put_take(warm_disk *d, warm_disk_file *f, const warm_disk_part *parts, double rank, void (*done)(void *ud, int rc),
                       void *ud) {
    warm__disk_job *j = NULL;
    warm_disk_entry *e = NULL;
    f->head.written_ns = (uint64_t)since_1970_ns(d);
    if (!d->o.ranked) rank = warm__disk_now(d);
    int rc = warm_disk_file_complete(f, NULL);
    if (!rc) rc = may_put(d, f, rank);
    warm_disk_part *copy = rc ? NULL : warm_malloc(f->head.n_pieces * sizeof *copy);
    if (!rc && !copy) rc = WARM_ENOMEM;
    if (!rc) rc = put_entry(d, &f->head, rank, &e);
    if (rc) {
        d->stats.n_refused += rc == WARM_EFULL;
        free(copy);
        warm_disk_file_free(f);
        return rc;
    }
    memcpy(copy, parts, f->head.n_pieces * sizeof *copy);
    j = job_new(d, WARM__DISK_PUT, e);
    j->entry = e;
    j->file = *f;
    *f = (warm_disk_file){0};
    j->parts = copy;
    j->done = done;
    j->ud = ud;
    j->room_bytes = d->o.limit_bytes - d->stats.used_bytes;
    j->lost_bytes = d->stats.lost_bytes;
    d->allowance -= (double)j->file.head.file_bytes;
    d->stats.n_pending++;
    d->stats.pending_bytes += j->file.head.file_bytes;
    warm__disk_post_write(j);
    return 0;
}

/* ---- coming home ---- */

/* What could not be removed. */
static void leave(const warm__disk_job *j) {
    j->d->stats.used_bytes += j->left_bytes;
    j->d->stats.lost_bytes += j->left_bytes;
}

static void put_home(warm__disk_job *j) {
    warm_disk *d = j->d;
    warm_disk_entry *e = j->entry;
    leave(j);
    d->stats.n_pending--;
    d->stats.pending_bytes -= j->file.head.file_bytes;
    if (j->rc) {
        d->stats.used_bytes -= j->held_bytes;
        warm__index_remove(&d->index, e);
        if (j->rc == WARM_EIO) write_failed(d, j->why);
    } else {
        d->stats.n_written++;
        d->stats.written_bytes += j->file.head.file_bytes;
        warm__disk_rate(&d->stats.write_bytes_per_ns, j->file.head.file_bytes, j->ns);
        write_succeeded(d);
        warm__index_set_state(&d->index, e, WARM_DISK_LIVE);
        if (e->doomed) drop(d, e);
    }
    j->done(j->ud, j->rc);
    put_free(j);
}

static void remove_home(warm__disk_job *j) {
    warm_disk *d = j->d;
    leave(j);
    if (j->rc) write_failed(d, j->why);
    free(j);
}

static void aside_home(warm__disk_job *j) {
    warm_disk *d = j->d;
    warm_disk_entry *e = warm__index_find_bad(&d->index, j->file_kind, j->key);
    leave(j);
    if (j->rc) write_failed(d, j->why);
    /* There is none where its room was needed meanwhile; what removes the file comes behind this job then. */
    if (e && (j->rc || j->removed)) {
        d->stats.used_bytes -= e->held_bytes;
        e->held_bytes = 0;
        e->doomed = true;
        if (!e->pins) warm__index_remove(&d->index, e);
    }
    free(j);
}

static void scan_ended(warm_disk *d, const warm__disk_job *j) {
    warm_disk_stats *st = &d->stats;
    st->scanning = false;
    if (atomic_load(&d->closing)) return;
    if (j->rc) {
        warm__disk_turn_off(d, j->rc == WARM_EIO ? strerror(j->why) : warm_strerror(j->rc));
        return;
    }
    st->n_skipped = j->n_skipped;
    warm_log_info("disk", "'%s' holds %llu files, %llu MiB; damaged %llu, older %llu, newer %llu", d->o.dir,
                  (unsigned long long)st->n_found, (unsigned long long)(st->used_bytes >> 20), (unsigned long long)st->n_damaged,
                  (unsigned long long)st->n_older, (unsigned long long)st->n_newer);
    if (st->n_skipped) write_no_more(d, "some of its files could not be looked at, and nobody knows how much room is left");
    if (!d->o.read_only && !make_room(d, INFINITY))
        warm_log_warn("disk", "'%s' is above its limit, with files that can't be removed", d->o.dir);
}

/* Into the index. WARM_EFULL: the budget has no room for it now. */
static int take_in(warm_disk *d, const warm_disk_found *f) {
    static const enum warm_disk_state states[] = {[WARM_DISK_FOUND] = WARM_DISK_LIVE,
                                                  [WARM_DISK_FOUND_BAD] = WARM_DISK_LIVE,
                                                  [WARM_DISK_FOUND_OLDER] = WARM_DISK_LIVE,
                                                  [WARM_DISK_FOUND_NEWER] = WARM_DISK_NEWER,
                                                  [WARM_DISK_FOUND_ASIDE] = WARM_DISK_BAD};
    bool put_aside = f->what == WARM_DISK_FOUND_BAD || f->what == WARM_DISK_FOUND_OLDER;
    uint64_t held = warm_disk_held(f->bytes);
    warm_disk_entry *e;
    if (f->what == WARM_DISK_FOUND_ASIDE ? warm__index_find_bad(&d->index, f->head.kind, f->head.key) != NULL
                                         : warm__index_find(&d->index, f->head.kind, f->head.key) != NULL)
        return 0;
    if (!(d->o.read_only && f->what != WARM_DISK_FOUND)) {
        /* Whatever clock it was written by, it is no younger than what is used from now on. */
        double now = warm__disk_now(d), written = (double)f->head.written_ns;
        int rc = warm__index_add(&d->index, &f->head, states[f->what], held, written < now ? written : now, &e);
        if (rc) return rc;
        d->stats.used_bytes += held;
        if (f->unsized)
            warm__disk_forget(d, e);
        else if (put_aside)
            warm__disk_put_aside(d, e);
    }
    d->stats.n_found += f->what == WARM_DISK_FOUND;
    d->stats.n_older += f->what == WARM_DISK_FOUND_OLDER;
    d->stats.n_newer += f->what == WARM_DISK_FOUND_NEWER;
    d->stats.n_damaged += f->what == WARM_DISK_FOUND_BAD;
    if (f->what == WARM_DISK_FOUND_BAD && !d->told_damaged) {
        char name[WARM_DISK_NAME_BYTES];
        warm_disk_name(f->head.kind, f->head.key, name);
        warm_log_warn("disk", "%s: %s (others like it are only counted)", name, f->why.text);
        d->told_damaged = true;
    }
    return 0;
}

/* As far as there is room for the index; then the next step. */
static void scan_home(warm_disk *d) {
    warm__disk_job *j = d->scanned;
    d->stats.index_full = false;
    for (; d->scanned_at < j->n_found; d->scanned_at++) {
        if (!take_in(d, &j->found[d->scanned_at])) continue;
        d->stats.index_full = true;
        return;
    }
    d->scanned = NULL;
    d->scanned_at = 0;
    leave(j);
    if (j->rc || !j->n_found || atomic_load(&d->closing)) {
        scan_ended(d, j);
        free(j->found);
        free(j);
        return;
    }
    warm__disk_post_write(j);
}

static void come_home(warm_disk *d, warm__disk_job *j) {
    d->n_jobs--;
    switch (j->kind) {
    case WARM__DISK_SCAN:
        d->scanned = j;
        break;
    case WARM__DISK_PUT:
        put_home(j);
        break;
    case WARM__DISK_REMOVE:
        remove_home(j);
        break;
    case WARM__DISK_ASIDE:
        aside_home(j);
        break;
    case WARM__DISK_READ:
        warm__disk_read_home((warm_disk_read *)j);
        break;
    }
}

void warm_disk_poll(warm_disk *d) {
    pthread_mutex_lock(&d->lock);
    warm__disk_job *j = d->done;
    d->done = NULL;
    d->done_tail = &d->done;
    pthread_mutex_unlock(&d->lock);
    while (j) {
        warm__disk_job *next = j->next;
        come_home(d, j);
        j = next;
    }
    if (d->scanned) scan_home(d);
}

bool warm_disk_wait(warm_disk *d, uint64_t ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t at = (uint64_t)until.tv_nsec + ns;
    until.tv_sec += (time_t)(at / 1000000000);
    until.tv_nsec = (long)(at % 1000000000);
    int rc = 0;
    pthread_mutex_lock(&d->lock);
    while (!d->done && !rc) rc = pthread_cond_timedwait(&d->came_home, &d->lock, &until);
    bool came = d->done != NULL;
    pthread_mutex_unlock(&d->lock);
    return came;
}

/* ---- open and close ---- */

int warm_disk_open(const warm_disk_options *o, warm_disk **out, warm_err *err) {
    warm_disk *d = warm_xcalloc(1, sizeof *d);
    d->o = *o;
    if (!d->o.io) d->o.io = &warm_io_system;
    warm_err why = {0};
    int rc = warm_disk_dir_open(d->o.io, o->dir, o->read_only, &d->dir, &why);
    if (rc == WARM_ENOTSUP && !warm_disk_dir_open(d->o.io, o->dir, true, &d->dir, NULL)) {
        warm_log_warn("disk", "%s: it is only read", why.text);
        d->o.read_only = true;
        rc = 0;
    }
    if (rc) {
        free(d);
        return warm_err_set(err, rc, "%s", why.text);
    }
    d->o.dir = warm_xstrdup(o->dir);
    d->stats.mode = d->o.read_only ? WARM_DISK_READ_ONLY : WARM_DISK_READ_WRITE;
    d->stats.scanning = true;
    d->allowance = (double)o->write_bytes_a_day / 24;
    d->allowance_at = warm_clock_now(o->clock);
    d->todo_tail = &d->todo;
    d->done_tail = &d->done;
    warm__index_init(&d->index, o->budget);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&d->came_home, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&d->lock, NULL);
    warm__disk_job *j = warm_xcalloc(1, sizeof *j);
    j->d = d;
    j->kind = WARM__DISK_SCAN;
    warm__disk_post_write(j);
    *out = d;
    return 0;
}

void warm_disk_close(warm_disk *d) {
    if (!d) return;
    atomic_store(&d->closing, true);
    while (d->n_jobs) {
        if (warm_disk_wait(d, 1000000000)) warm_disk_poll(d);
    }
    if (d->scanned) {
        free(d->scanned->found);
        free(d->scanned);
    }
    /* The writer may still be about to find its list empty. */
    pthread_mutex_lock(&d->lock);
    while (d->writer_runs) pthread_cond_wait(&d->came_home, &d->lock);
    pthread_mutex_unlock(&d->lock);
    warm_disk_scan_free(d->scan);
    warm__index_deinit(&d->index);
    warm_disk_dir_close(&d->dir);
    pthread_cond_destroy(&d->came_home);
    pthread_mutex_destroy(&d->lock);
    free((char *)d->o.dir);
    free(d);
}

void warm_disk_stats_get(const warm_disk *d, warm_disk_stats *out) {
    *out = d->stats;
    out->limit_bytes = d->o.limit_bytes;
    out->index_bytes = d->index.held_bytes;
    out->n_entries = d->index.n_entries;
    out->n_jobs = d->n_jobs;
}
