/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_world.c - see exact_world.h. */
#include "exact_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "llama/llama_engine.h"
#include "llama/mkmodel.h"
#include "slot_order.h"

#undef NDEBUG
#include <assert.h>

enum { PLAIN_CTX = 1536, PLAIN_UBATCH = 512, CHUNK_LEAST = 64, CACHE_BYTES = 64 << 20 };

const exact_layout exact_alone = {0}, exact_beside = {.beside = true};

static char folder[64];

static void remove_folder(void) {
    char cmd[128];
    snprintf(cmd, sizeof cmd, "rm -rf '%s'", folder);
    if (system(cmd)) fprintf(stderr, "%s is left\n", folder);
}

/* Each with as few layers as it takes to have all sorts of them. Windows are short, so that prompts of a few hundred tokens are longer than
 * what the context has rows for. */
static const struct {
    const char *name;
    uint32_t layers, window;
} kinds[] = {
    {"dense", 2, 0},  {"moe", 2, 0},        {"swa", 3, EXACT_WINDOW},        {"recurrent", 2, 0},
    {"hybrid", 4, 0}, {"hybrid-ssm", 6, 0}, {"hybrid-swa", 4, EXACT_WINDOW},
};

static size_t kind_of(const char *name) {
    size_t i = 0;
    while (strcmp(kinds[i].name, name) != 0) assert(++i < sizeof kinds / sizeof *kinds);
    return i;
}

size_t exact_window(const exact_setup *s) {
    return kinds[kind_of(s->kind)].window;
}

/* A small vocabulary: a row of logits is kept for every token, and the output matrix is most of a decode's work. */
static void make_model(const char *kind, char *path, size_t cap) {
    if (!folder[0]) {
        snprintf(folder, sizeof folder, "/tmp/warm-exact-XXXXXX");
        assert(mkdtemp(folder));
        atexit(remove_folder);
    }
    snprintf(path, cap, "%s/%s.gguf", folder, kind);
    if (!access(path, R_OK)) return;
    warm_err err = {0};
    warm_mkmodel_options o = {.kind = kind,
                              .out = path,
                              .vocab = "phi-3",
                              .type = "f16",
                              .layers = kinds[kind_of(kind)].layers,
                              .window = kinds[kind_of(kind)].window,
                              .embd = 64,
                              .ctx = 4096};
    if (!warm_mkmodel(&o, &err)) return;
    fprintf(stderr, "mkmodel: %s\n", err.text);
    abort();
}

warm_engine *exact_open(const exact_setup *s, size_t n_slots, size_t n_ctx, size_t n_ubatch) {
    char path[128], ctx[16], ubatch[16], threads[16];
    const char *k = s->q8 ? "q8_0" : "f16", *v = s->q8 && s->flash ? "q8_0" : "f16";
    make_model(s->kind, path, sizeof path);
    snprintf(ctx, sizeof ctx, "%zu", n_ctx);
    snprintf(ubatch, sizeof ubatch, "%zu", n_ubatch);
    snprintf(threads, sizeof threads, "%u", s->threads);
    const char *argv[] = {"test", "-m", path, "-c", ctx, "-b", "512", "-ub", ubatch, "-t", threads, "-fa", s->flash ? "on" : "off"};
    const char *args[] = {"-ctk", k, "-ctv", v, "--no-warmup"};
    enum { N_ARGV = sizeof argv / sizeof *argv, N_ARGS = sizeof args / sizeof *args };
    const char *both[N_ARGV + N_ARGS];
    memcpy(both, argv, sizeof argv);
    memcpy(both + N_ARGV, args, sizeof args);
    warm_llama_options o = {
        .argc = N_ARGV + N_ARGS, .argv = both, .n_slots = (uint32_t)n_slots, .n_seq_extra = 2, .n_seq_extra_own = 2};
    warm_engine *e = NULL;
    warm_err err = {0};
    if (warm_llama_open(&o, &e, &err)) {
        fprintf(stderr, "open: %s\n", err.text);
        abort();
    }
    assert(e->info->n_ctx == n_ctx);
    return e;
}

size_t exact_largest_piece(const exact_bench *b) {
    size_t n_window = b->engine->base.info->n_window;
    return n_window && n_window < WARM_BLOCK_UNITS ? n_window : WARM_BLOCK_UNITS;
}

void exact_bench_open(exact_bench *b, const exact_setup *setup, size_t n_noise_seeds) {
    *b = (exact_bench){.setup = *setup, .n_slots = 2};
    b->engine = exact_engine_new(exact_open(setup, b->n_slots, EXACT_CTX, EXACT_UBATCH));
    if (!n_noise_seeds) return;
    b->plain = exact_open(setup, 2, PLAIN_CTX, PLAIN_UBATCH);
    b->noise = exact_measure_noise(b->plain, n_noise_seeds);
}

