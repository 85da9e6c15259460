/* SPDX-License-Identifier: MIT
 *
 * sched/admit.c - from the queue into a slot: the plan, and room for it in the context.
 *
 * The context is one pool of cells. A task is admitted when there is room for what its prompt needs and for up to WARM_PREDICT_RESERVE
 * further tokens of it and of every running one: looking ahead for all of them keeps a parked task from coming back only to be parked again.
 * Room comes from residents, oldest first; when that is not enough while generating, the youngest running task is parked: its sequence becomes a
 * resident, which it continues when there is room, or which goes as others do; then it starts again from the cache. All of this begins ROOM_AHEAD
 * tokens before the cells are needed, so that what has to be saved is saved in slices meanwhile. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sched/sched_internal.h"

/* Of each that runs; with the default slices that is time to save some hundred MB. */
enum { ROOM_AHEAD = 64 };

/* Tokens that a task may still generate, `most` at most. */
static size_t reserve_for(const warm_sched *s, const warm_task *t, size_t n_want, size_t n_decoded, size_t most) {
    size_t n = most;
    if (t->n_predict >= 0) {
        size_t left = (size_t)t->n_predict > n_decoded ? (size_t)t->n_predict - n_decoded : 0;
        if (left < n) n = left;
    }
    size_t room = n_want < s->info->n_ctx ? s->info->n_ctx - n_want : 0;
    return n < room ? n : room;
}

/* Cells that running tasks need: for the rest of their prompts, the next token, and up to `ahead` that each may generate. */
static size_t cells_needed(const warm_sched *s, size_t ahead) {
    size_t sum = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        if (!sl->seq) continue;
        sum += sl->seq->n_want - sl->seq->n;
        sum += reserve_for(s, sl->task, sl->seq->n_want, sl->n_decoded, ahead);
    }
    return sum;
}

static size_t count_new(uint8_t *seen, const warm_seq *q, size_t n) {
    size_t found = 0;
    for (size_t k = 0; k < n; k++) {
        found += !seen[q->cells[k]];
        seen[q->cells[k]] = 1;
    }
    return found;
}

/* Cells that running sequences list, and the first n_shared of src: what no resident can give back if src is shared. Shared ones count once. */
static size_t cells_running(const warm_sched *s, const warm_seq *src, size_t n_shared) {
    uint8_t *seen = warm_xcalloc(s->pool.n_cells, 1);
    size_t n = src ? count_new(seen, src, n_shared) : 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_seq *q = s->slots[i].seq;
        if (q) n += count_new(seen, q, q->n);
    }
    free(seen);
    return n;
}

static bool any_generating(const warm_sched *s) {
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].state == WARM_SLOT_GENERATING) return true;
    }
    return false;
}

bool warm__save_before_use(warm_sched *s, warm_seq *q, bool force) {
    if (!q->saved && !force && any_generating(s)) {
        s->urgent = q;
        return false;
    }
    warm__save_all(s, q);
    return true;
}

bool warm__drop_oldest(warm_sched *s, const warm_seq *except, bool force) {
    warm_seq *q = warm__seq_oldest_resident(s, except);
    if (!q || !warm__save_before_use(s, q, force)) return false;
    warm__seq_drop(s, q);
    return true;
}

/* Window rows can't be shared, so forks may run out of them while there are cells. */
static bool rows_short(const warm_sched *s) {
    size_t n_window = s->info->n_window, held = 0, next = 0;
    if (!n_window) return false;
    for (uint32_t i = 0; i < s->n_seqs; i++) {
        const warm_seq *q = &s->seqs[i];
        if (!q->in_use) continue;
        size_t behind = q->n_want > n_window ? q->n_want - n_window : 0, left = q->n_want - q->n;
        held += q->n_want - behind;
        next += behind < left ? behind : left;
    }
    return held + (next < s->info->n_ubatch ? next : s->info->n_ubatch) > s->info->n_rows;
}

static bool make_room(warm_sched *s, size_t ahead, bool force) {
    while (warm_pool_free_cells(&s->pool) < cells_needed(s, ahead) || rows_short(s)) {
        if (!warm__drop_oldest(s, NULL, force)) return false;
    }
    return true;
}

/* The slot is without a sequence; its task begins (again) with these units later. */
static void set_units_aside(warm_slot *sl, const warm_unit *units, size_t n, enum warm_slot_state state) {
    sl->n_parked = n;
    sl->parked_units = warm_xmalloc(n * sizeof *units);
    memcpy(sl->parked_units, units, n * sizeof *units);
    sl->state = state;
}

