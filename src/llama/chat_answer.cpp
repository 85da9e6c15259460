/* SPDX-License-Identifier: MIT
 *
 * llama/chat_answer.cpp - how the answers to a chat request are held to their form, and read: libllama-common's parsers.
 *
 * A template's parser reads the whole text anew each time. It recurses as deep as the JSON in a text is nested, which is the model's choice:
 * text with many brackets is read on a larger stack, and beyond a limit not at all.
 * Threads: [any]. */
#include "llama/chat_answer.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "llama/deep.hpp"

namespace warm {
namespace {

constexpr size_t shallow_levels_max = 500;

/* A word that is one token triggers as that token: its text would not be part of the answer otherwise. */
void add_trigger(const engine &e, warm_chat &c, common_grammar_trigger t) {
    if (t.type == COMMON_GRAMMAR_TRIGGER_TYPE_WORD) {
        const auto tokens = common_tokenize(e.vocab, t.value, false, true);
        if (tokens.size() == 1) {
            t.type = COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN;
            t.token = tokens[0];
            c.kept.insert(tokens[0]);
        }
    }
    c.triggers.push_back(std::move(t));
}

void add_budget(const engine &e, warm_chat &c, const common_chat_params &made, const answer_options &o) {
    for (const auto &tag : made.thinking_end_tags)
        if (!tag.empty()) c.reasoning_ends.push_back(common_tokenize(e.vocab, tag, false, true));
    if (c.reasoning_ends.empty() || made.thinking_start_tag.empty()) return;
    c.budget = o.budget >= 0 ? o.budget : e.params.sampling.reasoning_budget_tokens;
    c.reasoning_start = common_tokenize(e.vocab, made.thinking_start_tag, false, true);
    if (!o.budget_message.empty()) c.reasoning_forced = common_tokenize(e.vocab, o.budget_message, false, true);
    c.reasoning_forced.insert(c.reasoning_forced.end(), c.reasoning_ends[0].begin(), c.reasoning_ends[0].end());
}

/* All of a message in one block: the calls first, then the texts. */
int packed(const common_chat_msg &msg, warm_chat_message *out) {
    size_t bytes = msg.tool_calls.size() * sizeof(warm_chat_call) + msg.reasoning_content.size() + msg.content.size() + 2;
    for (const auto &t : msg.tool_calls) bytes += t.id.size() + t.name.size() + t.arguments.size() + 3;
    char *memory = static_cast<char *>(warm_malloc(bytes));
    if (!memory) throw std::bad_alloc();
    auto *calls = reinterpret_cast<warm_chat_call *>(memory);
    char *at = memory + msg.tool_calls.size() * sizeof *calls;
    auto put = [&](const std::string &s) {
        char *text = at;
        std::memcpy(at, s.c_str(), s.size() + 1);
        at += s.size() + 1;
        return text;
    };
    for (size_t i = 0; i < msg.tool_calls.size(); i++) {
        const auto &t = msg.tool_calls[i];
        const char *id = put(t.id), *name = put(t.name), *arguments = put(t.arguments);
        calls[i] = {id, name, arguments, t.arguments.size()};
    }
    const char *reasoning = put(msg.reasoning_content), *content = put(msg.content);
    *out = {reasoning, content, msg.reasoning_content.size(), msg.content.size(), calls, msg.tool_calls.size(), memory};
    return 0;
}

int parse(const warm_chat &c, const std::string &text, bool partial, warm_chat_message *out) {
    const auto levels = (size_t)std::count_if(text.begin(), text.end(), [](char ch) { return ch == '{' || ch == '['; });
    if (levels > schema_levels_max) fail(WARM_EENGINE, "the answer has more than %zu brackets to be read", schema_levels_max);
    common_chat_msg msg;
    auto read = [&] { msg = common_chat_parse(text, partial, c.reader); };
    if (levels > shallow_levels_max)
        run_deep(read);
    else
        read();
    return packed(msg, out);
}

} // namespace

std::unique_ptr<warm_chat> make_answers(const engine &e, const common_chat_params &made, const answer_options &o) {
    auto c = std::make_unique<warm_chat>();
    c->reader = common_chat_parser_params(made);
    c->reader.reasoning_format = o.reasoning_format;
    c->reader.reasoning_in_content = o.stream && o.reasoning_format == COMMON_REASONING_FORMAT_DEEPSEEK_LEGACY;
    if (!made.parser.empty()) c->reader.parser.load(made.parser);
    c->grammar = made.grammar;
    c->lazy = made.grammar_lazy;
    for (const auto &text : made.preserved_tokens) {
        const auto tokens = common_tokenize(e.vocab, text, false, true);
        if (tokens.size() == 1) c->kept.insert(tokens[0]);
    }
    for (const auto &t : made.grammar_triggers) add_trigger(e, *c, t);
    if (c->lazy && c->triggers.empty()) fail(WARM_EENGINE, "the template has a grammar that begins with nothing");
    add_budget(e, *c, made, o);
    return c;
}

int chat_parse(warm_engine *, const warm_chat *c, const char *text, size_t len, bool partial, warm_chat_message *out,
               warm_err *err) {
    return guard(err, WARM_EENGINE, [&] { return parse(*c, std::string(text, len), partial, out); });
}

void chat_free(warm_engine *, warm_chat *c) {
    delete c;
}

} // namespace warm
