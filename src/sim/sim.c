/* SPDX-License-Identifier: MIT
 *
 * sim/sim.c - see sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { HEADER_BYTES = 16, RECORD_MIN = 16, FIM_FIRST = 257, FIM_N = 5 };
static const uint32_t state_magic = 0x4d495357; /* "WSIM" */

struct cell {
    int32_t token;
    uint32_t refs;
    uint64_t hash;
};

struct seq {
    int32_t *cells; /* by position */
    int32_t n;
};

typedef struct sim {
    warm_engine base;
    warm_engine_info info;
    warm_sim_options o;
    struct cell *cells;
    uint32_t n_used;
    struct seq *seqs;
    uint64_t *row_hash; /* of the last decode, by row */
    float *logits;
    uint64_t n_decodes, n_loads;
} sim;

struct warm_sampler {
    warm_sampling p;
    warm_token_prob *probs;
};

static uint64_t mix(uint64_t hash, uint64_t v) {
    uint64_t z = hash * 0x9e3779b97f4a7c15u + v + 0x632be59bd9b4e019u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t warm_sim_hash(const int32_t *tokens, size_t n) {
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++) hash = mix(hash, (uint64_t)tokens[i]);
    return hash;
}

int32_t warm_sim_next(const warm_engine *e, uint64_t hash, bool ignore_eos) {
    uint64_t v = mix(hash, 1);
    /* One in 64 ends the text. */
    if (!ignore_eos && (v >> 58) == 0) return 0;
    return (int32_t)(1 + v % (e->info->n_vocab - 1));
}

static void spend(sim *s, uint64_t ns) {
    if (s->o.clock_ns) *s->o.clock_ns += ns;
}

static int32_t take_cell(sim *s, int32_t token, uint64_t hash) {
    for (uint32_t i = 0; i < s->info.n_ctx; i++) {
        if (s->cells[i].refs) continue;
        s->cells[i] = (struct cell){.token = token, .refs = 1, .hash = hash};
        s->n_used++;
        return (int32_t)i;
    }
    abort(); /* the callers have counted */
}

static void give_cell(sim *s, int32_t i) {
    assert(s->cells[i].refs);
    if (!--s->cells[i].refs) s->n_used--;
}

static int sim_decode(warm_engine *e, const warm_batch *b, warm_err *err) {
    sim *s = (sim *)e;
    assert(b->n && b->n <= s->info.n_batch);
    if (s->info.n_ctx - s->n_used < b->n) return warm_err_set(err, WARM_EFULL, "no free cells");
    if (++s->n_decodes == s->o.decode_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    spend(s, b->n * s->o.row_ns);
    for (size_t i = 0; i < b->n; i++) {
        struct seq *q = &s->seqs[b->seq[i]];
        assert(b->pos[i] == q->n);
        uint64_t hash = mix(q->n ? s->cells[q->cells[q->n - 1]].hash : 0, (uint64_t)b->token[i]);
        q->cells[q->n++] = take_cell(s, b->token[i], hash);
        s->row_hash[i] = hash;
    }
    return 0;
}

static const float *sim_logits(warm_engine *e, size_t row) {
    sim *s = (sim *)e;
    for (uint32_t v = 0; v < s->info.n_vocab; v++) s->logits[v] = (float)(mix(s->row_hash[row], v + 2) >> 40) * 0x1p-24f;
    return s->logits;
}

static void sim_seq_rm(warm_engine *e, int32_t id, int32_t p0, int32_t p1) {
    sim *s = (sim *)e;
    struct seq *q = &s->seqs[id];
    /* Only ends are ever removed: a hole could not be continued. */
    assert(p1 < 0 || p1 >= q->n);
    while (q->n > p0) give_cell(s, q->cells[--q->n]);
}

static bool sim_can_continue(warm_engine *e, int32_t id, int32_t n) {
    return n <= ((const sim *)e)->seqs[id].n;
}

static int sim_fork(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    sim *s = (sim *)e;
    struct seq *from = &s->seqs[src], *to = &s->seqs[dst];
    (void)complete, (void)err;
    assert(to->n == 0 && n <= from->n);
    for (; to->n < n; to->n++) {
        to->cells[to->n] = from->cells[to->n];
        s->cells[to->cells[to->n]].refs++;
    }
    return 0;
}

static void sim_clear(warm_engine *e, bool data) {
    sim *s = (sim *)e;
    (void)data;
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) sim_seq_rm(e, (int32_t)i, 0, -1);
}

static size_t sim_state_bytes(const warm_engine *e, size_t n) {
    return HEADER_BYTES + n * ((const sim *)e)->o.unit_bytes;
}

static int64_t sim_state_save(warm_engine *e, int32_t id, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    sim *s = (sim *)e;
    const struct seq *q = &s->seqs[id];
    size_t bytes = sim_state_bytes(e, n);
    if (cap < bytes || p0 + (int64_t)n > q->n) return warm_err_set(err, WARM_EINVAL, "no such range");
    spend(s, n * s->o.copy_ns);
    memset(dst, 0, bytes);
    uint32_t header[4] = {state_magic, (uint32_t)n, (uint32_t)p0, 0};
    memcpy(dst, header, sizeof header);
    for (size_t i = 0; i < n; i++) {
        const struct cell *c = &s->cells[q->cells[(size_t)p0 + i]];
        uint8_t *record = (uint8_t *)dst + HEADER_BYTES + i * s->o.unit_bytes;
        memcpy(record, &c->hash, sizeof c->hash);
        memcpy(record + 8, &c->token, sizeof c->token);
    }
    return (int64_t)bytes;
}

