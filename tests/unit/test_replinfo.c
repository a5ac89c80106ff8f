/* What ROLE and INFO replication say: by whom we are, with the addresses that clients connect to.
 */
#include "proxy/forward/replinfo.h"

#include "tests/lib/unit.h"

#include <check.h>
#include <string.h>

static struct leader *leader;
static struct buf text;

static void setup(void)
{
    leader = leader_create("p1", "10.0.0.1", 7379);
    text = (struct buf)BUF_INIT;
}

static void teardown(void)
{
    leader_destroy(leader);
    buf_release(&text);
}

static const struct leader_peer peers[] = {
    {.name = "p2", .address = {"10.0.0.2", 7380}, .offset = 90, .synced = true, .seen_ns = 1},
    {.name = "p3", .address = {"10.0.0.3", 7381}, .offset = 10, .seen_ns = 1},
};

static struct replinfo we_lead(void)
{
    struct leader_found found = {
        .info = {.role = LEADER_LEADER, .known = true, .self = true},
        .peers = peers,
        .peer_count = 2,
        .offset = 100,
        .now_ns = 1,
    };
    struct replinfo info = {
        .leader = leader, .serves = true, .offset = 100, .backlog_bytes = 30, .now_ns = 2000000001};

    memset(info.replid.hex, 'a', sizeof info.replid.hex);
    leader_update(leader, &found);
    return info;
}

static struct replinfo we_follow(bool reads)
{
    struct leader_found found = {
        .info = {.role = LEADER_FOLLOWER,
                 .known = true,
                 .address = {"10.0.0.2", 7380},
                 .local_reads = reads,
                 .lag_ms = 3500},
        .peers = peers,
        .peer_count = 2,
        .offset = 80,
        .now_ns = 1,
    };

    leader_update(leader, &found);
    return (struct replinfo){.leader = leader, .offset = 80, .backlog_bytes = 30};
}

static const char *text_of(void)
{
    buf_append(&text, "", 1);
    text.len--;
    return (const char *)buf_head(&text);
}

/* A leader is a master; replicas are those that go along. */
START_TEST(test_role_master)
{
    struct replinfo info = we_lead();

    replinfo_put_role(&info, &text);
    ck_assert_str_eq(text_of(), "*3\r\n$6\r\nmaster\r\n:100\r\n*1\r\n*3\r\n$8\r\n10.0.0.2\r\n"
                                "$4\r\n7380\r\n$2\r\n90\r\n");
}
END_TEST

/* Alone: a master without replicas. */
START_TEST(test_role_alone)
{
    struct replinfo info = {.offset = 5};

    replinfo_put_role(&info, &text);
    ck_assert_str_eq(text_of(), "*3\r\n$6\r\nmaster\r\n:5\r\n*0\r\n");
}
END_TEST

/* A follower is a replica of the address at which clients reach the leader. */
START_TEST(test_role_slave)
{
    struct replinfo info = we_follow(true);

    replinfo_put_role(&info, &text);
    ck_assert_str_eq(text_of(),
                     "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.2\r\n:7380\r\n$9\r\nconnected\r\n:80\r\n");
    buf_clear(&text);
    info = we_follow(false);
    replinfo_put_role(&info, &text);
    ck_assert_str_eq(text_of(),
                     "*5\r\n$5\r\nslave\r\n$8\r\n10.0.0.2\r\n:7380\r\n$4\r\nsync\r\n:-1\r\n");
}
END_TEST

START_TEST(test_section_master)
{
    struct replinfo info = we_lead();

    replinfo_put_section(&info, &text);
    ck_assert_str_eq(text_of(),
                     "# Replication\r\nrole:master\r\nconnected_slaves:2\r\n"
                     "slave0:ip=10.0.0.2,port=7380,state=online,offset=90,lag=2\r\n"
                     "slave1:ip=10.0.0.3,port=7381,state=wait_bgsave,offset=10,lag=2\r\n"
                     "master_failover_state:no-failover\r\n"
                     "master_replid:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"
                     "master_replid2:0000000000000000000000000000000000000000\r\n"
                     "master_repl_offset:100\r\nsecond_repl_offset:-1\r\n"
                     "repl_backlog_active:1\r\nrepl_backlog_size:30\r\n"
                     "repl_backlog_first_byte_offset:71\r\nrepl_backlog_histlen:30\r\n\r\n");
}
END_TEST

