/* SPDX-License-Identifier: MIT
 *
 * sim/window.c - window rows of the simulated engine (sim_internal.h).
 *
 * A row's value follows from the cell at its position, so a row of another prefix is seen to be wrong. Values never change once a row is
 * held, and cells never change under it: it is enough to compare them when rows come in, and decoding stays O(1). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_internal.h"

static const uint32_t window_magic = 0x57495357; /* "WSIW" */

static uint64_t row_value(const sim *s, const struct sim_seq *q, int32_t pos) {
    const struct sim_cell *c = &s->cells[q->cells[pos]];
    return warm__sim_mix(warm__sim_mix(c->hash, (uint64_t)pos), (uint64_t)c->token);
}

int32_t warm__sim_row_first(const sim *s, int32_t p) {
    int32_t first = p - (int32_t)s->info.n_window + 1;
    return first > 0 ? first : 0;
}

static bool behind_window(const sim *s, const struct sim_row *r) {
    return r->seq >= 0 && r->pos < warm__sim_row_first(s, s->seqs[r->seq].row_end);
}

static void drop(sim *s, struct sim_row *r) {
    s->seqs[r->seq].rows[r->pos] = WARM__SIM_NO_ROW;
    r->seq = -1;
}

static uint32_t n_available(const sim *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_rows; i++) n += s->rows[i].seq < 0 || behind_window(s, &s->rows[i]);
    return n;
}

static void put(sim *s, int32_t id, int32_t pos, uint64_t value) {
    for (uint32_t tries = 0; tries < s->n_rows; tries++) {
        uint32_t i = s->row_head;
        s->row_head = (i + 1) % s->n_rows;
        struct sim_row *r = &s->rows[i];
        if (r->seq >= 0 && !behind_window(s, r)) continue;
        if (r->seq >= 0) drop(s, r);
        *r = (struct sim_row){id, pos, value};
        s->seqs[id].rows[pos] = (int32_t)i;
        return;
    }
    abort(); /* the callers have counted */
}

void warm__sim_rows_init(sim *s) {
    for (uint32_t i = 0; i < s->n_rows; i++) s->rows[i].seq = -1;
    for (uint32_t i = 0; s->n_rows && i < s->info.n_seq_max; i++) {
        for (uint32_t p = 0; p < s->info.n_ctx; p++) s->seqs[i].rows[p] = WARM__SIM_NO_ROW;
    }
}

static int32_t n_in_window(const sim *s, const struct sim_seq *q) {
    int32_t n = 0;
    for (int32_t p = warm__sim_row_first(s, q->row_end); p < q->row_end; p++) n += q->rows[p] != WARM__SIM_NO_ROW;
    return n;
}

bool warm__sim_rows_fit(sim *s, const warm_batch *b) {
    uint32_t most = s->info.n_window - 1, n = 0;
    if (s->n_rows >= most * s->info.n_seq_max + s->info.n_ubatch) return true;
    for (uint32_t i = 0; i < s->info.n_seq_max; i++) {
        s->per_seq[i] = n_in_window(s, &s->seqs[i]);
        n += (uint32_t)s->per_seq[i];
    }
    for (size_t i = 0; i < b->n;) {
        size_t end = i + s->info.n_ubatch < b->n ? i + s->info.n_ubatch : b->n;
        n += (uint32_t)(end - i);
        if (n > s->n_rows) return false;
        for (size_t k = i; k < end; k++) s->per_seq[b->seq[k]]++;
        for (; i < end; i++) {
            int32_t over = s->per_seq[b->seq[i]] - (int32_t)most;
            if (over <= 0) continue;
            s->per_seq[b->seq[i]] -= over;
            n -= (uint32_t)over;
        }
    }
    return true;
}

void warm__sim_rows_decay(sim *s) {
    uint64_t chance = warm__sim_mix(s->n_decodes, s->n_rows);
    bool all = chance % 8 == 0;
    uint32_t n = all ? s->n_rows : 4;
    for (uint32_t i = 0; i < n; i++) {
        struct sim_row *r = &s->rows[all ? i : warm__sim_mix(chance, i) % s->n_rows];
        if (behind_window(s, r)) drop(s, r);
    }
}

void warm__sim_row_add(sim *s, int32_t id, int32_t pos) {
    put(s, id, pos, row_value(s, &s->seqs[id], pos));
}

void warm__sim_rows_trim(sim *s, struct sim_seq *q, int32_t p0) {
    for (int32_t p = p0; p < q->row_end; p++) {
        if (q->rows[p] != WARM__SIM_NO_ROW) drop(s, &s->rows[q->rows[p]]);
    }
    if (q->row_end > p0) q->row_end = p0;
}

