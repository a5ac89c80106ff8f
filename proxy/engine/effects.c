/* The stream is arrays of bulk strings, as a client would send them:
 *
 *     *3\r\n $3\r\nSET\r\n $1\r\na\r\n $5\r\nhello\r\n
 *
 *   PART_TYPE ─▶ COUNT ─▶ COUNT_LF ─▶ BULK_TYPE ─▶ LEN ─▶ LEN_LF ─▶ BULK ─▶ BULK_CR ─▶ BULK_LF
 *       ▲                                 ▲                                               │
 *       │                                 └──────────────── args_left > 0 ────────────────┤
 *       └───────────────── take_command: the command is whole ────────────────────────────┘
 *
 * A command that is whole in the bytes given, and not large, is read where it stands
 * (whole_command). Any other goes through the parts above, and of each argument as much is held as
 * a key may have, plus one byte: an argument longer than key_bytes_max can be no key that we could
 * hash, and no word or number that decides where the keys are. Beyond held_bytes_max nothing more
 * is held (`overfull`). Both ways come to the same unit, wherever the bytes were cut.
 *
 * Units: MULTI begins one, EXEC ends it, and each command outside is one. Redis puts SELECT where
 * the database changes, also inside a transaction. A unit that ends with a long argument is told as
 * soon as all that is held of that has come (`foretold`): the rest decides nothing, and may be
 * hundreds of megabytes that nobody else should have to wait for. */
#include "proxy/engine/effects.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum part {
    PART_TYPE = 0,
    PART_COUNT,
    PART_COUNT_LF,
    PART_BULK_TYPE,
    PART_LEN,
    PART_LEN_LF,
    PART_BULK,
    PART_BULK_CR,
    PART_BULK_LF,
};

enum {
    WHOLE_BYTES_MAX = 64 << 10,           /* larger commands go through the parts in any case */
    FORETELL_BYTES_MIN = WHOLE_BYTES_MAX, /* of the last argument */
    NUMBER_DIGITS_MAX = 15,
    KEEP_ITEMS = 4096, /* memory for more arguments or hashes is given back at once */
    KEEP_BYTES = 128 << 10,
    RECENT_COUNT = 16,
    RECENT_NAME_MAX = 15,
};

/* Names that were looked up, as they were written; streams repeat few names. */
struct recent {
    uint8_t len; /* 0: unused */
    char name[RECENT_NAME_MAX];
    const struct command *command;
};

struct effects {
    const struct command_table *table;
    const struct tracker *tracker;
    const struct effects_events *events;
    void *ctx;
    struct effects_limits limits;
    size_t whole_bytes_max; /* commands up to this are read where they stand */
    bool broken;            /* ERR_PROTOCOL was returned */

    uint64_t offset;
    uint64_t unit_offset;
    uint64_t known_offset; /* units up to here are told */
    long db;

    /* The unit being read. */
    bool in_multi;
    bool keyspace;
    uint64_t *hashes;
    size_t hash_count, hash_cap;

    /* The command being read in parts. Between commands part is PART_TYPE. The bytes of argv are
     * offsets into held until it is whole. */
    enum part part;
    unsigned digits;
    uint64_t number;
    uint64_t args_left;
    uint64_t bulk_left; /* bytes of the argument still to come */
    size_t keep_left;   /* those of them to be held */
    bool overfull;      /* argv is not complete: the command is beyond a limit */
    bool foretell; /* it ends with the argument at hand, and is a unit that may be foretold … */
    bool foretold; /* … and was */
    struct buf held;

    struct resp_arg *argv;
    size_t argc, argv_cap;
    struct buf keys; /* struct command_key, of the command being judged */
    struct recent recent[RECENT_COUNT];
};

struct effects *effects_create(const struct command_table *table, const struct tracker *tracker,
                               const struct effects_events *events, void *ctx)
{
    struct effects *e = mem_calloc(1, sizeof *e);
    e->table = table;
    e->tracker = tracker;
    e->events = events;
    e->ctx = ctx;
    effects_start(e, 0, -1);
    effects_set_limits(e, &(struct effects_limits)EFFECTS_LIMITS_DEFAULT);
    return e;
}

