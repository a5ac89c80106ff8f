/* The log's begin: forgetting what nobody needs any more (TRIM), and beginning anew where the
 * others begin, because what comes next here is nowhere any more (REBASE). Both are asked for by
 * the leader alone, and neither touches anything that is not committed; the history stays as it is.
 *
 * After both the claim of a vote is as true as before: what is below the begin is committed, and a
 * quorum stores a verified snapshot at or past the begin. */
#include "logsvc/acceptor_state.h"

#include "logsvc/mutant.h"

static int acceptor_log_answer(struct acceptor *a, const struct acceptor_call *call,
                               enum wire_type type)
{
    struct wire_msg reply = acceptor_reply(a, call, type);

    acceptor_log(a, &reply.log_reply.log);
    acceptor_answer(a, call, &reply);
    return ERR_OK;
}

/* Whether the snapshot that makes it good is here, sound and verified. */
static bool acceptor_has_made_good(const struct acceptor *a, const struct wire_trim *m)
{
    struct snapshot_info info;

    return acceptor_newest_snapshot(a, m->snapshot, MUTANT(TRIM_NEWEST), &info) == m->snapshot &&
           info.crc == m->crc && (info.verified_ms > 0 || MUTANT(TRIM_NEWEST));
}

/* Up to where the log may be forgotten here: committed, and made good by the snapshot that the
 * leader names. It must be here too; but where there was no room for it, waiting for it would only
 * fill the disk with what the others have forgotten. */
static uint64_t acceptor_trimmable(const struct acceptor *a, const struct wire_trim *m)
{
    const struct acceptor_no_room *n = &a->no_room;
    uint64_t to = m->to < a->commit ? m->to : a->commit;
    bool no_room = n->is && n->offset == m->snapshot && n->crc == m->crc;
    bool good = no_room || acceptor_has_made_good(a, m) || MUTANT(TRIM_UNPROVEN);

    return m->to <= m->snapshot && good ? to : 0;
}

int acceptor_trim(struct acceptor *a, const struct acceptor_call *call)
{
    struct storage *s = a->storage;
    uint64_t begin;

    if (!acceptor_from_leader(a, call)) {
        return ERR_OK;
    }
    struct storage_state st = acceptor_storage_state(a);
    uint64_t to = acceptor_trimmable(a, &call->msg->trim);
    if (s->ops->trim != NULL && !st.empty && to > st.begin) {
        int err = s->ops->trim(s, to, &begin);
        if (err != ERR_OK && err != ERR_NO_SPACE) {
            return acceptor_fail(a, err);
        }
    }
    return acceptor_log_answer(a, call, WIRE_TRIM_REPLY);
}

/* What is here is the begin of the leader's log (it was cut so when the leader was accepted) and
 * ends below all that is left of it elsewhere. A late one, or one that would throw away more than
 * that, is only told how things are. */
int acceptor_rebase(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_rebase *m = &call->msg->rebase;

    if (!acceptor_from_leader(a, call)) {
        return ERR_OK;
    }
    int err = acceptor_sync(a);
    if (err != ERR_OK) {
        return err;
    }
    struct storage_state st = acceptor_storage_state(a);
    if (!st.empty && m->begin > st.write_off) {
        err = a->storage->ops->reset(a->storage, m->begin, m->chain_crc);
        if (err == ERR_NO_SPACE) {
            acceptor_refuse(a, call, WIRE_REFUSED_SPACE, NULL);
            return ERR_OK;
        }
        if (err != ERR_OK) {
            return acceptor_fail(a, err);
        }
        a->commit = 0;          /* nothing of what is here now */
        a->pending.due = false; /* was of the log that is gone */
    }
    return acceptor_log_answer(a, call, WIRE_REBASE_REPLY);
}
