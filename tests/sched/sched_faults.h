/* SPDX-License-Identifier: MIT
 *
 * tests/sched/sched_faults.h - an engine whose calls fail by chance, and damage to what the cache holds. One world at a time. */
#ifndef TEST_SCHED_FAULTS_H
#define TEST_SCHED_FAULTS_H

#include "base/rng.h"
#include "sched_world.h"

/* From now on one call in `one_in` fails, in the ways that engine.h allows: saves, loads, forks and shifts, and decodes for want of
 * room; with decodes_fail one decode in ten times as many, too, ends its tasks. The generator is the caller's. 0: none any more. */
void faults_set(world *w, warm_rng *rng, uint64_t one_in, bool decodes_fail);
/* Flips a byte of the cells, the window rows or the snapshot somewhere on the path of these tokens, if the cache has any. Only while no load and
 * no save is under way: bytes may change at any time, but nobody can notice before the checksum or behind its verification. */
void faults_damage(world *w, warm_rng *rng, const int32_t *tokens, size_t n);

#endif
