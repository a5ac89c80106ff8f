/* Whatever the bytes, the effect reader tells the same units in one piece and in many, counts every
 * byte, and holds no more than its limits.
 *
 * Input: mode, seed of the pieces, then the bytes (or, by mode, lines that become commands). */
#include "proxy/engine/effects.h"

#include "tests/fuzz/fuzz.h"
#include "tests/lib/commands.h"

enum { MODE_COMPOSED = 1, MODE_DEFAULT_LIMITS = 2, MODE_DB_UNKNOWN = 4 };

static const struct effects_limits tight = {
    .key_bytes_max = 64, .held_bytes_max = 150, .args_max = 12, .hashes_max = 5};

static struct command_table *table;
static struct tracker *tracker;

static void on_unit(void *ctx, const struct effects_unit *unit)
{
    struct buf *told = ctx;

    MUST(unit->hash_count <= 5 || !unit->keyspace);
    resp_put_integer(told, (long long)unit->end);
    resp_put_integer(told, unit->keyspace);
    resp_put_bulk(told, unit->hashes, unit->hash_count * sizeof *unit->hashes);
}

static const struct effects_events events = {on_unit};

static void read_stream(const struct buf *input, unsigned mode, uint32_t seed, struct buf *told)
{
    struct effects *e = effects_create(table, tracker, &events, told);
    int err = ERR_OK;

    if ((mode & MODE_DEFAULT_LIMITS) == 0) {
        effects_set_limits(e, &tight);
    }
    effects_start(e, 100, (mode & MODE_DB_UNKNOWN) != 0 ? -1 : 0);
    for (size_t at = 0, piece; at < input->len && err == ERR_OK; at += piece) {
        piece = seed != 0 ? fuzz_piece(&seed, input->len - at) : input->len;
        uint8_t *bytes = mem_alloc(piece);
        memcpy(bytes, input->data + at, piece);
        err = effects_feed(e, bytes, piece);
        free(bytes);
        MUST(err != ERR_OK || effects_offset(e) == 100 + at + piece);
        MUST(effects_unit_offset(e) <= effects_offset(e));
    }
    MUST(effects_bytes(e) <= 16384 + input->len * 8);
    resp_put_integer(told, err);
    resp_put_integer(told, (long long)effects_unit_offset(e));
    resp_put_integer(told, effects_db(e));
    effects_destroy(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf input = BUF_INIT, one = BUF_INIT, many = BUF_INIT;

    if (table == NULL) {
        size_t reply_size;
        uint8_t *reply = commands_reply(&reply_size);
        MUST(command_table_parse(reply, reply_size, &table) == ERR_OK);
        free(reply);
        tracker = tracker_create(1, 0);
    }
    if (size < 3) {
        return 0;
    }
    if ((data[0] & MODE_COMPOSED) != 0) {
        fuzz_requests(data + 2, size - 2, &input);
    } else {
        buf_append(&input, data + 2, size - 2);
    }
    read_stream(&input, data[0], 0, &one);
    read_stream(&input, data[0], data[1] + 1u, &many);
    MUST(one.len == many.len && memcmp(one.data, many.data, one.len) == 0);
    buf_release(&input);
    buf_release(&one);
    buf_release(&many);
    return 0;
}
