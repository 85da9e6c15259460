/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_http_stream.c - answers that take their time: streams, clients that leave, slow readers, other threads, the end.
 *
 * A handler holds its request; the test acts on it with functions posted to the loop. */
#include "unit/http_fixture.h"

#include <fcntl.h>
#include <signal.h>

static void on_closed(void *ud) {
    server *s = ud;
    s->held = NULL;
    atomic_fetch_add(&s->closes, 1);
    sem_post(&s->event);
}

static void hold(warm_http_request *r, void *ud) {
    server *s = ud;
    s->held = r;
    atomic_fetch_add(&s->calls, 1);
    warm_http_on_close(r, on_closed, s);
    sem_post(&s->event);
}

static void hold_stream(warm_http_request *r, void *ud) {
    warm_http_stream_begin(r, 200, "text/event-stream");
    hold(r, ud);
}

static void health(warm_http_request *r, void *ud) {
    (void)ud;
    warm_http_reply(r, 200, "text/plain", "ok", 2);
}

enum { BIG = 24 << 20 };

static void big(warm_http_request *r, void *ud) {
    (void)ud;
    char *block = calloc(1, BIG);
    warm_http_reply(r, 200, "application/octet-stream", block, BIG);
    free(block);
}

static void start(server *s, warm_http_options o) {
    server_new(s, o);
    warm_http_route(s->http, "GET", "/hold", 0, hold, s);
    warm_http_route(s->http, "POST", "/hold", 0, hold, s);
    warm_http_route(s->http, "GET", "/stream", 0, hold_stream, s);
    warm_http_route(s->http, "GET", "/health", 0, health, s);
    warm_http_route(s->http, "GET", "/big", 0, big, s);
    server_run(s);
}

static int setup(void **state) {
    server *s = malloc(sizeof *s);
    start(s, (warm_http_options){.max_queued_bytes = 256 << 10});
    *state = s;
    return 0;
}

static int teardown(void **state) {
    server_stop(*state);
    free(*state);
    return 0;
}

/* Runs fn(s) on the loop and waits until it has. */
typedef struct job {
    server *s;
    void (*fn)(server *s);
    sem_t done;
} job;

static void run_job(void *arg) {
    job *j = arg;
    j->fn(j->s);
    sem_post(&j->done);
}

static void on_loop(server *s, void (*fn)(server *s)) {
    job j = {.s = s, .fn = fn};
    sem_init(&j.done, 0, 0);
    assert_int_equal(warm_http_post(s->http, run_job, &j), 0);
    while (sem_wait(&j.done) != 0) {
    }
    sem_destroy(&j.done);
}

static void nothing(server *s) {
    (void)s;
}

static int ask(server *s, const char *path, const char *version) {
    int fd = client_connect(s);
    char request[128];
    snprintf(request, sizeof request, "GET %s HTTP/%s\r\n\r\n", path, version);
    client_send(fd, request);
    server_wait(s);
    return fd;
}

static void write_hello(server *s) {
    warm_http_stream_write(s->held, "hel", 3);
    warm_http_stream_write(s->held, "", 0); /* an empty chunk would end the stream */
    warm_http_stream_write(s->held, "lo\r\n", 4);
}

static void end_stream(server *s) {
    warm_http_stream_end(s->held);
}

static void reply_late(server *s) {
    warm_http_reply(s->held, 200, "text/plain", "late", 4);
}

/* Streams */

