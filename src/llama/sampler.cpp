/* SPDX-License-Identifier: MIT
 *
 * llama/sampler.cpp - sampling, through libllama-common's sampler so that names, order and arithmetic are llama-server's.
 *
 * libllama aborts the process on some parameters and on logits without a maximum; those are found here first. A grammar is parsed
 * once by itself before the sampler is made, because that parser says what is wrong on the terminal only, and the sampler forgets
 * to free itself after it failed.
 * Threads: sampler_new [any]; the rest [engine]. */
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <json-schema-to-grammar.h>
#include <json.h>
#include <memory>
#include <sampling.h>
#include <set>

#include "llama/chat_answer.hpp"
#include "llama/deep.hpp"
#include "llama/grammar_words.h"
#include "llama/priv.hpp"

struct warm_sampler {
    common_sampler_ptr smpl;
    std::string grammar;                /* "" = none */
    bool lazy = false;                  /* it begins with a trigger */
    bool led = false;                   /* tokens are followed: by the grammar, or by a limit of the reasoning */
    std::vector<llama_token> before;    /* what the grammar has accepted of the prompt's end */
    std::set<llama_token> kept;         /* special tokens whose text is the answer's */
    std::vector<llama_token> generated; /* what the grammar has accepted; kept only with one */
    bool broken = false;                /* a token was against the grammar: to ask it again is an abort */
    bool post_sampling = false;
    size_t n_probs = 0;
    std::vector<warm_token_prob> probs;
};

