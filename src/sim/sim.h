/* SPDX-License-Identifier: MIT
 *
 * sim/sim.h - an engine without a model, of every kind of state, for tests of everything above it.
 *
 * A cell holds a token and a hash of all tokens up to it, made from the hash in the cell before it, as a KV cell depends on everything
 * before it; what is "generated" is a function of the last hash alone. The hash is the same in every kind (warm_sim_hash), as long as all the
 * state that the kind needs is there and is that of these very tokens. Anything else is mixed into the hash as poison: from then on the
 * sequence, and whatever is made from it, generates other tokens. So a restore that is wrong by one unit or one row changes all that follows.
 *  - Cells, where they can be loaded, have to follow from the cell before them.
 *  - WINDOW: each sequence has window rows of its own, made from the cells at their positions. A row computed at p needs those of
 *    p-n_window+1..p-1. Rows of all sequences share a pool of n_window * n_seq_max + n_ubatch (never more than n_ctx). Those behind their
 *    sequence's window are taken away when room is needed, and a few or all of them, by chance, at the start of any decode.
 *  - RANGES_SNAPSHOTS, SNAPSHOTS: a recurrent state, a hash over all tokens of its own. In SNAPSHOTS it is all there is: no cells are used.
 * Adapters whose scale is not 0 change the hash of every unit computed with them.
 * A shifted sequence goes on from the hashes that it has, so what it generates tells which tokens it was made from. What was moved, and all
 * behind it, can't be saved or forked: that is asserted, as is that nothing shared is moved.
 * State saved is what the cells, rows and states hold, padded, behind a header that a load checks. Nothing is random: runs are alike.
 * What engine.h forbids its callers is asserted, but for positions that do not follow: those fail as in libllama.
 * Calls may take time on a virtual clock, so that a scheduler over it measures the rates that it is told (replay).
 * Text: token 0 is the end of text, tokens 1..256 are the bytes, others print as "<n>".
 * With a vocabulary of 262 or more 257..261 are the tokens for filling in the middle: prefix, suffix, middle, repository, file. */
#ifndef WARM_SIM_SIM_H
#define WARM_SIM_SIM_H

#include "warmslot/engine.h"
#include "warmslot/store.h"

enum { WARM_SIM_ADAPTERS_MAX = 4 };

typedef struct warm_sim_options {
    uint32_t n_ctx, n_seq_max, n_batch, n_ubatch; /* 0 = 4096, 8, 512, 512 */
    uint32_t n_vocab;                             /* 0 = 257 */
    enum warm_state_kind state;
    bool no_shift;              /* sequences can't be shifted; those with window rows never can */
    uint32_t n_window;          /* 0 = 64; used by WARM_STATE_WINDOW only */
    size_t unit_bytes;          /* state per unit; 0 = 64, at least 16 */
    size_t window_unit_bytes;   /* a window row's; 0 = unit_bytes, at least 16 */
    size_t snapshot_bytes;      /* of a snapshot, in WHOLE besides unit_bytes for each unit; 0 = 1024, at least 32 */
    const float *adapter_scale; /* of n_adapters (at most WARM_SIM_ADAPTERS_MAX): their scales at the start; borrowed by open */
    size_t n_adapters;
    uint32_t n_embed_max;      /* tokens of a sequence that can be embedded, twice as many in one call of up to 4; 0 = none */
    enum warm_pooling pooling; /* of embeddings of 3 numbers */
    uint64_t *clock_ns;        /* a virtual clock that calls advance; NULL = calls take no time */
    uint64_t row_ns, copy_ns;  /* per row decoded; per unit or window row saved or loaded */
    uint64_t step_ns;          /* per decode */
    uint64_t depth_ps;         /* picoseconds per row decoded and unit before it */
    uint64_t snapshot_ns;      /* per snapshot saved or loaded */
    uint64_t decode_fails_at, load_fails_at; /* the n-th call (1-based) fails with WARM_EENGINE; 0 = never. load: state_load */
    uint64_t shift_fails_at;                 /* ... of shift */
    uint64_t embed_fails_at;                 /* ... of embed */
    uint64_t window_fails_at;                /* ... of window_save and window_load together */
    uint64_t snapshot_fails_at;              /* ... of snapshot_save and snapshot_load together */
} warm_sim_options;

WARM_MUST_USE int warm_sim_open(const warm_sim_options *o, warm_engine **out);

/* The hash that a sequence of these tokens ends with, and the token generated from it: what a test compares against. */
uint64_t warm_sim_hash(const int32_t *tokens, size_t n);
/* The same, all of it computed with these scales. */
uint64_t warm_sim_hash_adapted(const int32_t *tokens, size_t n, const float *scale, size_t n_scales);
int32_t warm_sim_next(const warm_engine *e, uint64_t hash, bool ignore_eos);
/* The i-th number of the embedding of what ends with this hash, from -1 to 1. */
float warm_sim_embedded(uint64_t hash, size_t i);

/* The hash that seq does end with, and how many units were so far decoded on, or loaded behind, state that was missing or not theirs. */
uint64_t warm_sim_seq_hash(const warm_engine *e, int32_t seq);
uint64_t warm_sim_poisoned(const warm_engine *e);
/* How many units or window rows were saved and loaded so far. */
typedef struct warm_sim_moved {
    uint64_t n_saved, n_loaded;
} warm_sim_moved;
warm_sim_moved warm_sim_moved_get(const warm_engine *e);

/* A store for simulated state that stands for larger one: holds units of unit_bytes (as the engine's) and charges the budget charged_bytes for each of
 * them, and nothing for what the simulated engine puts around them. held_bytes says what is charged. Its memory is malloc's. */
WARM_MUST_USE int warm_sim_store_open(warm_budget *budget, size_t unit_bytes, size_t charged_bytes, warm_store **out,
                                      warm_err *err);

#endif
