/* SPDX-License-Identifier: MIT
 *
 * tools/replay_read.c - lines of JSON become a trace: see replay_trace.h.
 *
 * Everything is checked where it is read, so that nothing behind it has to: numbers are in their ranges, a prompt is not empty, and its
 * blocks cover just its units. */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "base/alloc.h"
#include "tools/replay_trace.h"

enum { NESTED_MAX = 16, STAMPS_BLOCK = 512, UNITS_MAX = 1 << 28, BLOCK_MAX = 1 << 20 };

typedef struct json_object jv;

/* Room for n more in an array; false without memory. */
static bool grow(void *array, size_t *cap, size_t n_used, size_t n, size_t size) {
    if (n_used + n <= *cap) return true;
    size_t more = *cap ? *cap * 2 : 64;
    while (more < n_used + n) more *= 2;
    void *p = warm_realloc(*(void **)array, more * size);
    if (!p) return false;
    *(void **)array = p;
    *cap = more;
    return true;
}
#define GROW(t, what, n) grow(&(t)->what, &(t)->cap_##what, (t)->n_##what, n, sizeof *(t)->what)

static int no_memory(warm_err *err) {
    return warm_err_set(err, WARM_ENOMEM, "out of memory");
}

static jv *member(const jv *o, const char *key) {
    jv *v = NULL;
    json_object_object_get_ex(o, key, &v);
    return v;
}

/* A number in [0, most]; absent is 0 unless it is needed. */
static int number(const jv *o, const char *key, bool needed, double most, double *out, warm_err *err) {
    jv *v = member(o, key);
    *out = 0;
    if (!v && !needed) return 0;
    enum json_type type = json_object_get_type(v);
    bool is = type == json_type_int || type == json_type_double;
    *out = is ? json_object_get_double(v) : 0;
    if (is && *out >= 0 && *out <= most) return 0;
    return warm_err_set(err, WARM_EINVAL, "%s: a number from 0 to %.0f is needed", key, most);
}

static int whole(const jv *o, const char *key, uint32_t most, uint32_t *out, warm_err *err) {
    double v;
    int rc = number(o, key, true, most, &v, err);
    *out = rc ? 0 : (uint32_t)v;
    return rc;
}

/* Of an array: a whole number >= 0. */
static bool whole_at(const jv *a, size_t i, uint64_t *out) {
    jv *v = json_object_array_get_idx(a, i);
    if (json_object_get_type(v) != json_type_int || json_object_get_int64(v) < 0) return false;
    *out = (uint64_t)json_object_get_int64(v);
    return true;
}

/* Neighbours become one. */
static bool push_run(warm_trace *t, warm_trace_request *r, uint64_t first, uint64_t n) {
    if (r->n_runs) {
        warm_trace_run *last = &t->runs[t->n_runs - 1];
        if (last->first + last->n == first) {
            last->n += n;
            return true;
        }
    }
    if (!GROW(t, runs, 1)) return false;
    t->runs[t->n_runs++] = (warm_trace_run){first, n};
    r->n_runs++;
    return true;
}

static int push_request(warm_trace *t, const warm_trace_request *r, warm_err *err) {
    if (!GROW(t, requests, 1)) return no_memory(err);
    t->requests[t->n_requests++] = *r;
    return 0;
}

/* ---- sessions ---- */

