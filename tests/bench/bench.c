/* How fast, side by side, on one machine and in one run:
 *
 *   plain      redis-server without persistence
 *   always     redis-server with appendfsync always
 *   WAIT 2     the same with two such replicas, and WAIT 2 behind each write (with pipelining:
 *              behind each batch of writes, which is kinder to it)
 *   Holdfast   proxy, redis-server without persistence, three log nodes that fsync
 *
 * All run all the time; each round measures one after the other, in another order each time, and
 * what is compared are the ratios within a round: their medians are printed. Absolute numbers
 * differ from day to day on a shared machine, ratios much less.
 *
 * A benchmark is a test that prints: it uses the tests' harness, and fails when a server does.
 * QUICK=1: a minute instead of ten. ROUNDS=n and MS=n set how often and how long. */
#include "tests/lib/system.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct cluster_options system_options = {.plain = true,
                                               .log_json = "\"log_level\": \"info\""};

static const char *const always_args[] = {"--appendonly",
                                          "yes",
                                          "--appendfsync",
                                          "always",
                                          "--repl-diskless-sync-delay",
                                          "0",
                                          "--auto-aof-rewrite-percentage",
                                          "0",
                                          NULL};

enum system { PLAIN, ALWAYS, WAIT2, HOLDFAST, SYSTEMS };
enum { PROCESSES_MAX = 5, ROUNDS_MAX = 15 };

struct system_info {
    const char *title;
    const char *port_of;
    const char *processes[PROCESSES_MAX]; /* whose CPU time is told */
};

static const struct system_info systems[SYSTEMS] = {
    [PLAIN] = {"plain Redis", "plain1", {"plain1"}},
    [ALWAYS] = {"always", "always1", {"always1"}},
    [WAIT2] = {"always, WAIT 2", "wait1", {"wait1", "wait2", "wait3"}},
    [HOLDFAST] = {"Holdfast", "proxy1", {"redis1", "proxy1", "log1", "log2", "log3"}},
};

struct work {
    const char *title;
    unsigned write_percent;
};

static const struct work works[] = {{"SET", 100}, {"GET", 0}, {"80 % GET, 20 % SET", 20}};

struct result {
    double rate, p50_us, p99_us, load_cpu_us, cpu_us[PROCESSES_MAX];
};

struct bench_case {
    const struct work *work;
    unsigned connections, pipeline;
};

/* What the goals need of each case (SET and GET, unpipelined). */
static double goal_wait2[3], goal_get_plain, goal_cpu[2][2]; /* cpu: SET, GET; 50, 500 */

/* --- measuring ------------------------------------------------------------------------------ */

static double word_of(const char *line, const char *key)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "%s=", key);
    const char *at = strstr(line, pattern);
    ck_assert_msg(at != NULL, "no %s in: %s", key, line);
    return strtod(at + strlen(pattern), NULL);
}

static void run_load(const char *const argv[], int timeout_ms, char *output, size_t size)
{
    int status = cluster_run(argv, timeout_ms, output, size);
    ck_assert_msg(status == 0, "the load on port %s: %s", argv[2], output);
}

static struct result measure(enum system system, const struct bench_case *c, unsigned ms)
{
    const struct system_info *info = &systems[system];
    char program[512], output[4096], numbers[6][16], pids[PROCESSES_MAX][16];
    const char *argv[32] = {program,    "--port",          numbers[0], "--connections",
                            numbers[1], "--pipeline",      numbers[2], "--ms",
                            numbers[3], "--write-percent", numbers[4], "--wait",
                            numbers[5]};
    size_t argc = 13;
    struct result result = {.rate = 0};

