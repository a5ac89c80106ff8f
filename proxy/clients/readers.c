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

bool readers_says_so(const struct resp_arg *script)
{
    static const char flags[] = " flags=", word[] = "no-writes";

    if (script->len < 2 || memcmp(script->bytes, "#!", 2) != 0) {
        return false;
    }
    const uint8_t *newline = memchr(script->bytes, '\n', script->len);
    const uint8_t *end = newline != NULL ? newline : script->bytes + script->len;
    const uint8_t *at =
        memmem(script->bytes, (size_t)(end - script->bytes), flags, sizeof flags - 1);
    if (at == NULL) {
        return false;
    }
    for (at += sizeof flags - 1; at < end && *at != ' ';) {
        size_t len = 0;
        while (at + len < end && at[len] != ',' && at[len] != ' ') {
            len++;
        }
        if (len == sizeof word - 1 && memcmp(at, word, len) == 0) {
            return true;
        }
        at += len;
        at += at < end && *at == ',';
    }
    return false;
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
    return (strcmp(command->name, "evalsha") == 0 && readers_find(&r->scripts, &argv[1])) ||
           (readers_is_function(command) && readers_find(&r->functions, &argv[1]));
}

bool readers_is_function(const struct command *command)
{
    return strcmp(command->name, "fcall") == 0;
}
