/* SPDX-License-Identifier: MIT
 *
 * sched/compute.c - one batch: a token for every generating slot, chunks of prefill behind them, decode, sample, finish.
 *
 * A batch holds at most n_ubatch rows, so that a decode is one pass through the model and a running stream waits for at most that many rows
 * of somebody's prefill. Chunks are at least WARM_CHUNK_MIN units and leave no shorter rest, unless the whole is shorter. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sched/sched_internal.h"

static const uint64_t share_window_ns = 2 * 1000000000ull;

/* How much of `left` to take into `room` rows; 0 = nothing, the next batch may have more. alone: no other prefill is in this batch, so it
 * won't. */
static size_t chunk_size(size_t left, size_t room, bool alone) {
    if (left <= room) return left;
    if (room < WARM_CHUNK_MIN) return 0;
    size_t rest = left - room;
    if (rest >= WARM_CHUNK_MIN) return room;
    /* 520 into 512 is 456 + 64 */
    size_t n = left - WARM_CHUNK_MIN;
    if (n >= WARM_CHUNK_MIN) return n;
    return alone ? left / 2 : 0;
}

static size_t add_rows(warm_sched *s, warm_slot *sl, size_t row, size_t n) {
    warm_seq *q = sl->seq;
    for (size_t i = 0; i < n; i++) {
        s->b_token[row + i] = (int32_t)q->units[q->n + i];
        s->b_pos[row + i] = (int32_t)(q->n + i);
        s->b_seq[row + i] = q->id;
        s->b_want[row + i] = 0;
    }
    sl->n_chunk = n;
    bool last = q->n + n == q->n_want && sl->task->n_predict != 0;
    sl->row = last ? (int)(row + n - 1) : -1;
    if (last) s->b_want[row + n - 1] = 1;
    return row + n;
}

static warm_slot *oldest_prefill(warm_sched *s) {
    warm_slot *best = NULL;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (sl->state == WARM_SLOT_PREFILL && sl->has_turn && !sl->n_chunk && (!best || sl->order < best->order)) best = sl;
    }
    return best;
}

static size_t build_batch(warm_sched *s, size_t *n_generating) {
    size_t n = 0;
    warm__adapters_choose(s);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        sl->n_chunk = 0;
        sl->row = -1;
        if (sl->state == WARM_SLOT_GENERATING && sl->has_turn && n < s->info->n_batch) n = add_rows(s, sl, n, 1);
    }
    *n_generating = n;
    size_t limit = s->info->n_ubatch;
    if (limit < n + WARM_CHUNK_MIN) limit = n + WARM_CHUNK_MIN;
    if (limit > s->info->n_batch) limit = s->info->n_batch;
    for (warm_slot *sl; n < limit && (sl = oldest_prefill(s));) {
        size_t chunk =
            chunk_size(warm_due_next(&sl->seq->due, sl->seq->n, sl->seq->n_want) - sl->seq->n, limit - n, n == *n_generating);
        /* With a limit below WARM_CHUNK_MIN there are only short chunks to be had. */
        if (!chunk && limit < WARM_CHUNK_MIN) chunk = limit - n;
        if (!chunk) break;
        n = add_rows(s, sl, n, chunk);
    }
    return n;
}

void warm__slot_release(warm_sched *s, warm_slot *sl) {
    warm_seq *q = sl->seq;
    if (sl->load) {
        q->incomplete = false; /* nobody starts it again */
        warm__load_end(s, sl);
        q->incomplete = s->info->state != WARM_STATE_RANGES;
    }
    warm__slot_remember(s, sl);
    if (q) {
        /* The end of its prompt is one already; a short answer behind it is computed again sooner than a snapshot is worth it. */
        if (!q->incomplete && q->n >= q->last_point + warm__points_gap(s)) warm__point_take(s, q, WARM_POINT_PRIOR_END);
        q->slot = NULL;
        q->last_slot = sl->id;
        q->n_want = q->n;
        q->last_used_ns = warm__sched_now(s);
        q->idle_cost_ns = 0;
        q->saved = !s->kv || !q->cached;
        /* of a shifted one with a state that can't be cut, nothing is left to go on from */
        bool useless = q->n > q->n_exact && warm_state_has_snapshots(s->info->state);
        if (!q->n || !q->cached || q->incomplete || useless) warm__seq_drop(s, q);
    }
    free(sl->parked_units);
    warm_output_deinit(&sl->out);
    free(sl->tokens);
    free(sl->probs);
    free(sl->top);
    warm_task_free(sl->task);
    *sl = (warm_slot){.id = sl->id, .row = -1};
    s->queue_changed = true;
}

