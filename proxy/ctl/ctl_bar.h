/* A progress bar on standard error, if that is a terminal; else nothing is shown but what went
 * wrong. */
#ifndef PROXY_CTL_CTL_BAR_H
#define PROXY_CTL_CTL_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct ctl_bar {
    bool shown; /* standard error is a terminal, and the bar stands there */
    uint64_t begun_ns, drawn_ns;
};

/* {0} is a bar that was not begun. total_bytes 0: not known. Draws ten times a second at most. */
void ctl_bar_show(struct ctl_bar *b, const char *what, uint64_t done_bytes, uint64_t total_bytes);
/* Takes it away: before anything else is printed, and at the end. */
void ctl_bar_clear(struct ctl_bar *b);

#endif
