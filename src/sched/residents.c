/* SPDX-License-Identifier: MIT
 *
 * sched/residents.c - which idle conversations leave the context because their cells slow the others.
 *
 * Every step walks all cells in use, masked or not. A resident is dropped when what its cells have cost since it went idle, and will cost while
 * what is running now goes on, exceeds the time to load it. Of the past: having no better guess of when it will be asked for than "as long from
 * now as it has been idle", that is the point where waiting stops paying. Of what is ahead: it has to be known before it begins, because cells
 * that are given back below those of a running sequence are walked all the same.
 *
 * What a cell costs is fitted from the steps (rates.h). Until they have shown it, it is assumed: a decode step's walk over a cell is
 * 1/6 to 1/25 of its load on CPUs, and less where a device computes. Until something was loaded, loading is assumed to be as fast as saving.
 *
 * It can only be loaded if the cache still has it by then. Where more goes in than there is room for it stays, as all do without a cache: else a
 * server with a cache that is smaller than its context would compute more than one with none. */
#include "sched/sched_internal.h"

static const double assumed_walk = 1.0 / 64;
/* A row of prefill passes over others' cells in tiles, 5 times faster than a decode step cell by cell. */
static const double prefill_weight = 0.25;
static const double answer_memory = 8; /* answers */

void warm__residents_walked(warm_sched *s, size_t n_generating, size_t n_prefill) {
    s->steps_walked += (n_generating ? 1 : 0) + prefill_weight * (double)n_prefill;
}

void warm__residents_answered(warm_sched *s, size_t n_tokens) {
    s->mean_answer += ((double)n_tokens - s->mean_answer) / answer_memory;
}

/* What the running requests will still compute, as decode steps: the prompts one after the other, the answers side by side, each as long as
 * answers have been of late. */
static double steps_ahead(const warm_sched *s) {
    double prompts = 0, answers = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        if (!sl->seq) continue;
        size_t from = sl->seq->n > sl->n_begun ? sl->seq->n : sl->n_begun;
        if (from < sl->seq->n_want) prompts += prefill_weight * (double)(sl->seq->n_want - from);
        double answer = s->mean_answer;
        if (sl->task->n_predict >= 0 && answer > sl->task->n_predict) answer = sl->task->n_predict;
        answer -= (double)sl->n_decoded;
        if (answer > answers) answers = answer;
    }
    return prompts + answers;
}

/* Of n cells of it, and what makes them resumable. */
static size_t load_bytes(const warm_sched *s, const warm_seq *q, size_t n) {
    const warm_engine_ops *ops = s->e->ops;
    size_t bytes = ops->state_bytes(s->e, n);
    if (s->info->state == WARM_STATE_WINDOW) bytes += ops->window_bytes(s->e, n < s->info->n_window ? n : s->info->n_window);
    if (warm_state_has_snapshots(s->info->state)) bytes += ops->snapshot_bytes(s->e, q->id);
    return bytes;
}

static uint64_t taken_in_by(const warm_cache_stats *st) {
    return st->evicted_bytes + st->budget_used_bytes;
}

uint64_t warm__residents_taken_in(const warm_sched *s) {
    warm_cache_stats st = {0};
    if (s->kv) warm_cache_stats_get(s->o.cache, &st);
    return taken_in_by(&st);
}

/* Whether the cache takes in more than it has room for, q included, until q is asked for: what is running now, and of others as much again as
 * since q was saved, by the guess above. */
static bool will_be_evicted(const warm_sched *s, const warm_seq *q) {
    warm_cache_stats st;
    warm_cache_stats_get(s->o.cache, &st);
    size_t with_it = q->n;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_seq *x = s->slots[i].seq;
        size_t from = x && x->has_path ? x->path.n_units : s->slots[i].n_begun;
        if (x && from < x->n_want) with_it += x->n_want - from;
    }
    double unit_bytes = st.n_units ? (double)st.budget_used_bytes / (double)st.n_units : 0;
    double taken_in = (double)taken_in_by(&st) - (double)q->saved_at_bytes;
    return 2 * taken_in + unit_bytes * (double)with_it > (double)st.budget_limit_bytes;
}

void warm__drop_dear_residents(warm_sched *s) {
    if (!s->kv) return;
    warm_kv_rates io = warm_kv_rates_get(s->kv);
    double rate = io.load_bytes_per_ns > 0 ? io.load_bytes_per_ns : io.save_bytes_per_ns;
    if (rate <= 0) return;
    double cell_ns = warm_rates_cell_ns(&s->rates), walked = s->steps_walked + steps_ahead(s);
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (!q->in_use || q->slot || !q->saved || walked <= q->idle_from) continue;
        size_t n = warm__seq_exclusive(s, q);
        if (!n) continue;
        double load_ns = (double)load_bytes(s, q, n) / rate;
        double step_ns = cell_ns > 0 ? cell_ns * (double)n : assumed_walk * load_ns;
        if ((walked - q->idle_from) * step_ns <= load_ns || will_be_evicted(s, q)) continue;
        q->idle_from = walked; /* one that is not in the tree is not asked about again before that */
        if (warm__points_in_tree(s, q)) warm__seq_drop(s, q);
    }
}
