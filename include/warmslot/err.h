/* SPDX-License-Identifier: MIT
 *
 * warmslot/err.h - how functions of warmslot fail.
 *
 * A fallible function returns int: 0 is success, a negative WARM_E* is a failure, a positive value only
 * where its header says it is a count. Where a human has to read what happened, the last parameter is a
 * warm_err, which is untouched on success and may be NULL.
 * Threads: all functions [any]. */
#ifndef WARMSLOT_ERR_H
#define WARMSLOT_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

#define WARM_MUST_USE __attribute__((warn_unused_result))

/* name, value, text. The values are part of the API: append, never renumber. */
#define WARM_ERR_MAP(XX)                                                                                                           \
    XX(EAGAIN, -1, "not now, try again")                                                                                           \
    XX(ENOMEM, -2, "out of memory")                                                                                                \
    XX(EIO, -3, "input/output error")                                                                                              \
    XX(ECORRUPT, -4, "stored bytes are damaged")                                                                                   \
    XX(EFULL, -5, "no room within the limit")                                                                                      \
    XX(ECANCELED, -6, "canceled")                                                                                                  \
    XX(EINVAL, -7, "invalid argument")                                                                                             \
    XX(ENOTFOUND, -8, "not found")                                                                                                 \
    XX(ENOTSUP, -9, "not supported")                                                                                               \
    XX(ETOOLARGE, -10, "larger than the context")                                                                                  \
    XX(EENGINE, -11, "the engine failed")                                                                                          \
    XX(ECLOSED, -12, "shutting down")

enum warm_errno {
#define XX(name, value, text) WARM_##name = (value),
    WARM_ERR_MAP(XX)
#undef XX
};

#define WARM_ERR_TEXT_MAX 256

/* A message for people. Fixed size: making one can't fail. Zero-initialise before the first use. */
typedef struct warm_err {
    int code;                     /* WARM_E*, or 0 */
    char text[WARM_ERR_TEXT_MAX]; /* NUL-terminated, complete enough to be shown as it is */
} warm_err;

/* Fills *err (which may be NULL) from a printf format, cut at WARM_ERR_TEXT_MAX, and returns code. */
int warm_err_set(warm_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The constant text of a code, never NULL. */
const char *warm_err_name(int code);
const char *warm_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif
