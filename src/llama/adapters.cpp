/* SPDX-License-Identifier: MIT
 *
 * llama/adapters.cpp - LoRA adapters, whose scales may change from batch to batch, and control vectors, which hold from the start.
 *
 * libllama knows the adapters of a context as a set with scales, compares a new one with it, and makes its graphs anew only when
 * something changed. Scales of 0 are no part of it.
 * Threads: adapters() is [engine]; the rest while opening only. */
#include <cmath>

#include "llama/priv.hpp"

namespace warm {
namespace {

std::string meta(const llama_adapter_lora *lora, const char *key) {
    const int32_t n = llama_adapter_meta_val_str(lora, key, nullptr, 0);
    if (n <= 0) return "";
    std::string text((size_t)n + 1, '\0');
    llama_adapter_meta_val_str(lora, key, text.data(), text.size());
    text.resize((size_t)n);
    return text;
}

adapter load(engine &e, const common_adapter_lora_info &given) {
    const char *path = given.path.c_str();
    check_file("adapter", given.path);
    if (!std::isfinite(given.scale)) fail(WARM_EINVAL, "adapter %s: its scale is not a number", path);
    captured_log log(false);
    adapter a;
    a.ptr.reset(llama_adapter_lora_init(e.model.get(), path));
    if (!a.ptr) fail(WARM_EENGINE, "adapter %s: %s", path, log.or_else("libllama refused it"));
    if (llama_adapter_get_alora_n_invocation_tokens(a.ptr.get())) {
        fail(WARM_ENOTSUP, "adapter %s waits for invocation tokens (aLoRA): such adapters are not supported", path);
    }
    a.path = given.path;
    a.content = "sha256 " + content_of(given.path).sha256;
    a.task_name = meta(a.ptr.get(), "adapter.lora.task_name");
    a.prompt_prefix = meta(a.ptr.get(), "adapter.lora.prompt_prefix");
    a.scale = e.params.lora_init_without_apply ? 0.0f : given.scale;
    return a;
}

} // namespace

void set_adapters(engine &e, llama_context *ctx, std::vector<float> scales) {
    std::vector<llama_adapter_lora *> ptrs;
    for (const auto &a : e.lora) ptrs.push_back(a.ptr.get());
    if (llama_set_adapters_lora(ctx, ptrs.data(), ptrs.size(), scales.data())) {
        fail(WARM_EENGINE, "libllama refused the adapters");
    }
}

void load_adapters(engine &e) {
    for (const auto &given : e.params.lora_adapters) e.lora.push_back(load(e, given));
    for (const auto &a : e.lora) {
        e.adapters_.push_back({a.path.c_str(), a.content.c_str(), a.scale, a.task_name.c_str(), a.prompt_prefix.c_str()});
    }
}

void apply_adapters(engine &e) {
    std::vector<float> scales;
    for (const auto &a : e.lora) scales.push_back(a.scale);
    set_adapters(e, e.ctx.get(), std::move(scales));
}

int adapters(warm_engine *we, const float *scale, size_t n, warm_err *err) {
    return guard(err, WARM_EENGINE, [&] {
        engine &e = *of(we);
        if (n != e.lora.size()) fail(WARM_EINVAL, "%zu scales for %zu adapters", n, e.lora.size());
        set_adapters(e, e.ctx.get(), std::vector<float>(scale, scale + n));
        return 0;
    });
}

void set_control_vectors(engine &e, llama_context *ctx) {
    common_params &p = e.params;
    if (p.control_vectors.empty()) return;
    for (const auto &cv : p.control_vectors) check_file("control vector", cv.fname);
    if (p.control_vector_layer_start <= 0) p.control_vector_layer_start = 1;
    if (p.control_vector_layer_end <= 0) p.control_vector_layer_end = llama_model_n_layer(e.model.get());
    const auto cvec = common_control_vector_load(p.control_vectors);
    if (cvec.n_embd == -1) fail(WARM_EINVAL, "control vector %s holds no directions", p.control_vectors.front().fname.c_str());
    if (llama_set_adapter_cvec(ctx, cvec.data.data(), cvec.data.size(), cvec.n_embd, p.control_vector_layer_start,
                               p.control_vector_layer_end)) {
        fail(WARM_EINVAL, "control vector %s does not fit the model", p.control_vectors.front().fname.c_str());
    }
}

} // namespace warm
