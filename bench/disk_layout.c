/* SPDX-License-Identifier: MIT
 *
 * bench/disk_layout.c - a file per block, or segments of many blocks? What each costs to write, to scan at start, to read back, and to make room in.
 *
 * Both layouts write the same bytes in the same batches: all data of a batch is on its way to the disk before the first of it is waited
 * for, then the names are made and the directory is synced, once a batch. A segment has 256 MiB at most, and a block in it is found
 * by going from header to header. Room is made by removing every second block, in no order: a file is unlinked; of segments the blocks
 * that stay are copied into new ones, which are synced, before the old ones go. Before each reading phase the page cache is
 * dropped (as root by the system's switch, else file by file).
 *
 *   disk_layout [DIR files|segments BLOCKS BYTES [BATCH_MIB]]     without arguments: 2000 of 256 KiB in build/bench/disk_layout.tmp, both ways */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"

enum { HEADER = 4096, BATCH_FILES = 256, NAME_MAX_BYTES = 64 };
#define SEGMENT_BYTES (256ull << 20)

struct where {
    uint32_t segment;
    uint64_t offset;
};

struct bench {
    int dir;
    bool segments;
    size_t n, block_bytes, batch_bytes;
    uint8_t *block;
    struct where *where; /* of blocks in segments */
    uint32_t n_segments;
    uint64_t *order;
};

static void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "disk_layout: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    return warm_clock_now(&warm_clock_monotonic);
}

static void report(const struct bench *b, const char *what, uint64_t t0, size_t n, double bytes) {
    double s = (double)(now() - t0) / 1e9;
    printf("%-9s %7zu x %9zu  %-22s %8.3f s %9.1f us each %8.0f MB/s\n", b->segments ? "segments" : "files", n, b->block_bytes,
           what, s, s * 1e6 / (double)n, bytes / 1e6 / s);
    fflush(stdout);
}

static void file_name(char *out, const char *kind, uint64_t i) {
    /* As keys are: in no order. */
    snprintf(out, NAME_MAX_BYTES, "%s%016" PRIx64, kind, warm_xxh3(&i, sizeof i));
}

static void write_all(int fd, const uint8_t *p, size_t n) {
    while (n) {
        ssize_t k = write(fd, p, n);
        must(k > 0, "write");
        p += k;
        n -= (size_t)k;
    }
}

static void read_all(int fd, uint8_t *p, size_t n, uint64_t at) {
    while (n) {
        ssize_t k = pread(fd, p, n, (off_t)at);
        must(k > 0, "read");
        p += k;
        n -= (size_t)k;
        at += (uint64_t)k;
    }
}

static void drop_caches(const struct bench *b) {
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    if (fd >= 0) {
        ssize_t k = write(fd, "3", 1);
        close(fd);
        if (k == 1) return;
    }
    int copy = openat(b->dir, ".", O_RDONLY | O_DIRECTORY);
    DIR *d = fdopendir(copy);
    must(d != NULL, "list");
    for (const struct dirent *e; (e = readdir(d));) {
        int f = openat(b->dir, e->d_name, O_RDONLY);
        if (f >= 0) (void)posix_fadvise(f, 0, 0, POSIX_FADV_DONTNEED);
        if (f >= 0) close(f);
    }
    closedir(d);
}

static void stamp(struct bench *b, uint64_t i) {
    memcpy(b->block, &i, sizeof i);
    memcpy(b->block + 8, &b->block_bytes, sizeof b->block_bytes);
    for (size_t k = HEADER; k < b->block_bytes; k += 4096) memcpy(b->block + k, &i, sizeof i);
}

/* ---- writing ---- */

static void write_files(struct bench *b) {
    int fds[BATCH_FILES];
    uint64_t first = 0;
    size_t open_files = 0, bytes = 0;
    char name[NAME_MAX_BYTES], tmp[NAME_MAX_BYTES];
    for (uint64_t i = 0; i < b->n; i++) {
        stamp(b, i);
        file_name(tmp, "tmp-", i);
        int fd = openat(b->dir, tmp, O_WRONLY | O_CREAT | O_EXCL, 0600);
        must(fd >= 0, "create");
        write_all(fd, b->block, b->block_bytes);
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
        fds[open_files++] = fd;
        bytes += b->block_bytes;
        if (open_files < BATCH_FILES && bytes < b->batch_bytes && i + 1 < b->n) continue;
        for (size_t k = 0; k < open_files; k++) {
            must(fdatasync(fds[k]) == 0, "sync");
            close(fds[k]);
            file_name(tmp, "tmp-", first + k);
            file_name(name, "b-", first + k);
            must(renameat(b->dir, tmp, b->dir, name) == 0, "rename");
        }
        must(fsync(b->dir) == 0, "sync the directory");
        first = i + 1;
        open_files = bytes = 0;
    }
}

