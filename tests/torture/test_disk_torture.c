/* SPDX-License-Identifier: MIT
 *
 * A script of calls to the disk tier, run again and again while the N-th call of the system fails, or all from the N-th on, or the process is killed at
 * the N-th that changes something; and files with a bit flipped in every region. Then the directory is opened again.
 *
 * Whatever was said to be written is there, right to the byte; whatever is there is right; the files are within the limit at each call; nothing
 * is left in the budget. And for a power cut: no file gets its name before it is synced, and none is promised before its name is. */
#include "disk_rig.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { N_FILES = 14, PER_UNIT = 20, ROOM = 9 };

/* Calls that change something are counted apart: between two of them a kill changes nothing. */
static struct {
    uint64_t n, n_changes;
    uint64_t fail_at, kill_at;
    bool on; /* every one from there on */
    int why;
    bool shorten; /* writes and reads of one byte less, where they do not fail */
    const char *dir;
    uint64_t limit, n_failed, n_shortened;
} faults;

/* What a power cut would take: files that were written to since they were synced, by their descriptors, and new names. */
enum { FDS = 1024 };
static struct {
    bool dirty[FDS];
    char name[FDS][WARM_DISK_NAME_BYTES];
    size_t n_names;
} unsafe;

static void check_limit(void) {
    rig r = {0};
    uint64_t n = 0;
    if (!faults.limit) return;
    snprintf(r.dir, sizeof r.dir, "%s", faults.dir);
    n = rig_bytes(&r);
    if (n > faults.limit) fail_msg("%llu bytes, and the limit is %llu", (unsigned long long)n, (unsigned long long)faults.limit);
}

/* True: this call fails. */
static bool fault(bool change) {
    faults.n++;
    if (change) {
        check_limit();
        if (++faults.n_changes == faults.kill_at) raise(SIGKILL);
    }
    bool fails = faults.fail_at && (faults.on ? faults.n >= faults.fail_at : faults.n == faults.fail_at);
    if (!fails) return false;
    faults.n_failed++;
    errno = faults.why;
    return true;
}

static size_t shorter(size_t n) {
    if (!faults.shorten || n < 2) return n;
    faults.n_shortened++;
    return n / 2 + 1;
}

static int bad_openat(const warm_io *io, int dir, const char *name, int flags, mode_t mode) {
    int fd = fault(flags & O_CREAT) ? -1 : warm_io_system.openat(io, dir, name, flags, mode);
    assert_true(fd < FDS);
    if (fd >= 0) {
        unsafe.dirty[fd] = false;
        snprintf(unsafe.name[fd], sizeof unsafe.name[fd], "%s", flags & O_EXCL ? name : "");
    }
    return fd;
}

static int bad_close(const warm_io *io, int fd) {
    /* It closes, whatever it says. */
    return warm_io_system.close(io, fd);
}

static ssize_t bad_pread(const warm_io *io, int fd, void *p, size_t n, uint64_t at) {
    return fault(false) ? -1 : warm_io_system.pread(io, fd, p, shorter(n), at);
}

static ssize_t bad_pwrite(const warm_io *io, int fd, const void *p, size_t n, uint64_t at) {
    unsafe.dirty[fd] = true;
    /* A disk that fills up takes a part first. */
    if (fault(true)) return faults.n % 2 ? -1 : warm_io_system.pwrite(io, fd, p, n / 3, at) < 0 ? -1 : (errno = faults.why, -1);
    return warm_io_system.pwrite(io, fd, p, shorter(n), at);
}

static int bad_fstat(const warm_io *io, int fd, struct stat *st) {
    return fault(false) ? -1 : warm_io_system.fstat(io, fd, st);
}

/* Nothing here outlives the machine, so nothing has to be waited for. */
static int bad_fdatasync(const warm_io *io, int fd) {
    (void)io;
    if (fault(true)) return -1;
    unsafe.dirty[fd] = false;
    return 0;
}

static int bad_fsync(const warm_io *io, int fd) {
    (void)io;
    (void)fd;
    if (fault(true)) return -1;
    unsafe.n_names = 0;
    return 0;
}

static int bad_renameat(const warm_io *io, int dir, const char *from, const char *to) {
    if (fault(true)) return -1;
    for (int fd = 0; fd < FDS; fd++) assert_false(unsafe.dirty[fd] && strcmp(unsafe.name[fd], from) == 0);
    unsafe.n_names += strstr(to, ".bad") == NULL;
    return warm_io_system.renameat(io, dir, from, to);
}

static int bad_unlinkat(const warm_io *io, int dir, const char *name) {
    return fault(true) ? -1 : warm_io_system.unlinkat(io, dir, name);
}

static int bad_list(const warm_io *io, int dir, int (*each)(void *ud, const char *name, uint64_t inode), void *ud) {
    return fault(false) ? -1 : warm_io_system.list(io, dir, each, ud);
}

static const warm_io bad_io = {bad_openat,    bad_close, bad_pread,    bad_pwrite,   bad_fstat,
                               bad_fdatasync, bad_fsync, bad_renameat, bad_unlinkat, bad_list};

