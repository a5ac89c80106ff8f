#include "common/hex.h"

static const char hex_digits[] = "0123456789abcdef";

static void hex_print_byte(char *out, uint8_t byte)
{
    out[0] = hex_digits[byte >> 4];
    out[1] = hex_digits[byte & 15];
}

void hex_print(char *out, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < size; i++) {
        hex_print_byte(out + 2 * i, at[i]);
    }
    out[2 * size] = '\0';
}

void hex_put(struct buf *out, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    char digits[2];

    for (size_t i = 0; i < size; i++) {
        hex_print_byte(digits, at[i]);
        buf_append(out, digits, sizeof digits);
    }
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_parse(const char *text, void *out, size_t size)
{
    uint8_t *to = out;

    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text[2 * i]);
        int low = high < 0 ? -1 : hex_value(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
