/* holdfast-ctl restore: the dataset as it was at a moment, as an RDB file, in a running Redis, or
 * as the start of a new log: the newest snapshot before it, and the committed log up to exactly
 * there.
 */
#include "proxy/ctl/ctl_bring.h"
#include "proxy/ctl/ctl_into.h"
#include "proxy/ctl/ctl_link.h"
#include "proxy/ctl/ctl_place.h"
#include "proxy/ctl/ctl_stop.h"
#include "proxy/ctl/ctl_target.h"

#include "common/clock.h"
#include "common/mem.h"
#include "proxy/ctl/change_text.h"
#include "proxy/follow/lineage.h"
#include "proxy/node/settings.h"
#include "proxy/snapshot/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESTORE_PATH_MAX = PATH_MAX + 32, RESTORE_DATABASES = 16 };

struct restore {
    const struct ctl *ctl;
    struct ctl_nodes nodes;
    struct moment at; /* as given */
    struct ctl_place place;
    struct snapshot_info base; /* as far as is known before; the replay may take another */
    struct replay_point point;
    bool began; /* the Redis was told to replicate */
    /* The target is a Redis … */
    char host[256];
    int port; /* 0: it is a file … */
    char path[RESTORE_PATH_MAX], part[RESTORE_PATH_MAX + 8], folder[RESTORE_PATH_MAX];
    /* … or a new log. */
    struct ctl_into into;
    struct term term;
    uint64_t size_bytes; /* of the RDB */
    uint32_t crc;
    char version[32]; /* of the Redis that has written it, or holds the data */
};

/* ---- what is meant ---- */

static int restore_check_file(const struct restore *r)
{
    struct stat st;

    if (stat(r->path, &st) != 0) {
        return CTL_EXIT_DONE;
    }
    if (!S_ISREG(st.st_mode)) {
        ctl_complain("%s is there already, and no file; nothing was changed", r->path);
        return CTL_EXIT_FAILED;
    }
    if (!r->ctl->force) {
        ctl_complain("%s is there already; nothing was changed (--force replaces it)", r->path);
        return CTL_EXIT_FAILED;
    }
    return CTL_EXIT_DONE;
}

/* --to names a Redis, a file, or a folder that takes a dump.rdb. */
static int restore_target(struct restore *r)
{
    const char *to = r->ctl->to;
    struct stat st;

    if ((to == NULL) == (r->ctl->to_log == NULL) || (to != NULL && to[0] == '\0')) {
        ctl_complain("restore needs --to FILE, --to HOST:PORT or --to-log, one of them");
        return CTL_EXIT_USAGE;
    }
    if (to == NULL) {
        return CTL_EXIT_DONE;
    }
    if (strchr(to, '/') == NULL && stat(to, &st) != 0 &&
        ctl_parse_address(to, r->host, sizeof r->host, &r->port)) {
        return CTL_EXIT_DONE;
    }
    r->port = 0;
    if (strchr(to, '/') == NULL && strchr(to, ':') != NULL && stat(to, &st) != 0) {
        ctl_complain("--to: not HOST:PORT: %s (./%s, if a file of that name is meant)", to, to);
        return CTL_EXIT_USAGE;
    }
    if (r->ctl->to_password[0] != '\0') {
        ctl_complain("--to-password-file goes with --to HOST:PORT: %s is a file", to);
        return CTL_EXIT_USAGE;
    }
    bool folder = stat(to, &st) == 0 && S_ISDIR(st.st_mode);
    if (strlen(to) > PATH_MAX) {
        ctl_complain("--to: the name is too long");
        return CTL_EXIT_USAGE;
    }
    (void)snprintf(r->path, sizeof r->path, "%s%s", to, folder ? "/dump.rdb" : "");
    (void)snprintf(r->part, sizeof r->part, "%s.part", r->path);
    const char *slash = strrchr(r->path, '/');
    (void)snprintf(r->folder, sizeof r->folder, "%.*s", slash != NULL ? (int)(slash - r->path) : 1,
                   slash == r->path ? "/"
                   : slash != NULL  ? r->path
                                    : ".");
    if (slash == r->path) {
        (void)snprintf(r->folder, sizeof r->folder, "/");
    }
    return restore_check_file(r);
}

