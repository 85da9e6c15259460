/* SPDX-License-Identifier: MIT
 *
 * config/help.c - the option table as text: --help, docs/flags.md, the manual page, and the shell completion.
 *
 * Defaults are read from warm__config_defaults, not written twice. Options without effect are listed at the end of each section, under
 * their reason, so that the ones that matter can be seen. Threads: none. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "config/options.h"

enum { TEXT_MAX = 1024 * 1024, INDENT = 34, LIST_INDENT = 6, WIDTH = 110 };

static void put_default(warm_buf *b, const warm_config *c, const warm_opt *o) {
    const char *at = (const char *)c + o->at;
    const char *text = o->field == OPT_F_TEXT ? *(const char *const *)at : NULL;
    if (o->value == OPT_FLAG) return;
    switch (o->field) {
    case OPT_F_BOOL:
        warm_buf_printf(b, " (default %s)", *(const bool *)at ? "on" : "off");
        break;
    case OPT_F_INT:
        warm_buf_printf(b, " (default %d)", *(const int *)at);
        break;
    case OPT_F_I64:
        warm_buf_printf(b, " (default %lld)", (long long)*(const int64_t *)at);
        break;
    case OPT_F_FLOAT:
        warm_buf_printf(b, " (default %.6g)", (double)*(const float *)at);
        break;
    case OPT_F_DOUBLE:
        warm_buf_printf(b, " (default %g)", *(const double *)at);
        break;
    case OPT_F_TEXT:
        if (text && *text) warm_buf_printf(b, " (default %s)", text);
        break;
    case OPT_NONE:
        break;
    }
}

static void put_names(warm_buf *b, const warm_opt *o, const char *before, const char *between, const char *after) {
    char name[OPT_NAME_MAX];
    const char *lists[] = {o->names, o->off};
    const char *lead = "";
    for (size_t i = 0; i < 2; i++)
        for (const char *l = lists[i]; (l = warm__opt_next(l, name)); lead = between)
            warm_buf_printf(b, "%s%s%s%s", lead, before, name, after);
}

/* A word, on a new line when it would end behind column WIDTH. *at is the cursor's column; indent where lines begin. */
static void put_word(warm_buf *b, const char *word, size_t n, size_t indent, size_t *at) {
    if (*at > indent && *at + 1 + n > WIDTH) {
        warm_buf_printf(b, "\n%*s", (int)indent, "");
        *at = indent;
    } else if (*at > indent) {
        warm_buf_putc(b, ' ');
        ++*at;
    }
    warm_buf_append(b, word, n);
    *at += n;
}

static void put_words(warm_buf *b, const char *text, size_t indent) {
    size_t at = indent;
    for (const char *s = text; *s; s += strspn(s, " ")) {
        size_t n = strcspn(s, " ");
        put_word(b, s, n, indent, &at);
        s += n;
    }
    warm_buf_putc(b, '\n');
}

static void put_option(warm_buf *b, const warm_config *defaults, const warm_opt *o) {
    warm_buf head, text;
    warm_buf_init(&head, TEXT_MAX);
    warm_buf_init(&text, TEXT_MAX);
    put_names(&head, o, "", ", ", "");
    if (o->hint) warm_buf_printf(&head, " %s", o->hint);
    warm_buf_puts(&text, o->help);
    if (o->class_ == OPT_OURS) put_default(&text, defaults, o);
    if (o->env) warm_buf_printf(&text, " [%s]", o->env);
    if (!head.data || !text.data) {
        b->err_ = WARM_ENOMEM;
    } else {
        warm_buf_printf(b, "  %s", head.data);
        bool fits = head.len + 2 < INDENT;
        warm_buf_printf(b, fits ? "%*s" : "\n%*s", (int)(fits ? INDENT - head.len - 2 : INDENT), "");
        put_words(b, text.data, INDENT);
    }
    warm_buf_free(&head);
    warm_buf_free(&text);
}

static bool has_effect(const warm_opt *o) {
    return o->class_ != OPT_IGNORED && o->class_ != OPT_REFUSED;
}

/* Each reason once, before the options that share it. */
static bool is_first_with_reason(const warm_opt_section *s, size_t i) {
    for (size_t k = 0; k < i; k++)
        if (!has_effect(&s->opts[k]) && s->opts[k].class_ == s->opts[i].class_ && strcmp(s->opts[k].help, s->opts[i].help) == 0)
            return false;
    return true;
}

