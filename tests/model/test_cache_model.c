/* SPDX-License-Identifier: MIT
 *
 * Random operations on the cache against a reference that any reader can check: a list of what was saved.
 *
 * With an ample budget the cache must match exactly what the reference matches. With a small one, with damage, clearing and a
 * limit that moves, it may match less, never more; and every byte it hands out must be the one saved for exactly these units
 * and all before them. The same holds for resume points, in a third of the runs with window rows, in another third with snapshots: with an ample
 * budget they are where the reference says, without one not behind that, and all that a resume point offers is whole and right. The
 * invariants are walked all along.
 *
 * WARM_SEED picks the run (it is printed), WARM_ITERS its length in operations. */
#include "cache_rig.h"

#include <stdio.h>

#include "base/rng.h"

#define N_DOCS   160
#define N_SEQS   8
#define N_POINTS 4
#define DOC_MAX  1400
#define WINDOW   100

/* ---- the reference: documents, how far each was saved, and at which of its positions a snapshot was ---- */

enum kind { PLAIN, ROWS, SNAPSHOTS, N_KINDS };

struct doc {
    size_t scope, n, saved;
    warm_unit *units;
    uint8_t *state, *rows, *snapshots; /* what the cache must hand out: RIG_STATE, RIG_ROWS and SNAP bytes of each unit */
    bool *snapped;                     /* [i]: before unit i */
};

/* Bytes of a snapshot in this test. */
#define SNAP 8u

struct ref {
    enum kind kind;
    struct doc docs[N_DOCS];
    size_t n_docs;
};

static size_t common(const warm_unit *a, size_t na, const warm_unit *b, size_t nb) {
    size_t i = 0;
    while (i < na && i < nb && a[i] == b[i]) i++;
    return i;
}

static size_t ref_match(const struct ref *ref, size_t scope, const warm_unit *u, size_t n) {
    size_t best = 0;
    for (size_t i = 0; i < ref->n_docs; i++) {
        const struct doc *d = &ref->docs[i];
        size_t k = d->scope == scope ? common(d->units, d->saved, u, n) : 0;
        if (k > best) best = k;
    }
    return best;
}

/* The last position at or before n, all of which is in the tree, where a sequence can go on. */
static size_t ref_resume(const struct ref *ref, size_t scope, const warm_unit *u, size_t n) {
    if (ref->kind != SNAPSHOTS) return n;
    size_t best = 0;
    for (size_t i = 0; i < ref->n_docs; i++) {
        const struct doc *d = &ref->docs[i];
        size_t k = d->scope == scope ? common(d->units, d->n, u, n) : 0;
        while (k > best && !d->snapped[k]) k--;
        if (k > best) best = k;
    }
    return best;
}

/* ---- the run ---- */

struct seq {
    struct doc *doc; /* NULL: free */
    warm_path path;
    size_t n; /* units "in the context": what could be saved */
    bool saving, snapping;
    warm_save save;
    warm_snapshot snapshot;
};

/* A resume point that is held while other things happen. */
struct point {
    const struct doc *doc; /* NULL: none */
    warm_resume resume;
};

struct run {
    rig r;
    warm_rng rng;
    struct ref ref;
    warm_scope *scopes[2];
    struct seq seqs[N_SEQS];
    struct point points[N_POINTS];
    warm_piece_view held; /* a view kept across whatever happens */
    uint64_t held_sum;
    bool ample;
    size_t n_flipped; /* pieces that were damaged on purpose */
};

static size_t below(struct run *x, size_t n) {
    return (size_t)warm_rng_below(&x->rng, n);
}

/* From room for next to nothing to room for nearly all. */
static size_t tight(struct run *x) {
    return 20000 + below(x, below(x, 2) ? 200000 : 2000000);
}

static size_t any_grid(struct run *x) {
    static const size_t grids[] = {16, 64, 256};
    return grids[below(x, 3)];
}

