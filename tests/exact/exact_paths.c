/* SPDX-License-Identifier: MIT
 *
 * tests/exact/exact_paths.c - see exact_paths.h.
 *
 * What is not computed by the judged request itself was computed in chunks of 64 units or more, except where a trial says that it was
 * generated; so the bits of the first row can be asked for wherever the cells allow it. */
#include "exact_paths.h"

#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

enum { MORE_LEAST = 64, MORE_MOST = 160 };

/* Goes on from unit `at` with n others: what stood there before is not what stands there now. */
static size_t go_on(exact_trial *t, int32_t *prompt, size_t at, size_t n) {
    int32_t before = prompt[at];
    exact_words(t, prompt + at, n);
    if (prompt[at] == before) prompt[at] = before == 100 ? 101 : 100;
    return at + n;
}

static size_t more(exact_trial *t, int32_t *prompt, size_t n) {
    /* where prefill stops one unit before the end, that unit is not in the chunk */
    bool split = t->bench->engine->base.info->state != WARM_STATE_RANGES;
    return go_on(t, prompt, n, exact_size(t, MORE_LEAST + split, MORE_MOST));
}

static void ask(exact_trial *t, const int32_t *prompt, size_t n, enum exact_bits bits, size_t n_device, size_t n_ram) {
    exact_request r;
    exact_submit(t, &r, prompt, n, EXACT_TOKENS, &exact_alone);
    exact_wait(t, &r);
    exact_judge(t, &r, bits, n_device, n_ram);
}

/* A prompt of least to most tokens that has been answered. */
static size_t said(exact_trial *t, int32_t *prompt, size_t least, size_t most) {
    size_t n = exact_size(t, least, most);
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    return n;
}

static void take_over(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = said(t, prompt, 192, 380);
    ask(t, prompt, more(t, prompt, n), EXACT_BITS_SAME, n, 0);
}

/* The next turns of a conversation: what was generated is part of the prompt, and what is new is short. */
static void turns(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 128, 256);
    exact_words(t, prompt, n);
    for (size_t turn = 0; turn < 2; turn++) {
        exact_request r;
        exact_submit(t, &r, prompt, n, 20, NULL);
        exact_wait(t, &r);
        exact_expect(t, r.seen.n == 20, "failed: %s", r.err.text);
        if (r.seen.n == 20) memcpy(prompt + n, r.seen.tokens, 20 * sizeof *prompt);
        exact_script_free(&r.seen);
        free(r.prompt);
        n += 20;
        size_t words = 1 + warm_rng_below(&t->rng, 40);
        exact_words(t, prompt + n, words);
        /* the last token of a turn was sampled and never computed */
        if (turn) ask(t, prompt, n + words, EXACT_BITS_NONE, n - 1, 0);
        n += words;
    }
}

static void the_same_again(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = said(t, prompt, 128, 320);
    ask(t, prompt, n, EXACT_BITS_SHORT, n - 1, 0);
}

static void the_same_loaded(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = said(t, prompt, 128, 320);
    exact_push_out(t);
    ask(t, prompt, n, EXACT_BITS_SHORT, 0, n - 1);
}

static void fork_resident(exact_trial *t) {
    int32_t first[EXACT_TEXT_MAX] = {0}, prompt[EXACT_TEXT_MAX];
    size_t n = exact_size(t, 256, 320), at = exact_size(t, 64, 192);
    exact_words(t, first, n);
    exact_run(t, first, n);
    memcpy(prompt, first, n * sizeof *prompt);
    ask(t, prompt, more(t, prompt, at), EXACT_BITS_ALIGNED, at, 0);
    /* The branch that was there before goes on, too. What was generated behind the other lies between its cells now: not a multiple of 64. */
    size_t more_n = more(t, first, n);
    ask(t, first, more_n, t->bench->setup.q8 ? EXACT_BITS_ALIGNED : EXACT_BITS_NONE, n, 0);
}