namespace warm {
namespace {

constexpr int32_t infill_tokens_max = 1000;

/* Parsed once for its errors alone. */
void check_grammar(const engine &e, const char *field, const std::string &grammar) {
    /* this prefix selects another parser, whose absence is an abort */
    if (!grammar.compare(0, 11, "%llguidance")) fail(WARM_EINVAL, "%s: llguidance is not built into this engine", field);
    if ((size_t)std::count(grammar.begin(), grammar.end(), '(') > grammar_levels_max) {
        fail(WARM_EINVAL, "%s: more than %zu parentheses", field, grammar_levels_max);
    }
    char words[WARM_ERR_TEXT_MAX];
    llama_sampler *probe = nullptr;
    warm__grammar_words_begin(words, sizeof words);
    int rc = guard(nullptr, WARM_EINVAL, [&] {
        probe = llama_sampler_init_grammar(e.vocab, grammar.c_str(), "root");
        return 0;
    });
    warm__grammar_words_end();
    if (rc == WARM_ENOMEM) throw std::bad_alloc();
    if (!probe) fail(WARM_EINVAL, "%s: %s", field, words[0] ? words : "can't be parsed");
    llama_sampler_free(probe);
}

common_grammar grammar_of(const engine &e, const warm_sampling &s) {
    if (s.chat && !s.chat->grammar.empty()) {
        check_grammar(e, "tools", s.chat->grammar);
        return {COMMON_GRAMMAR_TYPE_TOOL_CALLS, s.chat->grammar};
    }
    if (s.grammar && s.json_schema) fail(WARM_EINVAL, "grammar and json_schema can't be used together");
    if (s.grammar && s.grammar[0]) {
        check_grammar(e, "grammar", s.grammar);
        return {COMMON_GRAMMAR_TYPE_USER, s.grammar};
    }
    if (!s.json_schema) return {};
    check_schema_size("json_schema", s.json_schema);
    std::string grammar;
    try {
        auto schema = common_json::parse(s.json_schema);
        if (schema.is_object() && schema.empty()) schema["type"] = "object"; /* an empty schema means any object */
        grammar = json_schema_to_grammar(schema);
    } catch (const std::exception &ex) {
        fail(WARM_EINVAL, "json_schema: %s", ex.what());
    }
    check_grammar(e, "json_schema", grammar);
    return {COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT, grammar};
}

/* What the chat adds: a grammar that begins with a trigger, and a limit of the reasoning. A schema's own grammar does not know the
 * end of the prompt. */
void add_chat(const warm_chat &c, common_params_sampling &p) {
    p.preserved_tokens = c.kept;
    p.grammar_lazy = c.lazy && p.grammar.type == COMMON_GRAMMAR_TYPE_TOOL_CALLS;
    if (p.grammar_lazy) p.grammar_triggers = c.triggers;
    if (p.grammar.type != COMMON_GRAMMAR_TYPE_OUTPUT_FORMAT) p.generation_prompt = c.reader.generation_prompt;
    p.reasoning_budget_tokens = c.budget;
    p.reasoning_budget_start = c.reasoning_start;
    p.reasoning_budget_end = c.reasoning_ends;
    p.reasoning_budget_forced = c.reasoning_forced;
}

/* Infill compares every pair of the tokens that are left, on the thread that all requests share, and falls back to an end token. */
void check_infill(const engine &e, const warm_sampling &s, const std::vector<common_sampler_type> &chain) {
    const auto infill = std::find(chain.begin(), chain.end(), COMMON_SAMPLER_TYPE_INFILL);
    if (infill == chain.end()) return;
    if (std::find(chain.begin(), infill, COMMON_SAMPLER_TYPE_TOP_K) == infill || s.top_k <= 0 || s.top_k > infill_tokens_max) {
        fail(WARM_EINVAL, "samplers: infill needs top_k before it, of at most %d", infill_tokens_max);
    }
    if (llama_vocab_eot(e.vocab) == LLAMA_TOKEN_NULL && e.info_.eos == LLAMA_TOKEN_NULL) {
        fail(WARM_EINVAL, "samplers: infill needs a model with an end token");
    }
}

std::vector<common_sampler_type> chain_of(const engine &e, const warm_sampling &s) {
    std::vector<common_sampler_type> chain;
    for (int32_t i = 0; i < s.n_samplers; i++) {
        const auto found = common_sampler_types_from_names({s.samplers[i]});
        if (found.empty()) fail(WARM_EINVAL, "samplers: there is none named \"%s\"", s.samplers[i]);
        chain.push_back(found.front());
    }
    check_infill(e, s, chain);
    return chain;
}

void add_biases(const engine &e, const warm_sampling &s, common_params_sampling &p) {
    for (size_t i = 0; i < s.n_logit_bias; i++) {
        const warm_logit_bias &b = s.logit_bias[i];
        if (b.token < 0 || (uint32_t)b.token >= e.info_.n_vocab) fail(WARM_EINVAL, "logit_bias: there is no token %d", b.token);
        if (std::isnan(b.bias) || b.bias == INFINITY) fail(WARM_EINVAL, "logit_bias: the bias of token %d is not finite", b.token);
        p.logit_bias.push_back({b.token, b.bias});
    }
    for (llama_token t : e.eog) p.logit_bias_eog.push_back({t, -INFINITY});
    p.ignore_eos = s.ignore_eos && e.info_.eos != LLAMA_TOKEN_NULL;
    if (p.ignore_eos) p.logit_bias.insert(p.logit_bias.end(), p.logit_bias_eog.begin(), p.logit_bias_eog.end());
}

/* A window over the last tokens: -1 is the whole context, and more than that is memory for nothing. */
int32_t window(const engine &e, int32_t n) {
    const auto most = (int32_t)std::min<uint32_t>(e.info_.n_ctx, INT32_MAX);
    return n < 0 || n > most ? most : n;
}

/* What would be undefined or an abort further down. */
void check_numbers(const warm_sampling &s) {
    const struct {
        const char *name;
        float v;
    } numbers[] = {{"top_p", s.top_p},
                   {"min_p", s.min_p},
                   {"top_n_sigma", s.top_n_sigma},
                   {"xtc_probability", s.xtc_probability},
                   {"xtc_threshold", s.xtc_threshold},
                   {"typical_p", s.typ_p},
                   {"temperature", s.temp},
                   {"dynatemp_range", s.dynatemp_range},
                   {"dynatemp_exponent", s.dynatemp_exponent},
                   {"repeat_penalty", s.penalty_repeat},
                   {"frequency_penalty", s.penalty_freq},
                   {"presence_penalty", s.penalty_present},
                   {"dry_multiplier", s.dry_multiplier},
                   {"dry_base", s.dry_base},
                   {"adaptive_target", s.adaptive_target},
                   {"adaptive_decay", s.adaptive_decay},
                   {"mirostat_tau", s.mirostat_tau},
                   {"mirostat_eta", s.mirostat_eta}};
    for (const auto &n : numbers) {
        if (!std::isfinite(n.v)) fail(WARM_EINVAL, "%s must be a finite number", n.name);
    }
    if (s.penalty_repeat <= 0.0f || !std::isfinite(1.0f / s.penalty_repeat))
        fail(WARM_EINVAL, "repeat_penalty must be greater than 0");
    if (s.mirostat < 0 || s.mirostat > 2) fail(WARM_EINVAL, "mirostat must be 0, 1 or 2");
    if (s.min_keep < 0) fail(WARM_EINVAL, "min_keep must not be negative");
}

common_params_sampling params_of(const engine &e, const warm_sampling &s) {
    check_numbers(s);
    common_params_sampling p;
    p.seed = s.seed;
    p.n_probs = s.n_probs;
    p.min_keep = s.min_keep;
    p.top_k = s.top_k;
    p.top_p = s.top_p;
    p.min_p = s.min_p;
    p.top_n_sigma = s.top_n_sigma;
    p.xtc_probability = s.xtc_probability;
    p.xtc_threshold = s.xtc_threshold;
    p.typ_p = s.typ_p;
    p.temp = s.temp;
    p.dynatemp_range = s.dynatemp_range;
    p.dynatemp_exponent = s.dynatemp_exponent;
    p.penalty_last_n = window(e, s.penalty_last_n);
    p.penalty_repeat = s.penalty_repeat;
    p.penalty_freq = s.penalty_freq;
    p.penalty_present = s.penalty_present;
    p.dry_multiplier = s.dry_multiplier;
    p.dry_base = s.dry_base;
    p.dry_allowed_length = s.dry_allowed_length;
    p.dry_penalty_last_n = window(e, s.dry_penalty_last_n);
    if (s.n_dry_breakers >= 0) p.dry_sequence_breakers.assign(s.dry_breakers, s.dry_breakers + s.n_dry_breakers);
    p.adaptive_target = s.adaptive_target;
    p.adaptive_decay = s.adaptive_decay;
    p.mirostat = s.mirostat;
    p.mirostat_tau = s.mirostat_tau;
    p.mirostat_eta = s.mirostat_eta;
    p.no_perf = true;
    if (s.n_samplers >= 0) p.samplers = chain_of(e, s);
    add_biases(e, s, p);
    return p;
}

/* Sorting by a comparison that NaN breaks reads beyond the array, so rows are looked at first. By bits, in blocks that the
 * compiler makes vectors of: the row is read once more, 20 us for 150,000 tokens. */
bool has_nan(const float *v, size_t n) {
    constexpr size_t block = 64;
    constexpr uint32_t inf = 0x7f800000u;
    size_t i = 0;
    uint32_t found = 0;
    for (; i + block <= n; i += block) {
        uint32_t bits[block];
        std::memcpy(bits, v + i, sizeof bits);
        for (size_t k = 0; k < block; k++) found |= (uint32_t)((bits[k] & 0x7fffffffu) > inf);
    }
    for (; i < n; i++) found |= std::isnan(v[i]);
    return found != 0;
}

/* Keeps the n largest of get(0..count), descending, in `out`; token(i) names the i-th. A heap of n, so a large vocabulary costs one
 * comparison per token. */
template <class Get, class Token> void largest(std::vector<warm_token_prob> &out, size_t n, size_t count, Get get, Token token) {
    auto greater = [](const warm_token_prob &a, const warm_token_prob &b) { return a.p > b.p; };
    out.clear();
    n = std::min(n, count);
    for (size_t i = 0; n && i < count; i++) {
        const float p = get(i);
        if (out.size() == n) {
            if (!(p > out.front().p)) continue;
            std::pop_heap(out.begin(), out.end(), greater);
            out.pop_back();
        }
        out.push_back({token(i), p});
        std::push_heap(out.begin(), out.end(), greater);
    }
    std::sort_heap(out.begin(), out.end(), greater);
}

/* Log probabilities before sampling: log-softmax over the row. */
void probs_before(warm_sampler &s, const float *row, size_t n, warm_sampled *out) {
    float max = row[0];
    for (size_t i = 1; i < n; i++) max = std::max(max, row[i]);
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += std::exp(row[i] - max);
    const float log_sum = max + (float)std::log(sum);
    largest(
        s.probs, s.n_probs, n, [&](size_t i) { return row[i] - log_sum; }, [](size_t i) { return (int32_t)i; });
    out->p = row[out->token] - log_sum;
}

/* Probabilities of what the chain left over; some samplers leave tokens at 0, which llama-server does not show. */
void probs_after(warm_sampler &s, warm_sampled *out) {
    const auto *cur = common_sampler_get_candidates(s.smpl.get(), false);
    largest(
        s.probs, s.n_probs, cur->size, [&](size_t i) { return cur->data[i].p; }, [&](size_t i) { return cur->data[i].id; });
    while (!s.probs.empty() && s.probs.back().p == 0.0f) s.probs.pop_back();
    out->p = cur->selected >= 0 ? cur->data[cur->selected].p : 0.0f;
}

/* The logit that the chosen token had in the end: not finite if everything was forbidden. */
bool is_possible(warm_sampler &s) {
    const auto *cur = common_sampler_get_candidates(s.smpl.get(), false);
    return cur->selected >= 0 && (size_t)cur->selected < cur->size && std::isfinite(cur->data[cur->selected].logit);
}

/* Whether the text generated so far may end here by the grammar. The sampler does not tell, so a second grammar is led the same way. */
bool may_end(const engine &e, const warm_sampler &s) {
    if (s.lazy) return true; /* nothing but a finished grammar can forbid everything then */
    bool allowed = false;
    run_deep([&] {
        std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)> g(
            llama_sampler_init_grammar(e.vocab, s.grammar.c_str(), "root"), llama_sampler_free);
        if (!g) return;
        for (llama_token t : s.before) llama_sampler_accept(g.get(), t);
        for (llama_token t : s.generated) llama_sampler_accept(g.get(), t);
        llama_token_data end = {e.info_.eos, 0.0f, 0.0f};
        llama_token_data_array only = {&end, 1, -1, false};
        llama_sampler_apply(g.get(), &only);
        allowed = end.logit != -INFINITY;
    });
    return allowed;
}

/* As the sampler makes tokens of it for the grammar: without a space that only the tokenizer has put first. */
std::vector<llama_token> prompt_end(const engine &e, const std::string &text) {
    auto tokens = common_tokenize(e.vocab, text, false, true);
    if (tokens.empty()) return tokens;
    const std::string first = piece_of(e, tokens.front());
    if (!first.empty() && std::isspace((unsigned char)first[0]) && !std::isspace((unsigned char)text[0]))
        tokens.erase(tokens.begin());
    return tokens;
}

int sample_row(engine &e, warm_sampler &s, size_t row, warm_sampled *out) {
    if (s.broken) fail(WARM_EENGINE, "the text is against the grammar");
    const float *logits = e.ops->logits(&e, row);
    if (!logits) fail(WARM_EINVAL, "row %zu of the last batch has no logits", row);
    if (has_nan(logits, e.info_.n_vocab)) fail(WARM_ECORRUPT, "the computed logits are not numbers");
    warm_sampled got = {};
    got.token = common_sampler_sample(s.smpl.get(), e.ctx.get(), (int32_t)row);
    if (!is_possible(s)) {
        /* a finished grammar allows nothing but the end; with ignore_eos not even that */
        if (s.grammar.empty() || e.info_.eos == LLAMA_TOKEN_NULL || !may_end(e, s)) {
            fail(WARM_EENGINE, "no token is possible: all of them are forbidden");
        }
        got.token = e.info_.eos;
    }
    s.probs.clear();
    if (s.n_probs && s.post_sampling) {
        probs_after(s, &got);
    } else if (s.n_probs) {
        probs_before(s, logits, e.info_.n_vocab, &got);
    }
    got.is_eog = llama_vocab_is_eog(e.vocab, got.token);
    got.is_text = s.kept.count(got.token) != 0;
    got.probs = s.probs.data();
    got.n_probs = s.probs.size();
    *out = got;
    return 0;
}

} // namespace

