/* The acceptor's rules, one by one (DESIGN §5): what it promises, what it refuses, and in which
 * order it writes. */
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

static void on_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
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

static int open_acceptor(const char *node_id)
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

static void setup(void)
{
    now = 5000 * CLOCK_NS_PER_MS;
    replies = 0;
    fake_storage_init(&storage);
    ck_assert_int_eq(open_acceptor("node-1"), ERR_OK);
    (void)fake_storage_trace(&storage);
}

static void teardown(void)
{
    acceptor_destroy(acceptor);
    acceptor = NULL;
    fake_storage_fini(&storage);
    free(reply_bytes);
    reply_bytes = NULL;
}

/* The process dies, losing what was not flushed, and comes back. */
static void restart(void)
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
static struct conf conf_of(uint64_t term, uint64_t generation)
{
    return (struct conf){.id = {{term}, generation},
                         .now = {3,
                                 {{"node-1", {{1, 2, 3}}, "10.0.0.1:7001"},
                                  {"node-2", {{2}}, "10.0.0.2:7001"},
                                  {"node-3", {{3}}, "10.0.0.3:7001"}}}};
}

static struct wire_conf wire_conf_of(const struct conf *c)
{
    static struct buf bytes;

    buf_clear(&bytes);
    conf_encode(c, &bytes);
    return (struct wire_conf){.bytes = buf_head(&bytes), .size = bytes.len};
}

static struct wire_msg message(enum wire_type type, uint64_t term)
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

static int receive(const struct wire_msg *m)
{
    struct acceptor_reply_to to = {.link = 1, .id = m->seq};

    return acceptor_receive(acceptor, now, m, to);
}

static void say(const struct wire_msg *m)
{
    unsigned before = replies;

    ck_assert_int_eq(receive(m), ERR_OK);
    ck_assert_uint_eq(replies, before + 1);
}

static void expect_refused(enum wire_refusal code)
{
    ck_assert_msg(reply.type == WIRE_REFUSED, "it answers %s", wire_type_name(reply.type));
    ck_assert_msg(reply.refused.code == (uint32_t)code, "refused: %s", reply.refused.reason);
}

/* The candidate goes by the configuration that it finds, or by the first. */
static struct wire_msg vote_message(uint64_t term)
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

static bool vote(uint64_t term)
{
    struct wire_msg m = vote_message(term);

    say(&m);
    ck_assert_int_eq(reply.type, WIRE_VOTE_REPLY);
    return reply.vote_reply.granted;
}

static void hello(uint64_t term)
{
    struct wire_msg m = message(WIRE_HELLO, term);

    m.hello.lease_ms = LEASE_MS;
    say(&m);
}

static struct wire_msg elected_message(uint64_t term)
{
    struct wire_msg m = message(WIRE_ELECTED, term);
    struct conf conf = conf_of(term, 2);

    m.elected.to = *acceptor_disk(acceptor);
    m.elected.conf = wire_conf_of(&conf);
    return m;
}

/* pairs of term and begin, ended by 0; the last term is the sender's. */
static void elect(uint64_t start, bool reset, const uint64_t *pairs)
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
static struct wire_msg append_message(uint64_t term, uint64_t begin, const char *text, bool unit)
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

static void append(uint64_t term, uint64_t begin, const char *text, bool unit)
{
    struct wire_msg m = append_message(term, begin, text, unit);
    unsigned before = replies;

    ck_assert_int_eq(receive(&m), ERR_OK);
    ck_assert_msg(replies == before, "answered at once: %s", wire_type_name(reply.type));
}

static void flush(void)
{
    ck_assert_int_eq(acceptor_flush(acceptor, now), ERR_OK);
}

/* A leader of term 1 whose log begins at BEGIN has sent "abcde" and "fgh". */
static void lead_term_1(void)
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

static struct storage_state state(void)
{
    struct storage_state st;

    storage.base.ops->state(&storage.base, &st);
    return st;
}

/* --- votes ---------------------------------------------------------------------------------- */

/* A term is granted once, to whoever asks first with a higher one; also after a restart. */
START_TEST(vote_is_strict)
{
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.term.n, 3);
    ck_assert(!vote(3));
    ck_assert(!vote(2));
    ck_assert_uint_eq(reply.term.n, 3);
    restart();
    ck_assert(!vote(3));
    ck_assert(vote(4));
}
END_TEST

/* What was appended is flushed before the vote tells where the log ends; the promise is durable
 * before the answer. */
START_TEST(vote_flushes_first)
{
    lead_term_1();
    append(1, BEGIN + 8, "more", true);
    (void)fake_storage_trace(&storage);
    ck_assert(vote(2));
    ck_assert_str_eq(fake_storage_trace(&storage), "flush meta ");
    ck_assert_uint_eq(reply.vote_reply.log.flush_off, BEGIN + 12);
    ck_assert_uint_eq(reply.vote_reply.log.unit_off, BEGIN + 12);
    struct history h;
    ck_assert_int_eq(
        history_decode(reply.vote_reply.history.bytes, reply.vote_reply.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 1);
    /* The append was of a leader that is over now: it is not acknowledged any more. */
    unsigned before = replies;
    flush();
    ck_assert_uint_eq(replies, before);
}
END_TEST

/* The history told is that of the whole units which are here, not what Elected promised. */
START_TEST(vote_tells_what_is_here)
{
    lead_term_1();
    ELECT(BEGIN + 8, false, 1, BEGIN, 5, BEGIN + 50); /* a leader that is far ahead */
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 2);
    ck_assert(vote(6));
    struct history h;
    ck_assert_int_eq(
        history_decode(reply.vote_reply.history.bytes, reply.vote_reply.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 1);
    ck_assert_uint_eq(reply.vote_reply.log.unit_off, BEGIN + 8);
}
END_TEST

/* No answer leaves when the disk fails, and the acceptor is dead from then on. */
START_TEST(disk_failure_is_final)
{
    lead_term_1();
    struct wire_msg m = vote_message(2);
    unsigned before = replies;
    storage.fail_at = 1;
    ck_assert_int_eq(receive(&m), ERR_IO);
    ck_assert_int_eq(receive(&m), ERR_IO);
    ck_assert_int_eq(acceptor_flush(acceptor, now), ERR_IO);
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_IO);
    ck_assert_uint_eq(acceptor_next_tick_ns(acceptor), UINT64_MAX);
    ck_assert_uint_eq(replies, before);
}
END_TEST

/* --- leases --------------------------------------------------------------------------------- */

/* Elapsed counts from the last accepted append; from the start of the process before there is one;
 * a refused one does not count. */
START_TEST(elapsed_since_the_last_accept)
{
    now += 300;
    ck_assert(vote(1));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 300);
    ELECT(BEGIN, true, 1, BEGIN);
    now += 50;
    append(1, BEGIN, NULL, false); /* a heartbeat */
    flush();
    now += 20;
    struct wire_msg gap = append_message(1, BEGIN + 7, NULL, false);
    say(&gap);
    ck_assert(reply.append_reply.gap);
    now += 5;
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 25);
    now += 1000;
    restart();
    now += 7;
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 7);
}
END_TEST

