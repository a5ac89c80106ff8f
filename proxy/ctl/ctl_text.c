#include "proxy/ctl/ctl_text.h"

#include "common/mem.h"
#include "proxy/ctl/moment.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CTL_TEXT_COLUMNS_MAX = 16, CTL_TEXT_CELL_MAX = 128 };

/* ---- taking apart ---- */

void ctl_text_init(struct ctl_text *t, const char *text, size_t size, const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    char *save = NULL;

    *t = (struct ctl_text){.bytes = mem_alloc(size + 1)};
    memcpy(t->bytes, text, size);
    t->bytes[size] = '\0';
    for (char *line = strtok_r(t->bytes, "\r\n", &save); line != NULL;
         line = strtok_r(NULL, "\r\n", &save)) {
        char *colon = strchr(line, ':');
        if (line[0] == '#' || colon == NULL) {
            continue;
        }
        *colon = '\0';
        if (strncmp(line, prefix, prefix_len) == 0) {
            line += prefix_len;
        }
        t->lines = mem_realloc(t->lines, (t->count + 1) * sizeof *t->lines);
        t->lines[t->count++] = (struct ctl_line){line, colon + 1};
    }
}

void ctl_text_fini(struct ctl_text *t)
{
    free(t->lines);
    free(t->bytes);
    *t = (struct ctl_text){.count = 0};
}

const char *ctl_text_get(const struct ctl_text *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->lines[i].key, key) == 0) {
            return t->lines[i].value;
        }
    }
    return NULL;
}

static bool ctl_is_number(const char *s)
{
    size_t digits = strspn(s, "0123456789");
    return digits > 0 && digits <= 18 && s[digits] == '\0';
}

long long ctl_text_number(const struct ctl_text *t, const char *key)
{
    const char *value = ctl_text_get(t, key);
    return value != NULL && ctl_is_number(value) ? strtoll(value, NULL, 10) : -1;
}

/* The next field at *at, "name=value"; false at the end. A reason is a sentence that may hold
 * commas, and so the last field. */
static bool ctl_next_field(const char **at, char *name, char *value)
{
    size_t len = strncmp(*at, "reason=", 7) == 0 ? strlen(*at) : strcspn(*at, ",");
    const char *equals = memchr(*at, '=', len);

    if (equals == NULL) {
        return false;
    }
    (void)snprintf(name, CTL_TEXT_CELL_MAX, "%.*s", (int)(equals - *at), *at);
    (void)snprintf(value, CTL_TEXT_CELL_MAX, "%.*s", (int)(*at + len - equals - 1), equals + 1);
    *at += len + ((*at)[len] == ',');
    return true;
}

bool ctl_text_field(const char *value, const char *name, char *out, size_t size)
{
    char key[CTL_TEXT_CELL_MAX], text[CTL_TEXT_CELL_MAX];

    while (ctl_next_field(&value, key, text)) {
        if (strcmp(key, name) == 0) {
            (void)snprintf(out, size, "%s", text);
            return true;
        }
    }
    return false;
}

/* ---- rows ---- */

/* The length of the word before the number; 0: the key is not made like that. */
static size_t ctl_kind_len(const char *key)
{
    size_t len = strcspn(key, "0123456789");
    return key[len] != '\0' && ctl_is_number(key + len) ? len : 0;
}

bool ctl_text_is_row(const struct ctl_line *line)
{
    return ctl_kind_len(line->key) > 0 && strchr(line->value, '=') != NULL;
}

static bool ctl_is_of_kind(const struct ctl_line *line, const char *kind)
{
    size_t len = strlen(kind);
    return ctl_text_is_row(line) && ctl_kind_len(line->key) == len &&
           memcmp(line->key, kind, len) == 0;
}

/* ---- tables ---- */

/* Fields that are wall times in milliseconds: in a table they are times, as --at takes them. */
static const struct ctl_time {
    const char *name, *head;
} ctl_times[] = {
    {"wall_ms", "wall time"}, {"taken_ms", "taken at"}, {"verified_ms", "verified at"}};

static const struct ctl_time *ctl_find_time(const char *name)
{
    for (size_t i = 0; i < sizeof ctl_times / sizeof *ctl_times; i++) {
        if (strcmp(ctl_times[i].name, name) == 0) {
            return &ctl_times[i];
        }
    }
    return NULL;
}

/* The value as it stands in a cell, in its place. */
static void ctl_make_cell(const char *name, char text[CTL_TEXT_CELL_MAX])
{
    char time[MOMENT_TEXT_BYTES];

    if (ctl_find_time(name) != NULL && ctl_is_number(text)) {
        uint64_t wall_ms = strtoull(text, NULL, 10);
        (void)snprintf(text, CTL_TEXT_CELL_MAX, "%s",
                       wall_ms != 0 ? moment_print(wall_ms, time) : "-");
    }
}

struct ctl_column {
    char name[CTL_TEXT_CELL_MAX];
    size_t width;
    bool numbers; /* all cells are */
};

struct ctl_columns {
    struct ctl_column at[CTL_TEXT_COLUMNS_MAX];
    size_t count;
};

static const char *ctl_head(const char *name)
{
    const struct ctl_time *time = ctl_find_time(name);
    return time != NULL ? time->head : name;
}

static struct ctl_column *ctl_column(struct ctl_columns *columns, const char *name)
{
    for (size_t i = 0; i < columns->count; i++) {
        if (strcmp(columns->at[i].name, name) == 0) {
            return &columns->at[i];
        }
    }
    if (columns->count == CTL_TEXT_COLUMNS_MAX) {
        return NULL;
    }
    struct ctl_column *column = &columns->at[columns->count++];
    *column = (struct ctl_column){.width = strlen(ctl_head(name)), .numbers = true};
    (void)snprintf(column->name, sizeof column->name, "%s", name);
    return column;
}

