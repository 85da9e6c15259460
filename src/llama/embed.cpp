/* SPDX-License-Identifier: MIT
 *
 * llama/embed.cpp - embeddings and scores, in a context of their own beside the one that generates.
 *
 * A context is made for one of the two: pooling needs a sequence in one piece, all rows of a batch as outputs and a batch no larger than
 * what is computed at once, none of which generating wants. So the prompt cache and its context are as they would be without. The price is
 * a second context: cells for one batch, or, where only the last token counts and long inputs can be computed in parts, as many as the
 * other has.
 * Threads: embed [engine], rank_prompt [any]. */
#include <algorithm>

#include "llama/priv.hpp"

namespace warm {
namespace {

/* Sequences that are computed together. Each is a row of the pooled result, and where sequences have state of their own libllama
 * may cut a batch of several where they must not be cut. */
constexpr uint32_t seqs_max = 32;

enum warm_pooling pooling_of(const llama_context *ctx) {
    switch (llama_pooling_type(ctx)) {
    case LLAMA_POOLING_TYPE_MEAN:
        return WARM_POOLING_MEAN;
    case LLAMA_POOLING_TYPE_CLS:
        return WARM_POOLING_CLS;
    case LLAMA_POOLING_TYPE_LAST:
        return WARM_POOLING_LAST;
    case LLAMA_POOLING_TYPE_RANK:
        return WARM_POOLING_RANK;
    default:
        return WARM_POOLING_NONE;
    }
}

llama_context_ptr make(engine &e, const llama_context_params &cp) {
    captured_log log(false);
    llama_context_ptr ctx(llama_init_from_model(e.model.get(), cp));
    if (!ctx) fail(WARM_EENGINE, "no context for embeddings: %s", log.or_else("libllama could not make one"));
    return ctx;
}

/* The tokens of all inputs as libllama wants them. */
struct rows {
    std::vector<llama_token> token;
    std::vector<llama_pos> pos;
    std::vector<llama_seq_id> seq;
    std::vector<llama_seq_id *> seqs;
    std::vector<int32_t> one_seq;
    std::vector<int8_t> output;

    rows(const warm_embed_input *in, size_t n) {
        for (size_t s = 0; s < n; s++) {
            token.insert(token.end(), in[s].token, in[s].token + in[s].n);
            for (size_t i = 0; i < in[s].n; i++) pos.push_back((llama_pos)i);
            seq.insert(seq.end(), in[s].n, (llama_seq_id)s);
        }
        for (auto &id : seq) seqs.push_back(&id);
        one_seq.assign(token.size(), 1);
        output.assign(token.size(), 1);
    }

    llama_batch part(size_t from, size_t n) {
        llama_batch b = {};
        b.n_tokens = (int32_t)n;
        b.token = token.data() + from;
        b.pos = pos.data() + from;
        b.n_seq_id = one_seq.data() + from;
        b.seq_id = seqs.data() + from;
        b.logits = output.data() + from;
        return b;
    }
};

void check(const engine &e, const warm_embed_input *in, size_t n) {
    const warm_engine_info &info = e.info_;
    if (!e.embed_ctx) fail(WARM_ENOTSUP, "not opened for embeddings");
    if (!n || n > info.n_embed_seqs) fail(WARM_EINVAL, "%zu sequences to embed: 1..%u are possible", n, info.n_embed_seqs);
    size_t total = 0;
    for (size_t s = 0; s < n; s++) {
        if (!in[s].n || in[s].n > info.n_embed_max)
            fail(WARM_EINVAL, "%zu tokens to embed: 1..%u are possible", in[s].n, info.n_embed_max);
        total += in[s].n;
    }
    if (n > 1 && total > info.n_embed_batch)
        fail(WARM_EINVAL, "%zu tokens to embed at once: at most %u", total, info.n_embed_batch);
}

void compute(engine &e, rows &r) {
    for (size_t done = 0; done < r.token.size();) {
        const size_t n = std::min<size_t>(r.token.size() - done, e.info_.n_embed_batch);
        captured_log log(true);
        const int rc = llama_decode(e.embed_ctx.get(), r.part(done, n));
        if (rc) fail(WARM_EENGINE, "libllama failed to embed %zu tokens: %s (%d)", n, log.or_else("it does not say why"), rc);
        done += n;
    }
}

void copy_row(const engine &e, const float *row, float *out) {
    if (!row) fail(WARM_EENGINE, "libllama gave no embedding");
    std::copy(row, row + e.info_.n_embd_out, out);
}

void embed_all(engine &e, const float *scale, const warm_embed_input *in, size_t n) {
    check(e, in, n);
    llama_context *ctx = e.embed_ctx.get();
    if (!e.lora.empty()) set_adapters(e, ctx, std::vector<float>(scale, scale + e.lora.size()));
    if (llama_memory_t mem = llama_get_memory(ctx)) llama_memory_clear(mem, false);
    rows r(in, n);
    compute(e, r);
    int32_t row = 0;
    for (size_t s = 0; s < n; s++) {
        if (e.info_.pooling != WARM_POOLING_NONE) {
            copy_row(e, llama_get_embeddings_seq(ctx, (llama_seq_id)s), in[s].out);
            continue;
        }
        for (size_t i = 0; i < in[s].n; i++, row++)
            copy_row(e, llama_get_embeddings_ith(ctx, row), in[s].out + i * e.info_.n_embd_out);
    }
}

void append_text(const engine &e, std::vector<llama_token> &out, const std::string &text, bool parse_special) {
    const auto tokens = common_tokenize(e.vocab, text, false, parse_special);
    out.insert(out.end(), tokens.begin(), tokens.end());
}

void replace_all(std::string &text, const std::string &what, const std::string &with) {
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) text.replace(at, what.size(), with);
}

/* The model's template for it, or query and document with the marks that the vocabulary asks for. */
std::vector<llama_token> pair(const engine &e, const std::string &query, const std::string &doc) {
    std::vector<llama_token> out;
    if (const char *given = llama_model_chat_template(e.model.get(), "rerank")) {
        std::string text = given;
        replace_all(text, "{query}", query);
        replace_all(text, "{document}", doc);
        append_text(e, out, text, true);
        return out;
    }
    const llama_token eos = llama_vocab_eos(e.vocab), sep = llama_vocab_sep(e.vocab), end = eos == LLAMA_TOKEN_NULL ? sep : eos;
    auto mark = [&](bool wanted, llama_token token) {
        if (wanted && token != LLAMA_TOKEN_NULL) out.push_back(token);
    };
    mark(llama_vocab_get_add_bos(e.vocab), llama_vocab_bos(e.vocab));
    append_text(e, out, query, false);
    mark(llama_vocab_get_add_eos(e.vocab), end);
    mark(llama_vocab_get_add_sep(e.vocab), sep);
    append_text(e, out, doc, false);
    mark(llama_vocab_get_add_eos(e.vocab), end);
    return out;
}

} // namespace

