/* holdfast-ctl: asks and commands a Holdfast's proxies. Options, the table of verbs, the password.
 */
#include "common/log.h"
#include "common/mem.h"
#include "common/options.h"
#include "proxy/ctl/ctl.h"
#include "proxy/ctl/ctl_link.h"
#include "proxy/ctl/s3.h"
#include "proxy/node/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAIN_TIMEOUT_MS = 5000,
    MAIN_PASSWORD_MAX = 4096,
    MAIN_WAIT_MAX_S = 86400,
    MAIN_OBJECT_MIN_BYTES = 64 << 10
};
#define MAIN_OBJECT_MAX_BYTES (UINT64_C(4) << 30)

/* main_help tells what they do. */
static const struct ctl_verb main_verbs[] = {
    {"status", "", 0, 0, ctl_status, 0},
    {"failover", "[NAME]", 0, 1, ctl_failover, CTL_OPTION_WAIT},
    {"log status", "", 0, 0, ctl_log_status, 0},
    {"log replace", "OLD NEW-HOST:PORT", 2, 2, ctl_log_replace, CTL_OPTION_WAIT},
    {"snapshot list", "", 0, 0, ctl_snapshot_list, 0},
    {"snapshot now", "", 0, 0, ctl_snapshot_now, CTL_OPTION_WAIT},
    {"snapshot verify", "OFFSET", 1, 1, ctl_snapshot_verify, CTL_OPTION_WAIT},
    {"snapshot delete", "OFFSET", 1, 1, ctl_snapshot_delete, 0},
    {"tail", "", 0, 0, ctl_tail,
     CTL_OPTION_FROM | CTL_OPTION_UNTIL | CTL_OPTION_DB | CTL_OPTION_KEYS | CTL_OPTION_MARKS |
         CTL_OPTION_NODES},
    {"export verify", "DIR", 1, 1, ctl_export_verify, CTL_OPTION_S3},
    {"export", "DIR", 1, 1, ctl_export, CTL_OPTION_ALL | CTL_OPTION_NODES | CTL_OPTION_S3},
    {"import", "DIR", 1, 1, ctl_import, CTL_OPTION_AT | CTL_OPTION_NODES | CTL_OPTION_S3},
    {"restore", "", 0, 0, ctl_restore,
     CTL_OPTION_AT | CTL_OPTION_TO | CTL_OPTION_FORCE | CTL_OPTION_NODES},
};

enum { MAIN_VERBS = sizeof main_verbs / sizeof *main_verbs };

enum main_extra {
    MAIN_PROXY,
    MAIN_USER,
    MAIN_PASSWORD_FILE,
    MAIN_JSON,
    MAIN_WAIT,
    MAIN_FROM,
    MAIN_UNTIL,
    MAIN_DB,
    MAIN_KEYS,
    MAIN_MARKS,
    MAIN_AT,
    MAIN_TO,
    MAIN_TO_USER,
    MAIN_TO_PASSWORD_FILE,
    MAIN_TO_LOG,
    MAIN_TO_CLUSTER_ID,
    MAIN_TO_LOG_ID,
    MAIN_FORCE,
    MAIN_ALL,
    MAIN_S3_ENDPOINT,
    MAIN_S3_OBJECT_BYTES,
    MAIN_LOG_NODES,
    MAIN_CLUSTER_ID,
    MAIN_LOG_ID,
    MAIN_EXTRAS
};