static void put_without_effect(warm_buf *b, const warm_opt_section *s) {
    for (size_t i = 0; i < s->n; i++) {
        if (has_effect(&s->opts[i]) || !is_first_with_reason(s, i)) continue;
        warm_buf_printf(b, "  %s: %s\n%*s", s->opts[i].class_ == OPT_REFUSED ? "refused" : "no effect", s->opts[i].help,
                        LIST_INDENT, "");
        size_t at = LIST_INDENT;
        for (size_t k = i; k < s->n; k++) {
            if (s->opts[k].class_ != s->opts[i].class_ || strcmp(s->opts[k].help, s->opts[i].help) != 0) continue;
            char name[OPT_NAME_MAX];
            warm__opt_long(s->opts[k].names, name);
            put_word(b, name, strlen(name), LIST_INDENT, &at);
        }
        warm_buf_putc(b, '\n');
    }
}

static void put_help(warm_buf *b, const warm_config *defaults) {
    warm_buf_puts(b,
                  "warmslot [serve] -m FILE [options]     serve a GGUF model over HTTP\n"
                  "warmslot mkmodel KIND OUT [options]    write a model with random weights (warmslot mkmodel --help)\n"
                  "warmslot replay TRACE... [options]     what a trace of requests costs (warmslot replay --help)\n"
                  "warmslot check DIR [--repair]          verify a cache directory (warmslot check --help)\n\n"
                  "Options are llama-server's. [NAME] is the environment variable of an option; the command line wins over it.\n");
    for (size_t i = 0; i < warm__opt_n_sections; i++) {
        const warm_opt_section *s = &warm__opt_sections[i];
        warm_buf_printf(b, "\n%s\n", s->title);
        for (size_t k = 0; k < s->n; k++)
            if (has_effect(&s->opts[k])) put_option(b, defaults, &s->opts[k]);
        put_without_effect(b, s);
    }
}

/* ---- Markdown ---- */

static void put_cell(warm_buf *b, const char *text) {
    for (; *text; text++) {
        if (*text == '|' || *text == '\\' || *text == '<') warm_buf_putc(b, '\\');
        warm_buf_putc(b, *text);
    }
}

static void put_row(warm_buf *b, const warm_config *defaults, const warm_opt *o) {
    warm_buf_puts(b, "| ");
    put_names(b, o, "`", " ", "`");
    if (o->hint) {
        warm_buf_putc(b, ' ');
        put_cell(b, o->hint);
    }
    warm_buf_puts(b, " | ");
    if (o->class_ == OPT_REFUSED) warm_buf_puts(b, "*refused:* ");
    if (o->class_ == OPT_IGNORED) warm_buf_puts(b, "*no effect:* ");
    put_cell(b, o->help);
    if (o->class_ == OPT_OURS) put_default(b, defaults, o);
    warm_buf_printf(b, " | %s%s%s |\n", o->env ? "`" : "", o->env ? o->env : "", o->env ? "`" : "");
}

static void put_markdown(warm_buf *b, const warm_config *defaults) {
    warm_buf_puts(
        b, "# Options\n\n"
           "Written by `warmslot --help-md` (`scripts/docs-flags`) from the table in src/config/options.c; not edited by hand.\n\n"
           "Names, variables and meanings are those of llama-server v0.5.0. The environment is read first, the command line wins "
           "over it.\n"
           "A variable of an option that can be switched off has a second form, `LLAMA_ARG_NO_...`, which does that whatever it is "
           "set to;\n"
           "a variable that is set to nothing counts as not set. Values may also be joined to long names (`--port=8080`), and `_` "
           "is read as\n"
           "`-` in them. *No effect* means that the option is accepted with a warning in the log, so that a command line for "
           "llama-server\n"
           "keeps working.\n");
    for (size_t i = 0; i < warm__opt_n_sections; i++) {
        const warm_opt_section *s = &warm__opt_sections[i];
        warm_buf_printf(b, "\n## %s\n\n| Option | Meaning | Environment |\n|---|---|---|\n", s->title);
        for (size_t k = 0; k < s->n; k++) put_row(b, defaults, &s->opts[k]);
    }
}

/* ---- the manual page ---- */

/* Text as roff takes it: no escapes, and - where - is meant. */
static void put_roff(warm_buf *b, const char *text) {
    for (; *text; text++) {
        if (*text == '\\')
            warm_buf_puts(b, "\\e");
        else if (*text == '-')
            warm_buf_puts(b, "\\-");
        else
            warm_buf_putc(b, *text);
    }
}

