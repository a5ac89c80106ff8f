/* A range of bytes from several nodes: who is asked for what, that pieces come out in order, and
 * that another node is asked where one is of no use. */
#include "logsvc/client/fetch.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { NODES = 3, PIECE = 100, TIMEOUT = 1000, ASKS_MAX = 64 };

static struct fetch f;
static uint64_t now;

/* What was asked, oldest first. */
static struct ask {
    unsigned node;
    uint64_t seq, from, end;
} asks[ASKS_MAX];
static unsigned ask_count;
static bool busy[NODES];

static bool on_ask(void *ctx, unsigned node, const struct fetch_slot *slot)
{
    ck_assert_ptr_eq(ctx, &f);
    if (busy[node]) {
        return false;
    }
    ck_assert_uint_lt(ask_count, ASKS_MAX);
    asks[ask_count++] = (struct ask){node, slot->seq, slot->from, slot->end};
    return true;
}

static void setup(void)
{
    struct fetch_config config = {.node_count = NODES,
                                  .inflight_max = 2,
                                  .ahead_max = 4,
                                  .timeout_ns = TIMEOUT,
                                  .ask = on_ask,
                                  .ctx = &f};

    now = 5000;
    ask_count = 0;
    memset(busy, 0, sizeof busy);
    fetch_init(&f, &config);
    for (unsigned i = 0; i < NODES; i++) {
        fetch_link(&f, i, true);
    }
}

static void teardown(void)
{
    fetch_fini(&f);
}

static void pump(void)
{
    fetch_pump(&f, now, PIECE);
}

/* The last question but `back` was this one. */
static void expect_asked(unsigned back, unsigned node, uint64_t from, uint64_t end)
{
    ck_assert_uint_gt(ask_count, back);
    const struct ask *a = &asks[ask_count - 1 - back];
    ck_assert_uint_eq(a->node, node);
    ck_assert_uint_eq(a->from, from);
    ck_assert_uint_eq(a->end, end);
}

/* That question is answered with as many bytes as were wanted. */
static void answer(unsigned ask)
{
    static const uint8_t bytes[PIECE];
    const struct ask *a = &asks[ask];
    struct fetch_slot *slot = fetch_find(&f, now, a->node, a->seq);

    ck_assert_ptr_nonnull(slot);
    fetch_put(&f, slot, bytes, (size_t)(a->end - a->from));
}

/* The head is here, begins there, and is done with. */
static void expect_head(uint64_t from, size_t size)
{
    struct fetch_slot *head = fetch_head(&f);

    ck_assert_ptr_nonnull(head);
    ck_assert_int_eq(head->state, FETCH_HERE);
    ck_assert_uint_eq(head->from, from);
    ck_assert_uint_eq(head->data.len, size);
    fetch_pop(&f);
}

/* As many questions as are allowed, of one node; the next when one was answered, also while the
 * answers wait for the owner, as long as there is room. Out of order in, in order out. */
START_TEST(in_order)
{
    fetch_start(&f, 1000, 1450, 1);
    pump();
    ck_assert_uint_eq(ask_count, 2);
    expect_asked(1, 1, 1000, 1100);
    expect_asked(0, 1, 1100, 1200);
    pump();
    ck_assert_uint_eq(ask_count, 2);
    answer(1);
    ck_assert_int_eq(fetch_head(&f)->state, FETCH_ASKED);
    pump();
    expect_asked(0, 1, 1200, 1300);
    answer(2);
    pump();
    expect_asked(0, 1, 1300, 1400);
    answer(3);
    pump();
    ck_assert_uint_eq(ask_count, 4); /* four pieces are here or asked for: no room */
    answer(0);
    expect_head(1000, 100);
    expect_head(1100, 100);
    expect_head(1200, 100);
    pump();
    expect_asked(0, 1, 1400, 1450);
    expect_head(1300, 100);
    answer(4);
    expect_head(1400, 50);
    ck_assert_ptr_null(fetch_head(&f));
    ck_assert_uint_eq(fetch_next_tick_ns(&f), UINT64_MAX);
}
END_TEST

/* More is wanted of what grows: far ahead only in whole pieces. */
START_TEST(extended)
{
    fetch_start(&f, 0, 250, 0);
    pump();
    answer(0);
    answer(1);
    pump();
    ck_assert_uint_eq(ask_count, 2); /* 50 bytes can wait */
    fetch_extend(&f, 320);
    pump();
    expect_asked(0, 0, 200, 300);
    expect_head(0, 100);
    expect_head(100, 100);
    pump();
    expect_asked(0, 0, 300, 320); /* there is little else to do */
}
END_TEST

