/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_completion.c - any body on any of the four completion routes is read into values within their limits, or refused with
 * a message. */
#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "config/config.h"
#include "sim/sim.h"

enum { SLOTS = 4 };

static warm_engine *engine;
static warm_config config;
static warm_defaults defaults;

static void check(const warm_params *p, const warm_prompts *prompts) {
    const warm_sampling *s = &p->sampling;
    int32_t n_vocab = (int32_t)engine->info->n_vocab;
    if (p->n_predict < -1 || p->n_cmpl < 1 || p->n_cmpl > SLOTS || p->id_slot < -1 || p->id_slot >= SLOTS) abort();
    if (s->top_k < 0 || !(s->top_p >= 0 && s->top_p <= 1) || !(s->temp >= 0) || s->n_probs < 0 || s->n_probs > n_vocab) abort();
    if (s->n_samplers > WARM_SAMPLERS_MAX || s->n_dry_breakers > WARM_DRY_BREAKERS_MAX || (s->grammar && s->json_schema)) abort();
    for (size_t i = 0; i < s->n_logit_bias; i++)
        if (s->logit_bias[i].token < 0 || s->logit_bias[i].token >= n_vocab) abort();
    for (size_t i = 0; i < p->n_stop; i++)
        if (!p->stop[i][0]) abort();
    if (prompts->n < 1 || prompts->n > WARM_PROMPTS_MAX) abort();
    for (size_t i = 0; i < prompts->n; i++) {
        if (!prompts->v[i].n) abort();
        for (size_t k = 0; k < prompts->v[i].n; k++)
            if (prompts->v[i].v[k] < 0 || prompts->v[i].v[k] >= n_vocab) abort();
    }
}

static void parse(enum warm_api_kind kind, const char *body, size_t len) {
    const warm_params_scope scope = {
        .defaults = &defaults, .engine = engine, .n_slots = SLOTS, .kind = kind, .slot_n_ctx = engine->info->n_ctx};
    warm_params params;
    warm_prompts prompts = {0};
    warm_err err = {0};
    if (warm_parse_completion(&scope, body, len, &params, &prompts, &err)) {
        if (!err.text[0]) abort();
        return;
    }
    check(&params, &prompts);
    warm_params_trim(&params);
    warm_task_options o;
    warm_params_task(&params, &o);
    for (size_t i = 0; i < o.n_stop; i++)
        if (!strlen(o.stop[i])) abort();
    warm_prompts_free(&prompts);
    warm_params_deinit(&params);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char *args[] = {"warmslot"}, *env[] = {NULL};
    (void)argc, (void)argv;
    if (warm_sim_open(&(warm_sim_options){.n_vocab = 262}, &engine) || warm_config_parse(1, args, env, &config, NULL) ||
        warm_defaults_init(&config, &defaults, NULL))
        abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *body = malloc(size + 1);
    if (!body) abort();
    memcpy(body, data, size);
    body[size] = '\0';
    parse(WARM_API_NATIVE, body, size);
    parse(WARM_API_TEXT, body, size);
    parse(WARM_API_CHAT, body, size);
    parse(WARM_API_INFILL, body, size);
    free(body);
    return 0;
}