static void a_stream_is_written_as_it_is_made(void **state) {
    server *s = *state;
    int fd = ask(s, "/stream", "1.1");
    answer a;
    answer_read_head(fd, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(answer_header(&a, "Transfer-Encoding"), "chunked");
    assert_string_equal(answer_header(&a, "Content-Type"), "text/event-stream");
    bool last = false;
    for (int i = 1; i <= 3; i++) {
        on_loop(s, write_hello);
        while (a.body_len < (size_t)i * 7) assert_true(read_chunk(fd, &a, &last) && !last);
    }
    assert_string_equal(a.body, "hello\r\nhello\r\nhello\r\n");
    on_loop(s, end_stream);
    assert_true(read_chunk(fd, &a, &last) && last);
    client_send(fd, "GET /health HTTP/1.1\r\n\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    close(fd);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->closes), 0);
}

static void an_empty_stream_is_complete(void **state) {
    server *s = *state;
    for (int i = 0; i < 2; i++) {
        int fd = ask(s, "/stream", i ? "1.0" : "1.1");
        answer a;
        if (i) answer_read_head(fd, &a); /* all is written now: evhttp ends the request inside the call */
        on_loop(s, end_stream);
        char rest[8];
        if (i) assert_int_equal(client_read(fd, rest, sizeof rest), 0);
        if (!i) answer_read(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_len, 0);
        close(fd);
    }
    assert_int_equal(atomic_load(&s->closes), 0);
}

static void http_1_0_gets_a_stream_that_ends_with_the_connection(void **state) {
    server *s = *state;
    static const char *const versions[] = {"1.0", "1.0\r\nConnection: keep-alive"};
    for (size_t i = 0; i < 2; i++) {
        int fd = ask(s, "/stream", versions[i]);
        on_loop(s, write_hello);
        on_loop(s, write_hello);
        on_loop(s, end_stream);
        answer a;
        answer_read(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_null(answer_header(&a, "Transfer-Encoding"));
        assert_null(answer_header(&a, "Content-Length"));
        assert_string_equal(answer_header(&a, "Connection"), "close");
        assert_string_equal(a.body, "hello\r\nhello\r\n");
        close(fd);
    }
    assert_int_equal(atomic_load(&s->closes), 0);
}

static void head_of_a_stream_has_no_body(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "HEAD /stream HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
    server_wait(s);
    on_loop(s, write_hello);
    on_loop(s, end_stream);
    answer a;
    answer_read(fd, &a, true);
    assert_int_equal(a.status, 200);
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    close(fd);
}

static void requests_sent_ahead_wait_for_the_stream(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "GET /stream HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\nGET /hold HTTP/1.1\r\n\r\n");
    server_wait(s);
    on_loop(s, write_hello);
    on_loop(s, end_stream);
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "hello\r\n");
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    server_wait(s);
    on_loop(s, reply_late);
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "late");
    close(fd);
    assert_int_equal(atomic_load(&s->closes), 0);
}

/* Slow readers */

static void write_much(server *s) {
    static char block[64 << 10];
    if (s->held) warm_http_stream_write(s->held, block, sizeof block);
}

static void a_client_that_does_not_read_is_cut_off(void **state) {
    server *s = *state;
    int fd = ask(s, "/stream", "1.1");
    /* the kernel takes some megabytes before anything queues up here */
    for (int i = 0; i < 4096 && atomic_load(&s->closes) == 0; i++) on_loop(s, write_much);
    assert_int_equal(atomic_load(&s->closes), 1);
    answer a;
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_false(a.complete);
    close(fd);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->closes), 1);
}

static void write_until_cut_and_end(server *s) {
    for (int i = 0; i < 64; i++) write_much(s); /* nothing is written before the loop turns: this is past the limit */
    assert_non_null(s->held);                   /* on_close must not come from inside a write */
    warm_http_stream_end(s->held);
    s->held = NULL;
}

static void a_stream_that_ends_after_it_was_cut_is_not_made_to_look_complete(void **state) {
    server *s = *state;
    int fd = ask(s, "/stream", "1.1");
    on_loop(s, write_until_cut_and_end);
    answer a;
    answer_read(fd, &a, false);
    assert_false(a.complete);
    close(fd);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->closes), 0);
}

static void write_one_large(server *s) {
    size_t n = 8 << 20;
    char *block = calloc(1, n);
    warm_http_stream_write(s->held, block, n);
    free(block);
    warm_http_stream_end(s->held);
}

