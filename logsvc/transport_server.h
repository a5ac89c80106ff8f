/* The log node's side of the transport: takes requests of many proxies, hands them to one server
 * thread, sends the replies. It knows nothing of the message format and promises little: a request
 * or a reply can be lost with its connection, and a reply is dropped when its peer doesn't read.
 * What comes over one connection comes in order and whole.
 *
 * open, close, wait, next, release and reply belong to one thread; wake may be called by any. The
 * first open starts the threads of the messaging library: never fork after it. */
#ifndef LOGSVC_TRANSPORT_SERVER_H
#define LOGSVC_TRANSPORT_SERVER_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections at one time. For one more the oldest one that has never sent a good message is closed
 * (transport_server_good); if all have, the one that has been silent for longest, if that is the
 * idle time or more (its peer may be gone without a word; one that is not, connects again); else
 * the new one is. */
enum { TRANSPORT_SERVER_CONNECTIONS_MAX = 256, TRANSPORT_SERVER_IDLE_MS = 30000 };

struct transport_server;

struct transport_server_config {
    const char *address; /* "host:port" to listen on; port 0: any free one. Copied. */
    /* The largest request. A connection that announces a larger one is closed; the others don't
     * notice. */
    size_t message_max_bytes;
    size_t reply_max_bytes; /* the largest reply; 0: the same */
    /* Requests received and not yet released; beyond it (by one message at most) receiving pauses,
     * which in the end stops the senders. At least message_max_bytes. */
    size_t queue_max_bytes;
    uint32_t idle_ms; /* 0: TRANSPORT_SERVER_IDLE_MS */
};

/* Whom to answer: a value, valid for ever; a reply to a connection that is gone is dropped. Numbers
 * of connections are never used again. */
struct transport_reply_to {
    uint64_t connection;
};

struct transport_request {
    const uint8_t *bytes; /* valid until released */
    size_t size;
    struct transport_reply_to from;
    bool good;  /* something good had come from there before */
    void *held; /* the transport's own */
};

/* Starts listening. ERR_INVALID: the address can't be understood; ERR_EXISTS: it is in use;
 * ERR_IO: anything else. Nothing is left behind on error. */
int transport_server_open(struct transport_server **out,
                          const struct transport_server_config *config) MUST_CHECK;
/* Closes all connections. All requests have been released. */
void transport_server_close(struct transport_server *s);

/* The port it listens on. */
uint16_t transport_server_port(const struct transport_server *s);

/* Waits until there is a request to take, a wake, or timeout_ms have passed (0: only looks; < 0: no
 * limit). Whether there is a request. */
bool transport_server_wait(struct transport_server *s, int timeout_ms);
/* Makes the present or the next wait return. */
void transport_server_wake(struct transport_server *s);

/* Tells of a connection that has ended; false: of none more. What it had sent has been queued
 * before. Waiting ends when there is one. Of very many at once some are not told. */
bool transport_server_closed(struct transport_server *s, uint64_t *connection);

/* Takes the oldest of the requests that the last wait has found; false: there is none left. Each
 * one taken must be released, in any order. */
bool transport_server_next(struct transport_server *s, struct transport_request *out);
void transport_server_release(struct transport_server *s, struct transport_request *request);
/* What that connection says makes sense: it is one of ours. */
void transport_server_good(struct transport_server *s, const struct transport_reply_to *from);

/* Answers a request with head followed by payload (copied; either may be empty). Several answers to
 * one request are allowed. Never waits for the peer: what the kernel doesn't take waits here, up to
 * 64 replies or 8 MiB; more are dropped. */
void transport_server_reply(struct transport_server *s, const struct transport_reply_to *to,
                            const void *head, size_t head_size, const void *payload,
                            size_t payload_size);

#endif
