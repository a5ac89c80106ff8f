#include "proxy/ctl/target_mark.h"

#include "common/hex.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "holdfast-restore:RANDOM:empty:HEX:HEX:HEX"; the secret is the first two words of it. */
static const char mark_word[] = "holdfast-restore:";
const char target_mark_user[] = "holdfast-restore";

const char *const target_mark_settings[TARGET_SETTINGS] = {"masterauth", "masteruser",
                                                           "replica-read-only"};

void target_mark_fini(struct target_mark *m)
{
    for (size_t i = 0; i < TARGET_SETTINGS; i++) {
        free(m->settings[i]);
        m->settings[i] = NULL;
    }
    free(m->secret);
    m->secret = NULL;
}

void target_mark_make_secret(struct target_mark *m, const char *random)
{
    size_t size = sizeof mark_word + strlen(random);

    free(m->secret);
    m->secret = mem_alloc(size);
    (void)snprintf(m->secret, size, "%s%s", mark_word, random);
}

bool target_mark_is_secret(const char *masterauth)
{
    return strncmp(masterauth, mark_word, sizeof mark_word - 1) == 0;
}

void target_mark_print(const struct target_mark *m, struct buf *out)
{
    buf_printf(out, "%s:%s", m->secret, m->empty ? "empty" : "full");
    for (size_t i = 0; i < TARGET_SETTINGS; i++) {
        buf_append_str(out, ":");
        hex_put(out, m->settings[i], strlen(m->settings[i]));
    }
    buf_append(out, "", 1);
}

static char *mark_copy(const char *text, size_t len)
{
    char *copy = mem_calloc(1, len + 1);

    memcpy(copy, text, len);
    return copy;
}

/* len hexadecimal digits; NULL: they are none. */
static char *mark_unhex(const char *text, size_t len)
{
    if (len % 2 != 0 || strspn(text, "0123456789abcdef") < len) {
        return NULL;
    }
    char *out = mem_calloc(1, len / 2 + 1);
    if (!hex_parse(text, out, len / 2) || strlen(out) < len / 2) {
        free(out);
        return NULL;
    }
    return out;
}

bool target_mark_parse(const char *text, struct target_mark *m)
{
    size_t words = 0;

    *m = (struct target_mark){.empty = false};
    if (!target_mark_is_secret(text) || strlen(text) > TARGET_MARK_BYTES_MAX) {
        return false;
    }
    const char *at = text + sizeof mark_word - 1;
    for (;; words++) {
        size_t len = strcspn(at, ":");
        if (words == 0) {
            m->secret = mark_copy(text, (size_t)(at - text) + len);
        } else if (words == 1) {
            m->empty = len == 5 && memcmp(at, "empty", 5) == 0;
        } else if (words >= 2 && words < 2 + TARGET_SETTINGS) {
            m->settings[words - 2] = mark_unhex(at, len);
        }
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    bool good = words == 1 + TARGET_SETTINGS;
    for (size_t i = 0; i < TARGET_SETTINGS; i++) {
        good = good && m->settings[i] != NULL;
    }
    if (!good) {
        target_mark_fini(m);
        *m = (struct target_mark){.empty = false};
    }
    return good;
}

bool target_mark_is_user(const char *line)
{
    size_t len = sizeof target_mark_user - 1;

    return strncmp(line, "user ", 5) == 0 && strncmp(line + 5, target_mark_user, len) == 0 &&
           (line[5 + len] == ' ' || line[5 + len] == '\0');
}

bool target_mark_parse_user(const char *line, struct target_mark *m)
{
    const char *pattern = target_mark_is_user(line) ? strstr(line + 5, " ~") : NULL;

    *m = (struct target_mark){.empty = false};
    if (pattern == NULL) {
        return false;
    }
    char *text = mark_copy(pattern + 2, strcspn(pattern + 2, " "));
    bool good = target_mark_parse(text, m);
    free(text);
    return good;
}

enum target_others target_mark_others(const char *clients, uint64_t self)
{
    enum target_others found = TARGET_ALONE;
    unsigned long long id;
    char name[sizeof target_mark_user + 1];

    for (const char *line = clients, *end; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
        end = line + strcspn(line, "\n");
        const char *at = memmem(line, (size_t)(end - line), " name=", 6);
        if (at == NULL || sscanf(line, "id=%llu ", &id) != 1 || id == self) {
            continue;
        }
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at + 6, " \n"), at + 6);
        if (strcmp(name, target_mark_user) == 0) {
            found = id < self || found == TARGET_BEHIND_OTHERS ? TARGET_BEHIND_OTHERS
                                                               : TARGET_BEFORE_OTHERS;
        }
    }
    return found;
}