static void one_large_write_alone_is_no_reason_to_cut(void **state) {
    server *s = *state;
    int fd = ask(s, "/stream", "1.1");
    on_loop(s, write_one_large);
    answer a;
    answer_read(fd, &a, false);
    assert_true(a.complete);
    assert_int_equal(a.body_len, 8 << 20);
    close(fd);
}

static void a_client_that_never_reads_falls_to_the_timeout(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){.timeout_s = 1, .max_queued_bytes = 1 << 30});
    int fd = ask(&s, "/stream", "1.1");
    for (int i = 0; i < 512; i++) on_loop(&s, write_much);
    server_wait(&s);
    assert_int_equal(atomic_load(&s.closes), 1);
    close(fd);
    server_stop(&s);
}

static void a_long_wait_for_the_answer_is_not_the_clients_fault(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){.timeout_s = 1});
    int fd = ask(&s, "/hold", "1.1");
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 1500), 0);
    on_loop(&s, reply_late);
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "late");
    close(fd);
    server_stop(&s);
    assert_int_equal(atomic_load(&s.closes), 0);
}

/* Clients that leave */

static void leave(int fd, bool reset) {
    struct linger now = {.l_onoff = 1};
    if (reset) setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

static void check_left_once(server *s, int closes) {
    server_wait(s);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->closes), closes);
    assert_int_equal(sem_trywait(&s->event), -1);
}

static void a_client_that_leaves_before_the_first_byte_is_noticed(void **state) {
    server *s = *state;
    for (int i = 0; i < 4; i++) {
        leave(ask(s, i & 2 ? "/hold" : "/stream", "1.1"), i & 1);
        check_left_once(s, i + 1);
    }
}

static void a_client_that_leaves_in_mid_stream_is_noticed(void **state) {
    server *s = *state;
    for (int i = 0; i < 4; i++) {
        int fd = ask(s, "/stream", i & 2 ? "1.0" : "1.1");
        answer a;
        answer_read_head(fd, &a);
        on_loop(s, write_hello);
        char some[4];
        assert_true(client_read(fd, some, sizeof some) > 0);
        leave(fd, i & 1);
        check_left_once(s, i + 1);
    }
}

static void a_client_that_leaves_behind_other_requests_is_noticed(void **state) {
    server *s = *state;
    int fd = client_connect(s);
    client_send(fd, "POST /hold HTTP/1.1\r\nContent-Length: 1\r\n\r\nxGET /hold HTTP/1.1\r\n\r\nGET /ho");
    server_wait(s);
    close(fd);
    check_left_once(s, 1);
    assert_int_equal(atomic_load(&s->calls), 1);
}

static void many_clients_leave_at_once(void **state) {
    server *s = *state;
    enum { N = 64 };
    int fds[N];
    for (int i = 0; i < N; i++) fds[i] = ask(s, i % 2 ? "/hold" : "/stream", "1.1");
    for (int i = 0; i < N; i++) leave(fds[i], i % 3 == 0);
    for (int i = 0; i < N; i++) server_wait(s);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->closes), N);
}

static void a_client_that_leaves_before_its_request_is_complete_troubles_nobody(void **state) {
    server *s = *state;
    static const char *const parts[] = {"", "G", "GET /hold HTTP/1.1\r\n", "POST /hold HTTP/1.1\r\nContent-Length: 9\r\n\r\nab",
                                        "POST /hold HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"};
    for (size_t i = 0; i < 10; i++) {
        int fd = client_connect(s);
        client_send(fd, parts[i / 2]);
        leave(fd, i % 2);
    }
    int fd = client_connect(s);
    client_send(fd, "GET /health HTTP/1.1\r\n\r\n");
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "ok");
    close(fd);
    assert_int_equal(atomic_load(&s->calls), 0);
}

static void a_client_that_leaves_after_its_answer_is_not_told(void **state) {
    server *s = *state;
    int fd = ask(s, "/hold", "1.1");
    on_loop(s, reply_late);
    close(fd); /* read or not */
    fd = ask(s, "/hold", "1.1");
    close(fd);
    check_left_once(s, 1);
}

