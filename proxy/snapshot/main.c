/* holdfast-snapshot: one run makes one snapshot of a log off the box, or tries one that is stored.
 * Progress goes to standard error, line by line; the outcome, one JSON object, to standard output.
 *
 * A proxy starts it as its child now and then (proxy/node/proxy_snapshot.c); it can be run by hand
 * from anywhere that reaches the log nodes. It gives way to all else on its machine. */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "proxy/follow/lineage.h"
#include "proxy/node/settings.h"
#include "proxy/protocol/resp.h"
#include "proxy/snapshot/priority.h"
#include "proxy/snapshot/run.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum {
    MAIN_EXIT_DONE = 0,
    MAIN_EXIT_FAILED = 1,
    MAIN_LOOK_MS = 30000,
    MAIN_STORE_MS = 60000,
    MAIN_PROGRESS_MS = 500
};

enum main_extra { MAIN_ENGINE, MAIN_NODES, MAIN_REACH, MAIN_PARENT, MAIN_JSON, MAIN_EXTRAS };

static const struct options_extra main_extras[MAIN_EXTRAS] = {
    [MAIN_ENGINE] = {"engine", "VERSION", "the Redis version of the log's leader"},
    [MAIN_NODES] = {"log-nodes", "HOST:PORT,...", "instead of the configuration's log.nodes"},
    [MAIN_REACH] = {"reach", "OFFSET", "take: of nothing older; it must be committed"},
    [MAIN_PARENT] = {"parent", "PID", "ends when this process, which has started it, does"},
    [MAIN_JSON] = {"json", NULL, "progress as JSON lines, too, on standard output"},
};

static const char main_help[] =
    "\n--config names a proxy's configuration: the log nodes, the cluster and section "
    "\"snapshot\"\n"
    "are taken from there.\n"
    "\nCommands:\n"
    "  take           makes a snapshot at what is committed now, tries it and stores it\n"
    "  verify OFFSET  tries the stored snapshot of that offset\n"
    "\nExit status: 0 done; 1 it came to nothing; 2 wrong command line or configuration.\n";

static const struct options_program main_program = {
    .name = "holdfast-snapshot",
    .summary = "Makes and tries snapshots of a Holdfast's log, off the box.",
    .operands = " COMMAND",
    .schema = settings_schema,
    .extras = main_extras,
    .extra_count = MAIN_EXTRAS,
    .more_help = main_help,
};

struct main_command {
    bool verify;
    uint64_t offset; /* verify: of the snapshot; else what it is to reach, at least */
};

struct main_state {
    struct event_base *base;
    bool json;
    int status;
    uint64_t told_ns;
    const char *told_phase, *told_what;
};

/* ---- telling ---- */

static void main_print(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);

    MUST(text != NULL);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(object);
}

static void main_says_done(void *ctx, const struct run_result *r)
{
    struct main_state *m = ctx;
    const struct snapshot_info *info = &r->info;
    cJSON *o = cJSON_CreateObject();
    char replid[41] = "";

    (void)cJSON_AddBoolToObject(o, "done", true);
    (void)cJSON_AddBoolToObject(o, "taken", r->taken);
    (void)cJSON_AddNumberToObject(o, "offset", (double)info->offset);
    if (r->taken) {
        memcpy(replid, info->replid.hex, 40);
        (void)cJSON_AddNumberToObject(o, "term", (double)info->term.n);
        (void)cJSON_AddStringToObject(o, "replid", replid);
        (void)cJSON_AddNumberToObject(o, "bytes", (double)info->size_bytes);
        (void)cJSON_AddNumberToObject(o, "crc", (double)info->crc);
        (void)cJSON_AddNumberToObject(o, "chain_crc", (double)info->chain_crc);
        (void)cJSON_AddNumberToObject(o, "keys", (double)info->keys);
        (void)cJSON_AddNumberToObject(o, "expires", (double)r->expires);
        (void)cJSON_AddNumberToObject(o, "memory_bytes", (double)r->memory_bytes);
        (void)cJSON_AddStringToObject(o, "engine_version", info->engine_version);
        (void)cJSON_AddNumberToObject(o, "wall_ms", (double)info->wall_ms);
        (void)cJSON_AddNumberToObject(o, "taken_ms", (double)info->taken_ms);
        (void)cJSON_AddNumberToObject(o, "verified_ms", (double)info->verified_ms);
        (void)cJSON_AddNumberToObject(o, "tried_to", (double)r->tried_to);
        (void)cJSON_AddNumberToObject(o, "rdb_ms", (double)r->rdb_ms);
        (void)cJSON_AddNumberToObject(o, "log_ms", (double)r->log_ms);
        (void)cJSON_AddNumberToObject(o, "log_bytes", (double)r->log_bytes);
    }
    main_print(o);
    m->status = MAIN_EXIT_DONE;
    (void)event_base_loopbreak(m->base);
}

