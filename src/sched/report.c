/* SPDX-License-Identifier: MIT
 *
 * sched/report.c - what a task answers, and the one line that the log has of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "sched/sched_internal.h"

enum { LOG_TEXT_MAX = 160 };

static warm_event *event_new(warm_sched *s, const warm_slot *sl, enum warm_event_type type) {
    warm_event *ev = warm_xcalloc(1, sizeof *ev);
    ev->type = type;
    ev->id_slot = -1;
    if (!sl) return ev;
    ev->timings = sl->t;
    ev->id_slot = sl->id;
    ev->seed = sl->task->seed;
    ev->has_new_line = sl->out.has_new_line;
    uint64_t now = warm__sched_now(s);
    if (!sl->prompt_done) ev->timings.prompt_ms = (double)(now - sl->start_ns) / 1e6;
    if (sl->prompt_done) ev->timings.predicted_ms = (double)(now - sl->first_token_ns) / 1e6;
    return ev;
}

static void give_tokens(warm_slot *sl, warm_event *ev) {
    ev->text = warm_output_take(&sl->out, &ev->text_len);
    ev->tokens = sl->tokens;
    ev->n_tokens = sl->n_tokens;
    ev->probs = sl->probs;
    ev->top = sl->top;
    ev->n_top = sl->n_tokens ? sl->task->n_probs : 0;
    sl->tokens = NULL;
    sl->probs = sl->top = NULL;
    sl->n_tokens = sl->cap_tokens = sl->n_top = sl->cap_top = 0;
}

void warm__slot_note_token(warm_slot *sl, const warm_sampled *sampled) {
    if (sl->n_tokens == sl->cap_tokens) {
        sl->cap_tokens = sl->cap_tokens ? sl->cap_tokens * 2 : 4;
        sl->tokens = warm_realloc(sl->tokens, sl->cap_tokens * sizeof *sl->tokens);
        sl->probs = warm_realloc(sl->probs, sl->cap_tokens * sizeof *sl->probs);
        if (!sl->tokens || !sl->probs) abort();
    }
    sl->tokens[sl->n_tokens] = sampled->token;
    sl->probs[sl->n_tokens++] = (warm_token_prob){.token = sampled->token, .p = sampled->p};
    size_t n_probs = sl->task->n_probs, n = sampled->n_probs < n_probs ? sampled->n_probs : n_probs;
    if (!n_probs) return;
    if (sl->n_top + n_probs > sl->cap_top) {
        sl->cap_top = (sl->n_top + n_probs) * 2;
        sl->top = warm_realloc(sl->top, sl->cap_top * sizeof *sl->top);
        if (!sl->top) abort();
    }
    /* After sampling fewer may be left, and not as many for each token. */
    for (size_t i = 0; i < n_probs; i++) sl->top[sl->n_top++] = i < n ? sampled->probs[i] : (warm_token_prob){.token = -1};
}

void warm__emit_tokens(warm_sched *s, warm_slot *sl) {
    /* Held text will come with a later event, together with its tokens. */
    if (!sl->out.certain && sl->out.held.len) return;
    warm_event *ev = event_new(s, sl, WARM_EV_TOKEN);
    give_tokens(sl, ev);
    sl->task->emit(sl->task->ud, ev);
}

void warm__emit_progress(warm_sched *s, warm_slot *sl) {
    warm_event *ev = event_new(s, sl, WARM_EV_PROGRESS);
    sl->task->emit(sl->task->ud, ev);
}

static void text_of(warm_sched *s, const warm_unit *units, size_t n, char *out, size_t cap) {
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        char piece[128];
        size_t k = s->e->text->token_piece(s->e, (int32_t)units[i], true, piece, sizeof piece);
        if (k > sizeof piece || len + k >= cap) break;
        memcpy(out + len, piece, k);
        len += k;
    }
    out[len] = 0;
}

