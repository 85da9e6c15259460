/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_tier.c - the disk below the tree, for every kind of state: what was computed once is not computed again after a restart, or when memory
 * was too small to keep it, and nothing that is wrong is taken up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "sched_world.h"

enum { MANY = 4096, AMPLE = 8 << 20 };

static char folder[64];

static const enum warm_state_kind kinds[] = {WARM_STATE_RANGES, WARM_STATE_WINDOW, WARM_STATE_RANGES_SNAPSHOTS,
                                             WARM_STATE_SNAPSHOTS, WARM_STATE_WHOLE};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static world_options options(enum warm_state_kind kind) {
    return world_of_kind(kind, (world_options){.n_slots = 2, .budget_bytes = AMPLE, .disk_dir = folder});
}

static size_t each_file(void (*f)(const char *path, void *ud), void *ud) {
    DIR *d = opendir(folder);
    size_t n = 0;
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        if (!strstr(e->d_name, ".warm")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n++;
        if (f) f(path, ud);
    }
    closedir(d);
    return n;
}

static void remove_file(const char *path, void *ud) {
    (void)ud;
    assert_int_equal(unlink(path), 0);
}

static int fresh(void **state) {
    (void)state;
    each_file(remove_file, NULL);
    return 0;
}

static size_t next_turn(int32_t *prompt, const request *r, size_t more, uint64_t seed) {
    memcpy(prompt, r->prompt, r->n_prompt * sizeof *prompt);
    memcpy(prompt + r->n_prompt, r->got, r->n_got * sizeof *prompt);
    tokens_fill(prompt + r->n_prompt + r->n_got, more, seed);
    return r->n_prompt + r->n_got + more;
}

static warm_task_timings ask(world *w, const int32_t *prompt, size_t n) {
    request r;
    request_run(w, &r, prompt, n, 5);
    warm_task_timings t = r.t;
    request_free(&r);
    return t;
}

/* A conversation of two turns whose next prompt comes back; the scheduler is still there. */
static size_t talk(world *w, int32_t *prompt, size_t n, uint64_t seed) {
    request r;
    tokens_fill(prompt, n, seed);
    request_run(w, &r, prompt, n, 40);
    size_t next = next_turn(prompt, &r, 30, seed + 1);
    request_free(&r);
    request_run(w, &r, prompt, next, 20);
    next = next_turn(prompt, &r, 30, seed + 2);
    request_free(&r);
    return next;
}

static void a_restart_computes_what_a_live_server_computes(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY];
        fresh(NULL);
        world_open(&w, &o);
        size_t n = talk(&w, prompt, 1000, 1);
        world_close(&w);
        assert_true(each_file(NULL, NULL) > 0);

        world_options without = o;
        without.disk_dir = NULL;
        world_open(&w, &without);
        (void)talk(&w, prompt, 1000, 1);
        size_t live = ask(&w, prompt, n).n_computed;
        world_close(&w);

        world_open(&w, &o);
        warm_task_timings t = ask(&w, prompt, n);
        /* What a live one goes on with at the end of an answer may not be worth a snapshot. */
        assert_true(t.n_computed <= live + 20);
        assert_int_equal(t.n_disk, n - t.n_computed);
        assert_int_equal(t.n_device + t.n_ram, 0);
        warm_cache_check(w.cache);
        world_close(&w);
    }
}

static void what_left_memory_comes_back(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = {.n_slots = 2, .disk_dir = folder};
        enum { TALKS = 8 };
        static int32_t prompt[TALKS][MANY];
        size_t n[TALKS], sum = 0, computed = 0, from_disk = 0;
        o.sim.n_ctx = 2048;
        o.sim.unit_bytes = 256;
        o.sim.snapshot_bytes = kinds[k] == WARM_STATE_SNAPSHOTS ? 32 << 10 : 0;
        o.budget_bytes = kinds[k] == WARM_STATE_WHOLE ? 2 << 20 : kinds[k] == WARM_STATE_SNAPSHOTS ? 400 << 10 : 1 << 20;
        o = world_of_kind(kinds[k], o);
        fresh(NULL);
        world_open(&w, &o);
        for (size_t i = 0; i < TALKS; i++) {
            n[i] = talk(&w, prompt[i], 800, 100 * i);
            world_settle(&w);
            w.now_ns += 3000000000u;
            world_settle(&w);
        }
        for (size_t i = 0; i < TALKS; i++) {
            warm_task_timings t = ask(&w, prompt[i], n[i]);
            warm_cache_check(w.cache);
            sum += n[i];
            computed += t.n_computed;
            from_disk += t.n_disk;
        }
        print_message("%s: %zu units, %zu from disk, %zu computed\n", warm_state_kind_name(kinds[k]), sum, from_disk, computed);
        assert_true(from_disk > sum / 2);
        assert_true(computed < sum / 5);
        warm_cache_stats st;
        warm_cache_stats_get(w.cache, &st);
        assert_true(st.budget_peak_bytes <= o.budget_bytes);
        world_close(&w);
    }
}

