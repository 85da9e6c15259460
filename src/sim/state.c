/* SPDX-License-Identifier: MIT
 *
 * sim/state.c - sequences of the simulated engine: cutting, forking, saving and loading (sim_internal.h). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_internal.h"

static const uint32_t cells_magic = 0x43495357; /* "WSIC" */
static const uint32_t snap_magic = 0x53495357;  /* "WSIS" */

void warm__sim_header_put(void *dst, size_t bytes, const struct sim_header *h) {
    memset(dst, 0, bytes);
    memcpy(dst, h, sizeof *h);
}

int warm__sim_header_check(const void *src, const struct sim_header *h, warm_err *err) {
    return memcmp(src, h, sizeof *h) ? warm_err_set(err, WARM_ECORRUPT, "not the state of these units") : 0;
}

static bool is_window(const sim *s) {
    return s->info.state == WARM_STATE_WINDOW;
}

void warm__sim_seq_rm(warm_engine *e, int32_t id, int32_t p0, int32_t p1) {
    sim *s = (sim *)e;
    struct sim_seq *q = &s->seqs[id];
    /* Only ends are ever removed: a hole could not be continued. */
    assert(p1 < 0 || p1 >= q->n);
    if (p0 >= q->n && q->n) return;
    if (warm_state_has_snapshots(s->info.state)) p0 = 0;
    for (int32_t p = p0; p < q->n && s->info.state != WARM_STATE_SNAPSHOTS; p++) warm__sim_give_cell(s, q->cells[p]);
    if (q->n > p0) q->n = p0;
    if (q->n <= q->exact) q->shifted = false;
    if (is_window(s)) {
        warm__sim_rows_trim(s, q, p0);
        warm__sim_rows_judge(s, q);
    }
    if (q->n) return;
    q->incomplete = false;
    q->recurrent = 0;
    q->recurrent_at = 0;
}

int warm__sim_shift(warm_engine *e, int32_t id, int32_t p0, int32_t p1, warm_err *err) {
    sim *s = (sim *)e;
    struct sim_seq *q = &s->seqs[id];
    assert(0 <= p0 && p0 < p1 && p1 < q->n && !q->incomplete);
    if (!s->info.can_shift) return warm_err_set(err, WARM_ENOTSUP, "no shift");
    if (++s->n_shifts == s->o.shift_fails_at) {
        warm__sim_seq_rm(e, id, 0, -1);
        return warm_err_set(err, WARM_EENGINE, "simulated failure");
    }
    for (int32_t p = p0; p < q->n && s->info.state != WARM_STATE_SNAPSHOTS; p++) {
        if (p < p1) warm__sim_give_cell(s, q->cells[p]);
        assert(p < p1 || s->cells[q->cells[p]].refs == 1);
    }
    memmove(q->cells + p0, q->cells + p1, (size_t)(q->n - p1) * sizeof *q->cells);
    q->exact = warm__sim_exact(q) < p0 ? q->exact : p0;
    q->shifted = true;
    q->n -= p1 - p0;
    if (q->recurrent_at >= p1) q->recurrent_at -= p1 - p0;
    return 0;
}

void warm__sim_clear(warm_engine *e, bool data) {
    (void)data;
    for (uint32_t i = 0; i < e->info->n_seq_max; i++) warm__sim_seq_rm(e, (int32_t)i, 0, -1);
}

bool warm__sim_can_continue(warm_engine *e, int32_t id, int32_t n) {
    const sim *s = (const sim *)e;
    const struct sim_seq *q = &s->seqs[id];
    if (q->incomplete || n <= 0 || n > warm__sim_exact(q)) return false;
    if (s->info.state == WARM_STATE_RANGES) return true;
    if (is_window(s)) return warm__sim_rows_present(s, q, warm__sim_row_first(s, n), n);
    return n == q->n && (s->info.state != WARM_STATE_RANGES_SNAPSHOTS || q->recurrent_at == n);
}