static void put_roff_names(warm_buf *b, const warm_opt *o) {
    char name[OPT_NAME_MAX];
    const char *lists[] = {o->names, o->off};
    const char *lead = "";
    for (size_t i = 0; i < 2; i++)
        for (const char *l = lists[i]; (l = warm__opt_next(l, name)); lead = ", ") {
            warm_buf_printf(b, "%s\\fB", lead);
            put_roff(b, name);
            warm_buf_puts(b, "\\fR");
        }
}

/* The tag stands behind a \& so that no name or value of it begins a request. */
static void put_roff_option(warm_buf *b, const warm_config *defaults, const warm_opt *o) {
    warm_buf_puts(b, ".TP\n\\&");
    put_roff_names(b, o);
    if (o->hint) {
        warm_buf_puts(b, " \\fI");
        put_roff(b, o->hint);
        warm_buf_puts(b, "\\fR");
    }
    warm_buf_puts(b, "\n\\&");
    if (o->class_ == OPT_REFUSED) warm_buf_puts(b, "Refused: ");
    if (o->class_ == OPT_IGNORED) warm_buf_puts(b, "No effect: ");
    put_roff(b, o->help);
    if (o->class_ == OPT_OURS) put_default(b, defaults, o);
    if (o->env) warm_buf_printf(b, " [%s]", o->env);
    warm_buf_putc(b, '\n');
}

static void put_man(warm_buf *b, const warm_config *defaults) {
    warm_buf_puts(
        b, ".TH WARMSLOT 1\n.SH NAME\nwarmslot \\- serves a GGUF model over HTTP, and never computes a prompt twice\n"
           ".SH SYNOPSIS\n\\fBwarmslot\\fR [\\fBserve\\fR] \\fB\\-m\\fR \\fIFILE\\fR [options]\n.br\n"
           "\\fBwarmslot mkmodel\\fR \\fIKIND OUT\\fR [options]\n.br\n"
           "\\fBwarmslot replay\\fR \\fITRACE\\fR... [options]\n"
           ".SH DESCRIPTION\nOptions, environment variables and routes are those of llama\\-server v0.5.0. In brackets stands the "
           "environment variable of an option; the command line wins over it. What has no effect is accepted with a "
           "warning.\n.SH OPTIONS\n");
    for (size_t i = 0; i < warm__opt_n_sections; i++) {
        const warm_opt_section *s = &warm__opt_sections[i];
        warm_buf_printf(b, ".SS %s\n", s->title);
        for (size_t k = 0; k < s->n; k++) put_roff_option(b, defaults, &s->opts[k]);
    }
    warm_buf_puts(b, ".SH EXIT STATUS\n0: ended by a signal, or what was asked for was printed. 1: the server failed. 2: a wrong "
                     "command line.\n");
}

/* ---- bash ---- */

static void put_completion(warm_buf *b) {
    warm_buf_puts(b, "_warmslot() {\n"
                     "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
                     "    case \"$prev\" in\n");
    const char *lead = "        ";
    for (size_t i = 0; warm__opt_at(i); i++) {
        const warm_opt *o = warm__opt_at(i);
        if (!o->hint || (strncmp(o->hint, "FILE", 4) != 0 && strcmp(o->hint, "DIR") != 0)) continue;
        warm_buf_puts(b, lead);
        put_names(b, o, "", "|", "");
        lead = "|";
    }
    warm_buf_puts(b, ")\n            COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                     "        *)\n            COMPREPLY=($(compgen -W \"");
    for (size_t i = 0; warm__opt_at(i); i++)
        if (has_effect(warm__opt_at(i))) put_names(b, warm__opt_at(i), "", " ", ""), warm_buf_putc(b, ' ');
    warm_buf_puts(b, "\" -- \"$cur\")) ;;\n    esac\n}\ncomplete -o filenames -F _warmslot warmslot\n");
}

char *warm_config_text(int what, size_t *len) {
    warm_config defaults;
    warm__config_defaults(&defaults);
    warm_buf b;
    warm_buf_init(&b, TEXT_MAX);
    if (what == WARM_CONFIG_HELP_MD)
        put_markdown(&b, &defaults);
    else if (what == WARM_CONFIG_HELP_MAN)
        put_man(&b, &defaults);
    else if (what == WARM_CONFIG_COMPLETION)
        put_completion(&b);
    else
        put_help(&b, &defaults);
    return warm_buf_take(&b, len);
}
