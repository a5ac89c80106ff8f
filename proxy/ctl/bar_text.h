/* What a progress bar says: how much is done, how fast, and how long it will take yet. Pure. */
#ifndef PROXY_CTL_BAR_TEXT_H
#define PROXY_CTL_BAR_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BAR_TEXT_BYTES = 240 };

struct bar_text {
    const char *what;
    uint64_t done_bytes, total_bytes; /* total 0: not known */
    uint64_t first_bytes;             /* were done when the clock was started … */
    uint64_t spent_ms;                /* … so long ago */
    bool cells;                       /* with a bar of characters, for a terminal */
};

/* "snapshot   [######..................]  25 %  1.0 GiB of 4.0 GiB, 103.2 MiB/s, 31 s left"; rate
 * and time left come after a second. Returns out. */
const char *bar_text_print(const struct bar_text *b, char out[BAR_TEXT_BYTES]);

#endif
