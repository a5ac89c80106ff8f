/* A log node in this process, spoken to over its real transport: it makes a log when it is greeted,
 * keeps what it acknowledged over restarts, and lives through what it can't understand. */
#include "logsvc/server.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "logsvc/client/transport.h"
#include "logsvc/wire.h"
#include "tests/lib/unit.h"

#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEASE_MS = 300, SEGMENT = 2 << 20, BEGIN = 1000 };

static const uint8_t cluster_id[16] = {1, 2, 3};
static char folder[] = "server-test-XXXXXX";
static char data_dir[64];

/* --- the node, on a thread of its own --- */

static struct server *server;
static pthread_t thread;
static atomic_bool stopping;

static void *server_main(void *arg)
{
    int *rc = arg;

    while (!stopping && *rc == ERR_OK) {
        *rc = server_turn(server, 50);
    }
    return NULL;
}

static int server_rc;

static int node_open(const char *node_id, const uint8_t cluster[16])
{
    struct server_config config = {
        .disk = disk_posix(),
        .data_dir = data_dir,
        .address = "127.0.0.1:0",
        .node_id = node_id,
        .lease_ms = LEASE_MS,
        .segment_bytes = SEGMENT,
        .reserve_bytes = 0,
        .message_max_bytes = SERVER_MESSAGE_MIN_BYTES,
        .queue_max_bytes = 4 * SERVER_MESSAGE_MIN_BYTES,
        .logs_max = 2,
    };

    memcpy(config.cluster_id, cluster, 16);
    return server_open(&config, &server);
}

static void node_start(void)
{
    ck_assert_int_eq(node_open("log1", cluster_id), ERR_OK);
    stopping = false;
    server_rc = ERR_OK;
    ck_assert_int_eq(pthread_create(&thread, NULL, server_main, &server_rc), 0);
}

static void node_stop(void)
{
    stopping = true;
    server_wake(server);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(server_rc, ERR_OK);
    server_close(server);
}

/* --- a client that asks one thing at a time --- */

static struct transport *link_;
static uint8_t answer_bytes[1 << 20];

static struct transport_event wait_event(void)
{
    struct transport_event event;

    for (int i = 0; i < 50; i++) {
        if (transport_next(link_, &event)) {
            return event;
        }
        struct pollfd p = {.fd = transport_fd(link_), .events = POLLIN};
        (void)poll(&p, 1, 100);
    }
    ck_abort_msg("no answer");
}

static void client_open(void)
{
    char address[64];
    struct transport_config config = {.node_count = 1,
                                      .message_max_bytes = SERVER_MESSAGE_MIN_BYTES,
                                      .queue_max_bytes = 4 * SERVER_MESSAGE_MIN_BYTES};

    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server_port(server));
    config.addresses[0] = address;
    ck_assert_int_eq(transport_open(&link_, &config), ERR_OK);
    ck_assert_int_eq(wait_event().kind, TRANSPORT_UP);
}

static void client_send(const void *bytes, size_t size)
{
    for (int i = 0; !transport_send(link_, 0, bytes, size, NULL, 0); i++) {
        ck_assert_int_lt(i, 50);
        (void)wait_event();
    }
}

static struct wire_msg request(enum wire_type type, uint64_t term)
{
    struct wire_msg msg = {.type = type, .log_id = 7, .term = {term}, .session = 55, .seq = 9};

    memcpy(msg.cluster_id, cluster_id, 16);
    return msg;
}

/* The answer points into answer_bytes. */
static struct wire_msg ask(const struct wire_msg *msg)
{
    static uint8_t bytes[1 << 20];
    struct wire_msg answer;
    struct transport_event event;

    wire_encode(msg, bytes);
    client_send(bytes, wire_size(msg));
    do {
        event = wait_event();
    } while (event.kind != TRANSPORT_MESSAGE);
    memcpy(answer_bytes, event.bytes, event.size);
    ck_assert_int_eq(wire_decode(answer_bytes, event.size, &answer), ERR_OK);
    ck_assert_uint_eq(answer.session, msg->session);
    ck_assert_uint_eq(answer.seq, msg->seq);
    return answer;
}

static struct wire_msg hello(void)
{
    struct wire_msg msg = request(WIRE_HELLO, 0);

    msg.hello.lease_ms = LEASE_MS;
    return ask(&msg);
}

static void check_refused(const struct wire_msg *msg, uint32_t code)
{
    struct wire_msg answer = ask(msg);

    ck_assert_int_eq(answer.type, WIRE_REFUSED);
    ck_assert_uint_eq(answer.refused.code, code);
}

