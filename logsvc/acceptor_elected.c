/* Taking up a leader: its log against ours (docs/log-protocol.md, "ELECTED"). What diverges is cut
 * first, durably, and only then is its history adopted; what the cut takes away as evidence of a
 * lost end is written down before.
 *
 *   sync ─▶ judge ─▶ KEEP ───────────────────────────────▶ adopt history and configuration
 *              ├──▶ CUT, RESET: note term and loss ─▶ cut ─▶
 *              └──▶ REFUSE: nothing changes */
#include "logsvc/acceptor_state.h"

#include "logsvc/mutant.h"

#include <string.h>

/* What an Elected asks for, judged against what is here. */
enum acceptor_verdict { VERDICT_KEEP, VERDICT_CUT, VERDICT_RESET, VERDICT_REFUSE };

/* Finds the highest common point here, from what is durable, and believes nobody else's: a late
 * Elected of an older link must not cut what came after it. */
static enum acceptor_verdict acceptor_judge(const struct acceptor *a,
                                            const struct storage_state *st,
                                            const struct wire_elected *m,
                                            const struct history *theirs, const char **reason)
{
    uint64_t common = 0;
    int err = history_common(theirs, &a->meta.history, st->flush_off, &common);

    if (err == ERR_CORRUPT) {
        *reason = "the same term begins at different offsets; the logs must not be mixed";
        return VERDICT_REFUSE;
    }
    if (err == ERR_NOT_FOUND) {
        if (a->commit > st->begin && a->meta.history.count > 0 && m->start <= st->write_off) {
            /* Below start all is committed, and stored as a snapshot: that may be thrown away. */
            *reason = "nothing in common, and committed bytes are here";
            return VERDICT_REFUSE;
        }
        /* An empty log may begin before all that a trimmed history still knows: until it reaches
         * that, it can't be compared, and does not vouch. */
        if (!m->reset || (a->meta.history.count > 0 && m->start < theirs->entries[0].begin)) {
            *reason = "nothing in common: a begin of the log is needed";
            return VERDICT_REFUSE;
        }
        return VERDICT_RESET;
    }
    *reason = NULL;
    if (m->reset || m->start != common || common < st->begin) {
        return VERDICT_REFUSE;
    }
    if (common < a->commit) {
        *reason = "committed bytes would be cut";
        return VERDICT_REFUSE;
    }
    bool garbage = st->uncertain_to > st->flush_off;
    return common < st->write_off || garbage ? VERDICT_CUT : VERDICT_KEEP;
}

/* The log's end is lost here from `lost_from` on, as far as `lost_to`; cutting removes the
 * evidence, so it is written down (not saved yet). What was acknowledged in older terms and
 * committed is in this leader's log, below its begin; what was acknowledged in this term may reach
 * up to lost_to. */
static void acceptor_note_loss(const struct acceptor *a, struct meta *next,
                               const struct history *theirs, uint64_t lost_to)
{
    const struct history_entry *own = &theirs->entries[theirs->count - 1];
    bool ours = history_find(&a->meta.history, own->term) != NULL;
    uint64_t to = ours && lost_to > own->begin ? lost_to : own->begin;

    next->uncertain_to = to > next->uncertain_to ? to : next->uncertain_to;
}

/* After a cut at the log's begin. If the first segment's header has rotted, what the log begins
 * with is lost there; but nothing of the log is to stay. If even the chain checksum there is lost,
 * this ELECTED can't be followed: the log and its history are given up, so that the leader finds
 * nothing in common and says with its next one where to begin. Until then this node, which has
 * held something, vouches for nothing. (Nothing of the leader's own term may have been here: what
 * was acknowledged in that would have to be remembered.) */
static int acceptor_cut_all(struct acceptor *a, const struct storage_state *st, struct meta *next,
                            int err)
{
    struct storage *s = a->storage;

    if (err != ERR_CORRUPT && err != ERR_INVALID) {
        return err;
    }
    if (st->begin_chain_known) {
        return s->ops->reset(s, st->begin, st->begin_chain);
    }
    if (history_find(&a->meta.history, log_term_of(next->term)) != NULL) {
        return err;
    }
    next->history.count = 0;
    next->uncertain_to = UINT64_MAX;
    int rc = acceptor_save(a, next);
    if (rc == ERR_OK) {
        rc = s->ops->reset(s, st->begin, 0);
        a->commit = rc == ERR_OK ? 0 : a->commit;
    }
    return rc == ERR_OK ? ERR_INVALID : rc;
}

/* Cuts the log to where the leader says, or in front of a hole that it says. */
static int acceptor_cut(struct acceptor *a, const struct storage_state *st, uint64_t start,
                        struct meta *next, const struct history *theirs)
{
    struct storage *s = a->storage;
    uint64_t to = s->ops->cuttable != NULL ? s->ops->cuttable(s, start) : start;
    int err = to < start ? ERR_CORRUPT : s->ops->truncate(s, start);

    if (start == st->begin) {
        return acceptor_cut_all(a, st, next, err);
    }
    if (err != ERR_CORRUPT || s->ops->cuttable == NULL) {
        return err;
    }
    to = s->ops->cuttable(s, start);
    if (to >= start) {
        return ERR_INVALID;
    }
    acceptor_note_loss(a, next, theirs, st->flush_off);
    err = acceptor_save(a, next);
    if (err == ERR_OK) {
        err = s->ops->truncate(s, to);
        err = to == st->begin ? acceptor_cut_all(a, st, next, err) : err;
        /* What was known to be committed is not here any more. The leader has it. */
        a->commit = err == ERR_OK && a->commit > to ? to : a->commit;
    }
    return err == ERR_CORRUPT ? ERR_INVALID : err;
}

