/* Any bytes are decoded or refused. What is decoded encodes to the same bytes, and is then said to
 * an acceptor and to a proposer, which must live through it. The input is a row of messages, each
 * u8 kind and u16 length in front: kind 0 is taken as it is, kind 1 gets the magic, lengths,
 * checksums and identities that let it in. */
#include "logsvc/wire.h"

#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"
#include "logsvc/acceptor.h"
#include "logsvc/client/proposer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/fake_storage.h"

enum { FUZZ_LEASE_MS = 1000, FUZZ_SNAPSHOTS = FAKE_SNAPSHOTS_MAX };

static struct proposer *proposer;
static uint64_t session[3], seq[3];

static void fuzz_reply(void *ctx, struct acceptor_reply_to to, const struct wire_msg *msg)
{
    size_t size = wire_size(msg);
    uint8_t *bytes = mem_alloc(size);
    struct wire_msg back;

    (void)ctx;
    (void)to;
    wire_encode(msg, bytes);
    MUST(wire_decode(bytes, size, &back) == ERR_OK);
    free(bytes);
}

static bool fuzz_send(void *ctx, unsigned node, const struct wire_msg *msg)
{
    (void)ctx;
    session[node] = msg->session;
    seq[node] = msg->seq;
    return true;
}

static uint64_t fuzz_random(void *ctx)
{
    (void)ctx;
    return 0;
}

/* Checksums of records, as far as they are whole; the chain goes on from `chain`. */
static void fuzz_mend_records(uint8_t *at, size_t size, uint32_t chain, uint64_t begin)
{
    while (size >= RECORD_HEADER_BYTES) {
        uint32_t len = le_get32(at + 32) % 64;
        len = len < size - RECORD_HEADER_BYTES ? len : (uint32_t)(size - RECORD_HEADER_BYTES);
        chain = crc32c_extend(chain, at + RECORD_HEADER_BYTES, len);
        le_put32(at, RECORD_MAGIC);
        le_put32(at + 8, crc32c_extend(0, at + RECORD_HEADER_BYTES, len));
        le_put32(at + 12, chain);
        le_put64(at + 16, le_get64(at + 16) % 8);
        le_put64(at + 24, begin);
        le_put32(at + 32, len);
        le_put32(at + 36, le_get32(at + 36) % 4);
        le_put32(at + 4, crc32c_extend(0, at + 8, RECORD_HEADER_BYTES - 8));
        begin += len;
        at += RECORD_HEADER_BYTES + len;
        size -= RECORD_HEADER_BYTES + len;
    }
}

/* Makes of the input something that may be let in. */
static void fuzz_mend(uint8_t *m, size_t size, const struct storage_state *st, unsigned node)
{
    size_t left = size - WIRE_HEADER_BYTES;
    size_t body = le_get32(m + 12) % (left + 1);
    bool records = m[6] == WIRE_APPEND || m[6] == WIRE_READ_REPLY;
    bool data = records || m[6] == WIRE_SNAP_WRITE || m[6] == WIRE_SNAP_READ_REPLY;

    m[6] = (uint8_t)(m[6] % (WIRE_REFUSED + 3));
    m[6] = m[6] > WIRE_REFUSED ? (uint8_t)(WIRE_WATCH + m[6] - WIRE_REFUSED - 1) : m[6];
    body = data ? body : left;
    le_put32(m, WIRE_MAGIC);
    le_put16(m + 4, WIRE_VERSION);
    m[7] = 0;
    le_put32(m + 12, (uint32_t)body);
    le_put32(m + 16, (uint32_t)(left - body));
    le_put32(m + 20, 0);
    memset(m + 24, 0, 16);
    le_put64(m + 40, 1);
    le_put64(m + 48, le_get64(m + 48) % 8);
    le_put64(m + 56, 1);
    le_put64(m + 64, m[6] % 2 == 0 ? session[node] : le_get64(m + 64) % 4);
    le_put64(m + 72, m[6] % 2 == 0 ? seq[node] : le_get64(m + 72));
    if (records) {
        fuzz_mend_records(m + WIRE_HEADER_BYTES + body, left - body, st->chain_crc, st->write_off);
    }
    size_t covered = WIRE_HEADER_BYTES - 12 + body + (records ? 0 : left - body);
    le_put32(m + 8, crc32c_extend(crc32c_extend(0, m + 4, 4), m + 12, covered));
}

/* The same bytes come out as went in. */
static void fuzz_round_trip(const struct wire_msg *msg, const uint8_t *bytes, size_t size)
{
    MUST(wire_size(msg) == size);
    uint8_t *again = mem_alloc(size);
    wire_encode(msg, again);
    MUST(memcmp(again, bytes, size) == 0);
    free(again);
}

/* Configurations can't be hit by chance: makes a message that has one, from a few of the input's
 * bytes. What it points to stays until the next call. */
static struct wire_msg fuzz_conf_message(const uint8_t *in, size_t size, unsigned node)
{
    static struct buf bytes, history;
    static const enum wire_type types[] = {WIRE_HELLO_REPLY, WIRE_VOTE, WIRE_ELECTED, WIRE_CONFIG};
    uint8_t b[16] = {0};
    struct history h = {0};
    struct replid replid = {{'r'}};