void exact_bench_widen(const exact_bench *b, exact_bench *wide) {
    *wide = *b;
    wide->n_slots = EXACT_WIDE;
    wide->engine = exact_engine_new(exact_open(&b->setup, EXACT_WIDE, EXACT_WIDE_CTX, EXACT_UBATCH));
}

void exact_bench_narrow(exact_bench *wide) {
    exact_engine_free(wide->engine);
}

void exact_bench_close(exact_bench *b) {
    exact_engine_free(b->engine);
    if (b->plain) b->plain->ops->close(b->plain);
}

void exact_trial_open(exact_trial *t, exact_bench *b, exact_result *result, const char *path, uint64_t seed, size_t align,
                      size_t piece_units) {
    *t = (exact_trial){.bench = b,
                       .result = result,
                       .path = path,
                       .seed = seed,
                       .rng = {seed * 31 + 7},
                       .align = align,
                       .piece_units = piece_units};
    warm_engine *e = &b->engine->base;
    e->ops->clear(e, true);
    b->engine->ends.n = b->engine->points.n = 0;
    assert(!warm_worker_new("test", 0, &t->worker, NULL));
    warm_budget_init(&t->budget, CACHE_BYTES);
    assert(!warm_store_ram_open(&t->budget, 0, &t->store, NULL));
    warm_cache_options co = {.store = t->store,
                             .budget = &t->budget,
                             .now_ns = b->engine->clock.now_ns,
                             .clock_ud = b->engine->clock.ud,
                             .window = e->info->n_window,
                             .snapshots = warm_state_has_snapshots(e->info->state)};
    assert(!warm_cache_new(&co, &t->cache, NULL));
    strcpy(t->folder, "/tmp/warm-exact-XXXXXX");
    assert(mkdtemp(t->folder));
    warm_sched_options so = {.engine = e,
                             .slot_dir = t->folder,
                             .cache = t->cache,
                             .store = t->store,
                             .worker = t->worker,
                             .clock = &b->engine->clock,
                             .n_slots = (uint32_t)b->n_slots,
                             .slice_ns = exact_slice_ns(e, piece_units)};
    assert(!warm_sched_new(&so, &t->sched, NULL));
}

void exact_trial_close(exact_trial *t) {
    warm_sched_free(t->sched);
    warm_cache_check(t->cache);
    warm_cache_free(t->cache);
    t->store->ops->close(t->store);
    assert(t->budget.used_bytes == 0);
    warm_worker_free(t->worker);
    rmdir(t->folder);
    exact_forget(t);
}

