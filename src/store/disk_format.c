/* SPDX-License-Identifier: MIT
 *
 * store/disk_format.c - see disk_format.h. */
#undef NDEBUG /* what is written wrong is lost */
#include "store/disk_format.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "store/bytes.h"

static const char magic[8] = {'W', 'A', 'R', 'M', 'D', 'I', 'S', 'K'};

enum { UNIT_BYTES = 8, PIECE_BYTES = 16, SUM_BYTES = 8, SKETCH_STEP = 16, UNITS_AT_ONCE = 256 };

const char *warm_disk_kind_name(enum warm_disk_kind kind) {
    static const char *const names[WARM_DISK_KINDS] = {"unknown", "block", "window rows", "snapshot"};
    return kind < WARM_DISK_KINDS ? names[kind] : names[0];
}

void warm_disk_file_free(warm_disk_file *f) {
    free(f->units);
    free(f->pieces);
    free(f->scope);
    free(f->adapters);
    free(f->build);
    free(f->backend);
    *f = (warm_disk_file){0};
}

/* ---- keys, sketches, names ---- */

void warm_disk_key_root(const uint8_t fingerprint[WARM_DISK_KEY_BYTES], uint8_t out[WARM_DISK_KEY_BYTES]) {
    static const char what[] = "warmslot root 1\n";
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, what, sizeof what - 1);
    warm_sha256_add(h, fingerprint, WARM_DISK_KEY_BYTES);
    warm_sha256_end(h, out);
}

static size_t units_to_bytes(const uint64_t *units, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) out = warm__put(out, units[i], UNIT_BYTES);
    return n * UNIT_BYTES;
}

void warm_disk_key_next(const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units, size_t n,
                        uint8_t out[WARM_DISK_KEY_BYTES]) {
    static const char what[] = "warmslot path 1\n";
    uint8_t bytes[UNITS_AT_ONCE * UNIT_BYTES];
    warm_sha256 *h = warm_sha256_new();
    warm_sha256_add(h, what, sizeof what - 1);
    warm_sha256_add(h, parent, WARM_DISK_KEY_BYTES);
    for (size_t i = 0, k; i < n; i += k) {
        k = n - i < UNITS_AT_ONCE ? n - i : UNITS_AT_ONCE;
        warm_sha256_add(h, bytes, units_to_bytes(units + i, k, bytes));
    }
    warm_sha256_end(h, out);
}

static size_t n_sketched(size_t n) {
    return n / SKETCH_STEP < WARM_DISK_SKETCH ? n / SKETCH_STEP : WARM_DISK_SKETCH;
}

/* Each step hashes the step before with its units, so that all of it costs one pass. */
void warm_disk_sketch(const uint64_t *units, size_t n, uint16_t out[WARM_DISK_SKETCH]) {
    uint8_t bytes[SUM_BYTES + SKETCH_STEP * UNIT_BYTES];
    uint64_t hash = 0;
    memset(out, 0, WARM_DISK_SKETCH * sizeof *out);
    for (size_t i = 0; i < n_sketched(n); i++) {
        warm__put(bytes, hash, SUM_BYTES);
        units_to_bytes(units + i * SKETCH_STEP, SKETCH_STEP, bytes + SUM_BYTES);
        hash = warm_xxh3(bytes, sizeof bytes);
        out[i] = (uint16_t)hash;
    }
}

size_t warm_disk_sketch_common(const uint16_t *a, size_t n_a, const uint16_t *b, size_t n_b) {
    size_t i = 0, n = n_sketched(n_a < n_b ? n_a : n_b);
    while (i < n && a[i] == b[i]) i++;
    return i * SKETCH_STEP;
}

static const char letters[WARM_DISK_KINDS] = {'?', 'b', 'r', 's'}, digits[] = "0123456789abcdef", suffix[] = ".warm";

void warm_disk_name(enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES], char out[WARM_DISK_NAME_BYTES]) {
    *out++ = letters[kind];
    *out++ = '-';
    for (size_t i = 0; i < WARM_DISK_KEY_BYTES; i++) {
        *out++ = digits[key[i] >> 4];
        *out++ = digits[key[i] & 15];
    }
    memcpy(out, suffix, sizeof suffix);
}

