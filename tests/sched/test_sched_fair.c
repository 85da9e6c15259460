/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_fair.c - how long a stream waits for somebody's prompt, and a prompt for everybody else, on a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sched_world.h"

enum { TILE = 64, COLD = 5000, HEAD = 1000, TURN = 60, N_CTX = 20000, MS = 1000 * 1000, ROW_NS = 300 * 1000 /* the world's */ };

/* The simulated engine, and what its steps take besides. One world at a time. */
static struct {
    world *w;
    warm_engine_ops ops;
    const warm_engine_ops *real;
    uint64_t step_ns, depth_ns,
        tile_ns;        /* of each step; of each row for each unit before it; of each 64 rows, of a batch with as many */
    uint64_t alone_ns;  /* of each row of a batch with less */
    size_t chunk[4096]; /* prefill chunks in order */
    size_t n_chunks;
    size_t n_batches, n_odd;   /* with more than one row of somebody; of those, not of whole tiles */
    size_t n_equal, n_unequal; /* with more than one chunk, of one length or not */
} sim;

static int decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    sim.w->now_ns += sim.step_ns;
    for (size_t i = 0; i < b->n; i++) sim.w->now_ns += sim.depth_ns * (uint64_t)b->pos[i];
    if (b->n >= TILE) sim.w->now_ns += (b->n + TILE - 1) / TILE * sim.tile_ns;
    if (b->n < TILE) sim.w->now_ns += b->n * sim.alone_ns;
    size_t begun = sim.n_chunks;
    for (size_t i = 0, n; i < b->n; i += n) {
        for (n = 1; i + n < b->n && b->seq[i + n] == b->seq[i]; n++) continue;
        if (n > 1) sim.chunk[sim.n_chunks++ % 4096] = n;
    }
    bool several = sim.n_chunks > begun + 1, equal = true;
    for (size_t i = begun; i < sim.n_chunks; i++) equal &= sim.chunk[i % 4096] == sim.chunk[begun % 4096];
    sim.n_equal += several && equal;
    sim.n_unequal += several && !equal;
    sim.n_batches += sim.n_chunks > begun;
    sim.n_odd += sim.n_chunks > begun && b->n % TILE;
    return sim.real->decode(e, b, err);
}

static void open_world(world *w, world_options o) {
    o.sim.n_ctx = o.sim.n_ctx ? o.sim.n_ctx : N_CTX;
    o.budget_bytes = 64 << 20;
    world_open(w, &o);
    memset(&sim, 0, sizeof sim);
    sim.w = w;
    sim.real = w->engine->ops;
    sim.ops = *sim.real;
    sim.ops.decode = decode;
    w->engine->ops = &sim.ops;
}

static uint64_t n_predicted(world *w) {
    warm_sched_status st;
    assert_int_equal(warm_sched_status_get(w->sched, &st), 0);
    warm_sched_status_free(&st);
    return st.n_predicted;
}

static void submit(world *w, request *r, const int32_t *prompt, size_t n, int32_t n_predict) {
    request_submit(w, r, prompt, n, &(request_options){.n_predict = n_predict, .id_slot = -1, .ignore_eos = true});
}

static void end(world *w, request *r) {
    if (!r->ended) warm_sched_cancel(w->sched, r->id);
    request_wait(w, r);
    if (!r->failed) request_check(w, r);
    request_free(r);
}

/* Steps until r has its first token; returns the longest time in which the stream got none. */
static uint64_t longest_gap(world *w, const request *stream, const request *r) {
    uint64_t longest = 0, t0 = w->now_ns, n = n_predicted(w);
    while (!r->n_got) {
        warm_sched_step(w->sched);
        assert_false(stream->ended);
        if (n_predicted(w) == n) continue;
        if (w->now_ns - t0 > longest) longest = w->now_ns - t0;
        t0 = w->now_ns;
        n = n_predicted(w);
    }
    return longest;
}

/* A stream, then a long prompt beside it that nothing is known of. */
static uint64_t gap_beside_a_cold_prompt(world *w, size_t n_stream) {
    static int32_t prompt[COLD];
    request stream, cold;
    tokens_fill(prompt, n_stream, 1);
    submit(w, &stream, prompt, n_stream, 2000);
    while (stream.n_got < 3) warm_sched_step(w->sched);
    sim.n_chunks = 0;
    tokens_fill(prompt, COLD, 2);
    submit(w, &cold, prompt, COLD, 2);
    uint64_t gap = longest_gap(w, &stream, &cold);
    end(w, &cold);
    end(w, &stream);
    return gap;
}

