/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_paths.h - the ways in which a prompt can get its prefix, each as a trial that takes exactly that way. */
#ifndef WARM_TESTS_EXACT_PATHS_H
#define WARM_TESTS_EXACT_PATHS_H

#include "exact_world.h"

typedef struct exact_path {
    const char *name;
    void (*run)(exact_trial *t);
    bool rare;  /* long: one trial of eight */
    bool brief; /* also where there is no time for all of them */
    bool wide;  /* needs a wide bench */
    enum { EXACT_NEEDS_NOTHING, EXACT_NEEDS_RANGES /* and no more */, EXACT_NEEDS_MORE } needs;
} exact_path;

extern const exact_path exact_paths[];
extern const size_t exact_n_paths;

#endif