/* Release gives the lease back; nothing of that leader is taken any more; another term's is. */
START_TEST(release)
{
    lead_term_1();
    struct wire_msg stale = message(WIRE_RELEASE, 1), good = message(WIRE_RELEASE, 1);
    stale.session = session - 1;
    say(&stale);
    expect_refused(WIRE_REFUSED_SESSION);
    say(&good);
    ck_assert_int_eq(reply.type, WIRE_RELEASE_REPLY);
    struct wire_msg late = append_message(1, BEGIN + 8, NULL, false);
    say(&late);
    expect_refused(WIRE_REFUSED_ELECTED);
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, WIRE_NEVER);
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, WIRE_NEVER);
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    append(2, BEGIN + 8, NULL, false);
    flush();
    now += 4;
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 4);
}
END_TEST

/* A proxy says who it is and is told how things stand; again at once when the leader's link closes,
 * when it releases, and when another is accepted. */
START_TEST(watch_is_told_of_changes)
{
    lead_term_1();
    struct wire_msg m = message(WIRE_WATCH, 0);
    struct acceptor_reply_to other = {.link = WATCH_LINK, .id = m.seq};
    struct roster roster;
    m.watch.lease_ms = LEASE_MS;
    memcpy(m.watch.name, "proxy2", 7);
    memcpy(m.watch.address, "h:2", 4);
    ck_assert_int_eq(acceptor_receive(acceptor, now, &m, other), ERR_OK);
    ck_assert_uint_eq(told_count, 1);
    ck_assert_uint_ne(told.heard_ns, WIRE_NEVER);
    ck_assert_uint_eq(told.leader_term.n, 1);

    acceptor_link_closed(acceptor, now, 7); /* a stranger's */
    ck_assert_uint_eq(told_count, 1);
    acceptor_link_closed(acceptor, now, 1);
    ck_assert_uint_eq(told_count, 2);
    ck_assert_uint_eq(told.heard_ns, WIRE_NEVER);

    ck_assert(vote(2)); /* the old lease runs on, all the same */
    ck_assert_uint_ne(reply.vote_reply.elapsed_ns, WIRE_NEVER);
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    ck_assert_uint_eq(told_count, 3);
    ck_assert_uint_eq(told.leader_term.n, 2);
    ck_assert_uint_eq(told.engine, WIRE_ENGINE(7, 2, 0)); /* it marks the log from now on */
    struct wire_msg leave = message(WIRE_RELEASE, 2);
    memcpy(leave.release.heir, "h:2", 4);
    say(&leave);
    ck_assert_uint_eq(told_count, 4);
    ck_assert_str_eq(told.heir, "h:2");
    ck_assert_uint_eq(told.heard_ns, WIRE_NEVER);

    m = message(WIRE_WATCH, 0);
    say(&m);
    expect_refused(WIRE_REFUSED_LEASE);
    m.watch.lease_ms = LEASE_MS;
    say(&m);
    ck_assert_int_eq(
        roster_decode(reply.watch_reply.roster.bytes, reply.watch_reply.roster.size, now, &roster),
        ERR_OK);
    ck_assert_uint_eq(roster.count, 2);
    ck_assert_str_eq(roster.entries[0].name, "proxy2");
    acceptor_link_closed(acceptor, now, WATCH_LINK);
    say(&m);
    ck_assert_int_eq(
        roster_decode(reply.watch_reply.roster.bytes, reply.watch_reply.roster.size, now, &roster),
        ERR_OK);
    ck_assert_uint_eq(roster.count, 1); /* the other has left */
}
END_TEST

/* A pre-vote tells when a leader or a winner was heard; asking changes nothing. */
START_TEST(hello_tells)
{
    hello(0);
    ck_assert_int_eq(reply.type, WIRE_HELLO_REPLY);
    ck_assert_str_eq(reply.hello_reply.node_id, "node-1");
    ck_assert(reply.hello_reply.log.empty);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, WIRE_NEVER);
    ck_assert_uint_eq(reply.hello_reply.snapshot, WIRE_NO_SNAPSHOT);
    lead_term_1();
    now += 30;
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, 30);
    ck_assert_str_eq(reply.hello_reply.leader, "leader");
    ck_assert_uint_eq(reply.hello_reply.log.flush_off, BEGIN + 8);
    ck_assert_uint_eq(reply.term.n, 1);
    hello(1); /* who won and brings its Redis up keeps others from campaigning */
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, 0);
    restart();
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, WIRE_NEVER);
    ck_assert_uint_eq(reply.hello_reply.elapsed_ns, 0);
}
END_TEST

/* --- elected -------------------------------------------------------------------------------- */

/* An empty log begins where the leader says; claims are dropped first, made last. */
START_TEST(elected_begins_a_log)
{
    ck_assert(vote(1));
    (void)fake_storage_trace(&storage);
    ELECT(BEGIN, true, 1, BEGIN);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_str_eq(fake_storage_trace(&storage), "meta reset meta ");
    ck_assert_uint_eq(reply.elected_reply.log.flush_off, BEGIN);
    ck_assert(!reply.elected_reply.log.empty);
}
END_TEST

/* The common point is found here; another one is refused and changes nothing. */
START_TEST(elected_believes_no_start)
{
    lead_term_1();
    ck_assert(vote(2));
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 8);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ck_assert_uint_eq(state().flush_off, BEGIN + 8);
    ELECT(BEGIN + 8, true, 1, BEGIN, 2, BEGIN + 8);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 5);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(state().flush_off, BEGIN + 5);
}
END_TEST

/* A late Elected of the same leader, after appends, cuts nothing, and the stream goes on. */
START_TEST(elected_comes_twice)
{
    lead_term_1();
    ELECT(BEGIN, false, 1, BEGIN);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ck_assert_uint_eq(state().flush_off, BEGIN + 8);
    append(1, BEGIN + 8, "ij", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.write_off, BEGIN + 10);
}
END_TEST

/* The log is cut durably before the history is adopted: after a crash in between, the old history
 * stands over the cut log. */
START_TEST(elected_cuts_first)
{
    lead_term_1();
    (void)vote(2);
    (void)fake_storage_trace(&storage);
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 5);
    ck_assert_str_eq(fake_storage_trace(&storage), "meta truncate meta ");

    teardown();
    setup();
    lead_term_1();
    (void)vote(2);
    storage.fail_at = 3; /* the second meta */
    struct history h = *acceptor_history(acceptor);
    struct replid replid = {{0}};
    struct buf bytes = BUF_INIT;
    ck_assert_int_eq(history_append(&h, (struct log_term){2}, BEGIN + 5, &replid), ERR_OK);
    history_encode(&h, &bytes);
    struct wire_msg m = elected_message(2);
    m.elected.start = BEGIN + 5;
    m.elected.history = (struct wire_history){buf_head(&bytes), bytes.len};
    ck_assert_int_eq(receive(&m), ERR_IO);
    buf_release(&bytes);
    restart();
    ck_assert_uint_eq(state().flush_off, BEGIN + 5);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 1);
    ck_assert_uint_eq(acceptor_term(acceptor).n, 2);
}
END_TEST

