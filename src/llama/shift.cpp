/* SPDX-License-Identifier: MIT
 *
 * llama/shift.cpp - takes units out of the middle of a sequence and closes the gap. See state.hpp.
 *
 * libllama turns the keys that were moved at the next decode only; until then its bytes have new positions and old keys. Nothing reads
 * them in between: what was moved is not saved or shared, then or later (held.exact).
 *
 * It says of some models that they can, and then ends the process (GGML_ASSERT(buffer)): those where no layer of one of the caches has keys to
 * turn. There it is not tried. */
#include <cassert>

#include "llama/state.hpp"

namespace warm {
namespace {

/* Whether the window rows that the new end needs will be there. They are consecutive, also behind the gap. Those that the old end needs are
 * there; where a recurrent state hides which others are, none is counted on. */
bool keeps_window(const engine &e, int32_t seq, int32_t p0, int32_t p1) {
    int32_t first = window_begin(e, e.held[(size_t)seq].end);
    if (!has_tail(e)) first = std::min(first, llama_memory_seq_pos_min(e.mem, seq));
    if (first >= p0) first = first < p1 ? p0 : first - (p1 - p0);
    return first <= window_begin(e, e.held[(size_t)seq].end - (p1 - p0));
}

int close_gap(engine &e, int32_t seq, int32_t p0, int32_t p1) {
    seq_state &held = e.held[(size_t)seq];
    if (!e.info_.can_shift) fail(WARM_ENOTSUP, "the state of this model can't be moved");
    if (held.open || (has_rows(e) && !keeps_window(e, seq, p0, p1))) {
        fail(WARM_ENOTFOUND, "sequence %d could not be continued without %d..%d", seq, p0, p1 - 1);
    }
    if (!llama_memory_seq_rm(e.mem, seq, p0, p1)) {
        drop(e, seq);
        fail(WARM_EENGINE, "libllama can't take %d..%d out of sequence %d", p0, p1 - 1, seq);
    }
    llama_memory_seq_add(e.mem, seq, p1, -1, p0 - p1);
    held.end -= p1 - p0;
    held.exact = std::min(held.exact, p0);
    return 0;
}

} // namespace

bool can_shift(engine &e) {
    if (!llama_memory_can_shift(e.mem)) return false;
    if (llama_model_rope_type(e.model.get()) == LLAMA_ROPE_TYPE_NONE) return true;
    if (!e.layout.n_sections) return false; /* which layers are where is not known */
    for (unsigned i = 0; i < e.layout.n_sections; i++) {
        if (e.layout.section[i].kind == WARM__BLOB_KV && !e.layout.section[i].n_layer) return false;
    }
    /* In this family a model can be made without positions, or a layer can. */
    if (e.arch.rfind("granite", 0)) return true;
    return !has_rows(e) && meta(e, (e.arch + ".rope.scaling.finetuned").c_str()) != "false";
}

int shift(warm_engine *we, int32_t seq, int32_t p0, int32_t p1, warm_err *err) {
    engine &e = at_rest(we);
    assert(admitted(e, seq) && p0 >= 0 && p0 < p1 && p1 < e.held[(size_t)seq].end);
    return guard(err, WARM_EENGINE, [&] { return close_gap(e, seq, p0, p1); });
}

} // namespace warm
