/* The catalogue: what several log nodes tell of their snapshots, as one list; and marks and
 * deletions that a quorum has to carry out. The nodes are played by the test. */
#include "logsvc/client/catalogue.h"

#include "common/clock.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

enum { NODES = 3, TIMEOUT_MS = 1000, RETRY_MS = 50, SESSION = 77, TERM = 5 };
#define MS(n) ((uint64_t)(n)*CLOCK_NS_PER_MS)

static struct catalogue *c;
static uint64_t now;
static struct wire_msg asked[NODES]; /* the last question */
static unsigned questions[NODES];
static bool busy[NODES];
static unsigned ends;
static int end_err;
static bool ended_as_list;

static bool on_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    (void)ctx;
    if (busy[node]) {
        return false;
    }
    asked[node] = *msg;
    questions[node]++;
    return true;
}

static void on_listed(void *ctx, int err)
{
    (void)ctx;
    ends++;
    end_err = err;
    ended_as_list = true;
}

static void on_done(void *ctx, int err)
{
    (void)ctx;
    ends++;
    end_err = err;
    ended_as_list = false;
}

static const struct catalogue_events events = {
    .send = on_send, .listed = on_listed, .done = on_done};

static void setup(void)
{
    struct catalogue_config config = {.cluster_id = {7},
                                      .log_id = 1,
                                      .node_count = NODES,
                                      .session = SESSION,
                                      .timeout_ms = TIMEOUT_MS,
                                      .retry_ms = RETRY_MS};

    now = MS(5000);
    ends = 0;
    end_err = -1;
    memset(asked, 0, sizeof asked);
    memset(questions, 0, sizeof questions);
    memset(busy, 0, sizeof busy);
    c = catalogue_create(&config, &events, NULL);
    for (unsigned i = 0; i < NODES; i++) {
        catalogue_link_up(c, now, i, true);
    }
}

static void teardown(void)
{
    catalogue_destroy(c);
}

static void pass_ms(uint64_t ms)
{
    for (uint64_t end = now + MS(ms); now < end;) {
        now += MS(10);
        if (catalogue_next_tick_ns(c) <= now) {
            catalogue_tick(c, now);
        }
    }
}

static struct snapshot_info info_of(uint64_t offset, uint32_t crc)
{
    return (struct snapshot_info){.offset = offset,
                                  .term = {2},
                                  .size_bytes = 1000,
                                  .crc = crc,
                                  .taken_ms = 50,
                                  .engine_version = "7.0.15"};
}

/* The answer to the last question, but for what the answer says. */
static struct wire_msg answer_of(unsigned node, enum wire_type type, uint64_t term)
{
    return (struct wire_msg){.type = type,
                             .channel = WIRE_SNAPSHOT,
                             .cluster_id = {7},
                             .log_id = 1,
                             .session = SESSION,
                             .term = {term},
                             .seq = asked[node].seq};
}

struct told {
    uint64_t offset, verified_ms;
    uint32_t crc;
    bool counts;
};

static struct buf list;

static struct wire_msg list_of(unsigned node, uint64_t term, uint64_t begin, uint64_t commit,
                               const struct told *told, unsigned count)
{
    struct wire_msg m = answer_of(node, WIRE_SNAP_LIST_REPLY, term);

    buf_release(&list);
    list = (struct buf)BUF_INIT;
    snapinfo_list_begin(&list);
    for (unsigned i = 0; i < count; i++) {
        struct snapinfo_stored stored = {.info = info_of(told[i].offset, told[i].crc),
                                         .counts = told[i].counts};
        stored.info.verified_ms = told[i].verified_ms;
        ck_assert(snapinfo_list_add(&list, &stored));
    }
    m.snap_list_reply.log =
        (struct wire_log){.begin = begin, .flush_off = commit, .commit = commit};
    m.snap_list_reply.snaps = (struct wire_snaps){.bytes = buf_head(&list), .size = list.len};
    return m;
}

static void tell(unsigned node, const struct told *told, unsigned count)
{
    struct wire_msg m = list_of(node, TERM, 100, 900, told, count);
    catalogue_receive(c, now, node, &m);
}

static struct catalogue_view view_now(void)
{
    struct catalogue_view v;

    catalogue_view(c, &v);
    return v;
}

