/* SPDX-License-Identifier: MIT
 *
 * store/slot_io.c - see slot_io.h. */
#include "store/slot_io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/io.h"

#define TMP_PREFIX WARM_SLOT_IO_TMP
#define TMP_SUFFIX ".tmp"

enum { CHUNK = 1 << 20, TMP_NAME_MAX = 64, TMP_TRIES = 100 };

static atomic_uint tmp_serial;

static int failed(warm_err *err, const char *what, const char *name) {
    int why = errno;
    return warm_err_set(err, why == ENOMEM ? WARM_ENOMEM : WARM_EIO, "can't %s '%.100s': %s", what, name, strerror(why));
}

/* ---- writing ---- */

static bool is_tmp(const char *name) {
    size_t n = strlen(name), prefix = sizeof TMP_PREFIX - 1, suffix = sizeof TMP_SUFFIX - 1;
    return n > prefix + suffix && memcmp(name, TMP_PREFIX, prefix) == 0 && strcmp(name + n - suffix, TMP_SUFFIX) == 0;
}

static int sweep_one(void *ud, const char *name, uint64_t inode) {
    int dir = *(const int *)ud;
    (void)inode;
    if (!is_tmp(name)) return 0;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return 0;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(dir, name, 0);
    close(fd);
    return 0;
}

/* Removes what writers that died have left. */
static void sweep(int dir) {
    (void)warm_io_system.list(&warm_io_system, dir, sweep_one, &dir);
}

/* A new, locked file. Another writer's sweep may remove it before it is locked: then there is another try. */
static int open_tmp(int dir, char name[TMP_NAME_MAX]) {
    for (int i = 0; i < TMP_TRIES; i++) {
        snprintf(name, TMP_NAME_MAX, TMP_PREFIX "%ld-%u" TMP_SUFFIX, (long)getpid(), atomic_fetch_add(&tmp_serial, 1));
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EEXIST) continue;
        if (fd < 0) return -1;
        struct stat st;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) return fd;
        close(fd);
    }
    errno = EAGAIN;
    return -1;
}

static bool write_part(int fd, uint64_t *at, const uint8_t *data, size_t n) {
    if (warm_io_write_all(&warm_io_system, fd, *at, data, n)) return false;
    *at += n;
    return true;
}

static bool write_file(int fd, const uint8_t *header, size_t n_header, const warm_slot_part *parts, size_t n_parts) {
    uint64_t at = 0;
    if (!write_part(fd, &at, header, n_header)) return false;
    for (size_t i = 0; i < n_parts; i++)
        if (!write_part(fd, &at, parts[i].data, parts[i].bytes)) return false;
    return fsync(fd) == 0;
}

static int write_in(int dir, const char *name, const uint8_t *header, size_t n_header, const warm_slot_part *parts, size_t n_parts,
                    warm_err *err) {
    char tmp[TMP_NAME_MAX];
    sweep(dir);
    int fd = open_tmp(dir, tmp);
    if (fd < 0) return failed(err, "write", name);
    int rc = write_file(fd, header, n_header, parts, n_parts) ? 0 : failed(err, "write", name);
    if (!rc && renameat(dir, tmp, dir, name)) rc = failed(err, "write", name);
    if (rc) unlinkat(dir, tmp, 0);
    close(fd);
    /* The name, too, is to survive a power cut. */
    if (!rc && fsync(dir)) rc = failed(err, "sync the directory of", name);
    return rc;
}

int warm_slot_io_write(const char *dir, const char *name, const warm_slot_file *f, const warm_slot_part *parts, size_t n_parts,
                       warm_err *err) {
    uint64_t n = warm_slot_file_header_bytes(f);
    uint8_t *header = warm_malloc((size_t)n);
    if (!header) return warm_err_set(err, WARM_ENOMEM, "out of memory for the header of '%.100s'", name);
    warm_slot_file_write(f, header);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? failed(err, "open the directory of", name) : write_in(fd, name, header, (size_t)n, parts, n_parts, err);
    if (fd >= 0) close(fd);
    free(header);
    return rc;
}

/* ---- reading ---- */

static int read_at(int fd, uint64_t offset, uint8_t *dst, size_t n, warm_err *err) {
    int rc = warm_io_read_all(&warm_io_system, fd, offset, dst, n);
    if (rc == WARM_ECORRUPT) return warm_err_set(err, rc, "the file is damaged: it ends too early");
    return rc ? warm_err_set(err, rc, "can't read it: %s", strerror(errno)) : 0;
}

