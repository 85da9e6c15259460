/* SPDX-License-Identifier: MIT
 *
 * tools/replay.h - `warmslot replay`: the same requests as in a trace, against the simulated engine or a server, and what they cost.
 *
 * A cell is one size of the cache; it is run once for each policy. A server is one cell.
 * Threads: none of these functions is for two at a time. */
#ifndef WARM_TOOLS_REPLAY_H
#define WARM_TOOLS_REPLAY_H

#include "base/buf.h"
#include "tools/replay_tree.h"

enum { WARM_REPLAY_CELLS_MAX = 32, WARM_REPLAY_POLICIES_MAX = 8 };

enum warm_ram_kind { WARM_RAM_BYTES, WARM_RAM_TOKENS, WARM_RAM_LIVE };

typedef struct warm_replay_ram {
    char text[24]; /* as it was given */
    enum warm_ram_kind kind;
    double value; /* bytes, tokens, or a share of the live set */
} warm_replay_ram;

typedef struct warm_replay_options {
    const char **traces; /* owned; the texts are argv's */
    size_t n_traces;
    const char *engine; /* "sim", or a URL */
    uint32_t users, rotate, parallel, slots, ctx, scale, part, n_parts;
    uint64_t n_repeats, seed;
    warm_replay_ram ram[WARM_REPLAY_CELLS_MAX];
    size_t n_ram;
    const char *policies[WARM_REPLAY_POLICIES_MAX];
    size_t n_policies;
    bool has_policies;      /* they were given */
    char policy_names[256]; /* what policies point to */
    uint64_t kv_bytes;
    double prefill_rate;
    int64_t predict; /* -1: as many as in the trace */
    int32_t vocab;   /* 0: the server's */
    const char *json;
} warm_replay_options;

enum warm_replay_what { WARM_REPLAY_RUN, WARM_REPLAY_HELP };

/* A negative error for wrong usage. *o needs warm_replay_options_free in any case. */
WARM_MUST_USE int warm_replay_parse(int argc, char **argv, warm_replay_options *o, warm_err *err);
void warm_replay_options_free(warm_replay_options *o);
const char *warm_replay_usage(void);

/* What is to be run, made of the options and the trace. */
typedef struct warm_replay {
    const warm_replay_options *o;
    const warm_trace *trace;
    const warm_tree *tree; /* NULL: it was too large */
    warm_trace_shape shape;
    warm_drive_options drive;
} warm_replay;

typedef struct warm_replay_result {
    const char *policy; /* "" of a server */
    uint64_t n_requests, n_failed, n_prompt, n_computed, n_device, n_ram;
    float *first_s; /* owned: of each request that was answered; sorted once they are all there */
    size_t n_first, cap_first;
    uint64_t bytes_in, bytes_out; /* loaded from the cache; saved to it */
    uint64_t budget_bytes, peak_bytes;
    double seconds;      /* on the engine's clock */
    warm_tree_ask *asks; /* owned: the order in which they were asked */
    size_t n_asks, cap_asks;
    char failure[256]; /* of the first that failed */
} warm_replay_result;

void warm_replay_result_free(warm_replay_result *r);
/* For engines: what has happened. Without memory false. */
bool warm_replay_note_ask(warm_replay_result *r, const warm_drive_ask *a);
bool warm_replay_note_first(warm_replay_result *r, double seconds);
void warm_replay_note_failure(warm_replay_result *r, const char *why);

/* Called after each request. */
typedef void warm_replay_progress(void *ud, const warm_replay_result *r, uint64_t total);

/* The simulated engine with so many bytes of cache. The policy's name is one of warm_policy_names(). */
WARM_MUST_USE int warm_replay_sim(const warm_replay *w, uint64_t budget_bytes, const char *policy, warm_replay_progress *progress,
                                  void *ud, warm_replay_result *out, warm_err *err);
/* A server. WARM_EIO: it can't be reached, or has refused a request. */
WARM_MUST_USE int warm_replay_server(const warm_replay *w, warm_replay_progress *progress, void *ud, warm_replay_result *out,
                                     warm_err *err);
WARM_MUST_USE int warm_replay_server_vocab(const char *url, int32_t *vocab, warm_err *err);
static inline bool warm_replay_simulates(const warm_replay_options *o) {
    return o->engine[0] == 's';
}
/* Bytes of a cell; 0 = no cache. */
uint64_t warm_replay_ram_bytes(const warm_replay *w, const warm_replay_ram *ram);

typedef struct warm_replay_cell {
    const char *ram; /* "" of a server */
    uint64_t bytes;
    warm_replay_result results[WARM_REPLAY_POLICIES_MAX];
    size_t n_results;
    bool has_optimum;
    uint64_t optimum_tokens, oracle_tokens;
} warm_replay_cell;

/* replay_report.c: text for people, and JSON. head: what is replayed. */
void warm_replay_print_head(warm_buf *b, const warm_replay *w);
void warm_replay_print_cell(warm_buf *b, const warm_replay *w, const warm_replay_cell *c);
void warm_replay_print_json(warm_buf *b, const warm_replay *w, const warm_replay_cell *cells, size_t n);

/* The command; argv[0] is its name. Returns the program's exit status. */
int warm_replay_main(int argc, char **argv);

#endif
