/* SPDX-License-Identifier: MIT
 *
 * tools/replay.c - the command: cells one after the other, the bar, and what is written where. See replay.h.
 *
 * The optimum of a cell is for the order in which its first policy's run was asked: where people think between answers, how long answers take decides
 * who is next. */
#include "tools/replay.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/log.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    DEFAULT_USERS = 8,
    SIM_VOCAB = 1 << 20,
    NODES_MAX = 1 << 26, /* 2 GB at most for the tree of a trace */
    BAR = 40,
};

/* ---- results ---- */

void warm_replay_result_free(warm_replay_result *r) {
    free(r->first_s);
    free(r->asks);
    r->first_s = NULL;
    r->asks = NULL;
}

static bool grow(void *array, size_t *cap, size_t n, size_t size) {
    if (n < *cap) return true;
    size_t more = *cap ? *cap * 2 : 1024;
    void *p = warm_realloc(*(void **)array, more * size);
    if (!p) return false;
    *(void **)array = p;
    *cap = more;
    return true;
}

bool warm_replay_note_ask(warm_replay_result *r, const warm_drive_ask *a) {
    if (!grow(&r->asks, &r->cap_asks, r->n_asks, sizeof *r->asks)) return false;
    r->asks[r->n_asks++] = (warm_tree_ask){(uint32_t)a->request, (uint32_t)a->repeat};
    return true;
}

bool warm_replay_note_first(warm_replay_result *r, double seconds) {
    if (!grow(&r->first_s, &r->cap_first, r->n_first, sizeof *r->first_s)) return false;
    r->first_s[r->n_first++] = (float)seconds;
    return true;
}

