/* SPDX-License-Identifier: MIT
 *
 * api/params.c - the table of plain fields, defaults, and the way into a task. See params.h.
 *
 * A field is found under its name first, then under its aliases in order; the first that is not null decides. */
#include "api/params.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/params_private.h"
#include "base/alloc.h"

enum kind { K_BOOL, K_INT, K_INT64, K_FLOAT };
enum { HARD = 1, NOT_CHAT = 2 }; /* NOT_CHAT: the chat route gives this name another meaning */

typedef struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    double lo, hi;
    unsigned flags;
} field;

#define P(member) offsetof(warm_params, member)
#define S(member) offsetof(warm_params, sampling.member)
#define ANY       -FLT_MAX, FLT_MAX

/* Several rows with one offset are a name and its aliases, in order. */
static const field fields[] = {
    {"verbose", K_BOOL, P(verbose), 0, 0, 0},
    {"timings_per_token", K_BOOL, P(timings_per_token), 0, 0, 0},
    {"stream", K_BOOL, P(stream), 0, 0, 0},
    {"cache_prompt", K_BOOL, P(cache_prompt), 0, 0, 0},
    {"return_tokens", K_BOOL, P(return_tokens), 0, 0, 0},
    {"return_progress", K_BOOL, P(return_progress), 0, 0, 0},
    {"sse_ping_interval", K_INT, P(sse_ping_interval), -1, INT32_MAX, HARD},
    {"n_predict", K_INT, P(n_predict), -1, INT32_MAX, HARD},
    {"max_completion_tokens", K_INT, P(n_predict), -1, INT32_MAX, HARD},
    {"max_tokens", K_INT, P(n_predict), -1, INT32_MAX, HARD},
    {"n_indent", K_INT, P(n_indent), 0, INT32_MAX, HARD},
    {"n_keep", K_INT, P(n_keep), -1, INT32_MAX, HARD},
    {"n_discard", K_INT, P(n_discard), 0, INT32_MAX, HARD},
    {"n_cmpl", K_INT, P(n_cmpl), 1, INT32_MAX, HARD}, /* and at most the number of slots */
    {"n", K_INT, P(n_cmpl), 1, INT32_MAX, HARD},
    {"n_cache_reuse", K_INT, P(n_cache_reuse), 0, INT32_MAX, HARD},
    {"t_max_predict_ms", K_INT64, P(t_max_predict_ms), -1, INFINITY, HARD},
    {"top_k", K_INT, S(top_k), 0, INT32_MAX, 0},
    {"top_p", K_FLOAT, S(top_p), 0, 1, 0},
    {"min_p", K_FLOAT, S(min_p), 0, 1, 0},
    {"top_n_sigma", K_FLOAT, S(top_n_sigma), ANY, 0},
    {"xtc_probability", K_FLOAT, S(xtc_probability), 0, 1, 0},
    {"xtc_threshold", K_FLOAT, S(xtc_threshold), 0, 1, 0},
    {"typical_p", K_FLOAT, S(typ_p), ANY, 0},
    {"temperature", K_FLOAT, S(temp), 0, FLT_MAX, 0},
    {"dynatemp_range", K_FLOAT, S(dynatemp_range), ANY, 0},
    {"dynatemp_exponent", K_FLOAT, S(dynatemp_exponent), ANY, 0},
    {"repeat_last_n", K_INT, S(penalty_last_n), 0, INT32_MAX, HARD},
    {"repeat_penalty", K_FLOAT, S(penalty_repeat), ANY, 0},
    {"frequency_penalty", K_FLOAT, S(penalty_freq), ANY, 0},
    {"presence_penalty", K_FLOAT, S(penalty_present), ANY, 0},
    {"dry_multiplier", K_FLOAT, S(dry_multiplier), ANY, 0},
    {"dry_base", K_FLOAT, S(dry_base), ANY, 0}, /* below 1: the default */
    {"dry_allowed_length", K_INT, S(dry_allowed_length), 0, INT32_MAX, HARD},
    {"dry_penalty_last_n", K_INT, S(dry_penalty_last_n), 0, INT32_MAX, HARD},
    {"mirostat", K_INT, S(mirostat), 0, 2, 0},
    {"mirostat_tau", K_FLOAT, S(mirostat_tau), ANY, 0},
    {"mirostat_eta", K_FLOAT, S(mirostat_eta), ANY, 0},
    {"adaptive_target", K_FLOAT, S(adaptive_target), -FLT_MAX, 1, 0},
    {"adaptive_decay", K_FLOAT, S(adaptive_decay), 0, 0.99, HARD},
    {"n_probs", K_INT, S(n_probs), 0, INT32_MAX, 0}, /* and at most the vocabulary */
    {"logprobs", K_INT, S(n_probs), 0, INT32_MAX, NOT_CHAT},
    {"min_keep", K_INT, S(min_keep), 0, INT32_MAX, HARD},
    {"post_sampling_probs", K_BOOL, S(post_sampling_probs), 0, 0, 0},
    {"ignore_eos", K_BOOL, S(ignore_eos), 0, 0, 0},
};