/* Lengths and forks are often at, just before or just behind where blocks and pieces end. */
static size_t any_position(struct run *x, size_t max) {
    size_t at = below(x, max + 1);
    if (below(x, 2)) {
        size_t grid = any_grid(x);
        at = at / grid * grid + below(x, 3);
    }
    return at < max ? at : max;
}

static struct doc *new_doc(struct run *x) {
    if (x->ref.n_docs == N_DOCS) return &x->ref.docs[below(x, N_DOCS)];
    struct doc *d = &x->ref.docs[x->ref.n_docs];
    const struct doc *from = x->ref.n_docs && below(x, 8) ? &x->ref.docs[below(x, x->ref.n_docs)] : NULL;
    size_t keep = from ? any_position(x, from->n) : 0;
    d->scope = from && below(x, 8) ? from->scope : below(x, 2);
    d->n = keep + any_position(x, DOC_MAX - keep);
    if (d->n == 0) d->n = 1;
    d->saved = 0;
    d->units = malloc(d->n * sizeof *d->units);
    d->state = malloc(d->n * RIG_STATE);
    if (keep) memcpy(d->units, from->units, keep * sizeof *d->units);
    for (size_t i = keep; i < d->n; i++) d->units[i] = below(x, 3);
    d->rows = malloc(d->n * RIG_ROWS);
    d->snapshots = malloc(d->n * SNAP);
    d->snapped = calloc(d->n + 1, sizeof *d->snapped);
    rig_state(d->scope, d->units, 0, d->n, d->state);
    rig_rows(d->scope, d->units, 0, d->n, d->rows);
    rig_bytes(~d->scope, d->units, 0, d->n, SNAP, d->snapshots);
    x->ref.n_docs++;
    return d;
}

/* Reads all that the path offers. A damaged piece, which only the test's own hand can cause, is put aside as a loader would. */
static void read_path(struct run *x, const struct seq *q) {
    for (size_t pos = 0; pos < q->path.n_units;) {
        warm_piece_view v;
        warm_path_piece(x->r.cache, &q->path, pos, &v);
        assert_true(v.start == pos && v.n_units > 0 && v.bytes == v.n_units * RIG_STATE);
        int rc = warm_piece_verify(v.piece);
        size_t count = v.start + v.n_units < q->path.n_units ? v.n_units : q->path.n_units - v.start;
        if (rc == 0) assert_memory_equal(v.data, q->doc->state + pos * RIG_STATE, count * RIG_STATE);
        warm_piece_unref(x->r.cache, v.piece);
        if (rc) {
            assert_true(rc == WARM_ECORRUPT && x->n_flipped > 0);
            warm_cache_quarantine(x->r.cache, &q->path, pos);
            return;
        }
        pos += v.n_units;
    }
}

static void expect_match(const struct run *x, const struct doc *d, size_t n, size_t got) {
    size_t want = ref_match(&x->ref, d->scope, d->units, n);
    if (x->ample) {
        assert_int_equal(got, want);
    } else {
        assert_true(got <= want);
    }
}

/* ---- operations ---- */

static void op_open(struct run *x, struct seq *q) {
    if (q->doc) return;
    struct doc *d = x->ref.n_docs == 0 || below(x, 3) == 0 ? new_doc(x) : &x->ref.docs[below(x, x->ref.n_docs)];
    q->doc = d;
    q->n = any_position(x, d->n);
    size_t k = warm_cache_lookup(x->r.cache, x->scopes[d->scope], d->units, q->n, &q->path);
    assert_int_equal(k, q->path.n_units);
    expect_match(x, d, q->n, k);
    read_path(x, q);
}

