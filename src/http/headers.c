/* SPDX-License-Identifier: MIT
 *
 * http/headers.c - refuses requests whose end two readers could see in different places (request smuggling).
 *
 * evhttp takes the first Content-Length of several, and reads a name with a blank before its colon as some other header. A proxy
 * in front may decide otherwise, so whatever leaves room for two readings is refused, and the connection closed.
 * Pure functions over evhttp's list. */
#include <event2/keyvalq_struct.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "http/internal.h"

/* RFC 9110 5.6.2 */
static bool is_token(const char *s) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    if (!*s) return false;
    for (; *s; s++) {
        bool alnum = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (!alnum && !strchr(marks, *s)) return false;
    }
    return true;
}

static bool is_length(const char *s) {
    size_t n = strspn(s, "0123456789");
    return n > 0 && n < 19 && s[n] == '\0';
}

const char *warm__headers_check(const struct evkeyvalq *headers, int version) {
    int lengths = 0;
    int encodings = 0;
    const struct evkeyval *h;
    TAILQ_FOREACH(h, headers, next) {
        if (!is_token(h->key)) return "a header has a malformed name";
        if (strcasecmp(h->key, "Content-Length") == 0) {
            if (++lengths > 1) return "Content-Length is given more than once";
            if (!is_length(h->value)) return "Content-Length is not a number";
        } else if (strcasecmp(h->key, "Transfer-Encoding") == 0) {
            if (++encodings > 1) return "Transfer-Encoding is given more than once";
            if (strcasecmp(h->value, "chunked") != 0) return "the only Transfer-Encoding understood is chunked";
        }
    }
    if (lengths && encodings) return "Content-Length and Transfer-Encoding exclude each other";
    if (encodings && version < 11) return "Transfer-Encoding needs HTTP/1.1";
    return NULL;
}

bool warm__headers_announce_body(const struct evkeyvalq *headers) {
    const struct evkeyval *h;
    TAILQ_FOREACH(h, headers, next) {
        if (strcasecmp(h->key, "Transfer-Encoding") == 0) return true;
        if (strcasecmp(h->key, "Content-Length") == 0 && strcmp(h->value, "0") != 0) return true;
    }
    return false;
}