static void check_chunks(size_t least, size_t most) {
    size_t sum = 0;
    assert_in_range(sim.n_chunks, 1, 4095);
    for (size_t i = 0; i < sim.n_chunks; i++) {
        assert_in_range(sim.chunk[i], least, most);
        sum += sim.chunk[i];
    }
    assert_true(sum <= COLD && sum + TILE > COLD);
}

static void a_stream_waits_for_one_slice_of_a_prompt(void **state) {
    (void)state;
    static const uint64_t slices[] = {25 * MS, 100 * MS, 130 * MS}, depths[] = {0, 100};
    for (size_t i = 0; i < 6; i++) {
        for (size_t known = 0; known < 2; known++) {
            world w;
            uint64_t slice = slices[i / 2];
            open_world(&w, (world_options){.n_slots = 2, .prefill_slice_ns = slice});
            sim.depth_ns = depths[i % 2];
            /* A stream with a prompt of its own has taught what a prompt takes, but not what depth does. */
            uint64_t gap = gap_beside_a_cold_prompt(&w, known ? 1024 : 10), tile = TILE * (ROW_NS + COLD * sim.depth_ns);
            assert_true(gap <= (2 * slice > tile ? 2 * slice : tile) + 3 * MS);
            if (!sim.depth_ns) assert_true(gap >= slice * 3 / 4);
            check_chunks(TILE, 512);
            /* whole tiles: with the stream's row, or without any beside the chunk */
            bool beside = slice > 2 * tile;
            for (size_t k = 2; !sim.depth_ns && k + 2 < sim.n_chunks; k++) assert_int_equal((sim.chunk[k] + beside) % TILE, 0);
            if (!known) assert_int_equal(sim.chunk[0], TILE + COLD % TILE);
            world_close(&w);
        }
    }
}

static void on_a_slow_machine_a_stream_waits_for_the_shortest_chunks(void **state) {
    (void)state;
    world w;
    open_world(&w, (world_options){.n_slots = 2});
    sim.tile_ns = 200 * MS;
    uint64_t gap = gap_beside_a_cold_prompt(&w, 128);
    assert_int_equal(sim.chunk[0], TILE + COLD % TILE); /* what is over comes first, where it costs least */
    sim.chunk[0] = TILE;
    check_chunks(TILE, TILE);
    assert_true(gap <= 2 * (sim.tile_ns + TILE * (uint64_t)ROW_NS) + 3 * MS);
    world_close(&w);
}

/* Where many cells are walked for each row that generates. */
static void a_stream_whose_own_steps_are_dear_shares_tiles_with_a_prompt(void **state) {
    (void)state;
    world w;
    open_world(&w, (world_options){.n_slots = 2});
    sim.tile_ns = 60 * MS;
    sim.alone_ns = 70 * MS;
    uint64_t gap = gap_beside_a_cold_prompt(&w, 128), tile = sim.tile_ns + TILE * (uint64_t)ROW_NS;
    for (size_t k = 2; k + 2 < sim.n_chunks; k++) assert_int_equal(sim.chunk[k], 2 * TILE - 1);
    assert_true(gap <= 2 * tile + 3 * MS);
    world_close(&w);
}

/* Prompts that came together, of different lengths, beside a stream or not. */
enum { N_TOGETHER = 12 };
static void run_together(world *w, bool stream) {
    static int32_t prompt[600];
    request first, r[N_TOGETHER];
    tokens_fill(prompt, 128, 1);
    if (stream) submit(w, &first, prompt, 128, 2000);
    while (stream && first.n_got < 3) warm_sched_step(w->sched);
    sim.n_chunks = sim.n_batches = sim.n_odd = sim.n_equal = sim.n_unequal = 0;
    for (size_t i = 0; i < N_TOGETHER; i++) {
        size_t n = 330 + i * 37 % 200;
        tokens_fill(prompt, n, 2 + i);
        submit(w, &r[i], prompt, n, 1);
    }
    for (size_t i = 0; i < N_TOGETHER; i++) {
        request_wait(w, &r[i]);
        end(w, &r[i]);
    }
    if (stream) end(w, &first);
}

static void prompts_beside_a_stream_fill_whole_tiles_together(void **state) {
    (void)state;
    world w;
    open_world(&w, (world_options){.n_slots = N_TOGETHER + 1, .sim = {.n_seq_max = 24}});
    run_together(&w, true);
    assert_true(sim.n_batches >= 8);
    assert_true(sim.n_odd <= sim.n_batches / 4);
    world_close(&w);
}

