/* SPDX-License-Identifier: MIT
 *
 * sched/sched_internal.h - what the scheduler's files share.
 *
 *   sched.c    messages, the turn, the loop, status         seq.c      sequences: begin, fork, take over, drop
 *   admit.c    queue -> slot: plan, room, parking           save.c     cache work in slices: loads, saves
 *   compute.c  batch, decode, sample, finish                points.c   resume points: when snapshots are taken and marks are set
 *   report.c   events and log lines                         adapters.c whose adapters compute now
 *   embed.c    embeddings, between the steps
 *   shift.c    gaps that are closed by moving what follows
 *   tier.c, tier_write.c, tier_plan.c, tier_fetch.c   the disk below the tree (tier.h)
 *   slot_state.c, slot_save.c, slot_restore.c   what slots keep when their task has ended (slot_state.h)
 *
 * A sequence is running (a slot owns it) or resident. It owns its units and lists its cells (pool.h). Invariants
 *  (1) units[0..n) are the cells 0..n-1 of the engine's sequence `id`; units[n..n_want) are still to be computed or loaded.
 *  (2) A sequence may hold a pinned path, which is ahead of it only while it is being loaded; a resident holds none once it is saved.
 *  (3) A resident is dropped only when it is saved, when saving was refused, or when it is not to be cached at all.
 *  (4) Before each decode there are, as far as can be counted, cells and window rows for all that running tasks still have to compute.
 *  (5) An incomplete sequence (its load has not come to its end) is neither decoded, saved, shared nor kept.
 *  (6) What a sequence has behind n_exact is never matched, saved or shared. */
#ifndef WARM_SCHED_INTERNAL_H
#define WARM_SCHED_INTERNAL_H

#include <pthread.h>
#include <string.h>

#include "engine/kv_io.h"
#include "sched/due.h"
#include "sched/output.h"
#include "sched/plan.h"
#include "sched/pool.h"
#include "sched/rates.h"
#include "sched/sched.h"

enum {
    WARM_PREDICT_RESERVE = 256, /* cells kept for a running slot's generation */
    WARM_KNOWN_UNITS = 16,
    WARM_POINTS_MAX = 16,
    WARM_CHUNK_MIN = 64, /* shorter prefill chunks do not give the same bits as longer ones (DESIGN.md section 8) */
};

struct warm_task {
    uint64_t id;
    warm_unit *units;
    size_t n_prompt;
    warm_sampler *sampler;
    size_t n_probs; /* of each token, at most */
    warm_engine *engine;
    uint32_t seed;
    int32_t n_predict;
    int64_t t_max_predict_ms;
    int32_t n_indent, id_slot, n_keep, n_discard, n_cache_reuse;
    size_t *marks;
    size_t n_marks;
    bool cache_prompt, return_progress;
    char **stop;
    size_t n_stop;
    float *scales; /* one for each of the engine's adapters; NULL: it has none */
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    void (*emit)(void *ud, warm_event *ev);
    void *ud;
    uint64_t queued_ns;
    struct warm_fetch *fetch; /* what comes from disk for it */
    bool fetch_tried;
    warm_task *next;
};

/* The end of an answer: clients go on with what they make of it, not always token by token. */
#define WARM_POINT_PRIOR_END (1.0 / 16)
/* Where a prompt was seen to leave another one. */
#define WARM_POINT_PRIOR_BRANCH 1.0

typedef struct warm_slot warm_slot;
typedef struct warm_tier warm_tier;
typedef struct warm_fetch warm_fetch;

/* A resume point of a sequence that is not in the tree yet, because the units before it are not. */
typedef struct warm_point {
    size_t pos;
    double prior;
    warm_snapshot snapshot; /* bytes 0: window rows, to be marked */
} warm_point;

typedef struct warm_seq {
    int32_t id;
    bool in_use;
    warm_slot *slot; /* NULL: resident */
    warm_unit *units;
    uint32_t *cells;
    size_t n, n_want, cap;
    size_t n_exact; /* what it has from here on is not the state of its units (shift.c); SIZE_MAX: all of it is */
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    bool cached;       /* matched by others, saved to the tree */
    bool incomplete;   /* see (5) */
    bool held;         /* resident: it is forked, not taken over, until it is saved (slot_save.c) */
    int32_t last_slot; /* the slot whose task left it, -1 = none yet */
    bool has_path;
    warm_path path;
    warm_due due;      /* where its prefill stops for a resume point */
    size_t last_point; /* the last one, in the tree or waiting */
    warm_point points[WARM_POINTS_MAX];
    unsigned n_points;
    bool saved;              /* resident: nothing is left to save, or saving was refused */
    uint64_t saved_at_bytes; /* warm__residents_taken_in() when that was so */
    size_t refused_at;       /* n when a save found no room, 0 = never */
    uint64_t last_used_ns;
    double idle_from;      /* steps_walked when it went idle */
    uint64_t pool_version; /* of n_exclusive */
    size_t n_exclusive;
} warm_seq;

