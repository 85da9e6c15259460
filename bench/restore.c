/* SPDX-License-Identifier: MIT
 *
 * bench/restore.c - how fast a conversation comes back from host memory into the context, and what a block of a small one costs there.
 *
 * Large states: the whole way, checksums on the worker and calls into libllama, beside a memcpy of the same bytes in the same pieces, in alternation.
 * The bar is 0.8 x of its rate at 64 KiB per token and more.
 * Small states: libllama's calls search all cells of the context, so a block's time grows with n_ctx. A walk over the cells is timed by sharing one unit
 * with another sequence and removing it there, which is two of them and nothing else; what a block's time grows by, in walks, is the number
 * of walks that a block costs. The bar is 4. The contexts are filled but for the room of the conversation, so that no walk is a short one.
 *
 *   restore [THREADS]      default 2; a minute and 2 GB */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "engine/kv_io.h"
#include "llama/llama_engine.h"
#include "llama/mkmodel.h"

enum { REPEATS = 15, UNITS = 2048, BLOCKS = UNITS / WARM_BLOCK_UNITS, SEQS = 200, WALKS = 25 };

static const double rate_bar = 0.8, walks_bar = 4;

typedef struct rig {
    char model[64];
    warm_engine *e;
    warm_budget budget;
    warm_store *store;
    warm_cache *cache;
    warm_worker *worker;
    warm_kv *kv;
    warm_scope *scope;
    warm_unit units[UNITS + 1];
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned n_wakes;
} rig;

static void must(int rc, const warm_err *err, const char *what) {
    if (rc >= 0) return;
    fprintf(stderr, "restore: %s: %s\n", what, err && err->text[0] ? err->text : warm_strerror(rc));
    exit(1);
}

static uint64_t now(void) {
    return warm_clock_now(&warm_clock_monotonic);
}

static void wake(void *ud) {
    rig *r = ud;
    pthread_mutex_lock(&r->lock);
    r->n_wakes++;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->lock);
}

static void decode_units(rig *r) {
    static int32_t token[UNITS], pos[UNITS], seq[UNITS];
    static uint8_t want[UNITS];
    for (size_t i = 0; i < UNITS; i++) {
        token[i] = (int32_t)(1000 + i * 7919 % 20000);
        pos[i] = (int32_t)i;
        r->units[i] = (warm_unit)token[i];
    }
    size_t step = r->e->info->n_ubatch;
    for (size_t at = 0; at < UNITS; at += step) {
        warm_batch b = {
            .n = UNITS - at < step ? UNITS - at : step, .token = token + at, .pos = pos + at, .seq = seq + at, .want = want};
        warm_err err = {0};
        must(r->e->ops->decode(r->e, &b, &err), &err, "decode");
    }
}

static void open_rig(rig *r, uint32_t layers, uint32_t kv_heads, unsigned n_ctx, const char *threads) {
    *r = (rig){.n_wakes = 0};
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->cond, NULL);
    snprintf(r->model, sizeof r->model, "/tmp/warmslot-restore-%d.gguf", (int)getpid());
    warm_err err = {0};
    const warm_mkmodel_options mo = {
        .kind = "dense", .out = r->model, .vocab = "phi-3", .layers = layers, .heads = kv_heads, .kv_heads = kv_heads, .ff = 32};
    must(warm_mkmodel(&mo, &err), &err, "mkmodel");
    char ctx[16];
    snprintf(ctx, sizeof ctx, "%u", n_ctx);
    const char *argv[] = {"restore", "-m", r->model, "-c", ctx, "-t", threads, "--no-warmup"};
    const warm_llama_options lo = {.argc = sizeof argv / sizeof *argv, .argv = argv, .n_slots = 1, .n_seq_extra = SEQS};
    must(warm_llama_open(&lo, &r->e, &err), &err, "open");
    warm_budget_init(&r->budget, (size_t)1 << 30);
    must(warm_store_ram_open(&r->budget, (size_t)512 << 20, &r->store, &err), &err, "store");
    must(warm_cache_new(&(warm_cache_options){.store = r->store, .budget = &r->budget}, &r->cache, &err), &err, "cache");
    must(warm_worker_new("checksum", 1, &r->worker, &err), &err, "worker");
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope_fingerprint("restore", NULL, NULL, fingerprint);
    must(warm_cache_scope(r->cache, fingerprint, &r->scope), NULL, "scope");
    const warm_kv_options ko = {.engine = r->e,
                                .cache = r->cache,
                                .worker = r->worker,
                                .clock = &warm_clock_monotonic,
                                .slice_ns = 2000000,
                                .wake = wake,
                                .ud = r};
    r->kv = warm_kv_new(&ko);
    decode_units(r);
}

