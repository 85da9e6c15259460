/* SPDX-License-Identifier: MIT
 *
 * sched/task.h - one request for the scheduler, and what it answers.
 *
 * A task is filled by its submitter, handed over by warm_sched_submit (which takes it) and is immutable from then on; a slot
 * carries exactly one. The scheduler answers with events: a WARM_EV_PROGRESS when a slot takes it (with
 * return_progress more of them during its prefill), any number of WARM_EV_TOKEN, then exactly one
 * WARM_EV_DONE or WARM_EV_FAILED, also after a cancel. After that the scheduler frees the task.
 * Threads: stated at each function. */
#ifndef WARM_SCHED_TASK_H
#define WARM_SCHED_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/cache.h"
#include "warmslot/engine.h"

typedef struct warm_task warm_task;

enum warm_stop { WARM_STOP_NONE = 0, WARM_STOP_EOS, WARM_STOP_WORD, WARM_STOP_LIMIT };

/* Where the prompt's units came from, and what that took. n_device + n_ram + n_disk + n_computed = n_prompt. */
typedef struct warm_task_timings {
    size_t n_prompt;
    size_t n_device;   /* units shared with or taken over from a sequence in the context */
    size_t n_shifted;  /* of these, those that were moved there, or stand behind such (n_cache_reuse) */
    size_t n_ram;      /* units loaded from host memory */
    size_t n_disk;     /* the same of those that could only be taken up because of what came from disk */
    size_t n_computed; /* units decoded, the last one included */
    size_t n_predicted;
    double wait_ms;   /* in the queue */
    double load_ms;   /* state calls for this task's loads, and its wait for the disk */
    double prompt_ms; /* from the start of the slot to the first token, loads included */
    double predicted_ms;
} warm_task_timings;

enum warm_event_type { WARM_EV_PROGRESS, WARM_EV_TOKEN, WARM_EV_DONE, WARM_EV_FAILED };

typedef struct warm_event {
    enum warm_event_type type;
    /* TOKEN and DONE: text that became certain (whole UTF-8, stop strings held back), may be empty. NUL-terminated. */
    char *text;
    size_t text_len;
    int32_t *tokens; /* ids behind `text` since the last event */
    size_t n_tokens;
    /* TOKEN and DONE, with n_probs: one entry per token of `tokens`; n_top entries of top for each, in order: where fewer are left after
     * sampling, the last ones have token -1. */
    warm_token_prob *probs;
    warm_token_prob *top;
    size_t n_top;
    /* all types: state so far */
    warm_task_timings timings;
    int32_t id_slot;
    uint32_t seed; /* the seed in use */
    /* DONE */
    enum warm_stop stop;
    char *stop_word; /* the string that ended it, or NULL */
    bool truncated;  /* ended because the context was full, or the context was shifted */
    bool has_new_line;
    /* FAILED */
    warm_err err; /* WARM_ETOOLARGE: n_prompt_tokens and n_ctx below hold both numbers */
    size_t n_prompt_tokens, n_ctx;
} warm_event;

void warm_event_free(warm_event *ev);

typedef struct warm_task_options {
    int32_t *tokens; /* malloc'ed, taken */
    size_t n_tokens;
    warm_sampling sampling;   /* its strings and arrays need to live only until warm_task_new returns */
    int32_t n_predict;        /* -1: until the end of text or of the context */
    int64_t t_max_predict_ms; /* 0: no limit; counts from the first token, ends at the next new line as llama-server's */
    int32_t n_indent;         /* as llama-server's: stop when a line is indented less; 0 = off */
    int32_t id_slot;          /* -1: any */
    int32_t n_keep;           /* units of the prompt that a shift of the context keeps; -1: all of them */
    int32_t n_discard;        /* units behind them that it takes away; 0: half */
    int32_t n_cache_reuse;    /* keep chunks of at least so many units that a resident has further on, not exact; 0: none */
    bool cache_prompt;        /* false: neither reads nor writes the cache */
    bool return_progress;
    const char *const *stop; /* copied */
    size_t n_stop;
    const char *salt;    /* copied, may be NULL: part of the scope */
    const float *scales; /* copied: one for each of the engine's adapters; NULL = those that hold at the start */
    /* Called on the engine thread; takes the event. Must not block and must not call the scheduler. */
    void (*emit)(void *ud, warm_event *ev);
    void *ud;
} warm_task_options;

/* [any] Copies what it needs, takes o->tokens (also on failure), creates the sampler. WARM_EINVAL names the field. */
WARM_MUST_USE int warm_task_new(warm_engine *e, const warm_task_options *o, warm_task **out, warm_err *err);
uint64_t warm_task_id(const warm_task *t); /* unique in this process, from 0 */
void warm_task_free(warm_task *t);         /* only of a task that was not submitted */

#endif
