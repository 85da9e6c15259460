/* SPDX-License-Identifier: MIT
 *
 * base/sysmem.c - memory that can still be had (base/sysmem.h).
 *
 * Two cgroup hierarchies are looked at: v2 ("0::/path" in /proc/self/cgroup, mounted at /sys/fs/cgroup or, on hybrid machines,
 * at /sys/fs/cgroup/unified) and the memory controller of v1. Any ancestor may set the limit that bites, so each path is walked
 * up to the mount. Inside a container the path may be the host's while the mount shows the container's own group as its root:
 * then nothing exists on the way up but the root, which is the right one. Files that are missing say nothing.
 * Threads: all [any]. */
#include "base/sysmem.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The names that a hierarchy gives to the same things. */
typedef struct hierarchy {
    const char *mount;
    const char *limit, *usage;
    const char *reclaimable; /* key in memory.stat: page cache that is given up first, though counted as used */
} hierarchy;

static const hierarchy v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"};
static const hierarchy v2_hybrid = {"/sys/fs/cgroup/unified", "memory.max", "memory.current", "inactive_file"};
static const hierarchy v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

/* The number that follows `key` and blanks at the beginning of a line; false if there is no such line. */
static bool read_key(const char *path, const char *key, uint64_t *out) {
    FILE *f = fopen(path, "re");
    if (!f) return false;
    char text[256];
    size_t n = strlen(key);
    bool found = false;
    while (!found && fgets(text, sizeof text, f)) {
        if (strncmp(text, key, n) != 0 || (n && text[n] != ' ')) continue;
        found = sscanf(text + n, " %" SCNu64, out) == 1;
    }
    fclose(f);
    return found;
}

/* A file in the group at mount/path[0..path_len); `key` "" reads a file that holds one number ("max" is none). */
static bool read_group(const char *root, const hierarchy *h, const char *path, const char *file, const char *key, uint64_t *out) {
    char full[PATH_MAX];
    int n = snprintf(full, sizeof full, "%s%s%s/%s", root, h->mount, path, file);
    return n > 0 && (size_t)n < sizeof full && read_key(full, key, out);
}

/* Lowers *available and *total to what the group at `path` and its ancestors allow. Shortens path to "". */
static void walk_up(const char *root, const hierarchy *h, char *path, uint64_t *available, uint64_t *total) {
    for (;;) {
        size_t len = strlen(path);
        while (len && path[len - 1] == '/') path[--len] = '\0';
        uint64_t limit, usage, reclaimable;
        if (read_group(root, h, path, h->limit, "", &limit)) {
            if (limit < *total) *total = limit;
            if (read_group(root, h, path, h->usage, "", &usage)) {
                if (!read_group(root, h, path, "memory.stat", h->reclaimable, &reclaimable)) reclaimable = 0;
                uint64_t hard = usage > reclaimable ? usage - reclaimable : 0;
                uint64_t left = limit > hard ? limit - hard : 0;
                if (left < *available) *available = left;
            }
        }
        char *slash = strrchr(path, '/');
        if (!slash) return;
        *slash = '\0';
    }
}

/* Whether a v1 line's comma-separated controllers contain "memory". */
static bool has_memory(const char *controllers) {
    for (const char *p = controllers; p;) {
        size_t n = strcspn(p, ",");
        if (n == 6 && strncmp(p, "memory", 6) == 0) return true;
        p = p[n] ? p + n + 1 : NULL;
    }
    return false;
}

static void apply_cgroups(const char *root, uint64_t *available, uint64_t *total) {
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *f = fopen(name, "re");
    if (!f) return;
    char text[PATH_MAX];
    while (fgets(text, sizeof text, f)) {
        text[strcspn(text, "\n")] = '\0';
        char *controllers = strchr(text, ':');
        char *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path) continue;
        controllers++;
        *path++ = '\0';
        if (has_memory(controllers)) {
            walk_up(root, &v1, path, available, total);
        } else if (*controllers == '\0') {
            char copy[PATH_MAX];
            strcpy(copy, path);
            walk_up(root, &v2, copy, available, total);
            walk_up(root, &v2_hybrid, path, available, total);
        }
    }
    fclose(f);
}

static uint64_t read_meminfo(const char *root, const char *key) {
    char path[PATH_MAX];
    uint64_t kib;
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    return read_key(path, key, &kib) && kib < UINT64_MAX / 1024 ? kib * 1024 : UINT64_MAX;
}

uint64_t warm_sysmem_available(const char *root) {
    uint64_t available = read_meminfo(root, "MemAvailable:");
    uint64_t total = UINT64_MAX;
    apply_cgroups(root, &available, &total);
    return available;
}

uint64_t warm_sysmem_total(const char *root) {
    uint64_t available = UINT64_MAX;
    uint64_t total = read_meminfo(root, "MemTotal:");
    apply_cgroups(root, &available, &total);
    return total;
}