static void park(warm_sched *s, warm_slot *sl) {
    warm_seq *q = sl->seq;
    warm_log_info("sched", "task=%llu slot=%d parked at %zu units: the context is full", (unsigned long long)sl->task->id, sl->id,
                  q->n);
    if (sl->load) warm__load_end(s, sl);
    if (!sl->seq) return; /* without its load it is set aside already */
    if (sl->t.n_computed) sl->recount = false;
    warm__point_take(s, q, WARM_POINT_PRIOR_END);
    set_units_aside(sl, q->units, q->n_want, WARM_SLOT_PARKED);
    warm__seq_leave(s, sl);
}

void warm__start_again(warm_sched *s, warm_slot *sl) {
    set_units_aside(sl, sl->seq->units, sl->seq->n_want, WARM_SLOT_PARKED);
    warm__seq_leave(s, sl);
    s->queue_changed = true;
}

static bool park_youngest(warm_sched *s) {
    warm_slot *youngest = NULL;
    unsigned n_running = 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (!sl->seq) continue;
        n_running++;
        if (!youngest || sl->order > youngest->order) youngest = sl;
    }
    if (n_running < 2) return false;
    park(s, youngest);
    return true;
}

bool warm__make_room_for_step(warm_sched *s) {
    /* What is not saved by the time the cells are needed is saved at once. */
    if (any_generating(s) && !make_room(s, ROOM_AHEAD, false) && !s->urgent) (void)park_youngest(s);
    while (!make_room(s, 0, true)) {
        if (!park_youngest(s)) return false;
    }
    return true;
}

bool warm__give_way(warm_sched *s) {
    return warm__drop_oldest(s, NULL, true) || park_youngest(s);
}

/* The last resume point in the tree, of all units but the last, which is always computed. Pinned before room is made: that must not evict what
 * it is made for. *match: how much the tree has, resumable or not. */
static warm_resume look_up(warm_sched *s, const warm_slot *sl, const warm_unit *units, size_t n, size_t *match) {
    warm_path path = {0};
    warm_resume r = {0};
    warm_scope *scope;
    *match = 0;
    if (!s->kv || !sl->task->cache_prompt || sl->no_load || warm_cache_scope(s->o.cache, sl->task->fingerprint, &scope)) return r;
    *match = warm_cache_lookup(s->o.cache, scope, units, n - 1, &path);
    if (warm_cache_resume(s->o.cache, &path, &r)) *match = 0;
    return r;
}

/* Where a sequence that agrees on the first m units can be continued. */
static size_t continue_at(warm_sched *s, const warm_seq *q, size_t m) {
    if (m == q->n || s->info->state == WARM_STATE_RANGES) return m;
    return m && s->e->ops->can_continue(s->e, q->id, (int32_t)m) ? m : 0;
}

/* The slot in which the sequence is about to get more of its prompt, or NULL. */
static const warm_slot *prefills(const warm_seq *q) {
    const warm_slot *sl = q->slot;
    if (!sl || q->n_exact < q->n_want) return NULL;
    return sl->state == WARM_SLOT_PREFILL || sl->state == WARM_SLOT_LOADING ? sl : NULL;
}

static void list_seqs(warm_sched *s, const warm_slot *sl, const warm_unit *units, size_t n, double load_unit_ns,
                      warm_plan_input *in, warm_plan_seq *seqs, warm_seq **who) {
    const warm_task *t = sl->task;
    for (uint32_t i = 0; t->cache_prompt && !sl->no_share && i < s->n_seqs; i++) {
        warm_seq *q = &s->seqs[i];
        if (!warm__seq_serves(q, t->fingerprint)) continue;
        size_t match = q->incomplete ? 0 : warm__seq_match(q, units, n - 1);
        warm_plan_seq *x = &seqs[in->n_seqs];
        *x = (warm_plan_seq){
            .n = q->n, .n_match = match, .n_continue = continue_at(s, q, match), .running = q->slot != NULL || q->held};
        const warm_slot *by = prefills(q);
        if (by) {
            x->n_ahead = warm__seq_match_wanted(q, units, n - 1);
            x->n_begun = q->n > by->n_begun ? q->n : by->n_begun;
            x->begin_ns = load_unit_ns * (double)(x->n_begun - q->n);
        }
        who[in->n_seqs++] = q;
    }
    in->seqs = seqs;
}

