/* SPDX-License-Identifier: MIT
 *
 * tests/unit/replay_fixture.h - small traces for the tests of src/tools. */
#ifndef WARM_REPLAY_FIXTURE_H
#define WARM_REPLAY_FIXTURE_H

#include <stdio.h>
#include <string.h>

#include "tools/replay_trace.h"

static const char first_session[] =
    "{\"id\":\"a\",\"block_size\":64,\"tool_tokens\":100,\"system_tokens\":50,\"requests\":["
    "{\"t\":0,\"in\":200,\"out\":3,\"api_time\":2,\"blocks\":[[1,3]]},"
    "{\"t\":10,\"subagent\":[{\"t\":1,\"in\":140,\"out\":1,\"api_time\":1,\"blocks\":[[90,2]]},"
    "{\"t\":4,\"in\":200,\"out\":1,\"api_time\":1,\"blocks\":[[90,3]]}],\"tool_tokens\":64,\"system_tokens\":0},"
    "{\"t\":30,\"in\":330,\"out\":3,\"api_time\":5,\"blocks\":[[1,2],[10,3]]}]}";

static const char second_session[] = "{\"id\":\"b\",\"block_size\":64,\"tool_tokens\":100,\"system_tokens\":50,\"requests\":["
                                     "{\"t\":0,\"in\":200,\"out\":3,\"api_time\":1,\"blocks\":[[7,3]]},"
                                     "{\"t\":5,\"in\":260,\"out\":3,\"api_time\":1,\"blocks\":[[7,4]]}]}";

static inline int add_line(warm_trace *t, const char *line, warm_err *err) {
    return warm_trace_line(t, line, strlen(line), false, err);
}

/* A file of its own with one call. */
static inline int add_text(warm_trace *t, const char *text, warm_err *err) {
    char line[256];
    snprintf(line, sizeof line, "{\"timestamp\": 1, \"input\": \"%s\", \"output\": \"\"}", text);
    return warm_trace_line(t, line, strlen(line), true, err);
}

#endif
