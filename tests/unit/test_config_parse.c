/* SPDX-License-Identifier: MIT
 *
 * From an environment and a command line to a configuration: what wins, what goes where, what is said when it is wrong. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "config/config.h"

#define ENV(...) ((char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define ARGS(...)                                                                                                                  \
    (sizeof((char *[]){"warmslot" __VA_OPT__(, ) __VA_ARGS__}) / sizeof(char *)),                                                  \
        ((char *[]){"warmslot" __VA_OPT__(, ) __VA_ARGS__, NULL})

static void parse(warm_config *c, char **env, size_t argc, char **argv) {
    warm_err err = {0};
    int rc = warm_config_parse((int)argc, argv, env, c, &err);
    if (rc != WARM_CONFIG_OK) fail_msg("%d: %s", rc, err.text);
}

static void refused(const char *message, char **env, size_t argc, char **argv) {
    warm_config c;
    warm_err err = {0};
    assert_int_equal(warm_config_parse((int)argc, argv, env, &c, &err), WARM_EINVAL);
    assert_string_equal(err.text, message);
}

/* engine_argv without its first word, joined by spaces. */
static void engine_is(const warm_config *c, const char *want) {
    char got[1024] = "";
    assert_string_equal(c->engine_argv[0], "warmslot");
    assert_null(c->engine_argv[c->n_engine_argv]);
    for (size_t i = 1; i < c->n_engine_argv; i++) {
        strncat(got, c->engine_argv[i], sizeof(got) - strlen(got) - 1);
        if (i + 1 < c->n_engine_argv) strncat(got, " ", sizeof(got) - strlen(got) - 1);
    }
    assert_string_equal(got, want);
}

static void warned(const warm_config *c, const char *want) {
    for (size_t i = 0; i < c->n_warnings; i++)
        if (strcmp(c->warnings[i], want) == 0) return;
    fail_msg("no warning '%s' (%zu warnings, the first '%s')", want, c->n_warnings, c->n_warnings ? c->warnings[0] : "");
}

static void defaults_are_llama_servers(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS());
    assert_int_equal(c.port, 8080);
    assert_int_equal(c.cache_ram_mib, 8192);
    assert_int_equal(c.n_parallel, -1);
    assert_int_equal(c.n_predict, -1);
    assert_int_equal(c.timeout_s, 3600);
    assert_int_equal(c.sse_ping_interval_s, 30);
    assert_true(c.cache_prompt && c.slots && !c.metrics && !c.props && !c.context_shift);
    assert_int_equal(c.n_keep + c.n_cache_reuse, 0);
    assert_int_equal(c.n_hosts, 1);
    assert_string_equal(c.hosts[0], "127.0.0.1");
    assert_true(c.sampling.seed == UINT32_MAX);
    assert_int_equal(c.sampling.top_k, 40);
    assert_float_equal(c.sampling.top_p, 0.95, 1e-6);
    assert_float_equal(c.sampling.temp, 0.8, 1e-6);
    assert_float_equal(c.slice_ms, 2, 0);
    assert_float_equal(c.prefill_slice_ms, 100, 0);
    assert_string_equal(c.cache_policy, "value");
    assert_null(c.model);
    assert_int_equal(c.n_warnings, 0);
    engine_is(&c, "");
    warm_config_free(&c);
}

static void what_needs_something_else_is_refused_without_it(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS("--cache-isolation", "key", "--api-key", "a,b"));
    assert_true(c.isolate_keys);
    warm_config_free(&c);
    parse(&c, ENV("WARMSLOT_CACHE_ISOLATION=key"), ARGS("--cache-isolation", "none"));
    assert_false(c.isolate_keys);
    warm_config_free(&c);
    refused("--ssl-key-file and --ssl-cert-file need each other", ENV(), ARGS("--ssl-cert-file", "c.pem"));
    refused("--ssl-key-file and --ssl-cert-file need each other", ENV("LLAMA_ARG_SSL_KEY_FILE=k.pem"), ARGS("-c", "1"));
    refused("--cache-isolation key: there are no keys, give --api-key or --api-key-file", ENV(), ARGS("--cache-isolation", "key"));
    refused("option '--cache-isolation': expected key or none, got 'all'", ENV(),
            ARGS("--cache-isolation", "all", "--api-key", "a"));
}

