/* SPDX-License-Identifier: MIT
 *
 * The disk tier: what was written is found and read, also by the next process; what is wrong is neither; and the limits are kept. */
#include "disk_rig.h"

#include "base/hash.h"
#include "store/disk_internal.h"

static warm_disk_stats stats(const rig *r) {
    warm_disk_stats st;
    warm_disk_stats_get(r->disk, &st);
    return st;
}

static void restart(rig *r) {
    rig_stop(r);
    rig_start(r);
}

static void put_conversation(rig *r, uint64_t conversation, size_t n) {
    for (size_t at = 0; at < n; at += 256) {
        int rc = rig_put(r, conversation, WARM_DISK_CELLS, at, n - at < 256 ? n - at : 256, 20);
        assert_true(rc == 0 || rc == 1);
    }
    rig_settle(r);
}

static unsigned threads_of(void **state) {
    return *(unsigned *)*state;
}

static void what_was_put_is_read_also_after_a_restart(void **state) {
    rig r;
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 1000);
    assert_int_equal(rig_put(&r, 1, WARM_DISK_SNAPSHOT, 0, 900, 3), 0);
    assert_int_equal(rig_put(&r, 1, WARM_DISK_ROWS, 256, 256, 9), 0);
    rig_settle(&r);
    assert_int_equal(r.n_ok, 6);
    for (int i = 0; i < 2; i++) {
        for (size_t n = 256; n <= 1000; n += n == 768 ? 232 : 256) {
            const warm_disk_entry *e = rig_find(&r, 1, WARM_DISK_CELLS, n);
            assert_non_null(e);
            assert_int_equal(rig_read(&r, e), 0);
        }
        assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_SNAPSHOT, 900)), 0);
        assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_ROWS, 512)), 0);
        assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 900));
        assert_int_equal(stats(&r).used_bytes, rig_bytes(&r));
        restart(&r);
        assert_int_equal(stats(&r).n_found, 6);
    }
    rig_close(&r);
}

static void what_is_there_is_not_written_again(void **state) {
    rig r;
    rig_open(&r, threads_of(state), 64u << 20);
    rig_must_put(&r, 1, 0, 256, 20);
    assert_int_equal(rig_put(&r, 2, WARM_DISK_CELLS, 0, 256, 20), 1); /* the trunk of all */
    restart(&r);
    assert_int_equal(rig_put(&r, 2, WARM_DISK_CELLS, 0, 256, 20), 1);
    assert_int_equal(stats(&r).n_entries, 1);
    rig_close(&r);
}

/* The next block of a prompt is found by its key or, where it parts, by how far it seems to go. */
static void the_longest_match_is_found(void **state) {
    rig r;
    uint64_t units[256];
    uint8_t parent[WARM_DISK_KEY_BYTES];
    size_t common;
    rig_open(&r, threads_of(state), 64u << 20);
    rig_must_put(&r, 1, 0, 256, 20);
    for (uint64_t k = 1; k < 30; k++) rig_must_put(&r, k, 256, 256, 20); /* the same up to unit 300 */
    rig_must_put(&r, 40, 256, 200, 20);
    rig_must_put(&r, 40, 256, 100, 20);
    rig_key(1, 1, 256, parent);
    for (uint64_t k = 1; k < 30; k++) {
        rig_units(k, 256, 256, units);
        const warm_disk_entry *e = warm_disk_next(r.disk, parent, units, 256, &common);
        assert_ptr_equal(e, rig_find(&r, k, WARM_DISK_CELLS, 512));
        assert_int_equal(common, 256);
        units[200] = 1;
        assert_ptr_equal(warm_disk_next(r.disk, parent, units, 256, &common), e);
        assert_int_equal(common, 192);
        assert_ptr_equal(warm_disk_next(r.disk, parent, units, 150, &common), e);
        assert_int_equal(common, 144);
    }
    rig_units(99, 256, 256, units); /* nobody's, but for the trunk */
    assert_non_null(warm_disk_next(r.disk, parent, units, 256, &common));
    assert_int_equal(common, 32);
    units[3] = 1;
    assert_null(warm_disk_next(r.disk, parent, units, 256, &common));
    rig_units(40, 256, 256, units);
    assert_ptr_equal(warm_disk_next(r.disk, parent, units, 256, &common), rig_find(&r, 40, WARM_DISK_CELLS, 456));
    assert_int_equal(common, 200);
    rig_close(&r);
}

