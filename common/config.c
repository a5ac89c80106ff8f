/* Reading goes in three passes over one text:
 *
 *   1. cJSON makes a tree of it, or says where the syntax breaks.
 *   2. config_scan_lines notes the line of every key. cJSON keeps keys in the order of the text, so
 *      the nth key that the walk below meets is the nth of the text; equal names in different
 *      objects need no other telling apart.
 *   3. config_walk visits the tree in that order. Each key must be a row, or an object that rows
 * lie in; the first thing that isn't allowed ends the walk.
 *
 * Then the rows that were not met take their defaults, by the same code that took values from the
 * file, so a default can't be of a wrong type either. */
#include "common/config.h"

#include "common/buf.h"
#include "common/hex.h"
#include "common/log.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One load: what it reads from, where it stands, and where its error goes. */
struct config_load {
    const char *name;
    const struct config_row *schema;
    size_t count;
    void *target;
    char *error;
    size_t error_size;
    uint32_t *key_lines; /* line of each key, in the order of the text */
    size_t key_count;
    size_t key_next;      /* number of keys that the walk has met */
    uint32_t *seen_lines; /* for each row, the line that set it, or 0 */
};

static void *config_field(const struct config_row *row, void *target)
{
    return (char *)target + row->offset;
}

/* Control characters of a foreign text never reach the terminal. */
static void config_clean(char *text)
{
    for (; *text != '\0'; text++) {
        if (iscntrl((unsigned char)*text)) {
            *text = '?';
        }
    }
}

/* Fills the error: "NAME:LINE: KEY: text"; key may be NULL. Returns ERR_INVALID. */
PRINTF_LIKE(4, 5)
static int config_fail(struct config_load *load, uint32_t line, const char *key, const char *fmt,
                       ...)
{
    struct buf text = BUF_INIT;
    char detail[CONFIG_ERROR_BYTES_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    buf_printf(&text, "%s:%" PRIu32 ": %s%s%s", load->name, line, key != NULL ? key : "",
               key != NULL ? ": " : "", detail);
    snprintf(load->error, load->error_size, "%.*s", (int)text.len, (char *)buf_head(&text));
    config_clean(load->error);
    buf_release(&text);
    return ERR_INVALID;
}

/* What a row takes, in words. */
static void config_expected(const struct config_row *row, char *text, size_t size)
{
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        snprintf(text, size, "true or false");
        return;
    case CONFIG_TYPE_INT:
        snprintf(text, size, "a whole number from %" PRId64 " to %" PRId64, row->min, row->max);
        return;
    case CONFIG_TYPE_STRING:
        snprintf(text, size, "a string of %" PRId64 " to %" PRId64 " bytes", row->min, row->max);
        return;
    case CONFIG_TYPE_STRINGS:
        snprintf(text, size, "an array of %" PRId64 " to %" PRId64 " strings", row->min, row->max);
        return;
    case CONFIG_TYPE_HEX:
        snprintf(text, size, "a string of %" PRId64 " hexadecimal digits", 2 * row->max);
        return;
    }
}

static const char *config_json_type(const cJSON *value)
{
    if (cJSON_IsBool(value)) {
        return "a boolean";
    }
    if (cJSON_IsNumber(value)) {
        return "a number";
    }
    if (cJSON_IsString(value)) {
        return "a string";
    }
    if (cJSON_IsArray(value)) {
        return "an array";
    }
    return cJSON_IsObject(value) ? "an object" : "null";
}

/* "what is wrong, expected …" for a value that the row doesn't take. */
static int config_refuse(struct config_load *load, uint32_t line, const struct config_row *row,
                         const char *what)
{
    char expected[128];

    config_expected(row, expected, sizeof expected);
    return config_fail(load, line, row->path, "%s, expected %s", what, expected);
}

static int config_refuse_type(struct config_load *load, uint32_t line, const struct config_row *row,
                              const cJSON *value)
{
    char what[64];

    snprintf(what, sizeof what, "is %s", config_json_type(value));
    return config_refuse(load, line, row, what);
}

