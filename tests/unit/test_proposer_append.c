/* The proposer's rules (docs/log-protocol.md, 6) once it leads: appends, what commits, sessions,
 * leases. */
#include "tests/lib/proposer_case.h"

/* What has gathered goes out as one record; while the link is busy it goes on gathering. */
START_TEST(appends_gather)
{
    to_leading_empty();
    append("one");
    append("two");
    ck_assert_uint_eq(box_count[0], 0);
    proposer_flush(p, now);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 6);
    ck_assert_mem_eq(m.data + RECORD_HEADER_BYTES, "onetwo", 6);
    busy[0] = busy[1] = true;
    append("3");
    proposer_flush(p, now);
    append("4");
    proposer_flush(p, now);
    append("5");
    proposer_flush(p, now);
    ck_assert_uint_eq(box_count[0], 0);
    busy[0] = false;
    proposer_link_ready(p, now, 0);
    m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END + 6);
    size_t payload = m.data_size - (m.data_size / RECORD_HEADER_BYTES) * RECORD_HEADER_BYTES;
    ck_assert_uint_eq(payload, 3);
    ck_assert_uint_eq(proposer_end(p), END + 9);
}
END_TEST

/* What is sealed stays a record of its own, with its own wall time, also if it leaves together with
 * others; sealing nothing changes nothing. */
START_TEST(sealed_appends_stay_apart)
{
    struct record first, second;
    const uint8_t *payload;
    size_t whole;

    to_leading_empty();
    proposer_seal(p);
    proposer_append(p, "one", 3, true, 11);
    proposer_seal(p);
    proposer_append(p, "two", 3, true, 22);
    proposer_flush(p, now);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.data_size, 2 * RECORD_HEADER_BYTES + 6);
    ck_assert_int_eq(wire_record(m.data, m.data_size, &first, &payload, &whole), ERR_OK);
    ck_assert_int_eq(wire_record(m.data + whole, m.data_size - whole, &second, &payload, &whole),
                     ERR_OK);
    ck_assert_uint_eq(first.wall_ms, 11);
    ck_assert_uint_eq(first.len_bytes, 3);
    ck_assert_uint_eq(second.wall_ms, 22);
    ck_assert_mem_eq(payload, "two", 3);
}
END_TEST

/* A vote with a log of a term that was never won is none. */
START_TEST(senseless_vote)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .pairs = PAIRS(1, 100, TERM, 300)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100)});
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* No more appends under way to a node than allowed; an acknowledgement makes room. */
START_TEST(inflight_is_bounded)
{
    to_leading_empty();
    for (int i = 0; i < 10; i++) {
        append("x");
        proposer_flush(p, now);
    }
    ck_assert_uint_eq(box_count[0], 2);
    struct wire_msg first = boxes[0][0].msg;
    acknowledge(0, &first, END + 1, END + 1);
    ck_assert_uint_eq(box_count[0], 3);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, END + 2);
}
END_TEST

/* A majority commits, one node does not; parts of a unit do not. */
START_TEST(commit_by_majority)
{
    to_leading_empty();
    append("hello");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    ck_assert_uint_eq(proposer_commit(p), END); /* the empty beginning */
    acknowledge(0, &a, END + 5, END + 5);
    ck_assert_uint_eq(proposer_commit(p), END);
    acknowledge(1, &b, END + 5, END);
    ck_assert_uint_eq(proposer_commit(p), END);
    acknowledge(1, &b, END + 5, END + 5);
    ck_assert_uint_eq(proposer_commit(p), END + 5);
    append("more");
    proposer_flush(p, now);
    ck_assert_uint_eq(last(0, WIRE_APPEND).append.commit, END + 5);
}
END_TEST

/* Raft's figure 8: bytes of older terms are not committed by counting, however many have them; they
 * are when a majority has reached the begin of this term, without a new byte. */
