/* The messages between proposers, readers and log nodes, and their bytes (all little endian):
 *
 *   0 magic u32 "HFW1"     4 version u16     6 type u8       7 channel u8
 *   8 crc u32              12 body_bytes u32 16 data_bytes u32 20 reserved u32 (0)
 *  24 cluster_id[16]       40 log_id u64     48 term u64     56 generation u64
 *  64 session u64          72 seq u64        80 conf_term u64
 *  88 body[body_bytes], then data[data_bytes]
 *
 * Bytes 0 … 79 keep their places in all versions, so that one version can refuse another by name.
 * (conf_term, generation) is the id of the configuration that the sender goes by (conf.h).
 *
 * crc is the CRC-32C of bytes 4 … 7 and 12 … end of body, and of the data too unless the data are
 * log records: those carry a checksum in each header and one of each payload that was made where
 * the bytes left Redis and is checked where they are stored. `data` are the bulk bytes of a message
 * (log records, pieces of a snapshot); a decoded message points into the bytes it was read from, so
 * they are copied once on the way in and once on the way out.
 *
 * A reply echoes session, seq and channel of its request; its term is the acceptor's current one.
 * docs/log-protocol.md says what each message means and when it is refused. */
#ifndef LOGSVC_WIRE_H
#define LOGSVC_WIRE_H

#include "common/err.h"
#include "logsvc/conf.h"
#include "logsvc/history.h"
#include "logsvc/record.h"
#include "logsvc/roster.h"
#include "logsvc/storage.h"
#include "logsvc/term.h"

#include <stddef.h>

enum { WIRE_MAGIC = 0x31574648, WIRE_VERSION = 3, WIRE_HEADER_BYTES = 88 };

/* A message is never larger than its data plus this (for the transport's receive limit). */
enum {
    WIRE_OVERHEAD_MAX =
        WIRE_HEADER_BYTES + HISTORY_BYTES_MAX + CONF_BYTES_MAX + ROSTER_BYTES_MAX + 512
};
/* And its data never larger than this, whatever is configured. */
enum { WIRE_DATA_MAX = 64 << 20 };

enum wire_channel { WIRE_PROPOSER = 0, WIRE_READER = 1, WIRE_SNAPSHOT = 2, WIRE_LOOKOUT = 3 };

#define WIRE_TYPE_MAP(X)                                                                           \
    X(WIRE_HELLO, 1, hello)                                                                        \
    X(WIRE_HELLO_REPLY, 2, hello_reply)                                                            \
    X(WIRE_VOTE, 3, vote)                                                                          \
    X(WIRE_VOTE_REPLY, 4, vote_reply)                                                              \
    X(WIRE_ELECTED, 5, elected)                                                                    \
    X(WIRE_ELECTED_REPLY, 6, elected_reply)                                                        \
    X(WIRE_APPEND, 7, append)                                                                      \
    X(WIRE_APPEND_REPLY, 8, append_reply)                                                          \
    X(WIRE_READ, 9, read)                                                                          \
    X(WIRE_READ_REPLY, 10, read_reply)                                                             \
    X(WIRE_RELEASE, 11, release)                                                                   \
    X(WIRE_RELEASE_REPLY, 12, release_reply)                                                       \
    X(WIRE_STATUS, 13, status)                                                                     \
    X(WIRE_STATUS_REPLY, 14, status_reply)                                                         \
    X(WIRE_SNAP_BEGIN, 15, snap_begin)                                                             \
    X(WIRE_SNAP_BEGIN_REPLY, 16, snap_reply)                                                       \
    X(WIRE_SNAP_WRITE, 17, snap_write)                                                             \
    X(WIRE_SNAP_WRITE_REPLY, 18, snap_reply)                                                       \
    X(WIRE_SNAP_COMMIT, 19, snap_commit)                                                           \
    X(WIRE_SNAP_COMMIT_REPLY, 20, snap_reply)                                                      \
    X(WIRE_SNAP_LATEST, 21, snap_latest)                                                           \
    X(WIRE_SNAP_LATEST_REPLY, 22, snap_latest_reply)                                               \
    X(WIRE_SNAP_READ, 23, snap_read)                                                               \
    X(WIRE_SNAP_READ_REPLY, 24, snap_read_reply)                                                   \
    X(WIRE_REFUSED, 25, refused)                                                                   \
    X(WIRE_MEND, 27, mend)                                                                         \
    X(WIRE_MEND_REPLY, 28, mend_reply)                                                             \
    X(WIRE_CONFIG, 29, config)                                                                     \
    X(WIRE_CONFIG_REPLY, 30, config_reply)                                                         \
    X(WIRE_SNAP_LIST, 31, snap_list)                                                               \
    X(WIRE_SNAP_LIST_REPLY, 32, snap_list_reply)                                                   \
    X(WIRE_SNAP_DELETE, 33, snap_mark)                                                             \
    X(WIRE_SNAP_DELETE_REPLY, 34, snap_mark_reply)                                                 \
    X(WIRE_SNAP_VERIFIED, 35, snap_mark)                                                           \
    X(WIRE_SNAP_VERIFIED_REPLY, 36, snap_mark_reply)                                               \
    X(WIRE_TRIM, 37, trim)                                                                         \
    X(WIRE_TRIM_REPLY, 38, log_reply)                                                              \
    X(WIRE_REBASE, 39, rebase)                                                                     \
    X(WIRE_REBASE_REPLY, 40, log_reply)                                                            \
    X(WIRE_WATCH, 41, watch)                                                                       \
    X(WIRE_WATCH_REPLY, 42, watch_reply)

