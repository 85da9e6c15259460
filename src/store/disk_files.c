/* SPDX-License-Identifier: MIT
 *
 * store/disk_files.c - see disk_files.h. */
#include "store/disk_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"

#define TMP_PREFIX "t-"
#define TMP_SUFFIX ".tmp"
#define BAD_SUFFIX ".bad"

enum { CHUNK = 1 << 20, BAD_NAME_BYTES = WARM_DISK_NAME_BYTES + sizeof BAD_SUFFIX, SCAN_AHEAD = 32, NAMES_MIN = 1024 };

static int failed(warm_err *err, const char *what) {
    int why = errno;
    warm_err_set(err, WARM_EIO, "%s: %s", what, strerror(why));
    errno = why;
    return WARM_EIO;
}

/* ---- the directory ---- */

static int lock_dir(const warm_io *io, const char *path, warm_disk_dir *d, warm_err *err) {
    d->lock_fd = io->openat(io, d->fd, WARM_DISK_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (d->lock_fd < 0) {
        bool never = errno == EROFS || errno == EACCES || errno == EPERM;
        return warm_err_set(err, never ? WARM_ENOTSUP : WARM_EIO, "can't write to '%.150s': %s", path, strerror(errno));
    }
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0) return 0;
    return errno == EWOULDBLOCK ? warm_err_set(err, WARM_EAGAIN, "another process writes to '%.150s'", path)
                                : warm_err_set(err, WARM_EIO, "can't lock '%.150s': %s", path, strerror(errno));
}

