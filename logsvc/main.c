/* holdfast-logsvc, a log node: options and configuration, set-up, signals. */
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "logsvc/server.h"

#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAIN_TURN_MS = 50, MAIN_EXIT_FAILED = 1 };

struct main_config {
    char *node_id;
    uint8_t cluster_id[16];
    char *host;
    int64_t port;
    char *data_dir;
    int64_t lease_ms;
    char *log_level;
    int64_t segment_bytes;
    int64_t reserve_bytes;
    int64_t message_max_bytes;
    int64_t queue_max_bytes;
    int64_t logs_max;
    int64_t scrub_bytes_per_s, scrub_round_s;
    int64_t pack_bytes_per_s;
};

static const char *main_check_node_id(const char *value)
{
    for (const char *p = value; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("-_.", *p)) {
            return "letters, digits, '-', '_' and '.'";
        }
    }
    return NULL;
}

#define MIB (INT64_C(1) << 20)

static const struct config_row main_rows[] = {
    CONFIG_STRING("node_id", struct main_config, node_id, 1, 63, NULL,
                  "name of this node; a node that lost its disk needs a new one",
                  .check = main_check_node_id),
    CONFIG_HEX("cluster_id", struct main_config, cluster_id, NULL,
               "the cluster, the same for all its nodes and proxies"),
    CONFIG_STRING("host", struct main_config, host, 1, 255, "127.0.0.1", "address to listen on"),
    CONFIG_INT("port", struct main_config, port, 1, 65535, "7401", "port to listen on"),
    CONFIG_STRING("data_dir", struct main_config, data_dir, 1, 900, NULL,
                  "folder of the logs; made if it is not there"),
    CONFIG_INT("lease_ms", struct main_config, lease_ms, 100, 600000, "800",
               "length of a leader's lease, the same for all nodes and proxies"),
    CONFIG_STRING("log_level", struct main_config, log_level, 1, 16, "info",
                  "lowest level of messages: debug, info, warn, error",
                  .check = config_check_log_level),
    CONFIG_INT("segment_bytes", struct main_config, segment_bytes, MIB, 1024 * MIB, "67108864",
               "size of a segment file; rounded up to 64 KiB"),
    CONFIG_INT("reserve_bytes", struct main_config, reserve_bytes, 0, CONFIG_INT_MAX, "134217728",
               "free disk space at which new segments and snapshots are refused"),
    CONFIG_INT("message_max_bytes", struct main_config, message_max_bytes, SERVER_MESSAGE_MIN_BYTES,
               64 * MIB, "4194304", "largest message; at most a quarter of segment_bytes"),
    CONFIG_INT("queue_max_bytes", struct main_config, queue_max_bytes, SERVER_MESSAGE_MIN_BYTES,
               1024 * MIB, "67108864", "requests that wait, at least one message"),
    CONFIG_INT("scrub_bytes_per_s", struct main_config, scrub_bytes_per_s, 0, CONFIG_INT_MAX,
               "4194304", "how fast the disk is checked for rot, for each log; 0: not at all"),
    CONFIG_INT("scrub_round_s", struct main_config, scrub_round_s, 1, 2592000, "3600",
               "everything is checked again after this time at the soonest"),
    CONFIG_INT("pack_bytes_per_s", struct main_config, pack_bytes_per_s, 0, CONFIG_INT_MAX,
               "16777216",
               "how fast closed segments are read and written anew, to take less of the disk, for "
               "each log; 0: not at all"),
    CONFIG_INT("logs_max", struct main_config, logs_max, 1, 65536, "64",
               "logs on this node; more are refused"),
};

enum { MAIN_ROW_COUNT = sizeof main_rows / sizeof main_rows[0] };

static const struct options_program main_program = {
    .name = "holdfast-logsvc",
    .summary = "A log node of Holdfast: keeps logs durable and lets a majority decide.",
    .schema = main_rows,
    .schema_count = MAIN_ROW_COUNT,
};

static volatile sig_atomic_t main_stopping;

