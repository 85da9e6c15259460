/* SPDX-License-Identifier: MIT
 *
 * llama/grammar_words.c - see grammar_words.h.
 *
 * The replacing stream is made once and never closed: another thread may have picked it up just before it is swapped out again.
 * It has no buffer, so its writes come in on the thread that makes them. */
#include "llama/grammar_words.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "llama/log_route.h"

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct {
    bool on;
    char text[512]; /* the reason comes first; the grammar behind it is dropped */
    size_t len;
    char *words; /* where the reason goes, and what the log said meanwhile */
    size_t cap;
} ear;

#ifdef __GLIBC__
static FILE *listener, *real_stderr;

static ssize_t hear(void *cookie, const char *p, size_t n) {
    (void)cookie;
    if (!ear.on) return write(STDERR_FILENO, p, n);
    size_t room = sizeof ear.text - 1 - ear.len, kept = n < room ? n : room;
    memcpy(ear.text + ear.len, p, kept);
    ear.len += kept;
    return (ssize_t)n;
}

static void swap_in(void) {
    if (!listener) {
        cookie_io_functions_t io = {.write = hear};
        listener = fopencookie(NULL, "w", io);
        if (listener) setvbuf(listener, NULL, _IONBF, 0);
    }
    real_stderr = stderr;
    if (listener) stderr = listener;
}

static void swap_out(void) {
    stderr = real_stderr;
}
#else
static void swap_in(void) {}
static void swap_out(void) {}
#endif

void warm__grammar_words_begin(char *words, size_t cap) {
    pthread_mutex_lock(&turn);
    ear.on = true;
    ear.len = 0;
    ear.words = words;
    ear.cap = cap;
    warm__log_capture_begin(words, cap, true);
    swap_in();
}

/* "parse: error parsing grammar: REASON\n\nGRAMMAR" */
static const char *reason(void) {
    ear.text[ear.len] = 0;
    static const char mark[] = "error parsing grammar: ";
    char *at = strstr(ear.text, mark);
    if (!at) return NULL;
    at += strlen(mark);
    at[strcspn(at, "\n")] = 0;
    return at;
}

void warm__grammar_words_end(void) {
    swap_out();
    warm__log_capture_end();
    ear.on = false;
    const char *why = reason(); /* says more than the log's "failed to parse grammar" */
    if (why) snprintf(ear.words, ear.cap, "%s", why);
    pthread_mutex_unlock(&turn);
}