static const struct options_extra main_extras[MAIN_EXTRAS] = {
    [MAIN_PROXY] = {"proxy", "HOST:PORT", "the proxy to ask (127.0.0.1:7379)"},
    [MAIN_USER] = {"user", "NAME", "user to log in as"},
    [MAIN_PASSWORD_FILE] = {"password-file", "FILE", "file whose first line is the password"},
    [MAIN_JSON] = {"json", NULL, "print JSON"},
    [MAIN_WAIT] = {"wait", "SECONDS",
                   "how long failover, log replace and snapshot wait for the end"},
    [MAIN_FROM] = {"from", "OFFSET|TIME", "tail: begin behind it (now)"},
    [MAIN_UNTIL] = {"until", "OFFSET|TIME", "tail: end there (never)"},
    [MAIN_DB] = {"db", "N", "tail: the database of the stream at --from OFFSET"},
    [MAIN_KEYS] = {"keys", "GLOB", "tail: only what changes such keys"},
    [MAIN_MARKS] = {"marks", "SECONDS",
                    "tail: tell the offset so often while there is nothing to show"},
    [MAIN_AT] = {"at", "OFFSET|TIME", "restore, import: the last commit at or before it (now)"},
    [MAIN_TO] = {"to", "FILE|HOST:PORT", "restore: an RDB file to write, or an empty Redis"},
    [MAIN_TO_USER] = {"to-user", "NAME", "user of that Redis to log in as"},
    [MAIN_TO_PASSWORD_FILE] = {"to-password-file", "FILE", "the password of that Redis"},
    [MAIN_TO_LOG] = {"to-log", "FILE|LIST",
                     "restore: a new log, in the empty log nodes that this configuration of a "
                     "proxy names, or HOST:PORT,..."},
    [MAIN_TO_CLUSTER_ID] = {"to-cluster-id", "HEX", "with --to-log LIST: whose they are"},
    [MAIN_TO_LOG_ID] = {"to-log-id", "N", "with --to-log LIST: which log of theirs (1)"},
    [MAIN_FORCE] = {"force", NULL, "restore: replace what is there"},
    [MAIN_ALL] = {"all", NULL, "export: from the earliest moment on that is kept"},
    [MAIN_S3_ENDPOINT] = {"s3-endpoint", "URL", "the store that has s3://BUCKET/PREFIX (AWS)"},
    [MAIN_S3_OBJECT_BYTES] = {"s3-object-bytes", "N",
                              "its largest objects; what is larger is several (268435456)"},
    [MAIN_LOG_NODES] = {"log-nodes", "LIST",
                        "HOST:PORT,... of the log nodes, if no proxy is there"},
    [MAIN_CLUSTER_ID] = {"cluster-id", "HEX", "with --log-nodes: whose they are"},
    [MAIN_LOG_ID] = {"log-id", "N", "with --log-nodes: which log of theirs (1)"},
};

/* Which verbs take it; what is not here, all take. */
static const unsigned main_extra_options[MAIN_EXTRAS] = {
    [MAIN_WAIT] = CTL_OPTION_WAIT,
    [MAIN_FROM] = CTL_OPTION_FROM,
    [MAIN_UNTIL] = CTL_OPTION_UNTIL,
    [MAIN_DB] = CTL_OPTION_DB,
    [MAIN_KEYS] = CTL_OPTION_KEYS,
    [MAIN_MARKS] = CTL_OPTION_MARKS,
    [MAIN_ALL] = CTL_OPTION_ALL,
    [MAIN_S3_ENDPOINT] = CTL_OPTION_S3,
    [MAIN_S3_OBJECT_BYTES] = CTL_OPTION_S3,
    [MAIN_LOG_NODES] = CTL_OPTION_NODES,
    [MAIN_CLUSTER_ID] = CTL_OPTION_NODES,
    [MAIN_AT] = CTL_OPTION_AT,
    [MAIN_TO] = CTL_OPTION_TO,
    [MAIN_TO_USER] = CTL_OPTION_TO,
    [MAIN_TO_PASSWORD_FILE] = CTL_OPTION_TO,
    [MAIN_TO_LOG] = CTL_OPTION_TO,
    [MAIN_TO_CLUSTER_ID] = CTL_OPTION_TO,
    [MAIN_TO_LOG_ID] = CTL_OPTION_TO,
    [MAIN_FORCE] = CTL_OPTION_FORCE,
    [MAIN_LOG_ID] = CTL_OPTION_NODES,
};

