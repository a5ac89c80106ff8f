/* The simulator's program: runs many seeds on all cores, or one with a trace.
 *
 *   sim [--seeds N] [--first S] [--jobs J] [--nodes 3|5]     sim --seed S */
#include "common/mem.h"
#include "tests/sim/world.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SIM_JOBS_MAX = 256, SIM_FAILURES_SHOWN = 20 };

struct sim_total {
    uint64_t seeds, failed;
    uint64_t virtual_ns;
    uint64_t counts[WORLD_COUNTS];
};

struct sim_arguments {
    uint64_t first, seeds;
    unsigned jobs, nodes;
    bool one, stop, messages;
};

static void sim_say_failure(uint64_t seed, const struct world_result *r)
{
    printf("SEED=%" PRIu64 " violates %s\n    %s\n", seed, truth_invariant_text(r->broken),
           r->violation);
    fflush(stdout);
}

/* One process of several: every jobs-th seed. What it found goes through the pipe. */
static void sim_worker(const struct sim_arguments *a, unsigned job, int to, uint64_t *at)
{
    struct sim_total total = {0};
    struct world_result r;

    for (uint64_t i = job; i < a->seeds; i += a->jobs) {
        struct world_options options = {.seed = a->first + i, .nodes = a->nodes};
        at[job] = options.seed; /* for the parent, if this one is its last */
        world_run(&options, &r);
        total.seeds++;
        total.virtual_ns += r.virtual_ns;
        for (unsigned c = 0; c < WORLD_COUNTS; c++) {
            total.counts[c] += r.counts[c];
        }
        if (r.violation[0] != '\0') {
            total.failed++;
            if (total.failed <= SIM_FAILURES_SHOWN) {
                sim_say_failure(a->first + i, &r);
            }
            if (a->stop) {
                break;
            }
        }
    }
    ssize_t written = write(to, &total, sizeof total);
    _exit(written == (ssize_t)sizeof total ? 0 : 1);
}

static void sim_add(struct sim_total *sum, const struct sim_total *part)
{
    sum->seeds += part->seeds;
    sum->failed += part->failed;
    sum->virtual_ns += part->virtual_ns;
    for (unsigned c = 0; c < WORLD_COUNTS; c++) {
        sum->counts[c] += part->counts[c];
    }
}

static double sim_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sim_report(const struct sim_total *t, double seconds)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_CHILDREN, &usage);
    double cpu = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    for (unsigned c = 0; c < WORLD_COUNTS; c++) {
        printf("%14" PRIu64 "  %s\n", t->counts[c], world_count_name((enum world_count)c));
    }
    printf("%" PRIu64 " seeds, %.1f simulated hours, %.1f s (%.2f ms of CPU each, %.0f a second), "
           "%" PRIu64 " violations\n",
           t->seeds, (double)t->virtual_ns / 3.6e12, seconds,
           1000 * cpu / (double)(t->seeds > 0 ? t->seeds : 1), (double)t->seeds / seconds,
           t->failed);
}

static int sim_many(const struct sim_arguments *a)
{
    struct sim_total total = {0}, part;
    double start = sim_seconds();
    bool lost = false;
    int pipes[SIM_JOBS_MAX];
    size_t room = a->jobs * sizeof(uint64_t);
    uint64_t *at = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    MUST(at != MAP_FAILED);
    for (unsigned job = 0; job < a->jobs; job++) {
        int ends[2];
        MUST(pipe(ends) == 0);
        pid_t pid = fork();
        MUST(pid >= 0);
        if (pid == 0) {
            close(ends[0]);
            sim_worker(a, job, ends[1], at);
        }
        close(ends[1]);
        pipes[job] = ends[0];
    }
    for (unsigned job = 0; job < a->jobs; job++) {
        ssize_t got = read(pipes[job], &part, sizeof part);
        if (got == (ssize_t)sizeof part) {
            sim_add(&total, &part);
        } else {
            printf("SEED=%" PRIu64 " ended the process; its worker's seeds are not counted\n",
                   at[job]);
            lost = true;
        }
        close(pipes[job]);
    }
    for (unsigned job = 0; job < a->jobs; job++) {
        int status = 0;
        lost = wait(&status) < 0 || status != 0 || lost;
    }
    (void)munmap(at, room);
    sim_report(&total, sim_seconds() - start);
    return total.failed > 0 || lost ? 1 : 0;
}

static int sim_one(const struct sim_arguments *a)
{
    struct world_options options = {
        .seed = a->first, .nodes = a->nodes, .trace = true, .messages = a->messages};
    struct world_result r;

    world_run(&options, &r);
    for (unsigned c = 0; c < WORLD_COUNTS; c++) {
        if (r.counts[c] > 0) {
            printf("%14" PRIu64 "  %s\n", r.counts[c], world_count_name((enum world_count)c));
        }
    }
    printf("seed %" PRIu64 ": %.1f simulated seconds, digest %016" PRIx64 "\n", a->first,
           (double)r.virtual_ns / 1e9, r.digest);
    if (r.violation[0] != '\0') {
        sim_say_failure(a->first, &r);
        return 1;
    }
    return 0;
}

static bool sim_number(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text != '\0' && *end == '\0' && errno == 0;
}

static int sim_usage(void)
{
    fputs("usage: sim [--seeds N] [--first SEED] [--jobs N] [--nodes 3|5] [--stop]\n"
          "       sim --seed SEED [--nodes 3|5] [--messages]\n",
          stderr);
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seeds", required_argument, NULL, 'n'}, {"first", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},  {"nodes", required_argument, NULL, 'k'},
        {"seed", required_argument, NULL, 's'},  {"stop", no_argument, NULL, 'x'},
        {"messages", no_argument, NULL, 'm'},    {NULL, 0, NULL, 0},
    };
    struct sim_arguments a = {.first = 1, .seeds = 1000};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint64_t number = 0;
    int o;

    /* Memory that was used once is used again: no system call for each run. */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 30);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
    (void)mallopt(M_TOP_PAD, 16 << 20);
    a.jobs = cores > 0 && cores < SIM_JOBS_MAX ? (unsigned)cores : 1;
    while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (o == '?' || (o != 'x' && o != 'm' && !sim_number(optarg, &number))) {
            return sim_usage();
        }
        a.seeds = o == 'n' ? number : a.seeds;
        a.first = o == 'f' || o == 's' ? number : a.first;
        a.jobs = o == 'j' ? (unsigned)number : a.jobs;
        a.nodes = o == 'k' ? (unsigned)number : a.nodes;
        a.one = a.one || o == 's';
        a.stop = a.stop || o == 'x';
        a.messages = a.messages || o == 'm';
    }
    if (optind < argc || a.jobs == 0 || a.jobs > SIM_JOBS_MAX ||
        (a.nodes != 0 && a.nodes != 3 && a.nodes != 5)) {
        return sim_usage();
    }
    return a.one ? sim_one(&a) : sim_many(&a);
}
