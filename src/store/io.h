/* SPDX-License-Identifier: MIT
 *
 * store/io.h - the system's calls that touch files, as a table, so that tests make each of them fail; and reading and writing as a whole.
 *
 * Functions behave as their namesakes: -1 and errno. Threads: [io] (any, but they block). */
#ifndef WARM_STORE_IO_H
#define WARM_STORE_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "warmslot/err.h"

typedef struct warm_io warm_io;
struct warm_io {
    int (*openat)(const warm_io *io, int dir, const char *name, int flags, mode_t mode);
    int (*close)(const warm_io *io, int fd);
    ssize_t (*pread)(const warm_io *io, int fd, void *p, size_t n, uint64_t at);
    ssize_t (*pwrite)(const warm_io *io, int fd, const void *p, size_t n, uint64_t at);
    int (*fstat)(const warm_io *io, int fd, struct stat *st);
    int (*fdatasync)(const warm_io *io, int fd);
    int (*fsync)(const warm_io *io, int fd);
    int (*renameat)(const warm_io *io, int dir, const char *from, const char *to);
    int (*unlinkat)(const warm_io *io, int dir, const char *name);
    /* Calls each for the names in a directory, until it returns other than 0 (and -1); returns that, 0 at the end, or -1. */
    int (*list)(const warm_io *io, int dir, int (*each)(void *ud, const char *name, uint64_t inode), void *ud);
};
extern const warm_io warm_io_system;

/* WARM_EIO with errno set; interrupted and short writes go on. */
WARM_MUST_USE int warm_io_write_all(const warm_io *io, int fd, uint64_t at, const void *p, size_t n);
/* WARM_EIO with errno set; WARM_ECORRUPT: the file ended before. */
WARM_MUST_USE int warm_io_read_all(const warm_io *io, int fd, uint64_t at, void *p, size_t n);

#endif
