/* The role machine: each road from following to serving and back, and that it never does two things
 * at once. */
#include "proxy/node/role.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

/* Writes down what the machine asks for, as one letter each. */
struct recorder {
    char calls[64];
    uint64_t attach_offset;
    uint64_t lead_begin;
    struct replid attach_replid;
};

static void record(void *ctx, char letter)
{
    struct recorder *r = ctx;
    size_t len = strlen(r->calls);
    if (len + 1 < sizeof r->calls) {
        r->calls[len] = letter;
        r->calls[len + 1] = '\0';
    }
}

static void on_follow(void *ctx)
{
    record(ctx, 'f');
}
static void on_campaign(void *ctx)
{
    record(ctx, 'c');
}
static void on_release(void *ctx)
{
    record(ctx, 'r');
}
static void on_attach(void *ctx, const struct replid *replid, uint64_t offset)
{
    ((struct recorder *)ctx)->attach_replid = *replid;
    ((struct recorder *)ctx)->attach_offset = offset;
    record(ctx, 'a');
}
static void on_detach(void *ctx)
{
    record(ctx, 'd');
}
static void on_adopt(void *ctx)
{
    record(ctx, 'o');
}
static void on_promote(void *ctx)
{
    record(ctx, 'p');
}
static void on_abandon(void *ctx)
{
    record(ctx, 'x');
}
static void on_lead(void *ctx, uint64_t begin, const struct replid *replid)
{
    (void)replid;
    ((struct recorder *)ctx)->lead_begin = begin;
    record(ctx, 'l');
}
static void on_drop(void *ctx, const char *why)
{
    (void)why;
    record(ctx, 'w');
}
static void on_say(void *ctx, enum role_state state, const char *why)
{
    (void)ctx;
    (void)state;
    (void)why;
}

static const struct role_actions actions = {.follow = on_follow,
                                            .campaign = on_campaign,
                                            .release = on_release,
                                            .attach = on_attach,
                                            .detach = on_detach,
                                            .adopt = on_adopt,
                                            .promote = on_promote,
                                            .abandon = on_abandon,
                                            .lead = on_lead,
                                            .drop_withheld = on_drop,
                                            .say = on_say};

#define MS 1000000ull

static struct recorder recorder;
static struct role role;
static struct role_view view;
static const struct replid id_a = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
static const struct replid id_b = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

static void setup(void)
{
    recorder = (struct recorder){0};
    view = (struct role_view){.now_ns = 1000 * MS, .redis_up = true, .nobody_leads = true};
    role_init(&role, &actions, &recorder, 100);
}

static void expect(const char *calls)
{
    ck_assert_str_eq(recorder.calls, calls);
    recorder.calls[0] = '\0';
}

/* A log with data up to offset 500, and this proxy elected. */
static void elect(void)
{
    role_step(&role, &view);
    expect("c");
    view.nobody_leads = false;
    view.elected = true;
    view.log_end = 500;
    view.replid = id_a;
}

/* The last leader has ended without a word: what its watchdog may have to say is waited for. Named
 * by it, nobody waits. */
START_TEST(listens_before_it_campaigns)
{
    view.listen_ms = 25;
    role_step(&role, &view);
    expect("");
    ck_assert(role_next_ns(&role) > view.now_ns && role_next_ns(&role) < view.now_ns + 100 * MS);
    view.now_ns = role_next_ns(&role);
    role_step(&role, &view);
    expect("c");

    setup();
    view.listen_ms = 25;
    role_step(&role, &view);
    expect("");
    view.heir = true;
    role_step(&role, &view);
    expect("c");
}
END_TEST

static void begin_serving(void)
{
    elect();
    role_step(&role, &view);
    expect("a");
    role_resumed(&role, &view, &id_a);
    expect("l");
    view.elected = false;
    view.leading = true;
    role_step(&role, &view);
    ck_assert_int_eq(role.state, ROLE_SETTLE);
    view.may_serve = true;
    role_step(&role, &view);
    ck_assert_int_eq(role.state, ROLE_SERVE);
    view.now_ns += 1000 * MS;
    expect("");
}

