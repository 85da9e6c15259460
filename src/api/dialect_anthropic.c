/* SPDX-License-Identifier: MIT
 *
 * api/dialect_anthropic.c - /v1/messages as a chat request. See dialects.h.
 *
 * A message of blocks becomes one message with its text, thinking and calls, and one message of role tool for each result, behind it. */
#include <string.h>

#include "api/dialects.h"
#include "api/dialects_private.h"

enum { TEXT_MAX = 1 << 30, MAX_TOKENS_DEFAULT = 4096 };
#define BILLING "x-anthropic-billing-header:"

static bool is_marked(warm_jv *v) {
    return warm_jget(v, "cache_control") != NULL;
}

static int blocks_expected(warm_err *err, const char *where, const warm_jv *v) {
    return warm_err_set(err, WARM_EINVAL, "Field '%s': expected a string or an array of blocks, got %s", where, warm_jtype(v));
}

/* Claude Code begins its system prompt with a line whose stamp, "cch=" and five characters, is another one in each request and means nothing
 * to a model: the prompt would share no prefix with the one before. llama-server's rule. */
static void steady_stamp(char *text, size_t len) {
    if (len < strlen(BILLING) || memcmp(text, BILLING, strlen(BILLING)) != 0) return;
    char *stamp = memmem(text, len, "cch=", 4);
    if (stamp && stamp + 9 < text + len && stamp[9] == ';') memset(stamp + 4, 'f', 5);
}

static void append(warm_buf *b, warm_jv *text) {
    warm_buf_append(b, json_object_get_string(text), (size_t)json_object_get_string_len(text));
}

static void append_system(warm_buf *b, warm_jv *text) {
    size_t from = b->len;
    append(b, text);
    if (!warm_buf_err(b)) steady_stamp(b->data + from, b->len - from);
}

static int add_system(warm_jv *body, warm_jv *messages, bool *marked, warm_err *err) {
    warm_jv *system = warm_jget(body, "system");
    if (!system) return 0;
    warm_buf text;
    warm_buf_init(&text, TEXT_MAX);
    int rc = 0;
    if (warm_jis(system, json_type_string)) {
        append_system(&text, system);
    } else if (warm_jis(system, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(system); i++) {
            warm_jv *block = json_object_array_get_idx(system, i), *t = warm_jget(block, "text");
            *marked = *marked || is_marked(block);
            if (warm__is(block, "type", "text") && warm_jis(t, json_type_string)) append_system(&text, t);
        }
    } else {
        rc = blocks_expected(err, "system", system);
    }
    if (!rc && warm_buf_err(&text)) rc = warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    if (!rc) {
        warm_jv *m = warm__push_new(messages);
        warm__set_str(m, "role", "system");
        warm__set_text(m, "content", &text);
    }
    warm_buf_free(&text);
    return rc;
}

static int no_images(warm_err *err, size_t i) {
    return warm_err_set(err, WARM_ENOTSUP, "Field 'messages[%zu].content': image input is not supported", i);
}

/* Text blocks of a result are joined. */
static int add_result(warm_jv *block, size_t i, warm_jv *results, warm_err *err) {
    warm_jv *content = warm_jget(block, "content");
    warm_buf text;
    warm_buf_init(&text, TEXT_MAX);
    int rc = 0;
    if (warm_jis(content, json_type_string)) {
        append(&text, content);
    } else if (warm_jis(content, json_type_array)) {
        for (size_t k = 0; k < json_object_array_length(content) && !rc; k++) {
            warm_jv *part = json_object_array_get_idx(content, k), *t = warm_jget(part, "text");
            if (warm__is(part, "type", "image")) rc = no_images(err, i);
            if (warm__is(part, "type", "text") && warm_jis(t, json_type_string)) append(&text, t);
        }
    } else if (content) {
        rc = blocks_expected(err, "tool_result.content", content);
    }
    if (!rc && warm_buf_err(&text)) rc = warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    if (!rc) {
        warm_jv *m = warm__push_new(results);
        warm__set_str(m, "role", "tool");
        warm__share(m, "tool_call_id", warm_jget(block, "tool_use_id"));
        warm__set_text(m, "content", &text);
    }
    warm_buf_free(&text);
    return rc;
}

