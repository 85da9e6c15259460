/* SPDX-License-Identifier: MIT
 *
 * cache/odds.c - how soon blocks are asked for again (odds.h). */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "cache/odds.h"

#include "base/min.h"

enum {
    FADE_EVERY = 64,     /* prompts; what is learned is halved every HALF_LIFE */
    HALF_LIFE = 1024,    /* long enough for gaps of many conversations, short enough to follow a change of load */
    CLASSES_A_PROMPT = 8 /* all indices are new after a few dozen prompts */
};
static const float prior_prompts = 4;    /* how many prompts' blocks a class must have been seen in to weigh as much as its group */
static const float prior_chance = 0.02f; /* at any age, of what was never seen */
static const float gap_octaves = 1.5f;   /* width of a class of gaps */

/* Where bin i begins: 0, 1, 2, 3, 4, 6, 8, 11, 16 ... */
static uint32_t bin_start(uint32_t i) {
    static const uint32_t half[2] = {1024, 1448}; /* 2^10 and 2^10.5 */
    if (i < 4) return i;
    return (uint32_t)((uint64_t)half[i & 1] << (i / 2) >> 10);
}

uint32_t warm__odds_bin(uint32_t age) {
    if (age < 4) return age;
    uint32_t octave = 31u - (uint32_t)__builtin_clz(age), i = 2 * octave;
    if (age >= bin_start(i + 1)) i++;
    return i < WARM__ODDS_BINS ? i : WARM__ODDS_BINS - 1;
}

uint32_t warm__odds_class(float gap, uint32_t uses, uint32_t kind) {
    uint32_t g = gap < 0 ? 0 : 1 + (uint32_t)fminf(gap / gap_octaves, WARM__ODDS_GAPS - 2);
    return (kind * WARM__ODDS_USES + (uses < WARM__ODDS_USES ? uses : WARM__ODDS_USES - 1)) * WARM__ODDS_GAPS + g;
}

void warm__odds_came(warm__odds *o, uint32_t class_, uint32_t from, uint32_t to) {
    for (uint32_t i = from + 1; i <= to; i++) {
        o->of[class_].came[i]++;
        o->group[class_ / WARM__ODDS_GAPS].came[i]++;
        o->all.came[i]++;
    }
}

void warm__odds_asked(warm__odds *o, uint32_t class_, uint32_t bin) {
    o->of[class_].asked[bin]++;
    o->group[class_ / WARM__ODDS_GAPS].asked[bin]++;
    o->all.asked[bin]++;
}

static void fade(struct warm__odds_counts *c, size_t n) {
    float f = exp2f(-(float)FADE_EVERY / HALF_LIFE);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < WARM__ODDS_BINS; i++) c[k].came[i] *= f, c[k].asked[i] *= f;
    }
}

/* The chance to be asked for within bin i, of a block that has come to it. */
static float chance(const warm__odds *o, uint32_t class_, uint32_t i) {
    const struct warm__odds_counts *group = &o->group[class_ / WARM__ODDS_GAPS], *own = &o->of[class_];
    float prior = prior_prompts * o->per_prompt;
    float p = (o->all.asked[i] + prior_chance * prior) / (o->all.came[i] + prior);
    p = (group->asked[i] + p * prior) / (group->came[i] + prior);
    p = (own->asked[i] + p * prior) / (own->came[i] + prior);
    return p < 1 ? p : 1;
}

static void compute_index(warm__odds *o, uint32_t class_) {
    float p[WARM__ODDS_BINS];
    for (uint32_t i = 0; i < WARM__ODDS_BINS; i++) p[i] = chance(o, class_, i);
    for (uint32_t from = 0; from + 1 < WARM__ODDS_BINS; from++) {
        float left = 1, time = 0, best = 0;
        for (uint32_t i = from; i + 1 < WARM__ODDS_BINS; i++) {
            time += left * (1 - p[i] / 2) * (float)(bin_start(i + 1) - bin_start(i));
            left *= 1 - p[i];
            best = fmaxf(best, (1 - left) / time);
        }
        o->index[class_][from] = best;
    }
    o->index[class_][WARM__ODDS_BINS - 1] = o->index[class_][WARM__ODDS_BINS - 2];
}

void warm__odds_init(warm__odds *o) {
    memset(o, 0, sizeof(*o));
    for (uint32_t i = 0; i < WARM__ODDS_CLASSES; i++) compute_index(o, i);
}

void warm__odds_tick(warm__odds *o, size_t n_blocks) {
    o->per_prompt += ((float)n_blocks - o->per_prompt) / 100;
    for (uint32_t i = 0; i < CLASSES_A_PROMPT; i++, o->next++) compute_index(o, o->next % WARM__ODDS_CLASSES);
    if (o->next % (FADE_EVERY * CLASSES_A_PROMPT)) return;
    fade(&o->all, 1);
    fade(o->group, WARM__ODDS_GROUPS);
    fade(o->of, WARM__ODDS_CLASSES);
}

double warm__odds_index(const warm__odds *o, uint32_t class_, uint32_t age) {
    uint32_t i = warm__odds_bin(age);
    const float *index = o->index[class_];
    if (i + 1 == WARM__ODDS_BINS) return (double)index[i];
    double a = (double)index[i], b = (double)index[i + 1];
    uint32_t start = bin_start(i);
    return a + (b - a) * (double)(age - start) / (double)(bin_start(i + 1) - start);
}
