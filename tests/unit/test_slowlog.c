/* SLOWLOG without what the proxy asks, and with the clients whose commands those were. */
#include "proxy/clients/slowlog.h"
#include "proxy/protocol/resp.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

#define ENTRY(id, words) "*6\r\n:" id "\r\n:5\r\n:6\r\n" words "$3\r\na:1\r\n$0\r\n\r\n"
#define GET              "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"
#define ROLE             "*1\r\n$4\r\nROLE\r\n"
#define SELECT           "*2\r\n$6\r\nselect\r\n$1\r\n3\r\n"
#define CLIENT           "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n"
#define PUBLISH(channel) "*3\r\n$8\r\nSPUBLISH\r\n" channel "$1\r\nx\r\n"
#define OURS             PUBLISH("$12\r\n__holdfast__\r\n")
#define OTHERS           PUBLISH("$1\r\nc\r\n")

#define LINK  "127.0.0.1:4000"
#define LINK2 "127.0.0.1:4001"

static struct slowlog log_;
static struct buf reply; /* SLOWLOG GET, as it is composed */
static size_t entries;

static void setup(void)
{
    slowlog_init(&log_);
    slowlog_set_threshold(&log_, 1000, 0);
    entries = 0;
}

static void teardown(void)
{
    slowlog_fini(&log_);
    buf_release(&reply);
}

static void expect(const char *text, size_t most, bool len_only, const char *corrected)
{
    struct buf b = BUF_INIT;

    buf_append_str(&b, text);
    slowlog_correct(&log_, &b, 0, SIZE_MAX, most, len_only);
    buf_append(&b, "", 1);
    ck_assert_str_eq((const char *)buf_head(&b), corrected);
    buf_release(&b);
}

/* As many as are wanted of those that clients asked for, in Redis' order. */
START_TEST(test_get)
{
    static const char all[] = "*7\r\n" ENTRY("9", ROLE) ENTRY("8", GET) ENTRY("7", SELECT)
        ENTRY("6", OTHERS) ENTRY("5", OURS) ENTRY("4", GET) ENTRY("3", CLIENT);

    expect(all, SIZE_MAX, false, "*3\r\n" ENTRY("8", GET) ENTRY("6", OTHERS) ENTRY("4", GET));
    expect(all, 1, false, "*1\r\n" ENTRY("8", GET));
    expect(all, 0, false, "*0\r\n");
    expect(all, 0, true, ":3\r\n");
    expect("*0\r\n", 10, false, "*0\r\n");
}
END_TEST

