/* The test vectors in docs/log-format.md and docs/log-protocol.md are what this code makes: whoever
 * writes a second implementation can trust them, and whoever changes a format must change the
 * document. VECTORS_PRINT=1 prints them all as the documents have them. */
#include "common/buf.h"
#include "common/crc32c.h"
#include "common/le.h"
#include "common/mem.h"
#include "logsvc/framed.h"
#include "logsvc/meta.h"
#include "logsvc/segment.h"
#include "logsvc/snapfile.h"
#include "logsvc/store.h"
#include "logsvc/wire.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT   "log-format.md"
#define PROTOCOL "log-protocol.md"
#define PING     "*1\r\n$4\r\nPING\r\n"

enum { PING_BYTES = sizeof PING - 1, VECTORS_MAX = 64, LINE_BYTES = 32 };

struct vector {
    const char *doc, *name;
    struct buf text; /* as it must stand in the document */
};

static struct vector vectors[VECTORS_MAX];
static unsigned vector_count;

/* --- how a vector is written ------------------------------------------------------------------ */

/* Lines of hex; many zeros at the end of a file are counted, not written. */
static void vector_add(const char *doc, const char *name, const uint8_t *bytes, size_t size)
{
    MUST(vector_count < VECTORS_MAX);
    struct vector *v = &vectors[vector_count++];
    char line[2 * LINE_BYTES + 64];
    size_t used = size;

    *v = (struct vector){.doc = doc, .name = name, .text = BUF_INIT};
    while (used > 0 && bytes[used - 1] == 0) {
        used--;
    }
    used = strcmp(doc, FORMAT) == 0 && size - used > LINE_BYTES ? used : size;
    for (size_t at = 0; at < used; at += LINE_BYTES) {
        size_t count = used - at < LINE_BYTES ? used - at : LINE_BYTES;
        buf_append(&v->text, "    ", 4);
        for (size_t i = 0; i < count; i++) {
            (void)snprintf(line + 2 * i, 3, "%02x", bytes[at + i]);
        }
        buf_append(&v->text, line, 2 * count);
        buf_append(&v->text, "\n", 1);
    }
    if (used < size) {
        int len = snprintf(line, sizeof line, "    and %zu zeros\n", size - used);
        buf_append(&v->text, line, (size_t)len);
    }
}

/* --- what the samples are about --------------------------------------------------------------- */