static int wrong_sum(warm_err *err, uint64_t offset) {
    return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: the checksum of what stands behind byte %llu is wrong",
                        (unsigned long long)offset);
}

struct check {
    int fd;
    uint64_t offset;
    uint8_t *chunk;
    warm_xxh3_sum *sum;
};

static int check_part(struct check *c, uint64_t bytes, uint64_t sum, warm_err *err) {
    uint64_t begin = c->offset;
    if (!bytes) return 0;
    warm_xxh3_begin(c->sum);
    while (bytes) {
        size_t n = bytes < CHUNK ? (size_t)bytes : CHUNK;
        int rc = read_at(c->fd, c->offset, c->chunk, n, err);
        if (rc) return rc;
        warm_xxh3_add(c->sum, c->chunk, n);
        c->offset += n;
        bytes -= n;
    }
    return warm_xxh3_end(c->sum) == sum ? 0 : wrong_sum(err, begin);
}

static int check_payload(const warm_slot_reader *r, warm_err *err) {
    struct check c = {.fd = r->fd, .offset = r->payload, .chunk = warm_malloc(CHUNK), .sum = warm_xxh3_new()};
    int rc = c.chunk && c.sum ? 0 : warm_err_set(err, WARM_ENOMEM, "out of memory for reading it");
    for (uint32_t i = 0; !rc && i < r->f.n_pieces; i++) {
        const warm_slot_piece *x = &r->f.pieces[i];
        rc = check_part(&c, x->bytes, x->sum, err);
        if (!rc) rc = check_part(&c, x->window_bytes, x->window_sum, err);
    }
    for (uint32_t i = 0; !rc && i < r->f.n_snapshots; i++) rc = check_part(&c, r->f.snapshots[i].bytes, r->f.snapshots[i].sum, err);
    if (c.sum) warm_xxh3_free(c.sum);
    free(c.chunk);
    return rc;
}

static int read_header(warm_slot_reader *r, uint64_t file_bytes, uint64_t max_units, warm_err *err) {
    uint8_t head[WARM_SLOT_HEAD_BYTES];
    size_t n = file_bytes < sizeof head ? (size_t)file_bytes : sizeof head;
    int rc = read_at(r->fd, 0, head, n, err);
    if (!rc) rc = warm_slot_file_head(head, n, file_bytes, max_units, &r->payload, err);
    if (rc) return rc;
    uint8_t *header = warm_malloc((size_t)r->payload);
    if (!header) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
    rc = read_at(r->fd, 0, header, (size_t)r->payload, err);
    if (!rc) rc = warm_slot_file_parse(header, (size_t)r->payload, file_bytes, max_units, &r->f, err);
    free(header);
    return rc;
}

static int open_file(const char *dir, const char *name, uint64_t *bytes, int *out, warm_err *err) {
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) return failed(err, "open the directory of", name);
    /* A pipe would block. */
    int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC), why = errno;
    close(at);
    if (fd < 0 && why == ENOENT) return warm_err_set(err, WARM_ENOTFOUND, "there is no file '%.100s'", name);
    errno = why;
    if (fd < 0) return failed(err, "read", name);
    struct stat st;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return warm_err_set(err, WARM_EINVAL, "'%.100s' is not a file", name);
    }
    *bytes = (uint64_t)st.st_size;
    *out = fd;
    return 0;
}

int warm_slot_io_open(const char *dir, const char *name, uint64_t max_units,
                      int (*accept)(const void *ud, const warm_slot_file *f, warm_err *err), const void *ud, warm_slot_reader *out,
                      warm_err *err) {
    uint64_t bytes = 0;
    *out = (warm_slot_reader){.fd = -1};
    int rc = open_file(dir, name, &bytes, &out->fd, err);
    if (rc) return rc;
    rc = read_header(out, bytes, max_units, err);
    if (!rc && accept) rc = accept(ud, &out->f, err);
    if (!rc) rc = check_payload(out, err);
    if (rc) warm_slot_io_close(out);
    return rc;
}

int warm_slot_io_read(const warm_slot_reader *r, uint64_t offset, uint8_t *dst, size_t bytes, uint64_t sum, warm_err *err) {
    int rc = read_at(r->fd, r->payload + offset, dst, bytes, err);
    if (rc) return rc;
    return warm_xxh3(dst, bytes) == sum ? 0 : wrong_sum(err, r->payload + offset);
}

void warm_slot_io_close(warm_slot_reader *r) {
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
    warm_slot_file_free(&r->f);
}
