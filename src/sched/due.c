/* SPDX-License-Identifier: MIT
 *
 * sched/due.c - see due.h.
 *
 * Chosen by measurement on the texts of agents (bench/snapshots.js prints what each rule is worth): the end; where a prompt was seen to branch;
 * the last few beginnings of messages, since what is edited, dropped or written anew is a message. They are thinned forward from where the
 * computing starts: of two that are close the earlier one is the better, whatever is changed behind it. Where no message is
 * recognised, distances from the end that grow geometrically. */
#include "sched/due.h"

enum {
    MARKS = 4,  /* as many beginnings of messages */
    BACK = 256, /* the first distance from the end */
    BACK_FACTOR = 4
};

static void add(warm_due *d, const warm_due_input *in, size_t at) {
    if (at <= in->from || at >= in->n_prompt || d->n == WARM_DUE_MAX || warm_due_is(d, at)) return;
    unsigned i = d->n++;
    for (; i && d->at[i - 1] > at; i--) d->at[i] = d->at[i - 1];
    d->at[i] = at;
}

void warm_due_make(const warm_due_input *in, warm_due *out) {
    *out = (warm_due){0};
    /* The same prompt again has to compute one unit, and this state can't step back. */
    add(out, in, in->n_prompt - 1);
    add(out, in, in->branch);
    size_t kept[MARKS], n = 0, before = in->from;
    for (size_t i = 0; i < in->n_marks; i++) {
        size_t at = in->marks[i];
        if (at < before + WARM_DUE_GAP || at >= in->n_prompt - 1) continue;
        before = kept[n++ % MARKS] = at;
    }
    for (size_t i = 0; i < n && i < MARKS; i++) add(out, in, kept[i]);
    if (n) return;
    for (size_t back = BACK; back < in->n_prompt - 1 && out->n < WARM_DUE_MAX; back *= BACK_FACTOR)
        add(out, in, in->n_prompt - 1 - back);
}

size_t warm_due_next(const warm_due *d, size_t n, size_t end) {
    for (unsigned i = 0; i < d->n; i++) {
        if (d->at[i] > n) return d->at[i] < end ? d->at[i] : end;
    }
    return end;
}

bool warm_due_is(const warm_due *d, size_t n) {
    for (unsigned i = 0; i < d->n; i++) {
        if (d->at[i] == n) return true;
    }
    return false;
}
