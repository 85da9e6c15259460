/* SPDX-License-Identifier: MIT
 *
 * sim/sim.c - decoding, sampling and text of the simulated engine: see sim.h. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sim/sim_internal.h"

enum { FIM_FIRST = 257, FIM_N = 5 };

struct warm_sampler {
    warm_sampling p;
    warm_token_prob *probs;
};

uint64_t warm__sim_mix(uint64_t hash, uint64_t v) {
    uint64_t z = hash * 0x9e3779b97f4a7c15u + v + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t warm__sim_next_hash(uint64_t hash, int32_t token, uint32_t adapted) {
    hash = warm__sim_mix(hash, (uint64_t)token);
    return adapted ? warm__sim_mix(hash, adapted) : hash;
}

static uint32_t name_of(const float *scale, size_t n) {
    uint64_t name = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &scale[i], sizeof bits);
        if (scale[i] != 0.0f) name = warm__sim_mix(name, (uint64_t)i << 32 | bits) | 1;
    }
    return (uint32_t)name;
}

uint64_t warm_sim_hash_adapted(const int32_t *tokens, size_t n, const float *scale, size_t n_scales) {
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++) hash = warm__sim_next_hash(hash, tokens[i], name_of(scale, n_scales));
    return hash;
}

uint64_t warm_sim_hash(const int32_t *tokens, size_t n) {
    return warm_sim_hash_adapted(tokens, n, NULL, 0);
}

int32_t warm_sim_next(const warm_engine *e, uint64_t hash, bool ignore_eos) {
    uint64_t v = warm__sim_mix(hash, 1);
    /* One in 64 ends the text. */
    if (!ignore_eos && (v >> 58) == 0) return 0;
    return (int32_t)(1 + v % (e->info->n_vocab - 1));
}

void warm__sim_spend(sim *s, uint64_t ns) {
    if (s->o.clock_ns) *s->o.clock_ns += ns;
}

static bool uses_cells(const sim *s) {
    return s->info.state != WARM_STATE_SNAPSHOTS;
}

uint64_t warm__sim_end_hash(const sim *s, const struct sim_seq *q) {
    if (!q->n) return 0;
    return uses_cells(s) ? s->cells[q->cells[q->n - 1]].hash : q->recurrent;
}

uint64_t warm_sim_seq_hash(const warm_engine *e, int32_t seq) {
    const sim *s = (const sim *)e;
    return warm__sim_end_hash(s, &s->seqs[seq]);
}

uint64_t warm_sim_poisoned(const warm_engine *e) {
    return ((const sim *)e)->n_poisoned;
}

void warm__sim_push_cell(sim *s, struct sim_seq *q, int32_t token, uint32_t adapted, uint64_t hash) {
    assert(s->n_used < s->info.n_ctx); /* the callers have counted */
    int32_t i = s->free_cells[s->n_used++];
    s->cells[i] = (struct sim_cell){.token = token, .adapted = adapted, .refs = 1, .hash = hash};
    q->cells[q->n++] = i;
}

void warm__sim_give_cell(sim *s, int32_t i) {
    assert(s->cells[i].refs);
    if (!--s->cells[i].refs) s->free_cells[--s->n_used] = i;
}

warm_sim_moved warm_sim_moved_get(const warm_engine *e) {
    return ((const sim *)e)->moved;
}

/* 0 when the sequence has all that its next row needs. */
static uint64_t poison_of(const sim *s, const struct sim_seq *q) {
    bool good = !q->incomplete;
    if (s->info.state == WARM_STATE_WINDOW && q->good_from > warm__sim_row_first(s, q->n)) good = false;
    if (s->info.state == WARM_STATE_RANGES_SNAPSHOTS && q->recurrent != warm__sim_end_hash(s, q)) good = false;
    return good ? 0 : warm__sim_mix(q->recurrent, (uint64_t)q->good_from) | 1;
}