static int sim_state_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0,
                          int32_t p1, warm_err *err) {
    sim *s = (sim *)e;
    struct seq *q = &s->seqs[id];
    uint32_t header[4];
    if (bytes != sim_state_bytes(e, n)) return warm_err_set(err, WARM_EENGINE, "wrong size");
    memcpy(header, src, sizeof header);
    if (header[0] != state_magic || header[1] != n || header[2] != (uint32_t)first)
        return warm_err_set(err, WARM_EENGINE, "wrong header");
    assert(q->n == p0 && p0 >= first && p1 <= first + (int32_t)n);
    if (s->info.n_ctx - s->n_used < n) return warm_err_set(err, WARM_EFULL, "no free cells");
    if (++s->n_loads == s->o.load_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    spend(s, n * s->o.copy_ns);
    for (int32_t p = p0; p < p1; p++) {
        const uint8_t *record = (const uint8_t *)src + HEADER_BYTES + (size_t)(p - first) * s->o.unit_bytes;
        uint64_t hash;
        int32_t token;
        memcpy(&hash, record, sizeof hash);
        memcpy(&token, record + 8, sizeof token);
        q->cells[q->n++] = take_cell(s, token, hash);
    }
    return 0;
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
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) free(s->seqs[i].cells);
    free(s->seqs);
    free(s->cells);
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

static int sim_chat_render(warm_engine *e, const char *json, size_t len, warm_chat_prompt *out, warm_err *err) {
    (void)e;
    *out = (warm_chat_prompt){.text = warm_strndup(json, len), .len = len};
    return out->text ? 0 : warm_err_set(err, WARM_ENOMEM, "no memory for the prompt");
}

static const warm_engine_ops engine_ops = {
    .name = "sim",
    .decode = sim_decode,
    .logits = sim_logits,
    .seq_rm = sim_seq_rm,
    .can_continue = sim_can_continue,
    .fork = sim_fork,
    .clear = sim_clear,
    .state_bytes = sim_state_bytes,
    .state_save = sim_state_save,
    .state_load = sim_state_load,
    .seq_range = sim_seq_range,
    .sampler_new = sim_sampler_new,
    .sampler_free = sim_sampler_free,
    .sampler_accept = sim_sampler_accept,
    .sample = sim_sample,
    .close = sim_close,
};

static const warm_text_ops text_ops = {
    .tokenize = sim_tokenize, .token_piece = sim_token_piece, .token_is_eog = sim_token_is_eog, .chat_render = sim_chat_render};

int warm_sim_open(const warm_sim_options *o, warm_engine **out) {
    sim *s = warm_xcalloc(1, sizeof *s);
    s->o = *o;
    if (!s->o.unit_bytes) s->o.unit_bytes = 64;
    if (s->o.unit_bytes < RECORD_MIN) s->o.unit_bytes = RECORD_MIN;
    s->info = (warm_engine_info){.n_ctx = o->n_ctx ? o->n_ctx : 4096,
                                 .n_seq_max = o->n_seq_max ? o->n_seq_max : 8,
                                 .n_batch = o->n_batch ? o->n_batch : 512,
                                 .n_ubatch = o->n_ubatch ? o->n_ubatch : 512,
                                 .n_vocab = o->n_vocab ? o->n_vocab : 257,
                                 .scope = "sim\n",
                                 .model_path = "",
                                 .model_desc = "simulated",
                                 .ftype = "none",
                                 .arch = "sim",
                                 .build = "sim",
                                 .chat_template = "",
                                 .bos_text = "",
                                 .eos_text = "",
                                 .chat_template_caps = "{}",
                                 .bos = -1,
                                 .eos = 0};
    s->info.n_ctx_train = s->info.n_ctx;
    s->info.n_batch_asked = s->info.n_batch;
    bool fim = s->info.n_vocab >= FIM_FIRST + FIM_N;
    int32_t *fim_tokens[FIM_N] = {&s->info.fim_pre, &s->info.fim_suf, &s->info.fim_mid, &s->info.fim_rep, &s->info.fim_sep};
    for (int32_t i = 0; i < FIM_N; i++) *fim_tokens[i] = fim ? FIM_FIRST + i : -1;
    s->cells = warm_xcalloc(s->info.n_ctx, sizeof *s->cells);
    s->seqs = warm_xcalloc(s->info.n_seq_max, sizeof *s->seqs);
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) s->seqs[i].cells = warm_xcalloc(s->info.n_ctx, sizeof(int32_t));
    s->row_hash = warm_xcalloc(s->info.n_batch, sizeof *s->row_hash);
    s->logits = warm_xcalloc(s->info.n_vocab, sizeof *s->logits);
    s->base = (warm_engine){.ops = &engine_ops, .text = &text_ops, .info = &s->info};
    *out = &s->base;
    return 0;
}
