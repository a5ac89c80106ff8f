/* What CONFIG SET says of clients does not reach Redis (client_config.h), so CONFIG REWRITE can't
 * put it into Redis' file; it is kept in a file of the proxy's:
 *
 *     data_dir/client-settings:  a line "NAME VALUE" for each */
#ifndef PROXY_NODE_CLIENT_SETTINGS_H
#define PROXY_NODE_CLIENT_SETTINGS_H

#include "common/err.h"
#include "proxy/clients/client_config.h"

/* Replaces what is kept. 0 or an errno. */
int client_settings_save(const char *data_dir, const struct client_config *config) MUST_CHECK;
/* Takes what is kept, if anything is. 0 or an errno; EINVAL: a line is not understood, config is as
 * it was. */
int client_settings_load(const char *data_dir, struct client_config *config) MUST_CHECK;

#endif
