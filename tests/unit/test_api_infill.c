/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_api_infill.c - the prompt of /infill, token for token. A batch is 64 tokens: 48 for the prefix, 16 for the rest. */
#include "api_fixture.h"

#include "api/infill.h"
#include "api/parse.h"

/* In expected texts the special tokens of the fixture stand as one letter behind a '^'. */
static const char letters[] = "BPSMRF"; /* 257.. */

static char *shown(const warm_tokens *t) {
    char *s = calloc(t->n + 1, 2), *to = s;
    assert_non_null(s);
    for (size_t i = 0; i < t->n; i++) {
        if (t->v[i] >= TEXT_BOS) *to++ = '^';
        *to++ = t->v[i] >= TEXT_BOS ? letters[t->v[i] - TEXT_BOS] : (char)(t->v[i] - 1);
    }
    return s;
}

typedef struct world {
    defaults_fixture f;
    warm_engine engine;
    warm_engine_info info;
} world;

static void open_world(world *w, char **args) {
    defaults_open(&w->f, WARM_API_INFILL, args);
    w->info = text_info;
    w->engine = (warm_engine){.text = &text_ops, .info = &w->info};
    w->f.scope.engine = &w->engine;
    w->f.scope.slot_n_ctx = 1024;
    w->f.scope.spm_infill = w->f.config.spm_infill;
}

static int try_prompt(world *w, const char *body, char **text, warm_err *err) {
    warm_params p;
    warm_prompts prompts;
    int rc = warm_parse_completion(&w->f.scope, body, strlen(body), &p, &prompts, err);
    if (rc) return rc;
    assert_int_equal(prompts.n, 1);
    assert_int_equal(p.kind, WARM_API_NATIVE);
    *text = shown(&prompts.v[0]);
    warm_prompts_free(&prompts);
    warm_params_trim(&p);
    warm_params_deinit(&p);
    return 0;
}

static void is_prompt(world *w, const char *body, const char *wanted) {
    warm_err err = {0};
    char *text = NULL;
    if (try_prompt(w, body, &text, &err)) fail_msg("%s: %s", err.text, body);
    assert_string_equal(text, wanted);
    free(text);
}

