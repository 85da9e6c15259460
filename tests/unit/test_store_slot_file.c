/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_store_slot_file.c - the format of a slot's file, and files that are written and read: damaged at every byte, cut off everywhere, by
 * a disk that is full at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/slot_io.h"

enum { N_UNITS = 300, N_PIECES = 6, N_SNAPSHOTS = 2, MAX_UNITS = 4096 };

static char folder[64];

/* A file with everything in it: a block of four pieces, one of two of which the last is short, and two snapshots. */
typedef struct sample {
    uint8_t bytes[N_PIECES][64], rows[N_PIECES][16], snapshot[N_SNAPSHOTS][40];
    warm_slot_file f;
    warm_slot_part parts[2 * N_PIECES + N_SNAPSHOTS];
    size_t n_parts;
} sample;

static void add_part(sample *s, uint8_t *data, size_t bytes, uint64_t *sum, int seed) {
    for (size_t i = 0; i < bytes; i++) data[i] = (uint8_t)(seed * 31 + (int)i * 7);
    *sum = warm_xxh3(data, bytes);
    s->parts[s->n_parts++] = (warm_slot_part){data, bytes};
}

static void sample_init(sample *s) {
    static const uint64_t lengths[N_PIECES] = {64, 64, 64, 64, 32, 12};
    *s = (sample){.f = {.state = 1,
                        .n_window = 32,
                        .n_units = N_UNITS,
                        .n_conversation = 295,
                        .n_pieces = N_PIECES,
                        .n_snapshots = N_SNAPSHOTS}};
    warm_slot_file *f = &s->f;
    f->units = warm_xcalloc(N_UNITS, sizeof *f->units);
    f->pieces = warm_xcalloc(N_PIECES, sizeof *f->pieces);
    f->snapshots = warm_xcalloc(N_SNAPSHOTS, sizeof *f->snapshots);
    f->scope = warm_xstrdup("model: m\nkv: f16\n");
    f->adapters = warm_xstrdup("adapter: a, scale 1\n");
    f->build = warm_xstrdup("engine 1");
    for (size_t i = 0; i < sizeof f->fingerprint; i++) f->fingerprint[i] = (uint8_t)(200 - i);
    for (uint64_t i = 0; i < N_UNITS; i++) f->units[i] = i * 3;
    uint64_t at = 0;
    for (int i = 0; i < N_PIECES; i++) {
        warm_slot_piece *x = &f->pieces[i];
        *x = (warm_slot_piece){.start = at, .n_units = lengths[i], .bytes = sizeof s->bytes[i] - (size_t)i};
        at += lengths[i];
        add_part(s, s->bytes[i], x->bytes, &x->sum, i);
        if (i < 3) continue;
        x->window_bytes = sizeof s->rows[i];
        add_part(s, s->rows[i], x->window_bytes, &x->window_sum, 50 + i);
    }
    for (int i = 0; i < N_SNAPSHOTS; i++) {
        f->snapshots[i] = (warm_slot_snapshot){.pos = i ? 295 : 280, .bytes = sizeof s->snapshot[i], .prior = i ? 0.0625 : 1};
        add_part(s, s->snapshot[i], sizeof s->snapshot[i], &f->snapshots[i].sum, 90 + i);
    }
}

static uint8_t *header_of(const sample *s, size_t *n) {
    *n = (size_t)warm_slot_file_header_bytes(&s->f);
    uint8_t *header = warm_xmalloc(*n);
    warm_slot_file_write(&s->f, header);
    return header;
}

static void put_le(uint8_t *p, uint64_t x, size_t n) {
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(x >> (8 * i));
}

/* As if its writer had written it so. */
static void sign(uint8_t *header, size_t n) {
    put_le(header + n - 8, warm_xxh3(header, n - 8), 8);
}

static int parse(const sample *s, const uint8_t *header, size_t n, warm_slot_file *out, warm_err *err) {
    return warm_slot_file_parse(header, n, warm_slot_file_bytes(&s->f), MAX_UNITS, out, err);
}

/* ---- the header ---- */

static void what_was_written_is_read(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n);
    warm_slot_file f;
    warm_err err = {0};
    uint64_t bytes = 0;
    assert_int_equal(warm_slot_file_head(header, WARM_SLOT_HEAD_BYTES, warm_slot_file_bytes(&s.f), MAX_UNITS, &bytes, &err), 0);
    assert_int_equal(bytes, n);
    assert_int_equal(parse(&s, header, n, &f, &err), 0);
    assert_memory_equal(f.fingerprint, s.f.fingerprint, sizeof f.fingerprint);
    assert_memory_equal(f.units, s.f.units, N_UNITS * sizeof *f.units);
    assert_memory_equal(f.pieces, s.f.pieces, N_PIECES * sizeof *f.pieces);
    assert_memory_equal(f.snapshots, s.f.snapshots, N_SNAPSHOTS * sizeof *f.snapshots);
    assert_string_equal(f.scope, s.f.scope);
    assert_string_equal(f.adapters, s.f.adapters);
    assert_string_equal(f.build, s.f.build);
    assert_int_equal(f.state, 1);
    assert_int_equal(f.n_window, 32);
    assert_int_equal(f.n_conversation, 295);
    warm_slot_file_free(&f);
    warm_slot_file_free(&s.f);
    free(header);
}