static void op_ask(struct run *x) {
    if (x->ref.n_docs == 0) return;
    const struct doc *d = &x->ref.docs[below(x, x->ref.n_docs)];
    size_t at = below(x, d->n);
    warm_unit keep = d->units[at];
    d->units[at] = below(x, 4);
    size_t n = any_position(x, d->n);
    /* the changed unit must not change what the reference holds for this document */
    warm_unit *u = malloc((n + 1) * sizeof *u);
    memcpy(u, d->units, n * sizeof *u);
    d->units[at] = keep;
    size_t got = warm_cache_match(x->r.cache, x->scopes[d->scope], u, n);
    size_t want = ref_match(&x->ref, d->scope, u, n);
    assert_true(x->ample ? got == want : got <= want);
    free(u);
}

static void op_advance(struct run *x, struct seq *q) {
    if (q->n < q->doc->n && below(x, 2)) q->n += 1 + below(x, q->doc->n - q->n);
    size_t k = warm_cache_advance(x->r.cache, &q->path, q->doc->units, q->n);
    expect_match(x, q->doc, q->n, k);
    read_path(x, q);
}

static void op_begin(struct run *x, struct seq *q) {
    if (q->saving || q->path.n_units > q->n) return;
    warm_cache_advance(x->r.cache, &q->path, q->doc->units, q->n);
    size_t start, count, grid = any_grid(x);
    if (!warm_cache_next_piece(x->r.cache, &q->path, q->n, grid, &start, &count)) {
        assert_int_equal(q->path.n_units, q->n);
        return;
    }
    assert_true(start <= q->path.n_units && q->path.n_units < start + count && start + count <= q->n);
    size_t rows = x->ref.kind == ROWS ? count * RIG_ROWS : 0;
    int rc = warm_cache_save_begin(x->r.cache, &q->path, start, count, grid, count * RIG_STATE, rows, &q->save);
    assert_true(rc == 0 || (rc == WARM_EFULL && !x->ample));
    if (rc) return;
    memcpy(q->save.data, q->doc->state + start * RIG_STATE, q->save.bytes);
    if (rows) memcpy(q->save.window, q->doc->rows + start * RIG_ROWS, rows);
    if (rows && !x->ample && below(x, 20) == 0) warm_cache_save_without_window(x->r.cache, &q->save);
    q->saving = true;
}

static void op_end(struct run *x, struct seq *q) {
    if (!q->saving) return;
    q->saving = false;
    if (below(x, 10) == 0) {
        warm_cache_save_abort(x->r.cache, &q->save);
        return;
    }
    bool rows_only = q->save.data == NULL;
    size_t end = q->save.start + q->save.count;
    warm_piece_view v;
    int rc = warm_cache_save_commit(x->r.cache, &q->path, &q->save, q->doc->units, &v);
    assert_true(rc == 0 || rc == WARM_EAGAIN || (rc == WARM_EFULL && !x->ample));
    if (rc) return;
    assert_true(q->path.n_units >= end);
    if (below(x, 2)) warm_piece_seal(v.piece);
    warm_piece_unref(x->r.cache, v.piece);
    if (end > q->doc->saved && !rows_only) q->doc->saved = end;
}

/* Puts window rows back that were taken away. */
static void op_begin_rows(struct run *x, struct seq *q) {
    size_t start, count;
    if (q->saving || q->path.n_units == 0) return;
    if (!warm_cache_next_window(x->r.cache, &q->path, below(x, q->path.n_units), &start, &count)) return;
    assert_true(!x->ample && start + count <= q->path.n_units);
    int rc = warm_cache_save_begin_window(x->r.cache, start, count, count * RIG_ROWS, &q->save);
    assert_true(rc == 0 || rc == WARM_EFULL);
    if (rc) return;
    memcpy(q->save.window, q->doc->rows + start * RIG_ROWS, q->save.window_bytes);
    q->saving = true;
}

