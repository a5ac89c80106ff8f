/* Snapshots that count, and the log's begin: what an acceptor forgets, and when it begins anew. */
#include "tests/lib/acceptor_case.h"

/* A snapshot of one byte that lead_term_1's log has passed. */
static struct snapshot_info store_snapshot(uint64_t offset, uint64_t verified_ms)
{
    struct wire_msg m = snap_begin_message(1, offset, "s");

    m.snap_begin.info.verified_ms = verified_ms;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_BEGIN_REPLY);
    snap_write(1, offset, 0, "s");
    snap_commit(1, offset);
    ck_assert_int_eq(reply.type, WIRE_SNAP_COMMIT_REPLY);
    return m.snap_begin.info;
}

static void mark(enum wire_type type, uint64_t term, const struct snapshot_info *info,
                 uint64_t verified_ms)
{
    struct wire_msg m = message(type, term);

    m.channel = WIRE_SNAPSHOT;
    m.snap_mark = (struct wire_snap_mark){info->offset, info->crc, verified_ms};
    say(&m);
}

static struct snapinfo_stored listed(unsigned i, unsigned count)
{
    struct wire_msg m = message(WIRE_SNAP_LIST, 0);
    struct snapinfo_stored stored;

    m.channel = WIRE_SNAPSHOT;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_SNAP_LIST_REPLY);
    const struct wire_snaps *list = &reply.snap_list_reply.snaps;
    ck_assert_uint_eq(snapinfo_list_count(list->bytes, list->size), count);
    snapinfo_list_get(list->bytes, list->size, i, &stored);
    return stored;
}

/* One that was not verified belongs to the log and does not count, unless the log begins there. A
 * mark makes it count; the first mark stays; the newest that counts can't be deleted. */
START_TEST(snapshot_counts_when_verified)
{
    lead_term_1();
    struct snapshot_info first = store_snapshot(BEGIN, 0);
    struct snapshot_info second = store_snapshot(BEGIN + 5, 0);
    ck_assert(listed(1, 2).counts);
    ck_assert(!listed(0, 2).counts);
    snap_latest(UINT64_MAX);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN);
    mark(WIRE_SNAP_VERIFIED, 2, &second, 77);
    expect_refused(WIRE_REFUSED_TERM);
    mark(WIRE_SNAP_VERIFIED, 1, &second, 0);
    expect_refused(WIRE_REFUSED_BAD);
    mark(WIRE_SNAP_DELETE, 1, &first, 0);
    expect_refused(WIRE_REFUSED_NEEDED);
    mark(WIRE_SNAP_VERIFIED, 1, &second, 77);
    ck_assert_int_eq(reply.type, WIRE_SNAP_VERIFIED_REPLY);
    mark(WIRE_SNAP_VERIFIED, 1, &second, 88);
    ck_assert_uint_eq(listed(0, 2).info.verified_ms, 77);
    ck_assert(listed(0, 2).counts);
    snap_latest(UINT64_MAX);
    ck_assert_uint_eq(reply.snap_latest_reply.info.offset, BEGIN + 5);
    mark(WIRE_SNAP_DELETE, 1, &second, 0);
    expect_refused(WIRE_REFUSED_NEEDED);
    second.crc++;
    mark(WIRE_SNAP_DELETE, 1, &second, 0);
    expect_refused(WIRE_REFUSED_NOT_FOUND);
    mark(WIRE_SNAP_DELETE, 1, &first, 0);
    ck_assert_int_eq(reply.type, WIRE_SNAP_DELETE_REPLY);
    (void)listed(0, 1);
}
END_TEST

/* --- the log's begin ------------------------------------------------------------------------ */

static struct wire_log trim(uint64_t to, const struct snapshot_info *by)
{
    struct wire_msg m = message(WIRE_TRIM, 1);

    m.trim = (struct wire_trim){to, by->offset, by->crc};
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_TRIM_REPLY);
    return reply.log_reply.log;
}

static void commit_to(uint64_t offset)
{
    struct wire_msg m = append_message(1, BEGIN + 8, NULL, false);

    m.append.commit = offset;
    ck_assert_int_eq(receive(&m), ERR_OK);
    flush();
}

