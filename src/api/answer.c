/* SPDX-License-Identifier: MIT
 *
 * api/answer.c - gathering one answer. See answer.h. */
#include "api/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* Top probabilities that one whole answer may hold: 128 MiB of them, which is gigabytes of JSON. A client that wants more must stream. */
enum { TOP_MAX = 16 * 1024 * 1024 };
enum { ANSWER_TEXT_MAX = 1 << 30 };

void warm_answer_init(warm_answer *a) {
    *a = (warm_answer){0};
    warm_buf_init(&a->text, ANSWER_TEXT_MAX);
}

void warm_answer_deinit(warm_answer *a) {
    warm_message_deinit(&a->message);
    warm_buf_free(&a->text);
    free(a->tokens);
    free(a->probs);
    free(a->top);
    if (a->end) warm_event_free(a->end);
    *a = (warm_answer){0};
}

static bool resize(void **p, size_t n, size_t size) {
    void *q = warm_realloc(*p, n * size);
    if (q) *p = q;
    return q != NULL;
}

static bool reserve(warm_answer *a, size_t n, size_t n_probs) {
    if (n <= a->cap_tokens) return true;
    size_t cap = a->cap_tokens ? a->cap_tokens * 2 : 64;
    if (cap < n) cap = n;
    if (!resize((void **)&a->tokens, cap, sizeof *a->tokens)) return false;
    if (n_probs && !resize((void **)&a->probs, cap, sizeof *a->probs)) return false;
    if (n_probs && !resize((void **)&a->top, cap * n_probs, sizeof *a->top)) return false;
    a->cap_tokens = cap;
    return true;
}

static void add_probs(warm_answer *a, const warm_event *ev, size_t n_probs) {
    size_t n_top = ev->n_top < n_probs ? ev->n_top : n_probs;
    for (size_t i = 0; i < ev->n_tokens; i++) {
        warm_token_prob *top = a->top + (a->n_tokens + i) * n_probs;
        a->probs[a->n_tokens + i] = ev->probs ? ev->probs[i] : (warm_token_prob){.token = ev->tokens[i]};
        for (size_t k = 0; k < n_probs; k++)
            top[k] = ev->top && k < n_top ? ev->top[i * ev->n_top + k] : (warm_token_prob){.token = -1};
    }
}

int warm_answer_add(warm_answer *a, const warm_params *p, const warm_event *ev, warm_err *err) {
    if (ev->text_len) warm_buf_append(&a->text, ev->text, ev->text_len);
    if (warm_buf_err(&a->text)) return warm_err_set(err, WARM_ENOMEM, "out of memory for the answer");
    size_t n_probs = (size_t)p->sampling.n_probs;
    if (ev->n_tokens == 0 || (!p->return_tokens && !n_probs)) return 0;
    size_t n = a->n_tokens + ev->n_tokens;
    if (n_probs && n > TOP_MAX / n_probs)
        return warm_err_set(err, WARM_EFULL, "the probabilities of this answer are too many to be kept: lower n_probs, or stream");
    if (!reserve(a, n, n_probs)) return warm_err_set(err, WARM_ENOMEM, "out of memory for the answer");
    memcpy(a->tokens + a->n_tokens, ev->tokens, ev->n_tokens * sizeof *a->tokens);
    if (n_probs) add_probs(a, ev, n_probs);
    a->n_tokens = n;
    return 0;
}

int warm_answer_read(warm_answer *a, const warm_params *p, const warm_event *ev) {
    warm_message *m = &a->message;
    if (!a->begun && p->continues && p->chat) {
        int rc = warm_message_read(m, p->engine, p->chat, "", 0, true);
        if (rc) return rc;
        warm_message_skip(m);
    }
    if (ev->text_len) warm_buf_append(&a->text, ev->text, ev->text_len);
    if (warm_buf_err(&a->text)) return WARM_ENOMEM;
    return warm_message_read(m, p->engine, p->chat, a->text.data, a->text.len, ev->type != WARM_EV_DONE);
}
