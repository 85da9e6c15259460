/* SPDX-License-Identifier: MIT
 *
 * llama/state.hpp - what the files that move sequences and their state share: state.cpp (cells), parts.cpp (window rows and
 * snapshots), fork.cpp, probe.cpp.
 *
 * Invariants
 *  (1) The scratch sequence is empty between two calls: a cell that it held would count as used. Except behind a load of cells, which are then those
 *      of its destination, too: the next load would empty it anyway, and each walk over the context's cells counts. Every other call that changes
 *      or copies cells begins with at_rest().
 *  (2) Bytes that are not a state of exactly the named units in this context's layout never reach libllama. Where the layout is not
 *      known, a frame of our own says how many units and bytes they are.
 *  (3) held[seq].end is the end of every sequence.
 *  (4) The window rows of a sequence are consecutive: they are only ever added behind the last one, and libllama recycles
 *      a row only together with all before it.
 *  (5) Window rows are never shared by two sequences between two calls: libllama would not recycle them.
 * Threads: [engine]. Not here: whether the bytes are those that were saved; that is the cache's checksum. */
#ifndef WARM_LLAMA_STATE_HPP
#define WARM_LLAMA_STATE_HPP

#include <algorithm>

#include "llama/priv.hpp"

namespace warm {

constexpr llama_state_seq_flags whole_state = LLAMA_STATE_SEQ_FLAGS_NONE;
constexpr llama_state_seq_flags partial_state =
    LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY; /* what can't be cut: window rows, recurrent state */

inline bool admitted(const engine &e, int32_t seq) {
    return seq >= 0 && seq < e.scratch;
}
inline bool has_rows(const engine &e) { /* of a sliding window */
    return e.layout.n_sections > 1 && e.layout.section[1].kind == WARM__BLOB_KV;
}
inline bool has_tail(const engine &e) { /* a recurrent state */
    return e.layout.n_sections > 0 && e.layout.section[e.layout.n_sections - 1].kind == WARM__BLOB_RECURRENT;
}

/* The first unit whose window row the unit at n needs. */
inline int32_t window_begin(const engine &e, int32_t n) {
    return std::max(0, n - (int32_t)e.window + 1);
}

/* Sequences and their state, without any of the checks above. */
inline void drop(engine &e, int32_t seq) {
    llama_memory_seq_rm(e.mem, seq, -1, -1);
    if (admitted(e, seq)) e.held[(size_t)seq] = {};
}
/* The engine, its scratch sequence empty. */
inline engine &at_rest(warm_engine *we) {
    engine &e = *of(we);
    if (e.scratch_shares) {
        e.scratch_shares = false;
        drop(e, e.scratch);
    }
    return e;
}
inline size_t size_of(const engine &e, int32_t seq, llama_state_seq_flags flags) {
    return llama_state_seq_get_size_ext(e.ctx.get(), seq, flags);
}
inline size_t get_state(engine &e, int32_t seq, void *dst, size_t cap, llama_state_seq_flags flags) {
    return llama_state_seq_get_data_ext(e.ctx.get(), static_cast<uint8_t *>(dst), cap, seq, flags);
}
/* Whether all of it was taken. After the layout was checked, a refusal has one cause left: no cells. Its log lines are then no news. */
bool set_state(engine &e, int32_t seq, const void *src, size_t bytes, llama_state_seq_flags flags);

/* Whether the sequence can be decoded at its end: nothing that belongs there is missing. */
bool is_complete(const engine &e, int32_t seq);

/* Takes the window rows and the recurrent state off seq; its cells stay. Throws failure. */
void strip(engine &e, int32_t seq);

/* [p0, p1) of saved units first.. of sequence seq: fails with WARM_EINVAL when this is no such range. */
void check_range(const engine &e, int32_t seq, int32_t first, size_t n, int32_t p0, int32_t p1);

/* Fails with WARM_ECORRUPT when the bytes are no state of this form. */
void check_form(const engine &e, const warm__blob_form &f, const void *src, size_t bytes);

warm__blob_form cells_form(int32_t first, size_t n);                      /* as state_save writes them */
warm__blob_form rows_form(int32_t first, size_t n);                       /* as window_save writes them */
warm__blob_form snapshot_form(const engine &e, int32_t n, size_t n_rows); /* at n, with the last n_rows window rows */

/* The number of window rows in a partial state of these bytes at n; fails with `code` when there are fewer than n needs. */
size_t rows_in(const engine &e, size_t bytes, int32_t n, int code);

/* Host memory that is not touched before it is written. Throws bad_alloc. */
struct free_deleter {
    void operator()(void *p) const { free(p); }
};
using host_bytes = std::unique_ptr<uint8_t, free_deleter>;
host_bytes host_memory(size_t bytes);

} // namespace warm
#endif
