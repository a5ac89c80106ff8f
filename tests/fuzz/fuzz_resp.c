/* Whatever the bytes, requests and replies are framed the same in one piece and in many, no byte
 * outside is read, and a framed request that is put together again is framed as itself.
 *
 * Input: mode, seed of the pieces, then the bytes (or, by mode, lines that become requests). */
#include "tests/fuzz/fuzz.h"

enum { MODE_UNAUTHENTICATED = 1, MODE_COMPOSED = 2, MODE_REPLY = 4 };

static const struct resp_limits tight = {
    .inline_max_bytes = 40, .bulk_max_bytes = 300, .multibulk_max = 1000, .authenticated = true};

static void check_again(const struct resp_request *request)
{
    struct resp_limits limits = RESP_LIMITS_REDIS;
    struct resp_framer *f = resp_framer_create();
    struct resp_request again;
    struct buf b = BUF_INIT;
    char error_text[128];
    size_t wanted;

    resp_put_request(&b, request->argv, request->argc);
    MUST(resp_request_next(f, &limits, buf_head(&b), b.len, &again, &wanted, error_text) == ERR_OK);
    MUST(again.argc == request->argc && again.len_bytes == b.len);
    for (size_t i = 0; i < again.argc; i++) {
        MUST(again.argv[i].len == request->argv[i].len &&
             memcmp(again.argv[i].bytes, request->argv[i].bytes, again.argv[i].len) == 0);
    }
    buf_release(&b);
    resp_framer_destroy(f);
}

/* Frames everything, in pieces if seed is not 0; said takes arguments and how it ended. */
static void frame(const uint8_t *data, size_t size, const struct resp_limits *limits, uint32_t seed,
                  struct buf *said)
{
    struct resp_framer *f = resp_framer_create();
    struct resp_request request;
    char error_text[128];
    size_t start = 0, end = 0, wanted;
    int err = ERR_MORE;

    while (end < size && err != ERR_PROTOCOL) {
        end += seed != 0 ? fuzz_piece(&seed, size - end) : size;
        do {
            uint8_t *bytes = mem_alloc(end - start);
            memcpy(bytes, data + start, end - start);
            err = resp_request_next(f, limits, bytes, end - start, &request, &wanted, error_text);
            if (err == ERR_OK) {
                MUST(request.len_bytes > 0 && request.len_bytes <= end - start);
                if (request.argc > 0) {
                    check_again(&request);
                }
                resp_put_request(said, request.argv, request.argc);
                start += request.len_bytes;
            } else if (err == ERR_PROTOCOL) {
                resp_put_error(said, error_text);
            } else {
                MUST(err == ERR_MORE && (wanted == 0 || wanted > end - start));
            }
            free(bytes);
        } while (err == ERR_OK && start < end);
    }
    MUST(resp_framer_bytes(f) <= 4096 + size * 8);
    resp_framer_destroy(f);
}

/* Says where each reply ended and of what type it was, and where it broke. */
static void frame_replies(const uint8_t *data, size_t size, uint32_t seed, struct buf *said)
{
    struct resp_reply_framer f;
    size_t start = 0, at = 0;
    bool done, broken = false;

    memset(&f, 0, sizeof f);
    while (at < size && !broken) {
        size_t piece = seed != 0 ? fuzz_piece(&seed, size - at) : size - at;
        uint8_t *bytes = mem_alloc(piece);
        memcpy(bytes, data + at, piece);
        long taken = resp_reply_take(&f, bytes, piece, &done);
        free(bytes);
        broken = taken < 0;
        MUST(broken || (taken > 0 && (size_t)taken <= piece && (done || (size_t)taken == piece)));
        at += broken ? 0 : (size_t)taken;
        if (!broken && done) {
            resp_put_bulk(said, data + start, at - start);
            resp_put_bulk(said, &f.first, 1);
            start = at;
        }
    }
    resp_put_integer(said, broken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf input = BUF_INIT, one = BUF_INIT, many = BUF_INIT;
    struct resp_limits limits = tight;

    if (size < 3) {
        return 0;
    }
    limits.authenticated = (data[0] & MODE_UNAUTHENTICATED) == 0;
    if ((data[0] & MODE_COMPOSED) != 0) {
        fuzz_requests(data + 2, size - 2, &input);
    } else {
        buf_append(&input, data + 2, size - 2);
    }
    if ((data[0] & MODE_REPLY) != 0) {
        frame_replies(input.data, input.len, 0, &one);
        frame_replies(input.data, input.len, data[1] + 1u, &many);
    } else {
        frame(input.data, input.len, &limits, 0, &one);
        frame(input.data, input.len, &limits, data[1] + 1u, &many);
    }
    MUST(one.len == many.len && (one.len == 0 || memcmp(one.data, many.data, one.len) == 0));
    buf_release(&input);
    buf_release(&one);
    buf_release(&many);
    return 0;
}
