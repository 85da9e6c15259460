/* SPDX-License-Identifier: MIT
 *
 * llama/deep.hpp - a stack large enough for what clients write.
 *
 * Grammars, JSON schemas and the grammars of tools are parsed by recursion without a limit in libllama: 20 KB of parentheses, or some
 * thousand definitions that name each other, overrun a thread's usual stack and end the process. Such work runs on a thread of its
 * own whose stack holds what the limits below let in: a level takes less than 1 KB in a grammar and 4 KB in a schema (measured).
 * Threads: [any]; the caller waits. */
#ifndef WARM_LLAMA_DEEP_HPP
#define WARM_LLAMA_DEEP_HPP

#include <cstddef>
#include <exception>
#include <pthread.h>

#include "llama/guard.hpp"

namespace warm {

constexpr size_t deep_stack_bytes = 64u << 20; /* address space; memory only as far as it is used */
constexpr size_t grammar_levels_max = 50000;   /* opening parentheses; they are no more than the levels */
constexpr size_t schema_levels_max = 10000;    /* opening braces and brackets */

/* Every level of a schema, references between its definitions included, is an object or an array of its text. */
inline void check_schema_size(const char *field, const std::string &json) {
    size_t levels = 0;
    for (char c : json) levels += c == '{' || c == '[';
    if (levels > schema_levels_max) fail(WARM_EINVAL, "%s: more than %zu objects and arrays", field, schema_levels_max);
}

/* Runs f() and returns, or throws what it threw. */
template <class F> void run_deep(F f) {
    struct job {
        F *f;
        std::exception_ptr thrown;
    } work{&f, nullptr};
    auto body = [](void *arg) -> void * {
        auto *j = static_cast<job *>(arg);
        try {
            (*j->f)();
        } catch (...) {
            j->thrown = std::current_exception();
        }
        return nullptr;
    };
    pthread_attr_t attr;
    pthread_t thread;
    pthread_attr_init(&attr);
    int rc = pthread_attr_setstacksize(&attr, deep_stack_bytes);
    if (!rc) rc = pthread_create(&thread, &attr, body, &work);
    pthread_attr_destroy(&attr);
    if (rc) fail(WARM_ENOMEM, "no thread for the grammar: %d", rc);
    pthread_join(thread, nullptr);
    if (work.thrown) std::rethrow_exception(work.thrown);
}

} // namespace warm
#endif