/* Carries out the verdict: truncation durable first, history (and configuration) adopted second.
 * The other way round, a crash in between would label diverging bytes with the new term. */
static int acceptor_adopt(struct acceptor *a, const struct storage_state *st,
                          enum acceptor_verdict verdict, const struct wire_msg *msg,
                          const struct history *theirs, const struct conf *conf)
{
    struct storage *s = a->storage;
    struct meta next = a->meta;
    uint64_t begin = theirs->entries[theirs->count - 1].begin;

    if (next.uncertain_to > begin &&
        history_find(&a->meta.history, log_term_of(msg->term)) == NULL) {
        /* A majority of others, all certain, has elected it: whatever was committed in older terms
         * lies below its begin, and nothing of its own term was here yet. */
        next.uncertain_to = begin;
    }
    if (verdict != VERDICT_KEEP) {
        next.term = msg->term;
        if (MUTANT(ADOPT_FIRST)) {
            next.history = *theirs;
            next.conf = *conf;
        }
        if (st->uncertain_to > st->flush_off) {
            acceptor_note_loss(a, &next, theirs, st->uncertain_to);
        }
        uint32_t held = next.history.count;
        uint64_t doubt = next.uncertain_to;
        if (verdict == VERDICT_RESET && !MUTANT(ADOPT_FIRST)) {
            next.history.count = 0; /* claims nothing while it holds nothing … */
            /* … nor vouches for that, if it has ever held something. */
            next.uncertain_to = held > 0 ? UINT64_MAX : doubt;
        }
        int err = acceptor_save(a, &next);
        if (err != ERR_OK) {
            return err;
        }
        err = verdict == VERDICT_CUT ? acceptor_cut(a, st, msg->elected.start, &next, theirs)
                                     : s->ops->reset(s, msg->elected.start, msg->elected.chain_crc);
        if (err == ERR_INVALID || err == ERR_NO_SPACE || a->failed != ERR_OK) {
            return err; /* not where a record ends: no leader of this log would cut there */
        }
        if (err != ERR_OK) {
            return acceptor_fail(a, err);
        }
        if (verdict == VERDICT_RESET) {
            a->commit = 0;
            next.uncertain_to = doubt;
            if (held > 0 && begin > doubt) {
                next.uncertain_to = begin; /* until it has what this leader began with */
            }
        }
    }
    next.term = msg->term;
    next.history = *theirs;
    next.conf = *conf;
    next.engine = msg->elected.engine > next.engine ? msg->elected.engine : next.engine;
    if (next.term.n == a->meta.term.n && next.engine == a->meta.engine &&
        next.uncertain_to == a->meta.uncertain_to &&
        history_equal(&next.history, &a->meta.history) &&
        conf_id_compare(next.conf.id, a->meta.conf.id) == 0) {
        return ERR_OK;
    }
    return acceptor_save(a, &next);
}

static bool acceptor_history_of(const struct wire_msg *msg, struct history *h)
{
    const struct wire_history *bytes = &msg->elected.history;

    return bytes->size > 0 && history_decode(bytes->bytes, bytes->size, h) == ERR_OK &&
           h->count > 0 && h->entries[h->count - 1].term.n == msg->term.n;
}

int acceptor_elected(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;
    struct history theirs;
    struct conf conf;
    const char *reason = NULL;

    if (msg->term.n < a->meta.term.n || msg->term.n == 0) {
        acceptor_refuse(a, call, WIRE_REFUSED_TERM, NULL);
        return ERR_OK;
    }
    if (!acceptor_term_believed(a, call)) {
        return ERR_OK;
    }
    if (!acceptor_history_of(msg, &theirs)) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the history does not end with the term");
        return ERR_OK;
    }
    if (msg->term.n == a->session_term.n && msg->session < a->session) {
        acceptor_refuse(a, call, WIRE_REFUSED_SESSION, NULL);
        return ERR_OK;
    }
    if (!acceptor_conf_elected(a, call, &conf)) {
        return ERR_OK;
    }
    int err = acceptor_sync(a);
    if (err != ERR_OK) {
        return err;
    }
    struct storage_state st = acceptor_storage_state(a);
    enum acceptor_verdict verdict = acceptor_judge(a, &st, &msg->elected, &theirs, &reason);
    if (verdict == VERDICT_REFUSE) {
        acceptor_refuse(a, call, WIRE_REFUSED_DIVERGED, reason);
        return ERR_OK;
    }
    err = acceptor_adopt(a, &st, verdict, msg, &theirs, &conf);
    if (err == ERR_INVALID) {
        acceptor_refuse(a, call, WIRE_REFUSED_DIVERGED, "the log can't be cut there");
        return ERR_OK;
    }
    if (err == ERR_NO_SPACE && a->failed == ERR_OK) {
        acceptor_refuse(a, call, WIRE_REFUSED_SPACE, NULL); /* the term is promised, no more */
        return ERR_OK;
    }
    if (err != ERR_OK) {
        return err;
    }
    if (a->session_term.n != msg->term.n) {
        a->leader_commit = 0;
    }
    (void)acceptor_enter_session(a, msg->term, msg->session);
    a->elected = true;
    memcpy(a->leader, msg->elected.name, sizeof a->leader);
    a->leader_term = msg->term;
    a->heir[0] = '\0';
    acceptor_hear(a, call);

    struct wire_msg reply = acceptor_reply(a, call, WIRE_ELECTED_REPLY);
    acceptor_log(a, &reply.elected_reply.log);
    acceptor_answer(a, call, &reply);
    acceptor_tell_watchers(a, call->now_ns);
    return ERR_OK;
}
