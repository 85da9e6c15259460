/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_probe.c - what was found out about a model is remembered, and only what is exactly that counts.
 *
 * How it was found out is in the log, which is read here. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "model_fixture.h"

static char log_path[256];

/* The line about the state in what is logged while the model is opened and closed. */
static const char *open_and_read(const char *kind, const char *flag, const char *value) {
    static char text[1 << 16];
    FILE *f = fopen(log_path, "w");
    assert_non_null(f);
    fclose(f);
    const char *flags[] = {"-c", "512", flag, value, NULL};
    warm_engine *e = NULL;
    warm_err err = {0};
    if (try_open(&e, &err, tiny_kind(kind), flags)) fail_msg("open: %s", err.text);
    e->ops->close(e);
    f = fopen(log_path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *line = strstr(text, "state is saved as");
    assert_non_null(line);
    return line;
}

/* The only file of what is remembered. */
static void remembered_path(char *path, size_t cap) {
    const char *name = NULL;
    char dir[256];
    snprintf(dir, sizeof dir, "%s/warmslot", getenv("XDG_CACHE_HOME"));
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        assert_null(name);
        name = e->d_name;
        snprintf(path, cap, "%s/%s", dir, name);
    }
    closedir(d);
    assert_non_null(name);
}

static void a_round_trip_is_made_once(void **state) {
    (void)state;
    assert_non_null(strstr(open_and_read("swa", NULL, NULL), "ranges with window rows, tried"));
    assert_non_null(strstr(open_and_read("swa", NULL, NULL), "ranges with window rows, remembered"));
    /* the size of batches changes nothing; the layout of cells does */
    assert_non_null(strstr(open_and_read("swa", "-b", "256"), "remembered"));
    char path[512];
    remembered_path(path, sizeof path);
    assert_non_null(strstr(open_and_read("swa", "-fa", "off"), "tried"));
}

static void what_is_not_exactly_that_does_not_count(void **state) {
    (void)state;
    char dir[256], command[300], path[512];
    snprintf(dir, sizeof dir, "%s/warmslot", getenv("XDG_CACHE_HOME"));
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
    open_and_read("hybrid", NULL, NULL);
    remembered_path(path, sizeof path);
    static const char *const contents[] = {"", "warmslot state 1\n", "ranges"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(contents[i], f);
        fclose(f);
        assert_non_null(strstr(open_and_read("hybrid", NULL, NULL), "ranges plus snapshots, tried"));
        assert_non_null(strstr(open_and_read("hybrid", NULL, NULL), "ranges plus snapshots, remembered"));
    }
    FILE *f = fopen(path, "a"); /* the right text and more */
    assert_non_null(f);
    fputs("state: ranges\n", f);
    fclose(f);
    assert_non_null(strstr(open_and_read("hybrid", NULL, NULL), "ranges plus snapshots, tried"));
}

static void without_a_place_nothing_is_remembered_and_nothing_fails(void **state) {
    (void)state;
    char was[256];
    snprintf(was, sizeof was, "%s", getenv("XDG_CACHE_HOME"));
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    assert_non_null(strstr(open_and_read("dense", NULL, NULL), "ranges, tried"));
    assert_non_null(strstr(open_and_read("dense", NULL, NULL), "ranges, tried"));
    setenv("XDG_CACHE_HOME", was, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_round_trip_is_made_once),
        cmocka_unit_test(what_is_not_exactly_that_does_not_count),
        cmocka_unit_test(without_a_place_nothing_is_remembered_and_nothing_fails),
    };
    snprintf(log_path, sizeof log_path, "%s", temp_path("log"));
    warm_err err = {0};
    if (warm_log_open(WARM_LOG_INFO, false, log_path, &err)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
