#include "tests/differ/tally.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TALLY_ERROR_BYTES = 60 };

struct tally_token {
    const char *text;
    unsigned long long fine;
};

struct tally_line {
    unsigned long long fine, empty, wrong_type, errors; /* the last: all others */
    char error[TALLY_ERROR_BYTES];                      /* the last one of these */
    struct tally_token *tokens;
    size_t token_count;
};

struct tally {
    const struct table *table;
    struct tally_line *lines; /* one for each command */
};

static void add_tokens(struct tally_line *l, const struct argument *arguments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = arguments[i].token;
        bool known = *text == '\0' || strcmp(text, "\"\"") == 0;
        for (size_t k = 0; k < l->token_count && !known; k++) {
            known = strcasecmp(l->tokens[k].text, text) == 0;
        }
        if (!known) {
            l->tokens = mem_realloc(l->tokens, (l->token_count + 1) * sizeof *l->tokens);
            l->tokens[l->token_count++] = (struct tally_token){text, 0};
        }
        add_tokens(l, arguments[i].children, arguments[i].count);
    }
}

struct tally *tally_create(const struct table *table)
{
    struct tally *t = mem_calloc(1, sizeof *t);

    t->table = table;
    t->lines = mem_calloc(table->count + 1, sizeof *t->lines);
    for (size_t i = 0; i < table->count; i++) {
        add_tokens(&t->lines[i], table->commands[i].arguments, table->commands[i].count);
    }
    return t;
}

void tally_destroy(struct tally *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < t->table->count; i++) {
        free(t->lines[i].tokens);
    }
    free(t->lines);
    free(t);
}

static bool is_empty(const struct frame *f)
{
    return f->type == '_' || (strchr("*%~", f->type) != NULL && f->count == 0) ||
           (f->type == ':' && f->len == 1 && f->bytes[0] == '0');
}

static void count_tokens(struct tally_line *l, const struct step *s)
{
    for (size_t i = 0; i < l->token_count; i++) {
        for (size_t w = 1; w < s->count; w++) {
            if (step_is(s, w, l->tokens[i].text)) {
                l->tokens[i].fine++;
                break;
            }
        }
    }
}

void tally_answer(struct tally *t, const struct step *s, const struct frame *answer)
{
    const char *second = s->count > 1 && s->words[1].bytes != NULL ? s->words[1].bytes : "";
    const struct command *c = s->count > 0 && s->words[0].bytes != NULL
                                  ? table_find(t->table, s->words[0].bytes, second)
                                  : NULL;

    if (c == NULL || (answer->type == '+' && answer->len == 6 &&
                      memcmp(answer->bytes, "QUEUED", answer->len) == 0)) {
        return;
    }
    struct tally_line *l = &t->lines[c - t->table->commands];
    if (answer->type == '-' || answer->type == '!') {
        bool wrong_type = answer->len > 9 && memcmp(answer->bytes, "WRONGTYPE", 9) == 0;
        l->wrong_type += wrong_type;
        l->errors += !wrong_type;
        if (!wrong_type) {
            (void)snprintf(l->error, sizeof l->error, "%.*s", (int)answer->len, answer->bytes);
        }
        return;
    }
    l->fine++;
    l->empty += is_empty(answer);
    count_tokens(l, s);
}

void tally_print(const struct tally *t, FILE *out)
{
    fprintf(out, "%-26s %9s %9s %9s %9s\n", "command", "fine", "of these", "wrong", "other");
    fprintf(out, "%-26s %9s %9s %9s %9s\n", "", "", "empty", "type", "errors");
    for (size_t i = 0; i < t->table->count; i++) {
        const struct tally_line *l = &t->lines[i];
        fprintf(out, "%-26s %9llu %9llu %9llu %9llu  %s\n", t->table->commands[i].name, l->fine,
                l->empty, l->wrong_type, l->errors, l->error);
    }
    fputs("never fine:", out);
    for (size_t i = 0; i < t->table->count; i++) {
        if (t->lines[i].fine == 0) {
            fprintf(out, " %s,", t->table->commands[i].name);
        }
    }
    fputs("\nnever in what was fine:", out);
    for (size_t i = 0; i < t->table->count; i++) {
        for (size_t k = 0; k < t->lines[i].token_count && t->lines[i].fine > 0; k++) {
            if (t->lines[i].tokens[k].fine == 0) {
                fprintf(out, " %s %s,", t->table->commands[i].name, t->lines[i].tokens[k].text);
            }
        }
    }
    fputc('\n', out);
}
