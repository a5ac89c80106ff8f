/* Who counts: founding, replacing a node, lost disks and stale configurations; proposers and real
 * acceptors on storages in memory, with a network that delivers at once and can be cut. */
#include "common/clock.h"
#include "logsvc/acceptor.h"
#include "logsvc/client/proposer.h"
#include "tests/lib/fake_storage.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES = 6, PROPOSERS = 2, LEASE_MS = 1000, BEAT_MS = 100, BEGIN = 500, QUEUE_MAX = 4096 };
#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

/* Node i is "node-a" + i at address "host-a:1" + i; the seeds are the first
 * three, or seed_count. */
struct node {
    struct fake_storage storage;
    struct acceptor *acceptor; /* NULL: down */
    bool cut;                  /* nothing goes to it or comes from it */
    uint8_t disk;
    char name; /* the last letter of its node id */
};

struct packet {
    unsigned proposer, slot, node;
    bool reply;
    uint8_t *bytes;
    size_t size;
};

static struct node nodes[NODES];
static struct proposer *proposers[PROPOSERS];
static int linked[PROPOSERS][PROPOSER_NODES_MAX]; /* node of each slot; -1: none */
static bool up[PROPOSERS][PROPOSER_NODES_MAX];    /* as the proposer was told */
static struct packet queue[QUEUE_MAX];
static unsigned queue_count;
static uint64_t now;
static bool drop_config; /* CONFIG is lost on its way, but to drop_config_not */
static int drop_config_not;
static bool drop_append_in_joint;
static bool drop_status;
static int drop_vote_of;        /* one answer to VOTE of that node is lost */
static unsigned seed_count = 3; /* the proposers' configuration */
static char refused[PROPOSER_REFUSAL_MAX + 1];

/* --- the network ---------------------------------------------------------------------------- */

static void put(struct packet p, const struct wire_msg *msg)
{
    ck_assert_uint_lt(queue_count, QUEUE_MAX);
    p.size = wire_size(msg);
    p.bytes = malloc(p.size);
    wire_encode(msg, p.bytes);
    queue[queue_count++] = p;
}

static bool on_send(void *ctx, unsigned slot, const struct wire_msg *msg)
{
    unsigned proposer = *(unsigned *)ctx;
    int node = linked[proposer][slot];

    if (node < 0 || nodes[node].cut || nodes[node].acceptor == NULL ||
        (msg->type == WIRE_CONFIG && drop_config && node != drop_config_not) ||
        (msg->type == WIRE_STATUS && drop_status) ||
        (msg->type == WIRE_APPEND && drop_append_in_joint && proposers[proposer] != NULL &&
         conf_kind(proposer_conf(proposers[proposer])) == CONF_JOINT)) {
        return true;
    }
    put((struct packet){.proposer = proposer, .slot = slot, .node = (unsigned)node}, msg);
    return true;
}

/* The reply's way back is in the id: proposer and slot. */
static void on_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    const struct node *n = ctx;
    bool dropped = msg->type == WIRE_VOTE_REPLY && n - nodes == drop_vote_of;

    drop_vote_of = dropped ? -1 : drop_vote_of;
    if (!n->cut && !dropped) {
        put((struct packet){.proposer = (unsigned)to.id >> 8,
                            .slot = (unsigned)to.id & 255,
                            .node = (unsigned)(n - nodes),
                            .reply = true},
            msg);
    }
}

static void deliver(const struct packet *p)
{
    struct wire_msg msg;

    now++; /* nothing arrives in the moment in which it is sent */
    ck_assert_int_eq(wire_decode(p->bytes, p->size, &msg), ERR_OK);
    if (p->reply) {
        if (proposers[p->proposer] != NULL && linked[p->proposer][p->slot] == (int)p->node) {
            proposer_receive(proposers[p->proposer], now, p->slot, &msg);
        }
    } else if (nodes[p->node].acceptor != NULL) {
        struct acceptor_reply_to to = {.id = p->proposer << 8 | p->slot};
        ck_assert_int_eq(acceptor_receive(nodes[p->node].acceptor, now, &msg, to), ERR_OK);
        ck_assert_int_eq(acceptor_flush(nodes[p->node].acceptor, now), ERR_OK);
    }
}

static void deliver_all(void)
{
    for (unsigned i = 0; i < queue_count; i++) {
        struct packet p = queue[i];
        deliver(&p);
        free(p.bytes);
    }
    queue_count = 0;
}

