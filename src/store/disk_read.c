/* SPDX-License-Identifier: MIT
 *
 * store/disk_read.c - reads of the disk tier (disk.h). [engine]
 *
 * A read pins its entry, so that its file is neither evicted nor its room counted as free. What is wrong with a file is known when its job
 * comes home, and what becomes of its entry is decided there. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/log.h"
#include "store/disk_internal.h"

enum { READ_ERRORS_MAX = 8 }; /* in a row, of different files: then it is the disk */

static void post(warm_disk_read *r) {
    r->out = true;
    warm__disk_post_read(&r->job);
}

warm_disk_read *warm_disk_read_begin(warm_disk *d, const warm_disk_entry *entry) {
    warm_disk_entry *e = warm__index_at(&d->index, entry->self_);
    warm_disk_read *r = warm_xcalloc(1, sizeof *r);
    assert(e == entry && warm__disk_can_read(e));
    r->job = (warm__disk_job){.d = d, .kind = WARM__DISK_READ, .file_kind = (enum warm_disk_kind)e->kind};
    memcpy(r->job.key, e->key, sizeof r->job.key);
    r->entry = e;
    r->reader.fd = -1;
    r->state = WARM_DISK_OPENING;
    r->opening = true;
    warm__index_pin(&d->index, e);
    if (!d->o.ranked) warm__index_rank(&d->index, e, warm__disk_now(d));
    post(r);
    return r;
}

enum warm_disk_read_state warm_disk_read_state_get(const warm_disk_read *r) {
    return r->state;
}

int warm_disk_read_error(const warm_disk_read *r) {
    return r->error;
}

const warm_disk_file *warm_disk_read_file(const warm_disk_read *r) {
    assert(!r->opening);
    return &r->reader.f;
}

void warm_disk_read_into(warm_disk_read *r, uint32_t first, uint32_t n, uint8_t *const *dst) {
    const warm_disk_file *f = &r->reader.f;
    assert(r->state == WARM_DISK_OPEN && first <= f->head.n_pieces && n <= f->head.n_pieces - first);
    uint8_t **copy = warm_xcalloc(n + 1u, sizeof *copy);
    r->bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        copy[i] = dst[i];
        if (dst[i]) r->bytes += f->pieces[first + i].bytes;
    }
    free((void *)r->dst);
    r->dst = copy;
    r->first = first;
    r->n = n;
    r->state = WARM_DISK_READING;
    post(r);
}

static void read_free(warm_disk_read *r) {
    warm_disk_reader_close(&r->reader);
    warm__disk_unpin(r->job.d, r->entry);
    free((void *)r->dst);
    free(r);
}

void warm_disk_read_end(warm_disk_read *r) {
    assert(r->state != WARM_DISK_READING);
    r->ended = true;
    if (!r->out) read_free(r);
}

/* The first of its kind is told, all are counted. */
static void tell(bool *told, const warm_disk_read *r, const char *what) {
    char name[WARM_DISK_NAME_BYTES];
    if (*told) return;
    *told = true;
    warm_disk_name(r->job.file_kind, r->job.key, name);
    warm_log_warn("disk", "%s: %s: %s (others like it are only counted)", name, what, r->err.text);
}

static void failed(warm_disk_read *r) {
    warm_disk *d = r->job.d;
    int why = r->job.why;
    switch (r->job.rc) {
    case WARM_ENOMEM:
        return;
    case WARM_ENOTFOUND:
        d->stats.n_vanished++;
        tell(&d->told_vanished, r, "a file of the cache is gone");
        warm__disk_check_dir(d);
        warm__disk_forget(d, r->entry);
        return;
    case WARM_EIO:
        if (why == EMFILE || why == ENFILE || why == ENOMEM || why == EINTR) return;
        d->stats.n_read_errors++;
        tell(&d->told_read_error, r, "can't be read, and is given up");
        warm__disk_forget(d, r->entry);
        if (++d->n_read_errors >= READ_ERRORS_MAX) warm__disk_turn_off(d, "it can't be read");
        return;
    default: /* damaged, or another file in its place */
        d->stats.n_damaged++;
        tell(&d->told_damaged, r, "put aside, to be computed again");
        warm__disk_put_aside(d, r->entry);
    }
}

void warm__disk_read_home(warm_disk_read *r) {
    warm_disk *d = r->job.d;
    r->out = false;
    if (r->job.rc) {
        r->state = WARM_DISK_FAILED;
        r->error = r->job.rc;
        if (!r->entry->doomed && r->entry->state == WARM_DISK_LIVE) failed(r);
    } else {
        r->state = WARM_DISK_OPEN;
        d->n_read_errors = 0;
        if (!r->opening) {
            d->stats.read_bytes += r->bytes;
            warm__disk_rate(&d->stats.read_bytes_per_ns, r->bytes, r->ns);
        } else {
            d->stats.n_read++;
        }
        r->opening = false;
    }
    if (r->ended) read_free(r);
}
