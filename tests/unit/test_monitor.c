/* MONITOR: who is told of what, in Redis' words. */
#include "proxy/clients/monitor.h"

#include "proxy/clients/session.h"
#include "tests/lib/router_world.h"
#include "tests/lib/unit.h"

#include <string.h>

/* Quoting as sdscatrepr does it, and what is hidden. */
START_TEST(test_line)
{
    const struct resp_arg argv[] = {{(const uint8_t *)"SET", 3},
                                    {(const uint8_t *)"a\\\"\n\r\t\a\b", 8},
                                    {(const uint8_t *)"\0\x1f ~\x7f", 5}};
    struct buf line = BUF_INIT;

    monitor_line(&line, 1700000000000042, 3, "1.2.3.4:5", argv, 3, 0);
    buf_append_str(&line, "|");
    monitor_line(&line, 42, 0, "a", argv, 3, 1);
    UNIT_TEXT_IS(&line,
                 "1700000000.000042 [3 1.2.3.4:5] \"SET\" \"a\\\\\\\"\\n\\r\\t\\a\\b\" "
                 "\"\\x00\\x1f ~\\x7f\"|0.000042 [0 a] \"SET\" \"(redacted)\" \"(redacted)\"");
}
END_TEST

/* Those who monitor see everybody's requests until they leave or RESET; nothing of it goes to
 * Redis.
 */
START_TEST(test_feed)
{
    world_join(1);
    world_say(1, "MONITOR");
    world_expect(1, "+OK\r\n");
    world_say(1, "MONITOR");
    world_expect(1, "");
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    const char *line = world_hear(1);
    ck_assert_msg(line[0] == '+' && strstr(line, "] \"CLIENT\" \"ID\"\r\n") != NULL, "%s", line);
    world_say(0, "CLIENT LIST");
    (void)world_hear(0);
    world_expect(1, ""); /* administration is hidden */
    world_say(0, "AUTH x");
    (void)world_hear(0);
    ck_assert_ptr_nonnull(strstr(world_hear(1), "] \"AUTH\" \"(redacted)\"\r\n"));
    world_say(1, "RESET");
    ck_assert_ptr_nonnull(strstr(world_hear(1), "+RESET\r\n"));
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    world_expect(1, "");
    world_say(1, "MONITOR");
    world_expect(1, "+OK\r\n");
    world_join(1);
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    ck_assert_ptr_null(world.all.monitors);
    world_expect_nothing_sent();
}
END_TEST

/* While MONITOR waits for what tells of scripts, nothing that others ask is lost; it comes behind
 * the answer. */
START_TEST(test_early)
{
    world.router.scripts_can_be_monitored = true;
    world_join(1);
    world_say(1, "MONITOR");
    world_expect(1, "");
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    world_say(0, "AUTH x");
    (void)world_hear(0);
    world_expect(1, "");
    world.router.monitors_scripts = true;
    session_link_settled(&world.all);
    const char *lines = world_hear(1), *id = strstr(lines, "] \"CLIENT\" \"ID\"\r\n+");
    ck_assert_msg(strncmp(lines, "+OK\r\n+", 6) == 0 && id != NULL, "%s", lines);
    ck_assert_ptr_nonnull(strstr(id, "] \"AUTH\" \"(redacted)\"\r\n"));
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    ck_assert_ptr_nonnull(strstr(world_hear(1), "] \"CLIENT\" \"ID\"\r\n"));
}
END_TEST

/* What was asked before it, and is answered, does not answer it. */
START_TEST(test_early_behind_others)
{
    world.router.scripts_can_be_monitored = true;
    world_join(1);
    world_say_raw(1, "GET a\r\nMONITOR\r\n");
    world_expect_sent("GET a");
    world_redis("$-1\r\n");
    world_expect(1, "$-1\r\n");
    world_expect(1, "");
    ck_assert(world.all.monitor_wanted);
    world.router.monitors_scripts = true;
    world.all.monitor_wanted = false;
    session_link_settled(&world.all);
    world_expect(1, "+OK\r\n");
}
END_TEST

