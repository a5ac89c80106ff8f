/* Failover: three pairs of Redis and proxy over one log. The leader's proxy, its Redis or both are
 * killed, frozen or cut off the network under load, again and again; each time another leads,
 * everything that was acknowledged is there, all Redis hold the same data in the end, and no term
 * has two leaders.
 *
 * FAILOVERS=n sets how many (make check: each kind twice); the time from the fault to the next
 * acknowledged write is printed for each kind. PAUSES=n and PAUSE_MS=ms: how often a leader is
 * frozen to see whether it answers with something old, and for how long (make check: a few, until
 * another leads).
 */
#include "common/clock.h"
#include "tests/lib/standstill.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
/* What may be unlogged is so little that it is less than the offset of any log that is in use. */
const struct cluster_options system_options = {.pairs = 3,
                                               .redis_args = redis_args,
                                               .proxy_json =
                                                   "\"limits\": {\"unlogged_max_bytes\": 65536}"};

enum {
    PAIRS = 3,
    LOAD_MS = 250,
    BACK_MS = 60000,
    FAILOVERS_DEFAULT = 18, /* each twice */
    FAILOVERS_MAX = 10000,
    HANDOVERS = 6,
    STANDS_STILL_US = 100000, /* a hand-over that is called off then is asked for again */
    NEAR_BYTES = 1 << 20,
    READERS = 4,
    READS = 20000,
    READ_HANDOVERS = 3,
    PAUSES_DEFAULT = 4,
    PAUSE_ASKERS = 4,
    AWAKE_MS = 500,
    TERMS_MAX = 100000,
};

/* ---- the load ---- */

static struct load *load_begin(void)
{
    struct load_options options = {
        .port = cluster_port(cluster, "proxy1"),
        .more_ports = {cluster_port(cluster, "proxy2"), cluster_port(cluster, "proxy3")},
        .seed = (unsigned)getpid(),
        .writers = 6,
        .readers = 3};
    struct load *load = load_create(&options);
    load_run(load, LOAD_MS, NULL, NULL);
    load_counts_clear(load);
    return load;
}

struct since {
    struct load *load;
    uint64_t ns;
};

/* Whether a write that was sent after that moment has been acknowledged. */
static bool is_served(void *arg)
{
    struct since *since = arg;
    return load_counts(since->load).acked_sent_ns > since->ns;
}

/* The load goes on until it is served again; how long that took since then. */
static uint64_t wait_served_ms(struct load *load, uint64_t since_ns)
{
    struct since since = {load, since_ns};
    load_run(load, BACK_MS, is_served, &since);
    ck_assert_msg(is_served(&since), "no write is acknowledged any more");
    return (clock_now_ns() - since_ns) / CLOCK_NS_PER_MS;
}

static void load_end(struct load *load)
{
    ck_assert_msg(load_settle(load, BACK_MS), "some replies never come");
    load_check(load);
}

/* ---- what must be true ---- */

/* Each term that somebody served in was one proxy's: by what they say in their logs. */
static void expect_one_leader_per_term(void)
{
    static unsigned char who[TERMS_MAX];
    char path[600], line[1000];

    memset(who, 0, sizeof who);
    for (unsigned i = 1; i <= PAIRS; i++) {
        snprintf(line, sizeof line, "proxy%u", i);
        snprintf(path, sizeof path, "%s/log", cluster_dir(cluster, line));
        FILE *f = fopen(path, "re");
        ck_assert_ptr_nonnull(f);
        while (fgets(line, sizeof line, f) != NULL) {
            const char *at = strstr(line, "serving in term ");
            unsigned long term = at ? strtoul(at + strlen("serving in term "), NULL, 10) : 0;
            ck_assert_uint_lt(term, TERMS_MAX);
            ck_assert_msg(term == 0 || who[term] == 0 || who[term] == i,
                          "proxy%u and proxy%u both served in term %lu", who[term], i, term);
            who[term] = term != 0 ? (unsigned char)i : 0;
        }
        fclose(f);
    }
}

static void expect_all_well(struct load *load)
{
    load_end(load);
    cluster_wait_equal(cluster);
    expect_one_leader_per_term();
}

