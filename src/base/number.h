/* SPDX-License-Identifier: MIT
 *
 * base/number.h - numbers that people write. [any] */
#ifndef WARM_BASE_NUMBER_H
#define WARM_BASE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

/* Digits and nothing else: no sign, no space. false: it is not that, or too large. */
bool warm_parse_whole(const char *text, uint64_t *out);

#endif
