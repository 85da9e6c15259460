/* SPDX-License-Identifier: MIT
 *
 * llama/state.cpp - sequences, and their cells as bytes. See state.hpp.
 *
 * A range is cut out of a sequence by sharing its cells with the scratch sequence, saving that one whole, and letting go of it;
 * it is appended by loading it whole into the scratch sequence and sharing the wanted part with the destination, the last
 * step, which can't fail. The scratch sequence lets go of it when something else than the next load comes (invariant 1).
 *
 * libllama has no call that saves cells without the window rows and the recurrent state that ride along, and none that takes these
 * off a sequence. strip() does it: a load first removes what the sequence had in the cache it is for. A partial state that is refused
 * at its first cell therefore removes the window rows, and one of no recurrent state removes that. */
#include "llama/state.hpp"

#include <cassert>
#include <climits>
#include <cstdlib>
#include <cstring>

namespace warm {

bool set_state(engine &e, int32_t seq, const void *src, size_t bytes, llama_state_seq_flags flags) {
    captured_log log(true);
    return llama_state_seq_set_data_ext(e.ctx.get(), static_cast<const uint8_t *>(src), bytes, seq, flags) == bytes;
}

void strip(engine &e, int32_t seq) {
    /* one stream, one cell, at position 0, which belongs to no sequence */
    static const uint32_t refused[] = {WARM__BLOB_MAGIC, 0, 1, 1, 0, 0};
    if (has_rows(e) && set_state(e, seq, refused, sizeof refused, partial_state)) {
        fail(WARM_EENGINE, "libllama took a cell that belongs to no sequence");
    }
    if (has_tail(e) && !set_state(e, seq, e.no_tail.data(), e.no_tail.size(), partial_state)) {
        fail(WARM_EENGINE, "libllama refused an empty state");
    }
}

host_bytes host_memory(size_t bytes) {
    host_bytes p(static_cast<uint8_t *>(warm_malloc(bytes)));
    if (!p) throw std::bad_alloc();
    return p;
}

void check_range(const engine &e, int32_t seq, int32_t first, size_t n, int32_t p0, int32_t p1) {
    if (!admitted(e, seq) || first < 0 || n > (size_t)(INT_MAX - first) || p0 < first || p1 <= p0 || p1 > first + (int32_t)n) {
        fail(WARM_EINVAL, "%d..%d of a state of %zu units at %d can't be appended to sequence %d", p0, p1 - 1, n, first, seq);
    }
}

void check_form(const engine &e, const warm__blob_form &f, const void *src, size_t bytes) {
    warm_err why = {0, {0}};
    if (warm__blob_check(&e.layout, &f, src, bytes, &why)) throw failure(why.code, why.text);
}

warm__blob_form cells_form(int32_t first, size_t n) {
    warm__blob_form f = {};
    f.cells[0] = {first, n};
    return f;
}

void seq_rm(warm_engine *we, int32_t seq, int32_t p0, int32_t p1) {
    engine &e = at_rest(we);
    assert(admitted(e, seq));
    seq_state &held = e.held[(size_t)seq];
    const bool to_end = p1 < 0 || p1 >= held.end;
    if (p0 >= held.end || (p1 >= 0 && p1 <= p0)) return;
    guard(nullptr, WARM_EENGINE, [&] {
        /* a state that can't be cut is removed whole: half of it would be silently wrong */
        if (p0 <= 0 && to_end) {
            drop(e, seq);
        } else if (e.info_.state > WARM_STATE_WINDOW || !llama_memory_seq_rm(e.mem, seq, p0, to_end ? -1 : p1)) {
            drop(e, seq);
        } else if (to_end) {
            held.end = p0;
            if (p0 <= held.exact) held.exact = all_exact;
        }
        return 0;
    });
}

/* What libllama says, which of several caches is the part that all of them have. */
void seq_range(warm_engine *we, int32_t seq, int32_t *min, int32_t *max) {
    engine &e = *of(we);
    assert(admitted(e, seq));
    *min = llama_memory_seq_pos_min(e.mem, seq);
    *max = llama_memory_seq_pos_max(e.mem, seq);
}

void clear(warm_engine *we, bool data) {
    engine &e = at_rest(we);
    llama_memory_clear(e.mem, data);
    std::fill(e.held.begin(), e.held.end(), seq_state());
}

size_t state_bytes(const warm_engine *we, size_t n) {
    const engine &e = *of(we);
    const warm__blob_form f = cells_form(0, n);
    return n && warm_state_has_ranges(e.info_.state) ? warm__blob_bytes(&e.layout, &f) : 0;
}

static int64_t save(engine &e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap) {
    if (!warm_state_has_ranges(e.info_.state)) fail(WARM_ENOTSUP, "the state of this model can't be cut into ranges");
    const size_t bytes = state_bytes(&e, n);
    if (!admitted(e, seq) || p0 < 0 || !n || n > e.layout.max_cells || n > (size_t)(INT_MAX - p0) || cap < bytes) {
        fail(WARM_EINVAL, "can't save %zu units at %d of sequence %d into %zu bytes", n, p0, seq, cap);
    }
    const int32_t p1 = p0 + (int32_t)n;
    if (std::min(e.held[(size_t)seq].end, e.held[(size_t)seq].exact) < p1) {
        fail(WARM_EINVAL, "sequence %d does not hold %d..%d", seq, p0, p1 - 1);
    }
    llama_memory_seq_cp(e.mem, seq, e.scratch, p0, p1);
    size_t written = 0;
    try {
        strip(e, e.scratch);
        written = get_state(e, e.scratch, dst, bytes, whole_state);
    } catch (...) {
        drop(e, e.scratch);
        throw;
    }
    drop(e, e.scratch);
    if (written != bytes) fail(WARM_EENGINE, "%zu units of sequence %d gave %zu bytes of state, not %zu", n, seq, written, bytes);
    return (int64_t)written;
}

int64_t state_save(warm_engine *we, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    return guard_bytes(err, WARM_EENGINE, [&] { return save(at_rest(we), seq, p0, n, dst, cap); });
}

static int load(engine &e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1) {
    if (!warm_state_has_ranges(e.info_.state)) fail(WARM_ENOTSUP, "the state of this model can't be cut into ranges");
    check_range(e, seq, first, n, p0, p1);
    seq_state &held = e.held[(size_t)seq];
    if (held.end != p0) fail(WARM_EINVAL, "sequence %d ends at %d, not at %d", seq, held.end, p0);
    check_form(e, cells_form(first, n), src, bytes);
    e.scratch_shares = true;
    if (!set_state(e, e.scratch, src, bytes, whole_state)) {
        at_rest(&e);
        fail(WARM_EFULL, "no %zu free cells", n);
    }
    /* the scratch sequence has no recurrent state, and sharing none would take that of the destination away */
    llama_memory_seq_cp(e.mem, e.scratch, seq, p0, p1);
    if (p0 != first || p1 != first + (int32_t)n) at_rest(&e); /* the rest of them is nobody's */
    held.end = p1;
    held.open = warm_state_has_snapshots(e.info_.state);
    return 0;
}

int state_load(warm_engine *we, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
               warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return load(*of(we), seq, src, bytes, first, n, p0, p1); });
}

} // namespace warm
