/* SPDX-License-Identifier: MIT
 *
 * main.c - the program: which command, and how a server is put together. Wiring only.
 *
 * serve: the main thread runs the HTTP loop, which listens before the model is loaded (health says so meanwhile); the engine thread
 * loads the model, tells the API, and runs the scheduler. A signal stops the loop, and the main thread takes the rest down
 * behind it: API, scheduler, cache, engine. A second signal ends the process at once.
 *
 * Exit status: 0 a clean end, 1 something failed, 2 wrong usage. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "api/api.h"
#include "api/params.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/sysmem.h"
#include "config/budget.h"
#include "config/config.h"
#include "http/http.h"
#include "llama/llama_engine.h"
#include "llama/mkmodel.h"
#include "sched/sched.h"
#include "tools/check.h"
#include "tools/replay.h"
#include "warmslot/cache.h"
#include "warmslot/store.h"

enum {
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    DEFAULT_SLOTS = 4,       /* llama-server's */
    EXTRA_SEQUENCES_OWN = 2, /* the same where each takes a window or a recurrent state of its own: loading one again is cheap */
    EXTRA_SEQUENCES = 16,    /* conversations that can stay in the context beside the running ones; each costs a row of logits */
    PREFAULT_MIB = 64,       /* about a second of saving at full speed */
    DISK_READERS = 2,        /* reads wait for the disk: it is their depth that counts, not their threads */
    BUDGET_CHECK_MS = 5000,  /* how soon memory that others take is given up */
    BUDGET_STEP_SHARE = 32   /* changes of the budget below this share are not worth making */
};

/* LOADING, then READY or FAILED by the engine thread, then ENDING by the main thread. */
enum phase { PHASE_LOADING, PHASE_READY, PHASE_FAILED, PHASE_ENDING };

typedef struct server {
    warm_config config;
    warm_http *http;
    warm_api *api;
    warm_http_timer *budget_timer;
    pthread_t engine_thread;
    _Atomic enum phase phase;
    /* made by the engine thread, and its own until PHASE_READY */
    warm_engine *engine;
    warm_worker *worker, *slot_worker, *disk_writer, *disk_readers;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_sched *sched;
    size_t budget_bytes; /* what was set last; the main thread's from PHASE_READY on */
} server;

/* ---- signals ---- */

static warm_http *stopped_by_signal;
static atomic_int n_signals;

static void on_signal(int sig) {
    if (atomic_fetch_add(&n_signals, 1)) _exit(128 + sig);
    warm_http_stop(stopped_by_signal);
}

