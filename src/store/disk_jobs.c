/* SPDX-License-Identifier: MIT
 *
 * store/disk_jobs.c - what the threads of the disk tier do (disk.h).
 *
 * The writer takes everything that is in its list, in order. Files of puts are written one after another under temporary names; when the list is at
 * its end, or a batch is large enough, all are waited for, named, and the directory is synced once. Nothing that is removed meanwhile
 * can be of the batch: what is being written is not removed. */
#include <errno.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "store/disk_internal.h"

enum { BATCH_FILES = 64 };
#define BATCH_BYTES (64ull << 20)

void warm__disk_come_home(warm__disk_job *j) {
    warm_disk *d = j->d;
    /* The wake is called inside the lock: once the job is on the list, warm_disk_close may run to its end. */
    pthread_mutex_lock(&d->lock);
    j->next = NULL;
    *d->done_tail = j;
    d->done_tail = &j->next;
    pthread_cond_signal(&d->came_home);
    if (d->o.wake) d->o.wake(d->o.ud);
    pthread_mutex_unlock(&d->lock);
}

static void finish(warm__disk_job *j, int rc) {
    j->why = errno;
    j->rc = rc;
    warm__disk_come_home(j);
}

/* ---- the writer ---- */

struct batch {
    warm__disk_job *jobs[BATCH_FILES];
    size_t n;
    uint64_t bytes, since;
};

static void leave(warm__disk_job *j, uint64_t bytes) {
    j->left_bytes += bytes;
    j->d->lost_bytes += bytes;
}

static void add_found(void *ud, const warm_disk_found *f) {
    warm__disk_job *j = ud;
    warm_disk *d = j->d;
    if (f->what == WARM_DISK_FOUND_TMP) {
        /* Left by one who died: whoever writes has the lock, and has begun nothing yet. */
        if (!d->o.read_only && warm_disk_remove_name(&d->dir, f->name)) leave(j, warm_disk_held(f->bytes));
        return;
    }
    j->found[j->n_found++] = *f;
}

static void run_scan(warm__disk_job *j) {
    warm_disk *d = j->d;
    int rc = 0;
    j->n_found = 0;
    j->left_bytes = 0;
    if (!j->found) j->found = warm_malloc(WARM__DISK_SCAN_STEP * sizeof *j->found);
    if (!j->found) rc = WARM_ENOMEM;
    if (!rc && !d->scan) rc = warm_disk_scan_new(&d->dir, &d->scan);
    while (!rc && !j->n_found && !atomic_load(&d->closing) && warm_disk_scan_next(d->scan, WARM__DISK_SCAN_STEP, add_found, j)) {
    }
    int why = errno;
    if (!rc && !j->n_found) {
        j->n_skipped = warm_disk_scan_skipped(d->scan);
        warm_disk_scan_free(d->scan);
        d->scan = NULL;
    }
    errno = why;
    finish(j, rc);
}

static void run_remove(warm__disk_job *j) {
    int rc = warm_disk_file_remove(&j->d->dir, j->file_kind, j->key, j->bad);
    if (rc) leave(j, j->held_bytes);
    finish(j, rc);
}

static void run_aside(warm__disk_job *j) {
    int rc = warm_disk_file_put_aside(&j->d->dir, j->file_kind, j->key);
    if (rc) {
        rc = warm_disk_file_remove(&j->d->dir, j->file_kind, j->key, false);
        j->removed = !rc;
        if (rc) leave(j, j->held_bytes);
    }
    finish(j, rc);
}

