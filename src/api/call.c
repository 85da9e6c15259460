/* SPDX-License-Identifier: MIT
 *
 * api/call.c - see call.h. */
#include "api/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/worker.h"

enum { ANSWER_MAX = 1 << 30, ERROR_MAX = 64 * 1024 };

void warm_call_ref(warm_call *c) {
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void warm_call_unref(warm_call *c) {
    if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
    warm_api *api = c->api;
    if (c->destroy) c->destroy(c);
    warm_buf_free(&c->answer);
    free(c->body);
    free(c);
    warm__api_unref(api);
}

void warm_reply_failure(warm_http_request *req, const warm_failure *f) {
    warm_buf b;
    warm_json j;
    warm_buf_init(&b, ERROR_MAX);
    warm_json_init(&j, &b);
    warm_failure_write(&j, f, NULL);
    bool ok = !warm_buf_err(&b);
    warm_http_reply(req, warm_failure_status(f->err.code), WARM_API_JSON, ok ? b.data : "", ok ? b.len : 0);
    warm_buf_free(&b);
}

void warm_call_detach(warm_call *c) {
    c->req = NULL;
    atomic_store(&c->gone, true);
    warm_call_unref(c);
}

void warm_call_reply(warm_call *c, int status, const char *type, const char *body, size_t len) {
    if (!c->req) return;
    warm_http_reply(c->req, status, type, body, len);
    warm_call_detach(c);
}

void warm_call_fail(warm_call *c, const warm_failure *f) {
    if (!c->req) return;
    warm_reply_failure(c->req, f);
    warm_call_detach(c);
}

static void on_close(void *ud) {
    warm_call *c = ud;
    c->req = NULL;
    atomic_store(&c->gone, true);
    if (c->on_gone) c->on_gone(c);
    warm_call_unref(c);
}

/* [loop] What the pool made, or its error. */
static void finish(void *arg) {
    warm_call *c = arg;
    int rc = c->err.code ? c->err.code : warm_buf_err(&c->answer);
    warm_failure f = {.err = c->err, .n_prompt_tokens = c->n_prompt_tokens, .n_ctx = c->n_ctx};
    if (rc) {
        if (!f.err.code) warm_err_set(&f.err, WARM_ENOMEM, "out of memory for the answer");
        warm_call_fail(c, &f);
    } else {
        warm_call_reply(c, 200, WARM_API_JSON, c->answer.data ? c->answer.data : "", c->answer.len);
    }
    warm_call_unref(c); // NOLINT(clang-analyzer-unix.Malloc): this message has had a reference of its own all along
}

/* [pool] */
static void run(void *arg) {
    warm_call *c = arg;
    int rc = WARM_CALL_PENDING;
    if (!atomic_load(&c->gone)) {
        rc = c->work(c, &c->err);
        if (rc < 0) c->err.code = rc;
    }
    if (rc == WARM_CALL_PENDING || warm_http_post(c->api->http, finish, c)) warm_call_unref(c);
}

/* [loop] By way of the loop, since the pool lives as long as that runs. */
static void run_again(void *arg) {
    warm_call *c = arg;
    warm_worker_post(c->api->pool, run, c);
}

void warm_call_resume(warm_call *c, int (*work)(warm_call *c, warm_err *err)) {
    c->work = work;
    if (warm_http_post(c->api->http, run_again, c)) warm_call_unref(c);
}

void warm_call_start(warm_api *api, warm_http_request *req, const warm_call *fields, size_t size) {
    size_t len;
    const char *body = warm_http_body(req, &len);
    warm_call *c = warm_calloc(1, size);
    char *copy = c ? warm_malloc(len + 1) : NULL;
    if (!copy) {
        free(c);
        warm_failure f = {0};
        warm_err_set(&f.err, WARM_ENOMEM, "out of memory for a request of %zu bytes", len);
        warm_reply_failure(req, &f);
        return;
    }
    memcpy(copy, body, len);
    copy[len] = '\0';
    *c = *fields;
    c->api = api;
    c->req = req;
    c->key = warm_http_key(req);
    c->body = copy;
    c->body_len = len;
    atomic_init(&c->refs, 2); /* the loop's and the job's */
    atomic_init(&c->gone, false);
    warm_buf_init(&c->answer, ANSWER_MAX);
    atomic_fetch_add_explicit(&api->refs, 1, memory_order_relaxed);
    if (c->init) c->init(c);
    warm_http_on_close(req, on_close, c);
    warm_worker_post(api->pool, run, c);
}
