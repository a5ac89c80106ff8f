/* The program's own messages: one line each, on standard error, "TIME LEVEL PROGRAM: text".
 * Errors are logged where they are handled, once. Never a secret, never a client's data. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/err.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Sets the program's name (kept by reference) and the lowest level that is printed. */
void log_init(const char *program, enum log_level lowest);

/* The level of that name ("debug", "info", "warn", "error"), or ERR_NOT_FOUND. */
int log_level_parse(const char *name, enum log_level *level) MUST_CHECK;

void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
