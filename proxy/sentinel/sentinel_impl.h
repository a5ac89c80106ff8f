/* What the files of the Sentinel share: sentinel.c (what is known, and what is told when it
 * changes), sentinel_tell.c (the SENTINEL command), sentinel_pubsub.c, sentinel_session.c (all
 * other commands, and the way to each). */
#ifndef PROXY_SENTINEL_SENTINEL_IMPL_H
#define PROXY_SENTINEL_SENTINEL_IMPL_H

#include "proxy/protocol/command.h"
#include "proxy/sentinel/sentinel.h"

enum { SENTINEL_ID_DIGITS = 40, SENTINEL_NODES_MAX = LEADER_PEERS_MAX };

/* A proxy, as far as it was ever seen. */
struct sentinel_node {
    bool used; /* the slot is */
    struct leader_address address;
    char
        name[SENTINEL_ADDRESS_MAX]; /* "host:port" of its clients: how a Sentinel names a replica */
    char id[SENTINEL_ID_DIGITS + 1];     /* as a Sentinel */
    char run_id[SENTINEL_ID_DIGITS + 1]; /* as a Redis */
    int sentinel_port;                   /* 0: not known, or it has none */
    bool self;
    bool there;       /* seen in the last view */
    uint64_t gone_ns; /* if not there: since when */
    uint64_t seen_ns;
    uint64_t role_ns; /* since when it is master or replica */
    uint64_t offset;
    bool synced;
};

struct sentinel {
    struct sentinel_config config;
    const struct sentinel_actions *actions;
    void *ctx;
    struct command_table *table;

    uint64_t now_ns, started_ns;
    struct sentinel_node nodes[SENTINEL_NODES_MAX];
    struct sentinel_node *self;
    struct sentinel_node *master; /* who leads or led last; ourselves until somebody did */
    bool has_led;                 /* somebody did */
    uint64_t term;                /* of who led last */
    uint64_t lost_ns;             /* since when nobody leads; 0: somebody does */
    bool down;                    /* that was told */
    unsigned voters, voters_up;
    char version[32];

    struct sentinel_client *clients;
    size_t client_count;
    uint64_t next_id;
};

/* sentinel_session.c */
typedef void sentinel_handler(struct sentinel *s, struct sentinel_client *c,
                              const struct resp_arg *argv, size_t argc);
/* A command or subcommand ("sentinel|masters") as COMMAND tells of it. */
struct sentinel_command {
    const char *name;
    int arity;
    const char *flags;         /* split at blanks */
    const char *categories;    /* ACL categories, the same */
    sentinel_handler *handler; /* NULL: a container */
};
/* Aggregates: an array, or what RESP3 has for it. */
void sentinel_put_head(struct buf *b, char type, size_t count);
void sentinel_put_map(struct sentinel_client *c, size_t pairs);
void sentinel_put_text(struct buf *b, const char *text);
void sentinel_put_error(struct sentinel_client *c, const char *text);
void sentinel_put_ok(struct sentinel_client *c);
/* Whether it may change who leads; if not, it has been answered. */
bool sentinel_may_command(const struct sentinel *s, struct sentinel_client *c);

/* sentinel_commands.c */
extern const struct sentinel_command sentinel_commands[];
extern const size_t sentinel_command_count;
/* The reply to COMMAND in that protocol. */
void sentinel_put_commands(struct buf *b, unsigned resp);
sentinel_handler sentinel_do_command, sentinel_do_command_count, sentinel_do_command_docs,
    sentinel_do_command_info, sentinel_do_command_list;

/* sentinel_session.c, called by way of the table */
sentinel_handler sentinel_do_acl_whoami, sentinel_do_auth, sentinel_do_client_getname,
    sentinel_do_client_id, sentinel_do_client_info, sentinel_do_client_list,
    sentinel_do_client_no_evict, sentinel_do_client_setinfo, sentinel_do_client_setname,
    sentinel_do_hello, sentinel_do_info, sentinel_do_ping, sentinel_do_quit, sentinel_do_role,
    sentinel_do_shutdown;

/* sentinel_pubsub.c */
sentinel_handler sentinel_do_publish, sentinel_do_subscribe, sentinel_do_unsubscribe;
void sentinel_publish(struct sentinel *s, const char *channel, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
void sentinel_forget_subscriptions(struct sentinel_client *c);

/* sentinel_tell.c */
sentinel_handler sentinel_do_ckquorum, sentinel_do_config, sentinel_do_disabled,
    sentinel_do_failover, sentinel_do_flushconfig, sentinel_do_get_master_addr, sentinel_do_help,
    sentinel_do_info_cache, sentinel_do_is_master_down, sentinel_do_master, sentinel_do_masters,
    sentinel_do_myid, sentinel_do_pending_scripts, sentinel_do_replicas, sentinel_do_reset,
    sentinel_do_sentinels;
/* The Sentinel section of INFO. */
void sentinel_put_info(const struct sentinel *s, struct buf *b);

/* sentinel.c */
/* "master NAME IP PORT", or "slave IP:PORT IP PORT @ NAME IP PORT". */
enum { SENTINEL_TEXT_MAX = 640 };
void sentinel_describe(const struct sentinel *s, const struct sentinel_node *node, char *text);
/* Whether nobody leads, and that for longer than down_after_ms. */
bool sentinel_master_down(const struct sentinel *s);
/* How many replicas, and how many other Sentinels, are known. */
size_t sentinel_replica_count(const struct sentinel *s);
size_t sentinel_other_count(const struct sentinel *s);
/* Forgets who is not there (SENTINEL RESET). */
void sentinel_forget(struct sentinel *s);

#endif
