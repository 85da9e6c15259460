/* SPDX-License-Identifier: MIT
 *
 * config/config.c - the parser: from the environment and the command line to a warm_config, led by the table (options.c).
 *
 * The environment is applied first and the command line over it, entry by entry, so the later source wins. What is the engine's is
 * collected in order and becomes engine_argv at the end: an option that the command line gives too leaves its variable out, for the engine's
 * parser would otherwise add both up (-ot) or complain.
 *
 * Memory: strings are small blocks in a list that memory_ points at; the arrays of pointers are freed one by one. Everything may run
 * out of memory and says so.
 * Threads: none. Not here: which options there are (options.c), how one of them is understood (setters.c). */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "config/options.h"

typedef struct kept {
    struct kept *next;
    char data[];
} kept;

/* An option for the engine as it will stand in engine_argv. */
typedef struct engine_arg {
    const warm_opt *opt;
    const char *words[3];
    size_t n_words;
    bool from_env;
} engine_arg;

typedef struct reader {
    warm_opt_parse p; /* what setters see */
    char shown[96];
    engine_arg *args;
    size_t n_args;
    bool from_env;
    int action;
} reader;

/* ---- memory ---- */

static int no_memory(warm_opt_parse *p) {
    return warm_err_set(p->err, WARM_ENOMEM, "out of memory");
}

char *warm__keep(warm_opt_parse *p, const char *s, size_t n) {
    kept *k = warm_malloc(sizeof(*k) + n + 1);
    if (!k) {
        no_memory(p);
        return NULL;
    }
    memcpy(k->data, s, n);
    k->data[n] = '\0';
    k->next = p->config->memory_;
    p->config->memory_ = k;
    return k->data;
}

int warm__push(warm_opt_parse *p, const char ***list, size_t *count, const char *s, size_t n) {
    const char **grown = warm_realloc(*list, (*count + 1) * sizeof(**list));
    if (!grown) return no_memory(p);
    *list = grown;
    grown[*count] = warm__keep(p, s, n);
    if (!grown[*count]) return WARM_ENOMEM;
    ++*count;
    return 0;
}

void warm_config_free(warm_config *c) {
    free(c->aliases);
    free(c->tags);
    free(c->hosts);
    free(c->api_keys);
    free(c->stop);
    free(c->sampling.dry_breakers);
    free(c->sampling.logit_bias);
    free(c->engine_argv);
    free(c->warnings);
    for (kept *k = c->memory_; k;) {
        kept *next = k->next;
        free(k);
        k = next;
    }
    memset(c, 0, sizeof(*c));
}

/* ---- messages ---- */