static int restore_too_early(const struct snapshot_info *earliest, bool known)
{
    char time[MOMENT_TEXT_BYTES];

    if (known) {
        ctl_complain("--at is before what is kept: the earliest moment is %s, offset %" PRIu64
                     " (snapshot.pitr_ms of the proxies keeps more, from then on)",
                     moment_print(earliest->wall_ms, time), earliest->offset);
    } else {
        ctl_complain("no snapshot is there to begin with");
    }
    return CTL_EXIT_FAILED;
}

/* The commit at or before the moment, and whether it can be had. */
static int restore_place(struct restore *r)
{
    struct moment newest = {.is_offset = true, .offset = r->nodes.commit};
    struct moment at = r->ctl->at != NULL ? r->at : newest;
    struct snapshot_info earliest;
    unsigned node;

    bool known = ctl_nodes_earliest(&r->nodes, &earliest) == ERR_OK;
    if (known && (at.is_offset ? at.offset < earliest.offset : at.wall_ms < earliest.wall_ms)) {
        return restore_too_early(&earliest, known);
    }
    int rc = ctl_place_find(&r->nodes, "at", &at, &r->place);
    if (rc == CTL_EXIT_DONE && at.is_offset) {
        rc = ctl_place_unit(&r->nodes, r->place.offset, &at.offset);
        rc = rc == CTL_EXIT_DONE ? ctl_place_find(&r->nodes, "at", &at, &r->place) : rc;
    }
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    if (!known || r->place.offset < earliest.offset ||
        ctl_nodes_snapshot(&r->nodes, r->place.offset, &r->base, &node) != ERR_OK) {
        return restore_too_early(&earliest, known);
    }
    return CTL_EXIT_DONE;
}

/* ---- doing it ---- */

/* As of a running Redis (ctl_target.c): what one version writes, an older one may not understand,
 * or not all of it. False: complained. */
static bool restore_fits(const struct restore *r, const char *program, const char *version)
{
    uint32_t theirs = lineage_engine(version), ours = lineage_engine(r->base.engine_version);

    if (r->ctl->force || ours == 0 || WIRE_ENGINE_MINOR(theirs) >= WIRE_ENGINE_MINOR(ours)) {
        return true;
    }
    ctl_complain("%s is Redis %s, older than the %s that wrote the data; nothing was changed "
                 "(--force tries it)",
                 program, version, r->base.engine_version);
    return false;
}

static int restore_bring(struct restore *r, struct ctl_bring_config *config, int fd)
{
    int status;

    config->nodes = &r->nodes;
    config->timeout_ms = r->ctl->timeout_ms;
    struct ctl_bring *bring = ctl_bring_open(config, &status);
    if (bring == NULL) {
        return status;
    }
    status = config->host != NULL || restore_fits(r, config->program, ctl_bring_version(bring))
                 ? ctl_bring_to(bring, r->place.offset, &r->point)
                 : CTL_EXIT_FAILED;
    if (status == CTL_EXIT_DONE && fd >= 0) {
        (void)snprintf(r->version, sizeof r->version, "%s", ctl_bring_version(bring));
        status = ctl_bring_extract(bring, &r->point, fd, &r->size_bytes, &r->crc);
    }
    r->began = ctl_bring_began(bring);
    ctl_bring_close(bring);
    return status;
}

/* How many databases what is restored may be in, as the proxy has it; else Redis' default. */
static unsigned restore_databases(const struct ctl *ctl)
{
    unsigned long databases = RESTORE_DATABASES;
    struct ctl_link link;

    if (ctl->log_nodes != NULL ||
        ctl_link_open(&link, ctl, ctl->host, ctl->port, false) != CTL_EXIT_DONE) {
        return RESTORE_DATABASES; /* with --log-nodes no proxy need be there */
    }
    redisReply *reply = redisCommand(link.redis, "CONFIG GET databases");
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        databases = strtoul(reply->element[1]->str, NULL, 10);
    }
    freeReplyObject(reply);
    ctl_link_close(&link);
    return (unsigned)databases;
}

