/* SPDX-License-Identifier: MIT
 *
 * store/disk.h - the disk tier: blocks, window rows and snapshots in a directory, that survive restarts and kill -9.
 *
 * The owner's thread asks and never waits: files are written by the writer's thread, read by the readers', and what they have done comes home in
 * warm_disk_poll. The index (disk_index.h) is made of what the writer's thread finds before it writes anything: what was found can be read at
 * once, what is to be written has to wait until all is found, because only then the room that is left is known.
 *
 * Writing goes through one list in the order in which it was asked for, and what makes room for a file comes before it; so what is on the disk is
 * within the limit at every moment, temporary files included. Files are written in batches: all of a batch are on their way to the disk before the
 * first is waited for, and the directory is synced once. A put is done when its file and its name are on the disk.
 *
 * Nothing here is fatal. A file that is damaged is put aside, one that can't be read or is gone is forgotten. While the disk is full, nothing is written
 * for a while; where it can't be written, the tier is read only from then on, and where it can't be read, or the directory is gone, it is off. Each of
 * these is logged when it begins, and counted.
 *
 * Invariants
 *  (1) The files of ours in the directory, each rounded up to 4096 bytes, take at most limit_bytes once all were found, but for what could not be
 *      removed, and for files of a newer release, which count.
 *  (2) Memory of the index is taken from the budget first.
 *  (3) Nothing is read into memory of others without its checksum being compared.
 *  (4) What was opened read only is never changed.
 *
 * Threads: [engine] (the thread that calls warm_disk_open), the writer's and the readers'.
 * Not here: what is worth writing or reading (cache/, sched/), formats (disk_format.h). */
#ifndef WARM_STORE_DISK_H
#define WARM_STORE_DISK_H

#include "base/clock.h"
#include "base/worker.h"
#include "store/disk_files.h"
#include "store/disk_index.h"

typedef struct warm_disk warm_disk;

typedef struct warm_disk_options {
    const char *dir;
    bool read_only;
    bool ranked;                   /* the owner gives ranks; false: the time of the last use is the rank */
    uint64_t limit_bytes;          /* of all files; not looked at if read_only */
    uint64_t pending_bytes;        /* most bytes of files that are asked for and not written yet; 0 = 256 MiB */
    uint64_t write_bytes_a_day;    /* 0 = as many as come; an hour's share at once */
    warm_budget *budget;           /* borrowed; for the index */
    warm_worker *writer, *readers; /* borrowed; the writer has at most one thread */
    const warm_clock *clock;       /* monotonic */
    int64_t (*now_ns)(void *ud);   /* since 1970; NULL = the system's */
    void (*wake)(void *ud);        /* [any] called when something has come home; NULL = nobody needs it */
    void *ud;
    const warm_io *io; /* NULL = the system's */
} warm_disk_options;

/* Opens the directory and begins to look through it. WARM_EAGAIN: another process writes there; WARM_EIO. */
WARM_MUST_USE int warm_disk_open(const warm_disk_options *o, warm_disk **out, warm_err *err);
/* What has not been begun is canceled, what has been is waited for; every done is called before it returns. Reads have been ended. */
void warm_disk_close(warm_disk *d);
/* Takes in what has come home, and calls the done of puts. Call once per turn. */
void warm_disk_poll(warm_disk *d);
/* Waits until something has come home, at most that long; false: nothing has. For an owner that has nothing else to do, before a stop. */
bool warm_disk_wait(warm_disk *d, uint64_t ns);

enum warm_disk_mode {
    WARM_DISK_READ_WRITE,
    WARM_DISK_READ_ONLY, /* opened so, or it can't be written any more */
    WARM_DISK_OFF
};

typedef struct warm_disk_stats {
    enum warm_disk_mode mode;
    bool scanning, paused; /* paused: the disk is full; writing is tried again later */
    bool index_full;       /* the scan waits for room in the budget, and goes on at the next poll that finds some */
    uint64_t limit_bytes;
    uint64_t used_bytes; /* of all files of ours, and of those that are being written */
    uint64_t lost_bytes; /* a part of them: files that could not be removed */
    size_t index_bytes;
    uint64_t n_entries; /* of any state */
    uint64_t n_jobs;    /* all that has not come home */
    uint64_t n_pending; /* puts that are not done */
    uint64_t pending_bytes;
    uint64_t n_found, n_older, n_newer, n_skipped; /* by the scan */
    uint64_t n_written, written_bytes;
    uint64_t n_read, read_bytes; /* files; bytes of payload */
    uint64_t n_evicted, evicted_bytes;
    uint64_t n_refused;  /* no room that was worth less, or in the index */
    uint64_t n_deferred; /* over the write limit, or too much is pending */
    uint64_t n_damaged;  /* files found damaged, by the scan or when read */
    uint64_t n_vanished; /* files that were gone when they were to be read */
    uint64_t n_write_errors, n_read_errors;
    double read_bytes_per_ns, write_bytes_per_ns; /* measured; 0 = not yet */
} warm_disk_stats;
void warm_disk_stats_get(const warm_disk *d, warm_disk_stats *out);