static int out_of_range(warm_err *err, const field *f, const char *got) {
    if (isinf(f->hi)) return warm_err_set(err, WARM_EINVAL, "Field '%s': must be at least %g, got %s", f->name, f->lo, got);
    return warm_err_set(err, WARM_EINVAL, "Field '%s': must be between %.10g and %.10g, got %s", f->name, f->lo, f->hi, got);
}

static int read_int(const field *f, warm_jv *v, int64_t *out, warm_err *err) {
    int64_t x;
    if (!warm_jint(v, &x)) {
        bool number = warm_jis(v, json_type_int) || warm_jis(v, json_type_double);
        if (!number) return warm__params_type(err, f->name, "an integer", v);
        return warm_err_set(err, WARM_EINVAL, "Field '%s': expected an integer in range, got %.60s", f->name,
                            json_object_get_string(v));
    }
    if ((double)x < f->lo || (double)x > f->hi) {
        if (f->flags & HARD) return out_of_range(err, f, json_object_get_string(v));
        x = (double)x < f->lo ? (int64_t)f->lo : (int64_t)f->hi;
    }
    *out = x;
    return 0;
}

static int read_float(const field *f, warm_jv *v, float *out, warm_err *err) {
    double x;
    if (!warm_jnum(v, &x)) return warm__params_type(err, f->name, "a number", v);
    if (fabs(x) > (double)FLT_MAX)
        return warm_err_set(err, WARM_EINVAL, "Field '%s': %.60s is too large", f->name, json_object_get_string(v));
    if (x < f->lo || x > f->hi) {
        if (f->flags & HARD) return out_of_range(err, f, json_object_get_string(v));
        x = x < f->lo ? f->lo : f->hi;
    }
    *out = (float)x;
    return 0;
}

static int read_field(const field *f, warm_jv *v, warm_params *p, warm_err *err) {
    char *at = (char *)p + f->offset;
    int64_t x;
    int rc;
    switch (f->kind) {
    case K_BOOL:
        if (!warm_jis(v, json_type_boolean)) return warm__params_type(err, f->name, "a boolean", v);
        *(bool *)(void *)at = json_object_get_boolean(v);
        return 0;
    case K_INT:
        rc = read_int(f, v, &x, err);
        if (!rc) *(int32_t *)(void *)at = (int32_t)x;
        return rc;
    case K_INT64:
        return read_int(f, v, (int64_t *)(void *)at, err);
    case K_FLOAT:
        return read_float(f, v, (float *)(void *)at, err);
    }
    return 0;
}

static int read_fields(warm_params *p, warm_err *err) {
    const size_t n = sizeof fields / sizeof *fields;
    size_t decided = SIZE_MAX; /* offset whose name or alias has been found */
    for (size_t i = 0; i < n; i++) {
        const field *f = &fields[i];
        warm_jv *v = warm_jget(p->root, f->name);
        if (!v || f->offset == decided || ((f->flags & NOT_CHAT) && warm_api_is_chat(p->kind))) continue;
        decided = f->offset;
        int rc = read_field(f, v, p, err);
        if (rc) return rc;
    }
    return 0;
}

