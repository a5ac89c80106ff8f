/* What CONFIG says of clients: read as Redis 7.0 reads it (config.c), put into its replies. */
#include "proxy/clients/client_config.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 16 };

static struct resp_arg words[WORDS_MAX], rest[WORDS_MAX];
static size_t rest_count;
static struct client_config config;

/* "name=value|name=value" behind CONFIG SET. */
static bool set(const char *text)
{
    static char copy[256];
    size_t count = 2;
    char *save;

    (void)strncpy(copy, text, sizeof copy - 1);
    words[0] = (struct resp_arg){(const uint8_t *)"CONFIG", 6};
    words[1] = (struct resp_arg){(const uint8_t *)"SET", 3};
    for (char *at = strtok_r(copy, "|=", &save); at != NULL; at = strtok_r(NULL, "|=", &save)) {
        words[count++] = (struct resp_arg){(const uint8_t *)at, strlen(at)};
    }
    return client_config_take(&config, words, count, rest, &rest_count);
}

static uint64_t number(enum client_config_number which)
{
    ck_assert(config.numbers[which].set);
    return config.numbers[which].value;
}

/* What is ours is taken, in Redis' units; what is Redis' is left. */
START_TEST(test_take)
{
    config = (struct client_config){0};
    ck_assert(!set("maxmemory=1"));
    ck_assert(set("MaxClients=5|maxmemory=1gb|timeout=3|tcp-keepalive=0"));
    ck_assert_uint_eq(number(CLIENT_CONFIG_MAXCLIENTS), 5);
    ck_assert_uint_eq(number(CLIENT_CONFIG_TIMEOUT_S), 3);
    ck_assert_uint_eq(number(CLIENT_CONFIG_KEEPALIVE_S), 0);
    ck_assert_uint_eq(rest_count, 4);
    ck_assert(resp_arg_is(&rest[2], "maxmemory") && resp_arg_is(&rest[3], "1gb"));
    ck_assert(set("client-query-buffer-limit=2mb|maxmemory-clients=5%"));
    ck_assert_uint_eq(rest_count, 2);
    ck_assert_uint_eq(number(CLIENT_CONFIG_QUERY_BYTES), 2 << 20);
    ck_assert(config.numbers[CLIENT_CONFIG_MEMORY].percent);
    ck_assert(set("maxmemory-clients=3m"));
    ck_assert(!config.numbers[CLIENT_CONFIG_MEMORY].percent);
    ck_assert_uint_eq(number(CLIENT_CONFIG_MEMORY), 3000000);
    ck_assert(set("client-output-buffer-limit=normal 1k 0 0 pubsub 2kb 1 60"));
    ck_assert_uint_eq(config.output[CLIENT_CONFIG_NORMAL].hard_bytes, 1000);
    ck_assert_uint_eq(config.output[CLIENT_CONFIG_PUBSUB].hard_bytes, 2048);
    ck_assert_uint_eq(config.output[CLIENT_CONFIG_PUBSUB].soft_s, 60);
    ck_assert(!config.output[CLIENT_CONFIG_REPLICA].set);
}
END_TEST

/* What Redis refuses is left to it, as a whole: nothing is set. */
START_TEST(test_left_to_redis)
{
    static const char *const wrong[] = {"maxclients=0",
                                        "maxclients=x",
                                        "maxclients=-1",
                                        "maxclients=4294967296",
                                        "timeout=-1",
                                        "timeout=2147483648",
                                        "timeout=1s",
                                        "client-query-buffer-limit=1",
                                        "maxmemory-clients=101%",
                                        "maxmemory-clients=1x",
                                        "min-replicas-to-write=-1",
                                        "min-replicas-to-write=1|min-slaves-to-write=1",
                                        "client-output-buffer-limit=normal 1 1",
                                        "client-output-buffer-limit=nobody 1 1 1",
                                        "client-output-buffer-limit=normal 1 1 1 ",
                                        "client-output-buffer-limit=normal -1 1 1",
                                        "client-output-buffer-limit=normal 1 1 x",
                                        "timeout=5|timeout=6",
                                        "timeout=5|maxclients=0",
                                        "timeout=5|maxclients"};

    config = (struct client_config){0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(!set(wrong[i]), "%s", wrong[i]);
        ck_assert_msg(!config.numbers[CLIENT_CONFIG_TIMEOUT_S].set, "%s", wrong[i]);
    }
}
END_TEST