static void pages_tags_and_ports_are_as_they_were_given(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS("-c", "1"));
    assert_string_equal(c.cors_origins, "*");
    assert_true(c.cors_credentials);
    assert_false(c.reuse_port);
    warm_config_free(&c);
    parse(&c, ENV("LLAMA_ARG_CORS_METHODS=GET", "LLAMA_ARG_NO_CORS_CREDENTIALS=1"),
          ARGS("--tags", "small, fast", "--cors-origins", "https://a", "--cors-headers", "X-A", "--reuse-port"));
    assert_string_equal(c.cors_origins, "https://a");
    assert_string_equal(c.cors_methods, "GET");
    assert_string_equal(c.cors_headers, "X-A");
    assert_false(c.cors_credentials);
    assert_true(c.reuse_port);
    assert_int_equal(c.n_tags, 2);
    assert_string_equal(c.tags[1], "fast");
    assert_int_equal(c.n_warnings, 0);
    warm_config_free(&c);
}

static void our_options_fill_the_configuration(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(),
          ARGS("-np", "2", "-cram", "256", "--no-cache-prompt", "--cache-slice-ms", "0.5", "--prefill-slice-ms", "30",
               "--cache-policy", "lru", "--port", "0", "--api-prefix", "/x", "--metrics", "--no-slots", "-n", "17", "--temp", "-1",
               "--top-k", "0", "--samplers", "top_k;temperature", "-s", "7", "--mirostat", "2", "--log-jsonl", "--log-prompts",
               "--ignore-eos", "--grammar", "root ::= \"x\"", "-v", "--context-shift", "--keep", "-1", "--cache-reuse", "256"));
    assert_int_equal(c.n_parallel, 2);
    assert_int_equal(c.cache_ram_mib, 256);
    assert_false(c.cache_prompt);
    assert_true(c.context_shift);
    assert_int_equal(c.n_keep, -1);
    assert_int_equal(c.n_cache_reuse, 256);
    assert_float_equal(c.slice_ms, 0.5, 0);
    assert_float_equal(c.prefill_slice_ms, 30, 0);
    assert_string_equal(c.cache_policy, "lru");
    assert_int_equal(c.port, 0);
    assert_string_equal(c.api_prefix, "/x");
    assert_true(c.metrics);
    assert_false(c.slots);
    assert_int_equal(c.n_predict, 17);
    assert_float_equal(c.sampling.temp, 0, 0); /* as llama-server: below 0 means 0 */
    assert_int_equal(c.sampling.top_k, 0);
    assert_string_equal(c.sampling.samplers, "top_k;temperature");
    assert_int_equal(c.sampling.seed, 7);
    assert_int_equal(c.sampling.mirostat, 2);
    assert_true(c.log_json && c.log_prompts && c.sampling.ignore_eos);
    assert_string_equal(c.sampling.grammar, "root ::= \"x\"");
    assert_int_equal(c.verbosity, INT_MAX);
    engine_is(&c, "");
    warm_config_free(&c);
}

static void engine_options_are_handed_on_in_order(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(),
          ARGS("-ngl", "all", "-m", "model.gguf", "--port", "1234", "--override_kv", "a_b=bool:true",
               "--control-vector-layer-range", "3", "9", "-nkvo", "--no-warmup", "-c", "4096", "-c", "8192"));
    engine_is(
        &c,
        "-ngl all -m model.gguf --override-kv a_b=bool:true --control-vector-layer-range 3 9 -nkvo --no-warmup -c 4096 -c 8192");
    assert_string_equal(c.model, "model.gguf");
    assert_int_equal(c.port, 1234);
    warm_config_free(&c);
}

