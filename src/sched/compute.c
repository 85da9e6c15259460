/* SPDX-License-Identifier: MIT
 *
 * sched/compute.c - one batch: a token for every generating slot, chunks of prefill behind them, decode, sample, finish.
 *
 * A batch holds at most n_ubatch rows, so that a decode is one pass through the model. While anything generates its prefill is as many units
 * as prefill_slice_ns compute at the measured rate: a running stream waits for no more than that. Engines compute in tiles of WARM_CHUNK_MIN rows, and
 * one row more costs another tile; so a sliced batch has a multiple of that, generating rows included, and where several prefills share it a tile that one
 * has begun is filled by the next. Where there is time for one tile only, generating rows and chunks have batches of their own in turn, unless a step
 * of the generating rows alone was seen to take half a tile or more: then two tiles with all of them cost less. Chunks are at least
 * WARM_CHUNK_MIN units and leave no shorter rest, unless the whole is shorter.
 *
 * Of several prefills the oldest has what the batch can hold. But those that have little left, at most a quarter of what the oldest has,
 * share half of it, shortest first, as long as the oldest has had half of all time since its prefill began. So a short request does not wait for
 * a long one, and a long one's first token comes after at most twice its own prefill and a step, however many short ones keep coming.
 *
 * Recurrent state is computed for equally many units of each sequence at a time: of chunks that differ an engine makes several passes. So there several
 * prefills have chunks of one length, where those fill more of the batch than one of the oldest alone. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/min.h"
#include "sched/sched_internal.h"

enum {
    SHORT_SHARE = 4, /* little left is so much less than the oldest has */
    WASTE_SHARE = 8, /* batches with more of their rows wasted teach nothing */
    EQUAL_MOST = 16  /* of so many prefills equal chunks are sought */
};

static const uint64_t share_window_ns = 2 * 1000000000ull;

/* How much of `left` to take where `room` units are wanted and `most` can be had; 0 = nothing, the next batch may have more. tiles: what is left is to
 * be a multiple of WARM_CHUNK_MIN, so that the odd rows come first, where they cost least. alone: no other prefill is in this batch, so
 * it won't. */
static size_t chunk_size(size_t left, size_t room, size_t most, bool tiles, bool alone) {
    if (left <= room) return left;
    if (room < WARM_CHUNK_MIN) return 0;
    if (tiles) {
        size_t odd = left % WARM_CHUNK_MIN, n = room + odd;
        if (odd && room > WARM_CHUNK_MIN) n -= WARM_CHUNK_MIN;
        if (n <= most) return n;
    }
    size_t rest = left - room;
    if (rest >= WARM_CHUNK_MIN) return room;
    /* 520 into 512 is 456 + 64 */
    size_t n = left - WARM_CHUNK_MIN;
    if (n >= WARM_CHUNK_MIN) return n;
    if (left <= most) return left;
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

/* The next batch while it is built. */
struct batch {
    size_t n, n_generating;
    size_t limit; /* rows */
    bool sliced;
    bool in_step; /* it has equal chunks, and is to have no others */
    double ns;    /* sliced: what its prefill may still take */
};

static size_t rest_of(const warm_slot *sl) {
    return sl->seq->n_want - sl->seq->n;
}

/* Up to where its chunk may go at most. */
static size_t left_of(const warm_sched *s, const warm_slot *sl) {
    return warm__points_next(s, sl->seq) - sl->seq->n;
}

static bool can_add(const warm_slot *sl) {
    return sl->state == WARM_SLOT_PREFILL && sl->has_turn && !sl->n_chunk;
}

static warm_slot *oldest_prefill(warm_sched *s) {
    warm_slot *best = NULL;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (can_add(sl) && (!best || sl->order < best->order)) best = sl;
    }
    return best;
}

/* Of those that have little left beside `oldest` the one that has least. */
static warm_slot *shortest_prefill(warm_sched *s, const warm_slot *oldest) {
    warm_slot *best = NULL;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (!can_add(sl) || sl == oldest || rest_of(sl) > rest_of(oldest) / SHORT_SHARE) continue;
        if (!best || rest_of(sl) < rest_of(best) || (rest_of(sl) == rest_of(best) && sl->order < best->order)) best = sl;
    }
    return best;
}