/* ---- finding. An entry is valid until the next call of poll, put, or remove, or as long as a read of it lasts ---- */

/* NULL: it can't be read from here. */
const warm_disk_entry *warm_disk_find(const warm_disk *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]);
/* The block that begins behind the path of this key and has most in common with units[0..n). *common: how many units, all of the block's where it
 * was found by its key, otherwise a guess (a multiple of 16) that reading it must confirm. NULL: none has 16 in common. Cost: a hash for each
 * length that the children have, and a comparison with each child. */
const warm_disk_entry *warm_disk_next(const warm_disk *d, const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units,
                                      size_t n, size_t *common);
/* The longest snapshot behind the path of this key whose units are units[0..n_last), n_last <= n. NULL: there is none. */
const warm_disk_entry *warm_disk_snapshot(const warm_disk *d, const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units,
                                          size_t n);
/* The i-th of all that can be read, in no order, NULL where there is none; i < warm_disk_places. For those who want the most valuable. */
const warm_disk_entry *warm_disk_at(const warm_disk *d, uint32_t i);
uint32_t warm_disk_places(const warm_disk *d);

/* ---- writing ---- */

/* Writes a file. f->head has kind, state, n_window, fingerprint, parent (but where start is 0), start, n_units, parent_at, positions, n_pieces,
 * piece_units, prior; pieces have their bytes; parts[0..n_pieces) is copied, the bytes it points to stay until done is called in a poll, once, with
 * 0 or WARM_E*. rank: what it is worth, next to the others (>= 0); not looked at unless ranked. *f is taken, also on failure.
 * Returns 0; 1: it is there already, or on its way, which counts as a use (done is not called); WARM_EFULL: not worth the room, or none in the index; WARM_EAGAIN: not now
 * (it is being scanned, too much is pending, over the write limit, the disk is full); WARM_ENOTSUP: nothing is written any more, or a newer
 * release has it; WARM_EINVAL, WARM_ENOMEM. */
WARM_MUST_USE int warm_disk_put_take(warm_disk *d, warm_disk_file *f, const warm_disk_part *parts, double rank,
                                     void (*done)(void *ud, int rc), void *ud);
/* Changes what an entry is worth; without ranks: it was used now. */
void warm_disk_use(warm_disk *d, const warm_disk_entry *e, double rank);
/* Forgets and removes it, when its last read has ended. */
void warm_disk_remove(warm_disk *d, const warm_disk_entry *e);
/* The same for all. */
void warm_disk_clear(warm_disk *d);

/* ---- reading: open, look at the units, read into memory of the right size, end ---- */

typedef struct warm_disk_read warm_disk_read;
enum warm_disk_read_state { WARM_DISK_OPENING, WARM_DISK_OPEN, WARM_DISK_READING, WARM_DISK_FAILED };

/* Begins to open an entry's file and verify its header, and to fetch the rest. Counts as a use unless ranked. */
warm_disk_read *warm_disk_read_begin(warm_disk *d, const warm_disk_entry *e);
/* Changes in a poll only. A read that has failed can only be ended; its entry is gone, or has been tried in vain (no memory, no descriptors). */
enum warm_disk_read_state warm_disk_read_state_get(const warm_disk_read *r);
int warm_disk_read_error(const warm_disk_read *r); /* WARM_E*, once failed */
/* What the file says of itself; from WARM_DISK_OPEN on, until the end. */
const warm_disk_file *warm_disk_read_file(const warm_disk_read *r);
/* Of an open one: reads and verifies pieces [first, first + n) into dst[0..n), which are as long as the file says; a NULL is passed over. dst is
 * copied, its memory stays until the state is no more WARM_DISK_READING: then it is open again, or failed. */
void warm_disk_read_into(warm_disk_read *r, uint32_t first, uint32_t n, uint8_t *const *dst);
/* Ends it, in any state but WARM_DISK_READING. */
void warm_disk_read_end(warm_disk_read *r);

#endif
