#include "tests/differ/stage.h"

#include "common/clock.h"
#include "tests/differ/listings.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { STAGE_TIMEOUT_MS = 30000 };

/* ---- questions ---- */

bool stage_take(struct wire *w, unsigned replies, struct buf *reply)
{
    wire_flush(w);
    for (unsigned i = 0; i < replies; i++) {
        if (wire_reply(w, reply, STAGE_CONTROL_MS) != ERR_OK) {
            return false;
        }
    }
    return true;
}

static int number_of(const struct buf *reply, const char *name)
{
    const char *at = memmem(buf_head(reply), reply->len, name, strlen(name));
    return at != NULL ? atoi(at + strlen(name)) : -1;
}

int stage_blocked(struct wire *w)
{
    struct buf reply = BUF_INIT;

    wire_queue(w, "INFO", "clients");
    int blocked = stage_take(w, 1, &reply) ? number_of(&reply, "blocked_clients:") : -1;
    buf_release(&reply);
    return blocked;
}

int stage_clients(struct wire *w)
{
    struct buf reply = BUF_INIT;
    int clients = 0;

    wire_queue(w, "CLIENT", "LIST");
    if (stage_take(w, 1, &reply)) {
        for (size_t i = 0; i + 3 < reply.len; i++) {
            clients += memcmp(buf_head(&reply) + i, "\nid=", 4) == 0;
        }
    }
    buf_release(&reply);
    return clients;
}

bool stage_digest(struct wire *w, struct buf *reply)
{
    wire_queue(w, "DEBUG", "DIGEST");
    return stage_take(w, 1, reply);
}

void stage_pause_ms(long ms)
{
    struct timespec ts = {.tv_nsec = ms * 1000000};
    (void)nanosleep(&ts, NULL);
}

void stage_dump(struct stage *stage)
{
    struct buf reply = BUF_INIT;

    for (int i = 0; getenv("DIFFER_DUMP") != NULL && i < STAGE_MARKS; i++) {
        struct wire *w = &stage->controls[i];
        wire_queue(w, "CLIENT", "LIST");
        if (stage_take(w, 1, &reply)) {
            printf("%s %s\n", stage->names[i], (char *)buf_head(&reply));
        }
    }
    buf_release(&reply);
}

unsigned stage_queue_reset(struct wire *w)
{
    static const char *const config[] = {"hash-max-listpack-entries",
                                         "128",
                                         "hash-max-listpack-value",
                                         "64",
                                         "list-max-listpack-size",
                                         "-2",
                                         "set-max-intset-entries",
                                         "512",
                                         "zset-max-listpack-entries",
                                         "128",
                                         "zset-max-listpack-value",
                                         "64",
                                         "stream-node-max-entries",
                                         "100",
                                         "notify-keyspace-events",
                                         "",
                                         "maxmemory",
                                         "0",
                                         "proto-max-bulk-len",
                                         "512mb",
                                         "hll-sparse-max-bytes",
                                         "3000",
                                         "maxmemory-policy",
                                         "noeviction",
                                         "lfu-log-factor",
                                         "10",
                                         "lfu-decay-time",
                                         "1",
                                         "list-compress-depth",
                                         "0",
                                         "stream-node-max-bytes",
                                         "4096",
                                         "lazyfree-lazy-user-del",
                                         "no",
                                         "lazyfree-lazy-user-flush",
                                         "no",
                                         "slowlog-log-slower-than",
                                         "10000",
                                         NULL};
    wire_queue(w, "CLIENT", "UNPAUSE");
    wire_queue(w, "CONFIG", "SET", "min-replicas-to-write", "0");
    wire_queue(w, "SCRIPT", "FLUSH");
    wire_queue(w, "FUNCTION", "FLUSH");
    wire_queue(w, "ACL", "DELUSER", "u1", "u2");
    wire_queue(w, "ACL", "LOG", "RESET");
    wire_queue(w, "FLUSHALL");
    wire_queue(w, "CONFIG", "RESETSTAT");
    wire_queue(w, "DEBUG", "SET-ACTIVE-EXPIRE", "1");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "1B");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0");
    const char *argv[64] = {"CONFIG", "SET"};
    memcpy(&argv[2], config, sizeof config);
    wire_queuev(w, argv);
    return 12;
}

/* A shard channel, which no pattern of a client is subscribed to. */
#define STAGE_MARKED "differ-marks"

