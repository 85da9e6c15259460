/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_slot_file.c - what is read of a slot's file is written again as it was; the checksum is made right first, so that what is behind
 * it is reached. The payload is not there: the file is said to be as long as its head says. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/slot_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number_at(const uint8_t *p) {
    uint64_t x = 0;
    for (size_t i = 0; i < 8; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static void check_blocks(const warm_slot_file *f) {
    uint64_t pos = 0;
    for (uint32_t first = 0, end; first < f->n_pieces; first = end) {
        uint64_t piece_units;
        end = warm_slot_file_block(f, first, &piece_units);
        if (end <= first || end > f->n_pieces || f->pieces[first].start != pos || end - first > 256 / 16) abort();
        for (uint32_t i = first; i < end; i++) {
            if (f->pieces[i].start != pos || f->pieces[i].n_units > piece_units) abort();
            pos += f->pieces[i].n_units;
        }
    }
    if (pos != f->n_units) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MAX_UNITS = 1 << 20 };
    if (size < 8) return 0;
    uint8_t *header = malloc(size), *again = NULL;
    if (!header) return 0;
    memcpy(header, data, size);
    uint64_t sum = warm_xxh3(header, size - 8), file_bytes = size >= 32 ? number_at(header + 24) : size, header_bytes = 0;
    for (size_t i = 0; i < 8; i++) header[size - 8 + i] = (uint8_t)(sum >> (8 * i));
    warm_slot_file f;
    warm_err err = {0};
    int head = warm_slot_file_head(header, size, file_bytes, MAX_UNITS, &header_bytes, &err);
    if (head && !err.text[0]) abort();
    if (!head && header_bytes > file_bytes) abort();
    if (warm_slot_file_parse(header, size, file_bytes, MAX_UNITS, &f, &err)) {
        if (!err.text[0]) abort();
        goto out;
    }
    check_blocks(&f);
    if (head || header_bytes != size || warm_slot_file_header_bytes(&f) != size || warm_slot_file_bytes(&f) != file_bytes) abort();
    again = malloc(size);
    if (!again) abort();
    warm_slot_file_write(&f, again);
    if (memcmp(again, header, size) != 0) abort();
    warm_slot_file_free(&f);
out:
    free(again);
    free(header);
    return 0;
}