static void the_command_line_wins_over_the_environment(void **state) {
    (void)state;
    warm_config c;
    char **env = ENV("LLAMA_ARG_PORT=1111", "LLAMA_ARG_CACHE_RAM=64", "LLAMA_ARG_CTX_SIZE=100", "LLAMA_ARG_BATCH=7",
                     "LLAMA_ARG_OVERRIDE_TENSOR=a=CPU", "LLAMA_ARG_MODEL=env.gguf", "PATH=/bin");
    parse(&c, env, ARGS("--port", "2222", "--ctx-size", "200", "-ot", "b=CPU"));
    assert_int_equal(c.port, 2222);
    assert_int_equal(c.cache_ram_mib, 64);
    /* What the command line says too is left out of what the environment adds, -ot is not added up. */
    engine_is(&c, "--model env.gguf --batch-size 7 --ctx-size 200 -ot b=CPU");
    assert_string_equal(c.model, "env.gguf");
    warm_config_free(&c);
}

static void variables_switch_as_llama_servers_do(void **state) {
    (void)state;
    warm_config c;
    parse(&c,
          ENV("LLAMA_ARG_ENDPOINT_METRICS=on", "LLAMA_ARG_ENDPOINT_SLOTS=0", "LLAMA_ARG_NO_CACHE_PROMPT=1",
              "LLAMA_ARG_CACHE_PROMPT=1", "LLAMA_ARG_KV_OFFLOAD=disabled", "LLAMA_ARG_NO_REPACK=", "LLAMA_ARG_CPU_MOE=true",
              "LLAMA_ARG_SWA_FULL=false", "LLAMA_ARG_PERF=enabled", "WARMSLOT_LOG_PROMPTS=true", "LLAMA_ARG_N_PARALLEL="),
          ARGS());
    assert_true(c.metrics && c.log_prompts);
    assert_false(c.slots);
    assert_false(c.cache_prompt); /* LLAMA_ARG_NO_ is the stronger one */
    assert_int_equal(c.n_parallel, -1);
    engine_is(&c, "--cpu-moe --no-kv-offload --no-repack --perf");
    assert_int_equal(c.n_warnings, 0);
    warm_config_free(&c);
}

static void odd_variables_are_named(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV("LLAMA_ARG_ENDPOINT_METRICS=yes", "LLAMA_ARG_CTXSIZE=5"), ARGS());
    assert_false(c.metrics);
    warned(&c, "environment variable LLAMA_ARG_ENDPOINT_METRICS has no effect: expected on or off, got 'yes'");
    warned(&c, "environment variable LLAMA_ARG_CTXSIZE is not known; did you mean LLAMA_ARG_CTX_SIZE?");
    assert_int_equal(c.n_warnings, 2);
    warm_config_free(&c);
    refused("environment variable LLAMA_ARG_PORT: expected a whole number from 0 to 65535, got 'x'", ENV("LLAMA_ARG_PORT=x"),
            ARGS());
    refused("environment variable LLAMA_ARG_ENDPOINT_SLOTS: expected on or off, got 'maybe'", ENV("LLAMA_ARG_ENDPOINT_SLOTS=maybe"),
            ARGS());
}

static void ignored_options_warn_once_and_say_why(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV("LLAMA_ARG_MODELS_DIR=models", "HF_TOKEN=secret"),
          ARGS("-sps", "0.5", "-sps", "0.2", "--no-log-prefix", "--mmproj", "x"));
    warned(&c,
           "option '-sps' has no effect: a request gets the slot and the saved prompt that leave least to compute, however little "
           "they share");
    warned(&c, "option '--no-log-prefix' has no effect: every line shows its level and module");
    warned(&c, "option '--mmproj' has no effect: images, audio and video are not available yet");
    warned(&c, "environment variable LLAMA_ARG_MODELS_DIR has no effect: one process serves one model");
    assert_int_equal(c.n_warnings, 4);
    engine_is(&c, "");
    warm_config_free(&c);
}

static void what_happens_anyway_needs_no_warning(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS("-kvu", "-cb", "--log-colors", "off", "--no-webui", "--offline", "--log-timestamps"));
    assert_int_equal(c.n_warnings, 0);
    warm_config_free(&c);
}

static void refused_options_say_what_to_do(void **state) {
    (void)state;
    refused("option '-hf': models by name are not supported yet; give -m FILE", ENV(), ARGS("-hf", "org/model"));
    refused("environment variable LLAMA_ARG_MODEL_URL: models by name are not supported yet; give -m FILE",
            ENV("LLAMA_ARG_MODEL_URL=http://x"), ARGS());
    refused("option '--draft-max': llama-server has removed it; it is called --spec-draft-n-max now", ENV(),
            ARGS("--draft-max", "4"));
}

