/* SPDX-License-Identifier: MIT
 *
 * llama/params.cpp - the user's engine flags, read through libllama's own option table.
 *
 * The table and its handlers are used, not common_params_parse(): that one also reads LLAMA_ARG_* and config files of its own,
 * prints to the terminal, and ends the process on some errors. Here a flag that can't be read is a sentence.
 * Threads: while opening only. */
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "llama/priv.hpp"

namespace warm {
namespace {

struct named_option {
    common_arg *arg;
    bool positive; /* false for --no-xxx */
};

using option_table = std::unordered_map<std::string, named_option>;

option_table by_name(common_params_context &ctx) {
    option_table table;
    for (auto &opt : ctx.options) {
        for (const char *name : opt.args) table[name] = {&opt, true};
        for (const char *name : opt.args_neg) table[name] = {&opt, false};
    }
    return table;
}

int to_int(const std::string &text) {
    size_t used = 0;
    int v = 0;
    try {
        v = std::stoi(text, &used);
    } catch (const std::exception &) {
        used = 0;
    }
    if (!used || used != text.size()) throw std::invalid_argument("'" + text + "' is not a number");
    return v;
}

/* The first line of what a handler says; some append their usage. */
std::string first_line(const char *s) {
    return std::string(s, std::strcspn(s, "\n"));
}

/* Applies the option at argv[i]; returns the index behind its last value. */
int apply(common_params &params, const option_table &table, int argc, const char *const *argv, int i) {
    std::string name = argv[i];
    if (name.compare(0, 2, "--") == 0) std::replace(name.begin(), name.end(), '_', '-');
    auto found = table.find(name);
    if (found == table.end()) fail(WARM_EINVAL, "the engine has no option %s", argv[i]);
    common_arg &opt = *found->second.arg;
    auto value = [&](int at) -> std::string {
        if (at >= argc) throw std::invalid_argument("a value is missing");
        return argv[at];
    };
    try {
        if (opt.handler_void) {
            opt.handler_void(params);
            return i + 1;
        }
        if (opt.handler_bool) {
            opt.handler_bool(params, found->second.positive);
            return i + 1;
        }
        if (opt.handler_int) {
            opt.handler_int(params, to_int(value(i + 1)));
            return i + 2;
        }
        if (opt.handler_string) {
            opt.handler_string(params, value(i + 1));
            return i + 2;
        }
        opt.handler_str_str(params, value(i + 1), value(i + 2));
        return i + 3;
    } catch (const std::exception &e) {
        const std::string what = first_line(e.what());
        /* "stoi" and its like say which function could not read the number, not what it was given */
        if (what.size() <= 6 && what.rfind("sto", 0) == 0) fail(WARM_EINVAL, "%s: '%s' is not a number", argv[i], argv[i + 1]);
        fail(WARM_EINVAL, "%s: %s", argv[i], what.c_str());
    }
}

/* What common_params_parse() does behind its loop, as far as the engine goes: lists get their end marks, thread counts their defaults. */
void finish(common_params &params) {
    postprocess_cpu_params(params.cpuparams, nullptr);
    postprocess_cpu_params(params.cpuparams_batch, &params.cpuparams);
    if (!params.kv_overrides.empty()) {
        params.kv_overrides.emplace_back();
        params.kv_overrides.back().key[0] = 0;
    }
    params.tensor_buft_overrides.resize(std::max(params.tensor_buft_overrides.size() + 1, llama_max_tensor_buft_overrides()),
                                        {nullptr, nullptr});
    if (!params.default_template_kwargs.count("preserve_reasoning")) params.default_template_kwargs["preserve_reasoning"] = "true";
}

/* Values that libllama takes without looking and then aborts on, or takes for something else. */
void check(const common_params &p) {
    if (p.model.path.empty()) {
        fail(WARM_EINVAL, p.model.hf_repo.empty() && p.model.url.empty() && p.model.docker_repo.empty()
                              ? "no model given: -m FILE"
                              : "a model can't be downloaded here: give its file with -m FILE");
    }
    if (p.n_ctx < 0) fail(WARM_EINVAL, "-c: %d is not a context size", p.n_ctx);
    if (p.n_batch <= 0) fail(WARM_EINVAL, "-b: %d is not a batch size", p.n_batch);
    if (p.n_ubatch < 0) fail(WARM_EINVAL, "-ub: %d is not a batch size", p.n_ubatch);
}

} // namespace

void read_flags(engine &e, const warm_llama_options &o) {
    auto ctx = common_params_parser_init(e.params, LLAMA_EXAMPLE_SERVER);
    const option_table table = by_name(ctx);
    for (int i = 1; i < o.argc;) i = apply(e.params, table, o.argc, o.argv, i);
    finish(e.params);
    check(e.params);
}

} // namespace warm
