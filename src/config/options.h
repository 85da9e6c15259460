/* SPDX-License-Identifier: MIT
 *
 * config/options.h - the shape of the option table (options.c), for the parser (config.c) and the printers (help.c).
 *
 * An entry says everything there is to know about an option: its names, its variable, what follows it, what becomes of it. Nothing else
 * in this layer knows an option by name, except the few setters in setters.c. Threads: none. */
#ifndef WARM_CONFIG_OPTIONS_H
#define WARM_CONFIG_OPTIONS_H

#include "config/config.h"

enum opt_class {
    OPT_OURS,    /* kept in warm_config */
    OPT_ENGINE,  /* handed to the engine's own parser as it is */
    OPT_IGNORED, /* accepted with a warning that says why */
    OPT_REFUSED, /* known, but to go on without it would be wrong: an error that says what to do */
    OPT_ACTION   /* ends the command: --help */
};

enum opt_value {
    OPT_FLAG,   /* no value; the environment can only switch it on */
    OPT_BOOL,   /* no value; has names that switch it off */
    OPT_INT,    /* a whole number */
    OPT_NUMBER, /* any finite number */
    OPT_STRING,
    OPT_TWO /* two values */
};

/* Types of the fields of warm_config that an entry can point at. */
enum opt_field { OPT_NONE, OPT_F_BOOL, OPT_F_INT, OPT_F_I64, OPT_F_FLOAT, OPT_F_DOUBLE, OPT_F_TEXT };

#define OPT_ANY "\n"

typedef struct warm_opt warm_opt;
typedef struct warm_opt_parse warm_opt_parse;

/* A setter for what a field can't say. text is the value ("1"/"0" for OPT_FLAG and OPT_BOOL). Sets the parse's error on failure. */
typedef int (*warm_opt_set)(warm_opt_parse *p, const char *text);

struct warm_opt {
    enum opt_class class_;
    enum opt_value value;
    const char *names; /* "-t,--threads"; at least one begins with "--" */
    const char *off;   /* OPT_BOOL: names that switch it off, or NULL */
    const char *env;   /* variable, or NULL */
    const char *hint;  /* what stands for the value in --help, NULL without value */
    const char *help;  /* OURS, ENGINE: what it does. IGNORED, REFUSED: why it does not */
    /* IGNORED: the value that asks for what happens anyway, so no warning is due; "1"/"0" for OPT_BOOL; OPT_ANY: no value does */
    const char *quiet;
    enum opt_field field;
    size_t at;        /* offset in warm_config */
    double min, max;  /* both 0: no limits */
    warm_opt_set set; /* called instead of filling the field, which then only tells --help the default */
    int action;       /* warm_config_result */
};

typedef struct warm_opt_section {
    const char *title;
    const warm_opt *opts;
    size_t n;
} warm_opt_section;

extern const warm_opt_section warm__opt_sections[];
extern const size_t warm__opt_n_sections;

enum { OPT_NAME_MAX = 64 };

/* Position i in the whole table, NULL past its end. */
const warm_opt *warm__opt_at(size_t i);
/* Entry and polarity of a name as it is spelled in the table. NULL if there is none. */
const warm_opt *warm__opt_find(const char *name, bool *on);
/* The known name that the fewest edits lead to; the known variable for warm__opt_nearest_env. */
void warm__opt_nearest(const char *name, char buf[OPT_NAME_MAX]);
void warm__opt_nearest_env(const char *name, char buf[OPT_NAME_MAX]);
/* Copies the next name of a list into buf and returns the rest, NULL after the last:
 * for (l = o->names; (l = warm__opt_next(l, buf));) */
const char *warm__opt_next(const char *list, char buf[OPT_NAME_MAX]);
/* The first name that begins with "--". */
void warm__opt_long(const char *list, char buf[OPT_NAME_MAX]);
/* LLAMA_ARG_X as LLAMA_ARG_NO_X, for options that can be switched off. false if there is none. */
bool warm__opt_off_env(const warm_opt *o, char buf[OPT_NAME_MAX]);

/* ---- of the parser, for setters ---- */

enum load_choice { LOAD_UNSET = -1, LOAD_NO, LOAD_YES };

struct warm_opt_parse {
    warm_config *config;
    warm_err *err;
    const char *shown; /* the option or variable as the user wrote it, for messages */
    bool escape;       /* --escape: backslash escapes in --dry-sequence-breaker */
    /* --mmap, --mlock and --direct-io, older names that become one --load-mode behind the others, unless that came later */
    enum load_choice mmap, mlock, direct_io;
};

int warm__set_alias(warm_opt_parse *p, const char *text);
int warm__set_api_key(warm_opt_parse *p, const char *text);
int warm__set_api_key_file(warm_opt_parse *p, const char *text);
int warm__set_cache_isolation(warm_opt_parse *p, const char *text);
int warm__set_disk_dir(warm_opt_parse *p, const char *text);
int warm__set_disk_size(warm_opt_parse *p, const char *text);
int warm__set_disk_write_limit(warm_opt_parse *p, const char *text);
int warm__set_dry_breaker(warm_opt_parse *p, const char *text);
int warm__set_escape(warm_opt_parse *p, const char *text);
int warm__set_grammar(warm_opt_parse *p, const char *text);
int warm__set_grammar_file(warm_opt_parse *p, const char *text);
int warm__set_host(warm_opt_parse *p, const char *text);
int warm__set_json_schema(warm_opt_parse *p, const char *text);
int warm__set_json_schema_file(warm_opt_parse *p, const char *text);
int warm__set_log_disable(warm_opt_parse *p, const char *text);
int warm__set_logit_bias(warm_opt_parse *p, const char *text);
int warm__set_parallel(warm_opt_parse *p, const char *text);
int warm__set_penalty_repeat(warm_opt_parse *p, const char *text);
int warm__set_direct_io(warm_opt_parse *p, const char *text);
int warm__set_load_mode(warm_opt_parse *p, const char *text);
int warm__set_mlock(warm_opt_parse *p, const char *text);
int warm__set_mmap(warm_opt_parse *p, const char *text);
int warm__set_seed(warm_opt_parse *p, const char *text);
int warm__set_slot_save_path(warm_opt_parse *p, const char *text);
int warm__set_stop(warm_opt_parse *p, const char *text);
int warm__set_tags(warm_opt_parse *p, const char *text);
int warm__set_temp(warm_opt_parse *p, const char *text);
int warm__set_template(warm_opt_parse *p, const char *text);
int warm__set_template_file(warm_opt_parse *p, const char *text);
int warm__set_verbose(warm_opt_parse *p, const char *text);

/* Memory that lives as long as the configuration. NULL and the parse's error set when there is none. */
char *warm__keep(warm_opt_parse *p, const char *s, size_t n);
/* Appends a copy of s[0..n) to a list that belongs to the configuration. */
int warm__push(warm_opt_parse *p, const char ***list, size_t *count, const char *s, size_t n);
/* Sets "<shown>: expected <what>, got '<text>'" and returns WARM_EINVAL. */
int warm__expected(warm_opt_parse *p, const char *what, const char *text);
void warm__config_defaults(warm_config *c);
bool warm__parse_int(const char *text, int64_t *out);
bool warm__parse_number(const char *text, double *out);

#endif
