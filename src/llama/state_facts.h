/* SPDX-License-Identifier: MIT
 *
 * llama/state_facts.h - from what was seen of a model's state to what may be done with it.
 *
 * Every kind but "whole" must be earned: by bytes that are understood, by behaviour that was measured on the context itself, and
 * by metadata that says the same. What nobody has thought of contradicts one of them and is saved whole: slower, never wrong.
 * Pure functions. [any] */
#ifndef WARM_LLAMA_STATE_FACTS_H
#define WARM_LLAMA_STATE_FACTS_H

#include "llama/blob_layout.h"
#include "warmslot/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct warm__state_facts {
    /* bytes */
    unsigned n_sections; /* 0: not understood */
    enum warm__blob_kind section[WARM__BLOB_SECTIONS_MAX];
    bool partial_is_rest; /* a partial state is all sections behind the first one (the only one, where it is recurrent) */
    /* behaviour */
    bool strips;      /* the cells of any range can be had without what rides along, and have the size that was foretold */
    bool keeps_cells; /* the first cache keeps cells at any distance */
    bool keeps_rows;  /* the second one keeps exactly n_swa units */
    /* metadata */
    bool recurrent, hybrid;
    int32_t n_swa;
} warm__state_facts;

/* *why: what speaks against more than the result, or NULL. */
enum warm_state_kind warm__state_kind_of(const warm__state_facts *f, const char **why);

#ifdef __cplusplus
}
#endif
#endif
