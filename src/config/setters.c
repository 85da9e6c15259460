/* SPDX-License-Identifier: MIT
 *
 * config/setters.c - options whose value is more than a number or a text to keep.
 *
 * Each setter is one entry of the table; it gets the value as the user wrote it, judges it, and fills the configuration. A list that a
 * later source replaces begins anew (--host, --alias); one that llama-server adds up is added to (keys, biases, stop strings).
 * Threads: none. Not here: plain fields (config.c). */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "config/options.h"

/* Grammars, schemas, templates and keys: text written by people. */
enum { FILE_MAX = 16 * 1024 * 1024 };

static int read_file(warm_opt_parse *p, const char *path, warm_buf *out) {
    FILE *f = fopen(path, "rb");
    if (!f) return warm_err_set(p->err, WARM_EINVAL, "%s: can't read '%.120s': %s", p->shown, path, strerror(errno));
    warm_buf_init(out, FILE_MAX);
    char chunk[4096];
    size_t n;
    errno = 0;
    while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0) warm_buf_append(out, chunk, n);
    bool failed = ferror(f) != 0;
    int why = errno;
    fclose(f);
    if (!failed && !warm_buf_err(out)) return 0;
    int bad = warm_buf_err(out);
    warm_buf_free(out);
    return warm_err_set(p->err, bad == WARM_ENOMEM ? WARM_ENOMEM : WARM_EINVAL, "%s: can't read '%.120s': %s", p->shown, path,
                        failed ? strerror(why) : warm_strerror(bad));
}

static int keep_file(warm_opt_parse *p, const char *path, const char **field) {
    warm_buf b;
    int rc = read_file(p, path, &b);
    if (rc) return rc;
    *field = warm__keep(p, b.data ? b.data : "", b.len);
    warm_buf_free(&b);
    return *field ? 0 : WARM_ENOMEM;
}

static int keep_text(warm_opt_parse *p, const char *text, const char **field) {
    *field = warm__keep(p, text, strlen(text));
    return *field ? 0 : WARM_ENOMEM;
}

/* Copies the next item of a comma list into item (room for the whole list) and returns the rest, NULL after the last. Quotes hold
 * commas together, "" inside them is one quote. */
static const char *next_item(const char *s, char *item) {
    if (!s) return NULL;
    bool quoted = *s == '"';
    if (quoted) s++;
    while (*s && (quoted || *s != ',')) {
        if (quoted && *s == '"') {
            if (s[1] != '"') {
                quoted = false;
                s++;
                continue;
            }
            s++;
        }
        *item++ = *s++;
    }
    *item = '\0';
    return *s ? s + 1 : "";
}

static char *trim(char *s) {
    s += strspn(s, " \t\r\n");
    size_t n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1])) s[--n] = '\0';
    return s;
}

static int push_items(warm_opt_parse *p, const char *text, const char ***list, size_t *count) {
    char *item = warm_malloc(strlen(text) + 1);
    if (!item) return warm_err_set(p->err, WARM_ENOMEM, "out of memory");
    int rc = 0;
    for (const char *rest = text; !rc && *rest;) {
        rest = next_item(rest, item);
        char *one = trim(item);
        if (*one) rc = warm__push(p, list, count, one, strlen(one));
    }
    free(item);
    return rc;
}

int warm__set_alias(warm_opt_parse *p, const char *text) {
    warm_config *c = p->config;
    c->n_aliases = 0;
    int rc = push_items(p, text, &c->aliases, &c->n_aliases);
    c->alias = c->n_aliases ? c->aliases[0] : NULL;
    return rc;
}

int warm__set_tags(warm_opt_parse *p, const char *text) {
    p->config->n_tags = 0;
    return push_items(p, text, &p->config->tags, &p->config->n_tags);
}

int warm__set_host(warm_opt_parse *p, const char *text) {
    p->config->n_hosts = 0;
    int rc = push_items(p, text, &p->config->hosts, &p->config->n_hosts);
    return rc || p->config->n_hosts ? rc : warm__expected(p, "at least one address", text);
}

int warm__set_api_key(warm_opt_parse *p, const char *text) {
    return push_items(p, text, &p->config->api_keys, &p->config->n_api_keys);
}