void effects_destroy(struct effects *e)
{
    if (e != NULL) {
        free(e->hashes);
        free(e->argv);
        buf_release(&e->held);
        buf_release(&e->keys);
        free(e);
    }
}

void effects_set_table(struct effects *e, const struct command_table *table)
{
    e->table = table;
    memset(e->recent, 0, sizeof e->recent);
}

void effects_set_limits(struct effects *e, const struct effects_limits *limits)
{
    MUST(limits->key_bytes_max >= 64 && limits->held_bytes_max > limits->key_bytes_max * 2);
    MUST(limits->args_max >= 2); /* so that SELECT is always understood */
    MUST(e->part == PART_TYPE && !e->in_multi);
    e->limits = *limits;
    /* A command that small never meets held_bytes_max in parts, so both ways agree. */
    e->whole_bytes_max =
        limits->held_bytes_max < WHOLE_BYTES_MAX ? limits->held_bytes_max : WHOLE_BYTES_MAX;
}

uint64_t effects_offset(const struct effects *e)
{
    return e->offset;
}

uint64_t effects_unit_offset(const struct effects *e)
{
    return e->unit_offset;
}

uint64_t effects_known_offset(const struct effects *e)
{
    return e->known_offset;
}

long effects_db(const struct effects *e)
{
    return e->db;
}

size_t effects_bytes(const struct effects *e)
{
    return sizeof *e + e->hash_cap * sizeof *e->hashes + e->argv_cap * sizeof *e->argv +
           e->held.cap + e->keys.cap;
}

/* Forgets the command in parts, and gives back what a large one took. */
static void parts_reset(struct effects *e)
{
    e->part = PART_TYPE;
    e->overfull = e->foretell = e->foretold = false;
    e->argc = 0;
    buf_clear(&e->held);
    buf_trim(&e->held, KEEP_BYTES);
    buf_clear(&e->keys);
    buf_trim(&e->keys, KEEP_BYTES);
    if (e->argv_cap > KEEP_ITEMS) {
        free(e->argv);
        e->argv = NULL;
        e->argv_cap = 0;
    }
}

static void unit_reset(struct effects *e)
{
    e->in_multi = false;
    e->keyspace = false;
    e->hash_count = 0;
    if (e->hash_cap > KEEP_ITEMS) {
        free(e->hashes);
        e->hashes = NULL;
        e->hash_cap = 0;
    }
}

void effects_start(struct effects *e, uint64_t offset, long db)
{
    e->broken = false;
    e->offset = offset;
    e->unit_offset = e->known_offset = offset;
    e->db = db;
    parts_reset(e);
    unit_reset(e);
}

static void add_arg(struct effects *e, const uint8_t *bytes, size_t len)
{
    if (e->argc == e->argv_cap) {
        e->argv_cap = e->argv_cap > 0 ? e->argv_cap * 2 : 64;
        e->argv = mem_realloc(e->argv, e->argv_cap * sizeof *e->argv);
    }
    MUST(e->argv != NULL);
    e->argv[e->argc++] = (struct resp_arg){bytes, len};
}

/* ---- what a command changes ---- */

static void all_dirty(struct effects *e)
{
    e->keyspace = true;
    e->hash_count = 0;
}

static void key_dirty(struct effects *e, long db, const struct resp_arg *key)
{
    uint64_t hash = tracker_hash(e->tracker, (uint32_t)db, key->bytes, key->len);

    if (e->hash_count > 0 && e->hashes[e->hash_count - 1] == hash) {
        return;
    }
    if (e->hash_count >= e->limits.hashes_max) {
        all_dirty(e);
        return;
    }
    if (e->hash_count == e->hash_cap) {
        e->hash_cap = e->hash_cap > 0 ? e->hash_cap * 2 : 64;
        e->hashes = mem_realloc(e->hashes, e->hash_cap * sizeof *e->hashes);
    }
    e->hashes[e->hash_count++] = hash;
}

