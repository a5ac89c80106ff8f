/* holdfast-ctl: what all its verbs share. Each verb is a function in a file of its own group; it
 * prints to standard output what was asked for, and to standard error what went wrong. */
#ifndef PROXY_CTL_CTL_H
#define PROXY_CTL_CTL_H

#include "common/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; 2 is common/options.h's. */
enum ctl_exit {
    CTL_EXIT_DONE = 0,
    CTL_EXIT_FAILED = 1, /* refused, or it came to nothing */
    CTL_EXIT_USAGE = 2,
    CTL_EXIT_UNREACHABLE = 3, /* no proxy, no log node answers */
    CTL_EXIT_TIMEOUT = 4,     /* it was begun; how it ended is not known */
};

/* Options that belong to some verbs only; bits of ctl_verb.options. */
enum ctl_option {
    CTL_OPTION_WAIT = 1u << 0,
    CTL_OPTION_FROM = 1u << 1,
    CTL_OPTION_UNTIL = 1u << 2,
    CTL_OPTION_DB = 1u << 3,
    CTL_OPTION_KEYS = 1u << 4,
    CTL_OPTION_AT = 1u << 5,
    CTL_OPTION_TO = 1u << 6,
    CTL_OPTION_FORCE = 1u << 7,
    CTL_OPTION_ALL = 1u << 8,
    CTL_OPTION_NODES = 1u << 9, /* --log-nodes, --cluster-id, --log-id */
    CTL_OPTION_S3 = 1u << 10,
    CTL_OPTION_MARKS = 1u << 11,
};

struct settings;

struct ctl {
    const char *host; /* the proxy that is asked first */
    int port;
    const char *user, *password; /* "": none */
    const char *password_option; /* which says it: for messages */
    uint32_t timeout_ms;         /* for connecting and for each answer */
    uint64_t wait_ms;            /* for what a verb waits for; 0: as long as it takes */
    uint64_t mark_ms;            /* between two marks of a tail; 0: there are none */
    bool json;

    /* As they were given; NULL: they were not. */
    const char *from, *until, *db, *keys, *at, *to, *log_nodes, *cluster_id, *log_id;
    const char *to_log, *to_cluster_id, *to_log_id; /* a new log that restore makes */
    const char *to_user, *to_password;              /* of a Redis that --to names; "": none */
    const char *s3_endpoint;
    uint64_t s3_object_bytes; /* 0: the default */
    bool force, all;
    const struct settings *settings; /* of --config; NULL: there is none */
};

/* A verb and its arguments, the verb's own words not among them. */
struct ctl_verb {
    const char *words; /* "status", "log replace" */
    const char *arguments;
    int arguments_min, arguments_max;
    int (*run)(const struct ctl *ctl, int argc, char **argv); /* an exit status */
    unsigned options; /* enum ctl_option: those that it takes besides the common ones */
};

/* ctl_status.c, ctl_failover.c, ctl_log.c, ctl_tail.c, ctl_restore.c,
 * ctl_export.c, ctl_import.c */
int ctl_status(const struct ctl *ctl, int argc, char **argv);
int ctl_failover(const struct ctl *ctl, int argc, char **argv);
int ctl_log_status(const struct ctl *ctl, int argc, char **argv);
int ctl_log_replace(const struct ctl *ctl, int argc, char **argv);
int ctl_tail(const struct ctl *ctl, int argc, char **argv);
int ctl_restore(const struct ctl *ctl, int argc, char **argv);
/* ctl_snapshot.c */
int ctl_snapshot_list(const struct ctl *ctl, int argc, char **argv);
int ctl_snapshot_now(const struct ctl *ctl, int argc, char **argv);
int ctl_snapshot_verify(const struct ctl *ctl, int argc, char **argv);
int ctl_snapshot_delete(const struct ctl *ctl, int argc, char **argv);
int ctl_export(const struct ctl *ctl, int argc, char **argv);
int ctl_export_verify(const struct ctl *ctl, int argc, char **argv);
int ctl_import(const struct ctl *ctl, int argc, char **argv);

/* One line on standard error, "holdfast-ctl: …". */
void ctl_complain(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
