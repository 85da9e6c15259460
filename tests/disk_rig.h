/* SPDX-License-Identifier: MIT
 *
 * tests/disk_rig.h - a disk tier in a temporary directory, and conversations whose blocks can be told right from wrong.
 *
 * Conversation k shares the first RIG_TRUNK units with all others. Every byte of a payload follows from the kind, the key and its place, so that
 * whatever comes back can be compared without anything being kept. */
#ifndef WARM_TESTS_DISK_RIG_H
#define WARM_TESTS_DISK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "store/disk.h"

enum { RIG_TRUNK = 300, RIG_PIECE = 64, RIG_MOST_PIECES = 16 };

typedef struct rig {
    char dir[64];
    warm_budget budget;
    warm_worker *writer, *readers;
    warm_disk_options o;
    warm_disk *disk;
    size_t n_done, n_ok, n_failed;
    int last;
} rig;

static _Atomic uint64_t rig_now = 1000000000;
static int64_t rig_wall = 1700000000000000000;

static inline uint64_t rig_clock(void *ud) {
    (void)ud;
    return rig_now += 1000;
}

static inline int64_t rig_wall_ns(void *ud) {
    (void)ud;
    return rig_wall += 1000000;
}

static const warm_clock rig_time = {rig_clock, NULL};

static inline uint64_t rig_unit(uint64_t conversation, uint64_t pos) {
    warm_rng r = {pos < RIG_TRUNK ? pos : (conversation + 1) << 32 | pos};
    return warm_rng_below(&r, 50000);
}

static inline void rig_units(uint64_t conversation, uint64_t from, size_t n, uint64_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = rig_unit(conversation, from + i);
}

static inline void rig_fingerprint(uint8_t scope, uint8_t out[WARM_DISK_KEY_BYTES]) {
    memset(out, scope, WARM_DISK_KEY_BYTES);
}

/* Of the path of the first n units; n is at most what follows whole blocks. */
static inline void rig_key(uint8_t scope, uint64_t conversation, size_t n, uint8_t out[WARM_DISK_KEY_BYTES]) {
    uint64_t units[WARM_DISK_BLOCK_UNITS];
    rig_fingerprint(scope, out);
    warm_disk_key_root(out, out);
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < WARM_DISK_BLOCK_UNITS ? n - at : WARM_DISK_BLOCK_UNITS;
        rig_units(conversation, at, k, units);
        warm_disk_key_next(out, units, k, out);
    }
}

static inline void rig_payload(const warm_disk_head *h, uint32_t piece, size_t bytes, uint8_t *out) {
    warm_rng r = {0};
    memcpy(&r.state, h->key, sizeof r.state);
    r.state += (uint64_t)h->kind * 1000 + piece;
    for (size_t i = 0; i < bytes; i++) out[i] = (uint8_t)warm_rng_next(&r);
}

/* A file for units [start, start + n) of a conversation; per_unit bytes each. A snapshot holds start .. start + n, its last block begins at the
 * last multiple of 256. */
static inline void rig_file(uint8_t scope, uint64_t conversation, enum warm_disk_kind kind, uint64_t start, size_t n,
                            size_t per_unit, warm_disk_file *f) {
    bool snapshot = kind == WARM_DISK_SNAPSHOT;
    *f = (warm_disk_file){0};
    warm_disk_head *h = &f->head;
    h->kind = kind;
    h->state = 1;
    h->start = start;
    h->n_units = n;
    h->parent_at = snapshot ? (start + n - 1) / WARM_DISK_BLOCK_UNITS * WARM_DISK_BLOCK_UNITS : start;
    h->first_pos = start;
    h->last_pos = start + n - 1;
    h->n_pieces = snapshot ? 1 : (uint32_t)((n + RIG_PIECE - 1) / RIG_PIECE);
    h->piece_units = snapshot ? 0 : RIG_PIECE;
    h->prior = snapshot ? 0.5 : 0;
    rig_fingerprint(scope, h->fingerprint);
    rig_key(scope, conversation, (size_t)start, h->parent);
    f->units = warm_xcalloc(n, sizeof *f->units);
    rig_units(conversation, start, n, f->units);
    f->pieces = warm_xcalloc(h->n_pieces, sizeof *f->pieces);
    for (uint32_t i = 0; i < h->n_pieces; i++) {
        size_t units = snapshot ? n : n - i * RIG_PIECE < RIG_PIECE ? n - i * RIG_PIECE : RIG_PIECE;
        f->pieces[i].bytes = units * per_unit;
    }
    f->scope = warm_xstrdup("model: a test\nkv: f16\n");
    f->adapters = warm_xstrdup("");
    f->build = warm_xstrdup("libtest 1");
    f->backend = warm_xstrdup("CPU");
}