int warm_disk_dir_open(const warm_io *io, const char *path, bool read_only, warm_disk_dir *out, warm_err *err) {
    warm_disk_dir d = {.io = io, .fd = -1, .lock_fd = -1};
    if (!read_only && mkdir(path, 0700) && errno != EEXIST)
        return warm_err_set(err, WARM_EIO, "can't make the directory '%.150s': %s", path, strerror(errno));
    d.fd = io->openat(io, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (d.fd < 0) return warm_err_set(err, WARM_EIO, "can't open the directory '%.150s': %s", path, strerror(errno));
    int rc = read_only ? 0 : lock_dir(io, path, &d, err);
    if (rc) {
        warm_disk_dir_close(&d);
        return rc;
    }
    *out = d;
    return 0;
}

void warm_disk_dir_close(warm_disk_dir *d) {
    if (d->fd >= 0) d->io->close(d->io, d->fd);
    if (d->lock_fd >= 0) d->io->close(d->io, d->lock_fd);
    d->fd = d->lock_fd = -1;
}

bool warm_disk_dir_gone(const warm_disk_dir *d) {
    struct stat st;
    return fstat(d->fd, &st) == 0 && st.st_nlink == 0;
}

int warm_disk_dir_sync(const warm_disk_dir *d) {
    return d->io->fsync(d->io, d->fd) ? WARM_EIO : 0;
}

/* ---- writing ---- */

int warm_disk_remove_name(const warm_disk_dir *d, const char *name) {
    return d->io->unlinkat(d->io, d->fd, name) && errno != ENOENT ? WARM_EIO : 0;
}

static void close_keeping_errno(const warm_io *io, int fd) {
    int why = errno;
    io->close(io, fd);
    errno = why;
}

void warm_disk_tmp_abort(const warm_disk_dir *d, warm_disk_tmp *t) {
    int why = errno;
    if (t->fd < 0) return;
    d->io->close(d->io, t->fd);
    t->left = warm_disk_remove_name(d, t->name) != 0;
    t->fd = -1;
    errno = why;
}

static int sum_parts(warm_disk_file *f, const warm_disk_part *parts) {
    for (uint32_t i = 0; i < f->head.n_pieces; i++) {
        warm_disk_piece *x = &f->pieces[i];
        if (parts[i].verify && parts[i].verify(parts[i].ud)) return WARM_ECORRUPT;
        x->sum = x->bytes ? warm_xxh3(parts[i].data, (size_t)x->bytes) : 0;
    }
    return 0;
}

static int write_all(const warm_disk_dir *d, int fd, const warm_disk_file *f, const uint8_t *header, const warm_disk_part *parts) {
    uint64_t at = f->head.header_bytes;
    int rc = warm_io_write_all(d->io, fd, 0, header, (size_t)at);
    for (uint32_t i = 0; !rc && i < f->head.n_pieces; i++) {
        rc = warm_io_write_all(d->io, fd, at, parts[i].data, (size_t)f->pieces[i].bytes);
        at += f->pieces[i].bytes;
    }
    return rc;
}

int warm_disk_tmp_write(const warm_disk_dir *d, uint64_t number, warm_disk_file *f, const warm_disk_part *parts,
                        warm_disk_tmp *out) {
    *out = (warm_disk_tmp){.fd = -1};
    int rc = sum_parts(f, parts);
    if (rc) return rc;
    uint8_t *header = warm_malloc((size_t)f->head.header_bytes);
    if (!header) return WARM_ENOMEM;
    warm_disk_file_write(f, header);
    snprintf(out->name, sizeof out->name, TMP_PREFIX "%ld-%llu" TMP_SUFFIX, (long)getpid(), (unsigned long long)number);
    out->fd = d->io->openat(d->io, d->fd, out->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    rc = out->fd < 0 ? WARM_EIO : write_all(d, out->fd, f, header, parts);
    int why = errno;
    free(header);
    errno = why;
    if (rc) {
        warm_disk_tmp_abort(d, out);
        return rc;
    }
    (void)sync_file_range(out->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return 0;
}

int warm_disk_tmp_commit(const warm_disk_dir *d, warm_disk_tmp *t, enum warm_disk_kind kind,
                         const uint8_t key[WARM_DISK_KEY_BYTES]) {
    char name[WARM_DISK_NAME_BYTES];
    warm_disk_name(kind, key, name);
    if (d->io->fdatasync(d->io, t->fd) || d->io->renameat(d->io, d->fd, t->name, name)) {
        warm_disk_tmp_abort(d, t);
        return WARM_EIO;
    }
    d->io->close(d->io, t->fd);
    t->fd = -1;
    return 0;
}

static void bad_name(enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES], char out[BAD_NAME_BYTES]) {
    warm_disk_name(kind, key, out);
    memcpy(out + strlen(out), BAD_SUFFIX, sizeof BAD_SUFFIX);
}

int warm_disk_file_remove(const warm_disk_dir *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES], bool bad) {
    char name[BAD_NAME_BYTES];
    if (bad)
        bad_name(kind, key, name);
    else
        warm_disk_name(kind, key, name);
    return warm_disk_remove_name(d, name);
}

int warm_disk_file_put_aside(const warm_disk_dir *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES]) {
    char from[WARM_DISK_NAME_BYTES], to[BAD_NAME_BYTES];
    warm_disk_name(kind, key, from);
    bad_name(kind, key, to);
    return d->io->renameat(d->io, d->fd, from, to) ? WARM_EIO : 0;
}

/* ---- reading ---- */

/* A pipe would block, a link lead elsewhere. */
static int open_file(const warm_disk_dir *d, const char *name, struct stat *st, int *out) {
    int fd = d->io->openat(d->io, d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0) return errno == ENOENT ? WARM_ENOTFOUND : errno == ELOOP ? WARM_EINVAL : WARM_EIO;
    if (d->io->fstat(d->io, fd, st)) {
        close_keeping_errno(d->io, fd);
        return WARM_EIO;
    }
    if (!S_ISREG(st->st_mode)) {
        d->io->close(d->io, fd);
        return WARM_EINVAL;
    }
    *out = fd;
    return 0;
}

static bool is_named(const warm_disk_head *h, enum warm_disk_kind kind, const uint8_t *key) {
    return h->kind == kind && memcmp(h->key, key, sizeof h->key) == 0;
}

static int misnamed(warm_err *err) {
    return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: it has another's name");
}

static int ended(int rc, warm_err *err) {
    return rc == WARM_ECORRUPT ? warm_err_set(err, rc, "the file is damaged: it ends too early") : failed(err, "can't read it");
}