static void flip(const char *path, void *ud) {
    warm_rng *rng = ud;
    struct stat st;
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    long at = (long)warm_rng_below(rng, (uint64_t)st.st_size);
    fseek(f, at, SEEK_SET);
    int ch = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(ch ^ 4, f);
    fclose(f);
}

static void nothing_damaged_is_taken_up(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (uint64_t seed = 0; seed < 4; seed++) {
            world w;
            world_options o = options(kinds[k]);
            int32_t prompt[MANY];
            warm_rng rng = {seed * 17 + 3};
            fresh(NULL);
            world_open(&w, &o);
            size_t n = talk(&w, prompt, 1000, 1);
            world_close(&w);
            each_file(flip, &rng);
            world_open(&w, &o);
            /* Its answer is compared with the right one, and world_close asserts that nothing was computed on wrong state. */
            assert_int_equal(ask(&w, prompt, n).n_computed, n);
            warm_cache_check(w.cache);
            world_close(&w);
        }
    }
}

static void another_model_another_backend_and_another_salt_find_nothing(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY];
    request r;
    o.backend = "this one";
    world_open(&w, &o);
    size_t n = talk(&w, prompt, 700, 5);
    world_close(&w);

    o.backend = "that one";
    world_open(&w, &o);
    assert_int_equal(ask(&w, prompt, n).n_disk, 0);
    world_close(&w);
    fresh(NULL);
    o.backend = NULL;
    world_open(&w, &o);
    n = talk(&w, prompt, 700, 5);
    world_close(&w);
    world_open(&w, &o);
    request_submit(&w, &r, prompt, n, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true, .salt = "theirs"});
    request_wait(&w, &r);
    assert_int_equal(r.t.n_disk, 0);
    request_free(&r);
    assert_true(ask(&w, prompt, n).n_disk > 700);
    world_close(&w);
    o.sim.unit_bytes = 96;
    world_open(&w, &o);
    assert_int_equal(ask(&w, prompt, n).n_disk, 0);
    world_close(&w);
}

static void who_only_reads_shares_and_writes_nothing(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY], other[MANY];
    world_open(&w, &o);
    size_t n = talk(&w, prompt, 700, 5);
    world_close(&w);
    size_t files = each_file(NULL, NULL);
    o.disk_read_only = true;
    world_open(&w, &o);
    assert_true(ask(&w, prompt, n).n_disk > 700);
    (void)talk(&w, other, 600, 9);
    world_close(&w);
    assert_int_equal(each_file(NULL, NULL), files);
}

static void a_request_that_is_cancelled_while_it_waits_leaves_nothing_behind(void **state) {
    (void)state;
    for (unsigned threads = 0; threads < 3; threads += 2) {
        for (int steps = 0; steps < 6; steps++) {
            world w;
            world_options o = options(WARM_STATE_WINDOW);
            int32_t prompt[MANY];
            request r;
            fresh(NULL);
            o.n_threads = threads;
            world_open(&w, &o);
            size_t n = talk(&w, prompt, 1500, 5);
            world_close(&w);
            world_open(&w, &o);
            request_submit(&w, &r, prompt, n, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
            for (int i = 0; i < steps; i++) (void)warm_sched_step(w.sched);
            warm_sched_cancel(w.sched, r.id);
            request_wait(&w, &r);
            request_free(&r);
            warm_cache_check(w.cache);
            /* The next one is not held up by what the other one had under way. */
            assert_true(ask(&w, prompt, n).n_computed < 300);
            world_close(&w);
        }
    }
}

static void two_requests_at_once_read_the_same_blocks_once(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        world w;
        world_options o = options(kinds[k]);
        int32_t prompt[MANY], other[MANY];
        request a, b;
        fresh(NULL);
        world_open(&w, &o);
        size_t n = talk(&w, prompt, 1000, 5);
        world_close(&w);
        memcpy(other, prompt, sizeof other);
        other[n - 1] = prompt[n - 1] % 255 + 1;
        world_open(&w, &o);
        const request_options ro = {.n_predict = 5, .id_slot = -1, .ignore_eos = true};
        request_submit(&w, &a, prompt, n, &ro);
        request_submit(&w, &b, other, n, &ro);
        request_wait(&w, &a);
        request_wait(&w, &b);
        request_check(&w, &a);
        request_check(&w, &b);
        request_free(&a);
        request_free(&b);
        warm_sched_status st;
        assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
        assert_true(st.disk.n_read <= each_file(NULL, NULL));
        warm_sched_status_free(&st);
        world_close(&w);
    }
}

