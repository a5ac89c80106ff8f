/* What an acceptor takes from its leader, when it acknowledges it, and what it learns of commits.
 */
#include "tests/lib/acceptor_case.h"

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

/* The checksum that is told with the durable end is of what is durable, also while more is queued
 * behind it: who compares logs by it compares what they hold. */
START_TEST(chain_of_what_is_durable)
{
    lead_term_1();
    struct wire_msg m = message(WIRE_STATUS, 0);
    say(&m);
    struct wire_log before = reply.status_reply.node.log;
    ck_assert_uint_eq(before.chain_crc, crc32c_extend(0, "abcdefgh", 8));
    append(1, BEGIN + 8, "ijk", true);
    m = message(WIRE_STATUS, 0);
    say(&m);
    ck_assert_uint_eq(reply.status_reply.node.log.flush_off, before.flush_off);
    ck_assert_uint_eq(reply.status_reply.node.log.chain_crc, before.chain_crc);
    flush();
    m = message(WIRE_STATUS, 0);
    say(&m);
    ck_assert_uint_eq(reply.status_reply.node.log.flush_off, BEGIN + 11);
    ck_assert_uint_eq(reply.status_reply.node.log.chain_crc, crc32c_extend(0, "abcdefghijk", 11));
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

int main(void)
{
    return UNIT_RUN("acceptor_append", setup, teardown, append_is_acknowledged_after_the_flush,
                    chain_of_what_is_durable, append_needs_a_good_flush, append_needs_elected,
                    append_begins_at_the_end, append_checks_records, parts_do_not_count, full_disk,
                    commit_is_learnt, idle_marker, idle_marker_of_the_last_byte,
                    no_idle_marker_of_an_unknown_term, cut_inside_a_record);
}