enum wire_type {
#define WIRE_ENUM(name, code, field) name = code,
    WIRE_TYPE_MAP(WIRE_ENUM)
#undef WIRE_ENUM
};

/* Why a node refuses; sent as WIRE_REFUSED in answer to any request. */
enum wire_refusal {
    WIRE_REFUSED_CLUSTER = 1,    /* another cluster's id */
    WIRE_REFUSED_LOG = 2,        /* no such log here */
    WIRE_REFUSED_LEASE = 3,      /* the lease length differs */
    WIRE_REFUSED_VERSION = 4,    /* another version of this format */
    WIRE_REFUSED_GENERATION = 5, /* a lower configuration than the own (see the reply's) */
    WIRE_REFUSED_SESSION = 6,    /* an older session, or one that was not greeted */
    WIRE_REFUSED_TERM = 7,       /* lower than the current term (see the reply's term) */
    WIRE_REFUSED_ELECTED = 8,    /* an append (or so) before Elected was accepted */
    WIRE_REFUSED_DIVERGED = 9,   /* Elected's start is not the highest common point found here */
    WIRE_REFUSED_BAD = 10,       /* a garbled or senseless message */
    WIRE_REFUSED_SPACE = 11,     /* the disk is full; nothing was changed */
    WIRE_REFUSED_NOT_FOUND = 12, /* no such bytes, no such snapshot */
    WIRE_REFUSED_CORRUPT = 13,   /* the stored bytes are rotten there */
    WIRE_REFUSED_MEMBER = 14,    /* no member of the configuration, or another disk is meant */
    WIRE_REFUSED_NEEDED = 15,    /* the snapshot is the one that the log here stands on */
};

/* NUL-terminated texts in fixed room; longer ones are cut when encoded. */
enum { WIRE_NAME_MAX = CONF_TEXT_MAX, WIRE_REASON_MAX = 127 };
/* "Never", where a span of time is told. */
#define WIRE_NEVER UINT64_MAX
/* "None", where an offset of a snapshot is told. */
#define WIRE_NO_SNAPSHOT UINT64_MAX

/* The version of an engine (a Redis) in one number that grows with it, as WIRE_ENGINE(7, 0, 15);
 * 0: not known. What an engine of one major.minor writes, one of a lower may not understand. */
#define WIRE_ENGINE(major, minor, patch)                                                           \
    ((uint32_t)(major) << 16 | (uint32_t)(minor) << 8 | (uint32_t)(patch))
#define WIRE_ENGINE_MINOR(engine) ((engine) >> 8)

/* An encoded history (history_encode); empty size counts as the empty history. Decoded messages
 * point into their input, and the bytes have been checked with history_decode. */
struct wire_history {
    const uint8_t *bytes;
    size_t size;
};

/* An encoded configuration (conf_encode); empty size counts as none. Decoded messages point into
 * their input, and the bytes have been checked with conf_decode. */
struct wire_conf {
    const uint8_t *bytes;
    size_t size;
};

