/* SPDX-License-Identifier: MIT
 *
 * sched/adapters.c - whose adapters compute now. See sched_internal.h.
 *
 * An engine computes a whole batch with one list of scales, so a batch holds rows of tasks with equal lists only. Each batch is a turn.
 * The list whose turn is longest ago has the next one, and all its tasks with it: of k lists with something to compute each has one
 * turn in k, however many tasks ask for it, and whether or not each of them found room in the batch. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "sched/sched_internal.h"

int warm__adapters_take(warm_task *t, const warm_task_options *o, warm_err *err) {
    const warm_engine_info *info = t->engine->info;
    if (!info->n_adapters) {
        warm_scope_fingerprint(info->scope, NULL, o->salt, t->fingerprint);
        return 0;
    }
    t->scales = warm_malloc(info->n_adapters * sizeof *t->scales);
    if (!t->scales) return warm_err_set(err, WARM_ENOMEM, "no memory for the scales of the adapters");
    for (size_t i = 0; i < info->n_adapters; i++) {
        float scale = o->scales ? o->scales[i] : info->adapters[i].scale;
        t->scales[i] = scale == 0.0f ? 0.0f : scale; /* lists are compared as bytes: there is one zero */
    }
    char *text = warm_adapters_text(info, t->scales);
    if (!text) return warm_err_set(err, WARM_ENOMEM, "no memory for the names of the adapters");
    warm_scope_fingerprint(info->scope, text, o->salt, t->fingerprint);
    free(text);
    return 0;
}

static bool computes(const warm_slot *sl) {
    return sl->state == WARM_SLOT_PREFILL || sl->state == WARM_SLOT_GENERATING;
}

static bool equal(const warm_sched *s, const warm_slot *a, const warm_slot *b) {
    return a == b || !memcmp(a->task->scales, b->task->scales, s->info->n_adapters * sizeof *a->task->scales);
}

void warm__adapters_choose(warm_sched *s) {
    const warm_slot *next = NULL;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        if (!computes(sl)) continue;
        if (!next || sl->waits_since < next->waits_since || (sl->waits_since == next->waits_since && sl->order < next->order))
            next = sl;
    }
    s->n_turns++;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        warm_slot *sl = &s->slots[i];
        sl->has_turn = computes(sl) && (!s->info->n_adapters || equal(s, sl, next));
        if (sl->has_turn || !computes(sl)) sl->waits_since = s->n_turns; /* who is loaded does not wait for a turn */
    }
}

int warm__adapters_apply(warm_sched *s, warm_err *err) {
    if (!s->info->n_adapters) return 0;
    for (uint32_t i = 0; i < s->n_slots; i++) {
        const warm_slot *sl = &s->slots[i];
        if (sl->n_chunk) return s->e->ops->adapters(s->e, sl->task->scales, s->info->n_adapters, err);
    }
    return 0;
}
