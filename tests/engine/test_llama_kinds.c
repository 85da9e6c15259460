/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_kinds.c - what is found out about each kind of model. */
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

static void each_kind_is_found_out(void **state) {
    (void)state;
    static const struct {
        const char *model;
        enum warm_state_kind kind;
    } kinds[] = {{"dense", WARM_STATE_RANGES},
                 {"moe", WARM_STATE_RANGES},
                 {"swa", WARM_STATE_WINDOW},
                 {"recurrent", WARM_STATE_SNAPSHOTS},
                 {"hybrid", WARM_STATE_RANGES_SNAPSHOTS},
                 {"hybrid-ssm", WARM_STATE_RANGES_SNAPSHOTS},
                 {"hybrid-swa", WARM_STATE_RANGES_SNAPSHOTS}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        static const char *const flags[] = {"-c", "1024", NULL};
        warm_engine *e = NULL;
        warm_err err = {0};
        if (try_open(&e, &err, tiny_kind(kinds[i].model), flags)) fail_msg("open: %s", err.text);
        assert_int_equal(e->info->state, kinds[i].kind);
        assert_int_equal(e->info->n_window, kinds[i].kind == WARM_STATE_WINDOW ? TINY_WINDOW : 0);
        assert_non_null(strstr(e->info->scope, warm_state_kind_name(kinds[i].kind)));
        e->ops->close(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_kind_is_found_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