static int restore_to_redis(struct restore *r)
{
    struct ctl_bring_config config = {
        .host = r->host, .port = r->port, .user = r->ctl->to_user, .password = r->ctl->to_password};
    struct ctl_target target;

    int rc = ctl_target_open(&target, r->ctl, r->host, r->port, r->base.engine_version,
                             restore_databases(r->ctl));
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    config.feed_host = target.our_host;
    (void)snprintf(r->version, sizeof r->version, "%s", target.version);
    config.secret = target.mark.secret;
    rc = restore_bring(r, &config, -1);
    if (rc == CTL_EXIT_DONE || r->began) {
        int finish_rc = ctl_target_finish(&target, rc != CTL_EXIT_DONE);
        rc = rc == CTL_EXIT_DONE ? finish_rc : rc;
    }
    ctl_target_close(&target);
    return rc;
}

static int restore_io_failed(const char *path)
{
    ctl_complain("%s: %s", path, strerror(errno));
    return CTL_EXIT_FAILED;
}

/* The file under its first name, empty, and ours alone as long as it is open: two restores would
 * mix theirs. Where there are no locks nobody is kept away. -1: complained. */
static int restore_open_part(const struct restore *r)
{
    struct stat ours, named;

    for (;;) {
        int fd = open(r->part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            (void)restore_io_failed(r->part);
            return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            ctl_complain("%s: another restore writes it; nothing was changed", r->part);
            (void)close(fd);
            return -1;
        }
        bool same = fstat(fd, &ours) == 0 && stat(r->part, &named) == 0 &&
                    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev;
        if (same && ftruncate(fd, 0) == 0) {
            return fd;
        }
        if (same) {
            (void)restore_io_failed(r->part);
        }
        (void)close(fd);
        if (same) {
            return -1;
        }
    }
}

/* What has come there meanwhile stays, unless it may be replaced, or the file system can't tell. */
static int restore_rename(const struct restore *r)
{
    if (!r->ctl->force) {
        int rc = renameat2(AT_FDCWD, r->part, AT_FDCWD, r->path, RENAME_NOREPLACE);
        if (rc == 0 || (errno != EINVAL && errno != ENOSYS)) {
            return rc;
        }
    }
    return rename(r->part, r->path);
}

/* Durable under its last name, or not there at all. */
static int restore_publish(struct restore *r, int fd)
{
    if (fsync(fd) != 0) {
        return restore_io_failed(r->part);
    }
    if (restore_rename(r) != 0) {
        return restore_io_failed(r->path);
    }
    int folder = open(r->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || fsync(folder) != 0) {
        int rc = restore_io_failed(r->folder);
        if (folder >= 0) {
            (void)close(folder);
        }
        return rc;
    }
    (void)close(folder);
    return CTL_EXIT_DONE;
}

static const char *restore_program(const struct restore *r)
{
    const struct settings *settings = r->ctl->settings;
    return settings != NULL ? settings->snapshot_redis_server : "redis-server";
}

/* By way of a file without a name. */
static int restore_to_log(struct restore *r)
{
    const char *tmpdir = getenv("TMPDIR");
    struct ctl_bring_config config = {.program = restore_program(r)};
    int rc = ctl_into_open(&r->into, r->ctl, r->place.offset);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    const char *folder = tmpdir != NULL && tmpdir[0] != '\0' ? tmpdir : "/var/tmp";
    int fd = extract_open_file(folder);
    if (fd < 0) {
        return restore_io_failed(folder);
    }
    rc = restore_bring(r, &config, fd);
    if (rc == CTL_EXIT_DONE) {
        struct snapshot_info info = {.offset = r->point.offset,
                                     .size_bytes = r->size_bytes,
                                     .crc = r->crc,
                                     .wall_ms = r->point.wall_ms,
                                     .taken_ms = clock_wall_ms()};
        (void)snprintf(info.engine_version, sizeof info.engine_version, "%s", r->version);
        rc = ctl_into_put(&r->into, &info, fd, &r->term);
    }
    (void)close(fd);
    return rc;
}

static int restore_to_file(struct restore *r)
{
    struct ctl_bring_config config = {.program = restore_program(r)};
    int fd = restore_open_part(r);

    if (fd < 0) {
        return CTL_EXIT_FAILED;
    }
    int rc = restore_bring(r, &config, fd);
    if (rc == CTL_EXIT_DONE) {
        rc = restore_publish(r, fd);
    }
    if (rc != CTL_EXIT_DONE) {
        (void)unlink(r->part);
    }
    (void)close(fd);
    return rc;
}

