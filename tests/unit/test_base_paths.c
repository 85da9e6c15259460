/* SPDX-License-Identifier: MIT
 *
 * test_base_paths.c - base/paths.h: which of several places a file is taken from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/paths.h"

typedef struct fixture {
    char root[64], a[80], b[80];
} fixture;

static void touch(const char *dir, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void assert_in(const char *dir, const char *name, char *got) {
    char want[PATH_MAX];
    snprintf(want, sizeof want, "%s/%s", dir, name);
    assert_non_null(got);
    assert_string_equal(got, want);
    free(got);
}

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    snprintf(f->root, sizeof f->root, "/tmp/warmslot-paths-XXXXXX");
    if (!mkdtemp(f->root)) return -1;
    snprintf(f->a, sizeof f->a, "%s/a", f->root);
    snprintf(f->b, sizeof f->b, "%s/b", f->root);
    *state = f;
    return mkdir(f->a, 0700) || mkdir(f->b, 0700);
}

static int tear_down(void **state) {
    fixture *f = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->root);
    int rc = system(command);
    free(f);
    return unsetenv("WARMSLOT_DATA") || rc;
}

static void the_first_directory_that_has_the_file_wins(void **state) {
    fixture *f = *state;
    const char *dirs[] = {NULL, "", f->a, f->b};
    touch(f->b, "x");
    assert_in(f->b, "x", warm__paths_first(dirs, 4, "x"));
    touch(f->a, "x");
    assert_in(f->a, "x", warm__paths_first(dirs, 4, "x"));
    assert_null(warm__paths_first(dirs, 4, "y"));
}

static void the_environment_comes_before_everything(void **state) {
    fixture *f = *state;
    touch(f->a, "ggml-vocab-qwen2.gguf");
    setenv("WARMSLOT_DATA", f->a, 1);
    assert_in(f->a, "ggml-vocab-qwen2.gguf", warm_path_data("ggml-vocab-qwen2.gguf"));
}

static void an_unknown_file_is_nowhere(void **state) {
    fixture *f = *state;
    setenv("WARMSLOT_DATA", f->b, 1);
    assert_null(warm_path_data("no-such-vocabulary.gguf"));
}

static void code_is_found_in_the_file_that_it_was_loaded_from(void **state) {
    (void)state;
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    char *dir = warm_path_of_code((const void *)(uintptr_t)assert_in);
    assert_non_null(dir);
    assert_string_equal(dir, dirname(self));
    free(dir);
    /* A function of a shared library is not in the program's directory. */
    dir = warm_path_of_code((const void *)(uintptr_t)_cmocka_run_group_tests);
    assert_non_null(dir);
    assert_string_not_equal(dir, self);
    free(dir);
    assert_null(warm_path_of_code(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_first_directory_that_has_the_file_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_environment_comes_before_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_unknown_file_is_nowhere, set_up, tear_down),
        cmocka_unit_test(code_is_found_in_the_file_that_it_was_loaded_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
