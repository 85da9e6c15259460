/* SPDX-License-Identifier: MIT
 *
 * llama/log_route.h - libllama's and ggml's log lines, as lines of base/log.h.
 *
 * Both write pieces: a line may come in several calls, and "continued" ones have no level of their own. Pieces are joined per
 * thread until the new line. Their INFO is our DEBUG, since it is written for developers of models.
 * Threads: warm__log_route_install once; the rest [any], each thread sees its own capture. */
#ifndef WARM_LLAMA_LOG_ROUTE_H
#define WARM_LLAMA_LOG_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

void warm__log_route_install(void);

/* From here on this thread's error lines are also remembered: *text (cap bytes, NUL-terminated, "" at first) holds the last one that
 * says something. quiet: errors and warnings are expected here and written as debug only. Ends with warm__log_capture_end. */
void warm__log_capture_begin(char *text, size_t cap, bool quiet);
void warm__log_capture_end(void);

#ifdef __cplusplus
}
#endif
#endif
