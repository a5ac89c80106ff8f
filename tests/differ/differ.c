#include "tests/differ/differ.h"

#include "common/clock.h"
#include "common/mem.h"
#include "tests/differ/generate.h"
#include "tests/differ/play.h"
#include "tests/differ/rules.h"
#include "tests/differ/shrink.h"

#include <check.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIFFER_STEPS = 400, DIFFER_SHOWN_BYTES = 2000, DIFFER_TELL_S = 10 };

static const char *const redis_args[] = {"--enable-debug-command", "yes", "--unixsocket",
                                         "redis.sock", NULL};
#define DIFFER_LEASE "\"lease_ms\": 10000" /* busy machines are not what is tested */
#define DIFFER_PROXY DIFFER_LEASE ", \"limits\": {\"async_max_age_ms\": 60000}"
#define DIFFER_CLUSTER                                                                             \
    .plain = true, .redis_args = redis_args,                                                       \
    .log_json = "\"segment_bytes\": 16777216, " DIFFER_LEASE, .proxy_json = DIFFER_PROXY
const struct cluster_options differ_cluster = {DIFFER_CLUSTER};
/* A follower hears of a commit with the next heartbeat, if nothing else comes. */
const struct cluster_options differ_cluster_of_two = {DIFFER_CLUSTER, .pairs = 2,
                                                      .proxy_log_json = ", \"heartbeat_ms\": 5"};

static void print_difference(const struct program *p, const struct difference *d, unsigned number,
                             bool again)
{
    static const char *const names[] = {"Redis", "Holdfast"};

    printf("\ndifference %u (program %" PRIu64 ", RESP%d): %s", number, p->seed, p->resp,
           difference_text(d->kind));
    if (d->client >= 0) {
        printf(", client %c", 'A' + d->client);
    }
    printf("%s\n", again ? "" : " (it did not show again; the last of the program:)");
    for (int i = 0; i < PROGRAM_CLIENTS; i++) {
        if (program_is_asynchronous(p, i)) {
            printf("    %c> HOLDFAST SYNC OFF\n", 'A' + i);
        }
    }
    size_t end = !again && d->step < p->count ? d->step + 1 : p->count;
    for (size_t i = again || end < 30 ? 0 : end - 30; i < end; i++) {
        bool piped = i > 0 && !p->steps[i].alone && p->steps[i].client == p->steps[i - 1].client;
        fputs(piped ? "  | " : "    ", stdout);
        step_print(&p->steps[i], stdout);
    }
    for (int side = 0; side < STAGE_SIDES; side++) {
        printf("    %-8s: ", names[side]);
        program_print_bytes(buf_head(&d->said[side]), d->said[side].len, DIFFER_SHOWN_BYTES,
                            stdout);
        printf("\n");
    }
    fflush(stdout);
}

static void check_table(void)
{
    enum { ROOM = 1 << 20 };
    FILE *f = fopen(DOCS_DIR "/COMPATIBILITY.md", "re");
    char *text = mem_calloc(1, ROOM);

    ck_assert_msg(f != NULL, "docs/COMPATIBILITY.md is not there");
    ck_assert_uint_lt(fread(text, 1, ROOM - 1, f), ROOM - 1);
    (void)fclose(f);
    const char *missing = rules_missing_line(text);
    ck_assert_msg(missing == NULL, "docs/COMPATIBILITY.md does not say any more: %s", missing);
    free(text);
}

static bool over(const struct differ_options *o, const struct stage *stage, uint64_t start_ns)
{
    return (o->commands > 0 && stage->commands >= o->commands) ||
           (o->seconds > 0 && clock_now_ns() - start_ns >= o->seconds * CLOCK_NS_PER_S);
}

static void tell(const struct stage *stage, unsigned programs, unsigned differences,
                 uint64_t start_ns)
{
    double s = (double)(clock_now_ns() - start_ns) / 1e9;
    printf("%llu commands in %u programs, %.0f s, %.0f/s; %u differences\n", stage->commands,
           programs, s, (double)stage->commands / s, differences);
    fflush(stdout);
}

unsigned differ_run(struct cluster *cluster, const struct differ_options *options)
{
    struct stage stage;
    struct generate_world world;
    struct random seeds;
    unsigned differences = 0, programs = 0;

    check_table();
    stage_open(&stage, cluster, options->through);
    redisContext *engine = cluster_connect(cluster, "plain1");
    generate_world_load(&world, &stage.table, engine);
    redisFree(engine);
    stage.tally = options->tally ? tally_create(&stage.table) : NULL;
    random_init(&seeds, options->seed);
    printf("seed %" PRIu64 ", %zu commands in the table\n", options->seed, stage.table.count);
    uint64_t start_ns = clock_now_ns(), told_ns = start_ns;
    while (!over(options, &stage, start_ns) && differences < options->differences) {
        struct program p;
        struct difference d;
        int resp = options->resp != 0 ? options->resp : 2 + (int)(programs % 2);
        uint64_t seed = random_next(&seeds);
        generate(&p, &world, options->program != 0 ? options->program : seed, resp, DIFFER_STEPS);
        programs++;
        if (!play(&stage, &p, &d)) {
            struct stage before = stage;
            stage.tally = NULL;
            bool again = shrink(&stage, &p, &d);
            stage.commands = before.commands;
            stage.tally = before.tally;
            print_difference(&p, &d, ++differences, again);
            difference_release(&d);
        }
        program_fini(&p);
        if (options->verbose && clock_now_ns() > told_ns + DIFFER_TELL_S * CLOCK_NS_PER_S) {
            tell(&stage, programs, differences, start_ns);
            told_ns = clock_now_ns();
        }
    }
    tell(&stage, programs, differences, start_ns);
    if (options->tally) {
        tally_print(stage.tally, stdout);
        tally_destroy(stage.tally);
    }
    generate_world_release(&world);
    stage_close(&stage);
    return differences;
}