static const struct command *find(struct effects *e)
{
    const struct resp_arg *name = &e->argv[0];

    if (name->len == 0 || name->len > RECENT_NAME_MAX) {
        return command_find(e->table, e->argv, e->argc, NULL);
    }
    unsigned at = name->bytes[0] + name->bytes[name->len - 1] * 3u + (unsigned)name->len * 5u;
    struct recent *r = &e->recent[at % RECENT_COUNT];
    if (r->len == name->len && memcmp(r->name, name->bytes, name->len) == 0) {
        return r->command;
    }
    const struct command *container = NULL;
    const struct command *c = command_find(e->table, e->argv, e->argc, &container);
    if (c != NULL && container == NULL && c->subcommands == NULL && strchr(c->name, '|') == NULL) {
        r->len = (uint8_t)name->len;
        memcpy(r->name, name->bytes, name->len);
        r->command = c;
    }
    return c;
}

static void keys_dirty(struct effects *e, const struct command *c)
{
    const struct command_key *keys = (const void *)buf_head(&e->keys);
    size_t count = e->keys.len / sizeof *keys;
    long second_db = command_second_db(c, e->argv, e->argc);
    bool any_written = false;

    if (count == 0 || e->db < 0 || second_db > INT_MAX) {
        all_dirty(e);
        return;
    }
    for (size_t i = 0; i < count && !any_written; i++) {
        any_written = keys[i].write;
    }
    for (size_t i = 0; i < count && !e->keyspace; i++) {
        if (any_written && !keys[i].write) {
            continue;
        }
        MUST(keys[i].index < e->argc);
        const struct resp_arg *key = &e->argv[keys[i].index];
        if (key->len > e->limits.key_bytes_max) {
            all_dirty(e);
            return;
        }
        key_dirty(e, e->db, key);
        if (second_db >= 0 && !e->keyspace) {
            key_dirty(e, second_db, key);
        }
    }
}

static void take_effect(struct effects *e)
{
    if (e->keyspace) {
        return;
    }
    const struct command *c = e->overfull ? NULL : find(e);
    if (c == NULL) {
        all_dirty(e);
        return;
    }
    buf_clear(&e->keys);
    switch (command_reach(c, e->argv, e->argc, &e->keys)) {
    case COMMAND_REACH_NONE:
        break;
    case COMMAND_REACH_KEYS:
        keys_dirty(e, c);
        break;
    case COMMAND_REACH_KEYSPACE:
        all_dirty(e);
        break;
    }
}

/* ---- units ---- */

enum word { WORD_OTHER, WORD_IDLE, WORD_SELECT, WORD_MULTI, WORD_EXEC };

/* The words that make up the stream itself. */
static enum word word_of(const struct resp_arg *name)
{
    switch (name->len) {
    case 4:
        return resp_arg_is(name, "exec") ? WORD_EXEC
                                         : (resp_arg_is(name, "ping") ? WORD_IDLE : WORD_OTHER);
    case 5:
        return resp_arg_is(name, "multi") ? WORD_MULTI : WORD_OTHER;
    case 6:
        return resp_arg_is(name, "select") ? WORD_SELECT : WORD_OTHER;
    case 8:
        return resp_arg_is(name, "replconf") ? WORD_IDLE : WORD_OTHER;
    default:
        return WORD_OTHER;
    }
}

static void unit_tell(struct effects *e, uint64_t end)
{
    struct effects_unit unit = {
        .end = end, .hashes = e->hashes, .hash_count = e->hash_count, .keyspace = e->keyspace};

    e->known_offset = end;
    e->events->unit(e->ctx, &unit);
    unit_reset(e);
}

static void unit_done(struct effects *e)
{
    e->unit_offset = e->offset;
    unit_tell(e, e->offset);
}

