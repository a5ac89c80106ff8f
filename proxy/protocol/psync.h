/* The conversations of Redis' replication protocol (Redis replication.c), both ends, as pure state
 * machines: bytes in, events and bytes out. capture.c (the replica of our Redis) and feed.c (the
 * master of our Redis) put them on sockets.
 *
 * An offset is the position in the replication stream that a side has; on the wire, PSYNC names the
 * first byte that is wanted, which is one more. */
#ifndef PROXY_PROTOCOL_PSYNC_H
#define PROXY_PROTOCOL_PSYNC_H

#include "common/buf.h"
#include "common/err.h"
#include "logsvc/term.h"
#include "proxy/protocol/resp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PSYNC_MARK_BYTES = 40,          /* of an RDB of unknown size: "$EOF:<mark>" … <mark> */
    PSYNC_LINE_MAX_BYTES = 512,     /* of a reply to the handshake */
    PSYNC_REASON_MAX_BYTES = 640,   /* of a reason, with its NUL */
    PSYNC_REQUEST_MAX_BYTES = 2048, /* of a request of a replica: far above what Redis sends */
};

/* A replid, and an offset or size (decimal, at most 2^63-1: Redis' are signed), as both ends write
 * them; the whole text must be one. */
bool psync_parse_replid(const char *text, size_t len, struct replid *out);
bool psync_parse_number(const char *text, size_t len, uint64_t *out);

/* --- the replica's end --- */

struct psync_replica_config {
    const char *user;     /* NULL or "": default user */
    const char *password; /* NULL or "": no AUTH */
    int announce_port;
    const struct replid *replid; /* NULL: ask for a full resync */
    uint64_t offset;             /* of replid's stream, that we have */
};

/* In the order of the conversation; each waits for the reply to what it is named after. A PSYNC
 * that arrives while Redis still has a reply to send is refused by it, so nothing is pipelined. */
enum psync_replica_state {
    PSYNC_REPLICA_AUTH,
    PSYNC_REPLICA_PING,
    PSYNC_REPLICA_PORT,
    PSYNC_REPLICA_CAPA,
    PSYNC_REPLICA_PSYNC,
    PSYNC_REPLICA_RDB_HEAD,   /* waits for "$<size>" or "$EOF:<mark>" */
    PSYNC_REPLICA_RDB_SIZED,  /* until size bytes came */
    PSYNC_REPLICA_RDB_MARKED, /* until the mark came */
    PSYNC_REPLICA_STREAM,
    PSYNC_REPLICA_REFUSED, /* ended; takes no more */
};

struct psync_replica {
    enum psync_replica_state state;
    int announce_port;
    bool has_replid;
    struct replid replid;
    uint64_t offset;
    uint64_t rdb_left_bytes; /* RDB_SIZED */
    bool wants_ack;          /* see psync_replica_wants_ack */
    size_t mark_matched;     /* RDB_MARKED: so much of the mark was seen, and is not told as RDB */
    uint8_t mark_fallback[PSYNC_MARK_BYTES];
    char mark[PSYNC_MARK_BYTES];
    size_t line_len;
    char line[PSYNC_LINE_MAX_BYTES];
    char reason[PSYNC_REASON_MAX_BYTES];
};

enum psync_replica_event_kind {
    PSYNC_REPLICA_MORE,        /* everything was taken */
    PSYNC_REPLICA_FULL_RESYNC, /* replid, offset: an RDB comes, then the stream behind offset */
    PSYNC_REPLICA_RDB,         /* bytes, size */
    PSYNC_REPLICA_RDB_END,
    PSYNC_REPLICA_RESUMED,      /* replid: the stream goes on behind the offset asked for */
    PSYNC_REPLICA_STREAM_BYTES, /* bytes, size: as they came; all of them count in the offset */
    PSYNC_REPLICA_ENDED,        /* reason: refused, or not what Redis says */
};

struct psync_replica_event {
    enum psync_replica_event_kind kind;
    struct replid replid;
    uint64_t offset;
    const uint8_t *bytes; /* in the input or in the machine: valid until the next call */
    size_t size;
    const char *reason; /* in the machine */
};

/* Starts the conversation; the first request is appended to out. config isn't kept. */
void psync_replica_init(struct psync_replica *p, const struct psync_replica_config *config,
                        struct buf *out);

/* Takes input up to the next event; requests to be sent are appended to out. Returns how many bytes
 * were taken, which may be 0 with an event. Call again with what is left until the event is
 * PSYNC_REPLICA_MORE or PSYNC_REPLICA_ENDED. */
size_t psync_replica_take(struct psync_replica *p, const uint8_t *bytes, size_t size,
                          struct buf *out, struct psync_replica_event *event);

bool psync_replica_streams(const struct psync_replica *p);

/* After an RDB with a mark, Redis sends the stream only when it has had a REPLCONF ACK, and may
 * miss one that comes too early: acknowledge again and again while this is true. */
bool psync_replica_wants_ack(const struct psync_replica *p);

/* Appends REPLCONF ACK; it has no reply. Only after the RDB. */
void psync_replica_put_ack(struct buf *out, uint64_t offset);

/* --- the master's end --- */

struct psync_master {
    const char *secret; /* kept by reference; NULL or "": none is asked for */
    bool authenticated;
    bool asked; /* PSYNC came: from now on, acknowledgements only */
    bool ended;
    struct resp_framer *framer;
    struct buf in; /* bounded: see psync_master_put */
    char reason[PSYNC_REASON_MAX_BYTES];
};

enum psync_master_event_kind {
    PSYNC_MASTER_MORE,  /* everything was taken */
    PSYNC_MASTER_ASKED, /* PSYNC: has_replid, replid, offset */
    PSYNC_MASTER_ACKED, /* offset */
    PSYNC_MASTER_ENDED, /* reason: send what is in out, then close */
};

struct psync_master_event {
    enum psync_master_event_kind kind;
    bool has_replid; /* false: PSYNC ? -1 */
    struct replid replid;
    uint64_t offset; /* of replid's stream, that the replica has */
    const char *reason;
};

void psync_master_init(struct psync_master *m, const char *secret);
void psync_master_fini(struct psync_master *m);

/* Takes what was read, then psync_master_next tells what it says, until PSYNC_MASTER_MORE (put
 * more) or PSYNC_MASTER_ENDED. Replies are appended to out. At most PSYNC_REQUEST_MAX_BYTES stay in
 * the machine once it says MORE. */
void psync_master_put(struct psync_master *m, const uint8_t *bytes, size_t size);
void psync_master_next(struct psync_master *m, struct buf *out, struct psync_master_event *event);

/* The answers to PSYNC. An RDB's header may come much later than the line before it; "\n" keeps the
 * replica patient in between, and nowhere else. */
void psync_master_put_full_resync(struct buf *out, const struct replid *replid, uint64_t offset);
void psync_master_put_rdb_head(struct buf *out, uint64_t size_bytes);
void psync_master_put_continue(struct buf *out, const struct replid *replid);

#endif
