/* Scripts and functions that say that they do not write (the flag no-writes), as far as is known:
 * CLIENT PAUSE … WRITE does not hold them back, and what a script is EVALSHA and FCALL do not tell.
 * Scripts are learned from SCRIPT LOAD. Functions are known for one pause at a time, from FUNCTION
 * LIST, which is asked when it begins, since none can be loaded while it lasts; what was on its way
 * then may still change one, so Redis is told not to let it write (FCALL_RO). What is not known is
 * taken to write. Pure. */
#ifndef PROXY_CLIENTS_READERS_H
#define PROXY_CLIENTS_READERS_H

#include "common/buf.h"
#include "proxy/protocol/command.h"

#include <stdbool.h>

enum { READERS_SHA_BYTES = 40, READERS_SCRIPTS_MAX = 256 };

/* Zero-initialised is empty. */
struct readers {
    struct buf scripts;   /* READERS_SHA_BYTES + 1 for each, ended by '\0' */
    size_t next;          /* the place of the next one, once there are READERS_SCRIPTS_MAX */
    struct buf functions; /* names, each ended by '\0' */
    bool wanted;          /* the owner is to ask Redis for its functions */
    unsigned asked;       /* so often, without an answer yet */
};

void readers_release(struct readers *r);

/* Whether a script's first line, "#!lua … flags=…", says that it does not write
 * (evalExtractShebangFlags in eval.c). */
bool readers_says_so(const struct resp_arg *script);

/* Such a script has this SHA1, in hex; another text is ignored. */
void readers_add_script(struct readers *r, const void *sha, size_t len);
/* A pause begins: functions are asked for anew, and until then none is known. */
void readers_begin(struct readers *r);
/* Redis was asked. */
void readers_asked(struct readers *r);
/* It answers, or its link has ended; in the order in which it was asked. False: the answer may be
 * older than the pause, and does not count. Else functions are added from it. */
bool readers_answered(struct readers *r);
void readers_add_function(struct readers *r, const char *name);

/* Whether the request is an EVALSHA or FCALL, or EVALSHA_RO or FCALL_RO, of one of them. */
bool readers_have(const struct readers *r, const struct command *command,
                  const struct resp_arg *argv, size_t argc);
/* Whether it is an FCALL, of any function. */
bool readers_is_function(const struct command *command);

#endif