/* What a node's log looks like. */
struct wire_log {
    bool empty;            /* neither history nor bytes; the other fields mean nothing */
    uint64_t begin;        /* first offset kept */
    uint64_t flush_off;    /* end of what is durable */
    uint64_t unit_off;     /* end of the last whole unit in it: what counts in votes and commits */
    uint64_t uncertain_to; /* > unit_off: may have acknowledged bytes up to here that it lost */
    uint64_t commit;       /* highest commit offset that it knows; 0: none */
    uint32_t chain_crc;    /* of all payload bytes up to flush_off */
    uint32_t begin_chain;  /* the same at begin: of all that there was in front of it */
    struct storage_holes holes; /* what rotted below flush_off, and is to be mended */
};

/* The question of a proposer (pre-vote: do you hear a leader?) and the start of a session. The
 * envelope's term is the one that the sender has won, 0 if it has not. */
struct wire_hello {
    uint32_t lease_ms;
    char name[WIRE_NAME_MAX + 1]; /* of the proposer: its clients' address; for people */
};

struct wire_hello_reply {
    char node_id[WIRE_NAME_MAX + 1];
    struct disk_id disk;
    uint32_t lease_ms;
    uint64_t elapsed_ns; /* since the last accepted append, or the process' start; see WIRE_NEVER */
    uint64_t heard_ns; /* since a leader or candidate was last heard; WIRE_NEVER: not since start */
    struct wire_log log;
    uint64_t snapshot;              /* offset of the newest that counts, or WIRE_NO_SNAPSHOT */
    char leader[WIRE_NAME_MAX + 1]; /* name of the last leader that was accepted; may be "" */
    struct wire_history history;    /* whole */
    struct wire_conf conf;          /* the highest one that is durable there */
};

struct wire_vote {
    uint32_t lease_ms;
    struct disk_id to;     /* the disk that is meant */
    struct wire_conf conf; /* under which the candidate counts */
};

struct wire_vote_reply {
    bool granted;        /* if not: the envelope's term says why, and nothing else is told */
    uint64_t elapsed_ns; /* as in hello_reply */
    struct wire_log log;
    struct wire_history history; /* up to log.unit_off */
};

struct wire_elected {
    struct disk_id to;            /* the disk that is meant */
    uint64_t start;               /* the highest common point; the log is cut to end there */
    uint32_t chain_crc;           /* at start; used if reset */
    bool reset;                   /* no common term: the log is thrown away and begins at start */
    char name[WIRE_NAME_MAX + 1]; /* of the leader: its clients' address */
    uint32_t engine;              /* the leader's */
    struct wire_history history;  /* the leader's, its own term last */
    struct wire_conf conf;        /* the leader's, of its term */
};

struct wire_elected_reply {
    struct wire_log log;
};

/* data: one or more whole encoded records (header and payload), none of them RECORD_IDLE; or
 * nothing: a heartbeat. */
struct wire_append {
    uint64_t begin;  /* where the data begin; must be the end of the acceptor's log */
    uint64_t commit; /* the leader's commit offset; 0: nothing committed in its term yet */
};

/* Sent when all that it covers is durable. It also answers all earlier appends of the session. */
struct wire_append_reply {
    bool gap;           /* refused: begin was not write_off. Nothing was stored, no lease given */
    uint64_t write_off; /* expected next */
    uint64_t unit_off;  /* end of the last durable whole unit */
    uint64_t commit;
    struct storage_holes holes;
};

/* Envelope term 0: whatever is known to be committed here, without a fence. Else: everything
 * durable, if the term is exactly the acceptor's. */
struct wire_read {
    uint64_t from;
    uint32_t max_bytes;
};

/* data: whole encoded records, the first one containing `from`; may hold RECORD_IDLE ones.
 * Nothing: there is nothing behind `from` that may be read yet. */
struct wire_read_reply {
    uint64_t from;
    uint64_t limit; /* end of what could be read: the commit, or what is durable (fenced) */
    struct wire_log log;
};

/* Bytes for a hole of the log, from the leader of the term, fenced as an append is. data: whole
 * encoded records as another node keeps them, the first one beginning at `from`. */
struct wire_mend {
    uint64_t from; /* must be the node's holes.next */
};

/* Sent at once: what was taken counts only when the hole is gone. */
struct wire_mend_reply {
    struct storage_holes holes;
};

