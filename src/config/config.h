/* SPDX-License-Identifier: MIT
 *
 * config/config.h - every option, once: options.c holds ONE table from which the command line, the LLAMA_ARG_* environment, --help and the documents come.
 *
 * Names, short forms, environment variables and meanings are llama-server's. Later sources win: defaults, environment, command line.
 * Options that only the engine understands (-ngl, -ot, --rope-*, ...) are not interpreted here: they are checked for their arity
 * and handed on, in order, as engine_argv, which libllama's own parser reads. A known option without effect here is accepted
 * with a warning; an unknown one is refused with the nearest name. Threads: none; read-only after warm_config_parse. */
#ifndef WARM_CONFIG_CONFIG_H
#define WARM_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "warmslot/err.h"

typedef struct warm_config_bias {
    int32_t token;
    float bias;
} warm_config_bias;

typedef struct warm_config_sampling { /* defaults for requests that do not say; mirrors warm_sampling */
    uint32_t seed;
    int32_t min_keep, top_k;
    float top_p, min_p, top_n_sigma, xtc_probability, xtc_threshold, typ_p;
    float temp, dynatemp_range, dynatemp_exponent;
    int32_t penalty_last_n;
    float penalty_repeat, penalty_freq, penalty_present;
    float dry_multiplier, dry_base;
    int32_t dry_allowed_length, dry_penalty_last_n;
    float adaptive_target, adaptive_decay;
    int32_t mirostat;
    float mirostat_tau, mirostat_eta;
    bool ignore_eos;
    const char *samplers;              /* "penalties;dry;..." or NULL */
    const char *sampler_seq;           /* short form "edskypmxt" or NULL */
    const char *grammar, *json_schema; /* at most one of them */
    const char **dry_breakers;         /* --dry-sequence-breaker */
    size_t n_dry_breakers;
    bool dry_breakers_given; /* false: the engine's usual ones */
    warm_config_bias *logit_bias;
    size_t n_logit_bias;
} warm_config_sampling;

/* --cache-disk-size: bytes, or percent of the space that is free on the disk or used by the cache already; both 0: not given. */
typedef struct warm_config_disk_size {
    uint64_t bytes;
    double percent;
} warm_config_disk_size;

typedef struct warm_config {
    /* model */
    const char *model;
    const char *alias;    /* the first of --alias, NULL = none */
    const char **aliases; /* all of them */
    size_t n_aliases;
    const char **tags;
    size_t n_tags;
    const char *chat_template;      /* source text (of the file too) or built-in name, NULL = the model's */
    const char *chat_template_file; /* where chat_template was read from, NULL if it was not */
    /* slots and cache */
    int n_parallel;        /* -1: as llama-server's default, 4 */
    int64_t cache_ram_mib; /* -1 no limit (with a reserve for the machine), 0 off */
    bool cache_prompt;
    bool context_shift;
    int n_keep, n_cache_reuse;
    double slice_ms; /* --cache-slice-ms */
    double prefill_slice_ms;
    const char *cache_policy; /* a name the cache knows: main looks it up */
    bool isolate_keys;        /* --cache-isolation key; then there are keys */
    const char *disk_dir;     /* NULL: no tier below host memory */
    warm_config_disk_size disk_size;
    uint64_t disk_write_bytes_a_day; /* 0: as many as come */
    bool disk_read_only, cache_strict;
    /* server */
    const char **hosts;
    size_t n_hosts;
    int port;
    bool reuse_port;
    const char *api_prefix;
    const char **api_keys; /* --api-key (comma list), --api-key-file */
    size_t n_api_keys;
    int timeout_s, threads_http, sse_ping_interval_s; /* threads_http < 1: as the machine has cores; ping < 1: none */
    const char *ssl_key_file, *ssl_cert_file;         /* both or none */
    const char *cors_origins, *cors_methods, *cors_headers;
    bool cors_credentials;
    bool metrics, slots, props;
    const char *slot_save_path; /* an existing directory, NULL = slots are not saved */
    bool spm_infill;
    int embd_normalize;
    int n_predict;
    const char **stop; /* -r: for requests that give no stop strings of their own */
    size_t n_stop;
    warm_config_sampling sampling;
    /* log */
    int verbosity; /* llama-server's: 1 error, 2 warning, 3 info, 4+ debug */
    bool log_json, log_prompts;
    const char *log_file;
    /* engine: as its own parser reads them; argv[0] is "warmslot"; -m is included */
    const char **engine_argv;
    size_t n_engine_argv;
    /* what was accepted without effect, one sentence each, to be logged */
    const char **warnings;
    size_t n_warnings;
    void *memory_; /* owns every string above */
} warm_config;

/* What is to be done: WARM_CONFIG_OK = serve, else print what was asked for (warm_config_text) and exit. */
enum warm_config_result {
    WARM_CONFIG_OK = 0,
    WARM_CONFIG_HELP,
    WARM_CONFIG_VERSION,
    WARM_CONFIG_COMPLETION,
    WARM_CONFIG_HELP_MD,
    WARM_CONFIG_HELP_MAN,
    WARM_CONFIG_DEVICES
};

/* argv[0] is skipped. Returns warm_config_result, or WARM_EINVAL (WARM_ENOMEM) with a sentence; *out needs no free then. env NULL =
 * environ. A model is not required here. Nothing of argv or env is referred to afterwards. */
WARM_MUST_USE int warm_config_parse(int argc, char **argv, char **env, warm_config *out, warm_err *err);
void warm_config_free(warm_config *c);
/* The text for WARM_CONFIG_HELP, _COMPLETION, _HELP_MD or _HELP_MAN, made from the table. Malloc'ed, NULL without memory. */
char *warm_config_text(int what, size_t *len);

#endif
