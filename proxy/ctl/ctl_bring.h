/* Brings a Redis to an exact place of the log, and waits for it: a sandbox of our own, or one that
 * runs already. A thin layer around snapshot/replay for programs that do one thing. */
#ifndef PROXY_CTL_CTL_BRING_H
#define PROXY_CTL_CTL_BRING_H

#include "proxy/ctl/ctl_bar.h"
#include "proxy/ctl/ctl_nodes.h"
#include "proxy/snapshot/replay.h"

struct ctl_bring;

struct ctl_bring_config {
    const struct ctl_nodes *nodes; /* whose addresses and ids are used; may be closed afterwards */
    uint64_t timeout_ms;           /* for the log nodes, or Redis, to be there */
    /* A Redis that runs, which is told that a restore is at work; "" user and password: none. NULL:
     * a sandbox. */
    const char *host;
    int port;
    const char *user, *password;
    const char *secret;    /* that it shows when it comes to us */
    const char *feed_host; /* an address of ours that it reaches */
    const char *program;   /* of a sandbox: redis-server */
};

/* Connects and starts what is needed; the configuration is copied, what it points to stays. NULL:
 * complained; *status is the exit status. */
struct ctl_bring *ctl_bring_open(const struct ctl_bring_config *config, int *status);
void ctl_bring_close(struct ctl_bring *b);

/* Whether it was told to be a replica of ours: what it held may be gone. */
bool ctl_bring_began(const struct ctl_bring *b);

/* To `to`, an end of a unit that is committed, with a bar. A snapshot that turns out to be damaged
 * is done without: an older one, or another node's, is tried. Ends early if ctl_stop_asked. A
 * status, complained. */
int ctl_bring_to(struct ctl_bring *b, uint64_t to, struct replay_point *point);

/* Of a sandbox that stands there: its RDB into the file, which is at its beginning. */
int ctl_bring_extract(struct ctl_bring *b, const struct replay_point *point, int fd,
                      uint64_t *size_bytes, uint32_t *crc);

/* What the Redis is: "7.0.15". */
const char *ctl_bring_version(const struct ctl_bring *b);

#endif