struct warm_slot {
    int32_t id;
    enum warm_slot_state state;
    warm_task *task;
    warm_seq *seq;
    warm_kv_load *load;
    warm_output out;
    warm_unit *parked_units; /* while parked: what has to be in the context again */
    size_t n_parked;         /* their number the last time it was parked, 0 = never */
    /* while waiting for another one to compute what this one needs, too: until that one, if it still is the leader_order-th, has wait_pos units */
    warm_slot *leader;
    uint64_t leader_order, waiting_since_ns;
    size_t wait_pos;
    bool fetched;              /* its fetch from disk is over */
    size_t disk_from, disk_to; /* units that could not be taken up without it */
    size_t n_begun;            /* where the computing of its prompt began, or will after its load */
    /* counts and times of the task */
    warm_task_timings t;
    uint64_t start_ns, first_token_ns;
    double planned_ms;         /* what its last plan was expected to take; 0 = not known */
    uint64_t prefill_since_ns; /* when its prefill began; 0 = not yet */
    double prefill_ns;         /* what its chunks have taken of the steps since */
    uint64_t order;            /* of admission: the youngest is parked first */
    size_t n_decoded;          /* generated tokens */
    bool prompt_done;
    bool truncated;     /* its context was shifted */
    bool recount;       /* where its prompt's units come from is still to be counted: not when it comes back after it was parked */
    bool no_share;      /* sharing cells failed: not again */
    bool no_load;       /* a load of it failed although nothing was damaged: not again */
    size_t diverged_at; /* where it left the longest known prefix */
    size_t n_known;     /* how the known one went on there, for the log; 0: it did not, or as this one does */
    warm_unit known[WARM_KNOWN_UNITS];
    /* tokens since the last event */
    int32_t *tokens;
    warm_token_prob *probs, *top;
    size_t n_tokens, cap_tokens, n_top, cap_top;
    uint64_t waits_since; /* the turn (adapters.c) that tasks with its scales had last, or in which it began */
    bool has_turn;
    int row;        /* of this step's batch whose logits are its, -1 = none */
    size_t n_chunk; /* units of it in this step's batch */
};

enum warm_message_kind { WARM_MSG_SUBMIT, WARM_MSG_CANCEL, WARM_MSG_BUDGET, WARM_MSG_ORDER, WARM_MSG_EMBED };

typedef struct warm_conversation warm_conversation;

typedef struct warm_message {
    enum warm_message_kind kind;
    warm_task *task;
    struct warm_order *order;
    struct warm_embedding *embedding;
    uint64_t n; /* task id, or bytes */
    struct warm_message *next;
} warm_message;

struct warm_sched {
    warm_sched_options o;
    warm_engine *e;
    const warm_engine_info *info;
    warm_kv *kv;     /* NULL without cache */
    warm_tier *tier; /* NULL without a disk */
    uint32_t n_slots, n_seqs;
    warm_slot *slots;
    warm_seq *seqs;
    warm_pool pool;
    warm_rates rates;
    warm_task *queue, **queue_tail;
    size_t n_queued;
    uint64_t order;
    bool queue_changed;           /* admission is worth trying again */
    warm_seq *urgent;             /* a resident that has to be saved before it can make room */
    uint64_t engine_ns, eager_ns; /* time in decode; time in saves beside it */
    double steps_walked;          /* decode steps, and prefill in such, that went over all cells */
    double mean_answer;           /* tokens, of late */
    size_t budget_wanted;
    bool budget_pending;              /* budget_wanted is new, or pinned blocks still exceed it */
    uint64_t n_turns;                 /* adapters.c */
    warm_conversation *conversations; /* of each slot */
    struct warm_order *orders, **orders_tail;
    struct warm_embedding *embeddings, **embeddings_tail; /* embed.c */
    /* batch */
    int32_t *b_token, *b_pos, *b_seq;
    uint8_t *b_want;
    bool prefill_was_apart; /* the last one had prefill alone, and generating slots wait for the next */
    /* messages */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    warm_message *inbox, **inbox_tail;
    bool woken, stop;
    /* counters and the published status */
    warm_sched_status counters;
    pthread_mutex_t status_lock;
    warm_sched_status published;
};

static inline uint64_t warm__sched_now(const warm_sched *s) {
    return warm_clock_now(s->o.clock);
}

