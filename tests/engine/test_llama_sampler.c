/* SPDX-License-Identifier: MIT
 *
 * tests/engine/test_llama_sampler.c - what is sampled, what is refused, and the probabilities that come with it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model_fixture.h"

enum { PROMPT = 40 };

static warm_engine *e;
static int32_t prompt[PROMPT];
static float *row; /* logits behind the prompt */

static int open_once(void **state) {
    (void)state;
    e = open_tiny("1024", NULL);
    some_tokens(e, prompt, PROMPT, 11);
    return 0;
}

static int close_once(void **state) {
    (void)state;
    e->ops->close(e);
    return 0;
}

static int start(void **state) {
    (void)state;
    e->ops->clear(e, false);
    row = decode(e, 0, prompt, 0, PROMPT, PROMPT);
    return 0;
}

static int end(void **state) {
    (void)state;
    free(row);
    return 0;
}

static int32_t argmax(void) {
    int32_t best = 0;
    for (int32_t i = 1; i < (int32_t)e->info->n_vocab; i++) best = row[i] > row[best] ? i : best;
    return best;
}

static warm_sampling greedy(void) {
    warm_sampling s;
    warm_sampling_default(&s);
    s.temp = 0;
    return s;
}

static warm_sampler *make(const warm_sampling *s) {
    warm_sampler *made = NULL;
    warm_err err = {0};
    if (e->ops->sampler_new(e, s, &made, &err)) fail_msg("sampler: %s", err.text);
    return made;
}

static warm_sampled sample(warm_sampler *s, size_t at) {
    warm_sampled got;
    warm_err err = {0};
    if (e->ops->sample(e, s, at, &got, &err)) fail_msg("sample: %s", err.text);
    return got;
}

static int32_t first_token(const warm_sampling *s) {
    warm_sampler *made = make(s);
    int32_t token = sample(made, PROMPT - 1).token;
    e->ops->sampler_free(e, made);
    return token;
}

/* Generates behind the prompt until the end of text or `max` tokens; returns whether the end came. */
static bool generate(const warm_sampling *s, char *text, size_t cap, int32_t max) {
    warm_sampler *made = make(s);
    bool ended = false;
    size_t len = 0, at = PROMPT - 1;
    for (int32_t i = 0; i < max && !ended; i++) {
        warm_err err = {0};
        warm_sampled got = sample(made, at);
        ended = got.is_eog;
        if (e->ops->sampler_accept(e, made, got.token, true, &err)) fail_msg("accept: %s", err.text);
        if (ended) break;
        len += e->text->token_piece(e, got.token, false, text + len, cap - 1 - len);
        assert_true(len < cap);
        int32_t pos = PROMPT + i, seq = 0;
        uint8_t want = 1;
        warm_batch b = {1, &got.token, &pos, &seq, &want};
        if (e->ops->decode(e, &b, &err)) fail_msg("decode: %s", err.text);
        at = 0;
    }
    text[len] = 0;
    e->ops->sampler_free(e, made);
    return ended;
}

static void without_temperature_the_likeliest_token_is_taken(void **state) {
    (void)state;
    warm_sampling s = greedy();
    assert_int_equal(first_token(&s), argmax());
}

static void a_seed_decides_and_another_decides_otherwise(void **state) {
    (void)state;
    warm_sampling s;
    warm_sampling_default(&s);
    s.temp = 5.0f;
    s.top_k = 0;
    s.top_p = 1.0f;
    s.min_p = 0.0f;
    s.seed = 42;
    int32_t first = first_token(&s), differs = 0;
    assert_int_equal(first_token(&s), first);
    for (s.seed = 43; s.seed < 48; s.seed++) differs += first_token(&s) != first;
    assert_true(differs);
}

static void a_bias_forbids_or_forces_a_token(void **state) {
    (void)state;
    int32_t best = argmax();
    warm_logit_bias bias[2] = {{best, -INFINITY}, {777, 1000.0f}};
    warm_sampling s = greedy();
    s.logit_bias = bias;
    s.n_logit_bias = 1;
    assert_int_not_equal(first_token(&s), best);
    s.n_logit_bias = 2;
    assert_int_equal(first_token(&s), 777);
}

static void the_end_can_be_ignored(void **state) {
    (void)state;
    warm_logit_bias bias = {e->info->eos, 1000.0f};
    warm_sampling s = greedy();
    s.logit_bias = &bias;
    s.n_logit_bias = 1;
    assert_int_equal(first_token(&s), e->info->eos);
    s.ignore_eos = true;
    assert_false(e->text->token_is_eog(e, first_token(&s)));
}

