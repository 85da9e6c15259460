/* SPDX-License-Identifier: MIT
 *
 * store/slot_file.c - see slot_file.h. */
#include "store/slot_file.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/bytes.h"

static const char magic[8] = {'W', 'A', 'R', 'M', 'S', 'L', 'O', 'T'};

enum { UNIT_BYTES = 8, PIECE_BYTES = 48, SNAPSHOT_BYTES = 32, SUM_BYTES = 8 };

/* ---- writing ---- */

void warm_slot_file_free(warm_slot_file *f) {
    free(f->units);
    free(f->pieces);
    free(f->snapshots);
    free(f->scope);
    free(f->adapters);
    free(f->build);
    *f = (warm_slot_file){0};
}

uint64_t warm_slot_file_header_bytes(const warm_slot_file *f) {
    return WARM_SLOT_HEAD_BYTES + f->n_units * UNIT_BYTES + (uint64_t)f->n_pieces * PIECE_BYTES +
           (uint64_t)f->n_snapshots * SNAPSHOT_BYTES + strlen(f->scope) + strlen(f->adapters) + strlen(f->build) + SUM_BYTES;
}

uint64_t warm_slot_file_bytes(const warm_slot_file *f) {
    uint64_t n = warm_slot_file_header_bytes(f);
    for (uint32_t i = 0; i < f->n_pieces; i++) n += f->pieces[i].bytes + f->pieces[i].window_bytes;
    for (uint32_t i = 0; i < f->n_snapshots; i++) n += f->snapshots[i].bytes;
    return n;
}

void warm_slot_file_write(const warm_slot_file *f, uint8_t *out) {
    size_t n_scope = strlen(f->scope), n_adapters = strlen(f->adapters), n_build = strlen(f->build);
    uint8_t *p = warm__put_bytes(out, magic, sizeof magic);
    p = warm__put(p, WARM_SLOT_FILE_VERSION, 4);
    p = warm__put(p, WARM_STATE_LAYOUT, 4);
    p = warm__put(p, warm_slot_file_header_bytes(f), 8);
    p = warm__put(p, warm_slot_file_bytes(f), 8);
    p = warm__put_bytes(p, f->fingerprint, sizeof f->fingerprint);
    p = warm__put(p, f->n_units, 8);
    p = warm__put(p, f->n_conversation, 8);
    p = warm__put(p, f->n_pieces, 4);
    p = warm__put(p, f->n_snapshots, 4);
    p = warm__put(p, f->state, 4);
    p = warm__put(p, f->n_window, 4);
    p = warm__put(p, n_scope, 4);
    p = warm__put(p, n_adapters, 4);
    p = warm__put(p, n_build, 4);
    for (uint64_t i = 0; i < f->n_units; i++) p = warm__put(p, f->units[i], UNIT_BYTES);
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        const warm_slot_piece *x = &f->pieces[i];
        const uint64_t fields[] = {x->start, x->n_units, x->bytes, x->sum, x->window_bytes, x->window_sum};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) p = warm__put(p, fields[k], 8);
    }
    for (uint32_t i = 0; i < f->n_snapshots; i++) {
        const warm_slot_snapshot *x = &f->snapshots[i];
        p = warm__put(warm__put(warm__put(warm__put(p, x->pos, 8), x->bytes, 8), x->sum, 8), warm__bits_of(x->prior), 8);
    }
    p = warm__put_bytes(p, f->scope, n_scope);
    p = warm__put_bytes(p, f->adapters, n_adapters);
    p = warm__put_bytes(p, f->build, n_build);
    warm__put(p, warm_xxh3(out, (size_t)(p - out)), SUM_BYTES);
}

/* ---- reading ---- */

struct head {
    warm_slot_file f; /* without what is allocated */
    uint64_t header_bytes, scope_bytes, adapters_bytes, build_bytes;
};

static int damaged(warm_err *err, const char *what) {
    return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: %s", what);
}

static int check_kind(const uint8_t *head, size_t n, warm_err *err) {
    if (n < WARM_SLOT_HEAD_BYTES || memcmp(head, magic, sizeof magic) != 0)
        return warm_err_set(err, WARM_EINVAL, "it is not a slot that warmslot has saved");
    const uint8_t *p = head + sizeof magic;
    uint32_t version = (uint32_t)warm__get(&p, 4), layout = (uint32_t)warm__get(&p, 4);
    if (version != WARM_SLOT_FILE_VERSION)
        return warm_err_set(err, WARM_EINVAL, "it has version %u of the format, and this warmslot reads version %u", version,
                            WARM_SLOT_FILE_VERSION);
    if (layout != WARM_STATE_LAYOUT)
        return warm_err_set(err, WARM_EINVAL, "its state has layout %u, and this warmslot reads layout %u", layout,
                            WARM_STATE_LAYOUT);
    return 0;
}

