/* SPDX-License-Identifier: MIT
 *
 * tools/replay_args.c - what `warmslot replay` is asked for. See replay.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/number.h"
#include "tools/replay.h"
#include "warmslot/cache.h"

enum { KV_BYTES = 131072, PREFILL_RATE = 5000 }; /* of a model of 8 billion parameters on a small GPU */

static const char usage_text[] =
    "usage: warmslot replay TRACE... [options]\n"
    "\n"
    "Replays the requests of a trace, on a simulated engine or against a server, and prints what they cost.\n"
    "\n"
    "who asks:\n"
    "  --users N          N people with a session each, with the trace's time between an answer and the next request\n"
    "  --rotate N         N sessions in turn, one request at a time\n"
    "                     unless said otherwise: texts in turn, sessions with 8 users, requests with times at their times\n"
    "  --part K/N         only the K-th of N parts: every N-th session, or that share of the time\n"
    "  --repeat N         go through the trace N times, each time with other prompts of the same shape\n"
    "  --scale N          prompts and answers of blocks are N times shorter\n"
    "  --predict N        tokens to generate, or `trace`; 1 unless said otherwise\n"
    "\n"
    "  --engine sim|URL   the simulated engine (unless said otherwise), or a server like http://127.0.0.1:8080\n"
    "\n"
    "simulated engine:\n"
    "  --ram SIZE,...     the cache's size: bytes (64G), a share of the live set (3/4), or tokens (2.5Mt); 1/1 (all of\n"
    "                     the live set) unless said otherwise, of requests with times 1Mt. Each is a run\n"
    "  --policy NAME,...  what is evicted; each is a run\n"
    "  --kv-bytes N       of a token; 131072 unless said otherwise\n"
    "  --prefill-rate N   tokens a second of a prompt's beginning; 5000 unless said otherwise\n"
    "  --slots N          answers at once; 1 in turn, else up to 4\n"
    "  --ctx N            the context; what the longest prompt with its answer needs unless said otherwise\n"
    "\n"
    "server:\n"
    "  --parallel N       N sessions, or requests, side by side, each as soon as it was answered; 1 unless said otherwise\n"
    "  --vocab N          token ids are below it; what the server says unless said otherwise\n"
    "\n"
    "  --seed N           other tokens of the same shape\n"
    "  --json FILE        the figures as JSON, too; - is standard output, without the table\n"
    "  -h, --help         this text\n";

const char *warm_replay_usage(void) {
    return usage_text;
}

void warm_replay_options_free(warm_replay_options *o) {
    free(o->traces);
    o->traces = NULL;
}

/* ---- values ---- */

static bool whole(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    return warm_parse_whole(text, out) && *out >= least && *out <= most;
}

static int take_number(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *out, warm_err *err) {
    if (whole(text, least, most, out)) return 0;
    return warm_err_set(err, WARM_EINVAL, "%s: a number from %llu to %llu is needed, not '%.40s'", name, (unsigned long long)least,
                        (unsigned long long)most, text);
}

static int take_u32(const char *name, const char *text, uint32_t *out, warm_err *err) {
    uint64_t v;
    int rc = take_number(name, text, 1, 1u << 30, &v, err);
    if (!rc) *out = (uint32_t)v;
    return rc;
}

/* 64G, 512MiB, 1000000; 2.5Mt; 3/4 */
static bool parse_ram(const char *text, warm_replay_ram *r) {
    static const char letters[] = "kmgt";
    char *end;
    if (*text < '0' || *text > '9' || strlen(text) >= sizeof r->text) return false;
    memcpy(r->text, text, strlen(text) + 1);
    r->value = strtod(text, &end);
    r->kind = WARM_RAM_BYTES;
    uint64_t of;
    if (*end == '/') {
        r->kind = WARM_RAM_LIVE;
        if (!whole(end + 1, 1, 1000000, &of)) return false;
        r->value /= (double)of;
        return r->value > 0;
    }
    size_t len = strlen(end);
    bool tokens = len && end[len - 1] == 't';
    if (tokens) len--;
    const char *letter = len ? strchr(letters, *end | 0x20) : NULL;
    if (len && !letter) return false;
    for (long i = letter ? letter - letters + 1 : 0; i; i--) r->value *= tokens ? 1000 : 1024;
    if (tokens) r->kind = WARM_RAM_TOKENS;
    bool good_end = len <= 1 || (!tokens && (!strcmp(end + 1, "B") || !strcmp(end + 1, "iB")));
    return good_end && r->value < 1e18;
}