static void op_snapshot(struct run *x, struct seq *q) {
    if (x->ref.kind != SNAPSHOTS) return;
    if (!q->snapping) {
        int rc = warm_cache_snapshot_begin(x->r.cache, SNAP, &q->snapshot);
        assert_true(rc == 0 || (rc == WARM_EFULL && !x->ample));
        q->snapping = rc == 0;
        if (rc || below(x, 2)) return;
    }
    q->snapping = false;
    size_t pos = any_position(x, q->path.n_units);
    if (pos == 0 || below(x, 10) == 0) {
        warm_cache_snapshot_abort(x->r.cache, &q->snapshot);
        return;
    }
    memcpy(q->snapshot.data, q->doc->snapshots + (pos - 1) * SNAP, SNAP);
    warm_piece_view v;
    int rc = warm_cache_snapshot_commit(x->r.cache, &q->path, pos, 1, &q->snapshot, &v);
    assert_true(rc == 0 || (!x->ample && (rc == WARM_EFULL || rc == WARM_EAGAIN)));
    if (rc) return;
    assert_true(v.start == pos && v.bytes == SNAP);
    assert_int_equal(warm_cache_snapshot_before(x->r.cache, &q->path, pos), pos);
    if (below(x, 2)) warm_piece_seal(v.piece);
    warm_piece_unref(x->r.cache, v.piece);
    q->doc->snapped[pos] = true;
}

/* All that it offers; what the test's own hand has damaged is put aside. */
static void read_point(struct run *x, const struct point *p) {
    const warm_resume *m = &p->resume;
    size_t q = m->path.n_units, pos = q < WINDOW ? 0 : q - WINDOW + 1;
    for (size_t i = 0; i < m->n_window; i++) {
        const warm_piece_view *v = &m->window[i];
        assert_true(v->start <= pos && pos < v->start + v->n_units && v->window_bytes == v->n_units * RIG_ROWS);
        pos = v->start + v->n_units;
        size_t count = pos < q ? v->n_units : q - v->start;
        if (warm_piece_verify_window(v->piece) == 0) {
            assert_memory_equal(v->window, p->doc->rows + v->start * RIG_ROWS, count * RIG_ROWS);
        } else {
            assert_true(x->n_flipped > 0);
            warm_cache_quarantine_window(x->r.cache, v->piece);
        }
    }
    assert_true(x->ref.kind != ROWS || pos >= q);
    if (x->ref.kind != SNAPSHOTS || q == 0) {
        assert_null(m->snapshot.piece);
    } else if (warm_piece_verify(m->snapshot.piece) == 0) {
        assert_true(m->snapshot.start == q && m->snapshot.bytes == SNAP);
        assert_memory_equal(m->snapshot.data, p->doc->snapshots + (q - 1) * SNAP, SNAP);
    } else {
        assert_true(x->n_flipped > 0);
        warm_cache_quarantine_snapshot(x->r.cache, &m->path);
    }
}

static void release_point(struct run *x, struct point *p) {
    if (!p->doc) return;
    read_point(x, p);
    warm_resume_release(x->r.cache, &p->resume);
    *p = (struct point){0};
}

static void op_resume(struct run *x, const struct seq *q) {
    struct point *p = &x->points[below(x, N_POINTS)];
    release_point(x, p);
    warm_path path;
    warm_path_clone(x->r.cache, &q->path, &path);
    size_t before = warm_cache_snapshot_before(x->r.cache, &path, path.n_units);
    size_t want = ref_resume(&x->ref, q->doc->scope, q->doc->units, path.n_units);
    size_t asked = warm_cache_match_resume(x->r.cache, x->scopes[q->doc->scope], q->doc->units, path.n_units);
    assert_int_equal(warm_cache_resume(x->r.cache, &path, &p->resume), 0);
    p->doc = q->doc;
    size_t got = p->resume.path.n_units;
    assert_true(x->ample ? got == want && got == asked : got <= want);
    if (x->ref.kind == SNAPSHOTS) assert_int_equal(got, before);
    read_point(x, p);
    struct seq on = {.doc = q->doc, .path = p->resume.path};
    read_path(x, &on);
}

static void op_mark(struct run *x, const struct seq *q) {
    warm_cache_mark(x->r.cache, &q->path, any_position(x, q->path.n_units));
}