void open_embeddings(engine &e) {
    const common_params &p = e.params;
    if (!p.embedding) return;
    const bool own_state = llama_model_is_recurrent(e.model.get()) || llama_model_is_hybrid(e.model.get());
    auto cp = common_context_params_to_llama(p);
    cp.embeddings = true;
    cp.n_batch = cp.n_ubatch = e.info_.n_ubatch;
    cp.n_seq_max = own_state ? 1 : std::min(seqs_max, cp.n_batch);
    cp.n_outputs_max = cp.n_batch;
    cp.n_outputs_max_per_seq = cp.n_batch;
    cp.n_ctx = cp.n_batch;
    e.embed_ctx = make(e, cp);
    e.info_.pooling = pooling_of(e.embed_ctx.get());
    const uint32_t longest = std::min(e.info_.n_ctx, e.info_.n_ctx_train);
    if (e.info_.pooling == WARM_POOLING_LAST && longest > cp.n_ctx) {
        e.embed_ctx.reset();
        cp.n_ctx = longest;
        e.embed_ctx = make(e, cp);
    }
    set_control_vectors(e, e.embed_ctx.get());
    e.info_.n_embed_batch = cp.n_batch;
    e.info_.n_embed_max = e.info_.pooling == WARM_POOLING_LAST ? longest : std::min(longest, cp.n_batch);
    e.info_.n_embed_seqs = cp.n_seq_max;
    const bool rank = e.info_.pooling == WARM_POOLING_RANK;
    e.info_.n_embd_out = rank ? llama_model_n_cls_out(e.model.get()) : (uint32_t)llama_model_n_embd_out(e.model.get());
    warm_log_info("llama", "embeddings of %u numbers, %s, up to %u tokens", e.info_.n_embd_out,
                  rank                                   ? "scores"
                  : e.info_.pooling == WARM_POOLING_NONE ? "one for each token"
                                                         : "pooled",
                  e.info_.n_embed_max);
}

int embed(warm_engine *we, const float *scale, const warm_embed_input *in, size_t n, warm_err *err) {
    return guard(err, WARM_EENGINE, [&] {
        embed_all(*of(we), scale, in, n);
        return 0;
    });
}

int rank_prompt(warm_engine *we, const char *query, size_t n_query, const char *doc, size_t n_doc, int32_t **tokens, size_t *n,
                warm_err *err) {
    return guard(err, WARM_EINVAL, [&] {
        const auto made = pair(*of(we), std::string(query, n_query), std::string(doc, n_doc));
        auto *copy = static_cast<int32_t *>(warm_malloc((made.empty() ? 1 : made.size()) * sizeof(int32_t)));
        if (!copy) throw std::bad_alloc();
        std::copy(made.begin(), made.end(), copy);
        *tokens = copy;
        *n = made.size();
        return 0;
    });
}

} // namespace warm
