/* SPDX-License-Identifier: MIT
 *
 * api/params_private.h - between params.c (the table of plain fields) and params_special.c (fields with a shape of their own). */
#ifndef WARM_API_PARAMS_PRIVATE_H
#define WARM_API_PARAMS_PRIVATE_H

#include "api/params.h"

/* WARM_EINVAL "Field 'name': expected <what>, got <type of v>". */
static inline int warm__params_type(warm_err *err, const char *name, const char *what, const warm_jv *v) {
    return warm_err_set(err, WARM_EINVAL, "Field '%s': expected %s, got %s", name, what, warm_jtype(v));
}
/* Reads every field that is not a plain number or boolean. */
WARM_MUST_USE int warm__params_special(const warm_params_scope *s, warm_params *p, warm_err *err);
/* Fills s->samplers from names, or from the short form's letters; what is unknown is left out, as llama-server does. False: too many. */
bool warm__samplers_add(warm_sampling *s, const char *name, size_t len);
bool warm__samplers_from_letters(warm_sampling *s, const char *letters);

#endif
