/* SPDX-License-Identifier: MIT
 *
 * api/format_common.c - timings, settings, probabilities, and the choice between the dialects. See format.h. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/format_private.h"
#include "api/prompt.h"

void warm__sse_begin(warm_buf *out, warm_json *j) {
    warm_buf_puts(out, "data: ");
    warm_json_init(j, out);
}

void warm__sse_end(warm_buf *out) {
    warm_buf_puts(out, "\n\n");
}

size_t warm__cached(const warm_task_timings *t) {
    return t->n_device + t->n_ram + t->n_disk;
}

void warm__write_progress(warm_json *j, const warm_task_timings *t) {
    warm_json_obj(j);
    warm_json_kuint(j, "total", t->n_prompt);
    warm_json_kuint(j, "cache", warm__cached(t));
    warm_json_kuint(j, "processed", warm__cached(t) + t->n_computed);
    warm_json_kint(j, "time_ms", (int64_t)t->prompt_ms);
    warm_json_obj_end(j);
}

static double ratio(double a, double b) {
    return b > 0 ? a / b : 0;
}

void warm_format_timings(warm_json *j, const warm_task_timings *t) {
    /* The first token comes out of the prompt's last batch, so n tokens are n - 1 steps of generation. */
    double steps = t->n_predicted > 0 ? (double)(t->n_predicted - 1) : 0;
    warm_json_obj(j);
    warm_json_kuint(j, "cache_n", warm__cached(t));
    warm_json_kuint(j, "prompt_n", t->n_computed);
    warm_json_kdouble(j, "prompt_ms", t->prompt_ms);
    warm_json_kdouble(j, "prompt_per_token_ms", ratio(t->prompt_ms, (double)t->n_computed));
    warm_json_kdouble(j, "prompt_per_second", ratio(1e3 * (double)t->n_computed, t->prompt_ms));
    warm_json_kuint(j, "predicted_n", t->n_predicted);
    warm_json_kdouble(j, "predicted_ms", t->predicted_ms);
    warm_json_kdouble(j, "predicted_per_token_ms", ratio(t->predicted_ms, steps));
    warm_json_kdouble(j, "predicted_per_second", ratio(1e3 * steps, t->predicted_ms));
    warm_json_key(j, "cache");
    warm_json_obj(j);
    warm_json_kuint(j, "device", t->n_device);
    if (t->n_shifted) warm_json_kuint(j, "shifted", t->n_shifted);
    warm_json_kuint(j, "ram", t->n_ram);
    if (t->n_disk) warm_json_kuint(j, "disk", t->n_disk);
    warm_json_kuint(j, "computed", t->n_computed);
    warm_json_kdouble(j, "load_ms", t->load_ms);
    warm_json_kdouble(j, "wait_ms", t->wait_ms);
    warm_json_obj_end(j);
    warm_json_obj_end(j);
}

static void write_strings(warm_json *j, const char *key, const char *const *v, size_t n) {
    warm_json_key(j, key);
    warm_json_arr(j);
    for (size_t i = 0; i < n; i++) warm_json_str(j, v[i]);
    warm_json_arr_end(j);
}

static void empty_array(warm_json *j, const char *key) {
    write_strings(j, key, NULL, 0);
}