static void run_ms(uint64_t ms)
{
    for (uint64_t end = now + MS(ms); now < end;) {
        now += MS(5);
        for (unsigned i = 0; i < PROPOSERS; i++) {
            if (proposers[i] != NULL && proposer_next_tick_ns(proposers[i]) <= now) {
                proposer_tick(proposers[i], now);
            }
        }
        deliver_all();
    }
}

/* --- nodes and proposers -------------------------------------------------------------------- */

static unsigned identities[PROPOSERS] = {0, 1};

static uint64_t on_random(void *ctx)
{
    (void)ctx;
    return 0;
}

static void on_refused(void *ctx, unsigned slot, enum wire_refusal code, const char *reason)
{
    (void)ctx;
    (void)slot;
    (void)code;
    snprintf(refused, sizeof refused, "%s", reason);
}

static void on_link(void *ctx, unsigned slot, const char *address)
{
    unsigned proposer = *(unsigned *)ctx;

    linked[proposer][slot] = address != NULL ? address[5] - 'a' : -1;
    up[proposer][slot] = false;
}

static void node_start(unsigned i)
{
    struct node *n = &nodes[i];
    char id[16];
    struct acceptor_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_id = id,
                                     .disk = {{n->disk, 9}},
                                     .lease_ms = LEASE_MS,
                                     .read_max_bytes = 100000};
    struct acceptor_events events = {.reply = on_reply};

    snprintf(id, sizeof id, "node-%c", n->name);
    ck_assert_int_eq(acceptor_create(&n->storage.base, &config, &events, n, now, &n->acceptor),
                     ERR_OK);
}

static void node_stop(unsigned i)
{
    acceptor_destroy(nodes[i].acceptor);
    nodes[i].acceptor = NULL;
}

/* The disk is lost; the node comes back empty, under that name. */
static void node_lose_disk(unsigned i, char name)
{
    node_stop(i);
    fake_storage_fini(&nodes[i].storage);
    fake_storage_init(&nodes[i].storage);
    nodes[i].disk = (uint8_t)(nodes[i].disk + 100);
    nodes[i].name = name;
    node_start(i);
}

/* Links that are not up yet come up, those of dead nodes go down. */
static void proposer_links(unsigned i)
{
    for (unsigned slot = 0; slot < proposer_node_count(proposers[i]); slot++) {
        int node = linked[i][slot];
        bool is = node >= 0 && nodes[node].acceptor != NULL && !nodes[node].cut;
        if (node >= 0 && is != up[i][slot]) {
            proposer_link_up(proposers[i], now, slot, is);
        }
        up[i][slot] = is;
    }
}

static void proposer_start(unsigned i)
{
    static const char *const seeds[] = {"host-a:1", "host-b:1", "host-c:1", "host-d:1", "host-e:1"};
    struct proposer_config config = {.cluster_id = {7},
                                     .log_id = 1,
                                     .node_count = seed_count,
                                     .lease_ms = LEASE_MS,
                                     .heartbeat_ms = BEAT_MS,
                                     .session = 1000 + i,
                                     .append_max_bytes = 1000,
                                     .append_inflight_max = 2,
                                     .window_max_bytes = 1 << 16};
    struct proposer_events events = {
        .send = on_send, .random = on_random, .refused = on_refused, .link = on_link};

    for (unsigned slot = 0; slot < PROPOSER_NODES_MAX; slot++) {
        linked[i][slot] = -1;
        up[i][slot] = false;
    }
    for (unsigned seed = 0; seed < seed_count; seed++) {
        config.addresses[seed] = seeds[seed];
        linked[i][seed] = (int)seed;
    }
    proposers[i] = proposer_create(&config, &events, &identities[i]);
    proposer_links(i);
    proposer_campaign(proposers[i], now);
}

/* Leads as soon as it is elected. */
static void lead_ms(unsigned i, uint64_t ms)
{
    static const struct replid replid = {{'r'}};

    for (uint64_t end = now + MS(ms); now < end;) {
        for (unsigned k = 0; k < PROPOSERS; k++) {
            if (proposers[k] != NULL) {
                proposer_links(k);
            }
        }
        run_ms(20);
        if (proposer_state(proposers[i]) == PROPOSER_ELECTED) {
            const struct proposer_donor *d = proposer_donor(proposers[i]);
            proposer_lead(proposers[i], now, d->empty ? BEGIN : d->end.offset, &replid);
        }
        if (proposer_state(proposers[i]) == PROPOSER_DEPOSED) {
            proposer_campaign(proposers[i], now);
        }
    }
}

