/* SPDX-License-Identifier: MIT
 *
 * tests/sched/test_sched_random.c - random conversations, forks, edits, cancels, salts, damage and failing engine calls on few cells and
 * small budgets: every answer is compared with what its prompt implies, and the accounting is checked all along.
 *
 * WARM_SEED and WARM_ITERS in the environment give the seed and the number of requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "sched_faults.h"
#include "sched_world.h"

enum { MOST_PROMPT = 900, N_TALKS = 12, AT_ONCE = 6, N_ADAPTERS = 2 };

struct talk {
    int32_t tokens[MOST_PROMPT + 256];
    size_t n;
};

static const char *const names[] = {"a", "b", "c"}; /* of slot files */

static uint64_t env_number(const char *name, uint64_t otherwise) {
    const char *s = getenv(name);
    return s ? strtoull(s, NULL, 10) : otherwise;
}

/* What goes wrong: one engine call in so many, decodes among them; and so often between two rounds, in percent, something of each conversation that is stored. */
struct faults {
    uint64_t one_in;
    bool decodes;
    uint64_t damage;
};

/* Changes a conversation as users and agents do: goes on, starts again, forks from another, edits in the middle, leaves something out. */
static void next_prompt(warm_rng *rng, struct talk *talks, struct talk *t) {
    size_t more = 1 + warm_rng_below(rng, 120);
    uint64_t what = warm_rng_below(rng, 10);
    if (what == 0 || !t->n || t->n + more > MOST_PROMPT) {
        /* a new conversation behind one of three system prompts */
        t->n = 40 + 100 * warm_rng_below(rng, 3);
        tokens_fill(t->tokens, t->n, t->n);
    } else if (what == 1) {
        const struct talk *from = &talks[warm_rng_below(rng, N_TALKS)];
        t->n = from->n ? 1 + warm_rng_below(rng, from->n) : 0;
        memmove(t->tokens, from->tokens, t->n * sizeof *t->tokens);
    } else if (what == 2) {
        t->n = 1 + warm_rng_below(rng, t->n);
    } else if (what == 3) {
        /* something in the middle is left out, as clients do with what has become too long */
        size_t at = warm_rng_below(rng, t->n), gap = 1 + warm_rng_below(rng, t->n - at);
        memmove(t->tokens + at, t->tokens + at + gap, (t->n - at - gap) * sizeof *t->tokens);
        t->n -= gap;
    }
    tokens_fill(t->tokens + t->n, more, warm_rng_next(rng) % 7);
    t->n += more;
    if (t->n > MOST_PROMPT) t->n = MOST_PROMPT;
}

struct moves {
    uint64_t units, truncated;
};

/* Orders for slots that come while requests run. */
struct orders {
    unsigned n_given, n_done, n_failed;
};

static void on_done(void *ud, const warm_slot_result *r) {
    struct orders *all = ud;
    all->n_done++;
    all->n_failed += r->err.code != 0;
}

static void give_order(world *w, const world_options *o, warm_rng *rng, struct orders *all) {
    warm_slot_order order = {.verb = (enum warm_slot_verb)warm_rng_below(rng, 3),
                             .id_slot = (int32_t)warm_rng_below(rng, o->n_slots),
                             .name = names[warm_rng_below(rng, 3)],
                             .done = on_done,
                             .ud = all};
    if (order.verb == WARM_SLOT_ERASE) order.name = NULL;
    warm_sched_slot_order(w->sched, &order);
    all->n_given++;
}

static void add_timings(warm_task_timings *sum, const warm_task_timings *t) {
    sum->n_device += t->n_device;
    sum->n_ram += t->n_ram;
    sum->n_computed += t->n_computed;
    sum->n_predicted += t->n_predicted;
}

/* What all answers say of their prompts is what the counters say. */
static void check_counters(world *w, const warm_task_timings *sum) {
    warm_sched_status st;
    assert_int_equal(warm_sched_status_get(w->sched, &st), 0);
    assert_int_equal(st.n_prompt_device, sum->n_device);
    assert_int_equal(st.n_prompt_ram, sum->n_ram);
    assert_int_equal(st.n_prompt_computed, sum->n_computed);
    assert_int_equal(st.n_predicted, sum->n_predicted);
    warm_sched_status_free(&st);
}

