/* SPDX-License-Identifier: MIT
 *
 * llama/mkmodel_vocab.c - vocabularies for mkmodel: the tokenizer keys of an engine package's vocabulary file, the chat template
 * that its family uses, and which tokens generated text shall be made of.
 *
 * Only vocabularies with a real template that fits their special tokens are offered. qwen2 is the default: its ChatML template
 * takes tools and is what agents' models use. Its 151,936 rows cost file size (at width 64, 10 MB of embeddings, which are Q8_0
 * whatever the type is, and 19 MB of output rows in F16), but hardly time, as output rows are read once per generated token: 800
 * tokens per second, and 15,000 of a prompt, on 2 cores. A vocabulary of 32k would leave room for wider layers, but none in the
 * package has a template with tools. The files name only three of their special tokens; those for filling in the middle and for reasoning get the names
 * that Qwen2.5 and Qwen3 give the same ids.
 *
 * Generated text is made of " word" tokens. A client sends an answer back as text, and random tokens joined to a text are
 * tokenised to other tokens, so that no cache could ever match a turn that the model itself has written. Words that
 * begin with a space survive, because every pre-tokeniser here cuts in front of that space and a word that is one token stays one.
 * Threads: none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/paths.h"
#include "base/utf8.h"
#include "llama/mkmodel_recipe.h"

#define TEMPLATE_MAX_BYTES ((size_t)1 << 20)
#define TOKENS_KEY         "tokenizer.ggml.tokens"
#define TYPES_KEY          "tokenizer.ggml.token_type"
#define TOKENS_MAX         (1u << 22)
#define PIECE_MAX          256 /* no word is longer */

typedef struct named_token {
    uint32_t id;
    const char *text;
} named_token;

static const named_token qwen2_names[] = {{151659, "<|fim_prefix|>"}, {151660, "<|fim_middle|>"}, {151661, "<|fim_suffix|>"},
                                          {151662, "<|fim_pad|>"},    {151663, "<|repo_name|>"},  {151664, "<|file_sep|>"}};
static const named_token qwen35_names[] = {{151667, "<think>"}, {151668, "</think>"}};

static const struct family {
    const char *name, *template_file;
    const char
        *end; /* the token that ends the assistant's turn; it becomes the end-of-text token, as in instruction-tuned models */
    const named_token *names; /* of tokens that only fill up the file's list */
    size_t n_names;
} families[] = {
    {"qwen2", "Qwen-Qwen3-0.6B.jinja", "<|im_end|>", qwen2_names, sizeof qwen2_names / sizeof *qwen2_names},
    {"qwen35", "Qwen3.5-4B.jinja", "<|im_end|>", qwen35_names, sizeof qwen35_names / sizeof *qwen35_names},
    {"llama-bpe", "meta-llama-Llama-3.1-8B-Instruct.jinja", "<|eot_id|>", NULL, 0},
    {"phi-3", "microsoft-Phi-3.5-mini-instruct.jinja", "<|end|>", NULL, 0},
    {"gemma-4", "google-gemma-4-31B-it.jinja", "<turn|>", NULL, 0},
};

/* libllama takes these for ends of text whatever their type is, and calls any but this one a bug of the model at each load. */
static const char *const ends_by_name[] = {"</s>", "<|tool_response>"};

enum token_type { TOKEN_NORMAL = 1, TOKEN_CONTROL = 3, TOKEN_BYTE = 6 }; /* values of tokenizer.ggml.token_type */

const char *warm__mk_vocab_name(size_t i) {
    return i < sizeof families / sizeof *families ? families[i].name : NULL;
}

static int unknown_family(const char *name, warm_err *err) {
    char list[128] = "";
    for (size_t i = 0; warm__mk_vocab_name(i); i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", warm__mk_vocab_name(i));
    }
    return warm_err_set(err, WARM_ENOTFOUND, "no vocabulary named '%s'; there are: %s", name, list);
}

static char *data_path(const char *name, warm_err *err, int *code) {
    char *path = warm_path_data(name);
    if (!path) {
        *code = warm_err_set(err, WARM_ENOTFOUND,
                             "%s was not found: the engine package's data is missing (WARMSLOT_DATA can name its directory)", name);
    }
    return path;
}

static int read_template(const char *file, warm_buf *out, warm_err *err) {
    char name[128];
    int code = 0;
    snprintf(name, sizeof name, "templates/%s", file);
    char *path = data_path(name, err, &code);
    if (!path) return code;
    FILE *f = fopen(path, "rb");
    if (f) {
        char chunk[4096];
        for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;) warm_buf_append(out, chunk, n);
    }
    if (!f || ferror(f)) code = warm_err_set(err, WARM_EIO, "%s: %s", path, strerror(errno));
    if (!code && warm_buf_err(out)) code = warm_err_set(err, warm_buf_err(out), "%s: %s", path, warm_strerror(warm_buf_err(out)));
    if (f) fclose(f);
    free(path);
    return code;
}