    cluster_program("bench_load", program, sizeof program);
    snprintf(numbers[0], sizeof numbers[0], "%d", cluster_port(cluster, info->port_of));
    snprintf(numbers[1], sizeof numbers[1], "%u", c->connections);
    snprintf(numbers[2], sizeof numbers[2], "%u", c->pipeline);
    snprintf(numbers[3], sizeof numbers[3], "%u", ms);
    snprintf(numbers[4], sizeof numbers[4], "%u", c->work->write_percent);
    snprintf(numbers[5], sizeof numbers[5], "%d", system == WAIT2 ? 2 : 0);
    for (int i = 0; i < PROCESSES_MAX && info->processes[i] != NULL; i++) {
        snprintf(pids[i], sizeof pids[i], "%d", (int)cluster_pid(cluster, info->processes[i]));
        argv[argc++] = "--pid";
        argv[argc++] = pids[i];
    }
    run_load(argv, 60000 + (int)ms, output, sizeof output);
    if (system == WAIT2) {
        ck_assert_msg(strstr(output, "wait_short=0 ") != NULL, "WAIT 2 was not 2: %s", output);
    }
    result.rate = word_of(output, "rate");
    result.p50_us = word_of(output, "p50_us");
    result.p99_us = word_of(output, "p99_us");
    result.load_cpu_us = word_of(output, "load_cpu_us");
    for (int i = 0; i < PROCESSES_MAX && info->processes[i] != NULL; i++) {
        char key[16];
        snprintf(key, sizeof key, "cpu_us%d", i);
        result.cpu_us[i] = word_of(output, key);
    }
    return result;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The median over the rounds of what lies `offset` bytes into a result. */
static double median_of(const struct result *results, unsigned rounds, size_t offset)
{
    double values[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++) {
        memcpy(&values[i], (const char *)&results[i] + offset, sizeof values[i]);
    }
    return median(values, rounds);
}

#define MEDIAN(results, rounds, field) median_of(results, rounds, offsetof(struct result, field))

static double median_ratio(const struct result *a, const struct result *b, unsigned rounds)
{
    double values[ROUNDS_MAX];
    for (unsigned i = 0; i < rounds; i++) {
        values[i] = a[i].rate / b[i].rate;
    }
    return median(values, rounds);
}

/* --- printing ------------------------------------------------------------------------------- */

static void print_system(enum system system, const struct result *results,
                         const struct result *holdfast, unsigned rounds)
{
    const struct system_info *info = &systems[system];
    char ratio[16] = "";

    if (system != HOLDFAST) {
        snprintf(ratio, sizeof ratio, "%.2f", median_ratio(holdfast, results, rounds));
    }
    printf("  %-15s %9.0f %9.0f %9.0f %9s   ", info->title, MEDIAN(results, rounds, rate),
           MEDIAN(results, rounds, p50_us), MEDIAN(results, rounds, p99_us), ratio);
    for (int i = 0; i < PROCESSES_MAX && info->processes[i] != NULL; i++) {
        size_t offset = offsetof(struct result, cpu_us) + (size_t)i * sizeof(double);
        printf(" %s %.1f", info->processes[i], median_of(results, rounds, offset));
    }
    printf("  (load %.1f)\n", MEDIAN(results, rounds, load_cpu_us));
}

static void note_goals(const struct bench_case *c, struct result results[SYSTEMS][ROUNDS_MAX],
                       unsigned rounds)
{
    static const unsigned counts[] = {1, 50, 500};
    if (c->pipeline != 1) {
        return;
    }
    for (int i = 0; i < 3 && c->work == &works[0]; i++) {
        if (c->connections == counts[i]) {
            goal_wait2[i] = median_ratio(results[HOLDFAST], results[WAIT2], rounds);
        }
    }
    bool get = c->work == &works[1];
    bool many = c->connections == 500;
    if ((many || c->connections == 50) && c->work != &works[2]) {
        goal_cpu[get][many] = MEDIAN(results[HOLDFAST], rounds, cpu_us[0]) /
                              MEDIAN(results[PLAIN], rounds, cpu_us[0]);
    }
    if (many && get) {
        goal_get_plain = median_ratio(results[HOLDFAST], results[PLAIN], rounds);
    }
}

static void print_goal(const char *what, double is, double goal, bool at_most)
{
    if (is > 0) {
        bool met = at_most ? is <= goal : is >= goal;
        printf("  %-52s %5.2f   (goal %s %.2f)  %s\n", what, is, at_most ? "<=" : ">=", goal,
               met ? "met" : "NOT MET");
    }
}

static void print_goals(void)
{
    printf("\nGoals\n");
    print_goal("SET, 1 connection: Holdfast / (always, WAIT 2)", goal_wait2[0], 1, false);
    print_goal("SET, 50 connections: the same", goal_wait2[1], 1, false);
    print_goal("SET, 500 connections: the same", goal_wait2[2], 1, false);
    print_goal("GET, 500 connections: Holdfast / plain Redis", goal_get_plain, 0.8, false);
    print_goal("SET, 50 connections: Redis' CPU per command / plain", goal_cpu[0][0], 0.5, true);
    print_goal("SET, 500 connections: the same", goal_cpu[0][1], 0.5, true);
    print_goal("GET, 50 connections: the same", goal_cpu[1][0], 0.5, true);
    print_goal("GET, 500 connections: the same", goal_cpu[1][1], 0.5, true);
}

/* --- the run -------------------------------------------------------------------------------- */

static void run_case(const struct bench_case *c, unsigned rounds, unsigned ms)
{
    static struct result results[SYSTEMS][ROUNDS_MAX];

    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < SYSTEMS; i++) {
            /* The order turns, and runs backwards every other round. */
            unsigned turned = (round / 2 + i) % SYSTEMS;
            enum system system = (enum system)(round % 2 ? SYSTEMS - 1 - turned : turned);
            results[system][round] = measure(system, c, ms);
        }
    }
    printf("\n%s, %u connection%s, %s%s\n", c->work->title, c->connections,
           c->connections == 1 ? "" : "s", c->pipeline == 1 ? "no pipelining" : "pipelines of 16",
           c->pipeline == 1 ? "" : " (latency: of a batch)");
    printf("  %-15s %9s %9s %9s %9s    %s\n", "", "ops/s", "p50 us", "p99 us", "H/this",
           "CPU us per command");
    for (int i = 0; i < SYSTEMS; i++) {
        print_system((enum system)i, results[i], results[HOLDFAST], rounds);
    }
    fflush(stdout);
    note_goals(c, results, rounds);
}

