/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_slices.c - how much of the cache's work a turn of the scheduler does beside a stream, and before a message is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

/* A unit's copy takes what the scheduler expects before it has measured anything, so that its first pieces have the right size already. */
enum { LONG = 1500, STREAM = 300, N_CTX = 3000, UNIT_BYTES = 4096, COPY_NS = 2000, SLICE_NS = 200 * 1000, PIECE = 32 };
enum { SLICE_UNITS = SLICE_NS / COPY_NS, TURN_UNITS = SLICE_UNITS + PIECE };

/* The simulated engine, and how many units were moved. One world at a time. */
static struct {
    world *w;
    warm_engine_ops ops;
    const warm_engine_ops *real;
    size_t n_moved;
    request *submit_at_save; /* arrives while a piece is saved */
} sim;

static int64_t state_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    sim.n_moved += n;
    if (sim.submit_at_save) {
        int32_t prompt[PIECE];
        tokens_fill(prompt, PIECE, 99);
        request_submit(sim.w, sim.submit_at_save, prompt, PIECE, &(request_options){.n_predict = 1, .id_slot = -1});
        sim.submit_at_save = NULL;
    }
    return sim.real->state_save(e, seq, p0, n, dst, cap, err);
}

static int state_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                      warm_err *err) {
    sim.n_moved += n;
    return sim.real->state_load(e, seq, src, bytes, first, n, p0, p1, err);
}

static void open_world(world *w, uint32_t n_ctx, size_t budget_bytes) {
    world_open(w, &(world_options){.sim = {.n_ctx = n_ctx, .unit_bytes = UNIT_BYTES, .copy_ns = COPY_NS},
                                   .n_slots = 3,
                                   .budget_bytes = budget_bytes,
                                   .slice_ns = SLICE_NS});
    memset(&sim, 0, sizeof sim);
    sim.w = w;
    sim.real = w->engine->ops;
    sim.ops = *sim.real;
    sim.ops.state_save = state_save;
    sim.ops.state_load = state_load;
    w->engine->ops = &sim.ops;
}

static void submit(world *w, request *r, size_t n, uint64_t seed, int32_t n_predict) {
    int32_t prompt[LONG];
    tokens_fill(prompt, n, seed);
    request_submit(w, r, prompt, n, &(request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true});
}

static void run(world *w, size_t n, uint64_t seed) {
    request r;
    submit(w, &r, n, seed, 1);
    request_wait(w, &r);
    request_check(w, &r);
    request_free(&r);
}

static void step_beside_a_stream(world *w) {
    sim.n_moved = 0;
    warm_sched_step(w->sched);
    assert_true(sim.n_moved <= TURN_UNITS);
}

/* Beside the stream, in turns that stay short. Returns how many units came from memory. */
static size_t run_beside(world *w, size_t n, uint64_t seed) {
    request r;
    submit(w, &r, n, seed, 1);
    while (!r.ended) step_beside_a_stream(w);
    request_check(w, &r);
    size_t n_ram = r.t.n_ram;
    request_free(&r);
    return n_ram;
}

static void start_stream(world *w, request *stream) {
    submit(w, stream, STREAM, 1, 2000);
    while (stream->n_got < 5) warm_sched_step(w->sched);
}

static void end_stream(world *w, request *stream) {
    assert_false(stream->ended);
    warm_sched_cancel(w->sched, stream->id);
    request_wait(w, stream);
    request_free(stream);
}

static uint64_t n_evicted(world *w) {
    warm_cache_stats st;
    warm_cache_stats_get(w->cache, &st);
    return st.n_evicted;
}

static void conversations_are_swapped_beside_a_stream_in_slices(void **state) {
    (void)state;
    world w;
    request stream;
    open_world(&w, N_CTX, 64 << 20);
    run(&w, LONG, 10);
    world_settle(&w);
    run(&w, LONG, 11);
    world_settle(&w);
    start_stream(&w, &stream);
    for (uint64_t i = 0; i < 4; i++) assert_true(run_beside(&w, LONG, 10 + i % 2) >= LONG - 1);
    end_stream(&w, &stream);
    world_close(&w);
}

static void what_was_not_saved_yet_leaves_in_slices(void **state) {
    (void)state;
    world w;
    request stream;
    open_world(&w, N_CTX, 64 << 20);
    start_stream(&w, &stream);
    run_beside(&w, LONG, 12);
    run_beside(&w, LONG, 13);                              /* in the place of the first one, which is saved before it goes */
    assert_true(run_beside(&w, LONG, 12) >= LONG - PIECE); /* and was */
    end_stream(&w, &stream);
    world_close(&w);
}

static void room_in_memory_is_made_in_slices(void **state) {
    (void)state;
    world w;
    request stream;
    open_world(&w, N_CTX, (LONG + LONG / 2) * UNIT_BYTES);
    start_stream(&w, &stream);
    for (uint64_t i = 0; i < 4; i++) run_beside(&w, LONG, 20 + i);
    assert_true(n_evicted(&w) > 0);
    end_stream(&w, &stream);
    world_close(&w);
}

static void who_is_parked_beside_a_stream_is_saved_in_slices(void **state) {
    (void)state;
    world w;
    request stream, other;
    open_world(&w, STREAM + LONG + 600, 64 << 20);
    start_stream(&w, &stream);
    submit(&w, &other, LONG, 30, 700);
    size_t n_parked = 0;
    while (!n_parked) {
        step_beside_a_stream(&w);
        assert_false(stream.ended || other.ended);
        warm_sched_status st;
        assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
        n_parked = st.n_parked;
        warm_sched_status_free(&st);
    }
    for (int i = 0; i < 300; i++) step_beside_a_stream(&w);
    warm_sched_cancel(w.sched, other.id);
    request_wait(&w, &other);
    request_free(&other);
    end_stream(&w, &stream);
    world_close(&w);
}

static void a_message_ends_what_is_saved_while_nobody_waits(void **state) {
    (void)state;
    world w;
    request late = {.ended = false};
    open_world(&w, N_CTX, 64 << 20);
    run(&w, LONG, 40);
    sim.n_moved = 0;
    sim.submit_at_save = &late;
    warm_sched_step(w.sched);
    assert_true(sim.n_moved > 0 && sim.n_moved <= PIECE);
    request_wait(&w, &late);
    request_check(&w, &late);
    request_free(&late);
    world_settle(&w);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_are_swapped_beside_a_stream_in_slices),
        cmocka_unit_test(what_was_not_saved_yet_leaves_in_slices),
        cmocka_unit_test(room_in_memory_is_made_in_slices),
        cmocka_unit_test(who_is_parked_beside_a_stream_is_saved_in_slices),
        cmocka_unit_test(a_message_ends_what_is_saved_while_nobody_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