bool warm_disk_name_read(const char *name, enum warm_disk_kind *kind, uint8_t key[WARM_DISK_KEY_BYTES]) {
    if (strlen(name) != WARM_DISK_NAME_BYTES - 1 || name[1] != '-' || strcmp(name + 2 + 2 * WARM_DISK_KEY_BYTES, suffix) != 0)
        return false;
    const char *letter = memchr(letters + 1, name[0], WARM_DISK_KINDS - 1);
    if (!letter) return false;
    *kind = (enum warm_disk_kind)(letter - letters);
    for (size_t i = 0; i < WARM_DISK_KEY_BYTES; i++) {
        const char *high = strchr(digits, name[2 + 2 * i]), *low = strchr(digits, name[3 + 2 * i]);
        if (!high || !low) return false;
        key[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

/* ---- what must hold of a file ---- */

static int wrong(warm_err *err, int code, const char *what) {
    return warm_err_set(err, code, code == WARM_EINVAL ? "there can be no such file: %s" : "the file is damaged: %s", what);
}

static bool is_grid(uint32_t units) {
    return units >= WARM_DISK_PIECE_MIN && units <= WARM_DISK_BLOCK_UNITS && (units & (units - 1)) == 0;
}

/* code: what it is where something is wrong. */
static int check_head(const warm_disk_head *h, int code, warm_err *err) {
    if (h->kind < WARM_DISK_CELLS || h->kind >= WARM_DISK_KINDS) return wrong(err, code, "its kind");
    if (h->n_units < 1 || h->start > UINT64_MAX - h->n_units || h->last_pos < h->first_pos)
        return wrong(err, code, "its positions");
    uint64_t end = h->start + h->n_units;
    if (h->parent_at < h->start || h->parent_at >= end || end - h->parent_at > WARM_DISK_LAST_MAX)
        return wrong(err, code, "its last block");
    if (h->kind == WARM_DISK_SNAPSHOT) {
        if (h->parent_at != h->start && (h->start != 0 || h->parent_at % WARM_DISK_BLOCK_UNITS))
            return wrong(err, code, "its last block");
        if (h->n_pieces != 1 || h->piece_units != 0) return wrong(err, code, "its pieces");
        if (!isfinite(h->prior) || h->prior <= 0 || h->prior > 1) return wrong(err, code, "it is likelier than anything");
        return 0;
    }
    if (h->parent_at != h->start) return wrong(err, code, "its last block");
    if (!is_grid(h->piece_units) || h->n_pieces != (h->n_units + h->piece_units - 1) / h->piece_units)
        return wrong(err, code, "its pieces");
    return warm__bits_of(h->prior) == 0 ? 0 : wrong(err, code, "a block is not likely");
}

static uint64_t body_bytes(const warm_disk_head *h) {
    return (uint64_t)h->n_pieces * PIECE_BYTES + h->n_units * UNIT_BYTES + h->scope_bytes + h->adapters_bytes + h->build_bytes +
           h->backend_bytes;
}

static uint64_t padded(uint64_t n) {
    return (n + WARM_DISK_ALIGN - 1) / WARM_DISK_ALIGN * WARM_DISK_ALIGN;
}

static bool texts_fit(const warm_disk_head *h) {
    return h->scope_bytes <= WARM_TEXT_MAX && h->adapters_bytes <= WARM_TEXT_MAX && h->build_bytes <= WARM_TEXT_MAX &&
           h->backend_bytes <= WARM_TEXT_MAX;
}

/* What the units say that a file holds from parent_at on, and of the parent where they reach back to the root. */
static void keys_of(const warm_disk_file *f, uint8_t parent[WARM_DISK_KEY_BYTES], uint8_t key[WARM_DISK_KEY_BYTES]) {
    const warm_disk_head *h = &f->head;
    memcpy(parent, h->parent, WARM_DISK_KEY_BYTES);
    if (h->start == 0) {
        warm_disk_key_root(h->fingerprint, parent);
        for (uint64_t at = 0; at < h->parent_at; at += WARM_DISK_BLOCK_UNITS)
            warm_disk_key_next(parent, f->units + at, WARM_DISK_BLOCK_UNITS, parent);
    }
    warm_disk_key_next(parent, f->units + (h->parent_at - h->start), (size_t)warm_disk_last_units(h), key);
}

static bool payload_bytes(const warm_disk_file *f, uint64_t most, uint64_t *sum) {
    *sum = 0;
    for (uint32_t i = 0; i < f->head.n_pieces; i++) {
        if (f->pieces[i].bytes > most - *sum) return false;
        *sum += f->pieces[i].bytes;
    }
    return f->head.kind != WARM_DISK_SNAPSHOT || *sum > 0;
}

/* ---- writing ---- */

int warm_disk_file_complete(warm_disk_file *f, warm_err *err) {
    warm_disk_head *h = &f->head;
    int rc = check_head(h, WARM_EINVAL, err);
    if (rc) return rc;
    const char *const texts[] = {f->scope, f->adapters, f->build, f->backend};
    uint32_t *const sizes[] = {&h->scope_bytes, &h->adapters_bytes, &h->build_bytes, &h->backend_bytes};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        if (n > WARM_TEXT_MAX) return wrong(err, WARM_EINVAL, "a text is too long");
        *sizes[i] = (uint32_t)n;
    }
    uint64_t payload;
    if (!payload_bytes(f, INT64_MAX, &payload)) return wrong(err, WARM_EINVAL, "its pieces");
    h->header_bytes = padded(WARM_DISK_HEAD_BYTES + body_bytes(h));
    h->file_bytes = h->header_bytes + payload;
    warm_disk_sketch(f->units + (h->parent_at - h->start), (size_t)warm_disk_last_units(h), h->sketch);
    keys_of(f, h->parent, h->key);
    return 0;
}

static uint8_t *write_body(const warm_disk_file *f, uint8_t *p) {
    const warm_disk_head *h = &f->head;
    for (uint32_t i = 0; i < h->n_pieces; i++) p = warm__put(warm__put(p, f->pieces[i].bytes, 8), f->pieces[i].sum, 8);
    p += units_to_bytes(f->units, (size_t)h->n_units, p);
    p = warm__put_bytes(p, f->scope, h->scope_bytes);
    p = warm__put_bytes(p, f->adapters, h->adapters_bytes);
    p = warm__put_bytes(p, f->build, h->build_bytes);
    return warm__put_bytes(p, f->backend, h->backend_bytes);
}

void warm_disk_file_write(const warm_disk_file *f, uint8_t *out) {
    const warm_disk_head *h = &f->head;
    uint8_t *body = out + WARM_DISK_HEAD_BYTES, *end = write_body(f, body);
    memset(end, 0, (size_t)(out + h->header_bytes - end));
    uint8_t *p = warm__put_bytes(out, magic, sizeof magic);
    p = warm__put(p, WARM_DISK_VERSION, 4);
    p = warm__put(p, WARM_STATE_LAYOUT, 4);
    p = warm__put(p, (uint32_t)warm_xxh3(out, (size_t)(p - out)), 4);
    p = warm__put(warm__put(warm__put(p, h->kind, 4), h->state, 4), h->n_window, 4);
    p = warm__put_bytes(p, h->fingerprint, sizeof h->fingerprint);
    p = warm__put_bytes(p, h->parent, sizeof h->parent);
    p = warm__put_bytes(p, h->key, sizeof h->key);
    const uint64_t longs[] = {h->start,     h->n_units, h->parent_at, h->first_pos, h->last_pos, warm__bits_of(h->prior),
                              h->written_ns};
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) p = warm__put(p, longs[i], 8);
    const uint32_t ints[] = {h->n_pieces, h->piece_units, h->scope_bytes, h->adapters_bytes, h->build_bytes, h->backend_bytes};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) p = warm__put(p, ints[i], 4);
    for (size_t i = 0; i < WARM_DISK_SKETCH; i++) p = warm__put(p, h->sketch[i], 2);
    p = warm__put(warm__put(p, h->header_bytes, 8), h->file_bytes, 8);
    p = warm__put(p, warm_xxh3(body, (size_t)(out + h->header_bytes - body)), 8);
    p = warm__put(p, warm_xxh3(out, (size_t)(p - out)), SUM_BYTES);
    assert(p == body);
}

