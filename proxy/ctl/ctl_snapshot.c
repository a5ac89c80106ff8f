/* holdfast-ctl snapshot …: the snapshots that the log nodes have, and making, trying and deleting
 * one.
 *
 * A proxy answers HOLDFAST SNAPSHOT STATUS with lines "key:value" and a row for each snapshot,
 * "snapshot1:offset=…,bytes=…,…"; `lists` counts how often it has asked the log nodes, `runs` how
 * often it has made or tried one. HOLDFAST SNAPSHOT NOW [OFFSET], VERIFY OFFSET and DELETE OFFSET
 * are answered with OK when they have begun. */
#include "proxy/ctl/ctl_link.h"

#include "common/clock.h"
#include "proxy/ctl/moment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CTL_SNAPSHOT_POLL_MS = 100, CTL_SNAPSHOT_LIST_MS = 10000 };

static void ctl_snapshot_pause(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = CTL_SNAPSHOT_POLL_MS * 1000000L}, NULL);
}

/* The status once the proxy has asked the log nodes again. */
static int ctl_snapshot_news(struct ctl_link *link, struct ctl_text *status)
{
    uint64_t start_ns = clock_now_ns();
    int rc = ctl_link_status(link, true, "SNAPSHOT", status);
    long long lists = rc == CTL_EXIT_DONE ? ctl_text_number(status, "lists") : 0;

    while (rc == CTL_EXIT_DONE && ctl_text_number(status, "lists") <= lists) {
        if (clock_now_ns() - start_ns > CTL_SNAPSHOT_LIST_MS * CLOCK_NS_PER_MS) {
            ctl_complain("too few log nodes answer; this is what is known of before");
            break;
        }
        ctl_text_fini(status);
        ctl_snapshot_pause();
        rc = ctl_link_status(link, true, "SNAPSHOT", status);
    }
    return rc;
}

/* How far back restore reaches: the oldest one from which a Redis may be brought up. Its log is
 * kept. */
static void ctl_snapshot_print_earliest(const struct ctl_text *status)
{
    unsigned long long offset, wall_ms, oldest = 0, oldest_ms = 0;
    char counts[8], number[32], time[MOMENT_TEXT_BYTES];
    bool found = false;

    for (size_t i = 0; i < status->count; i++) {
        const char *row = status->lines[i].value;
        if (!ctl_text_is_row(&status->lines[i]) ||
            !ctl_text_field(row, "counts", counts, sizeof counts) || strcmp(counts, "yes") != 0 ||
            !ctl_text_field(row, "offset", number, sizeof number)) {
            continue;
        }
        offset = strtoull(number, NULL, 10);
        wall_ms =
            ctl_text_field(row, "wall_ms", number, sizeof number) ? strtoull(number, NULL, 10) : 0;
        if (!found || offset < oldest) {
            oldest = offset;
            oldest_ms = wall_ms;
            found = true;
        }
    }
    if (found) {
        printf("restore --at goes back to offset %llu, of %s\n", oldest,
               moment_print(oldest_ms, time));
    } else {
        printf("restore --at has nothing to go back to yet\n");
    }
}

int ctl_snapshot_list(const struct ctl *ctl, int argc, char **argv)
{
    struct ctl_link link;
    struct ctl_text status;
    int rc = ctl_link_open(&link, ctl, ctl->host, ctl->port, true);

    (void)argc;
    (void)argv;
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = ctl_snapshot_news(&link, &status);
    if (rc == CTL_EXIT_DONE) {
        ctl_text_print(&status, ctl->json, "snapshot", stdout);
        if (!ctl->json) {
            ctl_snapshot_print_earliest(&status);
        }
        ctl_text_fini(&status);
    }
    ctl_link_close(&link);
    return rc;
}