bool stage_catch_up(struct stage *stage)
{
    enum { NUDGE_MS = 5 };
    struct buf reply = BUF_INIT;
    char mark[24];
    struct wire *proxy = &stage->controls[STAGE_PROXY];
    uint64_t end = clock_now_ns() + STAGE_CONTROL_MS * CLOCK_NS_PER_MS;
    bool ok = true, there = false;

    (void)snprintf(mark, sizeof mark, "mark %u.", ++stage->marks);
    wire_queue(proxy, "SPUBLISH", STAGE_MARKED, mark);
    while (ok && !there && clock_now_ns() < end) {
        /* What comes behind it in the log tells that it is committed, sooner than a heartbeat. */
        wire_queue(proxy, "SPUBLISH", STAGE_MARKED, "on");
        ok = stage_take(proxy, 1, &reply);
        int rc = ERR_OK;
        while (ok && !there && rc == ERR_OK) {
            rc = wire_reply(&stage->controls[STAGE_MARKS], &reply, NUDGE_MS);
            ok = rc == ERR_OK || rc == ERR_TIMEOUT;
            there = rc == ERR_OK && strstr((const char *)buf_head(&reply), mark) != NULL;
        }
    }
    there = there && stage_take(proxy, 1, &reply); /* one more was asked than taken */
    buf_release(&reply);
    return there;
}

/* ---- connections ---- */

void stage_connect(const struct stage *stage, enum stage_side side, struct wire *w)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (side != STAGE_PLAIN) {
        wire_open(w, cluster_port(stage->cluster, stage->names[side]));
        return;
    }
    /* The path itself may be too long. */
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/redis.sock",
                   stage->plain_dir_fd);
    *w = (struct wire){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_msg(w->fd >= 0 && connect(w->fd, (struct sockaddr *)&addr, sizeof addr) == 0,
                  "connect to plain1: %s", strerror(errno));
}

static const char *leader_of(const struct stage *stage)
{
    return stage->through != STAGE_LEADER ? cluster_leader(stage->cluster) : "proxy1";
}

static void open_controls(struct stage *stage)
{
    char path[600];

    stage->names[STAGE_PLAIN] = "plain1";
    stage->names[STAGE_PROXY] =
        stage->through != STAGE_LEADER ? cluster_follower(stage->cluster) : "proxy1";
    stage->names[STAGE_ENGINE] = cluster_redis_of(stage->cluster, leader_of(stage));
    stage->names[STAGE_COPY] = cluster_redis_of(stage->cluster, stage->names[STAGE_PROXY]);
    stage->names[STAGE_MARKS] = stage->names[STAGE_COPY];
    (void)snprintf(path, sizeof path, "%s/data", cluster_dir(stage->cluster, "plain1"));
    stage->plain_dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(stage->plain_dir_fd, 0);
    stage_connect(stage, STAGE_PLAIN, &stage->controls[STAGE_PLAIN]);
    stage_connect(stage, STAGE_PROXY, &stage->controls[STAGE_PROXY]);
    for (int i = STAGE_ENGINE; i < STAGE_CONTROLS; i++) {
        wire_open(&stage->controls[i], cluster_port(stage->cluster, stage->names[i]));
    }
    struct buf reply = BUF_INIT;
    for (int i = 0; i < STAGE_SIDES; i++) {
        wire_queue(&stage->controls[i], "CLIENT", "SETNAME", LISTINGS_CONTROL);
        ck_assert(stage_take(&stage->controls[i], 1, &reply));
    }
    if (stage->through != STAGE_LEADER) {
        wire_queue(&stage->controls[STAGE_MARKS], "SSUBSCRIBE", STAGE_MARKED);
        ck_assert(stage_take(&stage->controls[STAGE_MARKS], 1, &reply));
    }
    buf_release(&reply);
}

static void close_controls(struct stage *stage)
{
    for (int i = 0; i < STAGE_CONTROLS; i++) {
        wire_close(&stage->controls[i]);
    }
    close(stage->plain_dir_fd);
}

void stage_open(struct stage *stage, struct cluster *cluster, enum stage_through through)
{
    *stage = (struct stage){.cluster = cluster, .through = through, .timeout_ms = STAGE_TIMEOUT_MS};
    open_controls(stage);
    table_load(&stage->table, &stage->controls[STAGE_PLAIN]);
}

void stage_close(struct stage *stage)
{
    close_controls(stage);
    table_release(&stage->table);
}

bool stage_stands(const struct stage *stage)
{
    const struct cluster *c = stage->cluster;
    const char *engine = stage->names[STAGE_ENGINE], *leader = leader_of(stage);

    return cluster_running(c, "proxy1") &&
           (stage->through == STAGE_LEADER || cluster_running(c, "proxy2")) && *leader != '\0' &&
           strcmp(cluster_redis_of(c, leader), engine) == 0;
}

void stage_renew(struct stage *stage)
{
    static const char *const names[] = {"plain1", "log1",   "log2",   "log3",
                                        "proxy1", "redis1", "proxy2", "redis2"};
    size_t count = sizeof names / sizeof *names - (stage->through != STAGE_LEADER ? 0 : 2);

    close_controls(stage);
    for (size_t i = 0; i < count; i++) {
        cluster_kill(stage->cluster, names[i]);
    }
    for (size_t i = 0; i < count; i++) {
        cluster_wipe(stage->cluster, names[i]);
    }
    cluster_start(stage->cluster);
    open_controls(stage);
}
