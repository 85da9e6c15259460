/* SPDX-License-Identifier: MIT
 *
 * http/listen.c - opens the sockets that the server listens on: TCP by address or name, and unix sockets.
 *
 * All hosts share one port. With port 0 the first socket decides it and the others follow; where one of them finds it taken, all
 * are closed and another port is tried.
 *
 * Invariants
 *  (1) A unix socket is never open to more than its owner and group: the mode is narrowed before bind and widened to 0660 after.
 *  (2) A file that is no socket, or a socket that somebody listens on, is never removed. At the end only the file we made is.
 * Threads: before and after the loop. */
#include <errno.h>
#include <event2/http.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"
#include "http/internal.h"

enum { BACKLOG = 512, PORT_TRIES = 16 };

static const char *unix_path(const char *host) {
    if (strncmp(host, "unix:", 5) == 0) return host + 5;
    size_t n = strlen(host);
    bool is_path = strchr(host, '/') || (n > 5 && strcmp(host + n - 5, ".sock") == 0);
    return is_path ? host : NULL;
}

static warm__listener *add_listener(warm__listeners *l, int fd) {
    warm__listener *v = warm_xcalloc(l->n + 1, sizeof *v);
    if (l->n) memcpy(v, l->v, l->n * sizeof *v);
    free(l->v);
    l->v = v;
    v[l->n].fd = fd;
    return &v[l->n++];
}

/* True if the path is free now, or was left over by a process that is gone. */
static bool free_unix_path(const struct sockaddr_un *addr, warm_err *err) {
    struct stat st;
    if (lstat(addr->sun_path, &st) != 0) return true; /* bind will say what else is wrong */
    if (!S_ISSOCK(st.st_mode)) {
        warm_err_set(err, WARM_EINVAL, "%s exists and is not a socket", addr->sun_path);
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof *addr) != 0 && errno == ECONNREFUSED;
    if (fd >= 0) close(fd);
    if (!dead) {
        warm_err_set(err, WARM_EIO, "socket %s is in use by another process", addr->sun_path);
        return false;
    }
    warm_log_info("http", "removed the stale socket %s", addr->sun_path);
    if (unlink(addr->sun_path) == 0) return true;
    warm_err_set(err, WARM_EIO, "cannot remove the stale socket %s: %s", addr->sun_path, strerror(errno));
    return false;
}

static int open_unix(warm__listeners *l, const char *path, warm_err *err) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof addr.sun_path)
        return warm_err_set(err, WARM_EINVAL, "the path of a unix socket has 1 to %zu bytes, not %zu", sizeof addr.sun_path - 1,
                            len);
    memcpy(addr.sun_path, path, len + 1);
    if (!free_unix_path(&addr, err)) return WARM_EIO;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct stat st;
    /* fchmod first: Linux makes the file with the socket's mode less the umask, so that it is never wider than 0660 */
    if (fd < 0 || fchmod(fd, 0660) != 0 || bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || chmod(path, 0660) != 0 ||
        lstat(path, &st) != 0 || listen(fd, BACKLOG) != 0) {
        int e = errno;
        if (fd >= 0) close(fd);
        return warm_err_set(err, WARM_EIO, "cannot listen on %s: %s", path, strerror(e));
    }
    warm__listener *it = add_listener(l, fd);
    it->unix_path = warm_xstrdup(path);
    it->dev = st.st_dev;
    it->ino = st.st_ino;
    return 0;
}

/* A listening socket, or -1 with errno set. */
static int open_address(const struct addrinfo *a, bool v6_only, bool reuse_port) {
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    int on = 1;
    int only = v6_only;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (reuse_port) ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    /* accepted sockets inherit it: a token must not wait for the acknowledgement of the one before */
    ok = ok && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    if (a->ai_family == AF_INET6) ok = ok && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0;
    if (ok && bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0) return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static uint16_t bound_port(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } a = {.v6 = {.sin6_family = AF_UNSPEC}};
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len) != 0) return 0;
    return ntohs(a.any.sa_family == AF_INET6 ? a.v6.sin6_port : a.v4.sin_port);
}