/* The leader has stopped serving for good. */
struct wire_release {
    char heir[WIRE_NAME_MAX + 1]; /* who is to lead next: its clients' address; "": whoever */
};

struct wire_release_reply {
    bool released;
};

struct wire_status {
    uint8_t none;
};

struct wire_status_reply {
    struct wire_hello_reply node; /* as if greeted */
};

/* Shipping a snapshot: fenced by term (exactly the acceptor's). data of snap_write: the bytes at
 * `at`, which must be the end of what was written. */
struct wire_snap_begin {
    struct snapshot_info info;
};

struct wire_snap_write {
    uint64_t offset; /* which snapshot */
    uint64_t at;
};

struct wire_snap_commit {
    uint64_t offset;
};

struct wire_snap_reply {
    uint64_t offset;
    uint64_t next; /* bytes written so far: the next write's `at` */
};

/* The newest with offset <= limit that belongs to this node's history, and counts (from which a
 * Redis may be brought up); or also one that does not. */
struct wire_snap_latest {
    uint64_t limit;
    bool any;
};

struct wire_snap_latest_reply {
    bool found;
    struct snapshot_info info;
};

struct wire_snap_read {
    uint64_t offset;
    uint64_t at;
    uint32_t max_bytes;
};

/* data: the bytes at `at`; nothing: the end. */
struct wire_snap_read_reply {
    uint64_t offset;
    uint64_t at;
};

/* All that belong to this node's history. */
struct wire_snap_list {
    uint8_t none;
};

/* An encoded list (snapinfo_list_*); as wire_history. */
struct wire_snaps {
    const uint8_t *bytes;
    size_t size;
};

struct wire_snap_list_reply {
    struct wire_log log;
    struct wire_snaps snaps;
};

/* SNAP_VERIFIED, SNAP_DELETE: which snapshot, by offset and checksum; fenced by term (exactly the
 * acceptor's). What a log stands on is not deleted. */
struct wire_snap_mark {
    uint64_t offset;
    uint32_t crc;
    uint64_t verified_ms; /* SNAP_VERIFIED: when; not 0 */
};

struct wire_snap_mark_reply {
    uint64_t offset;
};

/* From the accepted leader: what is below `to` may be forgotten, because a quorum has that snapshot
 * (at or past `to`), verified. The node forgets as much as it safely can. */
struct wire_trim {
    uint64_t to;
    uint64_t snapshot; /* its offset … */
    uint32_t crc;      /* … and checksum */
};

/* From the accepted leader: the log here ends below all that others still have. It begins anew at
 * `begin`, which is committed. */
struct wire_rebase {
    uint64_t begin;
    uint32_t chain_crc; /* there */
};

/* TRIM, REBASE: as it is now. */
struct wire_log_reply {
    struct wire_log log;
};

/* A new configuration, from the accepted leader; the reply's envelope has the id of what is durable
 * there then. */
struct wire_config {
    struct wire_conf conf;
};

struct wire_config_reply {
    uint8_t none;
};

struct wire_refused {
    uint32_t code;      /* enum wire_refusal */
    uint8_t to;         /* type of the request */
    uint64_t write_off; /* the end of the log here, if that matters */
    char reason[WIRE_REASON_MAX + 1];
};

/* An encoded roster; as wire_history. */
struct wire_roster {
    const uint8_t *bytes;
    size_t size;
};

/* A proxy says who it is, and asks how things stand. Answered at once, and again, with the seq of
 * the newest question, when a leader was accepted, has released, or has closed its link; to who
 * follows also when an append without records has told of a commit. */
struct wire_watch {
    uint32_t lease_ms;
    char name[WIRE_NAME_MAX + 1];
    char address[WIRE_NAME_MAX + 1]; /* of its clients: host:port */
    uint8_t role;                    /* enum roster_role */
    bool synced;
    uint64_t offset, needs; /* as in its roster_entry */
    uint32_t sentinel_port; /* where it answers as a Sentinel; 0: nowhere */
    struct log_term known;  /* the last term of the history that it has; 0: none */
};