static void the_last_snapshot_is_found(void **state) {
    rig r;
    uint64_t units[256];
    uint8_t parent[WARM_DISK_KEY_BYTES];
    rig_open(&r, threads_of(state), 64u << 20);
    static const size_t ends[] = {300, 400, 512, 513};
    for (size_t i = 0; i < 4; i++) assert_int_equal(rig_put(&r, 5, WARM_DISK_SNAPSHOT, 0, ends[i], 7), 0);
    assert_int_equal(rig_put(&r, 6, WARM_DISK_SNAPSHOT, 0, 450, 7), 0);
    rig_settle(&r);
    rig_key(1, 5, 256, parent);
    rig_units(5, 256, 256, units);
    static const size_t limits[][2] = {{256, 512}, {255, 400}, {144, 400}, {143, 300}, {44, 300}, {43, 0}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const warm_disk_entry *e = warm_disk_snapshot(r.disk, parent, units, limits[i][0]);
        assert_ptr_equal(e, limits[i][1] ? rig_find(&r, 5, WARM_DISK_SNAPSHOT, limits[i][1]) : NULL);
    }
    rig_close(&r);
}

/* Whatever part of a file was changed, no byte of it is given to anybody, and it is put aside. */
static void a_damaged_file_is_put_aside(void **state) {
    rig r;
    char path[200];
    struct stat st;
    rig_open(&r, threads_of(state), 64u << 20);
    rig_must_put(&r, 1, 0, 256, 20);
    rig_path(&r, 1, WARM_DISK_CELLS, 256, path);
    assert_int_equal(stat(path, &st), 0);
    size_t n = 0;
    for (off_t at = 0; at < st.st_size; at += at < 300 ? 7 : 397, n++) {
        for (int i = 0; i < 2; i++) {
            rig_flip(path, at, 4);
            if (i) restart(&r); /* else it is found while it is read */
            const warm_disk_entry *e = rig_find(&r, 1, WARM_DISK_CELLS, 256);
            assert_true(e || i);
            if (e) assert_int_not_equal(rig_read(&r, e), 0);
            assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 256));
            rig_settle(&r);
            assert_int_equal(stats(&r).used_bytes, rig_bytes(&r));
            assert_true(stats(&r).n_damaged > 0);
            rig_must_put(&r, 1, 0, 256, 20);
            assert_int_equal(rig_each_name(&r, NULL, NULL), 3); /* with the lock and the damaged one */
            assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 256)), 0);
        }
    }
    assert_true(n > 60);
    rig_close(&r);
}

static void files_that_are_cut_off_foreign_or_misnamed_are_no_blocks(void **state) {
    rig r;
    char path[200], other[200];
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 1024);
    rig_path(&r, 1, WARM_DISK_CELLS, 256, path);
    assert_int_equal(truncate(path, 5000), 0);
    rig_path(&r, 1, WARM_DISK_CELLS, 512, path);
    assert_int_equal(truncate(path, 0), 0);
    rig_path(&r, 1, WARM_DISK_CELLS, 768, path);
    rig_path(&r, 2, WARM_DISK_CELLS, 768, other);
    assert_int_equal(rename(path, other), 0);
    snprintf(path, sizeof path, "%.60s/notes.txt", r.dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    close(fd);
    rig_path(&r, 3, WARM_DISK_CELLS, 768, other);
    assert_int_equal(symlink(path, other), 0);
    restart(&r);
    assert_int_equal(stats(&r).n_damaged, 3);
    assert_int_equal(stats(&r).n_found, 1);
    assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 1024)), 0);
    for (size_t n = 256; n < 1024; n += 256) assert_null(rig_find(&r, 1, WARM_DISK_CELLS, n));
    assert_int_equal(access(path, F_OK), 0);
    restart(&r);
    assert_int_equal(stats(&r).n_damaged, 0); /* they have other names now */
    assert_int_equal(stats(&r).n_entries, 4);
    rig_close(&r);
}

