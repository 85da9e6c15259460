/* SPDX-License-Identifier: MIT
 *
 * sched/tier.c - the disk below the tree: its turn, its requests, its beginning and its end (tier.h). */
#include "sched/tier.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

enum { FILES_A_TURN = 4, FILES_A_STEP = 64, FETCHES_A_SLOT = 2 };
static const uint64_t default_stop_ns = 5 * 1000000000ull;
static const uint64_t first_scan_ns = 1000000000ull; /* so long the first request waits for the scan at most */
static const uint64_t wait_ns = 20 * 1000000ull;

/* ---- beginning ---- */

int warm__tier_open(warm_sched *s, void (*wake)(void *ud), warm_err *err) {
    const warm_sched_disk *o = s->o.disk;
    warm_tier *t = warm_xcalloc(1, sizeof *t);
    t->o = *o;
    if (!t->o.stop_ns) t->o.stop_ns = default_stop_ns;
    if (!t->o.backend) t->o.backend = "";
    const warm_disk_options d = {.dir = o->dir,
                                 .read_only = o->read_only,
                                 .limit_bytes = o->limit_bytes,
                                 .write_bytes_a_day = o->write_bytes_a_day,
                                 .budget = o->budget,
                                 .writer = o->writer,
                                 .readers = o->readers,
                                 .clock = s->o.clock,
                                 .wake = wake,
                                 .ud = s};
    int rc = warm_disk_open(&d, &t->disk, err);
    if (rc) {
        free(t);
        return rc;
    }
    s->tier = t;
    warm_disk_stats st;
    warm_disk_stats_get(t->disk, &st);
    for (uint64_t end = warm__sched_now(s) + first_scan_ns; st.scanning && warm__sched_now(s) < end;) {
        (void)warm_disk_wait(t->disk, wait_ns);
        warm_disk_poll(t->disk);
        warm_disk_stats_get(t->disk, &st);
        if (st.index_full && !warm__tier_index_room(s)) break;
    }
    return 0;
}

/* ---- fetches ---- */

static warm_fetch *fetch_new(warm_sched *s, const warm_task *t, const warm_unit *units, size_t n) {
    warm_scope *scope;
    if (warm_cache_scope(s->o.cache, t->fingerprint, &scope)) return NULL;
    warm_fetch *f = warm_xcalloc(1, sizeof *f);
    f->s = s;
    f->units = warm_malloc(n * sizeof *units);
    if (!f->units) {
        free(f);
        return NULL;
    }
    memcpy(f->units, units, n * sizeof *units);
    f->n = n;
    memcpy(f->fingerprint, t->fingerprint, sizeof f->fingerprint);
    f->from = warm_cache_match_resume(s->o.cache, scope, units, n);
    warm_cache_root(s->o.cache, scope, &f->path);
    warm_cache_advance(s->o.cache, &f->path, f->units, f->n);
    return f;
}

static size_t count_fetches(const warm_sched *s) {
    size_t n = 0;
    for (const warm_fetch *f = s->tier->fetches; f; f = f->next) n++;
    return n;
}

bool warm__tier_fetch(warm_sched *s, warm_task *t, const warm_unit *units, size_t n, size_t have) {
    t->fetch_tried = true;
    if (!s->tier || n < WARM_CHUNK_MIN || count_fetches(s) >= (size_t)FETCHES_A_SLOT * s->n_slots) return false;
    /* The last unit is computed anyway. */
    warm_fetch *f = fetch_new(s, t, units, n - 1);
    if (!f) return false;
    if (!warm__fetch_plan(f, have > f->from ? have : f->from)) {
        warm__fetch_free(f);
        return false;
    }
    warm_fetch **end = &s->tier->fetches;
    while (*end) end = &(*end)->next;
    *end = f;
    t->fetch = f;
    warm__fetch_turn(f);
    return true;
}

void warm__tier_give_up(warm_task *t) {
    if (t->fetch) t->fetch->ended = true;
    t->fetch = NULL;
}

bool warm__tier_waits(const warm_task *t) {
    const warm_fetch *f = t->fetch;
    return f && !warm__fetch_is_done(f) && warm__sched_now(f->s) < f->until_ns;
}

void warm__tier_take(warm_slot *sl) {
    warm_fetch *f = sl->task->fetch;
    if (!f) return;
    sl->fetched = true;
    sl->disk_from = f->from;
    sl->disk_to = f->path.n_units;
    warm__tier_give_up(sl->task);
}

static void prefetch(warm_sched *s) {
    size_t n = 0;
    for (warm_task *t = s->queue; t && n < s->n_slots; t = t->next, n++) {
        if (t->fetch_tried || !t->cache_prompt) continue;
        size_t have = 0;
        for (uint32_t i = 0; i < s->n_seqs; i++) {
            const warm_seq *q = &s->seqs[i];
            size_t match = warm__seq_serves(q, t->fingerprint) ? warm__seq_match_wanted(q, t->units, t->n_prompt) : 0;
            if (match > have) have = match;
        }
        (void)warm__tier_fetch(s, t, t->units, t->n_prompt, have);
    }
}

