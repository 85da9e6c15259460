/* SPDX-License-Identifier: MIT
 *
 * llama/blob_layout.h - what the bytes of one sequence of a plain KV cache look like, learned from a sample.
 *
 * libllama checks a state while it already uses its numbers (a huge cell count allocates, a damaged row ends up in cells that
 * another sequence gets later), and its sizes depend on types, layers and flash attention. So the layout is learned once from a
 * state that the context itself wrote, and every state is compared with it before libllama sees one byte. The comparison reads
 * the headers and the positions, not the rows: those are the checksum's business.
 *
 *   u32 magic | i32 seq | u32 streams = 1 | u32 cells | per cell: i32 pos, u32 1, [12 bytes], i32 seq
 *   u32 v_trans | u32 layers | per layer: i32 type, u64 row, cells rows of K | per layer with V: the same, or transposed
 *   i32 type, u32 element, u32 n_embd, cells * n_embd elements
 *
 * A state that does not look like this (sliding window, recurrent, two caches) can't be learned: such a context has no ranges.
 * Threads: learn once; check uses the layout's own bitmap: [engine]. Not here: anything of libllama; these are pure functions. */
#ifndef WARM_LLAMA_BLOB_LAYOUT_H
#define WARM_LLAMA_BLOB_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct warm__blob_rows { /* of one layer's K or V */
    int32_t type;
    uint64_t row; /* K, V: bytes per cell; transposed V: element size | n_embd << 32, as written */
    uint64_t cell_bytes;
} warm__blob_rows;

typedef struct warm__blob_layout {
    bool v_trans;
    uint32_t cell_bytes; /* of a cell's head: 12, or 24 with positions in two dimensions */
    uint32_t n_k, n_v;
    warm__blob_rows *k, *v;
    uint64_t fixed, per_cell; /* bytes of n cells = fixed + n * per_cell */
    uint64_t *seen;           /* one bit per cell */
    size_t max_cells;
} warm__blob_layout;

/* Learns from a state of the n >= 2 cells at positions first..first+n-1. max_cells: more are never accepted. WARM_ENOTSUP: not a plain KV
 * cache; WARM_ENOMEM. On failure there is nothing to free. */
WARM_MUST_USE int warm__blob_learn(warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n, size_t max_cells);
void warm__blob_free(warm__blob_layout *l);

/* Exact size of n cells; 0 of none. */
size_t warm__blob_bytes(const warm__blob_layout *l, size_t n);

/* 0, or WARM_ECORRUPT with what differs: the bytes are not a state of exactly the cells first..first+n-1 in this layout. */
WARM_MUST_USE int warm__blob_check(const warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n,
                                   warm_err *err);

#ifdef __cplusplus
}
#endif
#endif
