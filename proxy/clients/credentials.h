/* What the user of our links must say to Redis. The configuration has it (redis.password); CONFIG
 * SET requirepass, and ACL SETUSER of that user, change it until Redis is started anew: then
 * clients have to say the new one, and so do links that are made from then on. Other proxies know
 * the configured one only. */
#ifndef PROXY_CLIENTS_CREDENTIALS_H
#define PROXY_CLIENTS_CREDENTIALS_H

#include "proxy/protocol/resp.h"

#include <stdbool.h>

enum { CREDENTIALS_BYTES_MAX = 4096 };

struct credentials {
    const char *configured;                        /* "": none */
    char password[CREDENTIALS_BYTES_MAX + 1];      /* what clients must say; "": none */
    char link_password[CREDENTIALS_BYTES_MAX + 1]; /* what links say */
    char learned[CREDENTIALS_BYTES_MAX + 1];       /* what was set last */
    bool has_learned;
};

/* configured: borrowed, NULL: none. */
void credentials_init(struct credentials *c, const char *configured);

/* Of the words of CONFIG SET, or of ACL SETUSER (by ACLSetUser in acl.c), those that give the user
 * a password, or take the need for one away: then *password has it ("": none is needed). False:
 * there is none such, or one that can't be used here: too long, with a zero byte, told by its hash
 * only, or taken back by words behind it (reset, resetpass, <password). */
bool credentials_in_config(const struct resp_arg *argv, size_t argc, struct resp_arg *password);
bool credentials_in_acl(const struct resp_arg *argv, size_t argc, struct resp_arg *password);

/* Redis has taken it. */
void credentials_set(struct credentials *c, const struct resp_arg *password);

/* Redis refused what a link said: one that was started anew knows the configured one, one that
 * never ended the other. True: there is another one, which links try from now on. Clients go on
 * with what they had until that one was accepted. */
bool credentials_refused(struct credentials *c);
/* A link has logged in with what links say. */
void credentials_accepted(struct credentials *c);

#endif