static void is_refused(world *w, const char *body, int code, const char *says) {
    warm_err err = {0};
    char *text = NULL;
    assert_int_equal(try_prompt(w, body, &text, &err), code);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

#define SIDES "\"input_prefix\":\"ab\",\"input_suffix\":\"yz\""

static void the_middle_stands_last(void **state) {
    (void)state;
    world w;
    open_world(&w, NULL);
    is_prompt(&w, "{" SIDES "}", "^Rmyproject\n^Ffilename\n^Pab^Syz^M");
    is_prompt(&w, "{" SIDES ",\"prompt\":\"cd\"}", "^Rmyproject\n^Ffilename\n^Pabcd^Syz^M");
    is_prompt(&w, "{\"input_prefix\":\"\",\"input_suffix\":\"\",\"prompt\":null,\"input_extra\":null}",
              "^Rmyproject\n^Ffilename\n^P^S^M");
    is_prompt(&w, "{\"input_prefix\":[98,\"b\"],\"input_suffix\":[\"y\",123]}", "^Rmyproject\n^Ffilename\n^Pab^Syz^M");
    defaults_close(&w.f);
}

static void the_suffix_stands_first_where_the_model_wants_it(void **state) {
    (void)state;
    world w;
    open_world(&w, (char *[]){"--spm-infill", NULL});
    is_prompt(&w, "{" SIDES ",\"prompt\":\"cd\"}", "^Rmyproject\n^Ffilename\n^Syz^Pabcd^M");
    defaults_close(&w.f);
}

static void chunks_stand_before_everything_else(void **state) {
    (void)state;
    static const char body[] = "{" SIDES ",\"input_extra\":[{\"filename\":\"a.c\",\"text\":\"one\"},{\"text\":\"two\"}]}";
    world w;
    open_world(&w, NULL);
    is_prompt(&w, body, "^Rmyproject\n^Fa.c\none^Ftmp\ntwo^Ffilename\n^Pab^Syz^M");
    w.info.add_bos = true;
    is_prompt(&w, body, "^Rmyproject\n^Fa.c\none^Ftmp\ntwo^Ffilename\n^B^Pab^Syz^M");
    w.info.fim_rep = -1;
    is_prompt(&w, body, "^Fa.c\none^Ftmp\ntwo^Ffilename\n^B^Pab^Syz^M");
    w.info.fim_sep = -1;
    is_prompt(&w, body, "\n\n--- snippet ---\n\none\n\n--- snippet ---\n\ntwo^B^Pab^Syz^M");
    is_prompt(&w, "{" SIDES "}", "^B^Pab^Syz^M");
    defaults_close(&w.f);
}

static void long_sides_are_cut_to_a_batch(void **state) {
    (void)state;
    static const char fifty[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN";
    char body[512], wanted[512];
    world w;
    open_world(&w, NULL);
    snprintf(body, sizeof body, "{\"input_prefix\":\"%s\",\"input_suffix\":\"%s\"}", fifty, fifty);
    snprintf(wanted, sizeof wanted, "^Rmyproject\n^Ffilename\n^P%s^S%.14s^M", fifty + 2, fifty);
    is_prompt(&w, body, wanted);
    snprintf(body, sizeof body, "{\"input_prefix\":\"%s\",\"input_suffix\":\"%s\",\"prompt\":\"0123456789\"}", fifty, fifty);
    snprintf(wanted, sizeof wanted, "^Rmyproject\n^Ffilename\n^P%s0123456789^S%.4s^M", fifty + 2, fifty);
    is_prompt(&w, body, wanted);
    /* A prompt that leaves no room for a suffix. */
    snprintf(body, sizeof body, "{\"input_prefix\":\"ab\",\"input_suffix\":\"yz\",\"prompt\":\"%s\"}", fifty);
    snprintf(wanted, sizeof wanted, "^Rmyproject\n^Ffilename\n^Pab%s^S^M", fifty);
    is_prompt(&w, body, wanted);
    defaults_close(&w.f);
}

/* The room depends on the server's --predict; without a limit it is two tokens more than it should be, as in llama-server. */
static void chunks_are_cut_to_the_context(void **state) {
    (void)state;
    static const char body[] = "{" SIDES ",\"n_predict\":100,\"input_extra\":[{\"filename\":\"a.c\",\"text\":\"one\"}]}";
    world w;
    open_world(&w, NULL);
    w.f.scope.slot_n_ctx = 64 + 10 - 2;
    is_prompt(&w, body, "^Ffilename\n^Pab^Syz^M");
    w.f.scope.slot_n_ctx = 64 - 2;
    is_prompt(&w, body, "^Pab^Syz^M");
    w.f.scope.slot_n_ctx = 16;
    is_prompt(&w, body, "^Pab^Syz^M");
    defaults_close(&w.f);
    open_world(&w, (char *[]){"-n", "20", NULL});
    w.f.scope.slot_n_ctx = 64 + 2 * 20 + 13;
    is_prompt(&w, body, "one^Ffilename\n^Pab^Syz^M");
    defaults_close(&w.f);
    open_world(&w, (char *[]){"-n", "2147483647", NULL});
    is_prompt(&w, body, "^Pab^Syz^M");
    defaults_close(&w.f);
}

static void a_model_without_the_tokens_is_named(void **state) {
    (void)state;
    world w;
    open_world(&w, NULL);
    w.info.fim_suf = -1;
    is_refused(&w, "{" SIDES "}", WARM_ENOTSUP, "Infill is not supported by this model: suffix token is missing.");
    w.info.fim_pre = w.info.fim_mid = -1;
    is_refused(&w, "no JSON", WARM_ENOTSUP, "prefix token is missing. suffix token is missing. middle token is missing.");
    defaults_close(&w.f);
}

static void malformed_requests_name_the_field(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"{\"input_suffix\":\"\"}", "'input_prefix'"},
        {"{\"input_prefix\":\"\"}", "'input_suffix'"},
        {"{\"input_prefix\":5,\"input_suffix\":\"\"}", "'input_prefix'"},
        {"{\"input_prefix\":\"\",\"input_suffix\":[-1]}", "'input_suffix'"},
        {"{" SIDES ",\"prompt\":[1]}", "'prompt'"},
        {"{" SIDES ",\"input_extra\":{}}", "'input_extra'"},
        {"{" SIDES ",\"input_extra\":[5]}", "'input_extra[0]'"},
        {"{" SIDES ",\"input_extra\":[{\"text\":\"\"},{}]}", "'input_extra[1].text'"},
        {"{" SIDES ",\"input_extra\":[{\"text\":\"\",\"filename\":1}]}", "'input_extra[0].filename'"},
        {"{" SIDES ",\"n_predict\":\"x\"}", "'n_predict'"},
    };
    world w;
    open_world(&w, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) is_refused(&w, cases[i][0], WARM_EINVAL, cases[i][1]);
    defaults_close(&w.f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_stands_last),
        cmocka_unit_test(the_suffix_stands_first_where_the_model_wants_it),
        cmocka_unit_test(chunks_stand_before_everything_else),
        cmocka_unit_test(long_sides_are_cut_to_a_batch),
        cmocka_unit_test(chunks_are_cut_to_the_context),
        cmocka_unit_test(a_model_without_the_tokens_is_named),
        cmocka_unit_test(malformed_requests_name_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