/* ---- what was done ---- */

static void restore_print_json(const struct restore *r)
{
    char time[MOMENT_TEXT_BYTES];
    struct buf out = BUF_INIT;

    buf_printf(&out, "{\"offset\":%" PRIu64 ",\"time\":", r->point.offset);
    if (r->place.before_known) {
        buf_printf(&out, "\"%s\"", moment_print(r->place.before.wall_ms, time));
    } else {
        buf_printf(&out, "\"%s\"", moment_print(r->point.base.wall_ms, time));
    }
    buf_printf(&out, ",\"next_time\":");
    if (r->place.behind_known) {
        buf_printf(&out, "\"%s\"", moment_print(r->place.behind.wall_ms, time));
    } else {
        buf_append_str(&out, "null");
    }
    buf_printf(&out, ",\"term\":%" PRIu64 ",\"chain_crc32c\":\"%08" PRIx32 "\",\"snapshot\":",
               r->point.term.n, r->point.chain_crc);
    snapinfo_to_json(&r->point.base, &out);
    buf_printf(&out,
               ",\"log_bytes\":%" PRIu64 ",\"rdb_ms\":%" PRIu64 ",\"log_ms\":%" PRIu64 ",\"to\":",
               r->point.log_bytes, r->point.rdb_ms, r->point.log_ms);
    const char *to = r->ctl->to_log != NULL ? r->ctl->to_log : r->port != 0 ? r->ctl->to : r->path;
    change_text_json_value(to, strlen(to), &out);
    if (r->ctl->to_log != NULL) {
        buf_printf(&out, ",\"to_term\":%" PRIu64, r->term.n);
    }
    buf_printf(&out, ",\"redis\":\"%s\"", r->version);
    if (r->port == 0) {
        buf_printf(&out, ",\"bytes\":%" PRIu64 ",\"crc32c\":\"%08" PRIx32 "\"", r->size_bytes,
                   r->crc);
    }
    buf_append_str(&out, "}\n");
    (void)fwrite(buf_head(&out), 1, out.len, stdout);
    buf_release(&out);
}

static void restore_print(const struct restore *r)
{
    char time[MOMENT_TEXT_BYTES], text[200];

    ctl_place_print(&r->place, text, sizeof text);
    printf("restored  %s\n", text);
    printf("from      the snapshot at offset %" PRIu64 " (%s, Redis %s), and %" PRIu64
           " bytes of log\n",
           r->point.base.offset, moment_print(r->point.base.wall_ms, time),
           r->point.base.engine_version, r->point.log_bytes);
    if (r->ctl->to_log != NULL) {
        printf("to        a new log, from offset %" PRIu64 " on in term %" PRIu64 ", %" PRIu64
               " bytes, written by Redis %s\n",
               r->point.offset, r->term.n, r->size_bytes, r->version);
    } else if (r->port != 0) {
        printf("to        %s, Redis %s\n", r->ctl->to, r->version);
    } else {
        printf("to        %s, %" PRIu64 " bytes, written by Redis %s\n", r->path, r->size_bytes,
               r->version);
    }
}

int ctl_restore(const struct ctl *ctl, int argc, char **argv)
{
    struct restore *r = mem_calloc(1, sizeof *r);

    (void)argc;
    (void)argv;
    r->ctl = ctl;
    int rc = restore_target(r);
    if (rc == CTL_EXIT_DONE && ctl->at != NULL) {
        rc = ctl_place_parse("at", ctl->at, &r->at);
    }
    if (rc == CTL_EXIT_DONE && (rc = ctl_nodes_open(&r->nodes, ctl)) == CTL_EXIT_DONE) {
        rc = restore_place(r);
        ctl_nodes_close(&r->nodes);
    }
    if (rc == CTL_EXIT_DONE) {
        ctl_stop_catch();
        rc = ctl->to_log != NULL ? restore_to_log(r)
             : r->port != 0      ? restore_to_redis(r)
                                 : restore_to_file(r);
    }
    if (rc == CTL_EXIT_DONE && ctl->json) {
        restore_print_json(r);
    } else if (rc == CTL_EXIT_DONE) {
        restore_print(r);
    }
    free(r);
    return rc;
}
