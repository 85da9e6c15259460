/* SPDX-License-Identifier: MIT
 *
 * `warmslot check`: finds every damage, says what is there, changes nothing unless it is told to, and only what nobody can use. */
#include "disk_rig.h"

#include "tools/check.h"

static void open_with_blocks(rig *r) {
    rig_open(r, 0, 64u << 20);
    for (size_t at = 0; at < 1024; at += 256) rig_must_put(r, 1, at, 256, 20);
    assert_int_equal(rig_put(r, 1, WARM_DISK_SNAPSHOT, 0, 900, 3), 0);
    rig_settle(r);
}

/* What it prints; to be freed. */
static char *check(const rig *r, bool repair, warm_check_result *out) {
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    warm_err err = {0};
    if (warm_check(r->dir, repair, f, out, &err)) fail_msg("%s", err.text);
    fclose(f);
    return text;
}

static void a_good_directory_is_told_as_it_is(void **state) {
    (void)state;
    rig r;
    warm_check_result got;
    open_with_blocks(&r);
    char *text = check(&r, false, &got); /* beside the one that writes */
    assert_int_equal(got.n_files, 5);
    assert_int_equal(got.n_damaged + got.n_unreadable + got.n_orphans + got.n_removed + got.n_tmp, 0);
    assert_non_null(strstr(text, "4 blocks with 1024 tokens, 0 window rows, 1 snapshots"));
    assert_non_null(strstr(text, "    kv: f16\n"));
    free(text);
    char *argv[] = {"check", r.dir, "--repair", NULL};
    assert_int_equal(warm_check_main(2, argv), 0);
    assert_int_equal(warm_check_main(3, argv), 1); /* it is being written to */
    rig_stop(&r);
    assert_int_equal(warm_check_main(3, argv), 0);
    assert_int_equal(warm_check_main(1, argv), 2);
    argv[1] = "--fix";
    assert_int_equal(warm_check_main(2, argv), 2);
    argv[1] = "/nowhere/at/all";
    assert_int_equal(warm_check_main(3, argv), 1);
    rig_close(&r);
}

static void what_nobody_can_use_is_removed_when_told_to(void **state) {
    (void)state;
    rig r;
    warm_check_result got;
    char path[200], other[200];
    open_with_blocks(&r);
    rig_stop(&r);
    rig_path(&r, 1, WARM_DISK_CELLS, 256, path);
    rig_flip(path, 4096 + 256 * 20 - 1, 16); /* the last byte of the payload */
    rig_path(&r, 1, WARM_DISK_CELLS, 512, path);
    rig_flip(path, 100, 16);
    rig_path(&r, 1, WARM_DISK_CELLS, 768, path);
    snprintf(other, sizeof other, "%.190s.bad", path);
    assert_int_equal(rename(path, other), 0);
    snprintf(other, sizeof other, "%.60s/t-1-2.tmp", r.dir);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    snprintf(other, sizeof other, "%.60s/notes.txt", r.dir);
    close(open(other, O_CREAT | O_WRONLY, 0600));
    size_t n_names = rig_each_name(&r, NULL, NULL);
    char *argv[] = {"check", r.dir, "--repair", NULL};
    assert_int_equal(warm_check_main(2, argv), 1);
    char *text = check(&r, false, &got);
    assert_non_null(strstr(text, "damaged: the file is damaged: the checksum of piece 3 is wrong\n"));
    free(text);
    assert_int_equal(rig_each_name(&r, NULL, NULL), n_names);
    assert_int_equal(got.n_damaged, 2);
    assert_int_equal(got.n_aside, 1);
    assert_int_equal(got.n_tmp, 1);
    assert_int_equal(got.n_orphans, 2);
    free(check(&r, true, &got));
    assert_int_equal(got.n_removed, 4);
    assert_int_equal(rig_each_name(&r, NULL, NULL), n_names - 4);
    assert_int_equal(access(other, F_OK), 0);
    assert_int_equal(warm_check_main(2, argv), 0);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_directory_is_told_as_it_is),
        cmocka_unit_test(what_nobody_can_use_is_removed_when_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
