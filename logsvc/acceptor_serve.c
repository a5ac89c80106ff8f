/* What an acceptor hands out beside the log's own path: reads. None of it changes terms or the log.
 */
#include "logsvc/acceptor_state.h"

#include "common/mem.h"
#include "logsvc/mutant.h"

#include <string.h>

/* How many of the encoded records at the front of bytes end at or below limit and fit in max_bytes
 * (but at least one); in bytes. */
static size_t acceptor_readable(const struct buf *records, uint64_t limit, size_t max_bytes)
{
    struct record r;
    const uint8_t *payload;
    size_t whole, done = 0;

    while (done < records->len) {
        if (wire_record(buf_head(records) + done, records->len - done, &r, &payload, &whole) !=
                ERR_OK ||
            record_end(&r) > limit || (done > 0 && done + whole > max_bytes)) {
            break;
        }
        done += whole;
    }
    return done;
}

/* Reads of a candidate or leader are fenced by its term and see all that is durable; others see
 * what is committed, which nobody can take back. */
int acceptor_read(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;
    const struct wire_read *m = &msg->read;
    struct wire_msg reply = acceptor_reply(a, call, WIRE_READ_REPLY);
    struct wire_read_reply *r = &reply.read_reply;
    struct buf records = BUF_INIT;

    if (msg->term.n != 0 && msg->term.n != a->meta.term.n && !MUTANT(UNFENCED_READ)) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
        return ERR_OK;
    }
    acceptor_log(a, &r->log);
    r->from = m->from;
    r->limit = msg->term.n != 0 ? r->log.flush_off : a->commit;
    if (!r->log.empty && m->from < r->log.begin) {
        acceptor_refuse(a, call, WIRE_REFUSED_NOT_FOUND, "the log begins behind that offset");
        return ERR_OK;
    }
    if (!r->log.empty && m->from < r->limit) {
        size_t max =
            m->max_bytes < a->config.read_max_bytes ? m->max_bytes : a->config.read_max_bytes;
        int err = a->storage->ops->read(a->storage, m->from, max, &records);
        if (err != ERR_OK) {
            acceptor_refuse(a, call,
                            err == ERR_NOT_FOUND ? WIRE_REFUSED_NOT_FOUND : WIRE_REFUSED_CORRUPT,
                            NULL);
            buf_release(&records);
            return ERR_OK;
        }
        reply.data_size = acceptor_readable(&records, r->limit, max);
        reply.data = buf_head(&records);
    }
    acceptor_answer(a, call, &reply);
    buf_release(&records);
    return ERR_OK;
}
