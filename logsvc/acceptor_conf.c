/* Who counts, as an acceptor sees it (docs/log-protocol.md, "Membership"). It keeps the highest
 * configuration that a leader has told it, durable with the term, obeys nobody who goes by a lower
 * one, and only promises something when its very disk is meant. */
#include "logsvc/acceptor_state.h"

#include <string.h>

/* What a message must not be of a lower configuration for: all that binds this node. Greeting,
 * status, reads and snapshots tell the id, and promise nothing. */
static bool conf_binds(enum wire_type type)
{
    return type == WIRE_VOTE || type == WIRE_ELECTED || type == WIRE_APPEND || type == WIRE_MEND ||
           type == WIRE_CONFIG || type == WIRE_RELEASE || type == WIRE_TRIM || type == WIRE_REBASE;
}

bool acceptor_conf_admits(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_msg *msg = call->msg;

    if (!conf_binds(msg->type) || conf_id_compare(msg->conf, a->meta.conf.id) >= 0 ||
        msg->term.n < a->meta.term.n) { /* that is refused for its term */
        return true;
    }
    acceptor_refuse(a, call, WIRE_REFUSED_GENERATION, NULL);
    return false;
}

/* The configuration of a message, which says the same id in its envelope. */
static bool conf_of(const struct wire_msg *msg, const struct wire_conf *bytes, struct conf *out)
{
    return bytes->size > 0 && conf_decode(bytes->bytes, bytes->size, out) == ERR_OK &&
           conf_id_compare(out->id, msg->conf) == 0;
}

static bool conf_disk_is_meant(struct acceptor *a, const struct acceptor_call *call,
                               const struct disk_id *to)
{
    if (disk_id_equal(to, &a->meta.disk)) {
        return true;
    }
    acceptor_refuse(a, call, WIRE_REFUSED_MEMBER, "another disk is meant");
    return false;
}

bool acceptor_conf_vote(struct acceptor *a, const struct acceptor_call *call)
{
    const struct wire_vote *m = &call->msg->vote;
    struct conf conf;

    if (!conf_disk_is_meant(a, call, &m->to)) {
        return false;
    }
    if (!conf_of(call->msg, &m->conf, &conf)) {
        acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the configuration is not the one it names");
        return false;
    }
    if (conf_find(&conf, a->meta.node_id, &a->meta.disk) == NULL) {
        acceptor_refuse(a, call, WIRE_REFUSED_MEMBER, "this node is not a member of the log");
        return false;
    }
    return true;
}

/* A configuration that a leader tells: of its own term. */
static bool conf_of_leader(struct acceptor *a, const struct acceptor_call *call,
                           const struct wire_conf *bytes, struct conf *out)
{
    if (conf_of(call->msg, bytes, out) && out->id.term.n == call->msg->term.n) {
        return true;
    }
    acceptor_refuse(a, call, WIRE_REFUSED_BAD, "the configuration is not of the leader's term");
    return false;
}

bool acceptor_conf_elected(struct acceptor *a, const struct acceptor_call *call, struct conf *out)
{
    const struct wire_elected *m = &call->msg->elected;

    return conf_disk_is_meant(a, call, &m->to) && conf_of_leader(a, call, &m->conf, out);
}

int acceptor_config(struct acceptor *a, const struct acceptor_call *call)
{
    struct conf conf;

    if (!acceptor_from_leader(a, call) ||
        !conf_of_leader(a, call, &call->msg->config.conf, &conf)) {
        return ERR_OK;
    }
    if (conf_id_compare(conf.id, a->meta.conf.id) > 0) {
        struct meta next = a->meta;
        next.conf = conf;
        int err = acceptor_save(a, &next);
        if (err != ERR_OK) {
            return err;
        }
    }
    struct wire_msg reply = acceptor_reply(a, call, WIRE_CONFIG_REPLY);
    acceptor_answer(a, call, &reply);
    return ERR_OK;
}
