/* SPDX-License-Identifier: MIT
 *
 * sched/task.c - see task.h. */
#include "sched/task.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/alloc.h"
#include "sched/marks.h"
#include "sched/sched_internal.h"

static atomic_uint_fast64_t next_id;

static int copy_stops(warm_task *t, const warm_task_options *o) {
    if (!o->n_stop) return 0;
    t->stop = warm_calloc(o->n_stop, sizeof *t->stop);
    if (!t->stop) return WARM_ENOMEM;
    for (size_t i = 0; i < o->n_stop; i++) {
        if (!o->stop[i][0]) continue;
        t->stop[t->n_stop] = warm_strndup(o->stop[i], strlen(o->stop[i]));
        if (!t->stop[t->n_stop]) return WARM_ENOMEM;
        t->n_stop++;
    }
    return 0;
}

static int copy_prompt(warm_task *t, const warm_task_options *o, warm_err *err) {
    t->units = warm_malloc((o->n_tokens ? o->n_tokens : 1) * sizeof *t->units);
    if (!t->units) return warm_err_set(err, WARM_ENOMEM, "no memory for a prompt of %zu tokens", o->n_tokens);
    for (size_t i = 0; i < o->n_tokens; i++) {
        int32_t token = o->tokens[i];
        if (token < 0 || (uint32_t)token >= t->engine->info->n_vocab) {
            return warm_err_set(err, WARM_EINVAL, "prompt: token %d at position %zu is not in the vocabulary (0..%u)", token, i,
                                t->engine->info->n_vocab - 1);
        }
        t->units[i] = (warm_unit)token;
    }
    t->n_prompt = o->n_tokens;
    return 0;
}

static int make_sampler(warm_task *t, const warm_task_options *o, warm_err *err) {
    warm_sampling sampling = o->sampling;
    if (sampling.seed == UINT32_MAX && getrandom(&sampling.seed, sizeof sampling.seed, 0) != (ssize_t)sizeof sampling.seed) {
        return warm_err_set(err, WARM_EIO, "no random numbers for a seed");
    }
    t->seed = sampling.seed;
    t->n_probs = sampling.n_probs > 0 ? (size_t)sampling.n_probs : 0;
    if (t->n_probs > t->engine->info->n_vocab) t->n_probs = t->engine->info->n_vocab;
    int rc = t->engine->ops->sampler_new(t->engine, &sampling, &t->sampler, err);
    /* The penalties look back into the prompt. */
    for (size_t i = 0; !rc && i < t->n_prompt; i++) {
        rc = t->engine->ops->sampler_accept(t->engine, t->sampler, (int32_t)t->units[i], false, err);
    }
    return rc;
}

int warm_task_new(warm_engine *e, const warm_task_options *o, warm_task **out, warm_err *err) {
    warm_task *t = warm_xcalloc(1, sizeof *t);
    t->id = atomic_fetch_add(&next_id, 1);
    t->engine = e;
    t->n_predict = o->n_predict;
    t->t_max_predict_ms = o->t_max_predict_ms;
    t->n_indent = o->n_indent;
    t->id_slot = o->id_slot;
    t->n_keep = o->n_keep;
    t->n_discard = o->n_discard;
    t->n_cache_reuse = o->n_cache_reuse;
    t->cache_prompt = o->cache_prompt;
    t->return_progress = o->return_progress;
    t->emit = o->emit;
    t->ud = o->ud;
    int rc = warm__adapters_take(t, o, err);
    if (!rc) rc = copy_prompt(t, o, err);
    bool any_position = e->info->state == WARM_STATE_RANGES || !t->cache_prompt;
    if (!rc && !any_position && warm_marks_find(e, o->tokens, o->n_tokens, &t->marks, &t->n_marks))
        rc = warm_err_set(err, WARM_ENOMEM, "no memory for a prompt of %zu tokens", o->n_tokens);
    free(o->tokens);
    if (!rc && copy_stops(t, o)) rc = warm_err_set(err, WARM_ENOMEM, "no memory for the stop strings");
    if (!rc) rc = make_sampler(t, o, err);
    if (rc) {
        warm_task_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

uint64_t warm_task_id(const warm_task *t) {
    return t->id;
}

void warm_task_free(warm_task *t) {
    if (!t) return;
    if (t->sampler) t->engine->ops->sampler_free(t->engine, t->sampler);
    for (size_t i = 0; i < t->n_stop; i++) free(t->stop[i]);
    free(t->stop);
    free(t->scales);
    free(t->units);
    free(t->marks);
    free(t);
}

void warm_event_free(warm_event *ev) {
    if (!ev) return;
    free(ev->text);
    free(ev->tokens);
    free(ev->probs);
    free(ev->top);
    free(ev->stop_word);
    free(ev);
}
