/* SPDX-License-Identifier: MIT
 *
 * api/completion.c - /completion, /infill, /v1/completions, /v1/chat/completions, /v1/responses and /v1/messages: from a body to tasks, from their events to an answer.
 *
 * The pool makes the tasks, submits them and is done. Each event is queued by the engine thread, and the loop thread is told
 * once per batch: it takes the whole queue, formats it, and writes it at once. A stream begins with the first event that is not a
 * failure, so that a failure before it is an ordinary error response; a ping begins it too.
 *
 * Invariants
 *  (1) Tasks are cancelled exactly when nobody waits for them: whichever comes second, the client's leaving or the end of the
 *      submission, cancels.
 *  (2) After a failure of one task, or after the client left, later events of the call are dropped.
 *  (3) Of several completions of one prompt all but the first are held back until its prompt is computed: they share it then. A held task is
 *      submitted by the loop thread, unless (1) comes before; then whoever cancels frees it. So none is left when the call is freed.
 * Threads: marked. */
#include "api/completion.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/parse.h"
#include "base/alloc.h"
#include "base/clock.h"

enum { PIECE_MAX = 1 << 30 };

struct queued {
    struct queued *next;
    warm_event *ev;
    size_t index;
};

static bool is_terminal(const warm_event *ev) {
    return ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED;
}

/* ---- [loop] ---- */

/* Cancels every task; those that have ended already do not mind. [loop] or, if the client left before, [pool] */
static void cancel_tasks(warm_completion *c) {
    for (size_t i = 0; i < c->n_tasks; i++) {
        if (c->held[i])
            warm_task_free(c->held[i]);
        else
            warm_sched_cancel(c->call.api->sched, c->tasks[i].id);
        c->held[i] = NULL;
    }
}

/* Without the cache there is nothing to wait for: each computes the prompt for itself. */
static bool starts_at_once(const warm_completion *c, size_t i) {
    return !c->params.cache_prompt || i % (size_t)c->params.n_cmpl == 0;
}

/* For a scheduler that is about to get it. */
static warm_task *release_task(warm_completion *c, size_t i) {
    warm_task *t = c->held[i];
    c->held[i] = NULL;
    warm_call_ref(&c->call);
    return t;
}

/* The prompt of answer i is computed. */
static void submit_siblings(warm_completion *c, size_t i) {
    size_t n_cmpl = (size_t)c->params.n_cmpl;
    for (size_t k = 1; i % n_cmpl == 0 && k < n_cmpl; k++) {
        if (!c->held[i + k]) continue;
        warm_task *t = release_task(c, i + k);
        warm_sched_submit(c->call.api->sched, &t, 1);
    }
}

static void give_up(warm_completion *c) {
    pthread_mutex_lock(&c->lock);
    c->cancelled = true;
    bool submitted = c->submitted;
    pthread_mutex_unlock(&c->lock);
    if (submitted) cancel_tasks(c);
}

static void stop_pings(warm_completion *c) {
    warm_http_timer_free(c->ping);
    c->ping = NULL;
}

static void on_gone(warm_call *call) {
    warm_completion *c = (warm_completion *)call;
    stop_pings(c);
    give_up(c);
}

static void begin_stream(warm_completion *c) {
    if (c->streaming) return;
    warm_http_set_header(c->call.req, "Cache-Control", "no-cache");
    warm_http_stream_begin(c->call.req, 200, "text/event-stream");
    c->streaming = true;
}

static void write_stream(warm_completion *c, const warm_buf *b) {
    if (!b->len) return;
    warm_http_stream_write(c->call.req, b->data, b->len);
    c->written_ns = warm_clock_now(&warm_clock_monotonic);
}

static void end_stream(warm_completion *c) {
    stop_pings(c);
    warm_http_stream_end(c->call.req);
    warm_call_detach(&c->call);
}

/* Ends the answer with an error; the tasks that still run have no reader any more. */
static void fail(warm_completion *c, const warm_failure *f, warm_buf *out) {
    if (c->streaming) {
        warm_format_stream_error(&c->reply, f, out);
        if (!warm_buf_err(out)) write_stream(c, out);
        end_stream(c);
    } else {
        stop_pings(c);
        warm_call_fail(&c->call, f);
    }
    give_up(c);
}

static void fail_with(warm_completion *c, int code, const char *text, warm_buf *out) {
    warm_failure f = {0};
    warm_err_set(&f.err, code, "%s", text);
    warm_buf_clear(out);
    fail(c, &f, out);
}