static void append(unsigned i, const char *text)
{
    proposer_append(proposers[i], text, strlen(text), true, 1);
    proposer_flush(proposers[i], now);
    deliver_all();
}

static bool committed(unsigned i)
{
    return proposer_commit(proposers[i]) == proposer_end(proposers[i]);
}

static struct proposer_change_info change(unsigned i)
{
    struct proposer_change_info info;

    proposer_change_info(proposers[i], &info);
    return info;
}

static enum conf_kind kind_at(unsigned node)
{
    return conf_kind(acceptor_conf(nodes[node].acceptor));
}

static void replace_ok(unsigned i, const char *old_id, const char *address)
{
    char why[PROPOSER_REFUSAL_MAX + 1];
    int err = proposer_replace(proposers[i], now, old_id, address, why, sizeof why);

    ck_assert_msg(err == ERR_OK, "%s", why);
}

static void setup(void)
{
    now = MS(5000);
    queue_count = 0;
    drop_config = drop_append_in_joint = drop_status = false;
    drop_config_not = drop_vote_of = -1;
    seed_count = 3;
    refused[0] = '\0';
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i] = (struct node){.disk = (uint8_t)(i + 1), .name = (char)('a' + i)};
        fake_storage_init(&nodes[i].storage);
        node_start(i);
    }
    now += MS(2 * LEASE_MS); /* nobody holds a lease */
}

static void teardown(void)
{
    for (unsigned i = 0; i < PROPOSERS; i++) {
        proposer_destroy(proposers[i]);
        proposers[i] = NULL;
    }
    for (unsigned i = 0; i < queue_count; i++) {
        free(queue[i].bytes);
    }
    for (unsigned i = 0; i < NODES; i++) {
        node_stop(i);
        fake_storage_fini(&nodes[i].storage);
    }
}

static void found(void)
{
    proposer_start(0);
    lead_ms(0, 3000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    ck_assert_int_eq(conf_kind(proposer_conf(proposers[0])), CONF_STABLE);
    append(0, "first");
    ck_assert(committed(0));
}

/* CONFIG messages but those to `node` are lost until they are given up, a lease later. */
static void to_joint(int node)
{
    drop_config = true;
    drop_config_not = node;
    replace_ok(0, "node-b", "host-d:1");
    for (int i = 0; change(0).state != PROPOSER_CHANGE_JOINT; i++) {
        ck_assert_int_lt(i, 100);
        lead_ms(0, 20);
    }
    lead_ms(0, 20);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_JOINT);
}

/* --- founding ------------------------------------------------------------------------------- */

/* A log begins only when every configured node is there and empty; then all have the same
 * configuration, made of what they said of themselves. */
