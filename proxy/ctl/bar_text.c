#include "proxy/ctl/bar_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BAR_CELLS = 24, BAR_SIZE_BYTES = 24, BAR_RATE_MS = 1000 };

static const char *bar_size(double value, char out[BAR_SIZE_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;

    for (; value >= 1024 && unit + 1 < sizeof units / sizeof *units; unit++) {
        value /= 1024;
    }
    (void)snprintf(out, BAR_SIZE_BYTES, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

static void bar_left(double left_s, char *out, size_t size)
{
    uint64_t s = left_s < 1e7 ? (uint64_t)(left_s + 0.5) : 0;

    if (left_s >= 1e7) {
        out[0] = '\0';
    } else if (s < 60) {
        (void)snprintf(out, size, ", %" PRIu64 " s left", s);
    } else if (s < 3600) {
        (void)snprintf(out, size, ", %" PRIu64 " min %" PRIu64 " s left", s / 60, s % 60);
    } else {
        (void)snprintf(out, size, ", %" PRIu64 " h %" PRIu64 " min left", s / 3600, s / 60 % 60);
    }
}

static void bar_speed(const struct bar_text *b, char *out, size_t size)
{
    char rate[BAR_SIZE_BYTES], left[48] = "";

    out[0] = '\0';
    if (b->spent_ms < BAR_RATE_MS || b->done_bytes <= b->first_bytes) {
        return;
    }
    double per_s = (double)(b->done_bytes - b->first_bytes) * 1000 / (double)b->spent_ms;
    if (b->total_bytes > b->done_bytes) {
        bar_left((double)(b->total_bytes - b->done_bytes) / per_s, left, sizeof left);
    }
    (void)snprintf(out, size, ", %s/s%s", bar_size(per_s, rate), left);
}

const char *bar_text_print(const struct bar_text *b, char out[BAR_TEXT_BYTES])
{
    char cells[BAR_CELLS + 4] = "", done[BAR_SIZE_BYTES], total[BAR_SIZE_BYTES], speed[80];

    bar_speed(b, speed, sizeof speed);
    (void)bar_size((double)b->done_bytes, done);
    if (b->total_bytes == 0) {
        (void)snprintf(out, BAR_TEXT_BYTES, "%-10.20s %s%s", b->what, done, speed);
        return out;
    }
    double part = (double)b->done_bytes / (double)b->total_bytes;
    part = part > 1 ? 1 : part;
    if (b->cells) {
        size_t full = (size_t)(part * BAR_CELLS);
        cells[0] = '[';
        memset(cells + 1, '#', full);
        memset(cells + 1 + full, '.', BAR_CELLS - full);
        memcpy(cells + 1 + BAR_CELLS, "] ", sizeof "] ");
    }
    (void)snprintf(out, BAR_TEXT_BYTES, "%-10.20s %s%3.0f %%  %s of %s%s", b->what, cells,
                   part * 100, done, bar_size((double)b->total_bytes, total), speed);
    return out;
}
