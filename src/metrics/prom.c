/* SPDX-License-Identifier: MIT
 *
 * metrics/prom.c - see prom.h. */
#include "metrics/prom.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

static void escape(warm_buf *b, const char *s, bool quotes) {
    for (; *s; s++) {
        if (*s == '\n')
            warm_buf_puts(b, "\\n");
        else if (*s == '\\')
            warm_buf_puts(b, "\\\\");
        else if (*s == '"' && quotes)
            warm_buf_puts(b, "\\\"");
        else
            warm_buf_putc(b, *s);
    }
}

void warm_prom_family(warm_buf *b, enum warm_prom_type type, const char *name, const char *help) {
    warm_buf_printf(b, "# HELP %s ", name);
    escape(b, help, false);
    warm_buf_printf(b, "\n# TYPE %s %s\n", name, type == WARM_PROM_COUNTER ? "counter" : "gauge");
}

static void sample_name(warm_buf *b, const char *name, const char *label, const char *label_value) {
    warm_buf_puts(b, name);
    if (label) {
        warm_buf_printf(b, "{%s=\"", label);
        escape(b, label_value, true);
        warm_buf_puts(b, "\"}");
    }
    warm_buf_putc(b, ' ');
}

void warm_prom_uint(warm_buf *b, const char *name, const char *label, const char *label_value, uint64_t v) {
    sample_name(b, name, label, label_value);
    warm_buf_printf(b, "%" PRIu64 "\n", v);
}

void warm_prom_double(warm_buf *b, const char *name, const char *label, const char *label_value, double v) {
    sample_name(b, name, label, label_value);
    if (isnan(v))
        warm_buf_puts(b, "NaN\n");
    else if (isinf(v))
        warm_buf_puts(b, v > 0 ? "+Inf\n" : "-Inf\n");
    else
        warm_buf_printf(b, "%.15g\n", v);
}