static int segment_open(const struct bench *b, uint32_t i, int flags) {
    char name[NAME_MAX_BYTES];
    snprintf(name, sizeof name, "segment-%06u", i);
    int fd = openat(b->dir, name, flags, 0600);
    must(fd >= 0, "open a segment");
    return fd;
}

/* Appends blocks; a new segment begins when one is full. */
struct appender {
    int fd;
    uint64_t at, unsynced;
};

static void append_sync(struct bench *b, struct appender *a) {
    must(fdatasync(a->fd) == 0, "sync");
    (void)b;
    a->unsynced = 0;
}

static void append(struct bench *b, struct appender *a, struct where *w) {
    if (a->fd >= 0 && a->at + b->block_bytes > SEGMENT_BYTES) {
        append_sync(b, a);
        close(a->fd);
        a->fd = -1;
    }
    if (a->fd < 0) {
        a->fd = segment_open(b, b->n_segments++, O_WRONLY | O_CREAT | O_EXCL);
        a->at = 0;
        must(fsync(b->dir) == 0, "sync the directory");
    }
    write_all(a->fd, b->block, b->block_bytes);
    (void)sync_file_range(a->fd, (off_t)a->at, (off_t)b->block_bytes, SYNC_FILE_RANGE_WRITE);
    *w = (struct where){b->n_segments - 1, a->at};
    a->at += b->block_bytes;
    a->unsynced += b->block_bytes;
    if (a->unsynced >= b->batch_bytes || a->unsynced >= BATCH_FILES * b->block_bytes) append_sync(b, a);
}

static void write_segments(struct bench *b) {
    struct appender a = {.fd = -1};
    for (uint64_t i = 0; i < b->n; i++) {
        stamp(b, i);
        append(b, &a, &b->where[i]);
    }
    append_sync(b, &a);
    close(a.fd);
}

/* ---- scanning ---- */

struct found {
    uint64_t inode;
    char name[NAME_MAX_BYTES];
};

static int by_inode(const void *a, const void *b) {
    uint64_t x = ((const struct found *)a)->inode, y = ((const struct found *)b)->inode;
    return x < y ? -1 : x > y;
}

static size_t scan_files(struct bench *b, bool sorted) {
    struct found *all = warm_xcalloc(b->n + 16, sizeof *all);
    size_t n = 0, good = 0;
    DIR *d = fdopendir(openat(b->dir, ".", O_RDONLY | O_DIRECTORY));
    must(d != NULL, "list");
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] != 'b') continue;
        all[n].inode = e->d_ino;
        snprintf(all[n++].name, NAME_MAX_BYTES, "%.63s", e->d_name);
    }
    closedir(d);
    if (sorted) qsort(all, n, sizeof *all, by_inode);
    uint8_t head[HEADER];
    for (size_t i = 0; i < n; i++) {
        int fd = openat(b->dir, all[i].name, O_RDONLY);
        struct stat st;
        must(fd >= 0 && fstat(fd, &st) == 0, "open");
        read_all(fd, head, sizeof head, 0);
        good += warm_xxh3(head, sizeof head) != 0 && st.st_size == (off_t)b->block_bytes;
        close(fd);
    }
    free(all);
    return good;
}

static size_t scan_segments(struct bench *b) {
    size_t good = 0;
    uint8_t head[HEADER];
    for (uint32_t s = 0; s < b->n_segments; s++) {
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "segment-%06u", s);
        int fd = openat(b->dir, name, O_RDONLY);
        if (fd < 0) continue;
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        struct stat st;
        must(fstat(fd, &st) == 0, "stat");
        for (uint64_t at = 0; at < (uint64_t)st.st_size;) {
            size_t bytes;
            read_all(fd, head, sizeof head, at);
            memcpy(&bytes, head + 8, sizeof bytes);
            good += warm_xxh3(head, sizeof head) != 0;
            at += bytes;
        }
        close(fd);
    }
    return good;
}

/* ---- reading back, in no order ---- */

static void read_back(struct bench *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t k = b->order[i], was;
        char name[NAME_MAX_BYTES];
        file_name(name, "b-", k);
        int fd = b->segments ? segment_open(b, b->where[k].segment, O_RDONLY) : openat(b->dir, name, O_RDONLY);
        must(fd >= 0, "open");
        uint64_t at = b->segments ? b->where[k].offset : 0;
        (void)posix_fadvise(fd, (off_t)at, (off_t)b->block_bytes, POSIX_FADV_WILLNEED);
        read_all(fd, b->block, b->block_bytes, at);
        memcpy(&was, b->block, sizeof was);
        must(was == k && warm_xxh3(b->block, b->block_bytes) != 0, "compare");
        close(fd);
    }
}

