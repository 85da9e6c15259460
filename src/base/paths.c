/* SPDX-License-Identifier: MIT
 *
 * base/paths.c - see paths.h. */
#include "base/paths.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"

static char *join(const char *dir, const char *name) {
    size_t n_dir = strlen(dir), n_name = strlen(name);
    char *path = warm_xmalloc(n_dir + n_name + 2);
    memcpy(path, dir, n_dir);
    path[n_dir] = '/';
    memcpy(path + n_dir + 1, name, n_name + 1);
    return path;
}

char *warm__paths_first(const char *const *dirs, size_t n_dirs, const char *name) {
    for (size_t i = 0; i < n_dirs; i++) {
        if (!dirs[i] || !*dirs[i]) continue;
        char *path = join(dirs[i], name);
        if (access(path, R_OK) == 0) return path;
        free(path);
    }
    return NULL;
}

/* The absolute directory of path, in which links are followed: what lies beside a link's target does not lie beside the link. */
static char *dir_of(const char *path) {
    char *real = realpath(path, NULL);
    if (!real) return NULL;
    char *slash = strrchr(real, '/');
    slash[slash == real] = '\0'; /* keep the slash of "/" itself */
    return real;
}

char *warm_path_data(const char *name) {
    char *program_dir = dir_of("/proc/self/exe");
    char *installed = program_dir ? join(program_dir, "../share/warmslot/models") : NULL;
    const char *dirs[] = {getenv("WARMSLOT_DATA"), installed, WARM_ENGINE_DATA_DIR};
    char *path = warm__paths_first(dirs, sizeof dirs / sizeof *dirs, name);
    free(installed);
    free(program_dir);
    return path;
}

char *warm_path_of_code(const void *addr) {
    Dl_info info;
    if (!dladdr(addr, &info) || !info.dli_fname || !*info.dli_fname) return NULL;
    return dir_of(info.dli_fname);
}
