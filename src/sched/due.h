/* SPDX-License-Identifier: MIT
 *
 * sched/due.h - at which positions of a prompt its prefill stops, so that it can be resumed there later. Pure functions. [any] */
#ifndef WARM_SCHED_DUE_H
#define WARM_SCHED_DUE_H

#include <stdbool.h>
#include <stddef.h>

enum { WARM_DUE_MAX = 16, WARM_DUE_GAP_MIN = 64 };

typedef struct warm_due_input {
    size_t n_prompt;     /* units */
    size_t from;         /* they are computed from here */
    size_t branch;       /* where it leaves everything that is known; others may, too */
    const size_t *marks; /* ascending: where messages begin, as far as that is known */
    size_t n_marks;
    size_t gap; /* units: what is nearer than this to another resume point is not worth one of its own */
} warm_due_input;

typedef struct warm_due {
    struct {
        size_t pos;   /* ascending */
        double prior; /* how likely it is to be asked for, before it ever was (warm_cache_snapshot_commit) */
    } at[WARM_DUE_MAX];
    unsigned n;
} warm_due;

void warm_due_make(const warm_due_input *in, warm_due *out);
/* The first due position behind n, at most end. */
size_t warm_due_next(const warm_due *d, size_t n, size_t end);
/* The prior of a due position, 0 of another one. */
double warm_due_prior(const warm_due *d, size_t n);
/* The smallest gap worth a snapshot that takes this long where a unit takes that long to compute; either 0: not measured yet. */
size_t warm_due_gap(double snapshot_ns, double unit_ns);

#endif
