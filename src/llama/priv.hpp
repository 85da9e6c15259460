/* SPDX-License-Identifier: MIT
 *
 * llama/priv.hpp - one open model: what the files of this folder share.
 *
 * Members are destroyed from the bottom up, so what uses something stands below it: the parameters hold arrays that the model
 * points into, the thread pools outlive the context that computes on them.
 * Threads: constant after open, except the members under "engine thread". */
#ifndef WARM_LLAMA_PRIV_HPP
#define WARM_LLAMA_PRIV_HPP

#include <arg.h>
#include <chat.h>
#include <common.h>
#include <cstdint>
#include <cstdlib>
#include <llama-cpp.h>
#include <llama.h>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "base/alloc.h"
#include "base/hash.h"
#include "base/log.h"
}
#include "llama/blob_layout.h"
#include "llama/guard.hpp"
#include "llama/llama_engine.h"
#include "llama/log_route.h"

namespace warm {

/* The file of a model, an adapter or a control vector, split or not, as far as sharing state cares. */
struct content {
    std::string sha256;     /* hex */
    bool long_rope = false; /* has a second set of rope factors for long contexts */
};

struct freed {
    void operator()(void *p) const { std::free(p); }
};

/* Remembers what libllama's error lines say while it exists (log_route.h). quiet: they are expected. */
class captured_log {
  public:
    explicit captured_log(bool quiet) { warm__log_capture_begin(text_, sizeof text_, quiet); }
    ~captured_log() { warm__log_capture_end(); }
    captured_log(const captured_log &) = delete;
    captured_log &operator=(const captured_log &) = delete;
    /* The line that says why, or `otherwise`. */
    const char *or_else(const char *otherwise) const { return text_[0] ? text_ : otherwise; }

  private:
    char text_[WARM_ERR_TEXT_MAX];
};

struct chat {
    common_chat_templates_ptr templates; /* NULL: the model has none */
    std::string unusable;                /* why there are none although the model has text for one */
    bool jinja = true;                   /* false: a built-in template known by its name only */
    bool enable_thinking = false;
    std::map<std::string, std::string> kwargs; /* defaults of chat_template_kwargs */
    common_reasoning_format reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    bool prefill_assistant = true;
    bool force_pure_content = false;
};

constexpr int32_t all_exact = INT32_MAX;

/* What a sequence holds. libllama can't be asked: the last position it names of several caches is the least of theirs. */
struct seq_state {
    int32_t end = 0;
    bool open = false;         /* has cells but not the snapshot that belongs to their end */
    int32_t exact = all_exact; /* behind it the cells are not the state of their units (shift) */
};

struct adapter {
    llama_adapter_lora_ptr ptr;
    std::string path, content, task_name, prompt_prefix;
    float scale = 0.0f; /* at the start */
};

struct engine : warm_engine {
    common_params params;
    common_threadpools threadpools;
    llama_model_ptr model;
    llama_context_ptr ctx;
    llama_context_ptr embed_ctx; /* for embeddings alone, NULL without --embeddings */
    std::vector<adapter> lora;

    const llama_vocab *vocab = nullptr;
    llama_memory_t mem = nullptr;
    int32_t scratch = 0; /* sequence id behind the last admitted one */
    uint32_t n_outputs = 0;
    uint32_t n_ctx_trained = 0; /* as loaded: making a context may change the model's */
    std::vector<llama_token> eog, message_head;
    chat chat_;
    warm__blob_layout layout = {}; /* empty when the bytes of a state are not understood */
    uint32_t window = 0;           /* units of a sliding window, also where the snapshots carry its rows */
    bool savable = true;           /* false: not even whole states come back as they were */
    std::vector<uint8_t> no_tail;  /* a partial state of nothing, see strip() */

    warm_engine_info info_ = {};
    std::vector<warm_adapter> adapters_; /* info_.adapters */
    std::string scope, path, desc, arch, build, backend, template_text, template_caps = "{}", bos_text, eos_text;

    /* engine thread */
    std::vector<int32_t> one_seq;     /* n_batch ones: every row belongs to one sequence */
    std::vector<llama_seq_id *> seqs; /* n_batch pointers into the batch being decoded */
    std::vector<uint8_t> wanted;      /* rows of the last decode whose logits are there */
    std::vector<seq_state> held;      /* by sequence id */
    bool scratch_shares = false;      /* the scratch sequence still has the cells that were loaded last */

