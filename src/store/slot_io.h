/* SPDX-License-Identifier: MIT
 *
 * store/slot_io.h - slot files in a directory: written as a whole or not at all, read only after every byte was verified.
 *
 * A file is written under a temporary name, synced, and renamed, so that its name always stands for a complete one: the old or the new. Whoever
 * writes holds a lock on his temporary file; one without a lock was left behind by a process that died, and is removed by the next
 * writer. Messages name the file as its user did, without the directory.
 * Threads: [io] (any, but they block). */
#ifndef WARM_STORE_SLOT_IO_H
#define WARM_STORE_SLOT_IO_H

#include "store/slot_file.h"

#define WARM_SLOT_IO_TMP ".warmslot-" /* what temporary names begin with */

typedef struct warm_slot_part {
    const uint8_t *data;
    size_t bytes;
} warm_slot_part;

/* Writes the header of f and the parts behind it, which are its payload, as dir/name. WARM_EIO, WARM_ENOMEM: dir/name is as before. */
WARM_MUST_USE int warm_slot_io_write(const char *dir, const char *name, const warm_slot_file *f, const warm_slot_part *parts,
                                     size_t n_parts, warm_err *err);

typedef struct warm_slot_reader {
    int fd;
    uint64_t payload; /* offset */
    warm_slot_file f;
} warm_slot_reader;

/* Opens dir/name and verifies its header; accept, if not NULL, then judges it; at last all of its payload is verified. WARM_ENOTFOUND: there is none;
 * WARM_EIO; as warm_slot_file_parse. */
WARM_MUST_USE int warm_slot_io_open(const char *dir, const char *name, uint64_t max_units,
                                    int (*accept)(const void *ud, const warm_slot_file *f, warm_err *err), const void *ud,
                                    warm_slot_reader *out, warm_err *err);
/* Reads the next bytes of the payload, and compares their sum again: the file may have changed. */
WARM_MUST_USE int warm_slot_io_read(const warm_slot_reader *r, uint64_t offset, uint8_t *dst, size_t bytes, uint64_t sum,
                                    warm_err *err);
void warm_slot_io_close(warm_slot_reader *r);

#endif
