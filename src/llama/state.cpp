/* SPDX-License-Identifier: MIT
 *
 * llama/state.cpp - sequences and their state as bytes.
 *
 * A range is cut out of a sequence by sharing its cells with the scratch sequence, saving that one whole, and letting go of it;
 * it is appended by loading it whole into the scratch sequence and sharing the wanted part with the destination.
 *
 * Invariants
 *  (1) The scratch sequence is empty between two calls: a cell that it held would count as used.
 *  (2) Bytes that are not a state of exactly the named cells in this context's layout never reach libllama.
 *  (3) A destination changes only by its last step, the sharing, which can't fail.
 * Threads: [engine]. Not here: whether the bytes are those that were saved; that is the cache's checksum. */
#include <cassert>
#include <climits>
#include <vector>

#include "llama/priv.hpp"

namespace warm {
namespace {

constexpr size_t sample_cells = 5; /* two sizes make a line, a third proves it, and a warm-up needs no more */

bool admitted(const engine &e, int32_t seq) {
    return seq >= 0 && seq < e.scratch;
}

void empty_scratch(engine &e) {
    llama_memory_seq_rm(e.mem, e.scratch, -1, -1);
}

size_t size_of_range(engine &e, int32_t seq, int32_t p0, int32_t p1) {
    llama_memory_seq_cp(e.mem, seq, e.scratch, p0, p1);
    size_t bytes = llama_state_seq_get_size_ext(e.ctx.get(), e.scratch, LLAMA_STATE_SEQ_FLAGS_NONE);
    empty_scratch(e);
    return bytes;
}

/* The sample is what the context itself says about a few cells; the layout holds if it also foretells other sizes. */
bool learn_from(engine &e, int32_t seq) {
    const size_t bytes = llama_state_seq_get_size_ext(e.ctx.get(), seq, LLAMA_STATE_SEQ_FLAGS_NONE);
    std::vector<uint8_t> blob(bytes);
    if (llama_state_seq_get_data_ext(e.ctx.get(), blob.data(), bytes, seq, LLAMA_STATE_SEQ_FLAGS_NONE) != bytes) return false;
    int rc = warm__blob_learn(&e.layout, blob.data(), bytes, 0, sample_cells, llama_n_ctx(e.ctx.get()));
    if (rc == WARM_ENOMEM) throw std::bad_alloc();
    if (rc) return false;
    for (int32_t n = 1; n < (int32_t)sample_cells; n++) {
        if (size_of_range(e, seq, 1, 1 + n) != warm__blob_bytes(&e.layout, (size_t)n)) {
            warm__blob_free(&e.layout);
            return false;
        }
    }
    return true;
}

bool can_cut(const engine &e) {
    const llama_model *m = e.model.get();
    return !llama_model_is_recurrent(m) && !llama_model_is_hybrid(m) && llama_model_n_swa(m) <= 0;
}

} // namespace

void learn_layout(engine &e) {
    const int32_t n_vocab = llama_vocab_n_tokens(e.vocab);
    std::vector<llama_token> tokens(sample_cells);
    for (size_t i = 0; i < tokens.size(); i++) tokens[i] = (llama_token)(i * 7 % (size_t)n_vocab);
    decode_plain(e, tokens, 0, 0);
    e.info_.state = can_cut(e) && learn_from(e, 0) ? WARM_STATE_RANGES : WARM_STATE_WHOLE;
    llama_memory_clear(e.mem, true);
    llama_perf_context_reset(e.ctx.get());
    if (e.info_.state == WARM_STATE_WHOLE) {
        warm_log_warn("llama", "%s: its state can't be cut into ranges; it is served without the prompt cache", e.desc.c_str());
    }
}

void seq_rm(warm_engine *we, int32_t seq, int32_t p0, int32_t p1) {
    engine &e = *of(we);
    assert(admitted(e, seq));
    guard(nullptr, WARM_EENGINE, [&] {
        /* a state that can't be cut is removed whole: half of it would be silently wrong */
        if (!llama_memory_seq_rm(e.mem, seq, p0, p1)) llama_memory_seq_rm(e.mem, seq, -1, -1);
        return 0;
    });
}

bool can_continue(warm_engine *we, int32_t seq, int32_t n) {
    engine &e = *of(we);
    assert(admitted(e, seq));
    const int32_t end = llama_memory_seq_pos_max(e.mem, seq) + 1;
    return e.info_.state == WARM_STATE_RANGES ? n <= end : n == end;
}

int fork(warm_engine *we, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    engine &e = *of(we);
    assert(admitted(e, src) && admitted(e, dst));
    if (complete && !can_continue(we, src, n))
        return warm_err_set(err, WARM_ENOTFOUND, "sequence %d can't be continued at %d", src, n);
    return guard(err, WARM_EENGINE, [&] {
        llama_memory_seq_cp(e.mem, src, dst, 0, n);
        return 0;
    });
}

void seq_range(warm_engine *we, int32_t seq, int32_t *min, int32_t *max) {
    engine &e = *of(we);
    assert(admitted(e, seq));
    *min = llama_memory_seq_pos_min(e.mem, seq);
    *max = llama_memory_seq_pos_max(e.mem, seq);
}

void clear(warm_engine *we, bool data) {
    llama_memory_clear(of(we)->mem, data);
}

size_t state_bytes(const warm_engine *we, size_t n) {
    return warm__blob_bytes(&of(we)->layout, n);
}

static int64_t save(engine &e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap) {
    if (!warm_state_has_ranges(e.info_.state)) fail(WARM_ENOTSUP, "the state of this model can't be cut into ranges");
    const size_t bytes = warm__blob_bytes(&e.layout, n);
    if (!admitted(e, seq) || p0 < 0 || !n || n > e.layout.max_cells || n > (size_t)(INT_MAX - p0) || cap < bytes) {
        fail(WARM_EINVAL, "can't save %zu units at %d of sequence %d into %zu bytes", n, p0, seq, cap);
    }
    const int32_t p1 = p0 + (int32_t)n;
    if (llama_memory_seq_pos_min(e.mem, seq) > p0 || llama_memory_seq_pos_max(e.mem, seq) < p1 - 1) {
        fail(WARM_EINVAL, "sequence %d does not hold %d..%d", seq, p0, p1 - 1);
    }
    llama_memory_seq_cp(e.mem, seq, e.scratch, p0, p1);
    const size_t written =
        llama_state_seq_get_data_ext(e.ctx.get(), static_cast<uint8_t *>(dst), bytes, e.scratch, LLAMA_STATE_SEQ_FLAGS_NONE);
    empty_scratch(e);
    if (written != bytes) fail(WARM_EENGINE, "%zu units of sequence %d gave %zu bytes of state, not %zu", n, seq, written, bytes);
    return (int64_t)written;
}

int64_t state_save(warm_engine *we, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    int64_t written = 0;
    int rc = guard(err, WARM_EENGINE, [&] {
        written = save(*of(we), seq, p0, n, dst, cap);
        return 0;
    });
    return rc ? rc : written;
}

/* After the layout was checked, a refusal has one cause left: no cells. Its log lines are then no news. */
static bool load_scratch(engine &e, const void *src, size_t bytes) {
    captured_log log(true);
    const auto *p = static_cast<const uint8_t *>(src);
    return llama_state_seq_set_data_ext(e.ctx.get(), p, bytes, e.scratch, LLAMA_STATE_SEQ_FLAGS_NONE) == bytes;
}

static int load(engine &e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1) {
    if (!warm_state_has_ranges(e.info_.state)) fail(WARM_ENOTSUP, "the state of this model can't be cut into ranges");
    if (!admitted(e, seq) || first < 0 || n > (size_t)(INT_MAX - first) || p0 < first || p1 <= p0 || p1 > first + (int32_t)n) {
        fail(WARM_EINVAL, "can't append %d..%d of a state that begins at %d to sequence %d", p0, p1 - 1, first, seq);
    }
    if (llama_memory_seq_pos_max(e.mem, seq) != p0 - 1) {
        fail(WARM_EINVAL, "sequence %d ends at %d, not at %d", seq, llama_memory_seq_pos_max(e.mem, seq) + 1, p0);
    }
    warm_err why = {0, {0}};
    if (warm__blob_check(&e.layout, src, bytes, first, n, &why)) throw failure(why.code, why.text);
    empty_scratch(e);
    if (!load_scratch(e, src, bytes)) {
        empty_scratch(e);
        fail(WARM_EFULL, "no %zu free cells", n);
    }
    const bool arrived =
        llama_memory_seq_pos_min(e.mem, e.scratch) == first && llama_memory_seq_pos_max(e.mem, e.scratch) == first + (int32_t)n - 1;
    if (arrived) llama_memory_seq_cp(e.mem, e.scratch, seq, p0, p1);
    empty_scratch(e);
    if (!arrived) fail(WARM_EENGINE, "a state of %d..%d arrived elsewhere", first, first + (int32_t)n - 1);
    return 0;
}

int state_load(warm_engine *we, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
               warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return load(*of(we), seq, src, bytes, first, n, p0, p1); });
}

} // namespace warm