/* argv holds a whole command that ends at e->offset. */
static int take_command(struct effects *e)
{
    long long db;

    switch (word_of(&e->argv[0])) {
    case WORD_OTHER:
        take_effect(e);
        break;
    case WORD_IDLE:
        break;
    case WORD_SELECT:
        if (e->argc != 2 || !resp_arg_integer(&e->argv[1], &db) || db < 0 || db > INT_MAX) {
            return ERR_PROTOCOL;
        }
        e->db = (long)db;
        break;
    case WORD_MULTI:
        if (e->in_multi) {
            return ERR_PROTOCOL;
        }
        e->in_multi = true;
        break;
    case WORD_EXEC:
        if (!e->in_multi) {
            return ERR_PROTOCOL;
        }
        e->in_multi = false;
        break;
    }
    if (!e->in_multi) {
        unit_done(e);
    }
    return ERR_OK;
}

/* ---- a command in place ---- */

/* A whole header line of up to nine digits. Returns what is behind it, or NULL. */
static inline const uint8_t *whole_header(const uint8_t *p, const uint8_t *end, uint8_t type,
                                          uint64_t *number)
{
    uint64_t n = 0;
    int digits = 0;

    if (end - p < 4 || *p++ != type) {
        return NULL;
    }
    for (; p < end && (unsigned)*p - '0' <= 9 && digits <= 9; p++, digits++) {
        n = n * 10 + (*p - '0');
    }
    if (digits == 0 || digits > 9 || end - p < 2 || p[0] != '\r' || p[1] != '\n') {
        return NULL;
    }
    *number = n;
    return p + 2;
}

/* The command at the head of bytes in argv. Returns its length, or 0: it is not whole, too large,
 * or wrong, and is read in parts. */
static size_t whole_command(struct effects *e, const uint8_t *bytes, size_t size)
{
    size_t max = e->whole_bytes_max;
    const uint8_t *end = bytes + (size < max ? size : max);
    uint64_t count, len;
    const uint8_t *p = whole_header(bytes, end, '*', &count);

    e->argc = 0;
    if (p == NULL || count == 0 || count > e->limits.args_max) {
        return 0;
    }
    for (; count > 0; count--) {
        p = whole_header(p, end, '$', &len);
        if (p == NULL || (uint64_t)(end - p) < len + 2 || p[len] != '\r' || p[len + 1] != '\n') {
            return 0;
        }
        add_arg(e, p, len);
        p += len + 2;
    }
    return (size_t)(p - bytes);
}

/* ---- a command in parts ---- */

static int number_byte(struct effects *e, uint8_t c, enum part next)
{
    if (c == '\r' && e->digits > 0) {
        e->part = next;
        return ERR_OK;
    }
    if (c < '0' || c > '9' || e->digits == NUMBER_DIGITS_MAX) {
        return ERR_PROTOCOL;
    }
    e->number = e->number * 10 + (unsigned)(c - '0');
    e->digits++;
    return ERR_OK;
}

static int one_byte(struct effects *e, uint8_t c, uint8_t expected, enum part next)
{
    if (c != expected) {
        return ERR_PROTOCOL;
    }
    e->part = next;
    e->number = 0;
    e->digits = 0;
    return ERR_OK;
}

/* An argument of this length comes: decides how much of it is held. */
static void arg_begins(struct effects *e, uint64_t len)
{
    size_t keep = len > e->limits.key_bytes_max ? e->limits.key_bytes_max + 1 : (size_t)len;

    e->bulk_left = len;
    e->keep_left = 0;
    e->foretell = e->args_left == 1 && e->argc > 0 && !e->in_multi && len >= FORETELL_BYTES_MIN;
    if (e->argc >= e->limits.args_max || keep > e->limits.held_bytes_max - e->held.len) {
        e->overfull = true;
    }
    if (!e->overfull) {
        add_arg(e, (const uint8_t *)(uintptr_t)e->held.len, keep);
        e->keep_left = keep;
    }
}

