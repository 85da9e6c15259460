/* SPDX-License-Identifier: MIT
 *
 * api/routes_slots.c - POST /slots/{id}?action=save|restore|erase: what the scheduler does with a slot's conversation, in llama-server's words.
 *
 * The pool reads the body and gives the order; the engine thread's answer is carried back to the loop. An order that was given is carried out
 * also when its client leaves. File names are those that llama-server takes: one name, no path, nothing that a file system could take for one.
 * Threads: marked. */
#include <errno.h>
#include <json-c/json_object.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/json_read.h"
#include "base/alloc.h"
#include "base/utf8.h"
#include "store/slot_io.h"

enum { NAME_MAX_BYTES = 255 };

typedef struct slot_call {
    warm_call call;
    warm_slot_order order;
    char *name;
    warm_slot_result result;
} slot_call;

/* ---- names ---- */

/* Control characters, and what looks like a part of a path, or is none on some file system. */
static bool is_forbidden(uint32_t c) {
    if (c < 0x20 || (c >= 0x7F && c <= 0x9F)) return true;
    if (c < 0x80) return strchr("/\\:*?\"<>|", (int)c) != NULL;
    return c == 0xFF0E || c == 0x2215 || c == 0x2216 || c == 0xFFFD || c == 0xFEFF;
}

