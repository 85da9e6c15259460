/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_http_server.c - the bytes of a client, through a unix socket, to a server with every kind of answer.
 *
 * Checked beyond memory safety: the server always gets to the end of the connection, what it says is HTTP, and never one of evhttp's own
 * HTML pages; every request that a handler held was answered or closed, once. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "http/http.h"

#define CHECK(cond)                                                                                                                \
    do {                                                                                                                           \
        if (!(cond)) abort();                                                                                                      \
    } while (0)

enum { DEADLINE_MS = 15000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static warm_http *http;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

typedef struct held {
    warm_http_request *r;
    int turns;
} held;

static void on_close(void *ud) {
    held *h = ud;
    CHECK(h->r);
    h->r = NULL;
}

/* Some turns of the loop after the request, so that the client may leave meanwhile. */
static void answer_later(void *arg) {
    held *h = arg;
    if (h->r && h->turns++ < 3) {
        CHECK(warm_http_post(http, answer_later, h) == 0);
        return;
    }
    if (h->r) {
        warm_http_stream_write(h->r, "later", 5);
        warm_http_stream_end(h->r);
    }
    free(h);
}

static void hold(warm_http_request *r, void *ud) {
    (void)ud;
    held *h = calloc(1, sizeof *h);
    h->r = r;
    warm_http_on_close(r, on_close, h);
    warm_http_stream_begin(r, 200, "text/plain");
    CHECK(warm_http_post(http, answer_later, h) == 0);
}

static void reply(warm_http_request *r, void *ud) {
    (void)ud;
    size_t len;
    const char *body = warm_http_body(r, &len);
    CHECK(body && body[len] == '\0' && len <= 1000);
    const char *x = warm_http_param(r, "x");
    CHECK(!x || *x);
    const char *q = warm_http_query(r, "q");
    if (q) warm_http_set_header(r, "X-Q", q);
    warm_http_reply(r, len % 2 ? 200 : 204, "text/plain", "fine", 4);
}

static void *run(void *arg) {
    (void)arg;
    warm_http_run(http);
    return NULL;
}

static char directory[] = "/tmp/warm-fuzz-XXXXXX";

static void stop(void) {
    unlink(address.sun_path);
    rmdir(directory);
}

static void start(void) {
    CHECK(mkdtemp(directory));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", directory);
    const char *const hosts[] = {address.sun_path};
    static const char *const keys[] = {"k"};
    warm_http_options o = {
        .hosts = hosts, .n_hosts = 1, .max_header_bytes = 2000, .max_body_bytes = 1000, .api_keys = keys, .n_api_keys = 1};
    CHECK(warm_http_new(&o, &http, NULL) == 0);
    warm_http_route(http, "GET", "/a/:x", WARM_HTTP_PUBLIC, reply, NULL);
    warm_http_route(http, "POST", "/a", WARM_HTTP_PUBLIC, reply, NULL);
    warm_http_route(http, "GET", "/h", WARM_HTTP_PUBLIC, hold, NULL);
    warm_http_route(http, "POST", "/h", WARM_HTTP_PUBLIC, hold, NULL);
    warm_http_route(http, "GET", "/key", 0, reply, NULL);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, NULL) == 0);
    pthread_detach(thread);
    atexit(stop);
}

/* What came is kept as far as it fits; the rest is read and dropped. */
static size_t read_to_end(int fd, char *text, size_t size) {
    size_t n = 0;
    char rest[4096];
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc;
        while ((rc = poll(&p, 1, DEADLINE_MS)) < 0 && errno == EINTR) {
        }
        CHECK(rc > 0);
        ssize_t got = n < size ? recv(fd, text + n, size - n, 0) : recv(fd, rest, sizeof rest, 0);
        if (got <= 0) return n;
        if (n < size) n += (size_t)got;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!http) start();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break; /* it was refused and closed before all was sent */
        sent += (size_t)n;
    }
    shutdown(fd, SHUT_WR);
    static char text[1 << 16];
    size_t n = read_to_end(fd, text, sizeof text - 1);
    text[n] = '\0';
    if (n >= 7) CHECK(memcmp(text, "HTTP/1.", 7) == 0);
    CHECK(!strstr(text, "<HTML><HEAD>\n")); /* a newline can't come back in what is reflected */
    close(fd);
    return 0;
}