/* Whether the header is as long as its parts, each of which is bounded first so that the sum can't overflow. */
static bool sizes_agree(const struct head *h, uint64_t file_bytes) {
    const warm_slot_file *f = &h->f;
    if (f->n_units > file_bytes / UNIT_BYTES || f->n_pieces > f->n_units || f->n_snapshots > f->n_units) return false;
    if (h->scope_bytes > WARM_TEXT_MAX || h->adapters_bytes > WARM_TEXT_MAX || h->build_bytes > WARM_TEXT_MAX) return false;
    uint64_t sum = WARM_SLOT_HEAD_BYTES + f->n_units * UNIT_BYTES + (uint64_t)f->n_pieces * PIECE_BYTES +
                   (uint64_t)f->n_snapshots * SNAPSHOT_BYTES + h->scope_bytes + h->adapters_bytes + h->build_bytes + SUM_BYTES;
    return sum == h->header_bytes && sum <= file_bytes;
}

static int read_head(const uint8_t *head, size_t n, uint64_t file_bytes, uint64_t max_units, struct head *h, warm_err *err) {
    int rc = check_kind(head, n, err);
    if (rc) return rc;
    const uint8_t *p = head + sizeof magic + 8;
    *h = (struct head){0};
    h->header_bytes = warm__get(&p, 8);
    uint64_t says = warm__get(&p, 8);
    memcpy(h->f.fingerprint, p, sizeof h->f.fingerprint);
    p += sizeof h->f.fingerprint;
    h->f.n_units = warm__get(&p, 8);
    h->f.n_conversation = warm__get(&p, 8);
    h->f.n_pieces = (uint32_t)warm__get(&p, 4);
    h->f.n_snapshots = (uint32_t)warm__get(&p, 4);
    h->f.state = (uint32_t)warm__get(&p, 4);
    h->f.n_window = (uint32_t)warm__get(&p, 4);
    h->scope_bytes = warm__get(&p, 4);
    h->adapters_bytes = warm__get(&p, 4);
    h->build_bytes = warm__get(&p, 4);
    if (says != file_bytes)
        return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: it has %llu bytes and should have %llu",
                            (unsigned long long)file_bytes, (unsigned long long)says);
    if (!sizes_agree(h, file_bytes)) return damaged(err, "the sizes in its header contradict each other");
    if (h->f.n_units > max_units)
        return warm_err_set(err, WARM_ETOOLARGE, "its %llu tokens do not fit into the context of %llu",
                            (unsigned long long)h->f.n_conversation, (unsigned long long)max_units);
    return 0;
}

int warm_slot_file_head(const uint8_t *head, size_t n, uint64_t file_bytes, uint64_t max_units, uint64_t *header_bytes,
                        warm_err *err) {
    struct head h;
    int rc = read_head(head, n, file_bytes, max_units, &h, err);
    if (!rc) *header_bytes = h.header_bytes;
    return rc;
}

/* One more, so that an empty list is no NULL, and a text ends. */
static void *list(uint64_t n, size_t size) {
    return warm_calloc((size_t)n + 1, size);
}

static int read_text(const uint8_t **p, uint64_t n, char **out, warm_err *err) {
    *out = list(n, 1);
    if (!*out) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
    memcpy(*out, *p, (size_t)n);
    *p += n;
    return strlen(*out) == n ? 0 : damaged(err, "a text holds a NUL");
}

static int read_lists(warm_slot_file *f, const struct head *h, const uint8_t *p, warm_err *err) {
    f->units = list(f->n_units, sizeof *f->units);
    f->pieces = list(f->n_pieces, sizeof *f->pieces);
    f->snapshots = list(f->n_snapshots, sizeof *f->snapshots);
    if (!f->units || !f->pieces || !f->snapshots) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
    for (uint64_t i = 0; i < f->n_units; i++) f->units[i] = warm__get(&p, UNIT_BYTES);
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        warm_slot_piece *x = &f->pieces[i];
        uint64_t *const fields[] = {&x->start, &x->n_units, &x->bytes, &x->sum, &x->window_bytes, &x->window_sum};
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) *fields[k] = warm__get(&p, 8);
    }
    for (uint32_t i = 0; i < f->n_snapshots; i++) {
        warm_slot_snapshot *x = &f->snapshots[i];
        x->pos = warm__get(&p, 8);
        x->bytes = warm__get(&p, 8);
        x->sum = warm__get(&p, 8);
        x->prior = warm__double_of(warm__get(&p, 8));
    }
    int rc = read_text(&p, h->scope_bytes, &f->scope, err);
    if (!rc) rc = read_text(&p, h->adapters_bytes, &f->adapters, err);
    return rc ? rc : read_text(&p, h->build_bytes, &f->build, err);
}