    memcpy(b, in, size < sizeof b ? size : sizeof b);
    struct conf c = {.id = {{b[0] % 8}, 1 + b[1] % 4}};
    for (unsigned i = 0; i < 3; i++) {
        struct conf_member *m = &c.now.members[c.now.count++];
        *m = (struct conf_member){.disk = {{(uint8_t)(1 + (b[2] >> i & 1) * 4 + i)}},
                                  .node_id = {i == 0 ? 'n' : (char)('a' + i)},
                                  .address = {(char)('a' + i)}};
    }
    if (b[3] % 4 == 0 && c.id.generation > 1) {
        c.old = c.now;
        c.now.members[b[4] % 3] = (struct conf_member){{'z'}, {{99}}, {'z'}};
    }
    buf_clear(&bytes);
    conf_encode(&c, &bytes);
    buf_clear(&history);
    if (b[5] % 8 > 0) {
        MUST(history_append(&h, (struct log_term){b[5] % 8}, b[6], &replid) == ERR_OK);
    }
    history_encode(&h, &history);
    struct wire_conf conf = {buf_head(&bytes), bytes.len};
    struct wire_history past = {buf_head(&history), history.len};
    struct wire_msg msg = {.type = types[b[7] % 4],
                           .log_id = 1,
                           .term = {b[8] % 8},
                           .conf = c.id,
                           .session = b[9] % 4};
    if (msg.type == WIRE_HELLO_REPLY) {
        msg.session = session[node];
        msg.seq = seq[node];
        msg.hello_reply =
            (struct wire_hello_reply){.node_id = {node == 0 ? 'n' : (char)('a' + node)},
                                      .disk = {{(uint8_t)(1 + node)}},
                                      .lease_ms = FUZZ_LEASE_MS,
                                      .heard_ns = WIRE_NEVER,
                                      .log.empty = b[5] % 8 == 0,
                                      .snapshot = WIRE_NO_SNAPSHOT,
                                      .history = past,
                                      .conf = conf};
        msg.conf = b[10] % 2 == 0 ? c.id : (struct conf_id){0};
        msg.hello_reply.conf = b[10] % 2 == 0 ? conf : (struct wire_conf){0};
    } else if (msg.type == WIRE_VOTE) {
        msg.vote = (struct wire_vote){FUZZ_LEASE_MS, {{b[11] % 4 == 0 ? 9 : 1}}, conf};
    } else if (msg.type == WIRE_ELECTED) {
        msg.elected = (struct wire_elected){.to = {{b[11] % 4 == 0 ? 9 : 1}},
                                            .start = b[12],
                                            .reset = b[13] % 2 == 0,
                                            .history = past,
                                            .conf = conf};
    } else {
        msg.config.conf = conf;
    }
    return msg;
}

static void fuzz_proposer_turn(uint64_t now)
{
    static const struct replid replid;

    if (proposer_state(proposer) == PROPOSER_ELECTED) {
        proposer_lead(proposer, now, proposer_donor(proposer)->end.offset, &replid);
    }
    proposer_append(proposer, "bytes", 5, true, 1);
    proposer_flush(proposer, now);
    proposer_tick(proposer, now);
    MUST(!proposer_may_serve(proposer, now) || proposer_state(proposer) == PROPOSER_LEADING);
}

static struct acceptor *fuzz_open(struct fake_storage *storage)
{
    struct acceptor_config config = {.log_id = 1,
                                     .node_id = "n",
                                     .disk = {{1}},
                                     .lease_ms = FUZZ_LEASE_MS,
                                     .read_max_bytes = 1000};
    struct acceptor_events events = {.reply = fuzz_reply};
    struct acceptor *a = NULL;

    fake_storage_init(storage);
    MUST(acceptor_create(&storage->base, &config, &events, NULL, 1, &a) == ERR_OK);
    struct proposer_config mine = {.log_id = 1,
                                   .node_count = 3,
                                   .lease_ms = FUZZ_LEASE_MS,
                                   .heartbeat_ms = 100,
                                   .append_max_bytes = 100,
                                   .append_inflight_max = 2,
                                   .window_max_bytes = 1000};
    struct proposer_events out = {.send = fuzz_send, .random = fuzz_random};
    proposer = proposer_create(&mine, &out, NULL);
    for (unsigned i = 0; i < 3; i++) {
        proposer_link_up(proposer, 1, i, true);
    }
    proposer_campaign(proposer, 1);
    return a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_storage storage;
    struct acceptor *a = fuzz_open(&storage);
    struct storage_state st;
    uint64_t now = 1000;

    while (size >= 3) {
        uint8_t kind = data[0];
        size_t len = le_get16(data + 1);
        data += 3;
        size -= 3;
        len = len < size ? len : size;
        uint8_t *bytes = mem_alloc(len);
        memcpy(bytes, data, len);
        data += len;
        size -= len;
        now += 50000000;
        storage.base.ops->state(&storage.base, &st);
        if (kind >= 192) {
            struct wire_msg made = fuzz_conf_message(bytes, len, kind % 3);
            bytes = mem_realloc(bytes, wire_size(&made));
            len = wire_size(&made);
            wire_encode(&made, bytes);
        } else if (kind % 4 != 0 && len >= WIRE_HEADER_BYTES) {
            fuzz_mend(bytes, len, &st, kind % 3);
        }
        struct wire_msg msg;
        if (wire_decode(bytes, len, &msg) == ERR_OK) {
            struct acceptor_reply_to to = {0};
            fuzz_round_trip(&msg, bytes, len);
            if (msg.type != WIRE_SNAP_COMMIT || storage.snap_count < FUZZ_SNAPSHOTS) {
                MUST(acceptor_receive(a, now, &msg, to) == ERR_OK);
            }
            MUST(acceptor_flush(a, now) == ERR_OK);
            MUST(acceptor_tick(a, now) == ERR_OK);
            proposer_receive(proposer, now, kind % 3, &msg);
            fuzz_proposer_turn(now);
        }
        free(bytes);
    }
    acceptor_destroy(a);
    proposer_destroy(proposer);
    fake_storage_fini(&storage);
    return 0;
}