static void close_rig(rig *r) {
    warm_kv_free(r->kv);
    warm_worker_free(r->worker);
    warm_cache_free(r->cache);
    r->store->ops->close(r->store);
    r->e->ops->close(r->e);
    unlink(r->model);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->lock);
}

/* Saves sequence 0 into the empty tree. */
static void save(rig *r) {
    warm_path p;
    warm_cache_lookup(r->cache, r->scope, r->units, UNITS, &p);
    int rc;
    while ((rc = warm_kv_save(r->kv, 0, &p, r->units, UNITS, false)) > 0) warm_kv_poll(r->kv);
    must(rc, NULL, "save");
    warm_path_release(r->cache, &p);
}

/* Until every checksum is there. */
static void settle(rig *r) {
    usleep(200000);
    warm_kv_poll(r->kv);
}

/* The first time measures what calls take, which decides the size of the second one's pieces. */
static void save_twice(rig *r) {
    save(r);
    settle(r);
    warm_cache_clear(r->cache);
    save(r);
    settle(r);
}

/* Brings the conversation into sequence seq, which is empty, as the scheduler does on an idle server. Nanoseconds; *calls_ns: those in the engine, the
 * others being waits for checksums. */
static uint64_t restore(rig *r, int32_t seq, unsigned *n_calls, uint64_t *calls_ns) {
    warm_path p;
    warm_resume goal;
    uint64_t t0 = now();
    warm_cache_lookup(r->cache, r->scope, r->units, UNITS, &p);
    must(warm_cache_resume(r->cache, &p, &goal), NULL, "resume");
    warm_kv_load *l = warm_kv_load_begin(r->kv, seq, &goal, 0, true);
    size_t n, sum = 0;
    int rc;
    *calls_ns = 0;
    for (*n_calls = 0;; sum += n) {
        pthread_mutex_lock(&r->lock);
        r->n_wakes = 0;
        pthread_mutex_unlock(&r->lock);
        warm_kv_poll(r->kv);
        uint64_t call = now();
        rc = warm_kv_load_next(r->kv, l, &n);
        *calls_ns += now() - call;
        if (rc < 0) break;
        *n_calls += rc > 0;
        if (rc > 0) continue;
        pthread_mutex_lock(&r->lock);
        while (!r->n_wakes) pthread_cond_wait(&r->cond, &r->lock);
        pthread_mutex_unlock(&r->lock);
    }
    warm_kv_load_end(r->kv, l);
    uint64_t ns = now() - t0;
    must(rc == WARM_ENOTFOUND && sum == UNITS ? 0 : WARM_EENGINE, NULL, "load");
    return ns;
}