/* The proxy that is to do it: one that follows, and has caught up; else the one that leads. */
static void ctl_snapshot_choose(const struct ctl_text *info, char *host, size_t size, int *port)
{
    const char *leader = ctl_text_get(info, "leader");
    char role[32], synced[8], address[300];

    if (leader != NULL) {
        (void)ctl_parse_address(leader, host, size, port);
    }
    for (size_t i = 0; i < info->count; i++) {
        const char *row = info->lines[i].value;
        if (strncmp(info->lines[i].key, "proxy", 5) == 0 && ctl_text_is_row(&info->lines[i]) &&
            ctl_text_field(row, "role", role, sizeof role) && strcmp(role, "follower") == 0 &&
            ctl_text_field(row, "synced", synced, sizeof synced) && strcmp(synced, "yes") == 0 &&
            ctl_text_field(row, "address", address, sizeof address) &&
            ctl_parse_address(address, host, size, port)) {
            return;
        }
    }
}

/* *committed: what the leader knows to be, and so all that was acknowledged before; if it can't be
 * reached (*led: it could), what the proxy that was asked knows. */
static int ctl_snapshot_open_worker(const struct ctl *ctl, struct ctl_link *link,
                                    unsigned long long *committed, bool *led)
{
    char host[256];
    int port = ctl->port;
    struct ctl_text info;
    int rc = ctl_link_open_leader(link, ctl, false, &info);

    *led = rc == CTL_EXIT_DONE;
    if (rc != CTL_EXIT_DONE &&
        (rc = ctl_link_open(link, ctl, ctl->host, ctl->port, true)) == CTL_EXIT_DONE) {
        rc = ctl_link_info(link, true, &info);
    }
    ctl_link_close(link);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    (void)snprintf(host, sizeof host, "%s", ctl->host);
    ctl_snapshot_choose(&info, host, sizeof host, &port);
    long long known = ctl_text_number(&info, "offset_committed");
    *committed = known > 0 ? (unsigned long long)known : 0;
    ctl_text_fini(&info);
    return ctl_link_open(link, ctl, host, port, true);
}

/* What it is doing now: on a terminal over and over in one line, else each phase once. */
static void ctl_snapshot_show(const struct ctl_text *status, char *last, size_t size)
{
    const char *phase = ctl_text_get(status, "phase"), *what = ctl_text_get(status, "what");
    long long done = ctl_text_number(status, "done_bytes");
    long long total = ctl_text_number(status, "total_bytes");
    char text[160];

    if (phase == NULL || what == NULL || phase[0] == '\0') {
        return;
    }
    (void)snprintf(text, sizeof text, "%s: %s", phase, what);
    if (isatty(STDERR_FILENO)) {
        if (total > 0) {
            fprintf(stderr, "\r\033[K%s, %lld of %lld bytes, %lld %%", text, done, total,
                    done * 100 / total);
        } else {
            fprintf(stderr, "\r\033[K%s", text);
        }
    } else if (strcmp(text, last) != 0) {
        fprintf(stderr, "%s\n", text);
    }
    (void)snprintf(last, size, "%s", text);
}

/* Waits until the run that has begun behind `runs` others is over. */
static int ctl_snapshot_wait(const struct ctl *ctl, struct ctl_link *link, long long runs)
{
    uint64_t start_ns = clock_now_ns();
    struct ctl_text status;
    char last[160] = "";

    for (;;) {
        int rc = ctl_link_status(link, true, "SNAPSHOT", &status);
        if (rc != CTL_EXIT_DONE) {
            ctl_complain("if that proxy has ended, so has what it was doing: snapshot list shows "
                         "what there is");
            return CTL_EXIT_TIMEOUT;
        }
        if (ctl_text_number(&status, "runs") > runs) {
            break;
        }
        ctl_snapshot_show(&status, last, sizeof last);
        ctl_text_fini(&status);
        if (ctl->wait_ms != 0 && clock_now_ns() - start_ns > ctl->wait_ms * CLOCK_NS_PER_MS) {
            ctl_complain("it was begun and is not done yet; snapshot list shows it");
            return CTL_EXIT_TIMEOUT;
        }
        ctl_snapshot_pause();
    }
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    const char *error = ctl_text_get(&status, "error");
    int rc = error != NULL ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
    if (error != NULL) {
        ctl_complain("%s", error);
    } else if (ctl->json) {
        printf("{\"offset\": %lld}\n", ctl_text_number(&status, "last_offset"));
    } else {
        printf("done: the snapshot at offset %lld\n", ctl_text_number(&status, "last_offset"));
    }
    ctl_text_fini(&status);
    return rc;
}

