/* SPDX-License-Identifier: MIT
 *
 * sched/due.h - at which positions of a prompt its prefill stops, so that it can be resumed there later. Pure functions. [any] */
#ifndef WARM_SCHED_DUE_H
#define WARM_SCHED_DUE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    WARM_DUE_MAX = 16,
    WARM_DUE_GAP = 64 /* units: what is this near to another resume point is not worth one of its own */
};

typedef struct warm_due_input {
    size_t n_prompt;     /* units */
    size_t from;         /* they are computed from here */
    size_t branch;       /* where it leaves everything that is known; others may, too */
    const size_t *marks; /* ascending: where messages begin, as far as that is known */
    size_t n_marks;
} warm_due_input;

typedef struct warm_due {
    size_t at[WARM_DUE_MAX]; /* ascending */
    unsigned n;
} warm_due;

void warm_due_make(const warm_due_input *in, warm_due *out);
/* The first due position behind n, at most end. */
size_t warm_due_next(const warm_due *d, size_t n, size_t end);
bool warm_due_is(const warm_due *d, size_t n);

#endif
