/* A place of the log: what an offset or a time that somebody has written means in it. */
#ifndef PROXY_CTL_CTL_PLACE_H
#define PROXY_CTL_CTL_PLACE_H

#include "proxy/ctl/ctl_nodes.h"
#include "proxy/ctl/moment.h"

struct ctl_place {
    uint64_t offset;
    bool before_known; /* `before` ends at, or holds, the offset; else the log begins there */
    struct record before;
    bool behind_known; /* `behind` comes next; else nothing committed is behind it */
    struct record behind;
};

/* Reads a moment as the option was given; complains. A local time is said on standard error. */
int ctl_place_parse(const char *option, const char *text, struct moment *out);

/* The commit at or before that time (or the offset itself) among what is committed as of the last
 * refresh. A status, complained: before the beginning of the log (told: the earliest moment that
 * there is), or beyond what is committed, or a time that has not come. */
int ctl_place_find(struct ctl_nodes *n, const char *option, const struct moment *m,
                   struct ctl_place *out);

/* "offset 412, committed 2026-11-22T14:02:00.123Z in term 3 (the next one is of …)". */
void ctl_place_print(const struct ctl_place *p, char *out, size_t size);

/* The last end of a unit at or before offset, which is committed. A status, complained. */
int ctl_place_unit(struct ctl_nodes *n, uint64_t offset, uint64_t *out);

/* The nearest end of a unit at or before offset from which the stream can be read. */
int ctl_place_align(struct ctl_nodes *n, uint64_t offset, uint64_t *out) MUST_CHECK;

/* The stream's database at offset, an end of a unit; -1: it can't be found out. */
long ctl_place_db(struct ctl_nodes *n, uint64_t offset);

#endif
