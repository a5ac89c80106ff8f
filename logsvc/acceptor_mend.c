/* Taking in what the leader sends for a hole of the log. Terms, history and the log's end are as
 * they were; only the storage decides when the hole is gone, by the checksums around it. */
#include "logsvc/acceptor_state.h"

/* Whether each record is sound by itself, of this log's history, and behind the one before. How the
 * first and the last one fit to what is here is known to the storage alone. */
static bool acceptor_mend_ok(const struct acceptor *a, const struct wire_msg *msg, uint64_t end)
{
    uint64_t at = msg->mend.from;
    struct record r;
    const uint8_t *payload;
    size_t whole;

    for (size_t done = 0; done < msg->data_size; done += whole) {
        if (wire_record(msg->data + done, msg->data_size - done, &r, &payload, &whole) != ERR_OK ||
            r.begin != at || r.len_bytes == 0 || (r.flags & RECORD_IDLE) != 0 ||
            record_end(&r) > end || !acceptor_term_fits(a, &r) || !record_payload_ok(&r, payload)) {
            return false;
        }
        at = record_end(&r);
    }
    return msg->data_size > 0;
}

/* A single record across an end of the hole shows that the records around it are not this log's. */
static bool acceptor_mend_crosses(const struct acceptor *a, const struct wire_msg *msg,
                                  const struct storage_holes *holes)
{
    struct record r;
    const uint8_t *payload;
    size_t whole;

    return wire_record(msg->data, msg->data_size, &r, &payload, &whole) == ERR_OK &&
           whole == msg->data_size && r.len_bytes > 0 && (r.flags & RECORD_IDLE) == 0 &&
           record_crosses(&r, holes->next, holes->to) && acceptor_term_fits(a, &r) &&
           record_payload_ok(&r, payload);
}

int acceptor_mend(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;
    struct wire_msg reply = acceptor_reply(a, call, WIRE_MEND_REPLY);
    struct storage_state st;

    if (!acceptor_from_leader(a, call)) {
        return ERR_OK;
    }
    a->storage->ops->state(a->storage, &st);
    bool wanted = st.holes.from < st.holes.to && msg->mend.from == st.holes.next &&
                  st.holes.next < st.holes.to && a->storage->ops->mend != NULL;
    if (wanted) {
        if (!acceptor_mend_ok(a, msg, st.holes.to) && !acceptor_mend_crosses(a, msg, &st.holes)) {
            acceptor_refuse(a, call, WIRE_REFUSED_BAD, "a record does not fit into the hole");
            return ERR_OK;
        }
        int err = a->storage->ops->mend(a->storage, msg->data, msg->data_size);
        if (err == ERR_NO_SPACE) {
            acceptor_refuse(a, call, WIRE_REFUSED_SPACE, NULL);
            return ERR_OK;
        }
        if (err == ERR_INVALID) {
            acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the records do not continue the log");
            return ERR_OK;
        }
        if (err != ERR_OK) {
            return acceptor_fail(a, err);
        }
        a->storage->ops->state(a->storage, &st);
    }
    reply.mend_reply.holes = st.holes; /* what was not wanted is told what is */
    acceptor_answer(a, call, &reply);
    return ERR_OK;
}
