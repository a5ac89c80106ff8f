#include "proxy/ctl/ctl_target.h"

#include "common/clock.h"
#include "common/mem.h"
#include "common/random.h"
#include "proxy/follow/lineage.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum {
    TARGET_POLL_MS = 100,
    TARGET_END_MS = 5000,
    TARGET_GONE_MS = 1000,    /* Redis may see late that a connection is closed */
    TARGET_ANSWER_MS = 60000, /* a large dataset is loaded, or emptied, in one step */
    TARGET_RANDOM_DIGITS = 32
};

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

static int target_keep_settings(struct ctl_target *t)
{
    for (size_t i = 0; i < TARGET_SETTINGS; i++) {
        redisReply *reply = redisCommand(t->link.redis, "CONFIG GET %s", target_mark_settings[i]);
        bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
        if (good) {
            t->mark.settings[i] = mem_strdup(reply->element[1]->str);
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

/* A Redis that loads what it was sent takes no such command until it is through. */
static int target_say(struct ctl_target *t, int argc, const char **argv)
{
    char *text = NULL;
    bool told = false;
    int rc = ctl_link_ask(&t->link, false, &text, argc, argv);

    while (rc == CTL_EXIT_FAILED && text != NULL && strncmp(text, "LOADING", 7) == 0) {
        if (!told) {
            fprintf(stderr, "%s:%d loads what it was sent; waiting for it\n", t->link.host,
                    t->link.port);
            told = true;
        }
        free(text);
        (void)nanosleep(&(struct timespec){.tv_nsec = TARGET_POLL_MS * 1000000L}, NULL);
        rc = ctl_link_ask(&t->link, false, &text, argc, argv);
    }
    if (rc != CTL_EXIT_DONE) {
        ctl_complain("%s:%d: %s", t->link.host, t->link.port,
                     text != NULL ? text : "does not answer");
    }
    free(text);
    return rc;
}

struct target_role {
    bool master, replicas;
    bool linked;  /* a replica whose master answers */
    bool syncing; /* … or sends it a dataset */
    bool loading;
};

static int target_role(struct ctl_target *t, struct target_role *out)
{
    struct ctl_text info;
    int rc = target_info(t, "replication", &info);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    const char *role = ctl_text_get(&info, "role"),
               *link = ctl_text_get(&info, "master_link_status");
    out->master = role != NULL && strcmp(role, "master") == 0;
    out->replicas = ctl_text_number(&info, "connected_slaves") > 0;
    out->linked = link != NULL && strcmp(link, "up") == 0;
    out->syncing = ctl_text_number(&info, "master_sync_in_progress") > 0;
    ctl_text_fini(&info);
    rc = target_info(t, "persistence", &info);
    if (rc == CTL_EXIT_DONE) {
        out->loading = ctl_text_number(&info, "loading") > 0;
        ctl_text_fini(&info);
    }
    return rc;
}

/* Whose it is, by its masterauth. */
enum target_owner {
    TARGET_OURS,
    TARGET_UNTOUCHED, /* it is what it was before */
    TARGET_OTHERS,    /* somebody has set another since, or it does not tell */
};

static enum target_owner target_owner(struct ctl_target *t)
{
    redisReply *reply = redisCommand(t->link.redis, "CONFIG GET masterauth");
    enum target_owner owner = TARGET_OTHERS;

    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2) {
        const char *auth = reply->element[1]->str;
        owner = strcmp(auth, t->mark.secret) == 0        ? TARGET_OURS
                : strcmp(auth, t->mark.settings[0]) == 0 ? TARGET_UNTOUCHED
                                                         : TARGET_OTHERS;
    }
    freeReplyObject(reply);
    return owner;
}

static bool target_is_replica(struct ctl_target *t)
{
    struct target_role role = {.master = true};

    return target_role(t, &role) == CTL_EXIT_DONE && !role.master;
}

/* Has it forget what it was. */
static int target_unmark(struct ctl_target *t)
{
    redisReply *reply = redisCommand(t->link.redis, "ACL DELUSER %s", target_mark_user);
    bool good = reply != NULL && reply->type == REDIS_REPLY_INTEGER;

    t->marked = false;
    if (!good) {
        ctl_complain("%s:%d: its user %s stays: %s", t->link.host, t->link.port, target_mark_user,
                     reply != NULL && reply->type == REDIS_REPLY_ERROR ? reply->str
                                                                       : "it does not answer");
    }
    freeReplyObject(reply);
    return good ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

/* Everything is tried, also when one thing fails; nothing where it is not ours any more. *clear:
 * whether it is to be emptied, and then whether it was ours to empty: it is a replica by a mark of
 * ours. */
static int target_let_go(struct ctl_target *t, bool *clear)
{
    enum target_owner owner = target_owner(t);

    if (owner == TARGET_UNTOUCHED) {
        return target_unmark(t); /* it had not begun */
    }
    *clear = *clear && owner == TARGET_OURS && target_is_replica(t);
    if (owner == TARGET_OTHERS) {
        ctl_complain("%s:%d: somebody else has set its masterauth meanwhile: nothing of it is put "
                     "back",
                     t->link.host, t->link.port);
        return CTL_EXIT_FAILED;
    }
    int rc = target_say(t, 3, (const char *[]){"REPLICAOF", "NO", "ONE"});

    if (*clear) {
        int clear_rc = target_say(t, 1, (const char *[]){"FLUSHALL"});
        rc = rc == CTL_EXIT_DONE ? clear_rc : rc;
    }
    for (size_t i = TARGET_SETTINGS; i > 0; i--) { /* the secret last of these */
        const char *set[] = {"CONFIG", "SET", target_mark_settings[i - 1], t->mark.settings[i - 1]};
        int set_rc = target_say(t, 4, set);
        rc = rc == CTL_EXIT_DONE ? set_rc : rc;
    }
    return rc == CTL_EXIT_DONE ? target_unmark(t) : rc; /* of no use without the secret */
}

/* An earlier restore was killed, and could not let it go. What it holds is a part of something; as
 * a master it may hold what others have written since. */
static int target_repair(struct ctl_target *t, struct target_mark *found, bool master)
{
    bool clear = found->empty && !master;

    target_mark_fini(&t->mark);
    t->mark = *found;
    *found = (struct target_mark){.empty = false};
    fprintf(stderr, "%s:%d: an earlier restore was killed; %s\n", t->link.host, t->link.port,
            clear    ? "what it has left is removed"
            : master ? "its settings are put back"
                     : "it is a master again, and holds a part of it");
    return target_let_go(t, &clear);
}

static int target_check_proxy(struct ctl_target *t)
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
    }
    return proxy ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
}

/* Gives our connection the name that other restores look for. */
static int target_announce(struct ctl_target *t)
{
    redisReply *reply = redisCommand(t->link.redis, "CLIENT SETNAME %s", target_mark_user);
    redisReply *id = reply != NULL ? redisCommand(t->link.redis, "CLIENT ID") : NULL;
    bool good = reply != NULL && reply->type == REDIS_REPLY_STATUS && id != NULL &&
                id->type == REDIS_REPLY_INTEGER;

    t->client = good ? (uint64_t)id->integer : 0;
    freeReplyObject(reply);
    freeReplyObject(id);
    if (!good) {
        ctl_complain("%s:%d does not take CLIENT SETNAME and CLIENT ID, which are needed",
                     t->link.host, t->link.port);
    }
    return good ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

/* Whether no other restore is at work there. Each announces itself before it looks, so of two that
 * begin together at least one sees the other; the later one goes, and the earlier one waits for
 * that. */
static int target_be_alone(struct ctl_target *t)
{
    const char *argv[] = {"CLIENT", "LIST"};
    uint64_t begun_ns = clock_now_ns(), patience_ms;
    enum target_others others;
    char *text;

    do {
        int rc = ctl_link_ask(&t->link, true, &text, 2, argv);
        others = rc == CTL_EXIT_DONE ? target_mark_others(text, t->client) : TARGET_ALONE;
        free(text);
        if (rc != CTL_EXIT_DONE || others == TARGET_ALONE) {
            return rc;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = TARGET_POLL_MS * 1000000L}, NULL);
        patience_ms = others == TARGET_BEFORE_OTHERS ? TARGET_END_MS : TARGET_GONE_MS;
    } while (clock_now_ns() - begun_ns < patience_ms * CLOCK_NS_PER_MS);
    ctl_complain("%s:%d: another restore is under way; nothing was changed. CLIENT LIST there says "
                 "where from: addr of name=%s; if its machine died, CLIENT KILL ID ends it",
                 t->link.host, t->link.port, target_mark_user);
    return CTL_EXIT_FAILED;
}

/* A replica of a restore that was killed sees the end of the link, if not at once: it may load what
 * it was sent before. One of a restore that has just begun is soon sent something. */
static int target_left_alone(struct ctl_target *t, struct target_role *role)
{
    uint64_t end_ns = clock_now_ns() + TARGET_END_MS * CLOCK_NS_PER_MS;
    int rc = CTL_EXIT_DONE;

    while (rc == CTL_EXIT_DONE && !role->master && clock_now_ns() < end_ns) {
        (void)nanosleep(&(struct timespec){.tv_nsec = TARGET_POLL_MS * 1000000L}, NULL);
        rc = target_role(t, role);
        if (role->loading) {
            end_ns = clock_now_ns() + TARGET_END_MS * CLOCK_NS_PER_MS;
        }
    }
    return rc;
}

/* What an earlier restore has left with it, if it has: its masterauth is that one's secret then. A
 * mark without it is of one that ended before it began, or was put right by hand: one that is about
 * to begin is still connected, see target_be_alone. */
static int target_find_mark(struct ctl_target *t, struct target_mark *found, bool *ours)
{
    redisReply *reply = redisCommand(t->link.redis, "ACL LIST");
    bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY, foreign = false;

    *ours = false;
    for (size_t i = 0; good && i < reply->elements && found->secret == NULL; i++) {
        foreign = !target_mark_parse_user(reply->element[i]->str, found) &&
                  (foreign || target_mark_is_user(reply->element[i]->str));
    }
    freeReplyObject(reply);
    if (foreign) {
        ctl_complain("%s:%d has a user %s that no restore has made, and restore needs that name: "
                     "rename it; nothing was changed",
                     t->link.host, t->link.port, target_mark_user);
        return CTL_EXIT_FAILED;
    }
    if (!good) {
        ctl_complain("%s:%d does not take ACL LIST, which is needed", t->link.host, t->link.port);
        return CTL_EXIT_FAILED;
    }
    *ours = found->secret != NULL && strcmp(found->secret, t->mark.settings[0]) == 0;
    if (!*ours && target_mark_is_secret(t->mark.settings[0])) {
        ctl_complain("%s:%d: an earlier restore was killed, and its user %s, who knows what there "
                     "was before, is gone: set its %s, %s and %s; nothing was changed",
                     t->link.host, t->link.port, target_mark_user, target_mark_settings[0],
                     target_mark_settings[1], target_mark_settings[2]);
        return CTL_EXIT_FAILED;
    }
    return found->secret != NULL && !*ours ? target_unmark(t) : CTL_EXIT_DONE;
}

static int target_check_role(struct ctl_target *t, bool force, struct target_mark *found)
{
    struct target_role role = {.master = false};
    bool ours;
    int rc = target_find_mark(t, found, &ours);

    rc = rc == CTL_EXIT_DONE ? target_role(t, &role) : rc;
    if (rc == CTL_EXIT_DONE && ours) {
        rc = target_left_alone(t, &role);
        rc = rc == CTL_EXIT_DONE ? target_be_alone(t) : rc;    /* that one may be about to end */
        rc = rc == CTL_EXIT_DONE ? target_role(t, &role) : rc; /* what it has left */
    }
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    if (ours && (role.master || (!role.linked && !role.syncing))) {
        rc = target_repair(t, found, role.master);
        rc = rc == CTL_EXIT_DONE ? target_role(t, &role) : rc;
        ours = false;
    }
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    if (!role.master) {
        ctl_complain("%s:%d is a replica of another Redis%s", t->link.host, t->link.port,
                     ours ? ": another restore is under way" : "");
        return CTL_EXIT_FAILED;
    }
    return role.replicas ? target_refuse(t, force, "has replicas, or a proxy logs what it does")
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
    t->mark.empty = keys == 0;
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

/* A setting's value; false: it does not tell. */
static bool target_setting(struct ctl_target *t, const char *name, char *out, size_t size)
{
    redisReply *reply = redisCommand(t->link.redis, "CONFIG GET %s", name);
    bool good = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                reply->element[1]->type == REDIS_REPLY_STRING;

    if (good) {
        (void)snprintf(out, size, "%s", reply->element[1]->str);
    }
    freeReplyObject(reply);
    return good;
}

/* A Redis that is sent an RDB with a database that it lacks ends itself, and one that is sent
 * SELECT of one goes on in another (rdb.c, rdbLoadRioWithLoadingCtx; replication.c). */
static int target_check_databases(struct ctl_target *t, bool force, unsigned databases)
{
    char text[32], why[160];

    if (!target_setting(t, "databases", text, sizeof text) ||
        strtoul(text, NULL, 10) >= databases) {
        return CTL_EXIT_DONE;
    }
    (void)snprintf(why, sizeof why,
                   "has %.31s databases, and what is restored may be in any of %u: with one that "
                   "it lacks it would end itself",
                   text, databases);
    return target_refuse(t, force, why);
}

/* A replica heeds its maxmemory only if it is told to; it would throw away, or refuse, what it is
 * sent. */
static int target_check_heeds(struct ctl_target *t, bool force)
{
    char max[32], ignores[8];

    if (!target_setting(t, "maxmemory", max, sizeof max) ||
        !target_setting(t, "replica-ignore-maxmemory", ignores, sizeof ignores) ||
        strcmp(max, "0") == 0 || strcmp(ignores, "yes") == 0) {
        return CTL_EXIT_DONE;
    }
    return target_refuse(t, force,
                         "heeds its maxmemory also as a replica, and would not take all that it "
                         "is sent: CONFIG SET replica-ignore-maxmemory yes");
}

/* Whether all that it holds stays there once it is a master: from then on it evicts what is beyond
 * its maxmemory, at the next command. False: complained. */
static bool target_keeps_all(struct ctl_target *t)
{
    struct ctl_text info;

    if (target_info(t, "memory", &info) != CTL_EXIT_DONE) {
        return false;
    }
    long long max = ctl_text_number(&info, "maxmemory"),
              used = ctl_text_number(&info, "used_memory"),
              beside = ctl_text_number(&info, "mem_not_counted_for_evict");
    const char *policy = ctl_text_get(&info, "maxmemory_policy");
    bool over = max > 0 && used - (beside > 0 ? beside : 0) > max;
    bool evicts = policy != NULL && strcmp(policy, "noeviction") != 0;
    if (over) {
        ctl_complain("%s:%d uses %lld bytes, and its maxmemory is %lld: it %s (CONFIG SET "
                     "maxmemory, or maxmemory-policy noeviction)",
                     t->link.host, t->link.port, used, max,
                     evicts ? "throws keys away as soon as it is a master" : "takes no writes");
    }
    ctl_text_fini(&info);
    return !over || !evicts;
}

/* Says what it was, in case it forgets: its users are gone when it loads them from a file, or is
 * restarted. Not the password. */
static void target_tell_settings(const struct ctl_target *t)
{
    const char *const *set = (const char *const *)t->mark.settings;

    if (set[0][0] != '\0' || set[1][0] != '\0' || strcmp(set[2], "yes") != 0) {
        fprintf(stderr, "%s:%d has %s %s, %s '%s' and %s %s, which are changed meanwhile\n",
                t->link.host, t->link.port, set[0][0] != '\0' ? "a" : "no", target_mark_settings[0],
                target_mark_settings[1], set[1], target_mark_settings[2], set[2]);
    }
}

/* Has it keep what it was, before anything is changed. */
static int target_keep_mark(struct ctl_target *t)
{
    char random[TARGET_RANDOM_DIGITS + 1];
    struct buf pattern = BUF_INIT;

    target_tell_settings(t);
    random_hex(random, TARGET_RANDOM_DIGITS);
    target_mark_make_secret(&t->mark, random);
    buf_append_str(&pattern, "~");
    target_mark_print(&t->mark, &pattern);
    int rc = target_say(t, 6,
                        (const char *[]){"ACL", "SETUSER", target_mark_user, "reset", "off",
                                         (const char *)buf_head(&pattern)});
    t->marked = rc == CTL_EXIT_DONE;
    buf_release(&pattern);
    return rc;
}

int ctl_target_open(struct ctl_target *t, const struct ctl *ctl, const char *host, int port,
                    const char *engine, unsigned databases)
{
    struct ctl theirs = *ctl;
    struct target_mark found = {.empty = false};

    theirs.user = ctl->to_user;
    theirs.password = ctl->to_password;
    theirs.password_option = "to-password-file";
    *t = (struct ctl_target){.ctl = theirs};
    int rc = ctl_link_open(&t->link, &theirs, host, port, true);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = CTL_EXIT_FAILED;
    if (target_our_host(t) && (rc = target_check_proxy(t)) == CTL_EXIT_DONE &&
        (rc = target_announce(t)) == CTL_EXIT_DONE && (rc = target_be_alone(t)) == CTL_EXIT_DONE &&
        (rc = target_keep_settings(t)) == CTL_EXIT_DONE &&
        (rc = target_check_role(t, ctl->force, &found)) == CTL_EXIT_DONE &&
        (rc = target_check_empty(t, ctl->force)) == CTL_EXIT_DONE &&
        (rc = target_check_version(t, ctl->force, engine)) == CTL_EXIT_DONE &&
        (rc = target_check_databases(t, ctl->force, databases)) == CTL_EXIT_DONE &&
        (rc = target_check_heeds(t, ctl->force)) == CTL_EXIT_DONE) {
        rc = target_keep_mark(t);
    }
    target_mark_fini(&found);
    if (rc != CTL_EXIT_DONE) {
        ctl_target_close(t);
    }
    return rc;
}

/* The link of the beginning has had nothing to do for hours, perhaps, and Redis may have ended it.
 */
static int target_reach(struct ctl_target *t)
{
    char host[sizeof t->link.host];
    int port = t->link.port, rc;

    memcpy(host, t->link.host, sizeof host);
    t->ctl.timeout_ms = TARGET_ANSWER_MS;
    ctl_link_close(&t->link);
    rc = ctl_link_open(&t->link, &t->ctl, host, port, true);
    if (rc != CTL_EXIT_DONE) {
        ctl_complain("%s:%d is a replica of nobody, if it is still there: run the restore again, "
                     "which puts that right",
                     host, port);
        return rc;
    }
    return target_announce(t);
}

int ctl_target_finish(struct ctl_target *t, bool clear)
{
    int rc = target_reach(t);

    t->marked = false; /* goes when all else is as it was */
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    bool keeps = clear || target_keeps_all(t) || !t->mark.empty;
    clear = clear || !keeps;
    bool emptied = clear && t->mark.empty;
    rc = target_let_go(t, &emptied);
    bool let_go = rc == CTL_EXIT_DONE;
    rc = let_go && !keeps ? CTL_EXIT_FAILED : rc;
    if (clear) {
        ctl_complain("%s:%d %s", t->link.host, t->link.port,
                     emptied && let_go ? "is empty again" : "may hold a part of it");
    }
    return rc;
}

void ctl_target_close(struct ctl_target *t)
{
    if (t->marked && t->link.redis != NULL) {
        (void)target_unmark(t);
    }
    ctl_link_close(&t->link);
    target_mark_fini(&t->mark);
}
