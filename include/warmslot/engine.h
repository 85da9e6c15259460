/* SPDX-License-Identifier: MIT
 *
 * warmslot/engine.h - what computes: the boundary between the scheduler and a model.
 *
 * Two engines implement it: src/llama (libllama) and src/sim (no model). Everything above sees only this header.
 * A sequence is the list of cells of one prompt in the engine's context, positions 0..n-1 once each. Cells live in one pool
 * (unified KV); seq_cp shares them without a copy. Sequence ids are 0..n_seq_max-1.
 *
 * Errors: no C++ exception leaves an engine; it becomes WARM_EENGINE with its text.
 * Threads: the warm_engine_ops are [engine] (one thread owns the context) unless marked; the warm_text_ops are [any]. */
#ifndef WARMSLOT_ENGINE_H
#define WARMSLOT_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct warm_engine warm_engine;
typedef struct warm_chat warm_chat; /* how the answers to one chat request are held to their form, and read; constant */
typedef struct warm_sampler
    warm_sampler; /* one per task; its maker's thread may feed it the prompt, then it is the engine thread's */

/* What can be done with a model's state, found out at load. A sequence that ends at n can always be continued there. From what was
 * saved, one is built up to position p by appending cells [0,p) (state_load) and then
 *   RANGES            nothing else, at any p
 *   WINDOW            window rows p-n_window+1..p-1 (window_load), at any p
 *   RANGES_SNAPSHOTS  the snapshot taken at exactly p (snapshot_load)
 *   SNAPSHOTS, WHOLE  have no cells to append: the snapshot taken at p is all. Its size is fixed, or grows with p (WHOLE) */
enum warm_state_kind {
    WARM_STATE_RANGES = 0,
    WARM_STATE_WINDOW,
    WARM_STATE_RANGES_SNAPSHOTS,
    WARM_STATE_SNAPSHOTS,
    WARM_STATE_WHOLE
};
static inline bool warm_state_has_ranges(enum warm_state_kind k) {
    return k <= WARM_STATE_RANGES_SNAPSHOTS;
}
static inline bool warm_state_has_snapshots(enum warm_state_kind k) {
    return k >= WARM_STATE_RANGES_SNAPSHOTS;
}
/* "ranges", "ranges with window rows", "ranges plus snapshots", "snapshots only", "whole states only" */
const char *warm_state_kind_name(enum warm_state_kind k);

/* A LoRA adapter that is loaded. Which ones compute, and how strongly, is said by a list of scales, one for each in this order; 0 = off. */
typedef struct warm_adapter {
    const char *path;
    const char *content; /* canonical text of what is in the file: equal texts change the model alike */
    float scale;         /* at the start */
    const char *task_name, *prompt_prefix;
} warm_adapter;

/* What an embedding is made of. NONE: each token has one of its own; RANK: scores instead of an embedding. */
enum warm_pooling { WARM_POOLING_NONE = 0, WARM_POOLING_MEAN, WARM_POOLING_CLS, WARM_POOLING_LAST, WARM_POOLING_RANK };

/* A sequence to be embedded. */
typedef struct warm_embed_input {
    const int32_t *token;
    size_t n;   /* 1..n_embed_max */
    float *out; /* warm_embed_floats() of them are written */
} warm_embed_input;

