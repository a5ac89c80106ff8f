/* A whole Holdfast for a system test: real redis-server, proxy and log nodes, in a folder of their
 * own, on ports of their own; started, killed, frozen and thawed by name: log1…, redis1 …, proxy1 …
 * (pairs of them), and plain1, a redis-server without Holdfast to compare with.
 *
 * How it goes together with check: make the cluster in an *unchecked* fixture (it runs in the test
 * program itself, before the test is forked off) and call cluster_test_begins and _passed in a
 * *checked* one, whose teardown check runs only for tests that did not fail (tests/lib/system.h
 * does both). cluster_destroy, in the unchecked teardown, then knows whether to print the logs, and
 * cleans up whatever became of the test: failure, crash or timeout. The struct lies in shared
 * memory, so that a restart within the test is seen outside.
 *
 * Nothing survives: each process dies with the process that started it (PR_SET_PDEATHSIG).
 *
 * Everything here fails the running test (ck_abort_msg) when it can't do what it says. */
#ifndef TESTS_LIB_CLUSTER_H
#define TESTS_LIB_CLUSTER_H

#include "tests/lib/relay.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A lease for tests in which nobody is to fail: machines may be so busy, and their disks, that the
 * default one runs out. */
enum { CLUSTER_LONG_LEASE_MS = 15000 };

struct cluster_options {
    unsigned log_nodes;            /* 0: three */
    unsigned pairs;                /* redis-server and proxy; 0: one */
    bool plain;                    /* a plain redis-server (plain1) as well */
    unsigned lease_ms;             /* of all proxies and log nodes; 0: the default */
    const char *const *redis_args; /* of all redis-servers; ends with NULL; or NULL */
    const char *proxy_json;        /* more keys, such as "\"sync\": false"; or NULL */
    const char *redis_json;        /* more keys of "redis", begun by a comma; or NULL */
    const char *proxy_log_json;    /* more keys of proxies' "log", begun by a comma; or NULL */
    const char *sentinel_json;     /* keys of "sentinel" besides "port"; NULL: no such port */
    const char *log_json;          /* NULL: smaller segments than the default */
    bool relays;                   /* between proxies and log nodes, and among proxies */
    bool redis_relays;             /* besides: between each proxy and its Redis */
};

struct cluster;

/* Folder, ports and configurations; starts nothing. options may be NULL. */
struct cluster *cluster_create(const struct cluster_options *options);

/* One more redis-server, by any other name than those above, which cluster_start starts as well.
 * args: after those that all have; ends with NULL; kept by reference. */
void cluster_add_redis(struct cluster *c, const char *name, const char *const *args);

/* The same for one that there is, from its next start on. */
void cluster_set_redis_args(struct cluster *c, const char *name, const char *const *args);

/* One more log node ("log4" …), of this cluster, which no proxy's configuration names. */
void cluster_add_log(struct cluster *c, const char *name);

/* Removes all that the process, which does not run, has stored: a lost disk. */
void cluster_wipe(struct cluster *c, const char *name);

/* A real Redis Sentinel, by any other name, which watches that redis-server as "mymaster". */
void cluster_add_sentinel(struct cluster *c, const char *name, const char *master);

/* Ends all processes, prints the tails of their logs unless every test passed, removes the folder
 * (HOLDFAST_KEEP=1 in the environment keeps it). NULL is allowed. */
void cluster_destroy(struct cluster *c);

/* For the checked fixture: a test begins, and has come to its end without failing. */
void cluster_test_begins(struct cluster *c);
void cluster_test_passed(struct cluster *c);

/* Starts every process that does not run, and waits until a proxy serves, and until the others
 * follow it. */
void cluster_start(struct cluster *c);

/* Starts one; waits for its port to be open. It must not be running. */
void cluster_spawn(struct cluster *c, const char *name);

/* kill -9, and waits until it is gone. No-op if it does not run. */
void cluster_kill(struct cluster *c, const char *name);

/* kill -9 of all, as close together as can be: as when the power fails. */
void cluster_kill_all(struct cluster *c);

/* SIGTERM, and waits up to 10 s; returns the exit status as waitpid has it, or -1 if another
 * process started it. */
int cluster_stop(struct cluster *c, const char *name);

void cluster_pause(struct cluster *c, const char *name);
void cluster_resume(struct cluster *c, const char *name);

/* Only with `relays`: cuts a proxy or a log node off from all others of them, or heals it. Its own
 * Redis, and whoever uses cluster_port, still reach it. With `redis_relays` also a Redis from the
 * proxy that connects to it (what it connects to itself, the feed port, stays). */