static bool replicas_answer(void *arg)
{
    char reply[16];
    (void)arg;
    cluster_ask(cluster, "wait1", reply, sizeof reply, (const char *[]){"SET", "up", "1", NULL});
    cluster_ask(cluster, "wait1", reply, sizeof reply, (const char *[]){"WAIT", "2", "1000", NULL});
    return strcmp(reply, "2") == 0;
}

static void bench_setup(void)
{
    char port[16], reply[64];
    static const char *const replicas[] = {"wait2", "wait3"};

    system_create();
    cluster_add_redis(cluster, "always1", always_args);
    cluster_add_redis(cluster, "wait1", always_args);
    cluster_add_redis(cluster, "wait2", always_args);
    cluster_add_redis(cluster, "wait3", always_args);
    cluster_start(cluster);
    snprintf(port, sizeof port, "%d", cluster_port(cluster, "wait1"));
    for (int i = 0; i < 2; i++) {
        cluster_ask(cluster, replicas[i], reply, sizeof reply,
                    (const char *[]){"REPLICAOF", "127.0.0.1", port, NULL});
    }
    cluster_wait("the replicas", 30000, replicas_answer, NULL);
}

static void fill_all(void)
{
    char program[512], output[4096], port[16];
    cluster_program("bench_load", program, sizeof program);
    for (int i = 0; i < SYSTEMS; i++) {
        snprintf(port, sizeof port, "%d", cluster_port(cluster, systems[i].port_of));
        run_load((const char *[]){program, "--port", port, "--fill", "--connections", "8",
                                  "--pipeline", "64", NULL},
                 120000, output, sizeof output);
    }
}

static unsigned setting(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    unsigned long value = text ? strtoul(text, NULL, 10) : 0;
    return value > 0 ? (unsigned)value : otherwise;
}

START_TEST(bench)
{
    static const unsigned connections[] = {1, 50, 500, 1000};
    bool quick = getenv("QUICK") != NULL;
    unsigned rounds = setting("ROUNDS", 3), ms = setting("MS", quick ? 700 : 2000);
    rounds = rounds < ROUNDS_MAX ? rounds : ROUNDS_MAX;

    fill_all();
    printf(
        "Values of 100 bytes, 100,000 keys; %u rounds of %u ms; medians. H/this: how many times\n"
        "as fast as this Holdfast is (median of the rounds' ratios).\n",
        rounds, ms);
    for (unsigned pipeline = 1; pipeline <= (quick ? 1 : 16); pipeline += 15) {
        for (size_t w = 0; w < (quick ? 2 : 3); w++) {
            for (size_t n = 0; n < (quick ? 3 : 4); n++) {
                run_case(&(struct bench_case){.work = &works[w],
                                              .connections = connections[n],
                                              .pipeline = pipeline},
                         rounds, ms);
            }
        }
    }
    print_goals();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bench");

    SYSTEM_CASE(suite, "bench", bench_setup, 0, bench);
    return unit_main_as(suite, CK_NOFORK, CK_MINIMAL); /* nothing between us and the processes */
}