static void histories_print(const struct load *load)
{
    struct load_histories h = load_histories(load);
    printf("%llu histories of %llu operations are linearizable\n", (unsigned long long)h.judged,
           (unsigned long long)h.operations);
}

/* ---- faults ---- */

enum strike { KILL, FREEZE, CUT };

struct fault {
    const char *name;
    enum strike strike;
    bool proxy, redis;
    uint64_t times_ms[FAILOVERS_MAX];
    unsigned count;
};

static struct fault faults[] = {
    {.name = "kill -9 of proxy and Redis", .strike = KILL, .proxy = true, .redis = true},
    {.name = "kill -9 of Redis", .strike = KILL, .redis = true},
    {.name = "SIGSTOP of the proxy", .strike = FREEZE, .proxy = true},
    {.name = "kill -9 of the proxy", .strike = KILL, .proxy = true},
    {.name = "SIGSTOP of proxy and Redis", .strike = FREEZE, .proxy = true, .redis = true},
    {.name = "SIGSTOP of Redis", .strike = FREEZE, .redis = true},
    {.name = "the proxy cut off", .strike = CUT, .proxy = true},
    {.name = "the proxy cut off its Redis", .strike = CUT, .redis = true},
    {.name = "the proxy cut off, its Redis too", .strike = CUT, .proxy = true, .redis = true},
};
enum { FAULTS = sizeof faults / sizeof *faults };

struct pair_names {
    const char *proxy, *redis;
};

static struct pair_names leader_names(void)
{
    const char *leader = cluster_wait_leader(cluster);
    return (struct pair_names){leader, cluster_redis_of(cluster, leader)};
}

static void strike_one(enum strike strike, const char *name)
{
    switch (strike) {
    case KILL:
        cluster_kill(cluster, name);
        break;
    case FREEZE:
        cluster_pause(cluster, name);
        break;
    case CUT:
        cluster_cut(cluster, name, RELAY_CUT);
        break;
    }
}

static void mend_one(enum strike strike, const char *name)
{
    switch (strike) {
    case KILL:
        cluster_spawn(cluster, name);
        break;
    case FREEZE:
        cluster_resume(cluster, name);
        break;
    case CUT:
        cluster_cut(cluster, name, RELAY_WHOLE);
        break;
    }
}

static void fault_begins(const struct fault *fault, const struct pair_names *names)
{
    if (fault->proxy) {
        strike_one(fault->strike, names->proxy);
    }
    if (fault->redis) {
        strike_one(fault->strike, names->redis);
    }
}

static void fault_ends(const struct fault *fault, const struct pair_names *names)
{
    if (fault->redis) {
        mend_one(fault->strike, names->redis);
    }
    if (fault->proxy) {
        mend_one(fault->strike, names->proxy);
    }
}

/* Every follower could lead at once. (One that is rebuilt can be read long before: what it holds is
 * a prefix of the log. If all are, the loss of a leader is waited for until one has caught up.) */
static bool followers_are_near(void *arg)
{
    const char *leader = cluster_leader(cluster);

    (void)arg;
    for (unsigned i = 1; i <= PAIRS; i++) {
        char name[16], lag[32];
        snprintf(name, sizeof name, "proxy%u", i);
        if (strcmp(name, leader) != 0 &&
            (!cluster_info_of(cluster, name, "holdfast_lag_bytes", lag, sizeof lag) ||
             strtoull(lag, NULL, 10) > NEAR_BYTES)) {
            return false;
        }
    }
    return leader[0] != '\0';
}