static void set_version(const char *path, uint32_t version) {
    uint8_t p[20];
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, p, 20, 0), 20);
    p[8] = (uint8_t)version;
    uint32_t sum = (uint32_t)warm_xxh3(p, 16);
    for (int i = 0; i < 4; i++) p[16 + i] = (uint8_t)(sum >> (8 * i));
    assert_int_equal(pwrite(fd, p, 20, 0), 20);
    close(fd);
}

static void a_newer_release_keeps_its_files_and_an_older_one_does_not(void **state) {
    rig r;
    char newer[200], older[200];
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 512);
    rig_path(&r, 1, WARM_DISK_CELLS, 256, older);
    rig_path(&r, 1, WARM_DISK_CELLS, 512, newer);
    set_version(newer, WARM_DISK_VERSION + 1);
    set_version(older, WARM_DISK_VERSION - 1);
    r.o.limit_bytes = 3 * warm_disk_held(4096 + 256 * 20);
    restart(&r);
    assert_int_equal(stats(&r).n_newer, 1);
    assert_int_equal(stats(&r).n_older, 1);
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 256));
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 512));
    assert_int_equal(rig_put(&r, 1, WARM_DISK_CELLS, 256, 256, 20), WARM_ENOTSUP);
    for (uint64_t k = 0; k < 5; k++) rig_must_put(&r, k, 512, 256, 20);
    assert_int_equal(access(newer, F_OK), 0);
    assert_int_equal(stats(&r).n_entries, 3);
    assert_int_equal(stats(&r).used_bytes, rig_bytes(&r));
    rig_close(&r);
}

static void the_least_recently_used_goes_first(void **state) {
    rig r;
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 4 * held);
    for (uint64_t k = 0; k < 4; k++) rig_must_put(&r, k, 512, 256, 20);
    warm_disk_use(r.disk, rig_find(&r, 0, WARM_DISK_CELLS, 768), 0);
    rig_must_put(&r, 9, 512, 256, 20);
    assert_non_null(rig_find(&r, 0, WARM_DISK_CELLS, 768));
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 768));
    assert_int_equal(rig_read(&r, rig_find(&r, 2, WARM_DISK_CELLS, 768)), 0);
    rig_must_put(&r, 10, 512, 256, 20);
    assert_non_null(rig_find(&r, 2, WARM_DISK_CELLS, 768));
    assert_null(rig_find(&r, 3, WARM_DISK_CELLS, 768));
    assert_int_equal(stats(&r).n_evicted, 2);
    assert_true(rig_bytes(&r) <= 4 * held);
    rig_close(&r);
}

/* A path goes from its end. */
static void a_block_stays_as_long_as_others_go_on_from_it(void **state) {
    rig r;
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 4 * held);
    put_conversation(&r, 1, 1024);
    for (size_t i = 0; i < 3; i++) {
        rig_must_put(&r, 10 + i, 2048, 256, 20);
        assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 1024 - 256 * i));
        assert_non_null(rig_find(&r, 1, WARM_DISK_CELLS, 1024 - 256 * (i + 1)));
        warm_disk_use(r.disk, rig_find(&r, 10 + i, WARM_DISK_CELLS, 2304), 0);
    }
    rig_close(&r);
}

static void the_owner_can_say_what_is_worth_more(void **state) {
    rig r = {0};
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_make_dir(&r);
    rig_options(&r, threads_of(state), 3 * held);
    r.o.ranked = true;
    rig_start(&r);
    for (uint64_t k = 0; k < 3; k++) assert_int_equal(rig_put_rank(&r, 1, k, WARM_DISK_CELLS, 512, 256, 20, 5 + (double)k), 0);
    rig_settle(&r);
    assert_int_equal(rig_put_rank(&r, 1, 7, WARM_DISK_CELLS, 512, 256, 20, 4), WARM_EFULL);
    assert_int_equal(rig_put_rank(&r, 1, 8, WARM_DISK_CELLS, 512, 256, 20, 5.5), 0);
    rig_settle(&r);
    assert_null(rig_find(&r, 0, WARM_DISK_CELLS, 768));
    assert_non_null(rig_find(&r, 8, WARM_DISK_CELLS, 768));
    warm_disk_use(r.disk, rig_find(&r, 2, WARM_DISK_CELLS, 768), 1);
    assert_int_equal(rig_put_rank(&r, 1, 9, WARM_DISK_CELLS, 512, 256, 20, 2), 0);
    rig_settle(&r);
    assert_null(rig_find(&r, 2, WARM_DISK_CELLS, 768));
    assert_int_equal(stats(&r).n_refused, 1);
    rig_close(&r);
}

