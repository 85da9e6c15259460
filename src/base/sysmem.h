/* SPDX-License-Identifier: MIT
 *
 * base/sysmem.h - how much memory the machine, or the cgroup this process is in, can still give. [any] */
#ifndef WARM_BASE_SYSMEM_H
#define WARM_BASE_SYSMEM_H

#include <stddef.h>
#include <stdint.h>

/* Bytes that can be taken now without swapping or hitting the cgroup's memory.max (v2 and v1, every ancestor): the least of
 * MemAvailable and limit - usage (+ reclaimable file pages). root is "" (tests put a directory that holds proc/ and sys/). UINT64_MAX if nothing is known. */
uint64_t warm_sysmem_available(const char *root);
uint64_t warm_sysmem_total(const char *root);

#endif