static void main_says_failed(void *ctx, const char *why)
{
    struct main_state *m = ctx;
    cJSON *o = cJSON_CreateObject();

    (void)cJSON_AddBoolToObject(o, "done", false);
    (void)cJSON_AddStringToObject(o, "why", why);
    main_print(o);
    log_error("%s", why);
    m->status = MAIN_EXIT_FAILED;
    (void)event_base_loopbreak(m->base);
}

static void main_says_progress(void *ctx, const char *phase, const char *what, uint64_t done,
                               uint64_t total)
{
    struct main_state *m = ctx;
    uint64_t now_ns = clock_now_ns();
    bool news = m->told_phase != phase || m->told_what != what;

    if (!news && now_ns - m->told_ns < MAIN_PROGRESS_MS * CLOCK_NS_PER_MS) {
        return;
    }
    m->told_ns = now_ns;
    m->told_phase = phase;
    m->told_what = what;
    if (m->json) {
        cJSON *o = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(o, "phase", phase);
        (void)cJSON_AddStringToObject(o, "what", what);
        (void)cJSON_AddNumberToObject(o, "done_bytes", (double)done);
        (void)cJSON_AddNumberToObject(o, "total_bytes", (double)total);
        main_print(o);
    } else if (total > 0) {
        log_info("%s: %s, %" PRIu64 " of %" PRIu64 " bytes, %.1f %%", phase, what, done, total,
                 100.0 * (double)done / (double)total);
    } else if (done > 0) {
        log_info("%s: %s, %" PRIu64 " bytes", phase, what, done);
    } else {
        log_info("%s: %s", phase, what);
    }
}

static const struct run_events main_run_events = {main_says_done, main_says_failed,
                                                  main_says_progress};

/* ---- set-up ---- */

/* Ends with its parent. False: that has ended already. */
static bool main_follow_parent(const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return false;
    }
    return getppid() == (pid_t)pid;
}

static void main_signal_cb(evutil_socket_t fd, short what, void *arg)
{
    struct main_state *m = arg;

    (void)fd;
    (void)what;
    log_info("told to end; nothing is stored");
    (void)event_base_loopbreak(m->base);
}

/* "a:1,b:2" into items; the text is cut up. 0: none, or too many. */
static unsigned main_split(char *text, const char **items, unsigned max)
{
    unsigned count = 0;

    for (char *save, *at = strtok_r(text, ",", &save); at != NULL;
         at = strtok_r(NULL, ",", &save)) {
        if (count == max || config_check_host_port(at) != NULL) {
            return 0;
        }
        items[count++] = at;
    }
    return count;
}

static struct lognodes *main_open_nodes(struct main_state *m, const struct settings *s,
                                        const char *nodes_text)
{
    enum { MAIN_NODES_MAX = 14 };
    const char *items[MAIN_NODES_MAX];
    char *copy = nodes_text != NULL ? mem_strdup(nodes_text) : NULL;
    struct lognodes *nodes = NULL;
    int err;

    struct lognodes_config config = {
        .log_id = (uint64_t)s->log_id,
        .addresses = (const char *const *)s->log_nodes.items,
        .address_count = (unsigned)s->log_nodes.count,
        .piece_max_bytes = (size_t)s->log_append_max_bytes,
    };
    memcpy(config.cluster_id, s->cluster_id, sizeof config.cluster_id);
    if (copy != NULL) {
        config.addresses = items;
        config.address_count = main_split(copy, items, MAIN_NODES_MAX);
    }
    if (config.address_count == 0) {
        log_error("--log-nodes: not a list of HOST:PORT: %s", nodes_text);
    } else {
        nodes = lognodes_open(m->base, &config, &err);
    }
    free(copy);
    return nodes;
}

