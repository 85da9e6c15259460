/* SPDX-License-Identifier: MIT
 *
 * metrics/prom.h - the text that Prometheus reads (format 0.0.4), written into a warm_buf.
 *
 * A pure writer: what is counted, and where, is its caller's business. Errors are the buffer's. [any] */
#ifndef WARM_METRICS_PROM_H
#define WARM_METRICS_PROM_H

#include <stdint.h>

#include "base/buf.h"

#define WARM_PROM_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum warm_prom_type { WARM_PROM_COUNTER, WARM_PROM_GAUGE };

/* HELP and TYPE of a family whose samples follow. Line breaks and backslashes in help are escaped. */
void warm_prom_family(warm_buf *b, enum warm_prom_type type, const char *name, const char *help);
/* One sample; label NULL = none, else its name and value ("tier", "ram"). The value is escaped. */
void warm_prom_uint(warm_buf *b, const char *name, const char *label, const char *label_value, uint64_t v);
void warm_prom_double(warm_buf *b, const char *name, const char *label, const char *label_value, double v);

#endif
