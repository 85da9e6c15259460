/* SPDX-License-Identifier: MIT
 *
 * api/routes_lora.c - /lora-adapters: which adapters hold for requests that name none themselves.
 *
 * A change holds for the tasks made after it, and touches nothing else: what was computed with other scales is kept under a key that has
 * them in it. */
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/alloc.h"

float *warm__lora_scales(warm_api *api, const warm_params *p) {
    const warm_engine_info *info = api->engine->info;
    float *scale = info->n_adapters ? warm_calloc(info->n_adapters, sizeof *scale) : NULL;
    if (!scale) return NULL;
    if (p->n_lora) {
        warm_lora_spread(info, p->lora, p->n_lora, scale);
        return scale;
    }
    pthread_mutex_lock(&api->lora_lock);
    memcpy(scale, api->lora_scale, info->n_adapters * sizeof *scale);
    pthread_mutex_unlock(&api->lora_lock);
    return scale;
}

static int list(warm_call *c, warm_err *err) {
    const warm_engine_info *info = c->api->engine->info;
    const warm_params no_request = {0};
    float *scale = warm__lora_scales(c->api, &no_request);
    if (!scale && info->n_adapters) return warm_err_set(err, WARM_ENOMEM, "out of memory for the answer");
    warm_json j;
    warm_json_init(&j, &c->answer);
    warm_json_arr(&j);
    for (size_t i = 0; i < info->n_adapters; i++) {
        const warm_adapter *a = &info->adapters[i];
        warm_json_obj(&j);
        warm_json_kuint(&j, "id", i);
        warm_json_kstr(&j, "path", a->path);
        warm_json_kfloat(&j, "scale", scale[i]);
        warm_json_kstr(&j, "task_name", a->task_name);
        warm_json_kstr(&j, "prompt_prefix", a->prompt_prefix);
        warm_json_obj_end(&j);
    }
    warm_json_arr_end(&j);
    free(scale);
    return 0;
}

static int set(warm_call *c, warm_err *err) {
    const warm_engine_info *info = c->api->engine->info;
    warm_jv *root = NULL;
    warm_lora *wanted = NULL;
    size_t n = 0;
    int rc = warm_jread_array(c->body, c->body_len, &root, err);
    if (rc) return rc;
    rc = warm_lora_read(info, "", root, &wanted, &n, err);
    json_object_put(root);
    if (rc) return rc;
    pthread_mutex_lock(&c->api->lora_lock);
    warm_lora_spread(info, wanted, n, c->api->lora_scale);
    pthread_mutex_unlock(&c->api->lora_lock);
    free(wanted);
    warm_buf_puts(&c->answer, "{\"success\":true}");
    return 0;
}

static void start(warm_http_request *r, warm_api *api, int (*work)(warm_call *c, warm_err *err)) {
    const warm_call fields = {.work = work};
    warm_call_start(api, r, &fields, sizeof(warm_call));
}

void warm__handle_lora(warm_http_request *r, void *ud) {
    start(r, ud, list);
}

void warm__handle_lora_post(warm_http_request *r, void *ud) {
    start(r, ud, set);
}