static void main_on_signal(int number)
{
    (void)number;
    main_stopping = 1; /* seen within MAIN_TURN_MS */
}

static void main_signals(void)
{
    struct sigaction stop = {.sa_handler = main_on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    MUST(sigaction(SIGTERM, &stop, NULL) == 0 && sigaction(SIGINT, &stop, NULL) == 0 &&
         sigaction(SIGPIPE, &ignore, NULL) == 0);
}

/* What no single key can say. */
static bool main_config_ok(const struct main_config *c, const char *path)
{
    if (c->segment_bytes / 4 < c->message_max_bytes) {
        fprintf(stderr, "%s: segment_bytes: is less than four times message_max_bytes\n", path);
        return false;
    }
    if (c->queue_max_bytes < c->message_max_bytes) {
        fprintf(stderr, "%s: queue_max_bytes: is less than message_max_bytes\n", path);
        return false;
    }
    return true;
}

/* False: the program ends with *exit_status. */
static bool main_configure(int argc, char **argv, struct main_config *c, int *exit_status)
{
    struct options options;

    if (!options_parse(&main_program, argc, argv, &options, exit_status, stdout, stderr)) {
        return false;
    }
    /* Loaded first, so that --check-config finds what no single key can say, too. */
    struct options load = options;
    load.check_config = false;
    if (!options_load(&main_program, &load, c, exit_status, stdout, stderr)) {
        return false;
    }
    bool good = main_config_ok(c, options.config_path);
    if (good && !options.check_config) {
        return true;
    }
    config_free(main_rows, MAIN_ROW_COUNT, c);
    *exit_status = OPTIONS_EXIT_USAGE;
    return good && options_load(&main_program, &options, c, exit_status, stdout, stderr);
}

static int main_serve(const struct main_config *c)
{
    char address[320];
    struct server *server;
    struct server_config config = {
        .disk = disk_posix(),
        .data_dir = c->data_dir,
        .address = address,
        .node_id = c->node_id,
        .lease_ms = (uint32_t)c->lease_ms,
        .segment_bytes = ((uint64_t)c->segment_bytes + 65535) / 65536 * 65536,
        .reserve_bytes = (uint64_t)c->reserve_bytes,
        .message_max_bytes = (size_t)c->message_max_bytes,
        .queue_max_bytes = (size_t)c->queue_max_bytes,
        .logs_max = (unsigned)c->logs_max,
        .scrub = {.bytes_per_s = (uint64_t)c->scrub_bytes_per_s,
                  .round_ms = (uint32_t)c->scrub_round_s * 1000},
        .pack_bytes_per_s = (uint64_t)c->pack_bytes_per_s,
    };

    memcpy(config.cluster_id, c->cluster_id, sizeof config.cluster_id);
    (void)snprintf(address, sizeof address, strchr(c->host, ':') ? "[%s]:%d" : "%s:%d", c->host,
                   (int)c->port);
    int rc = server_open(&config, &server);
    if (rc != ERR_OK) {
        log_error("cannot start: %s", err_text(rc));
        return MAIN_EXIT_FAILED;
    }
    log_info("ready: node %s listens on %s", c->node_id, address);
    while (!main_stopping && rc == ERR_OK) {
        rc = server_turn(server, MAIN_TURN_MS);
    }
    if (rc != ERR_OK) {
        /* What the disk holds now is not known. Only a start from what it gives back can tell, so
         * nothing is tidied up, nothing is tried again (docs/log-format.md, 7). */
        log_error("the disk failed: %s; this process ends here", err_text(rc));
        abort();
    }
    log_info("stopped");
    server_close(server);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct main_config config = {0};
    enum log_level level;
    int exit_status;

    if (!main_configure(argc, argv, &config, &exit_status)) {
        return exit_status;
    }
    if (log_level_parse(config.log_level, &level) != ERR_OK) {
        level = LOG_LEVEL_INFO;
    }
    log_init("holdfast-logsvc", level);
    main_signals();
    exit_status = main_serve(&config);
    config_free(main_rows, MAIN_ROW_COUNT, &config);
    return exit_status;
}
