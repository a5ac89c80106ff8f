/* MONITOR: the commands of the proxy's clients, with the clients' addresses, in Redis' format
 * (replicationFeedMonitors). What is shown is what was asked, when it is taken in: it tells nothing
 * of what became of it, so it waits for no commit. */
#ifndef PROXY_CLIENTS_MONITOR_H
#define PROXY_CLIENTS_MONITOR_H

#include "proxy/clients/client.h"
#include "proxy/protocol/command.h"

/* The client gets all that others, and it, ask from now on; or no more. */
void monitor_join(struct client *c);
/* The same, but it is kept until monitor_join: MONITOR is not answered yet. */
void monitor_join_early(struct client *c);
void monitor_leave(struct client *c);

/* Tells those who monitor of a request. What Redis hides (administration, passwords) is hidden. */
void monitor_feed(struct client *c, const struct command *command, const struct resp_arg *argv,
                  size_t argc);

/* One line, without "+" and CRLF; hidden: the argument that is not shown, 0: none. */
void monitor_line(struct buf *out, uint64_t wall_us, unsigned db, const char *address,
                  const struct resp_arg *argv, size_t argc, size_t hidden);

#endif
