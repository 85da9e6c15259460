/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_params.c - fields of a completion request: defaults, kinds, limits, aliases, and what is refused. */
#include "api_fixture.h"

#include <math.h>

static int parse(enum warm_api_kind kind, const char *text, warm_params *p, warm_err *err) {
    defaults_fixture f;
    defaults_open(&f, kind, NULL);
    int rc = warm_params_parse(&f.scope, json_of(text), p, err);
    /* What p borrows from the defaults is static text of the configuration only where a test gives options. */
    defaults_close(&f);
    return rc;
}

static warm_params params_of(enum warm_api_kind kind, const char *text) {
    warm_params p;
    warm_err err = {0};
    if (parse(kind, text, &p, &err)) fail_msg("%s: %s", text, err.text);
    return p;
}

static void assert_error(enum warm_api_kind kind, const char *text, int code, const char *field) {
    warm_params p;
    warm_err err = {0};
    int rc = parse(kind, text, &p, &err);
    if (rc != code) fail_msg("%s: %d, %s", text, rc, err.text);
    char quoted[80];
    snprintf(quoted, sizeof quoted, "'%s'", field);
    if (!strstr(err.text, quoted)) fail_msg("%s does not name %s", err.text, field);
    assert_null(p.root);
}

static void an_empty_body_gives_the_defaults_of_llama_server(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{}");
    assert_false(p.stream);
    assert_true(p.cache_prompt);
    assert_int_equal(p.n_predict, -1);
    assert_int_equal(p.n_cmpl, 1);
    assert_int_equal(p.id_slot, -1);
    assert_int_equal(p.sse_ping_interval, 30);
    assert_int_equal(p.sampling.top_k, 40);
    assert_float_equal(p.sampling.top_p, 0.95f, 0);
    assert_float_equal(p.sampling.min_p, 0.05f, 0);
    assert_float_equal(p.sampling.temp, 0.8f, 0);
    assert_int_equal(p.sampling.penalty_last_n, 64);
    assert_true(p.sampling.seed == UINT32_MAX);
    assert_int_equal(p.sampling.n_samplers, -1);
    assert_int_equal(p.sampling.n_dry_breakers, -1);
    assert_int_equal(p.n_stop, 0);
    warm_params_deinit(&p);
}

/* Every plain field with a value that is not its default, and where that value must arrive. */
static void every_plain_field_arrives(void **state) {
    (void)state;
    warm_params p = params_of(
        WARM_API_NATIVE,
        "{\"verbose\":true,\"timings_per_token\":true,\"stream\":true,\"cache_prompt\":false,\"return_tokens\":true,"
        "\"return_progress\":true,\"sse_ping_interval\":7,\"n_predict\":11,\"n_indent\":2,\"n_keep\":3,\"n_discard\":4,\"n_cmpl\":"
        "2,"
        "\"n_cache_reuse\":5,\"t_max_predict_ms\":6000000000,\"top_k\":8,\"top_p\":0.25,\"min_p\":0.5,\"top_n_sigma\":1.5,"
        "\"xtc_probability\":0.125,\"xtc_threshold\":0.75,\"typical_p\":0.375,\"temperature\":2,\"dynatemp_range\":0.625,"
        "\"dynatemp_exponent\":3,\"repeat_last_n\":9,\"repeat_penalty\":1.25,\"frequency_penalty\":-0.5,\"presence_penalty\":0.875,"
        "\"dry_multiplier\":4,\"dry_base\":5,\"dry_allowed_length\":10,\"dry_penalty_last_n\":12,\"mirostat\":2,\"mirostat_tau\":6,"
        "\"mirostat_eta\":7,\"adaptive_target\":0.0625,\"adaptive_decay\":0.5,\"n_probs\":13,\"min_keep\":14,"
        "\"post_sampling_probs\":true,\"ignore_eos\":true,\"seed\":15,\"id_slot\":3,\"stream_options\":{\"include_usage\":true},"
        "\"cache_salt\":\"team\"}");
    assert_true(p.verbose && p.timings_per_token && p.stream && !p.cache_prompt && p.return_tokens && p.return_progress);
    assert_int_equal(p.sse_ping_interval, 7);
    assert_int_equal(p.n_predict, 11);
    assert_int_equal(p.n_indent, 2);
    assert_int_equal(p.n_keep, 3);
    assert_int_equal(p.n_discard, 4);
    assert_int_equal(p.n_cmpl, 2);
    assert_int_equal(p.n_cache_reuse, 5);
    assert_true(p.t_max_predict_ms == 6000000000);
    const warm_sampling *s = &p.sampling;
    assert_int_equal(s->top_k, 8);
    const float floats[] = {
        s->top_p,          s->min_p,          s->top_n_sigma,       s->xtc_probability, s->xtc_threshold,   s->typ_p,
        s->temp,           s->dynatemp_range, s->dynatemp_exponent, s->penalty_repeat,  s->penalty_freq,    s->penalty_present,
        s->dry_multiplier, s->dry_base,       s->mirostat_tau,      s->mirostat_eta,    s->adaptive_target, s->adaptive_decay};
    const float wanted[] = {0.25f, 0.5f,  1.5f,   0.125f, 0.75f, 0.375f, 2, 0.625f,  3,
                            1.25f, -0.5f, 0.875f, 4,      5,     6,      7, 0.0625f, 0.5f};
    assert_memory_equal(floats, wanted, sizeof wanted);
    assert_int_equal(s->penalty_last_n, 9);
    assert_int_equal(s->dry_allowed_length, 10);
    assert_int_equal(s->dry_penalty_last_n, 12);
    assert_int_equal(s->mirostat, 2);
    assert_int_equal(s->n_probs, 13);
    assert_int_equal(s->min_keep, 14);
    assert_true(s->post_sampling_probs && s->ignore_eos && s->seed == 15);
    assert_int_equal(p.id_slot, 3);
    assert_true(p.include_usage);
    assert_string_equal(p.salt, "team");
    warm_params_deinit(&p);
}