static void refuse(unsigned node, enum wire_refusal code, uint64_t term, const char *why)
{
    struct wire_msg m = answer_of(node, WIRE_REFUSED, term);

    m.refused.code = code;
    (void)snprintf(m.refused.reason, sizeof m.refused.reason, "%s", why);
    catalogue_receive(c, now, node, &m);
}

/* --- lists --- */

/* Three nodes, each with other ones and other marks: one list by falling offset, in which each
 * stands once with who has it; the earliest mark is told, and a quorum makes it proven. */
START_TEST(unites)
{
    static const struct told a[] = {{300, 0, 3, false}, {200, 70, 2, true}, {100, 0, 1, true}};
    static const struct told b[] = {{300, 90, 3, true}, {200, 60, 2, true}};
    static const struct told d[] = {{400, 99, 4, true}, {300, 80, 3, true}};

    catalogue_list(c, now);
    tell(0, a, 3);
    tell(1, b, 2);
    ck_assert_uint_eq(ends, 0); /* the third may still answer */
    tell(2, d, 2);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_err, ERR_OK);
    ck_assert(ended_as_list);

    struct catalogue_view v = view_now();
    ck_assert(v.quorum);
    ck_assert_uint_eq(v.answered, 7);
    ck_assert_uint_eq(v.count, 4);
    static const struct {
        uint64_t offset, verified_ms;
        uint32_t on, verified, counts;
        bool stored, proven;
    } rows[] = {{400, 99, 4, 4, 4, false, false},
                {300, 80, 7, 6, 6, true, true},
                {200, 60, 3, 3, 3, true, true},
                {100, 0, 1, 0, 1, false, false}};
    for (unsigned i = 0; i < 4; i++) {
        const struct catalogue_entry *e = &v.entries[i];
        ck_assert_uint_eq(e->info.offset, rows[i].offset);
        ck_assert_uint_eq(e->info.verified_ms, rows[i].verified_ms);
        ck_assert_uint_eq(e->on, rows[i].on);
        ck_assert_uint_eq(e->verified, rows[i].verified);
        ck_assert_uint_eq(e->counts, rows[i].counts);
        ck_assert(e->stored == rows[i].stored && e->proven == rows[i].proven);
    }
    /* The newest one that will still be there when a node is lost. */
    ck_assert_uint_eq(catalogue_newest(c, UINT64_MAX)->info.offset, 300);
    ck_assert_uint_eq(catalogue_newest(c, 299)->info.offset, 200);
    ck_assert_ptr_null(catalogue_newest(c, 199));
}
END_TEST

/* Two datasets at one offset (an adoption that came to nothing) are two entries, whose nodes don't
 * add up to a quorum; of another size or checksum is another one. */
START_TEST(same_offset)
{
    static const struct told a[] = {{300, 10, 3, true}}, b[] = {{300, 10, 33, true}};

    catalogue_list(c, now);
    tell(0, a, 1);
    tell(1, b, 1);
    tell(2, b, 0);
    struct catalogue_view v = view_now();
    ck_assert_uint_eq(v.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(v.entries[i].info.offset, 300);
        ck_assert(!v.entries[i].stored && !v.entries[i].proven);
    }
    ck_assert_uint_eq(v.entries[0].on | v.entries[1].on, 3);
    ck_assert_ptr_null(catalogue_newest(c, UINT64_MAX));
}
END_TEST

/* Nodes that say nothing are waited for a little; without a quorum it has failed, and what did
 * answer can be seen. A node that lists nothing has answered as well. */
START_TEST(who_answers)
{
    static const struct told a[] = {{300, 10, 3, true}};

    catalogue_list(c, now);
    tell(0, a, 1);
    tell(1, a, 0);
    pass_ms(TIMEOUT_MS - 20);
    ck_assert_uint_eq(ends, 0);
    pass_ms(40);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_err, ERR_OK);
    ck_assert_uint_eq(view_now().answered, 3);
    ck_assert(!view_now().entries[0].stored);

    catalogue_list(c, now);
    tell(2, a, 1);
    ck_assert_uint_eq(view_now().answered, 3); /* as it was, until this one is through */
    ck_assert_uint_eq(view_now().count, 1);
    ck_assert_uint_eq(view_now().entries[0].on, 1);
    pass_ms(10 * TIMEOUT_MS - 20);
    ck_assert_uint_eq(ends, 1);
    pass_ms(40);
    ck_assert_uint_eq(ends, 2);
    ck_assert_int_eq(end_err, ERR_TIMEOUT);
    ck_assert(!view_now().quorum);
    ck_assert_uint_eq(view_now().answered, 4);
    ck_assert_uint_eq(view_now().entries[0].on, 4); /* nothing of before */
    ck_assert_uint_gt(questions[0], 5);             /* again and again */
}
END_TEST