/* A script that comes behind MONITOR runs when what it does can be shown; everything else at once.
 */
START_TEST(test_scripts_wait)
{
    world.router.scripts_can_be_monitored = true;
    world_join(1);
    world_say(1, "MONITOR");
    world_asks(0, "GET a", "$-1\r\n");
    world_say(0, "EVAL x 0");
    world_expect_nothing_sent();
    world_expect(1, "");
    world.router.monitors_scripts = true;
    world.all.monitor_wanted = false;
    session_link_settled(&world.all);
    world_expect_sent("EVAL x 0");
    world_redis("$-1\r\n");
    world_expect(0, "$-1\r\n");
    ck_assert(!world.clients[0]->waits_for_link);
    const char *get = strstr(world_hear(1), "] \"GET\" \"a\"\r\n+");
    ck_assert_ptr_nonnull(get);
    ck_assert_ptr_nonnull(strstr(get, "] \"EVAL\" \"x\" \"0\"\r\n"));
}
END_TEST

/* Nor for ever: when there is no link, or no room. */
START_TEST(test_early_in_vain)
{
    world.router.scripts_can_be_monitored = true;
    for (int full = 0; full < 2; full++) {
        world_join(1);
        world_say(1, "MONITOR");
        world_expect(1, "");
        if (full) {
            memset(buf_reserve(world.clients[1]->early, 2 << 20), 'x', 2 << 20);
            buf_commit(world.clients[1]->early, 2 << 20);
        } else {
            world.all.monitor_wanted = false;
        }
        session_link_settled(&world.all);
        ck_assert_int_eq(strncmp(world_hear(1), "+OK\r\n", 5), 0);
    }
}
END_TEST

/* It is killed instead. (Who only closes his half of the connection gets his answer first.) */
START_TEST(test_early_leaves)
{
    world.router.scripts_can_be_monitored = true;
    world_join(1);
    world_say(1, "MONITOR");
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    client_close(world.clients[1], "killed");
    world_join(1);
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    ck_assert_ptr_null(world.all.monitors);
}
END_TEST

/* It is refused when it comes again: nothing is gathered any more, and it may read again. */
START_TEST(test_early_refused)
{
    world.router.scripts_can_be_monitored = true;
    world_join(1);
    world_say(1, "MONITOR");
    world_expect(1, "");
    strcpy(world.router.busy, "BUSY a script runs");
    session_link_settled(&world.all);
    world_expect(1, "-BUSY a script runs\r\n");
    ck_assert_ptr_null(world.all.monitors);
    ck_assert_ptr_null(world.clients[1]->early);
    world.router.busy[0] = '\0';
    world_say(0, "CLIENT ID");
    world_expect(0, ":1\r\n");
    world_asks(1, "GET a", "$-1\r\n");
    world_say(1, "MONITOR"); /* waits, as the first time */
    world_expect(1, "");
    world.router.monitors_scripts = true;
    session_link_settled(&world.all);
    ck_assert_int_eq(strncmp(world_hear(1), "+OK\r\n", 5), 0);
}
END_TEST

static void redis_tells(const char *who_and_what)
{
    struct buf line = BUF_INIT;

    buf_printf(&line, "+1.000002 [0 %s\r\n", who_and_what);
    monitor_told(&world.all, buf_head(&line), line.len);
    buf_release(&line);
}

