#include "common/random.h"

#include "common/hex.h"
#include "common/mem.h"

#include <errno.h>
#include <sys/random.h>

void random_bytes(void *bytes, size_t size)
{
    char *at = bytes;

    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        MUST(got > 0 || (got < 0 && errno == EINTR));
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

void random_hex(char *out, size_t digits)
{
    uint8_t byte;

    MUST(digits % 2 == 0);
    for (size_t i = 0; i < digits; i += 2) {
        random_bytes(&byte, 1);
        hex_print(out + i, &byte, 1);
    }
    out[digits] = '\0';
}

uint64_t random_seed(void)
{
    uint64_t seed;

    random_bytes(&seed, sizeof seed);
    return seed;
}

static uint64_t random_splitmix(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void random_init(struct random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        r->state[i] = random_splitmix(&seed);
    }
}

static uint64_t random_rotate(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t random_next(struct random *r)
{
    uint64_t *s = r->state;
    uint64_t result = random_rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = random_rotate(s[3], 45);
    return result;
}

uint64_t random_below(struct random *r, uint64_t limit)
{
    uint64_t value;

    MUST(limit > 0);
    /* 2^64 is not a multiple of limit: the first (2^64 mod limit) values would make some results
     * likelier than others, so they are thrown again. */
    uint64_t uneven = -limit % limit;
    do {
        value = random_next(r);
    } while (value < uneven);
    return value % limit;
}