static void write_bias(warm_json *j, const warm_sampling *s) {
    warm_json_key(j, "logit_bias");
    warm_json_arr(j);
    for (size_t i = 0; i < s->n_logit_bias; i++) {
        warm_json_obj(j);
        warm_json_kfloat(j, "bias", s->logit_bias[i].bias);
        warm_json_kint(j, "token", s->logit_bias[i].token);
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

static void write_sampling(warm_json *j, const warm_sampling *s) {
    warm_json_kfloat(j, "temperature", s->temp);
    warm_json_kfloat(j, "dynatemp_range", s->dynatemp_range);
    warm_json_kfloat(j, "dynatemp_exponent", s->dynatemp_exponent);
    warm_json_kint(j, "top_k", s->top_k);
    warm_json_kfloat(j, "top_p", s->top_p);
    warm_json_kfloat(j, "min_p", s->min_p);
    warm_json_kfloat(j, "top_n_sigma", s->top_n_sigma);
    warm_json_kfloat(j, "xtc_probability", s->xtc_probability);
    warm_json_kfloat(j, "xtc_threshold", s->xtc_threshold);
    warm_json_kfloat(j, "typical_p", s->typ_p);
    warm_json_kint(j, "repeat_last_n", s->penalty_last_n);
    warm_json_kfloat(j, "repeat_penalty", s->penalty_repeat);
    warm_json_kfloat(j, "presence_penalty", s->penalty_present);
    warm_json_kfloat(j, "frequency_penalty", s->penalty_freq);
    warm_json_kfloat(j, "dry_multiplier", s->dry_multiplier);
    warm_json_kfloat(j, "dry_base", s->dry_base);
    warm_json_kint(j, "dry_allowed_length", s->dry_allowed_length);
    warm_json_kint(j, "dry_penalty_last_n", s->dry_penalty_last_n);
    warm_json_kint(j, "mirostat", s->mirostat);
    warm_json_kfloat(j, "mirostat_tau", s->mirostat_tau);
    warm_json_kfloat(j, "mirostat_eta", s->mirostat_eta);
    warm_json_kfloat(j, "adaptive_target", s->adaptive_target);
    warm_json_kfloat(j, "adaptive_decay", s->adaptive_decay);
}

/* What /props and /slots leave out. */
static void write_long_settings(warm_json *j, const warm_params *p) {
    const warm_sampling *s = &p->sampling;
    if (s->n_dry_breakers < 0)
        write_strings(j, "dry_sequence_breakers", warm_dry_breakers_default, warm_n_dry_breakers_default);
    else
        write_strings(j, "dry_sequence_breakers", s->dry_breakers, (size_t)s->n_dry_breakers);
    write_strings(j, "stop", p->stop, p->n_stop);
    write_bias(j, s);
    warm_json_kstr(j, "grammar", s->grammar ? s->grammar : "");
    if (s->json_schema) warm_json_kstr(j, "json_schema", s->json_schema);
    warm_json_kbool(j, "grammar_lazy", false);
    empty_array(j, "grammar_triggers");
    empty_array(j, "preserved_tokens");
}

/* What the request asked for; what holds otherwise is at GET /lora-adapters. */
static void write_lora(warm_json *j, const warm_params *p) {
    warm_json_key(j, "lora");
    warm_json_arr(j);
    for (size_t i = 0; i < p->n_lora; i++) {
        warm_json_obj(j);
        warm_json_kuint(j, "id", p->lora[i].id);
        warm_json_kfloat(j, "scale", p->lora[i].scale);
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

void warm_format_settings(warm_json *j, const warm_params *p, uint32_t seed, bool brief) {
    const warm_sampling *s = &p->sampling;
    warm_json_obj(j);
    warm_json_kuint(j, "seed", seed);
    write_sampling(j, s);
    warm_json_kint(j, "max_tokens", p->n_predict);
    warm_json_kint(j, "n_predict", p->n_predict);
    warm_json_kint(j, "n_keep", p->n_keep);
    warm_json_kint(j, "n_discard", p->n_discard);
    warm_json_kbool(j, "ignore_eos", s->ignore_eos);
    warm_json_kbool(j, "stream", p->stream);
    warm_json_kint(j, "n_probs", s->n_probs);
    warm_json_kint(j, "min_keep", s->min_keep);
    if (!brief) write_long_settings(j, p);
    warm_json_kstr(j, "chat_format", "Content-only");
    warm_json_kstr(j, "reasoning_format", "none");
    warm_json_kbool(j, "reasoning_in_content", false);
    warm_json_kstr(j, "generation_prompt", "");
    if (s->n_samplers < 0)
        write_strings(j, "samplers", warm_sampler_names_default, warm_n_sampler_names_default);
    else
        write_strings(j, "samplers", s->samplers, (size_t)s->n_samplers);
    warm_json_kstr(j, "speculative.types", "none");
    warm_json_kbool(j, "timings_per_token", p->timings_per_token);
    warm_json_kbool(j, "post_sampling_probs", s->post_sampling_probs);
    warm_json_kbool(j, "backend_sampling", false);
    write_lora(j, p);
    warm_json_obj_end(j);
}

/* Members of one token, without the brackets. scratch is reused from token to token. */
static void write_prob(warm_json *j, const warm_reply *r, const warm_token_prob *t, warm_buf *scratch) {
    bool post = r->params->sampling.post_sampling_probs;
    warm_buf_clear(scratch);
    warm_token_text(r->engine, t->token, false, scratch);
    if (warm_buf_err(scratch)) warm_buf_fail(j->buf, warm_buf_err(scratch));
    warm_json_kint(j, "id", t->token);
    warm_json_key(j, "token");
    const char *text = scratch->data ? scratch->data : "";
    warm_json_strn(j, text, scratch->len);
    warm_json_key(j, "bytes");
    warm_json_arr(j);
    for (size_t i = 0; i < scratch->len; i++) warm_json_uint(j, (unsigned char)text[i]);
    warm_json_arr_end(j);
    /* A logarithm of zero has no JSON; the lowest float stands for it, as in llama-server. */
    warm_json_kfloat(j, post ? "prob" : "logprob", isfinite(t->p) ? t->p : -FLT_MAX);
}

bool warm__has_probs(const warm_reply *r, const warm_event *ev) {
    return r->params->sampling.n_probs > 0 && ev->probs && ev->n_tokens;
}

void warm__write_probs(warm_json *j, const warm_reply *r, const warm_token_prob *probs, const warm_token_prob *top, size_t n,
                       size_t n_top) {
    bool post = r->params->sampling.post_sampling_probs;
    warm_buf scratch;
    warm_buf_init(&scratch, 1 << 20);
    warm_json_arr(j);
    for (size_t i = 0; i < n; i++) {
        warm_json_obj(j);
        write_prob(j, r, &probs[i], &scratch);
        warm_json_key(j, post ? "top_probs" : "top_logprobs");
        warm_json_arr(j);
        for (size_t k = 0; k < n_top; k++) {
            const warm_token_prob *t = &top[i * n_top + k];
            if (t->token < 0 || (post && t->p == 0.0f)) break;
            warm_json_obj(j);
            write_prob(j, r, t, &scratch);
            warm_json_obj_end(j);
        }
        warm_json_arr_end(j);
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
    warm_buf_free(&scratch);
}

size_t warm__n_shown_probs(const warm_reply *r, const warm_answer *a) {
    if (!a->probs) return 0;
    const char *word = a->end->stop == WARM_STOP_WORD ? a->end->stop_word : NULL;
    if (!word) return a->n_tokens;
    size_t n = 0;
    int32_t *tokens = NULL;
    if (r->engine->text->tokenize(r->engine, word, strlen(word), false, false, &tokens, &n, NULL)) n = 0;
    free(tokens);
    return n < a->n_tokens ? a->n_tokens - n : 0;
}

void warm__open_event(warm_json *j, warm_buf *out, const char *type) {
    warm_buf_printf(out, "event: %s\n", type);
    warm__sse_begin(out, j);
    warm_json_obj(j);
    warm_json_kstr(j, "type", type);
}

void warm__close_event(warm_json *j, warm_buf *out) {
    warm_json_obj_end(j);
    warm__sse_end(out);
}

/* How the answers of each kind are written. */
static const struct {
    void (*stream)(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out);
    void (*whole)(const warm_reply *r, warm_buf *out);
} formats[] = {
    [WARM_API_NATIVE] = {warm__native_stream, warm__native_whole},
    [WARM_API_TEXT] = {warm__text_stream, warm__text_whole},
    [WARM_API_CHAT] = {warm__chat_stream, warm__chat_whole},
    [WARM_API_RESPONSES] = {warm__responses_stream, warm__responses_whole},
    [WARM_API_ANTHROPIC] = {warm__anthropic_stream, warm__anthropic_whole},
};

void warm_format_stream(const warm_reply *r, size_t i, const warm_event *ev, warm_buf *out) {
    bool chat = warm_api_is_chat(r->params->kind) && ev->type != WARM_EV_PROGRESS;
    int rc = chat ? warm_answer_read(&r->answers[i], r->params, ev) : 0;
    if (rc)
        warm_buf_fail(out, rc);
    else
        formats[r->params->kind].stream(r, i, ev, out);
}

void warm_format_stream_end(const warm_reply *r, warm_buf *out) {
    if (r->params->kind == WARM_API_CHAT) warm__chat_stream_end(r, out);
    if (r->params->kind == WARM_API_TEXT) warm_buf_puts(out, "data: [DONE]\n\n");
}

void warm_format_stream_error(const warm_reply *r, const warm_failure *f, warm_buf *out) {
    bool anthropic = r->params->kind == WARM_API_ANTHROPIC;
    warm_json j;
    if (anthropic) warm_buf_puts(out, "event: error\n");
    warm__sse_begin(out, &j);
    warm_failure_write(&j, f, anthropic ? "error" : NULL);
    warm__sse_end(out);
}

void warm_format_whole(const warm_reply *r, warm_buf *out) {
    for (size_t i = 0; warm_api_is_chat(r->params->kind) && i < r->n_answers; i++) {
        warm_answer *a = &r->answers[i];
        int rc = warm_message_read(&a->message, r->params->engine, r->params->chat, a->text.data, a->text.len, false);
        if (rc) warm_buf_fail(out, rc);
        if (rc) return;
    }
    formats[r->params->kind].whole(r, out);
}