static void main_run(struct main_state *m, const struct settings *s, struct lognodes *nodes,
                     const char *engine, const struct main_command *command)
{
    struct event *signals[2];
    const int numbers[2] = {SIGTERM, SIGINT};
    struct run_config config = {
        .leg = {.base = m->base,
                .nodes = nodes,
                .redis_server = s->snapshot_redis_server,
                .engine = engine != NULL ? lineage_engine(engine) : 0,
                .rate_max_bytes = (uint64_t)s->snapshot_rate_max_bytes,
                .disk_rate_max_bytes = (uint64_t)s->snapshot_store_rate_max_bytes},
        .folder = s->data_dir,
        .look_ms = MAIN_LOOK_MS,
        .reach = command->verify ? 0 : command->offset,
        .store_ms = MAIN_STORE_MS,
        .store_rate_max_bytes = (uint64_t)s->snapshot_store_rate_max_bytes,
        .memory_reserve_bytes = (uint64_t)s->snapshot_memory_reserve_bytes,
        .hurry = {.log_percent = (uint32_t)s->snapshot_hurry_percent,
                  .log_min_bytes = 2 * (uint64_t)s->snapshot_log_min_bytes,
                  .rate_max_bytes = (uint64_t)s->snapshot_rate_max_bytes,
                  .store_rate_max_bytes = (uint64_t)s->snapshot_store_rate_max_bytes},
    };

    struct run *run = run_create(&config, &main_run_events, m);
    for (int i = 0; i < 2; i++) {
        signals[i] = event_new(m->base, numbers[i], EV_SIGNAL | EV_PERSIST, main_signal_cb, m);
        MUST(signals[i] != NULL && event_add(signals[i], NULL) == 0);
    }
    if (command->verify) {
        run_verify(run, command->offset);
    } else {
        run_take(run);
    }
    (void)event_base_dispatch(m->base);
    run_destroy(run);
    event_free(signals[0]);
    event_free(signals[1]);
}

/* As HOLDFAST SNAPSHOT takes it. */
static bool main_offset(const char *text, uint64_t *out)
{
    const struct resp_arg arg = {.bytes = (const uint8_t *)text, .len = strlen(text)};

    return resp_arg_offset(&arg, out);
}

/* False: complained. */
static bool main_parse(int argc, char **argv, const char *reach, struct main_command *out)
{
    *out = (struct main_command){.verify = argc == 2 && strcmp(argv[0], "verify") == 0};
    if (reach != NULL && !main_offset(reach, &out->offset)) {
        fprintf(stderr, "holdfast-snapshot: --reach: not an offset: %s\n", reach);
        return false;
    }
    if (argc == 1 && strcmp(argv[0], "take") == 0) {
        return true;
    }
    if (out->verify && main_offset(argv[1], &out->offset)) {
        return true;
    }
    fputs("holdfast-snapshot: a command is needed: take, or verify OFFSET\n"
          "Try 'holdfast-snapshot --help'.\n",
          stderr);
    return false;
}

int main(int argc, char **argv)
{
    struct options_program program = main_program;
    struct options options;
    struct settings settings = {0};
    struct main_state m = {.status = MAIN_EXIT_FAILED};
    enum log_level level = LOG_LEVEL_INFO;
    struct main_command command;
    int status;

    program.schema_count = settings_schema_count;
    if (!options_parse(&program, argc, argv, &options, &status, stdout, stderr) ||
        !options_load(&program, &options, &settings, &status, stdout, stderr)) {
        return status;
    }
    if (!main_parse(argc - options.operands_at, argv + options.operands_at,
                    options.extras[MAIN_REACH], &command)) {
        config_free(settings_schema, settings_schema_count, &settings);
        return OPTIONS_EXIT_USAGE;
    }
    if (log_level_parse(settings.log_level, &level) != ERR_OK) {
        level = LOG_LEVEL_INFO; /* cannot be: the schema checks it */
    }
    log_init("snapshot", level);
    (void)signal(SIGPIPE, SIG_IGN);
    if (options.extras[MAIN_PARENT] != NULL && !main_follow_parent(options.extras[MAIN_PARENT])) {
        log_error("the process that has started this one is gone");
        config_free(settings_schema, settings_schema_count, &settings);
        return MAIN_EXIT_FAILED;
    }
    if (options.extras[MAIN_PARENT] != NULL && !priority_own_session()) {
        log_debug("no session of its own: %s", strerror(errno));
    }
    priority_give_way((int)settings.snapshot_nice);
    m.base = event_base_new();
    MUST(m.base != NULL);
    m.json = options.extras[MAIN_JSON] != NULL;
    struct lognodes *nodes = main_open_nodes(&m, &settings, options.extras[MAIN_NODES]);
    if (nodes != NULL) {
        main_run(&m, &settings, nodes, options.extras[MAIN_ENGINE], &command);
        lognodes_close(nodes);
    }
    event_base_free(m.base);
    config_free(settings_schema, settings_schema_count, &settings);
    return m.status;
}
