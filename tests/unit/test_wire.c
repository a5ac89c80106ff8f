/* The messages: what is encoded is decoded, and whatever else comes is an error. */
#include "logsvc/wire.h"

#include "common/crc32c.h"
#include "common/mem.h"
#include "tests/lib/unit.h"

#include <stdlib.h>
#include <string.h>

static const enum wire_type types[] = {
#define TYPE(name, code, field) name,
    WIRE_TYPE_MAP(TYPE)
#undef TYPE
};
enum { TYPES = sizeof types / sizeof types[0] };

static struct buf history_bytes, records, conf_bytes, roster_bytes;

static void setup(void)
{
    struct history h = {0};
    struct replid r;

    memset(r.hex, 'a', sizeof r.hex);
    ck_assert_int_eq(history_append(&h, (struct log_term){2}, 10, &r), ERR_OK);
    ck_assert_int_eq(history_append(&h, (struct log_term){4}, 20, &r), ERR_OK);
    history_bytes = (struct buf)BUF_INIT;
    history_encode(&h, &history_bytes);
    struct conf conf = {.id = {{4}, 2},
                        .now = {1, {{"node-1", {{9}}, "10.0.0.9:7001"}}},
                        .old = {1, {{"node-2", {{8}}, "10.0.0.8:7001"}}}};
    conf_bytes = (struct buf)BUF_INIT;
    conf_encode(&conf, &conf_bytes);
    roster_bytes = (struct buf)BUF_INIT;
    struct roster roster = {0};
    (void)roster_hear(&roster, &(struct roster_entry){.name = "p", .address = "h:1", .offset = 7});
    roster_encode(&roster, 0, &roster_bytes);
    records = (struct buf)BUF_INIT;
    for (uint64_t i = 0; i < 2; i++) {
        uint8_t header[RECORD_HEADER_BYTES];
        struct record record = {.term = {4},
                                .begin = 100 + 5 * i,
                                .len_bytes = 5,
                                .flags = RECORD_UNIT_END,
                                .payload_crc = crc32c_extend(0, "hello", 5)};
        record_encode_header(&record, header);
        buf_append(&records, header, sizeof header);
        buf_append(&records, "hello", 5);
    }
}

static void teardown(void)
{
    buf_release(&history_bytes);
    buf_release(&records);
    buf_release(&conf_bytes);
    buf_release(&roster_bytes);
}

static struct wire_conf sample_conf(void)
{
    return (struct wire_conf){.bytes = buf_head(&conf_bytes), .size = conf_bytes.len};
}

static struct wire_log sample_log(void)
{
    return (struct wire_log){.empty = true,
                             .begin = 1,
                             .flush_off = 2,
                             .unit_off = 3,
                             .uncertain_to = 4,
                             .commit = 5,
                             .chain_crc = 6,
                             .holes = {7, 8, 9, 10, 11, 12, 13}};
}

static struct snapshot_info sample_info(void)
{
    struct snapshot_info info = {.offset = 1,
                                 .term = {2},
                                 .size_bytes = 3,
                                 .crc = 4,
                                 .chain_crc = 5,
                                 .wall_ms = 6,
                                 .engine_version = "7.0.15"};
    memset(info.replid.hex, 'c', sizeof info.replid.hex);
    return info;
}

static struct wire_hello_reply sample_node(void)
{
    return (struct wire_hello_reply){
        .node_id = "node-1",
        .lease_ms = 1000,
        .elapsed_ns = 7,
        .heard_ns = WIRE_NEVER,
        .log = sample_log(),
        .snapshot = 8,
        .leader = "10.0.0.1:6379",
        .disk = {{[15] = 3}},
        .history = {.bytes = buf_head(&history_bytes), .size = history_bytes.len},
        .conf = sample_conf()};
}

static void fill_data(struct wire_msg *m)
{
    if (m->type == WIRE_APPEND || m->type == WIRE_MEND || m->type == WIRE_READ_REPLY) {
        m->data = buf_head(&records);
        m->data_size = records.len;
    } else if (m->type == WIRE_SNAP_WRITE || m->type == WIRE_SNAP_READ_REPLY) {
        m->data = (const uint8_t *)"snapshot";
        m->data_size = 8;
    }
}

