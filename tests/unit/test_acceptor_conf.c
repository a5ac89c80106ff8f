/* Who counts, as an acceptor sees it: what it keeps, whom it obeys, which disk is meant; and that
 * nothing that is said again, late or by somebody else changes anything. */
#include "common/clock.h"
#include "logsvc/acceptor.h"
#include "tests/lib/fake_storage.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 1000, BEGIN = 100 };

static struct fake_storage storage;
static struct acceptor *acceptor;
static struct wire_msg reply;
static uint8_t *reply_bytes;
static uint64_t now, session;

static void on_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    (void)ctx;
    (void)to;
    free(reply_bytes);
    reply_bytes = malloc(wire_size(msg));
    wire_encode(msg, reply_bytes);
    ck_assert_int_eq(wire_decode(reply_bytes, wire_size(msg), &reply), ERR_OK);
}

static void open_acceptor(uint8_t disk)
{
    struct acceptor_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_id = "node-1",
                                     .disk = {{disk}},
                                     .lease_ms = LEASE_MS,
                                     .read_max_bytes = 10000};
    struct acceptor_events events = {.reply = on_reply};

    ck_assert_int_eq(acceptor_create(&storage.base, &config, &events, NULL, now, &acceptor),
                     ERR_OK);
}

static void setup(void)
{
    now = 5000 * CLOCK_NS_PER_MS;
    session = 10;
    fake_storage_init(&storage);
    open_acceptor(1);
}

static void teardown(void)
{
    acceptor_destroy(acceptor);
    fake_storage_fini(&storage);
    free(reply_bytes);
    reply_bytes = NULL;
}

static void restart(void)
{
    acceptor_destroy(acceptor);
    fake_storage_crash(&storage);
    open_acceptor(99); /* the disk id of its folder counts, not this one */
}

/* A configuration of node-1 (on that disk) and two others. */
static struct conf conf_of(uint64_t term, uint64_t generation, uint8_t disk)
{
    return (struct conf){.id = {{term}, generation},
                         .now = {3,
                                 {{"node-1", {{disk}}, "10.0.0.1:1"},
                                  {"node-2", {{200}}, "10.0.0.2:1"},
                                  {"node-3", {{201}}, "10.0.0.3:1"}}}};
}

static struct wire_msg message(enum wire_type type, uint64_t term, struct conf_id id)
{
    static uint64_t seq;

    seq++;
    return (struct wire_msg){.type = type,
                             .cluster_id = {7},
                             .log_id = 1,
                             .term = {term},
                             .conf = id,
                             .session = session,
                             .seq = seq};
}

static void say(const struct wire_msg *m)
{
    reply.type = (enum wire_type)0;
    ck_assert_int_eq(acceptor_receive(acceptor, now, m, (struct acceptor_reply_to){0}), ERR_OK);
    ck_assert_int_eq(acceptor_flush(acceptor, now), ERR_OK);
    ck_assert_int_ne(reply.type, 0);
}

static void expect_refused(enum wire_refusal code)
{
    ck_assert_msg(reply.type == WIRE_REFUSED, "it answers %s", wire_type_name(reply.type));
    ck_assert_msg(reply.refused.code == (uint32_t)code, "refused: %s", reply.refused.reason);
}

static struct wire_conf encoded(const struct conf *c)
{
    static struct buf bytes;

    buf_clear(&bytes);
    conf_encode(c, &bytes);
    return (struct wire_conf){buf_head(&bytes), bytes.len};
}

static void vote(uint64_t term, const struct conf *c, uint8_t to)
{
    struct wire_msg m = message(WIRE_VOTE, term, c->id);

    m.vote = (struct wire_vote){.lease_ms = LEASE_MS, .to = {{to}}, .conf = encoded(c)};
    say(&m);
}

static void elect(uint64_t term, const struct conf *c, uint8_t to)
{
    struct wire_msg m = message(WIRE_ELECTED, term, c->id);
    struct history h = *acceptor_history(acceptor);
    struct replid replid = {{'r'}};
    struct buf bytes = BUF_INIT;
    bool first = h.count == 0;

    if (first || h.entries[h.count - 1].term.n < term) {
        ck_assert_int_eq(history_append(&h, (struct log_term){term}, BEGIN, &replid), ERR_OK);
    }
    history_encode(&h, &bytes);
    m.elected = (struct wire_elected){.to = {{to}},
                                      .start = BEGIN,
                                      .reset = first,
                                      .name = "leader",
                                      .history = {buf_head(&bytes), bytes.len},
                                      .conf = encoded(c)};
    say(&m);
    buf_release(&bytes);
}