static void ping(void *ud) {
    warm_completion *c = ud;
    uint64_t interval_ms = (uint64_t)c->params.sse_ping_interval * 1000;
    uint64_t silent_ms = (warm_clock_now(&warm_clock_monotonic) - c->written_ns) / 1000000;
    if (silent_ms >= interval_ms) {
        begin_stream(c);
        warm_http_stream_write(c->call.req, ":\n\n", 3);
        c->written_ns = warm_clock_now(&warm_clock_monotonic);
        silent_ms = 0;
    }
    warm_http_timer_arm(c->ping, interval_ms - silent_ms);
}

static void start_pings(warm_completion *c) {
    if (c->ping || !c->params.stream || c->params.sse_ping_interval <= 0) return;
    c->written_ns = warm_clock_now(&warm_clock_monotonic);
    c->ping = warm_http_timer_new(c->call.api->http, ping, c);
    if (c->ping) warm_http_timer_arm(c->ping, (uint64_t)c->params.sse_ping_interval * 1000);
}

static void finish(warm_completion *c, warm_buf *out) {
    if (c->params.stream) {
        warm_format_stream_end(&c->reply, out);
        if (warm_buf_err(out)) {
            fail_with(c, WARM_ENOMEM, "out of memory for the answer", out);
            return;
        }
        write_stream(c, out);
        end_stream(c);
        return;
    }
    warm_buf_clear(out);
    warm_format_whole(&c->reply, out);
    if (warm_buf_err(out))
        fail_with(c, WARM_ENOMEM, "out of memory for the answer", out);
    else
        warm_call_reply(&c->call, 200, WARM_API_JSON, out->data, out->len);
}

/* Takes ev. Appends to out what a stream gets. */
static void handle_event(warm_completion *c, size_t i, warm_event *ev, warm_buf *out) {
    warm_answer *a = &c->reply.answers[i];
    warm_failure f = {0};
    if (ev->type == WARM_EV_FAILED) {
        f = (warm_failure){.err = ev->err, .n_prompt_tokens = ev->n_prompt_tokens, .n_ctx = ev->n_ctx};
        warm_event_free(ev);
        fail(c, &f, out);
        return;
    }
    bool done = ev->type == WARM_EV_DONE;
    if (ev->type != WARM_EV_PROGRESS) submit_siblings(c, i);
    if (done) a->end = ev;
    if (c->params.stream) {
        begin_stream(c);
        if (ev->type != WARM_EV_PROGRESS || c->params.return_progress) warm_format_stream(&c->reply, i, ev, out);
        if (warm_buf_err(out)) warm_err_set(&f.err, WARM_ENOMEM, "out of memory for the answer");
    } else if (ev->type != WARM_EV_PROGRESS) {
        int rc = warm_answer_add(a, &c->params, ev, &f.err);
        if (rc) f.err.code = rc;
    }
    if (!done) warm_event_free(ev);
    if (f.err.code) {
        warm_buf_clear(out);
        fail(c, &f, out);
    } else if (done && ++c->n_ended == c->n_tasks) {
        finish(c, out);
    }
}

static void deliver(void *arg) {
    warm_completion *c = arg;
    pthread_mutex_lock(&c->lock);
    struct queued *q = c->first;
    c->first = NULL;
    c->last_next = &c->first;
    c->posted = false;
    pthread_mutex_unlock(&c->lock);
    warm_buf out;
    warm_buf_init(&out, PIECE_MAX);
    if (c->call.req) start_pings(c);
    while (q) {
        struct queued *next = q->next;
        if (c->call.req)
            handle_event(c, q->index, q->ev, &out);
        else
            warm_event_free(q->ev);
        free(q);
        q = next;
    }
    if (c->call.req && c->streaming) write_stream(c, &out);
    warm_buf_free(&out);
    warm_call_unref(&c->call);
}

/* ---- [engine] ---- */

static void notify(warm_completion *c) {
    warm_call_ref(&c->call);
    /* Closed: the call's queue is freed with it. */
    if (warm_http_post(c->call.api->http, deliver, c)) warm_call_unref(&c->call);
}

static void emit(void *ud, warm_event *ev) {
    warm_task_ref *t = ud;
    warm_completion *c = t->completion;
    bool last = is_terminal(ev);
    struct queued *q = warm_xmalloc(sizeof *q);
    *q = (struct queued){.ev = ev, .index = t->index};
    pthread_mutex_lock(&c->lock);
    *c->last_next = q;
    c->last_next = &q->next;
    bool post = !c->posted;
    c->posted = true;
    pthread_mutex_unlock(&c->lock);
    if (post) notify(c);
    if (last) warm_call_unref(&c->call);
}

/* ---- [pool] ---- */

static void enlist(warm_completion *c) {
    warm_api *api = c->call.api;
    pthread_mutex_lock(&api->running_lock);
    c->prev_next = &api->running;
    c->next = api->running;
    if (c->next) c->next->prev_next = &c->next;
    api->running = c;
    c->listed = true;
    pthread_mutex_unlock(&api->running_lock);
}