static void penalties_see_the_prompt(void **state) {
    (void)state;
    warm_sampling s = greedy();
    s.penalty_present = 1000.0f;
    int32_t best = argmax();
    warm_sampler *made = make(&s);
    warm_err err = {0};
    assert_int_equal(e->ops->sampler_accept(e, made, best, false, &err), 0);
    assert_int_not_equal(sample(made, PROMPT - 1).token, best);
    assert_int_equal(e->ops->sampler_accept(e, made, -1, false, &err), WARM_EINVAL);
    assert_int_equal(e->ops->sampler_accept(e, made, (int32_t)e->info->n_vocab, true, &err), WARM_EINVAL);
    e->ops->sampler_free(e, made);
}

static void a_grammar_is_followed_to_its_end(void **state) {
    (void)state;
    char text[256];
    warm_sampling s = greedy();
    s.grammar = "root ::= \"yes, \" (\"indeed\" | \"sir\")";
    assert_true(generate(&s, text, sizeof text, 50));
    assert_true(!strcmp(text, "yes, indeed") || !strcmp(text, "yes, sir"));
    s.ignore_eos = true; /* then the end is not the model's choice, but there is nothing else */
    end(NULL);
    start(NULL);
    assert_true(generate(&s, text, sizeof text, 50));
    assert_true(!strncmp(text, "yes, ", 5));
}

static void a_json_schema_is_followed(void **state) {
    (void)state;
    char text[256];
    warm_sampling s = greedy();
    s.json_schema = "{\"type\":\"object\",\"properties\":{\"colour\":{\"enum\":[\"red\",\"blue\"]}},\"required\":[\"colour\"],"
                    "\"additionalProperties\":false}";
    assert_true(generate(&s, text, sizeof text, 100));
    assert_non_null(strstr(text, "\"colour\""));
    assert_true(strstr(text, "\"red\"") || strstr(text, "\"blue\""));
}

static void a_token_against_the_grammar_is_an_error(void **state) {
    (void)state;
    warm_sampling s = greedy();
    s.grammar = "root ::= \"yes\"";
    warm_sampler *made = make(&s);
    warm_err err = {0};
    int32_t *no;
    size_t n;
    assert_int_equal(e->text->tokenize(e, "no", 2, false, false, &no, &n, &err), 0);
    assert_int_equal(e->ops->sampler_accept(e, made, no[0], true, &err), WARM_EENGINE);
    assert_string_not_equal(err.text, "");
    warm_sampled got;
    assert_int_equal(e->ops->sample(e, made, PROMPT - 1, &got, &err), WARM_EENGINE);
    assert_int_equal(e->ops->sampler_accept(e, made, no[0], true, &err), WARM_EENGINE);
    free(no);
    e->ops->sampler_free(e, made);
}

static void an_end_against_the_grammar_is_survived(void **state) {
    (void)state;
    warm_sampling s = greedy();
    s.grammar = "root ::= \"yes\"";
    warm_sampler *made = make(&s);
    warm_err err = {0};
    assert_int_equal(e->ops->sampler_accept(e, made, e->info->eos, true, &err), 0);
    e->ops->sampler_free(e, made);
}

static void a_grammar_that_no_token_can_follow_is_an_error(void **state) {
    (void)state;
    warm_logit_bias *all = malloc(e->info->n_vocab * sizeof *all);
    assert_non_null(all);
    for (uint32_t i = 0; i < e->info->n_vocab; i++) all[i] = (warm_logit_bias){(int32_t)i, -INFINITY};
    warm_sampling s = greedy();
    s.logit_bias = all;
    s.n_logit_bias = e->info->n_vocab;
    static const char *const grammars[] = {NULL, "root ::= \"yes\""};
    for (size_t i = 0; i < 2; i++) {
        s.grammar = grammars[i];
        warm_sampler *made = make(&s);
        warm_sampled got;
        warm_err err = {0};
        assert_int_equal(e->ops->sample(e, made, PROMPT - 1, &got, &err), WARM_EENGINE);
        assert_non_null(strstr(err.text, "no token is possible"));
        e->ops->sampler_free(e, made);
    }
    free(all);
}

static void refused(const warm_sampling *s, const char *says) {
    warm_sampler *made = NULL;
    warm_err err = {0};
    assert_int_equal(e->ops->sampler_new(e, s, &made, &err), WARM_EINVAL);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
    assert_null(made);
}

