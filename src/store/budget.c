/* SPDX-License-Identifier: MIT
 *
 * store/budget.c - a hard limit that several owners draw on (warmslot/store.h). [engine] */
#undef NDEBUG /* the limit is a promise to the user: it is checked in release builds too */
#include <assert.h>

#include "warmslot/store.h"

void warm_budget_init(warm_budget *b, size_t limit_bytes) {
    *b = (warm_budget){.limit_bytes = limit_bytes};
}

int warm_budget_take(warm_budget *b, size_t bytes) {
    assert(b->used_bytes <= b->limit_bytes);
    if (bytes > b->limit_bytes - b->used_bytes) return WARM_EFULL;
    b->used_bytes += bytes;
    if (b->used_bytes > b->peak_bytes) b->peak_bytes = b->used_bytes;
    return 0;
}

void warm_budget_give(warm_budget *b, size_t bytes) {
    assert(b->used_bytes <= b->limit_bytes);
    assert(bytes <= b->used_bytes);
    b->used_bytes -= bytes;
}