/* What the resume point in host memory costs. */
static warm_plan_point ram_point(const warm_sched *s, const warm_resume *r) {
    warm_plan_point p = {.n = r->path.n_units};
    double rate = s->kv ? warm_kv_rates_get(s->kv).load_bytes_per_ns : 0;
    if (rate <= 0) return p;
    size_t fixed = r->snapshot.bytes;
    for (size_t i = 0; i < r->n_window; i++) fixed += r->window[i].window_bytes;
    p.unit_ns = (double)s->e->ops->state_bytes(s->e, WARM_BLOCK_UNITS) / WARM_BLOCK_UNITS / rate;
    p.fixed_ns = (double)fixed / rate;
    return p;
}

static warm_plan make_plan(warm_sched *s, const warm_slot *sl, const warm_unit *units, size_t n, const warm_resume *r,
                           size_t n_tree_match, warm_plan_seq *seqs, warm_seq **who) {
    warm_plan_point ram = ram_point(s, r);
    warm_plan_input in = {.state = s->info->state,
                          .n_prompt = n,
                          .n_tree_match = n_tree_match,
                          .points = &ram,
                          .n_points = 1,
                          .compute = warm_rates_prefill_cost(&s->rates),
                          .fork_ns = warm_rates_fork_ns(&s->rates)};
    list_seqs(s, sl, units, n, ram.unit_ns, &in, seqs, who);
    return warm_plan_make(&in);
}

/* Whether the plan could ever get its room with what runs now, all residents gone. Asked first, so that none is dropped in vain. */
static bool could_fit(const warm_sched *s, const warm_task *t, const warm_plan *p, const warm_seq *src, size_t n,
                      size_t n_decoded) {
    size_t need = n - p->n_device + reserve_for(s, t, n, n_decoded, WARM_PREDICT_RESERVE);
    return cells_running(s, src, p->n_device) + cells_needed(s, WARM_PREDICT_RESERVE) + need <= s->info->n_ctx;
}

static warm_seq *begin_seq(warm_sched *s, warm_slot *sl, const warm_plan *p, warm_seq *src) {
    warm_seq *q = src;
    if (!src || !p->take_over) {
        const warm_task *t = sl->task;
        int rc = 0;
        q = NULL;
        while (src ? (rc = warm__seq_fork(s, src, p, t, &q)) != 0 : !(q = warm__seq_new(s, t))) {
            bool room = (!rc || rc == WARM_EAGAIN || rc == WARM_EFULL) && warm__drop_oldest(s, src, false);
            if (room) continue;
            sl->no_share = rc && rc != WARM_EAGAIN;
            return NULL;
        }
    }
    q->slot = sl;
    sl->seq = q;
    if (s->urgent == q) s->urgent = NULL; /* nobody waits for its cells any more: they are needed */
    return q;
}

/* Takes back what begin_seq did: there was no room after all. */
static void unbegin(warm_sched *s, warm_slot *sl, bool taken_over) {
    warm_seq *q = sl->seq;
    sl->seq = NULL;
    q->slot = NULL;
    q->n_want = q->n;
    if (!taken_over) warm__seq_drop(s, q);
}

/* Takes the resume point, which is what the plan was made with. The sequence's own path is one that is not ahead of it. */
static void begin_load(warm_sched *s, warm_slot *sl, const warm_plan *p, warm_resume *r) {
    warm_seq *q = sl->seq;
    sl->state = WARM_SLOT_PREFILL;
    sl->fetched = false; /* should it come back here, the tree may have lost what came */
    if (q->has_path) warm_path_release(s->o.cache, &q->path);
    q->has_path = r->path.block_ && r->path.n_units <= p->n_load;
    if (q->has_path) warm_path_clone(s->o.cache, &r->path, &q->path);
    if (p->n_load == p->n_device && p->complete) {
        warm_resume_release(s->o.cache, r);
        return;
    }
    q->incomplete = s->info->state != WARM_STATE_RANGES;
    sl->load = warm_kv_load_begin(s->kv, q->id, r, q->n, p->complete);
    sl->state = WARM_SLOT_LOADING;
}