static void fill_election(struct wire_msg *m)
{
    struct wire_history history = {.bytes = buf_head(&history_bytes), .size = history_bytes.len};

    switch ((int)m->type) {
    case WIRE_HELLO:
        m->hello = (struct wire_hello){.lease_ms = 1000, .name = "10.0.0.2:6379"};
        break;
    case WIRE_HELLO_REPLY:
        m->hello_reply = sample_node();
        break;
    case WIRE_STATUS_REPLY:
        m->status_reply.node = sample_node();
        break;
    case WIRE_VOTE:
        m->vote = (struct wire_vote){.lease_ms = 2000, .to = {{4, 5}}, .conf = sample_conf()};
        break;
    case WIRE_VOTE_REPLY:
        m->vote_reply = (struct wire_vote_reply){
            .granted = true, .elapsed_ns = 9, .log = sample_log(), .history = history};
        break;
    case WIRE_ELECTED:
        m->elected = (struct wire_elected){.to = {{6}},
                                           .start = 1,
                                           .chain_crc = 2,
                                           .reset = true,
                                           .name = "me",
                                           .history = history,
                                           .conf = sample_conf()};
        break;
    case WIRE_ELECTED_REPLY:
        m->elected_reply.log = sample_log();
        break;
    default:
        break;
    }
}

/* A message of each type with every field set. */
static struct wire_msg sample(enum wire_type type)
{
    struct wire_msg m = {.type = type,
                         .channel = WIRE_READER,
                         .cluster_id = {1, 2, 3, 16},
                         .log_id = 11,
                         .term = {12},
                         .conf = {.term = {16}, .generation = 13},
                         .session = 14,
                         .seq = 15};

    fill_election(&m);
    fill_data(&m);
    switch ((int)type) {
    case WIRE_APPEND:
        m.append = (struct wire_append){.begin = 100, .commit = 90};
        break;
    case WIRE_APPEND_REPLY:
        m.append_reply = (struct wire_append_reply){true, 1, 2, 3, {1, 2, 3, 4, 5, 6, 7}};
        break;
    case WIRE_READ:
        m.read = (struct wire_read){.from = 100, .max_bytes = 7};
        break;
    case WIRE_READ_REPLY:
        m.read_reply = (struct wire_read_reply){.from = 100, .limit = 8, .log = sample_log()};
        break;
    case WIRE_RELEASE_REPLY:
        m.release_reply.released = true;
        break;
    case WIRE_SNAP_BEGIN:
        m.snap_begin.info = sample_info();
        break;
    case WIRE_SNAP_WRITE:
        m.snap_write = (struct wire_snap_write){1, 2};
        break;
    case WIRE_SNAP_COMMIT:
        m.snap_commit.offset = 1;
        break;
    case WIRE_SNAP_BEGIN_REPLY:
    case WIRE_SNAP_WRITE_REPLY:
    case WIRE_SNAP_COMMIT_REPLY:
        m.snap_reply = (struct wire_snap_reply){1, 2};
        break;
    case WIRE_SNAP_LATEST:
        m.snap_latest.limit = 1;
        break;
    case WIRE_SNAP_LATEST_REPLY:
        m.snap_latest_reply = (struct wire_snap_latest_reply){true, sample_info()};
        break;
    case WIRE_SNAP_READ:
        m.snap_read = (struct wire_snap_read){1, 2, 3};
        break;
    case WIRE_SNAP_READ_REPLY:
        m.snap_read_reply = (struct wire_snap_read_reply){1, 2};
        break;
    case WIRE_MEND:
        m.mend.from = 1;
        break;
    case WIRE_MEND_REPLY:
        m.mend_reply.holes = (struct storage_holes){1, 2, 3, 4, 5, 6, 7};
        break;
    case WIRE_CONFIG:
        m.config.conf = sample_conf();
        break;
    case WIRE_REFUSED:
        m.refused = (struct wire_refused){WIRE_REFUSED_SPACE, WIRE_APPEND, 3, "no space"};
        break;
    case WIRE_RELEASE:
        memcpy(m.release.heir, "h:1", 4);
        break;
    case WIRE_WATCH:
        m.watch = (struct wire_watch){.name = "p",
                                      .address = "h:1",
                                      .role = 1,
                                      .synced = true,
                                      .offset = 5,
                                      .needs = 4,
                                      .known = {3}};
        break;
    case WIRE_WATCH_REPLY:
        m.watch_reply =
            (struct wire_watch_reply){.heard_ns = 1,
                                      .leader_term = {2},
                                      .leader = "h:1",
                                      .heir = "h:2",
                                      .commit = 3,
                                      .begin = 4,
                                      .roster = {buf_head(&roster_bytes), roster_bytes.len},
                                      .history = {buf_head(&history_bytes), history_bytes.len}};
        break;
    default:
        break;
    }
    return m;
}

