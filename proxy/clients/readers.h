/* Scripts and functions that say that they do not write (the flag no-writes), as far as is known:
 * CLIENT PAUSE … WRITE does not hold them back, and what a script is EVALSHA and FCALL do not tell.
 * Scripts are learned from SCRIPT LOAD; functions from FUNCTION LIST, when a pause begins, since
 * none can be loaded while it lasts. What is not known is taken to write. Pure. */
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
};

void readers_release(struct readers *r);

/* Whether a script's first line, "#!lua … flags=…", says that it does not write
 * (evalExtractShebangFlags in eval.c). */
bool readers_says_so(const struct resp_arg *script);

/* Such a script has this SHA1, in hex; another text is ignored. */
void readers_add_script(struct readers *r, const void *sha, size_t len);
/* All functions are named anew from here on. */
void readers_clear_functions(struct readers *r);
void readers_add_function(struct readers *r, const char *name);

/* Whether the request is an EVALSHA or FCALL of one of them. */
bool readers_have(const struct readers *r, const struct command *command,
                  const struct resp_arg *argv, size_t argc);

#endif
