/* SPDX-License-Identifier: MIT
 *
 * api/error.c - which WARM_E* is which HTTP status and error type. See error.h. */
#include "api/error.h"

#include <stdlib.h>
#include <string.h>

#include "api/api.h"

static const char *type_of(int status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 501:
        return "not_supported_error";
    case 503:
        return "unavailable_error";
    default:
        return status >= 500 ? "server_error" : "invalid_request_error";
    }
}

int warm_failure_status(int code) {
    switch (code) {
    case WARM_EINVAL:
    case WARM_ETOOLARGE:
        return 400;
    case WARM_ENOTFOUND:
        return 404;
    case WARM_ENOTSUP:
        return 501;
    /* A later attempt may succeed: the client should retry, not give up. */
    case WARM_EAGAIN:
    case WARM_EFULL:
    case WARM_ECANCELED:
    case WARM_ECLOSED:
        return 503;
    default:
        return 500;
    }
}

static void write_error(warm_json *j, int status, const char *type, const char *message, const warm_failure *f, const char *kind) {
    warm_json_obj(j);
    if (kind) warm_json_kstr(j, "type", kind);
    warm_json_key(j, "error");
    warm_json_obj(j);
    warm_json_kint(j, "code", status);
    warm_json_kstr(j, "message", message);
    warm_json_kstr(j, "type", type);
    if (f && f->err.code == WARM_ETOOLARGE) {
        warm_json_kuint(j, "n_prompt_tokens", f->n_prompt_tokens);
        warm_json_kuint(j, "n_ctx", f->n_ctx);
    }
    warm_json_obj_end(j);
    warm_json_obj_end(j);
}

void warm_failure_write(warm_json *j, const warm_failure *f, const char *kind) {
    int status = warm_failure_status(f->err.code);
    const char *type = f->err.code == WARM_ETOOLARGE ? "exceed_context_size_error" : type_of(status);
    write_error(j, status, type, f->err.text[0] ? f->err.text : warm_strerror(f->err.code), f, kind);
}

char *warm_api_error_body(int status, const char *message, size_t *len) {
    warm_buf b;
    warm_json j;
    warm_buf_init(&b, 64 * 1024);
    warm_json_init(&j, &b);
    write_error(&j, status, type_of(status), message, NULL, NULL);
    char *body = warm_buf_take(&b, len);
    warm_buf_free(&b);
    return body;
}
