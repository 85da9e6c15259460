/* SPDX-License-Identifier: MIT
 *
 * http/cors.c - which web pages may use the server: the answer to the browser's question (CORS).
 *
 * llama-server's options and defaults. Where it writes a list of origins as it is, which no browser accepts, the one that asks is
 * named back if it is in the list. This keeps nobody out but pages in browsers: keys do that.
 * Pure functions. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "http/internal.h"

void warm__cors_init(warm__cors *c, const char *origins, const char *methods, const char *headers, bool credentials) {
    *c = (warm__cors){.origins = warm_xstrdup(origins ? origins : "*"),
                      .methods = warm_xstrdup(methods ? methods : "GET, POST, DELETE, OPTIONS"),
                      .headers = warm_xstrdup(headers ? headers : "*"),
                      .credentials = credentials};
}

void warm__cors_deinit(warm__cors *c) {
    free(c->origins);
    free(c->methods);
    free(c->headers);
    *c = (warm__cors){0};
}

/* The host of an origin ("https://host:port") is this machine. */
static bool is_local(const char *origin) {
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = strstr(origin, "://");
    if (!host) return false;
    host += 3;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (strncasecmp(host, hosts[i], n) != 0) continue;
        size_t digits = host[n] == ':' ? strspn(host + n + 1, "0123456789") : 0;
        if (host[n] == '\0' || (digits && host[n + 1 + digits] == '\0')) return true;
    }
    return false;
}

static bool is_listed(const char *list, const char *origin) {
    size_t n = strlen(origin);
    for (list += strspn(list, ", "); *list; list += strspn(list, ", ")) {
        size_t k = strcspn(list, ", ");
        if (k == n && strncasecmp(list, origin, n) == 0) return true;
        list += k;
    }
    return false;
}

const char *warm__cors_allowed(const warm__cors *c, const char *origin) {
    if (strcmp(c->origins, "*") == 0) return c->credentials ? origin : "*";
    if (strcmp(c->origins, "localhost") == 0) return is_local(origin) ? origin : NULL;
    return is_listed(c->origins, origin) ? origin : NULL;
}