int warm__set_api_key_file(warm_opt_parse *p, const char *path) {
    warm_buf b;
    int rc = read_file(p, path, &b);
    if (rc) return rc;
    for (const char *s = b.data; s && *s && !rc;) {
        size_t n = strcspn(s, "\n"), key = n;
        while (key && s[key - 1] == '\r') key--;
        if (key && *s != '#') rc = warm__push(p, &p->config->api_keys, &p->config->n_api_keys, s, key);
        s += n + (s[n] == '\n');
    }
    warm_buf_free(&b);
    return rc;
}

int warm__set_template(warm_opt_parse *p, const char *text) {
    p->config->chat_template_file = NULL;
    return keep_text(p, text, &p->config->chat_template);
}

int warm__set_template_file(warm_opt_parse *p, const char *path) {
    int rc = keep_file(p, path, &p->config->chat_template);
    return rc ? rc : keep_text(p, path, &p->config->chat_template_file);
}

/* A grammar and a schema are two ways to say the same thing: the later one counts. */
int warm__set_grammar(warm_opt_parse *p, const char *text) {
    p->config->sampling.json_schema = NULL;
    return keep_text(p, text, &p->config->sampling.grammar);
}

int warm__set_grammar_file(warm_opt_parse *p, const char *path) {
    p->config->sampling.json_schema = NULL;
    return keep_file(p, path, &p->config->sampling.grammar);
}

int warm__set_json_schema(warm_opt_parse *p, const char *text) {
    p->config->sampling.grammar = NULL;
    return keep_text(p, text, &p->config->sampling.json_schema);
}

int warm__set_json_schema_file(warm_opt_parse *p, const char *path) {
    p->config->sampling.grammar = NULL;
    return keep_file(p, path, &p->config->sampling.json_schema);
}

int warm__set_slot_save_path(warm_opt_parse *p, const char *path) {
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) return warm__expected(p, "a directory", path);
    return keep_text(p, path, &p->config->slot_save_path);
}

int warm__set_disk_dir(warm_opt_parse *p, const char *path) {
    return *path ? keep_text(p, path, &p->config->disk_dir) : warm__expected(p, "a directory", path);
}

/* "64G", "500M", "1.5T"; a number alone is in GiB. */
static bool parse_bytes(const char *text, const char *suffix, uint64_t *out) {
    char number[32];
    double v;
    size_t n = strspn(text, "0123456789.");
    if (!n || n >= sizeof(number)) return false;
    memcpy(number, text, n);
    number[n] = '\0';
    if (!warm__parse_number(number, &v)) return false;
    const char *unit = strchr(suffix, text[n] ? text[n] & ~0x20 : 'G');
    if (!unit || (text[n] && text[n + 1])) return false;
    double bytes = v * (double)((uint64_t)1 << (20 + 10 * (unit - suffix)));
    if (!(bytes >= 1 && bytes < 1e18)) return false;
    *out = (uint64_t)bytes;
    return true;
}

int warm__set_disk_size(warm_opt_parse *p, const char *text) {
    warm_config_disk_size *size = &p->config->disk_size;
    size_t n = strlen(text);
    char number[16];
    *size = (warm_config_disk_size){0};
    if (n > 1 && n < sizeof(number) && text[n - 1] == '%') {
        memcpy(number, text, n - 1);
        number[n - 1] = '\0';
        if (warm__parse_number(number, &size->percent) && size->percent > 0 && size->percent <= 100) return 0;
    } else if (parse_bytes(text, "MGT", &size->bytes)) {
        return 0;
    }
    return warm__expected(p, "a size like 64G, 500M or 10%", text);
}

int warm__set_disk_write_limit(warm_opt_parse *p, const char *text) {
    uint64_t *limit = &p->config->disk_write_bytes_a_day;
    *limit = 0;
    return strcmp(text, "0") == 0 || parse_bytes(text, "MGT", limit) ? 0 : warm__expected(p, "bytes a day, like 100G, or 0", text);
}

int warm__set_stop(warm_opt_parse *p, const char *text) {
    return *text ? warm__push(p, &p->config->stop, &p->config->n_stop, text, strlen(text)) : warm__expected(p, "a text", text);
}

