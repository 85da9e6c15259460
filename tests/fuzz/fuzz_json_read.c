/* SPDX-License-Identifier: MIT
 *
 * tests/fuzz/fuzz_json_read.c - what is accepted is valid UTF-8 and, written again, accepted again. */
#include <json-c/json_object.h>
#include <stdlib.h>
#include <string.h>

#include "api/json_read.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    warm_jv *root = NULL, *again = NULL;
    warm_err err = {0};
    if (warm_jread((const char *)data, size, &root, &err)) {
        if (!err.text[0]) abort();
        return 0;
    }
    if (!warm_utf8_valid((const char *)data, size) || memchr(data, 0, size)) abort();
    size_t len;
    const char *text = json_object_to_json_string_length(root, JSON_C_TO_STRING_PLAIN, &len);
    if (warm_jread(text, len, &again, &err)) abort();
    size_t len_again;
    const char *text_again = json_object_to_json_string_length(again, JSON_C_TO_STRING_PLAIN, &len_again);
    if (len != len_again || memcmp(text, text_again, len) != 0) abort();
    json_object_put(again);
    json_object_put(root);
    return 0;
}