static void fork_running(exact_trial *t) {
    int32_t first[EXACT_TEXT_MAX] = {0}, prompt[EXACT_TEXT_MAX];
    /* Eight tokens on, the running one's cells are a multiple of 64, and the fork's first chunk lies behind them. */
    size_t n = exact_size(t, 256, 300), at = exact_size(t, 64, 192), n_before = 8, add = 64 + warm_rng_below(&t->rng, 60);
    if (t->align > 1) n -= n_before;
    exact_words(t, first, n);
    exact_request a, b;
    exact_submit(t, &a, first, n, EXACT_TOKENS + 16, &exact_beside);
    while (a.seen.n < n_before) warm_sched_step(t->sched);
    memcpy(prompt, first, n * sizeof *prompt);
    exact_submit(t, &b, prompt, go_on(t, prompt, at, add), EXACT_TOKENS, &exact_beside);
    exact_wait(t, &b);
    exact_expect(t, !a.ended, "the first one ended before the second");
    exact_wait(t, &a);
    bool split = t->bench->engine->base.info->state != WARM_STATE_RANGES;
    exact_judge(t, &b, split ? EXACT_BITS_NONE : EXACT_BITS_ALIGNED, at, 0);
    exact_judge(t, &a, EXACT_BITS_NONE, 0, 0);
}

static void load(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = said(t, prompt, 320, 500);
    for (size_t turn = 0; turn < 2; turn++) {
        exact_push_out(t);
        /* the second time, both branches are there still */
        ask(t, prompt, more(t, prompt, n), EXACT_BITS_SAME, 0, n);
    }
}

static void restarted_from_file(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = said(t, prompt, 320, 500);
    exact_restart_from_file(t);
    ask(t, prompt, more(t, prompt, n), EXACT_BITS_SAME, 0, n);
}

static void load_range(exact_trial *t, size_t at) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    said(t, prompt, 384, 500);
    exact_push_out(t);
    ask(t, prompt, more(t, prompt, at), EXACT_BITS_SAME, 0, at);
}

/* Odd cuts: the piece is loaded whole, and a part of it is kept. */
static void range_in_piece(exact_trial *t) {
    load_range(t, 257 + 2 * warm_rng_below(&t->rng, 50));
}

/* Cuts at a border of every piece size but the largest. */
static void range_in_block(exact_trial *t) {
    load_range(t, 64 * (1 + warm_rng_below(&t->rng, 5)));
}

static void mixed(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0}, other[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 320, 420), at = exact_size(t, 64, 256);
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    exact_push_out(t);
    memcpy(other, prompt, n * sizeof *other);
    exact_run(t, other, go_on(t, other, at, MORE_LEAST));
    /* A load that begins inside a piece leaves a hole of the piece's beginning, which later cells fill: out of order. */
    ask(t, prompt, more(t, prompt, n), at % t->piece_units ? EXACT_BITS_NONE : EXACT_BITS_ALIGNED, at, n - at);
}

/* The beginning of a prompt is resident as a whole: it is taken over, and the rest is loaded behind it. Its last unit was computed alone. */
static void mixed_take_over(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 320, 420), at = exact_size(t, 64, 256);
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    exact_push_out(t);
    exact_run(t, prompt, at);
    ask(t, prompt, more(t, prompt, n), EXACT_BITS_NONE, at, n - at);
}

/* Another text from there on, after the first was swapped out. */
static void diverge(exact_trial *t, size_t percent) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 320, 500), at = n * percent / 100;
    at -= at % t->align;
    if (!at) at = t->align;
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    exact_push_out(t);
    ask(t, prompt, more(t, prompt, at), EXACT_BITS_SAME, 0, at);
}

static void diverge_late(exact_trial *t) {
    diverge(t, 90);
}

static void diverge_early(exact_trial *t) {
    diverge(t, 10);
}

static size_t message(exact_trial *t, int32_t *prompt, size_t at, size_t n) {
    const warm_engine_info *info = t->bench->engine->base.info;
    assert(info->n_message_head && info->n_message_head < n);
    memcpy(prompt + at, info->message_head, info->n_message_head * sizeof *prompt);
    exact_words(t, prompt + at + info->n_message_head, n - info->n_message_head);
    return at + n;
}

/* Said otherwise, and longer. */
static void edit_last_message(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t head = t->bench->engine->base.info->n_message_head, last = message(t, prompt, 0, exact_size(t, 128, 192));
    last = message(t, prompt, last, exact_size(t, 128, 192) - head);
    size_t n = message(t, prompt, last, exact_size(t, 64, 100) + head), at = last + head;
    exact_run(t, prompt, n);
    exact_push_out(t);
    ask(t, prompt, more(t, prompt, at), EXACT_BITS_SAME, 0, at);
}

