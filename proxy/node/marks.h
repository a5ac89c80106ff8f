/* When the stream stood where: how long commits take, and for how long what is not committed yet
 * has waited. Bounded: when there is no room for another mark, the newest one stands for what comes
 * as well, which makes that older than it is, never younger. Pure. */
#ifndef PROXY_NODE_MARKS_H
#define PROXY_NODE_MARKS_H

#include <stdbool.h>
#include <stdint.h>

enum { MARKS_MAX = 4096 };

struct mark {
    uint64_t offset;
    uint64_t at_ns;
};

/* {0} is empty. */
struct marks {
    struct mark ring[MARKS_MAX];
    unsigned first, count;
};

void marks_clear(struct marks *m);

/* The stream stands at `end` now, of which `committed` is committed. */
void marks_append(struct marks *m, uint64_t end, uint64_t committed, uint64_t now_ns);

/* Takes the oldest mark that is committed: true, and how long that took. False: none is left. */
bool marks_take(struct marks *m, uint64_t committed, uint64_t now_ns, uint64_t *took_ns);

/* For how long the oldest one that is not committed has waited; 0: there is none. */
uint64_t marks_age_ns(const struct marks *m, uint64_t now_ns);

#endif
