/* The control connection to our Redis (hiredis): what is asked once or now and then and must not
 * wait behind clients' requests: COMMAND, CONFIG SET, REPLICAOF, ROLE. It reconnects by itself. */
#ifndef PROXY_ENGINE_CONTROL_H
#define PROXY_ENGINE_CONTROL_H

#include "common/buf.h"

#include <stdbool.h>

struct event_base;
struct redisReply;
struct control;

struct control_config {
    const char *host;
    int port;
    const char *user, *password;
    uint32_t timeout_ms; /* connecting, and each command */
    uint32_t retry_ms;   /* pause between attempts to connect */
};

struct control_events {
    void (*up)(void *ctx);
    void (*down)(void *ctx, const char *reason);
    /* Redis does not take the password, or asks for one (no other error means that); what
     * config.password points to is read again for the next attempt. May be NULL. */
    void (*refused)(void *ctx);
    /* Before up: it has logged in with what config.password points to. May be NULL. */
    void (*accepted)(void *ctx);
};

/* reply: NULL if the connection was lost before the answer. Valid during the call. */
typedef void control_reply_fn(void *ctx, const struct redisReply *reply);

/* What config points to must outlive it. It connects at the next control_tick. */
struct control *control_create(struct event_base *base, const struct control_config *config,
                               const struct control_events *events, void *ctx);
void control_destroy(struct control *c);
bool control_is_up(const struct control *c);
/* The address of our end of the connection, which is up. */
void control_address(const struct control *c, char *out, size_t size);
/* Commands without an answer yet. */
unsigned control_waiting(const struct control *c);

/* Sends a command of words separated by single blanks ("CONFIG SET a b"); words from args replace
 * each "%s" as a whole. False: not connected (fn is not called). fn may be NULL. */
bool control_send(struct control *c, control_reply_fn *fn, void *ctx, const char *words, ...);

/* For how long a command has been waiting without any answer; 0: none is. Commands are sent twice a
 * second at least. */
uint64_t control_silent_ms(const struct control *c, uint64_t now_ns);

/* Reconnects and times out. A few times a second. */
void control_tick(struct control *c, uint64_t now_ns);

/* Writes a reply as RESP2 bytes, as if it had been read raw. */
void control_reply_bytes(const struct redisReply *reply, struct buf *out);

#endif
