/* SPDX-License-Identifier: MIT
 *
 * llama/text.cpp - text to tokens and back.
 *
 * Threads: [any]; the vocabulary does not change after loading. */
#include <climits>
#include <memory>

#include "llama/priv.hpp"

namespace warm {
namespace {

int tokenize_all(engine &e, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens, size_t *n) {
    if (len > INT_MAX - 16) fail(WARM_EINVAL, "a text of %zu bytes is too long", len);
    /* Most vocabularies make no more tokens than there are bytes, and a few that mark the ends; else libllama says how many. */
    int32_t cap = (int32_t)len + 16;
    for (;;) {
        std::unique_ptr<int32_t, freed> room(static_cast<int32_t *>(warm_malloc((size_t)cap * sizeof(int32_t))));
        if (!room) throw std::bad_alloc();
        int32_t made = llama_tokenize(e.vocab, text, (int32_t)len, room.get(), cap, add_special, parse_special);
        if (made == INT32_MIN) fail(WARM_EINVAL, "a text of %zu bytes makes too many tokens", len);
        if (made >= 0) {
            *n = (size_t)made;
            void *fitting = warm_realloc(room.get(), (size_t)(made ? made : 1) * sizeof(int32_t));
            int32_t *whole = room.release();
            *tokens = fitting ? static_cast<int32_t *>(fitting) : whole;
            return 0;
        }
        cap = -made;
    }
}

} // namespace

int tokenize(warm_engine *we, const char *text, size_t len, bool add_special, bool parse_special, int32_t **tokens, size_t *n,
             warm_err *err) {
    return guard(err, WARM_EINVAL, [&] { return tokenize_all(*of(we), text, len, add_special, parse_special, tokens, n); });
}

size_t token_piece(warm_engine *we, int32_t token, bool special, char *buf, size_t cap) {
    engine &e = *of(we);
    if (token < 0 || (uint32_t)token >= e.info_.n_vocab) return 0;
    int32_t len = 0;
    const int32_t room = cap > INT_MAX ? INT_MAX : (int32_t)cap;
    guard(nullptr, WARM_EENGINE, [&] {
        len = llama_token_to_piece(e.vocab, token, buf, room, 0, special);
        return 0;
    });
    return (size_t)(len < 0 ? -len : len);
}

bool token_is_eog(warm_engine *we, int32_t token) {
    engine &e = *of(we);
    return token >= 0 && (uint32_t)token < e.info_.n_vocab && llama_vocab_is_eog(e.vocab, token);
}

std::string piece_of(const engine &e, llama_token token) {
    return common_token_to_piece(e.vocab, token, true);
}

} // namespace warm