static int config_set_int(struct config_load *load, uint32_t line, const struct config_row *row,
                          const cJSON *value)
{
    double number = value->valuedouble;
    char what[64];

    /* The first comparison keeps the casts below inside int64_t. */
    if (!(number >= -(double)CONFIG_INT_MAX && number <= (double)CONFIG_INT_MAX) ||
        (int64_t)number < row->min || (int64_t)number > row->max) {
        snprintf(what, sizeof what, "%.15g is out of range", number);
        return config_refuse(load, line, row, what);
    }
    if ((double)(int64_t)number != number) {
        snprintf(what, sizeof what, "%.15g is not a whole number", number);
        return config_refuse(load, line, row, what);
    }
    *(int64_t *)config_field(row, load->target) = (int64_t)number;
    return ERR_OK;
}

static int config_check_string(struct config_load *load, uint32_t line,
                               const struct config_row *row, const char *value)
{
    const char *expected = row->check != NULL ? row->check(value) : NULL;

    if (expected == NULL) {
        return ERR_OK;
    }
    if (row->secret) {
        return config_fail(load, line, row->path, "is not allowed, expected %s", expected);
    }
    return config_fail(load, line, row->path, "\"%.200s\" is not allowed, expected %s", value,
                       expected);
}

static int config_set_string(struct config_load *load, uint32_t line, const struct config_row *row,
                             const cJSON *value)
{
    size_t len = strlen(value->valuestring);
    char what[64];

    if (len < (size_t)row->min || len > (size_t)row->max) {
        snprintf(what, sizeof what, "has %zu bytes", len);
        return config_refuse(load, line, row, what);
    }
    int rc = config_check_string(load, line, row, value->valuestring);
    if (rc == ERR_OK) {
        *(char **)config_field(row, load->target) = mem_strdup(value->valuestring);
    }
    return rc;
}

static int config_set_strings(struct config_load *load, uint32_t line, const struct config_row *row,
                              const cJSON *value)
{
    struct config_strings *strings = config_field(row, load->target);
    size_t count = (size_t)cJSON_GetArraySize(value);
    const cJSON *item;
    char what[64];

    if (count < (size_t)row->min || count > (size_t)row->max) {
        snprintf(what, sizeof what, "has %zu items", count);
        return config_refuse(load, line, row, what);
    }
    strings->items = mem_calloc(count, sizeof *strings->items);
    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsString(item)) {
            snprintf(what, sizeof what, "item %zu is %s", strings->count + 1,
                     config_json_type(item));
            return config_refuse(load, line, row, what);
        }
        int rc = config_check_string(load, line, row, item->valuestring);
        if (rc != ERR_OK) {
            return rc;
        }
        strings->items[strings->count++] = mem_strdup(item->valuestring);
    }
    return ERR_OK;
}

static int config_set_hex(struct config_load *load, uint32_t line, const struct config_row *row,
                          const cJSON *value)
{
    const char *digits = value->valuestring;
    char what[64];

    if (strlen(digits) != 2 * (size_t)row->max) {
        snprintf(what, sizeof what, "has %zu bytes", strlen(digits));
        return config_refuse(load, line, row, what);
    }
    if (!hex_parse(digits, config_field(row, load->target), (size_t)row->max)) {
        return config_refuse(load, line, row, "has other characters");
    }
    return ERR_OK;
}

/* Gives the row's field its value, or says why not. */
static int config_set(struct config_load *load, uint32_t line, const struct config_row *row,
                      const cJSON *value)
{
    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        if (cJSON_IsBool(value)) {
            *(bool *)config_field(row, load->target) = cJSON_IsTrue(value);
            return ERR_OK;
        }
        break;
    case CONFIG_TYPE_INT:
        if (cJSON_IsNumber(value)) {
            return config_set_int(load, line, row, value);
        }
        break;
    case CONFIG_TYPE_STRING:
        if (cJSON_IsString(value)) {
            return config_set_string(load, line, row, value);
        }
        break;
    case CONFIG_TYPE_STRINGS:
        if (cJSON_IsArray(value)) {
            return config_set_strings(load, line, row, value);
        }
        break;
    case CONFIG_TYPE_HEX:
        if (cJSON_IsString(value)) {
            return config_set_hex(load, line, row, value);
        }
        break;
    }
    return config_refuse_type(load, line, row, value);
}