static int open_tcp(warm__listeners *l, const char *host, uint16_t port, bool v6_only, warm_err *err) {
    char name[256];
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    int written = snprintf(name, sizeof name, "%.*s", (int)(brackets ? n - 2 : n), host + brackets);
    if (n == 0 || written >= (int)sizeof name) return warm_err_set(err, WARM_EINVAL, "'%.64s' is no address to listen on", host);
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(name, service, &hints, &list);
    if (rc) return warm_err_set(err, WARM_EINVAL, "cannot resolve the address to listen on, %s: %s", name, gai_strerror(rc));
    size_t opened = 0;
    int problem = 0;
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        if (a->ai_family == AF_INET) ((struct sockaddr_in *)a->ai_addr)->sin_port = htons(port);
        if (a->ai_family == AF_INET6) ((struct sockaddr_in6 *)a->ai_addr)->sin6_port = htons(port);
        int fd = open_address(a, v6_only || list->ai_next, l->reuse_port);
        if (fd < 0) {
            if (!problem || errno == EADDRINUSE) problem = errno;
            if (errno == EADDRINUSE) break;
            continue; /* a name may have an address that this machine lacks, such as ::1 */
        }
        add_listener(l, fd);
        opened++;
        if (!port) port = bound_port(fd);
    }
    freeaddrinfo(list);
    if (opened && problem != EADDRINUSE) {
        l->port = port;
        return 0;
    }
    bool v6 = strchr(name, ':') != NULL;
    const char *open_b = v6 ? "[" : "";
    const char *close_b = v6 ? "]" : "";
    if (problem == EADDRINUSE)
        return warm_err_set(err, WARM_EAGAIN, "address %s%s%s:%u is in use by another process", open_b, name, close_b, port);
    return warm_err_set(err, WARM_EIO, "cannot listen on %s%s%s:%u: %s", open_b, name, close_b, port, strerror(problem));
}

static int open_all(warm__listeners *l, const char *const *hosts, size_t n_hosts, uint16_t port, warm_err *err) {
    size_t n_tcp = 0;
    for (size_t i = 0; i < n_hosts; i++) n_tcp += !unix_path(hosts[i]);
    l->port = port;
    for (size_t i = 0; i < n_hosts; i++) {
        const char *path = unix_path(hosts[i]);
        /* with several hosts [::] must not claim the port of 0.0.0.0 too */
        int rc = path ? open_unix(l, path, err) : open_tcp(l, hosts[i], l->port, n_tcp > 1, err);
        if (rc) return rc;
    }
    if (!n_tcp) l->port = 0;
    return 0;
}

int warm__listeners_open(warm__listeners *l, const char *const *hosts, size_t n_hosts, uint16_t port, bool reuse_port,
                         warm_err *err) {
    int rc = 0;
    for (int i = 0; i < PORT_TRIES; i++) {
        *l = (warm__listeners){.reuse_port = reuse_port};
        rc = open_all(l, hosts, n_hosts, port, err);
        if (rc == 0) return 0;
        warm__listeners_close(l);
        if (port || rc != WARM_EAGAIN) break;
    }
    return rc == WARM_EAGAIN ? WARM_EIO : rc;
}

void warm__listeners_close(warm__listeners *l) {
    for (size_t i = 0; i < l->n; i++) {
        warm__listener *it = &l->v[i];
        if (it->fd >= 0) close(it->fd);
        struct stat st;
        if (it->unix_path && lstat(it->unix_path, &st) == 0 && st.st_dev == it->dev && st.st_ino == it->ino) unlink(it->unix_path);
        free(it->unix_path);
    }
    free(l->v);
    *l = (warm__listeners){0};
}
