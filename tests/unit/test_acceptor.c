/* The acceptor's rules, one by one (docs/log-protocol.md, 5): what it promises, what it refuses,
 * and in which order it writes. Appends are in test_acceptor_append.c, snapshots in
 * test_acceptor_snaps.c, rot in test_acceptor_rot.c. */
#include "tests/lib/acceptor_case.h"

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
    struct wire_msg good = message(WIRE_RELEASE, 1);
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

/* The leader's word that it has stopped, in the session that is given, counts from the next vote
 * on. */
static void expect_released(uint64_t term, uint64_t in_session)
{
    struct wire_msg m = message(WIRE_RELEASE, term);

    m.session = in_session;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_RELEASE_REPLY);
    ck_assert(reply.release_reply.released);
    hello(0);
    ck_assert_uint_eq(reply.hello_reply.heard_ns, WIRE_NEVER);
    ck_assert(vote(term + 1));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, WIRE_NEVER);
}

/* A leader that has heard nothing for long has begun one session after the other, of which this
 * node knows none, only the newest, or all but the newest: its release is one all the same. */
START_TEST(release_in_any_session)
{
    for (int round = 0; round < 4; round++) {
        lead_term_1();
        append(1, BEGIN + 8, NULL, false);
        session += round == 1 || round == 3;
        if (round == 1) {
            hello(1); /* a session in which nobody was accepted yet */
            struct wire_msg late = append_message(1, BEGIN + 8, NULL, false);
            say(&late);
            expect_refused(WIRE_REFUSED_ELECTED);
        }
        unsigned before = replies;
        expect_released(1, round == 2 ? session - 1 : session);
        before = replies;
        flush(); /* the append from before it is not acknowledged any more */
        ck_assert_uint_eq(replies, before);
        teardown();
        setup();
    }
}
END_TEST

/* It may also be of one that was never accepted here: it has waited for the leases before its own.
 */
START_TEST(release_by_one_who_was_not_accepted)
{
    lead_term_1();
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 0);
    expect_released(2, session);
}
END_TEST

/* Of another term it is none: of an older one, the present leader's lease may run; of a newer one,
 * that of who may still be heard here. */
START_TEST(release_of_another_term)
{
    struct wire_msg m = message(WIRE_RELEASE, 0);

    m.conf = (struct conf_id){{0}, 0};
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    lead_term_1();
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    append(2, BEGIN + 8, NULL, false);
    m = message(WIRE_RELEASE, 1);
    m.session = session + 1;
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    m = message(WIRE_RELEASE, 3);
    say(&m);
    expect_refused(WIRE_REFUSED_ELECTED);
    now += 6;
    append(2, BEGIN + 8, "more", true); /* it leads all the same */
    flush();
    ck_assert_int_eq(reply.type, WIRE_APPEND_REPLY);
    now += 7;
    ck_assert(vote(3));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 7);
    m = message(WIRE_RELEASE, 2);
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    ck_assert(vote(4));
    ck_assert_uint_eq(reply.vote_reply.elapsed_ns, 7);
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

/* At rest a follower is told of a commit without having asked again; while records come it is not,
 * nor when nothing has moved, nor who leads. */
START_TEST(followers_are_told_of_commits)
{
    lead_term_1();
    struct wire_msg m = message(WIRE_WATCH, 0);
    struct acceptor_reply_to other = {.link = WATCH_LINK, .id = m.seq};
    m.watch.lease_ms = LEASE_MS;
    memcpy(m.watch.name, "proxy2", 7);
    memcpy(m.watch.address, "h:2", 4);
    ck_assert_int_eq(acceptor_receive(acceptor, now, &m, other), ERR_OK);
    ck_assert_uint_eq(told_count, 1);

    struct wire_msg record = append_message(1, BEGIN + 8, "ij", true);
    record.append.commit = BEGIN + 5;
    ck_assert_int_eq(receive(&record), ERR_OK);
    flush();
    ck_assert_uint_eq(acceptor_commit(acceptor), BEGIN + 5);
    ck_assert_uint_eq(told_count, 1);

    struct wire_msg empty = append_message(1, BEGIN + 10, NULL, false);
    empty.append.commit = BEGIN + 10;
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(receive(&empty), ERR_OK);
        flush();
        ck_assert_uint_eq(told_count, 2);
        ck_assert_uint_eq(told.commit, BEGIN + 10);
    }

    m.watch.role = ROSTER_LEADER;
    ck_assert_int_eq(acceptor_receive(acceptor, now, &m, other), ERR_OK);
    ck_assert_uint_eq(told_count, 3);
    append(1, BEGIN + 10, "k", true);
    flush();
    empty = append_message(1, BEGIN + 11, NULL, false);
    empty.append.commit = BEGIN + 11;
    ck_assert_int_eq(receive(&empty), ERR_OK);
    flush();
    ck_assert_uint_eq(acceptor_commit(acceptor), BEGIN + 11);
    ck_assert_uint_eq(told_count, 3);
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

int main(void)
{
    return UNIT_RUN(
        "acceptor", setup, teardown, vote_is_strict, vote_flushes_first, vote_tells_what_is_here,
        disk_failure_is_final, elapsed_since_the_last_accept, release, release_in_any_session,
        release_by_one_who_was_not_accepted, release_of_another_term, watch_is_told_of_changes,
        followers_are_told_of_commits, hello_tells, elected_begins_a_log, elected_believes_no_start,
        elected_comes_twice, elected_cuts_first, elected_never_below_commit,
        elected_raises_the_term, elected_resets_what_is_foreign, empty_log_before_a_trimmed_history,
        reset_claims_nothing, far_terms_are_not_believed, elected_on_a_full_disk, sessions,
        strangers, reads_are_fenced, disk_of_another);
}