static void what_is_on_its_way_keeps_its_room(void **state) {
    rig r;
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 2 * held);
    for (uint64_t k = 1; k < 3; k++) assert_int_equal(rig_put(&r, k, WARM_DISK_CELLS, 512, 256, 20), 0);
    assert_int_equal(rig_put(&r, 3, WARM_DISK_CELLS, 512, 256, 20), WARM_EAGAIN);
    assert_null(rig_find(&r, 3, WARM_DISK_CELLS, 768));
    rig_settle(&r);
    rig_must_put(&r, 3, 512, 256, 20);
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 768));
    assert_int_equal(rig_put(&r, 4, WARM_DISK_CELLS, 512, 256, 100), WARM_EFULL); /* larger than all there is */
    rig_close(&r);
}

static void a_smaller_limit_is_kept_from_the_start(void **state) {
    rig r;
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 100 * held);
    for (uint64_t k = 0; k < 20; k++) rig_must_put(&r, k, 512, 256, 20);
    r.o.limit_bytes = 5 * held;
    restart(&r);
    rig_stop(&r);
    assert_true(rig_bytes(&r) <= 5 * held);
    rig_close(&r);
}

static void one_writes_and_others_read(void **state) {
    rig r, other = {0};
    warm_err err = {0};
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 512);
    memcpy(other.dir, r.dir, sizeof r.dir);
    rig_options(&other, threads_of(state), 0);
    assert_int_equal(warm_disk_open(&other.o, &other.disk, &err), WARM_EAGAIN);
    assert_non_null(strstr(err.text, "another process"));
    other.o.read_only = true;
    rig_start(&other);
    assert_int_equal(rig_read(&other, rig_find(&other, 1, WARM_DISK_CELLS, 512)), 0);
    assert_int_equal(rig_put(&other, 2, WARM_DISK_CELLS, 512, 256, 20), WARM_ENOTSUP);
    /* What the writer removes is a miss to the reader. */
    warm_disk_remove(r.disk, rig_find(&r, 1, WARM_DISK_CELLS, 512));
    rig_stop(&r);
    assert_int_equal(rig_read(&other, rig_find(&other, 1, WARM_DISK_CELLS, 512)), WARM_ENOTFOUND);
    assert_null(rig_find(&other, 1, WARM_DISK_CELLS, 512));
    assert_int_equal(stats(&other).n_vanished, 1);
    assert_int_equal(stats(&other).mode, WARM_DISK_READ_ONLY);
    rig_stop(&other);
    rig_free_workers(&other);
    rig_close(&r);
}

static void what_is_only_read_is_not_changed(void **state) {
    rig r;
    char path[200], tmp[200];
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 768);
    rig_stop(&r);
    rig_path(&r, 1, WARM_DISK_CELLS, 256, path);
    rig_flip(path, 6000, 4);
    rig_path(&r, 1, WARM_DISK_CELLS, 512, path);
    rig_flip(path, 100, 4);
    snprintf(tmp, sizeof tmp, "%.60s/t-1-1.tmp", r.dir);
    close(open(tmp, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%.60s/%s", r.dir, WARM_DISK_LOCK);
    assert_int_equal(unlink(path), 0);
    r.o.read_only = true;
    rig_start(&r);
    assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 256)), WARM_ECORRUPT);
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 256));
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 512));
    assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 768)), 0);
    warm_disk_clear(r.disk);
    rig_stop(&r);
    assert_int_equal(rig_each_name(&r, NULL, NULL), 4);
    assert_int_equal(access(tmp, F_OK), 0);
    r.o.read_only = false;
    rig_start(&r);
    assert_int_not_equal(access(tmp, F_OK), 0);
    rig_close(&r);
}

static void a_directory_that_is_removed_switches_it_off(void **state) {
    rig r;
    rig_open(&r, threads_of(state), 64u << 20);
    put_conversation(&r, 1, 512);
    rig_each_name(&r, rig_unlink, NULL);
    assert_int_equal(rmdir(r.dir), 0);
    assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 512)), WARM_ENOTFOUND);
    assert_int_equal(stats(&r).mode, WARM_DISK_OFF);
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 256));
    assert_int_equal(rig_put(&r, 2, WARM_DISK_CELLS, 512, 256, 20), WARM_ENOTSUP);
    rig_close(&r);
}