int warm__sim_fork(warm_engine *e, int32_t src, int32_t dst, int32_t n, bool complete, warm_err *err) {
    sim *s = (sim *)e;
    const struct sim_seq *from = &s->seqs[src];
    struct sim_seq *to = &s->seqs[dst];
    assert(to->n == 0 && !from->incomplete && n > 0 && n <= warm__sim_exact(from));
    if (s->info.state == WARM_STATE_RANGES) complete = true;
    if (complete && !warm__sim_can_continue(e, src, n)) return warm_err_set(err, WARM_ENOTFOUND, "no state to continue %d at", n);
    to->incomplete = !complete;
    if (!complete) to->recurrent_at = -1;
    if (!complete && !warm_state_has_ranges(s->info.state)) return 0;
    to->n = n;
    for (int32_t p = 0; p < n && s->info.state != WARM_STATE_SNAPSHOTS; p++) {
        to->cells[p] = from->cells[p];
        s->cells[to->cells[p]].refs++;
    }
    if (is_window(s)) warm__sim_rows_judge(s, to);
    if (!complete) return 0;
    to->recurrent = from->recurrent;
    to->recurrent_at = from->recurrent_at;
    int rc = is_window(s) ? warm__sim_rows_fork(s, src, dst, err) : 0;
    if (rc) warm__sim_seq_rm(e, dst, 0, -1);
    return rc;
}

/* The record of a cell, wherever cells are saved. */
static void put_cells(const sim *s, const struct sim_seq *q, int32_t p0, size_t n, uint8_t *dst) {
    for (size_t i = 0; i < n; i++, dst += s->o.unit_bytes) {
        const struct sim_cell *c = &s->cells[q->cells[(size_t)p0 + i]];
        memcpy(dst, &c->hash, sizeof c->hash);
        memcpy(dst + sizeof c->hash, &c->token, sizeof c->token);
        memcpy(dst + sizeof c->hash + sizeof c->token, &c->adapted, sizeof c->adapted);
    }
}

static void get_cells(sim *s, struct sim_seq *q, const uint8_t *src, int32_t n) {
    for (; n > 0; n--, src += s->o.unit_bytes) {
        uint64_t hash;
        int32_t token;
        uint32_t adapted;
        memcpy(&hash, src, sizeof hash);
        memcpy(&token, src + sizeof hash, sizeof token);
        memcpy(&adapted, src + sizeof hash + sizeof token, sizeof adapted);
        if (hash != warm__sim_next_hash(warm__sim_end_hash(s, q), token, adapted)) {
            hash = warm__sim_mix(hash, cells_magic);
            s->n_poisoned++;
        }
        warm__sim_push_cell(s, q, token, adapted, hash);
    }
}

size_t warm__sim_state_bytes(const warm_engine *e, size_t n) {
    return warm_state_has_ranges(e->info->state) ? sizeof(struct sim_header) + n * ((const sim *)e)->o.unit_bytes : 0;
}

int64_t warm__sim_state_save(warm_engine *e, int32_t id, int32_t p0, size_t n, void *dst, size_t cap, warm_err *err) {
    sim *s = (sim *)e;
    const struct sim_seq *q = &s->seqs[id];
    size_t bytes = warm__sim_state_bytes(e, n);
    assert(!q->incomplete && p0 + (int64_t)n <= warm__sim_exact(q));
    if (!bytes || cap < bytes || p0 < 0 || p0 + (int64_t)n > q->n) return warm_err_set(err, WARM_EINVAL, "no such range");
    warm__sim_spend(s, n * s->o.copy_ns);
    s->moved.n_saved += n;
    struct sim_header h = {cells_magic, s->info.state, (uint32_t)p0, (uint32_t)n};
    warm__sim_header_put(dst, bytes, &h);
    put_cells(s, q, p0, n, (uint8_t *)dst + sizeof h);
    return (int64_t)bytes;
}

