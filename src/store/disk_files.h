/* SPDX-License-Identifier: MIT
 *
 * store/disk_files.h - the files of the disk tier in their directory: one at a time written, opened, read, put aside, removed; and all of them found.
 *
 * A file is written under a temporary name, synced, and renamed to the name that its kind and key give; then it is never touched again. So a
 * name stands for a complete file, or, after a power cut on a file system that loses data of synced files, for one that its checksums reveal.
 * Who writes holds a lock on a file of the directory as long as he has it open; so temporary files are his, or of one who is dead. A
 * reader takes no lock and writes nothing. A file that is found damaged gets another name (".bad" behind its own), and is removed when room
 * is needed. Names that are not ours are not touched.
 * Threads: [io] (any, but they block). */
#ifndef WARM_STORE_DISK_FILES_H
#define WARM_STORE_DISK_FILES_H

#include <stdatomic.h>

#include "store/disk_format.h"
#include "store/io.h"

#define WARM_DISK_LOCK "warmslot.lock"

typedef struct warm_disk_dir {
    const warm_io *io;
    int fd, lock_fd; /* lock_fd -1: read only */
} warm_disk_dir;

/* Opens the directory; for writing it is made if it is not there (not its parents), and locked. WARM_EAGAIN: another one writes there. WARM_ENOTSUP:
 * it can be read, but not be written. WARM_EIO. */
WARM_MUST_USE int warm_disk_dir_open(const warm_io *io, const char *path, bool read_only, warm_disk_dir *out, warm_err *err);
void warm_disk_dir_close(warm_disk_dir *d);
/* Whether it was removed while it was open. */
bool warm_disk_dir_gone(const warm_disk_dir *d);

/* ---- writing. WARM_EIO: errno says why ---- */

typedef struct warm_disk_part {
    const uint8_t *data;
    /* Called before the bytes are summed and written, where it is not NULL: 0, or WARM_ECORRUPT if they are not what they were. */
    int (*verify)(void *ud);
    void *ud;
} warm_disk_part;

typedef struct warm_disk_tmp {
    int fd;
    bool left; /* it failed, and its file could not be removed */
    char name[WARM_DISK_NAME_BYTES];
} warm_disk_tmp;

/* Writes a complete file, one part for each of its pieces, under the temporary name of this number, and sends it on its way to the disk. On an
 * error nothing is left, or out->left says so. WARM_ECORRUPT: a part was not what it was; WARM_ENOMEM. */
WARM_MUST_USE int warm_disk_tmp_write(const warm_disk_dir *d, uint64_t number, warm_disk_file *f, const warm_disk_part *parts,
                                      warm_disk_tmp *out);
/* Waits until it is on the disk, and gives it its name. That lasts once the directory is synced. On an error it is removed, as above. */
WARM_MUST_USE int warm_disk_tmp_commit(const warm_disk_dir *d, warm_disk_tmp *t, enum warm_disk_kind kind,
                                       const uint8_t key[WARM_DISK_KEY_BYTES]);
void warm_disk_tmp_abort(const warm_disk_dir *d, warm_disk_tmp *t);
WARM_MUST_USE int warm_disk_dir_sync(const warm_disk_dir *d);

/* One that is not there is removed already. bad: the one that was put aside. */
WARM_MUST_USE int warm_disk_file_remove(const warm_disk_dir *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES],
                                        bool bad);
WARM_MUST_USE int warm_disk_file_put_aside(const warm_disk_dir *d, enum warm_disk_kind kind,
                                           const uint8_t key[WARM_DISK_KEY_BYTES]);

/* ---- reading ---- */

typedef struct warm_disk_reader {
    const warm_io *io;
    int fd;
    warm_disk_file f;
} warm_disk_reader;

/* Opens a file and verifies its header and that it has the name of its key. WARM_ENOTFOUND; WARM_ECORRUPT, WARM_EINVAL, WARM_ENOTSUP: it is not what
 * it should be; WARM_EIO, errno says why; WARM_ENOMEM. After an error no close is needed. */
WARM_MUST_USE int warm_disk_reader_open(const warm_disk_dir *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES],
                                        warm_disk_reader *out, warm_err *err);
/* Asks the system to fetch the payload. */
void warm_disk_reader_ahead(const warm_disk_reader *r);
/* Reads and verifies pieces [first, first + n) into dst[0..n); a NULL is passed over. WARM_ECORRUPT; WARM_EIO, errno says why. */
WARM_MUST_USE int warm_disk_reader_read(const warm_disk_reader *r, uint32_t first, uint32_t n, uint8_t *const *dst, warm_err *err);
/* Reads and verifies all of the payload, and keeps nothing. Errors as above, WARM_ENOMEM. */
WARM_MUST_USE int warm_disk_reader_verify(const warm_disk_reader *r, warm_err *err);
void warm_disk_reader_close(warm_disk_reader *r);

/* ---- finding ---- */

enum warm_disk_found_what {
    WARM_DISK_FOUND,       /* a head that is right */
    WARM_DISK_FOUND_BAD,   /* damaged, cut off, unreadable, or not of the name's kind and key; head: kind and key by its name */
    WARM_DISK_FOUND_OLDER, /* of another format; head: kind and key by its name */
    WARM_DISK_FOUND_NEWER,
    WARM_DISK_FOUND_ASIDE, /* its name says that it was put aside */
    WARM_DISK_FOUND_TMP    /* a temporary file; the head says nothing */
};

typedef struct warm_disk_found {
    enum warm_disk_found_what what;
    warm_disk_head head;
    uint64_t bytes;
    bool unsized;                    /* it can't be opened, and nobody knows how long it is */
    char name[WARM_DISK_NAME_BYTES]; /* of a temporary file */
    warm_err why;                    /* where something is wrong */
} warm_disk_found;

/* Lists the names of ours in the directory; 40 bytes of memory for each. WARM_ENOMEM; WARM_EIO: errno says why. */
typedef struct warm_disk_scan warm_disk_scan;
WARM_MUST_USE int warm_disk_scan_new(const warm_disk_dir *d, warm_disk_scan **out);
void warm_disk_scan_free(warm_disk_scan *s);
/* Looks at the heads of the next files, at most max: each of all together once. Returns how many were looked at, 0 at the end. What is gone by
 * now, or is no regular file, is left out, and so is what there were no descriptors or memory for, which is counted. */
size_t warm_disk_scan_next(warm_disk_scan *s, size_t max, void (*each)(void *ud, const warm_disk_found *f), void *ud);
uint64_t warm_disk_scan_skipped(const warm_disk_scan *s);
WARM_MUST_USE int warm_disk_remove_name(const warm_disk_dir *d, const char *name);

/* The room that a file takes. */
static inline uint64_t warm_disk_held(uint64_t bytes) {
    return (bytes + WARM_DISK_ALIGN - 1) / WARM_DISK_ALIGN * WARM_DISK_ALIGN;
}

#endif
