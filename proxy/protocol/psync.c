#include "proxy/protocol/psync.h"

#include <string.h>

static bool is_hex(const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'))) {
            return false;
        }
    }
    return true;
}

bool psync_parse_replid(const char *text, size_t len, struct replid *out)
{
    if (len != sizeof out->hex || !is_hex((const uint8_t *)text, len)) {
        return false;
    }
    memcpy(out->hex, text, sizeof out->hex);
    return true;
}

bool psync_parse_number(const char *text, size_t len, uint64_t *out)
{
    uint64_t n = 0;

    if (len == 0 || len > 19) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    *out = n;
    return n <= INT64_MAX;
}
