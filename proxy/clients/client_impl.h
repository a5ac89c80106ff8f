/* What the files of the client share: client.c (its life, and what goes out), client_read.c (what
 * comes in), client_reply.c (the queue of its requests). Nobody else includes it. */
#ifndef PROXY_CLIENTS_CLIENT_IMPL_H
#define PROXY_CLIENTS_CLIENT_IMPL_H

#include "common/clock.h"
#include "proxy/clients/client.h"

enum { CLIENT_READ_BYTES = 256 * 1024 }; /* of clients.scratch */

/* By the clock of client_buffers.h. */
static inline uint32_t clients_now_ms(const struct clients *all)
{
    return (uint32_t)(all->now_ns / CLOCK_NS_PER_MS);
}

/* It has something to do in this turn's clients_flush. */
void client_needs_flush(struct client *c);

/* ---- client_read.c ---- */

/* Whether another request may be taken in: nothing holds it up, and bounds are kept. */
bool client_may_read(const struct client *c);
/* Watches the socket for input, or no more; never that of one who has said all. */
void client_set_reading(struct client *c, bool reading);
/* Hands on what is buffered, as far as it may be read. It may close the client. */
void client_take_buffered(struct client *c);
/* Whether it waits for something that may never come, and has all replies before that. */
bool client_only_blocks(const struct client *c);
/* Of its socket, readable. */
void client_read_cb(int fd, short what, void *arg);

/* ---- client_reply.c ---- */

/* Moves the replies at the head of the queue that may leave into out. */
void client_move_released(struct client *c);
/* Nobody waits for any of them any more. */
void client_abandon_requests(struct client *c);

#endif