static const uint8_t cluster_id[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                       0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

static struct disk_id sample_disk(unsigned n)
{
    struct disk_id id;

    memset(id.bytes, (int)(0xd0 + n), sizeof id.bytes);
    return id;
}

static struct conf sample_founding(void)
{
    struct conf_set set = {.count = 3};
    struct conf c;

    for (unsigned i = 0; i < set.count; i++) {
        struct conf_member *m = &set.members[i];
        (void)snprintf(m->node_id, sizeof m->node_id, "log%u", i + 1);
        (void)snprintf(m->address, sizeof m->address, "10.0.0.%u:7401", i + 1);
        m->disk = sample_disk(i + 1);
    }
    ck_assert_int_eq(conf_found(&set, &c), ERR_OK);
    return c;
}

static struct conf sample_stable(void)
{
    struct conf founding = sample_founding(), c;

    conf_restamp(&founding, (struct term){3});
    conf_settle(&founding, &c);
    return c;
}

static struct conf sample_joint(void)
{
    struct conf stable = sample_stable(), c;
    struct conf_member added = {.node_id = "log4", .address = "10.0.0.4:7401"};

    added.disk = sample_disk(4);
    ck_assert_int_eq(conf_replace(&stable, "log3", &added, &c), ERR_OK);
    return c;
}

/* Term 1 from offset 100 on, term 3 from 128 on. */
static struct history sample_history(void)
{
    struct history h = {0};
    struct replid r;

    memset(r.hex, 'a', sizeof r.hex);
    ck_assert_int_eq(history_append(&h, (struct log_term){1}, 100, &r), ERR_OK);
    memset(r.hex, 'b', sizeof r.hex);
    ck_assert_int_eq(history_append(&h, (struct log_term){3}, 128, &r), ERR_OK);
    return h;
}

/* The record number n of the sample log, each of which holds one PING. */
static struct record sample_record(unsigned n)
{
    struct record r = {.term = {n < 2 ? 1 : 3},
                       .begin = 100 + (uint64_t)n * PING_BYTES,
                       .len_bytes = PING_BYTES,
                       .flags = RECORD_UNIT_END,
                       .payload_crc = crc32c_extend(0, PING, PING_BYTES),
                       .commit = n < 2 ? 0 : 128,
                       .wall_ms = 1700000000000 + n};

    for (unsigned i = 0; i <= n; i++) {
        r.chain_crc = crc32c_extend(r.chain_crc, PING, PING_BYTES);
    }
    return r;
}

static struct snapshot_info sample_snapshot(void)
{
    struct snapshot_info info = {.offset = 128,
                                 .term = {3},
                                 .size_bytes = 9,
                                 .crc = crc32c_extend(0, "REDIS0010", 9),
                                 .chain_crc = sample_record(1).chain_crc,
                                 .wall_ms = 1700000000000,
                                 .keys = 2,
                                 .taken_ms = 1700000001000,
                                 .verified_ms = 1700000002000,
                                 .engine_version = "7.0.15"};

    memset(info.replid.hex, 'b', sizeof info.replid.hex);
    return info;
}

/* --- files ------------------------------------------------------------------------------------ */

static void make_values(void)
{
    struct history h = sample_history();
    struct conf confs[] = {sample_founding(), sample_stable(), sample_joint()};
    static const char *const names[] = {"conf-founding", "conf-stable", "conf-joint"};
    struct buf bytes = BUF_INIT;

    for (unsigned i = 0; i < 3; i++) {
        buf_clear(&bytes);
        conf_encode(&confs[i], &bytes);
        vector_add(PROTOCOL, names[i], buf_head(&bytes), bytes.len);
    }
    buf_clear(&bytes);
    history_encode(&h, &bytes);
    vector_add(PROTOCOL, "history", buf_head(&bytes), bytes.len);
    buf_release(&bytes);
}

static void make_file(struct fake_disk *disk, const char *name, const char *path, size_t from,
                      size_t to)
{
    size_t size;
    const uint8_t *bytes = fake_disk_bytes(disk, path, &size);

    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_ge(size, to);
    vector_add(FORMAT, name, bytes + from, to - from);
}

/* A log as a node makes it: reset to offset 100, two records in a batch, one more, an idle one. */
static void write_log(struct storage *s)
{
    struct history h = sample_history();
    struct meta meta = {.log_id = 1,
                        .node_id = "log1",
                        .disk = sample_disk(1),
                        .term = {3},
                        .engine = WIRE_ENGINE(7, 0, 15),
                        .history = h,
                        .conf = sample_stable()};
    struct buf bytes = BUF_INIT;

    memcpy(meta.cluster_id, cluster_id, sizeof meta.cluster_id);
    meta_encode(&meta, &bytes);
    ck_assert_int_eq(s->ops->meta_save(s, buf_head(&bytes), bytes.len), ERR_OK);
    buf_release(&bytes);
    ck_assert_int_eq(s->ops->reset(s, 100, 0), ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        struct record r = sample_record(i);
        ck_assert_int_eq(s->ops->append(s, &r, PING), ERR_OK);
        if (i > 0) {
            ck_assert_int_eq(s->ops->flush(s), ERR_OK);
        }
    }
    struct record idle = sample_record(2);
    idle.begin = record_end(&idle);
    idle.flags = RECORD_IDLE | RECORD_UNIT_END;
    idle.len_bytes = idle.payload_crc = 0;
    ck_assert_int_eq(s->ops->append(s, &idle, NULL), ERR_OK);
    ck_assert_int_eq(s->ops->flush(s), ERR_OK);
}

static void make_files(void)
{
    struct fake_disk *disk = fake_disk_create();
    struct store_config config = {.disk = fake_disk(disk),
                                  .folder = "d",
                                  .node_id = "log1",
                                  .log_id = 1,
                                  .segment_bytes = SEGMENT_BYTES_MIN};
    struct store *store = NULL;
    uint8_t block[SEGMENT_BLOCK_BYTES];
    struct snapfile_sums sums = {.sums = BUF_INIT};
    struct buf meta = BUF_INIT;
    struct snapshot_info snapshot = sample_snapshot();

    memcpy(config.cluster_id, cluster_id, sizeof config.cluster_id);
    ck_assert_int_eq(store_open(&config, &store), ERR_OK);
    write_log(store_storage(store));
    const char *segment = "d/seg-00000000000000000100.log";
    make_file(disk, "ident", "d/ident", 0, 512);
    make_file(disk, "slot", "d/meta-a", 0, 4096);
    make_file(disk, "segment-header", segment, 0, 4096);
    make_file(disk, "batch-of-two", segment, 4096, 8192);
    make_file(disk, "batch-of-one", segment, 8192, 12288);
    make_file(disk, "batch-idle", segment, 12288, 16384);
    store_close(store);
    fake_disk_destroy(disk);

    struct segment_footer footer = {142, 12288, sample_record(2).chain_crc};
    segment_encode_footer(&footer, block);
    vector_add(FORMAT, "footer", block, sizeof block);
    snapfile_sum(&sums, (const uint8_t *)"REDIS0010", 9, true);
    snapfile_encode(&snapshot, buf_head(&sums.sums), sums.sums.len, &meta);
    vector_add(FORMAT, "snapshot-meta", buf_head(&meta), meta.len);
    buf_release(&meta);
    buf_release(&sums.sums);
}

/* --- messages --------------------------------------------------------------------------------- */

static struct buf message_history, message_conf, message_roster, message_records;

static void message_add(const char *name, struct wire_msg *msg)
{
    size_t size = wire_size(msg);
    uint8_t *bytes = mem_alloc(size);

    wire_encode(msg, bytes);
    vector_add(PROTOCOL, name, bytes, size);
    free(bytes);
}

/* An envelope of term 3, under the stable configuration. */
static struct wire_msg message(enum wire_type type)
{
    struct wire_msg msg = {.type = type,
                           .log_id = 1,
                           .term = {3},
                           .conf = {.term = {3}, .generation = 2},
                           .session = 7,
                           .seq = 9};

    memcpy(msg.cluster_id, cluster_id, sizeof msg.cluster_id);
    return msg;
}

static struct wire_log message_log(void)
{
    return (struct wire_log){.begin = 100,
                             .flush_off = 142,
                             .unit_off = 142,
                             .commit = 128,
                             .chain_crc = sample_record(2).chain_crc};
}

static void make_message_parts(void)
{
    struct history h = sample_history();
    struct conf c = sample_stable();
    struct record r = sample_record(2);
    struct roster roster = {0};
    uint8_t header[RECORD_HEADER_BYTES];

    message_history = message_conf = message_roster = message_records = (struct buf)BUF_INIT;
    history_encode(&h, &message_history);
    conf_encode(&c, &message_conf);
    (void)roster_hear(&roster, &(struct roster_entry){.name = "proxy1",
                                                      .address = "10.0.0.8:6379",
                                                      .role = ROSTER_LEADER,
                                                      .synced = true,
                                                      .offset = 142,
                                                      .needs = 142,
                                                      .sentinel_port = 26379});
    roster_encode(&roster, 1000, &message_roster);
    record_encode_header(&r, header);
    buf_append(&message_records, header, sizeof header);
    buf_append(&message_records, PING, PING_BYTES);
}

static struct wire_history parts_history(void)
{
    return (struct wire_history){buf_head(&message_history), message_history.len};
}

static struct wire_conf parts_conf(void)
{
    return (struct wire_conf){buf_head(&message_conf), message_conf.len};
}

/* What a connection begins with, and a first message. */
static void make_framed(void)
{
    struct wire_msg msg = message(WIRE_STATUS);
    uint8_t bytes[FRAMED_PREAMBLE_BYTES + FRAMED_LENGTH_BYTES + WIRE_HEADER_BYTES + 1];
    uint8_t *at = bytes + sizeof FRAMED_MAGIC - 1;

    ck_assert_uint_eq(wire_size(&msg), WIRE_HEADER_BYTES + 1);
    memcpy(bytes, FRAMED_MAGIC, sizeof FRAMED_MAGIC - 1);
    le_put16(at, FRAMED_VERSION);
    le_put32(at + 2, WIRE_HEADER_BYTES + 1);
    wire_encode(&msg, at + 6);
    vector_add(PROTOCOL, "framed-status", bytes, sizeof bytes);
}

static void make_elections(void)
{
    struct wire_msg msg = message(WIRE_HELLO);
    msg.term.n = 0;
    msg.hello = (struct wire_hello){.lease_ms = 800, .name = "10.0.0.8:6379"};
    message_add("hello", &msg);
    msg = message(WIRE_HELLO_REPLY);
    msg.hello_reply = (struct wire_hello_reply){.node_id = "log1",
                                                .disk = sample_disk(1),
                                                .lease_ms = 800,
                                                .elapsed_ns = 5000000,
                                                .heard_ns = WIRE_NEVER,
                                                .log = message_log(),
                                                .snapshot = WIRE_NO_SNAPSHOT,
                                                .leader = "10.0.0.8:6379",
                                                .history = parts_history(),
                                                .conf = parts_conf()};
    message_add("hello-reply", &msg);
    msg = message(WIRE_VOTE);
    msg.term.n = 4;
    msg.vote = (struct wire_vote){.lease_ms = 800, .to = sample_disk(1), .conf = parts_conf()};
    message_add("vote", &msg);
    msg = message(WIRE_VOTE_REPLY);
    msg.term.n = 4;
    msg.vote_reply = (struct wire_vote_reply){
        .granted = true, .elapsed_ns = 5000000, .log = message_log(), .history = parts_history()};
    message_add("vote-reply", &msg);
    msg = message(WIRE_ELECTED);
    msg.elected = (struct wire_elected){.to = sample_disk(1),
                                        .start = 128,
                                        .name = "10.0.0.8:6379",
                                        .engine = WIRE_ENGINE(7, 0, 15),
                                        .history = parts_history(),
                                        .conf = parts_conf()};
    message_add("elected", &msg);
    msg = message(WIRE_ELECTED_REPLY);
    msg.elected_reply.log = message_log();
    message_add("elected-reply", &msg);
    msg = message(WIRE_CONFIG);
    msg.config.conf = parts_conf();
    message_add("config", &msg);
    msg = message(WIRE_RELEASE);
    memcpy(msg.release.heir, "10.0.0.9:6379", sizeof "10.0.0.9:6379");
    message_add("release", &msg);
}

static void make_appends(void)
{
    struct wire_msg msg = message(WIRE_APPEND);
    msg.append = (struct wire_append){.begin = 128, .commit = 128};
    msg.data = buf_head(&message_records);
    msg.data_size = message_records.len;
    message_add("append", &msg);
    msg = message(WIRE_APPEND_REPLY);
    msg.append_reply = (struct wire_append_reply){.write_off = 142, .unit_off = 142, .commit = 128};
    message_add("append-reply", &msg);
    msg = message(WIRE_READ);
    msg.channel = WIRE_READER;
    msg.read = (struct wire_read){.from = 128, .max_bytes = 65536};
    message_add("read", &msg);
    msg = message(WIRE_READ_REPLY);
    msg.channel = WIRE_READER;
    msg.read_reply = (struct wire_read_reply){.from = 128, .limit = 142, .log = message_log()};
    msg.data = buf_head(&message_records);
    msg.data_size = message_records.len;
    message_add("read-reply", &msg);
    msg = message(WIRE_MEND_REPLY);
    msg.mend_reply.holes = (struct storage_holes){1, 100, 128, 114, 128, 1, 14};
    message_add("mend-reply", &msg);
    struct wire_msg request = message(WIRE_APPEND);
    msg =
        wire_refuse(&request, (struct term){4}, (struct conf_id){{4}, 2}, WIRE_REFUSED_TERM, NULL);
    msg.refused.write_off = 142;
    message_add("refused", &msg);
}

static void make_others(void)
{
    struct wire_msg msg = message(WIRE_SNAP_BEGIN);
    msg.channel = WIRE_SNAPSHOT;
    msg.snap_begin.info = sample_snapshot();
    message_add("snap-begin", &msg);
    msg = message(WIRE_SNAP_WRITE);
    msg.channel = WIRE_SNAPSHOT;
    msg.snap_write = (struct wire_snap_write){.offset = 128, .at = 0};
    msg.data = (const uint8_t *)"REDIS0010";
    msg.data_size = 9;
    message_add("snap-write", &msg);
    struct snapinfo_stored stored = {.info = sample_snapshot(), .counts = true};
    struct buf list = BUF_INIT;
    snapinfo_list_begin(&list);
    ck_assert(snapinfo_list_add(&list, &stored));
    msg = message(WIRE_SNAP_LIST_REPLY);
    msg.channel = WIRE_SNAPSHOT;
    msg.snap_list_reply.log = message_log();
    msg.snap_list_reply.snaps = (struct wire_snaps){buf_head(&list), list.len};
    message_add("snap-list-reply", &msg);
    buf_release(&list);
    msg = message(WIRE_SNAP_VERIFIED);
    msg.channel = WIRE_SNAPSHOT;
    msg.snap_mark = (struct wire_snap_mark){
        .offset = 128, .crc = sample_snapshot().crc, .verified_ms = 1700000002000};
    message_add("snap-verified", &msg);
    msg = message(WIRE_TRIM);
    msg.trim = (struct wire_trim){.to = 128, .snapshot = 128, .crc = sample_snapshot().crc};
    message_add("trim", &msg);
    msg = message(WIRE_REBASE);
    msg.rebase = (struct wire_rebase){.begin = 128, .chain_crc = sample_record(1).chain_crc};
    message_add("rebase", &msg);
    msg = message(WIRE_WATCH);
    msg.channel = WIRE_LOOKOUT;
    msg.watch = (struct wire_watch){.lease_ms = 800,
                                    .name = "proxy1",
                                    .address = "10.0.0.8:6379",
                                    .role = ROSTER_LEADER,
                                    .synced = true,
                                    .offset = 142,
                                    .needs = 142,
                                    .sentinel_port = 26379,
                                    .known = {3}};
    message_add("watch", &msg);
    msg = message(WIRE_WATCH_REPLY);
    msg.channel = WIRE_LOOKOUT;
    msg.watch_reply =
        (struct wire_watch_reply){.heard_ns = 5000000,
                                  .leader_term = {3},
                                  .leader = "10.0.0.8:6379",
                                  .commit = 142,
                                  .begin = 100,
                                  .engine = WIRE_ENGINE(7, 0, 15),
                                  .roster = {buf_head(&message_roster), message_roster.len}};
    message_add("watch-reply", &msg);
}

static void make_all(void)
{
    make_files();
    make_values();
    make_message_parts();
    make_framed();
    make_elections();
    make_appends();
    make_others();
    buf_release(&message_history);
    buf_release(&message_conf);
    buf_release(&message_roster);
    buf_release(&message_records);
}

static void forget_all(void)
{
    while (vector_count > 0) {
        buf_release(&vectors[--vector_count].text);
    }
}

/* --- the documents ---------------------------------------------------------------------------- */

static char *read_doc(const char *name)
{
    char path[1024];
    enum { DOC_BYTES_MAX = 1 << 20 };

    (void)snprintf(path, sizeof path, "%s/%s", DOCS_DIR, name);
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s cannot be read", path);
    char *text = mem_alloc(DOC_BYTES_MAX);
    size_t size = fread(text, 1, DOC_BYTES_MAX - 1, f);
    ck_assert_int_eq(fclose(f), 0);
    text[size] = '\0';
    return text;
}

/* Where the text of the vector begins: behind the line that names it; NULL: there is none. */
static const char *find_vector(const char *text, const char *name)
{
    char heading[128];

    int len = snprintf(heading, sizeof heading, "\n    vector %s\n", name);
    const char *at = strstr(text, heading);
    return at != NULL ? at + len : NULL;
}

static void check_vector(const char *text, const struct vector *v)
{
    const char *at = find_vector(text, v->name);

    ck_assert_msg(at != NULL, "%s has no vector %s", v->doc, v->name);
    ck_assert_msg(strncmp(at, (const char *)buf_head(&v->text), v->text.len) == 0 &&
                      (at[v->text.len] == '\n' || at[v->text.len] == '\0'),
                  "%s: vector %s should be\n%.*s", v->doc, v->name, (int)v->text.len,
                  (const char *)buf_head(&v->text));
}

/* Every vector of the documents is made here, byte for byte, and there are no others in them. */
START_TEST(documents_tell_the_truth)
{
    static const char *const docs[] = {FORMAT, PROTOCOL};
    bool print = getenv("VECTORS_PRINT") != NULL;

    make_all();
    for (unsigned d = 0; d < 2; d++) {
        char *text = read_doc(docs[d]);
        unsigned wanted = 0, found = 0;
        for (unsigned i = 0; i < vector_count; i++) {
            const struct vector *v = &vectors[i];
            if (strcmp(v->doc, docs[d]) != 0) {
                continue;
            }
            wanted++;
            if (print) {
                printf("%s\n    vector %s\n%.*s\n", v->doc, v->name, (int)v->text.len,
                       (const char *)buf_head(&v->text));
            } else {
                check_vector(text, v);
            }
        }
        for (const char *at = text; (at = strstr(at, "\n    vector ")) != NULL; at++) {
            found++;
        }
        ck_assert_msg(print || found == wanted, "%s has %u vectors, not %u", docs[d], found,
                      wanted);
        free(text);
    }
    forget_all();
}
END_TEST

/* Every type of message is in the protocol's table, with its number, and so are the limits that
 * follow from others. */
START_TEST(types_are_listed)
{
    static const enum wire_type types[] = {
#define TYPE(name, code, field) name,
        WIRE_TYPE_MAP(TYPE)
#undef TYPE
    };
    char *text = read_doc(PROTOCOL);
    char row[128];

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        (void)snprintf(row, sizeof row, "\n| %d | %s |", (int)types[i], wire_type_name(types[i]));
        ck_assert_msg(strstr(text, row) != NULL, "no row%s", row);
    }
    (void)snprintf(row, sizeof row, "**message format %d over transport %d**", (int)WIRE_VERSION,
                   (int)FRAMED_VERSION);
    ck_assert_ptr_nonnull(strstr(text, row));
    int overhead = WIRE_OVERHEAD_MAX;
    (void)snprintf(row, sizeof row, "%d,%03d bytes", overhead / 1000, overhead % 1000);
    ck_assert_msg(strstr(text, row) != NULL, "the overhead is %s", row);
    free(text);
}
END_TEST

/* What is printed as a message is one: decoded, it says what went in. */
START_TEST(vectors_can_be_read)
{
    make_all();
    unsigned messages = 0;
    for (unsigned i = 0; i < vector_count; i++) {
        const struct vector *v = &vectors[i];
        uint8_t bytes[2048];
        size_t size = 0;
        unsigned byte;
        const char *text = (const char *)buf_head(&v->text);
        for (size_t at = 0; at + 1 < v->text.len && size < sizeof bytes; at++) {
            if (isxdigit((unsigned char)text[at]) && sscanf(text + at, "%2x", &byte) == 1) {
                bytes[size++] = (uint8_t)byte;
                at++;
            }
        }
        struct wire_msg msg;
        if (strcmp(v->doc, PROTOCOL) == 0 && size > 4 && le_get32(bytes) == WIRE_MAGIC) {
            ck_assert_msg(wire_decode(bytes, size, &msg) == ERR_OK, "%s", v->name);
            messages++;
        }
    }
    ck_assert_uint_ge(messages, 15);
    forget_all();
}
END_TEST

int main(void)
{
    return UNIT_RUN("vectors", NULL, NULL, documents_tell_the_truth, types_are_listed,
                    vectors_can_be_read);
}