START_TEST(founding_needs_all)
{
    node_stop(2);
    proposer_start(0);
    lead_ms(0, 5000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_ASKING);
    ck_assert_int_eq(kind_at(0), CONF_NONE);
    node_start(2);
    lead_ms(0, 3000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    for (unsigned i = 0; i < 3; i++) {
        const struct conf *c = acceptor_conf(nodes[i].acceptor);
        ck_assert_int_eq(conf_kind(c), CONF_STABLE);
        ck_assert_uint_eq(c->now.count, 3);
        ck_assert_str_eq(c->now.members[1].node_id, "node-b");
        ck_assert_str_eq(c->now.members[1].address, "host-b:1");
        ck_assert(disk_id_equal(&c->now.members[1].disk, acceptor_disk(nodes[1].acceptor)));
    }
}
END_TEST

/* Until all have it, nothing is committed and no lease held: two of three are not enough yet. */
START_TEST(founding_commits_with_all)
{
    proposer_start(0);
    while (proposer_state(proposers[0]) != PROPOSER_ELECTED) {
        run_ms(10);
    }
    nodes[2].cut = true;
    lead_ms(0, 500);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    append(0, "first");
    lead_ms(0, 2000);
    ck_assert_uint_eq(proposer_commit(proposers[0]), 0);
    ck_assert(!proposer_may_serve(proposers[0], now));
    nodes[2].cut = false;
    lead_ms(0, 2000);
    ck_assert(committed(0));
    ck_assert_int_eq(kind_at(2), CONF_STABLE);
    nodes[2].cut = true; /* from now on two are */
    lead_ms(0, 500);
    append(0, "second");
    ck_assert(committed(0));
}
END_TEST

static void expect_answer(const struct node *n, const struct wire_msg *msg, enum wire_type type)
{
    unsigned before = queue_count;
    struct wire_msg answer;

    ck_assert_int_eq(acceptor_receive(n->acceptor, now, msg, (struct acceptor_reply_to){0}),
                     ERR_OK);
    ck_assert_uint_eq(queue_count, before + 1);
    struct packet *packet = &queue[--queue_count];
    ck_assert_int_eq(wire_decode(packet->bytes, packet->size, &answer), ERR_OK);
    ck_assert_int_eq(answer.type, type);
    free(packet->bytes);
}

/* What that proposer's log is begun with comes to a node; what went before it does not matter. */
static void store_first_snapshot(unsigned proposer, unsigned node)
{
    struct term term = proposer_term(proposers[proposer]);
    struct wire_msg m = {.type = WIRE_SNAP_BEGIN,
                         .channel = WIRE_SNAPSHOT,
                         .cluster_id = {7},
                         .log_id = 1,
                         .term = term,
                         .session = 77};

    m.snap_begin.info = (struct snapshot_info){.offset = BEGIN, .term = log_term_of(term)};
    expect_answer(&nodes[node], &m, WIRE_SNAP_BEGIN_REPLY);
    m.type = WIRE_SNAP_COMMIT;
    m.snap_commit.offset = BEGIN;
    expect_answer(&nodes[node], &m, WIRE_SNAP_COMMIT_REPLY);
}

/* A log whose first snapshot some nodes have is founded when all do: before that, all are needed,
 * since any two of them might be those that lack it. What they said before they were told of the
 * log is no answer. */
START_TEST(founding_waits_for_the_snapshot)
{
    proposer_start(0);
    while (proposer_state(proposers[0]) != PROPOSER_ELECTED) {
        run_ms(10);
    }
    store_first_snapshot(0, 0);
    store_first_snapshot(0, 2);
    drop_status = true;
    lead_ms(0, 5000);
    ck_assert(proposer_may_serve(proposers[0], now));
    ck_assert_int_eq(conf_kind(proposer_conf(proposers[0])), CONF_FOUNDING);
    drop_status = false;
    lead_ms(0, 3000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    ck_assert_int_eq(conf_kind(proposer_conf(proposers[0])), CONF_FOUNDING);
    append(0, "first");
    ck_assert(committed(0));
    nodes[1].cut = true;
    append(0, "second");
    lead_ms(0, 500);
    ck_assert(!committed(0));
    nodes[1].cut = false;
    store_first_snapshot(0, 1);
    lead_ms(0, 2000);
    ck_assert_int_eq(kind_at(0), CONF_STABLE);
    ck_assert_int_eq(kind_at(1), CONF_STABLE);
    ck_assert(committed(0));
}
END_TEST

/* A node that loses its disk while the first snapshot is on its way takes nothing under this term:
 * the candidate gives up, and founds the log with the disk that is there. */
START_TEST(founding_with_a_lost_disk)
{
    proposer_start(0);
    while (proposer_state(proposers[0]) != PROPOSER_ELECTED) {
        run_ms(10);
    }
    uint64_t term = proposer_term(proposers[0]).n;
    for (int i = 0; i < 100; i++) { /* alone it may take as long as it likes … */
        run_ms(20);
    }
    node_stop(1); /* … and a node may be away */
    proposer_links(0);
    for (int i = 0; i < 250; i++) {
        run_ms(20);
    }
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_ELECTED);
    node_start(1);
    node_lose_disk(1, 'b');
    for (int i = 0; proposer_state(proposers[0]) == PROPOSER_ELECTED; i++) {
        ck_assert_int_lt(i, 250);
        proposer_links(0);
        run_ms(20);
    }
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_DEPOSED);
    lead_ms(0, 6000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    ck_assert_uint_gt(proposer_term(proposers[0]).n, term);
    ck_assert_int_eq(kind_at(1), CONF_STABLE);
}
END_TEST

/* Two lost disks don't look like a new log: the third node remembers. And they can't elect anybody
 * with it, nor without it. */
START_TEST(lost_disks_found_nothing)
{
    found();
    proposer_destroy(proposers[0]);
    proposers[0] = NULL;
    node_stop(0);
    node_lose_disk(1, 'b');
    node_lose_disk(2, 'c');
    now += MS(2 * LEASE_MS);
    proposer_start(0);
    lead_ms(0, 5000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_ASKING);
    ck_assert_int_eq(kind_at(1), CONF_NONE);
    node_start(0);
    lead_ms(0, 5000);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_ASKING);
    ck_assert_ptr_nonnull(strstr(refused, "has an empty disk but was a member"));
    ck_assert_uint_eq(acceptor_term(nodes[1].acceptor).n, 0);
}
END_TEST

