/* The other direction of common/config.c: a configuration as JSON, and the help of its keys. */
#include "common/config.h"

#include "common/hex.h"
#include "common/mem.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void config_print_string(const char *value, FILE *out)
{
    cJSON *item = cJSON_CreateString(value);
    MUST(item != NULL);
    char *text = cJSON_PrintUnformatted(item);
    MUST(text != NULL);
    fputs(text, out);
    cJSON_free(text);
    cJSON_Delete(item);
}

static void config_print_value(const struct config_row *row, const void *field, FILE *out)
{
    const struct config_strings *strings = field;
    const uint8_t *bytes = field;
    char digits[3];

    switch (row->type) {
    case CONFIG_TYPE_BOOL:
        fputs(*(const bool *)field ? "true" : "false", out);
        return;
    case CONFIG_TYPE_INT:
        fprintf(out, "%" PRId64, *(const int64_t *)field);
        return;
    case CONFIG_TYPE_STRING:
        config_print_string(*(char *const *)field, out);
        return;
    case CONFIG_TYPE_STRINGS:
        fputs("[", out);
        for (size_t i = 0; i < strings->count; i++) {
            fputs(i > 0 ? ", " : "", out);
            config_print_string(strings->items[i], out);
        }
        fputs("]", out);
        return;
    case CONFIG_TYPE_HEX:
        fputs("\"", out);
        for (int64_t i = 0; i < row->max; i++) {
            hex_print(digits, &bytes[i], 1);
            fputs(digits, out);
        }
        fputs("\"", out);
        return;
    }
}

/* That a secret is empty is none. */
static bool config_is_hidden(const struct config_row *row, const void *field)
{
    return row->secret &&
           (row->type != CONFIG_TYPE_STRING || (*(const char *const *)field)[0] != '\0');
}

/* The bytes of two paths' common objects: of "a.b.c" and "a.b.d" those of "a.b.". */
static size_t config_common_bytes(const char *a, const char *b)
{
    size_t common = 0;

    for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++) {
        if (a[i] == '.') {
            common = i + 1;
        }
    }
    return common;
}

static size_t config_depth(const char *path)
{
    size_t depth = 0;

    for (; *path != '\0'; path++) {
        depth += *path == '.';
    }
    return depth;
}

static void config_indent(size_t depth, FILE *out)
{
    fprintf(out, "\n%*s", (int)(4 * depth), "");
}

void config_print(const struct config_row *schema, size_t count, const void *target, FILE *out)
{
    const char *before = "";

    fputs("{", out);
    for (size_t i = 0; i < count; i++) {
        const struct config_row *row = &schema[i];
        size_t common = config_common_bytes(before, row->path);
        size_t depth = config_depth(before);
        size_t depth_common = depth - config_depth(before + common);

        for (; depth > depth_common; depth--) {
            config_indent(depth, out);
            fputs("}", out);
        }
        fputs(i > 0 ? "," : "", out);
        const char *name = row->path + common;
        for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(name, '.')) {
            config_indent(++depth, out);
            fprintf(out, "\"%.*s\": {", (int)(dot - name), name);
            name = dot + 1;
        }
        config_indent(depth + 1, out);
        fprintf(out, "\"%s\": ", name);
        const void *field = (const char *)target + row->offset;
        if (config_is_hidden(row, field)) {
            fputs("\"***\"", out);
        } else {
            config_print_value(row, field, out);
        }
        before = row->path;
    }
    for (size_t depth = config_depth(before); depth > 0; depth--) {
        config_indent(depth, out);
        fputs("}", out);
    }
    fputs("\n}\n", out);
}

void config_help(const struct config_row *schema, size_t count, FILE *out)
{
    static const char *const types[] = {
        [CONFIG_TYPE_BOOL] = "boolean",  [CONFIG_TYPE_INT] = "integer",
        [CONFIG_TYPE_STRING] = "string", [CONFIG_TYPE_STRINGS] = "strings",
        [CONFIG_TYPE_HEX] = "hex",
    };

    for (size_t i = 0; i < count; i++) {
        const struct config_row *row = &schema[i];
        fprintf(out, "  %s (%s", row->path, types[row->type]);
        if (row->type == CONFIG_TYPE_INT) {
            fprintf(out, " %" PRId64 "..%" PRId64, row->min, row->max);
        }
        if (row->fallback == NULL) {
            fputs(", required", out);
        } else if (row->fallback[0] != '\0') {
            fprintf(out, ", default %s", row->fallback);
        }
        fprintf(out, ")\n        %s\n", row->help);
    }
}