static int session_request(warm_trace *t, uint32_t agent, const jv *o, warm_err *err) {
    warm_trace_request r = {.agent = agent, .at = t->n_runs};
    const jv *blocks = member(o, "blocks");
    uint32_t n_in;
    int rc = number(o, "t", true, 1e12, &r.t_s, err);
    if (!rc) rc = number(o, "api_time", false, 1e9, &r.busy_s, err);
    if (!rc) rc = whole(o, "in", UNITS_MAX, &n_in, err);
    if (!rc) rc = whole(o, "out", UNITS_MAX, &r.n_out, err);
    if (rc) return rc;
    if (!json_object_is_type(blocks, json_type_array)) return warm_err_set(err, WARM_EINVAL, "blocks: an array is needed");
    uint64_t sum = 0, block = t->agents[agent].block;
    for (size_t i = 0; i < json_object_array_length(blocks); i++) {
        const jv *run = json_object_array_get_idx(blocks, i);
        uint64_t first, n;
        bool good = json_object_is_type(run, json_type_array) && json_object_array_length(run) == 2 && whole_at(run, 0, &first) &&
                    whole_at(run, 1, &n) && n > 0 && n <= UNITS_MAX;
        if (!good) return warm_err_set(err, WARM_EINVAL, "blocks: run %zu is not [first id, count]", i);
        sum += n;
        if (sum > UNITS_MAX / block) return warm_err_set(err, WARM_EINVAL, "blocks: more than %d units", UNITS_MAX);
        if (!push_run(t, &r, first, n)) return no_memory(err);
    }
    /* A prompt shorter than a block, or one whose blocks were not recorded. */
    if (!sum) return 0;
    r.n_in = (uint32_t)(sum * block);
    return push_request(t, &r, err);
}

/* What is still to be read of a session: an agent's list is read as a whole, then those of the sub-agents in it. */
struct waiting {
    const jv *list;
    int32_t parent, after;
    double start_s;
    uint32_t block, tool, system;
};

struct waiting_list {
    struct waiting *at;
    size_t n, cap;
};

static int session_agent(warm_trace *t, const struct waiting *w, struct waiting_list *more, warm_err *err) {
    if (!GROW(t, agents, 1)) return no_memory(err);
    uint32_t id = (uint32_t)t->n_agents++;
    warm_trace_agent *a = &t->agents[id];
    *a = (warm_trace_agent){.session = (uint32_t)t->n_sessions,
                            .parent = w->parent,
                            .after = w->after,
                            .start_s = w->start_s,
                            .block = w->block,
                            .n_prefix = (w->tool + w->system) / w->block,
                            /* of blocks of another size: another one */
                            .prefix_key = ((uint64_t)w->tool << 32 | w->system) + w->block * 0x9e3779b97f4a7c15u,
                            .first = t->n_requests};
    for (size_t i = 0; i < json_object_array_length(w->list); i++) {
        const jv *o = json_object_array_get_idx(w->list, i);
        if (!json_object_is_type(o, json_type_object)) return warm_err_set(err, WARM_EINVAL, "request %zu is not an object", i);
        const jv *sub = member(o, "subagent");
        if (!sub) {
            int rc = session_request(t, id, o, err);
            if (rc) return rc;
            continue;
        }
        struct waiting next = {
            .list = sub, .parent = (int32_t)id, .after = (int32_t)(t->n_requests - t->agents[id].first) - 1, .block = w->block};
        if (!json_object_is_type(sub, json_type_array)) return warm_err_set(err, WARM_EINVAL, "subagent: an array is needed");
        int rc = number(o, "t", false, 1e12, &next.start_s, err);
        if (!rc) rc = whole(o, "tool_tokens", UNITS_MAX, &next.tool, err);
        if (!rc) rc = whole(o, "system_tokens", UNITS_MAX, &next.system, err);
        if (rc) return rc;
        if (!grow(&more->at, &more->cap, more->n, 1, sizeof *more->at)) return no_memory(err);
        more->at[more->n++] = next;
    }
    t->agents[id].n = t->n_requests - t->agents[id].first;
    return 0;
}

/* Agents that ask nothing are left out, unless others began with them. */
static int session_line(warm_trace *t, const jv *o, warm_err *err) {
    struct waiting_list list = {0};
    struct waiting w = {.list = member(o, "requests"), .parent = -1, .after = -1};
    if (!json_object_is_type(w.list, json_type_array)) return warm_err_set(err, WARM_EINVAL, "requests: an array is needed");
    int rc = whole(o, "block_size", BLOCK_MAX, &w.block, err);
    if (!rc && !w.block) rc = warm_err_set(err, WARM_EINVAL, "block_size: 0");
    if (!rc) rc = whole(o, "tool_tokens", UNITS_MAX, &w.tool, err);
    if (!rc) rc = whole(o, "system_tokens", UNITS_MAX, &w.system, err);
    uint32_t first = (uint32_t)t->n_agents;
    if (!rc) rc = session_agent(t, &w, &list, err);
    for (size_t i = 0; !rc && i < list.n; i++) {
        struct waiting next = list.at[i];
        rc = session_agent(t, &next, &list, err);
    }
    free(list.at);
    if (!rc && !GROW(t, sessions, 1)) rc = no_memory(err);
    if (!rc) t->sessions[t->n_sessions++] = (warm_trace_session){first, (uint32_t)t->n_agents - first};
    return rc;
}