/* --- a change ------------------------------------------------------------------------------- */

/* One node is replaced: the newcomer learns, both sets count, then the new one; the old node is
 * told. Afterwards the newcomer's acknowledgement is as good as any. */
START_TEST(replaces_a_node)
{
    found();
    uint64_t before = proposer_conf(proposers[0])->id.generation;
    replace_ok(0, "node-b", "host-d:1");
    lead_ms(0, 3000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_DONE);
    ck_assert_str_eq(change(0).new_id, "node-d");
    ck_assert_uint_eq(proposer_conf(proposers[0])->id.generation, before + 2);
    ck_assert_ptr_null(conf_find_node(proposer_conf(proposers[0]), "node-b"));
    for (unsigned i = 0; i < 4; i++) { /* node-b too: it knows that it is out */
        const struct conf *c = acceptor_conf(nodes[i].acceptor);
        ck_assert_uint_eq(c->id.generation, before + 2);
    }
    node_stop(0);
    lead_ms(0, 500);
    append(0, "with c and d");
    ck_assert(committed(0));
    node_stop(2);
    lead_ms(0, 500);
    append(0, "d alone, and b that is out");
    lead_ms(0, 500);
    ck_assert(!committed(0));
}
END_TEST

/* Who starts later finds the new node by what the others tell, although its seeds don't name it. */
START_TEST(seeds_lead_to_members)
{
    found();
    replace_ok(0, "node-b", "host-d:1");
    lead_ms(0, 3000);
    append(0, "kept");
    proposer_destroy(proposers[0]);
    proposers[0] = NULL;
    node_stop(0);
    now += MS(2 * LEASE_MS);
    proposer_start(1);
    lead_ms(1, 3000); /* c and d */
    ck_assert_int_eq(proposer_state(proposers[1]), PROPOSER_LEADING);
    ck_assert_uint_eq(proposer_end(proposers[1]), BEGIN + 5 + 4);
    ck_assert(committed(1));
}
END_TEST

/* In a joint configuration both sets are needed for a commit, from the moment it is made. */
START_TEST(joint_needs_both)
{
    found();
    to_joint(-1);
    node_stop(1);
    node_stop(3);
    lead_ms(0, 20); /* the links go down */
    append(0, "a and c are in both");
    ck_assert(committed(0));
    node_stop(2);
    node_start(3);
    lead_ms(0, 100);
    append(0, "a and d: a majority of the new set only");
    lead_ms(0, 100);
    ck_assert(!committed(0));
    struct proposer_node_info info;
    proposer_node(proposers[0], 3, &info);
    ck_assert_uint_eq(info.flushed, proposer_end(proposers[0]));
    node_start(1);
    lead_ms(0, 100);
    append(0, "a and b, and d");
    lead_ms(0, 100);
    ck_assert(committed(0));
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_JOINT); /* nobody has it yet */
    drop_config = false;
    lead_ms(0, 3000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_DONE);
}
END_TEST

/* The leader dies while one node only has the joint configuration. The next one that hears of it
 * goes on with it; one that does not takes the one before again, and the change is as if it never
 * was. */
