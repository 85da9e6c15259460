/* SPDX-License-Identifier: MIT
 *
 * llama/parts.cpp - the parts of a state beside its cells as bytes: window rows in pieces, and snapshots. See state.hpp.
 *
 * Window rows move as cells do, through the scratch sequence, as partial states of it: so the cells, which it shares while rows are
 * saved, are not written, and rows that are loaded come without any. A snapshot is the partial state of the sequence itself, or
 * all of its state where nothing smaller is known to come back as it was. */
#include <climits>
#include <cstring>

#include "llama/state.hpp"

namespace warm {
namespace {

/* Stands before a state whose layout is not known. */
struct frame {
    char magic[8];
    uint64_t bytes; /* behind the frame */
    int32_t end;
    uint32_t reserved;
};
constexpr char frame_magic[8] = {'w', 'a', 'r', 'm', 'w', 'h', 'o', '1'};

bool is_framed(const engine &e) {
    return e.info_.state == WARM_STATE_WHOLE;
}

llama_state_seq_flags snapshot_flags(const engine &e) {
    return is_framed(e) ? whole_state : partial_state;
}

bool can_snapshot(const engine &e, int32_t seq) {
    const seq_state &held = e.held[(size_t)seq];
    return warm_state_has_snapshots(e.info_.state) && e.savable && held.end > 0 && !held.open && held.exact == all_exact;
}

size_t snapshot_size(const engine &e, int32_t seq) {
    return size_of(e, seq, snapshot_flags(e)) + (is_framed(e) ? sizeof(frame) : 0);
}

int64_t save_window(engine &e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap) {
    if (e.info_.state != WARM_STATE_WINDOW) fail(WARM_ENOTSUP, "this model has no window rows");
    const size_t bytes = window_bytes(&e, n);
    if (!admitted(e, seq) || p0 < 0 || !n || n > e.window || n > (size_t)(INT_MAX - p0) || cap < bytes) {
        fail(WARM_EINVAL, "can't save %zu window rows at %d of sequence %d into %zu bytes", n, p0, seq, cap);
    }
    const int32_t p1 = p0 + (int32_t)n;
    if (std::min(e.held[(size_t)seq].end, e.held[(size_t)seq].exact) < p1) {
        fail(WARM_EINVAL, "sequence %d does not hold %d..%d", seq, p0, p1 - 1);
    }
    if (llama_memory_seq_pos_min(e.mem, seq) > p0 || llama_memory_seq_pos_max(e.mem, seq) < p1 - 1) {
        fail(WARM_ENOTFOUND, "window rows of %d..%d are no longer in the context", p0, p1 - 1);
    }
    llama_memory_seq_cp(e.mem, seq, e.scratch, p0, p1);
    const size_t written = get_state(e, e.scratch, dst, bytes, partial_state);
    drop(e, e.scratch);
    if (written != bytes) fail(WARM_EENGINE, "%zu window rows gave %zu bytes of state, not %zu", n, written, bytes);
    return (int64_t)written;
}

int load_window(engine &e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1) {
    if (e.info_.state != WARM_STATE_WINDOW) fail(WARM_ENOTSUP, "this model has no window rows");
    check_range(e, seq, first, n, p0, p1);
    if (e.held[(size_t)seq].end < p1) fail(WARM_EINVAL, "sequence %d has no cells at %d..%d", seq, p0, p1 - 1);
    const int32_t last = llama_memory_seq_pos_max(e.mem, seq);
    if (last >= p0) fail(WARM_EINVAL, "sequence %d has window rows up to %d already", seq, last);
    check_form(e, rows_form(first, n), src, bytes);
    if (!set_state(e, e.scratch, src, bytes, partial_state)) {
        drop(e, e.scratch);
        fail(WARM_EFULL, "no %zu free window rows", n);
    }
    if (last >= 0 && last < p0 - 1) strip(e, seq); /* what is before a hole is of no use, and must not look like rows */
    llama_memory_seq_cp(e.mem, e.scratch, seq, p0, p1);
    drop(e, e.scratch);
    return 0;
}

int64_t save_snapshot(engine &e, int32_t seq, void *dst, size_t cap) {
    if (!admitted(e, seq) || !can_snapshot(e, seq)) fail(WARM_EINVAL, "no snapshot of sequence %d can be taken", seq);
    size_t bytes = snapshot_size(e, seq);
    if (cap < bytes) fail(WARM_EINVAL, "a snapshot of sequence %d has %zu bytes, not %zu", seq, bytes, cap);
    auto *to = static_cast<uint8_t *>(dst);
    if (is_framed(e)) {
        bytes -= sizeof(frame);
        frame f = {{}, bytes, e.held[(size_t)seq].end, 0};
        std::memcpy(f.magic, frame_magic, sizeof f.magic);
        std::memcpy(to, &f, sizeof f);
        to += sizeof f;
    }
    const size_t written = get_state(e, seq, to, bytes, snapshot_flags(e));
    if (written != bytes) fail(WARM_EENGINE, "a snapshot of sequence %d gave %zu bytes, not %zu", seq, written, bytes);
    return (int64_t)(written + (size_t)(to - static_cast<uint8_t *>(dst)));
}

/* Fails unless the bytes are a snapshot at n. Returns the state in them. */
const uint8_t *check_snapshot(const engine &e, const void *src, size_t &bytes, int32_t n) {
    const auto *from = static_cast<const uint8_t *>(src);
    if (is_framed(e)) {
        frame f;
        if (bytes < sizeof f + WARM__BLOB_HEAD) fail(WARM_ECORRUPT, "a snapshot can't have %zu bytes", bytes);
        std::memcpy(&f, from, sizeof f);
        from += sizeof f;
        bytes -= sizeof f;
        uint32_t magic;
        std::memcpy(&magic, from, sizeof magic);
        const bool is_one = !std::memcmp(f.magic, frame_magic, sizeof f.magic) && magic == WARM__BLOB_MAGIC && !f.reserved;
        if (!is_one || f.bytes != bytes || f.end != n) fail(WARM_ECORRUPT, "these %zu bytes are no snapshot at %d", bytes, n);
        return from;
    }
    const size_t n_rows = has_rows(e) ? rows_in(e, bytes, n, WARM_ECORRUPT) : 0;
    check_form(e, snapshot_form(e, n, n_rows), from, bytes);
    return from;
}

int load_snapshot(engine &e, int32_t seq, const void *src, size_t bytes, int32_t n) {
    seq_state &held = e.held[(size_t)seq];
    if (!warm_state_has_snapshots(e.info_.state)) fail(WARM_ENOTSUP, "this model's state has no snapshots");
    if (n <= 0) fail(WARM_EINVAL, "no snapshot is at %d", n);
    if (e.info_.state == WARM_STATE_RANGES_SNAPSHOTS) {
        if (held.end != n) fail(WARM_EINVAL, "sequence %d has %d cells, not the %d of the snapshot", seq, held.end, n);
    } else {
        drop(e, seq);
    }
    const uint8_t *state = check_snapshot(e, src, bytes, n);
    if (!set_state(e, seq, state, bytes, snapshot_flags(e))) fail(WARM_EFULL, "no room for the snapshot at %d", n);
    if (llama_memory_seq_pos_max(e.mem, seq) != n - 1) fail(WARM_EENGINE, "a snapshot at %d arrived elsewhere", n);
    held = {n, false};
    return 0;
}

} // namespace

warm__blob_form rows_form(int32_t first, size_t n) {
    warm__blob_form f = {};
    f.from = 1;
    f.cells[1] = {first, n};
    return f;
}

warm__blob_form snapshot_form(const engine &e, int32_t n, size_t n_rows) {
    warm__blob_form f = {};
    f.from = e.layout.n_sections > 1 ? 1 : 0;
    if (has_rows(e)) f.cells[1] = {n - (int32_t)n_rows, n_rows};
    if (has_tail(e)) f.cells[e.layout.n_sections - 1] = {n - 1, 1};
    return f;
}

/* The row before the window rides along as long as it was not recycled. */
size_t rows_in(const engine &e, size_t bytes, int32_t n, int code) {
    const warm__blob_form f = snapshot_form(e, n, 0);
    const size_t n_rows = warm__blob_cells(&e.layout, &f, 1, bytes);
    const auto needed = (size_t)(n - window_begin(e, n));
    if (n_rows < needed || n_rows > std::min<size_t>((size_t)n, e.window)) {
        fail(code, "%zu bytes don't hold the window rows before %d", bytes, n);
    }
    return n_rows;
}

size_t window_bytes(const warm_engine *we, size_t n) {
    const engine &e = *of(we);
    const warm__blob_form f = rows_form(0, n);
    return n && e.info_.state == WARM_STATE_WINDOW ? warm__blob_bytes(&e.layout, &f) : 0;
}

int64_t window_save(warm_engine *we, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    return guard_bytes(err, WARM_EENGINE, [&] { return save_window(at_rest(we), seq, p0, n, dst, cap); });
}

int window_load(warm_engine *we, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return load_window(at_rest(we), seq, src, bytes, first, n, p0, p1); });
}

size_t snapshot_bytes(const warm_engine *we, int32_t seq) {
    const engine &e = *of(we);
    size_t bytes = 0;
    guard(nullptr, WARM_EENGINE, [&] {
        if (admitted(e, seq) && can_snapshot(e, seq)) bytes = snapshot_size(e, seq);
        return 0;
    });
    return bytes;
}

int64_t snapshot_save(warm_engine *we, int32_t seq, void *dst, size_t cap, warm_err *err) {
    return guard_bytes(err, WARM_EENGINE, [&] { return save_snapshot(at_rest(we), seq, dst, cap); });
}

int snapshot_load(warm_engine *we, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err) {
    engine &e = at_rest(we);
    if (!admitted(e, seq)) return warm_err_set(err, WARM_EINVAL, "sequence %d does not exist", seq);
    int rc = guard(err, WARM_EENGINE, [&] { return load_snapshot(e, seq, src, bytes, n); });
    if (rc) drop(e, seq);
    return rc;
}

} // namespace warm