/* Nothing that is known to be committed is cut, whoever asks. */
START_TEST(elected_never_below_commit)
{
    lead_term_1();
    struct wire_msg m = append_message(1, BEGIN + 8, NULL, false);
    m.append.commit = BEGIN + 8;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_uint_eq(acceptor_commit(acceptor), BEGIN + 8);
    (void)vote(2);
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 5);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ELECT(50, true, 2, 50);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ck_assert_uint_eq(state().flush_off, BEGIN + 8);
}
END_TEST

/* A leader that this node did not vote for is obeyed, and its term is kept. */
START_TEST(elected_raises_the_term)
{
    ELECT(BEGIN, true, 9, BEGIN);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    restart();
    ck_assert(!vote(9));
    struct wire_msg m = elected_message(8);
    struct buf bytes = BUF_INIT;
    struct history h = {0};
    struct replid replid = {{0}};
    ck_assert_int_eq(history_append(&h, (struct log_term){8}, BEGIN, &replid), ERR_OK);
    history_encode(&h, &bytes);
    m.elected.history = (struct wire_history){buf_head(&bytes), bytes.len};
    m.elected.start = BEGIN;
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    ck_assert_uint_eq(reply.term.n, 9);
    m.term.n = m.conf.term.n = 10; /* the history must end with the sender's own term */
    say(&m);
    expect_refused(WIRE_REFUSED_BAD);
    buf_release(&bytes);
}
END_TEST

/* A log that never was anybody's but a lost leader's is thrown away. */
START_TEST(elected_resets_what_is_foreign)
{
    lead_term_1();
    ELECT(50, true, 4, 50);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(state().begin, 50);
    ck_assert_uint_eq(state().write_off, 50);
    append(4, 50, "xyz", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, 53);
}
END_TEST

/* An empty node takes a log from its begin although the history has forgotten the terms there;
 * until it has come to where that begins it has no position. One that has a log of its own does
 * not. */
START_TEST(empty_log_before_a_trimmed_history)
{
    (void)vote(9);
    ELECT(BEGIN, true, 7, BEGIN + 3, 9, BEGIN + 20);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    struct wire_msg m = append_message(9, BEGIN, "abc", true);
    struct record r;
    ck_assert_int_eq(record_decode_header(m.data, m.data_size, &r), ERR_OK);
    r.term.n = 2;
    record_encode_header(&r, (uint8_t *)(uintptr_t)m.data);
    ck_assert(vote(10));
    ck_assert(!reply.vote_reply.log.empty);
    struct history h;
    ck_assert_int_eq(
        history_decode(reply.vote_reply.history.bytes, reply.vote_reply.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 0);
    ELECT(BEGIN, false, 7, BEGIN + 3, 10, BEGIN + 20);
    m.term.n = m.conf.term.n = 10;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 3);
    ck_assert(vote(11));
    ck_assert_int_eq(
        history_decode(reply.vote_reply.history.bytes, reply.vote_reply.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 1);
    ELECT(BEGIN, true, 11, BEGIN + 10);
    expect_refused(WIRE_REFUSED_DIVERGED);
}
END_TEST

/* A crash right behind the reset leaves a node that claims nothing. */
START_TEST(reset_claims_nothing)
{
    lead_term_1();
    struct history h = {0};
    struct replid replid = {{0}};
    struct buf bytes = BUF_INIT;
    ck_assert_int_eq(history_append(&h, (struct log_term){4}, 500, &replid), ERR_OK);
    history_encode(&h, &bytes);
    struct wire_msg m = elected_message(4);
    m.elected.reset = true;
    m.elected.start = 500;
    m.elected.history = (struct wire_history){buf_head(&bytes), bytes.len};
    storage.fail_at = 2;
    storage.fail_after = true;
    ck_assert_int_eq(receive(&m), ERR_IO);
    buf_release(&bytes);
    restart();
    ck_assert_uint_eq(state().begin, 500);
    ck_assert(vote(5));
    ck_assert(reply.vote_reply.log.empty);
}
END_TEST

/* --- appends -------------------------------------------------------------------------------- */

/* One flush for all that was queued, then one acknowledgement that names the last. */
START_TEST(append_is_acknowledged_after_the_flush)
{
    (void)vote(1);
    ELECT(BEGIN, true, 1, BEGIN);
    unsigned flushes = storage.flush_count;
    append(1, BEGIN, "abc", true);
    append(1, BEGIN + 3, "def", true);
    append(1, BEGIN + 6, NULL, false);
    ck_assert_uint_eq(state().flush_off, BEGIN);
    flush();
    ck_assert_uint_eq(storage.flush_count, flushes + 1);
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    ck_assert(!reply.append_reply.gap);
    ck_assert_uint_eq(reply.seq, seq);
    ck_assert_uint_eq(reply.append_reply.write_off, BEGIN + 6);
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 6);
    unsigned before = replies;
    flush();
    ck_assert_uint_eq(replies, before);
    ck_assert_uint_eq(storage.flush_count, flushes + 1);
}
END_TEST

START_TEST(append_needs_a_good_flush)
{
    (void)vote(1);
    ELECT(BEGIN, true, 1, BEGIN);
    append(1, BEGIN, "abc", true);
    unsigned before = replies;
    storage.fail_at = 1;
    ck_assert_int_eq(acceptor_flush(acceptor, now), ERR_IO);
    ck_assert_uint_eq(replies, before);
    restart();
    ck_assert_uint_eq(state().write_off, BEGIN);
}
END_TEST

/* Only of the elected leader of this very term, in this life of the node. */
START_TEST(append_needs_elected)
{
    struct wire_msg m = append_message(1, BEGIN, NULL, false);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    lead_term_1();
    m = append_message(2, BEGIN + 8, NULL, false);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    ck_assert(vote(3));
    m = append_message(1, BEGIN + 8, NULL, false);
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    ck_assert_uint_eq(reply.term.n, 3);
    ELECT(BEGIN + 8, false, 1, BEGIN, 3, BEGIN + 8);
    restart();
    m = append_message(3, BEGIN + 8, NULL, false);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
}
END_TEST

/* Not before and not behind the end: the answer says where the end is. */
START_TEST(append_begins_at_the_end)
{
    lead_term_1();
    for (uint64_t begin = BEGIN; begin < BEGIN + 20; begin++) {
        if (begin != BEGIN + 8) {
            struct wire_msg m = append_message(1, begin, "xyz", true);
            say(&m);
            ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
            ck_assert(reply.append_reply.gap);
            ck_assert_uint_eq(reply.append_reply.write_off, BEGIN + 8);
        }
    }
    ck_assert_uint_eq(state().write_off, BEGIN + 8);
}
END_TEST

static void expect_bad(struct wire_msg *m, struct record r)
{
    record_encode_header(&r, (uint8_t *)(uintptr_t)m->data);
    say(m);
    expect_refused(WIRE_REFUSED_BAD);
    ck_assert_uint_eq(state().write_off, BEGIN + 8);
}