static void an_index_without_room_waits_for_it(void **state) {
    rig r;
    rig_open(&r, threads_of(state), 64u << 20);
    for (uint64_t k = 0; k < 400; k++) assert_int_equal(rig_put(&r, k, WARM_DISK_CELLS, 512, 16, 4), 0);
    rig_settle(&r);
    rig_stop(&r);
    size_t before = r.budget.limit_bytes;
    r.budget.limit_bytes = 90000;
    rig_start(&r);
    assert_true(stats(&r).index_full);
    assert_true(stats(&r).scanning);
    assert_int_equal(rig_put(&r, 500, WARM_DISK_CELLS, 512, 16, 4), WARM_EAGAIN);
    assert_true(r.budget.used_bytes <= 90000);
    r.budget.limit_bytes = before;
    rig_settle(&r);
    assert_int_equal(stats(&r).n_found, 400);
    assert_false(stats(&r).scanning);
    rig_stop(&r);
    r.budget.limit_bytes = 90000; /* it ends with its scan unfinished */
    rig_start(&r);
    rig_stop(&r);
    r.budget.limit_bytes = before;
    rig_close(&r);
}

static void writing_keeps_within_a_day_s_limit(void **state) {
    rig r = {0};
    uint64_t bytes = 4096 + 256 * 20;
    rig_make_dir(&r);
    rig_options(&r, threads_of(state), 64u << 20);
    r.o.write_bytes_a_day = 24 * (2 * bytes - 100); /* a file may go over it */
    rig_start(&r);
    rig_must_put(&r, 1, 512, 256, 20);
    rig_must_put(&r, 2, 512, 256, 20);
    assert_int_equal(rig_put(&r, 3, WARM_DISK_CELLS, 512, 256, 20), WARM_EAGAIN);
    assert_int_equal(stats(&r).n_deferred, 1);
    rig_now += 1800ull * 1000000000; /* half an hour: one more */
    rig_must_put(&r, 3, 512, 256, 20);
    assert_int_equal(rig_put(&r, 4, WARM_DISK_CELLS, 512, 256, 20), WARM_EAGAIN);
    rig_close(&r);
}

static int is_damaged(void *ud) {
    (void)ud;
    return WARM_ECORRUPT;
}

static void bytes_that_changed_before_they_were_written_are_not(void **state) {
    rig r;
    warm_disk_file f;
    warm_disk_part parts[RIG_MOST_PIECES];
    rig_open(&r, threads_of(state), 64u << 20);
    rig_file(1, 1, WARM_DISK_CELLS, 0, 256, 20, &f);
    struct rig_put *p = warm_xcalloc(1, sizeof *p);
    p->r = &r;
    p->bytes = rig_parts(&f, parts);
    parts[2].verify = is_damaged;
    assert_int_equal(warm_disk_put_take(r.disk, &f, parts, 0, rig_done, p), 0);
    rig_settle(&r);
    assert_int_equal(r.last, WARM_ECORRUPT);
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 256));
    assert_int_equal(stats(&r).used_bytes, 0);
    assert_int_equal(rig_each_name(&r, NULL, NULL), 1);
    rig_close(&r);
}

static void what_is_read_is_not_evicted_and_goes_when_it_was_read(void **state) {
    rig r;
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 2 * held);
    rig_must_put(&r, 1, 512, 256, 20);
    warm_disk_read *x = warm_disk_read_begin(r.disk, rig_find(&r, 1, WARM_DISK_CELLS, 768));
    rig_must_put(&r, 2, 512, 256, 20);
    rig_must_put(&r, 3, 512, 256, 20);
    assert_null(rig_find(&r, 2, WARM_DISK_CELLS, 768));
    rig_wait_read(&r, x, WARM_DISK_OPENING);
    warm_disk_remove(r.disk, rig_find(&r, 1, WARM_DISK_CELLS, 768));
    assert_null(rig_find(&r, 1, WARM_DISK_CELLS, 768));
    assert_int_equal(rig_each_name(&r, NULL, NULL), 3);
    assert_int_equal(rig_put(&r, 1, WARM_DISK_CELLS, 512, 256, 20), WARM_EAGAIN);
    warm_disk_read_end(x);
    rig_must_put(&r, 1, 512, 256, 20);
    assert_int_equal(rig_read(&r, rig_find(&r, 1, WARM_DISK_CELLS, 768)), 0);
    /* A read that was given up before it was open. */
    warm_disk_read_end(warm_disk_read_begin(r.disk, rig_find(&r, 1, WARM_DISK_CELLS, 768)));
    rig_close(&r);
}

