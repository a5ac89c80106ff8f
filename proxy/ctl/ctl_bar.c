#include "proxy/ctl/ctl_bar.h"

#include "common/clock.h"
#include "proxy/ctl/bar_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BAR_DRAW_MS = 100, BAR_LINE_MS = 10000 };

void ctl_bar_show(struct ctl_bar *b, const char *what, uint64_t done_bytes, uint64_t total_bytes)
{
    uint64_t now_ns = clock_now_ns();
    bool terminal = isatty(STDERR_FILENO) != 0;
    char text[BAR_TEXT_BYTES];

    if (b->what == NULL || strcmp(b->what, what) != 0 || done_bytes < b->first_bytes) {
        b->what = what;
        b->begun_ns = now_ns;
        b->first_bytes = done_bytes;
        b->drawn_ns = terminal ? 0 : now_ns;
    }
    if (now_ns - b->drawn_ns < (terminal ? BAR_DRAW_MS : BAR_LINE_MS) * CLOCK_NS_PER_MS) {
        return;
    }
    struct bar_text bar = {.what = what,
                           .done_bytes = done_bytes,
                           .total_bytes = total_bytes,
                           .first_bytes = b->first_bytes,
                           .spent_ms = (now_ns - b->begun_ns) / CLOCK_NS_PER_MS,
                           .cells = terminal};
    b->drawn_ns = now_ns;
    b->shown = terminal;
    fprintf(stderr, terminal ? "\r\033[K%s" : "%s\n", bar_text_print(&bar, text));
}

void ctl_bar_clear(struct ctl_bar *b)
{
    if (b->shown) {
        fputs("\r\033[K", stderr);
        b->shown = false;
    }
}