/* A record that is not what its header says, or not of the term that the history has there. */
START_TEST(append_checks_records)
{
    struct record good, r;

    lead_term_1();
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 20); /* bytes up to 20 are of term 1 */
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    struct wire_msg m = append_message(2, BEGIN + 8, "0123456789ab", true);
    ck_assert_int_eq(record_decode_header(m.data, m.data_size, &good), ERR_OK);
    expect_bad(&m, good); /* of term 2, too early */
    good.term.n = 1;
    r = good;
    r.payload_crc++;
    expect_bad(&m, r);
    r = good;
    r.chain_crc++;
    expect_bad(&m, r);
    r = good;
    r.begin++;
    expect_bad(&m, r);
    r = good;
    r.flags |= RECORD_IDLE;
    expect_bad(&m, r);
    struct wire_msg far = append_message(2, BEGIN + 8, "0123456789abc", true);
    ck_assert_int_eq(record_decode_header(far.data, far.data_size, &r), ERR_OK);
    r.term.n = 1;
    expect_bad(&far, r); /* reaches into the next term */
    m = append_message(2, BEGIN + 8, "0123456789ab", true);
    record_encode_header(&good, (uint8_t *)(uintptr_t)m.data);
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 20);
}
END_TEST

/* A part of a unit is kept, but doesn't count: not in the acknowledgement, not in a vote. */
START_TEST(parts_do_not_count)
{
    lead_term_1();
    append(1, BEGIN + 8, "part", false);
    flush();
    ck_assert_uint_eq(reply.append_reply.write_off, BEGIN + 12);
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 8);
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.flush_off, BEGIN + 12);
    ck_assert_uint_eq(reply.vote_reply.log.unit_off, BEGIN + 8);
}
END_TEST

/* A full disk refuses cleanly and gives no lease; later it goes on. */
START_TEST(full_disk)
{
    lead_term_1();
    storage.fail_at = 1;
    storage.fail_with = ERR_NO_SPACE;
    now += 100;
    struct wire_msg m = append_message(1, BEGIN + 8, "xyz", true);
    say(&m);
    expect_refused(WIRE_REFUSED_SPACE);
    ck_assert_uint_eq(reply.refused.write_off, BEGIN + 8);
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.elapsed_ns, 100);
    append(1, BEGIN + 8, "xyz", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 11);
}
END_TEST

/* The commit offset is what the leader says, as far as it is here; the log remembers it. */
START_TEST(commit_is_learnt)
{
    lead_term_1();
    struct wire_msg m = append_message(1, BEGIN + 8, "xyz", true);
    m.append.commit = BEGIN + 100;
    ck_assert_int_eq(receive(&m), ERR_OK);
    ck_assert_uint_eq(acceptor_commit(acceptor), 0);
    flush();
    ck_assert_uint_eq(acceptor_commit(acceptor), BEGIN + 11);
    now += 200 * CLOCK_NS_PER_MS;
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_OK);
    restart();
    ck_assert_uint_eq(acceptor_commit(acceptor), BEGIN + 11);
}
END_TEST

/* A while after the last append a marker is written, once, that records what was flushed. */
START_TEST(idle_marker)
{
    ck_assert_uint_eq(acceptor_next_tick_ns(acceptor), UINT64_MAX);
    lead_term_1();
    uint64_t due = acceptor_next_tick_ns(acceptor);
    ck_assert_uint_le(due, now + 200 * CLOCK_NS_PER_MS);
    now = due - 1;
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_OK);
    ck_assert_str_eq(fake_storage_trace(&storage), "");
    now = due;
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_OK);
    ck_assert_str_eq(fake_storage_trace(&storage), "append flush ");
    const struct record *marker = &storage.records[storage.count - 1].r;
    ck_assert_uint_ne(marker->flags & RECORD_IDLE, 0);
    ck_assert_uint_eq(marker->len_bytes, 0);
    ck_assert_uint_eq(marker->flushed, BEGIN + 8);
    ck_assert_uint_eq(acceptor_next_tick_ns(acceptor), UINT64_MAX);
    append(1, BEGIN + 8, "ij", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 10);
}
END_TEST

/* The marker bears the term of the last byte, although a later leader was accepted: should that one
 * not prevail, bytes of the former may still follow here. */
START_TEST(idle_marker_of_the_last_byte)
{
    lead_term_1();
    ELECT(BEGIN + 8, false, 1, BEGIN, 3, BEGIN + 8);
    now = acceptor_next_tick_ns(acceptor);
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_OK);
    ck_assert_uint_ne(storage.records[storage.count - 1].r.flags & RECORD_IDLE, 0);
    ck_assert_uint_eq(storage.records[storage.count - 1].r.term.n, 1);
    ELECT(BEGIN + 8, false, 1, BEGIN, 4, BEGIN + 11);
    struct wire_msg m = append_message(4, BEGIN + 8, "ijk", true);
    struct record r;
    ck_assert_int_eq(record_decode_header(m.data, m.data_size, &r), ERR_OK);
    r.term.n = 1;
    record_encode_header(&r, (uint8_t *)(uintptr_t)m.data);
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 11);
}
END_TEST

/* A log that lags behind all that the leader's history still knows gets no marker: no term fits. */
START_TEST(no_idle_marker_of_an_unknown_term)
{
    lead_term_1();
    ELECT(BEGIN + 8, false, 1, BEGIN, 3, BEGIN + 20);
    ELECT(BEGIN + 8, false, 3, BEGIN + 20, 4, BEGIN + 30);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    struct wire_msg m = append_message(4, BEGIN + 8, "ij", true);
    struct record r;
    ck_assert_int_eq(record_decode_header(m.data, m.data_size, &r), ERR_OK);
    r.term.n = 1;
    record_encode_header(&r, (uint8_t *)(uintptr_t)m.data);
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    (void)fake_storage_trace(&storage);
    now = acceptor_next_tick_ns(acceptor);
    ck_assert_int_eq(acceptor_tick(acceptor, now), ERR_OK);
    ck_assert_str_eq(fake_storage_trace(&storage), "");
    ck_assert_uint_eq(acceptor_next_tick_ns(acceptor), UINT64_MAX);
}
END_TEST

/* A leader that would cut inside a record is not of this log: refused, not obeyed, not fatal. */
START_TEST(cut_inside_a_record)
{
    lead_term_1();
    (void)vote(2);
    ELECT(BEGIN + 2, false, 1, BEGIN, 2, BEGIN + 2);
    expect_refused(WIRE_REFUSED_DIVERGED);
    ck_assert_uint_eq(state().flush_off, BEGIN + 8);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 1);
}
END_TEST

/* --- sessions ------------------------------------------------------------------------------- */