static uint8_t *encode(const struct wire_msg *m, size_t *size)
{
    *size = wire_size(m);
    uint8_t *bytes = mem_alloc(*size);
    wire_encode(m, bytes);
    return bytes;
}

/* Every type comes back the same: decoding and encoding again gives the same bytes, and no field
 * was left at zero on the way (each sample has all of them set). */
START_TEST(round_trip)
{
    struct wire_msg in = sample(types[_i]), out;
    size_t size, size_again;
    uint8_t *bytes = encode(&in, &size);

    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_OK);
    ck_assert_int_eq(out.type, in.type);
    ck_assert_int_eq(out.channel, WIRE_READER);
    ck_assert_mem_eq(out.cluster_id, in.cluster_id, 16);
    ck_assert_uint_eq(out.log_id, 11);
    ck_assert_uint_eq(out.term.n, 12);
    ck_assert_uint_eq(out.conf.generation, 13);
    ck_assert_uint_eq(out.conf.term.n, 16);
    ck_assert_uint_eq(out.session, 14);
    ck_assert_uint_eq(out.seq, 15);
    ck_assert_uint_eq(out.data_size, in.data_size);
    ck_assert(in.data_size == 0 || memcmp(in.data, out.data, in.data_size) == 0);
    uint8_t *again = encode(&out, &size_again);
    ck_assert_uint_eq(size_again, size);
    ck_assert_mem_eq(again, bytes, size);
    ck_assert_uint_eq(wire_head_size(&in) + in.data_size, size);
    free(bytes);
    free(again);
}
END_TEST

/* Some fields looked at one by one, so that a walk which skips a field in both directions shows. */
START_TEST(fields_arrive)
{
    struct wire_msg in = sample(WIRE_HELLO_REPLY), out;
    size_t size;
    uint8_t *bytes = encode(&in, &size);

    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_OK);
    ck_assert_str_eq(out.hello_reply.node_id, "node-1");
    ck_assert_str_eq(out.hello_reply.leader, "10.0.0.1:6379");
    ck_assert_uint_eq(out.hello_reply.lease_ms, 1000);
    ck_assert_uint_eq(out.hello_reply.elapsed_ns, 7);
    ck_assert_uint_eq(out.hello_reply.heard_ns, WIRE_NEVER);
    ck_assert_uint_eq(out.hello_reply.snapshot, 8);
    ck_assert(out.hello_reply.log.empty);
    ck_assert_uint_eq(out.hello_reply.log.begin, 1);
    ck_assert_uint_eq(out.hello_reply.log.flush_off, 2);
    ck_assert_uint_eq(out.hello_reply.log.unit_off, 3);
    ck_assert_uint_eq(out.hello_reply.log.uncertain_to, 4);
    ck_assert_uint_eq(out.hello_reply.log.commit, 5);
    ck_assert_uint_eq(out.hello_reply.log.chain_crc, 6);
    ck_assert_uint_eq(out.hello_reply.log.holes.count, 7);
    ck_assert_uint_eq(out.hello_reply.log.holes.mended_bytes, 13);
    ck_assert_uint_eq(out.hello_reply.disk.bytes[15], 3);
    ck_assert_mem_eq(out.hello_reply.conf.bytes, buf_head(&conf_bytes), conf_bytes.len);
    ck_assert_mem_eq(out.hello_reply.history.bytes, buf_head(&history_bytes), history_bytes.len);
    free(bytes);

    in = sample(WIRE_SNAP_BEGIN);
    bytes = encode(&in, &size);
    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_OK);
    const struct snapshot_info *info = &out.snap_begin.info;
    ck_assert_uint_eq(info->offset, 1);
    ck_assert_uint_eq(info->term.n, 2);
    ck_assert_int_eq(info->replid.hex[39], 'c');
    ck_assert_uint_eq(info->size_bytes, 3);
    ck_assert_uint_eq(info->crc, 4);
    ck_assert_uint_eq(info->chain_crc, 5);
    ck_assert_uint_eq(info->wall_ms, 6);
    ck_assert_str_eq(info->engine_version, "7.0.15");
    free(bytes);
}
END_TEST

