/* SPDX-License-Identifier: MIT
 *
 * api/params.h - what a completion request asks for: the body's fields, checked against one table, as values.
 *
 * Names, aliases, defaults and limits are llama-server's. A limit is either soft (the value is moved to it, as there) or hard (an
 * error). null is the same as absent, unknown fields are ignored. What is malformed is WARM_EINVAL, what this server can't do yet is
 * WARM_ENOTSUP; both messages name the field.
 * Threads: [any]; a warm_params is read-only once parsed. */
#ifndef WARM_API_PARAMS_H
#define WARM_API_PARAMS_H

#include "api/json_read.h"
#include "api/lora.h"
#include "config/config.h"
#include "sched/task.h"
#include "warmslot/engine.h"

/* /completion, /v1/completions, /v1/chat/completions, /v1/responses, /v1/messages, /infill; the last differs from the first in how its
 * prompt is made only, and the two before it are chats in other words. */
enum warm_api_kind { WARM_API_NATIVE, WARM_API_TEXT, WARM_API_CHAT, WARM_API_RESPONSES, WARM_API_ANTHROPIC, WARM_API_INFILL };
static inline bool warm_api_is_chat(enum warm_api_kind k) {
    return k == WARM_API_CHAT || k == WARM_API_RESPONSES || k == WARM_API_ANTHROPIC;
}

/* What holds when a request does not say: the server's own options. */
typedef struct warm_defaults {
    warm_sampling sampling;
    int32_t n_predict, n_keep, n_cache_reuse, sse_ping_interval;
    bool cache_prompt;
    const char *const *stop;
    size_t n_stop;
    warm_logit_bias *logit_bias; /* owned */
} warm_defaults;

/* Strings are borrowed from the configuration. WARM_EINVAL names the option. */
WARM_MUST_USE int warm_defaults_init(const warm_config *c, warm_defaults *out, warm_err *err);
void warm_defaults_deinit(warm_defaults *d);

typedef struct warm_params_scope {
    const warm_defaults *defaults;
    warm_engine *engine; /* for logit_bias given as text, and the vocabulary's size */
    uint32_t n_slots;
    enum warm_api_kind kind;
    uint32_t slot_n_ctx; /* infill: the context that a prompt is made for */
    bool spm_infill;     /* infill: the suffix stands first */
    const char *tenant;  /* state is shared only with requests of the same one, without a line break; NULL: there are none */
} warm_params_scope;

typedef struct warm_params {
    enum warm_api_kind kind; /* that of the answer: never WARM_API_INFILL */
    bool stream, include_usage, cache_prompt, return_tokens, return_progress, timings_per_token, verbose;
    bool continues;     /* chat: the client has the beginning of the answer, a stream does not repeat it */
    bool cache_control; /* the request marks parts of its prompt as to be kept */
    int32_t n_predict, n_indent, n_keep, n_discard, n_cmpl, n_cache_reuse, sse_ping_interval, id_slot;
    int64_t t_max_predict_ms;
    warm_sampling sampling;
    const char *const *stop; /* the body's, or the server's own; and the chat template's */
    const char **response_fields;
    size_t n_stop, n_response_fields;
    const char *salt; /* the tenant and the body's; NULL: neither */
    warm_lora *lora;  /* owned; which adapters the request asks for, NULL: it does not say */
    size_t n_lora;
    warm_jv *root;               /* the body: owns every string above */
    const char **own_stop;       /* the array behind stop, if it is not the server's */
    char *template_stops;        /* strings of it */
    char *own_salt;              /* what salt is where there is a tenant */
    warm_chat *chat;             /* how answers are read; NULL: they are text */
    warm_engine *engine;         /* that chat is of */
    warm_logit_bias *logit_bias; /* the same */
} warm_params;

/* Takes root, also on failure. On success *out is given back with warm_params_deinit. */
WARM_MUST_USE int warm_params_parse(const warm_params_scope *s, warm_jv *root_take, warm_params *out, warm_err *err);
/* Adds the chat template's stop strings, n of them, each with its NUL. Takes them, also on failure. */
WARM_MUST_USE int warm_params_add_stops(warm_params *p, char *stops_take, size_t n, warm_err *err);
/* Forgets the members of the body that only the prompt was made from: they may be large, and the request may run for long. */
void warm_params_trim(warm_params *p);
void warm_params_deinit(warm_params *p);

/* All of *o but tokens, scales, emit and ud; borrowed from p. */
void warm_params_task(const warm_params *p, warm_task_options *o);

/* The default order of samplers and the default sequence breakers, for showing them. */
extern const char *const warm_sampler_names_default[];
extern const size_t warm_n_sampler_names_default;
extern const char *const warm_dry_breakers_default[];
extern const size_t warm_n_dry_breakers_default;

#endif