static void tell(uint64_t term, const struct conf *c)
{
    struct wire_msg m = message(WIRE_CONFIG, term, c->id);

    m.config.conf = encoded(c);
    say(&m);
}

static struct conf_id here(void)
{
    return acceptor_conf(acceptor)->id;
}

static void expect_here(uint64_t term, uint64_t generation)
{
    ck_assert_uint_eq(here().term.n, term);
    ck_assert_uint_eq(here().generation, generation);
}

/* A vote is given only to who means this very disk and counts it as a member; it changes no
 * configuration. */
START_TEST(votes_as_a_member_only)
{
    struct conf c = conf_of(0, 1, 1), strangers = conf_of(0, 1, 55);

    vote(1, &c, 2);
    expect_refused(WIRE_REFUSED_MEMBER);
    vote(1, &strangers, 1);
    expect_refused(WIRE_REFUSED_MEMBER);
    ck_assert_uint_eq(acceptor_term(acceptor).n, 0);
    vote(1, &c, 1);
    ck_assert_int_eq(reply.type, WIRE_VOTE_REPLY);
    ck_assert(reply.vote_reply.granted);
    expect_here(0, 0);
}
END_TEST

/* Who goes by a lower configuration than it has gets no vote, and is told the id of this one; a
 * higher one will do. One whose envelope and body disagree makes no sense. */
START_TEST(no_vote_below)
{
    struct conf c = conf_of(4, 3, 1);

    elect(4, &c, 1);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    struct conf lower = conf_of(3, 9, 1), same_term = conf_of(4, 2, 1), none = conf_of(0, 1, 1);
    vote(5, &lower, 1);
    expect_refused(WIRE_REFUSED_GENERATION);
    ck_assert_int_eq(conf_id_compare(reply.conf, c.id), 0);
    vote(5, &same_term, 1);
    expect_refused(WIRE_REFUSED_GENERATION);
    vote(5, &none, 1);
    expect_refused(WIRE_REFUSED_GENERATION);
    ck_assert_uint_eq(acceptor_term(acceptor).n, 4);
    struct wire_msg m = message(WIRE_VOTE, 5, (struct conf_id){{4}, 7});
    m.vote = (struct wire_vote){.lease_ms = LEASE_MS, .to = {{1}}, .conf = encoded(&c)};
    say(&m);
    expect_refused(WIRE_REFUSED_BAD);
    struct conf higher = conf_of(4, 5, 1);
    vote(5, &higher, 1);
    ck_assert(reply.type == WIRE_VOTE_REPLY && reply.vote_reply.granted);
    expect_here(4, 3);
}
END_TEST

/* Elected brings the configuration, durable with history and term; it must be of the leader's term,
 * and mean this disk. */
START_TEST(elected_brings_it)
{
    struct conf c = conf_of(2, 1, 1), other_term = conf_of(1, 1, 1);

    elect(2, &c, 9);
    expect_refused(WIRE_REFUSED_MEMBER);
    elect(2, &other_term, 1);
    expect_refused(WIRE_REFUSED_BAD);
    ck_assert_uint_eq(acceptor_term(acceptor).n, 0);
    elect(2, &c, 1);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_int_eq(conf_id_compare(reply.conf, c.id), 0);
    restart();
    expect_here(2, 1);
    ck_assert_uint_eq(acceptor_disk(acceptor)->bytes[0], 1);
    ck_assert_ptr_nonnull(conf_find_node(acceptor_conf(acceptor), "node-3"));
}
END_TEST

/* A new one comes from the accepted leader, in its session, and is durable before the answer; said
 * again, late or by another it changes nothing. A node that is no member any more keeps it, too. */
