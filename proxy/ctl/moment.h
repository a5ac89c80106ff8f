/* A moment of a log, as people write it: an offset or a time. Times are those of RFC 3339 and the
 * plainer ones that date(1) takes:
 *
 *     123456                        the offset
 *     2026-11-22T14:02:00+01:00     also with a blank for the T, "Z", "UTC", a fraction, no seconds
 *     @1795352520.250               seconds since 1970
 *     now                           5 minutes ago                14:02     yesterday 14:02:30
 *
 * A time without a zone is taken in the zone of the process (TZ), and told so: `local`. Pure, but
 * for that zone. */
#ifndef PROXY_CTL_MOMENT_H
#define PROXY_CTL_MOMENT_H

#include "common/err.h"

#include <stdbool.h>
#include <stdint.h>

struct moment {
    bool is_offset;
    uint64_t offset;  /* is_offset */
    uint64_t wall_ms; /* else: since 1970 */
    bool local;       /* it was written without a zone */
};

/* ERR_INVALID: it is none, or there is no such time (February 30th; an hour that the clocks leave
 * out); *why says what is wrong with it. now_ms: for what is relative. */
int moment_parse(const char *text, uint64_t now_ms, struct moment *out,
                 const char **why) MUST_CHECK;

enum { MOMENT_TEXT_BYTES = 32 };
/* "2026-11-22T13:02:00.250Z". */
const char *moment_print(uint64_t wall_ms, char out[MOMENT_TEXT_BYTES]);

#endif