/* The code point at valid UTF-8, and its length. */
static uint32_t code_point(const unsigned char *s, size_t *n) {
    *n = s[0] < 0x80 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    static const unsigned char head[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t c = s[0] & head[*n];
    for (size_t i = 1; i < *n; i++) c = c << 6 | (s[i] & 0x3Fu);
    return c;
}

static bool is_file_name(const char *s) {
    size_t len = strlen(s);
    if (!len || len > NAME_MAX_BYTES || !warm_utf8_valid(s, len)) return false;
    if (s[0] == ' ' || s[len - 1] == ' ' || s[len - 1] == '.' || strstr(s, "..")) return false;
    if (strncmp(s, WARM_SLOT_IO_TMP, strlen(WARM_SLOT_IO_TMP)) == 0) return false;
    for (size_t at = 0, n; at < len; at += n)
        if (is_forbidden(code_point((const unsigned char *)s + at, &n))) return false;
    return true;
}

/* ---- [loop] ---- */

static void refuse(warm_http_request *r, int code, const char *message) {
    warm_failure f = {0};
    warm_err_set(&f.err, code, "%s", message);
    warm_reply_failure(r, &f);
}

static void write_answer(warm_json *j, const slot_call *c) {
    const warm_slot_result *r = &c->result;
    static const char *const units[] = {"n_saved", "n_restored", "n_erased"}, *const bytes[] = {"n_written", "n_read"},
                             *const ms[] = {"save_ms", "restore_ms"};
    enum warm_slot_verb v = c->order.verb;
    warm_json_obj(j);
    warm_json_kint(j, "id_slot", c->order.id_slot);
    if (v != WARM_SLOT_ERASE) warm_json_kstr(j, "filename", c->name);
    warm_json_kuint(j, units[v], r->n_units);
    if (v != WARM_SLOT_ERASE) {
        warm_json_kuint(j, bytes[v], r->n_bytes);
        warm_json_key(j, "timings");
        warm_json_obj(j);
        warm_json_kdouble(j, ms[v], r->ms);
        warm_json_obj_end(j);
    }
    warm_json_obj_end(j);
}

static void answer(void *arg) {
    slot_call *c = arg;
    warm_failure f = {.err = c->result.err};
    /* Of a file that is no good the client chose the name: it is his mistake, as in llama-server. */
    if (f.err.code == WARM_ECORRUPT && c->order.verb == WARM_SLOT_RESTORE) f.err.code = WARM_EINVAL;
    /* Not the prompt of this request is too long: it has none. */
    if (f.err.code == WARM_ETOOLARGE) f.err.code = WARM_EINVAL;
    if (!f.err.code) {
        warm_json j;
        warm_json_init(&j, &c->call.answer);
        write_answer(&j, c);
        if (warm_buf_err(&c->call.answer)) warm_err_set(&f.err, WARM_ENOMEM, "out of memory for the answer");
    }
    if (f.err.code)
        warm_call_fail(&c->call, &f);
    else
        warm_call_reply(&c->call, 200, WARM_API_JSON, c->call.answer.data, c->call.answer.len);
    warm_call_unref(&c->call);
}

/* ---- [engine] ---- */

static void done(void *ud, const warm_slot_result *r) {
    slot_call *c = ud;
    c->result = *r;
    if (warm_http_post(c->call.api->http, answer, c)) warm_call_unref(&c->call);
}

/* ---- [pool] ---- */

static int read_name(slot_call *c, warm_err *err) {
    warm_jv *root = NULL;
    int rc = warm_jread(c->call.body, c->call.body_len, &root, err);
    if (rc) return rc;
    warm_jv *v = warm_jget(root, "filename");
    const char *name = warm_jcstr(v);
    if (!v || !warm_jis(v, json_type_string))
        rc = warm_err_set(err, WARM_EINVAL, "Field 'filename': expected a string, got %s", warm_jtype(v));
    else if (!name || !is_file_name(name))
        rc = warm_err_set(err, WARM_EINVAL, "Invalid filename");
    else if (!(c->name = warm_strndup(name, strlen(name))))
        rc = warm_err_set(err, WARM_ENOMEM, "out of memory for the request");
    json_object_put(root);
    return rc;
}

static int work(warm_call *call, warm_err *err) {
    slot_call *c = (slot_call *)call;
    int rc = c->order.verb == WARM_SLOT_ERASE ? 0 : read_name(c, err);
    if (rc) return rc;
    c->order.name = c->name;
    c->order.done = done;
    c->order.ud = c;
    warm_call_ref(call);
    warm_sched_slot_order(call->api->sched, &c->order);
    return WARM_CALL_PENDING;
}

static void destroy(warm_call *call) {
    free(((slot_call *)call)->name);
}

/* ---- the route ---- */

static bool read_id(const char *text, int32_t *out) {
    char *end;
    errno = 0;
    long n = text ? strtol(text, &end, 10) : 0;
    if (!text || end == text || *end || errno || n < 0 || n > INT32_MAX || *text == ' ' || *text == '+') return false;
    *out = (int32_t)n;
    return true;
}

/* NULL, or what is wrong with the route. */
static const char *read_route(const warm_api *api, const warm_http_request *r, warm_slot_order *o) {
    static const char *const names[] = {"save", "restore", "erase"};
    if (!read_id(warm_http_param(r, "id_slot"), &o->id_slot) || (uint32_t)o->id_slot >= api->n_slots) return "Invalid slot ID";
    const char *action = warm_http_query(r, "action");
    for (size_t i = 0; action && i < sizeof names / sizeof *names; i++) {
        o->verb = (enum warm_slot_verb)i;
        if (strcmp(action, names[i]) == 0) return NULL;
    }
    return "Invalid action";
}

static void init(warm_call *call) {
    slot_call *c = (slot_call *)call;
    (void)read_route(call->api, call->req, &c->order);
}

void warm__handle_slot_action(warm_http_request *r, void *ud) {
    warm_api *api = ud;
    warm_slot_order order;
    const char *wrong = NULL;
    if (!api->config->slot_save_path) {
        refuse(r, WARM_ENOTSUP, "This server does not support slots action. Start it with `--slot-save-path`");
    } else if ((wrong = read_route(api, r, &order))) {
        refuse(r, WARM_EINVAL, wrong);
    } else {
        const warm_call fields = {.init = init, .work = work, .destroy = destroy};
        warm_call_start(api, r, &fields, sizeof(slot_call));
    }
}
