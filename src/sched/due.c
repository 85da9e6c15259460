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
    MARKS = 4,       /* as many beginnings of messages */
    BACK = 256,      /* the first distance from the end */
    BACK_FACTOR = 4, /* and how it grows */
    COST_SHARE =
        4 /* a beginning of a message is taken up again one time in three or four: it has to save that many times what it costs */
};

static const double prior_end = 1, prior_mark = 0.5, prior_back = 1.0 / 64;

size_t warm_due_gap(double snapshot_ns, double unit_ns) {
    double gap = unit_ns > 0 ? COST_SHARE * snapshot_ns / unit_ns : 0;
    return gap > WARM_DUE_GAP_MIN ? (size_t)gap : WARM_DUE_GAP_MIN;
}

static size_t distance(size_t a, size_t b) {
    return a < b ? b - a : a - b;
}

static void insert(warm_due *d, size_t pos, double prior) {
    if (d->n == WARM_DUE_MAX || warm_due_prior(d, pos) > 0) return;
    unsigned i = d->n++;
    for (; i && d->at[i - 1].pos > pos; i--) d->at[i] = d->at[i - 1];
    d->at[i].pos = pos;
    d->at[i].prior = prior;
}

static void add(warm_due *d, const warm_due_input *in, size_t pos, double prior) {
    if (pos > in->from && pos < in->n_prompt) insert(d, pos, prior);
}

void warm_due_make(const warm_due_input *in, warm_due *out) {
    *out = (warm_due){0};
    /* The same prompt again has to compute one unit, and this state can't step back. */
    size_t end = in->n_prompt - 1, gap = in->gap > WARM_DUE_GAP_MIN ? in->gap : WARM_DUE_GAP_MIN;
    add(out, in, end, prior_end);
    if (in->branch >= in->from + gap) add(out, in, in->branch, prior_end);
    size_t kept[MARKS], n = 0, before = in->from;
    for (size_t i = 0; i < in->n_marks; i++) {
        size_t pos = in->marks[i];
        if (pos < before + gap || distance(pos, in->branch) < gap || pos >= end) continue;
        before = kept[n++ % MARKS] = pos;
    }
    for (size_t i = 0; i < n && i < MARKS; i++) add(out, in, kept[i], prior_mark);
    if (in->n_marks) return;
    for (size_t back = gap > BACK ? gap : BACK; back < end && out->n < WARM_DUE_MAX; back *= BACK_FACTOR) {
        if (distance(end - back, in->branch) >= gap) add(out, in, end - back, prior_back);
    }
}

size_t warm_due_next(const warm_due *d, size_t n, size_t end) {
    for (unsigned i = 0; i < d->n; i++) {
        if (d->at[i].pos > n) return d->at[i].pos < end ? d->at[i].pos : end;
    }
    return end;
}

double warm_due_prior(const warm_due *d, size_t n) {
    for (unsigned i = 0; i < d->n; i++) {
        if (d->at[i].pos == n) return d->at[i].prior;
    }
    return 0;
}