static void a_wrong_type_names_its_field(void **state) {
    (void)state;
    static const char *const numbers[] = {"sse_ping_interval",
                                          "n_predict",
                                          "max_completion_tokens",
                                          "max_tokens",
                                          "n_indent",
                                          "n_keep",
                                          "n_discard",
                                          "n_cmpl",
                                          "n",
                                          "n_cache_reuse",
                                          "t_max_predict_ms",
                                          "top_k",
                                          "top_p",
                                          "min_p",
                                          "top_n_sigma",
                                          "xtc_probability",
                                          "xtc_threshold",
                                          "typical_p",
                                          "temperature",
                                          "dynatemp_range",
                                          "dynatemp_exponent",
                                          "repeat_last_n",
                                          "repeat_penalty",
                                          "frequency_penalty",
                                          "presence_penalty",
                                          "dry_multiplier",
                                          "dry_base",
                                          "dry_allowed_length",
                                          "dry_penalty_last_n",
                                          "mirostat",
                                          "mirostat_tau",
                                          "mirostat_eta",
                                          "adaptive_target",
                                          "adaptive_decay",
                                          "n_probs",
                                          "logprobs",
                                          "min_keep",
                                          "seed",
                                          "id_slot"};
    static const char *const booleans[] = {"verbose",         "timings_per_token",   "stream",     "cache_prompt", "return_tokens",
                                           "return_progress", "post_sampling_probs", "ignore_eos", "echo",         "grammar_lazy"};
    static const char *const others[] = {
        "stop",    "samplers", "logit_bias",    "cache_salt", "response_fields", "dry_sequence_breakers",
        "grammar", "lora",     "stream_options"};
    static const char *const wrong_number[] = {"\"1\"", "true", "[1]", "{}"};
    static const char *const wrong_boolean[] = {"1", "\"true\"", "[]"};
    char text[128];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t k = 0; k < 4; k++) {
            snprintf(text, sizeof text, "{\"%s\":%s}", numbers[i], wrong_number[k]);
            assert_error(WARM_API_NATIVE, text, WARM_EINVAL, numbers[i]);
        }
    for (size_t i = 0; i < sizeof booleans / sizeof *booleans; i++)
        for (size_t k = 0; k < 3; k++) {
            snprintf(text, sizeof text, "{\"%s\":%s}", booleans[i], wrong_boolean[k]);
            assert_error(WARM_API_NATIVE, text, WARM_EINVAL, booleans[i]);
        }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(text, sizeof text, "{\"%s\":1.5}", others[i]);
        assert_error(WARM_API_NATIVE, text, WARM_EINVAL, others[i]);
    }
}