/* The next of a list; false at its end. */
static bool next_item(const char **list, char *out, size_t cap) {
    if (!*list) return false;
    size_t n = strcspn(*list, ",");
    snprintf(out, cap, "%.*s", (int)n, *list);
    *list = (*list)[n] ? *list + n + 1 : NULL;
    return true;
}

static int take_ram(warm_replay_options *o, const char *list, warm_err *err) {
    char item[64];
    o->n_ram = 0;
    while (next_item(&list, item, sizeof item)) {
        if (o->n_ram == WARM_REPLAY_CELLS_MAX)
            return warm_err_set(err, WARM_EINVAL, "--ram: at most %d sizes", WARM_REPLAY_CELLS_MAX);
        if (!parse_ram(item, &o->ram[o->n_ram]))
            return warm_err_set(err, WARM_EINVAL,
                                "--ram: '%s' is no size: bytes (64G), a share of the live set (3/4) or tokens (2.5Mt)", item);
        o->n_ram++;
    }
    return 0;
}

static int take_policies(warm_replay_options *o, const char *list, warm_err *err) {
    char item[64];
    size_t used = 0;
    o->n_policies = 0;
    while (next_item(&list, item, sizeof item)) {
        size_t len = strlen(item);
        if (o->n_policies == WARM_REPLAY_POLICIES_MAX || used + len >= sizeof o->policy_names)
            return warm_err_set(err, WARM_EINVAL, "--policy: at most %d", WARM_REPLAY_POLICIES_MAX);
        if (!warm_policy_by_name(item)) return warm_err_set(err, WARM_EINVAL, "--policy: there is no '%s'", item);
        memcpy(o->policy_names + used, item, len + 1);
        o->policies[o->n_policies++] = o->policy_names + used;
        used += len + 1;
    }
    return 0;
}

static int take_part(warm_replay_options *o, const char *text, warm_err *err) {
    char item[32];
    uint64_t part, n;
    const char *slash = strchr(text, '/');
    if (slash && slash - text < 16) {
        snprintf(item, sizeof item, "%.*s", (int)(slash - text), text);
        if (whole(slash + 1, 1, 1000, &n) && whole(item, 1, n, &part)) {
            o->part = (uint32_t)part;
            o->n_parts = (uint32_t)n;
            return 0;
        }
    }
    return warm_err_set(err, WARM_EINVAL, "--part: K/N with 1 <= K <= N is needed, not '%.40s'", text);
}

static int take_rate(warm_replay_options *o, const char *text, warm_err *err) {
    char *end;
    o->prefill_rate = strtod(text, &end);
    if (end != text && !*end && o->prefill_rate >= 1 && o->prefill_rate <= 1e8) return 0;
    return warm_err_set(err, WARM_EINVAL, "--prefill-rate: tokens a second, from 1 to 1e8, not '%.40s'", text);
}

static int take_predict(warm_replay_options *o, const char *text, warm_err *err) {
    uint64_t v;
    if (!strcmp(text, "trace")) {
        o->predict = -1;
        return 0;
    }
    int rc = take_number("--predict", text, 1, 1u << 20, &v, err);
    if (!rc) o->predict = (int64_t)v;
    return rc;
}