void warm__sim_rows_judge(sim *s, struct sim_seq *q) {
    int32_t first = warm__sim_row_first(s, q->n);
    for (q->good_from = q->n; q->good_from > first; q->good_from--) {
        int32_t p = q->good_from - 1, i = q->rows[p];
        if (i == WARM__SIM_NO_ROW || s->rows[i].value != row_value(s, q, p)) return;
    }
}

bool warm__sim_rows_present(const sim *s, const struct sim_seq *q, int32_t p0, int32_t p1) {
    (void)s;
    for (int32_t p = p0; p < p1; p++) {
        if (q->rows[p] == WARM__SIM_NO_ROW) return false;
    }
    return true;
}

int warm__sim_rows_fork(sim *s, int32_t src, int32_t dst, warm_err *err) {
    const struct sim_seq *from = &s->seqs[src];
    struct sim_seq *to = &s->seqs[dst];
    int32_t first = warm__sim_row_first(s, to->n);
    if ((int32_t)n_available(s) < to->n - first) return warm_err_set(err, WARM_EFULL, "no free window rows");
    /* All are read before the first is written: one behind the parent's window may have to make room for a copy. */
    for (int32_t p = first; p < to->n; p++) s->row_values[p - first] = s->rows[from->rows[p]].value;
    for (int32_t p = first; p < to->n; p++) put(s, dst, p, s->row_values[p - first]);
    to->row_end = to->n;
    warm__sim_rows_judge(s, to);
    return 0;
}

size_t warm__sim_window_bytes(const warm_engine *e, size_t n) {
    const sim *s = (const sim *)e;
    return s->info.state == WARM_STATE_WINDOW ? sizeof(struct sim_header) + n * s->o.window_unit_bytes : 0;
}

static struct sim_header window_header(int32_t first, size_t n) {
    return (struct sim_header){window_magic, WARM_STATE_WINDOW, (uint32_t)first, (uint32_t)n};
}

int64_t warm__sim_window_save(warm_engine *e, int32_t id, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    sim *s = (sim *)e;
    const struct sim_seq *q = &s->seqs[id];
    size_t bytes = warm__sim_window_bytes(e, n);
    assert(!q->incomplete);
    if (!bytes || n > s->info.n_window || cap < bytes || p0 < 0 || p0 + (int64_t)n > q->n)
        return warm_err_set(err, WARM_EINVAL, "no such window rows");
    if (!warm__sim_rows_present(s, q, p0, p0 + (int32_t)n)) return warm_err_set(err, WARM_ENOTFOUND, "the window rows are gone");
    if (++s->n_window_calls == s->o.window_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    warm__sim_spend(s, n * s->o.copy_ns);
    struct sim_header h = window_header(p0, n);
    warm__sim_header_put(dst, bytes, &h);
    for (size_t i = 0; i < n; i++) {
        const struct sim_row *r = &s->rows[q->rows[(size_t)p0 + i]];
        memcpy((uint8_t *)dst + sizeof h + i * s->o.window_unit_bytes, &r->value, sizeof r->value);
    }
    return (int64_t)bytes;
}

int warm__sim_window_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0,
                          int32_t p1, warm_err *err) {
    sim *s = (sim *)e;
    struct sim_seq *q = &s->seqs[id];
    struct sim_header h = window_header(first, n);
    assert(s->info.state == WARM_STATE_WINDOW && n <= s->info.n_window);
    assert(first <= p0 && p0 < p1 && p1 <= first + (int32_t)n);
    assert(p1 <= q->n && p0 >= q->row_end);
    if (bytes != warm__sim_window_bytes(e, n)) return warm_err_set(err, WARM_ECORRUPT, "wrong size");
    int rc = warm__sim_header_check(src, &h, err);
    if (rc) return rc;
    if (n_available(s) < n) return warm_err_set(err, WARM_EFULL, "no free window rows");
    if (++s->n_window_calls == s->o.window_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    warm__sim_spend(s, n * s->o.copy_ns);
    for (int32_t p = p0; p < p1; p++) {
        uint64_t value;
        memcpy(&value, (const uint8_t *)src + sizeof h + (size_t)(p - first) * s->o.window_unit_bytes, sizeof value);
        put(s, id, p, value);
    }
    q->row_end = p1;
    q->incomplete = false;
    warm__sim_rows_judge(s, q);
    return 0;
}
