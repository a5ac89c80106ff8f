#include "logsvc/roster.h"

#include "common/le.h"
#include "common/mem.h"

#include <string.h>

static bool roster_same(const struct roster_entry *a, const struct roster_entry *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->address, b->address) == 0;
}

unsigned roster_hear(struct roster *r, const struct roster_entry *entry)
{
    unsigned at = 0, oldest = 0;

    while (at < r->count && !roster_same(&r->entries[at], entry)) {
        oldest = r->entries[at].heard_ns < r->entries[oldest].heard_ns ? at : oldest;
        at++;
    }
    if (at < r->count) {
        if (entry->heard_ns >= r->entries[at].heard_ns) {
            r->entries[at] = *entry;
        }
        return at;
    }
    if (r->count == ROSTER_ENTRIES_MAX) {
        roster_remove(r, oldest);
    }
    r->entries[r->count] = *entry;
    return r->count++;
}

void roster_remove(struct roster *r, unsigned index)
{
    MUST(index < r->count);
    r->count--;
    memmove(&r->entries[index], &r->entries[index + 1], (r->count - index) * sizeof r->entries[0]);
}

void roster_forget(struct roster *r, uint64_t now_ns, uint64_t age_max_ns)
{
    for (unsigned i = r->count; i > 0; i--) {
        uint64_t heard_ns = r->entries[i - 1].heard_ns;
        if (now_ns > heard_ns && now_ns - heard_ns > age_max_ns) {
            roster_remove(r, i - 1);
        }
    }
}

static void roster_put_text(struct buf *out, const char *text)
{
    uint8_t len = (uint8_t)strnlen(text, ROSTER_TEXT_MAX);

    buf_append(out, &len, 1);
    buf_append(out, text, len);
}

void roster_encode(const struct roster *r, uint64_t now_ns, struct buf *out)
{
    uint8_t bytes[30];

    le_put16(bytes, (uint16_t)r->count);
    buf_append(out, bytes, 2);
    for (unsigned i = 0; i < r->count; i++) {
        const struct roster_entry *e = &r->entries[i];
        roster_put_text(out, e->name);
        roster_put_text(out, e->address);
        bytes[0] = (uint8_t)e->role;
        bytes[1] = e->synced;
        le_put64(bytes + 2, e->offset);
        le_put64(bytes + 10, e->needs);
        le_put64(bytes + 18, now_ns > e->heard_ns ? now_ns - e->heard_ns : 0);
        le_put32(bytes + 26, e->sentinel_port);
        buf_append(out, bytes, sizeof bytes);
    }
}

/* The text at *at; false: it is cut, too long, or holds a NUL. */
static bool roster_get_text(const uint8_t *bytes, size_t size, size_t *at, char *text)
{
    if (*at >= size) {
        return false;
    }
    size_t len = bytes[(*at)++];
    if (len > ROSTER_TEXT_MAX || size - *at < len || memchr(bytes + *at, '\0', len) != NULL) {
        return false;
    }
    memcpy(text, bytes + *at, len);
    text[len] = '\0';
    *at += len;
    return true;
}

int roster_decode(const uint8_t *bytes, size_t size, uint64_t now_ns, struct roster *r)
{
    size_t at = 2;

    if (size < 2 || le_get16(bytes) > ROSTER_ENTRIES_MAX) {
        return ERR_CORRUPT;
    }
    memset(r, 0, sizeof *r);
    r->count = le_get16(bytes);
    for (unsigned i = 0; i < r->count; i++) {
        struct roster_entry *e = &r->entries[i];
        if (!roster_get_text(bytes, size, &at, e->name) ||
            !roster_get_text(bytes, size, &at, e->address) || size - at < 30 ||
            bytes[at] > ROSTER_LEADER || bytes[at + 1] > 1) {
            return ERR_CORRUPT;
        }
        e->role = (enum roster_role)bytes[at];
        e->synced = bytes[at + 1] == 1;
        e->offset = le_get64(bytes + at + 2);
        e->needs = le_get64(bytes + at + 10);
        uint64_t age_ns = le_get64(bytes + at + 18);
        e->heard_ns = age_ns < now_ns ? now_ns - age_ns : 0;
        e->sentinel_port = le_get32(bytes + at + 26);
        at += 30;
    }
    return at == size ? ERR_OK : ERR_CORRUPT;
}