/* Parts with the right bytes; they are one allocation, to be freed. */
static inline uint8_t *rig_parts(warm_disk_file *f, warm_disk_part *parts) {
    size_t n = 1;
    assert_int_equal(warm_disk_file_complete(f, NULL), 0);
    for (uint32_t i = 0; i < f->head.n_pieces; i++) n += (size_t)f->pieces[i].bytes;
    uint8_t *all = warm_xmalloc(n), *p = all;
    for (uint32_t i = 0; i < f->head.n_pieces; i++) {
        rig_payload(&f->head, i, (size_t)f->pieces[i].bytes, p);
        parts[i] = (warm_disk_part){.data = p};
        p += f->pieces[i].bytes;
    }
    return all;
}

/* ---- the tier ---- */

static inline void rig_make_dir(rig *r) {
    snprintf(r->dir, sizeof r->dir, "/tmp/warm-disk-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
}

static inline void rig_options(rig *r, unsigned n_threads, uint64_t limit) {
    warm_budget_init(&r->budget, 4u << 20);
    assert_int_equal(warm_worker_new("writer", n_threads ? 1 : 0, &r->writer, NULL), 0);
    assert_int_equal(warm_worker_new("reader", n_threads, &r->readers, NULL), 0);
    r->o = (warm_disk_options){.dir = r->dir,
                               .limit_bytes = limit,
                               .budget = &r->budget,
                               .writer = r->writer,
                               .readers = r->readers,
                               .clock = &rig_time,
                               .now_ns = rig_wall_ns};
}

static inline void rig_settle(rig *r) {
    warm_disk_stats st;
    warm_disk_poll(r->disk);
    for (warm_disk_stats_get(r->disk, &st); st.n_jobs; warm_disk_stats_get(r->disk, &st)) {
        (void)warm_disk_wait(r->disk, 1000000000);
        warm_disk_poll(r->disk);
    }
}

static inline void rig_start(rig *r) {
    warm_err err = {0};
    if (warm_disk_open(&r->o, &r->disk, &err)) fail_msg("%s", err.text);
    rig_settle(r);
}

static inline void rig_stop(rig *r) {
    warm_disk_close(r->disk);
    r->disk = NULL;
    assert_int_equal(r->budget.used_bytes, 0);
}

static inline void rig_free_workers(rig *r) {
    warm_worker_free(r->writer);
    warm_worker_free(r->readers);
    r->writer = r->readers = NULL;
}

static inline void rig_open(rig *r, unsigned n_threads, uint64_t limit) {
    *r = (rig){0};
    rig_make_dir(r);
    rig_options(r, n_threads, limit);
    rig_start(r);
}

/* name NULL: of all. */
static inline size_t rig_each_name(const rig *r, void (*each)(void *ud, const char *path), void *ud) {
    DIR *d = opendir(r->dir);
    size_t n = 0;
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        char path[400];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%.60s/%.300s", r->dir, e->d_name);
        if (each) each(ud, path);
        n++;
    }
    closedir(d);
    return n;
}

static inline void rig_unlink(void *ud, const char *path) {
    (void)ud;
    assert_int_equal(unlink(path), 0);
}

static inline void rig_close(rig *r) {
    if (r->disk) rig_stop(r);
    if (r->writer) rig_free_workers(r);
    if (access(r->dir, F_OK)) return;
    chmod(r->dir, 0700);
    rig_each_name(r, rig_unlink, NULL);
    assert_int_equal(rmdir(r->dir), 0);
}

struct rig_put {
    rig *r;
    uint8_t *bytes;
};

static inline void rig_done(void *ud, int rc) {
    struct rig_put *p = ud;
    p->r->n_done++;
    p->r->n_ok += rc == 0;
    p->r->n_failed += rc != 0;
    p->r->last = rc;
    free(p->bytes);
    free(p);
}