/* Returns how many units were moved and how many answers did not end with their limit because the context was full or shifted. */
static struct moves run(const world_options *o, uint64_t seed, uint64_t iters, const struct faults *f) {
    world w;
    world_open(&w, o);
    warm_rng rng = {seed};
    warm_rng chance = {seed + 1};
    static const float scales[3][N_ADAPTERS] = {{0}, {1, 0.5f}, {0, 2}};
    struct orders orders = {0};
    if (f) faults_set(&w, &chance, f->one_in, f->decodes);
    static struct talk talks[N_TALKS];
    memset(talks, 0, sizeof talks);
    request r[AT_ONCE];
    warm_task_timings sum = {0};
    uint64_t computed = 0, asked = 0, moved = 0, truncated = 0, n_failed = 0;
    for (uint64_t i = 0; i < iters; i += AT_ONCE) {
        size_t n = 1 + warm_rng_below(&rng, AT_ONCE);
        struct talk *of[AT_ONCE];
        bool canceled[AT_ONCE] = {false};
        for (size_t k = 0; k < n; k++) {
            of[k] = &talks[warm_rng_below(&rng, N_TALKS)];
            next_prompt(&rng, talks, of[k]);
            uint64_t flavour = warm_rng_below(&rng, 12);
            request_submit(&w, &r[k], of[k]->tokens, of[k]->n,
                           &(request_options){.n_predict = (int32_t)warm_rng_below(&rng, warm_rng_below(&rng, 6) ? 150 : 600),
                                              .id_slot = flavour == 0 ? 0 : -1,
                                              .no_cache = flavour == 1,
                                              .n_cache_reuse = o->context_shift && flavour >= 6 ? 8 : 0,
                                              .n_keep = (int32_t)warm_rng_below(&rng, 200) - 1,
                                              .salt = flavour == 2 ? "salt" : NULL,
                                              .scales = o->sim.n_adapters ? scales[warm_rng_below(&rng, 3)] : NULL,
                                              .ignore_eos = flavour < 8});
            if (o->slot_dir && warm_rng_below(&rng, 3) == 0) give_order(&w, o, &rng, &orders);
            for (uint64_t steps = warm_rng_below(&rng, 6); steps; steps--) warm_sched_step(w.sched);
            if (flavour == 3 || (f && flavour < 6)) {
                warm_sched_cancel(w.sched, r[k].id);
                canceled[k] = true;
            }
        }
        for (size_t k = 0; k < n; k++) {
            request_wait(&w, &r[k]);
            add_timings(&sum, &r[k].t);
            if (r[k].failed) {
                assert_true((canceled[k] && r[k].err.code == WARM_ECANCELED) || (f && r[k].err.code == WARM_EENGINE));
                n_failed += !canceled[k];
            } else {
                /* Whoever asked for what is not exact may have got it; nobody else. */
                if (!r[k].n_cache_reuse && !(o->context_shift && r[k].truncated)) request_check(&w, &r[k]);
                if (!r[k].n_cache_reuse) assert_int_equal(r[k].t.n_shifted, 0);
                moved += r[k].t.n_shifted;
                truncated += r[k].truncated;
                computed += r[k].t.n_computed;
                asked += r[k].n_prompt;
                struct talk *t = of[k];
                if (t->n == r[k].n_prompt && t->n + r[k].n_got <= MOST_PROMPT) {
                    memcpy(t->tokens + t->n, r[k].got, r[k].n_got * sizeof *t->tokens);
                    t->n += r[k].n_got;
                }
            }
            request_free(&r[k]);
        }
        check_counters(&w, &sum);
        while (orders.n_done < orders.n_given) warm_sched_step(w.sched);
        for (size_t k = 0; f && k < N_TALKS; k++) {
            if (talks[k].n && warm_rng_below(&rng, 100) < f->damage) faults_damage(&w, &rng, talks[k].tokens, talks[k].n);
        }
        if (w.cache) {
            warm_cache_check(w.cache);
            assert_true(w.budget.peak_bytes <= w.budget.limit_bytes);
        }
    }
    warm_cache_stats st = {0};
    if (w.cache) warm_cache_stats_get(w.cache, &st);
    print_message("%s: seed=%llu budget=%zu slots=%u asked=%llu computed=%llu moved=%llu failed=%llu damaged=%llu\n",
                  warm_state_kind_name(o->sim.state), (unsigned long long)seed, o->budget_bytes, o->n_slots,
                  (unsigned long long)asked, (unsigned long long)computed, (unsigned long long)moved, (unsigned long long)n_failed,
                  (unsigned long long)st.n_damaged);
    world_close(&w);
    if (o->slot_dir) assert_true(orders.n_failed < orders.n_given);
    return (struct moves){moved, truncated};
}