static void a_client_that_has_closed_its_sending_side_gets_all_of_an_answer(void **state) {
    server *s = *state;
    for (int stream = 0; stream < 2; stream++) {
        int fd = client_connect(s);
        client_send(fd, stream ? "GET /stream HTTP/1.1\r\n\r\n" : "GET /big HTTP/1.1\r\n\r\n");
        if (stream) server_wait(s);
        if (stream) on_loop(s, write_one_large); /* and the end */
        shutdown(fd, SHUT_WR);
        answer a;
        answer_read(fd, &a, false);
        assert_int_equal(a.status, 200);
        assert_true(a.complete);
        assert_int_equal(a.body_len, stream ? 8 << 20 : BIG);
        close(fd);
    }
    assert_int_equal(atomic_load(&s->closes), 0);
}

static void what_a_client_sends_ahead_is_bounded(void **state) {
    server *s = *state;
    int fd = ask(s, "/hold", "1.1");
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    static char block[1 << 20];
    size_t sent = 0;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    while (sent < (size_t)256 << 20 && poll(&p, 1, 300) > 0) {
        ssize_t n = send(fd, block, sizeof block, MSG_NOSIGNAL);
        if (n < 0) break;
        sent += (size_t)n;
    }
    assert_true(sent < (size_t)256 << 20);
    on_loop(s, reply_late);
    answer a;
    answer_read(fd, &a, false);
    assert_string_equal(a.body, "late");
    close(fd);
}

/* Other threads */

enum { N_THREADS = 4, N_POSTS = 2000 };

typedef struct poster {
    server *s;
    int next;     /* of this thread's posts, which the loop must see next */
    int accepted; /* by warm_http_post */
    atomic_int ran;
    bool in_order;
    pthread_t thread;
} poster;

typedef struct posted {
    poster *by;
    int nth;
} posted;

static void run_posted(void *arg) {
    posted *p = arg;
    p->by->in_order = p->by->in_order && p->by->next == p->nth;
    p->by->next++;
    atomic_fetch_add(&p->by->ran, 1);
    free(p);
}

static void *post_many(void *arg) {
    poster *me = arg;
    for (int i = 0; i < N_POSTS; i++) {
        posted *p = malloc(sizeof *p);
        *p = (posted){me, i};
        if (warm_http_post(me->s->http, run_posted, p) == 0) {
            me->accepted++;
        } else {
            free(p);
        }
    }
    return NULL;
}

static void start_posters(server *s, poster posters[N_THREADS]) {
    for (int i = 0; i < N_THREADS; i++) {
        posters[i] = (poster){.s = s, .in_order = true};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
}

static void posts_of_several_threads_run_in_the_order_of_each(void **state) {
    server *s = *state;
    poster posters[N_THREADS];
    start_posters(s, posters);
    for (int i = 0; i < N_THREADS; i++) pthread_join(posters[i].thread, NULL);
    on_loop(s, nothing); /* posted last */
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(posters[i].accepted, N_POSTS);
        assert_int_equal(atomic_load(&posters[i].ran), N_POSTS);
        assert_true(posters[i].in_order);
    }
}

static void a_post_that_was_accepted_before_the_end_is_run(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        server s;
        start(&s, (warm_http_options){0});
        poster posters[N_THREADS];
        start_posters(&s, posters);
        warm_http_stop(s.http);
        pthread_join(s.thread, NULL);
        for (int i = 0; i < N_THREADS; i++) pthread_join(posters[i].thread, NULL);
        for (int i = 0; i < N_THREADS; i++) {
            assert_int_equal(atomic_load(&posters[i].ran), posters[i].accepted);
            assert_true(posters[i].in_order);
        }
        assert_int_equal(warm_http_post(s.http, run_posted, NULL), WARM_ECLOSED);
        warm_http_free(s.http);
        sem_destroy(&s.event);
    }
}

static void post_again(void *arg) {
    server *s = arg;
    if (atomic_fetch_add(&s->calls, 1) < 9) assert_int_equal(warm_http_post(s->http, post_again, s), 0);
    if (atomic_load(&s->calls) == 10) sem_post(&s->event);
}