static inline size_t warm__seq_exact(const warm_seq *q) {
    return q->n < q->n_exact ? q->n : q->n_exact;
}
/* Whether what it has is for requests of this scope. */
static inline bool warm__seq_serves(const warm_seq *q, const uint8_t fingerprint[WARM_SCOPE_BYTES]) {
    return q->in_use && q->cached && !memcmp(q->fingerprint, fingerprint, WARM_SCOPE_BYTES);
}

/* seq.c */
warm_seq *warm__seq_new(warm_sched *s, const warm_task *t);
void warm__seq_want(warm_seq *q, const warm_unit *units, size_t n);
void warm__seq_push(warm_seq *q, warm_unit unit);
/* WARM_EAGAIN: no sequence is free; else as the engine's fork. */
int warm__seq_fork(warm_sched *s, warm_seq *src, const warm_plan *p, const warm_task *t, warm_seq **out);
void warm__seq_grow(warm_sched *s, warm_seq *q, size_t n); /* the next n wanted units got their cells */
void warm__seq_drop(warm_sched *s, warm_seq *q);
void warm__seq_leave(warm_sched *s, warm_slot *sl); /* the slot's becomes a resident, or goes if it is of no use */
size_t warm__seq_match(const warm_seq *q, const warm_unit *units, size_t n);
size_t warm__seq_match_wanted(const warm_seq *q, const warm_unit *units, size_t n); /* of what it is going to have */
/* How many units a and b begin with alike. */
size_t warm__units_match(const warm_unit *a, size_t n_a, const warm_unit *b, size_t n_b);
size_t warm__seq_exclusive(warm_sched *s, warm_seq *q);
warm_seq *warm__seq_oldest_resident(warm_sched *s, const warm_seq *except);
size_t warm__seq_count_residents(const warm_sched *s);

/* save.c */
bool warm__save_one(warm_sched *s, warm_seq *q); /* one piece; false: nothing more can be saved now */
void warm__save_all(warm_sched *s, warm_seq *q);
bool warm__cache_slice(warm_sched *s);
/* Saves what may lose its window rows from now on: the next decode recycles those behind the window, and so does a load or a fork of another sequence. */
void warm__save_windows(warm_sched *s);

/* residents.c */
/* A step computed so many rows of either. */
void warm__residents_walked(warm_sched *s, size_t n_generating, size_t n_prefill);
void warm__residents_answered(warm_sched *s, size_t n_tokens); /* an answer ended */
/* Between admission, which may still want them, and the loads and steps that would go around them. */
void warm__drop_dear_residents(warm_sched *s);
/* Bytes that have gone into the cache. */
uint64_t warm__residents_taken_in(const warm_sched *s);

/* admit.c */
bool warm__admit(warm_sched *s);
/* Drops the oldest resident but `except`. Saving what is left of it comes first: in slices while somebody would wait for it (urgent; false
 * for now), at once otherwise or when forced. */
bool warm__drop_oldest(warm_sched *s, const warm_seq *except, bool force);
/* Saves what is left of a resident that is about to change or to go; urgent and forced as above. */
bool warm__save_before_use(warm_sched *s, warm_seq *q, bool force);
/* Makes room for the next tokens before a decode: drops residents, then parks the youngest. false: one task alone is left and the context
 * is full. */
bool warm__make_room_for_step(warm_sched *s);
/* The engine had no room although it was counted: one resident goes, or the youngest is parked. false as above. */
bool warm__give_way(warm_sched *s);
/* Gives up the slot's sequence and has its task planned anew. */
void warm__start_again(warm_sched *s, warm_slot *sl);

/* points.c */
/* The sequence has reached a position that is likely to be asked for: takes the snapshot, or notes the mark. */
void warm__point_take(warm_sched *s, warm_seq *q, double prior);
/* Where the prefill stops next: at a due position, or where one that waits for it leaves it; at the latest at its end. */
size_t warm__points_next(const warm_sched *s, const warm_seq *q);
/* The prefill has come to its n: takes a point if that is such a position. */
void warm__points_reached(warm_sched *s, warm_seq *q);
/* How far apart they have to be (warm_due_gap). */
size_t warm__points_gap(const warm_sched *s);
/* Puts those whose units are in the tree there. */
void warm__points_commit(warm_sched *s, warm_seq *q);
/* Up to where its units are worth saving: all of them, or, where they can't be taken up again without a snapshot, up to the last one. */
size_t warm__points_save_end(const warm_sched *s, const warm_seq *q);
/* Up to where a running one's are to be saved although that leaves a short piece: 0 = nowhere. */
size_t warm__points_wanted(const warm_seq *q);
void warm__points_drop(warm_sched *s, warm_seq *q);
/* Gives up the oldest snapshot that waits, unless it is the last one. */
bool warm__points_yield(warm_sched *s, warm_seq *q);
/* Whether the tree could give it back as it is, but for less than a gap. */
bool warm__points_in_tree(warm_sched *s, const warm_seq *q);

