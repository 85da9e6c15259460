/* SPDX-License-Identifier: MIT
 *
 * sched/save.c - the cache's work in slices: loads first (somebody waits for them), then saves.
 *
 * While any slot generates, a slice ends after slice_ns, but moves one piece at least. Otherwise it may be longer, and ends when a message comes:
 * whoever asks an idle server waits for one piece, not for the saving of what was there before. Saving is eager while it costs less than 2 % of the
 * engine's time; what is left is done when no slot is busy, or before the cells are needed (admit.c). */
#include "sched/sched_internal.h"

enum { EAGER_SHARE = 50 };                             /* 1/50 = 2 % */
static const uint64_t idle_slice_ns = 20 * 1000000ull; /* verified pieces and ended loads are looked for at least this often */

static void set_saved(warm_sched *s, warm_seq *q) {
    q->saved = true;
    q->saved_at_bytes = warm__residents_taken_in(s);
    warm__points_drop(s, q);
    if (q->has_path) {
        warm_path_release(s->o.cache, &q->path);
        q->has_path = false;
    }
    s->queue_changed = true;
}

bool warm__save_one(warm_sched *s, warm_seq *q) {
    bool running = q->slot != NULL;
    if (!s->kv || !q->cached) {
        q->saved = true;
        return false;
    }
    if (!q->has_path) {
        warm_scope *scope;
        int rc = warm_cache_scope(s->o.cache, q->fingerprint, &scope);
        if (rc) {
            q->saved = !running;
            q->refused_at = q->n;
            return false;
        }
        warm_cache_lookup(s->o.cache, scope, q->units, warm__seq_exact(q), &q->path);
        q->has_path = true;
    }
    /* A running sequence leaves a piece that is not full for later, unless a resume point waits for it. */
    size_t wanted = running ? warm__points_wanted(q) : 0;
    bool whole_only = running && wanted <= q->path.n_units;
    size_t n = warm__points_save_end(s, q);
    if (running && !whole_only && wanted < n) n = wanted;
    int rc = q->path.n_units < n ? warm_kv_save(s->kv, q->id, &q->path, q->units, n, whole_only) : 0;
    warm__points_commit(s, q);
    if (rc > 0) return true;
    /* It is not asked again: of the snapshots that wait for its units the last one is worth most. */
    if (rc == WARM_EFULL && !running && warm__points_yield(s, q)) return true;
    if (rc < 0) q->refused_at = q->n;
    if (!running) set_saved(s, q);
    return false;
}

void warm__save_all(warm_sched *s, warm_seq *q) {
    while (!q->saved && warm__save_one(s, q)) continue;
}

void warm__load_end(warm_sched *s, warm_slot *sl) {
    warm_seq *q = sl->seq;
    warm_kv_load_end(s->kv, sl->load);
    sl->load = NULL;
    sl->state = WARM_SLOT_PREFILL;
    /* The path covers what should have been loaded; where that failed, it is looked up again when there is something to save. */
    if (q->has_path && q->n < q->path.n_units) {
        warm_path_release(s->o.cache, &q->path);
        q->has_path = false;
    }
    if (q->incomplete) warm__start_again(s, sl);
}

/* The last n units that it has. */
static void count_loaded(warm_slot *sl, size_t n) {
    size_t end = sl->seq->n, from = end - n > sl->disk_from ? end - n : sl->disk_from, to = end < sl->disk_to ? end : sl->disk_to;
    size_t n_disk = to > from ? to - from : 0;
    sl->t.n_disk += n_disk;
    sl->t.n_ram += n - n_disk;
}

