/* SPDX-License-Identifier: MIT
 *
 * tests/unit/test_tools_replay_tree.c - the oracle, the live set and the optimum, against figures made by hand and against all there is to try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "replay_fixture.h"
#include "tools/replay_tree.h"

enum { TEXT_MAX = 6, TEXTS_MAX = 7, NODES_MAX = 9 };

static const warm_trace_shape whole = {.scale = 1, .vocab = 1000};

static warm_tree *tree_of(const warm_trace *t, const warm_drive_options *o) {
    warm_tree *tree;
    warm_err err = {0};
    assert_int_equal(warm_tree_new(t, &whole, o, 1000000, &tree, &err), 0);
    return tree;
}

/* Texts one behind the other, each a session of its own. */
static warm_tree *tree_of_texts(warm_trace *t, const char *const *texts, size_t n) {
    warm_err err = {0};
    *t = (warm_trace){0};
    for (size_t i = 0; i < n; i++) assert_int_equal(add_text(t, texts[i], &err), 0);
    assert_int_equal(warm_trace_end(t, &err), 0);
    return tree_of(t, &(warm_drive_options){.trace = t, .rotate = 1});
}

static uint64_t optimum(const warm_tree *t, uint64_t capacity) {
    warm_optimum *o;
    warm_err err = {0};
    uint64_t computed;
    assert_int_equal(warm_optimum_new(t, t->asks, t->n_asks, &o, &err), 0);
    assert_int_equal(warm_optimum_run(o, capacity, &computed, &err), 0);
    warm_optimum_free(o);
    return computed;
}

static void the_oracle_computes_what_is_new_and_always_the_last_unit(void **state) {
    (void)state;
    static const char *const texts[] = {"abcd", "abce", "abcd", "ab", "x"};
    warm_trace t;
    warm_tree *tree = tree_of_texts(&t, texts, 5);
    assert_int_equal(tree->n_tokens, 15);
    assert_int_equal(tree->oracle_tokens, 4 + 1 + 1 + 1 + 1);
    assert_int_equal(tree->longest, 4);
    assert_int_equal(optimum(tree, 1000), tree->oracle_tokens);
    assert_int_equal(optimum(tree, 0), tree->n_tokens);
    warm_tree_free(tree);
    warm_trace_free(&t);
}

static void what_sessions_share_counts_once_in_the_live_set(void **state) {
    (void)state;
    warm_trace t = {0};
    warm_err err = {0};
    assert_int_equal(add_line(&t, first_session, &err), 0);
    assert_int_equal(add_line(&t, second_session, &err), 0);
    assert_int_equal(warm_trace_end(&t, &err), 0);
    /* in turn: a's 3 and b's 3 blocks share 2, the sub-agent adds 2, b becomes 4: 7. b ends, the sub-agent becomes 3, a 5: 8 */
    warm_tree *tree = tree_of(&t, &(warm_drive_options){.trace = &t, .rotate = 2});
    assert_int_equal(tree->live_tokens, 64 * (5 + 3));
    warm_tree_free(tree);
    warm_trace_keep_part(&t, 2, 2);
    tree = tree_of(&t, &(warm_drive_options){.trace = &t, .rotate = 2});
    assert_int_equal(tree->live_tokens, 64 * 4);
    warm_tree_free(tree);
    warm_trace_free(&t);
}

static void what_is_asked_for_last_goes_first_from_its_deep_end(void **state) {
    (void)state;
    /* with room for four units: of abcd and xyz, x and y have to make room for what is asked for sooner */
    static const char *const texts[] = {"abcd", "xyz", "abcd", "xyz"};
    warm_trace t;
    warm_tree *tree = tree_of_texts(&t, texts, 4);
    assert_int_equal(optimum(tree, 4), 4 + 3 + 1 + 3);
    assert_int_equal(optimum(tree, 6), 4 + 3 + 1 + 1);
    warm_tree_free(tree);
    warm_trace_free(&t);
}

static void a_tree_that_is_too_large_is_refused(void **state) {
    (void)state;
    warm_trace t = {0};
    warm_tree *tree;
    warm_err err = {0};
    assert_int_equal(add_text(&t, "abcdefgh", &err), 0);
    assert_int_equal(warm_trace_end(&t, &err), 0);
    warm_drive_options o = {.trace = &t, .rotate = 1};
    assert_int_equal(warm_tree_new(&t, &whole, &o, 4, &tree, &err), WARM_EFULL);
    warm_trace_free(&t);
}

/* ---- all there is to try ---- */