/* Client 1 was shown these, each the end of a line, and nothing else. */
static void expect_shown(const char *const *ends, size_t count)
{
    const char *text = world_hear(1);

    for (size_t i = 0; i < count; i++) {
        const char *end = strstr(text, "\r\n");
        ck_assert_msg(end != NULL && text[0] == '+', "%s is not shown", ends[i]);
        size_t len = strlen(ends[i]), have = (size_t)(end - text);
        ck_assert_msg(have > len && memcmp(end - len, ends[i], len) == 0, "%s, not %s", text,
                      ends[i]);
        text = end + 2;
    }
    ck_assert_str_eq(text, "");
}
#define SHOWN(...)                                                                                 \
    expect_shown((const char *const[]){__VA_ARGS__},                                               \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void monitor_scripts(void)
{
    world.router.monitors_scripts = true;
    world_join(1);
    world_join(2);
    world_say(1, "MONITOR");
    world_expect(1, "+OK\r\n");
}

/* What scripts do is shown behind each script and before what was asked after it, though Redis
 * tells of it later; of several scripts each has its own. */
START_TEST(test_scripts_in_order)
{
    monitor_scripts();
    redis_tells("lua] \"set\" \"of\" \"nobody\"");
    SHOWN("lua] \"set\" \"of\" \"nobody\"");
    world_say(0, "EVAL one 0");
    SHOWN("\"EVAL\" \"one\" \"0\"");
    world_say(2, "CLIENT ID");
    world_say(0, "EVAL two 0");
    world_say(2, "AUTH x");
    SHOWN();
    redis_tells("1.2.3.4:5] \"EVAL\" \"one\" \"0\"");
    redis_tells("lua] \"get\" \"1\"");
    redis_tells("lua] \"get\" \"2\"");
    SHOWN("\"get\" \"1\"", "\"get\" \"2\"");
    redis_tells("1.2.3.4:5] \"EVAL\" \"two\" \"0\"");
    SHOWN("\"CLIENT\" \"ID\"", "\"EVAL\" \"two\" \"0\"");
    redis_tells("lua] \"get\" \"3\"");
    redis_tells("1.2.3.4:5] \"ROLE\"");
    SHOWN("\"get\" \"3\"", "\"AUTH\" \"(redacted)\"");
    ck_assert_ptr_null(world.all.held_first);
    ck_assert_uint_eq(world.all.held_bytes, 0);
}
END_TEST

/* Scripts that run in another order, as those on links of their own may, lose nothing. */
START_TEST(test_scripts_in_another_order)
{
    monitor_scripts();
    world_say(0, "EVAL one 0");
    world_say(0, "EVAL two 0");
    world_say(2, "CLIENT ID");
    SHOWN("\"EVAL\" \"one\" \"0\"");
    redis_tells("1.2.3.4:5] \"EVAL\" \"two\" \"0\"");
    redis_tells("lua] \"get\" \"2\"");
    redis_tells("1.2.3.4:5] \"EVAL\" \"one\" \"0\"");
    redis_tells("lua] \"get\" \"1\"");
    SHOWN("\"get\" \"1\"");
    redis_tells("1.2.3.4:5] \"ROLE\"");
    SHOWN("\"EVAL\" \"two\" \"0\"", "\"get\" \"2\"", "\"CLIENT\" \"ID\"");
}
END_TEST

/* A script that Redis never tells of holds nothing up for long; nor does one when nothing more is
 * told, or nobody listens any more. */
START_TEST(test_scripts_not_told)
{
    monitor_scripts();
    world_say(0, "EVAL one 0");
    world_say(2, "CLIENT ID");
    SHOWN("\"EVAL\" \"one\" \"0\"");
    monitor_turn(&world.all, world.all.now_ns + 100 * 1000 * 1000);
    SHOWN();
    monitor_turn(&world.all, world.all.now_ns + 300 * 1000 * 1000);
    SHOWN("\"CLIENT\" \"ID\"");
    world_say(0, "EVAL one 0");
    world_say(2, "CLIENT ID");
    SHOWN("\"EVAL\" \"one\" \"0\"");
    monitor_give_up(&world.all);
    SHOWN("\"CLIENT\" \"ID\"");
    world_say(0, "EVAL one 0");
    world_say(2, "CLIENT ID");
    world_join(1);
    world_say(2, "CLIENT ID");
    ck_assert_ptr_null(world.all.held_first);
}
END_TEST

int main(void)
{
    return UNIT_RUN("monitor", world_setup, world_teardown, test_line, test_feed, test_early,
                    test_early_behind_others, test_early_in_vain, test_scripts_wait,
                    test_early_leaves, test_early_refused, test_scripts_in_order,
                    test_scripts_in_another_order, test_scripts_not_told);
}