static int warn(reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int warn(reader *r, const char *fmt, ...) {
    char text[WARM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    warm_config *c = r->p.config;
    for (size_t i = 0; i < c->n_warnings; i++)
        if (strcmp(c->warnings[i], text) == 0) return 0;
    return warm__push(&r->p, &c->warnings, &c->n_warnings, text, strlen(text));
}

int warm__expected(warm_opt_parse *p, const char *what, const char *text) {
    return warm_err_set(p->err, WARM_EINVAL, "%s: expected %s, got '%.80s'", p->shown, what, text);
}

/* ---- values ---- */

bool warm__parse_int(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    *out = v;
    return end != text && !*end && !errno;
}

bool warm__parse_number(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && !*end && isfinite(*out);
}

static bool one_of(const char *text, const char *a, const char *b, const char *c, const char *d) {
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0 || strcmp(text, d) == 0;
}

static bool truthy(const char *text) {
    return one_of(text, "1", "on", "true", "enabled");
}

static bool falsy(const char *text) {
    return one_of(text, "0", "off", "false", "disabled");
}

static int out_of_range(warm_opt_parse *p, const warm_opt *o, const char *text) {
    const char *kind = o->value == OPT_INT ? "a whole number" : "a number";
    char what[96];
    if (o->min == 0 && o->max == 0)
        snprintf(what, sizeof(what), "%s", kind);
    else if (o->max >= INT32_MAX)
        snprintf(what, sizeof(what), "%s of at least %.12g", kind, o->min);
    else
        snprintf(what, sizeof(what), "%s from %.12g to %.12g", kind, o->min, o->max);
    return warm__expected(p, what, text);
}

/* Checks what the table says about a value. A number of the engine's is only looked at, its text goes on as it is. */
static int check_value(warm_opt_parse *p, const warm_opt *o, const char *text, double *number) {
    int64_t whole;
    *number = 0;
    if (o->value == OPT_INT) {
        if (!warm__parse_int(text, &whole) || whole < INT32_MIN || whole > INT32_MAX) return out_of_range(p, o, text);
        *number = (double)whole;
    } else if (o->value == OPT_NUMBER) {
        if (!warm__parse_number(text, number)) return out_of_range(p, o, text);
    } else {
        return 0;
    }
    bool limited = o->min != 0 || o->max != 0;
    return limited && (*number < o->min || *number > o->max) ? out_of_range(p, o, text) : 0;
}

static int fill_field(warm_opt_parse *p, const warm_opt *o, const char *text, double number) {
    char *at = (char *)p->config + o->at;
    switch (o->field) {
    case OPT_F_BOOL:
        *(bool *)at = *text == '1';
        return 0;
    case OPT_F_INT:
        *(int *)at = (int)number;
        return 0;
    case OPT_F_I64:
        *(int64_t *)at = (int64_t)number;
        return 0;
    case OPT_F_FLOAT:
        *(float *)at = (float)number;
        return 0;
    case OPT_F_DOUBLE:
        *(double *)at = number;
        return 0;
    case OPT_F_TEXT:
        *(const char **)at = warm__keep(p, text, strlen(text));
        return *(const char **)at ? 0 : WARM_ENOMEM;
    case OPT_NONE:
        break;
    }
    return 0;
}

/* ---- one option ---- */

static int push_engine(reader *r, const warm_opt *o, const char *name, const char *v1, const char *v2) {
    engine_arg *grown = warm_realloc(r->args, (r->n_args + 1) * sizeof(*grown));
    if (!grown) return no_memory(&r->p);
    r->args = grown;
    engine_arg a = {.opt = o, .from_env = r->from_env};
    const char *words[] = {name, v1, v2};
    for (size_t i = 0; i < 3 && words[i]; i++) {
        a.words[i] = warm__keep(&r->p, words[i], strlen(words[i]));
        if (!a.words[i]) return WARM_ENOMEM;
        a.n_words++;
    }
    grown[r->n_args++] = a;
    return 0;
}

static bool is_quiet(const warm_opt *o, const char *text) {
    return o->quiet && (strcmp(o->quiet, OPT_ANY) == 0 || strcmp(o->quiet, text) == 0);
}

/* name is the option as it is spelled in the table; on its polarity; v1 and v2 its values, NULL if it takes none. */
static int apply(reader *r, const warm_opt *o, const char *name, bool on, const char *v1, const char *v2) {
    const char *text = v1 ? v1 : on ? "1" : "0";
    double number;
    int rc = 0;
    switch (o->class_) {
    case OPT_ACTION:
        r->action = o->action;
        return 0;
    case OPT_REFUSED:
        return warm_err_set(r->p.err, WARM_EINVAL, "%s: %s", r->shown, o->help);
    case OPT_IGNORED:
        return is_quiet(o, text) ? 0 : warn(r, "%s has no effect: %s", r->shown, o->help);
    case OPT_ENGINE:
    case OPT_OURS:
        rc = o->set ? o->set(&r->p, text) : check_value(&r->p, o, text, &number);
        if (!rc && !o->set) rc = fill_field(&r->p, o, text, number);
        if (!rc && o->class_ == OPT_ENGINE) rc = push_engine(r, o, name, v1, v2);
        break;
    }
    return rc;
}

/* ---- the environment ---- */

static const char *env_value(char **env, const char *name) {
    size_t n = strlen(name);
    for (; *env; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=') return *env + n + 1;
    return NULL;
}

static int apply_env(reader *r, const warm_opt *o, const char *value) {
    char name[OPT_NAME_MAX];
    bool on = true;
    if (!*value) return 0; /* set to nothing is how a compose file says "not set" */
    warm__opt_long(o->names, name);
    if (o->value == OPT_FLAG || o->value == OPT_BOOL) {
        on = truthy(value);
        if (!on && !falsy(value)) {
            if (o->value == OPT_BOOL) return warm__expected(&r->p, "on or off", value);
            return warn(r, "%s has no effect: expected on or off, got '%.80s'", r->shown, value);
        }
        if (!on && o->value == OPT_FLAG) return 0;
        if (!on) warm__opt_long(o->off, name);
        return apply(r, o, name, on, NULL, NULL);
    }
    return apply(r, o, name, true, value, NULL);
}

static int warn_unknown_env(reader *r, char **env) {
    static const char prefix[] = "LLAMA_ARG_";
    for (; *env; env++) {
        size_t n = strcspn(*env, "=");
        char name[OPT_NAME_MAX], off[OPT_NAME_MAX], near[OPT_NAME_MAX];
        bool known = strncmp(*env, prefix, sizeof(prefix) - 1) != 0;
        snprintf(name, sizeof(name), "%.*s", (int)n, *env);
        for (size_t i = 0; !known && warm__opt_at(i); i++) {
            const warm_opt *o = warm__opt_at(i);
            known = (o->env && strcmp(o->env, name) == 0) || (warm__opt_off_env(o, off) && strcmp(off, name) == 0);
        }
        if (known) continue;
        warm__opt_nearest_env(name, near);
        int rc = warn(r, "environment variable %s is not known; did you mean %s?", name, near);
        if (rc) return rc;
    }
    return 0;
}

static int read_env(reader *r, char **env) {
    r->from_env = true;
    for (size_t i = 0; warm__opt_at(i); i++) {
        const warm_opt *o = warm__opt_at(i);
        if (!o->env) continue;
        char off[OPT_NAME_MAX];
        const char *value = env_value(env, o->env);
        snprintf(r->shown, sizeof(r->shown), "environment variable %s", o->env);
        /* Whatever a LLAMA_ARG_NO_ variable is set to, it says no, and it is the stronger one. */
        if (warm__opt_off_env(o, off) && env_value(env, off)) {
            snprintf(r->shown, sizeof(r->shown), "environment variable %s", off);
            value = "0";
        }
        int rc = value ? apply_env(r, o, value) : 0;
        if (rc) return rc;
    }
    return warn_unknown_env(r, env);
}

/* ---- the command line ---- */

/* Splits "--name=value" and writes "--a_b" as "--a-b". Returns the value or NULL. */
static const char *split_name(const char *arg, char name[OPT_NAME_MAX]) {
    bool is_long = strncmp(arg, "--", 2) == 0;
    size_t n = is_long ? strcspn(arg, "=") : strlen(arg);
    snprintf(name, OPT_NAME_MAX, "%.*s", (int)n, arg);
    if (is_long)
        for (char *c = name; *c; c++)
            if (*c == '_') *c = '-';
    return arg[n] ? arg + n + 1 : NULL;
}

static int refuse_unknown(reader *r, const char *arg, const char *name) {
    char near[OPT_NAME_MAX];
    if (*arg != '-') return warm_err_set(r->p.err, WARM_EINVAL, "unexpected '%.80s': options begin with -", arg);
    warm__opt_nearest(name, near);
    return warm_err_set(r->p.err, WARM_EINVAL, "unknown option '%.80s'; did you mean '%s'?", name, near);
}

static int read_args(reader *r, int argc, char **argv) {
    r->from_env = false;
    for (int i = 1; i < argc && !r->action; i++) {
        char name[OPT_NAME_MAX];
        bool on = true;
        const char *inline_value = split_name(argv[i], name);
        const warm_opt *o = warm__opt_find(name, &on);
        if (!o) return refuse_unknown(r, argv[i], name);
        snprintf(r->shown, sizeof(r->shown), "option '%s'", name);

        const char *values[2] = {NULL, NULL};
        size_t wanted = o->value == OPT_TWO ? 2 : o->value == OPT_FLAG || o->value == OPT_BOOL ? 0 : 1, have = 0;
        if (inline_value && !wanted) return warm_err_set(r->p.err, WARM_EINVAL, "%s takes no value", r->shown);
        if (inline_value) values[have++] = inline_value;
        while (have < wanted && i + 1 < argc) values[have++] = argv[++i];
        if (have < wanted)
            return warm_err_set(r->p.err, WARM_EINVAL, "%s needs %s: %s", r->shown, wanted == 2 ? "two values" : "a value",
                                o->hint);
        int rc = apply(r, o, name, on, values[0], values[1]);
        if (rc) return rc;
    }
    return 0;
}

/* ---- putting it together ---- */

static const char *load_mode(const warm_opt_parse *p) {
    if (p->mmap == LOAD_UNSET && p->mlock == LOAD_UNSET && p->direct_io == LOAD_UNSET) return NULL;
    if (p->direct_io == LOAD_YES) return "dio";
    if (p->mlock == LOAD_YES) return p->mmap == LOAD_NO ? "mlock" : "mmap+mlock";
    if (p->mmap == LOAD_UNSET) return NULL;
    return p->mmap == LOAD_YES ? "mmap" : "none";
}

static bool given_later(const reader *r, const engine_arg *a) {
    for (size_t i = 0; a->from_env && i < r->n_args; i++)
        if (!r->args[i].from_env && r->args[i].opt == a->opt) return true;
    return false;
}

static int build_engine_argv(reader *r) {
    warm_config *c = r->p.config;
    const char *mode = load_mode(&r->p);
    size_t n = 1 + (mode ? 2 : 0);
    for (size_t i = 0; i < r->n_args; i++) n += r->args[i].n_words;
    c->engine_argv = warm_calloc(n + 1, sizeof(*c->engine_argv)); /* ends with a NULL, as an argv does */
    if (!c->engine_argv) return no_memory(&r->p);
    c->engine_argv[c->n_engine_argv++] = "warmslot";
    for (size_t i = 0; i < r->n_args; i++) {
        if (given_later(r, &r->args[i])) continue;
        for (size_t w = 0; w < r->args[i].n_words; w++) c->engine_argv[c->n_engine_argv++] = r->args[i].words[w];
    }
    if (mode) {
        c->engine_argv[c->n_engine_argv++] = "--load-mode";
        c->engine_argv[c->n_engine_argv++] = mode;
    }
    return 0;
}

/* Replaces \n, \r, \t, \', \" and \\ in place, as llama-server's --escape does. Other backslashes stay. */
static void unescape(char *s) {
    static const char from[] = "nrt'\"\\", to[] = "\n\r\t'\"\\";
    char *out = s;
    for (; *s; s++) {
        const char *hit = *s == '\\' && s[1] ? strchr(from, s[1]) : NULL;
        *out++ = hit ? to[hit - from] : *s;
        if (hit) s++;
    }
    *out = '\0';
}

static int finish(reader *r) {
    warm_config *c = r->p.config;
    if (!c->n_hosts) {
        int rc = warm__set_host(&r->p, "127.0.0.1");
        if (rc) return rc;
    }
    if (!r->action && !c->ssl_key_file != !c->ssl_cert_file)
        return warm_err_set(r->p.err, WARM_EINVAL, "--ssl-key-file and --ssl-cert-file need each other");
    if (!r->action && c->isolate_keys && !c->n_api_keys)
        return warm_err_set(r->p.err, WARM_EINVAL, "--cache-isolation key: there are no keys, give --api-key or --api-key-file");
    for (size_t i = 0; r->p.escape && i < c->sampling.n_dry_breakers; i++) unescape((char *)c->sampling.dry_breakers[i]);
    return build_engine_argv(r);
}

void warm__config_defaults(warm_config *c) {
    *c = (warm_config){
        .n_parallel = -1,
        .cache_ram_mib = 8192,
        .cache_prompt = true,
        .slice_ms = 2,
        .prefill_slice_ms = 100,
        .cache_policy = "value",
        .port = 8080,
        .api_prefix = "",
        .cors_origins = "*",
        .cors_methods = "GET, POST, DELETE, OPTIONS",
        .cors_headers = "*",
        .cors_credentials = true,
        .timeout_s = 3600,
        .threads_http = -1,
        .sse_ping_interval_s = 30,
        .slots = true,
        .n_predict = -1,
        .embd_normalize = 2,
        .verbosity = 3,
        .sampling =
            {
                .seed = UINT32_MAX,
                .top_k = 40,
                .top_p = 0.95f,
                .min_p = 0.05f,
                .top_n_sigma = -1,
                .xtc_threshold = 0.1f,
                .typ_p = 1,
                .temp = 0.8f,
                .dynatemp_exponent = 1,
                .penalty_last_n = 64,
                .penalty_repeat = 1,
                .dry_base = 1.75f,
                .dry_allowed_length = 2,
                .dry_penalty_last_n = 64,
                .adaptive_target = -1,
                .adaptive_decay = 0.9f,
                .mirostat_tau = 5,
                .mirostat_eta = 0.1f,
            },
    };
}

int warm_config_parse(int argc, char **argv, char **env, warm_config *out, warm_err *err) {
    reader r = {.p = {.config = out, .err = err, .escape = true, .mmap = LOAD_UNSET, .mlock = LOAD_UNSET, .direct_io = LOAD_UNSET}};
    r.p.shown = r.shown;
    warm__config_defaults(out);
    /* --help answers also where the environment is wrong. */
    warm_err env_err = {0};
    r.p.err = &env_err;
    int env_rc = read_env(&r, env ? env : environ);
    r.p.err = err;
    int rc = read_args(&r, argc, argv);
    if (!rc && !r.action && env_rc) rc = warm_err_set(err, env_rc, "%s", env_err.text);
    if (!rc) rc = finish(&r);
    free(r.args);
    if (rc) warm_config_free(out);
    return rc ? rc : r.action;
}
