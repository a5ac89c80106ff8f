/* holdfast-ctl status: what one proxy says of itself, of the log nodes and of the other proxies. */
#include "proxy/ctl/ctl_link.h"

#include <stdio.h>
#include <string.h>

static const char *ctl_or(const char *value, const char *otherwise)
{
    return value != NULL && value[0] != '\0' ? value : otherwise;
}

/* The line about who it is and who leads. */
static void ctl_print_roles(const struct ctl_link *l, const struct ctl_text *info)
{
    const char *leader = ctl_text_get(info, "leader");
    const char *role = ctl_text_get(info, "role");
    bool known = leader != NULL && leader[0] != '\0' && strcmp(leader, ":0") != 0;

    printf("proxy      %s:%d, %s (%s), Holdfast %s\n", l->host, l->port, role,
           ctl_or(ctl_text_get(info, "state"), "?"), ctl_or(ctl_text_get(info, "version"), "?"));
    printf("leader     %s, term %s\n", known ? leader : "nobody is known to lead",
           ctl_or(ctl_text_get(info, "term"), "?"));
    if (strcmp(role, "leader") == 0) {
        printf("lease      %s ms left\n", ctl_or(ctl_text_get(info, "lease_ms_left"), "?"));
    }
}

static void ctl_print_offsets(const struct ctl_text *info)
{
    const char *applied = ctl_text_get(info, "offset_applied");

    if (applied != NULL) {
        printf("applied    %s, %s bytes and %s ms behind\n", applied,
               ctl_or(ctl_text_get(info, "lag_bytes"), "?"),
               ctl_or(ctl_text_get(info, "lag_ms"), "?"));
    } else {
        printf("executed   %s\n", ctl_or(ctl_text_get(info, "offset_executed"), "?"));
    }
    printf("committed  %s\n", ctl_or(ctl_text_get(info, "offset_committed"), "?"));
}

static void ctl_print_traffic(const struct ctl_text *info)
{
    const char *done = ctl_text_get(info, "progress_bytes");

    if (done != NULL) {
        printf("progress   %s of %s bytes\n", done,
               ctl_or(ctl_text_get(info, "progress_total_bytes"), "?"));
    }
    printf("clients    %s, %s replies withheld\n", ctl_or(ctl_text_get(info, "clients"), "?"),
           ctl_or(ctl_text_get(info, "replies_withheld"), "?"));
    printf("commits    %s, p50 %s us, p99 %s us\n", ctl_or(ctl_text_get(info, "commits"), "?"),
           ctl_or(ctl_text_get(info, "commit_us_p50"), "?"),
           ctl_or(ctl_text_get(info, "commit_us_p99"), "?"));
}

/* Every kind of row, each under its own head, in the order in which they come. */
static void ctl_print_tables(const struct ctl_text *info)
{
    static const char *const kinds[] = {"log", "proxy"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        bool any = false;
        for (size_t k = 0; k < info->count && !any; k++) {
            size_t len = strlen(kinds[i]);
            any =
                strncmp(info->lines[k].key, kinds[i], len) == 0 && ctl_text_is_row(&info->lines[k]);
        }
        if (any) {
            printf("\n");
            ctl_text_print_rows(info, kinds[i], stdout);
        }
    }
}

int ctl_status(const struct ctl *ctl, int argc, char **argv)
{
    struct ctl_link link;
    struct ctl_text info;

    (void)argc;
    (void)argv;
    int rc = ctl_link_open(&link, ctl, ctl->host, ctl->port, true);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    rc = ctl_link_info(&link, true, &info);
    if (rc == CTL_EXIT_DONE && ctl->json) {
        ctl_text_print_json(&info, stdout);
    } else if (rc == CTL_EXIT_DONE) {
        ctl_print_roles(&link, &info);
        ctl_print_offsets(&info);
        ctl_print_traffic(&info);
        ctl_print_tables(&info);
    }
    if (rc == CTL_EXIT_DONE) {
        ctl_text_fini(&info);
    }
    ctl_link_close(&link);
    return rc;
}
