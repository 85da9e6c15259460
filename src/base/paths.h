/* SPDX-License-Identifier: MIT
 *
 * base/paths.h - where the files that come with the program are, wherever the program was put.
 *
 * Nothing here depends on the current directory, and a tree that was moved or installed elsewhere still finds its files,
 * because places are derived from the running code itself; the build tree is only the last resort. [any] */
#ifndef WARM_BASE_PATHS_H
#define WARM_BASE_PATHS_H

#include <stddef.h>

/* The full path of an engine data file, e.g. "ggml-vocab-qwen2.gguf" or "templates/Qwen-Qwen3-0.6B.jinja": the first readable one of
 *   $WARMSLOT_DATA/<name>
 *   <directory of the program>/../share/warmslot/models/<name>     (installed)
 *   <build tree>/engine/src/models/<name>                          (not installed)
 * malloc'ed, NULL if it is in none of them. */
char *warm_path_data(const char *name);

/* The directory of the shared library (or program) that holds the code at addr, without a final slash; malloc'ed, NULL if unknown.
 * This is how the engine finds its CPU backends: they lie beside the libllama that was really loaded. */
char *warm_path_of_code(const void *addr);

/* For warm_path_data and its tests: the first of dirs (NULL and "" are skipped) that holds a readable <name>, as above. */
char *warm__paths_first(const char *const *dirs, size_t n_dirs, const char *name);

#endif