/* Nothing is forgotten that is not known to be committed, or not made good by the very snapshot
 * that the leader names, stored and verified here. What is left is as it was, and its begin is told
 * with the chain checksum there; a Redis can't be read from below any more. */
START_TEST(trim_needs_a_verified_snapshot)
{
    lead_term_1();
    struct snapshot_info by = store_snapshot(BEGIN + 5, 0), other = by;
    ck_assert_uint_eq(trim(BEGIN + 5, &by).begin, BEGIN); /* not committed, not verified */
    commit_to(BEGIN + 5);
    ck_assert_uint_eq(trim(BEGIN + 5, &by).begin, BEGIN); /* not verified */
    mark(WIRE_SNAP_VERIFIED, 1, &by, 77);
    other.crc++;
    ck_assert_uint_eq(trim(BEGIN + 5, &other).begin, BEGIN);
    other = by;
    other.offset = BEGIN + 8;
    ck_assert_uint_eq(trim(BEGIN + 5, &other).begin, BEGIN);
    ck_assert_uint_eq(trim(BEGIN + 8, &by).begin, BEGIN); /* past the snapshot */
    (void)fake_storage_trace(&storage);
    struct wire_log log = trim(BEGIN + 5, &by);
    ck_assert_str_eq(fake_storage_trace(&storage), "trim ");
    ck_assert_uint_eq(log.begin, BEGIN + 5);
    ck_assert_uint_eq(log.begin_chain, crc32c_extend(0, "abcde", 5));
    ck_assert_uint_eq(log.unit_off, BEGIN + 8);
    ask_read(0, BEGIN, 100);
    expect_refused(WIRE_REFUSED_NOT_FOUND);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 1);
    restart();
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.begin, BEGIN + 5);
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
}
END_TEST

/* A full disk forgets nothing, and says so; a failing one ends it. */
START_TEST(trim_on_a_bad_disk)
{
    lead_term_1();
    commit_to(BEGIN + 5);
    struct snapshot_info by = store_snapshot(BEGIN + 5, 77);
    storage.fail_at = 1;
    storage.fail_with = ERR_NO_SPACE;
    ck_assert_uint_eq(trim(BEGIN + 5, &by).begin, BEGIN);
    storage.fail_at = 1;
    storage.fail_with = ERR_IO;
    struct wire_msg m = message(WIRE_TRIM, 1);
    m.trim = (struct wire_trim){BEGIN + 5, by.offset, by.crc};
    ck_assert_int_eq(receive(&m), ERR_IO);
    ck_assert_int_eq(receive(&m), ERR_IO);
}
END_TEST

/* A node that has refused a verified snapshot for want of room forgets the log below it all the
 * same: that one, and not another; not for one that nobody verified; not once it has one. */
START_TEST(trim_without_room)
{
    lead_term_1();
    commit_to(BEGIN + 5);
    struct wire_msg m = snap_begin_message(1, BEGIN + 5, "s");
    struct snapshot_info by = m.snap_begin.info, other;
    storage.fail_at = 1;
    storage.fail_with = ERR_NO_SPACE;
    say(&m);
    expect_refused(WIRE_REFUSED_SPACE);
    ck_assert_uint_eq(trim(BEGIN + 5, &by).begin, BEGIN); /* not verified */
    m.snap_begin.info.verified_ms = 77;
    storage.fail_at = 1;
    say(&m);
    expect_refused(WIRE_REFUSED_SPACE);
    other = by;
    other.crc++;
    ck_assert_uint_eq(trim(BEGIN + 5, &other).begin, BEGIN);
    other = by;
    other.offset++;
    ck_assert_uint_eq(trim(BEGIN + 5, &other).begin, BEGIN);
    ck_assert_uint_eq(trim(BEGIN + 8, &by).begin, BEGIN); /* past the snapshot */
    restart();                                            /* … and in this life */
    ck_assert(vote(2));
    ELECT(BEGIN + 8, false, 1, BEGIN, 2, BEGIN + 8);
    m.term.n = 2;
    storage.fail_at = 1;
    say(&m);
    expect_refused(WIRE_REFUSED_SPACE);
    struct wire_msg append = append_message(2, BEGIN + 8, NULL, false);
    append.append.commit = BEGIN + 5;
    ck_assert_int_eq(receive(&append), ERR_OK);
    flush();
    struct wire_msg t = message(WIRE_TRIM, 2);
    t.trim = (struct wire_trim){BEGIN + 5, by.offset, by.crc};
    say(&t);
    ck_assert_int_eq(reply.type, WIRE_TRIM_REPLY);
    ck_assert_uint_eq(reply.log_reply.log.begin, BEGIN + 5);
    ck_assert_uint_eq(reply.log_reply.log.unit_off, BEGIN + 8);
}
END_TEST

