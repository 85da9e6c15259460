/* SPDX-License-Identifier: MIT
 *
 * llama/grammar_words.h - what libllama's grammar parser says about a bad grammar.
 *
 * It says it on stderr, together with the whole grammar, which is a client's text and has no place in a server's log. While a
 * thread listens, what it writes to the stdio stream `stderr` is kept instead; the C library lets that variable be set. Writes of
 * other threads pass through to the descriptor. Where the stream can't be replaced, the error has no detail.
 * Threads: [any]; listeners take turns. */
#ifndef WARM_LLAMA_GRAMMAR_WORDS_H
#define WARM_LLAMA_GRAMMAR_WORDS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Between begin and end, words (cap bytes) receives one line: the reason, "" if none was given. Does not nest. */
void warm__grammar_words_begin(char *words, size_t cap);
void warm__grammar_words_end(void);

#ifdef __cplusplus
}
#endif
#endif
