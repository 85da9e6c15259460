/* SPDX-License-Identifier: MIT
 *
 * api/dialect_responses.c - /v1/responses as a chat request. See dialects.h.
 *
 * Items that an assistant's turn is made of (reasoning, text, calls) are joined into one message. */
#include <json-c/linkhash.h>
#include <string.h>

#include "api/dialects.h"
#include "api/dialects_private.h"

static int wrong(warm_err *err, size_t i, const char *what) {
    return warm_err_set(err, WARM_EINVAL, "Field 'input[%zu]': %s", i, what);
}

/* The assistant's message that the next item belongs to: the last one, or a new one. */
static warm_jv *assistant(warm_jv *messages) {
    size_t n = json_object_array_length(messages);
    warm_jv *last = n ? json_object_array_get_idx(messages, n - 1) : NULL;
    if (warm__is(last, "role", "assistant")) return last;
    last = warm__push_new(messages);
    warm__set_str(last, "role", "assistant");
    return last;
}

static warm_jv *array_in(warm_jv *obj, const char *key) {
    warm_jv *v = warm_jget(obj, key);
    if (v) return v;
    v = json_object_new_array();
    json_object_object_add(obj, key, v);
    return v;
}

/* The text of a part, one of input_text, output_text, refusal. */
static int add_part(warm_jv *part, size_t i, warm_jv *parts, warm_err *err) {
    const char *type = warm__str(part, "type");
    if (!strcmp(type, "input_image")) return warm_err_set(err, WARM_ENOTSUP, "Field 'input[%zu]': image input is not supported", i);
    if (!strcmp(type, "input_audio")) return warm_err_set(err, WARM_ENOTSUP, "Field 'input[%zu]': audio input is not supported", i);
    if (!strcmp(type, "input_file")) return wrong(err, i, "input_file is not supported");
    bool refusal = !strcmp(type, "refusal");
    if (!refusal && strcmp(type, "input_text") != 0 && strcmp(type, "output_text") != 0 && strcmp(type, "text") != 0)
        return wrong(err, i, "the type of a part must be input_text, output_text or refusal");
    warm_jv *text = warm_jget(part, refusal ? "refusal" : "text");
    if (!warm_jis(text, json_type_string)) return wrong(err, i, "a part needs its text, a string");
    warm__push_text(parts, text);
    return 0;
}

/* A string, or an array of parts, added to parts. */
static int add_content(warm_jv *content, size_t i, warm_jv *parts, warm_err *err) {
    if (warm_jis(content, json_type_string)) {
        warm__push_text(parts, content);
        return 0;
    }
    if (!warm_jis(content, json_type_array)) return wrong(err, i, "content must be a string or an array of parts");
    int rc = 0;
    for (size_t k = 0; k < json_object_array_length(content) && !rc; k++)
        rc = add_part(json_object_array_get_idx(content, k), i, parts, err);
    return rc;
}

static int add_message(warm_jv *item, const char *role, size_t i, warm_jv *messages, warm_err *err) {
    if (!strcmp(role, "assistant"))
        return add_content(warm_jget(item, "content"), i, array_in(assistant(messages), "content"), err);
    warm_jv *m = warm__push_new(messages);
    warm__set_str(m, "role", role);
    return add_content(warm_jget(item, "content"), i, array_in(m, "content"), err);
}

/* Calls are named "call_" and the id that the model knows. */
static void set_id(warm_jv *obj, const char *key, warm_jv *call_id) {
    const char *id = json_object_get_string(call_id);
    warm__set_str(obj, key, strncmp(id, "call_", 5) ? id : id + 5);
}

static int add_call(warm_jv *item, size_t i, warm_jv *messages, warm_err *err) {
    warm_jv *name = warm_jget(item, "name"), *arguments = warm_jget(item, "arguments"), *id = warm_jget(item, "call_id");
    if (!warm_jis(name, json_type_string) || !warm_jis(arguments, json_type_string) || !warm_jis(id, json_type_string))
        return wrong(err, i, "a function_call needs name, arguments and call_id, all strings");
    warm_jv *function = warm__push_function(array_in(assistant(messages), "tool_calls"), NULL);
    warm_jv *calls = warm_jget(assistant(messages), "tool_calls");
    set_id(json_object_array_get_idx(calls, json_object_array_length(calls) - 1), "id", id);
    warm__share(function, "name", name);
    warm__share(function, "arguments", arguments);
    return 0;
}

static int add_output(warm_jv *item, size_t i, warm_jv *messages, warm_err *err) {
    warm_jv *output = warm_jget(item, "output"), *id = warm_jget(item, "call_id");
    if (!warm_jis(id, json_type_string)) return wrong(err, i, "a function_call_output needs call_id, a string");
    warm_jv *m = warm__push_new(messages);
    warm__set_str(m, "role", "tool");
    set_id(m, "tool_call_id", id);
    if (!warm_jis(output, json_type_string)) return add_content(output, i, array_in(m, "content"), err);
    warm__share(m, "content", output);
    return 0;
}

