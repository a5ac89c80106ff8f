/* The acceptor's rules for snapshots (docs/log-protocol.md, 5.8): which are taken in, which belong
 * to the log and which count, and who may replace or delete one. */
#include "tests/lib/acceptor_case.h"

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

/* Who uploads keeps other uploaders out, whatever the numbers of their sessions are, for as long as
 * it is heard; one whose connection has closed, or that is silent, keeps nobody out. */
START_TEST(one_upload_at_a_time)
{
    static const uint64_t others[] = {9, 11}; /* below and above the session of message() */

    (void)vote(1);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_msg mine = snap_begin_message(1, BEGIN, "hello"), other = mine;
        other.session = others[i];
        say(&mine);
        ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
        now += 4000 * CLOCK_NS_PER_MS;
        snap_write(1, BEGIN, 0, "he");
        now += 4000 * CLOCK_NS_PER_MS;
        say(&other);
        expect_refused(WIRE_REFUSED_SESSION);
        acceptor_link_closed(acceptor, now, 3); /* somebody else's */
        say(&other);
        expect_refused(WIRE_REFUSED_SESSION);
        snap_write(1, BEGIN, 2, "l");
        ck_assert_uint_eq(reply.snap_reply.next, 3);

        acceptor_link_closed(acceptor, now, 1);
        snap_write(1, BEGIN, 3, "l"); /* over a new one: it goes on */
        ck_assert_uint_eq(reply.snap_reply.next, 4);
        say(&other);
        expect_refused(WIRE_REFUSED_SESSION);
        acceptor_link_closed(acceptor, now, 1);
        say(&other);
        ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
        snap_write(1, BEGIN, 4, "o");
        expect_refused(WIRE_REFUSED_SESSION);

        now += 4000 * CLOCK_NS_PER_MS;
        say(&mine);
        expect_refused(WIRE_REFUSED_SESSION);
        now += 1000 * CLOCK_NS_PER_MS;
        say(&mine);
        ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    }
}
END_TEST

/* One that is marked as verified keeps its place: another one at the same offset is refused, also
 * if the mark came while that was being received. The same one may come again. */
START_TEST(verified_snapshot_stays)
{
    (void)vote(1);
    ELECT(BEGIN, true, 1, BEGIN);
    append(1, BEGIN, "abcdefgh", true);
    flush();
    struct wire_msg mine = snap_begin_message(1, BEGIN + 8, "mine");
    struct wire_msg other = snap_begin_message(1, BEGIN + 8, "other");
    say(&mine);
    snap_write(1, BEGIN + 8, 0, "mine");
    snap_commit(1, BEGIN + 8);
    ck_assert_int_eq(reply.type, WIRE_SNAP_COMMIT_REPLY);
    say(&other);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    snap_write(1, BEGIN + 8, 0, "other");
    struct wire_msg mark = message(WIRE_SNAP_VERIFIED, 1);
    mark.snap_mark = (struct wire_snap_mark){BEGIN + 8, mine.snap_begin.info.crc, 5};
    say(&mark);
    ck_assert_int_eq(reply.type, WIRE_SNAP_VERIFIED_REPLY);
    ck_assert_uint_gt(storage.receiving.bytes.len, 0);
    snap_commit(1, BEGIN + 8);
    expect_refused(WIRE_REFUSED_NEEDED);
    ck_assert_uint_eq(storage.receiving.bytes.len, 0); /* and takes no room any longer */
    say(&other);
    expect_refused(WIRE_REFUSED_NEEDED);
    say(&mine);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    snap_latest(UINT64_MAX);
    ck_assert_uint_eq(reply.snap_latest_reply.info.crc, mine.snap_begin.info.crc);
}
END_TEST

/* Terms 2 and 3 write; the leader of 4 knows of 2 no more. */
static void forget_term_two(void)
{
    ELECT(BEGIN, true, 2, BEGIN);
    append(2, BEGIN, "abcdefgh", true);
    flush();
    ELECT(BEGIN + 8, false, 2, BEGIN, 3, BEGIN + 8);
    append(3, BEGIN + 8, "i", true);
    flush();
    ELECT(BEGIN + 9, false, 3, BEGIN + 8, 4, BEGIN + 9);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
}

/* The snapshot that the log began with is offered even when its term is older than all that the
 * history still knows; one of a candidate that never led is not. */
START_TEST(snapshot_of_a_forgotten_term)
{
    (void)vote(2);
    ship_snapshot(2, 2, BEGIN, "a");
    ship_snapshot(2, 1, BEGIN - 10, "b");
    ck_assert_uint_eq(storage.snap_count, 2);
    forget_term_two();
    snap_latest(UINT64_MAX);
    ck_assert(reply.snap_latest_reply.found);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN);
    snap_latest(BEGIN - 1);
    ck_assert(!reply.snap_latest_reply.found);
}
END_TEST

/* So is one further on: the log in front of it tells whether it is of this log. A log that has been
 * trimmed to its very offset tells that of a verified one by its checksum. */
