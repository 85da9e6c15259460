/* SPDX-License-Identifier: MIT
 *
 * engine/state_kind.c - see warmslot/engine.h. */
#include "warmslot/engine.h"

const char *warm_state_kind_name(enum warm_state_kind k) {
    static const char *const names[] = {"ranges", "ranges with window rows", "ranges plus snapshots", "snapshots only",
                                        "whole states only"};
    return names[k];
}