static void blocks_are_found_again(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    uint64_t piece_units;
    assert_int_equal(warm_slot_file_block(&s.f, 0, &piece_units), 4);
    assert_int_equal(piece_units, 64);
    assert_int_equal(warm_slot_file_block(&s.f, 4, &piece_units), N_PIECES);
    assert_int_equal(piece_units, 32);
    s.f.pieces[4].n_units = 9;
    s.f.n_pieces = 5;
    assert_int_equal(warm_slot_file_block(&s.f, 4, &piece_units), 5);
    assert_int_equal(piece_units, 16);
    warm_slot_file_free(&s.f);
}

static void every_changed_bit_of_a_header_is_found(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n);
    for (size_t i = 0; i < 8 * n; i++) {
        warm_slot_file f;
        warm_err err = {0};
        header[i / 8] ^= (uint8_t)(1 << i % 8);
        int rc = parse(&s, header, n, &f, &err);
        header[i / 8] ^= (uint8_t)(1 << i % 8);
        if (!rc || !err.text[0]) fail_msg("bit %zu of byte %zu", i % 8, i / 8);
        assert_int_equal(rc, i < 8 * 16                                          ? WARM_EINVAL
                             : i >= 8 * 64 && i < 8 * 72 && rc == WARM_ETOOLARGE ? WARM_ETOOLARGE
                                                                                 : WARM_ECORRUPT);
    }
    free(header);
    warm_slot_file_free(&s.f);
}

static void a_header_that_is_cut_off_is_found(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n);
    for (size_t cut = 0; cut < n; cut++) {
        uint8_t *part = warm_xmalloc(cut ? cut : 1); /* so that reading behind it is seen */
        memcpy(part, header, cut);
        warm_slot_file f;
        warm_err err = {0};
        assert_int_not_equal(parse(&s, part, cut, &f, &err), 0);
        free(part);
    }
    free(header);
    warm_slot_file_free(&s.f);
}

/* Numbers that no checksum gives away, because who wrote them made it. */
static void numbers_that_contradict_each_other_are_refused(void **state) {
    (void)state;
    enum {
        UNITS = 64,
        CONVERSATION = 72,
        PIECES = 80,
        SNAPSHOTS = 84,
        SCOPE = 96,
        LISTS = WARM_SLOT_HEAD_BYTES,
        PIECE = LISTS + 8 * N_UNITS,
        SNAPSHOT = PIECE + 48 * N_PIECES
    };
    static const struct {
        size_t at, n;
        uint64_t value;
    } bad[] = {
        {16, 8, 0},
        {16, 8, UINT64_MAX},
        {24, 8, 1},
        {UNITS, 8, UINT64_MAX / 8 + 20},
        {UNITS, 8, N_UNITS + 1},
        {CONVERSATION, 8, N_UNITS + 1},
        {CONVERSATION, 8, 288},
        {CONVERSATION, 8, 0},
        {CONVERSATION, 8, 294}, /* before its last snapshot */
        {PIECES, 4, UINT32_MAX},
        {SNAPSHOTS, 4, UINT32_MAX},
        {SCOPE, 4, UINT32_MAX},
        {PIECE, 8, 1},
        {PIECE + 8, 8, 0},
        {PIECE + 8, 8, 63},
        {PIECE + 8, 8, UINT64_MAX},
        {PIECE + 16, 8, UINT64_MAX},
        {PIECE + 16, 8, 0},
        {PIECE + 32, 8, 1},
        {PIECE + 40, 8, 1}, /* a checksum of no rows */
        {PIECE + 48 * 5 + 8, 8, 33},
        {SNAPSHOT, 8, 0},
        {SNAPSHOT, 8, 295},
        {SNAPSHOT + 8, 8, 0},
        {SNAPSHOT + 32, 8, 296},
        {SNAPSHOT + 24, 8, 0},                            /* prior 0 */
        {SNAPSHOT + 24, 8, UINT64_C(0x7ff0000000000000)}, /* infinite */
        {SNAPSHOT + 24, 8, UINT64_C(0x7ff8000000000000)}, /* none */
        {SNAPSHOT + 24, 8, UINT64_C(0xbff0000000000000)}, /* -1 */
        {SNAPSHOT + 24, 8, UINT64_C(0x4000000000000000)}, /* 2 */
        {SNAPSHOT + 32 * N_SNAPSHOTS, 1, 0},              /* a NUL in a text */
    };
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n), *changed = warm_xmalloc(n);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        warm_slot_file f;
        warm_err err = {0};
        memcpy(changed, header, n);
        put_le(changed + bad[i].at, bad[i].value, bad[i].n);
        sign(changed, n);
        if (parse(&s, changed, n, &f, &err) != WARM_ECORRUPT) fail_msg("%zu: %s", i, err.text);
    }
    free(changed);
    free(header);
    warm_slot_file_free(&s.f);
}

