/* An acceptor whose storage has rotted: what it says of its log, how it is cut, and what it takes
 * to mend it. */
#include "tests/lib/acceptor_case.h"

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

/* If even the chain checksum at the begin is lost, only the leader can tell it: the node gives up
 * all that it has, vouches for nothing, and is begun anew by the next Elected. */
START_TEST(begun_anew_where_all_is_lost)
{
    lead_term_1();
    ck_assert(vote(3));
    rot(BEGIN, BEGIN + 13);
    storage.begin_rotten = true;
    storage.chain_lost = true;
    (void)fake_storage_trace(&storage);
    ELECT(BEGIN + 5, false, 1, BEGIN, 3, BEGIN + 5);
    expect_refused(WIRE_REFUSED_DIVERGED);
    storage.chain_lost = false;
    ck_assert_str_eq(fake_storage_trace(&storage), "meta meta truncate meta reset ");
    struct wire_log log;
    acceptor_log(acceptor, &log);
    ck_assert_uint_eq(log.flush_off, BEGIN);
    ck_assert_uint_eq(log.uncertain_to, UINT64_MAX);
    ELECT(BEGIN, true, 1, BEGIN, 3, BEGIN + 5);
    ck_assert_int_eq(reply.type, WIRE_ELECTED_REPLY);
    ck_assert_uint_eq(reply.elected_reply.log.flush_off, BEGIN);
    ck_assert_uint_eq(reply.elected_reply.log.uncertain_to, BEGIN + 5);
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

int main(void)
{
    return UNIT_RUN("acceptor_rot", setup, teardown, uncertain_until_streamed_past,
                    uncertain_in_the_same_term, hole_is_told, hole_is_not_read, mend,
                    mend_is_fenced, mend_checks_records, mend_across_the_edge, mend_on_a_bad_disk,
                    cut_in_a_hole, cut_where_all_is_rotten, begun_anew_where_all_is_lost,
                    uncertain_is_bounded_by_the_leader);
}
