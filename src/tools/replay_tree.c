/* SPDX-License-Identifier: MIT
 *
 * tools/replay_tree.c - the prefix tree of a trace, its oracle and live set. See replay_tree.h. */
#include "tools/replay_tree.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int no_memory(warm_err *err) {
    return warm_err_set(err, WARM_ENOMEM, "out of memory for the tree of the trace");
}

static size_t slot_of(const warm_tree *t, uint32_t parent, uint64_t key) {
    uint64_t h = (key ^ (uint64_t)parent * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    return (size_t)(h >> 20) & (t->n_table - 1);
}

static bool grow_table(warm_tree *t) {
    size_t n = t->n_table ? t->n_table * 2 : 1024;
    uint32_t *table = warm_calloc(n, sizeof *table);
    if (!table) return false;
    free(t->table);
    t->table = table;
    t->n_table = n;
    for (uint32_t i = 1; i < t->n_nodes; i++) {
        size_t s = slot_of(t, t->parent[i], t->key[i]);
        while (table[s]) s = (s + 1) & (n - 1);
        table[s] = i;
    }
    return true;
}

static bool grow_nodes(warm_tree *t) {
    uint32_t cap = t->cap_nodes ? t->cap_nodes * 2 : 1024;
    uint32_t *parent = warm_realloc(t->parent, cap * sizeof *parent);
    if (parent) t->parent = parent;
    uint32_t *tokens = warm_realloc(t->tokens, cap * sizeof *tokens);
    if (tokens) t->tokens = tokens;
    uint64_t *key = warm_realloc(t->key, cap * sizeof *key);
    if (key) t->key = key;
    if (!parent || !tokens || !key) return false;
    t->cap_nodes = cap;
    return true;
}

/* The child with this key, made if there was none. 0 without memory. */
static uint32_t child(warm_tree *t, uint32_t parent, uint64_t key) {
    size_t s = slot_of(t, parent, key);
    for (; t->table[s]; s = (s + 1) & (t->n_table - 1)) {
        uint32_t i = t->table[s];
        if (t->parent[i] == parent && t->key[i] == key) return i;
    }
    if (t->n_nodes == t->cap_nodes && !grow_nodes(t)) return 0;
    uint32_t id = t->n_nodes++;
    t->parent[id] = parent;
    t->key[id] = key;
    t->tokens[id] = 0;
    t->table[s] = id;
    if ((size_t)t->n_nodes * 2 > t->n_table && !grow_table(t)) return 0;
    return id;
}

/* Adds a prompt, and counts of it what is new. */
static int add_prompt(warm_tree *t, size_t request, uint32_t max_nodes, warm_err *err) {
    size_t length = warm_trace_tokens(t->trace, request, &t->shape), left = length, known = 0;
    size_t block = warm_trace_block_tokens(t->trace, request, &t->shape);
    uint64_t key;
    uint32_t node = 0;
    bool all_known = true;
    for (warm_trace_blocks b = warm_trace_blocks_of(t->trace, request, 0); left && warm_trace_blocks_next(&b, &key);) {
        uint32_t n = (uint32_t)(block < left ? block : left);
        node = child(t, node, key);
        if (!node) return no_memory(err);
        if (t->n_nodes > max_nodes) return warm_err_set(err, WARM_EFULL, "more than %u blocks", max_nodes);
        uint32_t had = t->tokens[node];
        if (all_known) known += had < n ? had : n;
        all_known &= had >= n;
        if (had < n) t->tokens[node] = n;
        left -= n;
    }
    t->end[request] = node;
    t->length[request] = (uint32_t)length;
    t->n_tokens += length;
    t->oracle_tokens += length - (known < length ? known : length - 1);
    size_t whole = length + warm_trace_out_tokens(t->trace, request, &t->shape);
    if (length > t->longest) t->longest = length;
    if (whole > t->longest_whole) t->longest_whole = whole;
    return 0;
}

/* ---- the live set ---- */

struct answer {
    warm_drive_ask ask;
    uint64_t at_ns;
};

struct survey {
    warm_tree *t;
    warm_drive *d;
    struct answer *answers;
    size_t n_answers, cap_answers;
    uint32_t *users;   /* by node: latest prompts that go through it */
    uint32_t *current; /* by agent: the last node of its latest prompt, 0 = none */
    size_t cap_users;
    uint64_t live;
};

static void count_path(struct survey *s, uint32_t node, bool add) {
    for (; node; node = s->t->parent[node]) {
        if (add ? s->users[node]++ == 0 : --s->users[node] == 0)
            s->live += add ? s->t->tokens[node] : -(uint64_t)s->t->tokens[node];
    }
}

static int live_ask(struct survey *s, const warm_drive_ask *a, warm_err *err) {
    if (s->cap_users < s->t->cap_nodes) {
        uint32_t *users = warm_realloc(s->users, s->t->cap_nodes * sizeof *users);
        if (!users) return no_memory(err);
        memset(users + s->cap_users, 0, (s->t->cap_nodes - s->cap_users) * sizeof *users);
        s->users = users;
        s->cap_users = s->t->cap_nodes;
    }
    uint32_t *current = &s->current[s->t->trace->requests[a->request].agent];
    count_path(s, s->t->end[a->request], true);
    count_path(s, *current, false);
    *current = s->t->end[a->request];
    if (s->live > s->t->live_tokens) s->t->live_tokens = s->live;
    return 0;
}

static void live_end(struct survey *s, size_t request) {
    const warm_trace *t = s->t->trace;
    const warm_trace_session *w = &t->sessions[t->agents[t->requests[request].agent].session];
    for (uint32_t i = w->first; i < w->first + w->n; i++) {
        count_path(s, s->current[i], false);
        s->current[i] = 0;
    }
}

static int ask(struct survey *s, const warm_drive_ask *a, uint64_t now_ns, uint32_t max_nodes, warm_err *err) {
    warm_tree *t = s->t;
    int rc = add_prompt(t, a->request, max_nodes, err);
    if (!rc && t->trace->kind != WARM_TRACE_STAMPS) rc = live_ask(s, a, err);
    if (rc) return rc;
    t->asks[t->n_asks++] = (warm_tree_ask){(uint32_t)a->request, 0};
    if (s->n_answers == s->cap_answers) {
        s->cap_answers = s->cap_answers ? s->cap_answers * 2 : 64;
        struct answer *more = warm_realloc(s->answers, s->cap_answers * sizeof *more);
        if (!more) return no_memory(err);
        s->answers = more;
    }
    uint64_t busy_ns = (uint64_t)(t->trace->requests[a->request].busy_s * 1e9);
    s->answers[s->n_answers++] = (struct answer){*a, now_ns + busy_ns};
    return 0;
}

static void answer(struct survey *s, size_t i) {
    struct answer x = s->answers[i];
    s->answers[i] = s->answers[--s->n_answers];
    bool ended = warm_drive_answered(s->d, &x.ask, x.at_ns);
    if (ended && s->t->trace->kind != WARM_TRACE_STAMPS) live_end(s, x.ask.request);
}

static int go_through(struct survey *s, uint32_t max_nodes, warm_err *err) {
    bool stamps = s->t->trace->kind == WARM_TRACE_STAMPS;
    for (uint64_t now = 0;;) {
        size_t first = 0;
        for (size_t i = 1; i < s->n_answers; i++) {
            if (s->answers[i].at_ns < s->answers[first].at_ns) first = i;
        }
        uint64_t due = warm_drive_when(s->d);
        if (s->n_answers && (stamps || s->answers[first].at_ns <= due)) {
            if (s->answers[first].at_ns > now) now = s->answers[first].at_ns;
            answer(s, first);
            continue;
        }
        if (due == UINT64_MAX) return 0;
        if (due > now) now = due;
        warm_drive_ask a;
        if (!warm_drive_next(s->d, now, &a)) return 0;
        int rc = ask(s, &a, now, max_nodes, err);
        if (rc) return rc;
    }
}

int warm_tree_new(const warm_trace *trace, const warm_trace_shape *shape, const warm_drive_options *drive, uint32_t max_nodes,
                  warm_tree **out, warm_err *err) {
    warm_drive_options o = *drive;
    o.n_repeats = 1;
    warm_tree *t = warm_xcalloc(1, sizeof *t);
    struct survey s = {.t = t, .d = warm_drive_new(&o)};
    t->trace = trace;
    t->shape = *shape;
    t->n_nodes = 1;
    t->end = warm_calloc(trace->n_requests, sizeof *t->end);
    t->length = warm_calloc(trace->n_requests, sizeof *t->length);
    t->asks = warm_calloc(trace->n_requests, sizeof *t->asks);
    s.current = warm_calloc(trace->n_agents + 1, sizeof *s.current);
    int rc = 0;
    if (!t->end || !t->length || !t->asks || !s.current || !grow_nodes(t) || !grow_table(t))
        rc = no_memory(err);
    else
        rc = go_through(&s, max_nodes, err);
    warm_drive_free(s.d);
    free(s.answers);
    free(s.users);
    free(s.current);
    if (rc) {
        warm_tree_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void warm_tree_free(warm_tree *t) {
    if (!t) return;
    free(t->parent);
    free(t->tokens);
    free(t->key);
    free(t->table);
    free(t->end);
    free(t->length);
    free(t->asks);
    free(t);
}