/* ---- reading ---- */

static int read_prologue(const uint8_t *p, size_t n, bool *newer, warm_err *err) {
    *newer = false;
    if (n < WARM_DISK_PROLOGUE_BYTES || memcmp(p, magic, sizeof magic) != 0)
        return warm_err_set(err, WARM_EINVAL, "it is no file of the cache");
    const uint8_t *q = p + sizeof magic;
    uint32_t version = (uint32_t)warm__get(&q, 4), layout = (uint32_t)warm__get(&q, 4);
    if (warm__get(&q, 4) != (uint32_t)warm_xxh3(p, WARM_DISK_PROLOGUE_BYTES - 4))
        return wrong(err, WARM_ECORRUPT, "the checksum of its beginning is wrong");
    if (version == WARM_DISK_VERSION && layout == WARM_STATE_LAYOUT) return 0;
    *newer = version > WARM_DISK_VERSION || (version == WARM_DISK_VERSION && layout > WARM_STATE_LAYOUT);
    return warm_err_set(err, WARM_ENOTSUP, "it has version %u and layout %u, and this warmslot reads version %u and layout %u",
                        version, layout, WARM_DISK_VERSION, WARM_STATE_LAYOUT);
}

static void read_fields(const uint8_t *p, warm_disk_head *h) {
    h->kind = (enum warm_disk_kind)warm__get(&p, 4);
    h->state = (uint32_t)warm__get(&p, 4);
    h->n_window = (uint32_t)warm__get(&p, 4);
    warm__get_bytes(&p, h->fingerprint, sizeof h->fingerprint);
    warm__get_bytes(&p, h->parent, sizeof h->parent);
    warm__get_bytes(&p, h->key, sizeof h->key);
    uint64_t prior;
    uint64_t *const longs[] = {&h->start, &h->n_units, &h->parent_at, &h->first_pos, &h->last_pos, &prior, &h->written_ns};
    for (size_t i = 0; i < sizeof longs / sizeof *longs; i++) *longs[i] = warm__get(&p, 8);
    h->prior = warm__double_of(prior);
    uint32_t *const ints[] = {&h->n_pieces,       &h->piece_units, &h->scope_bytes,
                              &h->adapters_bytes, &h->build_bytes, &h->backend_bytes};
    for (size_t i = 0; i < sizeof ints / sizeof *ints; i++) *ints[i] = (uint32_t)warm__get(&p, 4);
    for (size_t i = 0; i < WARM_DISK_SKETCH; i++) h->sketch[i] = (uint16_t)warm__get(&p, 2);
    h->header_bytes = warm__get(&p, 8);
    h->file_bytes = warm__get(&p, 8);
    h->body_sum = warm__get(&p, 8);
}