static void other_versions_are_told_from_damage(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n);
    warm_slot_file f;
    warm_err err = {0};
    put_le(header + 8, 2, 4);
    assert_int_equal(parse(&s, header, n, &f, &err), WARM_EINVAL);
    assert_string_equal(err.text, "it has version 2 of the format, and this warmslot reads version 1");
    put_le(header + 8, 1, 4);
    put_le(header + 12, 7, 4);
    assert_int_equal(parse(&s, header, n, &f, &err), WARM_EINVAL);
    assert_string_equal(err.text, "its state has layout 7, and this warmslot reads layout 1");
    put_le(header + 12, 1, 4);
    assert_int_equal(warm_slot_file_parse(header, n, warm_slot_file_bytes(&s.f), N_UNITS - 1, &f, &err), WARM_ETOOLARGE);
    assert_string_equal(err.text, "its 295 tokens do not fit into the context of 299");
    free(header);
    warm_slot_file_free(&s.f);
}

static void no_memory_for_a_header_is_an_error(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    size_t n;
    uint8_t *header = header_of(&s, &n);
    int rc = WARM_ENOMEM;
    for (uint64_t i = 1; rc; i++) {
        warm_slot_file f = {0};
        warm_err err = {0};
        (void)warm_alloc_fail_at(i);
        rc = parse(&s, header, n, &f, &err);
        (void)warm_alloc_fail_at(0);
        assert_true(rc == 0 || rc == WARM_ENOMEM);
        assert_true(rc == 0 || i < 8);
        warm_slot_file_free(&f);
    }
    free(header);
    warm_slot_file_free(&s.f);
}

/* ---- files ---- */

