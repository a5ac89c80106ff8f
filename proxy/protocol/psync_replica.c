/* The replica's end of psync.h. */
#include "proxy/protocol/psync.h"

#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put_request(struct buf *out, size_t argc, const char *const *argv)
{
    resp_put_array(out, argc);
    for (size_t i = 0; i < argc; i++) {
        resp_put_bulk(out, argv[i], strlen(argv[i]));
    }
}

#define PUT_REQUEST(out, ...)                                                                      \
    put_request(out, sizeof((const char *[]){__VA_ARGS__}) / sizeof(const char *),                 \
                (const char *[]){__VA_ARGS__})

/* KMP: mark_fallback[i] is the length of the longest proper prefix of the mark that ends at i. */
static void prepare_mark(struct psync_replica *p)
{
    size_t k = 0;

    p->mark_matched = 0;
    p->mark_fallback[0] = 0;
    for (size_t i = 1; i < PSYNC_MARK_BYTES; i++) {
        while (k > 0 && p->mark[i] != p->mark[k]) {
            k = p->mark_fallback[k - 1];
        }
        k += p->mark[i] == p->mark[k];
        p->mark_fallback[i] = (uint8_t)k;
    }
}

static void put_ping(struct psync_replica *p, struct buf *out)
{
    p->state = PSYNC_REPLICA_PING;
    PUT_REQUEST(out, "PING");
}

static void put_psync(struct psync_replica *p, struct buf *out)
{
    char replid[sizeof p->replid.hex + 1], offset[24];

    p->state = PSYNC_REPLICA_PSYNC;
    if (!p->has_replid) {
        PUT_REQUEST(out, "PSYNC", "?", "-1");
        return;
    }
    memcpy(replid, p->replid.hex, sizeof p->replid.hex);
    replid[sizeof p->replid.hex] = '\0';
    snprintf(offset, sizeof offset, "%" PRIu64, p->offset + 1);
    PUT_REQUEST(out, "PSYNC", replid, offset);
}

void psync_replica_init(struct psync_replica *p, const struct psync_replica_config *config,
                        struct buf *out)
{
    *p = (struct psync_replica){.announce_port = config->announce_port, .offset = config->offset};
    if (config->replid != NULL) {
        p->has_replid = true;
        p->replid = *config->replid;
    }
    bool has_user = config->user != NULL && config->user[0] != '\0';
    if (config->password == NULL || (config->password[0] == '\0' && !has_user)) {
        put_ping(p, out);
        return;
    }
    p->state = PSYNC_REPLICA_AUTH;
    if (!has_user) {
        PUT_REQUEST(out, "AUTH", config->password);
    } else {
        PUT_REQUEST(out, "AUTH", config->user, config->password);
    }
}

static void end_replica(struct psync_replica *p, struct psync_replica_event *event,
                        const char *what, const char *line)
{
    p->state = PSYNC_REPLICA_REFUSED;
    snprintf(p->reason, sizeof p->reason, "%s%s%s", what, line[0] != '\0' ? ": " : "", line);
    event->kind = PSYNC_REPLICA_ENDED;
    event->reason = p->reason;
}

/* "+FULLRESYNC <replid> <offset>" */
static bool take_full_resync(struct psync_replica *p, const char *text,
                             struct psync_replica_event *event)
{
    size_t len = strlen(text);

    if (len < sizeof p->replid.hex + 2 || text[sizeof p->replid.hex] != ' ' ||
        !psync_parse_replid(text, sizeof p->replid.hex, &p->replid) ||
        !psync_parse_number(text + sizeof p->replid.hex + 1, len - sizeof p->replid.hex - 1,
                            &p->offset)) {
        return false;
    }
    p->has_replid = true;
    p->state = PSYNC_REPLICA_RDB_HEAD;
    event->kind = PSYNC_REPLICA_FULL_RESYNC;
    event->replid = p->replid;
    event->offset = p->offset;
    return true;
}

/* "+CONTINUE" or "+CONTINUE <replid>" */
static bool take_continue(struct psync_replica *p, const char *text,
                          struct psync_replica_event *event)
{
    if (!p->has_replid ||
        (*text != '\0' &&
         (*text != ' ' || !psync_parse_replid(text + 1, strlen(text + 1), &p->replid)))) {
        return false;
    }
    p->state = PSYNC_REPLICA_STREAM;
    event->kind = PSYNC_REPLICA_RESUMED;
    event->replid = p->replid;
    event->offset = p->offset;
    return true;
}