/* Where its prefill is to stop for resume points. */
static void set_due(warm_sched *s, const warm_slot *sl, const warm_plan *p, size_t n) {
    warm_seq *q = sl->seq;
    q->due = (warm_due){0};
    q->last_point = p->n_load;
    if (!s->kv || !q->cached || q->n > q->n_exact || s->info->state == WARM_STATE_RANGES) return;
    warm_due_input in = {.n_prompt = n,
                         .from = p->n_load,
                         .branch = p->n_known,
                         .marks = sl->task->marks,
                         .n_marks = sl->task->n_marks,
                         .gap = warm__points_gap(s)};
    warm_due_make(&in, &q->due);
}

/* Where its user lets it use text that stands elsewhere, and that leaves less to compute than what is exact. */
static bool plan_reuse(warm_sched *s, const warm_task *t, const warm_unit *units, size_t n, warm_plan *p, warm_seq **src) {
    size_t n_reused = p->n_load;
    warm_seq *q = warm__reuse_find(s, t, units, n, &n_reused);
    if (!q) return false;
    *src = q;
    *p = (warm_plan){.take_over = true, .complete = true, .n_device = n_reused, .n_load = n_reused, .n_known = p->n_known};
    return true;
}

static void begin_wait(warm_sched *s, warm_slot *sl, const warm_plan *p, warm_seq *leader, const warm_unit *units, size_t n) {
    sl->leader = leader->slot;
    sl->leader_order = leader->slot->order;
    sl->wait_pos = p->n_wait;
    sl->waiting_since_ns = warm__sched_now(s);
    set_units_aside(sl, units, n, WARM_SLOT_WAITING);
}

/* Waits for what comes from disk, if something does that the plan has not. */
static bool waits_for_disk(warm_sched *s, warm_slot *sl, const warm_plan *p, const warm_unit *units, size_t n) {
    warm_task *t = sl->task;
    if (!s->tier || sl->fetched || sl->no_load || !t->cache_prompt) return false;
    if (!t->fetch && !warm__tier_fetch(s, t, units, n, p->n_load)) return false;
    sl->leader = NULL;
    sl->waiting_since_ns = warm__sched_now(s);
    set_units_aside(sl, units, n, WARM_SLOT_WAITING);
    return true;
}

/* Whether the one it waits for is still on its way. If not, what that one has computed is there to be used, however it ended. */
static bool still_waits(const warm_slot *sl) {
    const warm_slot *l = sl->leader;
    if (!l) return warm__tier_waits(sl->task);
    return l->seq && l->order == sl->leader_order && prefills(l->seq) && l->seq->n < sl->wait_pos;
}

static warm_slot *done_waiting(warm_sched *s) {
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].state == WARM_SLOT_WAITING && !still_waits(&s->slots[i])) return &s->slots[i];
    }
    return NULL;
}

/* Tries to give the slot's task (new or parked) its sequence. units[0..n) have to be in the context before the next token is sampled. */
static bool start(warm_sched *s, warm_slot *sl, const warm_unit *units, size_t n) {
    warm_plan_seq *seqs = warm_xcalloc(s->n_seqs, sizeof *seqs);
    warm_seq **who = warm_xcalloc(s->n_seqs, sizeof *who);
    size_t n_tree_match;
    if (!warm__tier_waits(sl->task)) warm__tier_take(sl);
    warm_resume r = look_up(s, sl, units, n, &n_tree_match);
    warm_plan p = make_plan(s, sl, units, n, &r, n_tree_match, seqs, who);
    sl->planned_ms = p.cost_ns / 1e6;
    warm_seq *q, *src = p.seq >= 0 ? who[p.seq] : NULL, *leader = p.wait_for >= 0 ? who[p.wait_for] : NULL;
    free(seqs);
    free(who);
    if (leader) {
        begin_wait(s, sl, &p, leader, units, n);
        warm_resume_release(s->o.cache, &r);
        return true;
    }
    if (waits_for_disk(s, sl, &p, units, n)) {
        warm_resume_release(s->o.cache, &r);
        return true;
    }
    bool moved = plan_reuse(s, sl->task, units, n, &p, &src);
    if (!could_fit(s, sl->task, &p, src, n, sl->n_decoded)) goto no_room;
    /* Before room is made: that may drop the sequence it diverged from. */
    if (sl->recount) warm__note_divergence(s, sl, src && !moved && p.n_known == p.n_device ? src : NULL, p.n_known);
    int rc = moved ? warm__reuse_move(s, src, sl->task, units, n) : 0;
    if (rc == WARM_EAGAIN) goto no_room;
    q = rc ? NULL : begin_seq(s, sl, &p, src);
    if (rc || (!q && sl->no_share && src)) {
        warm_resume_release(s->o.cache, &r);
        return start(s, sl, units, n);
    }
    if (!q) goto no_room;
    warm__seq_want(q, units, n);
    if (!make_room(s, WARM_PREDICT_RESERVE, false)) {
        unbegin(s, sl, p.take_over);
        goto no_room;
    }
    if (sl->recount) {
        sl->t.n_device = p.n_device;
        sl->t.n_ram = sl->t.n_disk = 0; /* of a load that came to nothing */
        sl->t.n_shifted = q->n - warm__seq_exact(q);
    }
    q->saved = false;
    q->refused_at = 0;
    sl->n_begun = p.n_load;
    set_due(s, sl, &p, n);
    begin_load(s, sl, &p, &r);
    return true;

no_room:
    warm_resume_release(s->o.cache, &r);
    return false;
}

