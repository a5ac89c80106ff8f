#include "logsvc/conf.h"

#include "common/le.h"
#include "common/mem.h"
#include "logsvc/mutant.h"

#include <string.h>

enum { CONF_GENERATION_FOUNDING = 1 };

bool disk_id_equal(const struct disk_id *a, const struct disk_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool disk_id_known(const struct disk_id *id)
{
    const struct disk_id none = {0};
    return !disk_id_equal(id, &none);
}

int conf_id_compare(struct conf_id a, struct conf_id b)
{
    if (a.term.n != b.term.n) {
        return a.term.n < b.term.n ? -1 : 1;
    }
    return a.generation < b.generation ? -1 : a.generation > b.generation;
}

enum conf_kind conf_kind(const struct conf *c)
{
    if (c->id.generation == 0) {
        return CONF_NONE;
    }
    if (c->id.generation == CONF_GENERATION_FOUNDING) {
        return CONF_FOUNDING;
    }
    return c->old.count > 0 ? CONF_JOINT : CONF_STABLE;
}

const char *conf_kind_name(enum conf_kind kind)
{
    static const char *const names[] = {"none", "founding", "stable", "joint"};
    return names[kind];
}

static const struct conf_member *set_find_node(const struct conf_set *set, const char *node_id)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (strcmp(set->members[i].node_id, node_id) == 0) {
            return &set->members[i];
        }
    }
    return NULL;
}

static const struct conf_member *set_find(const struct conf_set *set, const char *node_id,
                                          const struct disk_id *disk)
{
    for (unsigned i = 0; i < set->count; i++) {
        if (disk_id_equal(&set->members[i].disk, disk) &&
            strcmp(set->members[i].node_id, node_id) == 0) {
            return &set->members[i];
        }
    }
    return NULL;
}

bool conf_set_has(const struct conf_set *set, const char *node_id, const struct disk_id *disk)
{
    return set_find(set, node_id, disk) != NULL;
}

const struct conf_member *conf_find_node(const struct conf *c, const char *node_id)
{
    const struct conf_member *m = set_find_node(&c->now, node_id);
    return m != NULL ? m : set_find_node(&c->old, node_id);
}

const struct conf_member *conf_find(const struct conf *c, const char *node_id,
                                    const struct disk_id *disk)
{
    const struct conf_member *m = set_find(&c->now, node_id, disk);
    return m != NULL ? m : set_find(&c->old, node_id, disk);
}

/* The greatest value that at least `needed` members of the set have reached. */
static uint64_t set_quorum_value(const struct conf_set *set, unsigned needed,
                                 uint64_t (*value)(const void *ctx, const struct conf_member *m),
                                 const void *ctx)
{
    uint64_t values[CONF_MEMBERS_MAX]; /* descending */

    for (unsigned i = 0; i < set->count; i++) {
        uint64_t v = value(ctx, &set->members[i]);
        unsigned at = i;
        for (; at > 0 && values[at - 1] < v; at--) {
            values[at] = values[at - 1];
        }
        values[at] = v;
    }
    MUST(needed > 0 && needed <= set->count);
    return values[needed - 1];
}

uint64_t conf_quorum_value(const struct conf *c,
                           uint64_t (*value)(const void *ctx, const struct conf_member *m),
                           const void *ctx)
{
    enum conf_kind kind = conf_kind(c);

    if (kind == CONF_NONE) {
        return 0;
    }
    unsigned needed = kind == CONF_FOUNDING ? c->now.count : c->now.count / 2 + 1;
    uint64_t best = set_quorum_value(&c->now, needed, value, ctx);
    if (kind == CONF_JOINT && !MUTANT(JOINT_ONE_SET)) {
        uint64_t old = set_quorum_value(&c->old, c->old.count / 2 + 1, value, ctx);
        best = old < best ? old : best;
    }
    return best;
}

int conf_found(const struct conf_set *members, struct conf *out)
{
    *out = (struct conf){.id = {.generation = CONF_GENERATION_FOUNDING}, .now = *members};
    return conf_check(out) == ERR_OK ? ERR_OK : ERR_INVALID;
}

void conf_restamp(struct conf *c, struct term term)
{
    MUST(c->id.generation > 0 && term.n > c->id.term.n);
    c->id.term = term;
}

int conf_replace(const struct conf *c, const char *old_id, const struct conf_member *added,
                 struct conf *out)
{
    const struct conf_member *old = set_find_node(&c->now, old_id);

