/* SPDX-License-Identifier: MIT
 *
 * Checksums of pieces, from one thread and from several, and the fingerprints of scopes. */
#include "cache_rig.h"

#include <pthread.h>

#define AMPLE (64u << 20)

struct one {
    rig r;
    warm_unit *u;
    warm_path p;
    warm_piece_view v;
};

/* One saved piece of 256 units, held. */
static void one_open(struct one *o) {
    rig_open(&o->r, AMPLE, 0);
    o->u = rig_units(1, 256);
    warm_save s;
    warm_cache_lookup(o->r.cache, rig_scope(&o->r, "a"), o->u, 256, &o->p);
    assert_int_equal(rig_save_begin(&o->r, &o->p, 256, 256, &s), 0);
    rig_state(1, o->u, 0, 256, s.data);
    assert_int_equal(warm_cache_save_commit(o->r.cache, &o->p, &s, o->u, &o->v), 0);
}

static void one_close(struct one *o) {
    warm_piece_unref(o->r.cache, o->v.piece);
    warm_path_release(o->r.cache, &o->p);
    free(o->u);
    rig_close(&o->r);
}

static void a_piece_is_sealed_once_and_verified(void **state) {
    (void)state;
    struct one o;
    one_open(&o);
    assert_int_equal(o.v.start, 0);
    assert_int_equal(o.v.n_units, 256);
    assert_int_equal(o.v.bytes, 256 * RIG_STATE);
    assert_int_equal(warm_piece_state_get(o.v.piece), WARM_PIECE_WRITTEN);
    warm_piece_seal(o.v.piece);
    assert_int_equal(warm_piece_state_get(o.v.piece), WARM_PIECE_SEALED);
    assert_int_equal(warm_piece_verify(o.v.piece), 0);
    assert_int_equal(warm_piece_state_get(o.v.piece), WARM_PIECE_SEALED);
    one_close(&o);
}

static void verifying_what_is_not_sealed_seals_it(void **state) {
    (void)state;
    struct one o;
    one_open(&o);
    assert_int_equal(warm_piece_verify(o.v.piece), 0);
    assert_int_equal(warm_piece_state_get(o.v.piece), WARM_PIECE_SEALED);
    one_close(&o);
}

static void any_changed_byte_is_found_and_stays_found(void **state) {
    (void)state;
    struct one o;
    for (size_t at = 0; at < 256 * RIG_STATE; at += 93) {
        one_open(&o);
        warm_piece_seal(o.v.piece);
        uint8_t *data = (uint8_t *)(uintptr_t)o.v.data;
        data[at] ^= 0x10;
        warm_piece_seal(o.v.piece); /* sealing again is not a way out */
        assert_int_equal(warm_piece_verify(o.v.piece), WARM_ECORRUPT);
        data[at] ^= 0x10;
        assert_int_equal(warm_piece_verify(o.v.piece), WARM_ECORRUPT);
        assert_int_equal(warm_piece_state_get(o.v.piece), WARM_PIECE_DAMAGED);
        warm_cache_quarantine(o.r.cache, &o.p, 255);
        assert_int_equal(warm_cache_advance(o.r.cache, &o.p, o.u, 256), 0);
        one_close(&o);
    }
}

static void *verify_often(void *arg) {
    warm_piece *piece = arg;
    for (int i = 0; i < 200; i++) {
        warm_piece_seal(piece);
        if (warm_piece_verify(piece) || warm_piece_state_get(piece) != WARM_PIECE_SEALED) return piece;
    }
    return NULL;
}

static void threads_may_seal_and_verify_the_same_piece(void **state) {
    (void)state;
    struct one o;
    one_open(&o);
    pthread_t t[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, verify_often, o.v.piece), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    one_close(&o);
}

static void a_view_outlives_its_block(void **state) {
    (void)state;
    struct one o;
    one_open(&o);
    warm_path_release(o.r.cache, &o.p);
    warm_cache_clear(o.r.cache);
    assert_int_equal(rig_check(&o.r).n_blocks, 0);
    assert_int_equal(rig_check(&o.r).n_pieces, 1);
    uint8_t want[256 * RIG_STATE];
    rig_state(1, o.u, 0, 256, want);
    assert_memory_equal(o.v.data, want, sizeof want);
    one_close(&o);
}

static void fingerprints_tell_every_part_apart(void **state) {
    (void)state;
    static const char *const parts[][3] = {
        {"a", "b", "c"}, {"ab", "", "c"}, {"a", "bc", ""}, {"", "ab", "c"}, {"abc", "", ""},
        {"", "abc", ""}, {"", "", "abc"}, {"a", "b", ""},  {"", "", ""},    {"b", "a", "c"},
    };
    enum { N = sizeof parts / sizeof parts[0] };
    uint8_t key[N][WARM_SCOPE_BYTES];
    for (size_t i = 0; i < N; i++) {
        warm_scope_fingerprint(parts[i][0], parts[i][1], parts[i][2], key[i]);
        for (size_t j = 0; j < i; j++) assert_memory_not_equal(key[i], key[j], WARM_SCOPE_BYTES);
    }
    uint8_t absent[WARM_SCOPE_BYTES];
    warm_scope_fingerprint("a", "b", NULL, absent);
    assert_memory_equal(absent, key[7], WARM_SCOPE_BYTES);
    warm_scope_fingerprint(NULL, NULL, NULL, absent);
    assert_memory_equal(absent, key[8], WARM_SCOPE_BYTES);
}

/* Stored state will outlive the process; what makes it findable must not change by accident. */
static void the_fingerprint_of_an_example_stays(void **state) {
    (void)state;
    /* printf 'warmslot scope 1\n\5\0\0\0\0\0\0\0model\0\0\0\0\0\0\0\0\4\0\0\0\0\0\0\0salt' | sha256sum */
    static const uint8_t want[WARM_SCOPE_BYTES] = {0xa9, 0x91, 0x07, 0xb3, 0x51, 0x36, 0xd0, 0x57, 0xf4, 0x6b, 0xe6,
                                                   0x51, 0x81, 0xcf, 0xdb, 0x16, 0x70, 0xf5, 0x22, 0x2f, 0x58, 0x32,
                                                   0x0c, 0xed, 0xe6, 0x49, 0xa5, 0x14, 0x16, 0x35, 0x3a, 0x9b};
    uint8_t key[WARM_SCOPE_BYTES];
    warm_scope_fingerprint("model", NULL, "salt", key);
    assert_memory_equal(key, want, WARM_SCOPE_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_piece_is_sealed_once_and_verified),
        cmocka_unit_test(verifying_what_is_not_sealed_seals_it),
        cmocka_unit_test(any_changed_byte_is_found_and_stays_found),
        cmocka_unit_test(threads_may_seal_and_verify_the_same_piece),
        cmocka_unit_test(a_view_outlives_its_block),
        cmocka_unit_test(fingerprints_tell_every_part_apart),
        cmocka_unit_test(the_fingerprint_of_an_example_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