/* Of a log that is longer in Redis than it was asked to be. */
START_TEST(test_held)
{
    struct buf b = BUF_INIT;

    buf_append_str(&b, "*3\r\n" ENTRY("9", GET) ENTRY("8", ROLE) ENTRY("7", OTHERS));
    slowlog_correct(&log_, &b, 0, 1, SIZE_MAX, false);
    ck_assert_uint_eq(b.len, strlen("*1\r\n" ENTRY("9", GET)));
    buf_clear(&b);
    buf_append_str(&b, "*3\r\n" ENTRY("9", GET) ENTRY("8", ROLE) ENTRY("7", OTHERS));
    slowlog_correct(&log_, &b, 0, 1, SIZE_MAX, true);
    ck_assert_uint_eq(b.len, 4);
    ck_assert_mem_eq(buf_head(&b), ":1\r\n", 4);
    buf_release(&b);
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

/* What comes from a connection of the proxy's own is not shown, whatever it is. */
START_TEST(test_own)
{
    slowlog_add_own(&log_, "a:1");
    expect("*1\r\n" ENTRY("1", GET), 10, false, "*0\r\n");
    for (int i = 0; i < SLOWLOG_OWN_MAX; i++) {
        slowlog_add_own(&log_, "b:1");
    }
    expect("*1\r\n" ENTRY("1", GET), 10, true, ":1\r\n");
}
END_TEST

/* ---- whose they were ---- */

static void put_words(struct buf *b, const char *words)
{
    struct resp_arg argv[64];
    size_t argc = 0;

    while (*words != '\0') {
        size_t len = strcspn(words, " ");
        argv[argc++] = (struct resp_arg){(const uint8_t *)words, len};
        words += len + (words[len] == ' ');
    }
    resp_put_request(b, argv, argc);
}

/* These bytes of that client took so long, until this second. */
static void sent_as(const char *link, const char *name, const struct buf *bytes, bool block,
                    uint64_t ended_s, uint64_t took_us)
{
    struct slowlog_who *who = name != NULL ? slowlog_who_create("1.2.3.4:5", name) : NULL;
    struct slowlog_request r = {.link = link,
                                .bytes = buf_head(bytes),
                                .size = bytes->len,
                                .block = block,
                                .who = who,
                                .began_s = ended_s - took_us / 1000000,
                                .ended_s = ended_s,
                                .took_us = took_us};

    slowlog_note(&log_, &r);
    slowlog_who_release(who);
}

static void sent(const char *link, const char *name, const struct buf *bytes, uint64_t ended_s,
                 uint64_t took_us)
{
    sent_as(link, name, bytes, true, ended_s, took_us);
}

static void asked(const char *link, const char *name, const char *words, uint64_t ended_s,
                  uint64_t took_us)
{
    struct buf b = BUF_INIT;

    put_words(&b, words);
    sent(link, name, &b, ended_s, took_us);
    buf_release(&b);
}

/* Redis' log has this; the newest comes first. */
static void logged(uint64_t id, const char *link, const char *words, uint64_t time_s,
                   uint64_t took_us)
{
    buf_printf(&reply, "*6\r\n:%llu\r\n:%llu\r\n:%llu\r\n", (unsigned long long)id,
               (unsigned long long)time_s, (unsigned long long)took_us);
    put_words(&reply, words);
    resp_put_bulk(&reply, link, strlen(link));
    resp_put_bulk(&reply, "holdfast", 8);
    entries++;
}

/* Looks at it; these are the names then, "holdfast" being the link's. */
static void names(const char *expected)
{
    struct buf all = BUF_INIT, names = BUF_INIT;
    size_t at = 0, count, number;
    struct resp_arg word = {NULL, 0};

    resp_put_array(&all, entries);
    buf_append(&all, buf_head(&reply), reply.len);
    slowlog_correct(&log_, &all, slowlog_mark(&log_), SIZE_MAX, SIZE_MAX, false);
    ck_assert(resp_read_number(buf_head(&all), all.len, &at, '*', &count));
    for (size_t i = 0; i < count; i++) {
        struct resp_arg address = word;
        ck_assert(resp_read_number(buf_head(&all), all.len, &at, '*', &number));
        for (int k = 0; k < 3; k++) {
            ck_assert(resp_read_number(buf_head(&all), all.len, &at, ':', &number));
        }
        ck_assert(resp_read_number(buf_head(&all), all.len, &at, '*', &number));
        for (size_t k = 0; k < number + 2; k++) {
            address = word;
            ck_assert(resp_read_bulk(buf_head(&all), all.len, &at, &word));
        }
        buf_printf(&names, "%s%.*s", i > 0 ? " " : "", (int)word.len, (const char *)word.bytes);
        ck_assert_int_eq(resp_arg_is(&word, "holdfast"), !resp_arg_is(&address, "1.2.3.4:5"));
    }
    buf_append(&names, "", 1);
    ck_assert_str_eq((const char *)buf_head(&names), expected);
    buf_release(&all);
    buf_release(&names);
    buf_clear(&reply);
    entries = 0;
}

/* Each gets the client that asked it; who merely waited as long gets none. */
START_TEST(test_whose)
{
    asked(LINK, "anna", "KEYS *", 100, 50000);
    asked(LINK, "ben", "GET k", 100, 50000);
    asked(LINK, "carl", "GET slow", 101, 20000);
    asked(LINK2, "dora", "GET slow", 101, 20000);
    logged(8, LINK, "GET slow", 101, 19000);
    logged(7, LINK, "KEYS *", 100, 49000);
    names("carl anna");
    logged(8, LINK, "GET slow", 101, 19000); /* it is remembered */
    logged(7, LINK, "KEYS *", 100, 49000);
    names("carl anna");
}
END_TEST

/* A command that is somebody else's, another link's, another time's, or took longer than the
 * client waited, is nobody's. */
START_TEST(test_nobody)
{
    asked(LINK, "anna", "GET k", 100, 50000);
    asked(LINK, NULL, "GET gone", 100, 50000);
    logged(6, LINK, "GET gone", 100, 40000);
    logged(5, LINK, "GET other", 100, 40000);
    logged(4, LINK2, "GET k", 100, 40000);
    logged(3, LINK, "GET k", 103, 40000);
    logged(2, LINK, "GET k", 97, 40000);
    logged(1, LINK, "GET k", 100, 50001);
    names("holdfast holdfast holdfast holdfast holdfast holdfast");
}
END_TEST

/* An address that once was one of our own connections' may be that of a link now. */
START_TEST(test_own_before)
{
    slowlog_add_own(&log_, LINK);
    asked(LINK, "anna", "GET k", 100, 50000);
    logged(8, LINK, "GET k", 100, 40000);
    logged(7, LINK, "INFO memory", 98, 40000);
    names("anna");
}
END_TEST

/* Two asked the same: in order, if both are there; if one is, it might be either's. */
START_TEST(test_same_words)
{
    asked(LINK, "anna", "GET k", 100, 50000);
    asked(LINK, "ben", "GET k", 100, 50000);
    logged(8, LINK, "GET k", 100, 40000);
    logged(7, LINK, "GET k", 100, 40000);
    names("ben anna");
    asked(LINK, "carl", "GET k", 100, 50000);
    asked(LINK, "dora", "GET k", 100, 30000);
    logged(9, LINK, "GET k", 100, 20000);
    logged(8, LINK, "GET k", 100, 40000);
    names("holdfast ben");
}
END_TEST

/* The duration tells them apart; of one client's, either will do. */
START_TEST(test_duration)
{
    asked(LINK, "emil", "GET k", 100, 50000);
    asked(LINK, "emil", "GET k", 100, 50000);
    asked(LINK, "fred", "GET k", 100, 30000);
    logged(10, LINK, "GET k", 100, 40000);
    names("emil");
}
END_TEST

/* What was noted before a look at the log is none of what comes into it later; but for one more
 * look, since a private link's reply may be read a little later than that to the look. */
START_TEST(test_looks)
{
    asked(LINK, "anna", "DEBUG SLEEP", 100, 200000);
    logged(1, LINK, "DEBUG SLEEP", 100, 200000);
    names("anna");
    asked(LINK, "ben", "DEBUG SLEEP", 100, 200000);
    logged(2, LINK, "DEBUG SLEEP", 100, 200000);
    names("ben"); /* anna's is paired */

    asked(LINK, "waits", "GET k", 100, 200000);
    logged(2, LINK, "DEBUG SLEEP", 100, 200000);
    names("ben");
    logged(2, LINK, "DEBUG SLEEP", 100, 200000);
    names("ben");
    asked(LINK, "carl", "GET k", 100, 200000);
    logged(3, LINK, "GET k", 100, 200000);
    names("carl");

    logged(4, LINK2, "BLPOP l 0", 100, 200);
    names("holdfast"); /* its note is late … */
    asked(LINK2, "dora", "BLPOP l 0", 100, 200000);
    logged(4, LINK2, "BLPOP l 0", 100, 200);
    names("dora");
    logged(5, LINK2, "BLPOP l 0", 100, 200);
    names("holdfast");
    logged(5, LINK2, "BLPOP l 0", 100, 200);
    names("holdfast");
    asked(LINK2, "emil", "BLPOP l 0", 100, 200000);
    logged(5, LINK2, "BLPOP l 0", 100, 200);
    names("holdfast"); /* … too late */
}
END_TEST

/* A look that the proxy takes itself serves those of clients. */
START_TEST(test_learn)
{
    struct buf all = BUF_INIT;

    ck_assert(!slowlog_wants_look(&log_));
    asked(LINK, "anna", "GET k", 100, 50000);
    ck_assert(slowlog_wants_look(&log_));
    logged(1, LINK, "GET k", 100, 40000);
    resp_put_array(&all, entries);
    buf_append(&all, buf_head(&reply), reply.len);
    slowlog_learn(&log_, &all, slowlog_mark(&log_));
    ck_assert(!slowlog_wants_look(&log_));
    asked(LINK, "ben", "GET k", 100, 50000);
    names("anna");
    buf_release(&all);
}
END_TEST

/* After RESET, what was asked before is not in the log any more. */
START_TEST(test_reset)
{
    asked(LINK, "anna", "GET k", 100, 50000);
    slowlog_was_reset(&log_, slowlog_mark(&log_));
    asked(LINK, "ben", "GET k", 100, 50000);
    logged(7, LINK, "GET k", 100, 40000);
    names("ben");
    slowlog_forget(&log_); /* another Redis, whose numbers begin anew */
    logged(7, LINK, "GET k", 100, 40000);
    names("holdfast");
    asked(LINK, "carl", "GET k", 101, 50000);
    logged(0, LINK, "GET k", 101, 40000);
    names("carl");
}
END_TEST

/* What may have been logged before it was noted is nobody's: when the threshold turns out to be
 * lower, and when there was no room. But not when it was known before Redis knew. */
START_TEST(test_lacks)
{
    slowlog_set_threshold(&log_, 5000, 100); /* higher */
    slowlog_set_threshold(&log_, 10, 101);
    asked(LINK, "anna", "GET a", 101, 50000);
    asked(LINK, "ben", "GET b", 102, 50000);
    logged(7, LINK, "GET b", 102, 40000);
    logged(6, LINK, "GET a", 101, 40000);
    names("ben holdfast");
    slowlog_maybe_threshold(&log_, 0);
    ck_assert_uint_eq(log_.slower_ns, 0);
    slowlog_maybe_threshold(&log_, 100);
    slowlog_maybe_threshold(&log_, -1);
    ck_assert_uint_eq(log_.slower_ns, 0);
    slowlog_set_threshold(&log_, 0, 103);
    asked(LINK, "carl", "GET a", 103, 50);
    logged(8, LINK, "GET a", 103, 40);
    names("carl");
    slowlog_set_threshold(&log_, -1, 103);
    ck_assert_uint_eq(log_.slower_ns, UINT64_MAX);

    asked(LINK, "dora", "GET d", 104, 50000);
    for (int i = 0; i < SLOWLOG_NOTES_MAX; i++) {
        asked(LINK, "emil", "GET e", 105, 50000);
    }
    logged(11, LINK, "GET e", 105, 40000);
    logged(10, LINK, "GET e", 104, 40000);
    names("emil holdfast");
}
END_TEST

/* A transaction's commands are logged, each for itself, in front of them MULTI. */
START_TEST(test_transaction)
{
    struct buf b = BUF_INIT;

    put_words(&b, "MULTI");
    put_words(&b, "SET k v");
    put_words(&b, "DEBUG SLEEP 1");
    put_words(&b, "EXEC");
    sent(LINK, "anna", &b, 100, 1000000);
    logged(2, LINK, "DEBUG SLEEP 1", 100, 1000000);
    logged(1, LINK, "SET k v", 100, 10);
    logged(0, LINK, "MULTI", 99, 1);
    names("anna anna anna");
    buf_release(&b);
}
END_TEST

/* Long words and many are cut as Redis cuts them, and need not be there to the end; what it redacts
 * is known by the rest. */
START_TEST(test_cut)
{
    struct buf b = BUF_INIT;
    char word[200], text[400];
    struct resp_arg argv[40] = {{(const uint8_t *)"SADD", 4}, {(const uint8_t *)word, sizeof word}};

    memset(word, 'x', sizeof word);
    resp_put_request(&b, argv, 2);
    sent(LINK, "anna", &b, 100, 1000);
    buf_truncate(&b, b.len - 60); /* as much as Redis keeps is here */
    sent(LINK2, "ben", &b, 100, 1000);
    buf_truncate(&b, b.len - 20);
    sent("l:3", "carl", &b, 100, 1000);

    (void)snprintf(text, sizeof text, "%.128s... (72 more bytes)", word);
    for (int i = 0; i < 3; i++) { /* it has blanks: not by logged */
        const char *link = i == 0 ? LINK : i == 1 ? LINK2 : "l:3";
        buf_printf(&reply, "*6\r\n:%d\r\n:100\r\n:5\r\n*2\r\n$4\r\nSADD\r\n", 3 - i);
        resp_put_bulk(&reply, text, strlen(text));
        resp_put_bulk(&reply, link, strlen(link));
        resp_put_bulk(&reply, "holdfast", 8);
        entries++;
    }
    names("anna ben holdfast");

    buf_clear(&b);
    for (size_t i = 1; i < 33; i++) {
        argv[i] = (struct resp_arg){(const uint8_t *)"m", 1};
    }
    resp_put_request(&b, argv, 33);
    sent(LINK, "dora", &b, 101, 1000);
    buf_truncate(&b, b.len - 8); /* the last word, which is not kept, is cut */
    sent(LINK2, "emil", &b, 101, 1000);
    for (int i = 0; i < 2; i++) {
        buf_printf(&reply, "*6\r\n:%d\r\n:101\r\n:5\r\n*32\r\n$4\r\nSADD\r\n", 9 - i);
        for (int k = 1; k < 31; k++) {
            resp_put_bulk(&reply, "m", 1);
        }
        resp_put_bulk(&reply, "... (2 more arguments)", 22);
        resp_put_bulk(&reply, i == 0 ? LINK : LINK2, strlen(LINK));
        resp_put_bulk(&reply, "holdfast", 8);
        entries++;
    }
    names("dora emil");

    asked(LINK, "fred", "CONFIG SET masterauth secret", 102, 1000);
    asked(LINK, "gina", "CONFIG GET a", 102, 1000);
    logged(20, LINK, "CONFIG SET masterauth (redacted)", 102, 5);
    names("fred");
    buf_release(&b);
}
END_TEST

/* Of one that stands alone no more is looked at than Redis keeps: neither words nor what follows.
 */
START_TEST(test_alone)
{
    struct buf b = BUF_INIT;
    char words[200] = "SADD", kept[200];

    for (int i = 1; i < 31; i++) {
        (void)snprintf(words + strlen(words), sizeof words - strlen(words), " m%d", i);
    }
    (void)snprintf(kept, sizeof kept, "%s", words);
    (void)snprintf(words + strlen(words), sizeof words - strlen(words), " x y z");
    put_words(&b, words);
    put_words(&b, "GET k");
    sent_as(LINK, "anna", &b, false, 100, 1000);
    ck_assert_uint_eq(slowlog_mark(&log_), 1);
    entries++;
    buf_printf(&reply, "*6\r\n:9\r\n:100\r\n:5\r\n*32\r\n");
    buf_clear(&b);
    put_words(&b, kept);
    buf_append(&reply, buf_head(&b) + 5, b.len - 5); /* but for its "*31" */
    resp_put_bulk(&reply, "... (3 more arguments)", 22);
    resp_put_bulk(&reply, LINK, strlen(LINK));
    resp_put_bulk(&reply, "holdfast", 8);
    names("anna");
    put_words(&b, "GET k");
    sent_as(LINK, "anna", &b, false, 100, 1000);
    ck_assert_uint_eq(slowlog_mark(&log_), 2);
    buf_release(&b);
}
END_TEST

int main(void)
{
    return UNIT_RUN("slowlog", setup, teardown, test_get, test_held, test_others, test_own,
                    test_whose, test_nobody, test_own_before, test_same_words, test_duration,
                    test_looks, test_learn, test_reset, test_lacks, test_transaction, test_cut,
                    test_alone);
}
