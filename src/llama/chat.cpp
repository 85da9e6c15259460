/* SPDX-License-Identifier: MIT
 *
 * llama/chat.cpp - chat requests to prompts, through libllama-common's Jinja templates.
 *
 * The rules for fields (which defaults, which combinations are errors, what is merged with what) are llama-server's, so that the
 * same request makes the same prompt. How answers are held to their form and read is chat_answer.cpp's.
 * A tool_choice that names a function is ours: the prompt has all tools, so that choosing one changes no prefix, and the grammar
 * knows that one only.
 * Threads: chat_render [any]: templates are constant, rendering makes its own context. */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <json-schema-to-grammar.h>
#include <json.h>
#include <memory>

#include "llama/chat_answer.hpp"
#include "llama/deep.hpp"
#include "llama/priv.hpp"

namespace warm {
namespace {

/* As llama-server reads fields: null or another type means the default. */
template <class T> T field(const common_json &body, const char *key, const T &otherwise) {
    if (!body.contains(key) || body.at(key).is_null()) return otherwise;
    try {
        return body.at(key).get<T>();
    } catch (const common_json_error &) {
        return otherwise;
    }
}

bool is_builtin(const std::string &name) {
    std::vector<const char *> names((size_t)std::max(llama_chat_builtin_templates(nullptr, 0), 0));
    llama_chat_builtin_templates(names.data(), names.size());
    return std::any_of(names.begin(), names.end(), [&](const char *n) { return name == n; });
}

bool has_own_template(const engine &e) {
    return llama_model_chat_template(e.model.get(), nullptr) || llama_model_chat_template(e.model.get(), "tool_use");
}

void check_part(const common_json &part) {
    const std::string type = field(part, "type", std::string());
    if (type == "image_url" || type == "input_image") fail(WARM_ENOTSUP, "messages: image input is not supported");
    if (type == "input_audio") fail(WARM_ENOTSUP, "messages: audio input is not supported");
    if (type == "input_video" || type == "video_url") fail(WARM_ENOTSUP, "messages: video input is not supported");
    if (type != "text") fail(WARM_EINVAL, "messages: unsupported content[].type \"%s\"", type.c_str());
    if (!part.contains("text") || !part.at("text").is_string())
        fail(WARM_EINVAL, "messages: a content part of type text has no text");
}

void check_message(const common_json &msg) {
    if (!msg.is_object()) fail(WARM_EINVAL, "messages: each must be an object");
    if (!msg.contains("role") || !msg.at("role").is_string()) fail(WARM_EINVAL, "messages: each must have a role, a string");
    const std::string role = msg.at("role");
    const bool has_content = msg.contains("content");
    if (role != "assistant" && !has_content) fail(WARM_EINVAL, "messages: all but the assistant's must have content");
    if (role == "assistant" && !has_content && !msg.contains("tool_calls")) {
        fail(WARM_EINVAL, "messages: the assistant's must have content or tool_calls");
    }
    if (!has_content) return;
    const common_json &content = msg.at("content");
    if (content.is_string() || content.is_null()) return;
    if (!content.is_array()) fail(WARM_EINVAL, "messages: content must be a string or an array");
    for (const auto &part : content) check_part(part);
}

const common_json &messages_of(const common_json &body) {
    if (!body.is_object()) fail(WARM_EINVAL, "the request must be an object");
    if (!body.contains("messages")) fail(WARM_EINVAL, "messages: required");
    const common_json &messages = body.at("messages");
    if (!messages.is_array()) fail(WARM_EINVAL, "messages: must be an array");
    for (const auto &msg : messages) check_message(msg);
    return messages;
}

/* A last message of the assistant is continued rather than answered. */
void set_continuation(const chat &c, const common_json &body, common_chat_templates_inputs &in) {
    const bool ends_with_assistant = !in.messages.empty() && in.messages.back().role == "assistant";
    if (body.contains("continue_final_message")) {
        in.continue_final_message = common_chat_continuation_parse(body.at("continue_final_message"));
    }
    if (in.continue_final_message == COMMON_CHAT_CONTINUATION_NONE && c.prefill_assistant && ends_with_assistant) {
        if (in.messages.size() >= 2 && in.messages[in.messages.size() - 2].role == "assistant") {
            fail(WARM_EINVAL, "messages: two of the assistant at the end can't be continued");
        }
        in.continue_final_message = COMMON_CHAT_CONTINUATION_AUTO;
        in.add_generation_prompt = false;
    }
    if (in.continue_final_message == COMMON_CHAT_CONTINUATION_NONE) return;
    if (in.add_generation_prompt) {
        fail(WARM_EINVAL, "add_generation_prompt and continue_final_message can't both be true");
    }
    if (ends_with_assistant && !in.messages.back().tool_calls.empty()) {
        fail(WARM_EINVAL, "messages: an assistant's message with tool_calls can't be continued");
    }
}

void set_thinking(const chat &c, const common_json &body, common_chat_templates_inputs &in) {
    in.enable_thinking = c.enable_thinking;
    in.chat_template_kwargs = c.kwargs;
    if (body.contains("chat_template_kwargs") && body.at("chat_template_kwargs").is_object()) {
        for (const auto &item : body.at("chat_template_kwargs").items()) in.chat_template_kwargs[item.key()] = item.value().dump();
    }
    const auto found = in.chat_template_kwargs.find("enable_thinking");
    if (found != in.chat_template_kwargs.end()) {
        if (found->second == "true") {
            in.enable_thinking = true;
        } else if (found->second == "false") {
            in.enable_thinking = false;
        } else if (found->second[0] == '"') {
            fail(WARM_EINVAL, "chat_template_kwargs: enable_thinking must be true or false, not a string");
        }
    }
    const std::string effort = field(body, "reasoning_effort", std::string());
    if (effort == "none") {
        in.enable_thinking = false;
        in.chat_template_kwargs.erase("reasoning_effort");
    } else if (!effort.empty()) {
        in.chat_template_kwargs["reasoning_effort"] = common_json::make(effort).dump();
    }
    in.reasoning_format = c.reasoning_format;
    if (body.contains("reasoning_format") && !body.at("reasoning_format").is_null())
        in.reasoning_format = common_reasoning_format_from_name(body.at("reasoning_format"));
}

/* Templates would say that they have no parser where a schema is wrong. */
const char *checked_schema(const char *json_schema) {
    check_schema_size("json_schema", json_schema);
    try {
        json_schema_to_grammar(common_json::parse(json_schema));
    } catch (const std::exception &ex) {
        fail(WARM_EINVAL, "json_schema: %s", ex.what());
    }
    return json_schema;
}

/* The function that tool_choice names, "" if it names none. */
std::string named_tool(const common_json &body) {
    if (!body.contains("tool_choice") || !body.at("tool_choice").is_object()) return "";
    return field(field(body.at("tool_choice"), "function", common_json()), "name", std::string());
}

std::vector<common_chat_tool> only_tool(const std::vector<common_chat_tool> &tools, const std::string &name) {
    for (const auto &tool : tools)
        if (tool.name == name) return {tool};
    fail(WARM_EINVAL, "tool_choice: there is no tool named \"%s\"", name.c_str());
}

common_chat_templates_inputs inputs_of(const engine &e, const common_json &body, const char *json_schema) {
    const chat &c = e.chat_;
    common_chat_templates_inputs in;
    in.messages = common_chat_msgs_parse_oaicompat(messages_of(body));
    const common_json tools = field(body, "tools", common_json());
    if (!tools.is_null()) {
        check_schema_size("tools", tools.dump_safe());
        in.tools = common_chat_tools_parse_oaicompat(tools);
    }
    if (!c.jinja && !in.tools.empty()) {
        fail(WARM_ENOTSUP, "tools need a Jinja template; the one in use is known by its name only");
    }
    in.tool_choice = common_chat_tool_choice_parse_oaicompat(field(body, "tool_choice", std::string("auto")));
    if (!named_tool(body).empty()) in.tool_choice = COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    if (json_schema) in.json_schema = checked_schema(json_schema);
    in.use_jinja = c.jinja;
    in.parallel_tool_calls =
        field(body, "parallel_tool_calls", common_chat_templates_get_caps(c.templates.get())["supports_parallel_tool_calls"]);
    in.add_generation_prompt = field(body, "add_generation_prompt", true);
    set_continuation(c, body, in);
    set_thinking(c, body, in);
    in.force_pure_content = c.force_pure_content;
    return in;
}

std::string caps_of(const chat &c) {
    std::string json;
    for (const auto &cap : common_chat_templates_get_caps(c.templates.get()))
        json += (json.empty() ? "{\"" : ",\"") + cap.first + (cap.second ? "\":true" : "\":false");
    return json.empty() ? "{}" : json + "}";
}

/* The strings one behind the other, each with its NUL. */
std::string packed(const std::vector<std::string> &strings, size_t *n) {
    std::string all;
    *n = 0;
    for (const auto &s : strings) {
        if (s.empty() || s.find('\0') != std::string::npos)
            continue; /* would end every answer at once, or could not be told apart */
        all.append(s.c_str(), s.size() + 1);
        (*n)++;
    }
    return all;
}

/* As it is for answers: what the prompt is made of, but for a function that has to be called. */
std::unique_ptr<warm_chat> answers_of(const engine &e, const common_json &body, common_chat_templates_inputs &in,
                                      const common_chat_params &made) {
    const answer_options o = {in.reasoning_format, field(body, "stream", false),
                              field(body, "reasoning_budget_tokens", field(body, "thinking_budget_tokens", -1)),
                              field(body, "reasoning_budget_message", e.params.sampling.reasoning_budget_message)};
    const std::string name = named_tool(body);
    if (name.empty()) return make_answers(e, made, o);
    in.tools = only_tool(in.tools, name);
    return make_answers(e, common_chat_templates_apply(e.chat_.templates.get(), in), o);
}

int render(engine &e, const char *request_json, size_t len, const char *json_schema, warm_chat_prompt *out) {
    if (!e.chat_.templates) {
        fail(WARM_ENOTSUP, "the model has no chat template%s%s: --chat-template gives it one",
             e.chat_.unusable.empty() ? "" : " that works: ", e.chat_.unusable.c_str());
    }
    common_chat_params made;
    std::unique_ptr<warm_chat> answers;
    run_deep([&] {
        const common_json body = common_json::parse(std::string(request_json, len));
        auto in = inputs_of(e, body, json_schema);
        made = common_chat_templates_apply(e.chat_.templates.get(), in);
        if (e.chat_.jinja) answers = answers_of(e, body, in, made);
    });
    size_t n_stops = 0;
    const std::string stops = packed(made.additional_stops, &n_stops);
    std::unique_ptr<char, freed> text(warm_strndup(made.prompt.data(), made.prompt.size()));
    std::unique_ptr<char, freed> kept(n_stops ? static_cast<char *>(warm_malloc(stops.size())) : nullptr);
    if (!text || (n_stops && !kept)) throw std::bad_alloc();
    if (n_stops) std::memcpy(kept.get(), stops.data(), stops.size());
    *out = {text.release(), made.prompt.size(), kept.release(), n_stops, answers.release()};
    return 0;
}

} // namespace

/* The template is asked: what stands before a user's first message and before the second one alike. */
static std::string before_user_message(const engine &e) {
    const std::string names[] = {"user", "assistant", "user"}, texts[] = {"warmslot-one", "warmslot-two", "warmslot-three"};
    common_chat_templates_inputs in;
    for (size_t i = 0; i < 3; i++) {
        common_chat_msg m;
        m.role = names[i];
        m.content = texts[i];
        in.messages.push_back(m);
    }
    in.use_jinja = e.chat_.jinja;
    const std::string made = common_chat_templates_apply(e.chat_.templates.get(), in).prompt;
    const size_t one = made.find(texts[0]), two = made.find(texts[1]), three = made.find(texts[2]);
    if (one == std::string::npos || two == std::string::npos || three == std::string::npos || two < one || three < two) return "";
    const std::string first = made.substr(0, one), later = made.substr(two + texts[1].size(), three - two - texts[1].size());
    size_t n = 0;
    while (n < first.size() && n < later.size() && first[first.size() - 1 - n] == later[later.size() - 1 - n]) n++;
    return later.substr(later.size() - n);
}

/* From the first token that text can't make, and that joins nothing, to the last that is not only space: that one may be joined with what follows. */
void learn_message_head(engine &e) {
    if (!e.chat_.templates) return;
    std::string text;
    try {
        run_deep([&] { text = before_user_message(e); });
    } catch (const std::exception &) {
        return; /* a template that does not take these messages: heads are looked for in the text then */
    }
    auto tokens = common_tokenize(e.vocab, text, false, true);
    const auto first =
        std::find_if(tokens.begin(), tokens.end(), [&](llama_token t) { return llama_vocab_is_control(e.vocab, t); });
    tokens.erase(tokens.begin(), first);
    while (!tokens.empty()) {
        const std::string last = piece_of(e, tokens.back());
        if (last.find_first_not_of(" \r\n\t") != std::string::npos) break;
        tokens.pop_back();
    }
    e.message_head = tokens;
}

void open_chat(engine &e, const char *given) {
    chat &c = e.chat_;
    const common_params &p = e.params;
    const std::string wanted = given ? given : p.chat_template;
    if (wanted.empty() && !has_own_template(e)) return;
    try {
        c.templates = common_chat_templates_init(e.model.get(), wanted);
        c.jinja = p.use_jinja && (wanted == "chatml" || !is_builtin(wanted));
        c.enable_thinking = p.enable_reasoning != 0 && c.jinja && common_chat_templates_support_enable_thinking(c.templates.get());
    } catch (const std::exception &ex) {
        c.templates.reset();
        if (!wanted.empty()) fail(WARM_EINVAL, "--chat-template: %s", ex.what());
        c.unusable = ex.what();
        warm_log_warn("llama", "the model's chat template does not work, chat requests will be refused: %s", ex.what());
        return;
    }
    c.kwargs = p.default_template_kwargs;
    c.reasoning_format = p.reasoning_format;
    c.prefill_assistant = p.prefill_assistant;
    c.force_pure_content = p.force_pure_content_parser;
    e.template_text = common_chat_templates_source(c.templates.get());
    e.template_caps = caps_of(c);
}

int chat_render(warm_engine *we, const char *request_json, size_t len, const char *json_schema, warm_chat_prompt *out,
                warm_err *err) {
    return guard(err, WARM_EINVAL, [&] { return render(*of(we), request_json, len, json_schema, out); });
}

} // namespace warm
