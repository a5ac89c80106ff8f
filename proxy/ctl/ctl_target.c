#include "proxy/ctl/ctl_target.h"

#include "common/mem.h"
#include "proxy/follow/lineage.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *const target_settings[CTL_TARGET_SETTINGS] = {"masterauth", "masteruser",
                                                                 "replica-read-only"};

/* The address of our end of the connection: that is where Redis finds us. */
static bool target_our_host(struct ctl_target *t)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof a;

    if (getsockname(t->link.redis->fd, (struct sockaddr *)&a, &size) != 0) {
        return false;
    }
    const void *ip = a.ss_family == AF_INET6
                         ? (const void *)&((const struct sockaddr_in6 *)&a)->sin6_addr
                         : (const void *)&((const struct sockaddr_in *)&a)->sin_addr;
    return inet_ntop(a.ss_family, ip, t->our_host, sizeof t->our_host) != NULL;
}

static int target_info(struct ctl_target *t, const char *section, struct ctl_text *out)
{
    const char *argv[] = {"INFO", section};
    char *text = NULL;
    int rc = ctl_link_ask(&t->link, true, &text, 2, argv);

    if (rc == CTL_EXIT_DONE) {
        ctl_text_init(out, text, strlen(text), "");
    }
    free(text);
    return rc;
}

static int target_refuse(const struct ctl_target *t, bool force, const char *why)
{
    if (force) {
        return CTL_EXIT_DONE;
    }
    ctl_complain("%s:%d %s; nothing was changed (--force replaces what is there)", t->link.host,
                 t->link.port, why);
    return CTL_EXIT_FAILED;
}

static int target_check_role(struct ctl_target *t, bool force)
{
    struct ctl_text info;

    int rc = target_info(t, "holdfast", &info);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    bool proxy = ctl_text_get(&info, "holdfast_version") != NULL;
    ctl_text_fini(&info);
    if (proxy) {
        ctl_complain("%s:%d is a proxy, whose data are what its log says: restore into a Redis "
                     "that no proxy has",
                     t->link.host, t->link.port);
        return CTL_EXIT_FAILED;
    }
    rc = target_info(t, "replication", &info);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    const char *role = ctl_text_get(&info, "role");
    bool master = role != NULL && strcmp(role, "master") == 0;
    bool replicas = ctl_text_number(&info, "connected_slaves") > 0;
    ctl_text_fini(&info);
    if (!master) {
        ctl_complain("%s:%d is a replica of another Redis", t->link.host, t->link.port);
        return CTL_EXIT_FAILED;
    }
    return replicas ? target_refuse(t, force, "has replicas, or a proxy logs what it does")
                    : CTL_EXIT_DONE;
}

/* What is lost is said, also when that was asked for. */
static int target_check_empty(struct ctl_target *t, bool force)
{
    unsigned long long keys = 0;
    struct ctl_text info;
    char number[32];
    int rc = target_info(t, "keyspace", &info);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    for (size_t i = 0; i < info.count; i++) {
        if (ctl_text_field(info.lines[i].value, "keys", number, sizeof number)) {
            keys += strtoull(number, NULL, 10);
        }
    }
    ctl_text_fini(&info);
    if (keys == 0) {
        return CTL_EXIT_DONE;
    }
    if (force) {
        fprintf(stderr, "%s:%d holds %llu keys, which are replaced\n", t->link.host, t->link.port,
                keys);
    }
    return target_refuse(t, force, "is not empty");
}

/* What one version of Redis writes, an older one may not understand. */
static int target_check_version(struct ctl_target *t, bool force, const char *engine)
{
    struct ctl_text info;
    int rc = target_info(t, "server", &info);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    const char *version = ctl_text_get(&info, "redis_version");
    (void)snprintf(t->version, sizeof t->version, "%.31s", version != NULL ? version : "?");
    ctl_text_fini(&info);
    uint32_t theirs = lineage_engine(t->version), ours = lineage_engine(engine);
    if (ours != 0 && WIRE_ENGINE_MINOR(theirs) < WIRE_ENGINE_MINOR(ours)) {
        char why[120];
        (void)snprintf(why, sizeof why, "is Redis %.31s, older than the %.31s that wrote the data",
                       t->version, engine);
        return target_refuse(t, force, why);
    }
    if (ours != 0 && theirs != ours) {
        fprintf(stderr, "the data were written by Redis %s, %s:%d is Redis %s\n", engine,
                t->link.host, t->link.port, t->version);
    }
    return CTL_EXIT_DONE;
}

static int target_keep_settings(struct ctl_target *t)
{
    for (size_t i = 0; i < CTL_TARGET_SETTINGS; i++) {
        redisReply *reply = redisCommand(t->link.redis, "CONFIG GET %s", target_settings[i]);
        bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
        if (good) {
            t->settings[i] = mem_strdup(reply->element[1]->str);
        }
        freeReplyObject(reply);
        if (!good) {
            ctl_complain("%s:%d does not take CONFIG GET, which is needed", t->link.host,
                         t->link.port);
            return CTL_EXIT_FAILED;
        }
    }
    return CTL_EXIT_DONE;
}

int ctl_target_open(struct ctl_target *t, const struct ctl *ctl, const char *host, int port,
                    const char *engine)
{
    struct ctl theirs = *ctl;

    *t = (struct ctl_target){.our_host = ""};
    theirs.user = "";
    theirs.password = ctl->to_password;
    int rc = ctl_link_open(&t->link, &theirs, host, port, true);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    if (!target_our_host(t)) {
        rc = CTL_EXIT_FAILED;
    } else if ((rc = target_check_role(t, ctl->force)) == CTL_EXIT_DONE &&
               (rc = target_check_empty(t, ctl->force)) == CTL_EXIT_DONE &&
               (rc = target_check_version(t, ctl->force, engine)) == CTL_EXIT_DONE) {
        rc = target_keep_settings(t);
    }
    if (rc != CTL_EXIT_DONE) {
        ctl_target_close(t);
    }
    return rc;
}

int ctl_target_finish(struct ctl_target *t)
{
    const char *argv[] = {"REPLICAOF", "NO", "ONE"};
    char *text = NULL;
    int rc = ctl_link_ask(&t->link, true, &text, 3, argv);

    free(text);
    for (size_t i = 0; i < CTL_TARGET_SETTINGS; i++) {
        const char *set[] = {"CONFIG", "SET", target_settings[i], t->settings[i]};
        int set_rc = ctl_link_ask(&t->link, true, &text, 4, set);
        free(text);
        rc = rc == CTL_EXIT_DONE ? set_rc : rc;
    }
    return rc;
}

void ctl_target_close(struct ctl_target *t)
{
    ctl_link_close(&t->link);
    for (size_t i = 0; i < CTL_TARGET_SETTINGS; i++) {
        free(t->settings[i]);
    }
}
