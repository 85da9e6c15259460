/* SPDX-License-Identifier: MIT
 *
 * The format of the disk tier's files: what is written is read, and nothing else is. */
#include "disk_rig.h"

#include "base/hash.h"
#include "store/bytes.h"

static uint8_t *written(warm_disk_file *f) {
    assert_int_equal(warm_disk_file_complete(f, NULL), 0);
    for (uint32_t i = 0; i < f->head.n_pieces; i++) f->pieces[i].sum = f->pieces[i].bytes ? 77 + i : 0;
    uint8_t *p = warm_xmalloc((size_t)f->head.header_bytes);
    warm_disk_file_write(f, p);
    return p;
}

static void check_round(uint64_t start, size_t n, enum warm_disk_kind kind) {
    warm_disk_file f, g;
    rig_file(1, 3, kind, start, n, 5, &f);
    uint8_t *p = written(&f);
    uint64_t header = f.head.header_bytes;
    assert_int_equal(header % WARM_DISK_ALIGN, 0);
    warm_err err = {0};
    if (warm_disk_file_read(p, (size_t)header, f.head.file_bytes, &g, &err)) fail_msg("%s", err.text);
    assert_int_equal(g.head.kind, kind);
    assert_int_equal(g.head.start, start);
    assert_int_equal(g.head.n_units, n);
    assert_memory_equal(g.units, f.units, n * sizeof *f.units);
    assert_memory_equal(g.pieces, f.pieces, f.head.n_pieces * sizeof *f.pieces);
    assert_string_equal(g.scope, f.scope);
    assert_string_equal(g.backend, "CPU");
    uint8_t key[WARM_DISK_KEY_BYTES];
    rig_key(1, 3, (size_t)start + n, key);
    assert_memory_equal(g.head.key, key, sizeof key);
    uint8_t *again = warm_xmalloc((size_t)header);
    warm_disk_file_write(&g, again);
    assert_memory_equal(p, again, header);
    free(again);
    free(p);
    warm_disk_file_free(&f);
    warm_disk_file_free(&g);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    check_round(0, 256, WARM_DISK_CELLS);
    check_round(256, 256, WARM_DISK_CELLS);
    check_round(512, 1, WARM_DISK_CELLS);
    check_round(256, 100, WARM_DISK_ROWS);
    check_round(0, 1000, WARM_DISK_SNAPSHOT); /* holds all its units */
    check_round(768, 232, WARM_DISK_SNAPSHOT);
    check_round(256, 256, WARM_DISK_SNAPSHOT);
}

/* Of the path, not of the file: a snapshot with all units and one with the last ones have the same. */
static void a_key_names_the_path(void **state) {
    (void)state;
    warm_disk_file all, last;
    rig_file(1, 3, WARM_DISK_SNAPSHOT, 0, 1000, 5, &all);
    rig_file(1, 3, WARM_DISK_SNAPSHOT, 768, 232, 5, &last);
    memset(all.head.parent, 0, sizeof all.head.parent); /* follows from the units */
    assert_int_equal(warm_disk_file_complete(&all, NULL), 0);
    assert_int_equal(warm_disk_file_complete(&last, NULL), 0);
    assert_memory_equal(all.head.key, last.head.key, sizeof all.head.key);
    assert_memory_equal(all.head.parent, last.head.parent, sizeof all.head.parent);
    warm_disk_file_free(&all);
    rig_file(2, 3, WARM_DISK_SNAPSHOT, 0, 1000, 5, &all);
    assert_int_equal(warm_disk_file_complete(&all, NULL), 0);
    assert_memory_not_equal(all.head.key, last.head.key, sizeof all.head.key);
    warm_disk_file_free(&all);
    warm_disk_file_free(&last);
}

/* Every byte of a header, one bit each, and every length. */
static void no_changed_header_is_read(void **state) {
    (void)state;
    warm_disk_file f, g;
    rig_file(1, 3, WARM_DISK_CELLS, 256, 40, 5, &f);
    uint8_t *p = written(&f);
    size_t n = (size_t)f.head.header_bytes;
    warm_err err = {0};
    for (size_t i = 0; i < n; i++) {
        p[i] ^= (uint8_t)(1u << i % 8);
        int rc = warm_disk_file_read(p, n, f.head.file_bytes, &g, &err);
        assert_true(rc == WARM_ECORRUPT || (i < 8 && rc == WARM_EINVAL));
        p[i] ^= (uint8_t)(1u << i % 8);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = warm_disk_file_read(p, i, f.head.file_bytes, &g, &err);
        assert_true(rc == WARM_ECORRUPT || rc == WARM_EINVAL);
    }
    assert_int_equal(warm_disk_file_read(p, n, f.head.file_bytes - 1, &g, &err), WARM_ECORRUPT);
    assert_int_equal(warm_disk_file_read(p, n, f.head.file_bytes + 1, &g, &err), WARM_ECORRUPT);
    free(p);
    warm_disk_file_free(&f);
}

