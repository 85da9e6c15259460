/* SPDX-License-Identifier: MIT
 *
 * llama/scope.cpp - the text of everything that must be equal for state to be shared (DESIGN.md "scope").
 *
 * One line per item, written for people: `cache explain` shows which line differs. What changes speed only (devices, threads, batch
 * sizes, repacking) is not in it. The content of a file is its header and table of tensors, samples of every tensor and samples at
 * even distances over all of the data: a model of 100 GB is not read for it, and a change of one tensor does not hide.
 * Threads: while opening only. */
#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <fcntl.h>
#include <gguf.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>

#include "llama/priv.hpp"
#include "warmslot/cache.h"

namespace warm {
namespace {

constexpr size_t even_bytes = 64 << 10; /* of each sample at even distances */
constexpr uint64_t even_places = 256;
constexpr uint64_t tensor_bytes = 8 << 10; /* at the beginning, middle and end of every tensor */

class sha {
  public:
    sha() : h_(warm_sha256_new()) {}
    ~sha() {
        if (h_) warm_sha256_end(h_, bytes_);
    }
    sha(const sha &) = delete;
    sha &operator=(const sha &) = delete;
    void add(const void *p, size_t n) { warm_sha256_add(h_, p, n); }
    std::string hex() {
        warm_sha256_end(h_, bytes_);
        h_ = nullptr;
        std::string text;
        for (uint8_t b : bytes_) {
            text += "0123456789abcdef"[b >> 4];
            text += "0123456789abcdef"[b & 15];
        }
        return text;
    }

  private:
    warm_sha256 *h_;
    uint8_t bytes_[32];
};

struct gguf_deleter {
    void operator()(gguf_context *g) const { gguf_free(g); }
};
using gguf_ptr = std::unique_ptr<gguf_context, gguf_deleter>;

class file {
  public:
    explicit file(const std::string &path) : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        struct stat st;
        if (fd_ < 0 || fstat(fd_, &st)) give_up(errno);
        size_ = (uint64_t)st.st_size;
    }
    ~file() {
        if (fd_ >= 0) close(fd_);
    }
    file(const file &) = delete;
    file &operator=(const file &) = delete;
    uint64_t size() const { return size_; }
    /* Adds the bytes [at, at+n), cut at the end of the file. */
    void add_to(sha &h, uint64_t at, uint64_t n) {
        for (uint64_t end = std::min(at + n, size_); at < end;) {
            ssize_t got = pread(fd_, buf_.data(), (size_t)std::min<uint64_t>(end - at, buf_.size()), (off_t)at);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) give_up(got ? errno : EIO);
            h.add(buf_.data(), (size_t)got);
            at += (uint64_t)got;
        }
    }

  private:
    [[noreturn]] void give_up(int code) { fail(WARM_EIO, "%s: %s", path_.c_str(), std::strerror(code)); }
    std::string path_;
    int fd_;
    uint64_t size_ = 0;
    std::vector<uint8_t> buf_ = std::vector<uint8_t>(even_bytes);
};

gguf_ptr read_header(const std::string &path) {
    gguf_init_params params = {true, nullptr};
    gguf_ptr g(gguf_init_from_file(path.c_str(), params));
    if (!g) fail(WARM_EINVAL, "%s is not a GGUF file", path.c_str());
    return g;
}

void add_file(content &c, sha &h, const std::string &path, const gguf_context *g) {
    file f(path);
    const uint64_t data = gguf_get_data_offset(g), size = f.size();
    h.add(&size, sizeof size);
    f.add_to(h, 0, data);
    for (int64_t i = 0; i < gguf_get_n_tensors(g); i++) {
        if (std::strstr(gguf_get_tensor_name(g, i), "rope_factors_long")) c.long_rope = true;
        const uint64_t at = data + gguf_get_tensor_offset(g, i), n = gguf_get_tensor_size(g, i);
        if (n <= 3 * tensor_bytes) {
            f.add_to(h, at, n);
        } else {
            for (uint64_t from : {(uint64_t)0, n / 2, n - tensor_bytes}) f.add_to(h, at + from, tensor_bytes);
        }
    }
    for (uint64_t i = 0; data < size && i < even_places; i++) f.add_to(h, data + (size - data) / even_places * i, even_bytes);
}