static void every_answer_is_right(void **state) {
    (void)state;
    uint64_t seed = env_number("WARM_SEED", 20), iters = env_number("WARM_ITERS", 400);
    const world_options kinds[] = {
        {.sim = {.n_ctx = 1200, .n_seq_max = 4, .n_ubatch = 128}, .n_slots = 1, .budget_bytes = 4 << 20, .slice_ns = 50 * 1000},
        {.sim = {.n_ctx = 960, .n_seq_max = 6, .n_ubatch = 64}, .n_slots = 3, .budget_bytes = 256 << 10, .slice_ns = 200 * 1000},
        {.sim = {.n_ctx = 2500, .n_seq_max = 8, .n_ubatch = 96}, .n_slots = 4, .budget_bytes = 64 << 10, .slice_ns = 10 * 1000},
        {.sim = {.n_ctx = 960, .n_seq_max = 4, .n_ubatch = 32, .n_batch = 48}, .n_slots = 2},
        {.sim = {.n_ctx = 960, .n_seq_max = 6}, .n_slots = 3, .budget_bytes = 1 << 20, .n_threads = 2},
        /* Prompts in the shortest slices, saves in small ones, and rarely a cell to spare. */
        {.sim = {.n_ctx = 1100, .n_seq_max = 6, .copy_ns = 20 * 1000},
         .n_slots = 4,
         .budget_bytes = 1 << 20,
         .slice_ns = 200 * 1000,
         .prefill_slice_ns = 30 * 1000 * 1000},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
            world_options o = world_of_kind((enum warm_state_kind)k, kinds[i]);
            run(&o, seed + i, k == WARM_STATE_RANGES ? iters : iters / 2, NULL);
        }
    }
}

static void what_is_moved_is_given_to_nobody_who_did_not_ask(void **state) {
    (void)state;
    uint64_t seed = env_number("WARM_SEED", 30), iters = env_number("WARM_ITERS", 300);
    const world_options worlds[] = {
        {.sim = {.n_ctx = 1000, .n_seq_max = 6, .n_ubatch = 128}, .n_slots = 2, .budget_bytes = 4 << 20, .slice_ns = 50 * 1000},
        {.sim = {.n_ctx = 960, .n_seq_max = 8, .n_ubatch = 64}, .n_slots = 3, .budget_bytes = 128 << 10, .slice_ns = 20 * 1000},
        {.sim = {.n_ctx = 960, .n_seq_max = 6}, .n_slots = 2},
    };
    struct moves all = {0};
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
            world_options o = world_of_kind((enum warm_state_kind)k, worlds[i]);
            o.context_shift = true;
            struct moves m = run(&o, seed + i, iters, NULL);
            all.units += m.units;
            all.truncated += m.truncated;
        }
    }
    if (iters >= 300) assert_true(all.units > 0 && all.truncated > 0);
}