static int add_call(warm_jv *block, size_t i, warm_jv *calls, warm_err *err) {
    warm_jv *input = warm_jget(block, "input");
    if (!warm_jis(warm_jget(block, "name"), json_type_string))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content': a tool_use block needs a name", i);
    warm_jv *function = warm__push_function(calls, warm_jget(block, "id"));
    warm__share(function, "name", warm_jget(block, "name"));
    warm__set_str(function, "arguments",
                  input ? json_object_to_json_string_ext(input, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : "{}");
    return 0;
}

typedef struct parts {
    warm_jv *content, *calls, *results; /* arrays */
    warm_buf thinking;
} parts;

static int add_block(warm_jv *block, size_t i, parts *p, warm_err *err) {
    const char *type = warm__str(block, "type");
    if (!strcmp(type, "text")) {
        if (!warm_jis(warm_jget(block, "text"), json_type_string))
            return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].content': a text block needs a text", i);
        warm__push_text(p->content, warm_jget(block, "text"));
    } else if (!strcmp(type, "thinking")) {
        warm_buf_puts(&p->thinking, warm__str(block, "thinking"));
    } else if (!strcmp(type, "image")) {
        return no_images(err, i);
    } else if (!strcmp(type, "document")) {
        return warm_err_set(err, WARM_ENOTSUP, "Field 'messages[%zu].content': document input is not supported", i);
    } else if (!strcmp(type, "tool_use")) {
        return add_call(block, i, p->calls, err);
    } else if (!strcmp(type, "tool_result")) {
        return add_result(block, i, p->results, err);
    }
    return 0; /* what the model has no use for: redacted thinking, blocks of tools that ran elsewhere */
}

static void add_parts(const char *role, parts *p, warm_jv *messages) {
    bool has_calls = json_object_array_length(p->calls) > 0, has_content = json_object_array_length(p->content) > 0;
    if (has_content || has_calls || p->thinking.len) {
        warm_jv *m = warm__push_new(messages);
        warm__set_str(m, "role", role);
        if (has_content)
            warm__share(m, "content", p->content);
        else
            warm__set_str(m, "content", "");
        if (has_calls) warm__share(m, "tool_calls", p->calls);
        if (p->thinking.len) warm__set_text(m, "reasoning_content", &p->thinking);
    }
    for (size_t k = 0; k < json_object_array_length(p->results); k++)
        json_object_array_add(messages, json_object_get(json_object_array_get_idx(p->results, k)));
}

static int add_message(warm_jv *msg, size_t i, warm_jv *messages, bool *marked, warm_err *err) {
    warm_jv *content = warm_jget(msg, "content");
    if (!warm_jis(content, json_type_array)) {
        /* An assistant's message without content says nothing. */
        if (content || !warm__is(msg, "role", "assistant")) json_object_array_add(messages, json_object_get(msg));
        return 0;
    }
    const char *role = warm_jcstr(warm_jget(msg, "role"));
    if (!role) return warm_err_set(err, WARM_EINVAL, "Field 'messages[%zu].role': expected a string", i);
    parts p = {json_object_new_array(), json_object_new_array(), json_object_new_array(), {0}};
    warm_buf_init(&p.thinking, TEXT_MAX);
    int rc = 0;
    for (size_t k = 0; k < json_object_array_length(content) && !rc; k++) {
        warm_jv *block = json_object_array_get_idx(content, k);
        *marked = *marked || is_marked(block);
        rc = add_block(block, i, &p, err);
    }
    if (!rc && warm_buf_err(&p.thinking)) rc = warm_err_set(err, WARM_ENOMEM, "out of memory while reading the request");
    if (!rc) add_parts(role, &p, messages);
    warm_buf_free(&p.thinking);
    json_object_put(p.content);
    json_object_put(p.calls);
    json_object_put(p.results);
    return rc;
}