static void delist(warm_completion *c) {
    if (!c->listed) return;
    pthread_mutex_lock(&c->call.api->running_lock);
    *c->prev_next = c->next;
    if (c->next) c->next->prev_next = c->prev_next;
    pthread_mutex_unlock(&c->call.api->running_lock);
}

static void submit(warm_completion *c) {
    for (size_t i = 0; i < c->n_tasks; i++) c->tasks[i].id = warm_task_id(c->held[i]);
    enlist(c);
    size_t n = 0;
    for (size_t i = 0; i < c->n_tasks; i++)
        if (starts_at_once(c, i)) c->starting[n++] = release_task(c, i);
    /* Together: prompts of one request that begin alike are computed once, however busy the machine is. */
    warm_sched_submit(c->call.api->sched, c->starting, n);
    pthread_mutex_lock(&c->lock);
    c->submitted = true;
    bool cancelled = c->cancelled;
    pthread_mutex_unlock(&c->lock);
    if (cancelled) cancel_tasks(c);
    notify(c); /* with or without events: a stream's pings begin now */
}

static int make_task(warm_completion *c, warm_prompts *prompts, const float *scales, size_t i, warm_err *err) {
    size_t n_cmpl = (size_t)c->params.n_cmpl, k = i % n_cmpl;
    warm_tokens *prompt = &prompts->v[i / n_cmpl];
    warm_task_options o;
    warm_params_task(&c->params, &o);
    o.n_tokens = prompt->n;
    if (k + 1 == n_cmpl) {
        o.tokens = prompt->v; /* the last of its completions takes it */
        prompt->v = NULL;
    } else {
        o.tokens = warm_malloc(prompt->n * sizeof *o.tokens);
        if (!o.tokens) return warm_err_set(err, WARM_ENOMEM, "out of memory for the prompt");
        memcpy(o.tokens, prompt->v, prompt->n * sizeof *o.tokens);
    }
    /* Completions of one prompt must differ; only the first can have the slot that was asked for. */
    if (o.sampling.seed != UINT32_MAX) o.sampling.seed += (uint32_t)k;
    if (k) o.id_slot = -1;
    c->tasks[i] = (warm_task_ref){.completion = c, .index = i};
    o.scales = scales;
    o.emit = emit;
    o.ud = &c->tasks[i];
    return warm_task_new(c->call.api->engine, &o, &c->held[i], err);
}

static int reserve(warm_completion *c, size_t n_prompts, warm_err *err) {
    c->n_tasks = n_prompts * (size_t)c->params.n_cmpl;
    c->tasks = warm_calloc(c->n_tasks, sizeof *c->tasks);
    c->reply.answers = warm_calloc(c->n_tasks, sizeof *c->reply.answers);
    c->held = warm_calloc(c->n_tasks, sizeof(warm_task *));
    c->starting = warm_calloc(c->n_tasks, sizeof(warm_task *));
    c->texts = warm_calloc(n_prompts, sizeof *c->texts);
    if (!c->tasks || !c->reply.answers || !c->held || !c->starting || !c->texts)
        return warm_err_set(err, WARM_ENOMEM, "out of memory for the request");
    c->n_texts = n_prompts;
    c->reply.n_answers = c->n_tasks;
    for (size_t i = 0; i < c->n_tasks; i++) warm_answer_init(&c->reply.answers[i]);
    return 0;
}

/* The native final event repeats the prompt, as the tokens say it. */
static int keep_texts(warm_completion *c, const warm_prompts *prompts, warm_err *err) {
    if (c->params.kind != WARM_API_NATIVE && !c->params.verbose) return 0;
    for (size_t p = 0; p < prompts->n; p++) {
        size_t len;
        c->texts[p] = warm_tokens_text(c->call.api->engine, prompts->v[p].v, prompts->v[p].n, &len);
        if (!c->texts[p]) return warm_err_set(err, WARM_ENOMEM, "out of memory for the request");
        for (size_t k = 0; k < (size_t)c->params.n_cmpl; k++) {
            warm_answer *a = &c->reply.answers[p * (size_t)c->params.n_cmpl + k];
            a->prompt = c->texts[p];
            a->prompt_len = len;
        }
    }
    return 0;
}

static int make_and_submit(warm_completion *c, warm_prompts *prompts, warm_err *err) {
    int rc = reserve(c, prompts->n, err);
    if (!rc) rc = keep_texts(c, prompts, err);
    if (rc) return rc;
    warm_api *api = c->call.api;
    float *scales = warm__lora_scales(api, &c->params);
    if (!scales && api->engine->info->n_adapters) return warm_err_set(err, WARM_ENOMEM, "out of memory for the request");
    size_t n = 0;
    for (; n < c->n_tasks && !rc; n += !rc) rc = make_task(c, prompts, scales, n, err);
    free(scales);
    /* A client that left while they were made gets none of them started. */
    if (rc || atomic_load(&c->call.gone))
        while (n--) warm_task_free(c->held[n]);
    else
        submit(c);
    return rc ? rc : WARM_CALL_PENDING;
}

