/* SPDX-License-Identifier: MIT
 *
 * sched/marks.h - where the messages of a prompt begin: what is edited, dropped or written anew later is a message. [any] */
#ifndef WARM_SCHED_MARKS_H
#define WARM_SCHED_MARKS_H

#include "warmslot/engine.h"

/* Positions of tokens[0..n), ascending, malloc'ed; *n_out 0 and *out NULL: none is recognised. By what the model's chat template puts before a user's
 * message; where that does not occur, by the look of the text: behind a blank line a tag, or a few words and a colon. WARM_ENOMEM. */
WARM_MUST_USE int warm_marks_find(warm_engine *e, const int32_t *tokens, size_t n, size_t **out, size_t *n_out);

#endif
