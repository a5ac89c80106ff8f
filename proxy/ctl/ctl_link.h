/* A connection to a proxy, and how the one that leads is found. */
#ifndef PROXY_CTL_CTL_LINK_H
#define PROXY_CTL_CTL_LINK_H

#include "proxy/ctl/ctl.h"
#include "proxy/ctl/ctl_text.h"

struct redisContext;

struct ctl_link {
    struct redisContext *redis;
    char host[256];
    int port;
    const char *password_option; /* of the command line, for messages */
};

/* Connects and authenticates. CTL_EXIT_DONE, or the status to end with, with a complaint made if
 * loud. */
int ctl_link_open(struct ctl_link *l, const struct ctl *ctl, const char *host, int port, bool loud);
void ctl_link_close(struct ctl_link *l);

/* Sends a command; its reply, a string, is put into *text (free it). Anything else is an error. The
 * complaint, if loud, tells the proxy's own words. CTL_EXIT_FAILED: the proxy refused, *text is its
 * error; CTL_EXIT_UNREACHABLE: no answer. *text may be NULL on return. */
int ctl_link_ask(struct ctl_link *l, bool loud, char **text, int argc, const char **argv);

/* INFO holdfast of this proxy. Fails also if it is none. */
int ctl_link_info(struct ctl_link *l, bool loud, struct ctl_text *info);

/* HOLDFAST LOG STATUS or HOLDFAST SNAPSHOT STATUS, by its word; as ctl_link_ask. *status is set,
 * and the caller's to free (ctl_text_fini), if CTL_EXIT_DONE. */
int ctl_link_status(struct ctl_link *l, bool loud, const char *what, struct ctl_text *status);

/* Opens a link to the proxy that leads, by way of the one that ctl names, and gets its info. */
int ctl_link_open_leader(struct ctl_link *l, const struct ctl *ctl, bool loud,
                         struct ctl_text *info);

/* "HOST:PORT", an IPv6 host in brackets. False: it is none. */
bool ctl_parse_address(const char *text, char *host, size_t size, int *port);

#endif
