/* SPDX-License-Identifier: MIT
 *
 * api/call.h - one request on its way: from the loop thread to the pool and back.
 *
 * Private to src/api. A call is made by its handler, worked on by one thread of the pool and answered on the loop thread. Larger calls
 * embed it first.
 *
 * Invariants
 *  (1) Only the loop thread touches req; it is NULL from the moment the request is answered or its client left.
 *  (2) A call lives while somebody holds a reference: the loop while req is set, the pool's job, each task that has not ended, each
 *      message to the loop that is under way. Whoever drops the last one frees it, on any thread.
 *  (3) No lock is held while http, the scheduler or the engine is called. */
#ifndef WARM_API_CALL_H
#define WARM_API_CALL_H

#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "api/error.h"
#include "api/params.h"
#include "base/buf.h"

enum { WARM_CALL_PENDING = 1 }; /* of warm_call.work: the answer comes later, by other means */
#define WARM_API_JSON "application/json; charset=utf-8"

typedef struct warm_call warm_call;
struct warm_call {
    warm_api *api;
    atomic_uint refs;
    atomic_bool gone; /* nobody waits for the answer any more */
    warm_http_request *req;
    const char *key; /* the API key that was used, or NULL; the server's own string */
    char *body;      /* malloc'ed; NUL-terminated behind body_len. work may take it */
    size_t body_len;
    /* [pool] Writes answer (a JSON body) and returns 0, or WARM_E* with err, or WARM_CALL_PENDING. */
    int (*work)(warm_call *c, warm_err *err);
    void (*init)(warm_call *c);    /* [loop] sets up what the larger call has, zero until then; may be NULL */
    void (*on_gone)(warm_call *c); /* [loop] the client left; may be NULL */
    void (*destroy)(warm_call *c); /* frees what the larger call has; may be NULL */
    warm_buf answer;
    warm_err err;
    size_t n_prompt_tokens, n_ctx; /* with WARM_ETOOLARGE */
};

/* [loop] Makes a call of `size` bytes (it begins with a warm_call), takes a copy of the body, and gives it to the pool. fields is
 * copied into it first: its functions. Without memory the request is answered here. */
void warm_call_start(warm_api *api, warm_http_request *req, const warm_call *fields, size_t size);
/* [any] Has the pool do more work on a call that is pending; the caller's reference goes with it. Not under way when the loop has ended:
 * then the call only loses the reference. */
void warm_call_resume(warm_call *c, int (*work)(warm_call *c, warm_err *err));
void warm_call_ref(warm_call *c);
void warm_call_unref(warm_call *c);

/* [loop] Answers and lets go of the request. Both may free the call if the caller has no reference. */
void warm_call_reply(warm_call *c, int status, const char *type, const char *body, size_t len);
void warm_call_fail(warm_call *c, const warm_failure *f);
/* [loop] The request was answered by other means (a stream that ended). */
void warm_call_detach(warm_call *c);

/* [loop] An error for a request without a call. */
void warm_reply_failure(warm_http_request *req, const warm_failure *f);

struct warm_api {
    const warm_config *config;
    warm_http *http;
    warm_worker *pool;
    warm_defaults defaults;
    atomic_uint refs;        /* its owner's, and one per call */
    struct warm_gate *gates; /* one per route */
    atomic_bool ready;
    /* set before ready */
    warm_engine *engine;
    warm_sched *sched;
    uint32_t n_slots;
    char *model_name;
    char media_marker
        [64];        /* what stands for a medium in a prompt; another one in each process, so that no text holds it by chance */
    int64_t started; /* Unix time */
    /* scales of the adapters for requests that name none */
    pthread_mutex_t lora_lock;
    float *lora_scale;
    /* calls with tasks, for /slots */
    pthread_mutex_t running_lock;
    struct warm_completion *running;
    /* [loop] totals at the last scrape of /metrics: two of its gauges are averages since then */
    uint64_t scraped_prompt, scraped_predicted;
    double scraped_prompt_s, scraped_predicted_s;
};

void warm__api_unref(warm_api *api);
/* n random letters and digits and a NUL. */
void warm__random_letters(char *out, size_t n);

/* Handlers; ud is the api. The model is there. */
void warm__handle_health(warm_http_request *r, void *ud);
void warm__handle_models(warm_http_request *r, void *ud);
void warm__handle_props(warm_http_request *r, void *ud);
void warm__handle_props_post(warm_http_request *r, void *ud);
void warm__handle_slots(warm_http_request *r, void *ud);
void warm__handle_slot_action(warm_http_request *r, void *ud);
void warm__handle_metrics(warm_http_request *r, void *ud);
void warm__handle_native(warm_http_request *r, void *ud);
void warm__handle_text(warm_http_request *r, void *ud);
void warm__handle_chat(warm_http_request *r, void *ud);
void warm__handle_infill(warm_http_request *r, void *ud);
void warm__handle_lora(warm_http_request *r, void *ud);
void warm__handle_lora_post(warm_http_request *r, void *ud);
void warm__handle_embeddings(warm_http_request *r, void *ud);
void warm__handle_embeddings_openai(warm_http_request *r, void *ud);
void warm__handle_rerank(warm_http_request *r, void *ud);
void warm__handle_tokenize(warm_http_request *r, void *ud);
void warm__handle_detokenize(warm_http_request *r, void *ud);
void warm__handle_apply_template(warm_http_request *r, void *ud);
void warm__handle_responses(warm_http_request *r, void *ud);
void warm__handle_anthropic(warm_http_request *r, void *ud);
void warm__handle_count_chat(warm_http_request *r, void *ud);
void warm__handle_count_responses(warm_http_request *r, void *ud);
void warm__handle_count_anthropic(warm_http_request *r, void *ud);

/* [any] Scales for the tasks of a request: what it asks for, else the server's. To be freed; NULL: the engine has no adapters, or no memory. */
float *warm__lora_scales(warm_api *api, const warm_params *p);

/* [loop] The settings of the running task, as /slots shows them; false if no call of ours runs it. */
bool warm__running_settings(warm_api *api, uint64_t id_task, warm_json *j);
/* Cells that /props and /slots give a slot: llama-server's number. A request may use the whole pool. */
uint32_t warm__slot_n_ctx(const warm_api *api);

#endif