/* Byte-level BPE writes each byte as a printable character: those printable in Latin-1 stand for themselves, the others follow in
 * order from U+0100. */
static int byte_of_char(uint32_t c) {
    if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xff && c != 0xad)) return (int)c;
    if (c < 0x100 || c > 0x143) return -1;
    uint32_t i = c - 0x100;
    if (i <= 0x20) return (int)i;
    return i <= 0x42 ? (int)(i - 0x21 + 0x7f) : 0xad;
}

static uint32_t char_at(const char **s) {
    const unsigned char *u = (const unsigned char *)*s;
    size_t n = warm_utf8_char(*s, strlen(*s));
    *s += n ? n : 1;
    switch (n) {
    case 1:
        return u[0];
    case 2:
        return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
    case 3:
        return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    case 4:
        return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
    default:
        return 0xfffd;
    }
}

/* The text of a token as UTF-8; false if it is none, or too long for a word. */
static bool text_of_token(const char *token, bool byte_level, char out[PIECE_MAX]) {
    size_t n = 0;
    if (strlen(token) >= PIECE_MAX) return false;
    while (*token) {
        const char *from = token;
        uint32_t c = char_at(&token);
        int byte = byte_level ? byte_of_char(c) : c == 0x2581 ? ' ' : -1; /* SentencePiece's mark of a space */
        if (byte_level && byte < 0) return false;
        if (byte >= 0) {
            out[n++] = (char)byte;
        } else {
            memcpy(out + n, from, (size_t)(token - from));
            n += (size_t)(token - from);
        }
    }
    out[n] = '\0';
    return strlen(out) == n && warm_utf8_valid(out, n);
}

/* Latin, Greek and Cyrillic letters: no marks that would need a neighbour. */
static bool is_letter(uint32_t c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
    if (c >= 0xc0 && c <= 0x17f) return c != 0xd7 && c != 0xf7;
    return (c >= 0x3b1 && c <= 0x3c9) || (c >= 0x410 && c <= 0x44f);
}

static bool is_word(const char *text) {
    size_t n = 0;
    if (*text++ != ' ') return false;
    for (; *text; n++) {
        if (!is_letter(char_at(&text))) return false;
    }
    return n >= 2;
}

static enum warm__mk_token class_of(const char *token, int32_t type, bool byte_level) {
    char text[PIECE_MAX];
    if (type != TOKEN_NORMAL && type != TOKEN_BYTE) return WARM__MK_SPECIAL;
    if (!text_of_token(token, byte_level, text)) return WARM__MK_OTHER;
    if (is_word(text)) return WARM__MK_WORD;
    if (strcmp(text, "\"") == 0) return WARM__MK_QUOTE;
    return strlen(text) == 1 && strchr(",]}", text[0]) ? WARM__MK_CLOSER : WARM__MK_OTHER;
}

static bool ends_by_its_name(const char *token) {
    for (size_t i = 0; i < sizeof ends_by_name / sizeof *ends_by_name; i++) {
        if (strcmp(token, ends_by_name[i]) == 0) return true;
    }
    return false;
}

static bool has_name(const struct family *fam, uint32_t id) {
    for (size_t i = 0; i < fam->n_names; i++) {
        if (fam->names[i].id == id) return true;
    }
    return false;
}

/* Gives the family's further special tokens their names. The list's strings go with the old list, so they are copied first. */
static int name_tokens(const char *file, const struct family *fam, struct gguf_context *kv, warm_err *err) {
    int64_t key = gguf_find_key(kv, TOKENS_KEY);
    if (key < 0 || !fam->n_names) return 0;
    size_t n = gguf_get_arr_n(kv, key);
    char **tokens = warm_calloc(n, sizeof *tokens);
    int code = tokens ? 0 : WARM_ENOMEM;
    for (size_t i = 0; i < n && !code; i++) {
        const char *text = gguf_get_arr_str(kv, key, i);
        tokens[i] = warm_strndup(text, strlen(text));
        if (!tokens[i]) code = WARM_ENOMEM;
    }
    for (size_t i = 0; i < fam->n_names && !code; i++) {
        uint32_t id = fam->names[i].id;
        if (id >= n || strncmp(tokens[id], "[PAD", 4) != 0) code = WARM_ECORRUPT;
        if (code) break;
        free(tokens[id]);
        tokens[id] = warm_strndup(fam->names[i].text, strlen(fam->names[i].text));
        if (!tokens[id]) code = WARM_ENOMEM;
    }
    if (!code) gguf_set_arr_str(kv, TOKENS_KEY, (const char **)tokens, n);
    for (size_t i = 0; tokens && i < n; i++) free(tokens[i]);
    free(tokens);
    if (code == WARM_ENOMEM) return warm_err_set(err, code, "no memory for %zu tokens", n);
    return code ? warm_err_set(err, code, "%s is not the vocabulary it was", file) : 0;
}