/* Both come from the leader in its session alone. */
START_TEST(begin_is_fenced)
{
    static const enum wire_type types[] = {WIRE_TRIM, WIRE_REBASE};

    lead_term_1();
    for (unsigned i = 0; i < 2; i++) {
        struct wire_msg m = message(types[i], 1);
        m.session--;
        say(&m);
        expect_refused(WIRE_REFUSED_SESSION);
        m = message(types[i], 2);
        say(&m);
        expect_refused(WIRE_REFUSED_ELECTED);
        m = message(types[i], 1);
        m.conf.generation = 1;
        say(&m);
        expect_refused(WIRE_REFUSED_GENERATION);
    }
    ck_assert(vote(2));
    struct wire_msg m = message(WIRE_REBASE, 1);
    m.rebase.begin = BEGIN + 100;
    say(&m);
    expect_refused(WIRE_REFUSED_TERM);
    ck_assert_uint_eq(state().write_off, BEGIN + 8);
}
END_TEST

/* A node whose next bytes nobody has begins anew where the others begin; nothing else of it
 * changes. One that has come so far, or a message that comes again, changes nothing. */
START_TEST(rebase_begins_anew)
{
    lead_term_1();
    commit_to(BEGIN + 8);
    struct wire_msg m = message(WIRE_REBASE, 1);
    m.rebase = (struct wire_rebase){BEGIN + 8, 4711};
    say(&m);
    ck_assert_uint_eq(reply.log_reply.log.begin, BEGIN);
    m.rebase.begin = BEGIN + 100;
    say(&m);
    ck_assert_int_eq(reply.type, WIRE_REBASE_REPLY);
    ck_assert_uint_eq(reply.log_reply.log.begin, BEGIN + 100);
    ck_assert_uint_eq(reply.log_reply.log.unit_off, BEGIN + 100);
    ck_assert_uint_eq(reply.log_reply.log.begin_chain, 4711);
    ck_assert_uint_eq(reply.log_reply.log.chain_crc, 4711);
    ck_assert_uint_eq(acceptor_history(acceptor)->count, 1);
    append(1, BEGIN + 100, "ijk", true);
    flush();
    ck_assert_uint_eq(reply.append_reply.unit_off, BEGIN + 103);
    say(&m);
    ck_assert_uint_eq(reply.log_reply.log.flush_off, BEGIN + 103);
    restart();
    ck_assert(vote(2));
    ck_assert_uint_eq(reply.vote_reply.log.begin, BEGIN + 100);
    ck_assert_uint_eq(reply.vote_reply.log.uncertain_to, 0);
}
END_TEST

/* A log of which the leader's history knows nothing any more, and that ends below where the leader
 * wants it to begin, is thrown away, whatever it knows to be committed. Until the new one has come
 * so far as this leader began, its votes vouch for nothing. */
START_TEST(forgotten_log_is_begun_anew)
{
    lead_term_1();
    commit_to(BEGIN + 8);
    ELECT(BEGIN + 8, true, 5, BEGIN + 8, 6, BEGIN + 90); /* it is not past what is here */
    expect_refused(WIRE_REFUSED_DIVERGED);
    ELECT(BEGIN + 50, true, 5, BEGIN + 20, 6, BEGIN + 90, 7, BEGIN + 95);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(reply.elected_reply.log.begin, BEGIN + 50);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, BEGIN + 95);
}
END_TEST

int main(void)
{
    return UNIT_RUN("acceptor trim", setup, teardown, snapshot_counts_when_verified,
                    trim_needs_a_verified_snapshot, trim_on_a_bad_disk, trim_without_room,
                    begin_is_fenced, rebase_begins_anew, forgotten_log_is_begun_anew);
}