static void bad_grammars_are_refused_with_the_parsers_words(void **state) {
    (void)state;
    enum { DEEP = 60000 };
    static char deep[DEEP + 16];
    strcpy(deep, "root ::= ");
    memset(deep + 9, '(', DEEP);
    static const char *const grammars[][2] = {
        {"root ::= nothing", "Undefined rule identifier 'nothing'"},
        {"top ::= \"a\"", "'root'"},
        {"root ::= root \"a\"", "left recursion"},
        {"root ::= [0-9", "unexpected end of input"},
        {"root = \"a\"", "expecting ::="},
        {"%llguidance {}", "llguidance"},
        {deep, "parentheses"},
    };
    for (size_t i = 0; i < sizeof grammars / sizeof grammars[0]; i++) {
        warm_sampling s = greedy();
        s.grammar = grammars[i][0];
        refused(&s, grammars[i][1]);
    }
}

/* A schema of n definitions, each with a property that the next one describes: three braces each. */
static char *chain_of_definitions(int n) {
    char *text = malloc((size_t)n * 80 + 128);
    assert_non_null(text);
    size_t len = (size_t)sprintf(text, "{\"$ref\":\"#/d/a0\",\"d\":{");
    for (int i = 0; i < n; i++)
        len += (size_t)sprintf(text + len, "\"a%d\":{\"properties\":{\"x\":{\"$ref\":\"#/d/a%d\"}}},", i, i + 1);
    sprintf(text + len, "\"a%d\":{\"type\":\"string\"}}}", n);
    return text;
}

/* Either would overrun the stack of a usual thread. */
static void deep_grammars_and_schemas_do_no_harm(void **state) {
    (void)state;
    enum { DEEP = 40000 };
    static char grammar[2 * DEEP + 32];
    size_t n = (size_t)sprintf(grammar, "root ::= ");
    memset(grammar + n, '(', DEEP);
    n += DEEP;
    n += (size_t)sprintf(grammar + n, "\"a\"");
    memset(grammar + n, ')', DEEP);
    warm_sampling s = greedy();
    s.grammar = grammar;
    e->ops->sampler_free(e, make(&s));

    s = greedy();
    char *schema = chain_of_definitions(3300);
    s.json_schema = schema;
    e->ops->sampler_free(e, make(&s));
    free(schema);
    s.json_schema = schema = chain_of_definitions(3400);
    refused(&s, "objects and arrays");
    free(schema);
}

static void bad_parameters_are_refused_by_name(void **state) {
    (void)state;
    warm_logit_bias bias = {(int32_t)e->info->n_vocab, 1};
    warm_sampling s = greedy();
    s.logit_bias = &bias;
    s.n_logit_bias = 1;
    refused(&s, "logit_bias");
    bias = (warm_logit_bias){1, NAN};
    refused(&s, "logit_bias");
    s = greedy();
    s.samplers[0] = "top_k";
    s.samplers[1] = "magic";
    s.n_samplers = 2;
    refused(&s, "\"magic\"");
    s.samplers[1] = "infill";
    s.samplers[0] = "top_p";
    refused(&s, "infill");
    s = greedy();
    s.mirostat = 3;
    refused(&s, "mirostat");
    s = greedy();
    s.penalty_repeat = 0;
    refused(&s, "repeat_penalty");
    s = greedy();
    s.temp = NAN;
    refused(&s, "temperature");
    s = greedy();
    s.json_schema = "{\"type\":";
    refused(&s, "json_schema");
    s.json_schema = "{\"type\":\"no such type\"}";
    refused(&s, "json_schema");
    s.json_schema = "{}";
    s.grammar = "root ::= \"a\"";
    refused(&s, "json_schema");
    s = greedy();
    static char deep[20000];
    memset(deep, '[', sizeof deep - 1);
    s.json_schema = deep;
    refused(&s, "objects and arrays");
}

