/* SPDX-License-Identifier: MIT
 *
 * llama/probe.cpp - finds out at load what can be done with the state of this model in this context.
 *
 * First by structure: the layout is learned from a few cells, and what libllama does with states of it is tried, with cells that
 * are moved to where they would be in a long text. Then by a round trip through the same operations that serve later: what is
 * saved, loaded and saved again must be the same bytes, and what is computed behind it must be the same too. Bytes are compared
 * because small or random weights can hide a wrong state in the logits; logits, because a state could be more than its bytes. A
 * round trip that succeeded is remembered; the structure is looked at every time. */
#include <cmath>
#include <cstring>

#include "llama/state.hpp"
#include "llama/state_facts.h"

namespace warm {
namespace {

constexpr int32_t sample_cells = 5; /* two sizes make a line, more prove it */
constexpr int32_t far = 1 << 20;    /* units away from each other, beyond any window */
/* of the round trip: pieces, the unit where it is taken up, inside of one, and its end */
constexpr int32_t piece = 16, n_pieces = 2, resume = 30, end = 34;
static_assert(resume > piece && resume < n_pieces * piece && end >= n_pieces * piece && end <= 64, "not a round trip");

std::vector<llama_token> some_tokens(const engine &e, int32_t p0, int32_t p1) {
    std::vector<llama_token> tokens;
    for (int32_t i = p0; i < p1; i++) tokens.push_back((llama_token)((int64_t)(i + 1) * 7919 % llama_vocab_n_tokens(e.vocab)));
    return tokens;
}

std::vector<uint8_t> state_of(engine &e, int32_t seq, llama_state_seq_flags flags) {
    std::vector<uint8_t> bytes(size_of(e, seq, flags));
    bytes.resize(get_state(e, seq, bytes.data(), bytes.size(), flags));
    return bytes;
}

bool is_form(const engine &e, const warm__blob_form &f, const std::vector<uint8_t> &bytes) {
    return !warm__blob_check(&e.layout, &f, bytes.data(), bytes.size(), nullptr);
}

/* The rest of a full state of n units behind its first section, or all of it where there is only one. */
warm__blob_form partial_form(const engine &e, int32_t n) {
    if (e.layout.n_sections == 1) return has_tail(e) ? snapshot_form(e, n, 0) : cells_form(0, (size_t)n);
    return snapshot_form(e, n, (size_t)n);
}

void learn(engine &e) {
    const std::vector<uint8_t> sample = state_of(e, 0, whole_state);
    const int rc = warm__blob_learn(&e.layout, sample.data(), sample.size(), 0, sample_cells, e.info_.n_ctx);
    if (rc == WARM_ENOMEM) throw std::bad_alloc();
    if (rc) return;
    e.no_tail = state_of(e, e.scratch, partial_state);
}

/* Ranges of cells alone, and that the sequence they are of keeps what it has. */
bool strips(engine &e) {
    const std::vector<uint8_t> before = state_of(e, 0, whole_state);
    for (int32_t n = 1; n < sample_cells; n++) {
        llama_memory_seq_cp(e.mem, 0, e.scratch, 1, 1 + n);
        strip(e, e.scratch);
        const std::vector<uint8_t> cells = state_of(e, e.scratch, whole_state);
        drop(e, e.scratch);
        if (!is_form(e, cells_form(1, (size_t)n), cells)) return false;
    }
    return state_of(e, 0, whole_state) == before;
}

/* How many of two cells in section s at these positions libllama still counts as the sequence's, as its window has it. */
size_t kept(engine &e, unsigned s, int32_t p, int32_t q) {
    const llama_state_seq_flags flags = s ? partial_state : whole_state;
    llama_memory_seq_cp(e.mem, 0, e.scratch, 0, 2);
    if (!s) strip(e, e.scratch);
    std::vector<uint8_t> two = state_of(e, e.scratch, flags);
    drop(e, e.scratch);
    /* the section is the first one of this state: streams and count stand before the cells */
    const size_t at = WARM__BLOB_HEAD + 8;
    if (two.size() < at + 2 * e.layout.section[s].cell_bytes) return 0;
    std::memcpy(&two[at], &p, sizeof p);
    std::memcpy(&two[at + e.layout.section[s].cell_bytes], &q, sizeof q);
    warm__blob_form f = {};
    size_t n = 0;
    if (set_state(e, e.scratch, two.data(), two.size(), flags)) {
        f.from = s;
        if (s && has_tail(e)) f.cells[e.layout.n_sections - 1].n = 1;
        n = warm__blob_cells(&e.layout, &f, s, size_of(e, e.scratch, flags));
    }
    drop(e, e.scratch);
    return n;
}

warm__state_facts look(engine &e) {
    warm__state_facts f = {};
    const llama_model *m = e.model.get();
    f.recurrent = llama_model_is_recurrent(m);
    f.hybrid = llama_model_is_hybrid(m);
    f.n_swa = llama_model_n_swa(m);
    f.n_sections = e.layout.n_sections;
    if (!f.n_sections) return f;
    for (unsigned i = 0; i < f.n_sections; i++) f.section[i] = e.layout.section[i].kind;
    f.partial_is_rest = is_form(e, partial_form(e, sample_cells), state_of(e, 0, partial_state));
    if (has_tail(e)) {
        warm__blob_form none = {};
        none.from = f.n_sections > 1;
        f.partial_is_rest = f.partial_is_rest && is_form(e, none, e.no_tail);
    }
    if (!f.partial_is_rest || f.section[0] != WARM__BLOB_KV) return f;
    f.strips = strips(e);
    f.keeps_cells = f.strips && kept(e, 0, 0, far) == 2;
    if (f.strips && has_rows(e) && f.n_swa > 1) {
        const int32_t w = f.n_swa;
        f.keeps_rows = kept(e, 1, 0, w - 1) == 2 && kept(e, 1, 0, w) == 1 && kept(e, 1, w - 1, w) == 2;
    }
    return f;
}

/* What an operation says, as an exception. */
int64_t must(int64_t rc, const warm_err &err) {
    if (rc < 0) throw failure((int)rc, err.text);
    return rc;
}

struct saved_piece {
    std::vector<uint8_t> cells, rows;
    bool operator==(const saved_piece &o) const { return cells == o.cells && rows == o.rows; }
};

saved_piece save_piece(engine &e, int32_t first) {
    saved_piece s;
    warm_err err = {0, {0}};
    s.cells.resize(state_bytes(&e, piece));
    must(state_save(&e, 0, first, piece, s.cells.data(), s.cells.size(), &err), err);
    if (e.info_.state != WARM_STATE_WINDOW) return s;
    s.rows.resize(window_bytes(&e, piece));
    must(window_save(&e, 0, first, piece, s.rows.data(), s.rows.size(), &err), err);
    return s;
}

void load_piece(engine &e, const saved_piece &s, int32_t first, int32_t upto) {
    warm_err err = {0, {0}};
    const int32_t p1 = std::min(first + piece, upto);
    must(state_load(&e, 0, s.cells.data(), s.cells.size(), first, piece, first, p1, &err), err);
    if (s.rows.empty()) return;
    must(window_load(&e, 0, s.rows.data(), s.rows.size(), first, piece, first, p1, &err), err);
}

std::vector<uint8_t> save_all(engine &e) {
    std::vector<uint8_t> s;
    warm_err err = {0, {0}};
    if (!warm_state_has_snapshots(e.info_.state)) return s;
    s.resize(snapshot_bytes(&e, 0));
    must(snapshot_save(&e, 0, s.data(), s.size(), &err), err);
    return s;
}

void load_all(engine &e, const std::vector<uint8_t> &s) {
    warm_err err = {0, {0}};
    if (!s.empty()) must(snapshot_load(&e, 0, s.data(), s.size(), resume, &err), err);
}

std::vector<float> compute_end(engine &e) {
    decode_plain(e, some_tokens(e, resume, end), 0, resume);
    const float *row = llama_get_logits_ith(e.ctx.get(), -1);
    if (!row) fail(WARM_EENGINE, "no logits");
    return std::vector<float>(row, row + e.info_.n_vocab);
}

/* Equal, as they are wherever the same cells give the same sums; a device that adds up in another order each time is let pass. */
bool same_logits(const std::vector<float> &a, const std::vector<float> &b) {
    float size = 0.0f, difference = 0.0f;
    for (size_t i = 0; i < a.size(); i++) {
        size = std::max(size, std::fabs(a[i]));
        difference = std::max(difference, std::fabs(a[i] - b[i]));
        if (std::isnan(b[i])) return false;
    }
    return difference <= 1e-3f * size;
}

/* What came back other than it was; NULL: nothing. */
const char *round_trip(engine &e) {
    const bool ranges = warm_state_has_ranges(e.info_.state);
    std::vector<saved_piece> pieces;
    clear(&e, true);
    decode_plain(e, some_tokens(e, 0, resume), 0, 0);
    const std::vector<uint8_t> snapshot = save_all(e);
    const std::vector<float> live = compute_end(e);
    for (int32_t i = 0; ranges && i < n_pieces; i++) pieces.push_back(save_piece(e, i * piece));

    clear(&e, true);
    for (int32_t i = 0; ranges && i < n_pieces; i++) load_piece(e, pieces[(size_t)i], i * piece, n_pieces * piece);
    for (int32_t i = 0; ranges && i < n_pieces; i++) {
        if (!(save_piece(e, i * piece) == pieces[(size_t)i])) return "a range came back with other bytes";
    }

    clear(&e, true);
    for (int32_t i = 0; ranges && i < n_pieces; i++) load_piece(e, pieces[(size_t)i], i * piece, resume);
    load_all(e, snapshot);
    if (save_all(e) != snapshot) return "a snapshot came back with other bytes";
    return same_logits(live, compute_end(e)) ? nullptr : "what was loaded computes something else";
}

/* Why not, as text; "" when it is as good as it should be. */
std::string try_round_trip(engine &e) {
    warm_err err = {0, {0}};
    const char *why = nullptr;
    const int rc = guard(&err, WARM_EENGINE, [&] {
        why = round_trip(e);
        return 0;
    });
    if (rc == WARM_ENOMEM) throw std::bad_alloc();
    clear(&e, true);
    return rc ? err.text : why ? why : "";
}

/* As llama_kv_cache_iswa sizes its second cache; no call tells. */
uint32_t rows_of(const engine &e) {
    const uint32_t n_ctx = llama_n_ctx(e.ctx.get()), n_seq = llama_n_seq_max(e.ctx.get());
    if (e.params.swa_full) return n_ctx;
    return std::min(n_ctx, e.window * n_seq + llama_n_ubatch(e.ctx.get()));
}

void set_kind(engine &e, enum warm_state_kind kind) {
    e.info_.state = kind;
    e.info_.n_window = kind == WARM_STATE_WINDOW ? e.window : 0;
    e.info_.n_rows = kind == WARM_STATE_WINDOW ? rows_of(e) : 0;
    e.scope = scope_text(e);
}

const char *source_of(engine &e, std::string &why) {
    if (is_remembered(e)) return "remembered";
    std::string failed = try_round_trip(e);
    if (failed.empty()) {
        remember(e);
        return "tried";
    }
    why = failed;
    return nullptr;
}

} // namespace

void probe_state(engine &e) {
    const char *objection = nullptr;
    e.info_.state = WARM_STATE_RANGES; /* until it is known, a sequence is as free as one can be */
    decode_plain(e, some_tokens(e, 0, sample_cells), 0, 0);
    learn(e);
    const warm__state_facts facts = look(e);
    if (has_rows(e)) e.window = (uint32_t)std::max(facts.n_swa, 0);
    clear(&e, true);
    set_kind(e, warm__state_kind_of(&facts, &objection));
    std::string why = objection ? objection : "";
    const char *source = source_of(e, why);
    if (!source && e.info_.state != WARM_STATE_WHOLE) {
        set_kind(e, WARM_STATE_WHOLE);
        std::string also;
        source = source_of(e, also);
    }
    e.savable = source;
    llama_perf_context_reset(e.ctx.get());
    const char *name = warm_state_kind_name(e.info_.state);
    if (!e.savable) {
        warm_log_warn("llama", "%s: its state does not come back as it was saved (%s): nothing is cached", e.desc.c_str(),
                      why.c_str());
    } else if (!why.empty()) {
        warm_log_warn("llama", "%s: state is saved as %s, %s: %s", e.desc.c_str(), name, source, why.c_str());
    } else {
        warm_log_info("llama", "%s: state is saved as %s, %s", e.desc.c_str(), name, source);
    }
}

} // namespace warm
