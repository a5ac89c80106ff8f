/* The members of the log in a real cluster: a log node that lost its disk is refused by name, and
 * is replaced by one with a new name while clients write and read; nothing that was acknowledged is
 * lost, and the newcomer counts. */
#include "tests/lib/standstill.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {.redis_args = redis_args, .pairs = 2};

enum {
    LOAD_MS = 400,
    BACK_MS = 60000,
    NOT_NOTICED_MAX_MS = 1000, /* as in test_faults.c */
};

static const char *leader(void)
{
    const char *name = cluster_leader(cluster);
    return name[0] != '\0' ? name : "proxy1";
}

/* HOLDFAST LOG STATUS as text; "" while the proxy does not answer. */
static void log_status(char *text, size_t size)
{
    struct wire link;
    struct buf reply = BUF_INIT;

    text[0] = '\0';
    if (wire_try_open(&link, cluster_port(cluster, leader())) != ERR_OK) {
        return;
    }
    wire_command(&link, "HOLDFAST", "LOG", "STATUS");
    if (wire_reply(&link, &reply, 5000) == ERR_OK) {
        snprintf(text, size, "%s", (char *)buf_head(&reply));
    }
    wire_close(&link);
    buf_release(&reply);
}

/* Whether the status has a line that begins with `key` and holds `part` and `other`. */
static bool status_has(const char *key, const char *part, const char *other)
{
    char text[8192];
    char *rest = text, *line;

    log_status(text, sizeof text);
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0 && strstr(line, part) != NULL &&
            strstr(line, other) != NULL) {
            return true;
        }
    }
    return false;
}

static void replace(const char *old_id, const char *address, const char *reply)
{
    struct wire link;

    wire_open(&link, cluster_port(cluster, leader()));
    wire_asks(&link, reply, "HOLDFAST", "LOG", "REPLACE", old_id, address);
    wire_close(&link);
}

static const char *address_of(const char *name)
{
    static char text[64];

    snprintf(text, sizeof text, "127.0.0.1:%d", cluster_port(cluster, name));
    return text;
}

static bool log2_is_refused(void *arg)
{
    char line[512];

    (void)arg;
    return cluster_info_of(cluster, leader(), "holdfast_log2", line, sizeof line) &&
           strstr(line, "state=refused") != NULL;
}

static void lose_disk_of_log2(void)
{
    cluster_kill(cluster, "log2");
    cluster_wipe(cluster, "log2");
    cluster_spawn(cluster, "log2");
}

static bool change_has_failed(void *arg)
{
    (void)arg;
    return status_has("change_error:", "", "");
}

/* The node at that address is a member, and nothing is under way. */
static bool change_is_over(void *arg)
{
    ck_assert(!change_has_failed(NULL));
    return status_has("change:", "none", "") && status_has("node", arg, "member=yes");
}

/* Since this was asked last; what is done can't be done again, so what the machine stood still for
 * is taken off. */
static void expect_not_noticed(struct load *load, struct standstill *still, const char *what)
{
    struct load_counts counts = load_counts(load);
    uint64_t delay_us = standstill_delay_us(still);

    ck_assert_msg(counts.refused == 0 && counts.loading == 0 && counts.closed == 0,
                  "%s: %llu refused, %llu loading, %llu closed", what,
                  (unsigned long long)counts.refused, (unsigned long long)counts.loading,
                  (unsigned long long)counts.closed);
    ck_assert_msg(counts.latency_max_us < NOT_NOTICED_MAX_MS * 1000ull + delay_us,
                  "%s: a reply took %llu us, of which the machine explains %llu", what,
                  (unsigned long long)counts.latency_max_us, (unsigned long long)delay_us);
    ck_assert_uint_gt(counts.writes_acked, 0);
    load_counts_clear(load);
}

static void settle(struct load *load)
{
    ck_assert_msg(load_settle(load, BACK_MS), "some replies never come");
    load_check(load);
}

/* log2 loses its disk and comes back under its old name: it is refused with the text that says what
 * to do, and counts for nothing. log4 takes its place while the load goes on. Then log1 goes, so
 * log4's acknowledgements are needed; and everything goes, and comes back from what is on disk,
 * with a configuration of the proxy that still names log2. */
