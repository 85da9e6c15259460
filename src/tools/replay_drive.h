/* SPDX-License-Identifier: MIT
 *
 * tools/replay_drive.h - who asks next, and when.
 *
 * users: N people, each with a session of the trace, in the trace's order; who has finished one takes the next. An agent asks again when it
 *   has had its answer and then has thought for as long as in the trace: from there to here, never less than nothing. A sub-agent begins beside
 *   its parent, as long after the answer before it as in the trace, and keeps its own pace; nobody waits for it, because the trace's times of
 *   its parent tell already how long that did. A session ends with the last of its agents.
 * rotation: N sessions in turn, one request each and one at a time, without thinking; one that has ended gives its place to the next of the
 *   trace. The requests of its sub-agents stand where the trace's times put them.
 * stamps: requests at their times, whatever the answers take.
 *
 * Times are nanoseconds of whatever clock the caller has. Nothing is random. Threads: [any], one at a time. */
#ifndef WARM_TOOLS_REPLAY_DRIVE_H
#define WARM_TOOLS_REPLAY_DRIVE_H

#include "tools/replay_trace.h"

typedef struct warm_drive warm_drive;

typedef struct warm_drive_options {
    const warm_trace *trace; /* borrowed */
    uint32_t users, rotate;  /* one of them, or neither: stamps */
    uint64_t n_repeats;      /* how often the trace is gone through; 0 = once */
    bool no_thinking;        /* users: ask again at once */
} warm_drive_options;

typedef struct warm_drive_ask {
    size_t request;
    uint64_t repeat;
    uint64_t due_ns;
    uint32_t place; /* of the session: 0..users-1, 0..rotate-1; 0 of stamps */
} warm_drive_ask;

warm_drive *warm_drive_new(const warm_drive_options *o);
void warm_drive_free(warm_drive *d);
/* When the next request is due, as far as the answers so far tell; UINT64_MAX: none is. */
uint64_t warm_drive_when(const warm_drive *d);
/* The next one that is due by now. Each has to be answered. false: none is. */
bool warm_drive_next(warm_drive *d, uint64_t now_ns, warm_drive_ask *out);
/* Returns true if the session at its place has ended with it. */
bool warm_drive_answered(warm_drive *d, const warm_drive_ask *a, uint64_t now_ns);
uint32_t warm_drive_places(const warm_drive *d);
/* How many requests there are in all. */
uint64_t warm_drive_total(const warm_drive *d);

#endif