/* Redis is never told how many there are to be, but that there need be none. */
START_TEST(test_replicas)
{
    config = (struct client_config){0};
    ck_assert(!client_config_replicas_lack(&config));
    ck_assert(set("MIN-REPLICAS-TO-WRITE=1"));
    ck_assert(client_config_replicas_lack(&config));
    ck_assert_uint_eq(rest_count, 2);
    config.replicas = 2;
    ck_assert(!client_config_replicas_lack(&config));
    ck_assert(set("maxmemory=1|min-slaves-to-write=2"));
    ck_assert(!client_config_replicas_lack(&config));
    ck_assert_uint_eq(rest_count, 4);
    ck_assert(resp_arg_is(&rest[2], "maxmemory"));
    config.replicas = 1;
    ck_assert(client_config_replicas_lack(&config));
    ck_assert(set("min-slaves-to-write=0"));
    ck_assert(!client_config_replicas_lack(&config));
    ck_assert_uint_eq(rest_count, 4);
    ck_assert(resp_arg_is(&rest[2], "min-slaves-to-write") && resp_arg_is(&rest[3], "0"));
}
END_TEST

static void expect_corrected(const char *reply, const char *corrected);

/* Redis' slow log is longer than it was asked to be, and nobody sees that: as long as nobody else
 * sets it. */
START_TEST(test_slowlog)
{
    static const char given[] = "*2\r\n$15\r\nslowlog-max-len\r\n$4\r\n1024\r\n";

    config = (struct client_config){0};
    ck_assert_uint_eq(client_config_slowlog_len(&config), SIZE_MAX);
    client_config_slowlog_found(&config, "1024");
    ck_assert_uint_eq(client_config_slowlog_len(&config), SIZE_MAX);
    ck_assert(set("slowlog-max-len=10|maxmemory=1"));
    ck_assert_uint_eq(rest_count, 6);
    ck_assert(resp_arg_is(&rest[2], "slowlog-max-len") && resp_arg_is(&rest[3], "1024"));
    ck_assert_uint_eq(client_config_slowlog_len(&config), 10);
    expect_corrected(given, "*2\r\n$15\r\nslowlog-max-len\r\n$2\r\n10\r\n");
    client_config_slowlog_found(&config, "1024");
    ck_assert_uint_eq(client_config_slowlog_len(&config), 10);
    expect_corrected("*2\r\n$15\r\nslowlog-max-len\r\n$3\r\n128\r\n",
                     "*2\r\n$15\r\nslowlog-max-len\r\n$3\r\n128\r\n");
    client_config_slowlog_found(&config, "128");
    ck_assert_uint_eq(client_config_slowlog_len(&config), SIZE_MAX);
    expect_corrected(given, given);

    ck_assert(set("slowlog-max-len=1024"));
    ck_assert(resp_arg_is(&rest[3], "8192"));
    ck_assert_uint_eq(client_config_slowlog_len(&config), 1024);
    ck_assert(set("slowlog-max-len=1025"));
    ck_assert(resp_arg_is(&rest[3], "1025"));
    ck_assert_uint_eq(client_config_slowlog_len(&config), SIZE_MAX);
    ck_assert(set("slowlog-max-len=0"));
    ck_assert(resp_arg_is(&rest[3], "0"));
    ck_assert(!set("slowlog-max-len=-1"));
}
END_TEST

static void expect_corrected(const char *reply, const char *corrected)
{
    struct buf b = BUF_INIT;

    buf_append_str(&b, reply);
    client_config_correct(&config, &b);
    UNIT_TEXT_IS(&b, corrected);
}