static void null_is_absent_and_unknown_fields_do_not_matter(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"n_predict\":null,\"stop\":null,\"stream\":null,\"lora\":null,\"seed\":null,"
                                               "\"logit_bias\":null,\"grammar\":null,\"json_schema\":null,\"frobnicate\":[{}]}");
    assert_int_equal(p.n_predict, -1);
    assert_false(p.stream);
    warm_params_deinit(&p);
}

static void an_alias_counts_only_without_the_name(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_TEXT, "{\"max_tokens\":1,\"max_completion_tokens\":2,\"n\":2,\"logprobs\":5}");
    assert_int_equal(p.n_predict, 2);
    assert_int_equal(p.n_cmpl, 2);
    assert_int_equal(p.sampling.n_probs, 5);
    warm_params_deinit(&p);
    p = params_of(WARM_API_TEXT, "{\"max_tokens\":1,\"n_predict\":3,\"n_probs\":null,\"logprobs\":4}");
    assert_int_equal(p.n_predict, 3);
    assert_int_equal(p.sampling.n_probs, 4);
    warm_params_deinit(&p);
}

static void hard_limits_refuse_and_soft_ones_move(void **state) {
    (void)state;
    assert_error(WARM_API_NATIVE, "{\"n_predict\":-2}", WARM_EINVAL, "n_predict");
    assert_error(WARM_API_NATIVE, "{\"max_tokens\":4294967296}", WARM_EINVAL, "max_tokens");
    assert_error(WARM_API_NATIVE, "{\"max_tokens\":18446744073709551615}", WARM_EINVAL, "max_tokens");
    assert_error(WARM_API_NATIVE, "{\"n_predict\":1.5}", WARM_EINVAL, "n_predict");
    assert_error(WARM_API_NATIVE, "{\"n\":5}", WARM_EINVAL, "n");
    assert_error(WARM_API_NATIVE, "{\"n_cmpl\":0}", WARM_EINVAL, "n_cmpl");
    assert_error(WARM_API_NATIVE, "{\"id_slot\":4}", WARM_EINVAL, "id_slot");
    assert_error(WARM_API_NATIVE, "{\"id_slot\":-2}", WARM_EINVAL, "id_slot");
    assert_error(WARM_API_NATIVE, "{\"adaptive_decay\":1}", WARM_EINVAL, "adaptive_decay");
    assert_error(WARM_API_NATIVE, "{\"t_max_predict_ms\":-2}", WARM_EINVAL, "t_max_predict_ms");
    assert_error(WARM_API_NATIVE, "{\"temperature\":1e300}", WARM_EINVAL, "temperature");
    warm_params p = params_of(WARM_API_NATIVE, "{\"top_p\":7,\"min_p\":-1,\"temperature\":-3,\"top_k\":-1,\"mirostat\":9,"
                                               "\"n_probs\":100000,\"dry_base\":0.5}");
    assert_float_equal(p.sampling.top_p, 1, 0);
    assert_float_equal(p.sampling.min_p, 0, 0);
    assert_float_equal(p.sampling.temp, 0, 0);
    assert_int_equal(p.sampling.top_k, 0);
    assert_int_equal(p.sampling.mirostat, 2);
    assert_int_equal(p.sampling.n_probs, TEXT_VOCAB);
    assert_float_equal(p.sampling.dry_base, 1.75f, 0);
    warm_params_deinit(&p);
}

static void a_seed_keeps_its_lower_half(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint32_t seed;
    } cases[] = {{"{\"seed\":-1}", UINT32_MAX},
                 {"{\"seed\":4294967298}", 2},
                 {"{\"seed\":18446744073709551615}", UINT32_MAX},
                 {"{\"seed\":5.0}", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_params p = params_of(WARM_API_NATIVE, cases[i].text);
        assert_true(p.sampling.seed == cases[i].seed);
        warm_params_deinit(&p);
    }
}