static void ctl_measure(struct ctl_columns *columns, const char *value)
{
    char name[CTL_TEXT_CELL_MAX], text[CTL_TEXT_CELL_MAX];

    while (ctl_next_field(&value, name, text)) {
        struct ctl_column *column = ctl_column(columns, name);
        if (column != NULL) {
            ctl_make_cell(name, text);
            column->width = strlen(text) > column->width ? strlen(text) : column->width;
            column->numbers = column->numbers && (ctl_is_number(text) || text[0] == '\0');
        }
    }
}

static void ctl_print_cell(const char *text, const struct ctl_column *column, bool last, FILE *out)
{
    if (column->numbers) {
        fprintf(out, "  %*s", (int)column->width, text);
    } else {
        fprintf(out, "  %-*s", last ? 0 : (int)column->width, text);
    }
}

static void ctl_print_head(const char *kind, int key_width, const struct ctl_columns *columns,
                           FILE *out)
{
    char word[CTL_TEXT_CELL_MAX];

    for (size_t i = 0; i <= columns->count; i++) {
        const char *name = i == 0 ? kind : ctl_head(columns->at[i - 1].name);
        size_t len = 0;
        for (; name[len] != '\0' && len + 1 < sizeof word; len++) {
            word[len] = (char)(name[len] == '_' ? ' ' : toupper((unsigned char)name[len]));
        }
        word[len] = '\0';
        if (i == 0) {
            fprintf(out, "%-*s", key_width, word);
        } else {
            ctl_print_cell(word, &columns->at[i - 1], i == columns->count, out);
        }
    }
    fputc('\n', out);
}

void ctl_text_print_rows(const struct ctl_text *t, const char *kind, FILE *out)
{
    struct ctl_columns columns = {.count = 0};
    size_t key_width = strlen(kind), rows = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (ctl_is_of_kind(&t->lines[i], kind)) {
            size_t len = strlen(t->lines[i].key);
            key_width = len > key_width ? len : key_width;
            ctl_measure(&columns, t->lines[i].value);
            rows++;
        }
    }
    if (rows == 0) {
        return;
    }
    ctl_print_head(kind, (int)key_width, &columns, out);
    for (size_t i = 0; i < t->count; i++) {
        if (!ctl_is_of_kind(&t->lines[i], kind)) {
            continue;
        }
        fprintf(out, "%-*s", (int)key_width, t->lines[i].key);
        for (size_t k = 0; k < columns.count; k++) {
            char text[CTL_TEXT_CELL_MAX] = "-";
            (void)ctl_text_field(t->lines[i].value, columns.at[k].name, text, sizeof text);
            ctl_make_cell(columns.at[k].name, text);
            ctl_print_cell(text, &columns.at[k], k + 1 == columns.count, out);
        }
        fputc('\n', out);
    }
}

void ctl_text_print_lines(const struct ctl_text *t, FILE *out)
{
    size_t width = 0;

    for (size_t i = 0; i < t->count; i++) {
        size_t len = strlen(t->lines[i].key);
        width = !ctl_text_is_row(&t->lines[i]) && len > width ? len : width;
    }
    for (size_t i = 0; i < t->count; i++) {
        if (!ctl_text_is_row(&t->lines[i])) {
            fprintf(out, "%-*s  %s\n", (int)width, t->lines[i].key, t->lines[i].value);
        }
    }
}

/* ---- JSON ---- */

static void ctl_json_add(cJSON *object, const char *key, const char *value)
{
    cJSON *item = ctl_is_number(value) ? cJSON_CreateRaw(value) : cJSON_CreateString(value);

    MUST(item != NULL && cJSON_AddItemToObject(object, key, item));
}

static void ctl_json_add_row(cJSON *object, const struct ctl_line *line)
{
    char kind[CTL_TEXT_CELL_MAX], name[CTL_TEXT_CELL_MAX], text[CTL_TEXT_CELL_MAX];
    const char *at = line->value;

    size_t len = ctl_kind_len(line->key);
    bool y = line->key[len - 1] == 'y';
    (void)snprintf(kind, sizeof kind, "%.*s%s", (int)(len - y), line->key, y ? "ies" : "s");
    cJSON *rows = cJSON_GetObjectItem(object, kind);
    if (rows == NULL) {
        rows = cJSON_AddArrayToObject(object, kind);
    }
    cJSON *row = cJSON_CreateObject();
    MUST(rows != NULL && row != NULL && cJSON_AddItemToArray(rows, row));
    while (ctl_next_field(&at, name, text)) {
        ctl_json_add(row, name, text);
    }
}

void ctl_text_print_json(const struct ctl_text *t, FILE *out)
{
    cJSON *object = cJSON_CreateObject();

    MUST(object != NULL);
    for (size_t i = 0; i < t->count; i++) {
        if (ctl_text_is_row(&t->lines[i])) {
            ctl_json_add_row(object, &t->lines[i]);
        } else {
            ctl_json_add(object, t->lines[i].key, t->lines[i].value);
        }
    }
    char *text = cJSON_Print(object);
    MUST(text != NULL);
    fprintf(out, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(object);
}

void ctl_text_print(const struct ctl_text *t, bool json, const char *kind, FILE *out)
{
    if (json) {
        ctl_text_print_json(t, out);
        return;
    }
    ctl_text_print_lines(t, out);
    (void)fputc('\n', out);
    ctl_text_print_rows(t, kind, out);
}