/* adapters.c */
/* Gives the task its scales and its fingerprint. */
int warm__adapters_take(warm_task *t, const warm_task_options *o, warm_err *err);
/* Says in has_turn which slots the next batch may compute. */
void warm__adapters_choose(warm_sched *s);
/* Makes the engine compute with what they ask for. */
int warm__adapters_apply(warm_sched *s, warm_err *err);

/* compute.c */
bool warm__compute(warm_sched *s);
void warm__slot_fail(warm_sched *s, warm_slot *sl, const warm_err *err);
void warm__load_end(warm_sched *s, warm_slot *sl);

/* tier.c. Nothing happens without a disk. */
int warm__tier_open(warm_sched *s, void (*wake)(void *ud), warm_err *err);
void warm__tier_save(warm_sched *s); /* at the end: what is not on disk yet, within the time for it */
void warm__tier_close(warm_sched *s);
bool warm__tier_turn(warm_sched *s);
uint64_t warm__tier_due(const warm_sched *s); /* when the next turn is due, if nothing happens before */
/* Begins to fetch what is worth it of units[0..n) for a task that has `have` of them without. false: nothing is. */
bool warm__tier_fetch(warm_sched *s, warm_task *t, const warm_unit *units, size_t n, size_t have);
bool warm__tier_waits(const warm_task *t);
void warm__tier_take(warm_slot *sl); /* notes what the fetch of its task has brought, and ends it */
void warm__tier_give_up(warm_task *t);
void warm__tier_note_scope(warm_sched *s, const warm_task *task);
void warm__tier_stats(const warm_sched *s, warm_sched_status *st);

/* shift.c */
/* The context is full with this slot's units, and the user wants the oldest of them to go. */
bool warm__shift_due(const warm_sched *s, const warm_slot *sl);
/* WARM_ENOTFOUND, WARM_ENOTSUP: it can't be, and the slot's sequence is as before. After any other error it has no cells. */
int warm__shift_context(warm_sched *s, warm_slot *sl, warm_err *err);
/* The resident of which most of a prompt can be had by moving, if that is more than *n_reused, which is then how much. */
warm_seq *warm__reuse_find(warm_sched *s, const warm_task *t, const warm_unit *units, size_t n, size_t *n_reused);
/* Leaves q with what the prompt can use of it. WARM_EAGAIN: not now; after any other error q is gone. */
int warm__reuse_move(warm_sched *s, warm_seq *q, const warm_task *t, const warm_unit *units, size_t n);
/* sched.c */
void warm__post_order(warm_sched *s, struct warm_order *a);         /* [any] */
void warm__post_embedding(warm_sched *s, struct warm_embedding *x); /* [any] */
bool warm__mail_waits(warm_sched *s);                               /* [any] somebody has posted a message since the turn began */
void warm__publish(warm_sched *s);

/* embed.c */
void warm__embeddings_init(warm_sched *s);
void warm__embeddings_deinit(warm_sched *s); /* fails what waits */
void warm__embedding_add(warm_sched *s, struct warm_embedding *x);
bool warm__embed(warm_sched *s); /* one call of the engine */

/* slot_state.c */
void warm__slot_states_init(warm_sched *s);
void warm__slot_states_deinit(warm_sched *s); /* fails what is under way */
/* Keeps what the slot's task leaves behind; before its sequence and its task go. */
void warm__slot_remember(warm_sched *s, const warm_slot *sl);
bool warm__slot_held(const warm_sched *s, const warm_slot *sl);
void warm__order_add(warm_sched *s, struct warm_order *a);
bool warm__slot_orders(warm_sched *s); /* a turn of each */

/* report.c */
void warm__emit_tokens(warm_sched *s, warm_slot *sl);
void warm__emit_progress(warm_sched *s, warm_slot *sl);
/* The last events. sl: NULL, the task never had a slot. */
warm_event *warm__event_done(warm_sched *s, warm_slot *sl, enum warm_stop stop, const char *word, bool truncated);
warm_event *warm__event_failed(warm_sched *s, warm_task *t, warm_slot *sl, const warm_err *err);
void warm__slot_note_token(warm_slot *sl, const warm_sampled *sampled);
/* at: the longest match; src: the sequence that has it, NULL = the tree */
void warm__note_divergence(warm_sched *s, warm_slot *sl, const warm_seq *src, size_t at);

#endif