static int read_header(warm_disk_reader *r, uint64_t file_bytes, enum warm_disk_kind kind, const uint8_t *key, warm_err *err) {
    uint8_t first[WARM_DISK_ALIGN], *header = first;
    size_t n = file_bytes < sizeof first ? (size_t)file_bytes : sizeof first;
    warm_disk_head head;
    bool newer;
    int rc = warm_io_read_all(r->io, r->fd, 0, first, n);
    if (rc) return ended(rc, err);
    rc = warm_disk_head_read(first, n, file_bytes, &head, &newer, err);
    if (!rc && !is_named(&head, kind, key)) rc = misnamed(err);
    if (rc) return rc;
    if (head.header_bytes > n) {
        header = warm_malloc((size_t)head.header_bytes);
        if (!header) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
        memcpy(header, first, n);
        rc = warm_io_read_all(r->io, r->fd, n, header + n, (size_t)head.header_bytes - n);
        if (rc) rc = ended(rc, err);
    }
    if (!rc) rc = warm_disk_file_read(header, (size_t)head.header_bytes, file_bytes, &r->f, err);
    /* Another file may have been read than before. */
    if (!rc && !is_named(&r->f.head, kind, key)) {
        warm_disk_file_free(&r->f);
        rc = misnamed(err);
    }
    int why = errno;
    if (header != first) free(header);
    errno = why;
    return rc;
}

int warm_disk_reader_open(const warm_disk_dir *d, enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES],
                          warm_disk_reader *out, warm_err *err) {
    char name[WARM_DISK_NAME_BYTES];
    struct stat st;
    *out = (warm_disk_reader){.io = d->io, .fd = -1};
    warm_disk_name(kind, key, name);
    int rc = open_file(d, name, &st, &out->fd);
    if (rc == WARM_EIO) return failed(err, "can't open it");
    if (rc) return warm_err_set(err, rc, rc == WARM_ENOTFOUND ? "it is not there" : "it is not a file");
    rc = read_header(out, (uint64_t)st.st_size, kind, key, err);
    if (!rc) return 0;
    close_keeping_errno(d->io, out->fd);
    out->fd = -1;
    return rc;
}

void warm_disk_reader_ahead(const warm_disk_reader *r) {
    const warm_disk_head *h = &r->f.head;
    (void)posix_fadvise(r->fd, (off_t)h->header_bytes, (off_t)(h->file_bytes - h->header_bytes), POSIX_FADV_WILLNEED);
}

static int wrong_sum(warm_err *err, uint32_t piece) {
    return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: the checksum of piece %u is wrong", piece);
}

static uint64_t piece_at(const warm_disk_reader *r, uint32_t piece) {
    uint64_t at = r->f.head.header_bytes;
    for (uint32_t i = 0; i < piece; i++) at += r->f.pieces[i].bytes;
    return at;
}

int warm_disk_reader_read(const warm_disk_reader *r, uint32_t first, uint32_t n, uint8_t *const *dst, warm_err *err) {
    uint64_t at = piece_at(r, first);
    for (uint32_t i = 0; i < n; i++) {
        const warm_disk_piece *x = &r->f.pieces[first + i];
        size_t bytes = (size_t)x->bytes;
        if (dst[i] && bytes) {
            int rc = warm_io_read_all(r->io, r->fd, at, dst[i], bytes);
            if (rc) return ended(rc, err);
            if (warm_xxh3(dst[i], bytes) != x->sum) return wrong_sum(err, first + i);
        }
        at += x->bytes;
    }
    return 0;
}

static int verify_piece(const warm_disk_reader *r, uint64_t at, uint64_t bytes, uint8_t *chunk, warm_xxh3_sum *sum, warm_err *err) {
    warm_xxh3_begin(sum);
    for (size_t n; bytes; bytes -= n, at += n) {
        n = bytes < CHUNK ? (size_t)bytes : CHUNK;
        int rc = warm_io_read_all(r->io, r->fd, at, chunk, n);
        if (rc) return ended(rc, err);
        warm_xxh3_add(sum, chunk, n);
    }
    return 0;
}

