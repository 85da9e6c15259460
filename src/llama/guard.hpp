/* SPDX-License-Identifier: MIT
 *
 * llama/guard.hpp - where C++ exceptions stop.
 *
 * Every function that C calls runs its body inside guard(): what is thrown becomes a code and a text. Our own code throws
 * `failure`, which carries its code; anything else gets the code that the caller names. [any] */
#ifndef WARM_LLAMA_GUARD_HPP
#define WARM_LLAMA_GUARD_HPP

#include <cstdarg>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>

#include "warmslot/err.h"

namespace warm {

struct failure : std::runtime_error {
    int code;
    failure(int code_, const std::string &text) : std::runtime_error(text), code(code_) {}
};

[[noreturn]] inline void fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
[[noreturn]] inline void fail(int code, const char *fmt, ...) {
    char text[WARM_ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    std::vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    throw failure(code, text);
}

/* Runs f(), which returns an int; `code` is for exceptions that carry none. */
template <class F> int guard(warm_err *err, int code, F &&f) noexcept {
    try {
        return f();
    } catch (const failure &e) {
        return warm_err_set(err, e.code, "%s", e.what());
    } catch (const std::bad_alloc &) {
        return warm_err_set(err, WARM_ENOMEM, "out of memory");
    } catch (const std::exception &e) {
        return warm_err_set(err, code, "%s", e.what());
    } catch (...) {
        return warm_err_set(err, code, "an exception of unknown kind");
    }
}

/* The same of an f() that returns a number of bytes. */
template <class F> int64_t guard_bytes(warm_err *err, int code, F &&f) noexcept {
    int64_t bytes = 0;
    const int rc = guard(err, code, [&] {
        bytes = f();
        return 0;
    });
    return rc ? rc : bytes;
}

} // namespace warm
#endif