static uint64_t block_of(uint64_t pos) {
    return pos / WARM_SLOT_BLOCK_UNITS;
}

uint32_t warm_slot_file_block(const warm_slot_file *f, uint32_t first, uint64_t *piece_units) {
    uint32_t end = first + 1;
    while (end < f->n_pieces && block_of(f->pieces[end].start) == block_of(f->pieces[first].start)) end++;
    uint64_t grid = WARM_SLOT_PIECE_MIN, n = f->pieces[first].n_units;
    /* One piece alone can be short; how long its block's pieces were to be does not matter any more. */
    while (grid < n) grid *= 2;
    *piece_units = grid;
    return end;
}

static int check_pieces(const warm_slot_file *f, warm_err *err) {
    uint64_t pos = 0, grid = 0;
    for (uint32_t i = 0; i < f->n_pieces; i++) {
        const warm_slot_piece *x = &f->pieces[i];
        bool last = i + 1 == f->n_pieces;
        if (x->start != pos || x->n_units < 1 || x->n_units > WARM_SLOT_BLOCK_UNITS)
            return damaged(err, "its pieces do not follow each other");
        if (pos % WARM_SLOT_BLOCK_UNITS == 0) warm_slot_file_block(f, i, &grid);
        /* Within a block as long as its first; so only the last of all can be short. */
        if (last ? x->n_units > grid : x->n_units != grid) return damaged(err, "its pieces are not those of a block");
        if ((x->bytes == 0 && x->sum) || (x->window_bytes == 0 && x->window_sum)) return damaged(err, "a checksum of nothing");
        pos += x->n_units;
    }
    if (pos != f->n_units) return damaged(err, "its pieces are not all of its units");
    uint64_t before = f->n_pieces ? f->pieces[f->n_pieces - 1].start : 0;
    if (f->n_conversation > pos || (pos && f->n_conversation <= before)) return damaged(err, "its conversation ends elsewhere");
    return 0;
}

static int check_snapshots(const warm_slot_file *f, warm_err *err) {
    uint64_t before = 0;
    for (uint32_t i = 0; i < f->n_snapshots; i++) {
        const warm_slot_snapshot *x = &f->snapshots[i];
        if (x->pos <= before || x->pos > f->n_conversation || x->bytes == 0) return damaged(err, "its snapshots are not in order");
        if (!isfinite(x->prior) || x->prior <= 0 || x->prior > 1) return damaged(err, "a snapshot is likelier than anything");
        before = x->pos;
    }
    return 0;
}

static bool add_up(uint64_t *left, uint64_t n) {
    if (n > *left) return false;
    *left -= n;
    return true;
}

static int check_payload(const warm_slot_file *f, uint64_t left, warm_err *err) {
    bool fits = true;
    for (uint32_t i = 0; fits && i < f->n_pieces; i++)
        fits = add_up(&left, f->pieces[i].bytes) && add_up(&left, f->pieces[i].window_bytes);
    for (uint32_t i = 0; fits && i < f->n_snapshots; i++) fits = add_up(&left, f->snapshots[i].bytes);
    return fits && left == 0 ? 0 : damaged(err, "its parts are not as long as itself");
}

int warm_slot_file_parse(const uint8_t *header, size_t n, uint64_t file_bytes, uint64_t max_units, warm_slot_file *out,
                         warm_err *err) {
    struct head h;
    int rc = read_head(header, n, file_bytes, max_units, &h, err);
    if (rc) return rc;
    if (n != h.header_bytes) return damaged(err, "its header is cut off");
    const uint8_t *end = header + n - SUM_BYTES;
    if (warm_xxh3(header, n - SUM_BYTES) != warm__get(&end, SUM_BYTES)) return damaged(err, "the checksum of its header is wrong");
    *out = h.f;
    rc = read_lists(out, &h, header + WARM_SLOT_HEAD_BYTES, err);
    if (!rc) rc = check_pieces(out, err);
    if (!rc) rc = check_snapshots(out, err);
    if (!rc) rc = check_payload(out, file_bytes - h.header_bytes, err);
    if (rc) warm_slot_file_free(out);
    return rc;
}