static int add_messages(warm_jv *body, warm_jv *out, bool *marked, warm_err *err) {
    warm_jv *given = warm_jget(body, "messages"), *messages = json_object_new_array();
    json_object_object_add(out, "messages", messages);
    if (!given) return warm_err_set(err, WARM_EINVAL, "Field 'messages': is required");
    if (!warm_jis(given, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'messages': expected an array, got %s", warm_jtype(given));
    int rc = add_system(body, messages, marked, err);
    for (size_t i = 0; i < json_object_array_length(given) && !rc; i++)
        rc = add_message(json_object_array_get_idx(given, i), i, messages, marked, err);
    return rc;
}

static int add_tools(warm_jv *body, warm_jv *out, bool *marked, warm_err *err) {
    warm_jv *given = warm_jget(body, "tools"), *choice = warm_jget(body, "tool_choice");
    if (given && !warm_jis(given, json_type_array))
        return warm_err_set(err, WARM_EINVAL, "Field 'tools': expected an array, got %s", warm_jtype(given));
    if (given) {
        warm_jv *tools = json_object_new_array();
        json_object_object_add(out, "tools", tools);
        for (size_t i = 0; i < json_object_array_length(given); i++) {
            warm_jv *tool = json_object_array_get_idx(given, i), *schema = warm_jget(tool, "input_schema");
            if (!warm_jis(warm_jget(tool, "name"), json_type_string))
                return warm_err_set(err, WARM_EINVAL, "Field 'tools[%zu].name': expected a string", i);
            *marked = *marked || is_marked(tool);
            warm_jv *function = warm__push_function(tools, NULL);
            warm__share(function, "name", warm_jget(tool, "name"));
            warm__set_str(function, "description", warm__str(tool, "description"));
            json_object_object_add(function, "parameters", schema ? json_object_get(schema) : json_object_new_object());
        }
    }
    const char *type = warm__str(choice, "type");
    if (!strcmp(type, "auto") || !strcmp(type, "none")) warm__set_str(out, "tool_choice", type);
    if (!strcmp(type, "any")) warm__set_str(out, "tool_choice", "required");
    if (!strcmp(type, "tool")) {
        warm_jv *named = json_object_new_object(), *function = json_object_new_object();
        warm__set_str(named, "type", "function");
        warm__share(function, "name", warm_jget(choice, "name"));
        json_object_object_add(named, "function", function);
        json_object_object_add(out, "tool_choice", named);
    }
    warm_jv *alone = warm_jget(choice, "disable_parallel_tool_use");
    if (warm_jis(alone, json_type_boolean) && json_object_get_boolean(alone))
        json_object_object_add(out, "parallel_tool_calls", json_object_new_boolean(false));
    return 0;
}

/* Thinking that is switched off is off where the template can do that, unless the request says more about the template itself. */
static void add_thinking(warm_jv *body, warm_jv *out) {
    warm_jv *thinking = warm_jget(body, "thinking"), *budget = warm_jget(thinking, "budget_tokens");
    if (warm__is(thinking, "type", "enabled"))
        json_object_object_add(out, "thinking_budget_tokens", budget ? json_object_get(budget) : json_object_new_int(10000));
    if (warm__is(thinking, "type", "disabled") && !warm_jget(body, "chat_template_kwargs")) {
        warm_jv *kwargs = json_object_new_object();
        json_object_object_add(kwargs, "enable_thinking", json_object_new_boolean(false));
        json_object_object_add(out, "chat_template_kwargs", kwargs);
    }
}

int warm_chat_of_anthropic(warm_jv *body, warm_jv **out, bool *cache_control, warm_err *err) {
    static const char *const same[] = {"temperature", "top_p",   "top_k", "stream", "chat_template_kwargs", "cache_prompt",
                                       "cache_salt",  "id_slot", "lora",  "seed",   "ignore_eos",           "logit_bias"};
    warm_jv *chat = json_object_new_object(), *max_tokens = warm_jget(body, "max_tokens");
    *cache_control = is_marked(body);
    int rc = add_messages(body, chat, cache_control, err);
    if (!rc) rc = add_tools(body, chat, cache_control, err);
    if (rc) {
        json_object_put(chat);
        return rc;
    }
    warm__share(chat, "stop", warm_jget(body, "stop_sequences"));
    json_object_object_add(chat, "max_tokens", max_tokens ? json_object_get(max_tokens) : json_object_new_int(MAX_TOKENS_DEFAULT));
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) warm__share(chat, same[i], warm_jget(body, same[i]));
    add_thinking(body, chat);
    *out = chat;
    return 0;
}
