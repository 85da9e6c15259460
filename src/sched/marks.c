/* SPDX-License-Identifier: MIT
 *
 * sched/marks.c - see marks.h.
 *
 * A mark in text stands one token before the one that holds the blank line: joining other text behind it may change that token, but not the ones
 * before it, and a prompt that ends there has one token left to compute. What is worth a mark was chosen by measurement (bench/snapshots.js). */
#include "sched/marks.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { HEAD_TOKENS = 10, TAG_MAX = 40, WORDS_MAX = 20, PIECE_MAX = 64 };

struct list {
    size_t *v, n, cap;
};

static int push(struct list *l, size_t at) {
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        size_t *v = warm_realloc(l->v, cap * sizeof *v);
        if (!v) return WARM_ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = at;
    return 0;
}

static int find_heads(const warm_engine_info *info, const int32_t *tokens, size_t n, struct list *l) {
    size_t k = info->n_message_head;
    int rc = 0;
    for (size_t i = 0; k && i + k <= n && !rc; i++) {
        if (tokens[i] == info->message_head[0] && !memcmp(tokens + i, info->message_head, k * sizeof *tokens)) rc = push(l, i);
    }
    return rc;
}

/* The text of a token, cut at PIECE_MAX: a longer one is no line break. */
static size_t piece(warm_engine *e, int32_t token, char *buf) {
    size_t len = e->text->token_piece(e, token, true, buf, PIECE_MAX);
    return len <= PIECE_MAX ? len : 0;
}

static bool has_blank_line(const char *s, size_t n) {
    for (size_t i = 0; i + 1 < n; i++) {
        if (s[i] == '\n' && (s[i + 1] == '\n' || (s[i + 1] == '\r' && i + 2 < n && s[i + 2] == '\n'))) return true;
    }
    return false;
}

static bool ends_line(const char *s, size_t n) {
    return n && (s[n - 1] == '\n' || (n > 1 && s[n - 1] == '\r' && s[n - 2] == '\n'));
}

static bool begins_with_line_end(const char *s, size_t n) {
    return n && (s[0] == '\n' || (n > 1 && s[0] == '\r' && s[1] == '\n'));
}

/* Behind the first line break and all space: "<tag" or "Some words:". */
static bool is_head(const char *s, size_t n) {
    size_t i = 0, k = 0;
    while (i < n && s[i] != '\n') i++;
    while (i < n && isspace((unsigned char)s[i])) i++;
    if (i == n) return false;
    if (s[i] == '<') {
        for (i++; i < n && k <= TAG_MAX && s[i] != '>' && !isspace((unsigned char)s[i]); i++) k++;
        return k > 0;
    }
    while (i + k < n && k <= WORDS_MAX && (isalpha((unsigned char)s[i + k]) || s[i + k] == '_' || s[i + k] == ' ')) k++;
    return k > 0 && k <= WORDS_MAX && i + k < n && s[i + k] == ':';
}

static bool begins_message(warm_engine *e, const int32_t *tokens, size_t n, const char *first, size_t n_first) {
    char text[HEAD_TOKENS * PIECE_MAX];
    size_t len = n_first;
    memcpy(text, first, n_first);
    for (size_t i = 1; i < n && i < HEAD_TOKENS; i++) len += piece(e, tokens[i], text + len);
    return is_head(text, len);
}

static int find_in_text(warm_engine *e, const int32_t *tokens, size_t n, struct list *l) {
    char a[PIECE_MAX], b[PIECE_MAX];
    size_t n_a = n ? piece(e, tokens[0], a) : 0;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        size_t n_b = i + 1 < n ? piece(e, tokens[i + 1], b) : 0;
        bool blank = has_blank_line(a, n_a) || (ends_line(a, n_a) && begins_with_line_end(b, n_b));
        if (blank && i && begins_message(e, tokens + i, n - i, a, n_a)) rc = push(l, i - 1);
        memcpy(a, b, n_b);
        n_a = n_b;
    }
    return rc;
}

int warm_marks_find(warm_engine *e, const int32_t *tokens, size_t n, size_t **out, size_t *n_out) {
    struct list l = {0};
    int rc = find_heads(e->info, tokens, n, &l);
    if (!rc && !l.n) rc = find_in_text(e, tokens, n, &l);
    if (rc) {
        free(l.v);
        l = (struct list){0};
    }
    *out = l.v;
    *n_out = l.n;
    return rc;
}
