/* SPDX-License-Identifier: MIT
 *
 * tools/check.c - see check.h. */
#include "tools/check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "store/disk_files.h"
#include "store/disk_index.h"

enum { STEP = 256, SCOPES_MAX = 64 };

struct scope {
    uint8_t fingerprint[WARM_DISK_KEY_BYTES];
    char *text, *adapters, *build;
    uint64_t n[WARM_DISK_KINDS], bytes, units;
};

struct check {
    warm_disk_dir dir;
    bool repair;
    FILE *out;
    warm_check_result *r;
    warm_budget budget;
    warm_disk_index index; /* of right files: what goes on from what */
    struct scope scopes[SCOPES_MAX];
    size_t n_scopes;
    int rc;
};

static void print_hex(FILE *out, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) fprintf(out, "%02x", p[i]);
}

/* Names what is wrong and, if that is to be done, removes it. */
static void problem(struct check *c, const warm_disk_found *f, uint64_t *count, const char *what, const char *why, bool remove) {
    char name[WARM_DISK_NAME_BYTES];
    bool tmp = f->what == WARM_DISK_FOUND_TMP, aside = f->what == WARM_DISK_FOUND_ASIDE;
    ++*count;
    if (tmp)
        memcpy(name, f->name, sizeof name);
    else
        warm_disk_name(f->head.kind, f->head.key, name);
    fprintf(c->out, "%s%s: %s%s%s", name, aside ? ".bad" : "", what, why[0] ? ": " : "", why);
    if (c->repair && remove) {
        int rc = tmp ? warm_disk_remove_name(&c->dir, name) : warm_disk_file_remove(&c->dir, f->head.kind, f->head.key, aside);
        c->r->n_removed += rc == 0;
        if (rc)
            fprintf(c->out, "; can't be removed: %s", strerror(errno));
        else
            fputs("; removed", c->out);
    }
    fputc('\n', c->out);
}

static struct scope *scope_of(struct check *c, const warm_disk_file *f) {
    size_t i = 0;
    while (i < c->n_scopes && memcmp(c->scopes[i].fingerprint, f->head.fingerprint, WARM_DISK_KEY_BYTES) != 0) i++;
    if (i < c->n_scopes) return &c->scopes[i];
    if (i == SCOPES_MAX) return NULL;
    struct scope *s = &c->scopes[c->n_scopes++];
    memcpy(s->fingerprint, f->head.fingerprint, sizeof s->fingerprint);
    s->text = warm_strndup(f->scope, strlen(f->scope));
    s->adapters = warm_strndup(f->adapters, strlen(f->adapters));
    s->build = warm_strndup(f->build, strlen(f->build));
    return s;
}

static void count(struct check *c, const warm_disk_file *f) {
    const warm_disk_head *h = &f->head;
    struct scope *s = scope_of(c, f);
    c->r->n_files++;
    c->r->bytes += h->file_bytes;
    if (s) {
        s->n[h->kind]++;
        s->bytes += h->file_bytes;
        s->units += h->kind == WARM_DISK_CELLS ? h->n_units : 0;
    }
    warm_disk_entry *e;
    if (warm__index_add(&c->index, h, WARM_DISK_LIVE, h->file_bytes, 0, &e)) c->rc = WARM_ENOMEM;
}

/* Every byte of it. */
static void verify(struct check *c, const warm_disk_found *f) {
    warm_disk_reader reader;
    warm_err why = {0};
    int rc = warm_disk_reader_open(&c->dir, f->head.kind, f->head.key, &reader, &why);
    if (rc == WARM_ENOTFOUND) return; /* a server has removed it */
    if (!rc) {
        rc = warm_disk_reader_verify(&reader, &why);
        if (!rc) count(c, &reader.f);
        warm_disk_reader_close(&reader);
    }
    if (!rc) return;
    bool damaged = rc == WARM_ECORRUPT || rc == WARM_EINVAL;
    problem(c, f, damaged ? &c->r->n_damaged : &c->r->n_unreadable, damaged ? "damaged" : "unreadable", why.text, damaged);
}

static void look(void *ud, const warm_disk_found *f) {
    struct check *c = ud;
    switch (f->what) {
    case WARM_DISK_FOUND:
        verify(c, f);
        break;
    case WARM_DISK_FOUND_BAD:
        if (f->why.code == WARM_EIO)
            problem(c, f, &c->r->n_unreadable, "unreadable", f->why.text, false);
        else
            problem(c, f, &c->r->n_damaged, "damaged", f->why.text, true);
        break;
    case WARM_DISK_FOUND_OLDER:
        problem(c, f, &c->r->n_older, "of an older format", f->why.text, true);
        break;
    case WARM_DISK_FOUND_NEWER:
        problem(c, f, &c->r->n_newer, "of a newer format", f->why.text, false);
        break;
    case WARM_DISK_FOUND_ASIDE:
        problem(c, f, &c->r->n_aside, "put aside by a server", "", true);
        break;
    case WARM_DISK_FOUND_TMP:
        problem(c, f, &c->r->n_tmp, "being written, or left behind", "", true);
        break;
    }
}

