/* SPDX-License-Identifier: MIT
 *
 * cmake/sanitizers.c - the sanitizers' options, linked into every program of a sanitizer build, so that a program behaves the same
 * however it is started. The environment (ASAN_OPTIONS, ...) still overrides each of them. */

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__tsan_default_options(void);

/* A huge allocation must come back as NULL: that sizes from outside are refused, not fatal, is what tests ask for. */
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:detect_stack_use_after_return=1:strict_string_checks=1";
}

const char *__ubsan_default_options(void) {
    return "print_stacktrace=1";
}

const char *__tsan_default_options(void) {
    return "allocator_may_return_null=1:second_deadlock_stack=1";
}
