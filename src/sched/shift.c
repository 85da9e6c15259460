/* SPDX-License-Identifier: MIT
 *
 * sched/shift.c - units are taken out of the middle of a sequence, and what follows moves down to close the gap.
 *
 * Done where llama-server does it, by its rules: when an answer has filled the context (--context-shift), and to keep text that stands
 * further on in a resident than in a new prompt (--cache-reuse). What was moved was computed behind units that are gone: it is an approximation,
 * and so is everything computed behind it. warm_seq.n_exact says where that begins, and nothing from there on is matched, saved or shared, so
 * that no request ever gets it that did not ask for it.
 * Moving a cell moves it for all who share it, so a sequence has those to itself first: residents are saved and go. Where a running one shares
 * them, nothing is moved. What a gap takes away is saved before, where it was exact. */
#include <string.h>

#include "base/log.h"
#include "base/min.h"
#include "sched/sched_internal.h"

/* llama-server keeps at most all but as many. */
enum { ROOM_MIN = 4 };

static bool owns(const warm_sched *s, const warm_seq *q, size_t from) {
    return warm_pool_exclusive(&s->pool, q->cells + from, q->n - from) == q->n - from;
}

/* Makes the cells from `from` on its own, if it can. Sequences share what they begin with, so who shares any of them shares the first. */
static bool make_own(warm_sched *s, const warm_seq *q, size_t from) {
    for (uint32_t i = 0; i < s->n_seqs && !owns(s, q, from); i++) {
        warm_seq *o = &s->seqs[i];
        if (!o->in_use || o->slot || o->n <= from || o->cells[from] != q->cells[from]) continue;
        warm__save_all(s, o);
        warm__seq_drop(s, o);
    }
    return owns(s, q, from);
}

/* Puts what is exact into the tree as if nobody ran it: its rest, too. */
static void save_exact(warm_sched *s, warm_seq *q) {
    warm_slot *sl = q->slot;
    q->slot = NULL;
    q->saved = false;
    warm__save_all(s, q);
    q->slot = sl;
}

static int close_gap(warm_sched *s, warm_seq *q, size_t p0, size_t p1, warm_err *err) {
    int rc = s->e->ops->shift(s->e, q->id, (int32_t)p0, (int32_t)p1, err);
    if (rc) return rc;
    warm_pool_give(&s->pool, q->cells + p0, p1 - p0);
    memmove(q->cells + p0, q->cells + p1, (q->n - p1) * sizeof *q->cells);
    memmove(q->units + p0, q->units + p1, (q->n_want - p1) * sizeof *q->units);
    q->n -= p1 - p0;
    q->n_want -= p1 - p0;
    q->n_exact = warm_min_size(q->n_exact, p0);
    return 0;
}

bool warm__shift_due(const warm_sched *s, const warm_slot *sl) {
    return s->o.context_shift && s->info->can_shift && sl->state == WARM_SLOT_GENERATING && sl->seq->n + 1 >= s->info->n_ctx;
}

int warm__shift_context(warm_sched *s, warm_slot *sl, warm_err *err) {
    const warm_task *t = sl->task;
    warm_seq *q = sl->seq;
    size_t most = s->info->n_ctx > ROOM_MIN ? s->info->n_ctx - ROOM_MIN : 0;
    size_t keep = warm_min_size((t->n_keep < 0 ? t->n_prompt : (size_t)t->n_keep) + s->info->add_bos, most);
    size_t left = q->n - keep;
    if (left < 2) return WARM_ENOTFOUND;
    size_t discard = t->n_discard > 0 ? warm_min_size((size_t)t->n_discard, left - 1) : left / 2;
    if (!make_own(s, q, keep + discard)) return WARM_ENOTFOUND;
    save_exact(s, q);
    int rc = close_gap(s, q, keep, keep + discard, err);
    if (rc) return rc;
    q->due = (warm_due){0};
    sl->truncated = true;
    warm_log_info("sched", "task=%llu slot=%d shifted: %zu units kept, %zu discarded, %zu moved", (unsigned long long)t->id, sl->id,
                  keep, discard, q->n - keep);
    return 0;
}

/* llama-server's search: behind what both begin with, each run of at least `least` units that the prompt has next and the sequence has
 * further on. move: closes the gap before each. *end: where the last one ends in the prompt. */
static int walk(warm_sched *s, warm_seq *q, const warm_unit *units, size_t n, size_t least, bool move, size_t *end) {
    size_t at = warm__seq_match(q, units, n), from = at;
    warm_err err = {0};
    while (from < q->n && at < n) {
        size_t most = warm_min_size(q->n - from, n - at), run = 0;
        while (run < most && q->units[from + run] == units[at + run]) run++;
        if (run < least) {
            from++;
            continue;
        }
        if (move && from > at) {
            int rc = close_gap(s, q, at, from, &err);
            if (rc) {
                warm_log_error("sched", "moving %zu units failed: %s", run, err.text);
                return rc;
            }
            from = at;
        }
        from += run;
        at += run;
    }
    *end = warm_min_size(at, n - 1); /* the last one is computed for its logits */
    return 0;
}

/* Of kinds with snapshots nothing can be cut off behind what is kept; where a window is needed, all of its rows have to be there. */
static bool can_reuse(warm_sched *s, const warm_seq *q, size_t match) {
    if (s->info->state == WARM_STATE_RANGES) return true;
    return s->info->state == WARM_STATE_WINDOW && q->n > 2 && s->e->ops->can_continue(s->e, q->id, match > 2 ? (int32_t)match : 2);
}

warm_seq *warm__reuse_find(warm_sched *s, const warm_task *t, const warm_unit *units, size_t n, size_t *n_reused) {
    warm_seq *best = NULL;
    if (t->n_cache_reuse <= 0 || !t->cache_prompt || !s->info->can_shift) return NULL;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (q->slot || q->held || !warm__seq_serves(q, t->fingerprint)) continue;
        size_t end, match = warm__seq_match(q, units, n);
        if (walk(s, q, units, n, (size_t)t->n_cache_reuse, false, &end) || end <= *n_reused) continue;
        if (!owns(s, q, match) || !can_reuse(s, q, match)) continue;
        best = q;
        *n_reused = end;
    }
    return best;
}

int warm__reuse_move(warm_sched *s, warm_seq *q, const warm_task *t, const warm_unit *units, size_t n) {
    size_t end;
    if (!warm__save_before_use(s, q, false)) return WARM_EAGAIN;
    int rc = walk(s, q, units, n, (size_t)t->n_cache_reuse, true, &end);
    if (rc) {
        warm__seq_drop(s, q);
        return WARM_EENGINE;
    }
    s->e->ops->seq_rm(s->e, q->id, (int32_t)end, -1);
    warm_pool_give(&s->pool, q->cells + end, q->n - end);
    q->n = q->n_want = end;
    return 0;
}
