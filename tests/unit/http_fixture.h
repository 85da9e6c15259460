/* SPDX-License-Identifier: MIT
 *
 * tests/unit/http_fixture.h - a server on a free loopback port in a thread of its own, and a raw client with deadlines.
 *
 * Nothing here sleeps: the client polls its socket, the test waits for the server with a semaphore. A deadline only ends a test
 * that has failed already. */
#ifndef WARM_TESTS_HTTP_FIXTURE_H
#define WARM_TESTS_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "http/http.h"

#ifndef DEADLINE_MS
#define DEADLINE_MS 30000
#endif

typedef struct server {
    warm_http *http;
    pthread_t thread;
    sem_t event;       /* posted by handlers and close callbacks */
    atomic_int closes; /* calls of on_close */
    atomic_int calls;  /* of handlers that count */
    warm_http_request *held;
} server;

static inline char *fixture_error_body(int status, const char *message, size_t *len) {
    char *text = malloc(512);
    *len = (size_t)snprintf(text, 512, "{\"error\":{\"code\":%d,\"message\":\"%s\"}}", status, message);
    return text;
}

static inline void *fixture_run(void *arg) {
    server *s = arg;
    warm_http_run(s->http);
    return NULL;
}

/* The routes are added between the two. */
static inline void server_new(server *s, warm_http_options o) {
    memset(s, 0, sizeof *s);
    sem_init(&s->event, 0, 0);
    if (!o.error_body) o.error_body = fixture_error_body;
    warm_err err = {0};
    if (warm_http_new(&o, &s->http, &err) != 0) fail_msg("warm_http_new: %s", err.text);
}

static inline void server_run(server *s) {
    assert_int_equal(pthread_create(&s->thread, NULL, fixture_run, s), 0);
}

static inline void server_stop(server *s) {
    warm_http_stop(s->http);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    warm_http_free(s->http);
    sem_destroy(&s->event);
}

static inline void server_wait(server *s) {
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += DEADLINE_MS / 1000;
    int rc;
    while ((rc = sem_timedwait(&s->event, &at)) != 0 && errno == EINTR) {
    }
    if (rc) fail_msg("the server did not get there in time");
}

/* Client */

static inline int client_connect_to(const struct sockaddr *addr, socklen_t len) {
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, addr, len) == 0) return fd;
    close(fd);
    return -1;
}

static inline int client_connect(const server *s) {
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(warm_http_port(s->http)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = client_connect_to((struct sockaddr *)&a, sizeof a);
    assert_true(fd >= 0);
    return fd;
}

/* The server may close before it has read everything: that is no failure of the client. */
static inline void client_send_n(int fd, const char *data, size_t n) {
    while (n) {
        ssize_t w = send(fd, data, n, MSG_NOSIGNAL);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return;
        data += w;
        n -= (size_t)w;
    }
}

static inline void client_send(int fd, const char *text) {
    client_send_n(fd, text, strlen(text));
}

/* 0: the end of the stream, also by a reset. */
static inline size_t client_read(int fd, char *buf, size_t size) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int rc;
    while ((rc = poll(&p, 1, DEADLINE_MS)) < 0 && errno == EINTR) {
    }
    if (rc == 0) fail_msg("nothing came from the server in time");
    ssize_t n = recv(fd, buf, size, 0);
    return n > 0 ? (size_t)n : 0;
}

/* An answer, or as much of it as came before the end of the stream. */
typedef struct answer {
    int status; /* 0: none */
    char head[4096];
    char body[8192]; /* NUL-terminated; bytes beyond are counted only */
    size_t body_len;
    bool complete;
} answer;

/* One byte at a time, so that the bytes of a pipelined answer stay in the socket. */
static inline bool read_line(int fd, char *line, size_t size) {
    size_t n = 0;
    while (n + 1 < size) {
        if (!client_read(fd, line + n, 1)) return false;
        if (line[n++] == '\n') break;
    }
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r')) n--;
    line[n] = '\0';
    return true;
}

static inline const char *answer_header(const answer *a, const char *name) {
    static char value[512];
    size_t n = strlen(name);
    for (const char *p = strchr(a->head, '\n'); p; p = strchr(p, '\n')) {
        p++;
        if (strncasecmp(p, name, n) != 0 || p[n] != ':') continue;
        p += n + 1 + strspn(p + n + 1, " ");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\n"), p);
        return value;
    }
    return NULL;
}

static inline bool read_body(int fd, answer *a, size_t n) {
    char buf[4096];
    while (n) {
        size_t got = client_read(fd, buf, n < sizeof buf ? n : sizeof buf);
        if (!got) return false;
        size_t room = a->body_len < sizeof a->body - 1 ? sizeof a->body - 1 - a->body_len : 0;
        memcpy(a->body + (room ? a->body_len : 0), buf, got < room ? got : room);
        a->body_len += got;
        n -= got;
    }
    return true;
}

static inline bool read_chunk(int fd, answer *a, bool *last) {
    char line[64];
    if (!read_line(fd, line, sizeof line)) return false;
    size_t n = strtoul(line, NULL, 16);
    *last = n == 0;
    return read_body(fd, a, n) && read_line(fd, line, sizeof line);
}

static inline void answer_read_head(int fd, answer *a) {
    memset(a, 0, sizeof *a);
    char line[1024];
    size_t n = 0;
    while (read_line(fd, line, sizeof line) && line[0]) n += (size_t)snprintf(a->head + n, sizeof a->head - n, "%s\n", line);
    sscanf(a->head, "HTTP/%*d.%*d %d", &a->status);
}

static inline void answer_read(int fd, answer *a, bool to_head) {
    do answer_read_head(fd, a);
    while (a->status == 100);
    const char *length = answer_header(a, "Content-Length");
    if (to_head || a->status == 204) {
        a->complete = a->status != 0;
    } else if (length) {
        a->complete = read_body(fd, a, strtoul(length, NULL, 10));
    } else if (answer_header(a, "Transfer-Encoding")) {
        bool last = false;
        while (!last && read_chunk(fd, a, &last)) {
        }
        a->complete = last;
    } else if (a->status) {
        while (read_body(fd, a, 1)) {
        }
        a->complete = true;
    }
}

static inline void exchange(const server *s, const char *request, answer *a) {
    int fd = client_connect(s);
    client_send(fd, request);
    answer_read(fd, a, strncmp(request, "HEAD ", 5) == 0);
    close(fd);
}

#endif