/* Puts, reads, removals and restarts in any order, beside a list of what must be there. */
static void any_order_of_calls(void **state) {
    enum { N = 40, STEPS = 1500 };
    rig r;
    warm_rng rng = {42};
    uint64_t held = warm_disk_held(4096 + 256 * 20);
    rig_open(&r, threads_of(state), 25 * held);
    for (int i = 0; i < STEPS; i++) {
        uint64_t k = warm_rng_below(&rng, N), start = 256 * warm_rng_below(&rng, 4);
        const warm_disk_entry *e = rig_find(&r, k, WARM_DISK_CELLS, start + 256);
        int rc;
        switch (warm_rng_below(&rng, 8)) {
        case 0:
            if (e) warm_disk_remove(r.disk, e);
            break;
        case 1:
            if (warm_rng_below(&rng, 20)) break;
            rc = (int)r.n_failed;
            rig_stop(&r); /* what is still on its way may be canceled */
            r.n_failed = (size_t)rc;
            rig_start(&r);
            break;
        case 2:
        case 3:
            if (e) assert_int_equal(rig_read(&r, e), 0);
            break;
        case 4:
            rc = rig_put(&r, k, WARM_DISK_SNAPSHOT, 0, start + 1 + warm_rng_below(&rng, 256), 2);
            assert_true(rc == 0 || rc == 1 || rc == WARM_EFULL || rc == WARM_EAGAIN);
            break;
        default:
            rc = rig_put(&r, k, WARM_DISK_CELLS, start, 256, 20);
            assert_true(rc == 0 || rc == 1 || rc == WARM_EFULL || rc == WARM_EAGAIN);
        }
        warm_disk_poll(r.disk);
        assert_true(stats(&r).used_bytes <= 25 * held);
        if (i % 50) continue;
        rig_settle(&r);
        warm__index_check(&r.disk->index);
        assert_true(rig_bytes(&r) <= 25 * held);
    }
    rig_settle(&r);
    assert_int_equal(r.n_failed, 0);
    assert_true(stats(&r).n_evicted > 10 || stats(&r).n_found > 0);
    rig_stop(&r);
    rig_start(&r);
    assert_int_equal(stats(&r).n_damaged, 0);
    assert_int_equal(stats(&r).used_bytes, rig_bytes(&r));
    rig_close(&r);
}

#define EACH(test) cmocka_unit_test_prestate(test, &none), cmocka_unit_test_prestate(test, &two)

int main(void) {
    static unsigned none = 0, two = 2;
    const struct CMUnitTest tests[] = {
        EACH(what_was_put_is_read_also_after_a_restart),
        EACH(what_is_there_is_not_written_again),
        EACH(the_longest_match_is_found),
        EACH(the_last_snapshot_is_found),
        EACH(a_damaged_file_is_put_aside),
        EACH(files_that_are_cut_off_foreign_or_misnamed_are_no_blocks),
        EACH(a_newer_release_keeps_its_files_and_an_older_one_does_not),
        EACH(the_least_recently_used_goes_first),
        EACH(a_block_stays_as_long_as_others_go_on_from_it),
        EACH(the_owner_can_say_what_is_worth_more),
        EACH(what_is_on_its_way_keeps_its_room),
        EACH(a_smaller_limit_is_kept_from_the_start),
        EACH(one_writes_and_others_read),
        EACH(what_is_only_read_is_not_changed),
        EACH(a_directory_that_is_removed_switches_it_off),
        EACH(an_index_without_room_waits_for_it),
        EACH(writing_keeps_within_a_day_s_limit),
        EACH(bytes_that_changed_before_they_were_written_are_not),
        EACH(what_is_read_is_not_evicted_and_goes_when_it_was_read),
        EACH(any_order_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
