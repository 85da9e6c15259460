/* SPDX-License-Identifier: MIT
 *
 * llama/state_facts.c - see state_facts.h. */
#include "llama/state_facts.h"

#include "warmslot/cache.h"

typedef struct shape {
    unsigned n_sections;
    enum warm__blob_kind section[WARM__BLOB_SECTIONS_MAX];
    bool recurrent, hybrid; /* as the metadata must say */
    enum warm_state_kind kind;
} shape;

static const shape shapes[] = {
    {1, {WARM__BLOB_KV}, false, false, WARM_STATE_RANGES},
    {2, {WARM__BLOB_KV, WARM__BLOB_KV}, false, false, WARM_STATE_WINDOW},
    {2, {WARM__BLOB_KV, WARM__BLOB_RECURRENT}, false, true, WARM_STATE_RANGES_SNAPSHOTS},
    {3, {WARM__BLOB_KV, WARM__BLOB_KV, WARM__BLOB_RECURRENT}, false, true, WARM_STATE_RANGES_SNAPSHOTS},
    {1, {WARM__BLOB_RECURRENT}, true, false, WARM_STATE_SNAPSHOTS},
};

static const shape *shape_of(const warm__state_facts *f) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        bool same = shapes[i].n_sections == f->n_sections;
        for (unsigned s = 0; same && s < f->n_sections; s++) same = shapes[i].section[s] == f->section[s];
        if (same) return &shapes[i];
    }
    return NULL;
}

static const char *objection(const warm__state_facts *f, const shape *s) {
    if (!f->n_sections) return "the bytes of its state are not understood";
    if (!s) return "its state has parts that are not known to go together";
    if (s->recurrent != f->recurrent || s->hybrid != f->hybrid) return "its state has other parts than its metadata says";
    if (!f->partial_is_rest) return "its partial states are not the parts they were expected to be";
    if (f->section[0] == WARM__BLOB_KV && !f->strips) return "ranges of its state can't be had alone";
    if (f->section[0] == WARM__BLOB_KV && !f->keeps_cells) return "it does not keep all of its cells";
    const bool has_rows = f->n_sections > 1 && f->section[1] == WARM__BLOB_KV;
    if (has_rows && !f->keeps_rows) return "its sliding window is of an unknown kind";
    if (s->kind == WARM_STATE_WINDOW && f->n_swa < (int32_t)WARM_PIECE_MIN) return "its sliding window is smaller than a piece";
    return NULL;
}

enum warm_state_kind warm__state_kind_of(const warm__state_facts *f, const char **why) {
    const shape *s = shape_of(f);
    *why = objection(f, s);
    return *why ? WARM_STATE_WHOLE : s->kind;
}
