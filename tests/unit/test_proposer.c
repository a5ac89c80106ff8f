/* The proposer's rules, one by one (docs/log-protocol.md, 6), against log nodes that are played by
 * the test: who is elected, from whom it takes its log, and what it tells the nodes first. */
#include "tests/lib/proposer_case.h"

/* --- campaigns ------------------------------------------------------------------------------ */

/* While a majority hears a leader, no term is raised; when it no longer does, it is. */
START_TEST(prevote)
{
    proposer_campaign(p, now);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    for (int i = 0; i < 10; i++) {
        for (unsigned n = 0; n < NODES; n++) {
            ck_assert_uint_eq(boxes[n][0].msg.term.n, 0);
            greet(n, n == 0 ? WIRE_NEVER : MS(300), 6);
        }
        pass_ms(250);
        ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    }
    greet(0, WIRE_NEVER, 6);
    greet(1, MS(LEASE_MS), 6);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    ck_assert_uint_eq(last(0, WIRE_VOTE).term.n, 7);
}
END_TEST

/* One voter is not a majority; a node that answers twice is still one. */
START_TEST(needs_a_majority)
{
    to_voting();
    struct wire_msg q = last(0, WIRE_VOTE);
    struct wire_msg m = wire_reply_to(&q, WIRE_VOTE_REPLY, q.term, (struct conf_id){0});
    m.vote_reply.granted = true;
    m.vote_reply.log.empty = true;
    m.vote_reply.history = history_of(NULL);
    hear(0, &m);
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){0});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert(proposer_donor(p)->empty);
}
END_TEST

/* The log's last term comes before its length, and neither is the term voted in. */
START_TEST(donor_by_term_then_offset)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .pairs = PAIRS(1, 100, 3, 300)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100, 4, 350)});
    const struct proposer_donor *d = proposer_donor(p);
    ck_assert(!d->empty);
    ck_assert_uint_eq(d->node, 1);
    ck_assert_uint_eq(d->end.term.n, 4);
    ck_assert_uint_eq(d->end.offset, 400);
    ck_assert_uint_eq(d->history->count, 2);
}
END_TEST

/* A unit that is not whole is no part of the log: the donor's end is a unit's. */
START_TEST(donor_ends_with_a_unit)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 400, .flush_off = 900, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.unit_off = 500, .pairs = PAIRS(1, 100)});
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
    ck_assert_uint_eq(proposer_donor(p)->end.offset, 500);
}
END_TEST

