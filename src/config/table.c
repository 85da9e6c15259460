/* SPDX-License-Identifier: MIT
 *
 * config/table.c - finding things in the option table: by name, by variable, and by a name that is nearly right.
 *
 * The table has a few hundred entries and is walked a few dozen times in a process's life, so it is walked.
 * Threads: none; nothing is written. */
#include <stdio.h>
#include <string.h>

#include "config/options.h"

const warm_opt *warm__opt_at(size_t i) {
    for (size_t s = 0; s < warm__opt_n_sections; s++) {
        if (i < warm__opt_sections[s].n) return &warm__opt_sections[s].opts[i];
        i -= warm__opt_sections[s].n;
    }
    return NULL;
}

const char *warm__opt_next(const char *list, char buf[OPT_NAME_MAX]) {
    if (!list || !*list) return NULL;
    size_t n = strcspn(list, ",");
    snprintf(buf, OPT_NAME_MAX, "%.*s", (int)n, list);
    return list[n] ? list + n + 1 : list + n;
}

static bool in_list(const char *list, const char *name) {
    char one[OPT_NAME_MAX];
    while ((list = warm__opt_next(list, one)))
        if (strcmp(one, name) == 0) return true;
    return false;
}

const warm_opt *warm__opt_find(const char *name, bool *on) {
    for (size_t i = 0; warm__opt_at(i); i++) {
        const warm_opt *o = warm__opt_at(i);
        *on = in_list(o->names, name);
        if (*on || in_list(o->off, name)) return o;
    }
    return NULL;
}

void warm__opt_long(const char *list, char buf[OPT_NAME_MAX]) {
    while ((list = warm__opt_next(list, buf)) && strncmp(buf, "--", 2) != 0)
        ;
}

bool warm__opt_off_env(const warm_opt *o, char buf[OPT_NAME_MAX]) {
    static const char prefix[] = "LLAMA_ARG_";
    if (o->value != OPT_BOOL || !o->env || strncmp(o->env, prefix, sizeof(prefix) - 1) != 0) return false;
    snprintf(buf, OPT_NAME_MAX, "%sNO_%s", prefix, o->env + sizeof(prefix) - 1);
    return true;
}

/* Insertions, deletions, replacements and swaps of neighbours that lead from a to b. Names are cut at OPT_NAME_MAX. */
static unsigned edits(const char *a, const char *b) {
    size_t n = strnlen(a, OPT_NAME_MAX), m = strnlen(b, OPT_NAME_MAX);
    unsigned d[3][OPT_NAME_MAX + 1]; /* the last three rows */
    for (size_t j = 0; j <= m; j++) d[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            unsigned best = up[j - 1] + (a[i - 1] != b[j - 1]);
            if (up[j] + 1 < best) best = up[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < best) best = up2[j - 2] + 1;
            row[j] = best;
        }
    }
    return d[n % 3][m];
}

static void keep_nearer(const char *name, const char *candidate, unsigned *best, char buf[OPT_NAME_MAX]) {
    unsigned d = edits(name, candidate);
    if (d >= *best) return;
    *best = d;
    snprintf(buf, OPT_NAME_MAX, "%s", candidate);
}

void warm__opt_nearest(const char *name, char buf[OPT_NAME_MAX]) {
    unsigned best = OPT_NAME_MAX * 2;
    char one[OPT_NAME_MAX];
    for (size_t i = 0; warm__opt_at(i); i++) {
        for (const char *l = warm__opt_at(i)->names; (l = warm__opt_next(l, one));) keep_nearer(name, one, &best, buf);
        for (const char *l = warm__opt_at(i)->off; (l = warm__opt_next(l, one));) keep_nearer(name, one, &best, buf);
    }
}

void warm__opt_nearest_env(const char *name, char buf[OPT_NAME_MAX]) {
    unsigned best = OPT_NAME_MAX * 2;
    for (size_t i = 0; warm__opt_at(i); i++)
        if (warm__opt_at(i)->env) keep_nearer(name, warm__opt_at(i)->env, &best, buf);
}