    engine() = default;
    engine(const engine &) = delete;
    engine &operator=(const engine &) = delete;
    ~engine() { warm__blob_free(&layout); }
};

inline engine *of(warm_engine *e) {
    return static_cast<engine *>(e);
}
inline const engine *of(const warm_engine *e) {
    return static_cast<const engine *>(e);
}

/* params.cpp: reads the flags into e.params. Throws failure. */
void read_flags(engine &e, const warm_llama_options &o);

/* model.cpp: files, model, context. Throw failure. */
void check_file(const char *what, const std::string &path);
void load_backends();
void load_model(engine &e, const warm_llama_options &o);
void make_context(engine &e, const warm_llama_options &o);

/* probe.cpp: finds out what can be done with the state: layout, kind, window; and the scope. Leaves the context empty. */
void probe_state(engine &e);

/* probe_memory.cpp: whether this kind of state of this model came back as it was, at an earlier start. Needs scope and kind. */
bool is_remembered(const engine &e);
void remember(const engine &e);

/* adapters.cpp: LoRA adapters and control vectors, as the flags name them. Throw failure. */
void load_adapters(engine &e);
void apply_adapters(engine &e); /* with the scales that hold at the start */
void set_adapters(engine &e, llama_context *ctx, std::vector<float> scales);
void set_control_vectors(engine &e, llama_context *ctx);

/* scope.cpp: the text of info->scope; needs the context and the layout. */
std::string scope_text(engine &e);
content content_of(const std::string &path);

/* chat.cpp. `given`: template of the options, or NULL. */
void open_chat(engine &e, const char *given);
void learn_message_head(engine &e);
int chat_render(warm_engine *e, const char *request_json, size_t len, const char *json_schema, warm_chat_prompt *out,
                warm_err *err);

/* chat_answer.cpp */
int chat_parse(warm_engine *e, const warm_chat *c, const char *text, size_t len, bool partial, warm_chat_message *out,
               warm_err *err);
void chat_free(warm_engine *e, warm_chat *c);

/* embed.cpp: makes the context for embeddings, where the flags ask for it. Throws failure. */
void open_embeddings(engine &e);
int embed(warm_engine *e, const float *scale, const warm_embed_input *in, size_t n, warm_err *err);
int rank_prompt(warm_engine *e, const char *query, size_t n_query, const char *doc, size_t n_doc, int32_t **tokens, size_t *n,
                warm_err *err);

/* The other entries of the tables that engine.cpp puts together. */
int adapters(warm_engine *e, const float *scale, size_t n, warm_err *err);
int sampler_new(warm_engine *e, const warm_sampling *s, warm_sampler **out, warm_err *err);
void sampler_free(warm_engine *e, warm_sampler *s);
int sampler_accept(warm_engine *e, warm_sampler *s, int32_t token, bool generated, warm_err *err);
int sample(warm_engine *e, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err);
int tokenize(warm_engine *e, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens, size_t *n,
             warm_err *err);
size_t token_piece(warm_engine *e, int32_t token, bool special, char *buf, size_t cap);
bool token_is_eog(warm_engine *e, int32_t token);
void seq_rm(warm_engine *e, int32_t seq, int32_t p0, int32_t p1);
bool can_continue(warm_engine *e, int32_t seq, int32_t n);
int fork(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err);
bool can_shift(engine &e); /* after the layout was learned */
int shift(warm_engine *e, int32_t seq, int32_t p0, int32_t p1, warm_err *err);
void seq_range(warm_engine *e, int32_t seq, int32_t *min, int32_t *max);
void clear(warm_engine *e, bool data);
size_t state_bytes(const warm_engine *e, size_t n);
int64_t state_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
int state_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
               warm_err *err);
size_t window_bytes(const warm_engine *e, size_t n);
int64_t window_save(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
int window_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                warm_err *err);
size_t snapshot_bytes(const warm_engine *e, int32_t seq);
int64_t snapshot_save(warm_engine *e, int32_t seq, void *dst, size_t cap, warm_err *err);
int snapshot_load(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err);

/* engine.cpp: rows of tokens at positions pos.. of one sequence, straight into libllama; used while opening. Throws failure. */
void decode_plain(engine &e, const std::vector<llama_token> &tokens, int32_t seq, int32_t pos);

/* A value of the model's metadata, "" if it has none. */
std::string meta(const engine &e, const char *key);

/* Text of a token, special ones included. */
std::string piece_of(const engine &e, llama_token token);

} // namespace warm
#endif