struct wire_watch_reply {
    uint64_t heard_ns; /* as in hello_reply; WIRE_NEVER also: it has released, or its link closed */
    struct term leader_term;        /* whose Elected was accepted last; 0: none since the start */
    char leader[WIRE_NAME_MAX + 1]; /* its clients' address */
    char heir[WIRE_NAME_MAX + 1];   /* of a leader that has released within the last lease */
    uint64_t commit;                /* highest commit offset that it knows; 0: none */
    uint64_t begin;                 /* first offset kept */
    bool empty;                     /* neither history nor bytes */
    uint32_t engine;                /* the highest that a leader of this log has had */
    struct wire_roster roster;
    struct wire_history history; /* whole; empty if its last term is the one known */
};

struct wire_msg {
    enum wire_type type;
    uint8_t channel; /* enum wire_channel */
    uint8_t cluster_id[16];
    uint64_t log_id;
    struct term term;
    struct conf_id conf; /* of the configuration that the sender goes by */
    uint64_t session;
    uint64_t seq;
    union {
        struct wire_hello hello;
        struct wire_hello_reply hello_reply;
        struct wire_vote vote;
        struct wire_vote_reply vote_reply;
        struct wire_elected elected;
        struct wire_elected_reply elected_reply;
        struct wire_append append;
        struct wire_append_reply append_reply;
        struct wire_read read;
        struct wire_read_reply read_reply;
        struct wire_release release;
        struct wire_release_reply release_reply;
        struct wire_status status;
        struct wire_status_reply status_reply;
        struct wire_snap_begin snap_begin;
        struct wire_snap_write snap_write;
        struct wire_snap_commit snap_commit;
        struct wire_snap_reply snap_reply;
        struct wire_snap_latest snap_latest;
        struct wire_snap_latest_reply snap_latest_reply;
        struct wire_snap_read snap_read;
        struct wire_snap_read_reply snap_read_reply;
        struct wire_snap_list snap_list;
        struct wire_snap_list_reply snap_list_reply;
        struct wire_snap_mark snap_mark;
        struct wire_snap_mark_reply snap_mark_reply;
        struct wire_trim trim;
        struct wire_rebase rebase;
        struct wire_log_reply log_reply;
        struct wire_config config;
        struct wire_config_reply config_reply;
        struct wire_refused refused;
        struct wire_mend mend;
        struct wire_mend_reply mend_reply;
        struct wire_watch watch;
        struct wire_watch_reply watch_reply;
    };
    const uint8_t *data; /* append, mend, read_reply, snap_write, snap_read_reply; else nothing */
    size_t data_size;
};

/* Bytes of the whole encoded message, data included. */
size_t wire_size(const struct wire_msg *msg);

/* Writes wire_size(msg) bytes to out. */
void wire_encode(const struct wire_msg *msg, uint8_t *out);

/* The same without copying the data: wire_head_size(msg) bytes, behind which msg->data are sent. */
size_t wire_head_size(const struct wire_msg *msg);
void wire_encode_head(const struct wire_msg *msg, uint8_t *out);

/* Reads exactly one message; texts are copied, histories and data point into bytes. Checked: all
 * lengths, checksums, histories, configurations, and that the data of append, mend and read_reply
 * are whole records with good headers, one behind the other (their payloads are not looked at).
 * ERR_REFUSED: another version of the format; only the envelope's cluster_id … seq are set, as far
 * as this version can tell. ERR_PROTOCOL: garbled; msg is undefined. */
int wire_decode(const uint8_t *bytes, size_t size, struct wire_msg *msg) MUST_CHECK;

/* Whether a node answers it (as opposed to: it is an answer). */
bool wire_is_request(enum wire_type type);
/* "APPEND_REPLY"; "unknown" for what is none. */
const char *wire_type_name(enum wire_type type);
/* "the cluster id differs", …; never NULL. */
const char *wire_refusal_text(uint32_t code);

/* Walks over encoded records: reads the header at bytes (size left) and returns its payload in
 * *payload and the whole size in *size_bytes. ERR_CORRUPT: not a whole record with a good header.
 */
int wire_record(const uint8_t *bytes, size_t size, struct record *r, const uint8_t **payload,
                size_t *size_bytes) MUST_CHECK;

/* A reply to a request: type, and what is echoed; the rest is zero but what is given. */
struct wire_msg wire_reply_to(const struct wire_msg *request, enum wire_type type, struct term term,
                              struct conf_id conf);

/* Fills in a refusal of a request; reason NULL: the code's own text. */
struct wire_msg wire_refuse(const struct wire_msg *request, struct term term, struct conf_id conf,
                            enum wire_refusal code, const char *reason);

#endif
