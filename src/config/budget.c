/* SPDX-License-Identifier: MIT
 *
 * config/budget.c - how many bytes --cache-ram means on this machine, now (config/budget.h). */
#include "config/budget.h"

#include <stdio.h>
#include <unistd.h>

enum { DEFAULT_MIB = 8192 };

static const uint64_t MIB = 1024 * 1024, GIB = 1024 * 1024 * 1024;

static uint64_t lesser(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

size_t warm_budget_for(int64_t mib, uint64_t available, uint64_t total) {
    if (mib == 0) return 0;
    uint64_t wanted = mib < 0 ? UINT64_MAX : (uint64_t)mib > UINT64_MAX / MIB ? UINT64_MAX : (uint64_t)mib * MIB;
    if (available == UINT64_MAX) {
        if (mib < 0) wanted = (uint64_t)DEFAULT_MIB * MIB;
    } else {
        uint64_t reserve = total == UINT64_MAX || total / 10 < GIB ? GIB : total / 10;
        wanted = lesser(wanted, available - lesser(reserve, available / 2));
    }
    return (size_t)lesser(wanted, SIZE_MAX);
}

uint64_t warm_budget_mapped_bytes(const char *root) {
    char path[512];
    unsigned long long size, resident, shared;
    snprintf(path, sizeof(path), "%s/proc/self/statm", root);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    int n = fscanf(f, "%llu %llu %llu", &size, &resident, &shared);
    fclose(f);
    long page = sysconf(_SC_PAGESIZE);
    return n == 3 && page > 0 ? shared * (unsigned long long)page : 0;
}
