/* SPDX-License-Identifier: MIT
 *
 * api/routes_embed.c - embeddings (llama-server's own and OpenAI's) and reranking (as Jina and TEI have it).
 *
 * The pool reads the request and hands all of its inputs to the scheduler in one order; when that is done the pool writes the answer.
 * The prompt cache has no part in it: an embedding needs every token of its input computed together. */
#include <json-c/json_object.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/prompt.h"
#include "base/alloc.h"

/* Numbers of one answer: their text is some three times as large as they are. */
enum { NUMBERS_MAX_BYTES = 256 << 20 };

typedef struct embed_call {
    warm_call call;
    bool openai; /* the answer's shape */
    warm_jv *root;
    warm_prompts prompts;
    warm_embed_input *inputs;
    float *numbers, *scales;
    warm_err failed;                                   /* what the engine says */
    int (*write)(struct embed_call *c, warm_err *err); /* the answer, once all is computed */
    /* embeddings */
    bool base64;
    int normalize;
    /* reranking */
    bool tei, return_text;
    size_t top_n;
} embed_call;

static void destroy(warm_call *call) {
    embed_call *c = (embed_call *)call;
    warm_prompts_free(&c->prompts);
    free(c->inputs);
    free(c->numbers);
    free(c->scales);
    if (c->root) json_object_put(c->root);
}

/* ---- to the scheduler ---- */

static bool gone(void *ud) {
    return atomic_load(&((embed_call *)ud)->call.gone);
}

static int check_length(embed_call *c, size_t n, warm_err *err) {
    const warm_engine_info *info = c->call.api->engine->info;
    bool in_parts = info->pooling == WARM_POOLING_LAST;
    if (!in_parts && n > info->n_embed_batch)
        return warm_err_set(err, WARM_EENGINE,
                            "input (%zu tokens) is too large to process. increase the physical batch size (current batch size: %u)",
                            n, info->n_embed_batch);
    if (n <= info->n_embed_max) return 0;
    c->call.n_prompt_tokens = n;
    c->call.n_ctx = info->n_embed_max;
    return warm_err_set(err, WARM_ETOOLARGE,
                        in_parts ? "request (%zu tokens) exceeds the available context size (%u tokens), try increasing it"
                                 : "input (%zu tokens) is larger than the max context size (%u tokens). skipping",
                        n, info->n_embed_max);
}

static int reserve(embed_call *c, warm_err *err) {
    const warm_engine_info *info = c->call.api->engine->info;
    size_t total = 0;
    for (size_t i = 0; i < c->prompts.n; i++) {
        int rc = check_length(c, c->prompts.v[i].n, err);
        if (rc) return rc;
        total += warm_embed_floats(info, c->prompts.v[i].n) * sizeof(float);
        if (total > NUMBERS_MAX_BYTES)
            return warm_err_set(err, WARM_EINVAL,
                                "the embeddings of all inputs together are larger than %d MiB: send fewer of them",
                                NUMBERS_MAX_BYTES >> 20);
    }
    const warm_params no_request = {0};
    c->inputs = warm_calloc(c->prompts.n, sizeof *c->inputs);
    c->numbers = warm_malloc(total);
    c->scales = warm__lora_scales(c->call.api, &no_request);
    if (c->inputs && c->numbers && (c->scales || !info->n_adapters)) return 0;
    return warm_err_set(err, WARM_ENOMEM, "out of memory for the request");
}

static int answer(warm_call *call, warm_err *err) {
    embed_call *c = (embed_call *)call;
    return c->failed.code ? warm_err_set(err, c->failed.code, "%s", c->failed.text) : c->write(c, err);
}

static void computed(void *ud, const warm_err *err) {
    embed_call *c = ud;
    c->failed = *err;
    warm_call_resume(&c->call, answer);
}