static int config_set_default(struct config_load *load, const struct config_row *row, uint32_t line)
{
    bool text = row->type == CONFIG_TYPE_STRING || row->type == CONFIG_TYPE_HEX;

    if (row->fallback == NULL) {
        return config_refuse(load, line, row, "is missing");
    }
    if (row->type == CONFIG_TYPE_HEX && row->fallback[0] == '\0') {
        return ERR_OK;
    }
    cJSON *value = text ? cJSON_CreateString(row->fallback) : cJSON_Parse(row->fallback);
    MUST(value != NULL);
    int rc = config_set(load, line, row, value);
    cJSON_Delete(value);
    MUST(rc == ERR_OK); /* the schema contradicts itself */
    return rc;
}

/* Whether a row lies in the object of that path; the empty path is the whole file. */
static bool config_in_object(const struct config_row *row, const char *object)
{
    size_t len = strlen(object);
    return len == 0 || (strncmp(row->path, object, len) == 0 && row->path[len] == '.');
}

static const struct config_row *config_find(const struct config_load *load, const char *path)
{
    for (size_t i = 0; i < load->count; i++) {
        if (strcmp(load->schema[i].path, path) == 0) {
            return &load->schema[i];
        }
    }
    return NULL;
}

static bool config_is_object(const struct config_load *load, const char *path)
{
    for (size_t i = 0; i < load->count; i++) {
        if (config_in_object(&load->schema[i], path)) {
            return true;
        }
    }
    return false;
}

/* The error for a key that no row has: it lists the names that its object takes. */
static int config_refuse_key(struct config_load *load, uint32_t line, const char *object,
                             const char *key)
{
    size_t skip = object[0] != '\0' ? strlen(object) + 1 : 0;
    struct buf path = BUF_INIT;
    struct buf names = BUF_INIT;
    const char *last = "";
    size_t last_len = 0;

    buf_printf(&path, "%s%s%.*s", object, skip > 0 ? "." : "", CONFIG_PATH_BYTES_MAX, key);
    buf_append(&path, "", 1);
    for (size_t i = 0; i < load->count; i++) {
        const char *name = load->schema[i].path + skip;
        if (!config_in_object(&load->schema[i], object)) {
            continue;
        }
        size_t len = strcspn(name, ".");
        if (len != last_len || strncmp(name, last, len) != 0) {
            buf_printf(&names, "%s%.*s", names.len > 0 ? ", " : "", (int)len, name);
        }
        last = name;
        last_len = len;
    }
    int rc = config_fail(load, line, (char *)buf_head(&path),
                         "is not a key that is known, expected one of: %.*s", (int)names.len,
                         (char *)buf_head(&names));
    buf_release(&path);
    buf_release(&names);
    return rc;
}

