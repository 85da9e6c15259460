/* SPDX-License-Identifier: MIT
 *
 * tools/replay_report.c - a replay's figures as a table and as JSON. See replay.h.
 *
 * The same run gives the same bytes: nothing of the machine or of the time it took is in it, where the engine is simulated. */
#include <stdio.h>
#include <string.h>

#include "base/json_write.h"
#include "tools/replay.h"

static const char *kind_name(enum warm_trace_kind k) {
    return k == WARM_TRACE_SESSIONS ? "sessions" : k == WARM_TRACE_STAMPS ? "requests at their times" : "texts";
}

/* Three digits that matter: 1.23M, 12.3M, 123M. */
static const char *amount(char *buf, size_t cap, double v, double base, const char *const *units) {
    size_t i = 0;
    while (v >= base && units[i + 1]) v /= base, i++;
    snprintf(buf, cap, "%.*f%s", i == 0 ? 0 : v < 10 ? 2 : v < 100 ? 1 : 0, v, units[i]);
    return buf;
}
static const char *bytes_text(char *buf, size_t cap, uint64_t v) {
    static const char *const units[] = {"", "K", "M", "G", "T", "P", NULL};
    return amount(buf, cap, (double)v, 1024, units);
}
static const char *tokens_text(char *buf, size_t cap, uint64_t v) {
    static const char *const units[] = {"", "k", "M", "G", NULL};
    return amount(buf, cap, (double)v, 1000, units);
}

static double percentile(const warm_replay_result *r, unsigned percent) {
    return r->n_first ? (double)r->first_s[(r->n_first - 1) * percent / 100] : 0;
}

static const warm_replay_result *lru_of(const warm_replay_cell *c) {
    for (size_t i = 0; i < c->n_results; i++) {
        if (!strcmp(c->results[i].policy, "lru")) return &c->results[i];
    }
    return NULL;
}

/* How much of the distance between lru and the optimum is left behind. false: there is none. */
static bool closed(const warm_replay_cell *c, uint64_t n_computed, double *share) {
    const warm_replay_result *lru = lru_of(c);
    if (!lru || !c->has_optimum || lru->n_computed <= c->optimum_tokens) return false;
    *share = ((double)lru->n_computed - (double)n_computed) / (double)(lru->n_computed - c->optimum_tokens);
    return true;
}

static const char *closed_text(char *buf, size_t cap, const warm_replay_cell *c, uint64_t n_computed) {
    double share;
    snprintf(buf, cap, "-");
    if (closed(c, n_computed, &share)) snprintf(buf, cap, "%.1f%%", share * 100);
    return buf;
}

void warm_replay_print_head(warm_buf *b, const warm_replay *w) {
    const warm_replay_options *o = w->o;
    const warm_trace *t = w->trace;
    char x[32], y[32];
    warm_buf_printf(b, "%s:", kind_name(t->kind));
    if (t->kind != WARM_TRACE_STAMPS) warm_buf_printf(b, " %zu of them,", t->n_sessions);
    if (w->tree) {
        warm_buf_printf(b, " %zu requests, %s prompt tokens, oracle %s", w->tree->n_asks,
                        tokens_text(x, sizeof x, w->tree->n_tokens), tokens_text(y, sizeof y, w->tree->oracle_tokens));
        if (t->kind != WARM_TRACE_STAMPS)
            warm_buf_printf(b, "; live set %s tokens, %s at %llu bytes a token", tokens_text(x, sizeof x, w->tree->live_tokens),
                            bytes_text(y, sizeof y, w->tree->live_tokens * o->kv_bytes), (unsigned long long)o->kv_bytes);
    } else {
        warm_buf_puts(b, " more different blocks than fit: no oracle, no live set, no optimum");
    }
    if (o->n_parts > 1) warm_buf_printf(b, "; part %u/%u", o->part, o->n_parts);
    if (o->n_repeats > 1) warm_buf_printf(b, "; %llu times", (unsigned long long)o->n_repeats);
    if (o->scale > 1) warm_buf_printf(b, "; scaled by %u", o->scale);
    if (w->drive.users)
        warm_buf_printf(b, w->drive.no_thinking ? "\n%u side by side" : "\n%u users", w->drive.users);
    else if (w->drive.rotate)
        warm_buf_printf(b, "\n%u in turn", w->drive.rotate);
    else if (warm_replay_simulates(o))
        warm_buf_printf(b, "\nat their times");
    else
        warm_buf_printf(b, "\n%u side by side", o->parallel);
    warm_buf_printf(b, ", %s\n\n", o->engine);
    warm_buf_printf(b, "%-18s %-10s %9s %10s %10s %7s %9s %9s %9s %8s %8s %8s %8s\n", "ram", "policy", "requests", "prompt",
                    "computed", "/oracle", "first p50", "p95", "p99", "in", "out", "peak", "closes");
}

static void print_ratio(warm_buf *b, const warm_replay_cell *c, uint64_t computed) {
    if (c->oracle_tokens)
        warm_buf_printf(b, " %7.3f", (double)computed / (double)c->oracle_tokens);
    else
        warm_buf_printf(b, " %7s", "-");
}