static void count_orphans(struct check *c) {
    for (uint32_t i = 0; i < c->index.n_made; i++) {
        const warm_disk_entry *e = warm__index_at(&c->index, i);
        if (e && e->parent_at && !warm__index_find(&c->index, WARM_DISK_CELLS, e->parent)) c->r->n_orphans++;
    }
}

static void print_lines(FILE *out, const char *text) {
    for (const char *end; text && *text; text = *end ? end + 1 : end) {
        end = strchrnul(text, '\n');
        fprintf(out, "    %.*s\n", (int)(end - text), text);
    }
}

static void print_summary(const struct check *c) {
    const warm_check_result *r = c->r;
    for (size_t i = 0; i < c->n_scopes; i++) {
        const struct scope *s = &c->scopes[i];
        fputs("scope ", c->out);
        print_hex(c->out, s->fingerprint, 8);
        fprintf(c->out,
                ": %" PRIu64 " blocks with %" PRIu64 " tokens, %" PRIu64 " window rows, %" PRIu64 " snapshots, %.1f MiB, by %s\n",
                s->n[WARM_DISK_CELLS], s->units, s->n[WARM_DISK_ROWS], s->n[WARM_DISK_SNAPSHOT], (double)s->bytes / 1048576,
                s->build ? s->build : "?");
        print_lines(c->out, s->text);
        print_lines(c->out, s->adapters);
    }
    fprintf(c->out,
            "%" PRIu64 " files are right, %.1f MiB; damaged %" PRIu64 ", put aside %" PRIu64 ", of an older format %" PRIu64
            ", of a newer one %" PRIu64 ", temporary %" PRIu64 ", unreadable %" PRIu64 "; removed %" PRIu64 "\n",
            r->n_files, (double)r->bytes / 1048576, r->n_damaged, r->n_aside, r->n_older, r->n_newer, r->n_tmp, r->n_unreadable,
            r->n_removed);
    if (r->n_orphans) fprintf(c->out, "%" PRIu64 " are right, but the block before them is not there (any more)\n", r->n_orphans);
}

static void close_check(struct check *c) {
    for (size_t i = 0; i < c->n_scopes; i++) {
        free(c->scopes[i].text);
        free(c->scopes[i].adapters);
        free(c->scopes[i].build);
    }
    warm__index_deinit(&c->index);
    warm_disk_dir_close(&c->dir);
    free(c);
}

int warm_check(const char *dir, bool repair, FILE *out, warm_check_result *r, warm_err *err) {
    struct check *c = warm_xcalloc(1, sizeof *c);
    warm_disk_scan *scan = NULL;
    *r = (warm_check_result){0};
    c->repair = repair;
    c->out = out;
    c->r = r;
    c->dir.fd = c->dir.lock_fd = -1;
    warm_budget_init(&c->budget, SIZE_MAX);
    warm__index_init(&c->index, &c->budget);
    /* To repair it means to lock it, and what is locked is made. */
    int rc = access(dir, F_OK) ? warm_err_set(err, WARM_EIO, "can't open '%.150s': %s", dir, strerror(errno)) : 0;
    if (!rc) rc = warm_disk_dir_open(&warm_io_system, dir, !repair, &c->dir, err);
    if (rc) goto out;
    rc = warm_disk_scan_new(&c->dir, &scan);
    if (rc) {
        warm_err_set(err, rc, "can't list '%.150s': %s", dir, rc == WARM_EIO ? strerror(errno) : warm_strerror(rc));
        goto out;
    }
    while (warm_disk_scan_next(scan, STEP, look, c)) {
    }
    r->n_unreadable += warm_disk_scan_skipped(scan);
    rc = c->rc ? warm_err_set(err, c->rc, "out of memory") : 0;
    if (!rc) count_orphans(c);
    if (!rc) print_summary(c);

out:
    warm_disk_scan_free(scan);
    close_check(c);
    return rc;
}

static int usage(FILE *out, int status) {
    fputs(
        "usage: warmslot check DIR [--repair]\n"
        "Verifies every byte of a cache directory (--cache-disk) and prints what it found. Nothing is changed, and a server may "
        "be\n"
        "using it. --repair removes what nobody can use: damaged files, those a server has put aside, files of older formats, and\n"
        "what processes that died have left; no server may be writing to it then.\n"
        "Status: 0 all is right, 1 something is damaged and still there or could not be looked at, 2 wrong usage.\n",
        out);
    return status;
}

int warm_check_main(int argc, char **argv) {
    const char *dir = NULL;
    bool repair = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return usage(stdout, 0);
        if (strcmp(argv[i], "--repair") == 0)
            repair = true;
        else if (argv[i][0] == '-' || dir)
            return usage(stderr, 2);
        else
            dir = argv[i];
    }
    if (!dir) return usage(stderr, 2);
    warm_check_result r;
    warm_err err = {0};
    if (warm_check(dir, repair, stdout, &r, &err)) {
        fprintf(stderr, "warmslot check: %s\n", err.text);
        return 1;
    }
    uint64_t wrong = r.n_damaged + r.n_aside + r.n_older + r.n_tmp;
    return r.n_unreadable || r.n_damaged > r.n_removed || (repair && wrong > r.n_removed);
}