/* offset NULL: of all that is committed by now. */
static int ctl_snapshot_run(const struct ctl *ctl, const char *verb, const char *offset)
{
    char reach[24];
    const char *command[] = {"HOLDFAST", "SNAPSHOT", verb, offset != NULL ? offset : reach};
    struct ctl_link link;
    struct ctl_text status;
    unsigned long long committed;
    bool led;
    char *text = NULL;
    int rc = ctl_snapshot_open_worker(ctl, &link, &committed, &led);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    if (!led && offset == NULL) {
        ctl_complain(
            "the proxy that leads can't be reached: what was acknowledged last may not be in "
            "the snapshot");
    }
    (void)snprintf(reach, sizeof reach, "%llu", committed);
    rc = ctl_link_status(&link, true, "SNAPSHOT", &status);
    if (rc == CTL_EXIT_DONE) {
        long long runs = ctl_text_number(&status, "runs");
        ctl_text_fini(&status);
        rc = ctl_link_ask(&link, true, &text, 4, command);
        free(text);
        rc = rc == CTL_EXIT_DONE ? ctl_snapshot_wait(ctl, &link, runs) : rc;
    }
    ctl_link_close(&link);
    return rc;
}

int ctl_snapshot_now(const struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return ctl_snapshot_run(ctl, "NOW", NULL);
}

/* Of the command line; false: complained. */
static bool ctl_snapshot_is_offset(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    bool good = digits > 0 && text[digits] == '\0';

    if (!good) {
        ctl_complain("not the offset of a snapshot, as snapshot list has it: %s", text);
    }
    return good;
}

int ctl_snapshot_verify(const struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    return ctl_snapshot_is_offset(argv[0]) ? ctl_snapshot_run(ctl, "VERIFY", argv[0])
                                           : CTL_EXIT_USAGE;
}

int ctl_snapshot_delete(const struct ctl *ctl, int argc, char **argv)
{
    const char *command[] = {"HOLDFAST", "SNAPSHOT", "DELETE", argv[0]};
    struct ctl_link link;
    struct ctl_text status;
    char *text = NULL;

    (void)argc;
    if (!ctl_snapshot_is_offset(argv[0])) {
        return CTL_EXIT_USAGE;
    }
    int rc = ctl_link_open(&link, ctl, ctl->host, ctl->port, true);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = ctl_snapshot_news(&link, &status);
    if (rc == CTL_EXIT_DONE) {
        ctl_text_fini(&status);
        rc = ctl_link_ask(&link, true, &text, 4, command);
        free(text);
    }
    while (rc == CTL_EXIT_DONE && (rc = ctl_link_status(&link, true, "SNAPSHOT", &status)) == 0) {
        const char *error = ctl_text_get(&status, "delete_error");
        bool over = ctl_text_get(&status, "deleting") == NULL;
        if (over && error != NULL) {
            ctl_complain("%s", error);
            rc = CTL_EXIT_FAILED;
        } else if (over) {
            printf(ctl->json ? "{\"deleted\": %s}\n" : "deleted: the snapshot at offset %s\n",
                   argv[0]);
        }
        ctl_text_fini(&status);
        if (over) {
            break;
        }
        ctl_snapshot_pause();
    }
    ctl_link_close(&link);
    return rc;
}
