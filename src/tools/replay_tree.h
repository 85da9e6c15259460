/* SPDX-License-Identifier: MIT
 *
 * tools/replay_tree.h - what a trace asks of any cache: its prefix tree, the oracle, the live set, and the offline optimum.
 *
 * The tree's nodes are blocks. Repetitions of a trace are copies of the same tree, so it is held once.
 * oracle: what an unlimited exact prefix cache computes: of each prompt what no earlier one began with, its last unit at least.
 * live set: the largest total of the latest prompts of all sessions that are running, what they share counted once, when every answer takes as
 *   long as in the trace.
 * optimum: Belady on the tree for the order given: what is asked for again latest goes first, deeper before shallower, at once what never is. It
 *   evicts unit by unit, so no cache of blocks can do better; and it needs no room for the prompt that is being computed.
 * Threads: [any], one at a time. */
#ifndef WARM_TOOLS_REPLAY_TREE_H
#define WARM_TOOLS_REPLAY_TREE_H

#include "tools/replay_drive.h"
#include "tools/replay_trace.h"

typedef struct warm_tree_ask {
    uint32_t request, repeat;
} warm_tree_ask;

typedef struct warm_tree {
    const warm_trace *trace; /* borrowed */
    warm_trace_shape shape;
    uint32_t n_nodes, cap_nodes;
    uint32_t *parent, *tokens; /* by node; 0 is the root. tokens: of the longest prompt that ends in it, or of a whole block */
    uint64_t *key;
    uint32_t *table; /* open addressing, n_table of a power of two */
    size_t n_table;
    uint32_t *end;       /* by request: the node of its last block; 0: not in the tree */
    uint32_t *length;    /* by request: tokens */
    warm_tree_ask *asks; /* in the order of the trace's own times */
    size_t n_asks;
    uint64_t n_tokens, oracle_tokens, live_tokens; /* of one repetition */
    size_t longest, longest_whole;                 /* prompt; prompt with its answer */
} warm_tree;

/* Goes through the trace as these options drive it, once. WARM_ENOMEM; WARM_EFULL: more blocks than max_nodes. */
WARM_MUST_USE int warm_tree_new(const warm_trace *t, const warm_trace_shape *shape, const warm_drive_options *drive,
                                uint32_t max_nodes, warm_tree **out, warm_err *err);
void warm_tree_free(warm_tree *t);

typedef struct warm_optimum warm_optimum;
/* For requests in this order. WARM_ENOMEM. */
WARM_MUST_USE int warm_optimum_new(const warm_tree *t, const warm_tree_ask *asks, size_t n, warm_optimum **out, warm_err *err);
void warm_optimum_free(warm_optimum *o);
/* Tokens that are computed when so many can be kept. WARM_ENOMEM. */
WARM_MUST_USE int warm_optimum_run(const warm_optimum *o, uint64_t capacity_tokens, uint64_t *computed, warm_err *err);

#endif