static void decode_row(sim *s, const warm_batch *b, size_t i) {
    struct sim_seq *q = &s->seqs[b->seq[i]];
    uint64_t poison = poison_of(s, q), hash = warm__sim_next_hash(warm__sim_end_hash(s, q), b->token[i], s->adapted) ^ poison;
    if (poison) s->n_poisoned++;
    s->row_hash[i] = hash;
    if (uses_cells(s)) {
        warm__sim_push_cell(s, q, b->token[i], s->adapted, hash);
    } else {
        q->n++;
    }
    /* A state of its own: it does not become right by being wrong along with the cells. */
    q->recurrent = uses_cells(s) ? warm__sim_next_hash(q->recurrent, b->token[i], s->adapted) : hash;
    q->recurrent_at = q->n;
    if (s->info.state == WARM_STATE_WINDOW) warm__sim_row_add(s, b->seq[i], b->pos[i]);
}

static bool positions_follow(sim *s, const warm_batch *b) {
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) s->per_seq[i] = s->seqs[i].n;
    for (size_t i = 0; i < b->n; i++) {
        if (b->pos[i] != s->per_seq[b->seq[i]]++) return false;
    }
    return true;
}

static uint64_t depth_of(const warm_batch *b) {
    uint64_t sum = 0;
    for (size_t i = 0; i < b->n; i++) sum += (uint64_t)b->pos[i];
    return sum;
}

static int sim_adapters(warm_engine *e, const float *scale, size_t n, warm_err *err) {
    sim *s = (sim *)e;
    if (n != s->info.n_adapters) return warm_err_set(err, WARM_EINVAL, "%zu scales for %zu adapters", n, s->info.n_adapters);
    s->adapted = name_of(scale, n);
    return 0;
}

static int sim_decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    sim *s = (sim *)e;
    bool window = s->info.state == WARM_STATE_WINDOW;
    assert(b->n && b->n <= s->info.n_batch);
    if (!positions_follow(s, b)) return warm_err_set(err, WARM_EENGINE, "positions do not follow those in the context");
    if (uses_cells(s) && s->info.n_ctx - s->n_used < b->n) return warm_err_set(err, WARM_EFULL, "no free cells");
    if (window && !warm__sim_rows_fit(s, b)) return warm_err_set(err, WARM_EFULL, "no free window rows");
    if (++s->n_decodes == s->o.decode_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    warm__sim_spend(s, s->o.step_ns + b->n * s->o.row_ns + depth_of(b) * s->o.depth_ps / 1000);
    if (window) warm__sim_rows_decay(s);
    for (size_t i = 0; i < b->n;) {
        size_t end = i + s->info.n_ubatch < b->n ? i + s->info.n_ubatch : b->n;
        for (size_t k = i; k < end; k++) decode_row(s, b, k);
        for (; i < end; i++) s->seqs[b->seq[i]].row_end = s->seqs[b->seq[i]].n;
    }
    return 0;
}

static const float *sim_logits(warm_engine *e, size_t row) {
    sim *s = (sim *)e;
    if (!s->logits) s->logits = warm_xcalloc(s->info.n_vocab, sizeof *s->logits);
    for (uint32_t v = 0; v < s->info.n_vocab; v++) s->logits[v] = (float)(warm__sim_mix(s->row_hash[row], v + 2) >> 40) * 0x1p-24f;
    return s->logits;
}

static void sim_seq_range(warm_engine *e, int32_t id, int32_t *min, int32_t *max) {
    int32_t n = ((sim *)e)->seqs[id].n;
    *min = n ? 0 : -1;
    *max = n - 1;
}

static int sim_sampler_new(warm_engine *e, const warm_sampling *p, warm_sampler **out, warm_err *err) {
    (void)e;
    if (p->grammar || p->json_schema) return warm_err_set(err, WARM_ENOTSUP, "grammar: the simulated engine has none");
    warm_sampler *sm = warm_xcalloc(1, sizeof *sm);
    sm->p = *p;
    if (p->n_probs > 0) sm->probs = warm_xcalloc((size_t)p->n_probs, sizeof *sm->probs);
    *out = sm;
    return 0;
}

