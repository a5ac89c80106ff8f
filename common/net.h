/* TCP sockets: the few calls that several parts share. All are non-blocking. */
#ifndef COMMON_NET_H
#define COMMON_NET_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Starts connecting to an IP address; the descriptor (the caller's to close), or -1 with errno.
 * When it becomes writable, net_connect_result tells how it went: 0 or an errno. */
int net_connect(const char *host, int port);
int net_connect_result(int fd);

/* A listening socket on an IP address, or -1 with errno. port 0: any; net_port tells which. */
int net_listen(const char *host, int port, int backlog);
int net_port(int fd);

/* "address:port" of the peer (false: it is not connected any more) or of our own end. */
bool net_peer_name(int fd, char *out, size_t size);
void net_local_name(int fd, char *out, size_t size);

/* For an accepted connection: non-blocking, no delay, keep-alive. 0 or -1 with errno. */
int net_prepare(int fd);

/* Bytes that the other end's host has not acknowledged for this long end the connection (its
 * network is gone; keep-alive would take hours). 0 or -1 with errno. */
int net_give_up_after(int fd, unsigned timeout_ms);

/* The peer of a connection is asked whether it is there after so many seconds without a word; 0:
 * never. */
void net_keep_alive(int fd, unsigned after_s);

#endif
