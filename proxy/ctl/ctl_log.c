/* holdfast-ctl log …: the log nodes, and the replacement of one.
 *
 * The leader answers HOLDFAST LOG STATUS with lines "key:value": scalars first, among them
 *
 *     change:none | what a change of members is doing now
 *     change_error:why the last change came to nothing (only then)
 *
 * then a row for each log node, "node1:id=…,address=…,member=…,state=…,…". It takes
 * HOLDFAST LOG REPLACE OLD HOST:PORT, answered with OK once the change is under way. */
#include "proxy/ctl/ctl_link.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CTL_LOG_POLL_MS = 200 };

int ctl_log_status(const struct ctl *ctl, int argc, char **argv)
{
    struct ctl_link link;
    struct ctl_text text;
    int rc = ctl_link_open_leader(&link, ctl, true, &text);

    (void)argc;
    (void)argv;
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    ctl_text_fini(&text);
    rc = ctl_link_status(&link, true, "LOG", &text);
    if (rc == CTL_EXIT_DONE) {
        ctl_text_print(&text, ctl->json, "node", stdout);
        ctl_text_fini(&text);
    }
    ctl_link_close(&link);
    return rc;
}

/* Shows a change's progress: on a terminal over and over in one line, else each news in its own. */
static void ctl_log_show(const char *change, char *last, size_t size)
{
    if (strcmp(change, last) == 0) {
        return;
    }
    (void)snprintf(last, size, "%s", change);
    printf(isatty(STDOUT_FILENO) ? "\r\033[K%s" : "%s\n", change);
    (void)fflush(stdout);
}

/* Whether the node at that address counts now. */
static bool ctl_log_is_member(const struct ctl_text *status, const char *address)
{
    enum { CTL_LOG_ROWS_MAX = 32 };
    char key[16], wanted[300];

    (void)snprintf(wanted, sizeof wanted, "address=%s,member=yes,", address);
    for (int i = 1; i <= CTL_LOG_ROWS_MAX; i++) {
        (void)snprintf(key, sizeof key, "node%d", i);
        const char *row = ctl_text_get(status, key);
        if (row != NULL && strstr(row, wanted) != NULL) {
            return true;
        }
    }
    return false;
}

/* Waits until the leader, whoever that is by then, says that no change is under way. A new leader
 * that knows nothing of it has found nothing changed. */
static int ctl_log_wait(const struct ctl *ctl, struct ctl_link *link, const char *address)
{
    uint64_t start_ns = clock_now_ns();
    struct ctl_text status;
    char last[256] = "";

    for (;;) {
        if (link->redis == NULL) {
            struct ctl_text info;
            if (ctl_link_open_leader(link, ctl, false, &info) == CTL_EXIT_DONE) {
                ctl_text_fini(&info);
            }
        }
        if (link->redis != NULL && ctl_link_status(link, false, "LOG", &status) == CTL_EXIT_DONE) {
            const char *change = ctl_text_get(&status, "change");
            const char *error = ctl_text_get(&status, "change_error");
            bool over = change == NULL || strcmp(change, "none") == 0;
            bool failed = over && !ctl_log_is_member(&status, address);
            ctl_log_show(failed ? "given up" : over ? "done" : change, last, sizeof last);
            if (failed) {
                ctl_complain("%s", error != NULL && error[0] != '\0'
                                       ? error
                                       : "the leader has changed before anything else had; run it "
                                         "again");
            }
            ctl_text_fini(&status);
            if (over) {
                printf(isatty(STDOUT_FILENO) ? "\n" : "");
                return failed ? CTL_EXIT_FAILED : CTL_EXIT_DONE;
            }
        } else {
            ctl_link_close(link);
        }
        if (ctl->wait_ms != 0 && clock_now_ns() - start_ns > ctl->wait_ms * CLOCK_NS_PER_MS) {
            ctl_complain("the replacement was begun and is not done yet; log status shows it");
            return CTL_EXIT_TIMEOUT;
        }
        (void)nanosleep(&(struct timespec){.tv_nsec = CTL_LOG_POLL_MS * 1000000L}, NULL);
    }
}

int ctl_log_replace(const struct ctl *ctl, int argc, char **argv)
{
    const char *command[] = {"HOLDFAST", "LOG", "REPLACE", argv[0], argv[1]};
    struct ctl_link link;
    struct ctl_text info;
    char host[256], *text = NULL;
    int port;

    (void)argc;
    if (!ctl_parse_address(argv[1], host, sizeof host, &port)) {
        ctl_complain("not HOST:PORT: %s", argv[1]);
        return CTL_EXIT_USAGE;
    }
    int rc = ctl_link_open_leader(&link, ctl, true, &info);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    ctl_text_fini(&info);
    rc = ctl_link_ask(&link, true, &text, 5, command);
    free(text);
    if (rc == CTL_EXIT_DONE) {
        rc = ctl_log_wait(ctl, &link, argv[1]);
    }
    ctl_link_close(&link);
    return rc;
}