START_TEST(next_leader_goes_on)
{
    for (int heard = 0; heard < 2; heard++) {
        if (heard > 0) {
            teardown();
            setup();
        }
        found();
        to_joint(0);
        ck_assert_int_eq(kind_at(0), CONF_JOINT);
        ck_assert_int_eq(kind_at(2), CONF_STABLE);
        proposer_destroy(proposers[0]);
        proposers[0] = NULL;
        drop_config = false;
        if (heard == 0) {
            node_stop(0);
        }
        now += MS(2 * LEASE_MS);
        proposer_start(1);
        lead_ms(1, 3000);
        ck_assert_int_eq(proposer_state(proposers[1]), PROPOSER_LEADING);
        const struct conf *c = proposer_conf(proposers[1]);
        ck_assert_int_eq(conf_kind(c), CONF_STABLE);
        ck_assert_int_eq(conf_find_node(c, "node-d") != NULL, heard);
        ck_assert_int_eq(conf_find_node(c, "node-b") != NULL, !heard);
        if (heard == 0) { /* node-a comes back with what is over */
            node_start(0);
            lead_ms(1, 1000);
            ck_assert_int_eq(kind_at(0), CONF_STABLE);
            ck_assert_int_eq(conf_id_compare(acceptor_conf(nodes[0].acceptor)->id, c->id), 0);
        }
        append(1, "goes on");
        ck_assert(committed(1));
    }
}
END_TEST

/* A configuration settles only when the leader may serve by it: older leases are over. A candidate
 * that needs the new set alone could otherwise win while one of them is valid. */
START_TEST(settles_behind_older_leases)
{
    found();
    to_joint(0);
    ck_assert_int_eq(kind_at(0), CONF_JOINT);
    uint64_t lease_end = proposer_lease_end_ns(proposers[0]);
    proposer_destroy(proposers[0]);
    proposers[0] = NULL;
    drop_config = false;
    for (unsigned i = 0; i < 4; i++) { /* they know nothing of the lease any more */
        node_stop(i);
        node_start(i);
    }
    ck_assert_uint_lt(now, lease_end);
    proposer_start(1);
    while (proposer_state(proposers[1]) != PROPOSER_LEADING) {
        lead_ms(1, 20);
    }
    ck_assert_uint_lt(now, lease_end);
    ck_assert_int_eq(conf_kind(proposer_conf(proposers[1])), CONF_JOINT);
    append(1, "committed already");
    ck_assert(committed(1));
    while (now < proposer_safe_at_ns(proposers[1])) {
        ck_assert_int_eq(conf_kind(proposer_conf(proposers[1])), CONF_JOINT);
        lead_ms(1, 20);
    }
    ck_assert_uint_ge(now, lease_end);
    lead_ms(1, 500);
    ck_assert_int_eq(conf_kind(proposer_conf(proposers[1])), CONF_STABLE);
}
END_TEST

/* Nor before it holds a lease that began under it: its older one was given by nodes that a
 * candidate of the new set need not ask. */
START_TEST(settles_with_a_lease_of_its_own)
{
    found();
    drop_append_in_joint = true;
    replace_ok(0, "node-b", "host-d:1");
    lead_ms(0, 600);
    ck_assert_int_eq(kind_at(0), CONF_JOINT);
    ck_assert_int_eq(kind_at(3), CONF_JOINT);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_JOINT);
    ck_assert(proposer_may_serve(proposers[0], now)); /* by the lease from before */
    drop_append_in_joint = false;
    lead_ms(0, 3000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_DONE);
}
END_TEST

/* Who can't become a member is told why, and nothing has changed. */
START_TEST(unfit_newcomers)
{
    char why[PROPOSER_REFUSAL_MAX + 1];
    struct conf before;

    found();
    before = *proposer_conf(proposers[0]);
    ck_assert_int_eq(proposer_replace(proposers[0], now, "x", "host-d:1", why, sizeof why),
                     ERR_NOT_FOUND);
    ck_assert_int_eq(proposer_replace(proposers[0], now, "node-b", "host-a:1", why, sizeof why),
                     ERR_EXISTS);
    ck_assert_int_eq(proposer_replace(proposers[0], now, "node-b", "", why, sizeof why),
                     ERR_INVALID);
    node_lose_disk(3, 'b'); /* another node-b */
    replace_ok(0, "node-b", "host-d:1");
    ck_assert_int_eq(proposer_replace(proposers[0], now, "node-b", "host-e:1", why, sizeof why),
                     ERR_STATE);
    lead_ms(0, 500);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_FAILED);
    ck_assert_ptr_nonnull(strstr(change(0).why, "comes back under a new node_id"));
    node_stop(4);
    replace_ok(0, "node-b", "host-e:1"); /* nobody there */
    lead_ms(0, 29000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_GREET);
    lead_ms(0, 2000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_FAILED);
    ck_assert_ptr_nonnull(strstr(change(0).why, "does not answer"));
    ck_assert_int_eq(conf_id_compare(proposer_conf(proposers[0])->id, before.id), 0);
    append(0, "as before");
    ck_assert(committed(0));
    ck_assert_int_lt(linked[0][3], 0); /* its slot was given back */
}
END_TEST