START_TEST(test_section_slave)
{
    struct replinfo info = we_follow(true);

    replinfo_put_section(&info, &text);
    ck_assert_ptr_nonnull(strstr(text_of(),
                                 "role:slave\r\nmaster_host:10.0.0.2\r\nmaster_port:7380\r\n"
                                 "master_link_status:up\r\nmaster_last_io_seconds_ago:0\r\n"
                                 "master_sync_in_progress:0\r\nslave_read_repl_offset:80\r\n"
                                 "slave_repl_offset:80\r\nslave_priority:100\r\n"));
    ck_assert_ptr_nonnull(strstr(text_of(), "connected_slaves:0\r\n"));
    buf_clear(&text);
    info = we_follow(false);
    replinfo_put_section(&info, &text);
    ck_assert_ptr_nonnull(strstr(text_of(), "master_link_status:down\r\n"));
    ck_assert_ptr_nonnull(strstr(text_of(), "master_sync_in_progress:1\r\n"));
    ck_assert_ptr_nonnull(strstr(text_of(), "master_link_down_since_seconds:3\r\n"));
}
END_TEST

/* In a whole INFO only that section is another one, wherever it stands; a text without it, or that
 * is none, stays as it is. */
START_TEST(test_correct)
{
    static const char whole[] = "# Server\r\na:1\r\n\r\n# Replication\r\nrole:x\r\nb:1\r\n\r\n"
                                "# CPU\r\nc:1\r\n";
    static const char last[] = "# Replication\r\nrole:x\r\n";
    static const char none[] = "# CPU\r\nc:1\r\n# Replication";
    struct replinfo info = we_lead();
    struct buf section = BUF_INIT, expected = BUF_INIT;

    replinfo_put_section(&info, &section);
    buf_append_str(&expected, "# Server\r\na:1\r\n\r\n");
    buf_append(&expected, buf_head(&section), section.len);
    buf_append_str(&expected, "# CPU\r\nc:1\r\n");
    replinfo_correct(&info, whole, sizeof whole - 1, &text);
    ck_assert_uint_eq(text.len, expected.len);
    ck_assert_mem_eq(buf_head(&text), buf_head(&expected), text.len);
    buf_clear(&text);
    replinfo_correct(&info, last, sizeof last - 1, &text);
    ck_assert_uint_eq(text.len, section.len - 2);
    buf_clear(&text);
    replinfo_correct(&info, none, sizeof none - 1, &text);
    ck_assert_str_eq(text_of(), none);
    buf_clear(&text);
    replinfo_correct(&info, "", 0, &text);
    ck_assert_uint_eq(text.len, 0);
    buf_release(&section);
    buf_release(&expected);
}
END_TEST

/* One number in a text, of the line that has exactly this name. */
START_TEST(test_set_number)
{
    static const char before[] = "# Clients\r\nxn:1\r\nn:17\r\nnn:2\r\n\r\n# n\r\nn:3\r\n";

    buf_append_str(&text, before);
    replinfo_set_number(&text, "n", 123456789012u);
    ck_assert_str_eq(text_of(),
                     "# Clients\r\nxn:1\r\nn:123456789012\r\nnn:2\r\n\r\n# n\r\nn:3\r\n");
    replinfo_set_number(&text, "n", 5);
    replinfo_set_number(&text, "m", 5);
    replinfo_set_number(&text, "# Clients", 5);
    ck_assert_str_eq(text_of(), "# Clients\r\nxn:1\r\nn:5\r\nnn:2\r\n\r\n# n\r\nn:3\r\n");
    buf_clear(&text);
    replinfo_set_number(&text, "n", 5);
    ck_assert_uint_eq(text.len, 0);
}
END_TEST

int main(void)
{
    return UNIT_RUN("replinfo", setup, teardown, test_role_master, test_role_alone, test_role_slave,
                    test_section_master, test_section_slave, test_correct, test_set_number);
}