/* A node whose link is busy is asked when it isn't: others are not asked in its place. */
START_TEST(busy_link)
{
    busy[2] = true;
    fetch_start(&f, 0, 100, 2);
    pump();
    ck_assert_uint_eq(ask_count, 0);
    ck_assert_uint_eq(fetch_next_tick_ns(&f), UINT64_MAX); /* its link says when */
    busy[2] = false;
    pump();
    expect_asked(0, 2, 0, 100);
}
END_TEST

/* Who does not answer in time is not asked for a while; the others are, for all that it had. Its
 * late answer is nobody's. An answer in time says that the rest will come, too. */
START_TEST(silence)
{
    fetch_start(&f, 0, 200, 0);
    pump();
    ck_assert_uint_eq(fetch_next_tick_ns(&f), now + TIMEOUT);
    now += TIMEOUT - 1;
    answer(0);
    now += TIMEOUT - 1;
    ck_assert_uint_eq(fetch_tick(&f, now), 0);
    now++;
    ck_assert_uint_eq(fetch_next_tick_ns(&f), now);
    ck_assert_uint_eq(fetch_tick(&f, now), 1);
    pump();
    ck_assert_uint_eq(ask_count, 3);
    expect_asked(0, 1, 100, 200);
    ck_assert_ptr_null(fetch_find(&f, now, 0, asks[1].seq));
    ck_assert_ptr_null(fetch_find(&f, now, 0, asks[2].seq)); /* nor is what another was asked */
    answer(2);
}
END_TEST

/* If nobody can be asked it waits for the first who may be again. */
START_TEST(nobody)
{
    fetch_start(&f, 0, 200, 0);
    fetch_link(&f, 1, false);
    pump();
    fetch_avoid(&f, 0, now, 300);
    fetch_avoid(&f, 2, now, 200);
    pump();
    ck_assert_uint_eq(ask_count, 2);
    ck_assert_uint_eq(fetch_next_tick_ns(&f), now + 200);
    now += 199;
    pump();
    ck_assert_uint_eq(ask_count, 2);
    now++;
    pump();
    ck_assert_uint_eq(ask_count, 4);
    expect_asked(1, 2, 0, 100);
    expect_asked(0, 2, 100, 200);
}
END_TEST

/* What was asked over a link that has ended is asked of others; a new link is a new chance. */
START_TEST(links)
{
    fetch_start(&f, 0, 200, 0);
    pump();
    fetch_avoid(&f, 1, now, 10 * TIMEOUT);
    fetch_link(&f, 0, false);
    pump();
    expect_asked(1, 2, 0, 100);
    fetch_link(&f, 1, false);
    fetch_link(&f, 1, true);
    fetch_link(&f, 2, false);
    pump();
    expect_asked(0, 1, 100, 200);
    fetch_link(&f, 1, false);
    pump();
    ck_assert_uint_eq(ask_count, 6);
    ck_assert_uint_eq(fetch_next_tick_ns(&f), UINT64_MAX);
}
END_TEST

/* An answer may hold less than was wanted: the rest of the piece is asked for before others. */
START_TEST(part_of_a_piece)
{
    fetch_start(&f, 0, 400, 0);
    pump();
    struct fetch_slot *slot = fetch_find(&f, now, 0, asks[0].seq);
    fetch_put(&f, slot, "abc", 3);
    fetch_put(&f, slot, "de", 2);
    ck_assert_uint_eq(slot->data.len, 5);
    ck_assert_mem_eq(buf_head(&slot->data), "abcde", 5);
    fetch_again(slot, 5);
    ck_assert_uint_eq(slot->data.len, 0);
    pump();
    ck_assert_uint_eq(ask_count, 3);
    expect_asked(0, 0, 5, 100);
    ck_assert_ptr_null(fetch_find(&f, now, 0, asks[0].seq)); /* it was another question */
}
END_TEST

/* What was wanted before is nobody's any more, and no question looks like one of then. */
START_TEST(begun_anew)
{
    fetch_start(&f, 0, 400, 0);
    pump();
    answer(0);
    fetch_avoid(&f, 0, now, TIMEOUT);
    fetch_start(&f, 0, 100, NODES + 4); /* no such node: any */
    ck_assert_ptr_null(fetch_head(&f));
    pump();
    ck_assert_uint_eq(ask_count, 3);
    expect_asked(0, 0, 0, 100);
    ck_assert_uint_gt(asks[2].seq, asks[1].seq);
    ck_assert_ptr_null(fetch_find(&f, now, 0, asks[1].seq));
    fetch_stop(&f);
    pump();
    ck_assert_uint_eq(ask_count, 3);
    ck_assert_ptr_null(fetch_head(&f));
}
END_TEST

int main(void)
{
    return UNIT_RUN("fetch", setup, teardown, in_order, extended, busy_link, silence, nobody, links,
                    part_of_a_piece, begun_anew);
}