static void written_files_stay_below_the_limit(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY];
    o.disk_bytes = 300 << 10;
    world_open(&w, &o);
    for (uint64_t i = 0; i < 6; i++) (void)talk(&w, prompt, 900, 100 * i);
    world_settle(&w);
    warm_sched_status st;
    assert_int_equal(warm_sched_status_get(w.sched, &st), 0);
    assert_true(st.disk.used_bytes <= o.disk_bytes && st.disk.n_evicted > 0 && st.disk.written_bytes > o.disk_bytes);
    warm_sched_status_free(&st);
    world_close(&w);
}

static void hang(void *ud) {
    atomic_bool *released = ud;
    while (!atomic_load(released)) continue;
}

static void a_disk_that_hangs_holds_nobody_up_for_long(void **state) {
    (void)state;
    world w;
    world_options o = options(WARM_STATE_RANGES);
    int32_t prompt[MANY], other[MANY];
    atomic_bool released = false;
    request r;
    world_open(&w, &o);
    size_t n = talk(&w, prompt, 1000, 5);
    world_close(&w);
    o.reader_thread = true;
    world_open(&w, &o);
    tokens_fill(other, 600, 77);
    request_run(&w, &r, other, 600, 5); /* what computing costs is known now */
    request_free(&r);
    warm_worker_post(w.disk_readers, hang, &released);
    uint64_t begin = w.now_ns;
    request_submit(&w, &r, prompt, n, &(request_options){.n_predict = 5, .id_slot = -1, .ignore_eos = true});
    while (!r.ended) {
        (void)warm_sched_step(w.sched);
        w.now_ns += 1000000;
    }
    request_check(&w, &r);
    assert_int_equal(r.t.n_computed, n);
    /* Twice what computing takes, 300 us each, and a little. */
    assert_true(w.now_ns - begin < 2 * n * 300000 + 200000000);
    request_free(&r);
    atomic_store(&released, true);
    world_close(&w);
}

/* Talks that go on in turns, restarts, little memory, threads: whatever happens, each answer is the right one. */
static void any_order_of_talks_and_restarts(void **state) {
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        for (uint64_t seed = 0; seed < 6; seed++) {
            enum { TALKS = 4 };
            static int32_t prompt[TALKS][MANY];
            size_t n[TALKS] = {0};
            warm_rng rng = {seed * 31 + k};
            world_options o = options(kinds[k]);
            o.n_threads = seed % 3 == 2 ? 2 : 0;
            o.sim.n_ctx = 2048;
            o.budget_bytes = (256u << 10) << warm_rng_below(&rng, 3);
            o.slice_ns = seed % 2 ? 1 : 100000000;
            fresh(NULL);
            for (int life = 0; life < 3; life++) {
                world w;
                world_open(&w, &o);
                for (int i = 0; i < 10; i++) {
                    size_t t = warm_rng_below(&rng, TALKS);
                    if (n[t] < 100 || n[t] > 1400) {
                        n[t] = 200 + warm_rng_below(&rng, 700);
                        tokens_fill(prompt[t], n[t], t % 2 ? seed : warm_rng_next(&rng));
                    }
                    request r;
                    request_run(&w, &r, prompt[t], n[t], (int32_t)warm_rng_below(&rng, 60) + 1);
                    n[t] = next_turn(prompt[t], &r, 1 + warm_rng_below(&rng, 200), warm_rng_next(&rng));
                    request_free(&r);
                    if (!o.n_threads && warm_rng_below(&rng, 2)) w.now_ns += 3000000000u;
                    if (!o.n_threads && warm_rng_below(&rng, 2)) world_settle(&w);
                    warm_cache_check(w.cache);
                }
                world_close(&w);
            }
        }
    }
}

int main(void) {
    snprintf(folder, sizeof folder, "/tmp/warm-tier-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_restart_computes_what_a_live_server_computes, fresh),
        cmocka_unit_test_setup(what_left_memory_comes_back, fresh),
        cmocka_unit_test_setup(nothing_damaged_is_taken_up, fresh),
        cmocka_unit_test_setup(another_model_another_backend_and_another_salt_find_nothing, fresh),
        cmocka_unit_test_setup(who_only_reads_shares_and_writes_nothing, fresh),
        cmocka_unit_test_setup(a_request_that_is_cancelled_while_it_waits_leaves_nothing_behind, fresh),
        cmocka_unit_test_setup(two_requests_at_once_read_the_same_blocks_once, fresh),
        cmocka_unit_test_setup(written_files_stay_below_the_limit, fresh),
        cmocka_unit_test_setup(a_disk_that_hangs_holds_nobody_up_for_long, fresh),
        cmocka_unit_test_setup(any_order_of_talks_and_restarts, fresh),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    fresh(NULL);
    char lock[96];
    snprintf(lock, sizeof lock, "%s/" WARM_DISK_LOCK, folder);
    (void)unlink(lock);
    (void)rmdir(folder);
    return rc;
}
