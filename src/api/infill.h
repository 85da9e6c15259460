/* SPDX-License-Identifier: MIT
 *
 * api/infill.h - the prompt of /infill: what is to be filled in between two texts, as the tokens that code models are trained with.
 *
 *     [REP]myproject\n  ([SEP]filename\n chunk)...  [SEP]filename\n  [BOS][PRE]prefix prompt[SUF]suffix[MID]
 *
 * or, with --spm-infill, [BOS][SUF]suffix[PRE]prefix prompt[MID]. Token for token llama-server's: the prefix is the end of what was given,
 * at most three quarters of a batch, the suffix its beginning, at most the rest of it, and the end of the chunks fills the context; a
 * model without [SEP] gets a line between chunks, one without [REP] no name of a project.
 * Threads: [any]. */
#ifndef WARM_API_INFILL_H
#define WARM_API_INFILL_H

#include "api/params.h"
#include "api/prompt.h"

/* WARM_ENOTSUP names the tokens that the model does not have. */
WARM_MUST_USE int warm_infill_check(const warm_engine *e, warm_err *err);
/* Reads input_prefix, input_suffix, input_extra and prompt. The model has the tokens. */
WARM_MUST_USE int warm_infill_read(const warm_params_scope *s, warm_jv *root, warm_tokens *out, warm_err *err);

#endif
