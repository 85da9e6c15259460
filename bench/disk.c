/* SPDX-License-Identifier: MIT
 *
 * bench/disk.c - how fast the disk tier writes, finds at start, and reads back from a cold page cache; beside it what plain writes and reads of one
 * large file reach with direct IO on the same disk, since that is what it is measured by.
 *
 *   disk [DIR BLOCKS BYTES_A_UNIT [READERS]]     blocks of 256 units, each a conversation's third; DIR is made, and emptied at the end. Without
 *                                                arguments: a thousand of a MiB in build/bench/disk.tmp, with 2 readers */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "store/disk.h"

enum { UNITS = 256, PIECES = 4, DEPTH = 8, DIRECT = 4 << 20 };

static void must(int ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now(void) {
    return warm_clock_now(&warm_clock_monotonic);
}

static void report(const char *what, uint64_t t0, double bytes, size_t n) {
    double s = (double)(now() - t0) / 1e9;
    printf("%-34s %8.3f s %8.0f MB/s %9.1f us each\n", what, s, bytes / 1e6 / s, s * 1e6 / (double)n);
    fflush(stdout);
}

static void drop_caches(void) {
    sync();
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
    if (fd < 0 || write(fd, "3", 1) != 1) fprintf(stderr, "disk: the page cache can't be dropped: what is read may be in it\n");
    if (fd >= 0) close(fd);
}

static void direct(const char *dir, size_t bytes) {
    char path[300];
    void *p;
    snprintf(path, sizeof path, "%.280s/direct", dir);
    must(posix_memalign(&p, 4096, DIRECT) == 0, "memory");
    memset(p, 7, DIRECT);
    int fd = open(path, O_RDWR | O_CREAT | O_DIRECT, 0600);
    must(fd >= 0, "open a file for direct IO");
    size_t n = bytes / DIRECT;
    uint64_t t0 = now();
    for (size_t i = 0; i < n; i++) must(pwrite(fd, p, DIRECT, (off_t)(i * DIRECT)) == DIRECT, "write");
    must(fdatasync(fd) == 0, "sync");
    report("one file, direct, write", t0, (double)n * DIRECT, n);
    t0 = now();
    for (size_t i = 0; i < n; i++) must(pread(fd, p, DIRECT, (off_t)(i * DIRECT)) == DIRECT, "read");
    report("one file, direct, read", t0, (double)n * DIRECT, n);
    close(fd);
    unlink(path);
    free(p);
}

static void make_file(uint64_t i, size_t per_unit, warm_disk_file *f) {
    warm_rng r = {i};
    *f = (warm_disk_file){.units = warm_xcalloc(UNITS, sizeof *f->units),
                          .pieces = warm_xcalloc(PIECES, sizeof *f->pieces),
                          .scope = warm_xstrdup("bench"),
                          .adapters = warm_xstrdup(""),
                          .build = warm_xstrdup(""),
                          .backend = warm_xstrdup("")};
    f->head = (warm_disk_head){.kind = WARM_DISK_CELLS, .n_units = UNITS, .n_pieces = PIECES, .piece_units = UNITS / PIECES};
    f->head.start = f->head.parent_at = f->head.first_pos = 2 * UNITS;
    f->head.last_pos = 3 * UNITS - 1;
    memcpy(f->head.parent, &i, sizeof i);
    for (size_t k = 0; k < UNITS; k++) f->units[k] = warm_rng_below(&r, 150000);
    for (size_t k = 0; k < PIECES; k++) f->pieces[k].bytes = per_unit * UNITS / PIECES;
}

static void done(void *ud, int rc) {
    must(rc == 0, warm_strerror(rc));
    ++*(size_t *)ud;
}

static void write_all(warm_disk *d, size_t n, size_t per_unit, const uint8_t *bytes) {
    size_t n_done = 0;
    uint64_t t0 = now();
    for (size_t i = 0; i < n;) {
        warm_disk_file f;
        warm_disk_part parts[PIECES];
        make_file(i, per_unit, &f);
        for (size_t k = 0; k < PIECES; k++) parts[k] = (warm_disk_part){.data = bytes + k * per_unit};
        int rc = warm_disk_put_take(d, &f, parts, 0, done, &n_done);
        must(rc == 0 || rc == WARM_EAGAIN, "put");
        i += rc == 0;
        if (rc) (void)warm_disk_wait(d, 1000000000);
        warm_disk_poll(d);
    }
    while (n_done < n) {
        (void)warm_disk_wait(d, 1000000000);
        warm_disk_poll(d);
    }
    report("tier, write, synced", t0, (double)(n * per_unit * UNITS), n);
}

/* DEPTH reads at once, as a request's blocks are fetched ahead of each other. */
static void read_all(warm_disk *d, size_t n, size_t per_unit, uint8_t *bytes) {
    warm_disk_read *reads[DEPTH] = {0};
    size_t piece = per_unit * UNITS / PIECES, n_read = 0;
    uint32_t next = 0, places = warm_disk_places(d);
    uint64_t t0 = now();
    bool begun[DEPTH] = {false};
    while (n_read < n) {
        for (size_t i = 0; i < DEPTH; i++) {
            while (!reads[i] && next < places) {
                const warm_disk_entry *e = warm_disk_at(d, next++);
                begun[i] = false;
                if (e) reads[i] = warm_disk_read_begin(d, e);
            }
            if (!reads[i]) continue;
            enum warm_disk_read_state s = warm_disk_read_state_get(reads[i]);
            must(s != WARM_DISK_FAILED, "read");
            if (s != WARM_DISK_OPEN) continue;
            if (begun[i]) {
                warm_disk_read_end(reads[i]);
                reads[i] = NULL;
                n_read++;
                continue;
            }
            uint8_t *dst[PIECES];
            for (size_t k = 0; k < PIECES; k++) dst[k] = bytes + (i * PIECES + k) * piece;
            warm_disk_read_into(reads[i], 0, PIECES, dst);
            begun[i] = true;
        }
        if (n_read < n) (void)warm_disk_wait(d, 1000000000);
        warm_disk_poll(d);
    }
    report("tier, read and verified, cold", t0, (double)(n * per_unit * UNITS), n);
}

static warm_disk *open_tier(const warm_disk_options *o, size_t n) {
    warm_disk *d;
    warm_err err = {0};
    warm_disk_stats st;
    uint64_t t0 = now();
    if (warm_disk_open(o, &d, &err)) {
        fprintf(stderr, "disk: %s\n", err.text);
        exit(1);
    }
    do {
        (void)warm_disk_wait(d, 1000000000);
        warm_disk_poll(d);
        warm_disk_stats_get(d, &st);
    } while (st.scanning);
    if (n) report("tier, all found, cold", t0, (double)n * 4096, n);
    if (n) printf("index: %.0f bytes for each\n", (double)st.index_bytes / (double)n);
    return d;
}

int main(int argc, char **argv) {
    char *usual[] = {argv[0], "build/bench/disk.tmp", "1000", "4096", NULL};
    if (argc > 1 && argc < 4) {
        fprintf(stderr, "usage: disk [DIR BLOCKS BYTES_A_UNIT [READERS]]\n");
        return 2;
    }
    if (argc < 4) argv = usual;
    size_t n = strtoul(argv[2], NULL, 10), per_unit = strtoul(argv[3], NULL, 10);
    warm_budget budget;
    warm_budget_init(&budget, SIZE_MAX);
    warm_disk_options o = {.dir = argv[1], .limit_bytes = UINT64_MAX / 2, .budget = &budget, .clock = &warm_clock_monotonic};
    must(warm_worker_new("writer", 1, &o.writer, NULL) == 0, "thread");
    must(warm_worker_new("reader", argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 2, &o.readers, NULL) == 0, "thread");
    uint8_t *bytes = warm_xcalloc(per_unit * UNITS, DEPTH);
    warm_rng r = {1};
    for (size_t i = 0; i < per_unit * UNITS; i += 8) bytes[i] = (uint8_t)warm_rng_next(&r);
    warm_disk *d = open_tier(&o, 0);
    direct(argv[1], 1u << 30);
    write_all(d, n, per_unit, bytes);
    warm_disk_close(d);
    drop_caches();
    d = open_tier(&o, n);
    drop_caches();
    read_all(d, n, per_unit, bytes);
    uint64_t t0 = now();
    warm_disk_clear(d);
    warm_disk_stats st;
    for (warm_disk_stats_get(d, &st); st.n_jobs; warm_disk_stats_get(d, &st)) {
        (void)warm_disk_wait(d, 1000000000);
        warm_disk_poll(d);
    }
    report("tier, removed", t0, (double)(n * per_unit * UNITS), n);
    warm_disk_close(d);
    char path[300];
    snprintf(path, sizeof path, "%.250s/" WARM_DISK_LOCK, argv[1]);
    unlink(path);
    rmdir(argv[1]);
    warm_worker_free(o.writer);
    warm_worker_free(o.readers);
    free(bytes);
    return 0;
}