struct search {
    char nodes[NODES_MAX][TEXT_MAX]; /* prefixes */
    unsigned n_nodes;
    unsigned closed[1 << NODES_MAX]; /* sets that hold all prefixes of what they hold */
    unsigned n_closed;
};

static int find_node(const struct search *s, const char *text, size_t n) {
    for (unsigned i = 0; i < s->n_nodes; i++) {
        if (strlen(s->nodes[i]) == n && !strncmp(s->nodes[i], text, n)) return (int)i;
    }
    return -1;
}

static unsigned path_of(const struct search *s, const char *text) {
    unsigned set = 0;
    for (size_t n = 1; n <= strlen(text); n++) set |= 1u << find_node(s, text, n);
    return set;
}

static void list_closed(struct search *s) {
    s->n_closed = 0;
    for (unsigned set = 0; set < 1u << s->n_nodes; set++) {
        bool closed = true;
        for (unsigned i = 0; i < s->n_nodes; i++) {
            if (set & 1u << i && (path_of(s, s->nodes[i]) & ~set)) closed = false;
        }
        if (closed) s->closed[s->n_closed++] = set;
    }
}

static uint64_t least_computed(const struct search *s, char texts[][TEXT_MAX], size_t n, unsigned capacity) {
    static unsigned cost[1 << NODES_MAX], next[1 << NODES_MAX];
    memset(cost, 0xff, sizeof cost);
    cost[0] = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned path = path_of(s, texts[i]), length = (unsigned)strlen(texts[i]) + 1;
        memset(next, 0xff, sizeof next);
        for (unsigned a = 0; a < s->n_closed; a++) {
            unsigned had = s->closed[a], hit = (unsigned)__builtin_popcount(had & path);
            if (cost[had] == UINT32_MAX) continue;
            unsigned now = cost[had] + length - hit;
            for (unsigned b = 0; b < s->n_closed; b++) {
                unsigned keep = s->closed[b];
                if ((keep & ~(had | path)) || (unsigned)__builtin_popcount(keep) > capacity) continue;
                if (now < next[keep]) next[keep] = now;
            }
        }
        memcpy(cost, next, sizeof cost);
    }
    unsigned best = UINT32_MAX;
    for (unsigned a = 0; a < s->n_closed; a++) {
        if (cost[s->closed[a]] < best) best = cost[s->closed[a]];
    }
    return best;
}

static void nobody_computes_less_than_the_optimum_and_somebody_does_as_little(void **state) {
    (void)state;
    static struct search s;
    warm_rng r = {42};
    for (int round = 0; round < 150; round++) {
        /* asked with one more unit that nobody else has, so that no prompt is known as a whole */
        char texts[TEXTS_MAX][TEXT_MAX], asked[TEXTS_MAX][TEXT_MAX + 1];
        const char *list[TEXTS_MAX];
        size_t n = 3 + warm_rng_below(&r, TEXTS_MAX - 2);
        s.n_nodes = 0;
        for (size_t i = 0; i < n; i++) {
            size_t length = 1 + warm_rng_below(&r, TEXT_MAX - 2);
            for (size_t k = 0; k < length; k++) texts[i][k] = (char)('a' + (warm_rng_below(&r, 3) == 0));
            texts[i][length] = '\0';
            for (size_t k = 1; k <= length; k++) {
                if (find_node(&s, texts[i], k) >= 0) continue;
                if (s.n_nodes == NODES_MAX) { /* shorter then: what is known */
                    texts[i][k == 1 ? 0 : k - 1] = '\0';
                    break;
                }
                memcpy(s.nodes[s.n_nodes], texts[i], k);
                s.nodes[s.n_nodes++][k] = '\0';
            }
            if (!texts[i][0]) memcpy(texts[i], s.nodes[0], TEXT_MAX);
            size_t is = strlen(texts[i]);
            memcpy(asked[i], texts[i], is);
            asked[i][is] = (char)('p' + i);
            asked[i][is + 1] = '\0';
            list[i] = asked[i];
        }
        list_closed(&s);
        warm_trace t;
        warm_tree *tree = tree_of_texts(&t, list, n);
        for (unsigned capacity = 0; capacity <= s.n_nodes; capacity++)
            assert_int_equal(optimum(tree, capacity), least_computed(&s, texts, n, capacity));
        warm_tree_free(tree);
        warm_trace_free(&t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_computes_what_is_new_and_always_the_last_unit),
        cmocka_unit_test(what_sessions_share_counts_once_in_the_live_set),
        cmocka_unit_test(what_is_asked_for_last_goes_first_from_its_deep_end),
        cmocka_unit_test(a_tree_that_is_too_large_is_refused),
        cmocka_unit_test(nobody_computes_less_than_the_optimum_and_somebody_does_as_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
