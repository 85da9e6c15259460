/* SPDX-License-Identifier: MIT
 *
 * sched/output.h - turns generated tokens into text that is certain: whole UTF-8, nothing that may become a stop string, and no line
 * whose indentation may still end the task.
 *
 * Text is held back only while it may be taken away again. Pure but for memory. Threads: one owner. */
#ifndef WARM_SCHED_OUTPUT_H
#define WARM_SCHED_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

typedef struct warm_output {
    char **stop; /* borrowed */
    size_t n_stop;
    int n_indent;   /* 0 = off */
    warm_buf held;  /* made, not yet certain */
    size_t certain; /* the first bytes of held that may be given out */
    bool has_new_line;
    bool line_open_; /* n_indent: the indentation of the current line is not known yet */
    size_t line_at_, indent_;
} warm_output;

enum warm_output_end { WARM_OUTPUT_GOES_ON, WARM_OUTPUT_STOP_WORD, WARM_OUTPUT_INDENT };

void warm_output_init(warm_output *o, char **stop, size_t n_stop, int n_indent, size_t max_bytes);
void warm_output_deinit(warm_output *o);
/* Adds a token's bytes. At a stop string, held ends before it and *word is its index; at an indentation, held ends before that line. */
enum warm_output_end warm_output_add(warm_output *o, const char *piece, size_t n, size_t *word);
/* Everything that is held becomes certain: generation has ended. */
void warm_output_finish(warm_output *o);
/* Gives the certain bytes away (malloc'ed, NUL-terminated). */
char *warm_output_take(warm_output *o, size_t *len);

#endif
