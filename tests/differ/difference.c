#include "tests/differ/difference.h"

const char *difference_text(enum difference_kind kind)
{
    static const char *const texts[] = {
        "no difference",        "another reply",        "no reply from Holdfast",
        "more than Redis says", "the connection's end", "clients that block",
        "other data",           "the proxy ended",      "Holdfast does not answer",
    };
    return texts[kind];
}

void difference_release(struct difference *d)
{
    buf_release(&d->said[0]);
    buf_release(&d->said[1]);
}
