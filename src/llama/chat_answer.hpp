/* SPDX-License-Identifier: MIT
 *
 * llama/chat_answer.hpp - the warm_chat of this engine: what a template says of the answers to one request.
 *
 * Threads: constant once made. */
#ifndef WARM_LLAMA_CHAT_ANSWER_HPP
#define WARM_LLAMA_CHAT_ANSWER_HPP

#include <memory>
#include <set>

#include "llama/priv.hpp"

struct warm_chat {
    common_chat_parser_params reader;
    std::string grammar; /* "" = none */
    bool lazy = false;
    std::vector<common_grammar_trigger> triggers;
    std::set<llama_token> kept; /* special tokens that the parser and the triggers look for */
    int32_t budget = -1;        /* tokens of reasoning, -1 = no limit */
    llama_tokens reasoning_start, reasoning_forced;
    std::vector<llama_tokens> reasoning_ends;
};

namespace warm {

struct answer_options {
    common_reasoning_format reasoning_format;
    bool stream;
    int32_t budget; /* -1: the server's */
    std::string budget_message;
};

/* made: by the template, for this request. */
std::unique_ptr<warm_chat> make_answers(const engine &e, const common_chat_params &made, const answer_options &o);

} // namespace warm
#endif
