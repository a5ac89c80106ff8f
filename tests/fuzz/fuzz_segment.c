/* Opening a log whose newest segment is made of the input's bytes. The first byte says how:
 *
 *   0  the whole file is the input
 *   1  a good header, then the input
 *   2  a good header, then records whose fields come from the input, with right checksums
 *   3  a log as the store writes it, with bytes changed here and there
 *
 * Whatever it is, the log is opened or refused; what is opened can be read to its end, every record
 * of it is good, and it takes appends, cuts and another opening. */
#include "common/crc32c.h"
#include "common/le.h"
#include "common/log.h"
#include "common/mem.h"
#include "logsvc/store.h"
#include "tests/lib/fake_disk.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES = SEGMENT_BYTES_MIN, BEGIN = 1000 };

#define FOLDER "d/log"
#define NAME   FOLDER "/seg-00000000000000001000.log"

static uint8_t image[FILE_BYTES];

static int open_log(struct fake_disk *f, struct store **s)
{
    struct store_config config = {
        .disk = fake_disk(f), .folder = FOLDER, .node_id = "log1", .segment_bytes = FILE_BYTES};

    return store_open(&config, s);
}

static int append(struct storage *st, uint32_t len)
{
    static const uint8_t payload[512] = {'p'};
    struct storage_state state;

    st->ops->state(st, &state);
    struct record r = {.term = {UINT64_MAX},
                       .begin = state.write_off,
                       .len_bytes = len,
                       .flags = RECORD_UNIT_END,
                       .payload_crc = crc32c_extend(0, payload, len),
                       .chain_crc = crc32c_extend(state.chain_crc, payload, len)};
    return st->ops->append(st, &r, payload);
}

/* Records behind the header: 8 bytes of input for each. */
static void put_records(const uint8_t *data, size_t size)
{
    uint64_t offset = BEGIN, pos = SEGMENT_BLOCK_BYTES;
    uint32_t chain = 0;

    for (; size >= 8 && pos < FILE_BYTES - 4096; data += 8, size -= 8) {
        uint32_t len = le_get16(data) % 3000;
        struct record r = {.term = {data[2] % 8},
                           .begin = offset + (data[3] & 1),
                           .len_bytes = len,
                           .flags = data[4] & 7,
                           .flushed = BEGIN + le_get16(data + 5)};
        memset(image + pos + RECORD_HEADER_BYTES, data[7], len);
        r.payload_crc = crc32c_extend(0, image + pos + RECORD_HEADER_BYTES, len);
        chain = crc32c_extend(chain, image + pos + RECORD_HEADER_BYTES, len);
        r.chain_crc = chain + (data[3] >> 7);
        r.len_bytes = data[3] & 4 ? len * 37 : len; /* a lie, well signed */
        record_encode_header(&r, image + pos);
        if (data[3] & 2) {
            image[pos + data[3]] ^= 1;
        }
        offset += len;
        pos += RECORD_HEADER_BYTES + len;
        pos = r.flags & RECORD_BATCH_END ? segment_block_up(pos) : (pos + 7) & ~7ull;
    }
}

static void change_bytes(const uint8_t *data, size_t size)
{
    for (; size >= 3; data += 3, size -= 3) {
        size_t at = le_get16(data) % FILE_BYTES;
        if (data[2] == 0) {
            memset(image + at / 512 * 512, 0, 512);
        } else {
            image[at] ^= data[2];
        }
    }
}

/* A log as the store makes it; its file is in image. */
static void make_log(struct fake_disk *f, bool with_records)
{
    struct store *s;
    size_t size;

    MUST(open_log(f, &s) == ERR_OK);
    struct storage *st = store_storage(s);
    MUST(st->ops->reset(st, BEGIN, 0) == ERR_OK);
    for (uint32_t i = 0; i < 12 && with_records; i++) {
        MUST(append(st, 40 * (i + 1)) == ERR_OK);
        MUST(i % 3 != 0 || st->ops->flush(st) == ERR_OK);
    }
    MUST(st->ops->flush(st) == ERR_OK);
    store_close(s);
    const uint8_t *bytes = fake_disk_bytes(f, NAME, &size);
    MUST(bytes && size == FILE_BYTES);
    memcpy(image, bytes, FILE_BYTES);
}

/* Reads what can be read; what has rotted is refused, and then a leader would have to mend it. */
static void read_all(struct storage *st)
{
    struct storage_state state;
    struct buf b = BUF_INIT;
    struct record r;

    st->ops->state(st, &state);
    for (uint64_t at = state.begin; at < state.flush_off;) {
        buf_clear(&b);
        int rc = st->ops->read(st, at, 1000, &b);
        MUST(rc == ERR_OK || rc == ERR_CORRUPT);
        if (rc == ERR_CORRUPT) {
            struct storage_state now;
            st->ops->state(st, &now);
            MUST(now.holes.count > 0 && b.len == 0);
            break;
        }
        MUST(b.len > 0);
        while (b.len > 0) {
            MUST(record_decode_header(buf_head(&b), b.len, &r) == ERR_OK && r.begin == at);
            MUST(record_payload_ok(&r, buf_head(&b) + RECORD_HEADER_BYTES));
            buf_consume(&b, RECORD_HEADER_BYTES + r.len_bytes);
            at = record_end(&r);
        }
    }
    buf_release(&b);
}

static void look_after(struct storage *st)
{
    struct storage_check c = {0};

    for (unsigned i = 0; i < 200 && !c.round_ended; i++) {
        MUST(st->ops->check(st, 20000, &c) == ERR_OK);
    }
}

/* What was opened works. */
static void use_log(struct fake_disk *f, struct store *s)
{
    struct storage *st = store_storage(s);
    struct storage_state state, again;

    read_all(st);
    look_after(st);
    read_all(st);
    st->ops->state(st, &state);
    if (!state.empty && append(st, 100) == ERR_OK) {
        MUST(st->ops->flush(st) == ERR_OK);
        read_all(st);
        st->ops->state(st, &state);
    }
    store_close(s);
    MUST(open_log(f, &s) == ERR_OK);
    st = store_storage(s);
    st->ops->state(st, &again);
    MUST(again.flush_off == state.flush_off && again.chain_crc == state.chain_crc);
    look_after(st);
    if (!state.empty) {
        /* Without a header and a first record nobody knows what the checksum is there. */
        int rc = st->ops->truncate(st, state.begin);
        MUST(rc == ERR_OK || (rc == ERR_INVALID && again.holes.count > 0));
    }
    store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_disk *f = fake_disk_create();
    struct store *s;

    log_init("fuzz", LOG_LEVEL_ERROR + 1);
    int how = size > 0 ? data[0] % 4 : 0;
    data += size > 0;
    size -= size > 0;
    make_log(f, how == 3);
    if (how == 0) {
        memset(image, 0, sizeof image);
        memcpy(image, data, size < FILE_BYTES ? size : FILE_BYTES);
    } else if (how == 1) {
        size_t room = FILE_BYTES - SEGMENT_BLOCK_BYTES;
        memcpy(image + SEGMENT_BLOCK_BYTES, data, size < room ? size : room);
    } else if (how == 2) {
        put_records(data, size);
    } else {
        change_bytes(data, size);
    }
    fake_disk_put(f, NAME, image, how == 0 && size < FILE_BYTES ? size : FILE_BYTES);
    if (open_log(f, &s) == ERR_OK) {
        use_log(f, s);
    }
    fake_disk_destroy(f);
    return 0;
}
