/* Configurations of a log: order, quorums, the steps from one to the next, and their bytes. (The
 * name test_conf is taken by the programs' configuration files.) */
#include "logsvc/conf.h"

#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

static struct conf_member member(char name)
{
    struct conf_member m = {.disk = {{(uint8_t)name, 1}}};

    snprintf(m.node_id, sizeof m.node_id, "node-%c", name);
    snprintf(m.address, sizeof m.address, "10.0.0.%d:7000", name);
    return m;
}

static struct conf_set set_of(const char *names)
{
    struct conf_set s = {0};

    for (; *names != '\0'; names++) {
        s.members[s.count++] = member(*names);
    }
    return s;
}

static struct conf stable(const char *names)
{
    return (struct conf){.id = {.term = {3}, .generation = 4}, .now = set_of(names)};
}

static struct conf joint(const char *now, const char *old)
{
    struct conf c = stable(now);
    c.old = set_of(old);
    return c;
}

/* What a member stands for: its place in "abc…" chooses the digit. */
static uint64_t value_of(const void *ctx, const struct conf_member *m)
{
    const char *digits = ctx;
    return (uint64_t)(digits[m->node_id[5] - 'a'] - '0');
}

static uint64_t quorum(const struct conf *c, const char *digits)
{
    return conf_quorum_value(c, value_of, digits);
}

/* By term first, then generation. */
START_TEST(ids_are_ordered)
{
    struct conf_id a = {.term = {2}, .generation = 9}, b = {.term = {3}, .generation = 1};

    ck_assert_int_lt(conf_id_compare(a, b), 0);
    ck_assert_int_gt(conf_id_compare(b, a), 0);
    b = (struct conf_id){.term = {2}, .generation = 10};
    ck_assert_int_lt(conf_id_compare(a, b), 0);
    ck_assert_int_eq(conf_id_compare(b, b), 0);
}
END_TEST

/* More than half; an even number needs one more than half. */
START_TEST(stable_quorum)
{
    struct conf c = stable("abc");

    ck_assert_uint_eq(quorum(&c, "500"), 0);
    ck_assert_uint_eq(quorum(&c, "530"), 3);
    ck_assert_uint_eq(quorum(&c, "035"), 3);
    ck_assert_uint_eq(quorum(&c, "555"), 5);
    c = stable("abcde");
    ck_assert_uint_eq(quorum(&c, "98765"), 7);
    c = stable("ab");
    ck_assert_uint_eq(quorum(&c, "91"), 1);
    c = stable("a");
    ck_assert_uint_eq(quorum(&c, "7"), 7);
    c = (struct conf){0};
    ck_assert_uint_eq(quorum(&c, "999"), 0);
}
END_TEST

/* A majority of each set by itself; the member that is in one only counts there. A count over
 * either set alone, or by place instead of by name, gives another answer in one of these. */
START_TEST(joint_quorum)
{
    struct conf c = joint("dbc", "abc"); /* a goes, d comes in its place */

    ck_assert_uint_eq(quorum(&c, "9900"), 0); /* old only */
    ck_assert_uint_eq(quorum(&c, "0099"), 0); /* new only */
    ck_assert_uint_eq(quorum(&c, "0990"), 9); /* in both */
    ck_assert_uint_eq(quorum(&c, "9099"), 9);
    ck_assert_uint_eq(quorum(&c, "9009"), 0);
    ck_assert_uint_eq(quorum(&c, "5209"), 2);
    c = joint("dbc", "cba"); /* the sets' order means nothing */
    ck_assert_uint_eq(quorum(&c, "9900"), 0);
    ck_assert_uint_eq(quorum(&c, "0099"), 0);
    ck_assert_uint_eq(quorum(&c, "9099"), 9);
}
END_TEST

/* All. */
START_TEST(founding_quorum)
{
    struct conf c;
    struct conf_set s = set_of("abc");

    ck_assert_int_eq(conf_found(&s, &c), ERR_OK);
    ck_assert_int_eq(conf_kind(&c), CONF_FOUNDING);
    ck_assert_uint_eq(quorum(&c, "990"), 0);
    ck_assert_uint_eq(quorum(&c, "989"), 8);
    conf_restamp(&c, (struct term){5});
    ck_assert_int_eq(conf_kind(&c), CONF_FOUNDING);
    struct conf next;
    conf_settle(&c, &next);
    ck_assert_int_eq(conf_kind(&next), CONF_STABLE);
    ck_assert_int_gt(conf_id_compare(next.id, c.id), 0);
    ck_assert_uint_eq(quorum(&next, "990"), 9);
}
END_TEST

