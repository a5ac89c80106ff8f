/* The capture: a connection to our Redis as its replica. It speaks PSYNC, takes the RDB of a full
 * resync, then the replication stream, and acknowledges what is committed. It decides
 * nothing: it tells its owner what came. psync.h holds the pure part (the conversation). */
#ifndef PROXY_ENGINE_CAPTURE_H
#define PROXY_ENGINE_CAPTURE_H

#include "common/err.h"
#include "logsvc/term.h"

#include <stddef.h>

struct event_base;
struct capture;

struct capture_config {
    const char *host; /* IP address */
    int port;
    const char *user;      /* NULL or "": default user */
    const char *password;  /* NULL or "": no AUTH; borrowed, and read at each start */
    int announce_port;     /* REPLCONF listening-port */
    uint32_t timeout_ms;   /* of silence, from the connect on; the stream is never silent for long
                              (Redis pings every repl-ping-replica-period, 10 s by default; where
                              that is long, the owner has to see to it) */
    size_t read_max_bytes; /* at most this much is read in one turn of the loop */
};

/* Called from the event loop, never from within capture_start or capture_stop. capture_stop may be
 * called from each of them, capture_destroy may not. Bytes are valid during the call. */
struct capture_events {
    void (*full_resync)(void *ctx, const struct replid *replid, uint64_t offset);
    void (*rdb)(void *ctx, const void *bytes, size_t size);
    void (*rdb_end)(void *ctx);
    /* The stream goes on exactly at the offset asked for, under this replid (may be new). */
    void (*resumed)(void *ctx, const struct replid *replid);
    void (*stream)(void *ctx, const void *bytes, size_t size);
    /* Ended, by the peer, an error or a timeout; reason is for the log. capture_start may be called
     * again from here. Not called after capture_stop. */
    void (*closed)(void *ctx, const char *reason);
};

/* The configuration is copied. */
struct capture *capture_create(struct event_base *base, const struct capture_config *config,
                               const struct capture_events *events, void *ctx);
void capture_destroy(struct capture *c);

/* Connects and asks for the stream from offset on (PSYNC replid offset+1), or for a full resync if
 * replid is NULL; Redis may answer the former with a full resync, too. Only while stopped or closed
 * (ERR_STATE). ERR_INVALID, ERR_IO: could not even begin; no event follows. */
int capture_start(struct capture *c, const struct replid *replid, uint64_t offset) MUST_CHECK;
void capture_stop(struct capture *c);

/* Acknowledges the committed offset to Redis: if it moved, at the end of this turn of the loop
 * (once a turn, however often this is called), and again once a second. Cheap. What was
 * acknowledged is forgotten by capture_start; until this is called, and while Redis waits for any
 * ACK to begin the stream behind an RDB, 0 is sent. Ignored while nothing is connected. */
void capture_ack(struct capture *c, uint64_t committed);

/* For how long nothing has come (counted in ticks of 100 ms). */
uint32_t capture_silent_ms(const struct capture *c);

/* Stops and starts reading: back-pressure. What was read in this turn is still handed over; while
 * paused nothing times out. Lasts until it is undone or capture_start is called. */
void capture_pause(struct capture *c, bool paused);

#endif
