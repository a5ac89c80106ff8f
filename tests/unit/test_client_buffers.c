/* What Redis would keep ready for a client, as CLIENT LIST tells it. */
#include "proxy/clients/client_buffers.h"

#include "tests/lib/unit.h"

static struct client_buffers b;
static struct client_buffers_rules rules;

static void setup(void)
{
    client_buffers_init(&b);
    rules = (struct client_buffers_rules){0};
}

/* Room for a read of Redis' while the client says something now and then, none after that. */
START_TEST(test_query)
{
    ck_assert_uint_eq(b.query, 0);
    client_buffers_read(&b, &rules, 1000, 30);
    ck_assert_uint_eq(b.query, 20474);
    client_buffers_look(&b, &rules, 3900, 2);
    ck_assert_uint_eq(b.query, 20474);
    client_buffers_look(&b, &rules, 4000, 3);
    ck_assert_uint_eq(b.query, 0);
    client_buffers_read(&b, &rules, 4100, 30);
    ck_assert_uint_eq(b.query, 20474);
}
END_TEST

/* What a large request has taken is there until smaller ones have come for a while. */
START_TEST(test_query_large)
{
    client_buffers_read(&b, &rules, 1000, 30);
    client_buffers_read(&b, &rules, 1010, 400000);
    client_buffers_look(&b, &rules, 1020, 0);
    ck_assert_uint_eq(b.query, 400000);
    client_buffers_read(&b, &rules, 1050, 100);
    ck_assert_uint_eq(b.query, 400000);
    client_buffers_read(&b, &rules, 1120, 100);
    client_buffers_read(&b, &rules, 1230, 100);
    ck_assert_uint_eq(b.query, 20474);
}
END_TEST

/* It shrinks to what was used since the peak was forgotten, 1024 at least, and grows by twice while
 * it is full. */
START_TEST(test_reply)
{
    client_buffers_wrote(&b, &rules, 1000, 5);
    ck_assert_uint_eq(b.reply, 16384);
    client_buffers_look(&b, &rules, 1300, 0);
    ck_assert_uint_eq(b.reply, 1024);
    ck_assert_uint_eq(b.reply_peak, 0);
    for (uint32_t i = 1, size = 1024; i <= 5; i++, size = size < 16384 ? size * 2 : size) {
        ck_assert_uint_eq(b.reply, size);
        client_buffers_wrote(&b, &rules, 1300 + 100 * i, 40000);
        client_buffers_look(&b, &rules, 1400 + 100 * i, 0);
    }
    ck_assert_uint_eq(b.reply, 16384);
    client_buffers_look(&b, &rules, 7000, 0);
    ck_assert_uint_eq(b.reply, 1024);
    client_buffers_wrote(&b, &rules, 7000, 20000);
    client_buffers_look(&b, &rules, 7100, 0);
    client_buffers_wrote(&b, &rules, 7110, 1500);
    ck_assert_uint_eq(b.reply, 2048);
    ck_assert_uint_eq(b.reply_peak, 1500);
}
END_TEST

/* DEBUG REPLYBUFFER: the peak stays, or goes sooner; nothing changes. */
START_TEST(test_rules)
{
    ck_assert(client_buffers_rule(&rules, "Peak-Reset-Time", "never"));
    client_buffers_wrote(&b, &rules, 1000, 5);
    client_buffers_look(&b, &rules, 900000, 0);
    ck_assert_uint_eq(b.reply, 16384);
    ck_assert(client_buffers_rule(&rules, "peak-reset-time", "100"));
    client_buffers_look(&b, &rules, 900300, 0);
    ck_assert_uint_eq(b.reply, 1024);
    ck_assert(client_buffers_rule(&rules, "resizing", "0"));
    client_buffers_wrote(&b, &rules, 900400, 40000);
    client_buffers_look(&b, &rules, 900600, 0);
    ck_assert_uint_eq(b.reply, 1024);
    ck_assert_uint_eq(b.reply_peak, 1024);
    ck_assert(client_buffers_rule(&rules, "resizing", "1"));
    ck_assert(client_buffers_rule(&rules, "peak-reset-time", "reset"));
    client_buffers_look(&b, &rules, 900700, 0);
    ck_assert_uint_eq(b.reply, 2048);
    ck_assert(!client_buffers_rule(&rules, "other", "1"));
}
END_TEST

int main(void)
{
    return UNIT_RUN("client_buffers", setup, NULL, test_query, test_query_large, test_reply,
                    test_rules);
}