void warm_replay_note_failure(warm_replay_result *r, const char *why) {
    if (!r->n_failed++) snprintf(r->failure, sizeof r->failure, "%s", why);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* ---- the bar ---- */

struct bar {
    bool on;
    const char *cell, *policy;
    unsigned percent; /* that is shown */
};

static void show(void *ud, const warm_replay_result *r, uint64_t total) {
    struct bar *bar = ud;
    unsigned percent = total ? (unsigned)(r->n_requests * 100 / total) : 100;
    if (!bar->on || percent == bar->percent) return;
    bar->percent = percent;
    char line[BAR + 1];
    for (unsigned i = 0; i < BAR; i++) line[i] = i * 100 < percent * BAR ? '#' : '.';
    line[BAR] = '\0';
    fprintf(stderr, "\r%-12s %-8s %s %3u%%", bar->cell, bar->policy, line, percent);
}

static void hide(const struct bar *bar) {
    if (bar->on) fprintf(stderr, "\r\033[K");
}

/* ---- cells ---- */

uint64_t warm_replay_ram_bytes(const warm_replay *w, const warm_replay_ram *ram) {
    if (ram->kind == WARM_RAM_BYTES) return (uint64_t)ram->value;
    double tokens = ram->kind == WARM_RAM_TOKENS ? ram->value : ceil(ram->value * (double)w->tree->live_tokens);
    return (uint64_t)tokens * w->o->kv_bytes;
}

static int add_bounds(const warm_replay *w, warm_replay_cell *c, warm_err *err) {
    const warm_replay_result *r = &c->results[0];
    if (!w->tree) return 0;
    c->oracle_tokens = w->tree->oracle_tokens * w->o->n_repeats;
    if ((uint64_t)w->tree->n_nodes * w->o->n_repeats > NODES_MAX) return 0;
    warm_optimum *o;
    int rc = warm_optimum_new(w->tree, r->asks, r->n_asks, &o, err);
    if (rc) return rc;
    rc = warm_optimum_run(o, c->bytes / w->o->kv_bytes, &c->optimum_tokens, err);
    warm_optimum_free(o);
    c->has_optimum = !rc;
    return rc;
}

static int run_server(const warm_replay *w, warm_replay_cell *c, warm_err *err) {
    *c = (warm_replay_cell){.ram = "", .n_results = 1};
    struct bar bar = {.on = isatty(STDERR_FILENO), .cell = "server", .policy = "", .percent = 101};
    int rc = warm_replay_server(w, show, &bar, &c->results[0], err);
    if (c->results[0].n_first) qsort(c->results[0].first_s, c->results[0].n_first, sizeof(float), by_value);
    hide(&bar);
    /* What a text is in tokens only the server knows. */
    if (w->tree && w->trace->kind != WARM_TRACE_TEXTS) c->oracle_tokens = w->tree->oracle_tokens * w->o->n_repeats;
    return rc;
}

static int run_cell(const warm_replay *w, const warm_replay_ram *ram, warm_replay_cell *c, warm_err *err) {
    const warm_replay_options *o = w->o;
    *c = (warm_replay_cell){.ram = ram->text, .bytes = warm_replay_ram_bytes(w, ram)};
    int rc = 0;
    for (size_t i = 0; !rc && i < o->n_policies; i++) {
        struct bar bar = {.on = isatty(STDERR_FILENO), .cell = c->ram, .policy = o->policies[i], .percent = 101};
        warm_replay_result *r = &c->results[c->n_results++];
        rc = warm_replay_sim(w, c->bytes, o->policies[i], show, &bar, r, err);
        if (r->n_first) qsort(r->first_s, r->n_first, sizeof *r->first_s, by_value);
        hide(&bar);
    }
    return rc ? rc : add_bounds(w, c, err);
}

static int run_cells(const warm_replay *w, warm_replay_cell *cells, size_t *n, warm_err *err) {
    const warm_replay_options *o = w->o;
    bool table = !o->json || strcmp(o->json, "-");
    warm_buf b;
    warm_buf_init(&b, SIZE_MAX / 2);
    warm_replay_print_head(&b, w);
    int rc = 0;
    for (*n = 0; !rc && *n < (warm_replay_simulates(o) ? o->n_ram : 1);) {
        rc = warm_replay_simulates(o) ? run_cell(w, &o->ram[*n], &cells[*n], err) : run_server(w, &cells[*n], err);
        (*n)++;
        if (!rc) warm_replay_print_cell(&b, w, &cells[*n - 1]);
        if (!rc && warm_buf_err(&b)) rc = warm_err_set(err, WARM_ENOMEM, "out of memory");
        if (!rc && table && (fwrite(b.data, 1, b.len, stdout) != b.len || fflush(stdout)))
            rc = warm_err_set(err, WARM_EIO, "can't write the table: %s", strerror(errno));
        warm_buf_clear(&b);
    }
    warm_buf_free(&b);
    return rc;
}

static int write_json(const warm_replay *w, const warm_replay_cell *cells, size_t n, warm_err *err) {
    const char *path = w->o->json;
    bool to_stdout = !strcmp(path, "-");
    warm_buf b;
    warm_buf_init(&b, SIZE_MAX / 2);
    warm_replay_print_json(&b, w, cells, n);
    FILE *f = to_stdout ? stdout : fopen(path, "w");
    bool done = f && !warm_buf_err(&b) && fwrite(b.data, 1, b.len, f) == b.len && fflush(f) == 0;
    if (f && !to_stdout && fclose(f) != 0) done = false;
    int rc = done ? 0 : warm_err_set(err, WARM_EIO, "can't write %s: %s", path, strerror(errno));
    warm_buf_free(&b);
    return rc;
}

/* ---- what is run ---- */

static int choose_drive(warm_replay *w, warm_err *err) {
    const warm_replay_options *o = w->o;
    w->drive = (warm_drive_options){.trace = w->trace, .users = o->users, .rotate = o->rotate, .n_repeats = o->n_repeats};
    if (w->trace->kind == WARM_TRACE_STAMPS) {
        if (o->users || o->rotate) return warm_err_set(err, WARM_EINVAL, "--users and --rotate are for traces with sessions");
        return 0;
    }
    w->drive.no_thinking = !warm_replay_simulates(o);
    if (o->users || o->rotate) return 0;
    if (w->trace->kind == WARM_TRACE_TEXTS && o->parallel == 1)
        w->drive.rotate = (uint32_t)w->trace->n_sessions;
    else
        w->drive.users = warm_replay_simulates(o) ? DEFAULT_USERS : o->parallel;
    return 0;
}

static int choose_ram(const warm_replay *w, warm_replay_options *o, warm_err *err) {
    bool stamps = w->trace->kind == WARM_TRACE_STAMPS;
    if (!o->n_ram) {
        o->n_ram = 1;
        o->ram[0] = stamps ? (warm_replay_ram){"1Mt", WARM_RAM_TOKENS, 1e6} : (warm_replay_ram){"1/1", WARM_RAM_LIVE, 1};
    }
    for (size_t i = 0; i < o->n_ram; i++) {
        if (o->ram[i].kind != WARM_RAM_LIVE) continue;
        if (stamps) return warm_err_set(err, WARM_EINVAL, "--ram %s: a live set is of traces with sessions", o->ram[i].text);
        if (!w->tree) return warm_err_set(err, WARM_EINVAL, "--ram %s: the trace is too large for a live set", o->ram[i].text);
    }
    return 0;
}

/* WARM_EINVAL is wrong usage from here on too, once the trace could be read. */
static int run(warm_replay_options *o, warm_trace *trace, warm_err *err) {
    warm_tree *tree = NULL;
    warm_replay w = {.o = o, .trace = trace, .shape = {.scale = o->scale, .vocab = SIM_VOCAB, .seed = o->seed}};
    warm_trace_keep_part(trace, o->part, o->n_parts);
    int rc = choose_drive(&w, err);
    if (!rc && !warm_replay_simulates(o) && trace->kind != WARM_TRACE_TEXTS) {
        w.shape.vocab = o->vocab;
        if (!o->vocab) rc = warm_replay_server_vocab(o->engine, &w.shape.vocab, err);
    }
    if (rc) return rc;
    rc = warm_tree_new(trace, &w.shape, &w.drive, NODES_MAX, &tree, err);
    if (rc && rc != WARM_EFULL) return rc;
    w.tree = tree;
    rc = choose_ram(&w, o, err);
    warm_replay_cell *cells = warm_xcalloc(WARM_REPLAY_CELLS_MAX, sizeof *cells);
    size_t n = 0;
    if (!rc) rc = run_cells(&w, cells, &n, err);
    if (!rc && o->json) rc = write_json(&w, cells, n, err);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < cells[i].n_results; k++) warm_replay_result_free(&cells[i].results[k]);
    }
    free(cells);
    warm_tree_free(tree);
    return rc;
}

static int fail(const warm_err *err, int status) {
    fprintf(stderr, "warmslot replay: %s\n", err->text);
    if (status == EXIT_USAGE) fputs("warmslot replay --help shows all options\n", stderr);
    return status;
}

int warm_replay_main(int argc, char **argv) {
    warm_replay_options o;
    warm_trace trace = {0};
    warm_err err = {0};
    int status = EXIT_SUCCESS, what = warm_replay_parse(argc, argv, &o, &err);
    if (what < 0)
        status = fail(&err, EXIT_USAGE);
    else if (what == WARM_REPLAY_HELP)
        status = fputs(warm_replay_usage(), stdout) < 0 ? EXIT_FAILED : EXIT_SUCCESS;
    else if (warm_log_open(WARM_LOG_ERROR, false, NULL, &err) || warm_trace_read(o.traces, o.n_traces, &trace, &err))
        status = fail(&err, EXIT_FAILED);
    else {
        int rc = run(&o, &trace, &err);
        if (rc) status = fail(&err, rc == WARM_EINVAL ? EXIT_USAGE : EXIT_FAILED);
    }
    warm_trace_free(&trace);
    warm_replay_options_free(&o);
    return status;
}