static int submit(embed_call *c, int (*write)(embed_call *c, warm_err *err), warm_err *err) {
    int rc = reserve(c, err);
    c->write = write;
    if (rc) return rc;
    float *at = c->numbers;
    for (size_t i = 0; i < c->prompts.n; i++) {
        const warm_tokens *t = &c->prompts.v[i];
        c->inputs[i] = (warm_embed_input){.token = t->v, .n = t->n, .out = at};
        at += warm_embed_floats(c->call.api->engine->info, t->n);
    }
    const warm_embed_order o = {
        .inputs = c->inputs, .n = c->prompts.n, .scales = c->scales, .done = computed, .gone = gone, .ud = c};
    warm_call_ref(&c->call);
    warm_sched_embed(c->call.api->sched, &o);
    return WARM_CALL_PENDING;
}

/* ---- what both answers have ---- */

static void write_model(warm_json *j, const embed_call *c) {
    const char *model = warm_jcstr(warm_jget(c->root, "model"));
    warm_json_kstr(j, "model", model ? model : c->call.api->model_name);
    warm_json_kstr(j, "object", "list");
}

static void write_usage(warm_json *j, const embed_call *c) {
    size_t n = 0;
    for (size_t i = 0; i < c->prompts.n; i++) n += c->prompts.v[i].n;
    warm_json_key(j, "usage");
    warm_json_obj(j);
    warm_json_kuint(j, "prompt_tokens", n);
    warm_json_kuint(j, "total_tokens", n);
    warm_json_obj_end(j);
}

/* ---- embeddings ---- */

static double norm_of(const float *v, size_t n, int how) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double x = fabs((double)v[i]);
        if (how == 0)
            sum = x > sum ? x : sum;
        else
            sum += how == 2 ? x * x : pow(x, how);
    }
    if (how == 0) return sum / 32760; /* the numbers are to be 16 bits wide */
    return how == 2 ? sqrt(sum) : pow(sum, 1.0 / how);
}

static void normalize(float *v, size_t n, int how) {
    double norm = how < 0 ? 1 : norm_of(v, n, how);
    float factor = norm > 0 ? (float)(1 / norm) : 0;
    for (size_t i = 0; i < n; i++) v[i] *= factor;
}

static void write_vector(warm_json *j, const float *v, size_t n) {
    warm_json_arr(j);
    for (size_t i = 0; i < n; i++) warm_json_float(j, v[i]);
    warm_json_arr_end(j);
}

static int write_base64(warm_json *j, const float *v, size_t n, warm_err *err) {
    size_t bytes = n * sizeof *v;
    char *text = warm_malloc(bytes / 3 * 4 + 8);
    if (!text) return warm_err_set(err, WARM_ENOMEM, "out of memory for the answer");
    int len = EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)v, (int)bytes);
    warm_json_strn(j, text, (size_t)len);
    free(text);
    return 0;
}