/* Both grow, each while the other is away or in the context, as there is room. */
static void branches(exact_trial *t) {
    enum { N = 2, TURNS = 3 };
    static int32_t prompt[N][EXACT_TEXT_MAX];
    size_t n[N], common = exact_size(t, 128, 192);
    exact_words(t, prompt[0], common);
    memcpy(prompt[1], prompt[0], common * sizeof **prompt);
    for (size_t i = 0; i < N; i++) {
        n[i] = go_on(t, prompt[i], common, exact_size(t, 64, 100));
        if (i && prompt[1][common] == prompt[0][common]) prompt[1][common] = prompt[0][common] == 100 ? 101 : 100;
        exact_run(t, prompt[i], n[i]);
    }
    for (size_t turn = 0; turn < N * TURNS; turn++) {
        size_t i = turn % N, known = n[i];
        n[i] = go_on(t, prompt[i], n[i], exact_size(t, 64, 64));
        ask(t, prompt[i], n[i], EXACT_BITS_NONE, SIZE_MAX, known);
    }
}

static void edit(exact_trial *t) {
    int32_t first[EXACT_TEXT_MAX] = {0}, prompt[EXACT_TEXT_MAX];
    size_t n = exact_size(t, 256, 320), at = exact_size(t, 64, 128), cut = exact_size(t, 64, 64), put = exact_size(t, 64, 100);
    exact_words(t, first, n);
    exact_run(t, first, n);
    memcpy(prompt, first, n * sizeof *prompt);
    go_on(t, prompt, at, put);
    memcpy(prompt + at + put, first + at + cut, (n - at - cut) * sizeof *prompt);
    ask(t, prompt, n - cut + put, EXACT_BITS_ALIGNED, at, 0);
}

/* The same with both texts in the cache only: the end of the second is there, but behind another beginning, and is of no use. */
static void edit_and_load(exact_trial *t) {
    enum { AT = WARM_BLOCK_UNITS };
    int32_t first[EXACT_TEXT_MAX] = {0}, prompt[EXACT_TEXT_MAX];
    size_t n = exact_size(t, AT + 64, 400), at = exact_size(t, 64, 192);
    exact_words(t, first, n);
    exact_run(t, first, n);
    memcpy(prompt, first, n * sizeof *prompt);
    go_on(t, prompt, at, n - at);
    if (prompt[AT] == first[AT]) prompt[AT] = first[AT] == 100 ? 101 : 100;
    exact_run(t, prompt, n);
    exact_push_out(t);
    memcpy(prompt, first, AT * sizeof *prompt);
    ask(t, prompt, more(t, prompt, n), EXACT_BITS_SAME, 0, AT);
}

/* Two generations that together exceed the context: the younger is parked, and goes on from the cache. */
static void park(exact_trial *t) {
    enum { N = 120, TOKENS = 276 };
    int32_t prompt[N];
    exact_request r[2];
    for (size_t i = 0; i < 2; i++) {
        exact_words(t, prompt, N);
        exact_submit(t, &r[i], prompt, N, TOKENS, &exact_beside);
    }
    bool parked = false;
    while (!r[0].ended || !r[1].ended) {
        warm_sched_step(t->sched);
        warm_sched_status st;
        assert(!warm_sched_status_get(t->sched, &st));
        parked |= st.n_parked > 0;
        warm_sched_status_free(&st);
    }
    exact_expect(t, parked, "nobody was parked");
    for (size_t i = 0; i < 2; i++) exact_judge(t, &r[i], EXACT_BITS_NONE, 0, 0);
}

/* Returns what was computed when the client left. */
static size_t leave(exact_trial *t, const int32_t *prompt, size_t n) {
    exact_request r;
    exact_submit(t, &r, prompt, n, EXACT_TOKENS, NULL);
    while (r.n_progress < 2) warm_sched_step(t->sched);
    size_t n_computed = r.t.n_device + r.t.n_ram + r.t.n_computed;
    exact_cancel(t, &r);
    exact_wait(t, &r);
    exact_expect(t, r.err.code == WARM_ECANCELED && n_computed < n, "not canceled in mid-prefill: %s", r.err.text);
    exact_script_free(&r.seen);
    free(r.prompt);
    exact_settle(t);
    return n_computed;
}

static void leave_and_return(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 384, 500);
    exact_words(t, prompt, n);
    size_t known = leave(t, prompt, n);
    ask(t, prompt, n, EXACT_BITS_SAME, known, 0);
}

static void leave_and_load(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    size_t n = exact_size(t, 384, 500);
    exact_words(t, prompt, n);
    size_t known = leave(t, prompt, n);
    exact_push_out(t);
    ask(t, prompt, n, EXACT_BITS_SAME, 0, known);
}

