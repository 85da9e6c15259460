/* SPDX-License-Identifier: MIT
 *
 * cmake/analyze.h - what the static analyzer must know about functions whose body it does not see; included before every file that it
 * reads (scripts/check), and by nothing else. */
#include "warmslot/err.h"

/* `return warm_err_set(err, WARM_EINVAL, ...)` never returns 0, so what a failed function did not set is not used. */
#define warm_err_set(err, code, ...) (warm_err_set(err, code, __VA_ARGS__), (code))