/* What comes twice, late, from a node that was not asked, of another session, log or cluster, or
 * without a job, changes nothing. */
START_TEST(not_its_own)
{
    static const struct told a[] = {{300, 10, 3, true}}, b[] = {{500, 10, 5, true}};
    struct wire_msg m;

    m = list_of(0, TERM, 100, 900, a, 1);
    catalogue_receive(c, now, 0, &m);
    ck_assert_uint_eq(view_now().count, 0);
    catalogue_list(c, now);
    m = list_of(0, TERM, 100, 900, b, 1);
    struct wire_msg wrong[7];
    for (unsigned i = 0; i < 7; i++) {
        wrong[i] = m;
    }
    wrong[0].session++;
    wrong[1].log_id++;
    wrong[2].cluster_id[3]++;
    wrong[3].seq++;
    wrong[4].seq--;
    wrong[5].channel = WIRE_READER;
    wrong[6].type = WIRE_SNAP_VERIFIED_REPLY;
    for (unsigned i = 0; i < 7; i++) {
        catalogue_receive(c, now, 0, &wrong[i]);
        ck_assert_uint_eq(view_now().answered, 0);
    }
    catalogue_receive(c, now, CATALOGUE_NODES_MAX, &m);
    tell(0, a, 1);
    m = list_of(0, TERM, 100, 900, b, 1); /* the same question, answered twice */
    catalogue_receive(c, now, 0, &m);
    ck_assert_uint_eq(ends, 0);
    tell(1, a, 0);
    tell(2, a, 0);
    ck_assert_uint_eq(ends, 1);
    ck_assert_uint_eq(view_now().count, 1);
    ck_assert_uint_eq(view_now().entries[0].info.offset, 300);
    ck_assert_uint_eq(view_now().entries[0].on, 1);
}
END_TEST

/* More than there is room for: the oldest are left out, whoever tells first. */
START_TEST(too_many)
{
    struct told told[3][SNAPINFO_LIST_MAX];

    for (unsigned n = 0; n < 3; n++) {
        for (unsigned i = 0; i < SNAPINFO_LIST_MAX; i++) { /* 3·64 different ones, interleaved */
            uint64_t offset = 3 * (SNAPINFO_LIST_MAX - i) + n;
            told[n][i] = (struct told){offset, 9, (uint32_t)offset, true};
        }
    }
    catalogue_list(c, now);
    for (unsigned n = 0; n < 3; n++) {
        tell(n, told[n], SNAPINFO_LIST_MAX);
    }
    struct catalogue_view v = view_now();
    ck_assert_uint_eq(v.count, CATALOGUE_ENTRIES_MAX);
    for (unsigned i = 0; i < v.count; i++) {
        ck_assert_uint_eq(v.entries[i].info.offset, 3 * SNAPINFO_LIST_MAX + 2 - i);
        ck_assert_uint_eq(v.entries[i].on, 1u << v.entries[i].info.offset % 3);
    }
}
END_TEST

/* A list that was damaged on its way, or is made up, never gets so far: the message is none. In
 * order, each length, each byte. */