static bool load_one(warm_sched *s, warm_slot *sl) {
    size_t n;
    uint64_t t0 = warm__sched_now(s);
    warm_kv_poll(s->kv);
    int rc = warm_kv_load_next(s->kv, sl->load, &n);
    sl->t.load_ms += (double)(warm__sched_now(s) - t0) / 1e6;
    if (rc == 0) return false;
    if (rc > 0) {
        warm__seq_grow(s, sl->seq, n);
        if (sl->recount) count_loaded(sl, n);
        return true;
    }
    /* A load takes cells for the whole piece, for a moment, also where only a part of it is kept. */
    if (rc == WARM_EFULL && warm__seq_oldest_resident(s, NULL)) {
        bool dropped = warm__drop_oldest(s, NULL, false);
        /* Of a snapshot on cells it has taken these along: they are to be loaded again, too. */
        if (s->info->state != WARM_STATE_RANGES_SNAPSHOTS || sl->seq->n < sl->n_begun) return dropped;
        warm__load_end(s, sl);
        return true;
    }
    if (rc == WARM_ENOTFOUND) sl->seq->incomplete = false;
    if (rc != WARM_ENOTFOUND && rc != WARM_ECORRUPT) sl->no_load = true; /* the same load would fail again */
    warm__load_end(s, sl);
    return true;
}

/* Whether a running sequence has a whole piece to save, without asking the tree. */
static bool wants_save(const warm_sched *s, const warm_seq *q) {
    if (!q->cached || q->slot->state == WARM_SLOT_LOADING) return false;
    if (q->refused_at && q->n < q->refused_at + WARM_BLOCK_UNITS) return false;
    size_t n = warm__points_save_end(s, q);
    if (!q->has_path) return n >= WARM_PIECE_MIN;
    return n > q->path.n_units && (warm__points_wanted(q) > q->path.n_units || warm_kv_has_whole(s->kv, &q->path, n));
}

/* Has units whose rows are behind the window and not saved. */
static bool rows_at_risk(const warm_sched *s, const warm_seq *q) {
    if (!q->in_use || !q->cached || q->incomplete || q->n <= s->info->n_window) return false;
    if (q->slot ? !wants_save(s, q) : q->saved) return false;
    return !q->has_path || q->path.n_units <= q->n - s->info->n_window;
}

void warm__save_windows(warm_sched *s) {
    if (!s->kv || s->info->state != WARM_STATE_WINDOW) return;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        while (rows_at_risk(s, &s->seqs[i]) && warm__save_one(s, &s->seqs[i])) continue;
    }
}

static warm_seq *next_to_save(warm_sched *s) {
    if (s->urgent) return s->urgent;
    warm_seq *best = NULL;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (!q->in_use || (q->slot ? !wants_save(s, q) : q->saved)) continue;
        /* Residents first: their cells may be wanted; among them the oldest. */
        if (!best || (!q->slot && (best->slot || q->last_used_ns < best->last_used_ns))) best = q;
    }
    return best;
}

/* A slice is over once it has done something, and its time is up or somebody waits who is not being served yet. */
static bool is_over(warm_sched *s, bool did, uint64_t end) {
    return did && (warm__sched_now(s) >= end || warm__mail_waits(s));
}

bool warm__cache_slice(warm_sched *s) {
    if (!s->kv) return false;
    warm_kv_poll(s->kv);
    bool generating = false, busy = false, did = false;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        enum warm_slot_state st = s->slots[i].state;
        generating |= st == WARM_SLOT_GENERATING;
        busy |= st == WARM_SLOT_GENERATING || st == WARM_SLOT_PREFILL;
    }
    uint64_t end = warm__sched_now(s) + (generating ? s->o.slice_ns : idle_slice_ns);
    for (bool moved = true; moved && !is_over(s, did, end);) {
        moved = false;
        for (uint32_t i = 0; i < s->n_slots && !is_over(s, did, end); i++) {
            if (s->slots[i].state == WARM_SLOT_LOADING && load_one(s, &s->slots[i])) moved = did = true;
        }
    }
    while (!is_over(s, did, end)) {
        if (busy && !s->urgent && s->eager_ns * EAGER_SHARE > s->engine_ns) break;
        warm_seq *q = next_to_save(s);
        if (!q) break;
        uint64_t t0 = warm__sched_now(s);
        bool saved = warm__save_one(s, q);
        if (busy) s->eager_ns += warm__sched_now(s) - t0;
        if (q == s->urgent && q->saved) s->urgent = NULL;
        /* Nothing to save after all, or no room: wants_save now says so, too. */
        if (saved || !q->slot) did = true;
    }
    return did;
}