void warm__slot_fail(warm_sched *s, warm_slot *sl, const warm_err *err) {
    warm__emit_failed(s, sl->task, sl, err);
    warm__slot_release(s, sl);
}

static void finish(warm_sched *s, warm_slot *sl, enum warm_stop stop, const char *word, bool truncated) {
    warm__emit_done(s, sl, stop, word, truncated || sl->truncated);
    warm__slot_release(s, sl);
}

static void first_token(warm_sched *s, warm_slot *sl) {
    sl->prompt_done = true;
    sl->first_token_ns = warm__sched_now(s);
    sl->t.prompt_ms = (double)(sl->first_token_ns - sl->start_ns) / 1e6;
    sl->t.n_computed = sl->t.n_prompt - sl->t.n_device - sl->t.n_ram;
}

static bool time_is_up(warm_sched *s, const warm_slot *sl) {
    if (sl->task->t_max_predict_ms <= 0 || !sl->out.has_new_line) return false;
    return warm__sched_now(s) - sl->first_token_ns > (uint64_t)sl->task->t_max_predict_ms * 1000000u;
}

/* Takes a sampled token in; the slot may be free afterwards. */
static void take_token(warm_sched *s, warm_slot *sl, const warm_sampled *sampled) {
    warm_seq *q = sl->seq;
    if (!sl->prompt_done) first_token(s, sl);
    sl->n_decoded++;
    sl->t.n_predicted++;
    s->counters.n_predicted++;
    warm__slot_note_token(sl, sampled);
    if (sampled->is_eog) {
        finish(s, sl, WARM_STOP_EOS, NULL, false);
        return;
    }
    char piece[512];
    size_t word = 0, len = s->e->text->token_piece(s->e, sampled->token, false, piece, sizeof piece);
    char *large = len > sizeof piece ? warm_xmalloc(len) : NULL;
    if (large) s->e->text->token_piece(s->e, sampled->token, false, large, len);
    enum warm_output_end end = warm_output_add(&sl->out, large ? large : piece, len, &word);
    free(large);
    if (end == WARM_OUTPUT_STOP_WORD) {
        finish(s, sl, WARM_STOP_WORD, sl->task->stop[word], false);
        return;
    }
    if (end == WARM_OUTPUT_INDENT || (sl->task->n_predict > 0 && sl->n_decoded >= (size_t)sl->task->n_predict) ||
        time_is_up(s, sl)) {
        finish(s, sl, WARM_STOP_LIMIT, NULL, false);
        return;
    }
    warm__seq_push(q, (warm_unit)sampled->token);
    if (q->n_want > s->counters.n_tokens_max) s->counters.n_tokens_max = q->n_want;
    if (q->n_want > s->info->n_ctx) {
        finish(s, sl, WARM_STOP_LIMIT, NULL, true);
        return;
    }
    warm__emit_tokens(s, sl);
    sl->state = WARM_SLOT_GENERATING;
}

/* Its cells are not to be kept: the sequence goes without being saved. */
static void fail_with_cells(warm_sched *s, warm_slot *sl, const warm_err *err) {
    warm_seq *q = sl->seq;
    sl->seq = NULL;
    warm__seq_drop(s, q);
    warm__slot_fail(s, sl, err);
}

/* Nor is what was saved of it while it was computed. */
static void fail_with_state(warm_sched *s, warm_slot *sl, const warm_err *err) {
    const warm_seq *q = sl->seq;
    size_t computed_from = sl->t.n_device + sl->t.n_ram;
    if (q->has_path && q->path.n_units > computed_from) warm_cache_quarantine(s->o.cache, &q->path, computed_from);
    fail_with_cells(s, sl, err);
}