int warm__set_parallel(warm_opt_parse *p, const char *text) {
    int64_t n;
    if (!warm__parse_int(text, &n) || n < -1 || n == 0 || n > INT_MAX)
        return warm__expected(p, "-1 or a whole number of at least 1", text);
    p->config->n_parallel = (int)n;
    return 0;
}

int warm__set_seed(warm_opt_parse *p, const char *text) {
    int64_t n;
    if (!warm__parse_int(text, &n) || n < -1 || n > UINT32_MAX)
        return warm__expected(p, "a whole number from -1 to 4294967295", text);
    p->config->sampling.seed = (uint32_t)n; /* -1 becomes 0xFFFFFFFF: random */
    return 0;
}

int warm__set_temp(warm_opt_parse *p, const char *text) {
    double x;
    if (!warm__parse_number(text, &x)) return warm__expected(p, "a number", text);
    p->config->sampling.temp = x > 0 ? (float)x : 0.0f;
    return 0;
}

int warm__set_penalty_repeat(warm_opt_parse *p, const char *text) {
    double x;
    if (!warm__parse_number(text, &x) || x <= 0 || !isfinite(1.0f / (float)x)) return warm__expected(p, "a number above 0", text);
    p->config->sampling.penalty_repeat = (float)x;
    return 0;
}

int warm__set_logit_bias(warm_opt_parse *p, const char *text) {
    static const char form[] = "a token's number, + or -, and a number (15043+1)";
    warm_config_sampling *s = &p->config->sampling;
    size_t n = strspn(text, "0123456789");
    char id[16];
    int64_t token;
    double x;
    if (n == 0 || n >= sizeof(id) || (text[n] != '+' && text[n] != '-')) return warm__expected(p, form, text);
    snprintf(id, sizeof(id), "%.*s", (int)n, text);
    if (!warm__parse_int(id, &token) || token > INT32_MAX) return warm__expected(p, form, text);
    if (strcmp(text + n + 1, "inf") == 0)
        x = (double)INFINITY;
    else if (!warm__parse_number(text + n + 1, &x))
        return warm__expected(p, form, text);
    warm_config_bias *grown = warm_realloc(s->logit_bias, (s->n_logit_bias + 1) * sizeof(*grown));
    if (!grown) return warm_err_set(p->err, WARM_ENOMEM, "out of memory");
    s->logit_bias = grown;
    grown[s->n_logit_bias++] = (warm_config_bias){(int32_t)token, (float)(text[n] == '-' ? -x : x)};
    return 0;
}

int warm__set_escape(warm_opt_parse *p, const char *text) {
    p->escape = *text == '1';
    return 0;
}

int warm__set_cache_isolation(warm_opt_parse *p, const char *text) {
    p->config->isolate_keys = strcmp(text, "key") == 0;
    return p->config->isolate_keys || strcmp(text, "none") == 0 ? 0 : warm__expected(p, "key or none", text);
}

int warm__set_dry_breaker(warm_opt_parse *p, const char *text) {
    warm_config_sampling *s = &p->config->sampling;
    s->dry_breakers_given = true;
    if (strcmp(text, "none") == 0) {
        s->n_dry_breakers = 0;
        return 0;
    }
    return warm__push(p, &s->dry_breakers, &s->n_dry_breakers, text, strlen(text));
}

int warm__set_verbose(warm_opt_parse *p, const char *text) {
    (void)text;
    p->config->verbosity = INT_MAX;
    return 0;
}

int warm__set_log_disable(warm_opt_parse *p, const char *text) {
    (void)text;
    p->config->verbosity = 0;
    return 0;
}

int warm__set_load_mode(warm_opt_parse *p, const char *text) {
    (void)text;
    p->mmap = p->mlock = p->direct_io = LOAD_UNSET;
    return 0;
}

int warm__set_mmap(warm_opt_parse *p, const char *text) {
    p->mmap = *text == '1' ? LOAD_YES : LOAD_NO;
    return 0;
}

int warm__set_mlock(warm_opt_parse *p, const char *text) {
    (void)text;
    p->mlock = LOAD_YES;
    return 0;
}

int warm__set_direct_io(warm_opt_parse *p, const char *text) {
    p->direct_io = *text == '1' ? LOAD_YES : LOAD_NO;
    return 0;
}