/* The shortest chunk that makes the batch's rows a multiple of WARM_CHUNK_MIN. */
static size_t least_chunk(const struct batch *b) {
    size_t n = WARM_CHUNK_MIN - b->n % WARM_CHUNK_MIN;
    return n < WARM_CHUNK_MIN ? n + WARM_CHUNK_MIN : n;
}

/* Units of q that ns are enough for, as many as make the batch's rows a multiple of WARM_CHUNK_MIN; 0: not for a chunk. */
static size_t units_within(const warm_sched *s, const struct batch *b, const warm_seq *q, double ns, size_t most) {
    warm_prefill_cost c = warm_rates_prefill_cost(&s->rates);
    size_t n = least_chunk(b), fits = 0;
    for (; c.unit_ns > 0 && n <= most && warm_prefill_ns(&c, q->n, q->n + n) <= ns; n += WARM_CHUNK_MIN) fits = n;
    return fits;
}

/* Adds a chunk of at most `rows` that takes at most ns, as far as the rules of chunks allow it. false: not this time. */
static bool add_chunk(warm_sched *s, struct batch *b, warm_slot *sl, size_t rows, double ns) {
    const warm_seq *q = sl->seq;
    bool first = b->n == b->n_generating;
    size_t most = b->limit - b->n, room = b->sliced ? units_within(s, b, q, ns, rows) : rows;
    /* A tile that others have begun is filled with what makes the batch one tile longer. */
    if (!first && !room && b->n % WARM_CHUNK_MIN)
        room = units_within(s, b, q, ns + (double)s->o.prefill_slice_ns / 2, warm_min_size(rows, least_chunk(b)));
    if (first && room < WARM_CHUNK_MIN) room = warm_min_size(b->sliced ? least_chunk(b) : WARM_CHUNK_MIN, most);
    size_t chunk = chunk_size(left_of(s, sl), room, most, b->sliced && !b->n, first);
    /* With a limit below WARM_CHUNK_MIN there are only short chunks to be had. */
    if (!chunk && b->limit < WARM_CHUNK_MIN) chunk = room;
    if (!chunk) return false;
    warm_prefill_cost c = warm_rates_prefill_cost(&s->rates);
    b->ns -= warm_prefill_ns(&c, q->n, q->n + chunk);
    b->n = add_rows(s, sl, b->n, chunk);
    return true;
}

/* Whether the others have had more than half of the time since its prefill began. */
static bool is_owed(const warm_sched *s, const warm_slot *sl) {
    return (double)(warm__sched_now(s) - sl->prefill_since_ns) > 2 * sl->prefill_ns;
}

/* Whether a chunk of n leaves nothing of it, or enough for another one. */
static bool can_have(const warm_sched *s, const warm_slot *sl, size_t n) {
    size_t left = left_of(s, sl);
    return n >= WARM_CHUNK_MIN && (left == n || left >= n + WARM_CHUNK_MIN);
}

/* How many of these can have a chunk of n, as far as there is room for it. */
static size_t count_equal(const warm_sched *s, warm_slot *const *slots, size_t n_slots, size_t n, size_t room) {
    size_t k = 0;
    for (size_t i = 0; i < n_slots && (k + 1) * n <= room; i++) k += can_have(s, slots[i], n);
    return k;
}

/* The length of which chunks fill most of the room, a third more where the oldest is to have none; 0: none fill so much more than a chunk of the
 * oldest alone that it is worth it. */
static size_t equal_chunk(const warm_sched *s, warm_slot *const *slots, size_t n_slots, size_t room) {
    size_t best = 0, chunk = 0, alone = 0, rows = 0;
    for (size_t n = WARM_CHUNK_MIN; n <= room; n++) {
        bool oldest = can_have(s, slots[0], n);
        if (oldest) alone = n;
        if (!oldest && is_owed(s, slots[0])) continue;
        size_t k = count_equal(s, slots, n_slots, n, room), worth = k * n * (oldest ? 4 : 3);
        if (worth < best) continue;
        best = worth;
        rows = k * n;
        chunk = n;
    }
    return rows >= alone + WARM_CHUNK_MIN ? chunk : 0;
}