/* What was acknowledged, in memory that outlives a process that is killed. */
static struct {
    uint32_t n_ok, last;
    bool ok[N_FILES];
} * promised;

struct put {
    uint32_t i;
    uint8_t *bytes;
};

static void put_done(void *ud, int rc) {
    struct put *p = ud;
    if (!rc) {
        if (!faults.n_failed) assert_int_equal(unsafe.n_names, 0);
        promised->ok[p->i] = true;
        promised->n_ok++;
        promised->last = p->i;
    }
    free(p->bytes);
    free(p);
}

static enum warm_disk_kind kind_of(uint32_t i) {
    return i % 5 == 4 ? WARM_DISK_SNAPSHOT : i % 5 == 3 ? WARM_DISK_ROWS : WARM_DISK_CELLS;
}

static uint64_t limit(void) {
    return ROOM * warm_disk_held(4096 + 256 * PER_UNIT);
}

static const warm_disk_entry *find(const rig *r, uint32_t i) {
    return rig_find(r, i, kind_of(i), 768);
}

static void put(rig *r, uint32_t i) {
    warm_disk_file f;
    warm_disk_part parts[RIG_MOST_PIECES];
    struct put *p = warm_xcalloc(1, sizeof *p);
    rig_file(1, i, kind_of(i), 512, 256, PER_UNIT, &f);
    p->i = i;
    p->bytes = rig_parts(&f, parts);
    int rc = warm_disk_put_take(r->disk, &f, parts, 0, put_done, p);
    assert_true(rc >= 0 || rc == WARM_EAGAIN || rc == WARM_EFULL || rc == WARM_ENOTSUP || rc == WARM_ENOMEM);
    if (rc) {
        free(p->bytes);
        free(p);
    }
}

/* What can be found is right, or says that it can't be read. */
static size_t read_all(rig *r) {
    size_t n = 0;
    for (uint32_t i = 0; i < N_FILES; i++) {
        const warm_disk_entry *e = find(r, i);
        if (e) n += rig_read(r, e) == 0;
        warm_disk_poll(r->disk);
    }
    return n;
}

static bool start(rig *r) {
    warm_err err = {0};
    int rc = warm_disk_open(&r->o, &r->disk, &err);
    if (rc) {
        assert_true(rc == WARM_EIO || rc == WARM_ENOTSUP);
        assert_true(err.text[0]);
        return false;
    }
    rig_settle(r);
    return true;
}

/* Files are written, more than there is room for, some are removed, one is found damaged; in the middle it is closed and opened. */
static void script(rig *r) {
    for (int turn = 0; turn < 2; turn++) {
        if (!start(r)) return;
        for (uint32_t i = 0; i < N_FILES; i++) {
            put(r, i);
            if (i % 3 == 0) rig_settle(r);
            const warm_disk_entry *e = i == 5 ? find(r, 2) : NULL;
            if (e) {
                promised->ok[2] = false;
                warm_disk_remove(r->disk, e);
            }
        }
        rig_settle(r);
        read_all(r);
        uint8_t key[WARM_DISK_KEY_BYTES];
        char path[200], name[WARM_DISK_NAME_BYTES];
        rig_key(1, N_FILES - 2, 768, key);
        warm_disk_name(kind_of(N_FILES - 2), key, name);
        snprintf(path, sizeof path, "%.60s/%s", r->dir, name);
        promised->ok[N_FILES - 2] = false;
        if (truncate(path, 5000) == 0 && find(r, N_FILES - 2)) (void)rig_read(r, find(r, N_FILES - 2));
        rig_settle(r);
        warm_disk_close(r->disk);
        r->disk = NULL;
        assert_int_equal(r->budget.used_bytes, 0);
    }
}

static void quiet(void) {
    faults.fail_at = faults.kill_at = faults.n = faults.n_changes = 0;
    faults.on = faults.shorten = false;
}

static void begin(rig *r) {
    *r = (rig){0};
    rig_make_dir(r);
    rig_options(r, 0, limit());
    r->o.io = &bad_io;
    quiet();
    faults.dir = r->dir;
    faults.n_failed = 0;
    faults.limit = limit();
    memset(promised, 0, sizeof *promised);
    memset(&unsafe, 0, sizeof unsafe);
}

/* All that is there is right, and there are at least as many files as the promised ones that room was not needed for. */
static void check_after(rig *r, bool killed) {
    warm_disk_stats st;
    quiet();
    assert_true(start(r));
    warm_disk_stats_get(r->disk, &st);
    assert_int_equal(st.mode, WARM_DISK_READ_WRITE);
    assert_int_equal(st.used_bytes, rig_bytes(r));
    assert_true(st.used_bytes <= limit());
    assert_true(st.n_damaged <= 1);
    for (uint32_t i = 0; i < N_FILES; i++) {
        const warm_disk_entry *e = find(r, i);
        if (e) assert_int_equal(rig_read(r, e), 0);
    }
    /* What was promised last can't have been evicted: after it there were fewer files than there is room for. */
    if (killed && promised->n_ok) {
        size_t n_there = 0, n_promised = 0;
        for (uint32_t i = 0; i < N_FILES; i++) {
            n_there += find(r, i) != NULL;
            n_promised += promised->ok[i];
        }
        size_t least = n_promised < ROOM - 3 ? n_promised : ROOM - 3;
        assert_true(n_there + 1 >= least);
        if (promised->ok[promised->last]) assert_non_null(find(r, promised->last));
    }
    for (uint32_t i = 0; i < N_FILES; i++) {
        put(r, i);
        rig_settle(r);
    }
    assert_non_null(find(r, N_FILES - 1));
    assert_int_equal(rig_read(r, find(r, N_FILES - 1)), 0);
    rig_close(r);
}

