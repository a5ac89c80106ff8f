/* What the proxy answers itself, in Redis' counts of commands. */
#include "proxy/clients/tally.h"

#include "tests/lib/unit.h"

#include <string.h>

#define SET2 "$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*2\r\n:1\r\n:2\r\n"
#define CLIENT_LIST(n)                                                                             \
    "$11\r\nclient|list\r\n*4\r\n$5\r\ncalls\r\n:" n "\r\n$14\r\nhistogram_usec\r\n"
#define ID3 "$9\r\nclient|id\r\n%2\r\n$5\r\ncalls\r\n:3\r\n$14\r\nhistogram_usec\r\n%2\r\n"

static struct tally tally;

static void setup(void)
{
    tally_add(&tally, "client|id", 400, false);
    tally_add(&tally, "client|list", 3000, true);
    tally_add(&tally, "client|id", 1000, false);
    tally_add(&tally, "reset", 2048, false);
    tally_add(&tally, "client|id", 1024, false);
}

static void teardown(void)
{
    tally_reset(&tally);
}

static void expect(const char *reply, const char *const *names, size_t count, const char *corrected)
{
    struct resp_arg words[4];
    struct buf b = BUF_INIT;

    for (size_t i = 0; i < count; i++) {
        words[i] = (struct resp_arg){(const uint8_t *)names[i], strlen(names[i])};
    }
    buf_append_str(&b, reply);
    tally_correct_histogram(&tally, words, count, &b);
    UNIT_TEXT_IS(&b, corrected);
}

/* Ours come behind Redis', or in their place; which ones are asked for is as Redis has it. */
START_TEST(test_histogram)
{
    expect("*2\r\n" SET2, (const char *const[]){"set", "CLIENT|LIST"}, 2,
           "*4\r\n" SET2 CLIENT_LIST("1") "*2\r\n:4\r\n:1\r\n");
    expect("*4\r\n" CLIENT_LIST("9") "*0\r\n" SET2, (const char *const[]){"client|list", "set"}, 2,
           "*4\r\n" SET2 CLIENT_LIST("1") "*2\r\n:4\r\n:1\r\n");
    expect("%0\r\n", (const char *const[]){"client|id"}, 1,
           "%1\r\n" ID3 ":1\r\n:2\r\n:2\r\n:3\r\n");
    expect("*2\r\n" SET2, (const char *const[]){"set", "clien", "client|"}, 3, "*2\r\n" SET2);
    expect("*0\r\n", (const char *const[]){"reset", "reset"}, 2,
           "*2\r\n$5\r\nreset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:4\r\n:1"
           "\r\n");
}
END_TEST

/* A container stands for its subcommands, and no name for all that there are. */
START_TEST(test_containers)
{
    struct buf b = BUF_INIT;
    struct resp_arg word = {(const uint8_t *)"Client", 6};

    buf_append_str(&b, "*0\r\n");
    tally_correct_histogram(&tally, &word, 1, &b);
    ck_assert_int_eq(memcmp(buf_head(&b), "*4\r\n$9\r\nclient|id", 17), 0);
    buf_clear(&b);
    buf_append_str(&b, "*2\r\n" SET2);
    tally_correct_histogram(&tally, NULL, 0, &b);
    ck_assert_int_eq(memcmp(buf_head(&b), "*8\r\n", 4), 0);
    buf_release(&b);
}
END_TEST

/* What is no such reply stays as it is, and so does all of it when nothing was counted. */
START_TEST(test_others)
{
    static const char *const replies[] = {"-ERR x\r\n", "*2\r\n$3\r\nset\r\n", "",
                                          "*2\r\n$3\r\nse"};

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        expect(replies[i], NULL, 0, replies[i]);
    }
    tally_reset(&tally);
    expect("*2\r\n" SET2, NULL, 0, "*2\r\n" SET2);
    setup();
}
END_TEST

static void expect_info(const char *before, const char *after)
{
    struct buf b = BUF_INIT;

    buf_append_str(&b, before);
    tally_correct_info(&tally, &b);
    UNIT_TEXT_IS(&b, after);
}

/* INFO: in its section only, where a line of the same name gives way. */
START_TEST(test_info)
{
    expect_info(
        "# Commandstats\r\ncmdstat_get:calls=1,usec=2\r\ncmdstat_client|id:calls=7\r\n\r\n"
        "# Keyspace\r\n",
        "# Commandstats\r\n"
        "cmdstat_client|id:calls=3,usec=2,usec_per_call=0.81,rejected_calls=0,failed_calls=0"
        "\r\n"
        "cmdstat_client|list:calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,"
        "failed_calls=1\r\n"
        "cmdstat_reset:calls=1,usec=2,usec_per_call=2.05,rejected_calls=0,failed_calls=0\r\n"
        "cmdstat_get:calls=1,usec=2\r\n\r\n# Keyspace\r\n");
    expect_info("# Clients\r\ncmdstat_reset:1\r\n", "# Clients\r\ncmdstat_reset:1\r\n");
    expect_info("", ""); /* of sections that there are not */
}
END_TEST

int main(void)
{
    return UNIT_RUN("tally", setup, teardown, test_histogram, test_containers, test_others,
                    test_info);
}