/* Constant after open. Strings are owned by the engine. */
typedef struct warm_engine_info {
    uint32_t n_ctx;     /* cells in the pool */
    uint32_t n_seq_max; /* sequence ids that may be used (scratch ones already taken off) */
    uint32_t n_batch, n_ubatch;
    uint32_t n_vocab, n_ctx_train, n_embd;
    uint64_t n_params, model_bytes;
    const char *scope;      /* canonical text of everything that decides what state may be shared: model content, KV layout,
                                flash attention, rope (DESIGN.md "scope"); adapters and salt not included */
    const char *model_path; /* "" for the simulated engine */
    const char *model_desc; /* "llama 30M Q8_0" */
    const char *ftype;
    const char *arch;
    const char *build;              /* engine release, "libllama v0.5.0" */
    const char *backend;            /* the devices that compute, one a line */
    const char *chat_template;      /* source text, "" if none */
    const char *chat_template_caps; /* what it can do: a JSON object of booleans, "{}" if there is none */
    const char *bos_text, *eos_text;
    int32_t vocab_type;
    int32_t bos, eos; /* token ids, -1 = none */
    bool add_bos;
    int32_t fim_pre, fim_suf, fim_mid, fim_rep, fim_sep; /* tokens for filling in the middle, -1 = none */
    uint32_t n_batch_asked;                              /* as the user set it; n_batch is less where the context is */
    enum warm_state_kind state;
    bool can_shift;    /* shift() is possible */
    uint32_t n_window; /* WARM_STATE_WINDOW: units of the sliding window, at least WARM_PIECE_MIN of cache.h; 0 otherwise */
    const int32_t *message_head; /* tokens that the chat template puts before a user's message, NULL = not known */
    size_t n_message_head;
    const warm_adapter *adapters;
    size_t n_adapters;
    /* Embeddings: tokens of one sequence, and of all sequences of one call unless it has only one; sequences of one call. 0: it was not opened for them */
    uint32_t n_embed_max, n_embed_batch, n_embed_seqs;
    enum warm_pooling pooling;
    uint32_t n_embd_out; /* numbers of an embedding, or scores */
    uint32_t
        n_rows; /* WARM_STATE_WINDOW: window rows in the context. Every sequence holds up to n_window of its own, a batch takes one a unit */
} warm_engine_info;

/* A step's work. Rows of one sequence are in order of position. */
typedef struct warm_batch {
    size_t n; /* <= n_batch */
    const int32_t *token;
    const int32_t *pos;
    const int32_t *seq;
    const uint8_t
        *want; /* 1: logits of this row are needed (row index = its index in the batch); one row per sequence id, and never
                            fewer than 64, may be wanted */
} warm_batch;

enum { WARM_SAMPLERS_MAX = 16, WARM_DRY_BREAKERS_MAX = 32 };

typedef struct warm_logit_bias {
    int32_t token;
    float bias; /* -INFINITY: never */
} warm_logit_bias;

/* Sampling parameters; names, meanings and defaults are llama-server's. warm_sampling_default fills the defaults. Strings and arrays are
 * borrowed: they must outlive the sampler_new call only. */
typedef struct warm_sampling {
    uint32_t seed; /* 0xFFFFFFFF: random */
    int32_t n_probs, min_keep, top_k;
    float top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, typ_p;
    float temp, dynatemp_range, dynatemp_exponent;
    int32_t penalty_last_n;
    float penalty_repeat, penalty_freq, penalty_present;
    float dry_multiplier, dry_base;
    int32_t dry_allowed_length, dry_penalty_last_n;
    const char *dry_breakers[WARM_DRY_BREAKERS_MAX];
    int32_t n_dry_breakers; /* -1: the defaults */
    float adaptive_target, adaptive_decay;
    int32_t mirostat;
    float mirostat_tau, mirostat_eta;
    bool ignore_eos;
    bool post_sampling_probs;
    const char *samplers[WARM_SAMPLERS_MAX]; /* names in order, as in llama-server's "samplers" */
    int32_t n_samplers;                      /* -1: the defaults */
    const warm_logit_bias *logit_bias;
    size_t n_logit_bias;
    const char *grammar;     /* GBNF, or NULL */
    const char *json_schema; /* JSON text, converted by the engine; not together with grammar */
    const warm_chat
        *chat; /* of a chat request, or NULL: its own grammar, if it has one, was made with json_schema and replaces it */
} warm_sampling;

void warm_sampling_default(warm_sampling *s);

typedef struct warm_token_prob {
    int32_t token;
    float p; /* log probability before sampling, or probability after it with post_sampling_probs */
} warm_token_prob;

typedef struct warm_sampled {
    int32_t token;
    float p; /* of the token itself, as in warm_token_prob; 0 without n_probs */
    bool is_eog;
    bool is_text;           /* a special token whose text belongs to the answer: the chat's parser looks for it */
    warm_token_prob *probs; /* the n_probs likeliest, descending; the sampler owns it until its next sample */
    size_t n_probs;
} warm_sampled;

