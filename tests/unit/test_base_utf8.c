/* SPDX-License-Identifier: MIT
 *
 * UTF-8: exactly the encodings of the code points are valid, and a stream is cut only between characters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/utf8.h"

static size_t encode(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> n) | c);
    return n;
}

/* All encodings are valid and there are exactly as many valid sequences as code points: so nothing else is. */
static void exactly_the_code_points_are_valid(void **state) {
    (void)state;
    size_t n_of_length[5] = {0};
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        if (c >= 0xd800 && c <= 0xdfff) continue;
        char s[4];
        size_t n = encode(c, s);
        n_of_length[n]++;
        if (warm_utf8_char(s, n) != n || !warm_utf8_valid(s, n)) fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < n; cut++) {
            if (warm_utf8_char(s, cut) || warm_utf8_valid(s, cut) || warm_utf8_whole(s, cut)) fail_msg("U+%04X cut at %zu", c, cut);
        }
    }
    size_t found[5] = {0};
    for (uint32_t b = 0; b < 1u << 24; b++) {
        char s[3] = {(char)(b >> 16), (char)(b >> 8), (char)b};
        if ((b & 0xffff) == 0 && warm_utf8_char(s, 1)) found[1]++;
        if ((b & 0xff) == 0 && warm_utf8_char(s, 2) == 2) found[2]++;
        if (warm_utf8_char(s, 3) == 3) found[3]++;
    }
    /* Four bytes: every lead and second byte, the border cases of the third and fourth (2 of 4 are continuations). */
    const uint8_t border[] = {0x7f, 0x80, 0xbf, 0xc0};
    for (uint32_t b = 0; b < 1u << 20; b++) {
        char s[4] = {(char)(b >> 12), (char)(b >> 4), (char)border[b >> 2 & 3], (char)border[b & 3]};
        if (warm_utf8_char(s, 4) == 4) found[4]++;
    }
    assert_int_equal(found[1], n_of_length[1]);
    assert_int_equal(found[2], n_of_length[2]);
    assert_int_equal(found[3], n_of_length[3]);
    assert_int_equal(found[4], n_of_length[4] / 64 / 64 * 4);
}

static void stream_is_cut_at_the_last_border(void **state) {
    (void)state;
    warm_rng r = {42};
    for (int round = 0; round < 2000; round++) {
        char text[64];
        size_t n = 0, border = 0;
        size_t borders[65] = {0};
        for (int i = 0; i < 12; i++) {
            static const uint32_t top[] = {0x80, 0x800, 0xd800, 0x110000};
            uint32_t c = (uint32_t)warm_rng_below(&r, top[warm_rng_below(&r, 4)]);
            if (c >= 0xd800 && c <= 0xdfff) c = 0xe000;
            size_t end = n + encode(c, text + n);
            for (size_t k = n; k < end; k++) borders[k] = border;
            border = n = end;
        }
        borders[n] = n;
        for (size_t cut = 0; cut <= n; cut++) assert_int_equal(warm_utf8_whole(text, cut), borders[cut]);
    }
}

static void bytes_that_begin_nothing_are_not_held_back(void **state) {
    (void)state;
    static const struct {
        const char *s;
        size_t whole;
    } cases[] = {
        {"", 0},
        {"a\xff", 2},
        {"\x80\x80\x80\x80", 4},
        {"\xc0", 1},                 /* only ever the beginning of an overlong form */
        {"\xe2(", 2},                /* the lead byte is not followed by a continuation */
        {"\xed\xa0", 2},             /* a surrogate */
        {"\xe0\x80", 2},             /* overlong */
        {"\xf4\x90", 2},             /* behind U+10FFFF */
        {"\xf0\x9f\x98", 0},         /* may become U+1F600 */
        {"ab\xe2\x82", 2},           /* may become the euro sign */
        {"\xf0\x9f\x98\xc3", 3},     /* the first three can't continue, the last may */
        {"\xe2\x82\xac\xe2\x82", 3}, /* a whole one and a begun one */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(warm_utf8_whole(cases[i].s, strlen(cases[i].s)), cases[i].whole);
    }
}

static void random_bytes_leave_at_most_three(void **state) {
    (void)state;
    warm_rng r = {7};
    for (int round = 0; round < 100000; round++) {
        char s[6];
        for (size_t i = 0; i < sizeof s; i++) s[i] = (char)(warm_rng_next(&r) | (round & 1 ? 0x80 : 0));
        size_t whole = warm_utf8_whole(s, sizeof s);
        assert_true(whole <= sizeof s && sizeof s - whole <= 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exactly_the_code_points_are_valid),
        cmocka_unit_test(stream_is_cut_at_the_last_border),
        cmocka_unit_test(bytes_that_begin_nothing_are_not_held_back),
        cmocka_unit_test(random_bytes_leave_at_most_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
