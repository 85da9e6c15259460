/* SPDX-License-Identifier: MIT
 *
 * The thread pool: order, completeness, and what its threads inherit. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/worker.h"

static warm_worker *new_worker(unsigned n_threads) {
    warm_worker *w = NULL;
    warm_err err = {0};
    assert_int_equal(warm_worker_new("a-rather-long-name", n_threads, &w, &err), 0);
    return w;
}

#define N_JOBS 1000
static int order[N_JOBS];
static int n_run;

static void note(void *arg) {
    order[n_run++] = *(int *)arg;
}

static void one_thread_runs_jobs_in_order_and_all_before_it_ends(void **state) {
    (void)state;
    n_run = 0;
    warm_worker *w = new_worker(1);
    int id[N_JOBS];
    for (int i = 0; i < N_JOBS; i++) {
        id[i] = i;
        warm_worker_post(w, note, &id[i]);
    }
    warm_worker_free(w);
    assert_int_equal(n_run, N_JOBS);
    for (int i = 0; i < N_JOBS; i++) assert_int_equal(order[i], i);
}

static atomic_int n_done;

static void count(void *arg) {
    (void)arg;
    atomic_fetch_add(&n_done, 1);
}

static void several_threads_run_every_job_once(void **state) {
    (void)state;
    atomic_store(&n_done, 0);
    warm_worker *w = new_worker(3);
    for (int i = 0; i < 5000; i++) warm_worker_post(w, count, NULL);
    warm_worker_free(w);
    assert_int_equal(atomic_load(&n_done), 5000);
}

static pthread_barrier_t barrier;

static void meet(void *arg) {
    (void)arg;
    pthread_barrier_wait(&barrier);
    atomic_fetch_add(&n_done, 1);
}

/* Each job waits for the other two: with fewer than three threads at work this would never end. */
static void threads_work_at_the_same_time(void **state) {
    (void)state;
    atomic_store(&n_done, 0);
    pthread_barrier_init(&barrier, NULL, 3);
    warm_worker *w = new_worker(3);
    for (int i = 0; i < 3; i++) warm_worker_post(w, meet, NULL);
    warm_worker_free(w);
    pthread_barrier_destroy(&barrier);
    assert_int_equal(atomic_load(&n_done), 3);
}

typedef struct chain {
    warm_worker *w;
    int left;
} chain;

static void post_next(void *arg) {
    chain *c = arg;
    atomic_fetch_add(&n_done, 1);
    if (--c->left) warm_worker_post(c->w, post_next, c);
}

static void jobs_posted_by_jobs_run_also_while_it_ends(void **state) {
    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        atomic_store(&n_done, 0);
        chain c = {new_worker(n), 100};
        warm_worker_post(c.w, post_next, &c);
        warm_worker_free(c.w);
        assert_int_equal(atomic_load(&n_done), 100);
    }
}

static pthread_t ran_on;
static bool blocked;

static void look_around(void *arg) {
    (void)arg;
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGINT) && sigismember(&set, SIGUSR1);
    ran_on = pthread_self();
}

static void threads_take_no_signals_and_the_caller_keeps_its_mask(void **state) {
    (void)state;
    sigset_t before, after;
    sigemptyset(&before);
    sigaddset(&before, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &before, NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    warm_worker *w = new_worker(1);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int sig = 1; sig < SIGRTMIN; sig++) assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
    warm_worker_post(w, look_around, NULL);
    warm_worker_free(w);
    assert_true(blocked);
    assert_false(pthread_equal(ran_on, pthread_self()));
}

static void without_threads_a_job_is_done_when_post_returns(void **state) {
    (void)state;
    warm_worker *w = new_worker(0);
    n_run = 0;
    int id = 7;
    warm_worker_post(w, note, &id);
    assert_int_equal(n_run, 1);
    assert_int_equal(order[0], 7);
    warm_worker_post(w, look_around, NULL);
    assert_true(pthread_equal(ran_on, pthread_self()));
    warm_worker_free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_jobs_in_order_and_all_before_it_ends),
        cmocka_unit_test(several_threads_run_every_job_once),
        cmocka_unit_test(threads_work_at_the_same_time),
        cmocka_unit_test(jobs_posted_by_jobs_run_also_while_it_ends),
        cmocka_unit_test(threads_take_no_signals_and_the_caller_keeps_its_mask),
        cmocka_unit_test(without_threads_a_job_is_done_when_post_returns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
