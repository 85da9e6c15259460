/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_state_facts.c - what each combination of bytes, behaviour and metadata allows; anything unusual allows only whole
 * states, with a reason. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "llama/state_facts.h"

#define KV        WARM__BLOB_KV
#define RECURRENT WARM__BLOB_RECURRENT

static const warm__state_facts plain = {
    .n_sections = 1, .section = {KV}, .partial_is_rest = true, .strips = true, .keeps_cells = true};
static const warm__state_facts window = {.n_sections = 2,
                                         .section = {KV, KV},
                                         .partial_is_rest = true,
                                         .strips = true,
                                         .keeps_cells = true,
                                         .keeps_rows = true,
                                         .n_swa = 16};
static const warm__state_facts hybrid = {
    .n_sections = 2, .section = {KV, RECURRENT}, .partial_is_rest = true, .strips = true, .keeps_cells = true, .hybrid = true};
static const warm__state_facts hybrid_window = {.n_sections = 3,
                                                .section = {KV, KV, RECURRENT},
                                                .partial_is_rest = true,
                                                .strips = true,
                                                .keeps_cells = true,
                                                .keeps_rows = true,
                                                .hybrid = true,
                                                .n_swa = 4};
static const warm__state_facts recurrent = {.n_sections = 1, .section = {RECURRENT}, .partial_is_rest = true, .recurrent = true};

static void assert_kind(warm__state_facts f, enum warm_state_kind kind) {
    const char *why = NULL;
    assert_int_equal(warm__state_kind_of(&f, &why), kind);
    assert_int_equal(why != NULL, kind == WARM_STATE_WHOLE);
}

static void each_known_combination_has_its_kind(void **state) {
    (void)state;
    assert_kind(plain, WARM_STATE_RANGES);
    assert_kind(window, WARM_STATE_WINDOW);
    assert_kind(hybrid, WARM_STATE_RANGES_SNAPSHOTS);
    assert_kind(hybrid_window, WARM_STATE_RANGES_SNAPSHOTS);
    assert_kind(recurrent, WARM_STATE_SNAPSHOTS);
}

static void every_fact_is_needed(void **state) {
    (void)state;
    const warm__state_facts *all[] = {&plain, &window, &hybrid, &hybrid_window, &recurrent};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        warm__state_facts f = *all[i];
        f.partial_is_rest = false;
        assert_kind(f, WARM_STATE_WHOLE);
        f = *all[i];
        f.recurrent = !f.recurrent;
        assert_kind(f, WARM_STATE_WHOLE);
        f = *all[i];
        f.hybrid = !f.hybrid;
        assert_kind(f, WARM_STATE_WHOLE);
        f = *all[i];
        f.n_sections = 0;
        assert_kind(f, WARM_STATE_WHOLE);
        if (all[i] == &recurrent) continue;
        f = *all[i];
        f.strips = false;
        assert_kind(f, WARM_STATE_WHOLE);
        f = *all[i];
        f.keeps_cells = false;
        assert_kind(f, WARM_STATE_WHOLE);
    }
    warm__state_facts f = window;
    f.keeps_rows = false;
    assert_kind(f, WARM_STATE_WHOLE);
    f = hybrid_window;
    f.keeps_rows = false;
    assert_kind(f, WARM_STATE_WHOLE);
}

static void a_window_is_at_least_a_piece(void **state) {
    (void)state;
    warm__state_facts f = window;
    f.n_swa = 15;
    assert_kind(f, WARM_STATE_WHOLE);
}

static void parts_that_nobody_knows_are_whole(void **state) {
    (void)state;
    warm__state_facts f = hybrid_window;
    f.section[2] = KV;
    assert_kind(f, WARM_STATE_WHOLE);
    f = hybrid;
    f.section[0] = RECURRENT;
    assert_kind(f, WARM_STATE_WHOLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_known_combination_has_its_kind),
        cmocka_unit_test(every_fact_is_needed),
        cmocka_unit_test(a_window_is_at_least_a_piece),
        cmocka_unit_test(parts_that_nobody_knows_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
