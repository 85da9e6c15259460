/* SPDX-License-Identifier: MIT
 *
 * sched/slot_state.h - what a slot keeps when its task has ended, and the orders to save it, restore it and erase it.
 *
 * A slot's conversation is the units of the last task that ran in it, prompt and answer, as far as they were computed. It holds no cells and pins
 * nothing: where its state is, if anywhere, is up to the residents and the tree. An order waits until its slot is idle; orders for one slot are
 * carried out one after the other.
 *   slot_state.c    conversations, orders in turn, erasing      slot_save.c      out of the tree into a file
 *                                                               slot_restore.c   out of a file into the tree
 *
 * Invariants
 *  (1) The engine thread touches no file: what blocks is a job of the options' slot_worker, one at a time per order.
 *  (2) While a job is out, the engine thread touches nothing that it was given but to wait for it.
 *  (3) An order that fails leaves the slot's conversation as it was.
 * Threads: [engine], unless marked. */
#ifndef WARM_SCHED_SLOT_STATE_H
#define WARM_SCHED_SLOT_STATE_H

#include "sched/sched_internal.h"
#include "store/slot_io.h"

struct warm_conversation {
    warm_unit *units;
    size_t n;
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    char *adapters; /* part of the fingerprint (warm_adapters_text); NULL or "": none */
    bool held;      /* by an order: no task is started in the slot */
};

enum warm_order_phase { WARM_ORDER_WAITING, WARM_ORDER_SAVING, WARM_ORDER_WRITING, WARM_ORDER_OPENING, WARM_ORDER_READING };

typedef struct warm_slot_save warm_slot_save;
typedef struct warm_slot_restore warm_slot_restore;

typedef struct warm_order {
    warm_slot_order o; /* its name is a copy */
    enum warm_order_phase phase;
    warm_sched *sched;
    uint64_t start_ns;
    warm_slot_result result;
    warm_slot_save *save;
    warm_slot_restore *restore;
    void (*run)(struct warm_order *a); /* the job; sets result.err */
    bool job_out, job_done;            /* under the scheduler's lock */
    struct warm_order *next;
} warm_order;

/* Gives a job to the slot worker. */
void warm__order_post(warm_order *a, void (*run)(warm_order *a));
/* Makes a copy of c the slot's conversation. false: there was no memory, and it is as before; an empty one needs none. */
bool warm__conversation_set(warm_sched *s, int32_t id_slot, const warm_conversation *c);

/* One turn of an order whose slot is idle and whose job, if it had one, is done: true when it has ended, with a result. */
bool warm__slot_save_turn(warm_order *a);
bool warm__slot_restore_turn(warm_order *a);
/* Gives back all that the order holds. Its job is done. */
void warm__slot_save_free(warm_order *a);
void warm__slot_restore_free(warm_order *a);

#endif