/* Where chunks have to be equally long: what is less than a chunk of any length, and then those. */
static void add_in_step(warm_sched *s, struct batch *b) {
    warm_slot *slots[EQUAL_MOST], *sl;
    size_t n = 0;
    for (; n < EQUAL_MOST && b->n < b->limit && (sl = oldest_prefill(s)); sl->n_chunk += !sl->n_chunk) {
        if (left_of(s, sl) >= WARM_CHUNK_MIN)
            slots[n++] = sl;
        else if (!add_chunk(s, b, sl, b->limit - b->n, b->ns))
            break;
    }
    for (size_t i = 0; i < n; i++) slots[i]->n_chunk = 0;
    if (n < 2) return;
    size_t room = b->limit - b->n;
    if (b->sliced) room = units_within(s, b, slots[0]->seq, b->ns, room);
    size_t chunk = equal_chunk(s, slots, n, room);
    for (size_t i = 0; chunk && i < n && room >= chunk; i++) {
        if (!can_have(s, slots[i], chunk)) continue;
        b->n = add_rows(s, slots[i], b->n, chunk);
        room -= chunk;
        b->in_step = true;
    }
}

static warm_slot *first_prefill(warm_sched *s) {
    warm_slot *oldest = oldest_prefill(s), *shortest = oldest && !is_owed(s, oldest) ? shortest_prefill(s, oldest) : NULL;
    return shortest ? shortest : oldest;
}

static void add_prefill(warm_sched *s, struct batch *b) {
    warm_slot *sl = oldest_prefill(s);
    if (sl && !is_owed(s, sl)) {
        double ns_kept = b->ns / 2;
        size_t end = b->n + (b->limit - b->n) / 2;
        for (warm_slot *x; b->n < end && (x = shortest_prefill(s, sl));) {
            if (!add_chunk(s, b, x, end - b->n, b->ns - ns_kept)) break;
        }
    }
    if (warm_state_has_snapshots(s->info->state)) add_in_step(s, b);
    while (!b->in_step && b->n < b->limit && (sl = oldest_prefill(s)) && add_chunk(s, b, sl, b->limit - b->n, b->ns)) continue;
}

/* An empty batch: nobody has rows in it. */
static struct batch batch_begin(warm_sched *s) {
    struct batch b = {.ns = (double)s->o.prefill_slice_ns};
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        sl->n_chunk = 0;
        sl->row = -1;
        b.sliced |= sl->state == WARM_SLOT_GENERATING; /* those whose turn it is not wait, too */
        if (sl->state == WARM_SLOT_PREFILL && !sl->prefill_since_ns) sl->prefill_since_ns = warm__sched_now(s);
    }
    b.limit = warm_min_size(s->info->n_ubatch > WARM_CHUNK_MIN ? s->info->n_ubatch : WARM_CHUNK_MIN, s->info->n_batch);
    return b;
}

static void add_generating(warm_sched *s, struct batch *b) {
    warm_prefill_cost c = warm_rates_prefill_cost(&s->rates);
    for (uint32_t i = 0; i < s->n_slots && b->n < s->info->n_batch; i++) {
        warm_slot *sl = &s->slots[i];
        if (sl->state != WARM_SLOT_GENERATING || !sl->has_turn) continue;
        b->ns -= warm_prefill_ns(&c, sl->seq->n, sl->seq->n + 1);
        b->n = add_rows(s, sl, b->n, 1);
    }
    b->n_generating = b->n;
    if (b->limit < b->n + WARM_CHUNK_MIN) b->limit = warm_min_size(b->n + WARM_CHUNK_MIN, s->info->n_batch);
}

/* Whether the generating rows and a chunk of this one are not to be in one batch: both would be more than a tile, and there is not the time
 * for two, as far as is known. But a step of their own can take as long as a tile, where each row walks many cells. */
static bool is_apart(const warm_sched *s, const struct batch *b, const warm_slot *sl) {
    if (!sl || !b->n || b->n + left_of(s, sl) <= WARM_CHUNK_MIN) return false;
    if (units_within(s, b, sl->seq, b->ns, b->limit - b->n)) return false;
    if (left_of(s, sl) <= WARM_CHUNK_MIN) return true;
    warm_prefill_cost c = warm_rates_prefill_cost(&s->rates);
    double tile_ns = warm_prefill_ns(&c, sl->seq->n, sl->seq->n + WARM_CHUNK_MIN), step_ns = warm_rates_decode_ns(&s->rates, b->n);
    return tile_ns <= 0 || step_ns < tile_ns / 2;
}