/* ---- making room: every second block of a random order goes ---- */

static void remove_half(struct bench *b) {
    size_t n = b->n / 2;
    if (!b->segments) {
        for (size_t i = 0; i < n; i++) {
            char name[NAME_MAX_BYTES];
            file_name(name, "b-", b->order[i]);
            must(unlinkat(b->dir, name, 0) == 0, "unlink");
        }
        must(fsync(b->dir) == 0, "sync the directory");
        return;
    }
    bool *gone = warm_xcalloc(b->n, 1);
    for (size_t i = 0; i < n; i++) gone[b->order[i]] = true;
    uint32_t before = b->n_segments;
    struct appender a = {.fd = -1};
    for (uint64_t i = 0; i < b->n; i++) {
        if (gone[i]) continue;
        int fd = segment_open(b, b->where[i].segment, O_RDONLY);
        read_all(fd, b->block, b->block_bytes, b->where[i].offset);
        close(fd);
        append(b, &a, &b->where[i]);
    }
    append_sync(b, &a);
    close(a.fd);
    for (uint32_t s = 0; s < before; s++) {
        char name[NAME_MAX_BYTES];
        snprintf(name, sizeof name, "segment-%06u", s);
        must(unlinkat(b->dir, name, 0) == 0, "unlink");
    }
    must(fsync(b->dir) == 0, "sync the directory");
    free(gone);
}

static void run(struct bench *b) {
    double all = (double)b->n * (double)b->block_bytes;
    uint64_t t0 = now();
    if (b->segments)
        write_segments(b);
    else
        write_files(b);
    report(b, "write, synced", t0, b->n, all);
    for (int i = 0; i < 3; i++) {
        if (b->segments && i == 1) continue;
        if (i < 2) drop_caches(b);
        t0 = now();
        size_t good = b->segments ? scan_segments(b) : scan_files(b, i != 0);
        must(good == b->n, "scan");
        report(b, i == 0 ? "scan, cold" : i == 1 ? "scan by inode, cold" : "scan, warm", t0, b->n, (double)b->n * HEADER);
    }
    size_t n = b->n < 20000 ? b->n : 20000;
    drop_caches(b);
    t0 = now();
    read_back(b, n);
    report(b, "read in no order, cold", t0, n, (double)n * (double)b->block_bytes);
    drop_caches(b);
    t0 = now();
    remove_half(b);
    report(b, "remove every second", t0, b->n / 2, (double)(b->n / 2) * (double)b->block_bytes);
}

static void clean(const struct bench *b) {
    DIR *d = fdopendir(openat(b->dir, ".", O_RDONLY | O_DIRECTORY));
    must(d != NULL, "list");
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.') unlinkat(b->dir, e->d_name, 0);
    closedir(d);
}

static void run_in(char *dir, bool segments, size_t n, size_t block_bytes, size_t batch_mib) {
    struct bench b = {.segments = segments, .n = n, .block_bytes = block_bytes, .batch_bytes = batch_mib << 20};
    must(mkdir(dir, 0700) == 0, "make the directory");
    b.dir = open(dir, O_RDONLY | O_DIRECTORY);
    must(b.dir >= 0 && b.block_bytes >= HEADER && b.n > 1, "open the directory");
    b.block = warm_xmalloc(b.block_bytes);
    b.where = warm_xcalloc(b.n, sizeof *b.where);
    b.order = warm_xcalloc(b.n, sizeof *b.order);
    warm_rng r = {1};
    for (size_t i = 0; i < b.block_bytes; i++) b.block[i] = (uint8_t)warm_rng_next(&r);
    for (size_t i = 0; i < b.n; i++) {
        size_t k = (size_t)warm_rng_below(&r, i + 1);
        b.order[i] = b.order[k];
        b.order[k] = i;
    }
    run(&b);
    clean(&b);
    close(b.dir);
    rmdir(dir);
    free(b.order);
    free(b.where);
    free(b.block);
}

int main(int argc, char **argv) {
    const size_t batch_mib = argc > 5 ? strtoul(argv[5], NULL, 10) : 64;
    if (argc > 1 && argc < 5) {
        fprintf(stderr, "usage: disk_layout [DIR files|segments BLOCKS BYTES [BATCH_MIB]]; DIR is made, and emptied at the end\n");
        return 2;
    }
    if (argc > 1) {
        run_in(argv[1], strcmp(argv[2], "segments") == 0, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10), batch_mib);
        return 0;
    }
    for (int segments = 0; segments < 2; segments++) run_in("build/bench/disk_layout.tmp", segments, 2000, 256 << 10, batch_mib);
    return 0;
}
