/* SPDX-License-Identifier: MIT
 *
 * store/disk_internal.h - the structs of the disk tier and what its files offer each other.
 *
 * Who does what: disk.c the index, room, and what comes home; disk_find.c looking up; disk_read.c reads; disk_jobs.c what the threads do. A job
 * carries all it needs; of struct warm_disk the threads touch only what is marked so.
 *
 * A job is on one list at a time: its owner's, the writer's, then `done`. [engine] makes and frees it. */
#ifndef WARM_STORE_DISK_INTERNAL_H
#define WARM_STORE_DISK_INTERNAL_H

#undef NDEBUG /* the limit is a promise to the user: it is checked in release builds too */
#include <assert.h>
#include <pthread.h>

#include "store/disk.h"

enum warm__disk_job_kind { WARM__DISK_SCAN, WARM__DISK_PUT, WARM__DISK_REMOVE, WARM__DISK_ASIDE, WARM__DISK_READ };

enum { WARM__DISK_SCAN_STEP = 256 };

typedef struct warm__disk_job warm__disk_job;
struct warm__disk_job {
    warm_disk *d;
    enum warm__disk_job_kind kind;
    warm__disk_job *next;
    int rc, why;         /* result; errno with WARM_EIO */
    uint64_t left_bytes; /* what is on the disk, although it failed */
    /* all but scan and read: the file */
    enum warm_disk_kind file_kind;
    uint8_t key[WARM_DISK_KEY_BYTES];
    uint64_t held_bytes;
    /* put */
    warm_disk_entry *entry;
    warm_disk_file file;
    warm_disk_part *parts;
    void (*done)(void *ud, int rc);
    void *ud;
    uint64_t room_bytes, lost_bytes; /* that were left when it was posted, and that were known to be lost */
    uint64_t ns;                     /* share of its batch, sync included */
    warm_disk_tmp tmp;
    /* remove */
    bool bad;
    /* aside */
    bool removed; /* it could not be renamed, but removed */
    /* scan: what a step has found; n_found 0 at the end */
    warm_disk_found *found;
    size_t n_found;
    uint64_t n_skipped; /* at the end: of all */
};

struct warm_disk_read {
    warm__disk_job job;
    warm_disk_entry *entry;
    warm_disk_reader reader;
    enum warm_disk_read_state state;
    bool ended, out; /* out: its job is */
    int error;
    /* of the job */
    bool opening;
    uint32_t first, n;
    uint8_t **dst;
    uint64_t bytes, ns;
    warm_err err;
};

struct warm_disk {
    warm_disk_options o;
    warm_disk_dir dir; /* its descriptors do not change while there are jobs */
    warm_disk_index index;
    warm_disk_stats stats;
    uint64_t n_jobs;
    warm__disk_job *scanned; /* the step that is being taken in */
    size_t scanned_at;
    /* writing: what may still be written today; when the pause ends, and how long the next one is */
    double allowance;
    uint64_t allowance_at, pause_until, pause_ns;
    unsigned n_write_errors, n_read_errors; /* in a row */
    bool told_damaged, told_vanished, told_read_error;
    /* the writer's thread's */
    warm_disk_scan *scan;
    uint64_t lost_bytes; /* what it left on the disk so far, although it was to be removed */
    uint64_t n_tmp;
    /* shared */
    atomic_bool closing;
    pthread_mutex_t lock; /* of the lists; signals came_home */
    pthread_cond_t came_home;
    warm__disk_job *todo, **todo_tail, *done, **done_tail;
    bool writer_runs;
};

/* disk_jobs.c */
void warm__disk_post_write(warm__disk_job *j); /* scan, put, remove, aside */
void warm__disk_post_read(warm__disk_job *j);
void warm__disk_come_home(warm__disk_job *j); /* [any] */

/* disk.c */
/* Unfindable from now on; its file is removed, or put aside, now or when its last pin goes. */
void warm__disk_forget(warm_disk *d, warm_disk_entry *e);
void warm__disk_put_aside(warm_disk *d, warm_disk_entry *e);
void warm__disk_unpin(warm_disk *d, warm_disk_entry *e);
double warm__disk_now(const warm_disk *d);
/* Off, if the directory is gone. */
void warm__disk_check_dir(warm_disk *d);
void warm__disk_turn_off(warm_disk *d, const char *why);
void warm__disk_rate(double *rate, uint64_t bytes, uint64_t ns);
static inline bool warm__disk_can_read(const warm_disk_entry *e) {
    return e->state == WARM_DISK_LIVE && !e->doomed;
}

/* disk_read.c */
void warm__disk_read_home(warm_disk_read *r);

#endif