static size_t build_batch(warm_sched *s, size_t *n_generating) {
    warm__adapters_choose(s);
    struct batch b = batch_begin(s);
    add_generating(s, &b);
    bool apart = is_apart(s, &b, first_prefill(s));
    bool prefill = !apart || !s->prefill_was_apart;
    if (apart && prefill) b = batch_begin(s);
    if (prefill) add_prefill(s, &b);
    s->prefill_was_apart = apart && prefill;
    *n_generating = b.n_generating;
    return b.n;
}

static void release(warm_sched *s, warm_slot *sl) {
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
        warm__seq_leave(s, sl);
    }
    free(sl->parked_units);
    warm_output_deinit(&sl->out);
    free(sl->tokens);
    free(sl->probs);
    free(sl->top);
    warm__tier_give_up(sl->task);
    warm_task_free(sl->task);
    *sl = (warm_slot){.id = sl->id, .row = -1};
    s->queue_changed = true;
}

/* What its answer says of its prompt is final: the counters are the sums of the answers. */
static void count_prompt(warm_sched *s, const warm_slot *sl) {
    s->counters.n_prompt_device += sl->t.n_device;
    s->counters.n_prompt_ram += sl->t.n_ram;
    s->counters.n_prompt_disk += sl->t.n_disk;
    s->counters.n_prompt_computed += sl->t.n_computed;
}

/* The event is the last one: who has it finds the slot free and itself counted. */
static void end_task(warm_sched *s, warm_slot *sl, warm_event *ev) {
    void (*emit)(void *ud, warm_event *ev) = sl->task->emit;
    void *ud = sl->task->ud;
    if (!sl->prompt_done) count_prompt(s, sl);
    release(s, sl);
    warm__publish(s);
    emit(ud, ev);
}

void warm__slot_fail(warm_sched *s, warm_slot *sl, const warm_err *err) {
    end_task(s, sl, warm__event_failed(s, sl->task, sl, err));
}

static void finish(warm_sched *s, warm_slot *sl, enum warm_stop stop, const char *word, bool truncated) {
    warm__residents_answered(s, sl->n_decoded);
    end_task(s, sl, warm__event_done(s, sl, stop, word, truncated || sl->truncated));
}

static void first_token(warm_sched *s, warm_slot *sl) {
    sl->prompt_done = true;
    sl->first_token_ns = warm__sched_now(s);
    sl->t.prompt_ms = (double)(sl->first_token_ns - sl->start_ns) / 1e6;
    sl->t.n_computed = sl->t.n_prompt - sl->t.n_device - sl->t.n_ram - sl->t.n_disk;
    count_prompt(s, sl);
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
    size_t word = 0, len = s->e->text->token_piece(s->e, sampled->token, sampled->is_text, piece, sizeof piece);
    char *large = len > sizeof piece ? warm_xmalloc(len) : NULL;
    if (large) s->e->text->token_piece(s->e, sampled->token, sampled->is_text, large, len);
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
    size_t computed_from = sl->t.n_device + sl->t.n_ram + sl->t.n_disk;
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
    warm__seq_grow(s, q, sl->n_chunk);
    if (!sl->prompt_done) {
        /* Parked before its prompt was done it may compute some of it twice. */
        sl->t.n_computed =
            warm_min_size(sl->t.n_computed + sl->n_chunk, sl->t.n_prompt - sl->t.n_device - sl->t.n_ram - sl->t.n_disk);
        if (sl->task->return_progress) warm__emit_progress(s, sl);
    }
    sl->n_chunk = 0;
    if (sl->state == WARM_SLOT_PREFILL) warm__points_reached(s, q);
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
    warm__residents_walked(s, n_generating, n - n_generating);
    if (n_generating == n) {
        warm_rates_decode(&s->rates, n, s->pool.n_used, ns);
        return;
    }
    double depths = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (!sl->n_chunk) continue;
        depths += (double)sl->n_chunk * ((double)sl->seq->n + (double)sl->n_chunk / 2);
        if (sl->state == WARM_SLOT_PREFILL) sl->prefill_ns += (double)ns * (double)sl->n_chunk / (double)n;
    }
    /* The last tile may be nearly empty, and costs as much as a full one. */
    size_t waste = (WARM_CHUNK_MIN - n % WARM_CHUNK_MIN) % WARM_CHUNK_MIN;
    if (n - n_generating >= WARM_CHUNK_MIN && waste <= n / WASTE_SHARE) warm_rates_prefill(&s->rates, n, depths, ns);
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