static int sort_tokens(const char *file, const struct family *fam, warm__mk_vocab *v, warm_err *err) {
    int64_t tokens = gguf_find_key(v->kv, TOKENS_KEY), types = gguf_find_key(v->kv, TYPES_KEY);
    int64_t model = gguf_find_key(v->kv, "tokenizer.ggml.model");
    if (tokens < 0 || types < 0 || model < 0 || gguf_get_arr_n(v->kv, tokens) != gguf_get_arr_n(v->kv, types) ||
        gguf_get_arr_n(v->kv, tokens) > TOKENS_MAX) {
        return warm_err_set(err, WARM_ECORRUPT, "%s holds no usable vocabulary", file);
    }
    bool byte_level = strcmp(gguf_get_val_str(v->kv, model), "gpt2") == 0;
    v->n_tokens = (uint32_t)gguf_get_arr_n(v->kv, tokens);
    v->class_of = warm_malloc(v->n_tokens);
    int32_t *type = warm_malloc(v->n_tokens * sizeof *type), end = -1;
    if (!v->class_of || !type) {
        free(type);
        return warm_err_set(err, WARM_ENOMEM, "no memory for %u tokens", v->n_tokens);
    }
    memcpy(type, gguf_get_arr_data(v->kv, types), v->n_tokens * sizeof *type);
    for (uint32_t i = 0; i < v->n_tokens; i++) {
        const char *token = gguf_get_arr_str(v->kv, tokens, i);
        if (ends_by_its_name(token) || has_name(fam, i)) type[i] = TOKEN_CONTROL;
        v->class_of[i] = (uint8_t)class_of(token, type[i], byte_level);
        v->n_words += v->class_of[i] == WARM__MK_WORD;
        if (strcmp(token, fam->end) == 0) end = (int32_t)i;
    }
    gguf_set_arr_data(v->kv, TYPES_KEY, GGUF_TYPE_INT32, type, v->n_tokens);
    free(type);
    if (end < 0 || v->n_words == 0) return warm_err_set(err, WARM_ECORRUPT, "%s has no token '%s' or no words", file, fam->end);
    v->class_of[end] = WARM__MK_END;
    gguf_set_val_u32(v->kv, "tokenizer.ggml.eos_token_id", (uint32_t)end);
    return 0;
}

static void keep_tokenizer_keys(struct gguf_context *kv) {
    for (int64_t i = gguf_get_n_kv(kv) - 1; i >= 0; i--) {
        const char *key = gguf_get_key(kv, i);
        if (strncmp(key, "tokenizer.", strlen("tokenizer.")) != 0) {
            char copy[256]; /* the key's own memory goes with it */
            snprintf(copy, sizeof copy, "%s", key);
            gguf_remove_key(kv, copy);
        }
    }
}

int warm__mk_vocab_load(const char *name, warm__mk_vocab *out, warm_err *err) {
    *out = (warm__mk_vocab){0};
    const struct family *fam = NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strcmp(families[i].name, name) == 0) fam = &families[i];
    }
    if (!fam) return unknown_family(name, err);

    char file[128], *path = NULL;
    warm_buf jinja;
    int code = 0;
    warm_buf_init(&jinja, TEMPLATE_MAX_BYTES);
    snprintf(file, sizeof file, "ggml-vocab-%s.gguf", fam->name);
    if (!(path = data_path(file, err, &code))) goto out;
    if ((code = read_template(fam->template_file, &jinja, err))) goto out;
    out->kv = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (!out->kv) {
        code = warm_err_set(err, WARM_ECORRUPT, "%s is not a GGUF file", path);
        goto out;
    }
    keep_tokenizer_keys(out->kv);
    gguf_set_val_str(out->kv, "tokenizer.chat_template", jinja.data);
    code = name_tokens(file, fam, out->kv, err);
    if (!code) code = sort_tokens(file, fam, out, err);
out:
    if (code) warm__mk_vocab_free(out);
    warm_buf_free(&jinja);
    free(path);
    return code;
}

void warm__mk_vocab_free(warm__mk_vocab *v) {
    if (v->kv) gguf_free(v->kv);
    free(v->class_of);
    *v = (warm__mk_vocab){0};
}