static uint64_t run(uint64_t fail_at, int why, bool on, bool shorten) {
    rig r;
    begin(&r);
    faults.fail_at = fail_at;
    faults.why = why;
    faults.on = on;
    faults.shorten = shorten;
    script(&r);
    uint64_t n = faults.n;
    faults.limit = 0;
    check_after(&r, false);
    return n;
}

static uint64_t n_faults, n_kills;

static void any_call_may_fail(int why, bool on) {
    uint64_t n = run(0, 0, false, false), before = n_faults;
    assert_true(n > 100);
    for (uint64_t at = 1; at <= n; at += on ? 3 : 1) {
        run(at, why, on, false);
        n_faults += faults.n_failed;
    }
    assert_true(n_faults - before > n / 2);
}

static void any_call_may_fail_with_eio(void **state) {
    (void)state;
    any_call_may_fail(EIO, false);
}

static void any_call_may_fail_with_enospc(void **state) {
    (void)state;
    any_call_may_fail(ENOSPC, false);
}

static void all_calls_may_fail_from_any_on(void **state) {
    (void)state;
    any_call_may_fail(EIO, true);
    any_call_may_fail(ENOSPC, true);
    any_call_may_fail(EROFS, true);
}

static void writes_and_reads_may_be_short(void **state) {
    (void)state;
    faults.n_shortened = 0;
    run(0, 0, false, true);
    assert_true(faults.n_shortened > 100);
}

/* Kills the process at its n-th change; false: it made fewer. */
static bool run_killed(uint64_t at) {
    rig r;
    begin(&r);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        faults.kill_at = at;
        script(&r);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    bool killed = WIFSIGNALED(status);
    if (killed) assert_int_equal(WTERMSIG(status), SIGKILL);
    if (!killed) assert_int_equal(WEXITSTATUS(status), 0);
    faults.limit = 0;
    check_after(&r, killed);
    return killed;
}

static void a_process_may_be_killed_at_any_change(void **state) {
    (void)state;
    uint64_t at = 1;
    while (run_killed(at)) at++;
    assert_true(at > 60);
    n_kills = at - 1;
}

static void any_bit_may_flip(void **state) {
    (void)state;
    uint64_t n = 0;
    for (uint32_t i = 2; i < 5; i++) { /* one of each kind */
        rig r;
        begin(&r);
        faults.limit = 0;
        assert_true(start(&r));
        put(&r, i);
        rig_settle(&r);
        uint8_t key[WARM_DISK_KEY_BYTES];
        char path[200], name[WARM_DISK_NAME_BYTES];
        memcpy(key, find(&r, i)->key, sizeof key);
        warm_disk_name(kind_of(i), key, name);
        snprintf(path, sizeof path, "%.60s/%s", r.dir, name);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        for (off_t at = 0; at < st.st_size; at += at < 300 ? 1 : at < 4096 ? 13 : 401, n++) {
            uint8_t x;
            warm_disk_reader reader;
            warm_err err = {0};
            warm_disk_dir dir = {&warm_io_system, open(r.dir, O_RDONLY | O_DIRECTORY), -1};
            int fd = open(path, O_RDWR);
            assert_int_equal(pread(fd, &x, 1, at), 1);
            uint8_t y = x ^ (uint8_t)(1u << at % 8);
            assert_int_equal(pwrite(fd, &y, 1, at), 1);
            int rc = warm_disk_reader_open(&dir, kind_of(i), key, &reader, &err);
            if (!rc) {
                rc = warm_disk_reader_verify(&reader, &err);
                warm_disk_reader_close(&reader);
            }
            assert_true(rc == WARM_ECORRUPT || (at < 8 && rc == WARM_EINVAL));
            assert_int_equal(pwrite(fd, &x, 1, at), 1);
            close(fd);
            warm_disk_dir_close(&dir);
        }
        assert_int_equal(rig_read(&r, find(&r, i)), 0);
        rig_close(&r);
    }
    print_message("disk torture: %llu calls failed, %llu kills, %llu flips\n", (unsigned long long)n_faults,
                  (unsigned long long)n_kills, (unsigned long long)n);
}

int main(void) {
    promised = mmap(NULL, sizeof *promised, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (promised == MAP_FAILED) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_call_may_fail_with_eio),
        cmocka_unit_test(any_call_may_fail_with_enospc),
        cmocka_unit_test(all_calls_may_fail_from_any_on),
        cmocka_unit_test(writes_and_reads_may_be_short),
        cmocka_unit_test(a_process_may_be_killed_at_any_change),
        cmocka_unit_test(any_bit_may_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