void exact_violate(exact_trial *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    t->result->n_violations++;
    fprintf(stderr, "%s fa=%s kv=%s, %s, seed %llu, align %zu: ", t->bench->setup.kind, t->bench->setup.flash ? "on" : "off",
            t->bench->setup.q8 ? "q8_0" : "f16", t->path, (unsigned long long)t->seed, t->align);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

size_t exact_size(exact_trial *t, size_t least, size_t most) {
    size_t from = (least + t->align - 1) / t->align, to = most / t->align;
    assert(from <= to);
    return (from + warm_rng_below(&t->rng, to - from + 1)) * t->align;
}

void exact_words(exact_trial *t, int32_t *out, size_t n) {
    exact_text(&t->bench->engine->base, out, n, warm_rng_next(&t->rng));
}

static void on_event(void *ud, warm_event *ev) {
    exact_request *r = ud;
    assert(!r->ended);
    r->n_progress += ev->type == WARM_EV_PROGRESS;
    r->t = ev->timings;
    r->ended = ev->type == WARM_EV_DONE || ev->type == WARM_EV_FAILED;
    if (ev->type == WARM_EV_FAILED) r->err = ev->err;
    /* now: the sequence may be gone after the next step. Its last token was never computed. */
    if (ev->type == WARM_EV_DONE && r->judged)
        r->cells = exact_cells_of(r->engine, r->seen.seq, r->n_prompt + r->seen.n - 1, r->window);
    warm_event_free(ev);
}

static void submit(exact_trial *t, exact_request *r, const int32_t *prompt, size_t n, size_t n_predict) {
    exact_engine *e = t->bench->engine;
    warm_task_options o = {.n_tokens = n,
                           .n_predict = (int32_t)n_predict,
                           .id_slot = -1,
                           .cache_prompt = true,
                           .return_progress = true,
                           .emit = on_event,
                           .ud = r};
    warm_sampling_default(&o.sampling);
    o.tokens = warm_xmalloc(n * sizeof *prompt);
    memcpy(o.tokens, prompt, n * sizeof *prompt);
    r->prompt = warm_xmalloc(n * sizeof *prompt);
    memcpy(r->prompt, prompt, n * sizeof *prompt);
    if (r->judged) r->seen = (exact_script){.forced = r->ref.tokens, .n_forced = r->ref.n};
    e->next = &r->seen;
    e->prefill_least = SIZE_MAX;
    r->known = exact_know(t, prompt, n, n_predict);
    warm_task *task;
    assert(!warm_task_new(&e->base, &o, &task, NULL));
    r->id = warm_task_id(task);
    warm_sched_submit(t->sched, &task, 1);
}

static exact_request request(exact_trial *t, size_t n, size_t n_predict, bool judged) {
    return (exact_request){.n_prompt = n,
                           .n_predict = n_predict,
                           .judged = judged,
                           .engine = t->bench->engine->inner,
                           .window = exact_window(&t->bench->setup)};
}

void exact_submit(exact_trial *t, exact_request *r, const int32_t *prompt, size_t n, size_t n_predict, const exact_layout *judged) {
    *r = request(t, n, n_predict, judged != NULL);
    if (judged) exact_compute(t->bench->plain, judged, prompt, n, n_predict, &r->ref);
    submit(t, r, prompt, n, n_predict);
}

void exact_submit_again(exact_trial *t, exact_request *r, const exact_request *first) {
    *r = request(t, first->n_prompt, first->n_predict, true);
    r->ref.forced = first->ref.tokens;
    r->ref.n_forced = first->ref.n;
    for (size_t i = 0; i < first->ref.n; i++) {
        exact_script_add(&r->ref, first->ref.rows + i * first->ref.n_vocab, first->ref.n_vocab);
    }
    submit(t, r, first->prompt, first->n_prompt, first->n_predict);
}

void exact_wait(exact_trial *t, exact_request *r) {
    for (unsigned idle = 0; !r->ended;) {
        idle = warm_sched_step(t->sched) ? 0 : idle + 1;
        assert(idle < 1000);
    }
    exact_know_end(t, r);
}

void exact_cancel(exact_trial *t, exact_request *r) {
    r->cancel = true;
    warm_sched_cancel(t->sched, r->id);
}

void exact_settle(exact_trial *t) {
    while (warm_sched_step(t->sched)) continue;
}

static void judge_row(exact_trial *t, const exact_request *r, size_t i, double noise) {
    exact_result *res = t->result;
    uint32_t n_vocab = r->ref.n_vocab;
    const float *want = r->ref.rows + i * n_vocab, *got = r->seen.rows + i * n_vocab;
    res->n_rows++;
    if (!memcmp(want, got, n_vocab * sizeof *want)) {
        res->n_rows_equal++;
        return;
    }
    double d = exact_distance(want, got, n_vocab);
    if (noise > 0 && d / noise > res->most) res->most = d / noise;
    exact_expect(t, d <= 4 * noise, "row %zu of a prompt of %zu is off by %g, noise is %g", i, r->n_prompt, d, noise);
    int32_t token = exact_likeliest(got, n_vocab);
    if (token == r->ref.tokens[i]) return;
    /* the token here was the reference's second at best */
    double gap = (double)want[r->ref.tokens[i]] - (double)want[token];
    exact_expect(t, gap < 2 * noise, "token %zu of a prompt of %zu is another one; it was behind by %g, noise is %g", i,
                 r->n_prompt, gap, noise);
    res->n_exceptions++;
}

/* Of a window the rows that are loaded come to lie in the first cells from the border of a piece on, and a fork's behind the others. Where they
 * are not searched in tiles, only their order counts. */
static bool rows_lie_alike(const exact_trial *t, const exact_request *r, enum exact_bits bits) {
    if (!r->window) return true;
    if (bits == EXACT_BITS_ALIGNED) return false;
    if (!r->t.n_ram) return r->n_prompt <= EXACT_WINDOW_ROWS;
    if (t->bench->setup.q8) return true;
    return t->bench->engine->base.info->state == WARM_STATE_WINDOW && t->piece_units % CHUNK_LEAST == 0 && !r->t.n_device;
}

static bool bits_are_asked(const exact_trial *t, const exact_request *r, enum exact_bits bits) {
    bool split = t->bench->engine->base.info->state != WARM_STATE_RANGES;
    if (!t->bench->setup.flash || bits == EXACT_BITS_NONE || (bits == EXACT_BITS_SHORT && !split)) return false;
    if (split && !rows_lie_alike(t, r, bits)) return false;
    /* What is loaded behind shared cells takes the holes that are there, in whatever order these are. */
    if (bits == EXACT_BITS_ALIGNED && r->t.n_device && r->t.n_ram) return false;
    return bits != EXACT_BITS_ALIGNED || t->bench->setup.q8 || t->align % CHUNK_LEAST == 0;
}

/* Where prefill is split for resume points, chunks are short in every run, so the reference's are made the same. */
static void judge_bits(exact_trial *t, const exact_request *r) {
    exact_result *res = t->result;
    size_t chunk = t->bench->engine->prefill_least;
    exact_script same = {0};
    const float *want = r->ref.rows, *got = r->seen.rows;
    if (t->bench->engine->base.info->state != WARM_STATE_RANGES) {
        exact_layout l = {0};
        size_t *ends = exact_known_ends(t, r, &l.n_ends);
        l.ends = ends;
        exact_compute(t->bench->plain, &l, r->prompt, r->n_prompt, 1, &same);
        want = same.rows;
        free(ends);
    } else {
        exact_expect(t, chunk >= CHUNK_LEAST, "a prompt of %zu was computed in chunks down to %zu", r->n_prompt, chunk);
    }
    bool equal = !memcmp(want, got, r->ref.n_vocab * sizeof *want);
    res->n_bits_asked++;
    res->n_bits_equal += equal;
    exact_expect(t, equal, "the first row of a prompt of %zu (device %zu, ram %zu) is not the reference's; it is off by %g",
                 r->n_prompt, r->t.n_device, r->t.n_ram, exact_distance(want, got, r->ref.n_vocab));
    exact_script_free(&same);
}

static void judge_sources(exact_trial *t, const exact_request *r, size_t n_device, size_t n_ram) {
    size_t total = r->t.n_device + r->t.n_ram, least, other;
    if (n_ram == SIZE_MAX) return;
    if (warm_state_has_snapshots(t->bench->engine->base.info->state)) {
        exact_known_points(t, r, &least, &other);
        exact_expect(t, total == least || (total > least && total == other),
                     "%zu of %zu were known, not the %zu before the last snapshot, nor the %zu of a whole sequence", total,
                     r->n_prompt, least, other);
    } else if (n_device == SIZE_MAX || t->bench->engine->base.info->state == WARM_STATE_WINDOW) {
        size_t sum = n_ram + (n_device == SIZE_MAX ? 0 : n_device);
        exact_expect(t, total == sum, "%zu of %zu were known, not %zu", total, r->n_prompt, sum);
    } else {
        exact_expect(t, r->t.n_device == n_device && r->t.n_ram == n_ram,
                     "%zu from the device and %zu from memory, not %zu and %zu", r->t.n_device, r->t.n_ram, n_device, n_ram);
    }
}

void exact_judge(exact_trial *t, exact_request *r, enum exact_bits bits, size_t n_device, size_t n_ram) {
    assert(r->ended && r->judged);
    bool canceled = r->err.code == WARM_ECANCELED && r->cancel;
    t->result->n_judged++;
    exact_expect(t, !r->err.code || canceled, "failed: %s", r->err.text);
    judge_sources(t, r, n_device, n_ram);
    exact_expect(t, r->seen.n == r->ref.n || canceled, "%zu tokens, not %zu", r->seen.n, r->ref.n);
    if (!r->err.code) {
        exact_expect(t, r->cells != EXACT_CELLS_BAD, "the sequence is not the positions 0..%zu once each",
                     r->n_prompt + r->ref.n - 2);
    }
    /* the order of a window's rows is not the reference's for long */
    double noise = r->cells == EXACT_CELLS_ORDERED && !r->window ? t->bench->noise.ordered : t->bench->noise.any;
    for (size_t i = 0; i < r->seen.n && i < r->ref.n; i++) judge_row(t, r, i, noise);
    if (r->seen.n && bits_are_asked(t, r, bits)) judge_bits(t, r);
    exact_script_free(&r->ref);
    exact_script_free(&r->seen);
    free(r->prompt);
}

void exact_run(exact_trial *t, const int32_t *prompt, size_t n) {
    exact_request r;
    exact_submit(t, &r, prompt, n, 1, NULL);
    exact_wait(t, &r);
    exact_expect(t, !r.err.code && r.seen.n == 1, "failed: %s", r.err.text);
    exact_settle(t);
    exact_script_free(&r.seen);
    free(r.prompt);
}

void exact_push_out(exact_trial *t) {
    int32_t prompt[EXACT_CTX];
    size_t n = EXACT_CTX - CHUNK_LEAST;
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
}

static void order(exact_trial *t, enum warm_slot_verb verb, int32_t id_slot) {
    warm_slot_result r = slot_order_run(t->sched, verb, id_slot, "slot");
    exact_expect(t, !r.err.code, "slot %d: %s", id_slot, r.err.text);
}

void exact_restart_from_file(exact_trial *t) {
    char path[64];
    order(t, WARM_SLOT_SAVE, 0);
    exact_push_out(t);
    warm_cache_clear(t->cache);
    order(t, WARM_SLOT_RESTORE, 1);
    snprintf(path, sizeof path, "%s/slot", t->folder);
    exact_expect(t, !unlink(path), "no file was written");
}
