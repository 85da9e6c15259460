/* SPDX-License-Identifier: MIT
 *
 * store/io.c - see io.h. */
#include "store/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int sys_openat(const warm_io *io, int dir, const char *name, int flags, mode_t mode) {
    (void)io;
    return openat(dir, name, flags, mode);
}

static int sys_close(const warm_io *io, int fd) {
    (void)io;
    return close(fd);
}

static ssize_t sys_pread(const warm_io *io, int fd, void *p, size_t n, uint64_t at) {
    (void)io;
    return pread(fd, p, n, (off_t)at);
}

static ssize_t sys_pwrite(const warm_io *io, int fd, const void *p, size_t n, uint64_t at) {
    (void)io;
    return pwrite(fd, p, n, (off_t)at);
}

static int sys_fstat(const warm_io *io, int fd, struct stat *st) {
    (void)io;
    return fstat(fd, st);
}

static int sys_fdatasync(const warm_io *io, int fd) {
    (void)io;
    return fdatasync(fd);
}

static int sys_fsync(const warm_io *io, int fd) {
    (void)io;
    return fsync(fd);
}

static int sys_renameat(const warm_io *io, int dir, const char *from, const char *to) {
    (void)io;
    return renameat(dir, from, dir, to);
}

static int sys_unlinkat(const warm_io *io, int dir, const char *name) {
    (void)io;
    return unlinkat(dir, name, 0);
}

static int sys_list(const warm_io *io, int dir, int (*each)(void *ud, const char *name, uint64_t inode), void *ud) {
    (void)io;
    /* A descriptor of its own: the place in the list belongs to it. */
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0) close(fd);
        return -1;
    }
    int rc = 0;
    while (!rc) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            rc = errno ? -1 : 0;
            break;
        }
        rc = each(ud, e->d_name, e->d_ino);
    }
    closedir(d);
    return rc;
}

const warm_io warm_io_system = {
    .openat = sys_openat,
    .close = sys_close,
    .pread = sys_pread,
    .pwrite = sys_pwrite,
    .fstat = sys_fstat,
    .fdatasync = sys_fdatasync,
    .fsync = sys_fsync,
    .renameat = sys_renameat,
    .unlinkat = sys_unlinkat,
    .list = sys_list,
};

int warm_io_write_all(const warm_io *io, int fd, uint64_t at, const void *p, size_t n) {
    const uint8_t *from = p;
    while (n) {
        ssize_t k = io->pwrite(io, fd, from, n, at);
        if (k < 0 && errno == EINTR) continue;
        if (k == 0) errno = EIO;
        if (k <= 0) return WARM_EIO;
        from += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}

int warm_io_read_all(const warm_io *io, int fd, uint64_t at, void *p, size_t n) {
    uint8_t *to = p;
    while (n) {
        ssize_t k = io->pread(io, fd, to, n, at);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return WARM_EIO;
        if (k == 0) return WARM_ECORRUPT;
        to += k;
        at += (uint64_t)k;
        n -= (size_t)k;
    }
    return 0;
}