/* What comes late over an older link has no effect, from the greeting of the newer one on. */
START_TEST(sessions)
{
    lead_term_1();
    session++;
    hello(1);
    session--;
    struct wire_msg m = append_message(1, BEGIN + 8, "xyz", true);
    say(&m);
    expect_refused(WIRE_REFUSED_SESSION);
    ELECT(BEGIN + 8, false, 1, BEGIN);
    expect_refused(WIRE_REFUSED_SESSION);
    hello(1);
    expect_refused(WIRE_REFUSED_SESSION);
    session++;
    m = append_message(1, BEGIN + 8, "xyz", true);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    ELECT(BEGIN + 8, false, 1, BEGIN);
    append(1, BEGIN + 8, "xyz", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 11);
    hello(0); /* somebody else's question */
    append(1, BEGIN + 11, "xyz", true);
}
END_TEST

/* Another cluster, log, or lease length is refused by name; answers are ignored. */
START_TEST(strangers)
{
    struct wire_msg m = vote_message(1);
    m.cluster_id[0] = 8;
    say(&m);
    expect_refused(WIRE_REFUSED_CLUSTER);
    ck_assert_int_eq(reply.cluster_id[0], 7);
    m.cluster_id[0] = 7;
    m.log_id = 2;
    say(&m);
    expect_refused(WIRE_REFUSED_LOG);
    m.log_id = 1;
    m.vote.lease_ms++;
    say(&m);
    expect_refused(WIRE_REFUSED_LEASE);
    m = message(WIRE_HELLO, 0);
    m.hello.lease_ms = 5;
    say(&m);
    expect_refused(WIRE_REFUSED_LEASE);
    m = message(WIRE_HELLO_REPLY, 0);
    unsigned before = replies;
    ck_assert_int_eq(receive(&m), ERR_OK);
    ck_assert_uint_eq(replies, before);
    ck_assert_str_eq(fake_storage_trace(&storage), "");
}
END_TEST

/* --- reads ---------------------------------------------------------------------------------- */

static void ask_read(uint64_t term, uint64_t from, uint32_t max)
{
    struct wire_msg m = message(WIRE_READ, term);
    m.read.from = from;
    m.read.max_bytes = max;
    say(&m);
}

/* Of its own term a proposer reads all that is durable; without one only what is committed. */
START_TEST(reads_are_fenced)
{
    lead_term_1();
    ask_read(0, BEGIN, 1000);
    ck_assert_int_eq(reply.type, WIRE_READ_REPLY);
    ck_assert_uint_eq(reply.data_size, 0);
    ask_read(1, BEGIN, 1000);
    ck_assert_uint_eq(reply.data_size, 2 * RECORD_HEADER_BYTES + 8);
    ck_assert_uint_eq(reply.read_reply.limit, BEGIN + 8);
    ask_read(1, BEGIN, 1);
    ck_assert_uint_eq(reply.data_size, RECORD_HEADER_BYTES + 5);
    ask_read(1, BEGIN + 6, 1000);
    ck_assert_uint_eq(reply.data_size, RECORD_HEADER_BYTES + 3);
    ask_read(1, BEGIN + 8, 1000);
    ck_assert_uint_eq(reply.data_size, 0);
    ask_read(2, BEGIN, 1000);
    expect_refused(WIRE_REFUSED_TERM);
    ask_read(1, BEGIN - 1, 1000);
    expect_refused(WIRE_REFUSED_NOT_FOUND);

    struct wire_msg m = append_message(1, BEGIN + 8, NULL, false);
    m.append.commit = BEGIN + 5;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ask_read(0, BEGIN, 1000);
    ck_assert_uint_eq(reply.data_size, RECORD_HEADER_BYTES + 5);
    ck_assert_uint_eq(reply.read_reply.limit, BEGIN + 5);
    (void)vote(2);
    ask_read(1, BEGIN, 1000);
    expect_refused(WIRE_REFUSED_TERM);
    storage.read_rotten = true;
    ask_read(2, BEGIN, 1000);
    expect_refused(WIRE_REFUSED_CORRUPT);
}
END_TEST

/* --- a rotten tail -------------------------------------------------------------------------- */

/* A node that may have lost what it acknowledged says so in votes; cutting the garbage away doesn't
 * make it sure again, restarting doesn't, only being streamed past the leader's begin does. */
START_TEST(uncertain_until_streamed_past)
{
    lead_term_1();
    free(storage.records[--storage.count].payload); /* "fgh" rots */
    storage.flushed = storage.count;
    storage.uncertain_to = BEGIN + 8;
    restart();
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, BEGIN + 8);
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 20);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(storage.uncertain_to, 0);
    restart();
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, BEGIN + 20);
    ELECT(BEGIN + 5, false, 1, BEGIN, 3, BEGIN + 20);
    struct wire_msg m = append_message(3, BEGIN + 5, "0123456789abcde", true);
    struct record r;
    ck_assert_int_eq(record_decode_header(m.data, m.data_size, &r), ERR_OK);
    r.term.n = 1;
    record_encode_header(&r, (uint8_t *)(uintptr_t)m.data);
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert(vote(4));
    ck_assert_uint_eq(reply.vote_reply.log.unit_off, BEGIN + 20);
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, 0);
}
END_TEST

/* What it may have acknowledged to the very leader that comes again reaches up to the lost end. */
START_TEST(uncertain_in_the_same_term)
{
    lead_term_1();
    free(storage.records[--storage.count].payload);
    storage.flushed = storage.count;
    storage.uncertain_to = BEGIN + 8;
    restart();
    ELECT(BEGIN + 5, false, 1, BEGIN);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, BEGIN + 8);
    append(1, BEGIN + 5, "fgh", true);
    flush();
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, 0);
}
END_TEST

/* --- holes ---------------------------------------------------------------------------------- */

/* Records of "abcde" and "fgh", as another node keeps them. */
static struct wire_msg mend_message(uint64_t term, unsigned first, unsigned count)
{
    static const char *const texts[] = {"abcde", "fgh"};
    static uint8_t bytes[4096];
    struct wire_msg m = message(WIRE_MEND, term);
    uint64_t begin = BEGIN;
    uint32_t chain = 0;
    size_t size = 0;

    for (unsigned i = 0; i < first + count; i++) {
        size_t len = strlen(texts[i]);
        chain = crc32c_extend(chain, texts[i], len);
        struct record r = {.term = {1},
                           .begin = begin,
                           .len_bytes = (uint32_t)len,
                           .flags = RECORD_UNIT_END,
                           .payload_crc = crc32c_extend(0, texts[i], len),
                           .chain_crc = chain};
        if (i == first) {
            m.mend.from = begin;
        }
        if (i >= first) {
            record_encode_header(&r, bytes + size);
            memcpy(bytes + size + RECORD_HEADER_BYTES, texts[i], len);
            size += RECORD_HEADER_BYTES + len;
        }
        begin += len;
    }
    m.data = bytes;
    m.data_size = size;
    return m;
}

static void rot(uint64_t from, uint64_t to)
{
    storage.holes = (struct storage_holes){
        .count = 1, .from = from, .to = to, .next = from, .end = to, .found = 1};
}

/* A hole is told wherever the log is told; it lowers neither the log's end nor, once what was there
 * is known to be committed, what the node vouches for. */
