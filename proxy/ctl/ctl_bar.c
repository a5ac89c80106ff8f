#include "proxy/ctl/ctl_bar.h"

#include "common/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { BAR_CELLS = 24, BAR_DRAW_MS = 100 };

static const char *bar_size(uint64_t bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;

    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) {
        value /= 1024;
    }
    (void)snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

void ctl_bar_show(struct ctl_bar *b, const char *what, uint64_t done_bytes, uint64_t total_bytes)
{
    uint64_t now_ns = clock_now_ns();
    char cells[BAR_CELLS + 1], done[32], total[32], left[32] = "";
    double part = total_bytes > 0 ? (double)done_bytes / (double)total_bytes : 0;

    if (!isatty(STDERR_FILENO) || now_ns - b->drawn_ns < BAR_DRAW_MS * CLOCK_NS_PER_MS) {
        return;
    }
    b->begun_ns = b->begun_ns == 0 ? now_ns : b->begun_ns;
    b->drawn_ns = now_ns;
    b->shown = true;
    if (total_bytes == 0) {
        fprintf(stderr, "\r\033[K%-10s %s", what, bar_size(done_bytes, done, sizeof done));
        return;
    }
    part = part > 1 ? 1 : part;
    for (int i = 0; i < BAR_CELLS; i++) {
        cells[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    }
    cells[BAR_CELLS] = '\0';
    double spent_s = (double)(now_ns - b->begun_ns) / (double)CLOCK_NS_PER_S;
    if (part > 0.02 && spent_s > 2) {
        (void)snprintf(left, sizeof left, ", %.0f s left", spent_s * (1 - part) / part);
    }
    fprintf(stderr, "\r\033[K%-10s [%s] %3.0f %%  %s of %s%s", what, cells, part * 100,
            bar_size(done_bytes, done, sizeof done), bar_size(total_bytes, total, sizeof total),
            left);
}

void ctl_bar_clear(struct ctl_bar *b)
{
    if (b->shown) {
        fputs("\r\033[K", stderr);
        b->shown = false;
    }
}