static bool config_given_before(const cJSON *object, const cJSON *child)
{
    for (const cJSON *other = object->child; other != child; other = other->next) {
        if (strcmp(other->string, child->string) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes the values of an object, path being its own ("" for the file), and of those inside it. The
 * schema bounds the recursion: no object is entered that no row lies in. */
static int config_walk(struct config_load *load, const cJSON *object, const char *path)
{
    const cJSON *child;

    cJSON_ArrayForEach(child, object)
    {
        char child_path[CONFIG_PATH_BYTES_MAX];
        int rc;

        MUST(load->key_next < load->key_count);
        uint32_t line = load->key_lines[load->key_next++];
        int len = snprintf(child_path, sizeof child_path, "%s%s%s", path,
                           path[0] != '\0' ? "." : "", child->string);
        if (len < 0 || (size_t)len >= sizeof child_path || strchr(child->string, '.') != NULL ||
            child->string[0] == '\0') {
            return config_refuse_key(load, line, path, child->string);
        }
        if (config_given_before(object, child)) {
            return config_fail(load, line, child_path, "is given twice, expected once");
        }
        const struct config_row *row = config_find(load, child_path);
        if (row != NULL) {
            load->seen_lines[row - load->schema] = line;
            rc = config_set(load, line, row, child);
        } else if (!config_is_object(load, child_path)) {
            rc = config_refuse_key(load, line, path, child->string);
        } else if (!cJSON_IsObject(child)) {
            rc = config_fail(load, line, child_path, "is %s, expected an object",
                             config_json_type(child));
        } else {
            rc = config_walk(load, child, child_path);
        }
        if (rc != ERR_OK) {
            return rc;
        }
    }
    return ERR_OK;
}

/* The line to name for a missing key: where a neighbour in its object stands, else the first. */
static uint32_t config_line_near(const struct config_load *load, const struct config_row *row)
{
    char object[CONFIG_PATH_BYTES_MAX];
    const char *dot = strrchr(row->path, '.');

    snprintf(object, sizeof object, "%.*s", dot != NULL ? (int)(dot - row->path) : 0, row->path);
    for (size_t i = 0; object[0] != '\0' && i < load->count; i++) {
        if (config_in_object(&load->schema[i], object) && load->seen_lines[i] > 0) {
            return load->seen_lines[i];
        }
    }
    return 1;
}

static uint32_t config_line_of(const char *text, size_t at)
{
    uint32_t line = 1;

    for (size_t i = 0; i < at; i++) {
        line += text[i] == '\n';
    }
    return line;
}

/* Notes the line of every key. The text is one that cJSON has accepted, so outside of strings a
 * colon follows a key and nothing else. A NUL would end cJSON's strings early: refused. */
static int config_scan_lines(struct config_load *load, const char *text, size_t size)
{
    uint32_t line = 1, string_line = 1;
    size_t room = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\n') {
            line++;
        } else if (text[i] == '"') {
            string_line = line;
            for (i++; i < size && text[i] != '"'; i++) {
                line += text[i] == '\n';
                if (text[i] == '\\' && strncmp(text + i, "\\u0000", 6) == 0) {
                    return config_fail(load, line, NULL, "\\u0000 is not allowed in a string");
                }
                i += text[i] == '\\';
            }
        } else if (text[i] == ':') {
            if (load->key_count == room) {
                room = room > 0 ? 2 * room : 64;
                load->key_lines = mem_realloc(load->key_lines, room * sizeof *load->key_lines);
            }
            load->key_lines[load->key_count++] = string_line;
        }
    }
    return ERR_OK;
}

static int config_read_tree(struct config_load *load, const cJSON *tree, const char *text,
                            size_t size)
{
    int rc = config_scan_lines(load, text, size);

    if (rc == ERR_OK && !cJSON_IsObject(tree)) {
        rc = config_fail(load, 1, NULL, "the file holds %s, expected an object",
                         config_json_type(tree));
    }
    if (rc == ERR_OK) {
        rc = config_walk(load, tree, "");
    }
    for (size_t i = 0; rc == ERR_OK && i < load->count; i++) {
        if (load->seen_lines[i] == 0) {
            rc = config_set_default(load, &load->schema[i],
                                    config_line_near(load, &load->schema[i]));
        }
    }
    return rc;
}

/* Mistakes in a schema are the program's, not the user's. */
static void config_check_schema(const struct config_row *schema, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        MUST(strlen(schema[i].path) < CONFIG_PATH_BYTES_MAX && schema[i].help != NULL);
        MUST(schema[i].min <= schema[i].max && schema[i].max <= CONFIG_INT_MAX &&
             schema[i].min >= -CONFIG_INT_MAX);
        MUST(schema[i].type == CONFIG_TYPE_INT || schema[i].min >= 0);
        for (size_t j = 0; j < count; j++) {
            MUST(i == j || strcmp(schema[i].path, schema[j].path) != 0);
            MUST(!config_in_object(&schema[i], schema[j].path));
        }
    }
}

static void config_zero(const struct config_row *row, void *target)
{
    static const size_t sizes[] = {[CONFIG_TYPE_BOOL] = sizeof(bool),
                                   [CONFIG_TYPE_INT] = sizeof(int64_t),
                                   [CONFIG_TYPE_STRING] = sizeof(char *),
                                   [CONFIG_TYPE_STRINGS] = sizeof(struct config_strings)};

    memset(config_field(row, target), 0,
           row->type == CONFIG_TYPE_HEX ? (size_t)row->max : sizes[row->type]);
}

