/* SPDX-License-Identifier: MIT
 *
 * api/message.c - see message.h. */
#include "api/message.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/alloc.h"
#include "base/log.h"

enum { ID_LEN = 32 };

void warm_message_deinit(warm_message *m) {
    free(m->now.memory);
    free(m->blocks);
    for (size_t i = 0; i < m->n_ids; i++) free(m->ids[i]);
    free(m->ids);
    *m = (warm_message){0};
}

/* Room for what can be given out of it: a stretch of reasoning, one of text, and calls. */
static int replace(warm_message *m, warm_chat_message next) {
    size_t n_blocks = m->n_blocks + 2 + (next.n_calls > m->n_said_calls ? next.n_calls - m->n_said_calls : 0);
    warm_block *blocks = n_blocks > m->cap_blocks ? warm_realloc(m->blocks, 2 * n_blocks * sizeof *blocks) : m->blocks;
    if (blocks && n_blocks > m->cap_blocks) m->cap_blocks = 2 * n_blocks;
    if (blocks) m->blocks = blocks;
    char **ids = next.n_calls > m->n_ids ? warm_realloc(m->ids, next.n_calls * sizeof *ids) : m->ids;
    if (ids) m->ids = ids;
    if (!blocks || (next.n_calls && !ids)) {
        free(next.memory);
        return WARM_ENOMEM;
    }
    free(m->now.memory);
    m->now = next;
    return 0;
}

int warm_message_read(warm_message *m, warm_engine *e, const warm_chat *chat, const char *text, size_t len, bool partial) {
    const warm_chat_message plain = {.reasoning = "", .content = len ? text : "", .content_len = len};
    warm_chat_message next = {0};
    warm_err why = {0};
    m->whole = !partial;
    int rc = chat ? e->text->chat_parse(e, chat, text, len, partial, &next, &why) : 0;
    if (rc == WARM_ENOMEM) return rc;
    if (!rc) return replace(m, chat ? next : plain);
    bool said = m->n_blocks > 0;
    if (partial) return 0; /* more text may make sense of it */
    warm_log_warn("api", "an answer can't be read, %s: %s", said ? "its stream ends early" : "it is passed on as text", why.text);
    return said ? 0 : replace(m, plain);
}

static warm_block *last_block(warm_message *m) {
    return m->n_blocks ? &m->blocks[m->n_blocks - 1] : NULL;
}

static void begin_block(warm_message *m, enum warm_block_kind kind, size_t at) {
    m->blocks[m->n_blocks++] = (warm_block){.kind = kind, .from = at, .to = at};
}

/* The rest of a text that grows. */
static bool next_text(warm_message *m, enum warm_block_kind kind, const char *text, size_t len, size_t *said, warm_delta *d) {
    if (len <= *said) return false;
    bool begins = !m->n_blocks || last_block(m)->kind != kind;
    if (begins) begin_block(m, kind, *said);
    *d = (warm_delta){.block = m->n_blocks - 1, .begins = begins, .text = text + *said, .len = len - *said};
    *said = last_block(m)->to = len;
    return true;
}

static bool next_of_call(warm_message *m, warm_delta *d) {
    size_t n = m->n_said_calls;
    if (n && n <= m->now.n_calls) {
        const warm_chat_call *c = &m->now.calls[n - 1];
        if (c->arguments_len > m->said_arguments) {
            size_t block = m->n_blocks;
            while (m->blocks[block - 1].kind != WARM_BLOCK_CALL) block--;
            *d = (warm_delta){
                .block = block - 1, .text = c->arguments + m->said_arguments, .len = c->arguments_len - m->said_arguments};
            m->said_arguments = c->arguments_len;
            return true;
        }
    }
    if (n >= m->now.n_calls || !(m->whole || m->now.calls[n].arguments_len || n + 1 < m->now.n_calls)) return false;
    begin_block(m, WARM_BLOCK_CALL, n);
    *d = (warm_delta){.block = m->n_blocks - 1, .begins = true, .text = ""};
    m->n_said_calls++;
    m->said_arguments = 0;
    return true;
}

bool warm_message_next(warm_message *m, warm_delta *d) {
    const warm_chat_message *now = &m->now;
    if (next_text(m, WARM_BLOCK_REASONING, now->reasoning, now->reasoning_len, &m->said_reasoning, d)) return true;
    if (next_text(m, WARM_BLOCK_TEXT, now->content, now->content_len, &m->said_content, d)) return true;
    return next_of_call(m, d);
}

void warm_message_skip(warm_message *m) {
    m->said_reasoning = m->now.reasoning_len;
    m->said_content = m->now.content_len;
}

const char *warm_message_call_id(warm_message *m, size_t i) {
    while (m->n_ids <= i) {
        const char *own = m->now.calls[m->n_ids].id;
        char made[ID_LEN + 1];
        if (!*own) warm__random_letters(made, ID_LEN);
        m->ids[m->n_ids++] = warm_xstrdup(*own ? own : made);
    }
    return m->ids[i];
}
