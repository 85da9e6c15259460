/* SPDX-License-Identifier: MIT
 *
 * base/log.h - lines for people and machines: level, module, message, then key=value pairs written by the caller.
 *
 * One line is one write(2) to stderr (or the file given), so lines of threads never mix. logfmt by default:
 *   2026-11-24T08:00:00.123Z info sched prompt n=812 device=0 ram=800 computed=12
 * or one JSON object per line {"t","level","module","msg"}. [any] */
#ifndef WARM_BASE_LOG_H
#define WARM_BASE_LOG_H

#include <stdbool.h>

#include "warmslot/err.h"

enum warm_log_level { WARM_LOG_ERROR, WARM_LOG_WARN, WARM_LOG_INFO, WARM_LOG_DEBUG };

/* Process-wide; call before other threads start. path NULL = stderr. */
WARM_MUST_USE int warm_log_open(enum warm_log_level level, bool json, const char *path, warm_err *err);
bool warm_log_on(enum warm_log_level level);
void warm_log(enum warm_log_level level, const char *module, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define warm_log_error(module, ...) warm_log(WARM_LOG_ERROR, module, __VA_ARGS__)
#define warm_log_warn(module, ...)  warm_log(WARM_LOG_WARN, module, __VA_ARGS__)
#define warm_log_info(module, ...)  warm_log(WARM_LOG_INFO, module, __VA_ARGS__)
#define warm_log_debug(module, ...)                                                                                                \
    do {                                                                                                                           \
        if (warm_log_on(WARM_LOG_DEBUG)) warm_log(WARM_LOG_DEBUG, module, __VA_ARGS__);                                            \
    } while (0)

#endif