static void the_loop_may_post_to_itself(void **state) {
    server *s = *state;
    assert_int_equal(warm_http_post(s->http, post_again, s), 0);
    server_wait(s);
    assert_int_equal(atomic_load(&s->calls), 10);
}

static void count_call(void *arg) {
    server *s = arg;
    atomic_fetch_add(&s->calls, 1);
}

static void posts_before_the_loop_are_run_with_and_without_it(void **state) {
    (void)state;
    for (int run = 0; run < 2; run++) {
        server s;
        server_new(&s, (warm_http_options){0});
        assert_int_equal(warm_http_post(s.http, count_call, &s), 0);
        warm_http_stop(s.http); /* before run: it returns at once */
        if (run) warm_http_run(s.http);
        if (run) assert_int_equal(atomic_load(&s.calls), 1);
        warm_http_free(s.http);
        assert_int_equal(atomic_load(&s.calls), 1);
        sem_destroy(&s.event);
    }
}

/* Timers */

static warm_http_timer *timer;
static struct timespec timer_begun;

static void on_timer(void *ud) {
    server *s = ud;
    if (atomic_fetch_add(&s->calls, 1) == 0) {
        warm_http_timer_arm(timer, 1); /* it fires once: a second time only because of this */
    } else {
        warm_http_timer_free(timer);
        timer = NULL;
        sem_post(&s->event);
    }
}

static void arm_timer(server *s) {
    timer = warm_http_timer_new(s->http, on_timer, s);
    assert_non_null(timer);
    clock_gettime(CLOCK_MONOTONIC, &timer_begun);
    warm_http_timer_arm(timer, 3600 * 1000);
    warm_http_timer_arm(timer, 20);
}

static void a_timer_fires_once_for_each_time_it_is_armed(void **state) {
    server *s = *state;
    on_loop(s, arm_timer);
    server_wait(s);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    assert_true((now.tv_sec - timer_begun.tv_sec) * 1000 + (now.tv_nsec - timer_begun.tv_nsec) / 1000000 >= 15);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->calls), 2);
    warm_http_timer_free(NULL);
}

static void arm_and_free_timer(server *s) {
    timer = warm_http_timer_new(s->http, on_timer, s);
    warm_http_timer_arm(timer, 0);
    warm_http_timer_free(timer);
}

static void a_timer_that_was_freed_does_not_fire(void **state) {
    server *s = *state;
    on_loop(s, arm_and_free_timer);
    int fd = client_connect(s);
    client_send(fd, "GET /health HTTP/1.1\r\n\r\n"); /* the loop has turned when the answer is here */
    answer a;
    answer_read(fd, &a, false);
    close(fd);
    on_loop(s, nothing);
    assert_int_equal(atomic_load(&s->calls), 0);
}

/* The end */

static void handle_pipe(int number) {
    (void)number;
}

static void sigpipe_is_ignored_unless_the_program_handles_it(void **state) {
    (void)state;
    struct sigaction before, now;
    sigaction(SIGPIPE, NULL, &before);
    void (*const handlers[])(int) = {SIG_DFL, handle_pipe};
    void (*const wanted[])(int) = {SIG_IGN, handle_pipe};
    for (size_t i = 0; i < 2; i++) {
        signal(SIGPIPE, handlers[i]);
        server s;
        server_new(&s, (warm_http_options){0});
        sigaction(SIGPIPE, NULL, &now);
        assert_true(now.sa_handler == wanted[i]);
        warm_http_free(s.http);
        sem_destroy(&s.event);
    }
    sigaction(SIGPIPE, &before, NULL);
}

