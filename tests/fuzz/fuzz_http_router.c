/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_http_router.c - src/http's own parsers: the path, the query, the key and the framing headers of a request.
 *
 * Input: lines "method", "path", "query", "value of Authorization", then headers "Name: value". Checked beyond memory safety: a match is a
 * match by a second, slower reading; nothing that was decoded holds more than it could; a head that passes has one reading. */
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "http/internal.h"

#define CHECK(cond)                                                                                                                \
    do {                                                                                                                           \
        if (!(cond)) abort();                                                                                                      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void nothing(warm_http_request *r, void *ud) {
    (void)r;
    (void)ud;
}

static const struct {
    const char *method, *path;
} patterns[] = {
    {"GET", "/"},        {"GET", "/a"},         {"POST", "/a/:x"}, {"GET", "/a/b"},
    {"GET", "/:x/:y/c"}, {"DELETE", "/a/:x/c"}, {"PUT", "/:x"},    {"GET", "/a//b"},
};
enum { N_PATTERNS = sizeof patterns / sizeof *patterns };

static const char *const keys[] = {"k", "sk-key", "Bearer"};

/* Whether the pattern takes the decoded segments. */
static bool takes(const char *pattern, const warm__match *m) {
    for (size_t i = 0; i < m->n_segments; i++) {
        if (*pattern++ != '/') return false;
        size_t n = strcspn(pattern, "/");
        bool param = n > 0 && pattern[0] == ':';
        const char *segment = m->segments[i];
        if (param ? !*segment : strlen(segment) != n || memcmp(segment, pattern, n) != 0) return false;
        pattern += n;
    }
    return *pattern == '\0';
}

static void fuzz_path(const char *method, const char *path) {
    static warm__router router;
    if (!router.n)
        for (size_t i = 0; i < N_PATTERNS; i++)
            warm__router_add(&router, patterns[i].method, "", patterns[i].path,
                             (warm__route){.fn = nothing, .ud = (void *)(uintptr_t)patterns[i].path});
    warm__match m;
    enum warm__routed routed = warm__router_match(&router, method, path, &m);
    bool any = false;
    if (routed != WARM__ROUTED_BAD_PATH && m.n_segments)
        for (size_t i = 0; i < N_PATTERNS; i++) any = any || takes(patterns[i].path, &m);
    if (routed == WARM__ROUTED) {
        CHECK(takes(m.route->ud, &m));
        CHECK(strcmp(m.route->method, method) == 0 || strcmp(method, "HEAD") == 0);
        const char *x = warm__match_param(&m, "x");
        CHECK(!x || (*x && strlen(x) <= strlen(path)));
    }
    if (routed == WARM__ROUTED_NO_METHOD) CHECK(any && m.allow[0]);
    if (routed == WARM__ROUTED_NO_PATH) CHECK(!any);
    warm__match_deinit(&m);
}

static void fuzz_query(const char *text) {
    warm__query q;
    if (warm__query_parse(text, &q) != 0) {
        CHECK(strchr(text, '%'));
        return;
    }
    for (size_t i = 0; i < q.n; i++) {
        const char *first = warm__query_find(&q, q.v[i].name);
        CHECK(first && strlen(first) + strlen(q.v[i].name) <= strlen(text));
    }
    CHECK(q.n <= strlen(text));
    warm__query_deinit(&q);
}

static void fuzz_key(const char *value) {
    static warm__keys k;
    if (!k.n) warm__keys_init(&k, keys, sizeof keys / sizeof *keys);
    const char *found = warm__keys_find(&k, value);
    if (!found) return;
    size_t n = strlen(found);
    CHECK(strlen(value) >= n && strcmp(value + strlen(value) - n, found) == 0);
}

static void fuzz_headers(char *lines) {
    struct evkeyvalq list;
    TAILQ_INIT(&list);
    while (lines && *lines) {
        char *value = strsep(&lines, "\n");
        char *name = strsep(&value, ":");
        if (value) evhttp_add_header(&list, name, value + strspn(value, " "));
    }
    int lengths = 0;
    int encodings = 0;
    struct evkeyval *h;
    TAILQ_FOREACH(h, &list, next) {
        char *end = h->key + strcspn(h->key, " \t");
        *end = '\0'; /* as a lenient reader would take it */
        lengths += strcasecmp(h->key, "Content-Length") == 0;
        encodings += strcasecmp(h->key, "Transfer-Encoding") == 0;
    }
    if (!warm__headers_check(&list, 11)) {
        CHECK(lengths + encodings <= 1);
        if (!lengths && !encodings) CHECK(!warm__headers_announce_body(&list));
        if (encodings) CHECK(warm__headers_announce_body(&list) && warm__headers_check(&list, 10));
    }
    evhttp_clear_headers(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    char *rest = text;
    char *field[4];
    for (size_t i = 0; i < 4; i++) {
        field[i] = rest ? strsep(&rest, "\n") : NULL;
        if (!field[i]) field[i] = text + size; /* "" */
    }
    fuzz_path(field[0], field[1]);
    fuzz_query(field[2]);
    fuzz_key(field[3]);
    fuzz_headers(rest);
    free(text);
    return 0;
}