/* The option without which it says nothing; 0: none. */
static const enum main_extra main_extra_needs[MAIN_EXTRAS] = {
    [MAIN_TO_USER] = MAIN_TO_PASSWORD_FILE, [MAIN_TO_PASSWORD_FILE] = MAIN_TO,
    [MAIN_TO_CLUSTER_ID] = MAIN_TO_LOG,     [MAIN_TO_LOG_ID] = MAIN_TO_LOG,
    [MAIN_CLUSTER_ID] = MAIN_LOG_NODES,     [MAIN_LOG_ID] = MAIN_LOG_NODES,
};

static const char main_help[] =
    "\n--config names a proxy's own configuration: its host, port, redis.user and redis.password "
    "are\n"
    "taken from there. What the other options say comes first. Where the proxy that is asked does\n"
    "not lead, the leader is found through it.\n"
    "\nCommands:\n"
    "  status                      what the proxy says of itself, the log nodes and the proxies\n"
    "  failover [NAME]             hands the lead over, to the proxy NAME or to the best one\n"
    "  log status                  the log nodes, and what a change of them is doing\n"
    "  log replace OLD HOST:PORT   puts another log node in place of OLD\n"
    "  snapshot list               the snapshots that the log nodes have\n"
    "  snapshot now                makes one at what is committed now, tries it and stores it\n"
    "  snapshot verify OFFSET      tries the stored one of that offset\n"
    "  snapshot delete OFFSET      deletes it\n"
    "  tail                        what is committed, as it is: one effect a line, until stopped\n"
    "  restore --at ... --to ...   the data as they were then: an RDB file, or a running Redis\n"
    "  restore --at ... --to-log ...  or the start of a new log, in empty log nodes\n"
    "  export DIR                  a snapshot and the log behind it, into a folder; or what is "
    "new\n"
    "  export verify DIR           whether all of it is still what it was\n"
    "  import DIR                  makes a new log of it, in empty log nodes\n"
    "\nDIR may be s3://BUCKET/PREFIX: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN "
    "and\n"
    "AWS_REGION are taken from the environment.\n"
    "\nAn OFFSET is a place in the log; a TIME is 2026-11-22T14:02:00Z, @1795352520, \"14:02\",\n"
    "\"5 minutes ago\", now. Without a zone (Z, +01:00) the local one is meant.\n"
    "\nExit status: 0 done; 1 refused, or it came to nothing; 2 wrong command line or "
    "configuration;\n"
    "3 nobody answers; 4 it was begun, and how it ended is not known.\n";

static const struct options_program main_program = {
    .name = "holdfast-ctl",
    .summary = "Asks and commands the proxies of a Holdfast.",
    .operands = " COMMAND",
    .schema = settings_schema,
    .config_optional = true,
    .mixed = true,
    .extras = main_extras,
    .extra_count = MAIN_EXTRAS,
    .more_help = main_help,
};

