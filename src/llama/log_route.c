/* SPDX-License-Identifier: MIT
 *
 * llama/log_route.c - see log_route.h. */
#include "llama/log_route.h"

#include <ggml.h>
#include <llama.h>
#include <string.h>

#include "base/log.h"

typedef struct line_state {
    char text[1024];
    size_t len;
    enum warm_log_level level;
    char *capture;
    size_t capture_cap;
    bool quiet;
} line_state;

static _Thread_local line_state line;

static enum warm_log_level level_of(enum ggml_log_level level) {
    switch (level) {
    case GGML_LOG_LEVEL_ERROR:
        return WARM_LOG_ERROR;
    case GGML_LOG_LEVEL_WARN:
        return WARM_LOG_WARN;
    default:
        return WARM_LOG_DEBUG;
    }
}

/* "function_name: what happened" -> "what happened": the name helps nobody who can't see the source. */
static const char *without_function(const char *s) {
    const char *p = s;
    while (*p == '_' || *p == '~' || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9')) p++;
    if (p == s || p[0] != ':' || p[1] != ' ' || !memchr(s, '_', (size_t)(p - s))) return s;
    p += 2;
    while (*p == ' ') p++;
    return p;
}

/* The line that only repeats that loading failed must not replace the one that says why. */
static void remember(const char *s) {
    if (line.capture[0] && strstr(s, "failed to load model")) return;
    size_t n = strlen(s);
    if (n >= line.capture_cap) n = line.capture_cap - 1;
    memcpy(line.capture, s, n);
    line.capture[n] = 0;
}

static void flush_line(void) {
    line.text[line.len] = 0;
    const char *s = without_function(line.text);
    enum warm_log_level level = line.level;
    line.len = 0;
    if (!*s) return;
    if (line.capture && level == WARM_LOG_ERROR) remember(s);
    if (line.capture && line.quiet) level = WARM_LOG_DEBUG;
    if (warm_log_on(level)) warm_log(level, "llama", "%s", s);
}

static void add(const char *p, size_t n) {
    size_t room = sizeof line.text - 1 - line.len;
    if (n > room) n = room; /* a line longer than this is cut: it is a dump of something */
    memcpy(line.text + line.len, p, n);
    line.len += n;
}

static void route(enum ggml_log_level level, const char *text, void *ud) {
    (void)ud;
    if (level != GGML_LOG_LEVEL_CONT) {
        if (line.len) flush_line();
        line.level = level_of(level);
    }
    for (const char *nl; (nl = strchr(text, '\n')); text = nl + 1) {
        add(text, (size_t)(nl - text));
        flush_line();
    }
    add(text, strlen(text));
}

void warm__log_route_install(void) {
    llama_log_set(route, NULL);
}

void warm__log_capture_begin(char *text, size_t cap, bool quiet) {
    text[0] = 0;
    line.capture = text;
    line.capture_cap = cap;
    line.quiet = quiet;
}

void warm__log_capture_end(void) {
    if (line.len) flush_line();
    line.capture = NULL;
}