static void stop_is_a_string_or_a_list_of_some(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"stop\":\"END\"}");
    assert_int_equal(p.n_stop, 1);
    assert_string_equal(p.stop[0], "END");
    warm_params_deinit(&p);
    p = params_of(WARM_API_NATIVE, "{\"stop\":[\"a\",\"b\"]}");
    assert_int_equal(p.n_stop, 2);
    assert_string_equal(p.stop[1], "b");
    warm_params_deinit(&p);
    assert_error(WARM_API_NATIVE, "{\"stop\":\"\"}", WARM_EINVAL, "stop");
    assert_error(WARM_API_NATIVE, "{\"stop\":[\"a\",\"\"]}", WARM_EINVAL, "stop");
    assert_error(WARM_API_NATIVE, "{\"stop\":[\"a\",1]}", WARM_EINVAL, "stop");
    assert_error(WARM_API_NATIVE, "{\"stop\":[\"a\",null]}", WARM_EINVAL, "stop");
    assert_error(WARM_API_NATIVE, "{\"stop\":\"a\\u0000\"}", WARM_EINVAL, "stop");
}

static void the_servers_own_options_are_the_defaults(void **state) {
    (void)state;
    char *args[] = {"--temp", "0.5", "-r", "USER:", "--samplers", "top_k;temperature", "-n", "77", NULL};
    defaults_fixture f;
    defaults_open(&f, WARM_API_NATIVE, args);
    warm_params p;
    warm_err err = {0};
    assert_int_equal(warm_params_parse(&f.scope, json_of("{\"stop\":[]}"), &p, &err), 0);
    assert_float_equal(p.sampling.temp, 0.5f, 0);
    assert_int_equal(p.n_predict, 77);
    assert_int_equal(p.n_stop, 1);
    assert_string_equal(p.stop[0], "USER:");
    assert_int_equal(p.sampling.n_samplers, 2);
    assert_string_equal(p.sampling.samplers[1], "temperature");
    warm_params_deinit(&p);
    defaults_close(&f);
}

static void samplers_are_names_or_letters(void **state) {
    (void)state;
    warm_params p =
        params_of(WARM_API_NATIVE, "{\"samplers\":[\"Top-K\",\"minp\",\"tfs_z\",\"nucleus\",\"temp\",\"typ_p\",\"top__k\"]}");
    static const char *const names[] = {"top_k", "min_p", "top_p", "temperature", "typ_p"};
    assert_int_equal(p.sampling.n_samplers, 5);
    for (size_t i = 0; i < 5; i++) assert_string_equal(p.sampling.samplers[i], names[i]);
    warm_params_deinit(&p);
    p = params_of(WARM_API_NATIVE, "{\"samplers\":\"k?t\"}");
    assert_int_equal(p.sampling.n_samplers, 2);
    assert_string_equal(p.sampling.samplers[0], "top_k");
    assert_string_equal(p.sampling.samplers[1], "temperature");
    warm_params_deinit(&p);
    assert_error(WARM_API_NATIVE, "{\"samplers\":\"kkkkkkkkkkkkkkkkk\"}", WARM_EINVAL, "samplers");
    assert_error(WARM_API_NATIVE, "{\"samplers\":[1]}", WARM_EINVAL, "samplers");
}

static void logit_bias_has_three_forms(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"logit_bias\":[[5,1.5],[\"ab\",false],[6.0,-2]]}");
    assert_int_equal(p.sampling.n_logit_bias, 4);
    assert_int_equal(p.sampling.logit_bias[0].token, 5);
    assert_float_equal(p.sampling.logit_bias[0].bias, 1.5f, 0);
    assert_int_equal(p.sampling.logit_bias[1].token, 'a' + 1);
    assert_int_equal(p.sampling.logit_bias[2].token, 'b' + 1);
    assert_true(isinf(p.sampling.logit_bias[2].bias) && p.sampling.logit_bias[2].bias < 0);
    assert_int_equal(p.sampling.logit_bias[3].token, 6);
    warm_params_deinit(&p);
    p = params_of(WARM_API_NATIVE, "{\"logit_bias\":{\"7\":-1,\"c\":2,\"8x\":0}}");
    assert_int_equal(p.sampling.n_logit_bias, 4);
    assert_int_equal(p.sampling.logit_bias[0].token, 7);
    assert_int_equal(p.sampling.logit_bias[1].token, 'c' + 1);
    assert_int_equal(p.sampling.logit_bias[2].token, '8' + 1);
    warm_params_deinit(&p);
    static const char *const bad[] = {"[[5]]",    "[5,1]",       "[[5,true]]",   "[[5,\"1\"]]", "[[-1,1]]", "[[300,1]]",
                                      "[[[],1]]", "{\"300\":1}", "{\"5\":true}", "{\"-1\":1}",  "\"5\""};
    char text[64];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "{\"logit_bias\":%s}", bad[i]);
        assert_error(WARM_API_NATIVE, text, WARM_EINVAL, "logit_bias");
    }
}

