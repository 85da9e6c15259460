/* SPDX-License-Identifier: MIT
 *
 * cache/shadow.h - what is known of prompts beyond what is kept: a tree of fingerprints of blocks, several times as large as the cache. From it is
 * learned how soon blocks like these are asked for again (odds.h), which gives each block a score, and whether the scores or plain LRU would
 * have computed less lately (docs/design/policy.md).
 *
 * An entry stands for a block at its place behind its parent's, whether the cache holds it or not. Time is counted in prompts. Threads: none. */
#ifndef WARM_CACHE_SHADOW_H
#define WARM_CACHE_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct warm__shadow warm__shadow;

/* Memory for n_entries (a power of two, 64 at least), to be given to warm__shadow_init and freed by whoever has it. */
size_t warm__shadow_bytes(uint32_t n_entries);
/* serial: entries are born with greater numbers. */
warm__shadow *warm__shadow_init(void *memory, uint32_t n_entries, uint32_t serial);
uint32_t warm__shadow_serial(const warm__shadow *s);
/* Whether a new entry takes the place of another one, and the same shadow in more memory. */
bool warm__shadow_full(const warm__shadow *s);
warm__shadow *warm__shadow_move(const warm__shadow *s, void *memory, uint32_t n_entries);

/* A prompt is asked for. The fingerprints of its blocks, at most n_entries, are written to warm__shadow_keys before. capacity: blocks
 * that the cache can hold. false: it is one of the latest prompts again, which is no use: a request can be planned several times. */
uint32_t *warm__shadow_keys(warm__shadow *s);
bool warm__shadow_ask(warm__shadow *s, size_t n, size_t capacity);
/* The entry of the latest prompt's block i; 0: none. */
uint32_t warm__shadow_on_path(const warm__shadow *s, size_t i);

/* Entry 0 is the root. 0: there is no such child. */
uint32_t warm__shadow_child(const warm__shadow *s, uint32_t parent, uint32_t key);
/* An entry is another one when this has changed. */
uint32_t warm__shadow_born(const warm__shadow *s, uint32_t entry);
/* Chance per prompt that it is asked for: the lowest goes first. */
double warm__shadow_score(const warm__shadow *s, uint32_t entry);

/* Whether the scores would have computed less than LRU. */
bool warm__shadow_trusts_scores(const warm__shadow *s);

#endif
