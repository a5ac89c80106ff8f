#include "proxy/ctl/ctl_into.h"

#include "proxy/ctl/ctl_found.h"
#include "proxy/follow/lineage.h"
#include "proxy/node/settings.h"

#include <inttypes.h>
#include <unistd.h>

/* --to-log is a proxy's configuration, or a list. A status, complained. */
static int into_load(const struct ctl *ctl, struct settings *settings, bool *is_file)
{
    char error[CONFIG_ERROR_BYTES_MAX];

    *is_file = access(ctl->to_log, F_OK) == 0;
    if (*is_file && config_load(ctl->to_log, settings_schema, settings_schema_count, settings,
                                error, sizeof error) != ERR_OK) {
        ctl_complain("%s", error);
        return CTL_EXIT_USAGE;
    }
    return CTL_EXIT_DONE;
}

int ctl_into_open(struct ctl_into *t, const struct ctl *ctl, uint64_t offset)
{
    struct settings settings = {0};
    struct ctl theirs = *ctl;
    bool is_file;
    int rc = into_load(ctl, &settings, &is_file);

    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    theirs.settings = is_file ? &settings : NULL;
    theirs.log_nodes = is_file ? NULL : ctl->to_log;
    theirs.cluster_id = ctl->to_cluster_id;
    theirs.log_id = ctl->to_log_id;
    rc = ctl_nodes_open_all(&t->nodes, &theirs);
    config_free(settings_schema, settings_schema_count, &settings);
    if (rc != CTL_EXIT_DONE) {
        return rc;
    }
    bool room = ctl_found_look(&t->nodes, offset, NULL, &t->held);
    ctl_nodes_close(&t->nodes);
    if (room && !held_all_known(&t->held)) {
        ctl_complain("an import was broken off in these log nodes: go on with it, or remove what "
                     "they have stored; nothing was changed");
        room = false;
    }
    return room ? CTL_EXIT_DONE : CTL_EXIT_FAILED;
}

int ctl_into_put(struct ctl_into *t, const struct snapshot_info *info, int fd, struct term *term)
{
    uint64_t from;
    struct ctl_found *found = ctl_found_open(&t->nodes);

    if (found == NULL) {
        return CTL_EXIT_UNREACHABLE;
    }
    int rc = ctl_found_begin(found, info, lineage_engine(info->engine_version), &t->held, &from);
    if (rc == CTL_EXIT_DONE) {
        rc = ctl_found_end(found, fd);
        *term = ctl_found_term(found);
        if (rc != CTL_EXIT_DONE) {
            ctl_complain("the log nodes hold a part of it, which is not served: restore it again");
        }
    }
    ctl_found_close(found);
    if (rc == CTL_FOUND_CHANGED) {
        ctl_complain("the log nodes have another log by now; nothing was changed");
        rc = CTL_EXIT_FAILED;
    }
    return rc;
}
