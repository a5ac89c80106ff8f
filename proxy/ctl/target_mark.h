/* What a Redis was before something is restored into it, as a text that it keeps for us for as long
 * as it is a replica of ours. It tells that to nobody but who may ask for its users: it has the
 * text as the key pattern of a user who can't log in. Its masterauth, which it offers to whoever
 * it takes for its master, is but the beginning of the text, and random. Pure. */
#ifndef PROXY_CTL_TARGET_MARK_H
#define PROXY_CTL_TARGET_MARK_H

#include "common/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum { TARGET_SETTINGS = 3, TARGET_MARK_BYTES_MAX = 64 << 10 };

struct target_mark {
    bool empty;                      /* it held no key */
    char *secret;                    /* its masterauth meanwhile */
    char *settings[TARGET_SETTINGS]; /* that the replay changes, as they were */
};

/* Their names: masterauth, masteruser, replica-read-only. */
extern const char *const target_mark_settings[TARGET_SETTINGS];
/* The user's name, and that of a restore's connection. */
extern const char target_mark_user[];

/* {0} is one to begin with. */
void target_mark_fini(struct target_mark *m);
/* Makes the secret anew, which nobody guesses who does not know `random` (letters and digits). */
void target_mark_make_secret(struct target_mark *m, const char *random);
/* Whether a masterauth is such a secret, of whichever restore. */
bool target_mark_is_secret(const char *masterauth);
/* Appends the text, and a NUL. Secret and settings are known. */
void target_mark_print(const struct target_mark *m, struct buf *out);
/* False: it is none; *m is empty. */
bool target_mark_parse(const char *text, struct target_mark *m);
/* Whether a line of ACL LIST is of a user of that name, whoever has made it. */
bool target_mark_is_user(const char *line);
/* target_mark_parse of a line of ACL LIST. */
bool target_mark_parse_user(const char *line, struct target_mark *m);

enum target_others { TARGET_ALONE, TARGET_BEFORE_OTHERS, TARGET_BEHIND_OTHERS };
/* Whether a CLIENT LIST tells of restores besides the one whose connection has the id `self`, and
 * whether one of them connected before it. */
enum target_others target_mark_others(const char *clients, uint64_t self);

#endif