START_TEST(lost_disk_is_replaced)
{
    char line[512], address[64];
    struct load *load = load_create(&(struct load_options){.port = cluster_port(cluster, leader()),
                                                           .seed = (unsigned)getpid()});
    struct standstill *still = standstill_create(cluster_dir(cluster, "log4"));

    snprintf(address, sizeof address, "%s", address_of("log4"));
    load_run(load, LOAD_MS, NULL, NULL);
    load_counts_clear(load);
    lose_disk_of_log2();
    load_run(load, LOAD_MS, NULL, NULL);
    cluster_wait("log2 to be refused", BACK_MS, log2_is_refused, NULL);
    ck_assert(cluster_info_of(cluster, leader(), "holdfast_log2", line, sizeof line));
    ck_assert_msg(strstr(line,
                         "log node log2 has an empty disk but was a member; a lost disk comes "
                         "back under a new node_id: start it with one and run holdfast-ctl "
                         "log replace log2 NEW") != NULL,
                  "%s", line);
    cluster_wait_log(cluster, leader(), "log node log2 has an empty disk but was a member");
    load_counts_clear(load); /* the waiting was the test's own */
    (void)standstill_longest_us(still);
    load_run(load, LOAD_MS, NULL, NULL);
    expect_not_noticed(load, still, "log2 lost its disk");

    replace("log2", address, "+OK\r\n");
    load_run(load, BACK_MS, change_is_over, address);
    ck_assert(change_is_over(address));
    load_run(load, LOAD_MS, NULL, NULL);
    expect_not_noticed(load, still, "log2 was replaced");
    ck_assert(status_has("members:", "stable", ""));
    ck_assert(!status_has("node", "member=yes", "snapshot=none"));

    cluster_kill(cluster, "log1");
    load_run(load, 3 * LOAD_MS, NULL, NULL);
    expect_not_noticed(load, still, "log1 killed");
    settle(load);

    load_run(load, LOAD_MS, NULL, NULL);
    cluster_kill_all(cluster);
    load_hang_up(load);
    cluster_start(cluster);
    load_check(load);
    load_run(load, LOAD_MS, NULL, NULL);
    settle(load);
    ck_assert(status_has("node", address, "member=yes"));
    load_destroy(load);
    standstill_destroy(still);
}
END_TEST

/* A follower, whose configuration names the old nodes, goes along with the members: it takes over
 * with the newcomer and one of the others, when the leader and a third log node are gone. */
START_TEST(follower_takes_over)
{
    char address[64], old_leader[16], reply[64];
    bool first = strcmp(leader(), "proxy1") == 0;

    snprintf(old_leader, sizeof old_leader, "%s", leader());
    snprintf(address, sizeof address, "%s", address_of("log4"));
    cluster_wait_followers(cluster);
    replace("log2", address, "+OK\r\n");
    cluster_wait("log2 to be replaced", BACK_MS, change_is_over, address);
    cluster_ask(cluster, leader(), reply, sizeof reply,
                (const char *const[]){"SET", "kept", "by log4", NULL});
    cluster_kill(cluster, "log2"); /* it is out */
    cluster_kill(cluster, "log1");
    cluster_ask(cluster, leader(), reply, sizeof reply,
                (const char *const[]){"SET", "last", "by log3 and log4", NULL});
    cluster_kill(cluster, old_leader);
    cluster_wait_leader(cluster);
    ck_assert_str_eq(leader(), first ? "proxy2" : "proxy1");
    cluster_ask(cluster, leader(), reply, sizeof reply, (const char *const[]){"GET", "last", NULL});
    ck_assert_str_eq(reply, "by log3 and log4");
    ck_assert(status_has("node", address, "member=yes"));
    cluster_spawn(cluster, old_leader); /* it asks log3, the only one it knows that is there */
    cluster_wait_followers(cluster);
}
END_TEST

/* What can't be is refused with its reason, at once or in the status, and changes nothing. */
START_TEST(replacements_that_cannot_be)
{
    replace("nobody", address_of("log4"), "-ERR no member of the log has that node id\r\n");
    replace("log3", "somewhere", "-ERR the new node's address must be HOST:PORT\r\n");
    replace("log3", "127.0.0.1:0", "-ERR the new node's address must be HOST:PORT\r\n");
    replace("log2", address_of("log3"),
            "-ERR the log node at that address is a member already\r\n");

    /* Itself, under the name of a member, on another disk: looked at, and given up. */
    lose_disk_of_log2();
    cluster_wait("log2 to be refused", BACK_MS, log2_is_refused, NULL);
    replace("log2", address_of("log2"), "+OK\r\n");
    cluster_wait("the change to be given up", BACK_MS, change_has_failed, NULL);
    ck_assert(status_has("change_error:", "a lost disk comes back under a new node_id", ""));
    ck_assert(status_has("change:", "none", ""));
    ck_assert(status_has("members:", "stable", ""));
}
END_TEST

static bool log_is_founded(void *arg)
{
    (void)arg;
    return status_has("members:", "stable", "") &&
           !status_has("node", "member=yes", "snapshot=none");
}

static void setup_with(const struct cluster_options *options)
{
    system_create_with(options);
    cluster_add_log(cluster, "log4");
    cluster_start(cluster);
    cluster_wait("the log to be founded", BACK_MS, log_is_founded, NULL);
}

static void setup(void)
{
    setup_with(&system_options);
}

/* Where no leader is to fail. */
static void setup_for_long(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = CLUSTER_LONG_LEASE_MS;
    setup_with(&options);
}

int main(void)
{
    Suite *suite = suite_create("membership");

    SYSTEM_CASE(suite, "refusals", setup_for_long, 300, replacements_that_cannot_be);
    SYSTEM_CASE(suite, "follower", setup, 300, follower_takes_over);
    SYSTEM_CASE(suite, "replace", setup_for_long, 300, lost_disk_is_replaced);
    return unit_main(suite);
}