int warm__sim_state_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t first, size_t n, int32_t p0, int32_t p1,
                         warm_err *err) {
    sim *s = (sim *)e;
    struct sim_seq *q = &s->seqs[id];
    struct sim_header h = {cells_magic, s->info.state, (uint32_t)first, (uint32_t)n};
    assert(warm_state_has_ranges(s->info.state));
    assert(q->n == p0 && p0 >= first && p1 <= first + (int32_t)n);
    if (bytes != warm__sim_state_bytes(e, n)) return warm_err_set(err, WARM_ECORRUPT, "wrong size");
    int rc = warm__sim_header_check(src, &h, err);
    if (rc) return rc;
    if (s->info.n_ctx - s->n_used < n) return warm_err_set(err, WARM_EFULL, "no free cells");
    if (++s->n_loads == s->o.load_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    warm__sim_spend(s, n * s->o.copy_ns);
    s->moved.n_loaded += n;
    get_cells(s, q, (const uint8_t *)src + sizeof h + (size_t)(p0 - first) * s->o.unit_bytes, p1 - p0);
    if (is_window(s)) warm__sim_rows_judge(s, q);
    return 0;
}

static size_t snapshot_bytes_at(const sim *s, int32_t n) {
    return s->o.snapshot_bytes + (s->info.state == WARM_STATE_WHOLE ? (size_t)n * s->o.unit_bytes : 0);
}

size_t warm__sim_snapshot_bytes(const warm_engine *e, int32_t id) {
    const sim *s = (const sim *)e;
    const struct sim_seq *q = &s->seqs[id];
    bool has = warm_state_has_snapshots(s->info.state) && q->n && !q->incomplete && !q->shifted;
    if (s->info.state != WARM_STATE_WHOLE && q->recurrent_at != q->n) has = false;
    return has ? snapshot_bytes_at(s, q->n) : 0;
}

static struct sim_header snapshot_header(const sim *s, int32_t n) {
    return (struct sim_header){snap_magic, s->info.state, (uint32_t)n, s->info.state == WARM_STATE_WHOLE ? (uint32_t)n : 0};
}

int64_t warm__sim_snapshot_save(warm_engine *e, int32_t id, void *dst, size_t cap, warm_err *err) {
    sim *s = (sim *)e;
    const struct sim_seq *q = &s->seqs[id];
    size_t bytes = warm__sim_snapshot_bytes(e, id);
    assert(!q->incomplete && !q->shifted);
    if (!bytes || cap < bytes) return warm_err_set(err, WARM_EINVAL, "no snapshot to save");
    if (++s->n_snapshot_calls == s->o.snapshot_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    struct sim_header h = snapshot_header(s, q->n);
    warm__sim_spend(s, s->o.snapshot_ns + h.n * s->o.copy_ns);
    warm__sim_header_put(dst, bytes, &h);
    memcpy((uint8_t *)dst + sizeof h, &q->recurrent, sizeof q->recurrent);
    put_cells(s, q, 0, h.n, (uint8_t *)dst + s->o.snapshot_bytes);
    return (int64_t)bytes;
}

static int snapshot_fits(sim *s, const struct sim_seq *q, const void *src, size_t bytes, int32_t n, warm_err *err) {
    struct sim_header h = snapshot_header(s, n);
    if (bytes != snapshot_bytes_at(s, n)) return warm_err_set(err, WARM_ECORRUPT, "wrong size");
    int rc = warm__sim_header_check(src, &h, err);
    if (rc) return rc;
    if (s->info.n_ctx - s->n_used < h.n) return warm_err_set(err, WARM_EFULL, "no free cells");
    if (q->n != (warm_state_has_ranges(s->info.state) ? n : 0))
        return warm_err_set(err, WARM_EINVAL, "not the cells of the snapshot");
    if (++s->n_snapshot_calls == s->o.snapshot_fails_at) return warm_err_set(err, WARM_EENGINE, "simulated failure");
    return 0;
}

int warm__sim_snapshot_load(warm_engine *e, int32_t id, const void *src, size_t bytes, int32_t n, warm_err *err) {
    sim *s = (sim *)e;
    struct sim_seq *q = &s->seqs[id];
    assert(warm_state_has_snapshots(s->info.state) && n > 0);
    if (!warm_state_has_ranges(s->info.state)) warm__sim_seq_rm(e, id, 0, -1);
    int rc = snapshot_fits(s, q, src, bytes, n, err);
    if (rc) {
        warm__sim_seq_rm(e, id, 0, -1);
        return rc;
    }
    uint32_t n_cells = snapshot_header(s, n).n;
    warm__sim_spend(s, s->o.snapshot_ns + n_cells * s->o.copy_ns);
    memcpy(&q->recurrent, (const uint8_t *)src + sizeof(struct sim_header), sizeof q->recurrent);
    get_cells(s, q, (const uint8_t *)src + s->o.snapshot_bytes, (int32_t)n_cells);
    q->n = n;
    q->recurrent_at = n;
    q->incomplete = false;
    return 0;
}
