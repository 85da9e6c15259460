/* SPDX-License-Identifier: MIT
 *
 * store/disk_format.h - the format of the disk tier's files (docs/disk-format.md): one block, its window rows, or one snapshot, readable from itself alone.
 *
 *   prologue   20 bytes: magic "WARMDISK", version, state layout, and their own checksum: what every version begins with
 *   head       272 bytes with the prologue: all that an index needs, with a checksum: kind, fingerprint of the scope, keys, position, sizes, sketch
 *   body       pieces (16 bytes each: bytes, checksum), units (8 bytes each), texts, zeros up to a multiple of 4096; its checksum is in the head
 *   payload    the pieces, in order and without gaps
 *
 * All numbers are little-endian. A path has a key: the root's is made of the scope's fingerprint, that of a longer one of the key before its last
 * block and the units of that block. So a key names a prefix of a prompt in one scope, whatever file asks for it, and a
 * file is named by its kind and key. The last block of a path has 1 to 256 units (more where a media chunk goes on) and begins at
 * `parent_at`; a snapshot may hold the units before that, too, from 0 on.
 *
 * A sketch holds 16 bits of a hash of the first 16, 32, ... 256 units of the last block, so that among many blocks that begin alike the longest
 * match is found without reading them. It can only be wrong in being too long: the units decide.
 *
 * Invariants
 *  (1) Every byte of a file is under a checksum, or is one.
 *  (2) What a head, then a header, says of sizes is bounded by the size of the file before anything is allocated for it.
 *  (3) A header that is read without an error has the key that its units give, and is written again as it was.
 *  (4) A change of the format is a new version; a change of what the engines put into payloads is a new state layout.
 * Threads: [any]. Not here: files (disk_files.h). */
#ifndef WARM_STORE_DISK_FORMAT_H
#define WARM_STORE_DISK_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#define WARM_DISK_VERSION 1u

enum {
    WARM_DISK_PROLOGUE_BYTES = 20,
    WARM_DISK_HEAD_BYTES = 272,
    WARM_DISK_ALIGN = 4096,
    WARM_DISK_KEY_BYTES = 32,
    WARM_DISK_BLOCK_UNITS = 256,
    WARM_DISK_PIECE_MIN = 16,
    WARM_DISK_LAST_MAX = 65536, /* units of a path's last block */
    WARM_DISK_SKETCH = 16,
    WARM_DISK_NAME_BYTES = 72 /* of a file's name with its NUL */
};

enum warm_disk_kind {
    WARM_DISK_CELLS = 1, /* what all units of a block need */
    WARM_DISK_ROWS,      /* the window rows of its pieces; of 0 bytes where a piece has none */
    WARM_DISK_SNAPSHOT,  /* one piece: the state at the end of the path */
    WARM_DISK_KINDS
};
const char *warm_disk_kind_name(enum warm_disk_kind kind);

typedef struct warm_disk_piece {
    uint64_t bytes, sum; /* XXH3; 0 of 0 bytes */
} warm_disk_piece;

typedef struct warm_disk_head {
    enum warm_disk_kind kind;
    uint32_t state, n_window; /* the engine's kind of state and its window */
    uint8_t fingerprint[WARM_DISK_KEY_BYTES];
    uint8_t parent[WARM_DISK_KEY_BYTES]; /* of the path before the last block */
    uint8_t key[WARM_DISK_KEY_BYTES];    /* of the whole path */
    uint64_t start, n_units;             /* units held; they end where the path ends */
    uint64_t parent_at;                  /* where the last block begins: start, or, in a snapshot with start 0, behind it */
    uint64_t first_pos, last_pos;        /* positions of the first and the last unit held */
    uint32_t n_pieces, piece_units;      /* each piece has that many units but for the last; 0 in a snapshot */
    uint16_t sketch[WARM_DISK_SKETCH];
    double prior;        /* of a snapshot, as in warm_cache_snapshot_commit; 0 otherwise */
    uint64_t written_ns; /* since 1970 */
    uint32_t scope_bytes, adapters_bytes, build_bytes, backend_bytes;
    uint64_t header_bytes, file_bytes, body_sum;
} warm_disk_head;

typedef struct warm_disk_file {
    warm_disk_head head;
    uint64_t *units;
    warm_disk_piece *pieces;
    /* scope and adapters: what the fingerprint is made of but for the salt, which is no text of anybody else's; the engine's release and
     * what computed the state are recorded, not compared */
    char *scope, *adapters, *build, *backend;
} warm_disk_file;

/* What was allocated by warm_disk_file_read, or by a writer with malloc. */
void warm_disk_file_free(warm_disk_file *f);

void warm_disk_key_root(const uint8_t fingerprint[WARM_DISK_KEY_BYTES], uint8_t out[WARM_DISK_KEY_BYTES]);
/* The path that has n more units behind the one of this key, which ends with a whole block. out may be parent. */
void warm_disk_key_next(const uint8_t parent[WARM_DISK_KEY_BYTES], const uint64_t *units, size_t n,
                        uint8_t out[WARM_DISK_KEY_BYTES]);

/* Of the first units of a block; what is behind n is 0. */
void warm_disk_sketch(const uint64_t *units, size_t n, uint16_t out[WARM_DISK_SKETCH]);
/* How many units two blocks of n_a and n_b units seem to have in common: a multiple of 16. */
size_t warm_disk_sketch_common(const uint16_t *a, size_t n_a, const uint16_t *b, size_t n_b);

/* Units of the path's last block. */
static inline uint64_t warm_disk_last_units(const warm_disk_head *h) {
    return h->start + h->n_units - h->parent_at;
}

/* Fills in what follows from the rest of a file that is to be written: parent where it is the root or the units reach back to it, key, sketch, sizes.
 * The sums of the pieces may come later. WARM_EINVAL: no such file can be. */
WARM_MUST_USE int warm_disk_file_complete(warm_disk_file *f, warm_err *err);
/* Writes the header of a complete file: head.header_bytes. */
void warm_disk_file_write(const warm_disk_file *f, uint8_t *out);

/* Reads a head from the first n bytes of a file of file_bytes. WARM_EINVAL: it is no such file. WARM_ENOTSUP: of another version or layout,
 * *newer says of a later one. WARM_ECORRUPT: damaged, or cut off. *out and *newer are set in any case. */
WARM_MUST_USE int warm_disk_head_read(const uint8_t *p, size_t n, uint64_t file_bytes, warm_disk_head *out, bool *newer,
                                      warm_err *err);
/* Reads a whole header. Errors of the head as above, WARM_ECORRUPT, WARM_ENOMEM: *out needs no free then. */
WARM_MUST_USE int warm_disk_file_read(const uint8_t *header, size_t n, uint64_t file_bytes, warm_disk_file *out, warm_err *err);

/* "b-", "r-" or "s-", the key in hexadecimal digits, ".warm". */
void warm_disk_name(enum warm_disk_kind kind, const uint8_t key[WARM_DISK_KEY_BYTES], char out[WARM_DISK_NAME_BYTES]);
/* false: it is no name of ours. */
bool warm_disk_name_read(const char *name, enum warm_disk_kind *kind, uint8_t key[WARM_DISK_KEY_BYTES]);

#endif
