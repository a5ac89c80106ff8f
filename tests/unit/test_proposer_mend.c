/* The proposer's rules (docs/log-protocol.md, 6) for what has rotted on a node: it is read from
 * another one. */
#include "tests/lib/proposer_case.h"

/* --- holes ---------------------------------------------------------------------------------- */

static const struct storage_holes hole = {
    .count = 1, .from = 100, .to = 300, .next = 100, .end = 300, .found = 1};

/* Leads a log of 100 … END that nodes 0 and 1 hold; node 0 has a hole and has told it. */
static void to_leading_with_hole(void)
{
    to_leading_old();
    accept_elected(0, END);
    accept_elected(1, END);
    struct wire_msg q = last(0, WIRE_APPEND);
    struct wire_msg m = wire_reply_to(&q, WIRE_APPEND_REPLY, q.term, q.conf);
    m.append_reply.write_off = m.append_reply.unit_off = END;
    m.append_reply.holes = hole;
    empty_boxes();
    hear(0, &m);
    pass_ms(50);
}

/* Whether the node was sent a message of that type, which is then *m. */
static bool was_sent(unsigned node, enum wire_type type, struct wire_msg *m)
{
    for (unsigned i = 0; i < box_count[node]; i++) {
        if (boxes[node][i].msg.type == type) {
            *m = boxes[node][i].msg;
            return true;
        }
    }
    return false;
}

/* Answers a READ with records of 50 bytes, from there on, and an idle marker. */
static void serve_read_at(unsigned source, const struct wire_msg *q, uint64_t at, unsigned count)
{
    uint8_t *data = mem_calloc(1, (count + 1) * (RECORD_HEADER_BYTES + 50));
    size_t size = 0;

    for (unsigned i = 0; i <= count; i++) {
        bool idle = i == 1;
        struct record r = {.term = {1},
                           .begin = at,
                           .len_bytes = idle ? 0 : 50,
                           .flags = idle ? RECORD_IDLE : RECORD_UNIT_END};
        record_encode_header(&r, data + size);
        size += RECORD_HEADER_BYTES + r.len_bytes;
        at += r.len_bytes;
    }
    struct wire_msg m = wire_reply_to(q, WIRE_READ_REPLY, q->term, q->conf);
    m.data = data;
    m.data_size = size;
    hear(source, &m);
    free(data);
}

/* From what was asked on. */
static void serve_read(unsigned source, const struct wire_msg *q, unsigned count)
{
    serve_read_at(source, q, q->read.from, count);
}

/* A hole that begins inside of a record of the log: that record is sent, alone, and tells the node
 * that what it has in front of the hole is not of this log. */
START_TEST(shows_other_boundaries)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    serve_read_at(1, &q, q.read.from - 20, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    ck_assert_uint_eq(m.mend.from, 100);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 50);
    empty_boxes();
    refuse(0, &m, WIRE_REFUSED_BAD);
    for (int i = 0; i < 30 && !was_sent(1, WIRE_READ, &q); i++) {
        empty_boxes();
        pass_ms(100);
        for (unsigned node = 0; node < 2 && !was_sent(1, WIRE_READ, &q); node++) {
            struct wire_msg beat = last(node, WIRE_APPEND);
            struct wire_msg a = wire_reply_to(&beat, WIRE_APPEND_REPLY, beat.term, beat.conf);
            a.append_reply.write_off = a.append_reply.unit_off = END;
            if (node == 0) {
                a.append_reply.holes = hole;
                a.append_reply.holes.from = a.append_reply.holes.next = 80;
            }
            hear(node, &a);
        }
    }
    ck_assert(was_sent(1, WIRE_READ, &q)); /* another hole: the same source may have it */
    ck_assert_uint_eq(q.read.from, 80);
}
END_TEST

/* What rotted on a node is read from another one, in pieces, and sent to it, without markers and
 * not past the hole, until it says that nothing is missing. */
START_TEST(mends_a_hole)
{
    struct wire_msg q, m;
    struct proposer_node_info info;
    uint64_t next = 100;

    to_leading_with_hole();
    proposer_node(p, 0, &info);
    ck_assert_uint_eq(info.holes.to, 300);
    for (int round = 0; round < 2; round++) {
        ck_assert(was_sent(1, WIRE_READ, &q));
        ck_assert_uint_eq(q.read.from, next);
        ck_assert_uint_eq(q.term.n, proposer_term(p).n);
        serve_read(1, &q, round == 0 ? 2 : 5);
        ck_assert(was_sent(0, WIRE_MEND, &m));
        ck_assert_uint_eq(m.mend.from, next);
        ck_assert_uint_eq(m.data_size, (RECORD_HEADER_BYTES + 50) * 2);
        next += 100;
        struct wire_msg a = wire_reply_to(&m, WIRE_MEND_REPLY, m.term, m.conf);
        a.mend_reply.holes = hole;
        a.mend_reply.holes.next = next;
        empty_boxes();
        hear(0, &a);
        pass_ms(200);
    }
    ck_assert(!was_sent(1, WIRE_READ, &q));
    pass_ms(100);
    struct wire_msg beat = last(0, WIRE_APPEND);
    acknowledge(0, &beat, END, END);
    proposer_node(p, 0, &info);
    ck_assert_uint_eq(info.holes.count, 0);
}
END_TEST

