/* One acceptor on a storage in memory, and what its tests say to it: messages of a leader, and the
 * last answer. For the programs test_acceptor*.c; each has its own. */
#ifndef TESTS_LIB_ACCEPTOR_CASE_H
#define TESTS_LIB_ACCEPTOR_CASE_H

#include "logsvc/acceptor.h"

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/lib/fake_storage.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BEGIN = 100, LEASE_MS = 1000 };

static struct fake_storage storage;
static struct acceptor *acceptor;
static uint64_t now;

/* The last answer, and how many there were. */
static struct wire_msg reply;
static uint8_t *reply_bytes;
static unsigned replies;
/* What a watcher over a link of its own was told last, and how often. */
enum { WATCH_LINK = 2 };
static struct wire_watch_reply told;
static unsigned told_count;

static inline void on_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    size_t size = wire_size(msg);

    (void)ctx;
    ck_assert_uint_eq(to.id, msg->seq);
    if (to.link == WATCH_LINK) {
        ck_assert_int_eq(msg->type, WIRE_WATCH_REPLY);
        told = msg->watch_reply;
        told_count++;
        return;
    }
    free(reply_bytes);
    reply_bytes = mem_alloc(size);
    wire_encode(msg, reply_bytes);
    ck_assert_int_eq(wire_decode(reply_bytes, size, &reply), ERR_OK);
    replies++;
}

static inline int open_acceptor(const char *node_id)
{
    struct acceptor_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_id = node_id,
                                     .disk = {{1, 2, 3}},
                                     .lease_ms = LEASE_MS,
                                     .read_max_bytes = 10000};
    struct acceptor_events events = {.reply = on_reply};

    return acceptor_create(&storage.base, &config, &events, NULL, now, &acceptor);
}

static inline void setup(void)
{
    now = 5000 * CLOCK_NS_PER_MS;
    replies = 0;
    fake_storage_init(&storage);
    ck_assert_int_eq(open_acceptor("node-1"), ERR_OK);
    (void)fake_storage_trace(&storage);
}

static inline void teardown(void)
{
    acceptor_destroy(acceptor);
    acceptor = NULL;
    fake_storage_fini(&storage);
    free(reply_bytes);
    reply_bytes = NULL;
}

/* The process dies, losing what was not flushed, and comes back. */
static inline void restart(void)
{
    acceptor_destroy(acceptor);
    acceptor = NULL;
    fake_storage_crash(&storage);
    ck_assert_int_eq(open_acceptor("node-1"), ERR_OK);
    (void)fake_storage_trace(&storage);
}

/* --- saying things -------------------------------------------------------------------------- */

static uint64_t session = 10, seq;

/* A configuration of three, of which this node is one; messages point to its bytes. */
static inline struct conf conf_of(uint64_t term, uint64_t generation)
{
    return (struct conf){.id = {{term}, generation},
                         .now = {3,
                                 {{"node-1", {{1, 2, 3}}, "10.0.0.1:7001"},
                                  {"node-2", {{2}}, "10.0.0.2:7001"},
                                  {"node-3", {{3}}, "10.0.0.3:7001"}}}};
}

static inline struct wire_conf wire_conf_of(const struct conf *c)
{
    static struct buf bytes;

    buf_clear(&bytes);
    conf_encode(c, &bytes);
    return (struct wire_conf){.bytes = buf_head(&bytes), .size = bytes.len};
}

static inline struct wire_msg message(enum wire_type type, uint64_t term)
{
    seq++;
    return (struct wire_msg){.type = type,
                             .cluster_id = {7},
                             .log_id = 1,
                             .term = {term},
                             .conf = {{term}, 2},
                             .session = session,
                             .seq = seq};
}

static inline int receive(const struct wire_msg *m)
{
    struct acceptor_reply_to to = {.link = 1, .id = m->seq};

    return acceptor_receive(acceptor, now, m, to);
}

static inline void say(const struct wire_msg *m)
{
    unsigned before = replies;

    ck_assert_int_eq(receive(m), ERR_OK);
    ck_assert_uint_eq(replies, before + 1);
}

static inline void expect_refused(enum wire_refusal code)
{
    ck_assert_msg(reply.type == WIRE_REFUSED, "it answers %s", wire_type_name(reply.type));
    ck_assert_msg(reply.refused.code == (uint32_t)code, "refused: %s", reply.refused.reason);
}

/* The candidate goes by the configuration that it finds, or by the first. */
static inline struct wire_msg vote_message(uint64_t term)
{
    struct wire_msg m = message(WIRE_VOTE, term);
    struct conf founding = conf_of(0, 1);
    const struct conf *here = acceptor_conf(acceptor);

    here = conf_kind(here) == CONF_NONE ? &founding : here;
    m.vote.lease_ms = LEASE_MS;
    m.vote.to = *acceptor_disk(acceptor);
    m.conf = here->id;
    m.vote.conf = wire_conf_of(here);
    return m;
}

static inline bool vote(uint64_t term)
{
    struct wire_msg m = vote_message(term);

    say(&m);
    ck_assert_int_eq(reply.type, WIRE_VOTE_REPLY);
    return reply.vote_reply.granted;
}

static inline void hello(uint64_t term)
{
    struct wire_msg m = message(WIRE_HELLO, term);

    m.hello.lease_ms = LEASE_MS;
    say(&m);
}