START_TEST(damaged_lists)
{
    static const struct told a[] = {{300, 10, 3, true}, {200, 10, 2, true}};
    struct wire_msg decoded;
    uint8_t bytes[1024];

    struct wire_msg m = list_of(0, TERM, 100, 900, a, 2);
    size_t size = wire_size(&m);
    ck_assert_uint_le(size, sizeof bytes);
    wire_encode(&m, bytes);
    ck_assert_int_eq(wire_decode(bytes, size, &decoded), ERR_OK);
    for (size_t cut = 0; cut < size; cut++) {
        ck_assert_int_ne(wire_decode(bytes, cut, &decoded), ERR_OK);
    }
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 0x10;
        ck_assert_msg(wire_decode(bytes, size, &decoded) != ERR_OK, "byte %zu", i);
        bytes[i] ^= 0x10;
    }
    static const struct told rising[] = {{200, 10, 2, true}, {300, 10, 3, true}};
    static const struct told twice[] = {{300, 10, 3, true}, {300, 10, 3, true}};
    (void)list_of(0, TERM, 100, 900, rising, 2);
    ck_assert_int_eq(snapinfo_list_check(buf_head(&list), list.len), ERR_CORRUPT);
    (void)list_of(0, TERM, 100, 900, twice, 2);
    ck_assert_int_eq(snapinfo_list_check(buf_head(&list), list.len), ERR_CORRUPT);
}
END_TEST

/* The highest term, the least begin of a log that is not empty, the highest commit. */
START_TEST(of_the_log)
{
    catalogue_list(c, now);
    struct wire_msg m = list_of(0, 4, 300, 800, NULL, 0);
    catalogue_receive(c, now, 0, &m);
    m = list_of(1, 6, 200, 700, NULL, 0);
    catalogue_receive(c, now, 1, &m);
    m = list_of(2, 5, 0, 0, NULL, 0);
    m.snap_list_reply.log.empty = true;
    catalogue_receive(c, now, 2, &m);
    struct catalogue_view v = view_now();
    ck_assert_uint_eq(v.term.n, 6);
    ck_assert_uint_eq(v.begin, 200);
    ck_assert_uint_eq(v.commit, 800);
    ck_assert(v.nodes[2].answered && v.nodes[2].log.empty);
}
END_TEST

/* Only the nodes of the set are asked, and they alone make a quorum. */
START_TEST(members)
{
    static const struct told a[] = {{300, 10, 3, true}};

    catalogue_nodes(c, 1u << 1);
    catalogue_list(c, now);
    ck_assert_uint_eq(questions[0] + questions[2], 0);
    tell(1, a, 1);
    ck_assert_uint_eq(ends, 1);
    ck_assert(view_now().quorum && view_now().entries[0].proven);
}
END_TEST

/* --- marks and deletions --- */

static void listed(void)
{
    static const struct told a[] = {{300, 0, 3, false}};

    catalogue_list(c, now);
    for (unsigned i = 0; i < NODES; i++) {
        tell(i, a, 1);
    }
    ck_assert_uint_eq(ends, 1);
    ends = 0;
}

static void done(unsigned node, enum wire_type type)
{
    struct wire_msg m = answer_of(node, type, TERM);

    m.snap_mark_reply.offset = asked[node].snap_mark.offset;
    catalogue_receive(c, now, node, &m);
}

/* A mark is asked of all under the term that was listed, again of who is silent, and done with a
 * quorum. */
START_TEST(marks)
{
    struct snapshot_info info = info_of(300, 3);

    listed();
    catalogue_verified(c, now, &info, 1234);
    for (unsigned i = 0; i < NODES; i++) {
        ck_assert_int_eq(asked[i].type, WIRE_SNAP_VERIFIED);
        ck_assert_uint_eq(asked[i].term.n, TERM);
        ck_assert_uint_eq(asked[i].snap_mark.offset, 300);
        ck_assert_uint_eq(asked[i].snap_mark.crc, 3);
        ck_assert_uint_eq(asked[i].snap_mark.verified_ms, 1234);
    }
    unsigned before = questions[2];
    done(0, WIRE_SNAP_VERIFIED_REPLY);
    pass_ms(TIMEOUT_MS + 20);
    ck_assert_uint_gt(questions[2], before);
    ck_assert_uint_eq(ends, 0);
    done(1, WIRE_SNAP_VERIFIED_REPLY);
    pass_ms(TIMEOUT_MS + 20);
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_err, ERR_OK);
    ck_assert(!ended_as_list);
}
END_TEST

/* Who has no such snapshot refuses a mark; so many that no quorum is left: refused, and why. For a
 * deletion it is done. */
