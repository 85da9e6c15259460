/* SPDX-License-Identifier: MIT
 *
 * store/slot_file.h - the format of a slot's file: one conversation, written once, readable from itself alone.
 *
 *   head       108 bytes: magic "WARMSLOT", version, state layout, sizes, fingerprint of the scope, counts
 *   units      8 bytes each
 *   pieces     48 bytes each: start, units, and of each half bytes and checksum
 *   snapshots  32 bytes each: position, bytes, checksum, prior
 *   texts      of the scope, of the adapters that were in use, and of the engine's release
 *   checksum   8 bytes, XXH3 of everything above
 *   payload    of each piece its state and its window rows, then the snapshots, in order and without gaps
 *
 * All numbers are little-endian. Units are at the position of their index, from 0. Pieces are those of the cache: they stand in blocks of 256
 * units, in a block all are equally long (a power of two from 16 on) but for the last of the file. The conversation is the first
 * n_conversation units; the last piece may hold a few more, because a piece can't be cut.
 *
 * Invariants
 *  (1) Every byte of a file is under a checksum, or is one.
 *  (2) What a head, then a header, says of sizes is bounded by the size of the file before anything is allocated for it.
 *  (3) A change of the format is a new version; a change of what the engines put into pieces and snapshots is a new state layout.
 * Threads: [any]. Not here: files (slot_io.h), and whether a file fits an engine (sched/). */
#ifndef WARM_STORE_SLOT_FILE_H
#define WARM_STORE_SLOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

#define WARM_SLOT_FILE_VERSION 1u

enum { WARM_SLOT_HEAD_BYTES = 108, WARM_SLOT_BLOCK_UNITS = 256, WARM_SLOT_PIECE_MIN = 16, WARM_SLOT_FINGERPRINT_BYTES = 32 };

typedef struct warm_slot_piece {
    uint64_t start, n_units;
    uint64_t bytes, sum;               /* 0 bytes: its units have no state of their own; the sum is 0 then */
    uint64_t window_bytes, window_sum; /* 0 bytes: without window rows */
} warm_slot_piece;

typedef struct warm_slot_snapshot {
    uint64_t pos, bytes, sum;
    double prior; /* as in warm_cache_snapshot_commit */
} warm_slot_snapshot;

typedef struct warm_slot_file {
    uint8_t fingerprint[WARM_SLOT_FINGERPRINT_BYTES];
    uint32_t state, n_window; /* the engine's kind of state and its window */
    uint64_t n_units, n_conversation;
    uint64_t *units;
    warm_slot_piece *pieces;
    warm_slot_snapshot *snapshots;
    uint32_t n_pieces, n_snapshots;
    /* parts of the scope's fingerprint: text of the engine's scope, and a line for each adapter; engine release, for people only */
    char *scope, *adapters, *build;
} warm_slot_file;

/* What was allocated by warm_slot_file_parse, or by a writer with malloc. */
void warm_slot_file_free(warm_slot_file *f);

/* Bytes before the payload, and of the whole file. */
uint64_t warm_slot_file_header_bytes(const warm_slot_file *f);
uint64_t warm_slot_file_bytes(const warm_slot_file *f);
/* Writes the header: warm_slot_file_header_bytes(f). */
void warm_slot_file_write(const warm_slot_file *f, uint8_t *out);

/* Of the first bytes of a file of file_bytes: how long its header is. WARM_EINVAL: it is no such file, or of another version. WARM_ECORRUPT:
 * its numbers contradict each other. WARM_ETOOLARGE: more than max_units units. */
WARM_MUST_USE int warm_slot_file_head(const uint8_t *head, size_t n, uint64_t file_bytes, uint64_t max_units,
                                      uint64_t *header_bytes, warm_err *err);
/* Reads a whole header. WARM_ECORRUPT, and WARM_ENOMEM: *out needs no free then. Errors of the head as above. */
WARM_MUST_USE int warm_slot_file_parse(const uint8_t *header, size_t n, uint64_t file_bytes, uint64_t max_units,
                                       warm_slot_file *out, warm_err *err);

/* Pieces [first, return value) are one block; *piece_units: how long its pieces are. first < n_pieces, and a block begins there. */
uint32_t warm_slot_file_block(const warm_slot_file *f, uint32_t first, uint64_t *piece_units);

#endif
