/* What nodes hold of a log that was broken off is known by its chain, wherever it ends. */
#include "common/crc32c.h"
#include "common/random.h"
#include "proxy/ctl/held.h"
#include "tests/lib/unit.h"

enum { STREAM_BYTES = 500, BEGIN = 77, ROUNDS = 200 };

static uint8_t stream[STREAM_BYTES];

static void feed_in_pieces(struct held *h, struct random *random, size_t size)
{
    for (size_t at = 0; at < size;) {
        size_t piece = 1 + (size_t)random_below(random, 60);
        piece = piece < size - at ? piece : size - at;
        held_feed(h, stream + at, piece);
        at += piece;
    }
}

/* Any beginning of the stream, cut anywhere, is known; one with any other byte is not, and neither
 * is one that goes on behind the stream's end. */
START_TEST(knows_a_beginning)
{
    struct random random;
    struct held h;

    random_init(&random, 3);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < STREAM_BYTES; i++) {
            stream[i] = (uint8_t)random_below(&random, 256);
        }
        size_t size = (size_t)random_below(&random, STREAM_BYTES);
        size_t a = (size_t)random_below(&random, size + 1);
        held_start(&h, BEGIN);
        held_add(&h, BEGIN + a, BEGIN + a / 2, crc32c_extend(0, stream, a));
        held_add(&h, BEGIN, BEGIN, 0);
        feed_in_pieces(&h, &random, size);
        ck_assert(held_all_known(&h));
        ck_assert(held_ends_at(&h, BEGIN + a / 2) && held_ends_at(&h, BEGIN));
        ck_assert(!held_ends_at(&h, BEGIN + STREAM_BYTES));

        uint32_t chain = crc32c_extend(0, stream, a + 1);
        held_start(&h, BEGIN);
        held_add(&h, BEGIN + a + 1, BEGIN, chain);
        feed_in_pieces(&h, &random, a);
        ck_assert(!held_all_known(&h));

        size_t wrong = (size_t)random_below(&random, a + 1);
        stream[wrong] ^= 1;
        held_start(&h, BEGIN);
        held_add(&h, BEGIN + a + 1, BEGIN, chain);
        feed_in_pieces(&h, &random, STREAM_BYTES);
        ck_assert(!held_all_known(&h));
    }
}
END_TEST

/* Nothing held is nothing to be afraid of; another begin is. */
START_TEST(knows_nothing)
{
    struct held h;

    held_start(&h, BEGIN);
    ck_assert(held_all_known(&h));
    held_add(&h, BEGIN - 1, BEGIN - 1, 0);
    held_feed(&h, "abc", 3);
    ck_assert(!held_all_known(&h));
}
END_TEST

int main(void)
{
    return UNIT_RUN("held", NULL, NULL, knows_a_beginning, knows_nothing);
}
