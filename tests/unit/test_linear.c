/* The checker of client histories: known good and bad ones, and small random ones against an
 * exhaustive search. */
#include "tests/sim/linear.h"

#include "common/random.h"
#include "tests/lib/unit.h"

#include <string.h>

enum { STEPS = 100000 };

static struct linear_history history;

static void setup(void)
{
    history = (struct linear_history){0};
}

static void teardown(void)
{
    linear_fini(&history);
}

static void add(uint64_t call, uint64_t ret, enum kv_command command, uint64_t token,
                uint64_t answer)
{
    linear_add(&history,
               &(struct linear_op){
                   .call = call, .ret = ret, .command = command, .token = token, .answer = answer});
}

static void add_counter(uint64_t call, uint64_t ret, enum kv_command command, uint64_t answer)
{
    linear_add(
        &history,
        &(struct linear_op){
            .call = call, .ret = ret, .command = command, .counter = true, .answer = answer});
}

/* What a GET answers behind a SET of that token. */
static uint64_t value(uint64_t token)
{
    uint64_t next;

    (void)kv_step(KV_SET, false, token, 0, &next);
    return next;
}

static enum linear_verdict check(void)
{
    return linear_check(&history, STEPS);
}

/* One after the other, as a Redis would have answered. */
START_TEST(sequential)
{
    add(1, 2, KV_GET, 0, 0);
    add(3, 4, KV_SET, 7, 0);
    add(5, 6, KV_GET, 0, value(7));
    add(7, 8, KV_SETNX, 8, 0);
    add(9, 10, KV_DEL, 0, 1);
    add(11, 12, KV_SETNX, 9, 1);
    add(13, 14, KV_GET, 0, value(9));
    add(15, 16, KV_APPEND, 3, 16);
    ck_assert_int_eq(check(), LINEAR_OK);
}
END_TEST