/* Copies the pieces of the conversation to `to`, one after the other, into memory that is there. */
static uint64_t copy(rig *r, uint8_t *to, size_t *bytes) {
    warm_path p;
    warm_cache_lookup(r->cache, r->scope, r->units, UNITS, &p);
    uint64_t t0 = now();
    *bytes = 0;
    for (size_t at = 0; at < UNITS;) {
        warm_piece_view v;
        warm_path_piece(r->cache, &p, at, &v);
        memcpy(to + *bytes, v.data, v.bytes);
        *bytes += v.bytes;
        at = v.start + v.n_units;
        warm_piece_unref(r->cache, v.piece);
    }
    uint64_t ns = now() - t0;
    warm_path_release(r->cache, &p);
    return ns;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static double median(uint64_t *ns, size_t n) {
    qsort(ns, n, sizeof *ns, by_value);
    return (double)ns[n / 2];
}

static bool large(uint32_t layers, uint32_t kv_heads, const char *threads) {
    static rig r;
    open_rig(&r, layers, kv_heads, 8192, threads);
    size_t room = r.e->ops->state_bytes(r.e, UNITS) * 5 / 4, bytes = 0;
    uint8_t *to = malloc(room);
    must(to ? 0 : WARM_ENOMEM, NULL, "memory");
    memset(to, 1, room);
    save_twice(&r);
    uint64_t load_ns[REPEATS], copy_ns[REPEATS], calls_ns[REPEATS];
    unsigned n_calls = 0;
    r.e->ops->seq_rm(r.e, 0, 0, -1);
    for (int i = -1; i < REPEATS; i++) { /* the first of each only touches what they use */
        uint64_t calls, a = restore(&r, 0, &n_calls, &calls), b = copy(&r, to, &bytes);
        if (i >= 0) load_ns[i] = a, copy_ns[i] = b, calls_ns[i] = calls;
        r.e->ops->seq_rm(r.e, 0, 0, -1);
    }
    double load = median(load_ns, REPEATS), memcpy_ns = median(copy_ns, REPEATS), ratio = memcpy_ns / load;
    printf("%3zu KiB per token: %u pieces of %.2f MB, restored at %.2f GB/s (%.2f in the engine's calls), memcpy %.2f GB/s: %.2f x "
           "(at least %.1f)\n",
           bytes / UNITS >> 10, n_calls, (double)bytes / 1e6 / n_calls, (double)bytes / load,
           (double)bytes / median(calls_ns, REPEATS), (double)bytes / memcpy_ns, ratio, rate_bar);
    free(to);
    close_rig(&r);
    return ratio >= rate_bar;
}

typedef struct cost {
    double block_ns, walk_ns;
} cost;

static cost small(unsigned n_ctx, const char *threads) {
    static rig r;
    open_rig(&r, 4, 2, n_ctx, threads);
    save_twice(&r);
    unsigned n_calls = 0;
    uint64_t calls;
    int32_t last = 0;
    for (size_t used = UNITS; used + 2 * UNITS <= n_ctx; used += UNITS) restore(&r, ++last, &n_calls, &calls);
    uint64_t ns[REPEATS], walk[WALKS];
    for (int i = -1; i < REPEATS; i++) {
        uint64_t t = restore(&r, last + 1, &n_calls, &calls);
        if (i >= 0) ns[i] = t;
        r.e->ops->seq_rm(r.e, last + 1, 0, -1);
    }
    for (int i = 0; i < WALKS; i++) {
        uint64_t t = now();
        must(r.e->ops->fork(r.e, 0, last + 1, 1, true, NULL), NULL, "fork");
        r.e->ops->seq_rm(r.e, last + 1, 0, -1);
        walk[i] = (now() - t) / 2;
    }
    cost c = {median(ns, REPEATS) / BLOCKS, median(walk, WALKS)};
    printf("  n_ctx %6u: %6.1f us per block in %.1f calls, a walk over its cells %.1f us\n", n_ctx, c.block_ns / 1e3,
           (double)n_calls / BLOCKS, c.walk_ns / 1e3);
    close_rig(&r);
    return c;
}

int main(int argc, char **argv) {
    const char *threads = argc > 1 ? argv[1] : "2";
    must(warm_log_open(WARM_LOG_ERROR, false, NULL, NULL), NULL, "log");
    bool good = large(4, 64, threads);
    good = large(8, 64, threads) && good;
    printf("2 KiB per token\n");
    cost least = small(8192, threads);
    (void)small(65536, threads);
    cost most = small(262144, threads);
    double walks = (most.block_ns - least.block_ns) / (most.walk_ns - least.walk_ns);
    printf("  a block's time grows by %.1f walks (at most %.0f)\n", walks, walks_bar);
    return good && walks <= walks_bar ? 0 : 1;
}