static void catch_signals(warm_http *h) {
    stopped_by_signal = h;
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ---- the cache's size ---- */

static size_t budget_now(const server *s, size_t held_bytes) {
    uint64_t available = warm_sysmem_available(""), mapped = warm_budget_mapped_bytes("");
    if (available != UINT64_MAX) {
        available += held_bytes;
        available -= mapped < available ? mapped : available;
    }
    return warm_budget_for(s->config.cache_ram_mib, available, warm_sysmem_total(""));
}

/* On the loop thread, now and then: other programs come and go. */
static void check_budget(void *ud) {
    server *s = ud;
    warm_sched_status st;
    if (atomic_load(&s->phase) == PHASE_READY && s->cache && warm_sched_status_get(s->sched, &st) == 0) {
        size_t now = budget_now(s, st.cache.budget_used_bytes), step = s->budget_bytes / BUDGET_STEP_SHARE;
        warm_sched_status_free(&st);
        if (now + step < s->budget_bytes || now > s->budget_bytes + step) {
            warm_log_info("cache", "budget %zu MiB, was %zu: the machine's memory changed", now >> 20, s->budget_bytes >> 20);
            s->budget_bytes = now;
            warm_sched_set_budget(s->sched, now);
        }
    }
    warm_http_timer_arm(s->budget_timer, BUDGET_CHECK_MS);
}

static int open_cache(server *s, warm_err *err) {
    int64_t mib = s->config.cache_ram_mib;
    s->budget_bytes = budget_now(s, 0);
    if (!s->budget_bytes) {
        warm_log_info("cache", "no host memory is used for prompts%s", mib ? ": the machine has none to spare" : "");
        return 0;
    }
    if (mib > 0 && s->budget_bytes >> 20 < (size_t)mib)
        warm_log_warn("cache", "--cache-ram %lld is more than the machine can spare, using %zu MiB", (long long)mib,
                      s->budget_bytes >> 20);
    else
        warm_log_info("cache", "up to %zu MiB of host memory for prompts", s->budget_bytes >> 20);
    warm_budget_init(&s->budget, s->budget_bytes);
    int rc = warm_store_ram_open(&s->budget, (size_t)PREFAULT_MIB << 20, &s->store, err);
    if (rc) return rc;
    const warm_engine_info *info = s->engine->info;
    const warm_cache_options o = {.store = s->store,
                                  .budget = &s->budget,
                                  .now_ns = warm_clock_monotonic.now_ns,
                                  .policy = warm_policy_by_name(s->config.cache_policy),
                                  .window = info->n_window,
                                  .snapshots = warm_state_has_snapshots(info->state),
                                  .spill = s->config.disk_dir != NULL,
                                  .spill_snapshots_only = !warm_state_has_ranges(info->state)};
    return warm_cache_new(&o, &s->cache, err);
}

/* ---- the disk ---- */

/* What the files of the cache take by now. */
static uint64_t bytes_in(const char *dir) {
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    if (!d) return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode)) sum += (uint64_t)st.st_blocks * 512;
    }
    closedir(d);
    return sum;
}

static uint64_t disk_limit(const warm_config *c) {
    const double default_percent = 10;
    const uint64_t default_most = 64ull << 30;
    if (c->disk_size.bytes) return c->disk_size.bytes;
    struct statvfs fs;
    if (statvfs(c->disk_dir, &fs) != 0) return default_most; /* opening it says what is wrong */
    double percent = c->disk_size.percent > 0 ? c->disk_size.percent : default_percent;
    uint64_t bytes = (uint64_t)(((double)fs.f_bavail * (double)fs.f_frsize + (double)bytes_in(c->disk_dir)) * percent / 100);
    return c->disk_size.percent > 0 || bytes < default_most ? bytes : default_most;
}

/* The directory is made before its size is judged by the disk it is on. */
static int open_disk(server *s, warm_sched_disk *out, warm_err *err) {
    const warm_config *c = &s->config;
    if (!c->disk_read_only && mkdir(c->disk_dir, 0700) && errno != EEXIST)
        return warm_err_set(err, WARM_EIO, "--cache-disk: can't make '%.120s': %s", c->disk_dir, strerror(errno));
    int rc = warm_worker_new("disk-write", 1, &s->disk_writer, err);
    if (!rc) rc = warm_worker_new("disk-read", DISK_READERS, &s->disk_readers, err);
    if (rc) return rc;
    *out = (warm_sched_disk){.dir = c->disk_dir,
                             .read_only = c->disk_read_only,
                             .strict = c->cache_strict,
                             .backend = s->engine->info->backend,
                             .limit_bytes = disk_limit(c),
                             .write_bytes_a_day = c->disk_write_bytes_a_day,
                             .budget = &s->budget,
                             .writer = s->disk_writer,
                             .readers = s->disk_readers};
    warm_log_info("disk", "'%s': up to %llu MiB%s", c->disk_dir, (unsigned long long)(out->limit_bytes >> 20),
                  c->disk_read_only ? ", only read" : "");
    return 0;
}

/* ---- the engine thread ---- */

static unsigned n_cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)n;
}

/* What every request that says nothing else will use: a mistake in it is to be found now, not by each of them. */
static int check_sampling(const server *s, warm_err *err) {
    warm_defaults d;
    warm_sampler *sampler;
    warm_err why = {0};
    int rc = warm_defaults_init(&s->config, &d, err);
    if (rc) return rc;
    rc = s->engine->ops->sampler_new(s->engine, &d.sampling, &sampler, &why);
    warm_defaults_deinit(&d);
    if (rc) return warm_err_set(err, rc, "the options for sampling: %s", why.text);
    s->engine->ops->sampler_free(s->engine, sampler);
    return 0;
}

