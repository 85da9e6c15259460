/* SPDX-License-Identifier: MIT
 *
 * llama/blob_layout.h - what the bytes of one sequence's state look like, learned from a sample.
 *
 * libllama checks a state while it already uses its numbers (a huge cell count allocates, a damaged row ends up in cells that
 * another sequence gets later), and its sizes depend on types, layers and flash attention. So the layout is learned once from a
 * state that the context itself wrote, and every state is compared with it before libllama sees one byte. The comparison reads
 * the headers and the positions, not the rows: those are the checksum's business.
 *
 * A state is a head and up to three sections, one per cache of the context:
 *   head       u32 magic | i32 seq
 *   kv         u32 streams = 1 | u32 cells | nothing more of no cells | per cell: i32 pos, u32 1, [12 bytes], i32 seq
 *              u32 v_trans | u32 layers | per layer: i32 type, u64 row, cells rows of K | per layer with V (all or none): the same,
 *              or transposed: i32 type, u32 element, u32 n_embd, cells * n_embd elements
 *   recurrent  u32 cells = 0 or 1 | per cell: i32 pos, u32 0 | u32 0 | u32 layers | per layer that has one: i32 type, u64 row, R of
 *              the cells | the same of S. Always the last section.
 *
 * A state that does not look like this can't be learned: such a context is saved whole or not at all.
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

#define WARM__BLOB_MAGIC        0xaf143cd8u
#define WARM__BLOB_HEAD         8
#define WARM__BLOB_SECTIONS_MAX 3

typedef struct warm__blob_rows { /* of one layer */
    int32_t type;
    uint64_t row; /* bytes per cell; transposed V: element size | n_embd << 32, as written */
    uint64_t cell_bytes;
} warm__blob_rows;

enum warm__blob_kind { WARM__BLOB_KV, WARM__BLOB_RECURRENT };

typedef struct warm__blob_section {
    enum warm__blob_kind kind;
    bool v_trans;
    uint32_t cell_bytes; /* of a cell's head: 12, or 24 with positions in two dimensions; recurrent: 8 */
    uint32_t n_layer;    /* as written: recurrent counts layers that have no rows too */
    uint32_t n_a, n_b;
    warm__blob_rows *a, *b;          /* K and V, or R and S */
    uint64_t empty, fixed, per_cell; /* bytes of no cells; of n > 0 cells = fixed + n * per_cell */
} warm__blob_section;

typedef struct warm__blob_layout {
    unsigned n_sections; /* 0: nothing was learned */
    warm__blob_section section[WARM__BLOB_SECTIONS_MAX];
    uint64_t *seen; /* one bit per cell */
    size_t max_cells;
} warm__blob_layout;

/* Which state: the sections from `from` on, and the cells of each: n of them at positions first.. */
typedef struct warm__blob_form {
    unsigned from;
    struct {
        int32_t first;
        size_t n;
    } cells[WARM__BLOB_SECTIONS_MAX];
} warm__blob_form;

/* Learns from the full state of a sequence of the n >= 2 cells at positions first..first+n-1, all of them in every kv section. max_cells:
 * more are never accepted. WARM_ENOTSUP: not such a state; WARM_ENOMEM. On failure there is nothing to free. */
WARM_MUST_USE int warm__blob_learn(warm__blob_layout *l, const void *blob, size_t bytes, int32_t first, size_t n, size_t max_cells);
void warm__blob_free(warm__blob_layout *l);

/* Exact size of a state of this form. */
size_t warm__blob_bytes(const warm__blob_layout *l, const warm__blob_form *f);

/* How many cells section s must have for the form to have exactly these bytes; 0: no number does. */
size_t warm__blob_cells(const warm__blob_layout *l, const warm__blob_form *f, unsigned s, size_t bytes);

/* 0, or WARM_ECORRUPT with what differs: the bytes are not a state of exactly this form in this layout. */
WARM_MUST_USE int warm__blob_check(const warm__blob_layout *l, const warm__blob_form *f, const void *blob, size_t bytes,
                                   warm_err *err);

#ifdef __cplusplus
}
#endif
#endif