static void stop_closes_what_is_open(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){0});
    int idle = client_connect(&s);
    int half = client_connect(&s);
    client_send(half, "POST /hold HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
    int used = client_connect(&s);
    client_send(used, "GET /health HTTP/1.1\r\n\r\n");
    answer a;
    answer_read(used, &a, false);
    int held = ask(&s, "/hold", "1.1");
    int streaming = ask(&s, "/stream", "1.1");
    on_loop(&s, write_hello);
    server_stop(&s); /* joins: run has returned */
    assert_int_equal(atomic_load(&s.closes), 2);
    const int fds[] = {idle, half, used, held};
    for (size_t i = 0; i < 4; i++) {
        char rest[8];
        assert_int_equal(client_read(fds[i], rest, sizeof rest), 0);
        close(fds[i]);
    }
    answer_read(streaming, &a, false);
    assert_int_equal(a.status, 200);
    assert_false(a.complete);
    close(streaming);
}

static void reply_and_stop(server *s) {
    reply_late(s);
    warm_http_stop(s->http);
}

static void an_answer_given_just_before_the_end_arrives(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){0});
    int fd = ask(&s, "/hold", "1.1");
    on_loop(&s, reply_and_stop);
    server_stop(&s);
    answer a;
    answer_read(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "late");
    assert_int_equal(atomic_load(&s.closes), 0);
    close(fd);
}

static warm_http *to_stop;

static void stop_by_signal(int number) {
    (void)number;
    warm_http_stop(to_stop);
}

static void a_signal_handler_may_stop_the_server(void **state) {
    (void)state;
    server s;
    start(&s, (warm_http_options){0});
    to_stop = s.http;
    struct sigaction act = {.sa_handler = stop_by_signal};
    struct sigaction old;
    sigaction(SIGTERM, &act, &old);
    int fd = ask(&s, "/hold", "1.1");
    kill(getpid(), SIGTERM);
    pthread_join(s.thread, NULL);
    sigaction(SIGTERM, &old, NULL);
    assert_int_equal(atomic_load(&s.closes), 1);
    close(fd);
    warm_http_free(s.http);
    sem_destroy(&s.event);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_stream_is_written_as_it_is_made),
        WITH_SERVER(an_empty_stream_is_complete),
        WITH_SERVER(http_1_0_gets_a_stream_that_ends_with_the_connection),
        WITH_SERVER(head_of_a_stream_has_no_body),
        WITH_SERVER(requests_sent_ahead_wait_for_the_stream),
        WITH_SERVER(a_client_that_does_not_read_is_cut_off),
        WITH_SERVER(a_stream_that_ends_after_it_was_cut_is_not_made_to_look_complete),
        WITH_SERVER(one_large_write_alone_is_no_reason_to_cut),
        cmocka_unit_test(a_client_that_never_reads_falls_to_the_timeout),
        cmocka_unit_test(a_long_wait_for_the_answer_is_not_the_clients_fault),
        WITH_SERVER(a_client_that_leaves_before_the_first_byte_is_noticed),
        WITH_SERVER(a_client_that_leaves_in_mid_stream_is_noticed),
        WITH_SERVER(a_client_that_leaves_behind_other_requests_is_noticed),
        WITH_SERVER(many_clients_leave_at_once),
        WITH_SERVER(a_client_that_leaves_before_its_request_is_complete_troubles_nobody),
        WITH_SERVER(a_client_that_leaves_after_its_answer_is_not_told),
        WITH_SERVER(a_client_that_has_closed_its_sending_side_gets_all_of_an_answer),
        WITH_SERVER(what_a_client_sends_ahead_is_bounded),
        WITH_SERVER(posts_of_several_threads_run_in_the_order_of_each),
        cmocka_unit_test(a_post_that_was_accepted_before_the_end_is_run),
        WITH_SERVER(the_loop_may_post_to_itself),
        cmocka_unit_test(posts_before_the_loop_are_run_with_and_without_it),
        WITH_SERVER(a_timer_fires_once_for_each_time_it_is_armed),
        WITH_SERVER(a_timer_that_was_freed_does_not_fire),
        cmocka_unit_test(sigpipe_is_ignored_unless_the_program_handles_it),
        cmocka_unit_test(stop_closes_what_is_open),
        cmocka_unit_test(an_answer_given_just_before_the_end_arrives),
        cmocka_unit_test(a_signal_handler_may_stop_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