/* ---- stamps ---- */

static int stamp_line(warm_trace *t, const jv *o, warm_err *err) {
    warm_trace_request r = {.at = t->n_runs};
    const jv *ids = member(o, "hash_ids");
    double ms;
    int rc = number(o, "timestamp", true, 1e15, &ms, err);
    if (!rc) rc = whole(o, "input_length", UNITS_MAX, &r.n_in, err);
    if (!rc) rc = whole(o, "output_length", UNITS_MAX, &r.n_out, err);
    if (rc) return rc;
    if (!json_object_is_type(ids, json_type_array)) return warm_err_set(err, WARM_EINVAL, "hash_ids: an array is needed");
    size_t n = json_object_array_length(ids);
    if (!r.n_in || n != (r.n_in + STAMPS_BLOCK - 1) / STAMPS_BLOCK)
        return warm_err_set(err, WARM_EINVAL, "input_length: %u tokens are not %zu blocks of %d", r.n_in, n, STAMPS_BLOCK);
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        if (!whole_at(ids, i, &id)) return warm_err_set(err, WARM_EINVAL, "hash_ids: %zu is not a whole number", i);
        if (!push_run(t, &r, id, 1)) return no_memory(err);
    }
    r.t_s = ms / 1e3;
    return push_request(t, &r, err);
}

/* ---- texts ---- */

static int text_line(warm_trace *t, const jv *o, bool first_of_file, warm_err *err) {
    jv *in = member(o, "input"), *out = member(o, "output");
    double us;
    int rc = number(o, "timestamp", true, 1e18, &us, err);
    if (rc) return rc;
    if (!json_object_is_type(in, json_type_string) || !json_object_is_type(out, json_type_string))
        return warm_err_set(err, WARM_EINVAL, "input and output: texts are needed");
    size_t n = (size_t)json_object_get_string_len(in);
    if (n > UNITS_MAX) return warm_err_set(err, WARM_EINVAL, "input: more than %d bytes", UNITS_MAX);
    if (first_of_file || !t->n_agents) { /* what came before may have asked for nothing */
        if (!GROW(t, sessions, 1) || !GROW(t, agents, 1)) return no_memory(err);
        t->sessions[t->n_sessions] = (warm_trace_session){(uint32_t)t->n_agents, 1};
        t->agents[t->n_agents++] = (warm_trace_agent){.session = (uint32_t)t->n_sessions++,
                                                      .parent = -1,
                                                      .after = -1,
                                                      .block = 1,
                                                      .first = t->n_requests,
                                                      .start_s = us / 1e6};
    }
    if (!n) return 0; /* nothing was asked */
    if (!GROW(t, text, n)) return no_memory(err);
    warm_trace_agent *a = &t->agents[t->n_agents - 1];
    double t_s = us / 1e6 - a->start_s;
    warm_trace_request r = {.t_s = t_s < 0 ? 0 : t_s,
                            .agent = (uint32_t)t->n_agents - 1,
                            .n_in = (uint32_t)n,
                            .n_out = (uint32_t)json_object_get_string_len(out),
                            .at = t->n_text};
    memcpy(t->text + t->n_text, json_object_get_string(in), n);
    t->n_text += n;
    a->n++;
    return push_request(t, &r, err);
}

/* ---- lines and files ---- */

static int kind_of(const jv *o, enum warm_trace_kind *kind, warm_err *err) {
    if (member(o, "requests"))
        *kind = WARM_TRACE_SESSIONS;
    else if (member(o, "hash_ids"))
        *kind = WARM_TRACE_STAMPS;
    else if (member(o, "input"))
        *kind = WARM_TRACE_TEXTS;
    else
        return warm_err_set(err, WARM_EINVAL, "no kind of trace that is known: neither requests nor hash_ids nor input is there");
    return 0;
}