static void what_fails_or_is_damaged_changes_no_answer(void **state) {
    (void)state;
    uint64_t seed = env_number("WARM_SEED", 40), iters = env_number("WARM_ITERS", 200);
    char folder[] = "/tmp/warm_sched_XXXXXX";
    assert_non_null(mkdtemp(folder));
    const struct {
        world_options o;
        struct faults f;
    } worlds[] = {
        {{.sim = {.n_ctx = 1200, .n_seq_max = 4, .n_ubatch = 128}, .n_slots = 1, .budget_bytes = 4 << 20, .slice_ns = 50 * 1000},
         {.one_in = 60, .damage = 50}},
        {{.sim = {.n_ctx = 960, .n_seq_max = 6, .n_ubatch = 64}, .n_slots = 3, .budget_bytes = 512 << 10, .slice_ns = 10 * 1000},
         {.one_in = 8, .damage = 20}},
        {{.sim = {.n_ctx = 2500, .n_seq_max = 8, .n_ubatch = 96}, .n_slots = 4, .budget_bytes = 2 << 20, .slice_ns = 10 * 1000},
         {.one_in = 30, .decodes = true, .damage = 30}},
        {{.sim = {.n_ctx = 1500, .n_seq_max = 7, .n_ubatch = 96},
          .n_slots = 3,
          .budget_bytes = 1 << 20,
          .slice_ns = 10 * 1000,
          .slot_dir = folder},
         {.one_in = 40, .damage = 10}},
        /* Loads that take many steps, and are cut off or parked on their way. */
        {{.sim = {.n_ctx = 1200, .n_seq_max = 5, .n_ubatch = 64, .copy_ns = 200 * 1000},
          .n_slots = 3,
          .budget_bytes = 4 << 20,
          .slice_ns = 100 * 1000},
         {.one_in = 100, .damage = 5}},
        /* Bytes that a thread may be reading are not to be changed. */
        {{.sim = {.n_ctx = 1500, .n_seq_max = 7, .n_ubatch = 96},
          .n_slots = 3,
          .budget_bytes = 1 << 20,
          .slice_ns = 10 * 1000,
          .n_threads = 2,
          .slot_dir = folder},
         {.one_in = 20}},
        {{.sim = {.n_ctx = 960, .n_seq_max = 6},
          .n_slots = 3,
          .budget_bytes = 1 << 20,
          .slice_ns = 10 * 1000,
          .context_shift = true},
         {.one_in = 10, .damage = 20}},
    };
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        for (int k = WARM_STATE_RANGES; k <= WARM_STATE_WHOLE; k++) {
            world_options o = world_of_kind((enum warm_state_kind)k, worlds[i].o);
            run(&o, seed + i, iters, &worlds[i].f);
        }
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

/* Contexts, windows, snapshots, pieces, slots and budgets of any size next to each other. */
static void sizes_that_do_not_suit_each_other_change_no_answer(void **state) {
    (void)state;
    uint64_t seed = env_number("WARM_SEED", 50), iters = env_number("WARM_ITERS", 100);
    warm_rng rng = {seed};
    for (int i = 0; i < 20; i++) {
        uint32_t n_seq_max = 2 + (uint32_t)warm_rng_below(&rng, 8), n_ubatch = 8 + (uint32_t)warm_rng_below(&rng, 200);
        world_options o = {.sim = {.n_ctx = MOST_PROMPT + 1 + (uint32_t)warm_rng_below(&rng, 900),
                                   .n_seq_max = n_seq_max,
                                   .n_ubatch = n_ubatch,
                                   .n_batch = n_ubatch + (uint32_t)warm_rng_below(&rng, 300),
                                   .n_window = 16 + (uint32_t)warm_rng_below(&rng, 400),
                                   .unit_bytes = 16 + warm_rng_below(&rng, 200),
                                   .snapshot_bytes = 32 + warm_rng_below(&rng, 40000),
                                   .snapshot_ns = warm_rng_below(&rng, 10 * 1000 * 1000)},
                           .n_slots = 1 + (uint32_t)warm_rng_below(&rng, n_seq_max - 1),
                           .budget_bytes = (size_t)1 << (13 + warm_rng_below(&rng, 10)),
                           .slice_ns = 1000 * (1 + warm_rng_below(&rng, 500)),
                           .prefill_slice_ns = 1000 * 1000 * (1 + warm_rng_below(&rng, 100)),
                           .context_shift = warm_rng_below(&rng, 3) == 0};
        static const float at_start[N_ADAPTERS];
        if (i % 3 == 0) o.sim.adapter_scale = at_start, o.sim.n_adapters = N_ADAPTERS;
        o = world_of_kind((enum warm_state_kind)warm_rng_below(&rng, WARM_STATE_WHOLE + 1), o);
        struct faults f = {.one_in = 20, .damage = 10};
        run(&o, seed + (uint64_t)i, iters, warm_rng_below(&rng, 2) ? &f : NULL);
    }
}

/* The reference: every list of tokens whose state was ever computed, compared with a new prompt one by one. */
struct reference {
    struct known {
        int32_t *tokens;
        size_t n;
        bool salted;
    } * all;
    size_t n;
};

static size_t reference_match(const struct reference *ref, const int32_t *tokens, size_t n, bool salted) {
    size_t best = 0;
    for (size_t i = 0; i < ref->n; i++) {
        const struct known *k = &ref->all[i];
        size_t m = 0;
        while (k->salted == salted && m < n && m < k->n && k->tokens[m] == tokens[m]) m++;
        if (m > best) best = m;
    }
    return best < n ? best : n - 1;
}

static void reference_add(struct reference *ref, const request *r, bool salted) {
    /* the last token that was generated is not decoded */
    size_t n = r->n_prompt + r->n_got - (r->n_got > 0);
    ref->all = realloc(ref->all, (ref->n + 1) * sizeof *ref->all);
    struct known *k = &ref->all[ref->n++];
    *k = (struct known){malloc(n * sizeof *k->tokens), n, salted};
    assert_non_null(k->tokens);
    for (size_t i = 0; i < n; i++) k->tokens[i] = i < r->n_prompt ? r->prompt[i] : r->got[i - r->n_prompt];
}

static void with_ample_memory_nothing_is_computed_twice(void **state) {
    (void)state;
    uint64_t seed = env_number("WARM_SEED", 20), iters = env_number("WARM_ITERS", 400);
    world w;
    world_open(&w, &(world_options){.sim = {.n_ctx = 1200, .n_seq_max = 4, .n_ubatch = 128},
                                    .budget_bytes = (iters / 400 + 1) * (64 << 20),
                                    .slice_ns = 50 * 1000});
    warm_rng rng = {seed};
    static struct talk talks[N_TALKS];
    memset(talks, 0, sizeof talks);
    struct reference ref = {0};
    for (uint64_t i = 0; i < iters; i++) {
        struct talk *t = &talks[warm_rng_below(&rng, N_TALKS)];
        next_prompt(&rng, talks, t);
        bool salted = warm_rng_below(&rng, 8) == 0;
        size_t known = reference_match(&ref, t->tokens, t->n, salted);
        request r;
        request_submit(
            &w, &r, t->tokens, t->n,
            &(request_options){.n_predict = (int32_t)warm_rng_below(&rng, 100), .id_slot = -1, .salt = salted ? "salt" : NULL});
        request_wait(&w, &r);
        request_check(&w, &r);
        assert_int_equal(r.t.n_device + r.t.n_ram, known);
        reference_add(&ref, &r, salted);
        if (t->n + r.n_got <= MOST_PROMPT) {
            memcpy(t->tokens + t->n, r.got, r.n_got * sizeof *t->tokens);
            t->n += r.n_got;
        }
        request_free(&r);
    }
    for (size_t i = 0; i < ref.n; i++) free(ref.all[i].tokens);
    free(ref.all);
    world_close(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_answer_is_right),
                                       cmocka_unit_test(what_is_moved_is_given_to_nobody_who_did_not_ask),
                                       cmocka_unit_test(what_fails_or_is_damaged_changes_no_answer),
                                       cmocka_unit_test(sizes_that_do_not_suit_each_other_change_no_answer),
                                       cmocka_unit_test(with_ample_memory_nothing_is_computed_twice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