static void set_format(uint8_t *p, uint32_t version, uint32_t layout) {
    warm__put(warm__put(p + 8, version, 4), layout, 4);
    warm__put(p + 16, (uint32_t)warm_xxh3(p, 16), 4);
}

static void another_format_is_known_as_one(void **state) {
    (void)state;
    warm_disk_file f;
    warm_disk_head h;
    bool newer;
    rig_file(1, 3, WARM_DISK_CELLS, 0, 40, 5, &f);
    uint8_t *p = written(&f);
    static const struct {
        uint32_t version, layout;
        bool newer;
    } cases[] = {{WARM_DISK_VERSION + 1, 0, true},
                 {WARM_DISK_VERSION, WARM_STATE_LAYOUT + 1, true},
                 {WARM_DISK_VERSION, WARM_STATE_LAYOUT - 1, false},
                 {WARM_DISK_VERSION - 1, WARM_STATE_LAYOUT, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_format(p, cases[i].version, cases[i].layout);
        /* Of another format nothing but its first bytes is known. */
        assert_int_equal(warm_disk_head_read(p, WARM_DISK_PROLOGUE_BYTES, 20, &h, &newer, NULL), WARM_ENOTSUP);
        assert_int_equal(newer, cases[i].newer);
    }
    free(p);
    warm_disk_file_free(&f);
}

static void what_can_not_be_is_refused(void **state) {
    (void)state;
    static const struct {
        enum warm_disk_kind kind;
        size_t offset, size;
        uint64_t value;
    } cases[] = {
#define HEAD(field) offsetof(warm_disk_head, field), sizeof(((warm_disk_head *)0)->field)
        {WARM_DISK_CELLS, HEAD(n_units), 0},       {WARM_DISK_CELLS, HEAD(parent_at), 257},
        {WARM_DISK_CELLS, HEAD(piece_units), 48},  {WARM_DISK_CELLS, HEAD(piece_units), 8},
        {WARM_DISK_CELLS, HEAD(n_pieces), 3},      {WARM_DISK_CELLS, HEAD(first_pos), 9999},
        {WARM_DISK_CELLS, HEAD(prior), 1},         {WARM_DISK_CELLS, HEAD(start), UINT64_MAX},
        {WARM_DISK_CELLS, HEAD(kind), 0},          {WARM_DISK_CELLS, HEAD(kind), 4},
        {WARM_DISK_SNAPSHOT, HEAD(n_pieces), 2},   {WARM_DISK_SNAPSHOT, HEAD(prior), 0},
        {WARM_DISK_SNAPSHOT, HEAD(parent_at), 300}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_disk_file f;
        warm_err err = {0};
        rig_file(1, 3, cases[i].kind, 256, 70, 5, &f);
        assert_int_equal(warm_disk_file_complete(&f, NULL), 0);
        memcpy((uint8_t *)&f.head + cases[i].offset, &cases[i].value, cases[i].size);
        assert_int_equal(warm_disk_file_complete(&f, &err), WARM_EINVAL);
        assert_true(err.text[0]);
        warm_disk_file_free(&f);
    }
}

static void a_sketch_tells_where_blocks_part(void **state) {
    (void)state;
    uint64_t a[256], b[256];
    uint16_t x[WARM_DISK_SKETCH], y[WARM_DISK_SKETCH];
    rig_units(1, 1000, 256, a);
    warm_disk_sketch(a, 256, x);
    for (size_t at = 0; at < 256; at += 5) {
        memcpy(b, a, sizeof b);
        b[at]++;
        warm_disk_sketch(b, 256, y);
        assert_int_equal(warm_disk_sketch_common(x, 256, y, 256), at / 16 * 16);
    }
    warm_disk_sketch(a, 100, y);
    assert_int_equal(warm_disk_sketch_common(x, 256, y, 100), 96);
}

static void names_are_read_as_they_are_written(void **state) {
    (void)state;
    uint8_t key[WARM_DISK_KEY_BYTES], again[WARM_DISK_KEY_BYTES];
    char name[WARM_DISK_NAME_BYTES + 1];
    rig_key(1, 1, 300, key);
    for (enum warm_disk_kind kind = WARM_DISK_CELLS, got; kind < WARM_DISK_KINDS; kind++) {
        warm_disk_name(kind, key, name);
        assert_true(warm_disk_name_read(name, &got, again));
        assert_int_equal(got, kind);
        assert_memory_equal(key, again, sizeof key);
        name[10] = 'A';
        assert_false(warm_disk_name_read(name, &got, again));
    }
    enum warm_disk_kind kind;
    assert_false(warm_disk_name_read("", &kind, again));
    assert_false(warm_disk_name_read("warmslot.lock", &kind, again));
    warm_disk_name(WARM_DISK_CELLS, key, name);
    name[0] = 'x';
    assert_false(warm_disk_name_read(name, &kind, again));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_key_names_the_path),
        cmocka_unit_test(no_changed_header_is_read),
        cmocka_unit_test(another_format_is_known_as_one),
        cmocka_unit_test(what_can_not_be_is_refused),
        cmocka_unit_test(a_sketch_tells_where_blocks_part),
        cmocka_unit_test(names_are_read_as_they_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