static void log_divergence(warm_sched *s, const warm_slot *sl) {
    const warm_task *t = sl->task;
    char before[LOG_TEXT_MAX], ours[LOG_TEXT_MAX], theirs[LOG_TEXT_MAX];
    size_t at = sl->diverged_at, back = at < WARM_KNOWN_UNITS ? at : WARM_KNOWN_UNITS, left = t->n_prompt - at;
    text_of(s, t->units + at - back, back, before, sizeof before);
    text_of(s, t->units + at, left < WARM_KNOWN_UNITS ? left : WARM_KNOWN_UNITS, ours, sizeof ours);
    text_of(s, sl->known, sl->n_known, theirs, sizeof theirs);
    warm_log_info("request", "task=%llu diverged_at=%zu after=\"%s\" prompt=\"%s\" known=\"%s\"", (unsigned long long)t->id, at,
                  before, ours, theirs);
}

static void log_done(warm_sched *s, const warm_slot *sl, const warm_event *ev, const char *how) {
    const warm_task_timings *t = &ev->timings;
    char diverged[48] = "", shifted[64] = "", disk[32] = "";
    if (s->tier) snprintf(disk, sizeof disk, " disk=%zu", t->n_disk);
    if (sl->n_known) snprintf(diverged, sizeof diverged, " diverged_at=%zu", sl->diverged_at);
    if (t->n_shifted || sl->truncated)
        snprintf(shifted, sizeof shifted, " shifted=%zu%s", t->n_shifted, sl->truncated ? " context_shifted" : "");
    warm_log_info("request",
                  "task=%llu slot=%d %s prompt=%zu device=%zu ram=%zu%s computed=%zu load_ms=%.1f wait_ms=%.1f "
                  "planned_ms=%.1f first_token_ms=%.1f "
                  "generated=%zu generate_ms=%.1f%s%s",
                  (unsigned long long)sl->task->id, sl->id, how, t->n_prompt, t->n_device, t->n_ram, disk, t->n_computed,
                  t->load_ms, t->wait_ms, sl->planned_ms, t->prompt_ms, t->n_predicted, t->predicted_ms, shifted, diverged);
    if (sl->n_known && s->o.log_prompts) log_divergence(s, sl);
}

warm_event *warm__event_done(warm_sched *s, warm_slot *sl, enum warm_stop stop, const char *word, bool truncated) {
    warm_output_finish(&sl->out);
    warm_event *ev = event_new(s, sl, WARM_EV_DONE);
    give_tokens(sl, ev);
    ev->stop = stop;
    ev->truncated = truncated;
    if (word) ev->stop_word = warm_xstrdup(word);
    log_done(s, sl, ev, "done");
    s->counters.prompt_seconds += ev->timings.prompt_ms / 1e3;
    s->counters.predicted_seconds += ev->timings.predicted_ms / 1e3;
    return ev;
}

warm_event *warm__event_failed(warm_sched *s, warm_task *t, warm_slot *sl, const warm_err *err) {
    warm_event *ev = event_new(s, sl, WARM_EV_FAILED);
    ev->err = *err;
    ev->n_prompt_tokens = t->n_prompt;
    ev->n_ctx = s->info->n_ctx;
    if (sl) {
        log_done(s, sl, ev, err->code == WARM_ECANCELED ? "canceled" : "failed");
    } else if (err->code != WARM_ECANCELED) {
        warm_log_warn("request", "task=%llu refused prompt=%zu: %s", (unsigned long long)t->id, t->n_prompt, err->text);
    }
    return ev;
}

void warm__note_divergence(warm_sched *s, warm_slot *sl, const warm_seq *src, size_t at) {
    const warm_task *t = sl->task;
    warm_scope *scope;
    sl->diverged_at = at;
    sl->n_known = 0;
    if (src && at == src->n) return;
    if (src) {
        sl->n_known = src->n - at < WARM_KNOWN_UNITS ? src->n - at : WARM_KNOWN_UNITS;
        memcpy(sl->known, src->units + at, sl->n_known * sizeof *sl->known);
    } else if (s->kv && t->cache_prompt && !warm_cache_scope(s->o.cache, t->fingerprint, &scope)) {
        sl->n_known = warm_cache_follow(s->o.cache, scope, t->units, at, sl->known, WARM_KNOWN_UNITS);
    }
    /* The same prompt again is not a divergence: its last unit is computed for its logits. */
    if (sl->n_known && (at >= t->n_prompt || sl->known[0] == t->units[at])) sl->n_known = 0;
}
