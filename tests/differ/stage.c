#include "tests/differ/stage.h"

#include "tests/differ/frames.h"

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

static const char *const control_names[STAGE_CONTROLS] = {"plain1", "proxy1", "redis1"};

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

    for (int i = 0; getenv("DIFFER_DUMP") != NULL && i < STAGE_CONTROLS; i++) {
        struct wire *w = &stage->controls[i];
        wire_queue(w, "CLIENT", "LIST");
        if (stage_take(w, 1, &reply)) {
            printf("%s %s\n", control_names[i], (char *)buf_head(&reply));
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
                                         "slowlog-log-slower-than",
                                         "10000",
                                         NULL};
    wire_queue(w, "CLIENT", "UNPAUSE");
    wire_queue(w, "SCRIPT", "FLUSH");
    wire_queue(w, "FUNCTION", "FLUSH");
    wire_queue(w, "ACL", "DELUSER", "u1", "u2");
    wire_queue(w, "ACL", "LOG", "RESET");
    wire_queue(w, "FLUSHALL");
    wire_queue(w, "DEBUG", "SET-ACTIVE-EXPIRE", "1");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "1B");
    wire_queue(w, "DEBUG", "QUICKLIST-PACKED-THRESHOLD", "0");
    const char *argv[64] = {"CONFIG", "SET"};
    memcpy(&argv[2], config, sizeof config);
    wire_queuev(w, argv);
    return 10;
}

/* ---- connections ---- */

void stage_connect(const struct stage *stage, enum stage_side side, struct wire *w)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};

    if (side != STAGE_PLAIN) {
        wire_open(w, cluster_port(stage->cluster, control_names[side]));
        return;
    }
    /* The path itself may be too long. */
    (void)snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/redis.sock",
                   stage->plain_dir_fd);
    *w = (struct wire){.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ck_assert_msg(w->fd >= 0 && connect(w->fd, (struct sockaddr *)&addr, sizeof addr) == 0,
                  "connect to plain1: %s", strerror(errno));
}

static void open_controls(struct stage *stage)
{
    char path[600];

    (void)snprintf(path, sizeof path, "%s/data", cluster_dir(stage->cluster, "plain1"));
    stage->plain_dir_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(stage->plain_dir_fd, 0);
    stage_connect(stage, STAGE_PLAIN, &stage->controls[STAGE_PLAIN]);
    stage_connect(stage, STAGE_PROXY, &stage->controls[STAGE_PROXY]);
    wire_open(&stage->controls[STAGE_ENGINE], cluster_port(stage->cluster, "redis1"));
    for (int i = 0; i < STAGE_SIDES; i++) {
        struct buf reply = BUF_INIT;
        wire_queue(&stage->controls[i], "CLIENT", "SETNAME", FRAMES_CONTROL);
        ck_assert(stage_take(&stage->controls[i], 1, &reply));
        buf_release(&reply);
    }
}

static void close_controls(struct stage *stage)
{
    for (int i = 0; i < STAGE_CONTROLS; i++) {
        wire_close(&stage->controls[i]);
    }
    close(stage->plain_dir_fd);
}

void stage_open(struct stage *stage, struct cluster *cluster)
{
    *stage = (struct stage){.cluster = cluster, .timeout_ms = STAGE_TIMEOUT_MS};
    open_controls(stage);
    table_load(&stage->table, &stage->controls[STAGE_PLAIN]);
}

void stage_close(struct stage *stage)
{
    close_controls(stage);
    table_release(&stage->table);
}

void stage_renew(struct stage *stage)
{
    static const char *const names[] = {"proxy1", "redis1", "plain1", "log1", "log2", "log3"};

    close_controls(stage);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_kill(stage->cluster, names[i]);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cluster_wipe(stage->cluster, names[i]);
    }
    cluster_start(stage->cluster);
    open_controls(stage);
    stage->fresh++;
}
