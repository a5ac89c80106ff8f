/* holdfast-ctl failover: a planned hand-over, and how long it took until another proxy served. */
#include "proxy/ctl/ctl_link.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CTL_FAILOVER_POLL_MS = 2, CTL_FAILOVER_ASK_MS = 1000 };

static void ctl_pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

/* Asks the leader to hand over; *term and *host, *port are his. */
static int ctl_failover_begin(const struct ctl *ctl, const char *name, long long *term,
                              struct ctl_link *link)
{
    const char *argv[] = {"HOLDFAST", "FAILOVER", name};
    struct ctl_text info;
    char *text = NULL;
    int rc = ctl_link_open_leader(link, ctl, true, &info);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    *term = ctl_text_number(&info, "term");
    ctl_text_fini(&info);
    rc = ctl_link_ask(link, true, &text, name != NULL ? 3 : 2, argv);
    free(text);
    if (rc != CTL_EXIT_DONE) {
        ctl_link_close(link);
    }
    return rc;
}

/* Whether a proxy leads in a later term; then *info is what he says. It is asked of the old leader,
 * or else of the proxy that was named. */
static bool ctl_failover_is_over(const struct ctl *ctl, struct ctl_link *old, long long term,
                                 struct ctl_text *info)
{
    struct ctl quick = *ctl;
    struct ctl_link link;
    char host[256];
    int port;

    quick.timeout_ms =
        ctl->timeout_ms < CTL_FAILOVER_ASK_MS ? ctl->timeout_ms : CTL_FAILOVER_ASK_MS;
    if (old->redis == NULL && ctl_link_open(old, &quick, old->host, old->port, false) != 0) {
        (void)ctl_link_open(old, &quick, ctl->host, ctl->port, false);
    }
    if (old->redis == NULL || ctl_link_info(old, false, info) != CTL_EXIT_DONE) {
        ctl_link_close(old);
        return false;
    }
    const char *leader = ctl_text_get(info, "leader");
    bool known = ctl_text_number(info, "term") > term && leader != NULL &&
                 ctl_parse_address(leader, host, sizeof host, &port);
    ctl_text_fini(info);
    if (!known || ctl_link_open(&link, &quick, host, port, false) != CTL_EXIT_DONE) {
        return false;
    }
    bool serves = ctl_link_info(&link, false, info) == CTL_EXIT_DONE;
    if (serves && (strcmp(ctl_text_get(info, "role"), "leader") != 0 ||
                   ctl_text_number(info, "term") <= term)) {
        ctl_text_fini(info);
        serves = false;
    }
    ctl_link_close(&link);
    return serves;
}

int ctl_failover(const struct ctl *ctl, int argc, char **argv)
{
    struct ctl_link old;
    struct ctl_text info;
    long long term = -1;
    int rc = ctl_failover_begin(ctl, argc > 0 ? argv[0] : NULL, &term, &old);
    uint64_t start_ns = clock_now_ns();
    uint64_t wait_ms = ctl->wait_ms != 0 ? ctl->wait_ms : 30000;

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    while (!ctl_failover_is_over(ctl, &old, term, &info)) {
        if (clock_now_ns() - start_ns > wait_ms * CLOCK_NS_PER_MS) {
            ctl_complain("the hand-over was begun, but nobody leads in a later term than %lld",
                         term);
            ctl_link_close(&old);
            return CTL_EXIT_TIMEOUT;
        }
        ctl_pause_ms(CTL_FAILOVER_POLL_MS);
    }
    long long took_ms = (long long)((clock_now_ns() - start_ns) / CLOCK_NS_PER_MS);
    const char *leader = ctl_text_get(&info, "leader");
    if (ctl->json) {
        printf("{\"leader\": \"%s\", \"term\": %lld, \"took_ms\": %lld}\n", leader,
               ctl_text_number(&info, "term"), took_ms);
    } else {
        printf("%s leads in term %lld, after %lld ms\n", leader, ctl_text_number(&info, "term"),
               took_ms);
    }
    ctl_text_fini(&info);
    ctl_link_close(&old);
    return CTL_EXIT_DONE;
}