void ctl_complain(const char *fmt, ...)
{
    va_list args;

    fputs("holdfast-ctl: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

/* How many words of argv the verb takes, if they are it; 0: they are not. */
static int main_verb_words(const struct ctl_verb *verb, int argc, char **argv)
{
    const char *at = verb->words;

    for (int i = 0; i < argc; i++) {
        size_t len = strcspn(at, " ");
        if (strlen(argv[i]) != len || memcmp(argv[i], at, len) != 0) {
            return 0;
        }
        at += len;
        if (*at == '\0') {
            return i + 1;
        }
        at++;
    }
    return 0;
}

/* The verb that argv begins with; *argc and *argv are moved behind its words. NULL: complained. */
static const struct ctl_verb *main_find_verb(int *argc, char ***argv)
{
    for (size_t i = 0; i < MAIN_VERBS; i++) {
        const struct ctl_verb *verb = &main_verbs[i];
        int words = main_verb_words(verb, *argc, *argv);
        if (words == 0) {
            continue;
        }
        *argc -= words;
        *argv += words;
        if (*argc < verb->arguments_min || *argc > verb->arguments_max) {
            ctl_complain("%s takes: %s", verb->words,
                         verb->arguments[0] != '\0' ? verb->arguments : "no arguments");
            return NULL;
        }
        return verb;
    }
    if (*argc == 0) {
        ctl_complain("a command is needed\nTry 'holdfast-ctl --help'.");
    } else {
        ctl_complain("not a command: %s%s%s\nTry 'holdfast-ctl --help'.", (*argv)[0],
                     *argc > 1 ? " " : "", *argc > 1 ? (*argv)[1] : "");
    }
    return NULL;
}

/* What would be left unheeded is refused: it was meant to say something. False: complained. */
static bool main_check_options(const struct ctl_verb *verb, const struct options *options,
                               char **argv)
{
    for (int i = 0; i < MAIN_EXTRAS; i++) {
        bool takes = main_extra_options[i] == 0 || (verb->options & main_extra_options[i]) != 0;
        enum main_extra needed = main_extra_needs[i];
        if (options->extras[i] == NULL) {
            continue;
        }
        if (!takes) {
            ctl_complain("%s takes no --%s\nTry 'holdfast-ctl --help'.", verb->words,
                         main_extras[i].name);
            return false;
        }
        if (needed != 0 && options->extras[needed] == NULL) {
            ctl_complain("--%s goes with --%s only", main_extras[i].name, main_extras[needed].name);
            return false;
        }
        if (main_extra_options[i] == CTL_OPTION_S3 && !s3_is_url(argv[0])) {
            ctl_complain("--%s goes with s3://BUCKET/PREFIX only: %s is a folder",
                         main_extras[i].name, argv[0]);
            return false;
        }
    }
    return true;
}

/* The first line of a file; NULL: complained. The caller frees it. */
static char *main_read_password(const char *path)
{
    char *line = mem_calloc(1, MAIN_PASSWORD_MAX + 2);
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        ctl_complain("%s: %s", path, strerror(errno));
        free(line);
        return NULL;
    }
    bool read = fgets(line, MAIN_PASSWORD_MAX + 2, file) != NULL;
    (void)fclose(file);
    line[strcspn(line, "\r\n")] = '\0';
    if (!read || line[0] == '\0' || strlen(line) > MAIN_PASSWORD_MAX) {
        ctl_complain("%s: its first line is no password", path);
        free(line);
        return NULL;
    }
    return line;
}

/* Seconds, if the option is given. False: complained. */
static bool main_take_seconds(const struct options *options, enum main_extra extra,
                              uint64_t *out_ms)
{
    const char *text = options->extras[extra];
    char *end;

    if (text == NULL) {
        return true;
    }
    long seconds = strtol(text, &end, 10);
    if (end == text || *end != '\0' || seconds < 1 || seconds > MAIN_WAIT_MAX_S) {
        ctl_complain("--%s: not a number of seconds from 1 to %d: %s", main_extras[extra].name,
                     MAIN_WAIT_MAX_S, text);
        return false;
    }
    *out_ms = (uint64_t)seconds * 1000;
    return true;
}

/* What the options say beyond the configuration. False: complained. *password and host are the
 * memory behind ctl. */
static bool main_apply(const struct options *options, struct ctl *ctl, char *host, size_t host_size,
                       char **password, char **to_password)
{
    const char *proxy = options->extras[MAIN_PROXY];
    char *end;

    if (proxy != NULL) {
        if (!ctl_parse_address(proxy, host, host_size, &ctl->port)) {
            ctl_complain("--proxy: not HOST:PORT: %s", proxy);
            return false;
        }
        ctl->host = host;
    }
    if (options->extras[MAIN_USER] != NULL) {
        ctl->user = options->extras[MAIN_USER];
    }
    if (!main_take_seconds(options, MAIN_WAIT, &ctl->wait_ms) ||
        !main_take_seconds(options, MAIN_MARKS, &ctl->mark_ms)) {
        return false;
    }
    if (options->extras[MAIN_S3_OBJECT_BYTES] != NULL) {
        const char *text = options->extras[MAIN_S3_OBJECT_BYTES];
        ctl->s3_object_bytes = strtoull(text, &end, 10);
        if (end == text || *end != '\0' || ctl->s3_object_bytes < MAIN_OBJECT_MIN_BYTES ||
            ctl->s3_object_bytes > MAIN_OBJECT_MAX_BYTES) {
            ctl_complain("--s3-object-bytes: not a number of bytes from 64 KiB to 4 GiB: %s", text);
            return false;
        }
    }
    ctl->s3_endpoint = options->extras[MAIN_S3_ENDPOINT];
    ctl->json = options->extras[MAIN_JSON] != NULL;
    ctl->from = options->extras[MAIN_FROM];
    ctl->until = options->extras[MAIN_UNTIL];
    ctl->db = options->extras[MAIN_DB];
    ctl->keys = options->extras[MAIN_KEYS];
    ctl->at = options->extras[MAIN_AT];
    ctl->to = options->extras[MAIN_TO];
    ctl->to_log = options->extras[MAIN_TO_LOG];
    ctl->to_cluster_id = options->extras[MAIN_TO_CLUSTER_ID];
    ctl->to_log_id = options->extras[MAIN_TO_LOG_ID];
    ctl->to_user = options->extras[MAIN_TO_USER] != NULL ? options->extras[MAIN_TO_USER] : "";
    ctl->force = options->extras[MAIN_FORCE] != NULL;
    ctl->all = options->extras[MAIN_ALL] != NULL;
    ctl->log_nodes = options->extras[MAIN_LOG_NODES];
    ctl->cluster_id = options->extras[MAIN_CLUSTER_ID];
    ctl->log_id = options->extras[MAIN_LOG_ID];
    if (options->extras[MAIN_PASSWORD_FILE] != NULL) {
        *password = main_read_password(options->extras[MAIN_PASSWORD_FILE]);
        ctl->password = *password;
    }
    if (options->extras[MAIN_TO_PASSWORD_FILE] != NULL) {
        *to_password = main_read_password(options->extras[MAIN_TO_PASSWORD_FILE]);
        ctl->to_password = *to_password;
    }
    if (ctl->password == NULL || ctl->to_password == NULL) {
        return false;
    }
    if (options->extras[MAIN_USER] != NULL && ctl->password[0] == '\0') {
        ctl_complain("--user goes with --password-file, or redis.password of --config");
        return false;
    }
    return true;
}

/* What was printed is there, and not only on its way: exit status 0 says so. */
static int main_close_output(int status)
{
    if (status == CTL_EXIT_DONE && (fflush(stdout) != 0 || ferror(stdout) != 0)) {
        ctl_complain("standard output: %s", strerror(errno));
        return CTL_EXIT_FAILED;
    }
    return status;
}

int main(int argc, char **argv)
{
    struct options_program program = main_program;
    struct options options;
    struct settings settings = {0};
    char host[256], *password = NULL, *to_password = NULL;
    int status;

    log_init("holdfast-ctl", LOG_LEVEL_ERROR);
    program.schema_count = settings_schema_count;
    if (!options_parse(&program, argc, argv, &options, &status, stdout, stderr)) {
        return status;
    }
    struct ctl ctl = {.host = "127.0.0.1", .port = 7379, .timeout_ms = MAIN_TIMEOUT_MS};
    ctl.user = ctl.password = ctl.to_user = ctl.to_password = "";
    ctl.password_option = "password-file";
    if (options.config_path != NULL || options.check_config) {
        if (!options_load(&program, &options, &settings, &status, stdout, stderr)) {
            return status;
        }
        ctl.host = settings.host;
        ctl.port = (int)settings.port;
        ctl.user = settings.redis_user;
        ctl.password = settings.redis_password;
        ctl.settings = &settings;
    }
    argc -= options.operands_at;
    argv += options.operands_at;
    const struct ctl_verb *verb = main_find_verb(&argc, &argv);
    status = CTL_EXIT_USAGE;
    if (verb != NULL && main_check_options(verb, &options, argv) &&
        main_apply(&options, &ctl, host, sizeof host, &password, &to_password)) {
        status = main_close_output(verb->run(&ctl, argc, argv));
    }
    free(password);
    free(to_password);
    config_free(settings_schema, settings_schema_count, &settings);
    return status;
}
