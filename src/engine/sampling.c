/* SPDX-License-Identifier: MIT
 *
 * engine/sampling.c - the sampling parameters of a request that says nothing: llama-server's defaults. [any] */
#include <string.h>

#include "warmslot/engine.h"

void warm_sampling_default(warm_sampling *s) {
    memset(s, 0, sizeof *s);
    s->seed = UINT32_MAX;
    s->top_k = 40;
    s->top_p = 0.95f;
    s->min_p = 0.05f;
    s->top_n_sigma = -1.0f;
    s->xtc_threshold = 0.1f;
    s->typ_p = 1.0f;
    s->temp = 0.8f;
    s->dynatemp_exponent = 1.0f;
    s->penalty_last_n = 64;
    s->penalty_repeat = 1.0f;
    s->dry_base = 1.75f;
    s->dry_allowed_length = 2;
    s->dry_penalty_last_n = 64;
    s->n_dry_breakers = -1;
    s->adaptive_target = -1.0f;
    s->adaptive_decay = 0.9f;
    s->mirostat_tau = 5.0f;
    s->mirostat_eta = 0.1f;
    s->n_samplers = -1;
}
