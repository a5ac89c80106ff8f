/* The error codes that modules return, each with its text. 0 is success, every error is negative.
 */
#ifndef COMMON_ERR_H
#define COMMON_ERR_H

/* Callers must look at what these functions return. */
#define MUST_CHECK             __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, (fmt), (args))))

#define ERR_MAP(X)                                                                                 \
    X(ERR_MORE, -1, "more input is needed")                                                        \
    X(ERR_PROTOCOL, -2, "the peer broke the protocol")                                             \
    X(ERR_TOO_BIG, -3, "a limit was exceeded")                                                     \
    X(ERR_INVALID, -4, "invalid argument or value")                                                \
    X(ERR_NOT_FOUND, -5, "not found")                                                              \
    X(ERR_EXISTS, -6, "exists already")                                                            \
    X(ERR_IO, -7, "an input or output operation failed")                                           \
    X(ERR_CORRUPT, -8, "stored data is corrupt")                                                   \
    X(ERR_NO_SPACE, -9, "no space is left")                                                        \
    X(ERR_STALE, -10, "the message is of an older session or term")                                \
    X(ERR_REFUSED, -11, "the peer refused")                                                        \
    X(ERR_CLOSED, -12, "the connection is closed")                                                 \
    X(ERR_TIMEOUT, -13, "timed out")                                                               \
    X(ERR_STATE, -14, "not possible in this state")                                                \
    X(ERR_GONE, -15, "deleted meanwhile")

enum err {
    ERR_OK = 0,
#define ERR_ENUM(name, code, text) name = code,
    ERR_MAP(ERR_ENUM)
#undef ERR_ENUM
};

/* The text of a code; never NULL. */
const char *err_text(int code);

#endif