/* Who may have lost acknowledged bytes fences, but does not vouch: the others must both answer. */
START_TEST(uncertain_does_not_vouch)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 900, .uncertain_to = 950, .pairs = PAIRS(1, 100)});
    grant(1, (struct vote){.unit_off = 400, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    pass_ms(5000); /* fenced already: it waits for the third */
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* A node that lags behind the oldest term that its leader still knew can't be compared with others:
 * it may hold committed bytes that they lack, so it does not vouch either. */
START_TEST(incomparable_does_not_vouch)
{
    to_voting();
    grant(0, (struct vote){.unit_off = 400, .pairs = PAIRS(9, 500)});
    grant(2, (struct vote){.unit_off = 300, .pairs = PAIRS(1, 100, 3, 200)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    grant(1, (struct vote){.unit_off = 500, .pairs = PAIRS(9, 500)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert_uint_eq(proposer_donor(p)->node, 1);
}
END_TEST

/* An empty node is fed from the log's begin, also if the history has forgotten the terms there. */
START_TEST(empty_node_before_a_trimmed_history)
{
    to_voting();
    struct wire_msg q = last(0, WIRE_VOTE);
    struct wire_msg m = wire_reply_to(&q, WIRE_VOTE_REPLY, q.term, (struct conf_id){0});
    m.vote_reply.granted = true;
    m.vote_reply.history = history_of(PAIRS(7, 400, 9, 500));
    m.vote_reply.log = (struct wire_log){.begin = 100, .flush_off = 600, .unit_off = 600};
    hear(0, &m);
    grant(1, (struct vote){0});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    proposer_lead(p, now, 600, &replid);
    struct wire_msg elected = last(1, WIRE_ELECTED);
    ck_assert(elected.elected.reset);
    ck_assert_uint_eq(elected.elected.start, 100);
}
END_TEST

/* A lost election is tried again with a higher term than any seen. */
START_TEST(denied)
{
    to_voting();
    deny(0, TERM);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    deny(1, 18);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    pass_ms(20);
    for (unsigned i = 0; i < 2; i++) {
        greet(i, WIRE_NEVER, 18);
    }
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
    ck_assert_uint_eq(proposer_term(p).n, 19);
}
END_TEST

/* Two addresses of one node would be a majority of one. */
START_TEST(one_node_counts_once)
{
    proposer_campaign(p, now);
    greet_as(0, "a", WIRE_NEVER, 0);
    greet_as(1, "a", WIRE_NEVER, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    ck_assert_uint_eq(refusals, 1);
    struct proposer_node_info info;
    proposer_node(p, 1, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert_str_ne(info.refusal, "");
    greet_as(2, "b", WIRE_NEVER, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_VOTING);
}
END_TEST

/* A foreign node is named once, and asked again now and then: it may be put right. */
START_TEST(foreign_node_is_named_once)
{
    proposer_campaign(p, now);
    for (int i = 0; i < 3; i++) {
        struct wire_msg q = last(0, WIRE_HELLO);
        struct wire_msg m =
            wire_refuse(&q, (struct term){0}, (struct conf_id){0}, WIRE_REFUSED_CLUSTER, NULL);
        m.cluster_id[0] = 99;
        hear(0, &m);
        pass_ms(2500);
    }
    ck_assert_uint_eq(refusals, 1);
    greet(0, WIRE_NEVER, 0);
    struct proposer_node_info info;
    proposer_node(p, 0, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_GREETED);
    ck_assert_str_eq(info.refusal, "");
}
END_TEST

/* --- leading -------------------------------------------------------------------------------- */

/* Each node is told the start that its own log gives, and nothing else before it has agreed. */
START_TEST(elected_first)
{
    to_leading_old();
    struct wire_msg m = last(0, WIRE_ELECTED);
    ck_assert_uint_eq(m.elected.start, END);
    ck_assert(!m.elected.reset);
    struct history h;
    ck_assert_int_eq(history_decode(m.elected.history.bytes, m.elected.history.size, &h), ERR_OK);
    ck_assert_uint_eq(h.count, 3);
    ck_assert_uint_eq(h.entries[2].term.n, proposer_term(p).n);
    ck_assert_uint_eq(h.entries[2].begin, END);
    m = last(1, WIRE_ELECTED);
    ck_assert_uint_eq(m.elected.start, 350);
    append("hello");
    proposer_flush(p, now);
    ck_assert_uint_eq(box_count[0] + box_count[1], 0);
}
END_TEST

/* What a node had before it followed this leader is no part of this log, however long it is. */
START_TEST(acknowledged_in_this_term)
{
    struct proposer_node_info info;

    to_leading_old();
    proposer_node(p, 0, &info);
    ck_assert(info.member && !info.acked);
    ck_assert_uint_eq(info.flushed, END);
    accept_elected(0, END);
    proposer_node(p, 0, &info);
    ck_assert(info.acked);
    proposer_node(p, 1, &info);
    ck_assert(!info.acked);
}
END_TEST

/* A node that comes late is asked what it has, and an empty one begins where the log begins. */
START_TEST(late_node)
{
    to_leading_old();
    empty_boxes();
    proposer_link_up(p, now, 2, false);
    proposer_link_up(p, now, 2, true);
    ck_assert_uint_eq(boxes[2][0].msg.term.n, proposer_term(p).n);
    greet(2, WIRE_NEVER, 0);
    struct wire_msg m = last(2, WIRE_ELECTED);
    ck_assert(m.elected.reset);
    ck_assert_uint_eq(m.elected.start, 100);
}
END_TEST

/* The donor has voted and lost the end of its log, and nobody else has it: no leader of that log
 * can ever commit, so a new election must find out what is left. */
START_TEST(donor_lost_its_tail)
{
    to_leading_old();
    accept_elected(1, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    accept_elected(0, 400);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* Who has lost an election waits a random time longer than a lease of silence: candidates that the
 * nodes have heard at the same time would else vote at the same time again and again. */
START_TEST(loser_is_more_patient)
{
    uint64_t shortest = 0;

    to_voting();
    random_value = MS(300);
    deny(0, OLD_TERM + 5);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ASKING);
    pass_ms(310); /* the back-off itself is over */
    for (uint64_t ms = LEASE_MS; shortest == 0 && ms <= 2 * LEASE_MS; ms += 10) {
        pass_ms(20);
        for (unsigned i = 0; i < NODES && proposer_state(p) == PROPOSER_ASKING; i++) {
            if (box_count[i] > 0) {
                greet(i, MS(ms), OLD_TERM + 5);
            }
        }
        shortest = proposer_state(p) == PROPOSER_VOTING ? ms : 0;
    }
    random_value = 0;
    ck_assert_uint_ge(shortest, LEASE_MS + 300);
    ck_assert_uint_le(shortest, LEASE_MS + 320);
}
END_TEST

/* Nobody is deposed by a term that no number of elections could have reached. */
START_TEST(far_terms_depose_nobody)
{
    to_leading_old();
    accept_elected(0, END);
    struct wire_msg q = last(0, WIRE_APPEND);
    struct wire_msg m = wire_reply_to(&q, WIRE_APPEND_REPLY, q.term, q.conf);
    uint64_t term = q.term.n;
    m.term.n = term + TERM_JUMP_MAX + 100;
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING);
    m.term.n = term + 1;
    hear(0, &m);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* The donor never comes back, while a majority is here. */
START_TEST(donor_never_returns)
{
    to_leading_old();
    accept_elected(1, 350);
    proposer_link_up(p, now, 0, false);
    empty_boxes();
    pass_ms(5000);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING); /* no majority: nothing to gain */
    proposer_link_up(p, now, 1, true);
    greet(1, 0, proposer_term(p).n);
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 100);
    pass_ms(20);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* Nodes 1 and 2 answer whatever they are sent at 10 Hz, node 0 does not any more. */
static void without_the_donor(unsigned tenths, uint64_t end)
{
    for (unsigned i = 0; i < tenths; i++) {
        for (unsigned node = 1; node < NODES; node++) {
            if (box_count[node] == 0) {
                continue;
            }
            struct wire_msg q = boxes[node][box_count[node] - 1].msg;
            if (q.type == WIRE_HELLO) {
                greet(node, 0, proposer_term(p).n);
            } else if (q.type == WIRE_APPEND) {
                struct wire_msg m = last(node, WIRE_APPEND);
                acknowledge(node, &m, end, end);
            }
        }
        pass_ms(100);
    }
}

/* The donor had accepted the leader, and was gone for good before anybody else had its tail. */
START_TEST(donor_gone_after_elected)
{
    to_leading_old();
    accept_elected(0, END);
    accept_elected(1, 350);
    proposer_link_up(p, now, 2, true);
    greet(2, 0, 0);
    accept_elected(2, 100);
    without_the_donor(20, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_LEADING); /* it may come back */
    without_the_donor(20, 350);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

/* It came back with another disk before that, or unsure of its end. */
START_TEST(donor_lost_before_leading)
{
    for (int unsure = 0; unsure < 2; unsure++) {
        to_voting();
        grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
        grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
        ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
        proposer_link_up(p, now, 0, false);
        empty_boxes();
        proposer_link_up(p, now, 0, true);
        ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
        if (unsure) {
            struct wire_msg q = last(0, WIRE_HELLO);
            struct wire_msg m = wire_reply_to(&q, WIRE_HELLO_REPLY, q.term, (struct conf_id){0});
            m.hello_reply.lease_ms = LEASE_MS;
            m.hello_reply.log = (struct wire_log){
                .begin = 100, .flush_off = END, .unit_off = END, .uncertain_to = END + 1};
            m.hello_reply.history = history_of(PAIRS(1, 100, 4, 300));
            strcpy(m.hello_reply.node_id, "a");
            m.hello_reply.disk = disk_of("a");
            m.hello_reply.conf = conf_here();
            hear(0, &m);
        } else {
            greet_on(0, "a", disk_of("x"), WIRE_NEVER, TERM);
        }
        pass_ms(30);
        ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
        teardown();
        setup();
    }
}
END_TEST

/* Who had no part in the election is asked for its vote afterwards: until it is in our term nothing
 * can be read from it. That changes neither the donor nor what was won. */
START_TEST(vote_after_winning)
{
    to_elected_empty();
    proposer_link_up(p, now, 2, false);
    empty_boxes();
    proposer_link_up(p, now, 2, true);
    greet(2, WIRE_NEVER, OLD_TERM);
    pass_ms(30);
    ck_assert_uint_eq(boxes[2][0].msg.term.n, TERM);
    grant(2, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    ck_assert(proposer_donor(p)->empty);
    ck_assert_uint_eq(proposer_safe_at_ns(p), 0);
}
END_TEST

/* It was gone before our own Redis had been brought to its end. */
START_TEST(donor_gone_before_leading)
{
    to_voting();
    grant(0, (struct vote){.unit_off = END, .pairs = PAIRS(1, 100, 4, 300)});
    grant(1, (struct vote){.unit_off = 350, .pairs = PAIRS(1, 100, 4, 300)});
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    empty_boxes();
    without_the_donor(20, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_ELECTED);
    without_the_donor(20, 0);
    ck_assert_int_eq(proposer_state(p), PROPOSER_DEPOSED);
}
END_TEST

int main(void)
{
    return UNIT_RUN("proposer", setup, teardown, far_terms_depose_nobody, loser_is_more_patient,
                    prevote, needs_a_majority, donor_by_term_then_offset, donor_ends_with_a_unit,
                    uncertain_does_not_vouch, incomparable_does_not_vouch,
                    empty_node_before_a_trimmed_history, denied, one_node_counts_once,
                    foreign_node_is_named_once, elected_first, acknowledged_in_this_term, late_node,
                    donor_lost_its_tail, donor_never_returns, donor_gone_after_elected,
                    donor_gone_before_leading, donor_lost_before_leading, vote_after_winning);
}
