/* Of CONFIG SET and GET, what is about a server's clients: here they are the proxy's, and Redis
 * must not hold it against our links. Nor is its one replica, which is the proxy, what somebody
 * means who says min-replicas-to-write: those that INFO shows are counted, and the router refuses
 * writes. Redis never hears of it, so that it takes writes again whatever becomes of the proxy; but
 * for 0, which takes back what its own configuration says. Of slowlog-max-len Redis is given more,
 * for what the proxy asks takes places there, too (slowlog.h). Read as config.c of Redis 7.0 does;
 * what is wrong in any way is left to Redis, which says so and sets nothing of the request. */
#ifndef PROXY_CLIENTS_CLIENT_CONFIG_H
#define PROXY_CLIENTS_CLIENT_CONFIG_H

#include "common/buf.h"
#include "proxy/protocol/resp.h"

#include <stdbool.h>
#include <stdint.h>

enum client_config_number {
    CLIENT_CONFIG_MAXCLIENTS,
    CLIENT_CONFIG_TIMEOUT_S,
    CLIENT_CONFIG_KEEPALIVE_S,
    CLIENT_CONFIG_QUERY_BYTES,
    CLIENT_CONFIG_MEMORY,   /* bytes, or a percentage of maxmemory */
    CLIENT_CONFIG_REPLICAS, /* min-replicas-to-write */
    CLIENT_CONFIG_SLOWLOG,  /* slowlog-max-len */
    CLIENT_CONFIG_NUMBERS,
};

enum client_config_class { CLIENT_CONFIG_NORMAL, CLIENT_CONFIG_REPLICA, CLIENT_CONFIG_PUBSUB };
enum { CLIENT_CONFIG_CLASSES = 3 };

/* What was set; the rest is as the proxy's own configuration has it. */
struct client_config {
    struct {
        bool set, percent;
        uint64_t value;
    } numbers[CLIENT_CONFIG_NUMBERS];
    struct {
        bool set, shown;                 /* shown: not set, and yet not as Redis has it */
        uint64_t hard_bytes, soft_bytes; /* 0: no limit */
        uint64_t soft_s;
    } output[CLIENT_CONFIG_CLASSES];
    size_t replicas; /* that there are; of the owner */
};

/* CONFIG SET …: what is ours goes into config, the other words into rest (room for argc). False:
 * nothing is ours, or Redis has a reason to refuse it; config is as it was. */
bool client_config_take(struct client_config *config, const struct resp_arg *argv, size_t argc,
                        struct resp_arg *rest, size_t *rest_count);

/* What a client sees of Redis' slow log: as much as it asked for; SIZE_MAX: all. And: Redis' own
 * slowlog-max-len is this; if it is not what it was given, somebody else has set it. */
size_t client_config_slowlog_len(const struct client_config *config);
void client_config_slowlog_found(struct client_config *config, const char *value);

/* Whether there are fewer replicas than min-replicas-to-write wants. */
bool client_config_replicas_lack(const struct client_config *config);

/* What was set, as text that outlives the process: a line "NAME VALUE" for each, appended. And read
 * again into config, which keeps what is not in it; false: some line is not understood, config is
 * as it was. */
void client_config_write(const struct client_config *config, struct buf *text);
bool client_config_read(struct client_config *config, const uint8_t *text, size_t size);

/* Redis' whole reply to CONFIG GET: what was set, or is shown, is put in. */
void client_config_correct(const struct client_config *config, struct buf *reply);

#endif