static void breakers_are_counted(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"dry_sequence_breakers\":[\"\\n\",\"\"]}");
    assert_int_equal(p.sampling.n_dry_breakers, 2);
    assert_string_equal(p.sampling.dry_breakers[0], "\n");
    warm_params_deinit(&p);
    assert_error(WARM_API_NATIVE, "{\"dry_sequence_breakers\":[]}", WARM_EINVAL, "dry_sequence_breakers");
    assert_error(WARM_API_NATIVE, "{\"dry_sequence_breakers\":\"x\"}", WARM_EINVAL, "dry_sequence_breakers");
}

static void grammar_and_schema(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"json_schema\":{\"type\":\"object\",\"b\":1,\"a\":0.10}}");
    assert_string_equal(p.sampling.json_schema, "{\"type\":\"object\",\"b\":1,\"a\":0.10}");
    assert_null(p.sampling.grammar);
    warm_params_deinit(&p);
    p = params_of(WARM_API_NATIVE, "{\"json_schema\":{},\"grammar\":\"root ::= x\"}");
    assert_string_equal(p.sampling.grammar, "root ::= x");
    assert_null(p.sampling.json_schema);
    warm_params_deinit(&p);
    p = params_of(WARM_API_NATIVE, "{\"json_schema\":{},\"grammar\":\"\"}");
    assert_string_equal(p.sampling.json_schema, "{\"type\":\"object\"}");
    warm_params_deinit(&p);
    assert_error(WARM_API_NATIVE, "{\"grammar\":\"root ::= x\",\"grammar_lazy\":true}", WARM_ENOTSUP, "grammar_lazy");
    assert_error(WARM_API_CHAT, "{\"json_schema\":{},\"grammar\":\"root ::= x\"}", WARM_EINVAL, "grammar");
    assert_error(WARM_API_CHAT, "{\"grammar\":\"root ::= x\",\"tools\":[{}]}", WARM_EINVAL, "grammar");
}

static void response_format_becomes_a_schema(void **state) {
    (void)state;
    static const struct {
        const char *text, *schema;
    } cases[] = {
        {"{\"response_format\":{\"type\":\"text\"}}", NULL},
        {"{\"response_format\":{}}", NULL},
        {"{\"response_format\":{\"type\":\"json_object\"}}", "{\"type\":\"object\"}"},
        {"{\"response_format\":{\"type\":\"json_object\",\"schema\":{\"x\":1}}}", "{\"x\":1}"},
        {"{\"response_format\":{\"type\":\"json_object\"},\"json_schema\":{\"y\":1}}", "{\"y\":1}"},
        {"{\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"z\":[]}}}}", "{\"z\":[]}"},
        {"{\"response_format\":{\"type\":\"json_schema\"}}", "{\"type\":\"object\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_params p = params_of(WARM_API_CHAT, cases[i].text);
        if (cases[i].schema)
            assert_string_equal(p.sampling.json_schema, cases[i].schema);
        else
            assert_null(p.sampling.json_schema);
        warm_params_deinit(&p);
    }
    assert_error(WARM_API_CHAT, "{\"response_format\":{\"type\":\"xml\"}}", WARM_EINVAL, "response_format");
    assert_error(WARM_API_CHAT, "{\"response_format\":\"json\"}", WARM_EINVAL, "response_format");
    assert_error(WARM_API_CHAT, "{\"response_format\":{\"type\":\"json_object\"},\"grammar\":\"root ::= x\"}", WARM_EINVAL,
                 "grammar");
}

static void chat_logprobs_are_a_boolean(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_CHAT, "{\"logprobs\":true,\"top_logprobs\":3}");
    assert_int_equal(p.sampling.n_probs, 3);
    warm_params_deinit(&p);
    p = params_of(WARM_API_CHAT, "{\"logprobs\":true}");
    assert_int_equal(p.sampling.n_probs, 20);
    warm_params_deinit(&p);
    p = params_of(WARM_API_CHAT, "{\"logprobs\":false}");
    assert_int_equal(p.sampling.n_probs, 0);
    warm_params_deinit(&p);
    assert_error(WARM_API_CHAT, "{\"top_logprobs\":3}", WARM_EINVAL, "top_logprobs");
    assert_error(WARM_API_CHAT, "{\"logprobs\":5}", WARM_EINVAL, "logprobs");
    assert_error(WARM_API_CHAT, "{\"logprobs\":true,\"top_logprobs\":-1}", WARM_EINVAL, "top_logprobs");
}