    if (conf_kind(c) != CONF_STABLE) {
        return ERR_INVALID;
    }
    if (old == NULL) {
        return ERR_NOT_FOUND;
    }
    for (unsigned i = 0; i < c->now.count; i++) {
        if (strcmp(c->now.members[i].node_id, added->node_id) == 0 ||
            disk_id_equal(&c->now.members[i].disk, &added->disk)) {
            return ERR_EXISTS;
        }
    }
    struct conf next = *c;
    next.id.generation++;
    next.old = c->now;
    next.now.members[old - c->now.members] = *added;
    *out = next;
    return conf_check(out) == ERR_OK ? ERR_OK : ERR_INVALID;
}

void conf_settle(const struct conf *c, struct conf *out)
{
    MUST(conf_kind(c) == CONF_JOINT || conf_kind(c) == CONF_FOUNDING);
    *out = *c;
    out->id.generation++;
    out->old = (struct conf_set){0};
}

static bool set_ok(const struct conf_set *set)
{
    if (set->count > CONF_MEMBERS_MAX) {
        return false;
    }
    for (unsigned i = 0; i < set->count; i++) {
        const struct conf_member *m = &set->members[i];
        if (m->node_id[0] == '\0' || m->address[0] == '\0' || !disk_id_known(&m->disk)) {
            return false;
        }
        for (unsigned k = 0; k < i; k++) {
            if (strcmp(set->members[k].node_id, m->node_id) == 0 ||
                disk_id_equal(&set->members[k].disk, &m->disk)) {
                return false;
            }
        }
    }
    return true;
}

int conf_check(const struct conf *c)
{
    bool none = conf_kind(c) == CONF_NONE;
    unsigned same = 0;

    if (!set_ok(&c->now) || !set_ok(&c->old) || none != (c->now.count == 0) ||
        (none && c->id.term.n != 0)) {
        return ERR_CORRUPT;
    }
    if (c->old.count == 0) {
        return ERR_OK;
    }
    for (unsigned i = 0; i < c->old.count; i++) {
        same += conf_set_has(&c->now, c->old.members[i].node_id, &c->old.members[i].disk);
    }
    return conf_kind(c) == CONF_JOINT && c->old.count == c->now.count && same + 1 == c->now.count
               ? ERR_OK
               : ERR_CORRUPT;
}

static void put_text(struct buf *out, const char *text)
{
    uint8_t len = (uint8_t)strnlen(text, CONF_TEXT_MAX);

    buf_append(out, &len, 1);
    buf_append(out, text, len);
}

static void put_set(struct buf *out, const struct conf_set *set)
{
    uint8_t count = (uint8_t)set->count;

    buf_append(out, &count, 1);
    for (unsigned i = 0; i < set->count; i++) {
        put_text(out, set->members[i].node_id);
        buf_append(out, set->members[i].disk.bytes, CONF_DISK_ID_BYTES);
        put_text(out, set->members[i].address);
    }
}

void conf_encode(const struct conf *c, struct buf *out)
{
    uint8_t head[16];

    le_put64(head, c->id.term.n);
    le_put64(head + 8, c->id.generation);
    buf_append(out, head, sizeof head);
    put_set(out, &c->now);
    put_set(out, &c->old);
}

/* What is left to be read. */
struct conf_in {
    const uint8_t *at;
    size_t left;
};

static bool get_bytes(struct conf_in *in, void *out, size_t size)
{
    if (in->left < size) {
        return false;
    }
    memcpy(out, in->at, size);
    in->at += size;
    in->left -= size;
    return true;
}

static bool get_text(struct conf_in *in, char *out)
{
    uint8_t len;

    if (!get_bytes(in, &len, 1) || len > CONF_TEXT_MAX || !get_bytes(in, out, len)) {
        return false;
    }
    return memchr(out, '\0', len) == NULL; /* the rest of out is zeros */
}

static bool get_set(struct conf_in *in, struct conf_set *set)
{
    uint8_t count;

    if (!get_bytes(in, &count, 1) || count > CONF_MEMBERS_MAX) {
        return false;
    }
    set->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct conf_member *m = &set->members[i];
        if (!get_text(in, m->node_id) || !get_bytes(in, m->disk.bytes, CONF_DISK_ID_BYTES) ||
            !get_text(in, m->address)) {
            return false;
        }
    }
    return true;
}

int conf_decode(const uint8_t *bytes, size_t size, struct conf *c)
{
    struct conf_in in = {.at = bytes, .left = size};
    uint8_t head[16];

    *c = (struct conf){0};
    if (!get_bytes(&in, head, sizeof head)) {
        return ERR_CORRUPT;
    }
    c->id = (struct conf_id){.term = {le_get64(head)}, .generation = le_get64(head + 8)};
    if (!get_set(&in, &c->now) || !get_set(&in, &c->old) || in.left > 0) {
        return ERR_CORRUPT;
    }
    return conf_check(c);
}
