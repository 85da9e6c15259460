/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_engine_kv_io.c - pieces of state between the simulated engine and the cache, at rates that the test's clock makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kv_io.h"
#include "sim/sim.h"

enum { MANY = 1024 };
static const uint64_t slow_step_ns = 10000000;

typedef struct rig {
    warm_engine *engine;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_worker *worker;
    warm_clock clock;
    uint64_t now_ns, step_ns; /* every call of the engine takes one step */
    warm_kv *kv;
    warm_scope *scope;
} rig;

static uint64_t rig_now(void *ud) {
    rig *r = ud;
    return r->now_ns += r->step_ns;
}

static void no_wake(void *ud) {
    (void)ud;
}

static void rig_open(rig *r) {
    memset(r, 0, sizeof *r);
    r->clock = (warm_clock){rig_now, r};
    r->step_ns = slow_step_ns;
    assert_int_equal(warm_sim_open(&(warm_sim_options){.n_ctx = 4096}, &r->engine), 0);
    assert_int_equal(warm_worker_new("test", 0, &r->worker, NULL), 0);
    warm_budget_init(&r->budget, 8 << 20);
    assert_int_equal(warm_store_ram_open(&r->budget, 0, &r->store, NULL), 0);
    assert_int_equal(warm_cache_new(&(warm_cache_options){.store = r->store, .budget = &r->budget}, &r->cache, NULL), 0);
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope_fingerprint("sim", NULL, NULL, fingerprint);
    assert_int_equal(warm_cache_scope(r->cache, fingerprint, &r->scope), 0);
    r->kv = warm_kv_new(&(warm_kv_options){
        .engine = r->engine, .cache = r->cache, .worker = r->worker, .clock = &r->clock, .slice_ns = 2000000, .wake = no_wake});
}

static void rig_close(rig *r) {
    warm_kv_free(r->kv);
    warm_cache_check(r->cache);
    warm_cache_free(r->cache);
    r->store->ops->close(r->store);
    warm_worker_free(r->worker);
    r->engine->ops->close(r->engine);
}

/* A prompt whose first n units are in the context. */
typedef struct prompt {
    int32_t seq;
    size_t n;
    warm_unit units[MANY];
    warm_path path;
} prompt;

static void prompt_grow(rig *r, prompt *p, size_t n) {
    for (; p->n < n; p->n++) {
        int32_t token = 1 + (int32_t)((p->n * 7 + (size_t)p->seq * 31) % 250), at = (int32_t)p->n;
        p->units[p->n] = (warm_unit)token;
        uint8_t want = 0;
        warm_batch b = {.n = 1, .token = &token, .pos = &at, .seq = &p->seq, .want = &want};
        assert_int_equal(r->engine->ops->decode(r->engine, &b, NULL), 0);
    }
}

static void prompt_open(rig *r, prompt *p, int32_t seq, size_t n) {
    p->seq = seq;
    p->n = 0;
    prompt_grow(r, p, n);
    warm_cache_lookup(r->cache, r->scope, p->units, n, &p->path);
}

/* Saves whole pieces only while there are some. */
static void save_whole(rig *r, prompt *p) {
    int rc;
    while ((rc = warm_kv_save(r->kv, p->seq, &p->path, p->units, p->n, true)) > 0) continue;
    assert_int_equal(rc, 0);
    warm_kv_poll(r->kv);
}

/* Saves so much that pieces begun from now on have this many units. */
static void make_pieces(rig *r, prompt *p, size_t units) {
    r->step_ns = units == WARM_PIECE_MIN ? slow_step_ns : 1;
    for (size_t n = p->n + 256; warm_kv_piece_units(r->kv) != units; n += 256) {
        assert_true(n < MANY);
        prompt_grow(r, p, n);
        save_whole(r, p);
    }
}

static void a_piece_is_whole_by_the_size_of_its_own_block(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    prompt p, other;
    prompt_open(&r, &other, 1, 0);
    make_pieces(&r, &other, WARM_PIECE_MIN);
    prompt_open(&r, &p, 0, 40);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 32);
    make_pieces(&r, &other, WARM_BLOCK_UNITS);
    prompt_grow(&r, &p, 70);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 64);
    warm_path_release(r.cache, &p.path);
    warm_path_release(r.cache, &other.path);
    rig_close(&r);
}

static void a_short_piece_is_left_until_it_is_whole(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    prompt p, other;
    prompt_open(&r, &p, 0, 100);
    assert_int_equal(warm_kv_piece_units(r.kv), WARM_BLOCK_UNITS);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 0);
    /* what is left at the end of a turn is saved as it is, and a later turn goes on there */
    assert_int_equal(warm_kv_save(r.kv, 0, &p.path, p.units, p.n, false), 1);
    assert_int_equal(p.path.n_units, 100);
    prompt_open(&r, &other, 1, 0);
    make_pieces(&r, &other, WARM_PIECE_MIN);
    prompt_grow(&r, &p, 200);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 100);
    prompt_grow(&r, &p, 260);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 256);
    warm_path_release(r.cache, &p.path);
    warm_path_release(r.cache, &other.path);
    rig_close(&r);
}

static void before_the_first_load_pieces_are_sized_by_what_saves_take(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    warm_kv_free(r.kv);
    r.kv = warm_kv_new(&(warm_kv_options){
        .engine = r.engine, .cache = r.cache, .worker = r.worker, .clock = &r.clock, .slice_ns = 8000, .wake = no_wake});
    prompt p;
    prompt_open(&r, &p, 0, 256);
    size_t assumed = warm_kv_piece_units(r.kv);
    assert_in_range(assumed, WARM_PIECE_MIN + 1, WARM_BLOCK_UNITS - 1);
    r.step_ns = 1;
    save_whole(&r, &p);
    assert_int_equal(warm_kv_piece_units(r.kv), WARM_BLOCK_UNITS);
    warm_path_release(r.cache, &p.path);
    rig_close(&r);
}

static int load_corrupt(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                        warm_err *err) {
    (void)e, (void)seq, (void)src, (void)bytes, (void)first, (void)n, (void)p0, (void)p1;
    return warm_err_set(err, WARM_ECORRUPT, "not a state of these units");
}

static void a_state_that_the_engine_calls_damaged_is_quarantined(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    prompt p;
    prompt_open(&r, &p, 0, 600);
    save_whole(&r, &p);
    assert_int_equal(p.path.n_units, 592);
    const warm_engine_ops *real = r.engine->ops;
    warm_engine_ops ops = *real;
    ops.state_load = load_corrupt;
    r.engine->ops = &ops;
    warm_resume goal;
    size_t n;
    assert_int_equal(warm_cache_resume(r.cache, &p.path, &goal), 0);
    warm_kv_load *l = warm_kv_load_begin(r.kv, 1, &goal, 0, true);
    warm_kv_poll(r.kv);
    assert_int_equal(warm_kv_load_next(r.kv, l, &n), WARM_ECORRUPT);
    warm_kv_load_end(r.kv, l);
    assert_int_equal(warm_cache_match(r.cache, r.scope, p.units, 600), 0);
    r.engine->ops = real;
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_is_whole_by_the_size_of_its_own_block),
        cmocka_unit_test(a_short_piece_is_left_until_it_is_whole),
        cmocka_unit_test(before_the_first_load_pieces_are_sized_by_what_saves_take),
        cmocka_unit_test(a_state_that_the_engine_calls_damaged_is_quarantined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