/* One is replaced: joint first, then the new set; each step has a higher id. */
START_TEST(one_is_replaced)
{
    struct conf c = stable("abc"), j, next;
    struct conf_member d = member('d');

    ck_assert_int_eq(conf_replace(&c, "node-b", &d, &j), ERR_OK);
    ck_assert_int_eq(conf_kind(&j), CONF_JOINT);
    ck_assert_uint_eq(j.id.term.n, 3);
    ck_assert_uint_eq(j.id.generation, 5);
    ck_assert(conf_set_has(&j.now, "node-d", &d.disk));
    ck_assert_ptr_null(conf_find_node(&c, "node-d"));
    ck_assert_ptr_nonnull(conf_find_node(&j, "node-b"));
    ck_assert_uint_eq(quorum(&j, "1100"), 0);
    ck_assert_uint_eq(quorum(&j, "1010"), 1);
    conf_settle(&j, &next);
    ck_assert_int_eq(conf_kind(&next), CONF_STABLE);
    ck_assert_uint_eq(next.id.generation, 6);
    ck_assert_ptr_null(conf_find_node(&next, "node-b"));
    ck_assert_uint_eq(next.now.count, 3);
}
END_TEST

/* What may not be: a stranger replaced, a member added again, its disk under another name, a
 * change on top of a change. */
START_TEST(replace_refuses)
{
    struct conf c = stable("abc"), j, out;
    struct conf_member d = member('d'), again = member('a');

    ck_assert_int_eq(conf_replace(&c, "node-x", &d, &out), ERR_NOT_FOUND);
    ck_assert_int_eq(conf_replace(&c, "node-b", &again, &out), ERR_EXISTS);
    again = member('b');
    again.disk = d.disk; /* the same name with another disk is no other node */
    ck_assert_int_eq(conf_replace(&c, "node-b", &again, &out), ERR_EXISTS);
    again = d;
    again.disk = c.now.members[2].disk;
    ck_assert_int_eq(conf_replace(&c, "node-b", &again, &out), ERR_EXISTS);
    ck_assert_int_eq(conf_replace(&c, "node-b", &d, &j), ERR_OK);
    again = member('e');
    ck_assert_int_eq(conf_replace(&j, "node-a", &again, &out), ERR_INVALID);
    again.disk = (struct disk_id){{0}};
    ck_assert_int_eq(conf_replace(&c, "node-a", &again, &out), ERR_INVALID);
}
END_TEST

/* A name with another disk is not the member. */
START_TEST(identity_is_name_and_disk)
{
    struct conf c = stable("abc");
    struct disk_id other = {{99}};

    ck_assert_ptr_nonnull(conf_find(&c, "node-a", &c.now.members[0].disk));
    ck_assert_ptr_null(conf_find(&c, "node-a", &other));
    ck_assert_ptr_null(conf_find(&c, "node-a", &c.now.members[1].disk));
}
END_TEST

/* Encoded and read again: the same. Cut anywhere, or longer: refused. */
START_TEST(encoding)
{
    const struct conf confs[] = {{.id = {{0}, 0}}, stable("abcdefg"), joint("dbc", "abc")};

    for (size_t i = 0; i < sizeof confs / sizeof *confs; i++) {
        struct buf bytes = BUF_INIT;
        struct conf back;
        conf_encode(&confs[i], &bytes);
        ck_assert_uint_ge(bytes.len, CONF_BYTES_MIN);
        ck_assert_uint_le(bytes.len, CONF_BYTES_MAX);
        ck_assert_int_eq(conf_decode(buf_head(&bytes), bytes.len, &back), ERR_OK);
        ck_assert_mem_eq(&back, &confs[i], sizeof back);
        for (size_t cut = 0; cut < bytes.len; cut++) {
            ck_assert_int_eq(conf_decode(buf_head(&bytes), cut, &back), ERR_CORRUPT);
        }
        buf_append(&bytes, "", 1);
        ck_assert_int_eq(conf_decode(buf_head(&bytes), bytes.len, &back), ERR_CORRUPT);
        buf_release(&bytes);
    }
}
END_TEST

/* What breaks an invariant can't be read. */
START_TEST(senseless_is_refused)
{
    struct conf c = stable("abc");
    ck_assert_int_eq(conf_check(&c), ERR_OK);
    c.now.members[1] = c.now.members[0];
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* one twice */
    c = stable("abc");
    c.now.members[1].disk = c.now.members[0].disk;
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* one disk twice */
    c = stable("abc");
    c.now.members[1].disk = (struct disk_id){{0}};
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* no disk */
    c = stable("");
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* nobody */
    c = joint("dec", "abc");
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* two at once */
    c = joint("dbca", "abc");
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* one more */
    c = joint("abc", "abc");
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* nothing changes */
    c = joint("dbc", "abc");
    c.id.generation = 1;
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* founding can't be joint */
    c = (struct conf){.id = {.term = {1}}};
    ck_assert_int_eq(conf_check(&c), ERR_CORRUPT); /* none has no term */
}
END_TEST

int main(void)
{
    return UNIT_RUN("conf", NULL, NULL, ids_are_ordered, stable_quorum, joint_quorum,
                    founding_quorum, one_is_replaced, replace_refuses, identity_is_name_and_disk,
                    encoding, senseless_is_refused);
}
