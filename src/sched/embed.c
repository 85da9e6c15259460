/* SPDX-License-Identifier: MIT
 *
 * sched/embed.c - embeddings: what the engine computes beside its sequences, in turns with the steps of those.
 *
 * An order's inputs go to the engine in the order they have, as many at a time as it takes. Behind each call the order goes to the end of
 * the queue, so that a long one holds up neither the streams nor other orders for longer than one call. */
#include <stdlib.h>

#include "base/alloc.h"
#include "sched/sched_internal.h"

struct warm_embedding {
    warm_embed_order o;
    size_t n_done;
    struct warm_embedding *next;
};

void warm__embeddings_init(warm_sched *s) {
    s->embeddings_tail = &s->embeddings;
}

void warm_sched_embed(warm_sched *s, const warm_embed_order *o) {
    struct warm_embedding *x = warm_xmalloc(sizeof *x);
    *x = (struct warm_embedding){.o = *o};
    warm__post_embedding(s, x);
}

void warm__embedding_add(warm_sched *s, struct warm_embedding *x) {
    x->next = NULL;
    *s->embeddings_tail = x;
    s->embeddings_tail = &x->next;
}

static struct warm_embedding *take_first(warm_sched *s) {
    struct warm_embedding *x = s->embeddings;
    s->embeddings = x->next;
    if (!s->embeddings) s->embeddings_tail = &s->embeddings;
    return x;
}

static void end(struct warm_embedding *x, const warm_err *err) {
    x->o.done(x->o.ud, err);
    free(x);
}

/* How many of the inputs that are left go into one call. */
static size_t fitting(const warm_engine_info *info, const struct warm_embedding *x) {
    size_t left = x->o.n - x->n_done, n = 1, total = x->o.inputs[x->n_done].n;
    while (n < left && n < info->n_embed_seqs) {
        total += x->o.inputs[x->n_done + n].n;
        if (total > info->n_embed_batch) break;
        n++;
    }
    return n;
}

bool warm__embed(warm_sched *s) {
    if (!s->embeddings) return false;
    struct warm_embedding *x = take_first(s);
    warm_err err = {0};
    if (x->n_done < x->o.n && x->o.gone && x->o.gone(x->o.ud)) {
        warm_err_set(&err, WARM_ECANCELED, "canceled");
    } else if (x->n_done < x->o.n) {
        size_t n = fitting(s->info, x);
        int rc = s->e->ops->embed(s->e, x->o.scales, x->o.inputs + x->n_done, n, &err);
        if (rc && !err.code) warm_err_set(&err, rc, "%s", warm_strerror(rc));
        x->n_done += n;
    }
    if (err.code || x->n_done == x->o.n)
        end(x, &err);
    else
        warm__embedding_add(s, x);
    return true;
}

void warm__embeddings_deinit(warm_sched *s) {
    warm_err err = {0};
    warm_err_set(&err, WARM_ECLOSED, "the server is shutting down");
    while (s->embeddings) end(take_first(s), &err);
}
