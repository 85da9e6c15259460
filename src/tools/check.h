/* SPDX-License-Identifier: MIT
 *
 * tools/check.h - verifies every byte of a cache directory, without a server and without a model: `warmslot check DIR [--repair]`.
 *
 * Without --repair nothing is changed, and a server may be using the directory. With it the directory is locked, and what nobody can use any more is
 * removed: damaged files, those that were put aside, files of older formats, temporary files of processes that died. [any] */
#ifndef WARM_TOOLS_CHECK_H
#define WARM_TOOLS_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "warmslot/err.h"

typedef struct warm_check_result {
    uint64_t n_files, bytes; /* right ones */
    uint64_t n_damaged, n_aside, n_older, n_newer, n_tmp, n_unreadable;
    uint64_t n_orphans; /* right, but what comes before them is not there */
    uint64_t n_removed;
} warm_check_result;

/* Prints what it finds. WARM_EIO: the directory can't be read; WARM_EAGAIN: it is to be repaired, and a server writes to it; WARM_ENOTSUP: and it can't be
 * written; WARM_ENOMEM. */
WARM_MUST_USE int warm_check(const char *dir, bool repair, FILE *out, warm_check_result *r, warm_err *err);

/* The command line, argv[0] being "check". Returns the exit status: 0, 1 (something is damaged and still there, or it could not be looked
 * at), 2 (wrong usage). */
int warm_check_main(int argc, char **argv);

#endif
