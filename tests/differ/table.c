#include "tests/differ/table.h"

#include "common/mem.h"
#include "tests/differ/frames.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TABLE_TIMEOUT_MS = 20000 };

/* The reply, whose bytes stay in `bytes`. */
static void ask(struct wire *engine, struct buf *bytes, struct frame *reply)
{
    int rc = wire_reply(engine, bytes, TABLE_TIMEOUT_MS);
    ck_assert_msg(rc == ERR_OK, "COMMAND: %s", err_text(rc));
    frames_parse(reply, (const char *)buf_head(bytes), bytes->len);
    ck_assert_msg(reply->type == '*', "COMMAND: %s", (const char *)buf_head(bytes));
}

static bool is(const struct frame *f, const char *word)
{
    return f->len == strlen(word) && strncasecmp(f->bytes, word, f->len) == 0;
}

static bool has_word(const struct frame *list, const char *word)
{
    for (size_t i = 0; list != NULL && i < list->count; i++) {
        if (is(&list->children[i], word)) {
            return true;
        }
    }
    return false;
}

/* The value behind that name in a flattened map; NULL: none. */
static const struct frame *field(const struct frame *map, const char *name)
{
    for (size_t i = 0; map != NULL && i + 1 < map->count; i += 2) {
        if (is(&map->children[i], name)) {
            return &map->children[i + 1];
        }
    }
    return NULL;
}

static void copy_text(const struct frame *f, char *out, size_t size)
{
    (void)snprintf(out, size, "%.*s", f != NULL ? (int)f->len : 0, f != NULL ? f->bytes : "");
}

/* ---- COMMAND ---- */

static void add_commands(struct table *t, const struct frame *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct frame *entry = list->children[i].children;
        const struct frame *subcommands = &entry[9];
        struct command c = {.arity = strtoll(entry[1].bytes, NULL, 10)};
        char name[96];

        if (subcommands->count > 0) {
            add_commands(t, subcommands);
            continue;
        }
        copy_text(&entry[0], name, sizeof name);
        const char *bar = strchr(name, '|');
        (void)snprintf(c.words[0], sizeof c.words[0], "%.*s",
                       bar ? (int)(bar - name) : (int)strlen(name), name);
        (void)snprintf(c.words[1], sizeof c.words[1], "%s", bar ? bar + 1 : "");
        (void)snprintf(c.name, sizeof c.name, "%s%s%.20s", c.words[0], bar ? " " : "", c.words[1]);
        c.blocking = has_word(&entry[2], "blocking");
        c.reads = has_word(&entry[2], "readonly");
        c.write = has_word(&entry[2], "write");
        c.any_order = has_word(&entry[7], "nondeterministic_output_order");
        c.any_output = has_word(&entry[7], "nondeterministic_output");
        t->commands = mem_realloc(t->commands, (t->count + 1) * sizeof *t->commands);
        t->commands[t->count++] = c;
    }
}

/* ---- COMMAND DOCS ---- */

static const struct {
    const char *name;
    enum argument_type type;
} types[] = {
    {"string", ARGUMENT_STRING},    {"integer", ARGUMENT_INTEGER}, {"double", ARGUMENT_DOUBLE},
    {"key", ARGUMENT_KEY},          {"pattern", ARGUMENT_PATTERN}, {"unix-time", ARGUMENT_TIME},
    {"pure-token", ARGUMENT_TOKEN}, {"oneof", ARGUMENT_ONEOF},     {"block", ARGUMENT_BLOCK},
};

static struct argument *read_arguments(const struct frame *list, size_t *count)
{
    *count = list != NULL ? list->count : 0;
    struct argument *arguments = mem_calloc(*count + 1, sizeof *arguments);

    for (size_t i = 0; i < *count; i++) {
        const struct frame *entry = &list->children[i];
        struct argument *a = &arguments[i];
        const struct frame *flags = field(entry, "flags");
        copy_text(field(entry, "name"), a->name, sizeof a->name);
        copy_text(field(entry, "token"), a->token, sizeof a->token);
        for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
            if (is(field(entry, "type"), types[type].name)) {
                a->type = types[type].type;
            }
        }
        a->optional = has_word(flags, "optional");
        a->multiple = has_word(flags, "multiple");
        a->multiple_token = has_word(flags, "multiple_token");
        a->children = read_arguments(field(entry, "arguments"), &a->count);
    }
    return arguments;
}

static void free_arguments(struct argument *arguments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free_arguments(arguments[i].children, arguments[i].count);
    }
    free(arguments);
}

static void add_docs(struct command *c, const struct frame *docs)
{
    char name[96];
    const struct frame *doc = field(docs, c->words[0]);

    if (c->words[1][0] != '\0') {
        (void)snprintf(name, sizeof name, "%s|%s", c->words[0], c->words[1]);
        doc = field(field(doc, "subcommands"), name);
    }
    copy_text(field(doc, "group"), c->group, sizeof c->group);
    c->arguments = read_arguments(field(doc, "arguments"), &c->count);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct command *)a)->name, ((const struct command *)b)->name);
}

void table_load(struct table *t, struct wire *engine)
{
    struct buf bytes[2] = {BUF_INIT, BUF_INIT};
    struct frame commands, docs;

    *t = (struct table){0};
    wire_queue(engine, "COMMAND");
    wire_queue(engine, "COMMAND", "DOCS");
    wire_flush(engine);
    ask(engine, &bytes[0], &commands);
    ask(engine, &bytes[1], &docs);
    add_commands(t, &commands);
    qsort(t->commands, t->count, sizeof *t->commands, by_name);
    for (size_t i = 0; i < t->count; i++) {
        add_docs(&t->commands[i], &docs);
    }
    frames_release(&commands);
    frames_release(&docs);
    buf_release(&bytes[0]);
    buf_release(&bytes[1]);
}

void table_release(struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free_arguments(t->commands[i].arguments, t->commands[i].count);
    }
    free(t->commands);
    *t = (struct table){0};
}

const struct command *table_find(const struct table *t, const char *name, const char *subcommand)
{
    const struct command *found = NULL;

    for (size_t i = 0; i < t->count; i++) {
        const struct command *c = &t->commands[i];
        if (strcasecmp(c->words[0], name) == 0) {
            if (c->words[1][0] == '\0' || strcasecmp(c->words[1], subcommand) == 0) {
                return c;
            }
            found = c;
        }
    }
    return found;
}