void cluster_cut(struct cluster *c, const char *name, enum relay_cut cut);

int cluster_port(const struct cluster *c, const char *name);
/* Where a proxy answers as a Sentinel; 0: nowhere. */
int cluster_sentinel_port(const struct cluster *c, const char *proxy);
pid_t cluster_pid(const struct cluster *c, const char *name); /* 0: does not run */
bool cluster_running(const struct cluster *c, const char *name);
const char *cluster_dir(const struct cluster *c, const char *name);

/* Resident memory of the process in bytes, 0 if it does not run. */
size_t cluster_rss_bytes(const struct cluster *c, const char *name);

/* Sends one command over a connection of its own and puts the reply, as redis-cli would show it in
 * short (strings bare, integers as digits, nil as "(nil)", of an array its first element), into
 * `reply`. Fails the test on an error reply or none. */
void cluster_ask(const struct cluster *c, const char *name, char *reply, size_t size,
                 const char *const argv[]);

/* Waits until all that Redis has executed by now is committed (writes made directly on Redis have
 * nobody who waits for them). */
void cluster_wait_committed(struct cluster *c);

/* A connection to redis1, plain1 or proxy1; commands fail after a minute. */
redisContext *cluster_connect(const struct cluster *c, const char *name);
/* A command (as for redisCommand) that must not be answered with an error; its answer is not kept.
 */
void cluster_command(redisContext *redis, const char *format, ...);
/* The same for many: the answers are waited for together, now and then, and by cluster_answers.
 * *queued counts those that are still to come. */
void cluster_queue(redisContext *redis, unsigned *queued, const char *format, ...);
void cluster_answers(redisContext *redis, unsigned *queued);

/* DEBUG DIGEST, a hash of all data that Redis holds; digest: CLUSTER_DIGEST_MAX bytes. */
enum { CLUSTER_DIGEST_MAX = 41 };
void cluster_digest(redisContext *redis, char *digest);
void cluster_digest_of(const struct cluster *c, const char *name, char *digest);
/* Waits until the Redis of all pairs hold the same. */
void cluster_wait_equal(struct cluster *c);

/* The value of one line of INFO holdfast, e.g. "holdfast_role"; false if the proxy does not answer
 * within a second, or has no such line. */
bool cluster_info(const struct cluster *c, const char *field, char *value, size_t size);
long long cluster_info_number(const struct cluster *c, const char *field); /* -1 if unknown */

/* The same of another proxy than proxy1. */
bool cluster_info_of(const struct cluster *c, const char *proxy, const char *field, char *value,
                     size_t size);
long long cluster_info_number_of(const struct cluster *c, const char *proxy, const char *field);

/* Which of the proxies that run says holdfast_role:leader; "" while none does. This and what
 * follows return names that stay valid. */
const char *cluster_leader(const struct cluster *c);
/* Waits until there is one; or one that is not this. */
const char *cluster_wait_leader(struct cluster *c);
const char *cluster_wait_other_leader(struct cluster *c, const char *than);
/* Another proxy than this. */
const char *cluster_other(const struct cluster *c, const char *proxy);
/* Waits until one leads, and returns another proxy. */
const char *cluster_follower(struct cluster *c);
/* The Redis of a proxy: "redis2" of "proxy2". */
const char *cluster_redis_of(const struct cluster *c, const char *proxy);
/* Waits until every other proxy that runs (and is not paused) follows, and its Redis can be read.
 */
void cluster_wait_followers(struct cluster *c);

/* Waits until the process's log holds the text. */
void cluster_wait_log(struct cluster *c, const char *name, const char *text);

/* Waits until cond(arg); fails the test with `what` after timeout_ms. Tests wait for what they
 * need, never for time to pass. */
void cluster_wait(const char *what, uint64_t timeout_ms, bool (*cond)(void *arg), void *arg);

/* A port nobody uses, which no other test program is given while this one runs. It is outside the
 * range from which the kernel takes ports for outgoing connections. */
int cluster_free_port(void);

/* Where a built program is: $HOLDFAST_BIN, or the folder that make check runs in. */
void cluster_program(const char *program, char *path, size_t size);

/* Runs a program to its end with its output (both streams) in `output`; returns the exit status, or
 * 128 + the signal. Ended with SIGKILL after timeout_ms. */
int cluster_run(const char *const argv[], int timeout_ms, char *output, size_t size);

#endif
