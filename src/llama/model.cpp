/* SPDX-License-Identifier: MIT
 *
 * llama/model.cpp - backends, model file, context.
 *
 * libllama reports failures as log lines and a null pointer; the lines of a step are captured, and the one that says why becomes
 * the error. What can be said more clearly beforehand (no such file, not a GGUF) is checked beforehand.
 * Threads: while opening only. */
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fit.h>
#include <ggml-backend.h>
#include <log.h>
#include <sys/stat.h>
#include <unistd.h>

#include "llama/priv.hpp"

namespace warm {
namespace {

/* Outputs beyond one per sequence cost vocabulary-sized rows in the compute buffer; this many let tests ask for a whole chunk. */
constexpr uint32_t outputs_min = 64;

/* A context size of 0 means the model's own. The fit would multiply it by the number of sequences, although they share one pool,
 * so it sees one sequence then. */
void fit(engine &e, llama_model_params &mp, llama_context_params &cp) {
    common_params &p = e.params;
    const uint32_t n_seq_max = cp.n_seq_max;
    const uint32_t n_outputs_max = cp.n_outputs_max;
    if (!cp.n_ctx) cp.n_seq_max = 1;
    auto status = common_fit_params(p.model.path.c_str(), &mp, &cp, p.tensor_split, p.tensor_buft_overrides.data(),
                                    p.fit_params_target.data(), (uint32_t)p.fit_params_min_ctx, nullptr, GGML_LOG_LEVEL_ERROR);
    cp.n_seq_max = n_seq_max;
    cp.n_outputs_max = n_outputs_max;
    warm__log_route_install(); /* the fit routes the log through itself, and an error may leave it there */
    if (status == COMMON_PARAMS_FIT_STATUS_FAILURE) {
        warm_log_warn("llama",
                      "the model and its context may not fit into memory: no smaller setting was found (--fit off silences this)");
    }
}

llama_context_params context_params(engine &e) {
    auto cp = common_context_params_to_llama(e.params);
    /* libllama aborts when a context has more sequences than outputs */
    e.n_outputs = std::max(cp.n_seq_max, outputs_min);
    cp.n_outputs_max = e.n_outputs;
    cp.n_outputs_max_per_seq = e.n_outputs;
    cp.embeddings = false; /* they have a context of their own (embed.cpp) */
    return cp;
}

void check_kind(const llama_model *model) {
    if (!llama_model_has_decoder(model)) fail(WARM_ENOTSUP, "the model only encodes: it can't generate text");
    if (llama_model_has_encoder(model)) fail(WARM_ENOTSUP, "models with an encoder are not supported");
    if (llama_model_is_diffusion(model)) fail(WARM_ENOTSUP, "diffusion models are not supported");
}

/* Slots, residents and the scratch sequence. */
uint32_t sequences(uint32_t n_slots, uint32_t n_extra) {
    const uint64_t slots = std::max(n_slots, 1u);
    const uint64_t most = llama_max_parallel_sequences();
    if (slots + 1 > most) fail(WARM_EINVAL, "%u slots are too many: at most %u", n_slots, (unsigned)most - 1);
    return (uint32_t)std::min(slots + n_extra + 1, most);
}

bool has_own_state(const llama_model *m) {
    return llama_model_is_recurrent(m) || llama_model_is_hybrid(m) || llama_model_n_swa(m) > 0;
}

} // namespace

void check_file(const char *what, const std::string &path) {
    int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int code = errno == ENOENT || errno == ENOTDIR ? WARM_ENOTFOUND : WARM_EIO;
        fail(code, "%s %s: %s", what, path.c_str(), std::strerror(errno));
    }
    struct stat st;
    char magic[4] = {0};
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    bool gguf = regular && pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic && !std::memcmp(magic, "GGUF", sizeof magic);
    close(fd);
    if (!regular) fail(WARM_EINVAL, "%s %s is not a file", what, path.c_str());
    if (!gguf) fail(WARM_EINVAL, "%s %s is not a GGUF file", what, path.c_str());
}

void load_backends() {
    /* common's own lines have nothing that libllama's do not say, and would bypass our log */
    common_log_set_verbosity_thold(-1);
    warm__log_route_install();
    llama_backend_init();
    /* backends that are linked in register themselves; loading their files once more would double the devices */
    if (ggml_backend_reg_count()) return;
    Dl_info where; /* by name: the address of a function may be that of a stub in the executable */
    void *there = dlsym(RTLD_DEFAULT, "llama_decode");
    if (there && dladdr(there, &where) && where.dli_fname && std::strchr(where.dli_fname, '/')) {
        std::string dir(where.dli_fname);
        ggml_backend_load_all_from_path(dir.substr(0, dir.rfind('/')).c_str());
    } else {
        ggml_backend_load_all();
    }
    if (!ggml_backend_reg_count()) fail(WARM_EENGINE, "no compute backend found beside libllama");
}

void load_model(engine &e, const warm_llama_options &o) {
    common_params &p = e.params;
    p.n_parallel = (int32_t)sequences(o.n_slots, o.n_seq_extra);
    p.kv_unified = true; /* one pool: ranges can be cut, and sequences share cells */
    check_file("model", p.model.path);
    llama_numa_init(p.numa);
    auto mp = common_model_params_to_llama(p);
    auto cp = context_params(e);
    captured_log log(false);
    if (p.fit_params) {
        fit(e, mp, cp);
        p.n_ctx = (int32_t)cp.n_ctx;
    }
    e.model.reset(llama_model_load_from_file(p.model.path.c_str(), mp));
    if (!e.model) fail(WARM_EENGINE, "model %s: %s", p.model.path.c_str(), log.or_else("libllama could not load it"));
    check_kind(e.model.get());
    e.vocab = llama_model_get_vocab(e.model.get());
    e.n_ctx_trained = (uint32_t)llama_model_n_ctx_train(e.model.get());
    load_adapters(e);
}

void make_context(engine &e, const warm_llama_options &o) {
    common_params &p = e.params;
    if (has_own_state(e.model.get())) p.n_parallel = (int32_t)sequences(o.n_slots, o.n_seq_extra_own);
    auto cp = context_params(e);
    {
        captured_log log(false);
        e.ctx.reset(llama_init_from_model(e.model.get(), cp));
        if (!e.ctx) fail(WARM_EENGINE, "no context: %s", log.or_else("libllama could not make one"));
    }
    e.mem = llama_get_memory(e.ctx.get());
    if (!e.mem) fail(WARM_ENOTSUP, "the model keeps no state between tokens: it can't generate text");
    e.scratch = (int32_t)cp.n_seq_max - 1;
    set_control_vectors(e, e.ctx.get());
    apply_adapters(e);
    set_process_priority(p.cpuparams.priority);
    e.threadpools.init(e.ctx.get(), p);
}

} // namespace warm
