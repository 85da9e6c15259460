/* SPDX-License-Identifier: MIT
 *
 * The option table is consistent, knows every option of llama-server, and docs/flags.md is what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/options.h"

/* Calls fn for each name of an option, those that switch it off included. */
static void each_name(const warm_opt *o, void (*fn)(const warm_opt *o, const char *name)) {
    char name[OPT_NAME_MAX];
    for (const char *l = o->names; (l = warm__opt_next(l, name));) fn(o, name);
    for (const char *l = o->off; (l = warm__opt_next(l, name));) fn(o, name);
}

static void name_is_found_as(const warm_opt *o, const char *name) {
    bool on;
    /* The first entry with a name is the one that is found: another one means that the name stands twice. */
    if (warm__opt_find(name, &on) != o) fail_msg("%s stands twice", name);
    assert_true(name[0] == '-' && name[1]);
    assert_true(strlen(name) < OPT_NAME_MAX - 1);
}

static void no_name_occurs_twice(void **state) {
    (void)state;
    for (size_t i = 0; warm__opt_at(i); i++) each_name(warm__opt_at(i), name_is_found_as);
}

static void no_variable_occurs_twice(void **state) {
    (void)state;
    for (size_t i = 0; warm__opt_at(i); i++) {
        const char *env = warm__opt_at(i)->env;
        for (size_t k = i + 1; env && warm__opt_at(k); k++)
            if (warm__opt_at(k)->env && strcmp(env, warm__opt_at(k)->env) == 0) fail_msg("%s stands twice", env);
    }
}

static void entries_are_complete(void **state) {
    (void)state;
    for (size_t i = 0; warm__opt_at(i); i++) {
        const warm_opt *o = warm__opt_at(i);
        char name[OPT_NAME_MAX];
        warm__opt_long(o->names, name);
        if (strncmp(name, "--", 2) != 0) fail_msg("%s has no long name", o->names);
        bool takes_value = o->value != OPT_FLAG && o->value != OPT_BOOL;
        if (takes_value != (o->hint != NULL)) fail_msg("%s: hint and value disagree", name);
        if ((o->value == OPT_BOOL) != (o->off != NULL)) fail_msg("%s: a switch needs names for both ways", name);
        if (!o->help || !*o->help) fail_msg("%s has no help", name);
        if (o->class_ == OPT_OURS && !o->set && o->field == OPT_NONE) fail_msg("%s goes nowhere", name);
        if (o->class_ == OPT_ACTION && o->action == WARM_CONFIG_OK) fail_msg("%s does nothing", name);
        if (o->class_ != OPT_IGNORED && o->quiet) fail_msg("%s can't be quiet", name);
        if (o->off) {
            warm__opt_long(o->off, name);
            if (strncmp(name, "--", 2) != 0) fail_msg("%s has no long name", o->off);
        }
    }
}

/* ---- against llama-server ---- */

static FILE *open_source(const char *path) {
    char full[1024];
    const char *here = strstr(__FILE__, "tests/unit/");
    assert_non_null(here);
    snprintf(full, sizeof(full), "%.*s%s", (int)(here - __FILE__), __FILE__, path);
    FILE *f = fopen(full, "rb");
    if (!f) fail_msg("can't open %s", full);
    return f;
}

static const char *kind_name(const warm_opt *o) {
    static const char *const names[] = {"flag", "bool", "int", "number", "string", "string2"};
    return names[o->value];
}

static void entry_says(const char *kind, const char *env, const char *name, bool on) {
    bool found_on;
    const warm_opt *o = warm__opt_find(name, &found_on);
    if (!o) fail_msg("%s is not known", name);
    if (found_on != on) fail_msg("%s switches the wrong way", name);
    /* llama-server reads some numbers as strings, and the other way round it never does. */
    bool same = strcmp(kind_name(o), kind) == 0 || (strcmp(kind, "string") == 0 && (o->value == OPT_NUMBER || o->value == OPT_INT));
    if (!same) fail_msg("%s takes %s, here %s", name, kind, kind_name(o));
    if (strcmp(env, "-") != 0 && (!o->env || strcmp(o->env, env) != 0)) fail_msg("%s: variable %s", name, env);
}

static void every_option_of_llama_server_is_known(void **state) {
    (void)state;
    FILE *f = open_source("tests/unit/peer_flags.txt");
    char line[1024];
    size_t n = 0;
    assert_non_null(fgets(line, sizeof(line), f));
    assert_non_null(strstr(line, "v0.5.0"));
    while (fgets(line, sizeof(line), f)) {
        char kind[16], env[64], names[256], off[256], name[OPT_NAME_MAX];
        assert_int_equal(sscanf(line, "%15s %63s %255s %255s", kind, env, names, off), 4);
        for (const char *l = names; (l = warm__opt_next(l, name)); n++) entry_says(kind, env, name, true);
        for (const char *l = strcmp(off, "-") == 0 ? "" : off; (l = warm__opt_next(l, name)); n++)
            entry_says(kind, env, name, false);
    }
    fclose(f);
    assert_true(n > 400);
}

