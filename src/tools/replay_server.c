/* SPDX-License-Identifier: MIT
 *
 * tools/replay_server.c - a trace against a server that has llama-server's API: POST /completion, streamed.
 *
 * Prompts of blocks are sent as tokens, texts as text. The first token's time is taken here, when the first event of a stream is there; how much was
 * computed is what the server says (timings). Nobody thinks: sessions are asked in turn, or `parallel` of them side by side, as fast as
 * answers come; requests with times go in their order. The first error ends the replay: figures with holes could not be compared. */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "http/client.h"
#include "tools/replay.h"

enum { EVENT_MAX = 64 << 20, ERROR_TEXT_MAX = 160 };

typedef struct json_object jv;

typedef struct flight flight;

typedef struct run {
    const warm_replay *w;
    warm_replay_result *out;
    warm_replay_progress *progress;
    void *progress_ud;
    warm_client *client;
    warm_drive *drive;
    flight *flights;
    uint32_t n_flying, n_most;
    uint64_t total;
    warm_err *err;
    int rc;
} run;

struct flight {
    flight *prev, *next;
    run *r;
    warm_drive_ask ask;
    uint64_t sent_ns;
    bool has_first;
    warm_buf text; /* of which no whole line has come yet */
};

static void flight_free(flight *f) {
    if (f->next) f->next->prev = f->prev;
    *(f->prev ? &f->prev->next : &f->r->flights) = f->next;
    f->r->n_flying--;
    warm_buf_free(&f->text);
    free(f);
}

static jv *member(const jv *o, const char *key) {
    jv *v = NULL;
    if (json_object_is_type(o, json_type_object)) json_object_object_get_ex(o, key, &v);
    return v;
}

static bool count_of(const jv *o, const char *key, uint64_t *out) {
    jv *v = member(o, key);
    *out = 0;
    if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0) return false;
    *out = (uint64_t)json_object_get_int64(v);
    return true;
}

/* ---- the server's vocabulary ---- */

struct page {
    warm_buf text;
    int status;
    warm_err err;
};

static void page_data(void *ud, const char *bytes, size_t n) {
    warm_buf_append(&((struct page *)ud)->text, bytes, n);
}

static void page_done(void *ud, int status, const warm_err *err) {
    struct page *p = ud;
    p->status = status;
    p->err = *err;
}

/* llama-server says it among what it knows of its model. */
int warm_replay_server_vocab(const char *url, int32_t *vocab, warm_err *err) {
    warm_client *c;
    int rc = warm_client_new(url, &c, err);
    if (rc) return rc;
    struct page p = {0};
    warm_buf_init(&p.text, EVENT_MAX);
    rc = warm_client_start(c, &(warm_client_call){.path = "/v1/models", .data = page_data, .done = page_done, .ud = &p}, err);
    if (!rc) {
        warm_client_run(c);
        jv *o = p.text.data ? json_tokener_parse(p.text.data) : NULL, *list = member(o, "data");
        jv *model = json_object_is_type(list, json_type_array) && json_object_array_length(list)
                        ? json_object_array_get_idx(list, 0)
                        : NULL;
        uint64_t n = 0;
        if (!p.status)
            rc = warm_err_set(err, WARM_EIO, "%s", p.err.text);
        else if (p.status != 200 || !count_of(member(model, "meta"), "n_vocab", &n) || n < 2 || n > INT32_MAX)
            rc = warm_err_set(err, WARM_EIO, "%s/v1/models does not say how large the vocabulary is (status %d): give --vocab", url,
                              p.status);
        *vocab = (int32_t)n;
        json_object_put(o);
    }
    warm_buf_free(&p.text);
    warm_client_free(c);
    return rc;
}

/* ---- one request ---- */

static void ask_next(run *r);

static void fail(run *r, int rc, const char *what, const char *why) {
    if (!r->rc) r->rc = warm_err_set(r->err, rc, "%s: %s", what, why);
    warm_client_stop(r->client);
}

/* An event of the stream; the last one has the timings. Without streaming the whole answer is one. */
static void take_event(flight *f, const char *json) {
    run *r = f->r;
    jv *o = json_tokener_parse(json), *timings = member(o, "timings"), *cache = member(timings, "cache"),
       *error = member(o, "error");
    uint64_t computed, known, v;
    if (!f->has_first && !error) {
        f->has_first = true;
        double seconds = (double)(warm_clock_now(&warm_clock_monotonic) - f->sent_ns) / 1e9;
        if (!warm_replay_note_first(r->out, seconds)) fail(r, WARM_ENOMEM, r->w->o->engine, "out of memory");
    }
    if (error) fail(r, WARM_EIO, "POST /completion", json_object_to_json_string(error));
    if (json_object_get_boolean(member(o, "stop")) && count_of(timings, "prompt_n", &computed)) {
        r->out->n_requests++;
        r->out->n_computed += computed;
        if (!count_of(timings, "cache_n", &known) && count_of(o, "tokens_evaluated", &v) && v >= computed) known = v - computed;
        r->out->n_prompt += computed + known;
        if (count_of(cache, "device", &v)) r->out->n_device += v;
        if (count_of(cache, "ram", &v)) r->out->n_ram += v;
    }
    json_object_put(o);
}

