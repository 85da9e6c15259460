/* SPDX-License-Identifier: MIT
 *
 * llama/fork.cpp - where a sequence can be continued, and a second one that begins as it does. See state.hpp.
 *
 * Cells and recurrent states are shared. Window rows are not: libllama recycles no row that two sequences hold, so both would soon
 * find no free ones (invariant 5). The child's are read from the shared ones, all before the first is written, because
 * writing may recycle those of the parent that are behind its window. */
#include <cassert>

#include "llama/state.hpp"

namespace warm {
namespace {

/* Whether the window rows that n needs are there. */
bool has_window(const engine &e, int32_t seq, int32_t n) {
    return llama_memory_seq_pos_min(e.mem, seq) <= window_begin(e, n) && llama_memory_seq_pos_max(e.mem, seq) >= n - 1;
}

/* dst shares everything of another sequence up to n; afterwards its window rows and its recurrent state are its own. */
void take_own_part(engine &e, int32_t dst, int32_t n) {
    const size_t bytes = size_of(e, dst, partial_state);
    const size_t n_rows = rows_in(e, bytes, n, WARM_ENOTFOUND);
    host_bytes part = host_memory(bytes);
    if (get_state(e, dst, part.get(), bytes, partial_state) != bytes) fail(WARM_EENGINE, "sequence %d gave no window rows", dst);
    check_form(e, snapshot_form(e, n, n_rows), part.get(), bytes);
    if (!set_state(e, dst, part.get(), bytes, partial_state)) fail(WARM_EFULL, "no %zu free window rows", n_rows);
}

/* Through host memory: right whatever the caches are. */
void copy_whole(engine &e, int32_t src, int32_t dst) {
    const size_t bytes = size_of(e, src, whole_state);
    host_bytes state = host_memory(bytes);
    if (get_state(e, src, state.get(), bytes, whole_state) != bytes) fail(WARM_EENGINE, "sequence %d gave no state", src);
    if (!set_state(e, dst, state.get(), bytes, whole_state)) fail(WARM_EFULL, "no free cells for a copy of sequence %d", src);
}

void fork_complete(engine &e, int32_t src, int32_t dst, int32_t n) {
    switch (e.info_.state) {
    case WARM_STATE_RANGES:
        llama_memory_seq_cp(e.mem, src, dst, 0, n);
        break;
    case WARM_STATE_WINDOW:
    case WARM_STATE_RANGES_SNAPSHOTS:
        llama_memory_seq_cp(e.mem, src, dst, 0, n);
        if (has_rows(e)) take_own_part(e, dst, n);
        break;
    case WARM_STATE_SNAPSHOTS:
        llama_memory_seq_cp(e.mem, src, dst, -1, -1);
        break;
    case WARM_STATE_WHOLE:
        if (llama_model_n_swa(e.model.get()) > 0) {
            copy_whole(e, src, dst);
        } else {
            llama_memory_seq_cp(e.mem, src, dst, -1, -1);
        }
        break;
    }
    e.held[(size_t)dst] = {n, false};
}

void fork_cells(engine &e, int32_t src, int32_t dst, int32_t n) {
    if (!warm_state_has_ranges(e.info_.state)) return; /* what completes it brings everything */
    llama_memory_seq_cp(e.mem, src, dst, 0, n);
    strip(e, dst);
    e.held[(size_t)dst] = {n, warm_state_has_snapshots(e.info_.state)};
}

} // namespace

bool is_complete(const engine &e, int32_t seq) {
    const seq_state &held = e.held[(size_t)seq];
    return !held.open && (e.info_.state != WARM_STATE_WINDOW || has_window(e, seq, held.end));
}

bool can_continue(warm_engine *we, int32_t seq, int32_t n) {
    engine &e = *of(we);
    assert(admitted(e, seq));
    const seq_state &held = e.held[(size_t)seq];
    if (n <= 0 || n > std::min(held.end, held.exact) || held.open) return false;
    if (e.info_.state == WARM_STATE_RANGES) return true;
    return e.info_.state == WARM_STATE_WINDOW ? has_window(e, seq, n) : n == held.end;
}

int fork(warm_engine *we, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    engine &e = at_rest(we);
    assert(admitted(e, src) && admitted(e, dst) && src != dst && !e.held[(size_t)dst].end);
    if (n <= 0 || n > std::min(e.held[(size_t)src].end, e.held[(size_t)src].exact))
        return warm_err_set(err, WARM_EINVAL, "sequence %d does not reach %d", src, n);
    if (complete && !can_continue(we, src, n)) {
        return warm_err_set(err, WARM_ENOTFOUND, "sequence %d can't be continued at %d", src, n);
    }
    const int rc = guard(err, WARM_EENGINE, [&] {
        complete ? fork_complete(e, src, dst, n) : fork_cells(e, src, dst, n);
        return 0;
    });
    if (rc) drop(e, dst);
    return rc;
}

} // namespace warm
