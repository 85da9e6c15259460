/* SPDX-License-Identifier: MIT
 *
 * Hashes: the published values, whatever the pieces the input comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"

static void check_sha256(const char *text, size_t piece, const char *expect) {
    warm_sha256 *h = warm_sha256_new();
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i += piece) warm_sha256_add(h, text + i, n - i < piece ? n - i : piece);
    uint8_t out[32];
    warm_sha256_end(h, out);
    char hex[65];
    for (size_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(hex, expect);
}

static void sha256_gives_the_published_values(void **state) {
    (void)state;
    check_sha256("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t piece = 1; piece < 60; piece += 7) {
        check_sha256("abc", piece, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        check_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece,
                     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }
}

static void xxh3_gives_the_published_value_and_sees_one_bit(void **state) {
    (void)state;
    assert_true(warm_xxh3("", 0) == UINT64_C(0x2d06800538d394c2));
    uint8_t bytes[1000] = {0};
    uint64_t before = warm_xxh3(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1;
        assert_true(warm_xxh3(bytes, sizeof bytes) != before);
        bytes[i] ^= 1;
    }
    assert_true(warm_xxh3(bytes, sizeof bytes) == before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_values),
        cmocka_unit_test(xxh3_gives_the_published_value_and_sees_one_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
