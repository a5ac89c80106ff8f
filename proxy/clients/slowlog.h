/* Redis' SLOWLOG without what the proxy itself asks. */
#ifndef PROXY_CLIENTS_SLOWLOG_H
#define PROXY_CLIENTS_SLOWLOG_H

#include "common/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Redis' whole reply to SLOWLOG GET -1 becomes that to SLOWLOG GET most, or to LEN. What is no such
 * reply (an error) stays as it is. */
void slowlog_correct(struct buf *reply, size_t most, bool len_only);

#endif
