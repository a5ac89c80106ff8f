/* What holdfast-ctl reads of the log's past: a stream as changes (the same in one piece and in
 * many, each of them made a line), times, manifests and the heads of RDBs. Nothing outside is read,
 * and what is printed is read back.
 *
 * Input: mode, seed of the pieces, then the bytes. */
#include "proxy/ctl/change_text.h"
#include "proxy/ctl/changes.h"
#include "proxy/ctl/manifest.h"
#include "proxy/ctl/moment.h"
#include "proxy/ctl/rdb_head.h"
#include "tests/fuzz/fuzz.h"

enum { MODE_STREAM, MODE_COMPOSED, MODE_MOMENT, MODE_MANIFEST, MODE_RDB, MODES };

static void says_change(void *ctx, const struct change *c)
{
    change_text_json(c, ctx);
    change_text_plain(c, ctx);
}

static int feed(const uint8_t *data, size_t size, uint32_t seed, struct buf *out)
{
    static const struct changes_events events = {.change = says_change};
    struct changes *c = changes_create(&events, out);
    int err = ERR_OK;

    changes_start(c, 100, -1);
    while (size > 0 && err == ERR_OK) {
        size_t piece = seed != 0 ? fuzz_piece(&seed, size) : size;
        uint8_t *copy = mem_alloc(piece); /* so that a byte too far is seen */
        memcpy(copy, data, piece);
        err = changes_feed(c, copy, piece, 5);
        free(copy);
        data += piece;
        size -= piece;
    }
    changes_destroy(c);
    return err;
}

static void check_stream(const uint8_t *data, size_t size, uint32_t seed)
{
    struct buf whole = BUF_INIT, pieces = BUF_INIT;

    int err = feed(data, size, 0, &whole);
    MUST(feed(data, size, seed, &pieces) == err);
    MUST(whole.len == pieces.len &&
         (whole.len == 0 || memcmp(buf_head(&whole), buf_head(&pieces), whole.len) == 0));
    buf_release(&whole);
    buf_release(&pieces);
}

static void check_moment(const uint8_t *data, size_t size)
{
    char *text = mem_alloc(size + 1), printed[MOMENT_TEXT_BYTES];
    struct moment m, again;
    const char *why;

    memcpy(text, data, size);
    text[size] = '\0';
    if (moment_parse(text, 1795356120000, &m, &why) == ERR_OK && !m.is_offset) {
        MUST(moment_parse(moment_print(m.wall_ms, printed), 0, &again, &why) == ERR_OK);
        MUST(again.wall_ms == m.wall_ms && !again.local);
    }
    free(text);
}

static void check_manifest(const uint8_t *data, size_t size)
{
    struct manifest m;
    struct buf again = BUF_INIT;
    const char *why;
    char *text = mem_alloc(size + 1);

    memcpy(text, data, size);
    if (manifest_parse(text, size, &m, &why) == ERR_OK) {
        manifest_print(&m, &again);
        MUST(again.len == size && memcmp(buf_head(&again), text, size) == 0);
        manifest_fini(&m);
    }
    buf_release(&again);
    free(text);
}

static void check_rdb(const uint8_t *data, size_t size)
{
    struct rdb_head head, shorter;
    uint8_t *copy = mem_alloc(size + 1);

    memcpy(copy, data, size);
    if (rdb_head_parse(copy, size, &head) == ERR_OK && size > 0) {
        MUST(head.stream_db >= -1 && strlen(head.redis_version) < sizeof head.redis_version);
    }
    if (size > 9 && rdb_head_parse(copy, size - 1, &shorter) == ERR_OK) {
        MUST(rdb_head_parse(copy, size, &head) == ERR_OK && head.stream_db == shorter.stream_db);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf composed = BUF_INIT;

    if (size < 2) {
        return 0;
    }
    uint32_t seed = data[1] + 1u;
    int mode = data[0] % MODES;
    data += 2;
    size -= 2;
    switch (mode) {
    case MODE_STREAM:
        check_stream(data, size, seed);
        break;
    case MODE_COMPOSED:
        fuzz_requests(data, size, &composed);
        check_stream(buf_head(&composed), composed.len, seed);
        buf_release(&composed);
        break;
    case MODE_MOMENT:
        check_moment(data, size);
        break;
    case MODE_MANIFEST:
        check_manifest(data, size);
        break;
    default:
        check_rdb(data, size);
    }
    return 0;
}