START_TEST(hole_is_told)
{
    lead_term_1();
    rot(BEGIN, BEGIN + 5);
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.holes.to, BEGIN + 5);
    ck_assert_uint_eq(reply.vote_reply.log.unit_off, BEGIN + 8);
    ck_assert_uint_gt(reply.vote_reply.log.uncertain_to, BEGIN + 8); /* nothing is committed yet */
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    ck_assert_uint_eq(reply.elected_reply.log.holes.count, 1);
    struct wire_msg m = append_message(2, BEGIN + 8, NULL, false);
    m.append.commit = BEGIN + 8;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    ck_assert_uint_eq(reply.append_reply.holes.from, BEGIN);
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, 0);
    ck_assert_uint_eq(reply.vote_reply.log.flush_off, BEGIN + 8);
}
END_TEST

/* Reads in a hole are refused by name, those beside it are served. */
START_TEST(hole_is_not_read)
{
    lead_term_1();
    rot(BEGIN, BEGIN + 5);
    struct wire_msg m = message(WIRE_READ, 1);
    m.read.from = BEGIN + 2;
    m.read.max_bytes = 1000;
    say(&m);
    expect_refused(WIRE_REFUSED_CORRUPT);
    m = message(WIRE_READ, 1);
    m.read.from = BEGIN + 5;
    m.read.max_bytes = 1000;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_READ_REPLY);
}
END_TEST

/* The leader's bytes go to the storage, and the answer says what is missing next. */
START_TEST(mend)
{
    lead_term_1();
    rot(BEGIN, BEGIN + 8);
    struct wire_msg m = mend_message(1, 0, 1);
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_MEND_REPLY);
    ck_assert_uint_eq(reply.mend_reply.holes.next, BEGIN + 5);
    ck_assert_uint_eq(storage.mended.len, RECORD_HEADER_BYTES + 5);
    m = mend_message(1, 0, 1); /* twice: not wanted any more */
    say(&m);
    ck_assert_uint_eq(reply.mend_reply.holes.next, BEGIN + 5);
    ck_assert_uint_eq(storage.mended.len, RECORD_HEADER_BYTES + 5);
    m = mend_message(1, 1, 1);
    say(&m);
    ck_assert_uint_eq(reply.mend_reply.holes.count, 0);
    ck_assert_uint_eq(reply.mend_reply.holes.mended_bytes, 8);
    m = mend_message(1, 0, 2); /* late: there is no hole */
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_MEND_REPLY);
    ck_assert_uint_eq(storage.mended.len, 2 * RECORD_HEADER_BYTES + 8);
}
END_TEST

/* Only the accepted leader of the present term, in its present session, may mend. */
START_TEST(mend_is_fenced)
{
    lead_term_1();
    ck_assert(vote(2));
    rot(BEGIN, BEGIN + 8);
    struct wire_msg m = mend_message(1, 0, 2);
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    m = mend_message(2, 0, 2); /* not elected yet */
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    m = mend_message(2, 0, 2);
    m.session--;
    say(&m);
    expect_refused(WIRE_REFUSED_SESSION);
    m = mend_message(3, 0, 2);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    ck_assert_uint_eq(storage.mended.len, 0);
    m = mend_message(2, 0, 2);
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_MEND_REPLY);
    ck_assert_uint_eq(reply.mend_reply.holes.count, 0);
}
END_TEST

/* Forged bytes: of another term than the history has there, past the hole, with a wrong payload
 * checksum, none at all. Nothing of them reaches the storage. */
START_TEST(mend_checks_records)
{
    lead_term_1();
    for (int wrong = 0; wrong < 5; wrong++) {
        rot(BEGIN, wrong == 1 ? BEGIN + 5 : BEGIN + 8);
        struct wire_msg m = mend_message(1, 0, 2);
        uint8_t *bytes = mem_alloc(m.data_size);
        memcpy(bytes, m.data, m.data_size);
        m.data = bytes;
        struct record r;
        ck_assert_int_eq(record_decode_header(bytes, m.data_size, &r), ERR_OK);
        if (wrong == 0) {
            r.term.n = 7;
        } else if (wrong == 2) {
            bytes[RECORD_HEADER_BYTES + 1] ^= 1;
        } else if (wrong == 3) {
            m.data_size = 0;
        } else if (wrong == 4) {
            r.begin++;
        }
        record_encode_header(&r, bytes);
        say(&m);
        expect_refused(WIRE_REFUSED_BAD);
        ck_assert_uint_eq(storage.mended.len, 0);
        free(bytes);
    }
}
END_TEST

/* A record across the begin or the end of the hole goes to the storage alone: it shows that what is
 * around the hole is of another log. Together with another one, or wrong in itself, it does not. */
START_TEST(mend_across_the_edge)
{
    lead_term_1();
    for (int wrong = 0; wrong < 4; wrong++) {
        rot(wrong == 3 ? BEGIN : BEGIN + 2, wrong == 3 ? BEGIN + 3 : BEGIN + 8);
        struct wire_msg m = mend_message(1, 0, wrong == 1 ? 2 : 1);
        m.mend.from = storage.holes.next;
        if (wrong == 2) {
            ((uint8_t *)(uintptr_t)m.data)[RECORD_HEADER_BYTES] ^= 1;
        }
        size_t before = storage.mended.len;
        say(&m);
        bool passed = wrong == 0 || wrong == 3;
        ck_assert_uint_eq(storage.mended.len - before, passed ? RECORD_HEADER_BYTES + 5 : 0);
        expect_refused(WIRE_REFUSED_BAD);
    }
}
END_TEST

/* A full disk refuses the mend, and no more; any other error of the disk is the end. */
START_TEST(mend_on_a_bad_disk)
{
    lead_term_1();
    rot(BEGIN, BEGIN + 8);
    storage.fail_at = 1;
    storage.fail_with = ERR_NO_SPACE;
    struct wire_msg m = mend_message(1, 0, 1);
    say(&m);
    expect_refused(WIRE_REFUSED_SPACE);
    storage.fail_at = 1;
    storage.fail_with = ERR_IO;
    m = mend_message(1, 0, 1);
    ck_assert_int_eq(receive(&m), ERR_IO);
    m = mend_message(1, 0, 1);
    ck_assert_int_eq(receive(&m), ERR_IO);
}
END_TEST

/* A leader's common point lies inside of a hole: nothing says what ends there. The log is cut to
 * the hole's begin, and the node does not vouch for its end until it has been sent that part again.
 */
START_TEST(cut_in_a_hole)
{
    lead_term_1();
    struct wire_msg m = append_message(1, BEGIN + 8, "ijklm", true);
    m.append.commit = BEGIN + 8;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert(vote(3));
    rot(BEGIN + 5, BEGIN + 13);
    (void)fake_storage_trace(&storage);
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8, 3, BEGIN + 8);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_str_eq(fake_storage_trace(&storage), "meta meta truncate meta ");
    ck_assert_uint_eq(reply.elected_reply.log.flush_off, BEGIN + 5);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, BEGIN + 8);
    storage.holes = (struct storage_holes){0};
    restart();
    ck_assert(vote(4));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, BEGIN + 8);
    ELECT(BEGIN + 5, false, 1, BEGIN, 2, BEGIN + 8, 4, BEGIN + 8);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    struct wire_msg old = append_message(1, BEGIN + 5, "fgh", true);
    m = message(WIRE_APPEND, 4);
    m.append.begin = BEGIN + 5;
    m.data = old.data;
    m.data_size = old.data_size;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    ck_assert(vote(6));
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, 0);
}
END_TEST