static void unknown_options_get_the_nearest_name(void **state) {
    (void)state;
    refused("unknown option '--cahce-ram'; did you mean '--cache-ram'?", ENV(), ARGS("--cahce-ram", "1"));
    refused("unknown option '--threds'; did you mean '--threads'?", ENV(), ARGS("--threds=4"));
    refused("unknown option '--no-wormup'; did you mean '--no-warmup'?", ENV(), ARGS("--no_wormup"));
    refused("unknown option '-nlg'; did you mean '-ngl'?", ENV(), ARGS("-nlg", "99"));
    refused("unexpected 'model.gguf': options begin with -", ENV(), ARGS("model.gguf"));
}

static void wrong_values_name_option_and_expectation(void **state) {
    (void)state;
    refused("option '--port': expected a whole number from 0 to 65535, got '65536'", ENV(), ARGS("--port", "65536"));
    refused("option '-cram': expected a whole number of at least -1, got '8GB'", ENV(), ARGS("-cram", "8GB"));
    refused("option '-c': expected a whole number, got '4k'", ENV(), ARGS("-c", "4k"));
    refused("option '--rope-scale': expected a number, got 'two'", ENV(), ARGS("--rope-scale", "two"));
    refused("option '--top-p': expected a number, got 'nan'", ENV(), ARGS("--top-p", "nan"));
    refused("option '--top-k': expected a whole number, got '9999999999'", ENV(), ARGS("--top-k", "9999999999"));
    refused("option '-np': expected -1 or a whole number of at least 1, got '0'", ENV(), ARGS("-np", "0"));
    refused("option '--mirostat': expected a whole number from 0 to 2, got '3'", ENV(), ARGS("--mirostat", "3"));
    refused("option '--repeat-penalty': expected a number above 0, got '0'", ENV(), ARGS("--repeat-penalty", "0"));
    refused("option '--seed': expected a whole number from -1 to 4294967295, got '4294967296'", ENV(),
            ARGS("--seed", "4294967296"));
    refused("option '-l': expected a token's number, + or -, and a number (15043+1), got 'the+1'", ENV(), ARGS("-l", "the+1"));
    refused("option '--host': expected at least one address, got ' ,'", ENV(), ARGS("--host", " ,"));
    refused("option '--port' needs a value: N", ENV(), ARGS("--port"));
    refused("option '--control-vector-layer-range' needs two values: FIRST LAST", ENV(), ARGS("--control-vector-layer-range", "1"));
    refused("option '--metrics' takes no value", ENV(), ARGS("--metrics=1"));
}

static void values_may_be_joined_and_underscores_are_dashes(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS("--port=99", "--cache_ram=5", "--api_prefix=/a_b=c", "--ctx_size=512", "-r", "--metrics"));
    assert_int_equal(c.port, 99);
    assert_int_equal(c.cache_ram_mib, 5);
    assert_string_equal(c.api_prefix, "/a_b=c");
    assert_string_equal(c.stop[0], "--metrics"); /* a value may look like an option */
    assert_false(c.metrics);
    engine_is(&c, "--ctx-size 512");
    warm_config_free(&c);
}

static void lists_replace_or_add_up(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV("LLAMA_ARG_HOST=10.0.0.1", "LLAMA_API_KEY=k0", "LLAMA_ARG_ALIAS=old"),
          ARGS("--host", "127.0.0.1, ::1,/run/w.sock", "--api-key", "k1,\"k,2\",", "-a", " big , small", "-r", "END", "-r", "STOP",
               "-l", "5+1.5", "-l", "6-inf"));
    assert_int_equal(c.n_hosts, 3);
    assert_string_equal(c.hosts[1], "::1");
    assert_string_equal(c.hosts[2], "/run/w.sock");
    assert_int_equal(c.n_api_keys, 3); /* as llama-server: keys of all sources count */
    assert_string_equal(c.api_keys[0], "k0");
    assert_string_equal(c.api_keys[2], "k,2");
    assert_int_equal(c.n_aliases, 2);
    assert_string_equal(c.alias, "big");
    assert_string_equal(c.aliases[1], "small");
    assert_int_equal(c.n_stop, 2);
    assert_int_equal(c.sampling.n_logit_bias, 2);
    assert_int_equal(c.sampling.logit_bias[0].token, 5);
    assert_float_equal(c.sampling.logit_bias[0].bias, 1.5, 0);
    assert_true(isinf(c.sampling.logit_bias[1].bias) && c.sampling.logit_bias[1].bias < 0);
    warm_config_free(&c);
}