int sampler_new(warm_engine *we, const warm_sampling *s, warm_sampler **out, warm_err *err) {
    return guard(err, WARM_EINVAL, [&] {
        engine &e = *of(we);
        auto made = std::make_unique<warm_sampler>();
        auto params = params_of(e, *s);
        auto init = [&] {
            if (s->chat) add_chat(*s->chat, params);
            made->smpl.reset(common_sampler_init(e.model.get(), params));
        };
        if (s->grammar || s->json_schema || s->chat) {
            run_deep([&] {
                params.grammar = grammar_of(e, *s);
                init();
            });
        } else {
            init();
        }
        made->grammar = common_grammar_value(params.grammar);
        made->lazy = params.grammar_lazy;
        made->led = !made->grammar.empty() || params.reasoning_budget_tokens >= 0;
        made->kept = params.preserved_tokens;
        if (common_grammar_needs_prefill(params.grammar)) made->before = prompt_end(e, params.generation_prompt);
        made->post_sampling = s->post_sampling_probs;
        made->n_probs = s->n_probs > 0 ? std::min<size_t>((size_t)s->n_probs, e.info_.n_vocab) : 0;
        *out = made.release();
        return 0;
    });
}

void sampler_free(warm_engine *, warm_sampler *s) {
    delete s;
}

int sampler_accept(warm_engine *we, warm_sampler *s, int32_t token, bool generated, warm_err *err) {
    return guard(err, WARM_EENGINE, [&] {
        if (token < 0 || (uint32_t)token >= of(we)->info_.n_vocab) fail(WARM_EINVAL, "there is no token %d", token);
        if (s->broken) fail(WARM_EENGINE, "the text is against the grammar");
        /* an end where the grammar has none is an abort in there, and behind an end nothing is asked of the grammar any more */
        const bool followed = generated && s->led && !llama_vocab_is_eog(of(we)->vocab, token);
        if (followed && !s->grammar.empty() && !s->lazy) s->generated.push_back(token);
        s->broken = followed;
        common_sampler_accept(s->smpl.get(), token, followed);
        s->broken = false;
        return 0;
    });
}

int sample(warm_engine *we, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return sample_row(*of(we), *s, row, out); });
}

} // namespace warm