static void wait_ready(void)
{
    cluster_wait_followers(cluster);
    cluster_wait("the followers to catch up", 4 * BACK_MS, followers_are_near, NULL);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void faults_print(void)
{
    for (unsigned i = 0; i < FAULTS; i++) {
        struct fault *f = &faults[i];
        if (f->count == 0) {
            continue;
        }
        qsort(f->times_ms, f->count, sizeof f->times_ms[0], compare_times);
        printf("%s: %u times; until the next acknowledged write: p50 %llu ms, p99 %llu ms, "
               "max %llu ms\n",
               f->name, f->count, (unsigned long long)f->times_ms[f->count / 2],
               (unsigned long long)f->times_ms[f->count * 99 / 100],
               (unsigned long long)f->times_ms[f->count - 1]);
    }
}

static unsigned wanted_of(const char *variable, unsigned otherwise)
{
    const char *text = getenv(variable);
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : otherwise;
    return n < FAILOVERS_MAX ? (unsigned)n : FAILOVERS_MAX;
}

static unsigned failovers_wanted(void)
{
    return wanted_of("FAILOVERS", FAILOVERS_DEFAULT);
}

/* FAULT=n in the environment: that one of the faults only, for longer runs; else each in turn. */
static bool fault_is_wanted(void)
{
    return getenv("FAULT") != NULL;
}

static struct fault *fault_next(unsigned i)
{
    return &faults[(fault_is_wanted() ? strtoul(getenv("FAULT"), NULL, 10) : i) % FAULTS];
}

/* With relays, unless one fault is wanted that needs none: they cost time, which is measured. */
static void serve_to_be_cut(void)
{
    struct cluster_options options = system_options;

    options.relays = options.redis_relays = !fault_is_wanted() || fault_next(0)->strike == CUT;
    system_serve_with(&options);
}

/* The leader is lost, in every way, and another takes over; the lost one comes back and follows. */
START_TEST(leaders_are_lost)
{
    struct load *load = load_begin();
    unsigned wanted = failovers_wanted();

    for (unsigned i = 0; i < wanted; i++) {
        struct fault *fault = fault_next(i);
        wait_ready();
        struct pair_names names = leader_names();
        load_run(load, LOAD_MS, NULL, NULL);
        uint64_t since_ns = clock_now_ns();
        fault_begins(fault, &names);
        uint64_t took_ms = wait_served_ms(load, since_ns);
        fault->times_ms[fault->count++] = took_ms;
        load_run(load, LOAD_MS, NULL, NULL);
        fault_ends(fault, &names);
        load_run(load, LOAD_MS, NULL, NULL);
        cluster_wait_followers(cluster);
        expect_all_well(load);
        /* Not a measurement on a machine that does other things: a bound for a hang. */
        ck_assert_msg(took_ms < BACK_MS / 2, "%s: %llu ms", fault->name,
                      (unsigned long long)took_ms);
    }
    faults_print();
    histories_print(load);
    load_destroy(load);
}
END_TEST

/* The same with nothing but reads on their way: their replies wait for no commit, and yet have to
 * leave before the leader does. */
START_TEST(hand_overs_while_all_read)
{
    struct wire readers[READERS], writer;
    struct buf reply = BUF_INIT;

    wire_open(&writer, cluster_port(cluster, "proxy1"));
    wire_asks(&writer, "+OK\r\n", "SET", "read", "1");
    wire_close(&writer);
    for (int i = 0; i < READ_HANDOVERS; i++) {
        char said[64];
        struct pair_names names = leader_names();
        cluster_wait_followers(cluster);
        for (int j = 0; j < READERS; j++) {
            wire_open(&readers[j], cluster_port(cluster, names.proxy));
            for (int k = 0; k < READS; k++) {
                wire_queue(&readers[j], "GET", "read");
            }
            wire_flush(&readers[j]);
        }
        cluster_ask(cluster, names.proxy, said, sizeof said,
                    (const char *[]){"HOLDFAST", "FAILOVER", NULL});
        ck_assert_str_eq(said, "OK");
        for (int j = 0; j < READERS; j++) {
            for (int k = 0; k < READS; k++) {
                wire_flush(&readers[j]);
                ck_assert_int_eq(wire_reply(&readers[j], &reply, BACK_MS), ERR_OK);
                ck_assert_str_eq((const char *)buf_head(&reply), "$1\r\n1\r\n");
            }
            wire_close(&readers[j]);
        }
        (void)cluster_wait_other_leader(cluster, names.proxy);
    }
    buf_release(&reply);
}
END_TEST

/* A planned hand-over: nobody is refused anything, and no connection is closed. */
START_TEST(hand_overs)
{
    struct standstill *still = standstill_create(cluster_dir(cluster, "log1"));
    struct load *load = load_begin();
    uint64_t slowest_us[HANDOVERS];
    unsigned called_off = 0;

    for (unsigned i = 0; i < HANDOVERS;) {
        char reply[64];
        struct pair_names names = leader_names();
        cluster_wait_followers(cluster);
        (void)standstill_longest_us(still);
        load_run(load, LOAD_MS, NULL, NULL);
        load_counts_clear(load);
        uint64_t since_ns = clock_now_ns();
        cluster_ask(cluster, names.proxy, reply, sizeof reply,
                    (const char *[]){"HOLDFAST", "FAILOVER", NULL});
        ck_assert_str_eq(reply, "OK");
        (void)wait_served_ms(load, since_ns);
        load_run(load, 2 * LOAD_MS, NULL, NULL);
        struct load_counts counts = load_counts(load);
        ck_assert_msg(counts.refused == 0 && counts.loading == 0 && counts.closed == 0,
                      "%llu refused, %llu loading, %llu closed", (unsigned long long)counts.refused,
                      (unsigned long long)counts.loading, (unsigned long long)counts.closed);
        if (strcmp(leader_names().proxy, names.proxy) == 0) { /* it was given up, or came back */
            ck_assert_uint_ge(standstill_longest_us(still), STANDS_STILL_US);
            ck_assert_uint_lt(called_off++, HANDOVERS);
            continue;
        }
        slowest_us[i++] = counts.latency_max_us;
    }
    qsort(slowest_us, HANDOVERS, sizeof slowest_us[0], compare_times);
    printf("%d hand-overs; the slowest reply of each: p50 %llu us, max %llu us\n", HANDOVERS,
           (unsigned long long)slowest_us[HANDOVERS / 2],
           (unsigned long long)slowest_us[HANDOVERS - 1]);
    expect_all_well(load);
    load_destroy(load);
    standstill_destroy(still);
}
END_TEST

static long long leaders_term(void)
{
    const char *leader = cluster_leader(cluster);
    return leader[0] != '\0' ? cluster_info_number_of(cluster, leader, "holdfast_term") : -1;
}

static bool a_later_term_is_led(void *arg)
{
    const long long *before = arg;
    return leaders_term() > *before;
}

/* Whoever has led once has more to forget. An heir that is slow to stand for the next term is
 * passed over (nobody waits for it), and is asked for again. */
static void everybody_leads_once(void)
{
    for (unsigned i = 1; i <= PAIRS; i++) {
        char next[16], reply[64];
        struct pair_names names = leader_names();
        snprintf(next, sizeof next, "proxy%u", i);
        for (; strcmp(names.proxy, next) != 0; names = leader_names()) {
            cluster_wait_followers(cluster);
            long long term = leaders_term();
            cluster_ask(cluster, names.proxy, reply, sizeof reply,
                        (const char *[]){"HOLDFAST", "FAILOVER", next, NULL});
            ck_assert_str_eq(reply, "OK");
            cluster_wait("a proxy to lead a later term", BACK_MS, a_later_term_is_led, &term);
        }
        cluster_wait_followers(cluster);
    }
}

struct pauses {
    struct load *load;
    uint64_t times_ms[FAILOVERS_MAX]; /* from the pause to the next acknowledged write */
    unsigned count;
    uint64_t answers, errors, closed, old; /* of a frozen leader that goes on */
    struct wire askers[PAUSE_ASKERS];      /* connections to it, opened before */
    unsigned asked[PAUSE_ASKERS];          /* and not answered yet */
    /* Of those, asked before it was frozen. It may have been on the point of sending such a
     * reply, long since judged to be of its lease; and nobody can tell that one from a slow
     * network's. So they may have the value of before. */
    unsigned early[PAUSE_ASKERS];
    uint64_t early_answers; /* that had it */
    long long newest;
};

static void asker_ask(struct pauses *p, int i)
{
    enum { ASKS = 16 };

    for (; p->askers[i].fd >= 0 && p->asked[i] < ASKS; p->asked[i]++) {
        wire_queue(&p->askers[i], "GET", "old");
    }
    if (p->askers[i].fd >= 0) {
        wire_flush(&p->askers[i]);
    }
}

static void asker_close(struct pauses *p, int i)
{
    p->closed += p->askers[i].fd >= 0;
    wire_close(&p->askers[i]);
    p->askers[i].fd = -1;
    p->asked[i] = p->early[i] = 0;
}

static bool is_value(const char *reply, size_t len, long long value)
{
    char number[24], expected[40];

    snprintf(number, sizeof number, "%lld", value);
    snprintf(expected, sizeof expected, "$%zu\r\n%s\r\n", strlen(number), number);
    return len == strlen(expected) && memcmp(reply, expected, len) == 0;
}

static void asker_judge(struct pauses *p, int i, const char *reply, size_t len)
{
    bool newest = is_value(reply, len, p->newest);

    p->answers++;
    p->errors += reply[0] == '-';
    if (p->early[i] > 0) {
        p->early[i]--;
        p->early_answers += !newest && reply[0] != '-';
        newest |= is_value(reply, len, p->newest - 1);
    }
    p->old += reply[0] != '-' && !newest;
    ck_assert_msg(reply[0] == '-' || newest, "%.*s after %lld was written", (int)len, reply,
                  p->newest);
}

static void askers_take(struct pauses *p)
{
    const char *reply;

    for (int i = 0; i < PAUSE_ASKERS; i++) {
        if (p->askers[i].fd < 0) {
            continue;
        }
        wire_fill(&p->askers[i]);
        for (size_t len; (len = wire_take(&p->askers[i], &reply)) > 0; p->asked[i]--) {
            asker_judge(p, i, reply, len);
        }
        if (p->askers[i].ended) {
            asker_close(p, i);
        }
    }
}

static void askers_ask(struct pauses *p)
{
    for (int i = 0; i < PAUSE_ASKERS; i++) {
        asker_ask(p, i);
    }
}

/* For load_run, which goes on. */
static bool askers_turn(void *arg)
{
    askers_take(arg);
    askers_ask(arg);
    return false;
}

static void set_old(const char *proxy, long long value)
{
    char reply[64], number[24];

    snprintf(number, sizeof number, "%lld", value);
    cluster_ask(cluster, proxy, reply, sizeof reply, (const char *[]){"SET", "old", number, NULL});
}

static void pause_once(struct pauses *p, unsigned pause_ms)
{
    wait_ready();
    struct pair_names names = leader_names();
    uint64_t answers = p->answers;

    set_old(names.proxy, ++p->newest);
    for (int i = 0; i < PAUSE_ASKERS; i++) {
        wire_open(&p->askers[i], cluster_port(cluster, names.proxy));
        wire_queue(&p->askers[i], "PING");
        wire_flush(&p->askers[i]);
        wire_expect(&p->askers[i], "+PONG\r\n");
    }
    load_run(p->load, LOAD_MS, askers_turn, p);
    uint64_t since_ns = clock_now_ns();
    cluster_pause(cluster, names.proxy);
    askers_take(p); /* what was answered before */
    memcpy(p->early, p->asked, sizeof p->early);
    askers_ask(p);
    p->answers = answers;
    p->times_ms[p->count++] = wait_served_ms(p->load, since_ns);
    uint64_t slept_ms = (clock_now_ns() - since_ns) / CLOCK_NS_PER_MS;
    load_run(p->load, pause_ms > slept_ms ? pause_ms - slept_ms : 0, NULL, NULL);
    set_old(leader_names().proxy, ++p->newest);
    cluster_resume(cluster, names.proxy);
    load_run(p->load, AWAKE_MS, askers_turn, p);
    for (int i = 0; i < PAUSE_ASKERS; i++) {
        wire_close(&p->askers[i]);
        p->asked[i] = p->early[i] = 0;
    }
}

/* A leader that was frozen and goes on answers nothing that is old: what it was asked while it
 * slept, and what it is asked then, gets the newest value, an error, or a closed
 * connection. The load's own readers look at the same, over connections of before. */
START_TEST(a_frozen_leader_never_answers_with_an_old_value)
{
    static struct pauses p;
    unsigned wanted = wanted_of("PAUSES", PAUSES_DEFAULT), pause_ms = wanted_of("PAUSE_MS", 0);

    p.load = load_begin();
    everybody_leads_once();
    for (unsigned i = 0; i < wanted; i++) {
        pause_once(&p, pause_ms);
        load_end(p.load);
    }
    cluster_wait_followers(cluster);
    expect_all_well(p.load);
    qsort(p.times_ms, p.count, sizeof p.times_ms[0], compare_times);
    printf(
        "%u leaders were frozen for %u ms or more; next acknowledged write: p50 %llu ms, max "
        "%llu ms\ngoing on they gave %llu answers (%llu errors, %llu old values; %llu to requests "
        "of before, with the value of then) and closed %llu connections\n",
        p.count, pause_ms, (unsigned long long)p.times_ms[p.count / 2],
        (unsigned long long)p.times_ms[p.count - 1], (unsigned long long)p.answers,
        (unsigned long long)p.errors, (unsigned long long)p.old,
        (unsigned long long)p.early_answers, (unsigned long long)p.closed);
    histories_print(p.load);
    load_destroy(p.load);
}
END_TEST

/* Somebody writes to a follower's Redis, or makes it a master: it is made a prefix of the log
 * again, and the proxy says so. */
START_TEST(a_follower_that_was_written_to)
{
    char reply[64];
    struct load *load = load_begin();
    struct pair_names names = leader_names();
    const char *proxy = cluster_other(cluster, names.proxy);
    const char *redis = cluster_redis_of(cluster, proxy);

    ck_assert(load_settle(load, BACK_MS));
    cluster_ask(cluster, redis, reply, sizeof reply,
                (const char *[]){"REPLICAOF", "NO", "ONE", NULL});
    cluster_ask(cluster, redis, reply, sizeof reply, (const char *[]){"SET", "mine", "1", NULL});
    cluster_wait_log(cluster, proxy, "it is taken back");
    cluster_wait_log(cluster, proxy, "a full resync of Redis");
    cluster_wait_followers(cluster);
    expect_all_well(load);
    cluster_ask(cluster, redis, reply, sizeof reply, (const char *[]){"EXISTS", "mine", NULL});
    ck_assert_str_eq(reply, "0");
    load_destroy(load);
}
END_TEST

/* All at once, and from the start: whoever leads, nothing is lost. */
START_TEST(everything_is_lost)
{
    struct load *load = load_begin();

    for (int i = 0; i < 2; i++) {
        load_run(load, LOAD_MS, NULL, NULL);
        cluster_kill_all(cluster);
        load_hang_up(load);
        cluster_start(cluster);
        load_check(load);
    }
    expect_all_well(load);
    load_destroy(load);
}
END_TEST

/* For planned hand-overs: no lease is to run out. */
static void serve_with_long_lease(void)
{
    struct cluster_options options = system_options;

    options.lease_ms = CLUSTER_LONG_LEASE_MS;
    system_serve_with(&options);
}

int main(void)
{
    Suite *suite = suite_create("failover");

    SYSTEM_CASE(suite, "lost", serve_to_be_cut, 120 + 20 * (int)failovers_wanted(),
                leaders_are_lost);
    SYSTEM_CASE(suite, "hand-overs", serve_with_long_lease, 180, hand_overs);
    SYSTEM_CASE(suite, "hand-overs of reads", serve_with_long_lease, 180,
                hand_overs_while_all_read);
    SYSTEM_CASE(
        suite, "frozen", system_serve,
        180 + (int)(wanted_of("PAUSES", PAUSES_DEFAULT) * (30 + wanted_of("PAUSE_MS", 0) / 1000)),
        a_frozen_leader_never_answers_with_an_old_value);
    SYSTEM_CASE(suite, "written", system_serve, 180, a_follower_that_was_written_to);
    SYSTEM_CASE(suite, "everything", system_serve, 180, everything_is_lost);
    return unit_main(suite);
}