/* Reasoning comes back with its text, or, from clients that do not keep that, without; then there is nothing to add. */
static int add_reasoning(warm_jv *item, size_t i, warm_jv *messages, warm_err *err) {
    warm_jv *content = warm_jget(item, "content");
    if (!content) return 0;
    if (!warm_jis(content, json_type_array)) return wrong(err, i, "content must be an array of parts");
    if (!json_object_array_length(content)) return 0;
    warm_jv *text = warm_jget(json_object_array_get_idx(content, 0), "text");
    if (!warm_jis(text, json_type_string)) return wrong(err, i, "a part of reasoning needs its text, a string");
    warm_jv *m = assistant(messages);
    array_in(m, "content");
    warm__share(m, "reasoning_content", text);
    return 0;
}

static int add_item(warm_jv *item, size_t i, warm_jv *messages, warm_err *err) {
    const char *type = warm__str(item, "type"), *role = warm__str(item, "role");
    if (*role && (!*type || !strcmp(type, "message"))) {
        static const char *const roles[] = {"user", "system", "developer", "assistant"};
        for (size_t k = 0; k < sizeof roles / sizeof *roles; k++)
            if (!strcmp(role, roles[k])) return add_message(item, role, i, messages, err);
        return wrong(err, i, "role must be user, system, developer or assistant");
    }
    if (!strcmp(type, "function_call")) return add_call(item, i, messages, err);
    if (!strcmp(type, "function_call_output")) return add_output(item, i, messages, err);
    if (!strcmp(type, "reasoning")) return add_reasoning(item, i, messages, err);
    return wrong(err, i, "must be a message, function_call, function_call_output or reasoning");
}

static int add_input(warm_jv *body, warm_jv *messages, warm_err *err) {
    warm_jv *input = warm_jget(body, "input"), *instructions = warm_jget(body, "instructions");
    if (!input) return warm_err_set(err, WARM_EINVAL, "Field 'input': is required");
    if (instructions) {
        warm_jv *m = warm__push_new(messages);
        warm__set_str(m, "role", "system");
        warm__share(m, "content", instructions);
    }
    if (warm_jis(input, json_type_string)) {
        warm_jv *m = warm__push_new(messages);
        warm__set_str(m, "role", "user");
        warm__share(m, "content", input);
        return 0;
    }
    if (!warm_jis(input, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'input': expected a string or an array of items, got %s", warm_jtype(input));
    int rc = 0;
    for (size_t i = 0; i < json_object_array_length(input) && !rc; i++)
        rc = add_item(json_object_array_get_idx(input, i), i, messages, err);
    return rc;
}

static int add_tools(warm_jv *body, warm_jv *out, warm_err *err) {
    warm_jv *given = warm_jget(body, "tools"), *tools;
    if (!given) return 0;
    if (!warm_jis(given, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'tools': expected an array, got %s", warm_jtype(given));
    tools = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(given); i++) {
        warm_jv *tool = json_object_array_get_idx(given, i);
        if (!warm__is(tool, "type", "function")) continue;
        warm_jv *function = warm__push_function(tools, NULL);
        json_object_object_foreach(tool, key, v) if (strcmp(key, "type") != 0) warm__share(function, key, v);
    }
    if (json_object_array_length(tools))
        json_object_object_add(out, "tools", tools);
    else
        json_object_put(tools);
    return 0;
}

/* {"type":"function","name"} */
static void add_choice(warm_jv *body, warm_jv *out) {
    warm_jv *choice = warm_jget(body, "tool_choice"), *name = warm_jget(choice, "name");
    if (!name) {
        warm__share(out, "tool_choice", choice);
        return;
    }
    warm_jv *named = json_object_new_object(), *function = json_object_new_object();
    warm__share(named, "type", warm_jget(choice, "type"));
    warm__share(function, "name", name);
    json_object_object_add(named, "function", function);
    json_object_object_add(out, "tool_choice", named);
}

/* text.format: {"type":"json_schema","name","schema"} is response_format with its members one level down. */
static void add_format(warm_jv *body, warm_jv *out) {
    warm_jv *format = warm_jget(warm_jget(body, "text"), "format");
    if (!format) return;
    warm_jv *made = json_object_new_object();
    warm__share(made, "type", warm_jget(format, "type"));
    if (warm__is(format, "type", "json_schema")) warm__share(made, "json_schema", format);
    json_object_object_add(out, "response_format", made);
}

int warm_chat_of_responses(warm_jv *body, warm_jv **out, warm_err *err) {
    /* What stands for something else there, or would make several answers of one. */
    static const char *const other[] = {"input", "instructions", "tools", "tool_choice", "max_output_tokens", "reasoning",
                                        "text",  "messages",     "n",     "n_cmpl",      "top_logprobs",      "logprobs"};
    if (*warm__str(body, "previous_response_id"))
        return warm_err_set(err, WARM_EINVAL, "Field 'previous_response_id': is not supported, responses are not stored");
    warm_jv *chat = json_object_new_object(), *messages = json_object_new_array();
    json_object_object_add(chat, "messages", messages);
    json_object_object_foreach(body, key, v) {
        bool own = false;
        for (size_t i = 0; i < sizeof other / sizeof *other; i++) own = own || !strcmp(key, other[i]);
        if (!own) warm__share(chat, key, v);
    }
    int rc = add_input(body, messages, err);
    if (!rc) rc = add_tools(body, chat, err);
    if (rc) {
        json_object_put(chat);
        return rc;
    }
    add_choice(body, chat);
    add_format(body, chat);
    warm__share(chat, "max_tokens", warm_jget(body, "max_output_tokens"));
    warm__share(chat, "reasoning_effort", warm_jget(warm_jget(body, "reasoning"), "effort"));
    *out = chat;
    return 0;
}
