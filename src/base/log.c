/* SPDX-License-Identifier: MIT
 *
 * base/log.c - log lines (base/log.h).
 *
 * A line is built on the stack and written with one write(2): nothing is allocated, so a line can be written
 * when memory is short, and no lock is held while the file is slow. A line is at most PIPE_BUF bytes, because only up to there
 * the kernel promises not to mix the writes of several threads into one pipe; a longer message ends in "...".
 * What comes from outside may be in a message: control characters are escaped and bytes that are not UTF-8 become
 * U+FFFD, so that nothing can fake a line or upset a terminal. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

#define LINE_MAX_BYTES PIPE_BUF
#define TAIL_BYTES     8 /* kept free behind the message: "...", then the end of the line or of the object and the line */

static enum warm_log_level max_level = WARM_LOG_INFO;
static bool as_json;
static int log_fd = STDERR_FILENO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

typedef struct line {
    size_t len;
    char text[LINE_MAX_BYTES];
} line;

int warm_log_open(enum warm_log_level level, bool json, const char *path, warm_err *err) {
    int fd = STDERR_FILENO;
    if (path) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0) return warm_err_set(err, WARM_EIO, "can't open the log file %s: %s", path, strerror(errno));
    }
    if (log_fd != STDERR_FILENO) close(log_fd);
    log_fd = fd;
    max_level = level;
    as_json = json;
    return 0;
}

bool warm_log_on(enum warm_log_level level) {
    return level <= max_level;
}

static void put_time(line *l) {
    struct timespec ts;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    l->len += strftime(l->text + l->len, sizeof l->text - l->len, "%Y-%m-%dT%H:%M:%S", &tm);
    l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, ".%03ldZ", ts.tv_nsec / 1000000);
}

/* The text that stands for the character at s in the log, in out (8 bytes); *used is how many bytes of s it covers. */
static size_t escape(const char *s, size_t n, char *out, size_t *used) {
    uint8_t c = (uint8_t)s[0];
    size_t len = warm_utf8_char(s, n);
    *used = len ? len : 1;
    if (!len) {
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    /* U+0080..U+009F are control characters too: some terminals obey them. */
    bool is_c1 = len == 2 && c == 0xc2 && (uint8_t)s[1] < 0xa0;
    if (is_c1) c = (uint8_t)s[1];
    if (is_c1 || c < 0x20 || c == 0x7f) {
        if (c == '\n' || c == '\r' || c == '\t') {
            out[0] = '\\';
            out[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
            return 2;
        }
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned)c);
    }
    if (as_json && (c == '"' || c == '\\')) {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    memcpy(out, s, len);
    return len;
}

static void put_message(line *l, const char *s, size_t n, bool cut) {
    for (size_t i = 0; i < n;) {
        char out[8];
        size_t used;
        size_t len = escape(s + i, n - i, out, &used);
        if (l->len + len + TAIL_BYTES > sizeof l->text) {
            cut = true;
            break;
        }
        memcpy(l->text + l->len, out, len);
        l->len += len;
        i += used;
    }
    if (cut) {
        memcpy(l->text + l->len, "...", 3);
        l->len += 3;
    }
}

static void write_line(const line *l) {
    for (size_t done = 0; done < l->len;) {
        ssize_t n = write(log_fd, l->text + done, l->len - done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return; /* a log that can't be written has nobody to be told */
        done += (size_t)n;
    }
}

void warm_log(enum warm_log_level level, const char *module, const char *fmt, ...) {
    if (!warm_log_on(level)) return;
    int saved_errno = errno;
    char message[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    bool cut = len >= sizeof message;
    if (cut) len = warm_utf8_whole(message, sizeof message - 1);

    line l = {.len = 0};
    if (as_json) {
        memcpy(l.text, "{\"t\":\"", 6);
        l.len = 6;
    }
    put_time(&l);
    const char *head = as_json ? "\",\"level\":\"%s\",\"module\":\"%.64s\",\"msg\":\"" : " %s %.64s ";
    l.len += (size_t)snprintf(l.text + l.len, sizeof l.text - l.len, head, level_names[level], module);
    put_message(&l, message, len, cut);
    const char *end = as_json ? "\"}\n" : "\n";
    memcpy(l.text + l.len, end, strlen(end));
    l.len += strlen(end);
    write_line(&l);
    errno = saved_errno;
}
