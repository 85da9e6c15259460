/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_disk_file.c - what is read of a file of the disk tier is written again as it was. Checksums are made right first, so that what is
 * behind them is reached. The payload is not there: the file is said to be as long as
 * its head says. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/bytes.h"
#include "store/disk_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SUM_AT = WARM_DISK_HEAD_BYTES - 8, BODY_SUM_AT = SUM_AT - 8, FILE_BYTES_AT = BODY_SUM_AT - 8 };

static void make_sums_right(uint8_t *p, size_t size) {
    warm__put(p + 16, (uint32_t)warm_xxh3(p, 16), 4);
    warm__put(p + BODY_SUM_AT, warm_xxh3(p + WARM_DISK_HEAD_BYTES, size - WARM_DISK_HEAD_BYTES), 8);
    warm__put(p + SUM_AT, warm_xxh3(p, SUM_AT), 8);
}

static uint64_t number_at(const uint8_t *p) {
    return warm__get(&p, 8);
}

/* As it is, with nothing repaired: whatever is said of it, it is said in words. */
static void check_raw(const uint8_t *data, size_t size) {
    warm_disk_head head;
    bool newer;
    warm_err err = {0};
    uint8_t *exact = malloc(size ? size : 1);
    if (!exact) return;
    memcpy(exact, data, size);
    if (warm_disk_head_read(exact, size, size, &head, &newer, &err) && !err.text[0]) abort();
    free(exact);
}

static void check_again(const warm_disk_file *f, const uint8_t *header, size_t size, uint64_t file_bytes) {
    if (f->head.header_bytes != size || f->head.file_bytes != file_bytes) abort();
    uint8_t *again = malloc(size);
    if (!again) abort();
    warm_disk_file_write(f, again);
    if (memcmp(again, header, size) != 0) abort();
    free(again);
    /* It is complete: to complete it changes nothing. */
    warm_disk_file copy = *f;
    if (warm_disk_file_complete(&copy, NULL) || memcmp(copy.head.key, f->head.key, sizeof copy.head.key) != 0) abort();
    if (copy.head.file_bytes != file_bytes || copy.head.header_bytes != size) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    check_raw(data, size);
    if (size < WARM_DISK_HEAD_BYTES) return 0;
    uint8_t *header = malloc(size);
    if (!header) return 0;
    memcpy(header, data, size);
    make_sums_right(header, size);
    uint64_t file_bytes = number_at(header + FILE_BYTES_AT);
    warm_disk_head head;
    warm_disk_file f;
    bool newer;
    warm_err err = {0};
    int rc = warm_disk_head_read(header, size, file_bytes, &head, &newer, &err);
    if (rc && !err.text[0]) abort();
    if (!rc && (head.header_bytes > file_bytes || head.n_units < 1 || warm_disk_last_units(&head) > WARM_DISK_LAST_MAX)) abort();
    if (!rc && !warm_disk_file_read(header, size, file_bytes, &f, &err)) {
        check_again(&f, header, size, file_bytes);
        warm_disk_file_free(&f);
    }
    free(header);
    return 0;
}
