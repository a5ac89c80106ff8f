/* An outbox: requests on their way to another server over one connection, in order, together with
 * their bytes; what a link to the leading proxy (or to our Redis as a replica) thinks with. Pure:
 * it is told what the connection took, what came back, and that it was lost.
 *
 *     first                                        last        requests, by next_in_batch
 *     | answered next | sent | cut by `written` | not sent |
 *     begin ─────────────────── written ───────────── end      positions of their bytes
 *
 * A request's bytes stay until it is answered. So when the connection is lost, it is known of each
 * whether it can have been executed: only if it was sent whole and got no answer. Those are handed
 * back as unknown, but for pure reads (REQUEST_RETRY), which stay and are sent again, as does what
 * was never sent whole.
 *
 * A proxy that doesn't serve says so with an error that nobody else can make up, since it holds the
 * connection's nonce:
 *
 *     -HOLDFASTMOVED <nonce> <term> <host:port of the leader, or "-">
 *
 * and executes nothing of what comes behind on that connection (router.h). So everything from the
 * request on that got this answer may safely be sent elsewhere. */
#ifndef PROXY_FORWARD_OUTBOX_H
#define PROXY_FORWARD_OUTBOX_H

#include "proxy/clients/request.h"
#include "proxy/protocol/resp.h"

enum { OUTBOX_NONCE_LEN = 16, OUTBOX_HEAD_BYTES = 192 };

/* How the proxy that leads is told whether the client waits for commits. */
#define OUTBOX_SYNC_ON  "*3\r\n$8\r\nHOLDFAST\r\n$4\r\nSYNC\r\n$2\r\nON\r\n"
#define OUTBOX_SYNC_OFF "*3\r\n$8\r\nHOLDFAST\r\n$4\r\nSYNC\r\n$3\r\nOFF\r\n"

struct outbox {
    struct request_pool *pool; /* where requests go whose client has gone */
    struct request *first, *last;
    size_t count;
    struct buf bytes;
    uint64_t begin;   /* position of the first of bytes */
    uint64_t written; /* up to here the connection took them */
    bool linked;      /* between outbox_begin and outbox_lost */
    int db, resp;     /* of the connection behind all bytes; -1: not known */
    bool async;       /* what it was told of HOLDFAST SYNC, likewise */
    struct resp_reply_framer framer;
    char nonce[OUTBOX_NONCE_LEN + 1];
    char head[OUTBOX_HEAD_BYTES]; /* of an error, to see whether it says "moved" */
    size_t head_len;
};

void outbox_init(struct outbox *o, struct request_pool *pool);
/* The outbox is empty. */
void outbox_fini(struct outbox *o);

/* Puts a request, as its client means it, at the end. r->queued_ns is the caller's to set. */
void outbox_add(struct outbox *o, struct request *r, unsigned db, unsigned resp,
                const struct resp_arg *argv, size_t argc);
/* The same with bytes that are one whole command, or (skips > 0) a block of which only the last
 * reply counts, behind that many others; REQUEST_SELECTS tells that there is a SELECT in it. */
void outbox_add_bytes(struct outbox *o, struct request *r, unsigned db, unsigned resp,
                      const void *bytes, size_t size, uint32_t skips);

/* A new connection is ready: database 0, RESP2, nothing sent. Everything waits to be sent (again);
 * requests whose client has gone are forgotten. nonce: OUTBOX_NONCE_LEN characters, or "". */
void outbox_begin(struct outbox *o, const char *nonce);

/* What is to be sent next; size 0: nothing. */
const uint8_t *outbox_unsent(const struct outbox *o, size_t *size);
void outbox_wrote(struct outbox *o, size_t size);

enum outbox_says {
    OUTBOX_GOES_ON,
    OUTBOX_MOVED, /* the head says so, ended by 0; from the first request on nothing was executed */
    OUTBOX_BROKEN, /* what came is no reply, or none that was asked for */
};

/* Takes bytes from the connection. Requests that are answered with them leave the outbox and are
 * handed to answered(), which must not use the outbox. Behind OUTBOX_MOVED and OUTBOX_BROKEN
 * nothing more may be taken: outbox_lost is next. */
enum outbox_says outbox_take(struct outbox *o, const uint8_t *bytes, size_t size,
                             void (*answered)(void *ctx, struct request *r), void *ctx) MUST_CHECK;

/* Whether an error (its head, ended by 0) says "moved" with this nonce. */
bool outbox_error_is_moved(const char *head, const char *nonce);

/* The connection has ended. Returns those of whom nobody knows whether they were executed, by
 * next_in_batch; they have left the outbox. moved: the other side said that nothing was. */
struct request *outbox_lost(struct outbox *o, bool moved) MUST_CHECK;

/* Takes out the requests at the head that wait since before that time; only while there is no
 * connection. By next_in_batch; none of them was executed. */
struct request *outbox_expire(struct outbox *o, uint64_t queued_before_ns) MUST_CHECK;

/* Takes the first request out, as it is; NULL: there is none. Only while there is no connection.
 * Its command is at *bytes until the outbox is used again. */
struct request *outbox_take_first(struct outbox *o, const uint8_t **bytes) MUST_CHECK;

/* Something was sent whole that has no answer yet. */
bool outbox_awaits(const struct outbox *o);

#endif
