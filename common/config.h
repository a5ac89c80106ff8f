/* A program's configuration: one JSON file, read at start by a table of what it may say.
 *
 * The table (the schema) is the only place where a key exists: its row gives the name, the type,
 * the range, the default, the field that takes the value, and a line of help. Keys in nested
 * objects are named by their whole path: {"redis": {"port": 1}} sets the row "redis.port".
 * Everything that a row doesn't allow is an error that names the file, the line and the key, before
 * anything starts:
 *
 *     proxy.json:4: redis.port: is a string, expected a whole number from 1 to 65535
 *
 * Plain JSON without comments. Example of a schema:
 *
 *     struct proxy_config { char *redis_host; int64_t redis_port; struct config_strings nodes; };
 *     static const struct config_row rows[] = {
 *         CONFIG_STRING("redis.host", struct proxy_config, redis_host, 1, 255, "127.0.0.1",
 *                       "where Redis listens"),
 *         CONFIG_INT("redis.port", struct proxy_config, redis_port, 1, 65535, "6379", "its port"),
 *         CONFIG_STRINGS("nodes", struct proxy_config, nodes, 1, 7, NULL, "log nodes, HOST:PORT",
 *                        .check = config_check_host_port),
 *     };
 */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    CONFIG_FILE_BYTES_MAX = 1 << 20,
    CONFIG_PATH_BYTES_MAX = 128,  /* of a dotted path, with its final NUL */
    CONFIG_ERROR_BYTES_MAX = 1024 /* enough for any error text */
};

/* The largest whole number that JSON's double carries without loss. */
#define CONFIG_INT_MAX (INT64_C(1) << 53)

enum config_type {
    CONFIG_TYPE_BOOL,    /* bool */
    CONFIG_TYPE_INT,     /* int64_t */
    CONFIG_TYPE_STRING,  /* char *, never NULL after a load */
    CONFIG_TYPE_STRINGS, /* struct config_strings */
    CONFIG_TYPE_HEX      /* uint8_t[max], in the file a string of 2 * max hexadecimal digits */
};

struct config_strings {
    char **items;
    size_t count;
};

struct config_row {
    const char *path; /* "redis.port" */
    enum config_type type;
    size_t offset; /* of the field in the target struct */
    int64_t min;   /* int: smallest value; string: bytes; strings: items */
    int64_t max;   /* the same; hex: size of the field in bytes */
    /* The default: text for string and hex, JSON for the others ("6379", "true", "[]"); NULL if
     * the key must be given. An empty default of a hex field leaves it zero. */
    const char *fallback;
    const char *help; /* one line */
    /* Judges a string, or each item of strings: NULL if good, else what is expected. */
    const char *(*check)(const char *value);
    bool secret; /* its value is never printed */
};

/* Rows. The last arguments may set further fields: `.secret = true`, `.check = f`. A field of
 * another type than the row's doesn't compile. */
#define CONFIG_SAME(target, field, type)                                                           \
    __builtin_types_compatible_p(__typeof__(((target *)0)->field), type)
#define CONFIG_AT(target, field, type)                                                             \
    (offsetof(target, field) + 0 * sizeof(char[CONFIG_SAME(target, field, type) ? 1 : -1]))
#define CONFIG_BOOL(key, target, field, dflt, text)                                                \
    {                                                                                              \
        .path = (key), .type = CONFIG_TYPE_BOOL, .offset = CONFIG_AT(target, field, bool),         \
        .fallback = (dflt), .help = (text)                                                         \
    }
#define CONFIG_INT(key, target, field, lo, hi, dflt, text)                                         \
    {                                                                                              \
        .path = (key), .type = CONFIG_TYPE_INT, .offset = CONFIG_AT(target, field, int64_t),       \
        .min = (lo), .max = (hi), .fallback = (dflt), .help = (text)                               \
    }
#define CONFIG_STRING(key, target, field, lo, hi, dflt, ...)                                       \
    {                                                                                              \
        .path = (key), .type = CONFIG_TYPE_STRING, .offset = CONFIG_AT(target, field, char *),     \
        .min = (lo), .max = (hi), .fallback = (dflt), .help = __VA_ARGS__                          \
    }
#define CONFIG_STRINGS(key, target, field, lo, hi, dflt, ...)                                      \
    {                                                                                              \
        .path = (key), .type = CONFIG_TYPE_STRINGS,                                                \
        .offset = CONFIG_AT(target, field, struct config_strings), .min = (lo), .max = (hi),       \
        .fallback = (dflt), .help = __VA_ARGS__                                                    \
    }
#define CONFIG_HEX(key, target, field, dflt, ...)                                                  \
    {                                                                                              \
        .path = (key), .type = CONFIG_TYPE_HEX, .offset = offsetof(target, field),                 \
        .max = sizeof(((target *)0)->field), .fallback = (dflt), .help = __VA_ARGS__               \
    }

/* Reads the file into the fields of target that the schema names; what the file doesn't say takes
 * its default. ERR_OK, ERR_IO (can't be read) or ERR_INVALID; on error the text (one line, without
 * a newline) is in error and target owns nothing. Strings belong to the target until config_free.
 */
int config_load(const char *path, const struct config_row *schema, size_t count, void *target,
                char *error, size_t error_size) MUST_CHECK;

/* The same for a text in memory; name stands for the file in errors. */
int config_parse(const char *name, const char *text, size_t size, const struct config_row *schema,
                 size_t count, void *target, char *error, size_t error_size) MUST_CHECK;

/* Frees the strings; the fields are zero afterwards. May be called again, or on a zeroed target. */
void config_free(const struct config_row *schema, size_t count, void *target);

/* Writes the effective configuration as JSON that config_load would read, defaults included and
 * secrets, if not empty, as "***". Rows of one object must stand together in the schema. */
void config_print(const struct config_row *schema, size_t count, const void *target, FILE *out);

/* Writes a line of help for each key: name, type, default, what it is for. */
void config_help(const struct config_row *schema, size_t count, FILE *out);

/* Checks for rows: "HOST:PORT", "[IPV6]:PORT" or ":PORT", port 1 to 65535; a level of common/log.h.
 */
const char *config_check_host_port(const char *value);
const char *config_check_log_level(const char *value);

#endif
