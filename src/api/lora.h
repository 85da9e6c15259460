/* SPDX-License-Identifier: MIT
 *
 * api/lora.h - a list of adapters with scales, as requests and POST /lora-adapters write it: [{"id": 0, "scale": 0.5}, ...].
 *
 * An adapter that a list does not name has the scale 0, and a scale that is not given is 0, as in llama-server. An id that no adapter has is
 * an error.
 * Threads: [any]. */
#ifndef WARM_API_LORA_H
#define WARM_API_LORA_H

#include "api/json_read.h"
#include "warmslot/engine.h"

typedef struct warm_lora {
    uint32_t id; /* index into the engine's adapters */
    float scale;
} warm_lora;

/* *out has each id once (the last entry with it counts), in order; to be freed, NULL for an empty list. name: of v, for errors. */
WARM_MUST_USE int warm_lora_read(const warm_engine_info *info, const char *name, warm_jv *v, warm_lora **out, size_t *n,
                                 warm_err *err);

/* The scales of all adapters, info->n_adapters of them. */
void warm_lora_spread(const warm_engine_info *info, const warm_lora *list, size_t n, float *scale);

#endif
