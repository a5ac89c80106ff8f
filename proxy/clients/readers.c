#include "proxy/clients/readers.h"

#include "common/mem.h"

#include <ctype.h>
#include <string.h>

void readers_release(struct readers *r)
{
    buf_release(&r->scripts);
    buf_release(&r->functions);
    *r = (struct readers){.scripts = BUF_INIT, .functions = BUF_INIT};
}

/* The next part of *at up to one of these characters, which is passed over. */
static struct resp_arg readers_part(const uint8_t **at, const uint8_t *end, uint8_t mark)
{
    const uint8_t *begin = *at, *to = memchr(begin, mark, (size_t)(end - begin));

    *at = to != NULL ? to + 1 : end;
    return (struct resp_arg){begin, (size_t)((to != NULL ? to : end) - begin)};
}

/* A list of flags; false: with one that Redis may not know. */
static bool readers_flags(struct resp_arg list, bool *no_writes)
{
    static const char *const known[] = {"no-writes", "allow-oom", "allow-stale", "no-cluster",
                                        "allow-cross-slot-keys"};
    const uint8_t *at = list.bytes, *end = list.bytes + list.len;

    while (at < end) {
        struct resp_arg flag = readers_part(&at, end, ',');
        size_t i = 0;
        while (i < sizeof known / sizeof *known &&
               (flag.len != strlen(known[i]) || memcmp(flag.bytes, known[i], flag.len) != 0)) {
            i++;
        }
        if (i == sizeof known / sizeof *known) {
            return false;
        }
        *no_writes = *no_writes || i == 0;
    }
    return true;
}

/* As evalExtractShebangFlags (eval.c), but for quotes. */
bool readers_says_so(const struct resp_arg *script)
{
    static const char lua[] = "#!lua", flags[] = "flags=";
    const uint8_t *at = script->bytes;
    const uint8_t *end = memchr(script->bytes, '\n', script->len);
    bool no_writes = false;

    if (end == NULL) {
        return false;
    }
    for (size_t i = 0; at < end; i++) {
        const char *begins = i == 0 ? lua : flags;
        struct resp_arg part = readers_part(&at, end, ' ');
        size_t len = strlen(begins);
        if (part.len == 0 && i > 0) {
            continue;
        }
        if (part.len < len || memcmp(part.bytes, begins, len) != 0 || (i == 0 && part.len > len)) {
            return false;
        }
        if (i > 0 &&
            !readers_flags((struct resp_arg){part.bytes + len, part.len - len}, &no_writes)) {
            return false;
        }
    }
    return no_writes;
}

/* In lower case, as resp_arg_is wants them. */
static void readers_put(struct buf *names, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)name[i]);
        buf_append(names, &c, 1);
    }
    buf_append(names, "", 1);
}

static bool readers_find(const struct buf *names, const struct resp_arg *word)
{
    const char *at = (const char *)buf_head(names), *end = at + names->len;

    for (; at < end; at += strlen(at) + 1) {
        if (resp_arg_is(word, at)) {
            return true;
        }
    }
    return false;
}

void readers_add_script(struct readers *r, const void *sha, size_t len)
{
    struct resp_arg word = {sha, len};

    if (len != READERS_SHA_BYTES || memchr(sha, '\0', len) != NULL ||
        readers_find(&r->scripts, &word)) {
        return;
    }
    if (r->scripts.len < (size_t)READERS_SCRIPTS_MAX * (READERS_SHA_BYTES + 1)) {
        readers_put(&r->scripts, sha, len);
        return;
    }
    struct buf one = BUF_INIT;
    readers_put(&one, sha, len);
    memcpy(buf_head(&r->scripts) + r->next * (READERS_SHA_BYTES + 1), buf_head(&one), one.len);
    buf_release(&one);
    r->next = (r->next + 1) % READERS_SCRIPTS_MAX;
}

void readers_begin(struct readers *r)
{
    buf_release(&r->functions);
    r->wanted = true;
}

void readers_asked(struct readers *r)
{
    r->wanted = false;
    r->asked++;
}

bool readers_answered(struct readers *r)
{
    MUST(r->asked > 0);
    return --r->asked == 0 && !r->wanted;
}

void readers_add_function(struct readers *r, const char *name)
{
    readers_put(&r->functions, name, strlen(name));
}

bool readers_have(const struct readers *r, const struct command *command,
                  const struct resp_arg *argv, size_t argc)
{
    if (argc < 2) {
        return false;
    }
    return (strncmp(command->name, "evalsha", 7) == 0 && readers_find(&r->scripts, &argv[1])) ||
           (strncmp(command->name, "fcall", 5) == 0 && readers_find(&r->functions, &argv[1]));
}

bool readers_is_function(const struct command *command)
{
    return strcmp(command->name, "fcall") == 0;
}
