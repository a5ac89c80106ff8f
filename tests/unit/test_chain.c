/* The chain: what goes in comes out, in order, whatever it is cut into; large buffers are not
 * copied, and nothing stays behind. */
#include "common/chain.h"

#include "common/random.h"

#include "tests/lib/unit.h"

#include <check.h>
#include <string.h>

/* A sequence that shows any byte that is lost, twice there or out of order. */
static uint8_t byte_at(size_t position)
{
    return (uint8_t)(position * 131 + position / 251);
}

static void fill(struct buf *b, size_t position, size_t size)
{
    uint8_t *to = buf_reserve(b, size);

    for (size_t i = 0; i < size; i++) {
        to[i] = byte_at(position + i);
    }
    buf_commit(b, size);
}

/* Small and large pieces, appended and taken, consumed by and by. */
START_TEST(test_order)
{
    struct random random;
    struct chain c = {.len = 0};
    size_t in = 0, out = 0;

    random_init(&random, 5);
    for (int round = 0; round < 1000; round++) {
        struct buf b = BUF_INIT;
        size_t size = (size_t)random_below(&random, round % 7 == 0 ? 100000 : 200);
        fill(&b, in, size);
        in += size;
        if (round % 2 == 0) {
            chain_append(&c, buf_head(&b), b.len);
            buf_release(&b);
        } else {
            chain_take(&c, &b);
            ck_assert_ptr_null(b.data);
        }
        ck_assert_uint_eq(c.len, in - out);
        for (uint64_t pieces = random_below(&random, 6); pieces > 0 && c.len > 0; pieces--) {
            const uint8_t *head = chain_head(&c, &size);
            ck_assert_uint_gt(size, 0);
            size = (size_t)random_below(&random, size) + 1;
            size_t right = 0;
            while (right < size && head[right] == byte_at(out + right)) {
                right++;
            }
            ck_assert_uint_eq(right, size);
            chain_consume(&c, size);
            out += size;
        }
    }
    chain_release(&c);
    ck_assert_uint_eq(c.len, 0);
    ck_assert_uint_eq(chain_capacity(&c), 0);
}
END_TEST

/* All of a chain goes behind another one, or into a buffer; its pieces are not copied. */
START_TEST(test_move)
{
    size_t sizes[] = {0, 1, 1000, 70000, 400000, 3000000};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            struct chain a = {.len = 0}, b = {.len = 0};
            struct buf bytes = BUF_INIT, out = BUF_INIT;
            size_t all = sizes[i] + sizes[j];
            fill(&bytes, 0, all + 1);
            for (size_t at = 0; at < all; at += 777) {
                struct chain *to = at < sizes[i] ? &a : &b;
                size_t end = at < sizes[i] ? sizes[i] : all;
                chain_append(to, buf_head(&bytes) + at, end - at < 777 ? end - at : 777);
                at -= end - at < 777 ? 777 - (end - at) : 0;
            }
            chain_move(&a, &b);
            ck_assert_uint_eq(b.len, 0);
            ck_assert_uint_eq(chain_capacity(&b), 0);
            ck_assert_uint_eq(a.len, all);
            chain_append(&a, buf_head(&bytes) + all, 1);
            buf_append(&out, "x", j % 2);
            chain_move_to(&a, &out);
            ck_assert_uint_eq(a.len, 0);
            ck_assert_uint_eq(out.len, all + 1 + j % 2);
            ck_assert(memcmp(buf_head(&out) + j % 2, buf_head(&bytes), all + 1) == 0);
            buf_release(&bytes);
            buf_release(&out);
        }
    }
}
END_TEST

/* A large buffer is handed through as it is, behind others as well. */
START_TEST(test_no_copy)
{
    struct chain c = {.len = 0};
    struct buf big = BUF_INIT;
    size_t size;

    fill(&big, 0, 1 << 20);
    const uint8_t *bytes = buf_head(&big);
    chain_append(&c, "x", 1);
    chain_take(&c, &big);
    chain_append(&c, "y", 1);
    chain_consume(&c, 1);
    ck_assert_ptr_eq(chain_head(&c, &size), bytes);
    ck_assert_uint_eq(size, 1 << 20);
    chain_consume(&c, size);
    ck_assert_mem_eq(chain_head(&c, &size), "y", 1);
    chain_consume(&c, 1);
    ck_assert_uint_eq(c.len, 0);
    (void)chain_head(&c, &size);
    ck_assert_uint_eq(size, 0);
    chain_trim(&c, 0);
    ck_assert_uint_eq(chain_capacity(&c), 0);
}
END_TEST

/* What is very large is given back to the system part by part; nothing of what is left goes along,
 * wherever the parts end. */
START_TEST(test_vast)
{
    struct chain c = {.len = 0};
    struct buf b = BUF_INIT;
    size_t size, out = 0, step = 1;

    fill(&b, 0, (size_t)12 << 20);
    chain_take(&c, &b);
    while (c.len > 0) {
        const uint8_t *head = chain_head(&c, &size);
        step = step * 5 % 700001 + 1;
        step = step < size ? step : size;
        ck_assert_uint_eq(head[0], byte_at(out));
        ck_assert_uint_eq(head[step - 1], byte_at(out + step - 1));
        ck_assert_uint_eq(head[size - 1], byte_at(out + size - 1));
        chain_consume(&c, step);
        out += step;
        if (c.len > 0) {
            head = chain_head(&c, &size);
            ck_assert_uint_eq(head[0], byte_at(out));
        }
    }
    ck_assert_uint_eq(out, (size_t)12 << 20);
    chain_release(&c);
}
END_TEST

int main(void)
{
    return UNIT_RUN("chain", NULL, NULL, test_order, test_move, test_no_copy, test_vast);
}