static void on_data(void *ud, const char *bytes, size_t n) {
    flight *f = ud;
    warm_buf_append(&f->text, bytes, n);
    char *line = f->text.data, *end;
    if (!line || warm_buf_err(&f->text)) return;
    while ((end = strchr(line, '\n'))) {
        *end = '\0';
        if (!strncmp(line, "data: ", 6)) take_event(f, line + 6);
        line = end + 1;
    }
    size_t left = strlen(line);
    if (line != f->text.data) memmove(f->text.data, line, left + 1);
    f->text.len = left;
}

static void on_done(void *ud, int status, const warm_err *err) {
    flight *f = ud;
    run *r = f->r;
    char what[64], text[ERROR_TEXT_MAX];
    snprintf(what, sizeof what, "POST /completion: status %d", status);
    snprintf(text, sizeof text, "%s", f->text.data ? f->text.data : "");
    if (!status)
        fail(r, WARM_EIO, "POST /completion", err->text);
    else if (status != 200)
        fail(r, WARM_EIO, what, text);
    else if (!f->has_first)
        fail(r, WARM_EIO, what, "the answer is no stream of events");
    warm_drive_answered(r->drive, &f->ask, 0);
    r->progress(r->progress_ud, r->out, r->total);
    flight_free(f);
    if (!r->rc) ask_next(r);
}

static void write_prompt(const run *r, warm_json *j, const warm_drive_ask *a) {
    const warm_trace *t = r->w->trace;
    const warm_trace_request *q = &t->requests[a->request];
    warm_json_key(j, "prompt");
    if (t->kind == WARM_TRACE_TEXTS) {
        warm_json_strn(j, t->text + q->at, q->n_in);
        return;
    }
    size_t n = warm_trace_tokens(t, a->request, &r->w->shape);
    int32_t *tokens = warm_malloc((n + 1) * sizeof *tokens);
    if (!tokens) {
        warm_buf_fail(j->buf, WARM_ENOMEM);
        warm_json_null(j);
        return;
    }
    warm_trace_prompt(t, a->request, a->repeat, &r->w->shape, tokens);
    warm_json_arr(j);
    for (size_t i = 0; i < n; i++) warm_json_int(j, tokens[i]);
    warm_json_arr_end(j);
    free(tokens);
}

static void write_body(const run *r, warm_buf *b, const warm_drive_ask *a) {
    int64_t predict = r->w->o->predict;
    if (predict < 0) predict = warm_trace_out_tokens(r->w->trace, a->request, &r->w->shape);
    warm_json j;
    warm_json_init(&j, b);
    warm_json_obj(&j);
    write_prompt(r, &j, a);
    warm_json_kint(&j, "n_predict", predict);
    warm_json_kbool(&j, "cache_prompt", true);
    warm_json_kbool(&j, "stream", true);
    warm_json_kbool(&j, "ignore_eos", true);
    warm_json_kint(&j, "temperature", 0);
    warm_json_obj_end(&j);
}

static int send_ask(run *r, const warm_drive_ask *a) {
    warm_buf body;
    warm_buf_init(&body, SIZE_MAX / 2);
    write_body(r, &body, a);
    if (warm_buf_err(&body) || !warm_replay_note_ask(r->out, a)) {
        warm_buf_free(&body);
        return warm_err_set(r->err, WARM_ENOMEM, "out of memory for a prompt");
    }
    flight *f = warm_xcalloc(1, sizeof *f);
    *f = (flight){.next = r->flights, .r = r, .ask = *a, .sent_ns = warm_clock_now(&warm_clock_monotonic)};
    if (f->next) f->next->prev = f;
    r->flights = f;
    r->n_flying++;
    warm_buf_init(&f->text, EVENT_MAX);
    const warm_client_call call = {
        .path = "/completion", .body = body.data, .body_len = body.len, .data = on_data, .done = on_done, .ud = f};
    int rc = warm_client_start(r->client, &call, r->err);
    warm_buf_free(&body);
    if (rc) flight_free(f);
    return rc;
}

static void ask_next(run *r) {
    warm_drive_ask a;
    while (!r->rc && r->n_flying < r->n_most && warm_drive_next(r->drive, UINT64_MAX - 1, &a)) r->rc = send_ask(r, &a);
    if (r->rc) warm_client_stop(r->client);
}

int warm_replay_server(const warm_replay *w, warm_replay_progress *progress, void *ud, warm_replay_result *out, warm_err *err) {
    *out = (warm_replay_result){.policy = ""};
    run r = {
        .w = w, .out = out, .progress = progress, .progress_ud = ud, .err = err, .n_most = w->drive.rotate ? 1 : w->o->parallel};
    int rc = warm_client_new(w->o->engine, &r.client, err);
    if (rc) return rc;
    r.drive = warm_drive_new(&w->drive);
    r.total = warm_drive_total(r.drive);
    uint64_t began = warm_clock_now(&warm_clock_monotonic);
    ask_next(&r);
    if (!r.rc) warm_client_run(r.client);
    out->seconds = (double)(warm_clock_now(&warm_clock_monotonic) - began) / 1e9;
    if (!r.rc && out->n_requests < r.total)
        r.rc = warm_err_set(err, WARM_EIO, "%s: %llu answers said nothing of what they took (timings)", w->o->engine,
                            (unsigned long long)(r.total - out->n_requests));
    warm_client_free(r.client);
    while (r.flights) flight_free(r.flights); // NOLINT(clang-analyzer-unix.Malloc): it leaves the list
    warm_drive_free(r.drive);
    return r.rc;
}
