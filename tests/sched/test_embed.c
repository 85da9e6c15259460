/* SPDX-License-Identifier: MIT
 *
 * Embeddings through the scheduler: each input's own, in turns with each other and with the streams, and an end to each order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { LONGEST = 32, INPUTS_MAX = 16, NUMBERS = 3 };

typedef struct order {
    int32_t tokens[INPUTS_MAX][LONGEST];
    float numbers[INPUTS_MAX][LONGEST * NUMBERS];
    warm_embed_input inputs[INPUTS_MAX];
    size_t n;
    int n_done;
    bool left;
    warm_err err;
} order;

static void done(void *ud, const warm_err *err) {
    order *o = ud;
    o->n_done++;
    o->err = *err;
}

static bool gone(void *ud) {
    return ((order *)ud)->left;
}

/* Inputs of these lengths. */
static void send(world *w, order *o, const size_t *lengths, size_t n, uint64_t seed) {
    memset(o, 0, sizeof *o);
    o->n = n;
    for (size_t i = 0; i < n; i++) {
        tokens_fill(o->tokens[i], lengths[i], seed + i);
        o->inputs[i] = (warm_embed_input){.token = o->tokens[i], .n = lengths[i], .out = o->numbers[i]};
    }
    warm_sched_embed(w->sched, &(warm_embed_order){.inputs = o->inputs, .n = n, .done = done, .gone = gone, .ud = o});
}

static void check_numbers(const order *o) {
    assert_int_equal(o->n_done, 1);
    assert_int_equal(o->err.code, 0);
    for (size_t i = 0; i < o->n; i++)
        for (size_t k = 0; k < NUMBERS; k++)
            assert_float_equal(o->numbers[i][k], warm_sim_embedded(warm_sim_hash(o->tokens[i], o->inputs[i].n), k), 0);
}

static const world_options embeds = {.sim = {.n_embed_max = LONGEST, .pooling = WARM_POOLING_MEAN}, .budget_bytes = 1 << 20};

static void every_input_gets_its_own_whatever_goes_into_one_call(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 2, 3, 4, 5, 32, 32, 1, 32, 32, 32, 7};
    world w;
    order *o = malloc(sizeof *o);
    world_open(&w, &embeds);
    send(&w, o, lengths, sizeof lengths / sizeof *lengths, 1);
    world_settle(&w);
    check_numbers(o);
    world_close(&w);
    free(o);
}

static void a_long_order_holds_up_no_short_one_and_no_stream(void **state) {
    (void)state;
    size_t full[INPUTS_MAX];
    for (size_t i = 0; i < INPUTS_MAX; i++) full[i] = LONGEST;
    world w;
    order *lengthy = malloc(sizeof *lengthy), *brief = malloc(sizeof *brief);
    int32_t prompt[8];
    request r;
    world_open(&w, &embeds);
    tokens_fill(prompt, 8, 9);
    send(&w, lengthy, full, INPUTS_MAX, 100); /* two inputs fill a call */
    send(&w, brief, (const size_t[]){3}, 1, 200);
    request_submit(&w, &r, prompt, 8, &(request_options){.n_predict = 4, .id_slot = -1, .ignore_eos = true});
    for (int turn = 0; turn < 2; turn++) warm_sched_step(w.sched);
    check_numbers(brief);
    request_wait(&w, &r);
    request_check(&w, &r);
    assert_int_equal(lengthy->n_done, 0);
    world_settle(&w);
    check_numbers(lengthy);
    request_free(&r);
    world_close(&w);
    free(lengthy);
    free(brief);
}

static void a_failure_and_a_client_that_left_end_their_order_alone(void **state) {
    (void)state;
    world_options failing = embeds;
    failing.sim.embed_fails_at = 2;
    static const size_t lengths[] = {32, 32, 32, 32, 32};
    world w;
    order *o = malloc(3 * sizeof *o);
    world_open(&w, &failing);
    send(&w, &o[0], lengths, 2, 1);
    send(&w, &o[1], lengths, 5, 2);
    send(&w, &o[2], lengths, 5, 3);
    o[2].left = true;
    world_settle(&w);
    check_numbers(&o[0]);
    assert_int_equal(o[1].err.code, WARM_EENGINE);
    assert_int_equal(o[2].err.code, WARM_ECANCELED);
    assert_int_equal(o[1].n_done + o[2].n_done, 2);
    world_close(&w);
    free(o);
}

static void what_waits_at_the_end_is_told_so(void **state) {
    (void)state;
    world w;
    order *o = malloc(sizeof *o);
    world_open(&w, &embeds);
    send(&w, o, (const size_t[]){3}, 1, 1);
    world_close(&w);
    assert_int_equal(o->n_done, 1);
    assert_int_equal(o->err.code, WARM_ECLOSED);
    free(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_input_gets_its_own_whatever_goes_into_one_call),
        cmocka_unit_test(a_long_order_holds_up_no_short_one_and_no_stream),
        cmocka_unit_test(a_failure_and_a_client_that_left_end_their_order_alone),
        cmocka_unit_test(what_waits_at_the_end_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