static int check_against_scope(const warm_params_scope *s, warm_params *p, warm_err *err) {
    if ((uint32_t)p->n_cmpl > s->n_slots)
        return warm_err_set(err, WARM_EINVAL, "Field '%s': must be between 1 and the number of slots, %u, got %d",
                            warm_jget(p->root, "n_cmpl") ? "n_cmpl" : "n", s->n_slots, p->n_cmpl);
    if (p->sampling.n_probs > 0 && (uint32_t)p->sampling.n_probs > s->engine->info->n_vocab)
        p->sampling.n_probs = (int32_t)s->engine->info->n_vocab;
    if (p->sampling.dry_base < 1.0f) p->sampling.dry_base = s->defaults->sampling.dry_base;
    return 0;
}

/* A tenant has no line break, so whatever the body's salt is, it never makes the salt of another one. */
static int add_tenant(const char *tenant, warm_params *p, warm_err *err) {
    const char *salt = p->salt ? p->salt : "";
    size_t n = strlen(tenant), n_salt = strlen(salt);
    p->own_salt = warm_malloc(n + 1 + n_salt + 1);
    if (!p->own_salt) return warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    memcpy(p->own_salt, tenant, n);
    p->own_salt[n] = '\n';
    memcpy(p->own_salt + n + 1, salt, n_salt + 1);
    p->salt = p->own_salt;
    return 0;
}

int warm_params_parse(const warm_params_scope *s, warm_jv *root_take, warm_params *out, warm_err *err) {
    *out = (warm_params){
        .kind = s->kind == WARM_API_INFILL ? WARM_API_NATIVE : s->kind,
        .cache_prompt = s->defaults->cache_prompt,
        .n_predict = s->defaults->n_predict,
        .n_keep = s->defaults->n_keep,
        .n_cache_reuse = s->defaults->n_cache_reuse,
        .n_cmpl = 1,
        .sse_ping_interval = s->defaults->sse_ping_interval,
        .id_slot = -1,
        .t_max_predict_ms = -1,
        .sampling = s->defaults->sampling,
        .stop = s->defaults->stop,
        .n_stop = s->defaults->n_stop,
        .root = root_take,
    };
    int rc = read_fields(out, err);
    if (!rc) rc = warm__params_special(s, out, err);
    if (!rc) rc = check_against_scope(s, out, err);
    if (!rc && s->tenant) rc = add_tenant(s->tenant, out, err);
    if (rc) warm_params_deinit(out);
    return rc;
}

int warm_params_add_stops(warm_params *p, char *stops_take, size_t n, warm_err *err) {
    const char **all = n ? warm_malloc((p->n_stop + n) * sizeof *all) : NULL;
    if (!all) {
        free(stops_take);
        return n ? warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request") : 0;
    }
    if (p->n_stop) memcpy(all, p->stop, p->n_stop * sizeof *all);
    const char *at = stops_take;
    for (size_t i = 0; i < n; i++, at += strlen(at) + 1) all[p->n_stop + i] = at;
    free(p->own_stop);
    p->own_stop = all;
    p->template_stops = stops_take;
    p->stop = all;
    p->n_stop += n;
    return 0;
}

void warm_params_trim(warm_params *p) {
    static const char *const large[] = {"prompt", "messages", "tools", "input_prefix", "input_suffix", "input_extra"};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) json_object_object_del(p->root, large[i]);
}

void warm_params_deinit(warm_params *p) {
    free(p->own_stop);
    free(p->template_stops);
    free(p->own_salt);
    free(p->response_fields);
    free(p->logit_bias);
    free(p->lora);
    if (p->chat) p->engine->text->chat_free(p->engine, p->chat);
    if (p->root) json_object_put(p->root);
    *p = (warm_params){.kind = p->kind};
}

void warm_params_task(const warm_params *p, warm_task_options *o) {
    *o = (warm_task_options){
        .sampling = p->sampling,
        .n_predict = p->n_predict,
        .t_max_predict_ms = p->t_max_predict_ms > 0 ? p->t_max_predict_ms : 0,
        .n_indent = p->n_indent,
        .n_keep = p->n_keep,
        .n_discard = p->n_discard,
        .n_cache_reuse = p->n_cache_reuse,
        .id_slot = p->id_slot,
        .cache_prompt = p->cache_prompt,
        .return_progress = p->return_progress && p->stream,
        .stop = p->stop,
        .n_stop = p->n_stop,
        .salt = p->salt,
    };
}