static bool start_parked(warm_sched *s, warm_slot *sl) {
    warm_unit *units = sl->parked_units;
    sl->parked_units = NULL;
    if (start(s, sl, units, sl->n_parked)) {
        free(units);
        return true;
    }
    sl->parked_units = units;
    return false;
}

static bool resume_parked(warm_sched *s, bool *waiting) {
    warm_slot *oldest = NULL;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        if (sl->state == WARM_SLOT_PARKED && (!oldest || sl->order < oldest->order)) oldest = sl;
    }
    *waiting = oldest != NULL;
    return oldest && start_parked(s, oldest);
}

/* One whose wait is over goes on like one that was parked. */
static void end_waits(warm_sched *s) {
    for (warm_slot *sl; (sl = done_waiting(s)) != NULL;) {
        *(sl->leader ? &sl->t.wait_ms : &sl->t.load_ms) += (double)(warm__sched_now(s) - sl->waiting_since_ns) / 1e6;
        sl->state = WARM_SLOT_PARKED;
        s->queue_changed = true;
    }
}

static warm_slot *find_slot(warm_sched *s, int32_t id) {
    for (uint32_t i = 0; i < s->n_slots; i++) {
        if (s->slots[i].state == WARM_SLOT_IDLE && (id < 0 || s->slots[i].id == id) && !warm__slot_held(s, &s->slots[i]))
            return &s->slots[i];
    }
    return NULL;
}

static bool start_task(warm_sched *s, warm_slot *sl, warm_task *t) {
    warm__tier_note_scope(s, t);
    *sl = (warm_slot){.id = sl->id, .task = t, .order = s->order, .waits_since = s->n_turns, .row = -1, .recount = true};
    sl->start_ns = warm__sched_now(s);
    sl->t.n_prompt = t->n_prompt;
    sl->t.wait_ms = (double)(sl->start_ns - t->queued_ns) / 1e6;
    if (!start(s, sl, t->units, t->n_prompt)) {
        sl->task = NULL;
        sl->state = WARM_SLOT_IDLE;
        return false;
    }
    s->order++;
    warm_output_init(&sl->out, t->stop, t->n_stop, t->n_indent, SIZE_MAX / 2);
    s->counters.n_tasks++;
    s->counters.n_prompt_tokens += t->n_prompt;
    /* A stream can begin: its client may not wait for headers as long as for a long prompt. */
    warm__emit_progress(s, sl);
    return true;
}

bool warm__admit(warm_sched *s) {
    end_waits(s);
    if (!s->queue_changed) return false;
    bool did = false, waiting = false;
    while (resume_parked(s, &waiting)) did = true;
    /* Nobody overtakes a parked task: it would wait for ever behind small ones. */
    for (warm_task **at = &s->queue; *at && !waiting;) {
        warm_task *t = *at;
        warm_slot *sl = find_slot(s, t->id_slot);
        if (!sl) {
            /* A task that asked for a busy slot waits for it and holds nobody up. */
            if (t->id_slot < 0) break;
            at = &t->next;
            continue;
        }
        if (!start_task(s, sl, t)) break;
        *at = t->next;
        if (!*at) s->queue_tail = at;
        t->next = NULL;
        s->n_queued--;
        did = true;
    }
    /* Whoever found no room has dropped what it could: that changes nothing for the next try. */
    s->queue_changed = false;
    return did;
}