/* CONFIG GET has what was set, what is shown instead of Redis' own, and that for the rest. */
START_TEST(test_correct)
{
    static const char limits[] = "$26\r\nclient-output-buffer-limit\r\n";
    char before[256], after[256];

    config = (struct client_config){0};
    (void)snprintf(before, sizeof before,
                   "*2\r\n%s$34\r\nnormal 0 0 0 slave 0 0 0 pubsub 9 8 7\r\n", limits);
    expect_corrected("*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n",
                     "*2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n");
    ck_assert(set("maxclients=7|maxmemory-clients=9%|client-output-buffer-limit=replica 1k 1 1"));
    expect_corrected("%2\r\n$10\r\nmaxclients\r\n$5\r\n10000\r\n$1\r\na\r\n$0\r\n\r\n",
                     "%2\r\n$10\r\nmaxclients\r\n$1\r\n7\r\n$1\r\na\r\n$0\r\n\r\n");
    expect_corrected("*2\r\n$17\r\nmaxmemory-clients\r\n$1\r\n0\r\n",
                     "*2\r\n$17\r\nmaxmemory-clients\r\n$2\r\n9%\r\n");
    expect_corrected("-ERR x\r\n", "-ERR x\r\n");
    ck_assert(set("min-replicas-to-write=3"));
    expect_corrected("*2\r\n$19\r\nmin-slaves-to-write\r\n$1\r\n0\r\n",
                     "*2\r\n$19\r\nmin-slaves-to-write\r\n$1\r\n3\r\n");
    (void)snprintf(before, sizeof before,
                   "*2\r\n%s$37\r\nnormal 0 0 0 slave 0 0 0 pubsub 9 8 7\r\n", limits);
    (void)snprintf(after, sizeof after,
                   "*2\r\n%s$40\r\nnormal 0 0 0 slave 1000 1 1 pubsub 9 8 7\r\n", limits);
    expect_corrected(before, after);
    config.output[CLIENT_CONFIG_PUBSUB].shown = true;
    config.output[CLIENT_CONFIG_PUBSUB].hard_bytes = 64;
    config.output[CLIENT_CONFIG_PUBSUB].soft_s = 1;
    (void)snprintf(after, sizeof after,
                   "*2\r\n%s$41\r\nnormal 0 0 0 slave 1000 1 1 pubsub 64 0 1\r\n", limits);
    expect_corrected(before, after);
}
END_TEST

/* What was set comes back as it was, from text; what else was set before stays; and what is no such
 * text changes nothing. */
START_TEST(test_kept)
{
    static const char *const wrong[] = {"maxclients 5", "maxclients\n", "maxclients x\n",
                                        "timeout 5\nport 1\n", "\n"};
    struct client_config written;
    struct buf text = BUF_INIT;

    config = (struct client_config){0};
    ck_assert(set("maxclients=100|timeout=30|maxmemory-clients=5%|min-replicas-to-write=0|"
                  "slowlog-max-len=64|client-output-buffer-limit=pubsub 1k 2k 3 slave 1 2 3"));
    written = config;
    client_config_write(&config, &text);
    config = (struct client_config){0};
    ck_assert(set("tcp-keepalive=7|timeout=1"));
    ck_assert(client_config_read(&config, buf_head(&text), text.len));
    ck_assert_uint_eq(number(CLIENT_CONFIG_KEEPALIVE_S), 7);
    config.numbers[CLIENT_CONFIG_KEEPALIVE_S] = written.numbers[CLIENT_CONFIG_KEEPALIVE_S];
    ck_assert_mem_eq(&config, &written, sizeof config);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert(!client_config_read(&config, (const uint8_t *)wrong[i], strlen(wrong[i])));
        ck_assert_mem_eq(&config, &written, sizeof config);
    }
    buf_release(&text);
}
END_TEST

int main(void)
{
    return UNIT_RUN("client_config", NULL, NULL, test_take, test_left_to_redis, test_replicas,
                    test_slowlog, test_correct, test_kept);
}