/* A configuration with the node alone, of that term. */
static struct wire_conf conf_of(uint64_t term, const struct disk_id *disk, struct buf *bytes)
{
    struct conf c = {.id = {{term}, 1}, .now = {1, {{"log1", *disk, "127.0.0.1:1"}}}};

    buf_clear(bytes);
    conf_encode(&c, bytes);
    return (struct wire_conf){buf_head(bytes), bytes->len};
}

/* Wins term 1 and begins the log. */
static void lead(void)
{
    struct history history = {.count = 1};
    struct buf bytes = BUF_INIT, conf = BUF_INIT;
    struct disk_id disk = hello().hello_reply.disk;
    struct wire_msg msg = request(WIRE_VOTE, 1);

    ck_assert(disk_id_known(&disk));
    msg.vote.lease_ms = LEASE_MS;
    msg.vote.to = disk;
    msg.vote.conf = conf_of(0, &disk, &conf);
    msg.conf = (struct conf_id){{0}, 1};
    struct wire_msg answer = ask(&msg);
    ck_assert_int_eq(answer.type, WIRE_VOTE_REPLY);
    ck_assert(answer.vote_reply.granted);

    history.entries[0].term.n = 1;
    history.entries[0].begin = BEGIN;
    memset(history.entries[0].replid.hex, 'a', 40);
    history_encode(&history, &bytes);
    msg = request(WIRE_ELECTED, 1);
    msg.elected.to = disk;
    msg.elected.conf = conf_of(1, &disk, &conf);
    msg.conf = (struct conf_id){{1}, 1};
    msg.elected.start = BEGIN;
    msg.elected.reset = true;
    msg.elected.history = (struct wire_history){buf_head(&bytes), bytes.len};
    answer = ask(&msg);
    buf_release(&bytes);
    buf_release(&conf);
    ck_assert_int_eq(answer.type, WIRE_ELECTED_REPLY);
}

static uint64_t end = BEGIN;
static uint32_t chain;

/* Appends a record and waits until it is durable. */
static void append(uint32_t len)
{
    static uint8_t data[RECORD_HEADER_BYTES + (1 << 17)];
    uint8_t *payload = data + RECORD_HEADER_BYTES;
    struct wire_msg msg = request(WIRE_APPEND, 1);

    memset(payload, 'a' + (int)(end % 26), len);
    chain = crc32c_extend(chain, payload, len);
    struct record r = {.term = {1},
                       .begin = end,
                       .len_bytes = len,
                       .flags = RECORD_UNIT_END,
                       .payload_crc = crc32c_extend(0, payload, len),
                       .chain_crc = chain};
    record_encode_header(&r, data);
    msg.conf = (struct conf_id){{1}, 1};
    msg.append.begin = end;
    msg.append.commit = end;
    msg.data = data;
    msg.data_size = RECORD_HEADER_BYTES + len;
    struct wire_msg answer = ask(&msg);
    ck_assert_int_eq(answer.type, WIRE_APPEND_REPLY);
    end += len;
    ck_assert_uint_eq(answer.append_reply.unit_off, end);
}

/* --- the test folder --- */

