/* A network that is cut: three pairs of Redis and proxy over one log, with relays between all of
 * them (tests/lib/relay.h). The leader's proxy reaches neither log nodes nor other proxies any
 * more, or hears nothing of them, or both, while its Redis and its clients still reach it. It must
 * have stopped to answer before another leads; healed, it follows, and nothing that was
 * acknowledged is gone.
 *
 * CUTS=n sets how many (make check: each kind once). */
#include "common/clock.h"
#include "tests/lib/system.h"
#include "tests/lib/wire.h"
#include "tests/system/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const redis_args[] = {"--enable-debug-command", "yes", NULL};
const struct cluster_options system_options = {
    .pairs = 3, .redis_args = redis_args, .relays = true};

enum { PAIRS = 3, LOAD_MS = 250, BACK_MS = 60000, CUTS_DEFAULT = 3, CUTS_MAX = 10000, ASKS = 20 };

static const struct {
    const char *name;
    enum relay_cut cut;
} kinds[] = {{"cut off", RELAY_CUT},
             {"not heard any more", RELAY_CUT_OUT},
             {"hearing nothing any more", RELAY_CUT_IN}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static unsigned cuts_wanted(void)
{
    const char *text = getenv("CUTS");
    unsigned long n = text != NULL ? strtoul(text, NULL, 10) : CUTS_DEFAULT;
    return n < CUTS_MAX ? (unsigned)n : CUTS_MAX;
}

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
    return load;
}

/* Whoever says so has the lease without which it answers nobody; and so say INFO and ROLE. */
static bool says_it_leads(const char *proxy)
{
    char role[32], word[64];

    if (!cluster_info_of(cluster, proxy, "holdfast_role", role, sizeof role)) {
        return false;
    }
    cluster_ask(cluster, proxy, word, sizeof word, (const char *[]){"ROLE", NULL});
    return strcmp(role, "leader") == 0 || strncmp(word, "master", 6) == 0;
}

struct partition {
    char old[16], next[16]; /* who led; who leads now, or "" */
    struct load *load;
    uint64_t since_ns, stopped_ns; /* cut; seen not to lead any more, or 0 */
};

/* The one that was cut off is asked after the other one: it must have stopped before that led. */
static bool another_leads(void *arg)
{
    struct partition *p = arg;
    char name[16];

    for (unsigned i = 1; i <= PAIRS && p->next[0] == '\0'; i++) {
        snprintf(name, sizeof name, "proxy%u", i);
        if (strcmp(name, p->old) != 0 && says_it_leads(name)) {
            snprintf(p->next, sizeof p->next, "%s", name);
        }
    }
    if (!says_it_leads(p->old)) {
        p->stopped_ns = p->stopped_ns != 0 ? p->stopped_ns : clock_now_ns();
    } else {
        ck_assert_msg(p->next[0] == '\0', "%s leads, and %s, cut off, still does", p->next, p->old);
    }
    return p->next[0] != '\0';
}

static bool is_served(void *arg)
{
    const struct partition *p = arg;
    return load_counts(p->load).acked_sent_ns > p->since_ns;
}

/* What is asked of the one that is cut off, over connections of before and of now, has the newest
 * value (it has none) or is refused, waits or is closed. Returns how many answers there were. */
static unsigned ask_the_old_one(struct wire *before, const char *old, const char *expected)
{
    struct wire now, *askers[] = {before, &now};
    struct buf reply = BUF_INIT;
    unsigned answers = 0;

    wire_open(&now, cluster_port(cluster, old));
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < ASKS; k++) {
            wire_queue(askers[i], "GET", "cut");
        }
        wire_flush(askers[i]);
    }
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < ASKS && wire_reply(askers[i], &reply, BACK_MS) == ERR_OK; k++) {
            const char *got = (const char *)buf_head(&reply);
            ck_assert_msg(got[0] == '-' || strcmp(got, expected) == 0,
                          "%s, cut off, answers with an old value: %s", old, got);
            answers++;
        }
        wire_close(askers[i]);
    }
    buf_release(&reply);
    return answers;
}

struct written {
    const char *value;
    char leader[16];
};