static char *path_of(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int write_sample(const sample *s, const char *name, warm_err *err) {
    return warm_slot_io_write(folder, name, &s->f, s->parts, s->n_parts, err);
}

static size_t n_files(void) {
    DIR *d = opendir(folder);
    assert_non_null(d);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(d));) n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void put_file(const char *name, const uint8_t *bytes, size_t n) {
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static uint8_t *get_file(const char *name, size_t *n) {
    struct stat st;
    assert_int_equal(stat(path_of(name), &st), 0);
    *n = (size_t)st.st_size;
    uint8_t *bytes = warm_xmalloc(*n);
    FILE *f = fopen(path_of(name), "rb");
    assert_non_null(f);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static int open_and_close(const char *name, warm_err *err) {
    warm_slot_reader r;
    int rc = warm_slot_io_open(folder, name, MAX_UNITS, NULL, NULL, &r, err);
    if (!rc) warm_slot_io_close(&r);
    return rc;
}

static void a_file_is_read_as_it_was_written(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    warm_err err = {0};
    warm_slot_reader r;
    assert_int_equal(write_sample(&s, "a", &err), 0);
    assert_int_equal(n_files(), 1);
    assert_int_equal(warm_slot_io_open(folder, "a", MAX_UNITS, NULL, NULL, &r, &err), 0);
    uint64_t at = 0;
    for (size_t i = 0; i < s.n_parts; i++) {
        uint8_t got[64];
        uint64_t sum = warm_xxh3(s.parts[i].data, s.parts[i].bytes);
        assert_int_equal(warm_slot_io_read(&r, at, got, s.parts[i].bytes, sum, &err), 0);
        assert_memory_equal(got, s.parts[i].data, s.parts[i].bytes);
        assert_int_equal(warm_slot_io_read(&r, at, got, s.parts[i].bytes, sum + 1, &err), WARM_ECORRUPT);
        at += s.parts[i].bytes;
    }
    warm_slot_io_close(&r);
    struct stat st;
    assert_int_equal(stat(path_of("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    unlink(path_of("a"));
    warm_slot_file_free(&s.f);
}

static void every_changed_byte_of_a_file_is_found(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    warm_err err = {0};
    assert_int_equal(write_sample(&s, "a", &err), 0);
    size_t n;
    uint8_t *bytes = get_file("a", &n);
    assert_int_equal(n, warm_slot_file_bytes(&s.f));
    for (size_t i = 0; i < n; i++) {
        bytes[i] ^= 0x10;
        put_file("b", bytes, n);
        bytes[i] ^= 0x10;
        if (!open_and_close("b", &err)) fail_msg("byte %zu", i);
    }
    for (size_t cut = 0; cut < n; cut += cut < n - 40 ? 13 : 1) {
        put_file("b", bytes, cut);
        if (!open_and_close("b", &err)) fail_msg("cut off at %zu", cut);
    }
    bytes = realloc(bytes, n + 1);
    assert_non_null(bytes);
    bytes[n] = 0;
    put_file("b", bytes, n + 1);
    assert_int_equal(open_and_close("b", &err), WARM_ECORRUPT);
    free(bytes);
    unlink(path_of("a"));
    unlink(path_of("b"));
    warm_slot_file_free(&s.f);
}

/* The limit stands for a disk that is full at that byte. */
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    sample s, other;
    sample_init(&s);
    sample_init(&other);
    other.f.units[7] = 1234;
    warm_err err = {0};
    assert_int_equal(write_sample(&s, "a", &err), 0);
    size_t n, n_after;
    uint8_t *before = get_file("a", &n);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    for (size_t at = 0; at <= n; at += at < n - 20 ? 97 : 1) {
        struct rlimit less = {at, limit.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
        int rc = write_sample(&other, "a", &err);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(rc, at < n ? WARM_EIO : 0);
        assert_int_equal(n_files(), 1);
        uint8_t *after = get_file("a", &n_after);
        assert_int_equal(n_after, n);
        assert_int_equal(memcmp(after, before, n) == 0, at < n);
        free(after);
    }
    signal(SIGXFSZ, old);
    assert_non_null(strstr(err.text, "can't write 'a': "));
    free(before);
    unlink(path_of("a"));
    warm_slot_file_free(&s.f);
    warm_slot_file_free(&other.f);
}

static void what_a_writer_that_died_has_left_is_removed(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    warm_err err = {0};
    put_file(".warmslot-1-1.tmp", (const uint8_t *)"x", 1);
    put_file(".warmslot-2-2.tmp", (const uint8_t *)"x", 1);
    put_file("other.tmp", (const uint8_t *)"x", 1);
    int held = open(path_of(".warmslot-2-2.tmp"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX), 0); /* this one's writer lives */
    assert_int_equal(write_sample(&s, "a", &err), 0);
    assert_int_not_equal(access(path_of(".warmslot-1-1.tmp"), F_OK), 0);
    assert_int_equal(access(path_of(".warmslot-2-2.tmp"), F_OK), 0);
    assert_int_equal(access(path_of("other.tmp"), F_OK), 0);
    close(held);
    unlink(path_of(".warmslot-2-2.tmp"));
    unlink(path_of("other.tmp"));
    unlink(path_of("a"));
    warm_slot_file_free(&s.f);
}

static void what_is_no_file_is_an_error(void **state) {
    (void)state;
    sample s;
    sample_init(&s);
    warm_err err = {0};
    assert_int_equal(open_and_close("none", &err), WARM_ENOTFOUND);
    assert_string_equal(err.text, "there is no file 'none'");
    assert_int_equal(mkdir(path_of("folder"), 0700), 0);
    assert_int_equal(open_and_close("folder", &err), WARM_EINVAL);
    assert_int_equal(write_sample(&s, "folder", &err), WARM_EIO);
    assert_int_equal(n_files(), 1);
    rmdir(path_of("folder"));
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(open_and_close("pipe", &err), WARM_EINVAL);
    unlink(path_of("pipe"));
    warm_slot_reader r;
    assert_int_equal(warm_slot_io_open("/nonexistent", "a", MAX_UNITS, NULL, NULL, &r, &err), WARM_EIO);
    assert_int_equal(warm_slot_io_write("/nonexistent", "a", &s.f, s.parts, s.n_parts, &err), WARM_EIO);
    put_file("empty", (const uint8_t *)"", 0);
    assert_int_equal(open_and_close("empty", &err), WARM_EINVAL);
    unlink(path_of("empty"));
    warm_slot_file_free(&s.f);
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/warmslot-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(blocks_are_found_again),
        cmocka_unit_test(every_changed_bit_of_a_header_is_found),
        cmocka_unit_test(a_header_that_is_cut_off_is_found),
        cmocka_unit_test(numbers_that_contradict_each_other_are_refused),
        cmocka_unit_test(other_versions_are_told_from_damage),
        cmocka_unit_test(no_memory_for_a_header_is_an_error),
        cmocka_unit_test(a_file_is_read_as_it_was_written),
        cmocka_unit_test(every_changed_byte_of_a_file_is_found),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(what_a_writer_that_died_has_left_is_removed),
        cmocka_unit_test(what_is_no_file_is_an_error),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