/* A Redis that stands where the log ends is served from at once. */
START_TEST(attaches_where_the_log_ends)
{
    elect();
    role_step(&role, &view);
    expect("a");
    ck_assert_uint_eq(recorder.attach_offset, 500);
    role_step(&role, &view);
    expect("");
    role_resumed(&role, &view, &id_b);
    expect("l");
    ck_assert_uint_eq(recorder.lead_begin, 500);
    ck_assert_int_eq(role.state, ROLE_SETTLE);
}
END_TEST

/* One that does not follows the log to its end first, is made a master, and then attached to: by
 * the replication id that it bears, which need not be the newest. */
START_TEST(promotes_a_redis_that_lost_its_place)
{
    elect();
    role_step(&role, &view);
    role_full_resync(&role, &view);
    role_step(&role, &view);
    expect("adp");
    role_failed(&role, &view, "no snapshot");
    role_step(&role, &view);
    expect("x");
    view.now_ns += 200 * MS;
    role_step(&role, &view);
    expect("p");
    role_promoted(&role, &view, &id_b);
    role_step(&role, &view);
    expect("a");
    ck_assert_int_eq(memcmp(recorder.attach_replid.hex, id_b.hex, sizeof id_b.hex), 0);
    role_resumed(&role, &view, &id_b);
    expect("l");
}
END_TEST

/* A follower that is elected is promoted without asking it for anything. */
START_TEST(promotes_a_follower)
{
    view.following = true;
    elect();
    role_step(&role, &view);
    expect("p");
    role_promoted(&role, &view, &id_a);
    role_step(&role, &view);
    expect("a");
    ck_assert_uint_eq(recorder.attach_offset, 500);
}
END_TEST