int config_parse(const char *name, const char *text, size_t size, const struct config_row *schema,
                 size_t count, void *target, char *error, size_t error_size)
{
    struct config_load load = {.name = name,
                               .schema = schema,
                               .count = count,
                               .target = target,
                               .error = error,
                               .error_size = error_size};
    struct buf copy = BUF_INIT; /* cJSON wants to see a NUL where the text ends */
    const char *end = NULL;
    int rc;

    config_check_schema(schema, count);
    for (size_t i = 0; i < count; i++) {
        config_zero(&schema[i], target);
    }
    buf_append(&copy, text, size);
    buf_append(&copy, "", 1);
    const char *json = (const char *)buf_head(&copy);
    const char *nul = memchr(json, '\0', copy.len);
    cJSON *tree = cJSON_ParseWithLengthOpts(json, copy.len, &end, true);
    if (nul != json + size) {
        rc = config_fail(&load, config_line_of(json, (size_t)(nul - json)), NULL,
                         "the file holds a zero byte, expected text");
    } else if (tree == NULL) {
        size_t at = end != NULL ? (size_t)(end - json) : 0;
        rc = config_fail(&load, config_line_of(json, at), NULL, "the JSON breaks off near \"%.*s\"",
                         (int)strcspn(json + at, "\r\n"), json + at);
    } else {
        load.seen_lines = mem_calloc(count, sizeof *load.seen_lines);
        rc = config_read_tree(&load, tree, json, size);
    }
    cJSON_Delete(tree);
    buf_release(&copy);
    free(load.key_lines);
    free(load.seen_lines);
    if (rc != ERR_OK) {
        config_free(schema, count, target);
    }
    return rc;
}

/* Reads a whole file of at most CONFIG_FILE_BYTES_MAX bytes. */
static int config_read_file(const char *path, struct buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;

    if (fd < 0) {
        return ERR_IO;
    }
    while (text->len <= CONFIG_FILE_BYTES_MAX) {
        got = read(fd, buf_reserve(text, 4096), 4096);
        if (got <= 0 && (got == 0 || errno != EINTR)) {
            break;
        }
        buf_commit(text, got > 0 ? (size_t)got : 0);
    }
    int saved = errno;
    (void)close(fd);
    errno = saved;
    if (text->len > CONFIG_FILE_BYTES_MAX) {
        return ERR_TOO_BIG;
    }
    return got < 0 ? ERR_IO : ERR_OK;
}

int config_load(const char *path, const struct config_row *schema, size_t count, void *target,
                char *error, size_t error_size)
{
    struct buf text = BUF_INIT;
    int rc = config_read_file(path, &text);

    if (rc == ERR_IO) {
        snprintf(error, error_size, "%s: can't be read: %s", path, strerror(errno));
    } else if (rc == ERR_TOO_BIG) {
        snprintf(error, error_size, "%s: is larger than %d bytes", path, CONFIG_FILE_BYTES_MAX);
        rc = ERR_INVALID;
    } else {
        rc = config_parse(path, (const char *)buf_head(&text), text.len, schema, count, target,
                          error, error_size);
    }
    buf_release(&text);
    return rc;
}

void config_free(const struct config_row *schema, size_t count, void *target)
{
    for (size_t i = 0; i < count; i++) {
        if (schema[i].type == CONFIG_TYPE_STRING) {
            free(*(char **)config_field(&schema[i], target));
        } else if (schema[i].type == CONFIG_TYPE_STRINGS) {
            struct config_strings *strings = config_field(&schema[i], target);
            for (size_t k = 0; k < strings->count; k++) {
                free(strings->items[k]);
            }
            free(strings->items);
        }
        config_zero(&schema[i], target);
    }
}

const char *config_check_host_port(const char *value)
{
    static const char expected[] = "HOST:PORT with a port from 1 to 65535";
    const char *colon = strrchr(value, ':');
    char *end;

    if (colon == NULL || !isdigit((unsigned char)colon[1])) {
        return expected;
    }
    long port = strtol(colon + 1, &end, 10);
    if (*end != '\0' || port < 1 || port > 65535) {
        return expected;
    }
    if (value[0] == '[') {
        return colon > value + 2 && colon[-1] == ']' ? NULL : expected;
    }
    return memchr(value, ':', (size_t)(colon - value)) == NULL ? NULL : expected;
}

const char *config_check_log_level(const char *value)
{
    enum log_level level;
    return log_level_parse(value, &level) == ERR_OK ? NULL : "debug, info, warn or error";
}