/* A read that began after a write had been answered must show it. */
START_TEST(stale_read)
{
    add(1, 2, KV_SET, 1, 0);
    add(3, 4, KV_SET, 2, 0);
    add(5, 6, KV_GET, 0, value(1));
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* What was shown once does not vanish, though nobody knows whether its write succeeded. */
START_TEST(vanished)
{
    add(1, LINEAR_UNKNOWN, KV_SET, 1, 0);
    add(2, 3, KV_GET, 0, value(1));
    ck_assert_int_eq(check(), LINEAR_OK);
    add(4, 5, KV_GET, 0, 0);
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* An acknowledged write that was lost. */
START_TEST(lost_write)
{
    add(1, 2, KV_SET, 1, 0);
    add(3, 4, KV_GET, 0, 0);
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* An unknown write may take effect at any later time, or never, but not before it was asked. */
START_TEST(unknown)
{
    add(1, 2, KV_SET, 1, 0);
    add(3, LINEAR_UNKNOWN, KV_SET, 2, 0);
    add(10, 11, KV_GET, 0, value(1));
    add(20, 21, KV_GET, 0, value(2));
    ck_assert_int_eq(check(), LINEAR_OK);
    add(0, 1, KV_GET, 0, value(2));
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* Of two at the same time each may be first, but for all the same one. */
START_TEST(concurrent)
{
    add(1, 10, KV_SET, 1, 0);
    add(1, 10, KV_SET, 2, 0);
    add(11, 12, KV_GET, 0, value(1));
    ck_assert_int_eq(check(), LINEAR_OK);
    add(13, 14, KV_GET, 0, value(2));
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* A counter's answers tell the order; a doubled increment shows. */
START_TEST(counters)
{
    add_counter(1, 5, KV_INCR, 2);
    add_counter(1, 5, KV_INCR, 1);
    add_counter(6, LINEAR_UNKNOWN, KV_INCR, 0);
    add_counter(8, 9, KV_GET, 3);
    add_counter(10, 11, KV_INCR, 4);
    ck_assert_int_eq(check(), LINEAR_OK);
    add_counter(12, 13, KV_GET, 5);
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

/* A search that is cut short claims nothing. */
START_TEST(undecided)
{
    for (uint64_t i = 0; i < 30; i++) {
        add(1, LINEAR_UNKNOWN, KV_APPEND, i, 0);
    }
    add(2, 3, KV_GET, 0, 12345);
    ck_assert_int_eq(linear_check(&history, 1000), LINEAR_UNDECIDED);
}
END_TEST

/* All orders of at most six operations, without any cleverness. */
static bool brute(const struct linear_history *h, unsigned done, uint64_t state)
{
    bool all = true;

    for (size_t i = 0; i < h->count; i++) {
        all = all && ((done & 1u << i) != 0 || h->ops[i].ret == LINEAR_UNKNOWN);
    }
    if (all) {
        return true;
    }
    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        bool first = (done & 1u << i) == 0;
        for (size_t k = 0; first && k < h->count; k++) {
            first = (done & 1u << k) != 0 || k == i || h->ops[k].ret >= op->call;
        }
        uint64_t next, answer = kv_step(op->command, op->counter, op->token, state, &next);
        if (first && (op->ret == LINEAR_UNKNOWN || answer == op->answer) &&
            brute(h, done | 1u << i, next)) {
            return true;
        }
    }
    return false;
}

START_TEST(against_all_orders)
{
    static const enum kv_command commands[] = {KV_GET, KV_SET, KV_SETNX, KV_APPEND, KV_DEL};
    struct random r;
    unsigned good = 0, bad = 0;

    random_init(&r, 1);
    for (int round = 0; round < 20000; round++) {
        linear_fini(&history);
        size_t count = 2 + (size_t)random_below(&r, 5);
        for (size_t i = 0; i < count; i++) {
            uint64_t call = random_below(&r, 12), token = 1 + random_below(&r, 2);
            enum kv_command command = commands[random_below(&r, 5)];
            bool lost = command != KV_GET && random_below(&r, 4) == 0;
            uint64_t answer = command == KV_GET      ? random_below(&r, 2) * value(token)
                              : command == KV_SET    ? 0
                              : command == KV_APPEND ? 8 * (1 + random_below(&r, 2))
                                                     : random_below(&r, 2);
            add(call, lost ? LINEAR_UNKNOWN : call + 1 + random_below(&r, 8), command, token,
                answer);
        }
        bool ok = brute(&history, 0, 0);
        ck_assert_int_eq(check(), ok ? LINEAR_OK : LINEAR_VIOLATED);
        good += ok;
        bad += !ok;
    }
    ck_assert_uint_gt(good, 1000);
    ck_assert_uint_gt(bad, 1000);
}
END_TEST

/* The same for registers and counters, of which the checker knows more. */
START_TEST(registers_and_counters_against_all_orders)
{
    struct random r;
    unsigned good = 0, bad = 0;

    random_init(&r, 2);
    for (int round = 0; round < 40000; round++) {
        linear_fini(&history);
        bool counter = round % 2 == 1;
        size_t count = 2 + (size_t)random_below(&r, 5);
        uint64_t token = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t call = random_below(&r, 12), ret = call + 1 + random_below(&r, 8);
            if (random_below(&r, 2) == 0) {
                ret = random_below(&r, 2) == 0 ? LINEAR_UNKNOWN : ret;
                if (counter) {
                    add_counter(call, ret, KV_INCR, 1 + random_below(&r, 4));
                } else {
                    add(call, ret, KV_SET, ++token, 0);
                }
            } else if (counter) {
                add_counter(call, ret, KV_GET, random_below(&r, 4));
            } else {
                uint64_t seen = random_below(&r, 4);
                add(call, ret, KV_GET, 0, seen > 0 ? value(seen) : 0);
            }
        }
        bool ok = brute(&history, 0, 0);
        ck_assert_int_eq(check(), ok ? LINEAR_OK : LINEAR_VIOLATED);
        good += ok;
        bad += !ok;
    }
    ck_assert_uint_gt(good, 1000);
    ck_assert_uint_gt(bad, 1000);
}
END_TEST

/* Many writes of unknown outcome to a register or a counter do not end the search. */
START_TEST(many_unknown)
{
    for (uint64_t i = 0; i < 200; i++) {
        add(1 + i, LINEAR_UNKNOWN, KV_SET, 1 + i, 0);
        add(300 + 2 * i, 301 + 2 * i, KV_GET, 0, value(1 + i / 4));
    }
    ck_assert_int_eq(check(), LINEAR_OK);
    add(2000, 2001, KV_GET, 0, value(7));
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
    linear_fini(&history);
    for (uint64_t i = 0; i < 100; i++) {
        add_counter(1 + i, LINEAR_UNKNOWN, KV_INCR, 0);
        add_counter(300 + 2 * i, 301 + 2 * i, KV_GET, i / 2);
    }
    ck_assert_int_eq(check(), LINEAR_OK);
    add_counter(2000, 2001, KV_GET, 101);
    ck_assert_int_eq(check(), LINEAR_VIOLATED);
}
END_TEST

int main(void)
{
    return UNIT_RUN("linear", setup, teardown, sequential, stale_read, vanished, lost_write,
                    unknown, concurrent, counters, undecided, against_all_orders,
                    registers_and_counters_against_all_orders, many_unknown);
}