static void print_run(warm_buf *b, const warm_replay_cell *c, const warm_replay_result *r, const char *name) {
    char x[32], y[32], z[32];
    warm_buf_printf(b, "%-18s %-10s %9llu %10s %10llu", name, r->policy, (unsigned long long)r->n_requests,
                    tokens_text(x, sizeof x, r->n_prompt), (unsigned long long)r->n_computed);
    print_ratio(b, c, r->n_computed);
    for (unsigned p = 0; p < 3; p++) warm_buf_printf(b, " %8.3fs", percentile(r, (const unsigned[]){50, 95, 99}[p]));
    /* A server does not say what it has moved. */
    if (*c->ram)
        warm_buf_printf(b, " %8s %8s %8s", bytes_text(x, sizeof x, r->bytes_in), bytes_text(y, sizeof y, r->bytes_out),
                        bytes_text(z, sizeof z, r->peak_bytes));
    else
        warm_buf_printf(b, " %8s %8s %8s", "-", "-", "-");
    warm_buf_printf(b, " %8s\n", closed_text(x, sizeof x, c, r->n_computed));
    if (r->n_failed) warm_buf_printf(b, "%18s %llu failed, the first one: %s\n", "", (unsigned long long)r->n_failed, r->failure);
}

static void print_line(warm_buf *b, const warm_replay_cell *c, const char *name, uint64_t computed) {
    warm_buf_printf(b, "%-18s %-10s %9s %10s %10llu", "", name, "", "", (unsigned long long)computed);
    print_ratio(b, c, computed);
    warm_buf_puts(b, "\n");
}

void warm_replay_print_cell(warm_buf *b, const warm_replay *w, const warm_replay_cell *c) {
    char x[32], name[64];
    (void)w;
    snprintf(name, sizeof name, "%s", c->ram);
    if (*c->ram && c->bytes) snprintf(name, sizeof name, "%s = %s", c->ram, bytes_text(x, sizeof x, c->bytes));
    for (size_t i = 0; i < c->n_results; i++) print_run(b, c, &c->results[i], i ? "" : name);
    if (c->has_optimum) print_line(b, c, "optimum", c->optimum_tokens);
    if (c->oracle_tokens) print_line(b, c, "oracle", c->oracle_tokens);
}

static void json_result(warm_json *j, const warm_replay_cell *c, const warm_replay_result *r) {
    double share;
    warm_json_obj(j);
    warm_json_kstr(j, "policy", r->policy);
    warm_json_kuint(j, "requests", r->n_requests);
    warm_json_kuint(j, "failed", r->n_failed);
    warm_json_kuint(j, "prompt_tokens", r->n_prompt);
    warm_json_kuint(j, "computed_tokens", r->n_computed);
    warm_json_kuint(j, "device_tokens", r->n_device);
    warm_json_kuint(j, "ram_tokens", r->n_ram);
    if (c->oracle_tokens) warm_json_kdouble(j, "ratio", (double)r->n_computed / (double)c->oracle_tokens);
    warm_json_kdouble(j, "first_token_p50_s", percentile(r, 50));
    warm_json_kdouble(j, "first_token_p95_s", percentile(r, 95));
    warm_json_kdouble(j, "first_token_p99_s", percentile(r, 99));
    if (*c->ram) {
        warm_json_kuint(j, "bytes_in", r->bytes_in);
        warm_json_kuint(j, "bytes_out", r->bytes_out);
        warm_json_kuint(j, "peak_bytes", r->peak_bytes);
    }
    warm_json_kdouble(j, "seconds", r->seconds);
    if (closed(c, r->n_computed, &share)) warm_json_kdouble(j, "closes", share);
    warm_json_obj_end(j);
}

static void json_cell(warm_json *j, const warm_replay_cell *c) {
    warm_json_obj(j);
    warm_json_kstr(j, "ram", c->ram);
    warm_json_kuint(j, "ram_bytes", c->bytes);
    if (c->oracle_tokens) warm_json_kuint(j, "oracle_tokens", c->oracle_tokens);
    if (c->has_optimum) warm_json_kuint(j, "optimum_tokens", c->optimum_tokens);
    warm_json_key(j, "runs");
    warm_json_arr(j);
    for (size_t i = 0; i < c->n_results; i++) json_result(j, c, &c->results[i]);
    warm_json_arr_end(j);
    warm_json_obj_end(j);
}

void warm_replay_print_json(warm_buf *b, const warm_replay *w, const warm_replay_cell *cells, size_t n) {
    const warm_replay_options *o = w->o;
    warm_json j;
    warm_json_init(&j, b);
    warm_json_obj(&j);
    warm_json_key(&j, "traces");
    warm_json_arr(&j);
    for (size_t i = 0; i < o->n_traces; i++) warm_json_str(&j, o->traces[i]);
    warm_json_arr_end(&j);
    warm_json_kstr(&j, "kind", kind_name(w->trace->kind));
    warm_json_kstr(&j, "engine", o->engine);
    warm_json_kuint(&j, "users", w->drive.users);
    warm_json_kuint(&j, "rotate", w->drive.rotate);
    warm_json_kuint(&j, "part", o->part);
    warm_json_kuint(&j, "parts", o->n_parts);
    warm_json_kuint(&j, "repeats", o->n_repeats);
    warm_json_kuint(&j, "scale", o->scale);
    warm_json_kuint(&j, "kv_bytes", o->kv_bytes);
    if (w->tree) {
        warm_json_kuint(&j, "requests", w->tree->n_asks);
        warm_json_kuint(&j, "prompt_tokens", w->tree->n_tokens);
        warm_json_kuint(&j, "oracle_tokens", w->tree->oracle_tokens);
        if (w->trace->kind != WARM_TRACE_STAMPS) warm_json_kuint(&j, "live_tokens", w->tree->live_tokens);
    }
    warm_json_key(&j, "cells");
    warm_json_arr(&j);
    for (size_t i = 0; i < n; i++) json_cell(&j, &cells[i]);
    warm_json_arr_end(&j);
    warm_json_obj_end(&j);
    warm_buf_putc(b, '\n');
}