static void every_sampler_can_be_named(void **state) {
    (void)state;
    static const char *const names[] = {"penalties", "dry",         "top_n_sigma", "top_k",  "typ_p",     "top_p",
                                        "min_p",     "temperature", "xtc",         "infill", "adaptive_p"};
    warm_sampling s;
    warm_sampling_default(&s);
    s.seed = 1;
    s.dry_multiplier = 0.5f;
    s.penalty_last_n = -1;
    s.xtc_probability = 0.5f;
    s.n_samplers = sizeof names / sizeof names[0];
    memcpy(s.samplers, names, sizeof names);
    s.dry_breakers[0] = "\n";
    s.n_dry_breakers = 1;
    warm_sampler *made = make(&s);
    warm_err err = {0};
    for (size_t i = 0; i < PROMPT; i++) assert_int_equal(e->ops->sampler_accept(e, made, prompt[i], false, &err), 0);
    warm_sampled got = sample(made, PROMPT - 1);
    assert_true(got.token >= 0 && got.token < (int32_t)e->info->n_vocab);
    assert_int_equal(e->ops->sampler_accept(e, made, got.token, true, &err), 0);
    e->ops->sampler_free(e, made);
    for (s.mirostat = 1; s.mirostat <= 2; s.mirostat++) first_token(&s);
}

static void probabilities_before_sampling_are_those_of_the_row(void **state) {
    (void)state;
    warm_sampling s = greedy();
    s.n_probs = INT32_MAX;
    warm_sampler *made = make(&s);
    warm_sampled got = sample(made, PROMPT - 1);
    assert_int_equal(got.n_probs, e->info->n_vocab);
    double sum = 0;
    for (size_t i = 0; i < got.n_probs; i++) {
        sum += exp((double)got.probs[i].p);
        if (i) assert_true(got.probs[i].p <= got.probs[i - 1].p);
    }
    assert_true(fabs(sum - 1) < 1e-3);
    assert_int_equal(got.probs[0].token, argmax());
    assert_true(got.probs[0].p == got.p);
    float fifth = got.probs[4].p, gap = row[got.probs[0].token] - row[got.probs[4].token];
    assert_true(fabsf(got.probs[0].p - fifth - gap) < 1e-4f);
    e->ops->sampler_free(e, made);

    s.n_probs = 5;
    made = make(&s);
    got = sample(made, PROMPT - 1);
    assert_int_equal(got.n_probs, 5);
    assert_true(got.probs[4].p == fifth);
    e->ops->sampler_free(e, made);
}

static void probabilities_after_sampling_are_those_of_what_is_left(void **state) {
    (void)state;
    warm_sampling s;
    warm_sampling_default(&s);
    s.seed = 3;
    s.temp = 1.0f;
    s.top_k = 3;
    s.top_p = 1.0f;
    s.min_p = 0.0f;
    s.n_probs = 10;
    s.post_sampling_probs = true;
    warm_sampler *made = make(&s);
    warm_sampled got = sample(made, PROMPT - 1);
    assert_int_equal(got.n_probs, 3);
    double sum = 0, own = -1;
    for (size_t i = 0; i < 3; i++) {
        sum += (double)got.probs[i].p;
        if (got.probs[i].token == got.token) own = (double)got.probs[i].p;
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(fabs(own - (double)got.p) < 1e-9);
    assert_int_equal(got.probs[0].token, argmax());
    e->ops->sampler_free(e, made);
}

static void a_row_that_was_not_wanted_can_not_be_sampled(void **state) {
    (void)state;
    warm_sampling s = greedy();
    warm_sampler *made = make(&s);
    warm_sampled got;
    warm_err err = {0};
    assert_int_equal(e->ops->sample(e, made, 0, &got, &err), WARM_EINVAL);
    assert_int_equal(e->ops->sample(e, made, 1 << 20, &got, &err), WARM_EINVAL);
    e->ops->sampler_free(e, made);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(without_temperature_the_likeliest_token_is_taken),
        TEST(a_seed_decides_and_another_decides_otherwise),
        TEST(a_bias_forbids_or_forces_a_token),
        TEST(the_end_can_be_ignored),
        TEST(penalties_see_the_prompt),
        TEST(a_grammar_is_followed_to_its_end),
        TEST(a_json_schema_is_followed),
        TEST(a_token_against_the_grammar_is_an_error),
        TEST(an_end_against_the_grammar_is_survived),
        TEST(a_grammar_that_no_token_can_follow_is_an_error),
        TEST(bad_grammars_are_refused_with_the_parsers_words),
        TEST(deep_grammars_and_schemas_do_no_harm),
        TEST(bad_parameters_are_refused_by_name),
        TEST(every_sampler_can_be_named),
        TEST(probabilities_before_sampling_are_those_of_the_row),
        TEST(probabilities_after_sampling_are_those_of_what_is_left),
        TEST(a_row_that_was_not_wanted_can_not_be_sampled),
    };
    return cmocka_run_group_tests(tests, open_once, close_once);
}
