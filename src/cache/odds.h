/* SPDX-License-Identifier: MIT
 *
 * cache/odds.h - how soon blocks are asked for again, learned by class and age.
 *
 * For each class of blocks and each age (in prompts, in steps of half an octave) it counts how many came to that age and how many were asked
 * for at it; old counts fade. From these follows the index by which blocks are compared: the best ratio, over all times one could go on
 * keeping a block, of the chance that it is asked for until then to the time it is expected to take up. Where blocks are asked for in
 * rotation it rises with age, so the latest goes first; where the chance falls with age it is the chance itself, so the oldest goes first.
 *
 * A class that was seen little leans on all of its kind and use, and these on all together. Threads: none. */
#ifndef WARM_CACHE_ODDS_H
#define WARM_CACHE_ODDS_H

#include <stdint.h>

enum { WARM__ODDS_GAPS = 8, WARM__ODDS_USES = 4, WARM__ODDS_KINDS = 8, WARM__ODDS_BINS = 40 };
enum { WARM__ODDS_GROUPS = WARM__ODDS_USES * WARM__ODDS_KINDS, WARM__ODDS_CLASSES = WARM__ODDS_GAPS * WARM__ODDS_GROUPS };

struct warm__odds_counts {
    float came[WARM__ODDS_BINS], asked[WARM__ODDS_BINS];
};

typedef struct warm__odds {
    struct warm__odds_counts all, group[WARM__ODDS_GROUPS], of[WARM__ODDS_CLASSES];
    float index[WARM__ODDS_CLASSES][WARM__ODDS_BINS];
    float per_prompt; /* blocks of a prompt, fading mean: what counts as one observation, because they are asked for together */
    uint32_t next;    /* class whose index is computed next */
} warm__odds;

void warm__odds_init(warm__odds *o);
/* gap: mean logarithm (base 2) of the prompts between uses, negative: unknown */
uint32_t warm__odds_class(float gap, uint32_t uses, uint32_t kind);
uint32_t warm__odds_bin(uint32_t age);
/* A block of that class came to the ages of bins from+1..to. */
void warm__odds_came(warm__odds *o, uint32_t class_, uint32_t from, uint32_t to);
void warm__odds_asked(warm__odds *o, uint32_t class_, uint32_t bin);
/* Once a prompt of n blocks: counts fade, and a part of the indices is computed anew. */
void warm__odds_tick(warm__odds *o, size_t n_blocks);
double warm__odds_index(const warm__odds *o, uint32_t class_, uint32_t age);

#endif
