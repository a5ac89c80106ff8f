/* SLOWLOG without what the proxy asks. */
#include "proxy/clients/slowlog.h"

#include "tests/lib/unit.h"

#include <string.h>

#define ENTRY(id, words) "*6\r\n:" id "\r\n:5\r\n:6\r\n" words "$3\r\na:1\r\n$0\r\n\r\n"
#define GET              "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
#define ROLE             "*1\r\n$4\r\nROLE\r\n"
#define SELECT           "*2\r\n$6\r\nselect\r\n$1\r\n3\r\n"
#define PUBLISH(channel) "*3\r\n$8\r\nSPUBLISH\r\n" channel "$1\r\nx\r\n"
#define OURS             PUBLISH("$12\r\n__holdfast__\r\n")
#define OTHERS           PUBLISH("$1\r\nc\r\n")

static void expect(const char *reply, size_t most, bool len_only, const char *corrected)
{
    struct buf b = BUF_INIT;

    buf_append_str(&b, reply);
    slowlog_correct(&b, most, len_only);
    buf_append(&b, "", 1);
    ck_assert_str_eq((const char *)buf_head(&b), corrected);
    buf_release(&b);
}

/* As many as are wanted of those that clients asked for, in Redis' order. */
START_TEST(test_get)
{
    static const char reply[] = "*6\r\n" ENTRY("9", ROLE) ENTRY("8", GET) ENTRY("7", SELECT)
        ENTRY("6", OTHERS) ENTRY("5", OURS) ENTRY("4", GET);

    expect(reply, SIZE_MAX, false, "*3\r\n" ENTRY("8", GET) ENTRY("6", OTHERS) ENTRY("4", GET));
    expect(reply, 1, false, "*1\r\n" ENTRY("8", GET));
    expect(reply, 0, false, "*0\r\n");
    expect(reply, 0, true, ":3\r\n");
    expect("*0\r\n", 10, false, "*0\r\n");
}
END_TEST

/* What is no such reply stays as it is. */
START_TEST(test_others)
{
    static const char *const replies[] = {"-ERR x\r\n", "*1\r\n:1\r\n", "+OK\r\n",
                                          "*2\r\n" ENTRY("1", GET)};

    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        expect(replies[i], 10, false, replies[i]);
        expect(replies[i], 10, true, replies[i]);
    }
}
END_TEST

int main(void)
{
    return UNIT_RUN("slowlog", NULL, NULL, test_get, test_others);
}