static int remove_one_cb(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void folder_make(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(data_dir, sizeof data_dir, "%s/data", folder);
}

static void folder_remove(void)
{
    ck_assert_int_eq(nftw(folder, remove_one_cb, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* A log is made when it is greeted; votes and bytes are there after a restart; the whole log is
 * read back. */
START_TEST(keeps_what_it_acknowledged)
{
    folder_make();
    node_start();
    client_open();
    struct wire_msg answer = hello();
    ck_assert_int_eq(answer.type, WIRE_HELLO_REPLY);
    ck_assert_str_eq(answer.hello_reply.node_id, "log1");
    ck_assert(answer.hello_reply.log.empty);
    lead();
    for (uint32_t i = 0; i < 40; i++) {
        append(i % 4 == 3 ? 120000 : 100 + i); /* more than one segment */
    }
    transport_close(link_);
    node_stop();

    node_start();
    client_open();
    answer = hello();
    ck_assert_uint_eq(answer.term.n, 1);
    ck_assert_uint_eq(answer.hello_reply.log.begin, BEGIN);
    ck_assert_uint_eq(answer.hello_reply.log.unit_off, end);
    ck_assert_uint_eq(answer.hello_reply.log.chain_crc, chain);
    for (uint64_t at = BEGIN; at < end;) {
        struct wire_msg msg = request(WIRE_READ, 1);
        msg.read.from = at;
        msg.read.max_bytes = 200000;
        answer = ask(&msg);
        ck_assert_int_eq(answer.type, WIRE_READ_REPLY);
        ck_assert_uint_gt(answer.data_size, 0);
        size_t whole;
        for (size_t done = 0; done < answer.data_size; done += whole) {
            struct record r;
            const uint8_t *payload;
            ck_assert_int_eq(
                wire_record(answer.data + done, answer.data_size - done, &r, &payload, &whole),
                ERR_OK);
            ck_assert_uint_eq(r.begin, at);
            ck_assert(record_payload_ok(&r, payload));
            at = record_end(&r);
        }
    }
    transport_close(link_);
    node_stop();
    folder_remove();
}
END_TEST

/* Foreign clusters, foreign leases, unknown logs and too many of them are refused by reason;
 * garbage is dropped; the node serves on. */
START_TEST(refuses_and_lives)
{
    uint8_t bytes[4096];

    folder_make();
    node_start();
    client_open();
    struct wire_msg msg = request(WIRE_STATUS, 0);
    check_refused(&msg, WIRE_REFUSED_LOG); /* a question makes no log */
    msg = request(WIRE_HELLO, 0);
    msg.hello.lease_ms = LEASE_MS + 1;
    check_refused(&msg, WIRE_REFUSED_LEASE);
    msg.hello.lease_ms = LEASE_MS;
    msg.cluster_id[0] ^= 1;
    check_refused(&msg, WIRE_REFUSED_CLUSTER);

    memset(bytes, 'x', sizeof bytes);
    client_send("", 0);
    client_send("x", 1);
    client_send(bytes, sizeof bytes);
    msg = request(WIRE_HELLO, 0);
    msg.hello.lease_ms = LEASE_MS;
    wire_encode(&msg, bytes);
    for (size_t i = 0; i < wire_size(&msg); i++) {
        bytes[i] ^= 0x10; /* magic, version, sizes, checksum, cluster, … */
        client_send(bytes, i % 2 ? wire_size(&msg) : i);
        bytes[i] ^= 0x10;
    }
    transport_close(link_); /* whatever of that was answered is of no interest */

    client_open();
    ck_assert_int_eq(hello().type, WIRE_HELLO_REPLY);
    msg = request(WIRE_HELLO, 0);
    msg.hello.lease_ms = LEASE_MS;
    msg.log_id = 8;
    ck_assert_int_eq(ask(&msg).type, WIRE_HELLO_REPLY);
    msg.log_id = 9;
    check_refused(&msg, WIRE_REFUSED_LOG); /* logs_max is 2 */
    transport_close(link_);
    node_stop();
    folder_remove();
}
END_TEST

/* A data folder that is in use, or another node's, or another cluster's, is refused. */
START_TEST(foreign_data)
{
    struct server *first;
    uint8_t other[16] = {9};

    folder_make();
    ck_assert_int_eq(node_open("log1", cluster_id), ERR_OK);
    first = server;
    ck_assert_int_eq(node_open("log1", cluster_id), ERR_EXISTS);
    server_close(first);
    ck_assert_int_eq(node_open("log2", cluster_id), ERR_REFUSED);
    ck_assert_int_eq(node_open("log1", other), ERR_REFUSED);
    ck_assert_int_eq(node_open("log1", cluster_id), ERR_OK);
    server_close(server);
    folder_remove();
}
END_TEST

/* A damaged log is not served and says so; the other log of the node is. */
START_TEST(damaged_log)
{
    char path[128];

    folder_make();
    node_start();
    client_open();
    ck_assert_int_eq(hello().type, WIRE_HELLO_REPLY);
    lead();
    struct wire_msg msg = request(WIRE_HELLO, 0);
    msg.hello.lease_ms = LEASE_MS;
    msg.log_id = 8;
    ck_assert_int_eq(ask(&msg).type, WIRE_HELLO_REPLY);
    transport_close(link_);
    node_stop();

    (void)snprintf(path, sizeof path, "%s/log-7/seg-%020d.log", data_dir, BEGIN);
    FILE *f = fopen(path, "r+");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fputc('x', f), 'x');
    ck_assert_int_eq(fclose(f), 0);
    node_start();
    client_open();
    ck_assert_int_eq(ask(&msg).type, WIRE_HELLO_REPLY);
    msg.log_id = 7;
    check_refused(&msg, WIRE_REFUSED_CORRUPT);
    transport_close(link_);
    node_stop();
    folder_remove();
}
END_TEST

int main(void)
{
    unit_hush();
    return UNIT_RUN_FOR("server", NULL, NULL, 60, keeps_what_it_acknowledged, refuses_and_lives,
                        foreign_data, damaged_log);
}
