#include "proxy/clients/slowlog.h"

#include "proxy/protocol/resp.h"

#include <string.h>

/* One entry: *6, id, time, duration, the command's words, the address, the name. */
struct entry {
    size_t len; /* in the reply */
    size_t argc;
    struct resp_arg first, second;
};

static bool take_entry(const uint8_t *bytes, size_t size, struct entry *e)
{
    struct resp_arg word;
    size_t at = 0, number;

    *e = (struct entry){0};
    if (!resp_read_number(bytes, size, &at, '*', &number) || number != 6 ||
        !resp_read_number(bytes, size, &at, ':', &number) ||
        !resp_read_number(bytes, size, &at, ':', &number) ||
        !resp_read_number(bytes, size, &at, ':', &number) ||
        !resp_read_number(bytes, size, &at, '*', &e->argc)) {
        return false;
    }
    for (size_t i = 0; i < e->argc + 2; i++) {
        if (!resp_read_bulk(bytes, size, &at, &word)) {
            return false;
        }
        if (i == 0) {
            e->first = word;
        } else if (i == 1 && e->argc > 1) {
            e->second = word;
        }
    }
    e->len = at;
    return true;
}

/* What no client can have sent to Redis through the proxy; but for HELLO and SELECT inside MULTI,
 * which are not told from ours. */
static bool is_ours(const struct entry *e)
{
    static const char *const words[] = {"role", "hello", "select", "replconf", "psync"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (resp_arg_is(&e->first, words[i])) {
            return true;
        }
    }
    return resp_arg_is(&e->first, "spublish") && resp_arg_is(&e->second, "__holdfast__");
}

void slowlog_correct(struct buf *reply, size_t most, bool len_only)
{
    const uint8_t *bytes = buf_head(reply);
    struct buf kept = BUF_INIT, out = BUF_INIT;
    size_t at = 0, count = 0, entries = 0;
    struct entry e;
    bool whole = resp_read_number(bytes, reply->len, &at, '*', &entries);

    for (size_t i = 0; whole && i < entries; i++) {
        whole = take_entry(bytes + at, reply->len - at, &e);
        if (whole && !is_ours(&e) && (len_only || count < most)) {
            count++;
            buf_append(&kept, bytes + at, e.len);
        }
        at += e.len;
    }
    if (whole && len_only) {
        resp_put_integer(&out, (long long)count);
    } else if (whole) {
        resp_put_array(&out, count);
        buf_append(&out, buf_head(&kept), kept.len);
    }
    if (whole) {
        buf_swap(reply, &out);
    }
    buf_release(&kept);
    buf_release(&out);
}