static void take_psync_reply(struct psync_replica *p, struct psync_replica_event *event)
{
    static const char full[] = "+FULLRESYNC ", go_on[] = "+CONTINUE";

    if (strncmp(p->line, full, sizeof full - 1) == 0 &&
        take_full_resync(p, p->line + sizeof full - 1, event)) {
        return;
    }
    if (strncmp(p->line, go_on, sizeof go_on - 1) == 0 &&
        take_continue(p, p->line + sizeof go_on - 1, event)) {
        return;
    }
    end_replica(p, event, p->line[0] == '-' ? "PSYNC was refused" : "unexpected reply to PSYNC",
                p->line);
}

static void take_rdb_head(struct psync_replica *p, struct psync_replica_event *event)
{
    static const char eof[] = "$EOF:";
    size_t len = strlen(p->line);

    if (strncmp(p->line, eof, sizeof eof - 1) == 0 && len == sizeof eof - 1 + PSYNC_MARK_BYTES) {
        memcpy(p->mark, p->line + sizeof eof - 1, PSYNC_MARK_BYTES);
        prepare_mark(p);
        p->state = PSYNC_REPLICA_RDB_MARKED;
        return;
    }
    if (p->line[0] != '$' || !psync_parse_number(p->line + 1, len - 1, &p->rdb_left_bytes)) {
        end_replica(p, event, "unexpected start of the RDB", p->line);
        return;
    }
    p->state = PSYNC_REPLICA_RDB_SIZED;
    if (p->rdb_left_bytes == 0) {
        p->state = PSYNC_REPLICA_STREAM;
        event->kind = PSYNC_REPLICA_RDB_END;
    }
}

/* A whole line of the handshake; an empty one is a keep-alive. */
static void take_line(struct psync_replica *p, struct buf *out, struct psync_replica_event *event)
{
    static const char *const named[] = {"AUTH", "PING", "REPLCONF listening-port", "REPLCONF capa"};
    char port[16];

    if (p->line[0] == '\0') {
        return;
    }
    if (p->state == PSYNC_REPLICA_PSYNC) {
        take_psync_reply(p, event);
        return;
    }
    if (p->state == PSYNC_REPLICA_RDB_HEAD) {
        take_rdb_head(p, event);
        return;
    }
    if (p->line[0] != '+') {
        char what[64];
        snprintf(what, sizeof what, "%s was refused", named[p->state]);
        end_replica(p, event, what, p->line);
        return;
    }
    if (p->state == PSYNC_REPLICA_AUTH) {
        put_ping(p, out);
    } else if (p->state == PSYNC_REPLICA_PING) {
        p->state = PSYNC_REPLICA_PORT;
        snprintf(port, sizeof port, "%d", p->announce_port);
        PUT_REQUEST(out, "REPLCONF", "listening-port", port);
    } else if (p->state == PSYNC_REPLICA_PORT) {
        p->state = PSYNC_REPLICA_CAPA;
        PUT_REQUEST(out, "REPLCONF", "capa", "eof", "capa", "psync2");
    } else {
        put_psync(p, out);
    }
}

static size_t take_line_bytes(struct psync_replica *p, const uint8_t *bytes, size_t size,
                              struct buf *out, struct psync_replica_event *event)
{
    const uint8_t *end = memchr(bytes, '\n', size);
    size_t len = end != NULL ? (size_t)(end - bytes) : size;

    if (len >= sizeof p->line - p->line_len) {
        p->line[p->line_len] = '\0';
        end_replica(p, event, "the reply is too long", p->line);
        return size;
    }
    memcpy(p->line + p->line_len, bytes, len);
    p->line_len += len;
    if (end == NULL) {
        return size;
    }
    if (p->line_len > 0 && p->line[p->line_len - 1] == '\r') {
        p->line_len--;
    }
    p->line[p->line_len] = '\0';
    p->line_len = 0;
    take_line(p, out, event);
    return len + 1;
}

static size_t take_sized(struct psync_replica *p, const uint8_t *bytes, size_t size,
                         struct psync_replica_event *event)
{
    if (p->rdb_left_bytes == 0) {
        p->state = PSYNC_REPLICA_STREAM;
        event->kind = PSYNC_REPLICA_RDB_END;
        return 0;
    }
    if (size == 0) {
        return 0;
    }
    size = size < p->rdb_left_bytes ? size : (size_t)p->rdb_left_bytes;
    p->rdb_left_bytes -= size;
    event->kind = PSYNC_REPLICA_RDB;
    event->bytes = bytes;
    event->size = size;
    return size;
}

/* How many bytes at the end of bytes may be the beginning of the mark. */
static size_t mark_prefix_at_end(const struct psync_replica *p, const uint8_t *bytes, size_t size)
{
    size_t len = size < PSYNC_MARK_BYTES - 1 ? size : PSYNC_MARK_BYTES - 1;

    while (len > 0 && memcmp(bytes + size - len, p->mark, len) != 0) {
        len--;
    }
    return len;
}

