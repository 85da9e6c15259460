/* SPDX-License-Identifier: MIT
 *
 * sim/sim.h - an engine without a model, for tests of everything above it.
 *
 * A cell holds a token and a hash of all tokens up to it, made from the hash in the cell before it, as a KV cell depends on everything
 * before it; what is "generated" is a function of the last hash alone. So a restore that is wrong by one unit changes all that follows.
 * State saved is the cells' contents, padded to unit_bytes each. Text: token 0 is the end of text, tokens 1..256 are the bytes, others print as "<n>".
 * With a vocabulary of 262 or more 257..261 are the tokens for filling in the middle: prefix, suffix, middle, repository, file. */
#ifndef WARM_SIM_SIM_H
#define WARM_SIM_SIM_H

#include "warmslot/engine.h"

typedef struct warm_sim_options {
    uint32_t n_ctx, n_seq_max, n_batch, n_ubatch; /* 0 = 4096, 8, 512, 512 */
    uint32_t n_vocab;                             /* 0 = 257 */
    size_t unit_bytes;                            /* state per unit; 0 = 64, at least 16 */
    uint64_t *clock_ns;                           /* a virtual clock that calls advance; NULL = calls take no time */
    uint64_t row_ns, copy_ns;                     /* per row decoded; per unit saved or loaded */
    uint64_t decode_fails_at, load_fails_at;      /* the n-th call (1-based) fails with WARM_EENGINE; 0 = never */
} warm_sim_options;

WARM_MUST_USE int warm_sim_open(const warm_sim_options *o, warm_engine **out);

/* The hash that a sequence of these tokens ends with, and the token generated from it: what a test compares against. */
uint64_t warm_sim_hash(const int32_t *tokens, size_t n);
int32_t warm_sim_next(const warm_engine *e, uint64_t hash, bool ignore_eos);

#endif
