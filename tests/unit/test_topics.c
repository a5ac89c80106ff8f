/* The table of subscriptions: stages, counts, and that nothing is left of who has gone. */
#include "proxy/clients/topics.h"

#include "tests/lib/unit.h"

#include <string.h>

static struct topics *topics;
static int clients[3]; /* stand for clients, which the table only passes on */
static int left_count;

static void setup(void)
{
    topics = topics_create();
    left_count = 0;
}

static void teardown(void)
{
    ck_assert_uint_eq(topics_count(topics), 0);
    topics_destroy(topics);
}

static struct subscriber *join(int i)
{
    return topics_join(topics, (struct client *)(void *)&clients[i]);
}

static void left(void *ctx, const struct topic *topic)
{
    (void)ctx;
    ck_assert_uint_eq(topic->wanted, 0);
    left_count++;
}

static struct subscription *subscribe(struct subscriber *subscriber, enum topic_kind kind,
                                      const char *name)
{
    struct subscription *s =
        topics_subscription(topics, subscriber, kind, name, strlen(name), true);

    topics_set_wanted(s, true);
    topics_set_active(s, true);
    s->live = true;
    return s;
}

static void expect_receivers(enum topic_kind kind, const char *channel, size_t clients_expected,
                             size_t links_expected)
{
    size_t of_clients, of_links;

    topics_receivers(topics, kind, channel, strlen(channel), &of_clients, &of_links);
    ck_assert_uint_eq(of_clients, clients_expected);
    ck_assert_uint_eq(of_links, links_expected);
}

/* Counts of clients and of the one subscription that each topic has at Redis. */
START_TEST(test_receivers)
{
    struct subscriber *a = join(0), *b = join(1);

    subscribe(a, TOPIC_CHANNEL, "x.1");
    subscribe(b, TOPIC_CHANNEL, "x.1");
    subscribe(a, TOPIC_PATTERN, "x.*");
    subscribe(b, TOPIC_PATTERN, "*.1");
    subscribe(b, TOPIC_SHARD, "x.1");
    expect_receivers(TOPIC_CHANNEL, "x.1", 4, 3);
    expect_receivers(TOPIC_CHANNEL, "x.2", 1, 1);
    expect_receivers(TOPIC_CHANNEL, "y.2", 0, 0);
    expect_receivers(TOPIC_SHARD, "x.1", 1, 1);
    expect_receivers(TOPIC_SHARD, "x.2", 0, 0);
    ck_assert_uint_eq(topics_total(a, TOPIC_CHANNEL), 2);
    ck_assert_uint_eq(topics_total(b, TOPIC_PATTERN), 2);
    ck_assert_uint_eq(topics_total(b, TOPIC_SHARD), 1);
    topics_leave(topics, a, left, NULL);
    ck_assert_int_eq(left_count, 1); /* x.* */
    expect_receivers(TOPIC_CHANNEL, "x.1", 2, 2);
    topics_leave(topics, b, left, NULL);
    ck_assert_int_eq(left_count, 4);
}
END_TEST

/* What is asked for and not done yet counts for nobody, and is found again. */
START_TEST(test_stages)
{
    struct subscriber *a = join(0);
    struct subscription *s = topics_subscription(topics, a, TOPIC_CHANNEL, "c", 1, true);

    topics_set_wanted(s, true);
    topics_set_wanted(s, true);
    ck_assert_uint_eq(topics_total(a, TOPIC_CHANNEL), 1);
    expect_receivers(TOPIC_CHANNEL, "c", 0, 0);
    ck_assert_ptr_eq(topics_subscription(topics, a, TOPIC_CHANNEL, "c", 1, false), s);
    ck_assert_ptr_null(topics_subscription(topics, a, TOPIC_PATTERN, "c", 1, false));
    topics_settle(topics, s);
    topics_set_active(s, true);
    topics_set_wanted(s, false);
    topics_settle(topics, s); /* active still */
    ck_assert_uint_eq(topics_count(topics), 1);
    s->under_way = 1;
    topics_set_active(s, false);
    topics_settle(topics, s); /* a request tells of it still */
    ck_assert_uint_eq(topics_count(topics), 1);
    s->under_way = 0;
    topics_settle(topics, s);
    ck_assert_uint_eq(topics_count(topics), 0);
    topics_leave(topics, a, left, NULL);
    ck_assert_int_eq(left_count, 0);
}
END_TEST

/* Who leaves while a request tells of a subscription: it stays until that is through, and the next
 * one who joins, perhaps at the same address, does not get it. */
START_TEST(test_leave_under_way)
{
    struct subscriber *a = join(0);
    struct subscription *s = subscribe(a, TOPIC_CHANNEL, "c");

    s->under_way = 1;
    topics_leave(topics, a, left, NULL);
    ck_assert_int_eq(left_count, 1);
    ck_assert_ptr_null(s->subscriber);
    ck_assert_uint_eq(topics_count(topics), 1);
    for (int i = 0; i < 10; i++) {
        struct subscriber *b = join(1);
        ck_assert_ptr_null(topics_subscription(topics, b, TOPIC_CHANNEL, "c", 1, false));
        topics_leave(topics, b, left, NULL);
    }
    s->under_way = 0;
    topics_settle(topics, s);
}
END_TEST

int main(void)
{
    return UNIT_RUN("topics", setup, teardown, test_receivers, test_stages, test_leave_under_way);
}
