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
bool monitor_may_wait(const struct client *c); /* there is room for more of that */
void monitor_leave(struct client *c);

/* Whether Redis tells of what it does as of a script. */
bool monitor_runs_script(const struct command *command);

/* Tells those who monitor of a request. What Redis hides (administration, passwords) is hidden.
 * told: Redis will tell of it by monitor_told, if it is a script. */
void monitor_feed(struct client *c, const struct command *command, const struct resp_arg *argv,
                  size_t argc, bool told);

/* A line of Redis' own MONITOR, "+" and CRLF included. Those of scripts are passed on; the others
 * tell where among what clients asked they belong. */
void monitor_told(struct clients *all, const uint8_t *bytes, size_t size);
/* No more of those come: what is held is handed out. Now and then: what was held for too long. */
void monitor_give_up(struct clients *all);
void monitor_turn(struct clients *all, uint64_t now_ns);

/* One line, without "+" and CRLF; hidden: the argument that is not shown, 0: none. */
void monitor_line(struct buf *out, uint64_t wall_us, unsigned db, const char *address,
                  const struct resp_arg *argv, size_t argc, size_t hidden);

#endif