static int load(server *s, warm_err *err) {
    const warm_config *c = &s->config;
    uint32_t n_slots = c->n_parallel < 1 ? DEFAULT_SLOTS : (uint32_t)c->n_parallel;
    const warm_llama_options lo = {.argc = (int)c->n_engine_argv,
                                   .argv = c->engine_argv,
                                   .n_slots = n_slots,
                                   .n_seq_extra = EXTRA_SEQUENCES,
                                   .n_seq_extra_own = EXTRA_SEQUENCES_OWN,
                                   .chat_template = c->chat_template};
    int rc = warm_llama_open(&lo, &s->engine, err);
    if (rc) return rc;
    rc = check_sampling(s, err);
    if (rc) return rc;
    rc = open_cache(s, err);
    if (rc) return rc;
    if (!s->engine->info->can_shift && (c->context_shift || c->n_cache_reuse > 0))
        warm_log_warn("main", "this model's state can't be shifted: --context-shift and --cache-reuse have no effect");
    else if (c->n_cache_reuse > 0 && warm_state_has_snapshots(s->engine->info->state))
        warm_log_warn("main", "this model's state can't be cut where text was moved to: --cache-reuse has no effect");
    /* Checksums keep up with saving on a quarter of the cores, and leave the others to the engine. */
    rc = warm_worker_new("checksum", n_cpus() < 8 ? 1 : n_cpus() / 4 > 4 ? 4 : n_cpus() / 4, &s->worker, err);
    if (rc) return rc;
    /* Files are long jobs: behind one of them no checksum is to wait. */
    if (c->slot_save_path) rc = warm_worker_new("slot-file", 1, &s->slot_worker, err);
    if (rc) return rc;
    warm_sched_disk disk;
    bool has_disk = c->disk_dir && s->cache;
    if (has_disk) rc = open_disk(s, &disk, err);
    if (rc) return rc;
    const warm_sched_options so = {.engine = s->engine,
                                   .cache = s->cache,
                                   .store = s->store,
                                   .worker = s->worker,
                                   .clock = &warm_clock_monotonic,
                                   .n_slots = n_slots,
                                   .slice_ns = (uint64_t)(c->slice_ms * 1e6),
                                   .prefill_slice_ns = (uint64_t)(c->prefill_slice_ms * 1e6),
                                   .context_shift = c->context_shift,
                                   .slot_dir = c->slot_save_path,
                                   .slot_worker = s->slot_worker,
                                   .disk = has_disk ? &disk : NULL,
                                   .log_prompts = c->log_prompts};
    warm_err why = {0};
    rc = warm_sched_new(&so, &s->sched, &why);
    if (rc && has_disk && rc == WARM_EAGAIN)
        return warm_err_set(err, rc, "--cache-disk: %s; --cache-disk-ro shares it without writing", why.text);
    return rc ? warm_err_set(err, rc, "%s", why.text) : 0;
}

static bool is_unix_socket(const char *host) {
    size_t n = strlen(host);
    return strncmp(host, "unix:", 5) == 0 || (n > 5 && strcmp(host + n - 5, ".sock") == 0);
}

/* For people and for scripts that wait for it: on standard output, when requests are served. */
static void print_addresses(const server *s) {
    printf("listening on");
    for (size_t i = 0; i < s->config.n_hosts; i++) {
        const char *host = s->config.hosts[i], *comma = i ? "," : "";
        bool is_v6 = strchr(host, ':') != NULL && *host != '[';
        if (is_unix_socket(host))
            printf("%s %s%s", comma, strncmp(host, "unix:", 5) == 0 ? "" : "unix:", host);
        else
            printf("%s http%s://%s%s%s:%u%s", comma, s->config.ssl_cert_file ? "s" : "", is_v6 ? "[" : "", host, is_v6 ? "]" : "",
                   warm_http_port(s->http), s->config.api_prefix);
    }
    printf("\n");
    fflush(stdout);
}

