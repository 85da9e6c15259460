/* SPDX-License-Identifier: MIT
 *
 * tests/engine/model_fixture.h - a tiny model for tests of the libllama engine, and short forms of its calls that fail the test.
 *
 * The model is $WARM_TEST_MODEL, or is made once per process and removed at its end. */
#ifndef WARM_TESTS_MODEL_FIXTURE_H
#define WARM_TESTS_MODEL_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "llama/llama_engine.h"

const char *tiny_model(void);
const char *tiny_moe(void); /* always made here */

/* A model of this kind of mkmodel's, made once; sliding windows have TINY_WINDOW units, those of "swa-narrow" TINY_WINDOW_NARROW. */
enum { TINY_WINDOW = 64, TINY_WINDOW_NARROW = 8 };
const char *tiny_kind(const char *kind);

/* A path in a folder of this process; removed at its end. */
const char *temp_path(const char *name);

/* Opens `model` with 2 slots and 2 more sequences; the flags end with NULL. Returns warm_llama_open's result. */
int try_open(warm_engine **out, warm_err *err, const char *model, const char *const *flags);
/* The tiny model, with -c n_ctx and the flags given up to NULL; the test fails if it can't be opened. */
warm_engine *open_tiny(const char *n_ctx, ...) __attribute__((sentinel));

/* n tokens that make a text of sorts, the same in every run. */
void some_tokens(const warm_engine *e, int32_t *tokens, size_t n, uint64_t seed);

/* Computes tokens[p0..p1) at positions p0.. of seq in chunks of at most `chunk`; the last row's logits are wanted. Returns decode's result. */
int try_decode(warm_engine *e, int32_t seq, const int32_t *tokens, int32_t p0, int32_t p1, int32_t chunk, warm_err *err);
/* The same; the test fails on an error. Returns the last row's logits, n_vocab floats, to be freed. */
float *decode(warm_engine *e, int32_t seq, const int32_t *tokens, int32_t p0, int32_t p1, int32_t chunk);

/* Asserts that the sequence holds min..max. */
void assert_range(warm_engine *e, int32_t seq, int32_t min, int32_t max);

#endif