START_TEST(later_snapshot_of_a_forgotten_term)
{
    uint64_t begin;

    (void)vote(1);
    ELECT(BEGIN, true, 1, BEGIN);
    append(1, BEGIN, "abcdefgh", true);
    flush();
    for (unsigned i = 0; i < 2; i++) { /* the second one is of a term that is not there */
        struct wire_msg m = snap_begin_message(1, BEGIN + 8 - i, i == 0 ? "a" : "b");
        m.snap_begin.info.term.n = i == 0 ? 1 : 2;
        m.snap_begin.info.chain_crc = state().chain_crc;
        m.snap_begin.info.verified_ms = 5;
        say(&m);
        snap_write(1, BEGIN + 8 - i, 0, i == 0 ? "a" : "b");
        snap_commit(1, BEGIN + 8 - i);
        ck_assert_int_eq(reply.type, WIRE_SNAP_COMMIT_REPLY);
    }
    ELECT(BEGIN + 8, false, 1, BEGIN, 3, BEGIN + 8);
    append(3, BEGIN + 8, "ij", true);
    flush();
    ELECT(BEGIN + 10, false, 3, BEGIN + 8, 4, BEGIN + 10);
    for (unsigned i = 0; i < 2; i++) {
        snap_latest(UINT64_MAX);
        ck_assert(reply.snap_latest_reply.found);
        ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN + 8);
        snap_latest(BEGIN + 7);
        ck_assert(!reply.snap_latest_reply.found);
        ck_assert_int_eq(storage.base.ops->trim(&storage.base, BEGIN + 8, &begin), ERR_OK);
        ck_assert_uint_eq(begin, BEGIN + 8);
    }
}
END_TEST

/* Nor is one at the same offset, if another term's leader began the log there. */
START_TEST(foreign_snapshot_of_a_forgotten_term)
{
    (void)vote(1);
    ship_snapshot(1, 1, BEGIN, "b");
    forget_term_two();
    snap_latest(UINT64_MAX);
    ck_assert(!reply.snap_latest_reply.found);
}
END_TEST

/* A snapshot of a log that never came to be is not offered. */
START_TEST(foreign_snapshot_is_hidden)
{
    (void)vote(2);
    ship_snapshot(2, 2, BEGIN - 10, "b");
    ship_snapshot(2, 1, BEGIN, "a");
    ck_assert_uint_eq(storage.snap_count, 2);
    ELECT(BEGIN - 10, true, 2, BEGIN - 10);
    snap_latest(UINT64_MAX);
    ck_assert(reply.snap_latest_reply.found);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN - 10);
}
END_TEST

/* What a log was to be begun with, and was not, goes when somebody begins one: of an older term, of
 * the same one, at another offset or at the same. The very same stays, said again; a copy of what a
 * log was begun with in an older term, which a leader has sent, takes nothing away. */
START_TEST(who_begins_a_log_clears_the_way)
{
    (void)vote(1);
    ship_snapshot(1, 1, BEGIN, "a");
    ship_snapshot(1, 0, BEGIN + 7, "of a term before");
    ck_assert_uint_eq(storage.snap_count, 2);
    (void)vote(2);
    struct wire_msg m = snap_begin_message(2, BEGIN, "b");
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    ck_assert_uint_eq(storage.snap_count, 0);
    snap_write(2, BEGIN, 0, "b");
    snap_commit(2, BEGIN);
    ship_snapshot(2, 2, BEGIN + 5, "c");
    ck_assert_uint_eq(storage.snap_count, 1);
    m = snap_begin_message(2, BEGIN + 5, "c");
    say(&m);
    ck_assert_uint_eq(storage.snap_count, 1);
    (void)vote(3);
    ship_snapshot(3, 2, BEGIN + 6, "d");
    ck_assert_uint_eq(storage.snap_count, 2);
    m = snap_begin_message(3, BEGIN, "e");
    storage.fail_at = 1;
    ck_assert_int_eq(receive(&m), ERR_IO);
}
END_TEST

/* Where there is a log, or was one, nothing is taken away. */
START_TEST(who_has_held_a_log_keeps_its_snapshots)
{
    (void)vote(1);
    ship_snapshot(1, 1, BEGIN, "a");
    ELECT(BEGIN, true, 1, BEGIN);
    ship_snapshot(1, 1, BEGIN + 1, "b");
    ck_assert_uint_eq(storage.snap_count, 2);
    append(1, BEGIN, "abcde", true);
    flush();
    ck_assert(vote(4));
    storage.fail_at = 2; /* behind the term: the history is given up, and not taken up again */
    storage.fail_with = ERR_NO_SPACE;
    ELECT(50, true, 3, 40, 4, 50);
    expect_refused(WIRE_REFUSED_SPACE);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 0);
    ship_snapshot(4, 4, BEGIN + 2, "c");
    ck_assert_uint_eq(storage.snap_count, 3);
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

int main(void)
{
    return UNIT_RUN("acceptor_snaps", setup, teardown, snapshot_is_shipped, one_upload_at_a_time,
                    verified_snapshot_stays, snapshot_of_a_forgotten_term,
                    later_snapshot_of_a_forgotten_term, foreign_snapshot_of_a_forgotten_term,
                    foreign_snapshot_is_hidden, who_begins_a_log_clears_the_way,
                    who_has_held_a_log_keeps_its_snapshots, snapshot_is_fenced);
}