static void op_save_all(struct run *x, struct seq *q) {
    for (int i = 0; i < 200 && (q->saving || q->path.n_units < q->n); i++) {
        op_begin(x, q);
        if (!q->saving) return;
        op_end(x, q);
    }
}

static void close_seq(struct run *x, struct seq *q) {
    if (q->saving) warm_cache_save_abort(x->r.cache, &q->save);
    if (q->snapping) warm_cache_snapshot_abort(x->r.cache, &q->snapshot);
    warm_path_release(x->r.cache, &q->path);
    *q = (struct seq){0};
}

static void op_clone(struct run *x, const struct seq *q) {
    struct seq *to = &x->seqs[below(x, N_SEQS)];
    if (to->doc) return;
    *to = (struct seq){.doc = q->doc, .n = q->n};
    warm_path_clone(x->r.cache, &q->path, &to->path);
}

static uint64_t sum_of(const warm_piece_view *v) {
    uint64_t h = 1;
    for (size_t i = 0; i < v->bytes; i++) h = (h ^ v->data[i]) * 0x100000001b3u;
    return h;
}

/* Lets the held view go, whose bytes must be the same as when it was taken, and takes another. */
static void op_hold(struct run *x, const struct seq *q) {
    if (x->held.piece) {
        assert_int_equal(x->held_sum, sum_of(&x->held));
        warm_piece_unref(x->r.cache, x->held.piece);
        x->held.piece = NULL;
    }
    if (!q || q->path.n_units == 0) return;
    warm_path_piece(x->r.cache, &q->path, below(x, q->path.n_units), &x->held);
    x->held_sum = sum_of(&x->held);
}

static void op_damage(struct run *x, const struct seq *q) {
    if (q->path.n_units == 0) return;
    size_t pos = below(x, q->path.n_units);
    warm_piece_view v;
    warm_path_piece(x->r.cache, &q->path, pos, &v);
    if (v.piece != x->held.piece && warm_piece_state_get(v.piece) == WARM_PIECE_SEALED) {
        ((uint8_t *)(uintptr_t)v.data)[below(x, v.bytes)]++; /* not ^=: a second hit must not heal it */
        x->n_flipped++;
        if (below(x, 2)) { /* else somebody finds it later */
            assert_int_equal(warm_piece_verify(v.piece), WARM_ECORRUPT);
            warm_cache_quarantine(x->r.cache, &q->path, pos);
        }
    }
    warm_piece_unref(x->r.cache, v.piece);
}

/* Of rows or of a snapshot that a resume point holds. */
static void op_damage_point(struct run *x) {
    struct point *p = &x->points[below(x, N_POINTS)];
    if (!p->doc) return;
    const warm_resume *m = &p->resume;
    if (m->n_window) {
        const warm_piece_view *v = &m->window[below(x, m->n_window)];
        assert_true(warm_piece_verify_window(v->piece) == 0 || x->n_flipped);
        ((uint8_t *)(uintptr_t)v->window)[below(x, v->window_bytes)]++;
        x->n_flipped++;
    } else if (m->snapshot.piece) {
        assert_true(warm_piece_verify(m->snapshot.piece) == 0 || x->n_flipped);
        ((uint8_t *)(uintptr_t)m->snapshot.data)[below(x, m->snapshot.bytes)]++;
        x->n_flipped++;
    }
    if (below(x, 2)) read_point(x, p);
}

static void op_disturb(struct run *x, struct seq *q) {
    size_t what = below(x, 20);
    if (what == 0) {
        warm_cache_clear(x->r.cache);
    } else if (what < 6) {
        size_t limit = tight(x);
        int rc = warm_cache_set_budget(x->r.cache, limit);
        assert_true(rc == 0 || rc == WARM_EAGAIN);
        assert_int_equal(x->r.budget.limit_bytes, rc ? x->r.budget.used_bytes : limit);
    } else if (what < 10) {
        op_damage(x, q);
    } else if (what < 13 && q->path.n_units) {
        warm_cache_quarantine(x->r.cache, &q->path, below(x, q->path.n_units));
    } else if (what < 16) {
        op_damage_point(x);
    } else if (what < 18) {
        warm_cache_quarantine_snapshot(x->r.cache, &q->path);
    }
}

