/* The command table: looking a request's command up, and what Redis says where that fails. */
#include "proxy/protocol/command.h"

#include "common/mem.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Every request is looked up, so the hash is to be cheap. It needs no seed: only the engine's own
 * names get into the table. */
#define HASH_FUNCTION(key, len, hashv) ((hashv) = (unsigned)XXH3_64bits((key), (len)))
#define uthash_malloc(size)            mem_alloc(size)
#include "proxy/protocol/command_spec.h"

/* A container's subcommands are told by COMMAND as "config|get". */
static const char *name_of(const struct command *c)
{
    const char *bar = strchr(c->name, '|');

    return bar == NULL ? c->name : bar + 1;
}

struct command_node *command_table_get(const struct command_table *t, const char *name, size_t len)
{
    struct command_node *node;

    HASH_FIND(hh, t->nodes, name, len, node);
    return node;
}

bool command_table_put(struct command_table *t, struct command_node *node)
{
    size_t len;

    node->key = name_of(&node->command);
    len = strlen(node->key);
    if (command_table_get(t, node->key, len) != NULL) {
        return false;
    }
    HASH_ADD_KEYPTR(hh, t->nodes, node->key, len, node);
    return true;
}

void command_node_destroy(struct command_node *node)
{
    for (size_t i = 0; i < node->command.spec_count; i++) {
        free(node->specs[i].keyword);
    }
    free(node->specs);
    command_table_destroy(node->command.subcommands);
    free(node->command.name);
    free(node);
}

void command_table_destroy(struct command_table *t)
{
    struct command_node *node, *next;

    if (t == NULL) {
        return;
    }
    HASH_ITER (hh, t->nodes, node, next) {
        HASH_DEL(t->nodes, node);
        command_node_destroy(node);
    }
    free(t);
}

void command_table_mark(struct command_table *t, bool (*plain)(const struct command *c))
{
    for (struct command_node *node = t->nodes; node != NULL; node = node->hh.next) {
        node->command.plain = plain(&node->command);
        if (node->command.subcommands != NULL) {
            command_table_mark(node->command.subcommands, plain);
        }
    }
}

size_t command_table_count(const struct command_table *t)
{
    return HASH_COUNT(t->nodes);
}

static const struct command *find_word(const struct command_table *t, const struct resp_arg *arg)
{
    char name[COMMAND_NAME_MAX];
    const struct command_node *node;

    if (arg->len > sizeof name) {
        return NULL;
    }
    for (size_t i = 0; i < arg->len; i++) {
        uint8_t c = arg->bytes[i];
        name[i] = (char)(c | ((uint8_t)(c - 'A') < 26) << 5);
    }
    node = command_table_get(t, name, arg->len);
    return node == NULL ? NULL : &node->command;
}

const struct command *command_find(const struct command_table *t, const struct resp_arg *argv,
                                   size_t argc, const struct command **container)
{
    const struct command *c = argc == 0 ? NULL : find_word(t, &argv[0]);
    const struct command *sub = NULL;

    if (container != NULL) {
        *container = NULL;
    }
    if (c == NULL || c->subcommands == NULL || argc == 1) {
        return c;
    }
    sub = find_word(c->subcommands, &argv[1]);
    if (sub == NULL && container != NULL) {
        *container = c;
    }
    return sub;
}

bool command_arity_ok(const struct command *c, size_t argc)
{
    return c->arity >= 0 ? argc == (size_t)c->arity : argc >= (size_t)-c->arity;
}

/* ---- Redis' texts ---- */

/* The argument as printf's "%.*s" shows it to Redis: to its first NUL and at most max bytes. Line
 * ends become spaces, as in Redis' sdsmapchars. Returns how many bytes that were. */
static size_t put_as_c_string(struct buf *b, const struct resp_arg *arg, size_t max)
{
    size_t len = arg->len < max ? arg->len : max;
    const uint8_t *nul = len == 0 ? NULL : memchr(arg->bytes, '\0', len);
    uint8_t *to;

    if (nul != NULL) {
        len = (size_t)(nul - arg->bytes);
    }
    to = buf_reserve(b, len);
    for (size_t i = 0; i < len; i++) {
        to[i] = arg->bytes[i] == '\r' || arg->bytes[i] == '\n' ? ' ' : arg->bytes[i];
    }
    buf_commit(b, len);
    return len;
}

enum { TEXT_PART_MAX = 128 };

static void put_unknown_command(struct buf *text, const struct resp_arg *argv, size_t argc)
{
    size_t shown = 0;

    buf_append_str(text, "ERR unknown command '");
    put_as_c_string(text, &argv[0], TEXT_PART_MAX);
    buf_append_str(text, "', with args beginning with: ");
    for (size_t i = 1; i < argc && shown < TEXT_PART_MAX; i++) {
        buf_append_str(text, "'");
        shown += put_as_c_string(text, &argv[i], TEXT_PART_MAX - shown) + strlen("'' ");
        buf_append_str(text, "' ");
    }
}

static void put_unknown_subcommand(struct buf *text, const char *container,
                                   const struct resp_arg *sub)
{
    buf_append_str(text, "ERR unknown subcommand '");
    put_as_c_string(text, sub, TEXT_PART_MAX);
    buf_append_str(text, "'. Try ");
    for (const char *c = container; *c != '\0'; c++) {
        buf_append(text, (char[]){(char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c)}, 1);
    }
    buf_append_str(text, " HELP.");
}

int command_check(const struct command_table *t, const struct resp_arg *argv, size_t argc,
                  const struct command **out, struct buf *text)
{
    const struct command *container;

    MUST(argc > 0);
    *out = command_find(t, argv, argc, &container);
    if (container != NULL) {
        put_unknown_subcommand(text, container->name, &argv[1]);
        return ERR_NOT_FOUND;
    }
    if (*out == NULL) {
        put_unknown_command(text, argv, argc);
        return ERR_NOT_FOUND;
    }
    if (!command_arity_ok(*out, argc)) {
        buf_printf(text, "ERR wrong number of arguments for '%s' command", (*out)->name);
        return ERR_INVALID;
    }
    return ERR_OK;
}