int warm_disk_reader_verify(const warm_disk_reader *r, warm_err *err) {
    uint8_t *chunk = warm_malloc(CHUNK);
    warm_xxh3_sum *sum = warm_xxh3_new();
    int rc = chunk && sum ? 0 : warm_err_set(err, WARM_ENOMEM, "out of memory for reading it");
    uint64_t at = r->f.head.header_bytes;
    for (uint32_t i = 0; !rc && i < r->f.head.n_pieces; i++) {
        const warm_disk_piece *x = &r->f.pieces[i];
        if (!x->bytes) continue;
        rc = verify_piece(r, at, x->bytes, chunk, sum, err);
        if (!rc && warm_xxh3_end(sum) != x->sum) rc = wrong_sum(err, i);
        at += x->bytes;
    }
    int why = errno;
    if (sum) warm_xxh3_free(sum);
    free(chunk);
    errno = why;
    return rc;
}

void warm_disk_reader_close(warm_disk_reader *r) {
    if (r->fd >= 0) r->io->close(r->io, r->fd);
    r->fd = -1;
    warm_disk_file_free(&r->f);
}

/* ---- finding ---- */

struct name {
    uint64_t inode;
    uint8_t key[WARM_DISK_KEY_BYTES];
    uint8_t kind; /* 0: a temporary file, whose name is in tmp */
    bool aside;
    char *tmp;
};

struct warm_disk_scan {
    const warm_disk_dir *d;
    struct name *names;
    size_t n, cap, at;
    uint64_t n_skipped;
};

static bool is_tmp(const char *name) {
    size_t n = strlen(name), prefix = sizeof TMP_PREFIX - 1, suffix = sizeof TMP_SUFFIX - 1;
    return n > prefix + suffix && n < WARM_DISK_NAME_BYTES && memcmp(name, TMP_PREFIX, prefix) == 0 &&
           strcmp(name + n - suffix, TMP_SUFFIX) == 0;
}

/* false: it is no name of ours. */
static bool read_name(const char *name, struct name *out) {
    char text[WARM_DISK_NAME_BYTES];
    size_t n = strlen(name), suffix = sizeof BAD_SUFFIX - 1;
    out->aside = n == sizeof text - 1 + suffix && strcmp(name + n - suffix, BAD_SUFFIX) == 0;
    if (out->aside) n -= suffix;
    if (n >= sizeof text) return false;
    memcpy(text, name, n);
    text[n] = 0;
    enum warm_disk_kind kind;
    if (!warm_disk_name_read(text, &kind, out->key)) return false;
    out->kind = (uint8_t)kind;
    return true;
}

static int collect(void *ud, const char *name, uint64_t inode) {
    warm_disk_scan *s = ud;
    struct name x = {.inode = inode};
    bool tmp = is_tmp(name);
    if (!tmp && !read_name(name, &x)) return 0;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : NAMES_MIN;
        struct name *more = warm_realloc(s->names, cap * sizeof *more);
        if (!more) return WARM_ENOMEM;
        s->names = more;
        s->cap = cap;
    }
    if (tmp) x.tmp = warm_strndup(name, strlen(name));
    if (tmp && !x.tmp) return WARM_ENOMEM;
    s->names[s->n++] = x;
    return 0;
}

/* The list comes in the order of names or of their hashes; inodes are nearer to the order on the disk. */
static int by_inode(const void *a, const void *b) {
    uint64_t x = ((const struct name *)a)->inode, y = ((const struct name *)b)->inode;
    return x < y ? -1 : x > y;
}

int warm_disk_scan_new(const warm_disk_dir *d, warm_disk_scan **out) {
    warm_disk_scan *s = warm_xcalloc(1, sizeof *s);
    s->d = d;
    int rc = d->io->list(d->io, d->fd, collect, s);
    if (rc) {
        int why = errno;
        warm_disk_scan_free(s);
        errno = why;
        return rc == WARM_ENOMEM ? rc : WARM_EIO;
    }
    if (s->n) qsort(s->names, s->n, sizeof *s->names, by_inode);
    *out = s;
    return 0;
}

void warm_disk_scan_free(warm_disk_scan *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) free(s->names[i].tmp);
    free(s->names);
    free(s);
}

uint64_t warm_disk_scan_skipped(const warm_disk_scan *s) {
    return s->n_skipped;
}

/* Whether it is for want of something that there may be more of later. */
static bool is_passing(int why) {
    return why == EMFILE || why == ENFILE || why == ENOMEM;
}