typedef struct warm_engine_ops {
    const char *name; /* "llama", "sim" */

    /* From now on batches are computed with these scales, one for each of info->adapters; cheap when they are what they were. State that was
     * computed with others stays as it is. */
    int (*adapters)(warm_engine *e, const float *scale, size_t n, warm_err *err);
    /* Computes the batch. WARM_EFULL: no free cells, nothing was changed. WARM_EENGINE: the cells of this batch are gone or
     * undefined; the caller removes the sequences it named. */
    int (*decode)(warm_engine *e, const warm_batch *b, warm_err *err);
    /* Logits of row `row` of the last decode, n_vocab floats, owned by the engine until the next one. NULL if the row was not wanted. */
    const float *(*logits)(warm_engine *e, size_t row);

    /* Removes positions [p0, p1) of a sequence; p1 < 0 = to the end. Other sequences keep their shares. Kinds with snapshots lose the whole
     * sequence unless the range is empty. */
    void (*seq_rm)(warm_engine *e, int32_t seq, int32_t p0, int32_t p1);
    /* Whether fork(…, true) at n would succeed, 0 < n <= the sequence's end: at its end always; before it on RANGES always, on WINDOW while the
     * rows before n are still in the context, on the others never. Copies nothing. */
    bool (*can_continue)(warm_engine *e, int32_t seq, int32_t n);
    /* Begins the empty sequence dst as the first n units of src, sharing the cells (on WINDOW, which can't share window rows, with rows of its
     * own). complete: it can be continued at n at once. Otherwise only the cells are shared (none on kinds without ranges), and window_load
     * or snapshot_load has to complete it before it is decoded; until then nothing else may be done with it but state_load. WARM_ENOTFOUND: n can't
     * be continued; WARM_EFULL: no free window rows. On failure dst is empty. */
    int (*fork)(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err);
    /* Removes [p0, p1) of seq, 0 <= p0 < p1 < its end, and moves what follows down by p1 - p0. No other sequence may share a cell behind p1. What
     * follows was computed behind units that are gone: it is not the state of the units it has now, nor is anything that is computed behind
     * it. Such a sequence can be saved and forked up to p0 only, and it has no snapshot any more. WARM_ENOTSUP: not can_shift;
     * WARM_ENOTFOUND: it could not be continued afterwards. Both change nothing; after any other error seq is empty. */
    int (*shift)(warm_engine *e, int32_t seq, int32_t p0, int32_t p1, warm_err *err);
    /* Forgets every sequence; with data, clears the memory too (after damage). */
    void (*clear)(warm_engine *e, bool data);

    /* Cells of n units as bytes, without window rows and snapshots: the exact size a save of n units returns. Pure function of n; 0 on kinds
     * without ranges, which have nothing to save or load here. */
    size_t (*state_bytes)(const warm_engine *e, size_t n);
    /* Copies the cells of [p0, p0+n) of seq into dst (cap >= state_bytes(n)). Changes no sequence. Returns the bytes written or WARM_E*. */
    int64_t (*state_save)(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
    /* Appends [p0, p1) of saved cells, which cover positions [first, first+n), to seq, which ends at p0. On failure the sequence is
     * as before. WARM_EFULL: no free cells (a load needs n free cells, also when fewer are kept). WARM_ECORRUPT: these bytes are no state
     * of these units. */
    int (*state_load)(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                      warm_err *err);

    /* WINDOW only: the window rows of n <= n_window units, as above. window_save: WARM_ENOTFOUND when rows of this range are no longer in the
     * context (they are recycled once they are behind the window). window_load: adds rows [p0, p1), whose cells seq already has, behind the rows it has. */
    size_t (*window_bytes)(const warm_engine *e, size_t n);
    int64_t (*window_save)(warm_engine *e, int32_t seq, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err);
    int (*window_load)(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                       warm_err *err);

    /* Kinds with snapshots: the state of seq at its end that can't be cut. Size of the one that could be taken now; 0 of an empty sequence. */
    size_t (*snapshot_bytes)(const warm_engine *e, int32_t seq);
    int64_t (*snapshot_save)(warm_engine *e, int32_t seq, void *dst, size_t cap, warm_err *err);
    /* Gives seq the state of a snapshot taken at n. RANGES_SNAPSHOTS: seq has exactly the cells [0,n). The others: what seq had is replaced.
     * On failure seq is empty. WARM_ECORRUPT: these bytes are no snapshot at n; WARM_EFULL. */
    int (*snapshot_load)(warm_engine *e, int32_t seq, const void *src, size_t bytes, int32_t n, warm_err *err);

    /* First and last position of a sequence in the context, -1 when it is empty, and their number is not checked. For tests and assertions. */
    void (*seq_range)(warm_engine *e, int32_t seq, int32_t *min, int32_t *max);

    /* A sampler for one task. [any] thread may create it; WARM_EINVAL with the parser's words for a bad grammar, schema, sampler name or bias token. */
    int (*sampler_new)(warm_engine *e, const warm_sampling *s, warm_sampler **out, warm_err *err);
    void (*sampler_free)(warm_engine *e, warm_sampler *s);
    /* Feeds prompt tokens to the penalties (generated = false), or the token just sampled (true: the grammar too). */
    int (*sampler_accept)(warm_engine *e, warm_sampler *s, int32_t token, bool generated, warm_err *err);
    /* WARM_ECORRUPT: the row's logits are not numbers, so the state behind it must not be kept. */
    int (*sample)(warm_engine *e, warm_sampler *s, size_t row, warm_sampled *out, warm_err *err);

    /* Embeds each of n <= n_embed_seqs sequences by itself, from its beginning, with these scales (as adapters()); sequences that are decoded
     * have no part in it, and nothing is kept. Only where n_embed_max is not 0. */
    int (*embed)(warm_engine *e, const float *scale, const warm_embed_input *in, size_t n, warm_err *err);
    /* [any] The tokens that a model with WARM_POOLING_RANK reads as a query and a document. malloc'ed. */
    int (*rank_prompt)(warm_engine *e, const char *query, size_t n_query, const char *doc, size_t n_doc, int32_t **tokens,
                       size_t *n, warm_err *err);

    void (*close)(warm_engine *e);
} warm_engine_ops;

/* What a chat template makes of a request. */
typedef struct warm_chat_prompt {
    char *text; /* NUL-terminated */
    size_t len;
    char *stops; /* strings that end an answer besides the tokens that do: n_stops of them, each with its NUL; NULL = none */
    size_t n_stops;
    warm_chat *chat; /* given back with chat_free; NULL: an answer is its text and nothing else */
} warm_chat_prompt;

/* An answer, taken apart. Texts need not be the generated ones byte for byte, and are NUL-terminated. */
typedef struct warm_chat_call {
    const char *id, *name; /* id "": the model gave none */
    const char *arguments; /* JSON; of a text that goes on, its beginning */
    size_t arguments_len;
} warm_chat_call;
typedef struct warm_chat_message {
    const char *reasoning, *content;
    size_t reasoning_len, content_len;
    const warm_chat_call *calls;
    size_t n_calls;
    void *memory; /* holds all of it */
} warm_chat_message;

/* Text functions. [any] thread; results are malloc'ed and freed by the caller with free(). */
typedef struct warm_text_ops {
    int (*tokenize)(warm_engine *e, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens, size_t *n,
                    warm_err *err);
    /* Bytes of one token, not always whole UTF-8. Returns the length (may exceed cap: nothing was written). */
    size_t (*token_piece)(warm_engine *e, int32_t token, bool special, char *buf, size_t cap);
    bool (*token_is_eog)(warm_engine *e, int32_t token);
    /* Renders the chat template. request_json is the whole body of a chat request (messages, tools, chat_template_kwargs,
     * add_generation_prompt, ...), already known to be JSON; json_schema is what the answer has to be, or NULL. WARM_EINVAL with the
     * template's own words; WARM_ENOTSUP if the model has none. */
    int (*chat_render)(warm_engine *e, const char *request_json, size_t len, const char *json_schema, warm_chat_prompt *out,
                       warm_err *err);
    /* Reads what was generated so far; partial: it may go on. From one call to the next, texts grow at their ends and calls are added.
     * Its memory is the caller's, with free(). WARM_EENGINE: a whole text that is not of the template's form. */
    int (*chat_parse)(warm_engine *e, const warm_chat *chat, const char *text, size_t len, bool partial, warm_chat_message *out,
                      warm_err *err);
    void (*chat_free)(warm_engine *e, warm_chat *chat);
} warm_text_ops;

struct warm_engine {
    const warm_engine_ops *ops;
    const warm_text_ops *text;
    const warm_engine_info *info;
};

/* How many numbers the embeddings of n tokens are. */
static inline size_t warm_embed_floats(const warm_engine_info *info, size_t n) {
    return (info->pooling == WARM_POOLING_NONE ? n : 1) * (size_t)info->n_embd_out;
}

/* The `adapters` part of a scope's fingerprint (cache.h): one line for each adapter with a scale other than 0, whatever order they were loaded in. "" without
 * any. malloc'ed; NULL without memory. [any] */
char *warm_adapters_text(const warm_engine_info *info, const float *scale);

#ifdef __cplusplus
}
#endif
#endif
