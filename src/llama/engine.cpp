/* SPDX-License-Identifier: MIT
 *
 * llama/engine.cpp - opening, decoding, closing; the tables of functions of the libllama engine.
 *
 * A batch is handed to libllama as it comes: its arrays are laid over llama_batch without a copy.
 * Threads: as engine.h says. */
#include <mutex>
#include <vector>

#include <ggml-backend.h>

#include "llama/state.hpp"

namespace warm {
namespace {

/* llama_decode's positive and negative results, llama.h */
enum { decode_full = 1, decode_aborted = 2, decode_refused = -1 };

/* After a failure in the middle of a computation. Attention cells of the batch are taken back; a state that can't step back is lost. */
void take_back(engine &e, const llama_batch &b) {
    for (int32_t i = 0; i < b.n_tokens; i++) {
        const int32_t seq = b.seq_id[i][0];
        if (warm_state_has_snapshots(e.info_.state)) {
            drop(e, seq);
        } else {
            llama_memory_seq_rm(e.mem, seq, e.held[(size_t)seq].end, -1);
        }
    }
}

void compute(engine &e, const llama_batch &b) {
    captured_log log(true);
    const int rc = llama_decode(e.ctx.get(), b);
    if (rc == 0) return;
    if (rc == decode_aborted || rc < decode_refused) take_back(e, b);
    if (rc == decode_full) fail(WARM_EFULL, "no free cells for %d units", b.n_tokens);
    if (rc == decode_aborted) fail(WARM_ECANCELED, "the computation was interrupted");
    fail(WARM_EENGINE, "libllama failed to compute %d units: %s (%d)", b.n_tokens, log.or_else("it does not say why"), rc);
}

int decode_rows(engine &e, const warm_batch &b) {
    e.wanted.assign(e.info_.n_batch, 0);
    if (!b.n || b.n > e.info_.n_batch) fail(WARM_EINVAL, "a batch of %zu units: 1..%u are possible", b.n, e.info_.n_batch);
    size_t n_wanted = 0;
    for (size_t i = 0; i < b.n; i++) {
        if (b.seq[i] < 0 || b.seq[i] >= e.scratch) fail(WARM_EINVAL, "sequence %d does not exist", b.seq[i]);
        if ((!i || b.seq[i] != b.seq[i - 1]) && !is_complete(e, b.seq[i])) {
            fail(WARM_EINVAL, "what belongs to the end of sequence %d is missing: it can't be continued", b.seq[i]);
        }
        e.seqs[i] = const_cast<llama_seq_id *>(&b.seq[i]);
        n_wanted += b.want[i] != 0;
    }
    if (n_wanted > e.n_outputs) fail(WARM_EINVAL, "logits of %zu rows wanted: at most %u are possible", n_wanted, e.n_outputs);
    llama_batch lb = {};
    lb.n_tokens = (int32_t)b.n;
    lb.token = const_cast<llama_token *>(b.token);
    lb.pos = const_cast<llama_pos *>(b.pos);
    lb.n_seq_id = e.one_seq.data();
    lb.seq_id = e.seqs.data();
    lb.logits = reinterpret_cast<int8_t *>(const_cast<uint8_t *>(b.want));
    compute(e, lb);
    for (size_t i = 0; i < b.n; i++) e.held[(size_t)b.seq[i]].end = b.pos[i] + 1;
    std::copy(b.want, b.want + b.n, e.wanted.begin());
    return 0;
}

int decode(warm_engine *we, const warm_batch *b, warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return decode_rows(at_rest(we), *b); });
}

const float *logits(warm_engine *we, size_t row) {
    engine &e = *of(we);
    if (row >= e.wanted.size() || !e.wanted[row]) return nullptr;
    const float *found = nullptr;
    guard(nullptr, WARM_EENGINE, [&] {
        found = llama_get_logits_ith(e.ctx.get(), (int32_t)row);
        return 0;
    });
    return found;
}

void close_engine(warm_engine *we) {
    delete of(we);
}

const warm_engine_ops ops = {"llama",        adapters,       decode,        logits,        seq_rm,      can_continue, fork,
                             shift,          clear,          state_bytes,   state_save,    state_load,  window_bytes, window_save,
                             window_load,    snapshot_bytes, snapshot_save, snapshot_load, seq_range,   sampler_new,  sampler_free,
                             sampler_accept, sample,         embed,         rank_prompt,   close_engine};
const warm_text_ops text_ops = {tokenize, token_piece, token_is_eog, chat_render, chat_parse, chat_free};

std::string text_of(const engine &e, llama_token token) {
    return token == LLAMA_TOKEN_NULL ? std::string() : piece_of(e, token);
}