static int take_option(warm_replay_options *o, const char *name, const char *value, warm_err *err) {
    if (!strcmp(name, "--engine")) return o->engine = value, 0;
    if (!strcmp(name, "--json")) return o->json = value, 0;
    if (!strcmp(name, "--users")) return take_u32(name, value, &o->users, err);
    if (!strcmp(name, "--rotate")) return take_u32(name, value, &o->rotate, err);
    if (!strcmp(name, "--slots")) return take_u32(name, value, &o->slots, err);
    if (!strcmp(name, "--ctx")) return take_u32(name, value, &o->ctx, err);
    if (!strcmp(name, "--parallel")) return take_u32(name, value, &o->parallel, err);
    if (!strcmp(name, "--scale")) return take_u32(name, value, &o->scale, err);
    if (!strcmp(name, "--part")) return take_part(o, value, err);
    if (!strcmp(name, "--ram")) return take_ram(o, value, err);
    if (!strcmp(name, "--policy")) {
        o->has_policies = true;
        return take_policies(o, value, err);
    }
    if (!strcmp(name, "--prefill-rate")) return take_rate(o, value, err);
    if (!strcmp(name, "--predict")) return take_predict(o, value, err);
    if (!strcmp(name, "--kv-bytes")) return take_number(name, value, 16, 1u << 30, &o->kv_bytes, err);
    if (!strcmp(name, "--repeat")) return take_number(name, value, 1, 1000000, &o->n_repeats, err);
    if (!strcmp(name, "--vocab")) {
        uint64_t v;
        int rc = take_number(name, value, 2, INT32_MAX, &v, err);
        if (!rc) o->vocab = (int32_t)v;
        return rc;
    }
    if (!strcmp(name, "--seed")) return take_number(name, value, 0, UINT64_MAX, &o->seed, err);
    if (!strcmp(name, "--disk")) return warm_err_set(err, WARM_EINVAL, "--disk: there is no disk tier yet");
    return warm_err_set(err, WARM_EINVAL, "unknown option '%.40s'", name);
}

static int check(const warm_replay_options *o, warm_err *err) {
    if (!o->n_traces) return warm_err_set(err, WARM_EINVAL, "no TRACE was given");
    if (o->users && o->rotate) return warm_err_set(err, WARM_EINVAL, "--users or --rotate, not both");
    if (!strcmp(o->engine, "sim")) {
        if (o->parallel) return warm_err_set(err, WARM_EINVAL, "--parallel is for a server; the simulated engine has --users");
        if (o->vocab) return warm_err_set(err, WARM_EINVAL, "--vocab is for a server");
        return 0;
    }
    if (strncmp(o->engine, "http://", 7))
        return warm_err_set(err, WARM_EINVAL, "--engine: '%.80s' is neither sim nor http://host:port", o->engine);
    if (o->users) return warm_err_set(err, WARM_EINVAL, "--users is for the simulated engine: a server is asked by --parallel N");
    if (o->parallel && o->rotate) return warm_err_set(err, WARM_EINVAL, "--parallel or --rotate, not both");
    if (o->n_ram || o->slots || o->ctx || o->has_policies || o->kv_bytes || o->prefill_rate > 0)
        return warm_err_set(
            err, WARM_EINVAL,
            "--ram, --policy, --kv-bytes, --prefill-rate, --slots and --ctx are for the simulated engine: a server has its own");
    return 0;
}

int warm_replay_parse(int argc, char **argv, warm_replay_options *o, warm_err *err) {
    *o = (warm_replay_options){.engine = "sim", .scale = 1, .part = 1, .n_parts = 1, .n_repeats = 1, .predict = 1};
    o->traces = warm_xcalloc((size_t)argc, sizeof *o->traces);
    int rc = take_policies(o, warm_policy_names()[0], err);
    for (int i = 1; !rc && i < argc; i++) {
        if (argv[i][0] != '-') {
            o->traces[o->n_traces++] = argv[i];
            continue;
        }
        if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help")) return WARM_REPLAY_HELP;
        if (i + 1 == argc) return warm_err_set(err, WARM_EINVAL, "%.40s: a value is needed", argv[i]);
        rc = take_option(o, argv[i], argv[i + 1], err);
        i++;
    }
    if (!rc) rc = check(o, err);
    if (!o->parallel) o->parallel = 1;
    if (!o->kv_bytes) o->kv_bytes = KV_BYTES;
    if (!(o->prefill_rate > 0)) o->prefill_rate = PREFILL_RATE;
    return rc ? rc : WARM_REPLAY_RUN;
}