static void sample(warm_sched *s, warm_slot *sl) {
    warm_err err = {0};
    warm_sampled sampled;
    int rc = s->e->ops->sample(s->e, sl->task->sampler, (size_t)sl->row, &sampled, &err);
    if (rc == WARM_ECORRUPT) {
        fail_with_state(s, sl, &err);
        return;
    }
    if (!rc) rc = s->e->ops->sampler_accept(s->e, sl->task->sampler, sampled.token, true, &err);
    if (rc) {
        warm__slot_fail(s, sl, &err);
        return;
    }
    take_token(s, sl, &sampled);
}

/* The cells of this batch are undefined. */
static void fail_batch(warm_sched *s, const warm_err *err) {
    warm_log_error("sched", "decode failed: %s", err->text);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].n_chunk) fail_with_cells(s, &s->slots[i], err);
    }
}

static void after_decode(warm_sched *s, warm_slot *sl) {
    warm_seq *q = sl->seq;
    bool generating = sl->state == WARM_SLOT_GENERATING;
    warm__seq_grow(s, q, sl->n_chunk);
    if (!generating) s->counters.n_prompt_computed += sl->n_chunk;
    if (!sl->prompt_done) {
        sl->t.n_computed += sl->n_chunk;
        if (sl->task->return_progress) warm__emit_progress(s, sl);
    }
    sl->n_chunk = 0;
    double prior = warm_due_prior(&q->due, q->n);
    if (prior > 0) warm__point_take(s, q, prior);
    if (sl->row >= 0) {
        sample(s, sl);
    } else if (q->n == q->n_want) {
        first_token(s, sl);
        finish(s, sl, WARM_STOP_LIMIT, NULL, false);
    }
}

static void measure(warm_sched *s, size_t n, size_t n_generating, uint64_t ns) {
    s->engine_ns += ns;
    /* The share of eager saving is one of the last seconds, not of all time: an hour without saves must not buy long slices. */
    if (s->engine_ns > share_window_ns) {
        s->engine_ns /= 2;
        s->eager_ns /= 2;
    }
    s->counters.n_decode_steps++;
    if (n_generating) s->counters.n_busy_slot_steps += n_generating;
    if (n_generating == n) {
        warm_rates_decode(&s->rates, s->pool.n_used, ns);
        warm__drop_dear_residents(s);
    } else if (!n_generating && n >= WARM_CHUNK_MIN) {
        warm_rates_prefill(&s->rates, n, ns);
    }
}

static void shift_contexts(warm_sched *s) {
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (!warm__shift_due(s, sl)) continue;
        warm_err err = {0};
        int rc = warm__shift_context(s, sl, &err);
        /* Where it can't be, its answer ends with the context. */
        if (rc && rc != WARM_ENOTFOUND && rc != WARM_ENOTSUP) fail_with_cells(s, sl, &err);
    }
}

static int decode(warm_sched *s, size_t n, uint64_t *ns, warm_err *err) {
    warm_batch b = {.n = n, .token = s->b_token, .pos = s->b_pos, .seq = s->b_seq, .want = s->b_want};
    uint64_t t0 = warm__sched_now(s);
    int rc = warm__adapters_apply(s, err);
    if (!rc) rc = s->e->ops->decode(s->e, &b, err);
    *ns = warm__sched_now(s) - t0;
    return rc;
}

bool warm__compute(warm_sched *s) {
    shift_contexts(s);
    if (!warm__make_room_for_step(s)) {
        for (uint32_t i = 0; i < s->n_slots; i++) {
            if (s->slots[i].seq) finish(s, &s->slots[i], WARM_STOP_LIMIT, NULL, true);
        }
        return true;
    }
    size_t n_generating, n = build_batch(s, &n_generating);
    if (!n) return false;
    warm_err err = {0};
    uint64_t ns;
    int rc;
    while ((rc = decode(s, n, &ns, &err)) == WARM_EFULL && warm__give_way(s)) {
        s->queue_changed = false; /* who was parked would be back at once: the count has room for it */
        n = build_batch(s, &n_generating);
        if (!n) return true;
    }
    if (rc) {
        if (!err.code) warm_err_set(&err, rc, "decode: %s", warm_strerror(rc));
        fail_batch(s, &err);
        return true;
    }
    measure(s, n, n_generating, ns);
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].n_chunk) after_decode(s, &s->slots[i]);
    }
    warm__save_windows(s);
    return true;
}