/* A lost disk under its old name, greeted in the middle: it neither votes nor counts, however it
 * answers; the others go on, and a newcomer under another name takes its place. */
START_TEST(lost_disk)
{
    struct proposer_node_info info;

    found();
    node_lose_disk(1, 'b');
    proposer_link_up(proposers[0], now, 1, false);
    proposer_link_up(proposers[0], now, 1, true);
    lead_ms(0, 500);
    proposer_node(proposers[0], 1, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert(!info.member);
    append(0, "a and c");
    ck_assert(committed(0));
    ck_assert_int_eq(kind_at(1), CONF_NONE); /* it was told nothing */
    node_lose_disk(1, 'x');
    proposer_link_up(proposers[0], now, 1, false);
    proposer_link_up(proposers[0], now, 1, true);
    replace_ok(0, "node-b", "host-b:1"); /* on the same machine, under a new name */
    lead_ms(0, 3000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_DONE);
    node_stop(0);
    append(0, "c and x");
    ck_assert(committed(0));
}
END_TEST

/* Nodes that are no members don't disturb a leader: not with their terms, not with their votes. */
START_TEST(outsiders_depose_nobody)
{
    found();
    struct term term = proposer_term(proposers[0]);
    replace_ok(0, "node-b", "host-d:1");
    lead_ms(0, 3000);
    ck_assert_int_eq(change(0).state, PROPOSER_CHANGE_DONE);
    struct wire_msg q = {.type = WIRE_HELLO, .cluster_id = {7}, .log_id = 1, .session = 1};
    struct wire_msg m =
        wire_reply_to(&q, WIRE_HELLO_REPLY, (struct term){term.n + 5}, (struct conf_id){0});
    snprintf(m.hello_reply.node_id, sizeof m.hello_reply.node_id, "node-b");
    m.hello_reply.disk = *acceptor_disk(nodes[1].acceptor);
    proposer_receive(proposers[0], now, 1, &m);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_LEADING);
    snprintf(m.hello_reply.node_id, sizeof m.hello_reply.node_id, "node-a");
    m.hello_reply.disk = *acceptor_disk(nodes[0].acceptor);
    proposer_receive(proposers[0], now, 0, &m);
    ck_assert_int_eq(proposer_state(proposers[0]), PROPOSER_DEPOSED);
}
END_TEST

/* A vote whose answer was lost is not given twice. Where certain votes lack, and a member will
 * never come back (its disk is lost), only another term can bring that vote: it is not waited for.
 */
START_TEST(lost_vote_is_asked_for_again)
{
    seed_count = 5;
    found();
    proposer_destroy(proposers[0]);
    proposers[0] = NULL;
    node_lose_disk(4, 'e');
    node_stop(0);
    nodes[0].storage.uncertain_to = BEGIN + 100;
    node_start(0);
    now += MS(3 * LEASE_MS);
    drop_vote_of = 1;
    proposer_start(1);
    lead_ms(1, 20000);
    ck_assert_int_eq(drop_vote_of, -1);
    ck_assert_int_eq(proposer_state(proposers[1]), PROPOSER_LEADING);
    ck_assert(committed(1));
}
END_TEST

/* A peer of another version of the messages is refused by name. */
START_TEST(another_version)
{
    struct proposer_node_info info;

    found();
    proposer_other_version(proposers[0], now, 2);
    proposer_node(proposers[0], 2, &info);
    ck_assert_int_eq(info.state, PROPOSER_NODE_REFUSED);
    ck_assert_str_eq(refused, "the version of the message format differs");
}
END_TEST

int main(void)
{
    return UNIT_RUN("proposer_conf", setup, teardown, founding_needs_all, founding_commits_with_all,
                    founding_waits_for_the_snapshot, founding_with_a_lost_disk,
                    lost_disks_found_nothing, replaces_a_node, seeds_lead_to_members,
                    joint_needs_both, next_leader_goes_on, settles_behind_older_leases,
                    settles_with_a_lease_of_its_own, unfit_newcomers, lost_disk,
                    lost_vote_is_asked_for_again, outsiders_depose_nobody, another_version);
}
