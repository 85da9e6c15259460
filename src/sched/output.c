/* SPDX-License-Identifier: MIT
 *
 * sched/output.c - see output.h. */
#include "sched/output.h"

#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

void warm_output_init(warm_output *o, char **stop, size_t n_stop, int n_indent, size_t max_bytes) {
    *o = (warm_output){.stop = stop, .n_stop = n_stop, .n_indent = n_indent};
    warm_buf_init(&o->held, max_bytes);
}

void warm_output_deinit(warm_output *o) {
    warm_buf_free(&o->held);
}

/* The earliest place where a stop string stands, or held.len. */
static size_t find_stop(const warm_output *o, size_t *word) {
    size_t at = o->held.len;
    for (size_t i = 0; i < o->n_stop; i++) {
        const char *hit = memmem(o->held.data, o->held.len, o->stop[i], strlen(o->stop[i]));
        if (hit && (size_t)(hit - o->held.data) < at) {
            at = (size_t)(hit - o->held.data);
            *word = i;
        }
    }
    return at;
}

/* Where the longest end of held begins that is the beginning of a stop string, or held.len. */
static size_t find_partial(const warm_output *o) {
    size_t at = o->held.len;
    for (size_t i = 0; i < o->n_stop; i++) {
        size_t len = strlen(o->stop[i]);
        for (size_t n = len - 1 < o->held.len ? len - 1 : o->held.len; n > 0; n--) {
            if (memcmp(o->held.data + o->held.len - n, o->stop[i], n)) continue;
            if (o->held.len - n < at) at = o->held.len - n;
            break;
        }
    }
    return at;
}

/* Follows lines through the bytes from `from` on. Returns true where a line begins with fewer than n_indent blanks: it starts at line_at_. */
static bool indent_ends(warm_output *o, size_t from) {
    for (size_t i = from; i < o->held.len; i++) {
        char ch = o->held.data[i];
        if (ch == '\n') {
            o->line_open_ = true;
            o->line_at_ = i + 1;
            o->indent_ = 0;
        } else if (o->line_open_ && (ch == ' ' || ch == '\t')) {
            o->indent_++;
        } else if (o->line_open_) {
            if (o->indent_ < (size_t)o->n_indent) return true;
            o->line_open_ = false;
        }
    }
    return false;
}

enum warm_output_end warm_output_add(warm_output *o, const char *piece, size_t n, size_t *word) {
    size_t before = o->held.len;
    warm_buf_append(&o->held, piece, n);
    if (warm_buf_err(&o->held)) return WARM_OUTPUT_GOES_ON;
    if (memchr(piece, '\n', n)) o->has_new_line = true;
    if (!o->held.len) return WARM_OUTPUT_GOES_ON;

    size_t stop = find_stop(o, word);
    bool at_stop = stop < o->held.len;
    if (at_stop) {
        o->held.len = stop;
        o->held.data[stop] = 0;
    }
    if (o->n_indent > 0 && indent_ends(o, before < o->held.len ? before : o->held.len)) {
        o->held.len = o->certain = o->line_at_;
        o->held.data[o->line_at_] = 0;
        return WARM_OUTPUT_INDENT;
    }
    if (at_stop) {
        o->certain = stop;
        return WARM_OUTPUT_STOP_WORD;
    }
    size_t certain = find_partial(o);
    if (o->n_indent > 0 && o->line_open_ && o->line_at_ < certain) certain = o->line_at_;
    size_t whole = warm_utf8_whole(o->held.data, o->held.len);
    o->certain = whole < certain ? whole : certain;
    return WARM_OUTPUT_GOES_ON;
}

void warm_output_finish(warm_output *o) {
    o->certain = o->held.len;
}

char *warm_output_take(warm_output *o, size_t *len) {
    assert(o->held.data || !o->certain);
    *len = o->certain;
    char *text = warm_xmalloc(o->certain + 1);
    memcpy(text, o->held.data ? o->held.data : "", o->certain);
    text[o->certain] = 0;
    if (o->certain) memmove(o->held.data, o->held.data + o->certain, o->held.len - o->certain + 1);
    o->held.len -= o->certain;
    o->line_at_ = o->line_at_ > o->certain ? o->line_at_ - o->certain : 0;
    o->certain = 0;
    return text;
}