static void fan_out(exact_trial *t, size_t n_answers) {
    enum { TOKENS = 6, TAIL = 3 };
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    exact_request r[EXACT_WIDE];
    size_t n = t->bench->engine->base.info->state == WARM_STATE_WINDOW ? EXACT_WIDE_PROMPT : 300;
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    for (size_t i = 0; i < n_answers; i++) {
        if (i < 2) {
            go_on(t, prompt, n, TAIL);
            exact_submit(t, &r[i], prompt, n + TAIL, TOKENS, &exact_beside);
        } else {
            exact_submit_again(t, &r[i], &r[i % 2]);
        }
    }
    for (size_t i = 0; i < n_answers; i++) exact_wait(t, &r[i]);
    for (size_t i = n_answers; i-- > 0;) exact_judge(t, &r[i], EXACT_BITS_NONE, SIZE_MAX, n);
}

static void fan_out_4(exact_trial *t) {
    fan_out(t, 4);
}

static void fan_out_16(exact_trial *t) {
    fan_out(t, EXACT_WIDE);
}

/* Where the tree has the prompt, and its units. */
static warm_scope *scope_of(exact_trial *t, const int32_t *prompt, size_t n, warm_unit *units) {
    uint8_t fingerprint[WARM_SCOPE_BYTES];
    warm_scope *scope;
    for (size_t i = 0; i < n; i++) units[i] = (warm_unit)prompt[i];
    warm_scope_fingerprint(t->bench->engine->base.info->scope, NULL, NULL, fingerprint);
    assert(!warm_cache_scope(t->cache, fingerprint, &scope));
    return scope;
}

/* A part of what the end of a prompt is taken up with: window rows, or the snapshot. It is computed again from where it can be. */
static void damage_part(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    warm_unit units[EXACT_TEXT_MAX];
    size_t n = said(t, prompt, 320, 400);
    exact_push_out(t);
    warm_scope *scope = scope_of(t, prompt, n, units);
    warm_path path;
    warm_resume resume;
    warm_cache_lookup(t->cache, scope, units, n - 1, &path);
    assert(!warm_cache_resume(t->cache, &path, &resume));
    exact_expect(t, resume.path.n_units == n - 1, "%zu of %zu can be taken up", resume.path.n_units, n - 1);
    const uint8_t *bytes = resume.snapshot.data;
    size_t n_bytes = resume.snapshot.bytes;
    if (resume.n_window) {
        const warm_piece_view *v = &resume.window[warm_rng_below(&t->rng, resume.n_window)];
        bytes = v->window;
        n_bytes = v->window_bytes;
    }
    exact_expect(t, n_bytes > 0, "nothing but cells is needed");
    if (n_bytes) ((uint8_t *)bytes)[warm_rng_below(&t->rng, n_bytes)] ^= 0x10;
    warm_resume_release(t->cache, &resume);
    ask(t, prompt, n, EXACT_BITS_NONE, SIZE_MAX, SIZE_MAX);
    warm_cache_stats st;
    warm_cache_stats_get(t->cache, &st);
    exact_expect(t, st.n_damaged == 1, "%llu were counted as damaged", (unsigned long long)st.n_damaged);
    exact_settle(t);
    exact_push_out(t);
    /* what was computed again was saved again */
    ask(t, prompt, n, EXACT_BITS_NONE, SIZE_MAX, n - 1);
}

static void damage(exact_trial *t) {
    int32_t prompt[EXACT_TEXT_MAX] = {0};
    warm_unit units[EXACT_TEXT_MAX];
    size_t n = exact_size(t, 320, 500), at = warm_rng_below(&t->rng, n);
    exact_words(t, prompt, n);
    exact_run(t, prompt, n);
    exact_push_out(t);
    warm_scope *scope = scope_of(t, prompt, n, units);
    warm_path path;
    warm_piece_view v;
    exact_expect(t, warm_cache_lookup(t->cache, scope, units, n, &path) == n, "not all of it was saved");
    warm_path_piece(t->cache, &path, at, &v);
    ((uint8_t *)v.data)[warm_rng_below(&t->rng, v.bytes)] ^= 0x10;
    size_t good = v.start, whole = n + exact_size(t, MORE_LEAST, MORE_MOST);
    warm_piece_unref(t->cache, v.piece);
    warm_path_release(t->cache, &path);
    exact_words(t, prompt + n, whole - n);
    ask(t, prompt, whole, EXACT_BITS_SAME, 0, good);
    warm_cache_stats st;
    warm_cache_stats_get(t->cache, &st);
    exact_expect(t, st.n_damaged == 1, "%llu damaged blocks were counted", (unsigned long long)st.n_damaged);
    /* what was computed again was saved again */
    exact_settle(t);
    exact_push_out(t);
    ask(t, prompt, more(t, prompt, whole > 500 ? n : whole), EXACT_BITS_SAME, 0, whole > 500 ? n : whole);
}

