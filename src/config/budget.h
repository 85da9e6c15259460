/* SPDX-License-Identifier: MIT
 *
 * config/budget.h - how many bytes --cache-ram means on this machine, now. [any] */
#ifndef WARM_CONFIG_BUDGET_H
#define WARM_CONFIG_BUDGET_H

#include <stddef.h>
#include <stdint.h>

/* The cache's budget in bytes for --cache-ram mib (-1: no limit of its own, 0: off).
 *
 * available: what the machine can still give (warm_sysmem_available), plus what the cache holds already; total: all it has
 * (warm_sysmem_total). UINT64_MAX = unknown. A reserve stays with the machine: a tenth of it, at least 1 GiB, but at most half of what is available, so
 * that a small machine has a small cache rather than none. -1 takes all but the reserve; other sizes are lowered to that when they are
 * larger, so a default that the machine can't hold is no danger. Where nothing is known, -1 is the default size. */
size_t warm_budget_for(int64_t mib, uint64_t available, uint64_t total);

/* Bytes of files that this process has mapped and that are in memory now: a model's weights. The system counts them as available,
 * for it could drop them, but every token would read them again. root as in base/sysmem.h. 0 if unknown. */
uint64_t warm_budget_mapped_bytes(const char *root);

#endif