static void *run_engine(void *arg) {
    server *s = arg;
    warm_err err = {0};
    enum phase loading = PHASE_LOADING;
    if (load(s, &err)) {
        warm_log_error("main", "%s", err.text);
        if (atomic_compare_exchange_strong(&s->phase, &loading, PHASE_FAILED)) warm_http_stop(s->http);
        return NULL;
    }
    warm_api_ready(s->api, s->engine, s->sched);
    if (!atomic_compare_exchange_strong(&s->phase, &loading, PHASE_READY)) return NULL;
    print_addresses(s);
    warm_sched_run(s->sched);
    return NULL;
}

/* ---- serve ---- */

static int open_http(server *s, warm_err *err) {
    const warm_config *c = &s->config;
    const warm_http_options ho = {.hosts = c->hosts,
                                  .n_hosts = c->n_hosts,
                                  .port = (uint16_t)c->port,
                                  .prefix = c->api_prefix,
                                  .timeout_s = c->timeout_s,
                                  .api_keys = c->api_keys,
                                  .n_api_keys = c->n_api_keys,
                                  .reuse_port = c->reuse_port,
                                  .tls_cert_file = c->ssl_cert_file,
                                  .tls_key_file = c->ssl_key_file,
                                  .cors_origins = c->cors_origins,
                                  .cors_methods = c->cors_methods,
                                  .cors_headers = c->cors_headers,
                                  .cors_no_credentials = !c->cors_credentials,
                                  .error_body = warm_api_error_body};
    int rc = warm_http_new(&ho, &s->http, err);
    if (rc) return rc;
    const warm_api_options ao = {.config = c, .http = s->http};
    rc = warm_api_new(&ao, &s->api, err);
    if (rc) return rc;
    s->budget_timer = warm_http_timer_new(s->http, check_budget, s);
    if (!s->budget_timer) return warm_err_set(err, WARM_ENOMEM, "out of memory");
    warm_http_timer_arm(s->budget_timer, BUDGET_CHECK_MS);
    return 0;
}

/* The rest of the order that api.h asks for; what was not made, or is gone already, is NULL. */
static void close_server(server *s) {
    if (s->api) warm_api_free(s->api);
    if (s->sched) warm_sched_free(s->sched);
    if (s->worker) warm_worker_free(s->worker);
    if (s->slot_worker) warm_worker_free(s->slot_worker);
    if (s->disk_writer) warm_worker_free(s->disk_writer);
    if (s->disk_readers) warm_worker_free(s->disk_readers);
    if (s->cache) warm_cache_free(s->cache);
    if (s->store) s->store->ops->close(s->store);
    if (s->engine) s->engine->ops->close(s->engine);
    warm_http_timer_free(s->budget_timer);
    if (s->http) {
        warm_http_free(s->http);
        warm_log_info("main", "stopped");
    }
    warm_config_free(&s->config);
}

static int run_server(server *s) {
    warm_err err = {0};
    int rc = open_http(s, &err);
    if (!rc && pthread_create(&s->engine_thread, NULL, run_engine, s) != 0)
        rc = warm_err_set(&err, WARM_EAGAIN, "can't start a thread for the engine");
    if (rc) {
        warm_log_error("main", "%s", err.text);
        return rc == WARM_EINVAL ? EXIT_USAGE : EXIT_FAILED;
    }
    catch_signals(s->http);
    warm_log_info("main", "port %u is open, the model is being loaded", warm_http_port(s->http));
    warm_http_run(s->http);

    atomic_store(&n_signals, 1); /* there is nothing left to stop: a further signal ends the process */
    enum phase was = atomic_exchange(&s->phase, PHASE_ENDING);
    if (was == PHASE_LOADING) {
        /* Loading can't be interrupted, and nothing is lost. */
        warm_log_info("main", "stopped while the model was being loaded");
        _exit(EXIT_SUCCESS);
    }
    warm_api_free(s->api);
    s->api = NULL;
    if (was == PHASE_READY) warm_sched_stop(s->sched);
    pthread_join(s->engine_thread, NULL);
    return was == PHASE_FAILED ? EXIT_FAILED : EXIT_SUCCESS;
}