START_TEST(old_terms_commit_with_ours)
{
    to_leading_old();
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 350);
    ck_assert_uint_eq(proposer_commit(p), 0);
    ck_assert(!proposer_may_serve(p, now + MS(5000)));
    accept_elected(0, END);
    ck_assert_uint_eq(proposer_commit(p), 0);
    /* Node 1 is brought there: read from node 0, and sent on as it was written. */
    struct wire_msg q = last(0, WIRE_READ);
    ck_assert_uint_eq(q.read.from, 350);
    ck_assert_uint_eq(q.term.n, proposer_term(p).n);
    uint8_t records[2 * RECORD_HEADER_BYTES + 150] = {0};
    struct record r = {.term = {4}, .begin = 350, .len_bytes = 150, .flags = RECORD_UNIT_END};
    record_encode_header(&r, records);
    struct record idle = {.term = {4}, .begin = END, .flags = RECORD_IDLE};
    record_encode_header(&idle, records + RECORD_HEADER_BYTES + 150);
    struct wire_msg m = wire_reply_to(&q, WIRE_READ_REPLY, q.term, (struct conf_id){0});
    m.data = records;
    m.data_size = sizeof records;
    empty_boxes();
    hear(0, &m);
    unsigned node = box_count[1] > 0 ? 1 : 2;
    m = last(node, WIRE_APPEND);
    ck_assert_uint_eq(m.append.begin, 350);
    ck_assert_uint_eq(m.data_size, RECORD_HEADER_BYTES + 150); /* without the idle marker */
    ck_assert_mem_eq(m.data, records, m.data_size);
    acknowledge(node, &m, END, END);
    ck_assert_uint_eq(proposer_commit(p), END);
}
END_TEST

/* A message that was lost: go on from what the node has; news of the same loss are old. */
START_TEST(gap_rewinds)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    append("two");
    proposer_flush(p, now);
    struct wire_msg second = last(0, WIRE_APPEND);
    ck_assert_uint_eq(second.append.begin, END + 3);
    struct wire_msg m = wire_reply_to(&second, WIRE_APPEND_REPLY, second.term, (struct conf_id){0});
    m.append_reply.gap = true;
    m.append_reply.write_off = END;
    m.append_reply.unit_off = END;
    hear(0, &m);
    struct wire_msg again = last(0, WIRE_APPEND);
    ck_assert_uint_eq(again.append.begin, END);
    ck_assert_uint_eq(again.data_size, 2 * RECORD_HEADER_BYTES + 6);
    hear(0, &m);
    ck_assert_uint_eq(box_count[0], 0);
    acknowledge(0, &again, END + 6, END + 6);
    append("x");
    proposer_flush(p, now);
    ck_assert_uint_eq(last(0, WIRE_APPEND).append.begin, END + 6);
}
END_TEST

/* A new link is a new session: old answers have no effect, and the node is asked what it has. */
START_TEST(new_link_new_session)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    proposer_link_up(p, now, 0, false);
    proposer_link_up(p, now, 0, true);
    struct wire_msg hello = last(0, WIRE_HELLO);
    ck_assert_uint_gt(hello.session, a.session);
    acknowledge(0, &a, END + 3, END + 3);
    acknowledge(1, &b, END + 3, END + 3);
    ck_assert_uint_eq(proposer_commit(p), END);
    struct wire_msg m = wire_reply_to(&hello, WIRE_HELLO_REPLY, a.term, (struct conf_id){0});
    m.hello_reply.lease_ms = LEASE_MS;
    strcpy(m.hello_reply.node_id, "a");
    m.hello_reply.disk = disk_of("a");
    m.hello_reply.log = (struct wire_log){.begin = END, .flush_off = END + 3, .unit_off = END + 3};
    m.hello_reply.history = history_of(PAIRS(proposer_term(p).n, END));
    hear(0, &m);
    ck_assert_uint_eq(last(0, WIRE_ELECTED).elected.start, END + 3);
}
END_TEST

/* Only acknowledgements after Elected count, and only those of the present session, however far
 * they reach. */
START_TEST(what_counts)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg old = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    proposer_link_up(p, now, 0, true);
    greet(0, 0, TERM);
    struct wire_msg q = boxes[0][0].msg;
    ck_assert_int_eq(q.type, WIRE_ELECTED);
    acknowledge(1, &b, END + 3, END + 3);
    acknowledge(0, &q, END + 3, END + 3); /* this session, but it has not agreed */
    ck_assert_uint_eq(proposer_commit(p), END);
    accept_elected(0, END);
    empty_boxes();
    acknowledge(0, &old, END + 3, END + 3);
    ck_assert_uint_eq(proposer_commit(p), END);
}
END_TEST

