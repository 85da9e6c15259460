/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_direct.h - test (a): restored state against the live one, bit for bit, with engine, cache and kv_io alone.
 *
 * Live: a prompt is computed on a cleared context, its pieces are saved as they fill, with window rows, and snapshots at the positions where
 * they will be wanted; at each of these it is continued. Restored: on a cleared context the state at each of these positions is brought back in
 * one of several ways, into cells that can't be told from the live ones (exact_reference.h), and continued in the same chunks.
 * Every row must be the same in every bit, and the sequence must consist of its positions once each, and of all window rows that are needed. */
#ifndef WARM_TESTS_EXACT_DIRECT_H
#define WARM_TESTS_EXACT_DIRECT_H

#include "exact_world.h"

enum { EXACT_WAYS = 4 };
extern const char *const exact_ways[EXACT_WAYS];

/* Counted in results, one per way: judged positions, rows compared and equal, violations. */
void exact_restore(exact_bench *b, exact_result *results, uint64_t seed, size_t piece_units);

#endif