int warm_disk_head_read(const uint8_t *p, size_t n, uint64_t file_bytes, warm_disk_head *out, bool *newer, warm_err *err) {
    *out = (warm_disk_head){0};
    int rc = read_prologue(p, n, newer, err);
    if (rc) return rc;
    if (n < WARM_DISK_HEAD_BYTES) return wrong(err, WARM_ECORRUPT, "it ends too early");
    const uint8_t *sum = p + WARM_DISK_HEAD_BYTES - SUM_BYTES;
    if (warm_xxh3(p, WARM_DISK_HEAD_BYTES - SUM_BYTES) != warm__get(&sum, SUM_BYTES))
        return wrong(err, WARM_ECORRUPT, "the checksum of its head is wrong");
    read_fields(p + WARM_DISK_PROLOGUE_BYTES, out);
    if (out->file_bytes != file_bytes)
        return warm_err_set(err, WARM_ECORRUPT, "the file is damaged: it has %llu bytes and should have %llu",
                            (unsigned long long)file_bytes, (unsigned long long)out->file_bytes);
    rc = check_head(out, WARM_ECORRUPT, err);
    if (rc) return rc;
    /* Each part is bounded first, so that the sum can't overflow. */
    if (out->n_units > file_bytes / UNIT_BYTES || out->n_pieces > file_bytes / PIECE_BYTES || !texts_fit(out) ||
        padded(WARM_DISK_HEAD_BYTES + body_bytes(out)) != out->header_bytes || out->header_bytes > file_bytes)
        return wrong(err, WARM_ECORRUPT, "the sizes in its head contradict each other");
    return 0;
}