static void sim_sampler_free(warm_engine *e, warm_sampler *sm) {
    (void)e;
    free(sm->probs);
    free(sm);
}

static int sim_sampler_accept(warm_engine *e, warm_sampler *sm, int32_t token, bool generated, warm_err *err) {
    (void)e, (void)sm, (void)token, (void)generated, (void)err;
    return 0;
}

static int sim_sample(warm_engine *e, warm_sampler *sm, size_t row, warm_sampled *out, warm_err *err) {
    sim *s = (sim *)e;
    (void)err;
    int32_t token = warm_sim_next(e, s->row_hash[row], sm->p.ignore_eos);
    *out = (warm_sampled){.token = token, .is_eog = token == 0, .p = -0.5f, .probs = sm->probs};
    for (int32_t i = 0; i < sm->p.n_probs; i++) {
        sm->probs[i] = (warm_token_prob){.token = (token + i) % (int32_t)s->info.n_vocab, .p = -0.5f - (float)i};
        out->n_probs++;
    }
    return 0;
}

static void sim_close(warm_engine *e) {
    sim *s = (sim *)e;
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) {
        free(s->seqs[i].cells);
        free(s->seqs[i].rows);
    }
    free(s->seqs);
    free(s->rows);
    free(s->per_seq);
    free(s->row_values);
    free(s->cells);
    free(s->free_cells);
    free(s->row_hash);
    free(s->logits);
    free(s);
}

static int sim_tokenize(warm_engine *e, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens,
                        size_t *n, warm_err *err) {
    (void)e, (void)add_special, (void)parse_special;
    int32_t *t = warm_malloc((len ? len : 1) * sizeof *t);
    if (!t) return warm_err_set(err, WARM_ENOMEM, "no memory for %zu tokens", len);
    for (size_t i = 0; i < len; i++) t[i] = (unsigned char)text[i] + 1;
    *tokens = t;
    *n = len;
    return 0;
}

static size_t sim_token_piece(warm_engine *e, int32_t token, bool special, char *buf, size_t cap) {
    char number[16];
    (void)e;
    if (token == 0 && !special) return 0;
    if (token >= 1 && token <= 256) {
        if (cap) buf[0] = (char)(token - 1);
        return 1;
    }
    int n = snprintf(number, sizeof number, "<%d>", token);
    if ((size_t)n <= cap) memcpy(buf, number, (size_t)n);
    return (size_t)n;
}

static bool sim_token_is_eog(warm_engine *e, int32_t token) {
    (void)e;
    return token == 0;
}

static int sim_chat_render(warm_engine *e, const char *json, size_t len, const char *json_schema, warm_chat_prompt *out,
                           warm_err *err) {
    (void)e, (void)json_schema;
    *out = (warm_chat_prompt){.text = warm_strndup(json, len), .len = len};
    return out->text ? 0 : warm_err_set(err, WARM_ENOMEM, "no memory for the prompt");
}

enum { SIM_EMBD = 3, SIM_EMBED_SEQS = 4 };

float warm_sim_embedded(uint64_t hash, size_t i) {
    return (float)(warm__sim_mix(hash, i + 1) >> 40) / (float)(1 << 23) - 1.0f;
}

static void embed_one(const sim *s, const float *scale, const warm_embed_input *in) {
    bool each = s->info.pooling == WARM_POOLING_NONE;
    for (size_t t = each ? 1 : in->n; t <= in->n; t++) {
        uint64_t hash = warm_sim_hash_adapted(in->token, t, scale, s->info.n_adapters);
        for (size_t i = 0; i < SIM_EMBD; i++) in->out[(each ? (t - 1) * SIM_EMBD : 0) + i] = warm_sim_embedded(hash, i);
    }
}