/* All below the common point has rotted, with the header of the first segment: nothing is left, and
 * the log begins anew where it began, vouching for nothing. */
START_TEST(cut_where_all_is_rotten)
{
    lead_term_1();
    ck_assert(vote(3));
    rot(BEGIN, BEGIN + 13);
    storage.begin_rotten = true;
    (void)fake_storage_trace(&storage);
    ELECT(BEGIN + 5, false, 1, BEGIN, 3, BEGIN + 5);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_str_eq(fake_storage_trace(&storage), "meta meta truncate reset meta ");
    ck_assert_uint_eq(reply.elected_reply.log.flush_off, BEGIN);
    ck_assert_uint_ge(reply.elected_reply.log.uncertain_to, BEGIN + 5);
}
END_TEST

/* A term that no number of elections could have reached is neither promised nor followed: the ones
 * above it would be used up. */
START_TEST(far_terms_are_not_believed)
{
    lead_term_1();
    for (int i = 0; i < 2; i++) {
        uint64_t term = i == 0 ? 2 + TERM_JUMP_MAX : UINT64_MAX;
        struct wire_msg m = vote_message(term);
        say(&m);
        expect_refused(WIRE_REFUSED_BAD);
        ELECT(BEGIN + 8, false, 1, BEGIN, term, BEGIN + 8);
        expect_refused(WIRE_REFUSED_BAD);
    }
    append(1, BEGIN + 8, "xyz", true);
    flush();
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    ck_assert(vote(1 + TERM_JUMP_MAX));
}
END_TEST

/* No room for cutting the log, or for beginning it anew: refused, and tried again later. The term
 * is promised by then, the leader is not accepted. */
START_TEST(elected_on_a_full_disk)
{
    lead_term_1();
    for (uint64_t term = 2; term < 6; term += 2) {
        bool reset = term == 4;
        uint64_t from = reset ? 50 : BEGIN, start = reset ? 50 : BEGIN + 5;
        ck_assert(vote(term));
        for (int full = 1; full >= 0; full--) {
            storage.fail_at = full ? 2 : 0; /* behind the term */
            storage.fail_with = ERR_NO_SPACE;
            ELECT(start, reset, reset ? term - 1 : 1, from, term, start);
            ck_assert_int_eq(reply.type, full ? WIRE_REFUSED : WIRE_ELECTED_REPLY);
            if (full) {
                expect_refused(WIRE_REFUSED_SPACE);
                struct wire_msg m = append_message(term, start, NULL, false);
                say(&m);
                expect_refused(WIRE_REFUSED_ELECTED);
            }
        }
        ck_assert_uint_eq(reply.elected_reply.log.flush_off, start);
    }
}
END_TEST

/* What was lost with the end of the log, however much it may have been, does not matter any more to
 * the log of a leader whom others elected: what counts is below its begin. */
START_TEST(uncertain_is_bounded_by_the_leader)
{
    lead_term_1();
    storage.uncertain_to = BEGIN + 1000000;
    ck_assert(vote(2));
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 9);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, BEGIN + 9);
    ck_assert(vote(5));
    ELECT(BEGIN + 8, false, 1, BEGIN, 5, BEGIN + 8);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, 0);
}
END_TEST

/* --- snapshots ------------------------------------------------------------------------------ */

static struct wire_msg snap_begin_message(uint64_t term, uint64_t offset, const char *rdb)
{
    struct wire_msg m = message(WIRE_SNAP_BEGIN, term);

    m.channel = WIRE_SNAPSHOT;
    m.snap_begin.info = (struct snapshot_info){.offset = offset,
                                               .term = {term},
                                               .size_bytes = strlen(rdb),
                                               .crc = crc32c_extend(0, rdb, strlen(rdb))};
    return m;
}

static void snap_write(uint64_t term, uint64_t offset, uint64_t at, const char *bytes)
{
    struct wire_msg m = message(WIRE_SNAP_WRITE, term);
    m.snap_write = (struct wire_snap_write){offset, at};
    m.data = (const uint8_t *)bytes;
    m.data_size = strlen(bytes);
    say(&m);
}

static void snap_commit(uint64_t term, uint64_t offset)
{
    struct wire_msg m = message(WIRE_SNAP_COMMIT, term);
    m.snap_commit.offset = offset;
    say(&m);
}

static void snap_latest(uint64_t limit)
{
    struct wire_msg m = message(WIRE_SNAP_LATEST, 0);
    m.snap_latest.limit = limit;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_LATEST_REPLY);
}

/* Pieces in order, repeated ones are harmless; it shows once its log is there, and not before. */
START_TEST(snapshot_is_shipped)
{
    (void)vote(1);
    struct wire_msg m = snap_begin_message(1, BEGIN, "hello world");
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    snap_write(1, BEGIN, 0, "hello ");
    snap_write(1, BEGIN, 0, "hello ");
    ck_assert_int_eq(reply.type, WIRE_SNAP_WRITE_REPLY);
    ck_assert_uint_eq(reply.snap_reply.next, 6);
    snap_write(1, BEGIN, 9, "ld");
    ck_assert_uint_eq(reply.snap_reply.next, 6);
    snap_write(1, BEGIN, 6, "world");
    snap_commit(1, BEGIN);
    ck_assert_int_eq(reply.type, WIRE_SNAP_COMMIT_REPLY);
    snap_latest(UINT64_MAX);
    ck_assert(!reply.snap_latest_reply.found);
    ELECT(BEGIN, true, 1, BEGIN);
    snap_latest(UINT64_MAX);
    ck_assert(reply.snap_latest_reply.found);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN);
    snap_latest(BEGIN - 1);
    ck_assert(!reply.snap_latest_reply.found);
    m = message(WIRE_SNAP_READ, 0);
    m.snap_read = (struct wire_snap_read){BEGIN, 6, 3};
    say(&m);
    ck_assert_uint_eq(reply.data_size, 3);
    ck_assert_mem_eq(reply.data, "wor", 3);
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.snapshot, BEGIN);
}
END_TEST

/* The snapshot that the log began with is offered even when its term is older than all that the
 * history still knows; one of a candidate that never led is not. */
