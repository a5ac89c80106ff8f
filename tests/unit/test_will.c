/* The last will: that it says to each log node what the proxy would say, in the transport's frame,
 * changes when that does, and that what came garbled from another process is not taken for one. */
#include "proxy/node/will.h"

#include "common/le.h"
#include "tests/lib/unit.h"

#include <stdio.h>
#include <string.h>

/* The proposer's part is tested with it; here it says this. */
static unsigned told;        /* nodes, as bits */
static uint64_t session = 7; /* of all */

unsigned proposer_node_count(const struct proposer *p)
{
    (void)p;
    return 4;
}

void proposer_node(const struct proposer *p, unsigned node, struct proposer_node_info *out)
{
    (void)p;
    *out = (struct proposer_node_info){.used = true};
    (void)snprintf(out->address, sizeof out->address, "10.0.0.%u:7400", node);
}

bool proposer_last_word(const struct proposer *p, uint64_t now_ns, unsigned node, const char *heir,
                        struct wire_msg *out)
{
    (void)p;
    (void)now_ns;
    *out = (struct wire_msg){.type = WIRE_RELEASE,
                             .channel = WIRE_PROPOSER,
                             .log_id = 1,
                             .term = {5},
                             .session = session + node};
    (void)snprintf(out->release.heir, sizeof out->release.heir, "%s", heir);
    return (told >> node & 1) != 0;
}

static void make(const char *heir, struct will *will)
{
    will_make(NULL, 1, heir, will);
}

/* Each node that has accepted the leader is told, in a frame that decodes. */
START_TEST(frames)
{
    struct will will;
    struct wire_msg msg;

    told = 0;
    make("", &will);
    ck_assert_uint_eq(will.count, 0);
    told = 1 << 0 | 1 << 2;
    make("10.0.0.9:6379", &will);
    ck_assert_uint_eq(will.count, 2);
    ck_assert_str_eq(will.nodes[0].address, "10.0.0.0:7400");
    ck_assert_str_eq(will.nodes[1].address, "10.0.0.2:7400");
    ck_assert_uint_eq(le_get32(will.nodes[1].frame), will.nodes[1].size_bytes - 4);
    ck_assert_int_eq(wire_decode(will.nodes[1].frame + 4, will.nodes[1].size_bytes - 4, &msg),
                     ERR_OK);
    ck_assert_int_eq(msg.type, WIRE_RELEASE);
    ck_assert_uint_eq(msg.term.n, 5);
    ck_assert_uint_eq(msg.session, 9);
    ck_assert_str_eq(msg.release.heir, "10.0.0.9:6379");
}
END_TEST

/* It is another one when anything in it is. */
START_TEST(changes)
{
    struct will a, b;

    told = 3;
    make("x:1", &a);
    make("x:1", &b);
    ck_assert(will_equal(&a, &b));
    make("x:2", &b);
    ck_assert(!will_equal(&a, &b));
    session++;
    make("x:1", &b);
    ck_assert(!will_equal(&a, &b));
    session--;
    told = 1;
    make("x:1", &b);
    ck_assert(!will_equal(&a, &b));
}
END_TEST

/* The longest name fits; what does not fit together is refused. */
START_TEST(sound)
{
    char heir[WIRE_NAME_MAX + 1];
    struct will will;

    memset(heir, 'h', sizeof heir - 1);
    heir[sizeof heir - 1] = '\0';
    told = 7;
    make(heir, &will);
    size_t size = will_size_bytes(&will);
    ck_assert(will_is_sound(&will, size));
    ck_assert(!will_is_sound(&will, size - 1));
    ck_assert(!will_is_sound(&will, 2));
    will.count = PROPOSER_NODES_MAX + 1;
    ck_assert(!will_is_sound(&will, sizeof will));
    make(heir, &will);
    will.nodes[2].size_bytes = WILL_FRAME_BYTES_MAX + 1;
    ck_assert(!will_is_sound(&will, size));
    make(heir, &will);
    memset(will.nodes[0].address, 'a', sizeof will.nodes[0].address);
    ck_assert(!will_is_sound(&will, size));
}
END_TEST

int main(void)
{
    return UNIT_RUN("will", NULL, NULL, frames, changes, sound);
}