static int start_log(const warm_config *c, warm_err *err) {
    enum warm_log_level level = c->verbosity >= 4   ? WARM_LOG_DEBUG
                                : c->verbosity == 3 ? WARM_LOG_INFO
                                : c->verbosity == 2 ? WARM_LOG_WARN
                                                    : WARM_LOG_ERROR;
    int rc = warm_log_open(level, c->log_json, c->log_file, err);
    for (size_t i = 0; !rc && i < c->n_warnings; i++) warm_log_warn("config", "%s", c->warnings[i]);
    return rc;
}

/* ---- commands ---- */

static int usage(const char *message) {
    fprintf(stderr, "warmslot: %s\nwarmslot --help shows all options\n", message);
    return EXIT_USAGE;
}

static int print_text(int what) {
    size_t len = 0;
    char *text = warm_config_text(what, &len);
    bool done = text && fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
    free(text);
    return done ? EXIT_SUCCESS : EXIT_FAILED;
}

/* The engine's parser prints the list and ends the process, as its --list-devices does. */
static int list_devices(const warm_config *c) {
    const char **argv = warm_xcalloc(c->n_engine_argv + 1, sizeof(*argv));
    for (size_t i = 0; i < c->n_engine_argv; i++) argv[i] = c->engine_argv[i];
    argv[c->n_engine_argv] = "--list-devices";
    const warm_llama_options o = {.argc = (int)c->n_engine_argv + 1, .argv = argv};
    warm_engine *e;
    warm_err err = {0};
    if (warm_llama_open(&o, &e, &err) == 0) e->ops->close(e);
    free(argv);
    fprintf(stderr, "warmslot: %s\n", err.text);
    return EXIT_FAILED;
}

/* Only the cache knows their names. */
static int check_policy(const warm_config *c, warm_err *err) {
    if (warm_policy_by_name(c->cache_policy)) return 0;
    char known[64] = "";
    size_t at = 0;
    for (const char *const *name = warm_policy_names(); *name && at < sizeof(known); name++)
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", at ? ", " : "", *name);
    return warm_err_set(err, WARM_EINVAL, "--cache-policy: unknown policy '%.40s', there are: %s", c->cache_policy, known);
}

static int serve(int argc, char **argv) {
    server s = {.phase = PHASE_LOADING};
    warm_err err = {0};
    int status, what = warm_config_parse(argc, argv, NULL, &s.config, &err);
    if (what < 0) return usage(err.text);
    if (what == WARM_CONFIG_VERSION)
        status = printf("warmslot %s\n", WARMSLOT_VERSION) > 0 ? EXIT_SUCCESS : EXIT_FAILED;
    else if (what == WARM_CONFIG_DEVICES)
        status = list_devices(&s.config);
    else if (what != WARM_CONFIG_OK)
        status = print_text(what);
    else if (!s.config.model)
        status = usage("no model: give -m FILE");
    else if (check_policy(&s.config, &err) || start_log(&s.config, &err))
        status = usage(err.text);
    else
        status = run_server(&s);
    close_server(&s);
    return status;
}

int main(int argc, char **argv) {
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
    if (!command) return serve(argc, argv);
    if (strcmp(command, "serve") == 0) return serve(argc - 1, argv + 1);
    if (strcmp(command, "mkmodel") == 0) return warm_mkmodel_main(argc - 1, argv + 1);
    if (strcmp(command, "replay") == 0) return warm_replay_main(argc - 1, argv + 1);
    if (strcmp(command, "check") == 0) return warm_check_main(argc - 1, argv + 1);
    char message[160];
    snprintf(message, sizeof(message), "unknown command '%.80s': there are serve, mkmodel, replay and check", command);
    return usage(message);
}