static void dry_breakers_are_unescaped_unless_told_not_to(void **state) {
    (void)state;
    warm_config c;
    parse(&c, ENV(), ARGS("--dry-sequence-breaker", "a\\n\\q\\\\"));
    assert_true(c.sampling.dry_breakers_given);
    assert_string_equal(c.sampling.dry_breakers[0], "a\n\\q\\");
    warm_config_free(&c);
    parse(&c, ENV(), ARGS("--dry-sequence-breaker", "a\\n", "--no-escape"));
    assert_string_equal(c.sampling.dry_breakers[0], "a\\n");
    warm_config_free(&c);
    parse(&c, ENV(), ARGS("--dry-sequence-breaker", "x", "--dry-sequence-breaker", "none"));
    assert_true(c.sampling.dry_breakers_given);
    assert_int_equal(c.sampling.n_dry_breakers, 0);
    warm_config_free(&c);
}

static void load_mode_of(const char *want, size_t argc, char **argv, char **env) {
    warm_config c;
    parse(&c, env, argc, argv);
    engine_is(&c, want);
    warm_config_free(&c);
}

static void older_names_become_a_load_mode(void **state) {
    (void)state;
    load_mode_of("--load-mode none", ARGS("--no-mmap"), ENV());
    load_mode_of("--load-mode mmap", ARGS("--mmap"), ENV());
    load_mode_of("--load-mode mmap+mlock", ARGS("--mlock"), ENV());
    load_mode_of("--load-mode mlock", ARGS("--mlock", "--no-mmap"), ENV());
    load_mode_of("--load-mode dio", ARGS("-dio"), ENV("LLAMA_ARG_MMAP=1"));
    load_mode_of("-lm none", ARGS("--mlock", "-lm", "none"), ENV());
    load_mode_of("-lm none --load-mode mmap", ARGS("-lm", "none", "--mmap"), ENV());
    load_mode_of("--load-mode none", ARGS(), ENV("LLAMA_ARG_NO_MMAP=1"));
}

/* ---- files ---- */

static char path[] = "/tmp/test_config_XXXXXX";