static void step(struct run *x) {
    struct seq *q = &x->seqs[below(x, N_SEQS)];
    size_t what = below(x, 100);
    if (!q->doc) {
        op_open(x, q);
    } else if (what < 15) {
        op_advance(x, q);
    } else if (what < 20 && x->ref.kind == SNAPSHOTS) {
        op_snapshot(x, q);
    } else if (what < 35) {
        op_begin(x, q);
    } else if (what < 55) {
        op_end(x, q);
    } else if (what < 65) {
        op_save_all(x, q);
    } else if (what < 75) {
        close_seq(x, q);
    } else if (what < 80) {
        op_clone(x, q);
    } else if (what < 83) {
        op_hold(x, q);
    } else if (what < 88 && x->ref.kind != PLAIN) {
        op_resume(x, q);
    } else if (what < 90) {
        op_mark(x, q);
    } else if (what < 92) {
        op_begin_rows(x, q);
    } else if (what < 95 || x->ample) {
        op_ask(x);
    } else {
        op_disturb(x, q);
    }
}

/* One cache from empty to freed. */
static void round_of(uint64_t seed, size_t n_steps, bool ample, enum kind kind, bool ram) {
    struct run *x = calloc(1, sizeof *x);
    x->rng.state = seed;
    x->ample = ample;
    x->ref.kind = kind;
    size_t limit = ample ? (size_t)1 << 30 : tight(x);
    if (ram) {
        rig_open_ram_kind(&x->r, limit, kind == ROWS ? WINDOW : 0, kind == SNAPSHOTS);
    } else {
        rig_open_kind(&x->r, limit, 0, kind == ROWS ? WINDOW : 0, kind == SNAPSHOTS);
    }
    x->scopes[0] = rig_scope(&x->r, "one");
    x->scopes[1] = rig_scope(&x->r, "two");
    for (size_t i = 0; i < n_steps; i++) {
        step(x);
        rig_check(&x->r);
    }
    op_hold(x, NULL);
    for (size_t i = 0; i < N_POINTS; i++) release_point(x, &x->points[i]);
    for (size_t i = 0; i < N_SEQS; i++) {
        if (x->seqs[i].doc) close_seq(x, &x->seqs[i]);
    }
    rig_check(&x->r);
    rig_close(&x->r);
    for (size_t i = 0; i < x->ref.n_docs; i++) {
        free(x->ref.docs[i].units);
        free(x->ref.docs[i].state);
        free(x->ref.docs[i].rows);
        free(x->ref.docs[i].snapshots);
        free(x->ref.docs[i].snapped);
    }
    free(x);
}

static uint64_t from_env(const char *name, uint64_t otherwise) {
    const char *s = getenv(name);
    return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

enum { STEPS = 2500 };

static void rounds(bool ample) {
    uint64_t seed = from_env("WARM_SEED", 20250101), n = from_env("WARM_ITERS", 1000000) / 2 / STEPS;
    for (uint64_t i = 0; i < n; i++) {
        printf("seed %llu\r", (unsigned long long)(seed + i));
        fflush(stdout);
        round_of(seed + i, STEPS, ample, (enum kind)(i % N_KINDS), i / N_KINDS % 2);
    }
    printf("seeds %llu to %llu, %llu operations\n", (unsigned long long)seed, (unsigned long long)(seed + n - 1),
           (unsigned long long)(n * STEPS));
}

static void with_room_the_cache_matches_what_the_reference_matches(void **state) {
    (void)state;
    rounds(true);
}

static void without_room_it_may_lose_but_never_lies(void **state) {
    (void)state;
    rounds(false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_room_the_cache_matches_what_the_reference_matches),
        cmocka_unit_test(without_room_it_may_lose_but_never_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
