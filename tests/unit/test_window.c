/* The leader's window: records are cut once, at whole units where that is possible, and what comes
 * out in slices is what went in, whatever the pieces. */
#include "logsvc/client/window.h"

#include "common/buf.h"
#include "common/crc32c.h"
#include "common/random.h"
#include "logsvc/wire.h"
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

enum { ORIGIN = 1000 };

static void init(struct window *w, size_t record_max)
{
    window_init(w, (struct log_term){3}, ORIGIN, record_max, 1 << 20);
    window_set_chain(w, 77);
}

/* Reads everything from `from` on by slices; checks headers, payloads and chain; returns how many
 * records, and the last one in *last. */
static unsigned read_all(const struct window *w, uint64_t from, size_t max, uint32_t chain,
                         struct buf *out, struct record *last)
{
    const uint8_t *bytes, *payload;
    unsigned count = 0;
    size_t size, whole;
    uint64_t end;

    while ((size = window_slice(w, from, max, &bytes, &end)) > 0) {
        for (size_t at = 0; at < size; at += whole) {
            ck_assert_int_eq(wire_record(bytes + at, size - at, last, &payload, &whole), ERR_OK);
            ck_assert(at == 0 || at + whole <= max);
            ck_assert_uint_eq(last->begin, from);
            ck_assert_uint_eq(last->term.n, 3);
            ck_assert(record_payload_ok(last, payload));
            chain = crc32c_extend(chain, payload, last->len_bytes);
            ck_assert_uint_eq(last->chain_crc, chain);
            buf_append(out, payload, last->len_bytes);
            from = record_end(last);
            count++;
        }
        ck_assert_uint_eq(from, end);
    }
    ck_assert_uint_eq(from, w->sealed_end);
    return count;
}

/* Units that come while nothing is sealed share one record; a part of a unit stays behind. */
START_TEST(units_gather)
{
    struct window w;
    struct buf out = BUF_INIT;
    struct record r;

    init(&w, 1000);
    window_append(&w, "abc", 3, true, 1);
    window_append(&w, "def", 3, true, 2);
    window_append(&w, "gh", 2, false, 3);
    ck_assert_uint_eq(window_slice(&w, ORIGIN, 1000, &(const uint8_t *){0}, &(uint64_t){0}), 0);
    ck_assert(window_seal(&w));
    ck_assert(!window_seal(&w));
    ck_assert_uint_eq(read_all(&w, ORIGIN, 5000, 77, &out, &r), 1);
    ck_assert_uint_eq(r.flags, RECORD_UNIT_END);
    ck_assert_uint_eq(out.len, 6);
    ck_assert_uint_eq(window_end(&w), ORIGIN + 8);
    window_append(&w, "i", 1, true, 4);
    ck_assert(window_seal(&w));
    buf_clear(&out);
    ck_assert_uint_eq(read_all(&w, ORIGIN, 5000, 77, &out, &r), 2);
    ck_assert_int_eq(memcmp(buf_head(&out), "abcdefghi", 9), 0);
    buf_release(&out);
    window_fini(&w);
}
END_TEST

/* A unit that fits into a record is never torn; one that doesn't is cut into parts, of which only
 * the last is flagged. */
START_TEST(only_large_units_are_torn)
{
    struct window w;
    struct buf out = BUF_INIT;
    struct record r;
    uint8_t big[250];

    init(&w, 100);
    memset(big, 'x', sizeof big);
    window_append(&w, big, 60, true, 1);
    window_append(&w, big, 60, true, 1); /* doesn't fit behind the first: a record of its own */
    ck_assert_uint_eq(w.sealed_end, ORIGIN + 60);
    window_append(&w, big, 250, true, 1);
    (void)window_seal(&w);
    ck_assert_uint_eq(read_all(&w, ORIGIN, 100000, 77, &out, &r), 5);
    ck_assert_uint_eq(r.flags, RECORD_UNIT_END);
    ck_assert_uint_eq(r.len_bytes, 50);
    ck_assert(window_is_boundary(&w, ORIGIN + 120));
    ck_assert(window_is_boundary(&w, ORIGIN + 220));
    ck_assert(!window_is_boundary(&w, ORIGIN + 119));
    const uint8_t *bytes, *payload;
    uint64_t end;
    size_t whole;
    size_t size = window_slice(&w, ORIGIN + 120, 1, &bytes, &end);
    ck_assert_int_eq(wire_record(bytes, size, &r, &payload, &whole), ERR_OK);
    ck_assert_uint_eq(r.flags, 0);
    buf_release(&out);
    window_fini(&w);
}
END_TEST