static void what_is_not_there_yet_is_said(void **state) {
    (void)state;
    assert_error(WARM_API_NATIVE, "{\"echo\":true}", WARM_ENOTSUP, "echo");
    assert_error(WARM_API_TEXT, "{\"suffix\":\"x\"}", WARM_ENOTSUP, "suffix");
    assert_error(WARM_API_TEXT, "{\"best_of\":3}", WARM_ENOTSUP, "best_of");
    assert_error(WARM_API_CHAT, "{\"tool_choice\":{\"type\":\"allowed_tools\"}}", WARM_ENOTSUP, "tool_choice");
    assert_error(WARM_API_NATIVE, "{\"reasoning_budget_tokens\":0}", WARM_ENOTSUP, "reasoning_budget_tokens");
    warm_params p =
        params_of(WARM_API_TEXT, "{\"lora\":[],\"echo\":false,\"suffix\":\"\",\"best_of\":1,\"reasoning_budget_tokens\":-1}");
    warm_params_deinit(&p);
}

static void tools_are_chosen_by_name_or_not(void **state) {
    (void)state;
    static const char *const good[] = {"\"auto\"", "\"none\"", "\"required\"",
                                       "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char body[160];
        snprintf(body, sizeof body, "{\"tools\":[{\"type\":\"function\"}],\"tool_choice\":%s}", good[i]);
        warm_params p = params_of(WARM_API_CHAT, body);
        warm_params_deinit(&p);
    }
    assert_error(WARM_API_CHAT, "{\"tool_choice\":\"sometimes\"}", WARM_EINVAL, "tool_choice");
    assert_error(WARM_API_CHAT, "{\"tool_choice\":{\"type\":\"function\"}}", WARM_EINVAL, "tool_choice.function.name");
    assert_error(WARM_API_CHAT, "{\"tool_choice\":{\"function\":{\"name\":\"f\"}}}", WARM_EINVAL, "tool_choice.type");
    assert_error(WARM_API_CHAT, "{\"tools\":{}}", WARM_EINVAL, "tools");
    assert_error(WARM_API_CHAT, "{\"tools\":[{}],\"logprobs\":true,\"stream\":true}", WARM_EINVAL, "logprobs");
}

static void a_limit_of_reasoning_is_a_number_of_tokens(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_CHAT, "{\"reasoning_budget_tokens\":0,\"thinking_budget_tokens\":5}");
    warm_params_deinit(&p);
    assert_error(WARM_API_CHAT, "{\"reasoning_budget_tokens\":-2}", WARM_EINVAL, "reasoning_budget_tokens");
    assert_error(WARM_API_CHAT, "{\"thinking_budget_tokens\":3000000000}", WARM_EINVAL, "thinking_budget_tokens");
}