static int sim_embed(warm_engine *e, const float *scale, const warm_embed_input *in, size_t n, warm_err *err) {
    sim *s = (sim *)e;
    size_t total = 0;
    assert(n && n <= s->info.n_embed_seqs);
    for (size_t i = 0; i < n; i++) {
        assert(in[i].n && in[i].n <= s->info.n_embed_max);
        total += in[i].n;
    }
    assert(n == 1 || total <= s->info.n_embed_batch);
    warm__sim_spend(s, s->o.step_ns + total * s->o.row_ns);
    if (++s->n_embeds == s->o.embed_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    for (size_t i = 0; i < n; i++) embed_one(s, scale, &in[i]);
    return 0;
}

/* Query and document with the end of text between them. */
static int sim_rank_prompt(warm_engine *e, const char *query, size_t n_query, const char *doc, size_t n_doc, int32_t **tokens,
                           size_t *n, warm_err *err) {
    (void)e;
    int32_t *t = warm_malloc((n_query + 1 + n_doc) * sizeof *t);
    if (!t) return warm_err_set(err, WARM_ENOMEM, "no memory for %zu tokens", n_query + 1 + n_doc);
    for (size_t i = 0; i < n_query; i++) t[i] = (unsigned char)query[i] + 1;
    t[n_query] = 0;
    for (size_t i = 0; i < n_doc; i++) t[n_query + 1 + i] = (unsigned char)doc[i] + 1;
    *tokens = t;
    *n = n_query + 1 + n_doc;
    return 0;
}

static const warm_engine_ops engine_ops = {
    .name = "sim",
    .adapters = sim_adapters,
    .decode = sim_decode,
    .logits = sim_logits,
    .seq_rm = warm__sim_seq_rm,
    .can_continue = warm__sim_can_continue,
    .fork = warm__sim_fork,
    .shift = warm__sim_shift,
    .clear = warm__sim_clear,
    .state_bytes = warm__sim_state_bytes,
    .state_save = warm__sim_state_save,
    .state_load = warm__sim_state_load,
    .window_bytes = warm__sim_window_bytes,
    .window_save = warm__sim_window_save,
    .window_load = warm__sim_window_load,
    .snapshot_bytes = warm__sim_snapshot_bytes,
    .snapshot_save = warm__sim_snapshot_save,
    .snapshot_load = warm__sim_snapshot_load,
    .seq_range = sim_seq_range,
    .sampler_new = sim_sampler_new,
    .sampler_free = sim_sampler_free,
    .sampler_accept = sim_sampler_accept,
    .sample = sim_sample,
    .embed = sim_embed,
    .rank_prompt = sim_rank_prompt,
    .close = sim_close,
};

static const warm_text_ops text_ops = {
    .tokenize = sim_tokenize, .token_piece = sim_token_piece, .token_is_eog = sim_token_is_eog, .chat_render = sim_chat_render};

static size_t at_least(size_t v, size_t otherwise, size_t least) {
    if (!v) v = otherwise;
    return v < least ? least : v;
}

static void alloc_parts(sim *s) {
    bool window = s->info.state == WARM_STATE_WINDOW;
    uint32_t n_rows = s->info.n_window * s->info.n_seq_max + s->info.n_ubatch;
    s->n_rows = !window ? 0 : n_rows < s->info.n_ctx ? n_rows : s->info.n_ctx;
    s->info.n_rows = s->n_rows;
    s->rows = warm_xcalloc(s->n_rows + 1, sizeof *s->rows);
    s->row_values = warm_xcalloc(s->info.n_window + 1, sizeof *s->row_values);
    s->per_seq = warm_xcalloc(s->info.n_seq_max, sizeof *s->per_seq);
    s->cells = warm_xcalloc(s->info.n_ctx, sizeof *s->cells);
    s->free_cells = warm_xcalloc(s->info.n_ctx, sizeof *s->free_cells);
    for (uint32_t i = 0; i < s->info.n_ctx; i++) s->free_cells[i] = (int32_t)i;
    s->seqs = warm_xcalloc(s->info.n_seq_max, sizeof *s->seqs);
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) {
        s->seqs[i].cells = warm_xcalloc(s->info.n_ctx, sizeof(int32_t));
        s->seqs[i].rows = window ? warm_xcalloc(s->info.n_ctx, sizeof(int32_t)) : NULL;
    }
    s->row_hash = warm_xcalloc(s->info.n_batch, sizeof *s->row_hash);
    warm__sim_rows_init(s);
}