START_TEST(config_is_the_leaders)
{
    struct conf first = conf_of(2, 2, 1), second = conf_of(2, 3, 1), out = conf_of(2, 4, 77);

    tell(2, &second);
    expect_refused(WIRE_REFUSED_ELECTED);
    elect(2, &first, 1);
    (void)fake_storage_trace(&storage);
    tell(2, &second);
    ck_assert_int_eq(reply.type, WIRE_CONFIG_REPLY);
    ck_assert_int_eq(conf_id_compare(reply.conf, second.id), 0);
    ck_assert_str_eq(fake_storage_trace(&storage), "meta ");
    tell(2, &second); /* again */
    ck_assert_int_eq(reply.type, WIRE_CONFIG_REPLY);
    ck_assert_str_eq(fake_storage_trace(&storage), "");
    tell(2, &first); /* late */
    expect_refused(WIRE_REFUSED_GENERATION);
    session--;
    tell(2, &out); /* of an older link */
    expect_refused(WIRE_REFUSED_SESSION);
    session++;
    struct conf of_one = conf_of(1, 9, 1), of_three = conf_of(3, 9, 1);
    tell(1, &of_one);
    expect_refused(WIRE_REFUSED_TERM);
    tell(3, &of_three); /* never elected here */
    expect_refused(WIRE_REFUSED_ELECTED);
    tell(2, &of_three); /* not his term */
    expect_refused(WIRE_REFUSED_BAD);
    expect_here(2, 3);
    tell(2, &out);
    ck_assert_int_eq(reply.type, WIRE_CONFIG_REPLY);
    restart();
    expect_here(2, 4);
    struct conf asked = *acceptor_conf(acceptor);
    vote(3, &asked, 1);
    expect_refused(WIRE_REFUSED_MEMBER); /* it is out */
}
END_TEST

/* A late Elected with an older configuration of the same term does not bring it back; a new
 * leader's does, in his term. */
START_TEST(never_back)
{
    struct conf first = conf_of(2, 2, 1), second = conf_of(2, 3, 1), next = conf_of(3, 2, 1);

    elect(2, &first, 1);
    tell(2, &second);
    elect(2, &first, 1);
    expect_refused(WIRE_REFUSED_GENERATION);
    expect_here(2, 3);
    elect(3, &next, 1); /* who never saw (2, 3) has won; it is over */
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    expect_here(3, 2);
    tell(2, &second);
    expect_refused(WIRE_REFUSED_TERM);
    expect_here(3, 2);
}
END_TEST

/* The disk fails while it is saved: no answer, and nothing half. */
START_TEST(disk_failure)
{
    struct conf first = conf_of(2, 2, 1), second = conf_of(2, 3, 1);

    elect(2, &first, 1);
    storage.fail_at = 1;
    storage.fail_with = ERR_IO;
    struct wire_msg m = message(WIRE_CONFIG, 2, second.id);
    m.config.conf = encoded(&second);
    reply.type = (enum wire_type)0;
    ck_assert_int_eq(acceptor_receive(acceptor, now, &m, (struct acceptor_reply_to){0}), ERR_IO);
    ck_assert_int_eq(reply.type, 0);
    restart();
    expect_here(2, 2);
}
END_TEST

/* HELLO tells who it is and what it has; before anything, nothing. */
START_TEST(hello_tells)
{
    struct wire_msg m = message(WIRE_HELLO, 0, (struct conf_id){0});
    struct conf c = conf_of(2, 2, 1), back;

    m.hello.lease_ms = LEASE_MS;
    say(&m);
    ck_assert_uint_eq(reply.hello_reply.disk.bytes[0], 1);
    ck_assert_int_eq(conf_decode(reply.hello_reply.conf.bytes, reply.hello_reply.conf.size, &back),
                     ERR_OK);
    ck_assert_int_eq(conf_kind(&back), CONF_NONE);
    elect(2, &c, 1);
    say(&m); /* of who goes by none: it is told all the same */
    ck_assert_int_eq(conf_decode(reply.hello_reply.conf.bytes, reply.hello_reply.conf.size, &back),
                     ERR_OK);
    ck_assert_int_eq(conf_id_compare(back.id, c.id), 0);
    ck_assert_str_eq(back.now.members[2].address, "10.0.0.3:1");
}
END_TEST

int main(void)
{
    return UNIT_RUN("acceptor_conf", setup, teardown, votes_as_a_member_only, no_vote_below,
                    elected_brings_it, config_is_the_leaders, never_back, disk_failure,
                    hello_tells);
}