static void end_batch(warm_disk *d, struct batch *b) {
    int why = 0;
    if (!b->n) return;
    for (size_t i = 0; i < b->n; i++) {
        warm__disk_job *j = b->jobs[i];
        j->rc = warm_disk_tmp_commit(&d->dir, &j->tmp, j->file_kind, j->key);
        j->why = errno;
        if (j->tmp.left) leave(j, j->held_bytes);
    }
    int synced = warm_disk_dir_sync(&d->dir);
    if (synced) why = errno;
    uint64_t ns = warm_clock_now(d->o.clock) - b->since;
    for (size_t i = 0; i < b->n; i++) {
        warm__disk_job *j = b->jobs[i];
        if (synced && !j->rc) {
            j->rc = synced;
            j->why = why;
            /* Its name may not last; what is not promised is not kept. */
            if (warm_disk_file_remove(&d->dir, j->file_kind, j->key, false)) leave(j, j->held_bytes);
        }
        j->ns = (uint64_t)((double)ns * (double)j->file.head.file_bytes / (double)b->bytes);
        warm__disk_come_home(j);
    }
    *b = (struct batch){0};
}

static void run_put(warm__disk_job *j, struct batch *b) {
    warm_disk *d = j->d;
    if (atomic_load(&d->closing)) {
        finish(j, WARM_ECANCELED);
        return;
    }
    /* What could not be removed since it was asked for takes its room. */
    if (d->lost_bytes - j->lost_bytes > j->room_bytes) {
        finish(j, WARM_EFULL);
        return;
    }
    if (!b->n) b->since = warm_clock_now(d->o.clock);
    int rc = warm_disk_tmp_write(&d->dir, d->n_tmp++, &j->file, j->parts, &j->tmp);
    if (rc) {
        if (j->tmp.left) leave(j, j->held_bytes);
        finish(j, rc);
        return;
    }
    b->jobs[b->n++] = j;
    b->bytes += j->file.head.file_bytes;
    if (b->n == BATCH_FILES || b->bytes >= BATCH_BYTES) end_batch(d, b);
}

static void run_writer(void *arg) {
    warm_disk *d = arg;
    struct batch b = {0};
    for (;;) {
        pthread_mutex_lock(&d->lock);
        warm__disk_job *j = d->todo;
        if (j) {
            d->todo = j->next;
            if (!d->todo) d->todo_tail = &d->todo;
        }
        bool last = !j && !b.n;
        if (last) {
            d->writer_runs = false;
            pthread_cond_signal(&d->came_home);
        }
        pthread_mutex_unlock(&d->lock);
        if (last) return;
        if (!j) {
            end_batch(d, &b);
            continue;
        }
        switch (j->kind) {
        case WARM__DISK_SCAN:
            run_scan(j);
            break;
        case WARM__DISK_REMOVE:
            run_remove(j);
            break;
        case WARM__DISK_ASIDE:
            run_aside(j);
            break;
        default:
            run_put(j, &b);
        }
    }
}

void warm__disk_post_write(warm__disk_job *j) {
    warm_disk *d = j->d;
    d->n_jobs++;
    pthread_mutex_lock(&d->lock);
    j->next = NULL;
    *d->todo_tail = j;
    d->todo_tail = &j->next;
    bool runs = d->writer_runs;
    d->writer_runs = true;
    pthread_mutex_unlock(&d->lock);
    if (!runs) warm_worker_post(d->o.writer, run_writer, d);
}

/* ---- the readers ---- */

static void run_read(void *arg) {
    warm__disk_job *j = arg;
    warm_disk_read *r = (warm_disk_read *)j;
    warm_disk *d = j->d;
    if (r->opening) {
        j->rc = warm_disk_reader_open(&d->dir, j->file_kind, j->key, &r->reader, &r->err);
        j->why = errno;
        if (!j->rc) warm_disk_reader_ahead(&r->reader);
    } else {
        uint64_t t0 = warm_clock_now(d->o.clock);
        j->rc = warm_disk_reader_read(&r->reader, r->first, r->n, r->dst, &r->err);
        j->why = errno;
        r->ns = warm_clock_now(d->o.clock) - t0;
    }
    warm__disk_come_home(j);
}

void warm__disk_post_read(warm__disk_job *j) {
    j->d->n_jobs++;
    warm_worker_post(j->d->o.readers, run_read, j);
}