/* ---- what is printed ---- */

static void docs_flags_md_is_current(void **state) {
    (void)state;
    size_t len, have;
    char *want = warm_config_text(WARM_CONFIG_HELP_MD, &len);
    assert_non_null(want);
    char *got = malloc(len + 2);
    assert_non_null(got);
    FILE *f = open_source("docs/flags.md");
    have = fread(got, 1, len + 1, f);
    fclose(f);
    if (have != len || memcmp(got, want, len) != 0) fail_msg("docs/flags.md is out of date: run scripts/docs-flags");
    free(got);
    free(want);
}

static char *help_text;

static void help_shows(const warm_opt *o, const char *name) {
    (void)o;
    if (!strstr(help_text, name)) fail_msg("--help does not show %s", name);
}

static void help_shows_every_option_and_default(void **state) {
    (void)state;
    size_t len;
    help_text = warm_config_text(WARM_CONFIG_HELP, &len);
    assert_non_null(help_text);
    for (size_t i = 0; warm__opt_at(i); i++) {
        const warm_opt *o = warm__opt_at(i);
        char name[OPT_NAME_MAX];
        warm__opt_long(o->names, name);
        help_shows(o, name);
        if (o->class_ == OPT_OURS || o->class_ == OPT_ENGINE) each_name(o, help_shows);
        if (o->class_ == OPT_OURS && o->env) help_shows(o, o->env);
    }
    help_shows(NULL, "(default 8192)");
    help_shows(NULL, "(default 0.95)");
    help_shows(NULL, "models by name are not supported yet");
    for (const char *l = help_text; l && *l; l = strchr(l, '\n') ? strchr(l, '\n') + 1 : NULL)
        if (strcspn(l, "\n") > 132) fail_msg("a line of --help is too long: %.*s", (int)strcspn(l, "\n"), l);
    free(help_text);
}

static void completion_offers_what_has_an_effect(void **state) {
    (void)state;
    size_t len;
    char *text = warm_config_text(WARM_CONFIG_COMPLETION, &len);
    assert_non_null(text);
    assert_non_null(strstr(text, " --cache-ram "));
    assert_non_null(strstr(text, "-m|--model|"));
    assert_null(strstr(text, "--spec-type"));
    free(text);
}

/* Every line of the page is a request that it means, or text that can't be taken for one; every option and its variable are there. */
static void the_manual_page_shows_every_option_in_sound_roff(void **state) {
    (void)state;
    size_t len;
    char *text = warm_config_text(WARM_CONFIG_HELP_MAN, &len), name[OPT_NAME_MAX], shown[2 * OPT_NAME_MAX + 8];
    assert_non_null(text);
    for (const char *l = text; l && *l; l = strchr(l, '\n') ? strchr(l, '\n') + 1 : NULL) {
        assert_true(*l != '\'');
        if (*l == '.')
            assert_true(strncmp(l, ".TH ", 4) == 0 || strncmp(l, ".SH ", 4) == 0 || strncmp(l, ".SS ", 4) == 0 ||
                        strncmp(l, ".TP\n", 4) == 0 || strncmp(l, ".br\n", 4) == 0);
    }
    for (const char *c = text; (c = strchr(c, '\\')); c += 2) assert_non_null(strchr("-&ef", c[1]));
    for (size_t i = 0; warm__opt_at(i); i++) {
        size_t n = 0;
        warm__opt_long(warm__opt_at(i)->names, name);
        n += (size_t)snprintf(shown, sizeof shown, "\\fB");
        for (const char *c = name; *c; c++) n += (size_t)snprintf(shown + n, sizeof shown - n, *c == '-' ? "\\-" : "%c", *c);
        snprintf(shown + n, sizeof shown - n, "\\fR");
        if (!strstr(text, shown)) fail_msg("the manual page does not show %s", name);
    }
    assert_non_null(strstr(text, "(default 8192) [LLAMA_ARG_CACHE_RAM]"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_name_occurs_twice),
        cmocka_unit_test(no_variable_occurs_twice),
        cmocka_unit_test(entries_are_complete),
        cmocka_unit_test(every_option_of_llama_server_is_known),
        cmocka_unit_test(docs_flags_md_is_current),
        cmocka_unit_test(help_shows_every_option_and_default),
        cmocka_unit_test(the_manual_page_shows_every_option_in_sound_roff),
        cmocka_unit_test(completion_offers_what_has_an_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