/* One more, so that an empty list is no NULL, and a text ends. */
static void *list(uint64_t n, size_t size) {
    return warm_calloc((size_t)n + 1, size);
}

static int read_text(const uint8_t **p, uint32_t n, char **out, warm_err *err) {
    *out = list(n, 1);
    if (!*out) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
    warm__get_bytes(p, *out, n);
    return strlen(*out) == n ? 0 : wrong(err, WARM_ECORRUPT, "a text holds a NUL");
}

static int read_body(warm_disk_file *f, const uint8_t *p, warm_err *err) {
    const warm_disk_head *h = &f->head;
    const uint8_t *end = p + (h->header_bytes - WARM_DISK_HEAD_BYTES);
    f->units = list(h->n_units, sizeof *f->units);
    f->pieces = list(h->n_pieces, sizeof *f->pieces);
    if (!f->units || !f->pieces) return warm_err_set(err, WARM_ENOMEM, "out of memory for its header");
    for (uint32_t i = 0; i < h->n_pieces; i++) {
        f->pieces[i].bytes = warm__get(&p, 8);
        f->pieces[i].sum = warm__get(&p, 8);
        if (f->pieces[i].bytes == 0 && f->pieces[i].sum) return wrong(err, WARM_ECORRUPT, "a checksum of nothing");
    }
    for (uint64_t i = 0; i < h->n_units; i++) f->units[i] = warm__get(&p, UNIT_BYTES);
    int rc = read_text(&p, h->scope_bytes, &f->scope, err);
    if (!rc) rc = read_text(&p, h->adapters_bytes, &f->adapters, err);
    if (!rc) rc = read_text(&p, h->build_bytes, &f->build, err);
    if (!rc) rc = read_text(&p, h->backend_bytes, &f->backend, err);
    while (!rc && p < end) rc = *p++ ? wrong(err, WARM_ECORRUPT, "there is something where nothing should be") : 0;
    return rc;
}

static int check_body(const warm_disk_file *f, warm_err *err) {
    const warm_disk_head *h = &f->head;
    uint64_t payload, left = h->file_bytes - h->header_bytes;
    if (!payload_bytes(f, left, &payload) || payload != left)
        return wrong(err, WARM_ECORRUPT, "its parts are not as long as itself");
    uint8_t parent[WARM_DISK_KEY_BYTES], key[WARM_DISK_KEY_BYTES];
    keys_of(f, parent, key);
    if (memcmp(parent, h->parent, sizeof parent) != 0 || memcmp(key, h->key, sizeof key) != 0)
        return wrong(err, WARM_ECORRUPT, "its units have another key");
    uint16_t sketch[WARM_DISK_SKETCH];
    warm_disk_sketch(f->units + (h->parent_at - h->start), (size_t)warm_disk_last_units(h), sketch);
    return memcmp(sketch, h->sketch, sizeof sketch) == 0 ? 0 : wrong(err, WARM_ECORRUPT, "its units have another sketch");
}

int warm_disk_file_read(const uint8_t *header, size_t n, uint64_t file_bytes, warm_disk_file *out, warm_err *err) {
    bool newer;
    *out = (warm_disk_file){0};
    warm_disk_head head;
    int rc = warm_disk_head_read(header, n, file_bytes, &head, &newer, err);
    if (rc) return rc;
    if (n != head.header_bytes) return wrong(err, WARM_ECORRUPT, "its header is cut off");
    if (warm_xxh3(header + WARM_DISK_HEAD_BYTES, n - WARM_DISK_HEAD_BYTES) != head.body_sum)
        return wrong(err, WARM_ECORRUPT, "the checksum of its header is wrong");
    out->head = head;
    rc = read_body(out, header + WARM_DISK_HEAD_BYTES, err);
    if (!rc) rc = check_body(out, err);
    if (rc) warm_disk_file_free(out);
    return rc;
}