static void add_adapters(sim *s) {
    static const char *const names[WARM_SIM_ADAPTERS_MAX] = {"simulated 0", "simulated 1", "simulated 2", "simulated 3"};
    assert(s->o.n_adapters <= WARM_SIM_ADAPTERS_MAX);
    for (size_t i = 0; i < s->o.n_adapters; i++)
        s->adapters[i] = (warm_adapter){
            .path = names[i], .content = names[i], .scale = s->o.adapter_scale[i], .task_name = "", .prompt_prefix = ""};
    s->adapted = name_of(s->o.adapter_scale, s->o.n_adapters);
    s->info.adapters = s->adapters;
    s->info.n_adapters = s->o.n_adapters;
}

int warm_sim_open(const warm_sim_options *o, warm_engine **out) {
    sim *s = warm_xcalloc(1, sizeof *s);
    s->o = *o;
    s->o.unit_bytes = at_least(o->unit_bytes, 64, WARM__SIM_RECORD_MIN);
    s->o.window_unit_bytes = at_least(o->window_unit_bytes, s->o.unit_bytes, WARM__SIM_RECORD_MIN);
    s->o.snapshot_bytes = at_least(o->snapshot_bytes, 1024, sizeof(struct sim_header) + WARM__SIM_RECORD_MIN);
    s->info = (warm_engine_info){.n_ctx = o->n_ctx ? o->n_ctx : 4096,
                                 .n_seq_max = o->n_seq_max ? o->n_seq_max : 8,
                                 .n_batch = o->n_batch ? o->n_batch : 512,
                                 .n_ubatch = o->n_ubatch ? o->n_ubatch : 512,
                                 .n_vocab = o->n_vocab ? o->n_vocab : 257,
                                 .state = o->state,
                                 .can_shift = o->state != WARM_STATE_WINDOW && !o->no_shift,
                                 .scope = "sim\n",
                                 .model_path = "",
                                 .model_desc = "simulated",
                                 .ftype = "none",
                                 .arch = "sim",
                                 .build = "sim",
                                 .backend = "sim",
                                 .chat_template = "",
                                 .bos_text = "",
                                 .eos_text = "",
                                 .chat_template_caps = "{}",
                                 .bos = -1,
                                 .eos = 0};
    if (o->n_embed_max) {
        s->info.n_embed_max = o->n_embed_max;
        s->info.n_embed_batch = 2 * o->n_embed_max;
        s->info.n_embed_seqs = SIM_EMBED_SEQS;
        s->info.pooling = o->pooling;
        s->info.n_embd_out = SIM_EMBD;
    }
    s->info.n_ctx_train = s->info.n_ctx;
    s->info.n_batch_asked = s->info.n_batch;
    bool fim = s->info.n_vocab >= FIM_FIRST + FIM_N;
    int32_t *fim_tokens[FIM_N] = {&s->info.fim_pre, &s->info.fim_suf, &s->info.fim_mid, &s->info.fim_rep, &s->info.fim_sep};
    for (int32_t i = 0; i < FIM_N; i++) *fim_tokens[i] = fim ? FIM_FIRST + i : -1;
    if (o->state == WARM_STATE_WINDOW) s->info.n_window = o->n_window ? o->n_window : 64;
    add_adapters(s);
    alloc_parts(s);
    s->base = (warm_engine){.ops = &engine_ops, .text = &text_ops, .info = &s->info};
    *out = &s->base;
    return 0;
}