static size_t arg_bytes(struct effects *e, const uint8_t *bytes, size_t size)
{
    size_t taken = e->bulk_left < size ? (size_t)e->bulk_left : size;
    size_t kept = e->keep_left < taken ? e->keep_left : taken;

    buf_append(&e->held, bytes, kept);
    e->keep_left -= kept;
    e->bulk_left -= taken;
    if (e->bulk_left == 0) {
        e->part = PART_BULK_CR;
    }
    return taken;
}

/* Nothing more of the command is held: its arguments are where held has them. */
static void parts_settle(struct effects *e)
{
    for (size_t i = 0; i < e->argc; i++) {
        struct resp_arg *arg = &e->argv[i];
        arg->bytes =
            arg->len > 0 ? buf_head(&e->held) + (uintptr_t)arg->bytes : (const uint8_t *)"";
    }
}

/* What is held of the command is all here, and e->offset is in its last argument. */
static void parts_foretell(struct effects *e)
{
    struct resp_arg name = {buf_head(&e->held) + (uintptr_t)e->argv[0].bytes, e->argv[0].len};

    e->foretell = false;
    if (word_of(&name) != WORD_OTHER) {
        return;
    }
    e->foretold = true;
    parts_settle(e);
    take_effect(e);
    unit_tell(e, e->offset + e->bulk_left + 2);
}

static int parts_done(struct effects *e)
{
    int err = ERR_OK;

    if (e->foretold) {
        MUST(e->known_offset == e->offset);
        e->unit_offset = e->offset;
    } else {
        parts_settle(e);
        err = take_command(e);
    }
    parts_reset(e);
    return err;
}

/* Takes one byte that is not in an argument; the command may be whole then. */
static int part_byte(struct effects *e, uint8_t c)
{
    int err;

    switch (e->part) {
    case PART_TYPE:
        e->argc = 0;
        return one_byte(e, c, '*', PART_COUNT);
    case PART_COUNT:
        return number_byte(e, c, PART_COUNT_LF);
    case PART_COUNT_LF:
        e->args_left = e->number;
        err = one_byte(e, c, '\n', PART_BULK_TYPE);
        return err == ERR_OK && e->args_left == 0 ? ERR_PROTOCOL : err;
    case PART_BULK_TYPE:
        return one_byte(e, c, '$', PART_LEN);
    case PART_LEN:
        return number_byte(e, c, PART_LEN_LF);
    case PART_LEN_LF:
        arg_begins(e, e->number);
        return one_byte(e, c, '\n', e->bulk_left > 0 ? PART_BULK : PART_BULK_CR);
    case PART_BULK_CR:
        return one_byte(e, c, '\r', PART_BULK_LF);
    case PART_BULK_LF:
        err = one_byte(e, c, '\n', PART_BULK_TYPE);
        return err == ERR_OK && --e->args_left == 0 ? parts_done(e) : err;
    case PART_BULK:
    default:
        MUST(false);
    }
}

int effects_feed(struct effects *e, const uint8_t *bytes, size_t size)
{
    int err = e->broken ? ERR_PROTOCOL : ERR_OK;
    bool whole_may_be = true; /* false: the command at hand was tried in place and is not whole */

    for (size_t at = 0, taken; at < size && err == ERR_OK; at += taken) {
        if (e->part == PART_TYPE && whole_may_be) {
            taken = whole_command(e, bytes + at, size - at);
            e->offset += taken;
            if (taken > 0) {
                err = take_command(e);
            } else {
                whole_may_be = false;
            }
        } else if (e->part == PART_BULK) {
            taken = arg_bytes(e, bytes + at, size - at);
            e->offset += taken;
            if (e->foretell && e->keep_left == 0) {
                parts_foretell(e);
            }
        } else {
            taken = 1;
            e->offset++;
            err = part_byte(e, bytes[at]);
            whole_may_be = e->part == PART_TYPE;
        }
    }
    e->broken = err != ERR_OK;
    return err;
}
