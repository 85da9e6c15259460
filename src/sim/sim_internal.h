/* SPDX-License-Identifier: MIT
 *
 * sim/sim_internal.h - what the parts of the simulated engine share.
 *
 * sim.c decodes, samples and speaks; state.c copies sequences and moves cells and snapshots in and out; window.c has the window rows;
 * store.c holds what is saved and charges for what it stands for.
 *
 * Invariants
 *  (1) A cell's hash follows from the cell before it and its token and adapters, unless something was wrong; then it is poisoned, and
 *      so is all behind it.
 *  (2) WINDOW: of the rows that are needed at n, those from good_from on are held and right. What is behind a sequence's window is what is not
 *      needed at row_end; nothing else is ever taken away. */
#ifndef WARM_SIM_INTERNAL_H
#define WARM_SIM_INTERNAL_H

#include "sim/sim.h"

enum { WARM__SIM_NO_ROW = -1, WARM__SIM_RECORD_MIN = 16 };

struct sim_cell {
    int32_t token;
    uint32_t adapted; /* names the adapters it was computed with, 0 = none */
    uint32_t refs;
    uint64_t hash;
};

/* A window row in the pool. */
struct sim_row {
    int32_t seq; /* -1: free */
    int32_t pos;
    uint64_t value;
};

struct sim_seq {
    int32_t *cells; /* by position; unused by SNAPSHOTS */
    int32_t n;
    bool shifted; /* what is at exact and behind it was moved, or computed behind what was */
    int32_t exact;
    bool incomplete; /* forked without what can't be shared, and not completed since */
    /* WINDOW */
    int32_t *rows;     /* by position: index in the pool or WARM__SIM_NO_ROW */
    int32_t row_end;   /* behind the last row it was given */
    int32_t good_from; /* invariant (2) */
    /* RANGES_SNAPSHOTS, SNAPSHOTS */
    uint64_t recurrent;
    int32_t recurrent_at; /* position it was taken at, -1: none */
};

typedef struct sim {
    warm_engine base;
    warm_engine_info info;
    warm_sim_options o;
    struct sim_cell *cells;
    int32_t *free_cells; /* a stack: those above the n_used */
    uint32_t n_used;
    struct sim_row *rows;
    uint32_t n_rows, row_head; /* where the search for a row goes on */
    struct sim_seq *seqs;
    int32_t *per_seq;     /* scratch of n_seq_max */
    uint64_t *row_values; /* scratch of n_window */
    uint64_t *row_hash;   /* of the last decode, by row */
    float *logits;        /* NULL until somebody asks */
    uint64_t n_decodes, n_loads, n_window_calls, n_snapshot_calls, n_shifts, n_embeds;
    uint64_t n_poisoned;
    warm_sim_moved moved;
    warm_adapter adapters[WARM_SIM_ADAPTERS_MAX];
    uint32_t adapted; /* of the units that are computed now */
} sim;

uint64_t warm__sim_mix(uint64_t hash, uint64_t v);
/* The hash behind one more unit. */
uint64_t warm__sim_next_hash(uint64_t hash, int32_t token, uint32_t adapted);
void warm__sim_spend(sim *s, uint64_t ns);
/* Up to where a sequence is the state of its own units. */
static inline int32_t warm__sim_exact(const struct sim_seq *q) {
    return q->shifted && q->exact < q->n ? q->exact : q->n;
}
/* Hash at the end of a sequence. */
uint64_t warm__sim_end_hash(const sim *s, const struct sim_seq *q);
/* A sequence lists the cell no more. */
void warm__sim_give_cell(sim *s, int32_t i);
/* Appends a cell to q; the caller knows that one is free. */
void warm__sim_push_cell(sim *s, struct sim_seq *q, int32_t token, uint32_t adapted, uint64_t hash);

/* Every blob begins with this. */
struct sim_header {
    uint32_t magic; /* of what it holds */
    uint32_t kind;
    uint32_t first; /* position of the first unit; a snapshot's own */
    uint32_t n;     /* units that it has records of */
};

/* window.c. All but init are for WARM_STATE_WINDOW only. */
void warm__sim_rows_init(sim *s); /* in any kind */
/* Whether every ubatch of this batch will find rows. */
bool warm__sim_rows_fit(sim *s, const warm_batch *b);
/* Before a decode: takes some rows away that are behind their window. */
void warm__sim_rows_decay(sim *s);
/* Gives sequence id the row of its cell at pos; there is room. row_end stays: what the calls for one ubatch give is not taken away by them. */
void warm__sim_row_add(sim *s, int32_t id, int32_t pos);
/* First position whose row is needed at p. */
int32_t warm__sim_row_first(const sim *s, int32_t p);
void warm__sim_rows_trim(sim *s, struct sim_seq *q, int32_t p0);
/* Finds good_from again after cells or rows were added or removed. */
void warm__sim_rows_judge(sim *s, struct sim_seq *q);
bool warm__sim_rows_present(const sim *s, const struct sim_seq *q, int32_t p0, int32_t p1);
/* Copies to dst, which has its cells, the rows of src that are needed at dst's end. */
int warm__sim_rows_fork(sim *s, int32_t src, int32_t dst, warm_err *err);

size_t warm__sim_window_bytes(const warm_engine *e, size_t n);
int64_t warm__sim_window_save(warm_engine *e, int32_t id, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
int warm__sim_window_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0,
                          int32_t p1, warm_err *err);

/* state.c: the operations of engine.h. */
void warm__sim_seq_rm(warm_engine *e, int32_t id, int32_t p0, int32_t p1);
bool warm__sim_can_continue(warm_engine *e, int32_t id, int32_t n);
int warm__sim_fork(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err);
int warm__sim_shift(warm_engine *e, int32_t id, int32_t p0, int32_t p1, warm_err *err);
void warm__sim_clear(warm_engine *e, bool data);
size_t warm__sim_state_bytes(const warm_engine *e, size_t n);
int64_t warm__sim_state_save(warm_engine *e, int32_t id, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
int warm__sim_state_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                         warm_err *err);
size_t warm__sim_snapshot_bytes(const warm_engine *e, int32_t id);
int64_t warm__sim_snapshot_save(warm_engine *e, int32_t id, void *dst, size_t cap, warm_err *err);
int warm__sim_snapshot_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t n, warm_err *err);

/* Writes a header and zeroes the rest of bytes; WARM_ECORRUPT unless src begins with just this header. */
void warm__sim_header_put(void *dst, size_t bytes, const struct sim_header *h);
int warm__sim_header_check(const void *src, const struct sim_header *h, warm_err *err);

#endif