/* Bytes of a mark that was begun in an earlier piece. What turns out not to be the mark is told as
 * RDB, from the machine's own copy of the mark: it is the same bytes. */
static size_t take_begun_mark(struct psync_replica *p, const uint8_t *bytes, size_t size,
                              struct psync_replica_event *event)
{
    size_t taken = 0;

    while (taken < size && p->mark_matched > 0 && p->mark_matched < PSYNC_MARK_BYTES) {
        if (bytes[taken] == (uint8_t)p->mark[p->mark_matched]) {
            p->mark_matched++;
            taken++;
            continue;
        }
        size_t shorter = p->mark_fallback[p->mark_matched - 1];
        event->kind = PSYNC_REPLICA_RDB;
        event->bytes = (const uint8_t *)p->mark;
        event->size = p->mark_matched - shorter;
        p->mark_matched = shorter;
        return taken;
    }
    return taken;
}

static size_t take_marked(struct psync_replica *p, const uint8_t *bytes, size_t size,
                          struct psync_replica_event *event)
{
    size_t taken = 0;

    if (p->mark_matched > 0 && p->mark_matched < PSYNC_MARK_BYTES) {
        taken = take_begun_mark(p, bytes, size, event);
    }
    if (p->mark_matched == PSYNC_MARK_BYTES) {
        p->state = PSYNC_REPLICA_STREAM;
        p->wants_ack = true;
        event->kind = PSYNC_REPLICA_RDB_END;
        return taken;
    }
    if (event->kind != PSYNC_REPLICA_MORE || p->mark_matched > 0 || size == 0) {
        return taken;
    }
    MUST(taken == 0); /* a begun mark ends in an event or takes everything */
    const uint8_t *mark = memmem(bytes, size, p->mark, PSYNC_MARK_BYTES);
    size_t rdb = mark != NULL ? (size_t)(mark - bytes) : size - mark_prefix_at_end(p, bytes, size);
    p->mark_matched = mark != NULL ? PSYNC_MARK_BYTES : size - rdb;
    if (rdb > 0) {
        event->kind = PSYNC_REPLICA_RDB;
        event->bytes = bytes;
        event->size = rdb;
    } else if (mark != NULL) {
        p->state = PSYNC_REPLICA_STREAM;
        p->wants_ack = true;
        event->kind = PSYNC_REPLICA_RDB_END;
    }
    return rdb + p->mark_matched;
}

size_t psync_replica_take(struct psync_replica *p, const uint8_t *bytes, size_t size,
                          struct buf *out, struct psync_replica_event *event)
{
    size_t taken = 0, before;
    enum psync_replica_state state;

    *event = (struct psync_replica_event){.kind = PSYNC_REPLICA_MORE};
    do {
        before = taken;
        state = p->state;
        const uint8_t *at = bytes + taken;
        size_t left = size - taken;
        switch (state) {
        case PSYNC_REPLICA_AUTH:
        case PSYNC_REPLICA_PING:
        case PSYNC_REPLICA_PORT:
        case PSYNC_REPLICA_CAPA:
        case PSYNC_REPLICA_PSYNC:
        case PSYNC_REPLICA_RDB_HEAD:
            taken += left > 0 ? take_line_bytes(p, at, left, out, event) : 0;
            break;
        case PSYNC_REPLICA_RDB_SIZED:
            taken += take_sized(p, at, left, event);
            break;
        case PSYNC_REPLICA_RDB_MARKED:
            taken += take_marked(p, at, left, event);
            break;
        case PSYNC_REPLICA_STREAM:
            if (left > 0) {
                p->wants_ack = false;
                event->kind = PSYNC_REPLICA_STREAM_BYTES;
                event->bytes = at;
                event->size = left;
                taken = size;
            }
            break;
        case PSYNC_REPLICA_REFUSED:
            end_replica(p, event, "ended", "");
            return size;
        }
    } while (event->kind == PSYNC_REPLICA_MORE && (taken > before || p->state != state));
    return taken;
}

bool psync_replica_streams(const struct psync_replica *p)
{
    return p->state == PSYNC_REPLICA_STREAM;
}

bool psync_replica_wants_ack(const struct psync_replica *p)
{
    return p->state == PSYNC_REPLICA_STREAM && p->wants_ack;
}

void psync_replica_put_ack(struct buf *out, uint64_t offset)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, offset);
    PUT_REQUEST(out, "REPLCONF", "ACK", text);
}