/* A node that has restarted refuses appends: it is told anew who leads, at once. */
START_TEST(restarted_node)
{
    to_leading_empty();
    append("one");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND);
    refuse(0, &a, WIRE_REFUSED_ELECTED);
    ck_assert_uint_gt(last(0, WIRE_HELLO).session, a.session);
    /* What makes no sense there is not repeated in a busy loop. */
    struct wire_msg b = last(1, WIRE_APPEND);
    refuse(1, &b, WIRE_REFUSED_BAD);
    ck_assert_uint_eq(box_count[1], 0);
    pass_ms(200);
    (void)last(1, WIRE_HELLO);
}
END_TEST

/* A node that acknowledged, lost its disk and comes back under a new id: that acknowledgement and
 * another node's are no majority. */
START_TEST(replaced_node)
{
    to_leading_empty();
    append("0123456789");
    proposer_flush(p, now);
    struct wire_msg q = last(1, WIRE_APPEND);
    acknowledge(1, &q, END + 10, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END);

    proposer_link_up(p, now, 1, false);
    empty_boxes();
    proposer_link_up(p, now, 1, true);
    greet_on(1, "b", disk_of("x"), WIRE_NEVER, TERM);
    struct proposer_node_info info;
    proposer_node(p, 1, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert_ptr_nonnull(strstr(info.refusal, "log node b has an empty disk but was a member"));
    ck_assert_ptr_nonnull(strstr(info.refusal, "holdfast-ctl log replace b NEW"));
    ck_assert_uint_eq(refusals, 1);
    proposer_link_up(p, now, 0, true);
    greet(0, WIRE_NEVER, TERM);
    accept_elected(0, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END);
    proposer_link_up(p, now, 2, true);
    greet(2, WIRE_NEVER, TERM);
    accept_elected(2, END + 10);
    ck_assert_uint_eq(proposer_commit(p), END + 10);
    pass_ms(2100); /* asked again, it is still no member */
    greet_on(1, "b", disk_of("x"), WIRE_NEVER, TERM);
    ck_assert_uint_eq(box_count[1], 0);
}
END_TEST

/* A higher term anywhere ends it, also in a late message of an old session. */
START_TEST(deposed)
{
    to_leading_empty();
    proposer_flush(p, now);
    struct wire_msg q = {.type = WIRE_APPEND, .cluster_id = {7}, .log_id = 1, .term = {TERM}};
    struct wire_msg m =
        wire_refuse(&q, (struct term){19}, (struct conf_id){0}, WIRE_REFUSED_TERM, NULL);
    hear(2, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
    ck_assert(!proposer_may_serve(p, now));
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    append("too late");
    proposer_flush(p, now);
    empty_boxes();
    proposer_campaign(p, now);
    pass_ms(20);
    greet(0, WIRE_NEVER, 19);
    greet(1, WIRE_NEVER, 19);
    ck_assert_uint_eq(proposer_term(p).n, 20);
}
END_TEST

/* --- leases --------------------------------------------------------------------------------- */

/* The lease counts from when a message was sent, and from one that a majority has answered. */
START_TEST(lease_from_send_time)
{
    to_leading_empty();
    now += MS(BEAT_MS);
    uint64_t sent = now;
    proposer_tick(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    ck_assert_uint_eq(a.data_size, 0);
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    now += MS(400);
    acknowledge(0, &a, END, END);
    ck_assert_uint_eq(proposer_lease_end_ns(p), 0);
    acknowledge(1, &b, END, END);
    ck_assert_uint_eq(proposer_lease_end_ns(p), sent + MS(990));
    ck_assert(proposer_may_serve(p, sent + MS(990) - 1));
    ck_assert(!proposer_may_serve(p, sent + MS(990)));
}
END_TEST

/* Heartbeats go to each node that agreed, and only when nothing else was sent. */
START_TEST(heartbeats)
{
    to_leading_empty();
    proposer_tick(p, now);
    empty_boxes();
    pass_ms(450);
    ck_assert_uint_ge(box_count[0], 3);
    ck_assert_uint_le(box_count[0], 5);
    ck_assert_uint_eq(last(0, WIRE_APPEND).data_size, 0);
}
END_TEST

static uint64_t append_end(const struct wire_msg *m)
{
    uint64_t end = m->append.begin;
    struct record r;
    const uint8_t *payload;
    size_t whole;

    for (size_t at = 0; at < m->data_size; at += whole) {
        ck_assert_int_eq(wire_record(m->data + at, m->data_size - at, &r, &payload, &whole),
                         ERR_OK);
        end = record_end(&r);
    }
    return end;
}

/* How many appends nodes 0 and 1 were sent, and how many of them were empty; they acknowledge them.
 */
static unsigned count_and_acknowledge(unsigned *empty)
{
    unsigned count = 0;

    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < box_count[n]; i++) {
            ck_assert_int_eq(boxes[n][i].msg.type, WIRE_APPEND);
            *empty += boxes[n][i].msg.data_size == 0;
        }
        count += box_count[n];
        if (box_count[n] > 0) {
            struct wire_msg m = last(n, WIRE_APPEND);
            acknowledge(n, &m, append_end(&m), append_end(&m));
        }
    }
    return count;
}

/* Nothing follows a write: each node is told that it is committed, once, soon, and at the time that
 * was said; not at once, as an append may follow, nor while the link is busy. */
START_TEST(commit_is_told)
{
    unsigned empty = 0;

    to_leading_empty();
    proposer_tick(p, now);
    (void)count_and_acknowledge(&empty);
    pass_ms(20);
    (void)count_and_acknowledge(&empty);
    append("hello");
    proposer_flush(p, now);
    struct wire_msg a = last(0, WIRE_APPEND), b = last(1, WIRE_APPEND);
    now += MS(8);
    acknowledge(0, &a, END + 5, END + 5);
    proposer_tick(p, now);
    acknowledge(1, &b, END + 5, END + 5);
    ck_assert_uint_eq(proposer_commit(p), END + 5);
    proposer_tick(p, now);
    ck_assert_uint_eq(box_count[0] + box_count[1], 0);
    uint64_t at = proposer_next_tick_ns(p);
    ck_assert_uint_eq(at, now + MS(5));
    proposer_tick(p, at - 1);
    ck_assert_uint_eq(box_count[0] + box_count[1], 0);
    busy[1] = true;
    now = at;
    proposer_tick(p, now);
    ck_assert_uint_eq(box_count[0], 1);
    a = last(0, WIRE_APPEND);
    ck_assert_uint_eq(a.data_size, 0);
    ck_assert_uint_eq(a.append.begin, END + 5);
    ck_assert_uint_eq(a.append.commit, END + 5);
    ck_assert_uint_gt(proposer_next_tick_ns(p), now); /* not again and again */
    now += MS(3);
    busy[1] = false;
    proposer_link_ready(p, now, 1);
    ck_assert_uint_eq(last(1, WIRE_APPEND).append.commit, END + 5);
    acknowledge(0, &a, END + 5, END + 5);
    pass_ms(60);
    ck_assert_uint_eq(box_count[0] + box_count[1], 0); /* until the next heartbeat */
}
END_TEST

/* A node that has not acknowledged what it was sent is told when it has; one that will be sent
 * more, with that. */
START_TEST(commit_waits_for_what_is_under_way)
{
    to_leading_empty();
    proposer_link_up(p, now, 2, true);
    greet(2, 0, TERM);
    accept_elected(2, END);
    pass_ms(30);
    empty_boxes();
    append("hello");
    proposer_flush(p, now);
    for (unsigned i = 0; i < 2; i++) {
        struct wire_msg m = last(i, WIRE_APPEND);
        acknowledge(i, &m, END + 5, END + 5);
    }
    struct wire_msg late = last(2, WIRE_APPEND);
    ck_assert_uint_eq(proposer_commit(p), END + 5);
    pass_ms(20);
    ck_assert_uint_eq(box_count[2], 0);
    ck_assert_uint_eq(last(0, WIRE_APPEND).append.commit, END + 5);
    ck_assert_uint_eq(last(1, WIRE_APPEND).append.commit, END + 5);
    acknowledge(2, &late, END + 5, END + 5);
    struct wire_msg told = last(2, WIRE_APPEND);
    ck_assert_uint_eq(told.append.commit, END + 5);
    ck_assert_uint_eq(told.data_size, 0);

    append("more");
    proposer_flush(p, now);
    append("held back");
    for (unsigned i = 0; i < 2; i++) {
        struct wire_msg m = last(i, WIRE_APPEND);
        acknowledge(i, &m, END + 9, END + 9);
    }
    ck_assert_uint_eq(proposer_commit(p), END + 9);
    now += MS(20);
    proposer_tick(p, now);
    ck_assert_uint_eq(box_count[0], 0);
    proposer_flush(p, now);
    struct wire_msg m = last(0, WIRE_APPEND);
    ck_assert_uint_eq(m.append.commit, END + 9);
    ck_assert_uint_gt(m.data_size, 0);
}
END_TEST

/* Under load appends carry it: not a message more than there are appends, whether each is
 * committed before the next, or what the disks take longer for piles up. */
START_TEST(commit_goes_along)
{
    unsigned empty = 0, sent = 0;
    uint64_t end = END;

    to_leading_empty();
    proposer_tick(p, now);
    (void)count_and_acknowledge(&empty);
    empty = 0;
    for (int i = 0; i < 2000; i++) {
        append("x");
        end++;
        now += MS(1);
        proposer_flush(p, now);
        proposer_tick(p, now);
        if (i < 1000 || i % 20 == 19) {
            sent += count_and_acknowledge(&empty);
        }
    }
    sent += count_and_acknowledge(&empty);
    sent += count_and_acknowledge(&empty);
    ck_assert_uint_eq(proposer_commit(p), end);
    ck_assert_uint_eq(empty, 0);
    ck_assert_uint_ge(sent, 2 * (1000 + 50));
    ck_assert_uint_le(sent, 2 * (1000 + 3 * 51));
}
END_TEST

/* Older leases may live: until they can't, nothing is served, whatever is committed. */
START_TEST(safe_at)
{
    to_voting();
    uint64_t voted = now;
    grant(0, (struct vote){.elapsed_ns = MS(700), .unit_off = END, .pairs = PAIRS(1, 100)});
    now += MS(50);
    grant(1, (struct vote){.elapsed_ns = MS(100), .unit_off = END, .pairs = PAIRS(1, 100)});
    ck_assert_uint_eq(proposer_safe_at_ns(p), voted + MS(50) + MS(1010) - MS(100));
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    accept_elected(1, END);
    ck_assert_uint_eq(proposer_commit(p), END);
    for (now = proposer_safe_at_ns(p) - MS(300); now < proposer_safe_at_ns(p) + MS(100);
         now += MS(50)) {
        proposer_tick(p, now);
        for (unsigned i = 0; i < 2; i++) {
            if (box_count[i] > 0) {
                struct wire_msg m = last(i, WIRE_APPEND);
                acknowledge(i, &m, END, END);
            }
        }
        ck_assert_int_eq(proposer_may_serve(p, now), now >= proposer_safe_at_ns(p));
    }
}
END_TEST

/* Where all voters are empty nobody has led, and nobody is waited for; one with a log, or one that
 * may have lost its own, is waited for as ever. */
START_TEST(first_leader_does_not_wait)
{
    to_voting();
    grant(0, (struct vote){.elapsed_ns = MS(1)});
    grant(1, (struct vote){.elapsed_ns = MS(1)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_eq(proposer_safe_at_ns(p), 0);

    teardown();
    setup();
    to_voting();
    grant(0, (struct vote){.elapsed_ns = MS(1)});
    grant(1, (struct vote){.elapsed_ns = MS(1), .unit_off = END, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_gt(proposer_safe_at_ns(p), now);

    teardown();
    setup();
    to_voting();
    grant(0, (struct vote){.elapsed_ns = MS(1)});
    grant(2, (struct vote){.elapsed_ns = MS(1), .uncertain_to = END});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(1, (struct vote){.elapsed_ns = MS(1)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_gt(proposer_safe_at_ns(p), now);
}
END_TEST

/* Only who has waited out all older leases gives the lease back. */
START_TEST(release_after_safe_at)
{
    to_voting();
    grant(0, (struct vote){.elapsed_ns = MS(100), .unit_off = END, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.elapsed_ns = MS(100), .unit_off = END, .pairs = PAIRS(1, 100)});
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    empty_boxes();
    proposer_release(p, now);
    ck_assert_int_eq(proposer_state(p), PROPOSER_IDLE);
    ck_assert_uint_eq(box_count[0], 0);

    teardown();
    setup();
    to_leading_empty();
    proposer_release(p, now);
    (void)last(0, WIRE_RELEASE);
    (void)last(1, WIRE_RELEASE);
    (void)last(2, WIRE_RELEASE); /* it has not accepted this leader, but may be of its term */
    ck_assert(!proposer_may_serve(p, now));
}
END_TEST

/* Log nodes that stall for longer than a lease are told, too, by one who gives up: when they go on,
 * who comes next need not wait for the lease that they give then. */
START_TEST(release_to_who_is_silent)
{
    to_leading_empty();
    pass_ms(BEAT_MS);
    uint64_t session = last(0, WIRE_APPEND).session;
    for (int beat = 0; beat < 10; beat++) {
        pass_ms(LEASE_MS / 10);
    }
    ck_assert_uint_gt(last(0, WIRE_HELLO).session, session);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    busy[1] = true;
    proposer_link_up(p, now, 2, false);
    empty_boxes();
    proposer_hand_over(p, now, "10.0.0.1:6379");
    struct wire_msg m = last(0, WIRE_RELEASE);
    ck_assert_str_eq(m.release.heir, "10.0.0.1:6379");
    ck_assert_uint_eq(box_count[1] + box_count[2], 0);

    /* One that refuses it, since it is of another term, is no reason for anything. */
    busy[1] = false;
    proposer_link_ready(p, now, 1);
    proposer_link_up(p, now, 2, true);
    proposer_campaign(p, now);
    refuse(0, &m, WIRE_REFUSED_ELECTED);
    refuse(0, &m, WIRE_REFUSED_LOG);
    greet(0, WIRE_NEVER, TERM);
    greet(1, WIRE_NEVER, TERM);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    ck_assert_uint_eq(refusals, 0);
}
END_TEST

/* What is to be said when it dies is what it would say itself, at any time, and never more. */
START_TEST(last_words)
{
    struct wire_msg word, release;

    to_voting();
    ck_assert(!proposer_last_word(p, now, 0, "", &word));
    grant(0, (struct vote){.elapsed_ns = MS(100), .unit_off = END, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.elapsed_ns = MS(100), .unit_off = END, .pairs = PAIRS(1, 100)});
    proposer_lead(p, now, END, &replid);
    accept_elected(0, END);
    ck_assert(!proposer_last_word(p, now, 0, "", &word)); /* older leases */

    teardown();
    setup();
    to_leading_empty();
    ck_assert(proposer_last_word(p, now, 0, "10.0.0.1:6379", &word));
    ck_assert(proposer_last_word(p, now, 2, "", &word)); /* accepted there or not */
    ck_assert(proposer_last_word(p, now, 0, "10.0.0.1:6379", &word));
    proposer_hand_over(p, now, "10.0.0.1:6379");
    release = last(0, WIRE_RELEASE);
    word.seq = release.seq; /* nobody looks at it */
    ck_assert_uint_eq(word.term.n, release.term.n);
    ck_assert_uint_eq(word.session, release.session);
    ck_assert_int_eq(conf_id_compare(word.conf, release.conf), 0);
    ck_assert_mem_eq(word.cluster_id, release.cluster_id, sizeof word.cluster_id);
    ck_assert_uint_eq(word.log_id, release.log_id);
    ck_assert_uint_eq(word.channel, release.channel);
    ck_assert_str_eq(word.release.heir, release.release.heir);
    ck_assert(!proposer_last_word(p, now, 0, "", &word));
}
END_TEST

/* Who was elected and still brings its Redis up says so now and then. */
START_TEST(elected_keeps_others_away)
{
    to_elected_empty();
    empty_boxes();
    for (int i = 0; i < 5; i++) {
        pass_ms(300);
        ck_assert_uint_eq(boxes[0][0].msg.term.n, TERM);
        greet(0, 0, TERM);
    }
}
END_TEST

/* --- slow nodes ----------------------------------------------------------------------------- */

/* A frozen node costs neither memory beyond the window nor a step of the others; when it returns it
 * is brought up by records read from a peer, then by the window, then streams. */
START_TEST(frozen_node)
{
    static char chunk[900];
    struct proposer_node_info info;

    teardown();
    now = MS(5000);
    create(1 << 20);
    to_leading_empty();
    memset(chunk, 'x', sizeof chunk);
    uint64_t end = END;
    for (int i = 0; i < 5000; i++) {
        proposer_append(p, chunk, sizeof chunk, true, 1);
        now += MS(1);
        proposer_flush(p, now);
        end += sizeof chunk;
        for (unsigned n = 0; n < 2; n++) {
            struct wire_msg m = last(n, WIRE_APPEND);
            acknowledge(n, &m, end, end);
        }
        ck_assert_uint_eq(proposer_commit(p), end);
    }
    proposer_node(p, 2, &info);
    ck_assert_int_ne(info.state, PROPOSER_NODE_STREAMING);
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, 0, TERM);
    accept_elected(2, END);
    proposer_node(p, 2, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_CATCHUP);
    pass_ms(50);
    unsigned source = box_count[0] > 0 && boxes[0][0].msg.type == WIRE_READ ? 0 : 1;
    struct wire_msg q = boxes[source][0].msg;
    ck_assert_int_eq(q.type, WIRE_READ);
    ck_assert_uint_eq(q.read.from, END);
    empty_boxes();
    refuse(source, &q, WIRE_REFUSED_CORRUPT); /* that one is rotten: the other is asked */
    pass_ms(50);
    q = last(1 - source, WIRE_READ);
    /* It sends so much that the window covers the rest. */
    uint64_t jump = end - (uint64_t)sizeof chunk * 10;
    size_t size = RECORD_HEADER_BYTES + (jump - END);
    uint8_t *bytes = mem_calloc(1, size);
    struct record r = {.term = {TERM}, .begin = END, .len_bytes = (uint32_t)(jump - END)};
    record_encode_header(&r, bytes);
    struct wire_msg m = wire_reply_to(&q, WIRE_READ_REPLY, q.term, (struct conf_id){0});
    m.data = bytes;
    m.data_size = size;
    hear(1 - source, &m);
    free(bytes);
    m = last(2, WIRE_APPEND);
    acknowledge(2, &m, jump, jump);
    uint64_t at = jump;
    while (box_count[2] > 0) {
        m = boxes[2][0].msg;
        ck_assert_int_eq(m.type, WIRE_APPEND);
        at = m.append.begin + m.data_size - RECORD_HEADER_BYTES;
        free(boxes[2][0].bytes);
        memmove(&boxes[2][0], &boxes[2][1], --box_count[2] * sizeof boxes[2][0]);
        acknowledge(2,
                    &(struct wire_msg){.type = WIRE_APPEND,
                                       .cluster_id = {7},
                                       .log_id = 1,
                                       .term = {TERM},
                                       .session = m.session,
                                       .seq = m.seq},
                    at, at);
    }
    ck_assert_uint_eq(at, end);
    proposer_node(p, 2, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_STREAMING);
    ck_assert_uint_eq(info.flushed, end);
}
END_TEST

int main(void)
{
    return UNIT_RUN("proposer_append", setup, teardown, senseless_vote, appends_gather,
                    sealed_appends_stay_apart, inflight_is_bounded, commit_by_majority,
                    old_terms_commit_with_ours, gap_rewinds, new_link_new_session, what_counts,
                    restarted_node, replaced_node, deposed, lease_from_send_time, heartbeats,
                    commit_is_told, commit_waits_for_what_is_under_way, commit_goes_along, safe_at,
                    first_leader_does_not_wait, release_after_safe_at, release_to_who_is_silent,
                    last_words, elected_keeps_others_away, frozen_node);
}
