/* SPDX-License-Identifier: MIT
 *
 * tools/replay_trace.h - traces of requests, in a form that is small whatever their prompts are.
 *
 * A prompt is a list of blocks. A block is known by a key: equal keys are equal tokens, and what tokens they are follows from the key alone. So
 * a million prompts are held as runs of block ids and become tokens one at a time. Three kinds are read, told apart by the first line:
 *   sessions  a line per session: tool_tokens, system_tokens, block_size, requests {t, in, out, api_time, blocks: [[first id, count]...]}, among which
 *             sub-agents {t, tool_tokens, system_tokens, subagent: [requests]} stand where they began. Ids are the session's own, but for the
 *             blocks that tool_tokens + system_tokens fill at the beginning of an agent's first prompt: those are shared with every agent that
 *             has equal numbers of both. Units behind the last whole block have no id, so nobody knows who has them, too: they are left out.
 *   stamps    a line per request: timestamp (ms), input_length, output_length, hash_ids of 512-token blocks, global. The last block may be short.
 *   texts     a file per session, a line per call: timestamp (us), input, output. A byte is a block of its own.
 *
 * A trace can be replayed several times in a row: in each repetition all blocks are other ones (`repeat` is part of a key).
 * Threads: [any], one at a time. Not here: who asks when (replay_drive.h). */
#ifndef WARM_TOOLS_REPLAY_TRACE_H
#define WARM_TOOLS_REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

enum warm_trace_kind { WARM_TRACE_SESSIONS, WARM_TRACE_STAMPS, WARM_TRACE_TEXTS };

typedef struct warm_trace_run {
    uint64_t first;
    uint64_t n;
} warm_trace_run;

typedef struct warm_trace_request {
    double t_s;    /* since its agent began; since the trace began where there are no agents */
    double busy_s; /* what the answer took then */
    uint32_t agent;
    uint32_t n_in, n_out; /* units of the prompt, and of the answer */
    uint32_t n_runs;
    size_t at; /* of its first run, or of its text */
} warm_trace_request;

/* A sequence of requests, each behind the answer to the one before. */
typedef struct warm_trace_agent {
    uint32_t session;
    int32_t parent, after; /* it began after this request of its parent (counted among the parent's own; -1: with it); -1: none */
    double start_s;        /* in its parent's time */
    uint32_t block;        /* units of a full block */
    uint32_t n_prefix;     /* blocks of its first prompt that others may have, too */
    uint64_t prefix_key;
    size_t first, n; /* requests */
} warm_trace_agent;

typedef struct warm_trace_session {
    uint32_t first, n; /* agents */
} warm_trace_session;

typedef struct warm_trace {
    enum warm_trace_kind kind;
    warm_trace_session *sessions;
    warm_trace_agent *agents;
    warm_trace_request *requests;
    warm_trace_run *runs;
    char *text;
    size_t n_sessions, n_agents, n_requests, n_runs, n_text;
    size_t cap_sessions, cap_agents, cap_requests, cap_runs, cap_text;
} warm_trace;

/* Reads files of one kind as one trace. Messages name file and line. WARM_EIO, WARM_EINVAL, WARM_ENOMEM; *out is then as after a free. */
WARM_MUST_USE int warm_trace_read(const char *const *paths, size_t n_paths, warm_trace *out, warm_err *err);
void warm_trace_free(warm_trace *t);
/* Takes one more line, without its end; all but empty. Of the first one the kind follows. For warm_trace_read and its tests. */
WARM_MUST_USE int warm_trace_line(warm_trace *t, const char *line, size_t len, bool first_of_file, warm_err *err);
/* After the last line. */
WARM_MUST_USE int warm_trace_end(warm_trace *t, warm_err *err);

/* Keeps part `part` (from 1) of n_parts: of sessions every n_parts-th, of stamps that share of the time. */
void warm_trace_keep_part(warm_trace *t, uint32_t part, uint32_t n_parts);

/* The blocks of a prompt, in order. */
typedef struct warm_trace_blocks {
    const warm_trace *t;
    const warm_trace_request *r;
    const warm_trace_agent *a; /* NULL: ids are global */
    uint64_t repeat;
    size_t run;      /* of r's, or byte of its text */
    uint64_t in_run; /* blocks of it that are done */
} warm_trace_blocks;

warm_trace_blocks warm_trace_blocks_of(const warm_trace *t, size_t request, uint64_t repeat);
bool warm_trace_blocks_next(warm_trace_blocks *b, uint64_t *key);

/* How a prompt becomes tokens: a block of n units becomes n / scale of them, one at least. Texts are not scaled. */
typedef struct warm_trace_shape {
    uint32_t scale;
    int32_t vocab; /* tokens are 1..vocab-1 */
    uint64_t seed; /* which tokens a key stands for */
} warm_trace_shape;

size_t warm_trace_block_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape);
size_t warm_trace_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape);
/* Writes warm_trace_tokens() of them. */
void warm_trace_prompt(const warm_trace *t, size_t request, uint64_t repeat, const warm_trace_shape *shape, int32_t *out);
/* Tokens of the answer, one at least. */
uint32_t warm_trace_out_tokens(const warm_trace *t, size_t request, const warm_trace_shape *shape);

#endif