/* Somebody leads: Redis goes along, and is told so again after a failure; nobody campaigns. */
START_TEST(follows_a_leader)
{
    view.nobody_leads = false;
    role_step(&role, &view);
    expect(""); /* nobody knows yet */
    view.other_leads = true;
    role_step(&role, &view);
    role_step(&role, &view);
    expect("f");
    view.following = true;
    role_step(&role, &view);
    view.following = false;
    role_failed(&role, &view, "Redis does not come");
    role_step(&role, &view);
    expect("");
    view.now_ns += 100 * MS;
    role_step(&role, &view);
    expect("f");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* The best follower campaigns at once, the next ones later, and none while somebody is heard; whom
 * the last leader has named does not wait. */
START_TEST(campaigns_in_order)
{
    view.rank = 2;
    role_step(&role, &view);
    view.now_ns += 119 * MS;
    role_step(&role, &view);
    expect("");
    ck_assert_uint_ge(role_next_ns(&role), view.now_ns);
    view.nobody_leads = false;
    role_step(&role, &view);
    view.nobody_leads = true;
    role_step(&role, &view);
    view.now_ns += 119 * MS;
    role_step(&role, &view);
    expect("");
    view.now_ns += 17 * MS; /* its random part, too */
    role_step(&role, &view);
    expect("c");

    setup();
    view.rank = 5;
    view.heir = true;
    role_step(&role, &view);
    expect("c");
}
END_TEST

/* A candidate that hears of another leader follows him. */
START_TEST(lost_campaign)
{
    role_step(&role, &view);
    expect("c");
    view.other_leads = true;
    view.nobody_leads = false;
    role_step(&role, &view);
    expect("rf");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* Handing over: nothing is released before all is answered and committed; or it serves on. */
START_TEST(yields)
{
    ck_assert(!role_yield(&role, &view, 50));
    begin_serving();
    ck_assert(role_yield(&role, &view, 50));
    role_step(&role, &view);
    expect("");
    ck_assert_int_eq(role.state, ROLE_YIELD);
    view.drained = true;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);

    setup();
    begin_serving();
    ck_assert(role_yield(&role, &view, 50));
    view.now_ns += 50 * MS;
    role_step(&role, &view);
    expect("");
    ck_assert_int_eq(role.state, ROLE_SERVE);

    ck_assert(role_yield(&role, &view, 50));
    role_detached(&role, &view, "gone");
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* A Redis that is lost, or hangs, is not waited for when another proxy could lead. */
START_TEST(gives_way_to_a_successor)
{
    begin_serving();
    view.successor = true;
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    expect("a"); /* perhaps only the connection broke */
    role_detached(&role, &view, "connection refused");
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);

    setup();
    begin_serving();
    view.redis_stalled = true;
    role_step(&role, &view);
    expect("");
    view.successor = true;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* An empty log takes over what Redis holds. */
START_TEST(adopts_into_an_empty_log)
{
    role_step(&role, &view);
    view.elected = true;
    view.log_empty = true;
    role_step(&role, &view);
    expect("co");
    role_adopted(&role, &view, &id_a, 77);
    expect("l");
    ck_assert_uint_eq(recorder.lead_begin, 77);
    ck_assert_int_eq(role.state, ROLE_SETTLE);
}
END_TEST

/* Elected, but Redis is not there: nothing is done until it is. */
START_TEST(waits_for_redis)
{
    elect();
    view.redis_up = false;
    role_step(&role, &view);
    expect("");
    ck_assert_int_eq(role.state, ROLE_CAMPAIGN);
    view.redis_up = true;
    role_step(&role, &view);
    expect("a");
}
END_TEST

/* Who can't serve does not hold the term: no campaign without a Redis, and none is kept without. */
START_TEST(leaves_the_term_to_others_while_redis_is_away)
{
    const uint64_t long_ns = 60 * 1000000000ull;

    view.redis_up = false;
    role_step(&role, &view);
    view.now_ns += long_ns;
    role_step(&role, &view);
    expect("");

    setup();
    elect();
    view.redis_up = false;
    role_step(&role, &view);
    expect("");
    view.now_ns += long_ns;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
    view.elected = false;
    view.nobody_leads = true;
    view.now_ns += long_ns;
    role_step(&role, &view);
    expect("");
    view.redis_up = true;
    role_step(&role, &view);
    expect("c");

    setup();
    begin_serving();
    view.redis_up = false;
    view.now_ns += long_ns;
    role_step(&role, &view); /* its stream is there */
    expect("");
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    expect("a");
    view.now_ns += long_ns;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* Deposed, and in the same turn, before the role has seen it, Redis answers or a quorum holds the
 * snapshot: nobody leads then. */
START_TEST(deposed_just_before_it_would_lead)
{
    elect();
    role_step(&role, &view);
    expect("a");
    view.elected = false;
    view.deposed = true;
    role_resumed(&role, &view, &id_a);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);

    setup();
    role_step(&role, &view);
    view.elected = view.log_empty = true;
    role_step(&role, &view);
    expect("co");
    view.elected = false;
    role_adopted(&role, &view, &id_a, 77);
    expect("xwdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* A leader whose Redis was restarted campaigns again as soon as the log nodes know that it left. */
START_TEST(campaigns_again_at_once)
{
    begin_serving();
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    role_full_resync(&role, &view);
    expect("awdr");
    view.leading = view.may_serve = false;
    role_step(&role, &view);
    expect("");
    view.nobody_leads = true;
    role_step(&role, &view);
    expect("c");
}
END_TEST

/* A broken stream is taken up again where it broke, by the same Redis only. */
START_TEST(reattaches_to_the_same_redis)
{
    begin_serving();
    view.stream_offset = 900;
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    expect("a");
    ck_assert_uint_eq(recorder.attach_offset, 900);
    role_resumed(&role, &view, &id_a);
    expect("");
    ck_assert_int_eq(role.state, ROLE_SETTLE);
}
END_TEST

START_TEST(another_redis_means_another_election)
{
    begin_serving();
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    expect("a");
    role_resumed(&role, &view, &id_b);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);

    setup();
    begin_serving();
    role_detached(&role, &view, "gone");
    role_step(&role, &view);
    role_full_resync(&role, &view);
    expect("awdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* A higher term ends everything, whatever was under way. */
START_TEST(deposed_in_every_state)
{
    begin_serving();
    view.leading = view.may_serve = false;
    view.deposed = true;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
    view.nobody_leads = true;
    role_step(&role, &view);
    expect("c");

    setup();
    elect();
    role_step(&role, &view);
    role_full_resync(&role, &view);
    role_step(&role, &view);
    expect("adp");
    view.elected = false;
    role_step(&role, &view);
    expect("xwdr");
}
END_TEST

/* A stream that breaks again as soon as it goes on is not asked for in a spin. */
START_TEST(reattaching_in_vain_has_its_pauses)
{
    begin_serving();
    role_detached(&role, &view, "not understood");
    role_step(&role, &view);
    expect("a");
    role_resumed(&role, &view, &id_a);
    role_detached(&role, &view, "not understood");
    role_step(&role, &view);
    expect("");
    view.now_ns += 100 * MS;
    role_step(&role, &view);
    expect("a");
}
END_TEST

/* But with log nodes that are connected and say nothing, it gives up: they may hear it, and would
 * let nobody else lead. Not at once: one that was frozen has not looked at what came meanwhile. */
START_TEST(gives_up_when_deaf_without_a_lease)
{
    begin_serving();
    view.deaf = true;
    role_step(&role, &view);
    expect("");
    view.may_serve = false;
    view.lease_is_over = true;
    role_step(&role, &view);
    expect("");
    ck_assert(role_next_ns(&role) > view.now_ns && role_next_ns(&role) != UINT64_MAX);
    view.lease_is_over = false; /* it was renewed */
    role_step(&role, &view);
    ck_assert(role_next_ns(&role) == UINT64_MAX);
    view.lease_is_over = true;
    role_step(&role, &view);
    view.now_ns = role_next_ns(&role) - 1;
    role_step(&role, &view);
    expect("");
    view.now_ns++;
    role_step(&role, &view);
    expect("wdr");
    ck_assert_int_eq(role.state, ROLE_FOLLOW);
}
END_TEST

/* Who is alone waits for as long as it takes: nobody else can lead. */
START_TEST(waits_when_deaf_and_alone)
{
    begin_serving();
    view.deaf = view.alone = view.lease_is_over = true;
    view.may_serve = false;
    role_step(&role, &view);
    ck_assert(role_next_ns(&role) == UINT64_MAX);
    view.now_ns += 3600000 * MS;
    role_step(&role, &view);
    expect("");
    view.alone = false; /* one has come since */
    role_step(&role, &view);
    expect("");
    view.now_ns += 200 * MS;
    role_step(&role, &view);
    expect("wdr");
}
END_TEST

/* A lease that runs out changes no role: the same leader serves again when a quorum is back. */
START_TEST(keeps_leading_without_a_lease)
{
    begin_serving();
    view.may_serve = false;
    role_step(&role, &view);
    expect("");
    ck_assert_int_eq(role.state, ROLE_SERVE);
}
END_TEST

int main(void)
{
    return UNIT_RUN(
        "role", setup, NULL, attaches_where_the_log_ends, promotes_a_redis_that_lost_its_place,
        promotes_a_follower, follows_a_leader, campaigns_in_order, listens_before_it_campaigns,
        lost_campaign, yields, gives_way_to_a_successor, adopts_into_an_empty_log, waits_for_redis,
        leaves_the_term_to_others_while_redis_is_away, deposed_just_before_it_would_lead,
        campaigns_again_at_once, reattaches_to_the_same_redis, another_redis_means_another_election,
        deposed_in_every_state, reattaching_in_vain_has_its_pauses, keeps_leading_without_a_lease,
        gives_up_when_deaf_without_a_lease, waits_when_deaf_and_alone);
}