static int write_openai(embed_call *c, warm_json *j, size_t n_numbers, warm_err *err) {
    int rc = 0;
    warm_json_obj(j);
    write_model(j, c);
    write_usage(j, c);
    warm_json_key(j, "data");
    warm_json_arr(j);
    for (size_t i = 0; i < c->prompts.n && !rc; i++) {
        warm_json_obj(j);
        warm_json_key(j, "embedding");
        if (c->base64)
            rc = write_base64(j, c->inputs[i].out, n_numbers, err);
        else
            write_vector(j, c->inputs[i].out, n_numbers);
        if (rc) return rc;
        warm_json_kuint(j, "index", i);
        warm_json_kstr(j, "object", "embedding");
        if (c->base64) warm_json_kstr(j, "encoding_format", "base64");
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
    warm_json_obj_end(j);
    return 0;
}

static void write_native(const embed_call *c, warm_json *j, const warm_engine_info *info) {
    warm_json_arr(j);
    for (size_t i = 0; i < c->prompts.n; i++) {
        size_t n_vectors = warm_embed_floats(info, c->prompts.v[i].n) / info->n_embd_out;
        warm_json_obj(j);
        warm_json_kuint(j, "index", i);
        warm_json_key(j, "embedding");
        warm_json_arr(j);
        for (size_t k = 0; k < n_vectors; k++) write_vector(j, c->inputs[i].out + k * info->n_embd_out, info->n_embd_out);
        warm_json_arr_end(j);
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

static int write_embeddings(embed_call *c, warm_err *err) {
    const warm_engine_info *info = c->call.api->engine->info;
    /* Each token's own ones are as computed. */
    for (size_t i = 0; i < c->prompts.n && info->pooling != WARM_POOLING_NONE; i++)
        normalize(c->inputs[i].out, info->n_embd_out, c->normalize);
    warm_json j;
    warm_json_init(&j, &c->call.answer);
    if (c->openai) return write_openai(c, &j, info->n_embd_out, err);
    write_native(c, &j, info);
    return 0;
}

static int read_format(embed_call *c, warm_err *err) {
    warm_jv *v = warm_jget(c->root, "encoding_format");
    const char *format = warm_jcstr(v);
    c->base64 = format && !strcmp(format, "base64");
    if (!v || c->base64 || (format && !strcmp(format, "float"))) return 0;
    return warm_err_set(err, WARM_EINVAL, "The format to return the embeddings in. Can be either float or base64");
}

static int read_normalize(embed_call *c, warm_err *err) {
    warm_jv *v = warm_jget(c->root, "embd_normalize");
    int64_t n = c->call.api->config->embd_normalize;
    if (v && (!warm_jint(v, &n) || n < -1 || n > INT32_MAX))
        return warm_err_set(err, WARM_EINVAL, "Field 'embd_normalize': expected an integer of at least -1");
    c->normalize = (int)n;
    return 0;
}

static int read_inputs(embed_call *c, warm_err *err) {
    const char *name = warm_jget(c->root, "input") ? "input" : "content";
    warm_jv *v = warm_jget(c->root, name);
    if (!v) return warm_err_set(err, WARM_EINVAL, "\"input\" or \"content\" must be provided");
    if (!strcmp(name, "content")) c->openai = false; /* OpenAI has no such field: who sends it wants the native answer */
    return warm_prompts_read(c->call.api->engine, name, v, &c->prompts, err);
}

static int read_embeddings(warm_call *call, warm_err *err) {
    embed_call *c = (embed_call *)call;
    const warm_engine_info *info = call->api->engine->info;
    if (!info->n_embed_max)
        return warm_err_set(err, WARM_ENOTSUP, "This server does not support embeddings. Start it with `--embeddings`");
    if (c->openai && info->pooling == WARM_POOLING_NONE)
        return warm_err_set(err, WARM_EINVAL, "Pooling type 'none' is not OAI compatible. Please use a different pooling type");
    int rc = warm_jread(call->body, call->body_len, &c->root, err);
    if (!rc) rc = read_format(c, err);
    if (!rc) rc = read_normalize(c, err);
    if (!rc) rc = read_inputs(c, err);
    return rc ? rc : submit(c, write_embeddings, err);
}

/* ---- reranking ---- */

typedef struct rank {
    size_t index;
    float score;
} rank;

static int by_score(const void *pa, const void *pb) {
    const rank *a = pa, *b = pb;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

static warm_jv *documents_of(warm_jv *root) {
    warm_jv *v = warm_jget(root, "documents");
    return v ? v : warm_jget(root, "texts");
}

static void write_ranks(const embed_call *c, warm_json *j, const rank *ranks) {
    warm_json_arr(j);
    for (size_t i = 0; i < c->top_n && i < c->prompts.n; i++) {
        warm_jv *text = json_object_array_get_idx(documents_of(c->root), ranks[i].index);
        warm_json_obj(j);
        warm_json_kuint(j, "index", ranks[i].index);
        warm_json_kfloat(j, c->tei ? "score" : "relevance_score", ranks[i].score);
        if (c->tei && c->return_text) {
            warm_json_key(j, "text");
            warm_json_strn(j, json_object_get_string(text), (size_t)json_object_get_string_len(text));
        }
        warm_json_obj_end(j);
    }
    warm_json_arr_end(j);
}

static int write_rerank(embed_call *c, warm_err *err) {
    rank *ranks = warm_malloc(c->prompts.n * sizeof *ranks);
    if (!ranks) return warm_err_set(err, WARM_ENOMEM, "out of memory for the answer");
    for (size_t i = 0; i < c->prompts.n; i++) ranks[i] = (rank){.index = i, .score = c->inputs[i].out[0]};
    qsort(ranks, c->prompts.n, sizeof *ranks, by_score);
    warm_json j;
    warm_json_init(&j, &c->call.answer);
    if (c->tei) {
        write_ranks(c, &j, ranks);
    } else {
        warm_json_obj(&j);
        write_model(&j, c);
        write_usage(&j, c);
        warm_json_key(&j, "results");
        write_ranks(c, &j, ranks);
        warm_json_obj_end(&j);
    }
    free(ranks);
    return 0;
}

static int read_documents(embed_call *c, warm_err *err) {
    warm_engine *e = c->call.api->engine;
    warm_jv *query = warm_jget(c->root, "query"), *v = documents_of(c->root);
    if (!query) return warm_err_set(err, WARM_EINVAL, "\"query\" must be provided");
    if (!warm_jis(query, json_type_string)) return warm_err_set(err, WARM_EINVAL, "\"query\" must be a string");
    size_t n = warm_jis(v, json_type_array) ? json_object_array_length(v) : 0;
    for (size_t i = 0; i < n; i++)
        if (!warm_jis(json_object_array_get_idx(v, i), json_type_string)) n = 0;
    if (!n) return warm_err_set(err, WARM_EINVAL, "\"documents\" must be a non-empty string array");
    if (n > WARM_PROMPTS_MAX) return warm_err_set(err, WARM_EINVAL, "more than %d documents", WARM_PROMPTS_MAX);
    c->prompts.v = warm_calloc(n, sizeof *c->prompts.v);
    if (!c->prompts.v) return warm_err_set(err, WARM_ENOMEM, "out of memory for the documents");
    for (size_t i = 0; i < n; i++) {
        warm_jv *doc = json_object_array_get_idx(v, i);
        warm_tokens *t = &c->prompts.v[i];
        int rc = e->ops->rank_prompt(e, json_object_get_string(query), (size_t)json_object_get_string_len(query),
                                     json_object_get_string(doc), (size_t)json_object_get_string_len(doc), &t->v, &t->n, err);
        if (rc) return rc;
        c->prompts.n++;
        if (!t->n) return warm_err_set(err, WARM_EINVAL, "query and document %zu are empty", i);
    }
    return 0;
}

static int read_rerank_options(embed_call *c, warm_err *err) {
    warm_jv *top = warm_jget(c->root, "top_n"), *text = warm_jget(c->root, "return_text");
    int64_t n = WARM_PROMPTS_MAX;
    if (top && (!warm_jint(top, &n) || n < 0))
        return warm_err_set(err, WARM_EINVAL, "Field 'top_n': expected an integer of at least 0");
    c->top_n = (size_t)n;
    c->tei = warm_jget(c->root, "texts") != NULL;
    c->return_text = warm_jis(text, json_type_boolean) && json_object_get_boolean(text);
    return 0;
}

static int read_rerank(warm_call *call, warm_err *err) {
    embed_call *c = (embed_call *)call;
    const warm_engine_info *info = call->api->engine->info;
    if (!info->n_embed_max || info->pooling != WARM_POOLING_RANK)
        return warm_err_set(err, WARM_ENOTSUP, "This server does not support reranking. Start it with `--reranking`");
    int rc = warm_jread(call->body, call->body_len, &c->root, err);
    if (!rc) rc = read_rerank_options(c, err);
    if (!rc) rc = read_documents(c, err);
    return rc ? rc : submit(c, write_rerank, err);
}

/* ---- handlers ---- */

static void init_openai(warm_call *call) {
    ((embed_call *)call)->openai = true;
}

static void start(warm_http_request *r, warm_api *api, const warm_call *fields) {
    warm_call f = *fields;
    f.destroy = destroy;
    warm_call_start(api, r, &f, sizeof(embed_call));
}

void warm__handle_embeddings(warm_http_request *r, void *ud) {
    start(r, ud, &(warm_call){.work = read_embeddings});
}

void warm__handle_embeddings_openai(warm_http_request *r, void *ud) {
    start(r, ud, &(warm_call){.work = read_embeddings, .init = init_openai});
}

void warm__handle_rerank(warm_http_request *r, void *ud) {
    start(r, ud, &(warm_call){.work = read_rerank});
}