/* The files of a split model, or the one file. */
std::vector<std::string> parts_of(const std::string &path, const gguf_context *g) {
    const int64_t key = gguf_find_key(g, LLM_KV_SPLIT_COUNT);
    const int n = key >= 0 && gguf_get_kv_type(g, key) == GGUF_TYPE_UINT16 ? gguf_get_val_u16(g, key) : 1;
    char prefix[4096], part[4096];
    if (n <= 1 || !llama_split_prefix(prefix, sizeof prefix, path.c_str(), 0, n)) return {path};
    std::vector<std::string> parts;
    for (int i = 0; i < n; i++) {
        llama_split_path(part, sizeof part, prefix, i, n);
        parts.push_back(part);
    }
    return parts;
}

class text {
  public:
    void line(const char *fmt, ...) __attribute__((format(printf, 2, 3))) {
        char buf[512];
        va_list ap;
        va_start(ap, fmt);
        std::vsnprintf(buf, sizeof buf, fmt, ap);
        va_end(ap);
        s_ += buf;
        s_ += '\n';
    }
    std::string take() { return std::move(s_); }

  private:
    std::string s_;
};

/* "16 x f16 of 256 bytes", runs of equal layers joined. */
void write_rows(text &t, const char *what, const warm__blob_rows *rows, uint32_t n) {
    for (uint32_t i = 0, from = 0; i < n; i++) {
        const bool last = i + 1 == n || rows[i + 1].type != rows[i].type || rows[i + 1].row != rows[i].row;
        if (!last) continue;
        t.line("%s: layers %u-%u %s, %llu bytes per unit", what, from, i, ggml_type_name((ggml_type)rows[i].type),
               (unsigned long long)rows[i].cell_bytes);
        from = i + 1;
    }
}

void write_section(text &t, const warm__blob_section &s, const char *what) {
    const bool kv = s.kind == WARM__BLOB_KV;
    t.line("%s: %u bytes per unit beside the rows", what, s.cell_bytes);
    write_rows(t, kv ? "k rows" : "r rows", s.a, s.n_a);
    write_rows(t, kv ? "v rows" : "s rows", s.b, s.n_b);
}

const char *section_name(const warm__blob_section &s, unsigned i) {
    if (s.kind == WARM__BLOB_RECURRENT) return "recurrent layout";
    return i ? "window layout" : "kv layout";
}

void write_layout(text &t, const engine &e) {
    const common_params &p = e.params;
    const char *rot = std::getenv("LLAMA_ATTN_ROT_DISABLE");
    t.line("state: %s", warm_state_kind_name(e.info_.state));
    t.line("kv types: k %s, v %s, rotation %s", ggml_type_name(p.cache_type_k), ggml_type_name(p.cache_type_v),
           rot && std::atoi(rot) ? "off" : "as the engine chooses");
    if (e.layout.n_sections && e.layout.section[0].kind == WARM__BLOB_KV) {
        t.line("flash attention: %s", e.layout.section[0].v_trans ? "off (v transposed)" : "on");
    } else {
        t.line("flash attention: %s", llama_flash_attn_type_name(p.flash_attn_type));
    }
    if (e.window) t.line("window: %u units", e.window);
    if (!e.layout.n_sections) t.line("layout: not known");
    for (unsigned i = 0; i < e.layout.n_sections; i++) {
        write_section(t, e.layout.section[i], section_name(e.layout.section[i], i));
    }
}

/* A value that the user did not set is the model's, whose content is in the scope. */
void write_value(text &t, const char *name, bool set, double v) {
    if (set) t.line("rope %s: %.9g", name, v);
}

const char *scaling_name(llama_rope_scaling_type type) {
    switch (type) {
    case LLAMA_ROPE_SCALING_TYPE_NONE:
        return "none";
    case LLAMA_ROPE_SCALING_TYPE_LINEAR:
        return "linear";
    case LLAMA_ROPE_SCALING_TYPE_YARN:
        return "yarn";
    case LLAMA_ROPE_SCALING_TYPE_LONGROPE:
        return "longrope";
    default:
        return "model's";
    }
}