static void recurrent_prompts_are_computed_in_equal_chunks(void **state) {
    (void)state;
    static const enum warm_state_kind kinds[] = {WARM_STATE_RANGES_SNAPSHOTS, WARM_STATE_SNAPSHOTS};
    for (size_t i = 0; i < 2; i++) {
        world w;
        open_world(&w, world_of_kind(kinds[i], (world_options){.n_slots = N_TOGETHER + 1, .sim = {.n_seq_max = 24}}));
        run_together(&w, false);
        assert_true(sim.n_equal > 2 * sim.n_unequal);
        world_close(&w);
    }
}

static void without_a_stream_batches_are_full(void **state) {
    (void)state;
    world w;
    static int32_t prompt[COLD];
    request r;
    open_world(&w, (world_options){.n_slots = 2, .prefill_slice_ns = MS});
    tokens_fill(prompt, COLD, 1);
    submit(&w, &r, prompt, COLD, 2);
    request_wait(&w, &r);
    end(&w, &r);
    assert_int_equal(sim.n_chunks, (COLD + 511) / 512);
    check_chunks(64, 512);
    world_close(&w);
}

/* Short requests, each a turn of a conversation that is in the cache, that come again as soon as they are answered. */
enum { N_SHORT = 6 };
static struct {
    int32_t prompt[HEAD + TURN];
    request r[N_SHORT];
    size_t n, n_predict, n_done;
    uint64_t since[N_SHORT], slowest_ns;
    uint64_t turn;
    bool seen[N_SHORT];
} shorts;

static void next_short(world *w, size_t i) {
    tokens_fill(shorts.prompt + HEAD, TURN, 1000 + shorts.turn++);
    submit(w, &shorts.r[i], shorts.prompt, HEAD + TURN, (int32_t)shorts.n_predict);
    shorts.since[i] = w->now_ns;
    shorts.seen[i] = false;
}

static void begin_shorts(world *w, size_t n, size_t n_predict) {
    memset(&shorts, 0, sizeof shorts);
    shorts.n = n;
    shorts.n_predict = n_predict;
    tokens_fill(shorts.prompt, HEAD, 1);
    request r;
    submit(w, &r, shorts.prompt, HEAD, 1);
    request_wait(w, &r);
    end(w, &r);
    world_settle(w);
    for (size_t i = 0; i < n; i++) next_short(w, i);
}

static void step_shorts(world *w) {
    warm_sched_step(w->sched);
    for (size_t i = 0; i < shorts.n; i++) {
        request *r = &shorts.r[i];
        if (r->n_got && !shorts.seen[i] && w->now_ns - shorts.since[i] > shorts.slowest_ns)
            shorts.slowest_ns = w->now_ns - shorts.since[i];
        shorts.seen[i] = r->n_got > 0;
        if (!r->ended) continue;
        assert_true(r->t.n_device + r->t.n_ram >= HEAD);
        end(w, r);
        next_short(w, i);
        shorts.n_done++;
    }
}

/* Time until a cold prompt has its first token while they keep coming. */
static uint64_t cold_beside_shorts(world *w) {
    static int32_t prompt[COLD];
    request cold;
    for (int i = 0; i < 20; i++) step_shorts(w);
    shorts.slowest_ns = shorts.n_done = 0;
    uint64_t t0 = w->now_ns;
    tokens_fill(prompt, COLD, 2);
    submit(w, &cold, prompt, COLD, 2);
    while (!cold.n_got) step_shorts(w);
    uint64_t ns = w->now_ns - t0;
    end(w, &cold);
    for (size_t i = 0; i < shorts.n; i++) end(w, &shorts.r[i]);
    return ns;
}

static uint64_t alone(uint64_t step_ns) {
    return COLD * (uint64_t)ROW_NS + (COLD + 511) / 512 * step_ns;
}

static void short_requests_and_a_cold_one_do_not_hold_each_other_up(void **state) {
    (void)state;
    /* that end at once, so that nothing generates in between, and that generate */
    static const size_t n_predict[] = {1, 2, 30};
    for (size_t i = 0; i < 3; i++) {
        world w;
        open_world(&w, (world_options){.n_slots = 4});
        begin_shorts(&w, 3, n_predict[i]);
        uint64_t ns = cold_beside_shorts(&w);
        assert_true(ns <= 2 * alone(0) + 200 * MS);
        assert_true(shorts.n_done >= 3);
        assert_true(shorts.slowest_ns <= 450 * MS); /* without sharing it is the whole of the cold one's */
        world_close(&w);
    }
}