static int take_object(warm_trace *t, const jv *o, bool first_of_file, warm_err *err) {
    enum warm_trace_kind kind = t->kind;
    if (!json_object_is_type(o, json_type_object)) return warm_err_set(err, WARM_EINVAL, "not a JSON object");
    int rc = kind_of(o, &kind, err);
    if (rc) return rc;
    if (!t->n_requests && !t->n_sessions) t->kind = kind;
    if (kind != t->kind) return warm_err_set(err, WARM_EINVAL, "another kind of trace than the lines before");
    if (kind == WARM_TRACE_SESSIONS) return session_line(t, o, err);
    return kind == WARM_TRACE_STAMPS ? stamp_line(t, o, err) : text_line(t, o, first_of_file, err);
}

int warm_trace_line(warm_trace *t, const char *line, size_t len, bool first_of_file, warm_err *err) {
    struct json_tokener *tok = json_tokener_new_ex(NESTED_MAX * 2);
    if (!tok) return no_memory(err);
    if (len > INT32_MAX) len = INT32_MAX;
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    jv *o = json_tokener_parse_ex(tok, line, (int)len);
    enum json_tokener_error why = json_tokener_get_error(tok);
    int rc;
    if (why == json_tokener_continue)
        rc = warm_err_set(err, WARM_EINVAL, "not JSON: the line ends too early");
    else if (why != json_tokener_success)
        rc = warm_err_set(err, WARM_EINVAL, "not JSON: %s", json_tokener_error_desc(why));
    else
        rc = take_object(t, o, first_of_file, err); /* strict mode has looked behind the value as well */
    json_object_put(o);
    json_tokener_free(tok);
    return rc;
}

static int by_time(const void *a, const void *b) {
    const warm_trace_request *x = a, *y = b;
    if (x->t_s != y->t_s) return x->t_s < y->t_s ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

int warm_trace_end(warm_trace *t, warm_err *err) {
    if (!t->n_requests) return warm_err_set(err, WARM_EINVAL, "no requests are in it");
    if (t->kind == WARM_TRACE_STAMPS) {
        qsort(t->requests, t->n_requests, sizeof *t->requests, by_time);
        double t0 = t->requests[0].t_s;
        for (size_t i = 0; i < t->n_requests; i++) t->requests[i].t_s -= t0;
    }
    /* A text's own clock begins with it. */
    for (size_t i = 0; t->kind == WARM_TRACE_TEXTS && i < t->n_agents; i++) t->agents[i].start_s = 0;
    return 0;
}

static int read_file(warm_trace *t, const char *path, warm_err *err) {
    FILE *f = fopen(path, "r");
    if (!f) return warm_err_set(err, WARM_EIO, "can't open %s: %s", path, strerror(errno));
    char *line = NULL;
    size_t cap = 0, n = 0;
    int rc = 0;
    bool first = true;
    ssize_t len;
    while (!rc && (errno = 0, len = getline(&line, &cap, f)) >= 0) {
        n++;
        while (len > 0 && strchr(" \t\r\n", line[len - 1])) len--;
        if (!len) continue;
        warm_err why = {0};
        rc = warm_trace_line(t, line, (size_t)len, first, &why);
        if (rc) warm_err_set(err, rc, "%s, line %zu: %s", path, n, why.text);
        first = false;
    }
    if (!rc && ferror(f)) rc = warm_err_set(err, WARM_EIO, "can't read %s: %s", path, strerror(errno));
    free(line);
    fclose(f);
    return rc;
}

int warm_trace_read(const char *const *paths, size_t n_paths, warm_trace *out, warm_err *err) {
    *out = (warm_trace){0};
    int rc = 0;
    for (size_t i = 0; !rc && i < n_paths; i++) rc = read_file(out, paths[i], err);
    if (!rc && (rc = warm_trace_end(out, err)) != 0) warm_err_set(err, rc, "%s: no requests are in it", paths[0]);
    if (rc) warm_trace_free(out);
    return rc;
}
