/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_direct.h - test (a): restored state against the live one, bit for bit, with engine, cache and kv_io alone.
 *
 * Live: a prompt is computed on a cleared context, its pieces are saved as they fill, and from several positions on it is continued.
 * Restored: on a cleared context the range before each of these positions is loaded, into the same cells therefore, and continued in the
 * same chunks. Every row must be the same in every bit, and the sequence must consist of its positions once each. */
#ifndef WARM_TESTS_EXACT_DIRECT_H
#define WARM_TESTS_EXACT_DIRECT_H

#include "exact_world.h"

/* Counted in result: judged positions, rows compared and equal, violations. */
void exact_restore(exact_bench *b, exact_result *result, uint64_t seed, size_t piece_units);

#endif