/* What libllama compares the context with when it chooses between short and long factors: the model's own, whatever --yarn-orig-ctx says. */
uint32_t original_context(const engine &e) {
    char buf[64] = {0};
    const std::string key = e.arch + ".rope.scaling.original_context_length";
    for (const auto &o : e.params.kv_overrides) {
        if (o.tag == LLAMA_KV_OVERRIDE_TYPE_INT && key == o.key) return (uint32_t)o.val_i64;
    }
    if (llama_model_meta_val_str(e.model.get(), key.c_str(), buf, sizeof buf) > 0) return (uint32_t)std::atol(buf);
    return e.n_ctx_trained;
}

void write_rope(text &t, const engine &e, const content &model) {
    const common_params &p = e.params;
    t.line("rope scaling: %s", scaling_name(p.rope_scaling_type));
    write_value(t, "freq base", p.rope_freq_base != 0.0f, p.rope_freq_base);
    write_value(t, "freq scale", p.rope_freq_scale != 0.0f, p.rope_freq_scale);
    write_value(t, "yarn ext factor", p.yarn_ext_factor >= 0.0f, p.yarn_ext_factor);
    write_value(t, "yarn attn factor", p.yarn_attn_factor >= 0.0f, p.yarn_attn_factor);
    write_value(t, "yarn beta fast", p.yarn_beta_fast >= 0.0f, p.yarn_beta_fast);
    write_value(t, "yarn beta slow", p.yarn_beta_slow >= 0.0f, p.yarn_beta_slow);
    write_value(t, "original context", p.yarn_orig_ctx != 0, p.yarn_orig_ctx);
    if (model.long_rope) t.line("rope factors: %s", llama_n_ctx_seq(e.ctx.get()) > original_context(e) ? "long" : "short");
}

void write_overrides(text &t, const common_params &p) {
    for (const auto &o : p.kv_overrides) {
        switch (o.key[0] ? (int)o.tag : -1) {
        case LLAMA_KV_OVERRIDE_TYPE_INT:
            t.line("override %s: %lld", o.key, (long long)o.val_i64);
            break;
        case LLAMA_KV_OVERRIDE_TYPE_FLOAT:
            t.line("override %s: %.17g", o.key, o.val_f64);
            break;
        case LLAMA_KV_OVERRIDE_TYPE_BOOL:
            t.line("override %s: %s", o.key, o.val_bool ? "true" : "false");
            break;
        case LLAMA_KV_OVERRIDE_TYPE_STR:
            t.line("override %s: \"%s\"", o.key, o.val_str);
            break;
        default:
            break; /* the end mark */
        }
    }
}

void write_control_vectors(text &t, const common_params &p) {
    for (const auto &cv : p.control_vectors) {
        t.line("control vector: sha256 %s, strength %.9g, layers %d-%d", content_of(cv.fname).sha256.c_str(), cv.strength,
               p.control_vector_layer_start, p.control_vector_layer_end);
    }
}

} // namespace

content content_of(const std::string &path) {
    content c;
    sha h;
    gguf_ptr first = read_header(path);
    const auto parts = parts_of(path, first.get());
    for (const auto &part : parts) {
        gguf_ptr own = part == path ? nullptr : read_header(part);
        add_file(c, h, part, own ? own.get() : first.get());
    }
    c.sha256 = h.hex();
    return c;
}

std::string scope_text(engine &e) {
    text t;
    const content model = content_of(e.path);
    /* Not the release: an update must not empty the cache. WARM_STATE_LAYOUT (store/bytes.h) is raised where one changes what is in the bytes. */
    t.line("engine: libllama, sequence state version %d", LLAMA_STATE_SEQ_VERSION);
    t.line("model: %s, sha256 %s", e.desc.c_str(), model.sha256.c_str());
    write_overrides(t, e.params);
    t.line("block: %u units", WARM_BLOCK_UNITS);
    write_layout(t, e);
    write_rope(t, e, model);
    write_control_vectors(t, e.params);
    return t.take();
}

} // namespace warm