/* Cut anywhere, or with a byte more, it is an error; the bytes end where reading would overrun. */
START_TEST(every_truncation)
{
    struct wire_msg in = sample(types[_i]), out;
    size_t size;
    uint8_t *bytes = encode(&in, &size);

    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = mem_alloc(cut);
        memcpy(exact, bytes, cut);
        ck_assert_int_eq(wire_decode(exact, cut, &out), ERR_PROTOCOL);
        free(exact);
    }
    bytes = mem_realloc(bytes, size + 1);
    bytes[size] = 0;
    ck_assert_int_eq(wire_decode(bytes, size + 1, &out), ERR_PROTOCOL);
    free(bytes);
}
END_TEST

/* Any flipped bit is an error, but in the payloads of records, which have checksums of their own
 * that are looked at where they are stored. */
START_TEST(every_bit_flip)
{
    struct wire_msg in = sample(types[_i]), out;
    size_t size, head = wire_head_size(&in);
    uint8_t *bytes = encode(&in, &size);

    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        int rc = wire_decode(bytes, size, &out);
        size_t in_record = (bit / 8 - head) % (RECORD_HEADER_BYTES + 5);
        bool payload =
            bit / 8 >= head && in.data == buf_head(&records) && in_record >= RECORD_HEADER_BYTES;
        bool version = bit / 8 == 4 || bit / 8 == 5;
        ck_assert_int_eq(rc, payload ? ERR_OK : version ? ERR_REFUSED : ERR_PROTOCOL);
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    free(bytes);
}
END_TEST

/* Records that do not follow each other, and data where none may be, are refused with all
 * checksums right. */
START_TEST(senseless_data)
{
    struct wire_msg in = sample(WIRE_APPEND), out;
    size_t size;
    uint8_t *twice = mem_alloc(2 * (RECORD_HEADER_BYTES + 5));

    memcpy(twice, buf_head(&records), RECORD_HEADER_BYTES + 5);
    memcpy(twice + RECORD_HEADER_BYTES + 5, buf_head(&records), RECORD_HEADER_BYTES + 5);
    in.data = twice;
    uint8_t *bytes = encode(&in, &size);
    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_PROTOCOL);
    free(bytes);
    in.data_size -= 1;
    bytes = encode(&in, &size);
    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_PROTOCOL);
    free(bytes);
    free(twice);
}
END_TEST

/* Long texts are cut, not overrun; refusals say what they refuse. */
START_TEST(refusals)
{
    struct wire_msg request = sample(WIRE_APPEND), out;
    char reason[300];
    size_t size;

    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    struct wire_msg m = wire_refuse(&request, (struct term){99}, (struct conf_id){{2}, 3},
                                    WIRE_REFUSED_SESSION, reason);
    uint8_t *bytes = encode(&m, &size);
    ck_assert_int_eq(wire_decode(bytes, size, &out), ERR_OK);
    ck_assert_uint_eq(strlen(out.refused.reason), WIRE_REASON_MAX);
    ck_assert_uint_eq(out.refused.code, WIRE_REFUSED_SESSION);
    ck_assert_uint_eq(out.refused.to, WIRE_APPEND);
    ck_assert_uint_eq(out.term.n, 99);
    ck_assert_uint_eq(out.seq, request.seq);
    ck_assert_uint_eq(out.session, request.session);
    ck_assert_int_eq(out.channel, request.channel);
    free(bytes);
    for (uint32_t code = 0; code < 20; code++) {
        ck_assert_ptr_nonnull(wire_refusal_text(code));
    }
    ck_assert_str_eq(wire_type_name(WIRE_APPEND_REPLY), "APPEND_REPLY");
    ck_assert_str_eq(wire_type_name((enum wire_type)99), "unknown");
    ck_assert(wire_is_request(WIRE_HELLO) && !wire_is_request(WIRE_HELLO_REPLY));
    ck_assert(!wire_is_request(WIRE_REFUSED));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tc = tcase_create("wire");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, round_trip, 0, TYPES);
    tcase_add_test(tc, fields_arrive);
    tcase_add_loop_test(tc, every_truncation, 0, TYPES);
    tcase_add_loop_test(tc, every_bit_flip, 0, TYPES);
    tcase_add_test(tc, senseless_data);
    tcase_add_test(tc, refusals);
    suite_add_tcase(suite, tc);
    return unit_main(suite);
}