START_TEST(snapshot_of_a_forgotten_term)
{
    (void)vote(1);
    struct wire_msg m = snap_begin_message(1, BEGIN - 10, "b");
    say(&m);
    snap_write(1, BEGIN - 10, 0, "b");
    snap_commit(1, BEGIN - 10);
    (void)vote(2);
    m = snap_begin_message(2, BEGIN, "a");
    say(&m);
    snap_write(2, BEGIN, 0, "a");
    snap_commit(2, BEGIN);
    ELECT(BEGIN, true, 2, BEGIN);
    append(2, BEGIN, "abcdefgh", true);
    flush();
    ELECT(BEGIN + 8, false, 2, BEGIN, 3, BEGIN + 8);
    append(3, BEGIN + 8, "i", true);
    flush();
    ELECT(BEGIN + 9, false, 3, BEGIN + 8, 4, BEGIN + 9);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    snap_latest(UINT64_MAX);
    ck_assert(reply.snap_latest_reply.found);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN);
    snap_latest(BEGIN - 1);
    ck_assert(!reply.snap_latest_reply.found);
}
END_TEST

/* Nor is one at the same offset, if another term's leader began the log there. */
START_TEST(foreign_snapshot_of_a_forgotten_term)
{
    (void)vote(1);
    struct wire_msg m = snap_begin_message(1, BEGIN, "b");
    say(&m);
    snap_write(1, BEGIN, 0, "b");
    snap_commit(1, BEGIN);
    ELECT(BEGIN, true, 2, BEGIN);
    append(2, BEGIN, "abcdefgh", true);
    flush();
    ELECT(BEGIN + 8, false, 2, BEGIN, 3, BEGIN + 8);
    append(3, BEGIN + 8, "i", true);
    flush();
    ELECT(BEGIN + 9, false, 3, BEGIN + 8, 4, BEGIN + 9);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    snap_latest(UINT64_MAX);
    ck_assert(!reply.snap_latest_reply.found);
}
END_TEST

/* A snapshot of a log that never came to be is not offered. */
START_TEST(foreign_snapshot_is_hidden)
{
    (void)vote(1);
    struct wire_msg m = snap_begin_message(1, BEGIN, "a");
    say(&m);
    snap_write(1, BEGIN, 0, "a");
    snap_commit(1, BEGIN);
    (void)vote(2);
    m = snap_begin_message(2, BEGIN - 10, "b");
    say(&m);
    snap_write(2, BEGIN - 10, 0, "b");
    snap_commit(2, BEGIN - 10);
    ELECT(BEGIN - 10, true, 2, BEGIN - 10);
    snap_latest(UINT64_MAX);
    ck_assert(reply.snap_latest_reply.found);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN - 10);
}
END_TEST

/* Shipping is fenced by term and session; a wrong checksum is told. */
START_TEST(snapshot_is_fenced)
{
    (void)vote(2);
    struct wire_msg m = snap_begin_message(1, BEGIN, "a");
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    snap_write(2, BEGIN, 0, "a");
    expect_refused(WIRE_REFUSED_SESSION);
    m = snap_begin_message(2, BEGIN, "a");
    say(&m);
    session++;
    snap_write(2, BEGIN, 0, "a");
    expect_refused(WIRE_REFUSED_SESSION);
    session--;
    snap_write(2, BEGIN, 0, "x");
    snap_commit(2, BEGIN);
    expect_refused(WIRE_REFUSED_CORRUPT);
    (void)vote(3);
    snap_commit(2, BEGIN);
    expect_refused(WIRE_REFUSED_TERM);
}
END_TEST

/* --- whose disk it is ----------------------------------------------------------------------- */

START_TEST(disk_of_another)
{
    lead_term_1();
    acceptor_destroy(acceptor);
    acceptor = NULL;
    ck_assert_int_eq(open_acceptor("node-2"), ERR_REFUSED);
    ck_assert_int_eq(open_acceptor(""), ERR_INVALID);
    storage.meta_rotten = true;
    ck_assert_int_eq(open_acceptor("node-1"), ERR_CORRUPT);
    storage.meta_rotten = storage.has_meta = false; /* lost, but the log is there */
    ck_assert_int_eq(open_acceptor("node-1"), ERR_CORRUPT);
}
END_TEST

static void add_tests(TCase *tc)
{
    tcase_add_test(tc, vote_is_strict);
    tcase_add_test(tc, vote_flushes_first);
    tcase_add_test(tc, vote_tells_what_is_here);
    tcase_add_test(tc, disk_failure_is_final);
    tcase_add_test(tc, elapsed_since_the_last_accept);
    tcase_add_test(tc, release);
    tcase_add_test(tc, watch_is_told_of_changes);
    tcase_add_test(tc, hello_tells);
    tcase_add_test(tc, elected_begins_a_log);
    tcase_add_test(tc, elected_believes_no_start);
    tcase_add_test(tc, elected_comes_twice);
    tcase_add_test(tc, elected_cuts_first);
    tcase_add_test(tc, elected_never_below_commit);
    tcase_add_test(tc, elected_raises_the_term);
    tcase_add_test(tc, elected_resets_what_is_foreign);
    tcase_add_test(tc, reset_claims_nothing);
    tcase_add_test(tc, empty_log_before_a_trimmed_history);
    tcase_add_test(tc, append_is_acknowledged_after_the_flush);
    tcase_add_test(tc, append_needs_a_good_flush);
    tcase_add_test(tc, append_needs_elected);
    tcase_add_test(tc, append_begins_at_the_end);
    tcase_add_test(tc, append_checks_records);
    tcase_add_test(tc, parts_do_not_count);
    tcase_add_test(tc, full_disk);
    tcase_add_test(tc, commit_is_learnt);
    tcase_add_test(tc, idle_marker);
    tcase_add_test(tc, idle_marker_of_the_last_byte);
    tcase_add_test(tc, no_idle_marker_of_an_unknown_term);
    tcase_add_test(tc, cut_inside_a_record);
    tcase_add_test(tc, sessions);
    tcase_add_test(tc, strangers);
    tcase_add_test(tc, reads_are_fenced);
    tcase_add_test(tc, uncertain_until_streamed_past);
    tcase_add_test(tc, uncertain_in_the_same_term);
    tcase_add_test(tc, uncertain_is_bounded_by_the_leader);
    tcase_add_test(tc, cut_in_a_hole);
    tcase_add_test(tc, far_terms_are_not_believed);
    tcase_add_test(tc, elected_on_a_full_disk);
    tcase_add_test(tc, cut_where_all_is_rotten);
    tcase_add_test(tc, mend_on_a_bad_disk);
    tcase_add_test(tc, mend_checks_records);
    tcase_add_test(tc, mend_across_the_edge);
    tcase_add_test(tc, mend_is_fenced);
    tcase_add_test(tc, mend);
    tcase_add_test(tc, hole_is_not_read);
    tcase_add_test(tc, hole_is_told);
    tcase_add_test(tc, snapshot_is_shipped);
    tcase_add_test(tc, foreign_snapshot_is_hidden);
    tcase_add_test(tc, snapshot_of_a_forgotten_term);
    tcase_add_test(tc, foreign_snapshot_of_a_forgotten_term);
    tcase_add_test(tc, snapshot_is_fenced);
    tcase_add_test(tc, disk_of_another);
}

int main(void)
{
    Suite *suite = suite_create("acceptor");
    TCase *tc = tcase_create("acceptor");
    tcase_add_checked_fixture(tc, setup, teardown);
    add_tests(tc);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