/* What warm_disk_put_take returns. */
static inline int rig_put_rank(rig *r, uint8_t scope, uint64_t conversation, enum warm_disk_kind kind, uint64_t start, size_t n,
                               size_t per_unit, double rank) {
    warm_disk_file f;
    warm_disk_part parts[RIG_MOST_PIECES];
    struct rig_put *p = warm_xcalloc(1, sizeof *p);
    rig_file(scope, conversation, kind, start, n, per_unit, &f);
    p->r = r;
    p->bytes = rig_parts(&f, parts);
    int rc = warm_disk_put_take(r->disk, &f, parts, rank, rig_done, p);
    assert_null(f.units);
    if (rc) {
        free(p->bytes);
        free(p);
    }
    return rc;
}

static inline int rig_put(rig *r, uint64_t conversation, enum warm_disk_kind kind, uint64_t start, size_t n, size_t per_unit) {
    return rig_put_rank(r, 1, conversation, kind, start, n, per_unit, 0);
}

/* Puts a block and waits for it. */
static inline void rig_must_put(rig *r, uint64_t conversation, uint64_t start, size_t n, size_t per_unit) {
    size_t ok = r->n_ok;
    assert_int_equal(rig_put(r, conversation, WARM_DISK_CELLS, start, n, per_unit), 0);
    rig_settle(r);
    assert_int_equal(r->n_ok, ok + 1);
}

static inline const warm_disk_entry *rig_find(const rig *r, uint64_t conversation, enum warm_disk_kind kind, size_t n) {
    uint8_t key[WARM_DISK_KEY_BYTES];
    rig_key(1, conversation, n, key);
    return warm_disk_find(r->disk, kind, key);
}

/* Of the file of the path of the first n units. */
static inline void rig_path(const rig *r, uint64_t conversation, enum warm_disk_kind kind, size_t n, char out[200]) {
    uint8_t key[WARM_DISK_KEY_BYTES];
    char name[WARM_DISK_NAME_BYTES];
    rig_key(1, conversation, n, key);
    warm_disk_name(kind, key, name);
    snprintf(out, 200, "%.60s/%s", r->dir, name);
}

/* Changes bits of the byte there. */
static inline void rig_flip(const char *path, off_t at, uint8_t bits) {
    uint8_t x;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &x, 1, at), 1);
    x ^= bits;
    assert_int_equal(pwrite(fd, &x, 1, at), 1);
    close(fd);
}

static inline void rig_wait_read(rig *r, const warm_disk_read *x, enum warm_disk_read_state busy) {
    while (warm_disk_read_state_get(x) == busy) {
        (void)warm_disk_wait(r->disk, 1000000000);
        warm_disk_poll(r->disk);
    }
}

/* Reads an entry and compares every byte. 0, or what the read failed with. */
static inline int rig_read(rig *r, const warm_disk_entry *e) {
    warm_disk_read *x = warm_disk_read_begin(r->disk, e);
    uint8_t *dst[RIG_MOST_PIECES], *want = NULL;
    warm_disk_poll(r->disk);
    rig_wait_read(r, x, WARM_DISK_OPENING);
    int rc = 0;
    if (warm_disk_read_state_get(x) == WARM_DISK_FAILED) {
        rc = warm_disk_read_error(x);
        warm_disk_read_end(x);
        return rc;
    }
    const warm_disk_file *f = warm_disk_read_file(x);
    uint32_t n = f->head.n_pieces;
    assert_true(n <= RIG_MOST_PIECES);
    for (uint32_t i = 0; i < n; i++) dst[i] = warm_xmalloc((size_t)f->pieces[i].bytes + 1);
    warm_disk_read_into(x, 0, n, dst);
    warm_disk_poll(r->disk);
    rig_wait_read(r, x, WARM_DISK_READING);
    rc = warm_disk_read_state_get(x) == WARM_DISK_FAILED ? warm_disk_read_error(x) : 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t bytes = (size_t)f->pieces[i].bytes;
        want = warm_xmalloc(bytes + 1);
        rig_payload(&f->head, i, bytes, want);
        if (!rc) assert_memory_equal(dst[i], want, bytes);
        free(want);
        free(dst[i]);
    }
    warm_disk_read_end(x);
    return rc;
}

static inline void rig_add_size(void *ud, const char *path) {
    struct stat st;
    if (lstat(path, &st) == 0) *(uint64_t *)ud += warm_disk_held((uint64_t)st.st_size);
}

/* Of all files in the directory. */
static inline uint64_t rig_bytes(const rig *r) {
    uint64_t n = 0;
    rig_each_name(r, rig_add_size, &n);
    return n;
}

#endif