static inline struct wire_msg elected_message(uint64_t term)
{
    struct wire_msg m = message(WIRE_ELECTED, term);
    struct conf conf = conf_of(term, 2);

    m.elected.to = *acceptor_disk(acceptor);
    m.elected.conf = wire_conf_of(&conf);
    return m;
}

/* pairs of term and begin, ended by 0; the last term is the sender's. */
static inline void elect(uint64_t start, bool reset, const uint64_t *pairs)
{
    struct history h = {0};
    struct replid replid;
    struct buf bytes = BUF_INIT;

    memset(replid.hex, 'r', sizeof replid.hex);
    for (; pairs[0] != 0; pairs += 2) {
        ck_assert_int_eq(history_append(&h, (struct log_term){pairs[0]}, pairs[1], &replid),
                         ERR_OK);
    }
    struct wire_msg m = elected_message(h.entries[h.count - 1].term.n);
    m.elected.start = start;
    m.elected.reset = reset;
    snprintf(m.elected.name, sizeof m.elected.name, "leader");
    m.elected.engine = m.term.n == 2 ? WIRE_ENGINE(7, 2, 0) : WIRE_ENGINE(7, 0, 15);
    history_encode(&h, &bytes);
    m.elected.history = (struct wire_history){.bytes = buf_head(&bytes), .size = bytes.len};
    say(&m);
    buf_release(&bytes);
}
#define ELECT(start, reset, ...) elect(start, reset, (const uint64_t[]){__VA_ARGS__, 0})

/* An append of one record; NULL text: a heartbeat. The chain goes on from what is stored. */
static inline struct wire_msg append_message(uint64_t term, uint64_t begin, const char *text,
                                             bool unit)
{
    static uint8_t bytes[4096];
    struct wire_msg m = message(WIRE_APPEND, term);
    struct storage_state st;

    m.append.begin = begin;
    if (text == NULL) {
        return m;
    }
    storage.base.ops->state(&storage.base, &st);
    struct record r = {.term = {term},
                       .begin = begin,
                       .len_bytes = (uint32_t)strlen(text),
                       .flags = unit ? RECORD_UNIT_END : 0,
                       .payload_crc = crc32c_extend(0, text, strlen(text)),
                       .chain_crc = crc32c_extend(st.chain_crc, text, strlen(text))};
    record_encode_header(&r, bytes);
    memcpy(bytes + RECORD_HEADER_BYTES, text, r.len_bytes);
    m.data = bytes;
    m.data_size = RECORD_HEADER_BYTES + r.len_bytes;
    return m;
}

static inline void append(uint64_t term, uint64_t begin, const char *text, bool unit)
{
    struct wire_msg m = append_message(term, begin, text, unit);
    unsigned before = replies;

    ck_assert_int_eq(receive(&m), ERR_OK);
    ck_assert_msg(replies == before, "answered at once: %s", wire_type_name(reply.type));
}

static inline void flush(void)
{
    ck_assert_int_eq(acceptor_flush(acceptor, now), ERR_OK);
}

/* A leader of term 1 whose log begins at BEGIN has sent "abcde" and "fgh". */
static inline void lead_term_1(void)
{
    ck_assert(vote(1));
    ELECT(BEGIN, true, 1, BEGIN);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    append(1, BEGIN, "abcde", true);
    append(1, BEGIN + 5, "fgh", true);
    flush();
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    (void)fake_storage_trace(&storage);
}

static inline struct storage_state state(void)
{
    struct storage_state st;

    storage.base.ops->state(&storage.base, &st);
    return st;
}

static inline void ask_read(uint64_t term, uint64_t from, uint32_t max)
{
    struct wire_msg m = message(WIRE_READ, term);
    m.read.from = from;
    m.read.max_bytes = max;
    say(&m);
}

static inline struct wire_msg snap_begin_message(uint64_t term, uint64_t offset, const char *rdb)
{
    struct wire_msg m = message(WIRE_SNAP_BEGIN, term);

    m.channel = WIRE_SNAPSHOT;
    m.snap_begin.info = (struct snapshot_info){.offset = offset,
                                               .term = {term},
                                               .size_bytes = strlen(rdb),
                                               .crc = crc32c_extend(0, rdb, strlen(rdb))};
    return m;
}

static inline void snap_write(uint64_t term, uint64_t offset, uint64_t at, const char *bytes)
{
    struct wire_msg m = message(WIRE_SNAP_WRITE, term);
    m.snap_write = (struct wire_snap_write){offset, at};
    m.data = (const uint8_t *)bytes;
    m.data_size = strlen(bytes);
    say(&m);
}

static inline void snap_commit(uint64_t term, uint64_t offset)
{
    struct wire_msg m = message(WIRE_SNAP_COMMIT, term);
    m.snap_commit.offset = offset;
    say(&m);
}

/* A whole one, of that log term. */
static inline void ship_snapshot(uint64_t term, uint64_t log_term, uint64_t offset, const char *rdb)
{
    struct wire_msg m = snap_begin_message(term, offset, rdb);

    m.snap_begin.info.term.n = log_term;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    snap_write(term, offset, 0, rdb);
    snap_commit(term, offset);
    ck_assert_int_eq(reply.type, WIRE_SNAP_COMMIT_REPLY);
}

static inline void snap_latest(uint64_t limit)
{
    struct wire_msg m = message(WIRE_SNAP_LATEST, 0);
    m.snap_latest.limit = limit;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_LATEST_REPLY);
}

#endif