static bool is_written(void *arg)
{
    struct written *written = arg;
    struct buf reply = BUF_INIT;
    struct wire w;

    snprintf(written->leader, sizeof written->leader, "%s", cluster_leader(cluster));
    if (written->leader[0] == '\0') {
        return false;
    }
    wire_open(&w, cluster_port(cluster, written->leader));
    wire_command(&w, "SET", "cut", written->value);
    bool done = wire_reply(&w, &reply, BACK_MS) == ERR_OK && *(char *)buf_head(&reply) == '+';
    wire_close(&w);
    buf_release(&reply);
    return done;
}

/* Through who leads then, and is written to `leader`: where a machine stalls, a lease may end at
 * any moment. */
static void write_cut(const char *value, char leader[16])
{
    struct written written = {.value = value};

    cluster_wait("a write of ours is acknowledged", BACK_MS, is_written, &written);
    memcpy(leader, written.leader, sizeof written.leader);
}

static void cut_once(struct load *load, unsigned i, uint64_t *stopped_ms, uint64_t *served_ms)
{
    struct partition p = {.load = load};
    struct wire asker;
    char before[16], after[16], expected[40];

    cluster_wait_followers(cluster);
    snprintf(before, sizeof before, "%u", 2 * i);
    snprintf(after, sizeof after, "%u", 2 * i + 1);
    write_cut(before, p.old);
    wire_open(&asker, cluster_port(cluster, p.old));
    load_run(load, LOAD_MS, NULL, NULL);
    p.since_ns = clock_now_ns();
    cluster_cut(cluster, p.old, kinds[i % KINDS].cut);
    load_run(load, BACK_MS, another_leads, &p);
    ck_assert_msg(p.next[0] != '\0', "%s is %s: no other leads", p.old, kinds[i % KINDS].name);
    load_run(load, BACK_MS, is_served, &p);
    ck_assert_msg(is_served(&p), "no write is acknowledged any more");
    *served_ms = (clock_now_ns() - p.since_ns) / CLOCK_NS_PER_MS;
    *stopped_ms = (p.stopped_ns - p.since_ns) / CLOCK_NS_PER_MS;
    write_cut(after, p.next);
    snprintf(expected, sizeof expected, "$%zu\r\n%s\r\n", strlen(after), after);
    unsigned answers = ask_the_old_one(&asker, p.old, expected);
    load_run(load, LOAD_MS, NULL, NULL);
    ck_assert_msg(!says_it_leads(p.old), "%s, cut off, leads again", p.old);
    cluster_cut(cluster, p.old, RELAY_WHOLE);
    load_run(load, LOAD_MS, NULL, NULL);
    cluster_wait_followers(cluster);
    printf("%s is %s: does not lead after %llu ms, the next acknowledged write after %llu ms, "
           "%u refusals\n",
           p.old, kinds[i % KINDS].name, (unsigned long long)*stopped_ms,
           (unsigned long long)*served_ms, answers);
    fflush(stdout);
}

static int compare_times(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

START_TEST(a_leader_is_cut_off)
{
    static uint64_t stopped_ms[CUTS_MAX], served_ms[CUTS_MAX];
    struct load *load = load_begin();
    unsigned wanted = cuts_wanted();

    for (unsigned i = 0; i < wanted; i++) {
        cut_once(load, i, &stopped_ms[i], &served_ms[i]);
        ck_assert_msg(load_settle(load, BACK_MS), "some replies never come");
        load_check(load);
        cluster_wait_equal(cluster);
    }
    qsort(stopped_ms, wanted, sizeof *stopped_ms, compare_times);
    qsort(served_ms, wanted, sizeof *served_ms, compare_times);
    printf("%u cuts; does not lead any more: p50 %llu ms, max %llu ms; next acknowledged write: "
           "p50 %llu ms, max %llu ms; %llu histories judged\n",
           wanted, (unsigned long long)stopped_ms[wanted / 2],
           (unsigned long long)stopped_ms[wanted - 1], (unsigned long long)served_ms[wanted / 2],
           (unsigned long long)served_ms[wanted - 1],
           (unsigned long long)load_histories(load).judged);
    load_destroy(load);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("partition");

    SYSTEM_CASE(suite, "cut", system_serve, 120 + 30 * (int)cuts_wanted(), a_leader_is_cut_off);
    return unit_main(suite);
}