/* A source that has rotted there too is not asked again while another is there; nor is one whose
 * records the node refuses. */
START_TEST(mends_from_another)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, 0, TERM);
    accept_elected(2, END);
    refuse(1, &q, WIRE_REFUSED_CORRUPT);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    empty_boxes();
    pass_ms(50);
    ck_assert(!was_sent(1, WIRE_READ, &q));
    ck_assert(was_sent(2, WIRE_READ, &q));
    serve_read(2, &q, 2);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    refuse(0, &m, WIRE_REFUSED_BAD); /* nor does what node 2 has fit: not at once again */
    empty_boxes();
    pass_ms(300);
    ck_assert(!was_sent(1, WIRE_READ, &q) && !was_sent(2, WIRE_READ, &q));
}
END_TEST

/* A mend that a node refuses does not end its session: it goes on being sent the stream. */
START_TEST(mend_refused)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    serve_read(1, &q, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    empty_boxes();
    refuse(0, &m, WIRE_REFUSED_BAD);
    pass_ms(200);
    ck_assert(!was_sent(0, WIRE_HELLO, &q));
    ck_assert(!was_sent(0, WIRE_MEND, &q));
    append("more");
    proposer_flush(p, now);
    ck_assert(was_sent(0, WIRE_APPEND, &q));
}
END_TEST

/* Answers of an older session, or for an older question, mend nothing. */
START_TEST(late_answers_mend_nothing)
{
    struct wire_msg q, m;

    to_leading_with_hole();
    ck_assert(was_sent(1, WIRE_READ, &q));
    struct wire_msg late = q;
    late.session--;
    serve_read(1, &late, 3);
    late = q;
    late.seq--;
    serve_read(1, &late, 3);
    ck_assert(!was_sent(0, WIRE_MEND, &m));
    serve_read(1, &q, 3);
    ck_assert(was_sent(0, WIRE_MEND, &m));
    empty_boxes();
    serve_read(1, &q, 3); /* doubled */
    ck_assert(!was_sent(0, WIRE_MEND, &m));
}
END_TEST

/* Mends go at a bounded rate, whatever the nodes could do. */
START_TEST(mends_slowly)
{
    struct wire_msg q, m;
    unsigned pieces = 0;

    teardown();
    now = MS(5000);
    create(1 << 20);
    to_leading_with_hole();
    for (uint64_t end = now + MS(1000); now < end;) {
        if (was_sent(1, WIRE_READ, &q)) {
            serve_read(1, &q, 2);
            ck_assert(was_sent(0, WIRE_MEND, &m));
            struct wire_msg a = wire_reply_to(&m, WIRE_MEND_REPLY, m.term, m.conf);
            a.mend_reply.holes = hole;
            a.mend_reply.holes.next = 100 + pieces++ % 2;
            empty_boxes();
            hear(0, &a);
        }
        for (unsigned n = 0; n < 2; n++) {
            if (was_sent(n, WIRE_APPEND, &m)) {
                m = last(n, WIRE_APPEND);
                struct wire_msg a = wire_reply_to(&m, WIRE_APPEND_REPLY, m.term, m.conf);
                a.append_reply.write_off = a.append_reply.unit_off = END;
                a.append_reply.holes = n == 0 ? hole : (struct storage_holes){0};
                hear(n, &a);
            }
        }
        pass_ms(5);
    }
    ck_assert_uint_ge(pieces, 3);
    ck_assert_uint_le(pieces, 45); /* 100 ms at least for 1000 bytes … at 10,000 a second */
}
END_TEST

/* A link that takes nothing is left alone until it is ready. */
START_TEST(busy_link_is_left_alone)
{
    to_leading_empty();
    busy[0] = true;
    sends_while_busy = 0;
    for (int i = 0; i < 100; i++) {
        append("x");
        proposer_flush(p, now);
        now += MS(1);
    }
    ck_assert_uint_eq(sends_while_busy, 1);
}
END_TEST

int main(void)
{
    return UNIT_RUN("proposer_mend", setup, teardown, mends_a_hole, mends_from_another,
                    shows_other_boundaries, mend_refused, late_answers_mend_nothing, mends_slowly,
                    busy_link_is_left_alone);
}
