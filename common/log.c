#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "holdfast";
static enum log_level log_lowest = LOG_LEVEL_INFO;

static const char *const log_names[] = {"debug", "info", "warn", "error"};

void log_init(const char *program, enum log_level lowest)
{
    log_program = program;
    log_lowest = lowest;
}

int log_level_parse(const char *name, enum log_level *level)
{
    for (int i = 0; i <= LOG_LEVEL_ERROR; i++) {
        if (strcmp(name, log_names[i]) == 0) {
            *level = (enum log_level)i;
            return ERR_OK;
        }
    }
    return ERR_NOT_FOUND;
}

/* One write(2) a line, so that lines of several threads or processes never mix. */
static void log_line(enum log_level level, const char *fmt, va_list args)
{
    char line[1024];
    struct timespec now;
    struct tm tm;

    if (level < log_lowest) {
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t len = strftime(line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03ldZ %s %s: ", now.tv_nsec / 1000000,
                            log_names[level], log_program);
    int text = vsnprintf(line + len, sizeof line - len, fmt, args);
    if (text > 0) {
        len += (size_t)text < sizeof line - len ? (size_t)text : sizeof line - len - 1;
    }
    line[len < sizeof line ? len : sizeof line - 1] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len + 1);
    (void)written; /* there is no other place to say it */
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *fmt, ...)                                                                \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, fmt);                                                                       \
        log_line(level, fmt, args);                                                                \
        va_end(args);                                                                              \
    }

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