static bool fetch_turns(warm_sched *s) {
    bool did = false;
    for (warm_fetch **at = &s->tier->fetches; *at;) {
        warm_fetch *f = *at;
        bool moved = warm__fetch_turn(f);
        did |= moved;
        if (!f->ended || !warm__fetch_is_home(f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        warm__fetch_free(f);
        did = true;
    }
    return did;
}

/* ---- turns ---- */

bool warm__tier_turn(warm_sched *s) {
    if (!s->tier) return false;
    warm_disk_poll(s->tier->disk);
    warm_disk_stats st;
    warm_disk_stats_get(s->tier->disk, &st);
    bool did = st.index_full && warm__tier_index_room(s);
    prefetch(s);
    did |= fetch_turns(s);
    return warm__tier_write(s, true, FILES_A_TURN) || did;
}

uint64_t warm__tier_due(const warm_sched *s) {
    if (!s->tier) return UINT64_MAX;
    uint64_t due = warm__tier_write_due(s);
    for (const warm_fetch *f = s->tier->fetches; f; f = f->next) {
        if (!f->ended && !warm__fetch_is_done(f) && f->until_ns < due) due = f->until_ns;
    }
    return due;
}

void warm__tier_note_scope(warm_sched *s, const warm_task *task) {
    warm_tier *t = s->tier;
    if (!t || !task->scales) return;
    for (size_t i = 0; i < t->n_scopes; i++) {
        if (memcmp(t->scopes[i].fingerprint, task->fingerprint, WARM_SCOPE_BYTES) == 0) return;
    }
    char *text = warm_adapters_text(s->info, task->scales);
    const size_t most = sizeof t->scopes / sizeof *t->scopes;
    if (!text) return;
    size_t at = t->n_scopes;
    if (at == most) {
        free(t->scopes[0].adapters);
        memmove(t->scopes, t->scopes + 1, --at * sizeof *t->scopes);
        t->n_scopes--;
    }
    memcpy(t->scopes[at].fingerprint, task->fingerprint, WARM_SCOPE_BYTES);
    t->scopes[at].adapters = text;
    t->n_scopes++;
}

void warm__tier_stats(const warm_sched *s, warm_sched_status *st) {
    warm_spill_stats spill;
    warm_disk_stats_get(s->tier->disk, &st->disk);
    warm_spill_stats_get(s->o.cache, &spill);
    st->n_disk_missed = spill.n_missed;
}

/* ---- the end ---- */

/* What is in the context alone goes into the tree, what is in the tree alone onto the disk. */
void warm__tier_save(warm_sched *s) {
    if (!s->tier) return;
    uint64_t begin = warm__sched_now(s), end = begin + s->tier->o.stop_ns;
    warm_disk_stats st, before;
    warm_disk_stats_get(s->tier->disk, &before);
    if (before.mode != WARM_DISK_READ_WRITE) return;
    for (uint32_t i = 0; i < s->n_seqs && warm__sched_now(s) < end; i++) {
        warm_seq *q = &s->seqs[i];
        while (q->in_use && !q->slot && !q->saved && warm__save_one(s, q) && warm__sched_now(s) < end) continue;
    }
    do {
        while (warm__tier_write(s, false, FILES_A_STEP)) continue;
        warm_disk_stats_get(s->tier->disk, &st);
        if (!st.n_pending && !st.scanning) break;
        (void)warm_disk_wait(s->tier->disk, wait_ns);
        warm_disk_poll(s->tier->disk);
    } while (warm__sched_now(s) < end);
    warm_spill_stats left;
    warm_spill_stats_get(s->o.cache, &left);
    warm_log_info("disk", "%llu files, %llu MiB written before the end in %.1f s, %zu left",
                  (unsigned long long)(st.n_written - before.n_written),
                  (unsigned long long)((st.written_bytes - before.written_bytes) >> 20), (double)(warm__sched_now(s) - begin) / 1e9,
                  left.n_waiting);
}

void warm__tier_close(warm_sched *s) {
    warm_tier *t = s->tier;
    if (!t) return;
    for (warm_fetch *f = t->fetches; f; f = f->next) f->ended = true;
    while (t->fetches) {
        (void)fetch_turns(s);
        if (!t->fetches) break;
        (void)warm_disk_wait(t->disk, wait_ns);
        warm_disk_poll(t->disk);
    }
    warm_disk_close(t->disk);
    for (size_t i = 0; i < t->n_scopes; i++) free(t->scopes[i].adapters);
    free(t);
    s->tier = NULL;
}