START_TEST(not_there)
{
    struct snapshot_info info = info_of(300, 3);

    listed();
    catalogue_verified(c, now, &info, 1);
    refuse(0, WIRE_REFUSED_NOT_FOUND, TERM, "none");
    ck_assert_uint_eq(ends, 0);
    refuse(1, WIRE_REFUSED_NOT_FOUND, TERM, "none here");
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_err, ERR_REFUSED);
    ck_assert_str_eq(catalogue_refusal(c), "none here");

    catalogue_delete(c, now, &info);
    ck_assert_int_eq(asked[0].type, WIRE_SNAP_DELETE);
    refuse(0, WIRE_REFUSED_NOT_FOUND, TERM, "none");
    done(1, WIRE_SNAP_DELETE_REPLY);
    refuse(2, WIRE_REFUSED_NEEDED, TERM, "the log stands on it");
    ck_assert_uint_eq(ends, 2);
    ck_assert_int_eq(end_err, ERR_OK);
}
END_TEST

/* A node that has promised a higher term: what was listed is old. One that has not promised ours
 * yet, or whose disk is full, is asked again. */
START_TEST(terms_and_room)
{
    struct snapshot_info info = info_of(300, 3);

    listed();
    catalogue_verified(c, now, &info, 1);
    unsigned before = questions[0];
    refuse(0, WIRE_REFUSED_TERM, TERM - 1, "a lower term");
    refuse(1, WIRE_REFUSED_SPACE, TERM, "the disk is full");
    ck_assert_uint_eq(ends, 0);
    pass_ms(RETRY_MS + 20);
    ck_assert_uint_eq(questions[0], before + 1);
    ck_assert_uint_eq(questions[1], before + 1);
    done(0, WIRE_SNAP_VERIFIED_REPLY);
    done(1, WIRE_SNAP_VERIFIED_REPLY);
    done(2, WIRE_SNAP_VERIFIED_REPLY);
    ck_assert_int_eq(end_err, ERR_OK);

    catalogue_verified(c, now, &info, 1);
    refuse(2, WIRE_REFUSED_TERM, TERM + 1, "a higher term");
    ck_assert_uint_eq(ends, 2);
    ck_assert_int_eq(end_err, ERR_STALE);
}
END_TEST

/* Links that are busy, go down and come back cost time only; what is begun anew forgets the former
 * job, without a word. */
START_TEST(links)
{
    static const struct told a[] = {{300, 10, 3, true}};

    busy[0] = true;
    catalogue_link_up(c, now, 1, false);
    catalogue_list(c, now);
    ck_assert_uint_eq(questions[0] + questions[1], 0);
    ck_assert_uint_eq(questions[2], 1);
    struct wire_msg late = list_of(2, TERM, 100, 900, a, 1);
    catalogue_list(c, now);
    catalogue_receive(c, now, 2, &late); /* to the former question */
    ck_assert_uint_eq(view_now().answered, 0);
    busy[0] = false;
    catalogue_link_ready(c, now, 0);
    ck_assert_uint_eq(questions[0], 1);
    catalogue_link_up(c, now, 2, false);
    catalogue_link_up(c, now, 2, true);
    ck_assert_uint_eq(questions[2], 3);
    tell(0, a, 1);
    tell(2, a, 1); /* the one that is down is not waited for */
    ck_assert_uint_eq(ends, 1);
    ck_assert_int_eq(end_err, ERR_OK);
    catalogue_list(c, now);
    catalogue_stop(c);
    ck_assert(!catalogue_active(c));
    ck_assert(catalogue_next_tick_ns(c) == UINT64_MAX);
    pass_ms(20 * TIMEOUT_MS);
    ck_assert_uint_eq(ends, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("catalogue");
    TCase *tc = tcase_create("catalogue");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, unites);
    tcase_add_test(tc, same_offset);
    tcase_add_test(tc, who_answers);
    tcase_add_test(tc, not_its_own);
    tcase_add_test(tc, too_many);
    tcase_add_test(tc, damaged_lists);
    tcase_add_test(tc, of_the_log);
    tcase_add_test(tc, members);
    tcase_add_test(tc, marks);
    tcase_add_test(tc, not_there);
    tcase_add_test(tc, terms_and_room);
    tcase_add_test(tc, links);
    suite_add_tcase(suite, tc);
    int status = unit_main(suite);
    buf_release(&list);
    return status;
}