void read_vocab(engine &e) {
    const llama_vocab *v = e.vocab;
    for (llama_token t = 0; t < llama_vocab_n_tokens(v); t++) {
        if (llama_vocab_is_eog(v, t)) e.eog.push_back(t);
    }
    e.bos_text = text_of(e, llama_vocab_bos(v));
    e.eos_text = text_of(e, llama_vocab_eos(v));
    e.info_.n_vocab = (uint32_t)llama_vocab_n_tokens(v);
    e.info_.vocab_type = (int32_t)llama_vocab_type(v);
    e.info_.bos = llama_vocab_bos(v);
    e.info_.eos = llama_vocab_eos(v);
    e.info_.add_bos = llama_vocab_get_add_bos(v);
    e.info_.fim_pre = llama_vocab_fim_pre(v);
    e.info_.fim_suf = llama_vocab_fim_suf(v);
    e.info_.fim_mid = llama_vocab_fim_mid(v);
    e.info_.fim_rep = llama_vocab_fim_rep(v);
    e.info_.fim_sep = llama_vocab_fim_sep(v);
}

void read_model(engine &e) {
    const llama_model *m = e.model.get();
    char desc[256] = {0};
    llama_model_desc(m, desc, sizeof desc);
    e.desc = desc;
    e.path = e.params.model.path;
    e.arch = meta(e, "general.architecture");
    e.build = std::string("libllama ") + llama_version();
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        e.backend += std::string("device: ") + ggml_backend_dev_name(dev) + ", " + ggml_backend_dev_description(dev) + "\n";
    }
    e.info_.n_ctx = llama_n_ctx(e.ctx.get());
    e.info_.n_seq_max = (uint32_t)e.scratch;
    e.info_.n_batch = llama_n_batch(e.ctx.get());
    e.info_.n_ubatch = llama_n_ubatch(e.ctx.get());
    e.info_.n_batch_asked = (uint32_t)e.params.n_batch;
    e.info_.n_ctx_train = (uint32_t)llama_model_n_ctx_train(m);
    e.info_.n_embd = (uint32_t)llama_model_n_embd(m);
    e.info_.n_params = llama_model_n_params(m);
    e.info_.model_bytes = llama_model_size(m);
    e.info_.ftype = llama_ftype_name(llama_model_ftype(m));
    e.one_seq.assign(e.info_.n_batch, 1);
    e.seqs.resize(e.info_.n_batch);
    e.wanted.assign(e.info_.n_batch, 0);
    e.held.resize((size_t)e.scratch);
}

void publish(engine &e) {
    e.info_.scope = e.scope.c_str();
    e.info_.model_path = e.path.c_str();
    e.info_.model_desc = e.desc.c_str();
    e.info_.arch = e.arch.c_str();
    e.info_.build = e.build.c_str();
    e.info_.backend = e.backend.c_str();
    e.info_.message_head = e.message_head.empty() ? nullptr : e.message_head.data();
    e.info_.n_message_head = e.message_head.size();
    e.info_.chat_template = e.template_text.c_str();
    e.info_.chat_template_caps = e.template_caps.c_str();
    e.info_.bos_text = e.bos_text.c_str();
    e.info_.eos_text = e.eos_text.c_str();
    e.info_.adapters = e.adapters_.data();
    e.info_.n_adapters = e.adapters_.size();
    e.ops = &ops;
    e.text = &text_ops;
    e.info = &e.info_;
}

int open_engine(const warm_llama_options &o, warm_engine **out) {
    static std::once_flag once;
    std::call_once(once, load_backends);
    auto e = std::make_unique<engine>();
    read_flags(*e, o);
    load_model(*e, o);
    make_context(*e, o);
    read_vocab(*e);
    read_model(*e);
    probe_state(*e);
    e->info_.can_shift = can_shift(*e);
    open_chat(*e, o.chat_template);
    learn_message_head(*e);
    open_embeddings(*e);
    publish(*e);
    warm_log_info("llama", "%s: %u cells, %u sequences, batch %u/%u, %zu bytes of state per unit", e->desc.c_str(), e->info_.n_ctx,
                  e->info_.n_seq_max, e->info_.n_batch, e->info_.n_ubatch, state_bytes(e.get(), 2) - state_bytes(e.get(), 1));
    *out = e.release();
    return 0;
}

} // namespace

std::string meta(const engine &e, const char *key) {
    char buf[256] = {0};
    return llama_model_meta_val_str(e.model.get(), key, buf, sizeof buf) > 0 ? buf : "";
}

void decode_plain(engine &e, const std::vector<llama_token> &tokens, int32_t seq, int32_t pos) {
    for (size_t done = 0; done < tokens.size();) {
        const size_t n = std::min<size_t>(tokens.size() - done, e.info_.n_batch);
        std::vector<int32_t> at(n), ids(n, seq);
        std::vector<uint8_t> want(n, 0);
        for (size_t i = 0; i < n; i++) at[i] = pos + (int32_t)(done + i);
        want[n - 1] = 1;
        warm_batch b = {n, tokens.data() + done, at.data(), ids.data(), want.data()};
        decode_rows(e, b);
        done += n;
    }
}

} // namespace warm

extern "C" int warm_llama_open(const warm_llama_options *o, warm_engine **out, warm_err *err) {
    return warm::guard(err, WARM_EENGINE, [&] { return warm::open_engine(*o, out); });
}