/* What a file is, by its head. */
static void judge(const warm_disk_scan *s, const struct name *x, int fd, warm_disk_found *f) {
    uint8_t first[WARM_DISK_HEAD_BYTES];
    size_t n = f->bytes < sizeof first ? (size_t)f->bytes : sizeof first;
    bool newer = false;
    int rc = warm_io_read_all(s->d->io, fd, 0, first, n);
    if (rc) rc = ended(rc, &f->why);
    if (!rc) rc = warm_disk_head_read(first, n, f->bytes, &f->head, &newer, &f->why);
    if (!rc && !is_named(&f->head, (enum warm_disk_kind)x->kind, x->key)) rc = misnamed(&f->why);
    f->what = !rc                  ? WARM_DISK_FOUND
              : rc != WARM_ENOTSUP ? WARM_DISK_FOUND_BAD
              : newer              ? WARM_DISK_FOUND_NEWER
                                   : WARM_DISK_FOUND_OLDER;
}

/* fd -1: it can't be opened, f->why says why. */
static void look_at(const warm_disk_scan *s, const struct name *x, int fd, const struct stat *st, warm_disk_found *f) {
    f->what = x->tmp ? WARM_DISK_FOUND_TMP : x->aside ? WARM_DISK_FOUND_ASIDE : WARM_DISK_FOUND_BAD;
    f->unsized = fd < 0;
    if (!f->unsized) f->bytes = (uint64_t)st->st_size;
    if (x->tmp) snprintf(f->name, sizeof f->name, "%s", x->tmp);
    if (!f->unsized && f->what == WARM_DISK_FOUND_BAD) judge(s, x, fd, f);
    if (f->what == WARM_DISK_FOUND) return;
    f->head = (warm_disk_head){.kind = (enum warm_disk_kind)x->kind};
    memcpy(f->head.key, x->key, sizeof f->head.key);
}

static int open_named(const warm_disk_scan *s, const struct name *x, struct stat *st, int *fd) {
    char name[BAD_NAME_BYTES];
    if (x->tmp) return open_file(s->d, x->tmp, st, fd);
    if (x->aside)
        bad_name((enum warm_disk_kind)x->kind, x->key, name);
    else
        warm_disk_name((enum warm_disk_kind)x->kind, x->key, name);
    return open_file(s->d, name, st, fd);
}

/* Some are opened, and asked for, before the first is waited for. */
static void look_at_some(warm_disk_scan *s, size_t n, void (*each)(void *ud, const warm_disk_found *f), void *ud) {
    struct {
        int fd, rc, why;
        struct stat st;
    } open_files[SCAN_AHEAD];
    for (size_t i = 0; i < n; i++) {
        open_files[i].fd = -1;
        open_files[i].rc = open_named(s, &s->names[s->at + i], &open_files[i].st, &open_files[i].fd);
        open_files[i].why = errno;
        if (!open_files[i].rc) (void)posix_fadvise(open_files[i].fd, 0, WARM_DISK_ALIGN, POSIX_FADV_WILLNEED);
    }
    for (size_t i = 0; i < n; i++) {
        warm_disk_found f = {.bytes = 0};
        int rc = open_files[i].rc, fd = open_files[i].fd;
        if (rc == WARM_EIO && is_passing(open_files[i].why)) s->n_skipped++;
        if (rc && (rc != WARM_EIO || is_passing(open_files[i].why))) continue;
        if (rc) warm_err_set(&f.why, rc, "can't open it: %s", strerror(open_files[i].why));
        look_at(s, &s->names[s->at + i], fd, &open_files[i].st, &f);
        if (fd >= 0) s->d->io->close(s->d->io, fd);
        each(ud, &f);
    }
    s->at += n;
}

size_t warm_disk_scan_next(warm_disk_scan *s, size_t max, void (*each)(void *ud, const warm_disk_found *f), void *ud) {
    size_t from = s->at, end = s->n - from < max ? s->n : from + max;
    while (s->at < end) look_at_some(s, end - s->at < SCAN_AHEAD ? end - s->at : SCAN_AHEAD, each, ud);
    return s->at - from;
}
