/* How far something is, on standard error: on a terminal a progress bar with rate and time left,
 * else a line every ten seconds (so what is quick says nothing). */
#ifndef PROXY_CTL_CTL_BAR_H
#define PROXY_CTL_CTL_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_bar {
    bool shown;       /* standard error is a terminal, and the bar stands there */
    const char *what; /* the step that is under way */
    uint64_t begun_ns, drawn_ns;
    uint64_t first_bytes; /* when that step was begun */
};

/* {0} is a bar that was not begun. total_bytes 0: not known. May be called often. `what` is kept by
 * reference; another one has a clock of its own. */
void ctl_bar_show(struct ctl_bar *b, const char *what, uint64_t done_bytes, uint64_t total_bytes);
/* Takes it away: before anything else is printed, and at the end. */
void ctl_bar_clear(struct ctl_bar *b);

#endif