/* Until the chain checksum is known nothing goes out; then all records have it. */
START_TEST(chain_may_come_late)
{
    struct window w;
    struct buf out = BUF_INIT;
    struct record r;

    window_init(&w, (struct log_term){3}, ORIGIN, 10, 1 << 20);
    for (int i = 0; i < 50; i++) {
        window_append(&w, "0123456", 7, true, 1);
    }
    (void)window_seal(&w);
    ck_assert_uint_eq(window_slice(&w, ORIGIN, 1000, &(const uint8_t *){0}, &(uint64_t){0}), 0);
    window_set_chain(&w, 4711);
    ck_assert_uint_eq(read_all(&w, ORIGIN, 300, 4711, &out, &r), 50);
    window_append(&w, "0123456", 7, true, 1);
    (void)window_seal(&w);
    buf_clear(&out);
    ck_assert_uint_eq(read_all(&w, ORIGIN, 300, 4711, &out, &r), 51);
    buf_release(&out);
    window_fini(&w);
}
END_TEST

/* Memory is given back when nobody needs the bytes; at the bound, also when somebody does, but
 * never what is not committed. */
START_TEST(trim_is_bounded)
{
    struct window w;
    static uint8_t piece[10000];

    window_init(&w, (struct log_term){3}, ORIGIN, sizeof piece, 1 << 20);
    window_set_chain(&w, 0);
    for (int i = 0; i < 1000; i++) {
        window_append(&w, piece, sizeof piece, true, 1);
        (void)window_seal(&w);
        window_trim(&w, ORIGIN);
    }
    ck_assert_uint_eq(window_begin(&w), ORIGIN); /* 10 MB, none committed */
    w.commit = ORIGIN + 9000000;
    window_trim(&w, ORIGIN);
    ck_assert_uint_gt(window_begin(&w), ORIGIN + 8000000);
    ck_assert_uint_le(window_begin(&w), w.commit);
    ck_assert_uint_le(w.memory_bytes, 2 << 20);
    window_trim(&w, window_end(&w));
    ck_assert_uint_le(w.memory_bytes, 300 << 10);
    ck_assert_uint_eq(window_slice(&w, ORIGIN, 1000, &(const uint8_t *){0}, &(uint64_t){0}), 0);
    window_fini(&w);
}
END_TEST

/* Random units in random pieces, sealed and trimmed now and then: the bytes are the same. */
START_TEST(random_pieces)
{
    struct random random;
    static uint8_t unit[400];

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct window w;
        struct buf in = BUF_INIT, out = BUF_INIT;
        struct record r;
        random_init(&random, seed);
        init(&w, 1 + random_below(&random, 200));
        for (int i = 0; i < 2000; i++) {
            size_t size = 1 + random_below(&random, sizeof unit);
            size_t first = random_below(&random, size);
            for (size_t k = 0; k < size; k++) {
                unit[k] = (uint8_t)random_next(&random);
            }
            buf_append(&in, unit, size);
            if (first > 0) {
                window_append(&w, unit, first, false, 1);
            }
            window_append(&w, unit + first, size - first, true, 1);
            if (random_below(&random, 5) == 0) {
                (void)window_seal(&w);
            }
        }
        (void)window_seal(&w);
        ck_assert_uint_eq(w.open_bytes, 0);
        (void)read_all(&w, ORIGIN, 1 + random_below(&random, 3000), 77, &out, &r);
        ck_assert_uint_eq(out.len, in.len);
        ck_assert_int_eq(memcmp(buf_head(&in), buf_head(&out), in.len), 0);
        ck_assert_uint_eq(r.flags, RECORD_UNIT_END);
        buf_release(&in);
        buf_release(&out);
        window_fini(&w);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("window", NULL, NULL, units_gather, only_large_units_are_torn,
                    chain_may_come_late, trim_is_bounded, random_pieces);
}