static void copy_sampling(const warm_config_sampling *c, warm_sampling *s) {
    s->seed = c->seed;
    s->min_keep = c->min_keep;
    s->top_k = c->top_k;
    s->top_p = c->top_p;
    s->min_p = c->min_p;
    s->top_n_sigma = c->top_n_sigma;
    s->xtc_probability = c->xtc_probability;
    s->xtc_threshold = c->xtc_threshold;
    s->typ_p = c->typ_p;
    s->temp = c->temp;
    s->dynatemp_range = c->dynatemp_range;
    s->dynatemp_exponent = c->dynatemp_exponent;
    s->penalty_last_n = c->penalty_last_n;
    s->penalty_repeat = c->penalty_repeat;
    s->penalty_freq = c->penalty_freq;
    s->penalty_present = c->penalty_present;
    s->dry_multiplier = c->dry_multiplier;
    s->dry_base = c->dry_base;
    s->dry_allowed_length = c->dry_allowed_length;
    s->dry_penalty_last_n = c->dry_penalty_last_n;
    s->adaptive_target = c->adaptive_target;
    s->adaptive_decay = c->adaptive_decay;
    s->mirostat = c->mirostat;
    s->mirostat_tau = c->mirostat_tau;
    s->mirostat_eta = c->mirostat_eta;
    s->ignore_eos = c->ignore_eos;
    s->grammar = c->grammar && *c->grammar ? c->grammar : NULL;
    s->json_schema = s->grammar ? NULL : c->json_schema && *c->json_schema ? c->json_schema : NULL;
}

static int copy_samplers(const warm_config_sampling *c, warm_sampling *s, warm_err *err) {
    bool fits = true;
    if (c->sampler_seq) {
        s->n_samplers = 0;
        fits = warm__samplers_from_letters(s, c->sampler_seq);
    } else if (c->samplers) {
        s->n_samplers = 0;
        for (const char *at = c->samplers; fits;) {
            size_t k = strcspn(at, ";");
            fits = warm__samplers_add(s, at, k);
            if (!at[k]) break;
            at += k + 1;
        }
    }
    return fits ? 0 : warm_err_set(err, WARM_EINVAL, "--samplers: more than %d samplers", WARM_SAMPLERS_MAX);
}

static int copy_lists(const warm_config *c, warm_defaults *d, warm_err *err) {
    const warm_config_sampling *s = &c->sampling;
    d->stop = c->stop;
    d->n_stop = c->n_stop;
    if (s->dry_breakers_given) {
        if (s->n_dry_breakers > WARM_DRY_BREAKERS_MAX)
            return warm_err_set(err, WARM_EINVAL, "--dry-sequence-breaker: more than %d strings", WARM_DRY_BREAKERS_MAX);
        for (size_t i = 0; i < s->n_dry_breakers; i++) d->sampling.dry_breakers[i] = s->dry_breakers[i];
        d->sampling.n_dry_breakers = (int32_t)s->n_dry_breakers;
    }
    if (!s->n_logit_bias) return 0;
    d->logit_bias = warm_xcalloc(s->n_logit_bias, sizeof *d->logit_bias);
    for (size_t i = 0; i < s->n_logit_bias; i++)
        d->logit_bias[i] = (warm_logit_bias){.token = s->logit_bias[i].token, .bias = s->logit_bias[i].bias};
    d->sampling.logit_bias = d->logit_bias;
    d->sampling.n_logit_bias = s->n_logit_bias;
    return 0;
}

int warm_defaults_init(const warm_config *c, warm_defaults *out, warm_err *err) {
    *out = (warm_defaults){.n_predict = c->n_predict,
                           .n_keep = c->n_keep,
                           .n_cache_reuse = c->n_cache_reuse,
                           .sse_ping_interval = c->sse_ping_interval_s,
                           .cache_prompt = c->cache_prompt};
    warm_sampling_default(&out->sampling);
    copy_sampling(&c->sampling, &out->sampling);
    int rc = copy_samplers(&c->sampling, &out->sampling, err);
    if (!rc) rc = copy_lists(c, out, err);
    if (rc) warm_defaults_deinit(out);
    return rc;
}

void warm_defaults_deinit(warm_defaults *d) {
    free(d->logit_bias);
    *d = (warm_defaults){0};
}
