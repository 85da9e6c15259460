/* SPDX-License-Identifier: MIT
 *
 * api/message.h - the answer of a chat as a message: read anew as it grows, and given out as what is new in it.
 *
 * A call is given out when its arguments have begun, so its name is whole. What was given out is not taken back: where a parser changes its mind,
 * only what is longer than before is told. A message is a list of blocks, in the order in which they began: a stretch of reasoning, a stretch
 * of text, or a call.
 * Threads: one owner. */
#ifndef WARM_API_MESSAGE_H
#define WARM_API_MESSAGE_H

#include <stdbool.h>

#include "warmslot/engine.h"

enum warm_block_kind { WARM_BLOCK_REASONING, WARM_BLOCK_TEXT, WARM_BLOCK_CALL };

typedef struct warm_block {
    enum warm_block_kind kind;
    size_t from, to; /* of the message's reasoning or content; the number of the call, both */
} warm_block;

typedef struct warm_message {
    warm_chat_message now; /* what was read last */
    warm_block *blocks;    /* what was given out */
    size_t n_blocks, cap_blocks;
    char **ids; /* of the calls */
    size_t n_ids;
    size_t said_reasoning, said_content, n_said_calls, said_arguments; /* the last is of the last call said */
    bool whole;
} warm_message;

/* What is new in one block. */
typedef struct warm_delta {
    size_t block;
    bool begins; /* the block is new; of a call, text is empty then */
    const char *text;
    size_t len;
} warm_delta;

void warm_message_deinit(warm_message *m);

/* Reads the answer up to now: text, all of it, which lives as long as what was read does (without a chat the message borrows it). partial: it
 * may go on. A whole text that is not of the chat's form is an answer of plain text, unless something of it was given out; then no more
 * is. Returns 0 or WARM_ENOMEM. */
WARM_MUST_USE int warm_message_read(warm_message *m, warm_engine *e, const warm_chat *chat, const char *text, size_t len,
                                    bool partial);
/* Gives out something that is new; false: nothing is. */
bool warm_message_next(warm_message *m, warm_delta *d);
/* Everything that was read so far counts as said. */
void warm_message_skip(warm_message *m);
/* The model's own id of a call, or one that is made once. */
const char *warm_message_call_id(warm_message *m, size_t i);

#endif