static void slices_leave_a_cold_prompt_half_of_the_time(void **state) {
    (void)state;
    /* a step costs something by itself, as reading the weights does */
    static const uint64_t step_ns[] = {0, 20 * MS, 40 * MS};
    for (size_t i = 0; i < 3; i++) {
        world w;
        open_world(&w, (world_options){.n_slots = 4});
        sim.step_ns = step_ns[i];
        begin_shorts(&w, 3, 100); /* so that some generate all the time */
        uint64_t ns = cold_beside_shorts(&w);
        assert_true(ns <= 2 * alone(step_ns[i]) + 200 * MS);
        world_close(&w);
    }
}

/* As many requests as twice the slots: who comes first is first. */
static void nobody_overtakes_for_ever_in_the_queue(void **state) {
    (void)state;
    world w;
    open_world(&w, (world_options){.n_slots = 2});
    begin_shorts(&w, N_SHORT, 30);
    uint64_t ns = cold_beside_shorts(&w);
    /* The others that were there before it, 30 tokens and a short prompt each, go before it. */
    assert_true(ns <= 2 * alone(0) + N_SHORT * (TURN + 30) * (uint64_t)ROW_NS * 2 + 200 * MS);
    world_close(&w);
}

static void one_that_wants_a_slot_gets_it_before_those_that_came_later(void **state) {
    (void)state;
    world w;
    static int32_t prompt[COLD];
    request wants;
    open_world(&w, (world_options){.n_slots = 2});
    begin_shorts(&w, N_SHORT, 30);
    for (int i = 0; i < 20; i++) step_shorts(&w);
    shorts.n_done = 0;
    tokens_fill(prompt, COLD, 2);
    request_submit(&w, &wants, prompt, COLD, &(request_options){.n_predict = 2, .id_slot = 1, .ignore_eos = true});
    while (!wants.n_events) step_shorts(&w);
    assert_true(shorts.n_done <= 2 * N_SHORT);
    end(&w, &wants);
    for (size_t i = 0; i < shorts.n; i++) end(&w, &shorts.r[i]);
    world_close(&w);
}

/* The context runs full with two streams: one of them has to go, and its state to be saved, beside the other. */
static void what_has_to_go_is_saved_in_slices(void **state) {
    (void)state;
    for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
        world w;
        enum { PROMPT = 900, COPY_NS = 50 * 1000 };
        world_options o = world_of_kind((enum warm_state_kind)k,
                                        (world_options){.sim = {.n_ctx = 2400, .copy_ns = COPY_NS, .snapshot_ns = 64 * COPY_NS},
                                                        .n_slots = 2,
                                                        .slice_ns = 2 * MS});
        open_world(&w, o);
        static int32_t prompt[PROMPT];
        request r[2];
        for (uint64_t i = 0; i < 2; i++) {
            tokens_fill(prompt, PROMPT, 1 + i);
            submit(&w, &r[i], prompt, PROMPT, 700);
        }
        while (r[0].n_got < 3 || r[1].n_got < 3) warm_sched_step(w.sched);
        uint64_t longest = 0;
        bool parked = false;
        while (!r[0].ended && !r[1].ended) {
            uint64_t t0 = w.now_ns;
            warm_sched_step(w.sched);
            if (w.now_ns - t0 > longest) longest = w.now_ns - t0;
            warm_sched_status st;
            assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
            parked |= st.n_parked > 0;
            warm_sched_status_free(&st);
        }
        assert_true(parked || k == WARM_STATE_SNAPSHOTS);
        /* A snapshot of all cells is one piece whatever is done. */
        uint64_t piece = k == WARM_STATE_WHOLE ? (uint64_t)2400 * COPY_NS : 0;
        assert_true(longest <= piece + 12 * MS);
        for (size_t i = 0; i < 2; i++) {
            request_wait(&w, &r[i]);
            end(&w, &r[i]);
        }
        world_close(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_waits_for_one_slice_of_a_prompt),
        cmocka_unit_test(on_a_slow_machine_a_stream_waits_for_the_shortest_chunks),
        cmocka_unit_test(a_stream_whose_own_steps_are_dear_shares_tiles_with_a_prompt),
        cmocka_unit_test(prompts_beside_a_stream_fill_whole_tiles_together),
        cmocka_unit_test(recurrent_prompts_are_computed_in_equal_chunks),
        cmocka_unit_test(without_a_stream_batches_are_full),
        cmocka_unit_test(short_requests_and_a_cold_one_do_not_hold_each_other_up),
        cmocka_unit_test(slices_leave_a_cold_prompt_half_of_the_time),
        cmocka_unit_test(nobody_overtakes_for_ever_in_the_queue),
        cmocka_unit_test(one_that_wants_a_slot_gets_it_before_those_that_came_later),
        cmocka_unit_test(what_has_to_go_is_saved_in_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