static void write_file(const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void files_are_read(void **state) {
    (void)state;
    warm_config c;
    write_file("# keys\nalpha\r\n\n  beta\n");
    parse(&c, ENV(), ARGS("--api-key-file", path));
    assert_int_equal(c.n_api_keys, 2);
    assert_string_equal(c.api_keys[0], "alpha");
    assert_string_equal(c.api_keys[1], "  beta");
    warm_config_free(&c);

    write_file("{{ messages }}\n");
    parse(&c, ENV(), ARGS("--chat-template", "chatml", "--chat-template-file", path));
    assert_string_equal(c.chat_template, "{{ messages }}\n");
    assert_string_equal(c.chat_template_file, path);
    warm_config_free(&c);
    parse(&c, ENV(), ARGS("--chat-template-file", path, "--chat-template", "chatml"));
    assert_string_equal(c.chat_template, "chatml");
    assert_null(c.chat_template_file);
    warm_config_free(&c);

    write_file("{\"type\":\"object\"}");
    parse(&c, ENV(), ARGS("--grammar", "root ::= x", "-jf", path));
    assert_string_equal(c.sampling.json_schema, "{\"type\":\"object\"}");
    assert_null(c.sampling.grammar);
    warm_config_free(&c);
    parse(&c, ENV(), ARGS("-jf", path, "--grammar-file", path));
    assert_string_equal(c.sampling.grammar, "{\"type\":\"object\"}");
    assert_null(c.sampling.json_schema);
    warm_config_free(&c);

    refused("option '--grammar-file': can't read '/nonexistent/x': No such file or directory", ENV(),
            ARGS("--grammar-file", "/nonexistent/x"));
    refused("option '--api-key-file': can't read '/': Is a directory", ENV(), ARGS("--api-key-file", "/"));
}

static int make_path(void **state) {
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

/* ---- the rest ---- */

static void actions_end_the_command(void **state) {
    (void)state;
    static const struct {
        char *arg;
        int action;
    } cases[] = {{"-h", WARM_CONFIG_HELP},
                 {"--help", WARM_CONFIG_HELP},
                 {"--version", WARM_CONFIG_VERSION},
                 {"--completion-bash", WARM_CONFIG_COMPLETION},
                 {"--help-md", WARM_CONFIG_HELP_MD},
                 {"--list-devices", WARM_CONFIG_DEVICES},
                 {"--help-man", WARM_CONFIG_HELP_MAN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        warm_config c;
        warm_err err = {0};
        /* Also where the environment or what follows is wrong. */
        char **env = ENV("LLAMA_ARG_PORT=x");
        assert_int_equal(warm_config_parse(ARGS("--port", "1", cases[i].arg, "--nonsense"), env, &c, &err), cases[i].action);
        warm_config_free(&c);
    }
}

static void nothing_of_argv_is_kept(void **state) {
    (void)state;
    warm_config c;
    char model[] = "a.gguf", key[] = "k";
    parse(&c, ENV(), ARGS("-m", model, "--api-key", key));
    memset(model, 'X', sizeof(model) - 1);
    memset(key, 'X', sizeof(key) - 1);
    assert_string_equal(c.model, "a.gguf");
    assert_string_equal(c.engine_argv[2], "a.gguf");
    assert_string_equal(c.api_keys[0], "k");
    warm_config_free(&c);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    char **env = ENV("LLAMA_ARG_CTX_SIZE=1", "LLAMA_ARG_POOLING=x");
    write_file("root ::= x\n");
    bool done = false;
    uint64_t n = 1;
    for (; !done; n++) {
        warm_config c;
        warm_err err = {0};
        warm_alloc_fail_at(n);
        int rc = warm_config_parse(ARGS("-m", "a", "--host", "b,c", "-l", "1+1", "--grammar-file", path, "--api-key-file", path,
                                        "--mlock", "--mmproj", "q", "-r", "x", "--dry-sequence-breaker", "y"),
                                   env, &c, &err);
        warm_alloc_fail_at(0);
        done = rc == WARM_CONFIG_OK;
        if (done)
            warm_config_free(&c);
        else if (rc != WARM_ENOMEM || !*err.text)
            fail_msg("allocation %llu: %d '%s'", (unsigned long long)n, rc, err.text);
    }
    assert_true(n > 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_llama_servers),
        cmocka_unit_test(our_options_fill_the_configuration),
        cmocka_unit_test(what_needs_something_else_is_refused_without_it),
        cmocka_unit_test(pages_tags_and_ports_are_as_they_were_given),
        cmocka_unit_test(engine_options_are_handed_on_in_order),
        cmocka_unit_test(the_command_line_wins_over_the_environment),
        cmocka_unit_test(variables_switch_as_llama_servers_do),
        cmocka_unit_test(odd_variables_are_named),
        cmocka_unit_test(ignored_options_warn_once_and_say_why),
        cmocka_unit_test(what_happens_anyway_needs_no_warning),
        cmocka_unit_test(refused_options_say_what_to_do),
        cmocka_unit_test(unknown_options_get_the_nearest_name),
        cmocka_unit_test(wrong_values_name_option_and_expectation),
        cmocka_unit_test(values_may_be_joined_and_underscores_are_dashes),
        cmocka_unit_test(lists_replace_or_add_up),
        cmocka_unit_test(dry_breakers_are_unescaped_unless_told_not_to),
        cmocka_unit_test(older_names_become_a_load_mode),
        cmocka_unit_test(files_are_read),
        cmocka_unit_test(actions_end_the_command),
        cmocka_unit_test(nothing_of_argv_is_kept),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