static void fill_reply(warm_completion *c) {
    const warm_api *api = c->call.api;
    const char *prefix = c->kind == WARM_API_RESPONSES ? "resp_" : c->kind == WARM_API_ANTHROPIC ? "msg_" : "chatcmpl-";
    warm__random_letters(stpcpy(c->id, prefix), 32);
    c->reply.params = &c->params;
    c->reply.engine = api->engine;
    c->reply.model = api->model_name;
    c->reply.build = api->engine->info->build;
    c->reply.id = c->id;
    c->reply.created = time(NULL);
}

static int work(warm_call *call, warm_err *err) {
    warm_completion *c = (warm_completion *)call;
    const warm_api *api = call->api;
    warm_params_scope scope = {.defaults = &api->defaults,
                               .engine = api->engine,
                               .n_slots = api->n_slots,
                               .kind = c->kind,
                               .slot_n_ctx = warm__slot_n_ctx(api),
                               .spm_infill = api->config->spm_infill,
                               .tenant = api->config->isolate_keys ? c->call.key : NULL};
    warm_prompts prompts = {0};
    int rc = warm_parse_completion(&scope, call->body, call->body_len, &c->params, &prompts, err);
    free(call->body);
    call->body = NULL;
    if (rc) return rc;
    warm_params_trim(&c->params);
    fill_reply(c);
    rc = make_and_submit(c, &prompts, err);
    warm_prompts_free(&prompts);
    return rc;
}

static void destroy(warm_call *call) {
    warm_completion *c = (warm_completion *)call;
    delist(c);
    for (struct queued *q = c->first; q;) {
        struct queued *next = q->next;
        warm_event_free(q->ev);
        free(q);
        q = next;
    }
    for (size_t i = 0; i < c->reply.n_answers; i++) warm_answer_deinit(&c->reply.answers[i]);
    for (size_t i = 0; i < c->n_texts; i++) free(c->texts[i]);
    free(c->texts);
    free(c->reply.answers);
    free(c->tasks);
    free(c->held);
    free(c->starting);
    warm_params_deinit(&c->params);
    pthread_mutex_destroy(&c->lock);
}

static void init(warm_completion *c, enum warm_api_kind kind) {
    c->kind = kind;
    c->last_next = &c->first;
    pthread_mutex_init(&c->lock, NULL);
}

static void init_native(warm_call *call) {
    init((warm_completion *)call, WARM_API_NATIVE);
}

static void init_text(warm_call *call) {
    init((warm_completion *)call, WARM_API_TEXT);
}

static void init_chat(warm_call *call) {
    init((warm_completion *)call, WARM_API_CHAT);
}

static void init_responses(warm_call *call) {
    init((warm_completion *)call, WARM_API_RESPONSES);
}

static void init_anthropic(warm_call *call) {
    init((warm_completion *)call, WARM_API_ANTHROPIC);
}

static void init_infill(warm_call *call) {
    init((warm_completion *)call, WARM_API_INFILL);
}

static void start(warm_http_request *r, warm_api *api, void (*init_kind)(warm_call *call)) {
    const warm_call fields = {.init = init_kind, .work = work, .on_gone = on_gone, .destroy = destroy};
    warm_call_start(api, r, &fields, sizeof(warm_completion));
}

void warm__handle_native(warm_http_request *r, void *ud) {
    start(r, ud, init_native);
}

void warm__handle_text(warm_http_request *r, void *ud) {
    start(r, ud, init_text);
}

void warm__handle_chat(warm_http_request *r, void *ud) {
    start(r, ud, init_chat);
}

void warm__handle_responses(warm_http_request *r, void *ud) {
    start(r, ud, init_responses);
}

void warm__handle_anthropic(warm_http_request *r, void *ud) {
    start(r, ud, init_anthropic);
}

void warm__handle_infill(warm_http_request *r, void *ud) {
    start(r, ud, init_infill);
}

bool warm__running_settings(warm_api *api, uint64_t id_task, warm_json *j) {
    bool found = false;
    pthread_mutex_lock(&api->running_lock);
    for (const warm_completion *c = api->running; c && !found; c = c->next)
        for (size_t i = 0; i < c->n_tasks && !found; i++) {
            found = c->tasks[i].id == id_task;
            if (found) warm_format_settings(j, &c->params, c->params.sampling.seed, true);
        }
    pthread_mutex_unlock(&api->running_lock);
    return found;
}
