/* SPDX-License-Identifier: MIT
 *
 * api/json_read.c - the scanner that decides what is JSON, and small readers of json-c values. See json_read.h.
 *
 * The scanner keeps one bit per open bracket (1 = object), so the depth limit is the width of the stack and no input can make it
 * recurse. */
#include "api/json_read.h"

#include <errno.h>
#include <json-c/json_tokener.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/utf8.h"

typedef struct scan {
    const char *s;
    size_t n, i;
    uint64_t is_object; /* bit d: the bracket at depth d + 1 is '{' */
    int depth;
    warm_err *err;
} scan;

_Static_assert(WARM_JREAD_DEPTH_MAX <= 64, "one bit per level");

static int bad(const scan *z, const char *what) {
    return warm_err_set(z->err, WARM_EINVAL, "invalid JSON at byte %zu: %s", z->i, what);
}

static void skip_space(scan *z) {
    while (z->i < z->n && (z->s[z->i] == ' ' || z->s[z->i] == '\t' || z->s[z->i] == '\n' || z->s[z->i] == '\r')) z->i++;
}

static char peek(const scan *z) {
    return z->i < z->n ? z->s[z->i] : '\0';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int hex4(const scan *z, size_t at) {
    int v = 0;
    for (size_t k = at; k < at + 4; k++) {
        char c = k < z->n ? z->s[k] : '\0';
        int d = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* At the 'u' of an escape. *nul is set when the character is U+0000. */
static int scan_unicode_escape(scan *z, bool *nul) {
    int u = hex4(z, z->i + 1);
    if (u < 0) return bad(z, "\\u needs four hexadecimal digits");
    if (u >= 0xdc00 && u <= 0xdfff) return bad(z, "second half of a surrogate pair without the first");
    z->i += 5;
    if (u >= 0xd800 && u <= 0xdbff) {
        int v = z->i + 1 < z->n && z->s[z->i] == '\\' && z->s[z->i + 1] == 'u' ? hex4(z, z->i + 2) : -1;
        if (v < 0xdc00 || v > 0xdfff) return bad(z, "first half of a surrogate pair without the second");
        z->i += 6;
    }
    if (u == 0) *nul = true;
    return 0;
}

static int scan_string(scan *z, bool *nul) {
    z->i++;
    for (;;) {
        if (z->i >= z->n) return bad(z, "unterminated string");
        unsigned char c = (unsigned char)z->s[z->i];
        if (c == '"') break;
        if (c < 0x20) return bad(z, "control character in a string");
        if (c == '\\') {
            z->i++;
            char e = peek(z);
            if (e == 'u') {
                int rc = scan_unicode_escape(z, nul);
                if (rc) return rc;
                continue;
            }
            if (e == '\0' || !strchr("\"\\/bfnrt", e)) return bad(z, "unknown escape");
            z->i++;
        } else if (c < 0x80) {
            z->i++;
        } else {
            size_t k = warm_utf8_char(z->s + z->i, z->n - z->i);
            if (!k) return bad(z, "invalid UTF-8");
            z->i += k;
        }
    }
    z->i++;
    return 0;
}

/* The number s[from..i) is well formed; its value must be representable. */
static int check_range(scan *z, size_t from, bool integer) {
    char buf[64];
    size_t len = z->i - from;
    if (integer) {
        /* 20 digits are the longest that can fit; a sign is one more. */
        if (len > 20) return bad(z, "integer does not fit into 64 bits");
        memcpy(buf, z->s + from, len);
        buf[len] = '\0';
        errno = 0;
        if (buf[0] == '-')
            (void)strtoll(buf, NULL, 10);
        else
            (void)strtoull(buf, NULL, 10);
        return errno == ERANGE ? bad(z, "integer does not fit into 64 bits") : 0;
    }
    char *copy = len < sizeof buf ? buf : warm_malloc(len + 1);
    if (!copy) return warm_err_set(z->err, WARM_ENOMEM, "out of memory while reading JSON");
    memcpy(copy, z->s + from, len);
    copy[len] = '\0';
    bool finite = isfinite(strtod(copy, NULL));
    if (copy != buf) free(copy);
    return finite ? 0 : bad(z, "number is too large");
}

static int scan_number(scan *z) {
    size_t from = z->i;
    bool integer = true;
    if (peek(z) == '-') z->i++;
    if (!is_digit(peek(z))) return bad(z, "unexpected character");
    if (peek(z) == '0')
        z->i++;
    else
        while (is_digit(peek(z))) z->i++;
    if (peek(z) == '.') {
        integer = false;
        z->i++;
        if (!is_digit(peek(z))) return bad(z, "digits expected after the decimal point");
        while (is_digit(peek(z))) z->i++;
    }
    if (peek(z) == 'e' || peek(z) == 'E') {
        integer = false;
        z->i++;
        if (peek(z) == '+' || peek(z) == '-') z->i++;
        if (!is_digit(peek(z))) return bad(z, "digits expected in the exponent");
        while (is_digit(peek(z))) z->i++;
    }
    return check_range(z, from, integer);
}

static int scan_word(scan *z, const char *word) {
    size_t k = strlen(word);
    if (z->n - z->i < k || memcmp(z->s + z->i, word, k) != 0) return bad(z, "unexpected character");
    z->i += k;
    return 0;
}

static int scan_key(scan *z) {
    bool nul = false;
    skip_space(z);
    if (peek(z) != '"') return bad(z, "a key in double quotes is expected");
    int rc = scan_string(z, &nul);
    if (rc) return rc;
    if (nul) return bad(z, "key with a NUL character");
    skip_space(z);
    if (peek(z) != ':') return bad(z, "':' is expected");
    z->i++;
    return 0;
}

static int open_bracket(scan *z, bool object) {
    if (z->depth == WARM_JREAD_DEPTH_MAX) return bad(z, "nested too deeply");
    uint64_t bit = UINT64_C(1) << z->depth;
    z->is_object = object ? z->is_object | bit : z->is_object & ~bit;
    z->depth++;
    z->i++;
    return 0;
}

static bool in_object(const scan *z) {
    return (z->is_object >> (z->depth - 1)) & 1;
}

/* Behind a value: closes what ends here. Leaves the scanner before the next value, or at depth 0. */
static int close_brackets(scan *z) {
    while (z->depth > 0) {
        skip_space(z);
        char c = peek(z);
        if (c == ',') {
            z->i++;
            return in_object(z) ? scan_key(z) : 0;
        }
        if (c != (in_object(z) ? '}' : ']')) return bad(z, z->i < z->n ? "',' or a closing bracket is expected" : "unexpected end");
        z->i++;
        z->depth--;
    }
    return 0;
}

/* One value; for a bracket only its opening (and the first key), *complete tells. */
static int scan_value(scan *z, bool *complete) {
    bool nul = false;
    *complete = true;
    skip_space(z);
    if (z->i >= z->n) return bad(z, "unexpected end");
    char c = peek(z);
    if (c == '{' || c == '[') {
        int rc = open_bracket(z, c == '{');
        if (rc) return rc;
        skip_space(z);
        if (peek(z) == (c == '{' ? '}' : ']')) {
            z->i++;
            z->depth--;
            return 0;
        }
        *complete = false;
        return c == '{' ? scan_key(z) : 0;
    }
    if (c == '"') return scan_string(z, &nul);
    if (c == 't') return scan_word(z, "true");
    if (c == 'f') return scan_word(z, "false");
    if (c == 'n') return scan_word(z, "null");
    return scan_number(z);
}

static int scan_all(scan *z, bool array) {
    skip_space(z);
    if (z->i >= z->n)
        return warm_err_set(z->err, WARM_EINVAL, "the body is empty, a JSON %s is expected", array ? "array" : "object");
    if (peek(z) != (array ? '[' : '{')) return bad(z, array ? "the body must be a JSON array" : "the body must be a JSON object");
    do {
        bool complete;
        int rc = scan_value(z, &complete);
        if (!rc && complete) rc = close_brackets(z);
        if (rc) return rc;
    } while (z->depth > 0);
    skip_space(z);
    return z->i < z->n ? bad(z, array ? "bytes behind the end of the array" : "bytes behind the end of the object") : 0;
}

static int read_json(const char *text, size_t len, bool array, warm_jv **out, warm_err *err) {
    if (len > INT32_MAX - 1) return warm_err_set(err, WARM_EINVAL, "the body is too large for JSON");
    scan z = {.s = text, .n = len, .err = err};
    int rc = scan_all(&z, array);
    if (rc) return rc;
    struct json_tokener *tok = json_tokener_new_ex(WARM_JREAD_DEPTH_MAX + 2);
    if (!tok) return warm_err_set(err, WARM_ENOMEM, "out of memory while reading JSON");
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    /* Not the spaces behind its end: the tokener would take them for a second value that is still to come. */
    while (len > 0 && text[len - 1] != (array ? ']' : '}')) len--;
    warm_jv *root = json_tokener_parse_ex(tok, text, (int)len);
    enum json_tokener_error e = json_tokener_get_error(tok);
    json_tokener_free(tok);
    if (!root) return warm_err_set(err, WARM_EINVAL, "invalid JSON: %s", json_tokener_error_desc(e));
    *out = root;
    return 0;
}

int warm_jread(const char *text, size_t len, warm_jv **out, warm_err *err) {
    return read_json(text, len, false, out, err);
}

int warm_jread_array(const char *text, size_t len, warm_jv **out, warm_err *err) {
    return read_json(text, len, true, out, err);
}

warm_jv *warm_jget(const warm_jv *obj, const char *key) {
    return warm_jis(obj, json_type_object) ? json_object_object_get(obj, key) : NULL;
}

bool warm_jis(const warm_jv *v, enum json_type type) {
    return v && json_object_is_type(v, type);
}

bool warm_jint(const warm_jv *v, int64_t *out) {
    if (warm_jis(v, json_type_int)) {
        int64_t i = json_object_get_int64(v);
        if (i == INT64_MAX && json_object_get_uint64(v) > (uint64_t)INT64_MAX) return false;
        *out = i;
        return true;
    }
    if (!warm_jis(v, json_type_double)) return false;
    double d = json_object_get_double(v);
    if (d != floor(d) || fabs(d) > 0x1p53) return false;
    *out = (int64_t)d;
    return true;
}

bool warm_jnum(const warm_jv *v, double *out) {
    if (!warm_jis(v, json_type_int) && !warm_jis(v, json_type_double)) return false;
    *out = json_object_get_double(v);
    return true;
}

const char *warm_jcstr(warm_jv *v) {
    if (!warm_jis(v, json_type_string)) return NULL;
    const char *text = json_object_get_string(v);
    return strlen(text) == (size_t)json_object_get_string_len(v) ? text : NULL;
}

const char *warm_jtype(const warm_jv *v) {
    switch (json_object_get_type(v)) {
    case json_type_boolean:
        return "a boolean";
    case json_type_double:
        return "a number";
    case json_type_int:
        return "an integer";
    case json_type_object:
        return "an object";
    case json_type_array:
        return "an array";
    case json_type_string:
        return "a string";
    default:
        return "null";
    }
}
