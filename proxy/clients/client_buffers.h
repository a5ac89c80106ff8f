/* How much room Redis would keep for what a client asks and is answered: qbuf-free, rbs and rbp of
 * CLIENT LIST. The proxy keeps none for a client that waits for nothing, but who looks there looks
 * for what Redis does. The rules are those of clientsCronResizeQueryBuffer and
 * clientsCronResizeOutputBuffer (server.c 7.0), as if its cron came by each tenth of a second.
 * Pure. */
#ifndef PROXY_CLIENTS_CLIENT_BUFFERS_H
#define PROXY_CLIENTS_CLIENT_BUFFERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DEBUG REPLYBUFFER; all zero: as Redis begins. */
struct client_buffers_rules {
    bool fixed;      /* RESIZING 0 */
    bool peak_stays; /* PEAK-RESET-TIME never */
    bool peak_given; /* PEAK-RESET-TIME … */
    long long peak_ms;
};

struct client_buffers {
    uint32_t query, query_peak; /* room for requests, and what of it was used lately */
    uint16_t reply, reply_peak; /* room for replies; likewise */
    uint32_t looked_ms;         /* when Redis' cron came last … */
    uint32_t reset_ms;          /* … and when it forgot reply_peak; 0: never yet */
};

void client_buffers_init(struct client_buffers *b);
/* So much was there of requests at a time. */
void client_buffers_read(struct client_buffers *b, const struct client_buffers_rules *rules,
                         uint32_t now_ms, size_t bytes);
/* So much was answered at a time. */
void client_buffers_wrote(struct client_buffers *b, const struct client_buffers_rules *rules,
                          uint32_t now_ms, size_t bytes);
/* As it is now, when the client has said nothing for so long. */
void client_buffers_look(struct client_buffers *b, const struct client_buffers_rules *rules,
                         uint32_t now_ms, uint64_t idle_s);
/* The words behind DEBUG REPLYBUFFER; false: they are not known. */
bool client_buffers_rule(struct client_buffers_rules *rules, const char *name, const char *value);

#endif