static void a_stream_goes_on_behind_what_the_client_has(void **state) {
    (void)state;
    static const struct {
        const char *body;
        bool continues;
    } cases[] = {{"{}", false},
                 {"{\"continue_final_message\":true}", true},
                 {"{\"continue_final_message\":\"content\"}", true},
                 {"{\"continue_final_message\":\"reasoning_content\"}", true},
                 {"{\"continue_final_message\":\"else\"}", false},
                 {"{\"continue_final_message\":false}", false},
                 {"{\"continue_final_message\":true,\"echo\":true}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warm_params p = params_of(WARM_API_CHAT, cases[i].body);
        assert_int_equal(p.continues, cases[i].continues);
        warm_params_deinit(&p);
    }
}

static void a_task_gets_what_the_request_says(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"n_predict\":0,\"t_max_predict_ms\":-1,\"return_progress\":true,\"stop\":\"x\","
                                               "\"cache_prompt\":false,\"cache_salt\":\"s\",\"id_slot\":1,\"n_indent\":4,"
                                               "\"n_keep\":-1,\"n_discard\":5,\"n_cache_reuse\":6}");
    warm_task_options o;
    warm_params_task(&p, &o);
    assert_int_equal(o.n_predict, 0);
    assert_int_equal(o.t_max_predict_ms, 0);
    assert_false(o.return_progress); /* nobody would see it */
    assert_int_equal(o.n_stop, 1);
    assert_false(o.cache_prompt);
    assert_string_equal(o.salt, "s");
    assert_int_equal(o.id_slot, 1);
    assert_int_equal(o.n_indent, 4);
    assert_int_equal(o.n_keep, -1);
    assert_int_equal(o.n_discard, 5);
    assert_int_equal(o.n_cache_reuse, 6);
    p.stream = true;
    warm_params_task(&p, &o);
    assert_true(o.return_progress);
    warm_params_deinit(&p);
}

static void trimming_keeps_what_is_borrowed(void **state) {
    (void)state;
    warm_params p = params_of(WARM_API_NATIVE, "{\"prompt\":\"long\",\"messages\":[1],\"tools\":[2],\"stop\":\"x\"}");
    warm_params_trim(&p);
    assert_null(warm_jget(p.root, "prompt"));
    assert_null(warm_jget(p.root, "messages"));
    assert_string_equal(p.stop[0], "x");
    warm_params_deinit(&p);
}

static void tenants_never_share_a_salt(void **state) {
    (void)state;
    static const struct {
        const char *tenant, *body, *salt;
    } cases[] = {{NULL, "{}", NULL},
                 {NULL, "{\"cache_salt\":\"a\\nb\"}", "a\nb"},
                 {"a", "{}", "a\n"},
                 {"a", "{\"cache_salt\":null}", "a\n"},
                 {"a", "{\"cache_salt\":\"b\"}", "a\nb"},
                 {"ab", "{\"cache_salt\":\"\\nb\"}", "ab\n\nb"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        defaults_fixture f;
        defaults_open(&f, WARM_API_NATIVE, NULL);
        warm_params p;
        warm_err err = {0};
        warm_task_options o;
        f.scope.tenant = cases[i].tenant;
        assert_int_equal(warm_params_parse(&f.scope, json_of(cases[i].body), &p, &err), 0);
        warm_params_task(&p, &o);
        if (cases[i].salt)
            assert_string_equal(o.salt, cases[i].salt);
        else
            assert_null(o.salt);
        warm_params_deinit(&p);
        defaults_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_body_gives_the_defaults_of_llama_server),
        cmocka_unit_test(every_plain_field_arrives),
        cmocka_unit_test(a_wrong_type_names_its_field),
        cmocka_unit_test(null_is_absent_and_unknown_fields_do_not_matter),
        cmocka_unit_test(an_alias_counts_only_without_the_name),
        cmocka_unit_test(hard_limits_refuse_and_soft_ones_move),
        cmocka_unit_test(a_seed_keeps_its_lower_half),
        cmocka_unit_test(stop_is_a_string_or_a_list_of_some),
        cmocka_unit_test(the_servers_own_options_are_the_defaults),
        cmocka_unit_test(samplers_are_names_or_letters),
        cmocka_unit_test(logit_bias_has_three_forms),
        cmocka_unit_test(breakers_are_counted),
        cmocka_unit_test(grammar_and_schema),
        cmocka_unit_test(response_format_becomes_a_schema),
        cmocka_unit_test(chat_logprobs_are_a_boolean),
        cmocka_unit_test(what_is_not_there_yet_is_said),
        cmocka_unit_test(tools_are_chosen_by_name_or_not),
        cmocka_unit_test(a_limit_of_reasoning_is_a_number_of_tokens),
        cmocka_unit_test(a_stream_goes_on_behind_what_the_client_has),
        cmocka_unit_test(a_task_gets_what_the_request_says),
        cmocka_unit_test(tenants_never_share_a_salt),
        cmocka_unit_test(trimming_keeps_what_is_borrowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
