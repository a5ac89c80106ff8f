/* What a Redis was before something is restored into it, as a text that it keeps for us (in its
 * masterauth) for as long as it is a replica of ours. Pure. */
#ifndef PROXY_CTL_TARGET_MARK_H
#define PROXY_CTL_TARGET_MARK_H

#include "common/buf.h"

#include <stdbool.h>

enum { TARGET_SETTINGS = 3, TARGET_MARK_BYTES_MAX = 64 << 10 };

struct target_mark {
    bool empty;                      /* it held no key */
    char *settings[TARGET_SETTINGS]; /* that the replay changes, as they were */
};

/* Their names: masterauth, masteruser, replica-read-only. */
extern const char *const target_mark_settings[TARGET_SETTINGS];

/* {0} is one to begin with. */
void target_mark_fini(struct target_mark *m);
/* Appends the text, which nobody guesses who does not know `random`, and a NUL. All settings are
 * known. */
void target_mark_print(const struct target_mark *m, const char *random, struct buf *out);
/* False: it is none; *m is empty. */
bool target_mark_parse(const char *text, struct target_mark *m);

#endif