/* One of the texts so far, up to anywhere in it, and something new behind. */
static size_t derive(exact_trial *t, int32_t texts[][EXACT_CTX], const size_t *n, size_t n_texts, int32_t *prompt) {
    enum { MOST = EXACT_CTX - 2 * EXACT_TOKENS, FIRST_MOST = 400 };
    size_t at = 0, from = warm_rng_below(&t->rng, n_texts < 3 ? n_texts + 1 : n_texts);
    if (from < n_texts) {
        at = warm_rng_below(&t->rng, 2) ? n[from] : warm_rng_below(&t->rng, n[from]);
        if (at > MOST - MORE_MOST) at = MOST - MORE_MOST;
        memcpy(prompt, texts[from], at * sizeof *prompt);
    }
    return go_on(t, prompt, at, 1 + warm_rng_below(&t->rng, at ? MORE_MOST : FIRST_MOST));
}

/* Conversations that fork and grow, two at a time, in a context that holds one and a half of them. Some clients leave. */
static void anything(exact_trial *t) {
    enum { N = 12 };
    static int32_t texts[N][EXACT_CTX];
    size_t n[N];
    exact_request r[N];
    for (size_t i = 0; i < N; i++) {
        n[i] = derive(t, texts, n, i ? i - 1 : 0, texts[i]);
        exact_submit(t, &r[i], texts[i], n[i], EXACT_TOKENS, &exact_alone);
        bool leaves = warm_rng_below(&t->rng, 4) == 0;
        for (size_t steps = warm_rng_below(&t->rng, 40); steps; steps--) warm_sched_step(t->sched);
        if (leaves) exact_cancel(t, &r[i]);
        if (i) exact_wait(t, &r[i - 1]);
        if (i + 1 == N) exact_wait(t, &r[i]);
        /* the next one may follow what this one has said */
        for (size_t k = i ? i - 1 : 0; k <= i && (k < i || i + 1 == N); k++) {
            memcpy(texts[k] + n[k], r[k].seen.tokens, r[k].seen.n * sizeof **texts);
            n[k] += r[k].seen.n;
            exact_judge(t, &r[k], EXACT_BITS_NONE, SIZE_MAX, SIZE_MAX);
        }
    }
}

/* clang-format off */
const exact_path exact_paths[] = {
    {.name = "reuse: taken over and extended", .run = take_over, .brief = true},
    {.name = "reuse: turns of a conversation", .run = turns},
    {.name = "reuse: the same prompt again", .run = the_same_again, .brief = true},
    {.name = "fork of a resident", .run = fork_resident, .brief = true},
    {.name = "fork of a running request", .run = fork_running},
    {.name = "two branches in turn", .run = branches, .brief = true},
    {.name = "4 answers to a long prompt", .run = fan_out_4, .wide = true},
    {.name = "16 answers to a long prompt", .run = fan_out_16, .wide = true},
    {.name = "load: swapped out and extended", .run = load, .brief = true},
    {.name = "load: the same prompt again", .run = the_same_loaded},
    {.name = "slot restored from a file", .run = restarted_from_file, .brief = true},
    {.name = "load: diverged at 90 %", .run = diverge_late, .brief = true},
    {.name = "load: diverged at 10 %", .run = diverge_early},
    {.name = "load: last message edited", .run = edit_last_message, .brief = true},
    {.name = "load, cut inside a piece", .run = range_in_piece},
    {.name = "load, cut inside a block", .run = range_in_block},
    {.name = "load behind a fork", .run = mixed},
    {.name = "load behind a taken over one", .run = mixed_take_over},
    {.name = "edit in the middle", .run = edit},
    {.name = "edit in the middle, loaded", .run = edit_and_load, .brief = true},
    {.name = "parked in mid-generation", .run = park, .rare = true},
    {.name = "client left, then again", .run = leave_and_return},
    {.name = "client left, then loaded", .run = leave_and_load, .brief = true},
    {.name = "damaged piece", .run = damage, .needs = EXACT_NEEDS_RANGES},
    {.name = "damaged window rows or snapshot", .run = damage_part, .needs = EXACT_NEEDS_MORE},
    {.name = "anything", .run = anything, .rare = true},
};
/* clang-format on */
const size_t exact_n_paths = sizeof exact_paths / sizeof *exact_paths;
